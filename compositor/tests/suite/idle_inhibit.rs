//! Who keeps the session awake.

use vitrail::trust::origin::Origin;
use wayland_client::delegate_noop;
use wayland_client::protocol::wl_surface::WlSurface;
use wayland_protocols::wp::idle_inhibit::zv1::client::zwp_idle_inhibit_manager_v1::ZwpIdleInhibitManagerV1;
use wayland_protocols::wp::idle_inhibit::zv1::client::zwp_idle_inhibitor_v1::ZwpIdleInhibitorV1;

use crate::client::Told;
use crate::fixture::{Fixture, Who, vm};

delegate_noop!(Told: ignore ZwpIdleInhibitManagerV1);
delegate_noop!(Told: ignore ZwpIdleInhibitorV1);

const BLUE: [u8; 4] = [0, 0, 255, 255];

pub fn inhibit(fixture: &mut Fixture, who: Who, surface: &WlSurface) -> ZwpIdleInhibitorV1 {
    let client = fixture.client(who);
    let inhibitor = client.bind::<ZwpIdleInhibitManagerV1>().create_inhibitor(surface, &client.queue, ());
    fixture.roundtrip(who);
    inhibitor
}

fn inhibited_by(fixture: &mut Fixture) -> Option<Origin> {
    fixture.state().comp.idle_inhibitor().cloned()
}

#[test]
fn an_inhibitor_counts_while_its_window_is_shown_and_has_the_keyboard() {
    let mut fixture = Fixture::new();
    let (work, web) = (fixture.connect(vm("work")), fixture.connect(vm("web")));
    let window = fixture.window(web, 150, 60, BLUE);
    let surface = fixture.client(web).told.shown[window].surface.clone();
    assert_eq!(inhibited_by(&mut fixture), None);
    let first = inhibit(&mut fixture, web, &surface);
    let second = inhibit(&mut fixture, web, &surface);
    assert_eq!(inhibited_by(&mut fixture), Some(vm("web")));
    first.destroy();
    fixture.roundtrip(web);
    assert_eq!(inhibited_by(&mut fixture), Some(vm("web")), "the other one is left");
    // Another VM is used.
    fixture.window(work, 150, 60, BLUE);
    let report = fixture.report();
    let other = report.iter().find(|window| window.vm == "work").unwrap().content;
    fixture.click(other.loc.x + 5, other.loc.y + 5);
    assert_eq!(inhibited_by(&mut fixture), None);
    let own = report.iter().find(|window| window.vm == "web").unwrap().content;
    fixture.click(own.loc.x + 5, own.loc.y + 5);
    assert_eq!(inhibited_by(&mut fixture), Some(vm("web")));
    // Its window goes out of sight.
    surface.attach(None, 0, 0);
    surface.commit();
    fixture.roundtrip(web);
    assert_eq!(inhibited_by(&mut fixture), None);
    second.destroy();
    fixture.roundtrip(web);
    assert!(!fixture.client(web).ended());
}

#[test]
fn a_subsurface_inhibits_with_its_window_once_it_has_content() {
    let mut fixture = Fixture::new();
    let who = fixture.connect(vm("web"));
    let window = fixture.window(who, 150, 60, BLUE);
    let client = fixture.client(who);
    let surface = client.told.shown[window].surface.clone();
    let (sub, _role) = client.subsurface(&surface);
    inhibit(&mut fixture, who, &sub);
    assert_eq!(inhibited_by(&mut fixture), None, "it shows nothing");
    fixture.client(who).draw_on(&sub, 10, 10, BLUE);
    surface.commit();
    fixture.roundtrip(who);
    assert_eq!(inhibited_by(&mut fixture), Some(vm("web")));
}

#[test]
fn inhibitors_of_what_is_no_window_or_gone_count_for_nothing() {
    let mut fixture = Fixture::new();
    let who = fixture.connect(vm("web"));
    fixture.window(who, 150, 60, BLUE);
    let bare = fixture.client(who).surface();
    fixture.client(who).draw_on(&bare, 10, 10, BLUE);
    let inhibitor = inhibit(&mut fixture, who, &bare);
    assert_eq!(inhibited_by(&mut fixture), None);
    bare.destroy();
    fixture.roundtrip(who);
    assert_eq!(inhibited_by(&mut fixture), None);
    inhibitor.destroy();
    fixture.roundtrip(who);
    assert!(!fixture.client(who).ended());
}

#[test]
fn an_inhibitor_ends_with_its_client() {
    let mut fixture = Fixture::new();
    let (who, other) = (fixture.connect(vm("web")), fixture.connect(vm("web")));
    let window = fixture.window(who, 150, 60, BLUE);
    let surface = fixture.client(who).told.shown[window].surface.clone();
    for _ in 0..100 {
        inhibit(&mut fixture, who, &surface);
    }
    fixture.window(other, 100, 60, BLUE);
    let live = |fixture: &mut Fixture| fixture.state().comp.protocols.idle_inhibit.len();
    assert_eq!(live(&mut fixture), 100);
    // A misuse ends the client at once.
    surface.set_buffer_scale(0);
    fixture.wait("the end of the connection", |fixture| fixture.client(who).ended());
    fixture.wait("the end of its inhibitors", |fixture| live(fixture) == 0);
}
