//! What a region can be made of, recognised from the descriptor.
//!
//! | backing | recognised by | length | can become shorter |
//! |---|---|---|---|
//! | sealed memory | a file with `F_SEAL_SHRINK` | fstat(2) | no |
//! | file | any other regular file | fstat(2) | yes, by whoever may write it |
//! | PCI resource | a file on sysfs: the BAR of an ivshmem device | fstat(2) | no |
//! | devdax | a character device of the `dax` subsystem | `size` in its folder of sysfs | no |
//! | virtio_wl | whoever had the device allocate it knows ([`crate::wl0`]) | what was asked for | no |
//!
//! Files and sealed memory can be read with pread(2); the others only through a mapping. A devdax device is mapped in
//! multiples of its alignment (2 MiB as a rule), both offset and length; everything else in pages.

use std::fs;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Dev, FileType, SealFlags};

use super::{PAGE, RegionError};

/// Where the kernel describes devices by their numbers.
const CHARACTER_DEVICES: &str = "/sys/dev/char";

/// What a devdax device is mapped in where the kernel does not say: the smallest it uses by default.
const DEVDAX_ALIGNMENT: u64 = 2 << 20;

/// `f_type` of sysfs (linux/magic.h).
const SYSFS_MAGIC: i64 = 0x6265_6572;

/// What a region is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// Memory that is sealed against becoming shorter.
    Sealed,
    /// A file. Whoever may write it may cut it short, and mappings of it then fault.
    File,
    /// The memory of a PCI device.
    Pci,
    /// A devdax device: persistent memory, or what a VMM presents as such.
    DevDax,
    /// Memory of a virtio_wl device, which the host has as a file.
    VirtioWl,
}

impl Backing {
    /// Whether the bytes can be read without a mapping.
    pub(super) fn is_readable(self) -> bool {
        matches!(self, Self::Sealed | Self::File)
    }
}

impl std::fmt::Display for Backing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Sealed => "sealed memory",
            Self::File => "file",
            Self::Pci => "PCI resource",
            Self::DevDax => "devdax device",
            Self::VirtioWl => "virtio_wl memory",
        })
    }
}

/// What there is behind a descriptor, whether or not it holds a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// What it is.
    pub backing: Backing,
    /// Bytes that can be mapped.
    pub len: u64,
    /// What offset and length of a mapping must be multiples of, in bytes.
    pub alignment: u64,
}

impl Extent {
    /// Examines a descriptor.
    ///
    /// # Errors
    ///
    /// It is nothing that can be a region, or the kernel does not say how long it is.
    pub fn of(fd: BorrowedFd<'_>) -> Result<Self, RegionError> {
        let stat = rustix::fs::fstat(fd).map_err(RegionError::Examine)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                let len = u64::try_from(stat.st_size).unwrap_or(0);
                Ok(Self { backing: file_backing(fd)?, len, alignment: PAGE })
            }
            FileType::CharacterDevice => devdax(&device_folder(Path::new(CHARACTER_DEVICES), stat.st_rdev)),
            FileType::Fifo => Err(RegionError::Kind("a pipe")),
            FileType::Socket => Err(RegionError::Kind("a socket")),
            FileType::Directory => Err(RegionError::Kind("a directory")),
            FileType::BlockDevice => Err(RegionError::Kind("a block device")),
            _ => Err(RegionError::Kind("this file")),
        }
    }
}

fn file_backing(fd: BorrowedFd<'_>) -> Result<Backing, RegionError> {
    if rustix::fs::fstatfs(fd).map_err(RegionError::Examine)?.f_type == SYSFS_MAGIC {
        return Ok(Backing::Pci);
    }
    // Files on file systems without seals have none.
    let seals = rustix::fs::fcntl_get_seals(fd).unwrap_or(SealFlags::empty());
    Ok(if seals.contains(SealFlags::SHRINK) { Backing::Sealed } else { Backing::File })
}

fn device_folder(devices: &Path, device: Dev) -> PathBuf {
    devices.join(format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device)))
}

/// Reads what the kernel says of a character device in its folder of sysfs.
fn devdax(folder: &Path) -> Result<Extent, RegionError> {
    let subsystem = fs::read_link(folder.join("subsystem")).unwrap_or_default();
    if subsystem.file_name().is_none_or(|name| name != "dax") {
        return Err(RegionError::Kind("this character device"));
    }
    let size = number(&folder.join("size")).map_err(RegionError::DevDax)?;
    // Kernels before 5.10 say it of the device below.
    let alignment = number(&folder.join("align"))
        .or_else(|_| number(&folder.join("device/align")))
        .ok()
        .filter(|alignment| alignment.is_power_of_two() && *alignment >= PAGE)
        .unwrap_or(DEVDAX_ALIGNMENT);
    // What is behind the last whole unit cannot be mapped.
    Ok(Extent { backing: Backing::DevDax, len: size - size % alignment, alignment })
}

fn number(path: &Path) -> io::Result<u64> {
    let text = fs::read_to_string(path)?;
    let text = text.trim();
    let number = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A folder such as the kernel has for a devdax device.
    fn imitation(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("temporary directory");
        symlink("../../../../bus/dax", dir.path().join("subsystem")).expect("link");
        fs::create_dir(dir.path().join("device")).expect("directory");
        for (name, content) in files {
            fs::write(dir.path().join(name), content).expect("file");
        }
        dir
    }

    #[test]
    fn a_devdax_device_has_the_size_and_alignment_that_the_kernel_says() {
        for (files, expected) in [
            (&[("size", "134217728\n"), ("align", "2097152\n")][..], (128 << 20, 2 << 20)),
            (&[("size", "134217728"), ("device/align", "4096")], (128 << 20, 4096)),
            (&[("size", "134217728")], (128 << 20, 2 << 20)),
            (&[("size", "0x600000"), ("align", "0x400000")], (4 << 20, 4 << 20)),
            (&[("size", "4194304"), ("align", "3")], (4 << 20, 2 << 20)),
        ] {
            let dir = imitation(files);
            let extent = devdax(dir.path()).expect("a devdax device");
            assert_eq!(
                (extent.backing, extent.len, extent.alignment),
                (Backing::DevDax, expected.0, expected.1)
            );
        }
        for files in [&[][..], &[("size", "much")], &[("size", "-1")]] {
            assert!(matches!(devdax(imitation(files).path()), Err(RegionError::DevDax(_))), "{files:?}");
        }
    }

    #[test]
    fn the_folder_of_a_device_is_named_by_its_numbers() {
        let device = rustix::fs::makedev(252, 3);
        assert_eq!(device_folder(Path::new("/s"), device), Path::new("/s/252:3"));
    }

    #[test]
    fn other_devices_and_what_is_no_memory_are_refused() {
        let null = File::open("/dev/null").expect("opened");
        let dir = File::open("/").expect("opened");
        let (pipe, _write) = rustix::pipe::pipe().expect("a pipe");
        for fd in [null.as_fd(), dir.as_fd(), pipe.as_fd()] {
            assert!(matches!(Extent::of(fd), Err(RegionError::Kind(_))));
        }
    }

    #[test]
    fn memory_counts_as_sealed_once_it_cannot_shrink() {
        let fd = crate::region::memfd(c"test").expect("memory");
        rustix::fs::ftruncate(&fd, 8192).expect("sized");
        let of = || Extent::of(fd.as_fd()).expect("examined");
        assert_eq!(of(), Extent { backing: Backing::File, len: 8192, alignment: PAGE });
        rustix::fs::fcntl_add_seals(&fd, SealFlags::SHRINK).expect("sealed");
        assert_eq!(of().backing, Backing::Sealed);
    }

    #[test]
    fn a_file_of_sysfs_is_a_resource_of_a_device() {
        let Ok(file) = File::open("/sys/kernel/notes").or_else(|_| File::open("/sys/kernel/uevent_seqnum"))
        else {
            // Not by eprintln!, which nobody sees of a test that passes.
            let text = b"LEFT OUT: a_file_of_sysfs_is_a_resource_of_a_device: there is no sysfs here\n";
            let _ = io::Write::write_all(&mut io::stderr(), text);
            return;
        };
        assert_eq!(Extent::of(file.as_fd()).expect("examined").backing, Backing::Pci);
    }
}
