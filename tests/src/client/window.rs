//! Surfaces with a role: toplevels, popups and subsurfaces.

use wayland_client::protocol::wl_subsurface::WlSubsurface;
use wayland_client::protocol::wl_surface::WlSurface;
use wayland_protocols::wp::viewporter::client::wp_viewport::WpViewport;
use wayland_protocols::xdg::shell::client::xdg_popup::XdgPopup;
use wayland_protocols::xdg::shell::client::xdg_positioner::{Anchor, Gravity};
use wayland_protocols::xdg::shell::client::xdg_surface::XdgSurface;
use wayland_protocols::xdg::shell::client::xdg_toplevel::XdgToplevel;

use super::state::Callback;
use super::{Buffer, Canvas, Client, ClientError, Rect};

/// What a new toplevel is to be.
#[derive(Clone, Debug)]
pub struct WindowOptions {
    /// The title.
    pub title: String,
    /// The application id.
    pub app_id: String,
    /// The size in surface units.
    pub size: (i32, i32),
    /// The colour of the whole content, `0xRRGGBB`.
    pub color: u32,
    /// The scale of the buffers.
    pub scale: i32,
}

impl WindowOptions {
    /// A window of 200 by 150 in one colour; its title is also its application id.
    #[must_use]
    pub fn new(title: &str, color: u32) -> Self {
        let (title, app_id) = (title.to_owned(), title.to_owned());
        Self { title, app_id, size: (200, 150), color, scale: 1 }
    }

    /// The same with another size.
    #[must_use]
    pub fn size(mut self, width: i32, height: i32) -> Self {
        self.size = (width, height);
        self
    }

    /// The same with another buffer scale.
    #[must_use]
    pub fn scale(mut self, scale: i32) -> Self {
        self.scale = scale;
        self
    }
}

/// A toplevel.
#[derive(Debug)]
pub struct Window {
    /// Its place in the recorded state.
    pub number: usize,
    /// Its surface.
    pub surface: WlSurface,
    /// Its `xdg_surface`.
    pub xdg_surface: XdgSurface,
    /// Its `xdg_toplevel`.
    pub toplevel: XdgToplevel,
    /// Its viewport, where the server has `wp_viewporter` and the test made one.
    pub viewport: Option<WpViewport>,
    /// Its buffers.
    pub buffers: Vec<Buffer>,
    /// What it shows.
    pub canvas: Canvas,
}

/// A popup.
#[derive(Debug)]
pub struct Popup {
    /// Its place in the recorded state.
    pub number: usize,
    /// Its surface.
    pub surface: WlSurface,
    /// Its `xdg_surface`.
    pub xdg_surface: XdgSurface,
    /// Its `xdg_popup`.
    pub popup: XdgPopup,
}

/// A subsurface.
#[derive(Debug)]
pub struct Subsurface {
    /// Its place in the recorded state.
    pub number: usize,
    /// Its surface.
    pub surface: WlSurface,
    /// Its role.
    pub subsurface: WlSubsurface,
}

impl Client {
    /// A new surface without a role, and its place in the recorded state.
    ///
    /// # Panics
    ///
    /// When the server has no `wl_compositor`.
    #[must_use]
    pub fn surface(&mut self) -> (usize, WlSurface) {
        let number = self.state.expect_surface();
        let compositor = self.state.bound.compositor.as_ref().expect("the server has wl_compositor");
        (number, compositor.create_surface(&self.handle(), number))
    }

    fn xdg_surface(&self, surface: &WlSurface, number: usize) -> XdgSurface {
        let base = self.state.bound.wm_base.as_ref().expect("the server has xdg_wm_base");
        base.get_xdg_surface(surface, &self.handle(), number)
    }

    /// Requests a toplevel, without committing or waiting for anything.
    ///
    /// # Panics
    ///
    /// When the server has no `xdg_wm_base`.
    #[must_use]
    pub fn unmapped_window(&mut self, options: &WindowOptions) -> Window {
        let (number, surface) = self.surface();
        let xdg_surface = self.xdg_surface(&surface, number);
        let toplevel = xdg_surface.get_toplevel(&self.handle(), number);
        toplevel.set_title(options.title.clone());
        toplevel.set_app_id(options.app_id.clone());
        let (width, height) = (options.size.0 * options.scale, options.size.1 * options.scale);
        let canvas = Canvas::new(width, height, options.color);
        Window { number, surface, xdg_surface, toplevel, viewport: None, buffers: Vec::new(), canvas }
    }

    /// Maps a toplevel of two buffers and waits until the server has taken its first content.
    ///
    /// # Errors
    ///
    /// When the connection ends or the server does not configure the toplevel before the deadline.
    pub fn window(&mut self, options: &WindowOptions) -> Result<Window, ClientError> {
        let mut window = self.unmapped_window(options);
        if options.scale != 1 {
            window.surface.set_buffer_scale(options.scale);
        }
        window.surface.commit();
        self.acknowledge(window.number, &window.xdg_surface)?;
        window.buffers = self.buffers(2, window.canvas.width(), window.canvas.height());
        self.show(&window)?;
        self.roundtrip()?;
        Ok(window)
    }

    /// Waits for the first configure of a surface and acknowledges the newest.
    ///
    /// # Errors
    ///
    /// When the connection ends or no configure comes before the deadline.
    pub fn acknowledge(&mut self, number: usize, xdg_surface: &XdgSurface) -> Result<(), ClientError> {
        self.wait_until("a configure", |state| !state.surface(number).configures.is_empty())?;
        if let Some(configure) = self.state.surface(number).configures.last() {
            xdg_surface.ack_configure(configure.serial);
        }
        Ok(())
    }

    /// Shows the whole of the window's canvas in a buffer that the server does not hold.
    ///
    /// # Errors
    ///
    /// When the connection ends or no buffer is released before the deadline.
    pub fn show(&mut self, window: &Window) -> Result<(), ClientError> {
        let all = Rect::of_size(window.canvas.width(), window.canvas.height());
        let place = self.free_buffer(&window.buffers)?;
        window.buffers[place].draw(&window.canvas, all);
        window.surface.damage_buffer(0, 0, all.w, all.h);
        self.commit(&window.surface, &window.buffers[place]);
        Ok(())
    }

    /// Fills the window with another colour and waits until the server has drawn it.
    ///
    /// # Errors
    ///
    /// When the connection ends or no frame is drawn before the deadline.
    pub fn recolor(&mut self, window: &mut Window, color: u32) -> Result<(), ClientError> {
        let all = Rect::of_size(window.canvas.width(), window.canvas.height());
        window.canvas.fill(all, color);
        let frames = self.state.surface(window.number).frames;
        self.request_frame(&window.surface, window.number);
        self.show(window)?;
        let drawn = |state: &super::State| state.surface(window.number).frames > frames;
        self.wait_until("a frame callback", drawn)
    }

    /// Requests a frame callback for the next commit of the surface.
    pub fn request_frame(&self, surface: &WlSurface, number: usize) {
        let _ = surface.frame(&self.handle(), Callback::Frame(number));
    }

    /// Waits until one of the buffers is not held by the server; its place in the list.
    ///
    /// # Errors
    ///
    /// When the connection ends or no buffer is released before the deadline.
    pub fn free_buffer(&mut self, buffers: &[Buffer]) -> Result<usize, ClientError> {
        let is_free = |state: &super::State, buffer: &Buffer| state.is_released(buffer.number);
        self.wait_until("a released buffer", |state| buffers.iter().any(|buffer| is_free(state, buffer)))?;
        Ok(buffers.iter().position(|buffer| is_free(&self.state, buffer)).unwrap_or_default())
    }

    /// Attaches the buffer and commits; the buffer is then the server's.
    pub fn commit(&mut self, surface: &WlSurface, buffer: &Buffer) {
        surface.attach(Some(&buffer.buffer), 0, 0);
        self.state.lend_buffer(buffer.number);
        surface.commit();
    }

    /// Gives the window a viewport.
    ///
    /// # Panics
    ///
    /// When the server has no `wp_viewporter`.
    pub fn add_viewport(&self, window: &mut Window) {
        let viewporter = self.state.bound.viewporter.as_ref().expect("the server has wp_viewporter");
        window.viewport = Some(viewporter.get_viewport(&window.surface, &self.handle(), ()));
    }

    /// Requests a popup with its upper left corner at a place of the parent, without committing or waiting.
    ///
    /// # Panics
    ///
    /// When the server has no `xdg_wm_base`.
    #[must_use]
    pub fn unmapped_popup(&mut self, parent: &XdgSurface, place: Rect) -> Popup {
        let (number, surface) = self.surface();
        let xdg_surface = self.xdg_surface(&surface, number);
        let base = self.state.bound.wm_base.as_ref().expect("the server has xdg_wm_base");
        let positioner = base.create_positioner(&self.handle(), ());
        positioner.set_size(place.w, place.h);
        positioner.set_anchor_rect(place.x, place.y, 1, 1);
        positioner.set_anchor(Anchor::TopLeft);
        positioner.set_gravity(Gravity::BottomRight);
        let popup = xdg_surface.get_popup(Some(parent), &positioner, &self.handle(), number);
        positioner.destroy();
        Popup { number, surface, xdg_surface, popup }
    }

    /// Maps a popup of one colour.
    ///
    /// # Errors
    ///
    /// When the connection ends or the server does not configure the popup before the deadline.
    pub fn popup(&mut self, parent: &XdgSurface, place: Rect, color: u32) -> Result<Popup, ClientError> {
        let popup = self.unmapped_popup(parent, place);
        popup.surface.commit();
        self.acknowledge(popup.number, &popup.xdg_surface)?;
        self.paint(&popup.surface, (place.w, place.h), color);
        self.roundtrip()?;
        Ok(popup)
    }

    /// A subsurface of one colour, which follows its parent at once (desynchronised).
    ///
    /// # Panics
    ///
    /// When the server has no `wl_subcompositor`.
    #[must_use]
    pub fn subsurface(&mut self, parent: &WlSurface, place: Rect, color: u32) -> Subsurface {
        let subsurface = self.unmapped_subsurface(parent);
        subsurface.subsurface.set_position(place.x, place.y);
        subsurface.subsurface.set_desync();
        self.paint(&subsurface.surface, (place.w, place.h), color);
        subsurface
    }

    /// A subsurface without content.
    ///
    /// # Panics
    ///
    /// When the server has no `wl_subcompositor`.
    #[must_use]
    pub fn unmapped_subsurface(&mut self, parent: &WlSurface) -> Subsurface {
        let (number, surface) = self.surface();
        let subcompositor = self.state.bound.subcompositor.as_ref().expect("the server has wl_subcompositor");
        let subsurface = subcompositor.get_subsurface(&surface, parent, &self.handle(), ());
        Subsurface { number, surface, subsurface }
    }

    /// Gives a surface content of one colour and commits.
    pub fn paint(&mut self, surface: &WlSurface, size: (i32, i32), color: u32) {
        let canvas = Canvas::new(size.0, size.1, color);
        for buffer in self.buffers(1, size.0, size.1) {
            buffer.draw(&canvas, Rect::of_size(size.0, size.1));
            surface.damage_buffer(0, 0, size.0, size.1);
            self.commit(surface, &buffer);
        }
    }
}
