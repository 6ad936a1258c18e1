//! What the handlers of one connection share: the VM's ledger, the tree of subsurfaces, and the breach.
//!
//! A connection breaks at most one rule. The first refusal is final: it posts a `wl_display.error`, stops the
//! client from being read (so that nothing after the offending request is parsed, let alone forwarded) and is
//! kept for the worker, which ends the connection when the error has been sent.

use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::rc::{Rc, Weak};

use wl_proxy::client::Client;
use wl_proxy::object::{Object, ObjectCoreApi as _};

use super::ledger::{Exceeded, Kind, Ledger, Share};
use super::memory::RegionId;
use super::tree::SubsurfaceTree;

/// `wl_display.error` codes that belong to no particular interface, from wayland.xml.
pub mod display_error {
    /// The object does not exist.
    pub const INVALID_OBJECT: u32 = 0;
    /// The request does not exist, or is malformed.
    pub const INVALID_METHOD: u32 = 1;
    /// A resource is used up.
    pub const NO_MEMORY: u32 = 2;
    /// The compositor, or the connection to it, failed.
    pub const IMPLEMENTATION: u32 = 3;
}

/// What every message of the gate to a client begins with, so that people know where to look.
pub const MESSAGE_PREFIX: &str = "vitrail-gate: ";

/// The longest text of an error event, in bytes: a message must fit into 4096 bytes together with its header
/// and padding, and part of it may be the client's own words.
const MAX_MESSAGE: usize = 1024;

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// The code in the `wl_display.error` event.
    pub code: u32,
    /// The text of the event, with [`MESSAGE_PREFIX`].
    pub message: String,
}

impl Breach {
    /// A breach with the message bounded and on one line.
    #[must_use]
    pub fn new(code: u32, text: &dyn Display) -> Self {
        let mut message = format!("{MESSAGE_PREFIX}{text}");
        message.retain(|c| c != '\0');
        if message.len() > MAX_MESSAGE {
            let end = (0..=MAX_MESSAGE).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0);
            message.truncate(end);
        }
        Self { code, message }
    }
}

/// The state that the handlers of one connection share.
#[derive(Debug)]
pub struct Guard {
    ledger: Rc<Ledger>,
    region: Option<RegionId>,
    client: RefCell<Weak<Client>>,
    breach: RefCell<Option<Breach>>,
    gone: Cell<bool>,
    tree: RefCell<SubsurfaceTree>,
}

impl Guard {
    /// The guard of a connection that has no client yet.
    #[must_use]
    pub fn new(ledger: Rc<Ledger>, region: Option<RegionId>) -> Rc<Self> {
        Rc::new(Self {
            ledger,
            region,
            client: RefCell::default(),
            breach: RefCell::default(),
            gone: Cell::new(false),
            tree: RefCell::default(),
        })
    }

    /// Names the client to which errors are posted.
    pub(super) fn watch(&self, client: &Rc<Client>) {
        *self.client.borrow_mut() = Rc::downgrade(client);
    }

    /// The VM's counts.
    #[must_use]
    pub fn ledger(&self) -> &Rc<Ledger> {
        &self.ledger
    }

    /// Which memory is the VM's region.
    #[must_use]
    pub fn region(&self) -> Option<RegionId> {
        self.region
    }

    /// The rule that was broken, if one was.
    #[must_use]
    pub fn breach(&self) -> Option<Breach> {
        self.breach.borrow().clone()
    }

    /// Whether the proxy gave the client up: it hung up, or sent a message that cannot be parsed.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.gone.get()
    }

    /// The tree of subsurfaces.
    pub(super) fn tree(&self) -> &RefCell<SubsurfaceTree> {
        &self.tree
    }

    /// Notes that the proxy gave the client up.
    pub(super) fn note_gone(&self) {
        self.gone.set(true);
    }

    /// Keeps a breach that was found outside of any request. Returns false if there is one already.
    pub(super) fn record(&self, breach: Breach) -> bool {
        let mut kept = self.breach.borrow_mut();
        if kept.is_some() {
            return false;
        }
        *kept = Some(breach);
        true
    }

    /// Refuses a request: posts an error on `object` and reads nothing more of the client.
    pub(super) fn refuse(&self, object: Rc<dyn Object>, code: u32, text: &dyn Display) {
        let breach = Breach::new(code, text);
        if !self.record(breach.clone()) {
            return;
        }
        let Some(client) = self.client.borrow().upgrade() else { return };
        client.set_suspended(true);
        let display = Rc::clone(client.display());
        let sent = display.try_send_error(object, code, &breach.message);
        if sent.is_err() {
            // The object is gone already; the display always exists.
            display.send_error(display.clone(), code, &breach.message);
        }
    }

    /// Takes part of a limit for a new object, or refuses the request.
    pub(super) fn take(&self, object: &Rc<impl Object>, kind: Kind, amount: u64) -> Option<Share> {
        match self.ledger.take(kind, amount) {
            Ok(share) => Some(share),
            Err(exceeded) => {
                self.refuse_exceeded(object, exceeded);
                None
            }
        }
    }

    /// Refuses a request because of a limit. Clients know `no_memory` from compositors at their own limits; it
    /// belongs to the display.
    pub(super) fn refuse_exceeded(&self, object: &Rc<impl Object>, exceeded: Exceeded) {
        match object.client() {
            Some(client) => {
                let display: Rc<dyn Object> = client.display().clone();
                self.refuse(display, display_error::NO_MEMORY, &exceeded);
            }
            None => self.refuse(object.clone(), display_error::NO_MEMORY, &exceeded),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_bounded_and_have_no_nul() {
        let breach = Breach::new(1, &format!("a\0b{}", "é".repeat(4000)));
        assert!(breach.message.starts_with("vitrail-gate: abé"));
        assert!(breach.message.len() <= MAX_MESSAGE);
    }

    #[test]
    fn the_first_breach_is_kept() {
        let guard = Guard::new(Ledger::new(vitrail_protocols::Limits::default()), None);
        assert!(guard.record(Breach::new(1, &"first")));
        assert!(!guard.record(Breach::new(2, &"second")));
        assert_eq!(guard.breach().unwrap().message, "vitrail-gate: first");
    }
}
