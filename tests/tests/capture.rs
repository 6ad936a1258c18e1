//! An application takes pictures of another window of its VM, through the whole chain: what arrives in its own memory is what
//! the window's client drew, to the byte, and it is there when the application is told so.

use std::process::Output;

use vitrail_tests::client::{Canvas, Memory, WindowOptions};
use vitrail_tests::deadline::Deadline;
use vitrail_tests::painter::{Damage, Painter, Presentation};
use vitrail_tests::process;
use vitrail_tests::session::{Options, Session, Sharing};
use wayland_client::globals::{GlobalList, GlobalListContents, registry_queue_init};
use wayland_client::protocol::wl_buffer::WlBuffer;
use wayland_client::protocol::wl_registry::{self, WlRegistry};
use wayland_client::protocol::wl_shm::{Format, WlShm};
use wayland_client::protocol::wl_shm_pool::WlShmPool;
use wayland_client::{Connection, Dispatch, EventQueue, Proxy, QueueHandle, WEnum, delegate_noop};
use wayland_protocols::ext::foreign_toplevel_list::v1::client::ext_foreign_toplevel_handle_v1::{
    self, ExtForeignToplevelHandleV1,
};
use wayland_protocols::ext::foreign_toplevel_list::v1::client::ext_foreign_toplevel_list_v1::{
    self, ExtForeignToplevelListV1,
};
use wayland_protocols::ext::image_capture_source::v1::client::ext_foreign_toplevel_image_capture_source_manager_v1::ExtForeignToplevelImageCaptureSourceManagerV1;
use wayland_protocols::ext::image_capture_source::v1::client::ext_image_capture_source_v1::ExtImageCaptureSourceV1;
use wayland_protocols::ext::image_copy_capture::v1::client::ext_image_copy_capture_frame_v1::{
    self, ExtImageCopyCaptureFrameV1, FailureReason,
};
use wayland_protocols::ext::image_copy_capture::v1::client::ext_image_copy_capture_manager_v1::{
    ExtImageCopyCaptureManagerV1, Options as CaptureOptions,
};
use wayland_protocols::ext::image_copy_capture::v1::client::ext_image_copy_capture_session_v1::{
    self, ExtImageCopyCaptureSessionV1,
};

const CAPTURES: [&str; 3] = [
    "ext_foreign_toplevel_list_v1",
    "ext_foreign_toplevel_image_capture_source_manager_v1",
    "ext_image_copy_capture_manager_v1",
];

/// The size of the windows.
const SIZE: (i32, i32) = (200, 180);

/// What a recorder was told.
#[derive(Default)]
struct Told {
    windows: Vec<(ExtForeignToplevelHandleV1, String)>,
    size: Option<(u32, u32)>,
    stopped: bool,
    damage: Vec<(i32, i32, i32, i32)>,
    end: Option<Result<(), FailureReason>>,
}

/// Takes note of one kind of events.
macro_rules! note {
    ($interface:ty, |$told:ident, $object:ident, $event:ident| $does:expr) => {
        impl Dispatch<$interface, ()> for Told {
            fn event(
                $told: &mut Self,
                $object: &$interface,
                $event: <$interface as Proxy>::Event,
                _: &(),
                _: &Connection,
                _: &QueueHandle<Self>,
            ) {
                $does;
            }
        }
    };
}

impl Dispatch<ExtForeignToplevelListV1, ()> for Told {
    fn event(
        told: &mut Self,
        _: &ExtForeignToplevelListV1,
        event: ext_foreign_toplevel_list_v1::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let ext_foreign_toplevel_list_v1::Event::Toplevel { toplevel } = event {
            told.windows.push((toplevel, String::new()));
        }
    }

    wayland_client::event_created_child!(Told, ExtForeignToplevelListV1, [
        ext_foreign_toplevel_list_v1::EVT_TOPLEVEL_OPCODE => (ExtForeignToplevelHandleV1, ()),
    ]);
}

impl Dispatch<WlRegistry, GlobalListContents> for Told {
    fn event(
        _: &mut Self,
        _: &WlRegistry,
        _: wl_registry::Event,
        _: &GlobalListContents,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
    }
}

note!(ExtForeignToplevelHandleV1, |told, handle, event| {
    if let ext_foreign_toplevel_handle_v1::Event::Title { title } = event {
        let window = told.windows.iter_mut().find(|(known, _)| known == handle).expect("a listed window");
        window.1 = title;
    }
});
note!(ExtImageCopyCaptureSessionV1, |told, _session, event| match event {
    ext_image_copy_capture_session_v1::Event::BufferSize { width, height } =>
        told.size = Some((width, height)),
    ext_image_copy_capture_session_v1::Event::Stopped => told.stopped = true,
    _ => {}
});
note!(ExtImageCopyCaptureFrameV1, |told, _frame, event| match event {
    ext_image_copy_capture_frame_v1::Event::Damage { x, y, width, height } => {
        told.damage.push((x, y, width, height));
    }
    ext_image_copy_capture_frame_v1::Event::Ready => told.end = Some(Ok(())),
    ext_image_copy_capture_frame_v1::Event::Failed { reason: WEnum::Value(reason) } => {
        told.end = Some(Err(reason));
    }
    _ => {}
});

delegate_noop!(Told: ignore WlShm);
delegate_noop!(Told: ignore WlShmPool);
delegate_noop!(Told: ignore WlBuffer);
delegate_noop!(Told: ignore ExtForeignToplevelImageCaptureSourceManagerV1);
delegate_noop!(Told: ignore ExtImageCaptureSourceV1);
delegate_noop!(Told: ignore ExtImageCopyCaptureManagerV1);

/// An application that takes pictures.
struct Recorder {
    queue: EventQueue<Told>,
    globals: GlobalList,
    told: Told,
}

/// A buffer of the recorder in memory of its own, and what of it is older than the last picture.
struct Paper {
    memory: Memory,
    buffer: WlBuffer,
    stride: i32,
    stale: Vec<(i32, i32, i32, i32)>,
}

impl Paper {
    /// How it differs from `expected`: a place, and what is there.
    fn difference(&self, expected: &Canvas) -> Option<(i32, i32, u32)> {
        let (width, height) = (expected.width(), expected.height());
        let mut bytes = vec![0; usize::try_from(self.stride * height).expect("a size")];
        self.memory.read(0, &mut bytes);
        let pixel = |x: i32, y: i32| {
            let at = usize::try_from(y * self.stride + x * 4).expect("a place");
            u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
        };
        let mut places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let other = places.find(|(x, y)| pixel(*x, *y) != expected.pixel(*x, *y) | 0xff00_0000);
        other.map(|(x, y)| (x, y, pixel(x, y)))
    }
}

impl Recorder {
    fn start(session: &Session, vm: &str) -> Self {
        let stream = process::connect(&session.vm_socket(vm), Deadline::patient());
        let connection = Connection::from_socket(stream).expect("a client's end");
        let (globals, queue) = registry_queue_init(&connection).expect("a registry");
        Self { queue, globals, told: Told::default() }
    }

    fn sees(&self, interface: &str) -> bool {
        self.globals.contents().with_list(|list| list.iter().any(|global| global.interface == interface))
    }

    fn handle(&self) -> QueueHandle<Told> {
        self.queue.handle()
    }

    #[track_caller]
    fn bind<I: Proxy + 'static>(&self) -> I
    where
        Told: Dispatch<I, ()>,
    {
        self.globals.bind(&self.handle(), 1..=1, ()).expect("a global that was announced")
    }

    #[track_caller]
    fn roundtrip(&mut self) {
        self.queue.roundtrip(&mut self.told).expect("a live connection");
    }

    /// The titles of the windows that it is told of.
    #[track_caller]
    fn list(&mut self) -> Vec<String> {
        self.bind::<ExtForeignToplevelListV1>();
        self.roundtrip();
        self.told.windows.iter().map(|(_, title)| title.clone()).collect()
    }

    /// A session of a window that is listed.
    #[track_caller]
    fn session(&mut self, title: &str) -> ExtImageCopyCaptureSessionV1 {
        let window = self.told.windows.iter().find(|(_, known)| known == title).expect("a listed window");
        let sources = self.bind::<ExtForeignToplevelImageCaptureSourceManagerV1>();
        let source = sources.create_source(&window.0, &self.handle(), ());
        let manager = self.bind::<ExtImageCopyCaptureManagerV1>();
        let session = manager.create_session(&source, CaptureOptions::empty(), &self.handle(), ());
        self.roundtrip();
        session
    }

    /// A buffer of the size that the session has.
    fn paper(&self) -> Paper {
        let (width, height) = self.told.size.expect("a size");
        let (width, height) = (width.cast_signed(), height.cast_signed());
        let stride = width * 4 + 12;
        let memory = Memory::new(u64::from((stride * height).unsigned_abs()));
        let pool = self.bind::<WlShm>().create_pool(memory.fd(), stride * height, &self.handle(), ());
        let buffer = pool.create_buffer(0, width, height, stride, Format::Xrgb8888, &self.handle(), ());
        pool.destroy();
        Paper { memory, buffer, stride, stale: vec![(0, 0, width, height)] }
    }

    fn ask(
        &mut self,
        session: &ExtImageCopyCaptureSessionV1,
        paper: &mut Paper,
    ) -> ExtImageCopyCaptureFrameV1 {
        (self.told.damage, self.told.end) = Default::default();
        let frame = session.create_frame(&self.handle(), ());
        frame.attach_buffer(&paper.buffer);
        for (x, y, width, height) in paper.stale.drain(..) {
            frame.damage_buffer(x, y, width, height);
        }
        frame.capture();
        frame
    }

    /// Waits for a frame's end and returns at once.
    #[track_caller]
    fn end(&mut self, frame: &ExtImageCopyCaptureFrameV1) -> Result<(), FailureReason> {
        while self.told.end.is_none() {
            self.queue.blocking_dispatch(&mut self.told).expect("a live connection");
        }
        frame.destroy();
        self.told.end.expect("it has ended")
    }
}

/// A session whose VMs may all take pictures.
fn open(sharing: Sharing) -> Session {
    let allow = format!("allow = {CAPTURES:?}");
    let options = Options::new(&["work", "personal"]).sharing(sharing);
    Session::with(options.protocols("work", &allow).protocols("personal", &allow))
}

#[test]
fn pictures_are_what_the_window_shows_when_they_are_said_to_be_ready() {
    for sharing in [Sharing::Region, Sharing::Pmem] {
        let mut session = open(sharing);
        let mut client = session.client("work");
        let options = WindowOptions::new("recorded", 0x0020_4060).size(SIZE.0, SIZE.1);
        let mut window = client.window(&options).expect("a window");
        let mut painter = Painter::new(31, Damage::Both, Presentation::PLAIN);
        session.wait_window("recorded");
        let mut recorder = Recorder::start(&session, "work");
        recorder.list();
        let capture = recorder.session("recorded");
        assert_eq!(recorder.told.size, Some((200, 180)));
        let mut papers = [recorder.paper(), recorder.paper(), recorder.paper()];
        for step in 0..150 {
            let place = step % papers.len();
            let frame = recorder.ask(&capture, &mut papers[place]);
            assert_eq!(recorder.end(&frame), Ok(()), "{step}");
            // Nothing else has happened since the event: the pixels are there.
            let difference = papers[place].difference(&painter.picture(&window));
            assert_eq!(difference, None, "{sharing:?} in picture {step} of {painter:?}");
            for (other, paper) in papers.iter_mut().enumerate() {
                if other != place {
                    paper.stale.extend(&recorder.told.damage);
                }
            }
            painter.step(&mut client, &mut window).expect("a live connection");
            client.roundtrip().expect("a live connection");
        }
    }
}

#[test]
fn a_vm_takes_pictures_of_its_own_windows_alone() {
    let mut session = open(Sharing::Region);
    let mut work = session.client("work");
    let _secret = work.window(&WindowOptions::new("secret", 0x00aa_bbcc).size(200, 180)).expect("a window");
    session.wait_window("secret");
    let mut recorder = Recorder::start(&session, "personal");
    assert_eq!(recorder.list(), Vec::<String>::new());
    let mut personal = session.client("personal");
    let mut own = personal.window(&WindowOptions::new("own", 0x0011_2233).size(200, 180)).expect("a window");
    session.wait_window("own");
    recorder.roundtrip();
    let titles: Vec<&str> = recorder.told.windows.iter().map(|(_, title)| title.as_str()).collect();
    assert_eq!(titles, ["own"]);
    let capture = recorder.session("own");
    for (front, color) in [("secret", 0x0044_5566), ("own", 0x0077_8899)] {
        session.focus(front);
        personal.recolor(&mut own, color).expect("a live connection");
        let mut paper = recorder.paper();
        let frame = recorder.ask(&capture, &mut paper);
        assert_eq!(recorder.end(&frame), Ok(()));
        assert_eq!(paper.difference(&own.canvas), None, "with {front} in front");
    }
    // The end of the window is the end of the session.
    drop(personal);
    while !recorder.told.stopped {
        recorder.queue.blocking_dispatch(&mut recorder.told).expect("a live connection");
    }
    let mut paper = recorder.paper();
    let frame = recorder.ask(&capture, &mut paper);
    assert_eq!(recorder.end(&frame), Err(FailureReason::Stopped));
}

#[test]
fn pictures_need_the_policys_word_and_a_region() {
    let options = Options::new(&["work", "personal"]).protocols("work", &format!("allow = {CAPTURES:?}"));
    let session = Session::with(options.clone());
    for (vm, shown) in [("work", true), ("personal", false)] {
        let recorder = Recorder::start(&session, vm);
        assert_eq!(CAPTURES.map(|interface| recorder.sees(interface)), [shown; 3], "{vm}");
    }
    let session = Session::with(options.sharing(Sharing::Stream));
    let recorder = Recorder::start(&session, "work");
    // A list is only a list.
    assert_eq!(CAPTURES.map(|interface| recorder.sees(interface)), [true, false, false]);
    let explain = |interface: &str| -> Output {
        let mut command = process::command(process::program("wl-forward"));
        command.env("XDG_RUNTIME_DIR", session.root().join("work"));
        command.arg("--hub").arg(format!("unix:{}", session.hub_socket("work").display()));
        command.args(["--explain", interface]).output().expect("wl-forward runs")
    };
    let output = explain(CAPTURES[2]);
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.contains("shares a region") && output.status.code() == Some(1), "{text}");
}

/// The pool is shortened while the compositor writes to the slot: the application's frame fails, and everything goes on.
#[test]
fn an_application_that_shortens_its_pool_loses_its_picture_and_nothing_else() {
    let mut session = open(Sharing::Region);
    let mut client = session.client("work");
    let options = WindowOptions::new("recorded", 0x0020_4060).size(200, 180);
    let mut window = client.window(&options).expect("a window");
    session.wait_window("recorded");
    let mut recorder = Recorder::start(&session, "work");
    recorder.list();
    let capture = recorder.session("recorded");
    let mut paper = recorder.paper();
    paper.memory.truncate(1000);
    let frame = recorder.ask(&capture, &mut paper);
    assert_eq!(recorder.end(&frame), Err(FailureReason::Unknown));
    // The compositor believes that the first picture was taken.
    let mut paper = recorder.paper();
    client.recolor(&mut window, 0x0060_4020).expect("a live connection");
    let frame = recorder.ask(&capture, &mut paper);
    assert_eq!(recorder.end(&frame), Ok(()));
    assert_eq!(paper.difference(&window.canvas), None);
}
