//! What task bars are told of windows by `zwlr_foreign_toplevel_manager_v1`, and what they may do with them.

use std::collections::BTreeSet;

use vitrail::trust::origin::Origin;
use wayland_client::protocol::wl_output::WlOutput;
use wayland_client::{Connection, Dispatch, Proxy as _, QueueHandle};
use wayland_protocols_wlr::foreign_toplevel::v1::client::zwlr_foreign_toplevel_handle_v1::{
    self, ZwlrForeignToplevelHandleV1,
};
use wayland_protocols_wlr::foreign_toplevel::v1::client::zwlr_foreign_toplevel_manager_v1::{
    self, ZwlrForeignToplevelManagerV1,
};

use crate::client::Told;
use crate::fixture::{Fixture, Who, vm};
use crate::layer_shell::show_bar;

const RED: [u8; 4] = [255, 0, 0, 255];
const KEY_A: u32 = 30;

const MAXIMIZED: u32 = 0;
const MINIMIZED: u32 = 1;
const ACTIVATED: u32 = 2;
const FULLSCREEN: u32 = 3;

/// What a client was told.
#[derive(Default)]
pub struct Seen {
    windows: Vec<SeenWindow>,
    finished: bool,
}

struct SeenWindow {
    object: ZwlrForeignToplevelHandleV1,
    title: String,
    app_id: String,
    states: BTreeSet<u32>,
    outputs: Vec<WlOutput>,
    parent: Option<ZwlrForeignToplevelHandleV1>,
    done: usize,
    closed: bool,
}

impl Dispatch<ZwlrForeignToplevelManagerV1, ()> for Told {
    fn event(
        told: &mut Self,
        _: &ZwlrForeignToplevelManagerV1,
        event: zwlr_foreign_toplevel_manager_v1::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        let seen = &mut told.tasks;
        assert!(!seen.finished, "no window is told after the end");
        match event {
            zwlr_foreign_toplevel_manager_v1::Event::Toplevel { toplevel } => seen.windows.push(SeenWindow {
                object: toplevel,
                title: String::new(),
                app_id: String::new(),
                states: BTreeSet::new(),
                outputs: Vec::new(),
                parent: None,
                done: 0,
                closed: false,
            }),
            _ => seen.finished = true,
        }
    }

    wayland_client::event_created_child!(Told, ZwlrForeignToplevelManagerV1, [
        zwlr_foreign_toplevel_manager_v1::EVT_TOPLEVEL_OPCODE => (ZwlrForeignToplevelHandleV1, ()),
    ]);
}

impl Dispatch<ZwlrForeignToplevelHandleV1, ()> for Told {
    fn event(
        told: &mut Self,
        object: &ZwlrForeignToplevelHandleV1,
        event: zwlr_foreign_toplevel_handle_v1::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        use zwlr_foreign_toplevel_handle_v1::Event;
        let windows = &mut told.tasks.windows;
        if let Event::Parent { parent: Some(parent) } = &event {
            assert!(windows.iter().any(|window| window.object == *parent), "a parent is told first");
        }
        let window = windows.iter_mut().find(|window| window.object == *object).unwrap();
        assert!(!window.closed, "nothing is told of a window that was closed");
        match event {
            Event::Title { title } => window.title = title,
            Event::AppId { app_id } => window.app_id = app_id,
            Event::OutputEnter { output } => window.outputs.push(output),
            Event::OutputLeave { output } => window.outputs.retain(|known| *known != output),
            Event::State { state } => {
                let numbers =
                    state.chunks_exact(4).map(|bytes| u32::from_ne_bytes(bytes.try_into().unwrap()));
                window.states = numbers.collect();
            }
            Event::Parent { parent } => window.parent = parent,
            Event::Done => window.done += 1,
            Event::Closed => window.closed = true,
            _ => unreachable!(),
        }
    }
}

impl Fixture {
    /// A task bar along the top, and its manager.
    fn task_bar(&mut self) -> (Who, ZwlrForeignToplevelManagerV1) {
        let who = self.connect(Origin::Local);
        show_bar(self, who);
        let manager = self.client(who).bind();
        self.roundtrip(who);
        (who, manager)
    }

    fn tasks(&mut self, who: Who) -> &mut Seen {
        &mut self.client(who).told.tasks
    }

    /// The object of the window that is told with a title and is not closed, once there is one.
    #[track_caller]
    fn task(&mut self, who: Who, title: &str) -> ZwlrForeignToplevelHandleV1 {
        self.wait(title, |fixture| fixture.tasks(who).open(title).is_some());
        self.tasks(who).open(title).unwrap().object.clone()
    }

    #[track_caller]
    fn wait_states(&mut self, who: Who, title: &str, states: &[u32]) {
        let states: BTreeSet<u32> = states.iter().copied().collect();
        self.wait(&format!("{title} with {states:?}"), |fixture| {
            fixture.tasks(who).open(title).is_some_and(|window| window.states == states)
        });
    }

    fn use_bar(&mut self) {
        self.click(200, 40);
    }

    fn activate(&mut self, bar: Who, window: &ZwlrForeignToplevelHandleV1) {
        let seat = self.client(bar).seat();
        window.activate(&seat);
        self.roundtrip(bar);
    }

    fn has_focus(&mut self) -> Option<String> {
        self.state().comp.shell.focused_origin().map(|origin| origin.name().to_owned())
    }

    fn name_window(&mut self, who: Who, window: usize, title: &str, app_id: &str) {
        let toplevel = self.client(who).told.shown[window].toplevel.clone().unwrap();
        toplevel.set_title(title.to_owned());
        toplevel.set_app_id(app_id.to_owned());
        self.roundtrip(who);
    }
}

impl Seen {
    fn open(&self, title: &str) -> Option<&SeenWindow> {
        self.windows.iter().rfind(|window| window.title == title && !window.closed)
    }
}

/// Windows `[Work] one`, which has the keyboard, and `[Web] two`.
fn two(fixture: &mut Fixture) -> (Who, Who) {
    let (work, web) = (fixture.connect(vm("work")), fixture.connect(vm("web")));
    for (who, title) in [(work, "one"), (web, "two")] {
        fixture.client(who).listen();
        let window = fixture.window(who, 80, 60, RED);
        fixture.name_window(who, window, title, "app");
    }
    (work, web)
}

/// A task bar shows what it is told, and finds icons by it: a window of a VM that says that it is a local program, or another
/// VM's, must not look like it there.
#[test]
fn a_task_bar_is_told_of_every_window_with_its_label() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let (work, _) = two(&mut fixture);
    fixture.name_window(work, 0, "[local] Passwords", "org.keepassxc.KeePassXC");
    let local = fixture.connect(Origin::Local);
    let window = fixture.window(local, 80, 60, RED);
    fixture.name_window(local, window, "shell", "foot");
    let (bar, _manager) = fixture.task_bar();
    for (title, app_id) in [
        ("[Work] [local] Passwords", "vitrail.work.org.keepassxc.KeePassXC"),
        ("[Web] two", "vitrail.web.app"),
        ("[local] shell", "foot"),
    ] {
        fixture.task(bar, title);
        let told = fixture.tasks(bar).open(title).unwrap();
        assert_eq!(told.app_id, app_id);
        assert!(told.done > 0);
    }
    assert_eq!(fixture.tasks(bar).windows.len(), 3);
}

#[test]
fn a_vm_does_not_see_it_and_one_that_binds_it_by_its_name_is_ended() {
    let mut fixture = Fixture::new();
    let (bar, _manager) = fixture.task_bar();
    let name = fixture.client(bar).name_of("zwlr_foreign_toplevel_manager_v1");
    let work = fixture.connect(vm("work"));
    assert!(!fixture.client(work).sees("zwlr_foreign_toplevel_manager_v1"));
    fixture.client(work).bind_by_name::<ZwlrForeignToplevelManagerV1>(name);
    fixture.wait("the end of the connection", |fixture| fixture.client(work).ended());
    assert!(fixture.tasks(work).windows.is_empty());
}

#[test]
fn states_parents_and_outputs_follow_the_windows() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let (bar, _manager) = fixture.task_bar();
    let output: WlOutput = fixture.client(bar).bind();
    fixture.roundtrip(bar);
    let (work, _) = two(&mut fixture);
    let dialog = fixture.window(work, 40, 30, RED);
    fixture.name_window(work, dialog, "dialog", "app");
    let shown = &fixture.client(work).told.shown;
    let (parent, child) = (shown[0].toplevel.clone().unwrap(), shown[dialog].toplevel.clone().unwrap());
    child.set_parent(Some(&parent));
    fixture.roundtrip(work);
    let one = fixture.task(bar, "[Work] one");
    fixture.task(bar, "[Work] dialog");
    fixture.wait("the parent", |fixture| {
        fixture.tasks(bar).open("[Work] dialog").is_some_and(|window| window.parent.as_ref() == Some(&one))
    });
    child.set_parent(None);
    fixture.roundtrip(work);
    // The older one is the dialog: the parent is told first all the same.
    parent.set_parent(Some(&child));
    fixture.roundtrip(work);
    let (late, _manager) = fixture.task_bar();
    let last = fixture.task(late, "[Work] dialog");
    assert_eq!(fixture.tasks(late).open("[Work] one").unwrap().parent, Some(last));
    parent.set_parent(None);
    fixture.roundtrip(work);
    fixture.wait("no parent", |fixture| fixture.tasks(bar).open("[Work] dialog").unwrap().parent.is_none());
    assert_eq!(fixture.tasks(bar).open("[Work] one").unwrap().outputs, std::slice::from_ref(&output));
    // An output that is bound later is told of, too.
    let again: WlOutput = fixture.client(bar).bind();
    fixture.wait("the other object", |fixture| {
        fixture.tasks(bar).open("[Web] two").unwrap().outputs == [output.clone(), again.clone()]
    });
    let two = fixture.task(bar, "[Web] two");
    fixture.wait_states(bar, "[Web] two", &[]);
    two.set_maximized();
    fixture.wait_states(bar, "[Web] two", &[MAXIMIZED]);
    two.unset_fullscreen();
    two.set_minimized();
    fixture.wait_states(bar, "[Web] two", &[MAXIMIZED, MINIMIZED]);
    two.unset_minimized();
    two.unset_maximized();
    fixture.wait_states(bar, "[Web] two", &[]);
    two.set_fullscreen(None);
    fixture.wait_states(bar, "[Web] two", &[FULLSCREEN]);
    two.unset_fullscreen();
    fixture.wait_states(bar, "[Web] two", &[]);
    assert_eq!(fixture.has_focus().as_deref(), Some("work"), "nobody asked for the keyboard");
    one.close();
    fixture.wait("the question", |fixture| fixture.client(work).told.shown[0].asked_to_close);
    assert!(fixture.tasks(bar).open("[Work] one").is_some(), "it may leave it open");
    parent.destroy();
    fixture.wait("its end", |fixture| fixture.tasks(bar).windows.iter().any(|window| window.closed));
}

/// `activate` carries no serial: were it always believed, a task bar that activates what asks for attention would hand the
/// keyboard to any VM that asks, in the middle of a password.
#[test]
fn a_task_bar_moves_the_keyboard_to_another_vm_after_the_user_used_it_and_not_by_itself() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    two(&mut fixture);
    let (bar, _manager) = fixture.task_bar();
    let (one, two) = (fixture.task(bar, "[Work] one"), fixture.task(bar, "[Web] two"));
    fixture.activate(bar, &two);
    assert_eq!(fixture.has_focus().as_deref(), Some("work"), "by itself it marks the window");
    let urgent = |fixture: &mut Fixture| {
        let windows = fixture.state().comp.shell.bottom_up();
        windows.filter(|window| window.urgent).map(|window| window.title.clone()).collect::<Vec<_>>()
    };
    assert_eq!(urgent(&mut fixture), ["two"]);
    fixture.use_bar();
    fixture.activate(bar, &two);
    fixture.wait_states(bar, "[Web] two", &[ACTIVATED]);
    assert!(urgent(&mut fixture).is_empty());
    // The user types; what the bar does then is not the user's wish.
    fixture.state().input_key(KEY_A, true);
    fixture.state().input_key(KEY_A, false);
    fixture.activate(bar, &one);
    assert_eq!(fixture.has_focus().as_deref(), Some("web"));
    // Nor is it after a press on something else.
    fixture.use_bar();
    fixture.click(700, 590);
    fixture.activate(bar, &one);
    assert_eq!(fixture.has_focus().as_deref(), Some("web"));
    fixture.use_bar();
    fixture.activate(bar, &one);
    assert_eq!(fixture.has_focus().as_deref(), Some("work"));
}

#[test]
fn a_key_that_is_held_while_a_task_bar_moves_the_keyboard_is_typed_into_no_other_vm() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let (_, web) = two(&mut fixture);
    let (bar, _manager) = fixture.task_bar();
    let two = fixture.task(bar, "[Web] two");
    fixture.state().input_key(KEY_A, true);
    fixture.use_bar();
    fixture.activate(bar, &two);
    fixture.wait("the keyboard", |fixture| fixture.client(web).told.keyboard.is_some());
    assert_eq!(fixture.client(web).told.held, 0);
    fixture.state().input_key(KEY_A, false);
    fixture.roundtrip(web);
    assert!(fixture.client(web).told.keys.iter().all(|(_, pressed)| !pressed), "it never went down there");
}

#[test]
fn a_task_bar_restores_and_activates_a_minimised_window_of_its_own_workspace() {
    let mut fixture = Fixture::written("[workspaces]\nnames = [\"a\", \"b\"]\n");
    two(&mut fixture);
    let (bar, _manager) = fixture.task_bar();
    let two = fixture.task(bar, "[Web] two");
    two.set_minimized();
    fixture.wait_states(bar, "[Web] two", &[MINIMIZED]);
    fixture.chord(&["leftmeta", "2"]);
    assert_eq!(fixture.state().comp.shell.workspaces().current(), 1);
    fixture.use_bar();
    fixture.activate(bar, &two);
    fixture.wait_states(bar, "[Web] two", &[ACTIVATED]);
    assert_eq!(fixture.state().comp.shell.workspaces().current(), 0);
}

/// What a task bar asked for was told with the next frame, so that it had its answer before.
#[test]
fn a_task_bar_is_told_what_it_asked_for_together_with_the_answer() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    two(&mut fixture);
    let (bar, _manager) = fixture.task_bar();
    let two = fixture.task(bar, "[Web] two");
    for (minimized, states) in [(true, vec![MINIMIZED]), (false, vec![])] {
        if minimized {
            two.set_minimized();
        } else {
            two.unset_minimized();
        }
        let frames = fixture.state().comp.schedule.frames();
        fixture.roundtrip(bar);
        assert_eq!(fixture.tasks(bar).open("[Web] two").unwrap().states, states.into_iter().collect());
        let drawn = fixture.state().comp.schedule.frames() - frames;
        assert!(drawn <= 1, "the answer did not wait for frames");
    }
}

#[test]
fn a_locked_session_has_no_task_bar_that_moves_the_keyboard() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    two(&mut fixture);
    let (bar, _manager) = fixture.task_bar();
    let two = fixture.task(bar, "[Web] two");
    fixture.use_bar();
    fixture.state().begin_locked();
    fixture.activate(bar, &two);
    assert_eq!(fixture.has_focus().as_deref(), Some("work"));
}

/// A reader of `vitrail-vm-v1` acknowledges what it was told; a task bar cannot, and one that did not read for a moment was
/// ended because a VM changed its titles.
#[test]
fn a_frame_tells_a_task_bar_of_few_windows_however_many_change() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let web = fixture.connect(vm("web"));
    let windows: Vec<usize> = (0..30).map(|_| fixture.window(web, 40, 30, RED)).collect();
    let (bar, _manager) = fixture.task_bar();
    assert_eq!(fixture.tasks(bar).windows.len(), 30, "what there is is told at once");
    let told =
        |fixture: &mut Fixture| fixture.tasks(bar).windows.iter().map(|window| window.done).sum::<usize>();
    for round in 0..5 {
        let (before, frames) = (told(&mut fixture), fixture.state().comp.schedule.frames());
        for window in &windows {
            let toplevel = fixture.client(web).told.shown[*window].toplevel.clone().unwrap();
            toplevel.set_title(format!("{round} {window}"));
        }
        fixture.roundtrip(web);
        fixture.wait("the last titles", |fixture| {
            windows.iter().all(|window| fixture.tasks(bar).open(&format!("[Web] {round} {window}")).is_some())
        });
        fixture.roundtrip(bar);
        let frames = usize::try_from(fixture.state().comp.schedule.frames() - frames).unwrap();
        let told = told(&mut fixture) - before;
        assert!(told >= 30 && told <= (frames + 1) * 8, "{told} changes in {frames} frames");
    }
}

#[test]
fn one_that_stops_hears_of_the_windows_it_knows_and_of_no_new_one() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let (work, web) = two(&mut fixture);
    let (bar, manager) = fixture.task_bar();
    fixture.task(bar, "[Web] two");
    manager.stop();
    fixture.wait("the end", |fixture| fixture.tasks(bar).finished);
    let window = fixture.window(web, 40, 30, RED);
    fixture.name_window(web, window, "late", "app");
    fixture.name_window(work, 0, "another", "app");
    fixture.task(bar, "[Work] another");
    assert_eq!(fixture.tasks(bar).windows.len(), 2);
    for window in fixture.tasks(bar).windows.drain(..) {
        window.object.destroy();
    }
    fixture.roundtrip(bar);
    fixture.name_window(work, 0, "unheard", "app");
    fixture.wait("the frame with it", |fixture| !fixture.state().comp.schedule.is_pending());
    fixture.roundtrip(bar);
    assert!(fixture.state().comp.protocols.task_lists.is_empty(), "nothing is kept for it");
}

#[test]
fn a_rectangle_of_less_than_nothing_is_an_error() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    two(&mut fixture);
    let (bar, _manager) = fixture.task_bar();
    let two = fixture.task(bar, "[Web] two");
    let surface = fixture.client(bar).surface();
    two.set_rectangle(&surface, 1, 2, 30, 40);
    fixture.roundtrip(bar);
    assert!(!fixture.client(bar).ended());
    two.set_rectangle(&surface, 1, 2, -30, 40);
    fixture.wait("the end", |fixture| fixture.client(bar).ended());
    assert_eq!(fixture.client(bar).error(), Some((two.id().interface().name.to_owned(), 0)));
}
