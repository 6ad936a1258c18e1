//! `zwp_tablet_manager_v2`: graphics tablets and their pens. Clients choose a pen's shape from a list, as the
//! pointer's; their pictures are never drawn.

use smithay::reexports::wayland_protocols::wp::tablet::zv2::server::zwp_tablet_manager_v2::{
    self, ZwpTabletManagerV2,
};
use smithay::reexports::wayland_protocols::wp::tablet::zv2::server::zwp_tablet_seat_v2::ZwpTabletSeatV2;
use smithay::reexports::wayland_protocols::wp::tablet::zv2::server::zwp_tablet_tool_v2::ZwpTabletToolV2;
use smithay::reexports::wayland_protocols::wp::tablet::zv2::server::zwp_tablet_v2::ZwpTabletV2;
use smithay::reexports::wayland_server::{Client, DataInit, Dispatch, DisplayHandle, delegate_dispatch};
use smithay::wayland::tablet_manager::{
    TabletManagerState, TabletSeatHandler, TabletSeatUserData, TabletToolUserData, TabletUserData,
};

use crate::handlers::globals::delegate_global;
use crate::input::listeners::listener;
use crate::state::State;

impl TabletSeatHandler for State {}

delegate_global!(ZwpTabletManagerV2: () => TabletManagerState);
delegate_dispatch!(State: [ZwpTabletToolV2: TabletToolUserData] => TabletManagerState);
delegate_dispatch!(State: [ZwpTabletV2: TabletUserData] => TabletManagerState);

impl Dispatch<ZwpTabletManagerV2, ()> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        manager: &ZwpTabletManagerV2,
        request: zwp_tablet_manager_v2::Request,
        data: &(),
        display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        // Each brings an object for every tablet and every pen, so these are bounded with it.
        let listens = matches!(request, zwp_tablet_manager_v2::Request::GetTabletSeat { .. });
        if listens && !state.comp.input.listeners.add(client, display) {
            return;
        }
        <TabletManagerState as Dispatch<ZwpTabletManagerV2, (), Self>>::request(
            state, client, manager, request, data, display, data_init,
        );
    }
}

listener!(ZwpTabletSeatV2, TabletSeatUserData => TabletManagerState);
