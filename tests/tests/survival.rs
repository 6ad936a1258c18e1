//! What dies with what: the end of a VM's own process is that VM's loss, the end of a supervisor nobody's.

use std::time::{Duration, Instant};

use vitrail_tests::client::{Client, InputEvent, Window, WindowOptions};
use vitrail_tests::session::Session;

/// The evdev code of the key A.
const KEY_A: u32 = 30;

const COLORS: [u32; 4] = [0x0010_2030, 0x0040_5060, 0x0070_8090, 0x00a0_b0c0];

/// How soon a VM must be able to connect again after the restart of whatever was killed.
const RECOVERY: Duration = Duration::from_secs(1);

/// A client with one window.
struct App {
    vm: &'static str,
    client: Client,
    window: Window,
}

impl App {
    fn start(session: &mut Session, vm: &'static str) -> Self {
        let mut client = session.client(vm);
        let window = client.window(&WindowOptions::new(vm, 0x00ff_ffff)).expect("a window");
        session.wait_window(vm);
        Self { vm, client, window }
    }

    /// The window is on screen, shows new content and receives keys.
    #[track_caller]
    fn assert_usable(&mut self, session: &mut Session) {
        for color in COLORS {
            self.client.recolor(&mut self.window, color).expect("a live connection");
        }
        session.assert_color(self.vm, COLORS[3]);
        session.focus(self.vm);
        session.tap(KEY_A);
        let input = &self.client.state.input;
        let before = input.iter().filter(|event| matches!(event, InputEvent::Key(KEY_A, false))).count();
        let pressed = self.client.wait_until("the key", |state| {
            state.input.iter().filter(|event| matches!(event, InputEvent::Key(KEY_A, false))).count() > before
        });
        pressed.expect("a key reaches the window");
    }
}

const VMS: [&str; 3] = ["work", "personal", "untrusted"];

fn start() -> (Session, Vec<App>) {
    let mut session = Session::start(&VMS);
    let apps = ["work", "personal", "untrusted", "local"].map(|vm| App::start(&mut session, vm));
    (session, apps.into())
}

/// A new connection of the VM shows a window, at the latest [`RECOVERY`] after `since`. Until then one may be
/// refused, as an application's would be that starts in that moment.
#[track_caller]
fn assert_connects(session: &mut Session, vm: &'static str, since: Instant) {
    loop {
        let connected = session.try_client(vm).and_then(|mut client| {
            let window = client.window(&WindowOptions::new("new", 0x0001_0203))?;
            Ok((client, window))
        });
        let took = since.elapsed();
        match connected {
            Ok(_connection) => {
                assert!(took < RECOVERY, "a new connection of {vm} took {took:?}");
                session.wait_window("new");
                return;
            }
            Err(error) => assert!(took < RECOVERY, "still no new connection of {vm}: {error}"),
        }
    }
}

/// Kills something of `work` and checks that `work` lost its window and nobody else anything.
fn loss_of_one_vm(kill: impl Fn(&Session), restart: impl Fn(&mut Session)) {
    let (mut session, mut apps) = start();
    kill(&session);
    session.wait_titles(&["personal", "untrusted", "local"]);
    for app in &mut apps[1..] {
        app.assert_usable(&mut session);
    }
    apps[0].client.wait_end();
    restart(&mut session);
    assert_connects(&mut session, "work", Instant::now());
    for app in &mut apps[1..] {
        app.assert_usable(&mut session);
    }
}

#[test]
fn a_killed_wl_forward_takes_only_its_vms_windows_away() {
    loss_of_one_vm(|session| session.forward("work").kill(), |session| session.restart_forward("work"));
}

#[test]
fn a_killed_relay_takes_only_its_vms_windows_away() {
    loss_of_one_vm(|session| session.relay("work").kill(), |_| {});
}

#[test]
fn a_killed_worker_takes_only_its_vms_windows_away() {
    loss_of_one_vm(|session| session.worker("work").kill(), |_| {});
}

#[test]
fn a_killed_gate_supervisor_loses_no_window() {
    let (mut session, mut apps) = start();
    session.gate().kill();
    let killed = Instant::now();
    assert_connects(&mut session, "personal", killed);
    for app in &mut apps {
        app.assert_usable(&mut session);
    }
}

#[test]
fn a_killed_hub_supervisor_loses_no_window() {
    let (mut session, mut apps) = start();
    session.hub().kill();
    for app in &mut apps {
        app.assert_usable(&mut session);
    }
    let _relays = session.restart_hub();
    assert_connects(&mut session, "personal", Instant::now());
    for app in &mut apps {
        app.assert_usable(&mut session);
    }
}

#[test]
fn everything_killed_in_turn_leaves_a_session_that_works() {
    let (mut session, mut apps) = start();
    session.worker("work").kill();
    session.gate().kill();
    session.relay("personal").kill();
    session.wait_titles(&["untrusted", "local"]);
    session.hub().kill();
    let _relays = session.restart_hub();
    for vm in VMS {
        assert_connects(&mut session, vm, Instant::now());
    }
    for app in &mut apps[2..] {
        app.assert_usable(&mut session);
    }
}

#[test]
fn an_application_that_ends_takes_its_window_away() {
    let (mut session, mut apps) = start();
    drop(apps.remove(0));
    session.wait_titles(&["personal", "untrusted", "local"]);
    for app in &mut apps {
        app.assert_usable(&mut session);
    }
}

#[test]
fn a_stopped_compositor_leaves_no_process_of_the_gui_vm() {
    let (session, _apps) = start();
    session.stop_compositor();
    let deadline = vitrail_tests::deadline::Deadline::patient();
    for member in session.compositor().members() {
        member.wait_gone(deadline);
    }
}
