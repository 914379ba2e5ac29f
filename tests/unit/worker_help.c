/*
 * See worker_help.h; what stands in for link, outbox and io is in worker_fake.c.
 */
#include "worker_help.h"

#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/loop.h"
#include "base/mem.h"
#include "proto/status.h"
#include "proto/task.pb-c.h"
#include "proto/ttrpc.pb-c.h"
#include "proto/wire.h"
#include "state/store_private.h"
#include "worker/container.h"
#include "worker/exits.h"
#include "worker/io.h"
#include "worker/link.h"
#include "worker/op.h"
#include "worker/outbox.h"
#include "worker/process.h"
#include "worker/recover.h"
#include "worker/rpc.h"
#include "worker_fake.h"

struct fk fk;

const char *__asan_default_options(void);
const char *
__asan_default_options(void)
{
	return "detect_leaks=0"; /* dead workers leave their memory */
}

/* --- a worker's life -------------------------------------------------------------------------- */

static bool deliver_exits(void);

static void
deliver_request(struct fk_request *r)
{
	const struct msg_request m = {.n = r->n,
	    .conn = 1,
	    .flags = r->flags,
	    .t_recv = r->t_recv,
	    .frame = {r->frame, r->len}};

	r->delivered = true;
	r->flags |= REQ_REDELIVERED;
	if ((m.flags & REQ_CONDEMNED) != 0)
		recover_condemned(&fk.pod, r->n);
	else
		rpc_request(&fk.pod, &m);
	fk.in_hand = 0;
}

/* SQLite asks before each commit. */
static int
on_commit(void *arg)
{
	(void)arg;
	return fk.full;
}

/* As a worker does that gets no further. */
static struct store *
open_store(void)
{
	struct store_identity id = {
	    .boot_id = "b", .ns = "ns", .group = "g", .build = "t", .first = fk.gen == 1};
	struct store *st = NULL;
	struct err err = ERR_INIT;

	memcpy(id.inst, fk.inst, sizeof id.inst);
	assert_true(store_open(fk.dir, &id, false, &st, NULL, &err) >= 0);
	return st;
}

void
fk_open_and_die(void)
{
	fk.gen++;
	store_close(open_store());
}

void
fk_lose_store(void)
{
	static const char *const names[] = {"state.db", "state.db-wal", "state.db-shm"};
	char path[256];
	size_t i;

	for (i = 0; i < ARRAY_LEN(names); i++) {
		(void)snprintf(path, sizeof path, "%s/%s", fk.dir, names[i]);
		assert_true(unlink(path) == 0 || i > 0);
	}
}

void
fk_up(void)
{
	struct err err = ERR_INIT;
	AUTO_FREE char *partial = NULL;
	int rc;
	size_t i;

	if (fk.up)
		return;
	fk.gen++;
	fake_forget();
	pod_init(&fk.pod, loop_new());
	fk.up = true;
	fk.in_hand = 0;
	fk.pod.suspect = fk.suspect;
	fk.suspect = 0;
	fk.pod.ns = "ns";
	fk.pod.group = "g";
	fk.pod.dir = fk.dir;
	fk.pod.dirfd = open(fk.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fk.pod.conf.runtime_timeout_us = 120 * US_PER_S;
	fk.pod.conf.end_delay_us = 3600 * US_PER_S;
	pod_use_store(&fk.pod, open_store());
	partial = store_get_meta(fk.pod.store, STORE_PARTIAL);
	(void)sqlite3_commit_hook(fk.pod.store->db, on_commit, NULL);
	rc = recover_load(&fk.pod, &err);
	assert_int_equal(rc, 0);
	for (i = 0; i < fk.n_exits; i++)
		fk.exits[i].delivered = false;
	(void)deliver_exits();
	for (i = 0; i < fk.n_requests; i++) {
		if (fk.requests[i].delivered && !fk.requests[i].answered)
			deliver_request(&fk.requests[i]);
		else if ((fk.requests[i].flags & REQ_CONDEMNED) != 0 &&
		    fk.requests[i].n_answers < 2)
			deliver_request(&fk.requests[i]);
	}
	if (fk.cancel_early != 0) {
		fk_request(fk.cancel_early)->flags |= REQ_ORPHAN;
		op_cancel(&fk.pod, fk.cancel_early);
		fk.cancel_early = 0;
	}
	recover_sync(&fk.pod, partial != NULL);
	rc = store_commit_migration(fk.pod.store, &err);
	assert_int_equal(rc, 0);
	fk.pod.live = true;
	(void)pod_flush(&fk.pod, NULL);
	recover_go(&fk.pod);
}

void
fk_die(void)
{
	fk.deaths++;
	fk.up = false;
	fk.hold_answers = false;
	if (fk.pod.store != NULL)
		store_close(fk.pod.store);
	if (fk.pod.dirfd >= 0)
		(void)close(fk.pod.dirfd);
	event_base_free(
	    loop_base(fk.pod.loop)); /* its epoll; the rest leaks, as in death */
	fk.pod = (struct pod){.dirfd = -1};
}

static bool
deliver_exits(void)
{
	size_t i;
	bool any = false;

	for (i = 0; i < fk.n_exits; i++) {
		struct fk_exit *ex = &fk.exits[i];
		const struct msg_exit m = {.key = ex->key,
		    .seq = i + 1,
		    .wait_status = ex->wait_status,
		    .t_real_ns = (int64_t)(i + 1) * NS_PER_S};

		if (ex->delivered || ex->acked)
			continue;
		ex->delivered = true;
		exits_on_exit(&fk.pod, &m);
		any = true;
	}
	return any;
}

static bool
deliver(void)
{
	bool any = false;
	size_t i;

	for (i = 0; i < fk.n_requests; i++) {
		if (!fk.requests[i].delivered) {
			deliver_request(&fk.requests[i]);
			any = true;
		}
	}
	any |= fake_deliver_steps();
	any |= deliver_exits();
	any |= fake_deliver_fds();
	return any;
}

void
fk_run(void)
{
	volatile int quiet = 0;

	if (setjmp(fk.env) != 0) {
		fk.in_run = false;
		fk_die();
	}
	fk.in_run = true;
	while (quiet < 3) {
		fk_up();
		quiet = deliver() ? 0 : quiet + 1;
		loop_once(fk.pod.loop, 1);
	}
	fk.in_run = false;
}

/* --- requests ------------------------------------------------------------------------------------ */

uint64_t
fk_send_late(
    const char *method, const ProtobufCMessage *msg, int64_t timeout_ns, boot_us_t t_recv)
{
	struct fk_request *r = &fk.requests[fk.n_requests++];
	Ttrpc__Request env = TTRPC__REQUEST__INIT;
	char service[64] = "containerd.task.v2.Task";
	const char *slash = strchr(method, '/');
	AUTO_FREE void *body = NULL;
	void *frame;

	assert_true(fk.n_requests < FK_REQUESTS_MAX);
	if (slash != NULL)
		(void)snprintf(
		    service, sizeof service, "%.*s", (int)(slash - method), method);
	wire_pack(msg, &body, &env.payload.len);
	env.payload.data = body;
	env.service = service;
	env.method = (char *)(uintptr_t)(slash != NULL ? slash + 1 : method);
	env.timeout_nano = timeout_ns;
	*r = (struct fk_request){.n = fk.n_requests, .t_recv = t_recv, .code = -1};
	wire_pack(&env.base, &frame, &r->len);
	r->frame = frame;
	return r->n;
}

uint64_t
fk_send(const char *method, const ProtobufCMessage *msg)
{
	return fk_send_late(method, msg, 0, clock_boot_us());
}

uint64_t
fk_send_told(
    const char *method, const ProtobufCMessage *msg, const char *held, int64_t timeout_ns)
{
	unsigned was = fk_count(held);
	uint64_t n;

	fk.hold = held;
	fk_up();
	do {
		assert_true(timeout_ns < 60 * NS_PER_S);
		n = fk_send_late(method, msg, timeout_ns, clock_boot_us());
		while (!fk_request(n)->answered)
			fk_run();
		assert_int_equal(fk_request(n)->code, STATUS_DEADLINE_EXCEEDED);
		timeout_ns *= 2;
	} while (fk_count(held) == was);
	fk.hold = NULL;
	return n;
}

struct fk_request *
fk_request(uint64_t n)
{
	return n >= 1 && n <= fk.n_requests ? &fk.requests[n - 1] : NULL;
}

void
fk_condemn(uint64_t n)
{
	struct fk_request *r = fk_request(n);

	r->answered = true;
	r->code = STATUS_INTERNAL;
	r->n_answers = 1;
	r->flags |= REQ_CONDEMNED;
}

void
fk_cancel(uint64_t n)
{
	struct fk_request *r = fk_request(n);

	r->flags |= REQ_ORPHAN;
	if (fk.up && r->delivered)
		op_cancel(&fk.pod, n);
}

void
fk_expect(uint64_t n, int code)
{
	struct fk_request *r;

	fk_run();
	r = fk_request(n);
	if (!r->answered)
		fail_msg("request %" PRIu64 " is not answered", n);
	if (r->code != code)
		fail_msg("request %" PRIu64 ": code %d instead of %d: %s", n, r->code,
		    code, r->text);
}

uint64_t
fk_create(const char *id, bool mounts)
{
	Containerd__Task__V2__CreateTaskRequest m =
	    CONTAINERD__TASK__V2__CREATE_TASK_REQUEST__INIT;
	Containerd__Types__Mount mount = CONTAINERD__TYPES__MOUNT__INIT,
				 *list[] = {&mount};
	char name[16] = "bind";

	mount.type = name;
	m.id = (char *)(uintptr_t)id;
	m.bundle = fk.bundle;
	m.terminal = fk.terminal;
	if (mounts) {
		m.n_rootfs = 1;
		m.rootfs = list;
	}
	return fk_send("Create", &m.base);
}

/* All of these begin with id and exec_id. */
uint64_t
fk_simple(const char *method, const char *id, const char *exec_id)
{
	Containerd__Task__V2__StateRequest m = CONTAINERD__TASK__V2__STATE_REQUEST__INIT;

	m.id = (char *)(uintptr_t)id;
	m.exec_id = (char *)(uintptr_t)exec_id;
	return fk_send(method, &m.base);
}

uint64_t
fk_kill(const char *id, const char *exec_id, uint32_t signo, bool all)
{
	Containerd__Task__V2__KillRequest m = CONTAINERD__TASK__V2__KILL_REQUEST__INIT;

	m.id = (char *)(uintptr_t)id;
	m.exec_id = (char *)(uintptr_t)exec_id;
	m.signal = signo;
	m.all = all;
	return fk_send("Kill", &m.base);
}

uint64_t
fk_exec(const char *id, const char *exec_id)
{
	static const char json[] = "{\"args\":[\"true\"],\"cwd\":\"/\"}";
	Containerd__Task__V2__ExecProcessRequest m =
	    CONTAINERD__TASK__V2__EXEC_PROCESS_REQUEST__INIT;
	Google__Protobuf__Any spec = GOOGLE__PROTOBUF__ANY__INIT;

	spec.value.data = (uint8_t *)(uintptr_t)json;
	spec.value.len = sizeof json - 1;
	m.id = (char *)(uintptr_t)id;
	m.exec_id = (char *)(uintptr_t)exec_id;
	m.spec = &spec;
	m.terminal = fk.terminal;
	return fk_send("Exec", &m.base);
}

/* --- looking ----------------------------------------------------------------------------------------- */

struct fk_step *
fk_command(const char *verb, unsigned nth)
{
	size_t i;

	for (i = 0; i < fk.n_steps; i++) {
		if (strcmp(fk.steps[i].verb, verb) == 0 && nth-- == 0)
			return &fk.steps[i];
	}
	return NULL;
}

unsigned
fk_count(const char *verb)
{
	unsigned n = 0;

	while (fk_command(verb, n) != NULL)
		n++;
	return n;
}

unsigned
fk_kept(const char *prefix)
{
	unsigned n = 0;
	size_t i;

	for (i = 0; i < fk.n_names; i++)
		n += strncmp(fk.names[i].text, prefix, strlen(prefix)) == 0;
	return n;
}

void
fk_mark(const char *id)
{
	char path[256];

	(void)snprintf(path, sizeof path, "%s/purged", fk.dir);
	assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
	(void)snprintf(path, sizeof path, "%s/purged/%s", fk.dir, id);
	assert_int_equal(file_write(AT_FDCWD, path, "", 0, 0600, NULL), 0);
}

bool
fk_has_mark(const char *id)
{
	char path[256];

	(void)snprintf(path, sizeof path, "%s/purged/%s", fk.dir, id);
	return access(path, F_OK) == 0;
}

static void
expect_no_files(void)
{
	DIR *d = opendir(fk.dir);
	struct dirent *de;

	while ((de = readdir(d)) != NULL) {
		if (de->d_name[0] != '.' && strncmp(de->d_name, "state.", 6) != 0 &&
		    strcmp(de->d_name, "bundle") != 0 &&
		    strcmp(de->d_name, "purged") != 0)
			fail_msg("file '%s' is left", de->d_name);
	}
	(void)closedir(d);
}

void
fk_expect_clean(void)
{
	struct store_counts counts;
	size_t i;

	fk_run();
	assert_null(fk.pod.containers);
	assert_null(fk.pod.ops);
	assert_null(fk.pod.processes);
	assert_int_equal(store_count(fk.pod.store, &counts, NULL), 0);
	assert_int_equal(counts.containers, 0);
	for (i = 0; i < fk.n_requests; i++) {
		if (!fk.requests[i].answered)
			fail_msg("request %zu is not answered", i + 1);
	}
	for (i = 0; i < fk.n_exits; i++) {
		if (!fk.exits[i].acked)
			fail_msg("exit %zu is not acknowledged", i);
	}
	for (i = 0; i < fk.n_steps; i++) {
		if (!fk.steps[i].acked)
			fail_msg("step %s, key %" PRIx64 ", is left", fk.steps[i].verb,
			    fk.steps[i].s.key);
	}
	if (fk.n_names > 0)
		fail_msg("descriptor '%s' is left", fk.names[0].text);
	expect_no_files();
}

/* --- fixtures -------------------------------------------------------------------------------------------- */

static const char config_json[] =
    "{\"ociVersion\":\"1.0.2\",\"process\":{\"args\":[\"sh\"],\"cwd\":\"/\"},"
    "\"root\":{\"path\":\"rootfs\"},\"linux\":{\"namespaces\":[{\"type\":\"pid\"}]}}";

static void
write_config(const char *json)
{
	char path[128];

	(void)snprintf(path, sizeof path, "%s/config.json", fk.bundle);
	assert_int_equal(file_write(AT_FDCWD, path, json, strlen(json), 0600, NULL), 0);
}

void
fk_shared_pidns(void)
{
	write_config(
	    "{\"ociVersion\":\"1.0.2\",\"process\":{\"args\":[\"sh\"],\"cwd\":\"/\"},"
	    "\"root\":{\"path\":\"rootfs\"},\"linux\":{\"namespaces\":[]}}");
}

int
fk_setup(void **state)
{

	(void)state;
	memset(&fk, 0, sizeof fk);
	fk.pod.dirfd = -1;
	fk.next_pid = 4000000; /* nobody's */
	fk.child_start = 7;
	fk.idle_n = UINT64_MAX;
	/* a tmpfs, as in life: here thousands of commits wait for no disk */
	(void)snprintf(fk.dir, sizeof fk.dir, "%s/podshim-worker-XXXXXX",
	    access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(fk.dir));
	(void)snprintf(fk.bundle, sizeof fk.bundle, "%s/bundle", fk.dir);
	assert_int_equal(mkdir(fk.bundle, 0700), 0);
	write_config(config_json);
	return 0;
}

static void
remove_all(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *de;

	while (d != NULL && (de = readdir(d)) != NULL) {
		AUTO_FREE char *sub = mem_printf("%s/%s", path, de->d_name);

		if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
			continue;
		if (unlink(sub) == -1)
			remove_all(sub);
	}
	if (d != NULL)
		(void)closedir(d);
	(void)rmdir(path);
}

int
fk_teardown(void **state)
{
	(void)state;
	if (fk.up)
		fk_die();
	remove_all(fk.dir);
	return 0;
}

/* --- clients that read ------------------------------------------------------ */

bool fk_reading;
static void (*fk_on_read)(void *arg);
static void *fk_on_read_arg;

bool
io_await_readers(struct io *io, uint64_t limit_us, void (*cb)(void *arg), void *arg)
{
	assert_non_null(io);
	(void)limit_us;
	if (fk_reading) {
		fk_on_read = cb;
		fk_on_read_arg = arg;
	}
	return fk_reading;
}

void
fk_have_read(void)
{
	fk_on_read(fk_on_read_arg);
}

bool
fk_meta_is(const char *key, const char *value)
{
	AUTO_FREE char *is = store_get_meta(fk.pod.store, key);

	return is == NULL ? value == NULL : value != NULL && strcmp(is, value) == 0;
}
