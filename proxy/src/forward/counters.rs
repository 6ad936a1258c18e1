//! What connections have done: numbers that are kept as it happens and read when somebody asks (SIGUSR1).
//!
//! Only the thread of a connection writes its numbers, and only the main thread reads them, so that an ordinary addition is
//! all that counting costs and nobody is woken for it. A number that is read while it changes is the one before or after; the
//! numbers of one line may be of slightly different moments.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that one thread writes.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it. To be called by one thread alone.
    pub fn add(&self, more: u64) {
        // A load and a store, not a locked addition: there is nobody else to lose an addition to.
        self.set(self.get().wrapping_add(more));
    }

    /// Replaces it. To be called by the same thread as [`add`](Self::add).
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The number now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The numbers of one connection.
#[derive(Debug, Default)]
pub struct Counters {
    /// Requests of the application.
    pub requests: Counter,
    /// Their bytes.
    pub request_bytes: Counter,
    /// Events of the compositor.
    pub events: Counter,
    /// Their bytes.
    pub event_bytes: Counter,
    /// Bytes of pixels that were copied out of the application's memory.
    pub copied_bytes: Counter,
    /// Bytes of those that are sent through the connection, as there is no shared memory.
    pub mirror_bytes: Counter,
    /// Pipes that are open now, for clipboards and dragged content.
    pub open_pipes: Counter,
    /// Bytes that the copies of the application's buffers take up now.
    pub memory: Counter,
}

impl Counters {
    /// The numbers as they are now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            requests: self.requests.get(),
            request_bytes: self.request_bytes.get(),
            events: self.events.get(),
            event_bytes: self.event_bytes.get(),
            copied_bytes: self.copied_bytes.get(),
            mirror_bytes: self.mirror_bytes.get(),
            open_pipes: self.open_pipes.get(),
            memory: self.memory.get(),
        }
    }
}

/// The numbers of a connection at one time, or the sum over several. See [`Counters`] for what they are.
#[expect(missing_docs, reason = "the fields are those of Counters, which says what they are")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub requests: u64,
    pub request_bytes: u64,
    pub events: u64,
    pub event_bytes: u64,
    pub copied_bytes: u64,
    pub mirror_bytes: u64,
    pub open_pipes: u64,
    pub memory: u64,
}

impl Snapshot {
    /// Adds the numbers of another connection.
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in [
            (&mut self.requests, other.requests),
            (&mut self.request_bytes, other.request_bytes),
            (&mut self.events, other.events),
            (&mut self.event_bytes, other.event_bytes),
            (&mut self.copied_bytes, other.copied_bytes),
            (&mut self.mirror_bytes, other.mirror_bytes),
            (&mut self.open_pipes, other.open_pipes),
            (&mut self.memory, other.memory),
        ] {
            *sum = sum.wrapping_add(more);
        }
    }

    /// What is left of a connection that has ended: neither pipes nor memory.
    #[must_use]
    pub fn ended(self) -> Self {
        Self { open_pipes: 0, memory: 0, ..self }
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "requests {} ({} bytes), events {} ({} bytes), pixels copied {} bytes, mirrors {} bytes, open pipes {}, \
             buffers {} bytes",
            self.requests,
            self.request_bytes,
            self.events,
            self.event_bytes,
            self.copied_bytes,
            self.mirror_bytes,
            self.open_pipes,
            self.memory,
        )
    }
}

/// Length of a Wayland message's header: the object, then size and opcode.
const HEADER_LEN: usize = 8;

/// Counts the messages in a stream that comes in pieces. It looks at the size of each and at nothing else.
#[derive(Debug, Default)]
pub struct MessageCount {
    /// Bytes before the next header.
    skip: usize,
    /// The beginning of a header that was cut.
    partial: [u8; HEADER_LEN],
    partial_len: usize,
}

impl MessageCount {
    /// How many messages begin in the next piece; those are counted that have their whole header.
    pub fn feed(&mut self, piece: &[u8]) -> u64 {
        let mut rest = piece;
        let mut messages = 0;
        if self.partial_len > 0 {
            let missing = HEADER_LEN.saturating_sub(self.partial_len).min(rest.len());
            let (more, behind) = rest.split_at(missing);
            for (to, from) in self.partial.iter_mut().skip(self.partial_len).zip(more) {
                *to = *from;
            }
            self.partial_len = self.partial_len.saturating_add(missing);
            rest = behind;
            if self.partial_len < HEADER_LEN {
                return 0;
            }
            self.partial_len = 0;
            self.skip = message_len(&self.partial).saturating_sub(HEADER_LEN);
            messages = 1;
        }
        loop {
            let Some(message) = rest.get(self.skip..) else {
                self.skip = self.skip.saturating_sub(rest.len());
                return messages;
            };
            rest = message;
            self.skip = 0;
            let Some(header) = rest.first_chunk::<HEADER_LEN>() else { break };
            messages = messages.saturating_add(1);
            self.skip = message_len(header);
        }
        for (to, from) in self.partial.iter_mut().zip(rest) {
            *to = *from;
        }
        self.partial_len = rest.len();
        messages
    }
}

/// The size that a header gives. One that is impossible ends the connection elsewhere, and must only not stop the count.
fn message_len(header: &[u8; HEADER_LEN]) -> usize {
    let [_, _, _, _, a, b, c, d] = *header;
    let size = u32::from_ne_bytes([a, b, c, d]) >> 16;
    usize::try_from(size).unwrap_or(HEADER_LEN).max(HEADER_LEN)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(body: usize) -> Vec<u8> {
        let size = u32::try_from(HEADER_LEN + body).unwrap();
        let mut bytes = vec![7, 0, 0, 0];
        bytes.extend_from_slice(&(size << 16 | 5).to_ne_bytes());
        bytes.resize(HEADER_LEN + body, 0xee);
        bytes
    }

    #[test]
    fn a_size_that_is_impossible_does_not_stop_the_count() {
        let mut count = MessageCount::default();
        assert_eq!(count.feed(&[0; 24]), 3);
    }

    #[test]
    fn what_has_ended_holds_nothing() {
        let counters = Counters::default();
        counters.requests.add(3);
        counters.memory.set(4096);
        counters.open_pipes.set(1);
        let mut sum = counters.snapshot();
        sum.add(&counters.snapshot().ended());
        assert_eq!((sum.requests, sum.memory, sum.open_pipes), (6, 4096, 1));
    }

    proptest! {
        #[test]
        fn messages_are_counted_however_the_stream_is_cut(
            bodies in proptest::collection::vec(0_usize..40, 0..30),
            cuts in proptest::collection::vec(1_usize..50, 1..60),
        ) {
            let stream: Vec<u8> = bodies.iter().flat_map(|body| message(body * 4)).collect();
            let mut count = MessageCount::default();
            let (mut rest, mut messages) = (&stream[..], 0);
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, behind) = rest.split_at((*cut).min(rest.len()));
                messages += count.feed(piece);
                rest = behind;
            }
            prop_assert_eq!(messages, bodies.len() as u64);
        }
    }
}
