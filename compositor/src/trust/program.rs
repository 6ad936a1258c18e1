//! Which program a local client is.
//!
//! # What it is worth
//!
//! The process is the one that opened the connection, as the kernel knows it, as long as it runs: another one that has its number
//! later is not taken for it. The program is the file that it executes when it is asked about. Two programs are the same if
//! that is the same file, whatever path it is reached by, and unchanged: one that was written to, or another that got the
//! number of a deleted one, is another program. A process
//! can pass its connection on, be debugged by another process of the same user, load foreign code into itself, or start the
//! program that is trusted and use what it writes: the name tells honest programs apart, and holds no local program
//! back that means to deceive. VMs are not told apart by this ([`super::origin`]).

use std::ffi::OsStr;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::PidfdFlags;

use super::title::GuestText;

/// Why it is not known which program a process executes.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// The kernel did not say whose connection it is.
    #[error("the process is not known")]
    NoProcess,
    /// The process is gone, and its number may be another's.
    #[error("process {pid} has ended")]
    Ended {
        /// The process.
        pid: i32,
    },
    /// The process is gone, or another user's.
    #[error("cannot look at /proc/{pid}/exe: {source}")]
    Look {
        /// The process.
        pid: i32,
        /// Why.
        source: std::io::Error,
    },
}

/// The process that opened a connection.
#[derive(Debug)]
pub struct Process {
    pid: i32,
    /// Tells whether it still runs, so that its number is its own.
    handle: OwnedFd,
}

impl Process {
    /// The process at the other end of a socket; `None` if it is gone already.
    #[must_use]
    pub fn of_peer(stream: &UnixStream) -> Option<Self> {
        let peer = rustix::net::sockopt::socket_peercred(stream).ok()?;
        let handle = rustix::process::pidfd_open(peer.pid, PidfdFlags::empty()).ok()?;
        Some(Self { pid: peer.pid.as_raw_nonzero().get(), handle })
    }

    /// The program that it executes now.
    ///
    /// # Errors
    ///
    /// If it is gone or may not be looked at.
    pub fn program(&self) -> Result<Program, ProgramError> {
        let program = Program::of(Some(self.pid));
        // It runs after it was looked at, so it was no other one that was looked at.
        if self.has_ended() { Err(ProgramError::Ended { pid: self.pid }) } else { program }
    }

    fn has_ended(&self) -> bool {
        let mut handles = [PollFd::new(&self.handle, PollFlags::IN)];
        // It does not wait, and what cannot be told is no proof.
        !matches!(poll(&mut handles, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(0))
    }
}

/// A file, whatever its name, as it was when it was last changed: device, inode, and the time of the change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId {
    device: u64,
    inode: u64,
    changed: (i64, i64),
}

impl FileId {
    fn of(path: &Path) -> std::io::Result<Self> {
        let found = fs::metadata(path)?;
        let changed = (found.ctime(), found.ctime_nsec());
        Ok(Self { device: found.dev(), inode: found.ino(), changed })
    }
}

/// The program of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    path: PathBuf,
    file: FileId,
}

impl Program {
    /// The program that a process executes now.
    ///
    /// # Errors
    ///
    /// If the process is gone or may not be looked at.
    pub fn of(pid: Option<i32>) -> Result<Self, ProgramError> {
        let pid = pid.filter(|pid| *pid > 0).ok_or(ProgramError::NoProcess)?;
        let link = PathBuf::from(format!("/proc/{pid}/exe"));
        let look = |source| ProgramError::Look { pid, source };
        // The link leads to the file itself, even where its path means something else here, or nothing any more.
        let file = FileId::of(&link).map_err(look)?;
        let path = fs::read_link(&link).map_err(look)?;
        Ok(Self { path, file })
    }

    /// What tells it from other programs.
    #[must_use]
    pub fn file(&self) -> FileId {
        self.file
    }

    /// The last part of its path, safe to show.
    #[must_use]
    pub fn name(&self) -> GuestText {
        let name = self.path.file_name().map(OsStr::to_string_lossy).unwrap_or_default();
        GuestText::new(&name)
    }

    /// Its path, safe to show.
    #[must_use]
    pub fn path(&self) -> GuestText {
        GuestText::new(&self.path.to_string_lossy())
    }

    /// Whether it is one of those that are named: by an absolute path, or by a name that is looked for in `search_path` as a
    /// shell does.
    #[must_use]
    pub fn is_among(&self, names: &[String], search_path: Option<&OsStr>) -> bool {
        names.iter().any(|name| find(name, search_path) == Some(self.file))
    }
}

/// The first file of that name.
fn find(name: &str, search_path: Option<&OsStr>) -> Option<FileId> {
    if name.starts_with('/') {
        return FileId::of(Path::new(name)).ok();
    }
    let folders = std::env::split_paths(search_path?);
    folders.filter(|folder| folder.is_absolute()).find_map(|folder| FileId::of(&folder.join(name)).ok())
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    #[test]
    fn a_program_is_known_by_its_file_and_not_by_its_name() {
        let own = std::env::current_exe().unwrap();
        let program = Program::of(i32::try_from(std::process::id()).ok()).unwrap();
        let name = own.file_name().unwrap().to_str().unwrap();
        assert_eq!(program.name().as_str(), GuestText::new(name).as_str());
        assert!(program.is_among(&[own.to_str().unwrap().to_owned()], None));
        let folder = own.parent().unwrap();
        assert!(program.is_among(&[name.to_owned()], Some(folder.as_os_str())));
        assert!(!program.is_among(&[name.to_owned()], None));

        // Another file of the same name comes first in the search path.
        let other = tempfile::tempdir().unwrap();
        fs::write(other.path().join(name), "").unwrap();
        let search = std::env::join_paths([other.path(), folder]).unwrap();
        assert!(!program.is_among(&[name.to_owned()], Some(&search)));
        // A link to the same file is the same program.
        let link = other.path().join("link");
        std::os::unix::fs::symlink(&own, &link).unwrap();
        assert!(program.is_among(&[link.to_str().unwrap().to_owned()], None));
    }

    /// A child that waits until its input ends.
    fn child(path: &Path) -> Child {
        let mut command = Command::new(path);
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        loop {
            match command.spawn() {
                // Another test has just begun a child of its own, which has our file open until it executes something.
                Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {}
                child => return child.unwrap(),
            }
        }
    }

    fn end(mut child: Child) {
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    /// A package is upgraded or a file is written over: the answer was about something else.
    #[test]
    fn a_file_that_was_replaced_or_changed_is_another_program() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("grabber");
        fs::write(&path, "one").unwrap();
        let first = FileId::of(&path).unwrap();
        assert_eq!(FileId::of(&path).unwrap(), first);
        // Many file systems give the number of a deleted file to the next one.
        let until_another = |before: FileId, change: &dyn Fn()| {
            // The clock of files goes in steps.
            let start = std::time::Instant::now();
            while FileId::of(&path).unwrap() == before {
                assert!(start.elapsed().as_secs() < 10, "it is still the same");
                change();
            }
            FileId::of(&path).unwrap()
        };
        let second = until_another(first, &|| fs::write(&path, "two").unwrap());
        assert_eq!((second.device, second.inode), (first.device, first.inode));
        let third = until_another(second, &|| {
            fs::remove_file(&path).unwrap();
            fs::write(&path, "one").unwrap();
        });
        assert_ne!(third, first);
    }

    #[test]
    fn a_program_whose_file_was_deleted_is_not_taken_for_what_has_its_name_now() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("grabber");
        fs::copy("/bin/cat", &path).unwrap();
        let running = child(&path);
        let program = || Program::of(i32::try_from(running.id()).ok()).unwrap();
        let named = [path.to_str().unwrap().to_owned()];
        assert!(program().is_among(&named, None));
        fs::remove_file(&path).unwrap();
        fs::copy("/bin/cat", &path).unwrap();
        assert!(!program().is_among(&named, None));
        assert!(program().path().as_str().ends_with("(deleted)"), "{}", program().path());
        end(running);
    }

    /// A connection outlives the process that opened it, in a child that has inherited it, and the process's number is given to
    /// another program.
    #[test]
    fn a_process_that_has_ended_is_no_program_even_if_another_has_its_number() {
        let ended = child(Path::new("/bin/cat"));
        let pid = rustix::process::Pid::from_child(&ended);
        let handle = rustix::process::pidfd_open(pid, PidfdFlags::empty()).unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        let process = Process { pid: own, handle };
        assert!(process.program().is_ok());
        end(ended);
        assert!(matches!(process.program(), Err(ProgramError::Ended { pid }) if pid == own));
    }

    #[test]
    fn a_process_that_is_not_there_has_no_program() {
        assert!(matches!(Program::of(None), Err(ProgramError::NoProcess)));
        assert!(matches!(Program::of(Some(0)), Err(ProgramError::NoProcess)));
        assert!(matches!(Program::of(Some(i32::MAX)), Err(ProgramError::Look { .. })));
    }
}
