//! Input: where the keyboard, the pointer and fingers are, and how their events reach clients.
//!
//! All backends, and the control socket, feed the same functions: positions in physical
//! pixels of the output, keys as evdev codes.

pub mod act;
pub mod action;
pub mod chord;
pub(crate) mod clipboard;
pub mod composition;
pub mod configured;
pub mod constraint;
pub mod device;
pub(crate) mod frame_buttons;
pub(crate) mod fullscreen;
pub mod gesture;
pub(crate) mod handing;
pub(crate) mod held;
pub mod hold;
pub mod keyboard;
pub mod keymap;
pub mod layers;
pub mod listeners;
pub mod lock;
pub(crate) mod panel;
pub mod permission;
pub mod placing;
pub mod pointer;
pub mod program;
pub mod prompt;
pub mod recent;
pub mod release;
pub mod repeat;
pub mod restraint;
pub mod settling;
pub mod spelling;
pub mod switcher;
pub mod tablet;
pub mod touch;
pub(crate) mod trusted;
pub(crate) mod xray;

use smithay::input::pointer::CursorImageStatus;
use smithay::input::{Seat, SeatState};
use smithay::reexports::wayland_server::DisplayHandle;
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::utils::{Physical, Point};
use smithay::wayland::tablet_manager::TabletManagerState;

use crate::config::input::KeyboardConfig;
use crate::handlers::input_method::InputMethod;
use crate::handlers::text_input::TextInputs;
use crate::handlers::virtual_keyboard::VirtualKeyboards;
use crate::shell::focus::Focus;
use crate::state::State;
use constraint::Constraints;
use held::Held;
use hold::{Interaction, Presses};
use keymap::Keymap;
use listeners::Listeners;
use pointer::Pointing;
use recent::Recent;
use switcher::Switcher;
use tablet::Pen;
use touch::{EachFinger, Fingers};
use trusted::Trusted;

/// Where keyboard and pointer are.
#[derive(Debug)]
pub struct Input {
    /// Position of the pointer; `None` until it first moves.
    pub(crate) pointer: Option<Point<f64, Physical>>,
    /// What is remembered of where it was.
    pub(crate) pointing: Pointing,
    /// The fingers on the touch screen.
    pub(crate) fingers: Fingers,
    /// The pen that is near the tablet.
    pub(crate) pen: Option<Pen>,
    /// What clients do with the pointer.
    pub(crate) constraints: Constraints,
    /// What the user does against VMs, with keys that none of them gets.
    pub(crate) trusted: Trusted,
    /// The shape that the client under the pointer chose.
    pub(crate) cursor: CursorImageStatus,
    /// What the compositor itself does with the pointer.
    pub(crate) interaction: Option<Interaction>,
    /// What it remembers of presses on frames.
    pub(crate) presses: Presses,
    /// Buttons that clients know to be pressed.
    pub(crate) pressed_buttons: Vec<u32>,
    /// Buttons whose press was kept from the clients, so that their release is, too.
    pub(crate) kept_buttons: Vec<u32>,
    /// Keys whose press was kept from the clients, likewise.
    pub(crate) kept_keys: Vec<u32>,
    /// The windows that the user chooses from now.
    pub(crate) switcher: Option<Switcher>,
    /// The chords that are held.
    pub(crate) held: Held,
    /// Keys whose press the input method got, likewise.
    pub(crate) method_keys: Vec<u32>,
    /// The client that has the keyboard was not told of all changes of the modifiers.
    pub(crate) stale_modifiers: bool,
    /// The seat's keymap.
    pub(crate) keymap: Keymap,
    /// Text inputs, and what the input method makes of them.
    pub(crate) composition: TextInputs,
    /// There is a timer, after which the input method may be told more of them.
    pub(crate) refill_planned: bool,
    /// The input method, if there is one.
    pub(crate) method: Option<InputMethod>,
    /// The programs that type.
    pub(crate) virtual_keyboards: VirtualKeyboards,
    /// What was last told that it has the keyboard.
    pub(crate) told_focus: Option<(Focus, WlSurface)>,
    /// How many objects of each client listen to input.
    pub(crate) listeners: Listeners,
    /// What the user did last.
    recent: Recent,
}

impl Input {
    /// Makes the seat and the global of its tablets, with the keyboard as it is configured.
    ///
    /// # Errors
    ///
    /// If the layout cannot be compiled.
    pub fn new(
        seats: &mut SeatState<State>,
        display: &DisplayHandle,
        config: &KeyboardConfig,
    ) -> Result<(Seat<State>, Self), smithay::input::keyboard::Error> {
        let layout = &config.layout;
        let keymap = Keymap::of_layout(layout).map_err(|_| smithay::input::keyboard::Error::BadKeymap)?;
        let mut seat = seats.new_wl_seat(display, "seat0");
        // Whoever may repeat keys by itself is told so afterwards (`repeat`).
        seat.add_keyboard(layout.names(), 0, 0)?;
        seat.add_pointer();
        seat.add_touch_with_default_grab(|| Box::<EachFinger>::default());
        // After the seat: weston's clients ask for the tablets of those seats that they know by then, and of no later one.
        TabletManagerState::new::<State>(display);
        let input = Self {
            pointer: None,
            pointing: Pointing::default(),
            fingers: Fingers::new(),
            pen: None,
            constraints: Constraints::default(),
            trusted: Trusted::default(),
            cursor: CursorImageStatus::default_named(),
            interaction: None,
            presses: Presses::default(),
            pressed_buttons: Vec::new(),
            kept_buttons: Vec::new(),
            kept_keys: Vec::new(),
            switcher: None,
            held: Held::default(),
            method_keys: Vec::new(),
            stale_modifiers: false,
            keymap,
            composition: TextInputs::default(),
            refill_planned: false,
            method: None,
            virtual_keyboards: VirtualKeyboards::default(),
            told_focus: None,
            listeners: Listeners::default(),
            recent: Recent::default(),
        };
        Ok((seat, input))
    }

    /// The pixel that the pointer is on, if it is shown.
    #[must_use]
    pub fn visible_pointer(&self) -> Option<Point<i32, Physical>> {
        self.pointer.map(|location| location.to_i32_floor())
    }

    /// Whether every key that is pressed is the compositor's.
    pub(crate) fn takes_all_keys(&self) -> bool {
        self.switcher.is_some() || self.held.placement().is_some()
    }

    /// Puts the pointer somewhere without the user's hand.
    pub(crate) fn put_pointer(&mut self, location: Point<f64, Physical>) {
        self.pointer = Some(location);
        self.pointing.device = None;
    }
}

impl State {
    /// Milliseconds, as input events carry them; they wrap around.
    pub(crate) fn input_time(&self) -> u32 {
        u32::try_from(self.comp.now().as_millis() & u128::from(u32::MAX)).unwrap_or(0)
    }
}
