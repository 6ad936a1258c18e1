//! Screenshots as PNG files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::backend::Picture;

/// Why a screenshot was not saved.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The path would depend on where the compositor was started.
    #[error("{} is not an absolute path", .0.display())]
    Relative(PathBuf),
    /// Something is there that is no file, such as a directory, a device or a link.
    #[error("{} is there and is not a regular file", .0.display())]
    NoFile(PathBuf),
    /// The file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
}

/// Saves a picture as a PNG file that its user alone can read. A file that is there is replaced whole, at once,
/// and nothing that is not a file is ever opened, so that this cannot block.
///
/// # Errors
///
/// [`PictureError`]; a file that was there is then as it was.
pub fn save(picture: &Picture, path: &Path) -> Result<(), PictureError> {
    if !path.is_absolute() {
        return Err(PictureError::Relative(path.to_owned()));
    }
    if fs::symlink_metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(PictureError::NoFile(path.to_owned()));
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = PathBuf::from(name);
    let written = create(&part).and_then(|file| encode(picture, file)).and_then(|()| fs::rename(&part, path));
    written.map_err(|source| {
        // Only a part that was made here; if it could not be made, there is nothing to remove.
        if source.kind() != io::ErrorKind::AlreadyExists {
            let _ = fs::remove_file(&part);
        }
        PictureError::Write { path: path.to_owned(), source }
    })
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Without alpha: a screen is opaque, whatever a client left in the alpha of pixels that it called opaque.
fn encode(picture: &Picture, file: File) -> io::Result<()> {
    let mut encoder = png::Encoder::new(BufWriter::new(file), picture.width, picture.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    // The compositor waits for this, so it is done quickly rather than well.
    encoder.set_compression(png::Compression::Fast);
    let failed = |error: png::EncodingError| match error {
        png::EncodingError::IoError(error) => error,
        other => io::Error::other(other),
    };
    let mut writer = encoder.write_header().map_err(failed)?;
    let opaque: Vec<u8> =
        picture.rgba.chunks_exact(4).flat_map(|pixel| pixel.iter().take(3)).copied().collect();
    writer.write_image_data(&opaque).map_err(failed)?;
    writer.finish().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> Picture {
        Picture { width: 2, height: 1, rgba: vec![1, 2, 3, 255, 4, 5, 6, 0] }
    }

    #[test]
    fn a_saved_picture_has_the_same_colours_and_is_opaque() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.png");
        fs::write(&path, "something older").unwrap();
        save(&picture(), &path).unwrap();
        let mut reader =
            png::Decoder::new(io::BufReader::new(File::open(&path).unwrap())).read_info().unwrap();
        let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut bytes).unwrap();
        assert_eq!(bytes, [1, 2, 3, 4, 5, 6]);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_file_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(save(&picture(), directory.path()), Err(PictureError::NoFile(_))));
        let link = directory.path().join("link");
        std::os::unix::fs::symlink("/dev/null", &link).unwrap();
        assert!(matches!(save(&picture(), &link), Err(PictureError::NoFile(_))));
        assert!(matches!(save(&picture(), Path::new("a.png")), Err(PictureError::Relative(_))));
    }

    #[test]
    fn a_directory_that_is_missing_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("missing/a.png");
        let error = save(&picture(), &path).unwrap_err();
        assert!(error.to_string().contains("missing/a.png: No such file"), "{error}");
    }

    #[test]
    fn a_picture_that_cannot_be_encoded_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let broken = Picture { rgba: Vec::new(), ..picture() };
        assert!(save(&broken, &directory.path().join("a.png")).is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
