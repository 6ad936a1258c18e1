//! `vitrailctl` and a headless compositor, as programs.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use vitrail::ipc::client::Client;
use vitrail::ipc::protocol::{FrameNumber, Request};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

const CONFIG: &str = "\
background = { hint = false }
animation = { enabled = false }
[vm.work]
label = \"Work\"
color = \"#2e7d32\"

[vm.web]
color = \"#c62828\"
pattern = \"stripes\"
limits = { clients = 3 }
";

/// A compositor; killed when dropped.
struct Compositor {
    process: Child,
    /// The name of its socket.
    socket: &'static str,
    /// Its runtime directory, which it may share with another.
    directory: Rc<tempfile::TempDir>,
    /// What it has said until it was ready.
    log: Vec<String>,
}

impl Drop for Compositor {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn vitrail(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vitrail"));
    command.env("XDG_RUNTIME_DIR", directory).env_remove("VITRAIL_LOG").env_remove("VITRAIL_IPC");
    command
        .args(["--backend", "headless", "--socket", "test", "--size", "320x240", "--config"])
        .arg(directory.join("vitrail.toml"));
    command.stdin(Stdio::null()).stderr(Stdio::piped());
    command
}

impl Compositor {
    /// Starts a compositor and waits until it says that it is ready.
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("vitrail.toml"), CONFIG).unwrap();
        Self::run(vitrail(directory.path()), "test", Rc::new(directory))
    }

    /// Starts a compositor whose output is a window of this one, and waits likewise.
    fn start_inside(&self) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vitrail"));
        command.env("XDG_RUNTIME_DIR", self.directory.path()).env("WAYLAND_DISPLAY", self.socket);
        command.env_remove("WAYLAND_SOCKET").env_remove("VITRAIL_LOG").env_remove("VITRAIL_IPC");
        // Which backend, it finds out by itself.
        command.args(["--socket", "inside", "--size", "200x120"]).stdin(Stdio::null()).stderr(Stdio::piped());
        Self::run(command, "inside", Rc::clone(&self.directory))
    }

    fn run(mut command: Command, socket: &'static str, directory: Rc<tempfile::TempDir>) -> Self {
        let mut process = command.spawn().unwrap();
        let log = BufReader::new(process.stderr.take().unwrap());
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            // To the end, so that the compositor never waits for its log to be read.
            for line in log.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut seen = Vec::new();
        while !seen.last().is_some_and(|line: &String| line.contains("ready")) {
            let line = receiver.recv_timeout(PATIENCE);
            seen.push(line.unwrap_or_else(|_| panic!("the compositor does not get ready: {seen:#?}")));
        }
        Self { process, socket, directory, log: seen }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn control(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vitrailctl"));
        command.env("XDG_RUNTIME_DIR", self.directory.path()).env("WAYLAND_DISPLAY", self.socket);
        command.env_remove("VITRAIL_IPC").args(arguments).output().unwrap()
    }

    /// The output of a command that has to succeed.
    #[track_caller]
    fn said(&self, arguments: &[&str]) -> String {
        let output = self.control(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The complaint of a command that has to fail.
    #[track_caller]
    fn complained(&self, arguments: &[&str]) -> String {
        let output = self.control(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// The pixel of a screenshot.
    fn pixel(&self, x: usize, y: usize) -> [u8; 3] {
        let (size, bytes) = self.screenshot();
        assert_eq!(size, (320, 240));
        bytes[(y * 320 + x) * 3..][..3].try_into().unwrap()
    }

    /// Width and height of a screenshot, and its pixels of three bytes.
    fn screenshot(&self) -> ((usize, usize), Vec<u8>) {
        let path = self.path(&format!("{}.png", self.socket));
        self.said(&["screenshot", path.to_str().unwrap()]);
        let mut reader = png::Decoder::new(BufReader::new(File::open(path).unwrap())).read_info().unwrap();
        let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut bytes).unwrap();
        ((info.width.try_into().unwrap(), info.height.try_into().unwrap()), bytes)
    }

    /// Waits until the window of the other shows what the other draws and that is wanted, and returns that.
    fn shows(&self, inside: &Self, wanted: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let mut client = Client::connect(&self.path(&format!("vitrail-{}.sock", self.socket))).unwrap();
        let mut known = FrameNumber { frame: 0 };
        loop {
            known = client.request_within(&Request::WaitFrame { frame: known.frame }, PATIENCE).unwrap();
            let windows: serde_json::Value =
                serde_json::from_str(&self.said(&["windows", "--json"])).unwrap();
            let Some(window) = windows.get(0) else { continue };
            let content = |side: &str| usize::try_from(window["content"][side].as_u64().unwrap()).unwrap();
            let ((width, _), outer) = self.screenshot();
            let (size, inner) = inside.screenshot();
            if size != (content("w"), content("h")) {
                // It is about to be resized.
                continue;
            }
            let rows = outer.chunks(width * 3).skip(content("y")).take(size.1);
            let shown: Vec<u8> =
                rows.flat_map(|row| &row[content("x") * 3..][..size.0 * 3]).copied().collect();
            if shown == inner && wanted(&shown) {
                return shown;
            }
        }
    }
}

/// A compositor as a window of another one: that shows what it draws, its pointer follows the other's, its output is as large as
/// the window, and it ends when the window is closed.
#[test]
fn a_compositor_in_a_window_of_another_is_shown_moved_in_resized_and_closed() {
    let outer = Compositor::start();
    let mut inner = outer.start_inside();
    outer.said(&["wait", "--windows", "1", "--timeout", "20"]);
    let empty = outer.shows(&inner, |_| true);
    assert!(empty.iter().any(|byte| *byte != empty[0]), "there is a stripe");

    let windows: serde_json::Value = serde_json::from_str(&outer.said(&["windows", "--json"])).unwrap();
    let content = |side: &str| windows[0]["content"][side].as_i64().unwrap();
    let (x, y) = (content("x") + 100, content("y") + 60);
    outer.said(&["input", "move", &x.to_string(), &y.to_string()]);
    let pointed = outer.shows(&inner, |pointed| pointed != empty);
    let differing: Vec<usize> = pointed
        .chunks(3)
        .zip(empty.chunks(3))
        .enumerate()
        .filter(|(_, (a, b))| a != b)
        .map(|(n, _)| n)
        .collect();
    let first = differing[0];
    assert_eq!((first % 200, first / 200), (100, 60), "the pointer's tip");

    // More frames than there are buffers, so that each is written again after something was drawn into another.
    let mut before = pointed;
    for step in 1..=4 {
        outer.said(&["input", "move", &(x - step * 20).to_string(), &(y - step * 5).to_string()]);
        before = outer.shows(&inner, |moved| *moved != *before);
    }

    // By the lower right corner of its frame.
    let frame = |side: &str| windows[0]["frame"][side].as_i64().unwrap();
    let (right, below) = (frame("x") + frame("w") - 1, frame("y") + frame("h") - 1);
    let to = |x: i64, y: i64| outer.said(&["input", "move", &x.to_string(), &y.to_string()]);
    to(right, below);
    outer.said(&["input", "button", "left", "press"]);
    to(right - 40, below - 20);
    outer.said(&["input", "button", "left", "release"]);
    outer.shows(&inner, |resized| resized.len() == 160 * 100 * 3);
    assert!(inner.said(&["status"]).contains("output         160x100 at scale 1"));

    outer.said(&["input", "key", "leftmeta", "press"]);
    outer.said(&["input", "key", "q", "press"]);
    assert!(inner.process.wait().unwrap().success());
}

#[test]
fn an_empty_compositor_reports_its_vms_and_no_windows() {
    let compositor = Compositor::start();
    assert_eq!(compositor.said(&["windows"]), "no windows\n");
    assert_eq!(compositor.said(&["windows", "--json"]), "[]\n");
    let vms: serde_json::Value = serde_json::from_str(&compositor.said(&["vms", "--json"])).unwrap();
    let names: Vec<_> = vms.as_array().unwrap().iter().map(|vm| vm["vm"].as_str().unwrap()).collect();
    assert_eq!(names, ["local", "web", "work"]);
    assert_eq!(vms[1]["limits"]["clients"], 3);
    assert_eq!((&vms[2]["label"], &vms[2]["usage"]["clients"]), (&"Work".into(), &0.into()));
    let table = compositor.said(&["vms"]);
    assert!(table.contains("web    web    #c62828  stripes"), "{table}");
    assert!(compositor.said(&["status"]).contains("output         320x240 at scale 1"));
    assert!(compositor.said(&["status"]).contains("workspaces     [1]:0 2:0 3:0 4:0\n"));
}

#[test]
fn the_control_socket_is_the_users_alone_and_gone_with_the_compositor() {
    let mut compositor = Compositor::start();
    let socket = compositor.path("vitrail-test.sock");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let pid = rustix::process::Pid::from_child(&compositor.process);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(compositor.process.wait().unwrap().success());
    assert!(!socket.exists());
    let complaint = compositor.complained(&["windows"]);
    assert!(
        complaint.contains("no compositor listens at") && complaint.contains("VITRAIL_IPC"),
        "{complaint}"
    );
}

#[test]
fn a_bad_reload_is_shown_on_the_screen_and_by_vitrailctl_until_it_is_mended() {
    let compositor = Compositor::start();
    let config = compositor.path("vitrail.toml");
    let bottom_left = || compositor.pixel(2, 236);
    let bare = bottom_left();

    fs::write(&config, CONFIG.replace("pattern", "patern")).unwrap();
    let complaint = compositor.complained(&["reload"]);
    assert!(complaint.contains("vitrail.toml:9:1: unknown field `patern`"), "{complaint}");
    assert!(complaint.contains("9 | patern = \"stripes\"\n  | ^^^^^^\n"), "{complaint}");
    assert!(compositor.said(&["vms"]).contains("9 | patern = \"stripes\""));
    assert!(compositor.said(&["vms", "--json"]).contains("stripes"));
    assert_eq!(bottom_left(), [0xff, 0xb3, 0x00]);

    fs::write(&config, "[vm.mail]\ncolor = \"#123456\"\n").unwrap();
    compositor.said(&["reload"]);
    assert!(compositor.said(&["vms"]).contains("#123456"));
    assert!(!compositor.said(&["vms"]).contains("The last reload failed"));
    assert_eq!(bottom_left(), bare);
}

#[test]
fn why_says_which_rule_decided_and_follows_reloads() {
    let compositor = Compositor::start();
    let config = compositor.path("vitrail.toml");
    let json = |vm: &str, interface: &str| -> serde_json::Value {
        serde_json::from_str(&compositor.said(&["why", vm, interface, "--json"])).unwrap()
    };
    let text = compositor.said(&["why", "web", "wp_viewporter"]);
    assert_eq!(
        text,
        "web sees wp_viewporter in version 1.\n\n\
         rule        its class, which every VM sees\n\
         class       application: Cropping and scaling of the VM's own buffers.\n\
         version     the one that the compositor offers\n\
         compositor  offers version 1\n"
    );
    fs::write(&config, format!("{CONFIG}protocols = {{ deny = [\"wp_viewporter\"] }}\n")).unwrap();
    compositor.said(&["reload"]);
    let text = compositor.said(&["why", "web", "wp_viewporter"]);
    let rule = format!("rule        denied by [vm.web.protocols] deny in {}\n", config.display());
    assert!(text.starts_with("web does not see wp_viewporter.\n") && text.contains(&rule), "{text}");
    let denied = json("web", "wp_viewporter");
    assert_eq!((&denied["visible"], &denied["version"]), (&false.into(), &serde_json::Value::Null));
    assert_eq!(
        (&denied["decided_by"], &denied["key"]),
        (&"denied".into(), &"[vm.web.protocols] deny".into())
    );
    assert_eq!((&denied["class"], &denied["offered"]), (&"application".into(), &1.into()));
    assert_eq!(json("work", "wp_viewporter")["visible"], true);
    assert_eq!(json("stranger", "wl_shm")["decided_by"], "unknown_vm");
    assert_eq!(json("work", "wl_shn")["decided_by"], "unknown_interface");
    assert_eq!(json("local", "wl_shm")["decided_by"], "local");
}

#[test]
fn a_pair_of_vms_is_explained_and_the_rule_is_that_of_the_last_reload() {
    let compositor = Compositor::start();
    assert_eq!(compositor.said(&["clipboard"]), "The clipboard between VMs is empty.\n");
    let text = compositor.said(&["clipboard", "work", "web"]);
    assert!(text.starts_with("You are asked before anything is pasted from work into web.\n"), "{text}");
    let rule = "[[clipboard.rule]]\nfrom = \"work\"\nto = \"*\"\naction = \"deny\"\n";
    let config = compositor.path("vitrail.toml");
    fs::write(&config, format!("{CONFIG}{rule}")).unwrap();
    compositor.said(&["reload"]);
    let report: serde_json::Value =
        serde_json::from_str(&compositor.said(&["clipboard", "work", "local", "--json"])).unwrap();
    assert_eq!((&report["action"], &report["rule"]), (&"deny".into(), &1.into()));
    assert!(compositor.complained(&["clipboard", "work", "wbe"]).contains("there is no VM"));
}

#[test]
fn a_forbidden_protocol_is_a_mistake_at_its_line() {
    let compositor = Compositor::start();
    let config = compositor.path("vitrail.toml");
    fs::write(&config, format!("{CONFIG}[defaults.protocols]\nallow = [\"zwlr_layer_shell_v1\"]\n")).unwrap();
    let complaint = compositor.complained(&["reload"]);
    let place = format!("{}:12:10: zwlr_layer_shell_v1 is never shown to a VM", config.display());
    assert!(
        complaint.starts_with(&place) && complaint.contains("Draws over the whole screen"),
        "{complaint}"
    );
    assert!(compositor.complained(&["check", config.to_str().unwrap()]).starts_with(&place));
}

#[test]
fn check_needs_no_compositor_and_shows_the_line() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("vitrail.toml");
    let check = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vitrailctl"));
        command.env_remove("XDG_RUNTIME_DIR").arg("check").arg(&file).output().unwrap()
    };
    fs::write(&file, CONFIG).unwrap();
    assert!(check().status.success());
    fs::write(&file, format!("{CONFIG}\n[vm.mail]\ncolor = \"#2E7D32\"\n")).unwrap();
    let output = check();
    assert_eq!(output.status.code(), Some(1));
    let complaint = String::from_utf8(output.stderr).unwrap();
    let place = format!("{}:13:9: VM work has the colour #2e7d32 already\n", file.display());
    assert!(complaint.starts_with(&place), "{complaint}");
    assert!(complaint.contains("13 | color = \"#2E7D32\"\n   |         ^^^^^^^^^"), "{complaint}");
}

#[test]
fn check_warns_of_rules_of_the_clipboard_that_are_never_reached() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("vitrail.toml");
    let rule =
        |from: &str| format!("[[clipboard.rule]]\nfrom = \"{from}\"\nto = \"web\"\naction = \"deny\"\n");
    fs::write(&file, format!("{CONFIG}{}{}", rule("*"), rule("work"))).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_vitrailctl")).arg("check").arg(&file).output().unwrap();
    assert!(output.status.success());
    let warning = String::from_utf8(output.stdout).unwrap();
    assert!(warning.contains("warning: rule 2 of [[clipboard.rule]]"), "{warning}");
}

#[test]
fn a_compositor_does_not_start_with_a_bad_configuration() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("vitrail.toml"), "[vm.work]\n").unwrap();
    let output = vitrail(directory.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("VM work has no color"));
}

#[test]
fn input_moves_the_pointer_and_mistakes_are_refused() {
    let compositor = Compositor::start();
    compositor.said(&["input", "move", "100", "100"]);
    let drawn = compositor.pixel(100, 100);
    compositor.said(&["input", "move", "300", "200"]);
    assert_ne!(compositor.pixel(100, 100), drawn);
    compositor.said(&["input", "type", "some text\\n"]);
    assert!(compositor.complained(&["input", "key", "nokey", "tap"]).contains("no key is called"));
    assert!(compositor.complained(&["input", "type", "é"]).contains("no key for 'é'"));
    // By the layout of the session, which a reload may change.
    fs::write(
        compositor.directory.path().join("vitrail.toml"),
        format!("{CONFIG}[input.keyboard]\nlayout = \"fr\"\n"),
    )
    .unwrap();
    compositor.said(&["reload"]);
    compositor.said(&["input", "type", "é"]);
    let said = compositor.complained(&["input", "type", "a\u{4e2d}"]);
    assert!(said.contains("\"French\" has no key for '\u{4e2d}'"), "{said}");
    // More than one request, and not cut within a character.
    compositor.said(&["input", "type", &"é".repeat(5000)]);
}

#[test]
fn waiting_for_windows_that_do_not_come_ends_in_time() {
    let compositor = Compositor::start();
    let complaint = compositor.complained(&["wait", "--windows", "1", "--timeout", "0"]);
    assert!(complaint.contains("fewer than 1 windows for 0 seconds"), "{complaint}");
    compositor.said(&["wait", "--windows", "0"]);
}

/// A program that prints lines; killed when dropped.
struct Watch {
    process: Child,
    lines: mpsc::Receiver<String>,
}

impl Watch {
    fn start(compositor: &Compositor, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vitrailctl"));
        command.arg("--ipc").arg(compositor.path("vitrail-test.sock")).arg("watch").args(arguments);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self { process, lines }
    }

    #[track_caller]
    fn line(&self) -> serde_json::Value {
        serde_json::from_str(&self.lines.recv_timeout(PATIENCE).unwrap()).unwrap()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn watch_prints_a_line_at_once_and_one_for_every_change() {
    let mut compositor = Compositor::start();
    let mut watch = Watch::start(&compositor, &[]);
    let bar = Watch::start(&compositor, &["--waybar"]);
    let first = watch.line();
    let names: Vec<&str> = first.as_array().unwrap().iter().map(|vm| vm["vm"].as_str().unwrap()).collect();
    assert_eq!(names, ["local", "web", "work"]);
    assert_eq!((&first[2]["color"], &first[2]["clients"]), (&"#2e7d32".into(), &0.into()));
    let shown = bar.line();
    assert_eq!((&shown["text"], &shown["alt"]), (&"".into(), &"none".into()));

    fs::write(compositor.path("vitrail.toml"), CONFIG.replace("#2e7d32", "#1565c0")).unwrap();
    compositor.said(&["reload"]);
    assert_eq!(watch.line()[2]["color"], "#1565c0");
    // Nothing has changed: no line.
    compositor.said(&["reload"]);

    // A connection from which no window comes.
    let local = std::os::unix::net::UnixStream::connect(compositor.path("test")).unwrap();
    assert_eq!(watch.line()[0]["clients"], 1);
    drop(local);
    assert_eq!(watch.line()[0]["clients"], 0);
    assert!(bar.lines.try_recv().is_err(), "a bar is told of what it shows alone");

    compositor.process.kill().unwrap();
    assert_eq!(watch.process.wait().unwrap().code(), Some(1));
}

#[test]
fn a_screenshot_replaces_files_and_nothing_else() {
    let compositor = Compositor::start();
    let complaint = compositor.complained(&["screenshot", compositor.directory.path().to_str().unwrap()]);
    assert!(complaint.contains("is not a regular file"), "{complaint}");
    let missing = compositor.path("no/such/place.png");
    assert!(compositor.complained(&["screenshot", missing.to_str().unwrap()]).contains("cannot write"));
}

/// A file of Xcursor with one picture of one colour, whose place that points is in its middle.
fn pointer_file(size: u32, [r, g, b]: [u8; 3]) -> Vec<u8> {
    let header = [u32::from_le_bytes(*b"Xcur"), 16, 0x1_0000, 1];
    let contents = [0xfffd_0002, size, 28];
    let picture = [36, 0xfffd_0002, size, 1, size, size, size / 2, size / 2, 0];
    let pixel = u32::from_le_bytes([b, g, r, 255]);
    let pixels = std::iter::repeat_n(pixel, (size * size) as usize);
    header.into_iter().chain(contents).chain(picture).chain(pixels).flat_map(u32::to_le_bytes).collect()
}

#[test]
fn the_pointer_is_the_themes_in_its_size_and_the_arrow_where_there_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let theme = directory.path().join("Glass/cursors");
    fs::create_dir_all(&theme).unwrap();
    fs::write(theme.join("default"), pointer_file(24, [255, 0, 0])).unwrap();
    let config = directory.path().join("vitrail.toml");
    fs::write(&config, "[theme]\ncursor_theme = \"Glass\"\n").unwrap();
    let mut command = vitrail(directory.path());
    command.env("XCURSOR_PATH", directory.path());
    let compositor = Compositor::run(command, "test", Rc::new(directory));
    compositor.said(&["input", "move", "100", "100"]);
    let red = |x, y| compositor.pixel(x, y) == [255, 0, 0];
    assert!(red(88, 88) && red(111, 111) && !red(87, 100) && !red(112, 100));

    fs::write(&config, "[theme]\ncursor_theme = \"Glass\"\ncursor_size = 48\n").unwrap();
    compositor.said(&["reload"]);
    assert!(red(80, 80) && red(119, 119) && !red(75, 100) && !red(124, 100));

    // A theme that is damaged, or is not there, is no reason to have no pointer.
    fs::write(theme.join("default"), b"Xcur").unwrap();
    for name in ["Glass", "Elsewhere"] {
        fs::write(&config, format!("[theme]\ncursor_theme = \"{name}\"\ncursor_size = 24\n")).unwrap();
        compositor.said(&["reload"]);
        assert!(!red(100, 100));
        assert_eq!(compositor.pixel(100, 105), [248, 248, 248], "{name}");
    }
}

/// Without a graphics card OpenGL is the processor, too (Mesa's llvmpipe), so headless it draws only if it is told to.
#[test]
fn who_draws_is_who_was_asked_to_and_is_in_the_log() {
    let start = |renderer: &[&str]| {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("vitrail.toml"), CONFIG).unwrap();
        let mut command = vitrail(directory.path());
        command.args(renderer);
        Compositor::run(command, "test", Rc::new(directory))
    };
    let says_gles = |compositor: &Compositor| {
        compositor.log.iter().filter(|line| line.contains("drawing by OpenGL ES (")).count()
    };
    let gles = start(&["--renderer", "gles"]);
    assert_eq!(says_gles(&gles), 1, "{:#?}", gles.log);
    let picture = gles.path("picture.png");
    gles.said(&["screenshot", picture.to_str().unwrap()]);
    assert!(picture.exists());
    for renderer in ["auto", "pixman"] {
        let other = start(&["--renderer", renderer]);
        assert_eq!(says_gles(&other), 0, "{:#?}", other.log);
    }
}

#[test]
fn a_window_is_not_drawn_by_opengl_and_says_so() {
    let outer = Compositor::start();
    let mut command = Command::new(env!("CARGO_BIN_EXE_vitrail"));
    command.env("XDG_RUNTIME_DIR", outer.directory.path()).env("WAYLAND_DISPLAY", outer.socket);
    command.args(["--renderer", "gles", "--socket", "inside"]).stdin(Stdio::null());
    let output = command.output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("a window is drawn by the processor"), "{said}");
}
