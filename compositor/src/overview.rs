//! What trusted programs are told of VMs and their windows: clients of `vitrail-vm-v1` ([`crate::handlers::vm_list`]), task bars
//! ([`crate::handlers::toplevel_management`]) and clients of the control socket (`vitrailctl watch`).
//!
//! An [`Overview`] is made from the state when somebody wants it, and compared with what that reader was told. That is done
//! with a frame of the output, when a local program asks for something of a window, and when the reader has handled what it was told before, so that a VM which changes its titles,
//! windows or connections all the time costs a reader no more than one change a frame, and a slow one never more than one. All that is told changes together with something that asks for a frame, but for the number of
//! connections, which [`State::plan_overview`] looks at while there is a reader.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use smithay::wayland::shell::xdg::ToplevelSurface;

use crate::shell::window::{Mode, Window, WindowId};
use crate::state::{Comp, State};
use crate::trust::limits::Resource;
use crate::trust::origin::Origin;
use crate::trust::panel::Operation;
use crate::trust::style::LabelStyle;
use crate::trust::title::GuestText;

/// The VMs of the configuration with the GUI VM's own programs, and the mapped windows of all, at one time.
///
/// Each window's origin is among the VMs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Overview {
    /// The VMs.
    pub vms: BTreeMap<Origin, VmView>,
    /// The windows.
    pub windows: BTreeMap<WindowId, WindowView>,
}

impl Overview {
    /// A number that is another one for another overview; never 0.
    #[must_use]
    pub fn generation(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish().max(1)
    }
}

/// What is told of a VM.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VmView {
    /// How its windows are labelled.
    pub style: LabelStyle,
    /// How many connections it has.
    pub clients: u32,
    /// One of its windows has the keyboard.
    pub keyboard: bool,
    /// One of its windows asks for attention.
    pub urgent: bool,
    /// What the user has done to it and not taken back.
    pub restraints: Vec<Operation>,
}

/// What is told of a window.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WindowView {
    /// Names the window as long as it is mapped, and is never used again.
    pub identifier: Arc<str>,
    /// Whose it is.
    pub origin: Origin,
    /// The application id, the VM's word.
    pub app_id: GuestText,
    /// The title, the VM's word.
    pub title: GuestText,
    /// How it is.
    pub state: WindowState,
}

/// How a window is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct WindowState {
    /// It has the keyboard.
    pub focused: bool,
    /// It asks for attention and has not had it.
    pub urgent: bool,
    /// It is taken off the screen.
    pub minimized: bool,
    /// It fills the work area.
    pub maximized: bool,
    /// The same, and its program believes to have the screen.
    pub fullscreen: bool,
    /// Its title resembles the label of another VM.
    pub imitating: bool,
}

impl Comp {
    /// The VMs and windows as they are now.
    #[must_use]
    pub fn overview(&self) -> Overview {
        let config = self.config.current();
        let local = std::iter::once((Origin::Local, &config.local));
        let vms = config.vms.iter().map(|(name, vm)| (Origin::Vm(name.clone()), &vm.style));
        let vms = local.chain(vms).map(|(origin, style)| {
            let view = self.vm_view(&origin, style);
            (origin, view)
        });
        let mapped = self.protocols.toplevel_lists.mapped();
        let windows = mapped.filter_map(|(id, identifier)| {
            let window = self.shell.get(id)?;
            let style = config.style(&window.origin)?;
            Some((id, self.window_view(window, Arc::clone(identifier), style)))
        });
        Overview { vms: vms.collect(), windows: windows.collect() }
    }

    fn vm_view(&self, origin: &Origin, style: &LabelStyle) -> VmView {
        VmView {
            style: style.clone(),
            clients: self.clients_of(origin),
            keyboard: self.shell.focused_origin() == Some(origin),
            restraints: self.restraints(origin),
            urgent: self
                .shell
                .bottom_up()
                .any(|window| window.mapped && window.urgent && window.origin == *origin),
        }
    }

    fn window_view(
        &self,
        window: &Window<ToplevelSurface>,
        identifier: Arc<str>,
        style: &LabelStyle,
    ) -> WindowView {
        let title = GuestText::new(&window.title);
        let imitating = self.config.current().foreign_labels(style).any(|label| title.resembles(label));
        WindowView {
            identifier,
            origin: window.origin.clone(),
            app_id: GuestText::new(&window.app_id),
            title,
            state: WindowState {
                focused: self.shell.focused().is_some_and(|focused| focused.id == window.id),
                urgent: window.urgent,
                minimized: window.minimized,
                maximized: window.mode == Mode::Maximized,
                fullscreen: window.mode == Mode::Fullscreen,
                imitating,
            },
        }
    }

    fn clients_of(&self, origin: &Origin) -> u32 {
        self.accounts.get(origin).map_or(0, |account| account.used(Resource::Clients))
    }

    /// How many connections each origin has, in the order of the overview.
    fn all_clients(&self) -> Vec<u32> {
        let vms = self.config.current().vms.keys().map(|name| self.clients_of(&Origin::Vm(name.clone())));
        std::iter::once(self.clients_of(&Origin::Local)).chain(vms).collect()
    }

    fn has_overview_reader(&self) -> bool {
        let protocols = &self.protocols;
        let listed = !protocols.vm_lists.is_empty() || !protocols.task_lists.is_empty();
        listed || self.ipc.as_ref().is_some_and(|server| server.awaits_vms())
    }
}

impl State {
    /// Asks for a frame if another number of connections is to be told with it. If a local program asked for something of a window,
    /// readers are told what became of that now, so that a task bar has it together with the answer to what it asked. Costs
    /// nothing while there is no reader.
    pub(crate) fn plan_overview(&mut self) {
        if !self.comp.has_overview_reader() {
            return;
        }
        if self.comp.protocols.vm_lists.told_clients != self.comp.all_clients() {
            self.comp.schedule.request();
        }
        if std::mem::take(&mut self.comp.protocols.vm_lists.hurry) {
            self.tell_overview();
        }
    }

    /// Tells all readers what is not as they were told.
    pub(crate) fn tell_overview(&mut self) {
        if !self.comp.has_overview_reader() {
            return;
        }
        self.comp.protocols.vm_lists.told_clients = self.comp.all_clients();
        let now = self.comp.overview();
        self.comp.protocols.vm_lists.tell(&self.comp.display, &now);
        self.tell_task_lists(&now);
        if let Some(server) = self.comp.ipc.as_ref().filter(|server| server.awaits_vms()) {
            server.answer_vms(&self.comp.events, &(&now).into());
        }
    }
}
