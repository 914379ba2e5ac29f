/*
 * Operations: their order within a container, deadlines, cancels, and what a
 * client may see meanwhile.
 */
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>

#include <setjmp.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "oci/mount.h"
#include "proto/status.h"
#include "proto/task.pb-c.h"
#include "worker/container.h"
#include "worker/process.h"
#include "worker_help.h"

static bool
answered(uint64_t n)
{
	return fk_request(n)->answered;
}

static int
state_of(const char *id, const char *exec_id)
{
	uint64_t n = fk_simple("State", id, exec_id);
	Containerd__Task__V2__StateResponse *r;
	int status;

	fk_expect(n, STATUS_OK);
	r = (Containerd__Task__V2__StateResponse *)protobuf_c_message_unpack(
	    &containerd__task__v2__state_response__descriptor, NULL,
	    fk_request(n)->payload_len, fk_request(n)->payload);
	assert_non_null(r);
	status = (int)r->status;
	protobuf_c_message_free_unpacked(&r->base, NULL);
	return status;
}

static void
test_worker_ops_plain_life(void **state)
{
	uint64_t wait;

	(void)state;
	fk_expect(fk_create("c1", true), STATUS_OK);
	assert_int_equal(state_of("c1", ""), CONTAINERD__TYPES__STATUS__CREATED);
	wait = fk_simple("Wait", "c1", "");
	fk_expect(fk_simple("Start", "c1", ""), STATUS_OK);
	assert_int_equal(state_of("c1", ""), CONTAINERD__TYPES__STATUS__RUNNING);
	assert_false(answered(wait));
	fk_expect(fk_kill("c1", "", SIGKILL, false), STATUS_OK);
	fk_expect(wait, STATUS_OK);
	assert_int_equal(state_of("c1", ""), CONTAINERD__TYPES__STATUS__STOPPED);
	fk_expect(fk_kill("c1", "", SIGTERM, false), STATUS_NOT_FOUND);
	fk_expect(fk_simple("Delete", "c1", ""), STATUS_OK);
	fk_expect(fk_simple("State", "c1", ""), STATUS_NOT_FOUND);
	fk_expect(fk_simple("Shutdown", "c1", ""), STATUS_OK);
	assert_string_equal(fk_events(), "create c1|start c1|exit c1|delete c1");
	assert_int_equal(fk_count("mount"), 1);
	assert_int_equal(fk_count("unmount"), 1);
	assert_int_equal(fk.idle_n, fk.n_requests);
	/* `delete` asks now; the keeper ignored an IDLE that this crossed */
	fk_expect(fk_simple("Connect", "c1", ""), STATUS_OK);
	assert_int_equal(fk.idle_n, fk.n_requests);
	fk_expect_clean();
}

static void
test_worker_ops_invisible_while_created(void **state)
{
	uint64_t create, start, kill, conn;

	(void)state;
	fk.hold = "create";
	create = fk_create("c1", false);
	start = fk_simple("Start", "c1", "");
	kill = fk_kill("c1", "", SIGTERM, false);
	fk_run();
	assert_false(answered(create));
	fk_expect(fk_simple("State", "c1", ""), STATUS_NOT_FOUND);
	fk_expect(fk_simple("Wait", "c1", ""), STATUS_NOT_FOUND);
	fk_expect(fk_simple("Pids", "c1", ""), STATUS_NOT_FOUND);
	conn = fk_simple("Connect", "c1", "");
	fk_expect(conn, STATUS_OK);
	/* another container is not held up */
	fk.hold = NULL;
	fk_expect(fk_create("c2", false), STATUS_OK);
	assert_false(answered(start));
	assert_false(answered(kill));
	fk_end(fk_command("create", 0), 0);
	fk_expect(create, STATUS_OK);
	fk_expect(start, STATUS_OK);
	fk_expect(kill, STATUS_OK);
}

static void
test_worker_ops_duplicate_create(void **state)
{
	uint64_t a, b;

	(void)state;
	fk.hold = "create";
	a = fk_create("c1", false);
	b = fk_create("c1", false);
	fk_run();
	fk_end(fk_command("create", 0), 0);
	fk_expect(a, STATUS_OK);
	fk_expect(b, STATUS_ALREADY_EXISTS);
	assert_int_equal(fk_count("create"), 1);
}

static void
test_worker_ops_failed_create_leaves_nothing(void **state)
{
	uint64_t n, after;

	(void)state;
	fk.fail = "create";
	n = fk_create("c1", true);
	after = fk_simple("Start", "c1", "");
	fk_expect(n, STATUS_UNKNOWN);
	assert_non_null(strstr(fk_request(n)->text, "OCI runtime create failed"));
	fk_expect(after, STATUS_NOT_FOUND);
	assert_int_equal(fk_count("delete"), 1);
	assert_int_equal(fk_count("unmount"), 1);
	assert_string_equal(fk_events(), "");
	fk_expect_clean();
	fk.fail = NULL;
	fk_expect(fk_create("c1", false), STATUS_OK);
}

/* What became of a container that bore the id before is not this one's end. */
static void
test_worker_ops_failed_create_of_an_old_name(void **state)
{
	uint64_t purge;

	(void)state;
	fk_expect(fk_create("c1", false), STATUS_OK);
	fk_expect(fk_simple("Start", "c1", ""), STATUS_OK);
	fk_exit(fk_command("create", 0), 0);
	fk_run();
	fk_expect(fk_simple("Delete", "c1", ""), STATUS_OK);
	fk.fail = "create";
	fk_expect(fk_create("c1", false), STATUS_UNKNOWN);
	purge = fk_simple("podshim.v1.Admin/Purge", "c1", "");
	fk_expect(purge, STATUS_OK);
	assert_int_equal(fk_request(purge)->payload_len, 0);
	fk_expect_clean();
}

static void
test_worker_ops_unkept_stdio_is_refused(void **state)
{
	uint64_t n;

	(void)state;
	fk.unkept = true;
	n = fk_create("c1", true);
	fk_expect(n, STATUS_RESOURCE_EXHAUSTED);
	assert_non_null(strstr(fk_request(n)->text, "no room for its descriptors"));
	assert_string_equal(fk_events(), "");
	fk_expect_clean();
	/* nor by a worker that was not there when the keeper said so */
	fk.hold = "create";
	n = fk_create("c1", true);
	fk_run();
	fk_die();
	fk.unkept = false;
	fk.hold = NULL;
	fk_end(fk_command("create", 1), 0);
	fk_expect(n, STATUS_RESOURCE_EXHAUSTED);
	fk_expect_clean();
	fk_expect(fk_create("c1", true), STATUS_OK);
	fk_expect(fk_simple("Start", "c1", ""), STATUS_OK);
	fk_expect(fk_exec("c1", "e"), STATUS_OK);
	fk.unkept = true;
	fk_expect(fk_simple("Start", "c1", "e"), STATUS_RESOURCE_EXHAUSTED);
	assert_false(fk_command("exec", 0)->alive);
	fk.unkept = false;
	fk_expect(fk_simple("Delete", "c1", "e"), STATUS_OK);
	fk_expect(fk_kill("c1", "", SIGKILL, false), STATUS_OK);
	fk_expect(fk_simple("Delete", "c1", ""), STATUS_OK);
	fk_expect_clean();
}

/* The keeper stores a terminal that the worker has not asked about yet. */
static void
test_worker_ops_unused_terminal_goes(void **state)
{
	(void)state;
	fk.terminal = true;
	fk.fail = "create";
	fk_expect(fk_create("c1", false), STATUS_UNKNOWN);
	fk_expect_clean();
	fk.fail = "exec";
	fk_expect(fk_create("c1", false), STATUS_OK);
	fk_expect(fk_simple("Start", "c1", ""), STATUS_OK);
	fk_expect(fk_exec("c1", "e"), STATUS_OK);
	fk_expect(fk_simple("Start", "c1", "e"), STATUS_UNKNOWN);
	fk.fail = NULL;
	fk_expect(fk_exec("c1", "e2"), STATUS_OK);
	fk_expect(fk_simple("Start", "c1", "e2"), STATUS_OK);
	fk_exit(fk_command("exec", 1), 0);
	fk_run();
	fk_expect(fk_simple("Delete", "c1", "e2"), STATUS_OK);
	fk_expect(fk_kill("c1", "", SIGKILL, false), STATUS_OK);
	fk_expect(fk_simple("Delete", "c1", ""), STATUS_OK);
	fk_expect_clean();
}

static void
test_worker_ops_late_request_is_not_begun(void **state)
{
	Containerd__Task__V2__StartRequest m = CONTAINERD__TASK__V2__START_REQUEST__INIT;
	char id[] = "c1";
	uint64_t n;

	(void)state;
	fk_expect(fk_create("c1", false), STATUS_OK);
	m.id = id;
	n = fk_send_late("Start", &m.base, NS_PER_S, clock_boot_us() - 2 * US_PER_S);
	fk_expect(n, STATUS_DEADLINE_EXCEEDED);
	assert_int_equal(fk_count("start"), 0);
}

/* Told DeadlineExceeded while `create` runs: what it made afterwards is undone. */
static void
test_worker_ops_create_too_late_is_undone(void **state)
{
	Containerd__Task__V2__CreateTaskRequest m =
	    CONTAINERD__TASK__V2__CREATE_TASK_REQUEST__INIT;
	char id[] = "c1";
	uint64_t again;

	(void)state;
	m.id = id;
	m.bundle = fk.bundle;
	(void)fk_send_told("Create", &m.base, "create", NS_PER_S / 4);
	again = fk_create("c1", false);
	fk_run();
	assert_false(answered(again)); /* the queue is closed until it has ended */
	fk_end(fk_command("create", 0), 0);
	fk_expect(again, STATUS_OK);
	assert_int_equal(fk_count("delete"), 1);
	assert_false(fk_command("create", 0)->alive);
	assert_true(fk_command("create", 1)->alive);
	assert_string_equal(fk_events(), "create c1");
	fk_expect(fk_kill("c1", "", SIGKILL, false), STATUS_OK);
	fk_expect(fk_simple("Delete", "c1", ""), STATUS_OK);
	fk_expect_clean();
}

static void
test_worker_ops_cancel(void **state)
{
	uint64_t wait, create;

	(void)state;
	fk_expect(fk_create("c1", false), STATUS_OK);
	wait = fk_simple("Wait", "c1", "");
	fk_run();
	fk_cancel(wait);
	fk_run();
	assert_true(answered(wait));
	assert_true(fk_request(wait)->nobody);
	/* one that has begun goes on to its end */
	fk.hold = "create";
	create = fk_create("c2", false);
	fk_run();
	fk_cancel(create);
	fk_run();
	assert_false(answered(create));
	fk.hold = NULL;
	fk_end(fk_command("create", 1), 0);
	fk_run();
	assert_true(fk_request(create)->nobody);
	assert_int_equal(state_of("c2", ""), CONTAINERD__TYPES__STATUS__CREATED);
}

static void
test_worker_ops_execs_do_not_wait_for_each_other(void **state)
{
	uint64_t a, b, kill_a, del;

	(void)state;
	fk_expect(fk_create("c1", false), STATUS_OK);
	fk_expect(fk_simple("Start", "c1", ""), STATUS_OK);
	fk_expect(fk_exec("c1", "a"), STATUS_OK);
	fk_expect(fk_exec("c1", "a"), STATUS_ALREADY_EXISTS);
	fk_expect(fk_exec("c1", "b"), STATUS_OK);
	fk_expect(fk_kill("c1", "a", SIGTERM, false), STATUS_FAILED_PRECONDITION);
	fk.hold = "exec";
	a = fk_simple("Start", "c1", "a");
	kill_a = fk_kill("c1", "a", SIGTERM, false);
	fk_run();
	fk.hold = NULL;
	b = fk_simple("Start", "c1", "b");
	fk_expect(b, STATUS_OK);
	fk_expect(fk_kill("c1", "b", SIGTERM, false), STATUS_OK);
	assert_false(answered(a));
	assert_false(answered(kill_a));
	del = fk_simple("Delete", "c1", "");
	fk_run();
	assert_false(answered(del)); /* but the container's Delete does */
	fk_end(fk_command("exec", 0), 0);
	fk_expect(a, STATUS_OK);
	fk_expect(kill_a, STATUS_OK);
	fk_expect(del, STATUS_UNKNOWN);
	assert_non_null(strstr(fk_request(del)->text, "running"));
}

/* Thousands that end as soon as they are begun, behind one that takes its time. */
static void
test_worker_ops_long_queue_on_a_short_stack(void **state)
{
	enum { N = 4000 };
	uint64_t pause, first;
	struct rlimit was, less;
	unsigned i;

	(void)state;
	fk_expect(fk_create("c1", false), STATUS_OK);
	fk_expect(fk_simple("Start", "c1", ""), STATUS_OK);
	fk.hold = "pause";
	pause = fk_simple("Pause", "c1", "");
	first = fk_exec("c1", "e");
	for (i = 1; i < N; i++)
		(void)fk_exec("c1", "e");
	for (i = 0; i < N; i++)
		(void)fk_simple("Start", "c1", "unheard-of");
	fk_run();
	assert_false(answered(first));
	assert_int_equal(getrlimit(RLIMIT_STACK, &was), 0);
	less = (struct rlimit){.rlim_cur = 1u << 20, .rlim_max = was.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_STACK, &less), 0);
	fk_end(fk_command("pause", 0), 0);
	fk_expect(pause, STATUS_OK);
	assert_int_equal(setrlimit(RLIMIT_STACK, &was), 0);
	for (i = 0; i < 2 * N; i++)
		assert_true(answered(first + i));
	assert_int_equal(fk.deaths, 0);
}

static void
test_worker_ops_bad_requests(void **state)
{
	Containerd__Task__V2__StateRequest m = CONTAINERD__TASK__V2__STATE_REQUEST__INIT;
	char bad[] = "a\xff";
	uint64_t n;

	(void)state;
	fk_expect(fk_send("Frobnicate", &m.base), STATUS_UNIMPLEMENTED);
	fk_expect(fk_send("some.Service/State", &m.base), STATUS_UNIMPLEMENTED);
	fk_expect(fk_create("../etc", false), STATUS_INVALID_ARGUMENT);
	fk_expect(fk_create("", false), STATUS_INVALID_ARGUMENT);
	m.id = bad;
	fk_expect(fk_send("State", &m.base), STATUS_INVALID_ARGUMENT);
	n = fk_send("State", &m.base);
	memset(fk_request(n)->frame, 0xff, fk_request(n)->len);
	fk_expect(n, STATUS_INVALID_ARGUMENT);
	fk_expect_clean();
}

static uint64_t
update(const char *id, const char *json)
{
	Containerd__Task__V2__UpdateTaskRequest m =
	    CONTAINERD__TASK__V2__UPDATE_TASK_REQUEST__INIT;
	Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;

	any.type_url =
	    (char *)(uintptr_t) "types.containerd.io/opencontainers/runtime-spec/1/"
				"LinuxResources";
	any.value.data = (uint8_t *)(uintptr_t)json;
	any.value.len = strlen(json);
	m.id = (char *)(uintptr_t)id;
	m.resources = &any;
	return fk_send("Update", &m.base);
}

/* What Go writes for no limit is beyond a signed number. */
static void
test_worker_ops_update_without_limit(void **state)
{
	(void)state;
	fk_expect(fk_create("c1", false), STATUS_OK);
	fk_expect(update("c1", "{\"cpu\":{\"period\":18446744073709551615}}"), STATUS_OK);
	assert_int_equal(fk_count("update"), 1);
	fk_expect(update("c1", "{\"cpu\":"), STATUS_INVALID_ARGUMENT);
	fk_expect(update("c1", "[]"), STATUS_INVALID_ARGUMENT);
	assert_int_equal(fk_count("update"), 1);
}

#define MANY 30000

int __wrap_cgroup_pids(const char *path, pid_t **pids, size_t *n, struct err *err);
int
__wrap_cgroup_pids(const char *path, pid_t **pids, size_t *n, struct err *err)
{
	(void)path;
	(void)err;
	*pids = mem_zalloc(MANY * sizeof **pids);
	for (*n = 0; *n < MANY; (*n)++)
		(*pids)[*n] = 100000 + (int)*n;
	return 0;
}

/* Execs as many as there may be, in a container of many processes. */
static void
test_worker_ops_pids_name_their_execs(void **state)
{
	Containerd__Task__V2__PidsResponse *r;
	struct container *c;
	uint64_t n;
	int i;

	(void)state;
	fk_expect(fk_create("c1", false), STATUS_OK);
	fk_expect(fk_simple("Start", "c1", ""), STATUS_OK);
	c = container_get(&fk.pod, "c1");
	free(c->cgroup);
	c->cgroup = mem_strdup(fk.dir);
	for (i = 0; i < (int)POD_EXECS_MAX; i++) {
		AUTO_FREE char *id = mem_printf("e%d", i);
		struct process *p = process_new(c, id);

		p->pid = 99999 + 2 * i; /* the first is not there (yet) */
		p->state = i == 1 ? TASK_STOPPED : TASK_RUNNING;
	}
	n = fk_simple("Pids", "c1", "");
	fk_expect(n, STATUS_OK);
	r = (Containerd__Task__V2__PidsResponse *)protobuf_c_message_unpack(
	    &containerd__task__v2__pids_response__descriptor, NULL,
	    fk_request(n)->payload_len, fk_request(n)->payload);
	assert_non_null(r);
	assert_int_equal(r->n_processes, MANY);
	for (i = 0; i < MANY; i++) {
		const Containerd__Types__ProcessInfo *info = r->processes[i];
		AUTO_FREE char *id = mem_printf("e%d", (i + 1) / 2);

		assert_int_equal(info->pid, 100000 + i);
		if (i % 2 == 0 || i == 1 || i > 2 * (int)POD_EXECS_MAX - 3) {
			assert_null(info->info);
			continue;
		}
		/* field 1, its length, the id */
		assert_int_equal(info->info->value.len, strlen(id) + 2);
		assert_memory_equal(info->info->value.data + 2, id, strlen(id));
	}
	protobuf_c_message_free_unpacked(&r->base, NULL);
}

/* --- much to keep ----------------------------------------------------------------------- */

#define BIG (3u * 1024u * 1024u)

/* An exec whose environment is that big. */
static uint64_t
big_exec(const char *id, const char *exec_id)
{
	AUTO_FREE char *pad = mem_zalloc(BIG + 1), *json = NULL;
	Containerd__Task__V2__ExecProcessRequest m =
	    CONTAINERD__TASK__V2__EXEC_PROCESS_REQUEST__INIT;
	Google__Protobuf__Any spec = GOOGLE__PROTOBUF__ANY__INIT;

	memset(pad, 'x', BIG);
	json = mem_printf("{\"args\":[\"true\"],\"cwd\":\"/\",\"env\":[\"A=%s\"]}", pad);
	spec.value.data = (uint8_t *)json;
	spec.value.len = strlen(json);
	m.id = (char *)(uintptr_t)id;
	m.exec_id = (char *)(uintptr_t)exec_id;
	m.spec = &spec;
	return fk_send("Exec", &m.base);
}

/* The cap is the pod's; what is started, or deleted, makes room. */
static void
test_worker_ops_mounts_are_capped(void **state)
{
	Containerd__Task__V2__CreateTaskRequest m =
	    CONTAINERD__TASK__V2__CREATE_TASK_REQUEST__INIT;
	Containerd__Types__Mount mount = CONTAINERD__TYPES__MOUNT__INIT,
				 *list[MOUNT_COUNT_MAX + 1];
	char id[] = "c1", type[] = "bind";
	uint64_t n;
	size_t i;

	(void)state;
	mount.type = type;
	for (i = 0; i < ARRAY_LEN(list); i++)
		list[i] = &mount;
	m.id = id;
	m.bundle = fk.bundle;
	m.rootfs = list;
	m.n_rootfs = ARRAY_LEN(list);
	n = fk_send("Create", &m.base);
	fk_expect(n, STATUS_INVALID_ARGUMENT);
	assert_non_null(strstr(fk_request(n)->text, "4097 mounts"));
	fk_expect_clean();
	m.n_rootfs--;
	fk_expect(fk_send("Create", &m.base), STATUS_OK);
}

static void
test_worker_ops_specs_are_capped(void **state)
{
	uint64_t n;

	(void)state;
	fk_expect(fk_create("c1", false), STATUS_OK);
	fk_expect(fk_create("c2", false), STATUS_OK);
	fk_expect(fk_simple("Start", "c1", ""), STATUS_OK);
	fk_expect(fk_simple("Start", "c2", ""), STATUS_OK);
	fk_expect(big_exec("c1", "a"), STATUS_OK);
	fk_expect(big_exec("c1", "b"), STATUS_OK);
	fk_expect(big_exec("c1", "c"), STATUS_OK);
	fk_expect(big_exec("c2", "d"), STATUS_OK);
	fk_expect(big_exec("c2", "e"), STATUS_OK);
	n = big_exec("c2", "f");
	fk_expect(n, STATUS_RESOURCE_EXHAUSTED);
	assert_non_null(strstr(fk_request(n)->text, "16 MiB"));
	fk_die();
	fk_expect(big_exec("c1", "f"), STATUS_RESOURCE_EXHAUSTED);
	fk_expect(fk_exec("c2", "small"), STATUS_OK);
	fk_expect(fk_simple("Start", "c1", "a"), STATUS_OK);
	fk_expect(big_exec("c2", "f"), STATUS_OK);
	fk_expect(big_exec("c2", "g"), STATUS_RESOURCE_EXHAUSTED);
	fk_expect(fk_simple("Delete", "c1", "b"), STATUS_OK);
	fk_expect(big_exec("c2", "g"), STATUS_OK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, fk_setup, fk_teardown)
	    T(test_worker_ops_plain_life),
	    T(test_worker_ops_invisible_while_created),
	    T(test_worker_ops_duplicate_create),
	    T(test_worker_ops_failed_create_leaves_nothing),
	    T(test_worker_ops_failed_create_of_an_old_name),
	    T(test_worker_ops_unkept_stdio_is_refused),
	    T(test_worker_ops_unused_terminal_goes),
	    T(test_worker_ops_late_request_is_not_begun),
	    T(test_worker_ops_create_too_late_is_undone),
	    T(test_worker_ops_cancel),
	    T(test_worker_ops_execs_do_not_wait_for_each_other),
	    T(test_worker_ops_long_queue_on_a_short_stack),
	    T(test_worker_ops_bad_requests),
	    T(test_worker_ops_update_without_limit),
	    T(test_worker_ops_pids_name_their_execs),
	    T(test_worker_ops_mounts_are_capped),
	    T(test_worker_ops_specs_are_capped),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
