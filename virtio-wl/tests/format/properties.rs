//! Frames and hellos of every kind, valid and nearly so: both implementations agree about each.

use proptest::collection::vec;
use proptest::prelude::*;
use virtio_wl::wire::{
    Frame, FrameHeader, HEADER_LEN, Hello, MAX_FDS, MAX_MEMORY, MirrorRect, NewVfd, VfdIds,
};

use crate::harness::reference::{self, Kind, Message};
use crate::harness::{frames, hello};

/// Content of a frame; now and then as much as there can be.
fn content(overhead: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        20 => vec(any::<u8>(), 1..300),
        1 => Just(vec![0xa5; 65_536 - overhead]),
    ]
}

fn any_kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        (0..=MAX_MEMORY, 1..=MAX_MEMORY).prop_map(|(offset, length)| Kind::Region { offset, length }),
        (1..=MAX_MEMORY).prop_map(|length| Kind::Mirror { length }),
        any::<u32>().prop_map(|length| Kind::Blob { length: length.into() }),
        any::<bool>().prop_map(|write_end| Kind::Pipe { write_end }),
        Just(Kind::Socket),
    ]
}

fn any_rectangle() -> impl Strategy<Value = Message> {
    let numbers = (1..=u32::MAX, 1..60_u32, 0..1_000_000_u32, 1..20_u32, 0..MAX_MEMORY / 2);
    numbers.prop_map(|(id, row_length, gap, rows, offset)| {
        let bytes = vec![0x5a; usize::try_from(row_length * rows).expect("small")];
        Message::MirrorWrite { id, row_length, stride: row_length + gap, rows, offset, bytes }
    })
}

/// A valid frame of any type.
fn any_message() -> impl Strategy<Value = Message> {
    let id = || 1..=u32::MAX;
    let ids = vec(id(), 0..=MAX_FDS);
    prop_oneof![
        (ids, content(4 + 4 * MAX_FDS)).prop_map(|(ids, bytes)| Message::Data { ids, bytes }),
        id().prop_map(|bytes| Message::DataCredit { bytes }),
        Just(Message::DataEnd),
        Just(Message::DataStop),
        (id(), any_kind()).prop_map(|(id, kind)| Message::VfdNew { id, kind }),
        (id(), content(4)).prop_map(|(id, bytes)| Message::BlobData { id, bytes }),
        (id(), content(4)).prop_map(|(id, bytes)| Message::PipeData { id, bytes }),
        (id(), id()).prop_map(|(id, bytes)| Message::PipeCredit { id, bytes }),
        id().prop_map(|id| Message::PipeEnd { id }),
        id().prop_map(|id| Message::PipeStop { id }),
        any_rectangle(),
        id().prop_map(|id| Message::MirrorClose { id }),
    ]
}

/// What the crate's encoder makes of a message of the second implementation.
pub fn encode(message: &Message) -> Vec<u8> {
    let mut scratch = Vec::new();
    let frame = match message {
        Message::Data { ids, bytes } => Frame::data(ids, bytes, &mut scratch),
        Message::DataCredit { bytes } => Frame::DataCredit { bytes: *bytes },
        Message::DataEnd => Frame::DataEnd,
        Message::DataStop => Frame::DataStop,
        Message::VfdNew { id, kind } => Frame::VfdNew { id: *id, vfd: new_vfd(*kind) },
        Message::BlobData { id, bytes } => Frame::BlobData { id: *id, bytes },
        Message::PipeData { id, bytes } => Frame::PipeData { id: *id, bytes },
        Message::PipeCredit { id, bytes } => Frame::PipeCredit { id: *id, bytes: *bytes },
        Message::PipeEnd { id } => Frame::PipeEnd { id: *id },
        Message::PipeStop { id } => Frame::PipeStop { id: *id },
        Message::MirrorWrite { id, row_length, stride, rows, offset, bytes } => {
            let rect = MirrorRect { offset: *offset, row_len: *row_length, stride: *stride, rows: *rows };
            Frame::MirrorWrite { id: *id, rect, bytes }
        }
        Message::MirrorClose { id } => Frame::MirrorClose { id: *id },
    };
    let mut bytes = Vec::new();
    frame.encode(&mut bytes);
    bytes
}

fn new_vfd(kind: Kind) -> NewVfd {
    match kind {
        Kind::Region { offset, length } => NewVfd::Region { offset, len: length },
        Kind::Mirror { length } => NewVfd::Mirror { len: length },
        Kind::Blob { length } => NewVfd::Blob { len: length },
        Kind::Pipe { write_end: false } => NewVfd::PipeRead,
        Kind::Pipe { write_end: true } => NewVfd::PipeWrite,
        Kind::Socket => NewVfd::Socket,
    }
}

fn split(bytes: &[u8]) -> (&[u8; HEADER_LEN], &[u8]) {
    bytes.split_first_chunk().expect("a frame has a header")
}

proptest! {
    #[test]
    fn both_encoders_give_the_same_bytes_and_both_decoders_the_same_frame(message in any_message()) {
        let bytes = encode(&message);
        prop_assert_eq!(&reference::bytes(&message), &bytes);
        let (header, payload) = split(&bytes);
        frames::compare(header, payload);
        let frame = Frame::decode(FrameHeader::decode(header).expect("valid"), payload).expect("valid");
        prop_assert_eq!(frames::converted(&frame), message);
    }

    #[test]
    fn both_decoders_agree_about_a_frame_with_one_byte_changed(
        message in any_message(),
        at in any::<proptest::sample::Index>(),
        change in 1_u8..,
    ) {
        let mut bytes = encode(&message);
        // The bytes that mean something are at the beginning.
        let at = at.index(bytes.len().min(150));
        bytes[at] ^= change;
        let (header, payload) = split(&bytes);
        let length = reference::header(header).map_or(0, |length| length.min(payload.len()));
        frames::compare(header, &payload[..length]);
    }

    #[test]
    fn both_decoders_agree_about_a_frame_that_is_cut_or_padded(message in any_message(), len in 0_usize..160) {
        let bytes = encode(&message);
        let (header, payload) = split(&bytes);
        let payload: Vec<u8> = payload.iter().copied().chain([7; 8]).take(len).collect();
        let mut header = *header;
        header[4..].copy_from_slice(&u32::try_from(payload.len()).expect("short").to_le_bytes());
        frames::compare(&header, &payload);
    }

    #[test]
    fn both_decoders_agree_about_a_hello_with_changed_bytes(
        changes in vec((0_usize..32, any::<u8>()), 0..4),
    ) {
        let valid = reference::Hello {
            purpose: 1,
            acceptor: false,
            region: true,
            sockets: true,
            data_window: 262_144,
            pipe_window: 4096,
            max_pipes: 1,
            max_mirrors: 2,
            max_blob: 3,
            max_mirror_pages: 4,
        };
        let mut bytes: [u8; 32] = reference::hello_bytes(&valid).try_into().expect("32 bytes");
        for (at, value) in changes {
            bytes[at] = value;
        }
        hello::compare(&bytes);
        if let Ok(hello) = Hello::decode(&bytes) {
            prop_assert_eq!(hello.encode(), bytes);
        }
    }

    #[test]
    fn the_identifiers_of_a_message_keep_their_order(ids in vec(1..=u32::MAX, 0..=MAX_FDS)) {
        let mut scratch = Vec::new();
        let Frame::Data { vfds, .. } = Frame::data(&ids, b"x", &mut scratch) else { unreachable!() };
        prop_assert_eq!((vfds.len(), VfdIds::is_empty(&vfds)), (ids.len(), ids.is_empty()));
        prop_assert_eq!(vfds.iter().collect::<Vec<_>>(), ids);
    }
}
