/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * A program for Unix sockets, which libvirtio_wl_preload.so is loaded into: preload PART PATH
 *
 * Nothing is under PATH, which is an address. At its other end is somebody who does what messages say
 * (virtio-wl/preload/tests/programs/peer.rs). Each part checks what the calls of libc return.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* How long something that must come is waited for, in milliseconds. */
#define PATIENCE 10000

static const char *path;

/* What was asked of the allocator, by the library too. */
static unsigned long allocations;

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);

void *malloc(size_t size)
{
	allocations++;
	return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	allocations++;
	return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
	allocations++;
	return __libc_realloc(old, size);
}

static void check(int is_so, int line, const char *what)
{
	if (is_so)
		return;
	fprintf(stderr, "preload.c:%d: %s (errno %s)\n", line, what, strerrorname_np(errno));
	_exit(1);
}

#define CHECK(condition) check(!!(condition), __LINE__, #condition)
#define FAILS(call, error) CHECK((call) == -1 && errno == (error))

static int connect_now(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK(fd >= 0);
	CHECK(strlen(path) < sizeof address.sun_path);
	strcpy(address.sun_path, path);
	CHECK(connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
	return fd;
}

static void say(int fd, const char *text)
{
	CHECK(send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
}

/* Receives exactly a text. */
static void expect_at(int line, int fd, const char *text)
{
	char received[64] = "";
	size_t length = strlen(text);
	ssize_t result = recv(fd, received, length, MSG_WAITALL);

	if (result != (ssize_t)length || memcmp(received, text, length))
		fprintf(stderr, "received \"%s\" instead of \"%s\"\n", received, text);
	check(result == (ssize_t)length && !memcmp(received, text, length), line, "the answer");
}

#define EXPECT(fd, text) expect_at(__LINE__, fd, text)
#define ASK(fd, question, answer) (say(fd, question), EXPECT(fd, answer))
#define ECHO(fd) ASK(fd, "echo", "echo")

static void send_memory(int fd, const char *text, int memory)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec piece = { (char *)text, strlen(text) };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };

	memset(&control, 0, sizeof control);
	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.header), &memory, sizeof(int));
	message.msg_control = &control;
	message.msg_controllen = sizeof control;
	CHECK(sendmsg(fd, &message, MSG_NOSIGNAL) == (ssize_t)piece.iov_len);
}

/* Receives a text and the descriptor that comes with it. */
static int receive_fd(int fd, const char *text)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	char received[64];
	struct iovec piece = { received, sizeof received };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
	int attached;

	message.msg_control = &control;
	message.msg_controllen = sizeof control;
	CHECK(recvmsg(fd, &message, MSG_CMSG_CLOEXEC) == (ssize_t)strlen(text));
	CHECK(memcmp(received, text, strlen(text)) == 0);
	CHECK(CMSG_FIRSTHDR(&message) && control.header.cmsg_len == CMSG_LEN(sizeof(int)));
	memcpy(&attached, CMSG_DATA(&control.header), sizeof(int));
	return attached;
}

static void numbers(void)
{
	int fd = connect_now(), copy, ends[2];
	char byte;

	ECHO(fd);
	copy = dup(fd);
	CHECK(copy >= 0 && copy != fd && fcntl(copy, F_GETFD) == 0);
	CHECK(dup2(fd, 100) == 100 && fcntl(100, F_GETFD) == 0);
	CHECK(dup3(fd, 101, O_CLOEXEC) == 101 && fcntl(101, F_GETFD) == FD_CLOEXEC);
	CHECK(fcntl(fd, F_DUPFD, 200) == 200 && fcntl(200, F_GETFD) == 0);
	CHECK(fcntl(fd, F_DUPFD_CLOEXEC, 200) == 201 && fcntl(201, F_GETFD) == FD_CLOEXEC);
	ECHO(copy);
	ECHO(100);
	ECHO(101);
	ECHO(200);
	ECHO(201);
	CHECK(dup2(fd, fd) == fd);
	FAILS(dup3(fd, fd, 0), EINVAL);
	FAILS(dup3(fd, 102, O_APPEND), EINVAL);
	FAILS(fcntl(fd, F_DUPFD, -1), EINVAL);
	FAILS(dup2(99, 101), EBADF);
	FAILS(dup(99), EBADF);
	ECHO(101);
	/* Flags are those of the one open file that all the numbers are. */
	CHECK(fcntl(copy, F_SETFL, O_NONBLOCK) == 0 && fcntl(fd, F_GETFL) & O_NONBLOCK);
	FAILS(recv(fd, &byte, 1, 0), EAGAIN);
	CHECK(fcntl(fd, F_SETFL, 0) == 0);
	CHECK(close(fd) == 0);
	FAILS(send(fd, "x", 1, 0), EBADF);
	ECHO(copy);
	CHECK(close(copy) == 0);
	/* A number comes to mean something else. */
	CHECK(pipe2(ends, O_CLOEXEC) == 0);
	CHECK(dup2(ends[1], 100) == 100 && write(100, "p", 1) == 1 && read(ends[0], &byte, 1) == 1);
	FAILS(send(100, "x", 1, 0), ENOTSOCK);
	ECHO(101);
	CHECK(dup2(101, ends[0]) == ends[0]);
	ECHO(ends[0]);
	CHECK(close(101) == 0 && close(200) == 0 && close(ends[0]) == 0);
	ECHO(201);
	CHECK(close(201) == 0);
	FAILS(close(201), EBADF);
}

static void bytes(void)
{
	int fd = connect_now();
	char first[2], second[8];
	struct iovec out[3] = { { "ab", 2 }, { NULL, 0 }, { "cdef", 4 } };
	struct iovec in[2] = { { first, 2 }, { second, 8 } };
	struct iovec many[1025] = { { NULL, 0 } };

	CHECK(write(fd, "written", 7) == 7);
	EXPECT(fd, "written");
	say(fd, "to be read");
	CHECK(recv(fd, second, 5, MSG_PEEK | MSG_WAITALL) == 5 && memcmp(second, "to be", 5) == 0);
	CHECK(read(fd, first, 2) == 2 && memcmp(first, "to", 2) == 0);
	EXPECT(fd, " be read");
	CHECK(writev(fd, out, 3) == 6);
	CHECK(recv(fd, second, 6, MSG_PEEK | MSG_WAITALL) == 6);
	CHECK(readv(fd, in, 2) == 6 && memcmp(first, "ab", 2) == 0 && memcmp(second, "cdef", 4) == 0);
	FAILS(writev(fd, many, 1025), EINVAL);
	FAILS(readv(fd, many, 1025), EINVAL);
	FAILS(recv(fd, second, 1, MSG_DONTWAIT), EAGAIN);
	CHECK(send(fd, "", 0, 0) == 0);
	ECHO(fd);
	FAILS(shutdown(fd, 7), EINVAL);
	CHECK(shutdown(fd, SHUT_WR) == 0);
	signal(SIGPIPE, SIG_IGN);
	FAILS(write(fd, "x", 1), EPIPE);
	CHECK(close(fd) == 0);
}

static int option(int fd, int name, int expected_length)
{
	int value = -1;
	socklen_t length = sizeof value;

	CHECK(getsockopt(fd, SOL_SOCKET, name, &value, &length) == 0);
	CHECK(length == (socklen_t)expected_length);
	return value;
}

static void options(void)
{
	int fd = connect_now(), pair[2], value;
	unsigned char narrow[4] = { 9, 9, 9, 9 };
	socklen_t length = 1;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	CHECK(option(fd, SO_TYPE, 4) == option(pair[0], SO_TYPE, 4));
	CHECK(option(fd, SO_DOMAIN, 4) == option(pair[0], SO_DOMAIN, 4));
	CHECK(option(fd, SO_ERROR, 4) == option(pair[0], SO_ERROR, 4));
	CHECK(option(fd, SO_PROTOCOL, 4) == option(pair[0], SO_PROTOCOL, 4));
	CHECK(option(fd, SO_ACCEPTCONN, 4) == option(pair[0], SO_ACCEPTCONN, 4));
	/* No more is written than there is room for. */
	CHECK(getsockopt(fd, SOL_SOCKET, SO_TYPE, narrow, &length) == 0 && length == 1);
	CHECK(narrow[0] == SOCK_STREAM && narrow[1] == 9);
	length = sizeof value;
	FAILS(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &value, &length), ENOPROTOOPT);
	FAILS(getsockopt(fd, SOL_SOCKET, SO_TYPE, NULL, &length), EFAULT);
	FAILS(getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, NULL), EFAULT);
	CHECK(close(fd) == 0);
}

static volatile sig_atomic_t signals;

static void count_signal(int number)
{
	(void)number;
	signals++;
}

static void polls(void)
{
	int fd = connect_now(), ends[2];
	struct pollfd wait[3] = { { .fd = fd }, { .fd = -1 }, { .fd = -1 } };
	struct timespec no_time = { 0, 0 }, wrong = { 0, 1000000000 }, patience = { PATIENCE / 1000, 0 };
	sigset_t usr1, none;

	ECHO(fd);
	wait[0].events = POLLIN;
	CHECK(poll(wait, 1, 0) == 0);
	CHECK(ppoll(wait, 1, &no_time, NULL) == 0 && wait[0].revents == 0);
	FAILS(ppoll(wait, 1, &wrong, NULL), EINVAL);
	wait[0].events = POLLIN | POLLOUT;
	CHECK(poll(wait, 1, PATIENCE) == 1 && wait[0].revents == POLLOUT);
	CHECK(ppoll(wait, 1, &patience, NULL) == 1 && wait[0].revents == POLLOUT);
	wait[0].events = POLLIN;
	say(fd, "to wait for");
	CHECK(ppoll(wait, 1, &patience, NULL) == 1 && wait[0].revents == POLLIN);
	EXPECT(fd, "to wait for");
	/* Another descriptor, and one that is not open. */
	CHECK(pipe2(ends, O_CLOEXEC) == 0 && write(ends[1], "x", 1) == 1);
	wait[1] = (struct pollfd){ .fd = ends[0], .events = POLLIN };
	wait[2] = (struct pollfd){ .fd = 99, .events = POLLIN };
	CHECK(ppoll(wait, 3, NULL, NULL) == 2);
	CHECK(wait[0].revents == 0 && wait[1].revents == POLLIN && wait[2].revents == POLLNVAL);
	/* A signal that is blocked but for the wait ends it. */
	sigemptyset(&none);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	signal(SIGUSR1, count_signal);
	CHECK(sigprocmask(SIG_BLOCK, &usr1, NULL) == 0 && raise(SIGUSR1) == 0 && signals == 0);
	FAILS(ppoll(wait, 1, &patience, &none), EINTR);
	CHECK(signals == 1);
	/* The other end sends nothing any more. */
	say(fd, "end");
	wait[0].events = POLLIN | POLLRDHUP;
	CHECK(ppoll(wait, 1, &patience, NULL) == 1 && wait[0].revents == (POLLIN | POLLRDHUP));
	CHECK(recv(fd, &wait, 1, 0) == 0 && close(fd) == 0);
}

static int wait_one(int set, struct epoll_event *event, int timeout)
{
	event->events = 0;
	event->data.u64 = 0;
	return epoll_wait(set, event, 1, timeout);
}

static void epolls(void)
{
	int fd = connect_now(), set = epoll_create1(EPOLL_CLOEXEC), ends[2];
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT, .data.u64 = 7 }, found[4];
	sigset_t usr1, none;

	ECHO(fd);
	FAILS(epoll_ctl(set, EPOLL_CTL_MOD, fd, &event), ENOENT);
	FAILS(epoll_ctl(set, EPOLL_CTL_ADD, fd, NULL), EFAULT);
	CHECK(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == 0);
	FAILS(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event), EEXIST);
	/* Room, again and again. */
	CHECK(wait_one(set, &event, PATIENCE) == 1 && event.events == EPOLLOUT && event.data.u64 == 7);
	CHECK(wait_one(set, &event, 0) == 1 && event.events == EPOLLOUT);
	event = (struct epoll_event){ .events = EPOLLIN, .data.u64 = 8 };
	CHECK(epoll_ctl(set, EPOLL_CTL_MOD, fd, &event) == 0);
	CHECK(wait_one(set, &event, 0) == 0);
	say(fd, "to wait for");
	CHECK(wait_one(set, &event, PATIENCE) == 1 && event.events == EPOLLIN && event.data.u64 == 8);
	/* Data that was not received is still there. */
	CHECK(wait_one(set, &event, 0) == 1 && event.events == EPOLLIN);
	EXPECT(fd, "to wait for");
	CHECK(wait_one(set, &event, 0) == 0);
	/* Another descriptor in the same set. */
	CHECK(pipe2(ends, O_CLOEXEC) == 0 && write(ends[1], "x", 1) == 1);
	event = (struct epoll_event){ .events = EPOLLIN, .data.u64 = 9 };
	CHECK(epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &event) == 0);
	CHECK(epoll_wait(set, found, 4, PATIENCE) == 1 && found[0].data.u64 == 9);
	sigemptyset(&none);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	signal(SIGUSR1, count_signal);
	CHECK(epoll_ctl(set, EPOLL_CTL_DEL, ends[0], NULL) == 0);
	CHECK(sigprocmask(SIG_BLOCK, &usr1, NULL) == 0 && raise(SIGUSR1) == 0 && signals == 0);
	FAILS(epoll_pwait(set, found, 4, PATIENCE, &none), EINTR);
	CHECK(signals == 1);
	/* The other end sends nothing any more. */
	event = (struct epoll_event){ .events = EPOLLIN | EPOLLRDHUP };
	CHECK(epoll_ctl(set, EPOLL_CTL_MOD, fd, &event) == 0);
	say(fd, "end");
	CHECK(wait_one(set, &event, PATIENCE) == 1 && event.events == (EPOLLIN | EPOLLRDHUP));
	CHECK(epoll_ctl(set, EPOLL_CTL_DEL, fd, NULL) == 0);
	CHECK(wait_one(set, &event, 0) == 0);
	CHECK(close(set) == 0 && close(fd) == 0);
}

static void forks(void)
{
	int fd = connect_now(), set = epoll_create1(EPOLL_CLOEXEC), status;
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT, .data.u64 = 7 };
	pid_t child;

	ECHO(fd);
	CHECK(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == 0);
	CHECK(wait_one(set, &event, PATIENCE) == 1 && event.events == EPOLLOUT);
	child = fork();
	if (!child) {
		CHECK(close(fd) == 0 && close(set) == 0);
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	CHECK(wait_one(set, &event, PATIENCE) == 1 && event.events == EPOLLOUT && event.data.u64 == 7);
	event = (struct epoll_event){ .events = EPOLLIN, .data.u64 = 7 };
	CHECK(epoll_ctl(set, EPOLL_CTL_MOD, fd, &event) == 0);
	child = fork();
	if (!child) {
		int number;

		for (number = 3; number < 100; number++)
			close(number);
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	say(fd, "to wait for");
	CHECK(wait_one(set, &event, PATIENCE) == 1 && event.events == EPOLLIN && event.data.u64 == 7);
	EXPECT(fd, "to wait for");
	CHECK(close(fd) == 0);
}

/* What says nothing to the program comes and goes first: the content of a pipe that it has received. */
static void oneshot(void)
{
	int fd = connect_now(), set = epoll_create1(EPOLL_CLOEXEC), reader;
	struct epoll_event event = { .events = EPOLLIN | EPOLLONESHOT, .data.u64 = 7 };
	char content[7];

	say(fd, "pipe");
	reader = receive_fd(fd, "pipe");
	CHECK(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == 0);
	event = (struct epoll_event){ .events = EPOLLIN, .data.u64 = 8 };
	CHECK(epoll_ctl(set, EPOLL_CTL_ADD, reader, &event) == 0);
	say(fd, "fill");
	CHECK(wait_one(set, &event, PATIENCE) == 1 && event.data.u64 == 8);
	CHECK(read(reader, content, sizeof content) == sizeof content && memcmp(content, "content", 7) == 0);
	say(fd, "first");
	CHECK(wait_one(set, &event, PATIENCE) == 1 && event.events == EPOLLIN && event.data.u64 == 7);
	/* Only once, though the data is still there and more comes. */
	CHECK(wait_one(set, &event, 0) == 0);
	EXPECT(fd, "first");
	ECHO(fd);
	CHECK(wait_one(set, &event, 0) == 0);
	say(fd, "second");
	event = (struct epoll_event){ .events = EPOLLIN | EPOLLOUT | EPOLLONESHOT, .data.u64 = 9 };
	CHECK(epoll_ctl(set, EPOLL_CTL_MOD, fd, &event) == 0);
	CHECK(wait_one(set, &event, PATIENCE) == 1 && event.events & EPOLLOUT && event.data.u64 == 9);
	EXPECT(fd, "second");
	CHECK(wait_one(set, &event, 0) == 0);
	event = (struct epoll_event){ .events = EPOLLOUT | EPOLLONESHOT, .data.u64 = 10 };
	CHECK(epoll_ctl(set, EPOLL_CTL_MOD, fd, &event) == 0);
	CHECK(wait_one(set, &event, PATIENCE) == 1 && event.events == EPOLLOUT && event.data.u64 == 10);
	CHECK(wait_one(set, &event, 0) == 0);
	CHECK(close(fd) == 0);
}

/* A program that asks each of its descriptors when it is woken gives all of them the same data. */
static void same_data(void)
{
	int fd = connect_now(), other = connect_now(), set = epoll_create1(EPOLL_CLOEXEC);
	int counter = eventfd(0, EFD_CLOEXEC);
	struct epoll_event event = { .events = EPOLLIN }, found[8];

	ECHO(fd);
	ECHO(other);
	CHECK(epoll_ctl(set, EPOLL_CTL_ADD, counter, &event) == 0);
	CHECK(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == 0);
	CHECK(epoll_ctl(set, EPOLL_CTL_ADD, other, &event) == 0);
	CHECK(epoll_wait(set, found, 8, 0) == 0);
	/* Neither of the sockets has anything, which is not what the event is about. */
	CHECK(eventfd_write(counter, 1) == 0);
	CHECK(epoll_wait(set, found, 8, PATIENCE) == 1 && found[0].events == EPOLLIN);
	CHECK(epoll_wait(set, found, 8, 0) == 1 && found[0].events == EPOLLIN);
	CHECK(eventfd_read(counter, &(eventfd_t){ 0 }) == 0);
	/* One socket has something, and then the other. */
	say(fd, "one");
	CHECK(epoll_wait(set, found, 8, PATIENCE) == 1 && found[0].events == EPOLLIN);
	EXPECT(fd, "one");
	say(other, "two");
	CHECK(epoll_wait(set, found, 8, PATIENCE) == 1 && found[0].events == EPOLLIN);
	EXPECT(other, "two");
	CHECK(epoll_wait(set, found, 8, 0) == 0);
	/* Room in one of them. */
	event.events = EPOLLOUT;
	CHECK(epoll_ctl(set, EPOLL_CTL_MOD, fd, &event) == 0);
	CHECK(epoll_ctl(set, EPOLL_CTL_DEL, counter, NULL) == 0);
	CHECK(epoll_wait(set, found, 8, PATIENCE) == 1 && found[0].events == EPOLLOUT);
	CHECK(close(fd) == 0 && close(other) == 0);
}

static int memory_of(size_t length)
{
	int memory = memfd_create("preload", MFD_CLOEXEC);

	CHECK(memory >= 0 && ftruncate(memory, length) == 0);
	return memory;
}

static void draw(int memory, const char *text, off_t offset)
{
	CHECK(pwrite(memory, text, strlen(text) + 1, offset) == (ssize_t)strlen(text) + 1);
}

/* As libwayland-cursor: the pool begins small, and grows with each image, which is then drawn. */
static void grows(void)
{
	int fd = connect_now(), memory = memory_of(4096);
	char *mapped = mmap(NULL, 32 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	char question[32];
	size_t length;

	CHECK(mapped != MAP_FAILED);
	strcpy(mapped, "first");
	send_memory(fd, "keep", memory);
	EXPECT(fd, "kept");
	ASK(fd, "read 0 0", "first");
	for (length = 8192; length <= 32 << 20; length *= 2) {
		CHECK(ftruncate(memory, length) == 0);
		strcpy(mapped + length - 16, "last");
		strcpy(mapped + length / 2, "middle");
		snprintf(question, sizeof question, "read 0 %zu", length - 16);
		ASK(fd, question, "last");
		snprintf(question, sizeof question, "read 0 %zu", length / 2);
		ASK(fd, question, "middle");
		ASK(fd, "read 0 0", "first");
	}
	/* The same memory, sent again, is the same at the other end. */
	send_memory(fd, "keep", memory);
	EXPECT(fd, "kept");
	strcpy(mapped, "second");
	ASK(fd, "read 0 0", "second");
	ASK(fd, "read 1 0", "second");
	CHECK(close(fd) == 0);
}

/* As a window that is made larger and larger: what was drawn into before is not needed any more. */
static void many(void)
{
	int fd = connect_now(), memory, i;
	char question[32];

	for (i = 0; i < 40; i++) {
		memory = memory_of(5 << 20);
		draw(memory, "drawn", 0);
		send_memory(fd, "keep", memory);
		EXPECT(fd, "kept");
		snprintf(question, sizeof question, "read %d 0", i);
		ASK(fd, question, "drawn");
		CHECK(close(memory) == 0);
	}
	CHECK(close(fd) == 0);
}

/* Connections that are closed without a call of libc, so that nothing is known of it before the number is used again. */
static void again(void)
{
	int memory = memory_of(8 << 20), fd, i;

	draw(memory, "drawn", 6 << 20);
	for (i = 0; i < 6; i++) {
		fd = connect_now();
		send_memory(fd, "keep", memory);
		EXPECT(fd, "kept");
		ASK(fd, "read 0 6291456", "drawn");
		CHECK(syscall(SYS_close, fd) == 0);
	}
	/* Another descriptor gets the number. */
	CHECK(dup(memory) == fd && close(fd) == 0);
}

/* Once it has run for a while, a program that draws a little and says so. */
static void allocates(void)
{
	int fd = connect_now(), memory[2] = { memory_of(1 << 20), memory_of(1 << 20) }, i, j;
	unsigned long before = 0;
	char text[16];

	for (i = 0; i < 2; i++) {
		for (j = 0; j < 16; j++)
			draw(memory[i], "drawn", j << 16);
		send_memory(fd, "keep", memory[i]);
		EXPECT(fd, "kept");
	}
	for (i = 0; i < 200; i++) {
		if (i == 100)
			before = allocations;
		snprintf(text, sizeof text, "round %d", i);
		draw(memory[i % 2], text, (i % 16) << 16);
		ECHO(fd);
	}
	fprintf(stderr, "%lu allocations in 100 rounds\n", allocations - before);
	CHECK(allocations == before);
	CHECK(close(fd) == 0);
}

struct waiter {
	int fd, set;
	volatile int stop;
};

static void *waits(void *argument)
{
	struct waiter *waiter = argument;
	struct epoll_event event;

	while (!waiter->stop) {
		wait_one(waiter->set, &event, 0);
		event = (struct epoll_event){ .events = EPOLLIN | EPOLLOUT, .data.u64 = 7 };
		CHECK(epoll_ctl(waiter->set, EPOLL_CTL_MOD, waiter->fd, &event) == 0);
	}
	return NULL;
}

/* Children that close what they have, whatever another thread was doing when they were made. */
static void fork_while_waiting(void)
{
	struct waiter waiter = { .fd = connect_now(), .set = epoll_create1(EPOLL_CLOEXEC) };
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT, .data.u64 = 7 };
	pthread_t thread;
	int i, status;
	pid_t child;

	ECHO(waiter.fd);
	CHECK(epoll_ctl(waiter.set, EPOLL_CTL_ADD, waiter.fd, &event) == 0);
	CHECK(pthread_create(&thread, NULL, waits, &waiter) == 0);
	for (i = 0; i < 300; i++) {
		child = fork();
		if (!child) {
			CHECK(close(waiter.fd) == 0 && close(waiter.set) == 0);
			_exit(0);
		}
		CHECK(waitpid(child, &status, 0) == child && status == 0);
	}
	waiter.stop = 1;
	CHECK(pthread_join(thread, NULL) == 0);
	ECHO(waiter.fd);
	CHECK(close(waiter.fd) == 0);
}

static const struct {
	const char *name;
	void (*run)(void);
} parts[] = {
	{ "numbers", numbers }, { "bytes", bytes }, { "options", options },
	{ "poll", polls },      { "epoll", epolls }, { "fork", forks },
	{ "oneshot", oneshot }, { "same_data", same_data },
	{ "grows", grows },     { "many", many },    { "again", again },
	{ "allocates", allocates }, { "fork_while_waiting", fork_while_waiting },
};

int main(int count, char **arguments)
{
	size_t i;

	if (count != 3)
		return 2;
	path = arguments[2];
	for (i = 0; i < sizeof parts / sizeof *parts; i++) {
		if (strcmp(parts[i].name, arguments[1]) == 0) {
			parts[i].run();
			return 0;
		}
	}
	return 2;
}
