/*
 * Those who watch the output beside its log (ipc/attach.h).
 */
#ifndef PODSHIM_LOGGER_WATCH_H
#define PODSHIM_LOGGER_WATCH_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct err;

#define WATCHERS_MAX 16

struct watcher {
	int fd; /* -1: free */
	bool greeted;
	bool holds; /* the output waits for it */
	uint64_t missed;
};

struct watch {
	int listen_fd; /* -1: nobody can */
	int dir_fd;
	char name[108];
	dev_t dev; /* the socket's, for others may have put one in its place */
	ino_t ino;
	/* how long whoever holds the output is waited for now; -1: for ever. A signal ends
	 * the wait, and it is asked again. */
	int (*patience_ms)(void);
	struct watcher w[WATCHERS_MAX];
};

/*
 * path NULL: nobody can. What is left of an earlier log program is taken away;
 * also of one that lives. -EADDRINUSE: a socket of another kind has the name,
 * -ENOTSOCK: something else.
 */
int watch_open(
    struct watch *w, const char *path, int (*patience_ms)(void), struct err *err);
/* One pollfd for the listener and each watcher; returns how many were filled. */
size_t watch_poll(const struct watch *w, struct pollfd pfd[1 + WATCHERS_MAX]);
/* After poll(2): greet who came, forget who went. */
void watch_on_poll(struct watch *w, const struct pollfd pfd[1 + WATCHERS_MAX], size_t n);
/* Bytes of one stream. Waits for who holds the output. */
void watch_send(struct watch *w, bool is_stderr, const char *p, size_t len);
void watch_close(struct watch *w);

#endif
