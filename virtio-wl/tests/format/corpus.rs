//! Every input that the fuzzer has kept, and every seed, still passes: `virtio-wl/fuzz` without the fuzzer.

use std::path::Path;

use crate::{alone, harness};

/// Runs a target on its inputs. What fails is named by its file, which `cargo xtask fuzz` can be given too.
fn replay(target: &str) {
    let _guard = alone();
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let folders = ["seeds", "corpus"].map(|kind| fuzz.join(kind).join(target));
    let mut replayed = 0;
    for entry in folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten() {
        let path = entry.expect("listed").path();
        let input = std::fs::read(&path).expect("read");
        if let Err(panic) = std::panic::catch_unwind(|| harness::run(target, &input)) {
            eprintln!("the input is {}", path.display());
            std::panic::resume_unwind(panic);
        }
        replayed += 1;
    }
    assert!(replayed > 0, "no inputs for {target}");
}

#[test]
fn every_target_has_a_test() {
    let names: Vec<&str> = harness::TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["c_msghdr", "frames", "hello", "mirrors", "pipes", "vfds"]);
}

#[test]
fn c_msghdr() {
    replay("c_msghdr");
}

#[test]
fn frames() {
    replay("frames");
}

#[test]
fn hello() {
    replay("hello");
}

#[test]
fn mirrors() {
    replay("mirrors");
}

#[test]
fn pipes() {
    replay("pipes");
}

#[test]
fn vfds() {
    replay("vfds");
}
