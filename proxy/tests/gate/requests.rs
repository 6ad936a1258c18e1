//! Requests that no compositor should have to look at.

use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::client::{Client, memory};
use crate::compositor::{FIRST_SERVER_ID, global_name};
use crate::wire::{Message, Received};
use crate::{Vm, breach, expect};

use vitrail_protocols::Limits;
use vitrail_proxy::gate::control::{self, Order};

const NO_SUCH_GLOBAL: &str = "vitrail-gate: there is no such global";

#[test]
fn a_vm_sees_allowed_globals_in_known_versions_only() {
    let vm = Vm::new(Limits::default());
    let (mut client, _) = vm.connect();
    let globals: Vec<_> = client.globals().into_iter().map(|(_, name, version)| (name, version)).collect();
    let expected = [
        ("wl_compositor", 6),
        ("wl_shm", 2),
        ("wl_subcompositor", 1),
        ("xdg_wm_base", 6),
        ("wl_data_device_manager", 3),
        ("wp_viewporter", 1),
        ("wl_seat", 9),
        ("zwp_tablet_manager_v2", 1),
        ("zwp_text_input_manager_v3", 1),
        ("wp_single_pixel_buffer_manager_v1", 1),
    ];
    assert_eq!(globals, expected.map(|(name, version)| (name.to_owned(), version)));
}

#[test]
fn withheld_and_missing_globals_have_the_same_answer() {
    let bind = |name: u32, interface: &'static str, version: u32| {
        expect(("wl_registry.0", 0), 0, NO_SUCH_GLOBAL, move |client, _| {
            client.round_trip();
            client.bind_raw(name, interface, version, 77);
        });
    };
    bind(global_name("zwlr_layer_shell_v1"), "zwlr_layer_shell_v1", 1);
    bind(4000, "zwlr_layer_shell_v1", 1);
    bind(4000, "wl_compositor", 1);
}

#[test]
fn a_bind_of_another_interface_or_version_is_refused() {
    let bind = |interface: &'static str, version: u32| {
        expect(("wl_registry.0", 0), 0, NO_SUCH_GLOBAL, move |client, _| {
            client.round_trip();
            client.bind_raw(global_name("xdg_wm_base"), interface, version, 77);
        });
    };
    bind("wl_output", 1);
    bind("xdg_wm_base", 7);
    bind("xdg_wm_base", 0);
}

#[test]
fn a_bind_of_an_interface_that_nobody_knows_is_refused() {
    let error = breach(Limits::default(), ("wl_registry.0", 0), |client, _| {
        client.round_trip();
        client.bind_raw(global_name("brand_new_manager_v9"), "brand_new_manager_v9", 1, 77);
    });
    assert_eq!(error.object, 1);
}

#[test]
fn pools_of_impossible_sizes_are_refused() {
    let pool = |size: i32, code: u32, text: &str| {
        expect(("wl_shm.0", 0), code, text, move |client, _| {
            client.pool(memory(4096), size);
        });
    };
    pool(0, 1, "vitrail-gate: a pool of 0 bytes is impossible");
    pool(-1, 1, "vitrail-gate: a pool of -1 bytes is impossible");
    pool(8192, 2, "vitrail-gate: a pool of 8192 bytes is larger than its memory of 4096");
}

#[test]
fn a_pool_of_a_pipe_is_refused() {
    let text = "vitrail-gate: a pool is made of the VM's region or of mirrored memory, nothing else";
    expect(("wl_shm.0", 0), 2, text, |client, _| {
        let (read, _write) = rustix::pipe::pipe().unwrap();
        client.pool(read, 4096);
    });
}

#[test]
fn pools_cannot_vanish_shrink_or_outgrow_their_memory() {
    let resize = |size: i32, code: u32, text: &str| {
        expect(("wl_shm_pool.2", 0), code, text, move |client, _| {
            let pool = client.pool(memory(8192), 4096);
            client.send(Message::new(pool, 2).int(size));
        });
    };
    resize(0, 1, "vitrail-gate: a pool of 0 bytes is impossible");
    resize(-1, 1, "vitrail-gate: a pool of -1 bytes is impossible");
    resize(i32::MIN, 1, "vitrail-gate: a pool of -2147483648 bytes is impossible");
    resize(4095, 1, "vitrail-gate: a pool of 4096 bytes cannot shrink to 4095");
    resize(8193, 2, "vitrail-gate: a pool of 8193 bytes is larger than its memory of 8192");
}

#[test]
fn buffers_outside_their_pool_are_refused() {
    let buffer = |layout: [i32; 5], code: u32, text: &str| {
        expect(("wl_shm_pool.0", 0), code, text, move |client, _| {
            let pool = client.pool(memory(4096), 4096);
            client.make(pool, 0, &layout);
        });
    };
    buffer([1, 32, 32, 128, 0], 1, "vitrail-gate: a buffer of 4096 bytes at 1 is not inside a pool of 4096");
    buffer([-4, 1, 1, 4, 0], 1, "vitrail-gate: a buffer of 4 bytes at -4 is not inside a pool of 4096");
    buffer([0, 32, 32, 127, 0], 1, "vitrail-gate: a stride of 127 bytes is too short for 32 pixels");
    buffer([0, 0, 1, 4, 0], 1, "vitrail-gate: a buffer of 0 by 1 pixels is impossible");
    buffer(
        [0, 1, i32::MAX, i32::MAX, 0],
        1,
        "vitrail-gate: a buffer of 1 by 2147483647 pixels is impossible",
    );
    buffer([0, 1, 1, 4, 0x3231_564e], 0, "vitrail-gate: the pixel format 0x3231564e is not known");
}

#[test]
fn impossible_scales_and_offsets_are_refused() {
    for scale in [0, -1, 65] {
        let text = format!("vitrail-gate: a buffer scale of {scale} is outside of 1 to 64");
        expect(("wl_surface.8", 0), 0, &text, |client, _| {
            let surface = client.surface();
            client.send(Message::new(surface, 8).int(scale));
        });
    }
    let text = "vitrail-gate: a buffer offset of 65536, 0 is outside of -65535 to 65535";
    expect(("wl_surface.10", 0), 3, text, |client, _| {
        let surface = client.surface();
        client.send(Message::new(surface, 10).ints(&[65536, 0]));
    });
}

fn xdg(client: &mut Client, opcode: u16, values: &[i32]) {
    let surface = client.xdg_surface();
    client.send(Message::new(surface, opcode).ints(values));
}

fn toplevel(client: &mut Client, opcode: u16, values: &[i32]) {
    let surface = client.xdg_surface();
    let toplevel = client.make(surface, 1, &[]);
    client.send(Message::new(toplevel, opcode).ints(values));
}

fn positioner(client: &mut Client, opcode: u16, values: &[i32]) {
    let shell = client.bind("xdg_wm_base", 6);
    let positioner = client.make(shell, 1, &[]);
    client.send(Message::new(positioner, opcode).ints(values));
}

#[test]
fn absurd_window_geometry_is_refused() {
    for (width, height) in [(0, 1), (1, -1), (65536, 1)] {
        let text = format!("vitrail-gate: a window geometry of {width}, {height} is outside of 1 to 65535");
        expect(("xdg_surface.3", 0), 5, &text, |client, _| xdg(client, 3, &[0, 0, width, height]));
    }
    let text = "vitrail-gate: a window geometry's position of -70000, 0 is outside of -65535 to 65535";
    expect(("xdg_surface.3", 0), 5, text, |client, _| xdg(client, 3, &[-70000, 0, 1, 1]));
}

#[test]
fn absurd_window_sizes_are_refused() {
    let text = "vitrail-gate: a maximum size of -1, 0 is outside of 0 to 65535";
    expect(("xdg_toplevel.7", 0), 2, text, |client, _| toplevel(client, 7, &[-1, 0]));
    let text = "vitrail-gate: a minimum size of 0, 65536 is outside of 0 to 65535";
    expect(("xdg_toplevel.8", 0), 2, text, |client, _| toplevel(client, 8, &[0, 65536]));
}

#[test]
fn absurd_popup_positions_are_refused() {
    let text = "vitrail-gate: a popup's size of 0, 5 is outside of 1 to 65535";
    expect(("xdg_positioner.1", 0), 0, text, |client, _| positioner(client, 1, &[0, 5]));
    let text = "vitrail-gate: an anchor of -1, 5 is outside of 0 to 65535";
    expect(("xdg_positioner.2", 0), 0, text, |client, _| positioner(client, 2, &[0, 0, -1, 5]));
    let text = "vitrail-gate: a popup's offset of 65536, 0 is outside of -65535 to 65535";
    expect(("xdg_positioner.6", 0), 0, text, |client, _| positioner(client, 6, &[65536, 0]));
}

#[test]
fn absurd_viewports_are_refused() {
    let text = "vitrail-gate: a viewport destination of 0, 0 is outside of 1 to 65535";
    expect(("wp_viewport.2", 0), 0, text, |client, _| {
        let surface = client.surface();
        let viewporter = client.bind("wp_viewporter", 1);
        let viewport = client.make(viewporter, 1, &[surface.cast_signed()]);
        client.send(Message::new(viewport, 2).ints(&[0, 0]));
    });
}

#[test]
fn damage_of_everything_arrives_in_numbers_that_do_not_overflow() {
    let vm = Vm::new(Limits::default());
    let (mut client, requests) = vm.connect();
    let surface = client.surface();
    for area in [[0, 0, i32::MAX, i32::MAX], [i32::MIN, 0, 1, 1], [0, 0, -1, 5]] {
        client.send(Message::new(surface, 2).ints(&area));
    }
    assert!(client.round_trip());
    assert_eq!(requests.count("wl_surface.2"), 1);
}

/// GTK cuts titles where messages end, at 4083 bytes. The gate had a limit of its own below that, so a program that
/// shows a long line in its title was ended.
#[test]
fn titles_and_ids_end_where_messages_end() {
    let title = |client: &mut Client, opcode: u16, len: usize| {
        let surface = client.xdg_surface();
        let toplevel = client.make(surface, 1, &[]);
        client.send(Message::new(toplevel, opcode).string(&"x".repeat(len)));
    };
    let vm = Vm::new(Limits::default());
    let (mut client, requests) = vm.connect();
    for request in [2, 3] {
        title(&mut client, request, 4083);
        assert!(client.round_trip());
        assert_eq!(requests.count(&format!("xdg_toplevel.{request}")), 1);
    }
    let text = "vitrail-gate: a message says that it is 4100 bytes long, and the longest allowed is 4096";
    expect(("xdg_toplevel.2", 0), 1, text, |client, _| title(client, 2, 4084));
}

/// The input method, for which the text is, would take the offsets for what they say.
#[test]
fn a_text_around_a_cursor_that_makes_no_sense_is_not_passed_on() {
    let vm = Vm::new(Limits::default());
    let (mut client, requests) = vm.connect();
    let (manager, seat) = (client.bind("zwp_text_input_manager_v3", 1), client.bind("wl_seat", 5));
    let input = client.make(manager, 1, &[seat.cast_signed()]);
    let mut say = |text: &str, cursor: i32, anchor: i32, passed: usize| {
        client.send(Message::new(input, 3).string(text).ints(&[cursor, anchor]));
        client.send(Message::new(input, 7));
        assert!(client.round_trip(), "{cursor}, {anchor}: the application goes on");
        assert_eq!(requests.count("zwp_text_input_v3.3"), passed, "{cursor}, {anchor}");
    };
    say("été", 5, 2, 1);
    say("été", 1, 0, 1);
    say("été", 0, 6, 1);
    say("été", -1, 0, 1);
    say(&"x".repeat(4000), 4000, 0, 2);
    say(&"x".repeat(4001), 0, 0, 2);
    assert_eq!(requests.count("zwp_text_input_v3.7"), 6);
    client.send(Message::new(input, 6).ints(&[i32::MIN, i32::MAX, -1, i32::MAX]));
    assert!(client.round_trip());
    assert_eq!(requests.numbers("zwp_text_input_v3.6"), [-65535, 65535, 0, 65535]);
}

#[test]
fn circles_of_subsurfaces_are_refused() {
    let text = "vitrail-gate: a surface cannot be its own ancestor";
    expect(("wl_subcompositor.1", 1), 1, text, |client, _| {
        let subcompositor = client.bind("wl_subcompositor", 1);
        let (one, two) = (client.surface().cast_signed(), client.surface().cast_signed());
        client.make(subcompositor, 1, &[one, two]);
        client.make(subcompositor, 1, &[two, one]);
    });
}

#[test]
fn what_is_no_message_is_refused() {
    for (size, text) in [
        (4_u32, "vitrail-gate: a message says that it is 4 bytes long, less than its own header"),
        (10, "vitrail-gate: a message says that it is 10 bytes long, which is not a multiple of 4"),
    ] {
        expect(("wl_display.0", 1), 1, text, |client, _| {
            client.round_trip();
            let header = [1_u32.to_ne_bytes(), (size << 16).to_ne_bytes()].concat();
            client.send_bytes(&header, &[]);
        });
    }
}

#[test]
fn a_request_on_nothing_is_refused() {
    let error = breach(Limits::default(), (".3", 0), |client, _| client.send(Message::new(4711, 3)));
    assert_eq!((error.object, error.code), (1, 1));
}

#[test]
fn a_source_offers_only_so_many_types() {
    let text = "vitrail-gate: a source may offer 256 types";
    expect(("wl_data_source.0", 256), 2, text, |client, _| {
        let manager = client.bind("wl_data_device_manager", 3);
        let source = client.make(manager, 0, &[]);
        for number in 0..=256 {
            client.send(Message::new(source, 0).string(&format!("x/{number}")));
        }
    });
}

#[test]
fn a_paste_into_anything_but_a_pipe_is_refused() {
    let receive = |fd: fn() -> OwnedFd| {
        let text = "vitrail-gate: content is received through the writing end of a pipe, nothing else";
        expect(("wl_data_offer.1", 0), 1, text, move |client, _| {
            let offer = offer(client);
            client.send(Message::new(offer, 1).string("text/plain").fd(fd()));
        });
    };
    receive(|| memory(4096));
    receive(|| rustix::pipe::pipe().unwrap().0);
}

#[test]
fn a_worker_takes_no_sockets() {
    let vm = Vm::new(Limits::default());
    let (mut client, _) = vm.connect();
    assert!(client.round_trip());
    let (socket, _other) = UnixStream::pair().unwrap();
    let error = client.socket.sendmsg(b"x", &[socket.as_fd()]).unwrap_err();
    assert_eq!(error.errno(), rustix::io::Errno::OPNOTSUPP);
    assert!(client.round_trip(), "nothing was sent");
}

#[test]
fn a_paste_into_a_pipe_arrives() {
    let vm = Vm::new(Limits::default());
    let (mut client, requests) = vm.connect();
    let offer = offer(&mut client);
    let (_read, write) = rustix::pipe::pipe().unwrap();
    client.send(Message::new(offer, 1).string("text/plain").fd(write));
    assert!(client.round_trip());
    assert_eq!(requests.count("wl_data_offer.1"), 1);
}

/// Has the compositor offer a clipboard.
fn offer(client: &mut Client) -> u32 {
    let manager = client.bind("wl_data_device_manager", 3);
    let seat = client.bind("wl_seat", 5);
    client.make(manager, 1, &[seat.cast_signed()]);
    assert!(client.round_trip());
    FIRST_SERVER_ID
}

/// The numbers of these requests went on as they came, whatever they were: hotspots and places at the end of the numbers.
#[test]
fn numbers_about_input_are_cut_to_what_can_be_computed_with() {
    const FAR: [i32; 2] = [i32::MIN, i32::MAX];
    let vm = Vm::new(Limits::default());
    let (mut client, requests) = vm.connect();
    let seat = client.bind("wl_seat", 9);
    let pointer = client.make(seat, 0, &[]);
    client.send(Message::new(pointer, 0).uint(1).uint(0).ints(&FAR));
    let tablets = client.bind("zwp_tablet_manager_v2", 1);
    client.make(tablets, 0, &[seat.cast_signed()]);
    assert!(client.round_trip());
    client.send(Message::new(FIRST_SERVER_ID, 0).uint(1).uint(0).ints(&FAR));
    let surface = client.xdg_surface();
    let toplevel = client.make(surface, 1, &[]);
    client.send(Message::new(toplevel, 4).uint(seat).uint(1).ints(&FAR));
    assert!(client.round_trip());
    for request in ["wl_pointer.0", "zwp_tablet_tool_v2.0", "xdg_toplevel.4"] {
        assert_eq!(requests.numbers(request), [-65535, 65535], "{request}");
    }
}

/// A compositor that asks a client for its clipboard as soon as there is one, so many times at once.
fn ask_for_the_clipboard(mut stream: UnixStream, times: usize) -> Vec<OwnedFd> {
    let (mut bytes, mut chunk, mut pipes) = (Vec::new(), [0; 4096], Vec::new());
    while let Ok(len @ 1..) = stream.read(&mut chunk) {
        bytes.extend_from_slice(&chunk[..len]);
        while let Some(request) = Received::take(&mut bytes) {
            let answer = match (request.object, request.opcode) {
                (1, 0) => Message::new(request.uint(0), 0).uint(0).bytes(),
                (1, 1) => {
                    let global = Message::new(request.uint(0), 0).uint(1);
                    global.string("wl_data_device_manager").uint(3).bytes()
                }
                // Nothing but a source is made of what was bound, whose request has one word.
                (_, 0) if request.body.len() == 4 => {
                    let send = Message::new(request.uint(0), 1).string("text/plain").bytes();
                    for _ in 0..times {
                        let (reader, writer) = rustix::pipe::pipe().unwrap();
                        pipes.push(reader);
                        while virtio_wl::unix::send(&stream, &send, &[writer.as_fd()]).is_err() {
                            std::thread::yield_now();
                        }
                    }
                    continue;
                }
                _ => continue,
            };
            stream.write_all(&answer).unwrap();
        }
    }
    pipes
}

/// What is pasted from a VM is asked for by others: one of them could have ended the VM's connection by asking often at once.
#[test]
fn two_hundred_pastes_at_once_from_a_client_do_not_end_it() {
    let vm = Vm::new(Limits::default());
    let (mut client, stream) = Client::new();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let compositor = std::thread::spawn(move || ask_for_the_clipboard(ours, 200));
    let order = Order::Serve { connection: 1 };
    control::send_order(&vm.control, &order, &[stream.as_fd(), theirs.as_fd()]).unwrap();
    drop(theirs);
    client.start();
    assert!(client.round_trip());
    let manager = client.id();
    client.bind_raw(1, "wl_data_device_manager", 3, manager);
    client.make(manager, 0, &[]);
    // All of them are kept.
    let (mut bytes, mut pipes, mut asked) = (Vec::new(), Vec::new(), 0);
    let deadline = Instant::now() + Duration::from_secs(20);
    while asked < 200 {
        assert!(Instant::now() < deadline, "asked {asked} times");
        client.socket.dispatch().expect("the connection goes on");
        let mut chunk = [0; 4096];
        if let Ok(len) = client.socket.recvmsg(&mut chunk, &mut pipes) {
            bytes.extend_from_slice(&chunk[..len]);
        }
        asked += std::iter::from_fn(|| Received::take(&mut bytes)).count();
    }
    assert_eq!(pipes.len(), 200);
    assert!(client.round_trip());
    assert_eq!(vm.report(|report| report.connections == 1).refused, 0);
    drop((client, vm));
    assert_eq!(compositor.join().unwrap().len(), 200);
}
