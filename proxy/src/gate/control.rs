//! What the supervisor and a worker say to each other, over a socket that keeps messages apart.
//!
//! The supervisor sends [`Order`]s with descriptors; the worker sends [`WorkerReport`]s. Each is one packet of JSON. The
//! worker trusts its supervisor, and reads at most [`MAX_ORDER`] bytes. The supervisor does not trust the worker: it reads
//! at most [`MAX_REPORT_LINE`] bytes, takes no descriptors, and writes the name and process id itself.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use serde::{Deserialize, Serialize};
use virtio_wl::unix::{self, UnixError};
use vitrail_protocols::report::MAX_REPORT_LINE;
use vitrail_protocols::{Limits, Policy, VmName, WorkerReport};

/// The longest order, in bytes. A policy may have rules for every interface that is known.
pub const MAX_ORDER: usize = 32 << 10;

/// What the supervisor tells a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// The first order: whose worker this is. Comes with the region's descriptor if there is one.
    Start {
        /// The VM.
        vm: VmName,
        /// What it may hold.
        limits: Limits,
        /// Which globals it sees.
        policy: Policy,
        /// Where the region begins in its file, in bytes.
        region_start: u64,
    },
    /// Serve a connection. Comes with two descriptors: the VM's stream and the compositor's socket.
    Serve {
        /// The hub's serial number of the connection, for the log.
        connection: u64,
    },
}

/// Why a message did not get through.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The socket pair cannot be made.
    #[error("cannot make a control socket: {0}")]
    Pair(#[source] rustix::io::Errno),
    /// The socket failed, or the other side does not read.
    #[error("the control socket failed: {0}")]
    Socket(#[from] UnixError),
    /// The other side is gone.
    #[error("the other side of the control socket is gone")]
    Closed,
    /// A message is not what it should be.
    #[error("a control message cannot be understood: {0}")]
    Message(#[from] serde_json::Error),
    /// A message does not come with the descriptors that belong to it, or with some that do not.
    #[error("a control message came with {0} descriptors")]
    Descriptors(usize),
    /// A report contradicts itself.
    #[error("a report is longer than a report can be")]
    TooLong,
}

/// A pair of connected control sockets, closed on exec.
///
/// # Errors
/// The kernel has no descriptors left.
pub fn pair() -> Result<(OwnedFd, OwnedFd), ControlError> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
        .map_err(ControlError::Pair)
}

/// Sends an order with its descriptors. Never waits.
///
/// # Errors
/// The worker is gone or has stopped reading.
pub fn send_order(socket: impl AsFd, order: &Order, fds: &[BorrowedFd<'_>]) -> Result<(), ControlError> {
    unix::send(socket, &serde_json::to_vec(order)?, fds)?;
    Ok(())
}

/// Receives the next order with its descriptors; `None` if there is none yet.
///
/// # Errors
/// The supervisor is gone ([`ControlError::Closed`]) or made a mistake.
pub fn receive_order(socket: impl AsFd) -> Result<Option<(Order, Vec<OwnedFd>)>, ControlError> {
    let mut bytes = vec![0; MAX_ORDER];
    let mut fds = Vec::new();
    let len = match unix::receive(socket, &mut bytes, &mut fds) {
        Ok(len) => len,
        Err(UnixError::WouldBlock) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let message = bytes.split_at_checked(len).map(|(message, _)| message).unwrap_or_default();
    if message.is_empty() {
        return Err(ControlError::Closed);
    }
    let order = serde_json::from_slice(message)?;
    let expected = match order {
        Order::Start { .. } => 0..=1,
        Order::Serve { .. } => 2..=2,
    };
    if !expected.contains(&fds.len()) {
        return Err(ControlError::Descriptors(fds.len()));
    }
    Ok(Some((order, fds)))
}

/// Sends a report. Never waits.
///
/// # Errors
/// The supervisor is gone or busy.
pub fn send_report(socket: impl AsFd, report: &WorkerReport) -> Result<(), ControlError> {
    unix::send(socket, &serde_json::to_vec(report)?, &[])?;
    Ok(())
}

/// Receives the next report of the worker of `vm` with process id `pid`; `None` if there is none yet. What the
/// worker cannot know better than the supervisor is replaced, and its text is escaped and cut again.
///
/// # Errors
/// The worker is gone ([`ControlError::Closed`]), or not itself any more.
pub fn receive_report(
    socket: impl AsFd,
    vm: &VmName,
    pid: i32,
) -> Result<Option<WorkerReport>, ControlError> {
    let mut bytes = [0; MAX_REPORT_LINE];
    let mut fds = Vec::new();
    let len = match unix::receive(socket, &mut bytes, &mut fds) {
        Ok(len) => len,
        Err(UnixError::WouldBlock) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if !fds.is_empty() {
        return Err(ControlError::Descriptors(fds.len()));
    }
    let message = bytes.split_at_checked(len).map(|(message, _)| message).unwrap_or_default();
    match message.len() {
        0 => return Err(ControlError::Closed),
        MAX_REPORT_LINE.. => return Err(ControlError::TooLong),
        _ => {}
    }
    let mut report: WorkerReport = serde_json::from_slice(message)?;
    report.last_refusal = super::report::escape(&report.last_refusal);
    Ok(Some(WorkerReport { vm: vm.clone(), pid, alive: true, ..report }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(text: &str) -> WorkerReport {
        WorkerReport {
            vm: "other".parse().unwrap(),
            pid: 1,
            alive: false,
            connections: 3,
            refused: 4,
            last_refusal: text.to_owned(),
            traffic: Default::default(),
            jail: Default::default(),
        }
    }

    #[test]
    fn orders_arrive_with_their_descriptors() {
        let (ours, theirs) = pair().unwrap();
        assert!(receive_order(&theirs).unwrap().is_none());
        let (read, write) = rustix::pipe::pipe().unwrap();
        let order = Order::Serve { connection: 7 };
        send_order(&ours, &order, &[read.as_fd(), write.as_fd()]).unwrap();
        let (received, fds) = receive_order(&theirs).unwrap().unwrap();
        assert_eq!((received, fds.len()), (order, 2));
        send_order(&ours, &Order::Serve { connection: 8 }, &[read.as_fd()]).unwrap();
        assert!(matches!(receive_order(&theirs), Err(ControlError::Descriptors(1))));
        drop(ours);
        assert!(matches!(receive_order(&theirs), Err(ControlError::Closed)));
    }

    /// Orders were as long as reports at most once, which one with a rule for each interface nearly fills: with a few more
    /// interfaces in the table, a worker would have read only its beginning, and not started.
    #[test]
    fn an_order_with_a_rule_for_every_interface_arrives_whole() {
        use vitrail_protocols::globals::{Class, GLOBALS};
        let mut rules = vitrail_protocols::policy::Rules::default();
        for global in GLOBALS {
            rules.deny(global.interface).unwrap();
            if global.class != Class::Never {
                rules.max_version(global.interface, 1).unwrap();
            }
        }
        let (ours, theirs) = pair().unwrap();
        let order = Order::Start {
            vm: "work".parse().unwrap(),
            limits: Limits::default(),
            policy: Policy::new(&Default::default(), &rules),
            region_start: 0,
        };
        assert!(serde_json::to_vec(&order).unwrap().len() < MAX_ORDER / 2);
        send_order(&ours, &order, &[]).unwrap();
        assert_eq!(receive_order(&theirs).unwrap().unwrap().0, order);
    }

    #[test]
    fn a_worker_cannot_speak_for_another_vm_or_break_the_log() {
        let (ours, theirs) = pair().unwrap();
        send_report(&theirs, &report("a\u{1b}[31m\n")).unwrap();
        let received = receive_report(&ours, &"work".parse().unwrap(), 42).unwrap().unwrap();
        assert_eq!((received.vm.as_str(), received.pid, received.alive), ("work", 42, true));
        assert_eq!(received.last_refusal, "a\\u{1b}[31m\\n");
    }

    #[test]
    fn nonsense_from_a_worker_is_an_error() {
        let (ours, theirs) = pair().unwrap();
        let vm = "work".parse().unwrap();
        unix::send(&theirs, b"{}", &[]).unwrap();
        assert!(matches!(receive_report(&ours, &vm, 1), Err(ControlError::Message(_))));
        unix::send(&theirs, &[b' '; MAX_REPORT_LINE + 10], &[]).unwrap();
        assert!(matches!(receive_report(&ours, &vm, 1), Err(ControlError::TooLong)));
    }
}
