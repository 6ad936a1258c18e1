//! vitrail as a window of another desktop, and a real program in it.

use serde_json::json;
use vitrail_tests::client::{Client, InputEvent, Rect, WindowOptions};
use vitrail_tests::deadline::Deadline;
use vitrail_tests::image::Image;
use vitrail_tests::ipc::Ipc;
use vitrail_tests::process::{self, Exit, Process};
use vitrail_tests::session::Session;
use vitrail_tests::xserver::XServer;

#[test]
fn what_is_typed_into_vitrails_window_reaches_the_terminal_in_it_and_it_ends_with_its_desktop() {
    let mut session = Session::start(&["work"]);
    let vitrail = process::program("vitrail");
    let mut inner = session.application("local", vitrail.to_str().expect("a path of text"));
    inner.args(["--backend", "nested", "--socket", "inside", "--size", "600x400"]);
    let inner = Process::start("vitrail-inside", &session.logs(), &mut inner, &[]);
    session.wait_window("Vitrail");
    inner.wait_log("ready");

    let typed = session.root().join("typed");
    let shell = format!("read line; echo $line >{}; exec cat", typed.display());
    let mut foot = session.application("local", "foot");
    foot.env("WAYLAND_DISPLAY", "inside").args(["--fullscreen", "sh", "-c", &shell]);
    let _foot = Process::start("foot", &session.logs(), &mut foot, &[]);
    let ctl = process::program("vitrailctl");
    let mut wait = session.application("local", ctl.to_str().expect("a path of text"));
    wait.env("WAYLAND_DISPLAY", "inside").args(["wait", "--windows", "1", "--timeout", "20"]);
    let wait = Process::start("wait", &session.logs(), &mut wait, &[]);
    assert_eq!(wait.wait_exit(Deadline::patient()), Exit::Status(0));

    session.focus("Vitrail");
    session.control(&["input", "type", "nested\n"]);
    process::wait_for_content(&typed, "nested\n", Deadline::patient());

    session.stop_compositor();
    assert_eq!(inner.wait_exit(Deadline::patient()), Exit::Status(1));
}

#[test]
fn as_a_window_of_weston_it_gets_the_size_that_weston_wants_every_pixel_is_shown_and_input_arrives() {
    const SIZE: (i32, i32) = (800, 600);
    const GREEN: u32 = 0x0010_a010;
    let root = tempfile::Builder::new().prefix("vitrail-").tempdir().expect("a temporary directory");
    let xserver = XServer::start(root.path(), &[]);
    // weston has its screen and its devices from an X server without any, and a shell in which every window fills the screen.
    let mut weston = process::command("weston");
    weston.args(["--backend=x11-backend.so", "--shell=kiosk-shell.so", "--use-pixman", "--no-config"]);
    weston.args(["--socket=weston", "--width=800", "--height=600"]);
    weston.env("XDG_RUNTIME_DIR", root.path()).env("DISPLAY", xserver.display());
    let weston = Process::start("weston", root.path(), &mut weston, &[]);
    weston.wait_path(&root.path().join("weston"));

    let ipc = root.path().join("ipc.sock");
    let mut vitrail = process::command(process::program("vitrail"));
    // Both are there; the Wayland desktop is the nearer one.
    vitrail.env("XDG_RUNTIME_DIR", root.path()).env("WAYLAND_DISPLAY", "weston");
    vitrail.env("DISPLAY", xserver.display());
    vitrail.args(["--socket", "inside", "--size", "400x300", "--ipc"]).arg(&ipc);
    let vitrail = Process::start("vitrail", root.path(), &mut vitrail, &[]);
    vitrail.wait_log("ready");
    let mut ipc = Ipc::connect(&ipc);
    let mut client = Client::connect(&root.path().join("inside"));
    let mut window = client.window(&WindowOptions::new("red", 0x00a0_1010)).expect("a window");
    client.recolor(&mut window, GREEN).expect("a frame");

    let picture = root.path().join("screenshot.png");
    let shown = xserver.wait_picture(0, 0, || {
        ipc.request(&json!({"request": "screenshot", "path": picture}));
        Image::read(&picture)
    });
    assert_eq!(shown.size(), SIZE);
    assert!(shown.count(Rect::of_size(SIZE.0, SIZE.1), GREEN) >= 200 * 150);

    let content = ipc.windows().windows[0].content();
    xserver.focus(Some(xserver.top_window()));
    xserver.point(content.x + 20, content.y + 30);
    xserver.point(content.x + 21, content.y + 33);
    let at = InputEvent::Motion(21.0, 33.0);
    client.wait_until("the pointer", |state| state.input.contains(&at)).expect("the pointer's place");
    xserver.button(1, true);
    xserver.button(1, false);
    xserver.key(30, true);
    xserver.key(30, false);
    let wanted = [InputEvent::Button(0x110, false), InputEvent::Key(30, false)];
    let all = client
        .wait_until("a click and a key", |state| wanted.iter().all(|event| state.input.contains(event)));
    all.unwrap_or_else(|error| panic!("{error}: {:?}", client.state.input));
}
