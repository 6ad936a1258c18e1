//! The secure attention key, and the trusted panel that it opens.
//!
//! # Model
//!
//! The key is taken before any client, and before the compositor's own overlays and questions. It takes the pointer and the
//! shortcuts back from every VM at once, closes menus, ends drags, and opens the panel ([`crate::trust::panel`]), which has the
//! keyboard, the pointer, fingers and the pen until it is closed. Escape closes it at any time, because that changes nothing;
//! all else counts once it was looked at ([`crate::trust::arming`]).
//!
//! # Invariants
//!
//! * No VM, input method or virtual keyboard presses the key, keeps it from the compositor, or gets a key or anything of the
//!   pointer while the panel is open.
//! * VMs go on being drawn and told of frames meanwhile: nothing waits for the user.
//! * In a locked session the key does nothing, and nobody gets it: what is behind the lock is not told. The panel is closed by
//!   the lock.

use smithay::input::keyboard::Keysym;
use smithay::utils::{Physical, Point, SERIAL_COUNTER};

use crate::render::panel::Places;
use crate::state::{Comp, State};
use crate::trust::origin::Origin;
use crate::trust::panel::{Choice, Panel, Step};

impl Comp {
    /// Whether the trusted panel is open.
    #[must_use]
    pub fn is_attending(&self) -> bool {
        self.input.trusted.panel.is_some() && !self.lock.is_locked()
    }

    /// Whether the panel takes an answer by now.
    #[must_use]
    pub fn panel_takes_answer(&self) -> bool {
        let armed = self.input.trusted.panel.as_ref().is_some_and(|panel| panel.arming.is_armed(self.now()));
        armed && !self.input.trusted.panel_failed
    }

    /// Where the parts of the panel are, while it is open.
    #[must_use]
    pub fn panel_places(&self) -> Option<Places> {
        self.input.trusted.panel.as_ref().map(|panel| Places::new(self.shell.layout(), panel))
    }

    /// Whether no client holds the pointer, a menu or a drag.
    #[must_use]
    pub fn input_is_free(&self) -> bool {
        let held = self.input.constraints.is_active() || self.popup_grab_active();
        !held && !self.selections.is_dragging()
    }

    /// `local` and every VM of the configuration.
    pub(super) fn panel_rows(&self) -> Vec<Origin> {
        let vms = self.config.current().vms.keys().cloned().map(Origin::Vm);
        std::iter::once(Origin::Local).chain(vms).collect()
    }
}

impl State {
    /// The secure attention key was pressed.
    pub(super) fn attend(&mut self) {
        self.hint_is_known();
        self.end_xray();
        self.question_unseen();
        for origin in self.comp.panel_rows() {
            self.take_back(&origin);
        }
        for (surface, _) in self.comp.windows_with_popups() {
            self.dismiss_popups(&surface);
        }
        if let Some(layer) = self.comp.layers.focused().map(|layer| layer.handle.wl_surface().clone()) {
            self.dismiss_popups(&layer);
        }
        if self.comp.popup_grab_active() {
            let (serial, time) = (SERIAL_COUNTER.next_serial(), self.input_time());
            if let Some(pointer) = self.comp.seat.get_pointer() {
                pointer.unset_grab(self, serial, time);
            }
            if let Some(keyboard) = self.comp.seat.get_keyboard() {
                keyboard.unset_grab(self);
            }
        }
        let now = self.comp.now();
        self.comp.input.trusted.panel = Some(Panel::new(self.comp.panel_rows(), now));
        self.take_input_for_dialog();
        self.release_keys();
        self.refresh_shortcuts();
        tracing::info!("the secure attention key was pressed");
    }

    /// Keeps the panel at what there is; after each turn of the event loop.
    pub(super) fn plan_panel(&mut self) {
        if self.comp.lock.is_locked() {
            self.comp.input.trusted.panel = None;
        }
        let (now, rows) = (self.comp.now(), self.comp.panel_rows());
        let seen = self.comp.shell.outputs().active().powered;
        if let Some(panel) = &mut self.comp.input.trusted.panel {
            panel.follow(rows, now);
            panel.see(seen, now);
            self.place_panel();
            self.arm_dialog();
        }
    }

    /// Sees to it that a panel that is elsewhere than before is looked at there first.
    fn place_panel(&mut self) {
        let (places, now) = (self.comp.panel_places(), self.comp.now());
        if let (Some(panel), Some(places)) = (&mut self.comp.input.trusted.panel, places)
            && panel.arming.place(places.panel, now)
        {
            self.comp.schedule.request();
        }
    }

    /// A key was pressed while the panel is open; `None` for one that is part of a chord.
    pub(super) fn press_in_panel(&mut self, key: Option<Keysym>) {
        if key == Some(Keysym::Escape) {
            self.close_panel();
            return;
        }
        if key.is_some_and(Keysym::is_modifier_key) || !self.panel_is_answered() {
            return;
        }
        let step = match key {
            Some(Keysym::Return | Keysym::KP_Enter) => {
                let choice = self.comp.input.trusted.panel.as_ref().map(Panel::choice);
                self.choose_in_panel(choice.unwrap_or_default());
                return;
            }
            Some(Keysym::Tab) => Step::Next,
            Some(Keysym::ISO_Left_Tab) => Step::Previous,
            Some(Keysym::Left) => Step::Left,
            Some(Keysym::Right) => Step::Right,
            Some(Keysym::Up) => Step::Up,
            Some(Keysym::Down) => Step::Down,
            _ => {
                self.panel_is_elsewhere();
                return;
            }
        };
        if let Some(panel) = &mut self.comp.input.trusted.panel {
            panel.step(step);
        }
    }

    /// A button, a finger or the pen was pressed while the panel is open.
    pub(super) fn click_in_panel(&mut self, at: Point<i32, Physical>) {
        if !self.panel_is_answered() {
            return;
        }
        let Some(places) = self.comp.panel_places() else { return };
        match places.choice_at(at) {
            Some(choice) => self.choose_in_panel(choice),
            None if places.panel.contains(at) => {}
            None => self.panel_is_elsewhere(),
        }
    }

    /// Something was pressed while the panel is open; whether that may be an answer.
    fn panel_is_answered(&mut self) -> bool {
        self.place_panel();
        let (now, failed) = (self.comp.now(), self.comp.input.trusted.panel_failed);
        let Some(panel) = &mut self.comp.input.trusted.panel else { return false };
        let counts = panel.arming.press(now) && !failed;
        self.arm_dialog();
        self.comp.schedule.request();
        counts
    }

    fn panel_is_elsewhere(&mut self) {
        let now = self.comp.now();
        if let Some(panel) = &mut self.comp.input.trusted.panel {
            panel.arming.disturb(now);
        }
        self.arm_dialog();
    }

    fn choose_in_panel(&mut self, choice: Choice) {
        if choice == Choice::Close {
            self.close_panel();
            return;
        }
        let offered = self.comp.input.trusted.panel.as_ref().and_then(|panel| panel.offered(choice));
        if let Some((origin, operation)) = offered.map(|(origin, operation)| (origin.clone(), operation)) {
            let done = self.comp.is_restrained(&origin, operation);
            self.restrain(&origin, operation, !done);
        }
    }

    fn close_panel(&mut self) {
        self.comp.input.trusted.panel = None;
        self.comp.schedule.request();
    }
}
