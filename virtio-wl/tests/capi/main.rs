//! The C library, as C programs find it: header, shared and static library, compiled by the system's compiler.

mod installed;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use self::installed::{Linking, compile};

/// A program that is killed if it hangs.
fn limited(program: &Path) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=1", "60"]).arg(program);
    command
}

/// What `calls` prints in a world.
fn world(linking: Linking, arguments: &[&str]) -> String {
    let program = compile("tests/c/calls.c", linking);
    let output = limited(&program).args(arguments).output().expect("the program starts");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("it prints text")
}

/// Compares line by line, so that a failure names the first that differs.
fn assert_same(found: &str, expected: &str) {
    for (number, (found, expected)) in found.lines().zip(expected.lines()).enumerate() {
        assert_eq!(found, expected, "line {}", number + 1);
    }
    assert_eq!(found.lines().count(), expected.lines().count());
}

#[test]
fn on_ordinary_descriptors_every_call_is_that_of_libc() {
    let expected = world(Linking::Shared, &["libc"]);
    assert!(expected.contains("receive two: 2"), "{expected}");
    assert_same(&world(Linking::Shared, &["plain"]), &expected);
}

#[test]
fn a_connection_of_the_library_behaves_as_a_unix_socket() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let address = format!("unix:{}", directory.path().join("calls").display());
    let expected = world(Linking::Static, &["libc"]);
    assert_same(&world(Linking::Static, &["virtio", &address]), &expected);
}

#[test]
fn the_example_passes_a_line_and_a_pipe_in_both_ways_of_linking() {
    for linking in [Linking::Shared, Linking::Static] {
        let program = compile("examples/hello.c", linking);
        let directory = tempfile::tempdir().expect("temporary directory");
        let address = format!("unix:{}", directory.path().join("hello").display());
        let mut listener = limited(&program)
            .args(["listen", &address])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the listener starts");
        let mut lines = BufReader::new(listener.stdout.take().expect("a pipe")).lines();
        let mut next = || lines.next().transpose().expect("text");
        assert_eq!(next().as_deref(), Some("listening"));
        let caller = limited(&program).args(["connect", &address, "how are you?"]).output();
        let caller = caller.expect("the caller starts");
        assert_eq!(next().as_deref(), Some("received: how are you?"));
        let told = String::from_utf8_lossy(&caller.stdout).into_owned();
        assert_eq!(told, "received: fine\nwritten into the pipe\nthe pipe has ended\n", "{caller:?}");
        assert!(caller.status.success() && listener.wait().expect("it ends").success());
    }
}
