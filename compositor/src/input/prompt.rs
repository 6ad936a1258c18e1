//! Answering a question of the compositor.
//!
//! # Model
//!
//! While a question is shown the keyboard, the pointer, fingers and the pen are the compositor's. Escape says no, Tab and the
//! arrow keys go to the other answer, Enter gives the marked one, and so does a press on it. Nothing counts that comes before
//! the question has been in sight, with nothing pressed, for [`ARMING`](crate::trust::consent::ARMING), and whatever is no
//! answer shows that the user is at something else, and makes that time begin again.
//!
//! # Invariants
//!
//! * No client, and no input method, gets a press of a key or anything of the pointer, fingers or the pen while a question is
//!   shown. A key or button that was held before is released to whoever had it; what fingers, the pen and a drag did is over.
//! * No client holds the pointer while a question is shown, nor says what it looks like or where it is put.
//! * What virtual keyboards type goes to the window with the keyboard and answers nothing.
//! * A locked session and a dark output show no question: those that wait are asked when there is somebody to see them.

use std::time::Duration;

use calloop::timer::{TimeoutAction, Timer};
use smithay::input::keyboard::Keysym;
use smithay::input::pointer::MotionEvent;
use smithay::utils::{Physical, Point, SERIAL_COUNTER};

use crate::render::prompt::Places;
use crate::state::{Comp, State};
use crate::trust::consent::{Answer, Question};

impl Comp {
    /// Whether a question is shown.
    #[must_use]
    pub fn is_asking(&self) -> bool {
        !self.lock.is_locked() && !self.is_attending() && self.captures.consent.is_shown()
    }

    /// Whether keyboard and pointer are a question's, or the trusted panel's.
    #[must_use]
    pub fn has_dialog(&self) -> bool {
        self.is_attending() || self.is_asking()
    }

    /// Whether the question that is shown takes an answer by now.
    #[must_use]
    pub fn question_takes_answer(&self) -> bool {
        self.captures.consent.is_armed(self.now()) && !self.captures.question_failed
    }

    /// When the question or panel that is shown takes an answer.
    fn dialog_armed_at(&self) -> Option<Duration> {
        let panel = self.input.trusted.panel.as_ref().map(|panel| panel.arming.armed_at());
        panel.or_else(|| self.captures.consent.armed_at())
    }

    /// Whether every key that is pressed is the compositor's.
    pub(super) fn takes_all_keys(&self) -> bool {
        self.has_dialog() || self.input.takes_all_keys()
    }

    /// Whether keyboard and pointer are the compositor's own, for something that it shows over the windows.
    pub(crate) fn overlay_has_input(&self) -> bool {
        self.input.switcher.is_some() || self.has_dialog()
    }
}

impl State {
    /// Shows the next question, if there is one and none is shown; after each turn of the event loop.
    pub(crate) fn plan_dialogs(&mut self) {
        self.plan_panel();
        self.drop_questions();
        let free = !self.comp.lock.is_locked() && !self.comp.is_attending();
        let seen = free && self.comp.shell.outputs().active().powered;
        let now = self.comp.now();
        if !seen {
            self.comp.captures.consent.hide();
        } else if self.comp.captures.consent.show(now) {
            self.take_input_for_dialog();
        }
        if self.comp.is_asking() {
            self.place_question();
        }
        if self.comp.has_dialog() {
            self.comp.captures.was_asking = true;
        } else if std::mem::take(&mut self.comp.captures.was_asking) {
            // The pointer may have moved meanwhile, and what was taken from clients is theirs again.
            self.windows_changed();
            self.send_motion();
            self.comp.schedule.request();
        }
    }

    /// Everything that the user holds is let go, and the next thing that is pressed is the question's or the panel's.
    pub(super) fn take_input_for_dialog(&mut self) {
        self.close_switcher(false);
        self.stop_repeat();
        self.end_key_repeat();
        self.end_placing();
        self.let_go();
        self.cancel_touch();
        self.withdraw_pen();
        self.end_drag();
        self.refresh_constraint();
        self.arm_dialog();
        self.comp.schedule.request();
    }

    /// What is dragged is not dropped anywhere.
    pub(super) fn end_drag(&mut self) {
        let Some(pointer) = self.comp.seat.get_pointer().filter(|_| self.comp.selections.is_dragging())
        else {
            return;
        };
        let (serial, time) = (SERIAL_COUNTER.next_serial(), self.input_time());
        // Over nobody first: to end the grab is to drop what it has on whoever is under it.
        let nowhere = MotionEvent { location: pointer.current_location(), serial, time };
        pointer.motion(self, None, &nowhere);
        pointer.unset_grab(self, serial, time);
        pointer.frame(self);
    }

    /// The question or panel is in sight again, as if it were new: whoever comes back to the screen has not seen it.
    pub(crate) fn question_unseen(&mut self) {
        let now = self.comp.now();
        self.comp.captures.consent.hide();
        if let Some(panel) = &mut self.comp.input.trusted.panel {
            panel.arming.disturb(now);
        }
    }

    /// Sees to it that a question that is elsewhere than before is looked at there first.
    fn place_question(&mut self) {
        let (panel, now) = (Places::new(self.comp.shell.layout()).panel, self.comp.now());
        if self.comp.captures.consent.place(panel, now) {
            self.arm_dialog();
            self.comp.schedule.request();
        }
    }

    /// Asks for a frame in which the question or panel looks as if it took an answer, once it does.
    pub(super) fn arm_dialog(&mut self) {
        if self.comp.captures.arming.is_some() {
            return;
        }
        let Some(at) = self.comp.dialog_armed_at() else { return };
        let timer = Timer::from_duration(at.saturating_sub(self.comp.now()));
        let inserted = self.comp.events.insert_source(timer, |_, (), state| {
            let now = state.comp.now();
            match state.comp.dialog_armed_at() {
                // It began again meanwhile.
                Some(at) if at > now => TimeoutAction::ToDuration(at.saturating_sub(now)),
                _ => {
                    state.comp.captures.arming = None;
                    state.comp.schedule.request();
                    TimeoutAction::Drop
                }
            }
        });
        match inserted {
            Ok(token) => self.comp.captures.arming = Some(token),
            Err(error) => tracing::error!("error arming the timer of a question: {error}"),
        }
    }

    /// Something was pressed while a question is shown; whether that may be an answer.
    fn is_answer(&mut self) -> bool {
        self.place_question();
        let now = self.comp.now();
        let counts = self.comp.captures.consent.press(now) && !self.comp.captures.question_failed;
        self.arm_dialog();
        self.comp.schedule.request();
        counts
    }

    /// What was pressed while a question is shown is no answer.
    fn is_elsewhere(&mut self) {
        let now = self.comp.now();
        self.comp.captures.consent.disturb(now);
        self.arm_dialog();
    }

    /// A key was pressed while a question is shown; `None` for one that is part of a chord.
    pub(super) fn press_in_question(&mut self, key: Option<Keysym>) {
        if !self.is_answer() {
            return;
        }
        let consent = &mut self.comp.captures.consent;
        match key {
            Some(Keysym::Escape) => self.answer_question(Answer::Deny),
            Some(Keysym::Return | Keysym::KP_Enter) => {
                let choice = consent.choice();
                self.answer_question(choice);
            }
            Some(
                Keysym::Tab | Keysym::ISO_Left_Tab | Keysym::Left | Keysym::Right | Keysym::Up | Keysym::Down,
            ) => {
                consent.turn_choice();
            }
            // Shift for the Tab key that goes back.
            Some(key) if key.is_modifier_key() => {}
            _ => self.is_elsewhere(),
        }
    }

    /// A button, a finger or the pen was pressed while a question is shown or the trusted panel is open.
    pub(super) fn click_in_dialog(&mut self, at: Point<i32, Physical>) {
        if self.comp.is_attending() {
            self.click_in_panel(at);
        } else {
            self.click_in_question(at);
        }
    }

    fn click_in_question(&mut self, at: Point<i32, Physical>) {
        if !self.is_answer() {
            return;
        }
        let places = Places::new(self.comp.shell.layout());
        match places.answer_at(at) {
            Some(answer) => self.answer_question(answer),
            None if places.panel.contains(at) => {}
            None => self.is_elsewhere(),
        }
    }

    fn answer_question(&mut self, answer: Answer) {
        let allowed = answer == Answer::Allow;
        match self.comp.captures.consent.answer(answer) {
            Some(Question::Pictures(program)) => {
                tracing::info!(program = %program.path(), allowed, "the user was asked about pictures of the screen");
                self.settle_consent(program.file(), allowed);
            }
            Some(Question::Pointer(origin)) => {
                tracing::info!(%origin, allowed, "the user was asked about holding the pointer");
                self.comp.input.constraints.permissions.answer(origin, answer);
            }
            Some(Question::Paste(paste)) => self.answer_paste(paste.id, allowed),
            None => {}
        }
    }
}
