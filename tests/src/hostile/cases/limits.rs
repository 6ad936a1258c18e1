//! Rows 17 to 19: floods, and numbers and memory that no honest client has.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use vitrail_protocols::Guard;

use crate::client::{ClientError, Memory};
use crate::deadline::Deadline;
use crate::hostile::Case;
use crate::hostile::stage::{Attacker, HOSTILE, Place, Stage, options};
use crate::raw::{DISPLAY, Globals, Request};

const COUNTS: &[Guard] = &[Guard::Counts];

pub(super) const CASES: &[Case] = &[
    Case::new(17, "many-windows", "more windows than there may be", COUNTS, many_windows),
    Case::new(17, "many-surfaces", "more surfaces than there may be", COUNTS, many_surfaces),
    Case::new(17, "many-pools", "more pools than there may be", COUNTS, many_pools),
    Case::new(17, "many-buffers", "more buffers than there may be", COUNTS, many_buffers),
    Case::new(17, "much-memory", "more shared memory than there may be", COUNTS, much_memory),
    Case::new(17, "many-connections", "more connections than there may be", COUNTS, many_connections),
    Case::new(
        17,
        "descriptor-flood",
        "more descriptors than there may be",
        &[Guard::Descriptors],
        descriptor_flood,
    ),
    Case::new(
        18,
        "subsurface-depth",
        "subsurfaces nested ten thousand deep",
        &[Guard::Depth],
        subsurface_depth,
    ),
    Case::new(18, "numbers", "places and sizes that cannot be computed with", &[Guard::Numbers], numbers),
    Case::fixed(
        18,
        "shm-truncate",
        "memory that is cut off under a window",
        "the kernel's signal is handled by the library that maps the memory",
        shm_truncate,
    ),
    Case::fixed(
        18,
        "malformed",
        "messages that are none",
        "both parsers refuse them, and no decision of ours",
        malformed,
    ),
    Case::new(19, "request-flood", "requests without end", &[Guard::Rate], request_flood),
    Case::new(
        19,
        "everything-at-once",
        "requests, commits, damage, pools, windows, popups, titles, clipboard offers and unread output at once",
        &[Guard::Rate],
        crate::hostile::flood::case,
    ),
    Case::new(19, "unread-output", "answers without end that nobody reads", &[Guard::Pending], unread_output),
];

/// Makes more than there may be, as a VM in the place of its `wl-forward`; the text of the error that ended it, which is to be
/// about `what`.
fn counted(
    name: &'static str,
    limit: u64,
    what: &str,
    make: impl Fn(&mut Attacker, Globals) -> Result<(), ClientError>,
) -> String {
    let mut stage = Stage::with(options().limit(name, limit));
    let mut attacker = stage.attacker(Place::Vm);
    let globals = attacker.bind_globals().expect("globals");
    let end = (0..limit + 4).try_for_each(|_| make(&mut attacker, globals));
    let told = stage.assert_ended(&mut attacker, end);
    assert!(told.contains(what), "it was ended for something else: {told}");
    drop(attacker);
    stage.assert_unharmed();
    // What was taken is given back: the next one can have it, as soon as the end of the other is known everywhere.
    let deadline = Deadline::patient();
    loop {
        let mut next = stage.attacker(Place::Vm);
        let globals = next.bind_globals().expect("globals");
        let made = make(&mut next, globals).and_then(|()| next.roundtrip(Deadline::patient()).map(drop));
        if made.is_ok() {
            return told;
        }
        assert!(!deadline.passed(), "it was not given back: {made:?}");
    }
}

fn many_windows() -> String {
    counted("toplevels", 20, "windows", |attacker, globals| attacker.create_window(globals).map(drop))
}

fn many_surfaces() -> String {
    counted("surfaces", 40, "surfaces", |attacker, globals| attacker.create_surface(globals).map(drop))
}

fn many_pools() -> String {
    counted("pools", 6, "pools", |attacker, globals| {
        attacker.create_pool(globals, Memory::new(4096).fd(), 4096).map(drop)
    })
}

fn many_buffers() -> String {
    counted("buffers", 20, "buffers", |attacker, globals| {
        let pool = attacker.create_pool(globals, Memory::new(4096).fd(), 4096)?;
        for _ in 0..8 {
            attacker.create_buffer(pool, 0, (8, 8), 32)?;
        }
        attacker.send(&Request::new(pool, 1))
    })
}

/// The VM's region counts once, and is 64 MiB; what is sent without it counts beside.
fn much_memory() -> String {
    counted("shm_mib", 8, "memory", |attacker, globals| {
        let pool = attacker.create_pool(globals, Memory::new(1 << 20).fd(), 1 << 20)?;
        attacker.create_buffer(pool, 0, (512, 512), 2048)?;
        attacker.send(&Request::new(pool, 1))
    })
}

fn many_connections() -> String {
    let mut stage = Stage::with(options().limit("clients", 6));
    let mut accepted = Vec::new();
    let mut refused = 0;
    for _ in 0..12 {
        let stream = crate::process::connect(&stage.session.vm_socket(HOSTILE), Deadline::patient());
        match crate::raw::RawClient::new(stream) {
            Ok(client) => accepted.push(client),
            Err(_) => refused += 1,
        }
    }
    assert_eq!((accepted.len(), refused), (6, 6));
    stage.assert_unharmed();
    "6 of 12 were let in".to_owned()
}

/// Each stream carries a few files at a time; the VM has several.
fn descriptor_flood() -> String {
    let limits = options().limit("fds", 60).limit("pools", 4000).limit("buffers", 4000);
    let mut stage = Stage::with(limits);
    let mut attackers = Vec::new();
    let mut flood = || {
        // The connection may already be one too many.
        let mut attacker = stage.try_attacker(Place::Vm)?;
        let globals = attacker.bind_globals()?;
        for _ in 0..12 {
            attacker.create_pool(globals, Memory::new(4096).fd(), 4096)?;
        }
        attacker.roundtrip(Deadline::patient())?;
        attackers.push(attacker);
        Ok(())
    };
    let end: Result<(), ClientError> = (0..10).try_for_each(|_| flood());
    let Err(ClientError::Protocol { message, .. }) = end else {
        panic!("none of ten connections was ended: {end:?}")
    };
    assert!(message.contains("descriptors"), "it was ended for something else: {message}");
    stage.assert_unharmed();
    format!("connection {}: {message}", attackers.len() + 1)
}

fn subsurface_depth() -> String {
    let mut stage = Stage::with(options().limit("surfaces", 20_000));
    let mut attacker = stage.attacker(Place::Vm);
    let globals = attacker.bind_globals().expect("globals");
    let window = attacker.map_window(globals, "deep", (200, 150)).expect("a window");
    let mut parent = window.surface;
    let mut depth = 0;
    let end = (0..10_000).try_for_each(|_| {
        let surface = attacker.create_surface(globals)?;
        attacker.get_subsurface(globals, surface, parent)?;
        parent = surface;
        depth += 1;
        Ok(())
    });
    let told = stage.assert_ended(&mut attacker, end);
    assert!(told.contains("deep") || told.contains("closed"), "it was ended for something else: {told}");
    stage.assert_unharmed();
    told
}

fn numbers() -> String {
    let extremes = [i32::MAX, i32::MIN];
    let mut stage = Stage::new();
    let mut told = Vec::new();
    for extreme in extremes {
        for which in 0..3 {
            let mut attacker = stage.attacker(Place::Vm);
            let globals = attacker.bind_globals().expect("globals");
            let window = attacker.map_window(globals, "extreme", (64, 64)).expect("a window");
            let end = (|| match which {
                0 => {
                    attacker.send(&Request::new(window.surface, 1).uint(0).int(extreme).int(extreme))?;
                    attacker.commit(window.surface)
                }
                1 => {
                    let child = attacker.create_surface(globals)?;
                    let subsurface = attacker.get_subsurface(globals, child, window.surface)?;
                    attacker.send(&Request::new(subsurface, 1).int(extreme).int(extreme))?;
                    attacker.commit(window.surface)
                }
                _ => {
                    let geometry = Request::new(window.xdg_surface, 3).int(extreme).int(extreme);
                    attacker.send(&geometry.int(10).int(10))?;
                    attacker.commit(window.surface)
                }
            })();
            told.push(stage.assert_ended(&mut attacker, end));
            stage.session.wait_titles(&["victim"]);
        }
    }
    stage.assert_unharmed();
    told.dedup();
    told.join("; ")
}

fn shm_truncate() -> String {
    let mut stage = Stage::new();
    for vm in [HOSTILE, "local"] {
        let mut attacker = stage.raw(vm, Place::Application);
        let globals = attacker.bind_globals().expect("globals");
        let window = attacker.map_window(globals, "cut", (64, 64)).expect("a window");
        let memory = Memory::new(1 << 20);
        let pool = attacker.create_pool(globals, memory.fd(), 1 << 20).expect("a pool");
        let buffer = attacker.create_buffer(pool, 0, (512, 512), 2048).expect("a buffer");
        attacker.roundtrip(Deadline::patient()).expect("a live connection");
        memory.truncate(0);
        // Whether it is ended for that is its own library's affair.
        let _ = attacker.show_buffer(window.surface, buffer);
        let _ = attacker.roundtrip(Deadline::patient());
        let _ = stage.session.screenshot();
        stage.assert_unharmed();
    }
    "the session goes on, with the memory of a VM and of a local client cut off".to_owned()
}

fn malformed() -> String {
    let mut stage = Stage::new();
    let garbage = crate::random::Random::new(99).bytes(4096);
    let cases: Vec<Vec<u8>> = vec![
        Request::new(DISPLAY, 0).uint(9).claim_size(4).encode(),
        Request::new(DISPLAY, 0).uint(9).claim_size(13).encode(),
        Request::new(DISPLAY, 0).uint(9).claim_size(0xfffc).encode().repeat(2000),
        Request::new(4711, 0).uint(9).encode(),
        Request::new(DISPLAY, 77).uint(9).encode(),
        Request::new(DISPLAY, 0).uint(0xff00_0001).encode(),
        Request::new(2, 0).uint(1).uint(u32::MAX).uint(0).uint(1).uint(9).encode(),
        [&[0xff; 8][..], &garbage].concat(),
    ];
    for bytes in &cases {
        for place in [Place::Application, Place::Vm] {
            let mut attacker = stage.attacker(place);
            let end = attacker.send_bytes(bytes, &[]);
            stage.assert_ended(&mut attacker, end);
        }
    }
    stage.assert_unharmed();
    format!("{} kinds ended their connection from both places", cases.len())
}

/// The slowest of some round trips of the victim's.
fn slowest(stage: &mut Stage, trips: u32) -> Duration {
    let timed = |stage: &mut Stage| {
        let start = Instant::now();
        stage.victim.client().roundtrip().expect("the victim lives");
        start.elapsed()
    };
    (0..trips).map(|_| timed(stage)).max().unwrap_or_default()
}

/// Several clients of the VM write the same bytes for as long as they are taken.
fn flooded<T>(stage: &mut Stage, during: impl FnOnce(&mut Stage) -> T) -> T {
    let mut attackers = Vec::new();
    for _ in 0..4 {
        let mut attacker = stage.attacker(Place::Vm);
        let globals = attacker.bind_globals().expect("globals");
        let surface = attacker.create_surface(globals).expect("a surface");
        let flood = Request::new(surface, 2).int(0).int(0).int(i32::MAX).int(i32::MAX).encode().repeat(2000);
        attackers.push((attacker, flood));
    }
    let stop = AtomicBool::new(false);
    let stop = &stop;
    std::thread::scope(|scope| {
        for (attacker, flood) in &mut attackers {
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    if attacker.send_bytes(flood, &[]).is_err() {
                        break;
                    }
                }
            });
        }
        let done = during(stage);
        stop.store(true, Ordering::Relaxed);
        done
    })
}

fn request_flood() -> String {
    let mut stage = Stage::with(options().limit("requests_per_second", 5_000));
    let before = requests(&stage);
    let (slowest, length, handled) = flooded(&mut stage, |stage| {
        let start = Instant::now();
        let slowest = slowest(stage, 200);
        while start.elapsed() < Duration::from_secs(3) {
            stage.assert_unharmed();
        }
        (slowest, start.elapsed(), requests(stage) - before)
    });
    let allowed = 4.0 * 5_000.0 * (length.as_secs_f64() + 1.5);
    assert!(
        (handled as f64) < allowed,
        "{handled} requests were handled in {length:?}, of {allowed} that may be"
    );
    assert!(slowest < Duration::from_secs(1), "a round trip of another VM took {slowest:?}");
    format!(
        "{handled} requests in {:.1} s, and no round trip of another VM took more than {slowest:?}",
        length.as_secs_f64()
    )
}

/// How many requests of the attacking VM have passed its worker.
fn requests(stage: &Stage) -> u64 {
    let vms = stage.report(&["vms", "--json"]);
    let vms = vms.as_array().expect("a list");
    let own = vms.iter().find(|vm| vm["vm"] == HOSTILE).expect("the VM");
    own["worker"]["traffic"]["requests"].as_u64().unwrap_or_default()
}

fn unread_output() -> String {
    let mut stage = Stage::new();
    let mut attacker = stage.attacker(Place::Vm);
    let deadline = Deadline::after(Duration::from_secs(8));
    let mut sent = 0_u64;
    let end = loop {
        let mut requests = Vec::new();
        for _ in 0..200 {
            let registry = attacker.new_id();
            requests.extend(Request::new(DISPLAY, 1).uint(registry).encode());
        }
        let mut at = 0;
        let end = loop {
            match attacker.wire().send(&requests[at..], &[], deadline) {
                Ok(count) => at += count,
                Err(error) => break Some(error),
            }
            if at >= requests.len() {
                break None;
            }
        };
        sent += 200;
        if let Some(end) = end {
            break end;
        }
        assert!(!deadline.passed(), "{sent} requests were taken, with nobody reading the answers");
    };
    assert!(end.kind() != std::io::ErrorKind::TimedOut, "it is still connected after {sent} requests");
    stage.assert_unharmed();
    let most =
        stage.session.processes().iter().map(crate::process::Member::resident_mib).max().unwrap_or_default();
    assert!(most < 120, "a process has {most} MiB");
    format!("no more was taken after {sent} requests ({end}), and no process has more than {most} MiB")
}
