//! Local programs that look after the clipboard: what they are told and may set, and that nothing of a VM is in it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;

use vitrail::trust::client::Privilege;
use vitrail::trust::origin::Origin;
use wayland_client::{Connection, Dispatch, Proxy, QueueHandle, delegate_noop, event_created_child};
use wayland_protocols::ext::data_control::v1::client::ext_data_control_device_v1::{
    self, ExtDataControlDeviceV1,
};
use wayland_protocols::ext::data_control::v1::client::ext_data_control_manager_v1::ExtDataControlManagerV1;
use wayland_protocols::ext::data_control::v1::client::ext_data_control_offer_v1::{
    self, ExtDataControlOfferV1,
};
use wayland_protocols::ext::data_control::v1::client::ext_data_control_source_v1::{
    self, ExtDataControlSourceV1,
};
use wayland_protocols_wlr::data_control::v1::client::zwlr_data_control_device_v1::{
    self, ZwlrDataControlDeviceV1,
};
use wayland_protocols_wlr::data_control::v1::client::zwlr_data_control_manager_v1::ZwlrDataControlManagerV1;
use wayland_protocols_wlr::data_control::v1::client::zwlr_data_control_offer_v1::{
    self, ZwlrDataControlOfferV1,
};
use wayland_protocols_wlr::data_control::v1::client::zwlr_data_control_source_v1::{
    self, ZwlrDataControlSourceV1,
};

use crate::client::Told;
use crate::fixture::{Fixture, Who, vm};

const BLUE: [u8; 4] = [0, 0, 255, 255];

delegate_noop!(Told: ignore ExtDataControlManagerV1);
delegate_noop!(Told: ignore ZwlrDataControlManagerV1);

/// What is said of the offer with a protocol id, and then of the selection that it becomes.
fn offer_word(told: &mut Told, id: u32, mime_type: &str) {
    told.words.push(format!("offer {id} {mime_type}"));
}

fn selection_word(told: &mut Told, kind: &str, id: Option<u32>) {
    let types = id.map_or_else(
        || String::from("nothing"),
        |id| {
            let start = format!("offer {id} ");
            let types: Vec<&str> = told.words.iter().filter_map(|word| word.strip_prefix(&start)).collect();
            types.join(",")
        },
    );
    told.words.push(format!("{kind}: {types}"));
}

/// Both protocols are the same but for their names.
macro_rules! dispatch_data_control {
    ($device:ident, $device_mod:ident, $offer:ident, $offer_mod:ident, $source:ident, $source_mod:ident) => {
        impl Dispatch<$device, ()> for Told {
            fn event(
                told: &mut Self,
                _: &$device,
                event: $device_mod::Event,
                _: &(),
                _: &Connection,
                _: &QueueHandle<Self>,
            ) {
                use $device_mod::Event;
                let id = |offer: &Option<$offer>| offer.as_ref().map(|offer| offer.id().protocol_id());
                match event {
                    Event::Selection { id: offer } => {
                        selection_word(told, "clipboard", id(&offer));
                        told.control.clear();
                        told.control.extend(offer.map(|offer| offer.id()));
                    }
                    Event::PrimarySelection { id: offer } => selection_word(told, "primary", id(&offer)),
                    _ => {}
                }
            }

            event_created_child!(Told, $device, [
                $device_mod::EVT_DATA_OFFER_OPCODE => ($offer, ()),
            ]);
        }

        impl Dispatch<$offer, ()> for Told {
            fn event(
                told: &mut Self,
                offer: &$offer,
                event: $offer_mod::Event,
                _: &(),
                _: &Connection,
                _: &QueueHandle<Self>,
            ) {
                if let $offer_mod::Event::Offer { mime_type } = event {
                    offer_word(told, offer.id().protocol_id(), &mime_type);
                }
            }
        }

        impl Dispatch<$source, &'static str> for Told {
            fn event(
                told: &mut Self,
                _: &$source,
                event: $source_mod::Event,
                content: &&'static str,
                _: &Connection,
                _: &QueueHandle<Self>,
            ) {
                match event {
                    $source_mod::Event::Send { fd, .. } => {
                        File::from(fd).write_all(content.as_bytes()).unwrap();
                    }
                    _ => told.words.push(format!("{content} cancelled")),
                }
            }
        }
    };
}

dispatch_data_control!(
    ExtDataControlDeviceV1,
    ext_data_control_device_v1,
    ExtDataControlOfferV1,
    ext_data_control_offer_v1,
    ExtDataControlSourceV1,
    ext_data_control_source_v1
);
dispatch_data_control!(
    ZwlrDataControlDeviceV1,
    zwlr_data_control_device_v1,
    ZwlrDataControlOfferV1,
    zwlr_data_control_offer_v1,
    ZwlrDataControlSourceV1,
    zwlr_data_control_source_v1
);

impl Fixture {
    /// A device of the newer protocol.
    fn ext_device(&mut self, who: Who) -> ExtDataControlDeviceV1 {
        let client = self.client(who);
        let manager: ExtDataControlManagerV1 = client.bind();
        let device = manager.get_data_device(&client.seat(), &client.queue, ());
        self.roundtrip(who);
        device
    }

    fn ext_source(&mut self, who: Who, mime_type: &str, content: &'static str) -> ExtDataControlSourceV1 {
        let client = self.client(who);
        let manager: ExtDataControlManagerV1 = client.bind();
        let source = manager.create_data_source(&client.queue, content);
        source.offer(mime_type.to_owned());
        source
    }

    /// What the client was told last of the clipboard.
    fn told_of(&mut self, who: Who, kind: &str) -> Vec<String> {
        self.roundtrip(who);
        let start = format!("{kind}: ");
        let words = self.client(who).told.words.iter();
        words.filter_map(|word| word.strip_prefix(&start)).map(str::to_owned).collect()
    }

    /// Reads what a client was offered last.
    #[track_caller]
    fn read_offered(&mut self, who: Who, mime_type: &str) -> String {
        let (read, write) = rustix::pipe::pipe().unwrap();
        let client = self.client(who);
        let id = client.told.control.last().cloned().unwrap();
        let offer: ExtDataControlOfferV1 = client.object(id);
        offer.receive(mime_type.to_owned(), write.as_fd());
        drop(write);
        client.flush();
        for _ in 0..3 {
            let all: Vec<Who> = self.everybody();
            for other in all {
                self.roundtrip(other);
            }
        }
        let mut text = String::new();
        File::from(read).read_to_string(&mut text).unwrap();
        text
    }
}

#[test]
fn a_program_sees_and_sets_what_is_copied_locally_without_the_keyboard() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let (keeper, local) = (fixture.connect(Origin::Local), fixture.connect(Origin::Local));
    let device = fixture.ext_device(keeper);
    assert_eq!(fixture.told_of(keeper, "clipboard"), ["nothing"]);
    assert_eq!(fixture.told_of(keeper, "primary"), ["nothing"]);
    let listening = fixture.client(local).listen();
    fixture.window(local, 200, 100, BLUE);
    fixture.client(local).copy(&listening, "text/local");
    fixture.roundtrip(local);
    assert_eq!(fixture.told_of(keeper, "clipboard"), ["nothing", "text/local"]);

    let source = fixture.ext_source(keeper, "text/plain", "kept");
    device.set_selection(Some(&source));
    fixture.roundtrip(keeper);
    fixture.roundtrip(local);
    assert_eq!(fixture.client(local).told.clipboard, Some(vec!["text/plain".to_owned()]));
    assert_eq!(fixture.told_of(keeper, "clipboard"), ["nothing", "text/local", "text/plain"]);
    // Another program reads it, and the one that had it is told that something else is copied.
    let reader = fixture.connect(Origin::Local);
    fixture.ext_device(reader);
    assert_eq!(fixture.read_offered(reader, "text/plain"), "kept");
    let primary = fixture.ext_source(keeper, "text/middle", "middle");
    device.set_primary_selection(Some(&primary));
    fixture.roundtrip(keeper);
    assert_eq!(fixture.told_of(reader, "primary"), ["nothing", "text/middle"]);
    device.set_selection(None);
    fixture.roundtrip(keeper);
    assert_eq!(fixture.told_of(reader, "clipboard"), ["text/plain", "nothing"]);
    assert!(fixture.client(keeper).told.words.contains(&"kept cancelled".to_owned()));
}

#[test]
fn the_older_protocol_tells_the_same() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let (old, keeper) = (fixture.connect(Origin::Local), fixture.connect(Origin::Local));
    let client = fixture.client(old);
    let manager: ZwlrDataControlManagerV1 = client.bind();
    let old_device = manager.get_data_device(&client.seat(), &client.queue, ());
    let device = fixture.ext_device(keeper);
    let source = fixture.ext_source(keeper, "text/plain", "kept");
    device.set_selection(Some(&source));
    fixture.roundtrip(keeper);
    assert_eq!(fixture.told_of(old, "clipboard"), ["nothing", "text/plain"]);
    let client = fixture.client(old);
    let source = manager.create_data_source(&client.queue, "old");
    source.offer("text/old".to_owned());
    old_device.set_primary_selection(Some(&source));
    fixture.roundtrip(old);
    assert_eq!(fixture.told_of(keeper, "primary"), ["nothing", "text/old"]);
    source.destroy();
    fixture.roundtrip(old);
    assert_eq!(fixture.told_of(keeper, "primary"), ["nothing", "text/old", "nothing"]);
}

/// A VM copies, has the keyboard, and loses what it copied: a local program is told nothing. It sets the local clipboard: the VM is
/// told nothing, not even that anything happened.
#[test]
fn nothing_of_a_vm_reaches_a_program_that_looks_after_the_clipboard_nor_the_other_way() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let (keeper, work) = (fixture.connect(Origin::Local), fixture.connect(vm("work")));
    let device = fixture.ext_device(keeper);
    let listening = fixture.client(work).listen();
    fixture.window(work, 200, 100, BLUE);
    let copied = fixture.client(work).copy(&listening, "text/secret");
    fixture.roundtrip(work);
    assert_eq!(fixture.client(work).told.clipboard, Some(vec!["text/secret".to_owned()]));
    let late = fixture.connect(Origin::Local);
    fixture.ext_device(late);
    let offers = fixture.client(work).told.offered;
    let source = fixture.ext_source(keeper, "text/plain", "kept");
    device.set_selection(Some(&source));
    fixture.roundtrip(keeper);
    fixture.roundtrip(work);
    assert_eq!(fixture.client(work).told.clipboard, Some(vec!["text/secret".to_owned()]));
    assert_eq!(fixture.client(work).told.offered, offers, "it was not offered anything again");
    copied.destroy();
    fixture.roundtrip(work);
    for who in [keeper, late] {
        assert_eq!(fixture.told_of(who, "clipboard"), ["nothing", "text/plain"]);
    }
}

#[test]
fn an_offer_gives_nothing_once_something_else_is_copied() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let (keeper, reader) = (fixture.connect(Origin::Local), fixture.connect(Origin::Local));
    let device = fixture.ext_device(keeper);
    let first = fixture.ext_source(keeper, "text/plain", "first");
    device.set_selection(Some(&first));
    fixture.roundtrip(keeper);
    fixture.ext_device(reader);
    let stale = fixture.client(reader).told.control.clone();
    let second = fixture.ext_source(keeper, "text/plain", "second");
    device.set_selection(Some(&second));
    fixture.roundtrip(keeper);
    fixture.roundtrip(reader);
    assert_eq!(fixture.read_offered(reader, "text/plain"), "second");
    fixture.client(reader).told.control = stale;
    assert_eq!(fixture.read_offered(reader, "text/plain"), "");
}

#[test]
fn a_source_is_set_once_and_not_changed_after_that() {
    let codes = [("ext_data_control_device_v1", 1), ("ext_data_control_source_v1", 1)];
    for (again, (interface, code)) in [true, false].into_iter().zip(codes) {
        let mut fixture = Fixture::sized(800, 600, 1.0);
        let keeper = fixture.connect(Origin::Local);
        let device = fixture.ext_device(keeper);
        let source = fixture.ext_source(keeper, "text/plain", "kept");
        device.set_selection(Some(&source));
        if again {
            device.set_primary_selection(Some(&source));
        } else {
            source.offer("text/late".to_owned());
        }
        fixture.wait("the end of the connection", |fixture| fixture.client(keeper).ended());
        assert_eq!(fixture.client(keeper).error(), Some((interface.to_owned(), code)));
    }
}

#[test]
fn neither_a_vm_nor_the_gate_looks_after_the_clipboard_and_devices_are_bounded() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let work = fixture.connect(vm("work"));
    let gate = fixture.connect_as(Origin::Local, Privilege::Gate);
    let local = fixture.connect(Origin::Local);
    for manager in ["ext_data_control_manager_v1", "zwlr_data_control_manager_v1"] {
        assert!(fixture.client(local).sees(manager));
        assert!(!fixture.client(work).sees(manager) && !fixture.client(gate).sees(manager));
    }
    let name = fixture.client(local).name_of("ext_data_control_manager_v1");
    fixture.client(work).bind_by_name::<ExtDataControlManagerV1>(name);
    fixture.wait("the end of the connection", |fixture| fixture.client(work).ended());
    let client = fixture.client(local);
    let (manager, seat): (ExtDataControlManagerV1, _) = (client.bind(), client.seat());
    for _ in 0..=64 {
        manager.get_data_device(&seat, &client.queue, ());
    }
    fixture.wait("the end of the connection", |fixture| fixture.client(local).ended());
}
