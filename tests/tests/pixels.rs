//! What an application draws is what the screen shows, to the byte: through the whole chain as on a direct
//! connection. Each run draws a thousand commits of random rectangles with the damage that belongs to them.

use vitrail_tests::client::{Client, Window, WindowOptions};
use vitrail_tests::painter::{Damage, Painter};
use vitrail_tests::session::{Options, Session, Sharing};

const COMMITS: u32 = 1000;
const CHECK_EVERY: u32 = 50;

/// One case: how the application draws and what its pixels travel through.
struct Case {
    options: Options,
    damage: Damage,
    buffers: i32,
    scale: i32,
    /// The size of the part that a viewport shows.
    crop: Option<(i32, i32)>,
    seed: u64,
}

impl Case {
    fn new(damage: Damage, seed: u64) -> Self {
        Self {
            options: Options::new(&["work"]).output(800, 600, 1),
            damage,
            buffers: 3,
            scale: 1,
            crop: None,
            seed,
        }
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
        let options = WindowOptions::new(vm, 0x0020_4060).size(200, 150).scale(case.scale);
        let mut window = client.unmapped_window(&options);
        if case.scale != 1 {
            window.surface.set_buffer_scale(case.scale);
        }
        let mut painter = Painter::new(case.seed, case.damage, case.scale);
        if case.crop.is_some() {
            client.add_viewport(&mut window);
        }
        window.surface.commit();
        client.acknowledge(window.number, &window.xdg_surface).expect("a configure");
        window.buffers = client.buffers(case.buffers, window.canvas.width(), window.canvas.height());
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
        let expected = self.window.canvas.part(self.painter.visible(&self.window));
        session.focus(self.title);
        let content = session.wait_window(self.title).content();
        let image = session.screenshot();
        let difference = image.difference(content, &expected);
        assert_eq!(difference, None, "{} after {commit} commits", self.title);
        image.part(content)
    }
}

fn same_content_through_the_chain_and_locally(case: &Case) {
    let mut session = Session::with(case.options.clone());
    let mut remote = Painted::start(&mut session, "work", case);
    let mut local = Painted::start(&mut session, "local", case);
    for commit in 1..=COMMITS {
        if let Some(size) = case.crop.filter(|_| commit % 40 == 0) {
            remote.painter.move_crop(&remote.window, size);
            local.painter.move_crop(&local.window, size);
        }
        remote.step();
        local.step();
        if commit % CHECK_EVERY == 0 {
            let through_the_chain = remote.check(&mut session, commit);
            let directly = local.check(&mut session, commit);
            assert!(through_the_chain == directly, "the two windows differ after {commit} commits");
        }
    }
}

#[test]
fn buffer_damage_is_exact() {
    same_content_through_the_chain_and_locally(&Case::new(Damage::Buffer, 11));
}

#[test]
fn surface_damage_is_exact() {
    same_content_through_the_chain_and_locally(&Case { buffers: 2, ..Case::new(Damage::Surface, 12) });
}

#[test]
fn mixed_damage_without_a_region_is_exact() {
    let options = Options::new(&["work"]).output(800, 600, 1).sharing(Sharing::Stream);
    same_content_through_the_chain_and_locally(&Case { options, ..Case::new(Damage::Both, 13) });
}

#[test]
fn scaled_buffers_are_exact() {
    let options = Options::new(&["work"]).output(1200, 900, 2);
    same_content_through_the_chain_and_locally(&Case { options, scale: 2, ..Case::new(Damage::Both, 14) });
}

#[test]
fn viewports_are_exact() {
    let crop = Some((170, 120));
    same_content_through_the_chain_and_locally(&Case { crop, buffers: 4, ..Case::new(Damage::Both, 15) });
}

#[test]
fn viewports_of_scaled_buffers_are_exact() {
    let options = Options::new(&["work"]).output(1200, 900, 2);
    let case = Case { options, scale: 2, crop: Some((170, 120)), ..Case::new(Damage::Both, 16) };
    same_content_through_the_chain_and_locally(&case);
}
