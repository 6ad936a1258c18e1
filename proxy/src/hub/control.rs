//! What supervisor and relay say to each other over their socket pair.
//!
//! The socket is of type `SOCK_SEQPACKET`, so a message is read whole or not at all. Every message is four 64-bit
//! numbers in the byte order of the machine: which message it is, and up to three values. Both ends come from one
//! executable. The supervisor treats a message that it does not understand as a sign that the relay has been
//! taken over: see [`FromRelay::decode`].

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use vitrail_protocols::report::JailReport;

use crate::jail::Identity;

/// Length of a message in bytes.
const MESSAGE_LEN: usize = 32;
/// Most descriptors in a message: both ends of a connection.
const MAX_FDS: usize = 2;

/// What the supervisor says. Descriptors go with each message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ToRelay {
    /// The first message. With it: the region, if the VM has one.
    Setup {
        /// The user to become.
        identity: Option<Identity>,
        /// Whether the relay must not run as any other user.
        identity_required: bool,
        /// The bytes of the file that are the region; none without one.
        region: Range<u32>,
        /// Connections at a time, for the resource limits.
        max_connections: u32,
    },
    /// Move bytes. With it: the VM's stream and the gate's.
    Connection {
        /// Serial number.
        serial: u64,
        /// Which of the two go through a vsock.
        vsock: VsockEnds,
    },
    /// Serve trim requests. With it: the VM's stream.
    Trim {
        /// Serial number.
        serial: u64,
    },
}

/// Which ends of a connection go through a vsock, where writes have to be short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct VsockEnds {
    pub(super) vm: bool,
    pub(super) gate: bool,
}

/// What a relay says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FromRelay {
    /// The walls stand.
    Ready {
        /// Which of them.
        jail: JailReport,
    },
    /// A connection or trim stream has reached the relay. Said before its first byte is moved, so that a stream of which
    /// this was not said can be given to another relay.
    Started {
        /// Serial number.
        serial: u64,
    },
    /// A connection or trim stream ended.
    Ended {
        /// Serial number.
        serial: u64,
        /// Bytes moved to the gate; of a trim stream, bytes given back to the host.
        to_gate: u64,
        /// Bytes moved to the VM.
        to_vm: u64,
    },
}

const SETUP: u64 = 1;
const CONNECTION: u64 = 2;
const TRIM: u64 = 3;
const READY: u64 = 4;
const ENDED: u64 = 5;
const STARTED: u64 = 6;

const HAS_IDENTITY: u64 = 1 << 32;
const IDENTITY_REQUIRED: u64 = 1 << 33;

impl ToRelay {
    pub(super) fn encode(&self) -> [u64; 4] {
        match self {
            Self::Setup { identity, identity_required, region, max_connections } => {
                let ids = identity.map_or(0, |identity| join(identity.uid, identity.gid));
                let flags = if identity.is_some() { HAS_IDENTITY } else { 0 }
                    | if *identity_required { IDENTITY_REQUIRED } else { 0 };
                [SETUP, ids, join(region.start, region.end), u64::from(*max_connections) | flags]
            }
            Self::Connection { serial, vsock } => {
                [CONNECTION, *serial, u64::from(vsock.vm), u64::from(vsock.gate)]
            }
            Self::Trim { serial } => [TRIM, *serial, 0, 0],
        }
    }

    pub(super) fn decode(words: [u64; 4]) -> Option<Self> {
        match words {
            [SETUP, ids, region, last] => {
                let (uid, gid) = split(ids);
                let (start, end) = split(region);
                Some(Self::Setup {
                    identity: (last & HAS_IDENTITY != 0).then_some(Identity { uid, gid }),
                    identity_required: last & IDENTITY_REQUIRED != 0,
                    region: start..end,
                    max_connections: split(last).1,
                })
            }
            [CONNECTION, serial, vm @ 0..=1, gate @ 0..=1] => {
                Some(Self::Connection { serial, vsock: VsockEnds { vm: vm == 1, gate: gate == 1 } })
            }
            [TRIM, serial, 0, 0] => Some(Self::Trim { serial }),
            _ => None,
        }
    }
}

impl FromRelay {
    pub(super) fn encode(&self) -> [u64; 4] {
        match self {
            Self::Ready { jail } => {
                let walls =
                    [jail.no_new_privs, jail.seccomp, jail.landlock, jail.rlimits, jail.no_capabilities];
                [READY, walls.iter().rev().fold(0, |bits, &wall| bits << 1 | u64::from(wall)), 0, 0]
            }
            Self::Started { serial } => [STARTED, *serial, 0, 0],
            Self::Ended { serial, to_gate, to_vm } => [ENDED, *serial, *to_gate, *to_vm],
        }
    }

    /// Nothing, if the message is none that a relay sends: then it is no relay any more, and has to go.
    pub(super) fn decode(words: [u64; 4]) -> Option<Self> {
        match words {
            [READY, bits @ 0..32, 0, 0] => Some(Self::Ready {
                jail: JailReport {
                    no_new_privs: bits & 1 != 0,
                    seccomp: bits & 2 != 0,
                    landlock: bits & 4 != 0,
                    rlimits: bits & 8 != 0,
                    no_capabilities: bits & 16 != 0,
                },
            }),
            [STARTED, serial, 0, 0] => Some(Self::Started { serial }),
            [ENDED, serial, to_gate, to_vm] => Some(Self::Ended { serial, to_gate, to_vm }),
            _ => None,
        }
    }
}

fn join(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

fn split(both: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = both.to_be_bytes();
    (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))
}

/// Sends one message with its descriptors. Never blocks on a non-blocking socket.
pub(super) fn send(socket: impl AsFd, words: [u64; 4], fds: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(Errno::TOOMANYREFS);
    }
    rustix::net::sendmsg(socket, &[IoSlice::new(&bytes)], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// A message as it came: `None` at the end of the stream.
pub(super) type Received = Option<([u64; 4], Vec<OwnedFd>)>;

/// Receives one message. One of another length is `EBADMSG`.
pub(super) fn receive(socket: impl AsFd) -> Result<Received, Errno> {
    let mut bytes = [0; MESSAGE_LEN];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::net::recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut bytes)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let fds: Vec<OwnedFd> = ancillary
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        })
        .flatten()
        .collect();
    if received.bytes == 0 && fds.is_empty() {
        return Ok(None);
    }
    if received.bytes != MESSAGE_LEN || received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(Errno::BADMSG);
    }
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_ne_bytes(*bytes);
    }
    Ok(Some((words, fds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_the_round_trip() {
        let identity = Some(Identity { uid: 65534, gid: u32::MAX });
        for message in [
            ToRelay::Setup {
                identity,
                identity_required: true,
                region: 2 << 20..1 << 30,
                max_connections: 4096,
            },
            ToRelay::Setup {
                identity: None,
                identity_required: false,
                region: 0..0,
                max_connections: u32::MAX,
            },
            ToRelay::Connection { serial: 7, vsock: VsockEnds { vm: true, gate: false } },
            ToRelay::Connection { serial: 7, vsock: VsockEnds { vm: false, gate: true } },
            ToRelay::Trim { serial: u64::MAX },
        ] {
            assert_eq!(ToRelay::decode(message.encode()), Some(message));
        }
        let jail = JailReport { no_new_privs: true, landlock: true, ..JailReport::default() };
        for message in [
            FromRelay::Ready { jail },
            FromRelay::Started { serial: 9 },
            FromRelay::Ended { serial: 1, to_gate: u64::MAX, to_vm: 3 },
        ] {
            assert_eq!(FromRelay::decode(message.encode()), Some(message));
        }
    }

    #[test]
    fn what_the_other_side_says_is_not_understood() {
        assert_eq!(
            FromRelay::decode(ToRelay::Connection { serial: 1, vsock: VsockEnds::default() }.encode()),
            None
        );
        assert_eq!(ToRelay::decode(FromRelay::Ready { jail: JailReport::default() }.encode()), None);
        assert_eq!(FromRelay::decode([READY, 32, 0, 0]), None);
    }
}
