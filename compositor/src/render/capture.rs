//! Pictures that clients take: which are asked for, and when each is drawn.
//!
//! # Model
//!
//! A session is about one window, as long as it is mapped, or, of a local program, about the output. Its frames are asked for one at a time. The first is drawn with the
//! next frame of the output, each later one when the window has changed since the last: until then it waits, and nothing is
//! done for it. A picture for a VM has the window's content, in the size and scale that it has on the output, and nothing else: no
//! label, no popups, nothing of other windows, whatever covers it there. One for a local program has the label too, and what the
//! configuration says of the VM ([`super::view`]); the program is one that the configuration or the user allows it ([`local`]).
//! Programs that take single pictures use another protocol ([`screencopy`]).
//!
//! How much is drawn for one origin at a refresh of the output is bounded ([`State::serve_captures`]); what is left over is drawn
//! at the next, in the order in which it was asked for.
//!
//! # Invariants
//!
//! * A session of a VM is about a window of the same VM. That is looked at when it begins and again for each picture.
//! * Nothing is told or drawn for a local program before it is allowed.
//! * A session is kept as long as its object or its frame's exists.
//! * What a picture is drawn in is new memory: nothing of an earlier one can be in it.

pub mod activity;
pub mod local;
pub(super) mod picture;
pub mod screencopy;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use calloop::RegistrationToken;
use smithay::backend::renderer::damage::OutputDamageTracker;
use smithay::reexports::wayland_protocols::ext::image_copy_capture::v1::server::ext_image_copy_capture_frame_v1::{
    ExtImageCopyCaptureFrameV1, FailureReason,
};
use smithay::reexports::wayland_protocols::ext::image_copy_capture::v1::server::ext_image_copy_capture_session_v1::ExtImageCopyCaptureSessionV1;
use smithay::reexports::wayland_server::{Client, Resource};
use smithay::reexports::wayland_server::protocol::wl_buffer::WlBuffer;
use smithay::reexports::wayland_server::protocol::wl_output::Transform as WlTransform;
use smithay::reexports::wayland_server::protocol::wl_shm::Format;
use smithay::utils::{Physical, Point, Rectangle, Size, Transform};

use crate::handlers::foreign_toplevel_list::Mapped;
use crate::render::elements::OnOutput;
use crate::render::scene::{self, Own};
use crate::render::view::{self, View};
use crate::shell::Layout;
use crate::shell::outputs::OutputId;
use crate::shell::window::WindowId;
use crate::state::{Comp, State};
use crate::trust::client::origin_of;
use crate::trust::consent::{Consent, Permission};
use crate::trust::origin::Origin;
use activity::{Activity, What};
use local::Asker;
use screencopy::Screencopies;

/// Sessions that the clients of one origin may have at a time.
const MAX_SESSIONS_PER_ORIGIN: usize = 16;
/// Rectangles that damage is kept in; more are taken as one around all.
const MAX_RECTS: usize = 32;
/// The longest side that is computed with, in pixels: more than any window has.
const MAX_SIDE: i32 = 1 << 15;
/// What looking at one surface counts as, in pixels.
const PIXELS_PER_SURFACE: i64 = 1024;

/// Names a session; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionNumber(u64);

/// What a session is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Captured {
    /// A window.
    Window(Mapped),
    /// An output; of local programs alone.
    Output(OutputId),
}

impl Captured {
    fn is_window(&self, window: WindowId) -> bool {
        matches!(self, Self::Window(mapped) if mapped.window == window)
    }
}

/// A request that its frame does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The frame was captured, or is about to be.
    #[error("the frame was captured already")]
    AlreadyCaptured,
    /// There is nothing to draw in.
    #[error("the frame has no buffer")]
    NoBuffer,
    /// A rectangle that is empty or begins outside.
    #[error("the damage is empty or outside the buffer")]
    BadDamage,
}

/// Where a frame is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Its client says what it is to be.
    New,
    /// It was asked for, at this place in the order of all.
    Waiting(u64),
    /// Its client was told what became of it.
    Done,
}

#[derive(Debug)]
struct Frame {
    object: ExtImageCopyCaptureFrameV1,
    buffer: Option<WlBuffer>,
    /// What of the buffer is older than the session's last picture.
    damage: Vec<Rectangle<i32, Physical>>,
    stage: Stage,
}

impl Frame {
    fn fail(&mut self, reason: FailureReason) {
        self.stage = Stage::Done;
        self.object.failed(reason);
    }
}

#[derive(Debug)]
struct Session {
    /// `None` once it was destroyed.
    object: Option<ExtImageCopyCaptureSessionV1>,
    origin: Origin,
    /// The local program that takes the pictures.
    asker: Option<Asker>,
    /// Who that is, for the stripe.
    who: String,
    /// The user has not said yet whether it may.
    pending: bool,
    /// A picture was taken.
    began: bool,
    /// `None` once the session has stopped.
    source: Option<Captured>,
    /// The pointer is to be in the pictures.
    with_pointer: bool,
    /// Where the pointer was in the last picture, or would have been.
    pointer: Option<Point<i32, Physical>>,
    /// The size that the client was told.
    size: Size<i32, Physical>,
    /// Knows what was in the last picture, if `has_picture`.
    tracker: OutputDamageTracker,
    has_picture: bool,
    /// Something may have changed since the window was last looked at.
    touched: bool,
    /// The label of a window in its pictures, told apart from picture to picture.
    own: Own,
    frame: Option<Frame>,
}

impl Session {
    /// Tells the client of the size.
    fn tell_size(&self) {
        let Some(object) = &self.object else { return };
        let side = |length: i32| u32::try_from(length).unwrap_or(0);
        object.buffer_size(side(self.size.w), side(self.size.h));
        for format in [Format::Xrgb8888, Format::Argb8888] {
            object.shm_format(format);
        }
        object.done();
    }

    /// The window has another size now: buffers of the old one are of no use.
    fn resize(&mut self, size: Size<i32, Physical>, scale: f64) {
        self.size = size;
        self.tracker = OutputDamageTracker::new(size, scale, Transform::Normal);
        self.has_picture = false;
        self.touched = true;
        self.tell_size();
        if let Some(frame) = self.frame.as_mut().filter(|frame| matches!(frame.stage, Stage::Waiting(_))) {
            frame.fail(FailureReason::BufferConstraints);
        }
    }

    /// There is nothing to take pictures of any more.
    fn stop(&mut self) {
        self.source = None;
        self.pending = false;
        if let Some(object) = &self.object {
            object.stopped();
        }
        if let Some(frame) = self.frame.as_mut().filter(|frame| matches!(frame.stage, Stage::Waiting(_))) {
            frame.fail(FailureReason::Stopped);
        }
    }

    /// The place in the order, if a frame waits and may be drawn now.
    fn turn(&self) -> Option<u64> {
        match self.frame.as_ref().map(|frame| frame.stage) {
            Some(Stage::Waiting(turn)) if self.touched && !self.pending => Some(turn),
            _ => None,
        }
    }
}

/// All sessions.
#[derive(Debug, Default)]
pub struct Captures {
    sessions: BTreeMap<SessionNumber, Session>,
    numbers: u64,
    turns: u64,
    /// The pictures that are taken one by one.
    pub(crate) copies: Screencopies,
    /// Which local programs may take pictures.
    pub(crate) consent: Consent,
    /// A question was shown in the last turn of the event loop.
    pub(crate) was_asking: bool,
    /// The question that is shown could not be drawn.
    pub(crate) question_failed: bool,
    /// The timer after which the question takes an answer.
    pub(crate) arming: Option<RegistrationToken>,
    /// What the stripe says of them on the screen.
    words: Option<String>,
    /// What it says of them in pictures.
    words_in_pictures: Option<String>,
    /// Who has taken pictures lately.
    activity: Activity,
}

impl Captures {
    /// A number for a new session.
    pub fn next_number(&mut self) -> SessionNumber {
        self.numbers = self.numbers.saturating_add(1);
        SessionNumber(self.numbers)
    }

    /// Whether an origin may have one more session.
    #[must_use]
    pub fn has_room(&self, origin: &Origin) -> bool {
        let live = self.sessions.values().filter(|session| session.origin == *origin).count();
        live < MAX_SESSIONS_PER_ORIGIN
    }

    /// Whether a session's frame exists.
    #[must_use]
    pub fn has_frame(&self, number: SessionNumber) -> bool {
        self.sessions.get(&number).is_some_and(|session| session.frame.is_some())
    }

    /// Gives a session a new frame.
    pub fn add_frame(&mut self, number: SessionNumber, object: ExtImageCopyCaptureFrameV1) {
        if let Some(session) = self.sessions.get_mut(&number) {
            session.frame = Some(Frame { object, buffer: None, damage: Vec::new(), stage: Stage::New });
        }
    }

    /// A session's frame that is still to be described.
    fn new_frame(&mut self, number: SessionNumber) -> Result<Option<&mut Frame>, FrameError> {
        let frame = self.sessions.get_mut(&number).and_then(|session| session.frame.as_mut());
        match frame {
            Some(frame) if frame.stage != Stage::New => Err(FrameError::AlreadyCaptured),
            frame => Ok(frame),
        }
    }

    /// Says what a frame is to be drawn in.
    ///
    /// # Errors
    ///
    /// If it was asked for already.
    pub fn attach(&mut self, number: SessionNumber, buffer: WlBuffer) -> Result<(), FrameError> {
        if let Some(frame) = self.new_frame(number)? {
            frame.buffer = Some(buffer);
        }
        Ok(())
    }

    /// Says what of a frame's buffer is out of date: `x, y, width, height` in pixels.
    ///
    /// # Errors
    ///
    /// If it was asked for already, or the rectangle makes no sense.
    pub fn damage(
        &mut self,
        number: SessionNumber,
        [x, y, width, height]: [i32; 4],
    ) -> Result<(), FrameError> {
        let Some(frame) = self.new_frame(number)? else { return Ok(()) };
        if x < 0 || y < 0 || width <= 0 || height <= 0 {
            return Err(FrameError::BadDamage);
        }
        if frame.damage.len() >= MAX_RECTS {
            frame.damage = vec![Rectangle::from_size((MAX_SIDE, MAX_SIDE).into())];
            return Ok(());
        }
        let (left, top) = (x.min(MAX_SIDE), y.min(MAX_SIDE));
        let (right, bottom) = (x.saturating_add(width).min(MAX_SIDE), y.saturating_add(height).min(MAX_SIDE));
        frame.damage.push(Rectangle::new((left, top).into(), (right - left, bottom - top).into()));
        Ok(())
    }

    /// The session's object is gone. Its frame's may live on.
    pub fn session_destroyed(&mut self, number: SessionNumber) {
        if let Some(session) = self.sessions.get_mut(&number) {
            session.object = None;
            self.forget_unused(number);
        }
    }

    /// A frame's object is gone.
    pub fn frame_destroyed(&mut self, number: SessionNumber, object: &ExtImageCopyCaptureFrameV1) {
        if let Some(session) = self.sessions.get_mut(&number) {
            session.frame.take_if(|frame| frame.object == *object);
            self.forget_unused(number);
        }
    }

    fn forget_unused(&mut self, number: SessionNumber) {
        let unused = |session: &Session| session.object.is_none() && session.frame.is_none();
        if self.sessions.get(&number).is_some_and(unused) {
            self.sessions.remove(&number);
        }
    }

    /// A window has something new to show.
    pub fn touch_window(&mut self, window: WindowId) {
        for session in self.sessions.values_mut() {
            session.touched |= session.source.as_ref().is_some_and(|source| source.is_window(window));
        }
    }

    /// Some window of an origin may look different.
    pub fn touch_origin(&mut self, origin: &Origin) {
        for session in self.sessions.values_mut() {
            session.touched |= session.origin == *origin;
        }
    }

    /// The sessions that a picture is to be drawn for, in the order in which they were asked for.
    fn waiting(&self) -> Vec<SessionNumber> {
        let turns = self.sessions.iter().filter_map(|(number, session)| Some((session.turn()?, *number)));
        let mut turns: Vec<_> = turns.collect();
        turns.sort_unstable();
        turns.into_iter().map(|(_, number)| number).collect()
    }
}

impl Comp {
    /// What a session shows now: its window's size. `None`: there is nothing to be shown to it.
    fn capture_size(&self, origin: &Origin, source: &Captured) -> Option<Size<i32, Physical>> {
        let source = match source {
            Captured::Window(source) => source,
            Captured::Output(output) => {
                let layout = self.used_layout(*output).filter(|_| *origin == Origin::Local);
                return layout.map(|layout| layout.output);
            }
        };
        if !self.protocols.toplevel_lists.is_mapped(source) {
            return None;
        }
        let window = self.shell.get(source.window)?;
        if *origin == Origin::Local {
            return self.framed_size(window);
        }
        // Whoever could name the window was told of it. That no VM sees another is worth a second look.
        (window.origin == *origin).then(|| self.shell.content(window).size)
    }

    /// The scale that a window is drawn at.
    fn scale_of(&self, window: WindowId) -> f64 {
        self.shell.get(window).map_or(1.0, |window| self.shell.layout_of(window).scale)
    }

    /// The geometry of an output, if it has windows.
    fn used_layout(&self, output: OutputId) -> Option<&Layout> {
        self.shell.outputs().get(output).filter(|output| output.in_use).map(|output| &output.layout)
    }

    /// The scale of what a session is about.
    fn scale_of_source(&self, source: &Captured) -> f64 {
        match source {
            Captured::Window(source) => self.scale_of(source.window),
            Captured::Output(output) => self.shell.layout_on(*output).scale,
        }
    }

    /// From the corner of a window's frame to that of its content.
    fn margin_of(&self, window: WindowId) -> Point<i32, Physical> {
        let margins = |window| self.shell.layout_of(window).margins().0;
        self.shell.get(window).map(margins).unwrap_or_default()
    }

    /// Where the pointer is in a window's content, if it is to be seen there.
    fn pointer_over(&self, window: WindowId) -> Option<Point<i32, Physical>> {
        let place = self.pointer_in_content(window)?;
        let content = self.shell.content(self.shell.get(window)?);
        Some(place - content.loc)
    }
}

impl State {
    /// Opens a session about what `source` names.
    pub(crate) fn open_capture(
        &mut self,
        number: SessionNumber,
        object: ExtImageCopyCaptureSessionV1,
        client: &Client,
        source: Option<Captured>,
        with_pointer: bool,
    ) {
        let Some(origin) = origin_of(&object) else { return };
        let size = source.as_ref().and_then(|source| self.comp.capture_size(&origin, source));
        // Nobody is asked for nothing.
        let (permission, asker) = match size {
            Some(_) if !origin.is_vm() => self.permission_of(client),
            _ => (Permission::Granted, None),
        };
        let size = size.filter(|_| permission != Permission::Refused);
        let scale = source.as_ref().map_or(1.0, |source| self.comp.scale_of_source(source));
        let mut session = Session {
            object: Some(object),
            who: self.comp.capturer(&origin, asker.as_ref()),
            origin,
            asker,
            pending: size.is_some() && permission == Permission::Asked,
            began: false,
            source: source.filter(|_| size.is_some()),
            with_pointer,
            pointer: None,
            size: size.unwrap_or_default(),
            tracker: OutputDamageTracker::new(size.unwrap_or_default(), scale, Transform::Normal),
            has_picture: false,
            touched: true,
            own: Own::default(),
            frame: None,
        };
        match size {
            Some(_) if session.pending => {}
            Some(_) => session.tell_size(),
            None => session.stop(),
        }
        self.comp.captures.sessions.insert(number, session);
    }

    /// A session's frame is asked for.
    ///
    /// # Errors
    ///
    /// If it was before, or has no buffer.
    pub(crate) fn request_capture(&mut self, number: SessionNumber) -> Result<(), FrameError> {
        let captures = &mut self.comp.captures;
        let buffer = match captures.new_frame(number)? {
            Some(frame) => frame.buffer.clone().ok_or(FrameError::NoBuffer)?,
            None => return Ok(()),
        };
        captures.turns = captures.turns.saturating_add(1);
        let turn = captures.turns;
        let Some(session) = captures.sessions.get_mut(&number) else { return Ok(()) };
        let Some(frame) = session.frame.as_mut() else { return Ok(()) };
        if session.source.is_none() {
            frame.fail(FailureReason::Stopped);
        } else if session.pending || !picture::fits(&buffer, session.size) {
            frame.fail(FailureReason::BufferConstraints);
        } else {
            frame.stage = Stage::Waiting(turn);
            if session.touched {
                self.comp.schedule.request();
            }
        }
        Ok(())
    }

    /// A window is not mapped any more.
    pub(crate) fn stop_captures(&mut self, window: WindowId) {
        for session in self.comp.captures.sessions.values_mut() {
            if session.source.as_ref().is_some_and(|source| source.is_window(window)) {
                session.stop();
            }
        }
    }

    /// The output was drawn at `now`: draws the pictures that wait and have something new to show.
    ///
    /// An origin may have as many pixels drawn at a refresh as the output has, and one picture in any case.
    pub(crate) fn serve_captures(&mut self, now: Duration) {
        self.serve_copies(now);
        if self.comp.captures.sessions.is_empty() {
            return;
        }
        self.follow_windows();
        let outputs = self.comp.shell.outputs().used();
        let budget = outputs.map(|output| pixels(output.layout.output)).max().unwrap_or_default();
        let mut spent: HashMap<Origin, i64> = HashMap::new();
        for number in self.comp.captures.waiting() {
            // Not in the map while it is drawn, so that everything else can be used.
            let Some(mut session) = self.comp.captures.sessions.remove(&number) else { continue };
            let spent = spent.entry(session.origin.clone()).or_default();
            if *spent < budget {
                *spent = spent.saturating_add(self.serve(&mut session, now));
            } else {
                self.comp.schedule.request();
            }
            self.comp.captures.sessions.insert(number, session);
        }
    }

    /// Takes note of what no commit tells: sizes that the compositor gives, and the pointer.
    fn follow_windows(&mut self) {
        let mut captures = std::mem::take(&mut self.comp.captures);
        for session in captures.sessions.values_mut() {
            let Some(source) = session.source.clone().filter(|_| !session.pending) else { continue };
            // What a local program sees may have changed by anything that was drawn.
            session.touched |= !session.origin.is_vm();
            match self.comp.capture_size(&session.origin, &source) {
                None => session.stop(),
                Some(size) if size != session.size => {
                    session.resize(size, self.comp.scale_of_source(&source));
                }
                Some(_) => {}
            }
            if let (true, Captured::Window(source)) = (session.with_pointer, &source) {
                let corner = if session.origin.is_vm() {
                    Point::default()
                } else {
                    self.comp.margin_of(source.window)
                };
                // That a client hides it is told by the rule of its VM, as in the picture.
                if !session.origin.is_vm() {
                    self.comp.decor.view = View::Capture { pointer: true };
                }
                let pointer = self.comp.pointer_over(source.window).map(|place| place + corner);
                self.comp.decor.view = View::Screen;
                session.touched |= pointer != session.pointer;
                session.pointer = pointer;
            }
        }
        self.comp.captures = captures;
    }

    /// Draws the picture that a session waits for, if there is something new in it, and returns what that cost in pixels.
    fn serve(&mut self, session: &mut Session, now: Duration) -> i64 {
        let Session { source: Some(source), frame: Some(frame), size, .. } = session else { return 0 };
        let (size, scale) = (*size, self.comp.scale_of_source(source));
        session.touched = false;
        let renderer = self.backend.renderer();
        let comp = &mut self.comp;
        let elements = match source {
            Captured::Output(output) => view::compose_picture(comp, renderer, *output, session.with_pointer),
            Captured::Window(source) => {
                let elements = if session.origin.is_vm() {
                    scene::content(comp, renderer, source.window, session.pointer)
                } else {
                    view::framed(comp, renderer, source.window, &mut session.own, session.pointer)
                };
                elements.into_iter().map(|element| OnOutput::new(element, Point::default())).collect()
            }
        };
        let surfaces = i64::try_from(elements.len()).unwrap_or(i64::MAX);
        let cost = surfaces.saturating_mul(PIXELS_PER_SURFACE);
        let buffer = frame.buffer.as_ref().filter(|buffer| buffer.is_alive() && picture::fits(buffer, size));
        let Some(buffer) = buffer else {
            frame.fail(FailureReason::BufferConstraints);
            session.touched = true;
            return cost;
        };
        let age = usize::from(session.has_picture);
        // Fails only for an output without a mode, and this one has one.
        let Ok((Some(damage), _)) = session.tracker.damage_output(age, &elements) else { return cost };
        let damage = disjoint(damage.iter().copied(), size);
        let region = disjoint(damage.iter().chain(&frame.damage).copied(), size);
        let drawn = picture::draw(renderer, &elements, size, scale, &region)
            .and_then(|parts| picture::write(buffer, &parts));
        session.has_picture = drawn.is_ok();
        match drawn {
            Ok(()) => {
                tell_ready(frame, &damage, now);
                session.began = true;
                let what = What::of(&session.origin, matches!(source, Captured::Output(_)));
                self.note_picture(&session.who, what);
            }
            Err(error) => {
                tracing::debug!(%error, "a picture could not be taken");
                frame.fail(FailureReason::Unknown);
                session.touched = true;
            }
        }
        cost.saturating_add(pixels(size))
    }
}

/// Tells a frame's client that the picture of time `now` is in its buffer, and in which rectangles it differs from the last.
fn tell_ready(frame: &mut Frame, damage: &[Rectangle<i32, Physical>], now: Duration) {
    frame.stage = Stage::Done;
    frame.object.transform(WlTransform::Normal);
    for rect in damage {
        frame.object.damage(rect.loc.x, rect.loc.y, rect.size.w, rect.size.h);
    }
    let word = |seconds: u64| u32::try_from(seconds & u64::from(u32::MAX)).unwrap_or(0);
    let seconds = now.as_secs();
    frame.object.presentation_time(word(seconds >> 32), word(seconds), now.subsec_nanos());
    frame.object.ready();
}

fn pixels(size: Size<i32, Physical>) -> i64 {
    i64::from(size.w).saturating_mul(i64::from(size.h))
}

/// The same pixels in rectangles that do not overlap, cut to a picture of this size. If they would be too many, all of it.
fn disjoint(
    rects: impl Iterator<Item = Rectangle<i32, Physical>>,
    size: Size<i32, Physical>,
) -> Vec<Rectangle<i32, Physical>> {
    let whole = Rectangle::from_size(size);
    let mut parts: Vec<Rectangle<i32, Physical>> = Vec::new();
    for rect in rects.filter_map(|rect| rect.intersection(whole)) {
        let new = rect.subtract_rects(parts.iter().copied());
        parts.extend(new.into_iter().filter(|part| !part.is_empty()));
        if parts.len() > MAX_RECTS {
            return vec![whole];
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Rect = Rectangle<i32, Physical>;

    fn rect((x, y, w, h): (i32, i32, i32, i32)) -> Rect {
        Rectangle::new((x, y).into(), (w, h).into())
    }

    proptest! {
        #[test]
        fn disjoint_rectangles_cover_the_same_pixels_once(
            given in proptest::collection::vec((-4..12_i32, -4..12_i32, 0..9_i32, 0..9_i32), 0..8),
        ) {
            let given: Vec<Rect> = given.into_iter().map(rect).collect();
            let parts = disjoint(given.iter().copied(), (10, 8).into());
            prop_assert!(parts.len() <= MAX_RECTS);
            let whole = parts == [rect((0, 0, 10, 8))];
            for (x, y) in (-4..16).flat_map(|x| (-4..16).map(move |y| (x, y))) {
                let inside = (0..10).contains(&x) && (0..8).contains(&y);
                let wanted = inside && given.iter().any(|rect| rect.contains((x, y)));
                let covered = parts.iter().filter(|rect| rect.contains((x, y))).count();
                prop_assert!(covered == usize::from(wanted) || (whole && covered == usize::from(inside)));
            }
        }
    }

    #[test]
    fn too_many_rectangles_are_taken_as_all_of_it() {
        let dots = (0..100).map(|at| rect((at * 2, 0, 1, 1)));
        assert_eq!(disjoint(dots, (300, 4).into()), [rect((0, 0, 300, 4))]);
    }
}
