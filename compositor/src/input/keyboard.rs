//! The keyboard, and moving it between windows.
//!
//! # Model
//!
//! A key that is pressed goes to the first that wants it ([`State::way_of_press`]):
//!
//! 1. the console switch, on a backend that has consoles;
//! 2. the lock of a locked session, which has every other key but the secure attention key;
//! 3. the trusted panel, by the secure attention key and while it is open ([`super::panel`]), or a question of the compositor's,
//!    while one is shown;
//! 4. the X-ray, by its chord ([`super::xray`]);
//! 5. the overlay in which a window is chosen, while it is shown, or a window that is moved or resized with keys
//!    ([`super::placing`]);
//! 6. the compositor's chords, but not those that may be inhibited while a client inhibits the shortcuts
//!    ([`crate::handlers::shortcuts_inhibit`]);
//! 7. nobody, for a moment after the keyboard came to a VM without the user's hand ([`super::settling`]);
//! 8. the input method, while a text input is active and it listens;
//! 9. what has the keyboard.
//!
//! # Invariants
//!
//! * The release of a key goes where its press went, whatever is in force by then.
//! * No client keeps the keys from the user that switch the console or take the input back.

use smithay::backend::input::KeyState;
use smithay::input::keyboard::{
    FilterResult, KeyboardHandle, KeyboardTarget, Keycode, Keysym, KeysymHandle, ModifiersState,
};
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::utils::{SERIAL_COUNTER, Serial};
use smithay::wayland::shell::xdg::ToplevelSurface;
use vitrail_protocols::Guard;

use super::action::Action;
use super::chord::Binding;
use super::repeat::TypedOn;
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

/// The console that a key asks for: Ctrl, Alt and a function key in the usual layouts.
fn console(key: Keysym) -> Option<i32> {
    let (first, last) = (Keysym::XF86_Switch_VT_1.raw(), Keysym::XF86_Switch_VT_12.raw());
    let number = (first..=last).contains(&key.raw()).then(|| key.raw() - first + 1)?;
    i32::try_from(number).ok()
}

/// What a key that is kept from clients is for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Deed {
    /// Another console comes to the front, by its number from 1.
    SwitchConsole(i32),
    /// A window is being chosen with this key.
    Choose(Keysym),
    /// A window is being moved or resized with this key, in small steps or not.
    Place(Keysym, bool),
    /// A question is shown; the key may be its answer.
    Answer(Option<Keysym>),
    /// It is the secure attention key.
    Attend,
    /// The trusted panel is open; the key may be meant for it.
    Panel(Option<Keysym>),
    /// What its chord does.
    Chord(Binding),
    /// Nothing.
    Nothing,
}

/// Where a key goes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Way {
    /// To nobody; with what the compositor does about it.
    Kept(Deed),
    /// To the input method.
    Method,
    /// To what has the keyboard.
    Window,
}

/// A key that was pressed or released.
#[derive(Clone, Copy)]
struct Stroke {
    /// Its code of evdev.
    code: u32,
    pressed: bool,
    serial: Serial,
    time: u32,
}

impl State {
    /// A key was pressed or released. `code` is an evdev key code.
    pub fn input_key(&mut self, code: u32, pressed: bool) {
        self.note_activity();
        let Some(keyboard) = self.comp.seat.get_keyboard() else { return };
        let key_state = if pressed { KeyState::Pressed } else { KeyState::Released };
        let serial = if pressed { self.comp.input.press_serial() } else { SERIAL_COUNTER.next_serial() };
        let stroke = Stroke { code, pressed, serial, time: self.input_time() };
        let keycode = Keycode::new(code.saturating_add(XKB_OFFSET));
        let tap = self.decide_held(pressed);
        let all = self.comp.takes_all_keys();
        let (way, modifiers_changed) =
            keyboard.input_intercept(self, keycode, key_state, |state, modifiers, key| {
                if pressed { state.way_of_press(code, modifiers, &key) } else { state.way_of_release(code) }
            });
        if pressed {
            let typed_into = keyboard.current_focus().filter(|_| !matches!(way, Way::Kept(_)));
            self.note_hand(typed_into.as_ref());
        }
        if pressed && !matches!(way, Way::Window) {
            self.end_key_repeat();
        }
        let kept_modifier = matches!(way, Way::Kept(_)) && modifiers_changed;
        match way {
            Way::Kept(deed) => {
                self.comp.input.stale_modifiers |= modifiers_changed;
                self.do_deed(deed, code);
            }
            Way::Method => self.give_method(&keyboard, stroke, modifiers_changed),
            Way::Window => {
                self.hear_seat();
                self.tell_modifiers();
                let Stroke { serial, time, .. } = stroke;
                keyboard.input_forward(self, keycode, key_state, serial, time, modifiers_changed);
                if pressed {
                    self.begin_key_repeat(code, TypedOn::Seat, serial);
                }
            }
        }
        if !pressed {
            self.key_came_up(code, &TypedOn::Seat);
        }
        self.settle_switcher(&keyboard.modifier_state());
        if (all || kept_modifier) && !self.comp.takes_all_keys() {
            self.tell_kept_modifiers();
        }
        if let Some(tap) = tap {
            self.act(&tap);
        }
        if !pressed {
            self.release_chord(code);
        }
    }

    /// Decides where a key goes that is pressed. The one place where keys are kept from clients.
    fn way_of_press(&mut self, code: u32, modifiers: &ModifiersState, key: &KeysymHandle<'_>) -> Way {
        let deed = self.deed(modifiers, key);
        let (takes, now) = (self.comp.method_takes_keys(), self.comp.now());
        let input = &mut self.comp.input;
        input.held.settling.note_press(now);
        if let Some(deed) = deed {
            input.kept_keys.push(code);
            return Way::Kept(deed);
        }
        if input.held.settling.takes_press(now) {
            input.kept_keys.push(code);
            return Way::Kept(Deed::Nothing);
        }
        if takes {
            input.method_keys.retain(|other| *other != code);
            input.method_keys.push(code);
            return Way::Method;
        }
        Way::Window
    }

    /// What the compositor does with a key that is pressed, if it is one of its own.
    fn deed(&self, modifiers: &ModifiersState, key: &KeysymHandle<'_>) -> Option<Deed> {
        // Before anything else, so that nobody can keep the user on this console.
        if self.backend.has_consoles()
            && let Some(number) = console(key.modified_sym())
        {
            return Some(Deed::SwitchConsole(number));
        }
        let sym = key.raw_latin_sym_or_raw_current_sym();
        let keys = &self.comp.config.current().keys;
        let attention = sym.is_some_and(|sym| keys.is_secure_attention(modifiers, sym));
        // A locked session has no windows to do anything to, and a chord must not tell what is behind the lock.
        if self.comp.lock.is_locked() {
            return attention.then_some(Deed::Nothing);
        }
        if attention {
            return Some(Deed::Attend);
        }
        // Everything is the panel's or the question's, chords and modifiers too, though no chord is an answer.
        let chord = modifiers.ctrl || modifiers.alt || modifiers.logo;
        if self.comp.is_attending() {
            return Some(Deed::Panel(sym.filter(|_| !chord)));
        }
        if self.comp.is_asking() {
            return Some(Deed::Answer(sym.filter(|_| !chord)));
        }
        let binding = sym.and_then(|sym| keys.find(modifiers, sym));
        if binding.as_ref().is_some_and(|binding| binding.action == Action::XRay) {
            // Whatever goes on: that is when it is needed.
            return binding.map(Deed::Chord);
        }
        if self.comp.input.switcher.is_some() {
            // Everything is the overlay's, modifiers too: what is pressed now must not reach what is behind it.
            let steps = binding.filter(|binding| matches!(binding.action, Action::SwitchWindow(_)));
            return Some(steps.map_or_else(|| sym.map_or(Deed::Nothing, Deed::Choose), Deed::Chord));
        }
        if self.comp.input.held.placing.is_some() {
            return Some(sym.map_or(Deed::Nothing, |sym| Deed::Place(sym, modifiers.shift)));
        }
        let inhibited = self.comp.protocols.shortcuts_inhibit.in_force();
        binding.filter(|binding| !(inhibited && binding.action.can_be_inhibited())).map(Deed::Chord)
    }

    /// Where a key goes that is released: where its press went, whatever is held now.
    fn way_of_release(&mut self, code: u32) -> Way {
        let forget = |keys: &mut Vec<u32>| {
            let before = keys.len();
            keys.retain(|other| *other != code);
            keys.len() != before
        };
        let input = &mut self.comp.input;
        if forget(&mut input.kept_keys) {
            Way::Kept(Deed::Nothing)
        } else if forget(&mut input.method_keys) {
            Way::Method
        } else {
            Way::Window
        }
    }

    /// Does what a key is for that was kept from clients.
    fn do_deed(&mut self, deed: Deed, code: u32) {
        match deed {
            Deed::SwitchConsole(console) => self.backend.switch_console(console),
            Deed::Choose(key) => self.press_in_switcher(key),
            Deed::Answer(key) => self.press_in_question(key),
            Deed::Attend => self.attend(),
            Deed::Panel(key) => self.press_in_panel(key),
            Deed::Place(key, fine) => self.press_in_placing(key, fine),
            Deed::Chord(binding) => self.press_chord(code, binding),
            Deed::Nothing => {}
        }
    }

    /// Gives a key to the input method.
    fn give_method(&mut self, keyboard: &KeyboardHandle<Self>, stroke: Stroke, modifiers_changed: bool) {
        let Stroke { code, pressed, serial, time } = stroke;
        let modifiers = modifiers_changed.then(|| keyboard.modifier_state());
        self.comp.key_to_method(code, pressed, serial, time, modifiers);
        self.comp.input.stale_modifiers |= modifiers_changed;
        if !self.comp.method_takes_keys() {
            // Only the release of what it got before; the window wants to know of the rest.
            self.tell_modifiers();
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

    /// Modifiers may have changed by keys that were the overlay's: whoever gets the next key is told.
    fn tell_kept_modifiers(&mut self) {
        if self.comp.method_takes_keys() {
            self.comp.tell_method_modifiers();
        } else {
            self.tell_modifiers();
        }
    }

    /// Makes clients see the focus that the model has: the keyboard, the activated states, the selections,
    /// and the popups of a VM that has lost it.
    pub(crate) fn sync_focus(&mut self) {
        self.prune_switcher();
        self.prune_placing();
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
        self.end_key_repeat();
        self.end_virtual_typing();
        let by_hand = self.comp.shell.take_by_hand();
        let left = old.as_ref().and_then(|(_, surface)| origin_of(surface));
        if left.as_ref() != self.comp.focused_origin() {
            self.release_keys();
            self.comp.settle_keys(left.is_some(), by_hand);
        }
        if matches!(focused, Some((Focus::Layer(_) | Focus::Lock, _))) {
            self.comp.shell.keep_for_nobody();
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
        self.follow_clipboard();
        self.comp.schedule.request();
    }

    /// Ends, for the client that has the keyboard or for the input method, the keys that are held down; what is left of them
    /// reaches nobody. So the next client neither takes a key for its own nor repeats it, and the input method does not
    /// repeat it into the next client. That is told of no key that is down, but which modifiers are in force.
    pub(super) fn release_keys(&mut self) {
        if !Guard::Keys.holds() {
            return;
        }
        self.end_key_repeat();
        let Some(keyboard) = self.comp.seat.get_keyboard() else { return };
        let held: Vec<(Keycode, bool)> = keyboard.with_pressed_keysyms(|keys| {
            keys.iter().map(|key| (key.raw_code(), key.modified_sym().is_modifier_key())).collect()
        });
        for (key, modifier) in held {
            let code = evdev_code(key);
            let method = self.comp.input.method_keys.contains(&code);
            if self.comp.input.kept_keys.contains(&code) || (method && modifier) {
                continue;
            }
            self.comp.input.kept_keys.push(code);
            let (serial, time) = (SERIAL_COUNTER.next_serial(), self.input_time());
            if method {
                self.comp.input.method_keys.retain(|other| *other != code);
                keyboard.input_intercept(self, key, KeyState::Released, |_, _, _| ());
                self.comp.key_to_method(code, false, serial, time, None);
                continue;
            }
            if modifier {
                // For the client only: what the user holds is in force for what is typed next.
                keyboard.input_forward(self, key, KeyState::Released, serial, time, false);
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
        let window = self.shell.focused().filter(|window| !self.is_paused(&window.origin))?;
        Some((Focus::Window(window.id), window.handle.wl_surface().clone()))
    }
}
