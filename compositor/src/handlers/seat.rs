//! `wl_seat` and cursor shapes. Clients choose the pointer's shape from a list; their pictures are never
//! drawn.

use smithay::input::keyboard::LedState;
use smithay::input::pointer::CursorImageStatus;
use smithay::input::{Seat, SeatHandler, SeatState};
use smithay::reexports::wayland_protocols::wp::cursor_shape::v1::server::wp_cursor_shape_device_v1::WpCursorShapeDeviceV1;
use smithay::reexports::wayland_protocols::wp::cursor_shape::v1::server::wp_cursor_shape_manager_v1::WpCursorShapeManagerV1;
use smithay::reexports::wayland_server::backend::ClientId;
use smithay::reexports::wayland_server::protocol::wl_keyboard::WlKeyboard;
use smithay::reexports::wayland_server::protocol::wl_pointer::WlPointer;
use smithay::reexports::wayland_server::protocol::wl_seat::{self, WlSeat};
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::reexports::wayland_server::protocol::wl_touch::WlTouch;
use smithay::reexports::wayland_server::{Client, DataInit, Dispatch, DisplayHandle, delegate_dispatch};
use smithay::wayland::cursor_shape::{CursorShapeDeviceUserData, CursorShapeManagerState};
use smithay::wayland::seat::{
    KeyboardUserData, PointerUserData, SeatGlobalData, SeatUserData, TouchUserData,
};

use crate::handlers::globals::delegate_global;
use crate::input::listeners::listener;
use crate::state::State;

impl SeatHandler for State {
    type KeyboardFocus = WlSurface;
    type PointerFocus = WlSurface;
    type TouchFocus = WlSurface;

    fn seat_state(&mut self) -> &mut SeatState<Self> {
        &mut self.comp.protocols.seat
    }

    fn focus_changed(&mut self, _seat: &Seat<Self>, focused: Option<&WlSurface>) {
        self.selection_focus(focused);
        self.shortcuts_focus(focused);
        self.text_focus(focused);
    }

    fn cursor_image(&mut self, _seat: &Seat<Self>, image: CursorImageStatus) {
        self.comp.input.cursor = image;
        self.comp.schedule.request();
    }

    fn led_state_changed(&mut self, _seat: &Seat<Self>, leds: LedState) {
        self.backend.set_leds(leds);
    }
}

delegate_global!(WlSeat: SeatGlobalData<State> => SeatState<State>);

delegate_global!(WpCursorShapeManagerV1: () => CursorShapeManagerState);
delegate_dispatch!(State: [WpCursorShapeManagerV1: ()] => CursorShapeManagerState);
delegate_dispatch!(State: [WpCursorShapeDeviceV1: CursorShapeDeviceUserData<State>] => CursorShapeManagerState);

impl Dispatch<WlSeat, SeatUserData<Self>> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        seat: &WlSeat,
        request: wl_seat::Request,
        data: &SeatUserData<Self>,
        display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        use wl_seat::Request;
        let listens = matches!(
            request,
            Request::GetPointer { .. } | Request::GetKeyboard { .. } | Request::GetTouch { .. }
        );
        if listens && !state.comp.input.listeners.add(client, display) {
            return;
        }
        let keyboard = matches!(request, Request::GetKeyboard { .. });
        <SeatState<Self> as Dispatch<WlSeat, SeatUserData<Self>, Self>>::request(
            state, client, seat, request, data, display, data_init,
        );
        if keyboard {
            state.tell_new_keyboard(client);
        }
    }

    fn destroyed(state: &mut Self, client: ClientId, seat: &WlSeat, data: &SeatUserData<Self>) {
        <SeatState<Self> as Dispatch<WlSeat, SeatUserData<Self>, Self>>::destroyed(state, client, seat, data);
    }
}

listener!(WlPointer, PointerUserData<State> => SeatState<State>);
listener!(WlKeyboard, KeyboardUserData<State> => SeatState<State>);
listener!(WlTouch, TouchUserData<State> => SeatState<State>);
