//! An application, `wl-forward`, the gate's end of the stream and a compositor, with the test at both ends.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rustix::event::PollFlags;
use rustix::fs::MemfdFlags;
use virtio_wl::{Pump, PumpOptions, Region, Role, Socket, SocketOptions};
use vitrail_proxy::forward::counters::Counters;
use vitrail_proxy::forward::serve::{Observer, Resources, ServeError, serve};
use vitrail_proxy::forward::store::Store;

use crate::wire::{Args, PATIENCE, Peer, wait};

/// Size of the region of a scene, in bytes.
pub const REGION_LEN: u64 = 4 << 20;

pub const ARGB: u32 = 0;

/// What the compositor announces: name, interface, version.
pub const GLOBALS: [(u32, &str, u32); 12] = [
    (1, "wl_compositor", 6),
    (2, "wl_shm", 2),
    (3, "wp_viewporter", 1),
    (4, "wl_seat", 99),
    (5, "wl_data_device_manager", 3),
    (6, "zwp_linux_dmabuf_v1", 4),
    (7, "zz_from_the_future_v1", 1),
    (8, "wp_single_pixel_buffer_manager_v1", 1),
    (9, "xdg_toplevel_icon_manager_v1", 1),
    (10, "ext_foreign_toplevel_list_v1", 1),
    (11, "ext_foreign_toplevel_image_capture_source_manager_v1", 1),
    (12, "ext_image_copy_capture_manager_v1", 1),
];

/// An object by the ids that it has at either end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object {
    pub app: u32,
    pub compositor: u32,
}

/// A pool of the application: its file and its id.
pub struct ClientPool {
    pub file: File,
    pub id: u32,
}

impl ClientPool {
    /// Fills `len` bytes from `offset`.
    pub fn fill(&self, offset: u64, len: usize, value: u8) {
        self.file.write_all_at(&vec![value; len], offset).unwrap();
    }
}

/// A buffer of the application, with the place of its slot.
#[derive(Clone, Copy, Debug)]
pub struct Buffer {
    pub object: Object,
    pub offset: u64,
    pub height: i32,
    pub stride: i32,
}

pub struct Scene {
    pub app: Peer,
    pub compositor: Peer,
    pub registry: Object,
    /// What the application was told of: interface and version.
    pub globals: Vec<(String, u32)>,
    /// What the compositor's pool is made of, once there is one.
    pub memory: Option<File>,
    pub region: Option<Region>,
    pub shm: Object,
    pub pool: u32,
    pub counters: Arc<Counters>,
    pub forward: Option<JoinHandle<Result<(), ServeError>>>,
    next_id: u32,
}

impl Scene {
    /// With a shared region.
    pub fn new() -> Self {
        let region = Region::create_memfd(REGION_LEN).unwrap();
        let clone = || Region::from_fd(region.try_clone_fd().unwrap()).unwrap();
        let store = Arc::new(Store::shared(clone(), |_| None).unwrap());
        Self::start(Some(&store), Some(clone()), Some(region))
    }

    /// Without one.
    pub fn without_region() -> Self {
        Self::start(None, None, None)
    }

    /// Another application of the same `wl-forward`.
    pub fn start(store: Option<&Arc<Store>>, gate: Option<Region>, region: Option<Region>) -> Self {
        let resources = Resources { store: store.cloned(), graphics: None };
        Self::with(resources, gate, region)
    }

    /// The same, with whatever the application may use.
    pub fn with(resources: Resources, gate: Option<Region>, region: Option<Region>) -> Self {
        let (app, app_inner) = UnixStream::pair().unwrap();
        let (upstream, gate_stream) = UnixStream::pair().unwrap();
        let (compositor, compositor_inner) = UnixStream::pair().unwrap();
        let shares = resources.store.is_some() && gate.is_some();
        let counters: Arc<Counters> = Arc::default();
        let own = usize::from(resources.graphics.is_some());
        let observer = Observer { counters: counters.clone(), trace: None };
        let forward =
            thread::spawn(move || serve(app_inner.into(), upstream.into(), false, &resources, &observer));
        thread::spawn(move || run_gate(gate_stream.into(), compositor_inner.into(), gate.map(Arc::new)));
        let mut scene = Self {
            app: Peer::new(app),
            compositor: Peer::new(compositor),
            registry: Object { app: 2, compositor: 0 },
            globals: Vec::new(),
            memory: None,
            region,
            shm: Object { app: 0, compositor: 0 },
            pool: 0,
            counters,
            forward: Some(forward),
            next_id: 3,
        };
        scene.app.send(1, 1, Args::new().u32(2));
        scene.registry.compositor = scene.compositor.expect(1, 1).word(0);
        for (name, interface, version) in GLOBALS {
            let args = Args::new().u32(name).string(interface).u32(version);
            scene.compositor.send(scene.registry.compositor, 0, args);
        }
        // Two of them are hidden, without a region two more, and one may be wl-forward's own; tests look at the rest.
        for _ in 0..GLOBALS.len() - if shares { 2 } else { 4 } + own {
            let message = scene.app.expect(2, 0);
            let version = message.body.last_chunk::<4>().unwrap();
            scene.globals.push((message.string(1), u32::from_ne_bytes(*version)));
        }
        scene
    }

    pub fn new_id(&mut self) -> u32 {
        self.next_id += 1;
        self.next_id - 1
    }

    /// The application binds a global.
    pub fn bind(&mut self, interface: &str, version: u32) -> Object {
        let name = GLOBALS.iter().find(|global| global.1 == interface).unwrap().0;
        let app = self.new_id();
        self.app.send(2, 0, Args::new().u32(name).string(interface).u32(version).u32(app));
        let message = self.compositor.expect(self.registry.compositor, 0);
        let id = message.body.last_chunk::<4>().unwrap();
        Object { app, compositor: u32::from_ne_bytes(*id) }
    }

    /// A request of the application that makes an object: `args` come before the new id.
    pub fn create(&mut self, parent: Object, opcode: u16, args: Args) -> Object {
        let app = self.new_id();
        self.app.send(parent.app, opcode, args.u32(app));
        let message = self.compositor.expect(parent.compositor, opcode);
        let id = message.body.last_chunk::<4>().unwrap();
        Object { app, compositor: u32::from_ne_bytes(*id) }
    }

    pub fn surface(&mut self) -> Object {
        let compositor = self.bind("wl_compositor", 6);
        self.create(compositor, 0, Args::new())
    }

    /// A pool of `len` bytes, which the compositor does not learn of. Binds `wl_shm` first if need be.
    pub fn client_pool(&mut self, len: u64) -> ClientPool {
        if self.shm.app == 0 {
            self.shm = self.bind("wl_shm", 2);
        }
        let fd = rustix::fs::memfd_create(c"pool", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        rustix::fs::ftruncate(&fd, len).unwrap();
        let id = self.create_pool(fd.as_fd(), i32::try_from(len).unwrap());
        ClientPool { file: fd.into(), id }
    }

    pub fn create_pool(&mut self, fd: BorrowedFd<'_>, len: i32) -> u32 {
        let id = self.new_id();
        self.app.send_fds(self.shm.app, 0, &Args::new().u32(id).i32(len), &[fd]);
        id
    }

    /// The application sends create_buffer; nothing is awaited.
    pub fn request_buffer(&mut self, pool: u32, [offset, width, height, stride]: [i32; 4]) -> u32 {
        let id = self.new_id();
        let args = Args::new().u32(id).i32s(&[offset, width, height, stride]).u32(ARGB);
        self.app.send(pool, 0, args);
        id
    }

    /// A buffer, as the compositor sees it too. The first one makes the compositor's pool.
    pub fn buffer(&mut self, pool: &ClientPool, offset: i32, width: i32, height: i32) -> Buffer {
        let stride = width * 4;
        let app = self.request_buffer(pool.id, [offset, width, height, stride]);
        if self.pool == 0 {
            let message = self.compositor.expect(self.shm.compositor, 0);
            self.pool = message.word(0);
            self.memory = Some(self.compositor.fd().into());
        }
        let message = self.compositor.expect(self.pool, 0);
        assert_eq!((message.int(2), message.int(3), message.int(4)), (width, height, stride));
        let object = Object { app, compositor: message.word(0) };
        Buffer { object, offset: message.word(1).into(), height, stride }
    }

    /// Attaches, damages and commits, and waits until the compositor has got the commit. `damage` is given as
    /// opcode and rectangle: 2 for damage in surface coordinates, 9 for pixels of the buffer.
    pub fn commit(&mut self, surface: Object, buffer: Option<Buffer>, damage: &[(u16, [i32; 4])]) {
        if let Some(buffer) = buffer {
            self.app.send(surface.app, 1, Args::new().u32(buffer.object.app).i32s(&[0, 0]));
            let message = self.compositor.expect(surface.compositor, 1);
            assert_eq!(message.word(0), buffer.object.compositor);
        }
        for (opcode, rect) in damage {
            self.app.send(surface.app, *opcode, Args::new().i32s(rect));
            self.compositor.expect(surface.compositor, *opcode);
        }
        self.app.send(surface.app, 6, Args::new());
        self.compositor.expect(surface.compositor, 6);
    }

    /// What the compositor sees of a buffer.
    pub fn pixels(&self, buffer: Buffer) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(buffer.stride * buffer.height).unwrap()];
        self.memory.as_ref().unwrap().read_exact_at(&mut bytes, buffer.offset).unwrap();
        bytes
    }

    /// Overwrites the slot of a buffer, so that what is copied afterwards can be told from what is not.
    pub fn paint(&self, buffer: Buffer, value: u8) {
        let len = usize::try_from(buffer.stride * buffer.height).unwrap();
        self.region.as_ref().unwrap().write(buffer.offset, &vec![value; len]).unwrap();
    }

    /// The application expects to be thrown out: object and code of the error.
    pub fn error(&mut self) -> (u32, u32, String) {
        let message = self.app.last().expect("an error came");
        assert_eq!((message.object, message.opcode), (1, 0), "{message:?}");
        (message.word(0), message.word(1), message.string(2))
    }

    /// The application goes away; how `wl-forward` saw it.
    pub fn end(self) -> Result<(), ServeError> {
        drop((self.app, self.compositor));
        self.forward.unwrap().join().unwrap()
    }
}

/// The gate's part: the other end of the stream, without any checks.
pub fn run_gate(stream: OwnedFd, compositor: OwnedFd, region: Option<Arc<Region>>) {
    let options = SocketOptions { region, ..SocketOptions::default() };
    let socket = Socket::new(stream, Role::Acceptor, options).unwrap();
    let mut pump = Pump::new(compositor, socket, &PumpOptions::default()).unwrap();
    while !pump.finished() {
        match pump.turn() {
            Ok(turn) if turn.more => {}
            Ok(_) => assert!(wait(pump.as_fd(), PollFlags::IN, 4 * PATIENCE), "the gate waits for ever"),
            Err(_) => return,
        }
    }
}

/// Which pixels have this value in all their bytes: one boolean for each pixel.
pub fn mask(pixels: &[u8], value: u8) -> Vec<bool> {
    pixels.chunks_exact(4).map(|pixel| pixel.iter().all(|byte| *byte == value)).collect()
}

/// The same for a list of rectangles.
pub fn rectangles(width: i32, height: i32, rects: &[[i32; 4]]) -> Vec<bool> {
    let inside = |x: i32, y: i32| {
        rects.iter().any(|[rx, ry, rw, rh]| x >= *rx && y >= *ry && x < rx + rw && y < ry + rh)
    };
    (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| inside(x, y)).collect()
}
