/*
 * What the tests of podshimctl share: running it as a function, made-up pods,
 * and a keeper that answers as the test says.
 */
#ifndef PODSHIM_TESTS_CLIENT_HELPER_H
#define PODSHIM_TESTS_CLIENT_HELPER_H

#include "store_helper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <jansson.h>

#include "base/clock.h"
#include "base/dir.h"
#include "base/fd.h"
#include "client/ctl.h"
#include "client/table.h"
#include "client/text.h"
#include "ipc/admin.h"
#include "ipc/channel.h"
#include "proto/any.pb-c.h"
#include "proto/frame.h"
#include "proto/task.pb-c.h"
#include "proto/ttrpc.pb-c.h"
#include "proto/wire.h"

/* --- running it ----------------------------------------------------------- */

struct run {
	int code;
	char *out;
	char *err;
};

static __attribute__((unused)) void
run_fini(struct run *r)
{
	free(r->out);
	free(r->err);
}
#define AUTO_RUN __attribute__((cleanup(run_fini)))

static __attribute__((unused)) struct run
run_v(const char *root, const char *const *args)
{
	struct run r = {0};
	struct strv argv = {0};
	size_t out_len, err_len;
	FILE *out = open_memstream(&r.out, &out_len),
	     *err = open_memstream(&r.err, &err_len);

	strv_add(&argv, "podshimctl");
	if (root != NULL) {
		strv_add(&argv, "--state-root");
		strv_add(&argv, root);
	}
	for (; *args != NULL; args++)
		strv_add(&argv, *args);
	r.code = ctl_run((int)argv.n, argv.v, out, err);
	(void)fclose(out);
	(void)fclose(err);
	strv_fini(&argv);
	return r;
}

#define RUN(root, ...) run_v(root, (const char *const[]){__VA_ARGS__, NULL})

/* --- made-up pods --------------------------------------------------------- */

static __attribute__((unused)) char *
pod_make(const char *root, const char *ns, const char *name)
{
	char *dir = mem_printf("%s/%s/%s", root, ns, name);

	assert_int_equal(dir_make(dir, 0700, NULL), 0);
	return dir;
}

static __attribute__((unused)) struct store *
pod_store(const char *dir, const char *group)
{
	struct store_identity id = identity(7);
	struct store *st = NULL;

	id.group = group;
	assert_int_equal(store_open(dir, &id, false, &st, NULL, NULL), STORE_CREATED);
	return st;
}

static __attribute__((unused)) void
container(struct store *st, const char *id, enum task_state s)
{
	struct row_container row = {.id = id,
	    .bundle = "/b",
	    .runtime = "runc",
	    .options = "{\"a\":1}",
	    .state = s,
	    .created_at = 1700000000000000001};

	store_put_container(st, &row);
}

static __attribute__((unused)) void
process(struct store *st, const char *id, const char *exec, enum task_state s, int pid)
{
	struct row_process row = {.container = id,
	    .exec_id = exec,
	    .state = s,
	    .pid = pid,
	    .exit_status = 42,
	    .started_at = 1700000001000000000,
	    .exited_at = s == TASK_STOPPED ? 1700000002500000000 : 0};

	store_put_process(st, &row);
}

/* Two namespaces; web: a running and a stopped container; db: one still creating. */
static __attribute__((unused)) void
pods_make(const char *root)
{
	AUTO_FREE char *web = pod_make(root, "default", "web.0123abcd");
	AUTO_FREE char *db = pod_make(root, "k8s.io", "db.89abcdef");
	AUTO_FREE __attribute__((unused)) char *no_pod =
	    pod_make(root, "k8s.io", "notes");
	struct store *st = pod_store(web, "web");

	store_begin(st);
	container(st, "front", TASK_RUNNING);
	process(st, "front", "", TASK_RUNNING, 1001);
	process(st, "front", "sh", TASK_STOPPED, 1002);
	container(st, "old", TASK_STOPPED);
	process(st, "old", "", TASK_STOPPED, 1003);
	(void)store_add_event(st,
	    &(struct row_event){.container = "old",
		.topic = "/tasks/exit",
		.type = "T",
		.class = EVENT_KEEP,
		.t = 5});
	commit_ok(st);
	store_close(st);
	st = pod_store(db, "db");
	store_begin(st);
	container(st, "web", TASK_CREATING); /* bears a pod's name */
	commit_ok(st);
	store_close(st);
}

/* --- a keeper that answers ------------------------------------------------ */

/* Not for ever, also if the test holds signals back. */
static __attribute__((unused)) void
child_begin(void)
{
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)alarm(120);
}

/* What it says to `upgrade`; it refuses `restart`. */
#define UPGRADED "worker 77, build 9.9.9"

/* How long it makes use of the CPU before each answer. */
static __attribute__((unused)) boot_us_t keeper_spins_us;

/* A keeper of few answers, in a process of its own. */
static __attribute__((unused)) pid_t
keeper_start(const char *dir, const char *text)
{
	static _Alignas(8) char buf[MSG_PACKET_MAX], body[4096];
	AUTO_CLOSE int dirfd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	AUTO_CLOSE int fd = unix_listen_at(dirfd, ADMIN_SOCKET, SOCK_SEQPACKET, NULL);
	struct msg_head head = {.type = MSG_REPLY}, asked;
	int conn, fds[MSG_FDS_MAX];
	size_t len = 0, n_fds = 0;
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	child_begin();
	(void)listen(fd, 16); /* it is ours now: SO_PEERCRED; unix(7) */
	(void)fd_set_nonblock(fd, false);
	for (;;) {
		boot_us_t from;

		conn = accept(fd, NULL, NULL);
		for (from = clock_boot_us(); clock_boot_us() - from < keeper_spins_us;)
			;
		if (conn < 0 ||
		    packet_recv(conn, 5000, &asked, buf, sizeof buf, fds, &n_fds) < 0)
			_exit(1);
		if (asked.type != MSG_STATUS && asked.type != MSG_UPGRADE &&
		    asked.type != MSG_RESTART && asked.type != MSG_DUMP)
			_exit(1);
		if (n_fds != (asked.type == MSG_UPGRADE))
			_exit(4);
		while (n_fds > 0)
			(void)close(fds[--n_fds]);
		len = 0;
		if (msg_put_str(body, sizeof body, &len, MF_TEXT,
			asked.type == MSG_UPGRADE	? UPGRADED
			    : asked.type == MSG_DUMP	? "/run/x/dump-1.txt"
			    : asked.type == MSG_RESTART ? "it is being replaced already"
							: text) < 0)
			_exit(2);
		head.a = asked.type == MSG_RESTART ? EBUSY : 0;
		head.len = (uint32_t)len;
		if (packet_send(conn, &head, body, NULL, 0) < 0)
			_exit(3);
		(void)close(conn);
	}
}

static __attribute__((unused)) void
keeper_stop(pid_t pid)
{
	int status;

	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status)); /* it did not give up before */
}

/* --- a shim that answers ---------------------------------------------------- */

/*
 * Listens at path, in a process of its own; serve() has one connection to play the shim
 * on, and the test's process is its parent. To be ended with shim_end().
 */
static __attribute__((unused)) pid_t
shim_start(const char *path, void (*serve)(int conn))
{
	AUTO_CLOSE int dirfd = -1, fd = -1;
	AUTO_FREE char *dir = mem_strdup(path);
	char *slash = strrchr(dir, '/');
	pid_t pid;

	*slash = '\0';
	dirfd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	fd = unix_listen_at(dirfd, slash + 1, SOCK_STREAM, NULL);
	assert_true(fd >= 0);
	pid = fork();
	if (pid != 0)
		return pid;
	child_begin();
	(void)fd_set_nonblock(fd, false);
	serve(accept(fd, NULL, NULL));
	_exit(0);
}

/* It has seen what it wanted to see. */
static __attribute__((unused)) void
shim_end(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status != 0)
		fail_msg("the shim ended with %#x", (unsigned)status);
}

static __attribute__((unused)) void
shim_read(int conn, void *buf, size_t len)
{
	if (recv(conn, buf, len, MSG_WAITALL) != (ssize_t)len)
		_exit(20);
}

/* The next request, which is one of that method: its stream. */
static __attribute__((unused)) uint32_t
shim_asked(int conn, const char *method)
{
	uint8_t raw[FRAME_HEAD_LEN], body[4096];
	struct frame_head head;
	Ttrpc__Request *r;

	shim_read(conn, raw, sizeof raw);
	frame_head_decode(&head, raw);
	if (head.len > sizeof body)
		_exit(21);
	shim_read(conn, body, head.len);
	r = ttrpc__request__unpack(NULL, head.len, body);
	if (r == NULL || strcmp(r->method, method) != 0)
		_exit(22);
	ttrpc__request__free_unpacked(r, NULL);
	return head.stream;
}

static __attribute__((unused)) void
shim_respond(int conn, uint32_t stream, const Ttrpc__Response *r)
{
	struct frame_head head = {.stream = stream, .type = FRAME_RESPONSE};
	AUTO_FREE void *body = NULL;
	AUTO_FREE uint8_t *frame = NULL;
	size_t len;

	wire_pack(&r->base, &body, &len);
	head.len = (uint32_t)len;
	frame = mem_zalloc(FRAME_HEAD_LEN + len);
	frame_head_encode(frame, &head);
	memcpy(frame + FRAME_HEAD_LEN, body, len);
	if (fd_write_all(conn, frame, FRAME_HEAD_LEN + len) < 0)
		_exit(23);
}

static __attribute__((unused)) void
shim_answer(int conn, uint32_t stream, const ProtobufCMessage *msg)
{
	Ttrpc__Response r = TTRPC__RESPONSE__INIT;
	AUTO_FREE void *payload = NULL;

	wire_pack(msg, &payload, &r.payload.len);
	r.payload.data = payload;
	shim_respond(conn, stream, &r);
}

/* code: enum status_code */
static __attribute__((unused)) void
shim_refuse(int conn, uint32_t stream, int code)
{
	Ttrpc__Status status = TTRPC__STATUS__INIT;
	Ttrpc__Response r = TTRPC__RESPONSE__INIT;

	status.code = code;
	r.status = &status;
	shim_respond(conn, stream, &r);
}

static __attribute__((unused)) void
shim_answer_empty(int conn, uint32_t stream)
{
	Google__Protobuf__Empty empty = GOOGLE__PROTOBUF__EMPTY__INIT;

	shim_answer(conn, stream, &empty.base);
}

static __attribute__((unused)) void
shim_answer_wait(int conn, uint32_t stream, uint32_t exit_status)
{
	Containerd__Task__V2__WaitResponse end =
	    CONTAINERD__TASK__V2__WAIT_RESPONSE__INIT;

	end.exit_status = exit_status;
	shim_answer(conn, stream, &end.base);
}

/* 0 if there is such a program. */
static __attribute__((unused)) int
system_has(const char *name)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		(void)dup2(null, 1);
		(void)execlp(name, name, "--version", (char *)NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

#endif
