//! `cargo xtask vm gles`: what the screen shows when OpenGL draws it.
//!
//! QEMU's graphics device draws nothing by itself. Mesa draws for such devices by the processor (llvmpipe), into buffers that
//! they show: for vitrail that is a card with OpenGL like any other, if it is told to use it. The libraries are those of
//! this machine. They are large (the compiler of LLVM is among them), so they are loaded in this guest alone; and they are slow
//! in a machine that is emulated, so what is tried here is what cannot be tried without a screen.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::{
    COMMAND_DEADLINE, Desk, ENVIRONMENT, SCREEN, build, in_guest, initramfs, labels, other_consoles,
};
use crate::processes::Processes;
use crate::vm::Session;
use crate::vm::guest::Machine;
use crate::vm::packages::Packages;

/// The file system is in memory, twice while it is unpacked, and Mesa's libraries are large.
const MEMORY_MIB: u32 = 3072;
/// One that LLVM knows: it takes that of other guests for one of 32 bits, and ends the program.
const PROCESSOR: &str = "Nehalem";
/// Where this machine has its libraries.
const LIBRARIES: &str = "/usr/lib/x86_64-linux-gnu";
/// What is looked for there by programs that draw by OpenGL; some of it is in the one version of Mesa, and some in another.
const MESA: [&str; 4] = ["libEGL.so.1", "libEGL_mesa.so.0", "dri/kms_swrast_dri.so", "gbm/dri_gbm.so"];
/// Says where EGL finds Mesa.
const VENDORS: &str = "/usr/share/glvnd/egl_vendor.d";

/// Boots the guest and checks its screen.
///
/// # Errors
/// When something cannot be built or booted, or the screen shows something else.
pub fn run(packages: &Packages, out: Option<&Path>) -> Result<()> {
    build()?;
    let mut initramfs = initramfs(packages)?;
    let there = MESA.iter().map(|name| Path::new(LIBRARIES).join(name)).filter(|path| path.exists());
    let there: Vec<PathBuf> = there.collect();
    ensure!(there.len() > 2, "Mesa is not whole below {LIBRARIES}: there is only {there:?}");
    for library in &there {
        initramfs.library(library)?;
    }
    initramfs.tree(Path::new(VENDORS))?;
    let session = Session::new(out, "gles")?;
    let mut machine = Machine::new("gles", MEMORY_MIB);
    machine.processor(PROCESSOR);
    in_guest(packages, &session, machine, &initramfs, |desk, processes, _| check(desk, processes))
}

fn check(desk: &mut Desk, processes: &mut Processes) -> Result<()> {
    eprintln!("==> OpenGL draws the screen when it is told to");
    desk.start("--renderer gles --no-cursor-plane", "drawing by OpenGL ES (llvmpipe")?;
    processes.check_alive()?;
    let window = desk.window()?;
    let shown = desk.shows_what_was_drawn()?;
    labels(&shown, SCREEN, &window)?;

    eprintln!("==> what changes is drawn anew");
    for key in ["v", "i", "t", "r", "a", "i", "l", "ret"] {
        desk.qmp.press(&[key])?;
    }
    let typed = desk.guest.check("cat /tmp/typed", COMMAND_DEADLINE)?;
    ensure!(typed == "vitrail", "what was typed arrived as {typed:?}");
    let after = desk.shows_what_was_drawn()?;
    ensure!(after.differing(&shown) > 0, "what was typed is not on the screen");
    labels(&after, SCREEN, &window)?;

    other_consoles(desk)?;

    eprintln!("==> by itself vitrail does not take the processor for a graphics card");
    desk.end()?;
    desk.guest.check(
        &format!(
            "{ENVIRONMENT}; LIBSEAT_BACKEND=builtin vitrail --backend drm --no-cursor-plane --ready-fd 9 9>/tmp/ready >/tmp/vitrail.log 2>&1 & \
             grep -qx READY=1 </tmp/ready"
        ),
        COMMAND_DEADLINE,
    )?;
    desk.log_says("dumb buffers, because OpenGL ES is used only where")?;
    desk.shows_what_was_drawn()?;
    Ok(())
}
