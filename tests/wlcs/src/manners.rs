//! What WLCS's clients leave out of the protocols, said in their stead.
//!
//! # Model
//!
//! A client commits a surface without a buffer, is told its first configuration, acknowledges that, and only then
//! attaches a buffer: xdg-shell makes anything else an error, and so does vitrail. WLCS 1.8 has helpers that attach
//! at once (`XdgStableSurfaceBuilder` in `src/surface_builder.cpp`, `SurfaceOnLayer` in `tests/wlr_layer_shell_v1.cpp`)
//! or that never acknowledge (`XdgSurfaceStable` in `src/xdg_shell_stable.cpp`). Their tests are of other things, and would all
//! end with that error.
//!
//! [`Manners`] reads the messages of one connection, and where a buffer comes too early it has the missing messages sent
//! first: the commit, and the acknowledgement once the configuration has come, until when the client's own messages wait.
//! Nothing that a client says is changed, but that an acknowledgement that was sent already is left out.
//!
//! The other way the height of outputs is changed, to that of the part which clients can have ([`crate::space`]).
//!
//! # Invariants
//!
//! * What a client says that keeps the rule is passed on byte by byte.
//! * A surface that has not become a window, a popup or a layer is none of its business: whether a buffer is refused there is what
//!   WLCS tests.

use std::collections::{BTreeMap, BTreeSet};

/// The display, which every connection has from the beginning.
const DISPLAY: u32 = 1;

/// The opcodes of a surface's requests.
const ATTACH: u16 = 1;
const COMMIT: u16 = 6;

/// What becomes of a client's message.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is passed on.
    Pass,
    /// It is left out.
    Drop,
    /// This goes ahead of it.
    After(Vec<u8>),
    /// This is sent now, and the message and all after it wait for [`Manners::event`].
    Hold(Vec<u8>),
}

/// What is known of one connection.
#[derive(Debug)]
pub struct Manners {
    /// What outputs are said to be lower by.
    stripe: u32,
    registries: BTreeSet<u32>,
    outputs: BTreeSet<u32>,
    shells: BTreeMap<u32, Shell>,
    roles: BTreeMap<u32, Role>,
    /// The role whose first configuration the connection waits for.
    awaited: Option<u32>,
}

/// An object that gives surfaces a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shell {
    Xdg,
    Layer,
}

impl Shell {
    /// The opcodes that make a role, acknowledge a configuration and destroy the role.
    fn opcodes(self) -> (u16, u16, u16) {
        match self {
            Self::Xdg => (2, 4, 0),
            Self::Layer => (0, 6, 7),
        }
    }
}

/// A surface that is to be configured.
#[derive(Debug)]
struct Role {
    shell: Shell,
    surface: u32,
    /// It is a window, a popup or a layer, and not only about to become one.
    made: bool,
    /// There was a commit since it had no content.
    committed: bool,
    /// A configuration was acknowledged since.
    acknowledged: bool,
    /// Its content is that of the last attach: a buffer or none.
    attached: Option<bool>,
    mapped: bool,
    /// Configurations without an answer.
    serials: Vec<u32>,
    /// Configurations that were acknowledged in the client's stead.
    done: BTreeSet<u32>,
}

/// A message of the protocol, whole.
#[derive(Clone, Copy, Debug)]
struct Message<'a> {
    object: u32,
    opcode: u16,
    body: &'a [u8],
}

impl<'a> Message<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (head, body) = bytes.split_at_checked(8)?;
        let second = word(head, 1)?;
        // The lower half is the opcode, the upper one the length.
        let opcode = u16::try_from(second & 0xffff).ok()?;
        Some(Self { object: word(head, 0)?, opcode, body })
    }

    fn word(&self, index: usize) -> Option<u32> {
        word(self.body, index)
    }
}

fn word(bytes: &[u8], index: usize) -> Option<u32> {
    let start = index.checked_mul(4)?;
    let bytes = bytes.get(start..start.checked_add(4)?)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

/// The length of the message that begins here, if its head is there.
#[must_use]
pub fn length(bytes: &[u8]) -> Option<usize> {
    // A message that says it is shorter than its head would be waited for without end.
    Some(usize::try_from(word(bytes, 1)? >> 16).ok()?.max(8))
}

fn message(object: u32, opcode: u16, words: &[u32]) -> Vec<u8> {
    let size = 8 + 4 * u32::try_from(words.len()).unwrap_or_default();
    let head = [object, size << 16 | u32::from(opcode)];
    head.iter().chain(words).flat_map(|word| word.to_ne_bytes()).collect()
}

impl Manners {
    /// Those of a new connection. Outputs are said to be lower by `stripe` pixels.
    #[must_use]
    pub fn new(stripe: u32) -> Self {
        Self {
            stripe,
            registries: BTreeSet::new(),
            outputs: BTreeSet::new(),
            shells: BTreeMap::new(),
            roles: BTreeMap::new(),
            awaited: None,
        }
    }

    /// Has a layer stand so far from the upper left corner of what it may fill: the requests of its client that say so. `None` if
    /// the surface is no layer.
    #[must_use]
    pub fn place_layer(&self, surface: u32, left: i32, top: i32) -> Option<Vec<u8>> {
        const SET_ANCHOR: u16 = 1;
        const SET_MARGIN: u16 = 3;
        const TOP_LEFT: u32 = 1 | 4;
        let of_surface = |role: &Role| role.shell == Shell::Layer && role.surface == surface;
        let (&id, _) = self.roles.iter().find(|(_, role)| of_surface(role))?;
        let margins = [top.cast_unsigned(), 0, 0, left.cast_unsigned()];
        let requests = [
            message(id, SET_ANCHOR, &[TOP_LEFT]),
            message(id, SET_MARGIN, &margins),
            message(surface, COMMIT, &[]),
        ];
        Some(requests.concat())
    }

    /// Whether the client uses the layer shell.
    #[must_use]
    pub fn uses_layers(&self) -> bool {
        self.shells.values().any(|shell| *shell == Shell::Layer)
    }

    /// A client's message, whole.
    pub fn request(&mut self, bytes: &[u8]) -> Verdict {
        let Some(message) = Message::parse(bytes) else { return Verdict::Pass };
        self.note_objects(message);
        if let Some(role) = self.roles.get_mut(&message.object) {
            return role.request(message);
        }
        let Some((&id, role)) = self.roles.iter_mut().find(|(_, role)| role.surface == message.object) else {
            return Verdict::Pass;
        };
        let verdict = role.surface_request(id, message);
        if matches!(verdict, Verdict::Hold(_)) {
            self.awaited = Some(id);
        }
        verdict
    }

    /// A message to the client, whole. Answers what is to be sent to the compositor before everything that waits; nothing waits
    /// any longer then.
    pub fn event(&mut self, bytes: &mut [u8]) -> Option<Vec<u8>> {
        let message = Message::parse(bytes)?;
        if self.outputs.contains(&message.object) && message.opcode == 1 {
            // The mode: flags, width, height and rate behind the head of two words.
            let height = message.word(2)?.saturating_sub(self.stripe);
            bytes.get_mut(16..20)?.copy_from_slice(&height.to_ne_bytes());
            return None;
        }
        if (message.object, message.opcode) == (DISPLAY, 1) {
            let gone = message.word(0)?;
            self.registries.remove(&gone);
            self.outputs.remove(&gone);
            self.shells.remove(&gone);
            self.roles.remove(&gone);
            return None;
        }
        let role = self.roles.get_mut(&message.object).filter(|_| message.opcode == 0)?;
        role.serials.push(message.word(0)?);
        if self.awaited != Some(message.object) {
            return None;
        }
        self.awaited = None;
        role.acknowledge(message.object)
    }

    /// Follows which objects are made that matter here.
    fn note_objects(&mut self, message: Message<'_>) {
        let Message { object, opcode, .. } = message;
        if (object, opcode) == (DISPLAY, 1) {
            self.registries.extend(message.word(0));
        } else if self.registries.contains(&object) && opcode == 0 {
            // The name's number, the interface (its length with the terminator, then itself), the version, the object.
            let length = message.word(1).and_then(|length| usize::try_from(length).ok()).unwrap_or_default();
            let name = message.body.get(8..8 + length.saturating_sub(1)).unwrap_or_default();
            let Some(id) = message.word(3 + length.div_ceil(4)) else { return };
            match name {
                b"xdg_wm_base" => drop(self.shells.insert(id, Shell::Xdg)),
                b"zwlr_layer_shell_v1" => drop(self.shells.insert(id, Shell::Layer)),
                b"wl_output" => drop(self.outputs.insert(id)),
                _ => {}
            }
        } else if let Some(&shell) = self.shells.get(&object)
            && opcode == shell.opcodes().0
            && let (Some(id), Some(surface)) = (message.word(0), message.word(1))
        {
            self.roles.retain(|_, role| role.surface != surface);
            self.roles.insert(id, Role::new(shell, surface));
        }
    }
}

impl Role {
    fn new(shell: Shell, surface: u32) -> Self {
        Self {
            shell,
            surface,
            made: shell == Shell::Layer,
            committed: false,
            acknowledged: false,
            attached: None,
            mapped: false,
            serials: Vec::new(),
            done: BTreeSet::new(),
        }
    }

    /// A request to the role itself.
    fn request(&mut self, message: Message<'_>) -> Verdict {
        let (_, acknowledge, destroy) = self.shell.opcodes();
        if message.opcode == destroy {
            // No surface has this number.
            self.surface = 0;
        }
        // A toplevel or a popup is asked for.
        self.made |= self.shell == Shell::Xdg && matches!(message.opcode, 1 | 2);
        if message.opcode != acknowledge {
            return Verdict::Pass;
        }
        let Some(serial) = message.word(0) else { return Verdict::Pass };
        if self.done.remove(&serial) {
            return Verdict::Drop;
        }
        self.acknowledged = true;
        if let Some(index) = self.serials.iter().position(|known| *known == serial) {
            self.serials.drain(..=index);
        }
        Verdict::Pass
    }

    /// A request to the role's surface.
    fn surface_request(&mut self, id: u32, message: Message<'_>) -> Verdict {
        match message.opcode {
            ATTACH => {
                let buffer = message.word(0).is_some_and(|buffer| buffer != 0);
                self.attached = Some(buffer);
                if !buffer || self.acknowledged || !self.made {
                    return Verdict::Pass;
                }
                if let Some(answer) = self.acknowledge(id) {
                    return Verdict::After(answer);
                }
                let commit =
                    if self.committed { Vec::new() } else { self::message(self.surface, COMMIT, &[]) };
                self.committed = true;
                Verdict::Hold(commit)
            }
            COMMIT => {
                match self.attached.take() {
                    Some(true) => self.mapped = true,
                    Some(false) if self.mapped => {
                        // As at the beginning: it has to be configured anew.
                        (self.mapped, self.committed, self.acknowledged) = (false, false, false);
                        return Verdict::Pass;
                    }
                    _ => {}
                }
                self.committed = true;
                Verdict::Pass
            }
            _ => Verdict::Pass,
        }
    }

    /// The acknowledgement of the newest configuration, if there is one without.
    fn acknowledge(&mut self, id: u32) -> Option<Vec<u8>> {
        let serial = *self.serials.last()?;
        self.done.extend(self.serials.drain(..));
        self.acknowledged = true;
        Some(message(id, self.shell.opcodes().1, &[serial]))
    }
}

#[cfg(test)]
mod tests;
