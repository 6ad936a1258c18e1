//! What the virtual machines are made of: QEMU, firmware, a kernel and busybox, as Debian packages of one release.
//!
//! The packages are fetched by name through an apt state of their own, whose source line is the machine's own
//! Debian source with another release in it, and unpacked below target/vm with everything that they need.
//! Nothing is installed, no source of the system is changed, and what runs does not depend on the release that
//! the machine has: QEMU runs with the libraries that it was built for. apt checks the signatures as always.
//!
//! What was unpacked is used, without asking the network, until the list of packages changes or an update is asked
//! for. A lock keeps two commands from unpacking at the same time.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};

use super::source::Source;
use crate::{setup, steps};

/// The release all packages are of: its QEMU is 10.0 (that of the release before crashes recent kernels under TCG),
/// its kernel 6.12.
const RELEASE: &str = "trixie";

/// The packages that are asked for; apt adds what they depend on.
const PACKAGES: &[&str] =
    &["qemu-system-x86", "seabios", "linux-image-cloud-amd64", "kmod", "busybox-static"];

/// The packages, unpacked.
#[derive(Debug)]
pub struct Packages {
    root: PathBuf,
    kernel_release: String,
}

impl Packages {
    /// The unpacked packages, fetched if they are not there or `update` says that newer ones are wanted.
    ///
    /// # Errors
    /// When this machine is no x86-64 Debian, a package cannot be fetched or unpacked.
    pub fn get(vm_folder: &Path, update: bool) -> Result<Self> {
        if !cfg!(target_arch = "x86_64") {
            bail!("virtual machines are made for x86-64 only so far");
        }
        fs::create_dir_all(vm_folder).with_context(|| format!("error creating {}", vm_folder.display()))?;
        let lock = File::create(vm_folder.join("lock")).context("error creating the lock of target/vm")?;
        flock(&lock, FlockOperation::LockExclusive).context("error locking target/vm")?;
        let root = vm_folder.join(RELEASE);
        let stamp = root.join("packages.txt");
        let wanted = PACKAGES.join(" ");
        let have = fs::read_to_string(&stamp).unwrap_or_default();
        if update || have.lines().next() != Some(&wanted) {
            let versions = fetch(vm_folder, &root)?;
            fs::write(&stamp, format!("{wanted}\n{versions}"))
                .with_context(|| format!("error writing {}", stamp.display()))?;
        }
        let kernel_release = only_entry(&root.join("usr/lib/modules"))?;
        Ok(Self { root, kernel_release })
    }

    /// Names and versions of what was unpacked, one a line.
    ///
    /// # Errors
    /// When the list cannot be read.
    pub fn versions(&self) -> Result<String> {
        let stamp = self.root.join("packages.txt");
        let text =
            fs::read_to_string(&stamp).with_context(|| format!("error reading {}", stamp.display()))?;
        Ok(text.lines().skip(1).map(|line| format!("{line}\n")).collect())
    }

    /// The kernel that guests boot.
    pub fn kernel(&self) -> PathBuf {
        self.root.join("boot").join(format!("vmlinuz-{}", self.kernel_release))
    }

    /// What `uname -r` says in a guest.
    pub fn kernel_release(&self) -> &str {
        &self.kernel_release
    }

    /// The folder of the kernel's modules.
    pub fn modules(&self) -> PathBuf {
        self.root.join("usr/lib/modules").join(&self.kernel_release)
    }

    /// The shell and tools of a guest, one static program.
    pub fn busybox(&self) -> PathBuf {
        self.root.join("usr/bin/busybox")
    }

    /// A command that starts QEMU, without any machine yet.
    pub fn qemu(&self) -> Command {
        let mut command = self.program("usr/bin/qemu-system-x86_64");
        for data in ["usr/share/qemu", "usr/share/seabios"] {
            command.arg("-L").arg(self.root.join(data));
        }
        command.env("QEMU_MODULE_DIR", self.root.join("usr/lib/x86_64-linux-gnu/qemu"));
        command
    }

    /// A command that starts a program of the packages with the libraries of the packages.
    fn program(&self, path: &str) -> Command {
        let mut command = Command::new(self.root.join("usr/lib64/ld-linux-x86-64.so.2"));
        command.arg("--library-path").arg(self.root.join("usr/lib/x86_64-linux-gnu"));
        command.arg(self.root.join(path));
        command
    }
}

/// Fetches and unpacks everything into `root`, whose old content goes. Returns names and versions.
fn fetch(vm_folder: &Path, root: &Path) -> Result<String> {
    for program in ["apt-get", "dpkg-deb"] {
        if !setup::has_program(program) {
            bail!("{program} is missing: QEMU and kernel of the virtual machines come as Debian packages");
        }
    }
    let apt = Apt::prepare(&vm_folder.join("apt"))?;
    let mut update = apt.command();
    steps::run(&format!("virtual machines: package lists of {RELEASE}"), update.arg("update").arg("-qq"))?;
    let mut download = apt.command();
    download.args(["install", "--yes", "-qq", "--download-only"]).args(PACKAGES).stdout(Stdio::null());
    steps::run(&format!("virtual machines: {}", PACKAGES.join(", ")), &mut download)?;

    let fresh = vm_folder.join(format!("{RELEASE}.new"));
    remove(&fresh)?;
    fs::create_dir(&fresh).with_context(|| format!("error creating {}", fresh.display()))?;
    let mut versions = Vec::new();
    for archive in apt.archives()? {
        let status = Command::new("dpkg-deb").arg("--extract").arg(&archive).arg(&fresh).status();
        if !status.context("error starting dpkg-deb")?.success() {
            bail!("error unpacking {}", archive.display());
        }
        versions.extend(archive.file_stem().map(|name| format!("{}\n", name.display())));
    }
    let modules = fresh.join("usr/lib/modules");
    let release = only_entry(&modules)?;
    let unpacked = Packages { root: fresh.clone(), kernel_release: release.clone() };
    let mut index = unpacked.program("usr/sbin/depmod");
    index.arg("--basedir").arg(fresh.join("usr")).arg(&release);
    steps::run("virtual machines: index of kernel modules", &mut index)?;

    remove(root)?;
    fs::rename(&fresh, root).with_context(|| format!("error renaming {}", fresh.display()))?;
    remove(&apt.folder.join("cache/archives"))?;
    versions.sort();
    Ok(versions.concat())
}

/// An apt with lists, cache and status of its own. To it nothing is installed, so that everything is fetched.
struct Apt {
    folder: PathBuf,
}

impl Apt {
    fn prepare(folder: &Path) -> Result<Self> {
        for part in ["parts", "lists/partial", "cache/archives/partial"] {
            let part = folder.join(part);
            fs::create_dir_all(&part).with_context(|| format!("error creating {}", part.display()))?;
        }
        let line = Source::of_this_machine()?.line(RELEASE);
        for (name, content) in [("sources.list", line.as_str()), ("status", "")] {
            let file = folder.join(name);
            fs::write(&file, content).with_context(|| format!("error writing {}", file.display()))?;
        }
        Ok(Self { folder: folder.to_owned() })
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
            // The lock of the system's packages is not ours to take; target/vm has its own.
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

/// The name of the one entry of a folder.
fn only_entry(folder: &Path) -> Result<String> {
    let mut entries = fs::read_dir(folder).with_context(|| format!("error listing {}", folder.display()))?;
    match (entries.next(), entries.next()) {
        (Some(Ok(entry)), None) => Ok(entry.file_name().to_string_lossy().into_owned()),
        _ => bail!("{} does not hold exactly one folder", folder.display()),
    }
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("error removing {}", folder.display()))
        }
        _ => Ok(()),
    }
}
