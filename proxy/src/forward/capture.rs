//! Brings back what the compositor writes: pictures that it captures into an application's buffers.
//!
//! The compositor writes into the buffer's slot in the region. Before the application is told that a frame is ready, the pixels
//! that the compositor has promised to write are copied to the application's own memory: those that the application said its
//! buffer lacks, and those that the frame's damage events name. What else is in the slot was promised by nobody and is not
//! copied.
//!
//! While a frame is under way its buffer is *lent*: if the application destroys it, the compositor is told only when the frame
//! has ended, so that it never writes to a slot that has become another buffer's. What was in the slot before is not the
//! application's content any more, so that the next commit of a buffer that was lent copies all of it.
//!
//! Without a region that both sides have, nothing would come back, and the globals are hidden ([`super::globals`]).

use std::rc::Rc;

use wl_proxy::protocols::ext_image_capture_source_v1::ext_image_capture_source_v1::ExtImageCaptureSourceV1;
use wl_proxy::protocols::ext_image_copy_capture_v1::ext_image_copy_capture_cursor_session_v1::{
    ExtImageCopyCaptureCursorSessionV1, ExtImageCopyCaptureCursorSessionV1Handler,
};
use wl_proxy::protocols::ext_image_copy_capture_v1::ext_image_copy_capture_frame_v1::{
    ExtImageCopyCaptureFrameV1, ExtImageCopyCaptureFrameV1FailureReason, ExtImageCopyCaptureFrameV1Handler,
};
use wl_proxy::protocols::ext_image_copy_capture_v1::ext_image_copy_capture_manager_v1::{
    ExtImageCopyCaptureManagerV1, ExtImageCopyCaptureManagerV1Handler, ExtImageCopyCaptureManagerV1Options,
};
use wl_proxy::protocols::ext_image_copy_capture_v1::ext_image_copy_capture_session_v1::{
    ExtImageCopyCaptureSessionV1, ExtImageCopyCaptureSessionV1Handler,
};
use wl_proxy::protocols::wayland::wl_buffer::WlBuffer;
use wl_proxy::protocols::wayland::wl_pointer::WlPointer;

use super::damage::{DamageSet, Rect};
use super::session::Session;
use super::shm::Buffer;

/// Answers `ext_image_copy_capture_manager_v1`: gives sessions their handlers.
#[derive(Debug)]
pub struct CaptureManagerHandler {
    session: Rc<Session>,
}

impl CaptureManagerHandler {
    /// For a manager that the application has bound.
    #[must_use]
    pub fn new(session: &Rc<Session>) -> Self {
        Self { session: session.clone() }
    }
}

impl ExtImageCopyCaptureManagerV1Handler for CaptureManagerHandler {
    fn handle_create_session(
        &mut self,
        slf: &Rc<ExtImageCopyCaptureManagerV1>,
        session: &Rc<ExtImageCopyCaptureSessionV1>,
        source: &Rc<ExtImageCaptureSourceV1>,
        options: ExtImageCopyCaptureManagerV1Options,
    ) {
        session.set_handler(CaptureSessionHandler { session: self.session.clone() });
        slf.send_create_session(session, source, options);
    }

    fn handle_create_pointer_cursor_session(
        &mut self,
        slf: &Rc<ExtImageCopyCaptureManagerV1>,
        session: &Rc<ExtImageCopyCaptureCursorSessionV1>,
        source: &Rc<ExtImageCaptureSourceV1>,
        pointer: &Rc<WlPointer>,
    ) {
        session.set_handler(PointerSessionHandler { session: self.session.clone() });
        slf.send_create_pointer_cursor_session(session, source, pointer);
    }
}

/// Answers the session of the pointer's picture.
struct PointerSessionHandler {
    session: Rc<Session>,
}

impl ExtImageCopyCaptureCursorSessionV1Handler for PointerSessionHandler {
    fn handle_get_capture_session(
        &mut self,
        slf: &Rc<ExtImageCopyCaptureCursorSessionV1>,
        session: &Rc<ExtImageCopyCaptureSessionV1>,
    ) {
        session.set_handler(CaptureSessionHandler { session: self.session.clone() });
        slf.send_get_capture_session(session);
    }
}

/// Answers one session: gives frames their handlers.
struct CaptureSessionHandler {
    session: Rc<Session>,
}

impl ExtImageCopyCaptureSessionV1Handler for CaptureSessionHandler {
    fn handle_create_frame(
        &mut self,
        slf: &Rc<ExtImageCopyCaptureSessionV1>,
        frame: &Rc<ExtImageCopyCaptureFrameV1>,
    ) {
        frame.set_handler(FrameHandler {
            session: self.session.clone(),
            attached: None,
            lent: None,
            damage: DamageSet::default(),
            asked: false,
        });
        slf.send_create_frame(frame);
    }
}

/// Answers one frame.
struct FrameHandler {
    session: Rc<Session>,
    /// What the frame is to be written to, until it is asked for.
    attached: Option<Rc<WlBuffer>>,
    /// The buffer, if it is one of ours, from then until the frame's end.
    lent: Option<(Rc<WlBuffer>, Rc<Buffer>)>,
    /// What the compositor has promised to write.
    damage: DamageSet,
    asked: bool,
}

impl FrameHandler {
    /// The frame has ended; the buffer is the application's again once it is given back.
    fn end(&mut self) {
        if let Some((object, _)) = self.lent.take() {
            Buffer::give_back(&object);
        }
    }
}

impl ExtImageCopyCaptureFrameV1Handler for FrameHandler {
    fn handle_destroy(&mut self, slf: &Rc<ExtImageCopyCaptureFrameV1>) {
        slf.send_destroy();
        // After that, so that the compositor is done with the buffer before it hears of its end.
        self.end();
    }

    fn handle_attach_buffer(&mut self, slf: &Rc<ExtImageCopyCaptureFrameV1>, buffer: &Rc<WlBuffer>) {
        if !self.asked {
            self.attached = Some(buffer.clone());
        }
        slf.send_attach_buffer(buffer);
    }

    fn handle_damage_buffer(
        &mut self,
        slf: &Rc<ExtImageCopyCaptureFrameV1>,
        x: i32,
        y: i32,
        width: i32,
        height: i32,
    ) {
        self.damage.add(Rect::from_size(x, y, width, height));
        slf.send_damage_buffer(x, y, width, height);
    }

    fn handle_capture(&mut self, slf: &Rc<ExtImageCopyCaptureFrameV1>) {
        self.asked = true;
        if let Some(object) = self.attached.take()
            && let Some(buffer) = Buffer::of(&object)
        {
            buffer.lend();
            self.lent = Some((object, buffer));
        }
        slf.send_capture();
    }

    fn handle_damage(
        &mut self,
        slf: &Rc<ExtImageCopyCaptureFrameV1>,
        x: i32,
        y: i32,
        width: i32,
        height: i32,
    ) {
        self.damage.add(Rect::from_size(x, y, width, height));
        slf.send_damage(x, y, width, height);
    }

    fn handle_ready(&mut self, slf: &Rc<ExtImageCopyCaptureFrameV1>) {
        let copied = match &self.lent {
            Some((_, buffer)) => buffer.copy_back(self.damage.rects(), &self.session),
            None => Ok(()),
        };
        self.end();
        match copied {
            Ok(()) => slf.send_ready(),
            Err(error) => {
                tracing::debug!("a captured picture does not reach its application: {error}");
                slf.send_failed(ExtImageCopyCaptureFrameV1FailureReason::UNKNOWN);
            }
        }
    }

    fn handle_failed(
        &mut self,
        slf: &Rc<ExtImageCopyCaptureFrameV1>,
        reason: ExtImageCopyCaptureFrameV1FailureReason,
    ) {
        self.end();
        slf.send_failed(reason);
    }
}
