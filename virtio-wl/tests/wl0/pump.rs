//! A program that knows only Unix sockets, behind a pump.

use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use virtio_wl::{Pump, PumpOptions};

use crate::connection::{Connection, is_readable};
use crate::driver::supervised;

/// Turns the pump until it is at rest.
fn rest(pump: &mut Pump) {
    let time = Timespec::try_from(Duration::from_millis(100)).unwrap();
    while pump.turn().unwrap().more
        || poll(&mut [PollFd::from_borrowed_fd(pump.as_fd(), PollFlags::IN)], Some(&time)).unwrap() > 0
    {}
}

#[test]
fn the_host_learns_that_an_application_has_gone() {
    supervised("pump::the_host_learns_that_an_application_has_gone", |control| {
        let Connection { guest, mut host } = Connection::open(control);
        let (mut application, local) = UnixStream::pair().unwrap();
        let mut pump = Pump::new(local.into(), guest, &PumpOptions::default()).unwrap();
        application.write_all(b"request").unwrap();
        rest(&mut pump);
        let mut bytes = [0; 16];
        assert_eq!(host.read(&mut bytes).unwrap(), 7);
        // As long as it may still read, the device cannot say that it writes no more.
        application.shutdown(std::net::Shutdown::Write).unwrap();
        rest(&mut pump);
        assert!(!is_readable(&host));
        host.write_all(b"answer").unwrap();
        rest(&mut pump);
        assert_eq!(application.read(&mut bytes).unwrap(), 6);
        drop(application);
        rest(&mut pump);
        assert!(pump.finished());
        assert_eq!(host.read(&mut bytes).unwrap(), 0);
    });
}
