//! What a connection sends, measured before it is parsed: message headers found in the byte stream, and
//! token buckets for requests and bytes.
//!
//! Both are pure: time comes in as a number. A [`HeaderScanner`] keeps only the bytes of a header that was
//! cut in two and a count of body bytes to skip, so its memory does not depend on what is sent. A [`Rate`]
//! never refuses; it says how long the connection has to wait before more is taken from it.

use std::time::Duration;

/// The length of a Wayland message's header: object id, then size and opcode. From the Wayland protocol.
const HEADER_LEN: usize = 8;

/// The longest Wayland message that is taken, in bytes. It is the limit of libwayland's classic buffers, and
/// the one that the message proxy parses with.
pub const MAX_MESSAGE_LEN: usize = 4096;

/// A message header that no valid client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The size is below that of the header itself.
    #[error("a message says that it is {0} bytes long, less than its own header")]
    TooShort(usize),
    /// The size is above [`MAX_MESSAGE_LEN`].
    #[error("a message says that it is {0} bytes long, and the longest allowed is {MAX_MESSAGE_LEN}")]
    TooLong(usize),
    /// The size is not a multiple of four.
    #[error("a message says that it is {0} bytes long, which is not a multiple of 4")]
    Unaligned(usize),
}

/// Finds the message headers in a stream that comes in arbitrary pieces.
#[derive(Debug, Default)]
pub struct HeaderScanner {
    header: [u8; HEADER_LEN],
    header_len: usize,
    body_left: usize,
}

impl HeaderScanner {
    /// Takes the next piece of the stream and returns how many messages began in it, counted when their
    /// header is complete.
    ///
    /// # Errors
    /// A header with an impossible size. The stream has no meaning after it; the scanner must not be used
    /// further.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<u32, HeaderError> {
        let mut messages: u32 = 0;
        while !bytes.is_empty() {
            let skipped = self.body_left.min(bytes.len());
            self.body_left -= skipped;
            let rest = bytes.split_at(skipped).1;
            let missing = HEADER_LEN - self.header_len;
            let (head, rest) = rest.split_at(missing.min(rest.len()));
            for &byte in head {
                if let Some(slot) = self.header.get_mut(self.header_len) {
                    *slot = byte;
                    self.header_len += 1;
                }
            }
            bytes = rest;
            if self.header_len == HEADER_LEN {
                self.body_left = body_len(self.header)?;
                self.header_len = 0;
                messages = messages.saturating_add(1);
            }
        }
        Ok(messages)
    }
}

fn body_len(header: [u8; HEADER_LEN]) -> Result<usize, HeaderError> {
    let [_, _, _, _, _, _, low, high] = header_in_order(header);
    let size = usize::from(u16::from_be_bytes([high, low]));
    if size < HEADER_LEN {
        return Err(HeaderError::TooShort(size));
    }
    if size > MAX_MESSAGE_LEN {
        return Err(HeaderError::TooLong(size));
    }
    if !size.is_multiple_of(4) {
        return Err(HeaderError::Unaligned(size));
    }
    Ok(size - HEADER_LEN)
}

/// The header's bytes as a little-endian machine would have them: the second word is (size << 16) | opcode in
/// the machine's own byte order.
fn header_in_order(header: [u8; HEADER_LEN]) -> [u8; HEADER_LEN] {
    if cfg!(target_endian = "little") {
        return header;
    }
    let [a, b, c, d, e, f, g, h] = header;
    [d, c, b, a, h, g, f, e]
}

/// A rate with a burst of one second, as a token bucket.
///
/// The bucket is kept as the time at which it would be full again (the generic cell rate algorithm), so
/// nothing has to be refilled and an idle connection costs nothing.
#[derive(Debug)]
pub struct Rate {
    per_second: u32,
    full_at: Duration,
}

impl Rate {
    /// What may be taken at once after a pause, in seconds of the rate.
    const BURST: Duration = Duration::from_secs(1);

    /// A full bucket. A rate of zero is treated as one, since a connection that may send nothing at all
    /// would be better refused.
    #[must_use]
    pub fn new(per_second: u32) -> Self {
        Self { per_second: per_second.max(1), full_at: Duration::ZERO }
    }

    /// Takes `count` tokens at the time `now` (of any clock that never goes back) and returns how long to
    /// wait before more is taken; zero if there is no need to wait.
    pub fn take(&mut self, count: u32, now: Duration) -> Duration {
        let nanos = u64::from(count).saturating_mul(1_000_000_000).div_ceil(u64::from(self.per_second));
        self.full_at = self.full_at.max(now).saturating_add(Duration::from_nanos(nanos));
        self.full_at.saturating_sub(now).saturating_sub(Self::BURST)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(size: u16, body: usize) -> Vec<u8> {
        let mut bytes = vec![1, 0, 0, 0];
        bytes.extend_from_slice(&((u32::from(size) << 16) | 7).to_ne_bytes());
        bytes.resize(8 + body, 0xaa);
        bytes
    }

    #[test]
    fn impossible_sizes_are_errors() {
        assert_eq!(HeaderScanner::default().feed(&message(4, 0)), Err(HeaderError::TooShort(4)));
        assert_eq!(HeaderScanner::default().feed(&message(10, 2)), Err(HeaderError::Unaligned(10)));
        assert_eq!(HeaderScanner::default().feed(&message(4100, 0)), Err(HeaderError::TooLong(4100)));
        assert_eq!(HeaderScanner::default().feed(&message(4096, 4088)), Ok(1));
    }

    #[test]
    fn within_the_burst_nobody_waits() {
        let mut rate = Rate::new(100);
        assert_eq!(rate.take(100, Duration::from_secs(5)), Duration::ZERO);
        assert_eq!(rate.take(50, Duration::from_secs(5)), Duration::from_millis(500));
        assert_eq!(rate.take(0, Duration::from_millis(5500)), Duration::ZERO);
    }

    #[test]
    fn extreme_numbers_do_not_overflow() {
        let mut rate = Rate::new(0);
        assert!(rate.take(u32::MAX, Duration::MAX) <= Duration::MAX);
        assert!(rate.take(u32::MAX, Duration::ZERO) > Duration::from_secs(1000));
    }

    proptest! {
        #[test]
        fn the_count_does_not_depend_on_how_the_stream_is_cut(
            bodies in proptest::collection::vec(0_usize..64, 0..20),
            cuts in proptest::collection::vec(1_usize..40, 1..20),
        ) {
            let stream: Vec<u8> = bodies
                .iter()
                .flat_map(|words| message(u16::try_from(8 + words * 4).unwrap(), words * 4))
                .collect();
            let mut scanner = HeaderScanner::default();
            let (mut rest, mut found) = (stream.as_slice(), 0);
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, tail) = rest.split_at((*cut).min(rest.len()));
                found += scanner.feed(piece).unwrap();
                rest = tail;
            }
            prop_assert_eq!(found as usize, bodies.len());
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = HeaderScanner::default().feed(&bytes);
        }

        #[test]
        fn over_a_long_time_the_rate_holds(takes in proptest::collection::vec(1_u32..500, 1..50)) {
            let (mut rate, mut now, mut total) = (Rate::new(1000), Duration::ZERO, 0_u64);
            for count in takes {
                total += u64::from(count);
                now += rate.take(count, now);
            }
            // One burst, and the last one may overdraw by itself.
            prop_assert!(total <= 1000 + 500 + (now.as_millis() as u64) + 1);
        }
    }
}
