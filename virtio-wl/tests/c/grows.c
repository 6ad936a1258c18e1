/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * A Wayland client, without libwayland, whose pool is one page until the compositor has it, and then as long as its
 * window needs: grows COLOR
 *
 * Shows a window of one colour (hexadecimal XRGB) and runs until the display goes away. Exits with 1 for an error.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define WIDTH 200
#define HEIGHT 100
#define LENGTH (WIDTH * HEIGHT * 4)

/* Identifiers of objects, in the order in which they are made. */
enum {
	DISPLAY = 1, REGISTRY, GLOBALS, COMPOSITOR, SHM, WM_BASE, SURFACE, XDG_SURFACE, TOPLEVEL, POOL, POOL_DONE, BUFFER,
};

static int fd;
static uint32_t names[3];
static const char *const interfaces[3] = { "wl_compositor", "wl_shm", "xdg_wm_base" };

static void fail(const char *what)
{
	fprintf(stderr, "error: %s (%s)\n", what, strerror(errno));
	exit(1);
}

static void send_words(const uint32_t *words, size_t count, int attached)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { .header = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct iovec piece = { (void *)words, count * 4 };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };

	if (attached >= 0) {
		memcpy(CMSG_DATA(&control.header), &attached, sizeof attached);
		message.msg_control = &control;
		message.msg_controllen = sizeof control;
	}
	if (sendmsg(fd, &message, MSG_NOSIGNAL) != (ssize_t)(count * 4))
		fail("send");
}

/* A request whose arguments are words. */
static void request(uint32_t object, uint32_t code, int count, ...)
{
	uint32_t words[16] = { object, (uint32_t)(8 + 4 * count) << 16 | code };
	va_list arguments;
	int i;

	va_start(arguments, count);
	for (i = 0; i < count; i++)
		words[2 + i] = va_arg(arguments, uint32_t);
	va_end(arguments);
	send_words(words, 2 + count, -1);
}

static void bind_global(int index, uint32_t object)
{
	const char *interface = interfaces[index];
	uint32_t words[16] = { REGISTRY }, length = strlen(interface) + 1, text = (length + 3) / 4, count = 6 + text;

	words[1] = count * 4 << 16;
	words[2] = names[index];
	words[3] = length;
	memcpy(words + 4, interface, length);
	words[4 + text] = 1;
	words[5 + text] = object;
	send_words(words, count, -1);
}

/* Handles events until one with this code comes for this object. Returns its first word. */
static uint32_t wait_event(uint32_t object, uint32_t code)
{
	for (;;) {
		uint32_t header[2], body[1024] = { 0 }, length;
		int i;

		if (recv(fd, header, 8, MSG_WAITALL) != 8)
			exit(0);
		length = (header[1] >> 16) - 8;
		if (length > sizeof body || (length && recv(fd, body, length, MSG_WAITALL) != (ssize_t)length))
			fail("receive");
		header[1] &= 0xffff;
		if (header[0] == DISPLAY && header[1] == 0)
			fail((const char *)(body + 3));
		if (header[0] == REGISTRY && header[1] == 0)
			for (i = 0; i < 3; i++)
				if (strcmp((const char *)(body + 2), interfaces[i]) == 0)
					names[i] = body[0];
		if (header[0] == WM_BASE && header[1] == 0)
			request(WM_BASE, 3, 1, body[0]);
		if (header[0] == object && header[1] == code)
			return body[0];
	}
}

static void connect_display(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *display = getenv("WAYLAND_DISPLAY");

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (!display || strlen(display) >= sizeof address.sun_path)
		fail("no display");
	strcpy(address.sun_path, display);
	if (connect(fd, (struct sockaddr *)&address, sizeof address))
		fail("connect");
}

int main(int count, char **arguments)
{
	uint32_t create_pool[4] = { SHM, 16 << 16, POOL, 4096 }, *pixels, i;
	int memory = memfd_create("grows", MFD_CLOEXEC);

	if (count != 2)
		fail("which colour?");
	connect_display();
	request(DISPLAY, 1, 1, REGISTRY);
	request(DISPLAY, 0, 1, GLOBALS);
	wait_event(GLOBALS, 0);
	bind_global(0, COMPOSITOR);
	bind_global(1, SHM);
	bind_global(2, WM_BASE);
	request(COMPOSITOR, 0, 1, SURFACE);
	request(WM_BASE, 2, 2, XDG_SURFACE, SURFACE);
	request(XDG_SURFACE, 1, 1, TOPLEVEL);
	request(SURFACE, 6, 0);
	request(XDG_SURFACE, 4, 1, wait_event(XDG_SURFACE, 0));
	/* wl_shm.create_pool: the descriptor is no word. */
	if (memory < 0 || ftruncate(memory, 4096))
		fail("memory");
	send_words(create_pool, 4, memory);
	request(DISPLAY, 0, 1, POOL_DONE);
	wait_event(POOL_DONE, 0);
	/* wl_shm_pool.resize, now that the compositor has the pool. */
	if (ftruncate(memory, LENGTH))
		fail("more memory");
	request(POOL, 2, 1, LENGTH);
	request(POOL, 0, 6, BUFFER, 0, WIDTH, HEIGHT, WIDTH * 4, 1);
	pixels = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	if (pixels == MAP_FAILED)
		fail("mmap");
	for (i = 0; i < WIDTH * HEIGHT; i++)
		pixels[i] = strtoul(arguments[1], NULL, 16);
	request(SURFACE, 1, 3, BUFFER, 0, 0);
	request(SURFACE, 2, 4, 0, 0, WIDTH, HEIGHT);
	request(SURFACE, 6, 0);
	wait_event(0, 0);
}
