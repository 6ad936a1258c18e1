//! `zwp_linux_dmabuf_v1`, offered by this program itself: a dma-buf never leaves the VM.
//!
//! Neither the gate nor the compositor learns of the interface, of a dma-buf or of a graphics driver. A buffer that an
//! application makes of one is upstream an ordinary buffer of `wl_shm` in a slot of the store, and what the application
//! damages is copied there when it commits, exactly as from a pool ([`super::shm`], [`super::surface`]).
//!
//! Only layouts that are one plane of rows (`DRM_FORMAT_MOD_LINEAR`) in a format that the compositor has for shared memory
//! can be copied so, and nothing else is offered. In particular there is no `DRM_FORMAT_MOD_INVALID`, by which a driver
//! lays out a buffer as it likes; applications that know neither modifiers nor feedback (before version 3) are told of
//! no format.
//!
//! Which formats the compositor has, a `wl_shm` of this program's own tells, which is bound when the application binds the
//! first `zwp_linux_dmabuf_v1`: an application that draws with a graphics device need not have any. Until it has
//! answered, those that want to be told of formats *wait*; the answer is there before that to any `wl_display.sync` of the
//! application.

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::rc::Rc;

use rustix::fs::{MemfdFlags, SealFlags};
use wl_proxy::object::ObjectCoreApi as _;
use wl_proxy::protocols::linux_dmabuf_v1::zwp_linux_buffer_params_v1::{
    ZwpLinuxBufferParamsV1, ZwpLinuxBufferParamsV1Error as ParamsError, ZwpLinuxBufferParamsV1Flags,
    ZwpLinuxBufferParamsV1Handler,
};
use wl_proxy::protocols::linux_dmabuf_v1::zwp_linux_dmabuf_feedback_v1::{
    ZwpLinuxDmabufFeedbackV1, ZwpLinuxDmabufFeedbackV1Handler, ZwpLinuxDmabufFeedbackV1TrancheFlags,
};
use wl_proxy::protocols::linux_dmabuf_v1::zwp_linux_dmabuf_v1::{ZwpLinuxDmabufV1, ZwpLinuxDmabufV1Handler};
use wl_proxy::protocols::wayland::wl_buffer::WlBuffer;
use wl_proxy::protocols::wayland::wl_callback::{WlCallback, WlCallbackHandler};
use wl_proxy::protocols::wayland::wl_display::WlDisplayError;
use wl_proxy::protocols::wayland::wl_registry::WlRegistry;
use wl_proxy::protocols::wayland::wl_shm::{WlShm, WlShmFormat, WlShmHandler};
use wl_proxy::protocols::wayland::wl_surface::WlSurface;

use super::formats::{Layout, fourcc, from_fourcc, layout};
use super::graphics::{self, GraphicsDevice, GraphicsMemory};
use super::memory::{ClientMemory, MemoryError};
use super::session::Session;
use super::shm::{Buffer, Shape};

/// The version that is offered: the last one in which a format that was not announced is an error.
pub const VERSION: u32 = 5;

/// The first version in which formats are announced with their modifiers, and the first in which by feedback instead.
const MODIFIERS_SINCE: u32 = 3;
const FEEDBACK_SINCE: u32 = 4;

/// `DRM_FORMAT_MOD_LINEAR` (drm_fourcc.h).
const LINEAR: u64 = 0;

/// Planes that a buffer of any format can have.
const MAX_PLANES: u32 = 4;

/// What is known of the compositor's formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Nothing,
    Asked,
    Everything,
}

/// Who wants to be told of formats.
enum Waiting {
    Modifiers(Rc<ZwpLinuxDmabufV1>),
    Feedback(Rc<ZwpLinuxDmabufFeedbackV1>),
}

/// The formats as feedback names them.
struct FormatTable {
    file: Rc<OwnedFd>,
    /// Bytes.
    len: u32,
    /// The places of all formats in the table, as they are sent.
    indices: Vec<u8>,
}

/// What the objects of one application share.
pub struct Dmabuf {
    device: GraphicsDevice,
    /// Through which the upstream pool is made, if the application has made none.
    shm: RefCell<Option<Rc<WlShm>>>,
    known: Cell<Known>,
    waiting: RefCell<Vec<Waiting>>,
    table: OnceCell<FormatTable>,
}

impl fmt::Debug for Dmabuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dmabuf").field("device", &self.device).finish_non_exhaustive()
    }
}

impl Dmabuf {
    /// For buffers of this device.
    #[must_use]
    pub fn new(device: GraphicsDevice) -> Self {
        Self {
            device,
            shm: RefCell::default(),
            known: Cell::new(Known::Nothing),
            waiting: RefCell::default(),
            table: OnceCell::new(),
        }
    }

    /// Lets go of objects that refer to the session.
    pub fn clear(&self) {
        self.shm.borrow_mut().take();
        self.waiting.borrow_mut().clear();
    }

    /// The application has bound the global. `shm_name` is that of the compositor's `wl_shm`.
    pub(super) fn bind(
        session: &Rc<Session>,
        registry: &Rc<WlRegistry>,
        shm_name: Option<u32>,
        object: &Rc<ZwpLinuxDmabufV1>,
    ) {
        let Some(dmabuf) = &session.dmabuf else { return };
        object.set_handler(DmabufHandler { session: session.clone() });
        if dmabuf.known.get() == Known::Nothing {
            dmabuf.ask(session, registry, shm_name);
        }
        if (MODIFIERS_SINCE..FEEDBACK_SINCE).contains(&object.version()) {
            dmabuf.tell(session, Waiting::Modifiers(object.clone()));
        }
    }

    /// Asks the compositor for its formats.
    fn ask(&self, session: &Rc<Session>, registry: &Rc<WlRegistry>, shm_name: Option<u32>) {
        self.known.set(Known::Asked);
        let state = registry.state();
        let asked = shm_name.and_then(|name| {
            let shm = state.create_object::<WlShm>(1);
            shm.set_handler(OwnShmHandler { session: session.clone() });
            registry.try_send_bind(name, shm.clone()).ok()?;
            *self.shm.borrow_mut() = Some(shm);
            let callback = state.display().new_try_send_sync().ok()?;
            callback.set_handler(AnswerHandler { session: session.clone() });
            Some(())
        });
        if asked.is_none() {
            self.known.set(Known::Everything);
        }
    }

    /// Tells of the formats, now or when they are known.
    fn tell(&self, session: &Session, who: Waiting) {
        if self.known.get() != Known::Everything {
            self.waiting.borrow_mut().push(who);
            return;
        }
        // What the application has destroyed meanwhile cannot be told anything.
        let _ = match who {
            Waiting::Modifiers(object) => formats(session)
                .try_for_each(|format| object.try_send_modifier(fourcc(format), 0, 0).map_err(drop)),
            Waiting::Feedback(object) => self.feed_back(session, &object).ok_or(()),
        };
    }

    fn feed_back(&self, session: &Session, object: &Rc<ZwpLinuxDmabufFeedbackV1>) -> Option<()> {
        let table = match self.table.get() {
            Some(table) => table,
            None => {
                let table = format_table(session)
                    .inspect_err(|error| tracing::warn!("cannot make a table of formats: {error}"))
                    .ok()?;
                self.table.get_or_init(|| table)
            }
        };
        let device = self.device.dev_t();
        object.try_send_format_table(&table.file, table.len).ok()?;
        object.try_send_main_device(&device).ok()?;
        object.try_send_tranche_target_device(&device).ok()?;
        object.try_send_tranche_flags(ZwpLinuxDmabufFeedbackV1TrancheFlags::empty()).ok()?;
        object.try_send_tranche_formats(&table.indices).ok()?;
        object.try_send_tranche_done().ok()?;
        object.try_send_done().ok()
    }
}

/// The formats that are offered, in the order of their numbers.
fn formats(session: &Session) -> impl Iterator<Item = WlShmFormat> {
    let mut formats = session.formats.borrow().clone();
    formats.extend([WlShmFormat::ARGB8888.0, WlShmFormat::XRGB8888.0]);
    let mut formats: Vec<_> = formats.into_iter().map(WlShmFormat).collect();
    formats.retain(|format| matches!(layout(*format), Layout::Packed(_)));
    formats.sort_unstable_by_key(|format| fourcc(*format));
    formats.into_iter()
}

fn format_table(session: &Session) -> std::io::Result<FormatTable> {
    let (mut entries, mut indices) = (Vec::new(), Vec::new());
    // An index has 16 bits; there are about a hundred formats.
    for (index, format) in (0..=u16::MAX).zip(formats(session)) {
        entries.extend_from_slice(&fourcc(format).to_ne_bytes());
        entries.extend_from_slice(&[0; 4]);
        entries.extend_from_slice(&LINEAR.to_ne_bytes());
        indices.extend_from_slice(&index.to_ne_bytes());
    }
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file: File = rustix::fs::memfd_create(c"formats", flags)?.into();
    file.write_all(&entries)?;
    // All applications may be told with the same file.
    let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&file, seals)?;
    let len = u32::try_from(entries.len()).unwrap_or(0);
    Ok(FormatTable { file: Rc::new(file.into()), len, indices })
}

/// Takes the formats that the `wl_shm` of this program's own tells of.
struct OwnShmHandler {
    session: Rc<Session>,
}

impl WlShmHandler for OwnShmHandler {
    fn handle_format(&mut self, _: &Rc<WlShm>, format: WlShmFormat) {
        self.session.formats.borrow_mut().insert(format.0);
    }
}

/// Takes the answer behind the last format.
struct AnswerHandler {
    session: Rc<Session>,
}

impl WlCallbackHandler for AnswerHandler {
    fn handle_done(&mut self, _: &Rc<WlCallback>, _: u32) {
        let Some(dmabuf) = &self.session.dmabuf else { return };
        dmabuf.known.set(Known::Everything);
        for who in dmabuf.waiting.take() {
            dmabuf.tell(&self.session, who);
        }
    }
}

/// Answers one `zwp_linux_dmabuf_v1` of the application.
struct DmabufHandler {
    session: Rc<Session>,
}

impl DmabufHandler {
    fn feedback(&self, id: &Rc<ZwpLinuxDmabufFeedbackV1>) {
        id.set_handler(FeedbackHandler);
        if let Some(dmabuf) = &self.session.dmabuf {
            dmabuf.tell(&self.session, Waiting::Feedback(id.clone()));
        }
    }
}

impl ZwpLinuxDmabufV1Handler for DmabufHandler {
    fn handle_destroy(&mut self, slf: &Rc<ZwpLinuxDmabufV1>) {
        slf.delete_id();
    }

    fn handle_create_params(&mut self, _: &Rc<ZwpLinuxDmabufV1>, params_id: &Rc<ZwpLinuxBufferParamsV1>) {
        params_id.set_handler(ParamsHandler {
            session: self.session.clone(),
            planes: 0,
            plane: None,
            is_used: false,
        });
    }

    fn handle_get_default_feedback(&mut self, _: &Rc<ZwpLinuxDmabufV1>, id: &Rc<ZwpLinuxDmabufFeedbackV1>) {
        self.feedback(id);
    }

    /// The same for every surface: where a surface is shown makes no difference to a copy.
    fn handle_get_surface_feedback(
        &mut self,
        _: &Rc<ZwpLinuxDmabufV1>,
        id: &Rc<ZwpLinuxDmabufFeedbackV1>,
        _: &Rc<WlSurface>,
    ) {
        self.feedback(id);
    }
}

/// Answers one `zwp_linux_dmabuf_feedback_v1`, which takes nothing but its end.
struct FeedbackHandler;

impl ZwpLinuxDmabufFeedbackV1Handler for FeedbackHandler {
    fn handle_destroy(&mut self, slf: &Rc<ZwpLinuxDmabufFeedbackV1>) {
        slf.delete_id();
    }
}

/// The plane of a buffer.
struct Plane {
    fd: Rc<OwnedFd>,
    /// Bytes.
    offset: u32,
    /// Bytes.
    stride: u32,
    modifier: u64,
}

/// Why there is no buffer.
#[derive(Debug)]
enum Refusal {
    /// The application has made a mistake that ends its connection.
    Error(ParamsError, String),
    /// What it asks for cannot be done, which it could not know.
    Failed(String),
}

impl Refusal {
    fn error(code: ParamsError, message: impl Into<String>) -> Self {
        Self::Error(code, message.into())
    }
}

/// Answers one `zwp_linux_buffer_params_v1`.
struct ParamsHandler {
    session: Rc<Session>,
    /// A bit for each plane that was added.
    planes: u32,
    /// The first one. The others are not kept: no format that is offered has any.
    plane: Option<Plane>,
    is_used: bool,
}

/// What is to become a buffer.
struct Import {
    memory: Rc<ClientMemory>,
    shape: Shape,
    format: WlShmFormat,
}

impl ParamsHandler {
    /// Takes everything that was added, and checks it.
    fn import(
        &mut self,
        version: u32,
        size: (i32, i32),
        number: u32,
        flags: ZwpLinuxBufferParamsV1Flags,
    ) -> Result<Import, Refusal> {
        if std::mem::replace(&mut self.is_used, true) {
            return Err(Refusal::error(ParamsError::ALREADY_USED, "a buffer was made of this already"));
        }
        let Some(plane) = self.plane.take().filter(|_| self.planes == 1) else {
            let message = "every format that is offered has exactly one plane, with the number 0";
            return Err(Refusal::error(ParamsError::INCOMPLETE, message));
        };
        let offered = |format: &WlShmFormat| formats(&self.session).any(|known| known == *format);
        let Some(format) = from_fourcc(number).filter(offered) else {
            return Err(Refusal::error(ParamsError::INVALID_FORMAT, format!("invalid format 0x{number:x}")));
        };
        if plane.modifier != LINEAR {
            let message = format!("invalid modifier 0x{:x}", plane.modifier);
            // Before, it was not said what follows for a modifier that was not announced.
            return Err(if version < FEEDBACK_SINCE {
                Refusal::Failed(message)
            } else {
                Refusal::error(ParamsError::INVALID_FORMAT, message)
            });
        }
        let (width, height) = size;
        if width <= 0 || height <= 0 {
            let message = format!("invalid width or height ({width}x{height})");
            return Err(Refusal::error(ParamsError::INVALID_DIMENSIONS, message));
        }
        let Plane { offset, stride, .. } = plane;
        if GraphicsMemory::of(plane.fd.as_fd()).is_none() {
            return Err(Refusal::Failed(MemoryError::NotGraphics.to_string()));
        }
        let len = graphics::len(plane.fd.as_fd())
            .map_err(|error| Refusal::Failed(format!("the dma-buf has no length: {error}")))?;
        let shape = Shape::of_plane([offset, stride], size, format, len).ok_or_else(|| {
            let message = format!("{width}x{height} with stride {stride} at {offset} do not fit {len} bytes");
            Refusal::error(ParamsError::OUT_OF_BOUNDS, message)
        })?;
        if !flags.is_empty() {
            return Err(Refusal::Failed("rows are taken in their order only".to_owned()));
        }
        let end = u32::try_from(shape.end()).unwrap_or(u32::MAX);
        let fence = self.session.dmabuf.as_ref().and_then(|dmabuf| dmabuf.device.fence(plane.fd.as_fd()));
        let memory = ClientMemory::graphics(&plane.fd, end, fence)
            .map_err(|error| Refusal::Failed(error.to_string()))?;
        Ok(Import { memory: Rc::new(memory), shape, format })
    }

    /// Makes the buffer upstream. False: the connection has ended.
    fn make(&self, buffer: &Rc<WlBuffer>, import: &Import) -> bool {
        let shm = self.session.dmabuf.as_ref().and_then(|dmabuf| dmabuf.shm.borrow().clone());
        let Some(shm) = shm else {
            self.session.control.no_memory("the compositor has no shared memory");
            return false;
        };
        Buffer::make(&self.session, &shm, buffer, &import.memory, import.shape, import.format)
    }
}

impl ZwpLinuxBufferParamsV1Handler for ParamsHandler {
    fn handle_destroy(&mut self, slf: &Rc<ZwpLinuxBufferParamsV1>) {
        slf.delete_id();
    }

    fn handle_add(
        &mut self,
        slf: &Rc<ZwpLinuxBufferParamsV1>,
        fd: &Rc<OwnedFd>,
        plane_idx: u32,
        offset: u32,
        stride: u32,
        modifier_hi: u32,
        modifier_lo: u32,
    ) {
        let control = &self.session.control;
        if self.is_used {
            control.refuse(slf, ParamsError::ALREADY_USED.0, "a buffer was made of this already");
            return;
        }
        if plane_idx >= MAX_PLANES {
            control.refuse(slf, ParamsError::PLANE_IDX.0, &format!("plane index {plane_idx} is too high"));
            return;
        }
        let bit = 1 << plane_idx;
        if self.planes & bit != 0 {
            control.refuse(slf, ParamsError::PLANE_SET.0, &format!("plane {plane_idx} was added already"));
            return;
        }
        self.planes |= bit;
        if plane_idx == 0 {
            let modifier = u64::from(modifier_hi) << 32 | u64::from(modifier_lo);
            self.plane = Some(Plane { fd: fd.clone(), offset, stride, modifier });
        }
    }

    /// A request of version 6, which nobody has bound.
    fn handle_set_sampling_device(&mut self, _: &Rc<ZwpLinuxBufferParamsV1>, _: &[u8]) {
        let message = "zwp_linux_buffer_params_v1.set_sampling_device is not offered";
        self.session.control.refuse_display(WlDisplayError::INVALID_METHOD, message);
    }

    fn handle_create(
        &mut self,
        slf: &Rc<ZwpLinuxBufferParamsV1>,
        width: i32,
        height: i32,
        format: u32,
        flags: ZwpLinuxBufferParamsV1Flags,
    ) {
        match self.import(slf.version(), (width, height), format, flags) {
            Ok(import) => {
                let buffer = slf.create_child::<WlBuffer>();
                if self.make(&buffer, &import) {
                    slf.send_created(&buffer);
                }
            }
            Err(Refusal::Error(code, message)) => self.session.control.refuse(slf, code.0, &message),
            Err(Refusal::Failed(message)) => {
                tracing::debug!("an application's dma-buf is no buffer: {message}");
                slf.send_failed();
            }
        }
    }

    fn handle_create_immed(
        &mut self,
        slf: &Rc<ZwpLinuxBufferParamsV1>,
        buffer_id: &Rc<WlBuffer>,
        width: i32,
        height: i32,
        format: u32,
        flags: ZwpLinuxBufferParamsV1Flags,
    ) {
        match self.import(slf.version(), (width, height), format, flags) {
            Ok(import) => {
                self.make(buffer_id, &import);
            }
            Err(Refusal::Error(code, message)) => self.session.control.refuse(slf, code.0, &message),
            Err(Refusal::Failed(message)) => {
                self.session.control.refuse(slf, ParamsError::INVALID_WL_BUFFER.0, &message);
            }
        }
    }
}
