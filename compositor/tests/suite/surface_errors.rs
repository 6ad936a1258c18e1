//! Errors of what clients do to surfaces: each is told of the interface that has it, so that the client reads the right one.

use vitrail::trust::origin::Origin;
use wayland_client::protocol::wl_surface::WlSurface;
use wayland_client::{Proxy as _, delegate_noop};
use wayland_protocols::wp::fractional_scale::v1::client::wp_fractional_scale_manager_v1::{
    self, WpFractionalScaleManagerV1,
};
use wayland_protocols::wp::fractional_scale::v1::client::wp_fractional_scale_v1::WpFractionalScaleV1;
use wayland_protocols::wp::viewporter::client::wp_viewport::{self, WpViewport};
use wayland_protocols::wp::viewporter::client::wp_viewporter::{self, WpViewporter};
use wayland_protocols::xdg::shell::client::xdg_surface;
use wayland_protocols::xdg::shell::client::xdg_wm_base::{self, XdgWmBase};

use crate::client::{Client, Told};
use crate::fixture::Fixture;

const BLUE: [u8; 4] = [0, 0, 255, 255];

delegate_noop!(Told: WpFractionalScaleManagerV1);
delegate_noop!(Told: ignore WpFractionalScaleV1);

/// What a local client with a window is told after it did something to the window's surface, or to another one.
fn after(what: impl FnOnce(&mut Client, &WlSurface)) -> Option<(String, u32)> {
    let mut fixture = Fixture::new();
    let who = fixture.connect(Origin::Local);
    let window = fixture.window(who, 200, 100, BLUE);
    let surface = fixture.client(who).told.shown[window].surface.clone();
    what(fixture.client(who), &surface);
    fixture.roundtrip(who);
    fixture.client(who).error()
}

fn error(interface: &str, code: impl Into<u32>) -> Option<(String, u32)> {
    Some((interface.to_owned(), code.into()))
}

fn viewport(client: &Client, surface: &WlSurface) -> WpViewport {
    client.bind::<WpViewporter>().get_viewport(surface, &client.queue, ())
}

/// Smithay said it of the surface, where the number is another error.
#[test]
fn a_second_viewport_is_an_error_of_the_viewporter_while_there_is_a_first() {
    let twice = after(|client, surface| {
        viewport(client, surface);
        viewport(client, surface);
    });
    assert_eq!(twice, error(WpViewporter::interface().name, wp_viewporter::Error::ViewportExists));
    let one_after_another = after(|client, surface| {
        viewport(client, surface).destroy();
        viewport(client, surface);
    });
    assert_eq!(one_after_another, None);
}

#[test]
fn a_second_fractional_scale_is_an_error_of_its_manager_while_there_is_a_first() {
    let scale = |client: &Client, surface: &WlSurface| {
        let manager = client.bind::<WpFractionalScaleManagerV1>();
        manager.get_fractional_scale(surface, &client.queue, ())
    };
    let twice = after(|client, surface| {
        scale(client, surface);
        scale(client, surface);
    });
    let exists = wp_fractional_scale_manager_v1::Error::FractionalScaleExists;
    assert_eq!(twice, error(WpFractionalScaleManagerV1::interface().name, exists));
    let one_after_another = after(|client, surface| {
        scale(client, surface).destroy();
        scale(client, surface);
    });
    assert_eq!(one_after_another, None);
}

/// Smithay looked at a viewport that came after the content only with the next content.
#[test]
fn a_viewport_is_checked_with_every_commit_also_where_the_content_was_there_before() {
    let broken = after(|client, surface| {
        viewport(client, surface).set_source(0.0, 0.0, 23.25, 50.0);
        surface.commit();
    });
    assert_eq!(broken, error(WpViewport::interface().name, wp_viewport::Error::BadSize));
    let whole = after(|client, surface| {
        viewport(client, surface).set_source(0.0, 0.0, 23.0, 50.0);
        surface.commit();
    });
    assert_eq!(whole, None);
}

/// The size that a source has to be inside was that by the scale before the commit.
#[test]
fn a_viewport_is_held_against_the_scale_that_is_committed_with_it() {
    let outside = after(|client, surface| {
        surface.set_buffer_scale(2);
        viewport(client, surface).set_source(50.0, 0.0, 51.0, 50.0);
        surface.commit();
    });
    assert_eq!(outside, error(WpViewport::interface().name, wp_viewport::Error::OutOfBuffer));
    let inside = after(|client, surface| {
        surface.set_buffer_scale(2);
        viewport(client, surface).set_source(50.0, 0.0, 50.0, 50.0);
        surface.commit();
    });
    assert_eq!(inside, None);
}

/// Smithay looked at a surface that is to be a window only when it became one.
#[test]
fn what_is_something_else_or_has_content_cannot_become_a_window() {
    let of = |client: &Client, surface: &WlSurface| {
        client.bind::<XdgWmBase>().get_xdg_surface(surface, &client.queue, usize::MAX);
    };
    let state = error(XdgWmBase::interface().name, xdg_wm_base::Error::InvalidSurfaceState);
    let role = error(XdgWmBase::interface().name, xdg_wm_base::Error::Role);
    let child = after(|client, parent| {
        let (child, _role) = client.subsurface(parent);
        of(client, &child);
    });
    assert_eq!(child, role, "a subsurface");
    let again = after(|client, surface| of(client, surface));
    assert_eq!(again, state, "a window that is shown");
    let twice = after(|client, _| {
        let surface = client.surface();
        of(client, &surface);
        of(client, &surface);
    });
    assert_eq!(twice, role, "what has an xdg_surface");
    let attached = after(|client, _| {
        let surface = client.surface();
        let (_pool, buffer) = client.buffer(10, 10, BLUE);
        surface.attach(Some(&buffer), 0, 0);
        of(client, &surface);
    });
    assert_eq!(attached, state, "a buffer that waits for its commit");
    let committed = after(|client, _| {
        let surface = client.surface();
        client.draw_on(&surface, 10, 10, BLUE);
        of(client, &surface);
    });
    assert_eq!(committed, state, "content");
    let fresh = after(|client, _| of(client, &client.surface()));
    assert_eq!(fresh, None);
}

#[test]
fn a_buffer_for_what_is_no_window_yet_is_an_error() {
    let early = after(|client, _| {
        let surface = client.surface();
        client.bind::<XdgWmBase>().get_xdg_surface(&surface, &client.queue, usize::MAX);
        let (_pool, buffer) = client.buffer(10, 10, BLUE);
        surface.attach(Some(&buffer), 0, 0);
    });
    let unconfigured = xdg_surface::Error::UnconfiguredBuffer;
    assert_eq!(early, error(xdg_surface::XdgSurface::interface().name, unconfigured));
}
