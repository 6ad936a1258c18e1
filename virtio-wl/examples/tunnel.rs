//! Makes a Unix socket of one machine appear in another, over any byte stream that one of them can open.
//!
//! ```text
//! tunnel near LISTEN STREAM     where the programs are: accepts on LISTEN, opens a stream to STREAM for each
//! tunnel far STREAM CONNECT     where the service is: accepts streams on STREAM, connects each to CONNECT
//! ```
//!
//! All addresses are in the syntax of `virtio_wl::address`, such as `unix:PATH` or `vsock:CID:PORT`. Pipes and read-only memory that the programs attach to their messages cross
//! too; writable memory crosses with the content that it has when it leaves, up to 4 MiB.

use std::env;
use std::error::Error;
use std::os::fd::AsFd;
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use virtio_wl::listener::{AcceptError, Accepted};
use virtio_wl::{Address, MirrorBudget, Pump, PumpOptions, Role, Socket, SocketOptions, StreamLimits};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [mode, listen, connect] = arguments.as_slice() else {
        return Err("usage: tunnel near LISTEN STREAM | tunnel far STREAM CONNECT".into());
    };
    let is_near = match mode.as_str() {
        "near" => true,
        "far" => false,
        other => return Err(format!("`{other}` is neither `near` nor `far`").into()),
    };
    let listener = listen.parse::<Address>()?.listen()?;
    let target: Address = connect.parse()?;
    loop {
        let accepted = match listener.accept() {
            Ok(accepted) => accepted,
            Err(AcceptError::WouldBlock) => {
                poll(&mut [PollFd::new(&listener, PollFlags::IN)], None)?;
                continue;
            }
            Err(AcceptError::Accept(error)) => return Err(error.into()),
            Err(refused) => {
                eprintln!("{refused}");
                continue;
            }
        };
        let target = target.clone();
        thread::spawn(move || {
            if let Err(error) = serve(accepted, &target, is_near) {
                eprintln!("a connection ended: {error}");
            }
        });
    }
}

/// Joins one connection until both sides have ended it.
fn serve(accepted: Accepted, target: &Address, is_near: bool) -> Result<()> {
    let opened = target.connect()?;
    let (local, stream, role, is_vsock) = if is_near {
        (accepted.stream, opened, Role::Initiator, target.is_vsock())
    } else {
        (opened, accepted.stream, Role::Acceptor, accepted.is_vsock)
    };
    // Programs make memory that is much longer than what they draw into; what is written is bounded.
    let limits = StreamLimits { max_mirror_bytes: 1 << 30, ..StreamLimits::default() };
    let mirror_budget = Some(MirrorBudget::new(256 << 20));
    let options = SocketOptions { limits, mirror_budget, is_vsock, ..SocketOptions::default() };
    let socket = Socket::new(stream, role, options)?;
    let mut pump = Pump::new(local, socket, &PumpOptions::default())?;
    while !pump.finished() {
        if !pump.turn()?.more && !pump.finished() {
            poll(&mut [PollFd::from_borrowed_fd(pump.as_fd(), PollFlags::IN)], None)?;
        }
    }
    Ok(())
}
