//! Programs of the GUI VM in a session, and the screen that they draw on.

use std::path::Path;

use super::{Session, places};
use crate::client::Rect;
use crate::deadline::Deadline;
use crate::image::Image;
use crate::process::{self, Process};

impl Session {
    /// Starts an installed program of the GUI VM.
    ///
    /// # Panics
    ///
    /// When it is not installed.
    #[must_use]
    #[track_caller]
    pub fn start_local(&self, name: &str, line: &[&str]) -> Process {
        self.start_local_with(name, line, &[])
    }

    /// The same, with more in its environment.
    ///
    /// # Panics
    ///
    /// When it is not installed.
    #[must_use]
    #[track_caller]
    pub fn start_local_with(&self, name: &str, line: &[&str], environment: &[(&str, &str)]) -> Process {
        assert!(process::is_installed(line[0]), "{} is not installed; `cargo xtask setup` does it", line[0]);
        let mut command = self.application("local", line[0]);
        command.args(&line[1..]).envs(environment.iter().copied());
        Process::start(name, &self.logs(), &mut command, &[])
    }

    /// Waits until the screen is as it should be; looks again with each frame. Returns what it shows then.
    ///
    /// # Panics
    ///
    /// When that is not so before the deadline.
    #[track_caller]
    pub fn wait_screen(&mut self, what: &str, as_it_should: impl Fn(&Image) -> bool) -> Image {
        let deadline = Deadline::patient();
        let mut frame = 0;
        loop {
            let drawn = self.changed_frame(frame, deadline);
            frame = drawn.unwrap_or_else(|| panic!("gave up waiting for {what}"));
            let image = self.screenshot();
            if as_it_should(&image) {
                return image;
            }
        }
    }

    /// Keeps a picture of the screen in a directory, for people to look at: `NAME.png`.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    #[track_caller]
    pub fn keep_screenshot(&mut self, directory: &Path, name: &str) {
        std::fs::create_dir_all(directory).expect("a directory for pictures");
        self.save_screenshot(&directory.join(format!("{name}.png")));
    }

    /// The output without its stripe.
    #[must_use]
    pub fn below_the_stripe(&self) -> Rect {
        let (w, h) = self.size();
        Rect { x: 0, y: 24, w, h: h - 24 }
    }
}

/// The smallest rectangle that holds all pixels of a colour in a rectangle; `None` if there is none.
#[must_use]
pub fn bounds(image: &Image, within: Rect, color: u32) -> Option<Rect> {
    let found = || places(within).filter(|&(x, y)| image.pixel(x, y) == Some(color));
    let (left, right) = (found().map(|(x, _)| x).min()?, found().map(|(x, _)| x).max()?);
    let (top, bottom) = (found().map(|(_, y)| y).min()?, found().map(|(_, y)| y).max()?);
    Some(Rect { x: left, y: top, w: right - left + 1, h: bottom - top + 1 })
}
