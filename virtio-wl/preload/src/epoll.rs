//! epoll(7): sets of the program that have sockets of this library as members.
//!
//! The descriptor of a socket is readable whenever the library has something to do. So that the program sees what
//! it asked for, the data that belongs to a member is remembered, and events with that data are replaced by what poll(2)
//! would say. Room to send is a second member of the set, with the same data, as long as the program waits for it.
//!
//! What the program never hears of must not be the one event that `EPOLLONESHOT` lets through, so the kernel is not told of
//! that flag: a member is disarmed here, when an event of it is handed out.
//!
//! Data that two members have in common is data that the program cannot tell them by either. Where it is a socket's and that of
//! something else, an event that no socket explains is the other's, and stays as it is; the kernel says which members there are
//! (proc_pid_fdinfo(5)), which is asked only then.
//!
//! The lock of the members is never held while a socket works or descriptors are closed: closing comes back here.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::c_int;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

use libc::{
    EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLIN, EPOLLONESHOT, EPOLLOUT, epoll_event, sigset_t,
};
use rustix::io::Errno;
use virtio_wl::capi::descriptor::Descriptor;
use virtio_wl::capi::{poll, table};

use crate::numbers::{guarded, socket};
use crate::real;

/// A socket that is a member of a set.
#[derive(Debug)]
struct Member {
    socket: Arc<Descriptor>,
    /// What the program asked for.
    events: u32,
    data: u64,
    /// Whether room to send is waited for.
    room: bool,
    /// Whether events are reported: not after the one of `EPOLLONESHOT`.
    armed: bool,
    /// The process that made it a member: see [`table::generation`].
    process: u32,
}

/// By the numbers of the set and the socket.
type Members = BTreeMap<(c_int, c_int), Member>;

static MEMBERS: Mutex<Members> = Mutex::new(BTreeMap::new());

/// How many there are, so that programs without any are not slowed down.
static COUNT: AtomicUsize = AtomicUsize::new(0);

fn members() -> MutexGuard<'static, Members> {
    // Each change of the map is one call, so a panic elsewhere has left it whole.
    MEMBERS.lock().unwrap_or_else(PoisonError::into_inner)
}

thread_local! {
    /// The lock, while this thread forks: no other thread holds it in the child.
    static FORKING: RefCell<Option<MutexGuard<'static, Members>>> = const { RefCell::new(None) };
}

/// Keeps the members whole across fork(2), as the table keeps itself.
fn prepare_for_fork() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the handlers are functions without arguments, and this library is not unloaded. They take and give back
        // one lock. Without memory for them, fork works as it does without handlers.
        unsafe { libc::pthread_atfork(Some(before_fork), Some(after_fork), Some(after_fork)) };
    });
}

/// Runs `work` on the place for the lock. A thread that is ending has none any more, and forks without the lock.
fn while_forking(work: impl FnOnce(&mut Option<MutexGuard<'static, Members>>)) {
    let _ = FORKING.try_with(|forking| forking.try_borrow_mut().map(|mut forking| work(&mut forking)));
}

extern "C" fn before_fork() {
    while_forking(|forking| *forking = Some(members()));
}

extern "C" fn after_fork() {
    while_forking(|forking| drop(forking.take()));
}

/// Whether any socket is a member of any set.
pub fn is_used() -> bool {
    COUNT.load(Relaxed) > 0
}

/// A number is closed: of a socket or of a set.
pub fn forget(number: c_int) {
    if !is_used() {
        return;
    }
    let mut gone = Vec::new();
    let mut members = members();
    let keys: Vec<_> = members.keys().copied().filter(|(set, fd)| *set == number || *fd == number).collect();
    for key in keys {
        gone.extend(members.remove(&key).map(|member| (key, member)));
    }
    COUNT.store(members.len(), Relaxed);
    drop(members);
    for ((set, fd), member) in gone {
        if member.process != table::generation() {
            // The set and the socket are a parent's too, which goes on waiting.
            continue;
        }
        member.leave(set);
        // SAFETY: takes a member out. The set may be closed already, which is an error that does not matter.
        unsafe { real::epoll_ctl(set, EPOLL_CTL_DEL, fd, std::ptr::null_mut()) };
    }
}

impl Member {
    /// Room is not waited for any more.
    fn leave(mut self, set: c_int) {
        if self.remove_room(set) {
            // What fails here is about a socket that nobody will wait for again.
            let _ = self.socket.watch_room(false);
        }
    }

    /// Takes the second member out of the set, if it is there: the socket is to be told.
    fn remove_room(&mut self, set: c_int) -> bool {
        if self.room
            && let Ok(room) = self.socket.room_set()
        {
            // SAFETY: takes a member out, and touches no memory. The set may be closed already, which does not matter.
            unsafe { real::epoll_ctl(set, EPOLL_CTL_DEL, room.as_raw_fd(), std::ptr::null_mut()) };
        }
        std::mem::take(&mut self.room)
    }

    /// Room is waited for from now on.
    fn enter(&mut self, set: c_int) -> Result<(), Errno> {
        let room = self.socket.room_set()?;
        let mut event = epoll_event { events: told(self.events) | flag(EPOLLIN), u64: self.data };
        // SAFETY: the event is valid, and the descriptor is open as long as the socket lives.
        if unsafe { real::epoll_ctl(set, EPOLL_CTL_ADD, room.as_raw_fd(), &raw mut event) } < 0 {
            return Err(Errno::from_raw_os_error(real::errno()));
        }
        self.room = true;
        self.socket.watch_room(true)
    }
}

/// What the kernel is told of the events that the program asks for.
fn told(events: u32) -> u32 {
    events & !flag(EPOLLOUT | EPOLLONESHOT)
}

/// The bits of epoll are those of an unsigned word.
fn flag(bits: c_int) -> u32 {
    bits.cast_unsigned()
}

/// # Safety
///
/// As epoll_ctl(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epoll_ctl(
    set: c_int,
    operation: c_int,
    fd: c_int,
    event: *mut epoll_event,
) -> c_int {
    let Some(socket) = socket(fd) else {
        // SAFETY: by the contract of this function.
        return unsafe { real::epoll_ctl(set, operation, fd, event) };
    };
    guarded(|| {
        prepare_for_fork();
        let wanted = if operation == EPOLL_CTL_DEL {
            None
        } else {
            // SAFETY: null, or valid by the contract of this function. Its fields may lie at any address.
            Some(unsafe { event.as_ref() }.map(|event| (event.events, event.u64)).ok_or(Errno::FAULT)?)
        };
        let (events, data) = wanted.unwrap_or_default();
        let mut inner = epoll_event { events: told(events), u64: data };
        // SAFETY: the event is valid for the call.
        if unsafe { real::epoll_ctl(set, operation, fd, &raw mut inner) } < 0 {
            return Err(Errno::from_raw_os_error(real::errno()));
        }
        let old = members().remove(&(set, fd));
        if let Some(old) = old {
            old.leave(set);
        }
        if operation == EPOLL_CTL_ADD || operation == EPOLL_CTL_MOD {
            let process = table::generation();
            let mut member = Member { socket, events, data, room: false, armed: true, process };
            if events & flag(EPOLLOUT) != 0 {
                member.enter(set)?;
            }
            let mut members = members();
            let replaced = members.insert((set, fd), member);
            COUNT.store(members.len(), Relaxed);
            drop(members);
            // Dropped without the lock: ending a connection closes descriptors, which comes back here.
            drop(replaced);
        } else {
            COUNT.store(members().len(), Relaxed);
        }
        Ok(0)
    })
}

/// A member at the time of an event.
struct Watched {
    fd: c_int,
    socket: Arc<Descriptor>,
    events: u32,
    data: u64,
    room: bool,
}

/// The members of a set.
fn watched(set: c_int) -> Vec<Watched> {
    let watch = |(&(_, fd), member): (&(c_int, c_int), &Member)| {
        let events = if member.armed { member.events } else { 0 };
        Watched { fd, socket: Arc::clone(&member.socket), events, data: member.data, room: member.room }
    };
    members().range((set, c_int::MIN)..=(set, c_int::MAX)).map(watch).collect()
}

/// Replaces the events of sockets by what the program asked about them. Returns how many are left.
fn translate(set: c_int, events: &mut [epoll_event]) -> usize {
    let watched = watched(set);
    let mut seen: Vec<(u64, usize)> = Vec::new();
    let mut kept = 0;
    for index in 0..events.len() {
        let Some(mut event) = events.get(index).copied() else { break };
        let data = event.u64;
        let with_data = || watched.iter().filter(|one| one.data == data);
        if with_data().next().is_some() {
            event.events = match seen.iter_mut().find(|(known, _)| *known == data) {
                // Data and room, and several sockets, may each have an event: they are one.
                Some((_, more @ 1..)) => {
                    *more -= 1;
                    0
                }
                // More than the sockets can have caused.
                Some(_) => event.events,
                None => {
                    let members: usize = with_data().map(|one| 1 + usize::from(one.room)).sum();
                    seen.push((data, members.saturating_sub(1)));
                    match with_data().fold(0, |events, one| events | one.report(set)) {
                        0 if is_shared(set, data, &watched) => event.events,
                        events => events,
                    }
                }
            };
        }
        if event.events != 0
            && let Some(place) = events.get_mut(kept)
        {
            *place = event;
            kept += 1;
        }
    }
    kept
}

/// Whether something that is no socket of this library is a member of the set with this data.
fn is_shared(set: c_int, data: u64, sockets: &[Watched]) -> bool {
    // Without /proc, data is taken to be one's own, as it mostly is.
    let Ok(info) = std::fs::read_to_string(format!("/proc/self/fdinfo/{set}")) else { return false };
    let is_ours = |fd: c_int| {
        let room = |one: &Watched| one.socket.room_set().is_ok_and(|room| room.as_raw_fd() == fd);
        sockets.iter().any(|one| one.fd == fd || one.room && room(one))
    };
    let member = |line: &str| {
        let mut words = line.strip_prefix("tfd:")?.split_ascii_whitespace();
        let fd = words.next()?.parse().ok()?;
        let data = words.skip_while(|word| *word != "data:").nth(1)?;
        Some((fd, u64::from_str_radix(data, 16).ok()?))
    };
    info.lines().filter_map(member).any(|(fd, of)| of == data && !is_ours(fd))
}

impl Watched {
    /// What the program is told of the socket now.
    fn report(&self, set: c_int) -> u32 {
        let events = if self.events == 0 { 0 } else { now(&self.socket, self.events) };
        if events == 0 || self.events & flag(EPOLLONESHOT) == 0 || self.disarm(set) { events } else { 0 }
    }

    /// Nothing is reported until the program asks again. False if another thread has reported something just now.
    fn disarm(&self, set: c_int) -> bool {
        let mut members = members();
        let Some(member) = members.get_mut(&(set, self.fd)).filter(|member| member.armed) else {
            return false;
        };
        member.armed = false;
        let mut nothing = epoll_event { events: 0, u64: self.data };
        // SAFETY: the event is valid for the call. A number that is closed meanwhile is an error that does not matter.
        unsafe { real::epoll_ctl(set, EPOLL_CTL_MOD, self.fd, &raw mut nothing) };
        let had_room = member.remove_room(set);
        drop(members);
        if had_room {
            // What fails here is what the next call on the socket reports.
            let _ = self.socket.watch_room(false);
        }
        true
    }
}

/// What epoll would say of a Unix socket in this state: its bits are those of poll.
fn now(socket: &Descriptor, wanted: u32) -> u32 {
    let wanted = libc::c_short::try_from(wanted & 0x7fff).unwrap_or(0);
    u32::try_from(poll::events_of(socket, wanted)).unwrap_or(0)
}

/// # Safety
///
/// As epoll_pwait(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epoll_pwait(
    set: c_int,
    events: *mut epoll_event,
    count: c_int,
    timeout: c_int,
    mask: *const sigset_t,
) -> c_int {
    let length = |timeout| Duration::from_millis(timeout);
    let deadline =
        u64::try_from(timeout).ok().and_then(|timeout| Instant::now().checked_add(length(timeout)));
    let mut left = timeout;
    loop {
        // SAFETY: by the contract of this function.
        let ready = unsafe { real::epoll_pwait(set, events, count, left, mask) };
        let Some(len) = usize::try_from(ready).ok().filter(|len| *len > 0 && is_used()) else {
            return ready;
        };
        // SAFETY: the kernel has written that many events.
        let found = unsafe { std::slice::from_raw_parts_mut(events, len) };
        let kept = guarded(|| c_int::try_from(translate(set, found)).map_err(|_| Errno::INVAL));
        let rest = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if kept != 0 || rest == Some(Duration::ZERO) {
            return kept;
        }
        left = rest
            .map_or(-1, |rest| c_int::try_from(rest.as_nanos().div_ceil(1_000_000)).unwrap_or(c_int::MAX));
    }
}

/// # Safety
///
/// As epoll_wait(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epoll_wait(
    set: c_int,
    events: *mut epoll_event,
    count: c_int,
    timeout: c_int,
) -> c_int {
    // SAFETY: by the contract of this function.
    unsafe { epoll_pwait(set, events, count, timeout, std::ptr::null()) }
}
