//! `ext_image_copy_capture_v1`: pictures of windows, and of the output for local programs, in buffers of the client. What is drawn when is in
//! [`crate::render::capture`].
//!
//! A session of the pointer's picture is answered as one that has stopped: the compositor draws the pointer itself and has no
//! picture of it to give away. With the option `paint_cursors` it is in the picture of the window that it is over.

use std::sync::atomic::{AtomicBool, Ordering};

use smithay::reexports::wayland_protocols::ext::image_copy_capture::v1::server::ext_image_copy_capture_cursor_session_v1::{
    self, ExtImageCopyCaptureCursorSessionV1,
};
use smithay::reexports::wayland_protocols::ext::image_copy_capture::v1::server::ext_image_copy_capture_frame_v1::{
    self, ExtImageCopyCaptureFrameV1,
};
use smithay::reexports::wayland_protocols::ext::image_copy_capture::v1::server::ext_image_copy_capture_manager_v1::{
    self, ExtImageCopyCaptureManagerV1, Options,
};
use smithay::reexports::wayland_protocols::ext::image_copy_capture::v1::server::ext_image_copy_capture_session_v1::{
    self, ExtImageCopyCaptureSessionV1,
};
use smithay::reexports::wayland_server::backend::ClientId;
use smithay::reexports::wayland_server::{
    Client, DataInit, Dispatch, DisplayHandle, GlobalDispatch, New, Resource, WEnum,
};

use super::image_capture_source::Source;
use crate::render::capture::{Captured, FrameError, SessionNumber};
use crate::state::State;
use crate::trust::client::{end_for_misuse, may_see, origin_of};

/// What is kept with the session of the pointer's picture: whether its capture session was asked for.
#[derive(Debug, Default)]
pub struct PointerSession(AtomicBool);

/// Creates the global.
pub fn create(display: &DisplayHandle) {
    display.create_global::<State, ExtImageCopyCaptureManagerV1, ()>(1, ());
}

impl GlobalDispatch<ExtImageCopyCaptureManagerV1, ()> for State {
    fn bind(
        _state: &mut Self,
        _display: &DisplayHandle,
        _client: &Client,
        new: New<ExtImageCopyCaptureManagerV1>,
        _data: &(),
        data_init: &mut DataInit<'_, Self>,
    ) {
        data_init.init(new, ());
    }

    fn can_view(client: Client, _data: &()) -> bool {
        may_see(&client, ExtImageCopyCaptureManagerV1::interface().name)
    }
}

impl State {
    /// Begins a session; one of nothing has stopped already.
    fn begin_session(
        &mut self,
        client: &Client,
        new: New<ExtImageCopyCaptureSessionV1>,
        source: Option<Captured>,
        with_pointer: bool,
        data_init: &mut DataInit<'_, Self>,
    ) {
        let number = self.comp.captures.next_number();
        let object = data_init.init(new, number);
        let Some(origin) = origin_of(&object) else { return };
        if !self.comp.captures.has_room(&origin) {
            end_for_misuse(client, &self.comp.display, "there are too many capture sessions");
            return;
        }
        self.open_capture(number, object, client, source, with_pointer);
    }
}

impl Dispatch<ExtImageCopyCaptureManagerV1, ()> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        manager: &ExtImageCopyCaptureManagerV1,
        request: ext_image_copy_capture_manager_v1::Request,
        _data: &(),
        _display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        use ext_image_copy_capture_manager_v1::{Error, Request};
        match request {
            Request::CreateSession { session, source, options } => {
                let WEnum::Value(options) = options else {
                    manager.post_error(Error::InvalidOption, "there is no such option");
                    return;
                };
                let source = source.data::<Source>().and_then(|source| source.0.clone());
                let with_pointer = options.contains(Options::PaintCursors);
                state.begin_session(client, session, source, with_pointer, data_init);
            }
            Request::CreatePointerCursorSession { session, .. } => {
                data_init.init(session, PointerSession::default());
            }
            _ => {}
        }
    }
}

impl Dispatch<ExtImageCopyCaptureCursorSessionV1, PointerSession> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        pointer: &ExtImageCopyCaptureCursorSessionV1,
        request: ext_image_copy_capture_cursor_session_v1::Request,
        data: &PointerSession,
        _display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        use ext_image_copy_capture_cursor_session_v1::{Error, Request};
        let Request::GetCaptureSession { session } = request else { return };
        if data.0.swap(true, Ordering::Relaxed) {
            pointer.post_error(Error::DuplicateSession, "the capture session was asked for already");
            return;
        }
        state.begin_session(client, session, None, false, data_init);
    }
}

impl Dispatch<ExtImageCopyCaptureSessionV1, SessionNumber> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        session: &ExtImageCopyCaptureSessionV1,
        request: ext_image_copy_capture_session_v1::Request,
        number: &SessionNumber,
        _display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        use ext_image_copy_capture_session_v1::{Error, Request};
        let Request::CreateFrame { frame } = request else { return };
        if state.comp.captures.has_frame(*number) {
            session.post_error(Error::DuplicateFrame, "the previous frame was not destroyed");
            return;
        }
        let frame = data_init.init(frame, *number);
        state.comp.captures.add_frame(*number, frame);
    }

    fn destroyed(
        state: &mut Self,
        _client: ClientId,
        _session: &ExtImageCopyCaptureSessionV1,
        number: &SessionNumber,
    ) {
        state.comp.captures.session_destroyed(*number);
        state.capture_object_gone();
    }
}

impl Dispatch<ExtImageCopyCaptureFrameV1, SessionNumber> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        frame: &ExtImageCopyCaptureFrameV1,
        request: ext_image_copy_capture_frame_v1::Request,
        number: &SessionNumber,
        _display: &DisplayHandle,
        _data_init: &mut DataInit<'_, Self>,
    ) {
        use ext_image_copy_capture_frame_v1::{Error, Request};
        let captures = &mut state.comp.captures;
        let done = match request {
            Request::AttachBuffer { buffer } => captures.attach(*number, buffer),
            Request::DamageBuffer { x, y, width, height } => captures.damage(*number, [x, y, width, height]),
            Request::Capture => state.request_capture(*number),
            _ => Ok(()),
        };
        if let Err(error) = done {
            let code = match error {
                FrameError::AlreadyCaptured => Error::AlreadyCaptured,
                FrameError::NoBuffer => Error::NoBuffer,
                FrameError::BadDamage => Error::InvalidBufferDamage,
            };
            frame.post_error(code, error.to_string());
        }
    }

    fn destroyed(
        state: &mut Self,
        _client: ClientId,
        frame: &ExtImageCopyCaptureFrameV1,
        number: &SessionNumber,
    ) {
        state.comp.captures.frame_destroyed(*number, frame);
        state.capture_object_gone();
    }
}
