//! Children of a test.
//!
//! Every child leads a session (setsid(2)) of its own, and everything it starts stays in that session, in
//! whatever process group. Dropping a [`Process`] kills the whole session, whatever became of its leader: a
//! killed supervisor leaves its workers behind, and a test must leave nothing. The leader's exit is observed
//! without being reaped before the drop, so that the number of the session cannot come to mean another one
//! meanwhile. Should the test process itself be killed, the kernel kills the leaders, and theirs notice that.
//!
//! What children write to stderr goes to a file, which is printed when the test fails.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{fmt, fs, io};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::inotify;
use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, Signal, WaitId, WaitIdOptions};

use crate::deadline::Deadline;

/// How much of the end of a log is printed when a test fails, in bytes.
const LOG_TAIL: usize = 16 * 1024;

/// How many descriptors a program of a user's session may have unless it asks for more, as systemd has it.
const USUAL_DESCRIPTORS: u64 = 1024;

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this status.
    Status(i32),
    /// A signal of this number killed it.
    Signal(i32),
}

/// A running child, its session and its log.
pub struct Process {
    name: String,
    child: Child,
    pid: Pid,
    pidfd: OwnedFd,
    log: PathBuf,
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("name", &self.name).field("pid", &self.pid).finish_non_exhaustive()
    }
}

/// A program of this workspace.
///
/// # Panics
///
/// When it was not built.
#[must_use]
#[track_caller]
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let found =
        test.ancestors().skip(1).take(2).map(|directory| directory.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!("{name} is not built; run `cargo build --workspace` first (`cargo xtask test` does it)")
    })
}

/// A shared library of this workspace, by its name without `lib` and `.so`.
///
/// # Panics
///
/// When it was not built.
#[must_use]
#[track_caller]
pub fn library(name: &str) -> PathBuf {
    program(&format!("lib{name}.so"))
}

/// Whether `name` is in one of the directories of PATH.
#[must_use]
pub fn is_installed(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(name).is_file())
}

impl Process {
    /// Starts `command` in a new session, with stdin from /dev/null and stdout and stderr in
    /// `logs/NAME.log` (appended to, for one that is started again). The descriptors in `inherit` stay open
    /// under the same numbers; all others are closed in the child, which may have as many as is usual.
    ///
    /// # Panics
    ///
    /// When the program cannot be started.
    #[must_use]
    #[track_caller]
    pub fn start(name: &str, logs: &Path, command: &mut Command, inherit: &[&OwnedFd]) -> Self {
        let log = logs.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log).expect("a log file");
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a duplicate of the log file"))
            .stderr(file);
        let kept: Vec<i32> = inherit.iter().map(|fd| fd.as_raw_fd()).collect();
        let before_exec = move || {
            rustix::process::setsid()?;
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
            let limit = rustix::process::getrlimit(Resource::Nofile);
            let current = limit.maximum.map_or(USUAL_DESCRIPTORS, |maximum| maximum.min(USUAL_DESCRIPTORS));
            rustix::process::setrlimit(Resource::Nofile, Rlimit { current: Some(current), ..limit })?;
            for &fd in &kept {
                // SAFETY: the descriptors are open in the parent until it has started the child, and the
                // child is their copy's only user; the flag of the child's copy alone is changed.
                let fd = unsafe { BorrowedFd::borrow_raw(fd) };
                rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty())?;
            }
            Ok(())
        };
        // SAFETY: between fork and exec the closure makes a few kinds of system calls and touches memory that was
        // allocated before the fork; it allocates nothing and takes no lock.
        unsafe { command.pre_exec(before_exec) };
        let child = command.spawn().unwrap_or_else(|error| panic!("starting {command:?}: {error}"));
        let pid = Pid::from_child(&child);
        let pidfd =
            rustix::process::pidfd_open(pid, PidfdFlags::empty()).expect("a pidfd of an unreaped child");
        Self { name: name.to_owned(), child, pid, pidfd, log }
    }

    /// The process id of the leader, which is also the number of the session.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// How the leader ended, if it has.
    ///
    /// # Panics
    ///
    /// When waitid(2) fails.
    #[must_use]
    pub fn exit(&self) -> Option<Exit> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        let status =
            rustix::process::waitid(WaitId::Pid(self.pid), options).expect("the child is not reaped")?;
        status.exit_status().map(Exit::Status).or_else(|| status.terminating_signal().map(Exit::Signal))
    }

    /// Waits for the leader's end.
    ///
    /// # Panics
    ///
    /// When it does not come before the deadline.
    #[track_caller]
    pub fn wait_exit(&self, deadline: Deadline) -> Exit {
        let ended = deadline.wait(self.pidfd.as_fd(), PollFlags::IN);
        assert!(ended, "{} did not end in time", self.name);
        self.exit().expect("a readable pidfd is that of a process that ended")
    }

    /// Sends `signal` to the leader alone.
    ///
    /// # Panics
    ///
    /// When it has already ended.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        let sent = rustix::process::pidfd_send_signal(&self.pidfd, signal);
        sent.unwrap_or_else(|error| panic!("signalling {}: {error}", self.name));
    }

    /// Kills the leader alone with SIGKILL, and waits for its end.
    ///
    /// # Panics
    ///
    /// When it has already ended, or does not end.
    #[track_caller]
    pub fn kill(&self) {
        assert_eq!(self.exit(), None, "{} ended before it was killed", self.name);
        self.signal(Signal::KILL);
        self.wait_exit(Deadline::patient());
    }

    /// The running processes of the session.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        members(self.pid)
    }

    /// What the session has written to stdout and stderr so far.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits until `wanted` appears in the log.
    ///
    /// # Panics
    ///
    /// When it does not appear before the deadline.
    #[track_caller]
    pub fn wait_log(&self, wanted: &str) {
        self.wait_log_times(wanted, 1);
    }

    /// Waits until `wanted` is in the log so many times.
    ///
    /// # Panics
    ///
    /// When it is not before the deadline.
    #[track_caller]
    pub fn wait_log_times(&self, wanted: &str, times: usize) {
        let there = || self.log().matches(wanted).count() >= times;
        let found = wait_file_event(&self.log, Deadline::patient(), None, there);
        assert!(found, "{} did not log {wanted:?} {times} times:\n{}", self.name, self.log());
    }

    /// Waits until something exists at `path`, which the child is to make.
    ///
    /// # Panics
    ///
    /// When the child ends before, or it does not appear before the deadline.
    #[track_caller]
    pub fn wait_path(&self, path: &Path) {
        let directory = path.parent().expect("a path in a directory");
        let pidfd = Some(self.pidfd.as_fd());
        let appeared = wait_file_event(directory, Deadline::patient(), pidfd, || path.exists());
        assert!(appeared, "{} did not make {}; it ended with {:?}", self.name, path.display(), self.exit());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Who is killed starts nobody any more, so this ends: each round finds what the one before missed.
        loop {
            let living = self.members();
            if living.is_empty() {
                break;
            }
            living.iter().for_each(Member::kill_if_there);
        }
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let tail = log.len().saturating_sub(LOG_TAIL);
            let tail = log.char_indices().map(|(index, _)| index).find(|&index| index >= tail).unwrap_or(0);
            eprintln!("---- log of {} ----\n{}", self.name, &log[tail..]);
        }
    }
}

/// One process, as /proc shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its process id.
    pub pid: Pid,
    /// Its command line.
    pub arguments: Vec<String>,
}

impl Member {
    /// Whether `wanted` are consecutive arguments of its command line.
    #[must_use]
    pub fn has_arguments(&self, wanted: &[&str]) -> bool {
        self.arguments.windows(wanted.len()).any(|window| window.iter().zip(wanted).all(|(a, b)| a == b))
    }

    /// Kills it with SIGKILL and waits until it is gone.
    ///
    /// # Panics
    ///
    /// When it has already ended, or does not end.
    #[track_caller]
    pub fn kill(&self) {
        let pidfd = rustix::process::pidfd_open(self.pid, PidfdFlags::empty()).expect("the process lives");
        rustix::process::pidfd_send_signal(&pidfd, Signal::KILL).expect("the process lives");
        assert!(Deadline::patient().wait(pidfd.as_fd(), PollFlags::IN), "{self:?} survives SIGKILL");
    }

    /// Kills it with SIGKILL and waits until it is gone, if it has not ended already.
    fn kill_if_there(&self) {
        if let Ok(pidfd) = rustix::process::pidfd_open(self.pid, PidfdFlags::empty()) {
            let _ = rustix::process::pidfd_send_signal(&pidfd, Signal::KILL);
            let _ = Deadline::patient().wait(pidfd.as_fd(), PollFlags::IN);
        }
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    ///
    /// When it has not before the deadline.
    #[track_caller]
    pub fn wait_gone(&self, deadline: Deadline) {
        match rustix::process::pidfd_open(self.pid, PidfdFlags::empty()) {
            Ok(pidfd) => assert!(deadline.wait(pidfd.as_fd(), PollFlags::IN), "{self:?} still runs"),
            Err(error) => assert_eq!(error, rustix::io::Errno::SRCH),
        }
    }

    /// Its resident memory in MiB, zero when it has ended.
    #[must_use]
    pub fn resident_mib(&self) -> u64 {
        self.status("VmRSS:") / 1024
    }

    /// The most resident memory that it has had, in KiB; zero when it has ended.
    #[must_use]
    pub fn peak_kib(&self) -> u64 {
        self.status("VmHWM:")
    }

    /// How many descriptors it has open; none where the kernel does not say: it hides those of a process that gave up
    /// its capabilities from everybody but root.
    #[must_use]
    pub fn descriptors(&self) -> Option<usize> {
        let entries = fs::read_dir(format!("/proc/{}/fd", self.pid.as_raw_nonzero())).ok()?;
        Some(entries.count())
    }

    /// A number of `/proc/PID/status`, zero when it has ended.
    fn status(&self, name: &str) -> u64 {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.pid.as_raw_nonzero())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok()).unwrap_or_default()
    }

    /// How often its threads have given up the processor of their own accord, by thread id, from
    /// `/proc/PID/task/*/status`. Empty when it has ended.
    #[must_use]
    pub fn voluntary_switches(&self) -> Vec<(String, u64)> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid.as_raw_nonzero())).into_iter().flatten();
        let count = |task: &Path| -> Option<u64> {
            let status = fs::read_to_string(task.join("status")).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
            line.trim().parse().ok()
        };
        let name = |task: &Path| task.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut switches: Vec<(String, u64)> =
            tasks.flatten().filter_map(|task| Some((name(&task.path()), count(&task.path())?))).collect();
        switches.sort();
        switches
    }
}

/// The living processes of a session. A zombie is not living.
fn members(session: Pid) -> Vec<Member> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
    pids.filter(|&pid| is_living_member(pid, session)).filter_map(member).collect()
}

fn is_living_member(pid: Pid, session: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    // The name in parentheses may itself hold spaces and parentheses; after it come state, parent, group, session.
    let mut fields = stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace();
    let state = fields.next();
    // Of a process that is just ending the kernel says -1.
    let raw = fields.nth(2).and_then(|field| field.parse().ok()).filter(|raw| *raw >= 0);
    let its_session = raw.and_then(Pid::from_raw);
    its_session == Some(session) && !matches!(state, Some("Z" | "X"))
}

fn member(pid: Pid) -> Option<Member> {
    let line = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).ok()?;
    let arguments = line.split(|&byte| byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
    Some(Member { pid, arguments: arguments.collect() })
}

/// Waits until something exists at `path`, by inotify on its directory.
///
/// # Panics
///
/// When it does not appear before the deadline.
#[track_caller]
pub fn wait_for_path(path: &Path, deadline: Deadline) {
    let directory = path.parent().expect("a path in a directory");
    let appeared = wait_file_event(directory, deadline, None, || path.exists());
    assert!(appeared, "{} did not appear", path.display());
}

/// Waits until `condition` holds, which is looked at whenever the file at `path` changes; false when the deadline passed
/// before. Memory that is taken from the file (a hole that is punched into it) is a change, too.
///
/// # Panics
///
/// When the file does not exist.
#[must_use]
pub fn wait_for_change(path: &Path, deadline: Deadline, condition: impl Fn() -> bool) -> bool {
    wait_file_event(path, deadline, None, condition)
}

/// Waits until a file holds exactly `wanted`.
///
/// # Panics
///
/// When it does not before the deadline.
#[track_caller]
pub fn wait_for_content(path: &Path, wanted: &str, deadline: Deadline) {
    wait_for_path(path, deadline);
    let content = || fs::read(path).is_ok_and(|bytes| bytes == wanted.as_bytes());
    let written = wait_file_event(path, deadline, None, content);
    assert!(written, "{} does not hold {wanted:?} but {:?}", path.display(), fs::read_to_string(path));
}

/// Waits until `condition` holds, looking again whenever something happens to `path` (or in it). False when
/// the deadline passed or `end` became readable before.
fn wait_file_event(
    path: &Path,
    deadline: Deadline,
    end: Option<BorrowedFd<'_>>,
    condition: impl Fn() -> bool,
) -> bool {
    let watcher =
        inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK).expect("inotify");
    let events = inotify::WatchFlags::CREATE
        | inotify::WatchFlags::MOVED_TO
        | inotify::WatchFlags::MODIFY
        | inotify::WatchFlags::CLOSE_WRITE;
    inotify::add_watch(&watcher, path, events).expect("a watch on an existing path");
    let mut ended = false;
    loop {
        // The watch was there before the condition is looked at, so no change is missed.
        if condition() {
            return true;
        }
        let mut fds = vec![PollFd::new(&watcher, PollFlags::IN)];
        fds.extend(end.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        if ended || !deadline.wait_any(&mut fds) {
            return false;
        }
        // What the process did before it ended counts: the condition is looked at once more.
        ended = fds.get(1).is_some_and(|fd| !fd.revents().is_empty());
        let mut events = [0; 4096];
        while rustix::io::read(&watcher, &mut events).is_ok_and(|read| read > 0) {}
    }
}

/// Connects to a Unix socket as soon as it exists and listens.
///
/// # Panics
///
/// When it cannot be connected to before the deadline.
#[track_caller]
pub fn connect(path: &Path, deadline: Deadline) -> std::os::unix::net::UnixStream {
    wait_for_path(path, deadline);
    loop {
        match std::os::unix::net::UnixStream::connect(path) {
            Ok(stream) => return stream,
            // Between its bind(2) and its listen(2) a server's socket refuses, and nothing announces the
            // second; nor does anything announce the end of a dead server's leftover.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && !deadline.passed() => {
                std::thread::yield_now();
            }
            // A server that finds the leftover of a dead one removes it before it makes its own.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !deadline.passed() => {
                wait_for_path(path, deadline);
            }
            Err(error) => panic!("connecting to {}: {error}", path.display()),
        }
    }
}

/// A command that runs `program` with nothing of the test's own display in its environment.
#[must_use]
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env("NO_COLOR", "1");
    for name in ["WAYLAND_DISPLAY", "WAYLAND_SOCKET", "DISPLAY", "VITRAIL_HUB", "VITRAIL_IPC", "LISTEN_FDS"] {
        command.env_remove(name);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(logs: &Path, script: &str) -> Process {
        Process::start("shell", logs, command("sh").args(["-c", script]), &[])
    }

    #[test]
    fn the_whole_session_is_killed_with_its_leader_gone() {
        let logs = tempfile::tempdir().unwrap();
        // timeout(1) makes a process group of its own.
        let process = shell(logs.path(), "timeout 1000 sh -c 'echo started; sleep 1000' & exit 0");
        process.wait_log("started");
        assert_eq!(process.wait_exit(Deadline::patient()), Exit::Status(0));
        let left = process.members();
        assert!(left.iter().any(|member| member.has_arguments(&["timeout", "1000"])), "{left:?}");
        let pidfds = left.iter().map(|member| rustix::process::pidfd_open(member.pid, PidfdFlags::empty()));
        let pidfds: Vec<OwnedFd> = pidfds.collect::<Result<_, _>>().unwrap();
        drop(process);
        assert!(pidfds.iter().all(|pidfd| Deadline::patient().wait(pidfd.as_fd(), PollFlags::IN)));
    }

    #[test]
    fn output_is_kept_and_waited_for() {
        let logs = tempfile::tempdir().unwrap();
        let process = shell(logs.path(), "echo words >&2; sleep 1000");
        process.wait_log("words");
        assert_eq!(process.exit(), None);
    }

    #[test]
    fn the_way_of_the_end_is_told() {
        let logs = tempfile::tempdir().unwrap();
        assert_eq!(shell(logs.path(), "exit 3").wait_exit(Deadline::patient()), Exit::Status(3));
        assert_eq!(shell(logs.path(), "kill -9 $$").wait_exit(Deadline::patient()), Exit::Signal(9));
    }

    #[test]
    fn a_path_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let process = shell(directory.path(), &format!("echo yes > {}/file", directory.path().display()));
        wait_for_content(&directory.path().join("file"), "yes\n", Deadline::patient());
        process.wait_exit(Deadline::patient());
    }
}
