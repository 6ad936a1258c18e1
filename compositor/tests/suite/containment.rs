//! No sequence of requests of a VM changes a pixel outside the contents of its windows and popups.
//!
//! A client of one VM does whatever it likes beside a window of another VM, and paints with a colour that nothing else has.
//! Whatever it has done, three things hold of the screen:
//!
//! * its colour is in its content rectangles and its popups' alone;
//! * what is neither in the frames of its windows nor in its popups is as it was before it came, the stripe excepted, which says
//!   who has the keyboard;
//! * the border of each of its frames that nothing covers is its VM's colour.
//!
//! The rectangles are the model's own, by which input is given out too.

use proptest::prelude::*;
use smithay::utils::{Physical, Point, Rectangle};
use wayland_client::protocol::wl_subsurface::WlSubsurface;
use wayland_client::protocol::wl_surface::WlSurface;
use wayland_protocols::wp::viewporter::client::wp_viewport::WpViewport;
use wayland_protocols::wp::viewporter::client::wp_viewporter::WpViewporter;

use crate::fixture::{Fixture, Screen, WORK, Who, vm};

/// What the client paints with.
const PAINT: [u8; 4] = [255, 0, 255, 255];
const BLUE: [u8; 4] = [0, 0, 255, 255];
/// Where the pointer is, which is drawn over everything.
const POINTER: (i32, i32) = (399, 299);
/// The height of the stripe.
const STRIPE: i32 = 24;

/// What a client may do.
#[derive(Clone, Debug)]
enum Step {
    /// Content of some size, for its window or a subsurface of it.
    Draw(usize, i32, i32),
    /// Where its window says that its content is.
    Geometry(i32, i32, i32, i32),
    /// Where a subsurface is, and whether it is above its window.
    Place(usize, i32, i32, bool),
    /// How large a viewport makes it.
    Stretch(usize, i32, i32),
    /// The scale and turn of its buffer.
    Scale(usize, i32),
    /// Where its buffer is drawn.
    Offset(i32, i32),
    /// A popup, of its window or of the last popup.
    Popup(i32, i32, i32, i32),
    Maximize(bool),
    Fullscreen(bool),
    /// The least and the largest size that it wants.
    Sizes(i32, i32),
    /// Content without a buffer, which takes the window away; the next content brings it back.
    Unmap,
    /// A commit of nothing.
    Commit,
}

/// Coordinates: usual ones, and some that no honest client has.
fn coordinate() -> impl Strategy<Value = i32> {
    prop_oneof![4 => -60..300_i32, 1 => -2000..4000_i32, 1 => Just(-100_000), 1 => Just(100_000)]
}

fn length() -> impl Strategy<Value = i32> {
    prop_oneof![6 => 1..300_i32, 1 => 300..900_i32]
}

fn step() -> impl Strategy<Value = Step> {
    let which = 0_usize..3;
    prop_oneof![
        4 => (which.clone(), length(), length()).prop_map(|(which, w, h)| Step::Draw(which, w, h)),
        3 => (coordinate(), coordinate(), length(), length()).prop_map(|(x, y, w, h)| Step::Geometry(x, y, w, h)),
        3 => (1_usize..3, coordinate(), coordinate(), any::<bool>())
            .prop_map(|(which, x, y, above)| Step::Place(which, x, y, above)),
        2 => (which.clone(), 1..30_000_i32, 1..30_000_i32).prop_map(|(which, w, h)| Step::Stretch(which, w, h)),
        1 => (which, 1..4_i32).prop_map(|(which, scale)| Step::Scale(which, scale)),
        1 => (-300..300_i32, -300..300_i32).prop_map(|(x, y)| Step::Offset(x, y)),
        3 => (coordinate(), coordinate(), length(), length()).prop_map(|(x, y, w, h)| Step::Popup(x, y, w, h)),
        1 => any::<bool>().prop_map(Step::Maximize),
        1 => any::<bool>().prop_map(Step::Fullscreen),
        1 => (length(), length()).prop_map(|(w, h)| Step::Sizes(w, h)),
        1 => Just(Step::Unmap),
        1 => Just(Step::Commit),
    ]
}

/// The client, and what it has: its window's surface, and two subsurfaces of that.
struct Actor {
    who: Who,
    window: usize,
    surfaces: [WlSurface; 3],
    places: [WlSubsurface; 2],
    viewports: [Option<WpViewport>; 3],
    /// The window and its popups.
    shown: Vec<usize>,
}

impl Actor {
    fn new(fixture: &mut Fixture) -> Self {
        let who = fixture.connect(vm("work"));
        let window = fixture.window(who, 200, 100, PAINT);
        let client = fixture.client(who);
        let root = client.told.shown[window].surface.clone();
        let (first, place) = client.subsurface(&root);
        let (second, beside) = client.subsurface(&root);
        place.set_desync();
        beside.set_desync();
        fixture.roundtrip(who);
        let surfaces = [root, first, second];
        Self {
            who,
            window,
            surfaces,
            places: [place, beside],
            viewports: [None, None, None],
            shown: vec![window],
        }
    }

    fn act(&mut self, fixture: &mut Fixture, step: &Step) {
        let client = fixture.client(self.who);
        let root = &self.surfaces[0];
        match *step {
            Step::Draw(which, w, h) => client.draw_on(&self.surfaces[which], w, h, PAINT),
            Step::Geometry(x, y, w, h) => {
                client.told.shown[self.window].xdg.set_window_geometry(x, y, w, h);
                root.commit();
            }
            Step::Place(which, x, y, above) => {
                let place = &self.places[which - 1];
                place.set_position(x, y);
                if above {
                    place.place_above(root);
                } else {
                    place.place_below(root);
                }
                root.commit();
            }
            Step::Stretch(which, w, h) => {
                let viewport = self.viewports[which].get_or_insert_with(|| {
                    client.bind::<WpViewporter>().get_viewport(&self.surfaces[which], &client.queue, ())
                });
                viewport.set_destination(w, h);
                self.surfaces[which].commit();
            }
            Step::Scale(which, scale) => {
                let side = 60 * scale;
                self.surfaces[which].set_buffer_scale(scale);
                client.draw_on(&self.surfaces[which], side, side, PAINT);
            }
            Step::Offset(x, y) => {
                root.offset(x, y);
                root.commit();
            }
            Step::Popup(x, y, w, h) => {
                let parent = *self.shown.last().unwrap_or(&self.window);
                let popup = client.create_popup(parent, x, y, w, h);
                fixture.roundtrip(self.who);
                let client = fixture.client(self.who);
                if !client.ended() && !client.configures(popup).is_empty() {
                    client.ack(popup);
                    client.draw(popup, w, h, PAINT);
                    self.shown.push(popup);
                }
            }
            Step::Maximize(on) => {
                let toplevel = client.told.shown[self.window].toplevel.as_ref().unwrap();
                if on { toplevel.set_maximized() } else { toplevel.unset_maximized() }
            }
            Step::Fullscreen(on) => {
                let toplevel = client.told.shown[self.window].toplevel.as_ref().unwrap();
                if on { toplevel.set_fullscreen(None) } else { toplevel.unset_fullscreen() }
            }
            Step::Sizes(w, h) => {
                let toplevel = client.told.shown[self.window].toplevel.as_ref().unwrap();
                toplevel.set_max_size(w.max(20), h.max(20));
                toplevel.set_min_size(w.min(20), h.min(20));
                root.commit();
            }
            Step::Unmap => {
                root.attach(None, 0, 0);
                root.commit();
                self.shown.truncate(1);
            }
            Step::Commit => root.commit(),
        }
        fixture.roundtrip(self.who);
        let client = fixture.client(self.who);
        if !client.ended() {
            // Taking up what was configured is the client's business; this one does, so that it stays.
            client.ack(self.window);
            fixture.roundtrip(self.who);
        }
    }
}

/// Where a VM's pixels may be, and what belongs to its windows besides.
#[derive(Debug, Default)]
struct Parts {
    contents: Vec<Rectangle<i32, Physical>>,
    frames: Vec<Rectangle<i32, Physical>>,
    popups: Vec<Rectangle<i32, Physical>>,
    rings: Vec<Rectangle<i32, Physical>>,
}

fn parts(fixture: &mut Fixture) -> Parts {
    let mut parts = Parts::default();
    let own: Vec<_> = fixture.report().into_iter().filter(|window| window.vm == "work").collect();
    let comp = &fixture.state().comp;
    for window in own {
        parts.contents.push(window.content);
        parts.frames.push(window.frame);
        let root = comp.shell.get(window.id).map(|window| window.handle.wl_surface().clone());
        for popup in root.map(|root| comp.popup_rects(&root)).unwrap_or_default() {
            parts.popups.push(popup.rects.content);
            parts.rings.push(popup.rects.outer());
        }
    }
    parts
}

fn places(screen: &Screen) -> impl Iterator<Item = (i32, i32)> {
    let (w, h) = (screen.0.width as i32, screen.0.height as i32);
    (0..h).flat_map(move |y| (0..w).map(move |x| (x, y)))
}

fn within(rects: &[Rectangle<i32, Physical>], (x, y): (i32, i32)) -> bool {
    rects.iter().any(|rect| rect.contains((x, y)))
}

/// What the screen was before the client did anything.
struct Before {
    /// Without the client.
    bare: Screen,
    /// With its window, which has the keyboard: so the frame of the other one looks otherwise.
    focused: Screen,
    /// What of that is the client's.
    covered: Parts,
    /// The frame of the other VM's window.
    other: Rectangle<i32, Physical>,
}

impl Before {
    /// The pixel that has to be at a place that is not the client's; `None` where nobody knows.
    fn pixel(&self, at @ (x, y): (i32, i32)) -> Option<[u8; 4]> {
        if !self.other.contains((x, y)) {
            return Some(self.bare.pixel(x, y));
        }
        let seen = !within(&self.covered.frames, at);
        seen.then(|| self.focused.pixel(x, y))
    }
}

#[track_caller]
fn assert_contained(fixture: &mut Fixture, before: &Before, step: &Step) {
    let screen = fixture.screenshot();
    let parts = parts(fixture);
    for at @ (x, y) in places(&screen) {
        let pixel = screen.pixel(x, y);
        let own = within(&parts.contents, at) || within(&parts.popups, at);
        assert!(own || pixel != PAINT, "paint at {at:?} after {step:?}, with {parts:?}");
        let theirs = own || within(&parts.frames, at) || within(&parts.rings, at);
        let same = before.pixel(at).is_none_or(|expected| expected == pixel);
        assert!(theirs || y < STRIPE || same, "another pixel at {at:?} after {step:?}: {pixel:?}");
        assert!(y >= STRIPE || pixel != PAINT, "paint in the stripe at {at:?} after {step:?}");
    }
    for frame in &parts.frames {
        let inner: Rectangle<i32, Physical> =
            Rectangle::new(frame.loc + Point::from((4, 4)), (frame.size.w - 8, frame.size.h - 8).into());
        for at in places(&screen).filter(|(x, y)| frame.contains((*x, *y)) && !inner.contains((*x, *y))) {
            let covered = within(&parts.rings, at) || at.1 < STRIPE || at == POINTER;
            assert!(
                covered || screen.pixel(at.0, at.1) == WORK,
                "the border at {at:?} after {step:?} is {:?}",
                screen.pixel(at.0, at.1)
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_vm_asks_for_stays_in_its_contents_and_popups(steps in prop::collection::vec(step(), 1..14)) {
        let mut fixture = Fixture::new();
        let other = fixture.connect(vm("web"));
        fixture.window(other, 120, 60, BLUE);
        // The pointer is where it will be later.
        fixture.state().input_pointer_motion(POINTER.0.into(), POINTER.1.into());
        let bare = fixture.screenshot();
        let frame = fixture.report()[0].frame;
        let mut actor = Actor::new(&mut fixture);
        let content = fixture.report().into_iter().find(|window| window.vm == "work").unwrap().content;
        fixture.click(content.loc.x + content.size.w / 2, content.loc.y + content.size.h / 2);
        fixture.state().input_pointer_motion(POINTER.0.into(), POINTER.1.into());
        fixture.roundtrip(other);
        fixture.roundtrip(actor.who);
        let focused = fixture.screenshot();
        let before = Before { bare, focused, covered: parts(&mut fixture), other: frame };
        for step in &steps {
            actor.act(&mut fixture, step);
            // One that was ended may not leave anything either.
            assert_contained(&mut fixture, &before, step);
            if fixture.client(actor.who).ended() {
                break;
            }
        }
        fixture.roundtrip(other);
        prop_assert!(!fixture.client(other).ended());
    }
}
