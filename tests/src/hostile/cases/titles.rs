//! Rows 6, 8 and 42: what a VM says of itself.

use vitrail_protocols::Guard;

use crate::client::Memory;
use crate::deadline::Deadline;
use crate::hostile::Case;
use crate::hostile::stage::{Attacker, HOSTILE, Place, Stage};
use crate::raw::{RawWindow, Request};

const TITLE: &[Guard] = &[Guard::Title];

pub(super) const CASES: &[Case] = &[
    Case::new(
        6,
        "title-huge",
        "a title as long as a message can be, and one of a mebibyte",
        TITLE,
        title_huge,
    ),
    Case::new(6, "title-direction", "a title that turns the direction of writing", TITLE, title_direction),
    Case::new(6, "title-other-vm", "a title that is another VM's label", TITLE, title_other_vm),
    Case::fixed(
        6,
        "title-nul",
        "a title with a byte that ends strings",
        "the gate's parser takes no such string, and the compositor's neither",
        title_nul,
    ),
    Case::fixed(
        8,
        "icon-name",
        "an icon by the name of a trusted program's",
        "there is no code that looks a name up",
        icon_name,
    ),
    Case::new(8, "icon-huge", "an icon of 1024 pixels a side", &[Guard::Numbers], icon_huge),
    Case::new(42, "log-lines", "control characters in what is logged", &[Guard::Log], log_lines),
];

/// A window of the attacker's, made by hand.
fn window(stage: &mut Stage, place: Place) -> (Attacker, RawWindow) {
    let mut attacker = stage.attacker(place);
    let globals = attacker.bind_globals().expect("globals");
    let window = attacker.map_window(globals, "plain", (200, 150)).expect("a window");
    stage.session.wait_window("plain");
    (attacker, window)
}

/// What the VM's window is called after it was given a title.
fn entitle(stage: &mut Stage, attacker: &mut Attacker, window: RawWindow, title: &str) -> String {
    attacker.send(&Request::new(window.toplevel, 2).string(title)).expect("a live connection");
    attacker.commit(window.surface).expect("a live connection");
    attacker.roundtrip(Deadline::patient()).expect("a live connection");
    let windows = stage.session.windows();
    windows.into_iter().find(|window| window.vm == HOSTILE).expect("its window").title
}

fn title_huge() -> String {
    let mut stage = Stage::new();
    let (mut attacker, window) = window(&mut stage, Place::Vm);
    let shown = entitle(&mut stage, &mut attacker, window, &"W".repeat(3900));
    assert!(shown.chars().count() <= 128, "{} characters are shown", shown.chars().count());
    // Longer than a header can say: the string is, and the message says that it is as long as it can be.
    let huge = Request::new(window.toplevel, 2).string(&"W".repeat(1 << 20)).claim_size(0xfffc);
    let end = attacker.send(&huge);
    let told = stage.assert_ended(&mut attacker, end);
    stage.assert_unharmed();
    format!("{} of 3900 characters are shown; a mebibyte: {told}", shown.chars().count())
}

fn title_direction() -> String {
    let mut stage = Stage::new();
    let (mut attacker, window) = window(&mut stage, Place::Application);
    let title = "a\u{202e}b\u{2066}c\u{200f}d\u{1b}[31me\u{7}f";
    let shown = entitle(&mut stage, &mut attacker, window, title);
    let steers = |c: char| {
        c.is_control()
            || ('\u{202a}'..='\u{202e}').contains(&c)
            || ('\u{2066}'..='\u{2069}').contains(&c)
            || c == '\u{200f}'
    };
    assert!(!shown.contains(steers), "{shown:?}");
    format!("{shown:?} is shown")
}

fn title_other_vm() -> String {
    let mut stage = Stage::new();
    let (mut attacker, window) = window(&mut stage, Place::Application);
    entitle(&mut stage, &mut attacker, window, "[W0RK] online banking");
    let watch = stage.session.start_control("watch", &["watch"]);
    watch.wait_log("\"vm\":\"untrusted\"");
    let said = watch.log();
    let line = said.lines().next().unwrap_or_default();
    let vms: serde_json::Value = serde_json::from_str(line).expect("JSON");
    let hostile = vms.as_array().and_then(|vms| vms.iter().find(|vm| vm["vm"] == HOSTILE)).expect("the VM");
    let imitating =
        hostile["windows"].as_array().is_some_and(|all| all.iter().any(|one| one["imitating"] == true));
    assert!(imitating, "it is not marked: {hostile}");
    stage.keep_picture("title-other-vm");
    stage.assert_contained(&[]);
    "it is marked as resembling another VM's label, and stands beside its own".to_owned()
}

fn title_nul() -> String {
    let mut stage = Stage::new();
    let mut told = Vec::new();
    for place in [Place::Application, Place::Vm] {
        let (mut attacker, window) = window(&mut stage, place);
        let end = attacker.send(&Request::new(window.toplevel, 2).string("ab\0work\0"));
        told.push(stage.assert_ended(&mut attacker, end));
        stage.session.wait_titles(&["victim"]);
    }
    stage.assert_unharmed();
    told.join("; ")
}

/// `xdg_toplevel_icon_manager_v1`, and a new icon.
fn icon(attacker: &mut Attacker) -> (u32, u32) {
    let manager = attacker.bind("xdg_toplevel_icon_manager_v1", 1).expect("the manager");
    let icon = attacker.made(manager, 1, |request| request).expect("a live connection");
    (manager, icon)
}

fn give_icon(
    stage: &mut Stage,
    attacker: &mut Attacker,
    window: RawWindow,
    (manager, icon): (u32, u32),
) -> String {
    attacker.send(&Request::new(manager, 2).uint(window.toplevel).uint(icon)).expect("a live connection");
    attacker.commit(window.surface).expect("a live connection");
    attacker.roundtrip(Deadline::patient()).expect("a live connection");
    let windows = stage.report(&["windows", "--json"]);
    let windows = windows.as_array().expect("a list");
    let own = windows.iter().find(|window| window["vm"] == HOSTILE).expect("its window");
    own["icon"].to_string()
}

fn icon_name() -> String {
    let mut stage = Stage::new();
    let (mut attacker, window) = window(&mut stage, Place::Application);
    let (manager, icon) = icon(&mut attacker);
    attacker.send(&Request::new(icon, 1).string("system-lock-screen")).expect("a live connection");
    let shown = give_icon(&mut stage, &mut attacker, window, (manager, icon));
    assert_eq!(shown, "null");
    "the window has no icon".to_owned()
}

fn icon_huge() -> String {
    const SIDE: i32 = 1024;
    let mut stage = Stage::new();
    let (mut attacker, window) = window(&mut stage, Place::Application);
    let shm = attacker.bind("wl_shm", 1).expect("wl_shm");
    let length = SIDE * SIDE * 4;
    let memory = Memory::new(u64::try_from(length).unwrap_or_default());
    let pool = attacker.new_id();
    attacker
        .send_with(&Request::new(shm, 0).uint(pool).int(length), &[memory.fd()])
        .expect("a live connection");
    let buffer = attacker.create_buffer(pool, 0, (SIDE, SIDE), SIDE * 4).expect("a live connection");
    let (manager, icon) = icon(&mut attacker);
    attacker.send(&Request::new(icon, 2).uint(buffer).int(1)).expect("a live connection");
    let shown = give_icon(&mut stage, &mut attacker, window, (manager, icon));
    assert_eq!(shown, "null", "an icon of {shown} pixels a side was copied");
    "the window has no icon".to_owned()
}

/// What a client is ended for quotes it; in the log that is one line, of which nothing steers the terminal.
fn log_lines() -> String {
    let mut stage = Stage::new();
    let mut attacker = stage.attacker(Place::Vm);
    let end = attacker.bind_number(1, "wl_shm\n\u{1b}[2JERROR vitrail: work is hostile", 1);
    let told = stage.assert_ended(&mut attacker, end.map(drop));
    let mut attacker = stage.raw("local", Place::Application);
    let end = attacker.bind_number(1, "wl_shm\n\u{1b}[2JERROR vitrail: work is hostile", 1);
    stage.assert_ended(&mut attacker, end.map(drop));
    stage.assert_unharmed();
    let log = stage.session.compositor().log();
    assert!(
        log.contains("work is hostile") || log.contains("connection ended") || log.contains("refused"),
        "nothing is logged"
    );
    assert!(!log.contains('\u{1b}'), "a control character is in the log");
    assert!(
        !log.lines()
            .any(|line| line.contains("work is hostile") && !line.contains("INFO") && !line.contains("WARN")),
        "{log}"
    );
    format!("one line, escaped; the client was told: {}", told.escape_debug())
}
