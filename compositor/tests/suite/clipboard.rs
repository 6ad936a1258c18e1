//! The clipboard between VMs: what a person does, and what each rule changes. What hostile VMs try is in [`hostile`], drags are in
//! [`drops`].

mod drops;
mod hostile;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use vitrail::trust::clipboard::Summary;
use vitrail::trust::clipboard::journal::{Refusal, What};
use vitrail::trust::origin::Origin;
use wayland_client::protocol::wl_data_device::WlDataDevice;
use wayland_client::protocol::wl_data_device_manager::WlDataDeviceManager;
use wayland_client::protocol::wl_data_offer::WlDataOffer;
use wayland_client::protocol::wl_data_source::WlDataSource;

use crate::fixture::{Fixture, WORK, Who, vm};
use crate::session_lock;

const BLUE: [u8; 4] = [0, 0, 255, 255];
const YELLOW: [u8; 4] = [255, 255, 0, 255];
const TEXT: &str = "text/plain";
/// What a program is offered that was given text.
const GIVEN: [&str; 3] = ["text/plain;charset=utf-8", "UTF8_STRING", "text/plain"];

/// What a client was told of selections and drags.
#[derive(Default)]
pub struct Transfers {
    /// Its sources' pipes are kept, and nothing is written to them by itself.
    pub keeps: bool,
    pub sent: Vec<OwnedFd>,
    /// The clipboard as last offered.
    pub offer: Option<WlDataOffer>,
    /// What was said of drags over its windows.
    pub drag: Vec<&'static str>,
    /// How many of its sources were cancelled.
    pub cancelled: usize,
}

/// `vault`, `work` and `web` with a window each, `vault` with the keyboard. No VM has to have it for long.
pub struct Desk {
    pub fixture: Fixture,
    pub vms: [(&'static str, Who, WlDataDevice); 3],
}

/// Rules for which nobody is asked.
const ALLOW: &str = "[[clipboard.rule]]\nfrom = '*'\nto = '*'\naction = 'allow'\n";

impl Desk {
    /// The rules stand behind `[clipboard]`.
    pub fn new(rules: &str) -> Self {
        Self::settling(0, rules)
    }

    pub fn settling(settle: u32, rules: &str) -> Self {
        let text = format!("[vm.vault]\ncolor = '#123456'\n[clipboard]\nsettle = {settle}\n{rules}");
        let mut fixture = Fixture::written(&text);
        let vms = ["work", "web", "vault"].map(|name| {
            let who = fixture.connect(vm(name));
            let client = fixture.client(who);
            let device = client.listen();
            client.told.transfers.keeps = true;
            fixture.window(who, 150, 80, BLUE);
            (name, who, device)
        });
        let mut desk = Self { fixture, vms };
        desk.focus("vault");
        desk
    }

    pub fn who(&self, name: &str) -> Who {
        self.vms.iter().find(|(vm, ..)| *vm == name).unwrap().1
    }

    pub fn device(&self, name: &str) -> &WlDataDevice {
        &self.vms.iter().find(|(vm, ..)| *vm == name).unwrap().2
    }

    #[track_caller]
    pub fn focus(&mut self, name: &str) {
        let window = self.fixture.report().into_iter().find(|window| window.vm == name).unwrap();
        if window.focused {
            // A second click would be a double click.
            return;
        }
        // On the chip of its title bar, which is no client's.
        self.fixture.click(window.frame.loc.x + 30, window.frame.loc.y + 12);
        let who = self.who(name);
        self.fixture.wait("the keyboard", |fixture| fixture.client(who).told.keyboard.is_some());
    }

    /// A program of a VM copies something, as these types.
    pub fn offer(&mut self, name: &str, types: &[&str]) -> WlDataSource {
        let who = self.who(name);
        let device = self.device(name).clone();
        let client = self.fixture.client(who);
        let source = client.bind::<WlDataDeviceManager>().create_data_source(&client.queue, ());
        types.iter().for_each(|name| source.offer((*name).to_owned()));
        device.set_selection(Some(&source), client.told.press);
        self.fixture.roundtrip(who);
        source
    }

    pub fn chord(&mut self, key: &str) {
        self.fixture.chord(&["leftmeta", "leftshift", key]);
        self.fixture.turn();
    }

    /// The chord that copies, and the pipe for what is copied.
    #[track_caller]
    pub fn begin(&mut self, name: &str) -> OwnedFd {
        self.chord("c");
        self.next_pipe(name)
    }

    #[track_caller]
    pub fn next_pipe(&mut self, name: &str) -> OwnedFd {
        let who = self.who(name);
        self.fixture.wait("a pipe", |fixture| !fixture.client(who).told.transfers.sent.is_empty());
        self.fixture.client(who).told.transfers.sent.remove(0)
    }

    /// Copies a text in a VM and out of it.
    #[track_caller]
    pub fn copy(&mut self, name: &str, text: &str) -> WlDataSource {
        self.focus(name);
        let source = self.offer(name, &[TEXT]);
        let pipe = self.begin(name);
        File::from(pipe).write_all(text.as_bytes()).unwrap();
        self.wait_full(name);
        source
    }

    #[track_caller]
    pub fn wait_full(&mut self, name: &str) {
        self.fixture.wait("the copy", |fixture| {
            let between = &fixture.state().comp.selections.between;
            matches!(between.model().summary(), Summary::Full { from, .. } if *from == vm(name))
        });
    }

    pub fn is_empty(&mut self) -> bool {
        self.fixture.state().comp.selections.between.model().summary() == Summary::Empty
    }

    pub fn is_asking(&mut self) -> bool {
        self.fixture.turn();
        self.fixture.state().comp.is_asking()
    }

    /// What happened last.
    pub fn last(&mut self) -> What {
        let model = self.fixture.state().comp.selections.between.model();
        model.journal().entries().last().unwrap().what
    }

    #[track_caller]
    pub fn wait_refusal(&mut self, why: Refusal) {
        self.fixture.wait("a refusal", |fixture| {
            let model = fixture.state().comp.selections.between.model();
            model.journal().entries().last().is_some_and(|entry| entry.what == What::Refused(why))
        });
    }

    pub fn tap(&mut self, key: &str) {
        self.fixture.chord(&[key]);
        self.fixture.turn();
    }

    /// The types of a VM's own clipboard.
    pub fn clipboard(&mut self, name: &str) -> Option<Vec<String>> {
        let who = self.who(name);
        self.fixture.roundtrip(who);
        self.fixture.client(who).told.clipboard.clone()
    }

    /// A program of a VM begins to read its clipboard.
    pub fn receive(&mut self, name: &str, mime_type: &str) -> File {
        let who = self.who(name);
        self.fixture.roundtrip(who);
        let (ours, theirs) = rustix::pipe::pipe().unwrap();
        let offer = self.fixture.client(who).told.transfers.offer.clone().expect("an offer");
        offer.receive(mime_type.to_owned(), theirs.as_fd());
        self.fixture.client(who).flush();
        drop(theirs);
        File::from(ours)
    }

    /// What a program of a VM reads from its clipboard.
    #[track_caller]
    pub fn read(&mut self, name: &str, mime_type: &str) -> String {
        let mut pipe = self.receive(name, mime_type);
        let reader = std::thread::spawn(move || {
            let mut text = String::new();
            pipe.read_to_string(&mut text).map(|_| text)
        });
        self.fixture.wait("the end of the content", |_| reader.is_finished());
        reader.join().unwrap().unwrap()
    }

    /// Pastes into the VM with the keyboard, with a yes to the question.
    #[track_caller]
    pub fn paste_with_question(&mut self) {
        self.chord("v");
        self.fixture.wait_question();
        self.tap("tab");
        self.tap("enter");
        assert_eq!(self.last(), What::Pasted { asked: true });
    }
}

/// How many pixels of the stripe have a colour.
fn on_stripe(fixture: &mut Fixture, color: [u8; 4]) -> usize {
    let screen = fixture.screenshot();
    (0..24).flat_map(|y| (0..800).map(move |x| (x, y))).filter(|(x, y)| screen.pixel(*x, *y) == color).count()
}

#[test]
fn what_is_copied_in_one_vm_is_pasted_into_another_by_two_chords_an_answer_and_the_programs_own_paste() {
    let mut desk = Desk::new("");
    desk.copy("vault", "caf\u{e9} au lait");
    assert_eq!(desk.clipboard("web"), None, "nobody is told that anything was copied");
    desk.focus("web");
    assert_eq!(desk.clipboard("web"), None);
    desk.chord("v");
    assert!(desk.is_asking());
    assert_eq!(desk.clipboard("web"), None, "nor that the user is asked");
    desk.fixture.wait_question();
    desk.tap("tab");
    desk.tap("enter");
    assert!(!desk.is_asking());
    assert_eq!(desk.clipboard("web").unwrap(), GIVEN);
    for mime_type in GIVEN {
        assert_eq!(desk.read("web", mime_type), "caf\u{e9} au lait");
    }
    assert!(desk.is_empty(), "it is given once");
    let vault = desk.who("vault");
    desk.fixture.roundtrip(vault);
    let told = &desk.fixture.client(vault).told;
    assert_eq!(
        (told.transfers.cancelled, told.asked.len()),
        (0, 1),
        "the source was asked once, and knows of no more"
    );
    // Neither VM has seen the keys of the chords.
    for (name, who, _) in desk.vms {
        let keys = &desk.fixture.client(who).told.keys;
        assert!(keys.iter().all(|(code, _)| ![46, 47].contains(code)), "{name}: {keys:?}");
    }
}

#[test]
fn a_no_gives_nothing_and_what_was_copied_can_go_elsewhere() {
    let mut desk = Desk::new("");
    desk.copy("vault", "secret");
    desk.focus("web");
    desk.chord("v");
    desk.fixture.wait_question();
    desk.tap("esc");
    assert_eq!(desk.last(), What::Refused(Refusal::SaidNo));
    assert_eq!(desk.clipboard("web"), None);
    desk.focus("work");
    desk.paste_with_question();
    assert_eq!(desk.read("work", TEXT), "secret");
}

#[test]
fn enter_alone_is_a_no() {
    let mut desk = Desk::new("");
    desk.copy("vault", "secret");
    desk.focus("web");
    desk.chord("v");
    desk.fixture.wait_question();
    desk.tap("enter");
    assert_eq!(desk.last(), What::Refused(Refusal::SaidNo));
}

#[test]
fn the_stripe_says_of_which_vm_something_is_there_until_the_user_empties_it() {
    let mut desk = Desk::new("");
    desk.copy("work", "x");
    desk.focus("web");
    desk.fixture.turn();
    assert!(on_stripe(&mut desk.fixture, WORK) > 500, "a part of it is in the colour of the VM");
    desk.chord("x");
    assert!(desk.is_empty());
    assert_eq!(on_stripe(&mut desk.fixture, WORK), 0);
    desk.chord("v");
    assert_eq!(desk.last(), What::Refused(Refusal::Empty));
    assert!(!desk.is_asking());
    let sign = desk.fixture.state().comp.selections.between.sign().unwrap().words.clone();
    assert_eq!(sign, "the clipboard between VMs is empty");
}

#[test]
fn where_a_rule_allows_it_the_chord_is_enough_and_where_one_denies_it_nothing_leaves_the_vm() {
    let mut desk = Desk::new(
        "[[clipboard.rule]]\nfrom = 'vault'\nto = 'web'\naction = 'allow'\n\
         [[clipboard.rule]]\nfrom = 'vault'\nto = 'work'\naction = 'deny'\n\
         [[clipboard.rule]]\nfrom = 'web'\nto = '*'\naction = 'deny'\n",
    );
    desk.copy("vault", "once");
    desk.focus("work");
    desk.chord("v");
    assert!(!desk.is_asking());
    assert_eq!(desk.last(), What::Refused(Refusal::Denied));
    assert_eq!(desk.clipboard("work"), None);
    desk.focus("web");
    desk.chord("v");
    assert!(!desk.is_asking());
    assert_eq!(desk.last(), What::Pasted { asked: false });
    assert_eq!(desk.read("web", TEXT), "once");
    // What may go nowhere is not even read.
    let web = desk.who("web");
    desk.offer("web", &[TEXT]);
    desk.chord("c");
    assert_eq!(desk.last(), What::Refused(Refusal::Denied));
    desk.fixture.roundtrip(web);
    assert!(desk.fixture.client(web).told.asked.is_empty());
}

#[test]
fn kinds_pass_where_the_rule_names_them_and_are_not_asked_for_where_no_rule_does() {
    let types = [TEXT, "text/html", "image/png", "text/uri-list", "application/x-secret"];
    let mut desk = Desk::new(
        "[[clipboard.rule]]\nfrom = 'vault'\nto = 'web'\naction = 'allow'\ntypes = ['text/html', 'text/plain']\n\
         wipe = false\n[[clipboard.rule]]\nfrom = 'vault'\nto = 'work'\naction = 'allow'\n",
    );
    desk.offer("vault", &types);
    let pipe = desk.begin("vault");
    File::from(pipe).write_all(b"bold").unwrap();
    let pipe = desk.next_pipe("vault");
    File::from(pipe).write_all(b"<b>bold</b>").unwrap();
    desk.wait_full("vault");
    let vault = desk.who("vault");
    assert_eq!(desk.fixture.client(vault).told.asked, [TEXT, "text/html"]);
    desk.focus("web");
    desk.chord("v");
    assert_eq!(desk.read("web", "text/html"), "<b>bold</b>");
    assert_eq!(desk.read("web", TEXT), "bold");
    assert!(!desk.is_empty(), "wipe = false keeps it");
    desk.focus("work");
    desk.chord("v");
    assert_eq!(desk.clipboard("work").unwrap(), GIVEN);
    // Nothing but what may not pass.
    desk.focus("vault");
    desk.offer("vault", &["text/uri-list", "image/png"]);
    desk.chord("c");
    assert_eq!(desk.last(), What::Refused(Refusal::Kind));
}

#[test]
fn what_is_kept_for_a_second_is_gone_after_one_here_and_where_it_was_pasted() {
    let mut desk = Desk::new("[[clipboard.rule]]\nfrom = '*'\nto = '*'\naction = 'allow'\nttl = 1\n");
    desk.copy("vault", "x");
    desk.fixture.wait("the end", |fixture| {
        fixture.state().comp.selections.between.model().summary() == Summary::Empty
    });
    assert_eq!(desk.last(), What::Expired);
    desk.copy("vault", "y");
    desk.focus("web");
    desk.chord("v");
    assert_eq!(desk.clipboard("web").unwrap(), GIVEN);
    let web = desk.who("web");
    desk.fixture.wait("the end", |fixture| fixture.client(web).told.clipboard.is_none());
    // What the VM copies itself stays.
    desk.copy("vault", "z");
    desk.focus("web");
    desk.chord("v");
    desk.offer("web", &["text/own"]);
    let start = desk.fixture.state().comp.now();
    desk.fixture.wait("a second", |fixture| fixture.state().comp.now() > start + Duration::from_millis(1200));
    assert_eq!(desk.clipboard("web").unwrap(), ["text/own"]);
}

#[test]
fn nothing_is_pasted_into_a_vm_that_has_only_just_got_the_keyboard() {
    let mut desk = Desk::settling(700, ALLOW);
    desk.copy("vault", "x");
    desk.focus("web");
    let start = desk.fixture.state().comp.now();
    desk.chord("v");
    assert_eq!(desk.last(), What::Refused(Refusal::Unsettled));
    assert_eq!(desk.clipboard("web"), None);
    desk.fixture.wait("a while", |fixture| fixture.state().comp.now() > start + Duration::from_millis(700));
    assert!(!desk.is_empty() && desk.clipboard("web").is_none(), "and nothing is made up for later");
    desk.chord("v");
    assert_eq!(desk.read("web", TEXT), "x");
}

#[test]
fn local_programs_are_a_side_of_a_pair_like_any_other() {
    let mut desk = Desk::new("[[clipboard.rule]]\nfrom = 'vault'\nto = 'local'\naction = 'allow'\n");
    let local = desk.fixture.connect(Origin::Local);
    let device = desk.fixture.client(local).listen();
    desk.fixture.client(local).told.transfers.keeps = true;
    desk.copy("vault", "for local programs");
    desk.fixture.window(local, 120, 60, YELLOW);
    let window = desk.fixture.report().into_iter().find(|window| window.vm == "local").unwrap();
    desk.fixture.click(window.frame.loc.x + 30, window.frame.loc.y + 12);
    desk.fixture.wait("the keyboard", |fixture| fixture.client(local).told.keyboard.is_some());
    desk.vms[0].1 = local;
    desk.vms[0].2 = device;
    desk.chord("v");
    assert_eq!(desk.read("work", TEXT), "for local programs");
    // And back again, of what the compositor holds itself.
    desk.chord("c");
    assert_eq!(desk.last(), What::Copied);
    desk.focus("web");
    desk.paste_with_question();
    assert_eq!(desk.read("web", TEXT), "for local programs");
}

#[test]
fn the_primary_selection_never_leaves_its_vm() {
    let mut desk = Desk::new(ALLOW);
    // A VM that has only marked something, and copied nothing.
    desk.chord("c");
    assert_eq!(desk.last(), What::Refused(Refusal::NothingCopied));
}

#[test]
fn a_locked_session_has_no_clipboard_between_vms() {
    let mut desk = Desk::new("");
    desk.copy("vault", "x");
    let locker = desk.fixture.connect(Origin::Local);
    let _lock = session_lock::lock(&mut desk.fixture, locker);
    desk.fixture.turn();
    assert!(desk.is_empty());
    assert_eq!(desk.last(), What::Emptied);
}
