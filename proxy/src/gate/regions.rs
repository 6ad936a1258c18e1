//! Finding the region of a VM by the challenge that the hub wrote into it.
//!
//! File names prove nothing. The hub names a challenge over its own stream and has written it into the header of
//! exactly one region; the candidates of the configuration are searched for it. A VM can write anything into its
//! own region, but it learns no other VM's challenge, and a challenge found twice is refused.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use virtio_wl::region::MAGIC;

use crate::introduction::{CHALLENGE_LEN, RegionProof};

/// How many files of one directory are considered.
const MAX_CANDIDATES: usize = 1024;

/// Why no region is given to a VM.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegionSearchError {
    /// No candidate has the challenge.
    #[error("none of the candidate regions has the hub's challenge")]
    NotFound,
    /// Several candidates have it.
    #[error("{0} and {1} have the same challenge")]
    Ambiguous(PathBuf, PathBuf),
    /// The file is shorter than the hub says.
    #[error("the region has {found} bytes, and the hub says {expected}")]
    Length {
        /// Bytes in the file.
        found: u64,
        /// Bytes that the hub announced.
        expected: u64,
    },
}

/// Searches the candidates for the proven region and opens it.
///
/// # Errors
/// No candidate, or more than one, fits the proof.
pub fn find(candidates: &[String], proof: &RegionProof) -> Result<File, RegionSearchError> {
    let mut found: Option<(PathBuf, File)> = None;
    for path in expand(candidates) {
        let Some(file) = open_if_proven(&path, &proof.challenge) else { continue };
        if let Some((first, _)) = found {
            return Err(RegionSearchError::Ambiguous(first, path));
        }
        found = Some((path, file));
    }
    let (_, file) = found.ok_or(RegionSearchError::NotFound)?;
    let len = file.metadata().map_or(0, |metadata| metadata.len());
    if len != proof.length {
        return Err(RegionSearchError::Length { found: len, expected: proof.length });
    }
    Ok(file)
}

/// Opens a candidate if its header holds the challenge. What cannot be opened or read is no region.
fn open_if_proven(path: &Path, challenge: &[u8; CHALLENGE_LEN]) -> Option<File> {
    // O_NONBLOCK: a candidate may turn out to be a pipe without a writer.
    let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits();
    let file = OpenOptions::new().read(true).write(true).custom_flags(flags.cast_signed()).open(path).ok()?;
    let mut magic = [0; MAGIC.len()];
    let mut found = [0; CHALLENGE_LEN];
    file.read_exact_at(&mut magic, 0).ok()?;
    file.read_exact_at(&mut found, MAGIC.len() as u64).ok()?;
    (magic == MAGIC && found == *challenge).then_some(file)
}

/// The files that the candidates of the configuration stand for, each once.
fn expand(candidates: &[String]) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for candidate in candidates {
        match candidate.rsplit_once("/*") {
            Some((dir, suffix)) if !suffix.contains('/') => paths.extend(matching(Path::new(dir), suffix)),
            _ => paths.push(PathBuf::from(candidate)),
        }
    }
    paths.sort_unstable();
    paths.dedup();
    paths
}

fn matching(dir: &Path, suffix: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    entries
        .take(MAX_CANDIDATES)
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(suffix)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEN: u64 = 8192;

    fn region(path: &Path, challenge: [u8; CHALLENGE_LEN]) {
        let file = File::create(path).unwrap();
        file.set_len(LEN).unwrap();
        file.write_all_at(&MAGIC, 0).unwrap();
        file.write_all_at(&challenge, MAGIC.len() as u64).unwrap();
    }

    fn proof(byte: u8) -> RegionProof {
        RegionProof { challenge: [byte; CHALLENGE_LEN], length: LEN }
    }

    #[test]
    fn the_region_with_the_challenge_is_found_among_others() {
        let dir = tempfile::tempdir().unwrap();
        region(&dir.path().join("a.region"), [1; CHALLENGE_LEN]);
        region(&dir.path().join("b.region"), [2; CHALLENGE_LEN]);
        std::fs::write(dir.path().join("c.region"), b"short").unwrap();
        let candidates = [format!("{}/*.region", dir.path().display())];
        assert!(find(&candidates, &proof(2)).is_ok());
        assert_eq!(find(&candidates, &proof(3)).unwrap_err(), RegionSearchError::NotFound);
        let longer = RegionProof { length: LEN * 2, ..proof(2) };
        assert!(matches!(find(&candidates, &longer), Err(RegionSearchError::Length { .. })));
    }

    #[test]
    fn a_challenge_in_two_regions_proves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        region(&dir.path().join("a.region"), [1; CHALLENGE_LEN]);
        region(&dir.path().join("b.region"), [1; CHALLENGE_LEN]);
        let candidates = [format!("{}/*.region", dir.path().display())];
        assert!(matches!(find(&candidates, &proof(1)), Err(RegionSearchError::Ambiguous(..))));
    }

    #[test]
    fn a_file_named_twice_is_one_candidate() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.region");
        region(&path, [1; CHALLENGE_LEN]);
        let candidates = [format!("{}/*.region", dir.path().display()), path.display().to_string()];
        assert!(find(&candidates, &proof(1)).is_ok());
    }

    #[test]
    fn what_does_not_exist_is_no_candidate() {
        let candidates = ["/nonexistent/*.region".to_owned(), "/nonexistent/a".to_owned()];
        assert_eq!(find(&candidates, &proof(1)).unwrap_err(), RegionSearchError::NotFound);
    }
}
