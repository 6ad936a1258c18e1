//! Whether the session is locked, and who may unlock it.
//!
//! # Model
//!
//! Any local program may lock the session; from that moment nothing of any client but its own lock surface is drawn or gets
//! input. The program is told that the session is locked once a frame without windows has been drawn on every output. Only it can unlock. If
//! it goes without that, the session stays locked, and another program may take its place.
//!
//! # Invariants
//!
//! * A lock ends only by [`Lock::unlock`] of the program that holds it and was told so, or before it was told so by its
//!   [`Lock::cancel`], if the session was not locked before.
//! * There are surfaces to draw only while somebody holds the lock, at most one for each output, and they are theirs.

use super::outputs::OutputId;

/// The lock: `L` stands for the program that locks, `S` for its surfaces.
#[derive(Debug)]
pub struct Lock<L, S> {
    locked: bool,
    holder: Option<Holder<L, S>>,
}

#[derive(Debug)]
struct Holder<L, S> {
    locker: L,
    /// At most one for each output.
    surfaces: Vec<(OutputId, S)>,
    /// It was told that the session is locked.
    told: bool,
    /// The session was locked already when it came.
    took_over: bool,
}

impl<L, S> Default for Lock<L, S> {
    fn default() -> Self {
        Self { locked: false, holder: None }
    }
}

impl<L: PartialEq, S> Lock<L, S> {
    /// A session that is locked, and no program is there that could unlock it: one has to take over.
    #[must_use]
    pub fn locked() -> Self {
        Self { locked: true, holder: None }
    }

    /// Whether nothing but the lock may be shown.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.locked
    }

    /// Locks the session for a program; false if another one holds the lock.
    pub fn lock(&mut self, locker: L) -> bool {
        if self.holder.is_some() {
            return false;
        }
        let took_over = std::mem::replace(&mut self.locked, true);
        self.holder = Some(Holder { locker, surfaces: Vec::new(), told: false, took_over });
        true
    }

    /// Ends the lock; false, and nothing changes, if the program does not hold it or was not told that it does.
    pub fn unlock(&mut self, locker: &L) -> bool {
        let may = self.held_by(locker).is_some_and(|holder| holder.told);
        if may {
            *self = Self::default();
        }
        may
    }

    /// A program that holds the lock wants it no more; false, and nothing changes, if it was told that it holds it already.
    /// What was locked before stays locked.
    pub fn cancel(&mut self, locker: &L) -> bool {
        match self.held_by(locker) {
            Some(holder) if holder.told => return false,
            Some(holder) => {
                self.locked = holder.took_over;
                self.holder = None;
            }
            None => {}
        }
        true
    }

    /// A program is gone. If it held the lock, the session stays locked, without it and its surface.
    pub fn locker_gone(&mut self, locker: &L) {
        if self.held_by(locker).is_some() {
            self.holder = None;
        }
    }

    /// A frame without windows was drawn: returns who has to be told, once.
    pub fn drawn(&mut self) -> Option<&L> {
        let holder = self.holder.as_mut().filter(|holder| !holder.told)?;
        holder.told = true;
        Some(&holder.locker)
    }

    /// Whether somebody waits for a frame without windows.
    #[must_use]
    pub fn awaits_frame(&self) -> bool {
        self.holder.as_ref().is_some_and(|holder| !holder.told)
    }

    /// Whether a program holds the lock and has no surface on an output yet.
    #[must_use]
    pub fn has_room(&self, locker: &L, output: OutputId) -> bool {
        self.held_by(locker).is_some_and(|holder| holder.surfaces.iter().all(|(other, _)| *other != output))
    }

    /// Whether a program holds the lock.
    #[must_use]
    pub fn is_held_by(&self, locker: &L) -> bool {
        self.held_by(locker).is_some()
    }

    /// Sets the surface on an output of the program that holds the lock; of another one it is dropped.
    pub fn set_surface(&mut self, locker: &L, output: OutputId, surface: S) {
        if let Some(holder) = self.holder.as_mut().filter(|holder| holder.locker == *locker) {
            holder.surfaces.retain(|(other, _)| *other != output);
            holder.surfaces.push((output, surface));
        }
    }

    /// Forgets the surfaces that are gone. Returns whether there were any.
    pub fn surfaces_gone(&mut self, is_gone: impl Fn(OutputId, &S) -> bool) -> bool {
        let Some(holder) = &mut self.holder else { return false };
        let before = holder.surfaces.len();
        holder.surfaces.retain(|(output, surface)| !is_gone(*output, surface));
        holder.surfaces.len() != before
    }

    /// The surfaces that are shown while the session is locked, with their outputs.
    pub fn placed(&self) -> impl Iterator<Item = &(OutputId, S)> {
        self.holder.iter().flat_map(|holder| &holder.surfaces)
    }

    /// The same without their outputs.
    pub fn surfaces(&self) -> impl Iterator<Item = &S> {
        self.placed().map(|(_, surface)| surface)
    }

    /// The surface that an output shows while the session is locked, if there is one.
    #[must_use]
    pub fn surface_on(&self, output: OutputId) -> Option<&S> {
        self.placed().find(|(other, _)| *other == output).map(|(_, surface)| surface)
    }

    fn held_by(&self, locker: &L) -> Option<&Holder<L, S>> {
        self.holder.as_ref().filter(|holder| holder.locker == *locker)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_program_that_locked_unlocks_and_only_after_it_was_told() {
        let mut lock: Lock<u32, u32> = Lock::default();
        assert!(lock.lock(1) && lock.is_locked());
        assert!(!lock.lock(2), "another one is refused");
        assert!(!lock.unlock(&2) && !lock.unlock(&1), "nobody knows yet that it is locked");
        assert_eq!(lock.drawn(), Some(&1));
        assert_eq!(lock.drawn(), None, "told once");
        assert!(!lock.cancel(&1) && !lock.unlock(&2) && lock.is_locked());
        assert!(lock.unlock(&1) && !lock.is_locked());
    }

    #[test]
    fn a_crash_keeps_it_locked_and_another_program_may_take_over() {
        let mut lock: Lock<u32, u32> = Lock::default();
        lock.lock(1);
        lock.set_surface(&1, OutputId::FIRST, 10);
        lock.drawn();
        lock.locker_gone(&1);
        assert!(lock.is_locked() && lock.surfaces().count() == 0);
        assert!(lock.lock(2));
        assert!(lock.cancel(&2) && lock.is_locked(), "what was locked before stays so");
        assert!(lock.lock(3));
        lock.drawn();
        assert!(lock.unlock(&3) && !lock.is_locked());
    }

    #[test]
    fn what_begins_locked_is_unlocked_by_a_program_that_took_over_and_was_told() {
        let mut lock: Lock<u32, u32> = Lock::locked();
        assert!(lock.is_locked() && lock.surfaces().count() == 0 && !lock.unlock(&1));
        assert!(lock.lock(1));
        assert!(lock.cancel(&1) && lock.is_locked());
        assert!(lock.lock(2));
        lock.drawn();
        assert!(lock.unlock(&2) && !lock.is_locked());
    }

    #[derive(Clone, Copy, Debug)]
    enum Op {
        Lock(u32),
        Unlock(u32),
        Cancel(u32),
        Gone(u32),
        Drawn,
        Surface(u32),
    }

    fn op() -> impl Strategy<Value = Op> {
        let who = || 0..3_u32;
        prop_oneof![
            who().prop_map(Op::Lock),
            who().prop_map(Op::Unlock),
            who().prop_map(Op::Cancel),
            who().prop_map(Op::Gone),
            Just(Op::Drawn),
            who().prop_map(Op::Surface),
        ]
    }

    proptest! {
        #[test]
        fn once_somebody_was_told_it_stays_locked_until_the_holder_unlocks(
            ops in proptest::collection::vec(op(), 1..60),
        ) {
            let mut lock: Lock<u32, u32> = Lock::default();
            // Whoever holds it, and whether anybody was told since it was last unlocked.
            let (mut holder, mut told) = (None, false);
            for op in ops {
                match op {
                    Op::Lock(who) => {
                        let took = lock.lock(who);
                        prop_assert_eq!(took, holder.is_none());
                        holder = holder.or(Some(who));
                    }
                    Op::Unlock(who) => {
                        if lock.unlock(&who) {
                            prop_assert_eq!(holder, Some(who));
                            (holder, told) = (None, false);
                        }
                    }
                    Op::Cancel(who) => {
                        if lock.cancel(&who) && holder == Some(who) {
                            holder = None;
                        }
                    }
                    Op::Gone(who) => {
                        lock.locker_gone(&who);
                        holder = holder.filter(|holder| *holder != who);
                    }
                    Op::Drawn => told |= lock.drawn().is_some(),
                    Op::Surface(who) => lock.set_surface(&who, OutputId::FIRST, who),
                }
                prop_assert!(!told || lock.is_locked());
                prop_assert!(holder.is_none() || lock.is_locked());
                prop_assert!(lock.surfaces().all(|surface| Some(*surface) == holder));
            }
        }
    }
}
