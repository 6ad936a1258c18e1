//! The system packages: which are needed and why, which are missing, and installing them by apt.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::apps::table;
use crate::{steps, target_dir};

/// One Debian package and what it is for.
#[derive(Clone)]
struct Package {
    name: Cow<'static, str>,
    purpose: Cow<'static, str>,
    /// The program that says that it is there, where [`brought`] knows none.
    program: Cow<'static, str>,
}

const fn package(name: &'static str, purpose: &'static str) -> Package {
    Package { name: Cow::Borrowed(name), purpose: Cow::Borrowed(purpose), program: Cow::Borrowed(name) }
}

/// What `cargo xtask demo` and `cargo xtask test` need beside cargo and the light applications of the table.
const PACKAGES: &[Package] = &[
    package("gcc", "linking"),
    package("libc6-dev", "linking"),
    package("pkg-config", "finding the libraries below"),
    package("libpixman-1-dev", "the compositor's renderer"),
    package("libxkbcommon-dev", "the compositor's keyboard"),
    package("libudev-dev", "the compositor on a console: finding its devices"),
    package("libinput-dev", "the compositor on a console: keyboards and pointers"),
    package("libseat-dev", "the compositor on a console: opening its devices"),
    package("libgbm-dev", "the compositor on a console: buffers that the graphics card draws into"),
    package("libegl1", "tests: OpenGL"),
    package("libgl1-mesa-dri", "tests: OpenGL without a graphics card"),
    package("xkb-data", "keyboard layouts"),
    package("fonts-dejavu-core", "text in the applications of the demo"),
    package("bubblewrap", "the demo's VMs: namespaces for each"),
    package("foot", "demo and tests: a terminal"),
    package("weston", "demo and tests: its terminal and its other clients, and a desktop for a window"),
    package("xvfb", "tests: an X server for a window"),
    package("wlr-randr", "tests: a program that sets up outputs"),
    package("kanshi", "tests: a program that sets up outputs whenever one is plugged in"),
    package("wlsunset", "tests: a program that changes the colours of outputs"),
    package("grim", "tests: pictures of the screen"),
    package("slurp", "tests: choosing a part of the screen"),
    package("wl-clipboard", "tests: the clipboard of local programs"),
    package("udev", "tests: the devices of a virtual machine with a screen"),
    package("gtk-4-examples", "demo and tests: a GTK 4 application"),
    package("waybar", "tests: a bar with the windows of VMs"),
    package("dbus-daemon", "tests: a session bus of their own"),
    package("mako-notifier", "tests: notifications"),
    package("libnotify-bin", "tests: sending notifications"),
    package("swayidle", "tests: what is done when nobody is there"),
    package("squeekboard", "tests: a keyboard on the screen, by an input method"),
    package("wvkbd", "tests: a keyboard on the screen, by a virtual keyboard"),
    package("libpam-wrapper", "tests: unlocking by a password that is no account's"),
];

/// Everything that is needed: [`PACKAGES`] and what the light applications of the table come from.
fn needed() -> Result<Vec<Package>> {
    let mut packages = PACKAGES.to_vec();
    for application in table::read()?.into_iter().filter(|application| application.light) {
        for name in application.packages {
            if packages.iter().all(|package| package.name != name) {
                let purpose = Cow::Owned(format!("tests: {}", application.name));
                let program = application.command.first().cloned().unwrap_or_default();
                packages.push(Package { name: Cow::Owned(name), purpose, program: Cow::Owned(program) });
            }
        }
    }
    Ok(packages)
}

/// Reports what is missing.
///
/// # Errors
/// When something is missing, with the list.
pub fn check() -> Result<()> {
    let needed = needed()?;
    let missing = missing(&needed)?;
    for package in &needed {
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
    let needed = needed()?;
    let missing = missing(&needed)?;
    if missing.is_empty() {
        return Ok(());
    }
    if !has_program("apt-get") {
        bail!("there is no apt here; install these by your system's package manager:\n{}", listed(&missing));
    }
    let names: Vec<&str> = missing.iter().map(|package| package.name.as_ref()).collect();
    apt(&["update", "-qq"])?;
    apt_install(&names)
}

/// Installs those of the packages that are missing and that the distribution has. Returns those that it has not.
///
/// # Errors
/// Where apt fails.
pub fn install_available(names: &[&str]) -> Result<Vec<String>> {
    let absent: Vec<&str> = names.iter().copied().filter(|name| version(name).is_empty()).collect();
    if absent.is_empty() || !has_program("apt-get") {
        return Ok(absent.into_iter().map(str::to_owned).collect());
    }
    apt(&["update", "-qq"])?;
    let (available, unavailable): (Vec<&str>, Vec<&str>) =
        absent.into_iter().partition(|name| is_packaged(name));
    if !available.is_empty() {
        apt_install(&available)?;
    }
    Ok(unavailable.into_iter().map(str::to_owned).collect())
}

/// The version of an installed package; empty for one that is not installed.
pub fn version(package: &str) -> String {
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat", "${db:Status-Status} ${Version}", package]).stderr(Stdio::null());
    let output = query.output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).strip_prefix("installed ").unwrap_or_default().to_owned()
}

/// Whether apt knows a version that could be installed.
fn is_packaged(name: &str) -> bool {
    let mut query = Command::new("apt-cache");
    query.args(["show", "--no-all-versions", name]).stdin(Stdio::null()).stderr(Stdio::null());
    query.output().is_ok_and(|output| output.status.success() && !output.stdout.is_empty())
}

fn apt_install(names: &[&str]) -> Result<()> {
    eprintln!("==> Installing: {}", names.join(" "));
    let mut arguments = vec!["install", "--yes", "--no-install-recommends", "-qq"];
    arguments.extend(names);
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
fn missing(needed: &[Package]) -> Result<Vec<&Package>> {
    if !has_program("dpkg-query") {
        return Ok(needed.iter().filter(|package| !brought(package)).collect());
    }
    let output = Command::new("dpkg-query")
        .args(["--show", "--showformat", "${db:Status-Status} ${Package}\n"])
        .args(needed.iter().map(|package| package.name.as_ref()))
        .stderr(Stdio::null())
        .output()
        .context("error asking dpkg-query what is installed")?;
    let listed = String::from_utf8_lossy(&output.stdout);
    let installed = |name: &str| listed.lines().any(|line| line.strip_prefix("installed ") == Some(name));
    Ok(needed.iter().filter(|package| !installed(&package.name)).collect())
}

/// Whether what a package is needed for is there, on a system without dpkg.
fn brought(package: &Package) -> bool {
    let pkg_config = |library: &str| {
        Command::new("pkg-config").args(["--exists", library]).status().is_ok_and(|status| status.success())
    };
    match package.name.as_ref() {
        "gcc" => has_program("cc"),
        "libc6-dev" => Path::new("/usr/include/stdio.h").exists(),
        "pkg-config" => has_program("pkg-config"),
        "libpixman-1-dev" => pkg_config("pixman-1"),
        "libxkbcommon-dev" => pkg_config("xkbcommon"),
        "libudev-dev" => pkg_config("libudev"),
        "libinput-dev" => pkg_config("libinput"),
        "libseat-dev" => pkg_config("libseat"),
        "libgbm-dev" => pkg_config("gbm"),
        "libegl1" => has_library("libEGL.so.1"),
        "libgl1-mesa-dri" => has_library("libEGL_mesa.so.0"),
        "udev" => has_program("udevadm"),
        "xkb-data" => Path::new("/usr/share/X11/xkb/rules/evdev").exists(),
        "fonts-dejavu-core" => Path::new("/usr/share/fonts").exists(),
        "bubblewrap" => has_program("bwrap"),
        "weston" => has_program("weston-flower"),
        "xvfb" => has_program("Xvfb"),
        "wl-clipboard" => has_program("wl-paste"),
        "mako-notifier" => has_program("mako"),
        "libnotify-bin" => has_program("notify-send"),
        "wvkbd" => has_program("wvkbd-mobintl"),
        "libpam-wrapper" => pkg_config("pam_wrapper"),
        "gtk-3-examples" => has_program("gtk3-demo"),
        "gtk-4-examples" => has_program("gtk4-demo"),
        _ => has_program(&package.program),
    }
}

/// Whether the loader finds a library.
fn has_library(name: &str) -> bool {
    let mut list = Command::new("ldconfig");
    list.arg("-p").stdin(Stdio::null()).stderr(Stdio::null());
    let output = list.output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).lines().any(|line| line.split_whitespace().next() == Some(name))
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
