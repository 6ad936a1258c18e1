//! Where windows stood, kept in a file, so that they come back to it after the compositor has crashed.
//!
//! # Model
//!
//! While the compositor runs, the places of its windows are written to the file, at most once in [`PAUSE`] and only if they have
//! changed. When it starts it reads the file. A place that was read is given once, to the next window of the same origin and
//! application id when it is first shown; until then it stays in the file. Where there were several of them, one that had the
//! title that the window has now comes first ([`titles`]). Places of windows that are closed while the compositor runs are
//! forgotten.
//!
//! # Invariants
//!
//! * A place is the matter of one origin: application ids and titles are the VM's words, and they choose among places of that
//!   VM's own windows and no others.
//! * No title is in the file, and nothing made of one but where several windows have the same application id.
//! * A place says where a window stands, or that it is minimised, and never whether it has the focus, and one under the pointer is not given to
//!   a window that opens without the focus ([`Shell::show`](crate::shell::Shell::show)).
//! * The file is bounded: so many places for each origin of the configuration, with application ids of bounded length.
//!   What a VM opens cannot push out places of another one.
//! * A file that cannot be read or written is logged and otherwise ignored.

mod file;
mod titles;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use calloop::timer::{TimeoutAction, Timer};
use serde::{Deserialize, Serialize};
use smithay::utils::{Logical, Physical, Point, Size};

use self::file::Document;
pub use self::file::FileError;
use self::titles::TitleKey;
use crate::config::Config;
use crate::shell::Shell;
use crate::shell::window::{Mode, Window, WindowId};
use crate::shell::zone::Zone;
use crate::state::State;
use crate::trust::origin::Origin;

/// How long changes are collected before they are written.
pub const PAUSE: Duration = Duration::from_secs(2);
/// How many places are kept for each origin.
pub const MAX_PLACES: usize = 32;
/// The longest application id that is kept, in bytes. Windows with longer ones are not remembered.
pub const MAX_APP_ID: usize = 256;

/// The largest coordinate and size that are taken from the file, in pixels.
const MAX_LENGTH: i32 = 16384;

/// How a remembered window was laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Floating,
    Maximized,
    Fullscreen,
    /// In a part of the work area.
    Snapped(Zone),
}

/// Where one window stood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The name of the window's origin.
    vm: String,
    app_id: String,
    /// What is told of the title ([`TitleKey::digest`]), if there were several windows of the application.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    title: String,
    /// The output it was on; none in files from before there were several.
    #[serde(default)]
    output: String,
    /// Corner of the frame while floating, in physical pixels from the output's.
    x: i32,
    y: i32,
    /// Size of the content while floating, in logical pixels.
    width: i32,
    height: i32,
    /// Which workspace it was on, from 0.
    #[serde(default)]
    workspace: usize,
    #[serde(default)]
    minimized: bool,
    mode: Kind,
}

impl Place {
    /// The place of a window; `None` if it is none that can be found again.
    fn of<H>(shell: &Shell<H>, window: &Window<H>, key: Option<TitleKey>) -> Option<Self> {
        // A dialog goes where its parent is, and often has its application id.
        let lasting = window.mapped && window.parent.is_none();
        if !lasting || window.app_id.is_empty() || window.app_id.len() > MAX_APP_ID {
            return None;
        }
        let output = shell.outputs().of(window.output);
        let location = window.location - output.layout.origin;
        let (vm, app_id) = (window.origin.name(), &window.app_id);
        Some(Self {
            vm: vm.to_owned(),
            app_id: app_id.clone(),
            title: key.map(|key| key.digest(vm, app_id, &window.title)).unwrap_or_default(),
            output: output.head.name.clone(),
            x: location.x,
            y: location.y,
            width: window.size.w,
            height: window.size.h,
            workspace: window.workspace(),
            minimized: window.minimized,
            mode: match window.mode {
                Mode::Floating => Kind::Floating,
                Mode::Maximized => Kind::Maximized,
                Mode::Fullscreen => Kind::Fullscreen,
                Mode::Snapped(zone) => Kind::Snapped(zone),
            },
        })
    }

    /// Corner of the frame while floating, from the output's.
    #[must_use]
    pub fn location(&self) -> Point<i32, Physical> {
        (self.x.clamp(-MAX_LENGTH, MAX_LENGTH), self.y.clamp(-MAX_LENGTH, MAX_LENGTH)).into()
    }

    /// Size of the content while floating.
    #[must_use]
    pub fn size(&self) -> Size<i32, Logical> {
        (self.width.clamp(1, MAX_LENGTH), self.height.clamp(1, MAX_LENGTH)).into()
    }

    /// How the window was laid out.
    #[must_use]
    pub fn mode(&self) -> Mode {
        match self.mode {
            Kind::Floating => Mode::Floating,
            Kind::Maximized => Mode::Maximized,
            Kind::Fullscreen => Mode::Fullscreen,
            Kind::Snapped(zone) => zone.mode(),
        }
    }
}

/// What is remembered, and the file it is in.
#[derive(Debug)]
pub struct Remembered {
    path: PathBuf,
    /// What titles are hashed with; none if there are no random numbers, and titles are not remembered.
    key: Option<TitleKey>,
    /// Places of a run before this one that no window has been given yet, the oldest window's first.
    left: Vec<Place>,
    /// What the file holds.
    written: Vec<Place>,
    /// The count of the shell's changes when the places were last looked at.
    seen: u64,
    /// Whether a timer is running at whose end they are looked at.
    armed: bool,
    /// The last attempt to write has failed, and was logged.
    failed: bool,
}

impl Remembered {
    /// Takes up what the file says. One that does not exist says nothing.
    #[must_use]
    pub fn open(path: PathBuf) -> Self {
        let Document { key, window: left } = file::read(&path).unwrap_or_else(|error| {
            tracing::warn!("the places of windows are not known any more: {error}");
            Document::default()
        });
        let key = TitleKey::parse(&key).or_else(TitleKey::random);
        Self { path, key, written: left.clone(), left, seen: 0, armed: false, failed: false }
    }

    /// The place for the next window of an origin and application id: one of a window with its title, or else the first. Each
    /// is given once.
    pub fn take(&mut self, origin: &Origin, app_id: &str, title: &str) -> Option<Place> {
        let digest = self.key.map(|key| key.digest(origin.name(), app_id, title)).unwrap_or_default();
        let own = |place: &Place| place.vm == origin.name() && place.app_id == app_id;
        let titled = self.left.iter().position(|place| own(place) && place.title == digest);
        let found = titled.filter(|_| !digest.is_empty()).or_else(|| self.left.iter().position(own))?;
        Some(self.left.remove(found))
    }

    /// What the file should hold: the places of the windows in the order in which they were opened, and then those that are
    /// left, of origins that are configured.
    fn places<H>(&self, shell: &Shell<H>, config: &Config) -> Vec<Place> {
        let mut windows: Vec<&Window<H>> = shell.bottom_up().collect();
        windows.sort_by_key(|window| window.id);
        let open = windows.into_iter().filter_map(|window| Place::of(shell, window, self.key));
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        let mut places: Vec<Place> = open.chain(self.left.iter().cloned()).collect();
        places.retain(|place| {
            let known = place.vm == Origin::Local.name()
                || place.vm.parse().is_ok_and(|name| config.vms.contains_key(&name));
            let count = counts.entry(place.vm.clone()).or_default();
            *count = count.saturating_add(1);
            known && *count <= MAX_PLACES
        });
        // One alone is known without its title, and is not written anew whenever that changes.
        let mut windows: BTreeMap<(String, String), usize> = BTreeMap::new();
        for place in &places {
            let count = windows.entry((place.vm.clone(), place.app_id.clone())).or_default();
            *count = count.saturating_add(1);
        }
        for place in &mut places {
            if windows.get(&(place.vm.clone(), place.app_id.clone())) == Some(&1) {
                place.title.clear();
            }
        }
        places
    }

    fn write(&mut self, places: Vec<Place>) {
        if places == self.written {
            return;
        }
        let key = self.key.map(TitleKey::text).unwrap_or_default();
        let document = Document { key, window: places };
        match file::write(&self.path, &document) {
            Ok(()) => {
                self.written = document.window;
                self.failed = false;
            }
            Err(error) => {
                if !self.failed {
                    tracing::warn!("the places of windows are not kept: {error}");
                }
                self.failed = true;
            }
        }
    }
}

/// What is kept for the time after a crash.
#[derive(Debug, Default)]
pub struct Recovery {
    /// Who starts the compositor again and has to know then whether the session was locked.
    pub keeper: Option<std::fs::File>,
    /// Where windows stood, if that is kept.
    pub remembered: Option<Remembered>,
}

impl State {
    /// Remembers the places of windows in a file from now on, and gives those that it holds already to windows to come.
    pub fn remember_places(&mut self, path: PathBuf) {
        self.comp.recovery.remembered = Some(Remembered::open(path));
    }

    /// Gives a window that is about to be told its size the place of its predecessor, if there is one.
    pub(crate) fn recall_place(&mut self, id: WindowId) {
        let Some(remembered) = &mut self.comp.recovery.remembered else { return };
        // One that was shown before has a size.
        let fresh = |window: &&Window<_>| window.size.w == 0 && window.parent.is_none();
        let Some(window) = self.comp.shell.get(id).filter(fresh) else { return };
        let Some(place) = remembered.take(&window.origin, &window.app_id, &window.title) else { return };
        // One whose output is not there opens where the user is.
        let named = self.comp.shell.outputs().named(&place.output).filter(|output| output.in_use);
        let output = named.unwrap_or(self.comp.shell.outputs().active()).id;
        self.comp.shell.move_to_output(id, output);
        if let Some(window) = self.comp.shell.get_mut(id) {
            window.size = place.size();
            window.mode = place.mode();
            window.minimized = place.minimized;
            window.recalled = Some(output.origin() + place.location());
        }
        // One that is not there any more changes nothing.
        self.comp.shell.move_to_workspace(id, place.workspace);
    }

    /// Plans to look at the places of the windows, if they may have changed and that is not planned yet.
    pub(crate) fn plan_remembering(&mut self) {
        let changes = self.comp.shell.changes();
        let Some(remembered) = &mut self.comp.recovery.remembered else { return };
        if remembered.armed || remembered.seen == changes {
            return;
        }
        let inserted = self.comp.events.insert_source(Timer::from_duration(PAUSE), |_, (), state| {
            if let Some(remembered) = &mut state.comp.recovery.remembered {
                remembered.armed = false;
            }
            state.write_places();
            TimeoutAction::Drop
        });
        match inserted {
            Ok(_) => remembered.armed = true,
            Err(error) => tracing::error!("error arming the timer of the windows' places: {error}"),
        }
    }

    /// Writes the places of the windows, if they have changed.
    pub(crate) fn write_places(&mut self) {
        let Some(remembered) = &mut self.comp.recovery.remembered else { return };
        remembered.seen = self.comp.shell.changes();
        let places = remembered.places(&self.comp.shell, self.comp.config.current());
        remembered.write(places);
    }
}

#[cfg(test)]
mod tests;
