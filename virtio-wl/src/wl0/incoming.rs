//! What was received and not taken yet.
//!
//! The driver may hand over the descriptors of a message before its bytes, and if it has more than it hands over at a time,
//! behind them. Descriptors that come before their bytes do no harm: programs take them in order. So bytes are
//! *settled*, which means that they can be taken, once all descriptors that belong to them are known to have come.
//!
//! All bytes are one queue, of which the last may not be settled, and the descriptors of settled bytes are another, each
//! with the place of the byte that it belongs to. Places are counted from the beginning of the connection. Both queues
//! keep their memory, so that a connection that goes on as it is allocates nothing.

use std::collections::VecDeque;

use super::ioctl::MAX_FDS;
use crate::socket::Violation;
use crate::vfd::ReceivedFd;

/// Descriptors that may wait to be taken before nothing more is received.
const FULL_FDS: usize = 4 * MAX_FDS;

/// Descriptors that may come with bytes that are not settled, of which no part can be taken.
const MAX_UNSETTLED_FDS: usize = 512;

/// What an empty queue of bytes keeps at the most, in bytes.
pub(super) const KEEP: usize = 64 * 1024;

/// A descriptor that was not taken, and the place of the byte that it belongs to.
#[derive(Debug)]
struct Attached {
    place: u64,
    fd: ReceivedFd,
}

/// The received data.
#[derive(Debug)]
pub(super) struct Incoming {
    bytes: VecDeque<u8>,
    /// The place of the first byte in the queue.
    place: u64,
    /// How many bytes at the end of the queue are not settled.
    unsettled: usize,
    attached: VecDeque<Attached>,
    unsettled_fds: VecDeque<ReceivedFd>,
    max_bytes: usize,
    ended: bool,
    discard: bool,
}

impl Incoming {
    pub(super) fn new(max_bytes: u32) -> Self {
        Self {
            bytes: VecDeque::new(),
            place: 0,
            unsettled: 0,
            attached: VecDeque::new(),
            unsettled_fds: VecDeque::new(),
            max_bytes: usize::try_from(max_bytes).unwrap_or(usize::MAX),
            ended: false,
            discard: false,
        }
    }

    pub(super) fn is_ended(&self) -> bool {
        self.ended
    }

    /// Whether the program wants no more data.
    pub(super) fn discards(&self) -> bool {
        self.discard
    }

    /// Whether there are bytes that can be taken.
    pub(super) fn has_data(&self) -> bool {
        self.settled() > 0
    }

    fn settled(&self) -> usize {
        self.bytes.len().saturating_sub(self.unsettled)
    }

    /// Whether nothing more should be received until something was taken. Never while bytes are unsettled, as only
    /// receiving more can settle them.
    pub(super) fn is_full(&self) -> bool {
        self.unsettled == 0 && (self.bytes.len() >= self.max_bytes || self.attached.len() >= FULL_FDS)
    }

    /// No data will come any more. Descriptors for which no byte came are closed.
    pub(super) fn end(&mut self) {
        self.settle();
        self.ended = true;
        self.unsettled_fds = VecDeque::new();
    }

    /// Nothing more comes after an error: drops what could only be settled by more.
    pub(super) fn drop_unsettled(&mut self) {
        self.bytes.truncate(self.settled());
        self.unsettled = 0;
        self.unsettled_fds = VecDeque::new();
    }

    /// Data is thrown away from now on.
    pub(super) fn discard(&mut self) {
        self.discard = true;
        self.bytes = VecDeque::new();
        self.unsettled = 0;
        self.attached = VecDeque::new();
        self.unsettled_fds = VecDeque::new();
    }

    /// A descriptor came, which belongs to the bytes that are added next or to those that are not settled.
    pub(super) fn add_fd(&mut self, fd: ReceivedFd) -> Result<(), Violation> {
        if self.discard {
            return Ok(());
        }
        if self.unsettled_fds.len() >= MAX_UNSETTLED_FDS {
            let limit = u64::try_from(MAX_UNSETTLED_FDS).unwrap_or(u64::MAX);
            return Err(Violation::Limit { what: "descriptors without bytes", limit });
        }
        self.unsettled_fds.push_back(fd);
        Ok(())
    }

    /// Bytes came, maybe none. `complete` says that the driver had no more descriptors then.
    pub(super) fn add(&mut self, bytes: &[u8], complete: bool) {
        if self.discard {
            return;
        }
        self.bytes.extend(bytes);
        self.unsettled = self.unsettled.saturating_add(bytes.len());
        if complete {
            self.settle();
        }
    }

    /// The driver has no more descriptors for what came. They go with the first byte, and where they are more than one
    /// message may have, with the bytes that follow. Those for which there is no byte wait for the next.
    pub(super) fn settle(&mut self) {
        let mut place = self.place.saturating_add(u64::try_from(self.settled()).unwrap_or(u64::MAX));
        for _ in 0..std::mem::take(&mut self.unsettled) {
            if self.unsettled_fds.is_empty() {
                break;
            }
            let len = self.unsettled_fds.len().min(MAX_FDS);
            self.attached.extend(self.unsettled_fds.drain(..len).map(|fd| Attached { place, fd }));
            place = place.saturating_add(1);
        }
    }

    /// Moves bytes to `into`. Descriptors go with the first byte returned or not at all.
    pub(super) fn take(&mut self, into: &mut [u8], fds: &mut Vec<ReceivedFd>) -> usize {
        if into.is_empty() {
            return 0;
        }
        while self.attached.front().is_some_and(|first| first.place <= self.place) {
            let Some(first) = self.attached.pop_front() else { break };
            fds.push(first.fd);
        }
        let mut len = into.len().min(self.settled());
        if let Some(next) = self.attached.front() {
            let before = next.place.saturating_sub(self.place);
            len = len.min(usize::try_from(before).unwrap_or(usize::MAX));
        }
        let (first, second) = self.bytes.as_slices();
        let (to_first, to_second) = into.split_at_mut(len.min(first.len()));
        copy(first, to_first);
        copy(second, to_second);
        self.bytes.drain(..len);
        self.place = self.place.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
        if self.bytes.is_empty() && self.bytes.capacity() > KEEP {
            self.bytes.shrink_to(KEEP);
        }
        len
    }
}

/// Copies as much as there is and fits.
fn copy(from: &[u8], into: &mut [u8]) {
    let len = from.len().min(into.len());
    if let (Some(from), Some(into)) = (from.get(..len), into.get_mut(..len)) {
        into.copy_from_slice(from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfd::ReceivedKind;

    fn pipes(count: usize) -> impl Iterator<Item = ReceivedFd> {
        (0..count).map(|_| ReceivedFd { fd: rustix::pipe::pipe().unwrap().0, kind: ReceivedKind::PipeRead })
    }

    fn add(incoming: &mut Incoming, bytes: &[u8], fds: usize, complete: bool) -> Result<(), Violation> {
        pipes(fds).try_for_each(|fd| incoming.add_fd(fd))?;
        incoming.add(bytes, complete);
        Ok(())
    }

    /// What one receive takes: the bytes and how many descriptors.
    fn take(incoming: &mut Incoming) -> (Vec<u8>, usize) {
        let (mut bytes, mut fds) = ([0; 64], Vec::new());
        let len = incoming.take(&mut bytes, &mut fds);
        (bytes[..len].to_vec(), fds.len())
    }

    #[test]
    fn bytes_wait_until_no_descriptor_can_be_missing() {
        let mut incoming = Incoming::new(1000);
        add(&mut incoming, b"ab", 28, false).unwrap();
        assert!(!incoming.has_data());
        add(&mut incoming, b"", 2, true).unwrap();
        assert_eq!(take(&mut incoming), (b"a".to_vec(), 28));
        assert_eq!(take(&mut incoming), (b"b".to_vec(), 2));
        add(&mut incoming, b"ab", 28, false).unwrap();
        incoming.settle();
        assert_eq!(take(&mut incoming), (b"ab".to_vec(), 28));
    }

    #[test]
    fn descriptors_without_bytes_wait_for_the_next_byte() {
        let mut incoming = Incoming::new(1000);
        add(&mut incoming, b"", 2, true).unwrap();
        assert!(!incoming.has_data());
        add(&mut incoming, b"ab", 1, true).unwrap();
        assert_eq!(take(&mut incoming), (b"ab".to_vec(), 3));
        add(&mut incoming, b"a", 28, false).unwrap();
        add(&mut incoming, b"", 28, true).unwrap();
        assert_eq!(take(&mut incoming), (b"a".to_vec(), 28));
        add(&mut incoming, b"b", 0, true).unwrap();
        assert_eq!(take(&mut incoming), (b"b".to_vec(), 28));
    }

    #[test]
    fn bytes_keep_their_order_and_descriptors_their_byte_however_they_are_taken() {
        let mut incoming = Incoming::new(1000);
        let (mut sent, mut taken) = (0_usize, 0_usize);
        // The places of bytes with a descriptor.
        let mut places = VecDeque::new();
        let byte = |place: usize| u8::try_from(place % 251).unwrap();
        for round in 0..1000 {
            let coming: Vec<u8> = (sent..sent + round % 61).map(byte).collect();
            // Every eighth message has one; of every fourth it may not have come.
            let fds = usize::from(round % 8 == 0 && !coming.is_empty());
            places.extend((0..fds).map(|_| sent));
            add(&mut incoming, &coming, fds, round % 4 != 1).unwrap();
            sent += coming.len();
            let (bytes, fds) = take(&mut incoming);
            assert!(bytes.iter().zip(taken..).all(|(here, place)| *here == byte(place)));
            if fds > 0 {
                assert_eq!((fds, places.pop_front()), (1, Some(taken)));
            }
            taken += bytes.len();
            let next = places.front().copied().unwrap_or(usize::MAX);
            assert!(taken <= next, "a descriptor later than its byte");
        }
        assert!(taken > 20_000, "{taken}");
    }

    #[test]
    fn memory_that_is_not_needed_any_more_is_given_back() {
        let mut incoming = Incoming::new(1 << 20);
        add(&mut incoming, &[7; 1 << 20], 0, true).unwrap();
        let mut taken = vec![0; 1 << 20];
        assert_eq!(incoming.take(&mut taken, &mut Vec::new()), 1 << 20);
        assert!(incoming.bytes.capacity() <= KEEP, "{}", incoming.bytes.capacity());
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut incoming = Incoming::new(10);
        assert!(!incoming.is_full());
        add(&mut incoming, &[1; 10], 0, true).unwrap();
        assert!(incoming.is_full());
        take(&mut incoming);
        for _ in 0..18 {
            add(&mut incoming, b"", 28, true).unwrap();
        }
        assert!(!incoming.is_full(), "only more can settle this");
        let error = add(&mut incoming, b"", 28, true);
        assert!(matches!(error, Err(Violation::Limit { limit: 512, .. })), "{error:?}");
    }

    #[test]
    fn the_end_keeps_what_came_and_drops_what_belongs_to_nothing() {
        let mut incoming = Incoming::new(10);
        add(&mut incoming, b"a", 28, false).unwrap();
        add(&mut incoming, b"", 28, false).unwrap();
        incoming.end();
        assert_eq!(take(&mut incoming), (b"a".to_vec(), 28));
        assert!(incoming.is_ended() && incoming.unsettled_fds.is_empty());
    }
}
