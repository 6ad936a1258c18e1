//! Several outputs: what each shows, and what becomes of windows, layers and locks when they come and go.

use std::fs;

use smithay::utils::{Physical, Rectangle};
use vitrail::config::Live;
use vitrail::input::pointer::BUTTON_LEFT;
use vitrail::shell::outputs::{Head, OutputId, Settings};
use vitrail::trust::origin::Origin;
use wayland_client::protocol::wl_output::{self, WlOutput};
use wayland_client::protocol::wl_surface::{self, WlSurface};
use wayland_client::{Connection, Dispatch, Proxy, QueueHandle, delegate_noop};
use wayland_protocols::ext::session_lock::v1::client::ext_session_lock_manager_v1::ExtSessionLockManagerV1;
use wayland_protocols::xdg::xdg_output::zv1::client::zxdg_output_manager_v1::ZxdgOutputManagerV1;
use wayland_protocols::xdg::xdg_output::zv1::client::zxdg_output_v1::{self, ZxdgOutputV1};
use wayland_protocols_wlr::layer_shell::v1::client::zwlr_layer_shell_v1::{Layer, ZwlrLayerShellV1};
use wayland_protocols_wlr::layer_shell::v1::client::zwlr_layer_surface_v1::Anchor;

use crate::client::Told;
use crate::fixture::{Fixture, Screen, WEB, WORK, Who, vm};

const BLUE: [u8; 4] = [0, 0, 255, 255];
const YELLOW: [u8; 4] = [255, 255, 0, 255];
const GREEN: [u8; 4] = [0, 255, 0, 255];
/// Where nothing of a lock surface is.
const LOCKED: [u8; 4] = [15, 17, 23, 255];

/// What a client knows of outputs.
#[derive(Default)]
pub struct Seen {
    /// The globals that there are.
    pub names: Vec<u32>,
    /// What outputs said of themselves.
    pub said: Vec<String>,
    /// The sizes and refresh rates that they said they have.
    pub modes: Vec<(i32, i32, i32)>,
    /// What descriptions of outputs said.
    pub described: Vec<String>,
    /// What surfaces were told, by their numbers.
    pub surfaces: Vec<(u32, String)>,
}

impl Dispatch<WlOutput, ()> for Told {
    fn event(
        told: &mut Self,
        output: &WlOutput,
        event: wl_output::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        let id = output.id().protocol_id();
        match event {
            wl_output::Event::Name { name } => told.outputs.said.push(format!("{id} is {name}")),
            wl_output::Event::Scale { factor } => told.outputs.said.push(format!("{id} scale {factor}")),
            wl_output::Event::Mode { width, height, refresh, .. } => {
                told.outputs.modes.push((width, height, refresh));
            }
            wl_output::Event::Geometry { x, y, .. } => told.outputs.said.push(format!("{id} at {x},{y}")),
            _ => {}
        }
    }
}

impl Dispatch<ZxdgOutputV1, ()> for Told {
    fn event(
        told: &mut Self,
        _: &ZxdgOutputV1,
        event: zxdg_output_v1::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        told.outputs.described.push(match event {
            zxdg_output_v1::Event::LogicalPosition { x, y } => format!("at {x},{y}"),
            zxdg_output_v1::Event::LogicalSize { width, height } => format!("{width}x{height}"),
            zxdg_output_v1::Event::Name { name } => name,
            _ => return,
        });
    }
}

delegate_noop!(Told: ignore ZxdgOutputManagerV1);

impl Dispatch<WlSurface, ()> for Told {
    fn event(
        told: &mut Self,
        surface: &WlSurface,
        event: wl_surface::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        let said = match event {
            wl_surface::Event::Enter { output } => format!("enter {}", output.id().protocol_id()),
            wl_surface::Event::Leave { output } => format!("leave {}", output.id().protocol_id()),
            wl_surface::Event::PreferredBufferScale { factor } => format!("scale {factor}"),
            _ => return,
        };
        told.outputs.surfaces.push((surface.id().protocol_id(), said));
    }
}

fn head(name: &str, size: (i32, i32), scale: f64) -> Head {
    Head::virtual_one(name, size.into(), scale)
}

/// An output of 400x300 and right of it one of 800x600 at scale 2; the second one's number.
fn two() -> (Fixture, OutputId) {
    let mut fixture = Fixture::written_for("[defaults.privacy]\noutputs = \"real\"\n", (400, 300));
    assert!(fixture.state().connect_output(head("right", (800, 600), 2.0)));
    let right = output(&mut fixture, "right");
    (fixture, right)
}

fn output(fixture: &mut Fixture, name: &str) -> OutputId {
    fixture.state().comp.shell.outputs().named(name).unwrap().id
}

/// A picture of an output.
fn picture(fixture: &mut Fixture, output: OutputId) -> Screen {
    let vitrail::State { backend, comp, .. } = fixture.state();
    Screen(backend.screenshot_of(comp, output).unwrap())
}

/// A rectangle as seen from the corner of an output.
fn on(output: OutputId, rect: Rectangle<i32, Physical>) -> Rectangle<i32, Physical> {
    Rectangle::new(rect.loc - output.origin(), rect.size)
}

fn rect(x: i32, y: i32, w: i32, h: i32) -> Rectangle<i32, Physical> {
    Rectangle::new((x, y).into(), (w, h).into())
}

/// Puts the pointer to a place of an output.
fn point(fixture: &mut Fixture, output: OutputId, x: i32, y: i32) {
    let corner = output.origin();
    fixture.state().input_pointer_motion(f64::from(corner.x + x), f64::from(corner.y + y));
}

/// A window of `work` on the first output and, above it in the stack, one of `web` on the second, which has the keyboard.
fn a_window_on_each(fixture: &mut Fixture, right: OutputId) -> (Who, Who) {
    let work = fixture.connect(vm("work"));
    fixture.client(work).listen();
    fixture.window(work, 200, 100, BLUE);
    point(fixture, right, 700, 500);
    let web = fixture.connect(vm("web"));
    fixture.client(web).listen();
    fixture.window(web, 200, 100, YELLOW);
    let id = window(fixture, "web").0;
    fixture.state().comp.shell.activate(id);
    fixture.state().repaint();
    (work, web)
}

/// The window of a VM, the output it is on, and its frame.
fn window(
    fixture: &mut Fixture,
    vm: &str,
) -> (vitrail::shell::window::WindowId, OutputId, Rectangle<i32, Physical>) {
    let report = fixture.report();
    let window = report.iter().find(|window| window.vm == vm).unwrap();
    (window.id, window.output, window.frame)
}

#[test]
fn each_window_is_on_one_output_in_its_label_and_the_stripe_of_both_names_who_has_the_keyboard() {
    let (mut fixture, right) = two();
    a_window_on_each(&mut fixture, right);
    let (left, (_, _, work), (_, on_right, web)) =
        (picture(&mut fixture, OutputId::FIRST), window(&mut fixture, "work"), window(&mut fixture, "web"));
    assert_eq!(on_right, right);
    left.assert_ring(WORK, work, 4);
    let picture = picture(&mut fixture, right);
    assert_eq!((picture.0.width, picture.0.height), (800, 600));
    picture.assert_ring(WEB, on(right, web), 8);
    assert_eq!(web.size, (416, 264).into(), "as large as the scale of its output makes it");
    assert_eq!((left.pixel(240, 10), picture.pixel(480, 20)), (WEB, WEB), "whose the keyboard is");
    let everywhere = |screen: &Screen, color| screen.0.rgba.chunks(4).filter(|pixel| *pixel == color).count();
    assert_eq!(everywhere(&left, YELLOW), 0);
    assert_eq!(everywhere(&picture, BLUE), 0);
}

#[test]
fn a_window_is_dragged_from_one_output_to_the_other_and_its_client_learns_of_it() {
    let (mut fixture, right) = two();
    let work = fixture.connect(vm("work"));
    let names = fixture.client(work).told.outputs.names.clone();
    assert_eq!(names.len(), 2);
    let outputs = names.iter().map(|name| fixture.client(work).bind_output(*name)).collect::<Vec<_>>();
    fixture.roundtrip(work);
    let [first, second] = [0, 1].map(|index: usize| outputs[index].id().protocol_id());
    let said = &fixture.client(work).told.outputs.said;
    for line in [
        format!("{first} is vitrail-1"),
        format!("{second} is right"),
        format!("{second} scale 2"),
        format!("{second} at 400,0"),
    ] {
        assert!(said.contains(&line), "{line} is missing in {said:?}");
    }
    let shown = fixture.window(work, 200, 100, BLUE);
    let (_, _, frame) = window(&mut fixture, "work");
    let surface = fixture.client(work).told.shown[shown].surface.id().protocol_id();
    let heard = |fixture: &mut Fixture| -> Vec<String> {
        fixture.roundtrip(work);
        let told = std::mem::take(&mut fixture.client(work).told.outputs.surfaces);
        told.into_iter().filter(|(id, _)| *id == surface).map(|(_, said)| said).collect()
    };
    let before = heard(&mut fixture);
    assert!(before.contains(&format!("enter {first}")), "{before:?}");
    point(&mut fixture, OutputId::FIRST, frame.loc.x + 150, frame.loc.y + 10);
    fixture.state().input_pointer_button(BUTTON_LEFT, true);
    // Over the right edge, in two steps.
    fixture.state().input_pointer_motion_by(150.0, 60.0);
    assert_eq!(window(&mut fixture, "work").1, OutputId::FIRST);
    fixture.state().input_pointer_motion_by(250.0, 0.0);
    fixture.state().input_pointer_button(BUTTON_LEFT, false);
    let (_, output, moved) = window(&mut fixture, "work");
    assert_eq!((output, moved.size), (right, (416, 264).into()));
    let after = heard(&mut fixture);
    for line in [format!("enter {second}"), format!("leave {first}"), String::from("scale 2")] {
        assert!(after.contains(&line), "{line} is missing in {after:?}");
    }
    let mut screen = picture(&mut fixture, right);
    screen.assert_ring(WORK, on(right, moved), 8);
    assert!(!picture(&mut fixture, OutputId::FIRST).0.rgba.chunks(4).any(|pixel| pixel == BLUE));
    // The hand is still where it took hold of the title bar: another press moves it on.
    let pointer = fixture.state().comp.input.visible_pointer().unwrap();
    assert!(moved.contains(pointer), "{moved:?} under {pointer:?}");
    screen = picture(&mut fixture, right);
    assert_eq!(screen.pixel(480, 20), WORK);
}

#[test]
fn what_is_unplugged_leaves_its_windows_to_another_output_and_gets_them_back() {
    let (mut fixture, right) = two();
    let (_, web) = a_window_on_each(&mut fixture, right);
    let before = window(&mut fixture, "web");
    fixture.roundtrip(web);
    assert_eq!(fixture.client(web).told.outputs.names.len(), 2);
    fixture.state().disconnect_output("right");
    fixture.state().comp.shell.check();
    let (_, output, frame) = window(&mut fixture, "web");
    assert_eq!(output, OutputId::FIRST);
    picture(&mut fixture, OutputId::FIRST).assert_ring(WEB, frame, 4);
    fixture.roundtrip(web);
    assert_eq!(fixture.client(web).told.outputs.names.len(), 1);
    let pointer = fixture.state().comp.input.visible_pointer().unwrap();
    assert!(rect(0, 0, 400, 300).contains(pointer), "the pointer is on an output");
    assert!(fixture.client(web).told.keyboard.is_some(), "the keyboard stays");
    assert!(fixture.state().connect_output(head("right", (800, 600), 2.0)));
    assert_eq!(window(&mut fixture, "web"), before);
    fixture.roundtrip(web);
    assert_eq!(fixture.client(web).told.outputs.names.len(), 2);
    fixture.state().repaint();
    picture(&mut fixture, right).assert_ring(WEB, on(right, before.2), 8);
}

/// Where the pointer was when a resize began is a place of the output that is gone; the window grew by the distance to there.
#[test]
fn a_window_in_the_users_hand_is_let_go_when_its_output_is_unplugged() {
    let (mut fixture, right) = two();
    let (_, web) = a_window_on_each(&mut fixture, right);
    let ring = on(right, window(&mut fixture, "web").2);
    point(&mut fixture, right, ring.loc.x + ring.size.w - 2, ring.loc.y + ring.size.h - 2);
    fixture.state().input_pointer_button(BUTTON_LEFT, true);
    let asked = |fixture: &mut Fixture, by: f64| {
        fixture.roundtrip(web);
        let before = fixture.client(web).configures(0).len();
        fixture.state().input_pointer_motion_by(by, by);
        fixture.roundtrip(web);
        fixture.client(web).configures(0).len() - before
    };
    assert_eq!(asked(&mut fixture, 20.0), 1, "it is resized");
    fixture.state().disconnect_output("right");
    fixture.roundtrip(web);
    assert_eq!(asked(&mut fixture, -50.0), 0);
}

#[test]
fn the_pointer_goes_over_the_edge_that_two_outputs_share_and_stops_at_the_others() {
    let (mut fixture, right) = two();
    let at = |fixture: &mut Fixture| {
        let pixel = fixture.state().comp.input.visible_pointer().unwrap();
        let output = OutputId::at(pixel);
        let place = pixel - output.origin();
        (output, place.x, place.y)
    };
    point(&mut fixture, OutputId::FIRST, 390, 100);
    fixture.state().input_pointer_motion_by(20.0, 0.0);
    assert_eq!(at(&mut fixture), (right, 20, 200), "as far as it is seen, at the scale there");
    fixture.state().input_pointer_motion_by(0.0, -10_000.0);
    assert_eq!(at(&mut fixture), (right, 20, 0));
    fixture.state().input_pointer_motion_by(10_000.0, 500.0);
    assert_eq!(at(&mut fixture), (right, 799, 500));
    fixture.state().input_pointer_motion_by(-900.0, 0.0);
    assert_eq!(at(&mut fixture), (OutputId::FIRST, 349, 250));
    fixture.state().input_pointer_motion_by(-10_000.0, 0.0);
    assert_eq!(at(&mut fixture), (OutputId::FIRST, 0, 250));
}

#[test]
fn a_workspace_is_changed_on_the_output_where_it_is_clicked_and_on_no_other() {
    let mut fixture = Fixture::written("");
    assert!(fixture.state().connect_output(head("right", (800, 600), 1.0)));
    let right = output(&mut fixture, "right");
    let work = fixture.connect(vm("work"));
    fixture.window(work, 200, 100, BLUE);
    picture(&mut fixture, OutputId::FIRST);
    picture(&mut fixture, right);
    let second = |fixture: &mut Fixture| {
        let decor = &fixture.state().comp.decor;
        let row = (0..800).map(|x| (right.origin().x + x, 12).into());
        row.into_iter().find(|point| decor.workspace_at(*point) == Some(1)).unwrap()
    };
    let place: smithay::utils::Point<i32, Physical> = second(&mut fixture);
    fixture.click(place.x, place.y);
    let current = |fixture: &mut Fixture, output| {
        fixture.state().comp.shell.outputs().of(output).workspaces().current()
    };
    assert_eq!((current(&mut fixture, OutputId::FIRST), current(&mut fixture, right)), (0, 1));
    assert_eq!(fixture.report().len(), 1, "the window of the other output is still there");
    // What opens now opens where the user is.
    let web = fixture.connect(vm("web"));
    fixture.window(web, 200, 100, YELLOW);
    assert_eq!(window(&mut fixture, "web").1, right);
}

#[test]
fn a_bar_is_on_the_output_that_it_names_and_is_closed_when_that_is_unplugged() {
    let (mut fixture, right) = two();
    let local = fixture.connect(Origin::Local);
    let name = fixture.client(local).told.outputs.names[1];
    let client = fixture.client(local);
    let (surface, queue, named) = (client.surface(), client.queue.clone(), client.bind_output(name));
    let shell: ZwlrLayerShellV1 = client.bind();
    let bar = shell.get_layer_surface(&surface, Some(&named), Layer::Top, String::new(), &queue, true);
    bar.set_anchor(Anchor::Top | Anchor::Left | Anchor::Right);
    bar.set_size(0, 30);
    bar.set_exclusive_zone(30);
    surface.commit();
    let heard = |fixture: &mut Fixture, word: &str| {
        fixture.client(local).told.words.iter().any(|other| other == word)
    };
    fixture.wait("the place", |fixture| heard(fixture, "400 30"));
    fixture.client(local).draw_on(&surface, 400, 30, GREEN);
    fixture.roundtrip(local);
    picture(&mut fixture, right).assert_solid("the bar", GREEN, rect(2, 50, 796, 56));
    assert!(!picture(&mut fixture, OutputId::FIRST).0.rgba.chunks(4).any(|pixel| pixel == GREEN));
    let area =
        |fixture: &mut Fixture, output| on(output, fixture.state().comp.shell.layout_on(output).work_area());
    assert_eq!(area(&mut fixture, right), rect(0, 108, 800, 492));
    assert_eq!(area(&mut fixture, OutputId::FIRST), rect(0, 24, 400, 276));
    fixture.state().disconnect_output("right");
    fixture.wait("its end", |fixture| heard(fixture, "closed"));
    assert!(!picture(&mut fixture, OutputId::FIRST).0.rgba.chunks(4).any(|pixel| pixel == GREEN));
}

#[test]
fn a_lock_is_told_when_no_output_shows_windows_and_an_output_that_comes_later_shows_none() {
    let (mut fixture, right) = two();
    let (work, web) = a_window_on_each(&mut fixture, right);
    let local = fixture.connect(Origin::Local);
    let names = fixture.client(local).told.outputs.names.clone();
    let client = fixture.client(local);
    let (queue, surface) = (client.queue.clone(), client.surface());
    let lock = client.bind::<ExtSessionLockManagerV1>().lock(&queue, ());
    fixture.wait("the lock", |fixture| fixture.client(local).told.words.iter().any(|word| word == "locked"));
    // Told after both were drawn, and not before.
    let state = fixture.state();
    for output in [OutputId::FIRST, right] {
        let drawn = Screen(state.backend.last_frame_of(output).unwrap().unwrap());
        assert!(!drawn.0.rgba.chunks(4).any(|pixel| pixel == BLUE || pixel == YELLOW));
    }
    let named = fixture.client(local).bind_output(names[1]);
    let role = lock.get_lock_surface(&surface, &named, &queue, true);
    fixture.roundtrip(local);
    assert_eq!(fixture.client(local).told.words.last().unwrap(), "400x276", "the size of its output");
    fixture.client(local).draw_on(&surface, 400, 276, GREEN);
    fixture.roundtrip(local);
    picture(&mut fixture, right).assert_solid("the lock", GREEN, rect(2, 50, 690, 440));
    picture(&mut fixture, OutputId::FIRST).assert_solid("no surface", LOCKED, rect(0, 24, 380, 250));
    assert!(fixture.state().connect_output(head("late", (640, 480), 1.0)));
    let late = output(&mut fixture, "late");
    picture(&mut fixture, late).assert_solid("an output that came later", LOCKED, rect(0, 24, 640, 456));
    // Another size is told, and the one before is right until that is acknowledged.
    let scale = Settings { scale: Some(1.0), ..Settings::default() };
    fixture.state().change_outputs(|outputs| outputs.change(right, &scale));
    fixture.roundtrip(local);
    assert_eq!(fixture.client(local).told.words.last().unwrap(), "800x576");
    fixture.client(local).draw_on(&surface, 800, 576, GREEN);
    fixture.roundtrip(local);
    assert_eq!(fixture.client(local).error(), None);
    picture(&mut fixture, right).assert_solid("the lock", GREEN, rect(0, 24, 690, 470));
    fixture.state().disconnect_output("right");
    picture(&mut fixture, OutputId::FIRST).assert_solid("no surface", LOCKED, rect(0, 24, 380, 250));
    lock.unlock_and_destroy();
    role.destroy();
    fixture.roundtrip(local);
    assert_eq!(fixture.report().len(), 2);
    let _ = (work, web);
}

#[test]
fn a_maximised_window_fills_its_own_output_and_a_popup_stays_on_it() {
    let (mut fixture, right) = two();
    let (_, web) = a_window_on_each(&mut fixture, right);
    let popup = fixture.client(web).create_popup(0, 190, 80, 150, 150);
    fixture.configured(web, popup, 0);
    fixture.client(web).draw(popup, 150, 150, GREEN);
    fixture.roundtrip(web);
    assert!(!picture(&mut fixture, OutputId::FIRST).0.rgba.chunks(4).any(|pixel| pixel == GREEN));
    let drawn = picture(&mut fixture, right).0.rgba.chunks(4).filter(|pixel| *pixel == GREEN).count();
    // All of it at the scale of its output, but for its edges, which mix with what is around.
    assert!((296 * 296..=300 * 300).contains(&drawn), "{drawn}");
    fixture.client(web).told.shown[0].toplevel.as_ref().unwrap().set_fullscreen(None);
    fixture.roundtrip(web);
    assert_eq!(on(right, window(&mut fixture, "web").2), rect(0, 48, 800, 552));
    assert_eq!(fixture.client(web).configures(0).last().unwrap().size, (392, 244));
}

/// A compositor of two outputs whose configuration is a file.
fn written(more: &str) -> (Fixture, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("vitrail.toml"), text(more)).unwrap();
    let config = Live::load(&directory.path().join("vitrail.toml")).unwrap();
    let mut fixture = Fixture::configured_as(config);
    assert!(fixture.state().connect_output(head("right", (800, 600), 2.0)));
    (fixture, directory)
}

fn text(more: &str) -> String {
    format!("[vm.work]\ncolor = \"#2e7d32\"\n[vm.web]\ncolor = \"#c62828\"\n[output.right]\n{more}\n")
}

#[test]
fn every_option_of_an_output_changes_it_with_a_reload() {
    let (mut fixture, directory) = written("");
    let mut reload = |more: &str| {
        fs::write(directory.path().join("vitrail.toml"), text(more)).unwrap();
        assert!(fixture.state().reload(), "{more}");
        let right = fixture.state().comp.shell.outputs().named("right").unwrap();
        let place = right.logical();
        (right.in_use, right.layout.output, (place.loc.x, place.loc.y), (place.size.w, place.size.h))
    };
    let usual = (true, (800, 600).into(), (400, 0), (400, 300));
    assert_eq!(reload(""), usual);
    assert_eq!(reload("position = [-400, 20]"), (true, (800, 600).into(), (-400, 20), (400, 300)));
    assert_eq!(reload("scale = 1.25"), (true, (800, 600).into(), (400, 0), (640, 480)));
    assert_eq!(reload("transform = \"90\""), (true, (600, 800).into(), (400, 0), (300, 400)));
    assert_eq!(reload("mode = \"1024x768\""), (true, (1024, 768).into(), (400, 0), (512, 384)));
    assert!(!reload("enabled = false").0);
    assert_eq!(reload(""), usual);
    let right = output(&mut fixture, "right");
    assert_eq!(picture(&mut fixture, right).0.width, 800);
}

#[test]
fn windows_of_an_output_that_the_configuration_switches_off_are_on_the_other_one() {
    let (mut fixture, directory) = written("");
    let right = output(&mut fixture, "right");
    a_window_on_each(&mut fixture, right);
    fs::write(directory.path().join("vitrail.toml"), text("enabled = false")).unwrap();
    assert!(fixture.state().reload());
    assert_eq!(window(&mut fixture, "web").1, OutputId::FIRST);
    fs::write(directory.path().join("vitrail.toml"), text("")).unwrap();
    assert!(fixture.state().reload());
    assert_eq!(window(&mut fixture, "web").1, right);
}
