//! What local programs are told of VMs and their windows by `vitrail-vm-v1`, and what they may do with them.

use vitrail::config::Live;
use vitrail::trust::origin::Origin;
use vitrail_protocols::vitrail_vm::client::vitrail_vm_manager_v1::{self, VitrailVmManagerV1};
use vitrail_protocols::vitrail_vm::client::vitrail_vm_v1::{self, Kind, Pattern, VitrailVmV1};
use vitrail_protocols::vitrail_vm::client::vitrail_window_v1::{self, State as Bits, VitrailWindowV1};
use wayland_client::{Connection, Dispatch, Proxy as _, QueueHandle, WEnum};

use crate::client::Told;
use crate::fixture::{Fixture, Who, vm};

const RED: [u8; 4] = [255, 0, 0, 255];

/// What a client was told.
#[derive(Default)]
pub struct Seen {
    pub vms: Vec<SeenVm>,
    pub windows: Vec<SeenWindow>,
    done: usize,
    finished: bool,
    /// It reads, but does not say so.
    slow: bool,
    /// Windows and VMs with the keyboard at each `done`.
    keyboards: Vec<(usize, usize)>,
}

pub struct SeenVm {
    object: VitrailVmV1,
    name: String,
    kind: Option<Kind>,
    label: String,
    color: (u32, u32, u32),
    pattern: Option<Pattern>,
    clients: u32,
    state: vitrail_vm_v1::State,
    removed: bool,
}

pub struct SeenWindow {
    object: VitrailWindowV1,
    vm: VitrailVmV1,
    identifier: String,
    app_id: String,
    title: String,
    /// How often it was told.
    titles: usize,
    state: Bits,
    closed: bool,
}

impl Seen {
    fn vm(&self, name: &str) -> &SeenVm {
        self.vms.iter().rfind(|vm| vm.name == name).unwrap()
    }

    /// The windows that are not closed, of one VM.
    fn of(&self, name: &str) -> Vec<&SeenWindow> {
        let vm = &self.vm(name).object;
        self.windows.iter().filter(|window| window.vm == *vm && !window.closed).collect()
    }
}

impl Dispatch<VitrailVmManagerV1, ()> for Told {
    fn event(
        told: &mut Self,
        manager: &VitrailVmManagerV1,
        event: vitrail_vm_manager_v1::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        let seen = &mut told.vms;
        assert!(!seen.finished, "nothing is told after the end");
        match event {
            vitrail_vm_manager_v1::Event::Vm { vm } => seen.vms.push(SeenVm {
                object: vm,
                name: String::new(),
                kind: None,
                label: String::new(),
                color: (0, 0, 0),
                pattern: None,
                clients: 0,
                state: vitrail_vm_v1::State::empty(),
                removed: false,
            }),
            vitrail_vm_manager_v1::Event::Done => {
                seen.done += 1;
                let open = seen.windows.iter().filter(|window| !window.closed);
                let windows = open.filter(|window| window.state.contains(Bits::Focused)).count();
                let vms = seen.vms.iter().filter(|vm| !vm.removed);
                let vms = vms.filter(|vm| vm.state.contains(vitrail_vm_v1::State::Keyboard)).count();
                seen.keyboards.push((windows, vms));
                if !seen.slow {
                    manager.ack();
                }
            }
            _ => seen.finished = true,
        }
    }

    wayland_client::event_created_child!(Told, VitrailVmManagerV1, [
        vitrail_vm_manager_v1::EVT_VM_OPCODE => (VitrailVmV1, ()),
    ]);
}

impl Dispatch<VitrailVmV1, ()> for Told {
    fn event(
        told: &mut Self,
        object: &VitrailVmV1,
        event: vitrail_vm_v1::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        use vitrail_vm_v1::Event;
        assert!(!told.vms.finished, "nothing is told after the end");
        let vm = told.vms.vms.iter_mut().find(|vm| vm.object == *object).unwrap();
        assert!(!vm.removed, "nothing is told of a VM that was removed");
        match event {
            Event::Identity { name, kind } => {
                vm.name = name;
                vm.kind = kind.into_result().ok();
            }
            Event::Label { text } => vm.label = text,
            Event::Color { red, green, blue } => vm.color = (red, green, blue),
            Event::Pattern { pattern } => vm.pattern = pattern.into_result().ok(),
            Event::Clients { count } => vm.clients = count,
            Event::State { state: WEnum::Value(state) } => vm.state = state,
            Event::Window { window } => told.vms.windows.push(SeenWindow {
                object: window,
                vm: object.clone(),
                identifier: String::new(),
                app_id: String::new(),
                title: String::new(),
                titles: 0,
                state: Bits::empty(),
                closed: false,
            }),
            Event::Removed => {
                vm.removed = true;
                let mut open = told.vms.windows.iter().filter(|window| !window.closed);
                assert!(open.all(|window| window.vm != *object), "its windows are closed before");
            }
            _ => unreachable!(),
        }
    }

    wayland_client::event_created_child!(Told, VitrailVmV1, [
        vitrail_vm_v1::EVT_WINDOW_OPCODE => (VitrailWindowV1, ()),
    ]);
}

impl Dispatch<VitrailWindowV1, ()> for Told {
    fn event(
        told: &mut Self,
        object: &VitrailWindowV1,
        event: vitrail_window_v1::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        use vitrail_window_v1::Event;
        assert!(!told.vms.finished, "nothing is told after the end");
        let window = told.vms.windows.iter_mut().find(|window| window.object == *object).unwrap();
        assert!(!window.closed, "nothing is told of a window that was closed");
        match event {
            Event::Identifier { identifier } => window.identifier = identifier,
            Event::AppId { app_id } => window.app_id = app_id,
            Event::Title { title } => {
                window.title = title;
                window.titles += 1;
            }
            Event::State { state: WEnum::Value(state) } => window.state = state,
            Event::Closed => window.closed = true,
            _ => unreachable!(),
        }
    }
}

impl Fixture {
    /// A local program that reads, and its manager.
    fn reader(&mut self) -> (Who, VitrailVmManagerV1) {
        let who = self.connect(Origin::Local);
        let manager = self.client(who).bind();
        self.roundtrip(who);
        (who, manager)
    }

    fn seen(&mut self, who: Who) -> &mut Seen {
        &mut self.client(who).told.vms
    }

    /// Waits until a VM has one window that is told, and returns its object.
    #[track_caller]
    fn only_window(&mut self, reader: Who, name: &str) -> VitrailWindowV1 {
        self.wait("one window", |fixture| fixture.seen(reader).of(name).len() == 1);
        self.seen(reader).of(name)[0].object.clone()
    }

    #[track_caller]
    fn wait_state(&mut self, reader: Who, name: &str, state: Bits) {
        self.wait(&format!("{state:?}"), |fixture| {
            fixture.seen(reader).of(name).first().is_some_and(|window| window.state == state)
        });
    }

    fn set_title(&mut self, who: Who, window: usize, title: &str) {
        self.client(who).told.shown[window].toplevel.as_ref().unwrap().set_title(title.to_owned());
    }

    fn focused_vm(&mut self) -> Option<String> {
        self.state().comp.shell.focused_origin().map(|origin| origin.name().to_owned())
    }
}

#[test]
fn a_local_program_is_told_of_every_vm_at_once() {
    let mut fixture = Fixture::new();
    let work = fixture.connect(vm("work"));
    fixture.window(work, 80, 60, RED);
    let (reader, _manager) = fixture.reader();
    let seen = fixture.seen(reader);
    assert_eq!(seen.done, 1, "what there is is told as one");
    let told: Vec<_> =
        seen.vms.iter().map(|vm| (vm.name.as_str(), vm.kind.unwrap(), vm.label.as_str())).collect();
    assert_eq!(told, [("local", Kind::Local, "local"), ("web", Kind::Vm, "Web"), ("work", Kind::Vm, "Work")]);
    let (work, web) = (seen.vm("work"), seen.vm("web"));
    assert_eq!((work.color, work.pattern, work.clients), ((0x2e, 0x7d, 0x32), Some(Pattern::Solid), 1));
    assert_eq!((web.color, web.clients), ((0xc6, 0x28, 0x28), 0));
    assert_eq!(work.state, vitrail_vm_v1::State::Keyboard);
    assert_eq!((seen.of("work").len(), seen.of("web").len()), (1, 0));
    assert_eq!(seen.of("work")[0].state, Bits::Focused);
}

/// Hidden is one thing; a worker that is not itself any more may bind what it was never told of.
#[test]
fn a_vm_that_binds_it_by_its_name_is_ended() {
    let mut fixture = Fixture::new();
    let (reader, _manager) = fixture.reader();
    let name = fixture.client(reader).name_of("vitrail_vm_manager_v1");
    let work = fixture.connect(vm("work"));
    assert!(!fixture.client(work).sees("vitrail_vm_manager_v1"));
    fixture.client(work).bind_by_name::<VitrailVmManagerV1>(name);
    fixture.wait("the end of the connection", |fixture| fixture.client(work).ended());
    assert!(fixture.seen(work).vms.is_empty());
}

#[test]
fn a_reload_is_told_colours_new_vms_and_removed_ones() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[vm.web]\ncolor = \"#c62828\"\n[vm.work]\ncolor = \"#2e7d32\"\n").unwrap();
    let mut fixture = Fixture::configured_as(Live::load(file.path()).unwrap());
    let (reader, _manager) = fixture.reader();
    let (web, work) = (fixture.connect(vm("web")), fixture.connect(vm("work")));
    fixture.window(web, 80, 60, RED);
    fixture.window(work, 80, 60, RED);
    fixture.only_window(reader, "web");
    let before = fixture.seen(reader).done;
    let text = "[vm.new]\ncolor = \"#c62828\"\n[vm.work]\ncolor = \"#1565c0\"\nlabel = \"Job\"\npattern = \"dots\"\n";
    std::fs::write(file.path(), text).unwrap();
    assert!(fixture.state().reload());
    fixture.wait("the new colour", |fixture| fixture.seen(reader).vm("work").color == (0x15, 0x65, 0xc0));
    fixture.wait("the end of the state", |fixture| fixture.seen(reader).done > before);
    let seen = fixture.seen(reader);
    assert_eq!((seen.vm("work").label.as_str(), seen.vm("work").pattern), ("Job", Some(Pattern::Dots)));
    assert_eq!(seen.of("work").len(), 1, "its window stays");
    assert!(seen.vm("web").removed && seen.of("web").is_empty());
    assert_eq!(seen.vm("new").color, (0xc6, 0x28, 0x28));
    assert!(
        fixture.client(web).ended() || {
            fixture.roundtrip(web);
            fixture.client(web).ended()
        }
    );
}

#[test]
fn connections_are_counted_without_a_window() {
    let mut fixture = Fixture::new();
    let (reader, _manager) = fixture.reader();
    for count in 1..=3 {
        // What it was told is acknowledged, so that nothing else makes the compositor look.
        fixture.roundtrip(reader);
        fixture.wait("the last frame", |fixture| !fixture.state().comp.schedule.is_pending());
        fixture.connect(vm("work"));
        fixture.wait("the number", |fixture| fixture.seen(reader).vm("work").clients == count);
    }
    assert_eq!(fixture.seen(reader).vm("web").clients, 0);
}

#[test]
fn windows_come_and_go_with_texts_that_are_safe_to_show() {
    let mut fixture = Fixture::new();
    let (reader, _manager) = fixture.reader();
    let work = fixture.connect(vm("work"));
    let window = fixture.window(work, 80, 60, RED);
    let toplevel = fixture.client(work).told.shown[window].toplevel.clone().unwrap();
    toplevel.set_app_id(String::from("fo\u{202e}ot"));
    fixture.set_title(work, window, "\u{1b}[31m<b>\u{65e5} a\n\nb");
    fixture.wait("the texts", |fixture| {
        let window = fixture.seen(reader).of("work").first().map(|window| window.title.clone());
        window.is_some_and(|title| title == "[31m<b>? a b")
    });
    assert_eq!(fixture.seen(reader).of("work")[0].app_id, "foot");
    assert!(!fixture.seen(reader).of("work")[0].state.contains(Bits::Imitating));
    fixture.set_title(work, window, "[WEB] bank");
    fixture.wait_state(reader, "work", Bits::Focused | Bits::Imitating);
    let identifier = fixture.seen(reader).of("work")[0].identifier.clone();
    assert_eq!(identifier.len(), 32);
    // Another one, once it has content again.
    let surface = fixture.client(work).told.shown[window].surface.clone();
    surface.attach(None, 0, 0);
    surface.commit();
    fixture.wait("the end", |fixture| fixture.seen(reader).windows[0].closed);
    assert!(!fixture.seen(reader).vm("work").state.contains(vitrail_vm_v1::State::Keyboard));
    surface.commit();
    fixture.configured(work, window, 2);
    fixture.client(work).draw(window, 80, 60, RED);
    fixture.only_window(reader, "work");
    assert_ne!(fixture.seen(reader).of("work")[0].identifier, identifier);
}

/// A VM changed its title as fast as it could, and every reader of the list was sent each of them.
#[test]
fn a_flood_of_titles_is_told_once_a_frame() {
    let mut fixture = Fixture::new();
    let (reader, _manager) = fixture.reader();
    let work = fixture.connect(vm("work"));
    let window = fixture.window(work, 80, 60, RED);
    fixture.only_window(reader, "work");
    let frames = fixture.state().comp.schedule.frames();
    for number in 0..3000 {
        fixture.set_title(work, window, &format!("title {number}"));
        if number % 100 == 0 {
            fixture.roundtrip(work);
        }
    }
    fixture.wait("the last title", |fixture| fixture.seen(reader).of("work")[0].title == "title 2999");
    let frames = fixture.state().comp.schedule.frames() - frames;
    let told = fixture.seen(reader).of("work")[0].titles;
    assert!(told as u64 <= frames + 1 && told < 300, "{told} titles in {frames} frames");
}

/// What waits for a client that does not read would grow with what VMs do, until the client is ended for it: a VM could end
/// the bar.
#[test]
fn a_slow_reader_is_told_the_difference_once_it_has_caught_up() {
    let mut fixture = Fixture::new();
    let reader = fixture.connect(Origin::Local);
    fixture.seen(reader).slow = true;
    let manager: VitrailVmManagerV1 = fixture.client(reader).bind();
    fixture.roundtrip(reader);
    assert_eq!(fixture.seen(reader).done, 1);
    let work = fixture.connect(vm("work"));
    let passing = fixture.window(work, 80, 60, RED);
    let window = fixture.window(work, 80, 60, RED);
    let surface = fixture.client(work).told.shown[passing].surface.clone();
    surface.attach(None, 0, 0);
    surface.commit();
    for number in 0..3 {
        fixture.set_title(work, window, &format!("title {number}"));
        fixture.roundtrip(work);
        fixture.wait("the frame with it", |fixture| !fixture.state().comp.schedule.is_pending());
    }
    fixture.roundtrip(reader);
    assert_eq!((fixture.seen(reader).done, fixture.seen(reader).windows.len()), (1, 0));
    manager.ack();
    fixture.wait("the difference", |fixture| fixture.seen(reader).done == 2);
    let seen = fixture.seen(reader);
    assert_eq!((seen.windows.len(), seen.of("work")[0].titles), (1, 1), "what came and went is not told");
    assert_eq!(seen.of("work")[0].title, "title 2");
    assert_eq!(seen.vm("work").clients, 1);
}

/// Objects are the compositor's memory too.
#[test]
fn a_reader_that_destroys_nothing_is_ended() {
    let mut fixture = Fixture::new();
    let (reader, _manager) = fixture.reader();
    let (tidy, _manager) = fixture.reader();
    let web = fixture.connect(vm("web"));
    let windows: Vec<usize> = (0..60).map(|_| fixture.client(web).create_window()).collect();
    let (_pool, buffer) = fixture.client(web).buffer(8, 8, RED);
    let mut configures = vec![0; windows.len()];
    let mut closed = 0;
    while !fixture.client(reader).ended() {
        assert!(closed <= 4096 + 60, "{closed} objects of closed windows");
        for (window, count) in windows.iter().zip(&configures) {
            fixture.configured(web, *window, *count);
            let surface = fixture.client(web).told.shown[*window].surface.clone();
            surface.attach(Some(&buffer), 0, 0);
            surface.commit();
        }
        fixture.wait("the windows", |fixture| fixture.seen(tidy).of("web").len() == windows.len());
        fixture.roundtrip(web);
        for window in &windows {
            let surface = fixture.client(web).told.shown[*window].surface.clone();
            surface.attach(None, 0, 0);
            surface.commit();
        }
        fixture.wait("their end", |fixture| fixture.seen(tidy).of("web").is_empty());
        // Now no more configures come of their own accord.
        fixture.roundtrip(web);
        for (window, count) in windows.iter().zip(&mut configures) {
            *count = fixture.client(web).configures(*window).len();
            fixture.client(web).told.shown[*window].surface.commit();
        }
        for window in fixture.seen(tidy).windows.drain(..) {
            window.object.destroy();
        }
        fixture.roundtrip(reader);
        closed += windows.len();
    }
    assert!(closed > 4096, "{closed}");
    assert!(!fixture.client(tidy).ended());
}

#[test]
fn activate_moves_the_keyboard_to_another_vm() {
    let mut fixture = Fixture::new();
    let (reader, _manager) = fixture.reader();
    let (work, web) = (fixture.connect(vm("work")), fixture.connect(vm("web")));
    fixture.window(work, 80, 60, RED);
    fixture.window(web, 80, 60, RED);
    let window = fixture.only_window(reader, "web");
    assert_eq!(fixture.focused_vm().as_deref(), Some("work"));
    window.activate();
    fixture.wait_state(reader, "web", Bits::Focused);
    assert_eq!(fixture.focused_vm().as_deref(), Some("web"));
    fixture.wait_state(reader, "work", Bits::empty());
    fixture.roundtrip(reader);
    let seen = fixture.seen(reader);
    assert_eq!(seen.vm("web").state, vitrail_vm_v1::State::Keyboard);
    assert_eq!(seen.vm("work").state, vitrail_vm_v1::State::empty());
    let both = seen.keyboards.iter().any(|(windows, vms)| *windows > 1 || windows != vms);
    assert!(!both, "each state is told as one: {:?}", seen.keyboards);
}

#[test]
fn close_asks_the_program() {
    let mut fixture = Fixture::new();
    let (reader, _manager) = fixture.reader();
    let work = fixture.connect(vm("work"));
    let window = fixture.window(work, 80, 60, RED);
    fixture.only_window(reader, "work").close();
    fixture.wait("the question", |fixture| fixture.client(work).told.shown[window].asked_to_close);
    assert_eq!(fixture.seen(reader).of("work").len(), 1, "it may leave it open");
}

#[test]
fn a_minimised_window_comes_back_below_the_one_in_use() {
    let mut fixture = Fixture::new();
    let (reader, _manager) = fixture.reader();
    let (work, web) = (fixture.connect(vm("work")), fixture.connect(vm("web")));
    fixture.window(work, 80, 60, RED);
    fixture.window(web, 80, 60, RED);
    let window = fixture.only_window(reader, "work");
    window.set_minimized();
    fixture.wait_state(reader, "work", Bits::Minimized);
    assert_eq!(fixture.focused_vm(), None, "no VM gives the keyboard to another one");
    let content = fixture.report()[0].content;
    fixture.click(content.loc.x + 5, content.loc.y + 5);
    assert_eq!(fixture.focused_vm().as_deref(), Some("web"));
    window.unset_minimized();
    fixture.wait_state(reader, "work", Bits::empty());
    assert_eq!(fixture.focused_vm().as_deref(), Some("web"), "nobody asked for the keyboard");
    let vms: Vec<String> = fixture.report().into_iter().map(|window| window.vm).collect();
    assert_eq!(vms, ["work", "web"], "the lowest first");
    // To activate it brings it back too.
    window.set_minimized();
    fixture.wait_state(reader, "work", Bits::Minimized);
    window.activate();
    fixture.wait_state(reader, "work", Bits::Focused);
}

#[test]
fn a_restored_window_has_the_keyboard_if_nobody_else_has_it() {
    let mut fixture = Fixture::new();
    let (reader, _manager) = fixture.reader();
    let work = fixture.connect(vm("work"));
    fixture.window(work, 80, 60, RED);
    let window = fixture.only_window(reader, "work");
    window.set_minimized();
    fixture.wait_state(reader, "work", Bits::Minimized);
    assert_eq!(fixture.focused_vm(), None);
    window.unset_minimized();
    fixture.wait_state(reader, "work", Bits::Focused);
}

#[test]
fn a_layout_and_a_call_for_attention_are_told() {
    let mut fixture = Fixture::new();
    let (reader, _manager) = fixture.reader();
    let (work, web) = (fixture.connect(vm("work")), fixture.connect(vm("web")));
    fixture.window(work, 80, 60, RED);
    let window = fixture.window(web, 80, 60, RED);
    fixture.see_all();
    let toplevel = fixture.client(web).told.shown[window].toplevel.clone().unwrap();
    toplevel.set_maximized();
    fixture.wait_state(reader, "web", Bits::Maximized);
    toplevel.set_fullscreen(None);
    fixture.wait_state(reader, "web", Bits::Fullscreen);
    let id = fixture.report().into_iter().find(|window| window.vm == "web").unwrap().id;
    let state = fixture.state();
    state.comp.shell.request_attention(id, false);
    state.comp.schedule.request();
    fixture.wait_state(reader, "web", Bits::Fullscreen | Bits::Urgent);
    assert_eq!(fixture.seen(reader).vm("web").state, vitrail_vm_v1::State::Urgent);
}

#[test]
fn requests_for_a_window_that_is_gone_do_nothing() {
    let mut fixture = Fixture::new();
    let (reader, _manager) = fixture.reader();
    let (work, web) = (fixture.connect(vm("work")), fixture.connect(vm("web")));
    fixture.window(work, 80, 60, RED);
    let window = fixture.window(web, 80, 60, RED);
    let gone = fixture.only_window(reader, "web");
    let surface = fixture.client(web).told.shown[window].surface.clone();
    surface.attach(None, 0, 0);
    surface.commit();
    fixture.wait("the end", |fixture| fixture.seen(reader).of("web").is_empty());
    for request in [VitrailWindowV1::activate, VitrailWindowV1::close, VitrailWindowV1::unset_minimized] {
        request(&gone);
    }
    fixture.roundtrip(reader);
    gone.destroy();
    fixture.roundtrip(reader);
    assert!(!fixture.client(reader).ended());
    assert_eq!(fixture.focused_vm().as_deref(), Some("work"));
    assert!(!fixture.client(web).told.shown[window].asked_to_close);
}

#[test]
fn a_stopped_list_tells_nothing_more_and_its_windows_can_be_used() {
    let mut fixture = Fixture::new();
    let (reader, manager) = fixture.reader();
    let (work, web) = (fixture.connect(vm("work")), fixture.connect(vm("web")));
    fixture.window(work, 80, 60, RED);
    fixture.window(web, 80, 60, RED);
    let window = fixture.only_window(reader, "web");
    manager.stop();
    fixture.wait("the end", |fixture| fixture.seen(reader).finished);
    window.activate();
    fixture.wait("the keyboard", |fixture| fixture.focused_vm().as_deref() == Some("web"));
    // With assertions in what the client is told: nothing comes.
    let frames = fixture.state().comp.schedule.frames();
    fixture.wait("a frame", |fixture| fixture.state().comp.schedule.frames() > frames);
    manager.destroy();
    fixture.roundtrip(reader);
    assert!(!fixture.client(reader).ended());
}

#[test]
fn a_window_whose_object_was_destroyed_is_told_no_more() {
    let mut fixture = Fixture::new();
    let (reader, _manager) = fixture.reader();
    let (work, web) = (fixture.connect(vm("work")), fixture.connect(vm("web")));
    fixture.window(work, 80, 60, RED);
    let window = fixture.only_window(reader, "work");
    window.destroy();
    fixture.seen(reader).vm("web").object.destroy();
    fixture.roundtrip(reader);
    fixture.window(web, 80, 60, RED);
    // A second of `work` is told with the same frame as that of `web`, or a later one.
    fixture.window(work, 80, 60, RED);
    fixture.wait("the second window", |fixture| fixture.seen(reader).windows.len() == 2);
    let seen = fixture.seen(reader);
    assert!(seen.windows[1].vm == seen.vm("work").object && seen.of("web").is_empty());
}

#[test]
fn one_manager_too_many_ends_its_client_alone() {
    let mut fixture = Fixture::new();
    let (first, _manager) = fixture.reader();
    let (second, _manager) = fixture.reader();
    for _ in 2..16 {
        fixture.client(second).bind::<VitrailVmManagerV1>();
    }
    fixture.roundtrip(second);
    assert!(!fixture.client(second).ended());
    fixture.client(second).bind::<VitrailVmManagerV1>();
    fixture.wait("the end of the connection", |fixture| fixture.client(second).ended());
    assert_eq!(fixture.client(second).error(), Some((String::from("wl_display"), 3)));
    assert!(!fixture.client(first).ended());
    // What it had is free again.
    let (third, _manager) = fixture.reader();
    assert_eq!(fixture.seen(third).done, 1);
}

#[test]
fn what_is_told_is_what_the_list_of_toplevels_names() {
    use wayland_protocols::ext::foreign_toplevel_list::v1::client::ext_foreign_toplevel_list_v1::ExtForeignToplevelListV1;
    let mut fixture = Fixture::new();
    let (reader, _manager) = fixture.reader();
    fixture.client(reader).bind::<ExtForeignToplevelListV1>();
    let work = fixture.connect(vm("work"));
    fixture.window(work, 80, 60, RED);
    let window = fixture.only_window(reader, "work");
    fixture.roundtrip(reader);
    assert!(window.is_alive());
    let identifier = fixture.seen(reader).of("work")[0].identifier.clone();
    assert_eq!(fixture.client(reader).told.seen.identifiers(), [identifier]);
}
