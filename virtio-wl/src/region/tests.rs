use std::io::Write as _;
use std::os::fd::AsFd as _;

use super::*;
use crate::wire::MirrorRect;

const LEN: u64 = 64 * 1024;

fn rect(offset: u64, row_len: u32, stride: u32, rows: u32) -> MirrorRect {
    MirrorRect { offset, row_len, stride, rows }
}

fn content(region: &Region, offset: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    region.read_into(offset, &mut bytes).expect("within the region");
    bytes
}

fn file_with(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().expect("temporary file");
    file.write_all(bytes).expect("written");
    file
}

#[test]
fn two_mappings_of_one_file_see_each_others_writes() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("r");
    let one = Region::create(&path, LEN).expect("created");
    let two = Region::open(&path).expect("opened");
    assert_eq!(two.len(), LEN);
    assert_eq!(one.id(), two.id());
    one.write(5000, b"pixels").expect("within the region");
    assert_eq!(content(&two, 5000, 6), b"pixels");
}

#[test]
fn the_challenge_reaches_the_other_side() {
    let one = Region::create_memfd(LEN).expect("created");
    let two = Region::from_fd(one.try_clone_fd().expect("duplicated")).expect("opened");
    assert_eq!(two.challenge().expect("read"), [0; 32]);
    one.set_challenge(&[7; 32]).expect("written");
    assert_eq!(two.challenge().expect("read"), [7; 32]);
    assert_eq!(content(&two, 0, 8), MAGIC);
}

#[test]
fn a_file_without_the_magic_is_no_region() {
    let file = file_with(&vec![0; 8192]);
    assert!(matches!(Region::from_fd(file.into()), Err(RegionError::Magic)));
    for len in [0, 1, 4096, 8193] {
        let file = file_with(&vec![0; len]);
        assert!(matches!(Region::from_fd(file.into()), Err(RegionError::Size(_))), "{len}");
    }
}

#[test]
fn sizes_that_no_pool_can_have_are_refused() {
    for len in [0, 4096, 8191, 8193, MAX_MEMORY + 4096, u64::MAX] {
        assert!(matches!(Region::create_memfd(len), Err(RegionError::Size(_))), "{len}");
    }
}

#[test]
fn anonymous_memory_cannot_be_resized() {
    let region = Region::create_memfd(LEN).expect("created");
    let file = File::from(region.try_clone_fd().expect("duplicated"));
    file.set_len(4096).expect_err("sealed against shrinking");
    file.set_len(LEN * 2).expect_err("sealed against growing");
}

#[test]
fn a_second_lock_is_refused_until_the_first_is_gone() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("r");
    let one = Region::create(&path, LEN).expect("created");
    let two = Region::open(&path).expect("opened");
    one.lock_exclusive().expect("free");
    assert!(matches!(two.lock_exclusive(), Err(RegionError::InUse)));
    drop(one);
    two.lock_exclusive().expect("free again");
}

#[test]
fn accesses_outside_are_refused_and_change_nothing() {
    let region = Region::create_memfd(LEN).expect("created");
    let before = content(&region, 4096, 4096);
    for (offset, len) in [(LEN, 1), (LEN - 1, 2), (u64::MAX, 1), (u64::MAX - 1, 4096)] {
        assert!(region.write(offset, &vec![1; len]).is_err());
        assert!(region.read_into(offset, &mut vec![1; len]).is_err());
    }
    let source = file_with(&[1; 4096]);
    for bad in [
        rect(LEN - 10, 11, 11, 1),
        rect(4096, 16, 8, 2),
        rect(4096, 0, 8, 2),
        rect(4096, 8, 8, 0),
        rect(4096, 8, u32::MAX, u32::MAX),
        rect(u64::MAX - 4, 8, 8, 1),
    ] {
        assert!(region.write_rows(bad, &[1; 16]).is_err(), "{bad:?}");
        assert!(region.copy_from_fd_rows(source.as_fd(), 0, bad).is_err(), "{bad:?}");
        assert!(region.copy_to_fd_rows(source.as_fd(), 0, bad).is_err(), "{bad:?}");
    }
    assert_eq!(content(&region, 4096, 4096), before);
}

#[test]
fn only_the_rectangle_is_copied_from_a_file() {
    let region = Region::create_memfd(LEN).expect("created");
    let source: Vec<u8> = (1..=100).collect();
    let file = file_with(&source);
    region.copy_from_fd_rows(file.as_fd(), 12, rect(8192, 3, 10, 3)).expect("copied");
    let mut expected = vec![0; 30];
    for row in 0..3 {
        let (to, from) = (row * 10, 12 + row * 10);
        expected[to..to + 3].copy_from_slice(&source[from..from + 3]);
    }
    assert_eq!(content(&region, 8192, 30), expected);

    region.copy_from_fd_rows(file.as_fd(), 0, rect(8192, 10, 10, 10)).expect("copied");
    assert_eq!(content(&region, 8192, 100), source);
}

#[test]
fn rows_come_back_into_a_file() {
    let region = Region::create_memfd(LEN).expect("created");
    region.write_rows(rect(4096, 2, 4, 2), b"abcd").expect("written");
    let file = file_with(&[b'.'; 8]);
    region.copy_to_fd_rows(file.as_fd(), 1, rect(4096, 2, 4, 2)).expect("copied");
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, 0).expect("read");
    assert_eq!(&bytes, b".ab..cd.");
}

#[test]
fn a_file_that_is_too_short_is_an_error_and_no_signal() {
    let region = Region::create_memfd(LEN).expect("created");
    let file = file_with(&[1; 5000]);
    let error = region.copy_from_fd_rows(file.as_fd(), 0, rect(4096, 4096, 4096, 2)).expect_err("too short");
    assert!(matches!(error, RegionError::SourceEnded(5000)), "{error}");
    assert_eq!(content(&region, 4096, 5000), [1; 5000]);
}

#[test]
fn a_region_file_that_was_cut_short_is_an_error_and_no_signal() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("r");
    let region = Region::create(&path, LEN).expect("created");
    OpenOptions::new().write(true).open(&path).expect("opened").set_len(0).expect("truncated");
    assert!(matches!(region.challenge(), Err(RegionError::Header(_))));
}

/// A file of `len` bytes laid out as a VMM presents it to a guest as persistent memory: what the guest's kernel keeps,
/// then the region.
fn devdax_layout(len: u64) -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("pmem");
    let file = File::options().read(true).write(true).create_new(true).open(&path).expect("created");
    file.set_len(len).expect("sized");
    file.write_all_at(b"NVDIMM_DAX_INFO\0", 4096).expect("written");
    file.write_all_at(&MAGIC, DEVDAX_OFFSET).expect("written");
    (dir, path)
}

#[test]
fn a_region_behind_the_first_2_mib_of_a_file_is_found() {
    let (_dir, path) = devdax_layout(DEVDAX_OFFSET + LEN);
    let region = Region::open(&path).expect("found");
    assert_eq!((region.start(), region.len()), (DEVDAX_OFFSET, LEN));
    region.set_challenge(&[7; 32]).expect("written");
    region.write(LEN - 6, b"pixels").expect("within the region");
    assert!(region.write(LEN - 5, b"pixels").is_err());
    assert_eq!(region.challenge().expect("read"), [7; 32]);
    let mut bytes = [0; 6];
    let file = File::open(&path).expect("opened");
    file.read_exact_at(&mut bytes, DEVDAX_OFFSET + LEN - 6).expect("read");
    assert_eq!(&bytes, b"pixels");
    file.read_exact_at(&mut bytes, DEVDAX_OFFSET + 8).expect("read");
    assert_eq!(bytes, [7; 6]);
}

#[test]
fn a_region_is_looked_for_where_it_is_said_to_begin_and_nowhere_else() {
    let (_dir, path) = devdax_layout(DEVDAX_OFFSET + LEN);
    let open = || OwnedFd::from(File::options().read(true).write(true).open(&path).expect("opened"));
    assert!(matches!(Region::from_fd_at(open(), 0), Err(RegionError::Magic)));
    assert_eq!(Region::from_fd_at(open(), DEVDAX_OFFSET).expect("there").start(), DEVDAX_OFFSET);
    for start in [DEVDAX_OFFSET + LEN, DEVDAX_OFFSET + LEN + 4096, u64::MAX, DEVDAX_OFFSET + 1] {
        assert!(matches!(Region::from_fd_at(open(), start), Err(RegionError::Size(_))), "{start}");
    }
}

#[test]
fn a_file_with_two_beginnings_is_the_region_at_its_first_byte() {
    let (_dir, path) = devdax_layout(DEVDAX_OFFSET + LEN);
    File::options().write(true).open(&path).expect("opened").write_all_at(&MAGIC, 0).expect("written");
    assert_eq!(Region::open(&path).expect("found").start(), 0);
}

#[test]
fn a_device_that_is_no_memory_is_an_error_that_says_so() {
    let error = Region::open(Path::new("/dev/null")).expect_err("no region");
    assert!(error.to_string().starts_with("this character device cannot be a region"), "{error}");
}

#[test]
fn a_device_node_that_may_not_be_opened_comes_with_advice() {
    let denied = || io::Error::from_raw_os_error(libc::EACCES);
    let message = |path: &str| RegionError::Open { path: path.into(), source: denied() }.to_string();
    assert!(message("/dev/dax0.0").contains("udev"));
    assert!(message("/sys/bus/pci/devices/0000:00:04.0/resource2").contains("owner"));
    assert!(message("/home/me/region").ends_with("(os error 13)"));
}
