//! Sessions of local programs: of the output, and of windows with their labels.

use vitrail::trust::client::Privilege;
use wayland_client::protocol::wl_output::WlOutput;
use wayland_protocols::ext::image_capture_source::v1::client::ext_output_image_capture_source_manager_v1::ExtOutputImageCaptureSourceManagerV1;

use super::*;
use crate::fixture::WORK;

delegate_noop!(Told: ignore ExtOutputImageCaptureSourceManagerV1);

/// The program of these tests takes pictures without being asked about.
const NAMED: &str = "[capture]\nallow = ['/proc/self/exe']\n";

fn local_compositor(more: &str, work: &str) -> Fixture {
    let text = format!(
        "{more}[vm.work]\ncolor = '#2e7d32'\n{work}\n[vm.web]\ncolor = '#c62828'\n[local]\ncolor = '#5f6368'\n\
         [background]\npicture = 'none'\nhint = false\n[animation]\nenabled = false\n"
    );
    Fixture::with(Live::fixed(Config::parse(Path::new("test.toml"), &text).unwrap()), (400, 300), 1.0)
}

fn output_session(fixture: &mut Fixture, who: Who) -> (ExtImageCopyCaptureSessionV1, usize) {
    let client = fixture.client(who);
    let manager: ExtOutputImageCaptureSourceManagerV1 = client.bind();
    let output: WlOutput = client.bind();
    let source = manager.create_source(&output, &client.queue, ());
    fixture.session_with(who, &source, Options::empty())
}

fn is_capturing(fixture: &mut Fixture) -> bool {
    let screen = fixture.screenshot();
    (0..400).any(|x| screen.pixel(x, 0) == crate::screencopy::CAPTURING)
}

#[test]
fn a_session_of_the_output_follows_the_screen_and_shows_the_sign_until_it_ends() {
    let mut fixture = local_compositor(NAMED, "");
    let (local, work) = (fixture.connect(Origin::Local), fixture.connect(vm("work")));
    fixture.window(work, 200, 100, RED);
    let (session, index) = output_session(&mut fixture, local);
    assert_eq!(fixture.client(local).told.seen.sessions[index].sizes, [(400, 300)]);
    assert!(!is_capturing(&mut fixture), "no picture was taken yet");
    let paper = fixture.paper(local, 400, 300);
    fixture.take(local, &session, &paper);
    let screen = fixture.screenshot();
    for (x, y) in (24..300).flat_map(|y| (0..400).map(move |x| (x, y))) {
        assert_eq!(paper.pixel(x, y), screen.pixel(x, y), "{x},{y}");
    }
    assert!(is_capturing(&mut fixture));
    // With the sign, once; then it waits for the VM.
    fixture.take(local, &session, &paper);
    let (frame, later) = fixture.ask(local, &session, &paper);
    fixture.roundtrip(local);
    fixture.client(work).draw(0, 200, 100, BLUE);
    assert_eq!(fixture.end_of(local, later), Ok(()));
    let content = fixture.report()[0].content;
    paper.assert_solid(BLUE, (content.loc.x, content.loc.y, content.size.w, content.size.h));
    frame.destroy();
    session.destroy();
    fixture.wait("the end of the sign", |fixture| !is_capturing(fixture));
}

#[test]
fn a_local_picture_of_a_vms_window_has_its_label() {
    for (rule, content) in [("", RED), ("capture = 'black'", BLACK)] {
        let mut fixture = local_compositor(NAMED, rule);
        let (local, work) = (fixture.connect(Origin::Local), fixture.connect(vm("work")));
        fixture.window(work, 200, 100, RED);
        let frame = fixture.report()[0].frame.size;
        let (session, index) = fixture.session(local);
        let size = (frame.w as u32, frame.h as u32);
        assert_eq!(fixture.client(local).told.seen.sessions[index].sizes, [size]);
        let paper = fixture.paper(local, frame.w, frame.h);
        fixture.take(local, &session, &paper);
        for rect in [(0, 0, frame.w, 4), (0, frame.h - 4, frame.w, 4), (0, 0, 4, frame.h)] {
            paper.assert_solid(WORK, rect);
        }
        paper.assert_solid(content, (4, 28, 200, 100));
        // The next one waits for a change, and has it.
        let (object, later) = fixture.ask(local, &session, &paper);
        fixture.roundtrip(local);
        fixture.client(work).draw(0, 220, 100, BLUE);
        assert_eq!(fixture.end_of(local, later), Err(FailureReason::BufferConstraints));
        object.destroy();
    }
}

#[test]
fn an_omitted_vms_window_gives_a_local_program_no_session() {
    let mut fixture = local_compositor(NAMED, "capture = 'omit'");
    let (local, work) = (fixture.connect(Origin::Local), fixture.connect(vm("work")));
    fixture.window(work, 200, 100, RED);
    let (_session, index) = fixture.session(local);
    let session = &fixture.client(local).told.seen.sessions[index];
    assert!(session.stopped && session.sizes.is_empty());
}

#[test]
fn a_program_that_is_denied_is_told_that_its_session_has_stopped_and_nothing_else() {
    let mut fixture = local_compositor("", "");
    let (local, work) = (fixture.connect(Origin::Local), fixture.connect(vm("work")));
    fixture.window(work, 200, 100, RED);
    let (session, index) = output_session(&mut fixture, local);
    // A buffer that would fit, before anything was told.
    let paper = fixture.paper(local, 400, 300);
    let (frame, early) = fixture.ask(local, &session, &paper);
    assert_eq!(fixture.end_of(local, early), Err(FailureReason::BufferConstraints));
    frame.destroy();
    fixture.wait_question();
    let told = &fixture.client(local).told.seen.sessions[index];
    assert!(!told.stopped && told.sizes.is_empty() && told.done == 0);
    fixture.chord(&["esc"]);
    fixture.wait("the answer", |fixture| fixture.client(local).told.seen.sessions[index].stopped);
    let (_frame, late) = fixture.ask(local, &session, &paper);
    assert_eq!(fixture.end_of(local, late), Err(FailureReason::Stopped));
    assert!(fixture.client(local).told.seen.sessions[index].sizes.is_empty());
    paper.assert_solid(UNTOUCHED, paper.whole());
    let (_other, index) = output_session(&mut fixture, local);
    assert!(fixture.client(local).told.seen.sessions[index].stopped);
    assert!(!fixture.state().comp.is_asking());
}

#[test]
fn reading_the_configuration_again_ends_the_sessions_that_the_user_allowed() {
    let mut fixture = local_compositor("", "");
    let local = fixture.connect(Origin::Local);
    let (session, index) = output_session(&mut fixture, local);
    fixture.wait_question();
    fixture.chord(&["tab"]);
    fixture.chord(&["enter"]);
    fixture.wait("the size", |fixture| fixture.client(local).told.seen.sessions[index].done == 1);
    let paper = fixture.paper(local, 400, 300);
    fixture.take(local, &session, &paper);
    assert!(fixture.state().reload());
    fixture.wait("the end", |fixture| fixture.client(local).told.seen.sessions[index].stopped);
}

#[test]
fn the_gate_takes_no_pictures_of_windows() {
    let mut fixture = local_compositor(NAMED, "");
    let work = fixture.connect(vm("work"));
    fixture.window(work, 200, 100, RED);
    let gate = fixture.connect_as(Origin::Local, Privilege::Gate);
    let (_session, index) = fixture.session(gate);
    assert!(fixture.client(gate).told.seen.sessions[index].stopped);
    assert!(!fixture.state().comp.is_asking());
}

/// The window is gone before anybody has said whether there may be pictures of it.
#[test]
fn a_question_about_a_window_goes_with_the_window() {
    let mut fixture = local_compositor("", "");
    let (local, work) = (fixture.connect(Origin::Local), fixture.connect(vm("work")));
    let window = fixture.window(work, 200, 100, RED);
    let (_session, index) = fixture.session(local);
    fixture.wait("a question", |fixture| fixture.state().comp.is_asking());
    let shown = &fixture.client(work).told.shown[window];
    shown.toplevel.as_ref().unwrap().destroy();
    shown.xdg.destroy();
    fixture.wait("the end of the question", |fixture| !fixture.state().comp.is_asking());
    fixture.roundtrip(local);
    assert!(fixture.client(local).told.seen.sessions[index].stopped);
}

/// That a VM hides the pointer over its window is its word, which a picture tells by its rule.
#[test]
fn the_pointer_over_a_black_window_is_in_its_picture_whatever_the_vm_makes_of_it() {
    for (rule, color, hidden) in [("", RED, true), ("capture = 'black'", BLACK, false)] {
        let mut fixture = local_compositor(NAMED, rule);
        let (local, work) = (fixture.connect(Origin::Local), fixture.connect(vm("work")));
        let client = fixture.client(work);
        let (seat, queue) = (client.seat(), client.queue.clone());
        let pointer = seat.get_pointer(&queue, ());
        fixture.window(work, 200, 100, RED);
        let report = fixture.report().remove(0);
        let (frame, content) = (report.frame, report.content);
        fixture.click(content.loc.x + 100, content.loc.y + 50);
        fixture.roundtrip(work);
        pointer.set_cursor(fixture.client(work).told.enter, None, 0, 0);
        fixture.roundtrip(work);
        fixture.list(local);
        let source = fixture.source(local, 0);
        let (session, _) = fixture.session_with(local, &source, Options::PaintCursors);
        let paper = fixture.paper(local, frame.size.w, frame.size.h);
        fixture.take(local, &session, &paper);
        let corner = content.loc - frame.loc;
        let plain = (0..100).flat_map(|y| (0..200).map(move |x| (x, y)));
        let plain = plain.filter(|(x, y)| paper.pixel(corner.x + x, corner.y + y) == color).count();
        assert_eq!(plain == 200 * 100, hidden, "{rule}");
    }
}

/// By the rule of the VM there may be nothing of it in the picture, and so nothing of what it does.
#[test]
fn a_picture_does_not_speak_of_vms_that_take_pictures() {
    let allow = "[defaults.protocols]\nallow = ['ext_foreign_toplevel_list_v1', 'ext_image_copy_capture_manager_v1', \
                 'ext_foreign_toplevel_image_capture_source_manager_v1']\n";
    let mut fixture = local_compositor(&format!("{NAMED}{allow}"), "capture = 'omit'");
    let (local, work) = (fixture.connect(Origin::Local), fixture.connect(vm("work")));
    fixture.window(work, 200, 100, RED);
    let (own, _) = fixture.session(work);
    let paper = fixture.paper(work, 200, 100);
    fixture.take(work, &own, &paper);
    assert!(is_capturing(&mut fixture), "the screen says it");
    let (session, _) = output_session(&mut fixture, local);
    let paper = fixture.paper(local, 400, 300);
    fixture.take(local, &session, &paper);
    assert!((0..400).all(|x| paper.pixel(x, 0) != crate::screencopy::CAPTURING));
}
