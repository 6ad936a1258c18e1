//! The sockets of a VMM that carries vsock over Unix sockets. The test plays the VMM.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};

use virtio_wl::Address;
use virtio_wl::address::{Connecting, Progress};

use super::Transport;
use crate::pair::Connection;

/// The host calls a port of the VM.
#[derive(Debug)]
pub struct HostCallsVm;

impl Transport for HostCallsVm {
    fn name(&self) -> &'static str {
        "vsock-uds, to the VM"
    }

    fn open(&self) -> Connection {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("vmm");
        let vmm = UnixListener::bind(&path).expect("bound");
        let calling = Connecting::start(&Address::VsockUds { path, port: 5000 }).expect("the VMM is there");
        let Progress::Pending(calling) = calling.advance().expect("no answer yet") else {
            panic!("connected without the VMM");
        };
        let (mut vm, _) = vmm.accept().expect("a caller");
        let mut request = [0; 13];
        vm.read_exact(&mut request).expect("a request");
        assert_eq!(&request, b"CONNECT 5000\n");
        vm.write_all(b"OK 1073741824\n").expect("answered");
        let Progress::Connected(host) = calling.advance().expect("the VM is there") else {
            panic!("not connected by the answer");
        };
        Connection::streams(host, vm)
    }
}

/// The VM calls a port of the host.
#[derive(Debug)]
pub struct VmCallsHost;

impl Transport for VmCallsHost {
    fn name(&self) -> &'static str {
        "vsock-uds, from the VM"
    }

    fn open(&self) -> Connection {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("vmm");
        let listener = Address::VsockUds { path, port: 6000 }.listen().expect("listening");
        let vm = UnixStream::connect(dir.path().join("vmm_6000")).expect("the host listens");
        Connection::streams(vm, listener.accept().expect("a caller").stream)
    }
}
