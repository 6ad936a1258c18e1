//! `zwp_text_input_v3`: text inputs of applications, by the rules of [`crate::input::composition`].
//!
//! A text input follows the keyboard: its client is told `enter` and `leave` with each surface that gets the keyboard,
//! whether there is an input method or not, so that no VM learns which it is.
//!
//! Not by Smithay's module: in 0.7 a content type or a cause with a number that the protocol does not know panics, offsets
//! go on to the input method unchecked, of several text inputs of a client one is told of the keyboard, and what an input
//! method composed for one text input is given to the next.

use std::time::Duration;

use calloop::timer::{TimeoutAction, Timer};
use smithay::reexports::wayland_protocols::wp::text_input::zv3::server::zwp_text_input_manager_v3::{
    self, ZwpTextInputManagerV3,
};
use smithay::reexports::wayland_protocols::wp::text_input::zv3::server::zwp_text_input_v3::{
    self, ChangeCause, ZwpTextInputV3,
};
use smithay::reexports::wayland_server::backend::ClientId;
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::reexports::wayland_server::{
    Client, DataInit, Dispatch, DisplayHandle, GlobalDispatch, New, Resource, WEnum,
};
use smithay::utils::Rectangle;

use crate::input::composition::{Cause, Composition, Edit, Event, Kind, Request, Surrounding};
use crate::state::{Comp, State};
use crate::trust::client::may_see;

/// How long the input method has for the states that one refill allows.
const REFILL: Duration = Duration::from_millis(16);
/// The version that is offered.
const VERSION: u32 = 1;
/// The hints of that version.
const HINTS: u32 = 0x3ff;

/// The text inputs of all clients.
pub type TextInputs = Composition<ZwpTextInputV3, ClientId, WlSurface>;
/// What follows from a change of them.
pub type TextEvent = Event<ZwpTextInputV3, WlSurface>;

/// Creates the global.
pub(super) fn create(display: &DisplayHandle) {
    display.create_global::<State, ZwpTextInputManagerV3, ()>(VERSION, ());
}

impl State {
    /// The keyboard has moved to a surface. Called while Smithay moves it, so nothing here asks the keyboard anything.
    pub(crate) fn text_focus(&mut self, focused: Option<&WlSurface>) {
        let focus = focused.and_then(|surface| Some((surface.client()?.id(), surface.clone())));
        let events = self.comp.input.composition.set_focus(focus);
        self.comp.tell_composition(events);
        // Who gets the keyboard is told the modifiers with it.
        self.comp.input.stale_modifiers = false;
    }

    /// Does what follows from a change of a text input or of the input method.
    pub(crate) fn compose(&mut self, events: Vec<TextEvent>) {
        self.plan_refill();
        let (activated, deactivated) =
            (events.contains(&Event::Activate), events.contains(&Event::Deactivate));
        self.comp.tell_composition(events);
        if activated {
            self.comp.tell_method_modifiers();
        } else if deactivated {
            self.tell_modifiers();
        }
        self.comp.tell_popup_rectangles();
    }

    /// Plans when the input method may be told again, if it was told. The timer exists only then, so that an idle
    /// compositor sleeps.
    fn plan_refill(&mut self) {
        if !self.comp.input.composition.is_spent() || self.comp.input.refill_planned {
            return;
        }
        let inserted = self.comp.events.insert_source(Timer::from_duration(REFILL), |_, (), state| {
            state.comp.input.refill_planned = false;
            let events = state.comp.input.composition.refill();
            state.compose(events);
            TimeoutAction::Drop
        });
        match inserted {
            Ok(_) => self.comp.input.refill_planned = true,
            Err(error) => tracing::error!("error arming the timer of the input method: {error}"),
        }
    }
}

impl Comp {
    /// Whether the input method, if there is one, knows what the active text input says of itself.
    #[must_use]
    pub fn method_is_told(&self) -> bool {
        !self.input.composition.method_waits()
    }

    fn tell_composition(&mut self, events: Vec<TextEvent>) {
        for event in events {
            match event {
                Event::Enter(input, surface) => input.enter(&surface),
                // A surface that is gone has no name any more by which its client could be told.
                Event::Leave(input, surface) if surface.is_alive() => input.leave(&surface),
                Event::Leave(..) => {}
                Event::Edit(input, edit, commits) => write(&input, edit, commits),
                Event::Activate | Event::Deactivate | Event::Field(_) | Event::Done => {
                    self.tell_method(event);
                    self.schedule.request();
                }
            }
        }
    }
}

/// Sends a text input what the input method wrote.
fn write(input: &ZwpTextInputV3, edit: Edit, commits: u32) {
    if let Some(preedit) = edit.preedit {
        input.preedit_string(Some(preedit.text), preedit.begin, preedit.end);
    }
    if let Some(text) = edit.insert {
        input.commit_string(Some(text));
    }
    if let Some((before, after)) = edit.delete {
        input.delete_surrounding_text(before, after);
    }
    input.done(commits);
}

/// What a client asks for, without the numbers that the protocol does not know.
fn understood(request: zwp_text_input_v3::Request) -> Option<Request> {
    use zwp_text_input_v3::Request as Asked;
    match request {
        Asked::Enable => Some(Request::Enable),
        Asked::Disable => Some(Request::Disable),
        Asked::SetSurroundingText { text, cursor, anchor } => {
            Some(Request::Surrounding(Surrounding::new(text, cursor, anchor)))
        }
        Asked::SetTextChangeCause { cause } => Some(Request::Cause(match cause {
            WEnum::Value(ChangeCause::InputMethod) => Cause::InputMethod,
            _ => Cause::Other,
        })),
        Asked::SetContentType { hint, purpose } => {
            let hint = match hint {
                WEnum::Value(hint) => hint.bits(),
                WEnum::Unknown(bits) => bits,
            };
            let purpose = match purpose {
                WEnum::Value(purpose) => purpose.into(),
                WEnum::Unknown(_) => 0,
            };
            Some(Request::Kind(Kind { hint: hint & HINTS, purpose }))
        }
        Asked::SetCursorRectangle { x, y, width, height } => {
            let size = (width.max(0), height.max(0));
            Some(Request::Cursor(Rectangle::new((x, y).into(), size.into())))
        }
        Asked::Commit => Some(Request::Commit),
        _ => None,
    }
}

impl GlobalDispatch<ZwpTextInputManagerV3, ()> for State {
    fn bind(
        _state: &mut Self,
        _display: &DisplayHandle,
        _client: &Client,
        manager: New<ZwpTextInputManagerV3>,
        _data: &(),
        data_init: &mut DataInit<'_, Self>,
    ) {
        data_init.init(manager, ());
    }

    fn can_view(client: Client, _data: &()) -> bool {
        may_see(&client, ZwpTextInputManagerV3::interface().name)
    }
}

impl Dispatch<ZwpTextInputManagerV3, ()> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        _manager: &ZwpTextInputManagerV3,
        request: zwp_text_input_manager_v3::Request,
        _data: &(),
        display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        // There is one seat.
        if let zwp_text_input_manager_v3::Request::GetTextInput { id, .. } = request {
            if !state.comp.input.listeners.add(client, display) {
                return;
            }
            let input = data_init.init(id, ());
            let events = state.comp.input.composition.add(input, client.id());
            state.compose(events);
        }
    }
}

impl Dispatch<ZwpTextInputV3, ()> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        input: &ZwpTextInputV3,
        request: zwp_text_input_v3::Request,
        _data: &(),
        _display: &DisplayHandle,
        _data_init: &mut DataInit<'_, Self>,
    ) {
        if let Some(request) = understood(request) {
            let events = state.comp.input.composition.request(input, request);
            if !events.is_empty() {
                state.compose(events);
            }
        }
    }

    fn destroyed(state: &mut Self, client: ClientId, input: &ZwpTextInputV3, _data: &()) {
        state.comp.input.listeners.remove(&client);
        let events = state.comp.input.composition.remove(input);
        state.compose(events);
    }
}
