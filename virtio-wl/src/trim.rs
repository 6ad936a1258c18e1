//! Giving pages of the region back to the host: the records of a trim stream, pure.
//!
//! A trim stream begins with a [`Hello`](crate::wire::Hello) of purpose [`Trim`](crate::wire::Purpose::Trim). Then the
//! VM's side sends 16-byte [`TrimRecord`]s, and the host answers each one with the same 16 bytes once the
//! pages are gone. There is nothing else on the stream, and no other error than closing it.

use std::collections::VecDeque;
use std::ops::Range;

use thiserror::Error;

use crate::allocator::PAGE;
use crate::region::HEADER_LEN;

/// Length of a record in bytes.
pub const RECORD_LEN: usize = 16;

/// Most records under way at a time; the sender keeps the rest.
pub const MAX_IN_FLIGHT: usize = 256;

/// Why a trim stream cannot go on.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum TrimError {
    /// A record does not name whole pages of the region behind its header.
    #[error("trim of {len} bytes at {offset} is not a range of whole pages within the region")]
    Range {
        /// First byte.
        offset: u64,
        /// Bytes.
        len: u64,
    },
    /// The host acknowledged something else than the oldest request.
    #[error("the host acknowledged {got:?} instead of {expected:?}")]
    Acknowledgement {
        /// What it should have been; nothing if no request was under way.
        expected: Option<TrimRecord>,
        /// What came.
        got: TrimRecord,
    },
}

/// A request to discard a range of the region, and its acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrimRecord {
    /// First byte, counted from the beginning of the region.
    pub offset: u64,
    /// Length in bytes.
    pub len: u64,
}

impl TrimRecord {
    /// The bytes of this record.
    #[must_use]
    pub fn encode(&self) -> [u8; RECORD_LEN] {
        (u128::from(self.offset) | u128::from(self.len) << 64).to_le_bytes()
    }

    /// Reads a record. Nothing is checked; see [`check`](Self::check).
    #[must_use]
    pub fn decode(bytes: [u8; RECORD_LEN]) -> Self {
        let both = u128::from_le_bytes(bytes).to_le_bytes();
        let (offset, len) = both.split_at(8);
        let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte));
        Self { offset: number(offset), len: number(len) }
    }

    /// Whether a host may act on this record for a region of `region_len` bytes: whole pages, at least one,
    /// none of them the header.
    ///
    /// # Errors
    ///
    /// It may not; the stream must be closed.
    pub fn check(&self, region_len: u64) -> Result<(), TrimError> {
        let Self { offset, len } = *self;
        let whole = offset % PAGE == 0 && len % PAGE == 0 && len > 0;
        let inside = offset >= HEADER_LEN && offset.checked_add(len).is_some_and(|end| end <= region_len);
        if whole && inside { Ok(()) } else { Err(TrimError::Range { offset, len }) }
    }
}

/// The VM's side of a trim stream: queues requests, limits how many are under way and matches
/// acknowledgements. The caller moves the bytes.
#[derive(Debug, Default)]
pub struct TrimClient {
    waiting: VecDeque<TrimRecord>,
    in_flight: VecDeque<TrimRecord>,
    partial: Vec<u8>,
}

impl TrimClient {
    /// A client with nothing under way.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for `range` to be discarded.
    pub fn request(&mut self, range: Range<u64>) {
        let len = range.end.saturating_sub(range.start);
        self.waiting.push_back(TrimRecord { offset: range.start, len });
    }

    /// Whether [`take_output`](Self::take_output) has something.
    #[must_use]
    pub fn has_output(&self) -> bool {
        !self.waiting.is_empty() && self.in_flight.len() < MAX_IN_FLIGHT
    }

    /// The bytes to send now. Each request is given out once and then counts as under way.
    pub fn take_output(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        while self.in_flight.len() < MAX_IN_FLIGHT {
            let Some(record) = self.waiting.pop_front() else { break };
            out.extend_from_slice(&record.encode());
            self.in_flight.push_back(record);
        }
        out
    }

    /// Takes received bytes, cut anywhere, and gives the ranges that they acknowledge.
    ///
    /// # Errors
    ///
    /// The host acknowledged what was not asked for. The stream must be closed.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Range<u64>>, TrimError> {
        self.partial.extend_from_slice(bytes);
        let (records, rest) = self.partial.as_chunks::<RECORD_LEN>();
        let mut done = Vec::new();
        for record in records {
            let got = TrimRecord::decode(*record);
            let expected = self.in_flight.pop_front();
            if expected != Some(got) {
                return Err(TrimError::Acknowledgement { expected, got });
            }
            done.push(got.offset..got.offset.saturating_add(got.len));
        }
        self.partial = rest.to_vec();
        Ok(done)
    }

    /// Requests that are not acknowledged yet, sent or not.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.waiting.len() + self.in_flight.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_record_is_two_little_endian_numbers() {
        let record = TrimRecord { offset: 0x1000, len: 0x0203_0000 };
        assert_eq!(record.encode(), [0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 3, 2, 0, 0, 0, 0]);
        assert_eq!(TrimRecord::decode(record.encode()), record);
    }

    #[test]
    fn only_whole_pages_within_the_region_may_be_trimmed() {
        let check = |offset, len| TrimRecord { offset, len }.check(16 * PAGE).is_ok();
        assert!(check(PAGE, PAGE) && check(PAGE, 15 * PAGE) && check(15 * PAGE, PAGE));
        for (offset, len) in [
            (0, PAGE),
            (PAGE, 0),
            (PAGE + 1, PAGE),
            (PAGE, PAGE - 1),
            (PAGE, 16 * PAGE),
            (16 * PAGE, PAGE),
            (PAGE, u64::MAX - PAGE + 1),
            (u64::MAX - PAGE + 1, PAGE),
        ] {
            assert!(!check(offset, len), "{offset} {len}");
        }
    }

    #[test]
    fn acknowledgements_arrive_in_any_pieces_and_in_order() {
        let mut client = TrimClient::new();
        client.request(PAGE..2 * PAGE);
        client.request(4 * PAGE..8 * PAGE);
        let sent = client.take_output();
        assert_eq!(sent.len(), 2 * RECORD_LEN);
        assert!(!client.has_output());
        let mut done = Vec::new();
        for byte in sent {
            done.extend(client.feed(&[byte]).expect("what was sent"));
        }
        assert_eq!(done, [PAGE..2 * PAGE, 4 * PAGE..8 * PAGE]);
        assert_eq!(client.outstanding(), 0);
    }

    #[test]
    fn requests_under_way_are_bounded() {
        let mut client = TrimClient::new();
        for page in 1..=300 {
            client.request(page * PAGE..(page + 1) * PAGE);
        }
        let first = client.take_output();
        assert_eq!(first.len(), MAX_IN_FLIGHT * RECORD_LEN);
        assert!(client.take_output().is_empty());
        client.feed(&first).expect("what was sent");
        assert_eq!(client.take_output().len(), (300 - MAX_IN_FLIGHT) * RECORD_LEN);
    }

    #[test]
    fn an_acknowledgement_of_something_else_is_an_error() {
        let mut client = TrimClient::new();
        let other = TrimRecord { offset: PAGE, len: PAGE };
        let error = client.feed(&other.encode()).expect_err("nothing was asked for");
        assert_eq!(error, TrimError::Acknowledgement { expected: None, got: other });
    }

    proptest! {
        #[test]
        fn every_record_survives_the_round_trip(offset: u64, len: u64) {
            let record = TrimRecord { offset, len };
            prop_assert_eq!(TrimRecord::decode(record.encode()), record);
        }
    }
}
