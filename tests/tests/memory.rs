//! The file of a region: what a VM no longer uses goes back to the host, wherever in the file the region begins.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use vitrail_tests::client::{Buffer, Client, Window, WindowOptions};
use vitrail_tests::deadline::Deadline;
use vitrail_tests::process::wait_for_change;
use vitrail_tests::session::{Options, Session, Sharing};

const MIB: u64 = 1 << 20;

/// What the windows of the VM use together.
const USED: u64 = 512 * MIB;

/// What may be left of it.
const LEFT: u64 = 16 * MIB;

const WINDOWS: usize = 8;

/// Width and height of a window's buffer in pixels: 64 MiB, and a few columns that the test client adds.
const SIDE: i32 = 4096;

fn blocks(path: &Path) -> u64 {
    fs::metadata(path).expect("the file of a region").blocks() * 512
}

/// Waits until the file has fewer bytes of blocks than [`LEFT`].
#[track_caller]
fn wait_returned(path: &Path) {
    let returned = wait_for_change(path, Deadline::patient(), || blocks(path) < LEFT);
    assert!(returned, "{} MiB are left", blocks(path) / MIB);
}

/// A VM with a small window of one application and windows of another that use [`USED`] bytes.
struct Scene {
    session: Session,
    small: (Client, Window),
    large: Client,
    windows: Vec<(Window, Buffer)>,
    region: PathBuf,
}

impl Scene {
    fn start() -> Self {
        let options = Options::new(&["work"]).region_mib(768).limit("shm_mib", 1024);
        let mut session = Session::with(options);
        let region = session.region("work");
        let mut client = session.client("work");
        let small = client.window(&WindowOptions::new("small", 0x0010_2030)).expect("a window");
        let mut large = session.client("work");
        let windows = (0..WINDOWS)
            .map(|number| {
                let options = WindowOptions::new(&format!("large {number}"), 0x00ff_ffff).size(64, 64);
                let window = large.window(&options).expect("a window");
                let buffer = large.buffers(1, SIDE, SIDE).pop().expect("a buffer");
                large.commit(&window.surface, &buffer);
                // So that the copy of one is made before the memory of the next is asked for.
                large.roundtrip().expect("a live connection");
                (window, buffer)
            })
            .collect();
        session.wait_windows("all of them", |windows| windows.len() == 1 + WINDOWS);
        assert!(blocks(&region) >= USED, "only {} MiB are used", blocks(&region) / MIB);
        Self { session, small: (client, small), large, windows, region }
    }

    /// The application that went on is shown as before.
    fn assert_small_is_usable(&mut self) {
        let (client, window) = &mut self.small;
        client.recolor(window, 0x0040_5060).expect("a live connection");
        self.session.assert_color("small", 0x0040_5060);
    }
}

#[test]
fn the_memory_of_closed_windows_goes_back_to_the_host() {
    let mut scene = Scene::start();
    for (window, buffer) in scene.windows.drain(..) {
        window.toplevel.destroy();
        window.xdg_surface.destroy();
        window.surface.destroy();
        buffer.object().destroy();
    }
    scene.large.roundtrip().expect("a live connection");
    wait_returned(&scene.region);
    scene.assert_small_is_usable();
}

#[test]
fn the_memory_of_an_application_that_died_goes_back_to_the_host() {
    let Scene { large, windows, region, session: _session, small: _small } = Scene::start();
    drop((windows, large));
    wait_returned(&region);
}

#[test]
fn the_memory_of_a_forwarder_that_died_goes_back_to_the_host() {
    let scene = Scene::start();
    scene.session.forward("work").kill();
    wait_returned(&scene.region);
}

#[test]
fn a_region_behind_what_the_kernel_keeps_of_a_devdax_device_is_drawn_and_trimmed_in_its_place() {
    let mut session = Session::with(Options::new(&["work"]).sharing(Sharing::Pmem));
    let path = session.region("work");
    let info_block = || fs::read(&path).expect("the file of a region")[4096..8192].to_vec();
    let before = info_block();
    assert!(before.starts_with(b"NVDIMM_DAX_INFO"));
    let mut client = session.client("work");
    let mut window =
        client.window(&WindowOptions::new("window", 0x0010_2030).size(320, 200)).expect("a window");
    session.wait_window("window");
    session.assert_color("window", 0x0010_2030);
    client.recolor(&mut window, 0x0040_5060).expect("a live connection");
    session.assert_color("window", 0x0040_5060);
    let used = blocks(&path);
    drop((window, client));
    // What is left: a page of the header, and one of the info block.
    let returned = wait_for_change(&path, Deadline::patient(), || blocks(&path) <= 8192);
    assert!(returned, "{} bytes are left of {used}", blocks(&path));
    assert_eq!(info_block(), before);
}
