/*
 * Which exit is published when (contract.md 6.3), and what Wait, State and Delete
 * make of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "oci/cgroup.h"
#include "oci/cgroup_dirs.h"
#include "proto/status.h"
#include "proto/task.pb-c.h"
#include "proto/wire.h"
#include "worker/container.h"
#include "worker/exits.h"
#include "worker/oom.h"
#include "worker_help.h"

static void
expect_exit(uint64_t wait, uint32_t status, int64_t at)
{
	Containerd__Task__V2__WaitResponse *r;

	fk_expect(wait, STATUS_OK);
	r = (Containerd__Task__V2__WaitResponse *)protobuf_c_message_unpack(
	    &containerd__task__v2__wait_response__descriptor, NULL,
	    fk_request(wait)->payload_len, fk_request(wait)->payload);
	assert_non_null(r);
	assert_int_equal(r->exit_status, status);
	assert_int_equal(wire_timestamp_ns(r->exited_at), at);
	protobuf_c_message_free_unpacked(&r->base, NULL);
}

/* It was killed, and nobody has seen it end: the time is that of the answer. */
static void
expect_killed(uint64_t wait)
{
	Containerd__Task__V2__WaitResponse *r;

	fk_expect(wait, STATUS_OK);
	r = (Containerd__Task__V2__WaitResponse *)protobuf_c_message_unpack(
	    &containerd__task__v2__wait_response__descriptor, NULL,
	    fk_request(wait)->payload_len, fk_request(wait)->payload);
	assert_non_null(r);
	assert_int_equal(r->exit_status, 128 + SIGKILL);
	assert_true(wire_timestamp_ns(r->exited_at) > 1000 * NS_PER_S);
	protobuf_c_message_free_unpacked(&r->base, NULL);
}

static void
start_container(void)
{
	fk_expect(fk_create("c1", false), STATUS_OK);
	fk_expect(fk_simple("Start", "c1", ""), STATUS_OK);
}

static void
start_exec(const char *exec_id)
{
	fk_expect(fk_exec("c1", exec_id), STATUS_OK);
	fk_expect(fk_simple("Start", "c1", exec_id), STATUS_OK);
}

static void
test_worker_exits_init_is_last(void **state)
{
	uint64_t wait, del;

	(void)state;
	fk_shared_pidns();
	start_container();
	start_exec("a");
	start_exec("b");
	wait = fk_simple("Wait", "c1", "");
	fk_run();
	fk.survives = true;
	fk_exit(fk_command("create", 0), 7 << 8);
	fk_run();
	/* known at once, told to those who wait, not yet published */
	expect_exit(wait, 7, NS_PER_S);
	assert_null(strstr(fk_events(), "exit c1"));
	del = fk_simple("Delete", "c1", "");
	fk_run();
	assert_false(fk_request(del)->answered);
	fk_exit(fk_command("exec", 1), SIGKILL);
	fk_run();
	assert_null(strstr(fk_events(), "exit c1|"));
	fk_exit(fk_command("exec", 0), SIGKILL);
	fk_expect(del, STATUS_OK);
	assert_string_equal(
	    strstr(fk_events(), "exit c1/b"), "exit c1/b|exit c1/a|exit c1|delete c1");
	fk_expect_clean();
}

/* Whoever hears of an exit stops reading: it is told when the last output was read. */
static void
test_worker_exits_wait_for_readers(void **state)
{
	uint64_t wait, exec;

	(void)state;
	start_container();
	fk_expect(fk_exec("c1", "a"), STATUS_OK);
	fk_expect(fk_simple("Start", "c1", "a"), STATUS_OK);
	wait = fk_simple("Wait", "c1", "");
	exec = fk_simple("Wait", "c1", "a");
	fk_reading = true;
	fk_exit(fk_command("exec", 0), 3 << 8);
	fk_run();
	fk_reading = false;
	fk_exit(fk_command("create", 0), 7 << 8); /* of this one nobody reads */
	expect_exit(wait, 7, 2 * NS_PER_S);
	assert_false(fk_request(exec)->answered);
	assert_null(strstr(fk_events(), "exit"));
	fk_expect(fk_simple("Delete", "c1", "a"), STATUS_UNKNOWN); /* it runs */
	fk_have_read();
	expect_exit(exec, 3, NS_PER_S);
	assert_string_equal(strstr(fk_events(), "exit"), "exit c1/a|exit c1");
	fk_expect(fk_simple("Delete", "c1", "a"), STATUS_OK);
	fk_expect(fk_simple("Delete", "c1", ""), STATUS_OK);
	fk_expect_clean();
	/* a worker that dies meanwhile: the next one does not wait again */
	start_container();
	fk_reading = true;
	fk_exit(fk_command("create", 1), 4 << 8);
	fk_run();
	fk_die();
	fk_up();
	fk_reading = false;
	expect_exit(fk_simple("Wait", "c1", ""), 4, 3 * NS_PER_S);
}

/* Its keeper dies meanwhile: `delete` finds how it ended, and no exit is told twice. */
static void
test_worker_exits_unread_without_a_keeper(void **state)
{
	uint32_t status;
	int64_t at;
	uint64_t wait;
	int pid;

	(void)state;
	start_container();
	start_exec("a");
	wait = fk_simple("Wait", "c1", "");
	fk_reading = true;
	fk_exit(fk_command("exec", 0), 3 << 8);
	fk_exit(fk_command("create", 0), 7 << 8);
	fk_run();
	fk_reading = false;
	assert_int_equal(
	    store_last_exit(fk.pod.store, "c1", &pid, &status, &at), -ENOENT);
	exits_apply_all(&fk.pod);
	assert_int_equal(store_last_exit(fk.pod.store, "c1", &pid, &status, &at), 0);
	assert_int_equal(status, 7);
	assert_int_equal(at, 2 * NS_PER_S);
	fk_have_read();
	expect_exit(wait, 7, 2 * NS_PER_S);
	assert_string_equal(strstr(fk_events(), "exit"), "exit c1/a|exit c1");
}

/* It dies while a worker comes up that it had told of exits. */
static void
test_worker_exits_held_without_a_keeper(void **state)
{
	struct msg_exit held = {.wait_status = 7 << 8, .t_real_ns = NS_PER_S};
	uint32_t status;
	int64_t at;
	int pid;

	(void)state;
	start_container();
	held.key = fk_command("create", 0)->s.key;
	fk.pod.live = false;
	exits_on_exit(&fk.pod, &held);
	assert_int_equal(
	    store_last_exit(fk.pod.store, "c1", &pid, &status, &at), -ENOENT);
	exits_apply_all(&fk.pod);
	assert_int_equal(store_last_exit(fk.pod.store, "c1", &pid, &status, &at), 0);
	assert_int_equal(status, 7);
}

/* Init's exit has waited long enough for the execs. */
static void
stop_waiting(void)
{
	fk_run();
	event_active(container_get(&fk.pod, "c1")->settle_ev, EV_TIMEOUT, 0);
	fk_run();
}

/* An exec that hangs in the kernel: what its Waits are told when its container goes. */
static void
test_worker_exits_exec_outlives_its_container(void **state)
{
	uint64_t wait;

	(void)state;
	start_container();
	start_exec("a");
	wait = fk_simple("Wait", "c1", "a");
	fk_run();
	fk.survives = true;
	fk_exit(fk_command("create", 0), 0);
	stop_waiting();
	assert_false(fk_request(wait)->answered);
	fk.survives = false;
	fk_expect(fk_simple("Delete", "c1", ""), STATUS_OK);
	expect_killed(wait);
	assert_false(fk_command("exec", 0)->alive);
	fk_expect_clean();
}

/* It has ended, and its last output was still being read. */
static void
test_worker_exits_unread_exec_of_one_that_goes(void **state)
{
	uint64_t wait;

	(void)state;
	start_container();
	start_exec("a");
	wait = fk_simple("Wait", "c1", "a");
	fk_run();
	fk.survives = true;
	fk_exit(fk_command("create", 0), 0);
	fk_run();
	fk_reading = true;
	fk_exit(fk_command("exec", 0), 3 << 8);
	stop_waiting();
	fk_reading = false;
	assert_false(fk_request(wait)->answered);
	fk_expect(fk_simple("Delete", "c1", ""), STATUS_OK);
	expect_exit(wait, 3, 2 * NS_PER_S);
	fk_expect_clean();
}

static void
test_worker_exits_exec_outlives_a_purge(void **state)
{
	AUTO_FREE char *dir = mem_printf("%s/purged", fk.dir);
	AUTO_FREE char *mark = mem_printf("%s/c1", dir);
	uint64_t wait;

	(void)state;
	start_container();
	start_exec("a");
	wait = fk_simple("Wait", "c1", "a");
	fk_run();
	fk.survives = true;
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(file_write(AT_FDCWD, mark, "", 0, 0600, NULL), 0);
	fk_exit(fk_command("create", 0), 7 << 8);
	expect_killed(wait);
	fk_exit(fk_command("exec", 0), SIGKILL);
	assert_int_equal(rmdir(dir), 0); /* the mark is gone */
	fk_expect_clean();
}

static void
test_worker_exits_signal_is_128_more(void **state)
{
	(void)state;
	start_container();
	fk_exit(fk_command("create", 0), SIGSEGV | 0x80);
	expect_exit(fk_simple("Wait", "c1", ""), 128 + SIGSEGV, NS_PER_S);
}

static void
test_worker_exits_during_start(void **state)
{
	uint64_t start, wait;

	(void)state;
	fk_expect(fk_create("c1", false), STATUS_OK);
	fk.hold = "start";
	start = fk_simple("Start", "c1", "");
	fk_run();
	fk_exit(fk_command("create", 0), 5 << 8);
	wait = fk_simple("Wait", "c1", "");
	expect_exit(wait, 5, NS_PER_S);
	assert_string_equal(fk_events(), "create c1");
	fk_end(fk_command("start", 0), 0);
	fk_expect(start, STATUS_OK);
	assert_string_equal(fk_events(), "create c1|start c1|exit c1");
}

static void
test_worker_exits_failed_start_has_no_start_event(void **state)
{
	uint64_t start;

	(void)state;
	fk_expect(fk_create("c1", false), STATUS_OK);
	fk.hold = "start";
	start = fk_simple("Start", "c1", "");
	fk_run();
	fk_exit(fk_command("create", 0), SIGKILL);
	fk_run();
	fk_end(fk_command("start", 0), 1 << 8);
	fk_expect(start, STATUS_UNKNOWN);
	assert_string_equal(fk_events(), "create c1|exit c1");
	fk_expect(fk_simple("Delete", "c1", ""), STATUS_OK);
	fk_expect_clean();
}

/* Init ends, nobody is up, and the worker that comes finds its Start under way. */
static void
test_worker_exits_before_start_is_told(void **state)
{
	uint64_t start, wait;

	(void)state;
	fk_expect(fk_create("c1", false), STATUS_OK);
	fk.hold = "start";
	start = fk_simple("Start", "c1", "");
	wait = fk_simple("Wait", "c1", "");
	fk_run();
	fk_die();
	fk_exit(fk_command("create", 0), 5 << 8);
	fk_expect(wait, STATUS_OK);
	assert_string_equal(fk_events(), "create c1");
	fk_end(fk_command("start", 0), 0);
	fk_expect(start, STATUS_OK);
	assert_string_equal(fk_events(), "create c1|start c1|exit c1");
	fk_expect(fk_simple("Delete", "c1", ""), STATUS_OK);
	fk_expect_clean();
}

/* The same of an exec's Start: init's exit is the last. */
static void
test_worker_exits_before_exec_is_told(void **state)
{
	uint64_t start;

	(void)state;
	fk_expect(fk_create("c1", false), STATUS_OK);
	fk_expect(fk_simple("Start", "c1", ""), STATUS_OK);
	fk_expect(fk_exec("c1", "e"), STATUS_OK);
	fk.hold = "exec";
	start = fk_simple("Start", "c1", "e");
	fk_run();
	fk_die();
	fk_exit(fk_command("create", 0), 5 << 8);
	fk_end(fk_command("exec", 0), 0);
	fk_exit(fk_command("exec", 0), SIGKILL);
	fk_expect(start, STATUS_OK);
	assert_string_equal(
	    strstr(fk_events(), "exec-started"), "exec-started c1/e|exit c1/e|exit c1");
	fk_expect(fk_simple("Delete", "c1", ""), STATUS_OK);
	fk_expect_clean();
}

/* containerd's TestIssue10589: init goes while two execs are in mid-start. */
static void
test_worker_exits_init_goes_while_execs_start(void **state)
{
	uint64_t a, b;

	(void)state;
	start_container();
	fk_expect(fk_exec("c1", "a"), STATUS_OK);
	fk_expect(fk_exec("c1", "b"), STATUS_OK);
	fk_expect(fk_exec("c1", "late"), STATUS_OK);
	fk.hold = "exec";
	a = fk_simple("Start", "c1", "a");
	b = fk_simple("Start", "c1", "b");
	fk_run();
	fk_exit(fk_command("create", 0), 0);
	fk_run();
	assert_null(strstr(fk_events(), "exit c1"));
	fk_expect(fk_simple("Start", "c1", "late"), STATUS_FAILED_PRECONDITION);
	fk_end(fk_command("exec", 0), 1 << 8);
	fk_end(fk_command("exec", 1), 1 << 8);
	fk_expect(a, STATUS_UNKNOWN);
	fk_expect(b, STATUS_UNKNOWN);
	assert_string_equal(strstr(fk_events(), "exit"), "exit c1");
	expect_exit(fk_simple("Wait", "c1", "a"), 0, 0);
}

/* One that comes to life behind its init is killed: nothing else would end it. */
static void
test_worker_exits_exec_born_after_init(void **state)
{
	uint64_t start;

	(void)state;
	fk_shared_pidns();
	start_container();
	fk_expect(fk_exec("c1", "a"), STATUS_OK);
	fk.hold = "exec";
	start = fk_simple("Start", "c1", "a");
	fk_run();
	fk_exit(fk_command("create", 0), 0);
	fk_run();
	fk_end(fk_command("exec", 0), 0);
	fk_expect(start, STATUS_OK);
	assert_int_equal(fk_count("signal"), 1);
	expect_exit(fk_simple("Wait", "c1", "a"), 128 + SIGKILL, 2 * NS_PER_S);
	assert_string_equal(
	    strstr(fk_events(), "exec-started"), "exec-started c1/a|exit c1/a|exit c1");
	fk_expect(fk_simple("Delete", "c1", ""), STATUS_OK);
	fk_expect_clean();
}

/* Told of an exec's Start too late: it is killed, its events are whole. */
static void
test_worker_exits_exec_that_came_too_late(void **state)
{
	Containerd__Task__V2__StartRequest m = CONTAINERD__TASK__V2__START_REQUEST__INIT;
	char id[] = "c1", exec_id[] = "a";

	(void)state;
	start_container();
	fk_expect(fk_exec("c1", "a"), STATUS_OK);
	m.id = id;
	m.exec_id = exec_id;
	(void)fk_send_told("Start", &m.base, "exec", NS_PER_S / 4);
	fk_end(fk_command("exec", 0), 0);
	fk_run();
	assert_false(fk_command("exec", 0)->alive);
	assert_string_equal(
	    strstr(fk_events(), "exec-"), "exec-added c1/a|exec-started c1/a|exit c1/a");
	fk_expect(fk_simple("Delete", "c1", "a"), STATUS_OK);
}

/* The same for init, whose `runtime start` ends so long after its caller was told. */
static void
start_late(int wait_status)
{
	Containerd__Task__V2__StartRequest m = CONTAINERD__TASK__V2__START_REQUEST__INIT;
	char id[] = "c1";

	fk_expect(fk_create("c1", false), STATUS_OK);
	m.id = id;
	(void)fk_send_told("Start", &m.base, "start", NS_PER_S / 4);
	fk_end(fk_command("start", 0), wait_status);
	fk_run();
}

static void
test_worker_exits_start_that_came_too_late(void **state)
{
	(void)state;
	start_late(0);
	assert_false(fk_command("create", 0)->alive);
	assert_string_equal(fk_events(), "create c1|start c1|exit c1");
	fk_expect(fk_simple("Delete", "c1", ""), STATUS_OK);
	fk_expect_clean();
}

/* Nobody knows how far it came. */
static void
test_worker_exits_late_start_that_was_killed(void **state)
{
	(void)state;
	start_late(SIGKILL);
	assert_false(fk_command("create", 0)->alive);
	assert_string_equal(fk_events(), "create c1|exit c1");
	fk_expect(fk_simple("Delete", "c1", ""), STATUS_OK);
	fk_expect_clean();
}

/* As the keeper does at a command's own deadline, which is answered so. */
static void
test_worker_exits_start_that_was_killed_in_time(void **state)
{
	uint64_t n;

	(void)state;
	fk_expect(fk_create("c1", false), STATUS_OK);
	fk.hold = "start";
	n = fk_simple("Start", "c1", "");
	fk_run();
	fk_command("start", 0)->s.timed_out = true;
	fk_end(fk_command("start", 0), SIGKILL);
	fk_expect(n, STATUS_DEADLINE_EXCEEDED);
	assert_false(fk_command("create", 0)->alive);
	assert_string_equal(fk_events(), "create c1|exit c1");
}

static void
test_worker_exits_late_start_that_failed(void **state)
{
	(void)state;
	start_late(1 << 8);
	assert_true(fk_command("create", 0)->alive);
	assert_string_equal(fk_events(), "create c1");
	fk.hold = NULL;
	fk_expect(fk_simple("Start", "c1", ""), STATUS_OK);
}

static void
write_oom_kills(const char *n)
{
	AUTO_FREE char *path = mem_printf("%s/memory.events", fk.bundle),
		       *text = mem_printf("low 0\noom 0\noom_kill %s\n", n);

	assert_int_equal(file_write(AT_FDCWD, path, text, strlen(text), 0600, NULL), 0);
}

/* A worker that comes while a Start is under way finds its container created only. */
static void
test_worker_exits_oom_is_told_after_start(void **state)
{
	struct container *c;

	(void)state;
	write_oom_kills("0");
	fk_expect(fk_create("c1", false), STATUS_OK);
	c = container_get(&fk.pod, "c1");
	c->dirs = mem_zalloc(sizeof *c->dirs);
	c->dirs->v2 = true;
	c->dirs->path[0] = mem_strdup(fk.bundle);
	oom_watch(c, true);
	write_oom_kills("1");
	oom_unwatch(c);
	oom_watch(c, false);
	assert_string_equal(fk_events(), "create c1");
	fk_expect(fk_simple("Start", "c1", ""), STATUS_OK);
	assert_string_equal(fk_events(), "create c1|start c1|oom c1");
}

/* Of too many cgroups some are not looked at: they have not gone, nor their count. */
static void
test_worker_exits_oom_with_too_many_cgroups(void **state)
{
	static const char none[] = "oom_kill 0\n", some[] = "oom_kill 5\n";
	AUTO_FREE char *path = mem_printf("%s/memory.oom_control", fk.bundle),
		       *sub = mem_printf("%s/sub", fk.bundle),
		       *below = mem_printf("%s/memory.oom_control", sub);
	struct container *c;

	(void)state;
	assert_int_equal(mkdir(sub, 0755), 0);
	assert_int_equal(file_write(AT_FDCWD, path, none, strlen(none), 0600, NULL), 0);
	assert_int_equal(file_write(AT_FDCWD, below, some, strlen(some), 0600, NULL), 0);
	fk_expect(fk_create("c1", false), STATUS_OK);
	c = container_get(&fk.pod, "c1");
	c->dirs = mem_zalloc(sizeof *c->dirs);
	c->dirs->path[DIR_MEMORY] = mem_strdup(fk.bundle);
	oom_watch(c, true);
	assert_int_equal(c->oom_seen, 5);
	cgroup_set_short_walks_for_test(true);
	fk_expect(fk_simple("Start", "c1", ""), STATUS_OK);
	cgroup_set_short_walks_for_test(false);
	assert_int_equal(c->oom_seen, 5);
	assert_string_equal(fk_events(), "create c1|start c1");
	/* those that have gone take it with them */
	assert_int_equal(unlink(below), 0);
	assert_int_equal(rmdir(sub), 0);
	fk_exit(fk_command("create", 0), 0);
	fk_run();
	assert_int_equal(c->oom_seen, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, fk_setup, fk_teardown)
	    T(test_worker_exits_init_is_last),
	    T(test_worker_exits_wait_for_readers),
	    T(test_worker_exits_unread_without_a_keeper),
	    T(test_worker_exits_held_without_a_keeper),
	    T(test_worker_exits_exec_outlives_its_container),
	    T(test_worker_exits_unread_exec_of_one_that_goes),
	    T(test_worker_exits_exec_outlives_a_purge),
	    T(test_worker_exits_signal_is_128_more),
	    T(test_worker_exits_during_start),
	    T(test_worker_exits_failed_start_has_no_start_event),
	    T(test_worker_exits_before_start_is_told),
	    T(test_worker_exits_before_exec_is_told),
	    T(test_worker_exits_init_goes_while_execs_start),
	    T(test_worker_exits_exec_born_after_init),
	    T(test_worker_exits_exec_that_came_too_late),
	    T(test_worker_exits_start_that_came_too_late),
	    T(test_worker_exits_late_start_that_was_killed),
	    T(test_worker_exits_start_that_was_killed_in_time),
	    T(test_worker_exits_late_start_that_failed),
	    T(test_worker_exits_oom_is_told_after_start),
	    T(test_worker_exits_oom_with_too_many_cgroups),
#undef T
	};

	log_init("test", "", "/dev/null");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
