//! The keyboard, and moving it between windows.

use smithay::backend::input::KeyState;
use smithay::input::keyboard::{FilterResult, Keycode, Keysym};
use smithay::utils::SERIAL_COUNTER;

use crate::state::State;
use crate::trust::client::origin_of;

/// Between the codes of evdev and those of XKB.
pub(crate) const XKB_OFFSET: u32 = 8;

/// The code of evdev for one of XKB.
pub(crate) fn evdev_code(key: Keycode) -> u32 {
    key.raw().saturating_sub(XKB_OFFSET)
}

/// What a key chord does that no client sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chord {
    /// The next window comes up, hidden ones included.
    NextWindow,
    /// The window with the keyboard is asked to close.
    CloseWindow,
    /// The pointer is taken from the client that locked or confined it.
    ReleasePointer,
    /// Another console comes to the front, by its number from 1.
    SwitchConsole(i32),
}

/// What a key does that is pressed while the logo key is down.
fn chord(key: Keysym) -> Option<Chord> {
    match key {
        Keysym::Tab => Some(Chord::NextWindow),
        Keysym::q => Some(Chord::CloseWindow),
        Keysym::Escape => Some(Chord::ReleasePointer),
        _ => None,
    }
}

/// The console that a key asks for: Ctrl, Alt and a function key in the usual layouts.
fn console(key: Keysym) -> Option<i32> {
    let (first, last) = (Keysym::XF86_Switch_VT_1.raw(), Keysym::XF86_Switch_VT_12.raw());
    let number = (first..=last).contains(&key.raw()).then(|| key.raw() - first + 1)?;
    i32::try_from(number).ok()
}

impl State {
    /// A key was pressed or released. `code` is an evdev key code.
    pub fn input_key(&mut self, code: u32, pressed: bool) {
        let Some(keyboard) = self.comp.seat.get_keyboard() else { return };
        let key_state = if pressed { KeyState::Pressed } else { KeyState::Released };
        let serial = if pressed { self.comp.input.press_serial() } else { SERIAL_COUNTER.next_serial() };
        let time = self.input_time();
        let keycode = Keycode::new(code.saturating_add(XKB_OFFSET));
        let consoles = self.backend.has_consoles();
        let pressed_chord =
            keyboard.input(self, keycode, key_state, serial, time, |state, modifiers, key| {
                let kept = &mut state.comp.input.kept_keys;
                let sym = key.modified_sym();
                // Before anything else, so that no client can keep the user on this console.
                let switch = consoles.then(|| console(sym)).flatten().map(Chord::SwitchConsole);
                let wanted = switch.or_else(|| modifiers.logo.then(|| chord(sym)).flatten());
                if pressed && let Some(chord) = wanted {
                    kept.push(code);
                    return FilterResult::Intercept(Some(chord));
                }
                // A release goes where the press went, whatever is held now.
                let before = kept.len();
                kept.retain(|other| pressed || *other != code);
                if kept.len() == before { FilterResult::Forward } else { FilterResult::Intercept(None) }
            });
        match pressed_chord.flatten() {
            Some(Chord::NextWindow) => self.activate_next(),
            Some(Chord::CloseWindow) => {
                if let Some(window) = self.comp.shell.focused() {
                    window.handle.send_close();
                }
            }
            Some(Chord::ReleasePointer) => self.release_pointer(),
            Some(Chord::SwitchConsole(console)) => self.backend.switch_console(console),
            None => {}
        }
    }

    fn activate_next(&mut self) {
        let Some(next) = self.comp.shell.next_to_activate() else { return };
        self.comp.shell.activate(next);
        self.sync_focus();
        self.refresh_pointer();
        self.comp.schedule.request();
    }

    /// Makes clients see the focus that the model has: the keyboard, the activated states, the selections,
    /// and the popups of a VM that has lost it.
    pub(crate) fn sync_focus(&mut self) {
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
            let code = evdev_code(key);
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
