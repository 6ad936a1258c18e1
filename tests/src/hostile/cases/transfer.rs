//! Rows 10 and 22 to 26: selections, drags and what is copied.

use std::thread;

use vitrail_protocols::Guard;

use crate::client::{COPY, Selection, SourceEvent};
use crate::deadline::Deadline;
use crate::hostile::Case;
use crate::hostile::stage::{HOSTILE, PAINT, Place, Stage, VICTIM, painted};
use crate::person::Person;
use crate::pipes::Endless;
use crate::raw::Request;
use crate::session::Session;

pub(super) const CASES: &[Case] = &[
    Case::fixed(
        10,
        "drag-icon",
        "a drag with a picture as large as the screen",
        "there is no code that draws a client's picture of a drag",
        drag_icon,
    ),
    Case::undefended(
        22,
        "sharing",
        "a window of one VM shown in another's meeting",
        "no window can be shared yet",
    ),
    Case::new(
        23,
        "selection-on-focus",
        "what another VM has copied, at the moment of the focus",
        &[Guard::Selection],
        selection_on_focus,
    ),
    Case::elsewhere(
        24,
        "late-clip",
        "an answer that comes after another VM has copied",
        "compositor/tests/suite/clipboard/hostile.rs",
    ),
    Case::elsewhere(
        24,
        "stalled-then-chord",
        "a VM that stalls in the middle of a message, and then a chord to paste",
        "compositor/tests/suite/clipboard/hostile.rs",
    ),
    Case::elsewhere(
        24,
        "clip-residue",
        "a short text pasted after a long one",
        "compositor/tests/suite/clipboard/hostile.rs",
    ),
    Case::fixed(
        25,
        "never-reading-paste",
        "a paste that nobody reads, of content without end",
        "the pipes of the kernel and the credit of the stream bound it, and no decision of ours",
        never_reading_paste,
    ),
    Case::elsewhere(25, "huge-clip", "a clip without end", "compositor/tests/suite/clipboard/hostile.rs"),
    Case::new(26, "drag-hover", "what is dragged over another VM's window", &[Guard::Drag], drag_hover),
];

const TEXT: &str = "text/plain;charset=utf-8";

fn drag_icon() -> String {
    let mut stage = Stage::new();
    let mut attacker = stage.attacker(Place::Application);
    let globals = attacker.bind_globals().expect("globals");
    let seat = attacker.bind("wl_seat", 5).expect("wl_seat");
    let pointer = attacker.made(seat, 0, |request| request).expect("a live connection");
    let manager = attacker.bind("wl_data_device_manager", 3).expect("the data device's manager");
    let device = attacker.made(manager, 1, |request| request.uint(seat)).expect("a live connection");
    let window = attacker.map_window(globals, "dragged", (200, 150)).expect("a window");
    stage.session.wait_window("dragged");
    stage.session.focus("dragged");
    attacker.roundtrip(Deadline::patient()).expect("a live connection");
    stage.session.press("dragged");
    let press = attacker.wait_event(pointer, 3).expect("a press");
    let source = attacker.made(manager, 0, |request| request).expect("a live connection");
    attacker.send(&Request::new(source, 0).string(TEXT)).expect("a live connection");
    let icon = attacker.create_surface(globals).expect("a live connection");
    let start = Request::new(device, 0).uint(source).uint(window.surface).uint(icon);
    attacker.send(&start.uint(press.word(0).unwrap_or_default())).expect("a live connection");
    let memory = painted(800 * 600 * 4, PAINT);
    let pool = attacker.create_pool(globals, memory.fd(), 800 * 600 * 4).expect("a pool");
    let buffer = attacker.create_buffer(pool, 0, (800, 600), 800 * 4).expect("a buffer");
    attacker.show_buffer(icon, buffer).expect("a live connection");
    let mut looked = 0;
    for step in 0..5 {
        stage.move_to((100 + step * 100, 120 + step * 60));
        attacker.roundtrip(Deadline::patient()).expect("a live connection");
        let windows = stage.session.windows();
        let image = stage.session.screenshot();
        crate::hostile::stage::assert_inside(&image, &windows, &[]);
        looked += 1;
    }
    stage.session.release();
    format!("nothing of it is drawn in {looked} frames of the drag")
}

fn selection_on_focus() -> String {
    let mut session = Session::start(&[VICTIM, HOSTILE]);
    let mut owner = Person::start(&mut session, VICTIM, "owner");
    let mut thief = Person::start(&mut session, HOSTILE, "thief");
    let _clip = owner.copy(&mut session, Selection::Clipboard, &[TEXT]);
    let _primary = owner.copy(&mut session, Selection::Primary, &[TEXT]);
    for _ in 0..3 {
        thief.focus(&mut session);
        let offered = &thief.client.state.offered;
        assert!(offered.clipboard.is_none() && offered.primary.is_none(), "{offered:?}");
        owner.focus(&mut session);
    }
    owner.client.wait_selection(Selection::Clipboard, TEXT).expect("its own VM is offered it");
    "nothing is offered to the other VM, and all of it to the VM that copied".to_owned()
}

fn drag_hover() -> String {
    let mut session = Session::start(&[VICTIM, HOSTILE]);
    let mut giver = Person::start(&mut session, VICTIM, "giver");
    let mut own = Person::start(&mut session, VICTIM, "own");
    let mut thief = Person::start(&mut session, HOSTILE, "thief");
    let source = giver.drag(&mut session, &[TEXT]).expect("a drag");
    session.point(thief.title);
    thief.client.roundtrip().expect("a live connection");
    assert!(thief.client.state.offered.drag.is_none(), "the other VM is told of the drag");
    session.point(own.title);
    own.client.accept_drag(TEXT).expect("its own VM may take it");
    giver.client.wait_source(&source, SourceEvent::Action(COPY)).expect("an action");
    session.point(thief.title);
    session.release();
    thief.client.roundtrip().expect("a live connection");
    assert!(thief.client.state.offered.drag.is_none(), "the other VM is told of the drop");
    giver.client.wait_source(&source, SourceEvent::Cancelled).expect("the drag ends");
    "neither the drag nor the drop reached the other VM".to_owned()
}

fn never_reading_paste() -> String {
    let mut stage = Stage::new();
    let mut owner = Person::start(&mut stage.session, HOSTILE, "owner");
    let mut taker = Person::start(&mut stage.session, HOSTILE, "taker");
    let source = owner.copy(&mut stage.session, Selection::Clipboard, &[TEXT]);
    taker.focus(&mut stage.session);
    let mut readers = Vec::new();
    let mut writers = Vec::new();
    for _ in 0..8 {
        readers.push(taker.client.receive(Selection::Clipboard, TEXT).expect("a pipe"));
        let (_, writer) = owner.client.wait_transfer(&source).expect("a request");
        let deadline = Deadline::after(std::time::Duration::from_secs(2));
        writers.push(thread::spawn(move || Endless::new(7).write(writer, 1 << 31, deadline)));
    }
    stage.assert_unharmed();
    let stuck =
        writers.into_iter().map(|writer| writer.join().expect("a writer")).filter(Result::is_err).count();
    assert_eq!(stuck, 8, "content without end was taken from its writer, with nobody reading");
    let most =
        stage.session.processes().iter().map(crate::process::Member::resident_mib).max().unwrap_or_default();
    assert!(most < 200, "a process has {most} MiB");
    stage.assert_unharmed();
    format!("the writers wait, the other VM goes on, and no process has more than {most} MiB")
}
