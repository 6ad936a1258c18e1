//! What a hostile client tries ends that client, and nothing else.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use vitrail::trust::client::Privilege;
use vitrail::trust::limits::Resource;
use wayland_client::protocol::wl_compositor::WlCompositor;
use wayland_client::protocol::wl_shm::{Format, WlShm};

use crate::fixture::{Fixture, Who, vm};

const BLUE: [u8; 4] = [0, 0, 255, 255];

/// Waits for the end of a client, and checks that another one is still served.
#[track_caller]
fn ends(fixture: &mut Fixture, who: Who, interface: &str) {
    fixture.wait("the end of the connection", |fixture| fixture.client(who).ended());
    let (of, _) = fixture.client(who).error().expect("a protocol error");
    assert_eq!(of, interface);
    let other = fixture.connect(vm("web"));
    fixture.window(other, 100, 50, BLUE);
}

#[test]
fn resizing_a_pool_to_nothing_or_less_ends_the_client_alone() {
    for size in [0, -1, i32::MIN, 100] {
        let mut fixture = Fixture::new();
        let client = fixture.connect(vm("work"));
        fixture.client(client).pool(&[0; 4096], 4096).resize(size);
        ends(&mut fixture, client, "wl_shm_pool");
    }
}

#[test]
fn a_pool_larger_than_its_memory_ends_the_client() {
    for (bytes, size) in [(4096, 4097), (0, 65536), (64, i32::MAX), (4096, 0), (4096, -5)] {
        let mut fixture = Fixture::new();
        let client = fixture.connect(vm("work"));
        fixture.client(client).pool(&vec![0; bytes], size);
        ends(&mut fixture, client, "wl_shm");
    }
}

#[test]
fn memory_that_is_cut_off_after_it_was_attached_ends_the_client_and_costs_no_other_window() {
    use std::os::fd::AsFd;
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let other = fixture.connect(vm("web"));
    fixture.window(other, 200, 50, BLUE);
    let client = fixture.connect(vm("work"));
    let window = fixture.client(client).create_window();
    fixture.configured(client, window, 0);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&vec![255; 200 * 100 * 4]).unwrap();
    {
        let client = fixture.client(client);
        let pool = client.bind::<WlShm>().create_pool(file.as_fd(), 80_000, &client.queue, ());
        let buffer = pool.create_buffer(0, 200, 100, 800, Format::Argb8888, &client.queue, ());
        client.told.shown[window].surface.attach(Some(&buffer), 0, 0);
        client.told.shown[window].surface.commit();
    }
    fixture.configured(client, window, 1);
    file.set_len(0).unwrap();
    let screen = fixture.screenshot();
    let web = fixture.report().into_iter().find(|window| window.vm == "web").unwrap();
    screen.assert_solid("the other window", BLUE, web.content);
    fixture.wait("the end of the connection", |fixture| fixture.client(client).ended());
    fixture.roundtrip(other);
    assert_eq!(fixture.report().len(), 1);
}

/// Requests as fast as they are taken, until told to stop or refused. Returns whether it was told.
fn flood(mut stream: &UnixStream, stop: &AtomicBool) -> bool {
    let mut pending: Vec<u8> = Vec::new();
    let mut answers = vec![0; 1 << 16];
    // wl_display.sync, with ever new objects.
    let mut id = 2_u32;
    while !stop.load(Ordering::Relaxed) {
        if pending.is_empty() {
            for _ in 0..500 {
                pending.extend([1_u32, 12 << 16, id].into_iter().flat_map(u32::to_ne_bytes));
                id += 1;
            }
        }
        let idle = |error: &std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
        match stream.write(&pending) {
            Ok(count) => drop(pending.drain(..count)),
            Err(error) if idle(&error) => {}
            Err(_) => return false,
        }
        while let Ok(1..) = stream.read(&mut answers) {}
    }
    true
}

#[test]
fn a_flood_of_one_client_does_not_starve_another() {
    let mut fixture = Fixture::new();
    let (theirs, ours) = UnixStream::pair().unwrap();
    fixture.state().accept(theirs, vm("work"), Privilege::Ordinary).unwrap();
    ours.set_nonblocking(true).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let flooding = scope.spawn(|| flood(&ours, &stop));
        // The flood ends only after this, so if it were served first this would wait for ever. A failure must
        // not leave the flood running.
        let served = catch_unwind(AssertUnwindSafe(|| {
            let client = fixture.connect(vm("web"));
            fixture.window(client, 100, 50, BLUE);
            for _ in 0..20 {
                fixture.roundtrip(client);
            }
        }));
        stop.store(true, Ordering::Relaxed);
        assert!(flooding.join().unwrap(), "the flood went on all the time");
        assert!(served.is_ok(), "the other client was served meanwhile");
    });
}

#[test]
fn a_client_that_never_reads_is_ended() {
    let mut fixture = Fixture::new();
    let (theirs, mut silent) = UnixStream::pair().unwrap();
    fixture.state().accept(theirs, vm("work"), Privilege::Ordinary).unwrap();
    silent.set_nonblocking(true).unwrap();
    let account = fixture.state().comp.accounts.get(&vm("work")).unwrap().clone();
    assert_eq!(account.used(Resource::Clients), 1);
    let mut id = 2_u32;
    let mut pending: Vec<u8> = Vec::new();
    fixture.wait("the end of the connection", |fixture| {
        if pending.is_empty() {
            for _ in 0..500 {
                pending.extend([1_u32, 12 << 16, id].into_iter().flat_map(u32::to_ne_bytes));
                id += 1;
            }
        }
        match silent.write(&pending) {
            Ok(count) => drop(pending.drain(..count)),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return account.used(Resource::Clients) == 0,
        }
        fixture.turn();
        account.used(Resource::Clients) == 0
    });
}

#[test]
fn objects_over_the_limit_end_the_client_and_are_given_back() {
    let mut fixture = Fixture::new();
    let client = fixture.connect(vm("work"));
    for _ in 0..13 {
        fixture.client(client).surface();
    }
    ends(&mut fixture, client, "wl_display");
    let account = fixture.state().comp.accounts.get(&vm("work")).unwrap().clone();
    fixture.wait("the surfaces to be given back", |_| account.used(Resource::Surfaces) == 0);

    let client = fixture.connect(vm("work"));
    for _ in 0..4 {
        fixture.client(client).create_window();
    }
    fixture.wait("the end of the connection", |fixture| fixture.client(client).ended());

    let client = fixture.connect(vm("work"));
    for _ in 0..4 {
        fixture.client(client).pool(&[0; 64], 64);
    }
    fixture.wait("the end of the connection", |fixture| fixture.client(client).ended());

    let client = fixture.connect(vm("work"));
    let big = vec![0; 5 << 20];
    for _ in 0..2 {
        let drawing = fixture.client(client);
        let pool = drawing.pool(&big, 5 << 20);
        pool.create_buffer(0, 1024, 1280, 4096, Format::Argb8888, &drawing.queue, ());
    }
    fixture.wait("the end of the connection", |fixture| fixture.client(client).ended());
    let all =
        [Resource::Clients, Resource::Surfaces, Resource::Toplevels, Resource::Pools, Resource::Buffers];
    fixture.wait("everything to be given back", |_| {
        account.memory() == 0 && all.iter().all(|what| account.used(*what) == 0)
    });
}

#[test]
fn more_clients_than_allowed_are_refused() {
    let mut fixture = Fixture::new();
    let mut kept = Vec::new();
    for _ in 0..4 {
        let (theirs, ours) = UnixStream::pair().unwrap();
        fixture.state().accept(theirs, vm("work"), Privilege::Ordinary).unwrap();
        kept.push(ours);
    }
    let (theirs, _ours) = UnixStream::pair().unwrap();
    assert!(fixture.state().accept(theirs, vm("work"), Privilege::Ordinary).is_err());
    fixture.connect(vm("web"));
    kept.pop();
    let account = fixture.state().comp.accounts.get(&vm("work")).unwrap().clone();
    fixture.wait("the place", |_| account.used(Resource::Clients) == 3);
}

#[test]
fn subsurfaces_nested_too_deep_end_the_client_from_either_end() {
    for upwards in [false, true] {
        let mut fixture = Fixture::new();
        let client = fixture.connect(vm("work"));
        let surfaces: Vec<_> = (0..6).map(|_| fixture.client(client).surface()).collect();
        let subcompositor: wayland_client::protocol::wl_subcompositor::WlSubcompositor =
            fixture.client(client).bind();
        let queue = fixture.client(client).queue.clone();
        let mut joins: Vec<_> = surfaces.windows(2).collect();
        if upwards {
            joins.reverse();
        }
        for pair in joins {
            subcompositor.get_subsurface(&pair[1], &pair[0], &queue, ());
        }
        ends(&mut fixture, client, "wl_display");
    }
}

#[test]
fn negative_sizes_end_the_client_or_mean_nothing() {
    for case in 0..4 {
        let mut fixture = Fixture::new();
        let client = fixture.connect(vm("work"));
        let window = fixture.window(client, 200, 50, BLUE);
        let drawing = fixture.client(client);
        let shown = &drawing.told.shown[window];
        let toplevel = shown.toplevel.as_ref().unwrap();
        let interface = match case {
            0 => {
                toplevel.set_max_size(-1, 5);
                "xdg_toplevel"
            }
            1 => {
                toplevel.set_min_size(5, i32::MIN);
                "xdg_toplevel"
            }
            2 => {
                shown.xdg.set_window_geometry(0, 0, -10, 20);
                "xdg_surface"
            }
            _ => {
                let region = drawing.bind::<WlCompositor>().create_region(&drawing.queue, ());
                region.add(0, 0, -5, i32::MIN);
                region.subtract(i32::MAX, i32::MAX, i32::MAX, i32::MAX);
                shown.surface.set_input_region(Some(&region));
                shown.surface.commit();
                shown.surface.set_buffer_scale(i32::MAX);
                "wl_surface"
            }
        };
        ends(&mut fixture, client, interface);
    }
}

#[test]
fn numbers_that_overflow_end_the_client_or_are_cut() {
    let mut fixture = Fixture::sized(800, 600, 1.5);
    let client = fixture.connect(vm("web"));
    let window = fixture.window(client, 100, 50, BLUE);
    let surface = fixture.client(client).told.shown[window].surface.clone();
    surface.set_buffer_scale(2);
    // What honest clients send to say "everything".
    for (x, y, w, h) in [(0, 0, i32::MAX, i32::MAX), (i32::MIN, i32::MIN, i32::MAX, i32::MAX), (5, 5, -1, -1)]
    {
        surface.damage(x, y, w, h);
        surface.damage_buffer(x, y, w, h);
    }
    for _ in 0..5000 {
        surface.damage(1, 1, 1, 1);
    }
    fixture.client(client).draw(window, 100, 50, BLUE);
    fixture.roundtrip(client);
    fixture.screenshot();
    assert!(!fixture.client(client).ended());

    let (_, role) = fixture.client(client).subsurface(&surface);
    role.set_position(i32::MAX, i32::MIN);
    ends(&mut fixture, client, "wl_display");
}
