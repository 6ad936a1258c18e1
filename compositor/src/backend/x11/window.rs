//! The window itself: its pixels' form, what window managers are told of it, and a pointer that does not show.

use smithay::utils::{Physical, Size};
use x11rb::connection::Connection as _;
use x11rb::properties::WmSizeHints;
use x11rb::protocol::xproto::{
    AtomEnum, ColormapAlloc, ConnectionExt as _, CreateGCAux, CreateWindowAux, EventMask, Gravity,
    ImageOrder, PropMode, Rectangle, Screen, Setup, VisualClass, Visualid, WindowClass,
};
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;

use super::X11Error;

x11rb::atom_manager! {
    /// The names that are spoken of.
    pub(super) Atoms: AtomsCookie {
        WM_PROTOCOLS,
        WM_DELETE_WINDOW,
        WM_CLIENT_MACHINE,
        UTF8_STRING,
        _NET_WM_NAME,
        _NET_WM_PID,
        _NET_WM_PING,
        _VITRAIL_FRAME,
    }
}

/// Bits of a pixel without those that say nothing.
const DEPTH: u8 = 24;

/// The least that an output can be.
const SMALLEST: (i32, i32) = (64, 64);

/// The names of the window and what belongs to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    /// The window.
    pub id: u32,
    /// The screen's root window, through which window managers are answered.
    pub root: u32,
    /// With which pixels are put into it.
    pub context: u32,
    /// Bits of its pixels.
    pub depth: u8,
    /// The names.
    pub atoms: Atoms,
}

impl Window {
    /// Opens a window, to be shown as soon as the server comes to it.
    pub(super) fn open(
        connection: &RustConnection,
        screen: &Screen,
        size: Size<i32, Physical>,
    ) -> Result<Self, X11Error> {
        let visual = find_visual(connection.setup(), screen).ok_or(X11Error::Pixels)?;
        let atoms = Atoms::new(connection)?.reply()?;
        let (id, context) = (connection.generate_id()?, connection.generate_id()?);
        let colours = connection.generate_id()?;
        connection.create_colormap(ColormapAlloc::NONE, colours, screen.root, visual)?;
        let cursor = no_cursor(connection, screen.root)?;
        let listen = EventMask::EXPOSURE
            | EventMask::STRUCTURE_NOTIFY
            | EventMask::VISIBILITY_CHANGE
            | EventMask::PROPERTY_CHANGE
            | EventMask::FOCUS_CHANGE
            | EventMask::KEY_PRESS
            | EventMask::KEY_RELEASE
            | EventMask::BUTTON_PRESS
            | EventMask::BUTTON_RELEASE
            | EventMask::POINTER_MOTION
            | EventMask::ENTER_WINDOW
            | EventMask::LEAVE_WINDOW;
        let attributes = CreateWindowAux::new()
            .background_pixel(0)
            .border_pixel(0)
            // What is shown stays where it is while the window gets another size.
            .bit_gravity(Gravity::NORTH_WEST)
            .colormap(colours)
            .cursor(cursor)
            .event_mask(listen);
        let (width, height) = (side(size.w), side(size.h));
        let class = WindowClass::INPUT_OUTPUT;
        connection.create_window(
            DEPTH,
            id,
            screen.root,
            0,
            0,
            width,
            height,
            0,
            class,
            visual,
            &attributes,
        )?;
        connection.create_gc(context, id, &CreateGCAux::new().graphics_exposures(0))?;
        let window = Self { id, root: screen.root, context, depth: DEPTH, atoms };
        window.describe(connection)?;
        connection.map_window(id)?;
        Ok(window)
    }

    /// Tells window managers what it is, and that it is asked before it is closed.
    fn describe(&self, connection: &RustConnection) -> Result<(), X11Error> {
        let Self { id, atoms, .. } = *self;
        let text = AtomEnum::STRING;
        let replace = PropMode::REPLACE;
        connection.change_property8(replace, id, AtomEnum::WM_NAME, text, b"Vitrail")?;
        connection.change_property8(replace, id, atoms._NET_WM_NAME, atoms.UTF8_STRING, b"Vitrail")?;
        connection.change_property8(replace, id, AtomEnum::WM_CLASS, text, b"vitrail\0Vitrail\0")?;
        let machine = rustix::system::uname();
        let machine = machine.nodename().to_bytes();
        connection.change_property8(replace, id, atoms.WM_CLIENT_MACHINE, text, machine)?;
        let process = std::process::id();
        connection.change_property32(replace, id, atoms._NET_WM_PID, AtomEnum::CARDINAL, &[process])?;
        let protocols = [atoms.WM_DELETE_WINDOW, atoms._NET_WM_PING];
        connection.change_property32(replace, id, atoms.WM_PROTOCOLS, AtomEnum::ATOM, &protocols)?;
        let hints = WmSizeHints { min_size: Some(SMALLEST), ..WmSizeHints::new() };
        hints.set_normal_hints(connection, id)?;
        Ok(())
    }
}

/// One side of the window in the words of the protocol.
pub(super) fn side(pixels: i32) -> u16 {
    u16::try_from(pixels).unwrap_or(u16::MAX)
}

/// A kind of window whose pixels are as they lie in memory here: four bytes each, blue first.
fn find_visual(setup: &Setup, screen: &Screen) -> Option<Visualid> {
    let formats = &setup.pixmap_formats;
    let format = formats.iter().find(|format| format.depth == DEPTH)?;
    if setup.image_byte_order != ImageOrder::LSB_FIRST || format.bits_per_pixel != 32 {
        return None;
    }
    let depth = screen.allowed_depths.iter().find(|depth| depth.depth == DEPTH)?;
    let fitting = depth.visuals.iter().filter(|visual| {
        visual.class == VisualClass::TRUE_COLOR
            && (visual.red_mask, visual.green_mask, visual.blue_mask) == (0xff_0000, 0xff00, 0xff)
    });
    let mut fitting = fitting.map(|visual| visual.visual_id).collect::<Vec<_>>();
    // That of the whole screen is the one that costs the server least.
    fitting.sort_by_key(|visual| *visual != screen.root_visual);
    fitting.first().copied()
}

/// A pointer of which nothing is seen: the one that is drawn here is enough.
fn no_cursor(connection: &RustConnection, root: u32) -> Result<u32, X11Error> {
    let (picture, context) = (connection.generate_id()?, connection.generate_id()?);
    let cursor = connection.generate_id()?;
    connection.create_pixmap(1, picture, root, 1, 1)?;
    connection.create_gc(context, picture, &CreateGCAux::new().foreground(0))?;
    let pixel = Rectangle { x: 0, y: 0, width: 1, height: 1 };
    connection.poly_fill_rectangle(picture, context, &[pixel])?;
    connection.create_cursor(cursor, picture, picture, 0, 0, 0, 0, 0, 0, 0, 0)?;
    connection.free_gc(context)?;
    connection.free_pixmap(picture)?;
    Ok(cursor)
}
