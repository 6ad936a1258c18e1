//! That the table `[input]` changes what the keys are and how they repeat, at once.

use std::fs;

use vitrail::config::Live;
use vitrail::shell::window::Mode;
use vitrail::trust::origin::Origin;

use crate::fixture::{Fixture, vm};

const VM: &str = "[vm.work]\ncolor = \"#2e7d32\"\n";

/// The fourth word of the line of a keymap that says what a key is: its first symbol.
fn symbol(keymap: &str, key: &str) -> String {
    let line = keymap.lines().find(|line| line.trim_start().starts_with(&format!("key <{key}>"))).unwrap();
    let symbols = line.split_once('[').unwrap().1;
    symbols.split([',', ']']).next().unwrap().trim().to_owned()
}

/// A user's keys type the letters of another layout as soon as the file that says so is read again: an application hears of the
/// new keymap, and the chords of the compositor follow it too.
#[test]
fn a_reload_changes_the_layout_for_applications_and_for_chords() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("vitrail.toml");
    fs::write(&path, format!("[input.keyboard]\nlayout = \"us\"\n{VM}")).unwrap();
    let mut fixture = Fixture::configured_as(Live::load(&path).unwrap());
    let local = fixture.connect(Origin::Local);
    fixture.client(local).listen();
    fixture.window(local, 200, 100, [0, 0, 255, 255]);
    fixture.roundtrip(local);
    let first = fixture.client(local).told.keymaps.last().unwrap().clone();
    assert_eq!(symbol(&first, "AC01"), "a");
    assert_eq!(fixture.client(local).told.repeats.last(), Some(&(25, 600)));

    let french = "[input.keyboard]\nlayout = \"fr\"\nvariant = \"\"\noptions = \"caps:escape\"\n\
                  repeat_delay = 300\nrepeat_rate = 40\n";
    fs::write(&path, format!("{french}{VM}[keys]\n\"logo+q\" = \"maximize\"\n")).unwrap();
    assert!(fixture.state().reload());
    fixture.roundtrip(local);
    let second = fixture.client(local).told.keymaps.last().unwrap().clone();
    assert_eq!([symbol(&second, "AC01"), symbol(&second, "CAPS")], ["q", "Escape"]);
    assert_eq!(fixture.client(local).told.repeats.last(), Some(&(40, 300)));
    // The key that an American keyboard calls A.
    fixture.chord(&["leftmeta", "a"]);
    assert_eq!(fixture.state().comp.shell.focused().unwrap().mode, Mode::Maximized);

    let told = fixture.client(local).told.keymaps.len();
    assert!(fixture.state().reload());
    fixture.roundtrip(local);
    assert_eq!(fixture.client(local).told.keymaps.len(), told, "nothing has changed, so nothing was said");
}

/// Rules, model and variant reach libxkbcommon, too.
#[test]
fn every_word_of_a_layout_counts() {
    let keymap = |text: &str| {
        let mut fixture = Fixture::written(&format!("[input.keyboard]\n{text}\n"));
        let work = fixture.connect(vm("work"));
        fixture.client(work).listen();
        fixture.roundtrip(work);
        fixture.client(work).told.keymaps.last().unwrap().clone()
    };
    let plain = keymap("layout = \"us\"");
    assert_eq!(symbol(&keymap("layout = \"us\"\nvariant = \"dvorak\""), "AD01"), "apostrophe");
    assert_ne!(keymap("layout = \"us\"\nmodel = \"applealu_iso\""), plain);
    assert_ne!(keymap("layout = \"us\"\nrules = \"base\""), plain);
    assert!(symbol(&keymap("layout = \"us,de\"\noptions = \"caps:none\""), "CAPS") != "Caps_Lock");
}
