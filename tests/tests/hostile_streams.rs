//! VMs that break the stream format: what comes over the hub's socket is not what a `wl-forward` would send.
//! The stream is closed; whoever else is connected, from the same VM too, loses nothing.

use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use rustix::event::PollFlags;
use virtio_wl::wire::{Frame, Hello, NewVfd, Purpose, Role};
use vitrail_tests::bystander::Bystander;
use vitrail_tests::deadline::Deadline;
use vitrail_tests::process;
use vitrail_tests::random::Random;
use vitrail_tests::session::{Session, Sharing};

/// The VM that attacks.
const OFFENDER: &str = "untrusted";

fn bystanders(session: &mut Session) -> [Bystander; 2] {
    [(OFFENDER, "same VM"), ("work", "other VM")].map(|(vm, title)| Bystander::start(session, vm, title))
}

fn hello(purpose: Purpose) -> Hello {
    Hello {
        purpose,
        role: Role::Initiator,
        has_region: false,
        takes_sockets: false,
        data_window: 256 * 1024,
        pipe_window: 4096,
        max_pipes: 16,
        max_mirrors: 16,
        max_blob: 1 << 20,
        max_mirror_bytes: 16 << 20,
    }
}

/// Sends bytes on a new stream and asserts that it is closed.
#[track_caller]
fn assert_closed(session: &Session, what: &str, bytes: &[u8]) {
    let mut stream = process::connect(&session.hub_socket(OFFENDER), Deadline::patient());
    // The other side may close before it has read everything.
    let _ = stream.write_all(bytes);
    assert!(is_closed(&stream), "the stream is still open after {what}");
}

/// Whether the peer closes the stream, whatever it sends before.
fn is_closed(stream: &UnixStream) -> bool {
    let deadline = Deadline::patient();
    let mut chunk = [0; 4096];
    while deadline.wait(stream.as_fd(), PollFlags::IN) {
        if rustix::io::read(stream, &mut chunk).unwrap_or(0) == 0 {
            return true;
        }
    }
    false
}

/// A frame by hand: type, flags, reserved field, claimed length and payload.
fn frame(kind: u8, flags: u8, reserved: u16, length: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, flags];
    bytes.extend_from_slice(&reserved.to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A VFD_NEW frame by hand.
fn vfd(id: u32, kind: u8, flags: u8, offset: u64, len: u64) -> Vec<u8> {
    let mut payload = id.to_le_bytes().to_vec();
    payload.extend_from_slice(&[kind, flags, 0, 0]);
    payload.extend_from_slice(&offset.to_le_bytes());
    payload.extend_from_slice(&len.to_le_bytes());
    frame(5, 0, 0, 24, &payload)
}

/// A DATA frame with a list of VFDs, of a claimed count.
fn data(count: u32, ids: &[u32], bytes: &[u8]) -> Vec<u8> {
    let mut payload = count.to_le_bytes().to_vec();
    ids.iter().for_each(|id| payload.extend_from_slice(&id.to_le_bytes()));
    payload.extend_from_slice(bytes);
    frame(1, 1, 0, u32::try_from(payload.len()).expect("a short frame"), &payload)
}

#[test]
fn streams_that_do_not_begin_with_a_hello_are_closed() {
    let mut session = Session::start(&[OFFENDER, "work"]);
    let mut others = bystanders(&mut session);
    let good = hello(Purpose::Wayland).encode();
    let changed = |at: usize, to: u8| {
        let mut bytes = good;
        bytes[at] = to;
        bytes.to_vec()
    };
    assert_closed(&session, "a wrong magic", &changed(0, b'X'));
    assert_closed(&session, "version 0", &changed(4, 0));
    assert_closed(&session, "version 2", &changed(4, 2));
    assert_closed(&session, "version 257", &changed(5, 1));
    assert_closed(&session, "an unknown purpose", &changed(6, 99));
    assert_closed(&session, "unknown flags", &changed(7, 0x80));
    assert_closed(&session, "a data window out of bounds", &changed(11, 0xff));
    assert_closed(&session, "a reserved field in use", &changed(31, 1));
    assert_closed(&session, "garbage", &Random::new(1).bytes(100_000));
    assert_closed(&session, "a Wayland message", &[1, 0, 0, 0, 1, 0, 12, 0, 2, 0, 0, 0].repeat(10));
    others.iter_mut().for_each(|other| other.assert_unharmed(&mut session));
}

#[test]
fn streams_that_end_early_hurt_nobody() {
    let mut session = Session::start(&[OFFENDER, "work"]);
    let mut others = bystanders(&mut session);
    let good = [&hello(Purpose::Wayland).encode()[..], &vfd(1, 3, 0, 0, 100)].concat();
    for length in (0..good.len()).step_by(3) {
        let mut stream = process::connect(&session.hub_socket(OFFENDER), Deadline::patient());
        stream.write_all(&good[..length]).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(is_closed(&stream), "still open after its first {length} bytes and their end");
    }
    others.iter_mut().for_each(|other| other.assert_unharmed(&mut session));
}

#[test]
fn malformed_frames_close_their_stream() {
    let mut session = Session::start(&[OFFENDER, "work"]);
    let mut others = bystanders(&mut session);
    let mut cases: Vec<(&str, Vec<u8>)> = vec![
        ("frame type 0", frame(0, 0, 0, 0, &[])),
        ("frame type 200", frame(200, 0, 0, 0, &[])),
        ("unknown flags", frame(1, 0x82, 0, 4, &[0; 4])),
        ("reserved bits", frame(1, 0, 7, 4, &[0; 4])),
        ("a frame of 64 KiB and one", frame(1, 0, 0, 65537, &[0; 70000])),
        ("a frame of 4 GiB", frame(1, 0, 0, u32::MAX, &[0; 70000])),
        ("an empty DATA", frame(1, 0, 0, 0, &[])),
        ("a second hello", hello(Purpose::Wayland).encode().to_vec()),
        ("a credit of nothing", frame(2, 0, 0, 4, &[0; 4])),
        ("a credit of 12 bytes", frame(2, 0, 0, 12, &[1; 12])),
        ("credit without end", frame(2, 0, 0, 4, &[0xff; 4]).repeat(3)),
        ("VFD kind 0", vfd(1, 0, 0, 0, 1)),
        ("VFD kind socket", vfd(1, 5, 0, 0, 0)),
        ("VFD kind 77", vfd(1, 77, 0, 0, 1)),
        ("VFD number 0", vfd(0, 3, 0, 0, 1)),
        ("a VFD number of the peer", vfd(2, 3, 0, 0, 1)),
        ("a mirror of nothing", vfd(1, 2, 0, 0, 0)),
        ("a mirror of 2 GiB", vfd(1, 2, 0, 0, 1 << 31)),
        ("a blob of 4 GiB", vfd(1, 3, 0, 0, u64::from(u32::MAX))),
        ("a pipe with a length", vfd(1, 4, 0, 0, 10)),
        ("a region beyond its end", vfd(1, 1, 0, 64 << 20, 4096)),
        ("a region of no number", vfd(1, 1, 0, u64::MAX, u64::MAX)),
        ("too many descriptors", data(29, &[1; 29], &[0; 8])),
        ("very many descriptors", data(u32::MAX, &[1; 29], &[0; 8])),
        ("no descriptors", data(0, &[], &[0; 8])),
        ("descriptors that do not exist", data(2, &[1, 3], &[0; 8])),
        ("fewer descriptors than said", data(8, &[1, 3], &[])),
        ("blob data for nothing", frame(6, 0, 0, 8, &[1, 0, 0, 0, 1, 1, 1, 1])),
        ("pipe data for nothing", frame(7, 0, 0, 8, &[1, 0, 0, 0, 1, 1, 1, 1])),
        ("pipe credit for nothing", frame(8, 0, 0, 8, &[1; 8])),
        ("the end of a pipe that is none", frame(9, 0, 0, 4, &[1, 0, 0, 0])),
        ("the close of a mirror that is none", frame(12, 0, 0, 4, &[1, 0, 0, 0])),
        ("mirror content for nothing", frame(11, 0, 0, 28, &[1; 28])),
    ];
    cases.push(("a VFD number used twice", [vfd(3, 4, 0, 0, 0), vfd(3, 4, 0, 0, 0)].concat()));
    cases.push(("a VFD number that goes back", [vfd(3, 4, 0, 0, 0), vfd(1, 4, 0, 0, 0)].concat()));
    let long_blob = frame(6, 0, 0, 12, &[1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
    cases.push(("more of a blob than was said", [vfd(1, 3, 0, 0, 4), long_blob].concat()));
    let mut many = Vec::new();
    for number in 0..5000 {
        Frame::VfdNew { id: number * 2 + 1, vfd: NewVfd::PipeRead }.encode(&mut many);
    }
    cases.push(("very many pipes", many));
    let mirrors: Vec<u8> = (0..5000).flat_map(|number| vfd(number * 2 + 1, 2, 0, 0, 1 << 30)).collect();
    cases.push(("very many mirrors", mirrors));
    for (what, bytes) in &cases {
        let stream = [&hello(Purpose::Wayland).encode()[..], bytes].concat();
        assert_closed(&session, what, &stream);
    }
    others.iter_mut().for_each(|other| other.assert_unharmed(&mut session));
}

#[test]
fn malformed_trim_requests_close_their_stream() {
    let mut session = Session::start(&[OFFENDER, "work"]);
    let mut others = bystanders(&mut session);
    let record = |offset: u64, len: u64| [offset.to_le_bytes(), len.to_le_bytes()].concat();
    let cases = [
        ("the header of the region", record(0, 4096)),
        ("an odd offset", record(4097, 4096)),
        ("an odd length", record(4096, 100)),
        ("nothing", record(4096, 0)),
        ("the end of the region", record(64 << 20, 4096)),
        ("more than there is", record(4096, u64::MAX)),
        ("an offset beyond all numbers", record(u64::MAX - 4095, 8192)),
    ];
    for (what, bytes) in &cases {
        let stream = [&hello(Purpose::Trim).encode()[..], bytes].concat();
        assert_closed(&session, &format!("a request to trim {what}"), &stream);
    }
    others.iter_mut().for_each(|other| other.assert_unharmed(&mut session));
}

#[test]
fn a_region_truncated_by_its_vm_is_only_that_vms_loss() {
    let mut session = Session::start(&[OFFENDER, "work"]);
    let [mut same, mut other] = bystanders(&mut session);
    let mut local = Bystander::start(&mut session, "local", "local");
    let region = std::fs::File::options().write(true).open(session.region(OFFENDER)).unwrap();
    region.set_len(0).unwrap();
    // Whatever becomes of the VM's own window.
    same.draw();
    let _ = session.screenshot();
    other.assert_unharmed(&mut session);
    local.assert_unharmed(&mut session);
}

#[test]
fn garbage_in_the_region_is_only_that_vms_loss() {
    let mut session = Session::start(&[OFFENDER, "work"]);
    let [_same, mut other] = bystanders(&mut session);
    let mut region = std::fs::File::options().write(true).open(session.region(OFFENDER)).unwrap();
    region.write_all(&Random::new(4).bytes(16 << 20)).unwrap();
    let _ = session.screenshot();
    other.assert_unharmed(&mut session);
    let mut fresh = Bystander::start(&mut session, "work", "fresh");
    fresh.assert_unharmed(&mut session);
}

#[test]
fn a_session_without_regions_refuses_them() {
    let options = vitrail_tests::session::Options::new(&[OFFENDER, "work"]).sharing(Sharing::Stream);
    let mut session = Session::with(options);
    let mut others = bystanders(&mut session);
    let claims = Hello { has_region: true, ..hello(Purpose::Wayland) };
    let stream = [&claims.encode()[..], &vfd(1, 1, 0, 4096, 4096), &data(1, &[1], &[0; 8])].concat();
    assert_closed(&session, "a region that the hub does not know", &stream);
    others.iter_mut().for_each(|other| other.assert_unharmed(&mut session));
}
