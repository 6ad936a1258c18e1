//! The target `vfds`: a socket against a peer that says anything, and an application that does anything.
//!
//! The peer's frames are judged by [`Conversation`]: a legal one must never end the stream, and one that breaks a rule must
//! end it as soon as the socket has read it. What the socket sends is judged too. Afterwards no descriptor is left, and
//! meanwhile the table and the queue keep within what the hello says.
//!
//! Input: one byte of configuration, then operations of one byte and their arguments.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use rustix::net::{SendFlags, Shutdown};
use virtio_wl::{
    MirrorBudget, ReceivedFd, ReceivedKind, Region, Role, Socket, SocketError, SocketOptions, StreamLimits,
};

use super::choices::Choices;
use super::conversation::Conversation;
use super::reference::{self, Hello, Kind, Message};
use super::wire_peer::Splitter;
use super::{descriptors, wire_peer};

const SOCKET: usize = 0;
const PEER: usize = 1;

/// Length of the region, if there is one.
const REGION: u64 = 16_384;
/// Most memory in mirrors.
const BUDGET: u64 = 1 << 20;
/// Operations of one input.
const MAX_OPERATIONS: usize = 300;
/// Descriptors that the application holds.
const MAX_HELD: usize = 40;
/// Descriptors that a socket has apart from those of VFDs.
const OWN_DESCRIPTORS: usize = 8;

fn limits() -> StreamLimits {
    StreamLimits {
        data_window: 256 * 1024,
        pipe_window: 4096,
        max_pipes: 3,
        max_mirrors: 2,
        max_blob_bytes: 20_000,
        max_mirror_bytes: 65_536,
        max_queue_bytes: 32_768,
    }
}

/// See the module.
pub fn run(input: &[u8]) {
    let mut choices = Choices::new(input);
    let before = descriptors::count();
    let budget = MirrorBudget::new(BUDGET);
    let mut bench = Bench::new(choices.byte(), Arc::clone(&budget));
    for _ in 0..MAX_OPERATIONS {
        if choices.is_empty() || bench.failed.is_some() {
            break;
        }
        bench.operate(&mut choices);
    }
    bench.check_bounds(before);
    bench.part(choices.byte());
    drop(bench);
    assert_eq!(budget.used(), 0, "memory of mirrors is still counted");
    assert_eq!(descriptors::count(), before, "descriptors leaked");
}

struct Bench {
    socket: Socket,
    peer: UnixStream,
    splitter: Splitter,
    talk: Conversation,
    /// The peer reads everything that the socket sends at once, so that both agree about every window.
    attentive: bool,
    /// The socket reads nothing for the moment.
    paused: bool,
    held: Vec<ReceivedFd>,
    /// Ends of pipes of which the other end went to the socket.
    own: Vec<OwnedFd>,
    failed: Option<SocketError>,
    broke: Option<&'static str>,
}

impl Bench {
    fn new(config: u8, budget: Arc<MirrorBudget>) -> Self {
        let region = (config & 1 != 0).then(|| Arc::new(Region::create_memfd(REGION).expect("region")));
        let acceptor = config & 2 == 0;
        let hello = Hello {
            purpose: 1,
            acceptor: !acceptor,
            region: region.is_some(),
            sockets: config & 8 == 0,
            data_window: 256 * 1024,
            pipe_window: 4096,
            max_pipes: 3,
            max_mirrors: 2,
            max_blob: 20_000,
            max_mirror_pages: 16,
        };
        let (mut peer, stream) = wire_peer::stream_pair();
        if config & 32 != 0 {
            wire_peer::narrow(&stream);
        }
        let role = if acceptor { Role::Acceptor } else { Role::Initiator };
        let mirror_budget = Some(budget);
        let take_sockets = config & 16 == 0;
        let options = SocketOptions {
            region,
            limits: limits(),
            mirror_budget,
            take_sockets,
            ..SocketOptions::default()
        };
        let mut socket = Socket::new(stream, role, options).expect("socket");
        wire_peer::write_some(&mut peer, &reference::hello_bytes(&hello));
        wire_peer::settle(&mut socket).expect("a valid hello");
        let mut splitter = Splitter::default();
        let frames = splitter.push(&wire_peer::read_some(&peer, 1 << 16));
        assert_eq!(frames, [], "nothing but the hello before something happens");
        let theirs = splitter.hello().expect("the socket says hello");
        Self {
            socket,
            peer,
            splitter,
            talk: Conversation::new([theirs, hello], REGION),
            attentive: config & 4 == 0,
            paused: false,
            held: Vec::new(),
            own: Vec::new(),
            failed: None,
            broke: None,
        }
    }

    fn operate(&mut self, choices: &mut Choices<'_>) {
        match choices.byte() % 24 {
            0..=2 => self.say_vfd(choices),
            3..=5 => {
                let ids = (0..choices.below(5)).map(|_| self.pick_vfd(choices)).collect();
                let length = 1 + usize::from(choices.short()) % 60_000;
                self.say(&Message::Data { ids, bytes: vec![7; length] }, choices);
            }
            6 => {
                let bytes = vec![9; 1 + usize::from(choices.short()) % 20_000];
                self.say(&Message::BlobData { id: self.pick_vfd(choices), bytes }, choices);
            }
            7 => {
                let bytes = vec![5; 1 + usize::from(choices.short()) % 5000];
                self.say(&Message::PipeData { id: self.pick_pipe(PEER, choices), bytes }, choices);
            }
            8 => {
                let bytes = 1 + u32::from(choices.short()) % 5000;
                self.say(&Message::PipeCredit { id: self.pick_pipe(SOCKET, choices), bytes }, choices);
            }
            9 => self.say(&Message::PipeEnd { id: self.pick_pipe(PEER, choices) }, choices),
            10 => self.say(&Message::PipeStop { id: self.pick_pipe(SOCKET, choices) }, choices),
            11 => self.say_rectangle(choices),
            12 => self.say(&Message::MirrorClose { id: self.pick_vfd(choices) }, choices),
            13 => {
                let bytes = 1 + u32::from(choices.short());
                self.say(&Message::DataCredit { bytes }, choices);
            }
            14 => {
                self.say(if choices.below(4) == 0 { &Message::DataEnd } else { &Message::DataStop }, choices);
            }
            15 => self.say_anything(choices),
            16 => self.listen(),
            operation => self.application(operation, choices),
        }
        self.settle();
    }

    fn application(&mut self, operation: u8, choices: &mut Choices<'_>) {
        match operation {
            17 | 18 => self.receive(1 + 8 * usize::from(choices.byte())),
            19 => self.use_held(choices),
            20 => {
                let index = choices.below(self.held.len());
                if index < self.held.len() {
                    self.held.swap_remove(index);
                }
            }
            21 => self.send(choices),
            22 => {
                let index = choices.below(self.own.len());
                if index < self.own.len() {
                    self.own.swap_remove(index);
                }
            }
            _ => match choices.below(8) {
                0 => self.socket.shutdown_read(),
                1 => self.socket.shutdown_write(),
                2 => self.pause(!self.paused),
                _ => {
                    let _ = self.socket.flush();
                }
            },
        }
    }

    fn say_vfd(&mut self, choices: &mut Choices<'_>) {
        let choice = choices.byte();
        let id = if choice & 0xf0 == 0xf0 { choices.word().max(1) } else { self.talk.next_id(PEER) };
        let length = 1 + u64::from(choices.short()) % 40_000;
        let kind = match choice % 8 {
            0 => Kind::Region { offset: length % 9000, length: length % 9000 + 1 },
            1 => Kind::Mirror { length },
            2 => Kind::Blob { length: length - 1 },
            3 => Kind::Blob { length: length % 3 },
            4 => Kind::Pipe { write_end: false },
            5 => Kind::Pipe { write_end: true },
            _ => Kind::Socket,
        };
        self.say(&Message::VfdNew { id, kind }, choices);
    }

    fn say_rectangle(&mut self, choices: &mut Choices<'_>) {
        let id = self.pick_vfd(choices);
        let row_length = 1 + u32::from(choices.byte());
        let stride = row_length + u32::from(choices.short()) % 5000;
        let rows = 1 + u32::from(choices.byte()) % 16;
        let offset = u64::from(choices.short()) % 40_000;
        let bytes = vec![3; usize::try_from(row_length * rows).expect("small")];
        self.say(&Message::MirrorWrite { id, row_length, stride, rows, offset, bytes }, choices);
    }

    /// A frame of any type with any payload.
    fn say_anything(&mut self, choices: &mut Choices<'_>) {
        let length = usize::from(choices.byte());
        let mut frame = vec![choices.byte() % 14, choices.byte() & 3, choices.byte() & 1, 0, 0, 0, 0, 0];
        let payload = choices.bytes(length);
        frame[4..8].copy_from_slice(&u32::try_from(payload.len()).expect("short").to_le_bytes());
        let header = *frame.first_chunk().expect("a header");
        frame.extend_from_slice(payload);
        let message = reference::header(&header).and_then(|_| reference::message(&header, payload));
        match message {
            Ok(message) => self.say(&message, choices),
            Err(_) => {
                self.broke = Some("not a frame");
                self.transmit(&frame);
            }
        }
    }

    fn pick_vfd(&self, choices: &mut Choices<'_>) -> u32 {
        let known: Vec<u32> = self.talk.vfds(PEER).collect();
        pick(&known, choices)
    }

    fn pick_pipe(&self, source: usize, choices: &mut Choices<'_>) -> u32 {
        let known: Vec<u32> = self.talk.pipes(source).collect();
        pick(&known, choices)
    }

    fn say(&mut self, message: &Message, choices: &mut Choices<'_>) {
        if let Err(breach) = self.talk.pass(PEER, message) {
            self.broke = Some(breach);
        }
        let frame = reference::bytes(message);
        let cut = usize::from(choices.byte()).min(frame.len());
        let (first, second) = frame.split_at(cut);
        if !first.is_empty() && !second.is_empty() {
            self.transmit(first);
        }
        self.transmit(if second.is_empty() { first } else { second });
    }

    fn transmit(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() && self.failed.is_none() {
            match wire_peer::write_some(&mut self.peer, rest) {
                Some(0) => self.pause(false),
                Some(len) => rest = &rest[len..],
                None => return,
            }
            self.dispatch();
        }
    }

    fn dispatch(&mut self) {
        if let Err(error) = wire_peer::settle(&mut self.socket) {
            self.failed.get_or_insert(error);
        }
    }

    /// Lets everything happen that follows from what has been said, and judges it.
    fn settle(&mut self) {
        self.dispatch();
        if self.attentive {
            self.listen();
        }
        match (&self.failed, self.broke) {
            (Some(SocketError::Violation(_) | SocketError::Wire(_)), Some(_)) => {}
            (Some(error), Some(breach)) => panic!("{error} where a rule was broken: {breach}"),
            (Some(error), None) => panic!("{error}, but every rule was kept"),
            // The peer may be wrong about what it is allowed while it has not read everything.
            (None, Some(breach)) if self.attentive && !self.paused => {
                panic!("the socket accepts a breach: {breach}")
            }
            (None, Some(_)) => self.failed = Some(SocketError::Disconnected),
            (None, None) => {}
        }
        assert!(self.socket.pipes_open() <= 6, "{} pipes", self.socket.pipes_open());
        let queued = self.socket.queued_bytes();
        assert!(queued <= 32_768 + 28 * 20_000 + 16_384, "{queued} bytes queued");
    }

    /// The peer reads everything that the socket has to say.
    fn listen(&mut self) {
        while self.failed.is_none() {
            let bytes = wire_peer::read_some(&self.peer, 1 << 16);
            if bytes.is_empty() {
                return;
            }
            for message in self.splitter.push(&bytes) {
                self.talk.pass(SOCKET, &message).expect("a socket keeps the rules");
            }
            self.dispatch();
        }
    }

    fn pause(&mut self, paused: bool) {
        self.paused = paused;
        if let Err(error) = self.socket.pause(paused) {
            self.failed.get_or_insert(error);
        }
    }

    fn receive(&mut self, len: usize) {
        let mut fds = Vec::new();
        let _ = self.socket.recvmsg(&mut vec![0; len], &mut fds);
        for received in fds {
            match received.kind {
                ReceivedKind::PipeRead | ReceivedKind::PipeWrite | ReceivedKind::Socket => {
                    wire_peer::unblock(&received.fd);
                }
                ReceivedKind::Blob { len } | ReceivedKind::Mirror { len } => {
                    let size = rustix::fs::fstat(&received.fd).expect("stat").st_size;
                    assert_eq!(u64::try_from(size), Ok(len), "memory as long as announced");
                }
                _ => {}
            }
            if self.held.len() < MAX_HELD {
                self.held.push(received);
            }
        }
    }

    fn use_held(&mut self, choices: &mut Choices<'_>) {
        let index = choices.below(self.held.len());
        let Some(held) = self.held.get(index) else { return };
        let len = usize::from(choices.short()) % 9000;
        match held.kind {
            ReceivedKind::PipeRead => {
                let _ = rustix::io::read(&held.fd, &mut vec![0; len]);
            }
            ReceivedKind::PipeWrite => {
                let _ = rustix::io::write(&held.fd, &vec![1; len]);
            }
            ReceivedKind::Socket if len % 2 == 0 => {
                let _ = rustix::io::read(&held.fd, &mut vec![0; len]);
            }
            ReceivedKind::Socket if len % 17 == 0 => {
                let how = if len % 3 == 0 { Shutdown::Read } else { Shutdown::Write };
                let _ = rustix::net::shutdown(&held.fd, how);
            }
            ReceivedKind::Socket => {
                let _ = rustix::net::send(&held.fd, &vec![1; len], SendFlags::NOSIGNAL);
            }
            _ => {}
        }
    }

    fn send(&mut self, choices: &mut Choices<'_>) {
        let len = 1 + usize::from(choices.short()) % 40_000;
        let mut passed = Vec::new();
        for _ in 0..choices.below(4) {
            match choices.below(4) {
                0 => {
                    let (reader, writer) = wire_peer::pipe();
                    let _ = rustix::io::write(&writer, &[4; 100]);
                    self.own.push(writer);
                    passed.push(reader);
                }
                1 => {
                    let (reader, writer) = wire_peer::pipe();
                    self.own.push(reader);
                    passed.push(writer);
                }
                2 => {
                    let (kept, end) = wire_peer::stream_pair();
                    self.own.push(kept.into());
                    passed.push(end);
                }
                _ => {
                    let memory = Region::create_memfd(8192).expect("memory");
                    passed.push(memory.try_clone_fd().expect("descriptor"));
                }
            }
        }
        let fds: Vec<_> = passed.iter().map(AsFd::as_fd).collect();
        match self.socket.sendmsg(&vec![2; len], &fds) {
            Ok(_) => {}
            Err(error) if error.is_recoverable() => {}
            Err(error) => {
                self.failed.get_or_insert(error);
            }
        }
        if self.own.len() > MAX_HELD {
            self.own.clear();
        }
    }

    /// What a peer can make the socket hold is what the hello says: descriptors in messages cost 4,096 of the window each.
    fn check_bounds(&self, before: usize) {
        let bound = 256 * 1024 / 4096 + 28 + 2 * 2 * 3 + 2 * 2 + OWN_DESCRIPTORS;
        let open = descriptors::count().saturating_sub(before + self.held.len() + self.own.len());
        assert!(open <= bound, "{open} descriptors for one stream");
    }

    /// One side goes, the peer or the applications first.
    fn part(&mut self, choice: u8) {
        if self.failed.is_some() {
            // Where the socket has not read the breach yet, only the bench knows that it will fail.
            let certain = self.broke.is_some() && self.attentive && !self.paused;
            if certain {
                assert!(self.socket.dispatch().is_err(), "a failed socket says so");
                assert!(!wire_peer::is_ready(&self.socket), "nothing of a failed connection is waited for");
            }
            return;
        }
        self.pause(false);
        self.settle();
        if choice & 1 != 0 {
            self.held.clear();
            self.own.clear();
            self.settle();
        }
        if choice & 2 != 0 && self.failed.is_none() {
            let _ = self.peer.shutdown(std::net::Shutdown::Both);
            self.dispatch();
            let over = self.socket.is_finished();
            match &self.failed {
                None => assert!(over, "the stream ended before the connection"),
                Some(SocketError::Disconnected) => assert!(!over, "a reset of a connection that was over"),
                Some(error) => panic!("{error} at the end of the stream"),
            }
        }
    }
}

/// One of those that are known, or a stray one.
fn pick(known: &[u32], choices: &mut Choices<'_>) -> u32 {
    let choice = choices.byte();
    match known.get(usize::from(choice).checked_rem(known.len()).unwrap_or(0)) {
        Some(id) if choice < 0xf8 => *id,
        _ => 1 + u32::from(choice & 7),
    }
}
