//! `libvirtio_wl_preload.so`: loaded into an unmodified program by `LD_PRELOAD`, it lets a Unix socket connect to an
//! address of another machine.
//!
//! ```text
//! LD_PRELOAD=libvirtio_wl_preload.so WAYLAND_DISPLAY=vsock:2:5000 foot
//! ```
//!
//! A program that connects to a path that does not exist, but is an address (see [`address`]), gets a connection
//! to that address: its descriptor is replaced by that of a virtio-wl socket. From then on the functions of libc that are
//! defined here do for that number what they do for a Unix socket; for all others they call libc at once, without a lock.
//!
//! **Memory.** Writable memory that the program sends has a copy at the other side. Nobody says when it is drawn into, so
//! before each message all such memory is [compared](memory) with what the other side has: that is the price of an
//! unmodified program. It may become longer after it was sent, four times or up to 64 MiB, whichever is more, but not beyond
//! 1 GiB; over `wl0` it may not. What the other side writes into it (screen captures) does not come back.
//!
//! **Not covered:** programs that make system calls without libc; select(2) for writing; closing by close_range(2) in
//! the process that goes on using the connection; the addresses of the socket (getsockname(2), getpeername(2));
//! sendto(2), recvfrom(2), sendmmsg(2), recvmmsg(2) and epoll_pwait2(2); and the variants of read(2) and recv(2) that check their
//! buffer. Those of them that take a socket fail with `ENOTSOCK`, and read(2) with `EINVAL`.
//!
//! Everything rests on the table of `virtio_wl::capi`. No lock of it is held while a function of libc is called
//! that is defined here, so that the library may use them itself. A panic never leaves a function: it becomes `EIO`.

mod address;
mod calls;
mod epoll;
mod memory;
mod numbers;
mod real;
mod shadow;
mod waits;
