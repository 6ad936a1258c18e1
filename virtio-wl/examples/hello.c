/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Sends a line and one end of a pipe from one machine to another.
 *
 *     hello listen unix:/run/hello.sock
 *     hello connect unix:/run/hello.sock "how are you?"
 *
 * The listener prints the line, answers with "fine" and writes into the pipe; the other side prints both. To build it:
 *
 *     cc hello.c $(pkg-config --cflags --libs virtio_wl) -o hello
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <virtio_wl.h>

static void check(ssize_t result, const char *what)
{
	if (result < 0) {
		perror(what);
		exit(1);
	}
}

/* Sends a text, and a descriptor with it if that is not -1. */
static void send_text(int fd, const char *text, int attached)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec piece = { .iov_base = (char *)text, .iov_len = strlen(text) };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };

	memset(&control, 0, sizeof control);
	if (attached >= 0) {
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &attached, sizeof attached);
		message.msg_control = &control;
		message.msg_controllen = sizeof control.space;
	}
	check(virtio_wl_sendmsg(fd, &message, MSG_NOSIGNAL), "sending");
}

/* Receives a text of one message and prints it. Returns the descriptor that came with it, or -1. */
static int receive_text(int fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	char text[256];
	struct iovec piece = { .iov_base = text, .iov_len = sizeof text };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
	struct cmsghdr *header;
	int attached = -1;
	ssize_t length;

	message.msg_control = &control;
	message.msg_controllen = sizeof control.space;
	length = virtio_wl_recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
	check(length, "receiving");
	printf("received: %.*s\n", (int)length, text);
	header = CMSG_FIRSTHDR(&message);
	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
		memcpy(&attached, CMSG_DATA(header), sizeof attached);
	return attached;
}

/* The content of a pipe moves whenever its socket is waited for or used. */
static void print_pipe(int socket, int pipe)
{
	struct pollfd waits[2] = { { .fd = socket, .events = 0 }, { .fd = pipe, .events = POLLIN } };
	char text[256];
	ssize_t length;

	do {
		check(virtio_wl_poll(waits, 2, -1), "waiting");
		length = 0;
		if (waits[1].revents) {
			length = read(pipe, text, sizeof text);
			check(length, "reading the pipe");
			printf("%.*s", (int)length, text);
		}
	} while (length > 0 || !waits[1].revents);
	printf("the pipe has ended\n");
}

static void serve(const char *address)
{
	int listener = virtio_wl_listen(address, NULL, SOCK_CLOEXEC);
	int socket, pipe;

	check(listener, "listening");
	printf("listening\n");
	fflush(stdout);
	socket = virtio_wl_accept(listener, NULL, NULL, SOCK_CLOEXEC);
	check(socket, "accepting");
	pipe = receive_text(socket);
	check(pipe, "no pipe came");
	send_text(socket, "fine", -1);
	check(write(pipe, "written into the pipe\n", 22), "writing the pipe");
	close(pipe);
	/* The other side closes the connection when it has everything. */
	while (receive_text(socket) >= 0)
		;
	virtio_wl_close(socket);
	virtio_wl_close(listener);
}

static void greet(const char *address, const char *text)
{
	int socket = virtio_wl_connect(address, NULL, SOCK_CLOEXEC);
	int ends[2];

	check(socket, "connecting");
	check(pipe(ends), "making a pipe");
	send_text(socket, text, ends[1]);
	close(ends[1]);
	receive_text(socket);
	print_pipe(socket, ends[0]);
	close(ends[0]);
	virtio_wl_close(socket);
}

int main(int count, char **arguments)
{
	if (count == 3 && strcmp(arguments[1], "listen") == 0) {
		serve(arguments[2]);
	} else if (count == 4 && strcmp(arguments[1], "connect") == 0) {
		greet(arguments[2], arguments[3]);
	} else {
		fprintf(stderr, "usage: hello listen ADDRESS | hello connect ADDRESS TEXT\n");
		return 2;
	}
	return 0;
}
