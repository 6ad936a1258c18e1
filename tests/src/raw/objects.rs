//! The objects that attacks are made of, by hand: each method sends one request and returns the number of the
//! object that it makes.

use std::os::fd::BorrowedFd;

use super::{RawClient, Request, Wire};
use crate::client::ClientError;
use crate::deadline::Deadline;

type Made = Result<u32, ClientError>;
type Sent = Result<(), ClientError>;

/// `wl_shm.format.xrgb8888`.
const XRGB8888: u32 = 1;

/// The globals that windows need, bound.
#[derive(Clone, Copy, Debug)]
pub struct Globals {
    /// `wl_compositor`.
    pub compositor: u32,
    /// `wl_subcompositor`.
    pub subcompositor: u32,
    /// `wl_shm`.
    pub shm: u32,
    /// `xdg_wm_base`.
    pub wm_base: u32,
}

/// The objects of one window.
#[derive(Clone, Copy, Debug)]
pub struct RawWindow {
    /// `wl_surface`.
    pub surface: u32,
    /// `xdg_surface`.
    pub xdg_surface: u32,
    /// `xdg_toplevel`.
    pub toplevel: u32,
}

impl<W: Wire> RawClient<W> {
    /// Binds what windows need.
    ///
    /// # Errors
    ///
    /// When the connection has ended.
    pub fn bind_globals(&mut self) -> Result<Globals, ClientError> {
        Ok(Globals {
            compositor: self.bind("wl_compositor", 4)?,
            subcompositor: self.bind("wl_subcompositor", 1)?,
            shm: self.bind("wl_shm", 1)?,
            wm_base: self.bind("xdg_wm_base", 3)?,
        })
    }

    /// Sends a request whose only argument, or whose first, is a new object.
    fn make(&mut self, object: u32, opcode: u16, more: impl FnOnce(Request) -> Request) -> Made {
        let id = self.new_id();
        self.send(&more(Request::new(object, opcode).uint(id)))?;
        Ok(id)
    }

    /// `wl_compositor.create_surface`.
    ///
    /// # Errors
    ///
    /// When the connection has ended.
    pub fn create_surface(&mut self, globals: Globals) -> Made {
        self.make(globals.compositor, 0, |request| request)
    }

    /// `wl_compositor.create_region`.
    ///
    /// # Errors
    ///
    /// When the connection has ended.
    pub fn create_region(&mut self, globals: Globals) -> Made {
        self.make(globals.compositor, 1, |request| request)
    }

    /// `wl_shm.create_pool`.
    ///
    /// # Errors
    ///
    /// When the connection has ended.
    pub fn create_pool(&mut self, globals: Globals, fd: BorrowedFd<'_>, size: i32) -> Made {
        let id = self.new_id();
        self.send_with(&Request::new(globals.shm, 0).uint(id).int(size), &[fd])?;
        Ok(id)
    }

    /// `wl_shm_pool.resize`.
    ///
    /// # Errors
    ///
    /// When the connection has ended.
    pub fn resize_pool(&mut self, pool: u32, size: i32) -> Sent {
        self.send(&Request::new(pool, 2).int(size))
    }

    /// `wl_shm_pool.create_buffer` of 32-bit pixels.
    ///
    /// # Errors
    ///
    /// When the connection has ended.
    pub fn create_buffer(&mut self, pool: u32, offset: i32, size: (i32, i32), stride: i32) -> Made {
        let arguments =
            |request: Request| request.int(offset).int(size.0).int(size.1).int(stride).uint(XRGB8888);
        self.make(pool, 0, arguments)
    }

    /// `wl_surface.attach`, `damage` of everything and `commit`.
    ///
    /// # Errors
    ///
    /// When the connection has ended.
    pub fn show_buffer(&mut self, surface: u32, buffer: u32) -> Sent {
        self.send(&Request::new(surface, 1).uint(buffer).int(0).int(0))?;
        self.send(&Request::new(surface, 2).int(0).int(0).int(i32::MAX).int(i32::MAX))?;
        self.commit(surface)
    }

    /// `wl_surface.commit`.
    ///
    /// # Errors
    ///
    /// When the connection has ended.
    pub fn commit(&mut self, surface: u32) -> Sent {
        self.send(&Request::new(surface, 6))
    }

    /// `wl_subcompositor.get_subsurface`.
    ///
    /// # Errors
    ///
    /// When the connection has ended.
    pub fn get_subsurface(&mut self, globals: Globals, surface: u32, parent: u32) -> Made {
        self.make(globals.subcompositor, 1, |request| request.uint(surface).uint(parent))
    }

    /// A surface with the role of a toplevel, committed once and not yet configured.
    ///
    /// # Errors
    ///
    /// When the connection has ended.
    pub fn create_window(&mut self, globals: Globals) -> Result<RawWindow, ClientError> {
        let surface = self.create_surface(globals)?;
        let xdg_surface = self.make(globals.wm_base, 2, |request| request.uint(surface))?;
        let toplevel = self.make(xdg_surface, 1, |request| request)?;
        self.commit(surface)?;
        Ok(RawWindow { surface, xdg_surface, toplevel })
    }

    /// A surface with the role of a popup of `parent`, committed once and not yet configured. The positioner
    /// has the given size and an anchor rectangle of `(x, y, width, height)`.
    ///
    /// # Errors
    ///
    /// When the connection has ended.
    pub fn create_popup(
        &mut self,
        globals: Globals,
        parent: u32,
        size: (i32, i32),
        anchor: (i32, i32, i32, i32),
    ) -> Result<RawWindow, ClientError> {
        let positioner = self.make(globals.wm_base, 1, |request| request)?;
        self.send(&Request::new(positioner, 1).int(size.0).int(size.1))?;
        self.send(&Request::new(positioner, 2).int(anchor.0).int(anchor.1).int(anchor.2).int(anchor.3))?;
        let surface = self.create_surface(globals)?;
        let xdg_surface = self.make(globals.wm_base, 2, |request| request.uint(surface))?;
        let toplevel = self.make(xdg_surface, 2, |request| request.uint(parent).uint(positioner))?;
        self.commit(surface)?;
        Ok(RawWindow { surface, xdg_surface, toplevel })
    }

    /// Waits for the configure of a surface and acknowledges it.
    ///
    /// # Errors
    ///
    /// When the connection ends or no configure comes before the deadline.
    pub fn acknowledge(&mut self, window: RawWindow) -> Sent {
        let deadline = Deadline::patient();
        loop {
            let event = self.event(deadline)?;
            if (event.object, event.opcode) == (window.xdg_surface, 0) {
                let serial = event.word(0).unwrap_or_default();
                return self.send(&Request::new(window.xdg_surface, 4).uint(serial));
            }
        }
    }
}
