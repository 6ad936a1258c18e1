//! Programs of a desktop session at work, local ones from Debian: a bar with the windows of VMs, notifications, idleness, a keyboard on
//! the screen, and a lock that opens. Each test keeps a picture below `target/tmp/session-programs`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use vitrail_tests::client::{Rect, WindowOptions};
use vitrail_tests::deadline::Deadline;
use vitrail_tests::image::Image;
use vitrail_tests::process::{self, Exit, Process};
use vitrail_tests::session::{Session, bounds};

const BLUE: u32 = 0x0012_3456;
const BROWN: u32 = 0x0065_4321;
/// Of the test's style sheets and options.
const BAR: u32 = 0x00aa_3300;
const TASK: u32 = 0x0000_5500;
const ACTIVE: u32 = 0x0000_9900;
const MINIMIZED: u32 = 0x0055_5555;
const VM_WORK: u32 = 0x0033_0033;
const VM_PERSONAL: u32 = 0x0066_0066;
const NOTICE: u32 = 0x00aa_00aa;
const LOCK: u32 = 0x0000_ff00;
const WRONG: u32 = 0x00ff_0000;
const KEYS: u32 = 0x0010_2030;
/// squeekboard's own.
const SQUEEKBOARD: u32 = 0x00de_dede;
/// What an input method hears of the purpose of a terminal.
const TERMINAL: &str = ".content_type(0, 13)";

const MIDDLE: u32 = 0x112;
const RIGHT: u32 = 0x111;

/// Where pictures of the tests stay.
fn pictures() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("session-programs")
}

/// A file of this repository.
fn asset(name: &str) -> String {
    format!("{}/../{name}", env!("CARGO_MANIFEST_DIR"))
}

fn write(session: &Session, name: &str, text: &str) -> String {
    let path = session.root().join("gui").join(name);
    fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
    fs::write(&path, text).expect("a file of the test");
    path.display().to_string()
}

/// Presses a button where the pointer is to be.
fn press(session: &mut Session, (x, y): (i32, i32), code: u32) {
    let button = |pressed: bool| json!({"event": "button", "code": code, "pressed": pressed});
    session.input(&[json!({"event": "move", "x": x, "y": y}), button(true), button(false)]);
}

fn middle(rect: Rect) -> (i32, i32) {
    (rect.x + rect.w / 2, rect.y + rect.h / 2)
}

fn focused(session: &mut Session) -> Option<String> {
    session.windows().into_iter().find(|window| window.focused).map(|window| window.title)
}

/// waybar with the example's modules, in colours by which the test sees what it shows.
fn waybar(session: &Session) -> Process {
    let style = format!(
        "@import \"{}\";
* {{ font-family: sans; min-height: 0; }}
window#waybar {{ background: #{BAR:06x}; color: #ffffff; }}
#taskbar button {{ background: #{TASK:06x}; border: none; box-shadow: none; padding: 4px 16px; color: #ffffff; }}
#taskbar button.active {{ background: #{ACTIVE:06x}; }}
#taskbar button.minimized {{ background: #{MINIMIZED:06x}; }}
#custom-vms.vm-work {{ background: #{VM_WORK:06x}; }}
#custom-vms.vm-personal {{ background: #{VM_PERSONAL:06x}; }}
",
        asset("assets/examples/waybar/style.css")
    );
    let style = write(session, "style.css", &style);
    let ipc = session.root().join("gui/ipc.sock");
    let program = process::program("vitrailctl");
    let programs = program.parent().expect("a directory").display();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap_or_default());
    let config = asset("assets/examples/waybar/config.jsonc");
    session.start_local_with(
        "waybar",
        &["waybar", "--config", &config, "--style", &style],
        &[("PATH", &path), ("VITRAIL_IPC", &ipc.display().to_string()), ("WAYLAND_DEBUG", "1")],
    )
}

#[test]
fn waybar_lists_the_windows_of_vms_and_moves_the_keyboard_where_it_is_pressed() {
    let mut session = Session::start(&["work", "personal"]);
    let mut work = session.client("work");
    let invoice_window = work.window(&WindowOptions::new("[personal] Invoice", BLUE)).unwrap();
    session.wait_window("[personal] Invoice");
    let mut personal = session.client("personal");
    let _chat = personal.window(&WindowOptions::new("Chat", BROWN)).unwrap();
    session.wait_window("Chat");
    let bar = waybar(&session);
    let all = session.below_the_stripe();
    let shows = |color: u32| move |image: &Image| bounds(image, all, color).is_some();
    let image = session
        .wait_screen("the bar", |image| shows(ACTIVE)(image) && shows(TASK)(image) && shows(VM_WORK)(image));
    // What it shows begins with the label, whatever the VM says.
    bar.wait_log("title(\"[work] [personal] Invoice\")");
    bar.wait_log("title(\"[personal] Chat\")");
    bar.wait_log("app_id(\"vitrail.personal.Chat\")");
    let [invoice, chat] = [ACTIVE, TASK].map(|color| bounds(&image, all, color).expect("a task"));
    assert!(chat.x > invoice.x, "one beside the other: {invoice:?} {chat:?}");
    session.keep_screenshot(&pictures(), "waybar");
    session.click(middle(chat).0, chat.y + 2);
    session.wait_screen("the other VM", shows(VM_PERSONAL));
    assert_eq!(focused(&mut session).as_deref(), Some("Chat"));
    session.keep_screenshot(&pictures(), "waybar-after-a-press");
    press(&mut session, (middle(chat).0, chat.y + 2), RIGHT);
    // The keyboard goes to no other VM by itself.
    session
        .wait_screen("the minimised window", |image| shows(MINIMIZED)(image) && !shows(VM_PERSONAL)(image));
    assert_eq!(focused(&mut session), None);
    session.click(middle(chat).0, chat.y + 2);
    session.wait_screen("the restored window", shows(VM_PERSONAL));
    assert_eq!(focused(&mut session).as_deref(), Some("Chat"));
    press(&mut session, (middle(invoice).0, invoice.y + 2), MIDDLE);
    work.wait_until("the question", |told| told.surface(invoice_window.number).closed).unwrap();
}

/// A session bus of the test's own.
fn session_bus(session: &Session) -> (Process, String) {
    let socket = session.root().join("gui/bus");
    let address = format!("unix:path={}", socket.display());
    // It starts mako, and gives its environment on.
    let line = ["dbus-daemon", "--session", "--nofork", &format!("--address={address}")];
    let bus = session.start_local("dbus-daemon", &line);
    bus.wait_path(&socket);
    (bus, address)
}

#[test]
fn mako_shows_a_notification_over_the_windows_and_takes_no_keyboard() {
    let mut session = Session::start(&["work"]);
    let mut client = session.client("work");
    let _window = client.window(&WindowOptions::new("used", BLUE)).unwrap();
    session.wait_window("used");
    let config = format!(
        "background-color=#{NOTICE:06x}\ntext-color=#ffffff\nborder-size=0\nanchor=top-right\nfont=sans 12\nwidth=300\nheight=100\nicons=0\n"
    );
    write(&session, ".config/mako/config", &config);
    let (_bus, address) = session_bus(&session);
    let notify = ["notify-send", "Updates", "Twelve packages can be updated"];
    let environment = [("DBUS_SESSION_BUS_ADDRESS", address.as_str())];
    let sent = session.start_local_with("notify-send", &notify, &environment);
    assert_eq!(sent.wait_exit(Deadline::patient()), Exit::Status(0));
    let all = session.below_the_stripe();
    let image = session.wait_screen("the notification", |image| image.count(all, NOTICE) > 4000);
    let notice = bounds(&image, all, NOTICE).expect("the notification");
    assert!(notice.y >= 24 && notice.x > 900, "below the stripe, at the right: {notice:?}");
    assert_eq!(focused(&mut session).as_deref(), Some("used"));
    session.keep_screenshot(&pictures(), "mako");
    session.click(notice.x + 4, notice.y + 4);
    session.wait_screen("its end", |image| image.count(all, NOTICE) == 0);
    assert_eq!(focused(&mut session).as_deref(), Some("used"));
}

#[test]
fn swayidle_locks_when_nobody_is_there_and_notices_that_somebody_is() {
    let mut session = Session::start(&["work"]);
    let mut client = session.client("work");
    let _window = client.window(&WindowOptions::new("left alone", BLUE)).unwrap();
    session.wait_window("left alone");
    let line =
        ["swayidle", "timeout", "1", "echo nobody; exec swaylock --color=00ff00", "resume", "echo somebody"];
    let idle = session.start_local("swayidle", &line);
    let all = session.below_the_stripe();
    idle.wait_log("nobody");
    session.wait_screen("the lock", |image| image.pixel(2, 30) == Some(LOCK));
    assert!(!idle.log().contains("somebody"));
    session.keep_screenshot(&pictures(), "swayidle");
    assert_eq!(session.screenshot().count(all, BLUE), 0);
    session.tap(42);
    idle.wait_log("somebody");
    assert!(session.control(&["status"]).contains("session        locked"), "a key unlocks nothing");
}

/// A terminal of a VM with the keyboard, in which a line is read into a file, which is whole when it is there.
fn terminal(session: &mut Session) -> (Process, PathBuf) {
    let typed = session.root().join("work/typed");
    let file = typed.display();
    let script =
        format!("read word; echo \"$word\" > '{file}.part'; mv '{file}.part' '{file}'; exec sleep 1000");
    let mut command = session.application("work", "foot");
    command.args(["--config=/dev/null", "--title=terminal", "sh", "-c", &script]);
    let foot = Process::start("foot", &session.logs(), &mut command, &[]);
    session.wait_window("terminal");
    (foot, typed)
}

/// Presses a key of a keyboard on the screen, and waits until that has done or heard something so many times.
fn press_key(session: &mut Session, board: &Process, (x, y): (i32, i32), what: &str, times: usize) {
    session.click(x, y);
    board.wait_log_times(what, times);
}

#[test]
fn wvkbd_types_into_a_terminal_of_a_vm_by_a_virtual_keyboard() {
    let mut session = Session::start(&["work"]);
    let (foot, typed) = terminal(&mut session);
    let line = ["wvkbd-mobintl", "-L", "240", "--fg", "102030ff", "--text", "ffffffff"];
    let board = session.start_local_with("wvkbd", &line, &[("WAYLAND_DEBUG", "1")]);
    let all = session.below_the_stripe();
    let image = session.wait_screen("the keyboard", |image| image.count(all, KEYS) > 20_000);
    let keys = bounds(&image, all, KEYS).expect("its keys");
    assert!(keys.w > 1200, "as wide as the screen: {keys:?}");
    session.keep_screenshot(&pictures(), "wvkbd");
    for (number, place) in (1..).zip([(122, 660), (244, 660), (366, 660), (1152, 780)]) {
        // Down and up.
        press_key(&mut session, &board, place, ".key(", 2 * number);
    }
    foot.wait_path(&typed);
    assert_eq!(fs::read_to_string(&typed).unwrap(), "qwe\n");
    assert_eq!(focused(&mut session).as_deref(), Some("terminal"), "the keyboard stays where it is");
}

/// It is the input method: it shows itself where there is a text input, hears that this one is a terminal, for which it has another
/// layout, and writes letters as text and the rest as keys.
#[test]
fn squeekboard_comes_up_for_a_terminal_of_a_vm_and_types_into_it() {
    let mut session = Session::start(&["work"]);
    let (foot, typed) = terminal(&mut session);
    let (_bus, address) = session_bus(&session);
    // It shows itself to whoever has set that up.
    let settings = "[org/gnome/desktop/a11y/applications]\nscreen-keyboard-enabled=true\n";
    write(&session, ".config/glib-2.0/settings/keyfile", settings);
    let environment = [
        ("DBUS_SESSION_BUS_ADDRESS", address.as_str()),
        ("GSETTINGS_BACKEND", "keyfile"),
        ("WAYLAND_DEBUG", "1"),
    ];
    let board = session.start_local_with("squeekboard", &["squeekboard"], &environment);
    let all = session.below_the_stripe();
    session.wait_screen("the keyboard", |image| image.count(all, SQUEEKBOARD) > 100_000);
    board.wait_log(".activate()");
    board.wait_log(TERMINAL);
    session.keep_screenshot(&pictures(), "squeekboard");
    for (number, place) in (1..).zip([(64, 495), (192, 495), (320, 495)]) {
        // The terminal says again what it is, for what comes next.
        press_key(&mut session, &board, place, TERMINAL, number + 1);
    }
    board.wait_log(".commit_string(\"e\")");
    press_key(&mut session, &board, (1173, 757), ".key(", 2);
    foot.wait_path(&typed);
    assert_eq!(fs::read_to_string(&typed).unwrap(), "qwe\n");
    assert_eq!(focused(&mut session).as_deref(), Some("terminal"), "the keyboard stays where it is");
}

/// A PAM of the test's own, which has one user with one password: the machine's accounts have no part in it.
fn pam(session: &Session, password: &str) -> Vec<(&'static str, String)> {
    let user = rustix::process::getuid().as_raw();
    let passwd = fs::read_to_string("/etc/passwd").expect("the names of users");
    let fields = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let name = fields.filter(|fields| fields.get(2) == Some(&user.to_string().as_str()));
    let name = name.map(|fields| fields[0].to_owned()).next().expect("the name of this user");
    let database = write(session, "passdb", &format!("{name}:{password}:swaylock\n"));
    let rule = format!(
        "auth required ../pam_wrapper/pam_matrix.so passdb={database}\naccount required pam_permit.so\n"
    );
    let service = write(session, "pam/swaylock", &rule);
    let services = Path::new(&service).parent().expect("a directory").display().to_string();
    vec![
        ("LD_PRELOAD", String::from("libpam_wrapper.so")),
        ("PAM_WRAPPER", String::from("1")),
        ("PAM_WRAPPER_SERVICE_DIR", services),
    ]
}

fn type_line(session: &mut Session, word: &str) {
    session.control(&["input", "type", &format!("{word}\\n")]);
}

#[test]
fn swaylock_stays_with_a_wrong_password_and_opens_with_the_right_one() {
    let mut session = Session::start(&["work"]);
    let mut client = session.client("work");
    let _window = client.window(&WindowOptions::new("secret", BLUE)).unwrap();
    session.wait_window("secret");
    let environment = pam(&session, "open sesame");
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let line = ["swaylock", "--color=00ff00", "--ring-wrong-color=ff0000", "--inside-wrong-color=ff0000"];
    let lock = session.start_local_with("swaylock", &line, &environment);
    let all = session.below_the_stripe();
    session.wait_screen("the lock", |image| image.pixel(2, 30) == Some(LOCK));
    type_line(&mut session, "open barley");
    session.wait_screen("the refusal", |image| image.count(all, WRONG) > 200);
    session.keep_screenshot(&pictures(), "swaylock-wrong");
    assert_eq!(session.screenshot().count(all, BLUE), 0);
    assert!(session.control(&["status"]).contains("session        locked"));
    type_line(&mut session, "open sesame");
    assert_eq!(lock.wait_exit(Deadline::patient()), Exit::Status(0));
    let content = session.windows()[0].content();
    session.wait_screen("the window", |image| image.count(content, BLUE) > 1000);
    assert!(!session.control(&["status"]).contains("session        locked"));
    assert_eq!(focused(&mut session).as_deref(), Some("secret"), "it has the keyboard back");
    session.keep_screenshot(&pictures(), "swaylock-open");
}
