//! `wl-forward` in the place of sommelier: each of its options and variables is understood, or answered with what to write
//! instead.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use vitrail_proxy::forward::cli::{CommandLineError, Options};
use vitrail_proxy::forward::sommelier::ROWS;

use crate::program::{Lines, Machine, Running, check};
use crate::wire::PATIENCE;

/// What an option or variable is expected to come to.
#[derive(Clone, Copy, Debug)]
enum Expected {
    /// It is understood, and nothing more is said of it.
    Done,
    /// It is understood, and this is said of it.
    Note(&'static str),
    /// The program ends, and says this.
    Instead(&'static str),
}

use Expected::{Done, Instead, Note};

const OPTIONS: &[(&str, Expected)] = &[
    ("--parent", Done),
    ("--master", Done),
    ("--no-exit-with-child", Done),
    ("--sd-notify=READY=1", Done),
    ("--display=vsock:2:6000", Done),
    ("--display=unix:/run/hub", Done),
    ("--display=wayland-0", Instead("write --hub ADDRESS")),
    ("--scale=1", Done),
    ("--scale=1.00", Done),
    ("--scale=1.5", Instead("`vitrail --scale`")),
    ("--scale=large", Instead("`vitrail --scale`")),
    ("--dpi=96", Instead("leave it out")),
    ("--direct-scale", Note("the compositor's own scale")),
    ("--stable-scaling", Note("the compositor's own scale")),
    ("--viewport-resize", Note("the compositor's own scale")),
    ("--vm-identifier=termina", Note("the hub says which VM this is")),
    ("--application-id=x", Instead("foot --app-id=ID")),
    ("--accelerators=Super_L", Note("takes its own keys")),
    ("--windowed-accelerators=<Alt>Tab", Note("takes its own keys")),
    ("--virtgpu-channel", Instead("write --hub ADDRESS")),
    ("--noop-driver", Instead("write --hub ADDRESS")),
    ("--virtwl-device=/dev/wl0", Instead("write --hub ADDRESS")),
    ("--drm-device=/dev/dri/renderD128", Instead("--dmabuf=DEVICE")),
    ("--force-drm-device=/dev/dri/renderD128", Instead("--dmabuf=DEVICE")),
    ("--enable-linux-dmabuf", Instead("--dmabuf=DEVICE")),
    ("--shm-driver=virtwl", Note("--region")),
    ("--data-driver=virtwl", Note("clipboards")),
    ("--no-support-damage-buffer", Note("damage")),
    ("--client-fd=5", Instead("--client fd:N")),
    ("--peer-pid=5", Instead("--client fd:N")),
    ("--peer-cmd-prefix=/lib/ld.so", Note("threads")),
    ("--stats-summary", Instead("SIGUSR1")),
    ("--stats-log", Instead("SIGUSR1")),
    ("--stats-timer=5", Instead("SIGUSR1")),
    ("--timing-filename=x", Instead("--trace")),
    ("--trace-filename=x", Instead("--trace")),
    ("--trace-system", Instead("--trace")),
    ("--log-level=1", Instead("VITRAIL_LOG")),
    ("--print-enabled-features", Instead("--explain")),
    ("-X", Instead("X11 comes with its own program")),
    ("--x-display=1", Instead("X11 comes with its own program")),
    ("--glamor", Note("X11")),
    ("--xwayland-path=/usr/bin/Xwayland", Note("X11")),
    ("--xwayland-gl-driver-path=/usr/lib/dri", Note("X11")),
    ("--xwayland-cmd-prefix=nice", Note("X11")),
    ("--x-auth=/tmp/x", Note("X11")),
    ("--x-font-path=/usr/share/fonts", Note("X11")),
    ("--no-clipboard-manager", Note("X11")),
    ("--frame-color=#123456", Note("X11")),
    ("--dark-frame-color=#123456", Note("X11")),
    ("--fullscreen-mode=plain", Note("X11")),
    ("--quirks-config=/etc/x", Note("X11")),
    ("--application-id-x11-property=x", Note("X11")),
    ("--enable-xshape", Note("X11")),
    ("--enable-x11-move-windows", Note("X11")),
    ("--allow-xwayland-emulate-screen-pos-size", Note("X11")),
    ("--ignore-stateless-toplevel-configure", Note("X11")),
    ("--only-client-can-exit-fullscreen", Note("X11")),
];

const VARIABLES: &[(&str, Expected)] = &[
    ("SOMMELIER_DISPLAY=vsock:2:6000", Done),
    ("SOMMELIER_DISPLAY=wayland-0", Instead("VITRAIL_HUB")),
    ("SOMMELIER_SCALE=1.0", Done),
    ("SOMMELIER_SCALE=0.5", Instead("`vitrail --scale`")),
    ("SOMMELIER_DPI=72,96", Instead("leave it out")),
    ("SOMMELIER_VM_IDENTIFIER=termina", Note("the hub says which VM this is")),
    ("SOMMELIER_ACCELERATORS=Super_L", Note("takes its own keys")),
    ("SOMMELIER_WINDOWED_ACCELERATORS=x", Note("takes its own keys")),
    ("SOMMELIER_VIRTWL_DEVICE=/dev/wl0", Instead("VITRAIL_HUB")),
    ("SOMMELIER_DRM_DEVICE=/dev/dri/renderD128", Instead("--dmabuf=DEVICE")),
    ("SOMMELIER_SHM_DRIVER=noop", Note("--region")),
    ("SOMMELIER_DATA_DRIVER=noop", Note("clipboards")),
    ("SOMMELIER_SUPPORT_DAMAGE_BUFFER=0", Note("damage")),
    ("SOMMELIER_PEER_CMD_PREFIX=x", Note("threads")),
    ("SOMMELIER_GLAMOR=1", Note("X11")),
    ("SOMMELIER_XWAYLAND_PATH=x", Note("X11")),
    ("SOMMELIER_XWAYLAND_GL_DRIVER_PATH=x", Note("X11")),
    ("SOMMELIER_XWAYLAND_CMD_PREFIX=x", Note("X11")),
    ("SOMMELIER_XAUTH_PATH=x", Note("X11")),
    ("SOMMELIER_XFONT_PATH=x", Note("X11")),
    ("SOMMELIER_CLIPBOARD_MANAGER=0", Note("X11")),
    ("SOMMELIER_FRAME_COLOR=#123456", Note("X11")),
    ("SOMMELIER_DARK_FRAME_COLOR=#123456", Note("X11")),
    ("SOMMELIER_FULLSCREEN_MODE=plain", Note("X11")),
    ("SOMMELIER_QUIRKS_CONFIG=x", Note("X11")),
];

fn read(words: &[&str], variable: Option<(&str, &str)>) -> Result<Options, CommandLineError> {
    let words = ["wl-forward"].iter().chain(words).map(OsString::from);
    Options::read(words, &|name| variable.filter(|known| known.0 == name).map(|known| known.1.to_owned()))
}

#[track_caller]
fn judge(written: &str, result: Result<Options, CommandLineError>, expected: Expected) {
    let notes = result.map(|options| options.wishes.notes);
    match (expected, notes) {
        (Done, Ok(notes)) => assert!(notes.is_empty(), "{written}: {notes:?}"),
        (Note(text), Ok(notes)) => {
            assert_eq!(notes.len(), 1, "{written}: {notes:?}");
            assert!(notes[0].starts_with(written) && notes[0].contains(text), "{notes:?}");
        }
        (Instead(text), Err(CommandLineError::Sommelier(refusal))) => {
            let line = refusal.to_string();
            assert!(line.starts_with(&format!("{written}: ")) && line.contains(text), "{line}");
            assert!(!line.contains('\n'), "{line}");
        }
        (expected, other) => panic!("{written}: {expected:?}, and not {other:?}"),
    }
}

#[test]
fn each_option_of_sommelier_is_understood_or_says_what_to_write_instead() {
    for (option, expected) in OPTIONS {
        judge(option, read(&[option], None), *expected);
        if !option.starts_with("--parent") && !option.starts_with("--master") {
            judge(option, read(&["--socket=s", option, "foot", "-X"], None), *expected);
        }
    }
    let tested: BTreeSet<_> = OPTIONS.iter().map(|(option, _)| option.split('=').next().unwrap()).collect();
    let known: BTreeSet<_> = ROWS.iter().map(|row| row.option).collect();
    assert_eq!(tested, known, "every row is tested");
}

#[test]
fn each_variable_of_sommelier_is_understood_or_says_what_to_write_instead() {
    for (assignment, expected) in VARIABLES {
        judge(assignment, read(&["foot"], assignment.split_once('=')), *expected);
    }
    let tested: BTreeSet<_> = VARIABLES.iter().map(|(text, _)| text.split('=').next().unwrap()).collect();
    let known: BTreeSet<_> = ROWS.iter().map(|row| row.variable).filter(|name| !name.is_empty()).collect();
    assert_eq!(tested, known, "every row is tested");
}

#[test]
fn an_option_counts_more_than_the_variable_and_our_own_more_than_either() {
    let variable = Some(("SOMMELIER_SCALE", "2"));
    assert!(read(&["--scale=1", "foot"], variable).is_ok());
    let display = Some(("SOMMELIER_DISPLAY", "wayland-0"));
    let options = read(&["--hub=vsock:2:7", "--display=wayland-0", "foot"], display).unwrap();
    assert_eq!(options.hub.unwrap().to_string(), "vsock:2:7");
    let options = read(&["--display=vsock:2:8", "foot"], display).unwrap();
    assert_eq!(options.hub.unwrap().to_string(), "vsock:2:8");
    let both = |name: &str| match name {
        "SOMMELIER_DISPLAY" => Some("wayland-0".to_owned()),
        "VITRAIL_HUB" => Some("vsock:2:9".to_owned()),
        _ => None,
    };
    assert!(Options::read(["wl-forward".into(), "foot".into()], &both).is_ok());
}

#[test]
fn an_option_may_be_repeated_and_needs_its_equals_sign() {
    assert!(read(&["--glamor", "--glamor", "--scale=2", "--scale=1"], None).is_ok());
    assert!(read(&["--scale", "1"], None).is_err());
    assert!(read(&["--glamor=1"], None).is_err());
}

#[test]
fn a_parent_without_a_name_is_wayland_0_and_runs_no_command() {
    assert_eq!(read(&["--parent"], None).unwrap().socket.as_deref(), Some("wayland-0"));
    assert_eq!(read(&["--parent", "--socket=x"], None).unwrap().socket.as_deref(), Some("x"));
    judge("--parent", read(&["--parent", "foot"], None), Instead("leave out --parent or the command"));
}

fn output(mut command: Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

#[test]
fn what_has_to_be_written_differently_is_one_line_and_status_2() {
    let machine = Machine::new();
    for (words, variable) in [
        (&["-X", "--glamor", "xterm"][..], None),
        (&["--virtgpu-channel", "--", "foot"], None),
        (&["--scale=1.25", "foot"], None),
        (&["foot"], Some(("SOMMELIER_VIRTWL_DEVICE", "/dev/wl0"))),
    ] {
        let mut command = machine.command(env!("CARGO_BIN_EXE_wl-forward"));
        command.args(words).envs(variable);
        let output = output(command);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), text.lines().count()), (Some(2), 1), "{words:?}: {text}");
        assert!(text.starts_with("wl-forward: "), "{text}");
    }
}

#[test]
fn a_command_needs_no_dashes_and_keeps_its_own_options() {
    let machine = Machine::new();
    let mut command = machine.command(env!("CARGO_BIN_EXE_wl-forward"));
    command.args([
        "--glamor",
        "sh",
        "-c",
        "test \"$1$WAYLAND_DISPLAY\" = --version:wayland-0",
        "sh",
        "--version:",
    ]);
    let output = output(command);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("--glamor changes nothing"), "{text}");
}

#[test]
fn a_program_that_does_not_exit_with_its_child_serves_until_it_is_terminated() {
    let machine = Machine::new();
    let mut forward = machine.forward(&["--no-exit-with-child", "--socket=apps", "sh", "-c", "exit 7"]);
    let (app, mut compositor) = machine.application("apps");
    check(&app, &mut compositor, 2);
    drop((app, compositor));
    // The command has ended, and the program has noticed.
    let id = forward.0.id();
    let deadline = Instant::now() + PATIENCE;
    while std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).is_ok_and(|list| !list.is_empty())
    {
        assert!(Instant::now() < deadline, "the command goes on");
        thread::yield_now();
    }
    // So are the connections gone, after which the program would end without the option.
    let lines = Lines::of(&mut forward);
    loop {
        kill_process(Pid::from_child(&forward.0), Signal::USR1).unwrap();
        if lines.until("total, ").iter().any(|line| line.contains("total, 0 of 1 ")) {
            break;
        }
    }
    let (app, mut compositor) = machine.application("apps");
    check(&app, &mut compositor, 2);
    assert!(forward.is_running());
    kill_process(Pid::from_child(&forward.0), Signal::TERM).unwrap();
    assert_eq!(forward.code(), Some(128 + 15));
}

#[test]
fn the_service_manager_is_told_when_applications_can_connect() {
    let machine = Machine::new();
    let notify = UnixDatagram::bind(machine.path("notify")).unwrap();
    notify.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = machine.command(env!("CARGO_BIN_EXE_wl-forward"));
    command.args(["--parent", "--sd-notify=READY=1"]).env("NOTIFY_SOCKET", machine.path("notify"));
    let mut forward = Running(command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    let mut state = [0; 32];
    let len = notify.recv(&mut state).unwrap();
    assert_eq!(&state[..len], b"READY=1");
    assert!(machine.path("wayland-0").exists());
    kill_process(Pid::from_child(&forward.0), Signal::TERM).unwrap();
    assert_eq!(forward.code(), Some(128 + 15));
}
