//! A worker against clients that break rules: each breach ends its own connection with an error that says
//! what was wrong, the compositor never sees the request, and the VM's other connections go on.

#![expect(clippy::unwrap_used, reason = "a step of a test that fails is the test's failure")]
#![expect(
    clippy::needless_pass_by_value,
    reason = "messages read better when they are made where they are sent"
)]

mod capture;
mod client;
mod compositor;
mod limits;
mod mirrors;
mod policy;
mod requests;
mod supervisor;
mod traffic;
mod vsock;
mod wire;

use std::os::fd::{AsFd as _, OwnedFd};
use std::thread;

use vitrail_protocols::report::JailReport;
use vitrail_protocols::{Limits, Policy, WorkerReport};
use vitrail_proxy::gate::control::{self, Order};
use vitrail_proxy::gate::worker::{Worker, WorkerOptions};

use client::{Client, Error};
use compositor::Requests;

/// A worker in a thread of the test, without walls.
#[derive(Debug)]
pub struct Vm {
    control: OwnedFd,
}

impl Vm {
    /// A worker with these limits, for a VM of whose protocols the configuration says nothing.
    pub fn new(limits: Limits) -> Self {
        Self::with(limits, Policy::default())
    }

    /// A worker with these limits and this policy.
    pub fn with(limits: Limits, policy: Policy) -> Self {
        let (ours, theirs) = control::pair().unwrap();
        thread::spawn(move || {
            let vm = "work".parse().unwrap();
            let options = WorkerOptions { vm, limits, policy, region: None, control: Some(theirs) };
            Worker::new(options, JailReport::default()).unwrap().run().unwrap();
        });
        Self { control: ours }
    }

    /// A connection through the worker to a compositor of its own.
    pub fn connect(&self) -> (Client, Requests) {
        let (mut client, stream) = Client::new();
        let (compositor, requests) = compositor::start();
        let order = Order::Serve { connection: 1 };
        control::send_order(&self.control, &order, &[stream.as_fd(), compositor.as_fd()]).unwrap();
        client.start();
        (client, requests)
    }

    /// The socket that reports come on.
    pub fn control(&self) -> &OwnedFd {
        &self.control
    }

    /// The next report, if one has come.
    pub fn try_report(&self) -> Option<WorkerReport> {
        control::receive_report(&self.control, &"work".parse().unwrap(), 1).unwrap()
    }

    /// Waits for a report that satisfies the condition.
    pub fn report(&self, fits: impl Fn(&WorkerReport) -> bool) -> WorkerReport {
        use rustix::event::{PollFd, PollFlags, Timespec};
        loop {
            if let Some(report) = self.try_report() {
                if fits(&report) {
                    return report;
                }
                continue;
            }
            let patience = Timespec { tv_sec: 20, tv_nsec: 0 };
            let ready =
                rustix::event::poll(&mut [PollFd::new(&self.control, PollFlags::IN)], Some(&patience));
            assert_eq!(ready, Ok(1), "no such report");
        }
    }
}

/// Lets a client break a rule beside a well-behaved one, and checks all that is promised about it. `unseen` is the
/// request that must not arrive, as `interface.opcode`, and how often it may have before.
#[track_caller]
pub fn breach(limits: Limits, unseen: (&str, usize), break_rule: impl FnOnce(&mut Client, &Vm)) -> Error {
    breach_in(&Vm::new(limits), unseen, break_rule)
}

/// The same in a VM that exists, and has broken no rule yet.
#[track_caller]
pub fn breach_in(vm: &Vm, unseen: (&str, usize), break_rule: impl FnOnce(&mut Client, &Vm)) -> Error {
    let (mut neighbour, _) = vm.connect();
    assert!(neighbour.round_trip(), "the neighbour is served");
    let (mut client, requests) = vm.connect();
    break_rule(&mut client, vm);
    // Whatever comes after the breach is not read either.
    let compositor = client.make(1, 0, &[]);
    assert_ne!(compositor, 0);
    let error = client.error();
    requests.wait_for_end();
    let (request, before) = unseen;
    assert_eq!(requests.count(request), before, "{request} in {requests:?}");
    assert!(neighbour.round_trip(), "the neighbour goes on");
    let report = vm.report(|report| report.refused == 1);
    assert!(report.last_refusal.contains(&error.message), "{report:?}");
    error
}

/// The same, checking code and text too.
#[track_caller]
pub fn expect(unseen: (&str, usize), code: u32, message: &str, break_rule: impl FnOnce(&mut Client, &Vm)) {
    let error = breach(Limits::default(), unseen, break_rule);
    assert_eq!((error.code, error.message.as_str()), (code, message));
}
