//! Finding a region by its challenge.
//!
//! Neither file names nor the order of devices prove anything. Whoever says which region belongs to whom has written random
//! bytes into its header, and says them over a stream that no VM can write to. A VM can write anything into its own
//! region, but it does not learn the challenge of another; a challenge that is found twice proves nothing.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::{CHALLENGE_LEN, Region, RegionError};

/// Why no region was found.
#[derive(Debug, Error)]
pub enum FindError {
    /// No candidate has the challenge.
    #[error("none of {candidates} candidates has the challenge{}", problem(unusable.as_deref()))]
    NotFound {
        /// How many there were.
        candidates: usize,
        /// The first candidate that is no region, and why: perhaps the one that was meant.
        unusable: Option<Box<(PathBuf, RegionError)>>,
    },
    /// Several candidates have it.
    #[error("{} and {} have the same challenge", .0.display(), .1.display())]
    Ambiguous(PathBuf, PathBuf),
}

fn problem(unusable: Option<&(PathBuf, RegionError)>) -> String {
    unusable.map(|(path, error)| format!("; {}: {error}", path.display())).unwrap_or_default()
}

impl Region {
    /// Finds the one region with this challenge among files, PCI resources and devdax devices. A candidate that is a
    /// symbolic link is none.
    ///
    /// # Errors
    ///
    /// No candidate has it, or more than one.
    pub fn find(
        candidates: impl IntoIterator<Item = PathBuf>,
        challenge: &[u8; CHALLENGE_LEN],
    ) -> Result<Self, FindError> {
        let mut found: Option<(PathBuf, Self)> = None;
        let (mut count, mut unusable) = (0_usize, None);
        for path in candidates {
            count = count.saturating_add(1);
            match open_with_challenge(&path) {
                Ok((region, theirs)) if theirs == *challenge => match &found {
                    // Another name of the same file or device.
                    Some((_, first)) if first.id() == region.id() => {}
                    Some((first, _)) => return Err(FindError::Ambiguous(first.clone(), path)),
                    None => found = Some((path, region)),
                },
                Ok(_) => {}
                Err(error) => unusable = unusable.or_else(|| Some(Box::new((path, error)))),
            }
        }
        found.map(|(_, region)| region).ok_or(FindError::NotFound { candidates: count, unusable })
    }
}

fn open_with_challenge(path: &Path) -> Result<(Region, [u8; CHALLENGE_LEN]), RegionError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        // A candidate may turn out to be a pipe without a writer, or a terminal.
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(|source: io::Error| RegionError::Open { path: path.to_owned(), source })?;
    let region = Region::from_fd(file.into())?;
    let challenge = region.challenge()?;
    Ok((region, challenge))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(path: PathBuf, challenge: u8) -> PathBuf {
        Region::create(&path, 8192)
            .expect("made")
            .set_challenge(&[challenge; CHALLENGE_LEN])
            .expect("written");
        path
    }

    #[test]
    fn the_region_with_the_challenge_is_found_among_others() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let candidates = [
            make(dir.path().join("a"), 1),
            dir.path().join("missing"),
            dir.path().to_owned(),
            make(dir.path().join("b"), 2),
        ];
        let found = Region::find(candidates.clone(), &[2; CHALLENGE_LEN]).expect("found");
        assert_eq!(found.id(), Region::open(&candidates[3]).expect("opened").id());
    }

    #[test]
    fn a_challenge_in_two_regions_proves_nothing() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let candidates = [make(dir.path().join("a"), 1), make(dir.path().join("b"), 1)];
        let error = Region::find(candidates.clone(), &[1; CHALLENGE_LEN]).expect_err("refused");
        let [first, second] = candidates;
        assert!(matches!(error, FindError::Ambiguous(a, b) if a == first && b == second));
    }

    #[test]
    fn a_file_with_two_names_is_one_candidate() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let one = make(dir.path().join("a"), 1);
        let two = dir.path().join("b");
        std::fs::hard_link(&one, &two).expect("linked");
        Region::find([one, two], &[1; CHALLENGE_LEN]).expect("found");
    }

    #[test]
    fn who_finds_nothing_learns_which_candidate_is_no_region() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let region = make(dir.path().join("a"), 1);
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&region, &link).expect("linked");
        let error = Region::find([region, link.clone()], &[2; CHALLENGE_LEN]).expect_err("not there");
        let text = error.to_string();
        assert!(text.contains("none of 2") && text.contains(&link.display().to_string()), "{text}");
        let error = Region::find([link], &[1; CHALLENGE_LEN]).expect_err("a link is no candidate");
        assert!(matches!(error, FindError::NotFound { candidates: 1, .. }));
    }
}
