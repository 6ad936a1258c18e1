//! The system packages: which are needed and why, which are missing, and installing them by apt.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{steps, target_dir};

/// One Debian package and what it is for.
struct Package {
    name: &'static str,
    purpose: &'static str,
}

const fn package(name: &'static str, purpose: &'static str) -> Package {
    Package { name, purpose }
}

/// Everything that `cargo xtask demo` and `cargo xtask test` need beside cargo.
const PACKAGES: &[Package] = &[
    package("gcc", "linking"),
    package("libc6-dev", "linking"),
    package("pkg-config", "finding the libraries below"),
    package("libpixman-1-dev", "the compositor's renderer"),
    package("libxkbcommon-dev", "the compositor's keyboard"),
    package("xkb-data", "keyboard layouts"),
    package("fonts-dejavu-core", "text in the applications of the demo"),
    package("bubblewrap", "the demo's VMs: namespaces for each"),
    package("foot", "demo and tests: a terminal"),
    package("weston", "demo and tests: weston-terminal, weston-flower, weston-simple-shm"),
    package("gtk-3-examples", "tests: a GTK 3 application"),
    package("gtk-4-examples", "demo and tests: a GTK 4 application"),
];

/// Reports what is missing.
///
/// # Errors
/// When something is missing, with the list.
pub fn check() -> Result<()> {
    let missing = missing()?;
    for package in PACKAGES {
        let state = if missing.iter().any(|m| m.name == package.name) { "missing" } else { "present" };
        println!("{state:8} {:20} {}", package.name, package.purpose);
    }
    if missing.is_empty() {
        println!("Nothing is missing.");
        return Ok(());
    }
    bail!("{} packages are missing; `cargo xtask setup` installs them", missing.len())
}

/// Installs what is missing, asking nothing.
///
/// # Errors
/// Where apt is missing (with the list of what is needed) or fails.
pub fn install() -> Result<()> {
    let missing = missing()?;
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|p| p.name).collect();
    if !has_program("apt-get") {
        bail!("there is no apt here; install these by your system's package manager:\n{}", listed(&missing));
    }
    eprintln!("==> Installing: {}", names.join(" "));
    apt(&["update", "-qq"])?;
    let mut arguments = vec!["install", "--yes", "--no-install-recommends", "-qq"];
    arguments.extend(&names);
    apt(&arguments)
}

fn apt(arguments: &[&str]) -> Result<()> {
    let root = rustix::process::geteuid().is_root();
    let mut command = if root { Command::new("apt-get") } else { sudo()? };
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
    command.stdout(Stdio::null());
    steps::run(&format!("apt-get {}", arguments.first().copied().unwrap_or_default()), &mut command)
}

fn sudo() -> Result<Command> {
    if !has_program("sudo") {
        bail!("installing packages needs root or sudo; as root, run: cargo xtask setup");
    }
    let mut command = Command::new("sudo");
    command.args(["--preserve-env=DEBIAN_FRONTEND", "apt-get"]);
    Ok(command)
}

/// The packages that are not there: by dpkg where it exists, else by looking for what they bring.
fn missing() -> Result<Vec<&'static Package>> {
    if !has_program("dpkg-query") {
        let absent: Vec<_> = PACKAGES.iter().filter(|p| !brought(p.name)).collect();
        return Ok(absent);
    }
    let output = Command::new("dpkg-query")
        .args(["--show", "--showformat", "${db:Status-Status} ${Package}\n"])
        .args(PACKAGES.iter().map(|p| p.name))
        .stderr(Stdio::null())
        .output()
        .context("error asking dpkg-query what is installed")?;
    let listed = String::from_utf8_lossy(&output.stdout);
    let installed = |name: &str| listed.lines().any(|line| line.strip_prefix("installed ") == Some(name));
    Ok(PACKAGES.iter().filter(|p| !installed(p.name)).collect())
}

/// Whether what a package is needed for is there, on a system without dpkg.
fn brought(name: &str) -> bool {
    let pkg_config = |library: &str| {
        Command::new("pkg-config").args(["--exists", library]).status().is_ok_and(|status| status.success())
    };
    match name {
        "gcc" => has_program("cc"),
        "libc6-dev" => Path::new("/usr/include/stdio.h").exists(),
        "pkg-config" => has_program("pkg-config"),
        "libpixman-1-dev" => pkg_config("pixman-1"),
        "libxkbcommon-dev" => pkg_config("xkbcommon"),
        "xkb-data" => Path::new("/usr/share/X11/xkb/rules/evdev").exists(),
        "fonts-dejavu-core" => Path::new("/usr/share/fonts").exists(),
        "bubblewrap" => has_program("bwrap"),
        "weston" => has_program("weston-flower"),
        "gtk-3-examples" => has_program("gtk3-demo"),
        "gtk-4-examples" => has_program("gtk4-demo"),
        program => has_program(program),
    }
}

fn listed(packages: &[&Package]) -> String {
    packages.iter().map(|p| format!("  {:20} {}\n", p.name, p.purpose)).collect()
}

/// A tool that cargo can build: where it is, after installing it below the target folder if it is nowhere.
///
/// # Errors
/// When cargo cannot install it.
pub fn cargo_tool(name: &str) -> Result<PathBuf> {
    let tools = target_dir().join("tools");
    let program = tools.join("bin").join(name);
    if program.exists() {
        return Ok(program);
    }
    if has_program(name) {
        return Ok(name.into());
    }
    let mut install = steps::cargo();
    install.args(["install", "--locked", "--quiet", name, "--root"]).arg(&tools);
    steps::run(&format!("installing {name}"), &mut install)?;
    Ok(program)
}

/// Whether a program is on the search path.
pub fn has_program(name: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(name).is_file()))
}
