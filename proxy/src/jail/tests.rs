//! Walls cannot be taken down again, so each test runs itself a second time as a child, which enters the jail
//! and tries something; the parent looks at how the child ended.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus};

use super::*;

const CHILD: &str = "VITRAIL_TEST_JAIL_CHILD";
/// Exit status of a child that got where it should. Not one that a panic or the test harness uses.
const REACHED: i32 = 42;

/// Runs `in_jail` in a child process with one thread, jailed for `role`.
fn ends_as(test: &str, role: Role, in_jail: impl FnOnce(&JailReport) -> bool) -> ExitStatus {
    if let Some(name) = std::env::var_os(CHILD) {
        let role = if name == "Relay" { Role::Relay } else { Role::GateWorker };
        let report = Jail::new(role).open_files(32).enter().unwrap();
        std::process::exit(if in_jail(&report) { REACHED } else { 1 });
    }
    Command::new(std::env::current_exe().unwrap())
        .args([&format!("jail::tests::{test}"), "--exact", "--test-threads=1", "--nocapture"])
        .env(CHILD, format!("{role:?}"))
        .output()
        .unwrap()
        .status
}

#[test]
fn the_report_says_what_the_kernel_says() {
    const VERSION: libc::c_uint = 1;
    // SAFETY: asking for the version takes no pointer.
    let version =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0, VERSION) };
    let status = ends_as("the_report_says_what_the_kernel_says", Role::GateWorker, |report| {
        eprintln!("{report:?}");
        let walls = report.no_new_privs && report.seccomp && report.rlimits && report.no_capabilities;
        walls && report.landlock == (version > 0)
    });
    assert_eq!(status.code(), Some(REACHED), "{status}");
}

#[test]
fn files_cannot_be_opened_and_the_attempt_is_survived() {
    for role in [Role::Relay, Role::GateWorker] {
        let status = ends_as("files_cannot_be_opened_and_the_attempt_is_survived", role, |_| {
            File::open("/proc/self/status")
                .is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
        });
        assert_eq!(status.code(), Some(REACHED), "{role:?}: {status}");
    }
}

#[test]
fn what_a_worker_lives_on_works() {
    let status = ends_as("what_a_worker_lives_on_works", Role::GateWorker, |_| {
        let memfd = rustix::fs::memfd_create("x", rustix::fs::MemfdFlags::ALLOW_SEALING).unwrap();
        rustix::fs::ftruncate(&memfd, 8192).unwrap();
        rustix::fs::fcntl_add_seals(&memfd, rustix::fs::SealFlags::SHRINK).unwrap();
        let copy = memfd.try_clone().unwrap();
        assert_eq!(rustix::fs::fstat(&copy).unwrap().st_size, 8192);
        let (one, other) = std::os::unix::net::UnixStream::pair().unwrap();
        one.set_nonblocking(true).unwrap();
        rustix::io::write(&one, b"ping").unwrap();
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let moved =
            rustix::pipe::splice(&other, None, &writer, None, 64, rustix::pipe::SpliceFlags::NONBLOCK);
        assert_eq!(moved, Ok(4));
        drop(reader);
        let big = vec![1_u8; 4 << 20];
        big.iter().map(|&byte| u64::from(byte)).sum::<u64>() == 4 << 20
    });
    assert_eq!(status.code(), Some(REACHED), "{status}");
}

/// What must end the process, for either role.
fn killed_by(test: &str, attempt: fn()) {
    for role in [Role::Relay, Role::GateWorker] {
        let status = ends_as(test, role, |_| {
            attempt();
            false
        });
        assert_eq!(status.signal(), Some(libc::SIGSYS), "{role:?}: {status}");
    }
}

#[test]
fn starting_a_process_ends_it() {
    killed_by("starting_a_process_ends_it", || drop(Command::new("/bin/true").spawn()));
}

#[test]
fn starting_a_thread_ends_it() {
    killed_by("starting_a_thread_ends_it", || drop(std::thread::spawn(|| ()).join()));
}

#[test]
fn making_a_socket_ends_it() {
    killed_by("making_a_socket_ends_it", || drop(std::os::unix::net::UnixStream::connect("/tmp/x")));
}

#[test]
fn making_sockets_that_can_send_to_a_path_ends_it() {
    killed_by("making_sockets_that_can_send_to_a_path_ends_it", || {
        let pair = std::os::unix::net::UnixDatagram::pair();
        let _ = pair.map(|(one, _other)| one.send_to(b"READY=1", "/run/systemd/notify"));
    });
}

#[test]
fn executable_memory_ends_it() {
    killed_by("executable_memory_ends_it", || {
        use rustix::mm::{MapFlags, ProtFlags};
        let exec = ProtFlags::READ | ProtFlags::EXEC;
        // SAFETY: the kernel chooses the place, nothing else refers to it, and nothing ever does.
        let mapped =
            unsafe { rustix::mm::mmap_anonymous(std::ptr::null_mut(), 4096, exec, MapFlags::PRIVATE) };
        let _ = mapped;
    });
}

#[test]
fn signals_to_others_end_it() {
    killed_by("signals_to_others_end_it", || {
        let parent = rustix::process::getppid();
        let _ = parent.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::CONT));
    });
}

#[test]
fn a_status_without_the_lines_reports_no_wall() {
    assert_eq!(parse_status("", false, false), JailReport::default());
    let text = "NoNewPrivs:\t1\nSeccomp:\t1\nCapInh:\t0\nCapPrm:\t0\nCapEff:\t0000000000000001\nCapAmb:\t0\n";
    let report = parse_status(text, true, true);
    assert!(report.no_new_privs && !report.seccomp && !report.no_capabilities);
}
