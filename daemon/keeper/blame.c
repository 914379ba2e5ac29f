/*
 * The inquest. The black box is memory that the dead wrote, perhaps while they
 * were already mad: it is read as untrusted bytes, and it cannot shrink under
 * our eyes, for it is sealed.
 *
 * Blame falls on the one request that was in hand, and only if the death was
 * the worker's own doing: a fault, a failed exit, a hang, an OOM kill of our
 * cgroup. A SIGKILL or SIGSEGV from outside blames nobody.
 */
#include "keeper/blame.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/dir.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "ipc/blackbox.h"
#include "keeper/limits.h"
#include "keeper/pod.h"
#include "keeper/reaper.h"
#include "keeper/request.h"

struct blame {
	struct pod *pod;
	int fd;
	const struct blackbox *box; /* NULL until the first */
	char oom_path[256];	    /* "" if there is nothing to read */
	uint64_t oom_kills;
};

/* --- OOM kills of our own cgroup -------------------------------------------- */

/* Where the kernel counts them, for v1 or v2; "" if nowhere. */
static void
oom_find(char *out, size_t cap)
{
	AUTO_FREE char *text = NULL;
	char *line, *save = NULL, *p;
	size_t len;

	out[0] = '\0';
	if (file_read(AT_FDCWD, "/proc/self/cgroup", 65536, &text, &len, NULL) < 0)
		return;
	for (line = strtok_r(text, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save)) {
		if ((p = strstr(line, ":memory:")) != NULL) {
			(void)snprintf(out, cap,
			    "/sys/fs/cgroup/memory%s/memory.oom_control",
			    p + strlen(":memory:"));
			return;
		}
		if (strncmp(line, "0::", 3) == 0)
			(void)snprintf(
			    out, cap, "/sys/fs/cgroup%s/memory.events", line + 3);
	}
}

/* So many; UINT64_MAX: not to be known, and then nobody may be blamed by it. */
static uint64_t
oom_read(const struct blame *bl)
{
	char text[4096];
	const char *p;

	if (bl->oom_path[0] == '\0' ||
	    small_read(AT_FDCWD, bl->oom_path, text, sizeof text) < 0)
		return UINT64_MAX;
	p = strstr(text, "oom_kill ");
	return p == NULL ? UINT64_MAX : strtoull(p + strlen("oom_kill "), NULL, 10);
}

bool
blame_is_oom(const struct blame *bl)
{
	uint64_t now = oom_read(bl);

	return bl->oom_kills != UINT64_MAX && now != UINT64_MAX && now > bl->oom_kills;
}

/* --- the box --------------------------------------------------------------- */

struct blame *
blame_new(struct pod *pod)
{
	struct blame *bl = calloc(1, sizeof *bl);

	if (bl == NULL)
		return NULL;
	bl->pod = pod;
	bl->fd = -1;
	oom_find(bl->oom_path, sizeof bl->oom_path);
	return bl;
}

static void
box_close(struct blame *bl)
{
	if (bl->box != NULL)
		(void)munmap((void *)(uintptr_t)bl->box, BLACKBOX_SIZE);
	bl->box = NULL;
	fd_close(&bl->fd);
}

void
blame_free(struct blame *bl)
{
	if (bl == NULL)
		return;
	box_close(bl);
	free(bl);
}

int
blame_open(struct blame *bl)
{
	void *map;
	int rc;

	box_close(bl);
	bl->fd = memfd_bounded("podshim-blackbox", BLACKBOX_SIZE);
	if (bl->fd < 0) {
		rc = bl->fd;
		bl->fd = -1;
		return rc;
	}
	/* all pages now: neither side shall fault for want of one later */
	if (fallocate(bl->fd, 0, 0, BLACKBOX_SIZE) == -1)
		return -errno;
	map = mmap(NULL, BLACKBOX_SIZE, PROT_READ, MAP_SHARED, bl->fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	bl->box = map;
	bl->oom_kills = oom_read(bl);
	return 0;
}

int
blame_box_fd(const struct blame *bl)
{
	return bl->fd;
}

uint64_t
blame_loops(const struct blame *bl)
{
	return bl->box == NULL ? 0 : bl->box->loops;
}

uint64_t
blame_in_hand(const struct blame *bl)
{
	return bl->box == NULL ? 0 : bl->box->in_hand;
}

/* Printable ASCII of at most n bytes that may lack a NUL. */
static void
copy_printable(char *out, const char *in, size_t n)
{
	size_t i;

	for (i = 0; i + 1 < n && in[i] != '\0'; i++)
		out[i] = in[i] >= ' ' && in[i] <= '~' ? in[i] : '?';
	out[i] = '\0';
}

void
blame_halt(const struct blame *bl, char *out, size_t cap)
{
	size_t n = sizeof bl->box->halt;

	out[0] = '\0';
	if (bl->box != NULL)
		copy_printable(out, bl->box->halt, n < cap ? n : cap);
}

uint32_t
blame_halts(const struct blame *bl)
{
	return bl->box == NULL ? 0 : bl->box->halts;
}

void
blame_each_trace(
    const struct blame *bl, void (*cb)(const char *line, void *arg), void *arg)
{
	uint64_t i, n = bl->box == NULL ? 0 : bl->box->n_traces;
	uint64_t from = n > BLACKBOX_TRACES ? n - BLACKBOX_TRACES : 0;

	for (i = from; i < n; i++) {
		const struct blackbox_trace *t = &bl->box->trace[i % BLACKBOX_TRACES];
		char text[sizeof t->text], line[sizeof text + 64];

		copy_printable(text, t->text, sizeof text);
		(void)snprintf(line, sizeof line, "%" PRIu64 " n=%" PRIu64 " %s",
		    t->t_boot_us, t->n, text);
		cb(line, arg);
	}
}

/* --- the crash record ------------------------------------------------------ */

/* N of "<prefix>N.txt", which grows from record to record; 0 for other names. */
static uint64_t
record_number(const char *name, const char *prefix)
{
	size_t len = strlen(prefix);
	uint64_t n;
	char *end;

	if (strncmp(name, prefix, len) != 0 || name[len] < '1' || name[len] > '9')
		return 0;
	n = strtoull(name + len, &end, 10);
	return strcmp(end, ".txt") == 0 ? n : 0;
}

void
records_prune(int dir_fd, const char *prefix)
{
	AUTO_CLOSEDIR DIR *dir = dir_open(dir_fd, ".");
	uint64_t newest[LIMIT_RECORDS] = {0}, n;
	struct dirent *de;
	size_t i;
	int pass;

	if (dir == NULL)
		return;
	/* first find the newest ones, then remove what is older than them all */
	for (pass = 0; pass < 2; pass++) {
		rewinddir(dir);
		while ((de = dir_next(dir)) != NULL) {
			n = record_number(de->d_name, prefix);
			if (n == 0)
				continue;
			if (pass == 1) {
				if (n < newest[0])
					(void)unlinkat(dir_fd, de->d_name, 0);
				continue;
			}
			if (n <= newest[0])
				continue;
			for (i = 0; i + 1 < LIMIT_RECORDS && newest[i + 1] < n; i++)
				newest[i] = newest[i + 1];
			newest[i] = n;
		}
	}
}

void
record_exe(int fd, const char *key, const char *link)
{
	char path[4096];
	struct stat st;
	ssize_t n;

	n = readlink(link, path, sizeof path - 1);
	if (n < 0 || stat(link, &st) == -1)
		return;
	path[n] = '\0';
	(void)dprintf(fd, "%s: %s\n%s_id: %ju:%ju\n", key, path, key,
	    (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
}

static void
record_frames(int fd, const uint64_t *frames, uint32_t n, uint64_t base)
{
	uint32_t i;

	for (i = 0; i < n && i < BLACKBOX_FRAMES; i++)
		(void)dprintf(fd, "frame: %#" PRIx64 " (base + %#" PRIx64 ")\n",
		    frames[i], frames[i] - base);
}

bool
blame_answers(const struct blame *bl)
{
	return bl->box != NULL && bl->box->ask_ready != 0;
}

void
blame_write_frames(const struct blame *bl, int fd)
{
	if (bl->box != NULL)
		record_frames(
		    fd, bl->box->ask_frames, bl->box->n_ask_frames, bl->box->load_base);
}

static void
record_line(const char *line, void *arg)
{
	(void)dprintf(*(int *)arg, "trace: %s\n", line);
}

static void
record_write(struct blame *bl, const struct worker_death *d, const char *verdict)
{
	int dir_fd = bl->pod->dir_fd;
	const struct blackbox *box = bl->box;
	AUTO_CLOSE int fd = -1;
	char name[64], link[64], what[64] = "";

	(void)snprintf(name, sizeof name, "crash-%u.txt", d->gen);
	fd = openat(
	    dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd == -1) {
		log_warn("crash record '%s'", name);
		return;
	}
	if (box != NULL)
		copy_printable(what, box->what, sizeof what);
	(void)dprintf(fd,
	    "time_ns: %" PRId64 "\nworker: %ld\ngeneration: %u\nbuild: %s\nstatus: %#x\n"
	    "ended: %s %d\nverdict: %s\nmore: %s\n",
	    clock_real_ns(), (long)d->pid, d->gen, d->build, (unsigned)d->status,
	    WIFSIGNALED(d->status) ? "signal" : "exit",
	    WIFSIGNALED(d->status) ? WTERMSIG(d->status) : WEXITSTATUS(d->status),
	    verdict, d->text);
	if (d->exe_fd != -1) {
		(void)snprintf(link, sizeof link, "/proc/self/fd/%d", d->exe_fd);
		record_exe(fd, "exe", link);
	}
	if (box == NULL)
		return;
	(void)dprintf(fd,
	    "in_hand: %" PRIu64 "\nwhat: %s\nloops: %" PRIu64 "\nfatal_signal: %d\n"
	    "fatal_addr: %#" PRIx64 "\nload_base: %#" PRIx64 "\n",
	    box->in_hand, what, box->loops, box->fatal_signal, box->fatal_addr,
	    box->load_base);
	record_frames(fd, box->frames, box->n_frames, box->load_base);
	blame_each_trace(bl, record_line, &fd);
	records_prune(dir_fd, "crash-");
}

/* --- the verdict ----------------------------------------------------------- */

static bool
is_fault(int signo)
{
	return signo == SIGSEGV || signo == SIGBUS || signo == SIGILL ||
	    signo == SIGFPE || signo == SIGABRT || signo == SIGSYS;
}

/* Its own doing? *verdict says why, for people. */
static bool
is_own_doing(const struct blame *bl, const struct worker_death *d, const char **verdict)
{
	int signo;

	switch (d->why) {
	case KILL_HANG: *verdict = "it hung"; return true;
	case KILL_GARBAGE: *verdict = "it sent garbage"; return true;
	case KILL_BOOT: *verdict = "it did not come up"; return true;
	case KILL_STUCK: *verdict = "the machine kept it from coming up"; return false;
	case KILL_MEMORY: *verdict = "the keeper ran out of memory"; return false;
	case KILL_LEAVE: *verdict = "it did not leave when asked"; return false;
	case KILL_NONE: break;
	}
	if (WIFEXITED(d->status)) {
		*verdict = WEXITSTATUS(d->status) == EXIT_REFUSED ? "it refused to work"
								  : "it ended by itself";
		return WEXITSTATUS(d->status) != 0 &&
		    WEXITSTATUS(d->status) != EXIT_REFUSED;
	}
	signo = WTERMSIG(d->status);
	if (signo == SIGKILL && blame_is_oom(bl)) {
		*verdict = "killed for want of memory";
		return true;
	}
	/* its handler notes a signal that somebody sent as a negative number */
	if (is_fault(signo) && bl->box != NULL && bl->box->fatal_signal >= 0) {
		*verdict = "it crashed";
		return true;
	}
	*verdict = "killed from outside";
	return false;
}

bool
blame_death(struct blame *bl, const struct worker_death *d)
{
	uint64_t n = blame_in_hand(bl);
	const char *verdict = "";
	bool own = is_own_doing(bl, d, &verdict);

	if (d->expected)
		return false;
	log_errx("worker %ld is dead (status %#x, %s, request in hand %" PRIu64 ") %s",
	    (long)d->pid, (unsigned)d->status, verdict, n, d->text);
	record_write(bl, d, verdict);
	if (own && n != 0)
		requests_blame(bl->pod->requests, n);
	return own;
}
