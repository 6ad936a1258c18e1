//! Row 3, and what of row 13 is about popups.

use vitrail_protocols::Guard;

use crate::client::{Client, Popup, Rect, Window};
use crate::deadline::Deadline;
use crate::hostile::Case;
use crate::hostile::stage::{PAINT, Place, Stage, assert_ringed};
use crate::raw::Request;
use crate::session::places;

const PLACE: &[Guard] = &[Guard::PopupPlace];

pub(super) const CASES: &[Case] = &[
    Case::new(3, "popup-off-screen", "a popup of a popup, both far off the screen", PLACE, popup_off_screen),
    Case::new(
        3,
        "popup-over-stripe",
        "a popup over the stripe, and over the whole screen",
        PLACE,
        popup_over_stripe,
    ),
    Case::new(
        3,
        "popups-everywhere",
        "so many popups that they cover the screen together",
        PLACE,
        popups_everywhere,
    ),
    Case::new(
        3,
        "popup-ring",
        "a popup outside of its window, over another VM's",
        &[Guard::Label],
        popup_ring,
    ),
    Case::new(3, "reposition-storm", "a popup that is moved hundreds of times", PLACE, reposition_storm),
    Case::new(
        3,
        "popup-without-focus",
        "a popup of a VM that has not the keyboard",
        &[Guard::PopupFocus],
        popup_without_focus,
    ),
    Case::new(3, "many-popups", "ten thousand popups", &[Guard::Counts], many_popups),
    Case::elsewhere(
        13,
        "prompt-under-the-finger",
        "a click that was meant for something else answers a question",
        "compositor/tests/suite/screencopy/question.rs",
    ),
];

/// What popups are painted with where they have to be told apart from their window.
const POPUP: u32 = 0x0000_ffff;

fn popup(client: &mut Client, window: &Window, place: Rect) -> Popup {
    client.popup(&window.xdg_surface, place, POPUP).expect("a popup")
}

/// Where pixels of popups are.
fn shown(stage: &mut Stage) -> Vec<(i32, i32)> {
    let image = stage.session.screenshot();
    let screen = Rect::of_size(image.size().0, image.size().1);
    places(screen).filter(|&(x, y)| image.pixel(x, y) == Some(POPUP)).collect()
}

/// Asserts that popups are in sight, below the stripe and a ring away from the edges.
#[track_caller]
fn assert_in_work_area(stage: &mut Stage) -> usize {
    let (width, height) = stage.session.size();
    let shown = shown(stage);
    assert!(!shown.is_empty(), "no popup is in sight");
    for &(x, y) in &shown {
        assert!(x >= 2 && y >= 26 && x < width - 2 && y < height - 2, "a popup at ({x}, {y})");
    }
    shown.len()
}

fn popup_off_screen() -> String {
    let mut stage = Stage::new();
    let (mut client, window) = stage.window("host");
    let first = popup(&mut client, &window, Rect { x: 5000, y: 5000, w: 60, h: 40 });
    let second = client.popup(&first.xdg_surface, Rect { x: -9000, y: -9000, w: 60, h: 40 }, POPUP);
    client.roundtrip().expect("the client is left alone");
    second.expect("a popup of a popup");
    let seen = assert_in_work_area(&mut stage);
    stage.keep_picture("popup-off-screen");
    format!("{seen} pixels of both, all in the work area")
}

fn popup_over_stripe() -> String {
    let mut stage = Stage::new();
    let (mut client, window) = stage.window("host");
    let content = stage.content("host");
    let stripe = Rect { x: -content.x, y: -content.y, w: 300, h: 60 };
    let _over = popup(&mut client, &window, stripe);
    let seen = assert_in_work_area(&mut stage);
    let all = Rect { x: -content.x, y: -content.y, w: 800, h: 600 };
    let _all = client.popup(&window.xdg_surface, all, POPUP).expect("a popup");
    let also = assert_in_work_area(&mut stage);
    format!("{seen} and {also} pixels, none over the stripe")
}

fn popups_everywhere() -> String {
    let mut stage = Stage::new();
    let (mut client, window) = stage.window("host");
    let content = stage.content("host");
    let (width, height) = stage.session.size();
    let mut popups = Vec::new();
    for column in 0..4 {
        for row in 0..4 {
            let place = Rect { x: column * 200 - content.x, y: row * 150 - content.y, w: 200, h: 150 };
            popups.push(popup(&mut client, &window, place));
        }
    }
    let shown = shown(&mut stage).len();
    let all = (width * (height - 24)).unsigned_abs() as usize;
    assert!(shown > 0 && shown * 100 <= all * 60, "popups cover {shown} of {all} pixels");
    format!("{} popups cover {} % of the work area", popups.len(), shown * 100 / all)
}

fn popup_ring() -> String {
    let mut stage = Stage::new();
    let mut client = stage.hostile();
    let window = client.window(&crate::client::WindowOptions::new("host", PAINT)).expect("a window");
    stage.session.wait_window("host");
    stage.session.focus("host");
    let place = Rect { x: 150, y: 100, w: 200, h: 200 };
    let _popup = client.popup(&window.xdg_surface, place, PAINT).expect("a popup");
    client.roundtrip().expect("the client is left alone");
    let image = stage.session.screenshot();
    stage.keep_picture("popup-ring");
    let ringed = assert_ringed(&image, PAINT);
    format!("{ringed} pixels of window and popup have nothing but the VM's colour around them")
}

fn reposition_storm() -> String {
    let mut stage = Stage::new();
    let (mut client, window) = stage.window("host");
    let base = client.state.bound.wm_base.clone().expect("xdg_wm_base");
    let moved = popup(&mut client, &window, Rect { x: 10, y: 10, w: 60, h: 40 });
    let mut seen = 0;
    for step in 0..300_i32 {
        use wayland_protocols::xdg::shell::client::xdg_positioner::{Anchor, Gravity};
        let positioner = base.create_positioner(&client.handle(), ());
        positioner.set_size(60, 40);
        positioner.set_anchor_rect(0, 0, 1, 1);
        positioner.set_anchor(Anchor::TopLeft);
        positioner.set_gravity(Gravity::BottomRight);
        positioner.set_offset((step * 97) % 3000 - 1500, (step * 61) % 3000 - 1500);
        let before = client.state.surface(moved.number).configures.len();
        moved.popup.reposition(&positioner, step.unsigned_abs());
        positioner.destroy();
        let number = moved.number;
        client
            .wait_until("a place", |state| state.surface(number).configures.len() > before)
            .expect("a configure");
        let serial = client.state.surface(number).configures.last().map_or(0, |configure| configure.serial);
        moved.xdg_surface.ack_configure(serial);
        moved.surface.commit();
        if step % 30 == 0 {
            client.roundtrip().expect("the client is left alone");
            seen += assert_in_work_area(&mut stage);
        }
    }
    format!("{seen} pixels in 10 of 300 places, all in the work area")
}

fn popup_without_focus() -> String {
    let mut stage = Stage::new();
    let (mut client, window) = stage.window("host");
    stage.session.focus("victim");
    let popup = client.unmapped_popup(&window.xdg_surface, Rect { x: 150, y: 100, w: 300, h: 200 });
    popup.surface.commit();
    let number = popup.number;
    client.wait_until("its dismissal", |state| state.surface(number).dismissed).expect("it is dismissed");
    client.paint(&popup.surface, (300, 200), POPUP);
    // What a client draws for a popup that was dismissed is nobody's business.
    let _ = client.roundtrip();
    assert_eq!(shown(&mut stage).len(), 0);
    stage.assert_unharmed();
    "it was dismissed and never shown".to_owned()
}

fn many_popups() -> String {
    let mut stage = Stage::new();
    let mut attacker = stage.attacker(Place::Vm);
    let globals = attacker.bind_globals().expect("globals");
    let window = attacker.map_window(globals, "host", (200, 150)).expect("a window");
    stage.session.focus("host");
    let mut made = 0;
    let end = (|| {
        // Three objects each, of which one is taken back.
        for _ in 0..10_000 {
            let positioner = attacker.made(globals.wm_base, 1, |request| request)?;
            attacker.send(&Request::new(positioner, 1).int(10).int(10))?;
            attacker.send(&Request::new(positioner, 2).int(0).int(0).int(1).int(1))?;
            let surface = attacker.create_surface(globals)?;
            let xdg_surface = attacker.made(globals.wm_base, 2, |request| request.uint(surface))?;
            attacker.made(xdg_surface, 2, |request| request.uint(window.xdg_surface).uint(positioner))?;
            attacker.send(&Request::new(positioner, 0))?;
            made += 1;
        }
        attacker.roundtrip(Deadline::patient()).map(drop)
    })();
    let told = stage.assert_ended(&mut attacker, end);
    stage.assert_unharmed();
    assert!(told.contains("popup") || told.contains("closed"), "it was ended for something else: {told}");
    format!("ended among the first {made}: {told}")
}
