//! What a screen says of itself: the beginning of its EDID, the block of 128 bytes that every screen has (VESA Enhanced EDID,
//! release A).
//!
//! It is the screen's word, and of whoever plugged it in: it names the screen to programs of the user, and nothing depends on it.
//! Every byte is looked at, and texts are bounded by the block.

use smithay::reexports::drm::control::{Device as ControlDevice, connector};

/// The block begins with this.
const HEADER: [u8; 8] = [0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0];
/// Where the four descriptors begin, each this long.
const DESCRIPTORS: usize = 54;
const DESCRIPTOR: usize = 18;
/// The kinds of descriptors that are a text.
const NAME: u8 = 0xfc;
const SERIAL: u8 = 0xff;

/// Who a screen says that it is. What it does not say is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Identity {
    /// The maker's three letters, as they are registered.
    pub make: String,
    /// The screen's name, or else its number in hexadecimal.
    pub model: String,
    /// The serial number, as a text or else as a number.
    pub serial: String,
}

/// Asks the screen at a connector.
pub(super) fn ask(device: &impl ControlDevice, connector: connector::Handle) -> Identity {
    let blob = || {
        let properties = device.get_properties(connector).ok()?;
        let mut pairs = properties.iter();
        let (_, value) = pairs.find(|(property, _)| {
            let info = device.get_property(**property).ok();
            info.is_some_and(|info| info.name().to_bytes() == b"EDID")
        })?;
        device.get_property_blob(*value).ok()
    };
    blob().as_deref().and_then(parse).unwrap_or_default()
}

fn parse(edid: &[u8]) -> Option<Identity> {
    if edid.get(..HEADER.len())? != HEADER {
        return None;
    }
    let letters = u16::from_be_bytes(edid.get(8..10)?.try_into().ok()?);
    let letter = |shift: u16| {
        // Five bits each, A is 1.
        let number = u8::try_from((letters >> shift) & 31).unwrap_or(0);
        (1..=26).contains(&number).then(|| char::from(b'A' - 1 + number))
    };
    let make: Option<String> = [10, 5, 0].into_iter().map(letter).collect();
    let product = u16::from_le_bytes(edid.get(10..12)?.try_into().ok()?);
    let number = u32::from_le_bytes(edid.get(12..16)?.try_into().ok()?);
    let text = |kind: u8| {
        let mut descriptors = edid.get(DESCRIPTORS..128)?.chunks_exact(DESCRIPTOR);
        let found = descriptors.find(|block| block.starts_with(&[0, 0, 0, kind]))?;
        let text = found.get(5..)?.split(|byte| *byte == b'\n').next()?;
        let printable = text.iter().filter(|byte| (b' '..=b'~').contains(*byte));
        let text: String = printable.map(|byte| char::from(*byte)).collect();
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    let serial = || if number == 0 { String::new() } else { number.to_string() };
    Some(Identity {
        make: make.unwrap_or_default(),
        model: text(NAME).unwrap_or_else(|| format!("0x{product:04X}")),
        serial: text(SERIAL).unwrap_or_else(serial),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn block() -> Vec<u8> {
        let mut edid = vec![0; 128];
        edid[..8].copy_from_slice(&HEADER);
        // "DEL": 4, 5 and 12.
        edid[8..10].copy_from_slice(&((4_u16 << 10) | (5 << 5) | 12).to_be_bytes());
        edid[10..12].copy_from_slice(&0xa0c4_u16.to_le_bytes());
        edid[12..16].copy_from_slice(&77_u32.to_le_bytes());
        edid
    }

    #[test]
    fn a_screen_is_known_by_its_texts_or_else_by_its_numbers() {
        let mut edid = block();
        let plain = parse(&edid).unwrap();
        assert_eq!(
            (plain.make.as_str(), plain.model.as_str(), plain.serial.as_str()),
            ("DEL", "0xA0C4", "77")
        );
        edid[72..90].copy_from_slice(b"\0\0\0\xfc\0DELL U2720Q\n ");
        edid[90..108].copy_from_slice(b"\0\0\0\xff\0ABC\x1b[1m\n     ");
        let named = parse(&edid).unwrap();
        assert_eq!((named.model.as_str(), named.serial.as_str()), ("DELL U2720Q", "ABC[1m"));
    }

    proptest! {
        #[test]
        fn whatever_a_screen_says_is_read_without_harm(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..300), whole in any::<bool>(),
        ) {
            if whole && bytes.len() >= 8 {
                bytes[..8].copy_from_slice(&HEADER);
            }
            if let Some(Identity { make, model, serial }) = parse(&bytes) {
                prop_assert!(make.len() <= 3 && model.len() <= 13 && serial.len() <= 13);
            }
        }
    }
}
