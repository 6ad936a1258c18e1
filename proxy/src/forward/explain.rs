//! Says which interfaces an application of this VM is offered, and of the others who withholds them.
//!
//! It connects as an application does, through the same handlers, and looks at what arrives. What the compositor's side
//! decides is seen by its effect alone, so nothing is learned here, or said, that an application could not find out: no other
//! VM, and no rule of a file.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use virtio_wl::Address;
use virtio_wl::address::AddressError;
use vitrail_protocols::globals::{self, Class};
use wayland_client::backend::{ReadEventsGuard, WaylandError};
use wayland_client::protocol::{wl_callback, wl_registry};
use wayland_client::{ConnectError, Connection, Dispatch, DispatchError, EventQueue, QueueHandle};
use wl_proxy::object::ConcreteObject as _;
use wl_proxy::protocols::linux_dmabuf_v1::zwp_linux_dmabuf_v1::ZwpLinuxDmabufV1;

use super::globals::Needs;
use super::serve::{Observer, Resources, ServeError, Served};
use crate::connection::{End, Status};

/// How long the compositor's side may take to say what it offers.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why it is not known what is offered.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// There is no way to the hub.
    #[error(transparent)]
    Dial(AddressError),
    /// The connection cannot be set up.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// No socket pair.
    #[error("cannot make a socket pair: {0}")]
    SocketPair(#[source] io::Error),
    /// The client's side cannot be set up.
    #[error("cannot be a Wayland client: {0}")]
    Client(#[source] ConnectError),
    /// The compositor's side closed the connection.
    #[error("the compositor's side refused the connection: {0}")]
    Refused(String),
    /// It did so before it had said everything.
    #[error("the connection to the compositor's side ended before it had answered: {0}")]
    Ended(#[source] End),
    /// What it says is not Wayland.
    #[error("cannot understand the compositor's side: {0}")]
    Dispatch(#[source] DispatchError),
    /// Waiting failed.
    #[error("cannot wait for events: {0}")]
    Wait(#[source] Errno),
    /// It says nothing.
    #[error("the compositor's side does not answer")]
    Timeout,
    /// Standard output is gone.
    #[error("cannot write to standard output: {0}")]
    Print(#[source] io::Error),
}

/// What is offered to an application, and what is offered but kept from it here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// Interface and version. Several globals of one interface, for example outputs, count once.
    pub globals: BTreeMap<String, u32>,
    /// Interfaces that this program hides, and what they need.
    pub hidden: BTreeMap<&'static str, Needs>,
    complete: bool,
}

/// What is to be said of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// An application can bind it, up to this version.
    Offered(u32),
    /// It cannot cross between machines.
    CannotCross,
    /// This program offers it for devices of the VM, but was not asked to.
    OptionMissing(&'static str),
    /// It works where pixels go through a region, and is offered there.
    WithRegion,
    /// The policy for VMs does not have it. The reason of the table of known interfaces.
    Withheld(&'static str),
    /// The policy for VMs has it, so that this VM's own policy withholds it, or there is none.
    NotThere,
    /// Nobody knows it.
    Unknown,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Offered(version) => write!(f, "offered in version {version}"),
            Self::CannotCross => {
                f.write_str("withheld by wl-forward: it needs what does not cross between machines")
            }
            Self::OptionMissing(option) => {
                write!(
                    f,
                    "withheld by wl-forward: {option} offers it, which is of use with a graphics device in this VM"
                )
            }
            Self::WithRegion => f.write_str(
                "offered if this VM shares a region with the compositor's side, which is not looked at here: \
                 what the compositor writes comes back through nothing else",
            ),
            Self::Withheld(reason) => write!(f, "withheld by the policy: {reason}"),
            Self::NotThere => {
                f.write_str("withheld by the policy for this VM, or the compositor does not have it")
            }
            Self::Unknown => f.write_str("not known here"),
        }
    }
}

impl Offer {
    /// What is to be said of an interface.
    #[must_use]
    pub fn verdict(&self, interface: &str) -> Verdict {
        if let Some(version) = self.globals.get(interface) {
            return Verdict::Offered(*version);
        }
        if interface == ZwpLinuxDmabufV1::INTERFACE_NAME {
            return Verdict::OptionMissing("--dmabuf");
        }
        match self.hidden.get(interface) {
            Some(Needs::Region) => return Verdict::WithRegion,
            Some(_) => return Verdict::CannotCross,
            None => {}
        }
        match globals::lookup(interface) {
            Some(global) if matches!(global.class, Class::Never | Class::OptIn) => {
                Verdict::Withheld(global.reason)
            }
            Some(_) => Verdict::NotThere,
            None => Verdict::Unknown,
        }
    }

    /// Everything that an application could ask for: what is known and what is offered, in the order of names.
    #[must_use]
    pub fn all(&self) -> BTreeMap<&str, Verdict> {
        let known = globals::GLOBALS.iter().map(|global| global.interface);
        let offered = self.globals.keys().map(String::as_str);
        let names = known.chain(offered).chain(self.hidden.keys().copied());
        names.map(|name| (name, self.verdict(name))).collect()
    }

    /// Asks the compositor's side, by the hub at `hub`, for what an application that gets `resources` is offered.
    ///
    /// # Errors
    ///
    /// See [`ExplainError`].
    pub fn ask(hub: &Address, resources: &Resources) -> Result<Self, ExplainError> {
        let stream = hub.connect().map_err(ExplainError::Dial)?;
        let (application, client) = UnixStream::pair().map_err(ExplainError::SocketPair)?;
        for end in [&application, &client] {
            end.set_nonblocking(true).map_err(ExplainError::SocketPair)?;
        }
        let mut served = Served::new(client.into(), stream, hub.is_vsock(), resources, &Observer::default())?;
        let connection = Connection::from_socket(application).map_err(ExplainError::Client)?;
        let mut queue = connection.new_event_queue();
        let display = connection.display();
        display.get_registry(&queue.handle(), ());
        display.sync(&queue.handle(), ());
        let mut offer = Self::default();
        let deadline = Instant::now() + PATIENCE;
        let mut ended = None;
        while !offer.complete {
            offer.advance(&mut served, &mut queue, &mut ended, deadline)?;
        }
        offer.hidden = served.session().hidden();
        Ok(offer)
    }

    /// Lets both ends of the connection do what they can, and waits if that was nothing. How the connection has `ended` is said
    /// only once everything has arrived that came before: it may be the answer.
    fn advance(
        &mut self,
        served: &mut Served,
        queue: &mut EventQueue<Self>,
        ended: &mut Option<End>,
        deadline: Instant,
    ) -> Result<(), ExplainError> {
        // A failure shows when events are read.
        let _ = queue.flush();
        let status = match served.turn() {
            Status::Ended(end) => {
                *ended = Some(end);
                Status::Idle
            }
            status => status,
        };
        let read = queue.prepare_read().map(ReadEventsGuard::read);
        let arrived = queue.dispatch_pending(self).map_err(ExplainError::Dispatch)?;
        if arrived > 0 || self.complete {
            return Ok(());
        }
        match (status, read) {
            (_, Some(Err(WaylandError::Protocol(error)))) => Err(ExplainError::Refused(error.to_string())),
            // There were events already.
            (_, None) | (Status::More, _) => Ok(()),
            _ => match ended.take() {
                Some(end) => Err(ExplainError::Ended(end)),
                None => Self::wait(served, deadline),
            },
        }
    }

    fn wait(served: &mut Served, deadline: Instant) -> Result<(), ExplainError> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ExplainError::Timeout);
        }
        match served.wait_for(left) {
            Ok(()) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(ExplainError::Wait(error)),
        }
    }
}

impl Dispatch<wl_registry::WlRegistry, ()> for Offer {
    fn event(
        offer: &mut Self,
        _: &wl_registry::WlRegistry,
        event: wl_registry::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let wl_registry::Event::Global { interface, version, .. } = event {
            let highest = offer.globals.entry(interface).or_insert(0);
            *highest = version.max(*highest);
        }
    }
}

impl Dispatch<wl_callback::WlCallback, ()> for Offer {
    fn event(
        offer: &mut Self,
        _: &wl_callback::WlCallback,
        _: wl_callback::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        offer.complete = true;
    }
}

/// Prints what is to be said of `interface`, or of all. True: it is offered, or nothing particular was asked for.
///
/// # Errors
///
/// See [`ExplainError`].
pub fn run(hub: &Address, resources: &Resources, interface: Option<&str>) -> Result<bool, ExplainError> {
    let offer = Offer::ask(hub, resources)?;
    let mut out = io::stdout().lock();
    match interface {
        Some(interface) => {
            let verdict = offer.verdict(interface);
            // The name may have come from anywhere, the program's own log for example.
            writeln!(out, "{}: {verdict}", interface.escape_debug()).map_err(ExplainError::Print)?;
            Ok(matches!(verdict, Verdict::Offered(_)))
        }
        None => {
            let all = offer.all();
            let width = all.keys().map(|name| name.len()).max().unwrap_or(0);
            for (interface, verdict) in all {
                writeln!(out, "{:width$}  {verdict}", interface.escape_debug().to_string())
                    .map_err(ExplainError::Print)?;
            }
            Ok(true)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_interface_is_explained_by_who_withholds_it() {
        let offer = Offer {
            globals: BTreeMap::from([("wl_shm".to_owned(), 2)]),
            hidden: BTreeMap::from([
                ("zwp_linux_dmabuf_v1", Needs::SameMachine),
                ("wl_drm", Needs::SameMachine),
                ("ext_image_copy_capture_manager_v1", Needs::Region),
            ]),
            complete: true,
        };
        assert_eq!(offer.verdict("wl_shm"), Verdict::Offered(2));
        assert_eq!(offer.verdict("wl_drm"), Verdict::CannotCross);
        assert_eq!(offer.verdict("zwp_linux_dmabuf_v1"), Verdict::OptionMissing("--dmabuf"));
        assert_eq!(offer.verdict("ext_image_copy_capture_manager_v1"), Verdict::WithRegion);
        assert!(matches!(offer.verdict("zwlr_layer_shell_v1"), Verdict::Withheld(_)));
        assert!(matches!(offer.verdict("ext_idle_notifier_v1"), Verdict::Withheld(_)));
        assert_eq!(offer.verdict("wp_viewporter"), Verdict::NotThere);
        assert_eq!(offer.verdict("zz_from_the_future_v1"), Verdict::Unknown);
    }

    #[test]
    fn the_list_has_everything_that_is_known_or_offered() {
        let offer =
            Offer { globals: BTreeMap::from([("zz_from_the_future_v1".to_owned(), 1)]), ..Offer::default() };
        let all = offer.all();
        assert_eq!(all.get("zz_from_the_future_v1"), Some(&Verdict::Offered(1)));
        assert_eq!(all.len(), globals::GLOBALS.len() + 1);
    }
}
