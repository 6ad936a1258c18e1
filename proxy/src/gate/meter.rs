//! What a connection sends, measured before it is parsed: message headers found in the byte stream.
//!
//! A [`HeaderScanner`] keeps only the bytes of a header that was cut in two and a count of body bytes to skip, so its
//! memory does not depend on what is sent.

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
    }
}
