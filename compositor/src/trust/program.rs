//! Which program a local client is.
//!
//! # What it is worth
//!
//! The process is the one that opened the connection, as the kernel knows it, and the program is the file that it executes
//! when it is asked about. Two programs are the same if that is the same file, whatever path it is reached by. A process
//! can pass its connection on, be debugged by another process of the same user, load foreign code into itself, or start the
//! program that is trusted and use what it writes: the name tells honest programs apart, and holds no local program
//! back that means to deceive. VMs are not told apart by this ([`super::origin`]).

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::title::GuestText;

/// Why it is not known which program a process executes.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// The kernel did not say whose connection it is.
    #[error("the process is not known")]
    NoProcess,
    /// The process is gone, or another user's.
    #[error("cannot look at /proc/{pid}/exe: {source}")]
    Look {
        /// The process.
        pid: i32,
        /// Why.
        source: std::io::Error,
    },
}

/// A file, whatever its name: device and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(u64, u64);

impl FileId {
    fn of(path: &Path) -> std::io::Result<Self> {
        fs::metadata(path).map(|found| Self(found.dev(), found.ino()))
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

    #[test]
    fn a_process_that_is_not_there_has_no_program() {
        assert!(matches!(Program::of(None), Err(ProgramError::NoProcess)));
        assert!(matches!(Program::of(Some(0)), Err(ProgramError::NoProcess)));
        assert!(matches!(Program::of(Some(i32::MAX)), Err(ProgramError::Look { .. })));
    }
}
