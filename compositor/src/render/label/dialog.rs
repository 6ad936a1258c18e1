//! A dialog of the compositor with the user: a panel with lines of text, names of VMs and buttons.

use smithay::backend::renderer::{ImportMem, Renderer};
use smithay::utils::{Physical, Point, Rectangle};

use super::{Key, LabelElement, LabelError, LabelPainter, Marks, Subject, TEXT_SIZE};
use crate::render::frame;
use crate::render::text::Weight;
use crate::trust::style::{LabelStyle, Pattern, Rgb};

/// The panel, its edge, and what is written on it.
pub(in crate::render) const PANEL: Rgb = Rgb([0x26, 0x28, 0x2d]);
const EDGE: Rgb = Rgb([0xff, 0xff, 0xff]);
const INK: Rgb = Rgb([0xf1, 0xf3, 0xf4]);
const FAINT: Rgb = Rgb([0x9a, 0xa0, 0xa6]);
/// A button, the one that Enter presses, and any while none can be pressed yet.
const BUTTON: Rgb = Rgb([0x3c, 0x40, 0x43]);
const CHOSEN: Rgb = Rgb([0x8a, 0xb4, 0xf8]);
const RESTING: Rgb = Rgb([0x2f, 0x31, 0x36]);
/// How much larger a heading is.
const HEADING: f64 = 1.25;
/// Solid colour around a VM's name, in logical pixels.
const AROUND_NAME: i32 = 4;

/// How a line of text looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Larger and bold.
    Heading,
    /// As text is.
    Plain,
    /// What need not be read each time.
    Faint,
}

/// A line of text.
#[derive(Clone, Debug)]
pub struct Line {
    /// Where it is.
    pub place: Rectangle<i32, Physical>,
    /// What it says.
    pub text: String,
    /// How it looks.
    pub tone: Tone,
}

/// What can be pressed.
#[derive(Clone, Debug)]
pub struct Button {
    /// Where it is.
    pub place: Rectangle<i32, Physical>,
    /// What it says.
    pub text: &'static str,
    /// Enter presses it.
    pub chosen: bool,
}

/// A dialog, and where its parts are.
#[derive(Clone, Debug)]
pub struct Dialog<'a> {
    /// Everything, its edge included.
    pub panel: Rectangle<i32, Physical>,
    /// Its text.
    pub lines: Vec<Line>,
    /// Names of VMs, each on a bar in the VM's colour.
    pub names: Vec<(Rectangle<i32, Physical>, &'a LabelStyle)>,
    /// What can be pressed.
    pub buttons: Vec<Button>,
    /// It takes an answer by now.
    pub armed: bool,
    /// Width of the panel's edge.
    pub edge: i32,
}

/// What tells the parts of a dialog from those of others from frame to frame.
#[derive(Debug, Default)]
pub struct DialogMarks {
    ring: Marks,
    ground: Marks,
    buttons: Vec<Marks>,
    names: Vec<Marks>,
}

impl LabelPainter {
    /// A dialog.
    ///
    /// # Errors
    ///
    /// Any [`LabelError`]; it must then not be answered.
    pub fn dialog<R>(
        &mut self,
        renderer: &mut R,
        marks: &mut DialogMarks,
        dialog: &Dialog<'_>,
        scale: f64,
    ) -> Result<Vec<LabelElement<R>>, LabelError>
    where
        R: Renderer + ImportMem,
        R::TextureId: Send + Clone + 'static,
    {
        let mut elements = Vec::new();
        for Line { place, text, tone } in &dialog.lines {
            let (scale, color, weight) = match tone {
                Tone::Heading => (scale * HEADING, INK, Weight::Bold),
                Tone::Plain => (scale, INK, Weight::Regular),
                Tone::Faint => (scale, FAINT, Weight::Regular),
            };
            let key = Key::new(Subject::text(text, color, weight), place.size.h, place.size.w, scale);
            self.picture(renderer, &key, place.loc, &mut elements)?;
        }
        marks.buttons.resize_with(dialog.buttons.len(), Marks::default);
        for (Button { place, text, chosen }, marks) in dialog.buttons.iter().zip(&mut marks.buttons) {
            let (color, background) = match (dialog.armed, chosen) {
                (true, true) => (Rgb::BLACK, CHOSEN),
                (true, false) => (INK, BUTTON),
                (false, _) => (FAINT, RESTING),
            };
            let key = Key::new(Subject::text(text, color, Weight::Bold), place.size.h, place.size.w, scale);
            // Where there is no room for the word the place alone says which it is.
            if let Ok(width) = self.width(&key) {
                let inset = place.size.w.saturating_sub(width).max(0) / 2;
                self.picture(renderer, &key, place.loc + Point::from((inset, 0)), &mut elements)?;
            }
            elements.push(marks.bar(*place, background));
        }
        marks.names.resize_with(dialog.names.len(), Marks::default);
        for ((place, style), marks) in dialog.names.iter().zip(&mut marks.names) {
            self.name_on_bar(renderer, marks, *place, style, scale, &mut elements)?;
        }
        let inner = frame::grown(dialog.panel, dialog.edge.saturating_neg());
        elements.extend(Self::ring(&mut marks.ring, dialog.panel, inner, EDGE));
        elements.push(Self::bar(&mut marks.ground, inner, PANEL));
        Ok(elements)
    }

    /// A VM's name and pattern on a bar in its colour, as they are in a title bar.
    fn name_on_bar<R>(
        &mut self,
        renderer: &mut R,
        marks: &mut Marks,
        place: Rectangle<i32, Physical>,
        style: &LabelStyle,
        scale: f64,
        elements: &mut Vec<LabelElement<R>>,
    ) -> Result<(), LabelError>
    where
        R: Renderer + ImportMem,
        R::TextureId: Send + Clone + 'static,
    {
        let row = frame::grown(place, frame::scale_up(AROUND_NAME, scale).saturating_neg());
        let pattern = row.size.w / 4;
        let patterned = style.pattern != Pattern::Solid && pattern >= row.size.h;
        let room = if patterned { row.size.w - pattern - AROUND_NAME } else { row.size.w };
        let chip = Key::new(Subject::chip(style), row.size.h, room, scale);
        self.picture(renderer, &chip, row.loc, elements)?;
        if patterned {
            let at = Point::from((row.loc.x + row.size.w - pattern, row.loc.y));
            let key = Key::new(Subject::pattern(style), row.size.h, pattern, scale);
            self.picture(renderer, &key, at, elements)?;
        }
        elements.push(marks.bar(place, style.color));
        Ok(())
    }

    /// The height of a line of a dialog, and of its heading, in physical pixels.
    #[must_use]
    pub fn dialog_lines(scale: f64) -> (i32, i32) {
        let line = frame::scale_up(TEXT_SIZE.saturating_add(8), scale);
        (line, (f64::from(line) * HEADING).ceil() as i32)
    }
}
