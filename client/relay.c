/*
 * One poll(2), and in it no call that blocks: what is to be written waits until
 * there is room, 4 KiB at a time (what a pipe takes without blocking once it is
 * writable), for our stdio's descriptors belong to others, too, and must not
 * become non-blocking. Answers of the shim are looked at when they come; until then no
 * second signal or size is sent, so that they merge as they do elsewhere.
 *
 * The container's end and its output's end are two things: after the first, the
 * second is waited for as long as bytes come.
 */
#include "client/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "client/foreground.h"
#include "client/rpc.h"
#include "ipc/admin.h"
#include "ipc/attach.h"
#include "proto/task.pb-c.h"
#include "proto/wire.h"

#define CHUNK	      ((size_t)PIPE_BUF)
#define KEY_DETACH_1  0x10 /* ctrl-p */
#define KEY_DETACH_2  0x11 /* ctrl-q */
#define ATTACH_MS     5000
#define KILL_MS	      10000
#define RESIZE_MS     2000
/* How long after the container's end its output may pause. */
#define OUTPUT_END_US (2 * US_PER_S)

struct relay {
	const struct relay_spec *spec;
	struct relay_end *end;
	uint32_t wait, kill, resize; /* streams; 0: not under way */
	boot_us_t killed_at;
	sigset_t held;	  /* to be passed on when the one under way has been */
	bool resize_held; /* likewise */
	int signal_fd;
	int attach_fd;
	int in_fd;   /* ours; -1: over, or not wanted */
	int fifo_fd; /* the container's; -1 */
	bool key_1;  /* the first detach key was pressed */
	bool raw;
	/* to the container */
	char in[CHUNK];
	size_t in_len, in_at;
	/* from it: one packet */
	char out[ATTACH_PACKET_MAX + 1]; /* and a NUL */
	size_t out_len, out_at;		 /* nothing to write while they are equal */
	int out_fd;
	bool exited;
	boot_us_t quiet_at; /* after the exit: when to stop waiting for output */
};

/* --- the way to the container ---------------------------------------------------------- */

int
relay_attach(const char *socket_path, char hello, struct err *err)
{
	AUTO_FREE char *dir = mem_strdup(socket_path);
	AUTO_CLOSE int dir_fd = -1, fd = -1;
	char *slash = strrchr(dir, '/'), ready;
	struct pollfd pfd = {.events = POLLIN};

	if (slash == NULL)
		return err_setx(err, EINVAL, "'%s' is no path", socket_path);
	*slash = '\0';
	dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd == -1)
		return err_set(err, errno, "open '%s'", dir);
	fd = unix_connect_at(dir_fd, slash + 1, SOCK_SEQPACKET, ATTACH_MS, err);
	if (fd < 0)
		return fd;
	pfd.fd = fd;
	if (send(fd, &hello, 1, MSG_NOSIGNAL) != 1)
		return err_set(err, errno, "attach");
	if (poll(&pfd, 1, ATTACH_MS) != 1)
		return err_setx(err, ETIMEDOUT,
		    "the log program does not answer: somebody in the foreground may be "
		    "holding the output");
	if (recv(fd, &ready, 1, 0) != 1 || ready != ATTACH_READY)
		return err_setx(err, EPROTO, "the log program refuses (too many watch?)");
	return steal_fd(&fd);
}

int
relay_open_stdin(const char *path, struct err *err)
{
	int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

	return fd == -1 ? err_set(err, errno, "open the container's stdin") : fd;
}

/* 0 and the stream, or -errno; -ENOTTY: ours has no size. */
static int
resize_begin(struct rpc *rpc, const char *id, uint32_t *stream)
{
	Containerd__Task__V2__ResizePtyRequest req =
	    CONTAINERD__TASK__V2__RESIZE_PTY_REQUEST__INIT;
	AUTO_FREE char *copy = mem_strdup(id);
	struct winsize size;

	if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == -1 || size.ws_col == 0)
		return -ENOTTY;
	req.id = copy;
	req.width = size.ws_col;
	req.height = size.ws_row;
	return rpc_begin(rpc, "ResizePty", &req.base, RESIZE_MS, stream, NULL);
}

void
relay_resize(struct rpc *rpc, const char *id)
{
	uint32_t stream;

	/* what fails here is seen by the user anyway */
	if (resize_begin(rpc, id, &stream) == 0)
		(void)rpc_end(rpc, stream, RESIZE_MS, NULL, NULL, NULL);
}

static void
relay_close_stdin(struct relay *r)
{
	Containerd__Task__V2__CloseIORequest req =
	    CONTAINERD__TASK__V2__CLOSE_IOREQUEST__INIT;
	AUTO_FREE char *copy = mem_strdup(r->spec->id);
	uint32_t stream;

	if (r->fifo_fd == -1)
		return;
	fd_close(&r->fifo_fd);
	if (!r->spec->close_stdin)
		return;
	req.id = copy;
	req.stdin = 1;
	(void)rpc_begin(r->spec->rpc, "CloseIO", &req.base, KILL_MS, &stream, NULL);
}

/* --- signals ----------------------------------------------------------------------------- */

void
relay_hold_signals(void)
{
	foreground_hold_signals();
	(void)signal(SIGTTOU, SIG_IGN);
}

static void
relay_kill(struct relay *r, int signo)
{
	Containerd__Task__V2__KillRequest req = CONTAINERD__TASK__V2__KILL_REQUEST__INIT;
	AUTO_FREE char *copy = mem_strdup(r->spec->id);

	req.id = copy;
	req.signal = (uint32_t)signo;
	r->killed_at = clock_boot_us();
	/* it may just have ended */
	if (rpc_begin(r->spec->rpc, "Kill", &req.base, KILL_MS, &r->kill, NULL) < 0)
		r->kill = 0;
}

/* Those that came while the shim was busy with others. */
static void
relay_send_held(struct relay *r)
{
	int signo;

	for (signo = 1; r->kill == 0 && signo < SIGRTMIN; signo++)
		if (sigismember(&r->held, signo) == 1) {
			(void)sigdelset(&r->held, signo);
			relay_kill(r, signo);
		}
	if (r->resize == 0 && r->resize_held) {
		r->resize_held = false;
		if (resize_begin(r->spec->rpc, r->spec->id, &r->resize) < 0)
			r->resize = 0;
	}
}

static int
relay_on_signal(struct relay *r, struct err *err)
{
	struct signalfd_siginfo info;

	while (read(r->signal_fd, &info, sizeof info) == sizeof info) {
		if (info.ssi_signo == SIGWINCH)
			r->resize_held = r->spec->terminal;
		else if (!r->exited && r->kill != 0 &&
		    clock_boot_us() - r->killed_at >= SIGNAL_PATIENCE_US)
			return err_setx(err, EINTR,
			    "the shim does not take signals: gave up; container '%s' "
			    "may run on",
			    r->spec->id);
		else
			(void)sigaddset(&r->held, (int)info.ssi_signo);
	}
	relay_send_held(r);
	return 0;
}

/* --- bytes ----------------------------------------------------------------------------------- */

/*
 * Take the detach keys out of what was typed. True: both were pressed. A first one
 * that is not followed by the second belongs to the container after all.
 */
static bool
relay_keys(struct relay *r, const char *typed, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (r->key_1 && typed[i] == KEY_DETACH_2)
			return true;
		if (r->key_1)
			r->in[r->in_len++] = KEY_DETACH_1;
		r->key_1 = typed[i] == KEY_DETACH_1;
		if (!r->key_1)
			r->in[r->in_len++] = typed[i];
	}
	return false;
}

static void
relay_on_stdin(struct relay *r)
{
	char typed[CHUNK / 2];
	ssize_t n = read(r->in_fd, typed, sizeof typed);

	if (n == -1 && (errno == EINTR || errno == EAGAIN))
		return;
	r->in_len = r->in_at = 0;
	if (n <= 0) {
		r->in_fd = -1;
		relay_close_stdin(r);
		return;
	}
	if (!r->raw) {
		memcpy(r->in, typed, (size_t)n);
		r->in_len = (size_t)n;
		return;
	}
	r->end->detached = relay_keys(r, typed, (size_t)n);
}

static void
relay_on_fifo(struct relay *r)
{
	ssize_t n = write(r->fifo_fd, r->in + r->in_at, r->in_len - r->in_at);

	if (n > 0)
		r->in_at += (size_t)n;
	else if (n == -1 && errno != EAGAIN && errno != EINTR) {
		/* nobody reads it any more */
		fd_close(&r->fifo_fd);
		r->in_fd = -1;
	}
}

static void
relay_on_output(struct relay *r)
{
	ssize_t n = recv(r->attach_fd, r->out, sizeof r->out - 1, MSG_DONTWAIT);

	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		fd_close(&r->attach_fd);
		return;
	}
	if (r->exited)
		r->quiet_at = clock_boot_us() + OUTPUT_END_US;
	if (r->out[0] == ATTACH_MISSED) {
		r->out[n] = '\0';
		r->end->missed += strtoull(r->out + 1, NULL, 10);
		return;
	}
	r->out_fd = r->out[0] == ATTACH_STDERR ? STDERR_FILENO : STDOUT_FILENO;
	r->out_at = 1;
	r->out_len = (size_t)n;
}

static void
relay_on_room(struct relay *r)
{
	size_t left = r->out_len - r->out_at;
	ssize_t n = write(r->out_fd, r->out + r->out_at, left < CHUNK ? left : CHUNK);

	if (n > 0)
		r->out_at += (size_t)n;
	else if (n == -1 && errno != EAGAIN && errno != EINTR) {
		/* nobody wants it: the container must not be held up */
		r->out_at = r->out_len = 0;
		fd_close(&r->attach_fd);
	}
}

/* --- the end -------------------------------------------------------------------------------------- */

/* It does not matter what it says. */
static void
relay_drop_answer(struct relay *r, uint32_t *stream)
{
	if (*stream != 0 &&
	    rpc_end(r->spec->rpc, *stream, RPC_LOOK, NULL, NULL, NULL) != -EINPROGRESS)
		*stream = 0;
}

/*
 * 0: not yet, or it has; -errno: we shall never know. What has come counts before the
 * end of the connection does.
 */
static int
relay_on_rpc(struct relay *r, struct err *err)
{
	ProtobufCMessage *msg = NULL;
	const Containerd__Task__V2__WaitResponse *w;
	struct err lost = ERR_INIT;
	int over = rpc_take_in(r->spec->rpc, &lost), rc;

	relay_drop_answer(r, &r->kill);
	relay_drop_answer(r, &r->resize);
	relay_send_held(r);
	rc = rpc_end(r->spec->rpc, r->wait, RPC_LOOK,
	    &containerd__task__v2__wait_response__descriptor, &msg, err);
	if (rc == -EINPROGRESS)
		return over < 0 ? err_setx(err, -over, "%s", lost.text) : 0;
	if (rc < 0)
		return rc;
	w = (const Containerd__Task__V2__WaitResponse *)msg;
	r->end->status = w->exit_status;
	if (w->exited_at != NULL)
		r->end->exited_at =
		    w->exited_at->seconds * NS_PER_S + w->exited_at->nanos;
	protobuf_c_message_free_unpacked(msg, NULL);
	r->exited = true;
	r->in_fd = -1;
	r->quiet_at = clock_boot_us() + OUTPUT_END_US;
	return 0;
}

static bool
relay_over(const struct relay *r)
{
	if (r->end->detached)
		return true;
	return r->exited && r->out_at == r->out_len &&
	    (r->attach_fd == -1 || clock_boot_us() >= r->quiet_at);
}

enum { P_SIGNAL, P_RPC, P_IN, P_FIFO, P_ATTACH, P_OUT, P_STDOUT, P_COUNT };

static int
relay_turn(struct relay *r, struct err *err)
{
	bool to_write = r->out_at < r->out_len, to_send = r->in_at < r->in_len;
	struct pollfd pfd[P_COUNT] = {
	    [P_SIGNAL] = {.fd = r->signal_fd, .events = POLLIN},
	    [P_RPC] = {.fd = r->exited ? -1 : rpc_fd(r->spec->rpc), .events = POLLIN},
	    [P_IN] = {.fd = to_send ? -1 : r->in_fd, .events = POLLIN},
	    [P_FIFO] = {.fd = to_send ? r->fifo_fd : -1, .events = POLLOUT},
	    [P_ATTACH] = {.fd = to_write ? -1 : r->attach_fd, .events = POLLIN},
	    [P_OUT] = {.fd = to_write ? r->out_fd : -1, .events = POLLOUT},
	    /* without events: only that it is closed */
	    [P_STDOUT] = {.fd = r->spec->watches ? STDOUT_FILENO : -1},
	};
	int ms = -1, rc = 0;

	if (r->exited) {
		boot_us_t now = clock_boot_us();

		ms = now < r->quiet_at ? (int)((r->quiet_at - now) / US_PER_MS) + 1 : 0;
		if (to_write)
			ms = -1;
	}
	if (poll(pfd, P_COUNT, ms) <= 0)
		return 0;
	if (pfd[P_STDOUT].revents != 0)
		r->end->detached = true;
	else if (pfd[P_OUT].revents != 0)
		relay_on_room(r);
	if (pfd[P_ATTACH].revents != 0)
		relay_on_output(r);
	if (pfd[P_FIFO].revents != 0)
		relay_on_fifo(r);
	if (pfd[P_IN].revents != 0)
		relay_on_stdin(r);
	if (pfd[P_RPC].revents != 0)
		rc = relay_on_rpc(r, err);
	if (rc == 0 && pfd[P_SIGNAL].revents != 0)
		rc = relay_on_signal(r, err);
	return rc;
}

static void
relay_set_raw(struct relay *r)
{
	r->raw = r->spec->terminal && r->fifo_fd != -1 && foreground_raw();
}

int
relay_run(
    const struct relay_spec *spec, uint32_t wait, struct relay_end *end, struct err *err)
{
	struct relay *r = mem_zalloc(sizeof *r);
	int rc = 0;

	*end = (struct relay_end){0};
	r->spec = spec;
	r->end = end;
	r->wait = wait;
	(void)sigemptyset(&r->held);
	r->attach_fd = spec->attach_fd;
	r->fifo_fd = spec->stdin_fifo;
	r->in_fd = spec->stdin_fifo == -1 ? -1 : STDIN_FILENO;
	relay_hold_signals();
	r->signal_fd = foreground_signal_fd();
	if (r->signal_fd == -1)
		rc = err_set(err, errno, "signalfd");
	relay_set_raw(r);
	/* it may have come with an earlier answer */
	if (rc == 0)
		rc = relay_on_rpc(r, err);
	while (rc == 0 && !relay_over(r))
		rc = relay_turn(r, err);
	foreground_restore();
	fd_close(&r->signal_fd);
	fd_close(&r->attach_fd);
	fd_close(&r->fifo_fd);
	free(r);
	return rc;
}
