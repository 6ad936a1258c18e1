//! The kernel's virtio_wl device, with a driver and a VMM that are played for a child process.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixListener;
use std::sync::{Arc, OnceLock};

use rustix::event::PollFlags;
use rustix::io::Errno;
use virtio_wl::wire::MirrorRect;
use virtio_wl::wl0::Device;
use virtio_wl::{Address, Region, Socket, SocketOptions};

use super::{REGION_LEN, Transport};
use crate::pair::{Connection, Crossed, End, Pair, Plain, Side, Want};
use crate::{Case, driver};

/// The initiator is in the guest. The acceptor is an ordinary Unix socket on the host, which is the child as well.
#[derive(Debug)]
pub struct Wl0;

/// Where the VMM connects to. A child runs one case.
static HOST: OnceLock<UnixListener> = OnceLock::new();

fn open_with(options: SocketOptions) -> Connection {
    let guest = Socket::connect(&Address::Wl0 { name: None }, options).expect("connected");
    let (host, _) = HOST.get().expect("a child").accept().expect("the VMM calls");
    Connection::sides(Box::new(Guest(guest)), Box::new(Plain(host.into())))
}

impl Transport for Wl0 {
    fn name(&self) -> &'static str {
        "wl0"
    }

    fn open(&self) -> Connection {
        open_with(SocketOptions::default())
    }

    /// The region is memory of the device. The host has it once it was sent.
    fn open_with_region(&self) -> (Pair, [Arc<Region>; 2]) {
        let region = Device::open().expect("the device").allocate_region(REGION_LEN).expect("memory");
        let region = Arc::new(region);
        let options = SocketOptions { region: Some(Arc::clone(&region)), ..SocketOptions::default() };
        let mut pair = open_with(options).into_pair();
        let of_host = Region::from_fd(pair.give(End::Initiator, &*region).fd).expect("a region");
        (pair, [region, Arc::new(of_host)])
    }

    fn exempt(&self) -> &[(&'static str, &'static str)] {
        &[
            ("ends::half_close_leaves_the_other_half", "the device has no half-close"),
            ("ends::sending_after_the_end_is_a_broken_pipe", "the device has no half-close"),
            ("ends::a_side_that_wants_no_more_stops_the_other", "the device has no half-close"),
            ("ends::death_ends_what_crossed", "the host has the pipes themselves, which outlive it"),
            ("ends::peer_death_at_any_byte", "there is no stream below it"),
            (
                "kinds::a_socket_carries_both_ways_and_each_ends_alone",
                "the device takes no socket of the guest, and one of the host has no half-close on it",
            ),
            ("readiness::nothing_waits_on_blocking_streams", "there is no stream below it"),
        ]
    }

    fn descriptors_come_early(&self) -> bool {
        true
    }

    fn memory_is_the_devices(&self) -> bool {
        true
    }

    fn run_elsewhere(&self, case: Case) -> bool {
        driver::supervised(&format!("wl0::{}", case.name), |control| {
            HOST.set(control.host()).expect("one case");
            (case.run)(self);
        });
        true
    }
}

/// The guest's socket. The VMM hangs up in the same way whatever the host's end was.
#[derive(Debug)]
struct Guest(Socket);

impl Side for Guest {
    fn interest(&self, _: Want) -> (BorrowedFd<'_>, PollFlags) {
        (self.0.as_fd(), PollFlags::IN)
    }

    fn dispatch(&mut self) {
        Side::dispatch(&mut self.0);
    }

    fn send(&mut self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<usize, Errno> {
        Side::send(&mut self.0, bytes, fds)
    }

    fn receive(&mut self, into: &mut [u8], fds: &mut Vec<Crossed>) -> Result<usize, Errno> {
        Side::receive(&mut self.0, into, fds)
    }

    fn mirror_write(&mut self, source: &Arc<Region>, rect: MirrorRect) -> Result<(), Errno> {
        Side::mirror_write(&mut self.0, source, rect)
    }

    fn mirror_write_file(&mut self, memory: BorrowedFd<'_>, rect: MirrorRect) -> Result<(), Errno> {
        Side::mirror_write_file(&mut self.0, memory, rect)
    }

    fn shutdown_write(&mut self) {
        Side::shutdown_write(&mut self.0);
    }

    fn shutdown_read(&mut self) {
        Side::shutdown_read(&mut self.0);
    }

    fn tells_of_death(&self) -> bool {
        false
    }
}
