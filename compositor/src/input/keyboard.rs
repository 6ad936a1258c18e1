//! The keyboard, and moving it between windows.
//!
//! A key of the seat goes one of three ways, and its release goes where its press went: the compositor keeps it if it is a
//! chord of its own, the input method gets it while a text input is active and it listens, and else the window with the
//! keyboard does.
//!
//! A client that inhibits the shortcuts ([`crate::handlers::shortcuts_inhibit`]) gets the chords instead, but never the one that
//! takes the input back from it.

use smithay::backend::input::KeyState;
use smithay::input::keyboard::{FilterResult, KeyboardTarget, Keycode, Keysym};
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::utils::SERIAL_COUNTER;
use smithay::wayland::shell::xdg::ToplevelSurface;

use crate::shell::focus::Focus;
use crate::shell::window::Window;
use crate::state::{Comp, State};
use crate::trust::client::origin_of;
use crate::trust::origin::Origin;

/// Between the codes of evdev and those of XKB.
pub(crate) const XKB_OFFSET: u32 = 8;

/// The code of evdev for one of XKB.
pub(crate) fn evdev_code(key: Keycode) -> u32 {
    key.raw().saturating_sub(XKB_OFFSET)
}

/// What a key chord does that is the compositor's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chord {
    /// The next window comes up, hidden ones included.
    NextWindow,
    /// What has the keyboard, a window or a layer surface, is asked to close.
    CloseWindow,
    /// Pointer and shortcuts are taken back from the client that holds them.
    ReleaseInput,
    /// Another console comes to the front, by its number from 1.
    SwitchConsole(i32),
}

impl Chord {
    /// Whether a client that inhibits the shortcuts gets the keys instead.
    fn can_be_inhibited(self) -> bool {
        match self {
            Self::NextWindow | Self::CloseWindow => true,
            // Without them there would be no way out.
            Self::ReleaseInput | Self::SwitchConsole(_) => false,
        }
    }
}

/// What a key does that is pressed while the logo key is down.
fn chord(key: Keysym) -> Option<Chord> {
    match key {
        Keysym::Tab => Some(Chord::NextWindow),
        Keysym::q => Some(Chord::CloseWindow),
        Keysym::Escape => Some(Chord::ReleaseInput),
        _ => None,
    }
}

/// The console that a key asks for: Ctrl, Alt and a function key in the usual layouts.
fn console(key: Keysym) -> Option<i32> {
    let (first, last) = (Keysym::XF86_Switch_VT_1.raw(), Keysym::XF86_Switch_VT_12.raw());
    let number = (first..=last).contains(&key.raw()).then(|| key.raw() - first + 1)?;
    i32::try_from(number).ok()
}

/// Where a key goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// To nobody; with what the compositor does about it.
    Kept(Option<Chord>),
    /// To the input method.
    Method,
    /// To the window with the keyboard.
    Window,
}

impl State {
    /// A key was pressed or released. `code` is an evdev key code.
    pub fn input_key(&mut self, code: u32, pressed: bool) {
        self.note_activity();
        let Some(keyboard) = self.comp.seat.get_keyboard() else { return };
        let key_state = if pressed { KeyState::Pressed } else { KeyState::Released };
        let serial = if pressed { self.comp.input.press_serial() } else { SERIAL_COUNTER.next_serial() };
        let time = self.input_time();
        let keycode = Keycode::new(code.saturating_add(XKB_OFFSET));
        let inhibited = self.comp.protocols.shortcuts_inhibit.in_force();
        let consoles = self.backend.has_consoles();
        // A locked session has no windows for them, and the lock gets every key but those of the consoles.
        let locked = self.comp.lock.is_locked();
        let (way, modifiers_changed) =
            keyboard.input_intercept(self, keycode, key_state, |state, modifiers, key| {
                let sym = key.modified_sym();
                // Before anything else, so that no client can keep the user on this console.
                let switch = consoles.then(|| console(sym)).flatten().map(Chord::SwitchConsole);
                let chord = switch.or_else(|| (modifiers.logo && !locked).then(|| chord(sym)).flatten());
                let chord = chord.filter(|chord| !(inhibited && chord.can_be_inhibited()));
                state.way_of_key(code, pressed, chord)
            });
        match way {
            Way::Kept(Some(Chord::NextWindow)) => self.activate_next(),
            Way::Kept(Some(Chord::CloseWindow)) => {
                if let Some(window) = self.comp.focused_window() {
                    window.handle.send_close();
                } else if let Some(layer) = self.comp.layers.focused() {
                    layer.handle.send_close();
                }
            }
            Way::Kept(Some(Chord::ReleaseInput)) => self.release_input(),
            Way::Kept(Some(Chord::SwitchConsole(console))) => self.backend.switch_console(console),
            Way::Kept(None) => {}
            Way::Method => {
                let modifiers = modifiers_changed.then(|| keyboard.modifier_state());
                self.comp.key_to_method(code, pressed, serial, time, modifiers);
                self.comp.input.stale_modifiers |= modifiers_changed;
                if !self.comp.method_takes_keys() {
                    // Only the release of what it got before; the window wants to know of the rest.
                    self.tell_modifiers();
                }
            }
            Way::Window => {
                self.hear_seat();
                self.tell_modifiers();
                keyboard.input_forward(self, keycode, key_state, serial, time, modifiers_changed);
            }
        }
    }

    fn way_of_key(&mut self, code: u32, pressed: bool, chord: Option<Chord>) -> Way {
        let takes = self.comp.method_takes_keys();
        let input = &mut self.comp.input;
        if pressed {
            if let Some(chord) = chord {
                input.kept_keys.push(code);
                return Way::Kept(Some(chord));
            }
            if takes {
                input.method_keys.retain(|other| *other != code);
                input.method_keys.push(code);
                return Way::Method;
            }
            return Way::Window;
        }
        // A release goes where the press went, whatever is held now.
        let mut forget = |keys: fn(&mut super::Input) -> &mut Vec<u32>| {
            let keys = keys(input);
            let before = keys.len();
            keys.retain(|other| *other != code);
            keys.len() != before
        };
        if forget(|input| &mut input.kept_keys) {
            Way::Kept(None)
        } else if forget(|input| &mut input.method_keys) {
            Way::Method
        } else {
            Way::Window
        }
    }

    /// Tells the client that has the keyboard which modifiers of the seat are down, if it was not told of a change.
    pub(crate) fn tell_modifiers(&mut self) {
        if !std::mem::take(&mut self.comp.input.stale_modifiers) {
            return;
        }
        let (seat, serial) = (self.comp.seat.clone(), SERIAL_COUNTER.next_serial());
        let Some(keyboard) = seat.get_keyboard() else { return };
        if let Some(surface) = keyboard.current_focus() {
            let modifiers = keyboard.modifier_state();
            <WlSurface as KeyboardTarget<Self>>::modifiers(&surface, &seat, self, modifiers, serial);
        }
    }

    fn activate_next(&mut self) {
        let Some(next) = self.comp.shell.next_to_activate() else { return };
        self.comp.shell.activate(next);
        self.comp.layers.choose_none();
        self.sync_focus();
        self.refresh_pointer();
        self.comp.schedule.request();
    }

    /// Makes clients see the focus that the model has: the keyboard, the activated states, the selections,
    /// and the popups of a VM that has lost it.
    pub(crate) fn sync_focus(&mut self) {
        let focused = self.comp.focused_surface();
        if self.comp.input.told_focus == focused {
            return;
        }
        let old = std::mem::replace(&mut self.comp.input.told_focus, focused.clone());
        if let Some((_, surface)) = &old {
            self.dismiss_popups(surface);
        }
        if let Some(origin) = self.comp.focused_origin().cloned() {
            for (surface, owner) in self.comp.windows_with_popups() {
                if owner != origin {
                    self.dismiss_popups(&surface);
                }
            }
        }
        self.end_virtual_typing();
        let left = old.as_ref().and_then(|(_, surface)| origin_of(surface));
        if left.as_ref() != self.comp.focused_origin() {
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
            self.shortcuts_focus(None);
            self.text_focus(None);
        }
        for (focus, _) in old.iter().chain(&focused) {
            let Focus::Window(id) = *focus else { continue };
            self.configure(id);
            if let Some(window) = self.comp.shell.get(id)
                && window.handle.is_initial_configure_sent()
            {
                window.handle.send_pending_configure();
            }
        }
        self.refresh_constraint();
        self.comp.schedule.request();
    }

    /// Ends, for the client that has the keyboard or for the input method, the keys that are held down; what is left of them
    /// reaches nobody. So the next client neither takes a key for its own nor repeats it, and the input method does not
    /// repeat it into the next client. Modifiers stay as they are.
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
            if self.comp.input.method_keys.contains(&code) {
                self.comp.input.method_keys.retain(|other| *other != code);
                keyboard.input_intercept(self, key, KeyState::Released, |_, _, _| ());
                self.comp.key_to_method(code, false, serial, time, None);
                continue;
            }
            keyboard
                .input::<(), _>(self, key, KeyState::Released, serial, time, |_, _, _| FilterResult::Forward);
        }
    }
}

impl Comp {
    /// The window that has the keyboard: the one that the model has in focus, unless a layer surface or the lock has
    /// it in its stead.
    #[must_use]
    pub fn focused_window(&self) -> Option<&Window<ToplevelSurface>> {
        if self.lock.is_locked() || self.layers.focused().is_some() { None } else { self.shell.focused() }
    }

    /// Whose keyboard it is at the moment.
    #[must_use]
    pub fn focused_origin(&self) -> Option<&Origin> {
        if self.lock.is_locked() {
            return self.shown_lock().map(|_| &Origin::Local);
        }
        if self.layers.focused().is_some() {
            return Some(&Origin::Local);
        }
        self.shell.focused_origin()
    }

    /// What has the keyboard, and its surface.
    fn focused_surface(&self) -> Option<(Focus, WlSurface)> {
        if self.lock.is_locked() {
            return self.shown_lock().map(|surface| (Focus::Lock, surface.clone()));
        }
        if let Some(layer) = self.layers.focused() {
            return Some((Focus::Layer(layer.id), layer.handle.wl_surface().clone()));
        }
        let window = self.shell.focused()?;
        Some((Focus::Window(window.id), window.handle.wl_surface().clone()))
    }
}
