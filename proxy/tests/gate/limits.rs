//! Everything that a VM can have too much of.

use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::process::{Resource, Rlimit};
use virtio_wl::Region;
use virtio_wl::wire::MirrorRect;
use vitrail_protocols::report::JailReport;
use vitrail_protocols::{Limits, Policy};
use vitrail_proxy::gate::control::{self, Order};
use vitrail_proxy::gate::worker::{Worker, WorkerOptions};

use crate::client::{Client, Error, memory};
use crate::compositor::Requests;
use crate::wire::Message;
use crate::{Vm, breach};

const NO_MEMORY: u32 = 2;

#[track_caller]
fn assert_limit(error: &Error, text: &str) {
    assert_eq!((error.object, error.code, error.message.as_str()), (1, NO_MEMORY, text));
}

#[test]
fn connections_are_limited() {
    let vm = Vm::new(Limits { clients: 1, ..Limits::default() });
    let (mut first, _) = vm.connect();
    assert!(first.round_trip());
    let (mut second, requests) = vm.connect();
    assert_limit(&second.error(), "vitrail-gate: the VM may have 1 connections");
    requests.wait_for_end();
    assert_eq!(requests.count("wl_display.1"), 0);
    assert!(first.round_trip());
    vm.report(|report| report.connections == 1 && report.refused == 1);
    drop(first);
    vm.report(|report| report.connections == 0);
    assert!(vm.connect().0.round_trip());
}

#[test]
fn surfaces_are_limited_over_all_connections() {
    let limits = Limits { surfaces: 3, ..Limits::default() };
    let vm = Vm::new(limits);
    let (mut first, _) = vm.connect();
    let held = first.surface();
    first.surface();
    assert!(first.round_trip());
    let (mut second, requests) = vm.connect();
    second.surface();
    second.surface();
    assert_limit(&second.error(), "vitrail-gate: the VM may have 3 surfaces");
    requests.wait_for_end();
    assert_eq!(requests.count("wl_compositor.0"), 1);
    // What the ended connection held is free again, and so is what is destroyed.
    vm.report(|report| report.connections == 1 && report.refused == 1);
    first.surface();
    first.send(Message::new(held, 0));
    first.surface();
    assert!(first.round_trip());
}

#[test]
fn windows_and_popups_are_limited() {
    let limits = Limits { toplevels: 1, popups: 0, ..Limits::default() };
    let error = breach(limits.clone(), ("xdg_surface.1", 1), |client, _| {
        for _ in 0..2 {
            let surface = client.xdg_surface();
            client.make(surface, 1, &[]);
        }
    });
    assert_limit(&error, "vitrail-gate: the VM may have 1 windows");
    let error = breach(limits, ("xdg_surface.2", 0), |client, _| {
        let (parent, surface) = (client.xdg_surface(), client.xdg_surface());
        let shell = client.bind("xdg_wm_base", 6);
        let positioner = client.make(shell, 1, &[]);
        client.make(surface, 2, &[parent.cast_signed(), positioner.cast_signed()]);
    });
    assert_limit(&error, "vitrail-gate: the VM may have 0 popups");
}

#[test]
fn the_depth_of_subsurfaces_is_limited() {
    let limits = Limits { subsurface_depth: 2, ..Limits::default() };
    let error = breach(limits, ("wl_subcompositor.1", 2), |client, _| {
        let subcompositor = client.bind("wl_subcompositor", 1);
        let mut parent = client.surface();
        for _ in 0..3 {
            let child = client.surface();
            client.make(subcompositor, 1, &[child.cast_signed(), parent.cast_signed()]);
            parent = child;
        }
    });
    assert_eq!(error.message, "vitrail-gate: subsurfaces may be nested 2 deep");
}

#[test]
fn pools_and_buffers_are_limited() {
    let error = breach(Limits { pools: 2, ..Limits::default() }, ("wl_shm.0", 2), |client, _| {
        for _ in 0..3 {
            client.pool(memory(4096), 4096);
        }
    });
    assert_limit(&error, "vitrail-gate: the VM may have 2 shared memory pools");
    let error = breach(Limits { buffers: 2, ..Limits::default() }, ("wl_shm_pool.0", 2), |client, _| {
        let pool = client.pool(memory(4096), 4096);
        for _ in 0..3 {
            client.make(pool, 0, &[0, 1, 1, 4, 0]);
        }
    });
    assert_limit(&error, "vitrail-gate: the VM may have 2 buffers");
}

/// A buffer of so many rows of 4 KiB.
fn rows(client: &mut Client, pool: u32, offset: i32, rows: i32) -> u32 {
    client.make(pool, 0, &[offset, 1024, rows, 4096, 0])
}

#[test]
fn memory_that_was_used_once_counts_until_the_connection_ends() {
    let limits = Limits { shm_mib: 1, ..Limits::default() };
    let error = breach(limits, ("wl_shm_pool.0", 2), |client, _| {
        let memory = memory(2 << 20);
        let again = memory.try_clone().unwrap();
        let pool = client.pool(memory, 2 << 20);
        let buffer = rows(client, pool, 0, 150);
        // Both are destroyed, but the pages that the compositor may have read are there.
        client.send(Message::new(buffer, 0));
        client.send(Message::new(pool, 1));
        let pool = client.pool(again, 2 << 20);
        rows(client, pool, 4096, 149);
        assert!(client.round_trip());
        rows(client, pool, 150 << 12, 107);
    });
    assert_limit(&error, "vitrail-gate: the VM may have 1048576 bytes of shared memory");
}

#[test]
fn large_memory_that_is_hardly_used_counts_for_little() {
    let vm = Vm::new(Limits { shm_mib: 1, ..Limits::default() });
    let connect = || {
        let (mut client, requests) = vm.connect();
        // As large as the staging memory of wl-forward, and too large for its content to be sent at once.
        let pool = client.pool(memory(256 << 20), 256 << 20);
        rows(&mut client, pool, 0, 128);
        (client, requests)
    };
    let ((mut first, _), (mut second, _)) = (connect(), connect());
    assert!(first.round_trip() && second.round_trip());
    assert_limit(&connect().0.error(), "vitrail-gate: the VM may have 1048576 bytes of shared memory");
    drop(first);
    vm.report(|report| report.connections == 1);
    assert!(connect().0.round_trip(), "what the ended connection held is free again");
}

#[test]
fn what_is_written_to_mirrors_is_limited_over_all_connections() {
    let vm = Vm::new(Limits { shm_mib: 1, ..Limits::default() });
    let write = |client: &mut Client, rows| {
        let region = Arc::new(Region::create_memfd(64 << 20).unwrap());
        let rect = MirrorRect { offset: 4096, row_len: 1, stride: 4096, rows };
        client.socket.mirror_write(&region, rect).unwrap();
    };
    let (mut first, _) = vm.connect();
    assert!(first.round_trip());
    write(&mut first, 200);
    assert!(first.round_trip());
    let (mut second, _) = vm.connect();
    assert!(second.round_trip());
    write(&mut second, 57);
    second.wait_for_end();
    let report = vm.report(|report| report.refused == 1);
    assert!(report.last_refusal.contains("memory in mirrors"), "{report:?}");
    assert!(first.round_trip(), "the other connection goes on");
}

#[test]
fn descriptors_are_limited() {
    // Counting is over the whole process, which this test shares with others: any limit that is certainly
    // exceeded will do.
    let vm = Vm::new(Limits { fds: 3, ..Limits::default() });
    let (mut client, _) = vm.connect();
    assert_limit(&client.error(), "vitrail-gate: the VM may have 3 file descriptors");
}

/// Descriptors are counted only while some have come, so it must not matter when they do, and that no request takes them.
#[test]
fn descriptors_that_come_late_are_limited_too() {
    // The tests share a process, which is far from so many.
    const LIMIT: u32 = 2000;
    let old = rustix::process::getrlimit(Resource::Nofile);
    let room = Rlimit { current: old.maximum.map_or(Some(8192), |most| Some(most.min(8192))), ..old };
    rustix::process::setrlimit(Resource::Nofile, room).unwrap();
    let vm = Vm::new(Limits { fds: LIMIT, ..Limits::default() });
    let (mut client, _) = vm.connect();
    for _ in 0..10 {
        assert!(client.round_trip());
    }
    let sealed = rustix::fs::memfd_create("blob", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    rustix::fs::ftruncate(&sealed, 16).unwrap();
    rustix::fs::fcntl_add_seals(&sealed, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW).unwrap();
    for _ in 0..=LIMIT / 28 {
        let id = client.id();
        let message = Message::new(1, 0).uint(id);
        client.send((0..28).fold(message, |message, _| message.fd(sealed.try_clone().unwrap())));
    }
    assert_limit(&client.error(), "vitrail-gate: the VM may have 2000 file descriptors");
    assert!(vm.connect().0.round_trip(), "they are gone with the connection");
}

/// A connection that was refused was held to its limits still while the refusal was delivered, refused again in each turn, and
/// turned for ever, at full load: what it has is given back when it is over, not before.
#[test]
fn a_refused_client_that_does_not_go_is_given_up() {
    let vm = Vm::new(Limits { fds: 3, ..Limits::default() });
    let (silent, stream) = Client::new();
    let (compositor, _requests) = crate::compositor::start();
    let order = Order::Serve { connection: 1 };
    control::send_order(&vm.control, &order, &[stream.as_fd(), compositor.as_fd()]).unwrap();
    // It neither reads why nor goes.
    vm.report(|report| report.refused == 1);
    drop(silent);
}

/// Objects were counted in turns in which something came. The state handles what came a few kilobytes at a time, turns
/// later, so that what a client sent last was not counted, and it could have thousands of objects too many.
#[test]
fn objects_that_nothing_else_counts_are_limited_too() {
    let vm = Vm::new(Limits { requests_per_second: 1_000_000, ..Limits::default() });
    let (mut client, _) = vm.connect();
    let compositor = client.bind("wl_compositor", 6);
    for _ in 0..50_000 {
        client.make(compositor, 1, &[]);
    }
    assert_limit(&client.error(), "vitrail-gate: a client may have 32768 objects");
}

/// A region had a bound and the number of regions had none but that of objects: a VM could have a hundred million rectangles.
#[test]
fn rectangles_are_limited_over_all_regions() {
    let vm = Vm::new(Limits { requests_per_second: 1_000_000, ..Limits::default() });
    let (mut client, requests) = vm.connect();
    let compositor = client.bind("wl_compositor", 6);
    let mut region = |destroy: bool| {
        let region = client.make(compositor, 1, &[]);
        let add = Message::new(region, 1).ints(&[0, 0, 1, 1]).bytes();
        client.send_bytes(&add.repeat(4096), &[]);
        if destroy {
            client.send(Message::new(region, 0));
        }
    };
    // What is destroyed counts for nothing.
    (0..5).for_each(|_| region(true));
    (0..16).for_each(|_| region(false));
    assert!(client.round_trip());
    let region = client.make(compositor, 1, &[]);
    client.send(Message::new(region, 1).ints(&[0, 0, 1, 1]));
    assert_limit(&client.error(), "vitrail-gate: the VM may have 65536 rectangles in regions");
    requests.wait_for_end();
    assert_eq!(requests.count("wl_region.1"), 21 * 4096);
}

/// A source may offer 256 types, each as long as a message, and the number of sources had no bound but that of objects: a VM
/// could have the compositor keep gigabytes of names.
#[test]
fn what_sources_offer_is_limited_over_all_of_them() {
    let vm = Vm::new(Limits::default());
    let (mut client, requests) = vm.connect();
    let manager = client.bind("wl_data_device_manager", 3);
    let mut offers = 0;
    let name = "x".repeat(4000);
    let mut offer = |destroy: bool| {
        let source = client.make(manager, 0, &[]);
        for _ in 0..100 {
            client.send(Message::new(source, 0).string(&name));
            offers += 1;
        }
        if destroy {
            client.send(Message::new(source, 1));
        }
    };
    (0..5).for_each(|_| offer(true));
    (0..3).for_each(|_| offer(false));
    assert_limit(
        &client.error(),
        "vitrail-gate: the VM may have 1048576 bytes of types in clipboard sources",
    );
    requests.wait_for_end();
    assert_eq!(requests.count("wl_data_source.0"), 500 + (1 << 20) / 4064);
}

/// Compositors keep the damage of a surface until it is committed, however much it is.
#[test]
fn damage_without_end_becomes_damage_of_everything() {
    let vm = Vm::new(Limits { requests_per_second: 1_000_000, ..Limits::default() });
    let (mut client, requests) = vm.connect();
    let surface = client.surface();
    for _ in 0..2 {
        for opcode in [2, 9] {
            client.send_bytes(&Message::new(surface, opcode).ints(&[0, 0, 1, 1]).bytes().repeat(5000), &[]);
        }
        client.send(Message::new(surface, 6));
    }
    assert!(client.round_trip());
    let damage = ["wl_surface.2", "wl_surface.9"].map(|request| requests.count(request));
    assert_eq!((damage.iter().sum::<usize>(), requests.count("wl_surface.6")), (2048, 2));
}

/// Each client had a bound, so that a VM with 64 of them could have two million objects.
#[test]
fn objects_are_limited_over_all_connections() {
    let vm = Vm::new(Limits { requests_per_second: 1_000_000, ..Limits::default() });
    let fill = || {
        let (mut client, requests) = vm.connect();
        let compositor = client.bind("wl_compositor", 6);
        for _ in 0..32_000 {
            client.make(compositor, 1, &[]);
        }
        (client, requests)
    };
    let mut clients: Vec<_> = (0..4).map(|_| fill()).collect();
    let go_on =
        |clients: &mut [(Client, Requests)]| clients.iter_mut().all(|(client, _)| client.round_trip());
    assert!(go_on(&mut clients));
    assert_limit(&fill().0.error(), "vitrail-gate: the VM may have 131072 objects");
    assert!(go_on(&mut clients), "the others go on");
    clients.pop();
    vm.report(|report| report.connections == 3);
    clients.push(fill());
    assert!(go_on(&mut clients), "what the ended connection had is free again");
}

#[test]
fn requests_beyond_the_rate_wait_and_are_served_all_the_same() {
    let vm = Vm::new(Limits { requests_per_second: 2000, ..Limits::default() });
    let (mut neighbour, _) = vm.connect();
    let (mut client, _) = vm.connect();
    assert!(client.round_trip());
    let start = Instant::now();
    for _ in 0..4000 {
        client.make(1, 0, &[]);
    }
    // How much is taken before the rate is noticed depends on how the bytes arrive. But what comes after it
    // has been noticed has to wait until half of the requests, those beyond the burst, are paid for.
    assert!(client.round_trip());
    assert!(neighbour.round_trip(), "the neighbour does not wait");
    assert!(start.elapsed() < Duration::from_secs(10));
    assert!(client.round_trip());
    assert!(start.elapsed() >= Duration::from_millis(900), "{:?}", start.elapsed());
    assert_eq!(vm.report(|report| report.connections == 2).refused, 0);
}

#[test]
fn bytes_beyond_the_rate_wait_too() {
    let vm = Vm::new(Limits { bytes_per_second: 100_000, ..Limits::default() });
    let (mut client, _) = vm.connect();
    let surface = client.xdg_surface();
    let toplevel = client.make(surface, 1, &[]);
    assert!(client.round_trip());
    let start = Instant::now();
    for _ in 0..60 {
        client.send(Message::new(toplevel, 2).string(&"x".repeat(3900)));
    }
    assert!(client.round_trip());
    assert!(client.round_trip());
    assert!(start.elapsed() >= Duration::from_millis(1200), "{:?}", start.elapsed());
}

#[test]
fn pixels_beyond_the_rate_wait_too() {
    let vm = Vm::new(Limits { bytes_per_second: 1_000_000, ..Limits::default() });
    let (mut client, _) = vm.connect();
    assert!(client.round_trip());
    let memory = Arc::new(Region::create_memfd(4 << 20).unwrap());
    let rect = MirrorRect { offset: 4096, row_len: 2_500_000, stride: 2_500_000, rows: 1 };
    let start = Instant::now();
    client.socket.mirror_write(&memory, rect).unwrap();
    assert!(client.round_trip());
    assert!(client.round_trip());
    assert!(start.elapsed() >= Duration::from_millis(1200), "{:?}", start.elapsed());
}

#[test]
fn a_client_that_never_reads_is_ended() {
    // At this rate the answers fill every buffer seconds before the questions reach the limit of objects, however
    // slow the compositor is.
    let vm = Vm::new(Limits { pending_bytes: 64 << 10, requests_per_second: 5_000, ..Limits::default() });
    let (mut neighbour, _) = vm.connect();
    assert!(neighbour.round_trip());
    let (client, _) = vm.connect();
    let flood = std::thread::spawn(move || never_read(client));
    let report = vm.report(|report| report.refused == 1);
    assert!(report.last_refusal.contains("does not read"), "{}", report.last_refusal);
    assert!(neighbour.round_trip());
    drop(vm);
    flood.join().unwrap();
}

/// Asks for answers as long as the other side takes questions, and reads none. It asks for the list of globals,
/// whose answer is many times the question.
fn never_read(mut client: Client) {
    use rustix::event::{PollFd, PollFlags, Timespec};
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        let registry = client.id();
        let bytes = Message::new(1, 1).uint(registry).bytes();
        match client.socket.sendmsg(&bytes, &[]) {
            Ok(_) => {}
            Err(virtio_wl::SocketError::WouldBlock) => {
                let wait = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
                let mut fds = [PollFd::new(&client.socket, PollFlags::IN)];
                rustix::event::poll(&mut fds, Some(&wait)).unwrap();
                if client.socket.dispatch().is_err() || client.socket.flush().is_err() {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}

/// What a worker writes to its log, from the thread that it runs in.
#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A stream whose VM has gone before it is served cannot be set up, and each had a line in the log: a VM that calls and hangs up
/// could fill the disk with them.
#[test]
fn a_vm_that_calls_and_hangs_up_does_not_fill_the_log() {
    let (ours, theirs) = control::pair().unwrap();
    let log = Log::default();
    let writer = log.clone();
    let worker = std::thread::spawn(move || {
        let make = move || writer.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(make).finish();
        tracing::subscriber::with_default(subscriber, || {
            let (vm, limits, policy) = ("work".parse().unwrap(), Limits::default(), Policy::default());
            let options = WorkerOptions { vm, limits, policy, region: None, control: Some(theirs) };
            Worker::new(options, JailReport::default()).unwrap().run().unwrap();
        });
    });
    for connection in 0..200 {
        let (gone, stream) = Client::new();
        drop(gone);
        let (compositor, _requests) = std::os::unix::net::UnixStream::pair().unwrap();
        let order = Order::Serve { connection };
        let fds = [stream.as_fd(), compositor.as_fd()];
        while control::send_order(&ours, &order, &fds).is_err() {
            std::thread::yield_now();
        }
    }
    drop(ours);
    worker.join().unwrap();
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines = text.lines().filter(|line| line.contains("cannot serve a connection")).count();
    assert!((1..20).contains(&lines), "{lines} lines:\n{text}");
    assert!(!text.contains("ERROR"), "{text}");
}

/// A program that breaks a rule is ended by itself; a VM that goes on and on is let go as a whole, and taken again later.
#[test]
fn a_vm_that_breaks_too_many_rules_is_let_go_as_a_whole() {
    const LET_GO: &str = "vitrail-gate: the VM has broken too many rules, and is let go for a while";
    let vm = Vm::new(Limits { breaches: 2, surfaces: 0, ..Limits::default() });
    let (mut honest, _) = vm.connect();
    assert!(honest.round_trip());
    for breaches in 1..=3 {
        let (mut client, _) = vm.connect();
        client.surface();
        assert_limit(&client.error(), "vitrail-gate: the VM may have 0 surfaces");
        vm.report(|report| report.refused >= breaches);
    }
    assert_limit(&honest.error(), LET_GO);
    let (mut next, _) = vm.connect();
    assert_limit(&next.error(), LET_GO);
}

#[test]
fn a_vm_may_break_as_many_rules_as_it_is_allowed_to() {
    let vm = Vm::new(Limits { breaches: 3, surfaces: 0, ..Limits::default() });
    let (mut honest, _) = vm.connect();
    for breaches in 1..=3 {
        let (mut client, _) = vm.connect();
        client.surface();
        client.error();
        vm.report(|report| report.refused >= breaches);
    }
    assert!(honest.round_trip());
}
