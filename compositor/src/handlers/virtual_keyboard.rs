//! `zwp_virtual_keyboard_v1`: programs that type.
//!
//! A virtual keyboard types into whatever has the keyboard, so it is a program of the GUI VM: no VM is shown the global,
//! whatever the configuration says. It is trusted to type, and no further: its keys reach the focused window and are never
//! one of the compositor's own chords, which only the hand on a real device makes, and its modifiers do not mix with those
//! of real keys. They do not go to the input method either.
//!
//! Its keymap is shown to the client that is typed into and to nobody else ([`crate::input::keymap`]). Keys that are down
//! when the keyboard moves to another window come up for the old one, and the new one never hears of them; the protocol
//! has no word by which a program could say which window it means to type into.
//!
//! Not by Smithay's module: it maps the keymap's file, which its owner can shorten; all virtual keyboards have one keymap
//! between them; and a keymap is sent to all clients, which tells every VM what is being typed into one.

use std::collections::HashMap;
use std::rc::Rc;

use smithay::reexports::wayland_protocols_misc::zwp_virtual_keyboard_v1::server::zwp_virtual_keyboard_manager_v1::{
    self, ZwpVirtualKeyboardManagerV1,
};
use smithay::reexports::wayland_protocols_misc::zwp_virtual_keyboard_v1::server::zwp_virtual_keyboard_v1::{
    self, Error, ZwpVirtualKeyboardV1,
};
use smithay::reexports::wayland_server::backend::{ClientId, ObjectId};
use smithay::reexports::wayland_server::protocol::wl_keyboard::{KeyState, KeymapFormat, WlKeyboard};
use smithay::reexports::wayland_server::{
    Client, DataInit, Dispatch, DisplayHandle, GlobalDispatch, New, Resource,
};
use smithay::utils::SERIAL_COUNTER;

use crate::input::keymap::Keymap;
use crate::input::repeat::TypedOn;
use crate::ipc::keys::MAX_CODE;
use crate::state::{Comp, State};
use crate::trust::client::is_local;

/// The version that is offered.
const VERSION: u32 = 1;

/// The virtual keyboards, and which of them the focused client hears.
#[derive(Debug, Default)]
pub struct VirtualKeyboards {
    all: HashMap<ObjectId, VirtualKeyboard>,
    heard: Option<Heard>,
}

#[derive(Debug, Default)]
struct VirtualKeyboard {
    keymap: Option<Rc<Keymap>>,
    modifiers: Modifiers,
    /// Keys that the focused client believes to be down.
    down: Vec<u32>,
}

/// Depressed, latched and locked modifiers, and the layout.
type Modifiers = (u32, u32, u32, u32);

/// The virtual keyboard that typed last, while no key of the seat followed and the keyboard did not move.
#[derive(Debug)]
struct Heard {
    keyboard: ObjectId,
    keymap: Rc<Keymap>,
    /// The focused client's objects that have the keymap.
    by: Vec<WlKeyboard>,
}

/// Creates the global.
pub(super) fn create(display: &DisplayHandle) {
    display.create_global::<State, ZwpVirtualKeyboardManagerV1, ()>(VERSION, ());
}

impl VirtualKeyboards {
    /// Whether a key of a virtual keyboard is one that is repeated while it is held.
    pub(crate) fn repeats(&self, object: &ObjectId, code: u32) -> bool {
        let keymap = self.all.get(object).and_then(|keyboard| keyboard.keymap.as_ref());
        keymap.is_some_and(|keymap| keymap.repeats(code))
    }
}

impl State {
    /// The focused client hears the seat again: its keymap, and its modifiers before its next key.
    pub(crate) fn hear_seat(&mut self) {
        let Some(heard) = self.comp.input.virtual_keyboards.heard.take() else { return };
        for keyboard in heard.by.iter().filter(|keyboard| keyboard.is_alive()) {
            if !heard.keymap.is(&self.comp.input.keymap) {
                send_keymap(&self.comp.input.keymap, keyboard);
            }
        }
        self.comp.input.stale_modifiers = true;
    }

    /// The keyboard moves on: what virtual keyboards hold down comes up for the client that had it.
    pub(crate) fn end_virtual_typing(&mut self) {
        let objects: Vec<ObjectId> = self.comp.input.virtual_keyboards.all.keys().cloned().collect();
        for object in objects {
            self.release_virtual_keys(&object);
        }
        self.hear_seat();
    }

    fn release_virtual_keys(&mut self, object: &ObjectId) {
        let Some(keyboard) = self.comp.input.virtual_keyboards.all.get_mut(object) else { return };
        for code in std::mem::take(&mut keyboard.down) {
            self.send_virtual_key(object, code, false);
        }
    }

    fn virtual_key(&mut self, object: &ObjectId, code: u32, pressed: bool) {
        let suspended = pressed && self.comp.is_attending();
        let Some(keyboard) = self.comp.input.virtual_keyboards.all.get_mut(object) else { return };
        let down = keyboard.down.contains(&code);
        if down == pressed || code > MAX_CODE || suspended {
            // Nothing changes; or it was pressed for another window, or while nobody gets anything.
            return;
        }
        keyboard.down.retain(|other| *other != code);
        if self.send_virtual_key(object, code, pressed) && pressed {
            let keyboards = &mut self.comp.input.virtual_keyboards;
            keyboards.all.entry(object.clone()).or_default().down.push(code);
        }
    }

    /// Sends a key to the focused client; false if there is none, or it does not listen.
    fn send_virtual_key(&mut self, object: &ObjectId, code: u32, pressed: bool) -> bool {
        let listening = self.comp.hear_virtual(object);
        let serial = if pressed { self.comp.input.press_serial() } else { SERIAL_COUNTER.next_serial() };
        let state = if pressed { KeyState::Pressed } else { KeyState::Released };
        // The time of the program may be of any clock, and is no business of the client's.
        let time = self.input_time();
        for keyboard in &listening {
            keyboard.key(serial.into(), time, code, state);
        }
        let on = TypedOn::Virtual(object.clone());
        if pressed && !listening.is_empty() {
            self.begin_key_repeat(code, on, serial);
        } else if !pressed {
            self.key_came_up(code, &on);
        }
        !listening.is_empty()
    }

    fn virtual_modifiers(&mut self, object: &ObjectId, modifiers: Modifiers) {
        if let Some(keyboard) = self.comp.input.virtual_keyboards.all.get_mut(object) {
            keyboard.modifiers = modifiers;
        }
        for keyboard in self.comp.hear_virtual(object) {
            send_modifiers(&keyboard, modifiers);
        }
    }
}

impl Comp {
    /// Lets the focused client hear a virtual keyboard: all of its objects have the keymap and the modifiers then. Returns
    /// the objects.
    pub(crate) fn hear_virtual(&mut self, object: &ObjectId) -> Vec<WlKeyboard> {
        let Some(keyboard) = self.seat.get_keyboard() else { return Vec::new() };
        let Some(client) = keyboard.current_focus().and_then(|surface| surface.client()) else {
            return Vec::new();
        };
        let listening: Vec<WlKeyboard> = keyboard.client_keyboards(&client).collect();
        let keyboards = &mut self.input.virtual_keyboards;
        let Some(typing) = keyboards.all.get(object) else { return Vec::new() };
        let Some(keymap) = &typing.keymap else { return Vec::new() };
        let before = keyboards.heard.take();
        let same = before
            .as_ref()
            .is_some_and(|heard| heard.keyboard == *object && Rc::ptr_eq(&heard.keymap, keymap));
        for one in &listening {
            let had = before.as_ref().filter(|heard| heard.by.contains(one));
            if same && had.is_some() {
                continue;
            }
            let has = had.map_or(&self.input.keymap, |heard| &heard.keymap);
            if !keymap.is(has) {
                send_keymap(keymap, one);
            }
            send_modifiers(one, typing.modifiers);
        }
        let (keyboard, keymap) = (object.clone(), Rc::clone(keymap));
        keyboards.heard = Some(Heard { keyboard, keymap, by: listening.clone() });
        listening
    }
}

fn send_keymap(keymap: &Keymap, keyboard: &WlKeyboard) {
    if let Err(error) = keymap.file.send(keyboard) {
        tracing::error!("error sending a keymap: {error}");
    }
}

fn send_modifiers(keyboard: &WlKeyboard, (depressed, latched, locked, group): Modifiers) {
    keyboard.modifiers(SERIAL_COUNTER.next_serial().into(), depressed, latched, locked, group);
}

impl GlobalDispatch<ZwpVirtualKeyboardManagerV1, ()> for State {
    fn bind(
        _state: &mut Self,
        _display: &DisplayHandle,
        _client: &Client,
        manager: New<ZwpVirtualKeyboardManagerV1>,
        _data: &(),
        data_init: &mut DataInit<'_, Self>,
    ) {
        data_init.init(manager, ());
    }

    fn can_view(client: Client, _data: &()) -> bool {
        is_local(&client)
    }
}

impl Dispatch<ZwpVirtualKeyboardManagerV1, ()> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        _manager: &ZwpVirtualKeyboardManagerV1,
        request: zwp_virtual_keyboard_manager_v1::Request,
        _data: &(),
        _display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        // There is one seat.
        if let zwp_virtual_keyboard_manager_v1::Request::CreateVirtualKeyboard { id, .. } = request {
            let object = data_init.init(id, ());
            state.comp.input.virtual_keyboards.all.insert(object.id(), VirtualKeyboard::default());
        }
    }
}

impl Dispatch<ZwpVirtualKeyboardV1, ()> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        object: &ZwpVirtualKeyboardV1,
        request: zwp_virtual_keyboard_v1::Request,
        _data: &(),
        _display: &DisplayHandle,
        _data_init: &mut DataInit<'_, Self>,
    ) {
        use zwp_virtual_keyboard_v1::Request;
        let id = object.id();
        if let Request::Keymap { format, fd, size } = request {
            let keymap = (format == u32::from(KeymapFormat::XkbV1)).then(|| Keymap::of_client(fd, size));
            match keymap {
                Some(Ok(keymap)) => {
                    state.release_virtual_keys(&id);
                    if let Some(keyboard) = state.comp.input.virtual_keyboards.all.get_mut(&id) {
                        keyboard.keymap = Some(Rc::new(keymap));
                        keyboard.modifiers = Modifiers::default();
                    }
                }
                // There is one error, and without a keymap there is no keymap.
                Some(Err(error)) => object.post_error(Error::NoKeymap, error.to_string()),
                None => object.post_error(Error::NoKeymap, "a keymap is in format 1"),
            }
            return;
        }
        let keyboard = state.comp.input.virtual_keyboards.all.get(&id);
        let ready = keyboard.is_some_and(|keyboard| keyboard.keymap.is_some());
        match request {
            Request::Key { .. } | Request::Modifiers { .. } if !ready => {
                object.post_error(Error::NoKeymap, "there is no keymap yet");
            }
            Request::Key { key, state: pressed @ (0 | 1), .. } => state.virtual_key(&id, key, pressed == 1),
            Request::Modifiers { mods_depressed, mods_latched, mods_locked, group } => {
                state.virtual_modifiers(&id, (mods_depressed, mods_latched, mods_locked, group));
            }
            _ => {}
        }
    }

    fn destroyed(state: &mut Self, _client: ClientId, object: &ZwpVirtualKeyboardV1, _data: &()) {
        let id = object.id();
        state.release_virtual_keys(&id);
        let keyboards = &mut state.comp.input.virtual_keyboards;
        keyboards.all.remove(&id);
        if keyboards.heard.as_ref().is_some_and(|heard| heard.keyboard == id) {
            state.hear_seat();
            state.tell_modifiers();
        }
    }
}
