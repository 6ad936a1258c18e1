/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Both ends of a connection in one process, which makes children: fork ADDRESS
 *
 * Prints what becomes of the connection when a child closes its numbers, or goes on with one of them.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <virtio_wl.h>

static const char *address;
static int listener, pair[2];

static void send_text(const char *what, int fd, const char *text)
{
	struct iovec piece = { (char *)text, strlen(text) };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
	ssize_t sent = virtio_wl_sendmsg(fd, &message, MSG_NOSIGNAL);

	printf("%s: %s\n", what, sent == (ssize_t)piece.iov_len ? "sent" : strerrorname_np(errno));
	fflush(stdout);
}

static void receive(const char *what, int fd)
{
	char text[64];
	struct iovec piece = { text, sizeof text };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	ssize_t received;

	virtio_wl_poll(&wait, 1, 10000);
	received = virtio_wl_recvmsg(fd, &message, MSG_DONTWAIT);
	if (received < 0)
		printf("%s: %s\n", what, strerrorname_np(errno));
	else
		printf("%s: \"%.*s\"\n", what, (int)received, text);
}

static void both_ways(const char *what)
{
	printf("%s\n", what);
	send_text("  there", pair[0], "hello");
	receive("  there", pair[1]);
	send_text("  back", pair[1], "and back");
	receive("  back", pair[0]);
}

static void wait_child(pid_t child)
{
	int status;

	if (child < 0 || waitpid(child, &status, 0) != child)
		abort();
	printf("the child ended with %d\n", status);
}

static void connect_both(void)
{
	pair[0] = virtio_wl_connect(address, NULL, SOCK_CLOEXEC);
	pair[1] = virtio_wl_accept(listener, NULL, NULL, SOCK_CLOEXEC);
	if (pair[0] < 0 || pair[1] < 0)
		abort();
}

static pid_t fork_now(void)
{
	/* What waits in the buffer is the parent's. */
	fflush(stdout);
	return fork();
}

static void closes_what_it_knows(void)
{
	pid_t child = fork_now();

	if (!child) {
		virtio_wl_close(pair[0]);
		virtio_wl_close(pair[1]);
		virtio_wl_close(listener);
		_exit(0);
	}
	wait_child(child);
	both_ways("after a child has closed its numbers");
	printf("the address is %s\n", access(address + strlen("unix:"), F_OK) ? "gone" : "still there");
}

/* As programs do between fork and exec: the library's own descriptors are among them. */
static void closes_everything(void)
{
	pid_t child = fork_now();

	if (!child) {
		int number;

		for (number = 3; number < 100; number++)
			virtio_wl_close(number);
		_exit(0);
	}
	wait_child(child);
	both_ways("after a child has closed everything");
}

static void uses_it(void)
{
	pid_t child = fork_now();

	if (!child) {
		virtio_wl_close(pair[1]);
		send_text("the child", pair[0], "from the child");
		virtio_wl_close(pair[0]);
		_exit(0);
	}
	wait_child(child);
	receive("what it sent", pair[1]);
	receive("what it closed", pair[1]);
}

/* A child that borrows its parent's memory, in which the number of a socket comes to mean something else. */
static void borrows(void)
{
	pid_t child = vfork();

	if (!child) {
		close(pair[0]);
		if (open("/dev/null", O_RDONLY | O_CLOEXEC) != pair[0] || virtio_wl_dup(pair[0]) < 0)
			_exit(1);
		virtio_wl_close(pair[0]);
		_exit(0);
	}
	wait_child(child);
	both_ways("after a child of vfork has used the number for something else");
}

int main(int count, char **arguments)
{
	if (count != 2)
		return 2;
	address = arguments[1];
	listener = virtio_wl_listen(address, NULL, SOCK_CLOEXEC);
	connect_both();
	both_ways("before");
	closes_what_it_knows();
	closes_everything();
	borrows();
	uses_it();
	return 0;
}
