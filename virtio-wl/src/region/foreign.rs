//! Files of an application, mapped for reading although their owner may shorten them at any time.
//!
//! Reading a mapping costs half of what pread(2) costs, and nothing per row. But an access behind the end of a mapped file
//! is a SIGBUS, which would end the process. So a copy out of such a mapping is *guarded*: while a thread copies, it says
//! which mapping it reads, and a handler of SIGBUS, installed with the first mapping, puts zeros in place of that mapping
//! when the thread faults in it. The copy then runs to its end, the mapping is lost from then on, and the copy fails
//! with [`RegionError::SourceEnded`]. Every other SIGBUS goes to whoever had the signal before.
//!
//! Invariants: `base` points to a mapping of exactly `len` bytes that only this value knows, from its making until it is
//! dropped; the handler replaces its content at the same place and with the same length. A thread's guard is set only
//! while the mapping that it names is borrowed. There is never a reference into a mapping: its file may change while
//! it is copied, which gives torn content.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering, compiler_fence};

use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};

use super::rows::row_offsets;
use super::{Region, RegionError};
use crate::wire::MirrorRect;

/// The beginning of a file of an application in the address space of this process. See the module.
#[derive(Debug)]
pub struct ForeignMapping {
    base: NonNull<u8>,
    len: usize,
    /// The file turned out to be shorter; there are zeros now.
    lost: AtomicBool,
}

// SAFETY: the mapping belongs to the process, not to a thread.
unsafe impl Send for ForeignMapping {}
// SAFETY: through a shared reference it is only read, and the guard of each thread is its own.
unsafe impl Sync for ForeignMapping {}

impl Drop for ForeignMapping {
    fn drop(&mut self) {
        // SAFETY: `base` and `len` are those of the mapping made in `new`, which nobody else knows, and no guard names
        // it, since a guard borrows it. Unmapping a valid range does not fail.
        let _ = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

impl ForeignMapping {
    /// Maps the first `len` bytes of `file`, which need not exist yet. The process gets a handler of SIGBUS.
    ///
    /// # Errors
    ///
    /// The file cannot be mapped, or the handler cannot be installed.
    pub fn new(file: BorrowedFd<'_>, len: usize) -> Result<Self, Errno> {
        install_handler()?;
        // SAFETY: the kernel chooses the address, so the new mapping replaces no other; it is used only through `base`
        // of the value made here, within `len` bytes and under a guard.
        let base =
            unsafe { rustix::mm::mmap(ptr::null_mut(), len, ProtFlags::READ, MapFlags::SHARED, file, 0) }?;
        Ok(Self { base: NonNull::new(base.cast()).ok_or(Errno::NOMEM)?, len, lost: AtomicBool::new(false) })
    }

    /// Runs `copy`, which reads the mapping. False: not all of it was there.
    fn guarded(&self, copy: impl FnOnce(*const u8)) -> bool {
        if self.lost.load(Ordering::Relaxed) {
            return false;
        }
        let start = self.base.as_ptr() as usize;
        GUARD.with(|guard| {
            guard.faulted.set(false);
            guard.range.set((start, self.len));
            // The handler runs in this thread, between any two of its instructions.
            compiler_fence(Ordering::SeqCst);
            copy(self.base.as_ptr());
            compiler_fence(Ordering::SeqCst);
            guard.range.set((0, 0));
            self.lost.store(guard.faulted.get(), Ordering::Relaxed);
            !guard.faulted.get()
        })
    }
}

impl Region {
    /// Copies the rectangle `rect` out of an application's file. In the file the rows lie at `source_offset` with the same
    /// stride.
    ///
    /// # Errors
    ///
    /// The rectangle is not within the region, or in the file not within the mapping: then nothing was copied. Or the file
    /// has become shorter: then it must not be copied from this mapping again.
    pub fn copy_from_foreign_rows(
        &self,
        source: &ForeignMapping,
        source_offset: u64,
        rect: MirrorRect,
    ) -> Result<(), RegionError> {
        self.check(rect)?;
        let ended = RegionError::SourceEnded(source_offset);
        let mapped = u64::try_from(source.len).unwrap_or(u64::MAX);
        if !(MirrorRect { offset: source_offset, ..rect }).fits(mapped) {
            return Err(ended);
        }
        let whole = rect.row_len == rect.stride;
        let row_len = if whole { rect.content_len() } else { rect.row_len.into() };
        let rows = if whole { 1 } else { usize::try_from(rect.rows).unwrap_or(usize::MAX) };
        let row_len = usize::try_from(row_len).unwrap_or(usize::MAX);
        let from = usize::try_from(source_offset).unwrap_or(usize::MAX);
        // Checked before the copy, so that nothing can fail while the guard is set.
        let first = self.pointer(rect.offset, row_len)?;
        let copied = source.guarded(|base| {
            for offset in row_offsets(rect).take(rows) {
                let row = usize::try_from(offset - rect.offset).unwrap_or(usize::MAX);
                let (source, target) = (base.wrapping_add(from).wrapping_add(row), first.wrapping_add(row));
                // SAFETY: `rect` lies within the region at `rect.offset` and within the mapping at `source_offset`, so
                // both rows are valid for `row_len` bytes. Nobody has a reference into either. Both may be mappings of
                // one file, so the copy is one that allows for overlap. A fault of the source is answered by the handler.
                unsafe { ptr::copy(source, target, row_len) };
            }
        });
        if copied { Ok(()) } else { Err(ended) }
    }
}

/// What a thread is copying.
struct Guard {
    /// Address and length of the mapping; length 0 outside of copies.
    range: Cell<(usize, usize)>,
    /// The handler has put zeros there.
    faulted: Cell<bool>,
}

thread_local! {
    // Made at compile time and never dropped, so that the handler finds it without allocating anything.
    static GUARD: Guard = const { Guard { range: Cell::new((0, 0)), faulted: Cell::new(false) } };
}

/// What SIGBUS did before, or why the handler could not be installed.
static BEFORE: OnceLock<Result<Before, Errno>> = OnceLock::new();

struct Before(libc::sigaction);

fn default_action() -> libc::sigaction {
    // SAFETY: a sigaction of zeros is a valid one: the default action, an empty mask, no flags.
    unsafe { std::mem::zeroed() }
}

fn install_handler() -> Result<(), Errno> {
    let installed = BEFORE.get_or_init(|| {
        let (mut ours, mut before) = (default_action(), default_action());
        let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = on_bus_error;
        ours.sa_sigaction = handler as *const () as usize;
        ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // SAFETY: both are valid for the call, and the handler does only what a handler may do: see there.
        if unsafe { libc::sigaction(libc::SIGBUS, &raw const ours, &raw mut before) } == 0 {
            return Ok(Before(before));
        }
        Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL))
    });
    installed.as_ref().map(drop).map_err(|error| *error)
}

/// Puts zeros in place of the mapping that this thread is copying, or lets the earlier handler have the signal.
///
/// It calls nothing but mmap(2) and sigaction(2), takes no lock and allocates nothing.
extern "C" fn on_bus_error(_: c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
    // SAFETY: with SA_SIGINFO the kernel gives a valid siginfo, which nobody else writes.
    let info = unsafe { &*info };
    // SAFETY: that of SIGBUS has an address.
    let address = unsafe { info.si_addr() } as usize;
    let replaced = GUARD.with(|guard| {
        let (start, len) = guard.range.get();
        if len == 0 || address < start || address - start >= len {
            return false;
        }
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
        // SAFETY: the range is exactly that of a mapping that the copying thread, which is this one, has borrowed; only
        // raw pointers of that copy are into it.
        let zeros = unsafe { libc::mmap(start as *mut c_void, len, libc::PROT_READ, flags, -1, 0) };
        let done = zeros != libc::MAP_FAILED;
        guard.faulted.set(done);
        done
    });
    if replaced {
        return;
    }
    // The instruction faults again, for whoever had the signal before, or for the default, which ends the process.
    if let Some(Ok(before)) = BEFORE.get() {
        // SAFETY: this is what sigaction(2) itself has given out.
        unsafe { libc::sigaction(libc::SIGBUS, &raw const before.0, ptr::null_mut()) };
    } else {
        let default = default_action();
        // SAFETY: it is valid for the call.
        unsafe { libc::sigaction(libc::SIGBUS, &raw const default, ptr::null_mut()) };
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;
    use std::os::fd::AsFd as _;
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::Command;

    use super::*;

    const PAGE: usize = 4096;

    fn rect(offset: u64, row_len: u32, stride: u32, rows: u32) -> MirrorRect {
        MirrorRect { offset, row_len, stride, rows }
    }

    fn file(len: usize) -> File {
        let mut file = tempfile::tempfile().expect("temporary file");
        let bytes: Vec<u8> = (0..len).map(|place| u8::try_from(place % 251).expect("a byte")).collect();
        file.write_all(&bytes).expect("written");
        file
    }

    fn byte_at(region: &Region, offset: u64) -> u8 {
        let mut byte = [0];
        region.read_into(offset, &mut byte).expect("within the region");
        byte[0]
    }

    #[test]
    fn rows_are_copied_to_their_places_and_nowhere_else() {
        let region = Region::create_memfd(64 * 1024).expect("created");
        let source = ForeignMapping::new(file(3 * PAGE).as_fd(), 3 * PAGE).expect("mapped");
        region.copy_from_foreign_rows(&source, 100, rect(8192, 3, 10, 3)).expect("copied");
        let found: Vec<u8> = (8190..8215).map(|offset| byte_at(&region, offset)).collect();
        let expected =
            [0, 0, 100, 101, 102, 0, 0, 0, 0, 0, 0, 0, 110, 111, 112, 0, 0, 0, 0, 0, 0, 0, 120, 121, 122];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_file_that_was_shortened_fails_the_copy_and_not_the_process() {
        let region = Region::create_memfd(64 * 1024).expect("created");
        let short = file(8 * PAGE);
        let source = ForeignMapping::new(short.as_fd(), 8 * PAGE).expect("mapped");
        let all = rect(8192, 4096, 4096, 8);
        region.copy_from_foreign_rows(&source, 0, all).expect("copied");
        short.set_len(PAGE as u64).expect("shortened");
        for _ in 0..2 {
            let error = region.copy_from_foreign_rows(&source, 0, all).expect_err("too short");
            assert!(matches!(error, RegionError::SourceEnded(0)), "{error}");
        }
        // Another mapping of another file is as good as before.
        let other = ForeignMapping::new(file(PAGE).as_fd(), PAGE).expect("mapped");
        region.copy_from_foreign_rows(&other, 0, rect(8192, 4096, 4096, 1)).expect("copied");
        assert_eq!(byte_at(&region, 8192 + 7), 7);
    }

    #[test]
    fn threads_that_fault_at_the_same_time_do_not_disturb_each_other() {
        let copy = |len: usize| {
            let region = Region::create_memfd(64 * 1024).expect("created");
            let source = ForeignMapping::new(file(len).as_fd(), 8 * PAGE).expect("mapped");
            region.copy_from_foreign_rows(&source, 0, rect(8192, 4096, 4096, 8)).is_ok()
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16)
                .map(|n| scope.spawn(move || copy(if n % 2 == 0 { PAGE } else { 8 * PAGE })))
                .collect();
            let results: Vec<bool> =
                threads.into_iter().map(|thread| thread.join().expect("ended")).collect();
            assert_eq!(results, [false, true].repeat(8));
        });
    }

    #[test]
    fn a_rectangle_outside_of_the_mapping_or_the_region_is_not_copied() {
        let region = Region::create_memfd(64 * 1024).expect("created");
        let source = ForeignMapping::new(file(PAGE).as_fd(), PAGE).expect("mapped");
        for (offset, bad) in
            [(1, rect(8192, 4096, 4096, 1)), (0, rect(8192, 1, 4096, 2)), (u64::MAX, rect(8192, 1, 1, 1))]
        {
            assert!(region.copy_from_foreign_rows(&source, offset, bad).is_err(), "{bad:?}");
        }
        assert!(region.copy_from_foreign_rows(&source, 0, rect(64 * 1024, 1, 1, 1)).is_err());
    }

    #[test]
    fn a_bus_error_of_somebody_else_still_ends_the_process() {
        const CHILD: &str = "VIRTIO_WL_TEST_BUS_ERROR";
        if std::env::var_os(CHILD).is_some() {
            let short = file(PAGE);
            let mapping = ForeignMapping::new(short.as_fd(), PAGE).expect("mapped");
            short.set_len(0).expect("shortened");
            // SAFETY: the address is mapped; that nothing is behind it is what this process is to end of.
            unsafe { mapping.base.as_ptr().read_volatile() };
            return;
        }
        let this = std::env::current_exe().expect("this program");
        let mut child = Command::new(this);
        child
            .args(["--exact", "region::foreign::tests::a_bus_error_of_somebody_else_still_ends_the_process"]);
        let status = child.env(CHILD, "1").stdout(std::process::Stdio::null()).status().expect("started");
        assert_eq!(status.signal(), Some(libc::SIGBUS), "{status}");
    }
}
