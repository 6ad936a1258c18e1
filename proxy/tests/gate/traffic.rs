//! What a worker says of what has passed through it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use virtio_wl::Region;
use virtio_wl::wire::MirrorRect;
use vitrail_protocols::Limits;
use vitrail_protocols::report::Traffic;

use crate::Vm;
use crate::client::memory;

/// A title of this length takes 4000 bytes with its header.
const TITLE_LEN: usize = 3987;

#[test]
fn requests_events_bytes_and_descriptors_are_counted_over_all_connections() {
    let vm = Vm::new(Limits::default());
    let (mut client, _) = vm.connect();
    let before = vm.report(|report| report.traffic.requests >= 1).traffic;
    assert_eq!((before.connections, before.descriptors), (1, 0));
    client.pool(memory(4096), 4096);
    let surface = client.xdg_surface();
    let toplevel = client.make(surface, 1, &[]);
    for _ in 0..10 {
        client.send(crate::wire::Message::new(toplevel, 2).string(&"x".repeat(TITLE_LEN)));
    }
    assert!(client.round_trip());
    let more = |traffic: &Traffic| traffic.request_bytes >= before.request_bytes + 40_000;
    let after = vm.report(|report| more(&report.traffic) && report.traffic.descriptors > 0).traffic;
    assert!(after.requests >= before.requests + 15, "{after:?}");
    assert!(after.events > before.events && after.event_bytes >= 8 * after.events, "{after:?}");
    assert_eq!(after.descriptors, 1);
    assert!(after.stream_bytes > after.request_bytes, "{after:?}");
    // What has passed through a connection that is over stays.
    drop(client);
    let (mut other, _) = vm.connect();
    assert!(other.round_trip());
    let last = vm.report(|report| report.traffic.requests > after.requests).traffic;
    assert!(last.request_bytes > after.request_bytes, "{last:?}");
    assert_eq!((last.connections, last.descriptors), (2, 1));
}

#[test]
fn pixels_on_the_stream_and_the_memory_of_mirrors_are_counted() {
    let vm = Vm::new(Limits::default());
    let (mut client, _) = vm.connect();
    assert!(client.round_trip());
    let memory = Arc::new(Region::create_memfd(4 << 20).unwrap());
    let rect = MirrorRect { offset: 4096, row_len: 2_000_000, stride: 2_000_000, rows: 1 };
    client.socket.mirror_write(&memory, rect).unwrap();
    assert!(client.round_trip());
    let traffic = vm.report(|report| report.traffic.stream_bytes >= 2_000_000).traffic;
    assert!(traffic.request_bytes < 1000 && traffic.mirror_memory >= 2_000_000, "{traffic:?}");
    drop(client);
    let traffic = vm.report(|report| report.connections == 0 && report.traffic.mirror_memory == 0).traffic;
    assert!(traffic.stream_bytes >= 2_000_000);
}

/// Each report wakes the supervisor and the compositor too.
#[test]
fn a_busy_worker_reports_once_a_second_and_an_idle_one_not_at_all() {
    let vm = Vm::new(Limits::default());
    let (mut client, _) = vm.connect();
    assert!(client.round_trip());
    let mut before = vm.report(|report| report.connections == 1).traffic;
    let start = Instant::now();
    let mut reports = 0;
    while reports < 3 {
        assert!(client.round_trip());
        while let Some(report) = vm.try_report() {
            assert_ne!(report.traffic, before, "nothing has changed");
            before = report.traffic;
            reports += 1;
        }
    }
    // The first may have begun to wait with what came before.
    assert!(start.elapsed() >= Duration::from_secs(2), "three reports in {:?}", start.elapsed());
    // One more may be due, for what came since the last one.
    let answered = before.events;
    assert!(client.round_trip());
    vm.report(|report| report.traffic.events > answered);
    let two_seconds = Timespec { tv_sec: 2, tv_nsec: 0 };
    let quiet = rustix::event::poll(&mut [PollFd::new(vm.control(), PollFlags::IN)], Some(&two_seconds));
    assert_eq!(quiet, Ok(0), "an idle worker reports");
}
