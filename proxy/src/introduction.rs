//! The introduction: what the hub says to the gate before the first byte of a VM's stream.
//!
//! It is the only message by which the name of a VM travels. The hub learned the name from the transport (which
//! of its own sockets was called), so the gate never reads a name that the VM itself could have written. The
//! message has a fixed length of [`INTRODUCTION_LEN`] bytes, which keeps reading it trivial: the gate reads that
//! many bytes, decodes them, and hands the stream, positioned right behind them, to the worker of that VM.
//!
//! Integers are little endian. Every byte not named here is zero, and a message in which one is not is refused,
//! so that a later version can use it without being misread by this one.
//!
//! | offset | length | field |
//! |---|---|---|
//! | 0 | 8 | magic `VTWLHUB1` |
//! | 8 | 2 | version, 1 |
//! | 10 | 1 | length of the name, 1 to 48 |
//! | 12 | 48 | name of the VM |
//! | 64 | 32 | challenge in the header of the region, zero without a region |
//! | 96 | 8 | length of the region in bytes, zero without a region |
//! | 104 | 8 | serial number of the connection |

use vitrail_protocols::vm_name::MAX_VM_NAME_LEN;
use vitrail_protocols::{VmName, VmNameError};

/// Length of an introduction in bytes.
pub const INTRODUCTION_LEN: usize = 192;
/// The version that [`Introduction::encode`] writes, and the only one that [`Introduction::decode`] takes.
pub const INTRODUCTION_VERSION: u16 = 1;
/// Length in bytes of the challenge that proves which region is meant.
pub const CHALLENGE_LEN: usize = 32;
/// The longest region, in bytes: offsets and sizes in `wl_shm` are signed 32-bit numbers.
pub const MAX_REGION_LEN: u64 = (1 << 31) - PAGE;

const MAGIC: [u8; 8] = *b"VTWLHUB1";
const PAGE: u64 = 4096;
const NAME_AT: usize = 12;
const CHALLENGE_AT: usize = 64;
const REGION_LEN_AT: usize = 96;
const CONNECTION_AT: usize = 104;
const END_AT: usize = 112;

/// Who is calling, in the words of the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduction {
    /// The VM at the far end of the stream.
    pub vm: VmName,
    /// How to recognise the VM's shared region; `None` if it has none.
    pub region: Option<RegionProof>,
    /// Serial number of the connection, unique in the life of one hub. It only joins the log lines of the hub
    /// and of the gate.
    pub connection: u64,
}

/// What proves that a file is the region of a VM: its length, and random bytes that the hub has just written
/// into its header.
///
/// The VM can overwrite its own header, which loses it the region and nothing more. It could also copy the
/// challenge to another VM, so a challenge that is found in two regions proves nothing and must be refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionProof {
    /// The bytes to be found in the header of the region. Not all of them are zero.
    pub challenge: [u8; CHALLENGE_LEN],
    /// Length of the region in bytes: a multiple of 4096, more than 4096, at most [`MAX_REGION_LEN`].
    pub length: u64,
}

/// Why 192 bytes are not an introduction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IntroductionError {
    /// The message does not begin with the magic: the caller is not a hub.
    #[error("The stream does not begin with the introduction of a hub")]
    Magic,
    /// The hub speaks another version.
    #[error("The hub speaks version {0} of the introduction, not {INTRODUCTION_VERSION}")]
    Version(u16),
    /// The name of the VM breaks the rules for names.
    #[error("The name of the VM is not valid: {0}")]
    Name(#[from] VmNameError),
    /// The name of the VM is not text.
    #[error("The name of the VM is not text")]
    NameEncoding,
    /// A byte that has to be zero is not.
    #[error("A reserved byte of the introduction is not zero")]
    Reserved,
    /// The length of the region is impossible, or length and challenge contradict each other.
    #[error("A region of {0} bytes with such a challenge is impossible")]
    Region(u64),
}

impl RegionProof {
    fn is_valid(&self) -> bool {
        self.length > PAGE
            && self.length <= MAX_REGION_LEN
            && self.length.is_multiple_of(PAGE)
            && self.challenge != [0; CHALLENGE_LEN]
    }
}

impl Introduction {
    /// The message on the wire.
    ///
    /// # Errors
    ///
    /// [`IntroductionError::Region`] if the region's proof is one that [`Introduction::decode`] would refuse.
    pub fn encode(&self) -> Result<[u8; INTRODUCTION_LEN], IntroductionError> {
        let name = self.vm.as_str().as_bytes();
        let name_len =
            u8::try_from(name.len()).map_err(|_| IntroductionError::Name(VmNameError::Length(name.len())))?;
        let mut out = Vec::with_capacity(INTRODUCTION_LEN);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&INTRODUCTION_VERSION.to_le_bytes());
        out.extend_from_slice(&[name_len, 0]);
        out.extend_from_slice(name);
        out.resize(CHALLENGE_AT, 0);
        if let Some(region) = &self.region {
            if !region.is_valid() {
                return Err(IntroductionError::Region(region.length));
            }
            out.extend_from_slice(&region.challenge);
            out.extend_from_slice(&region.length.to_le_bytes());
        }
        out.resize(CONNECTION_AT, 0);
        out.extend_from_slice(&self.connection.to_le_bytes());
        out.resize(INTRODUCTION_LEN, 0);
        let mut message = [0; INTRODUCTION_LEN];
        message.copy_from_slice(&out);
        Ok(message)
    }

    /// Reads a message. Only what [`Introduction::encode`] can write is taken.
    ///
    /// # Errors
    ///
    /// One variant for each field that can be wrong.
    pub fn decode(message: &[u8; INTRODUCTION_LEN]) -> Result<Self, IntroductionError> {
        if field::<8>(message, 0) != MAGIC {
            return Err(IntroductionError::Magic);
        }
        let version = u16::from_le_bytes(field(message, 8));
        if version != INTRODUCTION_VERSION {
            return Err(IntroductionError::Version(version));
        }
        let [name_len, reserved] = field(message, 10);
        let name_field: [u8; MAX_VM_NAME_LEN] = field(message, NAME_AT);
        let Some((name, padding)) = name_field.split_at_checked(usize::from(name_len)) else {
            return Err(IntroductionError::Name(VmNameError::Length(name_len.into())));
        };
        let gap: [u8; CHALLENGE_AT - NAME_AT - MAX_VM_NAME_LEN] = field(message, NAME_AT + MAX_VM_NAME_LEN);
        let tail: [u8; INTRODUCTION_LEN - END_AT] = field(message, END_AT);
        if reserved != 0 || padding.iter().chain(&gap).chain(&tail).any(|&byte| byte != 0) {
            return Err(IntroductionError::Reserved);
        }
        let vm = str::from_utf8(name).map_err(|_| IntroductionError::NameEncoding)?.parse()?;
        let proof = RegionProof {
            challenge: field(message, CHALLENGE_AT),
            length: u64::from_le_bytes(field(message, REGION_LEN_AT)),
        };
        let region = if proof.length == 0 && proof.challenge == [0; CHALLENGE_LEN] {
            None
        } else if proof.is_valid() {
            Some(proof)
        } else {
            return Err(IntroductionError::Region(proof.length));
        };
        Ok(Self { vm, region, connection: u64::from_le_bytes(field(message, CONNECTION_AT)) })
    }
}

/// The `N` bytes at `at`. All offsets are constants inside the message; one that was not would read as zeros.
fn field<const N: usize>(message: &[u8; INTRODUCTION_LEN], at: usize) -> [u8; N] {
    message.get(at..).and_then(|rest| rest.first_chunk::<N>()).copied().unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> Introduction {
        Introduction {
            vm: "work".parse().unwrap(),
            region: Some(RegionProof { challenge: [7; CHALLENGE_LEN], length: 256 << 20 }),
            connection: 0x0102_0304_0506_0708,
        }
    }

    #[test]
    fn fields_are_where_the_table_says() {
        let bytes = sample().encode().unwrap();
        assert_eq!(&bytes[..8], b"VTWLHUB1");
        assert_eq!(&bytes[8..12], [1, 0, 4, 0]);
        assert_eq!(&bytes[12..18], b"work\0\0");
        assert_eq!(&bytes[64..96], [7; 32]);
        assert_eq!(&bytes[96..104], (256_u64 << 20).to_le_bytes());
        assert_eq!(&bytes[104..112], [8, 7, 6, 5, 4, 3, 2, 1]);
        assert!(bytes[112..].iter().all(|&byte| byte == 0));
    }

    #[test]
    fn another_magic_or_version_is_refused() {
        let mut bytes = sample().encode().unwrap();
        bytes[0] = b'X';
        assert_eq!(Introduction::decode(&bytes), Err(IntroductionError::Magic));
        let mut bytes = sample().encode().unwrap();
        bytes[8] = 2;
        assert_eq!(Introduction::decode(&bytes), Err(IntroductionError::Version(2)));
    }

    #[test]
    fn every_reserved_byte_has_to_be_zero() {
        let good = sample().encode().unwrap();
        for at in [11].into_iter().chain(16..64).chain(112..192) {
            let mut bytes = good;
            bytes[at] = 1;
            assert_eq!(Introduction::decode(&bytes), Err(IntroductionError::Reserved), "byte {at}");
        }
    }

    #[test]
    fn names_that_are_no_vm_are_refused() {
        let good = sample().encode().unwrap();
        let with_name = |name: &[u8]| {
            let mut bytes = good;
            bytes[10] = u8::try_from(name.len()).unwrap();
            bytes[12..16].fill(0);
            bytes[12..12 + name.len().min(48)].copy_from_slice(&name[..name.len().min(48)]);
            Introduction::decode(&bytes)
        };
        assert_eq!(with_name(b""), Err(IntroductionError::Name(VmNameError::Length(0))));
        assert_eq!(with_name(&[b'a'; 49]), Err(IntroductionError::Name(VmNameError::Length(49))));
        assert_eq!(with_name(b"local"), Err(IntroductionError::Name(VmNameError::Reserved)));
        assert_eq!(with_name(b"a/b"), Err(IntroductionError::Name(VmNameError::Charset)));
        assert_eq!(with_name(b"a\0b"), Err(IntroductionError::Name(VmNameError::Charset)));
        assert_eq!(with_name(&[0xff, 0xfe]), Err(IntroductionError::NameEncoding));
        assert!(with_name(&[b'a'; 48]).is_ok());
    }

    #[test]
    fn impossible_regions_are_refused_both_ways() {
        for length in [1, 4096, 8191, 8193, MAX_REGION_LEN + 4096, u64::MAX] {
            let mut bytes = sample().encode().unwrap();
            bytes[96..104].copy_from_slice(&length.to_le_bytes());
            assert_eq!(Introduction::decode(&bytes), Err(IntroductionError::Region(length)));
            let mut introduction = sample();
            introduction.region.as_mut().unwrap().length = length;
            assert_eq!(introduction.encode(), Err(IntroductionError::Region(length)));
        }
        let mut bytes = sample().encode().unwrap();
        bytes[64..96].fill(0);
        assert_eq!(Introduction::decode(&bytes), Err(IntroductionError::Region(256 << 20)));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            name in "[a-z0-9][a-z0-9_-]{0,47}",
            region in proptest::option::of((proptest::array::uniform32(1_u8..), 2_u64..=MAX_REGION_LEN / 4096)),
            connection: u64,
        ) {
            prop_assume!(name != "local");
            let region = region.map(|(challenge, pages)| RegionProof { challenge, length: pages * 4096 });
            let introduction = Introduction { vm: name.parse().unwrap(), region, connection };
            prop_assert_eq!(Introduction::decode(&introduction.encode().unwrap()), Ok(introduction));
        }

        #[test]
        fn what_is_taken_has_one_encoding(
            changes in proptest::collection::vec((0..INTRODUCTION_LEN, any::<u8>()), 0..4),
        ) {
            let mut bytes = sample().encode().unwrap();
            for (at, byte) in changes {
                bytes[at] = byte;
            }
            if let Ok(introduction) = Introduction::decode(&bytes) {
                prop_assert_eq!(introduction.encode(), Ok(bytes));
            }
        }
    }
}
