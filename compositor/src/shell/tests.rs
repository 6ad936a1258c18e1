//! Tests of the model: the rules by example, and the invariants under random use.

use proptest::prelude::*;
use smithay::utils::{Physical, Point, Rectangle, Size};

use super::placement::{Obstacle, cost, place};
use super::popup::{AreaBudget, beside_cursor, constrain};
use super::window::{Mode, WindowId};
use super::{Layout, Shell, Target};
use crate::render::frame::grown;
use crate::trust::origin::Origin;

fn origin(index: usize) -> Origin {
    match index {
        0 => Origin::Local,
        1 => Origin::Vm("work".parse().unwrap()),
        _ => Origin::Vm("web".parse().unwrap()),
    }
}

fn shell(scale: f64) -> Shell<usize> {
    Shell::new(Layout { output: (1280, 800).into(), scale, metrics: Default::default(), left: None })
}

fn show(shell: &mut Shell<usize>, origin: Origin, size: (i32, i32)) -> (WindowId, bool) {
    let id = shell.add(0, origin);
    let took = shell.show(id, size.into(), None);
    (id, took)
}

#[test]
fn a_window_of_another_vm_opens_below_the_focused_one() {
    let mut shell = shell(1.0);
    let (first, took) = show(&mut shell, origin(1), (600, 400));
    assert!(took, "nobody had the focus");
    let (second, took) = show(&mut shell, origin(2), (600, 400));
    assert!(!took);
    let order: Vec<_> = shell.bottom_up().map(|window| window.id).collect();
    assert_eq!(order, [second, first]);
    let (_, took) = show(&mut shell, origin(1), (100, 100));
    assert!(took, "the focus may move within its VM");
}

#[test]
fn an_unfocused_window_does_not_open_under_the_pointer() {
    let mut shell = shell(1.0);
    show(&mut shell, origin(1), (100, 100));
    let id = shell.add(0, origin(2));
    let pointer = Point::from((400, 300));
    shell.show(id, (300, 200).into(), Some(pointer));
    let window = shell.get(id).unwrap();
    assert!(!shell.frame(window).outer.contains(pointer));
}

/// Were the place of its predecessor always given back, a VM could wait for the user's pointer to be where one of its windows
/// was, and open a window for the next click.
#[test]
fn a_window_comes_back_to_its_place_unless_it_opens_unfocused_under_the_pointer() {
    let place = Point::from((333, 222));
    let come_back = |vm: usize, pointer: (i32, i32)| {
        let mut shell = shell(1.0);
        show(&mut shell, origin(1), (100, 100));
        let id = shell.add(0, origin(vm));
        shell.get_mut(id).unwrap().recalled = Some(place);
        let took = shell.show(id, (300, 200).into(), Some(pointer.into()));
        assert_eq!(took, vm == 1, "where it stands says nothing about the focus");
        shell.check();
        shell.get(id).unwrap().location
    };
    assert_eq!(come_back(2, (1200, 700)), place);
    assert_ne!(come_back(2, (400, 300)), place);
    assert_eq!(come_back(1, (400, 300)), place, "the user is at work in this VM");
}

#[test]
fn a_place_is_given_back_once_and_a_window_that_filled_the_area_keeps_its_size() {
    let mut shell = shell(1.0);
    let id = shell.add(0, origin(1));
    let window = shell.get_mut(id).unwrap();
    (window.recalled, window.size, window.mode) =
        (Some((333, 222).into()), (300, 200).into(), Mode::Maximized);
    shell.show(id, (1200, 700).into(), None);
    assert_eq!(shell.get(id).unwrap().size, (300, 200).into());
    shell.hide(id);
    shell.show(id, (100, 100).into(), None);
    assert_ne!(shell.get(id).unwrap().location, (333, 222).into());
}

#[test]
fn every_point_of_a_frame_shields_what_is_below() {
    let mut shell = shell(1.0);
    let (below, _) = show(&mut shell, origin(1), (1200, 700));
    let (above, _) = show(&mut shell, origin(1), (1200, 700));
    let frame = shell.frame(shell.get(above).unwrap());
    let corner = frame.outer.loc;
    assert_eq!(shell.at(corner), Target::Ring(above));
    assert_eq!(shell.at(frame.title_bar.loc), Target::TitleBar(above));
    assert_eq!(shell.at(frame.content.loc), Target::Content(above));
    assert_eq!(shell.at((5, 5).into()), Target::Stripe);
    shell.minimize(above);
    assert_eq!(shell.at(frame.content.loc), Target::Content(below));
}

#[test]
fn a_modal_dialog_is_above_its_parent_and_has_the_focus_in_its_place() {
    let mut shell = shell(1.0);
    let order = |shell: &Shell<usize>| shell.bottom_up().map(|window| window.id).collect::<Vec<_>>();
    let (parent, _) = show(&mut shell, origin(1), (600, 400));
    let (dialog, _) = show(&mut shell, origin(1), (100, 100));
    let (other, _) = show(&mut shell, origin(1), (300, 300));
    shell.set_parent(dialog, Some(parent));
    shell.activate(parent);
    assert_eq!(order(&shell), [other, parent, dialog], "a child comes along");
    assert_eq!(shell.focused().unwrap().id, parent);
    shell.set_modal(dialog, true);
    assert_eq!(shell.focused().unwrap().id, dialog, "the dialog of the window in use is used");
    shell.activate(other);
    shell.activate(parent);
    assert_eq!((order(&shell), shell.focused().unwrap().id), (vec![other, parent, dialog], dialog));
    shell.activate(other);
    shell.activate(dialog);
    assert_eq!(order(&shell), [other, parent, dialog], "what waits for a dialog comes up with it");
    // The key that visits all windows visits the two as one.
    let mut visited = Vec::new();
    for _ in 0..4 {
        let next = shell.next_to_activate().unwrap();
        shell.activate(next);
        visited.push(shell.focused().unwrap().id);
    }
    assert_eq!(visited, [other, dialog, other, dialog]);
    shell.set_modal(dialog, false);
    shell.activate(parent);
    assert_eq!(shell.focused().unwrap().id, parent);
}

/// The key took the lowest window. One that is raised takes its dialogs along above it, so while there was another window, a
/// dialog that is not modal was never the lowest, and could not be reached without a pointer.
#[test]
fn a_restored_modal_dialog_has_the_focus_of_its_parent_and_no_other() {
    let mut shell = shell(1.0);
    let (parent, _) = show(&mut shell, origin(1), (600, 400));
    let (dialog, _) = show(&mut shell, origin(1), (100, 100));
    let (other, _) = show(&mut shell, origin(2), (300, 300));
    shell.set_parent(dialog, Some(parent));
    shell.set_modal(dialog, true);
    shell.minimize(dialog);
    shell.activate(other);
    shell.restore(dialog);
    assert_eq!(shell.focused().unwrap().id, other, "the keyboard stays with the other VM");
    shell.minimize(dialog);
    shell.activate(parent);
    shell.restore(dialog);
    assert_eq!(shell.focused().unwrap().id, dialog, "its parent waits for it");
    shell.check();
}

#[test]
fn the_key_for_the_next_window_reaches_a_dialog_that_is_not_modal() {
    let mut shell = shell(1.0);
    let (parent, _) = show(&mut shell, origin(1), (600, 400));
    let (dialog, _) = show(&mut shell, origin(1), (100, 100));
    let (inner, _) = show(&mut shell, origin(1), (80, 80));
    let (other, _) = show(&mut shell, origin(2), (300, 300));
    shell.set_parent(dialog, Some(parent));
    shell.set_parent(inner, Some(dialog));
    shell.activate(parent);
    let mut round = || {
        let mut visited: Vec<_> = (0..4)
            .map(|_| {
                let next = shell.next_to_activate().unwrap();
                shell.activate(next);
                shell.check();
                shell.focused().unwrap().id
            })
            .collect();
        visited.sort();
        visited
    };
    for _ in 0..3 {
        assert_eq!(round(), [parent, dialog, inner, other]);
    }
}

#[test]
fn parents_are_of_the_same_vm_and_not_in_a_circle() {
    let mut shell = shell(1.0);
    let (one, _) = show(&mut shell, origin(1), (100, 100));
    let (two, _) = show(&mut shell, origin(1), (100, 100));
    let (three, _) = show(&mut shell, origin(1), (100, 100));
    let (foreign, _) = show(&mut shell, origin(2), (100, 100));
    shell.set_parent(foreign, Some(one));
    assert_eq!(shell.get(foreign).unwrap().parent, None);
    shell.set_parent(two, Some(one));
    shell.set_parent(three, Some(two));
    shell.set_parent(one, Some(three));
    assert_eq!(shell.get(one).unwrap().parent, None);
    shell.set_parent(one, Some(one));
    assert_eq!(shell.get(one).unwrap().parent, None);
    shell.remove(two);
    assert_eq!(shell.get(three).unwrap().parent, Some(one), "an orphan goes to its grandparent");
    let (four, _) = show(&mut shell, origin(1), (100, 100));
    shell.set_parent(four, Some(three));
    shell.set_modal(four, true);
    shell.activate(one);
    shell.remove(three);
    assert_eq!(shell.focused().unwrap().id, four, "the grandparent waits for the dialog now");
    shell.check();
}

#[test]
fn a_dialog_does_not_come_up_over_another_vm() {
    let mut shell = shell(1.0);
    let (first, _) = show(&mut shell, origin(2), (100, 100));
    let (dialog, _) = show(&mut shell, origin(2), (100, 100));
    let (parent, _) = show(&mut shell, origin(2), (100, 100));
    shell.activate(first);
    let (used, _) = show(&mut shell, origin(1), (600, 400));
    shell.activate(used);
    let order = |shell: &Shell<usize>| shell.bottom_up().map(|window| window.id).collect::<Vec<_>>();
    let before = order(&shell);
    shell.set_modal(dialog, true);
    shell.set_parent(dialog, Some(parent));
    assert_eq!(order(&shell), before);
    assert_eq!(shell.focused().unwrap().id, used);
    assert!(!shell.request_attention(dialog, true));
    assert!(shell.get(dialog).unwrap().urgent);
    assert_eq!(order(&shell), before);
    shell.activate(parent);
    assert_eq!(order(&shell), [first, used, parent, dialog]);
    assert!(!shell.get(dialog).unwrap().urgent, "the user has seen it");
}

#[test]
fn a_free_place_is_taken_before_any_is_covered() {
    let area = Rectangle::new((0, 24).into(), (1000, 600).into());
    let left = Obstacle { rect: Rectangle::new((0, 24).into(), (500, 600).into()), protected: false };
    assert_eq!(place((400, 300).into(), area, &[left], None), (500, 24).into());
    let right = Obstacle { rect: Rectangle::new((500, 24).into(), (500, 600).into()), protected: true };
    assert_eq!(place((400, 300).into(), area, &[left, right], None), (0, 24).into());
}

#[test]
fn popups_take_no_more_than_their_share() {
    let area = Rectangle::new((0, 24).into(), (1000, 600).into());
    let mut budget = AreaBudget::new(area);
    let popup = constrain(Rectangle::new((0, 0).into(), (500, 500).into()), Rectangle::default(), area, 2);
    assert!(budget.take(&popup));
    assert!(!budget.take(&popup));
}

/// What may happen to a shell.
#[derive(Clone, Debug)]
enum Op {
    Add(usize),
    Show(usize, i32, i32, Option<(i32, i32)>),
    Hide(usize),
    Remove(usize),
    Activate(usize),
    Minimize(usize),
    Restore(usize),
    Mode(usize, usize),
    Move(usize, i32, i32),
    Resize(usize, i32, i32),
    Parent(usize, Option<usize>),
    Modal(usize, bool),
    Attention(usize, bool),
}

fn op() -> impl Strategy<Value = Op> {
    let length = prop_oneof![1..2000i32, Just(0), Just(i32::MAX)];
    let place = prop_oneof![-3000..3000i32, Just(i32::MAX / 4), Just(i32::MIN / 4)];
    let size = (length.clone(), length);
    prop_oneof![
        (0..3usize).prop_map(Op::Add),
        (0..9usize, size.clone(), proptest::option::of((0..1280, 0..800)))
            .prop_map(|(window, (w, h), pointer)| Op::Show(window, w, h, pointer)),
        (0..9usize).prop_map(Op::Hide),
        (0..9usize).prop_map(Op::Remove),
        (0..9usize).prop_map(Op::Activate),
        (0..9usize).prop_map(Op::Minimize),
        (0..9usize).prop_map(Op::Restore),
        (0..9usize, 0..3usize).prop_map(|(window, mode)| Op::Mode(window, mode)),
        (0..9usize, place.clone(), place).prop_map(|(window, x, y)| Op::Move(window, x, y)),
        (0..9usize, size).prop_map(|(window, (w, h))| Op::Resize(window, w, h)),
        (0..9usize, proptest::option::of(0..9usize)).prop_map(|(window, parent)| Op::Parent(window, parent)),
        (0..9usize, any::<bool>()).prop_map(|(window, modal)| Op::Modal(window, modal)),
        (0..9usize, any::<bool>()).prop_map(|(window, trusted)| Op::Attention(window, trusted)),
    ]
}

/// Does what the handlers do for it.
fn apply(shell: &mut Shell<usize>, op: &Op) {
    let named = |index: usize| shell.bottom_up().nth(index).map(|window| (window.id, window.origin.clone()));
    match *op {
        Op::Add(index) => {
            shell.add(0, origin(index));
        }
        Op::Show(index, w, h, pointer) => {
            let Some((id, new)) = named(index) else { return };
            let before = shell.focused_origin().cloned();
            let took = shell.show(id, (w, h).into(), pointer.map(Point::from));
            assert_eq!(took, before.is_none_or(|focused| focused == new), "the focus rule");
        }
        Op::Hide(index) => {
            let Some((id, left)) = named(index) else { return };
            shell.hide(id);
            shell.settle_focus(&left);
        }
        Op::Remove(index) => {
            let Some((id, left)) = named(index) else { return };
            shell.remove(id);
            shell.settle_focus(&left);
        }
        Op::Activate(index) => {
            if let Some((id, _)) = named(index) {
                shell.activate(id);
            }
        }
        Op::Minimize(index) => {
            let Some((id, left)) = named(index) else { return };
            shell.minimize(id);
            shell.settle_focus(&left);
        }
        Op::Restore(index) => {
            let Some((id, _)) = named(index) else { return };
            let before = shell.focused_origin().cloned();
            shell.restore(id);
            assert!(
                before.is_none() || shell.focused_origin() == before.as_ref(),
                "the focus stays in its VM"
            );
        }
        Op::Mode(index, mode) => {
            let Some((id, _)) = named(index) else { return };
            let modes = [Mode::Floating, Mode::Maximized, Mode::Fullscreen];
            shell.get_mut(id).unwrap().mode = modes[mode];
        }
        Op::Move(index, x, y) => {
            let Some((id, _)) = named(index) else { return };
            shell.get_mut(id).unwrap().location = (x, y).into();
        }
        Op::Resize(index, w, h) => {
            let Some((id, _)) = named(index) else { return };
            shell.get_mut(id).unwrap().size = (w, h).into();
        }
        Op::Parent(index, parent) => {
            let Some((id, _)) = named(index) else { return };
            let parent = parent.and_then(named).map(|(parent, _)| parent);
            let before = shell.focused_origin().cloned();
            shell.set_parent(id, parent);
            assert_eq!(shell.focused_origin(), before.as_ref(), "the focus stays in its VM");
        }
        Op::Modal(index, modal) => {
            let Some((id, _)) = named(index) else { return };
            let before = shell.focused_origin().cloned();
            shell.set_modal(id, modal);
            assert_eq!(shell.focused_origin(), before.as_ref(), "the focus stays in its VM");
        }
        Op::Attention(index, trusted) => {
            let Some((id, origin)) = named(index) else { return };
            let before = shell.focused_origin().cloned();
            let got = shell.request_attention(id, trusted);
            assert!(!got || trusted && before.is_none_or(|focused| focused == origin), "the focus rule");
        }
    }
}

fn rects() -> impl Strategy<Value = Rectangle<i32, Physical>> {
    (0..1000i32, 24..700i32, 1..900i32, 1..600i32)
        .prop_map(|(x, y, w, h)| Rectangle::new((x, y).into(), (w, h).into()))
}

proptest! {
    #[test]
    fn the_invariants_hold_whatever_happens(
        ops in proptest::collection::vec(op(), 1..60),
        scale in prop_oneof![Just(1.0), Just(1.25), Just(1.5), Just(2.0), 0.5..4.0f64],
    ) {
        let mut shell = shell(scale);
        for op in &ops {
            apply(&mut shell, op);
            shell.check();
            let area = shell.layout.work_area();
            for window in shell.bottom_up() {
                let frame = shell.frame(window);
                prop_assert!(frame.outer.loc.y >= area.loc.y);
                prop_assert!(frame.outer.overlaps(area), "some of the frame is on the output");
                if window.mode != Mode::Floating {
                    prop_assert!(area.contains_rect(frame.outer));
                }
            }
        }
    }

    #[test]
    fn the_key_for_the_next_window_reaches_all_in_one_round(
        windows in proptest::collection::vec((0..2usize, proptest::option::of(0..6usize), proptest::bool::weighted(0.2)), 1..7),
        ops in proptest::collection::vec(op(), 0..10),
    ) {
        let mut shell = shell(1.0);
        let ids: Vec<_> = windows.iter().map(|(vm, ..)| show(&mut shell, origin(*vm), (100, 100)).0).collect();
        for (id, (_, parent, modal)) in ids.iter().zip(&windows) {
            shell.set_parent(*id, parent.and_then(|parent| ids.get(parent).copied()));
            shell.set_modal(*id, *modal);
        }
        for op in &ops {
            apply(&mut shell, op);
        }
        let mapped: Vec<_> = shell.bottom_up().filter(|window| window.mapped).map(|window| window.id).collect();
        let mut visited = Vec::new();
        for _ in &mapped {
            let Some(next) = shell.next_to_activate() else { break };
            shell.activate(next);
            visited.extend(shell.focused().map(|window| window.id));
        }
        for id in mapped {
            let waits = shell.modal_over(id) != id;
            let focused = shell.focused().is_some_and(|window| window.id == id);
            prop_assert!(waits || focused || visited.contains(&id), "{:?} was not reached", id);
        }
    }

    #[test]
    fn no_simple_place_is_better_than_the_chosen_one(
        obstacles in proptest::collection::vec((rects(), any::<bool>()), 0..8),
        size in (1..1280i32, 1..776i32),
        others in proptest::collection::vec((0..1280i32, 24..800i32), 1..40),
        avoid in proptest::option::of((0..1280i32, 24..800i32)),
    ) {
        let area: Rectangle<i32, Physical> = Rectangle::new((0, 24).into(), (1280, 776).into());
        let size = Size::from(size);
        let obstacles: Vec<_> =
            obstacles.into_iter().map(|(rect, protected)| Obstacle { rect, protected }).collect();
        let avoid = avoid.map(Point::from);
        let chosen = Rectangle::new(place(size, area, &obstacles, avoid), size);
        prop_assert!(area.contains_rect(chosen));
        let best = cost(chosen, &obstacles, avoid);
        for (x, y) in others {
            let other = Rectangle::new((x, y).into(), size);
            if area.contains_rect(other) {
                prop_assert!(best <= cost(other, &obstacles, avoid), "{:?} is better than {:?}", other, chosen);
            }
        }
    }

    #[test]
    fn a_popup_and_its_ring_stay_in_the_work_area(
        x in -100_000..100_000i32, y in -100_000..100_000i32, w in -10..5000i32, h in -10..5000i32,
        parent in rects(), ring in 1..10i32,
    ) {
        let area: Rectangle<i32, Physical> = Rectangle::new((0, 24).into(), (1280, 776).into());
        let wanted = Rectangle::new((x, y).into(), Size::from((w.max(0), h.max(0))));
        let placed = constrain(wanted, parent, area, ring);
        prop_assert!(area.contains_rect(placed.outer()));
        prop_assert!(placed.outer().contains_rect(placed.content));
        match placed.ring {
            None => prop_assert!(parent.contains_rect(placed.content)),
            Some(outer) => prop_assert_eq!(placed.content.loc - outer.loc, Point::from((ring, ring))),
        }
    }
    #[test]
    fn a_popup_of_the_input_method_stays_below_the_label_whatever_a_client_says_of_its_cursor(
        (x, y) in (any::<i32>(), any::<i32>()),
        (w, h) in (0..=i32::MAX, 0..=i32::MAX),
        size in (-5..3000i32, -5..3000i32),
        content in (-2000..2000i32, 0..900i32, 1..1300i32, 1..800i32),
        above in 0..100i32,
        ring in 1..5i32,
    ) {
        let area: Rectangle<i32, Physical> = Rectangle::new((0, 24).into(), (1280, 776).into());
        let cursor = Rectangle::new((x, y).into(), (w, h).into());
        let content = Rectangle::new((content.0, content.1).into(), (content.2, content.3).into());
        let top = content.loc.y - above;
        let size = Size::from((size.0.max(0), size.1.max(0)));
        if let Some(placed) = beside_cursor(cursor, size, content, top, area, ring) {
            prop_assert!(area.contains_rect(placed.outer()) && placed.outer().loc.y >= top);
            prop_assert!(!placed.content.is_empty());
            prop_assert_eq!(placed.outer(), grown(placed.content, ring));
            prop_assert_eq!(placed.content.size.w, size.w.clamp(1, 1280 - 2 * ring));
            prop_assert_eq!(placed.content.size.h, size.h.clamp(1, 800 - top.max(24) - 2 * ring));
        } else {
            prop_assert!(800 - top.max(24) <= 2 * ring, "there was room");
        }
    }
}
