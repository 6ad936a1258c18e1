//! Round trips and streams.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{MemfdFlags, SealFlags};
use virtio_wl::Region;

use crate::placement::Placement;
use crate::wire::{Connection, Wire};
use crate::{Amount, Cost, Limit, Rounds, Scale};

/// Length of a request and of its reply.
const REQUEST: usize = 64;

/// Length of a message of a stream.
const MESSAGE: usize = 4096;

/// What either end of a stream receives at a time.
const RECEIVE: usize = 32 * 1024;

/// Sends back what comes, descriptors included.
fn echo(mut wire: impl Wire) {
    let (mut buffer, mut fds) = ([0; RECEIVE], Vec::new());
    loop {
        let len = wire.receive(&mut buffer, &mut fds);
        if len == 0 {
            return;
        }
        if fds.is_empty() {
            wire.send(&buffer[..len], &[]);
        } else {
            let borrowed: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
            wire.send(&buffer[..len], &borrowed);
            fds.clear();
        }
    }
}

fn trips(client: &mut OwnedFd, count: usize, fds: &[BorrowedFd<'_>]) {
    let (mut reply, mut received) = ([0; REQUEST], Vec::new());
    for _ in 0..count {
        client.send(&[7; REQUEST], fds);
        client.receive_exact(&mut reply, &mut received);
        assert_eq!(received.len(), fds.len(), "the reply has as many descriptors");
        received.clear();
    }
}

/// A request and its reply, 64 bytes each.
pub(crate) fn round_trips(scale: Scale, placement: &Placement) {
    let mut plain = Connection::plain(placement, echo);
    let mut hop = Connection::hop(placement, None, echo);
    let measured = Rounds::measure(
        scale.rounds,
        || Cost::of(|| trips(&mut plain.client, scale.trips, &[])),
        || Cost::of(|| trips(&mut hop.client, scale.trips, &[])),
    );
    measured.report("round trip, 64 bytes", placement, Limit::TimesAsLong(3.0), Amount::Trips(scale.trips));
    plain.close();
    hop.close();
}

/// The same with a descriptor in the request and one in the reply.
pub(crate) fn round_trips_with_descriptors(scale: Scale, placement: &Placement) {
    let region = Arc::new(Region::create_memfd(1 << 20).expect("region"));
    with_descriptor(
        scale,
        placement,
        "shared memory",
        Limit::TimesAsLong(3.5),
        region.as_fd(),
        Some(&region),
    );
    let blob = blob();
    with_descriptor(scale, placement, "a keymap of 4 KiB", Limit::None, blob.as_fd(), None);
    let (reader, _writer) = rustix::pipe::pipe().expect("pipe");
    with_descriptor(scale, placement, "a pipe", Limit::None, reader.as_fd(), None);
}

fn with_descriptor(
    scale: Scale,
    placement: &Placement,
    what: &str,
    limit: Limit,
    fd: BorrowedFd<'_>,
    region: Option<&Arc<Region>>,
) {
    let mut plain = Connection::plain(placement, echo);
    let mut hop = Connection::hop(placement, region, echo);
    let measured = Rounds::measure(
        scale.rounds,
        || Cost::of(|| trips(&mut plain.client, scale.trips, &[fd])),
        || Cost::of(|| trips(&mut hop.client, scale.trips, &[fd])),
    );
    let name = format!("round trip, 64 bytes and {what}");
    measured.report(&name, placement, limit, Amount::Trips(scale.trips));
    plain.close();
    hop.close();
}

/// Sealed memory, as keymaps are.
fn blob() -> OwnedFd {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = File::from(rustix::fs::memfd_create("bench", flags).expect("memory"));
    file.write_all(&[7; 4096]).expect("written");
    rustix::fs::fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW)
        .expect("sealed");
    file.into()
}

/// Receives `total` bytes, again and again, and acknowledges each time.
fn sink(mut wire: impl Wire, total: usize) {
    let mut buffer = [0; RECEIVE];
    let mut received = 0;
    loop {
        match wire.receive(&mut buffer, &mut Vec::new()) {
            0 => return,
            len => received += len,
        }
        if received == total {
            received = 0;
            wire.send(&[1], &[]);
        }
    }
}

/// Sends `total` bytes for each byte that comes.
fn source(mut wire: impl Wire, total: usize) {
    while wire.receive(&mut [0], &mut Vec::new()) > 0 {
        for _ in 0..total / MESSAGE {
            wire.send(&[7; MESSAGE], &[]);
        }
    }
}

fn send_stream(client: &mut OwnedFd, total: usize) {
    for _ in 0..total / MESSAGE {
        client.send(&[7; MESSAGE], &[]);
    }
    client.receive_exact(&mut [0], &mut Vec::new());
}

fn receive_stream(client: &mut OwnedFd, total: usize) {
    let mut buffer = [0; RECEIVE];
    client.send(&[1], &[]);
    let mut received = 0;
    while received < total {
        received += client.receive(&mut buffer, &mut Vec::new());
    }
}

/// Messages of 4 KiB, as many as the other end takes: through a pump, and through a thread that only copies.
pub(crate) fn streams(scale: Scale, placement: &Placement) {
    let total = scale.stream_bytes;
    let limit = Limit::PartOfThroughput(0.6);
    let report = |rounds: &Rounds, name: &str, limit| {
        rounds.report(&format!("stream of 4 KiB, {name}"), placement, limit, Amount::Bytes(total));
    };
    let mut plain = Connection::plain(placement, move |wire| sink(wire, total));
    let mut hop = Connection::hop(placement, None, move |wire| sink(wire, total));
    let mut relay = Connection::relay(placement, move |wire| sink(wire, total));
    let send = |connection: &mut Connection| Cost::of(|| send_stream(&mut connection.client, total));
    let measured = Rounds::measure(scale.rounds, || send(&mut plain), || send(&mut hop));
    report(&measured, "client to peer", limit);
    let measured = Rounds::measure(scale.rounds, || send(&mut plain), || send(&mut relay));
    report(&measured, "client to peer, copied only", Limit::None);
    [plain, hop, relay].into_iter().for_each(Connection::close);

    let mut plain = Connection::plain(placement, move |wire| source(wire, total));
    let mut hop = Connection::hop(placement, None, move |wire| source(wire, total));
    let mut relay = Connection::relay(placement, move |wire| source(wire, total));
    let receive = |connection: &mut Connection| Cost::of(|| receive_stream(&mut connection.client, total));
    let measured = Rounds::measure(scale.rounds, || receive(&mut plain), || receive(&mut hop));
    report(&measured, "peer to client", limit);
    let measured = Rounds::measure(scale.rounds, || receive(&mut plain), || receive(&mut relay));
    report(&measured, "peer to client, copied only", Limit::None);
    [plain, hop, relay].into_iter().for_each(Connection::close);
}
