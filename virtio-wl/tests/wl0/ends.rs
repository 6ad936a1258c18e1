//! How connections end on a device that has no half-close.

use std::net::Shutdown;

use virtio_wl::{SocketError, unix};

use crate::connection::Connection;
use crate::driver::supervised;

#[test]
fn the_host_learns_of_an_end_when_both_directions_have_ended() {
    supervised("ends::the_host_learns_of_an_end_when_both_directions_have_ended", |control| {
        let mut connection = Connection::open(control);
        assert_eq!(connection.guest.sendmsg(b"question", &[]), Ok(8));
        assert_eq!(connection.receive_on_host().0, b"question");
        connection.guest.shutdown_write();
        assert_eq!(connection.guest.sendmsg(b"more", &[]), Err(SocketError::BrokenPipe));
        assert!(!connection.host_is_told(), "the device cannot say it");
        // Nothing of what the host still says is lost.
        unix::send(&connection.host, b"answer", &[]).unwrap();
        assert_eq!(connection.receive().unwrap().0, b"answer");
        assert!(!connection.guest.is_finished());
        connection.guest.shutdown_read();
        assert!(connection.guest.is_finished());
        assert!(connection.host_is_told());
        assert_eq!(connection.receive().unwrap().0, b"");
        assert_eq!(control.vfds(), 0);
    });
}

#[test]
fn what_is_not_wanted_is_dropped_and_the_other_direction_goes_on() {
    supervised("ends::what_is_not_wanted_is_dropped_and_the_other_direction_goes_on", |control| {
        let mut connection = Connection::open(control);
        unix::send(&connection.host, b"not taken", &[]).unwrap();
        connection.rest();
        connection.guest.shutdown_read();
        assert_eq!(connection.receive().unwrap().0, b"");
        // More than fits anywhere, with descriptors: it must not stand in the way of other connections.
        let (pipe, _write) = rustix::pipe::pipe().unwrap();
        let pipe = [std::os::fd::AsFd::as_fd(&pipe)];
        for _ in 0..500 {
            while unix::send(&connection.host, &[0; 8192], &pipe).is_err() {
                connection.rest();
            }
        }
        connection.rest();
        assert_eq!((connection.receive().unwrap().0.len(), connection.guest.pipes_open()), (0, 0));
        assert_eq!(connection.guest.sendmsg(b"still", &[]), Ok(5));
        assert_eq!(connection.receive_on_host().0, b"still");
        connection.guest.shutdown_write();
        assert!(connection.guest.is_finished());
    });
}

#[test]
fn the_end_of_the_hosts_data_ends_both_directions_after_all_of_it() {
    supervised("ends::the_end_of_the_hosts_data_ends_both_directions_after_all_of_it", |control| {
        for half in [false, true] {
            let mut connection = Connection::open(control);
            let text = vec![7; 20_000];
            unix::send(&connection.host, &text, &[]).unwrap();
            if half {
                connection.host.shutdown(Shutdown::Write).unwrap();
            } else {
                connection.host = std::os::unix::net::UnixStream::pair().unwrap().0;
            }
            let mut received = Vec::new();
            loop {
                let (bytes, _) = connection.receive().unwrap();
                if bytes.is_empty() {
                    break;
                }
                received.extend(bytes);
            }
            assert_eq!(received, text);
            assert_eq!(connection.guest.sendmsg(b"x", &[]), Err(SocketError::BrokenPipe));
            assert!(connection.guest.is_finished());
        }
        assert_eq!(control.vfds(), 0);
    });
}

#[test]
fn a_finished_connection_sleeps() {
    supervised("ends::a_finished_connection_sleeps", |control| {
        let mut connection = Connection::open(control);
        connection.rest();
        control.requests();
        connection.rest();
        assert_eq!(control.requests(), 0, "nothing was asked without a reason");
        connection.host.shutdown(Shutdown::Both).unwrap();
        assert_eq!(connection.receive().unwrap().0, b"");
        control.requests();
        connection.rest();
        assert!(!crate::connection::is_readable(&connection.guest));
        assert_eq!(control.requests(), 0);
    });
}
