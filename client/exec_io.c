/*
 * See exec_io.h. One poll() over our stdin, the FIFOs, the shim's socket and
 * signals.
 *
 * The process ends twice: Wait says how, and the FIFOs end when nobody holds
 * their other ends. So after Wait comes Delete, which the shim answers when it has
 * handed over what there was (it waits a while for a grandchild that keeps the
 * pipe); what is in the FIFOs by then is read, and that is all.
 */
#include "client/exec_io.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "client/foreground.h"
#include "client/rpc.h"
#include "proto/task.pb-c.h"

#define CHUNK 65536u

/* --- FIFOs ------------------------------------------------------------------------ */

/* Our end of it: readers first, so that the shim's open() finds one. */
static int
fifo_make(const struct exec_io *io, const char *name, int flags, char **path, int *fd,
    struct err *err)
{
	*path = mem_printf("%s/%s", io->dir, name);
	if (mkfifo(*path, 0600) == -1)
		return err_set(err, errno, "make '%s'", *path);
	*fd = open(*path, flags | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	return *fd == -1 ? err_set(err, errno, "open '%s'", *path) : 0;
}

int
exec_io_open(const char *pod_dir, bool with_stdin, bool terminal, struct exec_io *out,
    struct err *err)
{
	struct exec_io io = EXEC_IO_NONE;
	int rc = 0;

	io.terminal = terminal;
	io.dir = mem_printf("%s/exec-%d-XXXXXX", pod_dir, (int)getpid());
	if (mkdtemp(io.dir) == NULL) {
		rc = err_set(err, errno, "make a directory '%s'", io.dir);
		free(io.dir);
		return rc;
	}
	rc = fifo_make(&io, "out", O_RDONLY, &io.out_path, &io.out, err);
	if (rc == 0 && !terminal)
		rc = fifo_make(&io, "err", O_RDONLY, &io.err_path, &io.err, err);
	if (rc == 0 && with_stdin) {
		rc = fifo_make(&io, "in", O_RDONLY, &io.in_path, &io.in_guard, err);
		if (rc == 0)
			io.in = open(
			    io.in_path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
		if (rc == 0 && io.in == -1)
			rc = err_set(err, errno, "open '%s'", io.in_path);
	}
	if (rc < 0) {
		exec_io_close(&io);
		return rc;
	}
	*out = io;
	return 0;
}

void
exec_io_unlink(struct exec_io *io)
{
	if (io->in_path != NULL)
		(void)unlink(io->in_path);
	if (io->out_path != NULL)
		(void)unlink(io->out_path);
	if (io->err_path != NULL)
		(void)unlink(io->err_path);
	if (io->dir != NULL)
		(void)rmdir(io->dir);
	free(io->dir);
	io->dir = NULL;
}

void
exec_io_close(struct exec_io *io)
{
	exec_io_unlink(io);
	fd_close(&io->in_guard);
	fd_close(&io->in);
	fd_close(&io->out);
	fd_close(&io->err);
	free(io->in_path);
	free(io->out_path);
	free(io->err_path);
	*io = EXEC_IO_NONE;
}

/* --- running ---------------------------------------------------------------------- */

struct run {
	struct exec_io *io;
	struct rpc *rpc;
	const char *id, *exec_id;
	int signal_fd;
	bool stdin_open; /* we read ours */
	char *in;	 /* read from ours, not written yet */
	size_t in_len, in_at;
	uint32_t wait, kill, delete; /* streams; 0: not under way */
	boot_us_t killed_at;
	sigset_t held; /* to be passed on when the one under way has been */
	bool ended, deleted;
	uint32_t status;
	struct err *err;
};

/* Its answer does not matter: the window may have been closed meanwhile. */
static void
run_resize(struct run *r)
{
	Containerd__Task__V2__ResizePtyRequest msg =
	    CONTAINERD__TASK__V2__RESIZE_PTY_REQUEST__INIT;
	AUTO_FREE char *id = mem_strdup(r->id), *exec_id = mem_strdup(r->exec_id);
	struct winsize ws;
	uint32_t stream;

	if (!r->io->terminal || ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) == -1 ||
	    ws.ws_col == 0 || ws.ws_row == 0)
		return;
	msg.id = id;
	msg.exec_id = exec_id;
	msg.width = ws.ws_col;
	msg.height = ws.ws_row;
	(void)rpc_begin(r->rpc, "ResizePty", &msg.base, RPC_TIMEOUT_MS, &stream, NULL);
}

static int
run_kill(struct run *r, int signo)
{
	Containerd__Task__V2__KillRequest msg = CONTAINERD__TASK__V2__KILL_REQUEST__INIT;
	AUTO_FREE char *id = mem_strdup(r->id), *exec_id = mem_strdup(r->exec_id);
	int rc;

	msg.id = id;
	msg.exec_id = exec_id;
	msg.signal = (uint32_t)signo;
	r->killed_at = clock_boot_us();
	rc = rpc_begin(r->rpc, "Kill", &msg.base, RPC_TIMEOUT_MS, &r->kill, r->err);
	/* if the connection is lost, there may be answers in it yet */
	return rc == -ETIMEDOUT ? rc : 0;
}

/*
 * Pass it on; one after the other, for they often come in pairs. One that comes when the
 * shim has not taken an earlier one for so long is for us.
 */
static int
run_signal(struct run *r, int signo)
{
	if (signo == SIGWINCH) {
		run_resize(r);
		return 0;
	}
	if (r->ended)
		return 0;
	if (r->kill == 0)
		return run_kill(r, signo);
	if (clock_boot_us() - r->killed_at >= SIGNAL_PATIENCE_US)
		return err_setx(r->err, EINTR,
		    "the shim does not take signals: gave up; exec '%s' may run on",
		    r->exec_id);
	(void)sigaddset(&r->held, signo);
	return 0;
}

/* Those that came while the shim was busy with another. */
static int
run_held_signal(struct run *r)
{
	int signo;

	for (signo = 1; signo < SIGRTMIN; signo++)
		if (sigismember(&r->held, signo) == 1) {
			(void)sigdelset(&r->held, signo);
			return run_kill(r, signo);
		}
	return 0;
}

static int
run_signals(struct run *r)
{
	struct signalfd_siginfo si;
	int rc = 0;

	while (rc == 0 && read(r->signal_fd, &si, sizeof si) == (ssize_t)sizeof si)
		rc = run_signal(r, (int)si.ssi_signo);
	return rc;
}

/* --- stdin */

static void
run_close_stdin(struct run *r)
{
	Containerd__Task__V2__CloseIORequest msg =
	    CONTAINERD__TASK__V2__CLOSE_IOREQUEST__INIT;
	AUTO_FREE char *id = mem_strdup(r->id), *exec_id = mem_strdup(r->exec_id);
	uint32_t stream;

	if (r->io->in == -1)
		return;
	fd_close(&r->io->in);
	r->stdin_open = false;
	msg.id = id;
	msg.exec_id = exec_id;
	msg.stdin = true;
	(void)rpc_begin(r->rpc, "CloseIO", &msg.base, RPC_TIMEOUT_MS, &stream, NULL);
}

static void
run_read_stdin(struct run *r)
{
	ssize_t n = read(STDIN_FILENO, r->in, CHUNK);

	if (n > 0) {
		r->in_at = 0;
		r->in_len = (size_t)n;
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		run_close_stdin(r);
	}
}

static void
run_write_stdin(struct run *r)
{
	ssize_t n = write(r->io->in, r->in + r->in_at, r->in_len - r->in_at);

	if (n > 0)
		r->in_at += (size_t)n;
	else if (n == -1 && errno != EAGAIN && errno != EINTR)
		run_close_stdin(r); /* nobody reads there any more */
}

/* --- stdout, stderr */

/* One read. False: it has ended, or there is nothing for now. */
static bool
run_pump_out(int *fd, int to)
{
	static char buf[CHUNK];
	ssize_t n = read(*fd, buf, sizeof buf);

	if (n > 0) {
		/* where ours is closed the rest is thrown away: the process is not to hang */
		(void)fd_write_all(to, buf, (size_t)n);
		return true;
	}
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		fd_close(fd);
	return false;
}

/* --- the shim's answers */

static int
run_delete(struct run *r)
{
	Containerd__Task__V2__DeleteRequest msg =
	    CONTAINERD__TASK__V2__DELETE_REQUEST__INIT;
	AUTO_FREE char *id = mem_strdup(r->id), *exec_id = mem_strdup(r->exec_id);

	msg.id = id;
	msg.exec_id = exec_id;
	return rpc_begin(r->rpc, "Delete", &msg.base, 0, &r->delete, NULL);
}

static int
run_on_ended(struct run *r)
{
	ProtobufCMessage *m;
	Containerd__Task__V2__WaitResponse *end;
	int rc = rpc_end(r->rpc, r->wait, RPC_LOOK,
	    &containerd__task__v2__wait_response__descriptor, &m, r->err);

	if (rc == -EINPROGRESS)
		return 0;
	if (rc < 0)
		return rc;
	end = (Containerd__Task__V2__WaitResponse *)m;
	r->ended = true;
	r->status = end->exit_status;
	containerd__task__v2__wait_response__free_unpacked(end, NULL);
	r->stdin_open = false;
	/* a shim that is gone holds nothing to wait for */
	r->deleted = run_delete(r) < 0;
	return 0;
}

/* What has come counts before the end of the connection does. */
static int
run_answers(struct run *r)
{
	struct err lost = ERR_INIT;
	int over = rpc_take_in(r->rpc, &lost), rc;

	if (r->kill != 0 &&
	    rpc_end(r->rpc, r->kill, RPC_LOOK, NULL, NULL, &ERR_INIT) != -EINPROGRESS)
		r->kill = 0; /* a process that has just ended takes no signal */
	rc = r->ended ? 0 : run_on_ended(r);
	if (rc == 0 && !r->ended && r->kill == 0)
		rc = run_held_signal(r);
	if (rc < 0)
		return rc;
	if (!r->ended)
		return over < 0 ? err_setx(r->err, -over, "%s", lost.text) : 0;
	/* however it answers: what is left of it goes with its container */
	if (over < 0 ||
	    rpc_end(r->rpc, r->delete, RPC_LOOK, NULL, NULL, &ERR_INIT) != -EINPROGRESS)
		r->deleted = true;
	return 0;
}

/* --- the loop */

enum { P_SIGNAL, P_RPC, P_STDIN, P_IN, P_OUT, P_ERR, P_COUNT };

static int
run_once(struct run *r)
{
	bool full = r->in_at < r->in_len;
	struct pollfd p[P_COUNT] = {
	    [P_SIGNAL] = {r->signal_fd, POLLIN, 0},
	    [P_RPC] = {rpc_fd(r->rpc), POLLIN, 0},
	    [P_STDIN] = {r->stdin_open && !full ? STDIN_FILENO : -1, POLLIN, 0},
	    [P_IN] = {full ? r->io->in : -1, POLLOUT, 0},
	    [P_OUT] = {r->io->out, POLLIN, 0},
	    [P_ERR] = {r->io->err, POLLIN, 0},
	};
	int rc = 0;

	if (poll(p, P_COUNT, -1) == -1)
		return errno == EINTR ? 0 : err_set(r->err, errno, "poll");
	if (p[P_RPC].revents != 0)
		rc = run_answers(r);
	if (rc == 0 && p[P_SIGNAL].revents != 0)
		rc = run_signals(r);
	if (p[P_OUT].revents != 0)
		(void)run_pump_out(&r->io->out, STDOUT_FILENO);
	if (p[P_ERR].revents != 0)
		(void)run_pump_out(&r->io->err, STDERR_FILENO);
	if (p[P_IN].revents != 0)
		run_write_stdin(r);
	if (p[P_STDIN].revents != 0)
		run_read_stdin(r);
	return rc;
}

static int
run_begin(struct run *r)
{
	Containerd__Task__V2__WaitRequest msg = CONTAINERD__TASK__V2__WAIT_REQUEST__INIT;
	AUTO_FREE char *id = mem_strdup(r->id), *exec_id = mem_strdup(r->exec_id);

	r->signal_fd = foreground_signal_fd();
	if (r->signal_fd == -1)
		return err_set(r->err, errno, "signalfd");
	msg.id = id;
	msg.exec_id = exec_id;
	return rpc_begin(r->rpc, "Wait", &msg.base, 0, &r->wait, r->err);
}

int
exec_io_run(struct exec_io *io, struct rpc *rpc, const char *id, const char *exec_id,
    uint32_t *status, struct err *err)
{
	AUTO_FREE char *buf = mem_zalloc(CHUNK);
	struct run r = {.io = io,
	    .rpc = rpc,
	    .id = id,
	    .exec_id = exec_id,
	    .in = buf,
	    .stdin_open = io->in != -1,
	    .err = err};
	int rc;

	(void)sigemptyset(&r.held);
	rc = run_begin(&r);
	fd_close(&io->in_guard);
	if (io->terminal && io->in != -1)
		(void)foreground_raw();
	run_resize(&r);
	while (rc == 0 && !r.deleted)
		rc = run_once(&r);
	/* Delete was answered behind the last byte */
	while (io->out != -1 && run_pump_out(&io->out, STDOUT_FILENO))
		;
	while (io->err != -1 && run_pump_out(&io->err, STDERR_FILENO))
		;
	foreground_restore();
	fd_close(&r.signal_fd);
	if (rc == 0)
		*status = r.status;
	return rc;
}
