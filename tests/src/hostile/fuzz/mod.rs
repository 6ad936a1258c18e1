//! Clients that send what the protocols' tables allow, and a little else, from several VMs at once.
//!
//! Each [`Party`] is a connection with numbers of its own from one seed: what it sends depends on the seed and on what it has
//! been told (numbers of globals and serials), so a run is repeated with the same seed as far as the events come the same. A
//! message is made from the table of its interface ([`tables`]): objects that exist, of the right interface nearly always;
//! numbers that are usual, extreme, or have been told; now and then bytes that are no message. A party that is ended comes
//! again with the next numbers.
//!
//! When the time is over, all parties leave, and nothing of them may be left: no window, no object in the accounts, no
//! descriptor, and no memory to speak of.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use wayland_client::backend::protocol::{ArgumentType, Interface, MessageDesc};

use super::stage::{HOSTILE, Stage, VICTIM, options, painted};
use crate::bystander::Bystander;
use crate::client::{ClientError, Memory};
use crate::deadline::Deadline;
use crate::process::Member;
use crate::random::Random;
use crate::raw::{Event, RawClient, Request, StreamWire, Wire};

mod tables;

/// Objects that a party remembers. Others live on without being asked for anything.
const MAX_KNOWN: usize = 400;
/// Serials, and texts, that a party remembers.
const MAX_TOLD: usize = 16;
/// Messages of one connection, after which a party leaves of its own accord.
const MAX_MESSAGES: u32 = 20_000;
/// How much the compositor may have grown afterwards, in MiB.
const MOST_GROWTH: u64 = 64;

/// An object of a party.
#[derive(Clone, Copy, Debug)]
struct Object {
    id: u32,
    interface: &'static Interface,
    version: u32,
}

/// One connection, and what it knows.
struct Party<'a> {
    client: RawClient<Box<dyn Wire + Send>>,
    random: &'a mut Random,
    objects: Vec<Object>,
    serials: Vec<u32>,
    texts: Vec<String>,
    memory: &'a Memory,
    pipe: BorrowedFd<'a>,
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Messages that were sent.
    pub messages: u64,
    /// Connections that were made.
    pub connections: u64,
    /// Interfaces that were asked for something.
    pub reached: usize,
    /// The compositor's memory before and after, in MiB.
    pub resident: (u64, u64),
    /// Its descriptors before and after.
    pub descriptors: (usize, usize),
}

impl Party<'_> {
    fn chance(&mut self, one_in: u64) -> bool {
        self.random.bits().is_multiple_of(one_in)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        let count = u64::try_from(from.len()).ok().filter(|count| *count > 0)?;
        from.get(usize::try_from(self.random.bits() % count).ok()?).copied()
    }

    fn number(&mut self) -> i32 {
        const EXTREMES: [i32; 12] =
            [i32::MIN, i32::MAX, -1, 0, 1, 2, 255, 4096, 16384, 32767, 65536, 1 << 20];
        match self.random.bits() % 4 {
            0 => self.pick(&EXTREMES).unwrap_or_default(),
            1 => self.random.between(i32::MIN, i32::MAX),
            _ => self.random.between(-40, 300),
        }
    }

    fn unsigned(&mut self) -> u32 {
        match self.random.bits() % 4 {
            0 => self.number().cast_unsigned(),
            1 => self.pick(&self.serials.clone()).unwrap_or_default(),
            _ => self.random.between(0, 12).cast_unsigned(),
        }
    }

    fn text(&mut self) -> String {
        match self.random.bits() % 8 {
            0 => "\u{202e}\u{1b}[2J".to_owned(),
            1 => "W".repeat(usize::try_from(self.random.between(0, 4200)).unwrap_or_default()),
            2 => "text/plain;charset=utf-8".to_owned(),
            3 => String::new(),
            4 => "work".to_owned(),
            _ => {
                let told = self.texts.len();
                let at = usize::try_from(self.random.bits()).unwrap_or_default().checked_rem(told);
                at.and_then(|at| self.texts.get(at).cloned()).unwrap_or_else(|| "window".to_owned())
            }
        }
    }

    /// An object for an argument: of the interface that is asked for, but for one in fifty.
    fn object(&mut self, wanted: Option<&&'static Interface>) -> u32 {
        if self.chance(50) {
            return self.unsigned();
        }
        let fits = |object: &&Object| wanted.is_none_or(|wanted| object.interface.name == wanted.name);
        let fitting: Vec<u32> = self.objects.iter().filter(fits).map(|object| object.id).collect();
        // The newest is often the one that something can be done with.
        if self.chance(2) { fitting.last().copied().unwrap_or(0) } else { self.pick(&fitting).unwrap_or(0) }
    }

    /// Makes a message of a table and sends it. True if it was a destructor's.
    fn send(&mut self, object: Object, opcode: u16, message: &MessageDesc) -> Result<(), ClientError> {
        let mut request = Request::new(object.id, opcode);
        let mut fds: Vec<BorrowedFd<'_>> = Vec::new();
        let mut interfaces = message.arg_interfaces.iter();
        let mut made = None;
        for argument in message.signature {
            request = match argument {
                ArgumentType::Int => request.int(self.number()),
                ArgumentType::Uint => request.uint(self.unsigned()),
                ArgumentType::Fixed => {
                    let value = self.number();
                    request.int(value.wrapping_mul(256))
                }
                ArgumentType::Str(_) => {
                    let text = self.text();
                    request.string(&text)
                }
                ArgumentType::Object(_) => {
                    let wanted = interfaces.next();
                    let id = self.object(wanted);
                    request.uint(id)
                }
                ArgumentType::NewId => {
                    let id = self.client.new_id();
                    let interface = message.child_interface;
                    made = interface.map(|interface| Object { id, interface, version: object.version });
                    request.uint(id)
                }
                ArgumentType::Array => {
                    let length = usize::try_from(self.random.between(0, 40)).unwrap_or_default();
                    let bytes = self.random.bytes(length);
                    request.array(&bytes)
                }
                ArgumentType::Fd => {
                    fds.push(if self.random.bits().is_multiple_of(8) { self.pipe } else { self.memory.fd() });
                    request
                }
            };
        }
        if self.chance(400) {
            request = request.claim_size(u16::try_from(self.random.bits() & 0xffff).unwrap_or_default());
        }
        let bytes = request.encode_cut();
        self.client.send_bytes(&bytes, &fds)?;
        if message.is_destructor {
            self.objects.retain(|other| other.id != object.id);
        }
        if let Some(made) = made {
            if self.objects.len() >= MAX_KNOWN {
                self.objects.remove(usize::try_from(self.random.bits() % 300).unwrap_or_default());
            }
            self.objects.push(made);
        }
        Ok(())
    }

    /// Reads what has come, learns from it, and acknowledges what has to be acknowledged before anything is shown.
    fn listen(&mut self) -> Result<(), ClientError> {
        loop {
            match self.client.event(Deadline::after(Duration::ZERO)) {
                Ok(event) => self.learn(&event)?,
                Err(ClientError::Deadline(_)) => return Ok(()),
                Err(end) => return Err(end),
            }
        }
    }

    fn learn(&mut self, event: &Event) -> Result<(), ClientError> {
        let Some(object) = self.objects.iter().find(|object| object.id == event.object).copied() else {
            return Ok(());
        };
        let Some(message) = object.interface.events.get(usize::from(event.opcode)) else { return Ok(()) };
        if let Some(serial) = event.word(0).filter(|_| message.signature.first() == Some(&ArgumentType::Uint))
        {
            self.serials.push(serial);
            if self.serials.len() > MAX_TOLD {
                self.serials.remove(0);
            }
            if (object.interface.name, message.name) == ("xdg_surface", "configure") && !self.chance(10) {
                self.client.send(&Request::new(object.id, 4).uint(serial))?;
            }
        }
        if matches!(message.signature.first(), Some(ArgumentType::Str(_)))
            && let Some(text) = event.string(0)
        {
            self.texts.push(text);
            if self.texts.len() > MAX_TOLD {
                self.texts.remove(0);
            }
        }
        if message.signature.first() == Some(&ArgumentType::NewId)
            && let (Some(id), Some(interface)) = (event.word(0), message.child_interface)
        {
            self.objects.push(Object { id, interface, version: object.version });
        }
        Ok(())
    }

    /// Binds everything that is shown and that there is a table of.
    fn bind_all(&mut self) -> Result<(), ClientError> {
        let shown: Vec<(String, u32)> =
            self.client.globals().map(|(_, interface, version)| (interface.to_owned(), version)).collect();
        for (name, version) in shown {
            let Some(interface) = tables::ROOTS.iter().map(|root| root()).find(|root| root.name == name)
            else {
                continue;
            };
            let version = version.min(interface.version);
            let id = self.client.bind(&name, version)?;
            self.objects.push(Object { id, interface, version });
        }
        Ok(())
    }

    /// A window with content, so that what follows is about something.
    fn map(&mut self) -> Result<(), ClientError> {
        let Some(base) = self.objects.iter().find(|object| object.interface.name == "xdg_wm_base").copied()
        else {
            return Ok(());
        };
        let globals = self.client.bind_globals()?;
        let window = self.client.map_window(globals, "fuzzed", (120, 80))?;
        for (id, of) in [
            (window.surface, "wl_surface"),
            (window.xdg_surface, "xdg_surface"),
            (window.toplevel, "xdg_toplevel"),
        ] {
            if let Some(interface) = tables::find(of) {
                self.objects.push(Object { id, interface, version: base.version.min(3) });
            }
        }
        Ok(())
    }

    fn live(
        &mut self,
        stop: &AtomicBool,
        sent: &AtomicU64,
        reached: &mut BTreeMap<&'static str, u64>,
    ) -> Result<(), ClientError> {
        self.bind_all()?;
        self.map()?;
        for step in 0..MAX_MESSAGES {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            if self.objects.is_empty() {
                return Ok(());
            }
            // What was made lately is more often asked for something.
            let count = self.objects.len();
            let from = if self.chance(2) { count.saturating_sub(12) } else { 0 };
            let recent = self.objects[from..].to_vec();
            let Some(object) = self.pick(&recent) else { return Ok(()) };
            let allowed: Vec<u16> = (0..u16::try_from(object.interface.requests.len()).unwrap_or_default())
                .filter(|opcode| {
                    let message = &object.interface.requests[usize::from(*opcode)];
                    // Destructors would leave nothing to talk about, and commits and the like are what matters.
                    message.since <= object.version
                })
                .collect();
            let Some(opcode) = self.pick(&allowed) else { continue };
            let message = &object.interface.requests[usize::from(opcode)];
            if message.is_destructor && !self.chance(6) {
                continue;
            }
            *reached.entry(object.interface.name).or_default() += 1;
            self.send(object, opcode, message)?;
            sent.fetch_add(1, Ordering::Relaxed);
            if step % 16 == 0 {
                self.listen()?;
            }
            if self.chance(3000) {
                let length = usize::try_from(self.random.between(1, 64)).unwrap_or_default();
                let garbage = self.random.bytes(length);
                self.client.send_bytes(&garbage, &[])?;
            }
        }
        Ok(())
    }
}

/// Where a party stands.
#[derive(Clone, Debug)]
enum Door {
    Application(PathBuf),
    Vm(PathBuf),
}

impl Door {
    fn open(&self) -> io::Result<Box<dyn Wire + Send>> {
        Ok(match self {
            Self::Application(path) => Box::new(UnixStream::connect(path)?),
            Self::Vm(path) => Box::new(StreamWire::new(UnixStream::connect(path)?)),
        })
    }
}

struct Shared {
    stop: AtomicBool,
    sent: AtomicU64,
    connections: AtomicU64,
}

/// Sends for as long as the run goes on, over one connection after the other.
fn party(door: &Door, seed: u64, shared: &Shared) -> BTreeMap<&'static str, u64> {
    let mut random = Random::new(seed);
    let memory = painted(1 << 20, super::stage::PAINT);
    let (reader, _writer) = io::pipe().expect("a pipe");
    let mut reached = BTreeMap::new();
    while !shared.stop.load(Ordering::Relaxed) {
        let Ok(wire) = door.open() else { break };
        let Ok(client) = RawClient::new(wire) else { continue };
        shared.connections.fetch_add(1, Ordering::Relaxed);
        let mut party = Party {
            client,
            random: &mut random,
            objects: Vec::new(),
            serials: Vec::new(),
            texts: Vec::new(),
            memory: &memory,
            pipe: reader.as_fd(),
        };
        // How a connection ends is its own affair.
        let _ = party.live(&shared.stop, &shared.sent, &mut reached);
    }
    reached
}

fn compositor(stage: &Stage) -> Member {
    let pid = stage.session.compositor().pid();
    let members = stage.session.compositor().members();
    members.into_iter().find(|member| member.pid == pid).expect("the compositor lives")
}

/// Lets parties of two VMs send for a while, and looks whether anything of them is left.
///
/// # Panics
///
/// When the session does not live, or something is left.
#[must_use]
pub fn run(length: Duration, seed: u64, progress: impl Fn(&str)) -> Outcome {
    // A VM that breaks rules without end is let go for a while, and would then send nothing.
    let mut stage = Stage::with(options().limit("breaches", 1_000_000));
    // What is loaded once, and both workers, are there before anything is counted.
    drop(stage.hostile());
    stage.assert_unharmed();
    let before = compositor(&stage);
    let (memory, descriptors) = (before.resident_mib(), before.descriptors().unwrap_or_default());
    let doors: Vec<Door> = [HOSTILE, VICTIM]
        .iter()
        .flat_map(|vm| {
            [
                Door::Vm(stage.session.hub_socket(vm)),
                Door::Application(stage.session.vm_socket(vm)),
                Door::Vm(stage.session.hub_socket(vm)),
            ]
        })
        .collect();
    let shared =
        Shared { stop: AtomicBool::new(false), sent: AtomicU64::new(0), connections: AtomicU64::new(0) };
    let start = Instant::now();
    let mut random = Random::new(seed ^ 0xf0f0);
    let reached = thread::scope(|scope| {
        let parties: Vec<_> = doors
            .iter()
            .zip(0..)
            .map(|(door, number)| {
                scope.spawn({
                    let shared = &shared;
                    move || party(door, seed.wrapping_mul(1009).wrapping_add(number), shared)
                })
            })
            .collect();
        // Meanwhile somebody uses the session.
        while start.elapsed() < length {
            let alive = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                use_session(&mut stage, &mut random);
            }));
            if alive.is_err() {
                shared.stop.store(true, Ordering::Relaxed);
                std::panic::panic_any(format!("the session did not answer, with the seed {seed}"));
            }
            let sent = shared.sent.load(Ordering::Relaxed);
            progress(&format!("{} s, {sent} messages", start.elapsed().as_secs()));
        }
        shared.stop.store(true, Ordering::Relaxed);
        let mut reached: BTreeMap<&'static str, u64> = BTreeMap::new();
        for party in parties {
            for (name, count) in party.join().expect("a party that does not panic") {
                *reached.entry(name).or_default() += count;
            }
        }
        reached
    });
    // The victim's window may have been minimised by a click; another one comes up as ever.
    stage
        .session
        .wait_windows("no window of theirs", |windows| windows.iter().all(|window| window.title == "victim"));
    stage.victim.client().roundtrip().expect("the victim lives");
    Bystander::start(&mut stage.session, VICTIM, "afterwards").assert_unharmed(&mut stage.session);
    let after = wait_nothing_left(&mut stage, memory, descriptors);
    Outcome {
        messages: shared.sent.load(Ordering::Relaxed),
        connections: shared.connections.load(Ordering::Relaxed),
        reached: reached.len(),
        resident: (memory, after.0),
        descriptors: (descriptors, after.1),
    }
}

/// Moves, clicks and types somewhere, and looks at the screen.
fn use_session(stage: &mut Stage, random: &mut Random) {
    let (width, height) = stage.session.size();
    for _ in 0..10 {
        // Not in the stripe, where other workspaces are chosen.
        let (x, y) = (random.between(0, width - 1), random.between(24, height - 1));
        stage.session.click(x, y);
        stage.session.tap(random.between(16, 25).unsigned_abs());
    }
    let _ = stage.session.screenshot();
    stage.victim.client().roundtrip().expect("the victim lives");
}

/// Waits until nothing is counted for the attacking VM, and returns the compositor's memory and descriptors.
fn wait_nothing_left(stage: &mut Stage, memory: u64, descriptors: usize) -> (u64, usize) {
    let deadline = Deadline::patient();
    loop {
        let vms = stage.report(&["vms", "--json"]);
        let own = vms
            .as_array()
            .and_then(|vms| vms.iter().find(|vm| vm["vm"] == HOSTILE))
            .cloned()
            .unwrap_or_default();
        let usage = &own["usage"];
        let used = ["clients", "windows", "toplevels", "popups", "surfaces", "pools", "buffers", "shm_bytes"]
            .iter()
            .filter(|key| usage[**key].as_u64() != Some(0))
            .count();
        let now = compositor(stage);
        let (resident, open) = (now.resident_mib(), now.descriptors().unwrap_or_default());
        if used == 0 && open <= descriptors && resident <= memory + MOST_GROWTH {
            return (resident, open);
        }
        assert!(
            !deadline.passed(),
            "left over: {usage}; {open} descriptors of {descriptors} before; {resident} MiB of {memory} before"
        );
        // Something changes with each picture at the latest.
        let _ = stage.session.screenshot();
    }
}
