/*
 * How long an event takes to those who listen, and what it costs.
 *
 * Latency: from Kill to the line that `ctr events` prints of the exit. Costs:
 * the publish binary is wrapped in a script that moves itself to a cgroup of
 * its own; ttrpc has no process, so there it is the keeper's and worker's CPU time
 * of whole execs, divided by their three events: more than the truth.
 */
#include "tests/bench/bench.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WAIT_US 60e6

struct listener {
	pid_t pid;
	int fd;
	char buf[8192];
	size_t len;
};

static void
listener_start(struct listener *l)
{
	const char *const argv[] = {
	    "ctr", "-a", bench.address, "-n", bench.ns, "events", NULL};
	int fds[2];

	*l = (struct listener){0};
	if (pipe2(fds, O_CLOEXEC) == -1)
		die("pipe: %s", strerror(errno));
	l->pid = spawn_in(PEERS, NULL, argv, fds[1]);
	l->fd = fds[0];
	fd_close(&fds[1]);
}

/* Wait for a line with both words; false: none within the time. */
static bool
listener_wait(struct listener *l, const char *topic, const char *id, double us)
{
	double deadline = now_us() + us;

	for (;;) {
		struct pollfd pfd = {.fd = l->fd, .events = POLLIN};
		char *nl;
		ssize_t n;

		while ((nl = memchr(l->buf, '\n', l->len)) != NULL) {
			size_t used = (size_t)(nl + 1 - l->buf);
			bool hit;

			*nl = '\0';
			hit = strstr(l->buf, topic) && strstr(l->buf, id);
			l->len -= used;
			memmove(l->buf, nl + 1, l->len);
			if (hit)
				return true;
		}
		if (now_us() > deadline || l->len == sizeof l->buf)
			return false;
		if (poll(&pfd, 1, 20) <= 0)
			continue;
		n = read(l->fd, l->buf + l->len, sizeof l->buf - l->len);
		if (n <= 0)
			die("ctr events has ended");
		l->len += (size_t)n;
	}
}

/* It listens once something that we make shows up. */
static void
listener_probe(struct listener *l)
{
	double deadline = now_us() + WAIT_US;
	int i = 0;

	do {
		AUTO_FREE char *label = mem_printf("probe=%d", i++);
		const char *const argv[] = {"ctr", "-a", bench.address, "namespaces",
		    "label", bench.ns, label, NULL};

		if (now_us() > deadline)
			die("ctr events shows nothing");
		run_in(PEERS, NULL, argv);
	} while (!listener_wait(l, "/namespaces/update", "", 300e3));
}

static double
exit_latency(struct listener *l, enum peer p)
{
	char mark[96];
	struct con c;
	double t0, us;

	con_sleeper(&c, p, NULL);
	cg_settle(p);
	snprintf(mark, sizeof mark, "\"%s\"", c.id);
	t0 = now_us();
	must(task_kill(c.t, c.id, NULL, 9, false), "Kill", &c);
	if (!listener_wait(l, "/tasks/exit", mark, WAIT_US))
		die("%s: no exit event of %s", peer_name(p), c.id);
	us = now_us() - t0;
	con_end(&c);
	cg_wait_empty(p);
	return us;
}

/* A publish binary that counts: CPU per call in us. */
static double
publish_cpu(int n)
{
	AUTO_FREE char *path = mem_printf("%s/publish", bench.dir);
	AUTO_FREE char *text =
	    mem_printf("#!/bin/sh\necho >>%s/published\n"
		       "echo $$ >/sys/fs/cgroup/cpuacct/%s/bench-conmon/cgroup.procs\n"
		       "exec %s \"$@\"\n",
		bench.dir, bench.ns, bench.publish);
	AUTO_FREE char *count = mem_printf("%s/published", bench.dir);
	const char *real = bench.publish;
	struct err err = ERR_INIT;
	struct con c;
	struct stat st;
	double cpu0 = cg_cpu_us(CONMON);

	if (file_write(AT_FDCWD, path, text, strlen(text), 0755, &err) < 0)
		die("%s", err.text);
	bench.publish = path;
	for (int i = 0; i < n; i++) {
		con_sleeper(&c, PODSHIM, NULL);
		con_end(&c);
		cg_wait_empty(PODSHIM);
	}
	bench.publish = real;
	cg_wait_empty(CONMON);
	if (stat(count, &st) == -1 || st.st_size == 0)
		die("nothing was published by the publish binary");
	return (cg_cpu_us(CONMON) - cpu0) / (double)st.st_size;
}

static double
ttrpc_cpu(int n)
{
	struct con c;
	double cpu0, us;

	con_sleeper(&c, PODSHIM, NULL);
	cg_settle(PODSHIM);
	cpu0 = own_cpu_us(PODSHIM, NULL);
	for (int i = 0; i < n; i++)
		(void)exec_once(&c, i);
	cg_settle(PODSHIM);
	us = (own_cpu_us(PODSHIM, NULL) - cpu0) / n / 3;
	con_end(&c);
	cg_wait_empty(PODSHIM);
	return us;
}

void
fig_events(void)
{
	struct listener l;
	int n = rounds(10, 1);

	listener_start(&l);
	listener_probe(&l);
	for (int r = 0; r < n; r++) {
		double go = exit_latency(&l, RUNC_V2) / 1e3;

		sample("events.publish.latency", RUNC_V2, go);
		sample("events.ttrpc.latency", RUNC_V2, go);
		use_config("[events]\ntransport = publish-binary\n");
		sample(
		    "events.publish.latency", PODSHIM, exit_latency(&l, PODSHIM) / 1e3);
		use_config("[events]\ntransport = ttrpc\n");
		sample("events.ttrpc.latency", PODSHIM, exit_latency(&l, PODSHIM) / 1e3);
		sample("events.ttrpc.cpu", PODSHIM, ttrpc_cpu(rounds(50, 10)) / 1e3);
		use_config(NULL);
	}
	sample("events.publish.cpu", PODSHIM, publish_cpu(rounds(10, 1)) / 1e3);
	(void)kill(l.pid, SIGTERM);
	(void)wait_pid(l.pid);
	fd_close(&l.fd);
}
