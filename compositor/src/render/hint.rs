//! The hint for somebody who sees the desktop for the first time: the main keys, on the empty background.
//!
//! # Model
//!
//! It is there until the first window opens or the first chord is used, whichever comes first, and then not again; nor after a new
//! start, if there is a file to keep that in. What it says follows the configured chords; where a chord was taken away its
//! line is left out.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use smithay::backend::renderer::element::memory::MemoryRenderBuffer;
use smithay::input::keyboard::xkb;
use smithay::utils::{Physical, Size};

use super::canvas::Canvas;
use super::frame::scale_up;
use super::label::LabelError;
use super::text::{Fonts, Weight};
use crate::input::action::Action;
use crate::input::chord::{Bindings, Chord};
use crate::state::State;
use crate::trust::style::Rgb;

const PANEL: Rgb = Rgb([0x1b, 0x1d, 0x22]);
const KEY: Rgb = Rgb([0x3a, 0x3e, 0x46]);
const INK: Rgb = Rgb([0xe8, 0xea, 0xed]);
const FAINT: Rgb = Rgb([0xa6, 0xab, 0xb3]);
/// Heights and distances in logical pixels.
const PADDING: i32 = 28;
const ROW: i32 = 34;
const HEADING: i32 = 40;
const CAP: i32 = 24;
const GAP: i32 = 6;
const KEYS: i32 = 190;
/// The most that a line's words may take up.
const WORDS: i32 = 480;
const RADIUS: i32 = 14;
const SIZE: i32 = 14;

/// The hint as it is drawn.
#[derive(Debug)]
pub(super) struct Drawn {
    pub(super) pixels: MemoryRenderBuffer,
    pub(super) size: Size<i32, Physical>,
}

/// Whether the hint is to be seen.
#[derive(Debug, Default)]
pub struct Hint {
    known: bool,
    file: Option<PathBuf>,
    /// What was drawn last, from which lines and at which scale.
    drawn: Option<(Vec<Line>, u64, Option<Drawn>)>,
}

/// One line: the caps of the keys, and what they do.
type Line = (Vec<String>, &'static str);

impl Hint {
    /// Keeps in a file that the hint is known, from now on. One that is there says that it is.
    pub fn keep_in(&mut self, file: PathBuf) {
        self.known |= file.exists();
        self.file = Some(file);
    }

    /// Whether the hint was seen and is not shown any more.
    #[must_use]
    pub fn was_seen(&self) -> bool {
        self.known
    }

    /// Whoever sits there knows how to go on.
    pub(super) fn is_known(&mut self) {
        if std::mem::replace(&mut self.known, true) {
            return;
        }
        self.drawn = None;
        let Some(file) = &self.file else { return };
        let directory = file
            .parent()
            .map_or(Ok(()), |directory| fs::DirBuilder::new().recursive(true).mode(0o700).create(directory));
        if let Err(error) = directory.and_then(|()| fs::write(file, "The hint of the main keys was seen.\n"))
        {
            tracing::warn!("the hint of the main keys will be shown again: {} {error}", file.display());
        }
    }

    /// The hint at a scale; `None` once it is known.
    pub(super) fn picture(&mut self, fonts: &mut Fonts, keys: &Bindings, scale: f64) -> Option<&Drawn> {
        if self.known {
            return None;
        }
        let lines = lines(keys);
        let bits = scale.to_bits();
        if self.drawn.as_ref().is_none_or(|(old, at, _)| *old != lines || *at != bits) {
            let drawn = paint(fonts, &lines, scale);
            let drawn = drawn.inspect_err(|error| tracing::debug!("error drawing the hint: {error}")).ok();
            self.drawn = Some((lines, bits, drawn));
        }
        self.drawn.as_ref().and_then(|(_, _, drawn)| drawn.as_ref())
    }
}

impl State {
    /// A chord was used.
    pub(crate) fn hint_is_known(&mut self) {
        let hint = &mut self.comp.decor.background.hint;
        if !hint.was_seen() {
            hint.is_known();
            self.comp.schedule.request();
        }
    }
}

/// What the hint says.
fn lines(keys: &Bindings) -> Vec<Line> {
    let first = |fits: fn(&Action) -> bool| keys.iter().find(|binding| fits(&binding.action));
    let line = |fits: fn(&Action) -> bool, what: &'static str| {
        first(fits).map(|binding| (caps(&binding.chord), what))
    };
    let all = [
        line(|action| matches!(action, Action::Run(_)), "start a program"),
        line(|action| *action == Action::SwitchWindow(true), "choose another window"),
        line(|action| *action == Action::Maximize, "fill the screen, or back"),
        line(|action| *action == Action::Columns, "put windows side by side"),
        line(|action| *action == Action::Workspace(1), "go to workspace 2"),
        line(|action| *action == Action::Close, "close the window"),
        Some((vec![String::from("Super"), String::from("Esc")], "take the keyboard and pointer back")),
        line(|action| *action == Action::Quit, "end the session"),
    ];
    all.into_iter().flatten().collect()
}

/// What is printed on the keys of a chord.
fn caps(chord: &Chord) -> Vec<String> {
    let modifiers = chord.modifiers;
    let held = [
        ("Super", modifiers.logo),
        ("Ctrl", modifiers.ctrl),
        ("Alt", modifiers.alt),
        ("Shift", modifiers.shift),
    ];
    let mut caps: Vec<String> =
        held.into_iter().filter(|(_, held)| *held).map(|(name, _)| name.to_owned()).collect();
    let name = xkb::keysym_get_name(chord.key);
    let mut letters = name.chars();
    caps.push(letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect());
    caps
}

/// Draws the hint.
fn paint(fonts: &mut Fonts, lines: &[Line], scale: f64) -> Result<Drawn, LabelError> {
    let px = |length: i32| scale_up(length, scale);
    let rows = i32::try_from(lines.len()).unwrap_or(i32::MAX);
    let size = px(SIZE) as f32;
    let heading = "Nothing is open yet. The main keys:";
    let mut line = fonts.line(heading, Weight::Bold, size * 1.15, px(HEADING), px(WORDS))?;
    let mut title = Canvas::new(line.width(), px(HEADING))?;
    fonts.draw(&mut line, &mut title, (0, 0), INK)?;
    let mut words = Vec::with_capacity(lines.len());
    for (_, what) in lines {
        words.push(fonts.line(what, Weight::Regular, size, px(ROW), px(WORDS))?);
    }
    // As wide as the longest line, with as much room at both ends.
    let longest = words.iter().map(|line| line.width()).max().unwrap_or(0).saturating_add(px(KEYS));
    let width = longest.max(title.width()).saturating_add(px(2 * PADDING));
    let height = px(2 * PADDING + HEADING).saturating_add(rows.saturating_mul(px(ROW)));
    let mut canvas = Canvas::new(width, height)?;
    canvas.fill_rounded(PANEL, px(RADIUS) as f32);
    canvas.lay(&title, px(PADDING), px(PADDING - 8));
    for (index, ((caps, _), mut line)) in lines.iter().zip(words).enumerate() {
        let row = i32::try_from(index).unwrap_or(i32::MAX);
        let y = px(PADDING + HEADING).saturating_add(row.saturating_mul(px(ROW)));
        let top = y + (px(ROW) - px(CAP)) / 2;
        let mut x = px(PADDING);
        for cap in caps {
            let mut line = fonts.line(cap, Weight::Regular, size * 0.9, px(CAP), px(KEYS))?;
            let width = (line.width() + px(16)).max(px(CAP));
            let mut key = Canvas::new(width, px(CAP))?;
            key.fill_rounded(KEY, px(5) as f32);
            let indent = (width - line.width()) / 2;
            fonts.draw(&mut line, &mut key, (indent, 0), INK)?;
            canvas.lay(&key, x, top);
            x += width + px(GAP);
        }
        let mut text = Canvas::new(line.width(), px(ROW))?;
        fonts.draw(&mut line, &mut text, (0, 0), FAINT)?;
        canvas.lay(&text, px(PADDING + KEYS).max(x), y);
    }
    Ok(Drawn { pixels: canvas.to_buffer(), size: (width, height).into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_are_those_that_are_configured() {
        let mut keys = Bindings::default();
        let shown = lines(&keys);
        assert!(shown.contains(&(vec!["Super".to_owned(), "Tab".to_owned()], "choose another window")));
        assert!(shown.contains(&(vec!["Super".to_owned(), "Q".to_owned()], "close the window")));
        keys.remove("logo+q".parse().unwrap());
        let shown = lines(&keys);
        assert!(shown.contains(&(vec!["Alt".to_owned(), "F4".to_owned()], "close the window")));
        keys.remove("alt+f4".parse().unwrap());
        assert!(lines(&keys).iter().all(|(_, what)| *what != "close the window"));
    }

    /// The longest line ended in an ellipsis at the panel's very edge: its width did not follow from what it says.
    #[test]
    fn the_panel_is_wider_than_its_longest_line_by_the_same_room_at_both_ends() {
        let mut fonts = Fonts::new().unwrap();
        for scale in [1.0, 1.5, 2.0] {
            let px = |length: i32| scale_up(length, scale);
            let what = "something that needs quite a few more words than the other lines";
            let lines = [(vec!["Super".to_owned()], "short"), (vec!["Super".to_owned()], what)];
            let whole = fonts.line(what, Weight::Regular, px(SIZE) as f32, px(ROW), i32::MAX / 2).unwrap();
            let drawn = paint(&mut fonts, &lines, scale).unwrap();
            assert_eq!(drawn.size.w, px(KEYS) + whole.width() + px(2 * PADDING), "{scale}");
        }
    }

    #[test]
    fn what_is_known_stays_known_after_a_new_start() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("vitrail/first-steps");
        let mut fonts = Fonts::new().unwrap();
        let keys = Bindings::default();
        let mut hint = Hint::default();
        hint.keep_in(file.clone());
        assert!(hint.picture(&mut fonts, &keys, 1.0).is_some());
        hint.is_known();
        assert!(hint.picture(&mut fonts, &keys, 1.0).is_none());
        let mut next = Hint::default();
        next.keep_in(file);
        assert!(next.picture(&mut fonts, &keys, 1.0).is_none());
    }

    #[test]
    fn a_file_that_cannot_be_written_hides_the_hint_all_the_same() {
        let mut hint = Hint::default();
        hint.keep_in(PathBuf::from("/proc/none/first-steps"));
        hint.is_known();
        assert!(hint.was_seen());
    }
}
