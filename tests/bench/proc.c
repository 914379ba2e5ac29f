/*
 * Time, processes and cgroups. Each peer has one cpuacct cgroup: what it
 * starts in there stays there (a container moves to its own), so the cgroup
 * tells both its CPU time, dead children included, and which processes are its.
 */
#include "tests/bench/bench.h"

#include "base/dir.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KERNEL_STACK_KB 16
#define PIDS_MAX	512

static int cg_procs_fd[PEERS] = {-1, -1, -1, -1};
static int cg_usage_fd[PEERS];

static double stood_still_us;

double
now_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3 - stood_still_us;
}

void
pause_ms(int ms)
{
	(void)poll(NULL, 0, ms);
}

static char *
cg_dir(enum peer p)
{
	return mem_printf("/sys/fs/cgroup/cpuacct/%s/bench-%s", bench.ns, peer_name(p));
}

void
cg_make(enum peer p)
{
	AUTO_FREE char *dir = cg_dir(p);
	AUTO_FREE char *procs = mem_printf("%s/cgroup.procs", dir);
	AUTO_FREE char *usage = mem_printf("%s/cpuacct.usage", dir);
	struct err err = ERR_INIT;

	if (dir_make(dir, 0755, &err) < 0)
		die("%s (cgroup v1 with cpuacct is needed)", err.text);
	cg_procs_fd[p] = open(procs, O_RDWR | O_CLOEXEC);
	cg_usage_fd[p] = open(usage, O_RDONLY | O_CLOEXEC);
	if (cg_procs_fd[p] == -1 || cg_usage_fd[p] == -1)
		die("open '%s': %s", procs, strerror(errno));
}

double
cg_cpu_us(enum peer p)
{
	char buf[64];
	ssize_t n = pread(cg_usage_fd[p], buf, sizeof buf - 1, 0);

	if (n <= 0)
		die("cpuacct.usage: %s", strerror(errno));
	buf[n] = '\0';
	return strtod(buf, NULL) / 1e3;
}

size_t
cg_pids(enum peer p, pid_t *pids, size_t max)
{
	/* opened each time: a kept descriptor of cgroup v1 goes on showing its first list */
	AUTO_FREE char *dir = cg_dir(p);
	AUTO_FREE char *procs = mem_printf("%s/cgroup.procs", dir);
	AUTO_FREE char *text = NULL;
	struct err err = ERR_INIT;
	size_t n = 0, len;

	if (file_read(AT_FDCWD, procs, 1u << 20, &text, &len, &err) < 0)
		die("%s", err.text);
	for (char *s = text, *end; n < max; s = end) {
		long pid = strtol(s, &end, 10);

		if (end == s)
			break;
		pids[n++] = (pid_t)pid;
	}
	return n;
}

/* The number behind "Key:" in a text like /proc/PID/status. */
static double
number_of(const char *text, const char *key)
{
	const char *s = strstr(text, key);

	return s ? strtod(s + strlen(key), NULL) : 0;
}

static char *
proc_text(pid_t pid, const char *name)
{
	AUTO_FREE char *path = mem_printf("/proc/%d/%s", (int)pid, name);
	char *text;
	size_t len;

	/* It may have ended meanwhile. */
	return file_read(AT_FDCWD, path, 1u << 20, &text, &len, NULL) < 0 ? NULL : text;
}

static void
die_of_left(enum peer p, pid_t pid)
{
	AUTO_FREE char *status = proc_text(pid, "status");
	AUTO_FREE char *line = proc_text(pid, "cmdline");

	die("a process of %s is left: %d '%s'\n%.150s", peer_name(p), (int)pid,
	    line ? line : "", status ? status : "");
}

void
cg_wait_empty(enum peer p)
{
	double deadline = now_us() + 300e6;
	pid_t pid[8];

	for (;;) {
		reap_any();
		if (cg_pids(p, pid, 8) == 0)
			return;
		if (now_us() > deadline)
			die_of_left(p, pid[0]);
		pause_ms(2);
	}
}

#define CG_PIDS 256

/* Is there a process that is no shim: a publish binary, a runtime command? */
static bool
cg_has_helpers(enum peer p)
{
	pid_t pids[CG_PIDS];
	size_t n = cg_pids(p, pids, CG_PIDS), i;

	for (i = 0; i < n; i++) {
		AUTO_FREE char *comm = proc_text(pids[i], "comm");

		if (comm != NULL && strstr(comm, "shim") == NULL &&
		    strstr(comm, "conmon") == NULL)
			return true;
	}
	return false;
}

void
cg_settle(enum peer p)
{
	double began = now_us(), since = began, last = -1;
	int quiet = 0;

	while (quiet < 4) {
		double cpu = cg_cpu_us(p), now = now_us();

		if (now - began > 300e6 || now - since > 3e6)
			return;
		if (cg_has_helpers(p)) {
			/* the next may be on its way when this one has ended */
			quiet = 0;
			since = now;
		} else {
			quiet = cpu - last < 1 ? quiet + 1 : 0;
		}
		last = cpu;
		pause_ms(60);
	}
}

pid_t
spawn_in(enum peer p, const char *dir, const char *const *argv, int out)
{
	double t0 = now_us();
	int ready[2], go[2], null;
	char byte = 0;
	pid_t pid;

	if (pipe2(ready, O_CLOEXEC) == -1 || pipe2(go, O_CLOEXEC) == -1)
		die("pipe: %s", strerror(errno));
	pid = fork();
	if (pid == -1)
		die("fork: %s", strerror(errno));
	if (pid > 0) {
		(void)close(ready[1]);
		(void)close(go[0]);
		(void)!read(ready[0], &byte, 1);
		/* to join a cgroup takes up to 10 ms, for nothing that is measured */
		stood_still_us += now_us() - t0;
		(void)close(go[1]);
		(void)close(ready[0]);
		return pid;
	}
	(void)close(go[1]);
	null = open("/dev/null", O_RDWR);
	if ((dir && chdir(dir) == -1) ||
	    (p != PEERS && write(cg_procs_fd[p], "0", 1) != 1) || dup2(null, 0) == -1 ||
	    dup2(out == -1 ? null : out, 1) == -1 ||
	    dup2(out == -1 ? null : out, 2) == -1)
		_exit(126);
	if (write(ready[1], &byte, 1) != 1 || read(go[0], &byte, 1) != 0)
		_exit(126);
	(void)execvp(argv[0], (char *const *)(uintptr_t)argv);
	_exit(127);
}

int
wait_pid(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) == -1)
		if (errno != EINTR)
			die("waitpid %d: %s", (int)pid, strerror(errno));
	return status;
}

void
run_in(enum peer p, const char *dir, const char *const *argv)
{
	int status = wait_pid(spawn_in(p, dir, argv, getenv("BENCH_DEBUG") ? 2 : -1));

	if (status != 0)
		die("'%s %s ...' ended with status %#x", argv[0], argv[1],
		    (unsigned)status);
}

void
reap_any(void)
{
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

double
own_cpu_us(enum peer p, const char *name)
{
	pid_t pids[PIDS_MAX];
	size_t n = cg_pids(p, pids, PIDS_MAX);
	double ns = 0;

	for (size_t i = 0; i < n; i++) {
		AUTO_FREE char *comm = proc_text(pids[i], "comm");
		AUTO_FREE char *stat = proc_text(pids[i], "schedstat");

		if (comm && stat && (!name || strncmp(comm, name, strlen(name)) == 0))
			ns += strtod(stat, NULL);
	}
	return ns / 1e3;
}

static double
switches_of(pid_t pid)
{
	AUTO_FREE char *path = mem_printf("/proc/%d/task", (int)pid);
	DIR *d = opendir(path);
	double sum = 0;

	for (struct dirent *e; d && (e = readdir(d));) {
		AUTO_FREE char *status = mem_printf("task/%s/status", e->d_name);
		AUTO_FREE char *text =
		    e->d_name[0] == '.' ? NULL : proc_text(pid, status);

		if (text)
			sum += number_of(text, "\nvoluntary_ctxt_switches:") +
			    number_of(text, "\nnonvoluntary_ctxt_switches:");
	}
	if (d)
		(void)closedir(d);
	return sum;
}

/* Blocks of all files below a directory. */
static double
files_kb(const char *dir)
{
	DIR *d = opendir(dir);
	double sum = 0;

	for (struct dirent *e; d && (e = readdir(d));) {
		AUTO_FREE char *path = mem_printf("%s/%s", dir, e->d_name);
		struct stat st;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
		    lstat(path, &st) == -1)
			continue;
		sum += (double)st.st_blocks / 2;
		if (S_ISDIR(st.st_mode))
			sum += files_kb(path);
	}
	if (d)
		(void)closedir(d);
	return sum;
}

static void
seen_set(struct seen *s, pid_t pid, const char *comm, double switches)
{
	*s = (struct seen){.pid = pid, .switches = switches};
	(void)snprintf(s->comm, sizeof s->comm, "%.*s", (int)strcspn(comm, "\n"), comm);
}

static const struct seen *
seen_find(const struct footprint *f, pid_t pid)
{
	for (size_t i = 0; i < FOOTPRINT_SEEN; i++)
		if (f->seen[i].pid == pid)
			return &f->seen[i];
	return NULL;
}

void
footprint_tell_woken(const struct footprint *before, const struct footprint *after)
{
	for (size_t i = 0; i < FOOTPRINT_SEEN && before->seen[i].pid != 0; i++)
		if (!seen_find(after, before->seen[i].pid))
			note("%s (%d) is gone", before->seen[i].comm,
			    (int)before->seen[i].pid);
	for (size_t i = 0; i < FOOTPRINT_SEEN && after->seen[i].pid != 0; i++) {
		const struct seen *now = &after->seen[i];
		const struct seen *then = seen_find(before, now->pid);
		double n = now->switches - (then ? then->switches : 0);

		if (n != 0)
			note("%s (%d) was given a CPU %.0f times%s", now->comm,
			    (int)now->pid, n, then ? "" : ", and is new");
	}
}

void
footprint(enum peer p, struct footprint *f)
{
	pid_t pids[PIDS_MAX];
	size_t n = cg_pids(p, pids, PIDS_MAX);
	double switches;

	*f = (struct footprint){0};
	for (size_t i = 0; i < n; i++) {
		AUTO_FREE char *comm = proc_text(pids[i], "comm");
		AUTO_FREE char *maps = proc_text(pids[i], "smaps_rollup");
		AUTO_FREE char *status = proc_text(pids[i], "status");

		if (!comm || !maps || !status)
			continue;
		f->private_dirty_kb += number_of(maps, "\nPrivate_Dirty:");
		f->pss_kb += number_of(maps, "\nPss:");
		f->kernel_kb += number_of(status, "\nVmPTE:") +
		    number_of(status, "\nThreads:") * KERNEL_STACK_KB;
		switches = switches_of(pids[i]);
		f->switches += switches;
		if (f->processes < FOOTPRINT_SEEN)
			seen_set(&f->seen[f->processes], pids[i], comm, switches);
		f->processes++;
	}
	if (p == PODSHIM) {
		const char *root = getenv("PODSHIM_STATE_ROOT");
		AUTO_FREE char *dir =
		    mem_printf("%s/%s", root ? root : "/run/podshim", bench.ns);

		f->files_kb = files_kb(dir);
	}
}
