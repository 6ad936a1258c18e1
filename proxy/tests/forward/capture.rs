//! Pictures that the compositor writes into buffers of the application: they are there when the application is told so.

use std::os::unix::fs::FileExt as _;

use rustix::fs::SealFlags;

use crate::scene::{Buffer, ClientPool, Object, Scene, mask, rectangles};
use crate::wire::Args;

/// Requests of a frame.
const DESTROY: u16 = 0;
const ATTACH: u16 = 1;
const DAMAGE: u16 = 2;
const CAPTURE: u16 = 3;
/// Events of a frame.
const DAMAGED: u16 = 1;
const READY: u16 = 3;
const FAILED: u16 = 4;
/// `wl_surface.damage_buffer`.
const DAMAGE_BUFFER: u16 = 9;

const CAPTURES: [&str; 2] =
    ["ext_image_copy_capture_manager_v1", "ext_foreign_toplevel_image_capture_source_manager_v1"];

/// A request that makes an object whose id comes first.
fn make(scene: &mut Scene, parent: Object, rest: &[u32]) -> Object {
    let app = scene.new_id();
    let args = rest.iter().fold(Args::new().u32(app), |args, word| args.u32(*word));
    scene.app.send(parent.app, 0, args);
    let compositor = scene.compositor.expect(parent.compositor, 0).word(0);
    Object { app, compositor }
}

/// A frame of a session of a window that the compositor lists.
fn frame(scene: &mut Scene) -> Object {
    let list = scene.bind("ext_foreign_toplevel_list_v1", 1);
    scene.compositor.send(list.compositor, 0, Args::new().u32(0xff00_0000));
    let handle = scene.app.expect(list.app, 0).word(0);
    let sources = scene.bind(CAPTURES[1], 1);
    let source = make(scene, sources, &[handle]);
    let manager = scene.bind(CAPTURES[0], 1);
    let session = make(scene, manager, &[source.app, 0]);
    make(scene, session, &[])
}

/// A buffer of 64 by 48 pixels in a pool that begins before it, all of whose bytes are 0x11.
fn buffer(scene: &mut Scene) -> (ClientPool, Buffer) {
    let pool = scene.client_pool(1024 + 64 * 48 * 4);
    pool.fill(0, 1024 + 64 * 48 * 4, 0x11);
    let buffer = scene.buffer(&pool, 1024, 64, 48);
    (pool, buffer)
}

/// The frame is asked for, in a buffer of which `damage` is out of date; and the compositor writes 0xaa to all of it.
fn capture(scene: &mut Scene, frame: Object, buffer: Buffer, damage: [i32; 4]) {
    scene.app.send(frame.app, ATTACH, Args::new().u32(buffer.object.app));
    assert_eq!(scene.compositor.expect(frame.compositor, ATTACH).word(0), buffer.object.compositor);
    scene.app.send(frame.app, DAMAGE, Args::new().i32s(&damage));
    scene.compositor.expect(frame.compositor, DAMAGE);
    scene.app.send(frame.app, CAPTURE, Args::new());
    scene.compositor.expect(frame.compositor, CAPTURE);
    scene.paint(buffer, 0xaa);
}

/// What is in the application's memory of a buffer.
fn own_pixels(pool: &ClientPool) -> Vec<u8> {
    let mut bytes = vec![0; 64 * 48 * 4];
    pool.file.read_exact_at(&mut bytes, 1024).unwrap();
    bytes
}

#[test]
fn what_captures_is_offered_with_a_region_alone() {
    for (mut scene, expected) in [(Scene::new(), true), (Scene::without_region(), false)] {
        let registry = scene.registry.compositor;
        scene.compositor.send(registry, 0, Args::new().u32(40).string("wl_output").u32(1));
        assert_eq!(scene.app.expect(2, 0).string(1), "wl_output", "nothing else comes before");
        let offered = |interface: &str| scene.globals.iter().any(|(offered, _)| offered == interface);
        assert_eq!(CAPTURES.map(offered), [expected; 2]);
    }
}

#[test]
fn the_promised_pixels_are_in_the_applications_memory_when_the_frame_is_ready() {
    let mut scene = Scene::new();
    let (pool, buffer) = buffer(&mut scene);
    let frame = frame(&mut scene);
    capture(&mut scene, frame, buffer, [0, 0, 4, 4]);
    for rect in [[10, 5, 20, 7], [60, 40, 4, 8]] {
        scene.compositor.send(frame.compositor, DAMAGED, Args::new().i32s(&rect));
        scene.app.expect(frame.app, DAMAGED);
    }
    assert_eq!(mask(&own_pixels(&pool), 0x11), vec![true; 64 * 48], "nothing is there before");
    scene.compositor.send(frame.compositor, READY, Args::new());
    scene.app.expect(frame.app, READY);
    let promised = rectangles(64, 48, &[[0, 0, 4, 4], [10, 5, 20, 7], [60, 40, 4, 8]]);
    let pixels = own_pixels(&pool);
    assert_eq!(mask(&pixels, 0xaa), promised);
    assert_eq!(mask(&pixels, 0x11), promised.iter().map(|there| !there).collect::<Vec<_>>());
    let mut before = [0; 1024];
    pool.file.read_exact_at(&mut before, 0).unwrap();
    assert_eq!(before, [0x11; 1024], "the buffer ends where it begins");
}

#[test]
fn a_frame_that_failed_changes_nothing() {
    let mut scene = Scene::new();
    let (pool, buffer) = buffer(&mut scene);
    let frame = frame(&mut scene);
    capture(&mut scene, frame, buffer, [0, 0, 64, 48]);
    scene.compositor.send(frame.compositor, FAILED, Args::new().u32(1));
    assert_eq!(scene.app.expect(frame.app, FAILED).word(0), 1);
    assert_eq!(mask(&own_pixels(&pool), 0x11), vec![true; 64 * 48]);
}

#[test]
fn memory_that_cannot_be_written_makes_the_frame_fail_and_hurts_nobody() {
    type Spoil = fn(&ClientPool);
    let spoil: [Spoil; 2] = [
        |pool| pool.file.set_len(2000).unwrap(),
        |pool| rustix::fs::fcntl_add_seals(&pool.file, SealFlags::WRITE).unwrap(),
    ];
    for spoil in spoil {
        let mut scene = Scene::new();
        let (pool, buffer) = buffer(&mut scene);
        let frame = frame(&mut scene);
        capture(&mut scene, frame, buffer, [0, 0, 64, 48]);
        spoil(&pool);
        let len = pool.file.metadata().unwrap().len();
        scene.compositor.send(frame.compositor, READY, Args::new());
        assert_eq!(scene.app.expect(frame.app, FAILED).word(0), 0);
        assert_eq!(pool.file.metadata().unwrap().len(), len);
        // The connection goes on.
        scene.surface();
    }
}

/// The compositor may write to the slot of a buffer until the frame has ended, whatever the application does with the buffer.
#[test]
fn a_slot_is_not_another_buffers_while_the_compositor_may_write_to_it() {
    let mut scene = Scene::new();
    let (pool, first) = buffer(&mut scene);
    let frame = frame(&mut scene);
    capture(&mut scene, frame, first, [0, 0, 64, 48]);
    scene.app.send(first.object.app, 0, Args::new());
    assert_eq!(scene.app.expect(1, 1).word(0), first.object.app, "for the application it is gone");
    let second = scene.buffer(&pool, 1024, 64, 48);
    assert_ne!(second.offset, first.offset);
    scene.app.send(frame.app, DESTROY, Args::new());
    scene.compositor.expect(frame.compositor, DESTROY);
    scene.compositor.expect(first.object.compositor, 0);
    scene.compositor.send(1, 1, Args::new().u32(first.object.compositor));
    scene.compositor.send(1, 1, Args::new().u32(frame.compositor));
    assert_eq!(scene.app.expect(1, 1).word(0), frame.app);
    let third = scene.buffer(&pool, 1024, 64, 48);
    assert_eq!(third.offset, first.offset, "now it is free");
}

/// The slot holds what the compositor wrote, and the commit would show it outside of its own damage.
#[test]
fn a_buffer_that_was_captured_into_is_copied_whole_when_it_is_shown_again() {
    let mut scene = Scene::new();
    let (pool, buffer) = buffer(&mut scene);
    let surface = scene.surface();
    scene.commit(surface, Some(buffer), &[(DAMAGE_BUFFER, [0, 0, 64, 48])]);
    let frame = frame(&mut scene);
    capture(&mut scene, frame, buffer, [0, 0, 1, 1]);
    // In between it is shown once more, and after that the compositor writes again.
    scene.commit(surface, Some(buffer), &[(DAMAGE_BUFFER, [0, 0, 1, 1])]);
    assert_eq!(mask(&scene.pixels(buffer), 0x11), vec![true; 64 * 48]);
    scene.paint(buffer, 0xaa);
    scene.compositor.send(frame.compositor, READY, Args::new());
    scene.app.expect(frame.app, READY);
    pool.fill(1024, 64 * 48 * 4, 0x22);
    scene.commit(surface, Some(buffer), &[(DAMAGE_BUFFER, [5, 5, 1, 1])]);
    assert_eq!(mask(&scene.pixels(buffer), 0x22), vec![true; 64 * 48]);
}
