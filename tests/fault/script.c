/*
 * See script.h. `may_fail()` is the book-keeping: an error that a request got
 * is paid for by an injected failure that nobody has claimed yet.
 */
#include "tests/fault/script.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "ipc/admin.h"
#include "tests/lib/task.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATIENCE_MS 20000
#define UNREAD	    400
#define BIG	    40000

unsigned complaints;

static void __attribute__((format(printf, 1, 2))) complain(const char *fmt, ...)
{
	va_list ap;

	complaints++;
	(void)printf("#   ");
	va_start(ap, fmt);
	(void)vprintf(fmt, ap);
	va_end(ap);
	(void)printf("\n");
}

/* --- what may fail ----------------------------------------------------------------- */

/* Is there a failure that explains one error more? */
static bool
may_fail(const struct anchor *a)
{
	struct world *w = a->pod.w;

	if (inject_hits(w) <= w->claimed)
		return false;
	w->claimed++;
	return true;
}

/* True: try again. rc as of task.h; an answer that did not come is never right. */
static bool
again(const struct anchor *a, const char *what, int rc)
{
	if (rc == 0)
		return false;
	if (rc > 0 && may_fail(a))
		return true;
	complain("%s: %d '%s'", what, rc, task_error());
	return false;
}

#define TRY(a, what, call)                                                               \
	while (again(a, what, call))                                                     \
	continue

static void
expect(const char *what, long is, long want)
{
	if (is != want)
		complain("%s is %ld, wanted %ld", what, is, want);
}

/* --- parts -------------------------------------------------------------------------- */

static struct ttrpc *
connect_to(const struct anchor *a)
{
	struct err err = ERR_INIT;
	struct ttrpc *t = ttrpc_connect(a->pod.addr, &err);

	if (t == NULL)
		complain("connect: %s", err.text);
	return t;
}

/* Each request was answered, and once. */
static void
expect_silence(struct ttrpc *t, const char *who)
{
	struct ttrpc_reply r = {0};
	int rc = ttrpc_recv(t, 0, 1, &r);

	if (rc == 0)
		complain(
		    "%s: an answer on stream %u that nobody waits for", who, r.stream);
	else if (rc != -ETIMEDOUT)
		complain("%s: the connection: %s", who, strerror(-rc));
	ttrpc_reply_fini(&r);
}

static bool
start_bundle(struct anchor *a, const char *id)
{
	char out[1024];
	unsigned tries;

	for (tries = 0; tries < 100; tries++) {
		int status = shim_run(a->pod.w, id, "start", out, sizeof out);

		if (status == 0 && strncmp(out, "unix://", 7) == 0) {
			if (a->pod.addr == NULL)
				a->pod.addr = mem_strdup(out);
			else if (strcmp(a->pod.addr, out) != 0)
				complain("start of %s: another socket '%s'", id, out);
			return true;
		}
		if (!may_fail(a)) {
			complain(
			    "start of %s: status %#x '%s'", id, (unsigned)status, out);
			return false;
		}
	}
	return false;
}

/* A FIFO, its reading end open. */
static char *
make_fifo(const struct anchor *a, const char *id, const char *name, int *fd)
{
	char *path = mem_printf("%s/bundles/%s/%s", a->pod.w->dir, id, name);

	if (mkfifo(path, 0600) == -1)
		complain("mkfifo '%s': %s", path, strerror(errno));
	*fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	return path;
}

/* The process is there, and its output arrives. */
static void
expect_mark(const char *who, int fd)
{
	boot_us_t end = clock_boot_us() + PATIENCE_MS * US_PER_MS;
	char c = 0;

	while (read(fd, &c, 1) != 1) {
		struct pollfd pfd = {.fd = fd, .events = POLLIN};

		if (clock_boot_us() >= end) {
			complain("%s: no output", who);
			return;
		}
		/* no writer yet, or one that went: poll does not wait then */
		if (poll(&pfd, 1, 5) != 0)
			(void)poll(NULL, 0, 1);
	}
	expect(who, c, '!');
}

static void
expect_exit(const struct anchor *a, struct ttrpc *t, uint32_t stream, const char *id,
    const char *exec_id, uint32_t status)
{
	struct task_exit ex = {0};
	int rc = task_wait_recv(t, stream, PATIENCE_MS, &ex);

	while (again(a, "Wait", rc))
		rc = task_wait(t, id, exec_id, &ex);
	expect("Wait's status", ex.status, status);
}

static void
end_process(struct anchor *a, struct ttrpc *t, const char *id, const char *exec_id,
    int signo, uint32_t stream, uint32_t status)
{
	struct task_exit ex = {0};

	if (signo != 0)
		TRY(a, "Kill", task_kill(t, id, exec_id, signo, false));
	expect_exit(a, t, stream, id, exec_id, status);
	TRY(a, "Delete", task_delete(t, id, exec_id, &ex));
	expect("Delete's status", ex.status, status);
}

static void
wait_send(struct ttrpc *t, const char *id, const char *exec_id, uint32_t *stream)
{
	if (task_wait_send(t, id, exec_id, stream) < 0)
		complain("send Wait");
}

static void
run_exec(struct anchor *a, struct ttrpc *t, const char *id, const char *exec_id, bool tty)
{
	static char big[BIG];
	const char *argv[] = {"/prog", "PROG=mark;hang", big, NULL};
	int fd;
	AUTO_FREE char *out = make_fifo(a, id, exec_id, &fd);
	struct task_stdio io = {.out = out, .terminal = tty};

	memset(big, 'x', sizeof big - 1); /* travels in a memfd */
	TRY(a, "Exec", task_exec(t, id, exec_id, &io, argv));
	while (again(a, "Start of an exec", task_start(t, id, exec_id, NULL))) {
		/* one that failed to start stays failed: as clients do */
		TRY(a, "Delete of a failed exec", task_delete(t, id, exec_id, NULL));
		TRY(a, "Exec", task_exec(t, id, exec_id, &io, argv));
	}
	expect_mark(exec_id, fd);
	fd_close(&fd);
}

/* Half a frame, then gone; a request, then gone. */
static void
bad_clients(struct anchor *a)
{
	struct ttrpc *t = connect_to(a);
	uint32_t stream;

	if (t != NULL)
		(void)ttrpc_send_frame(t, 1000, 1, 1, 0, "half of it", 10);
	ttrpc_free(t);
	t = connect_to(a);
	if (t != NULL)
		(void)task_wait_send(t, a->pod.group, "", &stream);
	ttrpc_free(t);
}

static void
kill_worker(struct anchor *a)
{
	long pid = pod_number(&a->pod, "worker_pid");

	while (pid == -1 && may_fail(a))
		pid = pod_number(&a->pod, "worker_pid");
	if (pid == -1)
		complain("STATUS: no answer");
	if (pid > 1)
		(void)kill((pid_t)pid, SIGKILL);
}

static void
replace_worker(struct anchor *a)
{
	AUTO_FREE char *text = NULL;
	struct err err = ERR_INIT;

	while (admin_restart(a->pod.dir_fd, PATIENCE_MS, &text, &err) < 0)
		if (!may_fail(a)) {
			complain("RESTART: %s", err.text);
			return;
		}
}

/* --- the scripts --------------------------------------------------------------------- */

static void
container_life(struct anchor *a, struct ttrpc *t, const char *id)
{
	AUTO_FREE char *bundle = bundle_make(a->pod.w, a->pod.group, id, "sig");
	uint32_t w_init, w_exec, w_exec2, w_tty;
	struct task_state st = {0};
	int fd;
	AUTO_FREE char *out = make_fifo(a, id, "out", &fd);
	struct task_create_args args = {.bundle = bundle,
	    .io = {.out = out},
	    .binary_name = a->pod.w->runtime,
	    .root = a->pod.w->rt_root};

	if (!start_bundle(a, id))
		return;
	TRY(a, "Create", task_create(t, id, &args, NULL));
	wait_send(t, id, "", &w_init);
	TRY(a, "Start", task_start(t, id, "", NULL));
	expect_mark(id, fd);
	fd_close(&fd);
	bad_clients(a);
	run_exec(a, t, id, "e1", false);
	wait_send(t, id, "e1", &w_exec);
	kill_worker(a);
	run_exec(a, t, id, "t1", true);
	wait_send(t, id, "t1", &w_tty);
	wait_send(t, id, "e1", &w_exec2);
	TRY(a, "Kill", task_kill(t, id, "e1", SIGKILL, false));
	expect_exit(a, t, w_exec2, id, "e1", 128 + SIGKILL);
	end_process(a, t, id, "e1", 0, w_exec, 128 + SIGKILL);
	end_process(a, t, id, "t1", SIGKILL, w_tty, 128 + SIGKILL);
	replace_worker(a);
	TRY(a, "State", task_state(t, id, "", &st));
	expect("State", st.status, TASK_RUNNING);
	end_process(a, t, id, "", SIGTERM, w_init, 3);
	expect_silence(t, id);
}

void
script_life(struct anchor *a)
{
	struct ttrpc *t = connect_to(a);
	char id[64];

	if (t == NULL)
		return;
	(void)snprintf(id, sizeof id, "%sc%u", a->pod.group, ++a->pod.next);
	TRY(a, "Connect", task_connect(t, a->pod.group, NULL, NULL));
	container_life(a, t, id);
	bundle_remove(a->pod.w, id);
	ttrpc_free(t);
}

static struct ttrpc *
ask_without_reading(struct anchor *a)
{
	struct ttrpc *t = connect_to(a);
	struct pb msg = PB_INIT;
	uint32_t stream;
	unsigned i;

	pb_str(&msg, 1, a->pod.group);
	for (i = 0; t != NULL && i < UNREAD; i++)
		if (ttrpc_send(t, TASK_V2, "State", &msg, 0, &stream) < 0)
			complain("a client that does not read: cannot send");
	pb_fini(&msg);
	return t;
}

static void
read_at_last(struct anchor *a, struct ttrpc *t)
{
	struct ttrpc_reply r;
	unsigned i;

	for (i = 0; i < UNREAD; i++) {
		int rc = ttrpc_recv(t, 2 * i + 1, PATIENCE_MS, &r);

		if (rc < 0) {
			complain("answer %u of one that read late: %s", i, strerror(-rc));
			return;
		}
		if (r.code != 0 && !may_fail(a))
			complain("answer %u of one that read late: %d '%s'", i, r.code,
			    r.text);
		ttrpc_reply_fini(&r);
	}
	expect_silence(t, "one that read late");
}

void
script_rude(struct anchor *a)
{
	struct ttrpc *never = ask_without_reading(a), *late = ask_without_reading(a);
	struct ttrpc *t = connect_to(a);
	struct task_state st = {0};

	if (never != NULL && late != NULL && t != NULL) {
		TRY(a, "State", task_state(t, a->pod.group, "", &st));
		expect("State", st.status, TASK_RUNNING);
		read_at_last(a, late);
	}
	ttrpc_free(never);
	ttrpc_free(late);
	ttrpc_free(t);
}

/* --- the anchor ----------------------------------------------------------------------- */

bool
anchor_start(struct anchor *a, struct world *w, unsigned number)
{
	unsigned before = complaints;
	struct pod *p = &a->pod;
	AUTO_FREE char *bundle = NULL;
	struct task_create_args args = {.binary_name = w->runtime, .root = w->rt_root};

	*a = (struct anchor){.pod = {.w = w, .dir_fd = -1, .keeper_pidfd = -1}};
	/* the fake runtime's cgroups are everybody's: no other walk may use the name */
	(void)snprintf(p->group, sizeof p->group, "%sp%u", w->tag, number);
	bundle = bundle_make(w, p->group, p->group, "sig");
	args.bundle = bundle;
	task_set_timeout_ms(PATIENCE_MS);
	if (!start_bundle(a, p->group))
		return false;
	while (!pod_attach(p)) {
		if (!may_fail(a)) {
			complain("STATUS: no answer");
			return false;
		}
		free(p->dir);
		fd_close(&p->dir_fd);
	}
	a->conn = connect_to(a);
	if (a->conn == NULL)
		return false;
	TRY(a, "Create", task_create(a->conn, p->group, &args, NULL));
	TRY(a, "Start", task_start(a->conn, p->group, "", NULL));
	wait_send(a->conn, p->group, "", &a->wait);
	return complaints == before;
}

static bool
is_rest(const struct account *is, const struct account *base)
{
	if (is->pins != 0)
		return false;
	if (base == NULL) /* the anchor alone */
		return is->requests == 1 && is->children == 1 && is->steps == 1 &&
		    is->connections == 1 && is->fds == 0;
	return is->requests == base->requests && is->children == base->children &&
	    is->steps == base->steps && is->connections == base->connections &&
	    is->fds == base->fds && is->open_fds <= base->open_fds;
}

static bool
rests(struct anchor *a, const struct account *base, struct account *out)
{
	boot_us_t end = clock_boot_us() + PATIENCE_MS * US_PER_MS;

	for (;;) {
		if (!pod_account(&a->pod, out)) {
			complain("STATUS: no answer");
			return false;
		}
		if (is_rest(out, base))
			return true;
		if (clock_boot_us() >= end)
			return false;
		(void)poll(NULL, 0, 3);
	}
}

bool
anchor_rest(struct anchor *a, struct account *out)
{
	return rests(a, NULL, out);
}

bool
anchor_check(struct anchor *a, const struct account *base)
{
	unsigned before = complaints;
	struct task_state st = {0};
	struct account is;

	if (!pod_alive(&a->pod)) {
		complain("the keeper is dead");
		return false;
	}
	if (task_state(a->conn, a->pod.group, "", &st) != 0)
		complain("State afterwards: '%s'", task_error());
	expect("State afterwards", st.status, TASK_RUNNING);
	expect_silence(a->conn, "the container that lives on");
	if (!rests(a, base, &is))
		complain("it holds requests %ld children %ld steps %ld connections %ld "
			 "fds %ld open %ld; before: %ld %ld %ld %ld %ld %ld",
		    is.requests, is.children, is.steps, is.connections, is.fds,
		    is.open_fds, base->requests, base->children, base->steps,
		    base->connections, base->fds, base->open_fds);
	return complaints == before;
}

bool
anchor_end(struct anchor *a)
{
	unsigned before = complaints;
	const char *id = a->pod.group;

	end_process(a, a->conn, id, "", SIGKILL, a->wait, 128 + SIGKILL);
	TRY(a, "Shutdown", task_shutdown(a->conn, id));
	ttrpc_free(a->conn);
	a->conn = NULL;
	if (!pod_gone(&a->pod))
		complain("something is left");
	return complaints == before;
}

void
anchor_drop(struct anchor *a)
{
	ttrpc_free(a->conn);
	a->conn = NULL;
	pod_kill(&a->pod);
}
