//! Unmodified clients of libwayland that reach the compositor of another machine without `wl-forward`: through
//! `libvirtio_wl_preload.so`, by a `WAYLAND_DISPLAY` that is an address.

use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use vitrail_tests::client::Rect;
use vitrail_tests::deadline::Deadline;
use vitrail_tests::image::Image;
use vitrail_tests::ipc::WindowInfo;
use vitrail_tests::process::{self, Exit, Process};
use vitrail_tests::session::{Options, Session, Sharing, places};

/// A session of one VM without a region, whose clients call the hub themselves.
fn session() -> Session {
    Session::with(Options::new(&["work"]).sharing(Sharing::Stream))
}

/// Starts an installed program whose display is the hub's address.
#[track_caller]
fn start(session: &mut Session, program: &str, arguments: &[&str]) -> Process {
    assert!(process::is_installed(program), "{program} is not installed; `cargo xtask setup` does it");
    let mut command = session.application("work", program);
    command.env("LD_PRELOAD", process::library("virtio_wl_preload"));
    command.env("WAYLAND_DISPLAY", format!("unix:{}", session.hub_socket("work").display()));
    Process::start(program, &session.logs(), command.args(arguments), &[])
}

/// The only window of a VM.
#[track_caller]
fn window(session: &mut Session, vm: &str) -> WindowInfo {
    let windows = session.wait_windows(vm, |windows| windows.iter().any(|window| window.vm == vm));
    windows.into_iter().find(|window| window.vm == vm).expect("it was among them")
}

/// Takes pictures until one is as it should be. The compositor answers with a picture of its next frame, so this waits
/// for frames.
#[track_caller]
fn wait_picture(session: &mut Session, what: &str, condition: impl Fn(&Image) -> bool) -> Image {
    let deadline = Deadline::patient();
    loop {
        let image = session.screenshot();
        if condition(&image) {
            return image;
        }
        assert!(!deadline.passed(), "gave up waiting for {what}");
    }
}

/// The frame of 20 pixels around the animation of weston-simple-shm.
fn margin(content: Rect) -> impl Iterator<Item = (i32, i32)> {
    let inner = Rect { x: content.x + 20, y: content.y + 20, w: content.w - 40, h: content.h - 40 };
    places(content).filter(move |&(x, y)| !vitrail_tests::session::contains(inner, x, y))
}

#[test]
fn weston_simple_shm_animates_its_whole_window_and_ends_cleanly() {
    let mut session = session();
    let program = start(&mut session, "weston-simple-shm", &[]);
    let content = window(&mut session, "work").content();
    let inner = Rect { x: content.x + 25, y: content.y + 25, w: content.w - 50, h: content.h - 50 };
    let first = wait_picture(&mut session, "the margin", |image| {
        margin(content).all(|(x, y)| image.pixel(x, y) == Some(0x00ff_ffff))
    });
    let drawn = |image: &Image| image.count(inner, 0x00ff_ffff) == 0 && image.count(inner, 0) == 0;
    // The animation moves on, and no row of it stays behind.
    let moved = wait_picture(&mut session, "the animation", |image| {
        drawn(image) && image.part(inner) != first.part(inner)
    });
    wait_picture(&mut session, "the animation to go on", |image| image.part(inner) != moved.part(inner));
    program.signal(Signal::INT);
    assert_eq!(program.wait_exit(Deadline::patient()), Exit::Status(0), "{}", program.log());
    session.wait_windows("the end of the window", <[_]>::is_empty);
}

/// Their toolkit loads cursors into a pool that becomes larger with each.
#[test]
fn clients_of_westons_toolkit_are_drawn() {
    let mut session = session();
    for name in ["weston-flower", "weston-cliptest"] {
        let program = start(&mut session, name, &[]);
        let content = window(&mut session, "work").content();
        wait_picture(&mut session, "something in the window", |image| {
            let part = image.part(content);
            part.iter().any(|pixel| Some(pixel) != part.first())
        });
        program.signal(Signal::KILL);
        program.wait_exit(Deadline::patient());
        session.wait_windows("the end of the window", <[_]>::is_empty);
    }
}

/// What a client made longer after it had sent it was announced as other memory, which nobody ever named: the gate refused
/// the larger pool, as the memory that it had was no longer than before, and ended the connection.
#[test]
fn a_client_whose_pool_grows_after_the_compositor_has_it_is_drawn() {
    let mut session = session();
    let program = session.root().join("grows");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../virtio-wl/tests/c/grows.c");
    let mut compiler = Command::new("cc");
    let output = compiler.args(["-Wall", "-Wextra", "-Werror", "-o"]).arg(&program).arg(source).output();
    let output = output.expect("cc is installed; `cargo xtask setup` does it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut command = session.application("work", program.to_str().expect("a path of ours is text"));
    command.env("LD_PRELOAD", process::library("virtio_wl_preload"));
    command.env("WAYLAND_DISPLAY", format!("unix:{}", session.hub_socket("work").display()));
    let client = Process::start("grows", &session.logs(), command.arg("2468ac"), &[]);
    let content = window(&mut session, "work").content();
    assert_eq!((content.w, content.h), (200, 100), "{}", client.log());
    wait_picture(&mut session, "the whole window", |image| image.count(content, 0x0024_68ac) == 200 * 100);
    client.signal(Signal::TERM);
    client.wait_exit(Deadline::patient());
    session.wait_windows("the end of the window", <[_]>::is_empty);
}

/// Fills a terminal with colours, by way of scrolling. Without a cursor, which shows the focus.
const COLORS: &str = r#"
printf '\033[?25l'
for i in $(seq 300); do printf '\033[4%d;3%dm%40d\033[0m\n' $((i % 8)) $(((i / 8) % 8)) $i; done
exec sleep 1000
"#;

#[test]
fn what_foot_draws_arrives_pixel_by_pixel() {
    let mut session = session();
    let arguments = |title| ["--config=/dev/null", title, "sh", "-c", COLORS];
    let mut command = session.application("local", "foot");
    let local = Process::start("foot-local", &session.logs(), command.args(arguments("--title=here")), &[]);
    let expected = window(&mut session, "local").content();
    // Its last line is at the bottom, and has the colours of number 300.
    let bottom = |content: Rect| Rect { y: content.y + content.h - 60, h: 60, ..content };
    wait_picture(&mut session, "the local terminal", |image| {
        let background = image.pixel(expected.x, expected.y);
        image.part(bottom(expected)).iter().any(|pixel| Some(*pixel) != background)
    });
    let program = start(&mut session, "foot", &arguments("--title=there"));
    let found = window(&mut session, "work").content();
    assert_eq!((found.w, found.h), (expected.w, expected.h));
    // Focus brings a window to the front: each is looked at while it is. Both may still be drawing.
    let deadline = Deadline::patient();
    loop {
        session.focus("here");
        let picture = session.screenshot().part(expected);
        session.focus("there");
        if session.screenshot().part(found) == picture {
            break;
        }
        assert!(!deadline.passed(), "gave up waiting for the same content");
    }
    for terminal in [&program, &local] {
        terminal.signal(Signal::TERM);
        terminal.wait_exit(Deadline::patient());
    }
    session.wait_windows("the end of the windows", <[_]>::is_empty);
}

#[test]
fn foot_runs_what_is_typed_and_exits_with_its_shell() {
    let mut session = session();
    let terminal = start(&mut session, "foot", &["--config=/dev/null", "sh"]);
    let title = window(&mut session, "work").title;
    session.focus(&title);
    let result = session.root().join("typed");
    session.control(&["input", "type", &format!("echo hi > {}\n", result.display())]);
    process::wait_for_content(&result, "hi\n", Deadline::patient());
    session.control(&["input", "type", "exit\n"]);
    assert_eq!(terminal.wait_exit(Deadline::patient()), Exit::Status(0), "{}", terminal.log());
    session.wait_windows("the end of the window", <[_]>::is_empty);
}

#[test]
fn nobody_behind_the_address_is_an_error_and_an_ordinary_display_is_not_touched() {
    let mut session = session();
    let mut command = session.application("work", "weston-simple-shm");
    command.env("LD_PRELOAD", process::library("virtio_wl_preload"));
    command.env("WAYLAND_DISPLAY", "unix:/nowhere");
    let refused = Process::start("refused", &session.logs(), &mut command, &[]);
    assert_ne!(refused.wait_exit(Deadline::patient()), Exit::Status(0));
    let mut command = session.application("local", "weston-simple-shm");
    command.env("LD_PRELOAD", process::library("virtio_wl_preload"));
    let local = Process::start("local", &session.logs(), &mut command, &[]);
    window(&mut session, "local");
    local.signal(Signal::INT);
    assert_eq!(local.wait_exit(Deadline::patient()), Exit::Status(0), "{}", local.log());
}
