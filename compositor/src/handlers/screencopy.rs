//! `zwlr_screencopy_manager_v1`: pictures of the output that local programs take one by one, such as grim. What is drawn when is
//! in [`crate::render::capture::screencopy`].

use smithay::reexports::wayland_protocols_wlr::screencopy::v1::server::zwlr_screencopy_frame_v1::{
    self, ZwlrScreencopyFrameV1,
};
use smithay::reexports::wayland_protocols_wlr::screencopy::v1::server::zwlr_screencopy_manager_v1::{
    self, ZwlrScreencopyManagerV1,
};
use smithay::reexports::wayland_server::backend::ClientId;
use smithay::reexports::wayland_server::{
    Client, DataInit, Dispatch, DisplayHandle, GlobalDispatch, New, Resource,
};
use smithay::utils::{Physical, Point, Rectangle};

use crate::render::capture::screencopy::{CopyError, FrameNumber};
use crate::state::State;
use crate::trust::client::{end_for_misuse, is_local, may_see};

/// The version that is offered.
const VERSION: u32 = 3;

/// Creates the global.
pub fn create(display: &DisplayHandle) {
    display.create_global::<State, ZwlrScreencopyManagerV1, ()>(VERSION, ());
}

impl GlobalDispatch<ZwlrScreencopyManagerV1, ()> for State {
    fn bind(
        _state: &mut Self,
        _display: &DisplayHandle,
        _client: &Client,
        new: New<ZwlrScreencopyManagerV1>,
        _data: &(),
        data_init: &mut DataInit<'_, Self>,
    ) {
        data_init.init(new, ());
    }

    fn can_view(client: Client, _data: &()) -> bool {
        is_local(&client) && may_see(&client, ZwlrScreencopyManagerV1::interface().name)
    }
}

/// The physical pixels that a part of the output has, which is given in logical ones: all that it touches.
fn touched([x, y, width, height]: [i32; 4], scale: f64) -> Rectangle<i32, Physical> {
    let pixel = |logical: i32| f64::from(logical) * scale;
    let start: Point<i32, Physical> = Point::<f64, Physical>::from((pixel(x), pixel(y))).to_i32_floor();
    let end = (x.saturating_add(width.max(0)), y.saturating_add(height.max(0)));
    let end: Point<i32, Physical> = Point::<f64, Physical>::from((pixel(end.0), pixel(end.1))).to_i32_ceil();
    let size = (end.x.saturating_sub(start.x), end.y.saturating_sub(start.y));
    Rectangle::new(start, (size.0.max(0), size.1.max(0)).into())
}

impl Dispatch<ZwlrScreencopyManagerV1, ()> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        _manager: &ZwlrScreencopyManagerV1,
        request: zwlr_screencopy_manager_v1::Request,
        _data: &(),
        display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        use zwlr_screencopy_manager_v1::Request;
        let (frame, pointer, output, part) = match request {
            Request::CaptureOutput { frame, overlay_cursor, output } => (frame, overlay_cursor, output, None),
            Request::CaptureOutputRegion { frame, overlay_cursor, output, x, y, width, height } => {
                (frame, overlay_cursor, output, Some([x, y, width, height]))
            }
            _ => return,
        };
        let output = state.comp.announced.find(&output);
        // What is not there any more is no part of anything.
        let region = output.map_or_else(Rectangle::default, |output| {
            let layout = state.comp.shell.layout_on(output);
            part.map_or(Rectangle::from_size(layout.output), |part| touched(part, layout.scale))
        });
        let number = state.comp.captures.copies.next_number();
        let object = data_init.init(frame, number);
        match number {
            Some(number) => {
                let output = output.unwrap_or_default();
                state.open_copy(number, object, client, (output, region), pointer != 0);
            }
            None => end_for_misuse(client, display, "there are too many frames"),
        }
    }

    fn destroyed(state: &mut Self, client: ClientId, _manager: &ZwlrScreencopyManagerV1, _data: &()) {
        state.comp.captures.copies.forget(&client);
    }
}

impl Dispatch<ZwlrScreencopyFrameV1, Option<FrameNumber>> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        frame: &ZwlrScreencopyFrameV1,
        request: zwlr_screencopy_frame_v1::Request,
        number: &Option<FrameNumber>,
        _display: &DisplayHandle,
        _data_init: &mut DataInit<'_, Self>,
    ) {
        use zwlr_screencopy_frame_v1::{Error, Request};
        let (Some(number), (buffer, changed)) = (
            *number,
            match request {
                Request::Copy { buffer } => (buffer, false),
                Request::CopyWithDamage { buffer } => (buffer, true),
                _ => return,
            },
        ) else {
            return;
        };
        if let Err(error) = state.request_copy(number, buffer, changed) {
            let code = match error {
                CopyError::AlreadyUsed => Error::AlreadyUsed,
                CopyError::InvalidBuffer => Error::InvalidBuffer,
            };
            frame.post_error(code, error.to_string());
        }
    }

    fn destroyed(
        state: &mut Self,
        _client: ClientId,
        _frame: &ZwlrScreencopyFrameV1,
        number: &Option<FrameNumber>,
    ) {
        if let Some(number) = number {
            state.comp.captures.copies.destroyed(*number);
            state.capture_object_gone();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_output_is_all_pixels_that_it_touches() {
        let rect = |x, y, w, h| Rectangle::new((x, y).into(), (w, h).into());
        assert_eq!(touched([10, 20, 30, 40], 1.0), rect(10, 20, 30, 40));
        assert_eq!(touched([1, 1, 1, 1], 1.25), rect(1, 1, 2, 2));
        assert_eq!(touched([-5, 0, 10, 3], 2.0), rect(-10, 0, 20, 6));
        assert!(touched([5, 5, -1, 7], 1.0).is_empty());
        assert!(touched([i32::MAX, i32::MIN, i32::MAX, i32::MAX], 8.0).size.w >= 0);
    }
}
