//! What the handlers of one connection share: the VM's ledger and policy, the tree of subsurfaces, and the way to refuse.
//!
//! A connection breaks at most one rule. The first refusal is final: [`Control`] posts the error and no further
//! request is parsed, let alone forwarded.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::rc::Rc;

use virtio_wl::vfd::FileId;
use vitrail_protocols::Policy;
use wl_proxy::object::Object;
use wl_proxy::protocols::wayland::wl_display::WlDisplayError;

use super::coverage::Coverage;
use super::ledger::{Exceeded, Kind, Ledger, Share};
use super::memory::Placement;
use super::tree::SubsurfaceTree;
use crate::connection::Control;

/// What every message of the gate to a client begins with, so that people know where to look.
pub const MESSAGE_PREFIX: &str = "vitrail-gate: ";

/// How many capture sessions a connection may have at a time.
pub const MAX_CAPTURE_SESSIONS: u32 = 16;

/// The longest text of an error event, in bytes. Part of it may be the client's own words.
const MAX_MESSAGE: usize = 1024;

/// The state that the handlers of one connection share.
#[derive(Debug)]
pub struct Guard {
    ledger: Rc<Ledger>,
    policy: Rc<Policy>,
    region: Option<Placement>,
    control: Control,
    tree: RefCell<SubsurfaceTree>,
    mirrors: RefCell<Mirrors>,
    captures: Cell<u32>,
}

/// What buffers have covered of the mirrors of a connection. Every mirror in it has a page at least, so that the
/// limit of the VM's shared memory bounds the number too.
#[derive(Debug, Default)]
struct Mirrors {
    covered: BTreeMap<FileId, Coverage>,
    share: Option<Share>,
}

impl Guard {
    /// The guard of a connection that is ended by `control`.
    #[must_use]
    pub fn new(
        ledger: Rc<Ledger>,
        policy: Rc<Policy>,
        region: Option<Placement>,
        control: Control,
    ) -> Rc<Self> {
        let (tree, mirrors, captures) = Default::default();
        Rc::new(Self { ledger, policy, region, control, tree, mirrors, captures })
    }

    /// Which globals the VM sees.
    pub(super) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The VM's counts.
    #[must_use]
    pub fn ledger(&self) -> &Rc<Ledger> {
        &self.ledger
    }

    /// Which memory is the VM's region.
    #[must_use]
    pub fn region(&self) -> Option<Placement> {
        self.region
    }

    /// The tree of subsurfaces.
    pub(super) fn tree(&self) -> &RefCell<SubsurfaceTree> {
        &self.tree
    }

    /// Refuses a request with an error on `object`.
    pub(super) fn refuse<O: Object>(&self, object: &Rc<O>, code: u32, text: &dyn Display) {
        self.control.refuse(object, code, &message(text));
    }

    /// Ends the connection because of what no handler sees: how much is sent, how fast, or in what shape.
    pub fn refuse_stream(&self, code: WlDisplayError, text: &dyn Display) {
        self.control.refuse_display(code, &message(text));
    }

    /// Takes part of a limit for a new object, or refuses the request.
    pub(super) fn take(&self, kind: Kind, amount: u64) -> Option<Share> {
        match self.ledger.take(kind, amount) {
            Ok(share) => Some(share),
            Err(exceeded) => {
                self.refuse_exceeded(exceeded);
                None
            }
        }
    }

    /// Counts the part of a mirror that a new buffer is made of, until the connection ends; or refuses the request.
    pub(super) fn cover(&self, mirror: FileId, offset: u64, len: u64) -> bool {
        let Mirrors { covered, share } = &mut *self.mirrors.borrow_mut();
        let missing = covered.get(&mirror).map_or_else(
            || Coverage::default().missing(offset, len),
            |coverage| coverage.missing(offset, len),
        );
        let taken = match self.ledger.take(Kind::ShmBytes, missing) {
            Ok(taken) => taken,
            Err(exceeded) => {
                self.refuse_exceeded(exceeded);
                return false;
            }
        };
        Share::collect(share, taken);
        covered.entry(mirror).or_default().add(offset, len);
        true
    }

    /// Counts a new capture session, or refuses the request.
    pub(super) fn begin_capture(&self) -> bool {
        let live = self.captures.get().saturating_add(1);
        if live > MAX_CAPTURE_SESSIONS {
            let text = format_args!("a client may have {MAX_CAPTURE_SESSIONS} capture sessions");
            self.refuse_stream(WlDisplayError::NO_MEMORY, &text);
            return false;
        }
        self.captures.set(live);
        true
    }

    /// A capture session was destroyed.
    pub(super) fn end_capture(&self) {
        self.captures.set(self.captures.get().saturating_sub(1));
    }

    /// Refuses a request because of a limit. Clients know `no_memory` from compositors at their own limits.
    pub fn refuse_exceeded(&self, exceeded: Exceeded) {
        self.refuse_stream(WlDisplayError::NO_MEMORY, &exceeded);
    }
}

/// The text of an error event: short, and without the byte that ends strings.
fn message(text: &dyn Display) -> String {
    let mut message = format!("{MESSAGE_PREFIX}{text}");
    message.retain(|c| c != '\0');
    let end = (0..=MAX_MESSAGE).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0);
    if message.len() > MAX_MESSAGE {
        message.truncate(end);
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_bounded_and_have_no_nul() {
        let message = message(&format!("a\0b{}", "é".repeat(4000)));
        assert!(message.starts_with("vitrail-gate: abé"));
        assert!(message.len() <= MAX_MESSAGE);
    }
}
