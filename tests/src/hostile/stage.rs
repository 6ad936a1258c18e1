//! Where an attack takes place: a session with a VM that attacks, and somebody in another VM to whom nothing may happen.

use std::path::Path;

use serde_json::{Value, json};

use crate::bystander::Bystander;
use crate::client::{Client, ClientError, Memory, Rect, Window, WindowOptions};
use crate::deadline::Deadline;
use crate::image::Image;
use crate::ipc::WindowInfo;
use crate::labelled::{assert_labelled, color_of};
use crate::process;
use crate::raw::{Event, Globals, RawClient, RawWindow, Request, StreamWire, Wire};
use crate::session::{Options, Session, contains, places};

/// The VM that attacks.
pub const HOSTILE: &str = "untrusted";
/// The VM to whose windows nothing may happen.
pub const VICTIM: &str = "work";
/// What the attacking VM paints with; nothing else has this colour.
pub const PAINT: u32 = 0x00ff_00ff;

/// A client that sends what it is told to, over whatever it is connected by.
pub type Attacker = RawClient<Box<dyn Wire + Send>>;

/// Where an attacker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// An application of the VM, in front of its `wl-forward`.
    Application,
    /// The VM itself, in the place of its `wl-forward`.
    Vm,
}

/// The session and the victim's window, `victim`.
#[derive(Debug)]
pub struct Stage {
    /// The session.
    pub session: Session,
    /// The victim.
    pub victim: Bystander,
}

/// The options of a stage: two VMs on a small output, of which pictures are quickly taken.
#[must_use]
pub fn options() -> Options {
    Options::new(&[HOSTILE, VICTIM]).output(800, 600, 1)
}

impl Stage {
    /// A stage with the usual options.
    #[must_use]
    #[track_caller]
    pub fn new() -> Self {
        Self::with(options())
    }

    /// A stage as described.
    ///
    /// # Panics
    ///
    /// When it cannot be set up.
    #[must_use]
    #[track_caller]
    pub fn with(options: Options) -> Self {
        let mut session = Session::with(options);
        let victim = Bystander::start(&mut session, VICTIM, "victim");
        Self { session, victim }
    }

    /// A new connection of the attacking VM.
    #[must_use]
    #[track_caller]
    pub fn hostile(&self) -> Client {
        self.session.client(HOSTILE)
    }

    /// A window of the attacking VM, which has the keyboard.
    ///
    /// # Panics
    ///
    /// When it cannot be had.
    #[track_caller]
    pub fn window(&mut self, title: &str) -> (Client, Window) {
        self.window_as(&WindowOptions::new(title, PAINT))
    }

    /// The same, as described.
    ///
    /// # Panics
    ///
    /// When it cannot be had.
    #[track_caller]
    pub fn window_as(&mut self, options: &WindowOptions) -> (Client, Window) {
        let mut client = self.hostile();
        let window = client.window(options).expect("a window");
        self.session.wait_window(&options.title);
        self.session.focus(&options.title);
        client.roundtrip().expect("a live connection");
        (client, window)
    }

    /// A connection of the attacking VM over which anything can be sent.
    #[must_use]
    #[track_caller]
    pub fn attacker(&self, place: Place) -> Attacker {
        self.raw(HOSTILE, place)
    }

    /// The same, where it may be that no more connections are had.
    ///
    /// # Errors
    ///
    /// What ended the connection.
    pub fn try_attacker(&self, place: Place) -> Result<Attacker, ClientError> {
        self.try_raw(HOSTILE, place)
    }

    /// The same of any VM.
    ///
    /// # Panics
    ///
    /// When it cannot be had.
    #[must_use]
    #[track_caller]
    pub fn raw(&self, vm: &str, place: Place) -> Attacker {
        self.try_raw(vm, place).unwrap_or_else(|error| panic!("connecting from {vm}: {error}"))
    }

    fn try_raw(&self, vm: &str, place: Place) -> Result<Attacker, ClientError> {
        let deadline = Deadline::patient();
        let wire: Box<dyn Wire + Send> = match (vm, place) {
            ("local", _) => Box::new(process::connect(&self.session.local_socket(), deadline)),
            (vm, Place::Application) => Box::new(process::connect(&self.session.vm_socket(vm), deadline)),
            (vm, Place::Vm) => {
                Box::new(StreamWire::new(process::connect(&self.session.hub_socket(vm), deadline)))
            }
        };
        RawClient::new(wire)
    }

    /// Asserts that every window has its whole label on the screen, and that the attacking VM's paint is inside of its windows'
    /// contents and of `popups`. Returns how many pixels of frames were looked at.
    ///
    /// # Panics
    ///
    /// When that is not so.
    #[track_caller]
    pub fn assert_contained(&mut self, popups: &[Rect]) -> usize {
        let windows = self.session.windows();
        let image = self.session.screenshot();
        // Where the pointer is out of the way, which is a picture too.
        let (width, height) = self.session.size();
        let pointer = Rect { x: width - 24, y: height - 24, w: 24, h: 24 };
        let covered: Vec<Rect> = popups.iter().copied().chain([pointer]).collect();
        let seen = assert_labelled(&image, &windows, self.session.scale(), &covered);
        assert_inside(&image, &windows, popups);
        seen
    }

    /// Asserts that nothing has happened to the victim.
    ///
    /// # Panics
    ///
    /// When something has.
    #[track_caller]
    pub fn assert_unharmed(&mut self) {
        self.victim.assert_unharmed(&mut self.session);
    }

    /// Asserts that the VM that attacks was ended by a protocol error, and returns what it was told.
    ///
    /// # Panics
    ///
    /// When it was not.
    #[track_caller]
    pub fn assert_ended<T>(&self, attacker: &mut Attacker, end: Result<T, ClientError>) -> String {
        let end = end.and_then(|_| attacker.roundtrip(Deadline::patient()).map(drop));
        match end {
            Err(ClientError::Protocol { message, .. }) => message,
            Err(ClientError::Closed(_)) => "the connection was closed".to_owned(),
            Err(error) => panic!("the attacker was not ended: {error}"),
            Ok(()) => panic!("the attacker was not ended"),
        }
    }

    /// What `vitrailctl` says in JSON.
    ///
    /// # Panics
    ///
    /// When it does not.
    #[must_use]
    #[track_caller]
    pub fn report(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.session.control(arguments)).expect("JSON")
    }

    /// Moves the pointer to a place of the output.
    #[track_caller]
    pub fn move_to(&mut self, (x, y): (i32, i32)) {
        self.session.input(&[json!({"event": "move", "x": x, "y": y})]);
    }

    /// Presses or releases a key (evdev code).
    #[track_caller]
    pub fn key(&mut self, code: u32, pressed: bool) {
        self.session.input(&[json!({"event": "key", "code": code, "pressed": pressed})]);
    }

    /// Where the content of a window is, in output pixels.
    #[must_use]
    #[track_caller]
    pub fn content(&mut self, title: &str) -> Rect {
        self.session.wait_window(title).content()
    }

    /// Keeps a picture of the screen for people to look at, where `VITRAIL_HOSTILE_PICTURES` names a directory.
    #[track_caller]
    pub fn keep_picture(&mut self, name: &str) {
        if let Some(directory) = std::env::var_os("VITRAIL_HOSTILE_PICTURES") {
            self.session.keep_screenshot(Path::new(&directory), name);
        }
    }
}

impl Default for Stage {
    fn default() -> Self {
        Self::new()
    }
}

/// Asserts that the attacking VM's paint is inside of its windows' contents and of `popups`.
///
/// # Panics
///
/// When it is not.
#[track_caller]
pub fn assert_inside(image: &Image, windows: &[WindowInfo], popups: &[Rect]) {
    let own = windows.iter().filter(|window| window.vm == HOSTILE).map(WindowInfo::content);
    let allowed: Vec<Rect> = own.chain(popups.iter().copied()).collect();
    let screen = Rect::of_size(image.size().0, image.size().1);
    for (x, y) in places(screen).filter(|&(x, y)| image.pixel(x, y) == Some(PAINT)) {
        assert!(allowed.iter().any(|rect| contains(*rect, x, y)), "paint of the attacker at ({x}, {y})");
    }
}

/// Asserts that what has the attacking VM's paint on the screen wears its colour around it.
///
/// # Panics
///
/// When there is no paint, or a pixel beside it is neither paint nor the VM's colour nor `also`.
#[track_caller]
pub fn assert_ringed(image: &Image, also: u32) -> usize {
    let screen = Rect::of_size(image.size().0, image.size().1);
    let painted: Vec<(i32, i32)> =
        places(screen).filter(|&(x, y)| image.pixel(x, y) == Some(PAINT)).collect();
    assert!(!painted.is_empty(), "nothing of the attacker is to be seen");
    for &(x, y) in &painted {
        for (x, y) in [(x - 1, y), (x + 1, y), (x, y - 1), (x, y + 1)] {
            let next = image.pixel(x, y);
            let own = [PAINT, also, color_of(HOSTILE)];
            assert!(next.is_some_and(|next| own.contains(&next)), "beside it at ({x}, {y}): {next:06x?}");
        }
    }
    painted.len()
}

/// Memory of a pool that is one colour throughout.
#[must_use]
pub fn painted(length: u64, color: u32) -> Memory {
    let memory = Memory::new(length);
    let words = usize::try_from(length / 4).expect("a small pool");
    memory.write(0, &color.to_ne_bytes().repeat(words));
    memory
}

impl<W: Wire> RawClient<W> {
    /// A mapped window of one colour with a title, made by hand.
    ///
    /// # Errors
    ///
    /// When the connection ends.
    pub fn map_window(
        &mut self,
        globals: Globals,
        title: &str,
        (width, height): (i32, i32),
    ) -> Result<RawWindow, ClientError> {
        let window = self.create_window(globals)?;
        self.send(&Request::new(window.toplevel, 2).string(title))?;
        self.acknowledge(window)?;
        let bytes = width * height * 4;
        let memory = painted(u64::try_from(bytes).unwrap_or_default(), PAINT);
        let pool = self.create_pool(globals, memory.fd(), bytes)?;
        let buffer = self.create_buffer(pool, 0, (width, height), width * 4)?;
        self.show_buffer(window.surface, buffer)?;
        self.roundtrip(Deadline::patient())?;
        Ok(window)
    }

    /// Waits for an event of an object.
    ///
    /// # Errors
    ///
    /// When the connection ends, or it does not come before the deadline.
    pub fn wait_event(&mut self, object: u32, opcode: u16) -> Result<Event, ClientError> {
        let deadline = Deadline::patient();
        loop {
            let event = self.event(deadline)?;
            if (event.object, event.opcode) == (object, opcode) {
                return Ok(event);
            }
        }
    }

    /// Asks for an object that a global makes, with the new object as the first argument.
    ///
    /// # Errors
    ///
    /// When the connection has ended.
    pub fn made(
        &mut self,
        object: u32,
        opcode: u16,
        more: impl FnOnce(Request) -> Request,
    ) -> Result<u32, ClientError> {
        let id = self.new_id();
        self.send(&more(Request::new(object, opcode).uint(id)))?;
        Ok(id)
    }
}
