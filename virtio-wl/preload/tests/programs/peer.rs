//! The other end of the connections that a program makes: it does what the program's messages say, and answers each.
//!
//! ```text
//! keep            keeps the memory that is attached                             kept
//! read N OFFSET   what is at OFFSET of the memory that was kept as number N     that, up to a zero; or `beyond`
//! pipe            makes a pipe                                                  pipe, with its read end
//! fill            writes `content` into the last pipe                           (no answer)
//! end             sends nothing any more                                        (no answer)
//! anything else                                                                 the same
//! ```

use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, poll};
use virtio_wl::listener::Listener;
use virtio_wl::{Address, ReceivedFd, Role, Socket, SocketError, SocketOptions, StreamLimits};

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The program has closed it.
    Orderly,
    /// It broke off.
    Broken,
}

/// A thread that answers until it is [ended](Peer::end).
pub struct Peer {
    /// Closing it ends the thread.
    stop: OwnedFd,
    thread: JoinHandle<Vec<End>>,
}

impl Peer {
    /// Answers whoever connects to an address.
    pub fn listen(address: &Address) -> Self {
        let listener = address.listen().expect("an address in a directory of our own");
        let (stopped, stop) = rustix::pipe::pipe().expect("a pipe");
        Self { stop, thread: std::thread::spawn(move || serve(&listener, &stopped)) }
    }

    /// How the connections ended, in the order in which they began. The program that made them must be gone.
    pub fn end(self) -> Vec<End> {
        drop(self.stop);
        self.thread.join().expect("the thread has not panicked")
    }
}

fn serve(listener: &Listener, stopped: &OwnedFd) -> Vec<End> {
    let mut connections: Vec<Connection> = Vec::new();
    let mut stop = false;
    while !stop || connections.iter().any(|connection| connection.end.is_none()) {
        let mut wait = vec![PollFd::new(listener, PollFlags::IN)];
        if !stop {
            wait.push(PollFd::new(stopped, PollFlags::IN));
        }
        let alive = connections.iter().filter(|connection| connection.end.is_none());
        wait.extend(alive.map(|connection| PollFd::new(&connection.socket, PollFlags::IN)));
        poll(&mut wait, None).expect("waiting works");
        let ready = |index: usize| wait.get(index).is_some_and(|fd| !fd.revents().is_empty());
        let called = ready(0);
        stop = stop || ready(1);
        connections.iter_mut().filter(|connection| connection.end.is_none()).for_each(Connection::turn);
        if called {
            connections.push(Connection::new(listener.accept().expect("a program").stream));
        }
    }
    connections.into_iter().filter_map(|connection| connection.end).collect()
}

struct Connection {
    socket: Socket,
    kept: Vec<File>,
    pipe: Option<File>,
    end: Option<End>,
}

impl Connection {
    fn new(stream: OwnedFd) -> Self {
        // As the gate has them.
        let limits = StreamLimits { max_mirror_bytes: 16 << 30, ..StreamLimits::default() };
        let options = SocketOptions { limits, ..SocketOptions::default() };
        let socket = Socket::new(stream, Role::Acceptor, options).expect("a socket");
        Self { socket, kept: Vec::new(), pipe: None, end: None }
    }

    fn turn(&mut self) {
        let failed = self.socket.dispatch().is_err();
        let (mut bytes, mut fds) = ([0; 4096], Vec::new());
        while self.end.is_none() {
            match self.socket.recvmsg(&mut bytes, &mut fds) {
                Ok(0) => self.end = Some(End::Orderly),
                Ok(len) => {
                    let text = String::from_utf8_lossy(bytes.get(..len).unwrap_or_default());
                    self.answer(&text, std::mem::take(&mut fds));
                }
                Err(SocketError::WouldBlock) if !failed => break,
                Err(_) => self.end = Some(End::Broken),
            }
        }
    }

    fn answer(&mut self, text: &str, fds: Vec<ReceivedFd>) {
        let mut words = text.split(' ');
        let command = words.next().unwrap_or_default();
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok()).expect("a number");
        match command {
            "keep" => {
                self.kept.extend(fds.into_iter().map(|received| File::from(received.fd)));
                self.send("kept", &[]);
            }
            "read" => {
                let index = usize::try_from(number()).expect("a small number");
                let mut content = [0; 16];
                let file = self.kept.get(index).expect("memory that was kept");
                let len = file.read_at(&mut content, number()).expect("memory can be read");
                let text = content.get(..len).unwrap_or_default().split(|byte| *byte == 0).next();
                let text = String::from_utf8_lossy(text.unwrap_or_default()).into_owned();
                let nothing = if len == 0 { "beyond" } else { "nothing" };
                self.send(if text.is_empty() { nothing } else { &text }, &[]);
            }
            "pipe" => {
                let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
                self.pipe = Some(File::from(writer));
                self.send("pipe", &[reader.as_fd()]);
            }
            "fill" => {
                let pipe = self.pipe.as_mut().expect("there is a pipe");
                pipe.write_all(b"content").expect("there is room in it");
            }
            "end" => self.socket.shutdown_write(),
            _ => self.send(text, &[]),
        }
    }

    fn send(&mut self, text: &str, fds: &[BorrowedFd<'_>]) {
        assert_eq!(self.socket.sendmsg(text.as_bytes(), fds), Ok(text.len()));
    }
}
