//! What clients are told of windows that pictures can be taken of.

use std::fs;

use vitrail::config::Live;
use vitrail::trust::origin::Origin;

use super::{BLUE, GREEN, RED, compositor};
use crate::fixture::{Fixture, vm};

#[test]
fn a_vm_lists_its_own_windows_and_a_local_client_all() {
    let mut fixture = compositor();
    let (work, web, local) =
        (fixture.connect(vm("work")), fixture.connect(vm("web")), fixture.connect(Origin::Local));
    let first = fixture.window(work, 200, 100, RED);
    let title = |fixture: &mut Fixture, who, window: usize, title: &str| {
        fixture.client(who).told.shown[window].toplevel.as_ref().unwrap().set_title(title.to_owned());
        fixture.roundtrip(who);
        fixture.wait("the output to be drawn", |fixture| !fixture.state().comp.schedule.is_pending());
    };
    title(&mut fixture, work, first, "first");
    for who in [work, web, local] {
        fixture.list(who);
    }
    let foreign = fixture.window(web, 200, 100, BLUE);
    title(&mut fixture, web, foreign, "foreign");
    let second = fixture.window(work, 200, 100, GREEN);
    title(&mut fixture, work, second, "second");
    fixture.client(work).told.shown[first].toplevel.as_ref().unwrap().destroy();
    fixture.roundtrip(work);
    let is = |title: &str, closed| (title.to_owned(), closed);
    assert_eq!(fixture.listed(work), [is("first", true), is("second", false)]);
    assert_eq!(fixture.listed(web), [is("foreign", false)]);
    let all = [is("[work] first", true), is("[web] foreign", false), is("[work] second", false)];
    assert_eq!(fixture.listed(local), all);
    let identifiers = |fixture: &mut Fixture, who| -> Vec<String> {
        fixture.client(who).told.seen.lists.iter().map(|listed| listed.identifier.clone()).collect()
    };
    let (of_work, of_local) = (identifiers(&mut fixture, work), identifiers(&mut fixture, local));
    assert_eq!(of_work, [of_local[0].clone(), of_local[2].clone()]);
    assert!(of_local.iter().all(|one| one.len() == 32) && of_local[0] != of_local[2], "{of_local:?}");
}

/// In the list a user chooses what is shared, and of which VM: a window of one VM must not look like another's there, nor like
/// a local program.
#[test]
fn the_list_says_to_local_programs_whose_a_window_is_as_a_task_bar_does() {
    let mut fixture = compositor();
    let work = fixture.connect(vm("work"));
    let window = fixture.window(work, 200, 100, RED);
    let toplevel = fixture.client(work).told.shown[window].toplevel.clone().unwrap();
    toplevel.set_title("[local] Passwords".to_owned());
    toplevel.set_app_id("org.keepassxc.KeePassXC".to_owned());
    let own = fixture.connect(Origin::Local);
    let window = fixture.window(own, 200, 100, BLUE);
    let toplevel = fixture.client(own).told.shown[window].toplevel.clone().unwrap();
    toplevel.set_title("shell".to_owned());
    toplevel.set_app_id("foot".to_owned());
    for who in [work, own] {
        fixture.roundtrip(who);
        fixture.list(who);
    }
    let told = |fixture: &mut Fixture, who, index: usize| {
        let listed = &fixture.client(who).told.seen.lists[index];
        (listed.title.clone(), listed.app_id.clone())
    };
    let is = |title: &str, app_id: &str| (title.to_owned(), app_id.to_owned());
    let labelled = is("[work] [local] Passwords", "vitrail.work.org.keepassxc.KeePassXC");
    fixture.wait("both", |fixture| {
        told(fixture, own, 0) == labelled && told(fixture, own, 1) == is("[local] shell", "foot")
    });
    // What a VM says of its own windows it is told as it said it.
    fixture.wait("its own", |fixture| {
        told(fixture, work, 0) == is("[local] Passwords", "org.keepassxc.KeePassXC")
    });
    assert_eq!(fixture.listed(work).len(), 1);

    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "[vm.work]\ncolor = \"#2e7d32\"\nlabel = \"Office\"\n").unwrap();
    fixture.state().comp.config = Live::load(file.path()).unwrap();
    assert!(fixture.state().reload());
    fixture.wait("the new label", |fixture| told(fixture, own, 0).0 == "[Office] [local] Passwords");
    assert_eq!(told(&mut fixture, own, 0).1, "vitrail.work.org.keepassxc.KeePassXC");
}

/// Who reads the list is not to be drowned by a client of any VM.
#[test]
fn a_title_that_changes_all_the_time_is_told_now_and_then() {
    let mut fixture = compositor();
    let (work, local) = (fixture.connect(vm("work")), fixture.connect(Origin::Local));
    let window = fixture.window(work, 200, 100, RED);
    fixture.list(local);
    for count in 0..1000 {
        let toplevel = fixture.client(work).told.shown[window].toplevel.clone().unwrap();
        toplevel.set_title(format!("{count}"));
    }
    fixture.roundtrip(work);
    fixture.wait("the last title", |fixture| fixture.client(local).told.seen.lists[0].title == "[work] 999");
    let told = fixture.client(local).told.seen.lists[0].titles;
    assert!(told < 100, "{told} titles were told");
}
