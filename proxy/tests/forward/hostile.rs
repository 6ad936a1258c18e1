//! Applications and compositors that do what they must not: only their own connection may suffer.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use rustix::event::PollFlags;
use rustix::fs::MemfdFlags;
use virtio_wl::{Role, Socket, SocketOptions};
use vitrail_proxy::forward::serve::{Observer, Resources, serve};

use crate::scene::{Scene, mask};
use crate::wire::{Args, PATIENCE, encode, wait};

const INVALID_STRIDE: u32 = 1;
const INVALID_FD: u32 = 2;
const NO_MEMORY: u32 = 2;

#[test]
fn a_file_that_became_shorter_ends_only_the_connection_of_its_owner() {
    let mut scene = Scene::new();
    let surface = scene.surface();
    let pool = scene.client_pool(64 * 64 * 4);
    let buffer = scene.buffer(&pool, 0, 64, 64);
    pool.file.set_len(4096).unwrap();
    scene.app.send(surface.app, 1, Args::new().u32(buffer.object.app).i32s(&[0, 0]));
    scene.app.send(surface.app, 6, Args::new());
    let (object, code, message) = scene.error();
    assert_eq!((object, code), (buffer.object.app, INVALID_FD), "{message}");
}

#[test]
fn buffers_outside_their_pool_are_refused_as_libwayland_does() {
    for shape in
        [[0, 64, 64, 252], [1, 64, 64, 256], [0, 64, 65, 256], [-4, 4, 4, 16], [0, 0, 4, 16], [0, 4, -1, 16]]
    {
        let mut scene = Scene::new();
        let pool = scene.client_pool(64 * 64 * 4);
        let pool_id = pool.id;
        scene.request_buffer(pool_id, shape);
        if shape[3] == 252 {
            // A stride that is too short for the format, but not for the width, is the compositor's to judge.
            scene.compositor.expect(scene.shm.compositor, 0);
            continue;
        }
        let (object, code, message) = scene.error();
        assert_eq!((object, code), (pool_id, INVALID_STRIDE), "{shape:?}: {message}");
    }
}

#[test]
fn pools_of_no_size_and_of_no_file_are_refused() {
    let mut scene = Scene::new();
    let fd = rustix::fs::memfd_create(c"pool", MemfdFlags::CLOEXEC).unwrap();
    scene.shm = scene.bind("wl_shm", 2);
    scene.create_pool(fd.as_fd(), 0);
    assert_eq!(scene.error().1, INVALID_STRIDE);

    let mut scene = Scene::new();
    let (pipe, _writer) = rustix::pipe::pipe().unwrap();
    scene.shm = scene.bind("wl_shm", 2);
    scene.create_pool(pipe.as_fd(), 4096);
    assert_eq!(scene.error().1, INVALID_FD);
}

#[test]
fn a_pool_grows_but_never_shrinks() {
    let mut scene = Scene::new();
    let pool = scene.client_pool(4096);
    pool.file.set_len(64 * 64 * 4).unwrap();
    scene.app.send(pool.id, 2, Args::new().i32(64 * 64 * 4));
    let surface = scene.surface();
    let buffer = scene.buffer(&pool, 0, 64, 64);
    pool.fill(0, 64 * 64 * 4, 0x55);
    scene.commit(surface, Some(buffer), &[]);
    assert!(mask(&scene.pixels(buffer), 0x55).iter().all(|pixel| *pixel));
    scene.app.send(pool.id, 2, Args::new().i32(4096));
    let (object, code, message) = scene.error();
    assert_eq!((object, code), (pool.id, INVALID_FD), "{message}");
}

#[test]
fn a_region_that_is_full_is_an_error_for_the_application_that_asked() {
    let mut scene = Scene::new();
    let pool = scene.client_pool(1024 * 1024 * 4);
    scene.request_buffer(pool.id, [0, 1024, 1024, 4096]);
    let (object, code, message) = scene.error();
    assert_eq!((object, code), (1, NO_MEMORY), "{message}");
}

#[test]
fn garbage_ends_the_connection_with_an_error() {
    let mut garbage = vec![
        // A message to an object that does not exist, one that is too short, and one with an opcode too many.
        encode(4711, 0, &Args::new()),
        [1_u32.to_ne_bytes(), (4_u32 << 16).to_ne_bytes()].concat(),
        encode(1, 77, &Args::new()),
        vec![0xff; 4096],
    ];
    for bytes in garbage.drain(..) {
        let mut scene = Scene::new();
        scene.app.send_raw(&bytes, &[]);
        assert_eq!(scene.error().0, 1);
        assert!(scene.end().is_err());
    }
}

#[test]
fn an_application_that_dies_within_a_message_is_gone_in_order() {
    let scene = Scene::new();
    let message = encode(1, 0, &Args::new().u32(9));
    scene.app.send_raw(&message[..7], &[]);
    scene.end().unwrap();
}

#[test]
fn a_descriptor_too_few_ends_the_connection() {
    let mut scene = Scene::new();
    let shm = scene.bind("wl_shm", 2);
    scene.app.send(shm.app, 0, Args::new().u32(90).i32(4096));
    assert_eq!(scene.error().0, 1);
}

#[test]
fn what_is_sent_to_an_application_that_never_reads_stops_at_a_bound() {
    let scene = Scene::new();
    scene.compositor.stream().set_nonblocking(true).unwrap();
    let event =
        encode(scene.registry.compositor, 0, &Args::new().u32(3).string("wp_viewporter").u32(1)).repeat(1000);
    let mut sent = 0;
    // Until nothing was taken for a second: the application's queue, one turn, the stream, and no more.
    while wait(scene.compositor.stream().as_fd(), PollFlags::OUT, std::time::Duration::from_secs(1)) {
        sent += std::io::Write::write(&mut scene.compositor.stream(), &event).unwrap_or(0);
        assert!(sent < 16 << 20, "{sent} bytes wait for an application that does not read");
    }
    scene.end().unwrap();
}

#[test]
fn a_flood_of_requests_stops_at_a_bound_while_the_compositor_does_not_read() {
    let mut scene = Scene::new();
    let surface = scene.surface();
    scene.app.stream().set_nonblocking(true).unwrap();
    let request = encode(surface.app, 6, &Args::new()).repeat(1000);
    let mut sent = 0;
    while wait(scene.app.stream().as_fd(), PollFlags::OUT, std::time::Duration::from_secs(1)) {
        sent += std::io::Write::write(&mut scene.app.stream(), &request).unwrap_or(0);
        assert!(sent < 16 << 20, "{sent} bytes wait for a compositor that does not read");
    }
    // All of it arrives when it reads again.
    for _ in 0..sent / 8 {
        scene.compositor.expect(surface.compositor, 6);
    }
}

#[test]
fn a_buffer_destroyed_between_attach_and_commit_harms_nobody() {
    let mut scene = Scene::new();
    let surface = scene.surface();
    let pool = scene.client_pool(32 * 32 * 4);
    let buffer = scene.buffer(&pool, 0, 32, 32);
    scene.app.send(surface.app, 1, Args::new().u32(buffer.object.app).i32s(&[0, 0]));
    scene.app.send(buffer.object.app, 0, Args::new());
    scene.app.send(surface.app, 6, Args::new());
    scene.compositor.expect(surface.compositor, 1);
    scene.compositor.expect(buffer.object.compositor, 0);
    scene.compositor.expect(surface.compositor, 6);
    // So is a surface with a pending buffer, and damage without end.
    let other = scene.buffer(&pool, 0, 32, 32);
    scene.app.send(surface.app, 1, Args::new().u32(other.object.app).i32s(&[0, 0]));
    scene.app.send(surface.app, 2, Args::new().i32s(&[i32::MIN, i32::MIN, i32::MAX, i32::MAX]));
    scene.app.send(surface.app, 9, Args::new().i32s(&[-1, -1, -1, -1]));
    scene.app.send(surface.app, 0, Args::new());
    for opcode in [1, 2, 9, 0] {
        scene.compositor.expect(surface.compositor, opcode);
    }
    scene.end().unwrap();
}

#[test]
fn a_peer_that_does_not_answer_the_end_is_waited_for_a_while_and_without_turning() {
    use std::time::{Duration, Instant};

    let (app, app_inner) = UnixStream::pair().unwrap();
    let (upstream, gate) = UnixStream::pair().unwrap();
    let forward = std::thread::spawn(move || {
        serve(app_inner.into(), upstream.into(), false, &Resources::default(), &Observer::default())
    });
    let mut gate = Socket::new(gate.into(), Role::Acceptor, SocketOptions::default()).unwrap();
    while !gate.is_open() {
        assert!(wait(gate.as_fd(), PollFlags::IN, PATIENCE));
        gate.dispatch().unwrap();
    }
    let begin = Instant::now();
    drop(app);
    // The gate neither reads nor closes.
    forward.join().unwrap().unwrap();
    let took = begin.elapsed();
    drop(gate);
    assert!(took >= Duration::from_secs(9) && took < Duration::from_secs(25), "{took:?}");
}
