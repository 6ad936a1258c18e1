//! `ext_session_lock_manager_v1`: local programs that lock the session, by the rules of [`crate::shell::lock`].
//!
//! Not by Smithay's module: in 0.7 a program that was refused the lock unlocks the session by asking to (it gets an error, and
//! the session is unlocked all the same), and after a crash of the program no other one can show anything.
//!
//! A lock surface is shown below the stripe, which says that the session is locked, so that nothing else can say it.

use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

use smithay::backend::renderer::buffer_dimensions;
use smithay::reexports::wayland_protocols::ext::session_lock::v1::server::ext_session_lock_manager_v1::{
    self, ExtSessionLockManagerV1,
};
use smithay::reexports::wayland_protocols::ext::session_lock::v1::server::ext_session_lock_surface_v1::{
    self, ExtSessionLockSurfaceV1,
};
use smithay::reexports::wayland_protocols::ext::session_lock::v1::server::ext_session_lock_v1::{
    self, ExtSessionLockV1,
};
use smithay::reexports::wayland_server::backend::ClientId;
use smithay::reexports::wayland_server::protocol::wl_output::WlOutput;
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::reexports::wayland_server::{
    Client, DataInit, Dispatch, DisplayHandle, GlobalDispatch, New, Resource, Weak,
};
use smithay::utils::{Logical, SERIAL_COUNTER, Size};
use smithay::wayland::compositor::{
    BufferAssignment, SurfaceAttributes, add_pre_commit_hook, give_role, with_states,
};
use smithay::wayland::viewporter::ViewportCachedState;

use crate::ready::LOCKED_PREFIX;
use crate::render::schedule::has_buffer;
use crate::shell::layers::told_size;
use crate::shell::lock::Lock;
use crate::shell::outputs::OutputId;
use crate::state::State;
use crate::trust::client::{is_local, may_see};

/// The role of a lock surface.
pub const LOCK_SURFACE_ROLE: &str = "ext_session_lock_surface_v1";
/// How many configures a program may leave unacknowledged until the oldest is forgotten.
const MAX_UNACKNOWLEDGED: usize = 16;
/// The version that is offered.
const VERSION: u32 = 1;

/// The lock of the session.
pub type SessionLock = Lock<ExtSessionLockV1, WlSurface>;

/// Creates the global.
pub(super) fn create(display: &DisplayHandle) {
    display.create_global::<State, ExtSessionLockManagerV1, ()>(VERSION, ());
}

/// What is kept with a surface that is or was a lock surface.
#[derive(Debug)]
struct Attributes {
    object: ExtSessionLockSurfaceV1,
    /// The size that it must have, by the configure that was acknowledged last.
    size: Option<Size<i32, Logical>>,
    /// The configures that were not acknowledged, the oldest first.
    sent: Vec<(u32, Size<i32, Logical>)>,
}

impl State {
    /// A frame was drawn: the program that locked the session is told that nothing else is in it.
    pub(crate) fn confirm_lock(&mut self) {
        if let Some(lock) = self.comp.lock.drawn() {
            lock.locked();
        }
    }

    /// Begins locked: the compositor before this one was when it crashed.
    pub fn begin_locked(&mut self) {
        tracing::info!("the session was locked and stays so");
        self.comp.lock = SessionLock::locked();
        self.report_lock();
        self.show_lock();
    }

    /// Tells whoever starts the compositor again after a crash whether the session is locked. It knows that it is before the
    /// program that locks does, so that a crash never unlocks what somebody was told to be locked.
    fn report_lock(&self) {
        let Some(mut keeper) = self.comp.recovery.keeper.as_ref() else { return };
        let message = format!("{LOCKED_PREFIX}{}\n", u8::from(self.comp.lock.is_locked()));
        if let Err(error) = keeper.write_all(message.as_bytes()) {
            tracing::error!("error reporting the lock, so that it would not outlive a crash: {error}");
        }
    }

    /// A surface is no more, or is no lock surface any more.
    pub(crate) fn lock_surface_gone(&mut self, surface: &WlSurface) {
        if self.comp.lock.surfaces_gone(|_, shown| shown == surface) {
            self.show_lock();
        }
    }

    /// Follows the first content of the lock surface.
    pub(crate) fn lock_committed(&mut self, surface: &WlSurface) {
        if self.comp.lock.surfaces().any(|shown| shown == surface) && has_buffer(surface) {
            self.enter_output_of(surface);
            self.sync_focus();
        }
    }

    /// Makes the screen and the input follow the lock.
    fn show_lock(&mut self) {
        self.sync_focus();
        self.refresh_pointer();
        self.comp.schedule.request();
    }

    fn lock_session(&mut self, lock: &ExtSessionLockV1) {
        if !self.comp.lock.lock(lock.clone()) {
            lock.finished();
            return;
        }
        tracing::info!("the session is locked");
        self.report_lock();
        self.take_input();
        self.show_lock();
    }

    /// Gives a surface its role and its size.
    fn create_lock_surface(
        &mut self,
        lock: &ExtSessionLockV1,
        id: New<ExtSessionLockSurfaceV1>,
        (surface, output): (&WlSurface, &WlOutput),
        data_init: &mut DataInit<'_, Self>,
    ) {
        use ext_session_lock_v1::Error;
        let pending = with_states(surface, |states| {
            let mut attributes = states.cached_state.get::<SurfaceAttributes>();
            matches!(attributes.pending().buffer, Some(BufferAssignment::NewBuffer(_)))
        });
        // A program that does not hold the lock has its surfaces for nothing, and so has one that names an output that is gone.
        let output = self.comp.announced.find(output).filter(|_| self.comp.lock.is_held_by(lock));
        let error = if give_role(surface, LOCK_SURFACE_ROLE).is_err() {
            Some((Error::Role, "the surface has another role"))
        } else if pending || has_buffer(surface) {
            Some((Error::AlreadyConstructed, "the surface has a buffer"))
        } else if output.is_some_and(|output| !self.comp.lock.has_room(lock, output)) {
            Some((Error::DuplicateOutput, "the output has a lock surface"))
        } else {
            None
        };
        if let Some((error, text)) = error {
            lock.post_error(error, text);
            return;
        }
        let object = data_init.init(id, surface.downgrade());
        let layout = output.map_or(self.comp.shell.layout(), |output| self.comp.shell.layout_on(output));
        let mut attributes = Attributes { object, size: None, sent: Vec::new() };
        attributes.ask(told_size(layout.space().size, layout.scale));
        keep(surface, attributes);
        if let Some(output) = output {
            self.comp.lock.set_surface(lock, output, surface.clone());
        }
    }

    /// The outputs have changed: their lock surfaces are told other sizes, and those of outputs that are gone are shown no more.
    pub(crate) fn lock_follows_outputs(&mut self) {
        let used: Vec<OutputId> = self.comp.shell.outputs().used().map(|output| output.id).collect();
        let gone = self.comp.lock.surfaces_gone(|output, _| !used.contains(&output));
        for (output, surface) in self.comp.lock.placed() {
            let layout = self.comp.shell.layout_on(*output);
            let size = told_size(layout.space().size, layout.scale);
            with_states(surface, |states| {
                let Some(kept) = states.data_map.get::<Mutex<Attributes>>() else { return };
                kept.lock().unwrap_or_else(PoisonError::into_inner).ask(size);
            });
        }
        if gone {
            self.show_lock();
        }
    }
}

impl Attributes {
    /// Tells the program which size the surface must have, if it is another one.
    fn ask(&mut self, size: Size<i32, Logical>) {
        let told = self.sent.last().map(|(_, size)| *size).or(self.size);
        if told == Some(size) || !self.object.is_alive() {
            return;
        }
        let serial = u32::from(SERIAL_COUNTER.next_serial());
        self.object.configure(serial, size.w.unsigned_abs(), size.h.unsigned_abs());
        self.sent.push((serial, size));
        // A program that hangs is not waited for: what it acknowledges after all this is wrong.
        if self.sent.len() > MAX_UNACKNOWLEDGED {
            self.sent.remove(0);
        }
    }
}

/// Keeps the attributes with the surface, and has its commits looked at.
fn keep(surface: &WlSurface, attributes: Attributes) {
    let mut attributes = Some(attributes);
    let is_first = with_states(surface, |states| {
        let first = states.data_map.get::<Mutex<Attributes>>().is_none();
        if let Some(new) = attributes.take() {
            match states.data_map.get::<Mutex<Attributes>>() {
                Some(kept) => *kept.lock().unwrap_or_else(PoisonError::into_inner) = new,
                None => {
                    states.data_map.insert_if_missing_threadsafe(|| Mutex::new(new));
                }
            }
        }
        first
    });
    if is_first {
        add_pre_commit_hook::<State, _>(surface, |_, _, surface| check_commit(surface));
    }
}

/// Ends a program that commits what the protocol forbids.
fn check_commit(surface: &WlSurface) {
    use ext_session_lock_surface_v1::Error;
    with_states(surface, |states| {
        let Some(kept) = states.data_map.get::<Mutex<Attributes>>() else { return };
        let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if !kept.object.is_alive() {
            return;
        }
        let Some(size) = kept.size else {
            kept.object.post_error(Error::CommitBeforeFirstAck, "committed before the first ack_configure");
            return;
        };
        let mut attributes = states.cached_state.get::<SurfaceAttributes>();
        let attributes = attributes.pending();
        match &attributes.buffer {
            Some(BufferAssignment::Removed) => {
                kept.object.post_error(Error::NullBuffer, "a lock surface always has content");
            }
            Some(BufferAssignment::NewBuffer(buffer)) => {
                let plain = buffer_dimensions(buffer).map(|size| {
                    size.to_logical(attributes.buffer_scale.max(1), attributes.buffer_transform.into())
                });
                let mut viewport = states.cached_state.get::<ViewportCachedState>();
                let drawn = viewport.pending().size().or(plain);
                if drawn.is_some_and(|drawn| drawn != size) {
                    let text = "the size is not that of the last configure";
                    kept.object.post_error(Error::DimensionsMismatch, text);
                }
            }
            None => {}
        }
    });
}

impl GlobalDispatch<ExtSessionLockManagerV1, ()> for State {
    fn bind(
        _state: &mut Self,
        _display: &DisplayHandle,
        _client: &Client,
        manager: New<ExtSessionLockManagerV1>,
        _data: &(),
        data_init: &mut DataInit<'_, Self>,
    ) {
        data_init.init(manager, ());
    }

    fn can_view(client: Client, _data: &()) -> bool {
        is_local(&client) && may_see(&client, ExtSessionLockManagerV1::interface().name)
    }
}

impl Dispatch<ExtSessionLockManagerV1, ()> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        _manager: &ExtSessionLockManagerV1,
        request: ext_session_lock_manager_v1::Request,
        _data: &(),
        _display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        if let ext_session_lock_manager_v1::Request::Lock { id } = request {
            let lock = data_init.init(id, ());
            state.lock_session(&lock);
        }
    }
}

impl Dispatch<ExtSessionLockV1, ()> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        lock: &ExtSessionLockV1,
        request: ext_session_lock_v1::Request,
        _data: &(),
        _display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        use ext_session_lock_v1::{Error, Request};
        match request {
            Request::GetLockSurface { id, surface, output } => {
                state.create_lock_surface(lock, id, (&surface, &output), data_init);
            }
            Request::UnlockAndDestroy => {
                if state.comp.lock.unlock(lock) {
                    tracing::info!("the session is unlocked");
                    state.end_of_lock();
                } else {
                    lock.post_error(Error::InvalidUnlock, "this is not what locks the session");
                }
            }
            Request::Destroy => {
                if state.comp.lock.cancel(lock) {
                    state.end_of_lock();
                } else {
                    lock.post_error(Error::InvalidDestroy, "the session is locked");
                }
            }
            _ => {}
        }
    }

    fn destroyed(state: &mut Self, _client: ClientId, lock: &ExtSessionLockV1, _data: &()) {
        if state.comp.lock.is_held_by(lock) {
            tracing::warn!("the program that locked the session is gone; the session stays locked");
            state.comp.lock.locker_gone(lock);
            state.show_lock();
        }
    }
}

impl State {
    /// The session may be unlocked now.
    fn end_of_lock(&mut self) {
        self.report_lock();
        self.comp.input.cursor = smithay::input::pointer::CursorImageStatus::default_named();
        self.show_lock();
    }
}

impl Dispatch<ExtSessionLockSurfaceV1, Weak<WlSurface>> for State {
    fn request(
        _state: &mut Self,
        _client: &Client,
        object: &ExtSessionLockSurfaceV1,
        request: ext_session_lock_surface_v1::Request,
        surface: &Weak<WlSurface>,
        _display: &DisplayHandle,
        _data_init: &mut DataInit<'_, Self>,
    ) {
        let ext_session_lock_surface_v1::Request::AckConfigure { serial } = request else { return };
        let Ok(surface) = surface.upgrade() else { return };
        with_states(&surface, |states| {
            let Some(kept) = states.data_map.get::<Mutex<Attributes>>() else { return };
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(index) = kept.sent.iter().position(|(sent, _)| *sent == serial) {
                let acknowledged = kept.sent.drain(..=index).next_back();
                kept.size = acknowledged.map(|(_, size)| size);
            } else {
                let error = ext_session_lock_surface_v1::Error::InvalidSerial;
                object.post_error(error, "there is no such configure to acknowledge");
            }
        });
    }

    fn destroyed(
        state: &mut Self,
        _client: ClientId,
        _object: &ExtSessionLockSurfaceV1,
        surface: &Weak<WlSurface>,
    ) {
        if let Ok(surface) = surface.upgrade() {
            state.lock_surface_gone(&surface);
        }
    }
}
