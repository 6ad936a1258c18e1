//! `wp_commit_timing_v1`: commits that wait until a time. How they are let go is in [`super::pacing`].

use std::time::Duration;

use smithay::reexports::wayland_protocols::wp::commit_timing::v1::server::wp_commit_timer_v1::{
    self, WpCommitTimerV1,
};
use smithay::reexports::wayland_protocols::wp::commit_timing::v1::server::wp_commit_timing_manager_v1::{
    self, WpCommitTimingManagerV1,
};
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::reexports::wayland_server::{Client, DataInit, Dispatch, DisplayHandle, Resource, Weak};
use smithay::wayland::commit_timing::CommitTimingManagerState;

use super::claim::{claim, release};
use crate::handlers::globals::delegate_global;
use crate::state::State;

/// How far ahead a commit may be told to wait; what is later counts as this.
const MAX_AHEAD: Duration = Duration::from_secs(1);

delegate_global!(WpCommitTimingManagerV1: bool => CommitTimingManagerState);

impl Dispatch<WpCommitTimingManagerV1, bool> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        manager: &WpCommitTimingManagerV1,
        request: wp_commit_timing_manager_v1::Request,
        data: &bool,
        display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        // Smithay 0.7 sends this error for the surface, where its number means another one.
        if let wp_commit_timing_manager_v1::Request::GetTimer { surface, .. } = &request
            && !claim::<WpCommitTimerV1>(surface)
        {
            let error = wp_commit_timing_manager_v1::Error::CommitTimerExists;
            manager.post_error(error, "the surface has a commit timer");
            return;
        }
        <CommitTimingManagerState as Dispatch<WpCommitTimingManagerV1, bool, Self>>::request(
            state, client, manager, request, data, display, data_init,
        );
    }
}

impl Dispatch<WpCommitTimerV1, Weak<WlSurface>> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        timer: &WpCommitTimerV1,
        request: wp_commit_timer_v1::Request,
        surface: &Weak<WlSurface>,
        display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        use wp_commit_timer_v1::{Error, Request};
        let request = match request {
            Request::SetTimestamp { tv_sec_hi, tv_sec_lo, tv_nsec } => {
                if tv_nsec >= 1_000_000_000 {
                    timer.post_error(Error::InvalidTimestamp, "a second has a thousand million nanoseconds");
                    return;
                }
                let seconds = u64::from(tv_sec_hi) << 32 | u64::from(tv_sec_lo);
                let latest = state.comp.now().saturating_add(MAX_AHEAD);
                timestamp(Duration::new(seconds, tv_nsec).min(latest))
            }
            Request::Destroy => {
                if let Ok(surface) = surface.upgrade() {
                    release::<WpCommitTimerV1>(&surface);
                }
                Request::Destroy
            }
            other => other,
        };
        <CommitTimingManagerState as Dispatch<WpCommitTimerV1, Weak<WlSurface>, Self>>::request(
            state, client, timer, request, surface, display, data_init,
        );
    }
}

/// The request that names a time.
fn timestamp(time: Duration) -> wp_commit_timer_v1::Request {
    let word = |seconds: u64| u32::try_from(seconds & u64::from(u32::MAX)).unwrap_or(0);
    wp_commit_timer_v1::Request::SetTimestamp {
        tv_sec_hi: word(time.as_secs() >> 32),
        tv_sec_lo: word(time.as_secs()),
        tv_nsec: time.subsec_nanos(),
    }
}
