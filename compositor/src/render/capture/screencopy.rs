//! Pictures of the output that local programs take one by one, as `zwlr_screencopy_manager_v1` has them.
//!
//! # Model
//!
//! A frame is about a part of the output. Its client is told the size once it is allowed, names a buffer, and gets the picture
//! after the next frame of the output; or, if it asks for that, after the next in which that part has changed since the
//! client's last picture of it.
//!
//! # Invariants
//!
//! * There are at most [`MAX_FRAMES`] frames and [`MAX_TRACKED`] parts whose changes are followed.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use smithay::backend::renderer::damage::OutputDamageTracker;
use smithay::reexports::wayland_protocols_wlr::screencopy::v1::server::zwlr_screencopy_frame_v1::{
    self, ZwlrScreencopyFrameV1,
};
use smithay::reexports::wayland_server::backend::ClientId;
use smithay::reexports::wayland_server::protocol::wl_buffer::WlBuffer;
use smithay::reexports::wayland_server::protocol::wl_shm::Format;
use smithay::reexports::wayland_server::{Client, Resource as _};
use smithay::utils::{Physical, Rectangle, Transform};

use super::activity::What;
use super::local::Asker;
use super::picture;
use crate::render::view;
use crate::shell::outputs::OutputId;
use crate::state::State;
use crate::trust::consent::Permission;
use crate::trust::program::FileId;

/// Frames of all local programs together.
pub const MAX_FRAMES: usize = 64;
/// Parts whose changes are followed, of all local programs together.
const MAX_TRACKED: usize = 16;
/// The version that says which kinds of buffers there are, and that this is all.
const SINCE_BUFFER_DONE: u32 = 3;

/// Names a frame; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FrameNumber(u64);

/// A copy that the frame does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CopyError {
    /// It was asked for already.
    #[error("the frame was copied already")]
    AlreadyUsed,
    /// The buffer is none of those that the client was told of.
    #[error("the buffer is not as the frame needs it")]
    InvalidBuffer,
}

/// Where a frame is in its life.
#[derive(Debug)]
enum Stage {
    /// The user has not said yet whether the program may.
    Pending,
    /// The client was told the size.
    Told,
    /// The picture is to be drawn.
    Waiting {
        buffer: WlBuffer,
        /// Only once something has changed.
        changed: bool,
    },
    /// The client was told what became of it.
    Done,
}

#[derive(Debug)]
struct CopyFrame {
    object: ZwlrScreencopyFrameV1,
    client: ClientId,
    asker: Option<Asker>,
    who: String,
    output: OutputId,
    /// As seen from the upper left corner of the output.
    region: Rectangle<i32, Physical>,
    with_pointer: bool,
    stage: Stage,
}

impl CopyFrame {
    fn fail(&mut self) {
        self.stage = Stage::Done;
        self.object.failed();
    }

    /// Tells the client what buffer there is to be.
    fn tell_size(&mut self) {
        let side = |length: i32| u32::try_from(length).unwrap_or(0);
        let (w, h) = (side(self.region.size.w), side(self.region.size.h));
        self.stage = Stage::Told;
        self.object.buffer(Format::Xrgb8888, w, h, w.saturating_mul(4));
        if self.object.version() >= SINCE_BUFFER_DONE {
            self.object.buffer_done();
        }
    }

    fn is_of(&self, file: FileId) -> bool {
        self.asker.as_ref().is_some_and(|asker| asker.0.file() == file)
    }
}

/// A part of the output whose changes a client follows, with the pointer or without.
type Followed = (ClientId, OutputId, [i32; 4], bool);

/// All frames.
#[derive(Debug, Default)]
pub(crate) struct Screencopies {
    frames: BTreeMap<FrameNumber, CopyFrame>,
    trackers: HashMap<Followed, OutputDamageTracker>,
    numbers: u64,
}

impl Screencopies {
    /// A number for a new frame; `None` if there are too many.
    pub(crate) fn next_number(&mut self) -> Option<FrameNumber> {
        self.numbers = self.numbers.saturating_add(1);
        (self.frames.len() < MAX_FRAMES).then_some(FrameNumber(self.numbers))
    }

    /// A frame's object is gone.
    pub(crate) fn destroyed(&mut self, number: FrameNumber) {
        self.frames.remove(&number);
    }

    /// A client has no manager any more.
    pub(crate) fn forget(&mut self, client: &ClientId) {
        self.trackers.retain(|(other, ..), _| other != client);
    }

    pub(super) fn awaits(&self, file: FileId) -> bool {
        self.frames.values().any(|frame| matches!(frame.stage, Stage::Pending) && frame.is_of(file))
    }

    /// The programs that wait for an answer.
    pub(super) fn pending(&self) -> Vec<Asker> {
        let frames = self.frames.values().filter(|frame| matches!(frame.stage, Stage::Pending));
        frames.filter_map(|frame| frame.asker.clone()).collect()
    }

    pub(super) fn settle(&mut self, file: FileId, allowed: bool) {
        for frame in self.frames.values_mut() {
            if matches!(frame.stage, Stage::Pending) && frame.is_of(file) {
                if allowed { frame.tell_size() } else { frame.fail() }
            }
        }
    }

    pub(super) fn reconsider(&mut self, named: impl Fn(&Asker) -> bool) {
        for frame in self.frames.values_mut() {
            let going = matches!(frame.stage, Stage::Told | Stage::Waiting { .. });
            if going && !frame.asker.as_ref().is_some_and(&named) {
                frame.fail();
            }
        }
    }

    fn waiting(&self) -> Vec<FrameNumber> {
        let waits = |frame: &CopyFrame| matches!(frame.stage, Stage::Waiting { .. });
        self.frames.iter().filter(|(_, frame)| waits(frame)).map(|(number, _)| *number).collect()
    }

    /// What changed in the frame's part since its client's last picture of it.
    fn tracker(
        &mut self,
        followed: Followed,
        make: impl FnOnce() -> OutputDamageTracker,
    ) -> &mut OutputDamageTracker {
        if self.trackers.len() >= MAX_TRACKED && !self.trackers.contains_key(&followed) {
            // Whoever loses one gets a picture more than it needs.
            self.trackers.clear();
        }
        self.trackers.entry(followed).or_insert_with(make)
    }
}

impl State {
    /// Opens a frame about a part of an output, in physical pixels as seen from its upper left corner.
    pub(crate) fn open_copy(
        &mut self,
        number: FrameNumber,
        object: ZwlrScreencopyFrameV1,
        client: &Client,
        (output, region): (OutputId, Rectangle<i32, Physical>),
        with_pointer: bool,
    ) {
        let whole = Rectangle::from_size(self.comp.shell.layout_on(output).output);
        let region = region.intersection(whole).filter(|region| !region.is_empty());
        let (permission, asker) = match region {
            Some(_) => self.permission_of(client),
            None => (Permission::Refused, None),
        };
        let who = self.comp.capturer(&crate::trust::origin::Origin::Local, asker.as_ref());
        let (client, region, stage) = (client.id(), region.unwrap_or_default(), Stage::Pending);
        let mut frame = CopyFrame { object, client, asker, who, output, region, with_pointer, stage };
        match permission {
            Permission::Granted => frame.tell_size(),
            Permission::Refused => frame.fail(),
            Permission::Asked => {}
        }
        self.comp.captures.copies.frames.insert(number, frame);
    }

    /// A frame's picture is asked for, once something has `changed` or in any case.
    ///
    /// # Errors
    ///
    /// If it was before, or the buffer cannot take it.
    pub(crate) fn request_copy(
        &mut self,
        number: FrameNumber,
        buffer: WlBuffer,
        changed: bool,
    ) -> Result<(), CopyError> {
        let Some(frame) = self.comp.captures.copies.frames.get_mut(&number) else { return Ok(()) };
        match frame.stage {
            Stage::Waiting { .. } => return Err(CopyError::AlreadyUsed),
            // It has failed, and the client may not know yet.
            Stage::Done => return Ok(()),
            Stage::Pending => return Err(CopyError::InvalidBuffer),
            Stage::Told => {}
        }
        if !picture::fits(&buffer, frame.region.size) {
            return Err(CopyError::InvalidBuffer);
        }
        frame.stage = Stage::Waiting { buffer, changed };
        self.comp.schedule.request();
        Ok(())
    }

    /// The output was drawn at `now`: draws the pictures that wait.
    pub(super) fn serve_copies(&mut self, now: Duration) {
        for number in self.comp.captures.copies.waiting() {
            // Not in the map while it is drawn, so that everything else can be used.
            let Some(mut frame) = self.comp.captures.copies.frames.remove(&number) else { continue };
            self.serve_copy(&mut frame, now);
            self.comp.captures.copies.frames.insert(number, frame);
        }
    }

    fn serve_copy(&mut self, frame: &mut CopyFrame, now: Duration) {
        let Stage::Waiting { buffer, changed } = &frame.stage else { return };
        let Some(layout) = self.comp.used_layout(frame.output) else {
            frame.fail();
            return;
        };
        let (output, scale) = (layout.output, layout.scale);
        // The output may have another size by now.
        if !Rectangle::from_size(output).contains_rect(frame.region) || !buffer.is_alive() {
            frame.fail();
            return;
        }
        let renderer = self.backend.renderer();
        let elements = view::compose_picture(&mut self.comp, renderer, frame.output, frame.with_pointer);
        let mut damage = None;
        if *changed {
            let Rectangle { loc, size } = frame.region;
            let part = [loc.x, loc.y, size.w, size.h];
            let followed = (frame.client.clone(), frame.output, part, frame.with_pointer);
            let make = || OutputDamageTracker::new(output, scale, Transform::Normal);
            let tracker = self.comp.captures.copies.tracker(followed, make);
            // Fails only for an output without a mode, and this one has one.
            let Ok((new, _)) = tracker.damage_output(1, &elements) else { return };
            let parts = new.into_iter().flatten().filter_map(|rect| rect.intersection(frame.region));
            damage = parts.filter(|rect| !rect.is_empty()).reduce(Rectangle::merge);
            if damage.is_none() {
                return;
            }
        }
        let drawn = picture::draw(renderer, &elements, output, scale, &[frame.region]);
        let written = drawn.and_then(|parts| {
            let parts: Vec<_> = parts.into_iter().map(|part| part.seen_from(frame.region.loc)).collect();
            picture::write(buffer, &parts)
        });
        if let Err(error) = written {
            tracing::debug!(%error, "a picture could not be taken");
            frame.fail();
            return;
        }
        frame.stage = Stage::Done;
        frame.object.flags(zwlr_screencopy_frame_v1::Flags::empty());
        if let Some(damage) = damage {
            let side = |length: i32| u32::try_from(length).unwrap_or(0);
            let loc = damage.loc - frame.region.loc;
            frame.object.damage(side(loc.x), side(loc.y), side(damage.size.w), side(damage.size.h));
        }
        let word = |seconds: u64| u32::try_from(seconds & u64::from(u32::MAX)).unwrap_or(0);
        let seconds = now.as_secs();
        frame.object.ready(word(seconds >> 32), word(seconds), now.subsec_nanos());
        let who = frame.who.clone();
        self.note_picture(&who, What::Screen);
    }
}
