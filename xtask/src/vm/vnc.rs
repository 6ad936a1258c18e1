//! The window in which a person sees a virtual machine's screen, as far as its size and its pointer go: a VNC client, as RFC 6143 has it,
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
/// The encoding by which a client says that it draws the pointer itself, and in which it gets its picture.
const CURSOR: i32 = -239;
/// The encoding by which a client says that it knows of sizes.
const EXTENDED_DESKTOP_SIZE: i32 = -308;

/// The pointer as whoever looks at the machine's screen gets it.
#[derive(Debug)]
pub struct Cursor {
    /// Which pixel points.
    pub tip: (i32, i32),
    /// Width and height.
    pub size: (i32, i32),
    /// `0xRRGGBB`, row by row from the top; none where what is below shows through.
    pub pixels: Vec<Option<u32>>,
}

/// The pointer's picture that a machine has given its screen last.
///
/// # Errors
/// When QEMU does not speak VNC at that socket, or there is none.
pub fn cursor(socket: &Path) -> Result<Cursor> {
    let mut window = Window::with_encoding(socket, CURSOR)?;
    // An update of one rectangle, which is no part of the screen; the pixels have 32 bits, as QEMU has them unless it is told
    // otherwise.
    let [kind, _, _, count]: [u8; 4] = window.receive()?;
    let [x, y, width, height]: [u16; 4] =
        [window.short()?, window.short()?, window.short()?, window.short()?];
    let encoding = i32::from_be_bytes(window.receive()?);
    ensure!(
        (kind, count, encoding) == (0, 1, CURSOR),
        "the machine's screen says {kind}, {count}, {encoding}"
    );
    let (w, h) = (usize::from(width), usize::from(height));
    let mut colors = vec![0; w * h * 4];
    window.stream.read_exact(&mut colors).context("error reading the pointer's colours")?;
    let mut mask = vec![0; w.div_ceil(8) * h];
    window.stream.read_exact(&mut mask).context("error reading the pointer's form")?;
    let is_set = |place: usize| {
        let bits = mask.get(place / w * w.div_ceil(8) + place % w / 8).copied().unwrap_or(0);
        bits >> (7 - place % w % 8) & 1 == 1
    };
    let color =
        |pixel: &[u8]| pixel.iter().rev().skip(1).fold(0, |color, byte| color << 8 | u32::from(*byte));
    let pixels = colors.chunks(4).enumerate().map(|(place, pixel)| is_set(place).then(|| color(pixel)));
    Ok(Cursor { tip: (x.into(), y.into()), size: (width.into(), height.into()), pixels: pixels.collect() })
}

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
        Self::with_encoding(socket, EXTENDED_DESKTOP_SIZE)
    }

    fn with_encoding(socket: &Path, encoding: i32) -> Result<Self> {
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
        this.send(&encoding.to_be_bytes())?;
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

    fn short(&mut self) -> Result<u16> {
        Ok(u16::from_be_bytes(self.receive()?))
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
