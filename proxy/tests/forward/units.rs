//! The systemd units of the user: they are valid, and what they start serves applications.
//!
//! The tests play the service manager: they read the units and do what they say, so that a unit that says something else
//! fails. The walls that the service asks for (`RestrictAddressFamilies=` and the like) are checked by `systemd-analyze` alone.

use std::fs;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::program::{Machine, Running, check};
use crate::wire::{PATIENCE, Peer};

/// Where the units say that the program is.
const INSTALLED: &str = "/usr/bin/wl-forward";

const PROGRAM: &str = env!("CARGO_BIN_EXE_wl-forward");

/// A unit file.
struct Unit(String);

impl Unit {
    fn read(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/systemd/user").join(name);
        Self(fs::read_to_string(path).unwrap())
    }

    /// The values of a key, with the specifiers of the directories of a user's machine.
    fn values(&self, key: &str, machine: &Machine) -> Vec<String> {
        let path = |name: &str| machine.path(name).display().to_string();
        let lines = self.0.lines().filter_map(|line| line.split_once('='));
        lines
            .filter(|(name, _)| *name == key)
            .map(|(_, value)| {
                value.replace("%t", &path("")).replace("%E", &path("config")).replace("//", "/")
            })
            .collect()
    }

    /// The only value of a key.
    #[track_caller]
    fn value(&self, key: &str, machine: &Machine) -> String {
        let values = self.values(key, machine);
        assert_eq!(values.len(), 1, "{key}: {values:?}");
        values.into_iter().next().unwrap()
    }
}

/// The service as its unit starts it, with the socket of the socket unit and whatever the environment files say.
fn start(service: &Unit, socket: UnixListener, machine: &Machine) -> Running {
    let line = service.value("ExecStart", machine);
    let mut words = line.split_whitespace();
    assert_eq!(words.next(), Some(INSTALLED));
    // The shell stays the same process, so that LISTEN_PID is that of the program.
    let mut command = machine.command("sh");
    command.args(["-c", "LISTEN_PID=$$ exec \"$0\" \"$@\" 3<&0 </dev/null", PROGRAM]).args(words);
    command.env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", "wl-forward.socket");
    command.env("NOTIFY_SOCKET", machine.path("notify"));
    for file in service.values("EnvironmentFile", machine) {
        let text = fs::read_to_string(file.strip_prefix('-').unwrap()).unwrap_or_default();
        command.envs(text.lines().filter_map(|line| line.split_once('=')));
    }
    command.stdin(Stdio::from(std::os::fd::OwnedFd::from(socket))).stderr(Stdio::piped());
    Running(command.spawn().unwrap())
}

#[test]
fn the_service_serves_whoever_has_connected_to_the_socket_before_it_started() {
    let machine = Machine::new();
    let (socket_unit, service) = (Unit::read("wl-forward.socket"), Unit::read("wl-forward.service"));
    let path = PathBuf::from(socket_unit.value("ListenStream", &machine));
    assert_eq!(path.parent(), Some(machine.dir.path()));
    let socket = UnixListener::bind(&path).unwrap();
    let app = Peer::new(UnixStream::connect(&path).unwrap());
    assert_eq!(service.value("Type", &machine), "notify");
    let notify = UnixDatagram::bind(machine.path("notify")).unwrap();
    notify.set_read_timeout(Some(PATIENCE)).unwrap();
    // The hub is somewhere else than it would be looked for, and the user's file says where.
    fs::rename(machine.path("vitrail-hub.sock"), machine.path("hub")).unwrap();
    fs::create_dir_all(machine.path("config/vitrail")).unwrap();
    let hub = format!("# The hub.\nVITRAIL_HUB=unix:{}\n", machine.path("hub").display());
    fs::write(machine.path("config/vitrail/wl-forward.env"), hub).unwrap();

    let mut forward = start(&service, socket, &machine);
    let mut state = [0; 32];
    let len = notify.recv(&mut state).unwrap();
    assert_eq!(&state[..len], b"READY=1");
    let mut compositor = machine.compositor();
    check(&app, &mut compositor, 2);

    kill_process(Pid::from_child(&forward.0), Signal::TERM).unwrap();
    let code = forward.code().unwrap();
    assert_eq!(service.value("SuccessExitStatus", &machine), code.to_string());
    assert!(path.exists(), "the socket is the service manager's");
}

#[test]
fn the_units_belong_together() {
    let machine = Machine::new();
    let (socket, service) = (Unit::read("wl-forward.socket"), Unit::read("wl-forward.service"));
    assert_eq!(service.value("Requires", &machine), "wl-forward.socket");
    assert_eq!(service.value("Also", &machine), "wl-forward.socket");
    assert_eq!(socket.value("WantedBy", &machine), "sockets.target");
    assert_eq!(socket.value("SocketMode", &machine), "0600");
    // Whatever the hub's address is, the walls let it be called.
    let families = service.value("RestrictAddressFamilies", &machine);
    assert!(["AF_UNIX", "AF_VSOCK"].iter().all(|family| families.contains(family)), "{families}");
}

#[test]
fn the_units_are_valid() {
    let machine = Machine::new();
    for name in ["wl-forward.socket", "wl-forward.service"] {
        // The program is not installed where the tests run.
        fs::write(machine.path(name), Unit::read(name).0.replace(INSTALLED, PROGRAM)).unwrap();
    }
    let mut command = Command::new("systemd-analyze");
    command.args(["--user", "--man=no", "verify", "./wl-forward.service", "./wl-forward.socket"]);
    command.current_dir(machine.dir.path()).env("XDG_RUNTIME_DIR", machine.dir.path());
    match command.output() {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && text.is_empty(), "{text}");
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("LEFT OUT: systemd-analyze is not installed, so nobody has checked the units' syntax");
        }
        Err(error) => panic!("cannot run systemd-analyze: {error}"),
    }
}
