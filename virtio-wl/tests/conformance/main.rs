//! One suite of cases that every transport passes.
//!
//! A *transport* ([`transports::Transport`]) makes connections; a connection is a [`pair::Pair`] of *sides*
//! ([`pair::Side`]), both in this process: two `Socket`s, or a `Socket` and, where the transport ends in an ordinary Unix
//! stream socket (`wl0`), that socket. A *case* (`cases/`) takes a transport and knows nothing of it. The last list of
//! this file says which transports there are; each case is a test of each, `TRANSPORT::THEME::CASE`.
//!
//! The first transport, `kernel`, is a pair of ordinary Unix sockets without this library: what the cases demand is what those
//! do, but for the cases that it is exempt from.
//!
//! **To add a transport**, implement `Transport` in a file of `transports/` and name it in that list:
//!
//! * A transport of bytes gives two connected streams as `Connection::streams`. It then gets two `Socket`s on them, and the
//!   cases that play the peer by hand.
//! * Any other gives two sides as `Connection::sides`, the initiator first.
//! * `unavailable` says why it cannot run here; its tests then print that and pass.
//! * `open_with_region` makes a connection whose sides have a region, if that takes more than options of `Socket`.
//! * `exempt` names the cases that the transport's own interface makes impossible, each with the reason.
//! * What has to live as long as a connection (a thread, a directory) goes with it: see `Connection::keeping`. It is dropped
//!   after both sides, and must have closed its descriptors when its drop returns, because cases count them.
//! * `run_elsewhere` may run a case in another process.
//!
//! The kernel's vsock of the machine is never used, as it may belong to whoever manages the machine. Inside a virtual machine
//! that was made for this, the transport `vsock` is switched on by naming the two addresses of a connection:
//!
//! ```text
//! VIRTIO_WL_CONFORMANCE_VSOCK="listen=vsock:any:5000 connect=vsock:2:6000"
//! ```
//!
//! The test program, which needs nothing but itself, listens on the first for all its connections, and makes them by calling
//! the second; whatever is between the two must bring the calls back.

mod cases;
#[path = "../virtio_wl_driver/mod.rs"]
mod driver;
mod pair;
mod transports;

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use driver::left_out::{left_out, say};
use transports::Transport;

/// Longer than anything takes on a machine that is very busy, or is emulated.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A test of the suite.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// `theme::case`.
    pub name: &'static str,
    /// What it does; it fails by panicking.
    pub run: fn(&dyn Transport),
    /// It looks at the descriptors of the whole process, so nothing else may run meanwhile.
    pub alone: bool,
}

/// Held for writing by the cases that run alone, for reading by all others. A case that has failed harms no other.
static ALONE: RwLock<()> = RwLock::new(());

/// Runs one case on one transport.
fn check(transport: &'static dyn Transport, case: Case) {
    if let Some(reason) = transport.unavailable() {
        return left_out(&format!("the cases of {}", transport.name()), &reason);
    }
    if let Some((_, reason)) = transport.exempt().iter().find(|(name, _)| *name == case.name) {
        say(&format!("{}::{} does not apply: {reason}", transport.name(), case.name));
        return;
    }
    let (_shared, _alone);
    if case.alone {
        _alone = ALONE.write().unwrap_or_else(PoisonError::into_inner);
    } else {
        _shared = ALONE.read().unwrap_or_else(PoisonError::into_inner);
    }
    // A call that waits although it must not would otherwise hang for ever.
    let (done, ended) = channel();
    let worker = thread::spawn(move || {
        if !transport.run_elsewhere(case) {
            (case.run)(transport);
        }
        // The other end waits, or has given up.
        let _ = done.send(());
    });
    if ended.recv_timeout(PATIENCE * 2) == Err(RecvTimeoutError::Timeout) {
        panic!("{} hangs on {}", case.name, transport.name());
    }
    if let Err(failure) = worker.join() {
        std::panic::resume_unwind(failure);
    }
}

/// The tests of one transport.
macro_rules! conformance {
    ($transport:ident = $value:expr) => {
        mod $transport {
            use crate::transports::{self, Transport};
            static TRANSPORT: &dyn Transport = &$value;

            conformance!(@theme data {
                one_byte_writes partial_reads partial_writes both_directions_at_once
            } alone {});
            conformance!(@theme fds {
                twenty_eight_arrive_with_their_byte twenty_nine_are_refused bursts_keep_their_order
                what_cannot_cross_is_refused_whole descriptors_need_a_byte
            } alone {
                no_room_at_the_sender no_room_at_the_receiver nothing_taken_leaks_nothing
            });
            conformance!(@theme kinds {
                a_blob_arrives_whole_and_sealed a_mirror_has_a_rectangle_before_the_message_behind_it
                a_region_is_the_same_memory_on_both_sides a_socket_carries_both_ways_and_each_ends_alone
            } alone {});
            conformance!(@theme ends {
                half_close_leaves_the_other_half sending_after_the_end_is_a_broken_pipe
                a_side_that_wants_no_more_stops_the_other a_dead_peer_is_noticed_after_its_last_byte
            } alone {
                peer_death_at_any_byte death_ends_what_crossed
            });
            conformance!(@theme flow {
                a_reader_that_stops_stops_the_writer the_other_direction_goes_on a_pipe_passes_data_that_waits
            } alone {});
            conformance!(@theme readiness {
                an_idle_connection_sleeps readable_exactly_when_there_is_something_to_do
                a_blocked_writer_sleeps_until_there_is_room nothing_waits_on_blocking_streams
            } alone {});
        }
    };
    (@theme $theme:ident { $($shared:ident)* } alone { $($alone:ident)* }) => {
        mod $theme {
            $(conformance!(@case $theme $shared false);)*
            $(conformance!(@case $theme $alone true);)*
        }
    };
    (@case $theme:ident $case:ident $alone:literal) => {
        #[test]
        fn $case() {
            crate::check(super::TRANSPORT, crate::Case {
                name: concat!(stringify!($theme), "::", stringify!($case)),
                run: crate::cases::$theme::$case,
                alone: $alone,
            });
        }
    };
}

conformance!(kernel = transports::Kernel);
conformance!(unix = transports::Unix);
conformance!(fd = transports::Fd);
conformance!(vsock_uds_to_the_vm = transports::HostCallsVm);
conformance!(vsock_uds_from_the_vm = transports::VmCallsHost);
conformance!(torn = transports::Torn);
conformance!(vsock = transports::Vsock);
conformance!(wl0 = transports::Wl0);
