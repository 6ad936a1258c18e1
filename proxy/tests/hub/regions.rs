//! Regions: how the gate can tell whose they are, and how their pages go back to the host.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::process::Command;

use virtio_wl::Region;
use virtio_wl::trim::TrimRecord;
use virtio_wl::wire::Purpose;

use crate::TWO_VMS;
use crate::fixture::{Ends, Gate, Hub, call, connect, expect, expect_end, hello};

const PAGE: u64 = 4096;
const SIZE: u64 = 1 << 20;

fn start() -> (Hub, Gate) {
    let region = "[vm.work.region]\npath = \"DIR/work.region\"\nsize_mib = 1\n";
    let hub = Hub::start(&format!("{TWO_VMS}{region}"));
    let gate = Gate::listen(&hub);
    (hub, gate)
}

#[test]
fn the_introduction_carries_the_challenge_that_is_in_the_region() {
    let (hub, gate) = start();
    let region = Region::open(&hub.path("work.region")).unwrap();
    let _stream = call(&hub, "work", &hello(Purpose::Wayland));
    let proof = gate.accept().0.region.unwrap();
    assert_eq!(proof.length, SIZE);
    assert_eq!(proof.challenge, region.challenge().unwrap());
    let _other = call(&hub, "web", &hello(Purpose::Wayland));
    assert_eq!(gate.accept().0.region, None);
}

/// Whoever starts VMs when their sockets appear gives them their regions then. With sockets first, a program that waited
/// for the socket sometimes found no region on a busy machine.
#[test]
fn all_regions_are_made_before_any_socket() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    fs::write(file("file"), "").unwrap();
    let text = r#"
        gate = "unix:DIR/gate.sock"
        [vm.first]
        listen = "unix:DIR/file/no-directory.sock"
        [vm.second]
        listen = "unix:DIR/second.sock"
        region = { path = "DIR/second.region", size_mib = 1 }
    "#;
    fs::write(file("hub.toml"), text.replace("DIR", dir.path().to_str().unwrap())).unwrap();
    let hub = Command::new(env!("CARGO_BIN_EXE_vitrail-hub"))
        .arg("--config")
        .arg(file("hub.toml"))
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&hub.stderr);
    assert!(!hub.status.success() && stderr.contains("VM first"), "{stderr}");
    Region::open(&file("second.region")).unwrap();
}

#[test]
fn a_vm_that_writes_over_its_header_is_written_over_in_turn() {
    let (hub, gate) = start();
    let file = File::options().read(true).write(true).open(hub.path("work.region")).unwrap();
    file.write_all_at(&[0xff; 64], 0).unwrap();
    let _stream = call(&hub, "work", &hello(Purpose::Wayland));
    let proof = gate.accept().0.region.unwrap();
    let region = Region::open(&hub.path("work.region")).unwrap();
    assert_eq!(proof.challenge, region.challenge().unwrap());
    assert_ne!(proof.challenge, [0xff; 32]);
}

#[test]
fn a_vm_that_cuts_its_region_short_is_refused_and_the_others_are_not() {
    let (mut hub, gate) = start();
    let file = File::options().write(true).open(hub.path("work.region")).unwrap();
    file.set_len(PAGE).unwrap();
    expect_end(&mut call(&hub, "work", &hello(Purpose::Wayland)));
    hub.wait_line(&["decision=refuse", "vm=work", "reason=region"]);
    connect(&hub, &gate, "web").round_trip();
}

#[test]
fn trimmed_pages_go_back_to_the_host_and_no_others() {
    let (hub, gate) = start();
    let _live = connect(&hub, &gate, "work");
    let path = hub.path("work.region");
    let file = File::options().write(true).open(&path).unwrap();
    file.write_all_at(&vec![7; 64 * PAGE as usize], PAGE).unwrap();
    let blocks = || fs::metadata(&path).unwrap().blocks();
    let before = blocks();
    let mut stream = call(&hub, "work", &hello(Purpose::Trim));
    // Two records in three pieces.
    let records = [
        TrimRecord { offset: PAGE, len: 16 * PAGE }.encode(),
        TrimRecord { offset: 32 * PAGE, len: 32 * PAGE }.encode(),
    ]
    .concat();
    for piece in [&records[..5], &records[5..20], &records[20..]] {
        stream.write_all(piece).unwrap();
    }
    expect(&mut stream, &records);
    assert!(blocks() <= before - 48 * PAGE / 512, "{before} blocks before, {} after", blocks());
    let content = fs::read(&path).unwrap();
    assert_eq!(content.len() as u64, SIZE);
    let page = |number: usize| &content[number * PAGE as usize..][..PAGE as usize];
    assert_eq!(page(0)[..8], virtio_wl::region::MAGIC);
    for number in 1..64 {
        let wanted = if (17..32).contains(&number) { 7 } else { 0 };
        assert!(page(number).iter().all(|&byte| byte == wanted), "page {number}");
    }
}

/// What is in the region's file when its relay has answered a trim record, and so done what it had to do before.
fn content_after_a_trim(hub: &Hub) -> Vec<u8> {
    let mut stream = call(hub, "work", &hello(Purpose::Trim));
    let record = TrimRecord { offset: SIZE - PAGE, len: PAGE }.encode();
    stream.write_all(&record).unwrap();
    expect(&mut stream, &record);
    fs::read(hub.path("work.region")).unwrap()
}

/// Ends a connection as a VM does that dies, and waits until the gate has seen it.
fn end(ends: Ends) {
    let Ends { vm, mut gate } = ends;
    drop(vm);
    expect_end(&mut gate);
}

#[test]
fn the_end_of_the_last_connection_empties_the_region_and_that_of_another_does_not() {
    let (hub, gate) = start();
    let (one, two) = (connect(&hub, &gate, "work"), connect(&hub, &gate, "work"));
    let file = File::options().write(true).open(hub.path("work.region")).unwrap();
    file.write_all_at(&vec![7; 64 * PAGE as usize], PAGE).unwrap();
    let header = fs::read(hub.path("work.region")).unwrap()[..PAGE as usize].to_vec();
    end(one);
    assert_eq!(content_after_a_trim(&hub)[PAGE as usize], 7);
    end(two);
    let content = content_after_a_trim(&hub);
    assert!(content[PAGE as usize..].iter().all(|&byte| byte == 0));
    assert_eq!(content[..PAGE as usize], header);
    assert!(fs::metadata(hub.path("work.region")).unwrap().blocks() <= PAGE / 512);
}

#[test]
fn connections_of_an_earlier_relay_keep_their_pixels() {
    let (hub, gate) = start();
    let mut old = connect(&hub, &gate, "work");
    let file = File::options().write(true).open(hub.path("work.region")).unwrap();
    file.write_all_at(b"pixels", PAGE).unwrap();
    let hub = hub.kill_and_restart();
    // Starts another relay, whose only connection then ends.
    end(connect(&hub, &gate, "work"));
    assert!(content_after_a_trim(&hub)[PAGE as usize..].starts_with(b"pixels"));
    old.round_trip();
}

#[test]
fn what_a_relay_left_behind_that_died_is_gone_when_the_next_one_starts() {
    let (mut hub, gate) = start();
    let mut ends = connect(&hub, &gate, "work");
    let file = File::options().write(true).open(hub.path("work.region")).unwrap();
    file.write_all_at(b"pixels", PAGE).unwrap();
    rustix::process::kill_process(hub.relay("work"), rustix::process::Signal::KILL).unwrap();
    expect_end(&mut ends.vm);
    hub.wait_line(&["the relay has ended"]);
    let content = content_after_a_trim(&hub);
    assert!(content[PAGE as usize..].iter().all(|&byte| byte == 0));
}

#[test]
fn the_region_of_a_file_for_persistent_memory_begins_behind_2_mib() {
    let start = virtio_wl::region::DEVDAX_OFFSET;
    let region = "[vm.work.region]\npath = \"DIR/work.region\"\nsize_mib = 4\nlayout = \"pmem\"\n";
    let hub = Hub::start(&format!("{TWO_VMS}{region}"));
    let gate = Gate::listen(&hub);
    let region = Region::open(&hub.path("work.region")).unwrap();
    let _stream = call(&hub, "work", &hello(Purpose::Wayland));
    let proof = gate.accept().0.region.unwrap();
    let _live = connect(&hub, &gate, "work");
    assert_eq!((region.start(), region.len(), proof.length), (start, 2 << 20, 2 << 20));
    assert_eq!(proof.challenge, region.challenge().unwrap());
    let file = File::options().read(true).write(true).open(hub.path("work.region")).unwrap();
    file.write_all_at(&vec![7; 2 * PAGE as usize], start + PAGE).unwrap();
    let mut trim = call(&hub, "work", &hello(Purpose::Trim));
    for (offset, is_allowed) in [(2 * PAGE, true), (start, false)] {
        let record = TrimRecord { offset, len: PAGE }.encode();
        trim.write_all(&record).unwrap();
        if is_allowed {
            expect(&mut trim, &record);
        } else {
            expect_end(&mut trim);
        }
    }
    let mut bytes = vec![1; 2 * PAGE as usize];
    file.read_exact_at(&mut bytes, start + PAGE).unwrap();
    assert!(bytes[..PAGE as usize].iter().all(|&byte| byte == 7));
    assert!(bytes[PAGE as usize..].iter().all(|&byte| byte == 0));
}

#[test]
fn a_trim_beyond_the_rules_ends_its_stream_and_nothing_else() {
    let (mut hub, gate) = start();
    let mut live = connect(&hub, &gate, "work");
    for (offset, len) in [
        (0, PAGE),
        (PAGE + 1, PAGE),
        (PAGE, 0),
        (PAGE, 1),
        (PAGE, SIZE),
        (SIZE, PAGE),
        (u64::MAX - PAGE + 1, PAGE),
        (PAGE, u64::MAX - PAGE + 1),
    ] {
        let mut stream = call(&hub, "work", &hello(Purpose::Trim));
        stream.write_all(&TrimRecord { offset, len }.encode()).unwrap();
        expect_end(&mut stream);
    }
    hub.wait_line(&["trim stream refused", "vm=work"]);
    live.round_trip();
    let header = fs::read(hub.path("work.region")).unwrap();
    assert_eq!(header[..8], virtio_wl::region::MAGIC);
    assert!(!gate.has_caller(), "a trim stream is not for the gate");
}

#[test]
fn a_vm_without_a_region_has_nothing_to_trim() {
    let (mut hub, _gate) = start();
    expect_end(&mut call(&hub, "web", &hello(Purpose::Trim)));
    hub.wait_line(&["decision=refuse", "vm=web", "reason=no-region"]);
}

#[test]
fn a_trim_stream_whose_answers_are_not_read_holds_little() {
    let (hub, gate) = start();
    let mut stream = call(&hub, "work", &hello(Purpose::Trim));
    let record = TrimRecord { offset: PAGE, len: PAGE }.encode();
    stream.set_nonblocking(true).unwrap();
    let mut sent = 0;
    let patience = std::time::Duration::from_millis(500);
    while crate::fixture::wait_for(&stream, rustix::event::PollFlags::OUT, patience) {
        while let Ok(count) = stream.write(&record) {
            sent += count;
        }
        assert!(sent < 4 << 20, "{sent} bytes are held somewhere");
    }
    connect(&hub, &gate, "work").round_trip();
    stream.set_nonblocking(false).unwrap();
    // Nothing is lost: every whole record is answered.
    for _ in 0..sent / record.len() {
        expect(&mut stream, &record);
    }
}

#[test]
fn two_vms_cannot_have_one_region_under_two_names() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().display();
    File::create(dir.path().join("region")).unwrap().set_len(SIZE).unwrap();
    fs::hard_link(dir.path().join("region"), dir.path().join("other")).unwrap();
    let vm = |name: &str, region: &str| {
        format!(
            "[vm.{name}]\nlisten = \"unix:{place}/{name}.sock\"\n\
             region = {{ path = \"{place}/{region}\", size_mib = 1 }}\n"
        )
    };
    let text = format!("gate = \"unix:{place}/gate.sock\"\n{}{}", vm("work", "region"), vm("web", "other"));
    fs::write(dir.path().join("hub.toml"), text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_vitrail-hub"))
        .arg("--config")
        .arg(dir.path().join("hub.toml"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("have the same file as their region"), "{stderr}");
    assert!(!dir.path().join("work.sock").exists() && !dir.path().join("web.sock").exists());
}
