//! Which descriptor numbers of the process are the library's.
//!
//! A number is the library's from [`insert`] or [`enter`] until [`remove`]. A program that closes one with close(2)
//! instead leaves a stale entry; it ends when the number is looked up or inserted again, because then the kernel says that
//! something else (or nothing) is behind it. A copy that dup(2) made is found in the same way and entered.
//!
//! After fork(2), parent and child have one connection between them, as with any socket, of which each has half
//! the state: one of them may go on with it, and the other only closes its numbers. Which of them a process is says the
//! [`generation`] that has used the connection last. A child of vfork(2) changes nothing of the table, which is
//! still its parent's: neither what it closes nor what comes to be under a number then is of any concern there.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};

use rustix::io::{Errno, FdFlags};

use super::descriptor::Descriptor;

type Table = BTreeMap<RawFd, Arc<Descriptor>>;

static TABLE: Mutex<Table> = Mutex::new(BTreeMap::new());

/// Bits for the numbers in the table, so that the many that are not can be told without a lock, even in a signal
/// handler. Numbers beyond are always looked up.
static KNOWN: [AtomicU64; 1024] = [const { AtomicU64::new(0) }; 1024];

/// The process whose table this is.
static OWNER: AtomicI32 = AtomicI32::new(0);

/// How often fork(2) has made a new process of the one that loaded the library, on the way to this one.
static GENERATION: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// The lock, while this thread forks: no other thread holds it in the child.
    static FORKING: RefCell<Option<MutexGuard<'static, Table>>> = const { RefCell::new(None) };
}

fn table() -> MutexGuard<'static, Table> {
    // Each change of the map is one call, so a panic elsewhere has left it whole.
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn known_bit(number: RawFd) -> Option<(&'static AtomicU64, u64)> {
    let number = usize::try_from(number).ok()?;
    Some((KNOWN.get(number / 64)?, 1 << (number % 64)))
}

/// Whether the number may be in the table. Takes no lock.
#[must_use]
pub fn may_be_known(number: RawFd) -> bool {
    number >= 0 && known_bit(number).is_none_or(|(word, bit)| word.load(Relaxed) & bit != 0)
}

/// Whether the table is this process's own, and not that of a parent whose memory it borrows.
#[must_use]
pub fn is_ours() -> bool {
    OWNER.load(Relaxed) == rustix::process::getpid().as_raw_nonzero().get()
}

/// Which process this is among its ancestors that had the table: a child of fork(2) has the number that follows its
/// parent's. Those that borrow their parent's memory have its number.
#[must_use]
pub fn generation() -> u32 {
    GENERATION.load(Relaxed)
}

/// Gives `descriptor` a number (not less than `at_least`) of its own, or a further one.
///
/// # Errors
///
/// The process has too many descriptors.
pub fn insert(descriptor: &Arc<Descriptor>, close_on_exec: bool, at_least: RawFd) -> Result<OwnedFd, Errno> {
    let number = rustix::io::fcntl_dupfd_cloexec(descriptor.set(), at_least)?;
    if !close_on_exec {
        rustix::io::fcntl_setfd(&number, FdFlags::empty())?;
    }
    enter(number.as_raw_fd(), Arc::clone(descriptor));
    Ok(number)
}

/// Enters a number that is (or is just becoming) a duplicate of the descriptor's set.
pub fn enter(number: RawFd, descriptor: Arc<Descriptor>) {
    prepare_for_fork();
    let mut table = table();
    let stale = table.insert(number, descriptor);
    if let Some((word, bit)) = known_bit(number) {
        word.fetch_or(bit, Relaxed);
    }
    drop(table);
    // Dropped without the lock: closing descriptors may come back here.
    drop(stale);
}

/// What a number stands for by the table alone.
#[must_use]
pub fn get(number: RawFd) -> Option<Arc<Descriptor>> {
    may_be_known(number).then(|| table().get(&number).cloned()).flatten()
}

/// What a number stands for, asking the kernel whether it still does.
#[must_use]
pub fn verified(number: BorrowedFd<'_>) -> Option<Arc<Descriptor>> {
    let raw = number.as_raw_fd();
    let entry = get(raw);
    if let Some(descriptor) = &entry
        && descriptor.is_behind(number)
    {
        return entry;
    }
    drop(entry);
    // A stale entry ends here; a number that is not in the table may be a copy of one that is.
    if is_ours()
        && let Some(stale) = remove(raw)
        && stale.is_inherited()
    {
        // This process may be closing all numbers there are, and the descriptor's own are none that it could close again.
        std::mem::forget(stale);
    }
    let copy = table().values().find(|descriptor| descriptor.is_behind(number)).cloned()?;
    if is_ours() {
        enter(raw, Arc::clone(&copy));
    }
    Some(copy)
}

/// Takes a number out, and returns what it stood for: dropping the last of its references ends the connection, which may
/// take a moment.
#[must_use]
pub fn remove(number: RawFd) -> Option<Arc<Descriptor>> {
    if !may_be_known(number) {
        return None;
    }
    let mut table = table();
    let descriptor = table.remove(&number);
    if let Some((word, bit)) = known_bit(number) {
        word.fetch_and(!bit, Relaxed);
    }
    descriptor
}

/// Keeps the table whole across fork(2).
fn prepare_for_fork() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        OWNER.store(rustix::process::getpid().as_raw_nonzero().get(), Relaxed);
        // SAFETY: the handlers are functions without arguments that live as long as the library: glibc forgets those of a
        // library that is unloaded, and musl unloads none. They take and give back one lock. Without memory for
        // them, fork works as it does without handlers.
        unsafe { libc::pthread_atfork(Some(before_fork), Some(after_fork), Some(after_fork_in_child)) };
    });
}

/// Runs `work` on the place for the lock. A thread that is ending has none any more; it forks without the lock, as a panic
/// must not leave a function that C calls.
fn while_forking(work: impl FnOnce(&mut Option<MutexGuard<'static, Table>>)) {
    let _ = FORKING.try_with(|forking| forking.try_borrow_mut().map(|mut forking| work(&mut forking)));
}

extern "C" fn before_fork() {
    while_forking(|forking| *forking = Some(table()));
}

extern "C" fn after_fork() {
    while_forking(|forking| drop(forking.take()));
}

extern "C" fn after_fork_in_child() {
    OWNER.store(rustix::process::getpid().as_raw_nonzero().get(), Relaxed);
    GENERATION.fetch_add(1, Relaxed);
    after_fork();
}
