//! Everything at once: data, blobs, pipes and sockets in both directions, in random sizes and with random pauses, on one
//! stream. What arrives must be what was sent, in its order, and nothing may be left over.

use std::fs::File;
use std::os::unix::fs::FileExt;

use proptest::prelude::*;

use super::*;

/// One direction: what was sent, what has arrived, and where the pipes are.
#[derive(Default)]
struct Direction {
    messages: usize,
    sent: Vec<u8>,
    received: Vec<u8>,
    /// Content of the descriptors in the order in which they were sent.
    expected: Vec<Vec<u8>>,
    arrived: Vec<ReceivedFd>,
    /// Pipes that are being written: descriptor, content and how much of it was taken.
    writing: Vec<(OwnedFd, Vec<u8>, usize)>,
}

fn set_nonblocking(fd: impl AsFd) {
    let flags = rustix::fs::fcntl_getfl(&fd).expect("flags");
    rustix::fs::fcntl_setfl(&fd, flags | rustix::fs::OFlags::NONBLOCK).expect("set");
}

impl Direction {
    fn send(&mut self, socket: &mut FramedSocket, random: &mut impl FnMut(usize) -> usize) {
        let mut fds: Vec<OwnedFd> = Vec::new();
        let mut contents = Vec::new();
        let mut writing = Vec::new();
        for _ in 0..random(4) {
            let content = pattern(random(3) * random(60_000) + random(10));
            let kind = random(4);
            if kind < 2 {
                let mut file = File::from(crate::region::memfd(c"test").expect("memory"));
                file.write_all(&content).expect("written");
                rustix::fs::fcntl_add_seals(&file, rustix::fs::SealFlags::WRITE).expect("sealed");
                fds.push(file.into());
            } else {
                let (reader, writer) = if kind == 2 {
                    rustix::pipe::pipe().expect("pipe")
                } else {
                    let (one, two) = UnixStream::pair().expect("socket pair");
                    (one.into(), two.into())
                };
                set_nonblocking(&writer);
                writing.push((writer, content.clone(), 0));
                fds.push(reader);
            }
            contents.push(content);
        }
        let borrowed: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
        let message = pattern(1 + random(9000));
        match socket.sendmsg(&message, &borrowed) {
            Ok(len) => {
                self.messages += 1;
                self.sent.extend_from_slice(&message[..len]);
                self.expected.extend(contents);
                self.writing.extend(writing);
            }
            Err(SocketError::WouldBlock) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn write_pipes(&mut self) {
        self.writing.retain_mut(|(writer, content, taken)| {
            match rustix::io::write(&*writer, &content[*taken..]) {
                Ok(len) => *taken += len,
                Err(error) => assert_eq!(error, Errno::AGAIN),
            }
            // The writer is closed when all is written.
            *taken < content.len()
        });
    }

    fn receive(&mut self, socket: &mut FramedSocket, max: usize) {
        let mut buffer = vec![0; max];
        if let Ok(len) = socket.recvmsg(&mut buffer, &mut self.arrived) {
            self.received.extend_from_slice(&buffer[..len]);
        }
    }
}

/// Reads all pipes a little. True when all have ended.
fn read_pipes(arrived: &[ReceivedFd], read: &mut Vec<Option<Vec<u8>>>, ended: &mut Vec<bool>) -> bool {
    for (index, fd) in arrived.iter().enumerate() {
        if read.len() <= index {
            let is_pipe = matches!(fd.kind, ReceivedKind::PipeRead | ReceivedKind::Socket);
            read.push(is_pipe.then(Vec::new));
            ended.push(!is_pipe);
            set_nonblocking(fd);
        }
        let Some(content) = &mut read[index] else { continue };
        let mut buffer = [0; 20_000];
        match rustix::io::read(fd, &mut buffer) {
            Ok(0) => ended[index] = true,
            Ok(len) => content.extend_from_slice(&buffer[..len]),
            Err(error) => assert_eq!(error, Errno::AGAIN),
        }
    }
    ended.iter().all(|ended| *ended)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn everything_arrives_whole_and_in_order(seed: u64, messages in 1usize..25) {
        let mut state = seed;
        let mut random = move |bound: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).expect("31 bits") % bound
        };
        let (mut one, mut two) = pair();
        let mut directions = [Direction::default(), Direction::default()];
        let (mut read, mut ended) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
        run(&mut [&mut one, &mut two], |sockets| {
            let mut all_ended = true;
            for (index, direction) in directions.iter_mut().enumerate() {
                if direction.messages < messages && random(3) > 0 {
                    direction.send(sockets[index], &mut random);
                }
                if random(4) > 0 {
                    direction.write_pipes();
                    direction.receive(sockets[1 - index], 1 + random(20_000));
                }
                all_ended &= read_pipes(&direction.arrived, &mut read[index], &mut ended[index]);
                all_ended &= direction.messages == messages && direction.received.len() == direction.sent.len();
            }
            all_ended
        });
        for (direction, read) in directions.iter().zip(&read) {
            prop_assert!(direction.received == direction.sent);
            prop_assert_eq!(direction.arrived.len(), direction.expected.len());
            for ((fd, pipe), expected) in direction.arrived.iter().zip(read).zip(&direction.expected) {
                let content = pipe.clone().unwrap_or_else(|| {
                    let mut content = vec![0; expected.len() + 1];
                    let file = File::from(fd.fd.try_clone().expect("duplicated"));
                    let len = file.read_at(&mut content, 0).expect("read");
                    content.truncate(len);
                    content
                });
                prop_assert!(content == *expected);
            }
        }
        settle(&mut [&mut one, &mut two]);
        prop_assert_eq!((one.pipes_open(), two.pipes_open()), (0, 0));
        prop_assert_eq!((one.queued_bytes(), two.queued_bytes()), (0, 0));
    }
}
