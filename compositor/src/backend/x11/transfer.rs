//! How pixels get to the X server: through memory that it maps, where it can, and otherwise through the connection.

use std::fmt;
use std::os::fd::AsFd;
use std::rc::Rc;

use rustix::net::AddressFamily;
use smithay::utils::{Physical, Rectangle, Size};
use x11rb::connection::{Connection as _, RequestConnection as _};
use x11rb::protocol::shm::{self, ConnectionExt as _};
use x11rb::protocol::xproto::{ConnectionExt as _, ImageFormat};
use x11rb::rust_connection::RustConnection;

use super::X11Error;
use super::window::{Window, side};
use crate::backend::memory::Pixels;
use crate::backend::shared::SharedPicture;

/// Bytes of a pixel.
const PIXEL: usize = 4;

/// Bytes of a request beside its pixels, and some more.
const REQUEST: usize = 64;

/// The way to the server.
pub(super) struct Transfer {
    connection: Rc<RustConnection>,
    shared: Option<Segment>,
    /// The most bytes of pixels in one request.
    most: usize,
}

impl fmt::Debug for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transfer").field("shared", &self.shared.is_some()).finish_non_exhaustive()
    }
}

/// Memory that the server has mapped, and its name there.
struct Segment {
    connection: Rc<RustConnection>,
    picture: SharedPicture,
    name: shm::Seg,
}

impl Drop for Segment {
    fn drop(&mut self) {
        // After everything that was asked for before; a server that is gone needs no telling.
        let _ = self.connection.shm_detach(self.name);
    }
}

impl Transfer {
    /// A way for pictures of this size. Whether the server can map the memory it says later.
    pub(super) fn new(connection: Rc<RustConnection>, size: Size<i32, Physical>) -> Result<Self, X11Error> {
        let most = connection.maximum_request_bytes().saturating_sub(REQUEST);
        let mut this = Self { connection, shared: None, most };
        if can_share(&this.connection)? {
            this.share(size)?;
        }
        Ok(this)
    }

    /// Whether memory is shared.
    pub(super) fn is_shared(&self) -> bool {
        self.shared.is_some()
    }

    /// From now on pictures have another size.
    pub(super) fn resize(&mut self, size: Size<i32, Physical>) -> Result<(), X11Error> {
        if self.shared.is_some() { self.share(size) } else { Ok(()) }
    }

    /// The server cannot map the memory. Returns whether that is new.
    pub(super) fn give_up_sharing(&mut self) -> bool {
        self.shared.take().is_some()
    }

    fn share(&mut self, size: Size<i32, Physical>) -> Result<(), X11Error> {
        let picture = SharedPicture::new(size).map_err(X11Error::Allocate)?;
        let name = self.connection.generate_id()?;
        let descriptor = picture.descriptor().map_err(X11Error::Allocate)?;
        // The server only reads.
        self.connection.shm_attach_fd(name, descriptor, true)?;
        self.shared = Some(Segment { connection: Rc::clone(&self.connection), picture, name });
        Ok(())
    }

    /// Puts rectangles of a picture into the window.
    pub(super) fn put(
        &self,
        window: &Window,
        from: Pixels<'_>,
        size: Size<i32, Physical>,
        rectangles: &[Rectangle<i32, Physical>],
    ) -> Result<(), X11Error> {
        let Some(segment) = &self.shared else {
            return rectangles.iter().try_for_each(|rectangle| self.send(window, from, *rectangle));
        };
        segment.picture.write(from, rectangles).map_err(X11Error::Write)?;
        for rectangle in rectangles {
            let (x, y) = (rectangle.loc.x, rectangle.loc.y);
            self.connection.shm_put_image(
                window.id,
                window.context,
                side(size.w),
                side(size.h),
                side(x),
                side(y),
                side(rectangle.size.w),
                side(rectangle.size.h),
                place(x),
                place(y),
                window.depth,
                ImageFormat::Z_PIXMAP.into(),
                false,
                segment.name,
                0,
            )?;
        }
        Ok(())
    }

    /// Sends the pixels of a rectangle themselves, as many rows at once as go into a request.
    fn send(
        &self,
        window: &Window,
        from: Pixels<'_>,
        rectangle: Rectangle<i32, Physical>,
    ) -> Result<(), X11Error> {
        let index = |value: i32| usize::try_from(value).unwrap_or(0);
        let (x, width) = (index(rectangle.loc.x) * PIXEL, index(rectangle.size.w) * PIXEL);
        let rows = from.bytes.chunks(from.stride.max(1)).skip(index(rectangle.loc.y));
        let rows: Vec<&[u8]> =
            rows.take(index(rectangle.size.h)).map(|row| row.get(x..x + width).unwrap_or_default()).collect();
        let at_once = (self.most / width.max(1)).clamp(1, usize::from(u16::MAX));
        let mut y = rectangle.loc.y;
        for rows in rows.chunks(at_once) {
            let height = u16::try_from(rows.len()).unwrap_or(u16::MAX);
            self.connection.put_image(
                ImageFormat::Z_PIXMAP,
                window.id,
                window.context,
                side(rectangle.size.w),
                height,
                place(rectangle.loc.x),
                place(y),
                0,
                window.depth,
                &rows.concat(),
            )?;
            y += i32::from(height);
        }
        Ok(())
    }
}

fn place(pixels: i32) -> i16 {
    i16::try_from(pixels).unwrap_or(i16::MAX)
}

/// Whether the server can be handed memory: it knows how, and is reached by a socket that carries descriptors, which one of
/// another machine is not.
fn can_share(connection: &RustConnection) -> Result<bool, X11Error> {
    let address = rustix::net::getsockname(connection.stream().as_fd());
    if address.map_or(true, |address| address.address_family() != AddressFamily::UNIX) {
        return Ok(false);
    }
    if connection.extension_information(shm::X11_EXTENSION_NAME)?.is_none() {
        return Ok(false);
    }
    let version = connection.shm_query_version()?.reply()?;
    Ok((version.major_version, version.minor_version) >= (1, 2))
}
