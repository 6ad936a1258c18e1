//! Keymaps: the seat's own, and those of virtual keyboards.
//!
//! A virtual keyboard brings a keymap of its own, which may hold no more than the letters that it is about to type. So its
//! keymap is as secret as they are: it is shown to the client that they are typed into, while they are, and to nobody else.
//! That client has the seat's again before it gets a key of the seat, and before the keyboard moves on.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;

use rustix::fs::{FileType, MemfdFlags};
use smithay::input::keyboard::{Keycode, KeymapFile, XkbConfig, xkb};

use super::keyboard::XKB_OFFSET;
use crate::ipc::keys::MAX_CODE;

/// The largest keymap that is read, in bytes. Those of real layouts have some 70 KiB.
pub const MAX_LENGTH: u32 = 1 << 20;

/// Why there is no keymap.
#[derive(Debug, thiserror::Error)]
pub enum KeymapError {
    /// Its length makes no sense.
    #[error("A keymap has 1 to {MAX_LENGTH} bytes, not {0}")]
    Length(u32),
    /// It is in something that may make the reader wait, or does not hold as much as it should.
    #[error("A keymap is in a file of at least its length")]
    File,
    /// It could not be read.
    #[error("Error reading a keymap")]
    Read(#[source] io::Error),
    /// libxkbcommon does not understand it.
    #[error("The text is no keymap in format 1")]
    Compile,
}

/// A keymap that can be shown to clients.
#[derive(Debug)]
pub struct Keymap {
    /// For `wl_keyboard`.
    pub file: KeymapFile,
    text: String,
    /// The keys that are repeated while they are held, by their codes of evdev, in order.
    repeated: Vec<u32>,
}

/// What the keys of a keyboard are, in the words of libxkbcommon (`xkb_rule_names`). What is empty, or `None`, is what the
/// environment says (`XKB_DEFAULT_LAYOUT` and the like), or else libxkbcommon's default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// The rules by which the others are understood.
    pub rules: String,
    /// The kind of keyboard.
    pub model: String,
    /// The layouts, separated by commas.
    pub layout: String,
    /// Their variants, likewise.
    pub variant: String,
    /// Options, likewise; an empty text is none at all.
    pub options: Option<String>,
}

impl Layout {
    /// The same in Smithay's words.
    #[must_use]
    pub fn names(&self) -> XkbConfig<'_> {
        XkbConfig {
            rules: &self.rules,
            model: &self.model,
            layout: &self.layout,
            variant: &self.variant,
            options: self.options.clone(),
        }
    }
}

impl Keymap {
    /// The keymap of a layout. There must be no NUL characters in its words.
    ///
    /// # Errors
    ///
    /// [`KeymapError::Compile`] if libxkbcommon does not know the layout.
    pub fn of_layout(layout: &Layout) -> Result<Self, KeymapError> {
        let mut context = xkb::Context::new(xkb::CONTEXT_NO_FLAGS);
        // It is said where the layout was read what is wrong with it.
        context.set_log_level(xkb::LogLevel::Critical);
        let flags = xkb::KEYMAP_COMPILE_NO_FLAGS;
        let Layout { rules, model, layout, variant, options } = layout;
        let options = options.clone();
        let keymap = xkb::Keymap::new_from_names(&context, rules, model, layout, variant, options, flags);
        keymap.map(|keymap| Self::new(&keymap)).ok_or(KeymapError::Compile)
    }

    /// The keymap in a file that a client has sent. It is read once, not mapped, so that nothing that the client does to
    /// the file can hurt; and whatever could make the reader wait is refused.
    ///
    /// # Errors
    ///
    /// Any [`KeymapError`].
    pub fn of_client(fd: OwnedFd, length: u32) -> Result<Self, KeymapError> {
        if !(1..=MAX_LENGTH).contains(&length) {
            return Err(KeymapError::Length(length));
        }
        let stat = rustix::fs::fstat(&fd).map_err(|error| KeymapError::Read(error.into()))?;
        let held = u64::try_from(stat.st_size).unwrap_or(0);
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || held < u64::from(length) {
            return Err(KeymapError::File);
        }
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        File::from(fd).read_exact_at(&mut bytes, 0).map_err(KeymapError::Read)?;
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        bytes.truncate(end);
        let text = String::from_utf8(bytes).map_err(|_| KeymapError::Compile)?;
        let mut context = xkb::Context::new(xkb::CONTEXT_NO_FLAGS);
        // Its complaints would quote the text on standard error as it is.
        context.set_log_level(xkb::LogLevel::Critical);
        let (format, flags) = (xkb::KEYMAP_FORMAT_TEXT_V1, xkb::KEYMAP_COMPILE_NO_FLAGS);
        let keymap = xkb::Keymap::new_from_string(&context, text, format, flags);
        keymap.map(|keymap| Self::new(&keymap)).ok_or(KeymapError::Compile)
    }

    fn new(keymap: &xkb::Keymap) -> Self {
        let keys = keymap.min_keycode().raw()..=keymap.max_keycode().raw().min(MAX_CODE + XKB_OFFSET);
        let repeated = keys.filter(|key| keymap.key_repeats(Keycode::new(*key)));
        Self {
            file: KeymapFile::new(keymap),
            text: keymap.get_as_string(xkb::KEYMAP_FORMAT_TEXT_V1),
            repeated: repeated.map(|key| key.saturating_sub(XKB_OFFSET)).collect(),
        }
    }

    /// Whether a key is repeated while it is held: letters are, modifiers are not. `code` is an evdev key code.
    #[must_use]
    pub fn repeats(&self, code: u32) -> bool {
        self.repeated.binary_search(&code).is_ok()
    }

    /// The keymap as libxkbcommon has it; `None` if it does not understand its own words.
    pub(crate) fn compiled(&self) -> Option<xkb::Keymap> {
        let context = xkb::Context::new(xkb::CONTEXT_NO_FLAGS);
        let (format, flags) = (xkb::KEYMAP_FORMAT_TEXT_V1, xkb::KEYMAP_COMPILE_NO_FLAGS);
        xkb::Keymap::new_from_string(&context, self.text.clone(), format, flags)
    }

    /// Whether it is the same keymap.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.text == other.text
    }

    /// A copy in memory of its receiver's own, with its length; the text ends with a zero byte.
    ///
    /// # Errors
    ///
    /// If there is no memory.
    pub fn copy(&self) -> io::Result<(OwnedFd, u32)> {
        let mut file = File::from(rustix::fs::memfd_create("keymap", MemfdFlags::CLOEXEC)?);
        file.write_all(self.text.as_bytes())?;
        file.write_all(&[0])?;
        let length = u32::try_from(self.text.len().saturating_add(1)).map_err(io::Error::other)?;
        Ok((file.into(), length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: &[u8]) -> OwnedFd {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.into()
    }

    #[test]
    fn a_keymap_that_was_copied_is_the_same() {
        let seat = Keymap::of_layout(&Layout::default()).unwrap();
        let (copy, length) = seat.copy().unwrap();
        assert!(Keymap::of_client(copy, length).unwrap().is(&seat));
    }

    #[test]
    fn what_is_no_keymap_is_refused() {
        let long = MAX_LENGTH + 1;
        assert!(matches!(Keymap::of_client(file(b"x"), 0), Err(KeymapError::Length(0))));
        assert!(matches!(Keymap::of_client(file(b"x"), long), Err(KeymapError::Length(_))));
        assert!(matches!(Keymap::of_client(file(b"short"), 6), Err(KeymapError::File)));
        assert!(matches!(Keymap::of_client(file(b"xkb_keymap {"), 12), Err(KeymapError::Compile)));
        assert!(matches!(Keymap::of_client(file(b"\0\0\0"), 3), Err(KeymapError::Compile)));
        assert!(matches!(Keymap::of_client(file(b"\xff\xfe"), 2), Err(KeymapError::Compile)));
        // Reading from it would wait for ever.
        let (reader, _writer) = io::pipe().unwrap();
        assert!(matches!(Keymap::of_client(reader.into(), 10), Err(KeymapError::File)));
    }
}
