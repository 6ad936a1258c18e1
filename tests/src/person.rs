//! A client with one window, that can be given the keyboard and the pointer.

use crate::client::{Client, ClientError, InputEvent, Selection, Source, Window, WindowOptions};
use crate::session::{BUTTON_LEFT, Session};

/// A connection with one window.
#[derive(Debug)]
pub struct Person {
    /// The title of the window.
    pub title: &'static str,
    /// The connection.
    pub client: Client,
    /// The window.
    pub window: Window,
}

impl Person {
    /// Connects from a VM (or as `local`) and maps a window.
    ///
    /// # Panics
    ///
    /// When that does not work.
    #[must_use]
    #[track_caller]
    pub fn start(session: &mut Session, vm: &str, title: &'static str) -> Self {
        let mut client = session.client(vm);
        let window = client.window(&WindowOptions::new(title, 0x0044_5566)).expect("a window");
        session.wait_window(title);
        Self { title, client, window }
    }

    /// Gives it the keyboard and waits until it knows.
    ///
    /// # Panics
    ///
    /// When it does not get it.
    #[track_caller]
    pub fn focus(&mut self, session: &mut Session) {
        session.focus(self.title);
        self.client.roundtrip().expect("a live connection");
    }

    /// Offers a selection as its own, of content of these types.
    ///
    /// # Panics
    ///
    /// When it cannot have the keyboard.
    #[track_caller]
    pub fn copy(&mut self, session: &mut Session, selection: Selection, types: &[&str]) -> Source {
        self.focus(session);
        let source = self.client.offer(selection, types);
        self.client.roundtrip().expect("a live connection");
        source
    }

    /// Is pressed with the left button, which stays down, and begins to drag content of these types.
    ///
    /// # Errors
    ///
    /// When the connection ends or the press does not arrive before the deadline.
    #[track_caller]
    pub fn drag(&mut self, session: &mut Session, types: &[&str]) -> Result<Source, ClientError> {
        let presses = |input: &[InputEvent]| {
            input.iter().filter(|event| **event == InputEvent::Button(BUTTON_LEFT, true)).count()
        };
        let before = presses(&self.client.state.input);
        session.press(self.title);
        self.client.wait_until("a press", |state| presses(&state.input) > before)?;
        let source = self.client.start_drag(&self.window.surface, types);
        self.client.roundtrip()?;
        Ok(source)
    }
}
