/*
 * The stand-in of io.c for tests of the worker: stdio without bytes.
 */
#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/loop.h"
#include "base/mem.h"
#include "worker/io.h"
#include "worker/link.h"
#include "worker_help.h"

struct io {
	struct loop *loop;
	char prefix[MSG_NAME_MAX];
	bool kept;
	void (*drain_cb)(void *arg);
	void *drain_arg;
	struct event *ev;
};

static void (*ready_cb)(const char *error, void *arg);
static void *ready_arg;

static struct io *
io_make(struct loop *loop, const struct io_spec *spec)
{
	struct io *io = mem_zalloc(sizeof *io);

	io->loop = loop;
	io->kept = true;
	(void)snprintf(io->prefix, sizeof io->prefix, "io/%s/%s/", spec->container,
	    spec->exec_id[0] == '\0' ? "-" : spec->exec_id);
	return io;
}

int
io_open(struct loop *loop, struct link *lk, const struct io_spec *spec, struct io **out,
    int child_fds[3], struct err *err)
{
	char name[MSG_NAME_MAX];

	(void)err;
	child_fds[0] = child_fds[1] = child_fds[2] = -1;
	*out = io_make(loop, spec);
	(void)snprintf(name, sizeof name, "%.180sout", (*out)->prefix);
	(*out)->kept = !fk.unkept;
	if (!fk.unkept)
		link_fd_put(lk, name, -1);
	return 0;
}

struct io *
io_resume_birth(struct loop *loop, struct link *lk, const struct io_spec *spec)
{
	struct io *io = io_make(loop, spec);
	char name[MSG_NAME_MAX];

	(void)snprintf(name, sizeof name, "%.180sout", io->prefix);
	io->kept = link_fd_known(lk, name);
	return io;
}

struct io *
io_resume(
    struct loop *loop, struct link *lk, const struct io_spec *spec, const char *tty_name)
{
	(void)lk;
	(void)tty_name;
	return io_make(loop, spec);
}

bool
io_is_ready(const struct io *io)
{
	(void)io;
	return !fk.unready;
}

bool
io_is_kept(const struct io *io)
{
	return io->kept;
}

void
io_when_ready(struct io *io, void (*cb)(const char *error, void *arg), void *arg)
{
	(void)io;
	assert_true(fk.unready);
	ready_cb = cb;
	ready_arg = arg;
}

void
fk_logger_ready(void)
{
	fk.unready = false;
	ready_cb(NULL, ready_arg);
}

void
io_start(struct io *io, const char *tty_name)
{
	(void)tty_name;
	assert_non_null(io);
}

void
io_close_stdin(struct io *io)
{
	assert_non_null(io);
}

int
io_resize(struct io *io, uint16_t width, uint16_t height, struct err *err)
{
	(void)io;
	(void)width;
	(void)height;
	(void)err;
	return 0;
}

void
io_process_exited(struct io *io)
{
	assert_non_null(io);
}

static void
on_drained(evutil_socket_t fd, short what, void *arg)
{
	struct io *io = arg;

	(void)fd;
	(void)what;
	io->drain_cb(io->drain_arg);
}

void
io_drain(struct io *io, uint64_t timeout_us, void (*cb)(void *arg), void *arg)
{
	(void)timeout_us;
	assert_null(io->drain_cb);
	io->drain_cb = cb;
	io->drain_arg = arg;
	io->ev = event_new(loop_base(io->loop), -1, 0, on_drained, io);
	event_active(io->ev, 0, 0);
}

void
io_free(struct io *io)
{
	link_fd_drop(NULL, io->prefix, true);
	if (io->ev != NULL)
		event_free(io->ev);
	free(io);
}

void
io_sweep(struct loop *loop, struct link *lk)
{
	(void)loop;
	(void)lk;
}

void
io_counts(const struct io *io, uint64_t bytes[3])
{
	(void)io;
	memset(bytes, 0, 3 * sizeof *bytes);
}

void
io_counts_past(uint64_t bytes[3])
{
	memset(bytes, 0, 3 * sizeof *bytes);
}
