//! Where subsurfaces are, and what the pointer is told when they move.

use smithay::reexports::wayland_server::Resource as _;
use wayland_client::protocol::wl_subsurface::WlSubsurface;
use wayland_client::protocol::wl_surface::WlSurface;

use crate::fixture::{Fixture, Who, vm};

const BLUE: [u8; 4] = [0, 0, 255, 255];
const RED: [u8; 4] = [255, 0, 0, 255];

/// A window with a smaller surface in its corner, and the window's content on the output.
struct Party {
    who: Who,
    window: usize,
    child: WlSurface,
    role: WlSubsurface,
    at: (f64, f64),
}

impl Party {
    fn new(fixture: &mut Fixture) -> Self {
        let who = fixture.connect(vm("work"));
        fixture.client(who).seat().get_pointer(&fixture.client(who).queue.clone(), ());
        let window = fixture.window(who, 200, 100, BLUE);
        let client = fixture.client(who);
        let parent = client.told.shown[window].surface.clone();
        let (child, role) = client.subsurface(&parent);
        role.set_desync();
        client.draw_on(&child, 50, 50, RED);
        parent.commit();
        fixture.roundtrip(who);
        let content = fixture.report()[0].content;
        Self { who, window, child, role, at: (f64::from(content.loc.x), f64::from(content.loc.y)) }
    }

    /// Which surface the pointer is on, `child` or `window`, and where on it.
    fn pointer(&self, fixture: &mut Fixture) -> (&'static str, f64, f64) {
        fixture.roundtrip(self.who);
        let (surface, x, y) =
            fixture.client(self.who).told.pointer.clone().expect("the pointer is on something");
        (if surface == self.child { "child" } else { "window" }, x, y)
    }

    fn commit_parent(&self, fixture: &mut Fixture) {
        fixture.client(self.who).told.shown[self.window].surface.commit();
        fixture.roundtrip(self.who);
    }
}

/// Smithay moved a subsurface with the next commit of its own, and not with one of its parent, whose state its place is.
#[test]
fn a_subsurface_moves_with_the_commit_of_its_parent_and_with_no_other() {
    let mut fixture = Fixture::new();
    let party = Party::new(&mut fixture);
    fixture.state().input_pointer_motion(party.at.0 + 30.0, party.at.1 + 20.0);
    assert_eq!(party.pointer(&mut fixture), ("child", 30.0, 20.0));
    party.role.set_position(10, 5);
    party.child.commit();
    assert_eq!(party.pointer(&mut fixture), ("child", 30.0, 20.0), "its own commit does not move it");
    party.commit_parent(&mut fixture);
    assert_eq!(party.pointer(&mut fixture), ("child", 20.0, 15.0));
    party.child.commit();
    assert_eq!(party.pointer(&mut fixture), ("child", 20.0, 15.0), "it stays there");
}

#[test]
fn a_synchronised_subsurface_moves_with_the_commit_of_its_parent_too() {
    let mut fixture = Fixture::new();
    let party = Party::new(&mut fixture);
    party.role.set_sync();
    fixture.state().input_pointer_motion(party.at.0 + 10.0, party.at.1 + 5.0);
    assert_eq!(party.pointer(&mut fixture), ("child", 10.0, 5.0));
    for (x, y) in [(4, 2), (9, 3)] {
        party.role.set_position(x, y);
        party.child.commit();
        party.commit_parent(&mut fixture);
        assert_eq!(party.pointer(&mut fixture), ("child", 10.0 - f64::from(x), 5.0 - f64::from(y)));
    }
}

#[test]
fn a_surface_that_is_a_subsurface_again_is_in_the_corner_again() {
    let mut fixture = Fixture::new();
    let party = Party::new(&mut fixture);
    party.role.set_position(60, 40);
    party.commit_parent(&mut fixture);
    fixture.state().input_pointer_motion(party.at.0 + 70.0, party.at.1 + 50.0);
    assert_eq!(party.pointer(&mut fixture), ("child", 10.0, 10.0));
    party.role.destroy();
    let client = fixture.client(party.who);
    let parent = client.told.shown[party.window].surface.clone();
    let compositor = client.bind::<wayland_client::protocol::wl_subcompositor::WlSubcompositor>();
    compositor.get_subsurface(&party.child, &parent, &client.queue, ());
    party.child.commit();
    party.commit_parent(&mut fixture);
    fixture.state().input_pointer_motion(party.at.0 + 20.0, party.at.1 + 20.0);
    assert_eq!(party.pointer(&mut fixture), ("child", 20.0, 20.0));
}

/// A pointer that lay still was told nothing when its surface moved below it, so that its client believed it elsewhere than it is.
#[test]
fn a_pointer_that_lies_still_is_told_of_its_new_place_on_a_surface_that_moves() {
    let mut fixture = Fixture::new();
    let party = Party::new(&mut fixture);
    fixture.state().input_pointer_motion(party.at.0 + 30.0, party.at.1 + 20.0);
    assert_eq!(party.pointer(&mut fixture), ("child", 30.0, 20.0));
    let window = fixture.state().comp.shell.find(|_| true).map(|window| window.id).unwrap();
    let corner = fixture.report()[0].frame.loc;
    fixture.state().put_window(window, (corner.x - 7, corner.y - 3).into());
    let moved = fixture.report()[0].frame.loc;
    assert_ne!(moved, corner, "the window moved");
    let (x, y) = (f64::from(corner.x - moved.x), f64::from(corner.y - moved.y));
    assert_eq!(party.pointer(&mut fixture), ("child", 30.0 + x, 20.0 + y));
    fixture.client(party.who).told.log.clear();
    party.commit_parent(&mut fixture);
    assert_eq!(
        fixture.client(party.who).told.log,
        Vec::<String>::new(),
        "nothing moved, and nothing is told"
    );
}

/// Where a client is shown that its popup is gone, its pointer is told so while the popup's surface is still there.
#[test]
fn the_pointer_leaves_a_popup_when_the_popup_is_gone_and_not_first_with_its_surface() {
    let mut fixture = Fixture::new();
    let party = Party::new(&mut fixture);
    let popup = fixture.client(party.who).create_popup(party.window, 80, 20, 60, 40);
    fixture.configured(party.who, popup, 0);
    fixture.client(party.who).draw(popup, 60, 40, RED);
    fixture.roundtrip(party.who);
    fixture.state().input_pointer_motion(party.at.0 + 90.0, party.at.1 + 30.0);
    fixture.roundtrip(party.who);
    let surface = fixture.client(party.who).told.shown[popup].surface.clone();
    assert_eq!(fixture.client(party.who).told.pointer.clone().unwrap().0, surface);
    fixture.client(party.who).told.shown[popup].popup.as_ref().unwrap().destroy();
    assert_eq!(party.pointer(&mut fixture), ("window", 90.0, 30.0));
    let comp = &fixture.state().comp;
    assert!(comp.shell.find(|window| window.handle.wl_surface().is_alive()).is_some(), "nobody was ended");
}
