//! The target `frames`: the decoder of frames against the second one, and back.
//!
//! Input: one byte, then frames. If the byte is odd the headers are taken as they are; otherwise a header is three bytes
//! (type, flags, length), so that nothing but the payload needs luck to be valid.

use virtio_wl::wire::{Frame, FrameHeader, NewVfd, WireError};

use super::choices::Choices;
use super::reference::{self, Kind, Message, Rule};

/// See the module.
pub fn run(input: &[u8]) {
    let mut choices = Choices::new(input);
    let raw = choices.flag();
    while !choices.is_empty() {
        let mut header = [0; 8];
        let payload = if raw {
            let taken = choices.bytes(8);
            header[..taken.len()].copy_from_slice(taken);
            let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
            choices.bytes(usize::try_from(length).unwrap_or(usize::MAX))
        } else {
            header[0] = choices.byte() % 14;
            header[1] = choices.byte() & 1;
            let length = usize::from(choices.byte());
            let payload = choices.bytes(length);
            header[4..].copy_from_slice(&u32::try_from(payload.len()).expect("short").to_le_bytes());
            payload
        };
        compare(&header, payload);
    }
}

/// Both decoders must say the same about a frame, and encoding it again must give its bytes.
pub fn compare(header: &[u8; 8], payload: &[u8]) {
    let ours = FrameHeader::decode(header);
    let length = match (&ours, reference::header(header)) {
        (Ok(ours), Ok(length)) => {
            assert_eq!(ours.payload_len(), length, "length of the payload");
            length
        }
        (Err(error), Err(rules)) => {
            assert!(rules.contains(&rule(error)), "{error} is none of {rules:?}");
            return;
        }
        (ours, other) => panic!("header {header:02x?}: {ours:?}, but the page says {other:?}"),
    };
    let Ok(header_decoded) = ours else { return };
    if payload.len() < length {
        // The stream would wait for the rest.
        assert!(Frame::decode(header_decoded, payload).is_err(), "a payload that is not all there");
        return;
    }
    match (Frame::decode(header_decoded, payload), reference::message(header, payload)) {
        (Ok(frame), Ok(message)) => {
            assert_eq!(converted(&frame), message, "the same frame");
            let mut again = Vec::new();
            frame.encode(&mut again);
            assert_eq!(again, [header, payload].concat(), "the same bytes again");
            assert_eq!(reference::bytes(&message), again, "the same bytes from both");
        }
        (Err(error), Err(rules)) => assert!(rules.contains(&rule(&error)), "{error} is none of {rules:?}"),
        (ours, other) => panic!("frame {header:02x?} {payload:02x?}: {ours:?}, but the page says {other:?}"),
    }
}

/// The frame as the second implementation has it.
#[must_use]
pub fn converted(frame: &Frame<'_>) -> Message {
    match *frame {
        Frame::Data { vfds, bytes } => Message::Data { ids: vfds.iter().collect(), bytes: bytes.to_vec() },
        Frame::DataCredit { bytes } => Message::DataCredit { bytes },
        Frame::DataEnd => Message::DataEnd,
        Frame::DataStop => Message::DataStop,
        Frame::VfdNew { id, vfd } => {
            let kind = match vfd {
                NewVfd::Region { offset, len } => Kind::Region { offset, length: len },
                NewVfd::Mirror { len } => Kind::Mirror { length: len },
                NewVfd::Blob { len } => Kind::Blob { length: len },
                NewVfd::PipeRead => Kind::Pipe { write_end: false },
                NewVfd::PipeWrite => Kind::Pipe { write_end: true },
                NewVfd::Socket => Kind::Socket,
            };
            Message::VfdNew { id, kind }
        }
        Frame::BlobData { id, bytes } => Message::BlobData { id, bytes: bytes.to_vec() },
        Frame::PipeData { id, bytes } => Message::PipeData { id, bytes: bytes.to_vec() },
        Frame::PipeCredit { id, bytes } => Message::PipeCredit { id, bytes },
        Frame::PipeEnd { id } => Message::PipeEnd { id },
        Frame::PipeStop { id } => Message::PipeStop { id },
        Frame::MirrorWrite { id, rect, bytes } => Message::MirrorWrite {
            id,
            row_length: rect.row_len,
            stride: rect.stride,
            rows: rect.rows,
            offset: rect.offset,
            bytes: bytes.to_vec(),
        },
        Frame::MirrorClose { id } => Message::MirrorClose { id },
    }
}

/// The rule that an error names.
#[must_use]
pub fn rule(error: &WireError) -> Rule {
    match error {
        WireError::Magic(_) => Rule::Magic,
        WireError::Version(_) => Rule::Version,
        WireError::Purpose(_) => Rule::Purpose,
        WireError::HelloField { .. } => Rule::HelloField,
        WireError::FrameType(_) => Rule::Type,
        WireError::FrameLength(_) => Rule::FrameLength,
        WireError::Reserved(_) => Rule::Reserved,
        WireError::PayloadLength { .. } => Rule::Payload,
        WireError::TooManyFds(_) => Rule::TooManyFds,
        WireError::VfdKind(_) => Rule::Kind,
        WireError::ZeroId => Rule::ZeroId,
        WireError::Bounds { .. } => Rule::Bounds,
    }
}
