//! When a window that has a whole output has the stripe's place too, and when its label is shown again.
//!
//! # Model
//!
//! The stripe is away while the window with the keyboard has all of its output, and nothing else is going on: no panel, question,
//! overlay or X-ray, no window in the user's hand, no picture that is taken, no mistake in the configuration, no launcher, no
//! lock. Whenever that begins the stripe is shown for a while first, so a change of focus, the end of the trusted panel and a
//! new fullscreen window all show whose screen it is. So does the pointer when it moves after a rest.
//!
//! # Invariants
//!
//! * A stripe that is shown is above the window, and the window's ring and tab are there at all times.
//! * The chord that takes the input back leaves fullscreen too, and no client gets it.

use std::time::Duration;

use calloop::RegistrationToken;
use calloop::timer::{TimeoutAction, Timer};

use super::Input;
use crate::config::fullscreen::FullscreenRule;
use crate::shell::window::{Mode, WindowId};
use crate::state::{Comp, State};

/// After so long without a movement the pointer has rested.
const REST: Duration = Duration::from_secs(3);

/// What is kept of the window that has a whole output.
#[derive(Debug, Default)]
pub(crate) struct Flash {
    /// The window, while nothing else is going on.
    window: Option<WindowId>,
    /// Until when the stripe is shown nevertheless.
    until: Duration,
    /// When the pointer moved last.
    moved: Duration,
    timer: Option<RegistrationToken>,
    /// A window whose label could not be drawn, so that the stripe is needed.
    pub(crate) failed: Option<WindowId>,
}

impl Input {
    /// As if the pointer had not moved for so long. For tests.
    pub fn rest_pointer(&mut self, long: Duration) {
        let flash = &mut self.trusted.flash;
        flash.moved = flash.moved.saturating_sub(long);
    }
}

impl State {
    /// Lets the stripe go or come back; after each turn of the event loop.
    pub(crate) fn plan_fullscreen(&mut self) {
        let (now, window) = (self.comp.now(), self.comp.alone_on_output());
        let flash = &mut self.comp.input.trusted.flash;
        if flash.window != window {
            flash.window = window;
            self.flash_label();
        }
        let shown = now < self.comp.input.trusted.flash.until;
        let output = window.filter(|_| !shown).and_then(|_| self.comp.shell.taken_output());
        if self.comp.shell.set_retreated(output) {
            self.windows_changed();
        }
    }

    /// The pointer was moved.
    pub(super) fn pointer_moves(&mut self) {
        let now = self.comp.now();
        let flash = &mut self.comp.input.trusted.flash;
        let rested = now.saturating_sub(flash.moved) >= REST;
        flash.moved = now;
        if rested {
            self.flash_label();
        }
    }

    /// Shows the stripe for a while over the window that has a whole output, if one does.
    fn flash_label(&mut self) {
        let (now, lasts) = (self.comp.now(), self.comp.config.current().theme.fullscreen_flash);
        let flash = &mut self.comp.input.trusted.flash;
        if flash.window.is_none() {
            return;
        }
        flash.until = now.saturating_add(lasts);
        if flash.timer.is_some() {
            return;
        }
        let inserted = self.comp.events.insert_source(Timer::from_duration(lasts), |_, (), state| {
            let now = state.comp.now();
            let flash = &mut state.comp.input.trusted.flash;
            if now < flash.until {
                return TimeoutAction::ToDuration(flash.until.saturating_sub(now));
            }
            flash.timer = None;
            TimeoutAction::Drop
        });
        match inserted {
            Ok(timer) => self.comp.input.trusted.flash.timer = Some(timer),
            Err(error) => tracing::error!("error arming the timer of a label: {error}"),
        }
    }

    /// Takes the whole output from the window with the keyboard, if it has one.
    pub(super) fn leave_fullscreen(&mut self) {
        let shell = &self.comp.shell;
        if let Some(id) = shell.focused().filter(|window| shell.is_real(window)).map(|window| window.id) {
            self.lay_out(id, Mode::Floating);
        }
    }

    /// Makes the windows follow what the configuration says of fullscreen.
    pub(crate) fn configure_fullscreen(&mut self) {
        self.comp.input.trusted.flash.failed = None;
        self.comp.follow_fullscreen_rules();
        let full = self.comp.shell.bottom_up().filter(|window| window.mode == Mode::Fullscreen);
        let full: Vec<_> = full.map(|window| (window.id, window.origin.clone())).collect();
        for (id, origin) in full {
            if self.comp.config.current().fullscreen_rule(&origin) == FullscreenRule::Deny {
                self.lay_out(id, Mode::Maximized);
            } else {
                self.configure(id);
                if let Some(window) =
                    self.comp.shell.get(id).filter(|window| window.handle.is_initial_configure_sent())
                {
                    window.handle.send_pending_configure();
                }
            }
        }
    }
}

impl Comp {
    /// Tells the model whose windows may have a whole output.
    pub(crate) fn follow_fullscreen_rules(&mut self) {
        let config = self.config.current().clone();
        let real = self.panel_rows().into_iter();
        let real = real.filter(|origin| config.fullscreen_rule(origin) == FullscreenRule::Real);
        self.shell.set_real_fullscreen(real);
    }

    /// Whether a window may be in fullscreen.
    pub(crate) fn may_fullscreen(&self, id: WindowId) -> bool {
        let origin = self.shell.get(id).map(|window| &window.origin);
        origin.is_some_and(|origin| self.config.current().fullscreen_rule(origin) != FullscreenRule::Deny)
    }

    /// The window that has its output for itself, if nothing else is to be seen there.
    fn alone_on_output(&self) -> Option<WindowId> {
        self.shell.taken_output()?;
        let window = self.focused_window()?;
        let busy = self.overlay_has_input()
            || self.is_xray()
            || self.input.interaction.is_some()
            || self.input.held.placement().is_some()
            || self.is_paused(&window.origin)
            || self.input.trusted.flash.failed == Some(window.id)
            || self.config.error().is_some()
            || self.captures.in_words(self.now()).is_some();
        (!busy).then_some(window.id)
    }
}
