/*
 * Which exit is published when (contract.md 6.3), and what Wait, State and Delete
 * make of it.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "proto/status.h"
#include "proto/task.pb-c.h"
#include "proto/wire.h"
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

/* Told of an exec's Start too late: it is killed, its events are whole. */
static void
test_worker_exits_exec_that_came_too_late(void **state)
{
	Containerd__Task__V2__StartRequest m = CONTAINERD__TASK__V2__START_REQUEST__INIT;
	char id[] = "c1", exec_id[] = "a";
	uint64_t n;

	(void)state;
	start_container();
	fk_expect(fk_exec("c1", "a"), STATUS_OK);
	fk.hold = "exec";
	m.id = id;
	m.exec_id = exec_id;
	n = fk_send_late("Start", &m.base, NS_PER_S, clock_boot_us());
	while (!fk_request(n)->answered)
		fk_run();
	assert_int_equal(fk_request(n)->code, STATUS_DEADLINE_EXCEEDED);
	fk_end(fk_command("exec", 0), 0);
	fk_run();
	assert_false(fk_command("exec", 0)->alive);
	assert_string_equal(
	    strstr(fk_events(), "exec-"), "exec-added c1/a|exec-started c1/a|exit c1/a");
	fk_expect(fk_simple("Delete", "c1", "a"), STATUS_OK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, fk_setup, fk_teardown)
	    T(test_worker_exits_init_is_last),
	    T(test_worker_exits_wait_for_readers),
	    T(test_worker_exits_signal_is_128_more),
	    T(test_worker_exits_during_start),
	    T(test_worker_exits_failed_start_has_no_start_event),
	    T(test_worker_exits_init_goes_while_execs_start),
	    T(test_worker_exits_exec_that_came_too_late),
#undef T
	};

	log_init("test", "", "/dev/null");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
