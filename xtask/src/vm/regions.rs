//! `cargo xtask vm regions`: one file of the host as the region of an app VM and of a GUI VM at the same time.
//!
//! The app VM has it as the BAR of an ivshmem device that begins behind the info block; the GUI VM has the whole file as
//! persistent memory, which its kernel makes a devdax device of. So the VM that is not believed cannot reach the block
//! that the other one's kernel reads (`docs/deploy.md`). A second region in the GUI VM shows that they are told apart.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use virtio_wl::Region;
use virtio_wl::region::{CHALLENGE_LEN, DEVDAX_OFFSET};

use super::guest::{Guest, Machine};
use super::initramfs::Initramfs;
use super::packages::Packages;
use super::{MEMORY_MIB, Session};
use crate::processes::Processes;
use crate::{steps, target_dir};

/// What makes a devdax device of persistent memory.
const MODULES: &[&str] = &["virtio_pmem", "nd_pmem", "device_dax", "dax_pmem"];
/// Length of a region, a power of two as a BAR must be.
const LEN: u64 = 64 << 20;
const COMMAND_DEADLINE: Duration = Duration::from_secs(60);
/// The folder of the one device with the PCI class of ivshmem, "other memory".
const FIND_IVSHMEM: &str =
    "cd /sys/bus/pci/devices/$(basename $(dirname $(grep -l 0x050000 /sys/bus/pci/devices/*/class)))";

/// Boots both guests and checks what they and the host see in the memory that they share.
///
/// # Errors
/// When something cannot be built or booted, or anybody sees something else.
pub fn run(packages: &Packages, out: Option<&Path>) -> Result<()> {
    let mut build = steps::cargo();
    // With all packages, as for the tests, so that nothing has to be built again with other features.
    build.args(["build", "--quiet", "--workspace", "--example", "region"]);
    steps::run("building the program that looks at regions", &mut build)?;
    let mut initramfs = Initramfs::new(packages, MODULES)?;
    initramfs.program("bin/region", &target_dir().join("debug/examples/region"))?;
    let session = Session::new(out, "regions")?;
    session.run(|processes| {
        let image = session.folder.join("initramfs");
        initramfs.write(&image)?;
        check(packages, &session, &image, processes)
    })
}

fn check(packages: &Packages, session: &Session, image: &Path, processes: &mut Processes) -> Result<()> {
    let [mine, other] = ["mine", "other"].map(|name| session.folder.join(name));
    let [region, other_region] = [&mine, &other].map(|file| Region::create_pmem(file, DEVDAX_OFFSET + LEN));
    let (region, other_region) = (region?, other_region?);
    region.set_challenge(&[0xa1; CHALLENGE_LEN])?;
    other_region.set_challenge(&[0xb2; CHALLENGE_LEN])?;

    let mut app = Machine::new("app", MEMORY_MIB);
    app.ivshmem(&mine, DEVDAX_OFFSET, LEN);
    let mut gui = Machine::new("gui", MEMORY_MIB);
    gui.pmem(&other, DEVDAX_OFFSET + LEN);
    gui.pmem(&mine, DEVDAX_OFFSET + LEN);
    let mut app = app.start(packages, image, processes, &session.folder, &session.logs)?;
    let mut gui = gui.start(packages, image, processes, &session.folder, &session.logs)?;
    app.wait(processes)?;
    gui.wait(processes)?;

    eprintln!("==> the app VM recognises the device of its region");
    app.check(&format!("{FIND_IVSHMEM} && echo 1 >enable"), COMMAND_DEADLINE)?;
    let mut app = Side { guest: app, region: format!("{FIND_IVSHMEM} && region ACTION resource2_wc") };
    app.sees("PCI resource", 4096, 0xa1)?;

    eprintln!("==> the GUI VM recognises its devices, and which is whose by the challenge");
    let devices = gui.check("ls /dev/dax*", COMMAND_DEADLINE)?;
    let [device, other_device] = devices_by_challenge(&mut gui, &devices, [0xa1, 0xb2])?;
    let mut gui = Side { guest: gui, region: format!("region ACTION {device}") };
    gui.sees("devdax device", DEVDAX_OFFSET, 0xa1)?;

    eprintln!("==> host, app VM and GUI VM see what each of them writes");
    let first = 4096;
    let last = LEN - 64;
    for offset in [first, last] {
        app.write(offset, "from-the-app-VM")?;
        ensure!(host_reads(&region, offset, 15)? == "from-the-app-VM", "the host does not see it");
        ensure!(gui.read(offset, 15)? == "from-the-app-VM", "the GUI VM does not see it");
        gui.write(offset, "from-the-GUI-VM")?;
        ensure!(host_reads(&region, offset, 15)? == "from-the-GUI-VM", "the host does not see it");
        ensure!(app.read(offset, 15)? == "from-the-GUI-VM", "the app VM does not see it");
        region.write(offset, b"from-the-host!!")?;
        ensure!(app.read(offset, 15)? == "from-the-host!!", "the app VM does not see it");
        ensure!(gui.read(offset, 15)? == "from-the-host!!", "the GUI VM does not see it");
    }
    ensure!(
        app.guest.run(&app.action(&format!("read {LEN} 1")), COMMAND_DEADLINE)?.status != 0,
        "read behind the end"
    );

    eprintln!("==> the GUI VM refuses a challenge that two regions have");
    let find = format!("region find {} {device} {other_device}", hex(0xa1));
    gui.guest.check(&find, COMMAND_DEADLINE)?;
    other_region.set_challenge(&[0xa1; CHALLENGE_LEN])?;
    let refused = gui.guest.run(&find, COMMAND_DEADLINE)?;
    ensure!(
        refused.status != 0 && refused.text.contains("the same challenge"),
        "two regions with one challenge"
    );
    gui.region = format!("region ACTION {other_device}");
    ensure!(gui.read(first, 15)? == "\0".repeat(15), "something came into the other region");
    Ok(())
}

/// A guest and how it reaches its region.
struct Side {
    guest: Guest,
    /// With ACTION where the program is told what to do; what follows it is the region.
    region: String,
}

impl Side {
    /// `region ACTION PATH` with the arguments behind the path.
    fn action(&self, action: &str) -> String {
        let (verb, arguments) = action.split_once(' ').unwrap_or((action, ""));
        format!("{} {arguments}", self.region.replace("ACTION", verb))
    }

    fn sees(&mut self, backing: &str, alignment: u64, challenge: u8) -> Result<()> {
        let text = self.guest.check(&self.action("inspect"), COMMAND_DEADLINE)?;
        for (name, value) in [
            ("backing", backing),
            ("length", &LEN.to_string()),
            ("begins at", "0"),
            ("mapped in", &alignment.to_string()),
            ("challenge", &hex(challenge)),
        ] {
            ensure!(field(&text, name) == Some(value), "the region's {name} should be {value}:\n{text}");
        }
        Ok(())
    }

    fn write(&mut self, offset: u64, text: &str) -> Result<()> {
        self.guest.check(&self.action(&format!("write {offset} {text}")), COMMAND_DEADLINE)?;
        Ok(())
    }

    fn read(&mut self, offset: u64, len: u64) -> Result<String> {
        self.guest.check(&self.action(&format!("read {offset} {len}")), COMMAND_DEADLINE)
    }
}

fn host_reads(region: &Region, offset: u64, len: usize) -> Result<String> {
    let mut bytes = vec![0; len];
    region.read_into(offset, &mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The devices that hold the regions with these challenges. The kernel promises nothing about their order.
fn devices_by_challenge(gui: &mut Guest, devices: &str, challenges: [u8; 2]) -> Result<[String; 2]> {
    let mut found = [None, None];
    for device in devices.lines() {
        let text = gui.check(&format!("region inspect {device}"), COMMAND_DEADLINE)?;
        let challenge = field(&text, "challenge").context("no challenge was printed")?;
        for (place, wanted) in found.iter_mut().zip(challenges) {
            if challenge == hex(wanted) && place.replace(device.to_owned()).is_some() {
                bail!("two devices have the same challenge");
            }
        }
    }
    match found {
        [Some(first), Some(second)] => Ok([first, second]),
        _ => bail!("not every challenge was found in {devices}"),
    }
}

/// What follows a name at the beginning of a line.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

fn hex(byte: u8) -> String {
    format!("{byte:02x}").repeat(CHALLENGE_LEN)
}
