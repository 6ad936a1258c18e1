//! The whole file system of a small guest, in memory: busybox, kernel modules, and programs of this workspace.
//!
//! Programs are the ordinary builds of this machine; they bring the libraries that they are linked with, so that
//! what runs in the guest is what runs outside.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::cpio::Archive;
use super::packages::Packages;

/// The first process of every guest.
const INIT: &str = include_str!("init.sh");

/// What an initramfs will hold, by its name without a leading slash.
#[derive(Debug)]
pub struct Initramfs {
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug)]
enum Entry {
    Folder,
    File { executable: bool, content: Vec<u8> },
    Link(&'static str),
}

impl Initramfs {
    /// busybox, the first process, and `modules` with all that they need, to be loaded in this order.
    ///
    /// # Errors
    /// When a file of the packages cannot be read, or there is no such module.
    pub fn new(packages: &Packages, modules: &[&str]) -> Result<Self> {
        let mut this = Self { entries: BTreeMap::new() };
        this.file("bin/busybox", true, read(&packages.busybox())?);
        this.file("init", true, INIT.into());
        this.file("etc/modules", false, modules.join("\n").into());
        // Where the kernel looks for modprobe.
        this.folders_of("sbin/modprobe");
        this.entries.insert("sbin/modprobe".to_owned(), Entry::Link("/bin/busybox"));
        this.modules(packages, modules)?;
        Ok(this)
    }

    /// Adds a file.
    pub fn file(&mut self, name: &str, executable: bool, content: Vec<u8>) {
        self.folders_of(name);
        self.entries.insert(name.to_owned(), Entry::File { executable, content });
    }

    /// Adds a program of this machine and the libraries that it is linked with.
    ///
    /// # Errors
    /// When one of them cannot be found or read.
    pub fn program(&mut self, name: &str, program: &Path) -> Result<()> {
        self.file(name, true, read(program)?);
        for library in libraries(program)? {
            let name = library.trim_start_matches('/');
            if !self.entries.contains_key(name) {
                self.file(name, true, read(Path::new(&library))?);
            }
        }
        Ok(())
    }

    /// Adds a library of this machine that programs load by themselves, at the same place, and the libraries that it is linked with.
    ///
    /// # Errors
    /// When one of them cannot be found or read.
    pub fn library(&mut self, library: &Path) -> Result<()> {
        let name = library.to_str().with_context(|| format!("an odd name: {}", library.display()))?;
        self.program(name.trim_start_matches('/'), library)
    }

    /// Adds a folder of this machine with all that is in it, at the same place. What is a link here is a file there.
    ///
    /// # Errors
    /// When something in it cannot be read.
    pub fn tree(&mut self, folder: &Path) -> Result<()> {
        let context = || format!("error listing {}", folder.display());
        for entry in fs::read_dir(folder).with_context(context)? {
            let path = entry.with_context(context)?.path();
            if path.is_dir() {
                self.tree(&path)?;
            } else if path.exists() {
                let name = path.to_str().with_context(|| format!("an odd name: {}", path.display()))?;
                self.file(name.trim_start_matches('/'), false, read(&path)?);
            }
        }
        Ok(())
    }

    /// Writes the archive.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let context = || format!("error writing {}", path.display());
        let mut archive = Archive::new(BufWriter::new(File::create(path).with_context(context)?));
        for (name, entry) in &self.entries {
            match entry {
                Entry::Folder => archive.folder(name),
                Entry::File { executable, content } => archive.file(name, *executable, content),
                Entry::Link(target) => archive.link(name, target),
            }
            .with_context(context)?;
        }
        archive.finish().with_context(context)
    }

    fn folders_of(&mut self, name: &str) {
        for (end, _) in name.match_indices('/') {
            if let Some(folder) = name.get(..end) {
                self.entries.entry(folder.to_owned()).or_insert(Entry::Folder);
            }
        }
    }

    fn modules(&mut self, packages: &Packages, wanted: &[&str]) -> Result<()> {
        let folder = packages.modules();
        let inside = format!("lib/modules/{}", packages.kernel_release());
        for index in ["modules.dep", "modules.builtin", "modules.alias", "modules.softdep", "modules.symbols"]
        {
            self.file(&format!("{inside}/{index}"), false, read(&folder.join(index))?);
        }
        let list = folder.join("modules.dep");
        let list = fs::read_to_string(&list).with_context(|| format!("error reading {}", list.display()))?;
        let builtin = String::from_utf8_lossy(&read(&folder.join("modules.builtin"))?).into_owned();
        for &name in wanted {
            match list.lines().find_map(|line| files_of(line, name)) {
                Some(files) => {
                    for file in files {
                        self.file(&format!("{inside}/{file}"), false, read(&folder.join(file))?);
                    }
                }
                None if builtin.lines().any(|file| module_name(file) == name) => {}
                None => bail!("the kernel {} has no module {name}", packages.kernel_release()),
            }
        }
        Ok(())
    }
}

/// The file of the module and those that it needs, from a line of modules.dep, if the line is about it.
fn files_of<'a>(line: &'a str, name: &str) -> Option<Vec<&'a str>> {
    let (file, needed) = line.split_once(':')?;
    (module_name(file) == name).then(|| std::iter::once(file).chain(needed.split_whitespace()).collect())
}

/// `virtio_rng` for `kernel/drivers/char/hw_random/virtio-rng.ko.xz`.
fn module_name(file: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.split('.').next().unwrap_or(name).replace('-', "_")
}

/// The shared libraries of a program and the loader, by ldd; none for a static program.
fn libraries(program: &Path) -> Result<Vec<String>> {
    let output = Command::new("ldd")
        .arg(program)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .context("error starting ldd")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if let Some(line) = text.lines().find(|line| line.contains("not found")) {
        bail!("{} lacks a library: {}", program.display(), line.trim());
    }
    let path = |line: &str| line.split_whitespace().find(|word| word.starts_with('/')).map(str::to_owned);
    Ok(text.lines().filter_map(path).collect())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("error reading {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_brings_what_it_needs_whatever_dashes_its_file_has() {
        let line = "kernel/drivers/a/virtio-pmem.ko.xz: kernel/b.ko.xz kernel/c.ko.xz";
        let files = files_of(line, "virtio_pmem").expect("the line is about it");
        assert_eq!(files, ["kernel/drivers/a/virtio-pmem.ko.xz", "kernel/b.ko.xz", "kernel/c.ko.xz"]);
        assert_eq!(files_of(line, "pmem"), None);
    }
}
