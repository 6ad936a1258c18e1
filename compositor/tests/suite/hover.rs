//! A VM that has not the keyboard is told nothing of the pointer, where the configuration says so.

use vitrail::input::pointer::BUTTON_LEFT;

use crate::fixture::{Fixture, Who, vm};

const BLUE: [u8; 4] = [0, 0, 255, 255];

/// A window of `work` that has the keyboard, and beside it one of `web`; with the corner of the latter's content.
fn two(rule: &str) -> (Fixture, Who, Who, (f64, f64)) {
    let mut fixture = Fixture::written(rule);
    let mut window = |name: &str| {
        let who = fixture.connect(vm(name));
        fixture.client(who).listen();
        fixture.window(who, 200, 100, BLUE);
        who
    };
    let (work, web) = (window("work"), window("web"));
    let corner = fixture.report().into_iter().find(|window| window.vm == "web").unwrap().content.loc;
    (fixture, work, web, (f64::from(corner.x), f64::from(corner.y)))
}

#[test]
fn a_vm_without_the_keyboard_is_told_of_the_pointer_only_with_a_click() {
    let (mut fixture, work, web, (x, y)) = two("[vm.web.input]\nhover = \"focused\"\n");
    for step in 0..20 {
        fixture.state().input_pointer_motion(x + f64::from(step), y + 10.0);
        fixture.state().input_pointer_axis(0.0, 1.0);
    }
    fixture.roundtrip(web);
    assert!(fixture.client(web).told.log.is_empty(), "{:?}", fixture.client(web).told.log);

    fixture.state().input_pointer_button(BUTTON_LEFT, true);
    fixture.roundtrip(web);
    let told = &fixture.client(web).told;
    assert_eq!(told.pointer.as_ref().map(|(_, x, y)| (*x, *y)), Some((19.0, 10.0)));
    assert!(told.press != 0 && told.keyboard.is_some(), "the click gives the keyboard and arrives");

    // What it holds it is told of, wherever the pointer goes and whoever has the keyboard by then.
    fixture.chord(&["leftmeta", "tab"]);
    fixture.wait("the keyboard", |fixture| fixture.client(work).told.keyboard.is_some());
    fixture.state().input_pointer_motion(x + 30.0, y + 10.0);
    fixture.state().input_pointer_button(BUTTON_LEFT, false);
    fixture.roundtrip(web);
    assert_eq!(fixture.client(web).told.releases, 1);
    assert!(fixture.client(web).told.pointer.is_none(), "and no longer");
    let told = fixture.client(web).told.log.len();
    fixture.state().input_pointer_motion(x + 40.0, y + 10.0);
    fixture.roundtrip(web);
    assert_eq!(fixture.client(web).told.log.len(), told);
}

#[test]
fn a_vm_is_told_of_the_pointer_on_its_windows_if_nothing_else_is_said() {
    let (mut fixture, _, web, (x, y)) = two("");
    fixture.state().input_pointer_motion(x + 5.0, y + 10.0);
    fixture.roundtrip(web);
    assert!(fixture.client(web).told.pointer.is_some());
}
