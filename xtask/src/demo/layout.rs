//! The folder of one run of the demo: runtime folder of the GUI VM, one folder per VM, regions,
//! configuration files and logs.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{default_config, vm};

/// The compositor's socket name.
pub const SOCKET: &str = "wayland-vitrail";

/// Paths of one run. The folder is short, since a Unix socket's path has at most 107 bytes.
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Makes the folders and writes the two configuration files.
    ///
    /// # Errors
    /// When a folder or file cannot be made.
    pub fn create() -> Result<Self> {
        let root = std::env::temp_dir().join(format!("vitrail-demo-{}", std::process::id()));
        let layout = Self { root };
        for folder in [layout.runtime(), layout.regions(), layout.logs()] {
            private_folder(&folder)?;
        }
        for vm in vm::VMS {
            private_folder(&layout.vm_folder(vm.name))?;
        }
        write(&layout.hub_config(), &layout.hub_toml())?;
        let default = default_config();
        let defaults = std::fs::read_to_string(&default)
            .with_context(|| format!("error reading {}", default.display()))?;
        write(&layout.vitrail_config(), &layout.vitrail_toml(&defaults))?;
        Ok(layout)
    }

    /// Removes everything; a failure to do so is said and otherwise harmless.
    pub fn remove(&self) {
        if let Err(error) = std::fs::remove_dir_all(&self.root) {
            eprintln!("warning: {} could not be removed: {error}", self.root.display());
        }
    }

    /// XDG_RUNTIME_DIR of the GUI VM's programs.
    pub fn runtime(&self) -> PathBuf {
        self.root.join("gui")
    }

    /// The socket that vitrailctl speaks to.
    pub fn ipc(&self) -> PathBuf {
        self.runtime().join(format!("vitrail-{SOCKET}.sock"))
    }

    /// Gives the program called `name` its environment: the GUI VM's runtime folder, and no display of the machine.
    /// The local client is the only one that speaks to the compositor itself.
    pub fn environment(&self, name: &str, command: &mut Command) {
        command.env("XDG_RUNTIME_DIR", self.runtime());
        command.env_remove("WAYLAND_DISPLAY").env_remove("WAYLAND_SOCKET").env_remove("DISPLAY");
        if name == "local" {
            command.env("WAYLAND_DISPLAY", SOCKET).env("VITRAIL_IPC", self.ipc());
        }
    }

    /// Where the logs of all programs are.
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    fn regions(&self) -> PathBuf {
        self.root.join("regions")
    }

    /// The shared region of a VM.
    pub fn region(&self, vm: &str) -> PathBuf {
        self.regions().join(format!("{vm}.region"))
    }

    /// The only folder of the host that a VM sees.
    pub fn vm_folder(&self, vm: &str) -> PathBuf {
        self.root.join("vm").join(vm)
    }

    /// Where the hub listens for a VM.
    pub fn hub_socket(&self, vm: &str) -> PathBuf {
        self.vm_folder(vm).join("hub.sock")
    }

    /// The hub's configuration.
    pub fn hub_config(&self) -> PathBuf {
        self.root.join("hub.toml")
    }

    /// The compositor's and gate's configuration.
    pub fn vitrail_config(&self) -> PathBuf {
        self.root.join("vitrail.toml")
    }

    /// Where the compositor reads and keeps the places of windows.
    pub fn places(&self) -> PathBuf {
        self.root.join("places.toml")
    }

    /// Says where windows are to stand, before there are any.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_places(&self, text: &str) -> Result<()> {
        write(&self.places(), text)
    }

    fn gate_socket(&self) -> PathBuf {
        self.runtime().join("gate.sock")
    }

    fn hub_toml(&self) -> String {
        let mut text = format!("gate = \"unix:{}\"\n", self.gate_socket().display());
        for vm in vm::VMS {
            let name = vm.name;
            let (socket, region) = (self.hub_socket(name), self.region(name));
            let _ = write!(
                text,
                "\n[vm.{name}]\nlisten = \"unix:{}\"\n\n[vm.{name}.region]\npath = \"{}\"\nsize_mib = 256\n",
                socket.display(),
                region.display()
            );
        }
        text
    }

    /// The default configuration with the paths of this run in its `[gate]` table.
    fn vitrail_toml(&self, defaults: &str) -> String {
        let mut text = String::new();
        for line in defaults.lines() {
            let key = line.split('=').next().unwrap_or_default().trim();
            match key {
                "listen" => {
                    let _ = writeln!(text, "listen = \"unix:{}\"", self.gate_socket().display());
                }
                "regions" => {
                    let _ = writeln!(text, "regions = [\"{}/*.region\"]", self.regions().display());
                }
                _ => {
                    let _ = writeln!(text, "{line}");
                }
            }
        }
        text
    }
}

fn private_folder(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).with_context(|| format!("error creating {}", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))
        .with_context(|| format!("error making {} private", path.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("error writing {}", path.display()))
}
