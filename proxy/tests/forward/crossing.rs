//! What crosses besides pixels: globals, descriptors, errors and the end.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt as _;
use std::thread;

use rustix::fs::{MemfdFlags, SealFlags};

use crate::scene::{GLOBALS, Object, Scene};
use crate::wire::Args;

#[test]
fn globals_that_cannot_cross_or_are_unknown_are_hidden_and_versions_are_capped() {
    let globals = Scene::new().globals;
    assert_eq!(globals.len(), GLOBALS.len() - 2);
    assert!(!globals.iter().any(|(name, _)| name.contains("dmabuf") || name.contains("future")));
    let seat = globals.iter().find(|(name, _)| name == "wl_seat").unwrap();
    assert!((8..99).contains(&seat.1), "{seat:?}");
}

#[test]
fn a_hidden_global_cannot_be_bound_by_guessing_its_name() {
    let mut scene = Scene::new();
    let app = scene.new_id();
    scene.app.send(2, 0, Args::new().u32(6).string("zwp_linux_dmabuf_v1").u32(4).u32(app));
    let (object, code, message) = scene.error();
    assert_eq!((object, code), (2, 0), "{message}");
    assert!(scene.end().is_err());
}

#[test]
fn a_global_that_goes_away_is_announced_only_if_its_coming_was() {
    let mut scene = Scene::new();
    let registry = scene.registry.compositor;
    scene.compositor.send(registry, 1, Args::new().u32(6));
    scene.compositor.send(registry, 1, Args::new().u32(5));
    assert_eq!(scene.app.expect(2, 1).word(0), 5);
}

/// A keyboard, as both ends know it.
fn keyboard(scene: &mut Scene) -> Object {
    let seat = scene.bind("wl_seat", 7);
    scene.create(seat, 1, Args::new())
}

#[test]
fn a_sealed_keymap_crosses() {
    let mut scene = Scene::new();
    let keyboard = keyboard(&mut scene);
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let keymap: File = rustix::fs::memfd_create(c"keymap", flags).unwrap().into();
    let content: Vec<u8> = (0..60_000_u32).map(|i| (i % 251).to_le_bytes()[0]).collect();
    keymap.write_all_at(&content, 0).unwrap();
    rustix::fs::fcntl_add_seals(&keymap, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW).unwrap();
    scene.compositor.send_fds(keyboard.compositor, 0, &Args::new().u32(1).u32(60_000), &[keymap.as_fd()]);
    while scene.app.next().object != keyboard.app {}
    let received: File = scene.app.fd().into();
    let mut copy = vec![0; content.len()];
    received.read_exact_at(&mut copy, 0).unwrap();
    assert!(copy == content);
}

/// Compositors that have no sealed memory give each client the same file, opened for reading alone.
#[test]
fn a_keymap_in_a_read_only_file_crosses_and_cannot_be_changed() {
    let mut scene = Scene::new();
    let keyboard = keyboard(&mut scene);
    let folder = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..60_001_u32).map(|i| (i % 241).to_le_bytes()[0]).collect();
    std::fs::write(folder.path().join("keymap"), &content).unwrap();
    let keymap = File::open(folder.path().join("keymap")).unwrap();
    scene.compositor.send_fds(keyboard.compositor, 0, &Args::new().u32(1).u32(60_001), &[keymap.as_fd()]);
    while scene.app.next().object != keyboard.app {}
    let received: File = scene.app.fd().into();
    assert_eq!(received.metadata().unwrap().len(), 60_001);
    let mut copy = vec![0; content.len()];
    received.read_exact_at(&mut copy, 0).unwrap();
    assert!(copy == content);
    assert!(received.write_all_at(b"x", 0).is_err() && received.set_len(0).is_err());
}

#[test]
fn a_hundred_keymaps_in_one_burst_arrive_in_their_order() {
    let mut scene = Scene::new();
    let keyboard = keyboard(&mut scene);
    for number in 0..100_u32 {
        let keymap: File = rustix::fs::memfd_create(c"keymap", MemfdFlags::ALLOW_SEALING).unwrap().into();
        keymap.write_all_at(&number.to_ne_bytes(), 0).unwrap();
        rustix::fs::fcntl_add_seals(&keymap, SealFlags::WRITE | SealFlags::SHRINK).unwrap();
        scene.compositor.send_fds(keyboard.compositor, 0, &Args::new().u32(1).u32(number), &[keymap.as_fd()]);
    }
    let mut seen = 0;
    while seen < 100 {
        let message = scene.app.next();
        if message.object == keyboard.app {
            assert_eq!(message.word(1), seen);
            let mut number = [0; 4];
            File::from(scene.app.fd()).read_exact_at(&mut number, 0).unwrap();
            assert_eq!(u32::from_ne_bytes(number), seen);
            seen += 1;
        }
    }
}

/// A data source of the application.
fn data_source(scene: &mut Scene) -> Object {
    let manager = scene.bind("wl_data_device_manager", 3);
    scene.create(manager, 0, Args::new())
}

#[test]
fn messages_of_every_length_cross_unchanged_both_ways() {
    /// The longest string of a message of 4096 bytes.
    const LONGEST: usize = 4083;
    let mut scene = Scene::new();
    let source = data_source(&mut scene);
    let text: String = ('a'..='z').cycle().take(LONGEST).collect();
    for len in 0..=LONGEST {
        scene.app.send(source.app, 0, Args::new().string(&text[..len]));
        scene.compositor.send(source.compositor, 0, Args::new().string(&text[..len]));
        assert_eq!(scene.compositor.expect(source.compositor, 0).string(0), text[..len]);
        assert_eq!(scene.app.expect(source.app, 0).string(0), text[..len]);
    }
}

/// The application is asked for its clipboard, answers with `len` bytes and goes away at once if `leave` is
/// set. What arrives.
fn paste(len: usize, leave: bool) -> Vec<u8> {
    let mut scene = Scene::new();
    let source = data_source(&mut scene);
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    scene.compositor.send_fds(source.compositor, 1, &Args::new().string("text/plain"), &[writer.as_fd()]);
    drop(writer);
    while scene.app.next().object != source.app {}
    let mut pipe = File::from(scene.app.fd());
    let app = thread::spawn(move || {
        let content: Vec<u8> = (0..len).map(|i| (i % 253).to_le_bytes()[0]).collect();
        pipe.write_all(&content).unwrap();
        drop(pipe);
        if leave {
            drop(scene.app);
            drop(scene.compositor);
        } else {
            thread::park();
        }
    });
    let mut received = Vec::new();
    File::from(reader).read_to_end(&mut received).unwrap();
    app.thread().unpark();
    app.join().unwrap();
    received
}

#[test]
fn ten_mebibytes_are_pasted_without_a_byte_missing() {
    let received = paste(10 << 20, false);
    assert_eq!(received.len(), 10 << 20);
    assert!(received.iter().enumerate().all(|(i, byte)| *byte == (i % 253).to_le_bytes()[0]));
}

#[test]
fn an_empty_clipboard_is_pasted_as_such() {
    assert_eq!(paste(0, false).len(), 0);
}

#[test]
fn what_an_application_pasted_before_it_left_arrives() {
    assert_eq!(paste(300_000, true).len(), 300_000);
}

#[test]
fn requests_that_an_application_sent_before_it_left_arrive() {
    let mut scene = Scene::new();
    let surface = scene.surface();
    for _ in 0..1000 {
        scene.app.send(surface.app, 6, Args::new());
    }
    let app = scene.app.stream().try_clone().unwrap();
    app.shutdown(std::net::Shutdown::Both).unwrap();
    for _ in 0..1000 {
        scene.compositor.expect(surface.compositor, 6);
    }
    assert_eq!(scene.compositor.try_next(), None);
    scene.end().unwrap();
}

#[test]
fn an_error_of_the_compositor_reaches_the_application_in_its_own_terms() {
    let mut scene = Scene::new();
    let surface = scene.surface();
    scene.compositor.send(1, 0, Args::new().u32(surface.compositor).u32(3).string("no such offset"));
    assert_eq!(scene.error(), (surface.app, 3, "no such offset".to_owned()));
    let error = scene.end().unwrap_err().to_string();
    assert!(error.contains("wl_surface") && error.contains("no such offset"), "{error}");
}

#[test]
fn an_error_on_an_object_that_the_application_does_not_know_is_one_of_the_display() {
    let mut scene = Scene::new();
    let pool = scene.client_pool(4096);
    scene.buffer(&pool, 0, 4, 4);
    scene.compositor.send(1, 0, Args::new().u32(scene.pool).u32(2).string("cannot map"));
    assert_eq!(scene.error(), (1, 3, "cannot map".to_owned()));
}

#[test]
fn a_compositor_that_goes_away_takes_the_connection_along_in_order() {
    let mut scene = Scene::new();
    let stream = scene.compositor.stream().try_clone().unwrap();
    stream.shutdown(std::net::Shutdown::Both).unwrap();
    while scene.app.try_next().is_some() {}
    scene.end().unwrap();
}

/// The peer takes 128 pipes at a time. An application that pasted more at once lost its connection, without an error.
#[test]
fn of_two_hundred_pastes_at_once_some_fail_and_the_application_goes_on() {
    let mut scene = Scene::new();
    let seat = scene.bind("wl_seat", 9);
    let manager = scene.bind("wl_data_device_manager", 3);
    const OFFER: u32 = 0xff00_0000;
    let app = scene.new_id();
    scene.app.send(manager.app, 1, Args::new().u32(app).u32(seat.app));
    let device = Object { app, compositor: scene.compositor.expect(manager.compositor, 1).word(0) };
    scene.compositor.send(device.compositor, 0, Args::new().u32(OFFER));
    while scene.app.next().object != device.app {}
    let readers: Vec<File> = (0..200)
        .map(|_| {
            let (reader, writer) = rustix::pipe::pipe().unwrap();
            scene.app.send_fds(OFFER, 1, &Args::new().string("text/plain"), &[writer.as_fd()]);
            reader.into()
        })
        .collect();
    for _ in &readers {
        scene.compositor.expect(OFFER, 1);
    }
    assert_eq!(scene.compositor.fds.len(), readers.len());
    // All of them are open until the last one has arrived.
    for (number, writer) in scene.compositor.fds.drain(..).enumerate() {
        // One that is closed already is a broken pipe.
        let _ = File::from(writer).write_all(number.to_string().as_bytes());
    }
    let mut pasted = 0;
    for (number, mut reader) in readers.into_iter().enumerate() {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert!(text.is_empty() || text == number.to_string(), "{text}");
        pasted += usize::from(!text.is_empty());
    }
    assert_eq!(pasted, 100);
    let surface = scene.surface();
    scene.app.send(surface.app, 6, Args::new());
    scene.compositor.expect(surface.compositor, 6);
    scene.end().unwrap();
}
