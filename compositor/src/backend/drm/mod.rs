//! A screen of this machine through DRM/KMS, its keyboards and pointers through libinput, and the seat that both belong to.
//!
//! # Model
//!
//! A seat daemon (seatd or logind, or seatd's code inside this process if it runs as root) opens the devices for this
//! unprivileged process, and takes them back when the user switches to another console: then the session is *paused*. While
//! it is paused nothing is drawn and no input comes; when it goes on, everything is drawn anew.
//!
//! Every screen that is plugged into the seat's main graphics card is an output, named by its connector. Which of them are used
//! and in which mode is said by [`crate::shell::outputs`]; this follows ([`Drm::follow`]). A screen that is switched off or dark is
//! given up, so that the card drives nothing.
//!
//! Frames are drawn by the card, by OpenGL ES ([`gbm`]), or else by the processor ([`Memory`]) and copied into dumb buffers
//! ([`dumb`]), turned if the screen is; which of the two is chosen at the start ([`draw`]). The pointer has
//! a plane of its own where the card has one for it ([`cursor`]). The card says when a frame is on a screen, and only then the next one of that screen is drawn: while nothing changes, nothing is sent and nothing wakes up.
//!
//! # Invariants
//!
//! * At most one frame is on its way to each screen.
//! * While the session is paused no device is touched.

mod connector;
mod cursor;
mod devices;
mod draw;
mod dumb;
mod edid;
mod gbm;
mod input;
mod screen;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use calloop::LoopHandle;
use smithay::backend::drm::{DrmDevice, DrmDeviceFd, DrmEvent, DrmEventMetadata, DrmEventTime};
use smithay::backend::libinput::{LibinputInputBackend, LibinputSessionInterface};
use smithay::backend::session::libseat::LibSeatSession;
use smithay::backend::session::{Event as SessionEvent, Session, libseat};
use smithay::backend::udev::{UdevBackend, UdevEvent, primary_gpu};
use smithay::input::keyboard::LedState;
use smithay::reexports::drm::Device as _;
use smithay::reexports::drm::DriverCapability;
use smithay::reexports::input::{Device, Libinput};
use smithay::reexports::rustix::fs::OFlags;
use smithay::utils::DeviceFd;

use super::gles::GlesError;
use super::held::Held;
use super::memory::Memory;
use super::{BackendError, Renderer};
use crate::handlers::gamma_control::GammaRamp;
use crate::render::schedule::Presented;
use crate::shell::outputs::Head;
use crate::state::State;
use connector::Plugged;
use gbm::Card;
use screen::Screen;

/// What went wrong with the seat or the graphics card.
#[derive(Debug, thiserror::Error)]
pub enum DrmError {
    /// There is no seat for this process.
    #[error(
        "Error taking the seat. A console session of logind, or seatd running and this user in its group, is needed"
    )]
    OpenSeat(#[source] libseat::Error),
    /// Another session is in front.
    #[error("The seat is in use: switch to this session's console, and end what else shows something there")]
    SeatInUse,
    /// The graphics cards could not be looked for.
    #[error("Error looking for graphics cards")]
    FindCard(#[source] io::Error),
    /// There is none.
    #[error("The seat {0} has no graphics card")]
    NoCard(String),
    /// The graphics card could not be opened.
    #[error("Error opening {}", path.display())]
    OpenCard {
        /// Its device node.
        path: PathBuf,
        /// What the seat daemon said.
        source: libseat::Error,
    },
    /// It is no graphics card that can show something, or another program uses it.
    #[error("Error taking over {}", path.display())]
    TakeCard {
        /// Its device node.
        path: PathBuf,
        /// What is wrong.
        source: smithay::backend::drm::DrmError,
    },
    /// It has no dumb buffers.
    #[error("{} cannot show what the processor has drawn", .0.display())]
    NoDumbBuffers(PathBuf),
    /// The input devices could not be taken.
    #[error("Error taking the input devices of the seat {0}")]
    OpenInput(String),
    /// The event loop refused a source.
    #[error("Error adding to the event loop")]
    Events(#[source] calloop::Error),
    /// The screens could not be listed.
    #[error("Error asking the graphics card for its screens")]
    ListScreens(#[source] io::Error),
    /// The screen could not be taken.
    #[error("Error taking a screen")]
    TakeScreen(#[source] smithay::backend::drm::DrmError),
    /// The screen refused a mode.
    #[error("Error changing the mode of the screen")]
    ChangeMode(#[source] smithay::backend::drm::DrmError),
    /// The card's OpenGL is wanted, and cannot be used.
    #[error(
        "OpenGL ES cannot be used here, and --renderer gles draws by nothing else; without that option the processor draws where OpenGL cannot"
    )]
    NoGles(#[source] GlesError),
    /// The card's OpenGL failed.
    #[error("Error drawing by the graphics card")]
    Gles(#[from] GlesError),
    /// What was drawn and the screen's buffers do not go together.
    #[error("The buffers of a screen are not of the kind that is drawn into")]
    OtherBuffers,
    /// A buffer could not be made.
    #[error("Error making a buffer of the graphics card")]
    Allocate(#[source] io::Error),
    /// A buffer cannot be shown.
    #[error("Error preparing a buffer for the screen")]
    Framebuffer(#[source] smithay::backend::drm::DrmError),
    /// A buffer could not be mapped.
    #[error("Error mapping a buffer of the graphics card")]
    Map(#[source] io::Error),
    /// The screen refused a frame.
    #[error("Error showing a frame")]
    Show(#[source] smithay::backend::drm::DrmError),
}

/// How the DRM/KMS backend is set up.
#[derive(Clone, Copy, Debug)]
pub struct DrmOptions {
    /// Physical pixels per logical pixel, where nothing is configured.
    pub scale: f64,
    /// Input is taken from the control socket, too.
    pub control_input: bool,
    /// The pointer may be shown by a plane of its own.
    pub cursor_plane: bool,
    /// What draws.
    pub renderer: Renderer,
}

/// The DRM/KMS backend.
#[derive(Debug)]
pub struct Drm {
    // Before the device, which restores what was on the screen before.
    screens: Vec<Screen>,
    /// What is plugged in.
    plugged: Vec<Plugged>,
    /// Physical pixels per logical pixel, where nothing is configured.
    scale: f64,
    /// `None` after the graphics card was unplugged.
    device: Option<DrmDevice>,
    session: LibSeatSession,
    libinput: Libinput,
    /// All devices.
    devices: Vec<Device>,
    keyboards: Vec<Device>,
    /// What is held down at the devices.
    held: Held,
    memory: Memory,
    /// What draws, if it is not the processor.
    card: Option<Card>,
    /// Nothing else may draw; and no screen was set up for it yet.
    insists: bool,
    /// Another console is in front.
    paused: bool,
    control_input: bool,
    /// The pointer may be shown by a plane of its own.
    cursor_plane: bool,
}

impl Drm {
    /// Takes the seat that this process is on: its main graphics card, the screens of that, and all input devices.
    ///
    /// # Errors
    ///
    /// [`DrmError`] if there is no seat or no graphics card, or [`BackendError::Renderer`] if there is no memory to draw in.
    pub fn open(events: &LoopHandle<'static, State>, options: DrmOptions) -> Result<Self, BackendError> {
        let DrmOptions { scale, control_input, cursor_plane, renderer } = options;
        let (mut session, notifier) = LibSeatSession::new().map_err(DrmError::OpenSeat)?;
        let seat = session.seat();
        if !session.is_active() {
            return Err(DrmError::SeatInUse.into());
        }
        let (device, card) = open_card(&mut session, &seat, events, options)?;
        insert(events, notifier, |event, (), state: &mut State| match event {
            SessionEvent::PauseSession => state.pause_session(),
            SessionEvent::ActivateSession => state.resume_session(),
        })?;
        let cards = UdevBackend::new(&seat).map_err(DrmError::FindCard)?;
        insert(events, cards, |event, (), state: &mut State| match event {
            UdevEvent::Changed { device_id } => state.screens_changed(device_id),
            UdevEvent::Removed { device_id } => state.card_removed(device_id),
            // Only the card that was there at the start is used.
            UdevEvent::Added { .. } => {}
        })?;
        let mut libinput =
            Libinput::new_with_udev::<LibinputSessionInterface<LibSeatSession>>(session.clone().into());
        libinput.udev_assign_seat(&seat).map_err(|()| DrmError::OpenInput(seat.clone()))?;
        insert(events, LibinputInputBackend::new(libinput.clone()), |event, (), state: &mut State| {
            state.device_input(event);
        })?;
        let plugged = connector::plugged(&device, scale)?;
        if plugged.is_empty() {
            tracing::warn!("no screen is plugged in; the first one that is will be used");
        }
        Ok(Self {
            screens: Vec::new(),
            plugged,
            scale,
            device: Some(device),
            session,
            libinput,
            devices: Vec::new(),
            keyboards: Vec::new(),
            held: Held::default(),
            memory: Memory::new()?,
            card,
            insists: renderer == Renderer::Gles,
            paused: false,
            control_input,
            cursor_plane,
        })
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The screens that are plugged in.
    pub(super) fn heads(&self) -> Vec<Head> {
        self.plugged.iter().map(|plugged| plugged.head.clone()).collect()
    }

    pub(super) fn memory_mut(&mut self) -> &mut Memory {
        &mut self.memory
    }

    pub(super) fn held(&mut self) -> &mut Held {
        &mut self.held
    }

    pub(super) fn takes_control_input(&self) -> bool {
        self.control_input
    }

    fn screen(&self, name: &str) -> Option<&Screen> {
        self.screens.iter().find(|screen| screen.name() == name)
    }

    pub(super) fn may_draw(&self, name: &str) -> bool {
        !self.paused && self.screen(name).is_some_and(|screen| !screen.is_pending())
    }

    /// How many values a colour ramp of a screen has.
    pub(super) fn gamma_size(&self, name: &str) -> Option<u32> {
        self.screen(name)?.gamma_size(self.device.as_ref()?)
    }

    /// Gives a screen other colours, or its own. One that is dark gets them once it is lit.
    pub(super) fn set_gamma(&self, name: &str, ramp: Option<&GammaRamp>) -> bool {
        let (Some(device), Some(screen)) = (&self.device, self.screen(name)) else { return true };
        // While another console is in front, the card is not ours; the ramp is set again when it is.
        if self.paused {
            return true;
        }
        let set = screen.set_gamma(device, ramp);
        if let Err(error) = &set {
            tracing::warn!(output = %name, "error changing the colours of a screen: {error}");
        }
        set.is_ok()
    }

    pub(super) fn switch_console(&mut self, console: i32) {
        if let Err(error) = self.session.change_vt(console) {
            tracing::warn!(console, "error switching to another console: {error}");
        }
    }

    pub(super) fn set_leds(&mut self, leds: LedState) {
        for keyboard in &mut self.keyboards {
            keyboard.led_update(leds.into());
        }
    }

    /// The session is not in front any more.
    fn pause(&mut self) {
        self.paused = true;
        self.libinput.suspend();
        if let Some(device) = &mut self.device {
            device.pause();
        }
        // The message that it is shown may never come.
        for screen in &mut self.screens {
            screen.end_pending();
        }
    }

    /// The session is in front again. Somebody else has used the screen.
    fn resume(&mut self) {
        self.paused = false;
        if self.libinput.resume().is_err() {
            tracing::error!("error taking the input devices back");
        }
        if let Some(device) = &mut self.device
            && let Err(error) = device.activate(true)
        {
            tracing::error!("error taking the screen back: {error}");
        }
        self.forget_damage();
    }
}

/// Opens the main graphics card of the seat, and listens to what it says of frames.
fn open_card(
    session: &mut LibSeatSession,
    seat: &str,
    events: &LoopHandle<'static, State>,
    options: DrmOptions,
) -> Result<(DrmDevice, Option<Card>), DrmError> {
    let path = primary_gpu(seat).map_err(DrmError::FindCard)?;
    let path = path.ok_or_else(|| DrmError::NoCard(seat.to_owned()))?;
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let fd =
        session.open(&path, flags).map_err(|source| DrmError::OpenCard { path: path.clone(), source })?;
    let fd = DrmDeviceFd::new(DeviceFd::from(fd));
    if fd.get_driver_capability(DriverCapability::DumbBuffer).unwrap_or(0) == 0 {
        return Err(DrmError::NoDumbBuffers(path));
    }
    if options.cursor_plane {
        cursor::understand(&fd);
    }
    let (device, notifier) =
        DrmDevice::new(fd, true).map_err(|source| DrmError::TakeCard { path: path.clone(), source })?;
    insert(events, notifier, |event, metadata, state: &mut State| match event {
        DrmEvent::VBlank(crtc) => state.frame_arrived(crtc, metadata.as_ref()),
        DrmEvent::Error(error) => tracing::error!("error reading what the graphics card says: {error}"),
    })?;
    let way = if device.is_atomic() { "atomic" } else { "legacy" };
    let (card, says) = draw::choose(device.device_fd(), options.renderer)?;
    tracing::info!(card = %path.display(), "{way} mode setting; {says}");
    Ok((device, card))
}

fn insert<S, F>(events: &LoopHandle<'static, State>, source: S, callback: F) -> Result<(), DrmError>
where
    S: calloop::EventSource<Ret = ()> + 'static,
    S::Error: Into<Box<dyn std::error::Error + Sync + Send>>,
    F: FnMut(S::Event, &mut S::Metadata, &mut State) + 'static,
{
    events.insert_source(source, callback).map_err(|error| DrmError::Events(error.error))?;
    Ok(())
}

impl State {
    fn drm(&mut self) -> Option<&mut Drm> {
        match &mut self.backend {
            super::Backend::Drm(drm) => Some(drm),
            super::Backend::Headless(_) | super::Backend::Nested(_) | super::Backend::X11(_) => None,
        }
    }

    /// The user has switched to another console.
    fn pause_session(&mut self) {
        tracing::info!("another console is in front");
        // What is held down now is let go there.
        self.release_devices();
        if let Some(drm) = self.drm() {
            drm.pause();
        }
    }

    /// The user is back.
    fn resume_session(&mut self) {
        tracing::info!("this console is in front");
        if let Some(drm) = self.drm() {
            drm.resume();
        }
        // Screens may have been plugged in meanwhile.
        self.look_for_screens();
        self.question_unseen();
        self.comp.schedule.request();
    }

    /// A screen was plugged in or out, or wants another mode.
    fn screens_changed(&mut self, card: u64) {
        let ours = |drm: &mut Drm| drm.device.as_ref().is_some_and(|device| device.device_id() == card);
        if self.drm().is_some_and(|drm| ours(drm) && !drm.paused) {
            self.look_for_screens();
        }
    }

    /// Looks which screens are plugged in now.
    fn look_for_screens(&mut self) {
        let Some(drm) = self.drm() else { return };
        let Some(device) = &drm.device else { return };
        match connector::plugged(device, drm.scale) {
            Ok(plugged) => drm.plugged = plugged,
            Err(error) => {
                tracing::error!("error after a change of the screens: {:#}", anyhow::Error::from(error));
                return;
            }
        }
        let heads = drm.heads();
        self.change_outputs(|outputs| {
            let connected = outputs.all().filter(|output| output.connected);
            let names: Vec<String> = connected.map(|output| output.head.name.clone()).collect();
            for name in names.iter().filter(|name| heads.iter().all(|head| head.name != **name)) {
                tracing::info!(output = %name, "the screen was unplugged");
                outputs.disconnect(name);
            }
            for head in heads {
                let name = head.name.clone();
                if outputs.connect(head).is_none() {
                    tracing::warn!(output = %name, "a screen is not used: there are too many");
                }
            }
        });
    }

    /// The graphics card was unplugged.
    fn card_removed(&mut self, card: u64) {
        let Some(drm) = self.drm() else { return };
        if drm.device.as_ref().is_some_and(|device| device.device_id() == card) {
            tracing::error!("the graphics card was unplugged; nothing can be shown any more");
            drm.screens.clear();
            drm.device = None;
        }
    }

    /// The graphics card says that a frame is on the screen.
    fn frame_arrived(
        &mut self,
        crtc: smithay::reexports::drm::control::crtc::Handle,
        metadata: Option<&DrmEventMetadata>,
    ) {
        let now = self.comp.now();
        let screens = self.drm().map(|drm| drm.screens.iter_mut());
        let screen = screens.into_iter().flatten().find(|screen| screen.crtc() == crtc);
        let Some(screen) = screen.filter(|screen| screen.is_pending()) else { return };
        let name = screen.name().to_owned();
        screen.end_pending();
        let time = metadata.map(|metadata| metadata.time);
        let (time, precise): (Duration, bool) = match time {
            Some(DrmEventTime::Monotonic(time)) if !time.is_zero() => (time, true),
            _ => (now, false),
        };
        let sequence = metadata.map(|metadata| u64::from(metadata.sequence));
        if let Some(output) = self.comp.shell.outputs().named(&name).map(|output| output.id) {
            self.frame_presented(output, Presented { time, sequence, from_hardware: precise });
        }
    }
}
