//! Outputs: how they stand beside each other, and what becomes of windows when they come and go.

use proptest::prelude::*;

use super::*;
use crate::shell::Shell;
use crate::shell::window::{Mode, WindowId};
use crate::trust::origin::Origin;

fn head(name: &str, size: (i32, i32), scale: f64) -> Head {
    Head::virtual_one(name, size.into(), scale)
}

fn places(outputs: &Outputs) -> Vec<(String, i32, i32)> {
    let used = outputs.used().map(|output| (output.head.name.clone(), output.layout.position));
    used.map(|(name, at)| (name, at.x, at.y)).collect()
}

fn at(name: &str, x: i32, y: i32) -> (String, i32, i32) {
    (name.to_owned(), x, y)
}

#[test]
fn outputs_that_nobody_placed_stand_in_a_row_without_gaps() {
    let heads = vec![head("a", (1280, 800), 1.0), head("b", (1920, 1080), 1.5), head("c", (800, 600), 2.0)];
    let mut outputs = Outputs::new(heads);
    assert_eq!(places(&outputs), [at("a", 0, 0), at("b", 1280, 0), at("c", 2560, 0)]);
    outputs.disconnect("b");
    assert_eq!(places(&outputs), [at("a", 0, 0), at("c", 1280, 0)]);
}

#[test]
fn a_place_that_is_taken_is_given_to_one_output_and_the_other_stands_in_the_row() {
    let mut outputs = Outputs::new(vec![head("a", (1000, 800), 1.0), head("b", (1000, 800), 1.0)]);
    let placed = |x, y| Settings { position: Some((x, y).into()), ..Settings::default() };
    let configured =
        BTreeMap::from([("a".to_owned(), placed(-1000, 0)), ("b".to_owned(), placed(-500, 200))]);
    outputs.configure(&configured);
    assert_eq!(places(&outputs), [at("a", -1000, 0), at("b", 0, 0)]);
    let configured = BTreeMap::from([("a".to_owned(), placed(0, 0)), ("b".to_owned(), placed(0, 800))]);
    outputs.configure(&configured);
    assert_eq!(places(&outputs), [at("a", 0, 0), at("b", 0, 800)]);
    outputs.check();
}

#[test]
fn a_mode_is_one_that_the_screen_has_and_of_several_rates_the_nearest() {
    let mode = |w, h, refresh| OutputMode { size: (w, h).into(), refresh };
    let modes = vec![mode(1920, 1080, 60_000), mode(1920, 1080, 144_000), mode(1280, 720, 60_000)];
    let screen = Head { modes, preferred: mode(1920, 1080, 60_000), ..head("a", (1920, 1080), 1.0) };
    let takes = |w, h, refresh| screen.takes(WantedMode { size: (w, h).into(), refresh });
    assert_eq!(takes(1920, 1080, None), Some(mode(1920, 1080, 60_000)));
    assert_eq!(takes(1920, 1080, Some(140_000)), Some(mode(1920, 1080, 144_000)));
    assert_eq!(takes(1280, 720, None), Some(mode(1280, 720, 60_000)));
    assert_eq!(takes(640, 480, None), None);
    assert_eq!(head("b", (800, 600), 1.0).takes(WantedMode { size: (10, 10).into(), refresh: None }), None);
}

#[test]
fn what_a_program_changed_lasts_until_the_configuration_says_something_new() {
    let mut outputs = Outputs::new(vec![head("a", (1000, 800), 1.0)]);
    let scaled = |scale| Settings { scale: Some(scale), ..Settings::default() };
    let scale = |outputs: &Outputs| outputs.of(OutputId::FIRST).layout.scale;
    let configured = BTreeMap::from([("a".to_owned(), scaled(1.5))]);
    outputs.configure(&configured);
    assert!((scale(&outputs) - 1.5).abs() < f64::EPSILON);
    outputs.change(OutputId::FIRST, &scaled(2.0));
    outputs.configure(&configured);
    assert!(
        (scale(&outputs) - 2.0).abs() < f64::EPSILON,
        "a reload that changes nothing here changes nothing"
    );
    outputs.configure(&BTreeMap::from([("a".to_owned(), scaled(1.25))]));
    assert!((scale(&outputs) - 1.25).abs() < f64::EPSILON);
    outputs.change(OutputId::FIRST, &scaled(1e9));
    assert!((scale(&outputs) - 1.0).abs() < f64::EPSILON, "a scale that makes no sense is none");
}

#[test]
fn an_output_on_its_side_is_higher_than_wide() {
    let mut outputs = Outputs::new(vec![head("a", (1000, 800), 1.0), head("b", (1000, 800), 1.0)]);
    let turned = Settings { transform: Some(Transform::_90), ..Settings::default() };
    outputs.change(OutputId::FIRST, &turned);
    assert_eq!(outputs.of(OutputId::FIRST).layout.output, (800, 1000).into());
    assert_eq!(places(&outputs)[1], at("b", 800, 0));
}

fn two() -> Shell<usize> {
    Shell::new(Outputs::new(vec![head("a", (1280, 800), 1.0), head("b", (1920, 1080), 1.5)]))
}

fn show(shell: &mut Shell<usize>) -> WindowId {
    let id = shell.add(0, Origin::Local);
    shell.show(id, (400, 300).into(), None);
    id
}

fn id_of(shell: &Shell<usize>, name: &str) -> OutputId {
    shell.outputs().named(name).unwrap().id
}

#[test]
fn windows_open_where_the_user_is_and_each_output_has_its_own_workspace() {
    let mut shell = two();
    shell.set_workspaces(&crate::config::Config::load_default().unwrap().workspaces);
    let on_a = show(&mut shell);
    let b = id_of(&shell, "b");
    shell.visit(b);
    let on_b = show(&mut shell);
    assert_eq!(shell.get(on_b).unwrap().output, b);
    assert!(shell.layout_on(b).work_area().contains_rect(shell.frame(shell.get(on_b).unwrap()).outer));
    shell.switch_workspace(1);
    shell.check();
    let shown: Vec<_> = shell.shown_top_down().map(|window| window.id).collect();
    assert_eq!(shown, [on_a], "the other output still shows its own");
    assert!(shell.focused().is_none(), "the user has gone to where nobody is");
    shell.activate(on_b);
    assert_eq!(shell.workspaces().current(), 0, "the user goes to the output and workspace of a window");
    shell.check();
}

#[test]
fn windows_of_an_output_that_is_unplugged_go_to_another_one_and_come_back_with_it() {
    let mut shell = two();
    let (a, b) = (id_of(&shell, "a"), id_of(&shell, "b"));
    shell.visit(b);
    let (stays, moved) = (show(&mut shell), show(&mut shell));
    shell.get_mut(stays).unwrap().location = b.origin() + Point::from((1000, 500));
    let before = shell.frame(shell.get(stays).unwrap());
    shell.change_outputs(|outputs| outputs.disconnect("b"));
    shell.check();
    assert!([stays, moved].iter().all(|id| shell.get(*id).unwrap().output == a));
    assert_eq!(shell.focused().unwrap().id, moved, "the keyboard stays");
    let place = shell.frame(shell.get(stays).unwrap()).outer;
    assert_eq!(place.loc, (667, 333).into(), "as far from the corner as it was seen");
    // What the user puts somewhere stays there.
    shell.move_to_output(moved, a);
    shell.change_outputs(|outputs| outputs.connect(head("b", (1920, 1080), 1.5)));
    shell.check();
    assert_eq!(shell.frame(shell.get(stays).unwrap()), before);
    assert_eq!(shell.get(moved).unwrap().output, a);
}

#[test]
fn without_any_output_windows_stay_where_they_were_until_there_is_one() {
    let mut shell = two();
    let window = show(&mut shell);
    shell.change_outputs(|outputs| outputs.disconnect("a"));
    shell.change_outputs(|outputs| outputs.disconnect("b"));
    shell.check();
    assert_eq!(shell.outputs().used().count(), 1);
    let off = Settings { enabled: Some(false), ..Settings::default() };
    shell.change_outputs(|outputs| outputs.connect(head("c", (640, 480), 1.0)));
    let c = id_of(&shell, "c");
    assert_eq!(shell.get(window).unwrap().output, c);
    shell.change_outputs(|outputs| outputs.change(c, &off));
    shell.check();
    assert!(shell.outputs().of(c).in_use, "the last one cannot be switched off");
    shell.change_outputs(|outputs| outputs.connect(head("a", (1280, 800), 1.0)));
    shell.check();
    assert!(!shell.outputs().of(c).in_use);
    assert_eq!(shell.get(window).unwrap().output, id_of(&shell, "a"));
}

#[test]
fn a_number_is_given_to_another_output_only_when_all_are_taken_and_then_nobody_goes_back_there() {
    let mut shell: Shell<usize> = Shell::new(Outputs::new(vec![head("keep", (640, 480), 1.0)]));
    let name = |number: usize| format!("screen-{number}");
    for number in 0..MAX_OUTPUTS - 1 {
        assert!(
            shell.change_outputs(|outputs| outputs.connect(head(&name(number), (640, 480), 1.0))).is_some()
        );
    }
    assert_eq!(shell.change_outputs(|outputs| outputs.connect(head("more", (640, 480), 1.0))), None);
    shell.visit(id_of(&shell, &name(3)));
    let window = show(&mut shell);
    shell.change_outputs(|outputs| outputs.disconnect(&name(3)));
    assert!(shell.change_outputs(|outputs| outputs.connect(head("more", (640, 480), 1.0))).is_some());
    shell.check();
    let on = shell.get(window).unwrap().output;
    assert_ne!(shell.outputs().of(on).head.name, "more", "it is not the output that the window was on");
}

#[derive(Clone, Debug)]
enum Op {
    Connect(usize, (i32, i32), f64),
    Disconnect(usize),
    Configure(Vec<(usize, Settings)>),
    Change(usize, Settings),
    Visit(usize),
    Open(usize, (i32, i32)),
    Close(usize),
    Place(usize, (i32, i32)),
    SetMode(usize, usize),
    Carry(usize, usize),
    Parent(usize, Option<usize>),
    Activate(usize),
    Minimize(usize),
    Workspace(usize),
    ToWorkspace(usize, usize),
    Columns,
}

fn settings() -> impl Strategy<Value = Settings> {
    let transform = prop_oneof![Just(Transform::Normal), Just(Transform::_90), Just(Transform::Flipped270)];
    (
        proptest::option::of((-70_000..70_000i32, -3000..3000i32)),
        proptest::option::of(0.0..10.0f64),
        proptest::option::of(transform),
        proptest::option::of((0..20_000i32, 0..20_000i32)),
        proptest::option::of(any::<bool>()),
    )
        .prop_map(|(position, scale, transform, mode, enabled)| Settings {
            position: position.map(Point::from),
            scale,
            transform,
            mode: mode.map(|size| WantedMode { size: size.into(), refresh: None }),
            enabled,
        })
}

fn op() -> impl Strategy<Value = Op> {
    let (output, window) = (|| 0..20usize, || 0..6usize);
    let size = || (64..16_384i32, 64..16_384i32);
    prop_oneof![
        3 => (output(), size(), 0.5..8.0f64).prop_map(|(name, size, scale)| Op::Connect(name, size, scale)),
        3 => output().prop_map(Op::Disconnect),
        1 => proptest::collection::vec((output(), settings()), 0..4).prop_map(Op::Configure),
        2 => (output(), settings()).prop_map(|(name, settings)| Op::Change(name, settings)),
        2 => output().prop_map(Op::Visit),
        4 => (0..3usize, (1..20_000i32, 1..20_000i32)).prop_map(|(vm, size)| Op::Open(vm, size)),
        1 => window().prop_map(Op::Close),
        2 => (window(), (-40_000..40_000i32, -40_000..40_000i32)).prop_map(|(id, by)| Op::Place(id, by)),
        1 => (window(), 0..3usize).prop_map(|(id, mode)| Op::SetMode(id, mode)),
        2 => (window(), output()).prop_map(|(id, output)| Op::Carry(id, output)),
        2 => (window(), proptest::option::of(window())).prop_map(|(id, parent)| Op::Parent(id, parent)),
        1 => window().prop_map(Op::Activate),
        1 => window().prop_map(Op::Minimize),
        2 => (0..5usize).prop_map(Op::Workspace),
        1 => (window(), 0..5usize).prop_map(|(id, to)| Op::ToWorkspace(id, to)),
        1 => Just(Op::Columns),
    ]
}

fn origin(index: usize) -> Origin {
    ["work", "web"].get(index).map_or(Origin::Local, |name| Origin::Vm(name.parse().unwrap()))
}

fn apply(shell: &mut Shell<usize>, op: &Op) {
    let name = |number: usize| format!("screen-{number}");
    let window = |index: usize| shell.bottom_up().nth(index).map(|window| window.id);
    let output = |number: usize| shell.outputs().named(&name(number)).map(|output| output.id);
    match op {
        Op::Connect(number, size, scale) => {
            shell.change_outputs(|outputs| outputs.connect(head(&name(*number), *size, *scale)));
        }
        Op::Disconnect(number) => shell.change_outputs(|outputs| outputs.disconnect(&name(*number))),
        Op::Configure(list) => {
            let list = list.iter().map(|(number, settings)| (name(*number), settings.clone())).collect();
            shell.change_outputs(|outputs| outputs.configure(&list));
        }
        Op::Change(number, settings) => {
            let Some(id) = output(*number) else { return };
            shell.change_outputs(|outputs| outputs.change(id, settings));
        }
        Op::Visit(number) => {
            if let Some(id) = output(*number) {
                shell.visit(id);
            }
        }
        Op::Open(vm, size) => {
            let id = shell.add(0, origin(*vm));
            shell.show(id, (*size).into(), None);
        }
        Op::Close(index) => {
            if let Some(window) = window(*index).and_then(|id| shell.remove(id)) {
                shell.settle_focus(&window.origin);
            }
        }
        Op::Place(index, by) => {
            if let Some(window) = window(*index).and_then(|id| shell.get_mut(id)) {
                window.location = window.output.origin() + Point::from(*by);
            }
        }
        Op::SetMode(index, mode) => {
            let Some(id) = window(*index) else { return };
            shell.set_mode(id, [Mode::Floating, Mode::Maximized, Mode::Fullscreen][*mode]);
        }
        Op::Carry(index, number) => {
            if let (Some(id), Some(output)) = (window(*index), output(*number)) {
                shell.move_to_output(id, output);
            }
        }
        Op::Parent(index, parent) => {
            let parent = parent.and_then(window);
            if let Some(id) = window(*index) {
                shell.set_parent(id, parent);
            }
        }
        Op::Activate(index) => {
            if let Some(id) = window(*index) {
                shell.activate(id);
            }
        }
        Op::Minimize(index) => {
            let Some((id, origin)) = window(*index).and_then(|id| Some((id, shell.get(id)?.origin.clone())))
            else {
                return;
            };
            shell.minimize(id);
            shell.settle_focus(&origin);
        }
        Op::Workspace(to) => shell.switch_workspace(*to),
        Op::ToWorkspace(index, to) => {
            if let Some(id) = window(*index) {
                shell.move_to_workspace(id, *to);
            }
        }
        Op::Columns => shell.toggle_columns(),
    }
}

proptest! {
    #[test]
    fn no_window_is_lost_whatever_outputs_do(ops in proptest::collection::vec(op(), 1..60)) {
        let mut shell: Shell<usize> = Shell::new(Outputs::new(Vec::new()));
        shell.set_workspaces(&crate::config::Config::load_default().unwrap().workspaces);
        for op in &ops {
            let before = shell.bottom_up().count();
            let focus = shell.focused_origin().cloned();
            apply(&mut shell, op);
            // Every frame is on its own output, in reach, and on no other one's pixels.
            shell.check();
            let (opened, closed) = (matches!(op, Op::Open(..)), matches!(op, Op::Close(_)));
            let expected = before + usize::from(opened);
            let now = shell.bottom_up().count();
            prop_assert!(now == expected || (closed && now + 1 == before));
            if matches!(op, Op::Connect(..) | Op::Disconnect(_) | Op::Configure(_) | Op::Change(..)) {
                prop_assert_eq!(shell.focused_origin(), focus.as_ref(), "the keyboard stays with its VM");
            }
        }
    }

    #[test]
    fn a_place_is_the_same_in_both_planes(
        sizes in proptest::collection::vec(((64..4000i32, 64..4000i32), 0.5..4.0f64), 1..5),
        place in (0.0..1.0f64, 0.0..1.0f64),
    ) {
        let heads = sizes.iter().enumerate().map(|(number, (size, scale))| head(&number.to_string(), *size, *scale));
        let outputs = Outputs::new(heads.collect());
        for output in outputs.used() {
            let size = output.layout.output.to_f64();
            let point = output.layout.origin.to_f64() + Point::from((size.w * place.0, size.h * place.1));
            let there = output.layout.to_physical(output.layout.to_logical(point));
            prop_assert!((there.x - point.x).abs() < 1e-6 && (there.y - point.y).abs() < 1e-6);
            prop_assert_eq!(OutputId::at(point.to_i32_floor()), output.id);
            // The size in logical pixels is rounded; inside of that the place is this output's.
            if output.logical().to_f64().contains(output.layout.to_logical(point)) {
                prop_assert_eq!(outputs.over(output.layout.to_logical(point)).map(|output| output.id), Some(output.id));
            }
        }
    }
}
