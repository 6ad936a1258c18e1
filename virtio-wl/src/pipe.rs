//! One end of a local pipe, or one direction of a local socket, read and written without ever blocking.
//!
//! `O_NONBLOCK` belongs to the open file description, which an end that came from an application shares
//! with that application: setting it there would change how the application's own reads and writes behave, in every
//! process that inherited the pipe. So a foreign end is opened anew through `/proc/self/fd`, which gives a description
//! of our own. Where that is impossible (no `/proc`, a jail, a pipe of another user), the
//! foreign description is used with the per-call `RWF_NOWAIT`, and on kernels whose pipes do not know that,
//! with poll(2) before each transfer of at most one page, which a pipe that is ready takes or gives without
//! blocking as long as no other process uses the same end at the same moment.
//!
//! An end of a pipe that we made ourselves has its own description from the beginning.
//!
//! A socket has a flag for each call, so its description does not matter. Its two directions are two ends here, with
//! a descriptor each, and end separately: by shutdown(2), because closing one of two descriptors tells nobody. It
//! is read without room for ancillary data, so that the kernel closes descriptors that were sent on it.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, ReadWriteFlags};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType, recv, send, shutdown, socketpair,
};
use rustix::pipe::PipeFlags;

/// What a pipe that is ready moves without blocking.
const PAGE: usize = 4096;

/// The offset that means "no offset" to preadv2 and pwritev2.
const NO_OFFSET: u64 = u64::MAX;

/// An end of a pipe, or a direction of a socket.
#[derive(Debug)]
pub(crate) enum PipeEnd {
    /// Our own open file description, with `O_NONBLOCK`.
    Own(OwnedFd),
    /// A description that an application shares.
    Shared(OwnedFd),
    /// A connected stream socket, for one direction.
    Socket(OwnedFd),
}

impl AsFd for PipeEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Own(fd) | Self::Shared(fd) | Self::Socket(fd) => fd.as_fd(),
        }
    }
}

impl PipeEnd {
    /// Uses the pipe end `fd` of an application, which keeps its own descriptor.
    pub(crate) fn foreign(fd: BorrowedFd<'_>, write: bool) -> Result<Self, Errno> {
        let access = if write { OFlags::WRONLY } else { OFlags::RDONLY };
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        match rustix::fs::open(path, access | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()) {
            Ok(own) => Ok(Self::Own(own)),
            Err(Errno::MFILE | Errno::NFILE) => Err(Errno::MFILE),
            Err(_) => rustix::io::fcntl_dupfd_cloexec(fd, 3).map(Self::Shared),
        }
    }

    /// A new pipe: our end, and the end for the application. `write` says which of both is ours.
    pub(crate) fn create(write: bool) -> Result<(Self, OwnedFd), Errno> {
        let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let (ours, theirs) = if write { (writer, reader) } else { (reader, writer) };
        rustix::fs::fcntl_setfl(&ours, rustix::fs::fcntl_getfl(&ours)? | OFlags::NONBLOCK)?;
        Ok((Self::Own(ours), theirs))
    }

    /// The two directions of the socket `fd` of an application: the end to read and the end to write.
    pub(crate) fn foreign_socket(fd: BorrowedFd<'_>) -> Result<(Self, Self), Errno> {
        let duplicate = || rustix::io::fcntl_dupfd_cloexec(fd, 3).map(Self::Socket);
        Ok((duplicate()?, duplicate()?))
    }

    /// A new pair of sockets: the directions of ours, to read and to write, and the one for the application.
    pub(crate) fn create_socket() -> Result<((Self, Self), OwnedFd), Errno> {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        let write = rustix::io::fcntl_dupfd_cloexec(&ours, 3)?;
        Ok(((Self::Socket(ours), Self::Socket(write)), theirs))
    }

    /// Tells the other end that this one will not be read, or not be written, any more. For a pipe closing it does.
    pub(crate) fn hang_up(&self, direction: Shutdown) {
        if let Self::Socket(fd) = self {
            // It may have hung up itself.
            let _ = shutdown(fd, direction);
        }
    }

    /// Reads what is there. 0 is the end of file, `WOULDBLOCK` means that nothing is there yet.
    pub(crate) fn read(&self, into: &mut [u8]) -> Result<usize, Errno> {
        loop {
            let result = match self {
                Self::Own(fd) => rustix::io::read(fd, &mut *into),
                Self::Shared(fd) => read_shared(fd, into),
                Self::Socket(fd) => recv(fd, &mut *into, RecvFlags::DONTWAIT).map(|(len, _)| len),
            };
            match result {
                Err(Errno::INTR) => {}
                other => return other,
            }
        }
    }

    /// Writes what fits. `WOULDBLOCK` means that the pipe is full, `PIPE` that nobody can read it any more.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        loop {
            let result = match self {
                Self::Own(fd) => rustix::io::write(fd, bytes),
                Self::Shared(fd) => write_shared(fd, bytes),
                Self::Socket(fd) => send(fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL),
            };
            match result {
                Err(Errno::INTR) => {}
                other => return other,
            }
        }
    }
}

fn read_shared(fd: &OwnedFd, into: &mut [u8]) -> Result<usize, Errno> {
    match rustix::io::preadv2(fd, &mut [IoSliceMut::new(into)], NO_OFFSET, ReadWriteFlags::NOWAIT) {
        Err(Errno::OPNOTSUPP) => read_when_ready(fd, into),
        result => result,
    }
}

fn read_when_ready(fd: &OwnedFd, into: &mut [u8]) -> Result<usize, Errno> {
    wait_for(fd, PollFlags::IN)?;
    let len = into.len().min(PAGE);
    rustix::io::read(fd, into.get_mut(..len).unwrap_or_default())
}

fn write_shared(fd: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
    match rustix::io::pwritev2(fd, &[IoSlice::new(bytes)], NO_OFFSET, ReadWriteFlags::NOWAIT) {
        Err(Errno::OPNOTSUPP) => write_when_ready(fd, bytes),
        result => result,
    }
}

fn write_when_ready(fd: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
    wait_for(fd, PollFlags::OUT)?;
    rustix::io::write(fd, bytes.get(..PAGE).unwrap_or(bytes))
}

/// `WOULDBLOCK` unless `fd` is ready now (or has an error, which the following call reports).
fn wait_for(fd: &OwnedFd, flags: PollFlags) -> Result<(), Errno> {
    let mut fds = [PollFd::new(fd, flags)];
    let now = rustix::event::Timespec::try_from(Duration::ZERO).map_err(|_| Errno::INVAL)?;
    match poll(&mut fds, Some(&now))? {
        0 => Err(Errno::WOULDBLOCK),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(write: bool) -> Vec<(PipeEnd, OwnedFd)> {
        let mut ends = Vec::new();
        for shared in [false, true] {
            let (reader, writer) = rustix::pipe::pipe().expect("pipe");
            let (ours, theirs) = if write { (writer, reader) } else { (reader, writer) };
            let end = if shared {
                PipeEnd::Shared(ours)
            } else {
                PipeEnd::foreign(ours.as_fd(), write).expect("opened anew")
            };
            ends.push((end, theirs));
        }
        ends
    }

    #[test]
    fn the_applications_own_end_stays_blocking() {
        let (reader, writer) = rustix::pipe::pipe().expect("pipe");
        let ours = PipeEnd::foreign(reader.as_fd(), false).expect("opened anew");
        assert_eq!(ours.read(&mut [0; 8]), Err(Errno::WOULDBLOCK));
        for fd in [&reader, &writer] {
            assert!(!rustix::fs::fcntl_getfl(fd).expect("flags").contains(OFlags::NONBLOCK));
        }
    }

    #[test]
    fn reading_tells_nothing_yet_from_the_end() {
        for (ours, writer) in both(false) {
            let mut bytes = [0; 8];
            assert_eq!(ours.read(&mut bytes), Err(Errno::WOULDBLOCK));
            rustix::io::write(&writer, b"abc").expect("written");
            assert_eq!(ours.read(&mut bytes), Ok(3));
            drop(writer);
            assert_eq!(ours.read(&mut bytes), Ok(0));
        }
    }

    #[test]
    fn kernels_without_the_flag_are_served_by_asking_first() {
        let (reader, writer) = rustix::pipe::pipe().expect("pipe");
        assert_eq!(read_when_ready(&reader, &mut [0; 8]), Err(Errno::WOULDBLOCK));
        let full = std::iter::repeat_with(|| write_when_ready(&writer, &[7; 10_000])).find_map(Result::err);
        assert_eq!(full, Some(Errno::WOULDBLOCK));
        assert_eq!(read_when_ready(&reader, &mut [0; 10_000]), Ok(PAGE));
        assert_eq!(write_when_ready(&writer, &[7; 10_000]), Ok(PAGE));
        drop(writer);
        let rest = std::iter::repeat_with(|| read_when_ready(&reader, &mut [0; 10_000]).expect("content"));
        assert_eq!(rest.take_while(|len| *len > 0).sum::<usize>() % PAGE, 0);
        let (reader, writer) = rustix::pipe::pipe().expect("pipe");
        drop(reader);
        assert_eq!(write_when_ready(&writer, b"x"), Err(Errno::PIPE));
    }

    #[test]
    fn writing_tells_full_from_broken() {
        for (ours, reader) in both(true) {
            let mut written = 0;
            let full = loop {
                match ours.write(&[7; 10_000]) {
                    Ok(len) => written += len,
                    Err(error) => break error,
                }
            };
            assert_eq!(full, Errno::WOULDBLOCK);
            assert!(written >= PAGE, "{written}");
            drop(reader);
            assert_eq!(ours.write(b"x"), Err(Errno::PIPE));
        }
    }
}
