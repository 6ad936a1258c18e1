//! A question to the user, as it is drawn and hit.
//!
//! It is drawn on the output where the user is, over everything but the pointer and the stripe, which says that the compositor asks, and what is behind it is
//! dimmed. No picture that a program takes has it, so that none can be copied from one.

use smithay::backend::renderer::element::Id;
use smithay::backend::renderer::element::Kind;
use smithay::backend::renderer::element::solid::SolidColorRenderElement;
use smithay::backend::renderer::utils::CommitCounter;
use smithay::backend::renderer::{Color32F, ImportAll, ImportMem, Renderer, Texture};
use smithay::utils::{Physical, Point, Rectangle};

use super::elements::SceneElement;
use super::frame;
use super::label::{Button, Dialog, DialogMarks, LabelPainter, Line, Tone};
use super::scene::Decor;
use super::view::View;
use crate::config::Config;
use crate::shell::Layout;
use crate::shell::outputs::OutputId;
use crate::state::Comp;
use crate::trust::clipboard::{Question as Paste, content};
use crate::trust::consent::{Answer, Question};
use crate::trust::style::LabelStyle;

/// The widest that the panel is, in logical pixels, and the space around and inside it.
const WIDTH: i32 = 520;
const AROUND: i32 = 16;
const PADDING: i32 = 20;
/// Width and height of an answer, in logical pixels.
const BUTTON: (i32, i32) = (150, 32);
/// Over what is behind the panel.
const SHADE: Color32F = Color32F::new(0.0, 0.0, 0.0, 0.55);
/// The place of a VM's name in its line: how far it begins from the line's, its width, and how much higher it is on both sides.
const NAME: (i32, i32, i32) = (44, 220, 3);
/// What is free above each line of text, in logical pixels: what is asked, of whom, what it means, and how it is answered.
const GAPS: [i32; 5] = [0, 8, 10, 8, 10];

/// What the compositor draws of a question, told apart from frame to frame.
#[derive(Debug)]
pub(super) struct Parts {
    marks: DialogMarks,
    shade: Id,
}

impl Default for Parts {
    fn default() -> Self {
        Self { marks: DialogMarks::default(), shade: Id::new() }
    }
}

/// Where the parts of the question are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// Everything.
    pub panel: Rectangle<i32, Physical>,
    /// The answers that there are: no, and yes.
    pub answers: [Rectangle<i32, Physical>; 2],
}

impl Places {
    /// Where they are on an output.
    #[must_use]
    pub fn new(layout: &Layout) -> Self {
        let up = |length| frame::scale_up(length, layout.scale);
        let (space, padding) = (layout.space(), up(PADDING));
        let (line, heading) = LabelPainter::dialog_lines(layout.scale);
        let w = up(WIDTH).min(space.size.w.saturating_sub(2 * up(AROUND))).max(1);
        let button_h = up(BUTTON.1);
        let text: i32 = GAPS.iter().map(|gap| line + up(*gap)).sum();
        let h = (heading - line + text + button_h + 3 * padding).min(space.size.h).max(1);
        let corner = space.loc + Point::from(((space.size.w - w) / 2, (space.size.h - h) / 2));
        let panel = Rectangle::new(corner, (w, h).into());
        let button_w = up(BUTTON.0).min((w - 3 * padding) / 2).max(1);
        let top = corner.y + h - padding - button_h;
        let button = |from_right: i32| {
            let left = corner.x + w - from_right * (padding + button_w);
            Rectangle::new((left, top).into(), (button_w, button_h).into())
        };
        Self { panel, answers: [button(2), button(1)] }
    }

    /// The answer that is at a point.
    #[must_use]
    pub fn answer_at(&self, point: Point<i32, Physical>) -> Option<Answer> {
        let [deny, allow] = &self.answers;
        if deny.contains(point) { Some(Answer::Deny) } else { allow.contains(point).then_some(Answer::Allow) }
    }
}

/// What a question says: a line each of what is asked, of whom, what it means, and how it is answered.
fn words(question: &Question, config: &Config) -> [String; 5] {
    let how = String::from("Escape: no.   Tab or arrows: the other answer.   Enter: the marked one.");
    match question {
        Question::Pictures(program) => [
            format!("May {} take pictures of the screen?", program.name()),
            format!("{}, a local program", program.path()),
            String::from("It could see all windows at any time, until the session ends,"),
            String::from("but not into those of VMs whose capture is \"black\" or \"omit\"."),
            how,
        ],
        // The names of the VMs stand behind the second line and the third.
        Question::Paste(paste) => [
            format!("{} {}?", if paste.dropped { "Drop" } else { "Paste" }, content::in_words(&paste.parts)),
            String::from("from"),
            String::from("into"),
            about(paste),
            how,
        ],
        Question::Pointer(origin) => {
            let label = config.style(origin).map_or("?", |style| style.label.as_str());
            [
                format!("May [{label}] hold the pointer?"),
                String::from("A window of it wants to keep the pointer inside, as games do."),
                String::from("It could do so whenever it has the keyboard, until the session ends."),
                String::from("Logo with Escape always takes the pointer back."),
                how,
            ]
        }
    }
}

/// What is said of a paste: how long a text is, what nobody may expect in it, and what becomes of it.
fn about(paste: &Paste) -> String {
    let lines = match paste.parts.iter().map(|part| part.lines).max().unwrap_or(0) {
        0 => String::new(),
        1 => String::from("One line. "),
        lines => format!("{lines} lines. "),
    };
    if paste.parts.iter().any(|part| part.controls) {
        return format!("{lines}It has control characters, which a terminal may obey.");
    }
    format!("{lines}It goes into that clipboard: paste there as usual.")
}

/// The VMs whose names stand in a question, line by line from the second. `None` if one of them has no label: then nothing is answered.
fn named(question: &Question, config: &Config) -> Option<Vec<LabelStyle>> {
    match question {
        Question::Paste(paste) => {
            [&paste.from, &paste.to].map(|vm| config.style(vm).cloned()).into_iter().collect()
        }
        Question::Pictures(_) | Question::Pointer(_) => Some(Vec::new()),
    }
}

/// The words of the two answers: no, and yes.
fn answers(question: &Question) -> [&'static str; 2] {
    match question {
        Question::Paste(_) => ["Do not paste", "Paste"],
        Question::Pictures(_) | Question::Pointer(_) => ["Do not allow", "Allow"],
    }
}

/// Where the name of a VM is in the place of a line.
fn name_place(line: Rectangle<i32, Physical>, scale: f64) -> Rectangle<i32, Physical> {
    let up = |length| frame::scale_up(length, scale);
    let (start, width, more) = (up(NAME.0), up(NAME.1), up(NAME.2));
    let w = width.min(line.size.w.saturating_sub(start)).max(1);
    let h = line.size.h.saturating_add(2 * more);
    Rectangle::new(line.loc + Point::from((start, -more)), (w, h).into())
}

/// The question, the front-most element first; nothing while none is asked.
pub(super) fn compose<R>(
    comp: &mut Comp,
    renderer: &mut R,
    output: OutputId,
    scene: &mut Vec<SceneElement<R>>,
) where
    R: Renderer + ImportAll + ImportMem,
    R::TextureId: Texture + Send + Clone + 'static,
{
    if comp.decor.view != View::Screen || !comp.is_asking() {
        return;
    }
    let (layout, now) = (*comp.shell.layout_on(output), comp.now());
    if comp.shell.outputs().active().id != output {
        shade(comp, &layout, scene);
        return;
    }
    let consent = &comp.captures.consent;
    let Some(question) = consent.question() else { return };
    let config = comp.config.current();
    let (texts, [no, yes]) = (words(question, config), answers(question));
    let Some(styles) = named(question, config) else {
        comp.captures.question_failed = true;
        return;
    };
    let places = Places::new(&layout);
    let padding = frame::scale_up(PADDING, layout.scale);
    let (line, heading) = LabelPainter::dialog_lines(layout.scale);
    let room = places.panel.size.w.saturating_sub(2 * padding).max(1);
    let mut top = places.panel.loc.y + padding;
    let mut lines = Vec::new();
    for (index, (text, gap)) in texts.into_iter().zip(GAPS).enumerate() {
        top += frame::scale_up(gap, layout.scale);
        let height = if index == 0 { heading } else { line };
        let place = Rectangle::new((places.panel.loc.x + padding, top).into(), (room, height).into());
        let tone = match index {
            0 => Tone::Heading,
            1 => Tone::Plain,
            // The word before a name.
            2 if !styles.is_empty() => Tone::Plain,
            _ => Tone::Faint,
        };
        lines.push(Line { place, text, tone });
        top += height;
    }
    let second = lines.iter().skip(1).map(|line| name_place(line.place, layout.scale));
    let names = second.zip(&styles).collect();
    let [deny, allow] = places.answers;
    let choice = consent.choice();
    let button = |place, text, answer| Button { place, text, chosen: choice == answer };
    let question = Dialog {
        panel: places.panel,
        lines,
        names,
        buttons: vec![button(deny, no, Answer::Deny), button(allow, yes, Answer::Allow)],
        armed: consent.is_armed(now),
        edge: frame::scale_up(2, layout.scale),
    };
    let Decor { painter, prompt, .. } = &mut comp.decor;
    match painter.dialog(renderer, &mut prompt.marks, &question, layout.scale) {
        Ok(parts) => {
            scene.extend(parts.into_iter().map(SceneElement::Label));
            comp.captures.question_failed = false;
        }
        Err(error) => {
            // What was not seen is not answered.
            tracing::error!("error drawing a question: {error}");
            comp.captures.question_failed = true;
        }
    }
    shade(comp, &layout, scene);
}

/// Dims an output below its stripe.
pub(super) fn shade<R>(comp: &Comp, layout: &Layout, scene: &mut Vec<SceneElement<R>>)
where
    R: Renderer + ImportAll + ImportMem,
    R::TextureId: Texture + Send + Clone + 'static,
{
    let (id, commit) = (comp.decor.prompt.shade.clone(), CommitCounter::default());
    let shade = SolidColorRenderElement::new(id, layout.space(), commit, SHADE, Kind::Unspecified);
    scene.push(SceneElement::Solid(shade));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answers_are_on_the_panel_and_the_panel_is_below_the_stripe_at_every_size() {
        for (w, h, scale) in
            [(64, 64, 1.0), (400, 300, 1.0), (800, 600, 1.5), (1280, 800, 1.25), (3840, 2160, 2.0)]
        {
            let layout = Layout { output: (w, h).into(), scale, ..Default::default() };
            let places = Places::new(&layout);
            assert!(layout.space().contains_rect(places.panel), "{w}x{h}");
            let [deny, allow] = places.answers;
            assert!(!deny.overlaps(allow), "{w}x{h}");
            if w >= 400 {
                assert!(places.panel.contains_rect(deny) && places.panel.contains_rect(allow), "{w}x{h}");
            }
            assert_eq!(places.answer_at(deny.loc), Some(Answer::Deny));
            assert_eq!(places.answer_at(allow.loc), Some(Answer::Allow));
            assert_eq!(places.answer_at(layout.stripe().loc), None);
        }
    }
}
