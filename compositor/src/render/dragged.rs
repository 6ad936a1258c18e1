//! What is dragged, as the compositor draws it beside the pointer: a chip in the colour of the VM that it is from, with words of our own.
//!
//! The picture that the VM would have drawn there is never shown: it would follow the pointer over windows of other VMs. The chip keeps
//! below the stripe, and no picture that a program takes has it.

use smithay::backend::renderer::{ImportAll, ImportMem, Renderer, Texture};
use smithay::utils::{Physical, Point, Rectangle};

use super::elements::SceneElement;
use super::frame;
use super::view::View;
use crate::shell::outputs::OutputId;
use crate::state::Comp;

/// Width and height of the room for the chip, and how far it is from the pointer, in logical pixels.
const ROOM: (i32, i32) = (320, 22);
const AWAY: i32 = 14;

/// The place of a chip of some width beside the pointer, inside of a space.
fn place(
    pointer: Point<i32, Physical>,
    chip: (i32, i32),
    away: i32,
    space: Rectangle<i32, Physical>,
) -> Point<i32, Physical> {
    let last = space.loc + space.size - smithay::utils::Size::from(chip);
    let kept = |at: i32, first: i32, last: i32| at.saturating_add(away).min(last).max(first);
    (kept(pointer.x, space.loc.x, last.x), kept(pointer.y, space.loc.y, last.y)).into()
}

/// The chip, if something is dragged on this output.
pub(super) fn compose<R>(
    comp: &mut Comp,
    renderer: &mut R,
    output: OutputId,
    scene: &mut Vec<SceneElement<R>>,
) where
    R: Renderer + ImportAll + ImportMem,
    R::TextureId: Texture + Send + Clone + 'static,
{
    if comp.decor.view != View::Screen {
        return;
    }
    let Some((origin, what)) = comp.selections.dragged() else { return };
    let Some(pointer) = comp.input.visible_pointer().filter(|at| OutputId::at(*at) == output) else { return };
    let Some(style) = comp.config.current().style(origin).cloned() else { return };
    let layout = *comp.shell.layout_on(output);
    let up = |length| frame::scale_up(length, layout.scale);
    let words = format!("{what} from {}", style.label.as_str());
    let room = (up(ROOM.0), up(ROOM.1));
    let at = |width| place(pointer, (width, room.1), up(AWAY), layout.space());
    match comp.decor.painter.dragged(renderer, &words, &style, room, at, layout.scale) {
        Ok(parts) => scene.extend(parts.into_iter().map(SceneElement::Label)),
        Err(error) => tracing::debug!(%error, "what is dragged could not be drawn"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chip_is_beside_the_pointer_and_never_on_the_stripe_nor_outside() {
        let space = Rectangle::new((100, 24).into(), (800, 576).into());
        let at = |x, y| place((x, y).into(), (150, 22), 14, space);
        assert_eq!(at(300, 200), (314, 214).into());
        assert_eq!(at(890, 599), (750, 578).into());
        assert_eq!(at(0, 0), (100, 24).into());
    }
}
