//! The target `c_msghdr`: the `struct msghdr` of the C library against that of the kernel.
//!
//! The same message, with a control part of any content, is sent on a pair of Unix sockets by the kernel and on a pair of
//! sockets by the C library, and received into the same buffers. Results, content, flags and the control part must be the
//! same, and so must the number of descriptors. Left out is what the header says is different: descriptors that cannot cross,
//! and more than 28 of them.
//!
//! Input: messages, each a few bytes that say how it is made.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use libc::{c_int, iovec, msghdr};
use rustix::io::Errno;
use virtio_wl::capi::descriptor::Descriptor;
use virtio_wl::capi::socket;
use virtio_wl::{Role, Socket, SocketOptions};

use super::choices::Choices;
use super::{descriptors, wire_peer};

/// Messages of one input.
const MAX_MESSAGES: usize = 30;
/// Bytes of a control part.
const CONTROL: usize = 256;
/// Length of a header in a control part.
const HEADER: usize = 16;
/// A number that no descriptor has.
const FAR: RawFd = 1_000_000;

/// See the module.
pub fn run(input: &[u8]) {
    let mut choices = Choices::new(input);
    let before = descriptors::count();
    let bench = Bench::new();
    for _ in 0..MAX_MESSAGES {
        if choices.is_empty() {
            break;
        }
        bench.exchange(&mut choices);
    }
    drop(bench);
    assert_eq!(descriptors::count(), before, "descriptors leaked");
}

/// A control part, aligned or not as the choice is.
struct Control {
    bytes: Box<[u64; CONTROL / 8 + 1]>,
    offset: usize,
    len: usize,
}

impl Control {
    fn new(offset: usize, len: usize) -> Self {
        Self { bytes: Box::new([0; CONTROL / 8 + 1]), offset, len: len.min(CONTROL) }
    }

    fn start(&mut self) -> *mut u8 {
        self.bytes.as_mut_ptr().cast::<u8>().wrapping_add(self.offset)
    }

    fn content(&self) -> Vec<u8> {
        let all = self.bytes.iter().flat_map(|word| word.to_ne_bytes());
        all.skip(self.offset).take(self.len).collect()
    }

    fn store(&mut self, at: usize, bytes: &[u8]) {
        for (place, byte) in (self.offset + at..self.offset + self.len).zip(bytes) {
            let mut word = self.bytes[place / 8].to_ne_bytes();
            word[place % 8] = *byte;
            self.bytes[place / 8] = u64::from_ne_bytes(word);
        }
    }
}

/// What a call has given.
#[derive(Debug, PartialEq, Eq)]
struct Received {
    result: Result<usize, i32>,
    bytes: Vec<u8>,
    flags: c_int,
    /// The control part without the numbers of descriptors, and how many there were.
    control: Vec<u8>,
    descriptors: usize,
}

struct Bench {
    kernel: [UnixStream; 2],
    ours: [Descriptor; 2],
    /// What messages carry.
    reader: OwnedFd,
    writer: OwnedFd,
}

impl Bench {
    fn new() -> Self {
        let kernel: [UnixStream; 2] = UnixStream::pair().expect("socket pair").into();
        let (one, other) = UnixStream::pair().expect("socket pair");
        let open = |stream: UnixStream, role| {
            let socket = Socket::new(stream.into(), role, SocketOptions::default()).expect("socket");
            Descriptor::socket(socket).expect("descriptor")
        };
        let (reader, writer) = wire_peer::pipe();
        let ours = [open(one, Role::Initiator), open(other, Role::Acceptor)];
        let bench = Self { kernel, ours, reader, writer };
        bench.settle();
        bench
    }

    fn settle(&self) {
        for side in [1, 0, 1, 0] {
            self.ours[side].dispatch().expect("a healthy connection");
        }
    }

    /// Sends one message on both, and receives it in pieces.
    fn exchange(&self, choices: &mut Choices<'_>) {
        let lengths: Vec<usize> = (0..choices.below(4)).map(|_| usize::from(choices.byte())).collect();
        let mut data: Vec<Vec<u8>> = lengths.iter().map(|len| vec![choices.byte(); *len]).collect();
        let mut control = self.control(choices);
        let numbers = rights(&control.content());
        let known = |fd: &RawFd| {
            *fd < 0 || *fd >= FAR || [&self.reader, &self.writer].iter().any(|own| own.as_raw_fd() == *fd)
        };
        if numbers.len() > 28 || !numbers.iter().all(known) {
            return;
        }
        let sent = [self.send(true, &mut data, &mut control), self.send(false, &mut data, &mut control)];
        let [kernel, ours] = sent;
        assert_eq!(ours, kernel, "sending {lengths:?} with {:02x?}", control.content());
        self.settle();
        let mut left = kernel.unwrap_or(0);
        // What was looked at comes by itself first: a call may give less than there is.
        let mut held = 0;
        while left > 0 {
            let wanted = 1 + 4 * usize::from(choices.byte());
            let room = choices.byte();
            let flags = libc::MSG_DONTWAIT
                | if room & 1 == 0 { libc::MSG_CMSG_CLOEXEC } else { 0 }
                | if room & 6 == 6 { libc::MSG_PEEK } else { 0 };
            let peek = flags & libc::MSG_PEEK != 0;
            let len = if peek || held == 0 { wanted } else { wanted.min(held) };
            // An input that is used up peeks no more.
            let room = usize::from(room >> 3) * 4;
            let [kernel, ours] = [true, false].map(|kernel| self.receive(kernel, len, room, flags));
            assert_eq!(ours, kernel, "receiving {len} bytes and {room} of control with {flags:x}");
            let received = kernel.result.expect("what was sent is there");
            if peek {
                held = held.max(received);
            } else {
                held = held.saturating_sub(received);
                left -= received;
            }
        }
    }

    /// Headers that are right or nearly so, or bytes.
    fn control(&self, choices: &mut Choices<'_>) -> Control {
        let shape = choices.byte();
        let mut control = Control::new(usize::from(shape >> 3) % 8, usize::from(choices.byte()));
        if shape & 3 == 3 {
            let bytes = choices.bytes(control.len);
            control.store(0, bytes);
            return control;
        }
        let (mut at, mut attached) = (0, 0);
        for _ in 0..choices.below(4) {
            let kind = choices.byte();
            let count = choices.below(9).min(28 - attached);
            attached += count;
            let change = if kind & 0x30 == 0x30 { choices.byte() } else { 0 };
            let length = (HEADER + 4 * count) as u64 ^ u64::from(change);
            let level = if kind & 3 == 3 { libc::SOL_SOCKET + 1 } else { libc::SOL_SOCKET };
            let what = if kind & 12 == 12 { libc::SCM_RIGHTS + 8 } else { libc::SCM_RIGHTS };
            control.store(at, &length.to_ne_bytes());
            control.store(at + 8, &level.to_ne_bytes());
            control.store(at + 12, &what.to_ne_bytes());
            for index in 0..count {
                let number = match choices.below(20) {
                    0 => -1,
                    1 => FAR,
                    even if even % 2 == 0 => self.reader.as_raw_fd(),
                    _ => self.writer.as_raw_fd(),
                };
                control.store(at + HEADER + 4 * index, &number.to_ne_bytes());
            }
            at += (HEADER + 4 * count).next_multiple_of(8);
        }
        if shape & 4 == 0 {
            control.len = at.min(CONTROL);
        }
        control
    }

    fn send(&self, kernel: bool, data: &mut [Vec<u8>], control: &mut Control) -> Result<usize, i32> {
        let mut pieces = pieces(data);
        let message = message(&mut pieces, control);
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        if kernel {
            // SAFETY: the message and everything that it names live until the end of the call.
            let sent = unsafe { libc::sendmsg(self.kernel[0].as_raw_fd(), &raw const message, flags) };
            return outcome(sent);
        }
        let descriptor = &self.ours[0];
        // SAFETY: as above.
        let sent = unsafe { socket::sendmsg(descriptor.set(), descriptor, &raw const message, flags) };
        sent.map(|sent| usize::try_from(sent).expect("a length")).map_err(Errno::raw_os_error)
    }

    fn receive(&self, kernel: bool, len: usize, room: usize, flags: c_int) -> Received {
        let mut data = [vec![0; len / 2], vec![0; len - len / 2]];
        let mut control = Control::new(len % 8, room);
        let mut pieces = pieces(&mut data);
        let mut message = message(&mut pieces, &mut control);
        let result = if kernel {
            // SAFETY: the message and everything that it names live until the end of the call, and nobody else uses them.
            let received = unsafe { libc::recvmsg(self.kernel[1].as_raw_fd(), &raw mut message, flags) };
            outcome(received)
        } else {
            let descriptor = &self.ours[1];
            // SAFETY: as above.
            let received = unsafe { socket::recvmsg(descriptor.set(), descriptor, &raw mut message, flags) };
            received.map(|len| usize::try_from(len).expect("a length")).map_err(Errno::raw_os_error)
        };
        let (flags, used) = (message.msg_flags, message.msg_controllen);
        control.len = if result.is_ok() { used.min(room) } else { 0 };
        let mut content = control.content();
        let mut descriptors = 0;
        for number in content.get_mut(HEADER..).unwrap_or_default().chunks_exact_mut(4) {
            let fd = RawFd::from_ne_bytes([number[0], number[1], number[2], number[3]]);
            // The rest of the last eight bytes is padding.
            if fd > 0 {
                close(fd);
                descriptors += 1;
            }
            number.fill(0);
        }
        Received { result, bytes: data.concat(), flags, control: content, descriptors }
    }
}

/// The numbers that a control part passes, as the kernel finds them: those of the harness itself must not be among them.
fn rights(control: &[u8]) -> Vec<RawFd> {
    let mut numbers = Vec::new();
    let mut rest = control;
    while let Some((header, _)) = rest.split_first_chunk::<HEADER>() {
        let [length @ .., _, _, _, _, _, _, _, _] = *header;
        let Some(data) =
            usize::try_from(u64::from_ne_bytes(length)).ok().and_then(|end| rest.get(HEADER..end))
        else {
            break;
        };
        if header[8..] == [1, 0, 0, 0, 1, 0, 0, 0] {
            let words = data.as_chunks::<4>().0;
            numbers.extend(words.iter().map(|word| RawFd::from_ne_bytes(*word)));
        }
        rest = rest.get((HEADER + data.len()).next_multiple_of(8)..).unwrap_or_default();
    }
    numbers
}

fn close(number: RawFd) {
    // SAFETY: the call that was made just now has given this descriptor to the harness alone.
    drop(unsafe { OwnedFd::from_raw_fd(number) });
}

fn pieces(data: &mut [Vec<u8>]) -> Vec<iovec> {
    data.iter_mut().map(|piece| iovec { iov_base: piece.as_mut_ptr().cast(), iov_len: piece.len() }).collect()
}

/// A message of pieces and a control part, which it points to.
fn message(pieces: &mut [iovec], control: &mut Control) -> msghdr {
    // SAFETY: a structure of numbers and pointers, for which zeros are valid.
    let mut message: msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = pieces.as_mut_ptr();
    message.msg_iovlen = pieces.len();
    message.msg_control = control.start().cast();
    message.msg_controllen = control.len;
    message
}

fn outcome(result: isize) -> Result<usize, i32> {
    usize::try_from(result)
        .map_err(|_| Errno::from_io_error(&std::io::Error::last_os_error()).map_or(0, Errno::raw_os_error))
}
