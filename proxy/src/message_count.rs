//! Counts Wayland messages in a stream of bytes.

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
