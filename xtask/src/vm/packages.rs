//! What the virtual machines are made of: QEMU, firmware, a kernel and busybox, as Debian packages of one release.
//!
//! They are unpacked below target/vm with everything that they need (`debian`); QEMU runs with the libraries that it
//! was built for.
//!
//! What was unpacked is used, without asking the network, until the list of packages changes or an update is asked
//! for. A lock keeps two commands from unpacking at the same time.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};

use crate::debian::{self, Apt};
use crate::steps;

/// The release all packages are of: its QEMU is 10.0 (that of the release before crashes recent kernels under TCG),
/// its kernel 6.12.
const RELEASE: &str = "trixie";

/// The packages that are asked for; apt adds what they depend on.
const PACKAGES: &[&str] =
    &["qemu-system-x86", "seabios", "linux-image-cloud-amd64", "kmod", "busybox-static"];

/// What guests need that have graphics devices, unpacked beside the others because most guests do without: the cloud kernel
/// knows no graphics card and no console. And seatd, which would start by itself if it were installed here.
const GRAPHICS_PACKAGES: &[&str] = &["linux-image-amd64", "kmod", "seatd"];

/// The packages, unpacked.
#[derive(Debug)]
pub struct Packages {
    /// QEMU, firmware and busybox.
    root: PathBuf,
    /// The kernel; the same folder, or that of the kernel with graphics.
    kernel_root: PathBuf,
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
        let _lock = lock(vm_folder)?;
        let root = unpacked(vm_folder, RELEASE, PACKAGES, update)?;
        let kernel_release = only_entry(&root.join("usr/lib/modules"))?;
        Ok(Self { kernel_root: root.clone(), root, kernel_release })
    }

    /// The same with the kernel for guests that have graphics devices.
    ///
    /// # Errors
    /// As for [`get`](Self::get).
    pub fn with_graphics(vm_folder: &Path, update: bool) -> Result<Self> {
        let this = Self::get(vm_folder, update)?;
        let _lock = lock(vm_folder)?;
        let kernel_root = unpacked(vm_folder, &format!("{RELEASE}-graphics"), GRAPHICS_PACKAGES, update)?;
        let kernel_release = only_entry(&kernel_root.join("usr/lib/modules"))?;
        Ok(Self { kernel_root, kernel_release, ..this })
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
        self.kernel_root.join("boot").join(format!("vmlinuz-{}", self.kernel_release))
    }

    /// What `uname -r` says in a guest.
    pub fn kernel_release(&self) -> &str {
        &self.kernel_release
    }

    /// The folder of the kernel's modules.
    pub fn modules(&self) -> PathBuf {
        self.kernel_root.join("usr/lib/modules").join(&self.kernel_release)
    }

    /// A file of the packages that the kernel came with.
    pub fn beside_kernel(&self, path: &str) -> PathBuf {
        self.kernel_root.join(path)
    }

    /// The shell and tools of a guest, one static program.
    pub fn busybox(&self) -> PathBuf {
        self.root.join("usr/bin/busybox")
    }

    /// A command that starts QEMU, without any machine yet.
    pub fn qemu(&self) -> Command {
        let mut command = debian::program(&self.root, "usr/bin/qemu-system-x86_64");
        for data in ["usr/share/qemu", "usr/share/seabios"] {
            command.arg("-L").arg(self.root.join(data));
        }
        command.env("QEMU_MODULE_DIR", self.root.join("usr/lib/x86_64-linux-gnu/qemu"));
        command
    }
}

/// Keeps other commands from unpacking at the same time, until it is dropped.
fn lock(vm_folder: &Path) -> Result<File> {
    fs::create_dir_all(vm_folder).with_context(|| format!("error creating {}", vm_folder.display()))?;
    let lock = File::create(vm_folder.join("lock")).context("error creating the lock of target/vm")?;
    flock(&lock, FlockOperation::LockExclusive).context("error locking target/vm")?;
    Ok(lock)
}

/// The folder `name` with the packages unpacked, fetched if it is not there or has others.
fn unpacked(vm_folder: &Path, name: &str, packages: &[&str], update: bool) -> Result<PathBuf> {
    let root = vm_folder.join(name);
    let stamp = root.join("packages.txt");
    let wanted = packages.join(" ");
    let have = fs::read_to_string(&stamp).unwrap_or_default();
    if update || have.lines().next() != Some(&wanted) {
        let versions = fetch(vm_folder, &root, packages)?;
        fs::write(&stamp, format!("{wanted}\n{versions}"))
            .with_context(|| format!("error writing {}", stamp.display()))?;
    }
    Ok(root)
}

/// Fetches and unpacks the packages, a kernel among them, into `root`, whose old content goes. Returns names and versions.
fn fetch(vm_folder: &Path, root: &Path, packages: &[&str]) -> Result<String> {
    let apt = Apt::prepare(&vm_folder.join("apt"), RELEASE)?;
    let fresh = root.with_extension("new");
    debian::remove(&fresh)?;
    fs::create_dir(&fresh).with_context(|| format!("error creating {}", fresh.display()))?;
    let versions = apt.unpack(packages, &fresh)?;
    let modules = fresh.join("usr/lib/modules");
    let release = only_entry(&modules)?;
    let mut index = debian::program(&fresh, "usr/sbin/depmod");
    index.arg("--basedir").arg(fresh.join("usr")).arg(&release);
    steps::run("virtual machines: index of kernel modules", &mut index)?;

    debian::remove(root)?;
    fs::rename(&fresh, root).with_context(|| format!("error renaming {}", fresh.display()))?;
    Ok(versions.iter().map(|version| format!("{version}\n")).collect())
}

/// The name of the one entry of a folder.
fn only_entry(folder: &Path) -> Result<String> {
    let mut entries = fs::read_dir(folder).with_context(|| format!("error listing {}", folder.display()))?;
    match (entries.next(), entries.next()) {
        (Some(Ok(entry)), None) => Ok(entry.file_name().to_string_lossy().into_owned()),
        _ => bail!("{} does not hold exactly one folder", folder.display()),
    }
}
