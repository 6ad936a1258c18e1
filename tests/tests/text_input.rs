//! Text from local programs into VMs, through the whole chain: an input method and a virtual keyboard at the compositor,
//! applications behind `wl-forward`, hub and gate.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use vitrail_tests::deadline::Deadline;
use vitrail_tests::process;
use vitrail_tests::session::{Options, Session, Sharing};
use wayland_client::globals::{BindError, GlobalList, GlobalListContents, registry_queue_init};
use wayland_client::protocol::wl_buffer::WlBuffer;
use wayland_client::protocol::wl_compositor::WlCompositor;
use wayland_client::protocol::wl_keyboard::{self, KeyState, WlKeyboard};
use wayland_client::protocol::wl_registry::{self, WlRegistry};
use wayland_client::protocol::wl_seat::WlSeat;
use wayland_client::protocol::wl_shm::{Format, WlShm};
use wayland_client::protocol::wl_shm_pool::WlShmPool;
use wayland_client::protocol::wl_surface::WlSurface;
use wayland_client::{Connection, Dispatch, EventQueue, Proxy, QueueHandle, WEnum, delegate_noop};
use wayland_protocols::wp::text_input::zv3::client::zwp_text_input_manager_v3::ZwpTextInputManagerV3;
use wayland_protocols::wp::text_input::zv3::client::zwp_text_input_v3::{self, ZwpTextInputV3};
use wayland_protocols::xdg::shell::client::xdg_surface::{self, XdgSurface};
use wayland_protocols::xdg::shell::client::xdg_toplevel::XdgToplevel;
use wayland_protocols::xdg::shell::client::xdg_wm_base::{self, XdgWmBase};
use wayland_protocols_misc::zwp_input_method_v2::client::zwp_input_method_manager_v2::ZwpInputMethodManagerV2;
use wayland_protocols_misc::zwp_input_method_v2::client::zwp_input_method_v2::{self, ZwpInputMethodV2};
use wayland_protocols_misc::zwp_virtual_keyboard_v1::client::zwp_virtual_keyboard_manager_v1::ZwpVirtualKeyboardManagerV1;
use wayland_protocols_misc::zwp_virtual_keyboard_v1::client::zwp_virtual_keyboard_v1::ZwpVirtualKeyboardV1;

/// What a program was told.
#[derive(Default)]
struct Told {
    configured: bool,
    words: Vec<String>,
}

impl Dispatch<WlRegistry, GlobalListContents> for Told {
    fn event(
        _: &mut Self,
        _: &WlRegistry,
        _: wl_registry::Event,
        _: &GlobalListContents,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
    }
}

/// Takes note of one kind of events.
macro_rules! note {
    ($interface:ty, |$told:ident, $object:ident, $event:ident| $does:expr) => {
        impl Dispatch<$interface, ()> for Told {
            fn event(
                $told: &mut Self,
                $object: &$interface,
                $event: <$interface as Proxy>::Event,
                _: &(),
                _: &Connection,
                _: &QueueHandle<Self>,
            ) {
                $does;
            }
        }
    };
}

note!(XdgWmBase, |_told, base, event| if let xdg_wm_base::Event::Ping { serial } = event {
    base.pong(serial);
});
note!(XdgSurface, |told, surface, event| if let xdg_surface::Event::Configure { serial } = event {
    surface.ack_configure(serial);
    told.configured = true;
});
note!(ZwpTextInputV3, |told, _object, event| {
    use zwp_text_input_v3::Event;
    told.words.push(match event {
        Event::Enter { .. } => "enter".to_owned(),
        Event::Leave { .. } => "leave".to_owned(),
        Event::PreeditString { text, cursor_begin, cursor_end } => {
            format!("preedit {} {cursor_begin} {cursor_end}", text.unwrap_or_default())
        }
        Event::CommitString { text } => format!("text {}", text.unwrap_or_default()),
        Event::DeleteSurroundingText { before_length, after_length } => {
            format!("delete {before_length} {after_length}")
        }
        Event::Done { serial } => format!("done {serial}"),
        other => format!("{other:?}"),
    });
});
note!(ZwpInputMethodV2, |told, _object, event| {
    use zwp_input_method_v2::Event;
    told.words.push(match event {
        Event::Activate => "activate".to_owned(),
        Event::Deactivate => "deactivate".to_owned(),
        Event::SurroundingText { text, cursor, anchor } => format!("around {text} {cursor} {anchor}"),
        Event::Done => "done".to_owned(),
        // Said each time, and tested at the compositor.
        Event::TextChangeCause { .. } | Event::ContentType { .. } => return,
        other => format!("{other:?}"),
    });
});
note!(WlKeyboard, |told, _object, event| match event {
    wl_keyboard::Event::Keymap { fd, size, .. } => {
        let mut text = vec![0; usize::try_from(size).expect("a length")];
        File::from(fd).read_exact_at(&mut text, 0).expect("a keymap of its length");
        let own = String::from_utf8_lossy(&text).contains("<K38>");
        told.words.push(format!("keymap {own}"));
    }
    wl_keyboard::Event::Key { key, state, .. } => {
        told.words.push(format!("key {key} {}", state == WEnum::Value(KeyState::Pressed)));
    }
    _ => {}
});

delegate_noop!(Told: ignore WlBuffer);
delegate_noop!(Told: ignore WlCompositor);
delegate_noop!(Told: ignore WlSeat);
delegate_noop!(Told: ignore WlShm);
delegate_noop!(Told: ignore WlShmPool);
delegate_noop!(Told: ignore WlSurface);
delegate_noop!(Told: ignore XdgToplevel);
delegate_noop!(Told: ignore ZwpInputMethodManagerV2);
delegate_noop!(Told: ignore ZwpTextInputManagerV3);
delegate_noop!(Told: ignore ZwpVirtualKeyboardManagerV1);
delegate_noop!(Told: ignore ZwpVirtualKeyboardV1);

/// A program at a compositor's socket.
struct Program {
    queue: EventQueue<Told>,
    globals: GlobalList,
    told: Told,
}

impl Program {
    fn start(socket: &Path) -> Self {
        let stream = process::connect(socket, Deadline::patient());
        let connection = Connection::from_socket(stream).expect("a client's end");
        let (globals, queue) = registry_queue_init(&connection).expect("a registry");
        Self { queue, globals, told: Told::default() }
    }

    fn handle(&self) -> QueueHandle<Told> {
        self.queue.handle()
    }

    fn sees(&self, interface: &str) -> bool {
        self.globals.contents().with_list(|list| list.iter().any(|global| global.interface == interface))
    }

    #[track_caller]
    fn bind<I: Proxy + 'static>(&self) -> I
    where
        Told: Dispatch<I, ()>,
    {
        let bound: Result<I, BindError> = self.globals.bind(&self.handle(), 1..=1, ());
        bound.unwrap_or_else(|error| panic!("{}: {error}", I::interface().name))
    }

    #[track_caller]
    fn roundtrip(&mut self) {
        self.queue.roundtrip(&mut self.told).expect("a live connection");
    }

    /// What it was told since it was last asked.
    #[track_caller]
    fn heard(&mut self) -> Vec<String> {
        self.roundtrip();
        std::mem::take(&mut self.told.words)
    }

    /// Waits until it is told this, and returns what it was told.
    #[track_caller]
    fn hears(&mut self, last: &str) -> Vec<String> {
        let deadline = Deadline::patient();
        while self.told.words.iter().all(|word| word != last) {
            assert!(!deadline.passed(), "{last} is not in {:?}", self.told.words);
            self.roundtrip();
        }
        std::mem::take(&mut self.told.words)
    }

    /// A window on the screen.
    fn window(&mut self, session: &mut Session, title: &str) -> WlSurface {
        let handle = self.handle();
        let surface = self.bind::<WlCompositor>().create_surface(&handle, ());
        let xdg = self.bind::<XdgWmBase>().get_xdg_surface(&surface, &handle, ());
        xdg.get_toplevel(&handle, ()).set_title(title.to_owned());
        surface.commit();
        while !self.told.configured {
            self.roundtrip();
        }
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&[0x40; 200 * 200 * 4]).expect("room for a picture");
        let pool = self.bind::<WlShm>().create_pool(file.as_fd(), 200 * 200 * 4, &handle, ());
        let buffer = pool.create_buffer(0, 200, 200, 200 * 4, Format::Xrgb8888, &handle, ());
        surface.attach(Some(&buffer), 0, 0);
        surface.damage(0, 0, 200, 200);
        surface.commit();
        self.roundtrip();
        session.wait_window(title);
        surface
    }

    fn text_input(&mut self) -> ZwpTextInputV3 {
        let seat: WlSeat = self.bind();
        self.bind::<ZwpTextInputManagerV3>().get_text_input(&seat, &self.handle(), ())
    }

    /// Makes a text input active that has this text.
    fn edit(&mut self, input: &ZwpTextInputV3, text: &str, cursor: i32) {
        input.enable();
        input.set_surrounding_text(text.to_owned(), cursor, cursor);
        input.commit();
        self.roundtrip();
    }
}

#[test]
fn an_input_method_of_the_gui_vm_writes_into_the_vm_with_the_keyboard_and_into_no_other() {
    for sharing in [Sharing::Region, Sharing::Stream] {
        let mut session = Session::with(Options::new(&["work", "personal"]).sharing(sharing));
        let mut method = Program::start(&session.local_socket());
        let seat: WlSeat = method.bind();
        let handle = method.handle();
        let object = method.bind::<ZwpInputMethodManagerV2>().get_input_method(&seat, &handle, ());
        method.roundtrip();
        let mut work = Program::start(&session.vm_socket("work"));
        let mut personal = Program::start(&session.vm_socket("personal"));
        work.window(&mut session, "editor");
        personal.window(&mut session, "other");
        let (first, second) = (work.text_input(), personal.text_input());
        assert_eq!(work.heard(), ["enter"]);
        assert!(personal.heard().is_empty());

        work.edit(&first, "été", 2);
        personal.edit(&second, "not to be heard", 0);
        assert_eq!(method.hears("done"), ["activate", "around été 2 2", "done"]);
        object.set_preedit_string("か".to_owned(), 3, 3);
        object.commit(1);
        method.roundtrip();
        assert_eq!(work.hears("done 1"), ["preedit か 3 3", "done 1"]);
        object.commit_string("漢字".to_owned());
        object.delete_surrounding_text(2, 1);
        object.commit(1);
        assert!(method.heard().is_empty());
        assert_eq!(work.hears("done 1"), ["text 漢字", "delete 2 1", "done 1"]);

        // Composing goes on while the user turns to the other VM.
        object.set_preedit_string("ひみつ".to_owned(), 9, 9);
        object.commit(1);
        method.roundtrip();
        session.focus("other");
        assert_eq!(method.hears("done"), ["deactivate", "done"]);
        assert_eq!(personal.hears("enter"), ["enter"]);
        personal.edit(&second, "mine", 4);
        assert_eq!(method.hears("done"), ["activate", "around mine 4 4", "done"]);
        object.commit_string("秘密".to_owned());
        object.commit(1);
        object.commit_string("plain".to_owned());
        object.commit(3);
        assert!(method.heard().is_empty());
        assert_eq!(personal.hears("done 2"), ["text plain", "done 2"]);
        work.edit(&first, "not to be heard either", 0);
        assert!(method.heard().is_empty());
        let told = work.heard();
        assert_eq!(told.last().map(String::as_str), Some("leave"), "{told:?}");
    }
}

const KEYMAP: &str = r#"xkb_keymap {
xkb_keycodes "(unnamed)" { minimum = 8; maximum = 40; <K38> = 38; };
xkb_types "(unnamed)" { include "complete" };
xkb_compatibility "(unnamed)" { include "complete" };
xkb_symbols "(unnamed)" { key <K38> {[U1F984]}; };
};
"#;

#[test]
fn a_virtual_keyboard_of_the_gui_vm_types_into_one_vm_and_the_other_sees_nothing_of_it() {
    let mut session = Session::start(&["work", "personal"]);
    let mut work = Program::start(&session.vm_socket("work"));
    let mut personal = Program::start(&session.vm_socket("personal"));
    for program in [&work, &personal] {
        assert!(!program.sees("zwp_virtual_keyboard_manager_v1"));
        assert!(!program.sees("zwp_input_method_manager_v2"));
    }
    work.window(&mut session, "terminal");
    personal.window(&mut session, "other");
    for program in [&mut work, &mut personal] {
        program.bind::<WlSeat>().get_keyboard(&program.handle(), ());
        assert_eq!(program.heard(), ["keymap false"]);
    }
    let mut typist = Program::start(&session.local_socket());
    let seat: WlSeat = typist.bind();
    let handle = typist.handle();
    let keyboard = typist.bind::<ZwpVirtualKeyboardManagerV1>().create_virtual_keyboard(&seat, &handle, ());
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(KEYMAP.as_bytes()).expect("room for a keymap");
    keyboard.keymap(1, file.as_fd(), u32::try_from(KEYMAP.len()).expect("a short text"));
    keyboard.key(0, 30, 1);
    keyboard.key(0, 30, 0);
    typist.roundtrip();
    assert_eq!(work.hears("key 30 false"), ["keymap true", "key 30 true", "key 30 false"]);
    // The user types too.
    session.tap(30);
    assert_eq!(work.hears("key 30 false"), ["keymap false", "key 30 true", "key 30 false"]);
    assert!(personal.heard().is_empty());
}
