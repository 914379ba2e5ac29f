/*
 * See io_help.h.
 */
#include "io_help.h"

#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/loop.h"
#include "base/mem.h"
#include "worker/link.h"

/* --- the store --------------------------------------------------------------- */

struct want {
	struct want *next;
	struct link *lk;
	char name[MSG_NAME_MAX];
	link_fd_cb cb;
	void *arg;
};

struct link {
	struct loop *loop;
	struct entry {
		char name[MSG_NAME_MAX];
		int fd; /* -1 in a remote worker: only the name is known */
	} entries[256];
	size_t n;
	int sock; /* of a remote worker; else -1 */
	struct event *sock_ev;
	struct want *wants; /* in order of asking */
};

struct wire {
	enum { W_PUT, W_PUT_FIFO, W_GET, W_DROP, W_DROP_PREFIX } op;
	int error;
	bool writes;
	char name[MSG_NAME_MAX];
};

static void
wire_send(int sock, const struct wire *w, int fd)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} ctl = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)w, .iov_len = sizeof *w};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fd >= 0) {
		struct cmsghdr *cm;

		mh.msg_control = ctl.buf;
		mh.msg_controllen = sizeof ctl.buf;
		cm = CMSG_FIRSTHDR(&mh);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(sizeof fd);
		memcpy(CMSG_DATA(cm), &fd, sizeof fd);
	}
	while (sendmsg(sock, &mh, MSG_NOSIGNAL) == -1 && errno == EINTR)
		;
}

/* 1 a message, 0 end, -1 nothing now */
static int
wire_recv(int sock, struct wire *w, int *fd)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} ctl = {0};
	struct iovec iov = {.iov_base = w, .iov_len = sizeof *w};
	struct msghdr mh = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = ctl.buf,
	    .msg_controllen = sizeof ctl.buf};
	struct cmsghdr *cm;
	ssize_t n = recvmsg(sock, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	*fd = -1;
	if (n == -1)
		return errno == ECONNRESET ? wire_recv(sock, w, fd) : -1;
	if (n == 0)
		return 0;
	cm = CMSG_FIRSTHDR(&mh);
	if (cm != NULL && cm->cmsg_type == SCM_RIGHTS)
		memcpy(fd, CMSG_DATA(cm), sizeof *fd);
	return 1;
}

static struct entry *
store_find(struct link *lk, const char *name)
{
	size_t i;

	for (i = 0; i < lk->n; i++) {
		if (strcmp(lk->entries[i].name, name) == 0)
			return &lk->entries[i];
	}
	return NULL;
}

/* Takes fd. */
static void
store_put(struct link *lk, const char *name, int fd)
{
	struct entry *e = store_find(lk, name);

	if (e == NULL) {
		if (lk->n == ARRAY_LEN(lk->entries))
			abort();
		e = &lk->entries[lk->n++];
		e->fd = -1;
		(void)snprintf(e->name, sizeof e->name, "%s", name);
	}
	fd_close(&e->fd);
	e->fd = fd;
}

static void
store_drop(struct link *lk, const char *name, bool prefix)
{
	size_t i, kept = 0;

	for (i = 0; i < lk->n; i++) {
		struct entry *e = &lk->entries[i];

		if (prefix ? strncmp(e->name, name, strlen(name)) == 0
			   : strcmp(e->name, name) == 0)
			fd_close(&e->fd);
		else
			lk->entries[kept++] = *e;
	}
	lk->n = kept;
}

struct link *
fake_new(struct loop *loop)
{
	struct link *lk = mem_zalloc(sizeof *lk);

	lk->sock = -1;
	lk->loop = loop;
	return lk;
}

void
fake_set_loop(struct link *lk, struct loop *loop)
{
	lk->loop = loop;
}

void
fake_free(struct link *lk)
{
	store_drop(lk, "", true);
	free(lk);
}

size_t
fake_count(struct link *lk, const char *prefix)
{
	size_t i, n = 0;

	for (i = 0; i < lk->n; i++)
		n += strncmp(lk->entries[i].name, prefix, strlen(prefix)) == 0;
	return n;
}

static void
remote_on_answer(evutil_socket_t fd, short what, void *arg)
{
	struct link *lk = arg;
	struct want *w;
	struct wire wire;
	int got, rc;

	(void)what;
	while ((rc = wire_recv(fd, &wire, &got)) == 1) {
		w = lk->wants;
		lk->wants = w->next;
		if (w->cb != NULL)
			w->cb(wire.error != 0 ? -wire.error : got, w->arg);
		else
			fd_close(&got);
		free(w);
	}
	if (rc == 0)
		_exit(0); /* no keeper, no worker */
}

void
fake_become_remote(struct link *lk, struct loop *loop, int sock)
{
	size_t i;

	for (i = 0; i < lk->n; i++)
		fd_close(&lk->entries[i].fd);
	lk->wants = NULL; /* they are the parent's */
	lk->sock = sock;
	lk->loop = loop;
	lk->sock_ev =
	    event_new(loop_base(loop), sock, EV_READ | EV_PERSIST, remote_on_answer, lk);
	event_add(lk->sock_ev, NULL);
}

bool
fake_serve(struct link *lk, int sock, int timeout_ms)
{
	int64_t end = now_ms() + timeout_ms;
	struct pollfd pfd = {.fd = sock, .events = POLLIN};
	struct entry *e;
	struct wire w;
	int fd, rc;

	for (;;) {
		rc = wire_recv(sock, &w, &fd);
		if (rc == 0)
			return false;
		if (rc == -1) {
			int64_t left = end - now_ms();

			if (left <= 0)
				return true;
			(void)poll(&pfd, 1, (int)left);
			continue;
		}
		switch (w.op) {
		case W_PUT: store_put(lk, w.name, fd); break;
		case W_PUT_FIFO:
			store_put(lk, w.name, fifo_open_end(fd, w.writes));
			fd_close(&fd);
			break;
		case W_GET:
			e = store_find(lk, w.name);
			w.error = e == NULL ? ENOENT : 0;
			wire_send(sock, &w, e == NULL ? -1 : e->fd);
			break;
		case W_DROP: store_drop(lk, w.name, false); break;
		case W_DROP_PREFIX: store_drop(lk, w.name, true); break;
		}
	}
}

void
link_fd_put(struct link *lk, const char *name, int fd)
{
	struct wire w = {.op = W_PUT};

	if (lk->sock == -1) {
		store_put(lk, name, fd_dup(fd));
		return;
	}
	(void)snprintf(w.name, sizeof w.name, "%s", name);
	wire_send(lk->sock, &w, fd);
	store_put(lk, name, -1);
}

void
link_fd_put_fifo(struct link *lk, const char *name, int path_fd, bool writes)
{
	struct wire w = {.op = W_PUT_FIFO, .writes = writes};

	if (lk->sock == -1) {
		store_put(lk, name, fifo_open_end(path_fd, writes));
		return;
	}
	(void)snprintf(w.name, sizeof w.name, "%s", name);
	wire_send(lk->sock, &w, path_fd);
	store_put(lk, name, -1);
}

static void
local_on_get(evutil_socket_t fd, short what, void *arg)
{
	struct want *w = arg;
	struct entry *e = store_find(w->lk, w->name);
	struct want **at;

	(void)fd;
	(void)what;
	for (at = &w->lk->wants; *at != w; at = &(*at)->next)
		;
	*at = w->next;
	if (w->cb != NULL)
		w->cb(e == NULL ? -ENOENT : fd_dup(e->fd), w->arg);
	free(w);
}

void
link_fd_get(struct link *lk, const char *name, link_fd_cb cb, void *arg)
{
	static const struct timeval now;
	struct wire wire = {.op = W_GET};
	struct want *w = mem_zalloc(sizeof *w), **last;

	w->lk = lk;
	w->cb = cb;
	w->arg = arg;
	(void)snprintf(w->name, sizeof w->name, "%s", name);
	for (last = &lk->wants; *last != NULL; last = &(*last)->next)
		;
	*last = w;
	if (lk->sock == -1) {
		event_base_once(
		    loop_base(lk->loop), -1, EV_TIMEOUT, local_on_get, w, &now);
		return;
	}
	(void)snprintf(wire.name, sizeof wire.name, "%s", name);
	wire_send(lk->sock, &wire, -1);
}

void
link_fd_forget(struct link *lk, const void *arg)
{
	struct want *w;

	for (w = lk->wants; w != NULL; w = w->next) {
		if (w->arg == arg)
			w->cb = NULL;
	}
}

void
link_fd_drop(struct link *lk, const char *name, bool prefix)
{
	struct wire w = {.op = prefix ? W_DROP_PREFIX : W_DROP};

	if (lk->sock != -1) {
		(void)snprintf(w.name, sizeof w.name, "%s", name);
		wire_send(lk->sock, &w, -1);
	}
	store_drop(lk, name, prefix);
}

bool
link_fd_known(struct link *lk, const char *name)
{
	return store_find(lk, name) != NULL;
}

void
link_each_fd(struct link *lk, void (*cb)(const char *name, void *arg), void *arg)
{
	size_t i;

	for (i = 0; i < lk->n; i++)
		cb(lk->entries[i].name, arg);
}

/* --- bytes -------------------------------------------------------------------- */

static uint64_t
mix(uint64_t x)
{
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

void
pattern_fill(uint64_t seed, uint64_t offset, void *buf, size_t len)
{
	unsigned char *p = buf;
	uint64_t word = 0;
	size_t i;

	for (i = 0; i < len; i++, offset++) {
		if (i == 0 || offset % 8 == 0)
			word = mix(seed << 40 ^ offset / 8) >> (offset % 8 * 8);
		p[i] = (unsigned char)word;
		word >>= 8;
	}
}

int
pattern_write(int fd, uint64_t seed, uint64_t from, uint64_t to)
{
	static unsigned char buf[128 * 1024];
	size_t len;
	int rc;

	while (from < to) {
		len = 1 + random_below(random_below(4) == 0 ? 300 : sizeof buf - 1);
		if (len > to - from)
			len = (size_t)(to - from);
		pattern_fill(seed, from, buf, len);
		rc = fd_write_all(fd, buf, len);
		if (rc < 0)
			return rc;
		from += len;
	}
	return 0;
}

static int64_t
pattern_read_slow(int fd, uint64_t seed, uint64_t from, uint64_t to, unsigned pause)
{
	static unsigned char got[64 * 1024], want[64 * 1024];
	ssize_t n;
	size_t len;

	while (from < to) {
		len = sizeof got;
		if (len > to - from)
			len = (size_t)(to - from);
		n = read(fd, got, len);
		if (n == 0)
			break;
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno == EAGAIN) {
			struct pollfd pfd = {.fd = fd, .events = POLLIN};

			(void)poll(&pfd, 1, -1);
			continue;
		}
		if (n == -1)
			break; /* EIO: the other side of a terminal */
		pattern_fill(seed, from, want, (size_t)n);
		if (memcmp(got, want, (size_t)n) != 0) {
			for (len = 0; got[len] == want[len]; len++)
				;
			(void)fprintf(stderr, "stream %llu: byte %llu is wrong\n",
			    (unsigned long long)seed, (unsigned long long)(from + len));
			return -1;
		}
		from += (uint64_t)n;
		if (pause > 0)
			pause_us(pause);
	}
	return (int64_t)from;
}

int64_t
pattern_read(int fd, uint64_t seed, uint64_t from, uint64_t to)
{
	return pattern_read_slow(fd, seed, from, to, 0);
}

/* --- processes ------------------------------------------------------------------ */

/* Close all but 2 and these. */
static void
close_others(const int keep[3])
{
	struct dirent *de;
	DIR *dir = opendir("/proc/self/fd");
	int all[512], fd;
	size_t n = 0;

	while (dir != NULL && (de = readdir(dir)) != NULL && n < ARRAY_LEN(all)) {
		fd = (int)strtol(de->d_name, NULL, 10);
		if (de->d_name[0] != '.' && fd != dirfd(dir) && fd != 2 &&
		    fd != keep[0] && fd != keep[1] && fd != keep[2])
			all[n++] = fd;
	}
	if (dir != NULL)
		(void)closedir(dir);
	while (n > 0)
		(void)close(all[--n]);
}

static bool
proc_fork(struct proc *p, const int keep[3])
{
	(void)fflush(NULL);
	p->pid = fork();
	if (p->pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)signal(SIGPIPE, SIG_DFL);
		close_others(keep);
		return true;
	}
	return false;
}

void
proc_write(
    struct proc *p, const char *path, int fd, uint64_t seed, uint64_t from, uint64_t to)
{
	const int keep[3] = {fd, -1, -1};

	if (!proc_fork(p, keep))
		return;
	if (path != NULL)
		fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	_exit(fd >= 0 && pattern_write(fd, seed, from, to) == 0 ? 0 : 1);
}

void
proc_read(struct proc *p, const char *path, int fd, uint64_t seed, uint64_t from,
    uint64_t to, bool until_eof, unsigned pause)
{
	const int keep[3] = {fd, -1, -1};
	int64_t end;
	char c;

	if (!proc_fork(p, keep))
		return;
	if (path != NULL) {
		/* without waiting for a writer: it may have been and gone */
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
		(void)fd_set_nonblock(fd, false);
	}
	if (fd < 0)
		_exit(1);
	end = pattern_read_slow(fd, seed, from, to, pause);
	if (end != (int64_t)to) {
		(void)fprintf(stderr, "stream %llu: ends at %lld of %llu\n",
		    (unsigned long long)seed, (long long)end, (unsigned long long)to);
		_exit(2);
	}
	if (until_eof && read(fd, &c, 1) > 0) {
		(void)fprintf(stderr, "stream %llu: more than it should be\n",
		    (unsigned long long)seed);
		_exit(3);
	}
	_exit(0);
}

void
proc_run(struct proc *p, const int fds[3], void (*run)(void *arg), void *arg)
{
	if (!proc_fork(p, fds))
		return;
	run(arg);
	_exit(0);
}

bool
proc_ended(const struct proc *p)
{
	siginfo_t si = {0};

	return waitid(P_PID, (id_t)p->pid, &si, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	    si.si_pid == p->pid;
}

char
state_of_pid(pid_t pid)
{
	AUTO_FREE char *path = mem_printf("/proc/%d/stat", pid);
	AUTO_FREE char *text = NULL;
	const char *end;
	size_t len;

	if (file_read(AT_FDCWD, path, 4096, &text, &len, NULL) < 0)
		return '\0';
	end = strrchr(text, ')');
	return end != NULL && end[1] == ' ' ? end[2] : '\0';
}

int
proc_status(struct proc *p)
{
	int status;

	if (waitpid(p->pid, &status, 0) != p->pid)
		return 255;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

void
proc_kill(struct proc *p)
{
	(void)kill(p->pid, SIGKILL);
	(void)proc_status(p);
}

/* --- waiting ---------------------------------------------------------------------- */

int64_t
now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void
pause_us(unsigned us)
{
	struct timespec ts = {
	    .tv_sec = us / 1000000, .tv_nsec = (long)(us % 1000000) * 1000};

	(void)ppoll(NULL, 0, &ts, NULL);
}

unsigned
random_below(unsigned n)
{
	static uint64_t state;

	if (state == 0)
		state = (uint64_t)getpid() << 32 ^ (uint64_t)now_ms();
	state = mix(state);
	return (unsigned)(state % n);
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

bool
loop_until(struct loop *loop, bool (*cond)(void *arg), void *arg)
{
	const struct timeval tick = {.tv_usec = 2000};
	int64_t end = now_ms() + WAIT_S * 1000;
	struct event *ev = event_new(loop_base(loop), -1, EV_PERSIST, on_tick, NULL);
	bool is = false;

	event_add(ev, &tick);
	while (!(is = cond(arg)) && now_ms() < end)
		loop_once(loop, 0);
	event_free(ev);
	return is;
}

void
loop_passes(struct loop *loop, unsigned n)
{
	const struct timeval tick = {.tv_usec = 1000};

	while (n-- > 0) {
		event_base_once(loop_base(loop), -1, EV_TIMEOUT, on_tick, NULL, &tick);
		loop_once(loop, 0);
	}
}

static bool
cond_proc(void *arg)
{
	return proc_ended(arg);
}

bool
loop_until_proc(struct loop *loop, struct proc *p)
{
	return loop_until(loop, cond_proc, p);
}

int
fd_count(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = -3; /* ".", "..", and the directory itself */

	while (readdir(dir) != NULL)
		n++;
	(void)closedir(dir);
	return n;
}
