//! What the compositor keeps with each connection: whose it is and what it may do.

use std::collections::{BTreeSet, HashMap};
use std::ffi::CString;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use smithay::reexports::wayland_server::backend::protocol::{Interface, ProtocolError};
use smithay::reexports::wayland_server::backend::{ClientData, ClientId, DisconnectReason};
use smithay::reexports::wayland_server::{Client, DisplayHandle, Resource};
use smithay::wayland::compositor::CompositorClientState;
use vitrail_protocols::{Guard, Policy};

use super::limits::{Account, LimitError, Resource as Counted};
use super::origin::Origin;
use super::program::{Process, Program, ProgramError};
use super::rate::RateLimit;
use crate::config::guest::{IdleNotify, OutputsRule, PresentationTime, PrivacyRules};

/// The global that tells when frames were shown.
const PRESENTATION: &str = "wp_presentation";
/// The global that tells when nobody is there.
const IDLE: &str = "ext_idle_notifier_v1";

/// What a client may do beyond the ordinary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// Nothing.
    Ordinary,
    /// It is the gate that the compositor started itself: it may create the security contexts of VMs.
    Gate,
}

/// The data of one connection. Made when the connection is accepted and never changed.
#[derive(Debug)]
pub struct ClientState {
    /// Smithay's part.
    pub compositor: CompositorClientState,
    /// Where the connection comes from.
    pub origin: Origin,
    /// What it may do beyond the ordinary.
    pub privilege: Privilege,
    /// Which globals it sees: those of its VM when the connection was made. `None` for local clients.
    policy: Option<Arc<Policy>>,
    /// What its origin was told of the screens when the connection was made.
    privacy: PrivacyRules,
    /// What its origin uses.
    pub account: Arc<Account>,
    /// The process that opened the connection; the gate's for the clients of VMs.
    process: Option<Process>,
    /// Counted among the connections of its origin.
    counted: AtomicBool,
    /// Its live objects of all kinds when they were last counted.
    objects: AtomicU32,
}

impl ClientState {
    /// The data of a new connection. A VM without a policy sees nothing.
    ///
    /// # Errors
    ///
    /// If the origin has as many connections as it may have.
    pub fn new(
        origin: Origin,
        privilege: Privilege,
        (policy, privacy): (Option<Arc<Policy>>, PrivacyRules),
        account: Arc<Account>,
        process: Option<Process>,
    ) -> Result<Self, LimitError> {
        account.take(Counted::Clients)?;
        Ok(Self {
            compositor: CompositorClientState::default(),
            origin,
            privilege,
            policy,
            privacy,
            account,
            process,
            counted: AtomicBool::new(true),
            objects: AtomicU32::new(0),
        })
    }

    /// Whether the client is shown one output of no make in place of the real ones.
    #[must_use]
    pub fn sees_synthetic_output(&self) -> bool {
        self.origin.is_vm() && self.privacy.outputs != OutputsRule::Real
    }

    /// Whether the client is not told what a global is there to tell, and so not of the global.
    fn is_withheld(&self, interface: &str) -> bool {
        match interface {
            PRESENTATION => self.privacy.presentation_time == PresentationTime::Off,
            IDLE => self.privacy.idle_notify == IdleNotify::Deny,
            _ => false,
        }
    }

    /// Whether the client may see globals of an interface.
    #[must_use]
    pub fn may_see(&self, interface: &str) -> bool {
        match (&self.origin, &self.policy) {
            (Origin::Local, _) => true,
            (Origin::Vm(_), _) if !Guard::Globals.holds() => true,
            (Origin::Vm(_), _) if self.is_withheld(interface) => false,
            (Origin::Vm(_), Some(policy)) => policy.verdict(interface).max_version.is_some(),
            (Origin::Vm(_), None) => false,
        }
    }

    /// Whether the client may bind an interface in a version.
    #[must_use]
    pub fn may_bind(&self, interface: &str, version: u32) -> bool {
        match (&self.origin, &self.policy) {
            (Origin::Local, _) => true,
            (Origin::Vm(_), _) if !Guard::Globals.holds() => true,
            (Origin::Vm(_), _) if self.is_withheld(interface) => false,
            (Origin::Vm(_), Some(policy)) => {
                policy.verdict(interface).max_version.is_some_and(|highest| version <= highest)
            }
            (Origin::Vm(_), None) => false,
        }
    }

    /// The program of a local client, as far as that is known.
    ///
    /// # Errors
    ///
    /// If it is not known.
    pub fn program(&self) -> Result<Program, ProgramError> {
        let process = self.process.as_ref().filter(|_| self.origin == Origin::Local);
        process.ok_or(ProgramError::NoProcess)?.program()
    }

    /// Enters how many objects of all kinds the client has now.
    ///
    /// # Errors
    ///
    /// If its origin has more than it may have.
    pub fn set_objects(&self, count: u32) -> Result<(), LimitError> {
        let before = self.objects.swap(count, Ordering::Relaxed);
        self.account.change_objects(before, count)
    }

    /// The connection is over. Its data may live on in a handle somewhere, so this does not wait for that.
    fn uncount(&self) {
        if self.counted.swap(false, Ordering::Relaxed) {
            self.account.give_back(Counted::Clients);
            // None are never too many.
            let _ = self.set_objects(0);
        }
    }
}

impl Drop for ClientState {
    fn drop(&mut self) {
        self.uncount();
    }
}

impl ClientData for ClientState {
    fn initialized(&self, _client: ClientId) {}

    fn disconnected(&self, _client: ClientId, reason: DisconnectReason) {
        self.uncount();
        if let DisconnectReason::ProtocolError(error) = reason
            && self.account.may_log()
        {
            // The message may quote what the client sent.
            let clean = |text: &str| {
                if Guard::Log.holds() { text.escape_debug().to_string() } else { text.to_owned() }
            };
            tracing::info!(
                origin = %self.origin,
                interface = %clean(&error.object_interface),
                code = error.code,
                "connection ended: {}",
                clean(&error.message),
            );
        }
    }
}

/// The data of a client; `None` only for a client that was not let in by [`crate::State::accept`], which
/// does not exist.
#[must_use]
pub fn state(client: &Client) -> Option<&ClientState> {
    client.get_data::<ClientState>()
}

/// Whether a client may see globals of an interface.
#[must_use]
pub fn may_see(client: &Client, interface: &str) -> bool {
    state(client).is_some_and(|state| state.may_see(interface))
}

/// The origin of the client that owns an object; `None` once the client is gone.
#[must_use]
pub fn origin_of<R: Resource>(resource: &R) -> Option<Origin> {
    let client = resource.client()?;
    state(&client).map(|state| state.origin.clone())
}

/// The account of the client that owns an object; `None` once the client is gone.
#[must_use]
pub fn account_of<R: Resource>(resource: &R) -> Option<Arc<Account>> {
    let client = resource.client()?;
    state(&client).map(|state| Arc::clone(&state.account))
}

/// Whether this is the connection that the compositor handed to the gate it started.
#[must_use]
pub fn is_gate(client: &Client) -> bool {
    state(client).is_some_and(|state| state.privilege == Privilege::Gate || !Guard::Globals.holds())
}

/// Whether this is a program of the GUI VM itself, and not the gate.
#[must_use]
pub fn is_local(client: &Client) -> bool {
    let local = |state: &ClientState| state.origin == Origin::Local || !Guard::Globals.holds();
    state(client).is_some_and(|state| local(state) && state.privilege == Privilege::Ordinary)
}

/// Ends a client that reached a limit, with the error that the core protocol has for it.
pub fn end_for_limit(client: &Client, display: &DisplayHandle, error: &LimitError) {
    const NO_MEMORY: u32 = 2;
    end(client, display, NO_MEMORY, error.to_string());
}

/// Ends a client that sent what no honest client sends, and for which its protocol has no error.
pub fn end_for_misuse(client: &Client, display: &DisplayHandle, message: &str) {
    const IMPLEMENTATION: u32 = 3;
    end(client, display, IMPLEMENTATION, message.to_owned());
}

/// Ends a client that bound a global in a version that it is not shown: with the error of the protocol library for one that
/// there is not, less the name by which the client bound it.
pub fn end_for_binding(client: &Client, display: &DisplayHandle, interface: &str, version: u32) {
    const INVALID_OBJECT: u32 = 0;
    end(client, display, INVALID_OBJECT, format!("Invalid binding of {interface} version {version}."));
}

/// As much of the core protocol's first object as is needed to find it.
static WL_DISPLAY: Interface =
    Interface { name: "wl_display", version: 1, requests: &[], events: &[], c_ptr: None };

/// Sends an error of the display itself, which ends the client.
fn end(client: &Client, display: &DisplayHandle, code: u32, message: String) {
    let handle = display.backend_handle();
    let found = handle.object_for_protocol_id(client.id(), &WL_DISPLAY, 1);
    match (found, CString::new(message.clone())) {
        (Ok(object), Ok(text)) => handle.post_error(object, code, text),
        _ => {
            let object_interface = WL_DISPLAY.name.to_owned();
            client.kill(display, ProtocolError { code, object_id: 1, object_interface, message });
        }
    }
}

/// The live connections. Smithay tells of destroyed objects when their client cannot be asked any more.
#[derive(Debug, Default)]
pub struct Members {
    /// Holds back the log lines about connections that are not let in, which a VM can cause.
    pub(crate) refusals: RateLimit,
    by_id: HashMap<ClientId, Weak<ClientState>>,
    /// Who gets no connection, by the user's word.
    pub(crate) barred: BTreeSet<Origin>,
}

impl Members {
    /// Enters a connection, and forgets those that are gone.
    pub fn enter(&mut self, client: ClientId, data: &Arc<ClientState>) {
        self.by_id.retain(|_, data| data.strong_count() > 0);
        self.by_id.insert(client, Arc::downgrade(data));
    }

    /// The connections of all origins but those that `keep` accepts.
    #[must_use]
    pub fn without(&self, keep: impl Fn(&Origin) -> bool) -> Vec<ClientId> {
        let gone = |data: &Weak<ClientState>| data.upgrade().is_some_and(|data| !keep(&data.origin));
        self.by_id.iter().filter(|(_, data)| gone(data)).map(|(id, _)| id.clone()).collect()
    }

    /// The data of a connection, until the last of its objects is destroyed.
    #[must_use]
    pub fn get(&self, client: &ClientId) -> Option<Arc<ClientState>> {
        self.by_id.get(client).and_then(Weak::upgrade)
    }
}
