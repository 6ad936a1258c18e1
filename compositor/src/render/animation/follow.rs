//! What begins to move: one frame compared with the next.

use std::collections::HashMap;
use std::time::Duration;

use smithay::utils::{Physical, Point, Rectangle};

use super::{Animations, Fate, Leaving, MAX_LEAVING, MINIMIZED, Motion, SMALLER, Stand, shrunk};
use crate::render::scene::Own;
use crate::shell::window::WindowId;

/// What is shown now.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) now: Duration,
    pub(super) duration: Duration,
    /// Where windows may stand.
    pub(super) area: Rectangle<i32, Physical>,
    /// The smallest content whose label can be read.
    pub(super) least: (i32, i32),
    /// The workspace on the screen, from 0.
    pub(super) workspace: usize,
    /// The shown windows from the top down.
    pub(super) shown: &'a [Stand],
}

impl Animations {
    /// Looks at what has changed since the last frame, and lets windows begin and end their ways.
    pub(super) fn follow(&mut self, frame: &Frame<'_>, fate: impl Fn(WindowId) -> Fate) {
        let Frame { now, duration, .. } = *frame;
        if duration.is_zero() {
            *self = Self::default();
            return;
        }
        (self.now, self.duration) = (now, duration);
        if let Some(seen) = self.seen.take() {
            let before: HashMap<WindowId, Stand> = seen.iter().map(|stand| (stand.id, *stand)).collect();
            for stand in frame.shown {
                self.arrived(frame, stand, before.get(&stand.id));
            }
            for (index, stand) in seen.iter().enumerate() {
                if !frame.shown.iter().any(|shown| shown.id == stand.id) {
                    let below = seen.iter().skip(index).map(|stand| stand.id);
                    let above = below.into_iter().find(|id| frame.shown.iter().any(|shown| shown.id == *id));
                    self.left(frame, stand, above, fate(stand.id));
                }
            }
        }
        // What a window is drawn above may go in the meantime; then it is seen through to the bottom.
        for leaving in &mut self.leaving {
            let there = |id: WindowId| frame.shown.iter().any(|shown| shown.id == id);
            leaving.above = leaving.above.filter(|id| there(*id));
        }
        self.closed.clear();
        self.moving.retain(|id, motion| {
            !motion.is_over(now, duration) && frame.shown.iter().any(|shown| shown.id == *id)
        });
        // One that has come back is not leaving any more.
        self.leaving.retain(|leaving| {
            !leaving.motion.is_over(now, duration)
                && frame.shown.iter().all(|shown| shown.id != leaving.window)
                && (leaving.last.is_some() || fate(leaving.window) != Fate::Gone)
        });
        self.workspace = frame.workspace;
        self.seen = Some(frame.shown.to_vec());
    }

    /// A window is shown: a new one, or one that may be laid out another way.
    fn arrived(&mut self, frame: &Frame<'_>, stand: &Stand, before: Option<&Stand>) {
        if stand.whole || before.is_some_and(|before| before.whole) {
            return;
        }
        let from = match before {
            Some(before) if (before.mode, before.tile) == (stand.mode, stand.tile) => return,
            // From where it was drawn last, also if it was on its way there.
            Some(before) => self.place(stand.id, before.content).unwrap_or(before.content),
            None => match self.leaving.iter().find(|leaving| leaving.window == stand.id) {
                Some(leaving) => leaving.motion.at(self.now, self.duration, leaving.to),
                None if frame.workspace != self.workspace => {
                    beside(frame, stand.content, frame.workspace > self.workspace)
                }
                None => readable(shrunk(stand.content, SMALLER), frame.least, stand.content),
            },
        };
        self.moving.insert(stand.id, Motion { from, start: self.now });
    }

    /// A window is not shown any more.
    fn left(&mut self, frame: &Frame<'_>, stand: &Stand, above: Option<WindowId>, fate: Fate) {
        let from = self.place(stand.id, stand.content).unwrap_or(stand.content);
        let closed = self.closed.iter().position(|last| last.window == stand.id);
        let last = closed.map(|index| self.closed.remove(index));
        if stand.whole || self.leaving.len() >= MAX_LEAVING {
            return;
        }
        let (to, above) = match fate {
            Fate::Minimized => {
                let mut to = readable(shrunk(from, MINIMIZED), frame.least, from);
                to.loc.y = frame.area.loc.y + frame.area.size.h - to.size.h;
                (to, above)
            }
            Fate::Elsewhere(workspace) => {
                let towards = if frame.workspace == self.workspace { workspace } else { self.workspace };
                (beside(frame, stand.content, towards > frame.workspace), None)
            }
            Fate::Gone if last.is_some() => (readable(shrunk(from, SMALLER), frame.least, from), above),
            Fate::Gone => return,
        };
        let motion = Motion { from, start: self.now };
        self.leaving.push(Leaving { window: stand.id, motion, to, above, last, own: Own::default() });
    }
}

/// A rectangle beside the area windows stand in, where nothing of it is seen.
fn beside(frame: &Frame<'_>, rect: Rectangle<i32, Physical>, right: bool) -> Rectangle<i32, Physical> {
    let distance = if right { frame.area.size.w } else { -frame.area.size.w };
    Rectangle::new(rect.loc + Point::from((distance, 0)), rect.size)
}

/// Not smaller than what leaves room for a label that can be read, if the window itself is not.
fn readable(
    rect: Rectangle<i32, Physical>,
    least: (i32, i32),
    whole: Rectangle<i32, Physical>,
) -> Rectangle<i32, Physical> {
    let (w, h) = (rect.size.w.max(least.0.min(whole.size.w)), rect.size.h.max(least.1.min(whole.size.h)));
    let corner = (rect.loc.x + (rect.size.w - w) / 2, rect.loc.y + (rect.size.h - h) / 2);
    Rectangle::new(corner.into(), (w, h).into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::shell::window::Mode;

    const DURATION: Duration = Duration::from_millis(100);

    fn rect(x: i32, y: i32, w: i32, h: i32) -> Rectangle<i32, Physical> {
        Rectangle::new((x, y).into(), (w, h).into())
    }

    fn stand(id: u64, content: Rectangle<i32, Physical>) -> Stand {
        Stand { id: WindowId(id), content, mode: Mode::Floating, tile: None, whole: false }
    }

    /// A fake clock and the frames that are drawn by it.
    #[derive(Default)]
    struct Screen {
        animations: Animations,
        now: u64,
        workspace: usize,
    }

    impl Screen {
        fn frame(&mut self, after: u64, shown: &[Stand], fate: Fate) {
            self.now += after;
            let frame = Frame {
                now: Duration::from_millis(self.now),
                duration: DURATION,
                area: rect(0, 24, 1000, 700),
                least: (60, 1),
                workspace: self.workspace,
                shown,
            };
            self.animations.follow(&frame, |_| fate);
        }

        fn place(&self, stand: &Stand) -> Rectangle<i32, Physical> {
            self.animations.place(stand.id, stand.content).unwrap_or(stand.content)
        }
    }

    #[test]
    fn a_window_opens_for_as_long_as_it_is_configured_and_then_nothing_moves() {
        let mut screen = Screen::default();
        let window = stand(1, rect(100, 100, 400, 300));
        screen.frame(0, &[], Fate::Gone);
        screen.frame(10, &[window], Fate::Gone);
        let first = screen.place(&window);
        assert!(screen.animations.is_moving() && window.content.contains_rect(first) && first.size.w < 400);
        screen.frame(40, &[window], Fate::Gone);
        let second = screen.place(&window);
        assert!(second.size.w > first.size.w && second.size.w < 400);
        screen.frame(60, &[window], Fate::Gone);
        assert_eq!(screen.place(&window), window.content);
        assert!(!screen.animations.is_moving());
        screen.frame(1000, &[window], Fate::Gone);
        assert!(!screen.animations.is_moving());
    }

    #[test]
    fn what_was_there_before_the_first_frame_does_not_move() {
        let mut screen = Screen::default();
        screen.frame(0, &[stand(1, rect(0, 30, 9, 9))], Fate::Gone);
        assert!(!screen.animations.is_moving());
    }

    #[test]
    fn a_window_that_is_moved_by_hand_or_resized_by_its_client_is_where_it_is() {
        let mut screen = Screen::default();
        screen.frame(0, &[stand(1, rect(100, 100, 400, 300))], Fate::Gone);
        let moved = stand(1, rect(160, 120, 500, 200));
        screen.frame(10, &[moved], Fate::Gone);
        assert_eq!(screen.place(&moved), moved.content);
        assert!(!screen.animations.is_moving());
    }

    #[test]
    fn a_window_that_is_laid_out_again_turns_back_from_where_it_is() {
        let mut screen = Screen::default();
        let floating = stand(1, rect(300, 300, 200, 100));
        screen.frame(0, &[floating], Fate::Gone);
        let maximized = Stand { mode: Mode::Maximized, content: rect(4, 52, 992, 668), ..floating };
        screen.frame(10, &[maximized], Fate::Gone);
        assert_eq!(screen.place(&maximized), floating.content);
        screen.frame(50, &[maximized], Fate::Gone);
        let middle = screen.place(&maximized);
        assert!(middle.size.w > 200 && middle.size.w < 992);
        screen.frame(1, &[floating], Fate::Gone);
        let turned = screen.place(&floating);
        assert!((turned.size.w - middle.size.w).abs() < 40, "{turned:?} {middle:?}");
    }

    #[test]
    fn workspaces_pass_each_other_in_the_order_of_their_list() {
        let mut screen = Screen::default();
        let (one, two) = (stand(1, rect(100, 100, 400, 300)), stand(2, rect(500, 100, 400, 300)));
        screen.frame(0, &[one], Fate::Gone);
        screen.workspace = 1;
        screen.frame(10, &[two], Fate::Elsewhere(0));
        assert_eq!(screen.place(&two).loc.x, 1500);
        assert_eq!(screen.animations.leaving.len(), 1);
        assert_eq!(screen.animations.leaving[0].to.loc.x, -900);
        screen.workspace = 0;
        screen.frame(50, &[one], Fate::Elsewhere(1));
        assert!(screen.place(&one).loc.x < 100, "it comes back from where it had got to");
        assert_eq!(screen.animations.leaving[0].to.loc.x, two.content.loc.x + 1000);
        screen.frame(100, &[one], Fate::Elsewhere(1));
        assert!(!screen.animations.is_moving());
    }

    #[test]
    fn a_minimised_window_leaves_below_what_it_was_below_and_comes_back() {
        let mut screen = Screen::default();
        let (top, low, bottom) =
            (stand(1, rect(0, 60, 90, 90)), stand(2, rect(9, 60, 400, 300)), stand(3, rect(9, 90, 90, 90)));
        screen.frame(0, &[top, low, bottom], Fate::Gone);
        screen.frame(10, &[top, bottom], Fate::Minimized);
        assert_eq!(screen.animations.leaving[0].above, Some(WindowId(3)));
        assert_eq!(screen.animations.leaving[0].to.loc.y + screen.animations.leaving[0].to.size.h, 724);
        screen.frame(10, &[top], Fate::Minimized);
        assert_eq!(screen.animations.leaving[0].above, None);
        screen.frame(10, &[low, top], Fate::Minimized);
        assert!(screen.animations.leaving.iter().all(|leaving| leaving.window != WindowId(2)));
        assert!(screen.animations.is_moving());
    }

    #[test]
    fn a_window_without_a_picture_is_gone_at_once() {
        let mut screen = Screen::default();
        screen.frame(0, &[stand(1, rect(0, 60, 90, 90))], Fate::Gone);
        screen.frame(10, &[], Fate::Gone);
        assert!(!screen.animations.is_moving());
    }

    #[test]
    fn however_many_windows_leave_what_is_kept_is_bounded() {
        let mut screen = Screen::default();
        let all: Vec<Stand> = (0..100).map(|id| stand(id, rect(0, 60, 90, 90))).collect();
        screen.frame(0, &all, Fate::Gone);
        screen.frame(10, &[], Fate::Minimized);
        assert_eq!(screen.animations.leaving.len(), MAX_LEAVING);
    }

    #[test]
    fn without_a_duration_nothing_is_kept() {
        let mut animations = Animations::default();
        let shown = [stand(1, rect(0, 60, 90, 90))];
        let area = rect(0, 24, 1000, 700);
        for now in 0..3 {
            let now = Duration::from_millis(now);
            let frame =
                Frame { now, duration: Duration::ZERO, area, least: (1, 1), workspace: 0, shown: &shown };
            animations.follow(&frame, |_| Fate::Gone);
            assert!(!animations.is_moving() && animations.seen.is_none());
        }
    }

    proptest! {
        #[test]
        fn a_way_begins_where_it_begins_ends_where_it_ends_and_is_between_in_between(
            x in -3000..3000i32, y in -3000..3000i32, w in 1..4000i32, h in 1..4000i32, passed in 0..200u64,
        ) {
            let (from, to) = (rect(10, 20, 300, 200), rect(x, y, w, h));
            let motion = Motion { from, start: Duration::ZERO };
            let at = motion.at(Duration::from_millis(passed), DURATION, to);
            if passed == 0 { prop_assert_eq!(at, from); }
            if passed >= 100 { prop_assert_eq!(at, to); }
            prop_assert!((at.loc.x - 10) * (at.loc.x - x) <= 0 && (at.size.w - 300) * (at.size.w - w) <= 0);
        }
    }
}
