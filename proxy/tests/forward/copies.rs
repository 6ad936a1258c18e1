//! Which bytes are copied, and when.

use vitrail_proxy::forward::store::Store;

use crate::scene::{Scene, mask, rectangles};
use crate::wire::Args;

const DAMAGE: u16 = 2;
const DAMAGE_BUFFER: u16 = 9;
const WHOLE: &[(u16, [i32; 4])] = &[(DAMAGE_BUFFER, [0, 0, i32::MAX, i32::MAX])];

#[test]
fn the_first_commit_shows_the_whole_buffer_whatever_its_damage() {
    for mut scene in [Scene::new(), Scene::without_region()] {
        let surface = scene.surface();
        let pool = scene.client_pool(64 * 48 * 4);
        let buffer = scene.buffer(&pool, 0, 64, 48);
        pool.fill(0, 64 * 48 * 4, 0x55);
        scene.commit(surface, Some(buffer), &[(DAMAGE_BUFFER, [0, 0, 1, 1])]);
        assert!(mask(&scene.pixels(buffer), 0x55).iter().all(|pixel| *pixel));
    }
}

#[test]
fn exactly_the_damaged_pixels_are_copied() {
    let mut scene = Scene::new();
    let surface = scene.surface();
    let pool = scene.client_pool(64 * 48 * 4);
    let buffer = scene.buffer(&pool, 0, 64, 48);
    scene.commit(surface, Some(buffer), WHOLE);
    scene.paint(buffer, 0xee);
    pool.fill(0, 64 * 48 * 4, 0x55);
    let damage =
        [(DAMAGE_BUFFER, [10, 5, 20, 7]), (DAMAGE_BUFFER, [60, 40, 100, 100]), (DAMAGE, [0, 47, 1, 1])];
    scene.commit(surface, Some(buffer), &damage);
    let expected = rectangles(64, 48, &[[10, 5, 20, 7], [60, 40, 4, 8], [0, 47, 1, 1]]);
    let pixels = scene.pixels(buffer);
    assert_eq!(mask(&pixels, 0x55), expected);
    assert_eq!(mask(&pixels, 0xee), expected.iter().map(|copied| !copied).collect::<Vec<_>>());
}

#[test]
fn a_mirror_gets_the_damaged_pixels_before_the_commit() {
    let mut scene = Scene::without_region();
    let surface = scene.surface();
    let pool = scene.client_pool(64 * 48 * 4);
    let buffer = scene.buffer(&pool, 0, 64, 48);
    scene.commit(surface, Some(buffer), WHOLE);
    pool.fill(0, 64 * 48 * 4, 0x55);
    scene.commit(surface, Some(buffer), &[(DAMAGE_BUFFER, [10, 5, 20, 7])]);
    assert_eq!(mask(&scene.pixels(buffer), 0x55), rectangles(64, 48, &[[10, 5, 20, 7]]));
}

#[test]
fn what_was_damaged_while_a_buffer_rested_is_copied_when_it_comes_back() {
    let mut scene = Scene::new();
    let surface = scene.surface();
    let pool = scene.client_pool(2 * 32 * 32 * 4);
    let (one, two) = (scene.buffer(&pool, 0, 32, 32), scene.buffer(&pool, 32 * 32 * 4, 32, 32));
    scene.commit(surface, Some(one), WHOLE);
    scene.commit(surface, Some(two), WHOLE);
    scene.commit(surface, Some(one), &[(DAMAGE_BUFFER, [1, 1, 2, 2])]);
    scene.paint(two, 0xee);
    pool.fill(0, 2 * 32 * 32 * 4, 0x55);
    scene.commit(surface, Some(two), &[(DAMAGE_BUFFER, [20, 20, 4, 4])]);
    let expected = rectangles(32, 32, &[[1, 1, 2, 2], [20, 20, 4, 4]]);
    assert_eq!(mask(&scene.pixels(two), 0x55), expected);
}

#[test]
fn a_buffer_that_another_surface_has_shown_is_copied_whole() {
    let mut scene = Scene::new();
    let (left, right) = (scene.surface(), scene.surface());
    let pool = scene.client_pool(32 * 32 * 4);
    let buffer = scene.buffer(&pool, 0, 32, 32);
    scene.commit(left, Some(buffer), WHOLE);
    scene.commit(right, Some(buffer), WHOLE);
    scene.paint(buffer, 0xee);
    pool.fill(0, 32 * 32 * 4, 0x55);
    scene.commit(left, Some(buffer), &[(DAMAGE_BUFFER, [0, 0, 1, 1])]);
    assert!(mask(&scene.pixels(buffer), 0x55).iter().all(|pixel| *pixel));
}

#[test]
fn damage_of_the_surface_is_scaled_to_the_buffer() {
    let mut scene = Scene::new();
    let surface = scene.surface();
    let pool = scene.client_pool(32 * 32 * 4);
    let buffer = scene.buffer(&pool, 0, 32, 32);
    scene.app.send(surface.app, 8, Args::new().i32(2));
    scene.compositor.expect(surface.compositor, 8);
    scene.commit(surface, Some(buffer), WHOLE);
    scene.paint(buffer, 0xee);
    pool.fill(0, 32 * 32 * 4, 0x55);
    scene.commit(surface, Some(buffer), &[(DAMAGE, [3, 4, 5, 6])]);
    assert_eq!(mask(&scene.pixels(buffer), 0x55), rectangles(32, 32, &[[6, 8, 10, 12]]));
}

#[test]
fn damage_of_the_surface_is_mapped_through_its_viewport() {
    let mut scene = Scene::new();
    let surface = scene.surface();
    let viewporter = scene.bind("wp_viewporter", 1);
    let app = scene.new_id();
    scene.app.send(viewporter.app, 1, Args::new().u32(app).u32(surface.app));
    let viewport = scene.compositor.expect(viewporter.compositor, 1).word(0);
    let pool = scene.client_pool(32 * 32 * 4);
    let buffer = scene.buffer(&pool, 0, 32, 32);
    // The right half of the buffer, at half its size.
    scene.app.send(app, 1, Args::new().i32s(&[16 * 256, 0, 16 * 256, 32 * 256]));
    scene.app.send(app, 2, Args::new().i32s(&[8, 16]));
    scene.compositor.expect(viewport, 1);
    scene.compositor.expect(viewport, 2);
    scene.commit(surface, Some(buffer), WHOLE);
    scene.paint(buffer, 0xee);
    pool.fill(0, 32 * 32 * 4, 0x55);
    scene.commit(surface, Some(buffer), &[(DAMAGE, [1, 2, 3, 4])]);
    let copied = mask(&scene.pixels(buffer), 0x55);
    let shown = rectangles(32, 32, &[[18, 4, 6, 8]]);
    let around = rectangles(32, 32, &[[17, 3, 8, 10]]);
    assert!(copied.iter().zip(&shown).all(|(copied, shown)| *copied || !shown), "too little was copied");
    assert!(copied.iter().zip(&around).all(|(copied, around)| !copied || *around), "too much was copied");
}

#[test]
fn a_commit_without_content_copies_nothing() {
    let mut scene = Scene::new();
    let surface = scene.surface();
    let pool = scene.client_pool(32 * 32 * 4);
    let buffer = scene.buffer(&pool, 0, 32, 32);
    scene.commit(surface, Some(buffer), WHOLE);
    scene.paint(buffer, 0xee);
    scene.commit(surface, None, &[]);
    assert!(mask(&scene.pixels(buffer), 0xee).iter().all(|pixel| *pixel));
}

#[test]
fn a_surface_without_a_buffer_and_one_with_a_foreign_buffer_pass() {
    let mut scene = Scene::new();
    let surface = scene.surface();
    scene.app.send(surface.app, 1, Args::new().u32(0).i32s(&[0, 0]));
    assert_eq!(scene.compositor.expect(surface.compositor, 1).word(0), 0);
    scene.commit(surface, None, WHOLE);
    let manager = scene.bind("wp_single_pixel_buffer_manager_v1", 1);
    let app = scene.new_id();
    scene.app.send(manager.app, 1, Args::new().u32(app).u32(1).u32(2).u32(3).u32(4));
    let pixel = scene.compositor.expect(manager.compositor, 1).word(0);
    scene.app.send(surface.app, 1, Args::new().u32(app).i32s(&[0, 0]));
    assert_eq!(scene.compositor.expect(surface.compositor, 1).word(0), pixel);
    scene.commit(surface, None, WHOLE);
}

#[test]
fn the_pixels_of_an_icon_are_copied_without_a_surface() {
    let mut scene = Scene::new();
    let manager = scene.bind("xdg_toplevel_icon_manager_v1", 1);
    let icon = scene.create(manager, 1, Args::new());
    let pool = scene.client_pool(16 * 16 * 4);
    let buffer = scene.buffer(&pool, 0, 16, 16);
    pool.fill(0, 16 * 16 * 4, 0x55);
    scene.app.send(icon.app, 2, Args::new().u32(buffer.object.app).i32(1));
    scene.compositor.expect(icon.compositor, 2);
    assert!(mask(&scene.pixels(buffer), 0x55).iter().all(|pixel| *pixel));
}

#[test]
fn a_slot_is_used_again_when_the_compositor_has_let_go_of_its_buffer() {
    let mut scene = Scene::new();
    let pool = scene.client_pool(512 * 512 * 4);
    // Each is a quarter of the region, so that four would not fit with its header.
    for _ in 0..20 {
        let buffer = scene.buffer(&pool, 0, 512, 512);
        scene.app.send(buffer.object.app, 0, Args::new());
        scene.compositor.expect(buffer.object.compositor, 0);
        scene.compositor.send(1, 1, Args::new().u32(buffer.object.compositor));
        // delete_id, with which the application may use the id again.
        while scene.app.next().word(0) != buffer.object.app {}
    }
}

#[test]
fn a_buffer_that_is_still_shown_outlives_its_destruction() {
    let mut scene = Scene::new();
    let surface = scene.surface();
    let pool = scene.client_pool(32 * 32 * 4);
    let buffer = scene.buffer(&pool, 0, 32, 32);
    scene.commit(surface, Some(buffer), WHOLE);
    scene.app.send(buffer.object.app, 0, Args::new());
    // The id is free for the application at once, and nothing was said to the compositor.
    while scene.app.next().body != buffer.object.app.to_ne_bytes() {}
    scene.commit(surface, None, &[]);
    scene.compositor.send(buffer.object.compositor, 0, Args::new());
    scene.compositor.expect(buffer.object.compositor, 0);
}

#[test]
fn a_release_reaches_the_application() {
    let mut scene = Scene::new();
    let surface = scene.surface();
    let pool = scene.client_pool(32 * 32 * 4);
    let buffer = scene.buffer(&pool, 0, 32, 32);
    scene.commit(surface, Some(buffer), WHOLE);
    scene.compositor.send(buffer.object.compositor, 0, Args::new());
    while scene.app.next().object != buffer.object.app {}
}

/// The cursor of a window that closes is one: its buffer is released again after it was destroyed, and was destroyed again for
/// that. The gate took it for a request on an object that does not exist, and ended the connection.
#[test]
fn a_buffer_that_two_surfaces_show_is_destroyed_once() {
    let mut scene = Scene::new();
    let (one, two) = (scene.surface(), scene.surface());
    let pool = scene.client_pool(32 * 32 * 4);
    let buffer = scene.buffer(&pool, 0, 32, 32);
    scene.commit(one, Some(buffer), WHOLE);
    scene.commit(two, Some(buffer), WHOLE);
    scene.compositor.send(buffer.object.compositor, 0, Args::new());
    while scene.app.next().object != buffer.object.app {}
    scene.app.send(buffer.object.app, 0, Args::new());
    scene.compositor.expect(buffer.object.compositor, 0);
    scene.compositor.send(buffer.object.compositor, 0, Args::new());
    // Whatever comes of it has come when the event behind it is there.
    scene.compositor.send(scene.shm.compositor, 0, Args::new().u32(1));
    while scene.app.next().object != scene.shm.app {}
    // Takes nothing but the commit for an answer.
    scene.commit(one, None, &[]);
}

#[test]
fn slots_are_free_again_when_their_connection_has_ended() {
    use std::sync::Arc;

    use virtio_wl::Region;

    let region = Region::create_memfd(crate::scene::REGION_LEN).unwrap();
    let clone = || Region::from_fd(region.try_clone_fd().unwrap()).unwrap();
    let store = Arc::new(Store::shared(clone(), |_| None).unwrap());
    let mut scene = Scene::start(Some(&store), Some(clone()), Some(clone()));
    let pool = scene.client_pool(512 * 512 * 4);
    let surface = scene.surface();
    let buffer = scene.buffer(&pool, 0, 512, 512);
    scene.commit(surface, Some(buffer), WHOLE);
    assert_eq!(store.used_bytes(), 512 * 512 * 4);
    scene.end().unwrap();
    assert_eq!(store.used_bytes(), 0);
}
