//! A second implementation of the encoding, from sections 1 and 3 of `docs/wire.md` and nothing else.
//!
//! It is made to be compared, not to be fast: a malformed frame gives *every* rule that it breaks, because the page does not
//! say in which order they are judged.

/// A rule of the encoding that bytes can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The magic of a hello.
    Magic,
    /// The version of a hello.
    Version,
    /// The purpose of a hello.
    Purpose,
    /// A field of the hello within its bounds.
    HelloField,
    /// Types 1 to 12.
    Type,
    /// Reserved bits and fields are zero.
    Reserved,
    /// At most 65,536 bytes in a payload.
    FrameLength,
    /// Exactly the payload that the type requires.
    Payload,
    /// At most 28 VFDs in one DATA.
    TooManyFds,
    /// The kinds of VFDs.
    Kind,
    /// Zero is no identifier.
    ZeroId,
    /// Lengths, offsets and amounts within their bounds.
    Bounds,
}

/// A hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// 1 wayland, 2 trim.
    pub purpose: u8,
    /// The sender accepted the stream.
    pub acceptor: bool,
    /// The sender shares a region.
    pub region: bool,
    /// The sender takes sockets.
    pub sockets: bool,
    /// See the page.
    pub data_window: u32,
    /// See the page.
    pub pipe_window: u32,
    /// See the page.
    pub max_pipes: u16,
    /// See the page.
    pub max_mirrors: u16,
    /// See the page.
    pub max_blob: u32,
    /// See the page.
    pub max_mirror_pages: u32,
}

/// The kind of a new VFD with what belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Kind 1.
    Region { offset: u64, length: u64 },
    /// Kind 2.
    Mirror { length: u64 },
    /// Kind 3.
    Blob { length: u64 },
    /// Kind 4.
    Pipe { write_end: bool },
    /// Kind 5.
    Socket,
}

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Type 1.
    Data { ids: Vec<u32>, bytes: Vec<u8> },
    /// Type 2.
    DataCredit { bytes: u32 },
    /// Type 3.
    DataEnd,
    /// Type 4.
    DataStop,
    /// Type 5.
    VfdNew { id: u32, kind: Kind },
    /// Type 6.
    BlobData { id: u32, bytes: Vec<u8> },
    /// Type 7.
    PipeData { id: u32, bytes: Vec<u8> },
    /// Type 8.
    PipeCredit { id: u32, bytes: u32 },
    /// Type 9.
    PipeEnd { id: u32 },
    /// Type 10.
    PipeStop { id: u32 },
    /// Type 11.
    MirrorWrite { id: u32, row_length: u32, stride: u32, rows: u32, offset: u64, bytes: Vec<u8> },
    /// Type 12.
    MirrorClose { id: u32 },
}

/// The largest mirror and region, and the largest offset in one: 2^31 - 4096.
const LARGEST: u64 = 0x7fff_f000;

fn number16(bytes: &[u8], at: usize) -> u16 {
    u16::from(bytes[at]) | u16::from(bytes[at + 1]) << 8
}

fn number32(bytes: &[u8], at: usize) -> u32 {
    u32::from(number16(bytes, at)) | u32::from(number16(bytes, at + 2)) << 16
}

fn number64(bytes: &[u8], at: usize) -> u64 {
    u64::from(number32(bytes, at)) | u64::from(number32(bytes, at + 4)) << 32
}

/// Reads a hello (section 1.1). Nothing that follows the magic and the version is judged if they are others.
///
/// # Errors
///
/// The rules that it breaks.
pub fn hello(bytes: &[u8; 32]) -> Result<Hello, Vec<Rule>> {
    if bytes[..4] != *b"VTWL" {
        return Err(vec![Rule::Magic]);
    }
    if number16(bytes, 4) != 1 {
        return Err(vec![Rule::Version]);
    }
    let hello = Hello {
        purpose: bytes[6],
        acceptor: bytes[7] & 1 == 1,
        region: bytes[7] & 2 == 2,
        sockets: bytes[7] & 4 == 4,
        data_window: number32(bytes, 8),
        pipe_window: number32(bytes, 12),
        max_pipes: number16(bytes, 16),
        max_mirrors: number16(bytes, 18),
        max_blob: number32(bytes, 20),
        max_mirror_pages: number32(bytes, 24),
    };
    let mut broken = Vec::new();
    if hello.purpose != 1 && hello.purpose != 2 {
        broken.push(Rule::Purpose);
    }
    let windows = hello.data_window < 262_144
        || hello.data_window > 16_777_216
        || hello.pipe_window < 4096
        || hello.pipe_window > 1_048_576;
    if windows || bytes[7] > 7 || number32(bytes, 28) != 0 {
        broken.push(Rule::HelloField);
    }
    if broken.is_empty() { Ok(hello) } else { Err(broken) }
}

/// The bytes of a hello.
#[must_use]
pub fn hello_bytes(hello: &Hello) -> Vec<u8> {
    let mut bytes = vec![0x56, 0x54, 0x57, 0x4c, 1, 0, hello.purpose];
    bytes.push(u8::from(hello.acceptor) + 2 * u8::from(hello.region) + 4 * u8::from(hello.sockets));
    bytes.extend(hello.data_window.to_le_bytes());
    bytes.extend(hello.pipe_window.to_le_bytes());
    bytes.extend(hello.max_pipes.to_le_bytes());
    bytes.extend(hello.max_mirrors.to_le_bytes());
    bytes.extend(hello.max_blob.to_le_bytes());
    bytes.extend(hello.max_mirror_pages.to_le_bytes());
    bytes.extend([0; 4]);
    bytes
}

/// Judges a frame header (section 1.2) and gives the length of the payload that follows.
///
/// # Errors
///
/// The rules that it breaks.
pub fn header(bytes: &[u8; 8]) -> Result<usize, Vec<Rule>> {
    let mut broken = Vec::new();
    let [kind, flags, ..] = *bytes;
    if kind == 0 || kind > 12 {
        broken.push(Rule::Type);
    }
    if flags > u8::from(kind == 1) || bytes[2] != 0 || bytes[3] != 0 {
        broken.push(Rule::Reserved);
    }
    let length = number32(bytes, 4);
    if length > 65_536 {
        broken.push(Rule::FrameLength);
    }
    if broken.is_empty() { Ok(usize::try_from(length).expect("small")) } else { Err(broken) }
}

/// Reads the payload of a frame with a valid header.
///
/// # Errors
///
/// The rules that it breaks.
pub fn message(header: &[u8; 8], payload: &[u8]) -> Result<Message, Vec<Rule>> {
    let kind = header[0];
    // What the type has before its content, and whether content follows.
    let (fixed, content) = match kind {
        1 if header[1] == 0 => (0, true),
        1 => (4, true),
        2 => (4, false),
        3 | 4 => (0, false),
        5 => (24, false),
        6 | 7 => (4, true),
        8 => (8, false),
        9 | 10 | 12 => (4, false),
        _ => (24, true),
    };
    let wrong = if content { payload.len() <= fixed } else { payload.len() != fixed };
    let mut broken = if wrong { vec![Rule::Payload] } else { Vec::new() };
    let has_id = kind >= 5;
    if has_id && payload.len() >= 4 && number32(payload, 0) == 0 {
        broken.push(Rule::ZeroId);
    }
    if payload.len() < fixed {
        return Err(broken);
    }
    let rest = payload[fixed..].to_vec();
    let id = if has_id { number32(payload, 0) } else { 0 };
    let message = match kind {
        1 if header[1] == 1 => data_with_ids(payload, &mut broken),
        1 => Message::Data { ids: Vec::new(), bytes: rest },
        2 => Message::DataCredit { bytes: amount(payload, 0, &mut broken) },
        3 => Message::DataEnd,
        4 => Message::DataStop,
        5 => Message::VfdNew { id, kind: new_kind(payload, &mut broken) },
        6 => Message::BlobData { id, bytes: rest },
        7 => Message::PipeData { id, bytes: rest },
        8 => Message::PipeCredit { id, bytes: amount(payload, 4, &mut broken) },
        9 => Message::PipeEnd { id },
        10 => Message::PipeStop { id },
        12 => Message::MirrorClose { id },
        _ => mirror_write(payload, &mut broken),
    };
    if broken.is_empty() { Ok(message) } else { Err(broken) }
}

fn amount(payload: &[u8], at: usize, broken: &mut Vec<Rule>) -> u32 {
    let amount = number32(payload, at);
    if amount == 0 {
        broken.push(Rule::Bounds);
    }
    amount
}

fn data_with_ids(payload: &[u8], broken: &mut Vec<Rule>) -> Message {
    let count = number32(payload, 0);
    if count == 0 {
        broken.push(Rule::Bounds);
    }
    if count > 28 {
        broken.push(Rule::TooManyFds);
        return Message::DataEnd;
    }
    let end = 4 + 4 * usize::try_from(count).expect("small");
    let ids: Vec<u32> =
        (4..end).step_by(4).filter(|at| at + 4 <= payload.len()).map(|at| number32(payload, at)).collect();
    if ids.contains(&0) {
        broken.push(Rule::ZeroId);
    }
    if payload.len() <= end {
        broken.push(Rule::Payload);
        return Message::DataEnd;
    }
    Message::Data { ids, bytes: payload[end..].to_vec() }
}

fn new_kind(payload: &[u8], broken: &mut Vec<Rule>) -> Kind {
    let (kind, flags) = (payload[4], payload[5]);
    let offset = number64(payload, 8);
    let length = number64(payload, 16);
    let (flags_allowed, longest_offset, lengths, kind) = match kind {
        1 => (0, LARGEST, 1..=LARGEST, Kind::Region { offset, length }),
        2 => (0, 0, 1..=LARGEST, Kind::Mirror { length }),
        3 => (0, 0, 0..=u64::from(u32::MAX), Kind::Blob { length }),
        4 => (1, 0, 0..=0, Kind::Pipe { write_end: flags == 1 }),
        5 => (0, 0, 0..=0, Kind::Socket),
        _ => {
            broken.push(Rule::Kind);
            return Kind::Blob { length };
        }
    };
    if flags > flags_allowed || number16(payload, 6) != 0 {
        broken.push(Rule::Reserved);
    }
    if offset > longest_offset {
        // Where it must be zero it is a reserved field.
        broken.push(if longest_offset == 0 { Rule::Reserved } else { Rule::Bounds });
    }
    if !lengths.contains(&length) {
        broken.push(Rule::Bounds);
    }
    kind
}

fn mirror_write(payload: &[u8], broken: &mut Vec<Rule>) -> Message {
    let [row_length, stride, rows] = [4, 8, 12].map(|at| number32(payload, at));
    let offset = number64(payload, 16);
    // Numbers of 128 bits hold every product and sum of these.
    let end =
        u128::from(offset) + u128::from(stride) * u128::from(rows.saturating_sub(1)) + u128::from(row_length);
    if row_length == 0 || rows == 0 || stride < row_length || end > u128::from(LARGEST) {
        broken.push(Rule::Bounds);
    }
    let bytes = payload[24..].to_vec();
    if u128::from(row_length) * u128::from(rows) != bytes.len() as u128 && !broken.contains(&Rule::Payload) {
        broken.push(Rule::Payload);
    }
    Message::MirrorWrite { id: number32(payload, 0), row_length, stride, rows, offset, bytes }
}

/// The bytes of a frame.
#[must_use]
pub fn bytes(message: &Message) -> Vec<u8> {
    let mut flags = 0;
    let mut payload = Vec::new();
    let kind = match message {
        Message::Data { ids, bytes } => {
            if !ids.is_empty() {
                flags = 1;
                payload.extend((ids.len() as u32).to_le_bytes());
                payload.extend(ids.iter().flat_map(|id| id.to_le_bytes()));
            }
            payload.extend(bytes);
            1
        }
        Message::DataCredit { bytes } => {
            payload.extend(bytes.to_le_bytes());
            2
        }
        Message::DataEnd => 3,
        Message::DataStop => 4,
        Message::VfdNew { id, kind } => {
            payload.extend(id.to_le_bytes());
            let (kind, flags, offset, length) = match *kind {
                Kind::Region { offset, length } => (1, 0, offset, length),
                Kind::Mirror { length } => (2, 0, 0, length),
                Kind::Blob { length } => (3, 0, 0, length),
                Kind::Pipe { write_end } => (4, u8::from(write_end), 0, 0),
                Kind::Socket => (5, 0, 0, 0),
            };
            payload.extend([kind, flags, 0, 0]);
            payload.extend(offset.to_le_bytes());
            payload.extend(length.to_le_bytes());
            5
        }
        Message::BlobData { id, bytes } | Message::PipeData { id, bytes } => {
            payload.extend(id.to_le_bytes());
            payload.extend(bytes);
            if matches!(message, Message::BlobData { .. }) { 6 } else { 7 }
        }
        Message::PipeCredit { id, bytes } => {
            payload.extend(id.to_le_bytes());
            payload.extend(bytes.to_le_bytes());
            8
        }
        Message::PipeEnd { id } | Message::PipeStop { id } | Message::MirrorClose { id } => {
            payload.extend(id.to_le_bytes());
            match message {
                Message::PipeEnd { .. } => 9,
                Message::PipeStop { .. } => 10,
                _ => 12,
            }
        }
        Message::MirrorWrite { id, row_length, stride, rows, offset, bytes } => {
            for number in [id, row_length, stride, rows] {
                payload.extend(number.to_le_bytes());
            }
            payload.extend(offset.to_le_bytes());
            payload.extend(bytes);
            11
        }
    };
    let mut frame = vec![kind, flags, 0, 0];
    frame.extend((payload.len() as u32).to_le_bytes());
    frame.extend(payload);
    frame
}
