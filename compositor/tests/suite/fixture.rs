//! The production compositor and any number of clients, driven by one event loop.
//!
//! Each has an event loop of its own, nested in the outer one by its descriptor. Nothing sleeps: a wait turns
//! the outer loop until its condition holds, and fails after [`DEADLINE`].

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use calloop::generic::Generic;
use calloop::{EventLoop, Interest, Mode, PostAction};
use smithay::reexports::wayland_server::Display;
use smithay::utils::{Physical, Rectangle};
use vitrail::State;
use vitrail::backend::{Backend, Picture};
use vitrail::config::{Config, Live};
use vitrail::render::scene::WindowReport;
use vitrail::shell::outputs::Head;
use vitrail::state::Options;
use vitrail::trust::client::Privilege;
use vitrail::trust::origin::Origin;

use crate::client::Client;

/// How long anything may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// Two VMs; `work` is held to small limits. Nothing moves by itself, and there is one colour behind the windows.
const CONFIG: &str = r##"
[background]
picture = "none"
hint = false
[animation]
enabled = false
[local]
label = "local"
color = "#5f6368"
[vm.work]
label = "Work"
color = "#2e7d32"
[vm.work.limits]
toplevels = 3
popups = 4
surfaces = 12
subsurface_depth = 3
pools = 3
buffers = 6
shm_mib = 8
clients = 4
[vm.web]
label = "Web"
color = "#c62828"
"##;

/// The colours of [`CONFIG`].
pub const LOCAL: [u8; 4] = [0x5f, 0x63, 0x68, 0xff];
pub const WORK: [u8; 4] = [0x2e, 0x7d, 0x32, 0xff];
pub const WEB: [u8; 4] = [0xc6, 0x28, 0x28, 0xff];

pub struct Server {
    events: EventLoop<'static, State>,
    pub state: State,
}

impl Server {
    fn dispatch(&mut self) {
        self.events.dispatch(Duration::ZERO, &mut self.state).unwrap();
        self.state.after_dispatch();
    }
}

/// What the outer loop turns.
pub struct Parties {
    pub server: Server,
    clients: Vec<Client>,
}

pub struct Fixture {
    outer: EventLoop<'static, Parties>,
    pub parties: Parties,
}

/// One of the fixture's clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Who(usize);

pub fn vm(name: &str) -> Origin {
    Origin::Vm(name.parse().unwrap())
}

impl Fixture {
    pub fn new() -> Self {
        Self::sized(400, 300, 1.0)
    }

    pub fn sized(w: i32, h: i32, scale: f64) -> Self {
        Self::with(Live::fixed(Config::parse(Path::new("test.toml"), CONFIG).unwrap()), (w, h), scale)
    }

    /// A compositor with more written in its configuration.
    pub fn written(more: &str) -> Self {
        Self::written_for(more, (800, 600))
    }

    /// The same with an output of another size.
    pub fn written_for(more: &str, size: (i32, i32)) -> Self {
        Self::ruled(more, size, 1.0)
    }

    /// The same at a scale.
    pub fn ruled(more: &str, size: (i32, i32), scale: f64) -> Self {
        let text = format!("{CONFIG}{more}");
        Self::with(Live::fixed(Config::parse(Path::new("test.toml"), &text).unwrap()), size, scale)
    }

    /// A compositor with another configuration.
    pub fn configured_as(config: Live) -> Self {
        Self::with(config, (400, 300), 1.0)
    }

    /// A compositor with another configuration and output.
    pub fn with(config: Live, size: (i32, i32), scale: f64) -> Self {
        let events = EventLoop::try_new().unwrap();
        let options = Options { size: size.into(), scale, config };
        let display = Display::new().unwrap();
        let state = State::new(options, events.handle(), events.get_signal(), display).unwrap();
        Self::serving(events, state)
    }

    /// A compositor whose screen is drawn by OpenGL.
    pub fn drawn_by_gles(w: i32, h: i32, scale: f64) -> Self {
        let config = Live::fixed(Config::parse(Path::new("test.toml"), CONFIG).unwrap());
        let backend =
            Backend::headless_gles(vec![Head::virtual_one("vitrail-1", (w, h).into(), scale)]).unwrap();
        let events = EventLoop::try_new().unwrap();
        let display = Display::new().unwrap();
        let state =
            State::with_backend(backend, config, events.handle(), events.get_signal(), display).unwrap();
        Self::serving(events, state)
    }

    fn serving(events: EventLoop<'static, State>, state: State) -> Self {
        let server = Server { events, state };
        let outer: EventLoop<'static, Parties> = EventLoop::try_new().unwrap();
        let fd = rustix::io::dup(&server.events).unwrap();
        let source = Generic::new(fd, Interest::READ, Mode::Level);
        let handle = outer.handle();
        handle
            .insert_source(source, |_, _, parties| {
                parties.server.dispatch();
                Ok(PostAction::Continue)
            })
            .unwrap();
        Self { outer, parties: Parties { server, clients: Vec::new() } }
    }

    /// Connects a client of an origin, and waits until it knows the globals.
    pub fn connect(&mut self, origin: Origin) -> Who {
        self.connect_as(origin, Privilege::Ordinary)
    }

    pub fn connect_as(&mut self, origin: Origin, privilege: Privilege) -> Who {
        let (theirs, ours) = UnixStream::pair().unwrap();
        self.state().accept(theirs, origin, privilege).unwrap();
        self.join(ours)
    }

    /// A client on a stream that the compositor has accepted, or will accept.
    pub fn join(&mut self, stream: UnixStream) -> Who {
        let client = Client::new(stream);
        let fd = rustix::io::dup(&client.events).unwrap();
        let index = self.parties.clients.len();
        let source = Generic::new(fd, Interest::READ, Mode::Level);
        let handle = self.outer.handle();
        handle
            .insert_source(source, move |_, _, parties| {
                let going = parties.clients.get_mut(index).is_some_and(Client::dispatch);
                Ok(if going { PostAction::Continue } else { PostAction::Remove })
            })
            .unwrap();
        self.parties.clients.push(client);
        let who = Who(index);
        self.roundtrip(who);
        who
    }

    pub fn state(&mut self) -> &mut State {
        &mut self.parties.server.state
    }

    pub fn everybody(&self) -> Vec<Who> {
        (0..self.parties.clients.len()).map(Who).collect()
    }

    pub fn client(&mut self, who: Who) -> &mut Client {
        &mut self.parties.clients[who.0]
    }

    /// Turns all loops once.
    pub fn turn(&mut self) {
        for client in &self.parties.clients {
            client.flush();
        }
        // The server's timers are not in its descriptor, so it is turned in any case.
        self.parties.server.dispatch();
        self.outer.dispatch(Duration::from_millis(20), &mut self.parties).unwrap();
    }

    /// Turns the compositor's loop once, and nothing else, as it does by itself: it waits so long for something to do.
    pub fn turn_compositor(&mut self, wait: Duration) {
        let Server { events, state } = &mut self.parties.server;
        events.dispatch(wait, state).unwrap();
        state.after_dispatch();
    }

    #[track_caller]
    pub fn wait(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let start = Instant::now();
        while !done(self) {
            assert!(start.elapsed() < DEADLINE, "waited too long for {what}");
            self.turn();
        }
    }

    /// Waits until the compositor has answered everything that the client sent; returns at once if the client
    /// was ended.
    #[track_caller]
    pub fn roundtrip(&mut self, who: Who) {
        let done = self.client(who).sync();
        self.wait("an answer", |fixture| {
            done.load(std::sync::atomic::Ordering::Relaxed) || fixture.client(who).ended()
        });
    }

    /// Shows a window of one colour and waits until it is on the screen.
    #[track_caller]
    pub fn window(&mut self, who: Who, w: i32, h: i32, color: [u8; 4]) -> usize {
        let window = self.client(who).create_window();
        self.configured(who, window, 0);
        self.client(who).draw(window, w, h, color);
        // Once more: clients are told when their window is mapped.
        self.configured(who, window, 1);
        window
    }

    /// Waits for a configure after `count` of them, and acknowledges the newest.
    #[track_caller]
    pub fn configured(&mut self, who: Who, window: usize, count: usize) {
        self.wait("a configure", |fixture| fixture.client(who).configures(window).len() > count);
        self.client(who).ack(window);
    }

    pub fn report(&mut self) -> Vec<WindowReport> {
        self.state().comp.windows_report()
    }

    /// The user has seen what has opened.
    pub fn see_all(&mut self) {
        let shell = &mut self.state().comp.shell;
        let windows: Vec<_> = shell.bottom_up().map(|window| window.id).collect();
        for id in windows {
            shell.get_mut(id).unwrap().urgent = false;
        }
        self.state().comp.schedule.request();
    }

    pub fn screenshot(&mut self) -> Screen {
        let State { backend, comp, .. } = self.state();
        Screen(backend.screenshot(comp).unwrap())
    }

    /// Presses keys in their order, and releases them in the reverse one.
    pub fn chord(&mut self, names: &[&str]) {
        let code = |name: &&str| vitrail::ipc::keys::key(name).unwrap();
        for name in names {
            self.state().input_key(code(name), true);
        }
        for name in names.iter().rev() {
            self.state().input_key(code(name), false);
        }
    }

    /// Clicks with the left button.
    pub fn click(&mut self, x: i32, y: i32) {
        let state = self.state();
        state.input_pointer_motion(f64::from(x), f64::from(y));
        state.input_pointer_button(vitrail::input::pointer::BUTTON_LEFT, true);
        state.input_pointer_button(vitrail::input::pointer::BUTTON_LEFT, false);
    }
}

/// A picture to be asked about.
pub struct Screen(pub Picture);

impl Screen {
    pub fn pixel(&self, x: i32, y: i32) -> [u8; 4] {
        let index = (y as usize * self.0.width as usize + x as usize) * 4;
        self.0.rgba[index..index + 4].try_into().unwrap()
    }

    /// The first pixel of a rectangle that has not this colour.
    pub fn other_than(&self, color: [u8; 4], rect: Rectangle<i32, Physical>) -> Option<(i32, i32)> {
        let mut pixels = (rect.loc.y..rect.loc.y + rect.size.h)
            .flat_map(|y| (rect.loc.x..rect.loc.x + rect.size.w).map(move |x| (x, y)));
        pixels.find(|(x, y)| self.pixel(*x, *y) != color)
    }

    #[track_caller]
    pub fn assert_solid(&self, what: &str, color: [u8; 4], rect: Rectangle<i32, Physical>) {
        assert!(!rect.is_empty(), "{what} is empty");
        if let Some((x, y)) = self.other_than(color, rect) {
            panic!("{what}: pixel {x},{y} of {rect:?} is {:?}, not {color:?}", self.pixel(x, y));
        }
    }

    /// The outermost `width` pixels of a rectangle, on all four sides, are of one colour.
    #[track_caller]
    pub fn assert_ring(&self, color: [u8; 4], outer: Rectangle<i32, Physical>, width: i32) {
        let Rectangle { loc, size } = outer;
        let at = |x, y, w, h| Rectangle::new((x, y).into(), (w, h).into());
        self.assert_solid("top", color, at(loc.x, loc.y, size.w, width));
        self.assert_solid("bottom", color, at(loc.x, loc.y + size.h - width, size.w, width));
        self.assert_solid("left", color, at(loc.x, loc.y, width, size.h));
        self.assert_solid("right", color, at(loc.x + size.w - width, loc.y, width, size.h));
    }
}
