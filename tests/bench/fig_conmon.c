/*
 * conmon, where it does the same work: one container without a terminal, from
 * its creation to its deletion, and the memory of its monitor. conmon tells by
 * files: they are looked for every 0.2 ms.
 */
#include "tests/bench/bench.h"

#include "base/mem.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void
wait_file(const char *path)
{
	double deadline = now_us() + 20e6;
	struct stat st;

	while (stat(path, &st) == -1 || st.st_size == 0) {
		const struct timespec ts = {.tv_nsec = 200000};

		if (now_us() > deadline)
			die("conmon: no '%s'", path);
		(void)nanosleep(&ts, NULL);
	}
}

static void
conmon_create(struct con *c)
{
	AUTO_FREE char *pid_file = mem_printf("%s/init.pid", c->bundle);
	AUTO_FREE char *log = mem_printf("k8s-file:%s/conmon.log", c->bundle);
	AUTO_FREE char *arg = mem_printf("--root=%s/bare", bench.dir);
	AUTO_FREE char *runtime = mem_printf(
	    "/usr/%s/runc", access("/usr/sbin/runc", X_OK) == 0 ? "sbin" : "bin");
	AUTO_FREE char *sockets = mem_printf("%s/conmon", bench.dir);
	const char *const argv[] = {"conmon", "--api-version", "1", "-c", c->id, "-u",
	    c->id, "-n", c->id, "-r", runtime, "--runtime-arg", arg, "-b", c->bundle,
	    "-p", pid_file, "-l", log, "--exit-dir", c->bundle, "--socket-dir-path",
	    sockets, NULL};

	if (mkdir(sockets, 0700) == -1 && errno != EEXIST)
		die("mkdir '%s': %s", sockets, strerror(errno));
	run_in(CONMON, c->bundle, argv);
	wait_file(pid_file);
}

static double
conmon_once(void)
{
	AUTO_FREE char *exit_file = NULL;
	struct con c;
	double t0, us;

	con_make(&c, CONMON, NULL, 0, (const char *const[]){"true", NULL});
	exit_file = mem_printf("%s/%s", c.bundle, c.id);
	t0 = now_us();
	conmon_create(&c);
	bare_start(&c);
	wait_file(exit_file);
	us = now_us() - t0;
	(void)unlink(exit_file);
	t0 = now_us();
	bare_delete(&c);
	cg_wait_empty(CONMON);
	return us + now_us() - t0;
}

void
fig_conmon(void)
{
	AUTO_FREE char *exit_file = NULL;
	struct footprint f;
	struct con c;
	int n = rounds(20, 1);

	if (access("/usr/bin/conmon", X_OK) == -1) {
		note("no conmon on this machine");
		return;
	}
	for (int r = 0; r < n; r++)
		sample("life.runc.wall", CONMON, conmon_once() / 1e3);
	con_make(&c, CONMON, NULL, 0, (const char *const[]){"sleep", "100000", NULL});
	exit_file = mem_printf("%s/%s", c.bundle, c.id);
	conmon_create(&c);
	bare_start(&c);
	cg_settle(CONMON);
	footprint(CONMON, &f);
	sample("memory.1", CONMON, f.private_dirty_kb);
	(void)kill(bare_pid(&c), SIGKILL);
	wait_file(exit_file);
	(void)unlink(exit_file);
	bare_delete(&c);
	cg_wait_empty(CONMON);
}
