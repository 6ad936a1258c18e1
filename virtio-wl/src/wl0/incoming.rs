//! What was received and not taken yet.
//!
//! The driver may hand over the descriptors of a message before its bytes, and if it has more than it hands over at a time,
//! behind them. Descriptors that come before their bytes do no harm: programs take them in order. So bytes are
//! *settled*, which means that they can be taken, once all descriptors that belong to them are known to have come.

use std::collections::VecDeque;

use super::ioctl::MAX_FDS;
use crate::socket::Violation;
use crate::vfd::ReceivedFd;

/// Descriptors that may wait to be taken before nothing more is received.
const FULL_FDS: usize = 4 * MAX_FDS;

/// Descriptors that may come with bytes that are not settled, of which no part can be taken.
const MAX_UNSETTLED_FDS: usize = 512;

/// Bytes without descriptors are joined to the bytes before them up to this size.
const MAX_JOINED: usize = 64 * 1024;

#[derive(Debug)]
struct Message {
    bytes: Vec<u8>,
    taken: usize,
    fds: Vec<ReceivedFd>,
}

/// The received data.
#[derive(Debug)]
pub(super) struct Incoming {
    messages: VecDeque<Message>,
    bytes: usize,
    fds: usize,
    unsettled_bytes: Vec<u8>,
    unsettled_fds: Vec<ReceivedFd>,
    max_bytes: usize,
    ended: bool,
    discard: bool,
}

impl Incoming {
    pub(super) fn new(max_bytes: u32) -> Self {
        Self {
            messages: VecDeque::new(),
            bytes: 0,
            fds: 0,
            unsettled_bytes: Vec::new(),
            unsettled_fds: Vec::new(),
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

    pub(super) fn has_messages(&self) -> bool {
        !self.messages.is_empty()
    }

    /// Whether nothing more should be received until something was taken. Never while bytes are unsettled, as only
    /// receiving more can settle them.
    pub(super) fn is_full(&self) -> bool {
        self.unsettled_bytes.is_empty() && (self.bytes >= self.max_bytes || self.fds >= FULL_FDS)
    }

    /// No data will come any more. Descriptors for which no byte came are closed.
    pub(super) fn end(&mut self) {
        self.settle();
        self.ended = true;
        self.unsettled_fds.clear();
    }

    /// Data is thrown away from now on.
    pub(super) fn discard(&mut self) {
        self.discard = true;
        self.messages.clear();
        (self.bytes, self.fds) = (0, 0);
        self.unsettled_bytes.clear();
        self.unsettled_fds.clear();
    }

    /// Something came. `complete` says that the driver had no more descriptors then.
    pub(super) fn add(
        &mut self,
        bytes: &[u8],
        fds: impl Iterator<Item = ReceivedFd>,
        complete: bool,
    ) -> Result<(), Violation> {
        if self.discard {
            return Ok(());
        }
        self.unsettled_fds.extend(fds);
        if self.unsettled_fds.len() > MAX_UNSETTLED_FDS {
            let limit = u64::try_from(MAX_UNSETTLED_FDS).unwrap_or(u64::MAX);
            return Err(Violation::Limit { what: "descriptors without bytes", limit });
        }
        if complete && self.unsettled_bytes.is_empty() && self.unsettled_fds.is_empty() {
            self.push(bytes, Vec::new());
            return Ok(());
        }
        self.unsettled_bytes.extend_from_slice(bytes);
        if complete {
            self.settle();
        }
        Ok(())
    }

    /// The driver has no more descriptors for what came. They go with the first byte, and where they are more than one
    /// message may have, with the bytes that follow. Those for which there is no byte wait for the next.
    pub(super) fn settle(&mut self) {
        let bytes = std::mem::take(&mut self.unsettled_bytes);
        let mut rest = bytes.as_slice();
        while let Some((first, after)) = rest.split_first()
            && self.unsettled_fds.len() > MAX_FDS
            && !after.is_empty()
        {
            let fds = self.unsettled_fds.drain(..MAX_FDS).collect();
            self.push(std::slice::from_ref(first), fds);
            rest = after;
        }
        if !rest.is_empty() {
            let len = self.unsettled_fds.len().min(MAX_FDS);
            let fds = self.unsettled_fds.drain(..len).collect();
            self.push(rest, fds);
        }
    }

    fn push(&mut self, bytes: &[u8], fds: Vec<ReceivedFd>) {
        if bytes.is_empty() {
            return;
        }
        self.bytes = self.bytes.saturating_add(bytes.len());
        self.fds = self.fds.saturating_add(fds.len());
        match self.messages.back_mut() {
            Some(last) if fds.is_empty() && last.bytes.len().saturating_add(bytes.len()) <= MAX_JOINED => {
                last.bytes.extend_from_slice(bytes);
            }
            _ => self.messages.push_back(Message { bytes: bytes.to_vec(), taken: 0, fds }),
        }
    }

    /// Moves bytes to `into`. Descriptors go with the first byte returned or not at all.
    pub(super) fn take(&mut self, into: &mut [u8], fds: &mut Vec<ReceivedFd>) -> usize {
        let mut total = 0;
        while let Some(message) = self.messages.front_mut() {
            let space = into.get_mut(total..).unwrap_or_default();
            if space.is_empty() || (total > 0 && !message.fds.is_empty()) {
                break;
            }
            self.fds = self.fds.saturating_sub(message.fds.len());
            fds.append(&mut message.fds);
            let rest = message.bytes.get(message.taken..).unwrap_or_default();
            let len = rest.len().min(space.len());
            if let (Some(to), Some(from)) = (space.get_mut(..len), rest.get(..len)) {
                to.copy_from_slice(from);
            }
            message.taken += len;
            total += len;
            self.bytes = self.bytes.saturating_sub(len);
            if message.taken == message.bytes.len() {
                self.messages.pop_front();
            }
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfd::ReceivedKind;

    fn pipes(count: usize) -> impl Iterator<Item = ReceivedFd> {
        (0..count).map(|_| ReceivedFd { fd: rustix::pipe::pipe().unwrap().0, kind: ReceivedKind::PipeRead })
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
        incoming.add(b"ab", pipes(28), false).unwrap();
        assert!(!incoming.has_messages());
        incoming.add(b"", pipes(2), true).unwrap();
        assert_eq!(take(&mut incoming), (b"a".to_vec(), 28));
        assert_eq!(take(&mut incoming), (b"b".to_vec(), 2));
        incoming.add(b"ab", pipes(28), false).unwrap();
        incoming.settle();
        assert_eq!(take(&mut incoming), (b"ab".to_vec(), 28));
    }

    #[test]
    fn descriptors_without_bytes_wait_for_the_next_byte() {
        let mut incoming = Incoming::new(1000);
        incoming.add(b"", pipes(2), true).unwrap();
        assert!(!incoming.has_messages());
        incoming.add(b"ab", pipes(1), true).unwrap();
        assert_eq!(take(&mut incoming), (b"ab".to_vec(), 3));
        incoming.add(b"a", pipes(28), false).unwrap();
        incoming.add(b"", pipes(28), true).unwrap();
        assert_eq!(take(&mut incoming), (b"a".to_vec(), 28));
        incoming.add(b"b", pipes(0), true).unwrap();
        assert_eq!(take(&mut incoming), (b"b".to_vec(), 28));
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut incoming = Incoming::new(10);
        assert!(!incoming.is_full());
        incoming.add(&[1; 10], pipes(0), true).unwrap();
        assert!(incoming.is_full());
        take(&mut incoming);
        for _ in 0..18 {
            incoming.add(b"", pipes(28), true).unwrap();
        }
        assert!(!incoming.is_full(), "only more can settle this");
        let error = incoming.add(b"", pipes(28), true);
        assert!(matches!(error, Err(Violation::Limit { limit: 512, .. })), "{error:?}");
    }

    #[test]
    fn the_end_keeps_what_came_and_drops_what_belongs_to_nothing() {
        let mut incoming = Incoming::new(10);
        incoming.add(b"a", pipes(28), false).unwrap();
        incoming.add(b"", pipes(28), false).unwrap();
        incoming.end();
        assert_eq!(take(&mut incoming), (b"a".to_vec(), 28));
        assert!(incoming.is_ended() && incoming.unsettled_fds.is_empty());
    }
}
