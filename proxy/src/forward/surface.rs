//! Copies what an application commits.
//!
//! A surface collects the damage of the coming commit and keeps the damage of the last ones. At a commit the
//! buffer that becomes current is brought up to date: it is copied whole if it was never copied for this
//! surface, and otherwise in the rectangles that were damaged since it was. The copy is made before the
//! commit is forwarded, also where the surface is a synchronised subsurface: the application may not write to
//! the buffer from that moment on either.
//!
//! Where a graphics device is still drawing in the buffer, the commit is *held* until it has finished, and everything that
//! the application sends behind it waits too; what the compositor sends to the application does not.

use std::cell::RefCell;
use std::os::fd::BorrowedFd;
use std::rc::{Rc, Weak};

use wl_proxy::fixed::Fixed;
use wl_proxy::object::ObjectUtils as _;
use wl_proxy::protocols::viewporter::wp_viewport::{WpViewport, WpViewportHandler};
use wl_proxy::protocols::viewporter::wp_viewporter::{WpViewporter, WpViewporterHandler};
use wl_proxy::protocols::wayland::wl_buffer::WlBuffer;
use wl_proxy::protocols::wayland::wl_compositor::{WlCompositor, WlCompositorHandler};
use wl_proxy::protocols::wayland::wl_display::WlDisplayError;
use wl_proxy::protocols::wayland::wl_output::WlOutputTransform;
use wl_proxy::protocols::wayland::wl_surface::{WlSurface, WlSurfaceHandler};
use wl_proxy::protocols::xdg_toplevel_icon_v1::xdg_toplevel_icon_manager_v1::{
    XdgToplevelIconManagerV1, XdgToplevelIconManagerV1Handler,
};
use wl_proxy::protocols::xdg_toplevel_icon_v1::xdg_toplevel_icon_v1::{
    XdgToplevelIconV1, XdgToplevelIconV1Error, XdgToplevelIconV1Handler,
};

use super::damage::{DamageSet, History, Mapping, Rect, Transform};
use super::session::Session;
use super::shm::{Buffer, Copied};

/// Answers `wl_compositor`: gives every surface its handler.
#[derive(Debug)]
pub struct CompositorHandler {
    session: Rc<Session>,
}

impl CompositorHandler {
    /// For a `wl_compositor` that the application has bound.
    #[must_use]
    pub fn new(session: &Rc<Session>) -> Self {
        Self { session: session.clone() }
    }
}

impl WlCompositorHandler for CompositorHandler {
    fn handle_create_surface(&mut self, slf: &Rc<WlCompositor>, id: &Rc<WlSurface>) {
        let surface = Rc::new(RefCell::new(Surface::new(self.session.next_surface())));
        id.set_handler(SurfaceHandler { session: self.session.clone(), surface });
        slf.send_create_surface(id);
    }
}

/// A buffer that is, or will be, a surface's content.
#[derive(Debug, Default)]
enum Content {
    /// None, or a buffer that is not backed by a slot.
    #[default]
    Other,
    Ours(Weak<Buffer>),
}

impl Content {
    /// The buffer, if it is one of ours that still exists.
    fn buffer(&self) -> Option<Rc<Buffer>> {
        match self {
            Self::Ours(buffer) => buffer.upgrade().filter(|buffer| !buffer.destroyed.get()),
            Self::Other => None,
        }
    }
}

/// What a surface shows and what has changed. See the module.
#[derive(Debug)]
struct Surface {
    /// Unique in the session.
    id: u64,
    current: Content,
    /// Set by an attach since the last commit.
    attached: Option<Content>,
    /// The pending attach also moves the surface.
    moved: bool,
    /// Damage since the last commit in surface coordinates, of `wl_surface.damage`.
    damage: DamageSet,
    /// The same in pixels of the buffer, of `wl_surface.damage_buffer`.
    buffer_damage: DamageSet,
    /// Takes effect at the next commit, which is the only time that it is looked at.
    mapping: Mapping,
    /// Mapping and size of the buffer at the last commit with content: the coordinates of the history.
    shown: Option<(Mapping, (i32, i32))>,
    history: History,
}

/// A commit that waits for a graphics device to finish the buffer.
#[derive(Debug)]
pub struct HeldCommit {
    surface: Rc<WlSurface>,
    update: Update,
}

impl HeldCommit {
    /// What has to be readable before the commit can go on. None: nothing.
    #[must_use]
    pub fn awaited(&self) -> Option<BorrowedFd<'_>> {
        self.update.buffer.memory().awaited()
    }

    /// Copies and forwards it. False: the connection has ended.
    pub fn finish(self, session: &Session) -> bool {
        let done = self.update.apply(session);
        if done {
            self.surface.send_commit();
        }
        done
    }

    /// Ends the connection, because the device does not come to an end.
    pub fn give_up(self, session: &Session) {
        let message = "the graphics device does not finish drawing in the buffer";
        session.control.refuse_display(WlDisplayError::IMPLEMENTATION, message);
    }
}

/// What has to be copied for a commit.
#[derive(Debug)]
struct Update {
    buffer: Rc<Buffer>,
    rects: Vec<Rect>,
    copied: Copied,
    /// The buffer was attached for this commit.
    attached: bool,
}

impl Update {
    /// Brings the slot up to date. False: that failed, and the connection has ended.
    fn apply(&self, session: &Session) -> bool {
        if let Err(error) = self.buffer.copy(&self.rects, session) {
            self.buffer.refuse(session, &error);
            return false;
        }
        self.buffer.copied.set(Some(self.copied));
        if self.attached {
            self.buffer.busy.set(true);
        }
        true
    }
}

impl Surface {
    fn new(id: u64) -> Self {
        Self {
            id,
            current: Content::Other,
            attached: None,
            moved: false,
            damage: DamageSet::default(),
            buffer_damage: DamageSet::default(),
            mapping: Mapping::default(),
            shown: None,
            history: History::default(),
        }
    }

    /// Takes the pending state as a commit does, and says what to copy for it.
    fn commit(&mut self) -> Option<Update> {
        let damage = std::mem::take(&mut self.damage);
        let mut buffer_damage = std::mem::take(&mut self.buffer_damage);
        let moved = std::mem::take(&mut self.moved);
        let attached = self.attached.take().map(|content| self.current = content).is_some();
        if !attached && damage.is_empty() && buffer_damage.is_empty() {
            return None;
        }
        let Some(buffer) = self.current.buffer() else {
            self.shown = None;
            self.history.push_unknown();
            return None;
        };
        for rect in damage.rects() {
            buffer_damage.add_all(&self.mapping.to_buffer(*rect, buffer.size()));
        }
        // Copies that were made while the pixels lay elsewhere, or before the surface was moved against its
        // content, are not compared with later ones.
        let shown = Some((self.mapping, buffer.size()));
        let commit = if self.shown == shown && !moved {
            self.history.push(buffer_damage)
        } else {
            self.history.push_unknown()
        };
        self.shown = shown;
        let stale = buffer
            .copied
            .get()
            .filter(|copied| copied.surface == self.id)
            .and_then(|copied| self.history.since(copied.commit));
        let rects = match stale {
            Some(stale) => stale.rects().to_vec(),
            None => vec![Rect::whole(buffer.size())],
        };
        Some(Update { buffer, rects, copied: Copied { surface: self.id, commit }, attached })
    }
}

/// Answers one `wl_surface`.
struct SurfaceHandler {
    session: Rc<Session>,
    surface: Rc<RefCell<Surface>>,
}

impl WlSurfaceHandler for SurfaceHandler {
    fn handle_attach(&mut self, slf: &Rc<WlSurface>, buffer: Option<&Rc<WlBuffer>>, x: i32, y: i32) {
        let content = match buffer.and_then(Buffer::of) {
            Some(buffer) => Content::Ours(Rc::downgrade(&buffer)),
            None => Content::Other,
        };
        let mut surface = self.surface.borrow_mut();
        surface.attached = Some(content);
        surface.moved |= (x, y) != (0, 0);
        slf.send_attach(buffer, x, y);
    }

    fn handle_damage(&mut self, slf: &Rc<WlSurface>, x: i32, y: i32, width: i32, height: i32) {
        self.surface.borrow_mut().damage.add(Rect::from_size(x, y, width, height));
        slf.send_damage(x, y, width, height);
    }

    fn handle_damage_buffer(&mut self, slf: &Rc<WlSurface>, x: i32, y: i32, width: i32, height: i32) {
        self.surface.borrow_mut().buffer_damage.add(Rect::from_size(x, y, width, height));
        slf.send_damage_buffer(x, y, width, height);
    }

    fn handle_set_buffer_transform(&mut self, slf: &Rc<WlSurface>, transform: WlOutputTransform) {
        if let Some(transform) = Transform::from_wire(transform.0) {
            self.surface.borrow_mut().mapping.transform = transform;
        }
        slf.send_set_buffer_transform(transform);
    }

    fn handle_set_buffer_scale(&mut self, slf: &Rc<WlSurface>, scale: i32) {
        self.surface.borrow_mut().mapping.scale = scale;
        slf.send_set_buffer_scale(scale);
    }

    fn handle_offset(&mut self, slf: &Rc<WlSurface>, x: i32, y: i32) {
        self.surface.borrow_mut().moved |= (x, y) != (0, 0);
        slf.send_offset(x, y);
    }

    fn handle_commit(&mut self, slf: &Rc<WlSurface>) {
        let update = self.surface.borrow_mut().commit();
        if let Some(update) = update {
            if update.buffer.memory().awaited().is_some() {
                self.session.hold(HeldCommit { surface: slf.clone(), update });
                return;
            }
            if !update.apply(&self.session) {
                return;
            }
        }
        slf.send_commit();
    }
}

/// Answers `wp_viewporter`: lets viewports change the mapping of their surfaces.
#[derive(Debug)]
pub struct ViewporterHandler;

impl WpViewporterHandler for ViewporterHandler {
    fn handle_get_viewport(&mut self, slf: &Rc<WpViewporter>, id: &Rc<WpViewport>, surface: &Rc<WlSurface>) {
        if let Ok(handler) = surface.try_get_handler_ref::<SurfaceHandler>() {
            id.set_handler(ViewportHandler { surface: Rc::downgrade(&handler.surface) });
        }
        slf.send_get_viewport(id, surface);
    }
}

/// Answers one `wp_viewport`.
struct ViewportHandler {
    surface: Weak<RefCell<Surface>>,
}

impl ViewportHandler {
    fn change(&self, change: impl FnOnce(&mut Mapping)) {
        if let Some(surface) = self.surface.upgrade() {
            change(&mut surface.borrow_mut().mapping);
        }
    }
}

impl WpViewportHandler for ViewportHandler {
    fn handle_destroy(&mut self, slf: &Rc<WpViewport>) {
        self.change(|mapping| (mapping.source, mapping.destination) = (None, None));
        slf.send_destroy();
    }

    fn handle_set_source(&mut self, slf: &Rc<WpViewport>, x: Fixed, y: Fixed, width: Fixed, height: Fixed) {
        let source = [x, y, width, height].map(Fixed::to_wire);
        let unset = [Fixed::from_i32_saturating(-1).to_wire(); 4];
        self.change(|mapping| mapping.source = (source != unset).then_some(source));
        slf.send_set_source(x, y, width, height);
    }

    fn handle_set_destination(&mut self, slf: &Rc<WpViewport>, width: i32, height: i32) {
        self.change(|mapping| {
            mapping.destination = ((width, height) != (-1, -1)).then_some((width, height));
        });
        slf.send_set_destination(width, height);
    }
}

/// Answers `xdg_toplevel_icon_manager_v1`, whose icons take buffers without a surface.
#[derive(Debug)]
pub struct IconManagerHandler {
    session: Rc<Session>,
}

impl IconManagerHandler {
    /// For a manager that the application has bound.
    #[must_use]
    pub fn new(session: &Rc<Session>) -> Self {
        Self { session: session.clone() }
    }
}

impl XdgToplevelIconManagerV1Handler for IconManagerHandler {
    fn handle_create_icon(&mut self, slf: &Rc<XdgToplevelIconManagerV1>, id: &Rc<XdgToplevelIconV1>) {
        id.set_handler(IconHandler { session: self.session.clone() });
        slf.send_create_icon(id);
    }
}

/// Answers one `xdg_toplevel_icon_v1`.
struct IconHandler {
    session: Rc<Session>,
}

impl XdgToplevelIconV1Handler for IconHandler {
    fn handle_add_buffer(&mut self, slf: &Rc<XdgToplevelIconV1>, buffer: &Rc<WlBuffer>, scale: i32) {
        if let Some(ours) = Buffer::of(buffer) {
            if ours.memory().is_graphics() {
                let message = "an icon needs a buffer of wl_shm";
                self.session.control.refuse(slf, XdgToplevelIconV1Error::INVALID_BUFFER.0, message);
                return;
            }
            if let Err(error) = ours.copy(&[Rect::whole(ours.size())], &self.session) {
                ours.refuse(&self.session, &error);
                return;
            }
        }
        slf.send_add_buffer(buffer, scale);
    }
}
