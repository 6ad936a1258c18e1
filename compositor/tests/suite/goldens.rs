//! Whole pictures, compared byte for byte. `UPDATE_GOLDENS=1` writes them anew.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use vitrail::backend::Picture;
use vitrail::config::{Config, Live};

use crate::fixture::{Fixture, vm};

fn write(path: &Path, picture: &Picture) {
    let mut encoder = png::Encoder::new(File::create(path).unwrap(), picture.width, picture.height);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header().unwrap().write_image_data(&picture.rgba).unwrap();
}

fn read(path: &Path) -> Picture {
    let file = File::open(path).unwrap_or_else(|_| panic!("{} is missing", path.display()));
    let mut reader = png::Decoder::new(std::io::BufReader::new(file)).read_info().unwrap();
    let mut rgba = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut rgba).unwrap();
    Picture { width: info.width, height: info.height, rgba }
}

#[track_caller]
fn compare(name: &str, picture: &Picture) {
    let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(format!("{name}.png"));
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        fs::create_dir_all(golden.parent().unwrap()).unwrap();
        write(&golden, picture);
        return;
    }
    let expected = read(&golden);
    if expected == *picture {
        return;
    }
    let actual = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.actual.png"));
    write(&actual, picture);
    let pixels = |picture: &Picture| picture.rgba.chunks(4).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let (old, new) = (pixels(&expected), pixels(picture));
    let different: Vec<usize> = (0..old.len().min(new.len())).filter(|i| old[*i] != new[*i]).collect();
    let first = different.first().map(|i| (i % picture.width as usize, i / picture.width as usize));
    panic!("{name}: {} pixels differ, the first at {first:?}; see {}", different.len(), actual.display());
}

/// Windows of two VMs, one over the other, with a popup and a title.
fn compose(scale: f64) -> Picture {
    let size = |length: f64| (length * scale) as i32;
    let mut fixture = Fixture::sized(size(480.0), size(320.0), scale);
    let web = fixture.connect(vm("web"));
    let first = fixture.window(web, 220, 140, [0xf0, 0xe0, 0xc0, 0xff]);
    fixture.client(web).told.shown[first].toplevel.as_ref().unwrap().set_title("A page".to_owned());
    let work = fixture.connect(vm("work"));
    let second = fixture.window(work, 240, 160, [0x60, 0x70, 0x80, 0x80]);
    fixture.client(work).told.shown[second].toplevel.as_ref().unwrap().set_title("[Web] bank".to_owned());
    let popup = fixture.client(web).create_popup(first, 180, 100, 90, 70);
    fixture.configured(web, popup, 0);
    fixture.client(web).draw(popup, 90, 70, [0xff, 0xff, 0xff, 0xff]);
    fixture.roundtrip(web);
    fixture.roundtrip(work);
    fixture.see_all();
    fixture.screenshot().0
}

#[test]
fn two_vms_and_a_popup() {
    compare("two_vms_and_a_popup", &compose(1.0));
}

#[test]
fn the_same_at_a_fractional_scale() {
    compare("two_vms_and_a_popup_scaled", &compose(1.5));
}

/// A frame with all its buttons, one of them under the pointer, and a title that is too long.
fn buttons(scale: f64) -> Picture {
    let size = |length: f64| (length * scale) as i32;
    let mut fixture = Fixture::sized(size(480.0), size(150.0), scale);
    let work = fixture.connect(vm("work"));
    let window = fixture.window(work, 460, 60, [0x30, 0x34, 0x40, 0xff]);
    let title = "A title that is longer than there is room for beside chip and buttons".to_owned();
    fixture.client(work).told.shown[window].toplevel.as_ref().unwrap().set_title(title);
    fixture.roundtrip(work);
    let shell = &fixture.state().comp.shell;
    let close = shell.frame(shell.focused().unwrap()).buttons[2];
    fixture.state().input_pointer_motion(f64::from(close.loc.x + 2), f64::from(close.loc.y + 2));
    fixture.screenshot().0
}

#[test]
fn the_buttons_of_a_frame_at_every_scale() {
    for scale in [1.0, 1.25, 1.5, 2.0] {
        compare(&format!("frame_buttons_{}", scale * 100.0), &buttons(scale));
    }
}

/// Windows of two VMs to choose from, one of them wider than high and one higher than wide.
fn switcher(scale: f64) -> Picture {
    let size = |length: f64| (length * scale) as i32;
    let mut fixture = Fixture::sized(size(800.0), size(500.0), scale);
    for (name, w, h, color) in
        [("web", 300, 200, [0xf0, 0xe0, 0xc0, 0xff]), ("work", 200, 300, [0x60, 0x70, 0x80, 0xff])]
    {
        let who = fixture.connect(vm(name));
        let window = fixture.window(who, w, h, color);
        fixture.client(who).told.shown[window]
            .toplevel
            .as_ref()
            .unwrap()
            .set_title(format!("{name} [Web] bank"));
        fixture.roundtrip(who);
    }
    fixture.see_all();
    fixture.state().input_key(125, true);
    fixture.state().input_key(15, true);
    fixture.screenshot().0
}

#[test]
fn windows_to_choose_from() {
    for scale in [1.0, 1.5] {
        compare(&format!("switcher_{}", scale * 100.0), &switcher(scale));
    }
}

/// VMs whose titles are shown in every script. The second has the longest name and a label of the most letters, the third the
/// widest label that there is.
const SCRIPTS: &str = r##"
[vm.bank]
label = "Bank"
color = "#6a1b9a"
[vm.work]
label = "Work"
color = "#2e7d32"
titles = "unicode"
[vm.a-vm-with-the-longest-name-that-any-vm-could-hav]
label = "Untrusted web browsing 2"
color = "#f9a825"
pattern = "stripes"
titles = "unicode"
[vm.wide]
label = "WWWWWWWWWWWWWWWWWWWWWWWW"
color = "#1565c0"
titles = "unicode"
[background]
picture = "none"
hint = false
[animation]
enabled = false
"##;

/// Titles that people have, and some that are meant to confuse: one that reverses what follows, one that stacks marks, one
/// that spells the name of another VM with Cyrillic letters and is written from right to left.
const TITLES: [&str; 14] = [
    "Left to right — naïve façade, Ελληνικά, Русский",
    "مرحبا بالعالم",
    "שלום עולם (a page) 12:30",
    "日本語のページ",
    "简体中文 繁體中文",
    "한국어 창 제목",
    "\u{1f308} party \u{1f389} and \u{1f512} lock \u{2764}",
    "ภาษาไทย",
    "\u{202e}work\u{202c} \u{2067}reversed\u{2069}",
    "Z\u{300}\u{301}\u{302}\u{303}\u{304}\u{305}\u{306}a\u{300}\u{301}\u{302}lgo",
    "מרחב [\u{412}\u{430}nk] כניסה",
    "A long title that goes on and on and has no room beside its chip, whatever the scale",
    "عنوان طويل جدا لا يتسع له المكان بجانب اسم الآلة الافتراضية مهما كان المقياس",
    "とても長いタイトルはラベルの隣に入りきらないので、途中で切られて省略記号が付きます",
];

/// Windows in two columns with one title each, the same titles in each column.
fn titles(scale: f64) -> Picture {
    let config = Config::parse(Path::new("test.toml"), SCRIPTS).unwrap();
    let size = |length: f64| (length * scale) as i32;
    let height = 24.0 + (TITLES.len() + 2) as f64 * 40.0;
    let mut fixture = Fixture::with(Live::fixed(config), (size(960.0), size(height)), scale);
    for (name, column, row, titles) in [
        ("work", 0, 0, &TITLES[..]),
        ("a-vm-with-the-longest-name-that-any-vm-could-hav", 1, 0, &TITLES[..]),
        ("wide", 0, TITLES.len() + 1, &TITLES[..1]),
    ] {
        let who = fixture.connect(vm(name));
        for (below, title) in titles.iter().enumerate() {
            let window = fixture.window(who, 460, 6, [0x30, 0x34, 0x40, 0xff]);
            let toplevel = fixture.client(who).told.shown[window].toplevel.clone().unwrap();
            toplevel.set_title((*title).to_owned());
            fixture.roundtrip(who);
            let shell = &mut fixture.state().comp.shell;
            let id = shell.bottom_up().map(|window| window.id).max().unwrap();
            let (x, y) = (f64::from(column) * 480.0 + 6.0, 26.0 + (row + below) as f64 * 40.0);
            shell.get_mut(id).unwrap().location = (size(x), size(y)).into();
        }
    }
    fixture.see_all();
    fixture.screenshot().0
}

#[test]
fn titles_of_every_script_stand_beside_their_labels_at_every_scale() {
    for scale in [1.0, 1.25, 1.5, 2.0] {
        compare(&format!("titles_{}", scale * 100.0), &titles(scale));
    }
}

#[test]
fn what_changes_is_drawn_and_nothing_else_is_left() {
    let mut fixture = Fixture::new();
    let web = fixture.connect(vm("web"));
    let first = fixture.window(web, 220, 100, [0xf0, 0xe0, 0xc0, 0xff]);
    let work = fixture.connect(vm("work"));
    let second = fixture.window(work, 200, 120, [0x60, 0x70, 0x80, 0x80]);
    let steps: [&dyn Fn(&mut Fixture); 6] = [
        &|fixture| fixture.state().input_pointer_motion(200.0, 150.0),
        &|fixture| {
            let frame = fixture.report().iter().find(|window| window.vm == "work").unwrap().frame;
            fixture.click(frame.loc.x + 10, frame.loc.y + 40);
        },
        &|fixture| fixture.client(work).draw(second, 90, 60, [0, 0xff, 0, 0xff]),
        &|fixture| {
            let toplevel = fixture.client(web).told.shown[first].toplevel.clone().unwrap();
            toplevel.set_title("Another title".to_owned());
        },
        &|fixture| fixture.client(web).told.shown[first].surface.attach(None, 0, 0),
        &|fixture| fixture.client(web).told.shown[first].surface.commit(),
    ];
    for (index, step) in steps.iter().enumerate() {
        step(&mut fixture);
        for who in [web, work] {
            fixture.roundtrip(who);
        }
        fixture.wait("the frame", |fixture| !fixture.state().comp.schedule.is_pending());
        let whole = fixture.screenshot().0;
        let drawn = fixture.state().backend.last_frame().unwrap();
        assert!(drawn == whole, "after step {index} the screen is not what it should be");
    }
}

/// A desktop with windows of two VMs and a popup, of which one VM has a pattern and a mark, in a compositor of its own.
fn marked(scale: f64, work: &str) -> Fixture {
    let size = |length: f64| (length * scale) as i32;
    let text = format!(
        "[background]\npicture = 'none'\nhint = false\n[animation]\nenabled = false\n[theme]\nfullscreen_flash = 500\n\
         [vm.work]\nlabel = 'Work'\ncolor = '#2e7d32'\nmark = 'triangle'\n{work}\n\
         [vm.web]\nlabel = 'Web'\ncolor = '#c62828'\npattern = 'stripes'\nmark = 'ring'\n\
         [vm.mail]\nlabel = 'Mail'\ncolor = '#1565c0'\n"
    );
    let config = Config::parse(Path::new("test.toml"), &text).unwrap();
    let mut fixture = Fixture::with(Live::fixed(config), (size(900.0), size(560.0)), scale);
    let web = fixture.connect(vm("web"));
    let first = fixture.window(web, 340, 220, [0xf0, 0xe0, 0xc0, 0xff]);
    fixture.client(web).told.shown[first].toplevel.as_ref().unwrap().set_title("A page".to_owned());
    let popup = fixture.client(web).create_popup(first, 300, 180, 90, 70);
    fixture.configured(web, popup, 0);
    fixture.client(web).draw(popup, 90, 70, [0xff, 0xff, 0xff, 0xff]);
    let work = fixture.connect(vm("work"));
    fixture.window(work, 300, 180, [0x60, 0x70, 0x80, 0xff]);
    fixture.roundtrip(web);
    fixture
}

#[test]
fn labels_alone() {
    for scale in [1.0, 1.5] {
        let mut fixture = marked(scale, "");
        for key in ["leftmeta", "x"] {
            fixture.state().input_key(vitrail::ipc::keys::key(key).unwrap(), true);
        }
        compare(&format!("xray_{}", scale * 100.0), &fixture.screenshot().0);
    }
}

#[test]
fn the_trusted_panel() {
    use vitrail::trust::panel::Operation;
    for scale in [1.0, 1.25, 2.0] {
        let mut fixture = marked(scale, "");
        fixture.state().restrain(&vm("mail"), Operation::Disconnect, true);
        fixture.state().restrain(&vm("work"), Operation::Pause, true);
        fixture.chord(&["leftctrl", "leftalt", "delete"]);
        fixture.wait("the panel", |fixture| fixture.state().comp.panel_takes_answer());
        fixture.chord(&["down"]);
        fixture.chord(&["down"]);
        compare(&format!("panel_{}", scale * 100.0), &fixture.screenshot().0);
    }
}

#[test]
fn a_window_that_has_the_whole_output() {
    for scale in [1.0, 1.5] {
        let mut fixture = marked(scale, "fullscreen = 'real'");
        let work = fixture.everybody()[1];
        let id = fixture.report().into_iter().find(|window| window.vm == "work").unwrap().id;
        fixture.state().comp.shell.activate(id);
        let before = fixture.client(work).configures(0).len();
        fixture.client(work).told.shown[0].toplevel.as_ref().unwrap().set_fullscreen(None);
        fixture.configured(work, 0, before);
        let (w, h) = fixture.client(work).configures(0).last().unwrap().size;
        fixture.client(work).draw(0, w, h, [0x60, 0x70, 0x80, 0xff]);
        fixture.roundtrip(work);
        fixture.wait("the stripe's going", |fixture| {
            let shell = &fixture.state().comp.shell;
            shell.is_retreated(shell.outputs().active().id)
        });
        compare(&format!("fullscreen_{}", scale * 100.0), &fixture.screenshot().0);
    }
}
