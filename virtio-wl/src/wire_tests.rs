use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn hello() -> Hello {
    Hello {
        purpose: Purpose::Wayland,
        role: Role::Acceptor,
        has_region: true,
        takes_sockets: true,
        data_window: 256 * 1024,
        pipe_window: 65536,
        max_pipes: 256,
        max_mirrors: 8,
        max_blob: 4 << 20,
        max_mirror_bytes: 256 << 20,
    }
}

/// Decodes one encoded frame and checks that it is exactly as long as its header says.
fn decode(bytes: &[u8]) -> Result<Frame<'_>, WireError> {
    let (header, payload) = bytes.split_first_chunk().expect("a frame has a header");
    Frame::decode(FrameHeader::decode(header)?, payload)
}

#[test]
fn hello_has_the_specified_layout() {
    let bytes = hello().encode();
    assert_eq!(&bytes[..8], b"VTWL\x01\x00\x01\x07");
    assert_eq!(&bytes[8..16], &[0, 0, 4, 0, 0, 0, 1, 0]);
    assert_eq!(&bytes[16..28], &[0, 1, 8, 0, 0, 0, 0x40, 0, 0, 0, 1, 0]);
    assert_eq!(&bytes[28..], &[0; 4]);
    assert_eq!(Hello::decode(&bytes), Ok(hello()));
}

#[test]
fn hello_of_another_version_names_that_version() {
    let mut bytes = hello().encode();
    bytes[4] = 9;
    // A later version may mean anything by the rest.
    bytes[6] = 77;
    assert_eq!(Hello::decode(&bytes), Err(WireError::Version(9)));
    bytes[0] = b'X';
    assert_eq!(Hello::decode(&bytes), Err(WireError::Magic(*b"XTWL")));
}

#[test]
fn hello_with_a_window_out_of_bounds_is_refused() {
    for window in [0, 256 * 1024 - 1, 16 * 1024 * 1024 + 1, u32::MAX] {
        let bytes = Hello { data_window: window, ..hello() }.encode();
        assert_eq!(
            Hello::decode(&bytes),
            Err(WireError::HelloField { field: "data_window", value: window.into() })
        );
    }
    for window in [0, 4095, 1024 * 1024 + 1] {
        let bytes = Hello { pipe_window: window, ..hello() }.encode();
        assert!(Hello::decode(&bytes).is_err());
    }
}

#[test]
fn frames_longer_than_the_limit_are_refused_by_their_header() {
    let mut header = [DATA, 0, 0, 0, 0, 0, 1, 0];
    assert_eq!(FrameHeader::decode(&header).map(|header| header.payload_len()), Ok(MAX_PAYLOAD));
    header[4] = 1;
    assert_eq!(FrameHeader::decode(&header), Err(WireError::FrameLength(65537)));
}

#[test]
fn twenty_nine_descriptors_are_refused() {
    let mut scratch = Vec::new();
    let mut out = Vec::new();
    Frame::data(&[7; 28], b"x", &mut scratch).encode(&mut out);
    assert!(decode(&out).is_ok());
    out.clear();
    Frame::data(&[7; 29], b"x", &mut scratch).encode(&mut out);
    assert_eq!(decode(&out), Err(WireError::TooManyFds(29)));
}

#[test]
fn descriptors_without_a_byte_to_belong_to_are_refused() {
    let mut scratch = Vec::new();
    let mut out = Vec::new();
    Frame::data(&[7], b"", &mut scratch).encode(&mut out);
    assert!(matches!(decode(&out), Err(WireError::PayloadLength { .. })));
}

#[test]
fn unknown_vfd_kinds_are_refused() {
    for kind in [0, 6, 255] {
        let mut out = Vec::new();
        Frame::VfdNew { id: 1, vfd: NewVfd::PipeRead }.encode(&mut out);
        out[HEADER_LEN + 4] = kind;
        assert_eq!(decode(&out), Err(WireError::VfdKind(kind)));
    }
}

#[test]
fn mirror_rectangles_that_overflow_are_refused() {
    for rect in [
        MirrorRect { offset: u64::MAX, row_len: 1, stride: 1, rows: 1 },
        MirrorRect { offset: 0, row_len: 2, stride: 1, rows: 1 },
        MirrorRect { offset: 0, row_len: 0, stride: 1, rows: 1 },
        MirrorRect { offset: 0, row_len: 1, stride: 1, rows: 0 },
        MirrorRect { offset: 1, row_len: 1, stride: u32::MAX, rows: u32::MAX },
    ] {
        assert!(!rect.fits(MAX_MEMORY), "{rect:?}");
        let mut out = Vec::new();
        Frame::MirrorWrite { id: 1, rect, bytes: b"x" }.encode(&mut out);
        assert!(matches!(decode(&out), Err(WireError::Bounds { .. })), "{rect:?}");
    }
    let rect = MirrorRect { offset: 0, row_len: 2, stride: 2, rows: 2 };
    let mut out = Vec::new();
    Frame::MirrorWrite { id: 1, rect, bytes: b"xxx" }.encode(&mut out);
    assert!(matches!(decode(&out), Err(WireError::PayloadLength { .. })));
}

fn any_vfd() -> impl Strategy<Value = NewVfd> {
    prop_oneof![
        (0..=MAX_MEMORY, 1..=MAX_MEMORY).prop_map(|(offset, len)| NewVfd::Region { offset, len }),
        (1..=MAX_MEMORY).prop_map(|len| NewVfd::Mirror { len }),
        any::<u32>().prop_map(|len| NewVfd::Blob { len: len.into() }),
        Just(NewVfd::PipeRead),
        Just(NewVfd::PipeWrite),
        Just(NewVfd::Socket),
    ]
}

proptest! {
    #[test]
    fn every_hello_survives_the_round_trip(
        (trim, acceptor, has_region, takes_sockets) in any::<(bool, bool, bool, bool)>(),
        data_window in DATA_WINDOW,
        pipe_window in PIPE_WINDOW,
        (max_pipes, max_mirrors, max_blob, pages) in any::<(u16, u16, u32, u32)>(),
    ) {
        let hello = Hello {
            purpose: if trim { Purpose::Trim } else { Purpose::Wayland },
            role: if acceptor { Role::Acceptor } else { Role::Initiator },
            has_region,
            takes_sockets,
            data_window,
            pipe_window,
            max_pipes,
            max_mirrors,
            max_blob,
            max_mirror_bytes: u64::from(pages) * 4096,
        };
        prop_assert_eq!(Hello::decode(&hello.encode()), Ok(hello));
    }

    #[test]
    fn every_frame_survives_the_round_trip(
        id in 1..=u32::MAX,
        amount in 1..=u32::MAX,
        vfds in vec(1..=u32::MAX, 0..=MAX_FDS),
        content in vec(any::<u8>(), 1..2000),
        vfd in any_vfd(),
        rows in 1u32..10,
        gap in 0u32..100,
    ) {
        let mut scratch = Vec::new();
        let row_len = u32::try_from(content.len()).expect("short") / rows;
        let rect = MirrorRect { offset: 12345, row_len: row_len.max(1), stride: row_len.max(1) + gap, rows };
        let rectangle = vec![7; usize::try_from(rect.content_len()).expect("short")];
        let bytes = content.as_slice();
        for frame in [
            Frame::data(&vfds, bytes, &mut scratch),
            Frame::DataCredit { bytes: amount },
            Frame::DataEnd,
            Frame::DataStop,
            Frame::VfdNew { id, vfd },
            Frame::BlobData { id, bytes },
            Frame::PipeData { id, bytes },
            Frame::PipeCredit { id, bytes: amount },
            Frame::PipeEnd { id },
            Frame::PipeStop { id },
            Frame::MirrorWrite { id, rect, bytes: &rectangle },
            Frame::MirrorClose { id },
        ] {
            let mut out = Vec::new();
            frame.encode(&mut out);
            prop_assert_eq!(decode(&out), Ok(frame));
            // One byte more or less is never silently accepted as the same frame.
            let (header, payload) = out.split_first_chunk().expect("a frame has a header");
            let header = FrameHeader::decode(header).expect("just encoded");
            let longer = [payload, &[0]].concat();
            prop_assert!(Frame::decode(header, &longer).is_err());
            if let Some((_, shorter)) = payload.split_last() {
                prop_assert!(Frame::decode(header, shorter).is_err());
            }
        }
        let mut ids = Vec::new();
        if let Frame::Data { vfds: decoded, .. } = Frame::data(&vfds, bytes, &mut ids) {
            prop_assert_eq!(decoded.iter().collect::<Vec<_>>(), vfds);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), HEADER_LEN..300), kind in 0u8..14) {
        let mut bytes = bytes;
        let _ = decode(&bytes);
        // Steer half of the runs past the header, where the payload decoders are.
        let payload = u32::try_from(bytes.len() - HEADER_LEN).expect("short");
        bytes[0] = kind;
        bytes[1] &= 1;
        bytes[2..4].fill(0);
        bytes[4..8].copy_from_slice(&payload.to_le_bytes());
        if let Ok(frame) = decode(&bytes) {
            let mut again = Vec::new();
            frame.encode(&mut again);
            // The flag of an empty list is the only thing with two spellings, and it is refused.
            prop_assert_eq!(again, bytes);
        }
    }

    #[test]
    fn arbitrary_hellos_never_panic(bytes in any::<[u8; HELLO_LEN]>(), magic in any::<bool>()) {
        let mut bytes = bytes;
        if magic {
            bytes[..8].copy_from_slice(b"VTWL\x01\x00\x01\x01");
        }
        if let Ok(hello) = Hello::decode(&bytes) {
            prop_assert_eq!(hello.encode(), bytes);
        }
    }
}
