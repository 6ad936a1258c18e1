//! The backend for the virtio_wl device: its real code, in a child process for which this one plays the driver.

#[path = "../virtio_wl_driver/mod.rs"]
mod driver;

use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use driver::supervised;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use virtio_wl::{Address, Socket, SocketError, SocketOptions};

#[test]
fn bytes_go_both_ways() {
    supervised("bytes_go_both_ways", |control| {
        let listener = control.host();
        let mut socket = Socket::connect(&Address::Wl0 { name: None }, SocketOptions::default()).unwrap();
        let (host, _) = listener.accept().unwrap();
        assert_eq!(socket.sendmsg(b"hello", &[]), Ok(5));
        let mut bytes = [0; 16];
        let mut fds: Vec<OwnedFd> = Vec::new();
        assert_eq!(virtio_wl::unix::receive(&host, &mut bytes, &mut fds), Ok(5));
        assert_eq!(&bytes[..5], b"hello");
        virtio_wl::unix::send(&host, b"world", &[]).unwrap();
        let mut received = Vec::new();
        let deadline = Instant::now() + Duration::from_secs(20);
        let len = loop {
            match socket.recvmsg(&mut bytes, &mut received) {
                Err(SocketError::WouldBlock) => wait(&socket, deadline),
                result => break result.unwrap(),
            }
            socket.dispatch().unwrap();
        };
        assert_eq!(&bytes[..len], b"world");
    });
}

fn wait(socket: &Socket, deadline: Instant) {
    let left = deadline.saturating_duration_since(Instant::now());
    let mut fds = [PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN)];
    assert_eq!(poll(&mut fds, Some(&Timespec::try_from(left).expect("short"))), Ok(1));
}
