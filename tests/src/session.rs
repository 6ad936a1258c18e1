//! A whole Vitrail for one test.
//!
//! Everything is in directories of the test's own, laid out as on real machines: what a VM sees (its runtime
//! directory with the socket of `wl-forward`), what the host has (the hub's sockets, the regions) and what the
//! GUI VM has (the compositor's, the gate's and the control socket). The hub speaks to the gate and the VMs to
//! the hub over Unix sockets, which carry the same bytes as any other transport.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Canvas, Client, ClientError, Rect};
use crate::deadline::Deadline;
use crate::image::Image;
use crate::ipc::{Ipc, WindowInfo};
use crate::process::{self, Exit, Member, Process};

mod local;
mod options;

pub use local::bounds;
pub use options::{Options, Sharing};

/// The colour of local windows.
pub const LOCAL_COLOR: u32 = 0x005f_6368;

/// Names and colours of the VMs that sessions are made of.
pub const VM_COLORS: [(&str, u32); 3] =
    [("work", 0x002e_7d32), ("personal", 0x0015_65c0), ("untrusted", 0x00c6_2828)];

/// The evdev code of the left button.
pub const BUTTON_LEFT: u32 = 0x110;

/// The running programs. Dropping it ends them.
#[derive(Debug)]
pub struct Session {
    options: Options,
    forwards: BTreeMap<&'static str, Process>,
    hub: Process,
    compositor: Process,
    ipc: Ipc,
    screenshots: u32,
    // After the processes: nothing may use the files any more when they are removed.
    regions: TempDir,
    root: TempDir,
}

impl Session {
    /// A session of the given VMs with the usual options.
    ///
    /// # Panics
    ///
    /// When a program does not start.
    #[must_use]
    #[track_caller]
    pub fn start(vms: &[&'static str]) -> Self {
        Self::with(Options::new(vms))
    }

    /// A session as described, with every program ready.
    ///
    /// # Panics
    ///
    /// When a program does not start.
    #[must_use]
    #[track_caller]
    pub fn with(options: Options) -> Self {
        let root = tempfile::Builder::new().prefix("vitrail-").tempdir().expect("a temporary directory");
        let regions =
            tempfile::Builder::new().prefix("vitrail-").tempdir_in("/dev/shm").expect("room in /dev/shm");
        for name in ["gui", "hub", "logs"] {
            fs::create_dir(root.path().join(name)).expect("a directory");
        }
        write_compositor_configuration(&options, root.path(), regions.path());
        write_hub_configuration(&options, root.path(), regions.path());
        let compositor = start_compositor(&options, root.path());
        let gui = root.path().join("gui");
        compositor.wait_path(&gui.join("vitrail-gate.sock"));
        let ipc = Ipc::connect(&gui.join("ipc.sock"));
        let hub = start_hub(&options, root.path());
        let forward = |vm: &&'static str| {
            fs::create_dir(root.path().join(vm)).expect("a directory");
            (*vm, start_forward(&options, root.path(), regions.path(), vm))
        };
        let forwards = options.vms.iter().map(forward).collect();
        Self { options, forwards, hub, compositor, ipc, screenshots: 0, regions, root }
    }

    /// The directory that holds everything but the regions.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// The size of the output in pixels.
    #[must_use]
    pub fn size(&self) -> (i32, i32) {
        self.options.size
    }

    /// The scale of the output.
    #[must_use]
    pub fn scale(&self) -> i32 {
        self.options.scale
    }

    /// The compositor's socket for local clients.
    #[must_use]
    pub fn local_socket(&self) -> PathBuf {
        self.root().join("gui/wayland-vitrail")
    }

    /// The socket of a VM's `wl-forward`.
    #[must_use]
    pub fn vm_socket(&self, vm: &str) -> PathBuf {
        self.root().join(vm).join("wayland-vm")
    }

    /// The hub's socket for a VM.
    #[must_use]
    pub fn hub_socket(&self, vm: &str) -> PathBuf {
        hub_socket(self.root(), vm)
    }

    /// The file of a VM's region.
    #[must_use]
    pub fn region(&self, vm: &str) -> PathBuf {
        region(self.regions.path(), vm)
    }

    /// A new connection of a VM, or of the GUI VM itself for `local`.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    #[must_use]
    #[track_caller]
    pub fn client(&self, vm: &str) -> Client {
        self.try_client(vm).unwrap_or_else(|error| panic!("connecting from {vm}: {error}"))
    }

    /// A new connection, if somebody serves it.
    ///
    /// # Errors
    ///
    /// How it was ended before it could be used.
    #[track_caller]
    pub fn try_client(&self, vm: &str) -> Result<Client, ClientError> {
        let socket = if vm == "local" { self.local_socket() } else { self.vm_socket(vm) };
        Client::over(process::connect(&socket, Deadline::patient()))
    }

    /// The directory for the logs of further processes.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.root().join("logs")
    }

    /// A command in the environment of a VM's applications (or of local ones, for `local`), whose `wl-forward` takes
    /// connections by now: applications do not wait for it.
    ///
    /// # Panics
    ///
    /// When `wl-forward` does not come to that.
    #[must_use]
    #[track_caller]
    pub fn application(&self, vm: &str, program: &str) -> Command {
        if let Some(forward) = self.forwards.get(vm) {
            forward.wait_log("applications connect to");
        }
        let (directory, socket) = match vm {
            "local" => ("gui", self.local_socket()),
            vm => (vm, self.vm_socket(vm)),
        };
        let mut command = process::command(program);
        command.env("XDG_RUNTIME_DIR", self.root().join(directory)).env("WAYLAND_DISPLAY", socket);
        command.env("HOME", self.root().join(directory)).env("GSK_RENDERER", "cairo");
        command.env("GDK_BACKEND", "wayland").env("NO_AT_BRIDGE", "1").env("GSETTINGS_BACKEND", "memory");
        command.env("QT_QPA_PLATFORM", "wayland").env("LANG", "C.UTF-8");
        // What the user of the machine has set up, and the bus on which an instance of the user's would answer.
        for name in ["DBUS_SESSION_BUS_ADDRESS", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"] {
            command.env_remove(name);
        }
        command
    }

    /// The mapped windows.
    ///
    /// # Panics
    ///
    /// When the compositor does not answer.
    #[must_use]
    #[track_caller]
    pub fn windows(&mut self) -> Vec<WindowInfo> {
        self.ipc.windows().windows
    }

    /// Waits until `condition` holds for the mapped windows, and returns them.
    ///
    /// # Panics
    ///
    /// When that is not so before the deadline.
    #[track_caller]
    pub fn wait_windows(&mut self, what: &str, condition: impl Fn(&[WindowInfo]) -> bool) -> Vec<WindowInfo> {
        let deadline = Deadline::patient();
        let mut list = self.ipc.windows();
        while !condition(&list.windows) {
            let changed = self.ipc.changed_windows(list.generation, deadline);
            list = changed.unwrap_or_else(|| panic!("gave up waiting for {what}: {:#?}", list.windows));
        }
        list.windows
    }

    /// Waits for the window with a title, and returns it.
    ///
    /// # Panics
    ///
    /// When it is not mapped before the deadline.
    #[track_caller]
    pub fn wait_window(&mut self, title: &str) -> WindowInfo {
        let windows = self.wait_windows(title, |windows| windows.iter().any(|window| window.title == title));
        windows.into_iter().find(|window| window.title == title).expect("it was among them")
    }

    /// Waits until exactly these titles are mapped.
    ///
    /// # Panics
    ///
    /// When that is not so before the deadline.
    #[track_caller]
    pub fn wait_titles(&mut self, titles: &[&str]) {
        let mut wanted = titles.to_vec();
        wanted.sort_unstable();
        self.wait_windows(&format!("exactly {wanted:?}"), |windows| {
            let mut titles: Vec<&str> = windows.iter().map(|window| window.title.as_str()).collect();
            titles.sort_unstable();
            titles == wanted
        });
    }

    /// What the output shows.
    ///
    /// # Panics
    ///
    /// When the screenshot fails.
    #[must_use]
    #[track_caller]
    pub fn screenshot(&mut self) -> Image {
        self.screenshots += 1;
        let path = self.root().join(format!("screenshot-{}.png", self.screenshots));
        self.save_screenshot(&path);
        let image = Image::read(&path);
        fs::remove_file(&path).expect("a screenshot that was just read");
        image
    }

    /// What another output shows.
    ///
    /// # Panics
    ///
    /// When the screenshot fails.
    #[must_use]
    #[track_caller]
    pub fn screenshot_of(&mut self, output: &str) -> Image {
        self.screenshots += 1;
        let path = self.root().join(format!("screenshot-{}.png", self.screenshots));
        self.ipc.request(&json!({"request": "screenshot", "path": path, "output": output}));
        Image::read(&path)
    }

    /// The outputs, as the control socket reports them.
    ///
    /// # Panics
    ///
    /// When the compositor does not answer well.
    #[must_use]
    #[track_caller]
    pub fn outputs(&mut self) -> Vec<Value> {
        let answer = self.ipc.request(&json!({"request": "outputs"}));
        answer.as_array().expect("a list of outputs").clone()
    }

    /// Writes what the output shows to a PNG file at an absolute path.
    ///
    /// # Panics
    ///
    /// When the screenshot fails.
    #[track_caller]
    pub fn save_screenshot(&mut self, path: &Path) {
        self.ipc.request(&json!({"request": "screenshot", "path": path}));
    }

    /// Waits until the number of drawn frames is another one than `known`, and returns it; `None` when the deadline
    /// passed before, after which the session can be asked for nothing more.
    ///
    /// # Panics
    ///
    /// When the compositor does not answer well.
    #[track_caller]
    pub fn changed_frame(&mut self, known: u64, deadline: Deadline) -> Option<u64> {
        self.ipc.changed_frame(known, deadline)
    }

    /// How the content of the window with `title` differs from `expected` on the screen.
    ///
    /// # Panics
    ///
    /// When there is no such window, or it has another size.
    #[must_use]
    #[track_caller]
    pub fn difference(&mut self, title: &str, expected: &Canvas) -> Option<crate::image::Difference> {
        let content = self.wait_window(title).content();
        self.screenshot().difference(content, expected)
    }

    /// Asserts that all of the window with `title` that no other one covers has one colour, and that some of
    /// it is visible.
    ///
    /// # Panics
    ///
    /// When it has not.
    #[track_caller]
    pub fn assert_color(&mut self, title: &str, color: u32) {
        let windows = self.windows();
        let window = windows.iter().find(|window| window.title == title).expect("a mapped window");
        let above: Vec<Rect> =
            windows.iter().filter(|other| other.z > window.z).map(WindowInfo::frame).collect();
        let image = self.screenshot();
        let mut visible = 0;
        for (x, y) in places(window.content()) {
            if above.iter().any(|rect| contains(*rect, x, y)) {
                continue;
            }
            visible += 1;
            assert_eq!(image.pixel(x, y), Some(color), "{title} at ({x}, {y})");
        }
        assert!(visible > 0, "{title} is covered wholly");
    }

    /// Runs `vitrailctl` with arguments and returns its output.
    ///
    /// # Panics
    ///
    /// When it fails.
    #[track_caller]
    pub fn control(&self, arguments: &[&str]) -> String {
        self.try_control(arguments).unwrap_or_else(|errors| panic!("vitrailctl {arguments:?}: {errors}"))
    }

    /// Runs `vitrailctl` with arguments, over a connection of its own, and returns its output.
    ///
    /// # Errors
    ///
    /// What it complains of.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[track_caller]
    pub fn try_control(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = process::command(process::program("vitrailctl"));
        command.env("VITRAIL_IPC", self.root().join("gui/ipc.sock")).args(arguments);
        let output = command.output().expect("vitrailctl starts");
        let said = if output.status.success() { &output.stdout } else { &output.stderr };
        let text = String::from_utf8_lossy(said).into_owned();
        if output.status.success() { Ok(text) } else { Err(text) }
    }

    /// Starts `vitrailctl` with arguments, as a process that goes on until it is killed; its log has what it prints.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[track_caller]
    pub fn start_control(&self, name: &str, arguments: &[&str]) -> Process {
        let mut command = process::command(process::program("vitrailctl"));
        command.env("VITRAIL_IPC", self.root().join("gui/ipc.sock")).args(arguments);
        Process::start(name, &self.logs(), &mut command, &[])
    }

    /// Clicks with the left button at a place of the output, in pixels.
    ///
    /// # Panics
    ///
    /// When the compositor refuses.
    #[track_caller]
    pub fn click(&mut self, x: i32, y: i32) {
        let button = |pressed: bool| json!({"event": "button", "code": BUTTON_LEFT, "pressed": pressed});
        self.input(&[json!({"event": "move", "x": x, "y": y}), button(true), button(false)]);
    }

    /// Presses and releases a key (evdev code).
    ///
    /// # Panics
    ///
    /// When the compositor refuses.
    #[track_caller]
    pub fn tap(&mut self, code: u32) {
        let key = |pressed: bool| json!({"event": "key", "code": code, "pressed": pressed});
        self.input(&[key(true), key(false)]);
    }

    /// Plays input, as the control socket takes it.
    ///
    /// # Panics
    ///
    /// When the compositor refuses.
    #[track_caller]
    pub fn input(&mut self, events: &[Value]) {
        self.ipc.request(&json!({"request": "input", "events": events}));
    }

    /// The same with places on another output.
    ///
    /// # Panics
    ///
    /// When the compositor refuses.
    #[track_caller]
    pub fn input_on(&mut self, output: &str, events: &[Value]) {
        self.ipc.request(&json!({"request": "input", "events": events, "output": output}));
    }

    /// Clicks where nothing covers a window's content, so that it has the keyboard, and moves the pointer into a
    /// corner of the output.
    ///
    /// # Panics
    ///
    /// When all of it is covered, or it does not get the keyboard.
    #[track_caller]
    pub fn focus(&mut self, title: &str) {
        let (x, y) = self.free_place(title);
        self.click(x, y);
        // Out of the way: the pointer is part of the picture.
        self.input(&[json!({"event": "move", "x": self.options.size.0 - 1, "y": self.options.size.1 - 1})]);
        let what = format!("{title} to have the keyboard");
        self.wait_windows(&what, |windows| windows.iter().any(|w| w.focused && w.title == title));
    }

    /// A place of the output, in pixels, where nothing covers a window's content.
    #[track_caller]
    fn free_place(&mut self, title: &str) -> (i32, i32) {
        let windows = self.windows();
        let window = windows.iter().find(|window| window.title == title).expect("a mapped window");
        let above: Vec<Rect> =
            windows.iter().filter(|other| other.z > window.z).map(WindowInfo::frame).collect();
        let free = places(window.content()).find(|&(x, y)| !above.iter().any(|rect| contains(*rect, x, y)));
        let (x, y) = free.unwrap_or_else(|| panic!("{title} is covered wholly"));
        (x + 1, y + 1)
    }

    /// Moves the pointer to where nothing covers a window's content.
    ///
    /// # Panics
    ///
    /// When all of it is covered.
    #[track_caller]
    pub fn point(&mut self, title: &str) {
        let (x, y) = self.free_place(title);
        self.input(&[json!({"event": "move", "x": x, "y": y})]);
    }

    /// Presses the left button where nothing covers a window's content. It stays down.
    ///
    /// # Panics
    ///
    /// When all of it is covered.
    #[track_caller]
    pub fn press(&mut self, title: &str) {
        self.point(title);
        self.input(&[json!({"event": "button", "code": BUTTON_LEFT, "pressed": true})]);
    }

    /// Releases the left button where the pointer is.
    ///
    /// # Panics
    ///
    /// When the compositor refuses.
    #[track_caller]
    pub fn release(&mut self) {
        self.input(&[json!({"event": "button", "code": BUTTON_LEFT, "pressed": false})]);
    }

    /// Writes the configuration anew with another table of protocols for one VM, and has it read.
    ///
    /// # Panics
    ///
    /// When the compositor does not take it.
    #[track_caller]
    pub fn change_protocols(&mut self, vm: &'static str, table: &str) {
        self.options.protocols.insert(vm, table.to_owned());
        write_compositor_configuration(&self.options, self.root.path(), self.regions.path());
        self.control(&["reload"]);
    }

    /// The file in which `vitrail-session` has the places of windows kept.
    #[must_use]
    pub fn layout(&self) -> PathBuf {
        self.root().join("state/vitrail/layout.toml")
    }

    /// Sends a signal to the compositor that `vitrail-session` runs, and speaks to its successor when that is there.
    ///
    /// # Panics
    ///
    /// When it does not come.
    #[track_caller]
    pub fn crash_compositor(&mut self, signal: Signal) {
        let is_compositor =
            |member: &Member| member.arguments.first().is_some_and(|program| program.ends_with("/vitrail"));
        let compositor = self.compositor.members().into_iter().find(is_compositor);
        let pid = compositor.unwrap_or_else(|| panic!("no vitrail: {:?}", self.compositor.members())).pid;
        rustix::process::kill_process(pid, signal).expect("the process lives");
        self.ipc.wait_end();
        self.ipc = Ipc::connect(&self.root.path().join("gui/ipc.sock"));
    }

    /// The compositor's process, or that of `vitrail-session` which runs it.
    #[must_use]
    pub fn compositor(&self) -> &Process {
        &self.compositor
    }

    /// The hub's supervisor.
    #[must_use]
    pub fn hub(&self) -> &Process {
        &self.hub
    }

    /// A VM's `wl-forward`.
    #[must_use]
    pub fn forward(&self, vm: &str) -> &Process {
        &self.forwards[vm]
    }

    /// The hub's relay of a VM.
    ///
    /// # Panics
    ///
    /// When it does not run.
    #[must_use]
    #[track_caller]
    pub fn relay(&self, vm: &str) -> Member {
        let relay = self.hub.members().into_iter().find(|member| member.has_arguments(&["--relay", vm]));
        relay.unwrap_or_else(|| panic!("no relay for {vm}: {:?}", self.hub.members()))
    }

    /// The gate's worker of a VM.
    ///
    /// # Panics
    ///
    /// When it does not run.
    #[must_use]
    #[track_caller]
    pub fn worker(&self, vm: &str) -> Member {
        let worker = self.compositor.members().into_iter().find(|member| member.has_arguments(&["--vm", vm]));
        worker.unwrap_or_else(|| panic!("no worker for {vm}: {:?}", self.compositor.members()))
    }

    /// The gate's supervisor.
    ///
    /// # Panics
    ///
    /// When it does not run.
    #[must_use]
    #[track_caller]
    pub fn gate(&self) -> Member {
        let is_gate = |member: &Member| {
            let program = member.arguments.first().is_some_and(|program| program.ends_with("vitrail-gate"));
            program && !member.has_arguments(&["--worker"])
        };
        let gate = self.compositor.members().into_iter().find(is_gate);
        gate.unwrap_or_else(|| panic!("no gate: {:?}", self.compositor.members()))
    }

    /// Every living process of the session that is one of our programs.
    #[must_use]
    pub fn processes(&self) -> Vec<Member> {
        let leaders = self.forwards.values().chain([&self.hub, &self.compositor]);
        leaders.flat_map(Process::members).collect()
    }

    /// Starts the hub again after its supervisor was killed. Its relays live on.
    ///
    /// # Panics
    ///
    /// When it does not start.
    #[track_caller]
    pub fn restart_hub(&mut self) -> Process {
        assert!(self.hub.exit().is_some(), "the hub still runs");
        for vm in &self.options.vms {
            let _ = fs::remove_file(self.hub_socket(vm));
        }
        let hub = start_hub(&self.options, self.root.path());
        std::mem::replace(&mut self.hub, hub)
    }

    /// Starts a VM's `wl-forward` again after it was killed.
    ///
    /// # Panics
    ///
    /// When it does not start.
    #[track_caller]
    pub fn restart_forward(&mut self, vm: &'static str) {
        assert!(self.forwards[vm].exit().is_some(), "wl-forward still runs");
        let _ = fs::remove_file(self.vm_socket(vm));
        let forward = start_forward(&self.options, self.root.path(), self.regions.path(), vm);
        self.forwards.insert(vm, forward);
    }

    /// Ends the compositor as a session manager would, and waits for it.
    ///
    /// # Panics
    ///
    /// When it does not end.
    #[track_caller]
    pub fn stop_compositor(&self) -> Exit {
        self.compositor.signal(Signal::TERM);
        self.compositor.wait_exit(Deadline::patient())
    }
}

/// All places of a rectangle, in rows from the top.
pub fn places(rect: Rect) -> impl Iterator<Item = (i32, i32)> {
    (rect.y..rect.y + rect.h).flat_map(move |y| (rect.x..rect.x + rect.w).map(move |x| (x, y)))
}

/// Whether a place is in a rectangle.
#[must_use]
pub fn contains(rect: Rect, x: i32, y: i32) -> bool {
    (rect.x..rect.x + rect.w).contains(&x) && (rect.y..rect.y + rect.h).contains(&y)
}

fn hub_socket(root: &Path, vm: &str) -> PathBuf {
    root.join("hub").join(format!("{vm}.sock"))
}

fn region(regions: &Path, vm: &str) -> PathBuf {
    regions.join(format!("{vm}.region"))
}

fn write_compositor_configuration(options: &Options, root: &Path, regions: &Path) {
    let mut text = String::new();
    let gate = process::program("vitrail-gate");
    writeln!(text, "[local]\nlabel = \"local\"\ncolor = \"#{LOCAL_COLOR:06x}\"").expect("a String");
    // What is drawn is then what the clients did, in the frame after they did it, and nothing else.
    text.push_str("[background]\npicture = \"none\"\nhint = false\n[animation]\n");
    match options.animated {
        0 => text.push_str("enabled = false\n"),
        duration => writeln!(text, "duration = {duration}").expect("a String"),
    }
    writeln!(text, "[gate]\ncommand = [{gate:?}]").expect("a String");
    writeln!(text, "listen = \"unix:$XDG_RUNTIME_DIR/vitrail-gate.sock\"").expect("a String");
    writeln!(text, "regions = [{:?}]", regions.join("*.region")).expect("a String");
    for vm in &options.vms {
        let (_, color) = VM_COLORS.iter().find(|(name, _)| name == vm).expect("one of VM_COLORS");
        writeln!(text, "[vm.{vm}]\nlabel = \"{vm}\"\ncolor = \"#{color:06x}\"").expect("a String");
        if let Some(rule) = options.capture.get(vm) {
            writeln!(text, "capture = {rule:?}").expect("a String");
        }
        if !options.limits.is_empty() {
            writeln!(text, "[vm.{vm}.limits]").expect("a String");
        }
        for (limit, value) in &options.limits {
            writeln!(text, "{limit} = {value}").expect("a String");
        }
        if let Some(table) = options.protocols.get(vm) {
            writeln!(text, "[vm.{vm}.protocols]\n{table}").expect("a String");
        }
    }
    text.push_str(&options.tables);
    fs::write(root.join("vitrail.toml"), text).expect("a configuration file");
}

fn write_hub_configuration(options: &Options, root: &Path, regions: &Path) {
    let mut text = format!("gate = \"unix:{}\"\n", root.join("gui/vitrail-gate.sock").display());
    for vm in &options.vms {
        writeln!(text, "[vm.{vm}]\nlisten = \"unix:{}\"", hub_socket(root, vm).display()).expect("a String");
        if options.sharing != Sharing::Stream {
            let size = options.region_mib;
            let layout = if options.sharing == Sharing::Pmem { "pmem" } else { "plain" };
            writeln!(text, "[vm.{vm}.region]\npath = {:?}\nsize_mib = {size}", region(regions, vm))
                .expect("a String");
            writeln!(text, "layout = \"{layout}\"").expect("a String");
        }
    }
    fs::write(root.join("hub.toml"), text).expect("a configuration file");
}

#[track_caller]
fn start_compositor(options: &Options, root: &Path) -> Process {
    let gui = root.join("gui");
    let program = if options.supervised { "vitrail-session" } else { "vitrail" };
    let mut command = process::command(process::program(program));
    command.env("XDG_RUNTIME_DIR", &gui).arg("--config").arg(root.join("vitrail.toml"));
    command.args(["--socket", "wayland-vitrail"]);
    if options.supervised {
        command.env("XDG_STATE_HOME", root.join("state")).env_remove("DBUS_SESSION_BUS_ADDRESS").arg("--");
    }
    command.args(["--backend", "headless"]);
    let (width, height) = options.size;
    let scale = options.fraction.map_or(f64::from(options.scale), |scale| f64::from(scale) / 120.0);
    if options.more_outputs.is_empty() {
        command.args(["--size", &format!("{width}x{height}"), "--scale", &scale.to_string()]);
    } else {
        command.args(["--output", &format!("{width}x{height}@{scale}")]);
        command.args(options.more_outputs.iter().flat_map(|output| ["--output", *output]));
    }
    command.arg("--ipc").arg(gui.join("ipc.sock"));
    let compositor = Process::start("vitrail", &root.join("logs"), &mut command, &[]);
    compositor.wait_path(&gui.join("ipc.sock"));
    compositor.wait_path(&gui.join("wayland-vitrail"));
    compositor
}

#[track_caller]
fn start_hub(options: &Options, root: &Path) -> Process {
    let mut command = process::command(process::program("vitrail-hub"));
    command.env("XDG_RUNTIME_DIR", root.join("hub")).arg("--config").arg(root.join("hub.toml"));
    let hub = Process::start("vitrail-hub", &root.join("logs"), &mut command, &[]);
    options.vms.iter().for_each(|vm| hub.wait_path(&hub_socket(root, vm)));
    hub
}

#[track_caller]
fn start_forward(options: &Options, root: &Path, regions: &Path, vm: &str) -> Process {
    let mut command = process::command(process::program("wl-forward"));
    command.env("XDG_RUNTIME_DIR", root.join(vm)).args(["--socket", "wayland-vm"]);
    command.arg("--hub").arg(format!("unix:{}", hub_socket(root, vm).display()));
    match options.sharing {
        Sharing::Region | Sharing::Pmem => command.arg("--region").arg(region(regions, vm)),
        Sharing::Stream => command.args(["--region", "none"]),
    };
    if options.dmabuf {
        command.arg("--dmabuf=/dev/null");
    }
    let forward = Process::start(&format!("wl-forward-{vm}"), &root.join("logs"), &mut command, &[]);
    forward.wait_path(&root.join(vm).join("wayland-vm"));
    forward
}
