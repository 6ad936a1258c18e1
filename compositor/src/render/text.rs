//! Lines of text in the compositor's own fonts.
//!
//! The fonts are part of the program: labels look the same on every machine, need no font to be installed,
//! and no font file that someone installed is ever parsed.

use cosmic_text::{
    Attrs, Buffer, Ellipsize, EllipsizeHeightLimit, Family, FontSystem, Hinting, Metrics, Shaping,
    SwashCache, Wrap, fontdb,
};

use super::canvas::Canvas;
use crate::trust::style::Rgb;

static REGULAR: &[u8] = include_bytes!("../../../assets/fonts/DejaVuSans.ttf");
static BOLD: &[u8] = include_bytes!("../../../assets/fonts/DejaVuSans-Bold.ttf");
/// The name that both files give their family.
const FAMILY: &str = "DejaVu Sans";

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
        database.load_font_data(REGULAR.to_vec());
        database.load_font_data(BOLD.to_vec());
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
        let system = FontSystem::new_with_locale_and_db(String::from("en-US"), database);
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
        let mut buffer = Buffer::new(&mut self.system, Metrics::new(size, height as f32));
        buffer.set_hinting(Hinting::Enabled);
        buffer.set_wrap(Wrap::None);
        buffer.set_ellipsize(Ellipsize::End(EllipsizeHeightLimit::Lines(1)));
        buffer.set_size(Some(max_width as f32), Some(height as f32));
        let attrs = Attrs::new().family(Family::Name(FAMILY)).weight(weight);
        buffer.set_text(text, &attrs, Shaping::Advanced, None);
        buffer.shape_until_scroll(&mut self.system, false);
        let width = buffer.layout_runs().map(|run| run.line_w).fold(0.0, f32::max).ceil() as i32;
        if width < 1 {
            return Err(nothing());
        }
        Ok(Line { buffer, text: text.to_owned(), width: width.min(max_width) })
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
        // The database holds the two built-in faces and nothing else.
        let mut fonts = Fonts::new().unwrap();
        assert_eq!(fonts.system.db().len(), 2);
        let mut line = fonts.line("Work", Weight::Bold, 12.0, 20, 100).unwrap();
        assert!((20..60).contains(&line.width()), "{}", line.width());
        let mut canvas = Canvas::new(line.width(), 20).unwrap();
        fonts.draw(&mut line, &mut canvas, (0, 0), Rgb::WHITE).unwrap();
        assert!(canvas.painted() > 50);
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
