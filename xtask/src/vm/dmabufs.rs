//! `cargo xtask vm dmabufs`: the tests of wl-forward that need dma-bufs.
//!
//! The guest has three kinds: those that its kernel makes of memory (udmabuf), those of a virtio-gpu, and those of vgem, a
//! device without hardware that draws for as long as a test says.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};

use super::guest::Machine;
use super::initramfs::Initramfs;
use super::packages::Packages;
use super::suites::{ran_everything, test_program};
use super::{MEMORY_MIB, Session};

const MODULES: &[&str] = &["vgem", "virtio_gpu"];
const SUITE_DEADLINE: Duration = Duration::from_secs(300);

/// Boots a guest and runs the tests in it.
///
/// # Errors
/// When something cannot be built or booted, or a test fails.
pub fn run(packages: &Packages, out: Option<&Path>) -> Result<()> {
    let mut initramfs = Initramfs::new(packages, MODULES)?;
    initramfs.program("bin/forward", &test_program("forward")?)?;
    let session = Session::new(out, "dmabufs")?;
    session.run(|processes| {
        let image = session.folder.join("initramfs");
        initramfs.write(&image)?;
        let mut machine = Machine::new("guest", MEMORY_MIB);
        machine.gpu();
        let mut guest = machine.start(packages, &image, processes, &session.folder, &session.logs)?;
        guest.wait(processes)?;
        eprintln!("==> wl-forward and dma-bufs, in the guest");
        let outcome = guest.run("VITRAIL_GRAPHICS_GUEST=1 forward dmabuf", SUITE_DEADLINE)?;
        if outcome.status != 0 || !ran_everything(&outcome.text) {
            bail!("failed in the guest");
        }
        Ok(())
    })
}
