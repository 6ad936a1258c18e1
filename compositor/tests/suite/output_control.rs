//! Programs of the user that set outputs up, darken them and change their colours; VMs see none of that.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::fd::AsFd;

use vitrail::shell::outputs::{Head, OutputId};
use vitrail::trust::origin::Origin;
use wayland_client::protocol::wl_output::{self, WlOutput};
use wayland_client::{Connection, Dispatch, Proxy, QueueHandle, WEnum, delegate_noop, event_created_child};
use wayland_protocols_wlr::gamma_control::v1::client::zwlr_gamma_control_manager_v1::ZwlrGammaControlManagerV1;
use wayland_protocols_wlr::gamma_control::v1::client::zwlr_gamma_control_v1::{self, ZwlrGammaControlV1};
use wayland_protocols_wlr::output_management::v1::client::zwlr_output_configuration_head_v1::ZwlrOutputConfigurationHeadV1;
use wayland_protocols_wlr::output_management::v1::client::zwlr_output_configuration_v1::{
    self, ZwlrOutputConfigurationV1,
};
use wayland_protocols_wlr::output_management::v1::client::zwlr_output_head_v1::{self, ZwlrOutputHeadV1};
use wayland_protocols_wlr::output_management::v1::client::zwlr_output_manager_v1::{
    self, ZwlrOutputManagerV1,
};
use wayland_protocols_wlr::output_management::v1::client::zwlr_output_mode_v1::{self, ZwlrOutputModeV1};
use wayland_protocols_wlr::output_power_management::v1::client::zwlr_output_power_manager_v1::ZwlrOutputPowerManagerV1;
use wayland_protocols_wlr::output_power_management::v1::client::zwlr_output_power_v1::{
    self, Mode, ZwlrOutputPowerV1,
};

use crate::client::Told;
use crate::fixture::{Fixture, Who, vm};

const BLUE: [u8; 4] = [0, 0, 255, 255];

delegate_noop!(Told: ignore ZwlrGammaControlManagerV1);
delegate_noop!(Told: ignore ZwlrOutputConfigurationHeadV1);
delegate_noop!(Told: ignore ZwlrOutputPowerManagerV1);

/// An output as a manager knows it.
#[derive(Clone, Debug, Default, PartialEq)]
struct Known {
    name: String,
    enabled: bool,
    position: (i32, i32),
    scale: f64,
    transform: Option<wl_output::Transform>,
    modes: Vec<(i32, i32)>,
    finished: bool,
}

/// What a client knows of outputs from their managers.
#[derive(Default)]
pub struct Managed {
    heads: BTreeMap<u32, (ZwlrOutputHeadV1Box, Known)>,
    serial: u32,
}

/// Has no default otherwise.
type ZwlrOutputHeadV1Box = Option<ZwlrOutputHeadV1>;

impl Managed {
    fn head(&self, name: &str) -> (ZwlrOutputHeadV1, Known) {
        let mut heads = self.heads.values().filter(|(_, known)| known.name == name && !known.finished);
        let (head, known) = heads.next().unwrap_or_else(|| panic!("{name} is not known: {:?}", self.heads));
        (head.clone().unwrap(), known.clone())
    }
}

impl Dispatch<ZwlrOutputManagerV1, ()> for Told {
    fn event(
        told: &mut Self,
        _: &ZwlrOutputManagerV1,
        event: zwlr_output_manager_v1::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        match event {
            zwlr_output_manager_v1::Event::Head { head } => {
                told.managed.heads.insert(head.id().protocol_id(), (Some(head), Known::default()));
            }
            zwlr_output_manager_v1::Event::Done { serial } => told.managed.serial = serial,
            _ => {}
        }
    }

    event_created_child!(Told, ZwlrOutputManagerV1, [
        zwlr_output_manager_v1::EVT_HEAD_OPCODE => (ZwlrOutputHeadV1, ()),
    ]);
}

impl Dispatch<ZwlrOutputHeadV1, ()> for Told {
    fn event(
        told: &mut Self,
        head: &ZwlrOutputHeadV1,
        event: zwlr_output_head_v1::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        use zwlr_output_head_v1::Event;
        let Some((_, known)) = told.managed.heads.get_mut(&head.id().protocol_id()) else { return };
        match event {
            Event::Name { name } => known.name = name,
            Event::Enabled { enabled } => known.enabled = enabled != 0,
            Event::Position { x, y } => known.position = (x, y),
            Event::Scale { scale } => known.scale = scale,
            Event::Transform { transform: WEnum::Value(transform) } => known.transform = Some(transform),
            Event::Finished => known.finished = true,
            _ => {}
        }
    }

    event_created_child!(Told, ZwlrOutputHeadV1, [
        zwlr_output_head_v1::EVT_MODE_OPCODE => (ZwlrOutputModeV1, ()),
    ]);
}

impl Dispatch<ZwlrOutputModeV1, ()> for Told {
    fn event(
        told: &mut Self,
        _: &ZwlrOutputModeV1,
        event: zwlr_output_mode_v1::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let zwlr_output_mode_v1::Event::Size { width, height } = event {
            // Modes follow their head.
            if let Some((_, known)) = told.managed.heads.values_mut().next_back() {
                known.modes.push((width, height));
            }
        }
    }
}

impl Dispatch<ZwlrOutputConfigurationV1, ()> for Told {
    fn event(
        told: &mut Self,
        _: &ZwlrOutputConfigurationV1,
        event: zwlr_output_configuration_v1::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        let word = match event {
            zwlr_output_configuration_v1::Event::Succeeded => "succeeded",
            zwlr_output_configuration_v1::Event::Failed => "failed",
            _ => "cancelled",
        };
        told.words.push(word.to_owned());
    }
}

impl Dispatch<ZwlrOutputPowerV1, ()> for Told {
    fn event(
        told: &mut Self,
        _: &ZwlrOutputPowerV1,
        event: zwlr_output_power_v1::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        told.words.push(match event {
            zwlr_output_power_v1::Event::Mode { mode: WEnum::Value(Mode::On) } => String::from("on"),
            zwlr_output_power_v1::Event::Mode { .. } => String::from("off"),
            _ => String::from("failed"),
        });
    }
}

impl Dispatch<ZwlrGammaControlV1, ()> for Told {
    fn event(
        told: &mut Self,
        _: &ZwlrGammaControlV1,
        event: zwlr_gamma_control_v1::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        told.words.push(match event {
            zwlr_gamma_control_v1::Event::GammaSize { size } => format!("gamma {size}"),
            _ => String::from("gamma failed"),
        });
    }
}

/// Two outputs, and a local client that has bound the manager.
fn managed() -> (Fixture, Who, ZwlrOutputManagerV1) {
    let mut fixture = Fixture::new();
    assert!(fixture.state().connect_output(Head::virtual_one("right", (800, 600).into(), 2.0)));
    let local = fixture.connect(Origin::Local);
    let manager: ZwlrOutputManagerV1 = fixture.client(local).bind();
    fixture.roundtrip(local);
    (fixture, local, manager)
}

/// A configuration of both outputs, in which something is said of the right one.
fn configure(
    fixture: &mut Fixture,
    who: Who,
    manager: &ZwlrOutputManagerV1,
    right: impl FnOnce(&ZwlrOutputConfigurationHeadV1),
) -> ZwlrOutputConfigurationV1 {
    let client = fixture.client(who);
    let queue = client.queue.clone();
    let configuration = manager.create_configuration(client.told.managed.serial, &queue, ());
    configuration.enable_head(&client.told.managed.head("vitrail-1").0, &queue, ());
    right(&configuration.enable_head(&client.told.managed.head("right").0, &queue, ()));
    configuration
}

fn last_word(fixture: &mut Fixture, who: Who) -> String {
    fixture.roundtrip(who);
    fixture.client(who).told.words.last().cloned().unwrap_or_default()
}

#[test]
fn vms_see_nothing_by_which_outputs_are_set_up_darkened_or_coloured() {
    let mut fixture = Fixture::new();
    let (work, local) = (fixture.connect(vm("work")), fixture.connect(Origin::Local));
    for global in ["zwlr_output_manager_v1", "zwlr_output_power_manager_v1", "zwlr_gamma_control_manager_v1"]
    {
        assert!(!fixture.client(work).sees(global), "{global}");
        assert!(fixture.client(local).sees(global), "{global}");
        let name = fixture.client(local).name_of(global);
        let another = fixture.connect(vm("work"));
        match global {
            "zwlr_output_manager_v1" => {
                drop(fixture.client(another).bind_by_name::<ZwlrOutputManagerV1>(name));
            }
            "zwlr_output_power_manager_v1" => {
                drop(fixture.client(another).bind_by_name::<ZwlrOutputPowerManagerV1>(name));
            }
            _ => drop(fixture.client(another).bind_by_name::<ZwlrGammaControlManagerV1>(name)),
        }
        fixture.roundtrip(another);
        assert!(fixture.client(another).ended(), "{global} was bound by its number");
    }
}

#[test]
fn a_configuration_is_applied_as_a_whole_and_the_client_is_told_what_came_of_it() {
    let (mut fixture, local, manager) = managed();
    // wlr-randr waits for ever for another serial than 0.
    assert_ne!(fixture.client(local).told.managed.serial, 0);
    let right = fixture.client(local).told.managed.head("right").1;
    assert_eq!((right.enabled, right.position, right.modes.as_slice()), (true, (400, 0), &[(800, 600)][..]));
    configure(&mut fixture, local, &manager, |right| {
        right.set_scale(1.0);
        right.set_transform(wl_output::Transform::_90);
        right.set_custom_mode(1000, 500, 0);
        right.set_position(-500, 0);
    })
    .apply();
    assert_eq!(last_word(&mut fixture, local), "succeeded");
    let right = fixture.client(local).told.managed.head("right").1;
    assert_eq!((right.position, right.transform), ((-500, 0), Some(wl_output::Transform::_90)));
    let known = fixture.state().comp.shell.outputs().named("right").unwrap();
    assert_eq!((known.layout.output, known.layout.scale), ((500, 1000).into(), 1.0));
    // kanshi's outputs overlapped by a pixel, because 1.2 came as 307 256ths.
    configure(&mut fixture, local, &manager, |right| right.set_scale(1.2)).apply();
    assert_eq!(last_word(&mut fixture, local), "succeeded");
    let scale = fixture.state().comp.shell.outputs().named("right").unwrap().layout.scale;
    assert!((scale - 1.2).abs() < f64::EPSILON, "{scale}");
    configure(&mut fixture, local, &manager, |right| right.set_scale(1.0)).apply();
    fixture.roundtrip(local);
    // What is only tested changes nothing.
    configure(&mut fixture, local, &manager, |right| right.set_scale(2.0)).test();
    assert_eq!(last_word(&mut fixture, local), "succeeded");
    assert!((fixture.client(local).told.managed.head("right").1.scale - 1.0).abs() < f64::EPSILON);
    // What makes no sense changes nothing of all.
    configure(&mut fixture, local, &manager, |right| {
        right.set_position(7, 7);
        right.set_scale(100.0);
    })
    .apply();
    assert_eq!(last_word(&mut fixture, local), "failed");
    assert_eq!(fixture.client(local).told.managed.head("right").1.position, (-500, 0));
}

#[test]
fn what_a_configuration_repeats_is_no_wish_so_that_outputs_go_on_standing_beside_each_other() {
    let (mut fixture, local, manager) = managed();
    configure(&mut fixture, local, &manager, |right| right.set_position(400, 0)).apply();
    assert_eq!(last_word(&mut fixture, local), "succeeded");
    fixture.state().connect_output(Head::virtual_one("vitrail-1", (640, 480).into(), 1.0));
    fixture.roundtrip(local);
    assert_eq!(fixture.client(local).told.managed.head("right").1.position, (640, 0));
}

#[test]
fn a_configuration_for_what_is_not_so_any_more_is_cancelled() {
    let (mut fixture, local, manager) = managed();
    let configuration = configure(&mut fixture, local, &manager, |right| right.set_scale(1.0));
    fixture.state().disconnect_output("right");
    configuration.apply();
    assert_eq!(last_word(&mut fixture, local), "cancelled");
    let gone = fixture.client(local).told.managed.heads.values().filter(|(_, known)| known.finished).count();
    assert_eq!(gone, 1);
    // One that leaves an output out is an error.
    fixture.state().connect_output(Head::virtual_one("right", (800, 600).into(), 2.0));
    fixture.roundtrip(local);
    let client = fixture.client(local);
    let queue = client.queue.clone();
    let configuration = manager.create_configuration(client.told.managed.serial, &queue, ());
    configuration.disable_head(&client.told.managed.head("right").0);
    configuration.apply();
    fixture.roundtrip(local);
    assert_eq!(fixture.client(local).error(), Some(("zwlr_output_configuration_v1".to_owned(), 2)));
}

#[test]
fn an_output_that_is_switched_off_leaves_its_windows_and_the_last_one_cannot_be() {
    let (mut fixture, local, manager) = managed();
    let right = fixture.state().comp.shell.outputs().named("right").unwrap().id;
    fixture.state().comp.shell.visit(right);
    let work = fixture.connect(vm("work"));
    fixture.window(work, 100, 100, BLUE);
    assert_eq!(fixture.report()[0].output, right);
    let off = |fixture: &mut Fixture, names: [&str; 2]| {
        let client = fixture.client(local);
        let queue = client.queue.clone();
        let configuration = manager.create_configuration(client.told.managed.serial, &queue, ());
        configuration.disable_head(&client.told.managed.head("right").0);
        if names.contains(&"vitrail-1") {
            configuration.disable_head(&client.told.managed.head("vitrail-1").0);
        } else {
            configuration.enable_head(&client.told.managed.head("vitrail-1").0, &queue, ());
        }
        configuration.apply();
        last_word(fixture, local)
    };
    assert_eq!(off(&mut fixture, ["right", "vitrail-1"]), "failed");
    assert_eq!(off(&mut fixture, ["right", ""]), "succeeded");
    assert_eq!(fixture.report()[0].output, OutputId::FIRST);
    assert!(!fixture.client(local).told.managed.head("right").1.enabled);
    configure(&mut fixture, local, &manager, |_| {}).apply();
    assert_eq!(last_word(&mut fixture, local), "succeeded");
    assert_eq!(fixture.report()[0].output, right, "the window is back");
}

#[test]
fn a_dark_output_draws_nothing_until_any_input_lights_it() {
    let (mut fixture, local, _manager) = managed();
    let name = fixture.client(local).told.outputs.names[1];
    let client = fixture.client(local);
    let (queue, output): (_, WlOutput) = (client.queue.clone(), client.bind_output(name));
    let power = client.bind::<ZwlrOutputPowerManagerV1>().get_output_power(&output, &queue, ());
    assert_eq!(last_word(&mut fixture, local), "on");
    power.set_mode(Mode::Off);
    assert_eq!(last_word(&mut fixture, local), "off");
    // A window on it gets no frames, and one on the other output does.
    let right = fixture.state().comp.shell.outputs().named("right").unwrap().id;
    let (dark, lit) = (fixture.connect(vm("work")), fixture.connect(vm("web")));
    for (who, output) in [(dark, right), (lit, OutputId::FIRST)] {
        fixture.state().comp.shell.visit(output);
        fixture.window(who, 100, 100, BLUE);
    }
    let ask = |fixture: &mut Fixture, who: Who| {
        let client = fixture.client(who);
        let (surface, queue) = (client.told.shown[0].surface.clone(), client.queue.clone());
        let before = client.told.frames;
        surface.frame(&queue, ());
        surface.commit();
        fixture.roundtrip(who);
        before
    };
    let (of_dark, of_lit) = (ask(&mut fixture, dark), ask(&mut fixture, lit));
    fixture.wait("the frame of the lit one", |fixture| fixture.client(lit).told.frames > of_lit);
    fixture.wait("nothing more", |fixture| !fixture.state().comp.schedule.is_pending());
    assert_eq!(fixture.client(dark).told.frames, of_dark);
    fixture.state().input_key(30, true);
    assert_eq!(last_word(&mut fixture, local), "on");
    fixture.wait("the frame of the one that was dark", |fixture| fixture.client(dark).told.frames > of_dark);
    fixture.state().disconnect_output("right");
    assert_eq!(last_word(&mut fixture, local), "failed");
}

#[test]
fn a_lock_waits_for_no_output_that_is_dark() {
    use wayland_protocols::ext::session_lock::v1::client::ext_session_lock_manager_v1::ExtSessionLockManagerV1;
    let (mut fixture, local, _manager) = managed();
    for output in [OutputId::FIRST, fixture.state().comp.shell.outputs().named("right").unwrap().id] {
        fixture.state().set_output_power(output, false);
    }
    let client = fixture.client(local);
    let queue = client.queue.clone();
    let _lock = client.bind::<ExtSessionLockManagerV1>().lock(&queue, ());
    fixture.wait("the lock", |fixture| fixture.client(local).told.words.iter().any(|word| word == "locked"));
}

#[test]
fn the_colours_of_an_output_are_one_programs_at_a_time_and_ramps_of_another_length_are_an_error() {
    let (mut fixture, local, _manager) = managed();
    let other = fixture.connect(Origin::Local);
    let control = |fixture: &mut Fixture, who: Who| {
        let name = fixture.client(who).told.outputs.names[0];
        let client = fixture.client(who);
        let (queue, output) = (client.queue.clone(), client.bind_output(name));
        let manager: ZwlrGammaControlManagerV1 = client.bind();
        manager.get_gamma_control(&output, &queue, ())
    };
    let first = control(&mut fixture, local);
    assert_eq!(last_word(&mut fixture, local), "gamma 256");
    control(&mut fixture, other);
    assert_eq!(last_word(&mut fixture, other), "gamma failed");
    let ramp = |length: usize| {
        let mut file = tempfile::tempfile().unwrap();
        let values = (0..length).flat_map(|index| u16::try_from(index).unwrap().to_ne_bytes());
        file.write_all(&values.collect::<Vec<u8>>()).unwrap();
        file
    };
    first.set_gamma(ramp(3 * 256).as_fd());
    fixture.roundtrip(local);
    let set = |fixture: &mut Fixture| {
        let gamma = &fixture.state().comp.protocols.gamma_controls;
        gamma.ramp(OutputId::FIRST).map(|ramp| ramp.colors().map(|color| color[255]))
    };
    assert_eq!(set(&mut fixture), Some([255, 511, 767]));
    first.destroy();
    fixture.roundtrip(local);
    assert_eq!(set(&mut fixture), None, "its own colours again");
    let second = control(&mut fixture, other);
    assert_eq!(last_word(&mut fixture, other), "gamma 256");
    second.set_gamma(ramp(3 * 256 - 1).as_fd());
    fixture.roundtrip(other);
    assert_eq!(fixture.client(other).error(), Some(("zwlr_gamma_control_v1".to_owned(), 1)));
}
