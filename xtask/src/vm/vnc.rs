//! The window in which a person sees a virtual machine's screen, as far as its size goes: a VNC client, as RFC 6143 has it,
//! which drags its window to another size (the message SetDesktopSize of the community's RFB protocol).

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

const VERSION: &[u8; 12] = b"RFB 003.008\n";
const PATIENCE: Duration = Duration::from_secs(20);
/// Security type: none, as the socket is private.
const NO_SECURITY: u8 = 1;
/// The encoding by which a client says that it knows of sizes.
const EXTENDED_DESKTOP_SIZE: i32 = -308;

/// A window on a machine's screen.
#[derive(Debug)]
pub struct Window {
    stream: UnixStream,
}

impl Window {
    /// Opens it.
    ///
    /// # Errors
    /// When QEMU does not speak VNC at that socket.
    pub fn open(socket: &Path) -> Result<Self> {
        let stream = UnixStream::connect(socket).context("error connecting to the machine's screen")?;
        stream.set_read_timeout(Some(PATIENCE)).context("error setting a deadline")?;
        let mut this = Self { stream };
        let version: [u8; 12] = this.receive()?;
        ensure!(version == *VERSION, "the machine's screen greets with {}", version.escape_ascii());
        this.send(VERSION)?;
        let [count] = this.receive()?;
        let mut offered = vec![0; count.into()];
        this.stream.read_exact(&mut offered).context("error reading from the machine's screen")?;
        ensure!(offered.contains(&NO_SECURITY), "the machine's screen wants a password");
        this.send(&[NO_SECURITY])?;
        let refused = u32::from_be_bytes(this.receive()?);
        ensure!(refused == 0, "the machine's screen refuses");
        // It may be shared with others.
        this.send(&[1])?;
        // Size and format, neither of which matters here.
        let _: [u8; 20] = this.receive()?;
        let name = u32::from_be_bytes(this.receive()?);
        let mut name = vec![0; name.min(1024).try_into()?];
        this.stream.read_exact(&mut name).context("error reading from the machine's screen")?;
        this.send(&[2, 0, 0, 1])?;
        this.send(&EXTENDED_DESKTOP_SIZE.to_be_bytes())?;
        Ok(this)
    }

    /// Gives it another size, which the machine's screen takes for its own.
    ///
    /// # Errors
    /// When QEMU is gone.
    pub fn resize(&mut self, width: u16, height: u16) -> Result<()> {
        let (w, h) = (width.to_be_bytes(), height.to_be_bytes());
        let mut message = vec![251, 0];
        message.extend([w, h].concat());
        // One screen with the name 0, at 0,0, without flags.
        message.extend([1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        message.extend([w, h].concat());
        message.extend([0; 4]);
        self.send(&message)
    }

    fn receive<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes).context("error reading from the machine's screen")?;
        Ok(bytes)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).context("error writing to the machine's screen")
    }
}
