//! What a VM holds, counted over all its connections.
//!
//! A [`Ledger`] belongs to one VM and lives in its worker's only thread. Whatever is counted is represented by
//! a [`Share`]: taking one is checked against the VM's [`Limits`], and dropping it gives it back. A share is kept where
//! the thing is kept (in the handler of its Wayland object), so a connection that ends in whatever way returns
//! all that it held. Invariant: each count is the sum of the live shares of its kind.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use vitrail_protocols::{Guard, Limits};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Connections.
    Clients,
    /// `xdg_toplevel` objects.
    Toplevels,
    /// `xdg_popup` objects.
    Popups,
    /// `wl_surface` objects.
    Surfaces,
    /// `wl_shm_pool` objects.
    Pools,
    /// `wl_buffer` objects.
    Buffers,
    /// Bytes of shared memory that buffers are made of, or have been.
    ShmBytes,
    /// Rectangles that living regions were made with.
    Rectangles,
    /// Bytes that the types of living clipboard sources take up.
    OfferedBytes,
    /// Objects of all interfaces. They are counted now and then, and only those of clients that have many.
    Objects,
}

const KINDS: usize = 10;

/// Objects of a VM. Browsers have some thousands, other clients hundreds. What a client has given up since it was counted last counts
/// still, so that this must be far above what a VM needs.
const MAX_OBJECTS: u64 = 131_072;

/// Rectangles of all regions of a VM together. A region is given to a surface and destroyed, so that few live at a time.
const MAX_RECTANGLES: u64 = 65_536;

/// Bytes of the types that all clipboard sources of a VM offer together. An office suite offers some thousand bytes, and a client
/// needs few sources at a time.
const MAX_OFFERED_BYTES: u64 = 1 << 20;

impl Kind {
    fn limit(self, limits: &Limits) -> u64 {
        if !Guard::Counts.holds() {
            return u64::MAX;
        }
        match self {
            Self::Clients => limits.clients.into(),
            Self::Toplevels => limits.toplevels.into(),
            Self::Popups => limits.popups.into(),
            Self::Surfaces => limits.surfaces.into(),
            Self::Pools => limits.pools.into(),
            Self::Buffers => limits.buffers.into(),
            Self::ShmBytes => u64::from(limits.shm_mib) << 20,
            Self::Rectangles => MAX_RECTANGLES,
            Self::OfferedBytes => MAX_OFFERED_BYTES,
            Self::Objects => MAX_OBJECTS,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Clients => "connections",
            Self::Toplevels => "windows",
            Self::Popups => "popups",
            Self::Surfaces => "surfaces",
            Self::Pools => "shared memory pools",
            Self::Buffers => "buffers",
            Self::ShmBytes => "bytes of shared memory",
            Self::Rectangles => "rectangles in regions",
            Self::OfferedBytes => "bytes of types in clipboard sources",
            Self::Objects => "objects",
        }
    }
}

/// A limit that the VM has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    kind: Kind,
    limit: u64,
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the VM may have {} {}", self.limit, self.kind.name())
    }
}

impl std::error::Error for Exceeded {}

/// The counts of one VM.
#[derive(Debug)]
pub struct Ledger {
    limits: Limits,
    counts: [Cell<u64>; KINDS],
}

/// Part of what a VM may hold; given back when dropped.
#[derive(Debug)]
pub struct Share {
    ledger: Rc<Ledger>,
    kind: Kind,
    amount: u64,
}

impl Ledger {
    /// An empty ledger.
    #[must_use]
    pub fn new(limits: Limits) -> Rc<Self> {
        Rc::new(Self { limits, counts: Default::default() })
    }

    /// The limits that are enforced.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How much of a kind is held now.
    #[must_use]
    pub fn held(&self, kind: Kind) -> u64 {
        self.count(kind).get()
    }

    /// Takes `amount` of a kind.
    ///
    /// # Errors
    /// The VM would hold more than its limit; nothing is taken.
    pub fn take(self: &Rc<Self>, kind: Kind, amount: u64) -> Result<Share, Exceeded> {
        let limit = kind.limit(&self.limits);
        let count = self.count(kind);
        let total = count.get().checked_add(amount).filter(|total| *total <= limit);
        let total = total.ok_or(Exceeded { kind, limit })?;
        count.set(total);
        Ok(Share { ledger: Rc::clone(self), kind, amount })
    }

    fn count(&self, kind: Kind) -> &Cell<u64> {
        let [
            clients,
            toplevels,
            popups,
            surfaces,
            pools,
            buffers,
            shm_bytes,
            rectangles,
            offered_bytes,
            objects,
        ] = &self.counts;
        match kind {
            Kind::Clients => clients,
            Kind::Toplevels => toplevels,
            Kind::Popups => popups,
            Kind::Surfaces => surfaces,
            Kind::Pools => pools,
            Kind::Buffers => buffers,
            Kind::ShmBytes => shm_bytes,
            Kind::Rectangles => rectangles,
            Kind::OfferedBytes => offered_bytes,
            Kind::Objects => objects,
        }
    }
}

impl Share {
    /// Joins `share` to what is held already.
    pub fn collect(into: &mut Option<Self>, share: Self) {
        match into {
            Some(held) => held.absorb(share),
            None => *into = Some(share),
        }
    }

    /// Joins another share of the same kind and ledger to this one.
    pub fn absorb(&mut self, mut other: Self) {
        debug_assert!(self.kind == other.kind && Rc::ptr_eq(&self.ledger, &other.ledger));
        // The amount moves here, so that dropping the other share gives nothing back.
        self.amount = self.amount.saturating_add(std::mem::take(&mut other.amount));
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let count = self.ledger.count(self.kind);
        count.set(count.get().saturating_sub(self.amount));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_dropped_can_be_taken_again() {
        let ledger = Ledger::new(Limits { surfaces: 2, ..Limits::default() });
        let first = ledger.take(Kind::Surfaces, 1).unwrap();
        let _second = ledger.take(Kind::Surfaces, 1).unwrap();
        assert_eq!(ledger.take(Kind::Surfaces, 1).unwrap_err().to_string(), "the VM may have 2 surfaces");
        drop(first);
        assert!(ledger.take(Kind::Surfaces, 1).is_ok());
    }

    #[test]
    fn kinds_are_counted_apart() {
        let ledger = Ledger::new(Limits { popups: 0, toplevels: 1, ..Limits::default() });
        assert!(ledger.take(Kind::Popups, 1).is_err());
        assert!(ledger.take(Kind::Toplevels, 1).is_ok());
    }

    #[test]
    fn joined_shares_are_returned_together() {
        let ledger = Ledger::new(Limits { shm_mib: 1, ..Limits::default() });
        let mut share = ledger.take(Kind::ShmBytes, 1000).unwrap();
        share.absorb(ledger.take(Kind::ShmBytes, 500).unwrap());
        assert_eq!(ledger.held(Kind::ShmBytes), 1500);
        drop(share);
        assert_eq!(ledger.held(Kind::ShmBytes), 0);
    }

    proptest! {
        #[test]
        fn the_count_is_the_sum_of_the_shares(steps in proptest::collection::vec((any::<bool>(), 0_u64..1 << 19), 0..40)) {
            let ledger = Ledger::new(Limits { shm_mib: 1, ..Limits::default() });
            let mut shares = Vec::new();
            for (take, amount) in steps {
                if take {
                    shares.extend(ledger.take(Kind::ShmBytes, amount));
                } else {
                    shares.pop();
                }
                let sum: u64 = shares.iter().map(|share: &Share| share.amount).sum();
                prop_assert_eq!(ledger.held(Kind::ShmBytes), sum);
                prop_assert!(sum <= 1 << 20);
            }
        }
    }
}
