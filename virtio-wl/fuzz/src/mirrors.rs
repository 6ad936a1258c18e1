//! The target `mirrors`: memory that one side writes and the other one has a mirror of.
//!
//! Where a rectangle was announced and everything has arrived, the mirror has the content of the memory; everywhere else it
//! has what it had before. The sender's memory goes on changing between the announcements, and mirrors are closed and made
//! anew.
//!
//! Input: operations of one byte and their arguments.

use std::os::fd::AsFd;
use std::sync::Arc;

use virtio_wl::wire::MirrorRect;
use virtio_wl::{
    MirrorBudget, ReceivedFd, ReceivedKind, Region, Role, Socket, SocketError, SocketOptions, StreamLimits,
};

use super::choices::Choices;
use super::{descriptors, wire_peer};

/// Length of the memory: five pages, and small rectangles beside long ones.
const LENGTH: u64 = 5 * 4096;
/// Operations of one input.
const MAX_OPERATIONS: usize = 200;

/// See the module.
pub fn run(input: &[u8]) {
    let mut choices = Choices::new(input);
    let before = descriptors::count();
    let budget = MirrorBudget::new(1 << 30);
    let mut bench = Bench::new(&budget);
    for _ in 0..MAX_OPERATIONS {
        if choices.is_empty() {
            break;
        }
        bench.operate(&mut choices);
    }
    bench.check();
    drop(bench);
    assert_eq!(budget.used(), 0, "memory of mirrors is still counted");
    assert_eq!(descriptors::count(), before, "descriptors leaked");
}

struct Bench {
    sender: Socket,
    receiver: Socket,
    memory: Arc<Region>,
    /// What the memory and the mirror must hold.
    written: Vec<u8>,
    mirrored: Vec<u8>,
    /// The mirror as the application got it. `None` while there is none.
    mirror: Option<ReceivedFd>,
}

impl Bench {
    fn new(budget: &Arc<MirrorBudget>) -> Self {
        let (one, other) = std::os::unix::net::UnixStream::pair().expect("socket pair");
        let limits = StreamLimits { max_mirrors: 1, max_mirror_bytes: LENGTH, ..StreamLimits::default() };
        let mirror_budget = Some(Arc::clone(budget));
        let options = SocketOptions { limits, mirror_budget, ..SocketOptions::default() };
        let mut sender = Socket::new(one.into(), Role::Initiator, options.clone()).expect("socket");
        let mut receiver = Socket::new(other.into(), Role::Acceptor, options).expect("socket");
        wire_peer::settle(&mut receiver).expect("hello");
        wire_peer::settle(&mut sender).expect("hello");
        let memory = Arc::new(Region::create_memfd(LENGTH).expect("memory"));
        let zeros = vec![0; usize::try_from(LENGTH).expect("small")];
        let mut bench =
            Self { sender, receiver, memory, written: zeros.clone(), mirrored: zeros, mirror: None };
        // The memory of a region begins with a header.
        bench.scribble(0, &[0; 4096]);
        bench
    }

    fn operate(&mut self, choices: &mut Choices<'_>) {
        match choices.byte() % 8 {
            0..=2 => {
                let offset = u64::from(choices.short()) % LENGTH;
                let length = usize::from(choices.short()) % 5000;
                let length = length.min(usize::try_from(LENGTH - offset).expect("small"));
                let value = choices.byte();
                self.scribble(offset, &vec![value; length]);
            }
            3..=5 => self.announce(choices),
            6 => self.pass(),
            _ if choices.below(4) == 0 => {
                self.check();
                self.close();
            }
            _ => self.check(),
        }
    }

    /// The application writes its memory.
    fn scribble(&mut self, offset: u64, bytes: &[u8]) {
        let begin = usize::try_from(offset).expect("small");
        self.written[begin..begin + bytes.len()].copy_from_slice(bytes);
        let file = std::fs::File::from(self.memory.try_clone_fd().expect("descriptor"));
        std::os::unix::fs::FileExt::write_all_at(&file, bytes, offset).expect("written");
    }

    /// A rectangle is announced, and everything that was is sent, so that the content is that of now.
    fn announce(&mut self, choices: &mut Choices<'_>) {
        if self.mirror.is_none() {
            self.pass();
        }
        let rect = MirrorRect {
            offset: u64::from(choices.short()) % (LENGTH + 100),
            row_len: u32::from(choices.short()) % 6000,
            stride: u32::from(choices.short()) % 6000,
            rows: u32::from(choices.byte()) % 40,
        };
        let fits = rect.rows > 0
            && rect.row_len > 0
            && rect.stride >= rect.row_len
            && rect.offset + u64::from(rect.stride) * u64::from(rect.rows - 1) + u64::from(rect.row_len)
                <= LENGTH;
        match self.sender.mirror_write(&self.memory, rect) {
            Ok(()) => assert!(fits, "a rectangle outside the memory: {rect:?}"),
            Err(SocketError::Invalid(_)) => {
                assert!(!fits, "a rectangle within the memory: {rect:?}");
                return;
            }
            Err(error) => panic!("announcing a rectangle: {error}"),
        }
        for row in 0..u64::from(rect.rows) {
            let begin = usize::try_from(rect.offset + row * u64::from(rect.stride)).expect("small");
            let end = begin + usize::try_from(rect.row_len).expect("small");
            self.mirrored[begin..end].copy_from_slice(&self.written[begin..end]);
        }
        self.settle();
    }

    /// The memory is passed in a message; every descriptor stands for the same mirror.
    fn pass(&mut self) {
        if self.mirror.is_none() {
            // It begins with what the memory has then.
            self.mirrored.copy_from_slice(&self.written);
        }
        assert_eq!(self.sender.sendmsg(b"x", &[self.memory.as_fd()]), Ok(1));
        self.settle();
        let mut fds = Vec::new();
        assert_eq!(self.receiver.recvmsg(&mut [0; 8], &mut fds), Ok(1));
        let mirror = fds.pop().expect("a descriptor");
        assert_eq!(mirror.kind, ReceivedKind::Mirror { len: LENGTH });
        if let Some(old) = &self.mirror {
            let inode = |fd: &ReceivedFd| rustix::fs::fstat(fd).expect("stat").st_ino;
            assert_eq!(inode(old), inode(&mirror), "the same memory");
        }
        self.mirror = Some(mirror);
        self.check();
    }

    /// The memory is not mirrored any more: whoever has a descriptor keeps it, but it takes up nothing.
    fn close(&mut self) {
        self.sender.mirror_close(&self.memory);
        self.settle();
        if let Some(closed) = self.mirror.take() {
            let stat = rustix::fs::fstat(&closed).expect("stat");
            assert_eq!(u64::try_from(stat.st_size), Ok(LENGTH), "a mirror keeps its length");
            assert_eq!(stat.st_blocks, 0, "memory of a mirror that was closed");
        }
    }

    fn settle(&mut self) {
        while wire_peer::is_ready(&self.sender) || wire_peer::is_ready(&self.receiver) {
            wire_peer::settle(&mut self.sender).expect("a healthy connection");
            wire_peer::settle(&mut self.receiver).expect("a healthy connection");
        }
    }

    fn check(&mut self) {
        self.settle();
        let Some(mirror) = &self.mirror else { return };
        let mut content = vec![0; self.mirrored.len()];
        rustix::io::pread(mirror, &mut content, 0).expect("read");
        let wrong = content.iter().zip(&self.mirrored).position(|(is, should)| is != should);
        assert_eq!(wrong, None, "the first byte of the mirror that is wrong");
    }
}
