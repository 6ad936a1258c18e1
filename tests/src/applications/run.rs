//! One run of one application: a session with one VM (in which it runs, or beside which, if it is local), the steps of the
//! table, an orderly end, and then the logs.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use rustix::process::Signal;
use serde_json::Value;

use super::logs;
use super::table::{Application, End, Place, Step};
use crate::client::Rect;
use crate::deadline::Deadline;
use crate::image::Image;
use crate::ipc::WindowInfo;
use crate::process::{self, Exit, Process};
use crate::session::{Options, Session, places};

/// The VM that applications run in.
const VM: &str = "work";
/// How far a colour's channels may be from the wanted ones: toolkits convert between colour spaces.
const TOLERANCE: u32 = 6;

/// Runs an application as the table says. Pictures of the screen go to `pictures`, if they are wanted: one before
/// the end and those that the table asks for. `root` is where its packages are unpacked, if they are of another release.
///
/// # Panics
///
/// When anything is not as it should be; with a picture of how it was, where pictures are wanted.
#[track_caller]
pub fn run(application: &Application, pictures: Option<&Path>, root: Option<&Path>) {
    let mut run = Run::start(application, pictures, root);
    run.check_withheld();
    for step in &application.steps {
        let start = Instant::now();
        run.step(step);
        eprintln!("{}: {:.1} s: {step:?}", application.name, start.elapsed().as_secs_f64());
    }
    run.keep_picture("");
    if application.careless_end {
        run.check_logs();
    }
    run.end();
    if !application.careless_end {
        run.check_logs();
    }
}

struct Run<'a> {
    application: &'a Application,
    process: Process,
    /// Programs of the GUI VM.
    beside: Vec<Process>,
    session: Session,
    /// What the screen showed when something was last waited for.
    seen: Option<Image>,
    pictures: Option<&'a Path>,
    folders: Folders,
}

/// What the words in braces stand for.
struct Folders {
    /// Where the VM's files are.
    directory: PathBuf,
    /// Where packages of another release are unpacked.
    root: Option<PathBuf>,
}

impl Folders {
    #[track_caller]
    fn expand(&self, text: &str) -> String {
        let text = text.replace("{dir}", &self.directory.display().to_string());
        if !text.contains("{root}") {
            return text;
        }
        let root =
            self.root.as_ref().expect("its packages are unpacked by `cargo xtask apps`, which says where");
        text.replace("{root}", &root.display().to_string())
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        let Some(pictures) = self.pictures.filter(|_| std::thread::panicking()) else { return };
        // Over a connection of its own: the session's may wait for an answer that does not come.
        let picture = pictures.join(format!("{}-failed.png", self.application.name));
        for request in [&["windows"] as &[&str], &["screenshot", &picture.to_string_lossy()]] {
            match self.session.try_control(request) {
                Ok(said) | Err(said) => eprintln!("{said}"),
            }
        }
    }
}

impl<'a> Run<'a> {
    #[track_caller]
    fn start(application: &'a Application, pictures: Option<&'a Path>, root: Option<&Path>) -> Self {
        // Nobody is there to be asked.
        let tables = "[defaults.input]\npointer_lock = \"allow\"\n";
        let session = Session::with(Options::new(&[VM]).tables(tables));
        let folders = Folders { directory: directory(&session, application), root: root.map(Path::to_owned) };
        for (name, content) in &application.files {
            let path = folders.directory.join(name);
            fs::create_dir_all(path.parent().expect("a file in a directory")).expect("a directory");
            fs::write(path, folders.expand(content)).expect("a file for the application");
        }
        let mut command = command(&session, application, &folders, &application.command);
        for (name, value) in &application.environment {
            command.env(name, folders.expand(value));
        }
        let process = Process::start(&application.name, &session.logs(), &mut command, &[]);
        Self { application, process, beside: Vec::new(), session, seen: None, pictures, folders }
    }

    #[track_caller]
    fn step(&mut self, step: &Step) {
        match step {
            Step::Opens(title) => self.wait_window(title, 1),
            Step::Window(title) => self.wait_window(title, 2),
            Step::Settles(title) => self.wait_settled(title),
            Step::Type(text) => self.type_text(text),
            Step::Keys(chord) => self.press(chord),
            Step::Move(place) => self.point(*place),
            Step::Push((dx, dy)) => {
                self.session.control(&["input", "move-by", &dx.to_string(), &dy.to_string()]);
            }
            Step::Click(place) => self.button(*place, "left", "click"),
            Step::RightClick(place) => self.button(*place, "right", "click"),
            Step::Press(place) => self.button(*place, "left", "press"),
            Step::Release(place) => self.button(*place, "left", "release"),
            Step::Tap(place) => self.tap(*place),
            Step::Stroke(from, to) => self.stroke(*from, *to),
            Step::Pen(from, to) => self.draw(*from, *to),
            Step::Scroll(steps) => {
                self.session.control(&["input", "scroll", "0", &steps.to_string()]);
            }
            Step::Changes(share) => self.wait_change(*share),
            Step::Shows(color, share) => self.wait_color(color, *share),
            Step::File(name, content) => {
                let path = self.folders.directory.join(name);
                process::wait_for_content(&path, &self.folders.expand(content), Deadline::patient());
            }
            Step::Logs(text) => self.process.wait_log(&self.folders.expand(text)),
            Step::Run(arguments, input, output) => self.run_beside(arguments, input, output),
            Step::Local(arguments) => {
                let process = self.start_local(arguments);
                assert_eq!(process.wait_exit(Deadline::patient()), Exit::Status(0), "{arguments:?}");
            }
            Step::Beside(arguments, text) => {
                let process = self.start_local(arguments);
                process.wait_log(text);
                self.beside.push(process);
            }
            Step::Picture(name) => self.keep_picture(name),
        }
    }

    /// The window on top of all others.
    fn top(&mut self) -> Option<WindowInfo> {
        self.session.windows().into_iter().max_by_key(|window| window.z)
    }

    /// The title of the window that is looked at, and its content; of a local program the whole output, untitled.
    fn looked_at(&mut self) -> Option<(String, Rect)> {
        if self.application.local {
            let (w, h) = self.session.size();
            return Some((String::new(), Rect { x: 0, y: 0, w, h }));
        }
        self.top().map(|top| (top.title.clone(), top.content()))
    }

    /// Waits until what the screen shows, and what of it is looked at, are as they should be; looks again with each frame.
    #[track_caller]
    fn wait_screen(&mut self, what: &str, as_it_should: impl Fn(&Image, &str, Rect) -> bool) -> Image {
        let deadline = Deadline::patient();
        let mut frame = 0;
        loop {
            let drawn = self.session.changed_frame(frame, deadline);
            assert_eq!(
                self.process.exit(),
                None,
                "{} ended, still waiting for {what}",
                self.application.name
            );
            assert!(!deadline.passed(), "gave up waiting for {what}");
            frame = drawn.expect("an answer before the deadline");
            let Some((title, content)) = self.looked_at() else { continue };
            let image = self.session.screenshot();
            if as_it_should(&image, &title, content) {
                return image;
            }
        }
    }

    #[track_caller]
    fn wait_window(&mut self, title: &str, least_colors: usize) {
        let image = self.wait_screen(&format!("a window called {title:?}"), |image, found, content| {
            found.contains(title) && colors(image, content) >= least_colors
        });
        self.seen = Some(image);
    }

    /// Waits until a window shows that it has the keyboard: what changes then is the effect of a later step.
    #[track_caller]
    fn wait_settled(&mut self, title: &str) {
        self.session.wait_windows(&format!("a window called {title:?} that has settled"), |windows| {
            let top = windows.iter().max_by_key(|window| window.z);
            top.is_some_and(|top| top.settled && top.focused && top.title.contains(title))
        });
        self.wait_window(title, 2);
    }

    #[track_caller]
    fn wait_change(&mut self, share: f64) {
        let before = self.seen.take().expect("a window was waited for before");
        let image = self.wait_screen(&format!("a change of {share} of the window"), |image, _, content| {
            changed(&before, image, content) >= share
        });
        self.seen = Some(image);
    }

    #[track_caller]
    fn wait_color(&mut self, color: &str, share: f64) {
        let wanted = color.strip_prefix('#').and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let wanted = wanted.expect("a colour as #rrggbb");
        let image = self.wait_screen(&format!("{share} of the window to be {color}"), |image, _, content| {
            let alike = |&(x, y): &(i32, i32)| image.pixel(x, y).is_some_and(|found| is_near(found, wanted));
            share_of(places(content).filter(alike).count(), content) >= share
        });
        self.seen = Some(image);
    }

    #[track_caller]
    fn type_text(&self, text: &str) {
        let text = self.folders.expand(text).replace('\n', "\\n").replace('\t', "\\t");
        self.session.control(&["input", "type", &text]);
    }

    /// Presses the keys of a chord in order, and releases them in the opposite order.
    #[track_caller]
    fn press(&self, chord: &str) {
        let names: Vec<&str> = chord.split('+').map(key_name).collect();
        for name in &names {
            self.session.control(&["input", "key", name, "press"]);
        }
        for name in names.iter().rev() {
            self.session.control(&["input", "key", name, "release"]);
        }
    }

    /// A place of what is looked at in pixels of the output, as `vitrailctl` takes it.
    #[track_caller]
    fn pixel(&mut self, (across, down): Place) -> [String; 2] {
        let (_, content) = self.looked_at().expect("a window to point at");
        let x = f64::from(content.x) + across * f64::from(content.w);
        let y = f64::from(content.y) + down * f64::from(content.h);
        [x.round().to_string(), y.round().to_string()]
    }

    #[track_caller]
    fn point(&mut self, place: Place) {
        let [x, y] = self.pixel(place);
        self.session.control(&["input", "move", &x, &y]);
    }

    /// Touches the window, which may be gone by the time that the finger is lifted.
    #[track_caller]
    fn tap(&mut self, place: Place) {
        let [x, y] = self.pixel(place);
        self.session.control(&["input", "touch", "down", "0", &x, &y]);
        self.session.control(&["input", "touch", "up", "0"]);
    }

    /// Draws a finger over the touch screen, in ten steps.
    #[track_caller]
    fn stroke(&mut self, from: Place, to: Place) {
        let [x, y] = self.pixel(from);
        self.session.control(&["input", "touch", "down", "0", &x, &y]);
        for place in between(from, to) {
            let [x, y] = self.pixel(place);
            self.session.control(&["input", "touch", "motion", "0", &x, &y]);
        }
        self.session.control(&["input", "touch", "up", "0"]);
    }

    /// Draws the pen of a graphics tablet from one place to another, in ten steps.
    #[track_caller]
    fn draw(&mut self, from: Place, to: Place) {
        let [x, y] = self.pixel(from);
        self.session.control(&["input", "tablet", "in", &x, &y]);
        self.session.control(&["input", "tablet", "down"]);
        for place in between(from, to) {
            let [x, y] = self.pixel(place);
            self.session.control(&["input", "tablet", "motion", &x, &y, "0.5"]);
        }
        self.session.control(&["input", "tablet", "up"]);
        self.session.control(&["input", "tablet", "out"]);
    }

    #[track_caller]
    fn button(&mut self, place: Place, button: &str, action: &str) {
        self.point(place);
        self.session.control(&["input", "button", button, action]);
    }

    /// Runs a second program of the VM.
    #[track_caller]
    fn run_beside(&mut self, arguments: &[String], input: &str, output: &str) {
        let [from, to] = ["stdin", "stdout"].map(|name| self.folders.directory.join(name));
        fs::write(&from, input).expect("a file");
        let mut shell = vec![String::from("sh"), String::from("-c")];
        shell.push(format!("exec \"$@\" < '{}' > '{}'", from.display(), to.display()));
        shell.push(String::from("sh"));
        shell.extend(arguments.iter().cloned());
        let name = format!("{}-{}", self.application.name, arguments[0]);
        let mut command = command(&self.session, self.application, &self.folders, &shell);
        let process = Process::start(&name, &self.session.logs(), &mut command, &[]);
        assert_eq!(process.wait_exit(Deadline::patient()), Exit::Status(0), "{arguments:?}");
        let written = fs::read(&to).expect("its output");
        assert_eq!(String::from_utf8_lossy(&written), output, "what {arguments:?} wrote");
    }

    #[track_caller]
    fn start_local(&self, arguments: &[String]) -> Process {
        let (program, arguments) = arguments.split_first().expect("a program");
        assert!(
            process::is_installed(program),
            "{program} is not installed; `cargo xtask` setup or apps does it"
        );
        let mut command = self.session.application("local", program);
        command.args(arguments.iter().map(|argument| self.folders.expand(argument)));
        let name = format!("{}-local-{program}", self.application.name);
        Process::start(&name, &self.session.logs(), &mut command, &[])
    }

    /// Writes what is on the screen to `PICTURES/APPLICATION-NAME.png`, without the name if it is empty.
    #[track_caller]
    fn keep_picture(&mut self, name: &str) {
        let Some(pictures) = self.pictures else { return };
        let dash = if name.is_empty() { "" } else { "-" };
        self.session.save_screenshot(&pictures.join(format!("{}{dash}{name}.png", self.application.name)));
    }

    /// Sees that no configuration could give the VM what the table says is withheld.
    #[track_caller]
    fn check_withheld(&self) {
        if self.application.withheld.is_empty() {
            return;
        }
        let why = self.session.control(&["why", VM, &self.application.withheld, "--json"]);
        let why: Value = serde_json::from_str(&why).expect("JSON");
        assert_eq!(why["visible"], Value::Bool(false), "{why}");
        let (decided_by, class) = (why["decided_by"].as_str(), why["class"].as_str());
        let withheld =
            matches!((decided_by, class), (Some("class"), Some("never")) | (Some("unknown_interface"), _));
        assert!(withheld, "{why}");
    }

    /// Makes the application end, and sees that it ends well and its windows go.
    #[track_caller]
    fn end(&mut self) {
        match &self.application.end {
            End::Close => self.press("logo+q"),
            End::Type(text) => self.type_text(text),
            End::Keys(chord) => self.press(chord),
            End::Interrupt => self.process.signal(Signal::INT),
            End::Killed => self.process.signal(Signal::TERM),
            End::Itself => {}
        }
        let exit = self.process.wait_exit(Deadline::patient());
        let expected = match self.application.end {
            End::Killed => Exit::Signal(Signal::TERM.as_raw()),
            _ => Exit::Status(self.application.status),
        };
        assert_eq!(exit, expected, "how {} ended", self.application.name);
        self.session.wait_windows("all windows to go", <[WindowInfo]>::is_empty);
    }

    /// Sees that nobody complains: neither the application nor any of our programs.
    #[track_caller]
    fn check_logs(&self) {
        let log = self.process.log();
        assert!(logs::connection_errors(&log).is_empty(), "{:#?}", logs::connection_errors(&log));
        let ours = [self.session.forward(VM), self.session.hub(), self.session.compositor()];
        for log in ours.map(Process::log) {
            assert!(logs::warnings(&log).is_empty(), "{:#?}", logs::warnings(&log));
        }
        let vms: Value = serde_json::from_str(&self.session.control(&["vms", "--json"])).expect("JSON");
        let workers = vms.as_array().expect("a list of VMs").iter().map(|vm| &vm["worker"]);
        let refusals: Vec<&Value> = workers.filter(|worker| worker["refused"].as_u64() > Some(0)).collect();
        assert!(refusals.is_empty(), "the gate ended connections: {refusals:#?}");
    }
}

/// What the files of an application are in.
fn directory(session: &Session, application: &Application) -> PathBuf {
    session.root().join(if application.local { "gui" } else { VM })
}

/// A command line where the application runs.
#[track_caller]
fn command(session: &Session, application: &Application, folders: &Folders, line: &[String]) -> Command {
    let line: Vec<String> = line.iter().map(|word| folders.expand(word)).collect();
    let (program, arguments) = line.split_first().expect("a program");
    assert!(
        process::is_installed(program),
        "{program} is not installed; `cargo xtask` setup or apps does it"
    );
    let mut command = session.application(if application.local { "local" } else { VM }, program);
    command.args(arguments).current_dir(&folders.directory);
    command
}

/// Ten places on the way from one to another, the other among them.
fn between(from: Place, to: Place) -> impl Iterator<Item = Place> {
    (1..=10).map(move |step| {
        let share = f64::from(step) / 10.0;
        (from.0 + (to.0 - from.0) * share, from.1 + (to.1 - from.1) * share)
    })
}

/// The evdev name of a key as people write it.
fn key_name(key: &str) -> &str {
    match key {
        "ctrl" => "leftctrl",
        "shift" => "leftshift",
        "alt" => "leftalt",
        "logo" => "leftmeta",
        other => other,
    }
}

fn colors(image: &Image, rect: Rect) -> usize {
    places(rect).filter_map(|(x, y)| image.pixel(x, y)).collect::<BTreeSet<_>>().len()
}

/// The share of a rectangle's pixels in which two pictures differ.
fn changed(before: &Image, after: &Image, rect: Rect) -> f64 {
    let differ = |&(x, y): &(i32, i32)| before.pixel(x, y) != after.pixel(x, y);
    share_of(places(rect).filter(differ).count(), rect)
}

fn share_of(count: usize, rect: Rect) -> f64 {
    let all = f64::from(rect.w) * f64::from(rect.h);
    #[expect(clippy::cast_precision_loss, reason = "a screen has far fewer pixels than 2^53")]
    let count = count as f64;
    if all > 0.0 { count / all } else { 0.0 }
}

fn is_near(color: u32, wanted: u32) -> bool {
    let channels = |color: u32| [color >> 16 & 0xff, color >> 8 & 0xff, color & 0xff];
    channels(color).iter().zip(channels(wanted)).all(|(found, wanted)| found.abs_diff(wanted) <= TOLERANCE)
}
