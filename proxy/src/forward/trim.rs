//! Gives memory of the region that no buffer uses back to the host.
//!
//! A thread waits until enough has been freed, or until no buffer is left at all, asks the hub over a stream of its own to
//! punch holes, and ends the stream when the hub has done so. While nothing is freed it does nothing. What is being
//! trimmed is not given out, so a discard can never hit a buffer's pixels; it is little at a time, so that the rest can be
//! used meanwhile. Every failure is harmless: memory stays where it is.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use virtio_wl::Address;
use virtio_wl::allocator::Allocator;
use virtio_wl::trim::TrimClient;
use virtio_wl::wire::{DATA_WINDOW, Hello, PIPE_WINDOW, Purpose, Role};

/// Bytes that have to be freed before the hub is bothered.
const THRESHOLD: u64 = 8 << 20;

/// Bytes named in one request at most.
const PIECE: u64 = 16 << 20;

/// Requests that are under way at a time: one that the hub works on, and one that it finds when it is done.
const IN_FLIGHT: usize = 2;

/// How long the hub may take for an answer before its stream is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// Tells the trimming thread what was freed.
#[derive(Debug)]
pub struct Trimmer {
    freed: AtomicU64,
    wake: SyncSender<()>,
}

impl Trimmer {
    /// Starts the thread. None, with a warning, where that is not possible.
    #[must_use]
    pub fn start(hub: Address, allocator: Arc<Mutex<Allocator>>) -> Option<Self> {
        let (wake, woken) = sync_channel(1);
        let run = move || trim_for_ever(&hub, &allocator, &woken);
        match thread::Builder::new().name("trim".into()).spawn(run) {
            Ok(_) => Some(Self { freed: AtomicU64::new(0), wake }),
            Err(error) => {
                tracing::warn!("memory is not given back to the host: cannot start a thread: {error}");
                None
            }
        }
    }

    /// `len` bytes were freed, and `used` bytes are still in use.
    pub fn freed(&self, len: u64, used: u64) {
        let before = self.freed.fetch_add(len, Ordering::Relaxed);
        if used == 0 || before.saturating_add(len) >= THRESHOLD {
            self.freed.store(0, Ordering::Relaxed);
            // A full channel means that the thread is about to look anyway.
            let _ = self.wake.try_send(());
        }
    }
}

fn trim_for_ever(hub: &Address, allocator: &Mutex<Allocator>, woken: &Receiver<()>) {
    while woken.recv().is_ok() {
        if let Err(error) = trim_once(hub, allocator) {
            tracing::debug!("the hub did not take memory back: {error}");
        }
    }
}

/// Offers what is free now.
///
/// What was not acknowledged may be used again only when the hub has closed its end, for until then it may
/// still act on a record. Where it neither answers nor closes, those ranges stay out of use.
fn trim_once(hub: &Address, allocator: &Mutex<Allocator>) -> io::Result<()> {
    let lock = || allocator.lock().unwrap_or_else(PoisonError::into_inner);
    let mut client = TrimClient::new();
    // The hub is not called for nothing.
    let Some(first) = lock().next_trim(PIECE) else { return Ok(()) };
    client.request(first);
    let stream = hub.connect().map(UnixStream::from).map_err(io::Error::other);
    // Nothing was sent, so nothing will be discarded.
    let stream = stream.inspect_err(|_| lock().trim_lost())?;
    let result = converse(&stream, &mut client, &lock);
    if client.outstanding() > 0 {
        let _ = stream.shutdown(Shutdown::Write);
        io::copy(&mut &stream, &mut io::sink())?;
        lock().trim_lost();
    }
    result
}

/// Sends the requests of `client` and whatever else is worth one, until all are answered.
fn converse<'a>(
    mut stream: &UnixStream,
    client: &mut TrimClient,
    lock: &impl Fn() -> MutexGuard<'a, Allocator>,
) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(&hello().encode())?;
    let mut buffer = [0; 4096];
    loop {
        while client.outstanding() < IN_FLIGHT
            && let Some(range) = lock().next_trim(PIECE)
        {
            client.request(range);
        }
        if client.outstanding() == 0 {
            return Ok(());
        }
        stream.write_all(&client.take_output())?;
        let len = stream.read(&mut buffer)?;
        let bytes = buffer.get(..len).filter(|bytes| !bytes.is_empty());
        let bytes = bytes.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        for range in client.feed(bytes).map_err(io::Error::other)? {
            if let Err(error) = lock().acknowledge(range) {
                tracing::warn!("internal error: {error}");
            }
        }
    }
}

/// The hello of a trim stream. Nothing but acknowledgements comes back, so its windows mean nothing.
fn hello() -> Hello {
    Hello {
        purpose: Purpose::Trim,
        role: Role::Initiator,
        has_region: true,
        takes_sockets: false,
        data_window: *DATA_WINDOW.start(),
        pipe_window: *PIPE_WINDOW.start(),
        max_pipes: 0,
        max_mirrors: 0,
        max_blob: 0,
        max_mirror_bytes: 0,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use virtio_wl::trim::{RECORD_LEN, TrimRecord};
    use virtio_wl::wire::HELLO_LEN;

    use super::*;

    const MIB: u64 = 1 << 20;

    /// An allocator with 64 MiB that were used and freed, and a listening hub.
    fn scene() -> (Arc<Mutex<Allocator>>, UnixListener, Address, tempfile::TempDir) {
        let mut allocator = Allocator::new(4096..4096 + 64 * MIB, MIB).unwrap();
        let slot = allocator.alloc(64 * MIB).unwrap();
        allocator.free(slot).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let address = Address::Unix(dir.path().join("hub"));
        let listener = UnixListener::bind(dir.path().join("hub")).unwrap();
        (Arc::new(Mutex::new(allocator)), listener, address, dir)
    }

    fn take_hello(stream: &mut UnixStream) -> Hello {
        let mut bytes = [0; HELLO_LEN];
        stream.read_exact(&mut bytes).unwrap();
        Hello::decode(&bytes).unwrap()
    }

    #[test]
    fn what_the_hub_acknowledges_is_free_and_is_not_offered_again() {
        let (allocator, listener, address, _dir) = scene();
        let trimmer = Trimmer::start(address, allocator.clone()).unwrap();
        trimmer.freed(64 * MIB, 0);
        let (mut stream, _) = listener.accept().unwrap();
        assert_eq!(take_hello(&mut stream).purpose, Purpose::Trim);
        let mut record = [0; RECORD_LEN];
        stream.read_exact(&mut record).unwrap();
        assert!((PIECE..=2 * PIECE).contains(&allocator.lock().unwrap().trimming_bytes()));
        let mut answered = 0;
        // The thread closes the stream when all is acknowledged.
        loop {
            stream.write_all(&record).unwrap();
            answered += TrimRecord::decode(record).len;
            if stream.read(&mut record).unwrap() == 0 {
                break;
            }
        }
        assert_eq!(answered, 64 * MIB);
        let mut allocator = allocator.lock().unwrap();
        assert_eq!((allocator.free_bytes(), allocator.trimming_bytes()), (64 * MIB, 0));
        assert_eq!(allocator.next_trim(PIECE), None);
    }

    #[test]
    fn a_hub_that_closes_the_stream_costs_nothing() {
        let (allocator, listener, address, _dir) = scene();
        let hub = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            take_hello(&mut stream);
        });
        assert!(trim_once(&address, &allocator).is_err());
        hub.join().unwrap();
        let allocator = allocator.lock().unwrap();
        assert_eq!((allocator.free_bytes(), allocator.trimming_bytes()), (64 * MIB, 0));
    }

    #[test]
    fn a_hub_that_is_not_there_costs_nothing() {
        let (allocator, listener, address, _dir) = scene();
        drop(listener);
        assert!(trim_once(&address, &allocator).is_err());
        assert_eq!(allocator.lock().unwrap().free_bytes(), 64 * MIB);
    }

    #[test]
    fn a_hub_is_not_called_for_nothing() {
        let (allocator, listener, address, _dir) = scene();
        let mut books = allocator.lock().unwrap();
        while let Some(range) = books.next_trim(PIECE) {
            books.acknowledge(range).unwrap();
        }
        drop(books);
        trim_once(&address, &allocator).unwrap();
        listener.set_nonblocking(true).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn small_change_does_not_bother_the_hub_unless_it_is_the_last() {
        let (wake, woken) = sync_channel(1);
        let trimmer = Trimmer { freed: AtomicU64::new(0), wake };
        trimmer.freed(THRESHOLD - 1, 4096);
        assert!(woken.try_recv().is_err());
        trimmer.freed(1, 4096);
        assert!(woken.try_recv().is_ok());
        trimmer.freed(1, 4096);
        assert!(woken.try_recv().is_err());
        trimmer.freed(1, 0);
        assert!(woken.try_recv().is_ok());
    }
}
