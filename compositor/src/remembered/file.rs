//! The file: TOML, a key for titles and one table for each window.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Place;

/// The longest file that is read, in bytes; what is written is shorter.
const MAX_FILE: u64 = 4 << 20;

/// Why the file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It does not hold what was written.
    #[error("{} cannot be understood: {source}", path.display())]
    Parse {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: Box<toml::de::Error>,
    },
    /// The places cannot be put into words.
    #[error("the places cannot be written down: {0}")]
    Format(#[from] toml::ser::Error),
    /// It cannot be written.
    #[error("{} cannot be written: {source}", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Keys that are not known are left alone: a newer version may have written them.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Document {
    /// What titles are hashed with, as [`TitleKey::text`](super::titles::TitleKey::text).
    pub(super) key: String,
    /// The places.
    pub(super) window: Vec<Place>,
}

/// Reads the file; one that does not exist has nothing in it.
pub(super) fn read(path: &Path) -> Result<Document, FileError> {
    let failed = |source| FileError::Read { path: path.to_owned(), source };
    let file = match fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Document::default()),
        opened => opened.map_err(failed)?,
    };
    let mut text = String::new();
    file.take(MAX_FILE).read_to_string(&mut text).map_err(failed)?;
    toml::from_str(&text)
        .map_err(|source| FileError::Parse { path: path.to_owned(), source: Box::new(source) })
}

/// Puts a new file in the place of the old one, for the user alone to read. A crash of the program leaves the one or the
/// other. It is not waited for until the disk has it: after a power failure the old one is good enough.
pub(super) fn write(path: &Path, document: &Document) -> Result<(), FileError> {
    let text = toml::to_string(document)?;
    let failed = |source| FileError::Write { path: path.to_owned(), source };
    if let Some(directory) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    }
    let new = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(&new).and_then(|mut file| file.write_all(text.as_bytes())).map_err(failed)?;
    fs::rename(&new, path).map_err(failed)
}
