//! What clients say of their surfaces: how opaque they are, what they show, whether they may tear; and bells.

use smithay::reexports::wayland_protocols::wp::content_type::v1::server::wp_content_type_v1::Type as Shown;
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface as ServerSurface;
use smithay::utils::Rectangle;
use smithay::wayland::compositor::with_states;
use smithay::wayland::content_type::ContentTypeSurfaceCachedState;
use vitrail::handlers::tearing_control::may_tear;
use vitrail::trust::origin::Origin;
use wayland_client::{WEnum, delegate_noop};
use wayland_protocols::wp::alpha_modifier::v1::client::wp_alpha_modifier_surface_v1::WpAlphaModifierSurfaceV1;
use wayland_protocols::wp::alpha_modifier::v1::client::wp_alpha_modifier_v1::WpAlphaModifierV1;
use wayland_protocols::wp::content_type::v1::client::wp_content_type_manager_v1::WpContentTypeManagerV1;
use wayland_protocols::wp::content_type::v1::client::wp_content_type_v1::{Type, WpContentTypeV1};
use wayland_protocols::wp::tearing_control::v1::client::wp_tearing_control_manager_v1::WpTearingControlManagerV1;
use wayland_protocols::wp::tearing_control::v1::client::wp_tearing_control_v1::{
    PresentationHint, WpTearingControlV1,
};
use wayland_protocols::xdg::system_bell::v1::client::xdg_system_bell_v1::XdgSystemBellV1;

use crate::client::Told;
use crate::fixture::{Fixture, WORK, Who, vm};

delegate_noop!(Told: ignore WpAlphaModifierV1);
delegate_noop!(Told: ignore WpAlphaModifierSurfaceV1);
delegate_noop!(Told: ignore WpContentTypeManagerV1);
delegate_noop!(Told: ignore WpContentTypeV1);
delegate_noop!(Told: ignore WpTearingControlManagerV1);
delegate_noop!(Told: ignore WpTearingControlV1);
delegate_noop!(Told: ignore XdgSystemBellV1);

const BLUE: [u8; 4] = [0, 0, 255, 255];

#[track_caller]
fn ends(fixture: &mut Fixture, who: Who, interface: &str, code: u32) {
    fixture.wait("the end of the connection", |fixture| fixture.client(who).ended());
    assert_eq!(fixture.client(who).error(), Some((interface.to_owned(), code)));
    let other = fixture.connect(vm("web"));
    fixture.window(other, 100, 50, BLUE);
}

/// The compositor's side of the only window.
fn surface(fixture: &mut Fixture) -> ServerSurface {
    fixture.state().comp.shell.bottom_up().next().unwrap().handle.wl_surface().clone()
}

#[test]
fn opacity_is_over_the_windows_own_backing_and_leaves_the_label() {
    let mut fixture = Fixture::new();
    // Something bright below, which must not show through.
    let below = fixture.connect(vm("work"));
    fixture.window(below, 300, 200, [255, 255, 255, 255]);
    let who = fixture.connect(vm("work"));
    let window = fixture.window(who, 200, 100, BLUE);
    let client = fixture.client(who);
    let modified = client.told.shown[window].surface.clone();
    let modifier = client.bind::<WpAlphaModifierV1>().get_surface(&modified, &client.queue, ());
    let colour = |fixture: &mut Fixture| {
        let report = fixture.report();
        let top = report.iter().max_by_key(|window| window.z).unwrap();
        let screen = fixture.screenshot();
        screen.assert_ring(WORK, top.frame, 4);
        let middle = top.content.loc.x + top.content.size.w / 2;
        let colour = screen.pixel(middle, top.content.loc.y + 20);
        screen.assert_solid("content", colour, Rectangle::new(top.content.loc, (200, 100).into()));
        colour
    };
    modifier.set_multiplier(u32::MAX / 2);
    fixture.roundtrip(who);
    assert_eq!(colour(&mut fixture), BLUE, "not before it is committed");
    modified.commit();
    fixture.roundtrip(who);
    let [red, green, blue, alpha] = colour(&mut fixture);
    assert_eq!((red, green, alpha), (0, 0, 255));
    assert!((126..=129).contains(&blue), "{blue}");
    modifier.set_multiplier(0);
    modified.commit();
    fixture.roundtrip(who);
    assert_eq!(colour(&mut fixture), [0, 0, 0, 255]);
    modifier.destroy();
    modified.commit();
    fixture.roundtrip(who);
    assert_eq!(colour(&mut fixture), BLUE, "without the object it is as before");
}

#[test]
fn a_second_alpha_modifier_or_one_without_a_surface_ends_the_client() {
    for second in [true, false] {
        let mut fixture = Fixture::new();
        let who = fixture.connect(vm("work"));
        let client = fixture.client(who);
        let surface = client.surface();
        let manager = client.bind::<WpAlphaModifierV1>();
        let modifier = manager.get_surface(&surface, &client.queue, ());
        if second {
            manager.get_surface(&surface, &client.queue, ());
            ends(&mut fixture, who, "wp_alpha_modifier_v1", 0);
        } else {
            surface.destroy();
            modifier.set_multiplier(1);
            ends(&mut fixture, who, "wp_alpha_modifier_surface_v1", 0);
        }
    }
}

#[test]
fn the_type_of_the_content_is_kept_from_the_commit_on() {
    let mut fixture = Fixture::new();
    let who = fixture.connect(vm("work"));
    let window = fixture.window(who, 100, 50, BLUE);
    let theirs = surface(&mut fixture);
    let kept = |surface: &ServerSurface| {
        with_states(surface, |states| {
            *states.cached_state.get::<ContentTypeSurfaceCachedState>().current().content_type()
        })
    };
    let client = fixture.client(who);
    let ours = client.told.shown[window].surface.clone();
    let manager = client.bind::<WpContentTypeManagerV1>();
    let object = manager.get_surface_content_type(&ours, &client.queue, ());
    object.set_content_type(Type::Video);
    fixture.roundtrip(who);
    assert_eq!(kept(&theirs), Shown::None);
    ours.commit();
    fixture.roundtrip(who);
    assert_eq!(kept(&theirs), Shown::Video);
    object.destroy();
    ours.commit();
    fixture.roundtrip(who);
    assert_eq!(kept(&theirs), Shown::None);
    let client = fixture.client(who);
    manager.get_surface_content_type(&ours, &client.queue, ());
    manager.get_surface_content_type(&ours, &client.queue, ());
    ends(&mut fixture, who, "wp_content_type_manager_v1", 0);
}

#[test]
fn the_hint_that_a_surface_may_tear_is_kept_from_the_commit_on() {
    let mut fixture = Fixture::new();
    let who = fixture.connect(vm("work"));
    let window = fixture.window(who, 100, 50, BLUE);
    let theirs = surface(&mut fixture);
    let client = fixture.client(who);
    let ours = client.told.shown[window].surface.clone();
    let manager = client.bind::<WpTearingControlManagerV1>();
    let control = manager.get_tearing_control(&ours, &client.queue, ());
    control.set_presentation_hint(PresentationHint::Async);
    fixture.roundtrip(who);
    assert!(!may_tear(&theirs));
    ours.commit();
    fixture.roundtrip(who);
    assert!(may_tear(&theirs));
    control.destroy();
    ours.commit();
    fixture.roundtrip(who);
    assert!(!may_tear(&theirs), "destroying the object takes the hint back");
    let client = fixture.client(who);
    let control = manager.get_tearing_control(&ours, &client.queue, ());
    fixture.roundtrip(who);
    assert!(!fixture.client(who).ended(), "there may be one again");
    let client = fixture.client(who);
    // A hint that nobody knows, a surface that is gone: nothing happens.
    let unknown = wayland_protocols::wp::tearing_control::v1::client::wp_tearing_control_v1::Request::SetPresentationHint {
        hint: WEnum::Unknown(77),
    };
    wayland_client::Proxy::send_request(&control, unknown).unwrap();
    let gone = client.surface();
    let orphan = manager.get_tearing_control(&gone, &client.queue, ());
    gone.destroy();
    orphan.set_presentation_hint(PresentationHint::Async);
    orphan.destroy();
    fixture.roundtrip(who);
    assert!(!fixture.client(who).ended());
    let client = fixture.client(who);
    manager.get_tearing_control(&ours, &client.queue, ());
    ends(&mut fixture, who, "wp_tearing_control_manager_v1", 0);
}

#[test]
fn bells_are_counted_for_each_vm_and_a_storm_of_them_is_not() {
    let mut fixture = Fixture::new();
    let (work, web) = (fixture.connect(vm("work")), fixture.connect(vm("web")));
    let bells = |fixture: &mut Fixture, origin: Origin| {
        fixture.state().comp.accounts.get(&origin).map_or(0, |account| account.bells())
    };
    let client = fixture.client(work);
    let bell = client.bind::<XdgSystemBellV1>();
    bell.ring(None);
    let surface = client.surface();
    bell.ring(Some(&surface));
    fixture.roundtrip(work);
    assert_eq!(bells(&mut fixture, vm("work")), 2);
    for _ in 0..5000 {
        bell.ring(None);
    }
    fixture.roundtrip(work);
    assert!((10..=20).contains(&bells(&mut fixture, vm("work"))));
    // One VM's storm does not silence another.
    fixture.client(web).bind::<XdgSystemBellV1>().ring(None);
    fixture.roundtrip(web);
    assert_eq!(bells(&mut fixture, vm("web")), 1);
    assert!(!fixture.client(work).ended());
}
