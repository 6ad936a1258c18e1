//! Which socket of the host a connection leads to.

use std::path::Path;

use rustix::io::Errno;
use virtio_wl::socket::ConnectError;
use virtio_wl::wl0::{self, DeviceError};
use virtio_wl::{Address, Socket, SocketOptions};

use crate::driver::child::Request;
use crate::driver::left_out::left_out;
use crate::driver::{NAMED, supervised};

fn connect(name: Option<&str>) -> Result<Socket, ConnectError> {
    Socket::connect(&Address::Wl0 { name: name.map(str::to_owned) }, SocketOptions::default())
}

fn assert_refused(result: Result<Socket, ConnectError>, errno: Errno) {
    match result {
        Err(ConnectError::Device(DeviceError::Connect(error))) => assert_eq!(error, errno),
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_name_leads_to_its_own_socket_and_each_connection_is_one() {
    supervised("names::each_name_leads_to_its_own_socket_and_each_connection_is_one", |control| {
        let (default, named) = (control.host(), control.named_host());
        for (name, listener) in [(None, &default), (Some(NAMED), &named), (None, &default)] {
            let mut guest = connect(name).unwrap();
            assert!(guest.is_open(), "there is no hello to wait for");
            let (host, _) = listener.accept().unwrap();
            assert_eq!(guest.sendmsg(b"here", &[]), Ok(4));
            let mut bytes = [0; 8];
            assert_eq!(virtio_wl::unix::receive(&host, &mut bytes, &mut Vec::new()), Ok(4));
        }
        assert_eq!(control.vfds(), 0, "a socket that is dropped closes its context");
    });
}

#[test]
fn a_host_that_does_not_listen_and_an_unknown_name_are_errors() {
    supervised("names::a_host_that_does_not_listen_and_an_unknown_name_are_errors", |control| {
        assert_refused(connect(None), Errno::NODEV);
        assert_refused(connect(Some("unheard-of")), Errno::NODEV);
        let _host = control.host();
        for error in [Errno::NOMEM, Errno::NOENT, Errno::AGAIN] {
            control.fail(Request::New, error);
            assert_refused(connect(None), error);
        }
        let error = connect(Some(&"n".repeat(33))).unwrap_err();
        assert!(matches!(error, ConnectError::Device(DeviceError::Name(_))), "{error}");
        // A signal that comes in between is nobody's business.
        control.fail(Request::New, Errno::INTR);
        connect(None).unwrap();
    });
}

#[test]
fn a_machine_without_the_device_says_so() {
    if Path::new(wl0::NODE).exists() {
        return left_out("the tests of a machine without the virtio_wl device", "this one has it");
    }
    let error = connect(None).unwrap_err();
    assert!(error.to_string().contains("/dev/wl0"), "{error}");
}
