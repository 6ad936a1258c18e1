//! vitrail as a window of an X server.

use std::io;
use std::net::Shutdown;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use vitrail_tests::client::{Client, InputEvent, Rect, Window, WindowOptions};
use vitrail_tests::deadline::Deadline;
use vitrail_tests::image::Image;
use vitrail_tests::ipc::Ipc;
use vitrail_tests::process::{self, Exit, Process};
use vitrail_tests::xserver::XServer;

/// How long it is watched that nothing is drawn.
const QUIET: Duration = Duration::from_millis(700);

const RED: u32 = 0x00a0_1010;
const GREEN: u32 = 0x0010_a010;

/// An X server with vitrail as a window of 600 by 400 in its corner.
struct Desk {
    ipc: Ipc,
    vitrail: Process,
    xserver: XServer,
    // Last: nothing uses the files any more when they are removed.
    root: TempDir,
}

impl Desk {
    /// With more arguments for the X server, and another address of it than its own.
    fn open(arguments: &[&str], display: impl FnOnce(&XServer) -> String) -> Self {
        let root = tempfile::Builder::new().prefix("vitrail-").tempdir().expect("a temporary directory");
        let xserver = XServer::start(root.path(), arguments);
        let mut command = process::command(process::program("vitrail"));
        command.env("XDG_RUNTIME_DIR", root.path()).env("DISPLAY", display(&xserver));
        command.args(["--socket", "inside", "--size", "600x400", "--ipc"]).arg(root.path().join("ipc.sock"));
        let vitrail = Process::start("vitrail", root.path(), &mut command, &[]);
        vitrail.wait_log("ready");
        let ipc = Ipc::connect(&root.path().join("ipc.sock"));
        Self { ipc, vitrail, xserver, root }
    }

    fn usual() -> Self {
        Self::open(&[], |xserver| xserver.display().to_owned())
    }

    fn window(&self) -> u32 {
        self.xserver.window("Vitrail")
    }

    fn client(&self) -> (Client, Window) {
        let mut client = Client::connect(&self.root.path().join("inside"));
        let window = client.window(&WindowOptions::new("red", RED)).expect("a window");
        (client, window)
    }

    /// Waits until the X server shows, with its corner at a place, what vitrail of this size has drawn.
    #[track_caller]
    fn shows_what_was_drawn(&mut self, rect: Rect) -> Image {
        let mut frame = 0;
        let deadline = Deadline::patient();
        while screenshot(&mut self.ipc, &self.root).size() != (rect.w, rect.h) {
            let next = self.ipc.changed_frame(frame, deadline);
            frame = next.unwrap_or_else(|| panic!("the output did not get the size of {rect:?}"));
        }
        let Self { ipc, xserver, root, .. } = self;
        xserver.wait_picture(rect.x, rect.y, || screenshot(ipc, root))
    }

    /// Asserts that nothing is drawn although a client has something to show, until the window can be seen again.
    #[track_caller]
    fn draws_nothing(&self, client: &mut Client, window: &mut Window, color: u32) {
        let mut ipc = Ipc::connect(&self.root.path().join("ipc.sock"));
        // Any number differs from this one.
        let mut drawn = || ipc.changed_frame(u64::MAX, Deadline::patient());
        let before = drawn();
        window.canvas.fill(Rect::of_size(200, 150), color);
        client.request_frame(&window.surface, window.number);
        client.show(window).expect("a commit");
        let frames = client.state.surface(window.number).frames;
        let told = client.wait_before(Deadline::after(QUIET), "a frame", |state| {
            state.surface(window.number).frames > frames
        });
        assert!(told.is_err(), "the client is told of a frame that nobody can see");
        assert_eq!(drawn(), before, "frames are drawn that nobody can see");
    }
}

fn screenshot(ipc: &mut Ipc, root: &TempDir) -> Image {
    let path: PathBuf = root.path().join("screenshot.png");
    ipc.request(&json!({"request": "screenshot", "path": path}));
    Image::read(&path)
}

const WHOLE: Rect = Rect { x: 0, y: 0, w: 600, h: 400 };

#[test]
fn the_x_server_shows_pixel_by_pixel_what_vitrail_has_drawn() {
    let mut desk = Desk::usual();
    desk.vitrail.wait_log("shared memory");
    let (mut client, mut window) = desk.client();
    let shown = desk.shows_what_was_drawn(WHOLE);
    assert!(shown.count(WHOLE, RED) >= 200 * 150, "the client's window is not there");
    assert_eq!(desk.xserver.property(desk.window(), "WM_CLASS"), b"vitrail\0Vitrail\0");

    let place = Rect { x: 90, y: 50, w: 731, h: 503 };
    desk.xserver.place(desk.window(), place);
    desk.shows_what_was_drawn(place);
    client.recolor(&mut window, GREEN).expect("a frame");
    let shown = desk.shows_what_was_drawn(place);
    assert!(shown.count(Rect::of_size(place.w, place.h), GREEN) >= 200 * 150);

    // As many sizes as there are when an edge is dragged.
    for w in (300..=400).step_by(5) {
        desk.xserver.place(desk.window(), Rect { w, ..place });
    }
    desk.shows_what_was_drawn(Rect { w: 400, ..place });
}

#[test]
fn what_another_window_has_covered_is_shown_again_and_nothing_is_drawn_while_nothing_can_be_seen() {
    let mut desk = Desk::usual();
    let (mut client, mut window) = desk.client();
    desk.shows_what_was_drawn(WHOLE);

    let part = desk.xserver.cover(Rect { x: 50, y: 30, w: 300, h: 200 }, 0x0012_3456);
    client.recolor(&mut window, GREEN).expect("a frame: some of it can be seen");
    desk.xserver.show(part, false);
    desk.shows_what_was_drawn(WHOLE);

    let all = desk.xserver.cover(WHOLE, 0x0012_3456);
    desk.draws_nothing(&mut client, &mut window, RED);
    desk.xserver.show(all, false);
    desk.shows_what_was_drawn(WHOLE);

    let outer = desk.window();
    desk.xserver.show(outer, false);
    desk.draws_nothing(&mut client, &mut window, GREEN);
    desk.xserver.show(outer, true);
    let shown = desk.shows_what_was_drawn(WHOLE);
    assert!(shown.count(WHOLE, GREEN) >= 200 * 150, "what was shown meanwhile is not there");
}

#[test]
fn a_server_without_extensions_gets_the_pixels_through_the_connection() {
    let mut desk = Desk::open(&["-extension", "MIT-SHM", "-extension", "Present"], |xserver| {
        xserver.display().to_owned()
    });
    desk.vitrail.wait_log("through the connection");
    let (mut client, mut window) = desk.client();
    desk.shows_what_was_drawn(WHOLE);
    // Larger than any single request may be where a request has 256 KiB.
    let place = Rect { x: 0, y: 0, w: 901, h: 703 };
    desk.xserver.place(desk.window(), place);
    desk.shows_what_was_drawn(place);
    client.recolor(&mut window, GREEN).expect("a frame");
    let shown = desk.shows_what_was_drawn(place);
    assert!(shown.count(place, GREEN) >= 200 * 150);
}

/// Another number of an X server's, which carries bytes and loses descriptors, as sockets do that ssh forwards.
fn relay(xserver: &XServer) -> String {
    let address = |number: &str| {
        let name = format!("/tmp/.X11-unix/X{number}");
        SocketAddr::from_abstract_name(name).expect("a name")
    };
    let server = UnixStream::connect_addr(&address(xserver.display().trim_start_matches(':')));
    let server = server.expect("the server's socket");
    // Far from those that servers take, and no other process's.
    let number = (10_000 + std::process::id() % 40_000).to_string();
    let listener = UnixListener::bind_addr(&address(&number)).expect("a socket");
    let copy = |mut from: UnixStream, mut to: UnixStream| {
        thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
        });
    };
    thread::spawn(move || {
        let (client, _) = listener.accept().expect("a client");
        let twin = |stream: &UnixStream| stream.try_clone().expect("a duplicate");
        copy(twin(&client), twin(&server));
        copy(server, client);
    });
    format!(":{number}")
}

#[test]
fn where_memory_does_not_arrive_frames_go_through_the_connection_from_then_on() {
    let mut desk = Desk::open(&[], relay);
    desk.vitrail.wait_log("cannot map our memory");
    let (mut client, mut window) = desk.client();
    desk.shows_what_was_drawn(WHOLE);
    let place = Rect { x: 10, y: 20, w: 500, h: 350 };
    desk.xserver.place(desk.window(), place);
    client.recolor(&mut window, GREEN).expect("a frame");
    let shown = desk.shows_what_was_drawn(place);
    assert!(shown.count(Rect::of_size(place.w, place.h), GREEN) >= 200 * 150);
}

#[test]
fn keys_buttons_and_wheels_of_the_x_server_reach_the_client() {
    let desk = Desk::usual();
    let (mut client, _window) = desk.client();
    let content = Ipc::connect(&desk.root.path().join("ipc.sock")).windows().windows[0].content();
    let xserver = &desk.xserver;
    xserver.focus(Some(desk.window()));

    xserver.point(content.x + 20, content.y + 30);
    xserver.point(content.x + 21, content.y + 33);
    let at = InputEvent::Motion(21.0, 33.0);
    client.wait_until("the pointer", |state| state.input.contains(&at)).expect("the pointer's place");
    client.state.input.clear();

    for number in [1, 2, 3, 5, 6, 8] {
        xserver.button(number, true);
        xserver.button(number, false);
    }
    let click = |code| [InputEvent::Button(code, true), InputEvent::Button(code, false)];
    let mut expected: Vec<InputEvent> = [0x110, 0x112, 0x111].into_iter().flat_map(click).collect();
    expected.extend([InputEvent::Scroll(0.0, 15.0), InputEvent::Scroll(-15.0, 0.0)]);
    expected.extend(click(0x113));
    let buttons = |state: &vitrail_tests::client::State| {
        let of_buttons =
            |event: &&InputEvent| matches!(event, InputEvent::Button(..) | InputEvent::Scroll(..));
        state.input.iter().filter(of_buttons).cloned().collect::<Vec<_>>()
    };
    let all = client.wait_until("buttons", |state| buttons(state).len() >= expected.len());
    all.unwrap_or_else(|error| panic!("{error}: {:?}", client.state.input));
    assert_eq!(buttons(&client.state), expected);
    client.state.input.clear();

    xserver.key(30, true);
    xserver.key(30, false);
    // Held while the keyboard goes to somebody else: without it Shift would stay down for good, because its release is told
    // to nobody here.
    xserver.key(42, true);
    client.wait_until("shift", |state| state.input.contains(&InputEvent::Key(42, true))).expect("shift");
    xserver.focus(None);
    client
        .wait_until("its end", |state| state.input.contains(&InputEvent::Key(42, false)))
        .expect("no shift");
    xserver.key(42, false);
    xserver.key(48, true);
    xserver.key(48, false);
    xserver.focus(Some(desk.window()));
    xserver.key(31, true);
    xserver.key(31, false);
    let last = InputEvent::Key(31, false);
    client.wait_until("keys", |state| state.input.contains(&last)).expect("keys");
    let keys: Vec<_> = [(30, true), (30, false), (42, true), (42, false), (31, true), (31, false)].into();
    let keys: Vec<_> = keys.into_iter().map(|(code, pressed)| InputEvent::Key(code, pressed)).collect();
    let got = client.state.input.iter().filter(|event| matches!(event, InputEvent::Key(..)));
    assert_eq!(got.cloned().collect::<Vec<_>>(), keys);
}

#[test]
fn the_close_button_ends_vitrail_in_order_and_so_it_can_be_told_from_the_servers_end() {
    let desk = Desk::usual();
    desk.xserver.ping(desk.window());
    desk.xserver.close(desk.window());
    assert_eq!(desk.vitrail.wait_exit(Deadline::patient()), Exit::Status(0));

    let desk = Desk::usual();
    desk.xserver.kill();
    assert_eq!(desk.vitrail.wait_exit(Deadline::patient()), Exit::Status(1));
}
