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

/// What a static library made by rustc needs of the system, as `rustc --print native-static-libs` says.
const NEEDED: [&str; 5] = ["-lgcc_s", "-lutil", "-lrt", "-lpthread", "-ldl"];

/// Where cargo puts the libraries of this package: beside its tests.
fn built() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    test.parent().expect("it is in a directory").to_owned()
}

/// Compiles a C file of this package, without a warning, and returns the program.
#[track_caller]
pub fn compile(source: &str, linking: Linking) -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let name = format!("{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&target).expect("a directory below target");
    let program = target.join("program");
    let mut compiler = Command::new("cc");
    compiler.args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-g", "-o"]).arg(&program);
    compiler.arg(root.join(source)).arg("-I").arg(root.join("include"));
    match linking {
        Linking::Shared => {
            // Programs ask for the library by its name at run time.
            let library = built().join("libvirtio_wl.so");
            std::os::unix::fs::symlink(&library, target.join("libvirtio_wl.so.0")).expect("a link");
            compiler.arg(&library).arg(format!("-Wl,-rpath,{}", target.display()));
        }
        Linking::Static => {
            compiler.arg(built().join("libvirtio_wl.a")).args(NEEDED);
        }
    }
    let output = compiler.output().expect("cc is installed; `cargo xtask setup` does it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program
}
