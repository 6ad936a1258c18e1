//! Unmodified applications of Debian, through the whole chain: the light ones of `applications.toml`, and how they get on
//! with each other and with `wl-forward`.

use rustix::process::Signal;
use vitrail_tests::applications::{run, table};
use vitrail_tests::client::WindowOptions;
use vitrail_tests::deadline::Deadline;
use vitrail_tests::process::{self, Exit, Process};
use vitrail_tests::session::Session;

/// Starts an installed application of a VM and waits for its window.
#[track_caller]
fn start(session: &mut Session, vm: &str, program: &str, arguments: &[&str]) -> Process {
    assert!(process::is_installed(program), "{program} is not installed; `cargo xtask setup` does it");
    let before = session.windows().len();
    let mut command = session.application(vm, program);
    let application = Process::start(program, &session.logs(), command.args(arguments), &[]);
    session.wait_windows(program, |windows| windows.len() > before);
    application
}

/// Ends an application and waits for its window to go.
#[track_caller]
fn end(session: &mut Session, application: &Process) {
    let before = session.windows().len();
    application.signal(Signal::TERM);
    application.wait_exit(Deadline::patient());
    session.wait_windows("the end of a window", |windows| windows.len() < before);
}

/// A test for each light application of the table, and one that none is forgotten.
macro_rules! light_applications {
    ($($test:ident: $name:literal,)*) => {
        $(
            #[test]
            fn $test() {
                let mut applications = table::applications().into_iter();
                let application = applications.find(|application| application.name == $name);
                run(&application.expect("it is in the table"), None, None);
            }
        )*

        #[test]
        fn every_light_application_of_the_table_is_a_test() {
            let applications = table::applications();
            let light = applications.iter().filter(|application| application.light);
            let names: Vec<&str> = light.map(|application| application.name.as_str()).collect();
            assert_eq!(names, [$($name),*]);
        }
    };
}

light_applications! {
    foot: "foot",
    wtype: "wtype",
    weston_terminal: "weston-terminal",
    weston_flower: "weston-flower",
    weston_simple_shm: "weston-simple-shm",
    weston_simple_damage: "weston-simple-damage",
    weston_smoke: "weston-smoke",
    weston_calibrator: "weston-calibrator",
    weston_clickdot: "weston-clickdot",
    weston_cliptest: "weston-cliptest",
    weston_content_protection: "weston-content_protection",
    weston_debug: "weston-debug",
    weston_dnd: "weston-dnd",
    weston_editor: "weston-editor",
    weston_eventdemo: "weston-eventdemo",
    weston_fullscreen: "weston-fullscreen",
    weston_image: "weston-image",
    weston_multi_resource: "weston-multi-resource",
    weston_resizor: "weston-resizor",
    weston_scaler: "weston-scaler",
    weston_screenshooter: "weston-screenshooter",
    weston_stacking: "weston-stacking",
    weston_subsurfaces: "weston-subsurfaces",
    weston_transformed: "weston-transformed",
    weston_confine: "weston-confine",
    weston_simple_touch: "weston-simple-touch",
    weston_touch_calibrator: "weston-touch-calibrator",
    weston_info: "weston-info",
    gtk3_demo: "gtk3-demo",
    gtk4_demo: "gtk4-demo",
    focuswriter: "focuswriter",
    mpv: "mpv",
    wl_clipboard: "wl-clipboard",
    swaybg: "swaybg",
    fuzzel: "fuzzel",
    swaylock: "swaylock",
}

#[test]
fn applications_of_several_vms_show_side_by_side() {
    let mut session = Session::start(&["work", "personal", "untrusted"]);
    let applications = [
        start(&mut session, "work", "foot", &["--config=/dev/null", "sh"]),
        start(&mut session, "personal", "weston-flower", &[]),
        start(&mut session, "untrusted", "weston-simple-shm", &[]),
        start(&mut session, "local", "weston-flower", &[]),
    ];
    let mut vms: Vec<String> = session.windows().into_iter().map(|window| window.vm).collect();
    vms.sort_unstable();
    assert_eq!(vms, ["local", "personal", "untrusted", "work"]);
    for application in &applications {
        end(&mut session, application);
    }
}

#[test]
fn wl_forward_exits_with_the_status_of_its_command() {
    let session = Session::start(&["work"]);
    let directory = session.root().join("second");
    std::fs::create_dir(&directory).unwrap();
    let mut command = process::command(process::program("wl-forward"));
    command.env("XDG_RUNTIME_DIR", &directory);
    command.arg("--hub").arg(format!("unix:{}", session.hub_socket("work").display()));
    command.args(["--socket", "wayland-second", "--"]);
    command.args(["sh", "-c", "test -S \"$XDG_RUNTIME_DIR/$WAYLAND_DISPLAY\" && exit 42"]);
    let forward = Process::start("wl-forward-second", &session.logs(), &mut command, &[]);
    assert_eq!(forward.wait_exit(Deadline::patient()), Exit::Status(42));
}

#[test]
fn wl_forward_serves_other_clients_until_they_end_after_its_command() {
    let mut session = Session::start(&["work"]);
    let directory = session.root().join("second");
    std::fs::create_dir(&directory).unwrap();
    let go = session.root().join("go");
    rustix::fs::mkfifoat(rustix::fs::CWD, &go, rustix::fs::Mode::RWXU).unwrap();
    let mut command = process::command(process::program("wl-forward"));
    command.env("XDG_RUNTIME_DIR", &directory);
    command.arg("--hub").arg(format!("unix:{}", session.hub_socket("work").display()));
    command.args(["--socket", "wayland-second", "--"]);
    command.args(["sh", "-c", "read word < \"$0\"; echo ended; exit 7"]).arg(&go);
    let forward = Process::start("wl-forward-second", &session.logs(), &mut command, &[]);
    let socket = directory.join("wayland-second");
    let mut client = vitrail_tests::client::Client::connect(&socket);
    let mut window = client.window(&WindowOptions::new("outlives", 0)).unwrap();
    session.wait_window("outlives");
    std::fs::write(&go, "go\n").unwrap();
    forward.wait_log("ended");
    for color in [0x0001_0203, 0x0004_0506] {
        client.recolor(&mut window, color).unwrap();
    }
    session.assert_color("outlives", 0x0004_0506);
    assert_eq!(forward.exit(), None, "it ended before its last client");
    drop(client);
    assert_eq!(forward.wait_exit(Deadline::patient()), Exit::Status(7));
}
