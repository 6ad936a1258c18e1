//! Lines of text in the compositor's own fonts.
//!
//! The fonts are part of the program: labels look the same on every machine, need no font to be installed,
//! and no font file that someone installed is ever parsed. DejaVu Sans has the alphabets of Europe and the Near East, Droid Sans
//! Fallback those of East Asia, and Noto Emoji signs that people put into titles. A character that none of them has is
//! drawn as U+FFFD.

use std::sync::Arc;

use cosmic_text::{
    Align, Attrs, Buffer, Ellipsize, EllipsizeHeightLimit, Fallback, Family, FontSystem, Hinting, Metrics,
    Shaping, SwashCache, Wrap, fontdb,
};
use unicode_script::Script;

use super::canvas::Canvas;
use crate::trust::style::Rgb;

static REGULAR: &[u8] = include_bytes!("../../../assets/fonts/DejaVuSans.ttf");
static BOLD: &[u8] = include_bytes!("../../../assets/fonts/DejaVuSans-Bold.ttf");
static EAST_ASIAN: &[u8] = include_bytes!("../../../assets/fonts/DroidSansFallback.ttf");
static EMOJI: &[u8] = include_bytes!("../../../assets/fonts/NotoEmoji-Regular.ttf");
/// The name that the first two files give their family.
const FAMILY: &str = "DejaVu Sans";
/// Where letters are looked for that the family has not, in this order.
const OTHERS: [&str; 2] = ["Droid Sans Fallback", "Noto Emoji"];

/// Finds letters in the built-in fonts and no others.
struct BuiltIn;

impl Fallback for BuiltIn {
    fn common_fallback(&self) -> &[&'static str] {
        &OTHERS
    }

    fn forbidden_fallback(&self) -> &[&'static str] {
        &[]
    }

    fn script_fallback(&self, _: Script, _: &str) -> &[&'static str] {
        &[]
    }
}

/// Why there is no text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// The fonts in the program are not usable.
    #[error("The built-in font {FAMILY} cannot be used")]
    Fonts,
    /// Not one glyph fits, or none could be drawn.
    #[error("Nothing of the text \"{0}\" can be drawn")]
    Nothing(String),
}

/// The thickness of the letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Weight {
    /// For what guests say.
    Regular,
    /// For what the compositor says.
    Bold,
}

/// The fonts, and the shapes of the glyphs that have been used.
#[derive(Debug)]
pub struct Fonts {
    system: FontSystem,
    glyphs: SwashCache,
}

/// A line of text that has been laid out.
#[derive(Debug)]
pub struct Line {
    buffer: Buffer,
    text: String,
    width: i32,
    /// How far the first letter from the left is from where the layout begins: what is written from right to left may begin
    /// a pixel before that, because letters are rounded to whole pixels.
    left: i32,
}

impl Line {
    /// The width in pixels, at most what was asked for.
    #[must_use]
    pub fn width(&self) -> i32 {
        self.width
    }
}

impl Fonts {
    /// Loads the built-in fonts.
    ///
    /// # Errors
    ///
    /// [`TextError::Fonts`] if they lack a face; not in a program whose tests pass.
    pub fn new() -> Result<Self, TextError> {
        let mut database = fontdb::Database::new();
        for font in [REGULAR, BOLD, EAST_ASIAN, EMOJI] {
            // Where it is in the program: it is not copied.
            database.load_font_source(fontdb::Source::Binary(Arc::new(font)));
        }
        for weight in [fontdb::Weight::NORMAL, fontdb::Weight::BOLD] {
            let wanted = |face: &fontdb::FaceInfo| {
                face.weight == weight && face.families.iter().any(|(name, _)| name == FAMILY)
            };
            if !database.faces().any(wanted) {
                return Err(TextError::Fonts);
            }
        }
        database.set_sans_serif_family(FAMILY);
        // The locale is fixed as well, so that the user's does not choose glyphs.
        let locale = String::from("en-US");
        let system = FontSystem::new_with_locale_and_db_and_fallback(locale, database, BuiltIn);
        Ok(Self { system, glyphs: SwashCache::new() })
    }

    /// Lays out one line: `size` pixels high letters, centred in `height` pixels, ended by an ellipsis where
    /// it would be wider than `max_width` pixels.
    ///
    /// # Errors
    ///
    /// [`TextError::Nothing`] if the text is blank or not one letter fits.
    pub fn line(
        &mut self,
        text: &str,
        weight: Weight,
        size: f32,
        height: i32,
        max_width: i32,
    ) -> Result<Line, TextError> {
        let nothing = || TextError::Nothing(text.to_owned());
        if text.trim().is_empty() || height < 1 || (max_width as f32) < size {
            return Err(nothing());
        }
        let weight = match weight {
            Weight::Regular => fontdb::Weight::NORMAL,
            Weight::Bold => fontdb::Weight::BOLD,
        };
        let drawable = self.drawable(text, weight);
        let mut room = max_width;
        loop {
            let (buffer, left, end) = self.laid_out(&drawable, weight, size, height, room);
            let width = end.saturating_sub(left);
            if width < 1 || (room as f32) < size {
                return Err(nothing());
            }
            if width <= max_width {
                return Ok(Line { buffer, text: text.to_owned(), width, left });
            }
            // Rounded letters may take a little more than the room that they were given: then they get less.
            room = room.saturating_sub(width.saturating_sub(max_width));
        }
    }

    /// A line for so much room, and from where to where its letters reach.
    fn laid_out(
        &mut self,
        text: &str,
        weight: fontdb::Weight,
        size: f32,
        height: i32,
        room: i32,
    ) -> (Buffer, i32, i32) {
        let mut buffer = Buffer::new(&mut self.system, Metrics::new(size, height as f32));
        buffer.set_hinting(Hinting::Enabled);
        buffer.set_wrap(Wrap::None);
        buffer.set_ellipsize(Ellipsize::End(EllipsizeHeightLimit::Lines(1)));
        buffer.set_size(Some(room as f32), Some(height as f32));
        let attrs = Attrs::new().family(Family::Name(FAMILY)).weight(weight);
        // Where it is asked to begin, in whatever direction it is written.
        buffer.set_text(text, &attrs, Shaping::Advanced, Some(Align::Left));
        buffer.shape_until_scroll(&mut self.system, false);
        // What the layout says is its width may leave out a part of the ellipsis.
        let (mut left, mut end) = (0.0_f32, 0.0_f32);
        for run in buffer.layout_runs() {
            end = end.max(run.line_w);
            for letter in run.glyphs.iter().filter(|letter| letter.w > 0.0) {
                left = left.min(letter.x);
                end = end.max(letter.x + letter.w);
            }
        }
        let (left, end) = (left.floor() as i32, end.ceil() as i32);
        (buffer, left, end)
    }

    /// The text with what no font has replaced. Characters that are never drawn, which steer the others, stay.
    fn drawable(&mut self, text: &str, weight: fontdb::Weight) -> String {
        if text.is_ascii() {
            return text.to_owned();
        }
        let ids: Vec<_> = self.system.db().faces().map(|face| face.id).collect();
        let fonts: Vec<_> = ids.into_iter().filter_map(|id| self.system.get_font(id, weight)).collect();
        let has = |c: char| fonts.iter().any(|font| font.as_swash().charmap().map(c) != 0);
        let steers = |c: char| matches!(c, '\u{2066}'..='\u{2069}');
        text.chars().map(|c| if steers(c) || has(c) { c } else { char::REPLACEMENT_CHARACTER }).collect()
    }

    /// Draws a line with its left edge at `x` and its top at `y`.
    ///
    /// # Errors
    ///
    /// [`TextError::Nothing`] if that leaves no mark on the canvas.
    pub fn draw(
        &mut self,
        line: &mut Line,
        canvas: &mut Canvas,
        (x, y): (i32, i32),
        color: Rgb,
    ) -> Result<(), TextError> {
        let mut marks = 0_usize;
        let x = x.saturating_sub(line.left);
        let [r, g, b] = color.0;
        let paint = cosmic_text::Color::rgb(r, g, b);
        let (width, height) = (canvas.width(), canvas.height());
        line.buffer.draw(&mut self.system, &mut self.glyphs, paint, |left, top, w, h, color| {
            for dy in 0..i32::try_from(h).unwrap_or(0) {
                for dx in 0..i32::try_from(w).unwrap_or(0) {
                    let (px, py) = (x.saturating_add(left + dx), y.saturating_add(top + dy));
                    let inside = (0..width).contains(&px) && (0..height).contains(&py);
                    marks += usize::from(inside && color.a() > 0);
                    canvas.blend(px, py, Rgb([color.r(), color.g(), color.b()]), color.a());
                }
            }
        });
        if marks == 0 {
            return Err(TextError::Nothing(line.text.clone()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_drawn_without_any_installed_font() {
        // The database holds the built-in faces and nothing else.
        let mut fonts = Fonts::new().unwrap();
        assert_eq!(fonts.system.db().len(), 4);
        let mut line = fonts.line("Work", Weight::Bold, 12.0, 20, 100).unwrap();
        assert!((20..60).contains(&line.width()), "{}", line.width());
        let mut canvas = Canvas::new(line.width(), 20).unwrap();
        fonts.draw(&mut line, &mut canvas, (0, 0), Rgb::WHITE).unwrap();
        assert!(canvas.painted() > 50);
    }

    /// The pixels of a line.
    fn drawn(text: &str) -> Canvas {
        let mut fonts = Fonts::new().unwrap();
        let mut line = fonts.line(text, Weight::Regular, 16.0, 24, 400).unwrap();
        let mut canvas = Canvas::new(line.width(), 24).unwrap();
        fonts.draw(&mut line, &mut canvas, (0, 0), Rgb::WHITE).unwrap();
        canvas
    }

    #[test]
    fn every_large_script_and_emoji_have_letters_and_what_has_none_shows_that() {
        let missing = drawn("\u{fffd}");
        for text in ["漢", "あ", "한", "ع", "ש", "Я", "Ω", "🌈", "🔒"] {
            assert_ne!(drawn(text), missing, "{text}");
        }
        assert_eq!(drawn("\u{12000}"), missing);
        assert_eq!(drawn("ก"), missing);
    }

    #[test]
    fn a_line_begins_at_its_left_edge_in_both_directions() {
        for text in ["title", "مرحبا", "שלום"] {
            let canvas = drawn(text);
            assert!(canvas.painted() > 30 && canvas.width() < 100, "{text}: {}", canvas.width());
        }
    }

    #[test]
    fn bold_is_wider_than_regular() {
        let mut fonts = Fonts::new().unwrap();
        let mut width = |weight| fonts.line("Personal", weight, 12.0, 20, 500).unwrap().width();
        assert!(width(Weight::Bold) > width(Weight::Regular));
    }

    #[test]
    fn long_text_ends_where_its_room_ends() {
        let mut fonts = Fonts::new().unwrap();
        let mut full =
            |text: &str, room| fonts.line(text, Weight::Regular, 12.0, 20, room).map(|line| line.width());
        let long = "a long title that does not fit into the room it has";
        let whole = full(long, 2000).unwrap();
        let cut = full(long, 120).unwrap();
        assert!(whole > 250 && cut <= 120 && cut > 80, "{whole} {cut}");
    }

    #[test]
    fn text_that_leaves_no_mark_is_an_error() {
        let mut fonts = Fonts::new().unwrap();
        assert!(fonts.line("", Weight::Bold, 12.0, 20, 100).is_err());
        assert!(fonts.line("   ", Weight::Bold, 12.0, 20, 100).is_err());
        assert!(fonts.line("Work", Weight::Bold, 12.0, 20, 3).is_err());
        assert!(fonts.line("Work", Weight::Bold, 12.0, 20, -3).is_err());
        let mut line = fonts.line("Work", Weight::Bold, 12.0, 20, 100).unwrap();
        let mut canvas = Canvas::new(10, 10).unwrap();
        assert!(fonts.draw(&mut line, &mut canvas, (50, 0), Rgb::WHITE).is_err());
    }
}
