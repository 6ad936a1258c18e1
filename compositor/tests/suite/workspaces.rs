//! What bars are told of workspaces by `ext_workspace_manager_v1`, and how they switch them.

use vitrail::config::Live;
use vitrail::trust::origin::Origin;
use wayland_client::protocol::wl_output::WlOutput;
use wayland_client::{Connection, Dispatch, QueueHandle, WEnum};
use wayland_protocols::ext::workspace::v1::client::ext_workspace_group_handle_v1::{
    self, ExtWorkspaceGroupHandleV1, GroupCapabilities,
};
use wayland_protocols::ext::workspace::v1::client::ext_workspace_handle_v1::{
    self, ExtWorkspaceHandleV1, State as Bits, WorkspaceCapabilities,
};
use wayland_protocols::ext::workspace::v1::client::ext_workspace_manager_v1::{self, ExtWorkspaceManagerV1};

use crate::client::Told;
use crate::fixture::{Fixture, Who, vm};
use crate::layer_shell::show_bar;

const RED: [u8; 4] = [255, 0, 0, 255];
const THREE: &str = "[workspaces]\nnames = [\"mail\", \"web\", \"3\"]\n";

/// What a client was told.
#[derive(Default)]
pub struct Seen {
    groups: Vec<(ExtWorkspaceGroupHandleV1, Vec<WlOutput>, Vec<ExtWorkspaceHandleV1>)>,
    workspaces: Vec<SeenWorkspace>,
    done: usize,
    finished: bool,
}

struct SeenWorkspace {
    object: ExtWorkspaceHandleV1,
    id: String,
    name: String,
    place: Vec<u8>,
    state: Bits,
    can: WorkspaceCapabilities,
    removed: bool,
}

impl Dispatch<ExtWorkspaceManagerV1, ()> for Told {
    fn event(
        told: &mut Self,
        _: &ExtWorkspaceManagerV1,
        event: ext_workspace_manager_v1::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        let seen = &mut told.workspaces;
        assert!(!seen.finished, "nothing is told after the end");
        match event {
            ext_workspace_manager_v1::Event::WorkspaceGroup { workspace_group } => {
                seen.groups.push((workspace_group, Vec::new(), Vec::new()));
            }
            ext_workspace_manager_v1::Event::Workspace { workspace } => {
                seen.workspaces.push(SeenWorkspace {
                    object: workspace,
                    id: String::new(),
                    name: String::new(),
                    place: Vec::new(),
                    state: Bits::empty(),
                    can: WorkspaceCapabilities::empty(),
                    removed: false,
                });
            }
            ext_workspace_manager_v1::Event::Done => seen.done += 1,
            _ => seen.finished = true,
        }
    }

    wayland_client::event_created_child!(Told, ExtWorkspaceManagerV1, [
        ext_workspace_manager_v1::EVT_WORKSPACE_GROUP_OPCODE => (ExtWorkspaceGroupHandleV1, ()),
        ext_workspace_manager_v1::EVT_WORKSPACE_OPCODE => (ExtWorkspaceHandleV1, ()),
    ]);
}

impl Dispatch<ExtWorkspaceGroupHandleV1, ()> for Told {
    fn event(
        told: &mut Self,
        group: &ExtWorkspaceGroupHandleV1,
        event: ext_workspace_group_handle_v1::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        use ext_workspace_group_handle_v1::Event;
        let groups = &mut told.workspaces.groups;
        let (_, outputs, members) = groups.iter_mut().find(|(known, ..)| known == group).unwrap();
        match event {
            Event::Capabilities { capabilities } => {
                assert_eq!(capabilities, WEnum::Value(GroupCapabilities::empty()));
            }
            Event::OutputEnter { output } => outputs.push(output),
            Event::WorkspaceEnter { workspace } => members.push(workspace),
            Event::WorkspaceLeave { workspace } => members.retain(|member| *member != workspace),
            _ => unreachable!(),
        }
    }
}

impl Dispatch<ExtWorkspaceHandleV1, ()> for Told {
    fn event(
        told: &mut Self,
        object: &ExtWorkspaceHandleV1,
        event: ext_workspace_handle_v1::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        use ext_workspace_handle_v1::Event;
        let grouped = told.workspaces.groups.iter().any(|(_, _, members)| members.contains(object));
        let workspaces = &mut told.workspaces.workspaces;
        let workspace = workspaces.iter_mut().find(|workspace| workspace.object == *object).unwrap();
        assert!(!workspace.removed, "nothing is told of a workspace that was removed");
        match event {
            Event::Id { id } => workspace.id = id,
            Event::Name { name } => workspace.name = name,
            Event::Coordinates { coordinates } => workspace.place = coordinates,
            Event::State { state } => workspace.state = state.into_result().unwrap(),
            Event::Capabilities { capabilities } => workspace.can = capabilities.into_result().unwrap(),
            Event::Removed => {
                assert!(!grouped, "it has left its group before");
                workspace.removed = true;
            }
            _ => unreachable!(),
        }
    }
}

impl Fixture {
    /// A bar along the top that lists workspaces, and its manager.
    fn pager(&mut self) -> (Who, ExtWorkspaceManagerV1) {
        let who = self.connect(Origin::Local);
        show_bar(self, who);
        let manager = self.client(who).bind();
        self.roundtrip(who);
        (who, manager)
    }

    fn pages(&mut self, who: Who) -> Vec<(String, Bits)> {
        let all = self.client(who).told.workspaces.workspaces.iter().filter(|workspace| !workspace.removed);
        all.map(|workspace| (workspace.name.clone(), workspace.state)).collect()
    }

    #[track_caller]
    fn wait_pages(&mut self, who: Who, pages: &[(&str, Bits)]) {
        let pages: Vec<_> = pages.iter().map(|(name, state)| ((*name).to_owned(), *state)).collect();
        self.wait(&format!("{pages:?}"), |fixture| fixture.pages(who) == pages);
    }

    fn page(&mut self, who: Who, name: &str) -> ExtWorkspaceHandleV1 {
        let all = &self.client(who).told.workspaces.workspaces;
        all.iter().find(|workspace| workspace.name == name && !workspace.removed).unwrap().object.clone()
    }

    fn on_screen(&mut self) -> usize {
        self.state().comp.shell.workspaces().current()
    }
}

#[test]
fn a_bar_is_told_of_the_configured_workspaces_as_one_group() {
    let mut fixture = Fixture::written(THREE);
    let (bar, _manager) = fixture.pager();
    let output: WlOutput = fixture.client(bar).bind();
    fixture.roundtrip(bar);
    let none = Bits::empty();
    fixture.wait_pages(bar, &[("mail", Bits::Active), ("web", none), ("3", none)]);
    let seen = &fixture.client(bar).told.workspaces;
    assert_eq!((seen.groups.len(), seen.done), (1, 2), "once for all, and once for the output");
    let (_, outputs, members) = &seen.groups[0];
    assert_eq!(outputs, &[output]);
    let objects: Vec<_> = seen.workspaces.iter().map(|workspace| workspace.object.clone()).collect();
    assert_eq!(members, &objects);
    for (index, workspace) in (0_u32..).zip(&seen.workspaces) {
        assert_eq!(
            (workspace.id.clone(), workspace.place.clone()),
            ((index + 1).to_string(), index.to_ne_bytes().to_vec())
        );
        assert_eq!(workspace.can, WorkspaceCapabilities::Activate);
    }
}

#[test]
fn a_vm_does_not_see_it_and_one_that_binds_it_by_its_name_is_ended() {
    let mut fixture = Fixture::new();
    let (bar, _manager) = fixture.pager();
    let name = fixture.client(bar).name_of("ext_workspace_manager_v1");
    let work = fixture.connect(vm("work"));
    assert!(!fixture.client(work).sees("ext_workspace_manager_v1"));
    fixture.client(work).bind_by_name::<ExtWorkspaceManagerV1>(name);
    fixture.wait("the end of the connection", |fixture| fixture.client(work).ended());
    assert!(fixture.client(work).told.workspaces.workspaces.is_empty());
}

#[test]
fn a_window_that_asks_for_attention_makes_its_workspace_urgent() {
    let mut fixture = Fixture::written(THREE);
    let (bar, _manager) = fixture.pager();
    let work = fixture.connect(vm("work"));
    fixture.window(work, 80, 60, RED);
    fixture.chord(&["leftmeta", "2"]);
    let none = Bits::empty();
    fixture.wait_pages(bar, &[("mail", none), ("web", Bits::Active), ("3", none)]);
    let id = fixture.state().comp.shell.bottom_up().next().unwrap().id;
    fixture.state().comp.shell.request_attention(id, true);
    fixture.state().comp.schedule.request();
    fixture.wait_pages(bar, &[("mail", Bits::Urgent), ("web", Bits::Active), ("3", none)]);
}

/// To switch workspaces takes the keyboard from a window: only the user does that.
#[test]
fn a_bar_switches_workspaces_after_the_user_used_it_and_not_by_itself() {
    let mut fixture = Fixture::written(THREE);
    let (bar, manager) = fixture.pager();
    let (web, third) = (fixture.page(bar, "web"), fixture.page(bar, "3"));
    web.activate();
    manager.commit();
    fixture.roundtrip(bar);
    assert_eq!(fixture.on_screen(), 0, "by itself");
    fixture.click(200, 40);
    web.activate();
    fixture.roundtrip(bar);
    assert_eq!(fixture.on_screen(), 0, "not before it is committed");
    manager.commit();
    let none = Bits::empty();
    fixture.wait_pages(bar, &[("mail", none), ("web", Bits::Active), ("3", none)]);
    // The wheel is the user's hand, too.
    fixture.click(200, 590);
    third.activate();
    manager.commit();
    fixture.roundtrip(bar);
    assert_eq!(fixture.on_screen(), 1);
    fixture.state().input_pointer_motion(200.0, 40.0);
    fixture.state().input_pointer_axis(0.0, 1.0);
    third.activate();
    third.deactivate();
    third.remove();
    manager.commit();
    fixture.wait_pages(bar, &[("mail", none), ("web", none), ("3", Bits::Active)]);
}

#[test]
fn a_reload_renames_adds_and_removes_workspaces() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let write = |names: &[&str]| {
        std::fs::write(file.path(), format!("[workspaces]\nnames = {names:?}\n")).unwrap();
    };
    write(&["one", "two", "three"]);
    let mut fixture = Fixture::configured_as(Live::load(file.path()).unwrap());
    let (bar, manager) = fixture.pager();
    let third = fixture.page(bar, "three");
    write(&["mail", "two"]);
    assert!(fixture.state().reload());
    let none = Bits::empty();
    fixture.wait_pages(bar, &[("mail", Bits::Active), ("two", none)]);
    fixture.click(200, 40);
    third.activate();
    manager.commit();
    fixture.roundtrip(bar);
    assert_eq!(fixture.on_screen(), 0, "what is gone does nothing");
    write(&["mail", "two", "new"]);
    assert!(fixture.state().reload());
    fixture.wait_pages(bar, &[("mail", Bits::Active), ("two", none), ("new", none)]);
    assert_eq!(fixture.client(bar).told.workspaces.groups[0].2.len(), 3);
    manager.stop();
    fixture.wait("the end", |fixture| fixture.client(bar).told.workspaces.finished);
}
