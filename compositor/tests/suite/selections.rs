//! What one VM copies, no other VM sees.

use crate::fixture::{Fixture, Who, vm};

const BLUE: [u8; 4] = [0, 0, 255, 255];

fn click_on(fixture: &mut Fixture, vm: &str) {
    let content = fixture.report().into_iter().find(|window| window.vm == vm).unwrap().content;
    fixture.click(content.loc.x + 5, content.loc.y + 5);
}

fn clipboard(fixture: &mut Fixture, who: Who) -> Option<Vec<String>> {
    fixture.roundtrip(who);
    fixture.client(who).told.clipboard.clone()
}

#[test]
fn a_selection_is_offered_within_its_vm_and_to_no_other() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let [work, work_too, web] = ["work", "work", "web"].map(|name| fixture.connect(vm(name)));
    let devices = [work, work_too, web].map(|who| fixture.client(who).listen());
    fixture.window(work, 200, 100, BLUE);
    fixture.roundtrip(work);
    fixture.client(work).copy(&devices[0], "text/work");
    assert_eq!(clipboard(&mut fixture, work), Some(vec!["text/work".to_owned()]));

    fixture.window(web, 200, 100, BLUE);
    click_on(&mut fixture, "web");
    fixture.wait("the keyboard", |fixture| fixture.client(web).told.keyboard.is_some());
    assert_eq!(clipboard(&mut fixture, web), None, "another VM sees nothing");

    fixture.client(web).copy(&devices[2], "text/web");
    assert_eq!(clipboard(&mut fixture, web), Some(vec!["text/web".to_owned()]));

    click_on(&mut fixture, "work");
    fixture.window(work_too, 200, 100, BLUE);
    fixture.wait("the keyboard", |fixture| fixture.client(work_too).told.keyboard.is_some());
    // The other VM's copying has not pushed it out.
    assert_eq!(clipboard(&mut fixture, work_too), Some(vec!["text/work".to_owned()]));
}

#[test]
fn a_client_without_the_focus_cannot_set_the_selection() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let [work, web] = ["work", "web"].map(|name| fixture.connect(vm(name)));
    let devices = [work, web].map(|who| fixture.client(who).listen());
    fixture.window(work, 200, 100, BLUE);
    fixture.window(web, 200, 100, BLUE);
    fixture.client(web).copy(&devices[1], "text/web");
    fixture.roundtrip(web);
    click_on(&mut fixture, "web");
    fixture.wait("the keyboard", |fixture| fixture.client(web).told.keyboard.is_some());
    assert_eq!(clipboard(&mut fixture, web), None);
}

#[test]
fn a_selection_ends_with_its_client() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let [first, second] = ["work", "work"].map(|name| fixture.connect(vm(name)));
    let devices = [first, second].map(|who| fixture.client(who).listen());
    fixture.window(first, 200, 100, BLUE);
    let source = fixture.client(first).copy(&devices[0], "text/plain");
    fixture.roundtrip(first);
    fixture.window(second, 200, 100, BLUE);
    fixture.wait("the keyboard", |fixture| fixture.client(second).told.keyboard.is_some());
    assert!(clipboard(&mut fixture, second).is_some());
    source.destroy();
    fixture.roundtrip(first);
    assert_eq!(clipboard(&mut fixture, second), None);
}

#[test]
fn a_client_is_told_nothing_of_selections_after_it_has_lost_the_keyboard_to_nobody() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let [first, second] = ["work", "work"].map(|name| fixture.connect(vm(name)));
    let devices = [first, second].map(|who| fixture.client(who).listen());
    let copying = fixture.window(first, 200, 100, BLUE);
    let source = fixture.client(first).copy(&devices[0], "text/plain");
    fixture.roundtrip(first);
    let pasting = fixture.window(second, 200, 100, BLUE);
    fixture.wait("the keyboard", |fixture| fixture.client(second).told.keyboard.is_some());
    assert!(clipboard(&mut fixture, second).is_some());
    for (who, window) in [(first, copying), (second, pasting)] {
        let shown = &fixture.client(who).told.shown[window];
        shown.toplevel.as_ref().unwrap().destroy();
        shown.xdg.destroy();
        shown.surface.destroy();
        fixture.roundtrip(who);
    }
    source.destroy();
    fixture.roundtrip(first);
    // A program that pastes may still read what it was offered: an end of the offer would make it give up.
    assert!(clipboard(&mut fixture, second).is_some());
}
