//! Clients that break rules, each from every place where one can stand: an application of a VM (in front of
//! `wl-forward`), a VM whose forwarder itself is hostile (in front of the gate), and a local application (in
//! front of the compositor). The offender loses its connection; whoever else is connected loses nothing.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use vitrail_tests::bystander::Bystander;
use vitrail_tests::client::{ClientError, Memory};
use vitrail_tests::deadline::Deadline;
use vitrail_tests::process;
use vitrail_tests::random::Random;
use vitrail_tests::raw::{DISPLAY, Globals, RawClient, RawWindow, Request, StreamWire, Wire};
use vitrail_tests::session::{Options, Session};

/// The VM that attacks.
const OFFENDER: &str = "untrusted";

/// How long another connection may wait for an answer while one floods.
const RESPONSIVE: Duration = Duration::from_secs(1);

type Attacker = RawClient<Box<dyn Wire + Send>>;

/// Where an attacker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// An application of the VM.
    Application,
    /// The VM itself, in the place of its `wl-forward`.
    Vm,
    /// An application of the GUI VM.
    Local,
}

const EVERYWHERE: [Place; 3] = [Place::Application, Place::Vm, Place::Local];
const IN_THE_VM: [Place; 2] = [Place::Application, Place::Vm];

/// What an attack must come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The end of the attacker's connection.
    Ended,
    /// Anything that leaves the others alone.
    Survived,
}

fn connect(session: &Session, place: Place) -> Attacker {
    let deadline = Deadline::patient();
    let wire: Box<dyn Wire + Send> = match place {
        Place::Application => Box::new(process::connect(&session.vm_socket(OFFENDER), deadline)),
        Place::Vm => Box::new(StreamWire::new(process::connect(&session.hub_socket(OFFENDER), deadline))),
        Place::Local => Box::new(process::connect(&session.local_socket(), deadline)),
    };
    RawClient::new(wire).unwrap_or_else(|error| panic!("connecting from {place:?}: {error}"))
}

/// A session with a connection of the attacked VM, one of another VM and a local one.
fn bystanders(options: Options) -> (Session, [Bystander; 3]) {
    let mut session = Session::with(options);
    let bystanders = [(OFFENDER, "same VM"), ("work", "other VM"), ("local", "local")]
        .map(|(vm, title)| Bystander::start(&mut session, vm, title));
    (session, bystanders)
}

/// Two VMs on a small output, of which pictures are quickly taken.
fn two_vms() -> Options {
    Options::new(&[OFFENDER, "work"]).output(640, 480, 1)
}

/// Runs an attack from each place and checks everybody after each.
#[track_caller]
fn attack(
    options: Options,
    places: &[Place],
    outcome: Outcome,
    act: impl Fn(&mut Attacker, &Session) -> Result<(), ClientError>,
) {
    attack_each(options, places, outcome, &[()], |attacker, session, ()| act(attacker, session));
}

/// Runs the variants of an attack one after the other in the same session.
#[track_caller]
fn attack_each<V: std::fmt::Debug>(
    options: Options,
    places: &[Place],
    outcome: Outcome,
    variants: &[V],
    act: impl Fn(&mut Attacker, &Session, &V) -> Result<(), ClientError>,
) {
    let (mut session, mut others) = bystanders(options);
    for variant in variants {
        for &place in places {
            let mut attacker = connect(&session, place);
            let end = act(&mut attacker, &session, variant);
            let end = end.and_then(|()| attacker.roundtrip(Deadline::patient()).map(drop));
            match (end, outcome) {
                (Err(ClientError::Protocol { .. } | ClientError::Closed(_)), _)
                | (Ok(()), Outcome::Survived) => {}
                (end, _) => panic!("an attack from {place:?} with {variant:?} came to {end:?}"),
            }
            others.iter_mut().for_each(|other| other.assert_unharmed(&mut session));
        }
    }
}

/// A pool over `len` bytes of true memory.
fn pool(attacker: &mut Attacker, globals: Globals, memory: &Memory, len: i32) -> Result<u32, ClientError> {
    attacker.create_pool(globals, memory.fd(), len)
}

/// A mapped window of 64 by 64 whose buffer is in `pool`.
fn mapped(attacker: &mut Attacker, globals: Globals, pool: u32) -> Result<RawWindow, ClientError> {
    let window = attacker.create_window(globals)?;
    attacker.acknowledge(window)?;
    let buffer = attacker.create_buffer(pool, 0, (64, 64), 256)?;
    attacker.show_buffer(window.surface, buffer)?;
    attacker.roundtrip(Deadline::patient())?;
    Ok(window)
}

#[track_caller]
fn resized_pool(size: i32, places: &[Place], outcome: Outcome) {
    attack(two_vms(), places, outcome, |attacker, _| {
        let globals = attacker.bind_globals()?;
        let memory = Memory::new(16384);
        let pool = pool(attacker, globals, &memory, 16384)?;
        mapped(attacker, globals, pool)?;
        attacker.resize_pool(pool, size)
    });
}

#[test]
fn a_pool_resized_to_nothing_ends_its_connection() {
    resized_pool(0, &EVERYWHERE, Outcome::Ended);
}

#[test]
fn a_pool_resized_below_nothing_ends_its_connection() {
    resized_pool(-1, &EVERYWHERE, Outcome::Ended);
}

#[test]
fn a_pool_resized_smaller_ends_its_connection() {
    resized_pool(4096, &EVERYWHERE, Outcome::Ended);
}

/// In front of `wl-forward` that is what it is locally: allowed, until the memory is used that is not there.
#[test]
fn a_pool_resized_beyond_its_memory_ends_its_connection_at_the_gate() {
    resized_pool(i32::MAX, &[Place::Vm], Outcome::Ended);
    resized_pool(i32::MAX, &[Place::Application, Place::Local], Outcome::Survived);
}

#[test]
fn a_pool_of_no_size_ends_its_connection() {
    attack_each(two_vms(), &EVERYWHERE, Outcome::Ended, &[0, -4096], |attacker, _, &size| {
        let globals = attacker.bind_globals()?;
        pool(attacker, globals, &Memory::new(4096), size).map(drop)
    });
}

#[test]
fn a_pool_larger_than_its_memory_ends_its_connection() {
    attack(two_vms(), &EVERYWHERE, Outcome::Ended, |attacker, _| {
        let globals = attacker.bind_globals()?;
        let pool = pool(attacker, globals, &Memory::new(4096), 1 << 20)?;
        mapped(attacker, globals, pool).map(drop)
    });
}

#[test]
fn memory_that_shrinks_under_a_window_hurts_nobody_else() {
    attack(two_vms(), &EVERYWHERE, Outcome::Survived, |attacker, session| {
        let globals = attacker.bind_globals()?;
        let memory = Memory::new(16384);
        let pool = pool(attacker, globals, &memory, 16384)?;
        let window = mapped(attacker, globals, pool)?;
        memory.truncate(0);
        let buffer = attacker.create_buffer(pool, 0, (64, 64), 256)?;
        attacker.show_buffer(window.surface, buffer)?;
        session.control(&["windows"]);
        attacker.roundtrip(Deadline::patient()).map(drop)
    });
}

#[test]
fn buffers_outside_of_their_pool_end_their_connection() {
    let cases = [
        (0, (64, 65), 256),
        (4, (64, 64), 256),
        (-4, (8, 8), 32),
        (0, (64, 64), -256),
        (0, (64, 64), 128),
        (0, (0, 64), 256),
        (0, (64, -1), 256),
        (i32::MAX, (64, 64), 256),
        (0, (1 << 20, 1 << 20), 1 << 22),
        (0, (i32::MAX, i32::MAX), i32::MAX),
    ];
    attack_each(two_vms(), &EVERYWHERE, Outcome::Ended, &cases, |attacker, _, &(offset, size, stride)| {
        let globals = attacker.bind_globals()?;
        let pool = pool(attacker, globals, &Memory::new(16384), 16384)?;
        attacker.create_buffer(pool, offset, size, stride).map(drop)
    });
}

/// With a limit of `limit`, making a few more things than that ends the connection.
#[track_caller]
fn counted(
    name: &'static str,
    limit: u64,
    places: &[Place],
    make: impl Fn(&mut Attacker, Globals, RawWindow) -> Result<(), ClientError>,
) {
    attack(two_vms().limit(name, limit), places, Outcome::Ended, |attacker, _| {
        let globals = attacker.bind_globals()?;
        let memory = Memory::new(16384);
        let pool = pool(attacker, globals, &memory, 16384)?;
        let window = mapped(attacker, globals, pool)?;
        for _ in 0..limit + 2 {
            make(attacker, globals, window)?;
        }
        Ok(())
    });
}

#[test]
fn too_many_surfaces_end_their_connection() {
    counted("surfaces", 20, &IN_THE_VM, |attacker, globals, _| attacker.create_surface(globals).map(drop));
}

#[test]
fn too_many_toplevels_end_their_connection() {
    counted("toplevels", 8, &IN_THE_VM, |attacker, globals, _| attacker.create_window(globals).map(drop));
}

#[test]
fn too_many_popups_end_their_connection() {
    counted("popups", 8, &IN_THE_VM, |attacker, globals, window| {
        attacker.create_popup(globals, window.xdg_surface, (10, 10), (0, 0, 1, 1)).map(drop)
    });
}

/// `wl-forward` makes one pool of all that its applications make, so only a VM without it comes near the limit.
#[test]
fn too_many_pools_end_their_connection() {
    counted("pools", 8, &[Place::Vm], |attacker, globals, _| {
        pool(attacker, globals, &Memory::new(4096), 4096).map(drop)
    });
}

#[test]
fn too_many_buffers_end_their_connection() {
    attack(two_vms().limit("buffers", 20), &IN_THE_VM, Outcome::Ended, |attacker, _| {
        let globals = attacker.bind_globals()?;
        let memory = Memory::new(16384);
        let pool = pool(attacker, globals, &memory, 16384)?;
        let window = mapped(attacker, globals, pool)?;
        for _ in 0..22 {
            let buffer = attacker.create_buffer(pool, 0, (8, 8), 32)?;
            attacker.show_buffer(window.surface, buffer)?;
        }
        Ok(())
    });
}

#[test]
fn more_memory_than_the_limit_ends_its_connection() {
    // The region of 64 MiB counts once for the whole VM.
    attack(two_vms().limit("shm_mib", 100), &[Place::Vm], Outcome::Ended, |attacker, _| {
        let globals = attacker.bind_globals()?;
        let memories = [(); 3].map(|()| Memory::new(40 << 20));
        memories.iter().try_for_each(|memory| {
            let pool = pool(attacker, globals, memory, 40 << 20)?;
            attacker.create_buffer(pool, 0, (2048, 5120), 8192).map(drop)
        })
    });
}

#[test]
fn an_application_that_shows_more_than_the_region_holds_hurts_nobody_else() {
    attack(two_vms(), &[Place::Application], Outcome::Survived, |attacker, _| {
        let globals = attacker.bind_globals()?;
        let memory = Memory::new(16 << 20);
        let pool = pool(attacker, globals, &memory, 16 << 20)?;
        for _ in 0..6 {
            let window = attacker.create_window(globals)?;
            attacker.acknowledge(window)?;
            let buffer = attacker.create_buffer(pool, 0, (2048, 2048), 8192)?;
            attacker.show_buffer(window.surface, buffer)?;
        }
        attacker.roundtrip(Deadline::patient()).map(drop)
    });
}

#[test]
fn subsurfaces_nested_too_deep_end_their_connection() {
    attack(two_vms(), &IN_THE_VM, Outcome::Ended, |attacker, _| {
        let globals = attacker.bind_globals()?;
        let memory = Memory::new(16384);
        let pool = pool(attacker, globals, &memory, 16384)?;
        let mut parent = mapped(attacker, globals, pool)?.surface;
        for _ in 0..100 {
            let surface = attacker.create_surface(globals)?;
            attacker.get_subsurface(globals, surface, parent)?;
            attacker.commit(surface)?;
            parent = surface;
        }
        Ok(())
    });
}

#[test]
fn a_chain_of_subsurfaces_built_from_below_is_not_deeper_either() {
    attack(two_vms(), &IN_THE_VM, Outcome::Ended, |attacker, _| {
        let globals = attacker.bind_globals()?;
        let mut child = attacker.create_surface(globals)?;
        for _ in 0..100 {
            let parent = attacker.create_surface(globals)?;
            attacker.get_subsurface(globals, child, parent)?;
            child = parent;
        }
        Ok(())
    });
}

#[test]
fn too_many_clients_are_refused_and_no_others() {
    let (mut session, mut others) = bystanders(two_vms().limit("clients", 6));
    let mut accepted = Vec::new();
    let mut refused = 0;
    for _ in 0..10 {
        let stream = process::connect(&session.vm_socket(OFFENDER), Deadline::patient());
        match RawClient::new(stream) {
            Ok(client) => accepted.push(client),
            Err(ClientError::Protocol { .. } | ClientError::Closed(_)) => refused += 1,
            Err(error) => panic!("a client too many: {error}"),
        }
    }
    assert_eq!((accepted.len(), refused), (5, 5), "with the one that was there before, 6 may be");
    others.iter_mut().for_each(|other| other.assert_unharmed(&mut session));
    drop(accepted);
    let connects = |session: &Session| {
        let stream = process::connect(&session.vm_socket(OFFENDER), Deadline::patient());
        RawClient::new(stream).is_ok()
    };
    // The ends of the others travel on streams of their own, so one of them may come after the new one.
    let deadline = Deadline::patient();
    while !connects(&session) {
        assert!(!deadline.passed(), "ended connections still count");
    }
}

#[test]
fn a_flood_of_descriptors_hurts_nobody_else() {
    let null = std::fs::File::open("/dev/null").unwrap();
    let (reader, _writer) = std::io::pipe().unwrap();
    let floods: Vec<(BorrowedFd<'_>, usize)> =
        vec![(null.as_fd(), 28), (null.as_fd(), 253), (reader.as_fd(), 28), (reader.as_fd(), 253)];
    let places = [Place::Application, Place::Local];
    let options = two_vms().limit("fds", 100);
    attack_each(options, &places, Outcome::Survived, &floods, |attacker, _, &(fd, count)| {
        let fds: Vec<BorrowedFd<'_>> = std::iter::repeat_n(fd, count).collect();
        for _ in 0..200 {
            let callback = attacker.new_id();
            attacker.send_with(&Request::new(DISPLAY, 0).uint(callback), &fds)?;
        }
        Ok(())
    });
}

#[test]
fn a_flood_of_requests_leaves_everyone_else_responsive() {
    for place in EVERYWHERE {
        let (mut session, mut others) = bystanders(two_vms());
        let mut attacker = connect(&session, place);
        let globals = attacker.bind_globals().unwrap();
        let surface = attacker.create_surface(globals).unwrap();
        let damage = Request::new(surface, 2).int(0).int(0).int(i32::MAX).int(i32::MAX).encode().repeat(2000);
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    if attacker.send_bytes(&damage, &[]).is_err() {
                        break;
                    }
                }
            });
            let slowest = (0..20).map(|_| slowest_roundtrip(&mut others)).max().unwrap_or_default();
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(slowest < RESPONSIVE, "a roundtrip took {slowest:?} while one flooded from {place:?}");
        });
        drop(attacker);
        others.iter_mut().for_each(|other| other.assert_unharmed(&mut session));
    }
}

fn slowest_roundtrip(others: &mut [Bystander]) -> Duration {
    let timed = |other: &mut Bystander| {
        let start = Instant::now();
        other
            .client()
            .roundtrip()
            .unwrap_or_else(|error| panic!("the connection of {}: {error}", other.title()));
        start.elapsed()
    };
    others.iter_mut().map(timed).max().unwrap_or_default()
}

/// Each registry is answered by some forty events, which nobody reads.
#[test]
fn a_client_that_never_reads_is_ended_or_waits_and_costs_little_memory() {
    let (mut session, mut others) = bystanders(two_vms());
    for place in EVERYWHERE {
        let mut attacker = connect(&session, place);
        let mut requests = Vec::new();
        for _ in 0..1000 {
            let registry = attacker.new_id();
            requests.extend(Request::new(DISPLAY, 1).uint(registry).encode());
        }
        let deadline = Deadline::after(Duration::from_secs(3));
        let mut sent = 0;
        let end = loop {
            let at = sent % requests.len();
            match attacker.wire().send(&requests[at..], &[], deadline) {
                Ok(count) => sent += count,
                Err(error) => break error,
            }
            if at + 1 == requests.len() || deadline.passed() {
                // The numbers of the registries are used up: another thousand.
                requests.clear();
                sent = 0;
                for _ in 0..1000 {
                    let registry = attacker.new_id();
                    requests.extend(Request::new(DISPLAY, 1).uint(registry).encode());
                }
            }
            assert!(
                !deadline.passed(),
                "all requests were taken from {place:?}, with nobody reading the answers"
            );
        };
        others.iter_mut().for_each(|other| other.assert_unharmed(&mut session));
        for member in session.processes() {
            let resident = member.resident_mib();
            assert!(
                resident < 200,
                "{resident} MiB in {:?} after {place:?} ended with {end}",
                member.arguments
            );
        }
    }
}

#[test]
fn withheld_globals_are_neither_shown_nor_bound_by_number() {
    let withheld = ["wp_security_context_manager_v1", "zwp_linux_dmabuf_v1", "wp_drm_lease_device_v1"];
    attack_each(two_vms(), &IN_THE_VM, Outcome::Ended, &withheld, |attacker, _, interface| {
        assert!(attacker.globals().all(|(_, shown, _)| shown != *interface), "{interface} is shown");
        let shown: Vec<u32> = attacker.globals().map(|(name, _, _)| name).collect();
        let mut hidden = (0..200).filter(|name| !shown.contains(name));
        hidden.try_for_each(|name| attacker.bind_number(name, interface, 1).map(drop))
    });
}

#[test]
fn a_local_client_cannot_make_security_contexts() {
    let (session, _others) = bystanders(two_vms());
    let attacker = connect(&session, Place::Local);
    assert!(attacker.globals().all(|(_, shown, _)| shown != "wp_security_context_manager_v1"));
}

#[test]
fn globals_bound_as_another_interface_or_too_new_end_their_connection() {
    attack(two_vms(), &EVERYWHERE, Outcome::Ended, |attacker, _| {
        let (name, _, _) = attacker.globals().find(|(_, shown, _)| *shown == "wl_shm").expect("wl_shm");
        attacker.bind_number(name, "wl_compositor", 1).map(drop)
    });
    attack(two_vms(), &EVERYWHERE, Outcome::Ended, |attacker, _| attacker.bind("wl_shm", 1000).map(drop));
}

#[test]
fn monstrous_titles_hurt_nobody_and_are_shown_short() {
    let titles = ["x".repeat(3900), "\u{202e}".repeat(1000), "\n".repeat(3000), "é".repeat(30_000)];
    attack_each(two_vms(), &EVERYWHERE, Outcome::Survived, &titles, |attacker, session, title| {
        let globals = attacker.bind_globals()?;
        let memory = Memory::new(16384);
        let pool = pool(attacker, globals, &memory, 16384)?;
        let window = mapped(attacker, globals, pool)?;
        attacker.send(&Request::new(window.toplevel, 2).string(title))?;
        attacker.send(&Request::new(window.toplevel, 3).string(title))?;
        attacker.roundtrip(Deadline::patient())?;
        let listed = session.control(&["windows", "--json"]);
        assert!(listed.len() < 16 * 1024, "the list of windows has {} bytes", listed.len());
        assert!(!listed.contains('\u{202e}'));
        Ok(())
    });
}

#[test]
fn impossible_geometry_hurts_nobody_else() {
    let extremes = [i32::MAX, i32::MIN, -1, 0];
    attack(two_vms(), &EVERYWHERE, Outcome::Survived, |attacker, _| {
        let globals = attacker.bind_globals()?;
        let memory = Memory::new(16384);
        let pool = pool(attacker, globals, &memory, 16384)?;
        let window = mapped(attacker, globals, pool)?;
        for size in extremes.iter().filter(|size| **size > 0) {
            attacker.send(
                &Request::new(window.xdg_surface, 3).int(i32::MIN).int(i32::MIN).int(*size).int(*size),
            )?;
            attacker.send(&Request::new(window.toplevel, 7).int(*size).int(*size))?;
            attacker.commit(window.surface)?;
        }
        attacker.roundtrip(Deadline::patient()).map(drop)
    });
    attack_each(two_vms(), &EVERYWHERE, Outcome::Survived, &extremes, |attacker, _, &extreme| {
        let globals = attacker.bind_globals()?;
        let memory = Memory::new(16384);
        let pool = pool(attacker, globals, &memory, 16384)?;
        let window = mapped(attacker, globals, pool)?;
        let anchor = (extreme, 0, 1, extreme);
        let popup = attacker.create_popup(globals, window.xdg_surface, (extreme, 10), anchor)?;
        attacker.acknowledge(popup)?;
        let child = attacker.create_surface(globals)?;
        let subsurface = attacker.get_subsurface(globals, child, window.surface)?;
        attacker.send(&Request::new(subsurface, 1).int(extreme).int(extreme))?;
        let region = attacker.create_region(globals)?;
        attacker.send(&Request::new(region, 1).int(extreme).int(extreme).int(extreme).int(extreme))?;
        attacker.send(&Request::new(child, 5).uint(region))?;
        attacker.send(&Request::new(child, 8).int(extreme))?;
        attacker.commit(child)?;
        attacker.commit(window.surface)
    });
}

#[test]
fn malformed_messages_end_their_connection() {
    let garbage = [&[0xff; 8][..], &Random::new(99).bytes(4096)].concat();
    let cases: Vec<Vec<u8>> = vec![
        // A header that claims less than a header.
        Request::new(DISPLAY, 0).uint(9).claim_size(4).encode(),
        Request::new(DISPLAY, 0).uint(9).claim_size(0).encode(),
        // A size that is not a whole number of words.
        Request::new(DISPLAY, 0).uint(9).claim_size(13).encode(),
        // Objects and requests that do not exist.
        Request::new(4711, 0).uint(9).encode(),
        Request::new(0, 0).encode(),
        Request::new(DISPLAY, 77).uint(9).encode(),
        // New objects with numbers that are taken, or the server's.
        Request::new(DISPLAY, 0).uint(1).encode(),
        Request::new(DISPLAY, 0).uint(0xff00_0001).encode(),
        // A string without its end, and nothing that resembles a message.
        Request::new(2, 0).uint(1).uint(4).uint(0x4141_4141).uint(1).uint(9).encode(),
        garbage,
        // Too few and too many arguments, a string of a false length, none at all.
        Request::new(DISPLAY, 0).encode(),
        Request::new(DISPLAY, 0).uint(9).uint(9).encode(),
        Request::new(2, 0).uint(1).uint(u32::MAX).uint(0).uint(1).uint(9).encode(),
        Request::new(2, 0).uint(1).uint(0).uint(1).uint(9).encode(),
    ];
    // The compositor's library takes the last four for messages of which something is still to come: such a
    // local connection is not ended, it is never answered again.
    let waited_for = cases.len() - 4;
    let (mut session, mut others) = bystanders(two_vms());
    for (number, bytes) in cases.iter().enumerate() {
        for place in EVERYWHERE {
            if place == Place::Local && number >= waited_for {
                continue;
            }
            let mut attacker = connect(&session, place);
            let end = attacker.send_bytes(bytes, &[]);
            let end = end.and_then(|()| attacker.roundtrip(Deadline::patient()).map(drop));
            let ended = matches!(end, Err(ClientError::Protocol { .. } | ClientError::Closed(_)));
            assert!(ended, "case {number} from {place:?} came to {end:?}");
        }
    }
    others.iter_mut().for_each(|other| other.assert_unharmed(&mut session));
}

#[test]
fn connections_that_end_in_the_middle_of_a_message_hurt_nobody() {
    let (mut session, mut others) = bystanders(two_vms());
    let whole = Request::new(DISPLAY, 0).uint(9).encode();
    for place in EVERYWHERE {
        for length in 1..whole.len() {
            let mut attacker = connect(&session, place);
            attacker.send_bytes(&whole[..length], &[]).unwrap();
        }
    }
    others.iter_mut().for_each(|other| other.assert_unharmed(&mut session));
}

/// What is said of a dma-buf of 64 KiB: plane, offset, stride, the modifier's halves; width, height.
type DmaBuf = ([u32; 5], [i32; 2]);

#[test]
fn dma_bufs_that_do_not_hold_what_is_said_end_their_connection() {
    let variants: [DmaBuf; 9] = [
        ([0, 0, 256, 0, 0], [-64, -64]),
        ([0, 0, 256, 0, 0], [64, 257]),
        ([0, 0, 1 << 31, 0, 0], [64, 2]),
        ([0, 0, 1 << 16, 0, 0], [64, 1 << 16]),
        ([0, u32::MAX, 256, 0, 0], [64, 1]),
        ([0, 0, 0, 0, 0], [64, 64]),
        ([1, 0, 256, 0, 0], [64, 64]),
        ([4, 0, 256, 0, 0], [64, 64]),
        ([0, 0, 256, 0x0100_0000, 1], [64, 64]),
    ];
    let options = two_vms().dmabuf();
    attack_each(options, &[Place::Application], Outcome::Ended, &variants, |attacker, _, (plane, size)| {
        let globals = attacker.bind_globals()?;
        let dmabuf = attacker.bind("zwp_linux_dmabuf_v1", 5)?;
        let window = attacker.create_window(globals)?;
        attacker.acknowledge(window)?;
        let (params, buffer) = (attacker.new_id(), attacker.new_id());
        attacker.send(&Request::new(dmabuf, 1).uint(params))?;
        let memory = Memory::sealed(64 << 10);
        let add = plane.iter().fold(Request::new(params, 1), |add, word| add.uint(*word));
        attacker.send_with(&add, &[memory.fd()])?;
        let create = Request::new(params, 3).uint(buffer).int(size[0]).int(size[1]);
        attacker.send(&create.uint(u32::from_le_bytes(*b"XR24")).uint(0))?;
        attacker.show_buffer(window.surface, buffer)
    });
}
