//! A session with two outputs: windows of VMs on both, dragged from one to the other, and an output that is unplugged.

use serde_json::{Value, json};
use vitrail_tests::client::WindowOptions;
use vitrail_tests::session::{Options, Session, VM_COLORS};

const WORK_WINDOW: u32 = 0x0012_3456;
const WEB_WINDOW: u32 = 0x00fe_dcba;
const FIRST: &str = "vitrail-1";
const SECOND: &str = "vitrail-2";

/// Two VMs, and right of the first output one of the same size at another scale.
fn two_outputs() -> Session {
    let (work, web) = (VM_COLORS[0].0, VM_COLORS[1].0);
    Session::with(Options::new(&[work, web]).output(900, 600, 1).another_output("1200x900@1.5"))
}

fn button(pressed: bool) -> Value {
    json!({"event": "button", "code": 0x110, "pressed": pressed})
}

fn output_of(session: &mut Session, title: &str) -> String {
    let windows: Value = serde_json::from_str(&session.control(&["windows", "--json"])).expect("JSON");
    let windows = windows.as_array().expect("a list of windows");
    let window = windows.iter().find(|window| window["title"] == title).expect("the window");
    window["output"].as_str().expect("the output's name").to_owned()
}

/// Where the picture of a test is kept to be looked at, if somebody wants to.
fn keep(session: &mut Session, name: &str, output: &str) {
    if let Some(directory) = std::env::var_os("VITRAIL_KEEP_PICTURES") {
        let path = std::path::Path::new(&directory).join(format!("{name}-{output}.png"));
        session.control(&["screenshot", "--output", output, path.to_str().expect("a path in UTF-8")]);
    }
}

#[test]
fn a_window_of_a_vm_is_dragged_to_another_output_and_both_show_labels_and_whose_the_keyboard_is() {
    let mut session = two_outputs();
    let [(work, work_color), (web, web_color)] = [VM_COLORS[0], VM_COLORS[1]];
    let mut first = session.client(work);
    let _window = first.window(&WindowOptions::new("moves", WORK_WINDOW)).unwrap();
    session.wait_window("moves");
    let frame = session.windows()[0].frame();
    let (x, y) = (frame.x + frame.w / 2, frame.y + 12);
    session.input(&[json!({"event": "move", "x": x, "y": y}), button(true)]);
    session.input(&[json!({"event": "move_by", "dx": 1300 - x, "dy": 100}), button(false)]);
    assert_eq!(output_of(&mut session, "moves"), SECOND);
    let mut second = session.client(web);
    // The user goes back to the first output, where the next window opens.
    session.input_on(FIRST, &[json!({"event": "move", "x": 880, "y": 580})]);
    let _other = second.window(&WindowOptions::new("stays", WEB_WINDOW)).unwrap();
    session.wait_window("stays");
    assert_eq!(output_of(&mut session, "stays"), FIRST);
    session.focus("stays");
    keep(&mut session, "dragged", FIRST);
    keep(&mut session, "dragged", SECOND);
    let (left, right) = (session.screenshot_of(FIRST), session.screenshot_of(SECOND));
    // Each has only its own windows, in their labels; the stripes name the same VM.
    assert_eq!((left.pixel(1, 1), right.pixel(1, 1)), (Some(web_color), Some(web_color)));
    for (image, title, content, label, other) in [
        (&left, "stays", WEB_WINDOW, web_color, WORK_WINDOW),
        (&right, "moves", WORK_WINDOW, work_color, WEB_WINDOW),
    ] {
        let window = session.wait_window(title);
        let (frame, inside) = (window.frame(), window.content());
        assert_eq!(image.pixel(frame.x + 1, frame.y + frame.h / 2), Some(label), "{title}");
        assert_eq!(image.pixel(frame.x + frame.w - 2, frame.y + frame.h / 2), Some(label), "{title}");
        assert_eq!(image.pixel(inside.x + inside.w / 2, inside.y + inside.h / 2), Some(content), "{title}");
        let (w, h) = image.size();
        let whole = vitrail_tests::client::Rect { x: 0, y: 0, w, h };
        assert_eq!(image.count(whole, other), 0, "{title}: no other window is here");
    }
}

#[test]
fn windows_of_an_output_that_is_unplugged_are_on_the_other_one_and_come_back() {
    let mut session = two_outputs();
    let (work, color) = VM_COLORS[0];
    session.input_on(SECOND, &[json!({"event": "move", "x": 1190, "y": 890})]);
    let mut client = session.client(work);
    let _window = client.window(&WindowOptions::new("travels", WORK_WINDOW)).unwrap();
    let there = session.wait_window("travels").frame();
    assert_eq!(output_of(&mut session, "travels"), SECOND);
    session.control(&["unplug", SECOND]);
    assert_eq!(output_of(&mut session, "travels"), FIRST);
    let here = session.wait_window("travels").frame();
    assert_eq!(session.screenshot_of(FIRST).pixel(here.x + 1, here.y + here.h / 2), Some(color));
    assert!(session.try_control(&["screenshot", "--output", SECOND, "/dev/null"]).is_err());
    assert!(session.control(&["outputs"]).contains("vitrail-2 (plugged out)"));
    session.control(&["plug", SECOND, "1200x900@1.5"]);
    assert_eq!(output_of(&mut session, "travels"), SECOND);
    assert_eq!(session.wait_window("travels").frame(), there);
    assert_eq!(session.screenshot_of(SECOND).pixel(there.x + 1, there.y + there.h / 2), Some(color));
}
