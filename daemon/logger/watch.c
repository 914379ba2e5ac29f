/*
 * A packet per read, to each watcher in turn. Only one that holds the output is
 * waited for, and not longer than it lives: its end shows in the same poll(2).
 */
#include "logger/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "ipc/admin.h"
#include "ipc/attach.h"

/*
 * Make room for the socket. The name of another log program, dead or just ending, passes
 * on to us; who is connected there stays so. Whatever else has it keeps it.
 */
static int
watch_make_room(const struct watch *w, const char *path, struct err *err)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	AUTO_CLOSE int probe = -1;
	struct stat st;

	if (fstatat(w->dir_fd, w->name, &st, AT_SYMLINK_NOFOLLOW) == -1)
		return errno == ENOENT ? 0 : err_set(err, errno, "attach '%s'", path);
	if (!S_ISSOCK(st.st_mode))
		return err_setx(err, ENOTSOCK, "attach '%s' is no socket", path);
	/* as unix_listen_at() names it: path itself may be too long */
	(void)snprintf(
	    sa.sun_path, sizeof sa.sun_path, "/proc/self/fd/%d/%s", w->dir_fd, w->name);
	probe = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (probe == -1)
		return err_set(err, errno, "attach '%s'", path);
	if (connect(probe, (struct sockaddr *)&sa, sizeof sa) == -1 &&
	    errno == EPROTOTYPE)
		return err_setx(err, EADDRINUSE, "attach '%s' is no log program's", path);
	if (unlinkat(w->dir_fd, w->name, 0) == -1 && errno != ENOENT)
		return err_set(err, errno, "attach '%s'", path);
	return 0;
}

int
watch_open(struct watch *w, const char *path, int (*patience_ms)(void), struct err *err)
{
	AUTO_FREE char *dir = NULL;
	struct stat st;
	char *slash;
	size_t i;
	int rc;

	*w = (struct watch){.listen_fd = -1, .dir_fd = -1, .patience_ms = patience_ms};
	for (i = 0; i < WATCHERS_MAX; i++)
		w->w[i].fd = -1;
	if (path == NULL)
		return 0;
	dir = mem_strdup(path);
	slash = strrchr(dir, '/');
	if (slash == NULL || strlen(slash + 1) >= sizeof w->name)
		return err_setx(err, EINVAL, "attach '%s' is no path of a socket", path);
	memcpy(w->name, slash + 1, strlen(slash + 1) + 1);
	slash[slash == dir] = '\0';
	w->dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (w->dir_fd == -1)
		return err_set(err, errno, "open directory '%s'", dir);
	rc = watch_make_room(w, path, err);
	if (rc < 0)
		return rc;
	rc = unix_listen_at(w->dir_fd, w->name, SOCK_SEQPACKET, err);
	if (rc < 0)
		return err_wrap(err, rc, "attach '%s'", path);
	w->listen_fd = rc;
	if (fstatat(w->dir_fd, w->name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		w->dev = st.st_dev;
		w->ino = st.st_ino;
	}
	return 0;
}

static void
watcher_end(struct watcher *one)
{
	fd_close(&one->fd);
}

size_t
watch_poll(const struct watch *w, struct pollfd pfd[1 + WATCHERS_MAX])
{
	size_t i;

	if (w->listen_fd == -1)
		return 0;
	pfd[0] = (struct pollfd){.fd = w->listen_fd, .events = POLLIN};
	for (i = 0; i < WATCHERS_MAX; i++)
		pfd[1 + i] = (struct pollfd){.fd = w->w[i].fd, .events = POLLIN};
	return 1 + WATCHERS_MAX;
}

static void
watch_accept(struct watch *w)
{
	int fd = accept4(w->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	size_t i;

	if (fd == -1)
		return;
	for (i = 0; i < WATCHERS_MAX; i++) {
		if (w->w[i].fd == -1) {
			w->w[i] = (struct watcher){.fd = fd};
			return;
		}
	}
	(void)close(fd); /* one too many */
}

static void
watcher_on_hello(struct watcher *one)
{
	const char ready = ATTACH_READY;
	char hello;
	ssize_t n = recv(one->fd, &hello, 1, 0);

	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n != 1 || (!one->greeted && hello != ATTACH_WATCH && hello != ATTACH_HOLD)) {
		watcher_end(one);
		return;
	}
	if (one->greeted)
		return;
	one->greeted = true;
	one->holds = hello == ATTACH_HOLD;
	if (send(one->fd, &ready, 1, MSG_NOSIGNAL) != 1)
		watcher_end(one);
}

void
watch_on_poll(struct watch *w, const struct pollfd pfd[1 + WATCHERS_MAX], size_t n)
{
	size_t i;

	if (n == 0)
		return;
	for (i = 0; i < WATCHERS_MAX; i++) {
		if (w->w[i].fd != -1 && pfd[1 + i].revents != 0)
			watcher_on_hello(&w->w[i]);
	}
	if (pfd[0].revents != 0)
		watch_accept(w);
}

/* 0: taken; -EAGAIN: no room for it. Whoever has gone is ended, and that is 0. */
static int
watcher_send(struct watcher *one, enum attach_kind kind, const char *p, size_t len)
{
	char head = (char)kind;
	/* sendmsg() reads only */
	union {
		const char *in;
		char *out;
	} data = {.in = p};
	struct iovec iov[] = {{&head, 1}, {data.out, len}};
	const struct msghdr msg = {.msg_iov = iov, .msg_iovlen = ARRAY_LEN(iov)};

	while (sendmsg(one->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) == -1) {
		if (errno == EAGAIN || errno == ENOBUFS)
			return -EAGAIN;
		if (errno != EINTR) {
			watcher_end(one);
			break;
		}
	}
	return 0;
}

static bool
watcher_tell_missed(struct watcher *one)
{
	char text[24];
	int n;

	if (one->missed == 0)
		return true;
	n = snprintf(text, sizeof text, "%" PRIu64, one->missed);
	if (watcher_send(one, ATTACH_MISSED, text, (size_t)n) < 0)
		return false;
	one->missed = 0;
	return one->fd != -1;
}

/* Wait until it takes more. False: its time, or ours, is over. */
static bool
watcher_wait(const struct watch *w, struct watcher *one)
{
	struct pollfd pfd = {.fd = one->fd, .events = POLLOUT};
	struct timespec ts;
	sigset_t none;
	int ms;

	(void)sigemptyset(&none);
	do {
		ms = w->patience_ms();
		if (ms == 0)
			return false;
		ts = (struct timespec){ms / 1000, ms % 1000 * 1000000L};
	} while (ppoll(&pfd, 1, ms < 0 ? NULL : &ts, &none) <= 0);
	return (pfd.revents & POLLOUT) != 0;
}

void
watch_send(struct watch *w, bool is_stderr, const char *p, size_t len)
{
	enum attach_kind kind = is_stderr ? ATTACH_STDERR : ATTACH_STDOUT;
	size_t i;

	for (i = 0; i < WATCHERS_MAX; i++) {
		struct watcher *one = &w->w[i];

		if (one->fd == -1 || !one->greeted)
			continue;
		if (!one->holds) {
			if (!watcher_tell_missed(one) ||
			    watcher_send(one, kind, p, len) < 0)
				one->missed += len;
			continue;
		}
		while (one->fd != -1 && watcher_send(one, kind, p, len) < 0) {
			if (!watcher_wait(w, one))
				watcher_end(one);
		}
	}
}

/* Does the name still lead to our socket? */
static bool
watch_is_there(const struct watch *w)
{
	struct stat st;

	return w->listen_fd != -1 &&
	    fstatat(w->dir_fd, w->name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    st.st_dev == w->dev && st.st_ino == w->ino;
}

void
watch_close(struct watch *w)
{
	size_t i;

	for (i = 0; i < WATCHERS_MAX; i++) {
		if (w->w[i].fd == -1)
			continue;
		(void)watcher_tell_missed(&w->w[i]);
		watcher_end(&w->w[i]);
	}
	if (watch_is_there(w))
		(void)unlinkat(w->dir_fd, w->name, 0);
	fd_close(&w->listen_fd);
	fd_close(&w->dir_fd);
}
