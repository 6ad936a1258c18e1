//! What dies and what lives on, and what a relay is allowed to do.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::process::{Pid, PidfdFlags, Signal};
use virtio_wl::wire::Purpose;

use crate::TWO_VMS;
use crate::fixture::{Ends, Gate, Hub, PATIENCE, call, connect, expect, expect_end, hello, status, wait_for};

/// How soon after a restart everything has to work again.
const RECOVERY: Duration = Duration::from_secs(1);

fn pidfd(pid: Pid) -> rustix::fd::OwnedFd {
    rustix::process::pidfd_open(pid, PidfdFlags::empty()).unwrap()
}

#[test]
fn a_killed_supervisor_takes_no_connection_with_it() {
    let hub = Hub::start(TWO_VMS);
    let gate = Gate::listen(&hub);
    let mut old = connect(&hub, &gate, "work");
    let relay = pidfd(hub.relay("work"));
    let hub = hub.kill_and_restart();
    let restarted = Instant::now();
    let mut new = connect(&hub, &gate, "work");
    assert!(restarted.elapsed() < RECOVERY, "{:?}", restarted.elapsed());
    old.round_trip();
    new.round_trip();
    drop(old);
    assert!(
        wait_for(&relay, PollFlags::IN, PATIENCE),
        "the old relay has nothing left to do and does not end"
    );
    new.round_trip();
}

#[test]
fn an_orderly_end_removes_the_sockets_and_takes_no_connection_with_it() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut hub = Hub::start(TWO_VMS);
        let gate = Gate::listen(&hub);
        let mut ends = connect(&hub, &gate, "work");
        hub.signal(signal);
        assert!(hub.wait_exit().success());
        assert!(!hub.path("work.sock").exists() && !hub.path("web.sock").exists());
        ends.round_trip();
    }
}

#[test]
fn a_killed_relay_is_one_vms_loss() {
    let mut hub = Hub::start(TWO_VMS);
    let gate = Gate::listen(&hub);
    let Ends { vm: mut vm_end, gate: mut gate_end } = connect(&hub, &gate, "work");
    let mut other = connect(&hub, &gate, "web");
    rustix::process::kill_process(hub.relay("work"), Signal::KILL).unwrap();
    expect_end(&mut vm_end);
    expect_end(&mut gate_end);
    let killed = Instant::now();
    connect(&hub, &gate, "work").round_trip();
    assert!(killed.elapsed() < RECOVERY, "{:?}", killed.elapsed());
    other.round_trip();
    hub.wait_line(&["the relay has ended", "vm=work", "connections=1"]);
}

#[test]
fn a_killed_relay_frees_the_places_of_its_connections() {
    let vms = TWO_VMS.replace("work.sock\"", "work.sock\"\nmax_connections = 1");
    let mut hub = Hub::start(&vms);
    let gate = Gate::listen(&hub);
    let mut ends = connect(&hub, &gate, "work");
    rustix::process::kill_process(hub.relay("work"), Signal::KILL).unwrap();
    expect_end(&mut ends.vm);
    hub.wait_line(&["the relay has ended"]);
    connect(&hub, &gate, "work").round_trip();
}

#[test]
fn an_idle_hub_is_never_woken_up() {
    let hub = Hub::start(TWO_VMS);
    let gate = Gate::listen(&hub);
    let _open = connect(&hub, &gate, "work");
    // Half-closed, either way, and one whose reader has stopped.
    let mut half = connect(&hub, &gate, "work");
    half.vm.shutdown(Shutdown::Write).unwrap();
    expect_end(&mut half.gate);
    let mut other_half = connect(&hub, &gate, "work");
    other_half.gate.shutdown(Shutdown::Write).unwrap();
    expect_end(&mut other_half.vm);
    let blocked = connect(&hub, &gate, "work");
    blocked.vm.set_nonblocking(true).unwrap();
    while wait_for(&blocked.vm, PollFlags::OUT, Duration::from_millis(200)) {
        while (&blocked.vm).write(&[0; 4096]).is_ok() {}
    }
    // A gate that is gone while its VM does not notice.
    let gone = connect(&hub, &gate, "work");
    drop(gone.gate);

    let supervisor = Pid::from_raw(hub.child.id().cast_signed()).unwrap();
    let switches = || {
        let pids = [supervisor, hub.relay("work")];
        pids.map(|pid| status(pid, "voluntary_ctxt_switches").parse::<u64>().unwrap())
    };
    let deadline = Instant::now() + PATIENCE;
    let mut before = switches();
    loop {
        std::thread::sleep(Duration::from_millis(200));
        let now = switches();
        if now == before {
            break;
        }
        assert!(Instant::now() < deadline, "it never comes to rest: {before:?} {now:?}");
        before = now;
    }
    // Only time can show that nothing happens in it.
    let burnt = cpu_time(&[supervisor, hub.relay("work")]);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(switches(), before);
    assert_eq!(cpu_time(&[supervisor, hub.relay("work")]), burnt, "something spins");
}

/// Clock ticks that the processes have used: a process that spins does so without giving up the processor.
fn cpu_time(pids: &[Pid]) -> Vec<(u64, u64)> {
    let ticks = |pid: &Pid| {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        // The second field is the name in brackets, and may hold anything.
        let fields: Vec<&str> = text[text.rfind(')').unwrap() + 2..].split(' ').collect();
        (fields[11].parse().unwrap(), fields[12].parse().unwrap())
    };
    pids.iter().map(ticks).collect()
}

#[test]
fn the_walls_around_a_relay_stand_as_reported() {
    let mut hub = Hub::start(TWO_VMS);
    let gate = Gate::listen(&hub);
    let _ends = connect(&hub, &gate, "work");
    let relay = hub.relay("work");
    let line = hub.wait_line(&["the relay is ready", "vm=work"]);
    let reported = |key: &str| line.contains(&format!("{key}=true"));
    assert_eq!(reported("no_new_privs"), status(relay, "NoNewPrivs") == "1");
    assert_eq!(reported("seccomp"), status(relay, "Seccomp") == "2");
    let none = ["CapInh", "CapPrm", "CapEff", "CapAmb"]
        .into_iter()
        .all(|key| status(relay, key).bytes().all(|digit| digit == b'0'));
    assert_eq!(reported("no_capabilities"), none);
    // These two work on every kernel that the project supports.
    assert!(reported("no_new_privs") && reported("no_capabilities") && reported("rlimits"));
    if rustix::process::geteuid().is_root() && reported_user_exists() {
        assert_eq!(status(relay, "Uid"), "65534\t65534\t65534\t65534");
        assert_eq!(status(relay, "Gid"), "65534\t65534\t65534\t65534");
        assert_eq!(status(relay, "Groups").trim(), "");
    }
}

/// Whether `nobody` can be had: not in a user namespace that maps root alone.
fn reported_user_exists() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap();
    map.split_whitespace()
        .nth(2)
        .and_then(|count| count.parse::<u64>().ok())
        .is_some_and(|count| count > 65534)
}

#[test]
fn a_relay_holds_nothing_but_what_it_was_handed() {
    let region = "[vm.work.region]\npath = \"DIR/work.region\"\nsize_mib = 1\n";
    let hub = Hub::start(&format!("{TWO_VMS}{region}"));
    let gate = Gate::listen(&hub);
    let _ends = connect(&hub, &gate, "work");
    let _web = connect(&hub, &gate, "web");
    let Ok(entries) = fs::read_dir(format!("/proc/{}/fd", hub.relay("work"))) else {
        eprintln!("only root can look at the descriptors of a process that cannot be traced");
        return;
    };
    let mut kinds = BTreeMap::<String, usize>::new();
    for target in entries.flatten().filter_map(|entry| fs::read_link(entry.path()).ok()) {
        let target = target.to_string_lossy().into_owned();
        let kind = target.split(":[").next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
        *kinds.entry(kind.to_owned()).or_default() += 1;
    }
    let wanted = [
        ("null", 1),
        // Control, and both ends of the connection.
        ("socket", 3),
        // Standard error, and a pipe for each direction.
        ("pipe", 5),
        // What it waits with.
        ("anon_inode", 1),
        ("work.region", 1),
    ];
    for (kind, count) in wanted {
        assert_eq!(kinds.remove(kind).unwrap_or_default(), count, "{kind}");
    }
    assert!(kinds.is_empty(), "{kinds:?}");
}

#[test]
fn a_relay_is_started_by_the_hub_only() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_vitrail-hub"))
        .args(["--relay", "work"])
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("started by the hub"), "{stderr}");
}

#[test]
fn a_second_hub_does_not_take_the_sockets_of_the_first() {
    let hub = Hub::start(TWO_VMS);
    let gate = Gate::listen(&hub);
    let second = std::process::Command::new(env!("CARGO_BIN_EXE_vitrail-hub"))
        .arg("--config")
        .arg(hub.path("hub.toml"))
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&second.stderr);
    assert!(stderr.contains("cannot listen on"), "{stderr}");
    connect(&hub, &gate, "work").round_trip();
    connect(&hub, &gate, "web").round_trip();
}

#[test]
fn connections_that_come_and_go_leave_nothing_behind() {
    let hub = Hub::start(TWO_VMS);
    let gate = Gate::listen(&hub);
    let _stays = connect(&hub, &gate, "work");
    let open = || fs::read_dir(format!("/proc/{}/fd", hub.relay("work"))).map(Iterator::count).ok();
    let before = open();
    for round in 0..100 {
        let mut stream = call(&hub, "work", &hello(Purpose::Wayland));
        let (_, mut accepted) = gate.accept();
        expect(&mut accepted, &hello(Purpose::Wayland));
        if round % 2 == 0 {
            drop(accepted);
            expect_end(&mut stream);
        } else {
            drop(stream);
            let mut rest = Vec::new();
            accepted.read_to_end(&mut rest).unwrap();
        }
    }
    // The last one is closed when a later one has passed through the same process.
    connect(&hub, &gate, "work").round_trip();
    let deadline = Instant::now() + PATIENCE;
    while open() != before {
        assert!(Instant::now() < deadline, "{before:?} descriptors before, {:?} after", open());
        std::thread::yield_now();
    }
}
