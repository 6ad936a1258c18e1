//! The stream format, version 1: pure encoding and decoding, no input or output.
//!
//! `docs/wire.md` is the specification; this module is its only implementation. Both directions of a stream
//! carry the same thing: one [`Hello`], then frames. A frame is an 8-byte [`FrameHeader`] and a payload whose
//! length the header gives. All integers are little-endian.
//!
//! Decoding never panics, never allocates and never believes a length: each one is checked against the bytes
//! that are really there and against the bounds below. What a frame *means* in its place in the stream
//! (flow-control windows, identifiers that exist) is the business of [`Socket`](crate::Socket).

use thiserror::Error;

/// First four bytes of every stream.
pub const MAGIC: [u8; 4] = *b"VTWL";
/// The version that this module speaks.
pub const VERSION: u16 = 1;
/// Length of a [`Hello`] in bytes.
pub const HELLO_LEN: usize = 32;
/// Length of a [`FrameHeader`] in bytes.
pub const HEADER_LEN: usize = 8;
/// Largest payload of one frame, in bytes.
pub const MAX_PAYLOAD: usize = 64 * 1024;
/// Largest single write to a stream that may be a vsock, in bytes. Guests with Linux 6.12 stall for ever on larger
/// writes to a vsock served by a vhost-user back end.
pub const MAX_WRITE: usize = 16 * 1024;
/// Largest single write to a Unix socket that is no end of a vsock, in bytes; also the longest frame in it.
pub const MAX_UNIX_WRITE: usize = 64 * 1024;
/// Most file descriptors in one message, as in the virtio_wl device protocol and in libwayland.
pub const MAX_FDS: usize = 28;
/// What each file descriptor of a DATA frame costs of the receiver's window, in bytes. It bounds how many
/// undelivered descriptors a receiver can be made to hold.
pub const FD_COST: u32 = 4096;
/// Smallest and largest data window that a [`Hello`] may announce, in bytes. The smallest holds a message
/// with [`MAX_FDS`] descriptors even while a quarter of the window waits to be granted again.
pub const DATA_WINDOW: std::ops::RangeInclusive<u32> = 256 * 1024..=16 * 1024 * 1024;
/// Smallest and largest window of a pipe, in bytes.
pub const PIPE_WINDOW: std::ops::RangeInclusive<u32> = 4096..=1024 * 1024;
/// Largest region or mirror, in bytes: the sizes of `wl_shm` are signed 32-bit numbers.
pub const MAX_MEMORY: u64 = (1 << 31) - 4096;

/// Why bytes are not a valid part of a stream.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum WireError {
    /// The stream does not begin with [`MAGIC`].
    #[error("not a virtio-wl stream: it begins with {0:02x?}")]
    Magic([u8; 4]),
    /// The peer speaks another version.
    #[error("the peer speaks version {0} of the stream format, this program speaks version {VERSION}")]
    Version(u16),
    /// The purpose of the stream is none that this version knows.
    #[error("unknown stream purpose {0}")]
    Purpose(u8),
    /// A field of the hello is outside its bounds.
    #[error("hello field `{field}` is {value}, out of bounds")]
    HelloField {
        /// Name of the field, as in the specification.
        field: &'static str,
        /// Its value.
        value: u64,
    },
    /// A frame type that this version does not know.
    #[error("unknown frame type {0}")]
    FrameType(u8),
    /// A frame longer than [`MAX_PAYLOAD`].
    #[error("frame of {0} bytes, the limit is {MAX_PAYLOAD}")]
    FrameLength(u32),
    /// Bits or fields that must be zero are not.
    #[error("reserved bits set in a frame of type {0}")]
    Reserved(u8),
    /// The payload is shorter or longer than its frame type requires.
    #[error("payload of a frame of type {kind} has the wrong length {len}")]
    PayloadLength {
        /// Frame type.
        kind: u8,
        /// Length of the payload.
        len: usize,
    },
    /// More descriptors than [`MAX_FDS`] in one message.
    #[error("{0} file descriptors in one message, the limit is {MAX_FDS}")]
    TooManyFds(u32),
    /// A VFD kind that cannot cross this stream.
    #[error("unsupported VFD kind {0}")]
    VfdKind(u8),
    /// A VFD identifier of zero.
    #[error("VFD identifier zero")]
    ZeroId,
    /// A length, offset or count outside its bounds.
    #[error("`{field}` is {value}, out of bounds")]
    Bounds {
        /// Name of the field, as in the specification.
        field: &'static str,
        /// Its value.
        value: u64,
    },
}

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// One Wayland connection of one application.
    Wayland,
    /// Trim requests for the region; the records follow the hello at once (see [`crate::trim`]).
    Trim,
}

/// Which end of the stream an end is. It decides who allocates odd and who even VFD identifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The end that opened the stream. Its VFD identifiers are odd.
    Initiator,
    /// The end that accepted the stream. Its VFD identifiers are even.
    Acceptor,
}

impl Role {
    /// The role of the other end.
    #[must_use]
    pub fn peer(self) -> Self {
        match self {
            Self::Initiator => Self::Acceptor,
            Self::Acceptor => Self::Initiator,
        }
    }

    /// The first VFD identifier that this end allocates; the following ones are each 2 more.
    #[must_use]
    pub fn first_id(self) -> u32 {
        match self {
            Self::Initiator => 1,
            Self::Acceptor => 2,
        }
    }
}

/// The first 32 bytes of each direction: what the sender is and what it is prepared to receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// What the stream is for. Both ends must say the same.
    pub purpose: Purpose,
    /// The sender's end of the stream.
    pub role: Role,
    /// The sender shares a region with the peer and accepts VFDs of kind region.
    pub has_region: bool,
    /// The sender accepts VFDs of kind socket.
    pub takes_sockets: bool,
    /// Bytes of data and blob content that may be under way to the sender ([`DATA_WINDOW`]).
    pub data_window: u32,
    /// Bytes that may be under way to the sender in each pipe ([`PIPE_WINDOW`]).
    pub pipe_window: u32,
    /// Pipes announced by the peer that the sender holds at a time.
    pub max_pipes: u16,
    /// Mirrors announced by the peer that the sender holds at a time.
    pub max_mirrors: u16,
    /// Bytes of blobs that the sender accepts in one message.
    pub max_blob: u32,
    /// Bytes of all mirrors together that the sender accepts; a multiple of 4096.
    pub max_mirror_bytes: u64,
}

impl Hello {
    /// The bytes of this hello.
    #[must_use]
    pub fn encode(&self) -> [u8; HELLO_LEN] {
        let purpose = match self.purpose {
            Purpose::Wayland => 1u8,
            Purpose::Trim => 2,
        };
        let mut flags = 0u8;
        if self.role == Role::Acceptor {
            flags |= HELLO_ACCEPTOR;
        }
        if self.has_region {
            flags |= HELLO_REGION;
        }
        if self.takes_sockets {
            flags |= HELLO_SOCKETS;
        }
        let pages = u32::try_from(self.max_mirror_bytes / 4096).unwrap_or(u32::MAX);
        let mut out = Vec::with_capacity(HELLO_LEN);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.push(purpose);
        out.push(flags);
        out.extend_from_slice(&self.data_window.to_le_bytes());
        out.extend_from_slice(&self.pipe_window.to_le_bytes());
        out.extend_from_slice(&self.max_pipes.to_le_bytes());
        out.extend_from_slice(&self.max_mirrors.to_le_bytes());
        out.extend_from_slice(&self.max_blob.to_le_bytes());
        out.extend_from_slice(&pages.to_le_bytes());
        let mut bytes = [0; HELLO_LEN];
        for (to, from) in bytes.iter_mut().zip(out) {
            *to = from;
        }
        bytes
    }

    /// Reads a hello.
    ///
    /// # Errors
    ///
    /// The bytes are no hello of this version, or a field is out of its bounds. The version is judged before
    /// anything that may differ between versions.
    pub fn decode(bytes: &[u8; HELLO_LEN]) -> Result<Self, WireError> {
        let short = WireError::HelloField { field: "length", value: 0 };
        let mut reader = Reader::new(bytes);
        let magic = reader.array().ok_or(short)?;
        if magic != MAGIC {
            return Err(WireError::Magic(magic));
        }
        let version = reader.u16().ok_or(short)?;
        if version != VERSION {
            return Err(WireError::Version(version));
        }
        let purpose = match reader.u8().ok_or(short)? {
            1 => Purpose::Wayland,
            2 => Purpose::Trim,
            other => return Err(WireError::Purpose(other)),
        };
        let flags = reader.u8().ok_or(short)?;
        if flags & !(HELLO_ACCEPTOR | HELLO_REGION | HELLO_SOCKETS) != 0 {
            return Err(WireError::HelloField { field: "flags", value: flags.into() });
        }
        let role = if flags & HELLO_ACCEPTOR != 0 { Role::Acceptor } else { Role::Initiator };
        let data_window = reader.u32().ok_or(short)?;
        let pipe_window = reader.u32().ok_or(short)?;
        let max_pipes = reader.u16().ok_or(short)?;
        let max_mirrors = reader.u16().ok_or(short)?;
        let max_blob = reader.u32().ok_or(short)?;
        let pages = reader.u32().ok_or(short)?;
        if !DATA_WINDOW.contains(&data_window) {
            return Err(WireError::HelloField { field: "data_window", value: data_window.into() });
        }
        if !PIPE_WINDOW.contains(&pipe_window) {
            return Err(WireError::HelloField { field: "pipe_window", value: pipe_window.into() });
        }
        if reader.u32() != Some(0) {
            return Err(WireError::HelloField { field: "reserved", value: 1 });
        }
        Ok(Self {
            purpose,
            role,
            has_region: flags & HELLO_REGION != 0,
            takes_sockets: flags & HELLO_SOCKETS != 0,
            data_window,
            pipe_window,
            max_pipes,
            max_mirrors,
            max_blob,
            max_mirror_bytes: u64::from(pages) * 4096,
        })
    }
}

const HELLO_ACCEPTOR: u8 = 1;
const HELLO_REGION: u8 = 2;
const HELLO_SOCKETS: u8 = 4;

const DATA: u8 = 1;
const DATA_CREDIT: u8 = 2;
const DATA_END: u8 = 3;
const DATA_STOP: u8 = 4;
const VFD_NEW: u8 = 5;
const BLOB_DATA: u8 = 6;
const PIPE_DATA: u8 = 7;
const PIPE_CREDIT: u8 = 8;
const PIPE_END: u8 = 9;
const PIPE_STOP: u8 = 10;
const MIRROR_WRITE: u8 = 11;
const MIRROR_CLOSE: u8 = 12;

/// Flag of DATA: the payload begins with a list of VFD identifiers.
const FLAG_FDS: u8 = 1;

const KIND_REGION: u8 = 1;
const KIND_MIRROR: u8 = 2;
const KIND_BLOB: u8 = 3;
const KIND_PIPE: u8 = 4;
const KIND_SOCKET: u8 = 5;

/// The eight bytes before every payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    kind: u8,
    flags: u8,
    len: u32,
}

impl FrameHeader {
    /// Reads a header.
    ///
    /// # Errors
    ///
    /// The type is unknown, a reserved bit is set, or the payload is longer than [`MAX_PAYLOAD`].
    pub fn decode(bytes: &[u8; HEADER_LEN]) -> Result<Self, WireError> {
        let [kind, flags, reserved_low, reserved_high, len @ ..] = *bytes;
        let len = u32::from_le_bytes(len);
        if !(DATA..=MIRROR_CLOSE).contains(&kind) {
            return Err(WireError::FrameType(kind));
        }
        let allowed = if kind == DATA { FLAG_FDS } else { 0 };
        if flags & !allowed != 0 || reserved_low != 0 || reserved_high != 0 {
            return Err(WireError::Reserved(kind));
        }
        if usize::try_from(len).map_or(true, |len| len > MAX_PAYLOAD) {
            return Err(WireError::FrameLength(len));
        }
        Ok(Self { kind, flags, len })
    }

    /// Length of the payload that follows, in bytes; at most [`MAX_PAYLOAD`].
    #[must_use]
    pub fn payload_len(&self) -> usize {
        usize::try_from(self.len).unwrap_or(MAX_PAYLOAD).min(MAX_PAYLOAD)
    }
}

/// What a new VFD is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewVfd {
    /// A part of the shared region.
    Region {
        /// First byte, counted from the beginning of the region.
        offset: u64,
        /// Length in bytes.
        len: u64,
    },
    /// Memory that the sender keeps up to date by MIRROR_WRITE frames.
    Mirror {
        /// Length in bytes.
        len: u64,
    },
    /// Content that follows in BLOB_DATA frames and never changes.
    Blob {
        /// Length in bytes.
        len: u64,
    },
    /// The read end of a pipe: the sender of this frame sends its content.
    PipeRead,
    /// The write end of a pipe: the receiver of this frame sends its content.
    PipeWrite,
    /// A connected stream socket: both sides send content, as through two pipes with one identifier.
    Socket,
}

/// A rectangle of rows in a mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MirrorRect {
    /// First byte of the first row, counted from the beginning of the mirror.
    pub offset: u64,
    /// Bytes in each row; at least 1.
    pub row_len: u32,
    /// Bytes from the beginning of one row to the beginning of the next; at least `row_len`.
    pub stride: u32,
    /// Number of rows; at least 1.
    pub rows: u32,
}

impl MirrorRect {
    /// One past the last byte that the rectangle touches. Cannot overflow the type for any field values that
    /// decode; `None` otherwise.
    #[must_use]
    pub fn end(&self) -> Option<u64> {
        let before = u64::from(self.rows).checked_sub(1)?.checked_mul(u64::from(self.stride))?;
        self.offset.checked_add(before)?.checked_add(u64::from(self.row_len))
    }

    /// The content of all rows together, in bytes.
    #[must_use]
    pub fn content_len(&self) -> u64 {
        u64::from(self.row_len) * u64::from(self.rows)
    }

    /// The same rectangle, as a single row where its rows have no gaps between them.
    pub(crate) fn without_gaps(self) -> Self {
        match u32::try_from(self.content_len()) {
            Ok(len) if self.row_len == self.stride => Self { row_len: len, stride: len, rows: 1, ..self },
            _ => self,
        }
    }

    /// Where its content lies from byte `from` of it on: offset and length of what is left of each row.
    pub(crate) fn pieces_from(self, from: u64) -> impl Iterator<Item = (u64, u64)> {
        let rect = self.without_gaps();
        let row_len = u64::from(rect.row_len).max(1);
        let (first, column) = (from / row_len, from % row_len);
        (first..rect.rows.into()).map(move |row| {
            let skipped = if row == first { column } else { 0 };
            let offset = rect.offset.saturating_add(row * u64::from(rect.stride)).saturating_add(skipped);
            (offset, row_len - skipped)
        })
    }

    /// Whether the rectangle is well formed and lies within a mirror of `len` bytes.
    #[must_use]
    pub fn fits(&self, len: u64) -> bool {
        self.row_len > 0
            && self.rows > 0
            && self.stride >= self.row_len
            && self.end().is_some_and(|end| end <= len)
    }
}

/// VFD identifiers at the head of a DATA frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VfdIds<'a>(&'a [u8]);

impl<'a> VfdIds<'a> {
    /// Number of identifiers, at most [`MAX_FDS`].
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len() / 4
    }

    /// Whether the frame carries none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The identifiers in their order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.0.as_chunks::<4>().0.iter().map(|id| u32::from_le_bytes(*id))
    }
}

/// One frame, borrowed from the buffer that it was received into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// Bytes of the connection; the VFDs belong to the first of them.
    Data {
        /// The descriptors of the message.
        vfds: VfdIds<'a>,
        /// The bytes, at least one.
        bytes: &'a [u8],
    },
    /// The receiver of data allows so many more bytes.
    DataCredit {
        /// Bytes, at least one.
        bytes: u32,
    },
    /// No data will follow (half-close).
    DataEnd,
    /// The receiver of data wants no more.
    DataStop,
    /// A VFD comes into being.
    VfdNew {
        /// Its identifier, larger than all that its sender used before.
        id: u32,
        /// What it is.
        vfd: NewVfd,
    },
    /// The next bytes of a blob.
    BlobData {
        /// The blob.
        id: u32,
        /// The bytes, at least one.
        bytes: &'a [u8],
    },
    /// The next bytes of a pipe or socket, from the end that holds the writer.
    PipeData {
        /// The pipe.
        id: u32,
        /// The bytes, at least one.
        bytes: &'a [u8],
    },
    /// The end that holds the reader allows so many more bytes.
    PipeCredit {
        /// The pipe.
        id: u32,
        /// Bytes, at least one.
        bytes: u32,
    },
    /// Last frame from the end that holds the writer: end of file.
    PipeEnd {
        /// The pipe.
        id: u32,
    },
    /// Last frame from the end that holds the reader: all was delivered, or the reader is gone.
    PipeStop {
        /// The pipe.
        id: u32,
    },
    /// New content for a rectangle of a mirror.
    MirrorWrite {
        /// The mirror.
        id: u32,
        /// The rectangle.
        rect: MirrorRect,
        /// The rows one after the other without gaps.
        bytes: &'a [u8],
    },
    /// The mirror will not be written or named again.
    MirrorClose {
        /// The mirror.
        id: u32,
    },
}

impl<'a> Frame<'a> {
    /// Reads the payload that belongs to `header`.
    ///
    /// # Errors
    ///
    /// The payload has the wrong length for its type, or a field is out of its bounds.
    pub fn decode(header: FrameHeader, payload: &'a [u8]) -> Result<Self, WireError> {
        let kind = header.kind;
        let length = WireError::PayloadLength { kind, len: payload.len() };
        if payload.len() != header.payload_len() {
            return Err(length);
        }
        let mut reader = Reader::new(payload);
        let frame = match kind {
            DATA => Self::decode_data(header.flags, &mut reader, length)?,
            DATA_CREDIT => Self::DataCredit { bytes: reader.amount(length)? },
            DATA_END => Self::DataEnd,
            DATA_STOP => Self::DataStop,
            VFD_NEW => Self::decode_vfd(&mut reader, length)?,
            BLOB_DATA => Self::BlobData { id: reader.id(length)?, bytes: reader.content(length)? },
            PIPE_DATA => Self::PipeData { id: reader.id(length)?, bytes: reader.content(length)? },
            PIPE_CREDIT => Self::PipeCredit { id: reader.id(length)?, bytes: reader.amount(length)? },
            PIPE_END => Self::PipeEnd { id: reader.id(length)? },
            PIPE_STOP => Self::PipeStop { id: reader.id(length)? },
            MIRROR_WRITE => Self::decode_mirror(&mut reader, length)?,
            MIRROR_CLOSE => Self::MirrorClose { id: reader.id(length)? },
            other => return Err(WireError::FrameType(other)),
        };
        if reader.rest.is_empty() { Ok(frame) } else { Err(length) }
    }

    fn decode_data(flags: u8, reader: &mut Reader<'a>, length: WireError) -> Result<Self, WireError> {
        let mut vfds = VfdIds(&[]);
        if flags & FLAG_FDS != 0 {
            let count = reader.u32().ok_or(length)?;
            match usize::try_from(count) {
                Ok(0) => return Err(WireError::Bounds { field: "count", value: 0 }),
                Ok(count @ 1..=MAX_FDS) => vfds = VfdIds(reader.take(count * 4).ok_or(length)?),
                _ => return Err(WireError::TooManyFds(count)),
            }
            if vfds.iter().any(|id| id == 0) {
                return Err(WireError::ZeroId);
            }
        }
        Ok(Self::Data { vfds, bytes: reader.content(length)? })
    }

    fn decode_vfd(reader: &mut Reader<'a>, length: WireError) -> Result<Self, WireError> {
        let id = reader.id(length)?;
        let kind = reader.u8().ok_or(length)?;
        let flags = reader.u8().ok_or(length)?;
        let reserved = reader.u16().ok_or(length)?;
        let offset = reader.u64().ok_or(length)?;
        let len = reader.u64().ok_or(length)?;
        if !(KIND_REGION..=KIND_SOCKET).contains(&kind) {
            return Err(WireError::VfdKind(kind));
        }
        let is_pipe = kind == KIND_PIPE;
        if reserved != 0 || flags > u8::from(is_pipe) || (kind != KIND_REGION && offset != 0) {
            return Err(WireError::Reserved(VFD_NEW));
        }
        let lengths = match kind {
            KIND_BLOB => 0..=u64::from(u32::MAX),
            KIND_PIPE | KIND_SOCKET => 0..=0,
            _ => 1..=MAX_MEMORY,
        };
        if !lengths.contains(&len) {
            return Err(WireError::Bounds { field: "len", value: len });
        }
        if offset > MAX_MEMORY {
            return Err(WireError::Bounds { field: "offset", value: offset });
        }
        let vfd = match kind {
            KIND_REGION => NewVfd::Region { offset, len },
            KIND_MIRROR => NewVfd::Mirror { len },
            KIND_BLOB => NewVfd::Blob { len },
            KIND_SOCKET => NewVfd::Socket,
            _ if flags == 0 => NewVfd::PipeRead,
            _ => NewVfd::PipeWrite,
        };
        Ok(Self::VfdNew { id, vfd })
    }

    fn decode_mirror(reader: &mut Reader<'a>, length: WireError) -> Result<Self, WireError> {
        let (id, rect) = decode_rect(reader, length)?;
        let bytes = reader.content(length)?;
        if u64::try_from(bytes.len()) != Ok(rect.content_len()) {
            return Err(length);
        }
        Ok(Self::MirrorWrite { id, rect, bytes })
    }

    /// Appends the header and payload of this frame to `out`.
    ///
    /// The caller keeps the payload within [`MAX_PAYLOAD`]; [`Socket`](crate::Socket) keeps whole frames
    /// within [`MAX_WRITE`], or [`MAX_UNIX_WRITE`] where it may.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Data { vfds: VfdIds([]), bytes } => frame(out, DATA, 0, &[bytes]),
            Self::Data { vfds, bytes } => {
                let count = u32::try_from(vfds.len()).unwrap_or(u32::MAX).to_le_bytes();
                frame(out, DATA, FLAG_FDS, &[&count, vfds.0, bytes]);
            }
            Self::DataCredit { bytes } => frame(out, DATA_CREDIT, 0, &[&bytes.to_le_bytes()]),
            Self::DataEnd => frame(out, DATA_END, 0, &[]),
            Self::DataStop => frame(out, DATA_STOP, 0, &[]),
            Self::VfdNew { id, vfd } => {
                let (kind, flags, offset, len) = match vfd {
                    NewVfd::Region { offset, len } => (KIND_REGION, 0, offset, len),
                    NewVfd::Mirror { len } => (KIND_MIRROR, 0, 0, len),
                    NewVfd::Blob { len } => (KIND_BLOB, 0, 0, len),
                    NewVfd::PipeRead => (KIND_PIPE, 0, 0, 0),
                    NewVfd::PipeWrite => (KIND_PIPE, 1, 0, 0),
                    NewVfd::Socket => (KIND_SOCKET, 0, 0, 0),
                };
                let head = [kind, flags, 0, 0];
                let parts: [&[u8]; 4] = [&id.to_le_bytes(), &head, &offset.to_le_bytes(), &len.to_le_bytes()];
                frame(out, VFD_NEW, 0, &parts);
            }
            Self::BlobData { id, bytes } => frame(out, BLOB_DATA, 0, &[&id.to_le_bytes(), bytes]),
            Self::PipeData { id, bytes } => frame(out, PIPE_DATA, 0, &[&id.to_le_bytes(), bytes]),
            Self::PipeCredit { id, bytes } => {
                frame(out, PIPE_CREDIT, 0, &[&id.to_le_bytes(), &bytes.to_le_bytes()]);
            }
            Self::PipeEnd { id } => frame(out, PIPE_END, 0, &[&id.to_le_bytes()]),
            Self::PipeStop { id } => frame(out, PIPE_STOP, 0, &[&id.to_le_bytes()]),
            Self::MirrorWrite { id, rect, bytes } => {
                encode_mirror_head(id, rect, bytes.len(), out);
                out.extend_from_slice(bytes);
            }
            Self::MirrorClose { id } => frame(out, MIRROR_CLOSE, 0, &[&id.to_le_bytes()]),
        }
    }

    /// Builds a DATA frame; `ids` is the scratch space that the identifiers are written to.
    #[must_use]
    pub fn data(vfds: &[u32], bytes: &'a [u8], ids: &'a mut Vec<u8>) -> Self {
        ids.clear();
        ids.extend(vfds.iter().flat_map(|id| id.to_le_bytes()));
        Self::Data { vfds: VfdIds(ids), bytes }
    }
}

/// What precedes `len` bytes of data without VFDs: with them, it is a DATA frame. `len` is at most [`MAX_PAYLOAD`].
#[must_use]
pub fn data_header(len: usize) -> [u8; HEADER_LEN] {
    let [a, b, c, d] = u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes();
    [DATA, 0, 0, 0, a, b, c, d]
}

/// Bytes of a DATA frame before its content, with `fds` descriptors.
#[must_use]
pub fn data_overhead(fds: usize) -> usize {
    if fds == 0 { HEADER_LEN } else { HEADER_LEN + 4 + 4 * fds }
}

/// Bytes of a BLOB_DATA or PIPE_DATA frame before its content.
pub const CONTENT_OVERHEAD: usize = HEADER_LEN + 4;

/// Bytes of a MIRROR_WRITE frame before its content.
pub const MIRROR_OVERHEAD: usize = HEADER_LEN + 24;

/// What a DATA frame takes from the window of its receiver.
#[must_use]
pub fn data_cost(fds: usize, bytes: usize) -> u64 {
    let fds = u64::try_from(fds).unwrap_or(u64::MAX);
    fds.saturating_mul(FD_COST.into()).saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX))
}

/// Reads what comes before the content of a MIRROR_WRITE: the mirror and the rectangle. `None` if the header is that of another
/// frame.
///
/// # Errors
///
/// As for [`Frame::decode`].
pub fn decode_mirror_head(
    header: FrameHeader,
    fields: &[u8; MIRROR_OVERHEAD - HEADER_LEN],
) -> Result<Option<(u32, MirrorRect)>, WireError> {
    if header.kind != MIRROR_WRITE {
        return Ok(None);
    }
    let length = WireError::PayloadLength { kind: MIRROR_WRITE, len: header.payload_len() };
    let (id, rect) = decode_rect(&mut Reader::new(fields), length)?;
    let content = header.payload_len().checked_sub(fields.len()).and_then(|len| u64::try_from(len).ok());
    if content != Some(rect.content_len()) {
        return Err(length);
    }
    Ok(Some((id, rect)))
}

fn decode_rect(reader: &mut Reader<'_>, length: WireError) -> Result<(u32, MirrorRect), WireError> {
    let id = reader.id(length)?;
    let row_len = reader.u32().ok_or(length)?;
    let stride = reader.u32().ok_or(length)?;
    let rows = reader.u32().ok_or(length)?;
    let offset = reader.u64().ok_or(length)?;
    let rect = MirrorRect { offset, row_len, stride, rows };
    if !rect.fits(MAX_MEMORY) {
        return Err(WireError::Bounds { field: "rectangle", value: offset });
    }
    Ok((id, rect))
}

/// Appends what comes before the `len` bytes of content of a MIRROR_WRITE.
pub fn encode_mirror_head(id: u32, rect: MirrorRect, len: usize, out: &mut Vec<u8>) {
    frame_header(out, MIRROR_WRITE, 0, len.saturating_add(MIRROR_OVERHEAD - HEADER_LEN));
    for field in [id, rect.row_len, rect.stride, rect.rows] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    out.extend_from_slice(&rect.offset.to_le_bytes());
}

fn frame_header(out: &mut Vec<u8>, kind: u8, flags: u8, len: usize) {
    debug_assert!(len <= MAX_PAYLOAD);
    out.extend_from_slice(&[kind, flags, 0, 0]);
    out.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, parts: &[&[u8]]) {
    frame_header(out, kind, flags, parts.iter().map(|part| part.len()).sum());
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// Takes fields from the front of a slice; every method gives `None` where too little is left.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A VFD identifier.
    fn id(&mut self, length: WireError) -> Result<u32, WireError> {
        match self.u32().ok_or(length)? {
            0 => Err(WireError::ZeroId),
            id => Ok(id),
        }
    }

    /// A number of bytes that are granted.
    fn amount(&mut self, length: WireError) -> Result<u32, WireError> {
        match self.u32().ok_or(length)? {
            0 => Err(WireError::Bounds { field: "bytes", value: 0 }),
            bytes => Ok(bytes),
        }
    }

    /// Everything that is left, at least one byte.
    fn content(&mut self, length: WireError) -> Result<&'a [u8], WireError> {
        let content = std::mem::take(&mut self.rest);
        if content.is_empty() { Err(length) } else { Ok(content) }
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
