/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Does the same things in one of three worlds, and prints what every call returned:
 *
 *     calls libc            the calls of libc on ordinary sockets
 *     calls plain           the calls of this library on ordinary sockets
 *     calls virtio ADDRESS  the calls of this library on a connection of its own
 *
 * Whoever runs it compares what the worlds print.
 */

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <virtio_wl.h>

struct calls {
	ssize_t (*sendmsg)(int, const struct msghdr *, int);
	ssize_t (*recvmsg)(int, struct msghdr *, int);
	int (*accept)(int, struct sockaddr *, socklen_t *, int);
	int (*shutdown)(int, int);
	int (*dup)(int);
	int (*close)(int);
	int (*poll)(struct pollfd *, nfds_t, int);
};

static const struct calls of_libc = { sendmsg, recvmsg, accept4, shutdown, dup, close, poll };
static const struct calls of_library = {
	virtio_wl_sendmsg, virtio_wl_recvmsg, virtio_wl_accept, virtio_wl_shutdown,
	virtio_wl_dup, virtio_wl_close, virtio_wl_poll,
};

static const struct calls *calls;
static const char *address;
static volatile sig_atomic_t broken_pipes;

static void count_broken_pipe(int number)
{
	(void)number;
	broken_pipes++;
}

static void say(const char *what, long result)
{
	if (result < 0)
		printf("%s: %s\n", what, strerrorname_np(errno));
	else
		printf("%s: %ld\n", what, result);
}

static int open_descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

static void make_pair(int pair[2])
{
	int listener;

	if (!address) {
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
			abort();
		return;
	}
	listener = virtio_wl_listen(address, NULL, SOCK_CLOEXEC);
	pair[0] = virtio_wl_connect(address, NULL, SOCK_CLOEXEC);
	pair[1] = virtio_wl_accept(listener, NULL, NULL, SOCK_CLOEXEC);
	if (listener < 0 || pair[0] < 0 || pair[1] < 0)
		abort();
	virtio_wl_close(listener);
	unlink(address + strlen("unix:"));
}

static int sealed_memory(void)
{
	int fd = memfd_create("calls", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (write(fd, "content", 7) != 7 || fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE))
		abort();
	return fd;
}

static ssize_t send_text(int fd, const char *text, int flags)
{
	struct iovec piece = { (char *)text, strlen(text) };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };

	return calls->sendmsg(fd, &message, flags);
}

static ssize_t receive(const char *what, int fd, size_t room, int flags)
{
	char text[64] = "";
	struct iovec piece = { text, room };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
	ssize_t result = calls->recvmsg(fd, &message, flags);

	say(what, result);
	if (result > 0)
		printf("  \"%.*s\" flags %x\n", (int)result, text, (unsigned)message.msg_flags);
	return result;
}

static ssize_t send_fds(int fd, int count, const int *fds, size_t length, int type)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(64 * sizeof(int))];
	} control;
	struct iovec piece = { "fd", 2 };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };

	memset(&control, 0, sizeof control);
	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = type;
	control.header.cmsg_len = length ? length : CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(&control.header), fds, count * sizeof(int));
	message.msg_control = &control;
	message.msg_controllen = CMSG_SPACE(count * sizeof(int));
	return calls->sendmsg(fd, &message, MSG_NOSIGNAL);
}

/* Receives a message into so much control room, and closes what came. */
static void receive_fds(const char *what, int fd, size_t room, int flags)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(64 * sizeof(int))];
	} control;
	char text[8], content[8] = "";
	struct iovec piece = { text, sizeof text };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
	struct cmsghdr *header;
	int received;
	size_t i, count;

	message.msg_control = room ? &control : NULL;
	message.msg_controllen = room;
	say(what, calls->recvmsg(fd, &message, flags));
	printf("  flags %x control %zu\n", (unsigned)message.msg_flags, message.msg_controllen);
	header = CMSG_FIRSTHDR(&message);
	if (!header)
		return;
	count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	printf("  level %d type %d length %zu\n", header->cmsg_level, header->cmsg_type, (size_t)header->cmsg_len);
	for (i = 0; i < count; i++) {
		memcpy(&received, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
		say("  content", pread(received, content, 7, 0));
		printf("  %s, close-on-exec %d\n", content, fcntl(received, F_GETFD));
		close(received);
	}
}

static void messages(void)
{
	int pair[2];
	struct iovec pieces[3] = { { "one", 3 }, { NULL, 0 }, { "two", 3 } };
	char first[2], second[8];
	struct iovec room[2] = { { first, 2 }, { second, 8 } };
	struct msghdr message = { .msg_iov = pieces, .msg_iovlen = 3 };

	make_pair(pair);
	receive("nothing there", pair[1], 8, MSG_DONTWAIT);
	say("send", send_text(pair[0], "hello", 0));
	receive("peek", pair[1], 3, MSG_PEEK);
	receive("peek again", pair[1], 8, MSG_PEEK);
	receive("a part", pair[1], 2, 0);
	receive("the rest", pair[1], 8, 0);
	say("send pieces", calls->sendmsg(pair[0], &message, 0));
	message.msg_iov = room;
	message.msg_iovlen = 2;
	say("receive pieces", calls->recvmsg(pair[1], &message, 0));
	printf("  \"%.2s\" \"%.4s\"\n", first, second);
	say("send", send_text(pair[0], "abc", 0));
	say("send", send_text(pair[0], "defg", 0));
	receive("all of it", pair[1], 7, MSG_WAITALL);
	say("and back", send_text(pair[1], "back", 0));
	receive("receive", pair[0], 8, 0);
	say("empty", send_text(pair[0], "", 0));
	message.msg_iovlen = 1025;
	say("too many pieces", calls->sendmsg(pair[0], &message, 0));
	say("too many pieces", calls->recvmsg(pair[1], &message, 0));
	message.msg_iov = pieces;
	message.msg_iovlen = 1;
	message.msg_name = second;
	message.msg_namelen = 8;
	say("with a name", calls->sendmsg(pair[0], &message, 0));
	fcntl(pair[1], F_SETFL, O_NONBLOCK);
	receive("non-blocking", pair[1], 8, 0);
	calls->close(pair[0]);
	calls->close(pair[1]);
}

static void descriptors(void)
{
	int pair[2], memory[30], closed[1], i;

	make_pair(pair);
	/* The first message makes the connection whole. */
	say("send", send_text(pair[0], "x", 0));
	receive("receive", pair[1], 8, 0);
	for (i = 0; i < 30; i++)
		memory[i] = sealed_memory();
	i = open_descriptors();
	say("two", send_fds(pair[0], 2, memory, 0, SCM_RIGHTS));
	receive_fds("receive two", pair[1], CMSG_SPACE(2 * sizeof(int)), MSG_CMSG_CLOEXEC);
	say("two", send_fds(pair[0], 2, memory, 0, SCM_RIGHTS));
	receive_fds("without close-on-exec", pair[1], CMSG_SPACE(8 * sizeof(int)), 0);
	say("three", send_fds(pair[0], 3, memory, 0, SCM_RIGHTS));
	receive_fds("room for one", pair[1], CMSG_LEN(sizeof(int)), MSG_CMSG_CLOEXEC);
	say("three", send_fds(pair[0], 3, memory, 0, SCM_RIGHTS));
	receive_fds("room for a part of a header", pair[1], 7, 0);
	say("three", send_fds(pair[0], 3, memory, 0, SCM_RIGHTS));
	receive_fds("room for a header", pair[1], CMSG_LEN(0), 0);
	say("28", send_fds(pair[0], 28, memory, 0, SCM_RIGHTS));
	receive_fds("no room", pair[1], 0, 0);
	say("28", send_fds(pair[0], 28, memory, 0, SCM_RIGHTS));
	receive_fds("all", pair[1], CMSG_SPACE(28 * sizeof(int)), MSG_CMSG_CLOEXEC);
	say("one", send_fds(pair[0], 1, memory, 0, SCM_RIGHTS));
	receive_fds("peek", pair[1], CMSG_SPACE(sizeof(int)), MSG_PEEK);
	receive_fds("receive", pair[1], CMSG_SPACE(sizeof(int)), 0);
	printf("leaked %d\n", open_descriptors() - i);
	closed[0] = dup(0);
	close(closed[0]);
	say("closed descriptor", send_fds(pair[0], 1, closed, 0, SCM_RIGHTS));
	say("length beyond the part", send_fds(pair[0], 1, memory, 500, SCM_RIGHTS));
	say("length of no header", send_fds(pair[0], 1, memory, 3, SCM_RIGHTS));
	say("another type", send_fds(pair[0], 1, memory, 0, 77));
	receive("nothing came of these", pair[1], 8, MSG_DONTWAIT);
	for (i = 0; i < 30; i++)
		close(memory[i]);
	calls->close(pair[0]);
	calls->close(pair[1]);
}

static void print_poll(const char *what, int fd, short events, int timeout)
{
	struct pollfd wait = { .fd = fd, .events = events };

	say(what, calls->poll(&wait, 1, timeout));
	printf("  events %x\n", (unsigned)wait.revents);
}

static void ends(void)
{
	int pair[2], again;

	make_pair(pair);
	say("send", send_text(pair[0], "x", 0));
	print_poll("data", pair[1], POLLIN, -1);
	receive("receive", pair[1], 8, 0);
	print_poll("room", pair[0], POLLIN | POLLOUT, -1);
	print_poll("nothing", pair[1], POLLIN, 0);
	say("no direction", calls->shutdown(pair[0], 7));
	say("send", send_text(pair[0], "last", 0));
	say("end", calls->shutdown(pair[0], SHUT_WR));
	say("send after the end", send_text(pair[0], "x", MSG_NOSIGNAL));
	say("and be told", send_text(pair[0], "x", 0));
	printf("signals %d\n", (int)broken_pipes);
	receive("what came before the end", pair[1], 8, 0);
	receive("the end", pair[1], 8, 0);
	say("the other direction", send_text(pair[1], "y", 0));
	receive("receive", pair[0], 8, 0);
	again = calls->dup(pair[0]);
	calls->close(pair[0]);
	say("send to a copy", send_text(pair[1], "z", 0));
	receive("receive", again, 8, 0);
	calls->close(again);
	print_poll("closed", pair[1], POLLIN | POLLOUT | POLLRDHUP, -1);
	receive("still the end", pair[1], 8, 0);
	say("nobody is there", send_text(pair[1], "x", MSG_NOSIGNAL));
	say("close", calls->close(pair[1]));
	say("closed already", calls->close(pair[1]));
}

static void shut_for_reading(void)
{
	int pair[2];

	make_pair(pair);
	say("send", send_text(pair[0], "x", 0));
	receive("receive", pair[1], 8, 0);
	say("no more reading", calls->shutdown(pair[1], SHUT_RD));
	receive("the end", pair[1], 8, 0);
	print_poll("the writer learns", pair[0], POLLOUT, -1);
	say("nobody reads", send_text(pair[0], "x", MSG_NOSIGNAL));
	calls->close(pair[0]);
	calls->close(pair[1]);
}

static void full(void)
{
	char block[65536];
	struct iovec piece = { block, sizeof block };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
	int pair[2];
	ssize_t sent;

	memset(block, 7, sizeof block);
	make_pair(pair);
	say("send", send_text(pair[0], "x", 0));
	receive("receive", pair[1], 8, 0);
	do
		sent = calls->sendmsg(pair[0], &message, MSG_DONTWAIT);
	while (sent > 0);
	say("full", sent);
	print_poll("no room", pair[0], POLLOUT, 0);
	/* Closing does not wait then for somebody who takes it. */
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	calls->close(pair[0]);
	calls->close(pair[1]);
}

/* What is no socket at all, and ordinary sockets in a world of others. */
static void others(void)
{
	int ends[2], listener;
	struct sockaddr peer;
	socklen_t length = sizeof peer;

	if (pipe2(ends, O_CLOEXEC))
		abort();
	say("send to a pipe", send_text(ends[1], "x", 0));
	receive("receive from a pipe", ends[0], 8, 0);
	say("accept on a pipe", calls->accept(ends[0], NULL, NULL, 0));
	say("shut a pipe", calls->shutdown(ends[0], SHUT_WR));
	print_poll("a pipe", ends[1], POLLOUT, 0);
	calls->close(ends[0]);
	calls->close(ends[1]);
	say("send to nothing", send_text(ends[1], "x", 0));
	receive("receive from nothing", ends[0], 8, 0);
	say("send to -1", send_text(-1, "x", 0));
	say("copy nothing", calls->dup(ends[0]));
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	say("not listening", calls->accept(listener, NULL, NULL, SOCK_CLOEXEC));
	say("not connected", send_text(listener, "x", MSG_NOSIGNAL));
	receive("not connected", listener, 8, 0);
	if (bind(listener, &(struct sockaddr){ .sa_family = AF_UNIX }, sizeof(sa_family_t)) || listen(listener, 1))
		abort();
	fcntl(listener, F_SETFL, O_NONBLOCK);
	say("nobody calls", calls->accept(listener, &peer, &length, 0));
	say("flags of nothing", calls->accept(listener, NULL, NULL, 1));
	calls->close(listener);
}

int main(int count, char **arguments)
{
	signal(SIGPIPE, count_broken_pipe);
	calls = count > 1 && strcmp(arguments[1], "libc") == 0 ? &of_libc : &of_library;
	address = count > 2 ? arguments[2] : NULL;
	messages();
	descriptors();
	ends();
	shut_for_reading();
	full();
	others();
	return 0;
}
