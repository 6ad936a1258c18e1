//! Pictures that clients take of windows: whose, of what, when, and what becomes of bad requests.

mod list;
mod local;
mod refusals;

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use smithay::utils::{Physical, Rectangle};
use vitrail::config::{Config, Live};
use vitrail::trust::origin::Origin;
use wayland_client::protocol::wl_buffer::WlBuffer;
use wayland_client::protocol::wl_shm::Format;
use wayland_client::{Connection, Dispatch, QueueHandle, WEnum, delegate_noop};
use wayland_protocols::ext::foreign_toplevel_list::v1::client::ext_foreign_toplevel_handle_v1::{
    self, ExtForeignToplevelHandleV1,
};
use wayland_protocols::ext::foreign_toplevel_list::v1::client::ext_foreign_toplevel_list_v1::{
    self, ExtForeignToplevelListV1,
};
use wayland_protocols::ext::image_capture_source::v1::client::ext_foreign_toplevel_image_capture_source_manager_v1::ExtForeignToplevelImageCaptureSourceManagerV1;
use wayland_protocols::ext::image_capture_source::v1::client::ext_image_capture_source_v1::ExtImageCaptureSourceV1;
use wayland_protocols::ext::image_copy_capture::v1::client::ext_image_copy_capture_cursor_session_v1::ExtImageCopyCaptureCursorSessionV1;
use wayland_protocols::ext::image_copy_capture::v1::client::ext_image_copy_capture_frame_v1::{
    self, ExtImageCopyCaptureFrameV1, FailureReason,
};
use wayland_protocols::ext::image_copy_capture::v1::client::ext_image_copy_capture_manager_v1::{
    ExtImageCopyCaptureManagerV1, Options,
};
use wayland_protocols::ext::image_copy_capture::v1::client::ext_image_copy_capture_session_v1::{
    self, ExtImageCopyCaptureSessionV1,
};
use wayland_protocols::wp::single_pixel_buffer::v1::client::wp_single_pixel_buffer_manager_v1::WpSinglePixelBufferManagerV1;

use crate::client::Told;
use crate::fixture::{Fixture, Who, vm};

const RED: [u8; 4] = [255, 0, 0, 255];
const GREEN: [u8; 4] = [0, 255, 0, 255];
const BLUE: [u8; 4] = [0, 0, 255, 255];
const BLACK: [u8; 4] = [0, 0, 0, 255];
/// What buffers hold before something is written to them: no window has it.
const UNTOUCHED: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

/// What a client was told of windows and their pictures.
#[derive(Default)]
pub struct Seen {
    lists: Vec<Listed>,
    finished: bool,
    sessions: Vec<Session>,
    frames: Vec<Frame>,
}

impl Seen {
    /// The names of the windows that are not closed.
    pub fn identifiers(&self) -> Vec<String> {
        self.lists.iter().filter(|window| !window.closed).map(|window| window.identifier.clone()).collect()
    }
}

#[derive(Default)]
struct Listed {
    handle: Option<ExtForeignToplevelHandleV1>,
    identifier: String,
    title: String,
    app_id: String,
    /// How often it was told.
    titles: usize,
    closed: bool,
}

#[derive(Default)]
struct Session {
    sizes: Vec<(u32, u32)>,
    formats: Vec<Format>,
    /// As many as there were batches of constraints.
    done: usize,
    stopped: bool,
}

#[derive(Default)]
struct Frame {
    damage: Vec<(i32, i32, i32, i32)>,
    transforms: usize,
    times: usize,
    end: Option<Result<(), FailureReason>>,
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
        match event {
            ext_foreign_toplevel_list_v1::Event::Toplevel { toplevel } => {
                told.seen.lists.push(Listed { handle: Some(toplevel), ..Listed::default() });
            }
            _ => told.seen.finished = true,
        }
    }

    wayland_client::event_created_child!(Told, ExtForeignToplevelListV1, [
        ext_foreign_toplevel_list_v1::EVT_TOPLEVEL_OPCODE => (ExtForeignToplevelHandleV1, ()),
    ]);
}

impl Dispatch<ExtForeignToplevelHandleV1, ()> for Told {
    fn event(
        told: &mut Self,
        handle: &ExtForeignToplevelHandleV1,
        event: ext_foreign_toplevel_handle_v1::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        let mut lists = told.seen.lists.iter_mut();
        let listed = lists.find(|listed| listed.handle.as_ref() == Some(handle)).unwrap();
        match event {
            ext_foreign_toplevel_handle_v1::Event::Identifier { identifier } => {
                listed.identifier = identifier;
            }
            ext_foreign_toplevel_handle_v1::Event::Title { title } => {
                listed.title = title;
                listed.titles += 1;
            }
            ext_foreign_toplevel_handle_v1::Event::AppId { app_id } => listed.app_id = app_id,
            ext_foreign_toplevel_handle_v1::Event::Closed => listed.closed = true,
            _ => {}
        }
    }
}

impl Dispatch<ExtImageCopyCaptureSessionV1, usize> for Told {
    fn event(
        told: &mut Self,
        _: &ExtImageCopyCaptureSessionV1,
        event: ext_image_copy_capture_session_v1::Event,
        index: &usize,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        use ext_image_copy_capture_session_v1::Event;
        let session = &mut told.seen.sessions[*index];
        match event {
            Event::BufferSize { width, height } => session.sizes.push((width, height)),
            Event::ShmFormat { format: WEnum::Value(format) } => session.formats.push(format),
            Event::Done => session.done += 1,
            Event::Stopped => session.stopped = true,
            _ => {}
        }
    }
}

impl Dispatch<ExtImageCopyCaptureFrameV1, usize> for Told {
    fn event(
        told: &mut Self,
        _: &ExtImageCopyCaptureFrameV1,
        event: ext_image_copy_capture_frame_v1::Event,
        index: &usize,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        use ext_image_copy_capture_frame_v1::Event;
        let frame = &mut told.seen.frames[*index];
        assert!(frame.end.is_none(), "a frame ends with its last event");
        match event {
            Event::Transform { .. } => frame.transforms += 1,
            Event::Damage { x, y, width, height } => frame.damage.push((x, y, width, height)),
            Event::PresentationTime { .. } => frame.times += 1,
            Event::Ready => frame.end = Some(Ok(())),
            Event::Failed { reason: WEnum::Value(reason) } => frame.end = Some(Err(reason)),
            _ => {}
        }
    }
}

delegate_noop!(Told: ignore ExtForeignToplevelImageCaptureSourceManagerV1);
delegate_noop!(Told: ignore ExtImageCaptureSourceV1);
delegate_noop!(Told: ignore ExtImageCopyCaptureManagerV1);
delegate_noop!(Told: ignore ExtImageCopyCaptureCursorSessionV1);
delegate_noop!(Told: ignore WpSinglePixelBufferManagerV1);

/// A buffer to be written to, with its memory.
struct Paper {
    buffer: WlBuffer,
    file: File,
    stride: i32,
    width: i32,
    height: i32,
}

impl Paper {
    fn pixel(&self, x: i32, y: i32) -> [u8; 4] {
        let mut bytes = [0; 4];
        self.file.read_exact_at(&mut bytes, (y * self.stride + x * 4) as u64).unwrap();
        let [b, g, r, a] = bytes;
        [r, g, b, a]
    }

    #[track_caller]
    fn assert_solid(&self, color: [u8; 4], (x, y, w, h): (i32, i32, i32, i32)) {
        for (x, y) in (y..y + h).flat_map(|y| (x..x + w).map(move |x| (x, y))) {
            assert_eq!(self.pixel(x, y), color, "{x},{y}");
        }
    }

    fn whole(&self) -> (i32, i32, i32, i32) {
        (0, 0, self.width, self.height)
    }
}

/// Both VMs may take pictures.
fn compositor() -> Fixture {
    compositor_of((400, 300), 1.0)
}

fn compositor_of(size: (i32, i32), scale: f64) -> Fixture {
    let allow = "allow = ['ext_foreign_toplevel_list_v1', 'ext_image_copy_capture_manager_v1', \
                 'ext_foreign_toplevel_image_capture_source_manager_v1']";
    let text = format!(
        "[defaults.protocols]\n{allow}\n[vm.work]\ncolor = '#2e7d32'\n[vm.web]\ncolor = '#c62828'\n[local]\ncolor = '#5f6368'\n\
         [background]\npicture = 'none'\nhint = false\n[animation]\nenabled = false\n"
    );
    Fixture::with(Live::fixed(Config::parse(Path::new("test.toml"), &text).unwrap()), size, scale)
}

impl Fixture {
    /// A new list; the handles that it begins with are in `seen`.
    fn list(&mut self, who: Who) -> ExtForeignToplevelListV1 {
        let list = self.client(who).bind();
        self.roundtrip(who);
        list
    }

    fn listed(&mut self, who: Who) -> Vec<(String, bool)> {
        self.roundtrip(who);
        let lists = &self.client(who).told.seen.lists;
        lists.iter().map(|listed| (listed.title.clone(), listed.closed)).collect()
    }

    fn source(&mut self, who: Who, index: usize) -> ExtImageCaptureSourceV1 {
        let client = self.client(who);
        let manager: ExtForeignToplevelImageCaptureSourceManagerV1 = client.bind();
        let handle = client.told.seen.lists[index].handle.clone().unwrap();
        manager.create_source(&handle, &client.queue, ())
    }

    /// A session of a source, whose events are found at the index.
    fn session_with(
        &mut self,
        who: Who,
        source: &ExtImageCaptureSourceV1,
        options: Options,
    ) -> (ExtImageCopyCaptureSessionV1, usize) {
        let client = self.client(who);
        let index = client.told.seen.sessions.len();
        client.told.seen.sessions.push(Session::default());
        let manager: ExtImageCopyCaptureManagerV1 = client.bind();
        let session = manager.create_session(source, options, &client.queue, index);
        self.roundtrip(who);
        (session, index)
    }

    /// A session of the client's only window.
    fn session(&mut self, who: Who) -> (ExtImageCopyCaptureSessionV1, usize) {
        self.list(who);
        let source = self.source(who, 0);
        self.session_with(who, &source, Options::empty())
    }

    fn paper(&mut self, who: Who, width: i32, height: i32) -> Paper {
        self.paper_of(who, width, height, Format::Argb8888)
    }

    /// A buffer with rows that are longer than they must be.
    fn paper_of(&mut self, who: Who, width: i32, height: i32, format: Format) -> Paper {
        let stride = width * 4 + 8;
        let [r, g, b, a] = UNTOUCHED;
        let bytes = [b, g, r, a].repeat((stride * height / 4) as usize);
        let client = self.client(who);
        let (pool, file) = client.pool_and_file(&bytes, stride * height);
        let buffer = pool.create_buffer(0, width, height, stride, format, &client.queue, ());
        Paper { buffer, file, stride, width, height }
    }

    fn frame(
        &mut self,
        who: Who,
        session: &ExtImageCopyCaptureSessionV1,
    ) -> (ExtImageCopyCaptureFrameV1, usize) {
        let client = self.client(who);
        let index = client.told.seen.frames.len();
        client.told.seen.frames.push(Frame::default());
        (session.create_frame(&client.queue, index), index)
    }

    /// Asks for a picture in a buffer of which everything is out of date.
    fn ask(
        &mut self,
        who: Who,
        session: &ExtImageCopyCaptureSessionV1,
        paper: &Paper,
    ) -> (ExtImageCopyCaptureFrameV1, usize) {
        let (frame, index) = self.frame(who, session);
        frame.attach_buffer(&paper.buffer);
        frame.damage_buffer(0, 0, paper.width, paper.height);
        frame.capture();
        (frame, index)
    }

    #[track_caller]
    fn end_of(&mut self, who: Who, frame: usize) -> Result<(), FailureReason> {
        self.wait("the end of a frame", |fixture| fixture.client(who).told.seen.frames[frame].end.is_some());
        self.client(who).told.seen.frames[frame].end.unwrap()
    }

    /// Takes a picture and asserts that it is one.
    #[track_caller]
    fn take(&mut self, who: Who, session: &ExtImageCopyCaptureSessionV1, paper: &Paper) {
        let (frame, index) = self.ask(who, session, paper);
        assert_eq!(self.end_of(who, index), Ok(()));
        frame.destroy();
    }

    #[track_caller]
    fn assert_error(&mut self, who: Who, interface: &str, code: u32) {
        self.wait("the end of the connection", |fixture| fixture.client(who).ended());
        assert_eq!(self.client(who).error(), Some((interface.to_owned(), code)));
    }
}

/// A picture of 200 by 100 in which every pixel differs from its neighbours.
fn pattern() -> Vec<u8> {
    (0..100_u32)
        .flat_map(|y| (0..200_u32).flat_map(move |x| [x as u8, y as u8, (x ^ y) as u8, 255]))
        .collect()
}

fn show(fixture: &mut Fixture, who: Who, window: usize, bytes: &[u8], w: i32, h: i32) {
    let client = fixture.client(who);
    let buffer = client.buffer_of(bytes, w, h);
    let surface = &client.told.shown[window].surface;
    surface.attach(Some(&buffer), 0, 0);
    surface.damage_buffer(0, 0, w, h);
    surface.commit();
    fixture.roundtrip(who);
}

#[test]
fn a_window_that_is_mapped_again_is_another_one_and_a_stopped_list_says_nothing_more() {
    let mut fixture = compositor();
    let work = fixture.connect(vm("work"));
    let window = fixture.window(work, 200, 100, RED);
    let list = fixture.list(work);
    let surface = fixture.client(work).told.shown[window].surface.clone();
    surface.attach(None, 0, 0);
    surface.commit();
    fixture.roundtrip(work);
    assert_eq!(fixture.listed(work), [(String::new(), true)]);
    surface.commit();
    let count = fixture.client(work).configures(window).len();
    fixture.configured(work, window, count);
    fixture.client(work).draw(window, 200, 100, RED);
    assert_eq!(fixture.listed(work), [(String::new(), true), (String::new(), false)]);
    let lists = &fixture.client(work).told.seen.lists;
    assert_ne!(lists[0].identifier, lists[1].identifier);
    // What was chosen before is not the same window any more.
    let source = fixture.source(work, 0);
    let (_session, index) = fixture.session_with(work, &source, Options::empty());
    assert!(fixture.client(work).told.seen.sessions[index].stopped);
    list.stop();
    fixture.roundtrip(work);
    assert!(fixture.client(work).told.seen.finished);
    fixture.window(work, 200, 100, BLUE);
    assert_eq!(fixture.listed(work).len(), 2);
}

#[test]
fn a_picture_has_every_pixel_of_the_window_and_nothing_else() {
    let mut fixture = compositor();
    let (work, web) = (fixture.connect(vm("work")), fixture.connect(vm("web")));
    let window = fixture.window(work, 200, 100, RED);
    show(&mut fixture, work, window, &pattern(), 200, 100);
    let (session, index) = fixture.session(work);
    let told = &fixture.client(work).told.seen.sessions[index];
    assert_eq!((told.sizes.as_slice(), told.done), ([(200, 100)].as_slice(), 1));
    assert!(told.formats.contains(&Format::Argb8888) && told.formats.contains(&Format::Xrgb8888));
    // Another VM's window covers it wholly on the output.
    let cover = fixture.window(web, 390, 240, BLUE);
    fixture.wait("the cover", |fixture| fixture.report().len() == 2);
    let id = fixture.report().into_iter().find(|window| window.vm == "web").unwrap().id;
    fixture.state().comp.shell.activate(id);
    let screen = fixture.screenshot();
    let content: Rectangle<i32, Physical> = fixture.report()[0].content;
    assert_eq!(screen.pixel(content.loc.x + 20, content.loc.y + 40), BLUE, "window {cover} covers the other");
    for format in [Format::Argb8888, Format::Xrgb8888] {
        let (session, _) =
            if format == Format::Argb8888 { (session.clone(), 0) } else { fixture.session(work) };
        let paper = fixture.paper_of(work, 200, 100, format);
        fixture.take(work, &session, &paper);
        for (at, bytes) in pattern().chunks_exact(4).enumerate() {
            let (x, y) = (at as i32 % 200, at as i32 / 200);
            assert_eq!(paper.pixel(x, y), [bytes[2], bytes[1], bytes[0], 255], "{x},{y}");
        }
        for y in 0..100 {
            assert_eq!(paper.pixel(200, y), UNTOUCHED, "what lies between the rows is not the picture's");
        }
    }
    let frame = &fixture.client(work).told.seen.frames[0];
    assert_eq!(
        (frame.damage.as_slice(), frame.transforms, frame.times),
        ([(0, 0, 200, 100)].as_slice(), 1, 1)
    );
}

#[test]
fn subsurfaces_are_in_the_picture_and_cut_to_the_content() {
    let mut fixture = compositor();
    let work = fixture.connect(vm("work"));
    let window = fixture.window(work, 200, 100, [0, 0, 0, 0]);
    let parent = fixture.client(work).told.shown[window].surface.clone();
    let (child, role) = fixture.client(work).subsurface(&parent);
    role.set_position(150, -20);
    fixture.client(work).told.shown[window].xdg.set_window_geometry(0, 0, 200, 100);
    fixture.client(work).draw_on(&child, 100, 60, GREEN);
    parent.commit();
    let popup = fixture.client(work).create_popup(window, 10, 10, 40, 40);
    fixture.configured(work, popup, 0);
    fixture.client(work).draw(popup, 40, 40, BLUE);
    fixture.roundtrip(work);
    let (session, _) = fixture.session(work);
    let paper = fixture.paper(work, 200, 100);
    fixture.take(work, &session, &paper);
    paper.assert_solid(GREEN, (150, 0, 50, 40));
    // Transparent content stands on a backing, and popups are no part of the window.
    paper.assert_solid(BLACK, (0, 0, 150, 100));
    paper.assert_solid(BLACK, (150, 40, 50, 60));
}

#[test]
fn at_any_scale_a_picture_is_what_the_output_shows() {
    for scale in [1.25, 1.5, 2.0] {
        let mut fixture = compositor_of((700, 600), scale);
        let work = fixture.connect(vm("work"));
        let window = fixture.window(work, 200, 100, RED);
        let parent = fixture.client(work).told.shown[window].surface.clone();
        fixture.client(work).told.shown[window].xdg.set_window_geometry(7, 5, 181, 91);
        let (child, role) = fixture.client(work).subsurface(&parent);
        role.set_position(33, 21);
        fixture.client(work).draw_on(&child, 51, 37, GREEN);
        let (far, role) = fixture.client(work).subsurface(&parent);
        role.set_position(151, -13);
        fixture.client(work).draw_on(&far, 97, 41, [90, 0, 90, 128]);
        show(&mut fixture, work, window, &pattern(), 200, 100);
        let (session, index) = fixture.session(work);
        let content = fixture.report()[0].content;
        let size = fixture.client(work).told.seen.sessions[index].sizes[0];
        assert_eq!(size, (content.size.w as u32, content.size.h as u32));
        let paper = fixture.paper(work, content.size.w, content.size.h);
        fixture.take(work, &session, &paper);
        let screen = fixture.screenshot();
        for (x, y) in (0..content.size.h).flat_map(|y| (0..content.size.w).map(move |x| (x, y))) {
            let [r, g, b, _] = screen.pixel(content.loc.x + x, content.loc.y + y);
            assert_eq!(paper.pixel(x, y), [r, g, b, 255], "{x},{y} at {scale}");
        }
    }
}

#[test]
fn a_later_picture_waits_for_a_change_and_has_that_alone() {
    let mut fixture = compositor();
    let work = fixture.connect(vm("work"));
    let window = fixture.window(work, 200, 100, RED);
    let (session, _) = fixture.session(work);
    let paper = fixture.paper(work, 200, 100);
    fixture.take(work, &session, &paper);
    let other = fixture.paper(work, 200, 100);
    let (frame, index) = fixture.frame(work, &session);
    frame.attach_buffer(&other.buffer);
    frame.damage_buffer(0, 0, 8, 8);
    frame.capture();
    fixture.roundtrip(work);
    fixture.wait("the output to be drawn", |fixture| !fixture.state().comp.schedule.is_pending());
    let frames = fixture.state().comp.schedule.frames();
    for _ in 0..5 {
        fixture.turn();
    }
    assert_eq!(fixture.state().comp.schedule.frames(), frames, "waiting costs nothing");
    assert_eq!(fixture.client(work).told.seen.frames[index].end, None);
    let client = fixture.client(work);
    let buffer = client.buffer_of(&[255, 0, 0, 255].repeat(200 * 100), 200, 100);
    let surface = &client.told.shown[window].surface;
    surface.attach(Some(&buffer), 0, 0);
    surface.damage_buffer(20, 30, 40, 10);
    surface.commit();
    assert_eq!(fixture.end_of(work, index), Ok(()));
    let told = &fixture.client(work).told.seen.frames[index];
    assert_eq!(told.damage, [(20, 30, 40, 10)]);
    // The change, and what the client said its buffer lacks. The client said wrongly that the rest has not changed.
    other.assert_solid(BLUE, (20, 30, 40, 10));
    other.assert_solid(BLUE, (0, 0, 8, 8));
    other.assert_solid(UNTOUCHED, (8, 0, 192, 30));
    other.assert_solid(UNTOUCHED, (0, 40, 200, 60));
    // Nothing waits, but what changed in between is not lost.
    frame.destroy();
    fixture.client(work).draw(window, 200, 100, GREEN);
    fixture.roundtrip(work);
    fixture.wait("the output to be drawn", |fixture| !fixture.state().comp.schedule.is_pending());
    fixture.take(work, &session, &paper);
    paper.assert_solid(GREEN, paper.whole());
}

/// The pixels of a VM must not come to another by any way that the protocols have: not by the list, not by a handle, not by a
/// window that lies over or under the other's, and not by memory that was used for a picture of it.
#[test]
fn a_vm_never_gets_a_pixel_of_another() {
    let mut fixture = compositor();
    let (work, web) = (fixture.connect(vm("work")), fixture.connect(vm("web")));
    let secret = fixture.window(work, 200, 100, RED);
    fixture.list(web);
    assert_eq!(fixture.listed(web), []);
    let (of_work, _) = fixture.session(work);
    let paper = fixture.paper(work, 200, 100);
    fixture.take(work, &of_work, &paper);
    paper.assert_solid(RED, paper.whole());
    // See-through, and partly outside its own geometry, over and under the other VM's window.
    let window = fixture.window(web, 200, 100, [0, 0, 0, 0]);
    let (of_web, index) = {
        let source = fixture.source(web, 0);
        fixture.session_with(web, &source, Options::PaintCursors)
    };
    assert!(!fixture.client(web).told.seen.sessions[index].stopped);
    for (who, raised) in [(web, "web"), (work, "work")] {
        let id = fixture.report().into_iter().find(|window| window.vm == raised).unwrap().id;
        fixture.state().comp.shell.activate(id);
        fixture.client(work).draw(secret, 200, 100, RED);
        fixture.client(web).draw(window, 200, 100, [0, 0, 0, 0]);
        fixture.roundtrip(who);
        fixture.take(work, &of_work, &paper);
        let theirs = fixture.paper(web, 200, 100);
        fixture.take(web, &of_web, &theirs);
        theirs.assert_solid(BLACK, theirs.whole());
    }
}

#[test]
fn a_session_stops_with_its_window() {
    let mut fixture = compositor();
    let work = fixture.connect(vm("work"));
    let window = fixture.window(work, 200, 100, RED);
    let (session, index) = fixture.session(work);
    let paper = fixture.paper(work, 200, 100);
    fixture.take(work, &session, &paper);
    let (frame, waiting) = fixture.ask(work, &session, &paper);
    fixture.roundtrip(work);
    let surface = &fixture.client(work).told.shown[window].surface;
    surface.attach(None, 0, 0);
    surface.commit();
    assert_eq!(fixture.end_of(work, waiting), Err(FailureReason::Stopped));
    assert!(fixture.client(work).told.seen.sessions[index].stopped);
    frame.destroy();
    let (_frame, late) = fixture.ask(work, &session, &paper);
    assert_eq!(fixture.end_of(work, late), Err(FailureReason::Stopped));
    assert!(!fixture.client(work).ended());
}

#[test]
fn a_new_size_is_told_and_old_buffers_are_of_no_use() {
    let mut fixture = compositor();
    let work = fixture.connect(vm("work"));
    let window = fixture.window(work, 200, 100, RED);
    let (session, index) = fixture.session(work);
    let paper = fixture.paper(work, 200, 100);
    fixture.take(work, &session, &paper);
    let (frame, waiting) = fixture.ask(work, &session, &paper);
    fixture.roundtrip(work);
    fixture.client(work).draw(window, 220, 90, GREEN);
    assert_eq!(fixture.end_of(work, waiting), Err(FailureReason::BufferConstraints));
    let told = &fixture.client(work).told.seen.sessions[index];
    assert_eq!((told.sizes.as_slice(), told.done), ([(200, 100), (220, 90)].as_slice(), 2));
    frame.destroy();
    let larger = fixture.paper(work, 220, 90);
    fixture.take(work, &session, &larger);
    larger.assert_solid(GREEN, larger.whole());
}

#[test]
fn a_frame_outlives_its_session() {
    let mut fixture = compositor();
    let work = fixture.connect(vm("work"));
    let window = fixture.window(work, 200, 100, RED);
    let (session, _) = fixture.session(work);
    let paper = fixture.paper(work, 200, 100);
    fixture.take(work, &session, &paper);
    let (_frame, index) = fixture.ask(work, &session, &paper);
    session.destroy();
    fixture.roundtrip(work);
    fixture.client(work).draw(window, 200, 100, BLUE);
    assert_eq!(fixture.end_of(work, index), Ok(()));
    paper.assert_solid(BLUE, paper.whole());
}

/// Many pictures at once are spread over refreshes, and all are taken.
#[test]
fn no_refresh_draws_more_for_a_vm_than_the_output_has() {
    let mut fixture = compositor();
    let work = fixture.connect(vm("work"));
    fixture.window(work, 390, 230, RED);
    fixture.list(work);
    let source = fixture.source(work, 0);
    let mut asked = Vec::new();
    for _ in 0..8 {
        let (session, index) = fixture.session_with(work, &source, Options::empty());
        let (w, h) = fixture.client(work).told.seen.sessions[index].sizes[0];
        asked.push((session, fixture.paper(work, w as i32, h as i32)));
    }
    fixture.roundtrip(work);
    fixture.wait("the output to be drawn", |fixture| !fixture.state().comp.schedule.is_pending());
    let before = fixture.state().comp.schedule.frames();
    let frames: Vec<_> = asked.iter().map(|(session, paper)| fixture.ask(work, session, paper)).collect();
    for (_, index) in &frames {
        assert_eq!(fixture.end_of(work, *index), Ok(()));
    }
    for (_, paper) in &asked {
        paper.assert_solid(RED, paper.whole());
    }
    // Two at a time at the most, as the window is a little smaller than the output.
    assert!(fixture.state().comp.schedule.frames() - before >= 4);
}

#[test]
fn the_pointer_is_in_the_picture_if_asked_for_and_over_the_window() {
    let mut fixture = compositor();
    let work = fixture.connect(vm("work"));
    fixture.window(work, 200, 100, RED);
    let (without, _) = fixture.session(work);
    let source = fixture.source(work, 0);
    let (with, _) = fixture.session_with(work, &source, Options::PaintCursors);
    let content = fixture.report()[0].content;
    fixture.state().input_pointer_motion(f64::from(content.loc.x + 50), f64::from(content.loc.y + 40));
    let paper = fixture.paper(work, 200, 100);
    fixture.take(work, &without, &paper);
    paper.assert_solid(RED, paper.whole());
    fixture.take(work, &with, &paper);
    assert_ne!(paper.pixel(50, 40), RED);
    paper.assert_solid(RED, (0, 0, 50, 100));
    // Moving it away is a change for the one that has it.
    let (_frame, index) = fixture.ask(work, &with, &paper);
    fixture.roundtrip(work);
    fixture.state().input_pointer_motion(1.0, 290.0);
    assert_eq!(fixture.end_of(work, index), Ok(()));
    paper.assert_solid(RED, paper.whole());
}

/// A VM would learn from its own windows where the pointer is on the lock of the session, which is on top of them.
#[test]
fn the_pointer_on_a_locked_session_is_in_no_picture() {
    let mut fixture = compositor();
    let work = fixture.connect(vm("work"));
    fixture.window(work, 200, 100, RED);
    fixture.list(work);
    let source = fixture.source(work, 0);
    let (with, _) = fixture.session_with(work, &source, Options::PaintCursors);
    let content = fixture.report()[0].content;
    fixture.state().input_pointer_motion(f64::from(content.loc.x + 50), f64::from(content.loc.y + 40));
    let paper = fixture.paper(work, 200, 100);
    fixture.take(work, &with, &paper);
    assert_ne!(paper.pixel(50, 40), RED);
    let local = fixture.connect(Origin::Local);
    crate::session_lock::lock(&mut fixture, local);
    fixture.state().input_pointer_motion(f64::from(content.loc.x + 60), f64::from(content.loc.y + 50));
    fixture.take(work, &with, &paper);
    paper.assert_solid(RED, paper.whole());
}

/// It would be told there where the user points while the overlay shows the windows of other VMs.
#[test]
fn the_pointer_that_chooses_a_window_is_in_no_picture_and_one_on_another_workspace_shows_itself_alone() {
    let mut fixture = compositor();
    let work = fixture.connect(vm("work"));
    fixture.window(work, 200, 100, RED);
    fixture.list(work);
    let source = fixture.source(work, 0);
    let (with, _) = fixture.session_with(work, &source, Options::PaintCursors);
    let content = fixture.report()[0].content;
    let [x, y] = [content.loc.x + 50, content.loc.y + 40].map(f64::from);
    fixture.state().input_pointer_motion(x, y);
    let paper = fixture.paper(work, 200, 100);
    fixture.take(work, &with, &paper);
    assert_ne!(paper.pixel(50, 40), RED);
    let (meta, tab) = (125, 15);
    fixture.state().input_key(meta, true);
    fixture.state().input_key(tab, true);
    fixture.take(work, &with, &paper);
    paper.assert_solid(RED, paper.whole());
    fixture.state().input_key(tab, false);
    fixture.state().input_key(meta, false);
    fixture.take(work, &with, &paper);
    assert_ne!(paper.pixel(50, 40), RED);
    // Another VM's window stands in the same place of the workspace that is on the screen now.
    fixture.chord(&["leftmeta", "2"]);
    let web = fixture.connect(vm("web"));
    fixture.window(web, 200, 100, [0, 0, 255, 255]);
    fixture.take(work, &with, &paper);
    paper.assert_solid(RED, paper.whole());
}

#[test]
fn a_session_of_the_pointers_picture_has_stopped() {
    let mut fixture = compositor();
    let work = fixture.connect(vm("work"));
    fixture.window(work, 200, 100, RED);
    fixture.list(work);
    let source = fixture.source(work, 0);
    let client = fixture.client(work);
    client.told.seen.sessions.extend([Session::default(), Session::default()]);
    let pointer = client.seat().get_pointer(&client.queue, ());
    let manager: ExtImageCopyCaptureManagerV1 = client.bind();
    let cursor = manager.create_pointer_cursor_session(&source, &pointer, &client.queue, ());
    let session = cursor.get_capture_session(&client.queue, 0);
    fixture.roundtrip(work);
    assert!(fixture.client(work).told.seen.sessions[0].stopped);
    let paper = fixture.paper(work, 1, 1);
    let (_frame, index) = fixture.ask(work, &session, &paper);
    assert_eq!(fixture.end_of(work, index), Err(FailureReason::Stopped));
    let queue = fixture.client(work).queue.clone();
    cursor.get_capture_session(&queue, 1);
    fixture.assert_error(work, "ext_image_copy_capture_cursor_session_v1", 1);
}
