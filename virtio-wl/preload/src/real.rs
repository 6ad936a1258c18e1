//! The functions of libc that are defined here anew.

use std::ffi::{CStr, c_int, c_ulong, c_void};
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

use libc::{
    epoll_event, iovec, msghdr, nfds_t, pollfd, sigset_t, size_t, sockaddr, socklen_t, ssize_t, timespec,
};

/// A function that the libraries after this one define.
struct Function {
    name: &'static CStr,
    found: AtomicPtr<c_void>,
}

impl Function {
    const fn new(name: &'static CStr) -> Self {
        Self { name, found: AtomicPtr::new(std::ptr::null_mut()) }
    }

    fn find(&self) -> *mut c_void {
        let found = self.found.load(Relaxed);
        if !found.is_null() {
            return found;
        }
        // SAFETY: the name is a string, and RTLD_NEXT is valid for code in a shared library.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
        // Every thread finds the same.
        self.found.store(found, Relaxed);
        found
    }
}

/// Defines functions with the names and signatures of libc, which call libc.
macro_rules! of_libc {
    ($($name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {$(
        /// The function of libc of this name.
        ///
        /// # Safety
        ///
        /// As for the function of libc.
        pub unsafe fn $name($($argument: $type),*) -> $result {
            static FUNCTION: Function = Function::new(
                match CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
                    Ok(name) => name,
                    Err(_) => panic!("a name without zeros"),
                },
            );
            let found = FUNCTION.find();
            if found.is_null() {
                set_errno(libc::ENOSYS);
                return -1;
            }
            // SAFETY: what libc defines under this name has this signature. A function that takes a variable number
            // of arguments (fcntl) takes one word as any other does, on the systems that this library is for.
            let function: unsafe extern "C" fn($($type),*) -> $result = unsafe { std::mem::transmute(found) };
            // SAFETY: by the contract of this function.
            unsafe { function($($argument),*) }
        }
    )*};
}

of_libc! {
    connect(fd: c_int, address: *const sockaddr, length: socklen_t) -> c_int;
    sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t;
    recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t;
    send(fd: c_int, bytes: *const c_void, length: size_t, flags: c_int) -> ssize_t;
    recv(fd: c_int, bytes: *mut c_void, length: size_t, flags: c_int) -> ssize_t;
    read(fd: c_int, bytes: *mut c_void, length: size_t) -> ssize_t;
    write(fd: c_int, bytes: *const c_void, length: size_t) -> ssize_t;
    readv(fd: c_int, pieces: *const iovec, count: c_int) -> ssize_t;
    writev(fd: c_int, pieces: *const iovec, count: c_int) -> ssize_t;
    shutdown(fd: c_int, how: c_int) -> c_int;
    getsockopt(fd: c_int, level: c_int, name: c_int, value: *mut c_void, length: *mut socklen_t) -> c_int;
    close(fd: c_int) -> c_int;
    dup(fd: c_int) -> c_int;
    dup2(old: c_int, new: c_int) -> c_int;
    dup3(old: c_int, new: c_int, flags: c_int) -> c_int;
    fcntl(fd: c_int, command: c_int, argument: c_ulong) -> c_int;
    poll(fds: *mut pollfd, count: nfds_t, timeout: c_int) -> c_int;
    ppoll(fds: *mut pollfd, count: nfds_t, timeout: *const timespec, mask: *const sigset_t) -> c_int;
    epoll_ctl(set: c_int, operation: c_int, fd: c_int, event: *mut epoll_event) -> c_int;
    epoll_pwait(
        set: c_int,
        events: *mut epoll_event,
        count: c_int,
        timeout: c_int,
        mask: *const sigset_t
    ) -> c_int;
}

fn place_of_errno() -> *mut c_int {
    // SAFETY: the function has no conditions.
    unsafe { libc::__errno_location() }
}

/// Sets errno.
pub fn set_errno(errno: c_int) {
    // SAFETY: this is the errno of the calling thread, which lives as long as the thread.
    unsafe { *place_of_errno() = errno };
}

/// errno.
pub fn errno() -> c_int {
    // SAFETY: as in `set_errno`.
    unsafe { *place_of_errno() }
}
