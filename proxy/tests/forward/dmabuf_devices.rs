//! Real dma-bufs: those that the kernel makes of memory (udmabuf), of a virtio-gpu, and of vgem, the kernel's device without
//! hardware, which draws for as long as it is told.
//!
//! Machines without `/dev/udmabuf` leave the first ones out, and the others are for the guest of `cargo xtask vm dmabufs` alone:
//! on a desk the devices belong to the person who sits there.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags, mmap};
use vitrail_proxy::forward::graphics::{self, GraphicsDevice, GraphicsMemory, ReadAccess};

use crate::dmabuf::{Dmabuf, Plane, WHOLE, scene, with_device, without_region};
use crate::scene::{mask, rectangles};
use crate::wire::Args;

const DAMAGE_BUFFER: u16 = 9;

/// Set in the guest, where graphics devices belong to nobody.
const GUEST: &str = "VITRAIL_GRAPHICS_GUEST";

/// `UDMABUF_CREATE` with `struct udmabuf_create` (linux/udmabuf.h).
const UDMABUF_CREATE: libc::Ioctl = 0x4018_7542;
#[repr(C)]
struct UdmabufCreate {
    memfd: u32,
    flags: u32,
    offset: u64,
    size: u64,
}

/// `DRM_IOCTL_MODE_CREATE_DUMB` with `struct drm_mode_create_dumb` (drm/drm_mode.h).
const CREATE_DUMB: libc::Ioctl = 0xc020_64b2;
#[repr(C)]
#[derive(Default)]
struct CreateDumb {
    height: u32,
    width: u32,
    bits_per_pixel: u32,
    flags: u32,
    handle: u32,
    pitch: u32,
    size: u64,
}

/// `DRM_IOCTL_MODE_MAP_DUMB` with `struct drm_mode_map_dumb`.
const MAP_DUMB: libc::Ioctl = 0xc010_64b3;
#[repr(C)]
#[derive(Default)]
struct MapDumb {
    handle: u32,
    pad: u32,
    offset: u64,
}

/// `DRM_IOCTL_PRIME_HANDLE_TO_FD` with `struct drm_prime_handle` (drm/drm.h).
const HANDLE_TO_FD: libc::Ioctl = 0xc00c_642d;
#[repr(C)]
#[derive(Default)]
struct PrimeHandle {
    handle: u32,
    flags: u32,
    fd: i32,
}

/// `DRM_IOCTL_VGEM_FENCE_ATTACH` with `struct drm_vgem_fence_attach` (drm/vgem_drm.h).
const FENCE_ATTACH: libc::Ioctl = 0xc010_6441;
#[repr(C)]
#[derive(Default)]
struct FenceAttach {
    handle: u32,
    flags: u32,
    fence: u32,
    pad: u32,
}

/// `DRM_IOCTL_VGEM_FENCE_SIGNAL` with `struct drm_vgem_fence_signal`.
const FENCE_SIGNAL: libc::Ioctl = 0x4008_6442;
#[repr(C)]
#[derive(Default)]
struct FenceSignal {
    fence: u32,
    flags: u32,
}

/// Calls an ioctl with the argument that belongs to its number, and returns what the kernel does.
#[track_caller]
fn call<T>(device: &File, number: libc::Ioctl, argument: &mut T) -> i32 {
    // The size stands in the number.
    assert_eq!(usize::try_from(number >> 16 & 0x3fff), Ok(size_of::<T>()));
    // SAFETY: the argument has the size that the number says, so the kernel touches nothing else.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), number, std::ptr::from_mut(argument)) };
    assert!(result >= 0, "ioctl {number:#x}: {}", std::io::Error::last_os_error());
    result
}

/// A dma-buf of `len` bytes, a multiple of a page, and the memory that it is made of. None: this machine cannot make any.
fn dma_buf(len: u64) -> Option<(OwnedFd, File)> {
    let device = match File::options().read(true).write(true).open("/dev/udmabuf") {
        Ok(device) => device,
        Err(error) => {
            left_out(&format!(
                "the tests with dma-bufs are skipped: /dev/udmabuf cannot be opened: {error}\n"
            ));
            return None;
        }
    };
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let memory = rustix::fs::memfd_create(c"udmabuf", flags).unwrap();
    rustix::fs::ftruncate(&memory, len).unwrap();
    rustix::fs::fcntl_add_seals(&memory, SealFlags::SHRINK).unwrap();
    let memfd = memory.as_raw_fd().cast_unsigned();
    // UDMABUF_FLAGS_CLOEXEC
    let mut create = UdmabufCreate { memfd, flags: 1, offset: 0, size: len };
    let fd = call(&device, UDMABUF_CREATE, &mut create);
    // SAFETY: the kernel has just made the descriptor for this caller.
    Some((unsafe { OwnedFd::from_raw_fd(fd) }, memory.into()))
}

/// Says what this machine leaves out, as `cargo xtask test` wants to hear it.
fn left_out(line: &str) {
    // Not by eprintln!, which nobody sees of a test that passes.
    let _ = std::io::stderr().write_all(line.as_bytes());
    if let Some(path) = std::env::var_os("VITRAIL_LEFT_OUT") {
        let mut file = File::options().append(true).create(true).open(path).unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }
}

#[test]
fn a_dma_buf_is_recognised_and_read_by_its_mapping() {
    let Some((buffer, _memory)) = dma_buf(3 * 4096) else { return };
    assert_eq!(GraphicsMemory::of(buffer.as_fd()), Some(GraphicsMemory::DmaBuf));
    assert_eq!(graphics::len(buffer.as_fd()), Ok(3 * 4096));
    assert!(graphics::is_drawn(buffer.as_fd()), "nobody draws in it");
    drop(ReadAccess::begin(GraphicsMemory::DmaBuf, buffer.as_fd()).unwrap());
    // read(2) is not for dma-bufs, so there is no other way than the mapping.
    assert!(File::from(buffer).read_at(&mut [0], 0).is_err());
}

#[test]
fn what_is_drawn_in_a_dma_buf_arrives() {
    for mut scene in [scene(), without_region()] {
        // 48 rows of 256 bytes of pixels each and 64 more, behind a page that is not the buffer's.
        let Some((buffer, memory)) = dma_buf(5 * 4096) else { return };
        let dma_buf = File::from(buffer);
        let dmabuf = Dmabuf::bind(&mut scene);
        let surface = scene.surface();
        memory.write_all_at(&[0xaa; 5 * 4096], 0).unwrap();
        let buffer = dmabuf.buffer(&mut scene, &dma_buf, Plane::at(4096, 320), [64, 48]);
        let fill = |value| {
            for row in 0..48 {
                memory.write_all_at(&[value; 256], 4096 + row * 320).unwrap();
            }
        };
        fill(0x55);
        scene.commit(surface, Some(buffer), WHOLE);
        for row in scene.pixels(buffer).chunks_exact(320) {
            assert!(row[..256].iter().all(|byte| *byte == 0x55));
            assert!(row[256..].iter().all(|byte| *byte == 0), "what is between the rows crossed");
        }
        fill(0x66);
        scene.commit(surface, Some(buffer), &[(DAMAGE_BUFFER, [10, 5, 20, 7])]);
        let copied = mask(&scene.pixels(buffer), 0x66);
        let rows: Vec<bool> = copied.chunks_exact(80).flat_map(|row| row[..64].to_vec()).collect();
        assert_eq!(rows, rectangles(64, 48, &[[10, 5, 20, 7]]));
    }
}

/// The graphics devices of the guest. None: this is somebody's machine.
fn devices() -> Option<Vec<PathBuf>> {
    if std::env::var_os(GUEST).is_none() {
        let line = "the tests with graphics devices are skipped: this is not the guest of `cargo xtask vm dmabufs`\n";
        left_out(line);
        return None;
    }
    let entries = fs::read_dir("/dev/dri").unwrap().map(|entry| entry.unwrap().path());
    Some(entries.filter(|path| path.to_str().unwrap().contains("/card")).collect())
}

/// Where the kernel has the device behind a node.
fn place(node: &Path) -> String {
    let link = Path::new("/sys/class/drm").join(node.file_name().unwrap());
    fs::canonicalize(link).unwrap().to_str().unwrap().to_owned()
}

/// Memory of a device for 64 by 48 pixels, which the test draws in by the processor.
struct DumbBuffer {
    device: File,
    handle: u32,
    stride: u32,
    dma_buf: File,
    pixels: *mut u8,
    len: usize,
}

impl DumbBuffer {
    fn new(node: &Path) -> Self {
        let device = File::options().read(true).write(true).open(node).unwrap();
        let mut dumb = CreateDumb { height: 48, width: 64, bits_per_pixel: 32, ..CreateDumb::default() };
        call(&device, CREATE_DUMB, &mut dumb);
        let handle = dumb.handle;
        let mut map = MapDumb { handle, ..MapDumb::default() };
        call(&device, MAP_DUMB, &mut map);
        let flags = (libc::O_CLOEXEC | libc::O_RDWR).cast_unsigned();
        let mut prime = PrimeHandle { handle, flags, fd: -1 };
        call(&device, HANDLE_TO_FD, &mut prime);
        // SAFETY: the kernel has just made the descriptor for this caller.
        let dma_buf = unsafe { OwnedFd::from_raw_fd(prime.fd) }.into();
        let len = usize::try_from(dumb.size).unwrap();
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses the address, and it is used by `fill` alone, within `len` bytes. The mapping stays for
        // as long as the process.
        let mapped =
            unsafe { mmap(std::ptr::null_mut(), len, access, MapFlags::SHARED, &device, map.offset) };
        Self { device, handle, stride: dumb.pitch, dma_buf, pixels: mapped.unwrap().cast(), len }
    }

    fn fill(&self, value: u8) {
        // SAFETY: so many bytes are mapped there, and there is no reference to them.
        unsafe { std::ptr::write_bytes(self.pixels, value, self.len) };
    }
}

#[test]
fn what_is_drawn_in_memory_of_a_device_arrives() {
    let Some(nodes) = devices() else { return };
    let has = |name: &str| nodes.iter().any(|node| place(node).contains(name));
    assert!(has("/vgem/") && has("/pci"), "a device is missing: {nodes:?}");
    for node in nodes {
        let memory = DumbBuffer::new(&node);
        memory.fill(0x11);
        let mut scene = with_device(GraphicsDevice::at(&node).unwrap());
        let dmabuf = Dmabuf::bind(&mut scene);
        let surface = scene.surface();
        let buffer = dmabuf.buffer(&mut scene, &memory.dma_buf, Plane::at(0, memory.stride), [64, 48]);
        memory.fill(0x55);
        scene.commit(surface, Some(buffer), WHOLE);
        assert!(mask(&scene.pixels(buffer), 0x55).iter().all(|pixel| *pixel), "{node:?}");
        memory.fill(0x66);
        scene.commit(surface, Some(buffer), &[(DAMAGE_BUFFER, [10, 5, 20, 7])]);
        assert_eq!(mask(&scene.pixels(buffer), 0x66), rectangles(64, 48, &[[10, 5, 20, 7]]), "{node:?}");
    }
}

#[test]
fn a_commit_waits_for_the_fence_that_the_kernel_keeps_with_the_buffer() {
    let Some(nodes) = devices() else { return };
    let node = nodes.into_iter().find(|node| place(node).contains("/vgem/")).unwrap();
    let memory = DumbBuffer::new(&node);
    memory.fill(0x11);
    let mut scene = with_device(GraphicsDevice::at(&node).unwrap());
    let dmabuf = Dmabuf::bind(&mut scene);
    let surface = scene.surface();
    let buffer = dmabuf.buffer(&mut scene, &memory.dma_buf, Plane::at(0, memory.stride), [64, 48]);
    // VGEM_FENCE_WRITE
    let mut fence = FenceAttach { handle: memory.handle, flags: 1, ..FenceAttach::default() };
    call(&memory.device, FENCE_ATTACH, &mut fence);
    assert!(!graphics::is_drawn(memory.dma_buf.as_fd()));
    scene.app.send(surface.app, 1, Args::new().u32(buffer.object.app).i32s(&[0, 0]));
    scene.compositor.expect(surface.compositor, 1);
    scene.app.send(surface.app, 6, Args::new());
    for scale in 1..4 {
        scene.compositor.send(surface.compositor, 2, Args::new().i32(scale));
        assert_eq!(scene.app.expect(surface.app, 2).int(0), scale);
    }
    memory.fill(0x55);
    call(&memory.device, FENCE_SIGNAL, &mut FenceSignal { fence: fence.fence, flags: 0 });
    scene.compositor.expect(surface.compositor, 6);
    assert!(mask(&scene.pixels(buffer), 0x55).iter().all(|pixel| *pixel), "copied too early");
}
