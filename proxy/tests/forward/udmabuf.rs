//! Real dma-bufs. The kernel's udmabuf makes them of sealed memory, so that what they hold can be told without a graphics
//! device. Machines without `/dev/udmabuf` leave these tests out; `cargo xtask vm dmabufs` runs them in a guest.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;

use rustix::fs::{MemfdFlags, SealFlags};
use vitrail_proxy::forward::graphics::{self, GraphicsMemory, ReadAccess};

use crate::dmabuf::{Dmabuf, Plane, WHOLE, scene, without_region};
use crate::scene::{mask, rectangles};

const DAMAGE_BUFFER: u16 = 9;

/// `UDMABUF_CREATE` (linux/udmabuf.h).
const CREATE: libc::Ioctl = 0x4018_7542;

/// `struct udmabuf_create`.
#[repr(C)]
struct Create {
    memfd: u32,
    flags: u32,
    offset: u64,
    size: u64,
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
    let create = Create { memfd, flags: 1, offset: 0, size: len };
    // SAFETY: the number is that of an ioctl with an argument of this type, which the kernel reads during the call.
    let fd = unsafe { libc::ioctl(device.as_raw_fd(), CREATE, &raw const create) };
    assert!(fd >= 0, "no dma-buf: {}", std::io::Error::last_os_error());
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
