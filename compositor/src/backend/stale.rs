//! What a buffer lacks of the picture in memory, when several take turns.

use smithay::utils::{Physical, Rectangle, Size};

/// The longest list of changed rectangles; beyond it the whole buffer is copied, which then costs less than the list.
const MAX_STALE: usize = 64;

/// What changed since a buffer was last written.
#[derive(Debug, Default)]
pub(super) enum Stale {
    #[default]
    Everything,
    Rectangles(Vec<Rectangle<i32, Physical>>),
}

impl Stale {
    pub(super) fn everything(&mut self) {
        *self = Self::Everything;
    }

    pub(super) fn add(&mut self, damage: &[Rectangle<i32, Physical>]) {
        let Self::Rectangles(list) = self else { return };
        for rectangle in damage {
            if list.iter().any(|known| known.contains_rect(*rectangle)) {
                continue;
            }
            list.retain(|known| !rectangle.contains_rect(*known));
            list.push(*rectangle);
        }
        if list.len() > MAX_STALE {
            self.everything();
        }
    }

    /// What is to be copied, inside the screen; from now on nothing is stale.
    pub(super) fn take(&mut self, size: Size<i32, Physical>) -> Vec<Rectangle<i32, Physical>> {
        let whole = Rectangle::from_size(size);
        match std::mem::replace(self, Self::Rectangles(Vec::new())) {
            Self::Everything => vec![whole],
            Self::Rectangles(list) => {
                list.into_iter().filter_map(|rectangle| rectangle.intersection(whole)).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rectangle(x: i32, y: i32, w: i32, h: i32) -> Rectangle<i32, Physical> {
        Rectangle::new((x, y).into(), (w, h).into())
    }

    /// A list of changes that grows without end becomes the whole screen.
    #[test]
    fn a_long_list_of_changes_is_the_whole_screen() {
        let mut stale = Stale::Rectangles(Vec::new());
        for n in 0..=i32::try_from(MAX_STALE).expect("small") {
            stale.add(&[rectangle(n * 2, 0, 1, 1)]);
        }
        assert_eq!(stale.take(Size::from((500, 10))), [rectangle(0, 0, 500, 10)]);
        assert!(stale.take(Size::from((500, 10))).is_empty());
    }
}
