//! Where VMs call.

use std::io;
use std::path::PathBuf;

use virtio_wl::address::{AddressError, VsockCid};
use virtio_wl::{Address, Listener};

use super::region::make_parent;

/// Why there is no place where a VM can call.
#[derive(Debug, thiserror::Error)]
pub enum ListenerError {
    /// The directory of the socket cannot be made.
    #[error("Cannot create the directory of {}: {source}", path.display())]
    Directory {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The address cannot be had; perhaps another hub listens there.
    #[error(transparent)]
    Listen(#[from] AddressError),
}

/// Listens on the address of a VM. A socket file is removed with the listener.
///
/// A port of the kernel's vsock is listened on for all VMs, as several may be told to call it; who is calling is said with
/// each caller.
pub(super) fn bind(address: &Address, mode: u32) -> Result<Listener, ListenerError> {
    if let Some(path) = address.listening_path() {
        make_parent(&path).map_err(|source| ListenerError::Directory { path, source })?;
    }
    let everybodys = match address {
        Address::Vsock { port, .. } => Some(Address::Vsock { cid: VsockCid::Any, port: *port }),
        _ => None,
    };
    Ok(Listener::bind(everybodys.as_ref().unwrap_or(address), Some(mode))?)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn the_socket_has_its_directory_and_mode_and_goes_with_the_listener() {
        let dir = tempfile::tempdir().unwrap();
        for (address, path) in [
            (Address::Unix(dir.path().join("a/hub.sock")), dir.path().join("a/hub.sock")),
            (Address::VsockUds { path: dir.path().join("b/vm"), port: 6 }, dir.path().join("b/vm_6")),
        ] {
            let listener = bind(&address, 0o660).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o660);
            assert!(matches!(bind(&address, 0o600), Err(ListenerError::Listen { .. })));
            drop(listener);
            assert!(!path.exists());
        }
    }
}
