//! What an application draws is what the screen shows, to the byte: through the whole chain as on a direct
//! connection. Each run draws a thousand commits of random rectangles with the damage that belongs to them.

use vitrail_tests::client::{Client, Transform, Window, WindowOptions};
use vitrail_tests::painter::{Damage, Painter, Presentation};
use vitrail_tests::session::{Options, Session, Sharing};

const CHECK_EVERY: u32 = 50;

/// The size of the output, in units.
const OUTPUT: (i32, i32) = (480, 340);

/// The size of the windows, in units.
const SIZE: (i32, i32) = (200, 180);

/// One case: how the application draws and how that is shown.
#[derive(Clone, Copy)]
struct Case {
    damage: Damage,
    buffers: i32,
    presentation: Presentation,
    /// The size of the part that a viewport shows.
    crop: Option<(i32, i32)>,
    /// The application of the VM has no use for `wl_shm`.
    dmabuf: bool,
    seed: u64,
    commits: u32,
}

impl Case {
    fn new(damage: Damage, seed: u64) -> Self {
        Self {
            damage,
            buffers: 3,
            presentation: Presentation::PLAIN,
            crop: None,
            dmabuf: false,
            seed,
            commits: 1000,
        }
    }

    /// The session that it needs.
    fn session(&self, sharing: Sharing) -> Session {
        let Presentation { scale, fraction, .. } = self.presentation;
        let options = Options::new(&["work"]).sharing(sharing);
        let options = if self.dmabuf { options.dmabuf() } else { options };
        if fraction == 120 {
            return Session::with(options.output(OUTPUT.0 * scale, OUTPUT.1 * scale, scale));
        }
        let pixels = |units: i32| units * i32::try_from(fraction).expect("a scale") / 120;
        Session::with(options.output(pixels(OUTPUT.0), pixels(OUTPUT.1), 1).fraction(fraction))
    }

    /// The size of the buffers, of which the surface has [`SIZE`].
    fn buffer_size(&self) -> (i32, i32) {
        let Presentation { scale, transform, fraction } = self.presentation;
        let pixels = |units: i32| units * scale * i32::try_from(fraction).expect("a scale") / 120;
        let (width, height) = (pixels(SIZE.0), pixels(SIZE.1));
        if transform.quarters % 2 == 0 { (width, height) } else { (height, width) }
    }
}

/// A window that is drawn in by its own painter.
struct Painted {
    title: &'static str,
    client: Client,
    window: Window,
    painter: Painter,
}

impl Painted {
    fn start(session: &mut Session, vm: &'static str, case: &Case) -> Self {
        let mut client = session.client(vm);
        let size = case.buffer_size();
        let mut window = client.unmapped_window(&WindowOptions::new(vm, 0x0020_4060).size(size.0, size.1));
        let mut painter = Painter::new(case.seed, case.damage, case.presentation);
        let fraction = case.presentation.fraction;
        if fraction != 120 {
            let preferred = client.preferred_scale(window.number, &window.surface).expect("a scale");
            assert_eq!(preferred, fraction);
        }
        if case.crop.is_some() || fraction != 120 {
            client.add_viewport(&mut window);
        }
        painter.present(&window);
        window.surface.commit();
        client.acknowledge(window.number, &window.xdg_surface).expect("a configure");
        let (width, height) = (window.canvas.width(), window.canvas.height());
        window.buffers = if case.dmabuf && vm != "local" {
            client.dmabuf_buffers(case.buffers, width, height)
        } else {
            client.buffers(case.buffers, width, height)
        };
        if let Some(size) = case.crop {
            painter.move_crop(&window, size);
        }
        client.show(&window).expect("the first content");
        client.roundtrip().expect("a live connection");
        session.wait_window(vm);
        Self { title: vm, client, window, painter }
    }

    fn step(&mut self) {
        self.painter.step(&mut self.client, &mut self.window).expect("a live connection");
    }

    /// What is on screen, having asserted that it is what was drawn.
    #[track_caller]
    fn check(&mut self, session: &mut Session, commit: u32) -> Vec<u32> {
        self.client.roundtrip().expect("a live connection");
        let expected = self.painter.picture(&self.window);
        session.focus(self.title);
        let content = session.wait_window(self.title).content();
        let image = session.screenshot();
        let difference = image.difference(content, &expected);
        assert_eq!(difference, None, "{} after {commit} commits of {:?}", self.title, self.painter);
        image.part(content)
    }
}

/// Draws the same in a window of a VM and in a local one.
#[track_caller]
fn assert_exact(session: &mut Session, case: &Case) {
    let mut remote = Painted::start(session, "work", case);
    let mut local = Painted::start(session, "local", case);
    for commit in 1..=case.commits {
        if let Some(size) = case.crop.filter(|_| commit % 40 == 0) {
            remote.painter.move_crop(&remote.window, size);
            local.painter.move_crop(&local.window, size);
        }
        remote.step();
        local.step();
        if commit % CHECK_EVERY == 0 {
            let through_the_chain = remote.check(session, commit);
            let directly = local.check(session, commit);
            assert!(through_the_chain == directly, "the two windows differ after {commit} commits");
        }
    }
}

/// Both ways that pixels can take: through a region, and through mirrors.
#[track_caller]
fn assert_exact_both_ways(case: &Case) {
    assert_exact(&mut case.session(Sharing::Region), case);
    let mirrored = Case { seed: case.seed + 100, commits: case.commits / 2, ..*case };
    assert_exact(&mut case.session(Sharing::Stream), &mirrored);
}

#[test]
fn buffer_damage_is_exact() {
    assert_exact_both_ways(&Case::new(Damage::Buffer, 11));
}

#[test]
fn surface_damage_is_exact() {
    assert_exact_both_ways(&Case { buffers: 2, ..Case::new(Damage::Surface, 12) });
}

#[test]
fn mixed_damage_is_exact() {
    assert_exact_both_ways(&Case::new(Damage::Both, 13));
}

const TWICE: Presentation = Presentation { scale: 2, ..Presentation::PLAIN };

#[test]
fn scaled_buffers_are_exact() {
    assert_exact_both_ways(&Case { presentation: TWICE, ..Case::new(Damage::Both, 14) });
}

#[test]
fn viewports_are_exact() {
    let crop = Some((170, 120));
    assert_exact_both_ways(&Case { crop, buffers: 4, ..Case::new(Damage::Both, 15) });
}

#[test]
fn viewports_of_scaled_buffers_are_exact() {
    let crop = Some((170, 120));
    assert_exact_both_ways(&Case { presentation: TWICE, crop, ..Case::new(Damage::Both, 16) });
}

#[test]
fn turned_and_mirrored_buffers_are_exact() {
    for sharing in [Sharing::Region, Sharing::Stream] {
        let whole = Case { commits: 100, ..Case::new(Damage::Surface, 17) };
        let mut session = whole.session(sharing);
        for transform in Transform::all() {
            let presentation = Presentation { transform, ..Presentation::PLAIN };
            assert_exact(&mut session, &Case { presentation, ..whole });
            session.wait_titles(&[]);
        }
    }
}

#[test]
fn parts_of_turned_and_mirrored_buffers_are_exact() {
    for sharing in [Sharing::Region, Sharing::Stream] {
        let crop = Some((165, 120));
        let part = Case { crop, commits: 100, presentation: TWICE, ..Case::new(Damage::Both, 18) };
        let mut session = part.session(sharing);
        for transform in Transform::all() {
            let presentation = Presentation { transform, ..TWICE };
            assert_exact(&mut session, &Case { presentation, ..part });
            session.wait_titles(&[]);
        }
    }
}

#[test]
fn fractional_scales_are_exact() {
    for (fraction, transform) in [(180, Transform::NORMAL), (150, Transform { flipped: true, quarters: 1 })] {
        let presentation = Presentation { fraction, transform, ..Presentation::PLAIN };
        let case = Case { presentation, commits: 400, ..Case::new(Damage::Both, 19) };
        assert_exact_both_ways(&case);
    }
}

#[test]
fn what_is_drawn_without_wl_shm_is_exact() {
    assert_exact_both_ways(&Case { dmabuf: true, ..Case::new(Damage::Both, 20) });
}

#[test]
fn parts_of_what_is_drawn_without_wl_shm_are_exact() {
    let crop = Some((170, 120));
    let case = Case { dmabuf: true, crop, presentation: TWICE, commits: 400, ..Case::new(Damage::Both, 21) };
    assert_exact_both_ways(&case);
}
