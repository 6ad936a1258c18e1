//! The driver and the VMM: what they answer, and what the host does meanwhile.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags, SeekFrom};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};
use rustix::pipe::PipeFlags;
use rustix::process::PidfdGetfdFlags;

use super::child::Request;
use super::seccomp::{Answer, Call, Listener, empty_stat};
use super::vfd::{Entry, FromHost, Kind, Vfd};

pub(super) const IOCTL_NEW: u32 = 0xc030_7700;
pub(super) const IOCTL_SEND: u32 = 0x8074_7701;
pub(super) const IOCTL_RECV: u32 = 0x4074_7702;

/// Bytes of a message of the host.
pub(super) const MAX_RECV: usize = 3968;

const MAX_FDS: usize = 28;
const PAGE: u64 = 4096;

/// VFDs that a guest can make (`VIRTWL_MAX_ALLOC`).
const MAX_GUEST_VFDS: usize = 0x7ff;

/// The host's VFDs are numbered from here.
const HOST_IDS: u32 = 0x4000_0000;

/// Which VFD a descriptor is: the file, and for memory, of which the host may have the same file, the position in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(u64, u64, u64);

/// The position of memory that the child has as a VFD, which nothing can move there. Each has another.
static NEXT_POSITION: AtomicU64 = AtomicU64::new(FIRST_POSITION);
const FIRST_POSITION: u64 = 1 << 40;

impl Key {
    pub(super) fn of(fd: BorrowedFd<'_>) -> Option<Self> {
        let stat = rustix::fs::fstat(fd).ok()?;
        let position = rustix::fs::tell(fd).unwrap_or(0);
        let position = if position >= FIRST_POSITION { position } else { 0 };
        Some(Self(stat.st_dev, stat.st_ino, position))
    }

    /// The same memory, as a VFD.
    pub(super) fn mark(memory: BorrowedFd<'_>) -> OwnedFd {
        let path = format!("/proc/self/fd/{}", memory.as_raw_fd());
        let open = |flags| rustix::fs::open(&path, flags | OFlags::CLOEXEC, Mode::empty());
        // What is sealed, or was opened to be read alone, may not be written.
        let fd = open(OFlags::RDWR).or_else(|_| open(OFlags::RDONLY)).expect("opened anew");
        let position = NEXT_POSITION.fetch_add(1, Ordering::Relaxed);
        rustix::fs::seek(&fd, SeekFrom::Start(position)).expect("a file");
        fd
    }
}

/// What a test has asked for.
#[derive(Debug, Default)]
struct Faults {
    once: VecDeque<(Request, Errno)>,
    always: Vec<(Request, Errno)>,
    claim_too_much: bool,
    descriptors_first: bool,
}

/// The device of one child.
#[derive(Debug)]
pub(super) struct Device<'a> {
    listener: Listener,
    control: OwnedFd,
    process: &'a OwnedFd,
    pid: i32,
    sockets: PathBuf,
    nodes: BTreeSet<Key>,
    vfds: BTreeMap<u32, Vfd>,
    next_guest: u32,
    next_host: u32,
    faults: Faults,
    requests: usize,
}

/// What poll(2) is asked about.
#[derive(Clone, Copy)]
enum Source {
    Calls,
    Child,
    Control,
    Host(u32),
    Vfd(u32),
}

impl<'a> Device<'a> {
    pub(super) fn new(
        listener: Listener,
        control: OwnedFd,
        (pid, process): (i32, &'a OwnedFd),
        sockets: &Path,
    ) -> Self {
        Self {
            listener,
            control,
            process,
            pid,
            sockets: sockets.to_owned(),
            nodes: BTreeSet::new(),
            vfds: BTreeMap::new(),
            next_guest: 1,
            next_host: HOST_IDS,
            faults: Faults::default(),
            requests: 0,
        }
    }

    /// Until the child has ended.
    pub(super) fn serve(mut self, deadline: Instant) -> Result<(), String> {
        loop {
            let ready = self.wait(deadline)?;
            // What has happened on descriptors comes before the calls that ask about it.
            for &(source, flags) in &ready {
                match source {
                    Source::Child => return Ok(()),
                    Source::Vfd(id) if flags.contains(PollFlags::HUP) => self.close(id),
                    Source::Host(id) => self.host_event(id, flags),
                    _ => {}
                }
            }
            for &(source, flags) in &ready {
                match source {
                    Source::Calls if flags.contains(PollFlags::IN) => self.call()?,
                    Source::Control if flags.contains(PollFlags::IN) => self.control(),
                    _ => {}
                }
            }
        }
    }

    fn wait(&self, deadline: Instant) -> Result<Vec<(Source, PollFlags)>, String> {
        let mut sources = vec![Source::Calls, Source::Child, Source::Control];
        let mut fds = vec![
            PollFd::new(&self.listener, PollFlags::IN),
            PollFd::new(self.process, PollFlags::IN),
            PollFd::new(&self.control, PollFlags::IN),
        ];
        for (id, vfd) in &self.vfds {
            if let Some((fd, flags)) = vfd.host_interest() {
                sources.push(Source::Host(*id));
                fds.push(PollFd::from_borrowed_fd(fd, flags));
            }
            if let Some(fd) = vfd.child_interest() {
                sources.push(Source::Vfd(*id));
                fds.push(PollFd::from_borrowed_fd(fd, PollFlags::empty()));
            }
        }
        match poll(&mut fds, Some(&super::remaining(deadline))) {
            Ok(0) => return Err("the child took too long".to_owned()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(format!("poll: {error}")),
        }
        let ready = fds.iter().map(PollFd::revents);
        Ok(sources.into_iter().zip(ready).filter(|(_, flags)| !flags.is_empty()).collect())
    }

    /// The child has closed a VFD.
    fn close(&mut self, id: u32) {
        let Some(vfd) = self.vfds.remove(&id) else { return };
        for entry in vfd.queue {
            for id in entry.vfds {
                self.vfds.remove(&id);
            }
        }
    }

    /// The driver waits until the VMM has closed what is behind a VFD. Here the VMM closes it just before the child does,
    /// unless the child has another descriptor of it.
    fn before_close(&mut self, call: Call) -> Answer {
        if let Some((id, fd)) = self.vfd_of(call.int(0)) {
            let vfd = &self.vfds[&id];
            let is_memory = matches!(vfd.kind, Kind::Memory(..));
            drop(fd);
            if !is_memory && self.child_descriptors(vfd.key) == 1 {
                self.close(id);
            }
        }
        Answer::Continue
    }

    /// The numbers of the child's descriptors.
    fn child_numbers(&self) -> Vec<i32> {
        let numbers = std::fs::read_dir(format!("/proc/{}/fd", self.pid)).expect("the child's descriptors");
        numbers.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
    }

    /// How many descriptors of a file the child has.
    fn child_descriptors(&self, key: Key) -> usize {
        let is_it = |number: &i32| self.child_fd(*number).and_then(|fd| Key::of(fd.as_fd())) == Some(key);
        self.child_numbers().iter().filter(|number| is_it(number)).count()
    }

    /// How many more descriptors the child may have.
    fn child_room(&self) -> usize {
        let limits =
            std::fs::read_to_string(format!("/proc/{}/limits", self.pid)).expect("the child's limits");
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("a limit");
        let limit: i32 =
            line.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(i32::MAX);
        let used = self.child_numbers().iter().filter(|number| **number < limit).count();
        usize::try_from(limit).expect("no negative limit").saturating_sub(used)
    }

    fn host_event(&mut self, id: u32, flags: PollFlags) {
        let Some(vfd) = self.vfds.get_mut(&id) else { return };
        if vfd.blocked && flags.intersects(PollFlags::OUT | PollFlags::ERR | PollFlags::HUP) {
            vfd.unblock();
        }
        if vfd.hung_up || !flags.intersects(PollFlags::IN | PollFlags::HUP) || vfd.mode == OFlags::WRONLY {
            return;
        }
        match vfd.read_host() {
            FromHost::Nothing => {}
            FromHost::End => vfd.hang_up(),
            FromHost::Bytes(bytes, fds) => self.enqueue(id, bytes, fds),
        }
    }

    fn enqueue(&mut self, id: u32, bytes: Vec<u8>, fds: Vec<OwnedFd>) {
        let mut vfds = VecDeque::new();
        for fd in fds {
            self.vfds.insert(self.next_host, Vfd::of_host(fd));
            vfds.push_back(self.next_host);
            self.next_host += 1;
        }
        let Some(vfd) = self.vfds.get_mut(&id) else { return };
        if self.faults.descriptors_first && !vfds.is_empty() {
            vfd.queue.push_back(Entry { vfds: std::mem::take(&mut vfds), ..Entry::default() });
        }
        vfd.queue.push_back(Entry { data: bytes.into(), vfds });
        vfd.update_readable();
    }

    fn control(&mut self) {
        let mut bytes = [0; 64];
        // The child may have died.
        let Ok((len, _)) = recv(&self.control, &mut bytes, RecvFlags::DONTWAIT) else { return };
        let text = String::from_utf8_lossy(&bytes[..len]).into_owned();
        let words: Vec<_> = text.split(' ').collect();
        let answer = match words.as_slice() {
            [when @ ("fail" | "fail-always"), request, error] => {
                let request = Request::ALL.into_iter().find(|one| one.name() == *request).expect("a request");
                let error = Errno::from_raw_os_error(error.parse().expect("an error"));
                match *when {
                    "fail" => self.faults.once.push_back((request, error)),
                    _ => self.faults.always.push((request, error)),
                }
                "ok".to_owned()
            }
            ["claim-too-much"] => {
                self.faults.claim_too_much = true;
                "ok".to_owned()
            }
            ["descriptors-first"] => {
                self.faults.descriptors_first = true;
                "ok".to_owned()
            }
            ["vfds"] => {
                let counted = |vfd: &&Vfd| !matches!(vfd.kind, Kind::Memory(..));
                self.vfds.values().filter(counted).count().to_string()
            }
            ["requests"] => std::mem::take(&mut self.requests).to_string(),
            _ => return,
        };
        let _ = send(&self.control, answer.as_bytes(), SendFlags::NOSIGNAL);
    }

    fn call(&mut self) -> Result<(), String> {
        let Some(call) = self.listener.next() else { return Ok(()) };
        let answer = match call.number {
            _ if call.as_open().is_some() => self.open(call),
            libc::SYS_ioctl => self.ioctl(call)?,
            libc::SYS_mmap => self.map(call),
            libc::SYS_fcntl => self.get_flags(call),
            libc::SYS_fstat | libc::SYS_newfstatat => self.stat(call),
            libc::SYS_close => self.before_close(call),
            _ if self.vfd_of(call.int(0)).is_some() => Answer::Error(Errno::SPIPE),
            _ => Answer::Continue,
        };
        self.listener.answer(call, answer);
        Ok(())
    }

    /// A descriptor of the child, opened here too.
    fn child_fd(&self, number: i32) -> Option<OwnedFd> {
        rustix::process::pidfd_getfd(self.process, number, PidfdGetfdFlags::empty()).ok()
    }

    /// Which VFD a descriptor of the child is, and the descriptor.
    fn vfd_of(&self, number: i32) -> Option<(u32, OwnedFd)> {
        let fd = self.child_fd(number)?;
        let key = Key::of(fd.as_fd())?;
        let id = self.vfds.iter().find(|(_, vfd)| vfd.key == key).map(|(id, _)| *id)?;
        Some((id, fd))
    }

    fn open(&mut self, call: Call) -> Answer {
        let Some(open) = call.as_open() else { return Answer::Continue };
        if self.listener.read_string(call, open.path).as_deref() != Some(b"/dev/wl0") {
            return Answer::Continue;
        }
        let flags = OFlags::from_bits_retain(u32::from_ne_bytes(open.flags.to_ne_bytes()));
        let (node, _) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .expect("socket pair");
        rustix::io::ioctl_fionbio(&node, flags.contains(OFlags::NONBLOCK)).expect("flags");
        self.nodes.extend(Key::of(node.as_fd()));
        match self.listener.install(call, node.as_fd()) {
            Ok(number) => Answer::Value(number.into()),
            Err(error) => Answer::Error(error),
        }
    }

    fn ioctl(&mut self, call: Call) -> Result<Answer, String> {
        let command = u32::from_ne_bytes(call.int(1).to_ne_bytes());
        let request = match command {
            IOCTL_NEW => Request::New,
            IOCTL_SEND => Request::Send,
            _ => Request::Recv,
        };
        let number = call.int(0);
        let is_node = self.child_fd(number).and_then(|fd| Key::of(fd.as_fd()));
        let is_node = is_node.is_some_and(|key| self.nodes.contains(&key));
        let vfd = self.vfd_of(number);
        let result = match (request, vfd) {
            (Request::New, _) if is_node => self.new_vfd(call),
            (Request::Send, Some((id, fd))) => self.send(call, id, fd.as_fd()),
            (Request::Recv, Some((id, fd))) => self.recv(call, id, fd.as_fd())?,
            // The driver has no such request for the one, nor any other file for the other.
            _ if is_node => Err(Errno::NOTTY),
            _ => return Ok(Answer::Continue),
        };
        Ok(result.map_or_else(Answer::Error, |()| Answer::Value(0)))
    }

    /// The fault that a test has asked for.
    fn fault(&mut self, request: Request) -> Result<(), Errno> {
        if let Some((_, error)) = self.faults.always.iter().find(|(one, _)| *one == request) {
            return Err(*error);
        }
        let asked = self.faults.once.iter().position(|(one, _)| *one == request);
        match asked.and_then(|index| self.faults.once.remove(index)) {
            Some((_, error)) => Err(error),
            None => Ok(()),
        }
    }

    fn new_vfd(&mut self, call: Call) -> Result<(), Errno> {
        let mut argument = [0; 48];
        self.listener.read(call, call.arguments[2], &mut argument)?;
        self.fault(Request::New)?;
        let kind = word(&argument, 0);
        let vfd = match kind {
            0 => self.connect("default")?,
            1 => {
                let len = u64::from(word(&argument, 12)).next_multiple_of(PAGE);
                let memory = rustix::fs::memfd_create("vfd", rustix::fs::MemfdFlags::CLOEXEC)?;
                rustix::fs::ftruncate(&memory, Some(len).filter(|len| *len > 0).ok_or(Errno::NODEV)?)?;
                Vfd::new(Kind::Memory(memory, len), OFlags::RDWR)
            }
            // The VMM says nothing of the directions of these pipes, which makes them read-only for open(2).
            2 => {
                let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
                Vfd::new(Kind::Pipe(read, Some(write)), OFlags::RDONLY)
            }
            3 => {
                let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
                Vfd::new(Kind::Pipe(write, Some(read)), OFlags::RDONLY)
            }
            5 => {
                let name: Vec<u8> = argument[12..44].iter().copied().take_while(|byte| *byte != 0).collect();
                self.connect(std::str::from_utf8(&name).map_err(|_| Errno::NODEV)?)?
            }
            _ => return Err(Errno::INVAL),
        };
        let guests = self.vfds.keys().filter(|id| **id < HOST_IDS).count();
        if guests >= MAX_GUEST_VFDS {
            return Err(Errno::NOSPC);
        }
        let id = self.next_guest;
        self.next_guest += 1;
        self.vfds.insert(id, vfd);
        let number = self.install(call, id)?;
        argument[4..8].copy_from_slice(&number.to_ne_bytes());
        self.listener.write(call, call.arguments[2], &argument)
    }

    /// The VMM answers with an error without a reason if it cannot connect, which the driver makes `ENODEV` of.
    fn connect(&self, name: &str) -> Result<Vfd, Errno> {
        let stream = UnixStream::connect(self.sockets.join(name)).map_err(|_| Errno::NODEV)?;
        Ok(Vfd::new(Kind::Context(stream.into()), OFlags::RDWR))
    }

    fn install(&mut self, call: Call, id: u32) -> Result<i32, Errno> {
        let vfd = self.vfds.get_mut(&id).ok_or(Errno::IO)?;
        let fd = vfd.take_uninstalled().ok_or(Errno::IO)?;
        self.listener.install(call, fd.as_fd())
    }

    fn send(&mut self, call: Call, id: u32, theirs: BorrowedFd<'_>) -> Result<(), Errno> {
        let mut header = [0; 116];
        self.listener.read(call, call.arguments[2], &mut header)?;
        let mut sent = Vec::new();
        for index in 0..MAX_FDS {
            let number = i32::from_ne_bytes(word(&header, 4 * index).to_ne_bytes());
            if number < 0 {
                break;
            }
            if self.child_fd(number).is_none() {
                return Err(Errno::BADFD);
            }
            sent.push(self.vfd_of(number).ok_or(Errno::INVAL)?.0);
        }
        let len = usize::try_from(word(&header, 112)).map_err(|_| Errno::FAULT)?;
        if len == 0 && sent.is_empty() {
            return Ok(());
        }
        let mut bytes = vec![0; len];
        self.listener.read(call, call.arguments[2] + 116, &mut bytes)?;
        self.fault(Request::Send)?;
        let vfd = self.vfds.get(&id).ok_or(Errno::IO)?;
        let fds: Option<Vec<_>> = sent.iter().map(|id| self.vfds.get(id).and_then(Vfd::sent_as)).collect();
        let result = vfd.write_host(&bytes, &fds.ok_or(Errno::INVAL)?);
        if result == Err(Errno::AGAIN) {
            assert!(is_nonblocking(theirs), "a send that would wait for the host");
            self.vfds.get_mut(&id).ok_or(Errno::IO)?.block(theirs);
        }
        result?;
        for id in sent {
            self.vfds.get_mut(&id).ok_or(Errno::IO)?.was_sent();
        }
        Ok(())
    }

    fn recv(&mut self, call: Call, id: u32, theirs: BorrowedFd<'_>) -> Result<Result<(), Errno>, String> {
        self.requests += 1;
        let mut header = [0; 116];
        if let Err(error) = self.listener.read(call, call.arguments[2], &mut header) {
            return Ok(Err(error));
        }
        if let Err(error) = self.fault(Request::Recv) {
            return Ok(Err(error));
        }
        let asked = usize::try_from(word(&header, 112)).expect("64 bits");
        if asked == 0 {
            return Err("the driver was asked for no bytes, in which it never returns".to_owned());
        }
        let vfd = self.vfds.get_mut(&id).expect("found before");
        if vfd.queue.is_empty() && !vfd.hung_up {
            if !is_nonblocking(theirs) {
                return Err("a receive that would wait for the host".to_owned());
            }
            return Ok(Err(Errno::AGAIN));
        }
        let (bytes, vfds) = dequeue(&mut vfd.queue, asked);
        vfd.after_receive(theirs);
        Ok(self.deliver(call, &bytes, &vfds))
    }

    fn deliver(&mut self, call: Call, bytes: &[u8], vfds: &[u32]) -> Result<(), Errno> {
        // The driver closes what it has made when the next does not fit. Nothing can be closed from here.
        if vfds.len() > self.child_room() {
            return Err(Errno::MFILE);
        }
        let mut header = [0xff; 116];
        for (to, id) in header.chunks_exact_mut(4).zip(vfds) {
            to.copy_from_slice(&self.install(call, *id)?.to_ne_bytes());
        }
        let claimed =
            if std::mem::take(&mut self.faults.claim_too_much) { MAX_RECV + 1 } else { bytes.len() };
        header[112..].copy_from_slice(&u32::try_from(claimed).expect("short").to_ne_bytes());
        self.listener.write(call, call.arguments[2] + 116, bytes)?;
        self.listener.write(call, call.arguments[2], &header)
    }

    fn map(&self, call: Call) -> Answer {
        let Some((id, _)) = self.vfd_of(call.int(4)) else { return Answer::Continue };
        match &self.vfds[&id].kind {
            Kind::Memory(_, len) => {
                let end = call.arguments[1].saturating_add(call.arguments[5]);
                let fits = end <= len.next_multiple_of(PAGE);
                if fits { Answer::Continue } else { Answer::Error(Errno::INVAL) }
            }
            _ => Answer::Error(Errno::ACCESS),
        }
    }

    fn get_flags(&self, call: Call) -> Answer {
        let Some((id, fd)) = self.vfd_of(call.int(0)) else { return Answer::Continue };
        let real = rustix::fs::fcntl_getfl(&fd).expect("flags");
        let flags = real.difference(OFlags::RWMODE) | self.vfds[&id].mode;
        Answer::Value(flags.bits().into())
    }

    fn stat(&self, call: Call) -> Answer {
        if self.vfd_of(call.int(0)).is_none() {
            return Answer::Continue;
        }
        let into = call.arguments[if call.number == libc::SYS_fstat { 1 } else { 2 }];
        match self.listener.write(call, into, &empty_stat()) {
            Ok(()) => Answer::Value(0),
            Err(error) => Answer::Error(error),
        }
    }
}

/// What one receive gives: bytes of as many messages as fit, and then the descriptors of as many messages as there are, up
/// to the most of one receive.
fn dequeue(queue: &mut VecDeque<Entry>, asked: usize) -> (Vec<u8>, Vec<u32>) {
    let (mut bytes, mut vfds) = (Vec::new(), Vec::new());
    for entry in &mut *queue {
        let len = entry.data.len().min(asked - bytes.len());
        bytes.extend(entry.data.drain(..len));
    }
    for entry in &mut *queue {
        let len = entry.vfds.len().min(MAX_FDS - vfds.len());
        vfds.extend(entry.vfds.drain(..len));
    }
    queue.retain(|entry| !entry.data.is_empty() || !entry.vfds.is_empty());
    (bytes, vfds)
}

fn is_nonblocking(fd: BorrowedFd<'_>) -> bool {
    rustix::fs::fcntl_getfl(fd).expect("flags").contains(OFlags::NONBLOCK)
}

fn word(bytes: &[u8], offset: usize) -> u32 {
    u32::from_ne_bytes(bytes[offset..offset + 4].try_into().expect("four bytes"))
}
