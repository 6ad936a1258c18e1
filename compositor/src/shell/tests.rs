//! Tests of the model: the rules by example, and the invariants under random use.

use proptest::prelude::*;
use smithay::utils::{Physical, Point, Rectangle, Size};

use super::columns::Arrangement;
use super::outputs::Outputs;
use super::placement::{Obstacle, cost, place};
use super::popup::{AreaBudget, beside_cursor, constrain};
use super::window::{Mode, WindowId};
use super::workspaces::Workspace;
use super::zone::Direction;
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
    Shell::new(Outputs::single(Layout { output: (1280, 800).into(), scale, ..Default::default() }))
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

/// The keyboard went to the top-most window of whichever VM, so that a password that was being typed went on into another VM
/// when the window that it was for crashed. A VM could also give its keyboard to another one by minimising itself.
#[test]
fn the_focus_is_kept_for_a_vm_whose_last_window_goes_until_the_user_gives_it_away() {
    for go in [Shell::remove_and_settle, Shell::hide_and_settle, Shell::minimize_and_settle] {
        let mut shell = shell(1.0);
        let (next, _) = show(&mut shell, origin(2), (300, 200));
        let (first, _) = show(&mut shell, origin(1), (300, 200));
        let (second, _) = show(&mut shell, origin(1), (300, 200));
        shell.activate(first);
        shell.activate(second);
        go(&mut shell, second);
        assert_eq!(shell.focused().unwrap().id, first, "a window of the same VM has it");
        go(&mut shell, first);
        assert!(shell.focused().is_none(), "no window of another VM has it by itself");
        let (late, took) = show(&mut shell, origin(3), (300, 200));
        assert!(!took && shell.get(late).unwrap().urgent, "nor one that opens");
        assert!(!shell.request_attention(next, true), "nor one that asks for it");
        shell.take_by_hand();
        let (again, took) = show(&mut shell, origin(1), (300, 200));
        assert!(took && !shell.take_by_hand(), "its VM has it again with its next window");
        go(&mut shell, again);
        shell.activate(next);
        assert!(shell.focused().unwrap().id == next && shell.take_by_hand(), "the user's hand gives it");
        assert!(!shell.take_by_hand(), "once");
        go(&mut shell, next);
        shell.keep_for_nobody();
        let (_, took) = show(&mut shell, origin(3), (300, 200));
        assert!(took, "the user has been elsewhere, and nobody is typing for anybody");
        shell.check();
    }
}

impl Shell<usize> {
    fn remove_and_settle(&mut self, id: WindowId) {
        let window = self.remove(id).unwrap();
        self.settle_focus(&window.origin);
    }

    fn hide_and_settle(&mut self, id: WindowId) {
        self.hide(id);
        self.settle_focus(&self.get(id).unwrap().origin.clone());
    }

    fn minimize_and_settle(&mut self, id: WindowId) {
        self.minimize(id);
        self.settle_focus(&self.get(id).unwrap().origin.clone());
    }
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

/// A window that had no content for a moment was placed anew, so that it jumped.
#[test]
fn a_window_that_is_shown_again_is_where_it_was() {
    let mut shell = shell(1.0);
    let (id, _) = show(&mut shell, origin(1), (100, 100));
    let place = Point::from((333, 222));
    shell.get_mut(id).unwrap().location = place;
    shell.hide(id);
    show(&mut shell, origin(1), (100, 100));
    shell.show(id, (100, 100).into(), None);
    assert_eq!(shell.get(id).unwrap().location, place);
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
    // The place of its predecessor is not asked for again: where it is itself counts.
    let window = shell.get_mut(id).unwrap();
    (window.location, window.mode) = ((50, 60).into(), Mode::Floating);
    shell.hide(id);
    shell.show(id, (100, 100).into(), None);
    assert_eq!(shell.get(id).unwrap().location, (50, 60).into());
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
        let next = shell.switch_order()[1];
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
                let next = *shell.switch_order().last().unwrap();
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

fn names(count: usize) -> Vec<Workspace> {
    let named = |number: usize| Workspace { name: number.to_string(), arrangement: Arrangement::Floating };
    (1..=count).map(named).collect()
}

#[test]
fn each_workspace_gives_the_keyboard_back_to_the_window_that_had_it() {
    let mut shell = shell(1.0);
    shell.set_workspaces(&names(4));
    let (one, _) = show(&mut shell, origin(1), (300, 200));
    let (two, _) = show(&mut shell, origin(1), (300, 200));
    shell.activate(one);
    shell.switch_workspace(2);
    assert!(shell.focused().is_none() && shell.shown_top_down().next().is_none(), "nothing is here");
    let (other, took) = show(&mut shell, origin(2), (300, 200));
    assert!(took, "nobody on this workspace has the keyboard");
    shell.switch_workspace(0);
    assert_eq!(shell.focused().unwrap().id, one);
    shell.move_to_workspace(one, 2);
    assert_eq!(shell.focused().unwrap().id, two, "what stays gets the keyboard");
    shell.switch_workspace(2);
    assert_eq!(shell.focused().unwrap().id, one, "it had the keyboard when it came here");
    shell.activate(two);
    assert_eq!(shell.workspaces().current(), 0, "the user goes where the window is");
    shell.set_workspaces(&names(1));
    assert_eq!(shell.shown_top_down().count(), 3, "a shorter list loses no window");
    assert_eq!(shell.get(other).unwrap().workspace(), 0);
    shell.check();
}

#[test]
fn what_asks_for_attention_on_another_workspace_is_marked_and_brings_nobody_there() {
    let mut shell = shell(1.0);
    shell.set_workspaces(&names(2));
    let (away, _) = show(&mut shell, origin(1), (300, 200));
    shell.switch_workspace(1);
    assert!(!shell.request_attention(away, true), "nobody has the keyboard, and still");
    let (here, _) = show(&mut shell, origin(1), (300, 200));
    assert!(!shell.request_attention(away, true), "its own VM has the keyboard, and still");
    assert_eq!((shell.workspaces().current(), shell.focused().unwrap().id), (1, here));
    let report = shell.workspaces_report();
    assert_eq!((report[0].urgent, report[1].urgent, report[0].windows), (true, false, 1));
    shell.activate(away);
    assert!(!shell.workspaces_report()[0].urgent, "the user has seen it");
}

#[test]
fn a_dialog_goes_where_its_parent_goes() {
    let mut shell = shell(1.0);
    shell.set_workspaces(&names(3));
    let (parent, _) = show(&mut shell, origin(1), (600, 400));
    let (dialog, _) = show(&mut shell, origin(1), (100, 100));
    shell.set_parent(dialog, Some(parent));
    shell.move_to_workspace(dialog, 1);
    assert_eq!(shell.get(parent).unwrap().workspace(), 1);
    let late = shell.add(0, origin(1));
    shell.set_parent(late, Some(parent));
    assert!(!shell.show(late, (50, 50).into(), None), "it opens beside its parent, away from the user");
    assert_eq!((shell.get(late).unwrap().workspace(), shell.workspaces().current()), (1, 0));
    shell.check();
}

#[test]
fn a_window_of_the_gui_vm_is_kept_above_and_one_of_a_vm_is_not() {
    let mut shell = shell(1.0);
    let (local, _) = show(&mut shell, origin(0), (300, 200));
    let (work, _) = show(&mut shell, origin(1), (300, 200));
    assert!(shell.set_above(local, true));
    assert!(!shell.set_above(work, true));
    shell.activate(work);
    let order: Vec<_> = shell.bottom_up().map(|window| window.id).collect();
    assert_eq!((order, shell.focused().unwrap().id), (vec![work, local], work));
    assert!(!shell.set_above(local, false));
    shell.activate(work);
    assert_eq!(shell.shown_top_down().next().unwrap().id, work);
}

/// It came back below the window with the keyboard, as windows do that are not kept above, and stayed there.
#[test]
fn a_window_that_is_kept_above_comes_back_above_when_it_is_restored() {
    let mut shell = shell(1.0);
    let (local, _) = show(&mut shell, origin(0), (300, 200));
    let (used, _) = show(&mut shell, origin(0), (300, 200));
    shell.set_above(local, true);
    shell.minimize(local);
    shell.activate(used);
    shell.restore(local);
    assert_eq!(shell.shown_top_down().next().unwrap().id, local);
    assert_eq!(shell.focused().unwrap().id, used);
    shell.check();
}

#[test]
fn snapped_windows_stand_side_by_side_with_their_frames() {
    for scale in [1.0, 1.25, 1.5, 2.0] {
        let mut shell = shell(scale);
        let (left, _) = show(&mut shell, origin(1), (300, 200));
        let (right, _) = show(&mut shell, origin(2), (300, 200));
        let mode = |to| Mode::Floating.snapped(to);
        shell.get_mut(left).unwrap().mode = mode(Direction::Left);
        shell.get_mut(right).unwrap().mode = mode(Direction::Right);
        let [left, right] = [left, right].map(|id| shell.frame(shell.get(id).unwrap()).outer);
        let area = shell.layout().work_area();
        assert_eq!((left.loc, right.loc), (area.loc, (640, area.loc.y).into()));
        assert_eq!((left.size, right.size), ((640, area.size.h).into(), (640, area.size.h).into()));
    }
}

#[test]
fn windows_in_columns_stand_side_by_side_and_change_places() {
    let mut shell = shell(1.0);
    let ids: Vec<_> = (0..3).map(|_| show(&mut shell, origin(1), (300, 200)).0).collect();
    let (foreign, _) = show(&mut shell, origin(2), (300, 200));
    shell.minimize(foreign);
    let places = |shell: &Shell<usize>| -> Vec<_> {
        ids.iter().map(|id| shell.frame(shell.get(*id).unwrap()).outer.loc.x).collect()
    };
    let floating = places(&shell);
    shell.toggle_columns();
    assert_eq!(places(&shell), [0, 426, 853]);
    assert!(shell.move_tile(ids[0], true));
    assert_eq!(places(&shell), [426, 0, 853]);
    assert!(shell.move_tile(ids[1], false), "at the end it stays");
    assert_eq!(places(&shell), [426, 0, 853]);
    shell.minimize(ids[1]);
    assert_eq!((places(&shell)[0], places(&shell)[2]), (0, 640), "the others take its room");
    shell.activate(ids[1]);
    let (dialog, _) = show(&mut shell, origin(1), (100, 100));
    shell.set_parent(dialog, Some(ids[0]));
    assert_eq!(shell.tile(shell.get(dialog).unwrap()), None, "a dialog floats");
    assert_eq!(places(&shell), [426, 0, 853]);
    let (late, took) = show(&mut shell, origin(2), (300, 200));
    assert!(!took && shell.get(late).unwrap().urgent);
    assert_eq!(places(&shell), [426, 0, 853], "what opens while another VM is used moves nothing of it");
    shell.activate(late);
    assert_eq!(shell.frame(shell.get(late).unwrap()).outer.loc.x, 960, "the user takes it in");
    shell.toggle_columns();
    assert_eq!(places(&shell), floating, "where they floated they float again");
    assert!(!shell.move_tile(ids[0], true));
}

#[test]
fn a_zone_without_room_for_a_label_is_the_whole_area() {
    let layout = Layout { output: (64, 64).into(), scale: 4.0, ..Default::default() };
    let mut shell = Shell::new(Outputs::single(layout));
    let (id, _) = show(&mut shell, origin(1), (300, 200));
    shell.get_mut(id).unwrap().mode = Mode::Floating.snapped(Direction::Left);
    let snapped = shell.content(shell.get(id).unwrap());
    shell.get_mut(id).unwrap().mode = Mode::Maximized;
    assert_eq!(snapped, shell.content(shell.get(id).unwrap()));
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
    Snap(usize, usize),
    Workspaces(usize),
    Switch(usize),
    MoveTo(usize, usize),
    Above(usize, bool),
    Columns,
    MoveTile(usize, bool),
    SwapTiles(usize, usize),
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
        (0..9usize, 0..4usize).prop_map(|(window, step)| Op::Snap(window, step)),
        (0..5usize).prop_map(Op::Workspaces),
        (0..5usize).prop_map(Op::Switch),
        (0..9usize, 0..5usize).prop_map(|(window, to)| Op::MoveTo(window, to)),
        (0..9usize, any::<bool>()).prop_map(|(window, above)| Op::Above(window, above)),
        Just(Op::Columns),
        (0..9usize, any::<bool>()).prop_map(|(window, on)| Op::MoveTile(window, on)),
        (0..9usize, 0..9usize).prop_map(|(one, other)| Op::SwapTiles(one, other)),
    ]
}

fn count_tiles(shell: &Shell<usize>) -> usize {
    shell.shown_top_down().filter(|window| shell.tile(window).is_some()).count()
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
            let may = shell.may_take(&new);
            let tiles = |shell: &Shell<usize>| -> Vec<_> {
                let others = shell.bottom_up().filter(|window| window.id != id);
                let mut tiles: Vec<_> =
                    others.filter_map(|other| Some((other.id, shell.tile(other)?.loc))).collect();
                tiles.sort_unstable_by_key(|(id, _)| *id);
                tiles
            };
            let fresh = !shell.get(id).unwrap().mapped;
            let tiled = tiles(shell);
            let took = shell.show(id, (w, h).into(), pointer.map(Point::from));
            assert!(
                took || !fresh || tiles(shell) == tiled,
                "what opens beside the user's work moves none of it"
            );
            assert!(!took || may, "the focus rule");
            assert!(took || !may || !shell.get(id).unwrap().sight.here, "what may take the focus here does");
        }
        Op::Hide(index) => {
            let Some((id, left)) = named(index) else { return };
            let before = shell.focused_origin().cloned();
            shell.hide(id);
            shell.settle_focus(&left);
            assert!(shell.focused_origin().is_none_or(|is| Some(is) == before.as_ref()), "to no other VM");
        }
        Op::Remove(index) => {
            let Some((id, left)) = named(index) else { return };
            let before = shell.focused_origin().cloned();
            shell.remove(id);
            shell.settle_focus(&left);
            assert!(shell.focused_origin().is_none_or(|is| Some(is) == before.as_ref()), "to no other VM");
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
            let tiled = count_tiles(shell);
            let foreign = shell.focused_origin().is_some_and(|used| *used != shell.get(id).unwrap().origin);
            shell.set_mode(id, modes[mode]);
            assert!(!foreign || count_tiles(shell) <= tiled, "nothing joins the columns by itself");
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
            let focused = shell.focused().map(|window| window.id);
            let tiled = count_tiles(shell);
            let foreign = before.as_ref().is_some_and(|used| *used != shell.get(id).unwrap().origin);
            shell.set_parent(id, parent);
            assert!(!foreign || count_tiles(shell) <= tiled, "nothing joins the columns by itself");
            let gone = focused.is_some_and(|focused| !shell.get(focused).unwrap().sight.here);
            assert!(gone || shell.focused_origin() == before.as_ref(), "the focus stays in its VM");
        }
        Op::Modal(index, modal) => {
            let Some((id, _)) = named(index) else { return };
            let before = shell.focused_origin().cloned();
            shell.set_modal(id, modal);
            assert_eq!(shell.focused_origin(), before.as_ref(), "the focus stays in its VM");
        }
        Op::Attention(index, trusted) => {
            let Some((id, origin)) = named(index) else { return };
            let may = shell.may_take(&origin);
            let got = shell.request_attention(id, trusted);
            assert!(!got || trusted && may, "the focus rule");
            assert!(!got || shell.get(id).unwrap().sight.here, "nothing on another workspace gets the focus");
        }
        Op::Snap(index, step) => {
            let Some((id, _)) = named(index) else { return };
            let steps = [Direction::Left, Direction::Right, Direction::Up, Direction::Down];
            let window = shell.get_mut(id).unwrap();
            window.mode = window.mode.snapped(steps[step]);
        }
        Op::Workspaces(count) => shell.set_workspaces(&names(count)),
        Op::Switch(to) => shell.switch_workspace(to),
        Op::MoveTo(index, to) => {
            let Some((id, _)) = named(index) else { return };
            shell.move_to_workspace(id, to);
        }
        Op::Columns => shell.toggle_columns(),
        Op::MoveTile(index, on) => {
            let Some((id, _)) = named(index) else { return };
            let tiled = shell.tile(shell.get(id).unwrap()).is_some();
            assert_eq!(shell.move_tile(id, on), tiled);
        }
        Op::SwapTiles(one, other) => {
            let (Some((one, _)), Some((other, _))) = (named(one), named(other)) else { return };
            shell.swap_tiles(one, other);
        }
        Op::Above(index, above) => {
            let Some((id, origin)) = named(index) else { return };
            assert_eq!(shell.set_above(id, above), above && !origin.is_vm());
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
            let count = shell.bottom_up().count();
            apply(&mut shell, op);
            shell.check();
let (more, fewer) = match op {
                Op::Add(_) => (1, 0),
                Op::Remove(index) if *index < count => (0, 1),
                _ => (0, 0),
            };
            prop_assert_eq!(shell.bottom_up().count() + fewer, count + more, "no window is lost");
            let area = shell.layout().work_area();
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
        let mapped = shell.bottom_up().filter(|window| window.mapped && window.sight.here);
        let mapped: Vec<_> = mapped.map(|window| window.id).collect();
        let mut visited = Vec::new();
        for _ in &mapped {
            let Some(next) = shell.switch_order().last().copied() else { break };
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
