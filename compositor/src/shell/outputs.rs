//! Outputs: which screens there are, how each is set up, and where they stand beside each other.
//!
//! # Model
//!
//! An output is known by the name of its connector. What is said of it comes from three sides: the backend says what can be
//! plugged in or is ([`Head`]), the configuration how it is to be ([`Settings`]), and programs of the user change that while
//! the session runs. An output is *in use* while it is plugged in and not switched off; if that holds for none, the one that
//! was used last stays in use, so that windows always have a place.
//!
//! Each output has a place in two planes:
//!
//! * In *logical* pixels, where clients and the user see the outputs beside each other. The pointer goes from one to the other
//!   here, and programs that arrange outputs speak of these places. Outputs that nobody placed stand in a row from the left,
//!   without gaps, right of those that somebody did.
//! * In *physical* pixels, where windows are laid out, labels drawn and clicks looked up, exact to the pixel at every scale.
//!   Here each output has a strip of its own that is so wide that no window of one reaches the pixels of another. Output 0
//!   begins at 0, 0, so that where there is one output these are simply its pixels.
//!
//! A window is on one output at a time, and is never drawn, hit or labelled anywhere else.
//!
//! # Invariants
//!
//! * At least one output is in use, and the active one, where the user is, is in use.
//! * No two outputs in use overlap in logical pixels: one that was placed upon another stands in the row instead.
//! * Names are unique, and a number is of one name as long as a window wants to go back to it.

use std::collections::BTreeMap;

use smithay::utils::{Logical, Physical, Point, Rectangle, Size, Transform};

use super::Layout;
use super::workspaces::{Workspace, Workspaces};
use crate::render::frame::FrameMetrics;
use crate::state::{is_sane, is_sane_scale};

/// How many outputs are known at most, plugged in or remembered.
pub const MAX_OUTPUTS: usize = STRIPS as usize;
/// The strips of physical pixels, one for each.
const STRIPS: u8 = 16;
/// From the left edge of one output to that of the next in physical pixels: twice the widest that an output can be, so that
/// what sticks out of one never reaches another.
const PITCH: i32 = 1 << 15;
/// How far from the origin an output may be placed, in logical pixels.
pub const MAX_POSITION: i32 = 1 << 16;
/// The refresh rate of a mode that says none, in thousandths of a hertz.
const REFRESH: i32 = crate::render::schedule::REFRESH_MHZ;

/// Names an output: the number of its strip of physical pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct OutputId(u8);

impl OutputId {
    /// The output whose pixels begin at 0, 0.
    pub const FIRST: Self = Self(0);

    /// The upper left corner of the output.
    #[must_use]
    pub fn origin(self) -> Point<i32, Physical> {
        (i32::from(self.0) * PITCH, 0).into()
    }

    /// The output in whose strip a point is.
    #[must_use]
    pub fn at(point: Point<i32, Physical>) -> Self {
        // What sticks out to the left by less than half a strip still counts.
        let strip = point.x.saturating_add(PITCH / 4).div_euclid(PITCH);
        Self(u8::try_from(strip.clamp(0, i32::from(STRIPS) - 1)).unwrap_or(0))
    }
}

/// A resolution with a refresh rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputMode {
    /// In physical pixels, before the output is turned.
    pub size: Size<i32, Physical>,
    /// In thousandths of a hertz.
    pub refresh: i32,
}

/// What a backend says of a screen.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// The connector's name, such as `HDMI-A-1`.
    pub name: String,
    /// Who made the screen; empty if that is not known.
    pub make: String,
    /// What they call it.
    pub model: String,
    /// Which of those it is.
    pub serial: String,
    /// Width and height in millimetres; 0 if that is not known.
    pub millimetres: (i32, i32),
    /// What it can show. Empty: any mode ([`Head::takes`]).
    pub modes: Vec<OutputMode>,
    /// The best of them.
    pub preferred: OutputMode,
    /// Physical pixels per logical pixel, unless something else is configured.
    pub scale: f64,
    /// Its picture can be turned.
    pub turns: bool,
}

impl Head {
    /// A screen without hardware, of any resolution.
    #[must_use]
    pub fn virtual_one(name: &str, size: Size<i32, Physical>, scale: f64) -> Self {
        Self {
            name: name.to_owned(),
            make: String::from("Vitrail"),
            model: String::from("Output"),
            serial: String::new(),
            millimetres: (0, 0),
            modes: Vec::new(),
            preferred: OutputMode { size, refresh: REFRESH },
            scale,
            turns: true,
        }
    }

    /// The mode that is used if this one is wanted: of those with its size the one whose refresh rate is nearest, or the best if
    /// it says none. `None`: the screen cannot show it.
    #[must_use]
    pub fn takes(&self, wanted: WantedMode) -> Option<OutputMode> {
        if !is_sane(wanted.size) {
            return None;
        }
        if self.modes.is_empty() {
            return Some(OutputMode { size: wanted.size, refresh: wanted.refresh.unwrap_or(REFRESH) });
        }
        let fitting = self.modes.iter().filter(|mode| mode.size == wanted.size);
        match wanted.refresh {
            Some(refresh) => fitting.min_by_key(|mode| mode.refresh.abs_diff(refresh)).copied(),
            None if self.preferred.size == wanted.size => Some(self.preferred),
            None => fitting.max_by_key(|mode| mode.refresh).copied(),
        }
    }
}

/// A mode as somebody asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WantedMode {
    /// In physical pixels.
    pub size: Size<i32, Physical>,
    /// In thousandths of a hertz; `None`: whichever is best.
    pub refresh: Option<i32>,
}

/// How an output is to be; what is `None` is left to the compositor.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// The upper left corner in logical pixels.
    pub position: Option<Point<i32, Logical>>,
    /// Physical pixels per logical pixel.
    pub scale: Option<f64>,
    /// How the picture is turned.
    pub transform: Option<Transform>,
    /// The resolution.
    pub mode: Option<WantedMode>,
    /// Whether it is used.
    pub enabled: Option<bool>,
}

impl Settings {
    /// These, and where they say nothing the others.
    #[must_use]
    pub fn over(&self, others: &Self) -> Self {
        Self {
            position: self.position.or(others.position),
            scale: self.scale.or(others.scale),
            transform: self.transform.or(others.transform),
            mode: self.mode.or(others.mode),
            enabled: self.enabled.or(others.enabled),
        }
    }
}

/// An output that is plugged in, or was.
#[derive(Clone, Debug)]
pub struct Output {
    /// Its number.
    pub id: OutputId,
    /// What its backend says of it.
    pub head: Head,
    /// It is plugged in.
    pub connected: bool,
    /// It is not only plugged in but has windows.
    pub in_use: bool,
    /// It is lit. One that is not shows nothing, and its windows stay.
    pub powered: bool,
    /// How programs have changed what is configured.
    changed: Settings,
    /// The resolution.
    pub mode: OutputMode,
    /// How the picture is turned.
    pub transform: Transform,
    /// Its geometry.
    pub layout: Layout,
    /// Its workspaces.
    pub(super) workspaces: Workspaces,
}

impl Output {
    fn new(id: OutputId, head: Head, workspaces: &[Workspace]) -> Self {
        let layout = Layout {
            output: head.preferred.size,
            scale: head.scale,
            metrics: Default::default(),
            left: None,
            origin: id.origin(),
            position: Point::default(),
        };
        let mut list = Workspaces::default();
        list.configure(workspaces);
        Self {
            id,
            mode: head.preferred,
            head,
            connected: true,
            in_use: false,
            powered: true,
            changed: Settings::default(),
            transform: Transform::Normal,
            layout,
            workspaces: list,
        }
    }

    /// Where it is in logical pixels.
    #[must_use]
    pub fn logical(&self) -> Rectangle<i32, Logical> {
        self.layout.logical()
    }

    /// Its workspaces.
    #[must_use]
    pub fn workspaces(&self) -> &Workspaces {
        &self.workspaces
    }
}

/// All outputs.
#[derive(Clone, Debug)]
pub struct Outputs {
    first: Output,
    more: Vec<Output>,
    active: OutputId,
    configured: BTreeMap<String, Settings>,
    workspaces: Vec<Workspace>,
    /// Widths of the labels' parts, on all of them.
    metrics: FrameMetrics,
}

impl Outputs {
    /// The outputs that a backend begins with. Without any there is one that is not plugged in, for the windows that come before
    /// the first screen.
    #[must_use]
    pub fn new(heads: Vec<Head>) -> Self {
        let mut heads = heads.into_iter();
        let begin = heads.next();
        let connected = begin.is_some();
        let head = begin.unwrap_or_else(|| Head::virtual_one("none", (1280, 800).into(), 1.0));
        let mut first = Output::new(OutputId::FIRST, head, &[]);
        first.connected = connected;
        let mut outputs = Self {
            first,
            more: Vec::new(),
            active: OutputId::FIRST,
            configured: BTreeMap::new(),
            workspaces: Vec::new(),
            metrics: FrameMetrics::default(),
        };
        outputs.settle();
        for head in heads {
            outputs.connect(head);
        }
        outputs
    }

    /// One output with this geometry. For tests of what is on it.
    #[must_use]
    pub fn single(layout: Layout) -> Self {
        let head = Head::virtual_one("vitrail-1", layout.output, layout.scale);
        let mut outputs = Self::new(vec![head]);
        outputs.first.layout.left = layout.left;
        outputs
    }

    /// All that are known, by their numbers.
    pub fn all(&self) -> impl Iterator<Item = &Output> {
        std::iter::once(&self.first).chain(&self.more)
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Output> {
        std::iter::once(&mut self.first).chain(&mut self.more)
    }

    /// Those that have windows.
    pub fn used(&self) -> impl Iterator<Item = &Output> {
        self.all().filter(|output| output.in_use)
    }

    /// An output by its number.
    #[must_use]
    pub fn get(&self, id: OutputId) -> Option<&Output> {
        self.all().find(|output| output.id == id)
    }

    pub(super) fn get_mut(&mut self, id: OutputId) -> Option<&mut Output> {
        self.all_mut().find(|output| output.id == id)
    }

    /// An output by its number; for a number of none, some output.
    #[must_use]
    pub fn of(&self, id: OutputId) -> &Output {
        self.get(id).unwrap_or(&self.first)
    }

    /// An output by its connector.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Output> {
        self.all().find(|output| output.head.name == name)
    }

    /// Where the user is: where windows open, and what chords are about that name no window.
    #[must_use]
    pub fn active(&self) -> &Output {
        self.of(self.active)
    }

    pub(super) fn active_mut(&mut self) -> &mut Output {
        let active = self.active;
        match self.more.iter_mut().find(|output| output.id == active) {
            Some(output) => output,
            None => &mut self.first,
        }
    }

    /// The user goes to another output. One that is not in use changes nothing.
    pub(super) fn set_active(&mut self, id: OutputId) {
        if self.get(id).is_some_and(|output| output.in_use) {
            self.active = id;
        }
    }

    /// The output in use at a place that clients and users speak of.
    #[must_use]
    pub fn over(&self, point: Point<f64, Logical>) -> Option<&Output> {
        self.used().find(|output| output.logical().to_f64().contains(point))
    }

    /// What bars and the like leave of an output.
    pub(crate) fn set_left(&mut self, id: OutputId, left: Option<Rectangle<i32, Physical>>) {
        if let Some(output) = self.get_mut(id) {
            output.layout.left = left;
        }
    }

    /// Widths of the labels' parts, which are the same on all outputs.
    pub fn set_metrics(&mut self, metrics: FrameMetrics) {
        self.metrics = metrics;
        self.settle();
    }

    /// Lights an output, or darkens it. Returns whether that is a change.
    pub(crate) fn set_powered(&mut self, id: OutputId, powered: bool) -> bool {
        let output = self.get_mut(id).filter(|output| output.powered != powered);
        output.map(|output| output.powered = powered).is_some()
    }

    /// A screen is plugged in, or says something else of itself. `None`: there are too many.
    pub fn connect(&mut self, head: Head) -> Option<OutputId> {
        let known = self.all_mut().find(|output| output.head.name == head.name);
        let id = if let Some(output) = known {
            output.head = head;
            output.connected = true;
            output.powered = true;
            output.id
        } else {
            let id = self.free_id()?;
            self.more.retain(|output| output.id != id);
            let output = Output::new(id, head, &self.workspaces);
            if id == OutputId::FIRST {
                self.first = output;
            } else {
                self.more.push(output);
                self.more.sort_by_key(|output| output.id);
            }
            id
        };
        self.settle();
        Some(id)
    }

    /// A number that no output has, or else that of one that was plugged out and is in use for nothing.
    fn free_id(&self) -> Option<OutputId> {
        let numbers = || (0..STRIPS).map(OutputId);
        let unknown = numbers().find(|id| self.get(*id).is_none());
        unknown
            .or_else(|| numbers().find(|id| self.get(*id).is_some_and(|old| !old.connected && !old.in_use)))
    }

    /// A screen is plugged out. Its settings are remembered, and so is what programs made of them.
    pub fn disconnect(&mut self, name: &str) {
        if let Some(output) = self.all_mut().find(|output| output.head.name == name) {
            output.connected = false;
        }
        self.settle();
    }

    /// What the configuration says of outputs.
    #[must_use]
    pub fn configured(&self) -> &BTreeMap<String, Settings> {
        &self.configured
    }

    /// What the configuration says, by the names of connectors. What programs have changed of an output is given up where the
    /// configuration says something new of it.
    pub fn configure(&mut self, configured: &BTreeMap<String, Settings>) {
        let before = std::mem::replace(&mut self.configured, configured.clone());
        for output in self.all_mut() {
            if before.get(&output.head.name) != configured.get(&output.head.name) {
                output.changed = Settings::default();
            }
        }
        self.settle();
    }

    /// A program sets an output up, until the configuration says something new of it.
    pub fn change(&mut self, id: OutputId, settings: &Settings) {
        if let Some(output) = self.get_mut(id) {
            output.changed = settings.over(&output.changed);
        }
        self.settle();
    }

    pub(super) fn set_workspaces(&mut self, list: &[Workspace]) {
        self.workspaces = list.to_vec();
    }

    /// What is wanted of an output.
    fn wanted(&self, output: &Output) -> Settings {
        let nothing = Settings::default();
        output.changed.over(self.configured.get(&output.head.name).unwrap_or(&nothing))
    }

    /// Makes everything follow from what is plugged in and what is wanted.
    fn settle(&mut self) {
        let metrics = self.metrics;
        for output in self.all_mut() {
            output.layout.metrics = metrics;
        }
        let wanted: Vec<Settings> = self.all().map(|output| self.wanted(output)).collect();
        let active = self.active;
        let wants_use =
            |output: &Output, wanted: &Settings| output.connected && wanted.enabled.unwrap_or(true);
        let any = self.all().zip(&wanted).any(|(output, wanted)| wants_use(output, wanted));
        for (output, wanted) in self.all_mut().zip(&wanted) {
            output.in_use = if any { wants_use(output, wanted) } else { output.id == active };
            output.mode =
                wanted.mode.and_then(|mode| output.head.takes(mode)).unwrap_or(output.head.preferred);
            output.transform = wanted.transform.filter(|_| output.head.turns).unwrap_or(Transform::Normal);
            output.layout.scale =
                wanted.scale.filter(|scale| is_sane_scale(*scale)).unwrap_or(output.head.scale);
            let size = output.transform.transform_size(output.mode.size);
            if size != output.layout.output {
                output.layout.output = size;
                // Bars and the like are arranged anew.
                output.layout.left = None;
            }
        }
        self.place(&wanted);
        if !self.active().in_use {
            let first = self.used().next().map(|output| output.id);
            self.active = first.unwrap_or(OutputId::FIRST);
        }
    }

    /// Gives all outputs in use their places in logical pixels.
    fn place(&mut self, wanted: &[Settings]) {
        let mut placed: Vec<Rectangle<i32, Logical>> = Vec::new();
        let mut row: Vec<OutputId> = Vec::new();
        for (output, wanted) in self.all_mut().zip(wanted).filter(|(output, _)| output.in_use) {
            let asked = wanted.position.map(|position| {
                let bounded = |at: i32| at.clamp(-MAX_POSITION, MAX_POSITION);
                output.layout.position = (bounded(position.x), bounded(position.y)).into();
                output.layout.logical()
            });
            match asked.filter(|asked| placed.iter().all(|other| !other.overlaps(*asked))) {
                Some(asked) => placed.push(asked),
                None => row.push(output.id),
            }
        }
        for id in row {
            let end = placed.iter().map(|rect| rect.loc.x + rect.size.w).max().unwrap_or(0);
            if let Some(output) = self.get_mut(id) {
                output.layout.position = (end, 0).into();
                placed.push(output.layout.logical());
            }
        }
    }

    /// Panics unless the invariants hold. For tests.
    ///
    /// # Panics
    ///
    /// As said.
    pub fn check(&self) {
        assert!(self.active().in_use && self.active().id == self.active, "the user is on an output in use");
        let used: Vec<&Output> = self.used().collect();
        for (index, output) in used.iter().enumerate() {
            for other in used.iter().skip(index + 1) {
                assert!(!output.logical().overlaps(other.logical()), "no two outputs overlap");
                assert_ne!(output.head.name, other.head.name, "names are unique");
            }
        }
    }
}

#[cfg(test)]
mod tests;
