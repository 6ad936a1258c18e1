//! The counters, which SIGUSR1 asks for.

use std::os::fd::AsFd as _;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use crate::program::{Lines, Machine, Running, check, end, own_command, single};
use crate::scene::{ARGB, GLOBALS, Scene};
use crate::wire::{Args, PATIENCE, Peer};

/// The number behind these words in a line.
#[track_caller]
fn number(line: &str, words: &str) -> u64 {
    let rest = line.split_once(words).unwrap_or_else(|| panic!("no `{words}`: {line}")).1;
    let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("no number behind `{words}`: {line}"))
}

fn report(forward: &Running, lines: &Lines) -> Vec<String> {
    kill_process(Pid::from_child(&forward.0), Signal::USR1).unwrap();
    lines.until("total, ")
}

#[test]
fn a_signal_logs_the_counters_of_each_connection_and_of_all() {
    let machine = Machine::new();
    let mut forward = machine.forward(&["--socket=apps"]);
    let lines = Lines::of(&mut forward);
    let (first, mut first_compositor) = machine.application("apps");
    let (second, mut second_compositor) = machine.application("apps");
    // Three requests of 12 bytes; and two events of 12, which arrive before the counters are asked for.
    for id in [2, 3, 4] {
        first.send(1, 0, Args::new().u32(id));
    }
    let callbacks: Vec<_> = (0..3).map(|_| first_compositor.expect(1, 0).word(0)).collect();
    let mut first = first;
    for (callback, id) in callbacks.iter().zip([2, 3]) {
        first_compositor.send(*callback, 0, Args::new().u32(0));
        first.expect(id, 0);
    }
    check(&second, &mut second_compositor, 2);
    let written = report(&forward, &lines);
    let one = written.iter().find(|line| line.contains("connection 1, ")).unwrap();
    assert!(one.contains(&format!("{}[{}]", own_command(), std::process::id())), "{one}");
    assert_eq!((number(one, "requests"), number(one, "events")), (3, 2), "{one}");
    assert!(one.contains("requests 3 (36 bytes), events 2 (24 bytes)"), "{one}");
    let two = written.iter().find(|line| line.contains("connection 2, ")).unwrap();
    assert_eq!((number(two, "requests"), number(two, "events")), (1, 0), "{two}");
    let total = written.last().unwrap();
    assert!(total.contains("2 of 2 connections open"), "{total}");
    assert_eq!((number(total, "requests"), number(total, "events")), (4, 2), "{total}");
    assert!(number(total, "resident") > 1 << 20, "{total}");
    // What a connection did stays in the sum when it is gone.
    drop((first, first_compositor));
    let total = loop {
        let total = report(&forward, &lines).pop().unwrap();
        if total.contains("1 of 2 connections open") {
            break total;
        }
    };
    assert_eq!(number(&total, "requests"), 4, "{total}");
    end(forward, lines);
}

/// An application that has drawn: a buffer of 16 by 8 pixels, committed twice, with 4 by 2 pixels damaged the second time.
fn draw(app: &mut Peer, compositor: &mut Peer) {
    app.send(1, 1, Args::new().u32(2));
    let registry = compositor.expect(1, 1).word(0);
    for (name, interface, version) in &GLOBALS[..2] {
        compositor.send(registry, 0, Args::new().u32(*name).string(interface).u32(*version));
        app.expect(2, 0);
    }
    app.send(2, 0, Args::new().u32(1).string("wl_compositor").u32(4).u32(3));
    app.send(2, 0, Args::new().u32(2).string("wl_shm").u32(1).u32(4));
    let file = rustix::fs::memfd_create(c"pool", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    rustix::fs::ftruncate(&file, 512).unwrap();
    app.send_fds(4, 0, &Args::new().u32(5).i32(512), &[file.as_fd()]);
    app.send(5, 0, Args::new().u32(6).i32s(&[0, 16, 8, 64]).u32(ARGB));
    app.send(3, 0, Args::new().u32(7));
    for damage in [[0, 0, 16, 8], [0, 0, 4, 2]] {
        app.send(7, 1, Args::new().u32(6).i32s(&[0, 0]));
        app.send(7, 9, Args::new().i32s(&damage));
        app.send(7, 6, Args::new());
    }
    // Each wl_surface.commit has opcode 6 and no arguments.
    let mut commits = 0;
    while commits < 2 {
        let message = compositor.next();
        commits += u32::from(message.opcode == 6 && message.body.is_empty());
    }
}

#[test]
fn pixels_are_counted_as_copied_and_as_sent_where_there_is_no_region() {
    let machine = Machine::new();
    let mut forward = machine.forward(&["--socket=apps", "--region=none"]);
    let lines = Lines::of(&mut forward);
    let (mut app, mut compositor) = machine.application("apps");
    draw(&mut app, &mut compositor);
    let written = report(&forward, &lines);
    let line = written.iter().find(|line| line.contains("connection 1, ")).unwrap();
    let copied = 16 * 8 * 4 + 4 * 2 * 4;
    assert_eq!(number(line, "pixels copied"), copied, "{line}");
    assert_eq!(number(line, "mirrors"), copied, "{line}");
    assert!(number(line, "buffers") >= 512, "{line}");
    assert_eq!(number(line, "open pipes"), 0, "{line}");
    end(forward, lines);
}

#[test]
fn pixels_in_a_region_are_not_sent() {
    let mut scene = Scene::new();
    let surface = scene.surface();
    let pool = scene.client_pool(4096);
    let buffer = scene.buffer(&pool, 0, 8, 8);
    scene.commit(surface, Some(buffer), &[(9, [0, 0, 8, 8])]);
    let counted = scene.counters.snapshot();
    assert_eq!((counted.copied_bytes, counted.mirror_bytes), (8 * 8 * 4, 0));
    assert!(counted.memory >= 256);
    let counters = scene.counters.clone();
    scene.end().unwrap();
    assert_eq!(counters.snapshot().copied_bytes, 8 * 8 * 4);
}

/// The application asks for a sign, and `wl-forward` has waited for something to do since.
fn sync(scene: &mut Scene) {
    for _ in 0..2 {
        let id = scene.new_id();
        scene.app.send(1, 0, Args::new().u32(id));
        scene.compositor.expect(1, 0);
    }
}

#[test]
fn a_pipe_is_counted_as_long_as_it_is_open() {
    let mut scene = Scene::new();
    let manager = scene.bind("wl_data_device_manager", 3);
    let source = scene.create(manager, 0, Args::new());
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    scene.compositor.send_fds(source.compositor, 1, &Args::new().string("text/plain"), &[writer.as_fd()]);
    drop(writer);
    while scene.app.next().object != source.app {}
    sync(&mut scene);
    assert_eq!(scene.counters.open_pipes.get(), 1);
    drop((scene.app.fd(), reader));
    let deadline = Instant::now() + PATIENCE;
    while scene.counters.open_pipes.get() > 0 {
        assert!(Instant::now() < deadline, "the pipe is still counted");
        sync(&mut scene);
    }
}

#[test]
fn a_single_application_has_counters_too_and_other_signals_end_it() {
    let machine = Machine::new();
    let (mut forward, app, mut compositor) = single(&machine);
    let lines = Lines::of(&mut forward);
    check(&app, &mut compositor, 2);
    let written = report(&forward, &lines);
    assert!(written.iter().any(|line| line.contains("connection 1, ") && number(line, "requests") == 1));
    kill_process(Pid::from_child(&forward.0), Signal::TERM).unwrap();
    assert_eq!(forward.code(), None);
}
