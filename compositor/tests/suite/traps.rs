//! Requests that Smithay 0.7 would panic, hang or grow without bound on.

use std::os::fd::AsFd;

use smithay::backend::renderer::utils::{RendererSurfaceState, with_renderer_surface_state};
use vitrail::trust::limits::Resource;
use wayland_client::protocol::wl_compositor::WlCompositor;
use wayland_client::protocol::wl_shm::{Format, WlShm};
use wayland_client::protocol::wl_surface::WlSurface;
use wayland_protocols::wp::viewporter::client::wp_viewporter::WpViewporter;
use wayland_protocols::xdg::shell::client::xdg_positioner::XdgPositioner;
use wayland_protocols::xdg::shell::client::xdg_surface::XdgSurface;
use wayland_protocols::xdg::shell::client::xdg_wm_base::XdgWmBase;

use crate::client::Client;
use crate::fixture::{Fixture, Who, vm};

const BLUE: [u8; 4] = [0, 0, 255, 255];

#[track_caller]
fn ends(fixture: &mut Fixture, who: Who) {
    fixture.wait("the end of the connection", |fixture| fixture.client(who).ended());
    assert!(fixture.client(who).error().is_some(), "ended with a protocol error");
    let other = fixture.connect(vm("web"));
    fixture.window(other, 100, 50, BLUE);
}

fn positioner(client: &Client) -> XdgPositioner {
    let positioner: XdgPositioner = client.bind::<XdgWmBase>().create_positioner(&client.queue, ());
    positioner.set_size(10, 10);
    positioner.set_anchor_rect(0, 0, 1, 1);
    positioner
}

fn xdg_surface(client: &Client) -> (WlSurface, XdgSurface) {
    let surface = client.surface();
    // The index is that of no window; nothing of these surfaces is configured.
    let xdg = client.bind::<XdgWmBase>().get_xdg_surface(&surface, &client.queue, usize::MAX);
    (surface, xdg)
}

#[test]
fn a_popup_that_is_its_own_parent_ends_the_client() {
    let mut fixture = Fixture::new();
    let who = fixture.connect(vm("work"));
    let client = fixture.client(who);
    let (_surface, xdg) = xdg_surface(client);
    xdg.get_popup(Some(&xdg), &positioner(client), &client.queue, usize::MAX);
    ends(&mut fixture, who);
}

#[test]
fn popups_in_a_circle_end_the_client() {
    let mut fixture = Fixture::new();
    let who = fixture.connect(vm("work"));
    let client = fixture.client(who);
    let ((_, one), (_, two), (_, three)) = (xdg_surface(client), xdg_surface(client), xdg_surface(client));
    let positioner = positioner(client);
    one.get_popup(Some(&two), &positioner, &client.queue, usize::MAX);
    three.get_popup(Some(&one), &positioner, &client.queue, usize::MAX);
    two.get_popup(Some(&three), &positioner, &client.queue, usize::MAX);
    ends(&mut fixture, who);
}

#[test]
fn a_subsurface_that_is_put_above_itself_ends_the_client() {
    for above in [true, false] {
        let mut fixture = Fixture::new();
        let who = fixture.connect(vm("work"));
        let client = fixture.client(who);
        let parent = client.surface();
        let (surface, role) = client.subsurface(&parent);
        if above {
            role.place_above(&surface);
        } else {
            role.place_below(&surface);
        }
        ends(&mut fixture, who);
    }
}

#[test]
fn a_client_that_asks_for_ever_new_configures_ends() {
    let mut fixture = Fixture::new();
    let who = fixture.connect(vm("work"));
    let window = fixture.window(who, 100, 50, BLUE);
    fixture.roundtrip(who);
    for _ in 0..3 {
        for _ in 0..400 {
            fixture.client(who).told.shown[window].toplevel.as_ref().unwrap().set_maximized();
        }
        // One that acknowledges them may ask as often as it likes.
        fixture.roundtrip(who);
        fixture.client(who).ack(window);
    }
    assert!(!fixture.client(who).ended());
    for _ in 0..600 {
        fixture.client(who).told.shown[window].toplevel.as_ref().unwrap().set_maximized();
    }
    ends(&mut fixture, who);
}

#[test]
fn objects_that_have_no_limit_of_their_own_have_one_together() {
    let mut fixture = Fixture::new();
    let clients = [fixture.connect(vm("work")), fixture.connect(vm("work"))];
    let other = fixture.connect(vm("web"));
    let mut turn = 0;
    fixture.wait("the end of a connection", |fixture| {
        turn += 1;
        let client = fixture.client(clients[turn % 2]);
        let compositor = client.bind::<WlCompositor>();
        for _ in 0..1000 {
            compositor.create_region(&client.queue, ());
        }
        let ended = |who: &Who| fixture.client(*who).ended();
        clients.iter().any(ended)
    });
    // Two of them share what one VM may have.
    assert!((60..140).contains(&turn), "{turn}");
    fixture.roundtrip(other);
    assert!(!fixture.client(other).ended());
}

#[test]
fn a_buffer_that_was_refused_is_not_counted() {
    let mut fixture = Fixture::new();
    for _ in 0..3 {
        let who = fixture.connect(vm("work"));
        let client = fixture.client(who);
        let pool = client.pool(&[0; 4096], 4096);
        // The stride is shorter than a row.
        pool.create_buffer(0, 16, 4, 8, Format::Argb8888, &client.queue, ());
        ends(&mut fixture, who);
        let who = fixture.connect(vm("work"));
        let client = fixture.client(who);
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(4096).unwrap();
        // Cannot be mapped for writing.
        let file = std::fs::File::open(file.path()).unwrap();
        client.bind::<WlShm>().create_pool(file.as_fd(), 4096, &client.queue, ());
        ends(&mut fixture, who);
    }
    let account = fixture.state().comp.accounts.get(&vm("work")).unwrap().clone();
    fixture.wait("everything to be given back", |_| {
        let used = [Resource::Pools, Resource::Buffers].map(|what| account.used(what));
        used == [0, 0] && account.memory() == 0
    });
}

#[test]
fn an_opaque_region_of_many_parts_is_not_computed_with() {
    let mut fixture = Fixture::new();
    let who = fixture.connect(vm("web"));
    let window = fixture.window(who, 200, 100, BLUE);
    let mut opaque_parts = |rows: i32, columns: i32| {
        let client = fixture.client(who);
        let region = client.bind::<WlCompositor>().create_region(&client.queue, ());
        (0..rows).for_each(|row| region.add(0, row * 2, 200, 1));
        (0..columns).for_each(|column| region.subtract(column * 2, 0, 1, 100));
        client.told.shown[window].surface.set_opaque_region(Some(&region));
        client.draw(window, 200, 100, BLUE);
        fixture.roundtrip(who);
        let shown = fixture.state().comp.shell.shown_top_down().next().unwrap();
        let parts = |state: &mut RendererSurfaceState| state.opaque_regions().map_or(0, <[_]>::len);
        with_renderer_surface_state(shown.handle.wl_surface(), parts).unwrap()
    };
    assert_eq!(opaque_parts(2, 0), 2);
    // These would be five thousand.
    assert_eq!(opaque_parts(50, 100), 0);
}

/// Numbers from a seed, the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }

    fn number(&mut self) -> i32 {
        const NUMBERS: [i32; 16] = [
            i32::MIN,
            -(1 << 20),
            -32_768,
            -1,
            0,
            1,
            2,
            7,
            100,
            255,
            4096,
            32_767,
            1 << 16,
            1 << 20,
            (1 << 20) + 1,
            i32::MAX,
        ];
        NUMBERS[self.roll(NUMBERS.len())]
    }

    /// A number that is not refused, so that the client lives to send the next.
    fn fine(&mut self) -> i32 {
        const NUMBERS: [i32; 8] = [1, 2, 3, 16, 100, 4096, 16_384, 32_767];
        NUMBERS[self.roll(NUMBERS.len())]
    }
}

/// One random request to a window of the client.
fn roll_request(dice: &mut Dice, client: &Client, window: usize, extra: &[WlSurface]) {
    let shown = &client.told.shown[window];
    let surfaces: Vec<&WlSurface> = std::iter::once(&shown.surface).chain(extra).collect();
    let surface = surfaces[dice.roll(surfaces.len())];
    match dice.roll(9) {
        0 => surface.damage(dice.number(), dice.number(), dice.number(), dice.number()),
        1 => surface.damage_buffer(dice.number(), dice.number(), dice.number(), dice.number()),
        2 => surface.set_buffer_scale(if dice.roll(12) == 0 { 16 } else { 1 + dice.roll(2) as i32 }),
        3 => surface.set_buffer_transform(
            [
                wayland_client::protocol::wl_output::Transform::Normal,
                wayland_client::protocol::wl_output::Transform::_90,
                wayland_client::protocol::wl_output::Transform::Flipped270,
            ][dice.roll(3)],
        ),
        4 => {
            let region = client.bind::<WlCompositor>().create_region(&client.queue, ());
            for _ in 0..dice.roll(6) {
                region.add(dice.number(), dice.number(), dice.number(), dice.number());
                region.subtract(dice.number(), dice.number(), dice.number(), dice.number());
            }
            surface.set_opaque_region(Some(&region));
            surface.set_input_region(Some(&region));
            region.destroy();
        }
        5 => shown.xdg.set_window_geometry(
            dice.number().clamp(-(1 << 20), 1 << 20),
            dice.number().clamp(-(1 << 20), 1 << 20),
            dice.fine(),
            dice.fine(),
        ),
        6 => {
            let (pool, buffer) = client.buffer(2 + dice.roll(64) as i32, 2 + dice.roll(64) as i32, BLUE);
            pool.destroy();
            surface.attach(Some(&buffer), 0, 0);
            surface.damage(dice.number(), dice.number(), dice.number(), dice.number());
            buffer.destroy();
        }
        7 => surface.offset(dice.number().clamp(-(1 << 20), 1 << 20), dice.number().clamp(-100, 1 << 20)),
        _ => surface.commit(),
    }
}

#[test]
fn no_numbers_that_pass_overflow_anything() {
    for (seed, scale) in [(1, 1.0), (2, 1.5), (3, 8.0), (4, 0.5), (5, 2.0), (6, 1.25)] {
        let mut fixture = Fixture::sized(1200, 900, scale);
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ seed);
        for _ in 0..6 {
            let who = fixture.connect(vm("web"));
            let window = fixture.window(who, 100, 50, BLUE);
            let client = fixture.client(who);
            let main = client.told.shown[window].surface.clone();
            let viewporter = client.bind::<WpViewporter>();
            let mut extra = Vec::new();
            let mut parent = main.clone();
            for _ in 0..3 {
                let (surface, role) = client.subsurface(&parent);
                role.set_position(dice.number().clamp(-(1 << 20), 1 << 20), dice.fine());
                role.set_desync();
                parent = surface.clone();
                extra.push(surface);
            }
            let viewports: Vec<_> = std::iter::once(&main)
                .chain(&extra)
                .map(|surface| viewporter.get_viewport(surface, &client.queue, ()))
                .collect();
            viewports.iter().for_each(|viewport| viewport.set_destination(200, 100));
            for step in 0..120 {
                if fixture.client(who).ended() {
                    break;
                }
                let client = fixture.client(who);
                roll_request(&mut dice, client, window, &extra);
                let viewport = &viewports[dice.roll(viewports.len())];
                match dice.roll(8) {
                    0 => viewport.set_destination(dice.fine(), dice.fine()),
                    1 => viewport.set_source(0.0, 0.0, 1.0, 1.0),
                    2 => viewport.set_source(0.0, 0.0, 0.004, 0.004),
                    3 => viewport.set_source(-1.0, -1.0, -1.0, -1.0),
                    4 if dice.roll(6) == 0 => viewport.set_destination(-1, -1),
                    _ => {}
                }
                if step % 10 == 0 {
                    fixture.roundtrip(who);
                    fixture.state().repaint();
                    let (x, y) = (dice.roll(1200) as f64, dice.roll(900) as f64);
                    fixture.state().input_pointer_motion(x, y);
                }
            }
            fixture.roundtrip(who);
        }
    }
}
