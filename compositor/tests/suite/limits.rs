//! Rates of commits and damage: a VM that is too fast waits, is ended for nothing, and nobody waits with it.

use std::time::{Duration, Instant};

use vitrail::ipc::protocol::{Request, Usage};
use vitrail::ipc::server::{Handler, Reply};

use crate::fixture::{Fixture, Who, vm};

const BLUE: [u8; 4] = [0, 0, 255, 255];

/// Commits so often, each with so many damaged rectangles, and waits until all of it was handled; how long that took.
fn hurry(fixture: &mut Fixture, who: Who, window: usize, commits: usize, damage: i32) -> Duration {
    let start = Instant::now();
    let surface = fixture.client(who).told.shown[window].surface.clone();
    for _ in 0..commits {
        for step in 0..damage {
            surface.damage_buffer(step, 0, 1, 1);
        }
        surface.commit();
    }
    fixture.roundtrip(who);
    assert!(!fixture.client(who).ended());
    start.elapsed()
}

/// How often a VM had to wait.
fn waits(fixture: &mut Fixture, name: &str) -> u32 {
    let account = fixture.state().comp.accounts.get(&vm(name)).unwrap().clone();
    account.pace(Duration::MAX).1
}

/// A window of `web`, to which a limit is set, and one of `work`, to which none is.
fn two_windows(limit: &str) -> (Fixture, [(Who, usize); 2]) {
    // The table of the fixture's configuration ends with another VM's.
    let mut fixture = Fixture::written(&format!("[vm.web.limits]\n{limit}\n"));
    let windows = ["web", "work"].map(|name| {
        let who = fixture.connect(vm(name));
        (who, fixture.window(who, 100, 50, BLUE))
    });
    (fixture, windows)
}

#[test]
fn a_vm_that_commits_too_fast_waits_and_no_other_does() {
    let (mut fixture, [(slow, window), (free, other)]) = two_windows("commits_per_second = 300");
    // What fits into the budget of one turn is handled before anybody knows how much it was.
    let took = hurry(&mut fixture, slow, window, 900, 1);
    // A second's worth is free.
    assert!(took >= Duration::from_millis(800), "900 commits took {took:?} at 300 a second");
    assert!(waits(&mut fixture, "web") > 0);
    hurry(&mut fixture, free, other, 900, 1);
    assert_eq!(waits(&mut fixture, "work"), 0);
}

#[test]
fn another_vm_is_served_while_one_waits() {
    let (mut fixture, [(slow, window), (free, other)]) = two_windows("commits_per_second = 100");
    let surface = fixture.client(slow).told.shown[window].surface.clone();
    // Twice what fits into the budget of one turn.
    (0..4000).for_each(|_| surface.commit());
    let done = fixture.client(slow).sync();
    let took = hurry(&mut fixture, free, other, 20, 1);
    assert!(!done.load(std::sync::atomic::Ordering::Relaxed), "nobody waited");
    assert!(took < Duration::from_secs(2), "the other one waited for {took:?}");
    fixture.wait("its end", |_| done.load(std::sync::atomic::Ordering::Relaxed));
}

#[test]
fn a_vm_that_damages_too_much_waits() {
    let (mut fixture, [(slow, window), (free, other)]) = two_windows("damage_per_second = 1000");
    let took = hurry(&mut fixture, slow, window, 20, 100);
    assert!(took >= Duration::from_millis(700), "2000 rectangles took {took:?} at 1000 a second");
    hurry(&mut fixture, free, other, 20, 100);
    assert_eq!(waits(&mut fixture, "work"), 0);
}

#[test]
fn what_a_vm_does_is_reported() {
    let (mut fixture, [(who, window), _]) = two_windows("commits_per_second = 100");
    let root = fixture.client(who).told.shown[window].surface.clone();
    let mut parent = root.clone();
    let mut kept = Vec::new();
    for _ in 0..3 {
        let (surface, role) = fixture.client(who).subsurface(&parent);
        parent = surface.clone();
        kept.push((surface, role));
    }
    let popup = fixture.client(who).create_popup(window, 10, 10, 200, 150);
    fixture.roundtrip(who);
    if !fixture.client(who).configures(popup).is_empty() {
        fixture.client(who).ack(popup);
        fixture.client(who).draw(popup, 200, 150, BLUE);
    }
    hurry(&mut fixture, who, window, 150, 2);
    // What is told is the last whole second, which has to pass.
    fixture.wait("a pace", |fixture| {
        let usage = usage(fixture, "web");
        usage.commits_per_second > 0 && usage.damage_per_second > usage.commits_per_second
    });
    let usage = usage(&mut fixture, "web");
    assert_eq!(usage.subsurface_depth, 3);
    assert!(usage.waits > 0, "{usage:?}");
    assert!((1..60).contains(&usage.popup_area), "{usage:?}");
}

/// What is reported of a VM.
fn usage(fixture: &mut Fixture, name: &str) -> Usage {
    let Reply::Ok(answer) = fixture.state().handle(Request::Vms {}) else { panic!("no answer") };
    let reports: Vec<vitrail::ipc::protocol::VmReport> = serde_json::from_value(answer).unwrap();
    reports.into_iter().find(|report| report.vm == name).unwrap().usage
}
