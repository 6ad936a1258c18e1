//! The small protocols through the whole chain: `wl-forward`, hub, gate and compositor know them all, and what they
//! say arrives.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd as _;

use rustix::event::PollFlags;
use vitrail_tests::deadline::Deadline;
use vitrail_tests::process;
use vitrail_tests::session::{Options, Session, Sharing};
use wayland_client::globals::{BindError, GlobalList, GlobalListContents, registry_queue_init};
use wayland_client::protocol::wl_buffer::WlBuffer;
use wayland_client::protocol::wl_compositor::WlCompositor;
use wayland_client::protocol::wl_fixes::WlFixes;
use wayland_client::protocol::wl_keyboard::{self, WlKeyboard};
use wayland_client::protocol::wl_registry::{self, WlRegistry};
use wayland_client::protocol::wl_seat::WlSeat;
use wayland_client::protocol::wl_shm::{Format, WlShm};
use wayland_client::protocol::wl_shm_pool::WlShmPool;
use wayland_client::protocol::wl_surface::WlSurface;
use wayland_client::{Connection, Dispatch, EventQueue, Proxy, QueueHandle, WEnum, delegate_noop};
use wayland_protocols::ext::idle_notify::v1::client::ext_idle_notification_v1::{
    self, ExtIdleNotificationV1,
};
use wayland_protocols::ext::idle_notify::v1::client::ext_idle_notifier_v1::ExtIdleNotifierV1;
use wayland_protocols::wp::alpha_modifier::v1::client::wp_alpha_modifier_surface_v1::WpAlphaModifierSurfaceV1;
use wayland_protocols::wp::alpha_modifier::v1::client::wp_alpha_modifier_v1::WpAlphaModifierV1;
use wayland_protocols::wp::commit_timing::v1::client::wp_commit_timer_v1::WpCommitTimerV1;
use wayland_protocols::wp::commit_timing::v1::client::wp_commit_timing_manager_v1::WpCommitTimingManagerV1;
use wayland_protocols::wp::content_type::v1::client::wp_content_type_manager_v1::WpContentTypeManagerV1;
use wayland_protocols::wp::content_type::v1::client::wp_content_type_v1::{Type, WpContentTypeV1};
use wayland_protocols::wp::fifo::v1::client::wp_fifo_manager_v1::WpFifoManagerV1;
use wayland_protocols::wp::fifo::v1::client::wp_fifo_v1::WpFifoV1;
use wayland_protocols::wp::idle_inhibit::zv1::client::zwp_idle_inhibit_manager_v1::ZwpIdleInhibitManagerV1;
use wayland_protocols::wp::idle_inhibit::zv1::client::zwp_idle_inhibitor_v1::ZwpIdleInhibitorV1;
use wayland_protocols::wp::keyboard_shortcuts_inhibit::zv1::client::zwp_keyboard_shortcuts_inhibit_manager_v1::ZwpKeyboardShortcutsInhibitManagerV1;
use wayland_protocols::wp::keyboard_shortcuts_inhibit::zv1::client::zwp_keyboard_shortcuts_inhibitor_v1::{
    self, ZwpKeyboardShortcutsInhibitorV1,
};
use wayland_protocols::wp::tearing_control::v1::client::wp_tearing_control_manager_v1::WpTearingControlManagerV1;
use wayland_protocols::wp::tearing_control::v1::client::wp_tearing_control_v1::{
    PresentationHint, WpTearingControlV1,
};
use wayland_protocols::xdg::activation::v1::client::xdg_activation_token_v1::{self, XdgActivationTokenV1};
use wayland_protocols::xdg::activation::v1::client::xdg_activation_v1::XdgActivationV1;
use wayland_protocols::xdg::dialog::v1::client::xdg_dialog_v1::XdgDialogV1;
use wayland_protocols::xdg::dialog::v1::client::xdg_wm_dialog_v1::XdgWmDialogV1;
use wayland_protocols::xdg::foreign::zv2::client::zxdg_exported_v2::{self, ZxdgExportedV2};
use wayland_protocols::xdg::foreign::zv2::client::zxdg_exporter_v2::ZxdgExporterV2;
use wayland_protocols::xdg::foreign::zv2::client::zxdg_imported_v2::{self, ZxdgImportedV2};
use wayland_protocols::xdg::foreign::zv2::client::zxdg_importer_v2::ZxdgImporterV2;
use wayland_protocols::xdg::shell::client::xdg_surface::{self, XdgSurface};
use wayland_protocols::xdg::shell::client::xdg_toplevel::XdgToplevel;
use wayland_protocols::xdg::shell::client::xdg_wm_base::{self, XdgWmBase};
use wayland_protocols::xdg::system_bell::v1::client::xdg_system_bell_v1::XdgSystemBellV1;
use wayland_protocols::xdg::toplevel_icon::v1::client::xdg_toplevel_icon_manager_v1::XdgToplevelIconManagerV1;
use wayland_protocols::xdg::toplevel_icon::v1::client::xdg_toplevel_icon_v1::XdgToplevelIconV1;
use wayland_protocols::xdg::toplevel_tag::v1::client::xdg_toplevel_tag_manager_v1::XdgToplevelTagManagerV1;

/// What an application was told.
#[derive(Default)]
struct Told {
    configured: bool,
    handle: Option<String>,
    token: Option<String>,
    import_is_gone: bool,
    /// Keys that were pressed.
    keys: Vec<u32>,
    inhibits_shortcuts: bool,
    idle: bool,
}

impl Dispatch<WlRegistry, GlobalListContents> for Told {
    fn event(
        _: &mut Self,
        _: &WlRegistry,
        _: wl_registry::Event,
        _: &GlobalListContents,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
    }
}

/// Takes note of one kind of events.
macro_rules! note {
    ($interface:ty, |$told:ident, $object:ident, $event:ident| $does:expr) => {
        impl Dispatch<$interface, ()> for Told {
            fn event(
                $told: &mut Self,
                $object: &$interface,
                $event: <$interface as Proxy>::Event,
                _: &(),
                _: &Connection,
                _: &QueueHandle<Self>,
            ) {
                $does;
            }
        }
    };
}

note!(XdgWmBase, |_told, base, event| if let xdg_wm_base::Event::Ping { serial } = event {
    base.pong(serial);
});
note!(XdgSurface, |told, surface, event| if let xdg_surface::Event::Configure { serial } = event {
    surface.ack_configure(serial);
    told.configured = true;
});
note!(ZxdgExportedV2, |told, _object, event| if let zxdg_exported_v2::Event::Handle { handle } = event {
    told.handle = Some(handle);
});
note!(ZxdgImportedV2, |told, _object, event| if let zxdg_imported_v2::Event::Destroyed = event {
    told.import_is_gone = true;
});
note!(XdgActivationTokenV1, |told, _object, event| if let xdg_activation_token_v1::Event::Done { token } =
    event
{
    told.token = Some(token);
});

note!(WlKeyboard, |told, _object, event| if let wl_keyboard::Event::Key { key, state, .. } = event
    && state == WEnum::Value(wl_keyboard::KeyState::Pressed)
{
    told.keys.push(key);
});
note!(ZwpKeyboardShortcutsInhibitorV1, |told, _object, event| {
    told.inhibits_shortcuts = matches!(event, zwp_keyboard_shortcuts_inhibitor_v1::Event::Active);
});
note!(ExtIdleNotificationV1, |told, _object, event| {
    told.idle = matches!(event, ext_idle_notification_v1::Event::Idled);
});

delegate_noop!(Told: ignore WlRegistry);
delegate_noop!(Told: ignore WlSeat);
delegate_noop!(Told: ignore ExtIdleNotifierV1);
delegate_noop!(Told: ignore ZwpKeyboardShortcutsInhibitManagerV1);
delegate_noop!(Told: ignore WlCompositor);
delegate_noop!(Told: ignore WlSurface);
delegate_noop!(Told: ignore WlShm);
delegate_noop!(Told: ignore WlShmPool);
delegate_noop!(Told: ignore WlBuffer);
delegate_noop!(Told: ignore WlFixes);
delegate_noop!(Told: ignore XdgToplevel);
delegate_noop!(Told: ignore WpAlphaModifierV1);
delegate_noop!(Told: ignore WpAlphaModifierSurfaceV1);
delegate_noop!(Told: ignore WpCommitTimingManagerV1);
delegate_noop!(Told: ignore WpCommitTimerV1);
delegate_noop!(Told: ignore WpContentTypeManagerV1);
delegate_noop!(Told: ignore WpContentTypeV1);
delegate_noop!(Told: ignore WpFifoManagerV1);
delegate_noop!(Told: ignore WpFifoV1);
delegate_noop!(Told: ignore ZwpIdleInhibitManagerV1);
delegate_noop!(Told: ignore ZwpIdleInhibitorV1);
delegate_noop!(Told: ignore WpTearingControlManagerV1);
delegate_noop!(Told: ignore WpTearingControlV1);
delegate_noop!(Told: ignore XdgActivationV1);
delegate_noop!(Told: ignore XdgWmDialogV1);
delegate_noop!(Told: ignore XdgDialogV1);
delegate_noop!(Told: ignore ZxdgExporterV2);
delegate_noop!(Told: ignore ZxdgImporterV2);
delegate_noop!(Told: ignore XdgSystemBellV1);
delegate_noop!(Told: ignore XdgToplevelIconManagerV1);
delegate_noop!(Told: ignore XdgToplevelIconV1);
delegate_noop!(Told: ignore XdgToplevelTagManagerV1);

struct App {
    connection: Connection,
    queue: EventQueue<Told>,
    globals: GlobalList,
    told: Told,
}

impl App {
    fn start(session: &Session, vm: &str) -> Self {
        let stream = process::connect(&session.vm_socket(vm), Deadline::patient());
        let connection = Connection::from_socket(stream).expect("a client's end");
        let (globals, queue) = registry_queue_init(&connection).expect("a registry");
        Self { connection, queue, globals, told: Told::default() }
    }

    fn handle(&self) -> QueueHandle<Told> {
        self.queue.handle()
    }

    #[track_caller]
    fn bind<I: Proxy + 'static>(&self) -> I
    where
        Told: Dispatch<I, ()>,
    {
        self.bind_version(1)
    }

    #[track_caller]
    fn bind_version<I: Proxy + 'static>(&self, version: u32) -> I
    where
        Told: Dispatch<I, ()>,
    {
        let bound: Result<I, BindError> = self.globals.bind(&self.handle(), version..=version, ());
        bound.unwrap_or_else(|error| panic!("{}: {error}", I::interface().name))
    }

    #[track_caller]
    fn roundtrip(&mut self) {
        self.queue.roundtrip(&mut self.told).expect("a live connection");
    }

    /// Waits until it was told something.
    #[track_caller]
    fn wait(&mut self, what: &str, condition: impl Fn(&Told) -> bool) {
        let deadline = Deadline::patient();
        loop {
            self.queue.dispatch_pending(&mut self.told).expect("a live connection");
            if condition(&self.told) {
                return;
            }
            self.queue.flush().expect("a live connection");
            // Without one, something has come meanwhile.
            let Some(read) = self.queue.prepare_read() else { continue };
            assert!(deadline.wait(read.connection_fd(), PollFlags::IN), "gave up waiting for {what}");
            read.read().expect("a live connection");
        }
    }

    fn sees(&self, interface: &str) -> bool {
        self.globals.contents().with_list(|list| list.iter().any(|global| global.interface == interface))
    }

    /// A square buffer of one colour, with the file that it is in.
    fn square(&self, side: i32, color: u32) -> (WlBuffer, File) {
        let mut file = tempfile::tempfile().expect("a file");
        let pixels = color.to_ne_bytes().repeat((side * side) as usize);
        file.write_all(&pixels).expect("room for a picture");
        let pool = self.bind::<WlShm>().create_pool(file.as_fd(), side * side * 4, &self.handle(), ());
        let buffer = pool.create_buffer(0, side, side, side * 4, Format::Argb8888, &self.handle(), ());
        pool.destroy();
        (buffer, file)
    }

    /// A window of one colour, on the screen.
    #[track_caller]
    fn window(&mut self, session: &mut Session, title: &str) -> (WlSurface, XdgToplevel) {
        let surface = self.bind::<WlCompositor>().create_surface(&self.handle(), ());
        let xdg = self.bind::<XdgWmBase>().get_xdg_surface(&surface, &self.handle(), ());
        let toplevel = xdg.get_toplevel(&self.handle(), ());
        toplevel.set_title(title.to_owned());
        surface.commit();
        self.told.configured = false;
        while !self.told.configured {
            self.roundtrip();
        }
        self.show(&surface);
        self.roundtrip();
        session.wait_window(title);
        (surface, toplevel)
    }

    fn show(&self, surface: &WlSurface) {
        let (buffer, _file) = self.square(200, 0xff20_4060);
        surface.attach(Some(&buffer), 0, 0);
        surface.damage(0, 0, 200, 200);
        surface.commit();
    }
}

const PROTOCOLS: [&str; 16] = [
    "wl_fixes",
    "wp_alpha_modifier_v1",
    "wp_commit_timing_manager_v1",
    "wp_content_type_manager_v1",
    "wp_fifo_manager_v1",
    "wp_tearing_control_manager_v1",
    "xdg_activation_v1",
    "xdg_system_bell_v1",
    "xdg_toplevel_icon_manager_v1",
    "xdg_toplevel_tag_manager_v1",
    "xdg_wm_dialog_v1",
    "zwp_idle_inhibit_manager_v1",
    "zxdg_exporter_v2",
    "zxdg_importer_v2",
    "zxdg_decoration_manager_v1",
    "wp_viewporter",
];

#[test]
fn applications_in_a_vm_see_the_protocols_that_are_for_them() {
    let session = Session::start(&["work"]);
    let app = App::start(&session, "work");
    let seen: BTreeSet<String> =
        app.globals.contents().with_list(|list| list.iter().map(|global| global.interface.clone()).collect());
    for interface in PROTOCOLS {
        assert!(seen.contains(interface), "{interface} is not in {seen:?}");
    }
    assert!(!seen.contains("wp_security_context_manager_v1"));
}

#[test]
fn what_an_application_says_of_its_windows_arrives() {
    for sharing in [Sharing::Region, Sharing::Stream] {
        let mut session = Session::with(Options::new(&["work"]).sharing(sharing));
        let mut app = App::start(&session, "work");
        let (surface, toplevel) = app.window(&mut session, "named");
        let handle = app.handle();
        app.bind::<XdgToplevelTagManagerV1>().set_toplevel_tag(&toplevel, "main".to_owned());
        let icon = app.bind::<XdgToplevelIconManagerV1>();
        let (picture, _file) = app.square(64, 0xffff_0000);
        let made = icon.create_icon(&handle, ());
        made.add_buffer(&picture, 1);
        icon.set_icon(&toplevel, Some(&made));
        made.destroy();
        picture.destroy();
        app.bind::<WpContentTypeManagerV1>()
            .get_surface_content_type(&surface, &handle, ())
            .set_content_type(Type::Game);
        app.bind::<WpTearingControlManagerV1>()
            .get_tearing_control(&surface, &handle, ())
            .set_presentation_hint(PresentationHint::Async);
        app.bind::<XdgSystemBellV1>().ring(Some(&surface));
        app.bind::<ZwpIdleInhibitManagerV1>().create_inhibitor(&surface, &handle, ());
        app.bind::<XdgWmDialogV1>().get_xdg_dialog(&toplevel, &handle, ()).set_modal();
        surface.commit();
        app.roundtrip();
        let windows = session.control(&["windows", "--json"]);
        for said in [r#""tag": "main""#, r#""icon": 64"#, r#""modal": true"#] {
            assert!(windows.contains(said), "{said} is not in {windows}");
        }
        let vms = session.control(&["vms", "--json"]);
        assert!(vms.contains(r#""bells": 1"#), "{vms}");
        let status = session.control(&["status", "--json"]);
        assert!(status.contains(r#""idle_inhibited_by": "work""#), "{status}");
    }
}

#[test]
fn a_registry_can_be_destroyed_through_the_whole_chain() {
    let session = Session::start(&["work"]);
    let mut app = App::start(&session, "work");
    let fixes = app.bind::<WlFixes>();
    for _ in 0..500 {
        let registry = app.connection.display().get_registry(&app.handle(), ());
        app.roundtrip();
        fixes.destroy_registry(&registry);
    }
    app.roundtrip();
    app.bind::<WlCompositor>().create_surface(&app.handle(), ());
    app.roundtrip();
}

#[test]
fn opacity_fifo_and_timed_commits_work_through_the_whole_chain() {
    let mut session = Session::start(&["work"]);
    let mut app = App::start(&session, "work");
    let (surface, _toplevel) = app.window(&mut session, "paced");
    let handle = app.handle();
    let fifo = app.bind::<WpFifoManagerV1>().get_fifo(&surface, &handle, ());
    let timer = app.bind::<WpCommitTimingManagerV1>().get_timer(&surface, &handle, ());
    for _ in 0..10 {
        fifo.set_barrier();
        fifo.wait_barrier();
        app.show(&surface);
    }
    timer.set_timestamp(0, 1, 0);
    let modifier = app.bind::<WpAlphaModifierV1>().get_surface(&surface, &handle, ());
    modifier.set_multiplier(0);
    surface.commit();
    app.roundtrip();
    // Behind all frames the window's backing shows through.
    let deadline = Deadline::patient();
    let mut known = 0;
    let dark = |session: &mut Session| {
        let window = session.wait_window("paced");
        let (image, content) = (session.screenshot(), window.content());
        image.pixel(content.x + 20, content.y + 20).is_some_and(|pixel| pixel & 0x00ff_ffff == 0)
    };
    while !dark(&mut session) {
        known = session.changed_frame(known, deadline).expect("a frame with what was committed last");
    }
}

#[test]
fn a_handle_works_in_its_vm_alone_and_a_token_moves_no_focus_to_another() {
    let mut session = Session::start(&["work", "personal"]);
    let (mut app, mut friend, mut stranger) =
        (App::start(&session, "work"), App::start(&session, "work"), App::start(&session, "personal"));
    let (surface, _toplevel) = app.window(&mut session, "exporting");
    app.bind::<ZxdgExporterV2>().export_toplevel(&surface, &app.handle(), ());
    app.roundtrip();
    let handle = app.told.handle.take().expect("a handle");
    for (other, gone) in [(&mut friend, false), (&mut stranger, true)] {
        other.bind::<ZxdgImporterV2>().import_toplevel(handle.clone(), &other.handle(), ());
        other.roundtrip();
        assert_eq!(other.told.import_is_gone, gone);
    }
    let (theirs, _toplevel) = stranger.window(&mut session, "foreign");
    app.bind::<XdgActivationV1>().get_activation_token(&app.handle(), ()).commit();
    app.roundtrip();
    let token = app.told.token.take().expect("a token");
    stranger.bind::<XdgActivationV1>().activate(token, &theirs);
    stranger.roundtrip();
    let windows = session
        .wait_windows("the window with the keyboard", |windows| windows.iter().any(|window| window.focused));
    assert!(windows.iter().all(|window| window.focused == (window.title == "exporting")), "{windows:?}");
    let list = session.control(&["windows", "--json"]);
    assert!(list.contains(r#""urgent": true"#), "{list}");
}

fn press_with_logo(session: &Session, key: &str) {
    for arguments in [["leftmeta", "press"], [key, "tap"], ["leftmeta", "release"]] {
        session.control(&[&["input", "key"], arguments.as_slice()].concat());
    }
}

#[test]
fn a_vm_that_is_allowed_to_gets_the_compositors_keys_until_the_person_takes_them_back() {
    const MANAGER: &str = "zwp_keyboard_shortcuts_inhibit_manager_v1";
    const Q: u32 = 16;
    let allow = format!("allow = [\"{MANAGER}\"]");
    let mut session = Session::with(Options::new(&["work", "personal"]).protocols("work", &allow));
    assert!(!App::start(&session, "personal").sees(MANAGER));
    let mut app = App::start(&session, "work");
    let seat = app.bind::<WlSeat>();
    seat.get_keyboard(&app.handle(), ());
    let (surface, _toplevel) = app.window(&mut session, "remote");
    session.focus("remote");
    app.bind::<ZwpKeyboardShortcutsInhibitManagerV1>().inhibit_shortcuts(&surface, &seat, &app.handle(), ());
    app.wait("the inhibitor", |told| told.inhibits_shortcuts);
    let status = session.control(&["status", "--json"]);
    assert!(status.contains(r#""shortcuts_inhibited_by": "work""#), "{status}");
    press_with_logo(&session, "q");
    app.wait("the key", |told| told.keys.contains(&Q));
    press_with_logo(&session, "esc");
    app.wait("the end of the inhibitor", |told| !told.inhibits_shortcuts);
    app.told.keys.clear();
    press_with_logo(&session, "q");
    session.control(&["input", "key", "a", "tap"]);
    app.wait("the next key", |told| told.keys.contains(&30));
    assert!(!app.told.keys.contains(&Q), "{:?}", app.told.keys);
    let status = session.control(&["status", "--json"]);
    assert!(status.contains(r#""shortcuts_inhibited_by": null"#), "{status}");
}

#[test]
fn a_vm_that_is_allowed_to_is_told_when_the_person_is_away() {
    const NOTIFIER: &str = "ext_idle_notifier_v1";
    let allow = format!("allow = [\"{NOTIFIER}\"]");
    let session = Session::with(Options::new(&["work", "personal"]).protocols("work", &allow));
    assert!(!App::start(&session, "personal").sees(NOTIFIER));
    for only_input in [false, true] {
        let mut app = App::start(&session, "work");
        let (notifier, seat) = (app.bind_version::<ExtIdleNotifierV1>(2), app.bind::<WlSeat>());
        if only_input {
            notifier.get_input_idle_notification(100, &seat, &app.handle(), ());
        } else {
            notifier.get_idle_notification(100, &seat, &app.handle(), ());
        }
        app.wait("nothing to happen", |told| told.idle);
        session.control(&["input", "move-by", "1", "0"]);
        app.wait("somebody to be there", |told| !told.idle);
        app.wait("nothing to happen", |told| told.idle);
    }
}
