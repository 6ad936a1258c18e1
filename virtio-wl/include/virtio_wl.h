/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Sockets that carry file descriptors between virtual machines: virtio_wl(3).
 *
 * Generated from virtio-wl/src/capi/ by the test virtio-wl/tests/header.rs. Do not edit.
 *
 * The calls on descriptors take any descriptor and are those of libc for all that virtio_wl_connect(), virtio_wl_listen()
 * and virtio_wl_accept() have not made. Every function returns -1 (or null) with errno when it fails. */


#ifndef VIRTIO_WL_H
#define VIRTIO_WL_H

#include <poll.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

// The most descriptors in one message.
#define VIRTIO_WL_MAX_FDS 28

// Memory that both sides of a socket have mapped.
struct virtio_wl_region;

// A rectangle of memory, as rows of bytes.
struct virtio_wl_rect {
  // First byte of the first row, counted from the beginning of the memory.
  uint64_t offset;
  // Bytes in each row, at least 1.
  uint32_t row_len;
  // Bytes from the beginning of one row to the beginning of the next, at least row_len.
  uint32_t stride;
  // Number of rows, at least 1.
  uint32_t rows;
};

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Connects to an address such as "unix:/run/x.sock" and returns the descriptor of a socket.
//
// The call does not wait for the other side: a message that is sent before it has answered waits, or fails with
// EAGAIN. `region` is the memory that both sides share, or null; it can be released at once. `flags` are
// SOCK_CLOEXEC and SOCK_NONBLOCK. Fails with EINVAL for what is no address, else as connect(2).
int virtio_wl_connect(const char *address,
                      const struct virtio_wl_region *region,
                      int flags);

// Listens on an address and returns a descriptor for virtio_wl_accept(), which is readable when there is a connection.
//
// `region` is the memory that is shared with whoever connects, or null; it can be released at once. `flags` are
// SOCK_CLOEXEC and SOCK_NONBLOCK. Fails with EINVAL for what is no address, else as bind(2) and listen(2).
int virtio_wl_listen(const char *address,
                     const struct virtio_wl_region *region,
                     int flags);

// Accepts a connection: accept4(2).
//
// For a descriptor of virtio_wl_listen() the address of the peer is given as one of the family AF_UNSPEC.
int virtio_wl_accept(int fd,
                     struct sockaddr *address,
                     socklen_t *length,
                     int flags);

// Sends a message: sendmsg(2).
//
// For a socket of this library, the descriptors of SCM_RIGHTS (at most VIRTIO_WL_MAX_FDS) become what they stand
// for: EOPNOTSUPP if one of them cannot cross, ETOOMANYREFS if they are too many. The flags MSG_DONTWAIT and
// MSG_NOSIGNAL are obeyed and others are ignored, but for MSG_OOB, which is refused. A signal that is caught ends a
// wait with EINTR, even with SA_RESTART.
ssize_t virtio_wl_sendmsg(int fd,
                          const struct msghdr *message,
                          int flags);

// Receives a message: recvmsg(2).
//
// For a socket of this library, the flags MSG_DONTWAIT, MSG_PEEK, MSG_WAITALL and MSG_CMSG_CLOEXEC are obeyed and
// others are ignored, but for MSG_OOB, which is refused. Descriptors that the control part has no room for are
// closed, which MSG_CTRUNC in the flags of the message says. A signal that is caught ends a wait with EINTR,
// even with SA_RESTART.
ssize_t virtio_wl_recvmsg(int fd,
                          struct msghdr *message,
                          int flags);

// Ends one or both directions: shutdown(2).
int virtio_wl_shutdown(int fd, int how);

// Another number for a descriptor: dup(2). A socket lives until all of its numbers are closed.
int virtio_wl_dup(int fd);

// Closes a descriptor: close(2).
//
// The last number of a socket ends the connection in order. Unless the descriptor is non-blocking, the call
// waits up to two seconds for the other side to take what was sent.
int virtio_wl_close(int fd);

// Waits for descriptors: poll(2).
//
// Sockets of this library may be among them, and are reported as Unix sockets are. Whoever waits by other means
// (epoll, select, the poll of libc) waits for a socket to be readable only: it is whenever something came, and then
// a message that could not be sent should be tried again too, on a non-blocking socket.
int virtio_wl_poll(struct pollfd *fds,
                   nfds_t count,
                   int timeout);

// Opens a region that exists: "fd:N" for an inherited descriptor, else the path of a file or device.
//
// Returns null if it cannot be opened; EINVAL says that it is no region. Release it with virtio_wl_region_unref().
struct virtio_wl_region *virtio_wl_region_open(const char *name);

// Makes the file `path` a region of `len` bytes, or memory without a name if it is null.
//
// The length is a multiple of 4096, at least 8192. Returns null if it cannot be made. Release it with
// virtio_wl_region_unref().
struct virtio_wl_region *virtio_wl_region_create(const char *path,
                                                 uint64_t len);

// Gives up a region (nothing for null), with the pointer of virtio_wl_region_map() and all that was allocated.
// Sockets that share it go on with it.
void virtio_wl_region_unref(struct virtio_wl_region *region);

// The length of a region in bytes. The first 4096 are no memory to be used.
uint64_t virtio_wl_region_len(const struct virtio_wl_region *region);

// A new descriptor of a region, close-on-exec, which can be sent: the other side then gets one of its own mapping of
// the same memory. -1 if the process has too many.
int virtio_wl_region_fd(const struct virtio_wl_region *region);

// Where the region is mapped, for reading and writing; the same pointer each time, valid until the region is released.
// Null if it cannot be mapped.
//
// The other side writes this memory at any time: never use what is read from it twice, or as a length or a pointer,
// without a copy of one's own.
void *virtio_wl_region_map(struct virtio_wl_region *region);

// Allocates `len` bytes of a region (rounded up to a multiple of 4096) and returns their offset; 0 with ENOMEM if there
// is no room. Only one process may allocate in a region.
uint64_t virtio_wl_region_alloc(struct virtio_wl_region *region,
                                uint64_t len);

// Frees what virtio_wl_region_alloc() has returned. -1 with EINVAL for anything else.
int virtio_wl_region_free(struct virtio_wl_region *region, uint64_t offset);

// Tells the other side that a rectangle of memory has new content: memory outside a region, of which it has a
// copy (or gets one now). It arrives before all that is sent later.
//
// `memory` is a descriptor of memory that can be written (a memfd). Does nothing if it is memory that both sides
// share. Waits for room if the socket's queue is full, or fails with EAGAIN if it is non-blocking. EINVAL says that the
// rectangle is not within the memory, or was not when that was sent.
int virtio_wl_mirror_write(int fd,
                           int memory,
                           const struct virtio_wl_rect *rect);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* VIRTIO_WL_H */
