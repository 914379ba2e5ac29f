/*
 * The Task methods over tests/lib/ttrpc.h: field numbers stand here once more,
 * independent of proto/ (see pb.h).
 */
#include "tests/lib/task.h"

#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROCESS_URL "types.containerd.io/opencontainers/runtime-spec/1/Process"
#define OPTIONS_URL "containerd.runc.v1.Options"

static __thread char error_text[1024];
static __thread int timeout_ms; /* 0: not set */

const char *
task_error(void)
{
	return error_text;
}

int
task_timeout_ms(void)
{
	const char *slow = getenv("PODSHIM_TEST_SLOW"); /* see tests/lib/tap.sh */

	if (timeout_ms == 0)
		timeout_ms = 60000 * (slow && *slow ? (int)strtol(slow, NULL, 10) : 1);
	return timeout_ms;
}

void
task_set_timeout_ms(int ms)
{
	timeout_ms = ms;
}

static int
finish(int rc, struct ttrpc_reply *r)
{
	if (rc < 0) {
		snprintf(error_text, sizeof error_text, "no answer: %s", strerror(-rc));
		return rc;
	}
	snprintf(error_text, sizeof error_text, "%s", r->text ? r->text : "");
	return r->code;
}

/* One call; *m is released. The caller releases *r. */
static int
call(struct ttrpc *t, const char *method, struct pb *m, struct ttrpc_reply *r)
{
	int rc;

	*r = (struct ttrpc_reply){0};
	rc = finish(ttrpc_call(t, TASK_V2, method, m, task_timeout_ms(), r), r);
	pb_fini(m);
	return rc;
}

static void
put_ids(struct pb *m, const char *id, const char *exec_id)
{
	pb_str(m, 1, id);
	pb_str(m, 2, exec_id);
}

static int
call_plain(struct ttrpc *t, const char *method, struct pb *m)
{
	struct ttrpc_reply r;
	int rc = call(t, method, m, &r);

	ttrpc_reply_fini(&r);
	return rc;
}

static int
call_pid(struct ttrpc *t, const char *method, struct pb *m, uint32_t *pid)
{
	struct ttrpc_reply r;
	int rc = call(t, method, m, &r);

	if (rc == 0 && pid)
		*pid = (uint32_t)pb_get_u64(r.payload, 1);
	ttrpc_reply_fini(&r);
	return rc;
}

int
task_create(
    struct ttrpc *t, const char *id, const struct task_create_args *args, uint32_t *pid)
{
	struct pb m = PB_INIT, opts = PB_INIT, mount = PB_INIT;

	pb_str(&m, 1, id);
	pb_str(&m, 2, args->bundle);
	if (args->bind_rootfs) {
		pb_str(&mount, 1, "bind");
		pb_str(&mount, 2, args->bind_rootfs);
		pb_str(&mount, 4, "rbind");
		pb_str(&mount, 4, "ro");
		pb_msg(&m, 3, &mount);
		pb_fini(&mount);
	}
	pb_bool(&m, 4, args->io.terminal);
	pb_str(&m, 5, args->io.in);
	pb_str(&m, 6, args->io.out);
	pb_str(&m, 7, args->io.err);
	pb_str(&opts, 6, args->binary_name);
	pb_str(&opts, 7, args->root);
	if (opts.len > 0)
		pb_any(&m, 10, OPTIONS_URL, opts.data, opts.len);
	pb_fini(&opts);
	return call_pid(t, "Create", &m, pid);
}

int
task_start(struct ttrpc *t, const char *id, const char *exec_id, uint32_t *pid)
{
	struct pb m = PB_INIT;

	put_ids(&m, id, exec_id);
	return call_pid(t, "Start", &m, pid);
}

int
task_delete(struct ttrpc *t, const char *id, const char *exec_id, struct task_exit *out)
{
	struct pb m = PB_INIT;
	struct ttrpc_reply r;
	int rc;

	put_ids(&m, id, exec_id);
	rc = call(t, "Delete", &m, &r);
	if (rc == 0 && out) {
		*out = (struct task_exit){0};
		out->pid = (uint32_t)pb_get_u64(r.payload, 1);
		out->status = (uint32_t)pb_get_u64(r.payload, 2);
		(void)pb_get_time(r.payload, 3, &out->at_ns);
	}
	ttrpc_reply_fini(&r);
	return rc;
}

char *
json_quote(const char *s)
{
	struct pb out = PB_INIT;
	char esc[8];

	pb_raw(&out, "\"", 1);
	for (; *s; s++) {
		if (*s == '"' || *s == '\\' || (unsigned char)*s < 0x20) {
			snprintf(esc, sizeof esc, "\\u%04x", (unsigned char)*s);
			pb_raw(&out, esc, 6);
		} else {
			pb_raw(&out, s, 1);
		}
	}
	pb_raw(&out, "\"", 2);
	return (char *)out.data;
}

char *
task_process_json(const char *const *argv, bool terminal)
{
	struct pb out = PB_INIT;
	const char *tail = "],\"cwd\":\"/\",\"env\":[\"PATH=/bin\",\"TERM=xterm\"],"
			   "\"user\":{\"uid\":0,\"gid\":0},\"terminal\":";

	pb_raw(&out, "{\"args\":[", 9);
	for (size_t i = 0; argv[i]; i++) {
		AUTO_FREE char *q = json_quote(argv[i]);

		if (i > 0)
			pb_raw(&out, ",", 1);
		pb_raw(&out, q, strlen(q));
	}
	pb_raw(&out, tail, strlen(tail));
	tail = terminal ? "true}" : "false}";
	pb_raw(&out, tail, strlen(tail) + 1);
	return (char *)out.data;
}

int
task_exec(struct ttrpc *t, const char *id, const char *exec_id,
    const struct task_stdio *io, const char *const *argv)
{
	bool terminal = io && io->terminal;
	AUTO_FREE char *spec = task_process_json(argv, terminal);
	struct pb m = PB_INIT;

	put_ids(&m, id, exec_id);
	pb_bool(&m, 3, terminal);
	if (io) {
		pb_str(&m, 4, io->in);
		pb_str(&m, 5, io->out);
		pb_str(&m, 6, io->err);
	}
	pb_any(&m, 7, PROCESS_URL, spec, strlen(spec));
	return call_plain(t, "Exec", &m);
}

int
task_kill(struct ttrpc *t, const char *id, const char *exec_id, int signo, bool all)
{
	struct pb m = PB_INIT;

	put_ids(&m, id, exec_id);
	pb_u64(&m, 3, (uint64_t)signo);
	pb_bool(&m, 4, all);
	return call_plain(t, "Kill", &m);
}

int
task_wait_send(struct ttrpc *t, const char *id, const char *exec_id, uint32_t *stream)
{
	struct pb m = PB_INIT;
	int rc;

	put_ids(&m, id, exec_id);
	rc = ttrpc_send(t, TASK_V2, "Wait", &m, 0, stream);
	pb_fini(&m);
	return rc;
}

int
task_wait_recv(struct ttrpc *t, uint32_t stream, int wait_ms, struct task_exit *out)
{
	struct ttrpc_reply r = {0};
	int rc = finish(ttrpc_recv(t, stream, wait_ms, &r), &r);

	if (rc == 0 && out) {
		*out = (struct task_exit){0};
		out->status = (uint32_t)pb_get_u64(r.payload, 1);
		(void)pb_get_time(r.payload, 2, &out->at_ns);
	}
	ttrpc_reply_fini(&r);
	return rc;
}

int
task_wait(struct ttrpc *t, const char *id, const char *exec_id, struct task_exit *out)
{
	uint32_t stream;
	int rc = task_wait_send(t, id, exec_id, &stream);

	return rc < 0 ? rc : task_wait_recv(t, stream, task_timeout_ms(), out);
}

int
task_state(struct ttrpc *t, const char *id, const char *exec_id, struct task_state *out)
{
	struct pb m = PB_INIT;
	struct ttrpc_reply r;
	int rc;

	put_ids(&m, id, exec_id);
	rc = call(t, "State", &m, &r);
	if (rc == 0) {
		*out = (struct task_state){0};
		out->pid = (uint32_t)pb_get_u64(r.payload, 3);
		out->status = (uint32_t)pb_get_u64(r.payload, 4);
		out->exit_status = (uint32_t)pb_get_u64(r.payload, 9);
		(void)pb_get_time(r.payload, 10, &out->exited_at_ns);
	}
	ttrpc_reply_fini(&r);
	return rc;
}

int
task_pids(struct ttrpc *t, const char *id, uint32_t *pids, size_t max, size_t *n)
{
	struct pb m = PB_INIT;
	struct pb_view p;
	struct ttrpc_reply r;
	int rc;

	pb_str(&m, 1, id);
	rc = call(t, "Pids", &m, &r);
	*n = 0;
	while (rc == 0 && pb_get_bytes(r.payload, 1, (unsigned)*n, &p)) {
		if (*n < max)
			pids[*n] = (uint32_t)pb_get_u64(p, 1);
		++*n;
	}
	ttrpc_reply_fini(&r);
	return rc;
}

int
task_connect(struct ttrpc *t, const char *id, uint32_t *shim_pid, uint32_t *task_pid)
{
	struct pb m = PB_INIT;
	struct ttrpc_reply r;
	int rc;

	pb_str(&m, 1, id);
	rc = call(t, "Connect", &m, &r);
	if (rc == 0 && shim_pid)
		*shim_pid = (uint32_t)pb_get_u64(r.payload, 1);
	if (rc == 0 && task_pid)
		*task_pid = (uint32_t)pb_get_u64(r.payload, 2);
	ttrpc_reply_fini(&r);
	return rc;
}

int
task_shutdown(struct ttrpc *t, const char *id)
{
	return task_simple(t, "Shutdown", id, NULL);
}

int
task_simple(struct ttrpc *t, const char *method, const char *id, const char *exec_id)
{
	struct pb m = PB_INIT;

	put_ids(&m, id, exec_id);
	if (strcmp(method, "CloseIO") == 0)
		pb_bool(&m, 3, true);
	return call_plain(t, method, &m);
}

int
task_resize(
    struct ttrpc *t, const char *id, const char *exec_id, unsigned width, unsigned height)
{
	struct pb m = PB_INIT;

	put_ids(&m, id, exec_id);
	pb_u64(&m, 3, width);
	pb_u64(&m, 4, height);
	return call_plain(t, "ResizePty", &m);
}
