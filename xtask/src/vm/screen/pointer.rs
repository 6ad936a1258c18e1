//! The pointer on a plane of the graphics card: where the kernel says that it is, what the screen shows below it, and what the
//! card was given to show there.

use std::path::Path;

use anyhow::{Result, ensure};

use super::{COMMAND_DEADLINE, Desk, ENVIRONMENT};
use crate::vm::vnc::{self, Cursor};

/// The size of the planes for pointers.
const SIDE: i32 = 64;
/// The fewest pixels that an arrow has.
const ARROW: usize = 60;

/// What the kernel says of the graphics card.
struct Planes {
    /// The buffer that the whole screen shows, if there is one of its size.
    picture: Option<String>,
    /// Where the pointer's plane is, if it is on.
    pointer: Option<(i32, i32)>,
}

impl Planes {
    fn look(desk: &mut Desk, (width, height): (i32, i32)) -> Result<Self> {
        let state = desk.guest.quiet("cat /sys/kernel/debug/dri/0/state", COMMAND_DEADLINE)?;
        let planes = || state.split("plane[").skip(1);
        let place = |plane: &str, width: i32, height: i32| {
            let at = plane.split(&format!("crtc-pos={width}x{height}+")).nth(1)?;
            let (x, y) = at.lines().next()?.split_once('+')?;
            Some((x.parse().ok()?, y.parse().ok()?))
        };
        let is_on = |plane: &&str| !plane.contains("\tfb=0\n");
        let picture = planes().filter(is_on).find(|plane| place(plane, width, height).is_some());
        let picture = picture.and_then(|plane| plane.split("\tfb=").nth(1)?.lines().next());
        Ok(Self {
            picture: picture.map(str::to_owned),
            pointer: planes().filter(is_on).find_map(|plane| place(plane, SIDE, SIDE)),
        })
    }
}

/// Everything of it, with a vitrail that was not told to draw the pointer into the picture, and has nothing to show but its stripe.
pub(super) fn on_its_plane(desk: &mut Desk, vnc: &Path) -> Result<()> {
    eprintln!("==> the pointer is on a plane of its own, and moving it draws nothing");
    desk.end()?;
    desk.guest.check("mount -t debugfs none /sys/kernel/debug", COMMAND_DEADLINE)?;
    desk.guest.check(
        &format!(
            "{ENVIRONMENT}; LIBSEAT_BACKEND=builtin vitrail --backend drm --ready-fd 9 9>/tmp/ready >/tmp/vitrail.log 2>&1 & \
             grep -qx READY=1 </tmp/ready"
        ),
        COMMAND_DEADLINE,
    )?;
    desk.shows_what_was_drawn()?;
    let size = desk.qmp.screen()?.size;
    desk.qmp.point((300, 200), size)?;
    let (at, picture) = wait_pointer(desk, size, (300, 200))?;
    below_it(desk, vnc, at)?;

    // Over the stripe, above which nothing else ever is.
    desk.qmp.point((400, 3), size)?;
    let (at, same) = wait_pointer(desk, size, (400, 3))?;
    ensure!(same == picture, "the screen was drawn anew because the pointer has moved");
    below_it(desk, vnc, at)?;

    eprintln!("==> another console has no pointer of ours");
    desk.qmp.press(&["ctrl", "alt", "f2"])?;
    desk.wait("another console without our pointer", |desk| {
        let active = desk.guest.quiet("cat /sys/class/tty/tty0/active", COMMAND_DEADLINE)?;
        let planes = Planes::look(desk, size)?;
        Ok((active == "tty2" && planes.pointer.is_none()).then_some(()))
    })?;
    desk.guest.check("chvt 1", COMMAND_DEADLINE)?;
    let (at, _) = wait_pointer(desk, size, (400, 3))?;
    desk.qmp.point((500, 300), size)?;
    wait_pointer(desk, size, (500, 300))?;
    ensure!(at.1 < 6, "the pointer came back elsewhere: {at:?}");
    Ok(())
}

/// Waits until the plane is where the tablet points, but for the rounding of its steps. Returns where it is exactly, and the buffer
/// that the whole screen shows.
fn wait_pointer(desk: &mut Desk, size: (i32, i32), wanted: (i32, i32)) -> Result<((i32, i32), String)> {
    desk.wait(&format!("the pointer's plane at {wanted:?}"), |desk| {
        let planes = Planes::look(desk, size)?;
        let near = |(x, y): &(i32, i32)| (x - wanted.0).abs() <= 1 && (y - wanted.1).abs() <= 1;
        Ok(planes.pointer.filter(near).zip(planes.picture))
    })
}

/// The screen shows everything that vitrail says it shows but the pointer, which is exactly what the card has for its plane.
fn below_it(desk: &mut Desk, vnc: &Path, (x, y): (i32, i32)) -> Result<()> {
    let drawn = desk.drawn()?;
    let shown = desk.qmp.screen()?;
    ensure!(shown.size == drawn.size, "the screen has {:?} pixels", shown.size);
    let cursor = vnc::cursor(vnc)?;
    ensure!(cursor.tip == (0, 0), "the pointer's tip is taken for {:?}", cursor.tip);
    let mut arrow = 0;
    for (px, py) in (0..shown.size.1).flat_map(|py| (0..shown.size.0).map(move |px| (px, py))) {
        let above = cursor.pixel(px - x, py - y);
        arrow += usize::from(above.is_some());
        let seen = above.or(shown.pixel(px, py));
        ensure!(seen == drawn.pixel(px, py), "at {px},{py} is {seen:x?}, with the pointer at {x},{y}");
    }
    ensure!(arrow >= ARROW, "the pointer has only {arrow} pixels");
    ensure!(shown.differing(&drawn) >= ARROW / 2, "the pointer is in the picture below its plane, too");
    Ok(())
}

impl Cursor {
    /// The colour of a pixel, counted from the corner; none where what is below shows through.
    fn pixel(&self, x: i32, y: i32) -> Option<u32> {
        let inside = (0..self.size.0).contains(&x) && (0..self.size.1).contains(&y);
        let place = usize::try_from(y * self.size.0 + x).ok().filter(|_| inside)?;
        self.pixels.get(place).copied().flatten()
    }
}
