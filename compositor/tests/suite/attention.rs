//! What clients say of their windows: names, pictures, and that they want attention.

use wayland_client::protocol::wl_buffer::WlBuffer;
use wayland_client::protocol::wl_shm::Format;
use wayland_client::protocol::wl_surface::WlSurface;
use wayland_client::{Connection, Dispatch, QueueHandle, delegate_noop};
use wayland_protocols::xdg::activation::v1::client::xdg_activation_token_v1::{self, XdgActivationTokenV1};
use wayland_protocols::xdg::activation::v1::client::xdg_activation_v1::XdgActivationV1;
use wayland_protocols::xdg::system_bell::v1::client::xdg_system_bell_v1::XdgSystemBellV1;
use wayland_protocols::xdg::toplevel_icon::v1::client::xdg_toplevel_icon_manager_v1::{
    self, XdgToplevelIconManagerV1,
};
use wayland_protocols::xdg::toplevel_icon::v1::client::xdg_toplevel_icon_v1::XdgToplevelIconV1;
use wayland_protocols::xdg::toplevel_tag::v1::client::xdg_toplevel_tag_manager_v1::XdgToplevelTagManagerV1;

use crate::client::Told;
use crate::fixture::{Fixture, WEB, WORK, Who, vm};

delegate_noop!(Told: ignore XdgActivationV1);
delegate_noop!(Told: ignore XdgToplevelIconV1);
delegate_noop!(Told: ignore XdgToplevelTagManagerV1);

impl Dispatch<XdgActivationTokenV1, ()> for Told {
    fn event(
        told: &mut Self,
        _: &XdgActivationTokenV1,
        event: xdg_activation_token_v1::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let xdg_activation_token_v1::Event::Done { token } = event {
            told.words.push(token);
        }
    }
}

impl Dispatch<XdgToplevelIconManagerV1, ()> for Told {
    fn event(
        told: &mut Self,
        _: &XdgToplevelIconManagerV1,
        event: xdg_toplevel_icon_manager_v1::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        told.words.push(format!("{event:?}"));
    }
}

const BLUE: [u8; 4] = [0, 0, 255, 255];

fn surface(fixture: &mut Fixture, who: Who, window: usize) -> WlSurface {
    fixture.client(who).told.shown[window].surface.clone()
}

fn listen(fixture: &mut Fixture, who: Who) {
    fixture.client(who).listen();
    fixture.roundtrip(who);
}

/// A token for the serial of the client's last press, or for none.
fn token(fixture: &mut Fixture, who: Who, serial: Option<u32>) -> String {
    let client = fixture.client(who);
    let token = client.bind::<XdgActivationV1>().get_activation_token(&client.queue, ());
    token.set_app_id("a".repeat(3000));
    if let Some(serial) = serial {
        token.set_serial(serial, &client.seat());
    }
    token.commit();
    fixture.roundtrip(who);
    fixture.client(who).told.words.pop().expect("every token is answered")
}

fn activate(fixture: &mut Fixture, who: Who, window: usize, token: &str) {
    let surface = surface(fixture, who, window);
    fixture.client(who).bind::<XdgActivationV1>().activate(token.to_owned(), &surface);
    fixture.roundtrip(who);
}

/// Widths of the focused window and of those that are marked.
fn state(fixture: &mut Fixture) -> (Option<i32>, Vec<i32>) {
    let report = fixture.report();
    let width = |window: &vitrail::render::scene::WindowReport| window.content.size.w;
    let focused = report.iter().find(|window| window.focused).map(width);
    (focused, report.iter().filter(|window| window.urgent).map(width).collect())
}

/// Clicks into the content of the window of this width, and returns the serial that its client was told.
fn press(fixture: &mut Fixture, who: Who, width: i32) -> u32 {
    let report = fixture.report();
    let content = report.iter().find(|window| window.content.size.w == width).unwrap().content;
    fixture.click(content.loc.x + 5, content.loc.y + 5);
    fixture.roundtrip(who);
    fixture.client(who).told.press
}

#[test]
fn a_program_that_is_used_lets_another_of_its_vm_have_the_focus_once() {
    let mut fixture = Fixture::sized(900, 600, 1.0);
    let (menu, program) = (fixture.connect(vm("work")), fixture.connect(vm("work")));
    let window = fixture.window(program, 200, 100, BLUE);
    let own = fixture.window(menu, 300, 150, BLUE);
    listen(&mut fixture, menu);
    let serial = press(&mut fixture, menu, 300);
    let good = token(&mut fixture, menu, Some(serial));
    assert_eq!(state(&mut fixture), (Some(300), vec![]));
    activate(&mut fixture, program, window, &good);
    assert_eq!(state(&mut fixture), (Some(200), vec![]));
    // A token moves the focus once; later it marks.
    press(&mut fixture, menu, 300);
    activate(&mut fixture, program, window, &good);
    assert_eq!(state(&mut fixture), (Some(300), vec![200]));
    // What the user looks at needs no mark, and loses it.
    activate(&mut fixture, menu, own, &good);
    assert_eq!(state(&mut fixture), (Some(300), vec![200]));
    press(&mut fixture, program, 200);
    assert_eq!(state(&mut fixture), (Some(200), vec![]));
}

#[test]
fn a_token_without_the_users_press_marks_and_does_no_more() {
    let mut fixture = Fixture::sized(900, 600, 1.0);
    let who = fixture.connect(vm("work"));
    let window = fixture.window(who, 200, 100, BLUE);
    fixture.window(who, 300, 150, BLUE);
    for serial in [None, Some(0), Some(u32::MAX)] {
        let token = token(&mut fixture, who, serial);
        activate(&mut fixture, who, window, &token);
        assert_eq!(state(&mut fixture), (Some(300), vec![200]), "{serial:?}");
    }
    for made_up in ["", "none"] {
        activate(&mut fixture, who, window, made_up);
        assert_eq!(state(&mut fixture), (Some(300), vec![200]));
    }
}

#[test]
fn no_token_takes_the_focus_from_another_vm() {
    let mut fixture = Fixture::sized(900, 600, 1.0);
    let (work, web) = (fixture.connect(vm("work")), fixture.connect(vm("web")));
    fixture.window(work, 300, 150, BLUE);
    let window = fixture.window(web, 200, 100, BLUE);
    listen(&mut fixture, work);
    listen(&mut fixture, web);
    // One that was good when the other VM was in use.
    let serial = press(&mut fixture, web, 200);
    let old = token(&mut fixture, web, Some(serial));
    let theirs = press(&mut fixture, work, 300);
    activate(&mut fixture, web, window, &old);
    assert_eq!(state(&mut fixture), (Some(300), vec![200]));
    // One of the VM that has the keyboard.
    let foreign = token(&mut fixture, work, Some(theirs));
    activate(&mut fixture, web, window, &foreign);
    assert_eq!(state(&mut fixture), (Some(300), vec![200]));
    // The same while the window's own VM is in use: it is still not its token.
    let other = fixture.window(web, 250, 120, BLUE);
    press(&mut fixture, web, 200);
    activate(&mut fixture, web, other, &foreign);
    assert_eq!(state(&mut fixture), (Some(200), vec![250]));
    press(&mut fixture, web, 250);
    let theirs = press(&mut fixture, work, 300);
    // One for a serial that was another VM's.
    let guessed = token(&mut fixture, web, Some(theirs));
    activate(&mut fixture, web, window, &guessed);
    assert_eq!(state(&mut fixture), (Some(300), vec![200]));
}

/// The colour of the mark, which no label may have.
const MARK: [u8; 4] = [0xff, 0xb3, 0x00, 0xff];

/// Whether the mark is in the title bar of the window of this width, and the label beside it.
fn marked(fixture: &mut Fixture, width: i32) -> bool {
    let window = fixture.report().into_iter().find(|window| window.content.size.w == width).unwrap();
    let screen = fixture.screenshot();
    screen.assert_ring(if window.vm == "work" { WORK } else { WEB }, window.frame, 4);
    let y = window.frame.loc.y + 6;
    let row = window.content.loc.x..window.content.loc.x + window.content.size.w;
    let chip = screen.pixel(row.start + 9, y);
    assert_eq!(chip, [255, 255, 255, 255], "the label comes first");
    row.into_iter().any(|x| screen.pixel(x, y) == MARK)
}

#[test]
fn a_window_that_wants_attention_says_so_on_its_frame_until_it_is_used() {
    let mut fixture = Fixture::sized(900, 600, 1.0);
    let (work, web) = (fixture.connect(vm("work")), fixture.connect(vm("web")));
    fixture.window(work, 300, 150, BLUE);
    let window = fixture.window(web, 200, 100, BLUE);
    assert!(marked(&mut fixture, 200), "it opened beside what is used");
    press(&mut fixture, web, 200);
    press(&mut fixture, work, 300);
    assert!(!marked(&mut fixture, 200));
    activate(&mut fixture, web, window, "made up");
    assert_eq!(state(&mut fixture), (Some(300), vec![200]));
    assert!(marked(&mut fixture, 200) && !marked(&mut fixture, 300));
    press(&mut fixture, web, 200);
    assert!(!marked(&mut fixture, 200));
}

/// A terminal rings behind another VM's window. The user sees where, the keyboard stays where it is, and a program that rings all
/// the time is marked once like any other.
#[test]
fn a_bell_marks_its_window_and_takes_nothing() {
    let mut fixture = Fixture::sized(900, 600, 1.0);
    let (work, web) = (fixture.connect(vm("work")), fixture.connect(vm("web")));
    let own = fixture.window(work, 300, 150, BLUE);
    let window = fixture.window(web, 200, 100, BLUE);
    press(&mut fixture, web, 200);
    press(&mut fixture, work, 300);
    let ring = |fixture: &mut Fixture, who: Who, window: usize| {
        let surface = surface(fixture, who, window);
        fixture.client(who).bind::<XdgSystemBellV1>().ring(Some(&surface));
        fixture.roundtrip(who);
    };
    ring(&mut fixture, work, own);
    assert_eq!(state(&mut fixture), (Some(300), vec![]), "what has the keyboard needs no mark");
    ring(&mut fixture, web, window);
    assert_eq!(state(&mut fixture), (Some(300), vec![200]));
    for _ in 0..20 {
        ring(&mut fixture, web, window);
    }
    press(&mut fixture, web, 200);
    press(&mut fixture, work, 300);
    // Its bells of this time are used up.
    ring(&mut fixture, web, window);
    assert_eq!(state(&mut fixture), (Some(300), vec![]));
}

#[test]
fn tokens_are_few_and_their_objects_are_used_once() {
    let mut fixture = Fixture::sized(900, 600, 1.0);
    let who = fixture.connect(vm("work"));
    fixture.window(who, 300, 150, BLUE);
    listen(&mut fixture, who);
    let serial = press(&mut fixture, who, 300);
    for _ in 0..200 {
        token(&mut fixture, who, Some(serial));
    }
    let kept = |fixture: &mut Fixture| fixture.state().comp.protocols.activation.tokens().count();
    assert_eq!(kept(&mut fixture), 32);
    let client = fixture.client(who);
    let twice = client.bind::<XdgActivationV1>().get_activation_token(&client.queue, ());
    twice.commit();
    twice.commit();
    fixture.wait("the end of the connection", |fixture| fixture.client(who).ended());
    assert_eq!(fixture.client(who).error(), Some(("xdg_activation_token_v1".to_owned(), 0)));
}

#[test]
fn tags_and_descriptions_are_kept_apart_and_cut() {
    let mut fixture = Fixture::new();
    let who = fixture.connect(vm("work"));
    let window = fixture.window(who, 100, 50, BLUE);
    let client = fixture.client(who);
    let toplevel = client.told.shown[window].toplevel.clone().unwrap();
    let tags = client.bind::<XdgToplevelTagManagerV1>();
    tags.set_toplevel_tag(&toplevel, "main window".to_owned());
    tags.set_toplevel_description(&toplevel, "The main window".to_owned());
    fixture.roundtrip(who);
    let words = |fixture: &mut Fixture| {
        let report = fixture.report();
        (report[0].tag.clone(), report[0].description.clone())
    };
    assert_eq!(words(&mut fixture), ("main window".to_owned(), "The main window".to_owned()));
    tags.set_toplevel_tag(&toplevel, "\u{e4}".repeat(1500));
    fixture.roundtrip(who);
    assert_eq!(words(&mut fixture), ("\u{e4}".repeat(512), "The main window".to_owned()));
}

/// A picture of one colour in a pool of its own.
fn picture(fixture: &mut Fixture, who: Who, w: i32, h: i32, color: [u8; 4]) -> WlBuffer {
    let (pool, buffer) = fixture.client(who).buffer(w, h, color);
    pool.destroy();
    buffer
}

struct Icons {
    fixture: Fixture,
    who: Who,
    window: usize,
    manager: XdgToplevelIconManagerV1,
}

impl Icons {
    fn new() -> Self {
        let mut fixture = Fixture::new();
        let who = fixture.connect(vm("web"));
        let window = fixture.window(who, 100, 50, BLUE);
        let manager = fixture.client(who).bind();
        Self { fixture, who, window, manager }
    }

    fn icon(&mut self, pictures: &[(i32, [u8; 4])]) -> (XdgToplevelIconV1, Vec<WlBuffer>) {
        let queue = self.fixture.client(self.who).queue.clone();
        let icon = self.manager.create_icon(&queue, ());
        let buffers = pictures.iter().map(|(side, color)| {
            let buffer = picture(&mut self.fixture, self.who, *side, *side, *color);
            icon.add_buffer(&buffer, 1);
            buffer
        });
        let buffers = buffers.collect();
        (icon, buffers)
    }

    fn set(&mut self, icon: Option<&XdgToplevelIconV1>) {
        let toplevel = self.fixture.client(self.who).told.shown[self.window].toplevel.clone().unwrap();
        self.manager.set_icon(&toplevel, icon);
        self.fixture.roundtrip(self.who);
    }

    fn commit(&mut self) {
        surface(&mut self.fixture, self.who, self.window).commit();
        self.fixture.roundtrip(self.who);
    }

    /// Side and first pixel of the icon that the window has.
    fn shown(&mut self) -> Option<(u32, [u8; 4])> {
        let window = self.fixture.state().comp.shell.bottom_up().next().unwrap();
        window.icon.as_ref().map(|icon| {
            assert_eq!(icon.bgra.len(), (icon.side * icon.side * 4) as usize);
            assert!(icon.bgra.chunks_exact(4).all(|pixel| *pixel == icon.bgra[..4]));
            (icon.side, icon.bgra[..4].try_into().unwrap())
        })
    }

    #[track_caller]
    fn ends(&mut self, interface: &str, code: u32) {
        let who = self.who;
        self.fixture.wait("the end of the connection", |fixture| fixture.client(who).ended());
        assert_eq!(self.fixture.client(who).error(), Some((interface.to_owned(), code)));
        let other = self.fixture.connect(vm("work"));
        self.fixture.window(other, 100, 50, BLUE);
    }
}

#[test]
fn an_icon_is_the_pixels_of_the_fitting_picture_from_the_commit_on() {
    let mut icons = Icons::new();
    icons.fixture.roundtrip(icons.who);
    assert_eq!(icons.fixture.client(icons.who).told.words, ["IconSize { size: 24 }", "Done"]);
    let red = [255, 0, 0, 255];
    let (icon, buffers) = icons.icon(&[(16, BLUE), (128, BLUE), (64, red), (300, BLUE)]);
    icon.set_name("security-high".to_owned());
    icons.set(Some(&icon));
    // Everything it was made of may go at once, and its memory be used again.
    icon.destroy();
    buffers.iter().for_each(WlBuffer::destroy);
    icons.fixture.roundtrip(icons.who);
    assert_eq!(icons.shown(), None, "not before it is committed");
    icons.commit();
    assert_eq!(icons.shown(), Some((64, [0, 0, 255, 255])));
    assert_eq!(icons.fixture.report()[0].icon, Some(64));
    icons.commit();
    assert_eq!(icons.shown(), Some((64, [0, 0, 255, 255])), "a commit without one changes nothing");
    // A name alone is no picture, and so the default.
    let (named, _) = icons.icon(&[]);
    named.set_name("security-high".to_owned());
    icons.set(Some(&named));
    icons.commit();
    assert_eq!(icons.shown(), None);
    let (small, _kept) = icons.icon(&[(16, BLUE), (32, red), (300, BLUE)]);
    icons.set(Some(&small));
    icons.commit();
    assert_eq!(icons.shown(), Some((32, [0, 0, 255, 255])), "the largest where all are small");
    icons.set(None);
    icons.commit();
    assert_eq!(icons.shown(), None);
}

/// Each time an icon was set, its pixels were copied: a quarter of a mebibyte for a request of sixteen bytes.
#[test]
fn an_icon_that_is_set_again_is_not_copied_again() {
    let mut icons = Icons::new();
    let (icon, _buffers) = icons.icon(&[(256, BLUE)]);
    let mut seen = Vec::new();
    for _ in 0..3 {
        icons.set(Some(&icon));
        icons.set(Some(&icon));
        icons.commit();
        let window = icons.fixture.state().comp.shell.bottom_up().next().unwrap();
        seen.push(window.icon.clone().unwrap());
    }
    assert!(seen.iter().all(|icon| std::sync::Arc::ptr_eq(icon, &seen[0])));
    // What no window has any more is kept by nobody.
    let kept = std::sync::Arc::downgrade(&seen[0]);
    drop(seen);
    icons.set(None);
    icons.commit();
    assert!(kept.upgrade().is_none());
    icons.set(Some(&icon));
    icons.commit();
    assert_eq!(icons.shown(), Some((256, [255, 0, 0, 255])));
}

#[test]
fn a_vm_that_has_ever_new_icons_copied_keeps_the_ones_it_has() {
    let mut icons = Icons::new();
    let red = [255, 0, 0, 255];
    let (first, _first_picture) = icons.icon(&[(64, red)]);
    let (second, _second_picture) = icons.icon(&[(64, BLUE)]);
    let toplevel = icons.fixture.client(icons.who).told.shown[icons.window].toplevel.clone().unwrap();
    // In turns, so that neither is there any more when it is set again.
    for _ in 0..vitrail::trust::limits::MAX_ICON_COPIES {
        icons.manager.set_icon(&toplevel, Some(&second));
        icons.manager.set_icon(&toplevel, Some(&first));
    }
    icons.commit();
    let shown = icons.shown();
    icons.set(Some(if shown == Some((64, [0, 0, 255, 255])) { &second } else { &first }));
    icons.commit();
    assert_eq!(icons.shown(), shown);
    assert!(!icons.fixture.client(icons.who).ended());
    // Another VM's are copied.
    let other = icons.fixture.connect(vm("work"));
    let window = icons.fixture.window(other, 100, 50, BLUE);
    let buffer = picture(&mut icons.fixture, other, 64, 64, BLUE);
    let client = icons.fixture.client(other);
    let manager: XdgToplevelIconManagerV1 = client.bind();
    let icon = manager.create_icon(&client.queue, ());
    icon.add_buffer(&buffer, 1);
    let shown = &client.told.shown[window];
    manager.set_icon(shown.toplevel.as_ref().unwrap(), Some(&icon));
    shown.surface.commit();
    icons.fixture.roundtrip(other);
    let with_icons = icons.fixture.report().iter().filter(|window| window.icon.is_some()).count();
    assert_eq!(with_icons, 2);
}

#[test]
fn an_icon_that_was_given_to_a_window_cannot_be_changed() {
    for by_name in [true, false] {
        let mut icons = Icons::new();
        let (icon, _buffers) = icons.icon(&[(64, BLUE)]);
        icons.set(Some(&icon));
        if by_name {
            icon.set_name("another".to_owned());
        } else {
            let more = picture(&mut icons.fixture, icons.who, 32, 32, BLUE);
            icon.add_buffer(&more, 1);
        }
        icons.ends("xdg_toplevel_icon_v1", 2);
    }
}

#[test]
fn pictures_that_are_no_square_or_gone_end_the_client() {
    let mut icons = Icons::new();
    let (icon, _) = icons.icon(&[]);
    let long = picture(&mut icons.fixture, icons.who, 32, 16, BLUE);
    icon.add_buffer(&long, 1);
    icons.ends("xdg_toplevel_icon_v1", 1);
    let mut icons = Icons::new();
    let (icon, buffers) = icons.icon(&[(64, BLUE), (32, BLUE)]);
    buffers.iter().for_each(WlBuffer::destroy);
    icons.set(Some(&icon));
    icons.ends("xdg_toplevel_icon_v1", 3);
}

#[test]
fn ever_more_pictures_and_scales_of_an_icon_are_left_out() {
    let mut icons = Icons::new();
    let (icon, buffers) = icons.icon(&[(64, BLUE)]);
    for scale in -2000..2000 {
        icon.add_buffer(&buffers[0], scale);
    }
    icon.add_buffer(&buffers[0], i32::MIN);
    icons.set(Some(&icon));
    icons.commit();
    assert_eq!(icons.shown(), Some((64, [255, 0, 0, 255])));
}

#[test]
fn an_icon_of_a_shortened_file_ends_its_client_alone() {
    let mut icons = Icons::new();
    let client = icons.fixture.client(icons.who);
    let (pool, file) = client.pool_and_file(&[0; 64 * 64 * 4], 64 * 64 * 4);
    let buffer = pool.create_buffer(0, 64, 64, 64 * 4, Format::Argb8888, &client.queue, ());
    let (icon, _) = icons.icon(&[]);
    icon.add_buffer(&buffer, 1);
    icons.fixture.roundtrip(icons.who);
    file.set_len(0).unwrap();
    icons.set(Some(&icon));
    icons.ends("wl_buffer", 2);
}
