//! The keyboard, and moving it between windows.

use std::time::Duration;

use calloop::RegistrationToken;
use calloop::timer::{TimeoutAction, Timer};
use smithay::backend::input::KeyState;
use smithay::input::keyboard::{FilterResult, Keycode, Keysym, KeysymHandle, ModifiersState};
use smithay::utils::SERIAL_COUNTER;

use super::action::Action;
use super::chord::Binding;
use crate::state::State;
use crate::trust::client::origin_of;

/// Between the codes of evdev and those of XKB.
const XKB_OFFSET: u32 = 8;

/// Time before a held chord is done again, and between the times after that.
const REPEAT_DELAY: Duration = Duration::from_millis(500);
const REPEAT_INTERVAL: Duration = Duration::from_millis(120);

/// A chord that is held, and done again and again until its key is released or another one is pressed.
#[derive(Debug)]
pub(crate) struct Repeated {
    code: u32,
    timer: RegistrationToken,
}

/// What a key that was kept from clients is for.
#[derive(Debug, Default)]
struct Kept {
    /// What its chord does.
    binding: Option<Binding>,
    /// The key, if a window is being chosen with it.
    in_switcher: Option<Keysym>,
}

impl State {
    /// A key was pressed or released. `code` is an evdev key code.
    pub fn input_key(&mut self, code: u32, pressed: bool) {
        let Some(keyboard) = self.comp.seat.get_keyboard() else { return };
        let key_state = if pressed { KeyState::Pressed } else { KeyState::Released };
        let serial = if pressed { self.comp.input.press_serial() } else { SERIAL_COUNTER.next_serial() };
        let time = self.input_time();
        let keycode = Keycode::new(code.saturating_add(XKB_OFFSET));
        self.end_repeat(pressed, code);
        let chord = keyboard.input(self, keycode, key_state, serial, time, |state, modifiers, key| {
            state.intercept(code, pressed, modifiers, &key)
        });
        if let Some(key) = chord.as_ref().and_then(|kept| kept.in_switcher) {
            self.press_in_switcher(Some(key));
        }
        if let Some(binding) = chord.and_then(|kept| kept.binding) {
            if binding.repeat {
                self.begin_repeat(code, binding.action.clone());
            }
            self.act(&binding.action);
        }
        self.settle_switcher(&keyboard.modifier_state());
    }

    /// Decides whether a key is the compositor's. The one place where keys are kept from clients.
    fn intercept(
        &mut self,
        code: u32,
        pressed: bool,
        modifiers: &ModifiersState,
        key: &KeysymHandle<'_>,
    ) -> FilterResult<Kept> {
        let sym = key.raw_latin_sym_or_raw_current_sym().filter(|_| pressed);
        let mut binding = sym.and_then(|sym| self.comp.config.current().keys.find(modifiers, sym));
        let mut in_switcher = None;
        if self.comp.input.switcher.is_some() && pressed {
            // Everything is the overlay's, modifiers too: what is pressed now must not reach the window behind it.
            binding.take_if(|binding| !matches!(binding.action, Action::SwitchWindow(_)));
            in_switcher = sym.filter(|_| binding.is_none());
        } else if binding.is_none() {
            // A release goes where the press went, whatever is held now.
            let kept = &mut self.comp.input.kept_keys;
            let before = kept.len();
            kept.retain(|other| pressed || *other != code);
            let forward = kept.len() == before;
            return if forward { FilterResult::Forward } else { FilterResult::Intercept(Kept::default()) };
        }
        self.comp.input.kept_keys.push(code);
        FilterResult::Intercept(Kept { binding, in_switcher })
    }

    /// A key was pressed or released: what was held is not done again, unless the key is another one that was released.
    fn end_repeat(&mut self, pressed: bool, code: u32) {
        if self.comp.input.repeated.as_ref().is_some_and(|repeated| pressed || repeated.code == code) {
            self.stop_repeat();
        }
    }

    /// What is held is not done again.
    pub(super) fn stop_repeat(&mut self) {
        if let Some(repeated) = self.comp.input.repeated.take() {
            self.comp.events.remove(repeated.timer);
        }
    }

    /// Whether a chord is held that is done again.
    #[must_use]
    pub fn is_repeating(&self) -> bool {
        self.comp.input.repeated.is_some()
    }

    fn begin_repeat(&mut self, code: u32, action: Action) {
        let timer = Timer::from_duration(REPEAT_DELAY);
        let inserted = self.comp.events.insert_source(timer, move |_, (), state| {
            state.act(&action);
            TimeoutAction::ToDuration(REPEAT_INTERVAL)
        });
        match inserted {
            Ok(timer) => self.comp.input.repeated = Some(Repeated { code, timer }),
            Err(error) => tracing::error!("error arming the timer of a held key: {error}"),
        }
    }

    /// Makes clients see the focus that the model has: the keyboard, the activated states, the selections,
    /// and the popups of a VM that has lost it.
    pub(crate) fn sync_focus(&mut self) {
        self.prune_switcher();
        let focused = self.comp.shell.focused().map(|window| (window.id, window.handle.wl_surface().clone()));
        if self.comp.input.told_focus == focused {
            return;
        }
        let old = std::mem::replace(&mut self.comp.input.told_focus, focused.clone());
        if let Some((_, surface)) = &old {
            self.dismiss_popups(surface);
        }
        if let Some(origin) = self.comp.shell.focused_origin().cloned() {
            for (surface, owner) in self.comp.windows_with_popups() {
                if owner != origin {
                    self.dismiss_popups(&surface);
                }
            }
        }
        let left = old.as_ref().and_then(|(_, surface)| origin_of(surface));
        if left.as_ref() != self.comp.shell.focused_origin() {
            self.release_keys();
        }
        let serial = SERIAL_COUNTER.next_serial();
        let time = self.input_time();
        if let Some(pointer) = self.comp.seat.get_pointer()
            && pointer.is_grabbed()
            && self.comp.input.interaction.is_none()
            && self.comp.popup_grab_active()
        {
            pointer.unset_grab(self, serial, time);
        }
        if let Some(keyboard) = self.comp.seat.get_keyboard() {
            if keyboard.is_grabbed() {
                keyboard.unset_grab(self);
            }
            keyboard.set_focus(self, focused.as_ref().map(|(_, surface)| surface.clone()), serial);
        }
        if focused.is_none() {
            // Smithay tells of every focus but of none.
            self.selection_focus(None);
        }
        for (id, _) in old.iter().chain(&focused) {
            self.configure(*id);
            if let Some(window) = self.comp.shell.get(*id)
                && window.handle.is_initial_configure_sent()
            {
                window.handle.send_pending_configure();
            }
        }
        self.refresh_constraint();
        self.comp.schedule.request();
    }

    /// Ends, for the client that has the keyboard, the keys that are held down; what is left of them reaches
    /// nobody. So the next client neither takes a key for its own nor repeats it. Modifiers stay as they are.
    fn release_keys(&mut self) {
        let Some(keyboard) = self.comp.seat.get_keyboard() else { return };
        let held: Vec<Keycode> = keyboard.with_pressed_keysyms(|keys| {
            let plain = keys.iter().filter(|key| !key.modified_sym().is_modifier_key());
            plain.map(|key| key.raw_code()).collect()
        });
        for key in held {
            let code = key.raw().saturating_sub(XKB_OFFSET);
            if self.comp.input.kept_keys.contains(&code) {
                continue;
            }
            self.comp.input.kept_keys.push(code);
            let (serial, time) = (SERIAL_COUNTER.next_serial(), self.input_time());
            keyboard
                .input::<(), _>(self, key, KeyState::Released, serial, time, |_, _, _| FilterResult::Forward);
        }
    }
}
