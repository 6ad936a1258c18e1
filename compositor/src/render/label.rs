//! Painting labels: frames, rings, the stripe and the banner.
//!
//! # Model
//!
//! A label is made of *solids*, rectangles in exactly the VM's colour, and *pictures*, small canvases with
//! text or a pattern that lie on top of a solid. Both are placed in physical pixels, and a picture's pixel is
//! a pixel of the output, at fractional scales too. Pictures are kept in a bounded cache, because text is
//! expensive and changes rarely; solids need no cache. Elements are returned top-most first, as renderers
//! take them.
//!
//! # Invariants
//!
//! * What cannot be painted is an error, and the caller must then draw nothing of the window: an unlabelled
//!   window is never shown.
//! * The chip and the solids depend on the VM's style and the geometry alone. The guest's title is a picture
//!   of its own, beside the chip, that can at worst be missing.
//! * However often guests change their titles, [`TITLES_PER_FRAME`] of each VM are painted for a frame. Chips
//!   are always painted.
//! * The cache never holds more than [`MAX_PICTURES`] pictures or [`MAX_BYTES`] of pixels.

mod dialog;
mod indicator;
mod mark;
mod name;
mod picture;
mod workspaces;

use std::collections::HashMap;

use smithay::backend::renderer::element::memory::{MemoryRenderBuffer, MemoryRenderBufferRenderElement};
use smithay::backend::renderer::element::solid::SolidColorRenderElement;
use smithay::backend::renderer::element::{Id, Kind};
use smithay::backend::renderer::utils::CommitCounter;
use smithay::backend::renderer::{ImportMem, Renderer};
use smithay::utils::{Physical, Point, Rectangle};

pub(super) use self::dialog::PANEL;
pub use self::dialog::{Button, Dialog, DialogMarks, Line, Tone};
pub use self::indicator::Sign;
pub(super) use self::indicator::{CAPTURING, RESTRAINED, SAYING};
pub use self::picture::PictureElement;
pub(super) use self::picture::placed_picture;
pub use self::workspaces::Places;
use super::canvas::{Canvas, CanvasSizeError};
use super::frame::{self, FrameButton, FrameRects, Ring};
use super::glyph::Glyph;
use super::text::{Fonts, TextError, Weight};
use crate::trust::style::{LabelStyle, Mark, Pattern, Rgb};
use crate::trust::title::GuestText;

/// The most pictures that are kept.
pub const MAX_PICTURES: usize = 256;
/// The most memory of all pictures that are kept, in bytes.
pub const MAX_BYTES: usize = 16 << 20;

/// New titles of each VM that are painted for one frame. Painting text is the one thing about a label that a
/// guest can make the compositor do, so a guest that changes its titles all the time gets stale titles.
pub const TITLES_PER_FRAME: u32 = 4;

/// Height of letters, in logical pixels, where the theme has no say: in the stripe and the banner.
const TEXT_SIZE: i32 = frame::TEXT_SIZE;
/// Space between a chip's ends and its text, in logical pixels.
const CHIP_PADDING: i32 = 8;
/// Radius of the corners of a button under the pointer, in logical pixels.
const BUTTON_RADIUS: i32 = 4;
/// Radius of a chip's corners, in logical pixels.
const CHIP_RADIUS: i32 = 6;
/// The stripe where nothing has the keyboard.
pub(super) const NEUTRAL: Rgb = Rgb([0x20, 0x21, 0x24]);
/// The banner's colour.
pub(super) const WARNING: Rgb = Rgb([0xff, 0xb3, 0x00]);

/// Why a label cannot be painted.
#[derive(Debug, thiserror::Error)]
pub enum LabelError {
    /// Its text cannot be drawn.
    #[error("Drawing a label's text failed")]
    Text(#[from] TextError),
    /// There is no room for it.
    #[error("Making a label's picture failed")]
    Canvas(#[from] CanvasSizeError),
    /// The renderer did not take the picture.
    #[error("The renderer refused a label's picture: {reason}")]
    Upload {
        /// What the renderer said.
        reason: String,
    },
}

smithay::render_elements! {
    /// One part of a label.
    pub LabelElement<R> where R: ImportMem;
    /// A rectangle in one colour.
    Solid = SolidColorRenderElement,
    /// Text or a pattern.
    Picture = PictureElement<R>,
}

impl<R: Renderer> std::fmt::Debug for LabelElement<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Solid(_) => "LabelElement::Solid",
            _ => "LabelElement::Picture",
        })
    }
}

/// What tells the solids of one label from those of others from frame to frame, so that only what changed is
/// drawn again. Kept with the window, popup or output that the label belongs to.
#[derive(Clone, Debug)]
pub struct Marks {
    /// Of four sides and what stands on them.
    ids: [Id; 5],
    color: Option<Rgb>,
    commit: CommitCounter,
    /// The title that was shown last.
    title: Option<Key>,
}

impl Default for Marks {
    fn default() -> Self {
        Self {
            ids: std::array::from_fn(|_| Id::new()),
            color: None,
            commit: CommitCounter::default(),
            title: None,
        }
    }
}

impl Marks {
    /// The solids of a ring.
    fn ring<R: Renderer>(&mut self, ring: &Ring, color: Rgb) -> Vec<LabelElement<R>> {
        self.note(color);
        let sides = self.ids.iter().zip(ring).filter(|(_, side)| !side.is_empty());
        sides.map(|(id, side)| self.solid(id, *side, color)).collect()
    }

    /// One solid.
    fn bar<R: Renderer>(&mut self, rect: Rectangle<i32, Physical>, color: Rgb) -> LabelElement<R> {
        self.note(color);
        let [id, ..] = &self.ids;
        self.solid(id, rect, color)
    }

    /// A solid with a darker line at its bottom, which sets it off from what lies below.
    fn underlined_bar<R: Renderer>(
        &mut self,
        rect: Rectangle<i32, Physical>,
        line: i32,
        color: Rgb,
    ) -> [LabelElement<R>; 2] {
        self.note(color);
        let line = line.min(rect.size.h);
        let bottom = Rectangle::new(
            (rect.loc.x, rect.loc.y.saturating_add(rect.size.h - line)).into(),
            (rect.size.w, line).into(),
        );
        let [first, second, ..] = &self.ids;
        [self.solid(first, bottom, color.mix(Rgb::BLACK, 110)), self.solid(second, rect, color)]
    }

    fn note(&mut self, color: Rgb) {
        if self.color.replace(color) != Some(color) {
            self.commit.increment();
        }
    }

    fn solid<R: Renderer>(&self, id: &Id, rect: Rectangle<i32, Physical>, color: Rgb) -> LabelElement<R> {
        let color = color.to_color32f();
        SolidColorRenderElement::new(id.clone(), rect, self.commit, color, Kind::Unspecified).into()
    }
}

/// What stands beside the chip: the guest's title, and the compositor's buttons.
#[derive(Clone, Copy, Debug)]
pub struct Title<'a> {
    /// The title.
    pub text: &'a GuestText,
    /// It resembles the label of another VM ([`GuestText::resembles`]): it is then shown as what it is.
    pub imitates: bool,
    /// The window has the keyboard.
    pub focused: bool,
    /// The window asks for attention.
    pub urgent: bool,
    /// The button under the pointer, and whether it is pressed.
    pub hovered: Option<(FrameButton, bool)>,
    /// The button that maximises puts the window back.
    pub maximized: bool,
}

/// What the stripe says.
#[derive(Clone, Copy, Debug)]
pub enum StripeText<'a> {
    /// Whose keyboard it is.
    Keyboard(&'a LabelStyle),
    /// The same, and it holds the pointer or the keys of the compositor; with the hint that says so and how to take them back.
    Holding(&'a LabelStyle, &'static str),
    /// The same, and the keys move or resize the window; with the hint that says so.
    Placing(&'a LabelStyle, &'static str),
    /// No window has it.
    Nobody,
    /// The session is locked.
    Locked,
    /// The compositor has asked the user something, and takes the answer.
    Asking,
    /// The user has called the trusted panel.
    Attending,
    /// Whose keyboard it is, were its input not paused.
    Paused(&'a LabelStyle),
}

/// What a picture shows. Equal subjects have equal pixels.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Subject {
    /// A label on a rounded background.
    Chip { text: String, mark: Mark, text_color: Rgb, background: Rgb },
    /// A line of text without background.
    Text { text: String, color: Rgb, weight: Weight },
    /// A button of the given width.
    Button { glyph: Glyph, color: Rgb, background: Option<Rgb> },
    /// A pattern of the given width.
    Pattern { pattern: Pattern, color: Rgb },
}

/// A subject at the size it is painted in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    subject: Subject,
    /// Height in pixels.
    height: i32,
    /// The widest that the picture may be, in pixels.
    room: i32,
    /// The output's scale, as bits.
    scale: u64,
}

#[derive(Debug)]
struct Picture {
    buffer: MemoryRenderBuffer,
    width: i32,
    bytes: usize,
    last_used: u64,
}

/// Paints labels, and keeps the pictures that were painted last.
#[derive(Debug)]
pub struct LabelPainter {
    fonts: Fonts,
    pictures: HashMap<Key, Picture>,
    bytes: usize,
    clock: u64,
    /// Titles painted for this frame, by the colour that stands for their VM.
    painted: HashMap<Rgb, u32>,
    titles_per_vm: u32,
    postponed: bool,
}

impl LabelPainter {
    /// A painter with the built-in fonts.
    ///
    /// # Errors
    ///
    /// [`LabelError::Text`] if they cannot be used; not in a program whose tests pass.
    pub fn new() -> Result<Self, LabelError> {
        Ok(Self {
            fonts: Fonts::new()?,
            pictures: HashMap::new(),
            bytes: 0,
            clock: 0,
            painted: HashMap::new(),
            titles_per_vm: TITLES_PER_FRAME,
            postponed: false,
        })
    }

    /// The built-in fonts.
    pub(super) fn fonts(&mut self) -> &mut Fonts {
        &mut self.fonts
    }

    /// Begins a frame for which at most `titles_per_vm` new titles of each VM are painted.
    pub fn begin_frame(&mut self, titles_per_vm: u32) {
        self.painted.clear();
        self.titles_per_vm = titles_per_vm;
        self.postponed = false;
    }

    /// Whether a title of this frame was left for the next one, which must then be drawn.
    #[must_use]
    pub fn has_postponed(&self) -> bool {
        self.postponed
    }

    /// The frame of a window: ring, title bar, chip, pattern and title.
    ///
    /// # Errors
    ///
    /// Any [`LabelError`]; the window must then not be drawn. A title that cannot be drawn is left out, so no
    /// guest can cause an error by its choice of title.
    pub fn frame<R>(
        &mut self,
        renderer: &mut R,
        marks: &mut Marks,
        rects: &FrameRects,
        style: &LabelStyle,
        title: Title<'_>,
        scale: f64,
    ) -> Result<Vec<LabelElement<R>>, LabelError>
    where
        R: Renderer + ImportMem,
        R::TextureId: Send + Clone + 'static,
    {
        let mut elements = Vec::with_capacity(7);
        let patterned = style.pattern != Pattern::Solid;
        let letters = scale * f64::from(rects.text_size) / f64::from(TEXT_SIZE);
        let chip = Key::new(Subject::chip(style), rects.row.size.h, rects.chip_room(patterned), letters);
        let chip_width = self.picture(renderer, &chip, rects.row.loc, &mut elements)?;
        if patterned && !rects.pattern.is_empty() {
            let pattern = Subject::pattern(style);
            let key = Key::new(pattern, rects.pattern.size.h, rects.pattern.size.w, scale);
            self.picture(renderer, &key, rects.pattern.loc, &mut elements)?;
        }
        self.buttons(renderer, rects, style, title, scale, &mut elements)?;
        let mark = if title.urgent {
            self.attention(renderer, rects, chip_width, letters, &mut elements)
        } else {
            0
        };
        let room = rects.title(chip_width.saturating_add(mark), patterned);
        if !title.text.is_empty() && room.size.w > frame::scale_up(TEXT_SIZE, letters) {
            let key = Key::new(Subject::title(style, title), room.size.h, room.size.w, letters);
            if let Some(key) = self.affordable(key, marks, style.color, room.size.w)
                && let Err(error) = self.picture(renderer, &key, room.loc, &mut elements)
            {
                tracing::debug!(%error, "a title could not be drawn");
            }
        }
        elements.extend(marks.ring(&rects.ring, style.color));
        if !rects.tab.is_empty() {
            let [.., id] = &marks.ids;
            elements.push(marks.solid(id, rects.tab, style.color));
        }
        Ok(elements)
    }

    /// The mark of a window that asks for attention, beside its chip; returns how much room it takes. Without room there is none:
    /// the workspaces in the stripe still have theirs.
    fn attention<R>(
        &mut self,
        renderer: &mut R,
        rects: &FrameRects,
        chip_width: i32,
        letters: f64,
        elements: &mut Vec<LabelElement<R>>,
    ) -> i32
    where
        R: Renderer + ImportMem,
        R::TextureId: Send + Clone + 'static,
    {
        let room = rects.title(chip_width, true);
        let key = Key::new(Subject::attention(), room.size.h, room.size.w, letters);
        match self.picture(renderer, &key, room.loc, elements) {
            Ok(width) => rects.gap.saturating_add(width),
            Err(error) => {
                tracing::debug!(%error, "a mark could not be drawn");
                0
            }
        }
    }

    /// The buttons of a frame.
    fn buttons<R>(
        &mut self,
        renderer: &mut R,
        rects: &FrameRects,
        style: &LabelStyle,
        title: Title<'_>,
        scale: f64,
        elements: &mut Vec<LabelElement<R>>,
    ) -> Result<(), LabelError>
    where
        R: Renderer + ImportMem,
        R::TextureId: Send + Clone + 'static,
    {
        for (rect, button) in rects.buttons.iter().zip(FrameButton::ALL).filter(|(rect, _)| !rect.is_empty())
        {
            let glyph = Glyph::of(button, title.maximized);
            let pressed = title.hovered.filter(|(other, _)| *other == button).map(|(_, pressed)| pressed);
            let subject = Subject::button(style, glyph, title.focused, pressed);
            let key = Key::new(subject, rect.size.h, rect.size.w, scale);
            self.picture(renderer, &key, rect.loc, elements)?;
        }
        Ok(())
    }

    /// The ring of a popup, between `outer` and `content`.
    pub fn popup_ring<R: Renderer>(
        &self,
        marks: &mut Marks,
        outer: Rectangle<i32, Physical>,
        content: Rectangle<i32, Physical>,
        style: &LabelStyle,
    ) -> Vec<LabelElement<R>> {
        marks.ring(&frame::ring(outer, content), style.color)
    }

    /// A ring of any colour, which is no label.
    pub fn ring<R: Renderer>(
        marks: &mut Marks,
        outer: Rectangle<i32, Physical>,
        inner: Rectangle<i32, Physical>,
        color: Rgb,
    ) -> Vec<LabelElement<R>> {
        marks.ring(&frame::ring(outer, inner), color)
    }

    /// A rectangle of any colour, which is no label.
    pub fn bar<R: Renderer>(
        marks: &mut Marks,
        rect: Rectangle<i32, Physical>,
        color: Rgb,
    ) -> LabelElement<R> {
        marks.bar(rect, color)
    }

    /// The stripe at the top of an output. Its right end, `reserved` pixels, is left
    /// free for [`LabelPainter::workspaces`].
    ///
    /// # Errors
    ///
    /// Any [`LabelError`]; no window must then be drawn.
    pub fn stripe<R>(
        &mut self,
        renderer: &mut R,
        marks: &mut Marks,
        rect: Rectangle<i32, Physical>,
        reserved: i32,
        says: StripeText<'_>,
        scale: f64,
    ) -> Result<Vec<LabelElement<R>>, LabelError>
    where
        R: Renderer + ImportMem,
        R::TextureId: Send + Clone + 'static,
    {
        let mut elements = Vec::with_capacity(6);
        let focus = match says {
            StripeText::Keyboard(style)
            | StripeText::Holding(style, _)
            | StripeText::Placing(style, _)
            | StripeText::Paused(style) => Some(style),
            StripeText::Nobody | StripeText::Locked | StripeText::Asking | StripeText::Attending => None,
        };
        let background = focus.map_or(NEUTRAL, |style| style.color);
        let ink = background.readable();
        let gap = frame::scale_up(6, scale);
        let row = frame::grown(rect, frame::scale_up(2, scale).saturating_neg());
        let end = row.loc.x.saturating_add(row.size.w).saturating_sub(gap).saturating_sub(reserved);
        let mut x = row.loc.x.saturating_add(gap);
        let room = |x: i32| end.saturating_sub(x);
        // A drawn keyboard, so that it is plain what the name beside it says.
        let sign = Subject::text("\u{2328}", ink, Weight::Regular);
        let sign = Key::new(sign, row.size.h, room(x), scale * SIGN_SIZE);
        x += self.picture(renderer, &sign, (x, row.loc.y).into(), &mut elements)? + gap;
        if let Some(style) = focus {
            let chip = Key::new(Subject::chip(style), row.size.h, room(x), scale);
            x += self.picture(renderer, &chip, (x, row.loc.y).into(), &mut elements)? + gap;
        }
        let (said, color) = match says {
            StripeText::Keyboard(_) => ("has the keyboard", ink),
            StripeText::Holding(_, hint) | StripeText::Placing(_, hint) => (hint, ink),
            StripeText::Nobody => ("no window has the keyboard", ink.mix(background, 70)),
            StripeText::Locked => ("the session is locked", ink),
            StripeText::Asking => ("Vitrail asks, and no window has the keyboard", ink),
            StripeText::Attending => ("this is Vitrail, and no window has the keyboard", ink),
            StripeText::Paused(_) => ("gets no input: it is paused", ink),
        };
        let words = Key::new(Subject::text(said, color, Weight::Regular), row.size.h, room(x), scale);
        // The colour and the chip say enough where the output is too narrow for words and pattern.
        if let Ok(width) = self.picture(renderer, &words, (x, row.loc.y).into(), &mut elements) {
            let pattern = frame::scale_up(STRIPE_PATTERN, scale);
            let start = end.saturating_sub(pattern);
            if let Some(style) = focus.filter(|style| style.pattern != Pattern::Solid)
                && start > x + width + gap
            {
                let pattern = Key::new(Subject::pattern(style), row.size.h, pattern, scale);
                self.picture(renderer, &pattern, (start, row.loc.y).into(), &mut elements)?;
            }
        }
        elements.extend(marks.underlined_bar(rect, frame::scale_up(1, scale), background));
        Ok(elements)
    }

    /// The banner that says why the configuration was not reloaded.
    ///
    /// # Errors
    ///
    /// Any [`LabelError`].
    pub fn banner<R>(
        &mut self,
        renderer: &mut R,
        marks: &mut Marks,
        rect: Rectangle<i32, Physical>,
        message: &str,
        scale: f64,
    ) -> Result<Vec<LabelElement<R>>, LabelError>
    where
        R: Renderer + ImportMem,
        R::TextureId: Send + Clone + 'static,
    {
        let mut elements = Vec::with_capacity(3);
        let margin = frame::scale_up(8, scale);
        let mut place = rect.loc + Point::from((margin, 0));
        let end = rect.loc.x.saturating_add(rect.size.w).saturating_sub(margin);
        let heading = "\u{26a0} Configuration not reloaded";
        for (text, weight) in [(heading, Weight::Bold), (message, Weight::Regular)] {
            let subject = Subject::text(text, Rgb::BLACK, weight);
            let key = Key::new(subject, rect.size.h, end.saturating_sub(place.x), scale);
            place.x += self.picture(renderer, &key, place, &mut elements)? + margin;
        }
        elements.push(marks.bar(rect, WARNING));
        Ok(elements)
    }

    /// The title to show: the wanted one, unless its VM has had enough titles painted for this frame; then the
    /// one before, if it still fits.
    fn affordable(&mut self, wanted: Key, marks: &mut Marks, vm: Rgb, room: i32) -> Option<Key> {
        if !self.pictures.contains_key(&wanted) {
            let painted = self.painted.entry(vm).or_default();
            if *painted >= self.titles_per_vm {
                self.postponed = true;
                let fits = |key: &Key| {
                    key.height == wanted.height && self.pictures.get(key).is_some_and(|old| old.width <= room)
                };
                return marks.title.clone().filter(fits);
            }
            *painted += 1;
        }
        marks.title = Some(wanted.clone());
        Some(wanted)
    }

    /// Adds a picture at `place` and returns its width.
    fn picture<R>(
        &mut self,
        renderer: &mut R,
        key: &Key,
        place: Point<i32, Physical>,
        elements: &mut Vec<LabelElement<R>>,
    ) -> Result<i32, LabelError>
    where
        R: Renderer + ImportMem,
        R::TextureId: Send + Clone + 'static,
    {
        let width = self.width(key)?;
        let missing = || LabelError::Upload { reason: String::from("the picture is gone") };
        let picture = self.pictures.get(key).ok_or_else(missing)?;
        let element = MemoryRenderBufferRenderElement::from_buffer(
            renderer,
            place.to_f64(),
            &picture.buffer,
            None,
            None,
            None,
            Kind::Unspecified,
        );
        let element = element.map_err(|error| LabelError::Upload { reason: error.to_string() })?;
        elements.push(PictureElement(element).into());
        Ok(width)
    }

    /// The width of a picture, which is painted if it is not there.
    fn width(&mut self, key: &Key) -> Result<i32, LabelError> {
        self.clock += 1;
        if !self.pictures.contains_key(key) {
            let canvas = key.paint(&mut self.fonts)?;
            self.make_room(canvas.bytes());
            self.bytes += canvas.bytes();
            let picture = Picture {
                buffer: canvas.to_buffer(),
                width: canvas.width(),
                bytes: canvas.bytes(),
                last_used: self.clock,
            };
            self.pictures.insert(key.clone(), picture);
        }
        let clock = self.clock;
        let missing = || LabelError::Upload { reason: String::from("the picture is gone") };
        let picture = self.pictures.get_mut(key).ok_or_else(missing)?;
        picture.last_used = clock;
        Ok(picture.width)
    }

    /// Drops the pictures that were not used for longest, until one of `bytes` more can be kept.
    fn make_room(&mut self, bytes: usize) {
        while self.pictures.len() >= MAX_PICTURES || self.bytes.saturating_add(bytes) > MAX_BYTES {
            let oldest = self.pictures.iter().min_by_key(|(_, picture)| picture.last_used);
            let Some(key) = oldest.map(|(key, _)| key.clone()) else { return };
            if let Some(picture) = self.pictures.remove(&key) {
                self.bytes = self.bytes.saturating_sub(picture.bytes);
            }
        }
    }
}

/// Width of the pattern in the stripe, in logical pixels.
const STRIPE_PATTERN: i32 = 72;
/// How much larger the stripe's keyboard is drawn than letters.
const SIGN_SIZE: f64 = 1.25;

impl Subject {
    fn chip(style: &LabelStyle) -> Self {
        Self::Chip {
            text: style.label.as_str().to_owned(),
            mark: style.mark,
            text_color: style.color,
            background: style.color.readable(),
        }
    }

    /// In colours that are no VM's, on a ground as no title has one.
    fn attention() -> Self {
        Self::Chip { text: "!".to_owned(), mark: Mark::None, text_color: Rgb::BLACK, background: WARNING }
    }

    /// `pressed` is of the one under the pointer alone. A pressed one has the colours the other way round.
    fn button(style: &LabelStyle, glyph: Glyph, focused: bool, pressed: Option<bool>) -> Self {
        let ink = style.color.readable();
        let (color, background) = match pressed {
            Some(true) => (style.color, Some(ink)),
            Some(false) => (ink, Some(style.color.mix(ink, 60))),
            None if focused => (ink, None),
            None => (ink.mix(style.color, 60), None),
        };
        Self::Button { glyph, color, background }
    }

    fn pattern(style: &LabelStyle) -> Self {
        Self::Pattern { pattern: style.pattern, color: style.color.mix(style.color.readable(), 130) }
    }

    fn text(text: &str, color: Rgb, weight: Weight) -> Self {
        Self::Text { text: text.to_owned(), color, weight }
    }

    fn title(style: &LabelStyle, title: Title<'_>) -> Self {
        let ink = style.color.readable();
        let color = if title.focused { ink } else { ink.mix(style.color, 60) };
        let text = if title.imitates {
            // Isolated, so that a title written from right to left does not change the order of what is around it.
            let (begin, end) =
                if title.text.as_str().is_ascii() { ("", "") } else { ("\u{2068}", "\u{2069}") };
            format!("titled by {}: \"{begin}{}{end}\"", style.label, title.text)
        } else {
            title.text.as_str().to_owned()
        };
        Self::Text { text, color, weight: Weight::Regular }
    }
}

impl Key {
    fn new(subject: Subject, height: i32, room: i32, scale: f64) -> Self {
        let scale = frame::sane_scale(scale);
        // No letter of ASCII is wider than it is high, and no other twice as wide: where there is plenty of room, its exact
        // amount does not matter, and resizing a window finds the same picture again.
        let room = match &subject {
            Subject::Pattern { .. } | Subject::Button { .. } => room,
            Subject::Chip { text, .. } | Subject::Text { text, .. } => {
                // Room for what is around a chip's text, and before it.
                let around = if matches!(subject, Subject::Chip { .. }) { 4 } else { 2 };
                let letters = text
                    .chars()
                    .map(|c| if c.is_ascii() { 1 } else { 2 })
                    .sum::<i32>()
                    .saturating_add(around);
                room.min(frame::scale_up(TEXT_SIZE, scale).saturating_add(1).saturating_mul(letters))
            }
        };
        Self { subject, height, room, scale: scale.to_bits() }
    }

    fn paint(&self, fonts: &mut Fonts) -> Result<Canvas, LabelError> {
        let scale = f64::from_bits(self.scale);
        let size = (f64::from(TEXT_SIZE) * scale) as f32;
        match &self.subject {
            Subject::Chip { text, mark, text_color, background } => {
                let padding = frame::scale_up(CHIP_PADDING, scale).min(self.room / 4);
                let before = mark::width(*mark, scale).min(self.room / 4);
                let room = self.room.saturating_sub(padding.saturating_mul(2)).saturating_sub(before);
                let mut line = fonts.line(text, Weight::Bold, size, self.height, room)?;
                let width = line.width().saturating_add(padding * 2).saturating_add(before);
                let mut canvas = Canvas::new(width, self.height)?;
                canvas.fill_rounded(*background, frame::scale_up(CHIP_RADIUS, scale) as f32);
                mark::paint(*mark, &mut canvas, padding, *text_color, scale);
                fonts.draw(&mut line, &mut canvas, (padding + before, 0), *text_color)?;
                Ok(canvas)
            }
            Subject::Text { text, color, weight } => {
                let mut line = fonts.line(text, *weight, size, self.height, self.room)?;
                let mut canvas = Canvas::new(line.width(), self.height)?;
                fonts.draw(&mut line, &mut canvas, (0, 0), *color)?;
                Ok(canvas)
            }
            Subject::Button { glyph, color, background } => {
                let mut canvas = Canvas::new(self.room, self.height)?;
                if let Some(background) = background {
                    canvas.fill_rounded(*background, frame::scale_up(BUTTON_RADIUS, scale) as f32);
                }
                glyph.paint(&mut canvas, *color, scale);
                Ok(canvas)
            }
            Subject::Pattern { pattern, color } => {
                let mut canvas = Canvas::new(self.room, self.height)?;
                paint_pattern(&mut canvas, *pattern, *color, scale as f32);
                Ok(canvas)
            }
        }
    }
}

/// Paints a pattern over a whole canvas.
fn paint_pattern(canvas: &mut Canvas, pattern: Pattern, color: Rgb, scale: f32) {
    let (width, height) = (canvas.width() as f32, canvas.height() as f32);
    let unit = height / 4.0;
    match pattern {
        Pattern::Solid => {}
        // Bands at 45 degrees, as wide as the space between them.
        Pattern::Stripes => canvas.paint(color, |x, y| {
            let across = (x + y).rem_euclid(4.0 * unit) - 2.0 * unit;
            (across.abs() - unit) * std::f32::consts::FRAC_1_SQRT_2
        }),
        // Two rows of as many whole dots as fit, in the middle.
        Pattern::Dots => {
            let step = 2.0 * unit;
            let used = (width / step).floor() * step;
            canvas.paint(color, |x, y| {
                let along = x - (width - used) / 2.0;
                let inside = (0.0..used).contains(&along);
                let dot = (along.rem_euclid(step) - step / 2.0).hypot(y.rem_euclid(step) - step / 2.0);
                if inside { dot - unit * 0.6 } else { f32::INFINITY }
            });
        }
        // Two lines along the bar.
        Pattern::Double => {
            let thickness = (3.0 * scale).round().max(1.0) / 2.0;
            let offset = (height / 5.0).round();
            canvas.paint(color, |_, y| ((y - height / 2.0).abs() - offset).abs() - thickness);
        }
    }
}

#[cfg(test)]
mod tests;
