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
        "{more}[vm.work]\ncolor = '#2e7d32'\n{work}\n[vm.web]\ncolor = '#c62828'\n[local]\ncolor = '#5f6368'\n"
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
