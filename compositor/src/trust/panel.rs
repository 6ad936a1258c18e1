//! The trusted panel: what the user may do to VMs, whatever they do.
//!
//! # Model
//!
//! The panel has a row for the GUI VM's own programs and one for each configured VM, connected or not, so that no row moves
//! while it is open. A row offers [`Operation`]s; below the rows there is what closes the panel. One of all these is chosen,
//! and in the beginning that is the one that closes.
//!
//! # Invariants
//!
//! * What is chosen is always something that is offered.
//! * Nothing is done before the panel was looked at ([`Arming`]); a panel whose rows are others than before is a new one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::arming::Arming;
use super::origin::Origin;

/// What can be done to a VM, or taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Its windows are not shown.
    Hide,
    /// It gets no input.
    Pause,
    /// Its connections are ended, and it gets no new ones.
    Disconnect,
}

impl Operation {
    /// All of them, in the order in which they stand in a row.
    pub const ALL: [Self; 3] = [Self::Hide, Self::Pause, Self::Disconnect];

    /// How a VM is to which it has been done.
    #[must_use]
    pub fn state(self) -> &'static str {
        match self {
            Self::Hide => "hidden",
            Self::Pause => "input paused",
            Self::Disconnect => "disconnected",
        }
    }

    /// Whether this can be done to an origin. Programs of the GUI VM itself are what the user would take it back with.
    #[must_use]
    pub fn applies_to(self, origin: &Origin) -> bool {
        origin.is_vm() || self == Self::Hide
    }
}

/// What Enter does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// Closes the panel.
    #[default]
    Close,
    /// Does something to the VM of a row.
    Row(usize, Operation),
}

/// The way to another choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// To the row above.
    Up,
    /// To the row below.
    Down,
    /// Within the row.
    Left,
    /// Within the row.
    Right,
    /// To whatever comes next.
    Next,
    /// To whatever comes before.
    Previous,
}

/// The panel while it is open.
#[derive(Clone, Debug)]
pub struct Panel {
    /// When it takes an answer.
    pub arming: Arming,
    rows: Vec<Origin>,
    choice: Choice,
    seen: bool,
}

impl Panel {
    /// A panel with these rows that is in sight from now on.
    #[must_use]
    pub fn new(rows: Vec<Origin>, now: Duration) -> Self {
        Self { arming: Arming::new(now), rows, choice: Choice::Close, seen: true }
    }

    /// The rows from the top.
    #[must_use]
    pub fn rows(&self) -> &[Origin] {
        &self.rows
    }

    /// What Enter does.
    #[must_use]
    pub fn choice(&self) -> Choice {
        self.choice
    }

    /// What a choice is about, if it is offered.
    #[must_use]
    pub fn offered(&self, choice: Choice) -> Option<(&Origin, Operation)> {
        let Choice::Row(row, operation) = choice else { return None };
        self.rows.get(row).filter(|origin| operation.applies_to(origin)).map(|origin| (origin, operation))
    }

    /// Whether it is in sight. Once it is after it was not, it is as if it were new.
    pub fn see(&mut self, seen: bool, now: Duration) {
        if seen && !self.seen {
            self.arming.disturb(now);
        }
        self.seen = seen;
    }

    /// Takes other rows over, if they are others.
    pub fn follow(&mut self, rows: Vec<Origin>, now: Duration) {
        if rows != self.rows {
            *self = Self { arming: self.arming.clone(), ..Self::new(rows, now) };
            self.arming.disturb(now);
        }
    }

    /// The user goes on to another choice.
    pub fn step(&mut self, step: Step) {
        let all = self.choices();
        let at = all.iter().position(|choice| *choice == self.choice).unwrap_or(0);
        let count = all.len().max(1);
        let next = |at: usize, forwards: bool| (at + if forwards { 1 } else { count - 1 }) % count;
        let get = |at: usize| all.get(at).copied().unwrap_or_default();
        self.choice = match (step, self.choice) {
            (Step::Next, _) => get(next(at, true)),
            (Step::Previous, _) => get(next(at, false)),
            (Step::Left | Step::Right, Choice::Row(row, _)) => {
                let other = get(next(at, step == Step::Right));
                if matches!(other, Choice::Row(same, _) if same == row) { other } else { self.choice }
            }
            (Step::Left | Step::Right, Choice::Close) => Choice::Close,
            (Step::Down | Step::Up, choice) => self.beside(choice, step == Step::Down),
        };
    }

    /// The choice in the row above or below, around the ends.
    fn beside(&self, choice: Choice, down: bool) -> Choice {
        let (row, operation) = match choice {
            Choice::Row(row, operation) => (Some(row), operation),
            Choice::Close => (None, Operation::Hide),
        };
        let to = match (row, down) {
            (None, true) => Some(0),
            (None, false) => self.rows.len().checked_sub(1),
            (Some(row), true) => Some(row + 1),
            (Some(row), false) => row.checked_sub(1),
        };
        let Some((to, origin)) = to.and_then(|to| Some((to, self.rows.get(to)?))) else {
            return Choice::Close;
        };
        Choice::Row(to, if operation.applies_to(origin) { operation } else { Operation::Hide })
    }

    /// All that is offered, in reading order.
    fn choices(&self) -> Vec<Choice> {
        let rows = self.rows.iter().enumerate().flat_map(|(row, origin)| {
            let offered = Operation::ALL.into_iter().filter(|operation| operation.applies_to(origin));
            offered.map(move |operation| Choice::Row(row, operation))
        });
        rows.chain([Choice::Close]).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const T: fn(u64) -> Duration = Duration::from_millis;

    fn rows(vms: usize) -> Vec<Origin> {
        let vms = (0..vms).map(|index| Origin::Vm(format!("vm{index}").parse().unwrap()));
        std::iter::once(Origin::Local).chain(vms).collect()
    }

    fn step() -> impl Strategy<Value = Step> {
        use Step::{Down, Left, Next, Previous, Right, Up};
        prop_oneof![Just(Up), Just(Down), Just(Left), Just(Right), Just(Next), Just(Previous)]
    }

    proptest! {
        #[test]
        fn what_is_chosen_is_offered(vms in 0..6usize, steps in proptest::collection::vec(step(), 0..40), fewer in 0..6usize) {
            let mut panel = Panel::new(rows(vms), T(0));
            let offered = |panel: &Panel| panel.choice() == Choice::Close || panel.offered(panel.choice()).is_some();
            prop_assert_eq!(panel.choice(), Choice::Close);
            for step in steps {
                panel.step(step);
                prop_assert!(offered(&panel), "{step:?}: {:?}", panel.choice());
            }
            panel.follow(rows(fewer), T(5));
            prop_assert!(offered(&panel));
        }
    }

    #[test]
    fn everything_that_is_offered_is_reached_with_tab_and_with_arrows() {
        let mut panel = Panel::new(rows(2), T(0));
        let mut by_tab = Vec::new();
        for _ in 0..8 {
            panel.step(Step::Next);
            by_tab.push(panel.choice());
        }
        use Operation::{Disconnect, Hide, Pause};
        let row = Choice::Row;
        let all =
            [row(0, Hide), row(1, Hide), row(1, Pause), row(1, Disconnect), row(2, Hide), row(2, Pause)];
        assert_eq!(by_tab[..6], all);
        assert_eq!(by_tab[6..], [row(2, Disconnect), Choice::Close]);
        panel.step(Step::Up);
        panel.step(Step::Right);
        panel.step(Step::Right);
        panel.step(Step::Right);
        assert_eq!(panel.choice(), row(2, Disconnect), "the end of a row is its end");
        panel.step(Step::Up);
        assert_eq!(panel.choice(), row(1, Disconnect));
        panel.step(Step::Up);
        assert_eq!(panel.choice(), row(0, Hide), "local programs can be hidden alone");
        panel.step(Step::Up);
        assert_eq!(panel.choice(), Choice::Close);
        panel.step(Step::Down);
        assert_eq!(panel.choice(), row(0, Hide));
    }

    #[test]
    fn a_panel_with_other_rows_or_back_in_sight_is_looked_at_again() {
        let mut panel = Panel::new(rows(2), T(0));
        assert!(!panel.arming.is_armed(T(999)) && panel.arming.is_armed(T(1000)));
        panel.step(Step::Next);
        panel.follow(rows(2), T(1000));
        assert!(panel.arming.is_armed(T(1000)) && panel.choice() != Choice::Close);
        panel.follow(rows(3), T(1000));
        assert!(!panel.arming.is_armed(T(1999)) && panel.choice() == Choice::Close);
        panel.see(false, T(2500));
        panel.see(true, T(3000));
        assert!(!panel.arming.is_armed(T(3999)) && panel.arming.is_armed(T(4000)));
    }
}
