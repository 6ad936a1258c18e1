//! Vitrail as WLCS drives it: the library that the suite loads.
//!
//! # Model
//!
//! WLCS is a program in which clients and compositor run together. For each test it asks this library for a server:
//! the compositor of crate `vitrail` with its headless backend, on a thread of its own ([`compositor`]). Clients come over
//! socket pairs and are local programs. What the suite does with pointer and fingers takes the way of all backends
//! (`State::input_pointer_motion` and its like), in coordinates that are moved by a constant ([`space`]). What some of the suite's
//! clients forget to say is said in their stead ([`manners`]).
//!
//! `cargo xtask wlcs` runs it.

use std::collections::HashMap;
use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, LazyLock, Mutex, Once, PoisonError};

use smithay::reexports::wayland_server::Client;
use vitrail::State;
use vitrail::handlers::globals::{Audience, OFFERED};
use wayland_sys::client::{wayland_client_handle, wl_display, wl_proxy};
use wayland_sys::common::wl_fixed_t;
use wlcs::ffi_display_server_api::{
    WlcsExtensionDescriptor, WlcsIntegrationDescriptor, WlcsServerIntegration,
};
use wlcs::ffi_wrappers::wlcs_server;
use wlcs::{Pointer, Touch, Wlcs, wlcs_server_integration};

pub mod compositor;
pub mod manners;
pub mod relay;
pub mod space;

use compositor::Compositor;

wlcs_server_integration!(Integration);

/// The server that WLCS drives; shared with its pointers and fingers.
type Shared = Arc<Mutex<Option<Compositor>>>;

/// One server of WLCS's.
#[derive(Debug)]
pub struct Integration {
    compositor: Shared,
    /// The compositor's clients, by the descriptors that WLCS has of them.
    clients: Mutex<HashMap<RawFd, Client>>,
    fingers: u32,
}

/// Tells what went wrong; the test that runs fails by what follows from it.
fn report(outcome: anyhow::Result<()>) {
    if let Err(error) = outcome {
        eprintln!("vitrail-wlcs: {error:#}");
    }
}

/// Does something with the compositor that runs.
fn with<T>(shared: &Shared, work: impl FnOnce(&Compositor) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
    work(shared.as_ref().ok_or_else(|| anyhow::anyhow!("no compositor runs"))?)
}

/// Feeds the compositor.
fn feed(shared: &Shared, job: impl FnOnce(&mut State) + Send + 'static) {
    report(with(shared, |compositor| compositor.run(job)));
}

/// What the compositor offers to local programs, in the form that WLCS takes.
static DESCRIPTOR: LazyLock<WlcsIntegrationDescriptor> = LazyLock::new(|| {
    let offered = OFFERED.iter().filter(|offered| offered.audience != Audience::Gate);
    let extensions: Vec<WlcsExtensionDescriptor> = offered
        .filter_map(|offered| {
            // It lives as long as the process.
            let name = CString::new(offered.interface).ok()?.into_raw();
            Some(WlcsExtensionDescriptor { name, version: offered.version })
        })
        .collect();
    let extensions = Vec::leak(extensions);
    WlcsIntegrationDescriptor {
        version: 1,
        num_extensions: extensions.len(),
        supported_extensions: extensions.as_ptr(),
    }
});

/// Logs of the compositor and its panics, where `VITRAIL_LOG` asks for them.
fn log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if let Ok(filter) = tracing_subscriber::EnvFilter::try_from_env("VITRAIL_LOG") {
            tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
        }
    });
}

impl Wlcs for Integration {
    type Pointer = Mouse;
    type Touch = Finger;

    fn new() -> Self {
        log();
        Self { compositor: Shared::default(), clients: Mutex::default(), fingers: 0 }
    }

    fn start(&mut self) {
        let started = Compositor::start().map(|compositor| {
            *self.compositor.lock().unwrap_or_else(PoisonError::into_inner) = Some(compositor);
        });
        report(started);
    }

    fn stop(&mut self) {
        self.clients.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
        let compositor = self.compositor.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(compositor) = compositor {
            report(compositor.stop());
        }
    }

    fn create_client_socket(&self) -> std::io::Result<OwnedFd> {
        let connected = with(&self.compositor, Compositor::connect);
        let (stream, client): (UnixStream, Client) = connected.map_err(std::io::Error::other)?;
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).insert(stream.as_raw_fd(), client);
        Ok(stream.into())
    }

    fn position_window_absolute(&self, display: *mut wl_display, surface: *mut wl_proxy, x: i32, y: i32) {
        let library = wayland_client_handle();
        // SAFETY: WLCS gives us a display that is connected, and the function reads its descriptor.
        let fd = unsafe { (library.wl_display_get_fd)(display) };
        // SAFETY: WLCS gives us a live proxy of that display, and the function reads its number.
        let surface = unsafe { (library.wl_proxy_get_id)(surface) };
        let client = self.clients.lock().unwrap_or_else(PoisonError::into_inner).get(&fd).cloned();
        report(with(&self.compositor, |compositor| {
            let client = client.ok_or_else(|| anyhow::anyhow!("nobody has descriptor {fd}"))?;
            compositor.place(&client, surface, x, y)
        }));
    }

    fn create_pointer(&mut self) -> Option<Mouse> {
        Some(Mouse(Arc::clone(&self.compositor)))
    }

    fn create_touch(&mut self) -> Option<Finger> {
        self.fingers += 1;
        Some(Finger { compositor: Arc::clone(&self.compositor), number: self.fingers })
    }

    fn get_descriptor(&self) -> &WlcsIntegrationDescriptor {
        &DESCRIPTOR
    }
}

/// A pointer of WLCS's. All of them are one pointer to the compositor.
#[derive(Debug)]
pub struct Mouse(Shared);

/// Coordinates of the protocol have 8 bits behind the point.
fn from_fixed(value: wl_fixed_t) -> f64 {
    f64::from(value) / 256.0
}

impl Mouse {
    fn button(&self, button: i32, pressed: bool) {
        let Ok(button) = u32::try_from(button) else { return };
        feed(&self.0, move |state| state.input_pointer_button(button, pressed));
    }
}

impl Pointer for Mouse {
    fn move_absolute(&mut self, x: wl_fixed_t, y: wl_fixed_t) {
        report(with(&self.0, |compositor| {
            let (x, y) = compositor.space().place(from_fixed(x), from_fixed(y));
            compositor.run(move |state| state.input_pointer_motion(x, y))
        }));
    }

    fn move_relative(&mut self, dx: wl_fixed_t, dy: wl_fixed_t) {
        feed(&self.0, move |state| state.input_pointer_motion_by(from_fixed(dx), from_fixed(dy)));
    }

    fn button_up(&mut self, button: i32) {
        self.button(button, false);
    }

    fn button_down(&mut self, button: i32) {
        self.button(button, true);
    }
}

/// A finger of WLCS's.
#[derive(Debug)]
pub struct Finger {
    compositor: Shared,
    number: u32,
}

impl Finger {
    /// What is said of one finger is a frame of its own.
    fn at(&self, x: wl_fixed_t, y: wl_fixed_t, job: fn(&mut State, u32, f64, f64)) {
        let number = self.number;
        report(with(&self.compositor, |compositor| {
            // WLCS gives plain numbers here, whatever the type is called.
            let (x, y) = compositor.space().place(f64::from(x), f64::from(y));
            compositor.run(move |state| {
                job(state, number, x, y);
                state.input_touch_frame();
            })
        }));
    }
}

impl Touch for Finger {
    fn touch_down(&mut self, x: wl_fixed_t, y: wl_fixed_t) {
        self.at(x, y, State::input_touch_down);
    }

    fn touch_move(&mut self, x: wl_fixed_t, y: wl_fixed_t) {
        self.at(x, y, State::input_touch_motion);
    }

    fn touch_up(&mut self) {
        let number = self.number;
        feed(&self.compositor, move |state| {
            state.input_touch_up(number);
            state.input_touch_frame();
        });
    }
}
