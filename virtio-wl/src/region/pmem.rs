//! Files that a VMM shows to a VM as persistent memory (virtio-pmem), made so that the guest's kernel turns them into a
//! devdax device by itself, as `/dev/dax0.0`.
//!
//! The kernel looks for an *info block* 4096 bytes into a persistent memory. With the one written here it keeps its
//! description of the pages in its own memory and hands out everything from [`DEVDAX_OFFSET`] on, in units of that size.
//! It is the block that `ndctl create-namespace --mode=devdax --map=mem` leaves; the layout is the kernel's
//! (`struct nd_pfn_sb` in drivers/nvdimm/pfn.h, all numbers little-endian):
//!
//! | offset | bytes | field | here |
//! |---|---|---|---|
//! | 0 | 16 | signature | `NVDIMM_DAX_INFO` and a zero |
//! | 16 | 16 | UUID | random |
//! | 32 | 16 | UUID of the namespace | zero: it has no label |
//! | 48 | 4 | flags | 0 |
//! | 52 | 2, 2 | major and minor version | 1, 4 |
//! | 56 | 8 | where the data begins | [`DEVDAX_OFFSET`] |
//! | 64 | 8 | pages of data | |
//! | 72 | 4 | where the kernel describes the pages | 1: in its own memory |
//! | 76 | 4, 4 | padding at start and end | 0, 0 |
//! | 84 | 4 | alignment | [`DEVDAX_OFFSET`] |
//! | 88 | 4, 2 | size of a page and of its description | 4096, 64 |
//! | 4088 | 8 | checksum | Fletcher's, over 32-bit words, of the block with this field zero |
//!
//! **Whoever can write the info block decides where the kernel that reads it next puts that description.** A VM that must
//! not be believed gets only what lies behind the block; `docs/deploy.md` says how.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::{DEVDAX_OFFSET, MAX_LEN, PAGE, Region, RegionError, sized_file};

/// Where the info block is, in bytes.
const INFO_OFFSET: u64 = 4096;
const INFO_LEN: usize = 4096;
const SIGNATURE: [u8; 16] = *b"NVDIMM_DAX_INFO\0";
/// `PFN_MODE_RAM`.
const MODE_RAM: u32 = 1;
/// Bytes that the kernel uses to describe a page, at most.
const PAGE_DESCRIPTION: u16 = 64;

impl Region {
    /// Makes `path` a file of `len` bytes (mode 0600) to be shown to VMs as persistent memory, and a region in it, which
    /// begins at [`DEVDAX_OFFSET`]. A file that has this length already keeps its pixels.
    ///
    /// # Errors
    ///
    /// The length is no multiple of 2 MiB from 4 MiB on or too large, or the file cannot be made.
    pub fn create_pmem(path: &Path, len: u64) -> Result<Self, RegionError> {
        let create = |source| RegionError::Create { len, source };
        if !len.is_multiple_of(DEVDAX_OFFSET) || !(2 * DEVDAX_OFFSET..=MAX_LEN).contains(&len) {
            return Err(RegionError::PmemSize(len));
        }
        let file = sized_file(path, len)?;
        prepare(&file, len).map_err(create)?;
        Self::map(file, DEVDAX_OFFSET)?.format()
    }
}

/// Writes the info block of a persistent memory of `len` bytes into the file that is its content. `len` should be a multiple of
/// [`DEVDAX_OFFSET`], or the kernel makes no device of it.
///
/// # Errors
///
/// The file cannot be written, or there are no random numbers.
pub fn prepare(file: &File, len: u64) -> io::Result<()> {
    let mut uuid = [0; 16];
    getrandom(&mut uuid)?;
    file.write_all_at(&info_block(len, uuid), INFO_OFFSET)
}

fn getrandom(into: &mut [u8; 16]) -> io::Result<()> {
    // The kernel gives up to 256 bytes at once, or none.
    rustix::rand::getrandom(into, rustix::rand::GetRandomFlags::empty())?;
    Ok(())
}

/// The info block of a persistent memory of `len` bytes.
fn info_block(len: u64, mut uuid: [u8; 16]) -> [u8; INFO_LEN] {
    // What RFC 9562 has for version and variant of random UUIDs.
    uuid[6] = uuid[6] & 0x0f | 0x40;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    let alignment = u32::try_from(DEVDAX_OFFSET).unwrap_or(u32::MAX);
    let page = u32::try_from(PAGE).unwrap_or(u32::MAX);
    let pages = len.saturating_sub(DEVDAX_OFFSET) / PAGE;
    let mut block = [0; INFO_LEN];
    let mut put = |offset: usize, bytes: &[u8]| block[offset..offset + bytes.len()].copy_from_slice(bytes);
    put(0, &SIGNATURE);
    put(16, &uuid);
    put(52, &1_u16.to_le_bytes());
    put(54, &4_u16.to_le_bytes());
    put(56, &DEVDAX_OFFSET.to_le_bytes());
    put(64, &pages.to_le_bytes());
    put(72, &MODE_RAM.to_le_bytes());
    put(84, &alignment.to_le_bytes());
    put(88, &page.to_le_bytes());
    put(92, &PAGE_DESCRIPTION.to_le_bytes());
    let checksum = fletcher(&block);
    block[INFO_LEN - 8..].copy_from_slice(&checksum.to_le_bytes());
    block
}

/// The sum of all words in the lower half, the sum of those sums in the upper half.
fn fletcher(block: &[u8; INFO_LEN]) -> u64 {
    let (words, _) = block.as_chunks::<4>();
    let (mut sum, mut sums) = (0_u32, 0_u64);
    for word in words {
        sum = sum.wrapping_add(u32::from_le_bytes(*word));
        sums = sums.wrapping_add(sum.into());
    }
    sums << 32 | u64::from(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_an_info_block_and_the_region_behind_it() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("pmem");
        let region = Region::create_pmem(&path, 8 << 20).expect("made");
        assert_eq!((region.start(), region.len()), (DEVDAX_OFFSET, (8 << 20) - DEVDAX_OFFSET));
        let mut block = [0; INFO_LEN];
        let file = File::open(&path).expect("opened");
        file.read_exact_at(&mut block, INFO_OFFSET).expect("read");
        assert_eq!(block[..16], SIGNATURE);
        assert_eq!(block[64..72], (6_u64 * 256).to_le_bytes());
        let found = block[INFO_LEN - 8..].to_vec();
        block[INFO_LEN - 8..].fill(0);
        assert_eq!(found, fletcher(&block).to_le_bytes());
        drop(region);
        assert_eq!(Region::open(&path).expect("found again").start(), DEVDAX_OFFSET);
    }

    #[test]
    fn the_checksum_sums_words_and_sums_of_words() {
        let mut block = [0; INFO_LEN];
        block[0] = 1;
        block[INFO_LEN - 4..].copy_from_slice(&u32::MAX.to_le_bytes());
        // The sum is 1 for 1023 words, and wraps to 0 with the last.
        assert_eq!(fletcher(&block), 1023 << 32);
    }

    #[test]
    fn a_length_that_no_devdax_device_can_have_is_refused() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("pmem");
        for len in [0, 2 << 20, (4 << 20) + 4096, 4 << 30] {
            assert!(matches!(Region::create_pmem(&path, len), Err(RegionError::PmemSize(_))), "{len}");
        }
        assert!(!path.exists());
    }
}
