//! Reading and writing pipes with a deadline, for content that may never come or never be taken.

use std::io;
use std::os::fd::AsFd;

use rustix::event::PollFlags;

use crate::deadline::Deadline;
use crate::random::Random;

/// Reads to the end of the stream.
///
/// # Errors
///
/// `TimedOut` when the end does not come before the deadline; or what read(2) says.
pub fn read_to_end(fd: impl AsFd, deadline: Deadline) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        if !deadline.wait(fd.as_fd(), PollFlags::IN) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let read = rustix::io::read(&fd, &mut chunk)?;
        if read == 0 {
            return Ok(content);
        }
        content.extend_from_slice(&chunk[..read]);
    }
}

/// Writes everything.
///
/// # Errors
///
/// `TimedOut` when not everything is taken before the deadline; or what write(2) says, `BrokenPipe` where the
/// reader is gone.
pub fn write_all(fd: impl AsFd, bytes: &[u8], deadline: Deadline) -> io::Result<()> {
    rustix::fs::fcntl_setfl(&fd, rustix::fs::fcntl_getfl(&fd)? | rustix::fs::OFlags::NONBLOCK)?;
    let mut rest = bytes;
    while !rest.is_empty() {
        if !deadline.wait(fd.as_fd(), PollFlags::OUT) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match rustix::io::write(&fd, rest) {
            Ok(written) => rest = &rest[written..],
            Err(rustix::io::Errno::AGAIN) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Content of any length, which nobody has to hold as a whole: it repeats itself after a prime number of bytes. No part
/// of it that is lost, doubled or exchanged in buffers of usual sizes leaves the rest in its place.
#[derive(Debug)]
pub struct Endless(Vec<u8>);

impl Endless {
    /// After how many bytes it repeats itself.
    const PERIOD: usize = 1_000_003;

    /// The content that belongs to `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Random::new(seed).bytes(Self::PERIOD))
    }

    /// Some bytes from `position` on, at least one.
    fn at(&self, position: u64) -> &[u8] {
        let period = u64::try_from(Self::PERIOD).expect("a usize fits");
        &self.0[usize::try_from(position % period).expect("less than the period")..]
    }

    /// Writes the first `len` bytes.
    ///
    /// # Errors
    ///
    /// As for [`write_all`].
    pub fn write(&self, fd: impl AsFd, len: u64, deadline: Deadline) -> io::Result<()> {
        let mut position = 0;
        while position < len {
            let left = usize::try_from(len - position).unwrap_or(usize::MAX);
            let bytes = self.at(position);
            let bytes = &bytes[..bytes.len().min(left)];
            write_all(&fd, bytes, deadline)?;
            position += u64::try_from(bytes.len()).expect("a usize fits");
        }
        Ok(())
    }

    /// Reads to the end of the stream, and returns how long it was.
    ///
    /// # Errors
    ///
    /// `InvalidData` with the place when a byte is another one; `TimedOut` when the end does not come before the
    /// deadline; or what read(2) says.
    pub fn read(&self, fd: impl AsFd, deadline: Deadline) -> io::Result<u64> {
        let mut position = 0;
        let mut chunk = vec![0; 256 * 1024];
        loop {
            if !deadline.wait(fd.as_fd(), PollFlags::IN) {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let read = rustix::io::read(&fd, &mut chunk)?;
            let mut rest = &chunk[..read];
            if rest.is_empty() {
                return Ok(position);
            }
            while !rest.is_empty() {
                let expected = self.at(position);
                let common = rest.len().min(expected.len());
                if rest[..common] != expected[..common] {
                    let text = format!("another byte within {common} from {position} on");
                    return Err(io::Error::new(io::ErrorKind::InvalidData, text));
                }
                rest = &rest[common..];
                position += u64::try_from(common).expect("a usize fits");
            }
        }
    }
}

/// Waits until the reader of a pipe is gone, without writing.
#[must_use]
pub fn wait_reader_gone(fd: impl AsFd, deadline: Deadline) -> bool {
    deadline.wait(fd.as_fd(), PollFlags::empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn content_longer_than_a_pipe_arrives_whole() {
        let (reader, writer) = io::pipe().unwrap();
        let content = Random::new(3).bytes(1_000_000);
        let expected = content.clone();
        let thread = std::thread::spawn(move || write_all(writer, &content, Deadline::patient()));
        assert!(read_to_end(reader, Deadline::patient()).unwrap() == expected);
        thread.join().unwrap().unwrap();
    }

    #[test]
    fn endless_content_is_compared_at_its_place() {
        let content = Endless::new(4);
        let bytes = [content.at(0), &content.at(0)[..70_000]].concat();
        let read = |bytes: Vec<u8>| {
            let (reader, writer) = io::pipe().unwrap();
            let thread = std::thread::spawn(move || write_all(writer, &bytes, Deadline::patient()));
            let read = content.read(&reader, Deadline::patient());
            drop(reader);
            let _ = thread.join().unwrap();
            read.map_err(|error| error.kind())
        };
        assert_eq!(read(bytes.clone()), Ok(1_070_003));
        let mut changed = bytes.clone();
        changed[1_000_100] ^= 1;
        assert_eq!(read(changed), Err(io::ErrorKind::InvalidData));
        assert_eq!(read([&bytes[..4096], &bytes[8192..]].concat()), Err(io::ErrorKind::InvalidData));
    }

    #[test]
    fn a_reader_that_is_gone_is_told() {
        let (reader, writer) = io::pipe().unwrap();
        assert!(!wait_reader_gone(&writer, Deadline::after(Duration::from_millis(10))));
        drop(reader);
        assert!(wait_reader_gone(&writer, Deadline::patient()));
        let error = write_all(writer, b"x", Deadline::patient()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
