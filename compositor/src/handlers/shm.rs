//! `wl_shm`, screened before Smithay sees it.
//!
//! Smithay 0.7 panics on `wl_shm_pool.resize` to zero, maps pools larger than their file and counts nothing.
//! So the screen refuses what is not a regular file, what is larger than it, a pool that would not grow, and
//! what goes over the limits of the origin.

use std::os::fd::AsFd;

use smithay::reexports::wayland_server::backend::{ClientId, ObjectId};
use smithay::reexports::wayland_server::protocol::wl_buffer::{self, WlBuffer};
use smithay::reexports::wayland_server::protocol::wl_shm::{self, WlShm};
use smithay::reexports::wayland_server::protocol::wl_shm_pool::{self, WlShmPool};
use smithay::reexports::wayland_server::{Client, DataInit, Dispatch, DisplayHandle, New, Resource};
use smithay::wayland::buffer::BufferHandler;
use smithay::wayland::shm::{ShmBufferUserData, ShmHandler, ShmPoolUserData, ShmState};

use super::bounds::MAX_SIDE;
use crate::handlers::globals::delegate_global;
use crate::state::State;
use crate::trust::client::{account_of, end_for_limit};

impl BufferHandler for State {
    fn buffer_destroyed(&mut self, _buffer: &WlBuffer) {}
}

impl ShmHandler for State {
    fn shm_state(&self) -> &ShmState {
        &self.comp.protocols.shm
    }
}

delegate_global!(WlShm: () => ShmState);

/// The size of a regular file in bytes; `None` for everything else.
fn file_size(fd: impl AsFd) -> Option<u64> {
    let stat = rustix::fs::fstat(fd).ok()?;
    let regular = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file();
    regular.then(|| u64::try_from(stat.st_size).ok()).flatten()
}

/// What a buffer of these values uses, in bytes; Smithay refuses negative values afterwards.
fn buffer_size(height: i32, stride: i32) -> u64 {
    u64::try_from(i64::from(height) * i64::from(stride)).unwrap_or(0)
}

/// Marks an object whose name was read before Smithay made it its own. Never dispatched to: within the same
/// request Smithay's data takes the mark's place, or the client is ended.
#[derive(Debug)]
struct Unclaimed;

/// The name of an object that a request is about to create.
fn name_of<I>(new: New<I>, data_init: &mut DataInit<'_, State>) -> (ObjectId, New<I>)
where
    I: Resource + 'static,
    State: Dispatch<I, Unclaimed>,
{
    let object = data_init.init(new, Unclaimed);
    (object.id(), New::wrap(object))
}

impl Dispatch<WlShmPool, Unclaimed> for State {
    fn request(
        _state: &mut Self,
        _client: &Client,
        _pool: &WlShmPool,
        _request: wl_shm_pool::Request,
        _data: &Unclaimed,
        _display: &DisplayHandle,
        _data_init: &mut DataInit<'_, Self>,
    ) {
    }

    /// Smithay refused it: its client is ended, and what was counted for it is given back.
    fn destroyed(state: &mut Self, client: ClientId, pool: &WlShmPool, _data: &Unclaimed) {
        if let Some(data) = state.comp.members.get(&client) {
            data.account.close_pool(&pool.id());
        }
    }
}

impl Dispatch<WlBuffer, Unclaimed> for State {
    fn request(
        _state: &mut Self,
        _client: &Client,
        _buffer: &WlBuffer,
        _request: wl_buffer::Request,
        _data: &Unclaimed,
        _display: &DisplayHandle,
        _data_init: &mut DataInit<'_, Self>,
    ) {
    }

    /// Smithay refused it: its client is ended, and what was counted for it is given back.
    fn destroyed(state: &mut Self, client: ClientId, buffer: &WlBuffer, _data: &Unclaimed) {
        if let Some(data) = state.comp.members.get(&client) {
            data.account.drop_buffer(&buffer.id());
        }
    }
}

impl Dispatch<WlShm, ()> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        shm: &WlShm,
        request: wl_shm::Request,
        data: &(),
        display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        let request = match request {
            wl_shm::Request::CreatePool { id, fd, size } => {
                let bytes = u64::try_from(size).unwrap_or(0);
                if bytes == 0 || file_size(&fd).is_none_or(|length| bytes > length) {
                    shm.post_error(wl_shm::Error::InvalidFd, "the pool is larger than its memory");
                    return;
                }
                let (name, id) = name_of(id, data_init);
                let opened = account_of(shm).map(|account| account.open_pool(name, bytes));
                if let Some(Err(error)) = opened {
                    end_for_limit(client, display, &error);
                    return;
                }
                wl_shm::Request::CreatePool { id, fd, size }
            }
            other => other,
        };
        <ShmState as Dispatch<WlShm, (), Self>>::request(
            state, client, shm, request, data, display, data_init,
        );
    }
}

impl Dispatch<WlShmPool, ShmPoolUserData> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        pool: &WlShmPool,
        request: wl_shm_pool::Request,
        data: &ShmPoolUserData,
        display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        let Some(account) = account_of(pool) else { return };
        let request = match request {
            wl_shm_pool::Request::Resize { size } => {
                let bytes = u64::try_from(size).unwrap_or(0);
                let Some(old) = account.pool(&pool.id()) else { return };
                if bytes == 0 || bytes < old {
                    pool.post_error(wl_shm::Error::InvalidFd, "a pool cannot shrink");
                    return;
                }
                account.grow_pool(pool.id(), bytes);
                wl_shm_pool::Request::Resize { size }
            }
            wl_shm_pool::Request::CreateBuffer { width, height, .. } if width.max(height) > MAX_SIDE => {
                pool.post_error(wl_shm::Error::InvalidStride, "a side of the buffer is too long");
                return;
            }
            wl_shm_pool::Request::CreateBuffer { id, offset, width, height, stride, format } => {
                let (name, id) = name_of(id, data_init);
                if let Err(error) = account.add_buffer(name, buffer_size(height, stride)) {
                    end_for_limit(client, display, &error);
                    return;
                }
                wl_shm_pool::Request::CreateBuffer { id, offset, width, height, stride, format }
            }
            other => other,
        };
        <ShmState as Dispatch<WlShmPool, ShmPoolUserData, Self>>::request(
            state, client, pool, request, data, display, data_init,
        );
    }

    fn destroyed(state: &mut Self, client: ClientId, pool: &WlShmPool, _data: &ShmPoolUserData) {
        if let Some(data) = state.comp.members.get(&client) {
            data.account.close_pool(&pool.id());
        }
    }
}

impl Dispatch<WlBuffer, ShmBufferUserData> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        buffer: &WlBuffer,
        request: wl_buffer::Request,
        data: &ShmBufferUserData,
        display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        <ShmState as Dispatch<WlBuffer, ShmBufferUserData, Self>>::request(
            state, client, buffer, request, data, display, data_init,
        );
    }

    fn destroyed(state: &mut Self, client: ClientId, buffer: &WlBuffer, data: &ShmBufferUserData) {
        if let Some(data) = state.comp.members.get(&client) {
            data.account.drop_buffer(&buffer.id());
        }
        <ShmState as Dispatch<WlBuffer, ShmBufferUserData, Self>>::destroyed(state, client, buffer, data);
    }
}
