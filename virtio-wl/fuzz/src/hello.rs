//! The target `hello`: the decoder of the hello against the second one, and what a socket makes of it, in pieces.
//!
//! Input: two bytes, then the difference to a valid hello (exclusive or), so that an input of zeros is accepted, then what
//! follows the hello. The first byte: which end the socket is, which purpose it has, whether the hello is cut short, whether the
//! stream ends after the bytes, and whether the socket waits for a hello only so long; the second one: where the bytes are cut
//! into two.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use virtio_wl::socket::Violation;
use virtio_wl::wire::{HELLO_LEN, Hello};
use virtio_wl::{Purpose, Role, Socket, SocketError, SocketOptions};

use super::choices::Choices;
use super::{descriptors, frames, reference};

/// See the module.
pub fn run(input: &[u8]) {
    let mut choices = Choices::new(input);
    let config = choices.byte();
    let cut = usize::from(choices.byte());
    let acceptor = config & 1 == 0;
    let valid = reference::hello_bytes(&reference::Hello {
        purpose: 1,
        acceptor: !acceptor,
        region: false,
        sockets: true,
        data_window: 1 << 20,
        pipe_window: 1 << 16,
        max_pipes: 4,
        max_mirrors: 4,
        max_blob: 1 << 16,
        max_mirror_pages: 16,
    });
    let missing = if config & 4 == 0 { 0 } else { choices.below(HELLO_LEN) };
    let mut hello: Vec<u8> = valid.iter().map(|byte| byte ^ choices.byte()).collect();
    if let Ok(whole) = <&[u8; HELLO_LEN]>::try_from(hello.as_slice()) {
        compare(whole);
    }
    hello.truncate(HELLO_LEN - missing);
    let role = if acceptor { Role::Acceptor } else { Role::Initiator };
    let purpose = if config & 2 == 0 { Purpose::Wayland } else { Purpose::Trim };
    let before = descriptors::count();
    let hello_timeout = (config & 16 != 0).then_some(Duration::from_secs(3600));
    let options = SocketOptions { purpose, hello_timeout, ..SocketOptions::default() };
    live(&hello, choices.rest(), cut, (role, options), config & 8 != 0);
    assert_eq!(descriptors::count(), before, "descriptors leaked");
}

/// Both decoders must say the same, and encoding again must give the same bytes.
pub fn compare(bytes: &[u8; HELLO_LEN]) {
    match (Hello::decode(bytes), reference::hello(bytes)) {
        (Ok(ours), Ok(other)) => {
            assert_eq!(ours.encode(), *bytes, "the same bytes again");
            assert_eq!(reference::hello_bytes(&other), bytes, "the same bytes from both");
            assert_eq!(converted(&ours), other, "the same hello");
        }
        (Err(error), Err(rules)) => {
            assert!(rules.contains(&frames::rule(&error)), "{error} is none of {rules:?}");
        }
        (ours, other) => panic!("hello {bytes:02x?}: {ours:?}, but the page says {other:?}"),
    }
}

fn converted(hello: &Hello) -> reference::Hello {
    reference::Hello {
        purpose: if hello.purpose == Purpose::Wayland { 1 } else { 2 },
        acceptor: hello.role == Role::Acceptor,
        region: hello.has_region,
        sockets: hello.takes_sockets,
        data_window: hello.data_window,
        pipe_window: hello.pipe_window,
        max_pipes: hello.max_pipes,
        max_mirrors: hello.max_mirrors,
        max_blob: hello.max_blob,
        max_mirror_pages: u32::try_from(hello.max_mirror_bytes / 4096).expect("pages fit"),
    }
}

/// A socket opens exactly if the hello is whole, valid and of the opposite role and the same purpose.
fn live(hello: &[u8], rest: &[u8], cut: usize, (role, options): (Role, SocketOptions), close: bool) {
    let (mut peer, stream) = UnixStream::pair().expect("socket pair");
    let purpose = options.purpose;
    let mut socket = Socket::new(stream.into(), role, options).expect("socket");
    assert_eq!(
        socket.sendmsg(b"early", &[]),
        Err(SocketError::WouldBlock),
        "nothing is sent before the hello"
    );
    let rest = &rest[..rest.len().min(4096)];
    let whole = <&[u8; HELLO_LEN]>::try_from(hello);
    let bytes = if whole.is_ok() { [hello, rest].concat() } else { hello.to_vec() };
    let (first, second) = bytes.split_at(cut.min(bytes.len()));
    peer.write_all(first).expect("room in the socket");
    let early = socket.dispatch();
    assert!(cut >= HELLO_LEN || (early.is_ok() && !socket.is_open()), "a hello that is not all there");
    peer.write_all(second).expect("room in the socket");
    let _ = socket.dispatch();
    let judged = whole.map(reference::hello);
    let acceptor = role == Role::Acceptor;
    let number = if purpose == Purpose::Wayland { 1 } else { 2 };
    let welcome = matches!(&judged, Ok(Ok(hello)) if hello.acceptor != acceptor && hello.purpose == number);
    assert_eq!(socket.is_open(), welcome, "{judged:?} for {role:?} {purpose:?}");
    if close {
        peer.shutdown(std::net::Shutdown::Both).expect("shut down");
    }
    let result = socket.dispatch();
    match judged {
        Err(_) if close && bytes.is_empty() => assert_eq!(result, Err(SocketError::Disconnected)),
        Err(_) if close => assert_eq!(result, Err(SocketError::Truncated)),
        Err(_) => assert_eq!(result, Ok(())),
        Ok(Err(rules)) => match result {
            Err(SocketError::Wire(error)) => {
                assert!(rules.contains(&frames::rule(&error)), "{error} is none of {rules:?}");
            }
            other => panic!("{other:?}, but the page says {rules:?}"),
        },
        Ok(Ok(hello)) if !welcome => match result {
            Err(SocketError::Violation(Violation::Role(_))) => assert_eq!(hello.acceptor, acceptor),
            Err(SocketError::Violation(Violation::Purpose(_))) => assert_ne!(hello.purpose, number),
            other => panic!("{other:?} after {hello:?}"),
        },
        // What follows a hello that is accepted is the business of the target `vfds`.
        Ok(Ok(_)) => {}
    }
}
