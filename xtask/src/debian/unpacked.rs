//! Packages that were fetched once: they are used, without asking the network, until other ones are wanted.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};

use super::{Apt, LIBRARIES, program, remove};

/// What was unpacked, below [`Unpacked::root`]: the first line is what was asked for, the others are names and versions.
const STAMP: &str = "packages.txt";

/// Packages of one release with all that they depend on.
#[derive(Debug)]
pub struct Unpacked {
    root: PathBuf,
    /// As the archives are called, `NAME_VERSION_ARCHITECTURE`.
    archives: Vec<String>,
}

impl Unpacked {
    /// The packages in `folder/name`, fetched if it does not hold just them. A lock keeps two commands from fetching into
    /// the same folder at the same time.
    ///
    /// # Errors
    /// When this machine is no Debian, or a package cannot be fetched or unpacked.
    pub fn get(folder: &Path, name: &str, release: &str, packages: &[&str]) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("error creating {}", folder.display()))?;
        let lock = File::create(folder.join("lock")).context("error creating the lock of the packages")?;
        flock(&lock, FlockOperation::LockExclusive).context("error locking the packages")?;
        let root = folder.join(name);
        let wanted = format!("{release}: {}", packages.join(" "));
        let have = fs::read_to_string(root.join(STAMP)).unwrap_or_default();
        if have.lines().next() != Some(&wanted) {
            let fresh = folder.join(format!("{name}.new"));
            remove(&fresh)?;
            fs::create_dir(&fresh).with_context(|| format!("error creating {}", fresh.display()))?;
            let archives = Apt::prepare(&folder.join("apt"), release)?.unpack(packages, &fresh)?;
            fs::write(fresh.join(STAMP), format!("{wanted}\n{}\n", archives.join("\n")))
                .context("error writing the list of the packages")?;
            remove(&root)?;
            fs::rename(&fresh, &root).with_context(|| format!("error renaming {}", fresh.display()))?;
        }
        let text = fs::read_to_string(root.join(STAMP)).context("error reading the list of the packages")?;
        Ok(Self { archives: text.lines().skip(1).map(str::to_owned).collect(), root })
    }

    /// The folder that stands for `/`.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Name and version of a package, as its archive is called.
    pub fn archive(&self, package: &str) -> Option<&str> {
        let of_package = |archive: &&String| archive.split('_').next() == Some(package);
        self.archives.iter().find(of_package).map(String::as_str)
    }

    /// The version of a package; none if it was not unpacked.
    pub fn version(&self, package: &str) -> Option<String> {
        // The names of archives have no colons, which separate the epoch.
        Some(self.archive(package)?.split('_').nth(1)?.replace("%3a", ":"))
    }

    /// A command that starts a program of the packages with their libraries, and with those of the machine for what it
    /// loads beside them.
    pub fn program_beside_system(&self, path: &str) -> Command {
        let mut libraries = self.root.join(LIBRARIES).into_os_string();
        libraries.push(":/");
        libraries.push(LIBRARIES);
        super::program_with(&self.root, &libraries, path)
    }

    /// A command that starts a program of the packages with their libraries.
    pub fn program(&self, path: &str) -> Command {
        program(&self.root, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_that_of_the_package_of_just_this_name() {
        let archives = ["emacs-pgtk-x_1_all", "emacs-pgtk_1%3a30.1+1-6_amd64"].map(str::to_owned).to_vec();
        let unpacked = Unpacked { root: PathBuf::new(), archives };
        assert_eq!(unpacked.version("emacs-pgtk").as_deref(), Some("1:30.1+1-6"));
        assert_eq!(unpacked.version("emacs"), None);
    }
}
