//! The files behind the shared regions: the hub makes them, and marks each with what proves whose it is.
//!
//! The VM can write all of its region at any time, the header included, and may be able to change the size of the file.
//! So the hub never maps it (a file cut short would be a SIGBUS), reads nothing back from it, and writes the
//! header anew before every introduction. What comes before the region, in a file that is shown to a VM as persistent
//! memory, it writes when it starts.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use virtio_wl::region::{CHALLENGE_LEN, DEVDAX_OFFSET, MAGIC, pmem};

use super::config::{RegionConfig, RegionLayout};
use crate::introduction::RegionProof;

/// Why the file of a region cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RegionFileError {
    /// The file cannot be opened or made.
    #[error("Cannot open or create the region {}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// What is there is no regular file.
    #[error("The region {} is not a regular file", path.display())]
    Kind {
        /// The file.
        path: PathBuf,
    },
    /// The file has another size than configured.
    #[error("The region {} has {actual} bytes and not the configured {expected}; stop the VM and remove it, or change size_mib", path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        actual: u64,
        /// The size that it should have.
        expected: u64,
    },
    /// The header cannot be written.
    #[error("Cannot write the header of the region {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel gives no random bytes.
    #[error("Cannot get random bytes for a challenge: {0}")]
    Random(#[source] io::Error),
}

/// The region of one VM.
#[derive(Debug)]
pub(super) struct SharedRegion {
    path: PathBuf,
    file: File,
    /// Where in the file the region begins.
    start: u64,
    proof: RegionProof,
}

impl SharedRegion {
    /// Opens the file of a region, or makes it: sparse, for this user only.
    pub(super) fn open(config: &RegionConfig) -> Result<Self, RegionFileError> {
        let RegionConfig { path, length, layout } = config;
        let start = if *layout == RegionLayout::Pmem { DEVDAX_OFFSET } else { 0 };
        let open_error = |source| RegionFileError::Open { path: path.to_owned(), source };
        make_parent(path).map_err(open_error)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NOCTTY | libc::O_NONBLOCK)
            .open(path)
            .map_err(open_error)?;
        let metadata = file.metadata().map_err(open_error)?;
        if !metadata.is_file() {
            return Err(RegionFileError::Kind { path: path.to_owned() });
        }
        if metadata.len() == 0 {
            file.set_len(*length).map_err(open_error)?;
        }
        let region = Self {
            path: path.clone(),
            file,
            start,
            proof: RegionProof { challenge: random_challenge()?, length: length.saturating_sub(start) },
        };
        region.prove()?;
        if *layout == RegionLayout::Pmem {
            let write_error = |source| RegionFileError::Write { path: path.clone(), source };
            pmem::prepare(&region.file, *length).map_err(write_error)?;
        }
        Ok(region)
    }

    /// Writes magic and challenge into the header, and gives what to tell the gate.
    pub(super) fn prove(&self) -> Result<&RegionProof, RegionFileError> {
        let write_error = |source| RegionFileError::Write { path: self.path.clone(), source };
        let actual = self.file.metadata().map_err(write_error)?.len();
        let expected = self.start.saturating_add(self.proof.length);
        if actual != expected {
            return Err(RegionFileError::Size { path: self.path.clone(), actual, expected });
        }
        let mut header = [0; MAGIC.len() + CHALLENGE_LEN];
        let (magic, challenge) = header.split_at_mut(MAGIC.len());
        magic.copy_from_slice(&MAGIC);
        challenge.copy_from_slice(&self.proof.challenge);
        self.file.write_all_at(&header, self.start).map_err(write_error)?;
        Ok(&self.proof)
    }

    /// Device and inode: two VMs must not share one file under two names.
    pub(super) fn identity(&self) -> Result<(u64, u64), RegionFileError> {
        let open_error = |source| RegionFileError::Open { path: self.path.clone(), source };
        self.file.metadata().map(|metadata| (metadata.dev(), metadata.ino())).map_err(open_error)
    }

    /// The bytes of the file that are the region.
    pub(super) fn range(&self) -> Range<u32> {
        let end = self.start.saturating_add(self.proof.length);
        // The configuration takes no longer files.
        u32::try_from(self.start).unwrap_or(0)..u32::try_from(end).unwrap_or(0)
    }
}

impl AsFd for SharedRegion {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Makes the directory of `path`, for this user only, if it is missing.
pub(super) fn make_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.exists() => fs::DirBuilder::new().recursive(true).mode(0o700).create(parent),
        _ => Ok(()),
    }
}

fn random_challenge() -> Result<[u8; CHALLENGE_LEN], RegionFileError> {
    let mut challenge = [0; CHALLENGE_LEN];
    let mut filled = 0;
    while let Some(rest) = challenge.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(RegionFileError::Random(error.into())),
        }
    }
    Ok(challenge)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path, length: u64) -> Result<SharedRegion, RegionFileError> {
        SharedRegion::open(&RegionConfig { path: path.to_owned(), length, layout: RegionLayout::Plain })
    }

    #[test]
    fn a_new_region_is_sparse_private_and_marked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/work.region");
        let region = open(&path, 64 << 20).unwrap();
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!(metadata.len(), 64 << 20);
        assert_eq!(metadata.mode() & 0o777, 0o600);
        assert!(metadata.blocks() < 1024, "{} blocks", metadata.blocks());
        let content = fs::read(&path).unwrap();
        assert_eq!(content[..8], MAGIC);
        assert_eq!(content[8..40], region.prove().unwrap().challenge);
        assert!(content[40..].iter().all(|&byte| byte == 0));
    }

    #[test]
    fn a_header_that_the_vm_wrote_over_is_written_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("region");
        let region = open(&path, 1 << 20).unwrap();
        File::options().write(true).open(&path).unwrap().write_all_at(&[0xff; 64], 0).unwrap();
        let challenge = region.prove().unwrap().challenge;
        assert_eq!(fs::read(&path).unwrap()[8..40], challenge);
    }

    #[test]
    fn every_hub_writes_another_challenge_and_leaves_the_pixels() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("region");
        let first = open(&path, 1 << 20).unwrap();
        first.file.write_all_at(b"pixels", 4096).unwrap();
        let second = open(&path, 1 << 20).unwrap();
        assert_ne!(first.proof.challenge, second.proof.challenge);
        assert_eq!(&fs::read(&path).unwrap()[4096..4102], b"pixels");
    }

    #[test]
    fn a_file_of_another_size_or_kind_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("region");
        let region = open(&path, 1 << 20).unwrap();
        assert!(matches!(open(&path, 2 << 20), Err(RegionFileError::Size { .. })));
        region.file.set_len(4096).unwrap();
        assert!(matches!(region.prove(), Err(RegionFileError::Size { actual: 4096, .. })));
        assert!(matches!(open(Path::new("/dev/null"), 1 << 20), Err(RegionFileError::Kind { .. })));
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(open(&link, 1 << 20), Err(RegionFileError::Open { .. })));
    }

    #[test]
    fn a_file_for_persistent_memory_has_the_region_behind_what_the_kernel_looks_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("region");
        let length = 8 << 20;
        let config = RegionConfig { path: path.clone(), length, layout: RegionLayout::Pmem };
        let region = SharedRegion::open(&config).unwrap();
        assert_eq!(region.range(), 2 << 20..8 << 20);
        let proof = region.prove().unwrap();
        assert_eq!(proof.length, 6 << 20);
        let content = fs::read(&path).unwrap();
        assert!(content[4096..].starts_with(b"NVDIMM_DAX_INFO\0"));
        let found = virtio_wl::Region::open(&path).unwrap();
        assert_eq!((found.start(), found.len()), (2 << 20, proof.length));
        assert_eq!(found.challenge().unwrap(), proof.challenge);
    }
}
