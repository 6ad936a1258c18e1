//! Which devices of this machine may be regions.
//!
//! Names prove nothing: a candidate is a region if it begins with [`MAGIC`](super::MAGIC), and whose region it is can only be told by the
//! challenge in its header.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Region, RegionError};

/// How many entries of a folder are considered.
const MAX_ENTRIES: usize = 4096;

/// Vendor and device of an ivshmem function, as sysfs has them.
const IVSHMEM: [&str; 2] = ["0x1af4", "0x1110"];

/// The files of a PCI function that are its shared memory: the write-combining one is faster.
const RESOURCES: [&str; 2] = ["resource2_wc", "resource2"];

/// The devdax devices and the ivshmem devices of this machine, whether or not they can be opened.
#[must_use]
pub fn devices() -> Vec<PathBuf> {
    devices_in(Path::new("/dev"), Path::new("/sys/bus/pci/devices"))
}

fn devices_in(dev: &Path, pci: &Path) -> Vec<PathBuf> {
    let is_devdax =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"dax"));
    let mut found: Vec<_> = entries(dev).filter(is_devdax).collect();
    found.extend(entries(pci).filter_map(|function| ivshmem(&function)));
    found.sort_unstable();
    found
}

/// The shared memory of a PCI function, if it is one of ivshmem.
fn ivshmem(function: &Path) -> Option<PathBuf> {
    let is = |file: &str, wanted: &str| {
        fs::read_to_string(function.join(file)).is_ok_and(|content| content.trim() == wanted)
    };
    let [vendor, device] = IVSHMEM;
    if !is("vendor", vendor) || !is("device", device) {
        return None;
    }
    RESOURCES.iter().map(|resource| function.join(resource)).find(|path| path.exists())
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.take(MAX_ENTRIES).filter_map(|entry| Some(entry.ok()?.path()))
}

impl Region {
    /// Opens the one region among the [`devices`] of this machine; `None` if there is none. What cannot be opened is
    /// none.
    ///
    /// # Errors
    ///
    /// There are several, so that one has to be named.
    pub fn discover() -> Result<Option<(PathBuf, Self)>, RegionError> {
        one_of(devices())
    }
}

fn one_of(candidates: Vec<PathBuf>) -> Result<Option<(PathBuf, Region)>, RegionError> {
    let mut found: Option<(PathBuf, Region)> = None;
    for path in candidates {
        let Ok(region) = Region::open(&path) else { continue };
        match &found {
            Some((_, first)) if first.id() == region.id() => {}
            Some((first, _)) => return Err(RegionError::Several(first.clone(), path)),
            None => found = Some((path, region)),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEN: u64 = 64 * 1024;

    /// A PCI function as sysfs shows it.
    fn function(pci: &Path, name: &str, [vendor, device]: [&str; 2], resources: &[&str]) {
        let folder = pci.join(name);
        fs::create_dir_all(&folder).expect("directory");
        fs::write(folder.join("vendor"), format!("{vendor}\n")).expect("file");
        fs::write(folder.join("device"), format!("{device}\n")).expect("file");
        resources.iter().for_each(|name| fs::write(folder.join(name), "").expect("file"));
    }

    #[test]
    fn devdax_devices_and_the_memory_of_ivshmem_functions_are_candidates() {
        let root = tempfile::tempdir().expect("temporary directory");
        let (dev, pci) = (root.path().join("dev"), root.path().join("pci"));
        fs::create_dir(&dev).expect("directory");
        ["dax0.0", "dax1.0", "null", "xdax"]
            .iter()
            .for_each(|name| fs::write(dev.join(name), "").expect("file"));
        function(&pci, "0000:00:01.0", ["0x8086", "0x1110"], &["resource2"]);
        function(&pci, "0000:00:02.0", ["0x1af4", "0x1041"], &["resource2"]);
        function(&pci, "0000:00:03.0", IVSHMEM, &["resource0", "resource2", "resource2_wc"]);
        function(&pci, "0000:00:04.0", IVSHMEM, &["resource0", "resource2"]);
        function(&pci, "0000:00:05.0", IVSHMEM, &["resource0"]);
        let expected = [
            dev.join("dax0.0"),
            dev.join("dax1.0"),
            pci.join("0000:00:03.0/resource2_wc"),
            pci.join("0000:00:04.0/resource2"),
        ];
        assert_eq!(devices_in(&dev, &pci), expected);
        assert_eq!(
            devices_in(&root.path().join("nothing"), &root.path().join("nowhere")),
            [""; 0].map(PathBuf::from)
        );
    }

    #[test]
    fn the_one_candidate_with_a_header_is_the_region() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = |name: &str| dir.path().join(name);
        fs::write(path("other"), vec![1; 8192]).expect("file");
        assert!(one_of(vec![path("other"), path("missing")]).expect("none").is_none());
        let region = Region::create(&path("region"), LEN).expect("created");
        fs::hard_link(path("region"), path("same")).expect("linked");
        let candidates = || vec![path("missing"), path("other"), path("region"), path("same")];
        let (found, one) = one_of(candidates()).expect("one").expect("some");
        assert_eq!((found, one.id()), (path("region"), region.id()));
        Region::create(&path("second"), LEN).expect("created");
        let several = [candidates(), vec![path("second")]].concat();
        assert!(
            matches!(one_of(several), Err(RegionError::Several(one, two)) if one == path("region") && two == path("second"))
        );
    }
}
