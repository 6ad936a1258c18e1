//! `zwp_pointer_gestures_v1`: swipes, pinches and holds of several fingers on a touchpad.

use smithay::reexports::wayland_protocols::wp::pointer_gestures::zv1::server::zwp_pointer_gesture_hold_v1::ZwpPointerGestureHoldV1;
use smithay::reexports::wayland_protocols::wp::pointer_gestures::zv1::server::zwp_pointer_gesture_pinch_v1::ZwpPointerGesturePinchV1;
use smithay::reexports::wayland_protocols::wp::pointer_gestures::zv1::server::zwp_pointer_gesture_swipe_v1::ZwpPointerGestureSwipeV1;
use smithay::reexports::wayland_protocols::wp::pointer_gestures::zv1::server::zwp_pointer_gestures_v1::{
    self, ZwpPointerGesturesV1,
};
use smithay::reexports::wayland_server::{Client, DataInit, Dispatch, DisplayHandle};
use smithay::wayland::pointer_gestures::{PointerGestureUserData, PointerGesturesState};

use crate::handlers::globals::delegate_global;
use crate::input::listeners::listener;
use crate::state::State;

delegate_global!(ZwpPointerGesturesV1: () => PointerGesturesState);

impl Dispatch<ZwpPointerGesturesV1, ()> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        manager: &ZwpPointerGesturesV1,
        request: zwp_pointer_gestures_v1::Request,
        data: &(),
        display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        use zwp_pointer_gestures_v1::Request;
        let listens = matches!(
            request,
            Request::GetSwipeGesture { .. }
                | Request::GetPinchGesture { .. }
                | Request::GetHoldGesture { .. }
        );
        if listens && !state.comp.input.listeners.add(client, display) {
            return;
        }
        <PointerGesturesState as Dispatch<ZwpPointerGesturesV1, (), Self>>::request(
            state, client, manager, request, data, display, data_init,
        );
    }
}

listener!(ZwpPointerGestureSwipeV1, PointerGestureUserData<State> => PointerGesturesState);
listener!(ZwpPointerGesturePinchV1, PointerGestureUserData<State> => PointerGesturesState);
listener!(ZwpPointerGestureHoldV1, PointerGestureUserData<State> => PointerGesturesState);
