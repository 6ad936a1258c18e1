/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Memory that two processes share, and memory that one of them has a copy of: region ADDRESS
 *
 * The program starts itself again for the other end: region ADDRESS fd:N
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <virtio_wl.h>

#define LENGTH (1 << 20)
#define PAGE 4096

static void check(int is_so, int line, const char *what)
{
	if (is_so)
		return;
	fprintf(stderr, "region.c:%d: %s (errno %s)\n", line, what, strerrorname_np(errno));
	_exit(1);
}

#define CHECK(condition) check(!!(condition), __LINE__, #condition)
#define FAILS(call, failure, error) CHECK((errno = 0, (call) == (failure)) && errno == (error))

/* Sends a text, and a descriptor unless it is -1. */
static int send_text(int fd, const char *text, int attached)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { .header = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct iovec piece = { (char *)text, strlen(text) };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };

	if (attached >= 0) {
		memcpy(CMSG_DATA(&control.header), &attached, sizeof attached);
		message.msg_control = &control;
		message.msg_controllen = sizeof control;
	}
	return virtio_wl_sendmsg(fd, &message, MSG_NOSIGNAL) == (ssize_t)piece.iov_len;
}

/* Receives exactly a text. Returns the descriptor that came with it, or -1. */
static int receive_at(int line, int fd, const char *text)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	char received[64];
	struct iovec piece = { received, strlen(text) };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
	int attached = -1;

	message.msg_control = &control;
	message.msg_controllen = sizeof control;
	check(virtio_wl_recvmsg(fd, &message, MSG_WAITALL | MSG_CMSG_CLOEXEC) == (ssize_t)strlen(text), line, text);
	check(memcmp(received, text, strlen(text)) == 0, line, text);
	if (CMSG_FIRSTHDR(&message))
		memcpy(&attached, CMSG_DATA(&control.header), sizeof attached);
	return attached;
}

#define RECEIVE(fd, text) receive_at(__LINE__, fd, text)

/* What is no region, and what is no memory of one. */
static void refuses(const char *path)
{
	struct virtio_wl_region *region;
	uint64_t offset;

	FAILS(virtio_wl_region_create(NULL, 0), NULL, EINVAL);
	FAILS(virtio_wl_region_create(NULL, PAGE), NULL, EINVAL);
	FAILS(virtio_wl_region_create(NULL, 2 * PAGE + 1), NULL, EINVAL);
	FAILS(virtio_wl_region_create("/nowhere/region", 2 * PAGE), NULL, ENOENT);
	FAILS(virtio_wl_region_open(NULL), NULL, EFAULT);
	FAILS(virtio_wl_region_open("/nowhere/region"), NULL, ENOENT);
	FAILS(virtio_wl_region_open("fd:99"), NULL, EBADF);
	FAILS(virtio_wl_region_open("/proc/self/exe"), NULL, ETXTBSY);
	FAILS(virtio_wl_region_len(NULL), 0, EFAULT);
	FAILS(virtio_wl_region_fd(NULL), -1, EFAULT);
	FAILS(virtio_wl_region_map(NULL), NULL, EFAULT);
	FAILS(virtio_wl_region_alloc(NULL, 1), 0, EFAULT);
	FAILS(virtio_wl_region_free(NULL, PAGE), -1, EFAULT);
	virtio_wl_region_unref(NULL);

	region = virtio_wl_region_create(path, 4 * PAGE);
	CHECK(region && virtio_wl_region_len(region) == 4 * PAGE);
	FAILS(virtio_wl_region_free(region, PAGE), -1, EINVAL);
	FAILS(virtio_wl_region_alloc(region, 4 * PAGE), 0, ENOMEM);
	offset = virtio_wl_region_alloc(region, PAGE + 1);
	CHECK(offset >= PAGE && offset % PAGE == 0);
	/* It was rounded up, and the first page is none to be had. */
	FAILS(virtio_wl_region_alloc(region, 2 * PAGE), 0, ENOMEM);
	FAILS(virtio_wl_region_free(region, offset + PAGE), -1, EINVAL);
	CHECK(virtio_wl_region_free(region, offset) == 0);
	FAILS(virtio_wl_region_free(region, offset), -1, EINVAL);
	CHECK(virtio_wl_region_alloc(region, 3 * PAGE) == PAGE);
	virtio_wl_region_unref(region);

	/* A file lives on, and is opened as what it is. */
	region = virtio_wl_region_open(path);
	CHECK(region && virtio_wl_region_len(region) == 4 * PAGE);
	virtio_wl_region_unref(region);
	CHECK(truncate(path, 0) == 0);
	FAILS(virtio_wl_region_open(path), NULL, EINVAL);
	CHECK(unlink(path) == 0);
}

static void other_end(const char *address, const char *name)
{
	struct virtio_wl_region *region = virtio_wl_region_open(name);
	struct virtio_wl_rect all = { .offset = PAGE, .row_len = 6, .stride = 6, .rows = 1 };
	int listener, fd, memory;
	struct stat stat;
	char *mapped, content[8];

	CHECK(region && virtio_wl_region_len(region) == LENGTH);
	listener = virtio_wl_listen(address, region, SOCK_CLOEXEC);
	CHECK(listener >= 0 && write(STDOUT_FILENO, "x", 1) == 1);
	fd = virtio_wl_accept(listener, NULL, NULL, SOCK_CLOEXEC);
	CHECK(fd >= 0 && virtio_wl_close(listener) == 0);
	/* The region is the same memory. It lives as long as its mapping and the socket. */
	memory = RECEIVE(fd, "region");
	CHECK(memory >= 0 && fstat(memory, &stat) == 0 && stat.st_size == LENGTH);
	mapped = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	CHECK(mapped != MAP_FAILED && strcmp(mapped + 2 * PAGE, "from here") == 0);
	CHECK(strcmp((char *)virtio_wl_region_map(region) + 2 * PAGE, "from here") == 0);
	virtio_wl_region_unref(region);
	strcpy(mapped + 2 * PAGE, "from there");
	CHECK(virtio_wl_mirror_write(fd, memory, &all) == 0 && close(memory) == 0);
	CHECK(send_text(fd, "written", -1));
	/* The mirror is a copy: what it has is what was announced. */
	memory = RECEIVE(fd, "mirror");
	CHECK(memory >= 0 && pread(memory, content, 8, PAGE) == 8 && memcmp(content, "one", 4) == 0);
	CHECK(send_text(fd, "seen", -1));
	RECEIVE(fd, "again");
	CHECK(pread(memory, content, 8, PAGE) == 8 && memcmp(content, "two", 4) == 0);
	CHECK(pread(memory, content, 8, 0) == 8 && memcmp(content, "", 1) == 0);
	CHECK(send_text(fd, "seen", -1));
	RECEIVE(fd, "longer");
	CHECK(pread(memory, content, 8, PAGE) == 8 && memcmp(content, "three", 6) == 0);
	CHECK(fstat(memory, &stat) == 0 && stat.st_size == 2 * PAGE);
	CHECK(send_text(fd, "seen", -1));
	RECEIVE(fd, "done");
	CHECK(virtio_wl_close(fd) == 0);
}

static void shares(int fd, struct virtio_wl_region *region, char *mapped)
{
	int memory = virtio_wl_region_fd(region);
	struct stat stat;

	CHECK(memory >= 0 && fcntl(memory, F_GETFD) == FD_CLOEXEC && fstat(memory, &stat) == 0);
	CHECK(stat.st_size == LENGTH && send_text(fd, "region", memory) && close(memory) == 0);
	RECEIVE(fd, "written");
	CHECK(strcmp(mapped + 2 * PAGE, "from there") == 0);
}

static void mirrors(int fd)
{
	struct virtio_wl_rect rect = { .offset = PAGE, .row_len = 8, .stride = 8, .rows = 1 }, wrong = rect;
	int memory = memfd_create("region", MFD_CLOEXEC | MFD_ALLOW_SEALING), pair[2];

	CHECK(memory >= 0 && ftruncate(memory, 2 * PAGE) == 0 && pwrite(memory, "one", 4, PAGE) == 4);
	CHECK(send_text(fd, "mirror", memory));
	RECEIVE(fd, "seen");
	/* Only the rectangle. */
	CHECK(pwrite(memory, "two", 4, PAGE) == 4 && pwrite(memory, "two", 4, 0) == 4);
	CHECK(virtio_wl_mirror_write(fd, memory, &rect) == 0 && send_text(fd, "again", -1));
	RECEIVE(fd, "seen");
	/* The other end's copy stays what it is where the memory becomes longer. */
	CHECK(ftruncate(memory, 3 * PAGE) == 0 && pwrite(memory, "three", 6, PAGE) == 6);
	CHECK(virtio_wl_mirror_write(fd, memory, &rect) == 0);
	wrong.offset = 2 * PAGE;
	FAILS(virtio_wl_mirror_write(fd, memory, &wrong), -1, EINVAL);
	CHECK(send_text(fd, "longer", -1));
	RECEIVE(fd, "seen");
	wrong = (struct virtio_wl_rect){ .offset = 0, .row_len = 0, .stride = 8, .rows = 1 };
	FAILS(virtio_wl_mirror_write(fd, memory, &wrong), -1, EINVAL);
	wrong = (struct virtio_wl_rect){ .offset = 0, .row_len = 8, .stride = 7, .rows = 2 };
	FAILS(virtio_wl_mirror_write(fd, memory, &wrong), -1, EINVAL);
	FAILS(virtio_wl_mirror_write(fd, memory, NULL), -1, EFAULT);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	FAILS(virtio_wl_mirror_write(pair[0], memory, &rect), -1, ENOTSOCK);
	FAILS(virtio_wl_mirror_write(fd, pair[0], &rect), -1, EINVAL);
	CHECK(fcntl(memory, F_ADD_SEALS, F_SEAL_WRITE) == 0);
	CHECK(close(memory) == 0);
	FAILS(virtio_wl_mirror_write(fd, memory, &rect), -1, EBADF);
	CHECK(send_text(fd, "done", -1));
}

int main(int count, char **arguments)
{
	struct virtio_wl_region *region;
	char name[32], path[128], *mapped, byte;
	int fd, memory, status, ready[2];
	uint64_t first;
	pid_t child;

	if (count == 3) {
		other_end(arguments[1], arguments[2]);
		return 0;
	}
	snprintf(path, sizeof path, "%s-region", arguments[1] + strlen("unix:"));
	refuses(path);
	region = virtio_wl_region_create(NULL, LENGTH);
	CHECK(region && virtio_wl_region_len(region) == LENGTH);
	mapped = virtio_wl_region_map(region);
	CHECK(mapped && mapped == virtio_wl_region_map(region));
	first = virtio_wl_region_alloc(region, 1);
	CHECK(first == PAGE && virtio_wl_region_alloc(region, 16) == 2 * PAGE);
	strcpy(mapped + 2 * PAGE, "from here");
	memory = virtio_wl_region_fd(region);
	snprintf(name, sizeof name, "fd:%d", memory);
	CHECK(pipe2(ready, O_CLOEXEC) == 0);
	child = fork();
	if (!child) {
		CHECK(fcntl(memory, F_SETFD, 0) == 0 && dup2(ready[1], STDOUT_FILENO) >= 0);
		execl(arguments[0], arguments[0], arguments[1], name, NULL);
		_exit(127);
	}
	CHECK(child > 0 && close(memory) == 0 && read(ready[0], &byte, 1) == 1);
	fd = virtio_wl_connect(arguments[1], region, SOCK_CLOEXEC);
	CHECK(fd >= 0);
	shares(fd, region, mapped);
	mirrors(fd);
	CHECK(virtio_wl_close(fd) == 0);
	virtio_wl_region_unref(region);
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	return 0;
}
