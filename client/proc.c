/*
 * A process may be gone between any two reads: then it is left out. And it may have its
 * memory, and its directories, in a file system whose server never answers: what looks
 * at these is done by a child, which is not waited for for ever.
 */
#include "client/proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "client/pods.h"

#define CMDLINE_MAX 4096 /* for people; what is longer is cut */
#define ARGV_MAX    65536
#define STATUS_MAX  65536
#define CMDLINE_MS  1000
#define REAP_MS	    1000
#define HANGS_MAX   2u /* children that may be left behind */

/* The text of /proc/PID/name, malloc'ed; NULL if it cannot be read. */
static char *
proc_file(pid_t pid, const char *name, size_t max, size_t *len)
{
	AUTO_FREE char *path = mem_printf("/proc/%ld/%s", (long)pid, name);
	char *text = NULL;

	return file_read(AT_FDCWD, path, max, &text, len, NULL) < 0 ? NULL : text;
}

bool
proc_read(pid_t pid, struct proc *out)
{
	size_t len, comm_len;
	AUTO_FREE char *text = proc_file(pid, "stat", 4096, &len);
	uint64_t utime, stime, hz = (uint64_t)sysconf(_SC_CLK_TCK);
	struct proc p = {.pid = pid};
	const char *comm, *end;
	long long rss;
	int ppid;

	/* "pid (comm) state ..."; a comm may hold anything, also brackets */
	comm = text == NULL ? NULL : strchr(text, '(');
	end = comm == NULL ? NULL : strrchr(comm, ')');
	if (end == NULL)
		return false;
	comm_len = (size_t)(end - comm) - 1;
	if (comm_len >= sizeof p.comm)
		comm_len = sizeof p.comm - 1;
	memcpy(p.comm, comm + 1, comm_len);
	if (sscanf(end + 1,
		" %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64
		" %*d %*d %*d %*d %u %*d %" SCNu64 " %*u %lld",
		&p.state, &ppid, &utime, &stime, &p.threads, &p.start_ticks, &rss) != 7)
		return false;
	p.ppid = ppid;
	p.cpu_ns = (int64_t)((utime + stime) * ((uint64_t)NS_PER_S / hz));
	p.rss = rss * sysconf(_SC_PAGESIZE);
	*out = p;
	return true;
}

int64_t
proc_pss(pid_t pid)
{
	static const char key[] = "\nPss:";
	size_t len;
	AUTO_FREE char *text = proc_file(pid, "smaps_rollup", 4096, &len);
	const char *at = text == NULL ? NULL : strstr(text, key);

	return at == NULL ? -1 : (int64_t)strtoll(at + strlen(key), NULL, 10) * 1024;
}

static int
proc_compare(const void *a, const void *b)
{
	const struct proc *x = a, *y = b;

	return x->pid < y->pid ? -1 : x->pid > y->pid;
}

void
procs_read(struct procs *out)
{
	struct procs procs = {0};
	DIR *dir = opendir("/proc");
	struct dirent *de;
	size_t cap = 0;
	long pid;
	char *end;

	*out = procs;
	if (dir == NULL)
		return;
	while ((de = readdir(dir)) != NULL) {
		pid = strtol(de->d_name, &end, 10);
		if (*end != '\0' || pid <= 0)
			continue;
		if (procs.n == cap) {
			cap = cap == 0 ? 256 : cap * 2;
			procs.v = mem_realloc(procs.v, cap * sizeof *procs.v);
		}
		procs.n += proc_read((pid_t)pid, &procs.v[procs.n]);
	}
	(void)closedir(dir);
	if (procs.n > 1)
		qsort(procs.v, procs.n, sizeof *procs.v, proc_compare);
	*out = procs;
}

void
procs_fini(struct procs *procs)
{
	free(procs->v);
	*procs = (struct procs){0};
}

const struct proc *
procs_find(const struct procs *procs, pid_t pid)
{
	const struct proc key = {.pid = pid};

	return procs->n == 0
	    ? NULL
	    : bsearch(&key, procs->v, procs->n, sizeof key, proc_compare);
}

bool
proc_is_recorded(const struct proc *p, const struct process_info *info)
{
	return info->start_time == 0 || info->start_time == p->start_ticks;
}

const struct proc *
procs_find_recorded(const struct procs *procs, const struct process_info *info)
{
	const struct proc *p = procs_find(procs, info->pid);

	return p != NULL && proc_is_recorded(p, info) ? p : NULL;
}

bool
proc_shares_ns(pid_t a, pid_t b, const char *kind)
{
	AUTO_FREE char *path_a = mem_printf("/proc/%ld/ns/%s", (long)a, kind);
	AUTO_FREE char *path_b = mem_printf("/proc/%ld/ns/%s", (long)b, kind);
	struct stat ns_a, ns_b;

	return stat(path_a, &ns_a) == 0 && stat(path_b, &ns_b) == 0 &&
	    ns_a.st_dev == ns_b.st_dev && ns_a.st_ino == ns_b.st_ino;
}

bool
proc_is_roots(pid_t pid)
{
	AUTO_FREE char *uid = proc_status(pid, "Uid");

	/* all four: a set-user-ID program has its caller's as the real one */
	return uid != NULL && strcmp(uid, "0\t0\t0\t0") == 0 &&
	    proc_shares_ns(pid, getpid(), "pid");
}

const struct proc *
procs_find_keeper(const struct procs *procs, const struct pod *pod)
{
	int64_t said = pod_status_num(pod, "keeper_pid");
	size_t i;

	/* its socket is in the pod's directory, where root alone can make one */
	if (said > 0)
		return procs_find(procs, (pid_t)said);
	for (i = 0; i < procs->n; i++) {
		const struct proc *p = &procs->v[i];
		AUTO_FREE char *dir =
		    strcmp(p->comm, "podshim-keeper") == 0 && proc_is_roots(p->pid)
		    ? proc_argument(p->pid, "-dir")
		    : NULL;

		if (dir != NULL && strcmp(dir, pod->path) == 0)
			return p;
	}
	return NULL;
}

char *
proc_wchan(pid_t pid)
{
	size_t len;
	char *text = proc_file(pid, "wchan", 256, &len);

	if (text != NULL && *text != '\0' && strcmp(text, "0") != 0)
		return text;
	free(text);
	return NULL;
}

/* Until the other end is closed, there is no more room, or nothing comes; true: that. */
static bool
read_or_hang(int fd, int ms, char *buf, size_t cap, size_t *len)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	ssize_t n = 1;
	int rc;

	for (*len = 0; *len < cap && n > 0; *len += n > 0 ? (size_t)n : 0) {
		while ((rc = poll(&pfd, 1, ms)) == -1 && errno == EINTR)
			;
		if (rc <= 0)
			return true;
		n = read(fd, buf + *len, cap - *len);
	}
	return false;
}

/* It is gone after a SIGKILL, unless it waits for one who does not answer. */
static bool
reap(pid_t child)
{
	int i;

	(void)kill(child, SIGKILL);
	for (i = 0; waitpid(child, NULL, WNOHANG) == 0; i++) {
		if (i == REAP_MS / 5)
			return false;
		(void)poll(NULL, 0, 5);
	}
	return true;
}

ssize_t
proc_in_child(proc_look look, const void *arg, int ms, char *buf, size_t cap)
{
	static unsigned hangs;
	int fds[2];
	size_t len = 0;
	bool hung;
	pid_t child;

	if (hangs >= HANGS_MAX)
		return -EBUSY;
	if (pipe2(fds, O_CLOEXEC) == -1)
		return -errno;
	child = fork();
	if (child == 0) {
		look(fds[1], arg);
		_exit(0);
	}
	(void)close(fds[1]);
	if (child == -1) {
		(void)close(fds[0]);
		return -EAGAIN;
	}
	hung = read_or_hang(fds[0], ms, buf, cap, &len);
	if (!hung && len < cap)
		(void)waitpid(child, NULL, 0); /* it has closed its end */
	else
		hangs += !reap(child);
	(void)close(fds[0]);
	return hung && len == 0 ? -ETIMEDOUT : (ssize_t)len;
}

static void
look_at_cmdline(int out, const void *arg)
{
	AUTO_FREE char *path = mem_printf("/proc/%ld/cmdline", (long)*(const pid_t *)arg);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[CMDLINE_MAX];
	ssize_t n = fd == -1 ? 0 : read(fd, text, sizeof text);

	if (n > 0)
		(void)!write(out, text, (size_t)n);
}

char *
proc_cmdline(pid_t pid)
{
	char *text = mem_zalloc(CMDLINE_MAX + 1);
	ssize_t n = proc_in_child(look_at_cmdline, &pid, CMDLINE_MS, text, CMDLINE_MAX);
	size_t len = n < 0 ? 0 : (size_t)n, i;

	while (len > 0 && text[len - 1] == '\0')
		len--;
	for (i = 0; i < len; i++)
		if (text[i] == '\0')
			text[i] = ' ';
	if (len > 0)
		return text;
	free(text);
	return NULL;
}

char *
proc_argument(pid_t pid, const char *flag)
{
	size_t len;
	AUTO_FREE char *argv = proc_file(pid, "cmdline", ARGV_MAX, &len);
	const char *p, *end = argv == NULL ? NULL : argv + len;

	for (p = argv; p < end; p += strlen(p) + 1)
		if (strcmp(p, flag) == 0 && p + strlen(p) + 1 < end)
			return mem_strdup(p + strlen(p) + 1);
	return NULL;
}

char *
proc_status(pid_t pid, const char *key)
{
	size_t len, n = strlen(key);
	AUTO_FREE char *text = proc_file(pid, "status", STATUS_MAX, &len);
	char *line, *save = NULL;

	if (text == NULL)
		return NULL;
	for (line = strtok_r(text, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save)) {
		if (strncmp(line, key, n) != 0 || line[n] != ':')
			continue;
		line += n + 1;
		return mem_strdup(line + strspn(line, " \t"));
	}
	return NULL;
}

int64_t
proc_age(const struct proc *p)
{
	uint64_t hz = (uint64_t)sysconf(_SC_CLK_TCK), now = clock_boot_us();
	uint64_t began = p->start_ticks * (US_PER_S / hz);

	return now > began ? (int64_t)(now - began) * (NS_PER_S / (int64_t)US_PER_S) : 0;
}
