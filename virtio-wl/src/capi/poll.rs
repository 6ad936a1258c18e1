//! poll(2) that knows when a socket of this library can be sent to.

use std::cell::Cell;
use std::ffi::c_int;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use libc::{POLLERR, POLLHUP, POLLIN, POLLRDHUP, c_short, nfds_t, pollfd};
use rustix::io::Errno;

use super::descriptor::Descriptor;
use super::{guarded, message, table};

const READS: c_short = POLLIN | libc::POLLRDNORM;
const WRITES: c_short = libc::POLLOUT | libc::POLLWRNORM;

/// A socket of this library among the descriptors that are waited for.
struct Watched {
    index: usize,
    descriptor: Arc<Descriptor>,
    wanted: c_short,
    /// Whether it is watched for room.
    room: bool,
}

/// What one call needs, whose memory the next one of the same thread uses again.
#[derive(Default)]
struct Scratch {
    inner: Vec<pollfd>,
    watched: Vec<Watched>,
}

thread_local! {
    static SCRATCH: Cell<Scratch> = const { Cell::new(Scratch { inner: Vec::new(), watched: Vec::new() }) };
}

impl Scratch {
    /// Runs `work` with lists that are empty, and empties them again whatever becomes of it.
    fn with<T>(work: impl FnOnce(&mut Self) -> T) -> T {
        // A thread that is ending has none any more.
        let mut scratch = SCRATCH.try_with(Cell::take).unwrap_or_default();
        let result = work(&mut scratch);
        scratch.inner.clear();
        scratch.watched.clear();
        let _ = SCRATCH.try_with(|place| place.set(scratch));
        result
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if self.room {
            // It can only fail for a socket that a panic has spoilt.
            let _ = self.descriptor.watch_room(false);
        }
    }
}

/// What poll(2) would say of a Unix socket in the state of `descriptor`, to who waits for `wanted`.
#[must_use]
pub fn events_of(descriptor: &Descriptor, wanted: c_short) -> c_short {
    let Ok(ready) = descriptor.dispatch() else { return POLLERR | POLLHUP };
    let mut events = 0;
    if ready.read {
        events |= READS & wanted;
    }
    if ready.write {
        events |= WRITES & wanted;
    }
    if ready.error {
        events |= POLLERR;
    }
    if ready.end {
        events |= POLLRDHUP & wanted;
    }
    if ready.hang_up {
        events |= POLLHUP;
    }
    events
}

/// Waits for descriptors: poll(2).
///
/// Sockets of this library may be among them, and are reported as Unix sockets are. Whoever waits by other means
/// (epoll, select, the poll of libc) waits for a socket to be readable only: it is whenever something came, and then
/// a message that could not be sent should be tried again too, on a non-blocking socket.
///
/// # Safety
///
/// `fds` is valid for `count` elements, or `count` is zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virtio_wl_poll(fds: *mut pollfd, count: nfds_t, timeout: c_int) -> c_int {
    guarded(-1, || {
        let deadline =
            u64::try_from(timeout).ok().map(|timeout| Instant::now() + Duration::from_millis(timeout));
        let count = usize::try_from(count).map_err(|_| Errno::INVAL)?;
        let fds = match count {
            0 => &mut [],
            _ if fds.is_null() => return Err(Errno::FAULT),
            // SAFETY: not null, and valid for that many elements by the contract of this function.
            _ => unsafe { std::slice::from_raw_parts_mut(fds, count) },
        };
        wait(fds, deadline, |fds, left| {
            let left = left.map_or(-1, millis);
            let count = nfds_t::try_from(fds.len()).map_err(|_| Errno::INVAL)?;
            // SAFETY: the slice is valid for as many elements as it has.
            let ready = unsafe { libc::poll(fds.as_mut_ptr(), count, left) };
            if ready < 0 { Err(last_error()) } else { Ok(()) }
        })
    })
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// Rounded up, so that a wait does not end early.
fn millis(left: Duration) -> c_int {
    c_int::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(c_int::MAX)
}

/// Waits for `fds` by `poll`, which is given the descriptors to wait for and the time that is left, if it ends.
/// Returns how many are ready.
///
/// # Errors
///
/// Those of `poll`.
pub fn wait(
    fds: &mut [pollfd],
    deadline: Option<Instant>,
    poll: impl FnMut(&mut [pollfd], Option<Duration>) -> Result<(), Errno>,
) -> Result<c_int, Errno> {
    Scratch::with(|Scratch { inner, watched }| {
        inner.extend_from_slice(fds);
        find(fds, inner, watched)?;
        wait_for(fds, inner, watched, deadline, poll)
    })
}

fn wait_for(
    fds: &mut [pollfd],
    inner: &mut [pollfd],
    watched: &[Watched],
    deadline: Option<Instant>,
    mut poll: impl FnMut(&mut [pollfd], Option<Duration>) -> Result<(), Errno>,
) -> Result<c_int, Errno> {
    let left = || deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    loop {
        let mut left = left();
        for one in watched {
            if let Some(fd) = fds.get_mut(one.index) {
                fd.revents = events_of(&one.descriptor, one.wanted);
                // Others may be ready too, and are looked at without waiting.
                left = if fd.revents == 0 { left } else { Some(Duration::ZERO) };
            }
        }
        poll(inner, left)?;
        for (index, fd) in fds.iter_mut().enumerate() {
            if let Some(one) = watched.iter().find(|one| one.index == index) {
                fd.revents |= events_of(&one.descriptor, one.wanted);
            } else if let Some(inner) = inner.get(index) {
                fd.revents = inner.revents;
            }
        }
        let ready = fds.iter().filter(|fd| fd.revents != 0).count();
        if ready > 0 || left == Some(Duration::ZERO) {
            return c_int::try_from(ready).map_err(|_| Errno::INVAL);
        }
    }
}

/// Finds the sockets of this library, and makes `inner` what has to be waited for instead: data, room, or (for who
/// wants neither) the end alone, which unread data must not hide.
fn find(fds: &[pollfd], inner: &mut Vec<pollfd>, watched: &mut Vec<Watched>) -> Result<(), Errno> {
    for (index, fd) in fds.iter().enumerate().filter(|(_, fd)| table::may_be_known(fd.fd)) {
        // SAFETY: the descriptor is looked at while the caller waits for it.
        let Ok(known) = (unsafe { message::open(fd.fd) }) else { continue };
        let Some(descriptor) = table::verified(known) else { continue };
        let mut one = Watched { index, descriptor, wanted: fd.events, room: false };
        // A listener has none.
        let room = one.descriptor.room_set().ok();
        let (reads, writes) = (fd.events & READS != 0, fd.events & WRITES != 0);
        if let Some(inner) = inner.get_mut(index) {
            inner.events = POLLIN;
            inner.fd = if reads || room.is_none() { fd.fd } else { -1 };
        }
        if let Some(room) = room.filter(|_| writes || !reads) {
            inner.push(pollfd { fd: room.as_raw_fd(), events: POLLIN, revents: 0 });
            if writes {
                one.descriptor.watch_room(true)?;
                one.room = true;
            }
        }
        watched.push(one);
    }
    Ok(())
}
