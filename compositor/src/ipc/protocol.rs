//! The words of the control socket.

use serde::{Deserialize, Serialize};
use smithay::utils::{Physical, Rectangle};
use vitrail_protocols::globals::Class;
use vitrail_protocols::{Limits, WorkerReport};

use crate::input::gesture::Gesture;
use crate::overview::{Overview, WindowState, WindowView};
use crate::shell::workspaces::WorkspaceReport;
use crate::trust::panel::Operation;

/// The longest request, in bytes with its line feed.
pub const MAX_REQUEST: usize = 64 * 1024;
/// The most events of one [`Request::Input`].
pub const MAX_EVENTS: usize = 512;
/// The longest text of one [`Request::Spell`], in bytes.
pub const MAX_SPELLED: usize = 4096;

/// What a client may ask for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// The mapped windows; answered with [`WindowList`].
    Windows {},
    /// The same, as soon as the list's generation is another one than `generation`. 0 is no list's generation.
    WaitWindows {
        /// The generation that the client knows.
        generation: u64,
    },
    /// How many frames were drawn, as soon as that is another number than `frame`; answered with [`FrameNumber`].
    WaitFrame {
        /// The number that the client knows.
        frame: u64,
    },
    /// What every origin is called, may use and uses; answered with a list of [`VmReport`].
    Vms {},
    /// The VMs and their windows, as soon as the list's generation is another one than `generation`, and at most once a frame;
    /// answered with [`VmList`]. 0 is no list's generation, and is answered at once.
    WaitVms {
        /// The generation that the client knows.
        generation: u64,
    },
    /// Hides a VM's windows, pauses its input or disconnects it, or takes that back.
    Restrain {
        /// The VM's name; of `local`, the GUI VM's own programs, windows alone can be hidden.
        vm: String,
        /// What is done.
        operation: Operation,
        /// Whether it is done, and not taken back.
        on: bool,
    },
    /// Whether a VM sees an interface, and which rule decided; answered with [`WhyReport`].
    Why {
        /// The VM's name; `local` for the GUI VM's own clients.
        vm: String,
        /// The interface's name.
        interface: String,
    },
    /// The clipboard between VMs; answered with [`ClipboardReport`](super::clipboard::ClipboardReport).
    Clipboard {},
    /// What may be pasted from one VM into another; answered with [`PairReport`](super::clipboard::PairReport).
    ClipboardPair {
        /// The VM that the content is from; `local` for the GUI VM's own programs.
        from: String,
        /// The VM that it goes to.
        to: String,
    },
    /// How the compositor itself is; answered with [`Status`].
    Status {},
    /// The outputs; answered with a list of [`OutputReport`](super::outputs::OutputReport).
    Outputs {},
    /// Plugs an output in, or makes it another one, in the headless backend only.
    PlugOutput {
        /// Its name.
        name: String,
        /// Width and height in physical pixels.
        size: (i32, i32),
        /// Physical pixels per logical pixel.
        scale: f64,
    },
    /// Plugs an output out, in the headless backend only.
    UnplugOutput {
        /// Its name.
        name: String,
    },
    /// Draws an output into a PNG file that the compositor creates or replaces.
    Screenshot {
        /// Absolute path of the file.
        path: String,
        /// Which output; the one where the user is, if it is left out.
        #[serde(default)]
        output: Option<String>,
    },
    /// Reads the configuration again.
    Reload {},
    /// Plays input, in the headless backend only.
    Input {
        /// At most [`MAX_EVENTS`] events, in order.
        events: Vec<InputEvent>,
        /// The output that the places are on; the first one, if it is left out.
        #[serde(default)]
        output: Option<String>,
    },
    /// The keys that type a text in the layout of the session, as a list of [`InputEvent`]; nothing is typed. An error says which
    /// character has no key.
    Spell {
        /// At most [`MAX_SPELLED`] bytes.
        text: String,
    },
}

/// One event of an input device.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case", deny_unknown_fields)]
pub enum InputEvent {
    /// The pointer moved to a place of the output, in physical pixels.
    Move {
        /// From the left.
        x: f64,
        /// From the top.
        y: f64,
    },
    /// The pointer was pushed, in physical pixels, as far as it goes.
    MoveBy {
        /// To the right.
        dx: f64,
        /// Down.
        dy: f64,
    },
    /// A button of the pointer.
    Button {
        /// Its evdev code.
        code: u32,
        /// Pressed or released.
        pressed: bool,
    },
    /// A key.
    Key {
        /// Its evdev code.
        code: u32,
        /// Pressed or released.
        pressed: bool,
    },
    /// The wheel, in steps; positive to the right and down.
    Scroll {
        /// To the right.
        dx: f64,
        /// Down.
        dy: f64,
    },
    /// Fingers begin a gesture on a touchpad.
    GestureBegin {
        /// What it is.
        gesture: Gesture,
        /// With how many fingers.
        fingers: u32,
    },
    /// The fingers moved; a hold has none of these.
    GestureStep {
        /// What it is.
        gesture: Gesture,
        /// To the right, in physical pixels.
        dx: f64,
        /// Down, in physical pixels.
        dy: f64,
        /// How far the fingers are apart, as a multiple of the distance at the beginning.
        scale: f64,
        /// How far they turned since the last step, in degrees clockwise.
        rotation: f64,
    },
    /// A finger came down on the touch screen.
    TouchDown {
        /// Which, from 0 up.
        id: u32,
        /// From the left, in physical pixels.
        x: f64,
        /// From the top, in physical pixels.
        y: f64,
    },
    /// A finger moved.
    TouchMotion {
        /// Which.
        id: u32,
        /// From the left, in physical pixels.
        x: f64,
        /// From the top, in physical pixels.
        y: f64,
    },
    /// A finger was lifted.
    TouchUp {
        /// Which.
        id: u32,
    },
    /// What was said of fingers since the last time belongs together.
    TouchFrame {},
    /// All fingers were something else.
    TouchCancel {},
    /// The pen came near the tablet.
    TabletIn {
        /// From the left, in physical pixels.
        x: f64,
        /// From the top, in physical pixels.
        y: f64,
    },
    /// The pen moved.
    TabletMotion {
        /// From the left, in physical pixels.
        x: f64,
        /// From the top, in physical pixels.
        y: f64,
        /// How hard it is pressed, from 0 to 1.
        pressure: f64,
    },
    /// The pen's tip touched the tablet or left it.
    TabletTip {
        /// Whether it touched it.
        down: bool,
    },
    /// The pen left the tablet.
    TabletOut {},
    /// The gesture is over.
    GestureEnd {
        /// What it was.
        gesture: Gesture,
        /// Whether it is taken back.
        cancelled: bool,
    },
}

/// A rectangle in physical pixels of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Area {
    /// From the left.
    pub x: i32,
    /// From the top.
    pub y: i32,
    /// Width.
    pub w: i32,
    /// Height.
    pub h: i32,
}

impl From<Rectangle<i32, Physical>> for Area {
    fn from(rect: Rectangle<i32, Physical>) -> Self {
        Self { x: rect.loc.x, y: rect.loc.y, w: rect.size.w, h: rect.size.h }
    }
}

/// A mapped window.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WindowInfo {
    /// The VM it came from; `local` for the GUI VM's own.
    pub vm: String,
    /// The VM's label.
    pub label: String,
    /// The VM's colour, `#rrggbb`.
    pub color: String,
    /// The application id: the VM's word, made safe to show.
    pub app_id: String,
    /// The title: the VM's word, made safe to show.
    pub title: String,
    /// What the application calls this window among its own: the VM's word, made safe to show.
    pub tag: String,
    /// What the window is, as people read it: the VM's word, made safe to show.
    pub description: String,
    /// Width and height of the icon that the application gave it, in pixels.
    pub icon: Option<u32>,
    /// Whether it is a modal dialog: the window it belongs to waits for it.
    pub modal: bool,
    /// Whether it asks for attention and has not had it.
    pub urgent: bool,
    /// The output that it is on.
    pub output: String,
    /// The window with its frame, in physical pixels from the corner of that output.
    pub frame: Area,
    /// The part that shows the client's pixels.
    pub content: Area,
    /// The place in the stack, 0 for the lowest.
    pub z: usize,
    /// Whether it has the keyboard.
    pub focused: bool,
    /// Whether it shows the state that it was last told of: its size, and whether it is active.
    pub settled: bool,
}

/// The mapped windows at one time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowList {
    /// A number that is another one as soon as the list is; never 0.
    pub generation: u64,
    /// The windows, the lowest first.
    pub windows: Vec<WindowInfo>,
}

/// The VMs and their windows at one time: what `vitrail-vm-v1` tells its clients too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmList {
    /// A number that is another one as soon as the list is; never 0.
    pub generation: u64,
    /// `local` first, then the VMs by name.
    pub vms: Vec<VmInfo>,
}

/// A VM of the configuration, or the GUI VM's own programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmInfo {
    /// Its name; `local` for the GUI VM's own.
    pub vm: String,
    /// Its label.
    pub label: String,
    /// Its colour, `#rrggbb`.
    pub color: String,
    /// Its mark beside the colour.
    pub pattern: String,
    /// How many connections it has; with none it is not connected.
    pub clients: u32,
    /// Whether one of its windows has the keyboard.
    pub keyboard: bool,
    /// Whether one of its windows asks for attention and has not had it.
    pub urgent: bool,
    /// What the user has done to it and not taken back.
    pub restraints: Vec<Operation>,
    /// Its windows, the oldest first.
    pub windows: Vec<VmWindow>,
}

/// A window of a VM, shown or minimised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmWindow {
    /// Names the window as long as it has content.
    pub identifier: String,
    /// The application id: the VM's word, made safe to show.
    pub app_id: String,
    /// The title: the VM's word, made safe to show.
    pub title: String,
    /// Whether it has the keyboard.
    pub focused: bool,
    /// Whether it asks for attention and has not had it.
    pub urgent: bool,
    /// Whether it is taken off the screen.
    pub minimized: bool,
    /// Whether it fills the work area.
    pub maximized: bool,
    /// The same, and its program believes to have the screen.
    pub fullscreen: bool,
    /// Whether its title resembles the label of another VM.
    pub imitating: bool,
}

impl From<&Overview> for VmList {
    fn from(overview: &Overview) -> Self {
        let vms = overview.vms.iter().map(|(origin, vm)| {
            let windows = overview.windows.values().filter(|window| window.origin == *origin);
            VmInfo {
                vm: origin.name().to_owned(),
                label: vm.style.label.to_string(),
                color: vm.style.color.to_string(),
                pattern: vm.style.pattern.as_str().to_owned(),
                clients: vm.clients,
                keyboard: vm.keyboard,
                urgent: vm.urgent,
                restraints: vm.restraints.clone(),
                windows: windows.map(VmWindow::from).collect(),
            }
        });
        Self { generation: overview.generation(), vms: vms.collect() }
    }
}

impl From<&WindowView> for VmWindow {
    fn from(window: &WindowView) -> Self {
        let WindowState { focused, urgent, minimized, maximized, fullscreen, imitating } = window.state;
        Self {
            identifier: window.identifier.to_string(),
            app_id: window.app_id.to_string(),
            title: window.title.to_string(),
            focused,
            urgent,
            minimized,
            maximized,
            fullscreen,
            imitating,
        }
    }
}

/// How many frames were drawn. A screenshot shows another picture only after this number has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameNumber {
    /// Counted from 1 since the start; 0 before the first frame.
    pub frame: u64,
}

/// What one origin uses now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Connections.
    pub clients: u32,
    /// Mapped windows.
    pub windows: u32,
    /// `xdg_toplevel` objects, mapped or not.
    pub toplevels: u32,
    /// `xdg_popup` objects.
    pub popups: u32,
    /// `wl_surface` objects.
    pub surfaces: u32,
    /// `wl_shm_pool` objects.
    pub pools: u32,
    /// `wl_buffer` objects.
    pub buffers: u32,
    /// Shared memory, in bytes.
    pub shm_bytes: u64,
    /// How often its bell has rung: at most ten times in ten seconds.
    pub bells: u32,
    /// Live objects of all kinds, as they were last counted.
    pub objects: u32,
    /// What its popups in sight cover of the work areas of its outputs together, in percent.
    pub popup_area: u32,
    /// How deep its subsurfaces are nested.
    pub subsurface_depth: u32,
    /// Commits of surfaces in the last whole second.
    pub commits_per_second: u32,
    /// Rectangles that were damaged in it.
    pub damage_per_second: u32,
    /// How often nothing was read of it because it committed too fast.
    pub waits: u32,
}

/// What there is to say of one origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmReport {
    /// The VM's name; `local` for the GUI VM's own clients.
    pub vm: String,
    /// Its label.
    pub label: String,
    /// Its colour, `#rrggbb`.
    pub color: String,
    /// Its pattern.
    pub pattern: String,
    /// What the user has done to it and not taken back: `hide`, `pause`, `disconnect`.
    pub restraints: Vec<Operation>,
    /// What it may use. The largest number there is says that there is no limit.
    pub limits: Limits,
    /// What it uses.
    pub usage: Usage,
    /// What its gate worker says; `None` where none runs.
    pub worker: Option<WorkerReport>,
}

/// How the compositor itself is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Its version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// The output where the user is.
    pub output: Area,
    /// Physical pixels per logical pixel.
    pub scale: f64,
    /// Name of the VM that has the keyboard.
    pub keyboard: Option<String>,
    /// Whether the session is locked.
    pub locked: bool,
    /// The workspaces in their order.
    pub workspaces: Vec<WorkspaceReport>,
    /// Name of the VM whose window keeps the session from being idle; `None` if none does.
    pub idle_inhibited_by: Option<String>,
    /// Name of the VM whose window gets the compositor's own shortcuts; `None` if none does.
    pub shortcuts_inhibited_by: Option<String>,
    /// The configuration file.
    pub config: Option<String>,
    /// Why the last reload failed, with the line and its place; `None` if it succeeded.
    pub config_error: Option<String>,
    /// Process id of the gate's supervisor.
    pub gate: Option<u32>,
}

/// Which rule decided whether a VM sees an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecidedBy {
    /// The configuration has no table for the VM, so that it is refused.
    UnknownVm,
    /// The table of globals does not know the interface.
    UnknownInterface,
    /// The interface's class in the table of globals.
    Class,
    /// The configuration allows the interface.
    Allowed,
    /// The configuration denies the interface.
    Denied,
    /// The policy shows it, and the compositor does not offer it.
    NotOffered,
    /// The GUI VM's own clients see all that is offered.
    Local,
    /// It is for the gate alone.
    GateOnly,
}

/// What the version depends on, in which a VM sees an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VersionFrom {
    /// It is the version that the compositor offers.
    Compositor,
    /// It is the highest of the table of globals.
    Table,
    /// The configuration lowers it.
    Configuration,
}

/// Whether a VM sees an interface, and why. It is about new connections: those that exist keep the policy that they began
/// with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhyReport {
    /// The VM's name as asked for.
    pub vm: String,
    /// The interface as asked for.
    pub interface: String,
    /// Whether the VM sees it.
    pub visible: bool,
    /// In which version.
    pub version: Option<u32>,
    /// Which rule decided.
    pub decided_by: DecidedBy,
    /// The place in the configuration that allows or denies it, such as `[vm.work.protocols] deny`.
    pub key: Option<String>,
    /// What the version depends on.
    pub version_from: Option<VersionFrom>,
    /// The place in the configuration that lowers the version.
    pub version_key: Option<String>,
    /// The interface's class in the table of globals; `None` if it is unknown.
    pub class: Option<Class>,
    /// Why it has that class.
    pub reason: Option<String>,
    /// The highest version in the table of globals; `None` if no VM is ever shown any.
    pub known: Option<u32>,
    /// The version that the compositor offers; `None` if it does not.
    pub offered: Option<u32>,
    /// The configuration file; `None` for the built-in one.
    pub config: Option<String>,
}

/// The answer as it is sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer<T> {
    /// What was asked for.
    Ok(T),
    /// Why not.
    Error(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_as_they_are_documented() {
        for (line, request) in [
            (r#"{"request":"windows"}"#, Request::Windows {}),
            (r#"{"request":"wait_windows","generation":7}"#, Request::WaitWindows { generation: 7 }),
            (
                r#"{"request":"why","vm":"work","interface":"wl_shm"}"#,
                Request::Why { vm: "work".into(), interface: "wl_shm".into() },
            ),
            (r#"{"request":"wait_frame","frame":7}"#, Request::WaitFrame { frame: 7 }),
            (
                r#"{"request":"restrain","vm":"work","operation":"pause","on":true}"#,
                Request::Restrain { vm: "work".into(), operation: Operation::Pause, on: true },
            ),
            (
                r#"{"request":"screenshot","path":"/a.png"}"#,
                Request::Screenshot { path: "/a.png".into(), output: None },
            ),
            (r#"{"request":"unplug_output","name":"b"}"#, Request::UnplugOutput { name: "b".into() }),
            (
                r#"{"request":"input","events":[{"event":"move","x":1,"y":2.5}]}"#,
                Request::Input { events: vec![InputEvent::Move { x: 1.0, y: 2.5 }], output: None },
            ),
            (
                r#"{"request":"input","events":[{"event":"touch_up","id":3},{"event":"touch_frame"}],"output":"b"}"#,
                Request::Input {
                    events: vec![InputEvent::TouchUp { id: 3 }, InputEvent::TouchFrame {}],
                    output: Some("b".into()),
                },
            ),
            (
                r#"{"request":"input","events":[{"event":"gesture_end","gesture":"pinch","cancelled":true}]}"#,
                Request::Input {
                    events: vec![InputEvent::GestureEnd { gesture: Gesture::Pinch, cancelled: true }],
                    output: None,
                },
            ),
        ] {
            assert_eq!(serde_json::from_str::<Request>(line).unwrap(), request);
        }
    }

    #[test]
    fn unknown_requests_and_fields_are_refused() {
        for line in
            [r#"{"request":"quit"}"#, r#"{"request":"windows","x":1}"#, r#"{"request":"screenshot"}"#, "[]"]
        {
            assert!(serde_json::from_str::<Request>(line).is_err(), "{line}");
        }
    }

    #[test]
    fn an_answer_is_ok_or_error() {
        assert_eq!(serde_json::to_string(&Answer::Ok(1)).unwrap(), r#"{"ok":1}"#);
        assert_eq!(serde_json::to_string(&Answer::<()>::Error("no".into())).unwrap(), r#"{"error":"no"}"#);
    }
}
