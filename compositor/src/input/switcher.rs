//! Choosing a window: the overlay is shown while the modifier of its chord is held.
//!
//! # Model
//!
//! The chord opens the overlay on the window that was used before this one, and steps on when it is pressed again, as the
//! arrow keys do. Releasing the modifier or pressing Enter brings the chosen window up, a click on a picture that one, and
//! Escape or a click beside them all leaves everything as it was.
//!
//! # Invariants
//!
//! * While it is shown no client, and no input method, gets a key press or anything of the pointer. Keys that were held before
//!   are released to whoever had them.
//! * A locked session has none: it goes when the session is locked, and nothing is chosen by that.
//! * The list is made of windows of the current workspace, the user's last one first, and loses those that go.

use smithay::input::keyboard::{Keysym, ModifiersState};
use smithay::utils::{Physical, Point};

use super::chord::Modifiers;
use crate::render::switcher::Grid;
use crate::shell::window::WindowId;
use crate::state::State;

/// The windows to choose from, and the one that is chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switcher {
    windows: Vec<WindowId>,
    chosen: usize,
    modifiers: Modifiers,
}

impl Switcher {
    /// The windows, the one used last first. Never empty.
    #[must_use]
    pub fn windows(&self) -> &[WindowId] {
        &self.windows
    }

    /// The place of the chosen one in the list.
    #[must_use]
    pub fn chosen(&self) -> usize {
        self.chosen
    }

    fn step(&mut self, forwards: bool) {
        let count = self.windows.len().max(1);
        self.chosen = (self.chosen + if forwards { 1 } else { count - 1 }) % count;
    }

    /// Drops the windows that are not wanted any more; whether there are others.
    fn retain(&mut self, wanted: impl Fn(WindowId) -> bool) -> bool {
        let before = self.windows.iter().take(self.chosen).filter(|id| wanted(**id)).count();
        self.windows.retain(|id| wanted(*id));
        self.chosen = before.min(self.windows.len().saturating_sub(1));
        !self.windows.is_empty()
    }
}

impl State {
    /// Opens the overlay, or goes on to the next or previous window. Without a modifier that could be released, that window
    /// comes up at once.
    pub(crate) fn switch_window(&mut self, forwards: bool) {
        if let Some(switcher) = &mut self.comp.input.switcher {
            switcher.step(forwards);
            self.comp.schedule.request();
            return;
        }
        let windows = self.comp.shell.switch_order();
        let focused = self.comp.focused_window().map(|window| window.id);
        let Some(first) = windows.first().copied() else { return };
        let held =
            self.comp.seat.get_keyboard().map(|keyboard| keyboard.modifier_state()).unwrap_or_default();
        let mut switcher = Switcher { windows, chosen: 0, modifiers: Modifiers::from(&held) };
        if Some(first) == focused || !forwards {
            switcher.step(forwards);
        }
        let at_once = !switcher.modifiers.strong();
        self.comp.input.interaction = None;
        self.comp.input.switcher = Some(switcher);
        self.comp.schedule.request();
        if at_once {
            self.close_switcher(true);
        }
    }

    /// A key was pressed while the overlay is shown: it is the compositor's.
    pub(super) fn press_in_switcher(&mut self, key: Keysym) {
        match key {
            Keysym::Escape => self.close_switcher(false),
            Keysym::Return | Keysym::KP_Enter => self.close_switcher(true),
            Keysym::Right | Keysym::Down => self.switch_window(true),
            Keysym::Left | Keysym::Up => self.switch_window(false),
            _ => {}
        }
    }

    /// The modifiers have changed: without those of its chord, the overlay is closed and the chosen window comes up.
    pub(super) fn settle_switcher(&mut self, now: &ModifiersState) {
        if self.comp.input.switcher.as_ref().is_some_and(|switcher| !switcher.modifiers.held(now)) {
            self.close_switcher(true);
        }
    }

    /// A button was pressed while the overlay is shown.
    pub(super) fn click_in_switcher(&mut self, at: Point<i32, Physical>) {
        let layout = *self.comp.shell.layout();
        let Some(switcher) = &mut self.comp.input.switcher else { return };
        let grid = Grid::new(&layout, switcher.windows.len(), switcher.chosen);
        match grid.at(&layout, at) {
            Some(index) => {
                switcher.chosen = index;
                self.close_switcher(true);
            }
            None if !grid.panel.contains(at) => self.close_switcher(false),
            None => {}
        }
    }

    pub(super) fn close_switcher(&mut self, activate: bool) {
        let Some(switcher) = self.comp.input.switcher.take() else { return };
        self.stop_repeat();
        if let Some(id) = switcher.windows.get(switcher.chosen).filter(|_| activate) {
            self.comp.shell.activate(*id);
            self.comp.layers.choose_none();
        }
        self.windows_changed();
        // The pointer may have moved meanwhile.
        self.send_motion();
    }

    /// Windows have gone, or other ones are on the screen now.
    pub(super) fn prune_switcher(&mut self) {
        let order = self.comp.shell.switch_order();
        if let Some(switcher) = &mut self.comp.input.switcher
            && !switcher.retain(|id| order.contains(&id))
        {
            self.comp.input.switcher = None;
            self.stop_repeat();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chosen_window_stays_chosen_while_others_go() {
        let windows = [1, 2, 3, 4].map(WindowId).to_vec();
        let mut switcher = Switcher { windows, chosen: 2, modifiers: Modifiers::default() };
        assert!(switcher.retain(|id| id != WindowId(1)));
        assert_eq!(switcher.windows()[switcher.chosen()], WindowId(3));
        assert!(switcher.retain(|id| id != WindowId(3)));
        assert_eq!(switcher.windows()[switcher.chosen()], WindowId(4));
        switcher.step(true);
        assert_eq!(switcher.windows()[switcher.chosen()], WindowId(2));
        assert!(!switcher.retain(|_| false));
    }
}
