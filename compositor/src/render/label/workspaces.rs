//! The workspaces in the stripe.

use smithay::backend::renderer::{ImportMem, Renderer};
use smithay::utils::{Physical, Rectangle};

use super::{Key, LabelElement, LabelError, LabelPainter, Marks, NEUTRAL, Subject, WARNING};
use crate::render::frame;
use crate::shell::workspaces::WorkspaceReport;
use crate::trust::style::{Mark, Rgb};

/// The letters of what stands out, and of what does not.
const INK: Rgb = Rgb([0xe8, 0xea, 0xed]);
const FAINT: Rgb = Rgb([0x9a, 0xa0, 0xa6]);
/// The ground of a workspace that has windows.
const RAISED: Rgb = Rgb([0x3c, 0x40, 0x45]);

/// Where workspaces are drawn, by their place in the list.
pub type Places = Vec<(usize, Rectangle<i32, Physical>)>;

impl LabelPainter {
    /// The workspaces at the right end of the stripe, on a ground of the compositor's own that no label has, and where each of
    /// them is. Without room for all, only the current one is there; where that is too much, none is.
    ///
    /// # Errors
    ///
    /// Any [`LabelError`]; the stripe says enough without them.
    pub fn workspaces<R>(
        &mut self,
        renderer: &mut R,
        marks: &mut Marks,
        stripe: Rectangle<i32, Physical>,
        workspaces: &[WorkspaceReport],
        scale: f64,
    ) -> Result<(Vec<LabelElement<R>>, Places), LabelError>
    where
        R: Renderer + ImportMem,
        R::TextureId: Send + Clone + 'static,
    {
        let gap = frame::scale_up(3, scale);
        let row = frame::grown(stripe, frame::scale_up(2, scale).saturating_neg());
        let room = stripe.size.w / 2;
        let mut keys: Vec<(usize, Key, i32)> = Vec::new();
        for (index, workspace) in workspaces.iter().enumerate() {
            let key = Key::new(Subject::workspace(workspace), row.size.h, room / 2, scale);
            // Where a name has no room at all, neither have the others.
            let Ok(width) = self.width(&key) else { return Ok(Default::default()) };
            keys.push((index, key, width));
        }
        let sum =
            |keys: &[(usize, Key, i32)]| keys.iter().map(|(_, _, width)| width + gap).sum::<i32>() + gap;
        if sum(&keys) > room {
            keys.retain(|(index, _, _)| workspaces.get(*index).is_some_and(|workspace| workspace.current));
        }
        let width = sum(&keys);
        if keys.is_empty() || workspaces.len() < 2 || width > room {
            return Ok((Vec::new(), Vec::new()));
        }
        let start = stripe.loc.x.saturating_add(stripe.size.w).saturating_sub(width);
        let ground = Rectangle::new((start, stripe.loc.y).into(), (width, stripe.size.h).into());
        let (mut elements, mut places) = (Vec::new(), Vec::new());
        let mut x = start + gap;
        for (index, key, width) in keys {
            self.picture(renderer, &key, (x, row.loc.y).into(), &mut elements)?;
            places.push((index, Rectangle::new((x, stripe.loc.y).into(), (width, stripe.size.h).into())));
            x += width + gap;
        }
        elements.push(marks.bar(ground, NEUTRAL));
        Ok((elements, places))
    }
}

impl Subject {
    fn workspace(workspace: &WorkspaceReport) -> Self {
        let (text_color, background) = match workspace {
            WorkspaceReport { current: true, .. } => (NEUTRAL, INK),
            WorkspaceReport { urgent: true, .. } => (Rgb::BLACK, WARNING),
            WorkspaceReport { windows: 0, .. } => (FAINT, NEUTRAL),
            _ => (INK, RAISED),
        };
        // Not by the colour alone, and on the current one too.
        let mark = if workspace.urgent { " !" } else { "" };
        let text = format!("{}{mark}", workspace.name);
        Self::Chip { text, mark: Mark::None, text_color, background }
    }
}
