//! The kernel's vsock, inside a virtual machine that was made for it.

use std::sync::{Mutex, OnceLock, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use virtio_wl::{Address, Listener};

use super::Transport;
use crate::PATIENCE;
use crate::pair::Connection;

/// Names the addresses; see the head of the program.
const VARIABLE: &str = "VIRTIO_WL_CONFORMANCE_VSOCK";

/// Calls itself from outside.
#[derive(Debug)]
pub struct Vsock;

/// The one listener for all connections. Held while one is made, so that the caller is the one who was called for.
#[derive(Debug)]
struct Exchange {
    listener: Mutex<Listener>,
    target: Address,
}

static EXCHANGE: OnceLock<Exchange> = OnceLock::new();

/// The listening address and the one to call, of a text such as `listen=vsock:any:5000 connect=vsock:2:6000`.
fn addresses(text: &str) -> (Address, Address) {
    let word = |key: &str| {
        let value = text.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        let value = value.unwrap_or_else(|| panic!("{VARIABLE} has no `{key}=ADDRESS`: {text}"));
        value.parse().unwrap_or_else(|error| panic!("{VARIABLE}: {error}"))
    };
    (word("listen"), word("connect"))
}

impl Transport for Vsock {
    fn name(&self) -> &'static str {
        "vsock"
    }

    fn unavailable(&self) -> Option<String> {
        let is_set = std::env::var_os(VARIABLE).is_some();
        (!is_set).then(|| {
            format!("the vsock of this machine may belong to its management; {VARIABLE} switches it on inside a VM")
        })
    }

    fn open(&self) -> Connection {
        let exchange = EXCHANGE.get_or_init(|| {
            let (listen, target) = addresses(&std::env::var(VARIABLE).expect("set"));
            Exchange { listener: Mutex::new(listen.listen().expect("listening")), target }
        });
        // A case that has failed harms no other.
        let listener = exchange.listener.lock().unwrap_or_else(PoisonError::into_inner);
        let caller = exchange.target.connect().expect("connected");
        let patience = Timespec::try_from(PATIENCE).expect("a short time");
        let ready = poll(&mut [PollFd::new(&*listener, PollFlags::IN)], Some(&patience)).expect("polled");
        assert!(ready > 0, "the call to {} does not come back", exchange.target);
        Connection::streams(caller, listener.accept().expect("a caller").stream)
    }

    fn volume(&self) -> usize {
        1 << 19
    }
}

#[test]
fn the_variable_names_both_addresses() {
    let (listen, connect) = addresses("listen=vsock:any:5000 connect=vsock:2:6000");
    assert_eq!(
        (listen.to_string().as_str(), connect.to_string().as_str()),
        ("vsock:any:5000", "vsock:2:6000")
    );
}
