//! Idle means idle: when nobody draws and nobody types, no process of Vitrail runs at all.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use vitrail_tests::client::WindowOptions;
use vitrail_tests::process::Process;
use vitrail_tests::session::Session;

/// How long nothing may run.
const QUIET: Duration = Duration::from_secs(3);

/// How often the counters are looked at while the session settles: longer than a gate worker waits before it reports what has
/// passed through it.
const LOOK: Duration = Duration::from_millis(1500);

/// How long a session may take to settle.
const SETTLING: Duration = Duration::from_secs(20);

/// The voluntary context switches of every thread of every process, with the process's command line.
fn switches(session: &Session, more: &[&Process]) -> BTreeMap<(String, String), u64> {
    let mut switches = BTreeMap::new();
    let more = more.iter().flat_map(|process| process.members());
    for member in session.processes().into_iter().chain(more) {
        let command = member.arguments.join(" ");
        for (thread, count) in member.voluntary_switches() {
            switches.insert((command.clone(), thread), count);
        }
    }
    switches
}

/// Lets time pass. This is the one suite that is about the absence of events.
fn pass(time: Duration) {
    std::thread::sleep(time);
}

/// Waits until nobody runs any more, and asserts that it stays so.
fn assert_idle(session: &Session, more: &[&Process], threads: usize) {
    // Whatever the last window and the last request caused is done when the counters stand still.
    let settled_by = Instant::now() + SETTLING;
    let mut before = switches(session, more);
    loop {
        pass(LOOK);
        let now = switches(session, more);
        if now == before {
            break;
        }
        assert!(Instant::now() < settled_by, "still not settled: {:#?}", changes(&before, &now));
        before = now;
    }
    assert!(before.len() >= threads, "fewer than {threads} threads are watched: {before:#?}");
    pass(QUIET);
    let after = switches(session, more);
    assert!(before == after, "woken up within {QUIET:?}: {:#?}", changes(&before, &after));
}

#[test]
fn windows_that_do_not_draw_wake_nobody() {
    let mut session = Session::start(&["work", "personal", "untrusted"]);
    let mut clients = Vec::new();
    for vm in ["work", "personal", "untrusted"] {
        let mut client = session.client(vm);
        let window = client.window(&WindowOptions::new(vm, 0x0030_6090)).unwrap();
        clients.push((client, window));
    }
    session.wait_titles(&["work", "personal", "untrusted"]);
    for vm in ["work", "personal", "untrusted"] {
        // Both are among those that are watched.
        let (_relay, _worker) = (session.relay(vm), session.worker(vm));
    }
    // wl-forward, relay and worker of each VM, and three more.
    assert_idle(&session, &[], 12);
}

#[test]
fn fifty_connected_clients_wake_nobody() {
    let mut session = Session::start(&["work"]);
    let mut clients: Vec<_> = (0..50).map(|_| session.client("work")).collect();
    // One has drawn, so that there is memory to be unmapped.
    let _window = clients[0].window(&WindowOptions::new("drawn", 0x0030_6090)).unwrap();
    session.wait_titles(&["drawn"]);
    let (_relay, _worker) = (session.relay("work"), session.worker("work"));
    // wl-forward has a thread for each; and relay, worker and three more.
    assert_idle(&session, &[], 56);
    // What the window drew is not in the memory of wl-forward any more.
    for forward in session.forward("work").members() {
        let maps = format!("/proc/{}/maps", forward.pid.as_raw_nonzero());
        let mapped = std::fs::read_to_string(maps).unwrap();
        assert!(!mapped.contains("memfd:vitrail-test"), "{mapped}");
    }
}

#[test]
fn a_bar_that_watches_wakes_nobody_and_is_woken_by_a_window() {
    let session = Session::start(&["work"]);
    let bar = session.start_control("bar", &["watch", "--waybar"]);
    bar.wait_log("\"alt\":\"none\"");
    let mut client = session.client("work");
    let _window = client.window(&WindowOptions::new("watched", 0x0030_6090)).unwrap();
    bar.wait_log("<b>watched</b>");
    assert!(bar.log().contains("\"alt\":\"work\""), "{}", bar.log());
    // wl-forward, relay and worker, three more, and the bar.
    assert_idle(&session, &[&bar], 7);
}

/// The threads whose counters differ.
fn changes(
    before: &BTreeMap<(String, String), u64>,
    after: &BTreeMap<(String, String), u64>,
) -> Vec<((String, String), Option<u64>, u64)> {
    let changed = after.iter().filter(|(thread, count)| before.get(*thread) != Some(*count));
    changed.map(|(thread, count)| (thread.clone(), before.get(thread).copied(), *count)).collect()
}
