//! How much of a client is handled in one turn of the event loop: as much as is expected to take so long, and no more.
//!
//! Pure, so that it is tested without sockets: the times are the caller's.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use super::throttle::BUDGET;

/// Bytes taken from one client in one turn, at least: no message is so long that several turns would not take it.
const LEAST: usize = 256;
/// How long the handling of what one client has sent may take in one turn.
pub const COST: Duration = Duration::from_millis(2);
/// How long the handling of what all clients of one origin have sent may take in one turn, as far as each gets something.
pub const SHARE: Duration = Duration::from_millis(4);
/// What a client of many gets at least.
const LEAST_COST: Duration = Duration::from_micros(100);
/// The clients of one origin that are served at the same time, counted: they share what the origin may take of a turn.
#[derive(Clone, Debug, Default)]
pub struct Company(Rc<Turns>);

#[derive(Debug, Default)]
struct Turns {
    /// Which turn it is.
    turn: Cell<u64>,
    /// Clients that were served in the turn, and in the last one in which any was.
    now: Cell<u32>,
    before: Cell<u32>,
}

impl Company {
    /// A client is served in a turn of this number; what it may take of it.
    pub fn serve(&self, turn: u64) -> Duration {
        let Turns { turn: known, now, before } = &*self.0;
        if known.replace(turn) != turn {
            before.set(now.replace(0));
        }
        now.set(now.get().saturating_add(1));
        // Who is served later in this turn is not known yet: about as many as in the last one.
        let company = now.get().max(before.get()).max(1);
        (SHARE / company).clamp(LEAST_COST, COST)
    }
}

/// The budget of one client, which follows what its requests have cost.
#[derive(Debug)]
pub struct Budget {
    bytes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { bytes: BUDGET }
    }
}

impl Budget {
    /// Bytes that may be taken in the next turn.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What was handled was `handled` bytes, which took `took`, where `may` would have been enough.
    pub fn learn(&mut self, handled: usize, took: Duration, may: Duration) {
        if took > may && handled > 0 {
            let nanos = |length: Duration| usize::try_from(length.as_nanos()).unwrap_or(usize::MAX);
            let fits = handled.saturating_mul(nanos(may)) / nanos(took).max(1);
            self.bytes = fits.clamp(LEAST, BUDGET);
        } else if took < may / 2 {
            self.bytes = self.bytes.saturating_mul(2).min(BUDGET);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Requests that cost much are taken few at a time, and more again when they are cheap.
    #[test]
    fn a_budget_follows_what_requests_cost() {
        let mut budget = Budget { bytes: BUDGET };
        budget.learn(BUDGET, COST * 8, COST);
        assert_eq!(budget.bytes, BUDGET / 8);
        budget.learn(BUDGET / 8, COST * 3 / 4, COST);
        assert_eq!(budget.bytes, BUDGET / 8);
        for _ in 0..8 {
            budget.learn(64, Duration::ZERO, COST);
        }
        assert_eq!(budget.bytes, BUDGET);
        budget.learn(BUDGET, Duration::from_secs(100), COST);
        assert_eq!(budget.bytes, LEAST);
    }

    #[test]
    fn clients_of_one_origin_share_what_it_may_take_of_a_turn() {
        let company = Company::default();
        assert_eq!(company.serve(1), COST);
        assert_eq!([(); 8].map(|()| company.serve(2)).last(), Some(&(SHARE / 8)));
        // In the next turn as many are expected.
        assert_eq!(company.serve(3), SHARE / 8);
        assert_eq!(company.serve(4), COST);
    }
}
