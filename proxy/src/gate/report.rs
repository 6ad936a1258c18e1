//! What is said about a worker, and how the VM's own words are made harmless in it.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::SendFlags;
use vitrail_protocols::{VmName, WorkerReport};

/// The longest text of a refusal in a report, in bytes.
const MAX_REFUSAL_LEN: usize = 512;

/// Text as it may be shown in a terminal or a log: printable ASCII as it is, all else escaped, and cut off when
/// it becomes too long.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        let printable = c == ' ' || c.is_ascii_graphic();
        let piece: String = if printable { c.to_string() } else { c.escape_default().collect() };
        if escaped.len() + piece.len() > MAX_REFUSAL_LEN {
            escaped.push_str("...");
            break;
        }
        escaped.push_str(&piece);
    }
    escaped
}

/// The reports on their way to the compositor: lines of JSON on a pipe or socket that may be slow to be read.
///
/// What waits is bounded: one line being written, and the newest report of each VM's worker.
#[derive(Debug)]
pub struct StatusLines {
    fd: Option<OwnedFd>,
    writing: Vec<u8>,
    waiting: BTreeMap<VmName, WorkerReport>,
}

impl StatusLines {
    /// Writes to `fd`; without one, reports go nowhere.
    #[must_use]
    pub fn new(fd: Option<OwnedFd>) -> Self {
        if let Some(fd) = &fd {
            // Where it cannot be made non-blocking, a reader that is alive still reads.
            let _ = rustix::io::ioctl_fionbio(fd, true);
        }
        Self { fd, writing: Vec::new(), waiting: BTreeMap::new() }
    }

    /// Sends a report, now or when there is room.
    pub fn push(&mut self, report: WorkerReport) {
        if self.fd.is_some() {
            self.waiting.insert(report.vm.clone(), report);
            self.flush();
        }
    }

    /// The descriptor to wait for, if something waits to be written.
    #[must_use]
    pub fn blocked_on(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().filter(|_| !self.writing.is_empty()).map(AsFd::as_fd)
    }

    /// Writes as much as there is room for.
    pub fn flush(&mut self) {
        while let Some(fd) = &self.fd {
            if self.writing.is_empty() {
                let Some((_, report)) = self.waiting.pop_first() else { return };
                match serde_json::to_vec(&report) {
                    Ok(line) => self.writing = line,
                    Err(error) => tracing::error!(%error, "a report cannot be written down"),
                }
                self.writing.push(b'\n');
            }
            match write(fd.as_fd(), &self.writing) {
                Ok(written) => drop(self.writing.drain(..written.min(self.writing.len()))),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(error) => {
                    tracing::warn!(%error, "nobody reads the reports any more");
                    self.fd = None;
                    self.writing.clear();
                    self.waiting.clear();
                }
            }
        }
    }
}

/// write(2) without SIGPIPE on sockets; on pipes the runtime ignores that signal.
fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> rustix::io::Result<usize> {
    match rustix::net::send(fd, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
        Err(Errno::NOTSOCK) => rustix::io::write(fd, bytes),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::os::unix::net::UnixStream;

    use super::*;

    fn report(vm: &str, refused: u64) -> WorkerReport {
        WorkerReport {
            vm: vm.parse().unwrap(),
            pid: 1,
            alive: true,
            connections: 0,
            refused,
            last_refusal: "x".repeat(500),
            traffic: Default::default(),
            jail: Default::default(),
        }
    }

    #[test]
    fn what_is_not_plain_text_is_escaped_and_cut() {
        assert_eq!(escape("a b\n\u{1b}]0;é\u{202e}"), "a b\\n\\u{1b}]0;\\u{e9}\\u{202e}");
        assert!(escape(&"\u{202e}".repeat(4000)).len() <= MAX_REFUSAL_LEN + 3);
    }

    #[test]
    fn a_slow_reader_gets_the_newest_report_of_each_vm_in_whole_lines() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut status = StatusLines::new(Some(ours.into()));
        let mut last = 0;
        while status.blocked_on().is_none() {
            last += 1;
            status.push(report("work", last));
        }
        status.push(report("work", last + 1));
        status.push(report("work", last + 2));
        status.push(report("web", 1));
        let mut lines = BufReader::new(theirs).lines();
        let mut seen = Vec::new();
        while !seen.contains(&("work".to_owned(), last + 2)) {
            let line = lines.next().unwrap().unwrap();
            let report: WorkerReport = serde_json::from_str(&line).unwrap();
            seen.push((report.vm.to_string(), report.refused));
            status.flush();
        }
        assert!(seen.contains(&("web".to_owned(), 1)));
        assert!(!seen.contains(&("work".to_owned(), last + 1)));
    }

    #[test]
    fn a_reader_that_is_gone_is_forgotten() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let mut status = StatusLines::new(Some(ours.into()));
        status.push(report("work", 1));
        assert!(status.blocked_on().is_none());
    }
}
