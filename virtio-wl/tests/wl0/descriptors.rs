//! Pipes, sockets, and what cannot cross.

use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use virtio_wl::vfd::ReceivedKind;
use virtio_wl::{SocketError, SocketOptions, StreamLimits, unix};

use crate::connection::{Connection, memory, noise};
use crate::driver::child::Control;
use crate::driver::supervised;

fn pipe() -> (OwnedFd, OwnedFd) {
    pipe_with(PipeFlags::CLOEXEC).unwrap()
}

#[test]
fn pipes_carry_any_length_in_all_four_ways() {
    supervised("descriptors::pipes_carry_any_length_in_all_four_ways", |control| {
        let mut connection = Connection::open(control);
        let content = noise(1, 3 << 20);
        let (read, write) = pipe();
        let there = connection.give_host(&read);
        drop(read);
        assert!(connection.write_across(write, there, &content) == content, "guest writes, host reads");
        let (read, write) = pipe();
        let there = connection.give_host(&write);
        drop(write);
        assert!(connection.write_across(there, read, &content) == content, "host writes, guest reads");
        let (read, write) = pipe();
        let here = connection.give_guest(&read);
        assert_eq!(here.kind, ReceivedKind::PipeRead);
        drop(read);
        assert!(connection.write_across(write, here.fd, &content) == content, "host writes, guest reads");
        let (read, write) = pipe();
        let here = connection.give_guest(&write);
        assert_eq!(here.kind, ReceivedKind::PipeWrite);
        drop(write);
        assert!(connection.write_across(here.fd, read, &content) == content, "guest writes, host reads");
        connection.rest();
        assert_eq!((connection.guest.pipes_open(), control.vfds()), (0, 1));
    });
}

#[test]
fn a_reader_that_goes_away_breaks_the_pipe_for_its_writer() {
    supervised("descriptors::a_reader_that_goes_away_breaks_the_pipe_for_its_writer", |control| {
        let mut connection = Connection::open(control);
        let (read, write) = pipe();
        drop(connection.give_host(&read));
        drop(read);
        connection.assert_broken(write);
        let (read, write) = pipe();
        let there = connection.give_host(&write);
        drop((read, write));
        connection.assert_broken(there);
        let (read, write) = pipe();
        drop(connection.give_guest(&read));
        drop(read);
        connection.assert_broken(write);
        let (read, write) = pipe();
        let here = connection.give_guest(&write);
        drop((read, write));
        connection.assert_broken(here.fd);
        connection.rest();
        assert_eq!((connection.guest.pipes_open(), control.vfds()), (0, 1));
    });
}

#[test]
fn a_reader_of_the_guest_that_goes_away_is_noticed_although_nobody_writes() {
    let test = "descriptors::a_reader_of_the_guest_that_goes_away_is_noticed_although_nobody_writes";
    supervised(test, |control| {
        let mut connection = Connection::open(control);
        let (read, write) = pipe();
        let there = connection.give_host(&write);
        let (host_read, host_write) = pipe();
        let here = connection.give_guest(&host_read);
        drop((write, host_read));
        connection.rest();
        assert_eq!(connection.guest.pipes_open(), 2);
        drop((read, here));
        connection.rest();
        assert_eq!((connection.guest.pipes_open(), control.vfds()), (0, 1));
        for write in [there, host_write] {
            assert_eq!(rustix::io::write(write, b"x"), Err(Errno::PIPE));
        }
    });
}

#[test]
fn a_pipe_that_is_not_read_holds_little_and_nobody_up() {
    supervised("descriptors::a_pipe_that_is_not_read_holds_little_and_nobody_up", |control| {
        let mut connection = Connection::open(control);
        for to_host in [true, false] {
            let (read, write) = pipe();
            let unread = if to_host { connection.give_host(&read) } else { connection.give_guest(&read).fd };
            rustix::io::ioctl_fionbio(&write, true).unwrap();
            let mut sent = 0;
            loop {
                match rustix::io::write(&write, &[1; 4096]) {
                    Ok(len) => sent += len,
                    Err(_) => {
                        let before = sent;
                        connection.rest();
                        sent += rustix::io::write(&write, &[1; 4096]).unwrap_or(0);
                        if sent == before {
                            break;
                        }
                    }
                }
                assert!(sent < 4 << 20, "{sent} bytes are under way in a pipe that nobody reads");
            }
            assert_eq!(connection.guest.sendmsg(b"on", &[]), Ok(2));
            assert_eq!(connection.receive_on_host().0, b"on");
            drop((read, write));
            assert_eq!(connection.read_to_end(unread).len(), sent);
        }
    });
}

#[test]
fn pipes_outlive_their_connection_on_the_host_and_end_with_the_guests_socket() {
    supervised(
        "descriptors::pipes_outlive_their_connection_on_the_host_and_end_with_the_guests_socket",
        |control| {
            let mut connection = Connection::open(control);
            let (read, write) = pipe();
            let (other_read, other_write) = pipe();
            let there = connection.give_host(&read);
            let other = connection.give_guest(&other_read).fd;
            drop((read, other_read));
            // The process on the host dies, but whoever it had given the pipe to has it still.
            connection.host = UnixStream::pair().unwrap().0;
            assert_eq!(connection.receive().unwrap().0, b"");
            assert!(!connection.guest.is_finished());
            rustix::io::write(&write, b"still").unwrap();
            drop(write);
            assert_eq!(connection.read_to_end(&there), b"still");
            rustix::io::write(&other_write, b"too").unwrap();
            drop(other_write);
            assert_eq!(connection.read_to_end(&other), b"too");
            assert!(connection.guest.is_finished());

            let mut connection = Connection::open(control);
            let (read, write) = pipe();
            let there = connection.give_host(&read);
            let (other_read, other_write) = pipe();
            let other = connection.give_guest(&other_read).fd;
            drop((connection, read, other_read));
            assert_eq!(rustix::io::read(&there, &mut [0; 8]), Ok(0));
            assert_eq!(rustix::io::read(&other, &mut [0; 8]), Ok(0));
            for write in [write, other_write] {
                assert_eq!(rustix::io::write(write, b"x"), Err(Errno::PIPE));
            }
            assert_eq!(control.vfds(), 0);
        },
    );
}

#[test]
fn a_socket_of_the_host_is_bridged() {
    supervised("descriptors::a_socket_of_the_host_is_bridged", |control| {
        let mut connection = Connection::open(control);
        let (ours, theirs) = UnixStream::pair().unwrap();
        let here = connection.give_guest(&theirs);
        drop(theirs);
        assert_eq!(here.kind, ReceivedKind::Socket);
        assert_eq!(connection.guest.pipes_open(), 2);
        rustix::io::write(&here.fd, b"question").unwrap();
        connection.wait_for(&ours);
        let mut bytes = [0; 16];
        assert_eq!(rustix::io::read(&ours, &mut bytes), Ok(8));
        rustix::io::write(&ours, b"answer").unwrap();
        drop(ours);
        assert_eq!(connection.read_to_end(&here.fd), b"answer");
        drop(here);
        connection.rest();
        assert_eq!((connection.guest.pipes_open(), control.vfds()), (0, 1));
    });
}

#[test]
fn what_cannot_cross_is_refused_and_leaves_nothing_behind() {
    supervised("descriptors::what_cannot_cross_is_refused_and_leaves_nothing_behind", |control| {
        let mut connection = Connection::open(control);
        let (socket, _other) = UnixStream::pair().unwrap();
        let event = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
        let (directory, null) = (File::open("/").unwrap(), File::open("/dev/null").unwrap());
        let (read, _write) = pipe();
        for bad in [socket.as_fd(), event.as_fd(), directory.as_fd(), null.as_fd()] {
            let fds = [read.as_fd(), memory(b"x").as_fd(), bad].map(|fd| fd.try_clone_to_owned().unwrap());
            let fds = fds.each_ref().map(|fd| fd.as_fd());
            let error = connection.guest.sendmsg(b"x", &fds).unwrap_err();
            assert_eq!(error.errno(), Errno::OPNOTSUPP, "{error}");
            connection.rest();
            assert_eq!((connection.guest.pipes_open(), control.vfds()), (0, 1));
        }
        assert_eq!(connection.guest.sendmsg(b"clean", &[]), Ok(5));
        let (bytes, fds) = connection.receive_on_host();
        assert_eq!((bytes.as_slice(), fds.len()), (&b"clean"[..], 0));
    });
}

#[test]
fn descriptors_that_come_with_bytes_are_in_order_and_never_late() {
    supervised("descriptors::descriptors_that_come_with_bytes_are_in_order_and_never_late", burst);
}

#[test]
fn descriptors_that_come_before_their_bytes_are_in_order_too() {
    supervised("descriptors::descriptors_that_come_before_their_bytes_are_in_order_too", |control| {
        control.descriptors_first();
        burst(control);
    });
}

/// More descriptors than one receive gives, with fewer bytes than receives: the driver gives the bytes of all messages
/// with the first.
fn burst(control: &Control) {
    let mut connection = Connection::open(control);
    let counts = [28_usize, 28, 3, 0, 28];
    let mut number = 0_u8;
    for count in counts {
        let fds: Vec<_> = (0..count)
            .map(|_| {
                let (read, write) = pipe();
                rustix::io::write(write, &[number]).unwrap();
                number += 1;
                read
            })
            .collect();
        let borrowed: Vec<_> = fds.iter().map(|fd| fd.as_fd()).collect();
        unix::send(&connection.host, b"m", &borrowed).unwrap();
    }
    let (mut came, mut needed, mut numbers) = (0, 0, Vec::new());
    for count in counts {
        let (mut byte, mut fds) = ([0], Vec::new());
        while connection.guest.recvmsg(&mut byte, &mut fds) == Err(SocketError::WouldBlock) {
            let guest = connection.guest.as_fd().try_clone_to_owned().unwrap();
            connection.wait_for(guest);
            connection.guest.dispatch().unwrap();
        }
        needed += count;
        came += fds.len();
        assert!(fds.len() <= 28 && came >= needed, "{came} of {needed} descriptors");
        for received in fds {
            numbers.extend(connection.read_to_end(received.fd));
        }
    }
    assert_eq!(numbers, (0..number).collect::<Vec<_>>());
}

#[test]
fn more_pipes_of_the_host_than_the_limit_end_the_connection_and_leave_nothing() {
    supervised(
        "descriptors::more_pipes_of_the_host_than_the_limit_end_the_connection_and_leave_nothing",
        |control| {
            let limits = StreamLimits { max_pipes: 4, ..StreamLimits::default() };
            let mut connection =
                Connection::with(control, SocketOptions { limits, ..SocketOptions::default() });
            let before = std::fs::read_dir("/proc/self/fd").unwrap().count();
            let (read, write) = pipe();
            unix::send(&connection.host, b"x", &[read.as_fd(); 5]).unwrap();
            let error = connection.receive().unwrap_err();
            assert!(matches!(error, SocketError::Violation(_)), "{error}");
            assert_eq!(connection.guest.sendmsg(b"x", &[]), Err(error));
            assert_eq!(connection.guest.pipes_open(), 0);
            drop((read, write));
            // The context is closed.
            assert_eq!(std::fs::read_dir("/proc/self/fd").unwrap().count(), before - 1);
            assert_eq!(control.vfds(), 0);
        },
    );
}
