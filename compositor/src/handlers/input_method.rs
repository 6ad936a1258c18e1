//! `zwp_input_method_v2`: the program that composes text for whoever has the keyboard.
//!
//! It sees and writes what is typed, so it is a program of the GUI VM: no VM is shown the global, whatever the configuration
//! says. There is one at a time; a second one is told that there is none to be had. What it hears and where its text goes
//! is decided by [`crate::input::composition`].
//!
//! While a text input is active, the keys of the seat go to the input method's keyboard grab if it has one, after the
//! compositor has taken its own chords; a release goes where the press went. Keys of virtual keyboards never do, or an
//! input method that types what it does not want would hear itself.
//!
//! Its popups are drawn as part of the window that has the keyboard, beside the cursor, with a ring in the colour of local
//! windows, and never over the window's label ([`beside_cursor`]).
//!
//! Not by Smithay's module: its keyboard grab takes the place of a popup's, and all keys whether a text input is active or
//! not; and it does not tell which activation a commit was meant for.

use smithay::input::keyboard::ModifiersState;
use smithay::reexports::wayland_protocols::wp::text_input::zv3::server::zwp_text_input_v3::{
    ChangeCause, ContentHint, ContentPurpose,
};
use smithay::reexports::wayland_protocols_misc::zwp_input_method_v2::server::zwp_input_method_keyboard_grab_v2::{
    self, ZwpInputMethodKeyboardGrabV2,
};
use smithay::reexports::wayland_protocols_misc::zwp_input_method_v2::server::zwp_input_method_manager_v2::{
    self, ZwpInputMethodManagerV2,
};
use smithay::reexports::wayland_protocols_misc::zwp_input_method_v2::server::zwp_input_method_v2::{
    self, ZwpInputMethodV2,
};
use smithay::reexports::wayland_protocols_misc::zwp_input_method_v2::server::zwp_input_popup_surface_v2::{
    self, ZwpInputPopupSurfaceV2,
};
use smithay::reexports::wayland_server::backend::ClientId;
use smithay::reexports::wayland_server::protocol::wl_keyboard::{KeyState, KeymapFormat};
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::reexports::wayland_server::{
    Client, DataInit, Dispatch, DisplayHandle, GlobalDispatch, New, Resource, Weak,
};
use smithay::utils::{Logical, Physical, Point, Rectangle, SERIAL_COUNTER, Serial, Size};
use smithay::wayland::compositor::give_role;
use std::os::fd::AsFd as _;

use super::geometry::window_geometry;
use super::text_input::TextEvent;
use crate::config::input::KeyboardConfig;
use crate::input::composition::{Cause, Event, Field, MethodRequest, Preedit};
use crate::render::schedule::has_buffer;
use crate::shell::popup::{PopupRects, beside_cursor};
use crate::state::{Comp, State};
use crate::trust::client::{end_for_misuse, is_local};

/// The version that is offered.
const VERSION: u32 = 1;
/// The role of a popup's surface.
const POPUP_ROLE: &str = "zwp_input_popup_surface_v2";
/// Popups that an input method may have.
const MAX_POPUPS: usize = 16;

/// The input method's objects.
#[derive(Debug)]
pub struct InputMethod {
    object: ZwpInputMethodV2,
    grab: Option<ZwpInputMethodKeyboardGrabV2>,
    popups: Vec<Popup>,
}

impl InputMethod {
    /// Whether one of its popups shows this surface.
    pub(super) fn owns(&self, surface: &WlSurface) -> bool {
        self.popups.iter().any(|popup| popup.surface == *surface)
    }
}

#[derive(Debug)]
struct Popup {
    object: ZwpInputPopupSurfaceV2,
    surface: WlSurface,
    /// Where it was last told that the cursor is.
    told: Option<Rectangle<i32, Logical>>,
}

/// A popup of the input method as it is drawn and hit.
#[derive(Clone, Debug)]
pub struct PlacedMethodPopup {
    /// Its surface.
    pub surface: WlSurface,
    /// Where it is.
    pub rects: PopupRects,
}

/// Creates the global.
pub(super) fn create(display: &DisplayHandle) {
    display.create_global::<State, ZwpInputMethodManagerV2, ()>(VERSION, ());
}

impl Comp {
    /// Sends the input method one of the events that are for it.
    pub(super) fn tell_method(&self, event: TextEvent) {
        let Some(method) = &self.input.method else { return };
        match event {
            Event::Activate => method.object.activate(),
            Event::Deactivate => method.object.deactivate(),
            Event::Field(field) => tell_field(&method.object, field),
            Event::Done => method.object.done(),
            Event::Enter(..) | Event::Leave(..) | Event::Edit(..) => {}
        }
    }

    /// Whether the keys of the seat are the input method's.
    pub(crate) fn method_takes_keys(&self) -> bool {
        self.input.composition.method_is_active() && self.grab().is_some()
    }

    fn grab(&self) -> Option<&ZwpInputMethodKeyboardGrabV2> {
        self.input.method.as_ref().and_then(|method| method.grab.as_ref())
    }

    /// Gives the input method a key, if it still listens.
    pub(crate) fn key_to_method(
        &self,
        code: u32,
        pressed: bool,
        serial: Serial,
        time: u32,
        modifiers: Option<ModifiersState>,
    ) {
        let Some(grab) = self.grab() else { return };
        let state = if pressed { KeyState::Pressed } else { KeyState::Released };
        grab.key(serial.into(), time, code, state);
        if let Some(modifiers) = modifiers {
            tell_modifiers(grab, modifiers, serial);
        }
    }

    /// Tells the input method what the keys are, how they repeat, and which modifiers are down.
    pub(crate) fn tell_method_keyboard(&self) {
        let Some(grab) = self.grab() else { return };
        match self.input.keymap.copy() {
            Ok((keymap, length)) => grab.keymap(KeymapFormat::XkbV1, keymap.as_fd(), length),
            Err(error) => tracing::error!("error copying the keymap: {error}"),
        }
        let KeyboardConfig { repeat_rate, repeat_delay, .. } = self.config.current().input.keyboard;
        grab.repeat_info(repeat_rate, repeat_delay);
        self.tell_method_modifiers();
    }

    /// Tells the input method which modifiers are down. They may have changed while it was not wanted.
    pub(crate) fn tell_method_modifiers(&self) {
        if let (Some(grab), Some(keyboard)) = (self.grab(), self.seat.get_keyboard()) {
            tell_modifiers(grab, keyboard.modifier_state(), SERIAL_COUNTER.next_serial());
        }
    }

    /// The popups of the input method that are shown, the front-most last. They belong to the focused window.
    #[must_use]
    pub fn method_popups(&self) -> Vec<PlacedMethodPopup> {
        let Some(method) = self.input.method.as_ref().filter(|method| !method.popups.is_empty()) else {
            return Vec::new();
        };
        let Some((content, cursor)) = self.cursor_of_text() else { return Vec::new() };
        // The window that has the keyboard, or a popup of it has: the label is above its content.
        let Some(window) = self.focused_window() else { return Vec::new() };
        let top = self.shell.content(window).loc.y;
        let shown =
            method.popups.iter().filter(|popup| popup.surface.is_alive() && has_buffer(&popup.surface));
        let placed = shown.filter_map(|popup| {
            let rects = self.place_method_popup(&popup.surface, content, top, cursor)?;
            Some(PlacedMethodPopup { surface: popup.surface.clone(), rects })
        });
        placed.collect()
    }

    /// Whether a popup of the input method has this point, unless another window covers it there.
    pub(crate) fn on_method_popup(&self, point: Point<i32, Physical>) -> bool {
        self.method_popups().iter().any(|popup| popup.rects.outer().contains(point))
    }

    /// The content rectangle of what the input method writes into, and the cursor in it.
    fn cursor_of_text(&self) -> Option<(Rectangle<i32, Physical>, Rectangle<i32, Physical>)> {
        if !self.input.composition.method_is_active() {
            return None;
        }
        let (surface, field) = self.input.composition.active()?;
        let content = self.content_of(surface)?;
        let corner = window_geometry(surface).loc.to_f64();
        // Without a word of the cursor the upper left corner is as good a place as any.
        let cursor = field.cursor.unwrap_or_default().to_f64();
        let cursor = Rectangle::new(cursor.loc - corner, cursor.size);
        // In floating point no number of a client's overflows, and the cast saturates.
        let cursor: Rectangle<i32, Physical> =
            cursor.to_physical(self.layout_of_focus().scale).to_i32_round();
        Some((content, cursor))
    }

    fn place_method_popup(
        &self,
        surface: &WlSurface,
        content: Rectangle<i32, Physical>,
        top: i32,
        cursor: Rectangle<i32, Physical>,
    ) -> Option<PopupRects> {
        let layout = self.layout_of_focus();
        let ring = layout.metrics.scaled(layout.scale).popup_ring;
        let size: Size<i32, Physical> =
            window_geometry(surface).size.to_f64().to_physical(layout.scale).to_i32_round();
        beside_cursor(cursor, size, content, top, layout.work_area(), ring)
    }

    /// Tells each popup that is shown where the cursor is, as seen from it.
    pub(super) fn tell_popup_rectangles(&mut self) {
        let Some((content, cursor)) = self.cursor_of_text() else { return };
        let placed = self.method_popups();
        let scale = self.layout_of_focus().scale;
        let Some(method) = self.input.method.as_mut() else { return };
        for popup in &mut method.popups {
            let Some(place) = placed.iter().find(|placed| placed.surface == popup.surface) else { continue };
            let corner = (
                content.loc.x.saturating_add(cursor.loc.x).saturating_sub(place.rects.content.loc.x),
                content.loc.y.saturating_add(cursor.loc.y).saturating_sub(place.rects.content.loc.y),
            );
            let seen: Rectangle<i32, Logical> =
                Rectangle::new(corner.into(), cursor.size).to_f64().to_logical(scale).to_i32_round();
            if popup.told.replace(seen) != Some(seen) {
                popup.object.text_input_rectangle(seen.loc.x, seen.loc.y, seen.size.w, seen.size.h);
            }
        }
    }
}

impl State {
    /// A popup of the input method has new content, or any other surface has.
    pub(crate) fn method_popup_committed(&mut self, surface: &WlSurface) {
        let Some(method) = &self.comp.input.method else { return };
        if method.popups.iter().any(|popup| popup.surface == *surface) && has_buffer(surface) {
            self.enter_output_of(surface);
            self.comp.tell_popup_rectangles();
        }
    }

    /// The input method with this object, unless another one was there before it.
    fn method(&mut self, object: &ZwpInputMethodV2) -> Option<&mut InputMethod> {
        self.comp.input.method.as_mut().filter(|method| method.object == *object)
    }

    fn grab_keyboard(
        &mut self,
        method: &ZwpInputMethodV2,
        keyboard: New<ZwpInputMethodKeyboardGrabV2>,
        data_init: &mut DataInit<'_, Self>,
    ) {
        let grab = data_init.init(keyboard, ());
        let Some(method) = self.method(method) else { return };
        method.grab = Some(grab);
        self.comp.tell_method_keyboard();
    }

    fn add_method_popup(
        &mut self,
        client: &Client,
        method: &ZwpInputMethodV2,
        id: New<ZwpInputPopupSurfaceV2>,
        surface: WlSurface,
        data_init: &mut DataInit<'_, Self>,
    ) {
        let taken = give_role(&surface, POPUP_ROLE).is_err();
        let object = data_init.init(id, surface.downgrade());
        let display = self.comp.display.clone();
        if taken {
            // The protocol asks for an error here and has no code for it.
            method.post_error(0_u32, "the surface has a role already");
            return;
        }
        let Some(method) = self.method(method) else { return };
        if method.popups.len() >= MAX_POPUPS {
            end_for_misuse(client, &display, "too many popups of an input method");
            return;
        }
        method.popups.push(Popup { object, surface, told: None });
    }
}

fn tell_field(object: &ZwpInputMethodV2, field: Field) {
    if let Some(surrounding) = field.surrounding {
        object.surrounding_text(surrounding.text().to_owned(), surrounding.cursor(), surrounding.anchor());
    }
    object.text_change_cause(match field.cause {
        Cause::InputMethod => ChangeCause::InputMethod,
        Cause::Other => ChangeCause::Other,
    });
    let purpose = ContentPurpose::try_from(field.kind.purpose).unwrap_or(ContentPurpose::Normal);
    object.content_type(ContentHint::from_bits_truncate(field.kind.hint), purpose);
}

fn tell_modifiers(grab: &ZwpInputMethodKeyboardGrabV2, modifiers: ModifiersState, serial: Serial) {
    let now = modifiers.serialized;
    grab.modifiers(serial.into(), now.depressed, now.latched, now.locked, now.layout_effective);
}

impl GlobalDispatch<ZwpInputMethodManagerV2, ()> for State {
    fn bind(
        _state: &mut Self,
        _display: &DisplayHandle,
        _client: &Client,
        manager: New<ZwpInputMethodManagerV2>,
        _data: &(),
        data_init: &mut DataInit<'_, Self>,
    ) {
        data_init.init(manager, ());
    }

    fn can_view(client: Client, _data: &()) -> bool {
        is_local(&client)
    }
}

impl Dispatch<ZwpInputMethodManagerV2, ()> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        _manager: &ZwpInputMethodManagerV2,
        request: zwp_input_method_manager_v2::Request,
        _data: &(),
        _display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        // There is one seat.
        if let zwp_input_method_manager_v2::Request::GetInputMethod { input_method, .. } = request {
            let object = data_init.init(input_method, ());
            let Some(events) = state.comp.input.composition.add_method() else {
                object.unavailable();
                return;
            };
            state.comp.input.method = Some(InputMethod { object, grab: None, popups: Vec::new() });
            state.compose(events);
        }
    }
}

impl Dispatch<ZwpInputMethodV2, ()> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        object: &ZwpInputMethodV2,
        request: zwp_input_method_v2::Request,
        _data: &(),
        _display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        use zwp_input_method_v2::Request;
        let request = match request {
            Request::CommitString { text } => MethodRequest::Insert(text),
            Request::SetPreeditString { text, cursor_begin, cursor_end } => {
                MethodRequest::Preedit(Preedit { text, begin: cursor_begin, end: cursor_end })
            }
            Request::DeleteSurroundingText { before_length, after_length } => {
                MethodRequest::Delete(before_length, after_length)
            }
            Request::Commit { serial } => MethodRequest::Commit(serial),
            Request::GetInputPopupSurface { id, surface } => {
                state.add_method_popup(client, object, id, surface, data_init);
                return;
            }
            Request::GrabKeyboard { keyboard } => {
                state.grab_keyboard(object, keyboard, data_init);
                return;
            }
            _ => return,
        };
        if state.method(object).is_some() {
            let events = state.comp.input.composition.method_request(request);
            state.compose(events);
        }
    }

    fn destroyed(state: &mut Self, _client: ClientId, object: &ZwpInputMethodV2, _data: &()) {
        if state.method(object).is_none() {
            return;
        }
        state.comp.input.method = None;
        let events = state.comp.input.composition.remove_method();
        state.compose(events);
        // Nobody tells the application of its modifiers any more.
        state.tell_modifiers();
        state.refresh_pointer();
        state.comp.schedule.request();
    }
}

impl Dispatch<ZwpInputMethodKeyboardGrabV2, ()> for State {
    fn request(
        _state: &mut Self,
        _client: &Client,
        _grab: &ZwpInputMethodKeyboardGrabV2,
        _request: zwp_input_method_keyboard_grab_v2::Request,
        _data: &(),
        _display: &DisplayHandle,
        _data_init: &mut DataInit<'_, Self>,
    ) {
    }

    fn destroyed(state: &mut Self, _client: ClientId, grab: &ZwpInputMethodKeyboardGrabV2, _data: &()) {
        if let Some(method) =
            state.comp.input.method.as_mut().filter(|method| method.grab.as_ref() == Some(grab))
        {
            method.grab = None;
            state.tell_modifiers();
        }
    }
}

impl Dispatch<ZwpInputPopupSurfaceV2, Weak<WlSurface>> for State {
    fn request(
        _state: &mut Self,
        _client: &Client,
        _popup: &ZwpInputPopupSurfaceV2,
        _request: zwp_input_popup_surface_v2::Request,
        _surface: &Weak<WlSurface>,
        _display: &DisplayHandle,
        _data_init: &mut DataInit<'_, Self>,
    ) {
    }

    fn destroyed(
        state: &mut Self,
        _client: ClientId,
        popup: &ZwpInputPopupSurfaceV2,
        surface: &Weak<WlSurface>,
    ) {
        if let Some(method) = state.comp.input.method.as_mut() {
            method.popups.retain(|other| other.object != *popup);
        }
        if let Ok(surface) = surface.upgrade() {
            state.comp.announced.leave_all(&surface);
        }
        state.refresh_pointer();
        state.comp.schedule.request();
    }
}
