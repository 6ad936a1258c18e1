//! Back-pressure: who does not take anything stops who sends it, and nobody else.

use crate::cases::borrowed;
use crate::pair::{End, noise};
use crate::transports::Transport;

/// Far above what all windows, queues and socket buffers hold together.
const BOUND: usize = 32 << 20;

pub fn a_reader_that_stops_stops_the_writer(transport: &dyn Transport) {
    let mut pair = transport.open().into_pair();
    for end in End::BOTH {
        let piece = noise(end as u64, 30_011);
        let sent = pair.fill(end, &piece, BOUND);
        assert!(pair.receive_exactly(end.other(), sent.len()).0 == sent);
        pair.send_all(end, b"and on it goes", &[]);
        assert_eq!(pair.receive_exactly(end.other(), 14).0, b"and on it goes");
    }
}

pub fn the_other_direction_goes_on(transport: &dyn Transport) {
    let mut pair = transport.open().into_pair();
    for end in End::BOTH {
        let sent = pair.fill(end, &noise(end as u64, 30_011), BOUND);
        let answer = noise(9, transport.volume());
        let mut at = 0;
        while at < answer.len() {
            let piece = &answer[at..answer.len().min(at + 8192)];
            pair.send_all(end.other(), piece, &[]);
            assert!(pair.receive_exactly(end, piece.len()).0 == piece);
            at += piece.len();
        }
        assert!(pair.receive_exactly(end.other(), sent.len()).0 == sent);
    }
}

pub fn a_pipe_passes_data_that_waits(transport: &dyn Transport) {
    let mut pair = transport.open().into_pair();
    for end in End::BOTH {
        let (reader, writer) = rustix::pipe::pipe().expect("pipe");
        pair.send_all(end, b"x", &borrowed(&[reader]));
        let (_, fds) = pair.receive_exactly(end.other(), 1);
        let sent = pair.fill(end, &noise(end as u64, 30_011), BOUND);
        let content = noise(5, 10_000);
        assert_eq!(rustix::io::write(&writer, &content), Ok(content.len()));
        drop(writer);
        assert!(pair.read_to_end(&fds[0]) == content);
        assert!(pair.receive_exactly(end.other(), sent.len()).0 == sent);
    }
}
