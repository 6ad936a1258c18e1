//! A C program that knows nothing of this library runs with it, and checks what its calls return
//! (`virtio-wl/tests/c/preload.c`).

mod peer;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use virtio_wl::Address;

use self::peer::{End, Peer};

/// The library, which cargo has built beside the tests.
fn library() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let library = test.with_file_name("libvirtio_wl_preload.so");
    assert!(library.is_file(), "{library:?}");
    library
}

/// The program, compiled without a warning.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let name = format!("preload-{}", std::process::id());
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/c/preload.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-g", "-o"]).arg(&program).arg(source);
        let output = compiler.output().expect("cc is installed; `cargo xtask setup` does it");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        program
    })
}

/// Runs a part of the program, which is killed if it hangs. Returns how its connections ended.
#[track_caller]
fn run(part: &str) -> Vec<End> {
    let directory = tempfile::tempdir().expect("temporary directory");
    let text = format!("unix:{}", directory.path().join("peer").display());
    let address: Address = text.parse().expect("an address");
    let peer = Peer::listen(&address);
    let mut command = Command::new("timeout");
    command.args(["--kill-after=1", "30", "env"]);
    command.arg(format!("LD_PRELOAD={}", library().display())).arg(program()).args([part, &text]);
    let output = command.output().expect("the program starts");
    let ends = peer.end();
    assert!(output.status.success(), "{}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    ends
}

#[test]
fn copies_of_a_number_are_one_connection_which_the_last_of_them_ends() {
    assert_eq!(run("numbers"), [End::Orderly]);
}

#[test]
fn bytes_cross_by_every_call_that_sends_and_receives() {
    assert_eq!(run("bytes"), [End::Orderly]);
}

#[test]
fn the_options_of_a_socket_are_those_of_a_connected_unix_socket() {
    assert_eq!(run("options"), [End::Orderly]);
}

#[test]
fn poll_and_ppoll_say_of_a_connection_what_they_say_of_a_unix_socket() {
    assert_eq!(run("poll"), [End::Orderly]);
}

#[test]
fn epoll_says_of_a_connection_what_it_says_of_a_unix_socket() {
    assert_eq!(run("epoll"), [End::Orderly]);
}

/// A child that closed the number of a socket took it out of its parent's set: the parent was woken no more.
#[test]
fn a_parent_goes_on_waiting_for_what_its_child_has_closed() {
    assert_eq!(run("fork"), [End::Orderly]);
}

/// A lock that another thread held at the fork was held in the child for ever, which hung when it closed a number.
#[test]
fn a_child_closes_its_numbers_whatever_another_thread_was_doing_when_it_was_made() {
    assert_eq!(run("fork_while_waiting"), [End::Orderly]);
}

/// What only the library had to know of used up the one event that the program had asked for: it was never woken again.
#[test]
fn the_one_event_that_epoll_is_to_report_is_one_that_the_program_asked_for() {
    assert_eq!(run("oneshot"), [End::Orderly]);
}

/// What another descriptor with the same data had to say was taken for the socket's and dropped, over and over until the
/// timeout.
#[test]
fn epoll_reports_a_descriptor_that_has_the_same_data_as_a_connection() {
    assert_eq!(run("same_data"), [End::Orderly, End::Orderly]);
}

/// Memory that a program made longer after it had sent it was announced anew, which blanked what the compositor had of it.
#[test]
fn memory_that_grows_after_it_was_sent_grows_at_the_other_end() {
    assert_eq!(run("grows"), [End::Orderly]);
}

/// The library itself kept all memory open that was sent on a connection, so it was always in use, and after 16 pools the
/// program had no more.
#[test]
fn memory_that_the_program_has_given_up_makes_room_for_more() {
    assert_eq!(run("many"), [End::Orderly]);
}

/// What was sent over a connection was known by an address that the next connection could have again: its other end was
/// never told the content.
#[test]
fn memory_has_its_content_on_each_connection_that_it_is_sent_on() {
    assert_eq!(run("again"), [End::Orderly; 6]);
}

/// A buffer of 64 KiB was allocated and cleared for each memory before each message.
#[test]
fn drawing_into_known_memory_and_saying_so_costs_no_allocation() {
    assert_eq!(run("allocates"), [End::Orderly]);
}
