//! What the driver may answer when something is wrong.

use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use virtio_wl::{SocketError, unix};

use crate::connection::{Connection, content_of, is_readable, memory};
use crate::driver::child::Request;
use crate::driver::supervised;

#[test]
fn a_device_that_is_busy_is_waited_for() {
    supervised("faults::a_device_that_is_busy_is_waited_for", |control| {
        let mut connection = Connection::open(control);
        let fd = memory(b"content");
        for (request, error) in [
            (Request::Send, Errno::AGAIN),
            (Request::Send, Errno::BUSY),
            (Request::New, Errno::AGAIN),
            (Request::New, Errno::BUSY),
        ] {
            let fresh = memory(b"content");
            // Asking whether the descriptor is a VFD sends nothing, and is not what fails.
            control.fail(request, error);
            assert_eq!(connection.guest.sendmsg(b"x", &[fresh.as_fd()]), Err(SocketError::WouldBlock));
            // There is room, so the wait is short.
            connection.wait_for(connection.guest.as_fd().try_clone_to_owned().unwrap());
            assert!(content_of(connection.give_host(&fresh)).starts_with(b"content"));
            connection.rest();
            assert!(!is_readable(&connection.guest), "nothing is waited for any more");
        }
        drop(fd);
    });
}

#[test]
fn a_signal_in_between_is_nobodys_business() {
    supervised("faults::a_signal_in_between_is_nobodys_business", |control| {
        let mut connection = Connection::open(control);
        for request in [Request::Send, Request::Recv, Request::New] {
            control.fail(request, Errno::INTR);
        }
        assert!(content_of(connection.give_host(memory(b"content"))).starts_with(b"content"));
        unix::send(&connection.host, b"answer", &[]).unwrap();
        assert_eq!(connection.receive().unwrap().0, b"answer");
    });
}

#[test]
fn a_host_that_takes_nothing_more_is_a_broken_pipe_and_its_last_words_are_heard() {
    supervised(
        "faults::a_host_that_takes_nothing_more_is_a_broken_pipe_and_its_last_words_are_heard",
        |control| {
            let mut connection = Connection::open(control);
            let (read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
            let there = connection.give_host(&read);
            unix::send(&connection.host, b"last words", &[]).unwrap();
            connection.host.shutdown(std::net::Shutdown::Read).unwrap();
            for _ in 0..2 {
                assert_eq!(connection.guest.sendmsg(b"x", &[]), Err(SocketError::BrokenPipe));
            }
            assert_eq!(connection.receive().unwrap().0, b"last words");
            assert!(!connection.guest.is_finished());
            connection.host = UnixStream::pair().unwrap().0;
            assert_eq!(connection.receive().unwrap().0, b"");
            // A pipe is no part of that.
            drop(read);
            rustix::io::write(&write, b"goes on").unwrap();
            drop(write);
            assert_eq!(connection.read_to_end(there), b"goes on");
            assert!(connection.guest.is_finished());
        },
    );
}

#[test]
fn a_device_that_is_gone_ends_the_connection_and_its_pipes() {
    supervised("faults::a_device_that_is_gone_ends_the_connection_and_its_pipes", |control| {
        let mut connection = Connection::open(control);
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        connection.give_host(&read);
        let (other_read, other_write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        connection.give_host(&other_write);
        drop((read, other_write));
        unix::send(&connection.host, b"received", &[]).unwrap();
        connection.rest();
        for request in [Request::New, Request::Send, Request::Recv] {
            control.fail_always(request, Errno::NODEV);
        }
        assert_eq!(connection.guest.sendmsg(b"x", &[]), Err(SocketError::BrokenPipe));
        unix::send(&connection.host, b"lost", &[]).unwrap();
        connection.rest();
        let failure = SocketError::Read(Errno::NODEV);
        assert_eq!(connection.guest.dispatch(), Err(failure.clone()));
        assert_eq!(connection.receive().unwrap().0, b"received", "what had come is not lost");
        assert_eq!(connection.receive().map(|_| ()), Err(failure.clone()));
        assert_eq!(connection.guest.sendmsg(b"x", &[]), Err(failure));
        assert_eq!(rustix::io::write(write, b"x"), Err(Errno::PIPE));
        assert_eq!(rustix::io::read(other_read, &mut [0; 8]), Ok(0));
        assert!(!is_readable(&connection.guest));
    });
}

#[test]
fn a_pipe_of_which_the_device_wants_nothing_breaks_alone() {
    supervised("faults::a_pipe_of_which_the_device_wants_nothing_breaks_alone", |control| {
        let mut connection = Connection::open(control);
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let there = connection.give_host(&read);
        drop(read);
        rustix::io::write(&write, b"lost").unwrap();
        control.fail(Request::Send, Errno::NODEV);
        connection.rest();
        assert_eq!(rustix::io::write(&write, b"x"), Err(Errno::PIPE));
        assert_eq!(connection.read_to_end(there), b"");
        assert_eq!(connection.guest.sendmsg(b"on", &[]), Ok(2));
        assert_eq!(connection.receive_on_host().0, b"on");
    });
}

#[test]
fn a_driver_that_claims_more_than_it_was_asked_for_is_not_believed() {
    supervised("faults::a_driver_that_claims_more_than_it_was_asked_for_is_not_believed", |control| {
        let mut connection = Connection::open(control);
        let before = std::fs::read_dir("/proc/self/fd").unwrap().count();
        control.claim_too_much();
        let fd = memory(b"content");
        unix::send(&connection.host, b"x", &[fd.as_fd(), fd.as_fd()]).unwrap();
        drop(fd);
        let failure = SocketError::Read(Errno::PROTO);
        assert_eq!(connection.receive().map(|_| ()), Err(failure));
        // The context is closed, and what came with the claim.
        assert_eq!(std::fs::read_dir("/proc/self/fd").unwrap().count(), before - 1);
    });
}

#[test]
fn an_error_that_says_nothing_about_the_host_ends_the_connection() {
    supervised("faults::an_error_that_says_nothing_about_the_host_ends_the_connection", |control| {
        let mut connection = Connection::open(control);
        control.fail(Request::Send, Errno::NOMEM);
        let failure = SocketError::Write(Errno::NOMEM);
        for _ in 0..2 {
            assert_eq!(connection.guest.sendmsg(b"x", &[]), Err(failure.clone()));
        }
        assert_eq!(control.vfds(), 0);
    });
}
