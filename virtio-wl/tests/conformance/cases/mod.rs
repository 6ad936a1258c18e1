//! The cases, by theme. Each is run in both directions where the direction could matter.

pub mod data;
pub mod ends;
pub mod fds;
pub mod flow;
pub mod kinds;
pub mod readiness;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

fn borrowed(fds: &[OwnedFd]) -> Vec<BorrowedFd<'_>> {
    fds.iter().map(AsFd::as_fd).collect()
}

/// Descriptors of the kinds that a connection makes. Files are left out: the C library opens some of its own now and
/// then, in whatever thread.
fn open_descriptors() -> usize {
    let links = std::fs::read_dir("/proc/self/fd").expect("procfs");
    let targets = links.filter_map(|link| std::fs::read_link(link.ok()?.path()).ok());
    let kinds = ["socket:", "pipe:", "anon_inode:", "/memfd:"];
    targets.filter(|target| kinds.iter().any(|kind| target.to_string_lossy().starts_with(kind))).count()
}
