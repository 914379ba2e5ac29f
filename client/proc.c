/*
 * A process may be gone between any two reads: then it is left out.
 */
#include "client/proc.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"

#define CMDLINE_MAX 4096 /* for people; what is longer is cut */
#define ARGV_MAX    65536
#define STATUS_MAX  65536

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

const struct proc *
procs_find_keeper(const struct procs *procs, const char *pod_dir)
{
	size_t i;

	for (i = 0; i < procs->n; i++) {
		const struct proc *p = &procs->v[i];
		AUTO_FREE char *dir = strcmp(p->comm, "podshim-keeper") == 0
		    ? proc_argument(p->pid, "-dir")
		    : NULL;

		if (dir != NULL && strcmp(dir, pod_dir) == 0)
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

char *
proc_cmdline(pid_t pid)
{
	size_t len, i;
	AUTO_FREE char *path = mem_printf("/proc/%ld/cmdline", (long)pid);
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text = mem_zalloc(CMDLINE_MAX + 1);
	ssize_t n = fd == -1 ? 0 : read(fd, text, CMDLINE_MAX);

	len = n < 0 ? 0 : (size_t)n;
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
