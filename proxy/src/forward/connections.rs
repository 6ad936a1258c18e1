//! The living connections: their threads, their number, and what they have done.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;

use super::application::Application;
use super::counters::{Counters, Snapshot};
use super::serve::Observer;
use super::store::Store;

/// All connections, and a descriptor that becomes readable whenever one ends.
#[derive(Clone, Debug)]
pub struct Connections {
    books: Arc<Mutex<Books>>,
    ended: Arc<OwnedFd>,
    store: Option<Arc<Store>>,
}

/// Who is served.
#[derive(Debug, Default)]
struct Books {
    /// By number, which is that of its place among all.
    live: BTreeMap<u64, (Application, Arc<Counters>)>,
    /// How many there were.
    started: u64,
    /// What those have done that are gone.
    ended: Snapshot,
}

impl Connections {
    /// None yet. They use `store`, which is reported on too.
    ///
    /// # Errors
    ///
    /// There is no descriptor.
    pub fn new(store: Option<Arc<Store>>) -> Result<Self, Errno> {
        let ended = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { books: Arc::default(), ended: Arc::new(ended), store })
    }

    /// How many there are.
    #[must_use]
    pub fn live(&self) -> u32 {
        u32::try_from(self.books().live.len()).unwrap_or(u32::MAX)
    }

    /// Makes the descriptor wait for the next end. True: there was one.
    pub fn take_ends(&self) -> bool {
        rustix::io::read(&self.ended, &mut [0; 8]).is_ok()
    }

    /// Starts the thread of a connection, which is over when `serve` returns. Its end is noticed even if it panics.
    ///
    /// # Errors
    ///
    /// There is no room for another thread: there was no connection then, and `serve` is dropped with what it holds.
    pub fn start<R: Send + 'static>(
        &self,
        application: Application,
        trace: Option<String>,
        serve: impl FnOnce(&Observer) -> R + Send + 'static,
    ) -> io::Result<JoinHandle<R>> {
        self.start_in(thread::Builder::new().name("connection".into()), application, trace, serve)
    }

    /// As [`start`](Self::start), in a thread of this kind.
    fn start_in<R: Send + 'static>(
        &self,
        thread: thread::Builder,
        application: Application,
        trace: Option<String>,
        serve: impl FnOnce(&Observer) -> R + Send + 'static,
    ) -> io::Result<JoinHandle<R>> {
        let observer = Observer { counters: Arc::default(), trace };
        let number = self.enter(application, &observer);
        let connections = self.clone();
        let started = thread.spawn(move || {
            let _guard = ConnectionGuard { connections, number };
            serve(&observer)
        });
        if started.is_err() {
            self.strike_out(number);
        }
        started
    }

    /// Gives a new connection its number. It has one before its thread runs, which may end at once.
    fn enter(&self, application: Application, observer: &Observer) -> u64 {
        let mut books = self.books();
        books.started = books.started.saturating_add(1);
        let number = books.started;
        books.live.insert(number, (application, observer.counters.clone()));
        number
    }

    /// A connection has not begun. Only the main thread makes them, so that its number is the last one.
    fn strike_out(&self, number: u64) {
        let mut books = self.books();
        books.live.remove(&number);
        if books.started == number {
            books.started = number.saturating_sub(1);
        }
    }

    /// Logs what every connection has done, and all of them together.
    pub fn report(&self) {
        let books = self.books();
        let mut total = books.ended;
        for (number, (application, counters)) in &books.live {
            let snapshot = counters.snapshot();
            total.add(&snapshot);
            tracing::info!("connection {number}, {application}: {snapshot}");
        }
        let (open, all) = (books.live.len(), books.started);
        let region = self.store.as_ref().map_or_else(
            || "no region".to_owned(),
            |store| format!("region {} of {} bytes used", store.used_bytes(), store.region().len()),
        );
        let resident = resident_bytes().map_or_else(|| "?".to_owned(), |bytes| bytes.to_string());
        tracing::info!(
            "total, {open} of {all} connections open: {total}, {region}, resident {resident} bytes"
        );
    }

    /// A thread that panicked while it held the lock had finished what it changed.
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for Connections {
    /// Readable when a connection has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ended.as_fd()
    }
}

/// Lives as long as a connection.
struct ConnectionGuard {
    connections: Connections,
    number: u64,
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        let mut books = self.connections.books();
        if let Some((_, counters)) = books.live.remove(&self.number) {
            books.ended.add(&counters.snapshot().ended());
        }
        drop(books);
        // It can only fail if the main thread has not looked for 2^64 connections.
        let _ = rustix::io::write(&self.connections.ended, &1_u64.to_ne_bytes());
    }
}

/// The memory of this process that is in RAM, that of files and shared memory included; from proc_pid_status(5).
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let text = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = text.split_ascii_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn what_an_ended_connection_did_stays_in_the_total() {
        let connections = Connections::new(None).unwrap();
        let (go, wait) = channel();
        let thread = connections.start(Application::default(), None, move |observer| {
            observer.counters.requests.add(7);
            observer.counters.memory.add(9);
            wait.recv().unwrap();
        });
        assert_eq!(connections.live(), 1);
        go.send(()).unwrap();
        thread.unwrap().join().unwrap();
        assert_eq!(connections.live(), 0);
        assert!(connections.take_ends() && !connections.take_ends());
        assert_eq!(connections.books().ended, Snapshot { requests: 7, ..Snapshot::default() });
    }

    #[test]
    fn the_end_of_a_connection_that_panics_is_noticed() {
        let connections = Connections::new(None).unwrap();
        let thread = connections.start(Application::default(), None, |_| panic!("as the test wants it"));
        assert!(thread.unwrap().join().is_err());
        assert!(connections.take_ends());
        assert_eq!(connections.live(), 0);
    }

    /// One that had no thread was counted among those that were, and reported as ended: a main thread that was out of room took
    /// that for room, and tried again at once, for as long as somebody wanted to connect.
    #[test]
    fn a_connection_that_has_no_thread_has_never_been() {
        let connections = Connections::new(None).unwrap();
        let (kept, dropped) = std::os::unix::net::UnixStream::pair().unwrap();
        // More than there are addresses.
        let thread = thread::Builder::new().stack_size(1 << 60);
        let started = connections.start_in(thread, Application::default(), None, move |_| drop(dropped));
        assert!(started.is_err());
        assert_eq!(io::Read::read(&mut &kept, &mut [0]).unwrap(), 0, "the application is told");
        assert_eq!((connections.live(), connections.books().started), (0, 0));
        assert!(!connections.take_ends(), "nothing has ended");
        connections.start(Application::default(), None, |_| ()).unwrap().join().unwrap();
        assert_eq!((connections.live(), connections.books().started), (0, 1));
        assert!(connections.take_ends());
    }

    #[test]
    fn resident_memory_is_known() {
        assert!(resident_bytes().is_some_and(|bytes| bytes > 1 << 20));
    }
}
