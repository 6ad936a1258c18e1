//! The archive format of an initramfs: cpio's `newc`, as the kernel's document "initramfs buffer format" has it.

use std::io::{self, Write};

const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;

/// Writes entries in the order in which they are given; a folder must come before what is in it.
#[derive(Debug)]
pub struct Archive<W> {
    out: W,
    entries: u32,
}

impl<W: Write> Archive<W> {
    pub fn new(out: W) -> Self {
        Self { out, entries: 0 }
    }

    /// A folder that everyone can read. Names are relative, without a leading slash.
    ///
    /// # Errors
    /// When writing fails.
    pub fn folder(&mut self, name: &str) -> io::Result<()> {
        self.entry(name, FOLDER | 0o755, &[])
    }

    /// A file that everyone can read and, if asked, execute.
    ///
    /// # Errors
    /// When writing fails or the content is too long for the format (4 GiB).
    pub fn file(&mut self, name: &str, executable: bool, content: &[u8]) -> io::Result<()> {
        self.entry(name, FILE | if executable { 0o755 } else { 0o644 }, content)
    }

    /// A symbolic link.
    ///
    /// # Errors
    /// When writing fails.
    pub fn link(&mut self, name: &str, target: &str) -> io::Result<()> {
        self.entry(name, LINK | 0o777, target.as_bytes())
    }

    /// Writes the end of the archive.
    ///
    /// # Errors
    /// When writing fails.
    pub fn finish(mut self) -> io::Result<()> {
        self.entry("TRAILER!!!", 0, &[])?;
        self.out.flush()
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        let too_long = |_| io::Error::new(io::ErrorKind::FileTooLarge, name.to_owned());
        let content_len = u32::try_from(content.len()).map_err(too_long)?;
        let name_len = u32::try_from(name.len() + 1).map_err(too_long)?;
        self.entries += 1;
        // Owner, group and time are zero, so that the same content gives the same archive.
        let links = 1;
        let header = [self.entries, mode, 0, 0, links, 0, content_len, 0, 0, 0, 0, name_len, 0]
            .map(|f| format!("{f:08x}"));
        let head = format!("070701{}{name}\0", header.concat());
        self.padded(head.as_bytes())?;
        self.padded(content)
    }

    fn padded(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        let padding = bytes.len().next_multiple_of(4) - bytes.len();
        self.out.write_all(&[0; 4][..padding])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_and_contents_are_padded_to_four_bytes() {
        let mut bytes = Vec::new();
        let mut archive = Archive::new(&mut bytes);
        archive.folder("bin").expect("folder");
        archive.file("bin/a", true, b"12345").expect("file");
        archive.finish().expect("end");
        let folder = format!("070701{:08x}{:08x}", 1, 0o040_755);
        assert!(bytes.starts_with(folder.as_bytes()));
        // 110 bytes of header and a name of 4 with its zero.
        let file = format!("070701{:08x}{:08x}", 2, 0o100_755);
        assert_eq!(&bytes[116..116 + file.len()], file.as_bytes());
        let content = 116 + (110_usize + 6).next_multiple_of(4);
        assert_eq!(&bytes[content..content + 8], b"12345\0\0\0");
        assert!(bytes[content + 8..].starts_with(b"070701"));
        assert_eq!(bytes.len() % 4, 0);
    }
}
