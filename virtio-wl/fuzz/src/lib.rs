//! What the fuzz targets do with an input, and what they compare it with.
//!
//! Every target is a function of bytes that panics where virtio-wl does not do what `docs/wire.md` says. libFuzzer calls
//! it with inputs of its own; the test `format` of virtio-wl calls it with those that are checked in.
//!
//! [`reference`] and [`conversation`] are a second implementation of the page, of the encoding and of the rules. They share
//! no code with virtio-wl and were written from the page alone, so that a mistake in one is a difference.

use std::sync::Once;

pub mod c_msghdr;
pub mod choices;
pub mod conversation;
pub mod descriptors;
pub mod frames;
pub mod hello;
pub mod mirrors;
pub mod pipes;
pub mod reference;
pub mod vfds;
pub mod wire_peer;

/// A target: its name and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("c_msghdr", c_msghdr::run),
    ("frames", frames::run),
    ("hello", hello::run),
    ("mirrors", mirrors::run),
    ("pipes", pipes::run),
    ("vfds", vfds::run),
];

/// Runs the target `name` on `input`. Panics where the target finds something wrong, or does not exist.
pub fn run(name: &str, input: &[u8]) {
    static IGNORE_SIGPIPE: Once = Once::new();
    IGNORE_SIGPIPE.call_once(|| {
        // SAFETY: SIG_IGN is a valid disposition and no handler is installed. Rust's runtime does the same before `main`;
        // libFuzzer has a `main` of its own.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    });
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    let (_, target) = target.expect("the target exists");
    target(input);
}
