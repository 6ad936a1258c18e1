//! `zwp_linux_dmabuf_v1`, which `wl-forward` offers itself. Sealed memory stands in for dma-bufs, which take a device.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{MemfdFlags, SealFlags};
use virtio_wl::Region;
use vitrail_proxy::forward::globals::OWN_NAME;
use vitrail_proxy::forward::graphics::GraphicsDevice;
use vitrail_proxy::forward::serve::Resources;
use vitrail_proxy::forward::store::Store;

use crate::scene::{Buffer, Object, REGION_LEN, Scene, mask, rectangles};
use crate::wire::{Args, Message};

const DAMAGE_BUFFER: u16 = 9;
pub const WHOLE: &[(u16, [i32; 4])] = &[(DAMAGE_BUFFER, [0, 0, i32::MAX, i32::MAX])];

const AR24: u32 = u32::from_le_bytes(*b"AR24");
const XR24: u32 = u32::from_le_bytes(*b"XR24");
const RG16: u32 = u32::from_le_bytes(*b"RG16");
const NV12: u32 = u32::from_le_bytes(*b"NV12");

const ALREADY_USED: u32 = 0;
const PLANE_IDX: u32 = 1;
const PLANE_SET: u32 = 2;
const INCOMPLETE: u32 = 3;
const INVALID_FORMAT: u32 = 4;
const INVALID_DIMENSIONS: u32 = 5;
const OUT_OF_BOUNDS: u32 = 6;
const INVALID_WL_BUFFER: u32 = 7;

/// What the compositor's formats for shared memory are, as `wl_shm` numbers them.
const SHM_FORMATS: [u32; 4] = [0, 1, RG16, NV12];

fn device() -> GraphicsDevice {
    GraphicsDevice::at(Path::new("/dev/null")).unwrap()
}

pub fn with_device(device: GraphicsDevice) -> Scene {
    let region = Region::create_memfd(REGION_LEN).unwrap();
    let clone = || Region::from_fd(region.try_clone_fd().unwrap()).unwrap();
    let store = Some(Arc::new(Store::shared(clone(), |_| None).unwrap()));
    Scene::with(Resources { store, graphics: Some(device) }, Some(clone()), Some(region))
}

pub fn scene() -> Scene {
    with_device(device())
}

pub fn without_region() -> Scene {
    Scene::with(Resources { store: None, graphics: Some(device()) }, None, None)
}

/// The application's `zwp_linux_dmabuf_v1`.
pub struct Dmabuf {
    id: u32,
    /// The `wl_shm` of wl-forward's own, as the compositor knows it.
    shm: u32,
    /// What the compositor has still to answer.
    callback: u32,
}

impl Dmabuf {
    /// Binds the global; the compositor has not told its formats yet.
    fn unanswered(scene: &mut Scene, version: u32) -> Self {
        let id = scene.new_id();
        let args = Args::new().u32(OWN_NAME).string("zwp_linux_dmabuf_v1").u32(version).u32(id);
        scene.app.send(2, 0, args);
        let bind = scene.compositor.expect(scene.registry.compositor, 0);
        assert_eq!((bind.word(0), bind.string(1)), (2, "wl_shm".to_owned()));
        let shm = u32::from_ne_bytes(*bind.body.last_chunk().unwrap());
        let callback = scene.compositor.expect(1, 0).word(0);
        Self { id, shm, callback }
    }

    fn answer(&self, scene: &Scene) {
        for format in SHM_FORMATS {
            scene.compositor.send(self.shm, 0, Args::new().u32(format));
        }
        scene.compositor.send(self.callback, 0, Args::new().u32(0));
        scene.compositor.send(1, 1, Args::new().u32(self.callback));
    }

    pub fn bind(scene: &mut Scene) -> Self {
        let dmabuf = Self::unanswered(scene, 5);
        dmabuf.answer(scene);
        // Formats are known when a feedback has come to its end.
        let feedback = dmabuf.feedback(scene);
        while scene.app.next() != (Message { object: feedback, opcode: 0, body: Vec::new() }) {}
        scene.app.fds.clear();
        dmabuf
    }

    fn feedback(&self, scene: &mut Scene) -> u32 {
        let feedback = scene.new_id();
        scene.app.send(self.id, 2, Args::new().u32(feedback));
        feedback
    }

    fn params(&self, scene: &mut Scene) -> u32 {
        let params = scene.new_id();
        scene.app.send(self.id, 1, Args::new().u32(params));
        params
    }

    /// A buffer that is there at once, as the compositor sees it too.
    pub fn buffer(&self, scene: &mut Scene, memory: &File, plane: Plane, size: [i32; 2]) -> Buffer {
        let params = self.params(scene);
        plane.add(scene, params, memory);
        let app = scene.new_id();
        create_immed(scene, params, app, size, AR24);
        self.seen(scene, app, plane, size)
    }

    /// The compositor learns of a buffer, and of its pool if it is the first.
    fn seen(&self, scene: &mut Scene, app: u32, plane: Plane, [width, height]: [i32; 2]) -> Buffer {
        let stride = i32::try_from(plane.stride).unwrap();
        if scene.pool == 0 {
            scene.pool = scene.compositor.expect(self.shm, 0).word(0);
            scene.memory = Some(scene.compositor.fd().into());
        }
        let message = scene.compositor.expect(scene.pool, 0);
        let seen = [message.int(2), message.int(3), message.int(4), message.int(5)];
        assert_eq!(seen, [width, height, stride, 0]);
        let object = Object { app, compositor: message.word(0) };
        Buffer { object, offset: message.word(1).into(), height, stride }
    }
}

/// What is said of the first plane, or of another one.
#[derive(Clone, Copy)]
pub struct Plane {
    index: u32,
    offset: u32,
    stride: u32,
    modifier: u64,
}

impl Plane {
    pub fn at(offset: u32, stride: u32) -> Self {
        Self { index: 0, offset, stride, modifier: 0 }
    }

    fn add(self, scene: &Scene, params: u32, memory: &File) {
        let words = [
            self.index,
            self.offset,
            self.stride,
            u32::try_from(self.modifier >> 32).unwrap(),
            u32::try_from(self.modifier & 0xffff_ffff).unwrap(),
        ];
        let args = words.into_iter().fold(Args::new(), Args::u32);
        scene.app.send_fds(params, 1, &args, &[memory.as_fd()]);
    }
}

fn create_immed(scene: &Scene, params: u32, id: u32, size: [i32; 2], format: u32) {
    scene.app.send(params, 3, Args::new().u32(id).i32s(&size).u32(format).u32(0));
}

fn create(scene: &Scene, params: u32, size: [i32; 2], format: u32, flags: u32) {
    scene.app.send(params, 2, Args::new().i32s(&size).u32(format).u32(flags));
}

/// Memory of the application that cannot become shorter.
fn sealed(len: u64) -> File {
    let memory = unsealed(len);
    rustix::fs::fcntl_add_seals(&memory, SealFlags::SHRINK).unwrap();
    memory
}

fn unsealed(len: u64) -> File {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let memory = rustix::fs::memfd_create(c"buffer", flags).unwrap();
    rustix::fs::ftruncate(&memory, len).unwrap();
    memory.into()
}

fn fill(memory: &File, value: u8) {
    let len = usize::try_from(memory.metadata().unwrap().len()).unwrap();
    memory.write_all_at(&vec![value; len], 0).unwrap();
}

#[test]
fn it_is_offered_once_and_in_the_version_of_this_program_whatever_the_compositor_has() {
    let dmabuf = |scene: Scene| -> Vec<_> {
        scene.globals.into_iter().filter(|(name, _)| name == "zwp_linux_dmabuf_v1").collect()
    };
    assert_eq!(dmabuf(scene()), [("zwp_linux_dmabuf_v1".to_owned(), 5)]);
    assert_eq!(dmabuf(Scene::new()), []);
}

#[test]
fn it_cannot_be_bound_where_it_is_not_offered() {
    let mut scene = Scene::new();
    let app = scene.new_id();
    scene.app.send(2, 0, Args::new().u32(OWN_NAME).string("zwp_linux_dmabuf_v1").u32(5).u32(app));
    let (object, code, message) = scene.error();
    assert_eq!((object, code), (2, 0), "{message}");
}

#[test]
fn the_compositor_s_own_cannot_be_bound_where_it_is_offered_either() {
    let mut scene = scene();
    let app = scene.new_id();
    scene.app.send(2, 0, Args::new().u32(6).string("zwp_linux_dmabuf_v1").u32(4).u32(app));
    let (object, code, message) = scene.error();
    assert_eq!((object, code), (2, 0), "{message}");
}

#[test]
fn feedback_tells_of_the_device_and_of_linear_formats_that_the_compositor_has_for_shared_memory() {
    let mut scene = scene();
    let dmabuf = Dmabuf::unanswered(&mut scene, 4);
    let surface = scene.surface();
    let default = dmabuf.feedback(&mut scene);
    let of_surface = scene.new_id();
    scene.app.send(dmabuf.id, 3, Args::new().u32(of_surface).u32(surface.app));
    dmabuf.answer(&scene);
    for feedback in [default, of_surface] {
        let table = scene.app.expect(feedback, 1);
        let file: File = scene.app.fd().into();
        assert_eq!(u64::from(table.word(0)), file.metadata().unwrap().len());
        let mut entries = vec![0; usize::try_from(table.word(0)).unwrap()];
        file.read_exact_at(&mut entries, 0).unwrap();
        let number = |bytes: &[u8]| u32::from_ne_bytes(bytes.try_into().unwrap());
        let formats: Vec<_> = entries
            .chunks_exact(16)
            .map(|entry| (number(&entry[..4]), u64::from_ne_bytes(entry[8..].try_into().unwrap())))
            .collect();
        assert_eq!(formats, [(AR24, 0), (XR24, 0), (RG16, 0)]);
        assert!(file.write_all_at(b"x", 0).is_err(), "the table can be changed");
        let dev_t: Vec<u8> =
            [8_u32.to_ne_bytes().as_slice(), &rustix::fs::makedev(1, 3).to_ne_bytes()].concat();
        assert_eq!(scene.app.expect(feedback, 2).body, dev_t);
        assert_eq!(scene.app.expect(feedback, 4).body, dev_t);
        assert_eq!(scene.app.expect(feedback, 6).word(0), 0);
        let indices = scene.app.expect(feedback, 5);
        assert_eq!(indices.word(0), 6);
        assert_eq!(indices.body[4..10], [0_u16, 1, 2].map(u16::to_ne_bytes).concat());
        scene.app.expect(feedback, 3);
        scene.app.expect(feedback, 0);
    }
    // Both go away, and so may what made them.
    for object in [default, of_surface, dmabuf.id] {
        scene.app.send(object, 0, Args::new());
        assert_eq!(scene.app.expect(1, 1).word(0), object);
    }
}

#[test]
fn an_application_of_version_3_is_told_of_modifiers_before_its_next_round_trip_is_over() {
    let mut scene = scene();
    let dmabuf = Dmabuf::unanswered(&mut scene, 3);
    let callback = scene.new_id();
    scene.app.send(1, 0, Args::new().u32(callback));
    let upstream = scene.compositor.expect(1, 0).word(0);
    dmabuf.answer(&scene);
    scene.compositor.send(upstream, 0, Args::new().u32(0));
    for format in [AR24, XR24, RG16] {
        let message = scene.app.expect(dmabuf.id, 1);
        assert_eq!([message.word(0), message.word(1), message.word(2)], [format, 0, 0]);
    }
    scene.app.expect(callback, 0);
}

#[test]
fn what_is_drawn_arrives_whatever_the_place_and_the_stride() {
    for mut scene in [scene(), without_region()] {
        let dmabuf = Dmabuf::bind(&mut scene);
        let surface = scene.surface();
        // 256 bytes of pixels in rows of 320, behind 512 that are not the buffer's.
        let memory = sealed(512 + 48 * 320);
        fill(&memory, 0xaa);
        for row in 0..48 {
            memory.write_all_at(&[0x55; 256], 512 + row * 320).unwrap();
        }
        let buffer = dmabuf.buffer(&mut scene, &memory, Plane::at(512, 320), [64, 48]);
        scene.commit(surface, Some(buffer), &[(DAMAGE_BUFFER, [0, 0, 1, 1])]);
        for row in scene.pixels(buffer).chunks_exact(320) {
            assert!(row[..256].iter().all(|byte| *byte == 0x55));
            assert!(row[256..].iter().all(|byte| *byte == 0), "what is between the rows crossed");
        }
    }
}

#[test]
fn only_damage_is_copied_and_what_is_stale() {
    let mut scene = scene();
    let dmabuf = Dmabuf::bind(&mut scene);
    let surface = scene.surface();
    let memory = [sealed(64 * 48 * 4), sealed(64 * 48 * 4)];
    let plane = Plane::at(0, 256);
    let [one, two] = [0, 1].map(|at: usize| dmabuf.buffer(&mut scene, &memory[at], plane, [64, 48]));
    scene.commit(surface, Some(one), WHOLE);
    scene.commit(surface, Some(two), WHOLE);
    scene.commit(surface, Some(one), &[(DAMAGE_BUFFER, [1, 2, 3, 4])]);
    scene.paint(two, 0xee);
    fill(&memory[1], 0x55);
    scene.commit(surface, Some(two), &[(DAMAGE_BUFFER, [10, 5, 20, 7])]);
    let expected = rectangles(64, 48, &[[1, 2, 3, 4], [10, 5, 20, 7]]);
    assert_eq!(mask(&scene.pixels(two), 0x55), expected);
}

#[test]
fn a_buffer_that_is_created_in_time_is_one_like_any_other_and_its_end_frees_its_slot() {
    let mut scene = scene();
    let dmabuf = Dmabuf::bind(&mut scene);
    let surface = scene.surface();
    let memory = sealed(64 * 48 * 4);
    fill(&memory, 0x55);
    for _ in 0..3 {
        let params = dmabuf.params(&mut scene);
        Plane::at(0, 256).add(&scene, params, &memory);
        create(&scene, params, [64, 48], AR24, 0);
        let app = scene.app.expect(params, 0).word(0);
        let buffer = dmabuf.seen(&mut scene, app, Plane::at(0, 256), [64, 48]);
        scene.app.send(params, 0, Args::new());
        assert_eq!(scene.app.expect(1, 1).word(0), params);
        scene.commit(surface, Some(buffer), WHOLE);
        assert!(mask(&scene.pixels(buffer), 0x55).iter().all(|pixel| *pixel));
        scene.compositor.send(buffer.object.compositor, 0, Args::new());
        scene.app.expect(app, 0);
        scene.app.send(app, 0, Args::new());
        scene.compositor.expect(buffer.object.compositor, 0);
        assert!(scene.counters.memory.get() > 0);
        scene.compositor.send(1, 1, Args::new().u32(buffer.object.compositor));
        // The slot is free by the time that an event behind it has arrived.
        scene.compositor.send(surface.compositor, 2, Args::new().i32(1));
        scene.app.expect(surface.app, 2);
        assert_eq!(scene.counters.memory.get(), 0);
    }
}

#[test]
fn dmabuf_and_wl_shm_buffers_share_one_pool() {
    let mut scene = scene();
    let pool = scene.client_pool(64 * 48 * 4);
    pool.fill(0, 64 * 48 * 4, 0x33);
    let shared = scene.buffer(&pool, 0, 64, 48);
    let dmabuf = Dmabuf::bind(&mut scene);
    let memory = sealed(64 * 48 * 4);
    fill(&memory, 0x55);
    let buffer = dmabuf.buffer(&mut scene, &memory, Plane::at(0, 256), [64, 48]);
    let surface = scene.surface();
    for (buffer, value) in [(shared, 0x33), (buffer, 0x55)] {
        scene.commit(surface, Some(buffer), WHOLE);
        assert!(mask(&scene.pixels(buffer), value).iter().all(|pixel| *pixel));
    }
}

/// Expects that an application which does `what` with a `zwp_linux_buffer_params_v1` is told the error.
#[track_caller]
fn assert_refused(what: &str, code: u32, act: impl FnOnce(&Scene, u32, u32)) {
    let mut scene = scene();
    let dmabuf = Dmabuf::bind(&mut scene);
    let (params, buffer) = (dmabuf.params(&mut scene), scene.new_id());
    act(&scene, params, buffer);
    let (object, actual, message) = scene.error();
    assert_eq!((object, actual), (params, code), "{what}: {message}");
    assert!(scene.end().is_err());
}

#[test]
fn planes_that_no_format_has_are_refused() {
    let memory = sealed(64 * 64 * 4);
    let plane = |index| Plane { index, ..Plane::at(0, 256) };
    assert_refused("a fifth plane", PLANE_IDX, |scene, params, _| plane(4).add(scene, params, &memory));
    assert_refused("a plane with a bit that is too high", PLANE_IDX, |scene, params, _| {
        plane(u32::MAX).add(scene, params, &memory);
    });
    assert_refused("the same plane twice", PLANE_SET, |scene, params, _| {
        plane(0).add(scene, params, &memory);
        plane(0).add(scene, params, &memory);
    });
    assert_refused("no plane", INCOMPLETE, |scene, params, id| {
        create_immed(scene, params, id, [64, 64], AR24);
    });
    assert_refused("only a second plane", INCOMPLETE, |scene, params, id| {
        plane(1).add(scene, params, &memory);
        create_immed(scene, params, id, [64, 64], AR24);
    });
    assert_refused("two planes", INCOMPLETE, |scene, params, _| {
        plane(1).add(scene, params, &memory);
        plane(0).add(scene, params, &memory);
        create(scene, params, [64, 64], AR24, 0);
    });
    assert_refused("a plane after the buffer", ALREADY_USED, |scene, params, id| {
        plane(0).add(scene, params, &memory);
        create_immed(scene, params, id, [64, 64], AR24);
        plane(1).add(scene, params, &memory);
    });
    assert_refused("two buffers", ALREADY_USED, |scene, params, id| {
        plane(0).add(scene, params, &memory);
        create_immed(scene, params, id, [64, 64], AR24);
        create(scene, params, [64, 64], AR24, 0);
    });
}

#[test]
fn formats_and_modifiers_that_were_not_announced_are_refused() {
    let memory = sealed(64 * 64 * 4);
    for format in [0, 1, 2, NV12, u32::from_le_bytes(*b"AB24"), AR24 | 1 << 31, u32::MAX] {
        assert_refused("a format", INVALID_FORMAT, |scene, params, id| {
            Plane::at(0, 256).add(scene, params, &memory);
            create_immed(scene, params, id, [64, 64], format);
        });
    }
    for modifier in [1, 1 << 56 | 1, (1 << 56) - 1, u64::MAX] {
        assert_refused("a modifier", INVALID_FORMAT, |scene, params, _| {
            Plane { modifier, ..Plane::at(0, 256) }.add(scene, params, &memory);
            create(scene, params, [64, 64], AR24, 0);
        });
    }
}

#[test]
fn sizes_that_do_not_fit_the_memory_are_refused() {
    let memory = sealed(64 * 64 * 4);
    let plane = Plane::at;
    for (plane, size, code) in [
        (plane(0, 256), [0, 64], INVALID_DIMENSIONS),
        (plane(0, 256), [64, 0], INVALID_DIMENSIONS),
        (plane(0, 256), [-64, 64], INVALID_DIMENSIONS),
        (plane(0, 256), [64, i32::MIN], INVALID_DIMENSIONS),
        (plane(0, 256), [64, 65], OUT_OF_BOUNDS),
        (plane(1, 256), [64, 64], OUT_OF_BOUNDS),
        (plane(0, 255), [64, 64], OUT_OF_BOUNDS),
        (plane(0, 0), [64, 64], OUT_OF_BOUNDS),
        (plane(u32::MAX, 256), [64, 1], OUT_OF_BOUNDS),
        (plane(0, u32::MAX), [64, 1], OUT_OF_BOUNDS),
        (plane(0, 1 << 31), [64, 2], OUT_OF_BOUNDS),
        (plane(0, 1 << 16), [64, 1 << 16], OUT_OF_BOUNDS),
        (plane(0, 256), [i32::MAX, i32::MAX], OUT_OF_BOUNDS),
    ] {
        assert_refused("a size", code, |scene, params, id| {
            plane.add(scene, params, &memory);
            create_immed(scene, params, id, size, AR24);
        });
    }
}

#[test]
fn a_request_of_a_later_version_is_refused() {
    let mut scene = scene();
    let dmabuf = Dmabuf::bind(&mut scene);
    let params = dmabuf.params(&mut scene);
    scene.app.send(params, 4, Args::new().u32(8).u32(0).u32(0));
    let (object, code, message) = scene.error();
    assert_eq!((object, code), (1, 1), "{message}");
}

/// Memory that could become shorter, what has no memory, and images that are upside down.
#[test]
fn what_cannot_be_taken_fails_and_the_application_may_go_on_unless_it_had_not_asked() {
    let pipe = || File::from(rustix::pipe::pipe().unwrap().0);
    let mut scene = scene();
    let dmabuf = Dmabuf::bind(&mut scene);
    for (memory, flags) in [
        (unsealed(64 * 64 * 4), 0),
        (pipe(), 0),
        (File::open("/dev/null").unwrap(), 0),
        (sealed(64 * 64 * 4), 1),
        (sealed(64 * 64 * 4), u32::MAX),
    ] {
        let params = dmabuf.params(&mut scene);
        Plane::at(0, 256).add(&scene, params, &memory);
        create(&scene, params, [64, 64], AR24, flags);
        scene.app.expect(params, 1);
    }
    let memory = sealed(64 * 48 * 4);
    let buffer = dmabuf.buffer(&mut scene, &memory, Plane::at(0, 256), [64, 48]);
    let surface = scene.surface();
    scene.commit(surface, Some(buffer), WHOLE);
    assert_refused("memory that could become shorter", INVALID_WL_BUFFER, |scene, params, id| {
        Plane::at(0, 256).add(scene, params, &unsealed(64 * 64 * 4));
        create_immed(scene, params, id, [64, 64], AR24);
    });
}

#[test]
fn an_icon_is_made_of_shared_memory_only() {
    let mut scene = scene();
    let manager = scene.bind("xdg_toplevel_icon_manager_v1", 1);
    let icon = scene.create(manager, 1, Args::new());
    let dmabuf = Dmabuf::bind(&mut scene);
    let buffer = dmabuf.buffer(&mut scene, &sealed(32 * 32 * 4), Plane::at(0, 128), [32, 32]);
    scene.app.send(icon.app, 2, Args::new().u32(buffer.object.app).i32(1));
    let (object, code, message) = scene.error();
    assert_eq!((object, code), (icon.app, 1), "{message}");
}

/// A device that is drawing until something is written to the pipe.
fn busy_device() -> (GraphicsDevice, File) {
    let (fence, drawn) = rustix::pipe::pipe().unwrap();
    (device().with_fence(move |_| Some(fence.try_clone().unwrap())), drawn.into())
}

/// A commit used to mean that pixels are there. With a graphics device they may come later, and whoever copied at once
/// would show half of a picture.
#[test]
fn a_commit_waits_until_the_device_has_drawn_and_what_the_compositor_says_does_not() {
    let (device, mut drawn) = busy_device();
    let mut scene = with_device(device);
    let dmabuf = Dmabuf::bind(&mut scene);
    let surface = scene.surface();
    let memory = sealed(64 * 48 * 4);
    fill(&memory, 0x11);
    let buffer = dmabuf.buffer(&mut scene, &memory, Plane::at(0, 256), [64, 48]);
    scene.app.send(surface.app, 1, Args::new().u32(buffer.object.app).i32s(&[0, 0]));
    scene.compositor.expect(surface.compositor, 1);
    scene.app.send(surface.app, 6, Args::new());
    // Behind the commit, and not before it.
    let callback = scene.new_id();
    scene.app.send(1, 0, Args::new().u32(callback));
    for scale in 1..4 {
        scene.compositor.send(surface.compositor, 2, Args::new().i32(scale));
        assert_eq!(scene.app.expect(surface.app, 2).int(0), scale);
    }
    fill(&memory, 0x55);
    std::io::Write::write_all(&mut drawn, b"x").unwrap();
    scene.compositor.expect(surface.compositor, 6);
    assert!(mask(&scene.pixels(buffer), 0x55).iter().all(|pixel| *pixel), "copied too early");
    let upstream = scene.compositor.expect(1, 0).word(0);
    scene.compositor.send(upstream, 0, Args::new().u32(0));
    scene.app.expect(callback, 0);
    // The next commits find the device idle.
    scene.commit(surface, Some(buffer), WHOLE);
}

#[test]
fn an_application_or_a_compositor_that_goes_while_the_device_draws_is_not_waited_for() {
    for compositor_goes in [false, true] {
        let (device, _drawn) = busy_device();
        let mut scene = with_device(device);
        let dmabuf = Dmabuf::bind(&mut scene);
        let surface = scene.surface();
        let buffer = dmabuf.buffer(&mut scene, &sealed(64 * 48 * 4), Plane::at(0, 256), [64, 48]);
        scene.app.send(surface.app, 1, Args::new().u32(buffer.object.app).i32s(&[0, 0]));
        scene.compositor.expect(surface.compositor, 1);
        scene.app.send(surface.app, 6, Args::new());
        scene.compositor.send(surface.compositor, 2, Args::new().i32(1));
        scene.app.expect(surface.app, 2);
        let Scene { app, compositor, forward, .. } = scene;
        let (gone, stays) = if compositor_goes { (compositor, app) } else { (app, compositor) };
        drop(gone);
        forward.unwrap().join().unwrap().unwrap();
        drop(stays);
    }
}
