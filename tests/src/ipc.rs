//! The compositor's control socket: a JSON request a line, a JSON answer a line.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::event::PollFlags;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::Rect;
use crate::deadline::Deadline;
use crate::process;

/// A mapped window, as `vitrailctl windows --json` lists it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct WindowInfo {
    /// The VM it came from; `local` for the GUI VM's own.
    pub vm: String,
    /// The VM's label.
    pub label: String,
    /// The VM's colour, `#rrggbb`.
    pub color: String,
    /// The application id, the VM's word.
    pub app_id: String,
    /// The title, the VM's word.
    pub title: String,
    /// The window with its frame, in output pixels.
    frame: Box4,
    /// The client's part of it.
    content: Box4,
    /// The place in the stack, 0 for the lowest.
    pub z: u32,
    /// Whether it has the keyboard.
    pub focused: bool,
    /// Whether it shows the state that it was last told of.
    pub settled: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
struct Box4 {
    x: i32,
    y: i32,
    w: i32,
    h: i32,
}

impl From<Box4> for Rect {
    fn from(Box4 { x, y, w, h }: Box4) -> Self {
        Self { x, y, w, h }
    }
}

impl WindowInfo {
    /// The window with its frame, in output pixels.
    #[must_use]
    pub fn frame(&self) -> Rect {
        self.frame.into()
    }

    /// The client's part, in output pixels.
    #[must_use]
    pub fn content(&self) -> Rect {
        self.content.into()
    }

    /// The colour of its VM, `0xRRGGBB`.
    ///
    /// # Panics
    ///
    /// When the compositor did not write it as `#rrggbb`.
    #[must_use]
    pub fn rgb(&self) -> u32 {
        let digits = self.color.strip_prefix('#').filter(|digits| digits.len() == 6);
        digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).expect("a colour as #rrggbb")
    }
}

/// The mapped windows at one time.
#[derive(Clone, Debug, Deserialize)]
pub struct WindowList {
    /// A number that is another one as soon as the list is.
    pub generation: u64,
    /// The windows.
    pub windows: Vec<WindowInfo>,
}

/// A connection to the control socket.
#[derive(Debug)]
pub struct Ipc {
    stream: BufReader<UnixStream>,
}

impl Ipc {
    /// Connects, waiting for the socket to appear.
    ///
    /// # Panics
    ///
    /// When it does not appear before the deadline.
    #[must_use]
    #[track_caller]
    pub fn connect(path: &Path) -> Self {
        Self { stream: BufReader::new(process::connect(path, Deadline::patient())) }
    }

    /// Sends a request and returns what is under `ok` or `error` in the answer.
    ///
    /// # Errors
    ///
    /// The compositor's explanation of why it did not do what was asked.
    ///
    /// # Panics
    ///
    /// When no well-formed answer comes before the deadline.
    #[track_caller]
    pub fn try_request(&mut self, request: &Value) -> Result<Value, String> {
        self.send(request);
        self.receive()
    }

    #[track_caller]
    fn send(&mut self, request: &Value) {
        let line = format!("{request}\n");
        self.stream.get_mut().write_all(line.as_bytes()).expect("the compositor takes requests");
    }

    #[track_caller]
    fn receive(&mut self) -> Result<Value, String> {
        let answer = self.read_line();
        let mut answer: Value = serde_json::from_str(&answer).expect("an answer in JSON");
        match answer.get_mut("ok") {
            Some(ok) => Ok(ok.take()),
            None => Err(answer["error"].as_str().expect("ok or error").to_owned()),
        }
    }

    /// Sends a request that has to succeed.
    ///
    /// # Panics
    ///
    /// When it does not.
    #[track_caller]
    pub fn request(&mut self, request: &Value) -> Value {
        self.try_request(request).unwrap_or_else(|error| panic!("{request}: {error}"))
    }

    /// The mapped windows.
    ///
    /// # Panics
    ///
    /// When the answer is not a list of windows.
    #[must_use]
    #[track_caller]
    pub fn windows(&mut self) -> WindowList {
        let answer = self.request(&json!({"request": "wait_windows", "generation": 0}));
        serde_json::from_value(answer).expect("a list of windows")
    }

    /// Waits until the mapped windows differ from those of `generation`; none when they did not before the
    /// deadline, after which this connection can no longer be used.
    ///
    /// # Panics
    ///
    /// When the answer is not a list of windows.
    #[must_use]
    #[track_caller]
    pub fn changed_windows(&mut self, generation: u64, deadline: Deadline) -> Option<WindowList> {
        let answer = self.changed(&json!({"request": "wait_windows", "generation": generation}), deadline)?;
        Some(serde_json::from_value(answer).expect("a list of windows"))
    }

    /// Waits until the number of drawn frames differs from `known`, and returns it; none when it did not before the
    /// deadline, after which this connection can no longer be used.
    ///
    /// # Panics
    ///
    /// When the answer is not a number of frames.
    #[must_use]
    #[track_caller]
    pub fn changed_frame(&mut self, known: u64, deadline: Deadline) -> Option<u64> {
        let answer = self.changed(&json!({"request": "wait_frame", "frame": known}), deadline)?;
        Some(answer["frame"].as_u64().expect("a number of frames"))
    }

    /// Waits until the compositor has closed the connection, which nothing was asked over.
    ///
    /// # Panics
    ///
    /// When it has not before the deadline.
    #[track_caller]
    pub fn wait_end(&mut self) {
        let ended = Deadline::patient().wait(self.stream.get_ref().as_fd(), PollFlags::IN);
        assert!(ended, "the compositor still serves the control socket");
        let said = self.stream.fill_buf().unwrap_or_default();
        assert!(said.is_empty(), "the compositor says what it was not asked");
    }

    /// The answer to a request that is answered once something has changed; none when the deadline passes before.
    #[track_caller]
    fn changed(&mut self, request: &Value, deadline: Deadline) -> Option<Value> {
        self.send(request);
        let answered = deadline.wait(self.stream.get_ref().as_fd(), PollFlags::IN);
        answered.then(|| self.receive().unwrap_or_else(|error| panic!("{request}: {error}")))
    }

    #[track_caller]
    fn read_line(&mut self) -> String {
        let deadline = Deadline::patient();
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            if self.stream.buffer().is_empty() {
                let readable = deadline.wait(self.stream.get_ref().as_fd(), PollFlags::IN);
                assert!(readable, "the compositor does not answer");
            }
            let chunk = self.stream.fill_buf().expect("the compositor lives");
            assert!(!chunk.is_empty(), "the compositor closed the control socket");
            let end = chunk.iter().position(|&byte| byte == b'\n').map_or(chunk.len(), |end| end + 1);
            line.extend_from_slice(&chunk[..end]);
            self.stream.consume(end);
        }
        String::from_utf8(line).expect("an answer in UTF-8")
    }
}
