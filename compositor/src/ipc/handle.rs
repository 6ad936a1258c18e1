//! What requests mean: reports are made from the compositor's state when they are asked for, never kept.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use serde::Serialize;
use serde_json::json;
use smithay::utils::{Physical, Point, Rectangle};
use vitrail_protocols::VmName;

use super::clipboard;
use super::outputs::{VirtualOutput, no_such_output};
use super::picture;
use super::protocol::{
    Area, FrameNumber, Request, Status, Usage, VmList, VmReport, WhyReport, WindowInfo, WindowList,
};
use super::server::{Awaited, Handler, Reply, Server, ServerError};
use super::why;
use crate::handlers::compositor::height;
use crate::state::{Comp, State, limits_of};
use crate::trust::limits::Resource;
use crate::trust::origin::Origin;
use crate::trust::panel::Operation;
use crate::trust::style::LabelStyle;
use crate::trust::title::GuestText;

impl Handler for State {
    fn handle(&mut self, request: Request) -> Reply {
        match request {
            Request::Windows {} => value(&self.comp.window_list()),
            Request::WaitWindows { generation } => {
                let list = self.comp.window_list();
                if list.generation == generation {
                    Reply::Wait(Awaited::Windows(generation))
                } else {
                    value(&list)
                }
            }
            Request::WaitFrame { frame } => {
                let drawn = self.comp.frame_number();
                if drawn.frame == frame { Reply::Wait(Awaited::Frame(frame)) } else { value(&drawn) }
            }
            Request::WaitVms { generation } => self.wait_vms(generation),
            Request::Vms {} => value(&self.comp.vm_reports()),
            Request::Restrain { vm, operation, on } => self.restrain_by_name(&vm, operation, on),
            Request::Why { vm, interface } => value(&self.comp.why(&vm, &interface)),
            Request::Clipboard {} => value(&self.comp.clipboard_report()),
            Request::ClipboardPair { from, to } => {
                clipboard::explain(self.comp.config.current(), self.comp.config_path(), &from, &to)
            }
            Request::Status {} => value(&self.comp.status()),
            Request::Outputs {} => value(&self.comp.output_reports()),
            Request::PlugOutput { name, size, scale } => {
                self.plug_output(&name, VirtualOutput { size, scale })
            }
            Request::UnplugOutput { name } => self.unplug_output(&name),
            Request::Screenshot { path, output } => self.save_screenshot(Path::new(&path), output.as_deref()),
            Request::Reload {} => {
                self.reload();
                match self.comp.config.error() {
                    None => Reply::Ok(json!({})),
                    Some(error) => Reply::Error(error.to_string()),
                }
            }
            Request::Input { events, output } => self.play(&events, output.as_deref()),
            Request::Spell { text } => self.spelled(&text),
        }
    }
}

/// A rectangle as seen from the corner of its output.
fn on_output(rect: Rectangle<i32, Physical>, origin: Point<i32, Physical>) -> Rectangle<i32, Physical> {
    Rectangle::new(rect.loc - origin, rect.size)
}

/// An answer in JSON.
pub(super) fn value<T: Serialize>(answer: &T) -> Reply {
    match serde_json::to_value(answer) {
        Ok(value) => Reply::Ok(value),
        Err(error) => Reply::Error(format!("error writing the answer: {error}")),
    }
}

impl State {
    /// Serves the control socket at `path`.
    ///
    /// # Errors
    ///
    /// As [`Server::start`].
    pub fn start_ipc(&mut self, path: &Path) -> Result<(), ServerError> {
        self.comp.ipc = Some(Server::start(path, &self.comp.events)?);
        Ok(())
    }

    /// Answers the clients that wait for a change of the windows or for a frame. Costs nothing while nobody waits.
    pub fn answer_ipc(&self) {
        let Some(server) = &self.comp.ipc else { return };
        if server.awaits_windows() {
            server.answer_windows(&self.comp.events, &self.comp.window_list());
        }
        server.answer_frame(&self.comp.events, self.comp.frame_number());
    }

    fn wait_vms(&mut self, known: u64) -> Reply {
        let list = VmList::from(&self.comp.overview());
        if known == 0 {
            return value(&list);
        }
        if list.generation != known {
            // With the frame, so that a VM that changes all the time is told of no more often than others are.
            self.comp.schedule.request();
        }
        Reply::Wait(Awaited::Vms(known))
    }

    fn restrain_by_name(&mut self, vm: &str, operation: Operation, on: bool) -> Reply {
        let config = self.comp.config.current();
        let origins = std::iter::once(Origin::Local).chain(config.vms.keys().cloned().map(Origin::Vm));
        let Some(origin) = origins.into_iter().find(|origin| origin.name() == vm) else {
            return Reply::Error(format!("the configuration has no VM \"{}\"", vm.escape_debug()));
        };
        if !operation.applies_to(&origin) {
            return Reply::Error(String::from(
                "programs of the GUI VM itself can be hidden, and nothing else",
            ));
        }
        self.restrain(&origin, operation, on);
        Reply::Ok(json!({}))
    }

    fn save_screenshot(&mut self, path: &Path, output: Option<&str>) -> Reply {
        let outputs = self.comp.shell.outputs();
        let output = match output {
            None => outputs.active().id,
            Some(name) => match outputs.named(name).filter(|output| output.in_use) {
                Some(output) => output.id,
                None => return Reply::Error(no_such_output(name)),
            },
        };
        let shot = match self.backend.screenshot_of(&mut self.comp, output) {
            Ok(shot) => shot,
            Err(error) => return Reply::Error(format!("error drawing the screen: {error}")),
        };
        match picture::save(&shot, path) {
            Ok(()) => Reply::Ok(json!({ "width": shot.width, "height": shot.height })),
            Err(error) => Reply::Error(error.to_string()),
        }
    }
}

impl Comp {
    /// The mapped windows as they are reported.
    fn window_list(&self) -> WindowList {
        let config = self.config.current();
        let windows: Vec<WindowInfo> = self
            .windows_report()
            .into_iter()
            .filter_map(|window| {
                let origin = self.shell.get(window.id).map(|window| &window.origin)?;
                let style = config.style(origin)?;
                let output = self.shell.outputs().of(window.output);
                let origin = window.output.origin();
                Some(WindowInfo {
                    vm: window.vm,
                    label: style.label.to_string(),
                    color: style.color.to_string(),
                    app_id: GuestText::new(&window.app_id).to_string(),
                    title: GuestText::new(&window.title).to_string(),
                    tag: GuestText::new(&window.tag).to_string(),
                    description: GuestText::new(&window.description).to_string(),
                    icon: window.icon,
                    modal: window.modal,
                    urgent: window.urgent,
                    output: output.head.name.clone(),
                    frame: on_output(window.frame, origin).into(),
                    content: on_output(window.content, origin).into(),
                    z: window.z,
                    focused: window.focused,
                    settled: window.settled,
                })
            })
            .collect();
        let mut hasher = DefaultHasher::new();
        windows.hash(&mut hasher);
        // 0 is what a client says that knows no list.
        WindowList { generation: hasher.finish().max(1), windows }
    }

    fn frame_number(&self) -> FrameNumber {
        FrameNumber { frame: self.schedule.frames() }
    }

    /// `local` and every VM of the configuration.
    fn vm_reports(&self) -> Vec<VmReport> {
        let config = self.config.current();
        let local = self.vm_report(&Origin::Local, &config.local);
        let vms = config.vms.iter().map(|(name, vm)| self.vm_report(&Origin::Vm(name.clone()), &vm.style));
        std::iter::once(local).chain(vms).collect()
    }

    fn vm_report(&self, origin: &Origin, style: &LabelStyle) -> VmReport {
        let worker = match origin {
            Origin::Local => None,
            Origin::Vm(name) => self.worker(name),
        };
        VmReport {
            vm: origin.name().to_owned(),
            label: style.label.to_string(),
            color: style.color.to_string(),
            pattern: style.pattern.as_str().to_owned(),
            restraints: self.restraints(origin),
            limits: limits_of(self.config.current(), origin),
            usage: self.usage(origin),
            worker,
        }
    }

    fn worker(&self, name: &VmName) -> Option<vitrail_protocols::WorkerReport> {
        self.gate.as_ref()?.reports().get(name).cloned()
    }

    fn usage(&self, origin: &Origin) -> Usage {
        let Some(account) = self.accounts.get(origin) else { return Usage::default() };
        let windows = self.shell.shown_top_down().filter(|window| window.origin == *origin).count();
        let (pace, waits) = account.pace(self.now());
        Usage {
            clients: account.used(Resource::Clients),
            windows: u32::try_from(windows).unwrap_or(u32::MAX),
            toplevels: account.used(Resource::Toplevels),
            popups: account.used(Resource::Popups),
            surfaces: account.used(Resource::Surfaces),
            pools: account.used(Resource::Pools),
            buffers: account.used(Resource::Buffers),
            shm_bytes: account.memory(),
            bells: account.bells(),
            objects: account.objects(),
            popup_area: self.popup_area(origin),
            subsurface_depth: self.subsurface_depth(origin),
            commits_per_second: pace.commits,
            damage_per_second: pace.damage,
            waits,
        }
    }

    /// What the popups of an origin that are in sight cover, in percent of the work areas that they are on.
    fn popup_area(&self, origin: &Origin) -> u32 {
        let own = self.shell.shown_top_down().filter(|window| window.origin == *origin);
        let (mut covered, mut outputs) = (0_i64, BTreeMap::new());
        for window in own {
            for popup in self.popup_rects(window.handle.wl_surface()) {
                let size = popup.rects.outer().size;
                covered = covered.saturating_add(i64::from(size.w) * i64::from(size.h));
                let area = self.shell.layout_of(window).work_area().size;
                outputs.insert(window.output, i64::from(area.w) * i64::from(area.h));
            }
        }
        let all: i64 = outputs.values().sum();
        u32::try_from(covered.saturating_mul(100) / all.max(1)).unwrap_or(0)
    }

    /// How deep subsurfaces are nested below the windows of an origin.
    fn subsurface_depth(&self, origin: &Origin) -> u32 {
        let limit = limits_of(self.config.current(), origin).subsurface_depth;
        let own = self.shell.bottom_up().filter(|window| window.origin == *origin);
        own.map(|window| height(window.handle.wl_surface(), limit)).max().unwrap_or(0)
    }

    fn why(&self, vm: &str, interface: &str) -> WhyReport {
        why::explain(self.config.current(), self.config_path(), vm, interface)
    }

    /// The configuration file as text; `None` for the built-in one.
    fn config_path(&self) -> Option<String> {
        self.config.path().map(|path| path.display().to_string())
    }

    fn status(&self) -> Status {
        let layout = self.shell.layout();
        let output = layout.output;
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            output: Area { x: 0, y: 0, w: output.w, h: output.h },
            scale: layout.scale,
            keyboard: self.focused_origin().map(|origin| origin.name().to_owned()),
            locked: self.lock.is_locked(),
            workspaces: self.shell.workspaces_report(),
            idle_inhibited_by: self.idle_inhibitor().map(|origin| origin.name().to_owned()),
            shortcuts_inhibited_by: self.shortcuts_inhibitor().map(|origin| origin.name().to_owned()),
            config: self.config_path(),
            config_error: self.config.error().map(ToString::to_string),
            gate: self.gate.as_ref().and_then(|gate| gate.pid()),
        }
    }
}
