//! Pictures of the output for local programs: what they show of each VM, who is asked, and who gets none.

mod pictures;
mod question;

use std::cell::OnceCell;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use smithay::utils::{Physical, Point, Rectangle};
use vitrail::config::{Config, Live};
use vitrail::input::pointer::BUTTON_LEFT;
use vitrail::render::prompt::Places;
use vitrail::trust::client::Privilege;
use vitrail::trust::consent::Answer;
use vitrail::trust::origin::Origin;
use wayland_client::protocol::wl_buffer::WlBuffer;
use wayland_client::protocol::wl_output::WlOutput;
use wayland_client::protocol::wl_shm::Format;
use wayland_client::{Connection, Dispatch, QueueHandle, delegate_noop};
use wayland_protocols_wlr::screencopy::v1::client::zwlr_screencopy_frame_v1::{self, ZwlrScreencopyFrameV1};
use wayland_protocols_wlr::screencopy::v1::client::zwlr_screencopy_manager_v1::ZwlrScreencopyManagerV1;

use crate::client::Told;
use crate::fixture::{Fixture, LOCAL, WEB, WORK, Who, vm};
use crate::session_lock;

const BLUE: [u8; 4] = [0, 0, 255, 255];
const YELLOW: [u8; 4] = [255, 255, 0, 255];
const GREEN: [u8; 4] = [0, 255, 0, 255];
const BLACK: [u8; 4] = [0, 0, 0, 255];
/// Of the stripe while somebody takes pictures.
pub const CAPTURING: [u8; 4] = [0xff, 0x5c, 0x5c, 0xff];
/// What buffers hold before something is written to them.
const UNTOUCHED: u8 = 0x77;
const ESCAPE: u32 = 1;
const TAB: u32 = 15;
const ENTER: u32 = 28;
const A: u32 = 30;
const META: u32 = 125;

delegate_noop!(Told: ignore ZwlrScreencopyManagerV1);

impl Dispatch<ZwlrScreencopyFrameV1, usize> for Told {
    fn event(
        told: &mut Self,
        _: &ZwlrScreencopyFrameV1,
        event: zwlr_screencopy_frame_v1::Event,
        index: &usize,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        use zwlr_screencopy_frame_v1::Event;
        let word = match event {
            Event::Buffer { width, height, stride, .. } => {
                assert_eq!(stride, width * 4);
                format!("buffer {width}x{height}")
            }
            Event::BufferDone => String::from("done"),
            Event::Damage { x, y, width, height } => format!("damage {x},{y} {width}x{height}"),
            Event::Ready { .. } => String::from("ready"),
            Event::Failed => String::from("failed"),
            _ => return,
        };
        told.words.push(format!("{index}: {word}"));
    }
}

/// The program of these tests takes pictures without being asked about.
const NAMED: &str = "[capture]\nallow = ['/proc/self/exe']\n";

fn config(more: &str, work: &str, web: &str) -> Live {
    let text = format!(
        "{more}[local]\ncolor = '#5f6368'\n[vm.work]\ncolor = '#2e7d32'\n{work}\n[vm.web]\ncolor = '#c62828'\n{web}\n\
         [background]\npicture = 'none'\nhint = false\n[animation]\nenabled = false\n"
    );
    Live::fixed(Config::parse(Path::new("test.toml"), &text).unwrap())
}

fn compositor(more: &str, work: &str) -> Fixture {
    Fixture::with(config(more, work, ""), (800, 600), 1.0)
}

/// A picture that was taken, as `fixture::Screen` has those of the screen.
struct Taken {
    file: File,
    width: i32,
    /// What is in it, once it was looked at.
    bytes: OnceCell<Vec<u8>>,
}

impl Taken {
    fn pixel(&self, x: i32, y: i32) -> [u8; 4] {
        let bytes = self.bytes.get_or_init(|| {
            let mut bytes = vec![0; self.file.metadata().unwrap().len() as usize];
            self.file.read_exact_at(&mut bytes, 0).unwrap();
            bytes
        });
        let at = ((y * self.width + x) * 4) as usize;
        [bytes[at + 2], bytes[at + 1], bytes[at], bytes[at + 3]]
    }

    #[track_caller]
    fn assert_solid(&self, what: &str, color: [u8; 4], rect: Rectangle<i32, Physical>) {
        for y in rect.loc.y..rect.loc.y + rect.size.h {
            for x in rect.loc.x..rect.loc.x + rect.size.w {
                assert_eq!(self.pixel(x, y), color, "{what}: {x},{y}");
            }
        }
    }
}

impl Fixture {
    /// A frame about the whole output, or a part of it.
    pub fn copy_frame(
        &mut self,
        who: Who,
        index: usize,
        pointer: bool,
        part: Option<[i32; 4]>,
    ) -> ZwlrScreencopyFrameV1 {
        let client = self.client(who);
        let manager: ZwlrScreencopyManagerV1 = client.bind();
        let (output, queue) = (client.bind::<WlOutput>(), client.queue.clone());
        let frame = match part {
            None => manager.capture_output(i32::from(pointer), &output, &queue, index),
            Some([x, y, w, h]) => {
                manager.capture_output_region(i32::from(pointer), &output, x, y, w, h, &queue, index)
            }
        };
        self.roundtrip(who);
        frame
    }

    fn sheet(&mut self, who: Who, w: i32, h: i32) -> (WlBuffer, Taken) {
        let client = self.client(who);
        let bytes = vec![UNTOUCHED; (w * h * 4) as usize];
        let (pool, file) = client.pool_and_file(&bytes, w * h * 4);
        let buffer = pool.create_buffer(0, w, h, w * 4, Format::Xrgb8888, &client.queue, ());
        (buffer, Taken { file, width: w, bytes: OnceCell::new() })
    }

    fn heard(&mut self, who: Who, word: &str) -> bool {
        self.client(who).told.words.iter().any(|other| other == word)
    }

    /// Takes a picture of the whole output.
    #[track_caller]
    fn shot(&mut self, who: Who, pointer: bool) -> Taken {
        let index = self.client(who).told.words.len();
        let frame = self.copy_frame(who, index, pointer, None);
        self.wait("the size", |fixture| fixture.heard(who, &format!("{index}: buffer 800x600")));
        let (buffer, taken) = self.sheet(who, 800, 600);
        frame.copy(&buffer);
        self.wait("the picture", |fixture| fixture.heard(who, &format!("{index}: ready")));
        frame.destroy();
        taken
    }

    /// Waits until a question is shown that takes an answer.
    #[track_caller]
    pub fn wait_question(&mut self) {
        self.wait("a question", |fixture| {
            let comp = &fixture.state().comp;
            comp.is_asking() && comp.question_takes_answer() && !comp.schedule.is_pending()
        });
    }

    fn tap_key(&mut self, code: u32) {
        self.state().input_key(code, true);
        self.state().input_key(code, false);
    }
}

/// A window of each VM, the one of `web` with a popup that reaches beyond it, and a local one.
fn desktop(fixture: &mut Fixture) -> (Who, Who) {
    let work = fixture.connect(vm("work"));
    fixture.client(work).listen();
    let window = fixture.window(work, 200, 100, BLUE);
    fixture.client(work).told.shown[window].toplevel.as_ref().unwrap().set_title("a secret title".into());
    let popup = fixture.client(work).create_popup(window, 180, 80, 60, 60);
    fixture.configured(work, popup, 0);
    fixture.client(work).draw(popup, 60, 60, BLUE);
    fixture.roundtrip(work);
    let web = fixture.connect(vm("web"));
    fixture.window(web, 200, 100, YELLOW);
    let local = fixture.connect(Origin::Local);
    fixture.window(local, 160, 60, GREEN);
    (local, work)
}

fn frame_of(fixture: &mut Fixture, name: &str) -> Rectangle<i32, Physical> {
    fixture.report().into_iter().find(|window| window.vm == name).unwrap().frame
}

fn content_of(fixture: &mut Fixture, name: &str) -> Rectangle<i32, Physical> {
    fixture.report().into_iter().find(|window| window.vm == name).unwrap().content
}

/// How many pixels of the output have a colour.
fn count(color: [u8; 4], pixel: impl Fn(i32, i32) -> [u8; 4]) -> usize {
    (0..600).flat_map(|y| (0..800).map(move |x| (x, y))).filter(|(x, y)| pixel(*x, *y) == color).count()
}

#[test]
fn a_picture_is_what_the_screen_shows_with_all_labels() {
    let mut fixture = compositor(NAMED, "");
    let (local, _) = desktop(&mut fixture);
    fixture.state().input_pointer_motion(700.0, 500.0);
    let taken = fixture.shot(local, false);
    // The stripe speaks of the picture by now, and the pointer is not in it.
    let screen = fixture.screenshot();
    for y in 24..600 {
        for x in 0..800 {
            let pointer = (700..730).contains(&x) && (500..530).contains(&y);
            assert!(pointer || taken.pixel(x, y) == screen.pixel(x, y), "{x},{y}");
        }
    }
    assert_ne!(screen.pixel(700, 500), taken.pixel(700, 500));
    assert_eq!(fixture.shot(local, true).pixel(700, 500), fixture.screenshot().pixel(700, 500));
    for color in [WORK, WEB, LOCAL] {
        assert!(count(color, |x, y| taken.pixel(x, y)) > 500);
    }
}

#[test]
fn a_part_of_the_output_is_that_part_of_the_picture() {
    let mut fixture = compositor(NAMED, "");
    let (local, _) = desktop(&mut fixture);
    let content = content_of(&mut fixture, "web");
    let part = [content.loc.x - 10, content.loc.y - 10, 50, 30];
    let frame = fixture.copy_frame(local, 0, false, Some(part));
    assert!(fixture.heard(local, "0: buffer 50x30") && fixture.heard(local, "0: done"));
    let (buffer, taken) = fixture.sheet(local, 50, 30);
    frame.copy(&buffer);
    fixture.wait("the picture", |fixture| fixture.heard(local, "0: ready"));
    let screen = fixture.screenshot();
    for (x, y) in (0..30).flat_map(|y| (0..50).map(move |x| (x, y))) {
        assert_eq!(taken.pixel(x, y), screen.pixel(part[0] + x, part[1] + y), "{x},{y}");
    }
    // Nothing is outside the output.
    fixture.copy_frame(local, 1, false, Some([900, 700, 50, 50]));
    assert!(fixture.heard(local, "1: failed") && !fixture.heard(local, "1: done"));
    fixture.copy_frame(local, 2, false, Some([790, 590, i32::MAX, i32::MAX]));
    assert!(fixture.heard(local, "2: buffer 10x10"));
}

/// The window, its popup beyond the window, its title, and its thumbnail while a window is chosen.
#[test]
fn a_black_vm_is_black_in_pictures_and_shown_on_the_screen() {
    let mut fixture = compositor(NAMED, "capture = 'black'");
    let (local, _) = desktop(&mut fixture);
    let (frame, content) = (frame_of(&mut fixture, "work"), content_of(&mut fixture, "work"));
    let taken = fixture.shot(local, false);
    let screen = fixture.screenshot();
    assert!(count(BLUE, |x, y| screen.pixel(x, y)) > 5000);
    assert_eq!(count(BLUE, |x, y| taken.pixel(x, y)), 0);
    let corner = Rectangle::new(content.loc, (40, 20).into());
    taken.assert_solid("content", BLACK, corner);
    assert!(count(WORK, |x, y| taken.pixel(x, y)) > 500, "the label stays");
    // The title is on the screen and not in the picture: beside the chip there is nothing but the label's colour.
    let beside = Rectangle::new(Point::from((frame.loc.x + 70, frame.loc.y + 5)), (50, 16).into());
    assert!(screen.other_than(WORK, beside).is_some());
    taken.assert_solid("title", WORK, beside);

    fixture.state().input_key(META, true);
    fixture.tap_key(TAB);
    let taken = fixture.shot(local, false);
    let screen = fixture.screenshot();
    assert_eq!(count(BLUE, |x, y| taken.pixel(x, y)), 0);
    assert!(count(BLUE, |x, y| screen.pixel(x, y)) > 5000);
    assert!(count(YELLOW, |x, y| taken.pixel(x, y)) > 5000);
}

#[test]
fn an_omitted_vm_is_not_in_pictures_at_all_and_not_in_the_stripe() {
    let mut fixture = compositor(NAMED, "capture = 'omit'");
    let (local, _) = desktop(&mut fixture);
    let frame = frame_of(&mut fixture, "work");
    fixture.click(frame.loc.x + 100, frame.loc.y + 10);
    let screen = fixture.screenshot();
    assert_eq!(screen.pixel(1, 1), WORK, "it has the keyboard");
    let taken = fixture.shot(local, false);
    assert_eq!(count(BLUE, |x, y| taken.pixel(x, y)), 0);
    assert_eq!(count(WORK, |x, y| taken.pixel(x, y)), 0);
    assert!(count(YELLOW, |x, y| taken.pixel(x, y)) > 5000, "what is behind it is in sight");
}

#[test]
fn a_locked_session_is_black_in_pictures() {
    let mut fixture = compositor(NAMED, "");
    let (local, _) = desktop(&mut fixture);
    let _lock = session_lock::lock(&mut fixture, local);
    fixture.client(local).told.words.clear();
    let taken = fixture.shot(local, true);
    assert_eq!(count(BLACK, |x, y| taken.pixel(x, y)), 800 * 600);
}

/// A picture of what has changed waits for that, and says where it is.
#[test]
fn a_picture_of_changes_waits_for_one() {
    let mut fixture = compositor(NAMED, "");
    let (local, work) = desktop(&mut fixture);
    let content = content_of(&mut fixture, "work");
    let part = [content.loc.x, content.loc.y, 200, 100];
    let take = |fixture: &mut Fixture, index: usize| {
        let frame = fixture.copy_frame(local, index, false, Some(part));
        let (buffer, _taken) = fixture.sheet(local, 200, 100);
        frame.copy_with_damage(&buffer);
        fixture.roundtrip(local);
    };
    take(&mut fixture, 0);
    fixture.wait("the first picture", |fixture| fixture.heard(local, "0: ready"));
    // The sign in the stripe, which comes with the first picture, is in front of everything: that is a change, once.
    let waits = (1..4).find(|index| {
        take(&mut fixture, *index);
        fixture.state().comp.schedule.request();
        fixture.wait("a frame", |fixture| !fixture.state().comp.schedule.is_pending());
        fixture.roundtrip(local);
        !fixture.heard(local, &format!("{index}: ready"))
    });
    let waits = waits.expect("a picture that waits");
    fixture.client(work).draw(0, 200, 100, YELLOW);
    fixture.wait("the next picture", |fixture| fixture.heard(local, &format!("{waits}: ready")));
    let damage = format!("{waits}: damage ");
    assert!(fixture.client(local).told.words.iter().any(|word| word.starts_with(&damage)));
}

#[test]
fn the_stripe_says_who_takes_pictures_and_for_more_than_a_second() {
    let mut fixture = compositor(NAMED, "");
    let (local, _) = desktop(&mut fixture);
    let capturing = |fixture: &mut Fixture| {
        let screen = fixture.screenshot();
        (0..800).any(|x| screen.pixel(x, 0) == CAPTURING)
    };
    assert!(!capturing(&mut fixture));
    fixture.shot(local, false);
    let start = std::time::Instant::now();
    assert!(capturing(&mut fixture));
    let frames = fixture.state().comp.schedule.frames();
    fixture.wait("the end of it", |fixture| !capturing(fixture));
    assert!(start.elapsed() >= std::time::Duration::from_secs(1));
    fixture.wait("the frame without it", |fixture| {
        let schedule = &fixture.state().comp.schedule;
        schedule.frames() > frames && !schedule.is_pending()
    });
    let drawn = fixture.state().comp.schedule.frames() - frames;
    assert!((1..6).contains(&drawn), "{drawn} frames to show it and take it away");
}

#[test]
fn nothing_is_told_before_the_user_says_yes_and_then_the_program_is_not_asked_about_again() {
    let mut fixture = compositor("", "");
    let (local, _) = desktop(&mut fixture);
    let frame = fixture.copy_frame(local, 0, false, None);
    fixture.wait_question();
    assert_eq!(fixture.client(local).told.words, [""; 0]);
    fixture.tap_key(TAB);
    fixture.tap_key(ENTER);
    fixture.wait("the size", |fixture| fixture.heard(local, "0: buffer 800x600"));
    frame.destroy();
    // Another process of the program, which here is another connection.
    let other = fixture.connect(Origin::Local);
    fixture.shot(other, false);
    // Until the configuration is read again.
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[vm.work]\ncolor = '#2e7d32'\n[vm.web]\ncolor = '#c62828'\n").unwrap();
    fixture.state().comp.config = Live::load(file.path()).unwrap();
    assert!(fixture.state().reload());
    let words = fixture.client(other).told.words.len();
    fixture.copy_frame(other, 9, false, None);
    fixture.wait_question();
    assert_eq!(fixture.client(other).told.words.len(), words);
}

#[test]
fn a_program_that_is_denied_gets_failed_and_nothing_else_and_does_not_ask_again() {
    for by_key in [true, false] {
        let mut fixture = compositor("", "");
        let (local, _) = desktop(&mut fixture);
        fixture.copy_frame(local, 0, false, None);
        fixture.wait_question();
        if by_key {
            fixture.tap_key(ESCAPE);
        } else {
            let place = Places::new(fixture.state().comp.shell.layout()).answers[0];
            fixture.click(place.loc.x + 5, place.loc.y + 5);
        }
        fixture.wait("the answer", |fixture| fixture.heard(local, "0: failed"));
        let other = fixture.connect(Origin::Local);
        let frame = fixture.copy_frame(other, 0, false, None);
        // It goes on as if it had been allowed.
        let (buffer, taken) = fixture.sheet(other, 800, 600);
        frame.copy(&buffer);
        fixture.roundtrip(other);
        fixture.state().comp.schedule.request();
        fixture.wait("a frame", |fixture| !fixture.state().comp.schedule.is_pending());
        assert_eq!(fixture.client(other).told.words, ["0: failed"]);
        assert!(!fixture.state().comp.is_asking());
        assert_eq!(count([UNTOUCHED; 4], |x, y| taken.pixel(x, y)), 800 * 600);
    }
}

#[test]
fn a_click_on_yes_allows() {
    let mut fixture = compositor("", "");
    let (local, _) = desktop(&mut fixture);
    fixture.copy_frame(local, 0, false, None);
    fixture.wait_question();
    let places = Places::new(fixture.state().comp.shell.layout());
    fixture.click(places.panel.loc.x + 5, places.panel.loc.y + 5);
    assert!(fixture.state().comp.is_asking(), "beside the answers there is none");
    let yes = places.answers[1];
    assert_eq!(places.answer_at(yes.loc), Some(Answer::Allow));
    fixture.click(yes.loc.x + 5, yes.loc.y + 5);
    fixture.wait("the size", |fixture| fixture.heard(local, "0: buffer 800x600"));
}

/// The question comes while the user types and clicks: what was meant for the window is no answer, and reaches nobody.
#[test]
fn what_was_meant_for_a_window_answers_no_question() {
    let mut fixture = compositor("", "");
    let (local, work) = desktop(&mut fixture);
    let frame = frame_of(&mut fixture, "work");
    fixture.click(frame.loc.x + 100, frame.loc.y + 60);
    fixture.wait("the keyboard", |fixture| fixture.client(work).told.keyboard.is_some());
    fixture.roundtrip(work);
    fixture.state().input_key(A, true);
    fixture.copy_frame(local, 0, false, None);
    fixture.wait("a question", |fixture| fixture.state().comp.is_asking());
    fixture.roundtrip(work);
    let before = (fixture.client(work).told.keys.len(), fixture.client(work).told.log.len());
    for _ in 0..3 {
        for key in [TAB, ENTER, ESCAPE] {
            fixture.tap_key(key);
        }
        let yes = Places::new(fixture.state().comp.shell.layout()).answers[1];
        fixture.click(yes.loc.x + 5, yes.loc.y + 5);
    }
    fixture.chord(&["leftmeta", "q"]);
    fixture.state().input_pointer_axis(0.0, 1.0);
    fixture.roundtrip(work);
    fixture.roundtrip(local);
    assert!(fixture.state().comp.is_asking());
    assert_eq!(fixture.client(local).told.words, [""; 0]);
    let after = (fixture.client(work).told.keys.len(), fixture.client(work).told.log.len());
    assert_eq!(after, before);
    // What was held before is released to whoever has it.
    fixture.state().input_key(A, false);
    fixture.roundtrip(work);
    assert_eq!(fixture.client(work).told.keys.last(), Some(&(A, false)));
    fixture.wait_question();
    fixture.tap_key(ESCAPE);
    fixture.wait("the answer", |fixture| fixture.heard(local, "0: failed"));
    fixture.state().input_key(A, true);
    fixture.roundtrip(work);
    assert_eq!(fixture.client(work).told.keys.last(), Some(&(A, true)), "the window has the keyboard again");
}

#[test]
fn the_question_covers_windows_and_not_the_stripe_and_is_in_no_picture() {
    let text = "[capture]\nallow = ['/proc/self/exe']\n";
    let mut fixture = compositor(text, "");
    let (local, _) = desktop(&mut fixture);
    let before = fixture.shot(local, false);
    fixture.state().comp.config = config("", "", "");
    fixture.copy_frame(local, 100, false, None);
    fixture.wait_question();
    let screen = fixture.screenshot();
    let panel = Places::new(fixture.state().comp.shell.layout()).panel;
    screen.assert_ring([255, 255, 255, 255], panel, 2);
    assert_eq!(screen.pixel(1, 1), [0x20, 0x21, 0x24, 0xff], "no window has the keyboard");
    // Somebody else may take pictures meanwhile.
    fixture.state().comp.config = config(NAMED, "", "");
    let after = fixture.shot(local, false);
    for y in 24..600 {
        for x in 0..800 {
            assert_eq!(after.pixel(x, y), before.pixel(x, y), "{x},{y}");
        }
    }
}

#[test]
fn a_question_goes_with_its_program_and_waits_for_a_locked_session() {
    let mut fixture = compositor("", "");
    let (local, _) = desktop(&mut fixture);
    let asker = fixture.connect(Origin::Local);
    let frame = fixture.copy_frame(asker, 0, false, None);
    fixture.wait_question();
    let lock = session_lock::lock(&mut fixture, local);
    assert!(!fixture.state().comp.is_asking());
    fixture.tap_key(ENTER);
    lock.unlock_and_destroy();
    fixture.roundtrip(local);
    fixture.wait("the question", |fixture| fixture.state().comp.is_asking());
    assert!(!fixture.state().comp.question_takes_answer());
    frame.destroy();
    fixture.roundtrip(asker);
    assert!(!fixture.state().comp.is_asking());
}

#[test]
fn frames_are_bounded_and_used_once() {
    let mut fixture = compositor(NAMED, "");
    let local = fixture.connect(Origin::Local);
    let frame = fixture.copy_frame(local, 0, false, Some([0, 0, 20, 10]));
    let (wrong, _) = fixture.sheet(local, 20, 11);
    frame.copy(&wrong);
    fixture.wait("the end of the connection", |fixture| fixture.client(local).ended());
    assert_eq!(fixture.client(local).error(), Some(("zwlr_screencopy_frame_v1".into(), 1)));
    let local = fixture.connect(Origin::Local);
    let frame = fixture.copy_frame(local, 0, false, Some([0, 0, 20, 10]));
    let (buffer, _) = fixture.sheet(local, 20, 10);
    frame.copy(&buffer);
    frame.copy(&buffer);
    fixture.wait("the end of the connection", |fixture| fixture.client(local).ended());
    assert_eq!(fixture.client(local).error(), Some(("zwlr_screencopy_frame_v1".into(), 0)));
    let local = fixture.connect(Origin::Local);
    let client = fixture.client(local);
    let (manager, output, queue): (ZwlrScreencopyManagerV1, WlOutput, _) =
        (client.bind(), client.bind(), client.queue.clone());
    for index in 0..=64 {
        manager.capture_output(0, &output, &queue, index);
    }
    fixture.wait("the end of the connection", |fixture| fixture.client(local).ended());
}

#[test]
fn neither_a_vm_nor_the_gate_takes_pictures_of_the_output() {
    let mut fixture = compositor(NAMED, "");
    let work = fixture.connect(vm("work"));
    let gate = fixture.connect_as(Origin::Local, Privilege::Gate);
    let local = fixture.connect(Origin::Local);
    for manager in ["zwlr_screencopy_manager_v1", "ext_output_image_capture_source_manager_v1"] {
        assert!(fixture.client(local).sees(manager));
        assert!(!fixture.client(work).sees(manager) && !fixture.client(gate).sees(manager));
    }
    // By its number neither.
    let name = fixture.client(local).name_of("zwlr_screencopy_manager_v1");
    fixture.client(work).bind_by_name::<ZwlrScreencopyManagerV1>(name);
    fixture.wait("the end of the connection", |fixture| fixture.client(work).ended());
}

/// A finger and the pen answer as a click does.
#[test]
fn a_finger_answers_and_its_lifting_reaches_nobody() {
    let mut fixture = compositor("", "");
    let (local, work) = desktop(&mut fixture);
    fixture.copy_frame(local, 0, false, None);
    fixture.wait_question();
    let before = fixture.client(work).told.log.len();
    let no = Places::new(fixture.state().comp.shell.layout()).answers[0];
    fixture.state().input_touch_down(0, f64::from(no.loc.x + 5), f64::from(no.loc.y + 5));
    fixture.state().input_touch_up(0);
    fixture.wait("the answer", |fixture| fixture.heard(local, "0: failed"));
    fixture.roundtrip(work);
    assert_eq!(fixture.client(work).told.log.len(), before);
    // A button that was pressed on the question is not released to a window.
    fixture.state().input_pointer_button(BUTTON_LEFT, false);
}
