/*
 * Bytes through a shim's stdio: large blocks, short lines, a terminal. The
 * writer waits for one byte of input, so that neither its start nor its end is
 * in what is measured; the reader is a thread of this process, not in the
 * shim's cgroup.
 */
#include "tests/bench/bench.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_BYTES (1u << 20)
#define PIPE_BYTES (1 << 20) /* as stdio.direct makes it */

struct reader {
	int fd;
	double bytes, end_us;
};

static void *
reader_main(void *arg)
{
	struct reader *r = arg;
	AUTO_FREE char *buf = mem_zalloc(READ_BYTES);
	ssize_t n;

	while ((n = read(r->fd, buf, READ_BYTES)) > 0)
		r->bytes += (double)n;
	r->end_us = now_us();
	return NULL;
}

/* One container that writes count blocks. */
static void
flow(enum peer p, const char *key, int flags, size_t block, unsigned long count)
{
	AUTO_FREE char *in = NULL, *out = NULL, *errs = NULL;
	char b[32], n[32], name[64];
	struct reader r = {0};
	struct task_stdio io = {.terminal = flags & BUNDLE_TTY};
	AUTO_CLOSE int in_fd = -1, err_fd = -1;
	struct con c;
	pthread_t thread;
	double t0, cpu0, gib;

	snprintf(b, sizeof b, "%zu", block);
	snprintf(n, sizeof n, "%lu", count);
	con_make(&c, p, NULL, flags, (const char *const[]){"/bin/burst", b, n, NULL});
	in = mem_printf("%s/in", c.bundle);
	out = mem_printf("%s/out", c.bundle);
	errs = mem_printf("%s/err", c.bundle);
	if (mkfifo(in, 0600) == -1 || mkfifo(out, 0600) == -1 || mkfifo(errs, 0600) == -1)
		die("mkfifo '%s': %s", in, strerror(errno));
	io.in = in;
	io.out = out;
	io.err = io.terminal ? NULL : errs;
	(void)con_start(&c);
	/* as containerd's client: the reader first, without waiting for a writer */
	r.fd = open(out, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	in_fd = open(in, O_RDWR | O_CLOEXEC);
	err_fd = open(errs, O_RDWR | O_CLOEXEC);
	if (r.fd == -1 || in_fd == -1 || err_fd == -1 || fd_set_nonblock(r.fd, false) < 0)
		die("open '%s': %s", out, strerror(errno));
	con_create(&c, &io);
	must(task_start(c.t, c.id, NULL, NULL), "Start", &c);
	cg_settle(p);
	if (pthread_create(&thread, NULL, reader_main, &r) != 0)
		die("pthread_create");
	cpu0 = cg_cpu_us(p);
	t0 = now_us();
	if (fd_write_all(in_fd, "\n", 1) < 0)
		die("write '%s'", in);
	(void)pthread_join(thread, NULL);
	gib = r.bytes / (1u << 30);
	if (r.bytes < (double)block * (double)count)
		die("%s: %s: %.0f bytes came of %.0f", peer_name(p), key, r.bytes,
		    (double)block * (double)count);
	snprintf(name, sizeof name, "io.%s.cpu", key);
	sample(name, p, (cg_cpu_us(p) - cpu0) / 1e3 / gib);
	snprintf(name, sizeof name, "io.%s.rate", key);
	sample(name, p, gib * 1024 / ((r.end_us - t0) / 1e6));
	must(task_wait(c.t, c.id, NULL, NULL), "Wait", &c);
	must(task_delete(c.t, c.id, NULL, NULL), "Delete", &c);
	fd_close(&r.fd);
	(void)unlink(in);
	(void)unlink(out);
	(void)unlink(errs);
	(void)con_finish(&c);
	cg_wait_empty(p);
}

/* The FIFO itself in the container; runc-v2 has only its one way. */
static void
flow_direct(enum peer p, unsigned long count)
{
	use_config("[stdio]\ndirect = always\n");
	flow(p, "direct", 0, 1u << 20, count);
	use_config(NULL);
}

/* What one pipe carries here from one process to another, without any shim or container. */
static void
flow_bare(unsigned long count)
{
	AUTO_FREE char *burst = mem_printf("%s/rootfs/bin/burst", bench.dir);
	AUTO_FREE char *block = mem_printf("%u", 1u << 20);
	AUTO_FREE char *blocks = mem_printf("%lu", count);
	struct reader r = {0};
	double t0;
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) == -1 || fcntl(fds[1], F_SETPIPE_SZ, PIPE_BYTES) == -1)
		die("pipe: %s", strerror(errno));
	pid = spawn_in(
	    PEERS, NULL, (const char *const[]){burst, block, blocks, NULL}, fds[1]);
	t0 = now_us();
	fd_close(&fds[1]);
	r.fd = fds[0];
	(void)reader_main(&r);
	fd_close(&fds[0]);
	if (wait_pid(pid) != 0)
		die("'%s' failed", burst);
	sample("io.direct.rate", BARE, r.bytes / (1u << 20) / ((r.end_us - t0) / 1e6));
}

void
fig_io(void)
{
	int n = rounds(5, 1);
	unsigned long small = bench.quick ? 20 : 1;

	for (int r = 0; r < n; r++) {
		for (int i = 0; i < bench.shims; i++) {
			enum peer p = turn(r, i);

			flow(p, "dd", 0, 1u << 20, 2048 / small);
			flow_direct(p, 2048 / small);
			if (p == PODSHIM)
				flow_bare(2048 / small);
			flow(p, "lines", 0, 100, 2000000 / small);
			flow(p, "tty", BUNDLE_TTY, 4000, 16778 / small);
		}
	}
}
