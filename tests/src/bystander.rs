//! Connections that nothing may happen to while others misbehave.

use crate::client::{Client, Window, WindowOptions};
use crate::session::Session;

/// A connection with one window.
#[derive(Debug)]
pub struct Bystander {
    title: &'static str,
    client: Client,
    window: Window,
    color: u32,
}

impl Bystander {
    /// Connects from a VM (or as `local`) and maps a window.
    ///
    /// # Panics
    ///
    /// When that does not work.
    #[must_use]
    #[track_caller]
    pub fn start(session: &mut Session, vm: &str, title: &'static str) -> Self {
        let mut client = session.client(vm);
        let window = client.window(&WindowOptions::new(title, 0x00ff_ffff)).expect("a window");
        session.wait_window(title);
        Self { title, client, window, color: 0x0011_2233 }
    }

    /// The title of its window.
    #[must_use]
    pub fn title(&self) -> &'static str {
        self.title
    }

    /// Its connection.
    pub fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Draws in another colour than before, as long as the connection lasts.
    pub fn draw(&mut self) {
        self.color = self.color.wrapping_add(0x0001_0507) & 0x00ff_ffff;
        let _ = self.client.recolor(&mut self.window, self.color);
    }

    /// Asserts that the connection lives and that what is drawn over it comes to the screen.
    ///
    /// # Panics
    ///
    /// When that is not so.
    #[track_caller]
    pub fn assert_unharmed(&mut self, session: &mut Session) {
        self.draw();
        let alive = self.client.roundtrip();
        alive.unwrap_or_else(|error| panic!("the connection of {}: {error}", self.title));
        session.focus(self.title);
        session.assert_color(self.title, self.color);
    }
}
