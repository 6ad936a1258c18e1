//! What is remembered of which windows, and for whom.

use std::fs;
use std::path::Path;

use super::*;
use crate::shell::Layout;
use crate::shell::outputs::Outputs;
use crate::shell::zone::Direction;

const CONFIG: &str = "[vm.work]\ncolor = \"#2e7d32\"\n[vm.web]\ncolor = \"#c62828\"\n";

fn config() -> Config {
    Config::parse(Path::new("vitrail.toml"), CONFIG).unwrap()
}

fn vm(name: &str) -> Origin {
    Origin::Vm(name.parse().unwrap())
}

fn shell() -> Shell<()> {
    let layout = Layout { output: (1280, 800).into(), scale: 1.0, ..Default::default() };
    let mut shell = Shell::new(Outputs::single(layout));
    shell.set_workspaces(&config().workspaces);
    shell
}

/// A shown window at a place.
fn open(shell: &mut Shell<()>, origin: &Origin, app_id: &str, at: (i32, i32)) -> WindowId {
    let id = shell.add((), origin.clone());
    shell.get_mut(id).unwrap().app_id = app_id.to_owned();
    shell.show(id, (200, 100).into(), None);
    shell.get_mut(id).unwrap().location = at.into();
    id
}

fn remembered(directory: &tempfile::TempDir) -> Remembered {
    Remembered::open(directory.path().join("state/layout.toml"))
}

fn locations(places: &[Place]) -> Vec<(&str, &str, i32)> {
    places.iter().map(|place| (place.vm.as_str(), place.app_id.as_str(), place.x)).collect()
}

#[test]
fn places_survive_the_program_and_are_given_once_in_the_order_of_opening() {
    let directory = tempfile::tempdir().unwrap();
    let mut shell = shell();
    open(&mut shell, &vm("work"), "foot", (100, 50));
    let second = open(&mut shell, &vm("work"), "foot", (300, 60));
    shell.get_mut(second).unwrap().mode = Mode::Maximized;
    let mut before = remembered(&directory);
    before.write(before.places(&shell, &config()));
    drop(before);

    let mut after = remembered(&directory);
    let first = after.take(&vm("work"), "foot").unwrap();
    assert_eq!(
        (first.location(), first.size(), first.mode()),
        ((100, 50).into(), (200, 100).into(), Mode::Floating)
    );
    assert_eq!(after.take(&vm("work"), "foot").unwrap().mode(), Mode::Maximized);
    assert_eq!(after.take(&vm("work"), "foot"), None);
}

/// A VM chooses its application ids. Were they asked first, a VM could learn and take the place of another one's window.
#[test]
fn an_application_id_of_another_vm_finds_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut shell = shell();
    open(&mut shell, &vm("work"), "foot", (100, 50));
    let mut before = remembered(&directory);
    before.write(before.places(&shell, &config()));
    let mut after = remembered(&directory);
    assert_eq!(after.take(&vm("web"), "foot"), None);
    assert_eq!(after.take(&Origin::Local, "foot"), None);
    assert!(after.take(&vm("work"), "foot").is_some());
}

#[test]
fn places_that_nobody_has_taken_yet_outlive_a_second_crash() {
    let directory = tempfile::tempdir().unwrap();
    let mut shell = shell();
    open(&mut shell, &vm("work"), "foot", (100, 50));
    open(&mut shell, &vm("web"), "firefox", (300, 50));
    let mut before = remembered(&directory);
    before.write(before.places(&shell, &config()));

    let mut after = remembered(&directory);
    let _taken = after.take(&vm("web"), "firefox");
    let mut shell = self::shell();
    open(&mut shell, &vm("web"), "firefox", (310, 50));
    after.write(after.places(&shell, &config()));
    let again = remembered(&directory);
    assert_eq!(locations(&again.left), [("web", "firefox", 310), ("work", "foot", 100)]);
}

#[test]
fn a_vm_cannot_push_out_the_places_of_another_one_or_make_the_file_long() {
    let directory = tempfile::tempdir().unwrap();
    let mut shell = shell();
    for number in 0..100 {
        open(&mut shell, &vm("web"), &"\"".repeat(MAX_APP_ID), (number, 0));
    }
    open(&mut shell, &vm("web"), &"x".repeat(MAX_APP_ID + 1), (7, 0));
    open(&mut shell, &vm("work"), "foot", (100, 50));
    let mut before = remembered(&directory);
    before.write(before.places(&shell, &config()));
    let after = remembered(&directory);
    assert_eq!(after.left.len(), MAX_PLACES + 1);
    assert!(after.left.iter().any(|place| place.vm == "work"));
    assert!(after.left.iter().all(|place| place.app_id.len() <= MAX_APP_ID));
    let length = fs::metadata(directory.path().join("state/layout.toml")).unwrap().len();
    assert!(length < 32 * 1024, "{length}");
}

#[test]
fn dialogs_and_windows_without_an_application_id_are_not_remembered() {
    let directory = tempfile::tempdir().unwrap();
    let mut shell = shell();
    let parent = open(&mut shell, &vm("work"), "foot", (100, 50));
    let dialog = open(&mut shell, &vm("work"), "foot", (200, 50));
    shell.get_mut(dialog).unwrap().parent = Some(parent);
    open(&mut shell, &vm("work"), "", (300, 50));
    let places = remembered(&directory).places(&shell, &config());
    assert_eq!(locations(&places), [("work", "foot", 100)]);
}

#[test]
fn places_of_a_vm_that_is_not_configured_any_more_are_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let mut shell = shell();
    open(&mut shell, &vm("gone"), "foot", (100, 50));
    open(&mut shell, &Origin::Local, "foot", (200, 50));
    let places = remembered(&directory).places(&shell, &config());
    assert_eq!(locations(&places), [("local", "foot", 200)]);
}

#[test]
fn a_damaged_file_is_as_good_as_none_and_absurd_numbers_are_clamped() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("layout.toml");
    fs::write(&path, "[[window]]\nvm = 3").unwrap();
    assert!(Remembered::open(path.clone()).left.is_empty());
    let (min, max) = (i32::MIN, i32::MAX);
    let text = format!(
        "[[window]]\nvm = \"work\"\napp_id = \"a\"\nx = {min}\ny = {max}\nwidth = {min}\nheight = {max}\nmode = \"floating\""
    );
    fs::write(&path, text).unwrap();
    let place = Remembered::open(path).take(&vm("work"), "a").unwrap();
    assert_eq!(place.size(), (1, MAX_LENGTH).into());
    assert_eq!(place.location(), (-MAX_LENGTH, MAX_LENGTH).into());
}

#[test]
fn a_half_of_the_screen_and_the_workspace_are_remembered() {
    let directory = tempfile::tempdir().unwrap();
    let mut shell = shell();
    let id = open(&mut shell, &vm("work"), "foot", (100, 50));
    let half = Mode::Floating.snapped(Direction::Left);
    shell.get_mut(id).unwrap().mode = half;
    shell.move_to_workspace(id, 2);
    let mut before = remembered(&directory);
    before.write(before.places(&shell, &config()));
    let place = remembered(&directory).take(&vm("work"), "foot").unwrap();
    assert_eq!((place.mode(), place.workspace), (half, 2));
    // As a version that knew no workspaces wrote it.
    let path = directory.path().join("state/layout.toml");
    let text = fs::read_to_string(&path).unwrap().replace("workspace = 2\n", "");
    fs::write(&path, text).unwrap();
    assert_eq!(remembered(&directory).take(&vm("work"), "foot").unwrap().workspace, 0);
}

#[test]
fn a_window_comes_back_to_its_workspace_without_bringing_it_onto_the_screen() {
    let mut shell = shell();
    let work = open(&mut shell, &vm("work"), "foot", (100, 50));
    let id = shell.add((), vm("web"));
    let window = shell.get_mut(id).unwrap();
    (window.recalled, window.size) = (Some((300, 200).into()), (200, 100).into());
    shell.move_to_workspace(id, 1);
    assert!(!shell.show(id, (200, 100).into(), None));
    assert_eq!((shell.workspaces().current(), shell.focused().unwrap().id), (0, work));
    assert_eq!(shell.get(id).unwrap().workspace(), 1);
    shell.switch_workspace(1);
    assert_eq!((shell.focused().unwrap().id, shell.get(id).unwrap().location), (id, (300, 200).into()));
    shell.check();
}
