/*
 * A listening socket for one terminal. Connections that bring nothing of use
 * are closed, and the wait goes on; the step's deadline bounds it.
 *
 * The master's O_NONBLOCK is set here, for all who will ever hold it: a splice
 * from a quiet terminal blocks otherwise, whatever flags it is given.
 */
#include "keeper/console.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/loop.h"
#include "ipc/admin.h"
#include "keeper/fdstore.h"

struct console {
	int dir_fd;
	uint64_t key;
	struct fdstore *fds;
	void (*cb)(void *arg);
	void *arg;
	int listen_fd, conn_fd;
	struct event *ev_listen, *ev_conn;
	struct loop *loop;
	bool have;
	bool dead;
	struct grave grave;
};

void
console_file(char out[CONSOLE_NAME_MAX], uint64_t key)
{
	(void)snprintf(out, CONSOLE_NAME_MAX, "tty.%" PRIx64, key);
}

void
console_store(char out[CONSOLE_NAME_MAX], uint64_t key)
{
	(void)snprintf(out, CONSOLE_NAME_MAX, "tty/%" PRIx64, key);
}

static void
console_drop_conn(struct console *con)
{
	if (con->ev_conn != NULL)
		event_free(con->ev_conn);
	con->ev_conn = NULL;
	fd_close(&con->conn_fd);
}

/* One message with one descriptor. -EAGAIN: not yet; -errno: nothing of use. */
static int
receive_fd(int sock, int *out)
{
	char data[256];
	union {
		char buf[CMSG_SPACE(4 * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = {data, sizeof data};
	struct msghdr mh = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.buf,
	    .msg_controllen = sizeof control.buf};
	struct cmsghdr *cm;
	int fds[4];
	size_t i, n = 0;
	ssize_t got;

	do
		got = recvmsg(sock, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (got == -1 && errno == EINTR);
	if (got == -1)
		return -errno;
	cm = CMSG_FIRSTHDR(&mh);
	if (cm != NULL && cm->cmsg_level == SOL_SOCKET && cm->cmsg_type == SCM_RIGHTS) {
		n = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds, CMSG_DATA(cm), n * sizeof(int));
	}
	for (i = 1; i < n; i++)
		(void)close(fds[i]);
	if (n == 0)
		return (mh.msg_flags & MSG_CTRUNC) != 0 ? -EMFILE : -ENOMSG;
	*out = fds[0];
	return 0;
}

/* 0 when the master is stored. -EAGAIN: nothing there yet. */
static int
console_take(struct console *con)
{
	char name[CONSOLE_NAME_MAX];
	AUTO_CLOSE int fd = -1;
	struct stat st;
	int rc = receive_fd(con->conn_fd, &fd);

	if (rc == 0 && (fstat(fd, &st) == -1 || !S_ISCHR(st.st_mode)))
		rc = -ENOTTY;
	if (rc == 0)
		rc = fd_set_nonblock(fd, true);
	if (rc == 0) {
		console_store(name, con->key);
		rc = fdstore_put(con->fds, name, fd);
	}
	if (rc == 0) {
		(void)steal_fd(&fd);
		con->have = true;
	}
	return rc;
}

static void
console_close_sockets(struct console *con)
{
	char name[CONSOLE_NAME_MAX];

	console_drop_conn(con);
	if (con->ev_listen != NULL)
		event_free(con->ev_listen);
	con->ev_listen = NULL;
	if (con->listen_fd != -1) {
		console_file(name, con->key);
		(void)unlinkat(con->dir_fd, name, 0);
	}
	fd_close(&con->listen_fd);
}

static void
console_on_conn(evutil_socket_t fd, short what, void *arg)
{
	struct console *con = arg;
	int rc = console_take(con);

	(void)fd;
	(void)what;
	if (rc == -EAGAIN)
		return;
	if (rc < 0) {
		log_warnx(
		    "terminal %" PRIx64 ": %s, waiting on", con->key, strerror(-rc));
		console_drop_conn(con);
		(void)event_add(con->ev_listen, NULL);
		return;
	}
	console_close_sockets(con);
	con->cb(con->arg);
}

/* One connection at a time. 0, or -errno (-EAGAIN: none). */
static int
console_accept(struct console *con)
{
	struct ucred cred;
	socklen_t len = sizeof cred;

	con->conn_fd = accept4(con->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (con->conn_fd == -1)
		return -errno;
	if (getsockopt(con->conn_fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == -1 ||
	    cred.uid != geteuid()) {
		log_warnx("terminal %" PRIx64 ": connection from another user", con->key);
		fd_close(&con->conn_fd);
		return -EPERM;
	}
	return 0;
}

static void
console_on_listen(evutil_socket_t fd, short what, void *arg)
{
	struct console *con = arg;
	int rc;

	(void)fd;
	(void)what;
	rc = console_accept(con);
	if (rc == -EAGAIN || rc == -EPERM || rc == -ECONNABORTED)
		return;
	/* what we have no room for now, console_finish() takes at the end */
	(void)event_del(con->ev_listen);
	if (rc < 0)
		return;
	con->ev_conn = event_new(loop_base(con->loop), con->conn_fd, EV_READ | EV_PERSIST,
	    console_on_conn, con);
	if (con->ev_conn != NULL)
		(void)event_add(con->ev_conn, NULL);
}

struct console *
console_new(struct loop *loop, int dir_fd, uint64_t key, struct fdstore *fds,
    void (*cb)(void *arg), void *arg, struct err *err)
{
	struct console *con = calloc(1, sizeof *con);
	char name[CONSOLE_NAME_MAX];

	if (con == NULL) {
		(void)err_set(err, ENOMEM, "terminal socket");
		return NULL;
	}
	con->loop = loop;
	con->dir_fd = dir_fd;
	con->key = key;
	con->fds = fds;
	con->cb = cb;
	con->arg = arg;
	con->conn_fd = -1;
	console_file(name, key);
	(void)unlinkat(dir_fd, name, 0);
	con->listen_fd = unix_listen_at(dir_fd, name, SOCK_STREAM, err);
	if (con->listen_fd < 0) {
		con->listen_fd = -1;
		console_free(con);
		return NULL;
	}
	con->ev_listen = event_new(loop_base(loop), con->listen_fd, EV_READ | EV_PERSIST,
	    console_on_listen, con);
	if (con->ev_listen == NULL || event_add(con->ev_listen, NULL) == -1) {
		(void)err_set(err, ENOMEM, "terminal socket");
		console_free(con);
		return NULL;
	}
	return con;
}

static void
console_release(void *arg)
{
	free(arg);
}

void
console_free(struct console *con)
{
	if (con == NULL || con->dead)
		return;
	con->dead = true;
	console_close_sockets(con);
	loop_bury(con->loop, &con->grave, console_release, con);
}

int
console_finish(struct console *con, struct err *err)
{
	int rc = -EAGAIN;

	/* what it sent before it left is all there, behind connect or message */
	while (!con->have) {
		if (con->conn_fd == -1) {
			rc = console_accept(con);
			if (rc == -EPERM)
				continue;
			if (rc < 0)
				break;
		}
		rc = console_take(con);
		if (rc < 0)
			console_drop_conn(con);
	}
	console_close_sockets(con);
	if (con->have)
		return 0;
	return err_setx(
	    err, ENOTCONN, "the runtime left without handing over the terminal");
}
