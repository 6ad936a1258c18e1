//! A virtual machine under QEMU, and the line through which the host tells it what to run.
//!
//! Guests run under TCG: a machine of a build farm may have no hardware virtualisation, or one that hangs. The
//! console goes to a log. Commands go over a virtio-serial port of its own, on which the guest's first process
//! answers (`init.sh`); when the guest dies that port ends, so nothing waits for a dead guest.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::packages::Packages;
use crate::processes::Processes;

/// How long a guest may take from its start until it can run commands: about 4 s on an idle machine, and more with large
/// libraries in its memory.
const BOOT_DEADLINE: Duration = Duration::from_secs(300);
/// What a command may print.
const MAX_OUTPUT: usize = 16 << 20;

/// What a virtual machine is made of.
#[derive(Debug)]
pub struct Machine {
    name: String,
    memory_mib: u32,
    cpu: &'static str,
    devices: Vec<OsString>,
}

impl Machine {
    /// A machine with so much memory (shared with its vhost-user backends), a console and the control port.
    pub fn new(name: &str, memory_mib: u32) -> Self {
        Self { name: name.to_owned(), memory_mib, cpu: "max", devices: Vec::new() }
    }

    /// The machine has a processor of this model, instead of one that can do all that QEMU can.
    pub fn processor(&mut self, model: &'static str) {
        self.cpu = model;
    }

    /// Adds a vsock device that the vhost-user backend listening at `socket` drives.
    pub fn vsock(&mut self, socket: &Path) {
        self.add("-chardev", format!("socket,id=vsock,path={}", socket.display()));
        self.add("-device", "vhost-user-vsock-pci,chardev=vsock".to_owned());
    }

    /// Adds a PCI device whose second BAR is the file from `offset` on, `len` bytes of it: a power of two.
    pub fn ivshmem(&mut self, file: &Path, offset: u64, len: u64) {
        let id = self.backend(file, offset, len);
        self.add("-device", format!("ivshmem-plain,memdev={id},master=on"));
    }

    /// Adds a persistent memory that is the file, `len` bytes of it.
    pub fn pmem(&mut self, file: &Path, len: u64) {
        let id = self.backend(file, 0, len);
        self.add("-device", format!("virtio-pmem-pci,memdev={id}"));
    }

    /// Adds a graphics device without anybody who looks at it.
    pub fn gpu(&mut self) {
        self.add("-device", "virtio-gpu-pci".to_owned());
    }

    /// Adds a screen of this size, a keyboard and a tablet. Returns where QEMU's own control socket and that of the screen (for
    /// VNC) will be, in `folder`.
    pub fn screen(&mut self, (width, height): (i32, i32), folder: &Path) -> [PathBuf; 2] {
        self.add("-device", format!("virtio-gpu-pci,xres={width},yres={height}"));
        self.add("-device", "virtio-keyboard-pci".to_owned());
        self.add("-device", "virtio-tablet-pci".to_owned());
        let [qmp, vnc] = ["qmp", "vnc"].map(|name| folder.join(format!("{}.{name}", self.name)));
        self.add("-qmp", format!("unix:{},server=on,wait=off", qmp.display()));
        self.add("-vnc", format!("unix:{}", vnc.display()));
        [qmp, vnc]
    }

    fn backend(&mut self, file: &Path, offset: u64, len: u64) -> String {
        let id = format!("file{}", self.devices.len());
        let path = file.display();
        let object =
            format!("memory-backend-file,id={id},share=on,mem-path={path},offset={offset},size={len}");
        self.add("-object", object);
        id
    }

    fn add(&mut self, option: &str, value: String) {
        self.devices.push(option.into());
        self.devices.push(value.into());
    }

    /// Starts the machine; [`Guest::wait`] says when it can run commands. The folder must have a short path and gets the
    /// control socket; `logs` gets the console.
    ///
    /// # Errors
    /// When QEMU cannot be started.
    pub fn start(
        &self,
        packages: &Packages,
        initramfs: &Path,
        processes: &mut Processes,
        folder: &Path,
        logs: &Path,
    ) -> Result<Guest> {
        let socket = folder.join(format!("{}.control", self.name));
        let listener = UnixListener::bind(&socket)
            .with_context(|| format!("error listening on {}", socket.display()))?;
        let console = logs.join(format!("{}-console.log", self.name));
        let memory = self.memory_mib;
        let mut qemu = packages.qemu();
        qemu.args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]);
        qemu.args(["-machine", "q35,memory-backend=ram", "-accel", "tcg", "-cpu", self.cpu]);
        qemu.arg("-object").arg(format!("memory-backend-memfd,id=ram,size={memory}M,share=on"));
        qemu.arg("-m").arg(format!("{memory}M,maxmem=4G,slots=4"));
        qemu.arg("-kernel").arg(packages.kernel()).arg("-initrd").arg(initramfs);
        qemu.args(["-append", "console=ttyS0 quiet panic=-1"]);
        qemu.arg("-serial").arg(format!("file:{}", console.display()));
        qemu.arg("-chardev").arg(format!("socket,id=control,path={}", socket.display()));
        qemu.args(["-device", "virtio-serial-pci"]);
        qemu.args(["-device", "virtserialport,chardev=control,name=vitrail.control"]);
        qemu.args(&self.devices);
        eprintln!("==> guest {}: booting", self.name);
        let started = Instant::now();
        processes.start(&self.name, qemu, logs)?;
        Ok(Guest { name: self.name.clone(), control: accept(&listener)?, console, started, commands: 0 })
    }
}

/// QEMU connects before it starts the guest.
fn accept(listener: &UnixListener) -> Result<BufReader<UnixStream>> {
    let deadline = Timespec { tv_sec: 20, tv_nsec: 0 };
    if poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&deadline)).context("error waiting for QEMU")?
        == 0
    {
        bail!("QEMU did not start within 20 s");
    }
    let (stream, _) = listener.accept().context("error accepting the connection of QEMU")?;
    Ok(BufReader::new(stream))
}

/// A running guest.
#[derive(Debug)]
pub struct Guest {
    name: String,
    control: BufReader<UnixStream>,
    console: PathBuf,
    started: Instant,
    commands: u64,
}

/// What became of a command.
#[derive(Debug)]
pub struct Outcome {
    /// The exit status as a shell has it.
    pub status: i32,
    /// What was printed, on either stream.
    pub text: String,
}

impl Guest {
    /// Waits until the guest's first process answers.
    ///
    /// # Errors
    /// When it does not in time, or a program that belongs to the guest has ended.
    pub fn wait(&mut self, processes: &mut Processes) -> Result<()> {
        let ready = self.line(self.started + BOOT_DEADLINE);
        if ready.as_deref().is_ok_and(|line| line == "ready") {
            eprintln!("    guest {}: ready after {:.1} s", self.name, self.started.elapsed().as_secs_f64());
            return Ok(());
        }
        processes.check_alive()?;
        bail!("guest {} does not answer; its console is {}", self.name, self.console.display())
    }

    /// Runs a shell command of one line, whose output is also shown as it comes.
    ///
    /// # Errors
    /// When the guest dies, or the command prints too much or does not end in time.
    pub fn run(&mut self, command: &str, deadline: Duration) -> Result<Outcome> {
        let name = self.name.clone();
        self.run_with(command, deadline, |line| println!("    {name} | {}", line.escape_debug()))
    }

    fn run_with(&mut self, command: &str, deadline: Duration, show: impl Fn(&str)) -> Result<Outcome> {
        let until = Instant::now() + deadline;
        self.commands += 1;
        let token = format!("{}-{}-done", self.name, self.commands);
        let failed = || format!("guest {}: {command}", self.name);
        if command.contains('\n') {
            bail!("a command for a guest is one line: {command:?}");
        }
        self.control.get_mut().write_all(format!("{token} {command}\n").as_bytes()).with_context(failed)?;
        let mut text = String::new();
        loop {
            let line = self.line(until).with_context(|| {
                format!("guest {}: {command} (console: {})", self.name, self.console.display())
            })?;
            if let Some(status) = line.strip_prefix(&token) {
                let status = status.trim().parse().with_context(|| format!("bad exit status {status:?}"))?;
                // The empty line that ends an output without a newline.
                text.truncate(text.trim_end_matches('\n').len());
                return Ok(Outcome { status, text });
            }
            if text.len() + line.len() > MAX_OUTPUT {
                bail!("guest {}: {command}: more than {MAX_OUTPUT} bytes of output", self.name);
            }
            if !line.is_empty() {
                show(&line);
            }
            text.push_str(&line);
            text.push('\n');
        }
    }

    /// Runs a command that has to succeed, and returns what it printed.
    ///
    /// # Errors
    /// As for [`run`](Self::run), and when the exit status is not 0.
    pub fn check(&mut self, command: &str, deadline: Duration) -> Result<String> {
        let outcome = self.run(command, deadline)?;
        self.succeeded(command, outcome)
    }

    /// The same without showing what it prints.
    ///
    /// # Errors
    /// As for [`check`](Self::check).
    pub fn quiet(&mut self, command: &str, deadline: Duration) -> Result<String> {
        let outcome = self.run_with(command, deadline, |_| {})?;
        self.succeeded(command, outcome)
    }

    /// A file of the guest.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn fetch(&mut self, file: &str, deadline: Duration) -> Result<Vec<u8>> {
        // The port is for lines of text.
        let text = self.quiet(&format!("xxd -p {file}"), deadline)?;
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
        bytes.with_context(|| format!("guest {}: {file} does not arrive whole", self.name))
    }

    fn succeeded(&self, command: &str, outcome: Outcome) -> Result<String> {
        if outcome.status != 0 {
            bail!("guest {}: {command}: exit status {}: {}", self.name, outcome.status, outcome.text);
        }
        Ok(outcome.text)
    }

    /// The next line from the guest.
    fn line(&mut self, until: Instant) -> Result<String> {
        let mut line = Vec::new();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("no answer in time");
            }
            self.control.get_ref().set_read_timeout(Some(left)).context("error setting a deadline")?;
            match self.control.read_until(b'\n', &mut line) {
                Ok(_) if line.ends_with(b"\n") => break,
                Ok(_) => bail!("the guest is gone"),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) => return Err(error).context("error reading from the guest"),
            }
        }
        let text = String::from_utf8_lossy(&line);
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    }
}
