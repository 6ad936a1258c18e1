//! Windows whose clients have turned or mirrored what they drew.
//!
//! Smithay 0.7 draws all eight ways right. Where a viewport, the window's geometry or the damage says which part, it takes
//! quarter turns for those in the other direction: another part was shown, and what had changed stayed as it was.

use smithay::utils::{Point, Rectangle};
use wayland_client::protocol::wl_output::Transform;

use crate::client::Client;
use crate::fixture::{Fixture, vm};

const RED: [u8; 4] = [0xff, 0, 0, 0xff];
const BLUE: [u8; 4] = [0, 0, 0xff, 0xff];

/// The size of the surface.
const SIZE: (i32, i32) = (220, 140);

/// What changes, in pixels of the buffer: x, y, width and height.
const BLOCK: [i32; 4] = [55, 37, 20, 10];

const ALL: [Transform; 8] = [
    Transform::Normal,
    Transform::_90,
    Transform::_180,
    Transform::_270,
    Transform::Flipped,
    Transform::Flipped90,
    Transform::Flipped180,
    Transform::Flipped270,
];

/// Where a rectangle of a buffer of this size is on the surface: turned back clockwise, then mirrored back.
fn shown(transform: Transform, [mut x, mut y, mut w, mut h]: [i32; 4], mut size: (i32, i32)) -> [i32; 4] {
    for _ in 0..u32::from(transform) % 4 {
        [x, y, w, h] = [size.1 - y - h, x, h, w];
        size = (size.1, size.0);
    }
    if u32::from(transform) >= 4 {
        x = size.0 - x - w;
    }
    [x, y, w, h]
}

/// A red buffer, in which the block is blue if so wished.
fn attach(client: &Client, window: usize, (w, h): (i32, i32), block: bool) {
    let [left, top, width, height] = BLOCK;
    let pixel = |x: i32, y: i32| {
        let inside = block && (left..left + width).contains(&x) && (top..top + height).contains(&y);
        let [r, g, b, a] = if inside { BLUE } else { RED };
        [b, g, r, a]
    };
    let pixels: Vec<u8> = (0..w * h).flat_map(|index| pixel(index % w, index / w)).collect();
    let buffer = client.buffer_of(&pixels, w, h);
    client.told.shown[window].surface.attach(Some(&buffer), 0, 0);
}

/// Shows a turned window, of which the geometry is `part` if that is given, and lets the block change.
#[track_caller]
fn assert_drawn(transform: Transform, part: Option<[i32; 4]>) {
    let mut fixture = Fixture::new();
    let who = fixture.connect(vm("work"));
    let window = fixture.client(who).create_window();
    fixture.configured(who, window, 0);
    let size = if u32::from(transform) % 2 == 0 { SIZE } else { (SIZE.1, SIZE.0) };
    let client = fixture.client(who);
    let (surface, xdg) = (client.told.shown[window].surface.clone(), client.told.shown[window].xdg.clone());
    surface.set_buffer_transform(transform);
    if let Some([x, y, w, h]) = part {
        xdg.set_window_geometry(x, y, w, h);
    }
    for block in [false, true] {
        attach(fixture.client(who), window, size, block);
        let [x, y, w, h] = if block { BLOCK } else { [0, 0, size.0, size.1] };
        surface.damage_buffer(x, y, w, h);
        surface.commit();
        fixture.roundtrip(who);
        fixture.wait("the frame", |fixture| !fixture.state().comp.schedule.is_pending());
    }
    let screen = fixture.screenshot();
    let content = fixture.report()[0].content;
    let [x, y, w, h] = shown(transform, BLOCK, size);
    let origin = part.map_or((0, 0), |part| (part[0], part[1]));
    let corner = content.loc + Point::from((x - origin.0, y - origin.1));
    screen.assert_solid("the block", BLUE, Rectangle::new(corner, (w, h).into()));
    assert!(screen.pixel(corner.x - 1, corner.y) == RED && screen.pixel(corner.x, corner.y + h) == RED);
    let drawn = fixture.state().backend.last_frame().unwrap();
    assert!(drawn == screen.0, "{transform:?}: the screen is not what it should be");
}

#[test]
fn changes_of_turned_windows_are_drawn() {
    ALL.into_iter().for_each(|transform| assert_drawn(transform, None));
}

#[test]
fn the_part_of_a_turned_window_that_its_geometry_names_is_drawn() {
    ALL.into_iter().for_each(|transform| assert_drawn(transform, Some([20, 12, 190, 110])));
}
