//! Why a region cannot be used.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use thiserror::Error;

use super::MAX_LEN;
use crate::address::AddressError;

/// Why a region cannot be used.
#[derive(Debug, Error)]
pub enum RegionError {
    /// The file cannot be opened.
    #[error("cannot open the region `{path}`: {source}{}", advice(path, source))]
    Open {
        /// Which file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The inherited descriptor cannot be used.
    #[error("cannot use the inherited region: {0}")]
    Inherit(#[from] AddressError),
    /// The file or memory cannot be created.
    #[error("cannot create a region of {len} bytes: {source}")]
    Create {
        /// Bytes asked for.
        len: u64,
        /// What the kernel said.
        source: io::Error,
    },
    /// The size is no size of a region.
    #[error("{0} bytes are no size for a region: it must be a multiple of 4096 from 8192 to {MAX_LEN}")]
    Size(u64),
    /// The size is no size of a persistent memory with a region in it.
    #[error(
        "{0} bytes are no size for a region in persistent memory: it must be a multiple of 2 MiB from 4 MiB on and at most {MAX_LEN}"
    )]
    PmemSize(u64),
    /// The file does not begin with [`MAGIC`](super::MAGIC).
    #[error("this is not a region: there is no VTRLRGN1 at its beginning; the hub writes it when it starts")]
    Magic,
    /// A PCI device answers nothing but ones.
    #[error(
        "the PCI device does not answer: enable it by writing 1 to the file `enable` beside its resource"
    )]
    Disabled,
    /// The descriptor is of nothing that can be a region.
    #[error("{0} cannot be a region: it takes memory, a file, a PCI resource or a devdax device")]
    Kind(&'static str),
    /// The kernel says of a devdax device what cannot be.
    #[error("cannot find out the size of the devdax device: {0}")]
    DevDax(io::Error),
    /// Two devices are regions, and none was named.
    #[error("`{0}` and `{1}` are both regions: name the one that is meant")]
    Several(PathBuf, PathBuf),
    /// The size cannot be found out.
    #[error("cannot examine the region: {0}")]
    Examine(Errno),
    /// Mapping failed.
    #[error("cannot map the region: {0}")]
    Map(Errno),
    /// Another process holds the lock.
    #[error("the region is in use by another process")]
    InUse,
    /// Locking failed for another reason.
    #[error("cannot lock the region: {0}")]
    Lock(Errno),
    /// An access outside the region.
    #[error("access to {len} bytes at {offset} is outside the region")]
    OutOfBounds {
        /// First byte.
        offset: u64,
        /// Bytes.
        len: u64,
    },
    /// A file that was to be copied is shorter than it should be, or cannot be read or written.
    #[error("cannot copy between a file and the region: {0}")]
    Copy(Errno),
    /// A file ended before all its bytes were copied.
    #[error("a file ended at byte {0} while it was copied into the region")]
    SourceEnded(u64),
    /// The header cannot be read or written.
    #[error("cannot access the header of the region: {0}")]
    Header(io::Error),
}

/// What can be done about a device that cannot be opened.
fn advice(path: &Path, source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied if path.starts_with("/dev") => {
            "; give this user the device node (a udev rule with OWNER or GROUP), or pass an open one as fd:N"
        }
        io::ErrorKind::PermissionDenied if path.starts_with("/sys") => {
            "; change the owner of the resource file, or pass an open one as fd:N"
        }
        _ => "",
    }
}
