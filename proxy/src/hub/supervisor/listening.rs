//! The sockets that VMs call at.
//!
//! A socket file or a VMM's socket is one VM's alone: while that VM has as many streams pending as it may, or has called as
//! often as it may in a second, the socket is left alone, and further callers wait in the kernel's queue at the VM's own cost. A port of the kernel's vsock can be several
//! VMs', told apart by their CIDs; one of them must not keep the others waiting, so its surplus calls are refused.

use std::collections::BTreeMap;
use std::time::Instant;

use virtio_wl::address::VsockCid;
use virtio_wl::{Address, Listener, Peer};
use vitrail_protocols::VmName;

use super::SupervisorError;
use crate::hub::config::VmConfig;
use crate::hub::decision::Quota;
use crate::hub::listener::{self, ListenerError};

/// A listening socket.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) listener: Listener,
    callers: Callers,
    /// Whether the poller reports callers.
    pub(super) watched: bool,
    /// When to accept again after a failure of ours, or when its only VM has called too often.
    pub(super) accept_again: Option<Instant>,
    /// Log lines that callers may cause who are no VM's.
    pub(super) quota: Quota,
}

/// Who calls here. VMs are meant by their index.
#[derive(Debug)]
enum Callers {
    /// One VM, whatever the kernel says of the process that calls.
    Only(usize),
    /// The VMs with these CIDs.
    Port { port: u32, vms: BTreeMap<u32, usize> },
}

impl Listening {
    fn new(listener: Listener, callers: Callers) -> Self {
        let quota = Quota::new(Instant::now());
        Self { listener, callers, watched: true, accept_again: None, quota }
    }

    /// The VM that is calling; nobody configured, maybe.
    pub(super) fn caller(&self, peer: Peer) -> Option<usize> {
        match (&self.callers, peer) {
            (Callers::Only(vm), _) => Some(*vm),
            (Callers::Port { vms, .. }, Peer::Vsock { cid, .. }) => vms.get(&cid).copied(),
            (Callers::Port { .. }, _) => None,
        }
    }

    /// The VM whose socket this is, if it is no other's as well.
    pub(super) fn owner(&self) -> Option<usize> {
        match &self.callers {
            Callers::Only(vm) => Some(*vm),
            Callers::Port { .. } => None,
        }
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Sockets(Vec<Listening>);

impl Sockets {
    /// Listens for one more VM; gives the index of its socket.
    pub(super) fn add(
        &mut self,
        name: &VmName,
        vm: usize,
        config: &VmConfig,
    ) -> Result<usize, SupervisorError> {
        let vsock = match &config.listen {
            Address::Vsock { cid: VsockCid::Is(cid), port } => Some((*cid, *port)),
            _ => None,
        };
        if let Some((cid, port)) = vsock {
            for (index, listening) in self.0.iter_mut().enumerate() {
                if let Callers::Port { port: there, vms } = &mut listening.callers
                    && *there == port
                {
                    vms.insert(cid, vm);
                    return Ok(index);
                }
            }
        }
        let failed = |source: ListenerError| SupervisorError::Listener { vm: name.clone(), source };
        let listener = listener::bind(&config.listen, config.socket_mode).map_err(failed)?;
        let callers = match vsock {
            Some((cid, port)) => Callers::Port { port, vms: BTreeMap::from([(cid, vm)]) },
            None => Callers::Only(vm),
        };
        self.0.push(Listening::new(listener, callers));
        Ok(self.0.len().saturating_sub(1))
    }

    pub(super) fn get(&self, index: usize) -> Option<&Listening> {
        self.0.get(index)
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut Listening> {
        self.0.get_mut(index)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Listening> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_that_share_a_port_are_told_apart_by_what_the_kernel_says() {
        let dir = tempfile::tempdir().unwrap();
        let listener = || Address::Unix(dir.path().join("s")).listen().unwrap();
        let vms = BTreeMap::from([(3, 7), (4, 8)]);
        let port = Listening::new(listener(), Callers::Port { port: 5000, vms });
        assert_eq!(port.caller(Peer::Vsock { cid: 3, port: 1 }), Some(7));
        assert_eq!(port.caller(Peer::Vsock { cid: 4, port: 1 }), Some(8));
        let process = Peer::Unix { pid: None, uid: 0, gid: 0 };
        for stranger in [Peer::Vsock { cid: 5, port: 1 }, Peer::Vsock { cid: 2, port: 1 }, process] {
            assert_eq!(port.caller(stranger), None, "{stranger}");
        }
        drop(port);
        let file = Listening::new(listener(), Callers::Only(9));
        assert_eq!(file.caller(process), Some(9));
    }
}
