//! QEMU's own control socket: what a person at the machine would see and do. Pictures of the screen, and events of the
//! virtual keyboard and tablet, as QEMU's QMP reference has them.

use std::fs;
use std::io::{BufRead, BufReader, Cursor, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// The largest value of a tablet's axis.
const AXIS: i64 = 0x7fff;

/// A connection to QEMU.
#[derive(Debug)]
pub struct Qmp {
    stream: BufReader<UnixStream>,
    folder: PathBuf,
}

impl Qmp {
    /// Connects to the socket at `path`, which is there as soon as QEMU has started its guest. Pictures are put into
    /// `folder` for the moment.
    ///
    /// # Errors
    /// When QEMU does not answer.
    pub fn connect(path: &Path, folder: &Path) -> Result<Self> {
        let stream = UnixStream::connect(path).context("error connecting to QEMU")?;
        stream.set_read_timeout(Some(PATIENCE)).context("error setting a deadline")?;
        let mut this = Self { stream: BufReader::new(stream), folder: folder.to_owned() };
        let greeting = this.line()?;
        ensure!(greeting.get("QMP").is_some(), "QEMU greets with {greeting}");
        this.execute("qmp_capabilities", &json!({}))?;
        Ok(this)
    }

    /// What the guest's first screen shows.
    ///
    /// # Errors
    /// When QEMU refuses, or its picture cannot be read.
    pub fn screen(&mut self) -> Result<Picture> {
        let file = self.folder.join("screen.ppm");
        self.execute("screendump", &json!({ "filename": file, "format": "ppm" }))?;
        let bytes = fs::read(&file).with_context(|| format!("error reading {}", file.display()))?;
        Picture::from_ppm(&bytes)
    }

    /// Keeps the same as a PNG file.
    ///
    /// # Errors
    /// When QEMU refuses.
    pub fn save_screen(&mut self, file: &Path) -> Result<()> {
        self.execute("screendump", &json!({ "filename": file, "format": "png" }))?;
        Ok(())
    }

    /// Presses keys in this order and releases them in the other. Names are those of QEMU's `QKeyCode`.
    ///
    /// # Errors
    /// When QEMU knows no such key.
    pub fn press(&mut self, keys: &[&str]) -> Result<()> {
        let event = |key: &&str, down: bool| json!({ "type": "key", "data": { "down": down, "key": { "type": "qcode", "data": key } } });
        for key in keys {
            self.send(&[event(key, true)])?;
        }
        for key in keys.iter().rev() {
            self.send(&[event(key, false)])?;
        }
        Ok(())
    }

    /// Moves the tablet's pen to a pixel of a screen of this size.
    ///
    /// # Errors
    /// When QEMU refuses.
    pub fn point(&mut self, (x, y): (i32, i32), screen: (i32, i32)) -> Result<()> {
        // The middle of the pixel, so that rounding here and there meets it.
        let value = |place: i32, length: i32| {
            (i64::from(place) * 2 + 1) * (AXIS + 1) / (i64::from(length.max(1)) * 2)
        };
        let axis =
            |axis: &str, value: i64| json!({ "type": "abs", "data": { "axis": axis, "value": value } });
        self.send(&[axis("x", value(x, screen.0)), axis("y", value(y, screen.1))])
    }

    /// Presses or releases the left button.
    ///
    /// # Errors
    /// When QEMU refuses.
    pub fn button(&mut self, down: bool) -> Result<()> {
        self.send(&[json!({ "type": "btn", "data": { "down": down, "button": "left" } })])
    }

    fn send(&mut self, events: &[Value]) -> Result<()> {
        self.execute("input-send-event", &json!({ "events": events }))?;
        Ok(())
    }

    fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        let failed = || format!("error in QEMU's command {command}");
        let request = json!({ "execute": command, "arguments": arguments });
        self.stream.get_mut().write_all(format!("{request}\n").as_bytes()).with_context(failed)?;
        loop {
            let mut answer = self.line().with_context(failed)?;
            if let Some(error) = answer.get("error") {
                bail!("QEMU refuses {command} {arguments}: {error}");
            }
            // Anything else is news of the machine.
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
        }
    }

    fn line(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.stream.read_line(&mut line).context("error reading from QEMU")?;
        ensure!(!line.is_empty(), "QEMU is gone");
        serde_json::from_str(&line).context("error reading what QEMU says")
    }
}

/// A picture of a screen.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    /// Width and height in pixels.
    pub size: (i32, i32),
    /// Red, green and blue of each pixel, row by row.
    pub rgb: Vec<u8>,
}

impl Picture {
    /// From a binary portable pixmap with 8 bits per colour.
    fn from_ppm(bytes: &[u8]) -> Result<Self> {
        let mut rest = bytes;
        let mut word = || -> Result<&str> {
            let end = rest.iter().position(u8::is_ascii_whitespace).context("a pixmap that ends early")?;
            let (word, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or_default();
            std::str::from_utf8(word).context("a pixmap whose head is no text")
        };
        let (kind, width, height, depth) = (word()?, word()?.parse()?, word()?.parse()?, word()?);
        ensure!(kind == "P6" && depth == "255", "a picture of another kind: {kind}, {depth}");
        ensure!(
            i64::try_from(rest.len())? == i64::from(width) * i64::from(height) * 3,
            "a pixmap of odd length"
        );
        Ok(Self { size: (width, height), rgb: rest.to_owned() })
    }

    /// From a PNG file with 8 bits per channel and colours.
    ///
    /// # Errors
    /// When it is not one.
    pub fn from_png(bytes: &[u8]) -> Result<Self> {
        let mut reader =
            png::Decoder::new(Cursor::new(bytes)).read_info().context("error reading a picture")?;
        let mut pixels = vec![0; reader.output_buffer_size().context("a picture that is too large")?];
        let info = reader.next_frame(&mut pixels).context("error reading a picture")?;
        let channels = info.color_type.samples();
        ensure!(info.bit_depth == png::BitDepth::Eight && channels >= 3, "a picture without colours");
        let pixels = pixels.get(..info.buffer_size()).unwrap_or_default();
        let rgb = pixels.chunks_exact(channels).flat_map(|pixel| pixel.iter().take(3)).copied().collect();
        Ok(Self { size: (info.width.try_into()?, info.height.try_into()?), rgb })
    }

    /// The colour of a pixel as `0xRRGGBB`; `None` outside the picture.
    pub fn pixel(&self, x: i32, y: i32) -> Option<u32> {
        let inside = (0..self.size.0).contains(&x) && (0..self.size.1).contains(&y);
        let place = usize::try_from((i64::from(y) * i64::from(self.size.0) + i64::from(x)) * 3).ok()?;
        let &[r, g, b] = self.rgb.get(place..place + 3).filter(|_| inside)? else { return None };
        Some(u32::from_be_bytes([0, r, g, b]))
    }

    /// How many pixels differ; all if the sizes do.
    pub fn differing(&self, other: &Self) -> usize {
        if self.size != other.size {
            return self.rgb.len() / 3;
        }
        self.rgb.chunks(3).zip(other.rgb.chunks(3)).filter(|(mine, theirs)| mine != theirs).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pixmap_is_read_to_its_last_pixel() {
        let picture = Picture::from_ppm(b"P6\n2 1\n255\n\x01\x02\x03\x20\x0a\xff").expect("a pixmap");
        assert_eq!((picture.pixel(0, 0), picture.pixel(1, 0)), (Some(0x010203), Some(0x200aff)));
        assert_eq!((picture.pixel(2, 0), picture.pixel(0, 1), picture.pixel(-1, 0)), (None, None, None));
        assert!(Picture::from_ppm(b"P6\n2 2\n255\n\x01\x02\x03").is_err());
    }
}
