//! The trusted panel ([`crate::trust::panel`]) as it is drawn and hit: a row for each VM and what is to be known of it.
//!
//! It is drawn like a question ([`super::prompt`]): on the output where the user is, over everything but the pointer and the
//! stripe, which says that this is the compositor; what is behind it is dimmed, and no picture has it. Where there is no room
//! for all rows those around the chosen one are shown, and how many there are.

use smithay::backend::renderer::{ImportAll, ImportMem, Renderer, Texture};
use smithay::utils::{Physical, Point, Rectangle};

use super::elements::SceneElement;
use super::frame;
use super::label::{Button, Dialog, DialogMarks, LabelPainter, Line, Tone};
use super::prompt;
use super::scene::Decor;
use super::view::View;
use crate::config::Config;
use crate::shell::Layout;
use crate::shell::outputs::OutputId;
use crate::state::Comp;
use crate::trust::limits::Resource;
use crate::trust::origin::Origin;
use crate::trust::panel::{Choice, Operation, Panel};

/// The widest that the panel is, and the space around and inside it, in logical pixels.
const WIDTH: i32 = 820;
const AROUND: i32 = 16;
const PADDING: i32 = 20;
/// Height of a row, and of what can be pressed in it, in logical pixels.
const ROW: i32 = 34;
const BUTTON: i32 = 26;
/// The widest that a button and a VM's name are, and the space beside them, in logical pixels.
const BUTTON_WIDTH: i32 = 108;
const NAME_WIDTH: i32 = 210;
const GAP: i32 = 8;
/// Lines of text below the rows.
const LINES: i32 = 5;

/// Where the parts of the panel are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// Everything.
    pub panel: Rectangle<i32, Physical>,
    /// The rows that are shown, from the top.
    rows: Vec<Row>,
    /// What closes it.
    pub close: Rectangle<i32, Physical>,
}

/// Where the parts of a row are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    /// Its number among all.
    index: usize,
    name: Rectangle<i32, Physical>,
    says: Rectangle<i32, Physical>,
    /// In the order of [`Operation::ALL`].
    operations: [Rectangle<i32, Physical>; 3],
}

impl Places {
    /// Where they are on an output.
    #[must_use]
    pub fn new(layout: &Layout, panel: &Panel) -> Self {
        let up = |length| frame::scale_up(length, layout.scale);
        let (space, padding, gap) = (layout.space(), up(PADDING), up(GAP));
        let (line, heading) = LabelPainter::dialog_lines(layout.scale);
        let w = up(WIDTH).min(space.size.w.saturating_sub(2 * up(AROUND))).max(1);
        let fixed = 2 * padding + heading + line + 2 * gap + LINES * line + gap + up(BUTTON);
        let free = space.size.h.saturating_sub(2 * up(AROUND)).saturating_sub(fixed);
        let room = usize::try_from(free / up(ROW)).unwrap_or(0).max(1);
        let chosen = if let Choice::Row(row, _) = panel.choice() { row } else { 0 };
        let first = chosen / room * room;
        let shown = panel.rows().len().saturating_sub(first).min(room);
        // As high as the fullest page, so that nothing moves when another one is shown.
        let rows_h = up(ROW) * i32::try_from(panel.rows().len().min(room)).unwrap_or(0);
        let h = (fixed + rows_h).min(space.size.h).max(1);
        let corner = space.loc + Point::from(((space.size.w - w) / 2, (space.size.h - h) / 2));
        let inner =
            Rectangle::new(corner + Point::from((padding, padding)), ((w - 2 * padding).max(1), 0).into());
        let top = inner.loc.y + heading + line + gap;
        let rows = (0..shown).map(|row| {
            let y = top + up(ROW) * i32::try_from(row).unwrap_or(0);
            Row::new(
                first + row,
                Rectangle::new((inner.loc.x, y).into(), (inner.size.w, up(BUTTON)).into()),
                layout,
            )
        });
        let close = Rectangle::new(
            (inner.loc.x + inner.size.w - up(BUTTON_WIDTH), corner.y + h - padding - up(BUTTON)).into(),
            (up(BUTTON_WIDTH).min(inner.size.w).max(1), up(BUTTON)).into(),
        );
        Self { panel: Rectangle::new(corner, (w, h).into()), rows: rows.collect(), close }
    }

    /// What is at a point.
    #[must_use]
    pub fn choice_at(&self, point: Point<i32, Physical>) -> Option<Choice> {
        if self.close.contains(point) {
            return Some(Choice::Close);
        }
        self.rows.iter().find_map(|row| {
            let at = row.operations.iter().position(|place| place.contains(point))?;
            Some(Choice::Row(row.index, *Operation::ALL.get(at)?))
        })
    }

    /// Where something can be pressed, if it is shown.
    #[must_use]
    pub fn place_of(&self, choice: Choice) -> Option<Rectangle<i32, Physical>> {
        let Choice::Row(index, operation) = choice else { return Some(self.close) };
        let row = self.rows.iter().find(|row| row.index == index)?;
        let at = Operation::ALL.iter().position(|other| *other == operation)?;
        row.operations.get(at).copied()
    }
}

impl Row {
    fn new(index: usize, place: Rectangle<i32, Physical>, layout: &Layout) -> Self {
        let up = |length| frame::scale_up(length, layout.scale);
        let gap = up(GAP);
        let button = up(BUTTON_WIDTH).min(place.size.w / 5).max(1);
        let part = |x: i32, w: i32| Rectangle::new((x, place.loc.y).into(), (w.max(1), place.size.h).into());
        let name = part(place.loc.x, up(NAME_WIDTH).min(place.size.w / 5));
        let end = place.loc.x + place.size.w;
        let operation = |from_end: i32| part(end - from_end * button - (from_end - 1) * gap, button);
        let says_at = name.loc.x + name.size.w + gap;
        let operations = [operation(3), operation(2), operation(1)];
        Self { index, name, says: part(says_at, end - 3 * (button + gap) - says_at), operations }
    }
}

/// What the compositor draws of the panel, told apart from frame to frame.
#[derive(Debug, Default)]
pub(super) struct Parts {
    marks: DialogMarks,
}

/// The panel, the front-most element first; nothing while it is not open.
pub(super) fn compose<R>(
    comp: &mut Comp,
    renderer: &mut R,
    output: OutputId,
    scene: &mut Vec<SceneElement<R>>,
) where
    R: Renderer + ImportAll + ImportMem,
    R::TextureId: Texture + Send + Clone + 'static,
{
    if comp.decor.view != View::Screen || !comp.is_attending() {
        return;
    }
    let layout = *comp.shell.layout_on(output);
    if comp.shell.outputs().active().id == output {
        let config = comp.config.current().clone();
        let Some(panel) = comp.input.trusted.panel.clone() else { return };
        let dialog = comp.panel_dialog(&config, &layout, &panel);
        let Decor { painter, panel_parts, .. } = &mut comp.decor;
        match painter.dialog(renderer, &mut panel_parts.marks, &dialog, layout.scale) {
            Ok(parts) => {
                scene.extend(parts.into_iter().map(SceneElement::Label));
                comp.input.trusted.panel_failed = false;
            }
            Err(error) => {
                // What was not seen is not used.
                tracing::error!("error drawing the trusted panel: {error}");
                comp.input.trusted.panel_failed = true;
            }
        }
    }
    prompt::shade(comp, &layout, scene);
}

impl Comp {
    /// The panel with what it says at the moment.
    fn panel_dialog<'a>(&self, config: &'a Config, layout: &Layout, panel: &Panel) -> Dialog<'a> {
        let places = Places::new(layout, panel);
        let (line, heading) = LabelPainter::dialog_lines(layout.scale);
        let up = |length| frame::scale_up(length, layout.scale);
        let (left, room) = (places.panel.loc.x + up(PADDING), places.panel.size.w - 2 * up(PADDING));
        let text = |y: i32, height: i32, text: String, tone| Line {
            place: Rectangle::new((left, y).into(), (room.max(1), height).into()),
            text,
            tone,
        };
        let top = places.panel.loc.y + up(PADDING);
        let more = panel.rows().len().saturating_sub(places.rows.len());
        let rows = if more > 0 { format!("   {more} more: arrows.") } else { String::new() };
        let mut lines = vec![
            text(top, heading, String::from("VMs on this screen"), Tone::Heading),
            text(top + heading, line, format!("Input goes to no VM while this is open.{rows}"), Tone::Faint),
        ];
        let (mut names, mut buttons) = (Vec::new(), Vec::new());
        for row in &places.rows {
            let Some(origin) = panel.rows().get(row.index) else { continue };
            let Some(style) = config.style(origin) else { continue };
            names.push((row.name, style));
            lines.push(Line { place: row.says, text: self.vm_in_words(origin), tone: Tone::Plain });
            for (place, operation) in row.operations.iter().zip(Operation::ALL) {
                if operation.applies_to(origin) {
                    let chosen = panel.choice() == Choice::Row(row.index, operation);
                    let undo = self.is_restrained(origin, operation);
                    buttons.push(Button { place: *place, text: operation_in_words(operation, undo), chosen });
                }
            }
        }
        let below = places.close.loc.y - up(GAP) - LINES * line;
        let said = self.captures.said(true).unwrap_or("nobody takes any");
        let facts = [
            (format!("Keyboard: {}", self.keyboard_in_words(config)), Tone::Plain),
            (format!("Clipboards: {}", self.clipboards_in_words(config)), Tone::Plain),
            (format!("Pictures: {said}"), Tone::Plain),
            (String::new(), Tone::Plain),
            (
                String::from("Escape: close.   Arrows or Tab: choose.   Enter: do what is marked."),
                Tone::Faint,
            ),
        ];
        let facts = (0..LINES).zip(facts).filter(|(_, (words, _))| !words.is_empty());
        lines.extend(facts.map(|(index, (words, tone))| text(below + index * line, line, words, tone)));
        let chosen = panel.choice() == Choice::Close;
        buttons.push(Button { place: places.close, text: "Close", chosen });
        let armed = panel.arming.is_armed(self.now());
        Dialog { panel: places.panel, lines, names, buttons, armed, edge: up(2) }
    }

    /// How a VM is, in a few words.
    fn vm_in_words(&self, origin: &Origin) -> String {
        let windows =
            self.shell.bottom_up().filter(|window| window.mapped && window.origin == *origin).count();
        let clients = self.accounts.get(origin).map_or(0, |account| account.used(Resource::Clients));
        let mut words = vec![match (clients, windows) {
            (0, _) if self.is_restrained(origin, Operation::Disconnect) => String::new(),
            (0, _) => String::from("not connected"),
            (_, 0) => String::from("no window"),
            (_, 1) => String::from("1 window"),
            (_, more) => format!("{more} windows"),
        }];
        words.extend(self.restraints(origin).into_iter().map(|done| String::from(done.state())));
        words.retain(|word| !word.is_empty());
        words.join(", ")
    }

    fn keyboard_in_words(&self, config: &Config) -> String {
        let style = self.focused_origin().and_then(|origin| config.style(origin));
        style.map_or_else(
            || String::from("no window has it"),
            |style| format!("{} when this is closed", style.label),
        )
    }

    /// Whose clipboards hold something, and of what type: types are the VMs' words, of which the first is shown, made safe.
    fn clipboards_in_words(&self, config: &Config) -> String {
        let held = self.selections.clipboards();
        let words = held.filter_map(|(origin, types)| {
            let label = &config.style(origin)?.label;
            Some(format!("{label} ({types})"))
        });
        let words: Vec<String> = words.collect();
        if words.is_empty() { String::from("all are empty") } else { words.join(", ") }
    }
}

/// What a button says.
fn operation_in_words(operation: Operation, undo: bool) -> &'static str {
    match (operation, undo) {
        (Operation::Hide, false) => "Hide",
        (Operation::Hide, true) => "Show",
        (Operation::Pause, false) => "Pause input",
        (Operation::Pause, true) => "Give input",
        (Operation::Disconnect, false) => "Disconnect",
        (Operation::Disconnect, true) => "Let in",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::trust::panel::Step;

    fn panel(vms: usize) -> Panel {
        let vms = (0..vms).map(|index| Origin::Vm(format!("vm{index}").parse().unwrap()));
        Panel::new(std::iter::once(Origin::Local).chain(vms).collect(), Duration::ZERO)
    }

    proptest! {
        #[test]
        fn what_is_chosen_is_on_the_panel_and_the_panel_is_below_the_stripe(
            vms in 0..40usize, steps in 0..60usize, w in 320..4000i32, h in 300..2200i32,
            scale in prop_oneof![Just(1.0), Just(1.25), Just(1.5), Just(2.0)],
        ) {
            let output = ((f64::from(w) * scale) as i32, (f64::from(h) * scale) as i32).into();
            let layout = Layout { output, scale, ..Default::default() };
            let mut panel = panel(vms);
            (0..steps).for_each(|_| panel.step(Step::Next));
            let places = Places::new(&layout, &panel);
            prop_assert!(layout.space().contains_rect(places.panel));
            let chosen = places.place_of(panel.choice());
            prop_assert!(chosen.is_some_and(|place| places.panel.contains_rect(place)), "{:?}", panel.choice());
            prop_assert_eq!(places.choice_at(chosen.unwrap_or_default().loc), Some(panel.choice()));
            let all: Vec<_> = places.rows.iter().flat_map(|row| row.operations).chain([places.close]).collect();
            for (index, place) in all.iter().enumerate() {
                prop_assert!(all.iter().skip(index + 1).all(|other| !other.overlaps(*place)));
            }
        }
    }

    #[test]
    fn an_output_of_any_size_has_places() {
        for (w, h) in [(64, 64), (64, 16384), (16384, 64)] {
            let layout = Layout { output: (w, h).into(), scale: 8.0, ..Default::default() };
            let places = Places::new(&layout, &panel(3));
            assert!(!places.close.is_empty() && !places.rows.is_empty());
        }
    }
}
