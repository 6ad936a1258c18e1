//! One VM floods with everything at once, and another one goes on as if nothing were.
//!
//! A client of the victim draws a frame with each frame callback, and is given motions of the pointer one by one. That is
//! measured in quiet and then while the attacking VM has a connection for each kind of flood, opened again whenever it is
//! ended. What matters is how the two compare: both are measured in the same session on the same machine.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::stage::{Attacker, HOSTILE, Place, Stage, options, painted};
use crate::client::{Client, ClientError, InputEvent, Memory, Rect, Window};
use crate::deadline::Deadline;
use crate::raw::{DISPLAY, Globals, RawWindow, Request};
use crate::session::Session;

/// How long is measured.
const LENGTH: Duration = Duration::from_secs(6);
/// Between two motions of the pointer.
const BETWEEN: Duration = Duration::from_millis(40);
/// How much longer the 99th percentile of frames may be than in quiet.
pub const MOST_TIMES: f64 = 1.5;
/// Within which the pointer's motion must be there.
pub const MOST_LATENCY: Duration = Duration::from_millis(50);
/// How much the compositor may grow, in MiB.
pub const MOST_GROWTH: u64 = 64;

/// What was measured of the victim.
#[derive(Clone, Debug)]
pub struct Figures {
    /// From one frame callback to the next, sorted.
    pub frames: Vec<Duration>,
    /// From a motion of the pointer to its event, sorted.
    pub latencies: Vec<Duration>,
    /// The compositor's resident memory at the most, in MiB.
    pub resident: u64,
}

impl Figures {
    /// The length that 99 of 100 frames are within.
    #[must_use]
    pub fn p99(&self) -> Duration {
        self.frames.get(self.frames.len() * 99 / 100).copied().unwrap_or_default()
    }

    /// The slowest motion.
    #[must_use]
    pub fn slowest(&self) -> Duration {
        self.latencies.last().copied().unwrap_or_default()
    }
}

/// Draws a frame with each callback until told to stop; the times of callbacks and of motions, by their place.
fn draw(client: &mut Client, window: &mut Window, stop: &AtomicBool) -> (Vec<Instant>, Vec<(i32, Instant)>) {
    let (mut callbacks, mut motions) = (Vec::new(), Vec::new());
    let mut color = 0x0010_2030;
    while !stop.load(Ordering::Relaxed) {
        let frames = client.state.surface(window.number).frames;
        color = (color + 0x0001_0203) & 0x00ff_ffff;
        window.canvas.fill(Rect { x: 0, y: 0, w: 64, h: 64 }, color);
        client.request_frame(&window.surface, window.number);
        client.show(window).expect("the victim lives");
        loop {
            let known = client.state.input.len();
            let number = window.number;
            client
                .wait_until("a frame or a motion", |state| {
                    state.surface(number).frames > frames || state.input.len() > known
                })
                .expect("the victim lives");
            let now = Instant::now();
            for event in &client.state.input[known..] {
                if let InputEvent::Motion(x, _) = event {
                    motions.push((x.round() as i32, now));
                }
            }
            if client.state.surface(window.number).frames > frames {
                callbacks.push(now);
                break;
            }
        }
    }
    (callbacks, motions)
}

/// Moves the pointer over the victim's window for as long as is measured; where and when, and the compositor's memory at the
/// most.
fn push(session: &mut Session, content: Rect, stop: &AtomicBool) -> (Vec<(i32, Instant)>, u64) {
    let start = Instant::now();
    let (mut sent, mut resident, mut x) = (Vec::new(), 0, 1);
    while start.elapsed() < LENGTH {
        x = x % (content.w - 2) + 1;
        sent.push((x, Instant::now()));
        session.input(&[json!({"event": "move", "x": content.x + x, "y": content.y + 20})]);
        resident = resident.max(compositor_mib(session));
        thread::sleep(BETWEEN);
    }
    stop.store(true, Ordering::Relaxed);
    (sent, resident)
}

/// Measures the victim for a while.
fn measure(stage: &mut Stage, client: &mut Client, window: &mut Window) -> Figures {
    let content = stage.content("measured");
    let stop = AtomicBool::new(false);
    let session = &mut stage.session;
    let ((callbacks, motions), (sent, resident)) = thread::scope(|scope| {
        let pushing = scope.spawn(|| push(session, content, &stop));
        let drawn = draw(client, window, &stop);
        (drawn, pushing.join().expect("the pointer moves"))
    });
    let mut frames: Vec<Duration> = callbacks.windows(2).map(|two| two[1] - two[0]).collect();
    frames.sort();
    let mut latencies = Vec::new();
    let mut arrivals = motions.into_iter().peekable();
    for (x, at) in sent {
        while arrivals.next_if(|(_, arrived)| *arrived < at).is_some() {}
        if let Some((_, arrived)) = arrivals.next_if(|(arrived, _)| *arrived == x) {
            latencies.push(arrived - at);
        }
    }
    latencies.sort();
    Figures { frames, latencies, resident }
}

/// The compositor's resident memory, in MiB.
fn compositor_mib(session: &Session) -> u64 {
    let pid = session.compositor().pid();
    let members = session.compositor().members();
    members.iter().find(|member| member.pid == pid).map_or(0, crate::process::Member::resident_mib)
}

/// A kind of flood: what one connection sends until it is ended.
type Flood = fn(&mut Attacker, Globals, &AtomicBool) -> Result<(), ClientError>;

const FLOODS: [(&str, Flood); 9] = [
    ("requests", requests),
    ("commits", commits),
    ("damage", damage),
    ("pools", pools),
    ("windows", windows),
    ("popups", popups),
    ("titles", titles),
    ("clipboard offers", offers),
    ("unread output", unread),
];

fn running(stop: &AtomicBool) -> bool {
    !stop.load(Ordering::Relaxed)
}

fn requests(attacker: &mut Attacker, globals: Globals, stop: &AtomicBool) -> Result<(), ClientError> {
    let surface = attacker.create_surface(globals)?;
    let bytes = Request::new(surface, 5).uint(0).encode().repeat(1000);
    while running(stop) {
        attacker.send_bytes(&bytes, &[])?;
    }
    Ok(())
}

/// A large window whose content is a buffer of the VM's.
fn large(attacker: &mut Attacker, globals: Globals) -> Result<(RawWindow, u32), ClientError> {
    let window = attacker.create_window(globals)?;
    attacker.acknowledge(window)?;
    let memory = painted(700 * 500 * 4, super::stage::PAINT);
    let pool = attacker.create_pool(globals, memory.fd(), 700 * 500 * 4)?;
    let buffer = attacker.create_buffer(pool, 0, (700, 500), 2800)?;
    attacker.show_buffer(window.surface, buffer)?;
    attacker.roundtrip(Deadline::patient())?;
    Ok((window, buffer))
}

fn commits(attacker: &mut Attacker, globals: Globals, stop: &AtomicBool) -> Result<(), ClientError> {
    let (window, buffer) = large(attacker, globals)?;
    let mut frame = Vec::new();
    frame.extend(Request::new(window.surface, 1).uint(buffer).int(0).int(0).encode());
    frame.extend(Request::new(window.surface, 2).int(0).int(0).int(i32::MAX).int(i32::MAX).encode());
    frame.extend(Request::new(window.surface, 6).encode());
    let bytes = frame.repeat(300);
    while running(stop) {
        attacker.send_bytes(&bytes, &[])?;
        attacker.roundtrip(Deadline::patient())?;
    }
    Ok(())
}

fn damage(attacker: &mut Attacker, globals: Globals, stop: &AtomicBool) -> Result<(), ClientError> {
    let (window, buffer) = large(attacker, globals)?;
    let mut frame = Request::new(window.surface, 1).uint(buffer).int(0).int(0).encode();
    for step in 0..250_i32 {
        let (x, y) = ((step * 37) % 690, (step * 53) % 490);
        frame.extend(Request::new(window.surface, 2).int(x).int(y).int(9).int(9).encode());
    }
    frame.extend(Request::new(window.surface, 6).encode());
    while running(stop) {
        attacker.send_bytes(&frame.repeat(8), &[])?;
        attacker.roundtrip(Deadline::patient())?;
    }
    Ok(())
}

fn pools(attacker: &mut Attacker, globals: Globals, stop: &AtomicBool) -> Result<(), ClientError> {
    let memory = Memory::new(1 << 20);
    while running(stop) {
        let pool = attacker.create_pool(globals, memory.fd(), 1 << 20)?;
        let buffer = attacker.create_buffer(pool, 0, (512, 512), 2048)?;
        attacker.send(&Request::new(buffer, 0))?;
        attacker.send(&Request::new(pool, 1))?;
        attacker.roundtrip(Deadline::patient())?;
    }
    Ok(())
}

fn windows(attacker: &mut Attacker, globals: Globals, stop: &AtomicBool) -> Result<(), ClientError> {
    let memory = painted(64 * 64 * 4, super::stage::PAINT);
    let pool = attacker.create_pool(globals, memory.fd(), 64 * 64 * 4)?;
    let buffer = attacker.create_buffer(pool, 0, (64, 64), 256)?;
    while running(stop) {
        let window = attacker.create_window(globals)?;
        attacker.acknowledge(window)?;
        attacker.show_buffer(window.surface, buffer)?;
        attacker.roundtrip(Deadline::patient())?;
        attacker.send(&Request::new(window.toplevel, 0))?;
        attacker.send(&Request::new(window.xdg_surface, 0))?;
        attacker.send(&Request::new(window.surface, 0))?;
    }
    Ok(())
}

fn popups(attacker: &mut Attacker, globals: Globals, stop: &AtomicBool) -> Result<(), ClientError> {
    let (window, _) = large(attacker, globals)?;
    while running(stop) {
        let popup = attacker.create_popup(globals, window.xdg_surface, (200, 200), (0, 0, 1, 1))?;
        attacker.roundtrip(Deadline::patient())?;
        attacker.send(&Request::new(popup.toplevel, 0))?;
        attacker.send(&Request::new(popup.xdg_surface, 0))?;
        attacker.send(&Request::new(popup.surface, 0))?;
    }
    Ok(())
}

fn titles(attacker: &mut Attacker, globals: Globals, stop: &AtomicBool) -> Result<(), ClientError> {
    let (window, _) = large(attacker, globals)?;
    let mut number = 0;
    while running(stop) {
        for _ in 0..50 {
            number += 1;
            let title = format!("{number} {}", "W\u{301}".repeat(300));
            attacker.send(&Request::new(window.toplevel, 2).string(&title))?;
        }
        attacker.commit(window.surface)?;
        attacker.roundtrip(Deadline::patient())?;
    }
    Ok(())
}

fn offers(attacker: &mut Attacker, _: Globals, stop: &AtomicBool) -> Result<(), ClientError> {
    let manager = attacker.bind("wl_data_device_manager", 3)?;
    let seat = attacker.bind("wl_seat", 5)?;
    let device = attacker.made(manager, 1, |request| request.uint(seat))?;
    while running(stop) {
        let source = attacker.made(manager, 0, |request| request)?;
        for number in 0..20 {
            attacker.send(&Request::new(source, 0).string(&format!("text/x-{number}")))?;
        }
        attacker.send(&Request::new(device, 1).uint(source).uint(0))?;
        attacker.roundtrip(Deadline::patient())?;
        attacker.send(&Request::new(source, 1))?;
    }
    Ok(())
}

fn unread(attacker: &mut Attacker, _: Globals, stop: &AtomicBool) -> Result<(), ClientError> {
    while running(stop) {
        let mut bytes = Vec::new();
        for _ in 0..100 {
            let registry = attacker.new_id();
            bytes.extend(Request::new(DISPLAY, 1).uint(registry).encode());
        }
        let deadline = Deadline::after(Duration::from_millis(300));
        attacker.wire().send(&bytes, &[], deadline).map_err(ClientError::Closed)?;
    }
    Ok(())
}

/// Floods from a connection, and from another one when that is ended; how often it was opened.
fn keep_on(hub: &std::path::Path, flood: Flood, stop: &AtomicBool) -> u32 {
    // The VM's programs have processors of their own; here they would take the compositor's, which is another matter.
    let _ = rustix::process::setpriority_process(None, 19);
    let mut opened = 0;
    while running(stop) {
        let Ok(stream) = std::os::unix::net::UnixStream::connect(hub) else { break };
        let wire: Box<dyn crate::raw::Wire + Send> = Box::new(crate::raw::StreamWire::new(stream));
        let flooding = crate::raw::RawClient::new(wire).and_then(|mut attacker| {
            opened += 1;
            let globals = attacker.bind_globals()?;
            flood(&mut attacker, globals, stop)
        });
        if flooding.is_err() && running(stop) {
            // Whoever was ended comes again, but not faster than a program is started.
            thread::sleep(Duration::from_millis(20));
        }
    }
    opened
}

/// What the flood came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// In quiet.
    pub quiet: Figures,
    /// During the flood.
    pub flooded: Figures,
    /// The compositor's memory before, and when the VM is gone, in MiB.
    pub resident: (u64, u64),
    /// Connections of the attacking VM, by kind.
    pub connections: Vec<(&'static str, u32)>,
}

impl Outcome {
    /// How much longer frames took, at the 99th percentile.
    #[must_use]
    pub fn times(&self) -> f64 {
        self.flooded.p99().as_secs_f64() / self.quiet.p99().as_secs_f64().max(1e-6)
    }

    /// In words.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { quiet, flooded, resident: (before, after), connections } = self;
        let millis = |length: Duration| length.as_secs_f64() * 1e3;
        let connections: Vec<String> =
            connections.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        format!(
            "p99 of {} frames {:.1} ms, in quiet {:.1} ms ({:.2} times); slowest of {} motions {:.1} ms, in quiet {:.1} ms; compositor \
             {before} MiB before, {} at the most, {after} after; connections: {}",
            flooded.frames.len(),
            millis(flooded.p99()),
            millis(quiet.p99()),
            self.times(),
            flooded.latencies.len(),
            millis(flooded.slowest()),
            millis(quiet.slowest()),
            flooded.resident,
            connections.join(", "),
        )
    }
}

/// Measures the victim in quiet and during a flood of everything.
///
/// # Panics
///
/// When something cannot be set up, or the victim is ended.
#[must_use]
pub fn flood() -> Outcome {
    let mut stage = Stage::with(options());
    let mut client = stage.session.client(super::stage::VICTIM);
    let mut window =
        client.window(&crate::client::WindowOptions::new("measured", 0x0020_4060)).expect("a window");
    stage.session.wait_window("measured");
    stage.session.focus("measured");
    client.roundtrip().expect("the victim lives");
    // What is loaded once is loaded.
    measure_briefly(&mut stage, &mut client, &mut window);
    let before = compositor_mib(&stage.session);
    let quiet = measure(&mut stage, &mut client, &mut window);
    let hub = stage.session.hub_socket(HOSTILE);
    let stop = AtomicBool::new(false);
    let (flooded, connections) = thread::scope(|scope| {
        let floods: Vec<_> = FLOODS
            .iter()
            .map(|(name, flood)| (*name, scope.spawn(|| keep_on(&hub, *flood, &stop))))
            .collect();
        thread::sleep(Duration::from_secs(1));
        let flooded = measure(&mut stage, &mut client, &mut window);
        stop.store(true, Ordering::Relaxed);
        let connections =
            floods.into_iter().map(|(name, flood)| (name, flood.join().unwrap_or_default())).collect();
        (flooded, connections)
    });
    stage
        .session
        .wait_windows("the end of its windows", |windows| windows.iter().all(|window| window.vm != HOSTILE));
    stage.assert_unharmed();
    let _ = stage.attacker(Place::Vm);
    let after = compositor_mib(&stage.session);
    Outcome { quiet, flooded, resident: (before, after), connections }
}

fn measure_briefly(stage: &mut Stage, client: &mut Client, window: &mut Window) {
    for step in 0..20 {
        client.recolor(window, 0x0020_4060 + step).expect("the victim lives");
    }
    let _ = stage.session.screenshot();
}

/// The flood as a case: panics when it was felt.
///
/// # Panics
///
/// When a figure is beyond its limit.
#[must_use]
pub fn case() -> String {
    let outcome = flood();
    let text = outcome.text();
    assert!(outcome.times() <= MOST_TIMES, "frames take more than {MOST_TIMES} times as long: {text}");
    assert!(outcome.flooded.slowest() <= MOST_LATENCY, "input comes late: {text}");
    let (before, after) = outcome.resident;
    assert!(outcome.flooded.resident <= before + MOST_GROWTH, "the compositor grows: {text}");
    assert!(after <= before + MOST_GROWTH / 4, "the compositor keeps what the VM made it take: {text}");
    text
}
