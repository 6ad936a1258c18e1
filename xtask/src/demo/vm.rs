//! The "VMs" of the demo: which applications each runs, and the walls around it.

use std::path::Path;
use std::process::{Command, Stdio};

use super::layout::Layout;
use super::table::Window;

/// Where a VM finds its own folder, inside its walls.
const INSIDE: &str = "/run/vm";

/// One VM of the demo.
#[derive(Debug)]
pub struct Vm {
    /// Its name in both configuration files.
    pub name: &'static str,
    /// What its shell runs: applications in the background, then `wait`.
    script: &'static str,
    /// How many windows it shows.
    windows: usize,
}

/// The VMs of the embedded default configuration.
pub const VMS: &[Vm] = &[
    Vm {
        name: "work",
        script: "printf 'Quarterly report\\n\\nEvery window has the name and the colour of the VM that it came from.\\n' \
                 > $XDG_RUNTIME_DIR/report.txt; gtk4-print-editor $XDG_RUNTIME_DIR/report.txt & foot --font monospace:size=10 --title 'quarterly report' --window-size-chars 60x8 sh -c \
                 'printf \"\\033[1mThis is the VM work.\\033[0m\\n\\n\"; ip -brief address 2>/dev/null; \
                 ls /run/vm; exec cat' & wait",
        windows: 2,
    },
    Vm { name: "personal", script: "gtk4-demo & wait", windows: 1 },
    Vm { name: "untrusted", script: "weston-flower & weston-simple-shm & wait", windows: 2 },
];

/// The VMs whose windows are not all there yet, in words.
pub fn missing(windows: &[Window]) -> Vec<String> {
    let found = |vm: &Vm| windows.iter().filter(|window| window.vm == vm.name).count();
    let late = VMS.iter().filter(|vm| found(vm) < vm.windows);
    late.map(|vm| format!("{} ({} of {})", vm.name, found(vm), vm.windows)).collect()
}

/// Whether namespaces are to be had on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Walls {
    /// Mount, pid, user, network, ipc and host-name namespaces of its own for each VM.
    Namespaces,
    /// None: the VMs are ordinary processes.
    None,
}

impl Walls {
    /// Tries whether bubblewrap may make namespaces here.
    pub fn probe() -> Self {
        let possible = Command::new("bwrap")
            .args(["--unshare-all", "--ro-bind", "/", "/", "true"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if possible { Self::Namespaces } else { Self::None }
    }

    /// In words, for the person who runs the demo.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Namespaces => "each in namespaces of its own",
            Self::None => "this machine forbids namespaces: as ordinary processes",
        }
    }
}

impl Vm {
    /// The command that runs this VM: wl-forward with the applications below it.
    pub fn command(&self, walls: Walls, programs: &Path, layout: &Layout) -> Command {
        let mut command = match walls {
            Walls::Namespaces => self.walled(programs, layout),
            Walls::None => {
                let mut plain = Command::new(programs.join("wl-forward"));
                plain.arg("--hub").arg(format!("unix:{}", layout.hub_socket(self.name).display()));
                plain.arg("--region").arg(layout.region(self.name));
                // Not the GUI VM's runtime folder, but the VM's own.
                let mut wrapped = Command::new("env");
                wrapped.arg(format!("XDG_RUNTIME_DIR={}", layout.vm_folder(self.name).display()));
                wrapped.arg(plain.get_program()).args(plain.get_args());
                wrapped
            }
        };
        command.args(["--", "sh", "-c", self.script]);
        command
    }

    fn walled(&self, programs: &Path, layout: &Layout) -> Command {
        let mut command = Command::new("bwrap");
        command.args(["--unshare-all", "--die-with-parent", "--clearenv", "--hostname", self.name]);
        for folder in ["/usr", "/etc"] {
            command.args(["--ro-bind", folder, folder]);
        }
        for link in ["bin", "sbin", "lib", "lib64"] {
            command.args(["--symlink", &format!("usr/{link}"), &format!("/{link}")]);
        }
        command.args(["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/run"]);
        command.arg("--bind").arg(layout.vm_folder(self.name)).arg(INSIDE);
        command.arg("--bind").arg(layout.region(self.name)).arg(format!("{INSIDE}/region"));
        command.arg("--ro-bind").arg(programs.join("wl-forward")).arg("/run/wl-forward");
        command.args(["--setenv", "XDG_RUNTIME_DIR", INSIDE, "--setenv", "HOME", "/tmp"]);
        command.args(["--setenv", "PATH", "/usr/bin:/bin", "--setenv", "LANG", "C.UTF-8"]);
        command.args(["--setenv", "GDK_BACKEND", "wayland", "--setenv", "GSK_RENDERER", "cairo"]);
        command.args(["--chdir", "/tmp", "/run/wl-forward"]);
        command.args(["--hub", &format!("unix:{INSIDE}/hub.sock"), "--region", &format!("{INSIDE}/region")]);
        command
    }
}

/// The title that the local client takes when its list is on the screen.
pub const LOCAL_TITLE: &str = "vitrailctl vms";

/// A client of the GUI VM itself: a terminal that lists the VMs, then takes [`LOCAL_TITLE`]. The terminal puts
/// a title through at once and text with its next frame, so the title is held back by several frames. `letters` is their size
/// in points.
pub fn local_client(programs: &Path, letters: i32) -> Command {
    let mut command = Command::new("foot");
    command.args([
        "--font",
        &format!("monospace:size={letters}"),
        "--window-size-chars",
        "100x16",
        "sh",
        "-c",
    ]);
    let ctl = programs.join("vitrailctl");
    command.arg(format!("'{}' vms; sleep 0.3; printf '\\033]2;{LOCAL_TITLE}\\007'; exec cat", ctl.display()));
    command
}
