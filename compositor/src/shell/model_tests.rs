//! The window manager as a whole under random use: what any sequence of operations leaves as it was.
//!
//! # Model
//!
//! An operation is the user's, or that of the client of one window. Before and after each, a [`Snapshot`] of everything that can be seen
//! of the windows is taken. What must not have changed follows from who did what, and from nothing that the code under test
//! computes:
//!
//! * Everything but the operation's own subject: no window is lost or made, mapped or unmapped, minimised, restored, laid out,
//!   moved, resized or adopted by the way.
//! * There are up to two screens, which are plugged in and out. A window goes to another output with its family, by the user's hand or
//!   when it is first shown; and when its own is gone, or has come back. Workspaces are each output's own.
//! * Whatever a client does, while another VM has the keyboard that keeps it, and all windows of others keep their places, their
//!   frames, their order and their marks.
//!
//! And in every state: the focus is valid, and is lost only where there is nobody to have it; every frame can be reached on its output, and
//! is on no other; families are of one VM; workspaces agree with their windows ([`Shell::check`] looks at part of that in its own way).

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::Index;
use smithay::utils::{Physical, Point, Rectangle};

use super::Shell;
use super::columns::Arrangement;
use super::outputs::{Head, OutputId, Outputs};
use super::stacking::Element;
use super::window::{Mode, Window, WindowId};
use super::workspaces::Workspace;
use super::zone::{Half, Zone};
use crate::trust::origin::Origin;

/// What the user does.
#[derive(Clone, Debug)]
enum Hand {
    Activate,
    Minimize,
    Restore,
    LayOut(Mode),
    Drag(i32, i32),
    Stretch(i32, i32),
    NextWindow,
    Switch(usize),
    Send(usize),
    Above(bool),
    Columns,
    MoveTile(bool),
    SwapTiles(Index),
    Workspaces(usize),
    Plug { screen: usize, size: (i32, i32), scale: f64 },
    Unplug(usize),
    Visit(usize),
    Carry(usize),
    Bars(Option<(i32, i32, i32, i32)>),
}

/// What the client of a window does.
#[derive(Clone, Debug)]
enum Ask {
    Add,
    Map { size: (i32, i32), pointer: Option<(i32, i32)> },
    Unmap,
    Destroy,
    Resize(i32, i32),
    LayOut(Mode),
    Minimize,
    Parent(Option<Index>),
    Modal(bool),
    Attention(bool),
}

#[derive(Clone, Debug)]
enum Op {
    /// The user does something with a window, or the one with the keyboard, or none in particular.
    Hand(Index, Hand),
    /// The client of a window asks for something; of a new window it is that of an origin.
    Ask(Index, Ask),
}

fn origin(index: usize) -> Origin {
    match index % 3 {
        0 => Origin::Local,
        1 => Origin::Vm("work".parse().unwrap()),
        _ => Origin::Vm("web".parse().unwrap()),
    }
}

fn length() -> impl Strategy<Value = i32> {
    prop_oneof![8 => 1..2000i32, 1 => Just(0), 1 => Just(i32::MAX)]
}

fn place() -> impl Strategy<Value = i32> {
    prop_oneof![8 => -3000..3000i32, 1 => Just(i32::MAX / 4), 1 => Just(i32::MIN / 4)]
}

fn mode() -> impl Strategy<Value = Mode> {
    let half = || prop_oneof![Just(Half::Near), Just(Half::Both), Just(Half::Far)];
    prop_oneof![
        Just(Mode::Floating),
        Just(Mode::Maximized),
        Just(Mode::Fullscreen),
        (half(), half()).prop_map(|(column, row)| Zone { column, row }.mode()),
    ]
}

fn hand() -> impl Strategy<Value = Hand> {
    let bar = (0..800i32, 0..600i32, 1..1600i32, 1..1200i32);
    prop_oneof![
        4 => Just(Hand::Activate),
        2 => Just(Hand::Minimize),
        2 => Just(Hand::Restore),
        3 => mode().prop_map(Hand::LayOut),
        2 => (place(), place()).prop_map(|(x, y)| Hand::Drag(x, y)),
        1 => (length(), length()).prop_map(|(w, h)| Hand::Stretch(w, h)),
        1 => Just(Hand::NextWindow),
        3 => (0..5usize).prop_map(Hand::Switch),
        2 => (0..5usize).prop_map(Hand::Send),
        1 => any::<bool>().prop_map(Hand::Above),
        2 => Just(Hand::Columns),
        1 => any::<bool>().prop_map(Hand::MoveTile),
        1 => any::<Index>().prop_map(Hand::SwapTiles),
        1 => (0..5usize).prop_map(Hand::Workspaces),
        3 => (0..2usize, (64..3000i32, 64..2000i32), prop_oneof![Just(1.0), Just(1.5), Just(2.0), 0.5..4.0f64])
            .prop_map(|(screen, size, scale)| Hand::Plug { screen, size, scale }),
        2 => (0..2usize).prop_map(Hand::Unplug),
        2 => (0..2usize).prop_map(Hand::Visit),
        3 => (0..2usize).prop_map(Hand::Carry),
        1 => proptest::option::of(bar).prop_map(Hand::Bars),
    ]
}

fn ask() -> impl Strategy<Value = Ask> {
    let map = ((length(), length()), proptest::option::of((0..1280i32, 0..800i32)));
    prop_oneof![
        4 => Just(Ask::Add),
        6 => map.prop_map(|(size, pointer)| Ask::Map { size, pointer }),
        1 => Just(Ask::Unmap),
        1 => Just(Ask::Destroy),
        2 => (length(), length()).prop_map(|(w, h)| Ask::Resize(w, h)),
        2 => mode().prop_map(Ask::LayOut),
        1 => Just(Ask::Minimize),
        3 => proptest::option::of(any::<Index>()).prop_map(Ask::Parent),
        2 => any::<bool>().prop_map(Ask::Modal),
        2 => any::<bool>().prop_map(Ask::Attention),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        (any::<Index>(), hand()).prop_map(|(window, hand)| Op::Hand(window, hand)),
        (any::<Index>(), ask()).prop_map(|(window, ask)| Op::Ask(window, ask)),
    ]
}

/// What can be seen of a window.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    origin: Origin,
    mapped: bool,
    minimized: bool,
    mode: Mode,
    above: bool,
    urgent: bool,
    parent: Option<WindowId>,
    output: OutputId,
    workspace: usize,
    location: Point<i32, Physical>,
    size: (i32, i32),
    tiled: bool,
    frame: Rectangle<i32, Physical>,
}

/// What can be seen of all.
#[derive(Clone, Debug)]
struct Snapshot {
    windows: BTreeMap<WindowId, Seen>,
    /// From the bottom up.
    order: Vec<WindowId>,
    focused: Option<WindowId>,
    /// The scale of each output in use, and its workspace.
    outputs: BTreeMap<OutputId, (f64, usize)>,
}

impl Snapshot {
    fn of(shell: &Shell<usize>) -> Self {
        let seen = |window: &Window<usize>| Seen {
            origin: window.origin.clone(),
            mapped: window.mapped,
            minimized: window.minimized,
            mode: window.mode,
            above: window.is_above(),
            urgent: window.urgent,
            parent: window.parent,
            output: window.output,
            workspace: window.workspace(),
            location: window.location,
            size: (window.size.w, window.size.h),
            tiled: shell.tile(window).is_some(),
            frame: shell.frame(window).outer,
        };
        Self {
            windows: shell.bottom_up().map(|window| (window.id, seen(window))).collect(),
            order: shell.bottom_up().map(|window| window.id).collect(),
            focused: shell.focused().map(|window| window.id),
            outputs: shell
                .outputs()
                .used()
                .map(|output| (output.id, (output.layout.scale, output.workspaces().current())))
                .collect(),
        }
    }

    /// Whether two windows are of one family.
    fn related(&self, one: WindowId, other: WindowId) -> bool {
        let root = |mut id: WindowId| {
            while let Some(parent) = self.windows.get(&id).and_then(|window| window.parent) {
                id = parent;
            }
            id
        };
        root(one) == root(other)
    }

    fn origin_of_focus(&self) -> Option<&Origin> {
        self.focused.and_then(|id| self.windows.get(&id)).map(|window| &window.origin)
    }

    /// The windows of others than an origin, from the bottom up.
    fn of_others(&self, origin: &Origin) -> Vec<WindowId> {
        let foreign = |id: &WindowId| self.windows.get(id).is_some_and(|window| window.origin != *origin);
        self.order.iter().copied().filter(foreign).collect()
    }
}

/// Which of a window's properties an operation may change.
#[derive(Clone, Copy, Debug, Default)]
struct May {
    map: bool,
    minimize: bool,
    lay_out: bool,
    place: bool,
    size: bool,
    parent: bool,
}

const SCREENS: [&str; 2] = ["left", "right"];

fn screen(number: usize, size: (i32, i32), scale: f64) -> Head {
    Head::virtual_one(SCREENS[number], size.into(), scale)
}

fn configured(count: usize) -> Vec<Workspace> {
    let named = |number: usize| Workspace { name: number.to_string(), arrangement: Arrangement::Floating };
    (1..=count).map(named).collect()
}

/// Does what the user wants as the handlers do it, and says what it may change of the window it is about.
fn do_by_hand(shell: &mut Shell<usize>, id: WindowId, hand: &Hand) -> May {
    let Some(window) = shell.get(id) else { return May::default() };
    let owner = window.origin.clone();
    match *hand {
        Hand::Activate => {
            shell.activate(id);
            return May { minimize: true, ..May::default() };
        }
        Hand::Minimize => {
            shell.minimize(id);
            shell.settle_focus(&owner);
            return May { minimize: true, ..May::default() };
        }
        Hand::Restore => {
            shell.restore(id);
            return May { minimize: true, ..May::default() };
        }
        Hand::LayOut(mode) => {
            shell.get_mut(id).unwrap().mode = mode;
            return May { lay_out: true, ..May::default() };
        }
        Hand::Drag(x, y) => {
            let window = shell.get_mut(id).unwrap();
            window.location = window.output.origin() + Point::from((x, y));
            return May { place: true, ..May::default() };
        }
        Hand::Stretch(w, h) => {
            shell.get_mut(id).unwrap().size = (w, h).into();
            return May { size: true, ..May::default() };
        }
        Hand::NextWindow => {
            if let Some(next) = shell.switch_order().get(1).copied() {
                shell.activate(next);
            }
        }
        Hand::Switch(to) => shell.switch_workspace(to),
        Hand::Send(to) => {
            // The chord is for the window with the keyboard.
            if let Some(id) = shell.focused().map(|window| window.id) {
                shell.move_to_workspace(id, to);
            }
        }
        Hand::Above(above) => assert_eq!(shell.set_above(id, above), above && !owner.is_vm()),
        Hand::Columns => shell.toggle_columns(),
        Hand::MoveTile(on) => {
            shell.move_tile(id, on);
        }
        Hand::SwapTiles(other) => {
            let others: Vec<_> = shell.bottom_up().map(|window| window.id).collect();
            shell.swap_tiles(id, *other.get(&others));
        }
        Hand::Workspaces(count) => shell.set_workspaces(&configured(count)),
        Hand::Plug { screen: number, size, scale } => {
            shell.change_outputs(|outputs| outputs.connect(screen(number, size, scale)));
        }
        Hand::Unplug(number) => shell.change_outputs(|outputs| outputs.disconnect(SCREENS[number])),
        Hand::Visit(number) => {
            if let Some(output) = shell.outputs().named(SCREENS[number]).map(|output| output.id) {
                shell.visit(output);
            }
        }
        Hand::Carry(number) => {
            if let Some(output) = shell.outputs().named(SCREENS[number]).map(|output| output.id) {
                shell.move_to_output(id, output);
            }
        }
        Hand::Bars(left) => {
            let layout = &mut shell.outputs.active_mut().layout;
            let corner = layout.origin;
            layout.left =
                left.map(|(x, y, w, h)| Rectangle::new(corner + Point::from((x, y)), (w, h).into()));
        }
    }
    May::default()
}

/// Does what a client asks for as the handlers do it, and says what it may change of its window.
fn do_for_client(shell: &mut Shell<usize>, id: WindowId, ask: &Ask) -> May {
    let Some(window) = shell.get(id) else { return May::default() };
    let (owner, mapped) = (window.origin.clone(), window.mapped);
    match *ask {
        Ask::Add => {
            shell.add(0, owner);
        }
        // A window is shown once, until its content goes.
        Ask::Map { .. } if mapped => {}
        Ask::Map { size, pointer } => {
            shell.show(id, size.into(), pointer.map(Point::from));
            return May { map: true, minimize: true, place: true, size: true, ..May::default() };
        }
        Ask::Unmap => {
            shell.hide(id);
            shell.settle_focus(&owner);
            return May { map: true, ..May::default() };
        }
        Ask::Destroy => {
            shell.remove(id);
            shell.settle_focus(&owner);
        }
        Ask::Resize(w, h) => {
            shell.get_mut(id).unwrap().size = (w, h).into();
            return May { size: true, ..May::default() };
        }
        Ask::LayOut(mode) => {
            shell.set_mode(id, mode);
            return May { lay_out: true, ..May::default() };
        }
        Ask::Minimize => {
            shell.minimize(id);
            shell.settle_focus(&owner);
            return May { minimize: true, ..May::default() };
        }
        Ask::Parent(parent) => {
            let all: Vec<_> = shell.bottom_up().map(|window| window.id).collect();
            shell.set_parent(id, parent.map(|parent| *parent.get(&all)));
            return May { parent: true, ..May::default() };
        }
        Ask::Modal(modal) => shell.set_modal(id, modal),
        Ask::Attention(trusted) => {
            shell.request_attention(id, trusted);
        }
    }
    May::default()
}

/// What an operation on one window leaves as it was, whoever wants it.
fn check_the_rest(before: &Snapshot, after: &Snapshot, op: &Op, subject: WindowId, may: May) {
    let added = usize::from(matches!(op, Op::Ask(_, Ask::Add)));
    let removed = matches!(op, Op::Ask(_, Ask::Destroy));
    assert_eq!(after.windows.len() + usize::from(removed), before.windows.len() + added, "none is lost");
    let orphans = before.windows.get(&subject).and_then(|window| window.parent);
    for (id, was) in &before.windows {
        let Some(is) = after.windows.get(id) else {
            assert!(removed && *id == subject, "{id:?} is lost");
            continue;
        };
        let own = |allowed: bool| allowed && *id == subject;
        assert_eq!(is.origin, was.origin);
        assert!(own(may.map) || is.mapped == was.mapped, "{id:?} is mapped or unmapped by the way");
        // Whatever is chosen comes back onto the screen.
        let chosen = matches!(op, Op::Hand(_, Hand::NextWindow)) && !is.minimized;
        assert!(
            own(may.minimize) || chosen || is.minimized == was.minimized,
            "{id:?} is minimised or restored"
        );
        assert!(own(may.lay_out) || is.mode == was.mode, "{id:?} is laid out by the way");
        let carried = check_output(before, after, op, subject, *id);
        assert!(own(may.place) || carried || is.location == was.location, "{id:?} moves by the way");
        assert!(own(may.size) || is.size == was.size, "{id:?} is resized by the way");
        let inherits = removed && was.parent == Some(subject) && is.parent == orphans;
        assert!(own(may.parent) || inherits || is.parent == was.parent, "{id:?} is adopted by the way");
        let sent = matches!(
            op,
            Op::Hand(_, Hand::Send(_) | Hand::Workspaces(_) | Hand::Carry(_))
                | Op::Ask(_, Ask::Map { .. } | Ask::Parent(_))
        );
        assert!(
            sent || carried || is.workspace == was.workspace,
            "{id:?} is on another workspace by the way"
        );
    }
    let plugs = plugs(op);
    let goes = matches!(
        op,
        Op::Hand(
            _,
            Hand::Activate | Hand::NextWindow | Hand::Switch(_) | Hand::Workspaces(_) | Hand::Carry(_)
        )
    );
    assert!(goes || plugs || after.outputs == before.outputs, "only the user changes workspaces and outputs");
    assert!(
        !plugs || after.origin_of_focus() == before.origin_of_focus(),
        "no VM gets or loses the keyboard by a screen"
    );
}

fn plugs(op: &Op) -> bool {
    matches!(op, Op::Hand(_, Hand::Plug { .. } | Hand::Unplug(_)))
}

/// Why a window is on another output than before, or its output another size: whether it may have moved because of that.
fn check_output(before: &Snapshot, after: &Snapshot, op: &Op, subject: WindowId, id: WindowId) -> bool {
    let (was, is) = (&before.windows[&id], &after.windows[&id]);
    if was.output == is.output {
        let scale = |snapshot: &Snapshot| snapshot.outputs.get(&is.output).map(|(scale, _)| *scale);
        return plugs(op) && scale(before) != scale(after);
    }
    assert!(after.outputs.contains_key(&is.output), "{id:?} goes to an output that is not there");
    if plugs(op) {
        let gone = !after.outputs.contains_key(&was.output);
        let new = !before.outputs.contains_key(&is.output);
        assert!(gone || new, "{id:?} leaves an output that stays for one that was there");
    } else {
        let by = matches!(op, Op::Hand(_, Hand::Carry(_)) | Op::Ask(_, Ask::Map { .. } | Ask::Parent(_)));
        let related = before.related(id, subject) || after.related(id, subject);
        assert!(by && related, "{id:?} is on another output by the way");
    }
    true
}

/// What a client cannot do to others.
fn check_others(before: &Snapshot, after: &Snapshot, client: &Origin) {
    assert_eq!(before.of_others(client), after.of_others(client), "the order of others' windows");
    let used = before.origin_of_focus().is_some_and(|used| used != client);
    if used {
        assert_eq!(before.focused, after.focused, "the keyboard stays with the VM that the user uses");
    }
    for (id, was) in before.windows.iter().filter(|(_, window)| window.origin != *client) {
        let Some(is) = after.windows.get(id) else { panic!("{id:?} is lost") };
        // Tiles share the room with what the user uses, and with what goes.
        let (was, mut is) = (was.clone(), is.clone());
        if was.tiled || is.tiled {
            (is.frame, is.tiled) = (was.frame, was.tiled);
        }
        assert_eq!(was, is, "a window of another VM changes");
    }
}

/// What holds in every state.
fn check_state(shell: &Shell<usize>) {
    shell.check();
    let used: Vec<_> = shell.outputs().used().collect();
    for window in shell.bottom_up() {
        let frame = shell.frame(window);
        let layout = shell.layout_of(window);
        let (area, space) = (layout.work_area(), layout.space());
        // An output of 64 pixels at a scale of 4 is not much more than the stripe.
        let (corner, sum) = layout.margins();
        let room = space.size.h > corner.y && space.size.w > sum.w;
        for output in &used {
            assert!(!frame.outer.overlaps(output.layout.stripe()), "no frame reaches a stripe");
            let own = output.id == window.output;
            assert!(own || !frame.outer.overlaps(output.layout.whole()), "each is on one output");
        }
        assert!(
            used.iter().any(|output| output.id == window.output),
            "none is on an output that is not there"
        );
        let handle = frame.title_bar.intersection(space);
        let width = handle.map_or(0, |handle| handle.size.w);
        assert!(
            width > 0 || !room,
            "{:?} has no title bar to be reached by: {frame:?} in {area:?}",
            window.id
        );
        for member in shell.family(window.id) {
            assert_eq!(shell.get(member).unwrap().origin, window.origin, "a family is of one VM");
        }
    }
    for window in shell.bottom_up().filter(|window| window.shown()) {
        let current = shell.outputs().of(window.output).workspaces().current();
        assert_eq!(window.workspace(), current, "what is shown is on the current workspace of its output");
    }
    if let Some(focused) = shell.focused() {
        assert!(focused.shown(), "what has the keyboard is shown");
    }
    let mut windows = 0;
    for output in used {
        let report = shell.workspaces_report_on(output.id);
        assert_eq!(report.iter().filter(|workspace| workspace.current).count(), 1);
        windows += report.iter().map(|workspace| workspace.windows).sum::<usize>();
    }
    let mapped = shell.bottom_up().filter(|window| window.mapped).count();
    assert_eq!(windows, mapped, "each is on one workspace of one output");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn nobody_loses_what_an_operation_is_not_about(ops in proptest::collection::vec(op(), 1..80)) {
        let heads = vec![screen(0, (1280, 800), 1.0), screen(1, (1920, 1080), 1.5)];
        let mut shell = Shell::new(Outputs::new(heads));
        shell.set_workspaces(&configured(3));
        for number in 0..6 {
            shell.add(0, origin(number));
        }
        for op in &ops {
            let before = Snapshot::of(&shell);
            let (Op::Hand(index, _) | Op::Ask(index, _)) = op;
            // When all are gone somebody begins anew.
            let subject = if before.order.is_empty() { shell.add(0, origin(1)) } else { *index.get(&before.order) };
            let before = Snapshot::of(&shell);
            let may = match op {
                Op::Hand(_, hand) => do_by_hand(&mut shell, subject, hand),
                Op::Ask(_, ask) => do_for_client(&mut shell, subject, ask),
            };
            let after = Snapshot::of(&shell);
            check_state(&shell);
            let lost = before.focused.is_some() && after.focused.is_none();
            // Who goes to an empty workspace of one output takes the keyboard from the other one's windows.
            let here = matches!(op, Op::Hand(_, Hand::Switch(_) | Hand::Workspaces(_)));
            let active = shell.outputs().active().id;
            let fits = |window: &Window<usize>| match here {
                true => window.output == active,
                false => Some(&window.origin) == before.origin_of_focus(),
            };
            let anybody = shell.shown_top_down().any(fits);
            assert!(!lost || !anybody, "the keyboard stays with the VM as long as it has a window there");
            let (was, is) = (before.origin_of_focus(), after.origin_of_focus());
            let moved = was.is_some() && is.is_some() && was != is;
            assert!(!moved || matches!(op, Op::Hand(..)), "to another VM only by the user's hand");
            check_the_rest(&before, &after, op, subject, may);
            if let (Op::Ask(..), Some(window)) = (op, before.windows.get(&subject)) {
                check_others(&before, &after, &window.origin);
            }
        }
    }
}
