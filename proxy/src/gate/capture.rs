//! Pictures of windows, in the buffers of the client: sessions are counted, and what the compositor is to write to is memory that
//! it can write to.
//!
//! That a session shows the VM's own windows alone is the compositor's to see to: the gate does not know which windows there are.
//! What a compositor tells by these protocols may be about other VMs, if it does not tell VMs apart; they are shown only where
//! the configuration says so.

use std::rc::Rc;

use wl_proxy::object::ObjectUtils as _;
use wl_proxy::protocols::ext_image_capture_source_v1::ext_image_capture_source_v1::ExtImageCaptureSourceV1;
use wl_proxy::protocols::ext_image_copy_capture_v1::ext_image_copy_capture_cursor_session_v1::{
    ExtImageCopyCaptureCursorSessionV1, ExtImageCopyCaptureCursorSessionV1Handler,
};
use wl_proxy::protocols::ext_image_copy_capture_v1::ext_image_copy_capture_frame_v1::{
    ExtImageCopyCaptureFrameV1, ExtImageCopyCaptureFrameV1Error, ExtImageCopyCaptureFrameV1Handler,
};
use wl_proxy::protocols::ext_image_copy_capture_v1::ext_image_copy_capture_manager_v1::{
    ExtImageCopyCaptureManagerV1, ExtImageCopyCaptureManagerV1Handler, ExtImageCopyCaptureManagerV1Options,
};
use wl_proxy::protocols::ext_image_copy_capture_v1::ext_image_copy_capture_session_v1::{
    ExtImageCopyCaptureSessionV1, ExtImageCopyCaptureSessionV1Handler,
};
use wl_proxy::protocols::wayland::wl_buffer::WlBuffer;
use wl_proxy::protocols::wayland::wl_display::WlDisplayError;
use wl_proxy::protocols::wayland::wl_pointer::WlPointer;

use super::geometry;
use super::guard::Guard;
use super::shm;

/// How many rectangles of damage a frame may have.
const MAX_RECTANGLES: u32 = 4096;

pub(super) struct Manager(pub Rc<Guard>);

impl ExtImageCopyCaptureManagerV1Handler for Manager {
    fn handle_create_session(
        &mut self,
        slf: &Rc<ExtImageCopyCaptureManagerV1>,
        session: &Rc<ExtImageCopyCaptureSessionV1>,
        source: &Rc<ExtImageCaptureSourceV1>,
        options: ExtImageCopyCaptureManagerV1Options,
    ) {
        if watch_session(&self.0, session) {
            slf.send_create_session(session, source, options);
        }
    }

    fn handle_create_pointer_cursor_session(
        &mut self,
        slf: &Rc<ExtImageCopyCaptureManagerV1>,
        session: &Rc<ExtImageCopyCaptureCursorSessionV1>,
        source: &Rc<ExtImageCaptureSourceV1>,
        pointer: &Rc<WlPointer>,
    ) {
        session.set_handler(PointerSession(Rc::clone(&self.0)));
        slf.send_create_pointer_cursor_session(session, source, pointer);
    }
}

/// Counts a new session; false if that was refused.
fn watch_session(guard: &Rc<Guard>, session: &Rc<ExtImageCopyCaptureSessionV1>) -> bool {
    let begun = guard.begin_capture();
    if begun {
        session.set_handler(Session { guard: Rc::clone(guard), live: true });
    }
    begun
}

struct PointerSession(Rc<Guard>);

impl ExtImageCopyCaptureCursorSessionV1Handler for PointerSession {
    fn handle_get_capture_session(
        &mut self,
        slf: &Rc<ExtImageCopyCaptureCursorSessionV1>,
        session: &Rc<ExtImageCopyCaptureSessionV1>,
    ) {
        if watch_session(&self.0, session) {
            slf.send_get_capture_session(session);
        }
    }
}

struct Session {
    guard: Rc<Guard>,
    live: bool,
}

impl ExtImageCopyCaptureSessionV1Handler for Session {
    fn handle_create_frame(
        &mut self,
        slf: &Rc<ExtImageCopyCaptureSessionV1>,
        frame: &Rc<ExtImageCopyCaptureFrameV1>,
    ) {
        frame.set_handler(Frame { guard: Rc::clone(&self.guard), rectangles: 0 });
        slf.send_create_frame(frame);
    }

    fn handle_destroy(&mut self, slf: &Rc<ExtImageCopyCaptureSessionV1>) {
        if std::mem::take(&mut self.live) {
            self.guard.end_capture();
        }
        slf.send_destroy();
    }
}

struct Frame {
    guard: Rc<Guard>,
    rectangles: u32,
}

impl ExtImageCopyCaptureFrameV1Handler for Frame {
    fn handle_attach_buffer(&mut self, slf: &Rc<ExtImageCopyCaptureFrameV1>, buffer: &Rc<WlBuffer>) {
        let is_memory = buffer.try_get_handler_ref::<shm::Buffer>().is_ok_and(|buffer| buffer.is_memory());
        if is_memory {
            slf.send_attach_buffer(buffer);
            return;
        }
        let text = "pictures are written to buffers of shared memory, nothing else";
        self.guard.refuse(slf, ExtImageCopyCaptureFrameV1Error::NO_BUFFER.0, &text);
    }

    fn handle_damage_buffer(
        &mut self,
        slf: &Rc<ExtImageCopyCaptureFrameV1>,
        x: i32,
        y: i32,
        width: i32,
        height: i32,
    ) {
        if x < 0 || y < 0 || width <= 0 || height <= 0 {
            let text = format_args!("damage of {width} by {height} at {x}, {y} is impossible");
            self.guard.refuse(slf, ExtImageCopyCaptureFrameV1Error::INVALID_BUFFER_DAMAGE.0, &text);
            return;
        }
        self.rectangles = self.rectangles.saturating_add(1);
        if self.rectangles > MAX_RECTANGLES {
            let text = format_args!("the damage of a frame may have {MAX_RECTANGLES} rectangles");
            self.guard.refuse_stream(WlDisplayError::NO_MEMORY, &text);
            return;
        }
        // What lies beyond every buffer is nothing, which is no error.
        if let Some((x, y, width, height)) = geometry::clamp_area(x, y, width, height) {
            slf.send_damage_buffer(x, y, width, height);
        }
    }
}
