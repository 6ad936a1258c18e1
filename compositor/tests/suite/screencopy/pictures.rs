//! Pictures taken while something else goes on: windows that move or leave, several outputs, and what a VM says besides its
//! windows.

use std::time::Duration;

use vitrail::shell::outputs::{Head, OutputId};
use vitrail::shell::workspaces::WorkspaceReport;

use super::*;
use crate::fixture::Screen;
use crate::input_method;
use crate::text_input::{editor, enable};

/// What can be seen of the windows of `work` in pictures, by its rule.
const RULES: [&str; 3] = ["", "capture = 'black'", "capture = 'omit'"];

/// The last picture of a closed window and the way of those that move are for the screen alone: by the rule of the VM there is
/// nothing to be shown of a picture that was taken without it.
#[test]
fn a_picture_shows_windows_where_they_stand_and_none_that_is_closed() {
    for rule in RULES {
        let live = format!("{NAMED}[animation]\nduration = 1000\n");
        let text = format!(
            "{live}[background]\npicture = 'none'\nhint = false\n[vm.work]\ncolor = '#2e7d32'\n{rule}\n[vm.web]\ncolor = '#c62828'\n"
        );
        let config = Live::fixed(Config::parse(Path::new("test.toml"), &text).unwrap());
        let mut fixture = Fixture::with(config, (800, 600), 1.0);
        fixture.screenshot();
        let mut now = fixture.state().comp.now();
        fixture.state().comp.decor.animations.hold(Some(now));
        let (local, work) = (fixture.connect(Origin::Local), fixture.connect(vm("work")));
        let window = fixture.window(work, 200, 100, BLUE);
        let frame = frame_of(&mut fixture, "work");
        now += Duration::from_millis(100);
        fixture.state().comp.decor.animations.hold(Some(now));
        let screen = fixture.screenshot();
        assert_ne!(screen.pixel(frame.loc.x, frame.loc.y), WORK, "{rule}: it is on its way");
        let taken = fixture.shot(local, false);
        let labels = count(WORK, |x, y| if y < 24 { BLACK } else { taken.pixel(x, y) });
        if rule.contains("omit") {
            assert_eq!(labels, 0, "{rule}");
        } else {
            assert_eq!(taken.pixel(frame.loc.x, frame.loc.y), WORK, "{rule}: it is where it stands");
            assert_eq!(taken.pixel(frame.loc.x + frame.size.w - 1, frame.loc.y + frame.size.h - 1), WORK);
        }
        assert_eq!(
            count(BLUE, |x, y| taken.pixel(x, y)),
            if rule.is_empty() { 200 * 100 } else { 0 },
            "{rule}"
        );
        // Arrived, and closed: on the screen there is its last picture.
        now += Duration::from_millis(2000);
        fixture.state().comp.decor.animations.hold(Some(now));
        fixture.screenshot();
        let shown = &fixture.client(work).told.shown[window];
        shown.toplevel.as_ref().unwrap().destroy();
        shown.xdg.destroy();
        fixture.roundtrip(work);
        fixture.screenshot();
        now += Duration::from_millis(100);
        fixture.state().comp.decor.animations.hold(Some(now));
        let screen = fixture.screenshot();
        assert!(count(BLUE, |x, y| screen.pixel(x, y)) > 5000, "{rule}: it is leaving");
        let taken = fixture.shot(local, false);
        for color in [BLUE, WORK] {
            assert_eq!(count(color, |x, y| taken.pixel(x, y)), 0, "{rule}");
        }
    }
}

/// Asked for before the lock, drawn after it.
#[test]
fn a_picture_that_was_asked_for_before_the_lock_shows_nothing_from_before_it() {
    let mut fixture = compositor(NAMED, "");
    let (local, _) = desktop(&mut fixture);
    let frame = fixture.copy_frame(local, 7, false, None);
    let (buffer, taken) = fixture.sheet(local, 800, 600);
    frame.copy(&buffer);
    // In one go with the lock, so that no frame is between them.
    let _lock = session_lock::lock(&mut fixture, local);
    fixture.wait("the picture", |fixture| fixture.heard(local, "7: ready"));
    assert_eq!(count(BLUE, |x, y| taken.pixel(x, y)) + count(WORK, |x, y| taken.pixel(x, y)), 0);
    assert_eq!(count(BLACK, |x, y| taken.pixel(x, y)), 800 * 600);
}

fn screen_of(fixture: &mut Fixture, output: OutputId) -> Screen {
    let vitrail::State { backend, comp, .. } = fixture.state();
    Screen(backend.screenshot_of(comp, output).unwrap())
}

/// A picture of an output of 800x600, by its place among those that the client was told of.
fn shot_of(fixture: &mut Fixture, who: Who, at: usize, word: usize) -> Taken {
    let client = fixture.client(who);
    let output = client.bind_output(client.told.outputs.names[at]);
    let manager: ZwlrScreencopyManagerV1 = client.bind();
    let frame = manager.capture_output(0, &output, &client.queue.clone(), word);
    fixture.wait("the size", |fixture| fixture.heard(who, &format!("{word}: buffer 800x600")));
    let (buffer, taken) = fixture.sheet(who, 800, 600);
    frame.copy(&buffer);
    fixture.wait("the picture", |fixture| fixture.heard(who, &format!("{word}: ready")));
    frame.destroy();
    taken
}

#[test]
fn a_picture_of_one_output_shows_nothing_of_the_other_and_both_say_that_it_is_taken() {
    let mut fixture = compositor(NAMED, "");
    assert!(fixture.state().connect_output(Head::virtual_one("right", (800, 600).into(), 1.0)));
    let outputs = &fixture.state().comp.shell.outputs();
    let (left, right) = (OutputId::FIRST, outputs.named("right").unwrap().id);
    let work = fixture.connect(vm("work"));
    fixture.client(work).listen();
    fixture.window(work, 200, 100, BLUE);
    // As far to the right as it can be: with its popup, which would reach over the edge.
    let id = fixture.report()[0].id;
    fixture.state().comp.shell.get_mut(id).unwrap().location = Point::from((700, 300));
    let popup = fixture.client(work).create_popup(0, 80, 80, 60, 60);
    fixture.configured(work, popup, 0);
    fixture.client(work).draw(popup, 60, 60, BLUE);
    fixture.roundtrip(work);
    let corner = right.origin();
    fixture.state().input_pointer_motion(f64::from(corner.x + 700), f64::from(corner.y + 500));
    let web = fixture.connect(vm("web"));
    fixture.window(web, 200, 100, YELLOW);
    let local = fixture.connect(Origin::Local);
    let of_left = shot_of(&mut fixture, local, 0, 100);
    for output in [left, right] {
        let screen = screen_of(&mut fixture, output);
        assert!((0..800).any(|x| screen.pixel(x, 0) == CAPTURING), "{output:?} says it");
    }
    let of_right = shot_of(&mut fixture, local, 1, 101);
    let seen = |taken: &Taken, color| count(color, |x, y| if y < 24 { BLACK } else { taken.pixel(x, y) }) > 0;
    assert!(seen(&of_left, BLUE) && seen(&of_left, WORK));
    assert!(!seen(&of_left, YELLOW) && !seen(&of_left, WEB));
    assert!(seen(&of_right, YELLOW) && seen(&of_right, WEB));
    assert!(!seen(&of_right, BLUE) && !seen(&of_right, WORK));
}

fn named_on_workspaces(report: &[WorkspaceReport]) -> Vec<(usize, bool)> {
    report.iter().map(|workspace| (workspace.windows, workspace.urgent)).collect()
}

/// Windows on a workspace and that one of them wants attention are marked in the stripe, and on its label.
#[test]
fn what_wants_attention_is_told_in_pictures_by_the_rule_of_its_vm() {
    for (rule, same) in [("", false), ("capture = 'black'", true), ("capture = 'omit'", true)] {
        let mut fixture = compositor(NAMED, rule);
        let (local, _) = desktop(&mut fixture);
        let id = fixture.report().into_iter().find(|window| window.vm == "work").unwrap().id;
        // The second one: the stripe speaks of the first in both.
        fixture.shot(local, false);
        let before = fixture.shot(local, false);
        fixture.state().comp.shell.get_mut(id).unwrap().urgent = true;
        fixture.state().comp.schedule.request();
        let report = fixture.state().comp.shell.workspaces_report_on(OutputId::FIRST);
        assert!(named_on_workspaces(&report).iter().any(|(_, urgent)| *urgent));
        let after = fixture.shot(local, false);
        // To the left of what the stripe says of the picture itself, and on the label.
        let differs = (0..600)
            .flat_map(|y| (0..800).map(move |x| (x, y)))
            .filter(|(x, y)| before.pixel(*x, *y) != CAPTURING && after.pixel(*x, *y) != CAPTURING)
            .filter(|(x, y)| before.pixel(*x, *y) != after.pixel(*x, *y))
            .count();
        assert_eq!(differs == 0, same, "{rule}: {differs} pixels");
    }
}

/// The popup stands at what is written in the window, and shows what comes next.
#[test]
fn what_the_input_method_shows_of_a_text_is_told_by_the_rule_of_the_vm() {
    for (rule, shown) in [("", true), ("capture = 'black'", false), ("capture = 'omit'", false)] {
        let mut fixture = compositor(NAMED, rule);
        let local = fixture.connect(Origin::Local);
        let method = input_method::start(&mut fixture);
        let (work, _, input) = editor(&mut fixture, "work");
        input.set_cursor_rectangle(20, 10, 2, 16);
        enable(&mut fixture, work, &input, "abc");
        method.heard(&mut fixture);
        let _popup = method.popup(&mut fixture, 150, 90);
        let white = |screen: &Screen| count([255; 4], |x, y| screen.pixel(x, y));
        fixture.wait("the popup", |fixture| white(&fixture.screenshot()) > 150 * 90);
        let taken = fixture.shot(local, false);
        let seen = count([255; 4], |x, y| taken.pixel(x, y));
        assert_eq!(seen > 150 * 90 / 2, shown, "{rule}: {seen} pixels");
    }
}

/// That a VM hides the pointer is its word too.
#[test]
fn a_pointer_that_a_black_vm_hides_is_in_the_picture() {
    for (rule, hidden) in [("", true), ("capture = 'black'", false)] {
        let mut fixture = compositor(NAMED, rule);
        let local = fixture.connect(Origin::Local);
        let work = fixture.connect(vm("work"));
        let client = fixture.client(work);
        let pointer = client.seat().get_pointer(&client.queue, ());
        fixture.window(work, 200, 100, BLUE);
        let content = content_of(&mut fixture, "work");
        fixture.click(content.loc.x + 100, content.loc.y + 50);
        fixture.roundtrip(work);
        pointer.set_cursor(fixture.client(work).told.enter, None, 0, 0);
        fixture.roundtrip(work);
        let color = if rule.is_empty() { BLUE } else { BLACK };
        let plain = |pixel: &dyn Fn(i32, i32) -> [u8; 4]| {
            let all = (0..100).flat_map(|y| (0..200).map(move |x| (content.loc.x + x, content.loc.y + y)));
            all.into_iter().all(|(x, y)| pixel(x, y) == color)
        };
        let taken = fixture.shot(local, true);
        assert_eq!(plain(&|x, y| taken.pixel(x, y)), hidden, "{rule}");
    }
}

/// The workspaces in the stripe are brighter where there are windows.
#[test]
fn that_an_omitted_vm_has_windows_on_a_workspace_is_not_told() {
    for (rule, told) in [("", true), ("capture = 'black'", true), ("capture = 'omit'", false)] {
        let mut fixture = compositor(NAMED, rule);
        let local = fixture.connect(Origin::Local);
        fixture.shot(local, false);
        let before = fixture.shot(local, false);
        let work = fixture.connect(vm("work"));
        fixture.window(work, 200, 100, BLUE);
        let id = fixture.report()[0].id;
        fixture.state().comp.shell.move_to_workspace(id, 2);
        fixture.state().comp.schedule.request();
        let after = fixture.shot(local, false);
        let all = (0..600).flat_map(|y| (0..800).map(move |x| (x, y)));
        let differs = all.filter(|(x, y)| before.pixel(*x, *y) != after.pixel(*x, *y)).count();
        assert_eq!(differs > 0, told, "{rule}: {differs} pixels");
    }
}
