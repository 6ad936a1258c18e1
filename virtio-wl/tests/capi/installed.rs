//! Compiling C programs against the library that cargo has built beside the tests.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// How a program gets the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linking {
    /// `libvirtio_wl.so`.
    Shared,
    /// `libvirtio_wl.a`.
    Static,
}

/// Where cargo puts the libraries of this package: beside its tests.
fn built() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    test.parent().expect("it is in a directory").to_owned()
}

/// Lays the library out below `prefix` as a distribution installs it, with the file for pkg-config.
fn install(prefix: &Path) {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (lib, include) = (prefix.join("lib"), prefix.join("include"));
    for folder in [&lib.join("pkgconfig"), &include] {
        std::fs::create_dir_all(folder).expect("a directory below target");
    }
    let link = |from: PathBuf, to: PathBuf| std::os::unix::fs::symlink(from, to).expect("a link");
    link(package.join("include/virtio_wl.h"), include.join("virtio_wl.h"));
    link(built().join("libvirtio_wl.a"), lib.join("libvirtio_wl.a"));
    // Programs ask for the library by its name at run time, the linker by the one without a version.
    link(built().join("libvirtio_wl.so"), lib.join("libvirtio_wl.so.0"));
    link(PathBuf::from("libvirtio_wl.so.0"), lib.join("libvirtio_wl.so"));
    let template = std::fs::read_to_string(package.join("../assets/virtio_wl.pc.in")).expect("the template");
    let filled = template
        .replace("@PREFIX@", prefix.to_str().expect("a path of ours is text"))
        .replace("@VERSION@", env!("CARGO_PKG_VERSION"));
    std::fs::write(lib.join("pkgconfig/virtio_wl.pc"), filled).expect("a file below target");
}

/// What pkg-config says of the library below `prefix`.
#[track_caller]
fn pkg_config(prefix: &Path, arguments: &[&str]) -> Vec<String> {
    let mut command = Command::new("pkg-config");
    command.env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig")).args(arguments).arg("virtio_wl");
    let output = command.output().expect("pkg-config is installed; `cargo xtask setup` does it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).split_whitespace().map(str::to_owned).collect()
}

/// Compiles a C file of this package against the installed library, without a warning, and returns the program.
#[track_caller]
pub fn compile(source: &str, linking: Linking) -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let prefix = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    install(&prefix);
    let program = prefix.join("program");
    let mut compiler = Command::new("cc");
    compiler.args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-g", "-o"]).arg(&program);
    compiler.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(source));
    compiler.args(pkg_config(&prefix, &["--cflags"]));
    match linking {
        Linking::Shared => {
            compiler.args(pkg_config(&prefix, &["--libs"]));
            compiler.arg(format!("-Wl,-rpath,{}", prefix.join("lib").display()));
        }
        Linking::Static => {
            // The linker would take the shared library where both are.
            std::fs::remove_file(prefix.join("lib/libvirtio_wl.so")).expect("a link of ours");
            compiler.args(pkg_config(&prefix, &["--static", "--libs"]));
        }
    }
    let output = compiler.output().expect("cc is installed; `cargo xtask setup` does it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program
}

#[test]
fn pkg_config_knows_the_version() {
    let prefix = tempfile::tempdir().expect("temporary directory");
    install(prefix.path());
    assert_eq!(pkg_config(prefix.path(), &["--modversion"]), [env!("CARGO_PKG_VERSION")]);
    pkg_config(prefix.path(), &["--validate"]);
}
