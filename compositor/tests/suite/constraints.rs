//! Clients that lock or confine the pointer, and the user who takes it back.

use vitrail::input::pointer::BUTTON_LEFT;
use wayland_client::protocol::wl_compositor::WlCompositor;
use wayland_client::protocol::wl_pointer::WlPointer;
use wayland_client::protocol::wl_region::WlRegion;
use wayland_client::protocol::wl_surface::WlSurface;
use wayland_client::{Connection, Dispatch, QueueHandle, delegate_noop};
use wayland_protocols::wp::pointer_constraints::zv1::client::zwp_confined_pointer_v1::{
    self, ZwpConfinedPointerV1,
};
use wayland_protocols::wp::pointer_constraints::zv1::client::zwp_locked_pointer_v1::{
    self, ZwpLockedPointerV1,
};
use wayland_protocols::wp::pointer_constraints::zv1::client::zwp_pointer_constraints_v1::{
    Lifetime, ZwpPointerConstraintsV1,
};

use crate::client::{Client, Told};
use crate::fixture::{Fixture, Who, vm};
use crate::input_method::start;
use crate::relative_pointer::listen;
use crate::text_input::{enable, text_input};

const BLUE: [u8; 4] = [0, 0, 255, 255];
const ESCAPE: u32 = 1;
const TAB: u32 = 15;

delegate_noop!(Told: ignore ZwpPointerConstraintsV1);

impl Dispatch<ZwpLockedPointerV1, ()> for Told {
    fn event(
        told: &mut Self,
        _: &ZwpLockedPointerV1,
        event: zwp_locked_pointer_v1::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        let locked = matches!(event, zwp_locked_pointer_v1::Event::Locked);
        told.log.push(String::from(if locked { "locked" } else { "unlocked" }));
    }
}

impl Dispatch<ZwpConfinedPointerV1, ()> for Told {
    fn event(
        told: &mut Self,
        _: &ZwpConfinedPointerV1,
        event: zwp_confined_pointer_v1::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        let confined = matches!(event, zwp_confined_pointer_v1::Event::Confined);
        told.log.push(String::from(if confined { "confined" } else { "unconfined" }));
    }
}

/// A client with one window.
struct Party {
    who: Who,
    window: usize,
    pointer: WlPointer,
    /// The content's corner on the output.
    x: i32,
    y: i32,
}

impl Party {
    fn new(fixture: &mut Fixture, name: &str) -> Self {
        let who = fixture.connect(vm(name));
        let (pointer, _) = listen(fixture.client(who));
        let window = fixture.window(who, 200, 100, BLUE);
        let content = fixture.report().into_iter().find(|window| window.vm == name).unwrap().content;
        Self { who, window, pointer, x: content.loc.x, y: content.loc.y }
    }

    fn surface(&self, fixture: &mut Fixture) -> WlSurface {
        fixture.client(self.who).told.shown[self.window].surface.clone()
    }

    fn lock(
        &self,
        fixture: &mut Fixture,
        region: Option<&WlRegion>,
        lifetime: Lifetime,
    ) -> ZwpLockedPointerV1 {
        let surface = self.surface(fixture);
        let client = fixture.client(self.who);
        let constraints: ZwpPointerConstraintsV1 = client.bind();
        let locked = constraints.lock_pointer(&surface, &self.pointer, region, lifetime, &client.queue, ());
        fixture.roundtrip(self.who);
        locked
    }

    fn confine(&self, fixture: &mut Fixture, region: Option<&WlRegion>) -> ZwpConfinedPointerV1 {
        let surface = self.surface(fixture);
        let client = fixture.client(self.who);
        let constraints: ZwpPointerConstraintsV1 = client.bind();
        let lifetime = Lifetime::Persistent;
        let confined =
            constraints.confine_pointer(&surface, &self.pointer, region, lifetime, &client.queue, ());
        fixture.roundtrip(self.who);
        confined
    }

    /// Moves the pointer to a place of the content.
    fn point(&self, fixture: &mut Fixture, x: i32, y: i32) {
        fixture.state().input_pointer_motion(f64::from(self.x + x), f64::from(self.y + y));
    }

    /// Where the pointer is on the content.
    fn pointer(&self, fixture: &mut Fixture) -> (i32, i32) {
        let pointer = fixture.state().comp.input.visible_pointer().unwrap();
        (pointer.x - self.x, pointer.y - self.y)
    }

    /// What the client was told since it was last asked for.
    fn told(&self, fixture: &mut Fixture) -> Vec<String> {
        fixture.roundtrip(self.who);
        std::mem::take(&mut fixture.client(self.who).told.log)
    }

    /// The same, of its constraints alone.
    fn constraints(&self, fixture: &mut Fixture) -> Vec<String> {
        let mut told = self.told(fixture);
        told.retain(|line| line.ends_with("locked") || line.ends_with("confined"));
        told
    }
}

fn region(client: &Client, parts: &[[i32; 4]]) -> WlRegion {
    let region = client.bind::<WlCompositor>().create_region(&client.queue, ());
    parts.iter().for_each(|[x, y, w, h]| region.add(*x, *y, *w, *h));
    region
}

fn chord(fixture: &mut Fixture, key: u32) {
    let leftmeta = 125;
    for (key, pressed) in [(leftmeta, true), (key, true), (key, false), (leftmeta, false)] {
        fixture.state().input_key(key, pressed);
    }
}

/// A window with a locked pointer 20 pixels from its corner.
fn locked(fixture: &mut Fixture, lifetime: Lifetime) -> (Party, ZwpLockedPointerV1) {
    let party = Party::new(fixture, "work");
    party.point(fixture, 20, 20);
    party.told(fixture);
    let object = party.lock(fixture, None, lifetime);
    assert_eq!(party.told(fixture), ["locked"]);
    (party, object)
}

/// A compositor whose VMs may hold the pointer without the user being asked.
fn allowing(w: i32, h: i32, scale: f64) -> Fixture {
    Fixture::ruled("[defaults.input]\npointer_lock = \"allow\"\n", (w, h), scale)
}

#[test]
fn a_locked_pointer_stays_and_its_steps_go_on() {
    let mut fixture = allowing(800, 600, 1.0);
    let (party, _) = locked(&mut fixture, Lifetime::Persistent);
    fixture.state().input_pointer_motion_by(300.0, -7.0);
    party.point(&mut fixture, 25, 21);
    party.point(&mut fixture, 30, 21);
    assert_eq!(party.pointer(&mut fixture), (20, 20));
    let told = party.told(&mut fixture);
    assert_eq!(told, ["step 300 -7", "frame", "step 5 1", "frame", "step 5 0", "frame"]);
    fixture.state().input_pointer_button(BUTTON_LEFT, true);
    fixture.state().input_pointer_button(BUTTON_LEFT, false);
    assert!(!party.told(&mut fixture).iter().any(|line| line.starts_with("motion")));
}

#[test]
fn the_pointer_is_not_locked_by_a_window_without_the_keyboard_until_it_is_clicked() {
    let mut fixture = allowing(800, 600, 1.0);
    let _work = Party::new(&mut fixture, "work");
    let web = Party::new(&mut fixture, "web");
    web.point(&mut fixture, 20, 20);
    web.lock(&mut fixture, None, Lifetime::Persistent);
    web.point(&mut fixture, 30, 30);
    assert_eq!(web.pointer(&mut fixture), (30, 30));
    assert_eq!(web.constraints(&mut fixture), Vec::<String>::new());
    fixture.click(web.x + 31, web.y + 31);
    assert_eq!(web.constraints(&mut fixture), ["locked"]);
}

#[test]
fn the_pointer_is_not_locked_by_a_window_that_it_is_not_in() {
    let mut fixture = allowing(800, 600, 1.0);
    let party = Party::new(&mut fixture, "work");
    party.point(&mut fixture, -50, 20);
    party.lock(&mut fixture, None, Lifetime::Persistent);
    party.point(&mut fixture, -40, 20);
    // The label's ring is not the client's.
    party.point(&mut fixture, -2, 20);
    assert_eq!(party.constraints(&mut fixture), Vec::<String>::new());
    party.point(&mut fixture, 0, 20);
    assert_eq!(party.constraints(&mut fixture), ["locked"]);
}

#[test]
fn the_logo_key_with_escape_releases_the_pointer_until_the_user_clicks() {
    let mut fixture = allowing(800, 600, 1.0);
    let (party, object) = locked(&mut fixture, Lifetime::Persistent);
    chord(&mut fixture, ESCAPE);
    assert_eq!(party.constraints(&mut fixture), ["unlocked"]);
    // Whatever the client tries: another constraint, another window, motion.
    object.destroy();
    party.lock(&mut fixture, None, Lifetime::Persistent);
    party.point(&mut fixture, 40, 40);
    let second = fixture.window(party.who, 100, 60, BLUE);
    let toplevel = fixture.client(party.who).told.shown[second].toplevel.clone().unwrap();
    toplevel.destroy();
    fixture.roundtrip(party.who);
    party.point(&mut fixture, 50, 50);
    assert_eq!(party.pointer(&mut fixture), (50, 50));
    assert_eq!(party.constraints(&mut fixture), Vec::<String>::new());
    fixture.click(party.x + 60, party.y + 60);
    assert_eq!(party.constraints(&mut fixture), ["locked"]);
    party.point(&mut fixture, 90, 90);
    assert_eq!(party.pointer(&mut fixture), (60, 60));
    assert!(fixture.client(party.who).told.keys.is_empty(), "no client sees the chord");
}

#[test]
fn a_click_into_another_vms_window_does_not_allow_the_first_to_lock_again() {
    let mut fixture = allowing(800, 600, 1.0);
    let (work, _) = locked(&mut fixture, Lifetime::Persistent);
    let web = Party::new(&mut fixture, "web");
    chord(&mut fixture, ESCAPE);
    fixture.click(web.x + 5, web.y + 5);
    chord(&mut fixture, TAB);
    work.point(&mut fixture, 30, 30);
    assert_eq!(work.constraints(&mut fixture), ["unlocked"]);
    fixture.click(work.x + 30, work.y + 30);
    assert_eq!(work.constraints(&mut fixture), ["locked"]);
}

/// The popup is beside the VM's own cursor, and clicking at what it offers says nothing about the pointer.
#[test]
fn a_click_on_a_popup_of_the_input_method_does_not_allow_a_lock_again() {
    let mut fixture = allowing(800, 600, 1.0);
    let (party, _lock) = locked(&mut fixture, Lifetime::Persistent);
    let method = start(&mut fixture);
    let input = text_input(&mut fixture, party.who);
    enable(&mut fixture, party.who, &input, "");
    method.popup(&mut fixture, 60, 20);
    let popup = fixture.state().comp.method_popups()[0].rects.content;
    chord(&mut fixture, ESCAPE);
    party.constraints(&mut fixture);
    fixture.click(popup.loc.x + 5, popup.loc.y + 5);
    party.point(&mut fixture, 150, 90);
    assert!(party.constraints(&mut fixture).is_empty());
    fixture.click(party.x + 150, party.y + 90);
    assert_eq!(party.constraints(&mut fixture), ["locked"]);
}

#[test]
fn a_lock_ends_with_the_keyboard_and_comes_back_with_it() {
    let mut fixture = allowing(800, 600, 1.0);
    let (work, _) = locked(&mut fixture, Lifetime::Persistent);
    let _web = Party::new(&mut fixture, "web");
    chord(&mut fixture, TAB);
    assert_eq!(work.constraints(&mut fixture), ["unlocked"]);
    work.point(&mut fixture, 22, 22);
    assert_eq!(work.pointer(&mut fixture), (22, 22));
    chord(&mut fixture, TAB);
    assert_eq!(work.constraints(&mut fixture), ["locked"]);
}

#[test]
fn a_lock_ends_when_its_window_is_minimized_unmapped_moved_or_destroyed() {
    for step in ["minimize", "unmap", "move", "role", "surface"] {
        let mut fixture = allowing(800, 600, 1.0);
        let (party, _) = locked(&mut fixture, Lifetime::Persistent);
        if step == "move" {
            fixture.state().input_pointer_button(BUTTON_LEFT, true);
            fixture.roundtrip(party.who);
        }
        let client = fixture.client(party.who);
        let (seat, press) = (client.seat(), client.told.press);
        let shown = &client.told.shown[party.window];
        let toplevel = shown.toplevel.as_ref().unwrap();
        match step {
            "minimize" => toplevel.set_minimized(),
            "unmap" => {
                shown.surface.attach(None, 0, 0);
                shown.surface.commit();
            }
            "move" => toplevel._move(&seat, press),
            "role" => toplevel.destroy(),
            _ => {
                toplevel.destroy();
                shown.xdg.destroy();
                shown.surface.destroy();
            }
        }
        assert_eq!(party.constraints(&mut fixture), ["unlocked"], "{step}");
        party.point(&mut fixture, 50, 50);
        assert_eq!(party.pointer(&mut fixture), (50, 50), "{step}");
    }
}

#[test]
fn a_lock_for_once_is_over_when_it_ended_and_one_for_long_is_not() {
    let mut fixture = allowing(800, 600, 1.0);
    let (party, once) = locked(&mut fixture, Lifetime::Oneshot);
    chord(&mut fixture, ESCAPE);
    fixture.click(party.x + 30, party.y + 30);
    assert_eq!(party.constraints(&mut fixture), ["unlocked"]);
    // The surface may have another now, and the end of the first object is not its end.
    party.lock(&mut fixture, None, Lifetime::Persistent);
    assert_eq!(party.constraints(&mut fixture), ["locked"]);
    once.destroy();
    once_more(&mut fixture, &party);
    assert_eq!(party.constraints(&mut fixture), Vec::<String>::new());
    party.point(&mut fixture, 50, 50);
    assert_eq!(party.pointer(&mut fixture), (30, 30));
}

fn once_more(fixture: &mut Fixture, party: &Party) {
    party.surface(fixture).commit();
    fixture.roundtrip(party.who);
}

#[test]
fn a_client_that_gives_up_its_lock_has_its_pointer_back() {
    let mut fixture = allowing(800, 600, 1.0);
    let (party, object) = locked(&mut fixture, Lifetime::Persistent);
    object.destroy();
    fixture.roundtrip(party.who);
    party.point(&mut fixture, 50, 50);
    assert_eq!(party.told(&mut fixture), ["motion 50 50", "step 30 30", "frame"]);
}

#[test]
fn a_second_constraint_of_a_surface_is_an_error() {
    let mut fixture = allowing(800, 600, 1.0);
    let (party, _) = locked(&mut fixture, Lifetime::Persistent);
    party.confine(&mut fixture, None);
    fixture.wait("the end of the connection", |fixture| fixture.client(party.who).ended());
    let error = fixture.client(party.who).error();
    assert_eq!(error, Some((String::from("zwp_pointer_constraints_v1"), 1)));
    party.point(&mut fixture, 50, 50);
    assert_eq!(party.pointer(&mut fixture), (50, 50));
}

#[test]
fn the_pointer_goes_where_the_client_showed_one_if_that_is_on_its_surface() {
    for (hint, there) in [
        ((60.0, 70.0), (60, 70)),
        ((-3.0, 50.0), (20, 20)),
        ((200.0, 50.0), (20, 20)),
        ((1e6, 1e6), (20, 20)),
    ] {
        for by_chord in [true, false] {
            let mut fixture = allowing(800, 600, 1.0);
            let (party, object) = locked(&mut fixture, Lifetime::Persistent);
            object.set_cursor_position_hint(hint.0, hint.1);
            once_more(&mut fixture, &party);
            // Set, and not committed.
            object.set_cursor_position_hint(5.0, 5.0);
            if by_chord {
                chord(&mut fixture, ESCAPE);
            } else {
                object.destroy();
            }
            fixture.roundtrip(party.who);
            assert_eq!(party.pointer(&mut fixture), there, "{hint:?}");
        }
    }
}

#[test]
fn the_pointer_is_not_put_onto_another_vms_window() {
    let mut fixture = allowing(800, 600, 1.0);
    let (party, object) = locked(&mut fixture, Lifetime::Persistent);
    object.set_cursor_position_hint(150.0, 50.0);
    once_more(&mut fixture, &party);
    // The user brings a window up that covers the place.
    let web = fixture.connect(vm("web"));
    let window = fixture.window(web, 200, 100, BLUE);
    fixture.client(web).told.shown[window].toplevel.as_ref().unwrap().set_maximized();
    fixture.configured(web, window, 2);
    fixture.client(web).draw(window, 700, 500, BLUE);
    fixture.roundtrip(web);
    chord(&mut fixture, TAB);
    assert_eq!(party.constraints(&mut fixture), ["unlocked"]);
    assert_eq!(party.pointer(&mut fixture), (20, 20));
}

#[test]
fn a_confined_pointer_stays_in_the_content() {
    for scale in [1.0, 1.5, 2.0] {
        let mut fixture = allowing(1000, 800, scale);
        let party = Party::new(&mut fixture, "web");
        party.point(&mut fixture, 20, 20);
        party.confine(&mut fixture, None);
        assert_eq!(party.constraints(&mut fixture), ["confined"]);
        // Far larger than what is shown of it.
        fixture.client(party.who).draw(party.window, 3000, 2000, BLUE);
        fixture.roundtrip(party.who);
        let content = fixture.report()[0].content;
        for (dx, dy) in [(-5000.0, 0.3), (0.4, -5000.0), (5000.0, 0.7), (0.0, 5000.0), (-300.0, -300.0)] {
            fixture.state().input_pointer_motion_by(dx, dy);
            let pointer = fixture.state().comp.input.visible_pointer().unwrap();
            assert!(content.contains(pointer), "{pointer:?} is in {content:?}");
        }
        for (x, y) in [(0.0, 0.0), (999.0, 0.0), (999.0, 799.0), (0.0, 799.0)] {
            fixture.state().input_pointer_motion(x, y);
            let pointer = fixture.state().comp.input.visible_pointer().unwrap();
            assert!(content.contains(pointer), "{pointer:?} is in {content:?}");
        }
        assert_eq!(party.constraints(&mut fixture), Vec::<String>::new());
    }
}

#[test]
fn a_confined_pointer_stays_in_its_region_which_changes_with_a_commit() {
    let mut fixture = allowing(800, 600, 1.0);
    let party = Party::new(&mut fixture, "work");
    let client = fixture.client(party.who);
    // Two islands, and far more than the window.
    let islands = region(client, &[[10, 10, 50, 50], [100, 10, 5000, 50]]);
    party.point(&mut fixture, 80, 20);
    let object = party.confine(&mut fixture, Some(&islands));
    assert_eq!(party.constraints(&mut fixture), Vec::<String>::new());
    party.point(&mut fixture, 30, 30);
    assert_eq!(party.constraints(&mut fixture), ["confined"]);
    party.point(&mut fixture, 120, 35);
    assert_eq!(party.pointer(&mut fixture).0, 59);
    let right = region(fixture.client(party.who), &[[100, 10, 5000, 50]]);
    object.set_region(Some(&right));
    fixture.roundtrip(party.who);
    assert_eq!(party.constraints(&mut fixture), Vec::<String>::new());
    once_more(&mut fixture, &party);
    assert_eq!(party.constraints(&mut fixture), ["unconfined"]);
    party.point(&mut fixture, 120, 35);
    assert_eq!(party.constraints(&mut fixture), ["confined"]);
    fixture.state().input_pointer_motion_by(1000.0, 1000.0);
    assert_eq!(party.pointer(&mut fixture), (199, 59));
}

#[test]
fn a_lock_of_a_covered_surface_is_not_granted() {
    let mut fixture = allowing(800, 600, 1.0);
    let party = Party::new(&mut fixture, "work");
    let parent = party.surface(&mut fixture);
    let (above, role) = fixture.client(party.who).subsurface(&parent);
    role.set_desync();
    fixture.client(party.who).draw_on(&above, 50, 50, BLUE);
    once_more(&mut fixture, &party);
    party.point(&mut fixture, 20, 20);
    party.lock(&mut fixture, None, Lifetime::Persistent);
    assert_eq!(party.constraints(&mut fixture), Vec::<String>::new());
    party.point(&mut fixture, 70, 20);
    assert_eq!(party.constraints(&mut fixture), ["locked"]);
}

#[test]
fn constraints_of_any_shape_and_number_harm_nobody_else() {
    let mut fixture = allowing(800, 600, 1.0);
    let (party, object) = locked(&mut fixture, Lifetime::Persistent);
    let other = Party::new(&mut fixture, "web");
    let wild =
        [[i32::MIN; 4], [i32::MAX; 4], [i32::MIN, i32::MIN, i32::MAX, i32::MAX], [0, 0, -1, 0], [0; 4]];
    for parts in wild {
        let wild = region(fixture.client(party.who), &[parts]);
        object.set_region(Some(&wild));
        wild.destroy();
        object.set_cursor_position_hint(f64::from(parts[0]), f64::MAX);
        once_more(&mut fixture, &party);
        fixture.state().input_pointer_motion_by(3.0, 3.0);
    }
    object.destroy();
    // Constraints of surfaces that are gone, and surfaces with constraints that go.
    for round in 0..20 {
        let client = fixture.client(party.who);
        let constraints: ZwpPointerConstraintsV1 = client.bind();
        for _ in 0..5 {
            let surface = client.surface();
            let object = constraints.lock_pointer(
                &surface,
                &party.pointer,
                None,
                Lifetime::Oneshot,
                &client.queue,
                (),
            );
            surface.destroy();
            object.set_region(None);
            object.set_cursor_position_hint(1.0, 1.0);
            if round % 2 == 0 {
                object.destroy();
            }
        }
        fixture.roundtrip(party.who);
    }
    assert!(!fixture.client(party.who).ended());
    // Thousands of objects that stand for nothing any more. Their number has the limit of all objects.
    for _ in 0..3 {
        let client = fixture.client(party.who);
        let (compositor, constraints): (WlCompositor, ZwpPointerConstraintsV1) =
            (client.bind(), client.bind());
        for _ in 0..1000 {
            let surface = compositor.create_surface(&client.queue, ());
            let lifetime = Lifetime::Oneshot;
            constraints.lock_pointer(&surface, &party.pointer, None, lifetime, &client.queue, ());
            surface.destroy();
        }
        fixture.roundtrip(party.who);
    }
    assert!(!fixture.client(party.who).ended());
    other.point(&mut fixture, 30, 30);
    assert!(other.told(&mut fixture).contains(&String::from("enter 30 30")));
}

/// Answers the question that is shown, once it takes an answer.
#[track_caller]
fn answer(fixture: &mut Fixture, keys: &[&str]) {
    fixture.wait("a question that takes an answer", |fixture| fixture.state().comp.question_takes_answer());
    assert!(fixture.state().comp.is_asking());
    for key in keys {
        fixture.chord(&[key]);
    }
    fixture.turn();
    assert!(!fixture.state().comp.is_asking());
}

/// A VM could take the pointer whenever it had the keyboard. Now it has to be allowed that, by the configuration or by the user, who
/// is asked once for each VM.
#[test]
fn a_vm_holds_the_pointer_only_if_the_configuration_or_the_user_allows_it() {
    for (yes, keys) in [(true, &["tab", "enter"][..]), (false, &["esc"])] {
        let mut fixture = Fixture::sized(800, 600, 1.0);
        let work = Party::new(&mut fixture, "work");
        work.point(&mut fixture, 20, 20);
        let object = work.lock(&mut fixture, None, Lifetime::Persistent);
        assert!(work.constraints(&mut fixture).is_empty(), "nobody has been asked yet");
        fixture.wait("a question", |fixture| fixture.state().comp.is_asking());
        answer(&mut fixture, keys);
        work.point(&mut fixture, 21, 20);
        assert_eq!(work.constraints(&mut fixture), if yes { vec!["locked"] } else { vec![] });
        assert_eq!(fixture.state().comp.held_hint().is_some(), yes);
        // The answer holds, and is about this VM alone.
        object.destroy();
        work.lock(&mut fixture, None, Lifetime::Persistent);
        work.point(&mut fixture, 22, 20);
        assert!(!fixture.state().comp.is_asking());
        let web = Party::new(&mut fixture, "web");
        // Away from who holds the pointer.
        fixture.chord(&["leftmeta", "tab"]);
        fixture.click(web.x + 5, web.y + 5);
        web.lock(&mut fixture, None, Lifetime::Persistent);
        fixture.wait("a question about the other", |fixture| fixture.state().comp.is_asking());
        // It goes with whoever wanted it.
        let shown = &fixture.client(web.who).told.shown[web.window];
        shown.toplevel.as_ref().unwrap().destroy();
        shown.xdg.destroy();
        shown.surface.destroy();
        fixture.roundtrip(web.who);
        fixture.wait("the end of the question", |fixture| !fixture.state().comp.is_asking());
    }

    let mut fixture = Fixture::ruled("[vm.work.input]\npointer_lock = \"deny\"\n", (800, 600), 1.0);
    let work = Party::new(&mut fixture, "work");
    work.point(&mut fixture, 20, 20);
    work.lock(&mut fixture, None, Lifetime::Persistent);
    work.point(&mut fixture, 30, 20);
    assert!(work.constraints(&mut fixture).is_empty() && !fixture.state().comp.is_asking());
    assert_eq!(work.pointer(&mut fixture), (30, 20));
}

/// Nobody could see that a VM held the pointer, nor how to take it back. A window that fills the screen does not cover it.
#[test]
fn the_stripe_says_who_holds_the_pointer_and_how_it_is_taken_back() {
    let mut fixture = allowing(800, 600, 1.0);
    let work = Party::new(&mut fixture, "work");
    work.point(&mut fixture, 20, 20);
    let stripe = |fixture: &mut Fixture| {
        let stripe = fixture.state().comp.shell.layout().stripe();
        let screen = fixture.screenshot();
        let rows = 0..stripe.size.h;
        let pixels = rows.flat_map(|y| (0..stripe.size.w).map(move |x| (x, y)));
        pixels.map(|(x, y)| screen.pixel(x, y)).collect::<Vec<_>>()
    };
    let free = stripe(&mut fixture);
    work.lock(&mut fixture, None, Lifetime::Persistent);
    let held = stripe(&mut fixture);
    assert!(fixture.state().comp.held_hint().unwrap().contains("logo with Escape"));
    assert_ne!(held, free);
    fixture.client(work.who).told.shown[work.window].toplevel.as_ref().unwrap().set_fullscreen(None);
    fixture.roundtrip(work.who);
    fixture.client(work.who).draw(work.window, 792, 540, [0xff, 0xff, 0xff, 0xff]);
    fixture.roundtrip(work.who);
    assert_eq!(stripe(&mut fixture), held);
    chord(&mut fixture, 1);
    fixture.roundtrip(work.who);
    assert_eq!(stripe(&mut fixture), free);
}
