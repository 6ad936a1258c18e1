//! Bytes, in order, whatever the sizes of the pieces.

use rustix::io::Errno;

use crate::pair::{End, Want, noise};
use crate::transports::Transport;

pub fn one_byte_writes(transport: &dyn Transport) {
    let mut pair = transport.open().into_pair();
    let bytes = noise(1, 3000);
    for end in End::BOTH {
        // A Unix socket has room for a few hundred messages, however small.
        for part in bytes.chunks(150) {
            for byte in part.chunks(1) {
                pair.send_all(end, byte, &[]);
            }
            assert!(pair.receive_exactly(end.other(), part.len()).0 == part);
        }
    }
}

pub fn partial_reads(transport: &dyn Transport) {
    let mut pair = transport.open().into_pair();
    let bytes = noise(2, 20_000);
    for end in End::BOTH {
        pair.send_all(end, &bytes, &[]);
        let mut received = Vec::new();
        // From less than what there is in a frame to more than what was sent.
        for room in (1..).map(|step: usize| step * step % 997 + 1) {
            let (piece, _) =
                pair.receive(end.other(), room.min(bytes.len() - received.len())).expect("alive");
            assert!(!piece.is_empty() && piece.len() <= room);
            received.extend(piece);
            if received.len() == bytes.len() {
                break;
            }
        }
        assert!(received == bytes);
    }
}

pub fn partial_writes(transport: &dyn Transport) {
    let mut pair = transport.open().into_pair();
    // More than any transport takes at once.
    let bytes = noise(3, 16 << 20);
    for end in End::BOTH {
        let sent = pair.side(end).send(&bytes, &[]).expect("room for a part");
        assert!(sent > 0 && sent < bytes.len(), "{sent} bytes were taken at once");
        assert!(pair.receive_exactly(end.other(), sent).0 == bytes[..sent]);
        // Of the rest not a byte has left, so that it can be sent once more.
        pair.send_all(end, b"next", &[]);
        assert_eq!(pair.receive_exactly(end.other(), 4).0, b"next");
    }
}

pub fn both_directions_at_once(transport: &dyn Transport) {
    let mut pair = transport.open().into_pair();
    let len = transport.volume();
    let content = End::BOTH.map(|end| noise(end as u64 + 4, len));
    let (mut sent, mut received) = ([0; 2], [Vec::new(), Vec::new()]);
    let mut buffer = vec![0; 10_007];
    while received.iter().any(|received| received.len() < len) {
        let mut blocked = true;
        for end in End::BOTH {
            let at = end as usize;
            let rest = &content[at][sent[at]..];
            let piece = &rest[..rest.len().min(5003)];
            if !piece.is_empty() {
                match pair.side(end).send(piece, &[]) {
                    Ok(len) => {
                        sent[at] += len;
                        blocked = false;
                    }
                    Err(error) => assert_eq!(error, Errno::AGAIN),
                }
            }
            match pair.side(end).receive(&mut buffer, &mut Vec::new()) {
                Ok(len) => {
                    assert!(len > 0, "an end that nobody has made");
                    received[at].extend_from_slice(&buffer[..len]);
                    blocked = false;
                }
                Err(error) => assert_eq!(error, Errno::AGAIN),
            }
        }
        if blocked {
            // Whatever can be done next is a consequence of something to be received by one of the two.
            let end = if received[0].len() < len { End::Initiator } else { End::Acceptor };
            pair.turn(end, Want::Receive);
        }
    }
    assert!(received[0] == content[1] && received[1] == content[0]);
}
