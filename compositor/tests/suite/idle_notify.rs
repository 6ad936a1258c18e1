//! Clients that are told when the person is away.

use std::time::{Duration, Instant};

use smithay::backend::input::AxisSource;
use vitrail::handlers::idle_notify::COARSE;
use vitrail::input::gesture::{Gesture, GestureStep};
use vitrail::input::listeners::MAX_LISTENERS;
use vitrail::input::pointer::BUTTON_LEFT;
use vitrail::trust::origin::Origin;
use wayland_client::{Connection, Dispatch, QueueHandle, delegate_noop};
use wayland_protocols::ext::idle_notify::v1::client::ext_idle_notification_v1::{
    self, ExtIdleNotificationV1,
};
use wayland_protocols::ext::idle_notify::v1::client::ext_idle_notifier_v1::ExtIdleNotifierV1;
use wayland_protocols::ext::session_lock::v1::client::ext_session_lock_manager_v1::ExtSessionLockManagerV1;

use crate::client::Told;
use crate::fixture::{Fixture, Who, vm};
use crate::idle_inhibit::inhibit;
use crate::visibility::compositor;

const BLUE: [u8; 4] = [0, 0, 255, 255];
const SHORT: u32 = 30;
const LONG: u32 = 600_000;
const NOTHING: [&str; 0] = [];

delegate_noop!(Told: ignore ExtIdleNotifierV1);

/// Notes what it is told with the notification's name.
impl Dispatch<ExtIdleNotificationV1, &'static str> for Told {
    fn event(
        told: &mut Self,
        _: &ExtIdleNotificationV1,
        event: ext_idle_notification_v1::Event,
        name: &&'static str,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        told.words.push(match event {
            ext_idle_notification_v1::Event::Idled => format!("{name} idled"),
            ext_idle_notification_v1::Event::Resumed => format!("{name} resumed"),
            _ => return,
        });
    }
}

fn notify(
    fixture: &mut Fixture,
    who: Who,
    name: &'static str,
    milliseconds: u32,
    heeds_inhibitors: bool,
) -> ExtIdleNotificationV1 {
    let client = fixture.client(who);
    let (notifier, seat) = (client.bind::<ExtIdleNotifierV1>(), client.seat());
    let notification = if heeds_inhibitors {
        notifier.get_idle_notification(milliseconds, &seat, &client.queue, name)
    } else {
        notifier.get_input_idle_notification(milliseconds, &seat, &client.queue, name)
    };
    fixture.roundtrip(who);
    notification
}

/// Waits until a client was told something of its notifications, and returns all that it was told.
#[track_caller]
fn told(fixture: &mut Fixture, who: Who) -> Vec<String> {
    fixture.wait("an event", |fixture| !fixture.client(who).told.words.is_empty());
    now(fixture, who)
}

/// What it was told until now.
fn now(fixture: &mut Fixture, who: Who) -> Vec<String> {
    fixture.roundtrip(who);
    std::mem::take(&mut fixture.client(who).told.words)
}

/// Whether the compositor would wake up by itself to tell somebody that the person is away.
fn is_waiting(fixture: &mut Fixture) -> bool {
    fixture.state().comp.protocols.idle_notify.is_waiting()
}

fn key(fixture: &mut Fixture) {
    for pressed in [true, false] {
        fixture.state().input_key(30, pressed);
    }
}

#[test]
fn a_client_is_told_once_that_nothing_happens_and_once_that_something_does() {
    let mut fixture = Fixture::new();
    let who = fixture.connect(Origin::Local);
    let start = Instant::now();
    notify(&mut fixture, who, "short", SHORT, true);
    assert_eq!(told(&mut fixture, who), ["short idled"]);
    assert!(start.elapsed() >= Duration::from_millis(SHORT.into()));
    assert!(!is_waiting(&mut fixture), "an idle session sleeps");
    let start = Instant::now();
    key(&mut fixture);
    assert_eq!(now(&mut fixture, who), ["short resumed"]);
    assert_eq!(told(&mut fixture, who), ["short idled"]);
    assert!(start.elapsed() >= Duration::from_millis(SHORT.into()), "the timeout begins again");
}

/// swayidle locked the session because nobody was there, and was told at once that somebody was: it switched the screen on again,
/// and began anew to wait for when to switch it off.
#[test]
fn that_the_session_is_locked_is_no_activity() {
    let mut fixture = Fixture::new();
    let who = fixture.connect(Origin::Local);
    notify(&mut fixture, who, "short", SHORT, true);
    assert_eq!(told(&mut fixture, who), ["short idled"]);
    let locker = fixture.connect(Origin::Local);
    let client = fixture.client(locker);
    let _lock = client.bind::<ExtSessionLockManagerV1>().lock(&client.queue, ());
    assert_eq!(told(&mut fixture, locker), ["locked"]);
    assert_eq!(now(&mut fixture, who), NOTHING);
    key(&mut fixture);
    assert_eq!(now(&mut fixture, who), ["short resumed"]);
}

#[test]
fn every_device_in_whichever_window_is_activity() {
    type Does = fn(&mut Fixture);
    let devices: [(&str, Does); 20] = [
        ("key", |fixture| fixture.state().input_key(30, true)),
        ("key up", |fixture| fixture.state().input_key(30, false)),
        ("motion", |fixture| fixture.state().input_pointer_motion(100.0, 100.0)),
        ("push", |fixture| fixture.state().input_pointer_motion_by(1.0, 1.0)),
        ("button", |fixture| fixture.state().input_pointer_button(BUTTON_LEFT, true)),
        ("wheel", |fixture| fixture.state().input_pointer_axis(0.0, 1.0)),
        ("scroll", |fixture| {
            fixture.state().input_pointer_scroll(AxisSource::Finger, [None, Some(3.0)]);
        }),
        ("gesture", |fixture| fixture.state().input_gesture_begin(Gesture::Swipe, 3)),
        ("gesture step", |fixture| {
            let step = GestureStep { delta: (1.0, 1.0).into(), scale: 1.0, rotation: 0.0 };
            fixture.state().input_gesture_step(Gesture::Swipe, step);
        }),
        ("gesture end", |fixture| fixture.state().input_gesture_end(Gesture::Swipe, false)),
        ("finger", |fixture| fixture.state().input_touch_down(0, 100.0, 100.0)),
        ("finger motion", |fixture| fixture.state().input_touch_motion(0, 101.0, 100.0)),
        ("finger up", |fixture| fixture.state().input_touch_up(0)),
        ("pen", |fixture| fixture.state().input_tablet_in(100.0, 100.0)),
        ("pen motion", |fixture| fixture.state().input_tablet_motion(101.0, 100.0, 0.5)),
        ("pen tip", |fixture| fixture.state().input_tablet_tip(true)),
        ("pen out", |fixture| fixture.state().input_tablet_out()),
        // What the overlay takes, too, which the logo key with Tab opens.
        ("logo", |fixture| fixture.state().input_key(125, true)),
        ("tab", |fixture| fixture.state().input_key(15, true)),
        ("motion in the overlay", |fixture| fixture.state().input_pointer_motion(120.0, 100.0)),
    ];
    let mut fixture = compositor("");
    // The window is another VM's.
    let work = fixture.connect(vm("work"));
    fixture.window(work, 100, 60, BLUE);
    let who = fixture.connect(Origin::Local);
    notify(&mut fixture, who, "seat", 0, false);
    assert_eq!(told(&mut fixture, who), ["seat idled"]);
    for (device, does) in devices {
        does(&mut fixture);
        fixture.wait(device, |fixture| fixture.client(who).told.words.len() >= 2);
        assert_eq!(now(&mut fixture, who), ["seat resumed", "seat idled"], "{device}");
    }
}

#[test]
fn notifications_of_different_timeouts_are_told_apart_and_end_with_their_objects() {
    let mut fixture = Fixture::new();
    let who = fixture.connect(Origin::Local);
    let second = notify(&mut fixture, who, "second", 2 * SHORT, true);
    notify(&mut fixture, who, "first", SHORT, true);
    let long = notify(&mut fixture, who, "long", LONG, true);
    fixture.wait("both", |fixture| fixture.client(who).told.words.len() == 2);
    assert_eq!(now(&mut fixture, who), ["first idled", "second idled"]);
    assert!(is_waiting(&mut fixture), "for the long one");
    second.destroy();
    long.destroy();
    fixture.roundtrip(who);
    key(&mut fixture);
    assert_eq!(now(&mut fixture, who), ["first resumed"]);
    assert_eq!(told(&mut fixture, who), ["first idled"]);
}

#[test]
fn input_puts_off_the_end_of_a_timeout_and_arms_no_timer_of_its_own() {
    let mut fixture = Fixture::new();
    let who = fixture.connect(Origin::Local);
    notify(&mut fixture, who, "seat", 1000, true);
    fixture.turn();
    let sources = |fixture: &mut Fixture| fixture.state().comp.protocols.idle_notify.timers_armed();
    let (before, start) = (sources(&mut fixture), Instant::now());
    let mut last = start;
    while start.elapsed() < Duration::from_millis(1500) {
        key(&mut fixture);
        last = Instant::now();
        fixture.turn();
    }
    assert_eq!(now(&mut fixture, who), NOTHING);
    let armed = sources(&mut fixture) - before;
    assert!(armed <= 3, "{armed} timers");
    assert_eq!(told(&mut fixture, who), ["seat idled"]);
    assert!(last.elapsed() >= Duration::from_millis(1000));
}

#[test]
fn a_window_that_keeps_the_session_awake_holds_back_those_that_heed_it() {
    let mut fixture = compositor("");
    let work = fixture.connect(vm("work"));
    let window = fixture.window(work, 150, 60, BLUE);
    let surface = fixture.client(work).told.shown[window].surface.clone();
    let who = fixture.connect(Origin::Local);
    notify(&mut fixture, who, "seat", SHORT, true);
    assert_eq!(told(&mut fixture, who), ["seat idled"]);
    // A film begins while the person is away.
    let inhibitor = inhibit(&mut fixture, work, &surface);
    assert_eq!(told(&mut fixture, who), ["seat resumed"]);
    notify(&mut fixture, who, "input", SHORT, false);
    assert_eq!(told(&mut fixture, who), ["input idled"]);
    key(&mut fixture);
    assert_eq!(told(&mut fixture, who), ["input resumed"]);
    assert_eq!(told(&mut fixture, who), ["input idled"], "and not the one that heeds the film");
    assert!(!is_waiting(&mut fixture), "nothing but the end of the film is waited for");
    let start = Instant::now();
    inhibitor.destroy();
    fixture.roundtrip(work);
    assert_eq!(told(&mut fixture, who), ["seat idled"]);
    assert!(start.elapsed() >= Duration::from_millis(SHORT.into()), "its timeout begins with the end");
}

/// Whether an inhibitor counts depends on what is on the screen, so no request of its own ends that.
#[test]
fn a_window_that_keeps_the_session_awake_no_more_is_noticed() {
    let mut fixture = compositor("");
    let work = fixture.connect(vm("work"));
    let window = fixture.window(work, 150, 60, BLUE);
    let surface = fixture.client(work).told.shown[window].surface.clone();
    let _inhibitor = inhibit(&mut fixture, work, &surface);
    let who = fixture.connect(Origin::Local);
    notify(&mut fixture, who, "seat", 0, true);
    notify(&mut fixture, who, "input", SHORT, false);
    assert_eq!(told(&mut fixture, who), ["input idled"]);
    surface.attach(None, 0, 0);
    surface.commit();
    fixture.roundtrip(work);
    assert_eq!(told(&mut fixture, who), ["seat idled"]);
}

#[test]
fn a_vm_is_told_only_if_it_is_allowed_to_and_by_whole_seconds() {
    let mut fixture = compositor("allow = [\"ext_idle_notifier_v1\"]");
    let web = fixture.connect(vm("web"));
    assert!(!fixture.client(web).sees("ext_idle_notifier_v1"));
    let work = fixture.connect(vm("work"));
    let start = Instant::now();
    notify(&mut fixture, work, "work", 0, true);
    let local = fixture.connect(Origin::Local);
    notify(&mut fixture, local, "local", 0, true);
    assert_eq!(told(&mut fixture, local), ["local idled"]);
    // Somebody types in another VM's window.
    key(&mut fixture);
    fixture.wait("local", |fixture| fixture.client(local).told.words.len() == 2);
    assert_eq!(now(&mut fixture, work), NOTHING);
    assert_eq!(told(&mut fixture, work), ["work idled"]);
    assert!(start.elapsed() >= COARSE);
    key(&mut fixture);
    assert_eq!(told(&mut fixture, work), ["work resumed"]);
}

#[test]
fn a_client_with_too_many_notifications_ends_and_takes_them_along() {
    let mut fixture = compositor("allow = [\"ext_idle_notifier_v1\"]");
    let live = |fixture: &mut Fixture| fixture.state().comp.protocols.idle_notify.len();
    let work = fixture.connect(vm("work"));
    for _ in 0..3 * MAX_LISTENERS {
        notify(&mut fixture, work, "gone", LONG, true).destroy();
    }
    fixture.roundtrip(work);
    assert!(!fixture.client(work).ended(), "those that are gone do not count");
    for _ in 0..MAX_LISTENERS {
        notify(&mut fixture, work, "kept", LONG, false);
    }
    assert!(!fixture.client(work).ended());
    assert_eq!(live(&mut fixture), MAX_LISTENERS as usize);
    notify(&mut fixture, work, "one too many", LONG, true);
    fixture.wait("the end of the connection", |fixture| fixture.client(work).ended());
    fixture.wait("the end of its notifications", |fixture| live(fixture) == 0);
    let who = fixture.connect(Origin::Local);
    notify(&mut fixture, who, "seat", SHORT, true);
    assert_eq!(told(&mut fixture, who), ["seat idled"]);
}
