//! The programs of one measurement: a headless compositor with its gate, the hub, and a wl-forward for each of two VMs,
//! one with a region and one without.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::client::Client;
use super::cpu::{self, Snapshot};
use super::report::Via;
use super::waypipe::Waypipe;
use crate::processes::Processes;

/// How long a program may take to be ready.
const READY_DEADLINE: Duration = Duration::from_secs(20);
/// How often a socket that is not there yet is tried while the start of a program is measured.
const GLANCE: Duration = Duration::from_micros(100);
/// Pixels of the output around the window, for the compositor's frame.
const MARGIN: (i32, i32) = (64, 128);
/// MiB of the region: room for the buffers of a 4K window several times over.
const REGION_MIB: u32 = 256;

const COMPOSITOR: &str = "wayland-bench";
const REGION: &str = "region";
const MIRROR: &str = "mirror";
/// A VM with a region of its own, in which wl-forward is started again and again.
const START: &str = "start";

/// Running programs, and the folder that they are in.
#[derive(Debug)]
pub struct Chain {
    programs: PathBuf,
    root: PathBuf,
    processes: Processes,
}

/// A connected measuring client and the processes that forward for it.
#[derive(Debug)]
pub struct Route {
    /// The client. Before what it is connected through, so that it ends first.
    pub client: Client,
    forwarding: Vec<u32>,
    not_forwarding: Vec<u32>,
    _own: Processes,
}

impl Route {
    /// What the forwarding processes have used.
    ///
    /// # Errors
    /// When there is no /proc.
    pub fn snapshot(&self) -> Result<Snapshot> {
        Snapshot::of(&self.forwarding, &self.not_forwarding)
    }
}

impl Chain {
    /// Starts everything in a new folder, for windows up to `size`. Ctrl+C ends it too.
    ///
    /// # Errors
    /// When something does not start.
    pub fn start(programs: &Path, size: (i32, i32)) -> Result<Self> {
        // A Unix socket's path has at most 107 bytes.
        let root = std::env::temp_dir().join(format!("vitrail-bench-{}", std::process::id()));
        for folder in ["gui", "hub", "regions", "logs", REGION, MIRROR, START] {
            private_folder(&root.join(folder))?;
        }
        let processes = Processes::default();
        let folder = root.clone();
        processes.end_on_interrupt(move || remove(&folder))?;
        let mut chain = Self { programs: programs.to_owned(), root, processes };
        write(&chain.root.join("vitrail.toml"), &chain.vitrail_toml())?;
        write(&chain.root.join("hub.toml"), &chain.hub_toml())?;
        let started = chain.start_programs(size);
        if started.is_err() {
            chain.processes.print_logs();
        }
        started.map(|()| chain)
    }

    fn start_programs(&mut self, size: (i32, i32)) -> Result<()> {
        let mut vitrail = self.program("vitrail", "gui");
        let output = format!("{}x{}", size.0 + MARGIN.0, size.1 + MARGIN.1);
        vitrail.arg("--config").arg(self.root.join("vitrail.toml"));
        vitrail.args(["--backend", "headless", "--socket", COMPOSITOR, "--size", &output]);
        self.processes.start("vitrail", vitrail, &self.root.join("logs"))?;
        self.processes.wait_for_path(&self.root.join("gui/gate.sock"), READY_DEADLINE)?;
        let mut hub = self.program("vitrail-hub", "hub");
        hub.arg("--config").arg(self.root.join("hub.toml"));
        self.processes.start("vitrail-hub", hub, &self.root.join("logs"))?;
        for vm in [REGION, MIRROR, START] {
            self.processes.wait_for_path(&self.hub_socket(vm), READY_DEADLINE)?;
        }
        for vm in [REGION, MIRROR] {
            let forward = self.forward(vm);
            self.processes.start(vm, forward, &self.root.join("logs"))?;
            self.processes.wait_for_path(&self.vm_socket(vm), READY_DEADLINE)?;
        }
        Ok(())
    }

    /// A program with nothing of the machine's own display in its environment.
    fn program(&self, name: &str, folder: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.env("XDG_RUNTIME_DIR", self.root.join(folder)).env("VITRAIL_LOG", "warn");
        for name in ["WAYLAND_DISPLAY", "WAYLAND_SOCKET", "DISPLAY", "VITRAIL_HUB", "VITRAIL_REGION"] {
            command.env_remove(name);
        }
        command
    }

    fn forward(&self, vm: &str) -> Command {
        let mut forward = self.program("wl-forward", vm);
        forward
            .args(["--socket", "wayland-vm", "--hub"])
            .arg(format!("unix:{}", self.hub_socket(vm).display()));
        if vm != MIRROR {
            forward.arg("--region").arg(region(vm));
        }
        forward
    }

    fn hub_socket(&self, vm: &str) -> PathBuf {
        self.root.join("hub").join(format!("{vm}.sock"))
    }

    fn vm_socket(&self, vm: &str) -> PathBuf {
        self.root.join(vm).join("wayland-vm")
    }

    fn display(&self) -> PathBuf {
        self.root.join("gui").join(COMPOSITOR)
    }

    fn hub_toml(&self) -> String {
        let gate = self.root.join("gui/gate.sock");
        let vm =
            |name: &str| format!("\n[vm.{name}]\nlisten = \"unix:{}\"\n", self.hub_socket(name).display());
        let memory =
            |name: &str| format!("[vm.{name}.region]\npath = {:?}\nsize_mib = {REGION_MIB}\n", region(name));
        let with_memory: String = [REGION, START].map(|name| vm(name) + &memory(name)).concat();
        format!("gate = \"unix:{}\"\n{with_memory}{}", gate.display(), vm(MIRROR))
    }

    fn vitrail_toml(&self) -> String {
        let gate = self.programs.join("vitrail-gate");
        let vm =
            |name: &str, color: &str| format!("\n[vm.{name}]\nlabel = \"{name}\"\ncolor = \"#{color}\"\n");
        let listen = "listen = \"unix:$XDG_RUNTIME_DIR/gate.sock\"";
        let local = "[local]\nlabel = \"local\"\ncolor = \"#5f6368\"\n";
        let gate = format!("[gate]\ncommand = [{gate:?}]\n{listen}\nregions = [{:?}]\n", region("*"));
        let vms =
            [(REGION, "2e7d32"), (MIRROR, "1565c0"), (START, "6a1b9a")].map(|(name, color)| vm(name, color));
        format!("{local}\n{gate}{}", vms.concat())
    }

    /// The measuring client, not started yet.
    fn measuring_client(&self, size: (i32, i32)) -> Command {
        let mut client = self.program("vitrail-bench-client", "gui");
        client.arg("--size").arg(format!("{}x{}", size.0, size.1));
        client
    }

    /// Connects a measuring client with a window of `size`. With a relay, waypipe has one between its ends.
    ///
    /// # Errors
    /// When a program does not start.
    pub fn connect(&self, via: Via, size: (i32, i32), waypipe: &Waypipe, relay: bool) -> Result<Route> {
        let socket = match via {
            Via::Direct => self.display(),
            Via::Vitrail => self.vm_socket(REGION),
            Via::VitrailMirror => self.vm_socket(MIRROR),
            Via::Waypipe => return self.connect_waypipe(waypipe, &self.measuring_client(size), relay),
        };
        let mut client = self.measuring_client(size);
        client.arg("--socket").arg(socket);
        let client = Client::start(client)?;
        let (forwarding, own) = (self.forwarding(via)?, Processes::default());
        Ok(Route { client, forwarding, not_forwarding: Vec::new(), _own: own })
    }

    /// The processes of our chain that forward on this way.
    fn forwarding(&self, via: Via) -> Result<Vec<u32>> {
        let forward = match via {
            Via::Vitrail => REGION,
            Via::VitrailMirror => MIRROR,
            Via::Direct | Via::Waypipe => return Ok(Vec::new()),
        };
        let mut forwarding = vec![self.processes.id("vitrail-hub")?, self.processes.id(forward)?];
        // The compositor's only children are the gate's.
        forwarding.extend(cpu::children(self.processes.id("vitrail")?)?);
        Ok(forwarding)
    }

    fn connect_waypipe(&self, waypipe: &Waypipe, client: &Command, relay: bool) -> Result<Route> {
        let (near, far) = (self.root.join("near.sock"), self.root.join("far.sock"));
        for socket in [&near, &far] {
            let _ = std::fs::remove_file(socket);
        }
        let logs = self.root.join("logs");
        let runtime = |mut command: Command| {
            command.env("XDG_RUNTIME_DIR", self.root.join("gui"));
            command
        };
        let mut own = Processes::default();
        own.start("waypipe-client", runtime(waypipe.client(&far, &self.display())), &logs)?;
        own.wait_for_path(&far, READY_DEADLINE)?;
        let mut forwarding = vec![own.id("waypipe-client")?];
        if relay {
            own.start("socat", runtime(waypipe.relay(&near, &far)), &logs)?;
            own.wait_for_path(&near, READY_DEADLINE)?;
            forwarding.push(own.id("socat")?);
        }
        let socket = if relay { &near } else { &far };
        let server = runtime(waypipe.server(socket, client));
        let client = Client::start(server)?;
        forwarding.push(client.id());
        let mut route = Route { client, forwarding, not_forwarding: Vec::new(), _own: own };
        // It answers, so it runs.
        route.client.prepare("memcpy 0 0")?;
        route.client.go()?;
        route.not_forwarding = cpu::children(route.client.id())?;
        Ok(route)
    }

    /// Connects many clients that do nothing.
    ///
    /// # Errors
    /// When one cannot be connected.
    pub fn hold(&self, count: u32) -> Result<Route> {
        let mut client = self.program("vitrail-bench-client", "gui");
        client.arg("--socket").arg(self.vm_socket(REGION)).arg("--hold").arg(count.to_string());
        let mut client = Client::start(client)?;
        let said = client.hear()?;
        if said != "held" {
            bail!("the measuring client says {}", said.escape_debug());
        }
        let forwarding = self.forwarding(Via::Vitrail)?;
        Ok(Route { client, forwarding, not_forwarding: Vec::new(), _own: Processes::default() })
    }

    /// MiB that the wl-forward with a region has in memory, without the region.
    ///
    /// # Errors
    /// When it does not run.
    pub fn forward_mib(&self) -> Result<f64> {
        cpu::resident_mib(self.processes.id(REGION)?, Some(&region(REGION)))
    }

    /// How long another wl-forward takes from its exec until somebody can connect to its socket.
    ///
    /// # Errors
    /// When it does not start.
    pub fn measure_start(&self) -> Result<Duration> {
        let socket = self.root.join(START).join("wayland-vm");
        let mut processes = Processes::default();
        let start = Instant::now();
        processes.start("start", self.forward(START), &self.root.join("logs"))?;
        while UnixStream::connect(&socket).is_err() {
            if start.elapsed() > READY_DEADLINE {
                processes.print_logs();
                bail!("wl-forward does not start");
            }
            std::thread::sleep(GLANCE);
        }
        Ok(start.elapsed())
    }

    /// The end of every log, for a failed run.
    pub fn print_logs(&self) {
        self.processes.print_logs();
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        self.processes.end();
        remove(&self.root);
    }
}

/// Removes what a chain has left: a failure to do so is said and otherwise harmless.
fn remove(root: &Path) {
    for vm in [REGION, START] {
        let _ = std::fs::remove_file(region(vm));
    }
    remove_folder(root);
}

/// Removes a folder: a failure to do so is said and otherwise harmless.
pub fn remove_folder(folder: &Path) {
    if let Err(error) = std::fs::remove_dir_all(folder) {
        eprintln!("warning: {} could not be removed: {error}", folder.display());
    }
}

/// The file of a VM's region. It lies in memory, not on a disk.
fn region(vm: &str) -> PathBuf {
    PathBuf::from(format!("/dev/shm/vitrail-bench-{}-{vm}.region", std::process::id()))
}

/// Makes a folder that is nobody else's.
///
/// # Errors
/// When it cannot be made.
pub fn private_folder(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).with_context(|| format!("error creating {}", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))
        .with_context(|| format!("error making {} private", path.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("error writing {}", path.display()))
}
