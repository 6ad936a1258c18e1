//! The C library, as C programs find it: header, shared and static library, compiled by the system's compiler.

mod ends;
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

/// What a program prints.
fn printed(source: &str, linking: Linking, arguments: &[&str]) -> String {
    let program = compile(source, linking);
    let output = limited(&program).args(arguments).output().expect("the program starts");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("it prints text")
}

/// What `calls` prints in a world.
fn world(linking: Linking, arguments: &[&str]) -> String {
    printed("tests/c/calls.c", linking, arguments)
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

/// What `fork` prints after it has sent something both ways.
macro_rules! both_ways {
    () => {
        "  there: sent\n  there: \"hello\"\n  back: sent\n  back: \"and back\"\n"
    };
}

/// A child that closes its descriptors one by one before it executes another program once ended the connection of its
/// parent, and removed the socket that it listened on. A child of vfork(2) took the number out of its parent's table.
#[test]
fn what_a_child_closes_is_still_its_parents() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let address = format!("unix:{}", directory.path().join("fork").display());
    let expected = concat!(
        "before\n",
        both_ways!(),
        "the child ended with 0\nafter a child has closed its numbers\n",
        both_ways!(),
        "the address is still there\nthe child ended with 0\nafter a child has closed everything\n",
        both_ways!(),
        "the child ended with 0\n",
        "after a child of vfork has used the number for something else\n",
        both_ways!(),
        "the child: sent\nthe child ended with 0\nwhat it sent: \"from the child\"\nwhat it closed: \"\"\n",
    );
    assert_same(&printed("tests/c/fork.c", Linking::Shared, &[&address]), expected);
}

#[test]
fn regions_are_the_same_memory_and_mirrors_a_copy_for_two_processes_of_c() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let address = format!("unix:{}", directory.path().join("region").display());
    assert_eq!(printed("tests/c/region.c", Linking::Shared, &[&address]), "");
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
