//! `xdg_toplevel_icon_v1`: pictures of windows, as pixels alone.
//!
//! A name would be looked up in the GUI VM's theme, where a VM could take the picture of a trusted program; names
//! are ignored. The pixels are copied when the icon is given to its window, because from then on the client may
//! destroy everything it was made of, and use the memory again. Of several pictures one is copied: the smallest
//! that has at least [`WANTED`] pixels a side, or else the largest. So a window costs two pictures at most, the
//! present and the next. An icon that some window has already is not copied again, and for one VM [`MAX_ICON_COPIES`](crate::trust::limits::MAX_ICON_COPIES) pictures are
//! copied in ten seconds; a window that is given another one then keeps what it has.
//!
//! Smithay's own handler is not used: after some errors it goes on with what it just refused, and its lists of
//! buffers grow without bound.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak as WeakArc};

use smithay::reexports::wayland_protocols::xdg::toplevel_icon::v1::server::xdg_toplevel_icon_manager_v1::{
    self, XdgToplevelIconManagerV1,
};
use smithay::reexports::wayland_protocols::xdg::toplevel_icon::v1::server::xdg_toplevel_icon_v1::{
    self, Error, XdgToplevelIconV1,
};
use smithay::reexports::wayland_server::protocol::wl_buffer::WlBuffer;
use smithay::reexports::wayland_server::protocol::wl_shm::Format;
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::reexports::wayland_server::{
    Client, DataInit, Dispatch, DisplayHandle, GlobalDispatch, New, Resource, Weak,
};
use smithay::wayland::compositor::with_states;
use smithay::wayland::shm::{BufferData, with_buffer_contents};
use vitrail_protocols::Guard;

use crate::shell::window::Icon;
use crate::state::State;
use crate::trust::client::{account_of, may_see};

/// The longest side of a picture, in pixels; larger ones are left out.
const MAX_SIDE: i32 = 256;
/// Pictures of one icon; further ones are left out.
const MAX_PICTURES: usize = 16;
/// The side that a title needs at a scale of two, in pixels; clients are told the half of it.
const WANTED: i32 = 48;

/// What a client has put into an icon so far.
#[derive(Debug, Default)]
pub struct IconData(Mutex<Parts>);

#[derive(Debug, Default)]
struct Parts {
    pictures: Vec<Picture>,
    /// It was given to a window, and is what it is.
    finished: bool,
    /// What was copied for a window, as long as one has it.
    copied: WeakArc<Icon>,
}

#[derive(Debug)]
struct Picture {
    buffer: Weak<WlBuffer>,
    side: i32,
    scale: i32,
}

impl IconData {
    fn parts(&self) -> MutexGuard<'_, Parts> {
        // A list and a flag; a panic elsewhere leaves them usable.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The icon that a surface's window gets at its next commit; the inner `None` takes the old one away.
#[derive(Debug, Default)]
struct NextIcon(Mutex<Option<Option<Arc<Icon>>>>);

/// Creates the global.
pub fn create(display: &DisplayHandle) {
    display.create_global::<State, XdgToplevelIconManagerV1, ()>(1, ());
}

impl GlobalDispatch<XdgToplevelIconManagerV1, ()> for State {
    fn bind(
        _state: &mut Self,
        _display: &DisplayHandle,
        _client: &Client,
        new: New<XdgToplevelIconManagerV1>,
        _data: &(),
        data_init: &mut DataInit<'_, Self>,
    ) {
        let manager = data_init.init(new, ());
        manager.icon_size(WANTED / 2);
        manager.done();
    }

    fn can_view(client: Client, _data: &()) -> bool {
        may_see(&client, XdgToplevelIconManagerV1::interface().name)
    }
}

impl Dispatch<XdgToplevelIconManagerV1, ()> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        _manager: &XdgToplevelIconManagerV1,
        request: xdg_toplevel_icon_manager_v1::Request,
        _data: &(),
        _display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        use xdg_toplevel_icon_manager_v1::Request;
        match request {
            Request::CreateIcon { id } => {
                data_init.init(id, IconData::default());
            }
            Request::SetIcon { toplevel, icon } => {
                let Some(window) = state.window_of_toplevel(&toplevel) else { return };
                let surface = window.handle.wl_surface().clone();
                let Ok(next) = icon.as_ref().map_or(Ok(None), finish) else { return };
                with_states(&surface, |states| {
                    let kept = states.data_map.get_or_insert_threadsafe(NextIcon::default);
                    *kept.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(next);
                });
            }
            _ => {}
        }
    }
}

impl Dispatch<XdgToplevelIconV1, IconData> for State {
    fn request(
        _state: &mut Self,
        _client: &Client,
        icon: &XdgToplevelIconV1,
        request: xdg_toplevel_icon_v1::Request,
        data: &IconData,
        _display: &DisplayHandle,
        _data_init: &mut DataInit<'_, Self>,
    ) {
        use xdg_toplevel_icon_v1::Request;
        let mut parts = data.parts();
        let changes = matches!(request, Request::SetName { .. } | Request::AddBuffer { .. });
        if changes && parts.finished {
            icon.post_error(Error::Immutable, "the icon was given to a window");
            return;
        }
        let Request::AddBuffer { buffer, scale } = request else { return };
        let Ok(shown) = with_buffer_contents(&buffer, |_, _, data| data) else {
            icon.post_error(Error::InvalidBuffer, "the picture is not in shared memory");
            return;
        };
        if shown.width != shown.height {
            icon.post_error(Error::InvalidBuffer, "the picture is not a square");
            return;
        }
        let (side, buffer) = (shown.width, buffer.downgrade());
        if let Some(same) = parts.pictures.iter_mut().find(|same| same.side == side && same.scale == scale) {
            same.buffer = buffer;
        } else if (side <= MAX_SIDE || !Guard::Numbers.holds()) && parts.pictures.len() < MAX_PICTURES {
            parts.pictures.push(Picture { buffer, side, scale });
        }
    }
}

/// Why a window keeps the icon that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NoIcon {
    /// The new one was made of a buffer that is gone, and its client is ended.
    BufferGone,
    /// The VM has had too many pictures copied of late.
    TooMany,
}

/// An icon that is given to a window: it does not change any more. `None` if it has no picture that can be shown.
fn finish(icon: &XdgToplevelIconV1) -> Result<Option<Arc<Icon>>, NoIcon> {
    let Some(data) = icon.data::<IconData>() else { return Ok(None) };
    let mut parts = data.parts();
    parts.finished = true;
    let mut buffers = Vec::new();
    for picture in &parts.pictures {
        let Ok(buffer) = picture.buffer.upgrade() else {
            icon.post_error(Error::NoBuffer, "the picture was destroyed before its icon");
            return Err(NoIcon::BufferGone);
        };
        buffers.push((picture.side, buffer));
    }
    buffers.sort_by_key(|(side, _)| if *side < WANTED { (true, -side) } else { (false, *side) });
    let Some((_, buffer)) = buffers.first() else { return Ok(None) };
    if let Some(copied) = parts.copied.upgrade() {
        return Ok(Some(copied));
    }
    if !account_of(icon).is_some_and(|account| account.may_copy_icon()) {
        return Err(NoIcon::TooMany);
    }
    let copied = copy(buffer).map(Arc::new);
    parts.copied = copied.as_ref().map(Arc::downgrade).unwrap_or_default();
    Ok(copied)
}

/// The pixels of a square buffer; `None` if they cannot be read, or are in a format that icons do not have.
fn copy(buffer: &WlBuffer) -> Option<Icon> {
    let copied = with_buffer_contents(buffer, |start, length, data| {
        let opaque = match data.format {
            Format::Argb8888 => false,
            Format::Xrgb8888 => true,
            _ => return None,
        };
        Some(Icon { side: u32::try_from(data.width).ok()?, bgra: read(start, length, data)?, opaque })
    });
    copied.ok().flatten()
}

/// Copies the rows of a buffer out of its pool of `length` bytes at `start`; `None` if it is not inside.
fn read(start: *const u8, length: usize, data: BufferData) -> Option<Vec<u8>> {
    let number = |value: i32| usize::try_from(value).ok();
    let (offset, stride) = (number(data.offset)?, number(data.stride)?);
    let (row, rows) = (number(data.width)?.checked_mul(4)?, number(data.height)?);
    let mut bytes = vec![0_u8; row.checked_mul(rows)?];
    for (index, target) in bytes.chunks_exact_mut(row.max(1)).enumerate() {
        let from = offset.checked_add(index.checked_mul(stride)?)?;
        if from.checked_add(row)? > length {
            return None;
        }
        // SAFETY: `from` was compared with the pool's length, which Smithay keeps mapped during the call; where
        // its memory is gone, Smithay's handler puts zeros.
        let source = unsafe { start.add(from) };
        // SAFETY: as above `row` bytes are readable there, and `target` has as many and is not in the pool.
        unsafe { std::ptr::copy_nonoverlapping(source, target.as_mut_ptr(), row) };
    }
    Some(bytes)
}

/// Takes the icon that waits for a surface's commit; nothing waits any more. The one of a window that is gone is not the
/// next one's, and takes up no memory.
pub(super) fn take_next(surface: &WlSurface) -> Option<Option<Arc<Icon>>> {
    with_states(surface, |states| {
        let next = states.data_map.get::<NextIcon>()?;
        next.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    })
}

impl State {
    /// A surface was committed: its window gets the icon that waits for it.
    pub(crate) fn icon_committed(&mut self, surface: &WlSurface) {
        if let Some(next) = take_next(surface)
            && let Some(id) = self.window_of(surface)
            && let Some(window) = self.comp.shell.get_mut(id)
        {
            window.icon = next;
        }
    }
}
