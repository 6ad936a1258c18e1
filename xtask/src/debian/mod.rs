//! Debian packages of any release, fetched and unpacked below target/ without installing anything.
//!
//! The packages are fetched by name through an apt state of their own, whose source line is the machine's own
//! Debian source with another release in it. To that state nothing is installed, so what packages depend on comes
//! too, and what was unpacked runs with the libraries that it was built for, whatever release the machine has. No
//! source of the system is changed. apt checks the signatures as always.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{setup, steps};

mod source;
mod unpacked;

use source::Source;
pub use unpacked::Unpacked;

/// An apt with lists, cache and status of its own.
#[derive(Debug)]
pub struct Apt {
    folder: PathBuf,
    release: String,
}

impl Apt {
    /// The apt that keeps its state in `folder` and asks for packages of `release`.
    ///
    /// # Errors
    /// When this machine is no Debian, or the folder cannot be made.
    pub fn prepare(folder: &Path, release: &str) -> Result<Self> {
        for program in ["apt-get", "dpkg-deb"] {
            if !setup::has_program(program) {
                bail!("{program} is missing: this comes as Debian packages");
            }
        }
        for part in ["parts", "lists/partial", "cache/archives/partial"] {
            let part = folder.join(part);
            fs::create_dir_all(&part).with_context(|| format!("error creating {}", part.display()))?;
        }
        let line = Source::of_this_machine()?.line(release);
        for (name, content) in [("sources.list", line.as_str()), ("status", "")] {
            let file = folder.join(name);
            fs::write(&file, content).with_context(|| format!("error writing {}", file.display()))?;
        }
        Ok(Self { folder: folder.to_owned(), release: release.to_owned() })
    }

    /// Fetches the packages and all that they depend on, and unpacks them into the empty folder `root`. Returns names
    /// and versions, sorted.
    ///
    /// # Errors
    /// When one cannot be fetched or unpacked.
    pub fn unpack(&self, packages: &[&str], root: &Path) -> Result<Vec<String>> {
        let mut update = self.command();
        update.args(["update", "-qq"]);
        steps::run(&format!("package lists of {}", self.release), &mut update)?;
        let mut download = self.command();
        download.args(["install", "--yes", "-qq", "--download-only"]).args(packages).stdout(Stdio::null());
        steps::run(&format!("packages of {}: {}", self.release, packages.join(", ")), &mut download)?;
        let mut versions = Vec::new();
        for archive in self.archives()? {
            let status = Command::new("dpkg-deb").arg("--extract").arg(&archive).arg(root).status();
            if !status.context("error starting dpkg-deb")?.success() {
                bail!("error unpacking {}", archive.display());
            }
            versions.extend(archive.file_stem().map(|name| name.display().to_string()));
        }
        remove(&self.folder.join("cache/archives"))?;
        versions.sort();
        Ok(versions)
    }

    /// Options on the command line, since they win over every configuration file of the machine.
    fn command(&self) -> Command {
        let mut command = Command::new("apt-get");
        let folders = [
            ("Dir::Etc::SourceList", "sources.list"),
            ("Dir::Etc::SourceParts", "parts"),
            ("Dir::Etc::PreferencesParts", "parts"),
            ("Dir::State::Lists", "lists"),
            ("Dir::State::status", "status"),
            ("Dir::Cache", "cache"),
        ];
        for (option, name) in folders {
            command.arg("-o").arg(format!("{option}={}", self.folder.join(name).display()));
        }
        for option in [
            "Dir::Etc::Preferences=/dev/null",
            "Dir::State::extended_states=/dev/null",
            "APT::Architecture=amd64",
            "APT::Architectures=amd64",
            "APT::Default-Release=",
            "APT::Install-Recommends=false",
            // The lock of the system's packages is not ours to take; who calls has one for the folder.
            "Debug::NoLocking=true",
            // The folder may be closed to the user that apt would become.
            "APT::Sandbox::User=root",
        ] {
            command.args(["-o", option]);
        }
        command.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C").stdin(Stdio::null());
        command
    }

    fn archives(&self) -> Result<Vec<PathBuf>> {
        let folder = self.folder.join("cache/archives");
        let entries = fs::read_dir(&folder).with_context(|| format!("error listing {}", folder.display()))?;
        let mut archives = Vec::new();
        for entry in entries {
            let path = entry.with_context(|| format!("error listing {}", folder.display()))?.path();
            if path.extension().is_some_and(|extension| extension == "deb") {
                archives.push(path);
            }
        }
        Ok(archives)
    }
}

/// Where packages have their libraries.
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

/// A command that starts a program of unpacked packages with the libraries of those packages.
pub fn program(root: &Path, path: &str) -> Command {
    program_with(root, root.join(LIBRARIES).as_os_str(), path)
}

/// The same with the libraries of several folders, separated by colons.
fn program_with(root: &Path, libraries: &OsStr, path: &str) -> Command {
    let mut command = Command::new(root.join("usr/lib64/ld-linux-x86-64.so.2"));
    command.arg("--library-path").arg(libraries).arg(root.join(path));
    command
}

/// Removes a folder with all that is in it, if it is there.
///
/// # Errors
/// When it cannot be removed.
pub fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("error removing {}", folder.display()))
        }
        _ => Ok(()),
    }
}
