//! The pointer on the plane that graphics cards have for it, above everything else that the screen shows.
//!
//! # Model
//!
//! The plane shows a small picture at any place of the screen. A pointer that only moves costs no drawing and no copying there.
//! The picture is what would otherwise be drawn into the frame, made by the same code ([`PointerPicture`]); it
//! is no client's, and what is below it (labels and the stripe above all) is covered by it exactly as in a frame, where the
//! pointer is topmost, too. Screenshots and captures are drawn for themselves and have the pointer by their own rules.
//!
//! Virtual cards hand the picture to whoever shows the machine's screen, who draws it where the user's pointer is. Those have to
//! be told which of its pixels is the tip (`HOTSPOT_X`, `HOTSPOT_Y`), and the kernel shows their planes only to programs that know it.
//!
//! # Invariants
//!
//! * A picture that is on the screen, or on its way there, is not written: there are two, which take turns when it changes.
//! * A pointer that does not fit on the plane is in the frame, and then the plane is off.

use smithay::backend::allocator::Fourcc;
use smithay::backend::drm::{DrmDevice, DrmDeviceFd, DrmSurface, PlaneClaim, PlaneState};
use smithay::reexports::drm::control::{Device as _, plane};
use smithay::reexports::drm::{ClientCapability, Device as _};
use smithay::utils::{Physical, Point, Rectangle, Size, Transform};

use super::dumb::ScanOut;
use crate::backend::BackendError;
use crate::backend::pointer::PointerPicture;
use crate::shell::outputs::OutputId;
use crate::state::Comp;

/// Tells the kernel that this program understands the planes that virtual cards have for pointers, so that it shows them. To be
/// done before the card's planes are listed for the first time.
pub(super) fn understand(card: &DrmDeviceFd) {
    // The second is refused without the first; kernels before 6.6 know no second one, and hide nothing.
    for capability in [ClientCapability::Atomic, ClientCapability::CursorPlaneHotspot] {
        if let Err(error) = card.set_client_capability(capability, true) {
            tracing::debug!(?capability, "the kernel does not know this: {error}");
            return;
        }
    }
}

/// What is on the plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Placed {
    /// Where the corner of the picture is on the screen.
    corner: Point<i32, Physical>,
    /// Which of the two pictures it is.
    picture: usize,
}

/// The plane.
#[derive(Debug)]
pub(super) struct Cursor {
    plane: plane::Handle,
    // Nobody else uses the plane while this lives.
    _claim: PlaneClaim,
    size: Size<i32, Physical>,
    /// The picture as it is drawn.
    drawn: PointerPicture,
    pictures: [ScanOut; 2],
    /// The picture that was written last.
    front: usize,
    /// Which of its pixels the tip is, once the graphics card was told.
    tip: Option<Point<i32, Physical>>,
    /// The pointer is in the picture for now, for a reason that was logged.
    left: bool,
    /// What the next frame is to have; `None` for no pointer.
    wanted: Option<Placed>,
    /// What the last frame had; `None` if that is not known.
    shown: Option<Option<Placed>>,
}

impl Cursor {
    /// The plane of a screen, if there is one that can be used.
    pub(super) fn find(device: &DrmDevice, surface: &DrmSurface) -> Option<Self> {
        match Self::take(device, surface) {
            Ok(cursor) => {
                tracing::debug!("the pointer is shown by a plane of the graphics card");
                Some(cursor)
            }
            Err(reason) => {
                tracing::debug!("the pointer is drawn by the processor: {reason}");
                None
            }
        }
    }

    fn take(device: &DrmDevice, surface: &DrmSurface) -> Result<Self, Unusable> {
        if surface.is_legacy() {
            return Err(Unusable::Legacy);
        }
        let planes = &surface.planes().cursor;
        let fits = |plane: &&smithay::backend::drm::PlaneInfo| {
            plane.formats.iter().any(|format| format.code == Fourcc::Argb8888)
        };
        let plane = planes.iter().find(fits).ok_or(Unusable::NoPlane)?.handle;
        let claim = surface.claim_plane(plane).ok_or(Unusable::Taken)?;
        let side = |pixels: u32| i32::try_from(pixels).unwrap_or(0);
        let size = device.cursor_size();
        let size = Size::from((side(size.w), side(size.h)));
        let drawn = PointerPicture::new(size).map_err(Unusable::Memory)?;
        let new = || ScanOut::new(device, size, Fourcc::Argb8888).map_err(Unusable::Buffer);
        let pictures = [new()?, new()?];
        Ok(Self {
            plane,
            _claim: claim,
            size,
            drawn,
            pictures,
            front: 0,
            tip: None,
            left: false,
            wanted: None,
            shown: None,
        })
    }

    /// Draws the pointer's picture, as far as it has changed, and notes where it is to be in the next frame of the output. False
    /// if it cannot be on the plane.
    pub(super) fn place(&mut self, comp: &mut Comp, surface: &DrmSurface, output: OutputId) -> bool {
        let Some(pointer) = comp.drawn_pointer().filter(|at| OutputId::at(*at) == output) else {
            self.wanted = None;
            return true;
        };
        match self.draw(comp, surface, pointer - output.origin()) {
            Ok(Some(placed)) => {
                self.wanted = Some(placed);
                self.left = false;
                true
            }
            Ok(None) => self.leave("it is too large for its plane"),
            Err(error) => self.leave(&format!("its plane's picture cannot be drawn: {error}")),
        }
    }

    /// The pointer is in the picture from the next frame on. Returns false.
    pub(super) fn leave(&mut self, reason: &str) -> bool {
        if !std::mem::replace(&mut self.left, true) {
            tracing::debug!("the pointer is drawn by the processor: {reason}");
        }
        self.wanted = None;
        false
    }

    /// `None` if the picture is too large.
    fn draw(
        &mut self,
        comp: &mut Comp,
        surface: &DrmSurface,
        pointer: Point<i32, Physical>,
    ) -> Result<Option<Placed>, BackendError> {
        let Some(drawn) = self.drawn.draw(comp)? else { return Ok(None) };
        for picture in &mut self.pictures {
            picture.note(&drawn.damage);
        }
        if !drawn.damage.is_empty() {
            self.front = 1 - self.front;
            if let Some(picture) = self.pictures.get_mut(self.front) {
                picture.write(self.drawn.pixels(), Transform::Normal, self.size);
            }
        }
        if self.tip != Some(drawn.tip) {
            self.tell_tip(surface, drawn.tip);
            self.tip = Some(drawn.tip);
        }
        Ok(Some(Placed { corner: pointer - drawn.tip, picture: self.front }))
    }

    /// Tells a virtual card which pixel is the tip; others have no such properties.
    fn tell_tip(&self, surface: &DrmSurface, tip: Point<i32, Physical>) {
        let Ok(properties) = surface.get_properties(self.plane) else { return };
        for (id, _) in properties {
            let Ok(info) = surface.get_property(id) else { continue };
            let value = match info.name().to_bytes() {
                b"HOTSPOT_X" => tip.x,
                b"HOTSPOT_Y" => tip.y,
                _ => continue,
            };
            let value = u64::try_from(value).unwrap_or(0);
            if let Err(error) = surface.set_property(self.plane, id, value) {
                tracing::debug!("error telling the graphics card where the pointer's tip is: {error}");
            }
        }
    }

    /// The plane in the next frame.
    pub(super) fn state(&self) -> PlaneState<'static> {
        let placed = self.wanted.and_then(|placed| Some((placed, self.pictures.get(placed.picture)?)));
        match placed {
            Some((placed, picture)) => picture.plane(self.plane, Rectangle::new(placed.corner, self.size)),
            None => PlaneState { handle: self.plane, config: None },
        }
    }

    /// The frame was sent.
    pub(super) fn sent(&mut self) {
        self.shown = Some(self.wanted);
    }

    /// Whether the last frame had what the next one is to have.
    pub(super) fn is_current(&self) -> bool {
        self.shown == Some(self.wanted)
    }

    /// Somebody else has used the screen.
    pub(super) fn forget(&mut self) {
        self.shown = None;
        // They may have told the graphics card of another tip.
        self.tip = None;
    }
}

/// Why there is no plane for the pointer.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("the graphics card's driver has no atomic mode setting")]
    Legacy,
    #[error("the graphics card has no plane for it")]
    NoPlane,
    #[error("its plane is used for another screen")]
    Taken,
    #[error("there is no memory to draw it in: {0}")]
    Memory(#[source] BackendError),
    #[error("there is no buffer for its plane: {0}")]
    Buffer(#[source] super::DrmError),
}
