//! A compositor that answers no more than it has to, and remembers what it was asked.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use crate::wire::{Message, Received};

/// What the compositor offers, by name from 1 on. The last ones are not for VMs, or for those alone that may have them.
pub const GLOBALS: &[(&str, u32)] = &[
    ("wl_compositor", 6),
    ("wl_shm", 2),
    ("wl_subcompositor", 1),
    ("xdg_wm_base", 9),
    ("wl_data_device_manager", 3),
    ("wp_viewporter", 1),
    ("wl_seat", 9),
    ("zwp_tablet_manager_v2", 1),
    ("zwp_text_input_manager_v3", 2),
    ("ext_idle_notifier_v1", 2),
    ("ext_foreign_toplevel_list_v1", 1),
    ("ext_foreign_toplevel_image_capture_source_manager_v1", 1),
    ("ext_image_copy_capture_manager_v1", 1),
    ("wp_single_pixel_buffer_manager_v1", 1),
    ("zwlr_layer_shell_v1", 4),
    ("wl_drm", 2),
    ("brand_new_manager_v9", 1),
];

/// The first id that a server gives out itself. From the Wayland protocol.
pub const FIRST_SERVER_ID: u32 = 0xff00_0000;

/// The name of a global in [`GLOBALS`].
pub fn global_name(interface: &str) -> u32 {
    u32::try_from(GLOBALS.iter().position(|(known, _)| *known == interface).unwrap() + 1).unwrap()
}

/// Requests that make an object: interface, opcode, the index of the word with its id, its interface.
const MAKERS: &[(&str, u16, usize, &str)] = &[
    ("wl_display", 1, 0, "wl_registry"),
    ("wl_display", 0, 0, "wl_callback"),
    ("wl_compositor", 0, 0, "wl_surface"),
    ("wl_compositor", 1, 0, "wl_region"),
    ("wl_shm", 0, 0, "wl_shm_pool"),
    ("wl_shm_pool", 0, 0, "wl_buffer"),
    ("wl_subcompositor", 1, 0, "wl_subsurface"),
    ("xdg_wm_base", 1, 0, "xdg_positioner"),
    ("xdg_wm_base", 2, 0, "xdg_surface"),
    ("xdg_surface", 1, 0, "xdg_toplevel"),
    ("xdg_surface", 2, 0, "xdg_popup"),
    ("wp_viewporter", 1, 0, "wp_viewport"),
    ("ext_foreign_toplevel_image_capture_source_manager_v1", 0, 0, "ext_image_capture_source_v1"),
    ("ext_image_copy_capture_manager_v1", 0, 0, "ext_image_copy_capture_session_v1"),
    ("ext_image_copy_capture_manager_v1", 1, 0, "ext_image_copy_capture_cursor_session_v1"),
    ("ext_image_copy_capture_cursor_session_v1", 1, 0, "ext_image_copy_capture_session_v1"),
    ("ext_image_copy_capture_session_v1", 0, 0, "ext_image_copy_capture_frame_v1"),
    ("wp_single_pixel_buffer_manager_v1", 1, 0, "wl_buffer"),
    ("wl_data_device_manager", 0, 0, "wl_data_source"),
    ("wl_data_device_manager", 1, 0, "wl_data_device"),
    ("wl_seat", 0, 0, "wl_pointer"),
    ("zwp_tablet_manager_v2", 0, 0, "zwp_tablet_seat_v2"),
    ("zwp_text_input_manager_v3", 1, 0, "zwp_text_input_v3"),
];

/// What was asked, as `interface.opcode`, in order.
#[derive(Debug)]
pub struct Requests {
    log: Arc<Mutex<Vec<(String, Received)>>>,
    end: mpsc::Receiver<()>,
}

impl Requests {
    /// How often a request has arrived so far.
    pub fn count(&self, request: &str) -> usize {
        self.log.lock().unwrap().iter().filter(|(name, _)| name == request).count()
    }

    /// The last numbers of the first such request.
    pub fn numbers<const N: usize>(&self, request: &str) -> [i32; N] {
        let log = self.log.lock().unwrap();
        let (_, request) = log.iter().find(|(name, _)| name == request).expect("it has arrived");
        let first = request.body.len() / 4 - N;
        std::array::from_fn(|at| request.uint(first + at).cast_signed())
    }

    /// Waits until the connection is closed, and with it all that was sent has arrived.
    pub fn wait_for_end(&self) {
        let end = self.end.recv_timeout(Duration::from_secs(20));
        assert_eq!(end, Err(mpsc::RecvTimeoutError::Disconnected), "the compositor's connection goes on");
    }
}

/// Starts a compositor for one connection and returns the client's end.
pub fn start() -> (OwnedFd, Requests) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (theirs.into(), start_on(ours))
}

/// The same on a connection that exists.
pub fn start_on(ours: UnixStream) -> Requests {
    let (running, end) = mpsc::channel();
    let requests = Requests { log: Arc::default(), end };
    let log = Arc::clone(&requests.log);
    thread::spawn(move || {
        serve(ours, &log);
        drop(running);
    });
    requests
}

fn serve(mut stream: UnixStream, log: &Mutex<Vec<(String, Received)>>) {
    let mut interfaces = HashMap::from([(1, "wl_display".to_owned())]);
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    // Reading without control messages drops descriptors, which nobody here needs.
    while let Ok(len @ 1..) = stream.read(&mut chunk) {
        bytes.extend_from_slice(&chunk[..len]);
        while let Some(request) = Received::take(&mut bytes) {
            let interface = interfaces.get(&request.object).cloned().unwrap_or_default();
            log.lock().unwrap().push((format!("{interface}.{}", request.opcode), request.clone()));
            let made =
                MAKERS.iter().find(|(name, opcode, ..)| *name == interface && *opcode == request.opcode);
            if let Some((_, _, at, made)) = made {
                interfaces.insert(request.uint(*at), (*made).to_owned());
            }
            let answer = match (interface.as_str(), request.opcode) {
                ("wl_display", 0) => done(request.uint(0)),
                ("wl_display", 1) => globals(request.uint(0)),
                ("wl_registry", 0) => {
                    let (name, after) = request.string(1);
                    let id = request.uint(after + 1);
                    // A list begins with the one window that there is.
                    let listed = name == "ext_foreign_toplevel_list_v1";
                    interfaces.insert(id, name);
                    if listed { Message::new(id, 0).uint(FIRST_SERVER_ID).bytes() } else { Vec::new() }
                }
                ("wl_data_device_manager", 1) => {
                    interfaces.insert(FIRST_SERVER_ID, "wl_data_offer".to_owned());
                    Message::new(request.uint(0), 0).uint(FIRST_SERVER_ID).bytes()
                }
                ("zwp_tablet_manager_v2", 0) => {
                    interfaces.insert(FIRST_SERVER_ID, "zwp_tablet_tool_v2".to_owned());
                    Message::new(request.uint(0), 1).uint(FIRST_SERVER_ID).bytes()
                }
                ("wl_surface" | "wl_buffer" | "wl_region", 0) => delete(request.object),
                _ => Vec::new(),
            };
            if stream.write_all(&answer).is_err() {
                return;
            }
        }
    }
}

fn delete(id: u32) -> Vec<u8> {
    Message::new(1, 1).uint(id).bytes()
}

fn done(callback: u32) -> Vec<u8> {
    [Message::new(callback, 0).uint(7).bytes(), delete(callback)].concat()
}

fn globals(registry: u32) -> Vec<u8> {
    let all = GLOBALS.iter().zip(1..);
    all.flat_map(|((interface, version), name)| {
        Message::new(registry, 0).uint(name).string(interface).uint(*version).bytes()
    })
    .collect()
}
