//! The system calls that each role needs, and why.
//!
//! The list is written from what the programs do, not from what they were once seen doing: memory, clocks and
//! the ends of processes for the standard library; events; bytes on descriptors that they were given. Nothing
//! here creates a process or a network socket, opens a path, connects anywhere, or changes code.
//!
//! Two filters are installed, and the kernel takes the stricter answer of the two: one lets the listed calls
//! pass and kills the process for any other, the second turns [`REFUSED`] into `EPERM`. Those are calls that a
//! library makes in passing and does without, such as asking whether standard error is a terminal, or opening
//! the program's own file to name the functions of a backtrace.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

use super::Role;

/// A call that passes only with certain arguments: any of the alternatives, each a list of conditions that all
/// have to hold.
type Conditional = (c_long, Vec<Vec<Condition>>);

/// One condition: which argument (from 0), how it is compared, and with what.
type Condition = (u8, SeccompCmpOp, u64);

/// What both roles may call with any arguments.
const COMMON: &[c_long] = &[
    // The allocator, in its growing and shrinking. Mapping memory is among the conditional calls.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    // Locks and lazily initialised statics of the standard library.
    libc::SYS_futex,
    libc::SYS_sched_yield,
    // Seeds of hash maps.
    libc::SYS_getrandom,
    // Time stamps of log lines and rates, where the vDSO has no clock.
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_gettimeofday,
    // Signal handling of the runtime: the guard page of the stack, `SIGPIPE`, aborting.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_getpid,
    libc::SYS_gettid,
    // The end.
    libc::SYS_exit,
    libc::SYS_exit_group,
    // Events: waiting, and changing what is waited for.
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_ppoll,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_timerfd_gettime,
    libc::SYS_eventfd2,
    // Bytes, descriptors and half-close on sockets and pipes that were handed over; log lines.
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_shutdown,
    libc::SYS_close,
    libc::SYS_pipe2,
    libc::SYS_splice,
    // Errors pending on a socket, its buffer sizes, who is at its other end.
    libc::SYS_getsockopt,
    // What a descriptor is: the region is recognised by device and inode.
    libc::SYS_fstat,
    libc::SYS_lseek,
    // The report of the jail is read at an offset.
    libc::SYS_pread64,
];

/// The same calls under the names that only older architectures have.
#[cfg(target_arch = "x86_64")]
const COMMON_OLD: &[c_long] = &[libc::SYS_epoll_wait, libc::SYS_poll];
#[cfg(not(target_arch = "x86_64"))]
const COMMON_OLD: &[c_long] = &[];

/// What a gate worker may call besides.
const GATE_WORKER: &[c_long] = &[
    // Mirrors and blobs are sealed memory files, which are made, sized and filled here.
    libc::SYS_memfd_create,
    libc::SYS_ftruncate,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_preadv,
    // Pipes of the compositor, which must not be made non-blocking, with a flag for each call.
    libc::SYS_pwritev2,
    libc::SYS_preadv2,
    // Whether a descriptor is memory or the buffer of a device.
    libc::SYS_fstatfs,
    libc::SYS_fallocate,
    libc::SYS_msync,
    // Copies of descriptors that go to the compositor and are also kept.
    libc::SYS_dup,
    libc::SYS_dup3,
    // Names of nothing, but who the other end is: the compositor and the hub.
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    // The user that files on a memory file system are charged to, asked by the region code.
    libc::SYS_getuid,
    libc::SYS_geteuid,
];

/// Calls that fail with `EPERM` instead of ending the process, whatever their arguments. `ioctl` and `prctl` do
/// too, but for a few commands.
const REFUSED: &[c_long] = &[
    // The standard library's way to a backtrace, to the size of the stack, and to time zones.
    libc::SYS_openat,
    libc::SYS_readlinkat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_getcwd,
    // The number of processors, of memory pages and the version of the kernel, which the C library asks for.
    libc::SYS_sched_getaffinity,
    libc::SYS_sysinfo,
    libc::SYS_uname,
];

#[cfg(target_arch = "x86_64")]
const REFUSED_OLD: &[c_long] = &[libc::SYS_open, libc::SYS_readlink, libc::SYS_stat, libc::SYS_access];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_OLD: &[c_long] = &[];

/// Commands of `ioctl` that pass: non-blocking mode and the count of waiting bytes. Not the terminal's, with
/// which a process could type into the shell that started it.
const IOCTLS: [libc::Ioctl; 2] = [libc::FIONBIO, libc::FIONREAD];

/// The bits of a socket's type that are no flags. From linux/net.h.
const SOCKET_TYPE_MASK: u64 = 0xf;

/// The command of `prctl` that passes, because installing the second filter repeats it: it can only take rights
/// away. Names of threads and of mappings, which the C library sets, are refused.
const PRCTL: libc::c_int = libc::PR_SET_NO_NEW_PRIVS;

/// Commands of `fcntl` that pass: flags, copies, seals and the size of pipes. Not locks, leases or signals.
const FCNTLS: &[libc::c_int] = &[
    libc::F_DUPFD,
    libc::F_DUPFD_CLOEXEC,
    libc::F_GETFD,
    libc::F_SETFD,
    libc::F_GETFL,
    libc::F_SETFL,
    libc::F_ADD_SEALS,
    libc::F_GET_SEALS,
    libc::F_GETPIPE_SZ,
    libc::F_SETPIPE_SZ,
];

/// Commands of `fcntl` that a relay may use besides: whether it is the only relay of its VM.
const RELAY_FCNTLS: &[libc::c_int] = &[libc::F_SETLK];

/// The filters of `role`, in the order in which they have to be installed.
///
/// # Errors
///
/// The architecture is none that seccompiler knows.
pub fn compile(role: Role) -> Result<[BpfProgram; 2], BackendError> {
    let mut pass = BTreeMap::new();
    let extra = if role == Role::GateWorker { GATE_WORKER } else { &[] };
    for list in [COMMON, COMMON_OLD, extra, REFUSED, REFUSED_OLD, &[libc::SYS_ioctl, libc::SYS_prctl]] {
        pass.extend(list.iter().map(|&number| (number, Vec::new())));
    }
    for (number, alternatives) in conditional(role) {
        pass.insert(number, rules(&alternatives)?);
    }
    let mut refuse = BTreeMap::new();
    for list in [REFUSED, REFUSED_OLD] {
        refuse.extend(list.iter().map(|&number| (number, Vec::new())));
    }
    let other_ioctl: Vec<_> =
        IOCTLS.iter().map(|&command| (1, SeccompCmpOp::Ne, argument(command))).collect();
    refuse.insert(libc::SYS_ioctl, rules(&[other_ioctl])?);
    let other_prctl = vec![(0, SeccompCmpOp::Ne, PRCTL.unsigned_abs().into())];
    refuse.insert(libc::SYS_prctl, rules(&[other_prctl])?);

    let permission = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    Ok([
        build(refuse, SeccompAction::Allow, permission)?,
        build(pass, SeccompAction::KillProcess, SeccompAction::Allow)?,
    ])
}

/// The calls that pass with certain arguments only.
fn conditional(role: Role) -> Vec<Conditional> {
    let exec = libc::PROT_EXEC.unsigned_abs().into();
    let no_code = || vec![vec![(2, SeccompCmpOp::MaskedEq(exec), 0)]];
    let only = |index, value| vec![vec![(index, SeccompCmpOp::Eq, value)]];
    let own_pid = rustix::process::getpid().as_raw_nonzero().get().unsigned_abs().into();
    let mut list = vec![
        // Memory is mapped and protected, but never made executable.
        (libc::SYS_mmap, no_code()),
        (libc::SYS_mprotect, no_code()),
        // Aborting is a signal to oneself.
        (libc::SYS_tgkill, only(0, own_pid)),
        // Limits are read, never set.
        (libc::SYS_prlimit64, only(2, 0)),
        (
            libc::SYS_fcntl,
            FCNTLS
                .iter()
                .chain(if role == Role::Relay { RELAY_FCNTLS } else { &[] })
                .map(|&command| vec![(1, SeccompCmpOp::Eq, command.unsigned_abs().into())])
                .collect(),
        ),
    ];
    match role {
        // Pages that a VM gave back are cut out of its region.
        Role::Relay => {
            let punch = (libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE).unsigned_abs().into();
            list.push((libc::SYS_fallocate, only(1, punch)));
        }
        // Pairs of local stream sockets, between which messages are parsed. Not of datagram sockets: one of those
        // can send to any socket that has a path, connected or not, and landlock does not look at that.
        Role::GateWorker => {
            let (local, stream) = (libc::AF_UNIX.unsigned_abs(), libc::SOCK_STREAM.unsigned_abs());
            let pair = vec![
                (0, SeccompCmpOp::Eq, local.into()),
                (1, SeccompCmpOp::MaskedEq(SOCKET_TYPE_MASK), stream.into()),
            ];
            list.push((libc::SYS_socketpair, vec![pair]));
        }
    }
    list
}

fn argument(command: libc::Ioctl) -> u64 {
    #[allow(clippy::unnecessary_cast, reason = "the type differs between C libraries")]
    let command = command as u64;
    command
}

/// Compares the low 32 bits: the kernel ignores the rest of these arguments, so a filter that looked at them
/// could be led astray.
fn rules(alternatives: &[Vec<Condition>]) -> Result<Vec<SeccompRule>, BackendError> {
    alternatives
        .iter()
        .map(|conditions| {
            let conditions = conditions
                .iter()
                .map(|(index, op, value)| {
                    let len = if *value == 0 && *op == SeccompCmpOp::Eq {
                        // A null pointer is null in all of its bits.
                        SeccompCmpArgLen::Qword
                    } else {
                        SeccompCmpArgLen::Dword
                    };
                    SeccompCondition::new(*index, len, op.clone(), *value)
                })
                .collect::<Result<_, _>>()?;
            SeccompRule::new(conditions)
        })
        .collect()
}

fn build(
    rules: BTreeMap<c_long, Vec<SeccompRule>>,
    otherwise: SeccompAction,
    matched: SeccompAction,
) -> Result<BpfProgram, BackendError> {
    SeccompFilter::new(rules, otherwise, matched, std::env::consts::ARCH.try_into()?)?.try_into()
}
