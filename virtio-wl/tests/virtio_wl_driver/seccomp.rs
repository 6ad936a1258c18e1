//! System calls of the child that come here: the filter, the notifications, and the child's memory and descriptors.

use std::ffi::c_void;
use std::mem::{offset_of, size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::Errno;

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;

/// Which calls the driver has a say in, with what one half of an argument has to be, if any: its index and the value.
const NOTIFIED: &[(libc::c_long, Option<Test>)] = &[
    (libc::SYS_openat, None),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_open, None),
    (libc::SYS_ioctl, Some(Test::Is(1, super::device::IOCTL_NEW))),
    (libc::SYS_ioctl, Some(Test::Is(1, super::device::IOCTL_SEND))),
    (libc::SYS_ioctl, Some(Test::Is(1, super::device::IOCTL_RECV))),
    // Only mappings of files.
    (libc::SYS_mmap, Some(Test::IsNot(4, u32::MAX))),
    (libc::SYS_fcntl, Some(Test::Is(1, 3))), // F_GETFL
    (libc::SYS_fstat, None),
    (libc::SYS_newfstatat, Some(Test::Has(3, 0x1000))), // AT_EMPTY_PATH
    (libc::SYS_pread64, None),
    (libc::SYS_lseek, None),
    (libc::SYS_close, None),
];

/// A condition on the lower half of an argument.
#[derive(Clone, Copy)]
enum Test {
    Is(u32, u32),
    IsNot(u32, u32),
    Has(u32, u32),
}

fn statement(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: u16::try_from(code).expect("an opcode"), jt: 0, jf: 0, k }
}

fn jump(code: u32, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter {
        code: u16::try_from(libc::BPF_JMP | code | libc::BPF_K).expect("an opcode"),
        jt,
        jf,
        k,
    }
}

fn load(offset: usize) -> libc::sock_filter {
    statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, u32::try_from(offset).expect("small"))
}

fn give(action: u32) -> libc::sock_filter {
    statement(libc::BPF_RET | libc::BPF_K, action)
}

fn program() -> Vec<libc::sock_filter> {
    let mut program = vec![
        load(offset_of!(libc::seccomp_data, arch)),
        jump(libc::BPF_JEQ, ARCHITECTURE, 1, 0),
        give(libc::SECCOMP_RET_ALLOW),
    ];
    for &(call, test) in NOTIFIED {
        let call = u32::try_from(call).expect("a call");
        program.push(load(offset_of!(libc::seccomp_data, nr)));
        let Some(test) = test else {
            program.push(jump(libc::BPF_JEQ, call, 0, 1));
            program.push(give(libc::SECCOMP_RET_USER_NOTIF));
            continue;
        };
        let (Test::Is(index, value) | Test::IsNot(index, value) | Test::Has(index, value)) = test;
        let argument = offset_of!(libc::seccomp_data, args) + 8 * usize::try_from(index).expect("small");
        program.push(jump(libc::BPF_JEQ, call, 0, 3));
        // The lower half comes first on both architectures.
        program.push(load(argument));
        program.push(match test {
            Test::Is(..) => jump(libc::BPF_JEQ, value, 0, 1),
            Test::IsNot(..) => jump(libc::BPF_JEQ, value, 1, 0),
            Test::Has(..) => jump(libc::BPF_JSET, value, 0, 1),
        });
        program.push(give(libc::SECCOMP_RET_USER_NOTIF));
    }
    program.push(give(libc::SECCOMP_RET_ALLOW));
    program
}

/// Puts the filter on this thread. Whoever holds the descriptor answers for it.
pub(super) fn supervise_this_thread() -> Result<OwnedFd, Errno> {
    let mut program = program();
    let len = u16::try_from(program.len()).expect("short");
    let program = libc::sock_fprog { len, filter: program.as_mut_ptr() };
    // SAFETY: this prctl has no pointers. It only takes rights away.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(last_error());
    }
    // SAFETY: the program outlives the call, which copies it.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw const program,
        )
    };
    let fd = RawFd::try_from(fd).expect("a descriptor");
    if fd < 0 {
        return Err(last_error());
    }
    // SAFETY: the kernel has just made the descriptor for this process.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).expect("a system call has failed")
}

/// A call of the child that waits for its answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    id: u64,
    thread: libc::pid_t,
    pub(super) number: libc::c_long,
    pub(super) arguments: [u64; 6],
}

impl Call {
    /// An argument that is a descriptor or another number of 32 bits.
    pub(super) fn int(&self, index: usize) -> i32 {
        // Only the lower half counts.
        self.arguments[index] as i32
    }
}

/// A call that opens a file.
pub(super) struct Open {
    /// Where the path is in the child's memory.
    pub(super) path: u64,
    pub(super) flags: i32,
}

impl Call {
    /// `None` if it opens nothing.
    pub(super) fn as_open(&self) -> Option<Open> {
        match self.number {
            #[cfg(target_arch = "x86_64")]
            libc::SYS_open => Some(Open { path: self.arguments[0], flags: self.int(1) }),
            libc::SYS_openat => Some(Open { path: self.arguments[1], flags: self.int(2) }),
            _ => None,
        }
    }
}

/// What the child is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The kernel is to handle the call as if there was no filter.
    Continue,
    Value(i64),
    Error(Errno),
}

/// Where the calls come from.
#[derive(Debug)]
pub(super) struct Listener(OwnedFd);

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Listener {
    pub(super) fn new(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// The next call. `None` if the child has died in it.
    pub(super) fn next(&self) -> Option<Call> {
        // SAFETY: the structure consists of integers; the kernel demands that it is all zero.
        let mut notification: libc::seccomp_notif = unsafe { zeroed() };
        self.ioctl(libc::SECCOMP_IOCTL_NOTIF_RECV, (&raw mut notification).cast()).ok()?;
        Some(Call {
            id: notification.id,
            thread: libc::pid_t::try_from(notification.pid).expect("a process"),
            number: notification.data.nr.into(),
            arguments: notification.data.args,
        })
    }

    pub(super) fn answer(&self, call: Call, answer: Answer) {
        // SAFETY: the structure consists of integers.
        let mut response: libc::seccomp_notif_resp = unsafe { zeroed() };
        response.id = call.id;
        match answer {
            Answer::Continue => {
                response.flags = u32::try_from(libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE).expect("a flag");
            }
            Answer::Value(value) => response.val = value,
            Answer::Error(error) => response.error = -error.raw_os_error(),
        }
        // The child may have been killed meanwhile.
        let _ = self.ioctl(libc::SECCOMP_IOCTL_NOTIF_SEND, (&raw mut response).cast());
    }

    /// Whether the thread that made the call still waits for its answer, so that what was read of its memory was its.
    fn is_valid(&self, call: Call) -> bool {
        let mut id = call.id;
        self.ioctl(libc::SECCOMP_IOCTL_NOTIF_ID_VALID, (&raw mut id).cast()).is_ok()
    }

    /// Gives the child a descriptor, close-on-exec. The number is the child's.
    pub(super) fn install(&self, call: Call, fd: BorrowedFd<'_>) -> Result<RawFd, Errno> {
        let mut addition = libc::seccomp_notif_addfd {
            id: call.id,
            flags: 0,
            srcfd: u32::try_from(fd.as_raw_fd()).expect("a descriptor"),
            newfd: 0,
            newfd_flags: u32::try_from(libc::O_CLOEXEC).expect("a flag"),
        };
        self.ioctl(libc::SECCOMP_IOCTL_NOTIF_ADDFD, (&raw mut addition).cast())
    }

    fn ioctl(&self, number: libc::Ioctl, argument: *mut c_void) -> Result<i32, Errno> {
        loop {
            // SAFETY: all callers pass a structure of the kind that the number stands for, which outlives the call.
            let result = unsafe { libc::ioctl(self.0.as_raw_fd(), number, argument) };
            if result >= 0 {
                return Ok(result);
            }
            match last_error() {
                Errno::INTR => {}
                error => return Err(error),
            }
        }
    }

    /// Reads the memory of the thread that made a call.
    pub(super) fn read(&self, call: Call, address: u64, into: &mut [u8]) -> Result<(), Errno> {
        let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
        let remote = remote(address, into.len());
        // SAFETY: `local` is exactly `into`, which the kernel writes; `remote` is checked by the kernel.
        let done =
            unsafe { libc::process_vm_readv(call.thread, &raw const local, 1, &raw const remote, 1, 0) };
        match usize::try_from(done) {
            Ok(done) if done == into.len() && self.is_valid(call) => Ok(()),
            _ => Err(Errno::FAULT),
        }
    }

    /// Writes the memory of the thread that made a call.
    pub(super) fn write(&self, call: Call, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        if !self.is_valid(call) {
            return Err(Errno::SRCH);
        }
        let local = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        let remote = remote(address, bytes.len());
        // SAFETY: `local` is exactly `bytes`, which the kernel reads only; `remote` is checked by the kernel.
        let done =
            unsafe { libc::process_vm_writev(call.thread, &raw const local, 1, &raw const remote, 1, 0) };
        if usize::try_from(done) == Ok(bytes.len()) { Ok(()) } else { Err(Errno::FAULT) }
    }

    /// Reads a string of at most 255 bytes.
    pub(super) fn read_string(&self, call: Call, address: u64) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        // Byte by byte: what lies behind the string may not be memory.
        while text.len() < 256 {
            let mut byte = [0];
            self.read(call, address.checked_add(u64::try_from(text.len()).ok()?)?, &mut byte).ok()?;
            match byte {
                [0] => return Some(text),
                [byte] => text.push(byte),
            }
        }
        None
    }
}

fn remote(address: u64, len: usize) -> libc::iovec {
    let address = usize::try_from(address).expect("64 bits");
    libc::iovec { iov_base: std::ptr::without_provenance_mut(address), iov_len: len }
}

/// What fstat(2) says of a VFD: nothing.
pub(super) fn empty_stat() -> [u8; size_of::<libc::stat>()] {
    // SAFETY: the structure consists of integers.
    let mut stat: libc::stat = unsafe { zeroed() };
    stat.st_mode = 0o600;
    stat.st_nlink = 1;
    stat.st_blksize = 4096;
    // SAFETY: a structure of integers without gaps between them, so that each of its bytes has a value.
    unsafe { std::mem::transmute(stat) }
}
