/*
 * See io_fix.h.
 */
#include "io_fix.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct fix fx;

int
fix_setup(void **state)
{
	static const char *const names[3] = {"in", "out", "err"};
	int i;

	(void)state;
	memset(&fx, 0, sizeof fx);
	fx.fds_before = fd_count();
	(void)snprintf(fx.dir, sizeof fx.dir, "/tmp/podshim-io.XXXXXX");
	assert_non_null(mkdtemp(fx.dir));
	for (i = 0; i < 3; i++) {
		(void)snprintf(fx.path[i], sizeof fx.path[i], "%s/%s", fx.dir, names[i]);
		assert_int_equal(mkfifo(fx.path[i], 0700), 0);
		fx.child[i] = -1;
	}
	fx.loop = loop_new();
	fx.lk = fake_new(fx.loop);
	fx.spec = (struct io_spec){
	    .container = "c1",
	    .exec_id = "",
	    .stdin_path = "",
	    .stdout_path = "",
	    .stderr_path = "",
	    .ns = "test",
	};
	return 0;
}

int
fix_teardown(void **state)
{
	char extra[64];
	int i;

	(void)state;
	for (i = 0; i < 3; i++)
		fd_close(&fx.child[i]);
	io_free(fx.io);
	loop_once(fx.loop, 1);
	assert_int_equal(fake_count(fx.lk, ""), 0);
	fake_free(fx.lk);
	loop_free(fx.loop);
	for (i = 0; i < 3; i++)
		(void)unlink(fx.path[i]);
	(void)snprintf(extra, sizeof extra, "%s/file", fx.dir);
	(void)unlink(extra);
	assert_int_equal(rmdir(fx.dir), 0);
	assert_int_equal(fd_count(), fx.fds_before);
	return 0;
}

void
use_all(void)
{
	fx.spec.stdin_path = fx.path[0];
	fx.spec.stdout_path = fx.path[1];
	fx.spec.stderr_path = fx.path[2];
}

void
open_io(void)
{
	struct err err = ERR_INIT;

	if (io_open(fx.loop, fx.lk, &fx.spec, &fx.io, fx.child, &err) != 0)
		fail_msg("%s", err.text);
}

void
close_child_ends(void)
{
	int i;

	for (i = 0; i < 3; i++)
		fd_close(&fx.child[i]);
}

void
on_drained(void *arg)
{
	(void)arg;
	fx.drained++;
}

bool
cond_drained(void *arg)
{
	(void)arg;
	return fx.drained > 0;
}

static bool
cond_over(void *arg)
{
	return fx.io->s[*(enum io_which *)arg].state == STREAM_OVER;
}

bool
until_over(enum io_which which)
{
	return loop_until(fx.loop, cond_over, &which);
}

uint64_t
passes_of(enum io_which which)
{
	return pump_passes(fx.io->s[which].pump);
}

/* Bytes that fit into whatever is there. */
bool
cond_still(void *arg)
{
	struct still *still = arg;
	uint64_t bytes[3];
	bool is;

	if (fx.io->s[still->which].pump == NULL)
		return false; /* its descriptors are on their way */
	io_counts(fx.io, bytes);
	/* asleep, not only waiting for a processor */
	if (bytes[still->which] != still->bytes || state_of_pid(still->who->pid) != 'S')
		still->passes = 0;
	is = still->passes++ > 20;
	still->bytes = bytes[still->which];
	return is;
}

int
end_of(struct proc *p)
{
	assert_true(loop_until_proc(fx.loop, p));
	return proc_status(p);
}

int
client_open(void)
{
	int fd = open(fx.path[0], O_WRONLY | O_NONBLOCK | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

bool
cond_hup(void *arg)
{
	struct pollfd pfd = {.fd = *(int *)arg, .events = POLLIN};

	return poll(&pfd, 1, 0) == 1 && pfd.revents == POLLHUP;
}

bool
cond_readable(void *arg)
{
	struct pollfd pfd = {.fd = *(int *)arg, .events = POLLIN};

	return poll(&pfd, 1, 0) == 1;
}
