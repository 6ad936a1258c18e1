//! An X server that shows nothing to anybody (Xvfb), with what is on its screen and the hands of whoever sits before it.

use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

use rustix::event::PollFlags;
use rustix::pipe::PipeFlags;
use x11rb::connection::Connection as _;
use x11rb::protocol::Event;
use x11rb::protocol::damage::{ConnectionExt as _, ReportLevel};
use x11rb::protocol::xproto::{
    AtomEnum, ClientMessageEvent, ConfigureWindowAux, ConnectionExt as _, CreateWindowAux, EventMask,
    ImageFormat, InputFocus, MapState, Window, WindowClass,
};
use x11rb::protocol::xtest::ConnectionExt as _;
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;

use crate::client::Rect;
use crate::deadline::Deadline;
use crate::image::Image;
use crate::pipes;
use crate::process::{self, Process};

/// The screen's size in pixels.
pub const SCREEN: (u16, u16) = (1024, 768);

/// What X adds to the codes of evdev.
const KEYS: u32 = 8;

/// The types of events that the XTEST extension makes.
mod fake {
    pub(super) const KEY: u8 = 2;
    pub(super) const BUTTON: u8 = 4;
    pub(super) const MOTION: u8 = 6;
}

/// A running server. There is no window manager: windows stand in the corner, and whoever is told so has the keyboard.
#[derive(Debug)]
pub struct XServer {
    server: Process,
    display: String,
    connection: RustConnection,
    root: Window,
}

impl XServer {
    /// Starts a server, with more arguments for it.
    ///
    /// # Panics
    ///
    /// When it does not start.
    #[must_use]
    #[track_caller]
    pub fn start(logs: &Path, arguments: &[&str]) -> Self {
        let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
        let mut command = process::command("Xvfb");
        let screen = format!("{}x{}x24", SCREEN.0, SCREEN.1);
        command.args(["-displayfd", &writer.as_raw_fd().to_string(), "-screen", "0", &screen]);
        command.args(["-nolisten", "tcp", "-noreset"]).args(arguments);
        let server = Process::start("xvfb", logs, &mut command, &[&writer]);
        drop(writer);
        // It says its number once it can be connected to, and closes the pipe.
        let number = pipes::read_to_end(&reader, Deadline::patient());
        let number = String::from_utf8(number.expect("the X server starts")).expect("a number");
        let display = format!(":{}", number.trim());
        let (connection, screen) = RustConnection::connect(Some(&display)).expect("an X server that serves");
        let root = connection.setup().roots[screen].root;
        connection.damage_query_version(1, 1).expect("a request").reply().expect("DAMAGE");
        let damage = connection.generate_id().expect("a name");
        connection.damage_create(damage, root, ReportLevel::RAW_RECTANGLES).expect("a request");
        let this = Self { server, display, connection, root };
        this.connection.sync().expect("an X server that serves");
        this
    }

    /// What clients find in `DISPLAY`.
    #[must_use]
    pub fn display(&self) -> &str {
        &self.display
    }

    /// Ends it, and with it the connections of its clients.
    pub fn kill(&self) {
        self.server.kill();
    }

    /// A rectangle of the screen.
    ///
    /// # Panics
    ///
    /// When it is not wholly on the screen.
    #[must_use]
    #[track_caller]
    pub fn picture(&self, rect: Rect) -> Image {
        let (x, y) = (coordinate(rect.x), coordinate(rect.y));
        let (w, h) = (side(rect.w), side(rect.h));
        let image = self.connection.get_image(ImageFormat::Z_PIXMAP, self.root, x, y, w, h, u32::MAX);
        let image = image.expect("a request").reply().expect("a rectangle of the screen");
        let color = |pixel: &[u8]| u32::from_le_bytes([pixel[0], pixel[1], pixel[2], 0]);
        Image::new((rect.w, rect.h), image.data.chunks_exact(4).map(color).collect())
    }

    /// Waits until something on the screen has changed since this was asked last; false if nothing has by the deadline.
    ///
    /// # Panics
    ///
    /// When the server has ended.
    #[must_use]
    #[track_caller]
    pub fn wait_change(&self, deadline: Deadline) -> bool {
        let mut changed = false;
        loop {
            while let Some(event) = self.connection.poll_for_event().expect("an X server that serves") {
                changed |= matches!(event, Event::DamageNotify(_));
            }
            if changed {
                return true;
            }
            if !deadline.wait(self.connection.stream().as_fd(), PollFlags::IN) {
                return false;
            }
        }
    }

    /// Waits until the screen shows `expected` at a place, where `expected` is asked for again whenever something changed.
    ///
    /// # Panics
    ///
    /// When it does not before the deadline.
    #[track_caller]
    pub fn wait_picture(&self, x: i32, y: i32, mut expected: impl FnMut() -> Image) -> Image {
        let deadline = Deadline::patient();
        loop {
            let picture = expected();
            let (w, h) = picture.size();
            let shown = self.picture(Rect { x, y, w, h });
            if shown == picture {
                return shown;
            }
            let places = (0..h).flat_map(|y| (0..w).map(move |x| (x, y)));
            let differing: Vec<_> =
                places.filter(|&(x, y)| shown.pixel(x, y) != picture.pixel(x, y)).collect();
            assert!(
                self.wait_change(deadline),
                "the screen shows {} pixels otherwise, the first at {:?}",
                differing.len(),
                differing.first()
            );
        }
    }

    /// The mapped window that is called `name`.
    ///
    /// # Panics
    ///
    /// When there is none.
    #[must_use]
    #[track_caller]
    pub fn window(&self, name: &str) -> Window {
        let tree = self.connection.query_tree(self.root).expect("a request").reply().expect("a tree");
        let is_it = |window: &Window| {
            let known = self.connection.get_property(
                false,
                *window,
                AtomEnum::WM_NAME,
                AtomEnum::STRING,
                0,
                u32::MAX / 4,
            );
            let known = known.expect("a request").reply().expect("a property");
            self.is_mapped(*window) && known.value == name.as_bytes()
        };
        tree.children.into_iter().find(is_it).unwrap_or_else(|| panic!("no window is called {name}"))
    }

    /// The highest mapped window.
    ///
    /// # Panics
    ///
    /// When there is none.
    #[must_use]
    #[track_caller]
    pub fn top_window(&self) -> Window {
        let tree = self.connection.query_tree(self.root).expect("a request").reply().expect("a tree");
        let mut windows = tree.children.into_iter().rev();
        windows.find(|window| self.is_mapped(*window)).expect("a window")
    }

    #[track_caller]
    fn is_mapped(&self, window: Window) -> bool {
        let attributes = self.connection.get_window_attributes(window).expect("a request");
        attributes.reply().is_ok_and(|attributes| attributes.map_state == MapState::VIEWABLE)
    }

    /// The words of a property, such as `WM_CLASS`.
    ///
    /// # Panics
    ///
    /// When the server does not answer.
    #[must_use]
    #[track_caller]
    pub fn property(&self, window: Window, name: &str) -> Vec<u8> {
        let property = self.atom(name);
        let reply =
            self.connection.get_property(false, window, property, AtomEnum::ANY, 0, 1024).expect("a request");
        reply.reply().expect("a property").value
    }

    #[track_caller]
    fn atom(&self, name: &str) -> u32 {
        self.connection.intern_atom(false, name.as_bytes()).expect("a request").reply().expect("an atom").atom
    }

    /// Moves a window and gives it another size.
    ///
    /// # Panics
    ///
    /// When the server does not serve.
    #[track_caller]
    pub fn place(&self, window: Window, rect: Rect) {
        let change = ConfigureWindowAux::new()
            .x(rect.x)
            .y(rect.y)
            .width(u32::from(side(rect.w)))
            .height(u32::from(side(rect.h)));
        self.connection.configure_window(window, &change).expect("a request");
        self.connection.sync().expect("an X server that serves");
    }

    /// Takes a window from the screen, as a window manager does that makes it an icon, or shows it again.
    ///
    /// # Panics
    ///
    /// When the server does not serve.
    #[track_caller]
    pub fn show(&self, window: Window, shown: bool) {
        let _ = if shown { self.connection.map_window(window) } else { self.connection.unmap_window(window) };
        self.connection.sync().expect("an X server that serves");
    }

    /// A window of one colour that covers a rectangle of the screen.
    ///
    /// # Panics
    ///
    /// When the server does not serve.
    #[must_use]
    #[track_caller]
    pub fn cover(&self, rect: Rect, color: u32) -> Window {
        let window = self.connection.generate_id().expect("a name");
        let attributes = CreateWindowAux::new().background_pixel(color).override_redirect(1);
        let (x, y, w, h) = (coordinate(rect.x), coordinate(rect.y), side(rect.w), side(rect.h));
        let class = WindowClass::INPUT_OUTPUT;
        let created = self.connection.create_window(
            x11rb::COPY_DEPTH_FROM_PARENT,
            window,
            self.root,
            x,
            y,
            w,
            h,
            0,
            class,
            x11rb::COPY_FROM_PARENT,
            &attributes,
        );
        created.expect("a request").check().expect("a window");
        self.show(window, true);
        window
    }

    /// Gives the keyboard to a window, or to none.
    ///
    /// # Panics
    ///
    /// When the server does not serve, or the window cannot have it.
    #[track_caller]
    pub fn focus(&self, window: Option<Window>) {
        let window = window.unwrap_or(x11rb::NONE);
        let focused = self.connection.set_input_focus(InputFocus::NONE, window, x11rb::CURRENT_TIME);
        focused.expect("a request").check().expect("a window that can have the keyboard");
    }

    /// Asks a window to close, as its close button does.
    ///
    /// # Panics
    ///
    /// When the server does not serve.
    #[track_caller]
    pub fn close(&self, window: Window) {
        self.send_protocol(window, window, "WM_DELETE_WINDOW");
        self.connection.sync().expect("an X server that serves");
    }

    /// Asks the program of a window whether it lives, and waits for the answer.
    ///
    /// # Panics
    ///
    /// When it does not answer before the deadline.
    #[track_caller]
    pub fn ping(&self, window: Window) {
        let listen = x11rb::protocol::xproto::ChangeWindowAttributesAux::new()
            .event_mask(EventMask::SUBSTRUCTURE_NOTIFY | EventMask::SUBSTRUCTURE_REDIRECT);
        self.connection.change_window_attributes(self.root, &listen).expect("a request");
        self.send_protocol(window, window, "_NET_WM_PING");
        let ping = self.atom("_NET_WM_PING");
        let deadline = Deadline::patient();
        let is_answer = |event: &Event| {
            let Event::ClientMessage(message) = event else { return false };
            let [what, _, about, ..] = message.data.as_data32();
            message.window == self.root && what == ping && about == window
        };
        loop {
            while let Some(event) = self.connection.poll_for_event().expect("an X server that serves") {
                if is_answer(&event) {
                    return;
                }
            }
            let came = deadline.wait(self.connection.stream().as_fd(), PollFlags::IN);
            assert!(came, "the ping was not answered");
        }
    }

    #[track_caller]
    fn send_protocol(&self, window: Window, about: Window, protocol: &str) {
        let data = [self.atom(protocol), x11rb::CURRENT_TIME, about, 0, 0];
        let message = ClientMessageEvent::new(32, window, self.atom("WM_PROTOCOLS"), data);
        self.connection.send_event(false, window, EventMask::NO_EVENT, message).expect("a request");
        self.connection.flush().expect("an X server that serves");
    }

    /// Moves the pointer to a place of the screen.
    ///
    /// # Panics
    ///
    /// When the server does not serve.
    #[track_caller]
    pub fn point(&self, x: i32, y: i32) {
        self.fake(fake::MOTION, 0, (coordinate(x), coordinate(y)));
    }

    /// Presses or releases a key, by its code of evdev.
    ///
    /// # Panics
    ///
    /// When the server does not serve.
    #[track_caller]
    pub fn key(&self, code: u32, pressed: bool) {
        let code = u8::try_from(code + KEYS).expect("a key that X knows");
        self.fake(fake::KEY + u8::from(!pressed), code, (0, 0));
    }

    /// Presses or releases a button, by the number that X gives it.
    ///
    /// # Panics
    ///
    /// When the server does not serve.
    #[track_caller]
    pub fn button(&self, number: u8, pressed: bool) {
        self.fake(fake::BUTTON + u8::from(!pressed), number, (0, 0));
    }

    #[track_caller]
    fn fake(&self, kind: u8, detail: u8, (x, y): (i16, i16)) {
        let faked = self.connection.xtest_fake_input(kind, detail, x11rb::CURRENT_TIME, self.root, x, y, 0);
        faked.expect("a request").check().expect("an event of a device");
        self.connection.sync().expect("an X server that serves");
    }
}

#[track_caller]
fn side(pixels: i32) -> u16 {
    u16::try_from(pixels).expect("a side of usual length")
}

#[track_caller]
fn coordinate(pixels: i32) -> i16 {
    i16::try_from(pixels).expect("a place on the screen")
}
