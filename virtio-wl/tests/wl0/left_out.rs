//! Where the device cannot be played, the tests do not just pass.

use std::process::Command;

use crate::driver::{left_out, supervised, unsupervised};

/// A process that is supervised cannot supervise another: a machine, then, on which none of these tests can run. They once
/// said so with `eprintln!`, which libtest shows of tests that fail, and a run without a single check looked like any other.
#[test]
fn tests_that_cannot_have_the_device_say_so_where_it_is_seen() {
    supervised("left_out::tests_that_cannot_have_the_device_say_so_where_it_is_seen", |_| {
        let list = tempfile::NamedTempFile::new().unwrap();
        let mut other = Command::new(std::env::current_exe().unwrap());
        other.arg("a_socket_of_the_host_is_bridged").env(left_out::VARIABLE, list.path());
        let output = unsupervised(&mut other).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let expected = "the tests that need the virtio_wl device are skipped: this kernel does not let";
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.starts_with(expected), "{said}");
        let listed = std::fs::read_to_string(list.path()).unwrap();
        assert!(listed.starts_with(expected), "{listed}");
    });
}
