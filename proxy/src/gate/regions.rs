//! Finding the region of a VM by the challenge that the hub wrote into it.
//!
//! The hub names a challenge over its own stream and has written it into the header of exactly one region; the candidates of
//! the configuration, files or devices, are searched for it ([`Region::find`]).

use std::path::{Path, PathBuf};

use virtio_wl::Region;
use virtio_wl::region::{FindError, devices};

use crate::introduction::RegionProof;

/// The candidate that stands for all devices that can be regions.
const DEVICES: &str = "auto";

/// How many files of one directory are considered.
const MAX_CANDIDATES: usize = 1024;

/// Why no region is given to a VM.
#[derive(Debug, thiserror::Error)]
pub enum RegionSearchError {
    /// Not exactly one candidate has the challenge.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The region has another length than the hub says.
    #[error("the region has {found} bytes, and the hub says {expected}")]
    Length {
        /// Bytes in the region.
        found: u64,
        /// Bytes that the hub announced.
        expected: u64,
    },
}

/// Searches the candidates for the proven region and opens it.
///
/// # Errors
/// No candidate, or more than one, fits the proof.
pub fn find(candidates: &[String], proof: &RegionProof) -> Result<Region, RegionSearchError> {
    let region = Region::find(expand(candidates), &proof.challenge)?;
    if region.len() != proof.length {
        return Err(RegionSearchError::Length { found: region.len(), expected: proof.length });
    }
    Ok(region)
}

/// The files that the candidates of the configuration stand for, each once.
fn expand(candidates: &[String]) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for candidate in candidates {
        let (dir, name) = candidate.rsplit_once('/').unwrap_or((".", candidate));
        match name.split_once('*') {
            _ if candidate == DEVICES => paths.extend(devices()),
            Some((begin, end)) if !end.contains('*') => paths.extend(matching(Path::new(dir), begin, end)),
            _ => paths.push(PathBuf::from(candidate)),
        }
    }
    paths.sort_unstable();
    paths.dedup();
    paths
}

/// The entries of a directory whose names begin and end like this.
fn matching(dir: &Path, begin: &str, end: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let fits = |name: &str| name.strip_prefix(begin).is_some_and(|rest| rest.ends_with(end));
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.file_name().is_some_and(|name| fits(&name.to_string_lossy())))
        .take(MAX_CANDIDATES)
        .collect()
}

#[cfg(test)]
mod tests {
    use virtio_wl::region::CHALLENGE_LEN;

    use super::*;

    const LEN: u64 = 8192;

    fn region(path: &Path, challenge: [u8; CHALLENGE_LEN]) {
        Region::create(path, LEN).unwrap().set_challenge(&challenge).unwrap();
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
        let missing = find(&candidates, &proof(3)).unwrap_err();
        assert!(matches!(missing, RegionSearchError::Find(FindError::NotFound { candidates: 3, .. })));
        let longer = RegionProof { length: LEN * 2, ..proof(2) };
        assert!(matches!(find(&candidates, &longer), Err(RegionSearchError::Length { .. })));
    }

    #[test]
    fn a_challenge_in_two_regions_proves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        region(&dir.path().join("a.region"), [1; CHALLENGE_LEN]);
        region(&dir.path().join("b.region"), [1; CHALLENGE_LEN]);
        let candidates = [format!("{}/*.region", dir.path().display())];
        let refused = find(&candidates, &proof(1)).unwrap_err();
        assert!(matches!(refused, RegionSearchError::Find(FindError::Ambiguous(..))));
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
    fn one_star_in_the_name_stands_for_anything() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["dax0.0", "dax10.0", "tax0.0", "a.region", "daxes"] {
            std::fs::write(dir.path().join(name), b"").unwrap();
        }
        let expanded = |pattern: &str| -> Vec<String> {
            let paths = expand(&[format!("{}/{pattern}", dir.path().display())]);
            paths.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
        };
        assert_eq!(expanded("dax*.0"), ["dax0.0", "dax10.0"]);
        assert_eq!(expanded("*.region"), ["a.region"]);
        assert_eq!(expanded("dax*"), ["dax0.0", "dax10.0", "daxes"]);
        assert_eq!(expanded("a.region*a.region"), [""; 0]);
        assert_eq!(expanded("tax0.0"), ["tax0.0"]);
    }

    #[test]
    fn what_does_not_exist_is_no_candidate() {
        let candidates = ["/nonexistent/*.region".to_owned(), "/nonexistent/a".to_owned()];
        assert!(matches!(
            find(&candidates, &proof(1)),
            Err(RegionSearchError::Find(FindError::NotFound { .. }))
        ));
    }
}
