//! Reading and writing pipes with a deadline, for content that may never come or never be taken.

use std::io;
use std::os::fd::AsFd;

use rustix::event::PollFlags;

use crate::deadline::Deadline;

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
        let content = crate::random::Random::new(3).bytes(1_000_000);
        let expected = content.clone();
        let thread = std::thread::spawn(move || write_all(writer, &content, Deadline::patient()));
        assert!(read_to_end(reader, Deadline::patient()).unwrap() == expected);
        thread.join().unwrap().unwrap();
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
