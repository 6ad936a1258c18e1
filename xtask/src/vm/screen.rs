//! `cargo xtask vm screen`: vitrail as the session of a machine with a screen, a keyboard and a tablet.
//!
//! The guest has Debian's full kernel, which drives QEMU's virtio devices, and systemd's udevd as any Debian has. vitrail
//! takes its console, as root by the code of seatd that is in libseat and as an ordinary user by seatd, and shows a
//! terminal. What is checked is what the screen of
//! the virtual machine shows, compared with what vitrail says it has drawn, and what comes of the keys and movements that
//! go into the virtual devices. The pictures that QEMU takes of the screen lack what is on the pointer's plane: where they are
//! compared, the pointer is drawn into the picture.

pub mod gles;
mod pointer;

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::Session;
use super::guest::{Guest, Machine};
use super::initramfs::Initramfs;
use super::packages::Packages;
use super::qmp::{Picture, Qmp};
use super::vnc;
use crate::demo::table::{self, Window};
use crate::processes::Processes;
use crate::{steps, target_dir};

/// The bus and the control port, which this kernel has not built in; the screen; and the devices for input.
const MODULES: &[&str] = &["virtio_pci", "virtio_console", "virtio_gpu", "virtio_input", "evdev"];
/// The file system is in memory, and the debug builds are large.
const MEMORY_MIB: u32 = 1536;
/// The size of the screen.
const SCREEN: (i32, i32) = (1280, 800);
/// Who may use the console only through seatd.
const USER: &str = "user";
const PROGRAMS: &[&str] = &["vitrail", "vitrailctl"];
/// Programs of the system, and where they are in the guest.
const SYSTEM_PROGRAMS: &[(&str, &str)] = &[
    ("/usr/bin/foot", "bin/foot"),
    ("/bin/udevadm", "bin/udevadm"),
    ("/lib/systemd/systemd-udevd", "lib/systemd/systemd-udevd"),
];
/// seatd, the C library that it was built for and its loader, from the packages of the kernel; and where they are in the guest.
const SEATD: &[(&str, &str)] = &[
    ("usr/sbin/seatd", "seatd/seatd"),
    ("usr/lib/x86_64-linux-gnu/libc.so.6", "seatd/libc.so.6"),
    ("usr/lib64/ld-linux-x86-64.so.2", "seatd/loader"),
];
/// What those programs read: rules, quirks of devices, keyboard layouts, fonts, a locale with UTF-8.
const TREES: &[&str] = &[
    "/usr/lib/udev/rules.d",
    "/usr/share/libinput",
    "/usr/share/X11/xkb",
    "/etc/fonts",
    "/usr/share/fontconfig",
    "/usr/share/fonts/truetype/dejavu",
    "/usr/lib/locale/C.utf8",
];
/// Long enough for OpenGL's first frame in a guest whose processor is emulated, on a machine that has more to do.
const COMMAND_DEADLINE: Duration = Duration::from_secs(900);
/// How long the screen may take to show what it should.
const SCREEN_DEADLINE: Duration = Duration::from_secs(300);
/// How often it is looked at: QEMU says nothing when it changes.
const GLANCE: Duration = Duration::from_millis(100);
/// The background of the terminal.
const CONTENT: u32 = 0x0020_3040;
const ENVIRONMENT: &str =
    "export XDG_RUNTIME_DIR=/run WAYLAND_DISPLAY=wayland-1 LC_ALL=C.UTF-8 SHELL=/bin/sh";

/// Boots the guest and checks its screen.
///
/// # Errors
/// When something cannot be built or booted, or the screen shows something else.
pub fn run(packages: &Packages, out: Option<&Path>) -> Result<()> {
    build()?;
    let initramfs = initramfs(packages)?;
    let session = Session::new(out, "screen")?;
    in_guest(packages, &session, Machine::new("screen", MEMORY_MIB), &initramfs, |desk, processes, vnc| {
        check(desk, processes)
            .and_then(|()| resized(desk, vnc))
            .and_then(|()| pointer::on_its_plane(desk, vnc))
            .and_then(|()| unprivileged(desk))
    })
}

fn build() -> Result<()> {
    let mut build = steps::cargo();
    // With all packages, as for the tests, so that nothing has to be built again with other features.
    build.args(["build", "--quiet", "--workspace", "--bins"]);
    steps::run("building the programs", &mut build)
}

/// What the guest starts with: our programs, a terminal, udevd and seatd.
fn initramfs(packages: &Packages) -> Result<Initramfs> {
    let mut initramfs = Initramfs::new(packages, MODULES)?;
    for name in PROGRAMS {
        initramfs.program(&format!("bin/{name}"), &target_dir().join("debug").join(name))?;
    }
    for (program, name) in SYSTEM_PROGRAMS {
        initramfs.program(name, Path::new(program))?;
    }
    for (file, name) in SEATD {
        let file = packages.beside_kernel(file);
        let content = fs::read(&file).with_context(|| format!("error reading {}", file.display()))?;
        initramfs.file(name, true, content);
    }
    for tree in TREES {
        initramfs.tree(Path::new(tree))?;
    }
    let users = format!("root:x:0:0::/tmp:/bin/sh\n{USER}:x:1000:1000::/tmp:/bin/sh\n");
    initramfs.file("etc/passwd", false, users.into());
    initramfs.file("etc/group", false, format!("root:x:0:\n{USER}:x:1000:\n").into());
    let terminal = format!("[colors]\nbackground={CONTENT:06x}\n");
    initramfs.file("etc/xdg/foot/foot.ini", false, terminal.into());
    Ok(initramfs)
}

/// Boots a guest with a screen, and checks it.
fn in_guest(
    packages: &Packages,
    session: &Session,
    mut machine: Machine,
    initramfs: &Initramfs,
    check: impl FnOnce(&mut Desk, &mut Processes, &Path) -> Result<()>,
) -> Result<()> {
    session.run(|processes| {
        let image = session.folder.join("initramfs");
        initramfs.write(&image)?;
        let [qmp, vnc] = machine.screen(SCREEN, &session.folder);
        let mut guest = machine.start(packages, &image, processes, &session.folder, &session.logs)?;
        guest.wait(processes)?;
        let qmp = Qmp::connect(&qmp, &session.folder)?;
        let mut desk = Desk { guest, qmp };
        let outcome = check(&mut desk, processes, &vnc);
        // What was on the screen and in the logs is of interest above all if something failed.
        desk.qmp.save_screen(&session.logs.join("screen.png"))?;
        if outcome.is_err() {
            let _ = desk.guest.run("cat /tmp/*.log", COMMAND_DEADLINE);
        }
        outcome
    })
}

/// The guest, and the hands and eyes of whoever sits before it.
struct Desk {
    guest: Guest,
    qmp: Qmp,
}

fn check(desk: &mut Desk, processes: &mut Processes) -> Result<()> {
    eprintln!("==> vitrail takes the console and shows a terminal");
    // There is no Mesa in this guest.
    desk.start("--no-cursor-plane", "dumb buffers, because OpenGL ES is used only where")?;
    processes.check_alive()?;
    let window = desk.window()?;
    let shown = desk.shows_what_was_drawn()?;
    labels(&shown, SCREEN, &window)?;

    eprintln!("==> keys reach the window that has the keyboard");
    for key in ["v", "i", "t", "r", "a", "i", "l", "ret"] {
        desk.qmp.press(&[key])?;
    }
    // Ends when the shell in the terminal has read a line.
    let typed = desk.guest.check("cat /tmp/typed", COMMAND_DEADLINE)?;
    ensure!(typed == "vitrail", "what was typed arrived as {typed:?}");
    let after = desk.shows_what_was_drawn()?;
    ensure!(after.differing(&shown) > 0, "what was typed is not on the screen");

    eprintln!("==> the tablet moves the window by its title bar");
    let (x, y) = (window.frame.x + window.frame.w / 2, window.frame.y + 12);
    desk.qmp.point((x, y), SCREEN)?;
    desk.qmp.button(true)?;
    desk.qmp.point((x + 130, y + 90), SCREEN)?;
    desk.qmp.button(false)?;
    let moved = desk.wait_for_window("that was moved", |moved| {
        (moved.frame.x, moved.frame.y) == (window.frame.x + 130, window.frame.y + 90)
    })?;
    labels(&desk.shows_what_was_drawn()?, SCREEN, &moved)?;

    eprintln!("==> nothing wakes vitrail while nothing changes");
    let pid = desk.pid()?;
    // It runs for a moment after it has answered.
    let count = format!("grep ctxt_switches /proc/{pid}/status");
    let slept = desk.guest.check(&format!("sleep 1; {count}; sleep 3; {count}"), COMMAND_DEADLINE)?;
    let lines: Vec<&str> = slept.lines().collect();
    let (before, after) = lines.split_at(lines.len() / 2);
    ensure!(!before.is_empty() && before == after, "vitrail ran while nothing changed:\n{slept}");

    other_consoles(desk)?;
    unplugged(desk)
}

/// Switching to another console and back.
fn other_consoles(desk: &mut Desk) -> Result<()> {
    eprintln!("==> Ctrl+Alt+F2 brings another console to the front, and nothing typed there comes here");
    let before = desk.shows_what_was_drawn()?;
    desk.qmp.press(&["ctrl", "alt", "f2"])?;
    desk.wait("the other console", |desk| {
        let active = desk.guest.quiet("cat /sys/class/tty/tty0/active", COMMAND_DEADLINE)?;
        let stripe_is_gone = desk.qmp.screen()?.pixel(2, 2) != before.pixel(2, 2);
        Ok((active == "tty2" && stripe_is_gone).then_some(()))
    })?;
    desk.qmp.press(&["x"])?;
    desk.guest.check("! [ -s /tmp/second ] && chvt 1", COMMAND_DEADLINE)?;
    desk.wait("the whole screen", |desk| {
        Ok((desk.qmp.screen()?.pixel(2, 2) == before.pixel(2, 2)).then_some(()))
    })?;
    let back = desk.shows_what_was_drawn()?;
    ensure!(back.pixel(2, 2) == before.pixel(2, 2), "the stripe is not there again");
    for key in ["b", "a", "c", "k", "ret"] {
        desk.qmp.press(&[key])?;
    }
    let typed = desk.wait("what was typed", |desk| {
        let typed = desk.guest.quiet("cat /tmp/second", COMMAND_DEADLINE)?;
        Ok((!typed.is_empty()).then_some(typed))
    })?;
    ensure!(typed == "back", "after coming back, what was typed arrived as {typed:?}");
    Ok(())
}

/// The screen's plug out and in again.
fn unplugged(desk: &mut Desk) -> Result<()> {
    eprintln!("==> the screen is unplugged and plugged in again");
    let plug = |state: &str| {
        let card = "/sys/class/drm/card0";
        format!("echo {state} >{card}-Virtual-1/status && echo change >{card}/uevent && udevadm settle")
    };
    desk.guest.check(&plug("off"), COMMAND_DEADLINE)?;
    desk.log_says("the screen was unplugged")?;
    desk.guest.check(&plug("detect"), COMMAND_DEADLINE)?;
    let window = desk.window()?;
    labels(&desk.shows_what_was_drawn()?, SCREEN, &window)
}

/// The screen becomes smaller, and larger than it was.
fn resized(desk: &mut Desk, vnc: &Path) -> Result<()> {
    eprintln!("==> the screen gets another size");
    let mut window = vnc::Window::open(vnc)?;
    for (width, height) in [(1024_u16, 700_u16), (1440, 900)] {
        window.resize(width, height)?;
        let size = (i32::from(width), i32::from(height));
        desk.wait(&format!("a screen of {width}x{height}"), |desk| {
            Ok((desk.qmp.screen()?.size == size).then_some(()))
        })?;
        let window = desk.window()?;
        labels(&desk.shows_what_was_drawn()?, size, &window)?;
    }
    Ok(())
}

/// Its end, and another start as an ordinary user.
fn unprivileged(desk: &mut Desk) -> Result<()> {
    eprintln!("==> vitrail ends in order, and an ordinary user starts it with seatd");
    desk.end()?;
    desk.guest.check(
        &format!(
            "/seatd/loader --library-path /seatd /seatd/seatd -u {USER} -n 9 9>/tmp/ready >/tmp/seatd.log 2>&1 & read line </tmp/ready; \
             chown {USER} /run /tmp && rm -f /tmp/*.log"
        ),
        COMMAND_DEADLINE,
    )?;
    // By itself it chooses the console. The screen is not of the size that it had at the first start: at first vitrail made
    // a picture of a fixed size when it started, and a screen of any other stayed black until its size changed.
    let vitrail = "export XDG_RUNTIME_DIR=/run LIBSEAT_BACKEND=seatd; exec vitrail --ready-fd 9";
    desk.guest.check(
        &format!(
            "su {USER} -c '{vitrail}' 9>/tmp/ready >/tmp/vitrail.log 2>&1 & \
             grep -qx READY=1 </tmp/ready"
        ),
        COMMAND_DEADLINE,
    )?;
    let pid = desk.pid()?;
    let owner = desk.guest.check(&format!("stat -c %U /proc/{pid}"), COMMAND_DEADLINE)?;
    ensure!(owner == USER, "vitrail runs as {owner}");
    desk.shows_what_was_drawn()?;
    Ok(())
}

/// The stripe above, the ring of the window in its colour, and its content.
fn labels(screen: &Picture, size: (i32, i32), window: &Window) -> Result<()> {
    ensure!(screen.size == size, "the screen has {:?} pixels and not {size:?}", screen.size);
    let color = u32::from_str_radix(window.color.trim_start_matches('#'), 16).context("a colour")?;
    let frame = &window.frame;
    let seen = |x: i32, y: i32| screen.pixel(x, y);
    // A pixel from the edge, in the middle of the sides and below.
    let (right, below) = (frame.x + frame.w - 2, frame.y + frame.h - 2);
    for (x, y) in
        [(frame.x + 1, frame.y + frame.h / 2), (right, frame.y + frame.h / 2), (frame.x + frame.w / 2, below)]
    {
        let found = seen(x, y);
        ensure!(found == Some(color), "at {x},{y} the ring is {found:x?} and not {color:06x}");
    }
    let (x, y) = (right - 20, below - 20);
    ensure!(seen(x, y) == Some(CONTENT), "at {x},{y} the content is {:x?}", seen(x, y));
    // The stripe names who has the keyboard, in that colour.
    ensure!(seen(1, 1) == Some(color), "the stripe is {:x?} and not {color:06x}", seen(1, 1));
    Ok(())
}

impl Desk {
    /// Starts udevd, vitrail with these options, which is to say this in its log, and a terminal.
    fn start(&mut self, options: &str, says: &str) -> Result<()> {
        self.guest.check(
            "/lib/systemd/systemd-udevd --daemon && udevadm trigger --action=add && udevadm settle",
            COMMAND_DEADLINE,
        )?;
        self.guest.check(
            &format!(
                "mkfifo /tmp/ready /tmp/typed; touch /tmp/second; {ENVIRONMENT}; LIBSEAT_BACKEND=builtin \
                 vitrail --backend drm {options} --ready-fd 9 9>/tmp/ready >/tmp/vitrail.log 2>&1 & grep -qx READY=1 </tmp/ready"
            ),
            COMMAND_DEADLINE,
        )?;
        self.log_says(says)?;
        let shell = "read line; echo $line >/tmp/typed; read line; echo $line >/tmp/second; exec cat";
        self.guest.check(
            &format!(
                "{ENVIRONMENT}; foot sh -c '{shell}' \
                 >/tmp/foot.log 2>&1 & {ENVIRONMENT}; vitrailctl wait --windows 1 --timeout 800"
            ),
            COMMAND_DEADLINE,
        )?;
        Ok(())
    }

    /// Ends vitrail, so that the console shows text again.
    fn end(&mut self) -> Result<()> {
        let pid = self.pid()?;
        self.guest
            .check(&format!("kill {pid}; while [ -e /proc/{pid} ]; do sleep 0.1; done"), COMMAND_DEADLINE)?;
        self.wait("the console", |desk| Ok((desk.qmp.screen()?.pixel(700, 2) == Some(0)).then_some(())))
    }

    /// The process of vitrail.
    fn pid(&mut self) -> Result<u64> {
        let status =
            self.guest.quiet(&format!("{ENVIRONMENT}; vitrailctl status --json"), COMMAND_DEADLINE)?;
        let status: serde_json::Value = serde_json::from_str(&status).context("error reading the status")?;
        status.get("pid").and_then(serde_json::Value::as_u64).context("a status without a process")
    }

    /// The one window.
    fn window(&mut self) -> Result<Window> {
        let list =
            self.guest.quiet(&format!("{ENVIRONMENT}; vitrailctl windows --json"), COMMAND_DEADLINE)?;
        let mut windows = table::parse(&list)?;
        match (windows.pop(), windows.len()) {
            (Some(window), 0) => Ok(window),
            _ => bail!("there is not exactly one window: {list}"),
        }
    }

    fn wait_for_window(&mut self, what: &str, wanted: impl Fn(&Window) -> bool) -> Result<Window> {
        self.wait(&format!("a window {what}"), |desk| {
            let window = desk.window()?;
            Ok(wanted(&window).then_some(window))
        })
    }

    fn log_says(&mut self, text: &str) -> Result<()> {
        self.wait(&format!("{text:?} in the log"), |desk| {
            let found =
                desk.guest.quiet(&format!("grep -c '{text}' /tmp/vitrail.log; true"), COMMAND_DEADLINE)?;
            Ok((found != "0").then_some(()))
        })
    }

    /// What vitrail says it shows.
    fn drawn(&mut self) -> Result<Picture> {
        self.guest
            .quiet(&format!("{ENVIRONMENT}; vitrailctl screenshot /tmp/screen.png"), COMMAND_DEADLINE)?;
        Picture::from_png(&self.guest.fetch("/tmp/screen.png", COMMAND_DEADLINE)?)
    }

    /// Waits until the machine's screen shows, pixel by pixel, the picture that vitrail draws of its windows.
    fn shows_what_was_drawn(&mut self) -> Result<Picture> {
        let mut last = 0;
        let found = self.wait("the screen to show what was drawn", |desk| {
            let drawn = desk.drawn()?;
            let shown = desk.qmp.screen()?;
            last = shown.differing(&drawn);
            Ok((last == 0).then_some(shown))
        });
        found.with_context(|| format!("{last} pixels differ"))
    }

    /// Looks until there is an answer.
    fn wait<T>(&mut self, what: &str, mut look: impl FnMut(&mut Self) -> Result<Option<T>>) -> Result<T> {
        let start = Instant::now();
        loop {
            if let Some(found) = look(self)? {
                return Ok(found);
            }
            if start.elapsed() > SCREEN_DEADLINE {
                bail!("waited {} s in vain for {what}", SCREEN_DEADLINE.as_secs());
            }
            thread::sleep(GLANCE);
        }
    }
}
