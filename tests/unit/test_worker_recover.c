/*
 * What a worker finds that nobody asks for any more: condemned requests, a lost
 * store, marks of the delete action, strangers among the keeper's things.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "oci/record.h"
#include "proto/status.h"
#include "proto/task.pb-c.h"
#include "state/store_private.h"
#include "worker/container.h"
#include "worker/link.h"
#include "worker/process.h"
#include "worker_help.h"

static void
write_file(const char *name)
{
	char path[256];

	(void)snprintf(path, sizeof path, "%s/%s", fk.dir, name);
	assert_int_equal(file_write(AT_FDCWD, path, "", 0, 0600, NULL), 0);
}

static bool
has_file(const char *name)
{
	char path[256];

	(void)snprintf(path, sizeof path, "%s/%s", fk.dir, name);
	return access(path, F_OK) == 0;
}

/* What an earlier worker began runs to its end, though the caller left before GO. */
static void
test_worker_recover_cancelled_before_go(void **state)
{
	uint64_t start, wait;

	(void)state;
	fk_expect(fk_create("c1", false), STATUS_OK);
	wait = fk_simple("Wait", "c1", "");
	fk.hold = "start";
	start = fk_simple("Start", "c1", "");
	fk_run();
	fk_die();
	fk_end(fk_command("start", 0), 0);
	fk.cancel_early = start;
	fk_run();
	assert_string_equal(fk_events(), "create c1|start c1");
	assert_int_equal(container_get(&fk.pod, "c1")->state, TASK_RUNNING);
	/* one that only waits ends */
	fk_die();
	fk.cancel_early = wait;
	fk_run();
	assert_true(fk_request(wait)->answered && fk_request(wait)->nobody);
	fk_expect(fk_kill("c1", "", SIGKILL, false), STATUS_OK);
	fk_expect(fk_simple("Delete", "c1", ""), STATUS_OK);
	fk_expect_clean();
}

static void
test_worker_recover_condemned_create(void **state)
{
	uint64_t n;

	(void)state;
	fk.hold = "create";
	n = fk_create("c1", true);
	fk_run();
	fk_die();
	fk.hold = NULL;
	fk_condemn(n);
	fk_expect_clean();
	assert_int_equal(
	    fk_request(n)->n_answers, 2); /* the keeper's, and our last word */
	assert_int_equal(fk_count("delete"), 1);
	assert_int_equal(fk_count("unmount"), 1);
	fk_expect(fk_create("c1", true), STATUS_OK);
}

/* Its undo is in the queue already when an older Kill of that id joins it. */
static void
test_worker_recover_condemned_create_and_a_kill(void **state)
{
	uint64_t kill, n;

	(void)state;
	fk_up();
	fk.hold_answers = true;
	kill = fk_kill("c1", "", SIGTERM, false);
	fk.hold = "create";
	n = fk_create("c1", true);
	fk_run();
	fk_die();
	fk.hold = NULL;
	fk_condemn(n);
	fk_expect(kill, STATUS_NOT_FOUND);
	assert_int_equal(fk_request(n)->n_answers, 2);
	assert_int_equal(fk_count("unmount"), 1);
	fk_expect_clean();
}

static void
test_worker_recover_condemned_exec_start(void **state)
{
	uint64_t n;

	(void)state;
	fk_expect(fk_create("c1", false), STATUS_OK);
	fk_expect(fk_simple("Start", "c1", ""), STATUS_OK);
	fk_expect(fk_exec("c1", "e"), STATUS_OK);
	fk.hold = "exec";
	n = fk_simple("Start", "c1", "e");
	fk_run();
	fk_end(fk_command("exec", 0), 0); /* nobody has looked yet */
	fk_die();
	fk.hold = NULL;
	fk_condemn(n);
	fk_run();
	assert_false(fk_command("exec", 0)->alive);
	assert_true(fk_command("create", 0)->alive);
	fk_expect(fk_simple("Delete", "c1", "e"), STATUS_OK);
	fk_expect(fk_kill("c1", "", SIGKILL, false), STATUS_OK);
	fk_expect(fk_simple("Delete", "c1", ""), STATUS_OK);
	fk_expect_clean();
}

/* A container with an exec whose Start has opened its stdio, and spawned nothing yet. */
static uint64_t
start_with_stdio(int64_t timeout_ns)
{
	Containerd__Task__V2__StartRequest m = CONTAINERD__TASK__V2__START_REQUEST__INIT;
	char id[] = "c1", exec_id[] = "e";
	uint64_t n;

	fk_expect(fk_create("c1", false), STATUS_OK);
	fk_expect(fk_simple("Start", "c1", ""), STATUS_OK);
	fk_expect(fk_exec("c1", "e"), STATUS_OK);
	m.id = id;
	m.exec_id = exec_id;
	fk.unready = true;
	n = fk_send_late("Start", &m.base, timeout_ns, clock_boot_us());
	fk_run();
	assert_int_equal(fk_kept("io/c1/e/"), 1);
	fk.unready = false;
	return n;
}

static void
expect_no_stdio(void)
{
	fk_run();
	assert_int_equal(fk_kept("io/c1/e/"), 0);
	assert_int_equal(fk_count("exec"), 0);
	fk_expect(fk_simple("Delete", "c1", "e"), STATUS_OK);
	fk_expect(fk_kill("c1", "", SIGKILL, false), STATUS_OK);
	fk_expect(fk_simple("Delete", "c1", ""), STATUS_OK);
	fk_expect_clean();
}

/* Nobody will start it any more: its client is to see the end of its FIFOs. */
static void
test_worker_recover_stdio_of_a_condemned_start(void **state)
{
	uint64_t n = start_with_stdio(0);

	(void)state;
	fk_die();
	fk_condemn(n);
	expect_no_stdio();
}

static void
test_worker_recover_stdio_of_a_start_nobody_waits_for(void **state)
{
	uint64_t n = start_with_stdio(0);

	(void)state;
	fk_die();
	fk_cancel(n);
	expect_no_stdio();
}

static void
test_worker_recover_stdio_of_a_start_that_is_late(void **state)
{
	uint64_t n = start_with_stdio(60 * NS_PER_S);

	(void)state;
	fk_die();
	fk_request(n)->t_recv = 1; /* since boot */
	expect_no_stdio();
	assert_int_equal(fk_request(n)->code, STATUS_DEADLINE_EXCEEDED);
}

/* It waits for its turn when the store is swept, and ends before that: Delete does it. */
static void
test_worker_recover_stdio_of_a_start_in_the_queue(void **state)
{
	uint64_t n;

	(void)state;
	fk_expect(fk_create("c1", false), STATUS_OK);
	fk_expect(fk_simple("Start", "c1", ""), STATUS_OK);
	fk_expect(fk_exec("c1", "e"), STATUS_OK);
	fk.hold_answers = true; /* that of Pause is lost, and its command not run again */
	fk.fail = "pause";
	(void)fk_simple("Pause", "c1", "");
	fk_run();
	fk.fail = NULL;
	fk.unready = true;
	n = fk_simple("Start", "c1", "e");
	fk_run();
	assert_int_equal(fk_kept("io/c1/e/"), 1);
	fk.unready = false;
	fk_die();
	fk.cancel_early = n;
	fk_expect(fk_simple("Delete", "c1", "e"), STATUS_OK);
	assert_int_equal(fk_count("exec"), 0);
	assert_int_equal(fk_kept("io/c1/e/"), 0);
}

/* A worker dies of this request, by its own hand, when it comes to that. */
static void
expect_blame(uint64_t n, const char *poison)
{
	fk.poison = poison;
	fk.n_poison = 1;
	fk_expect(n, STATUS_OK);
	assert_int_equal(fk.n_poison, 0);
	assert_int_equal(fk.pod.suspect, n);
}

/* What a Delete does once all output is read is still that Delete's doing. */
static void
test_worker_recover_delete_that_kills_behind_the_drain(void **state)
{
	(void)state;
	fk_expect(fk_create("c1", false), STATUS_OK);
	fk_expect(fk_simple("Start", "c1", ""), STATUS_OK);
	fk_expect(fk_exec("c1", "e"), STATUS_OK);
	fk_expect(fk_simple("Start", "c1", "e"), STATUS_OK);
	fk_exit(fk_command("exec", 0), 0);
	fk_run();
	expect_blame(fk_simple("Delete", "c1", "e"), "commit");
	fk_exit(fk_command("create", 0), 0);
	fk_run();
	expect_blame(fk_simple("Delete", "c1", ""), "delete");
	fk_expect_clean();
}

/* Told too late, and a command that ends well just before the kill that is meant for it. */
static void
test_worker_recover_told_exec_ends_before_its_kill(void **state)
{
	Containerd__Task__V2__StartRequest m = CONTAINERD__TASK__V2__START_REQUEST__INIT;
	char id[] = "c1", exec_id[] = "e";

	(void)state;
	fk_expect(fk_create("c1", false), STATUS_OK);
	fk_expect(fk_simple("Start", "c1", ""), STATUS_OK);
	fk_expect(fk_exec("c1", "e"), STATUS_OK);
	m.id = id;
	m.exec_id = exec_id;
	(void)fk_send_told("Start", &m.base, "exec", NS_PER_S / 4);
	fk_die();
	fk.survives = true;
	fk_run();
	fk.survives = false;
	assert_int_equal(fk_command("exec", 0)->s.state, STEP_RUNNING);
	fk_end(fk_command("exec", 0), 0);
	fk_run();
	assert_int_equal(fk_count("signal"), 2);
	assert_false(fk_command("exec", 0)->alive);
	fk_expect(fk_kill("c1", "", SIGKILL, false), STATUS_OK);
	fk_expect(fk_simple("Delete", "c1", ""), STATUS_OK);
	fk_expect_clean();
}

static bool said_undoing;

static void
on_log(const char *text)
{
	said_undoing |= strstr(text, "undoing") != NULL;
}

static void
test_worker_recover_finished_but_condemned(void **state)
{
	uint64_t n;

	(void)state;
	fk_up();
	fk.hold_answers = true; /* committed, and dead before the answer is out */
	n = fk_create("c1", false);
	fk_run();
	assert_false(fk_request(n)->answered);
	fk_die();
	fk_condemn(n);
	said_undoing = false;
	log_set_trace(on_log);
	fk_run();
	log_set_trace(NULL);
	assert_false(said_undoing);
	assert_int_equal(fk_request(n)->n_answers, 2);
	assert_int_equal(fk_count("delete"), 0);
	/* containerd's own clean-up follows */
	fk_expect(fk_simple("Delete", "c1", ""), STATUS_OK);
	fk_expect_clean();
}

/* Three Waits are answered, but only in our own queue; then Delete commits. */
static void
test_worker_recover_waits_and_delete_in_the_queue(void **state)
{
	uint64_t wait[3], del;
	size_t i;

	(void)state;
	fk_expect(fk_create("c1", false), STATUS_OK);
	fk_expect(fk_simple("Start", "c1", ""), STATUS_OK);
	for (i = 0; i < 3; i++)
		wait[i] = fk_simple("Wait", "c1", "");
	fk_run();
	fk.hold_answers = true;
	fk_exit(fk_command("create", 0), 4 << 8);
	fk_run();
	del = fk_simple("Delete", "c1", "");
	fk_run();
	assert_null(fk.pod.containers);
	fk_die();
	for (i = 0; i < 3; i++)
		fk_expect(wait[i], STATUS_OK);
	fk_expect(del, STATUS_OK);
	assert_int_equal(fk_count("delete"), 1);
	fk_expect_clean();
}

/* A Kill that was done stays done, whatever became of its target. */
static void
test_worker_recover_kill_of_one_that_is_gone(void **state)
{
	uint64_t kill, del;

	(void)state;
	fk_expect(fk_create("c1", false), STATUS_OK);
	fk_expect(fk_simple("Start", "c1", ""), STATUS_OK);
	fk.hold_answers = true;
	kill = fk_kill("c1", "", SIGKILL, true);
	fk_run();
	del = fk_simple("Delete", "c1", "");
	fk_run();
	fk_die();
	fk_expect(kill, STATUS_OK);
	fk_expect(del, STATUS_OK);
	assert_int_equal(fk_count("signal"), 1);
	fk_expect_clean();
}

static void
test_worker_recover_kill_before_delete(void **state)
{
	uint64_t kill, del, again;

	(void)state;
	fk_expect(fk_create("c1", false), STATUS_OK);
	fk_expect(fk_simple("Start", "c1", ""), STATUS_OK);
	fk.hold_answers = true;
	kill = fk_kill("c1", "", SIGKILL, false);
	fk_run();
	del = fk_simple("Delete", "c1", "");
	again = fk_create("c1", false);
	fk_run();
	fk_die();
	fk_expect(kill, STATUS_OK);
	fk_expect(del, STATUS_OK);
	fk_expect(again, STATUS_OK);
	assert_true(fk_command("create", 1)->alive);
	assert_int_equal(fk_count("signal"), 1);
	/* it has left nothing in the queue of the younger one */
	fk_expect(fk_simple("State", "c1", ""), STATUS_OK);
	fk_expect(fk_simple("Delete", "c1", ""), STATUS_OK);
	fk_expect_clean();
}

static void
test_worker_recover_lost_store(void **state)
{
	uint64_t wait, wait_e;
	struct container *c;

	(void)state;
	fk_expect(fk_create("c1", true), STATUS_OK);
	fk_expect(fk_simple("Start", "c1", ""), STATUS_OK);
	fk_expect(fk_exec("c1", "e"), STATUS_OK);
	fk_expect(fk_simple("Start", "c1", "e"), STATUS_OK);
	fk_expect(fk_create("c2", false), STATUS_OK);
	fk_exit(fk_command("create", 1), 8 << 8);
	fk_die();
	fk_lose_store();
	fk_open_and_die(); /* the file is there again, and empty */
	fk_run();
	c = container_get(&fk.pod, "c1");
	assert_non_null(c);
	assert_int_equal(c->state, TASK_RUNNING);
	assert_string_equal(c->bundle, fk.bundle);
	assert_true(c->rootfs_mounted);
	wait = fk_simple("Wait", "c1", "");
	wait_e = fk_simple("Wait", "c1", "e");
	fk_expect(fk_simple("Wait", "c2", ""), STATUS_OK);
	fk_expect(fk_kill("c1", "e", SIGKILL, false), STATUS_OK);
	fk_expect(fk_kill("c1", "", SIGKILL, false), STATUS_OK);
	fk_expect(wait, STATUS_OK);
	fk_expect(wait_e, STATUS_OK);
	fk_expect(fk_simple("Delete", "c1", ""), STATUS_OK);
	fk_expect(fk_simple("Delete", "c2", ""), STATUS_OK);
	fk_expect_clean();
}

/* The file is overwritten while the worker lives. */
static void
test_worker_recover_damaged_store(void **state)
{
	uint8_t junk[8192];
	char path[256];
	int fd, i;

	(void)state;
	memset(junk, 0x5a, sizeof junk);
	fk_expect(fk_create("c1", false), STATUS_OK);
	fk_expect(fk_create("c2", false), STATUS_OK);
	for (i = 0; i < 2; i++) {
		(void)snprintf(
		    path, sizeof path, "%s/state.db%s", fk.dir, i == 0 ? "" : "-wal");
		fd = open(path, O_WRONLY | O_CLOEXEC);
		assert_true(fd >= 0);
		assert_int_equal(pwrite(fd, junk, sizeof junk, 0), sizeof junk);
		/* closing it here would drop SQLite's locks, which are this process's too */
	}
	fk_expect(fk_simple("Start", "c1", ""), STATUS_OK);
	fk_expect(fk_exec("c1", "e"), STATUS_OK);
	fk_run();
	fk_die();
	fk_run();
	assert_non_null(container_get(&fk.pod, "c1"));
	assert_non_null(container_get(&fk.pod, "c2"));
	fk_expect(fk_kill("c1", "", SIGKILL, false), STATUS_OK);
	fk_expect(fk_kill("c2", "", SIGKILL, false), STATUS_OK);
	fk_expect(fk_simple("Delete", "c1", ""), STATUS_OK);
	fk_expect(fk_simple("Delete", "c2", ""), STATUS_OK);
}

/* Neither keeper nor store knows how it ended. */
/* The damage is found when a Delete commits: the new file must not have it again. */
static void
test_worker_recover_damage_at_delete(void **state)
{
	(void)state;
	fk_expect(fk_create("c1", false), STATUS_OK);
	fk_expect(fk_create("c2", false), STATUS_OK);
	fk_expect(fk_simple("Start", "c1", ""), STATUS_OK);
	fk_exit(fk_command("create", 0), 0);
	fk_run();
	fk.pod.store->damaged = true;
	fk_expect(fk_simple("Delete", "c1", ""), STATUS_OK);
	assert_true(has_file("state.db.bad-1"));
	fk_die();
	fk_expect(fk_simple("State", "c1", ""), STATUS_NOT_FOUND);
	fk_expect(fk_simple("Delete", "c2", ""), STATUS_OK);
	fk_expect_clean();
}

/* The worker that begins a new file dies before all it knew is in there. */
static void
test_worker_recover_half_a_replacement(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	fk_expect(fk_create("c1", false), STATUS_OK);
	fk_expect(fk_simple("Start", "c1", ""), STATUS_OK);
	/* as much of it as can be read: nothing */
	assert_int_equal(db_exec(fk.pod.store, "DELETE FROM container", &err), 0);
	assert_int_equal(db_exec(fk.pod.store, "DELETE FROM process", &err), 0);
	assert_int_equal(db_replace(fk.pod.store, &err), 0);
	fk_die();
	fk_run();
	assert_true(fk_command("create", 0)->alive);
	fk_expect(fk_kill("c1", "", SIGKILL, false), STATUS_OK);
	fk_expect(fk_simple("Delete", "c1", ""), STATUS_OK);
	assert_true(fk_meta_is("partial", NULL));
}

static void
test_worker_recover_lost_exit(void **state)
{
	Containerd__Task__V2__WaitResponse *r;
	uint64_t wait;

	(void)state;
	fk_expect(fk_create("c1", false), STATUS_OK);
	fk_expect(fk_simple("Start", "c1", ""), STATUS_OK);
	wait = fk_simple("Wait", "c1", "");
	fk_run();
	fk_die();
	fk_command("create", 0)->alive = false;
	fk_command("create", 0)->acked = true;
	fk_expect(wait, STATUS_OK);
	r = (Containerd__Task__V2__WaitResponse *)protobuf_c_message_unpack(
	    &containerd__task__v2__wait_response__descriptor, NULL,
	    fk_request(wait)->payload_len, fk_request(wait)->payload);
	assert_non_null(r);
	assert_int_equal(r->exit_status, 255);
	protobuf_c_message_free_unpacked(&r->base, NULL);
	fk_expect(fk_simple("Delete", "c1", ""), STATUS_OK);
	fk_expect_clean();
}

/* init.pid may name somebody else by the time that a worker reads it. */
static void
test_worker_recover_cgroup_of_a_stranger(void **state)
{
	(void)state;
	fk.cgroup = fk.bundle;
	fk.next_pid = getpid();
	fk.child_start = record_start_ticks(getpid());
	fk_expect(fk_create("c1", false), STATUS_OK);
	assert_string_equal(container_get(&fk.pod, "c1")->cgroup, fk.bundle);
	fk.next_pid = getpid();
	fk.child_start--;
	fk_expect(fk_create("c2", false), STATUS_OK);
	assert_string_equal(container_get(&fk.pod, "c2")->cgroup, "");
	fk_die();
	fk_lose_store();
	fk_open_and_die();
	fk_run();
	assert_string_equal(container_get(&fk.pod, "c1")->cgroup, fk.bundle);
	assert_string_equal(container_get(&fk.pod, "c2")->cgroup, "");
}

static void
test_worker_recover_strangers(void **state)
{
	(void)state;
	fk_expect(fk_create("c1", false), STATUS_OK);
	link_fd_put(NULL, "io/c1/-/out", -1);
	link_fd_put(NULL, "io/c9/-/out", -1);
	link_fd_put(NULL, "io/c1/gone/out", -1);
	link_fd_put(NULL, "tty/999", -1);
	link_fd_put(NULL, "out/999", -1);
	write_file("log.999");
	write_file("process.9901");
	fk_die();
	fk_run();
	assert_false(link_fd_known(NULL, "io/c9/-/out"));
	assert_false(link_fd_known(NULL, "io/c1/gone/out"));
	assert_false(link_fd_known(NULL, "tty/999"));
	assert_false(link_fd_known(NULL, "out/999"));
	assert_true(link_fd_known(NULL, "io/c1/-/out"));
	assert_false(has_file("log.999"));
	assert_false(has_file("process.9901"));
	fk_expect(fk_simple("Delete", "c1", ""), STATUS_OK);
	fk_expect_clean();
}

/* Of many containers each tells the keeper that the worker does not stand still. */
static void
test_worker_recover_shows_that_it_goes_on(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < 10; i++) {
		AUTO_FREE char *id = mem_printf("c%u", i);

		fk_expect(fk_create(id, false), STATUS_OK);
	}
	fk_die();
	fk.n_passes = 0;
	fk_up();
	assert_true(fk.n_passes >= 20); /* before READY, and after GO */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, fk_setup, fk_teardown)
	    T(test_worker_recover_cancelled_before_go),
	    T(test_worker_recover_condemned_create),
	    T(test_worker_recover_condemned_create_and_a_kill),
	    T(test_worker_recover_condemned_exec_start),
	    T(test_worker_recover_delete_that_kills_behind_the_drain),
	    T(test_worker_recover_told_exec_ends_before_its_kill),
	    T(test_worker_recover_finished_but_condemned),
	    T(test_worker_recover_waits_and_delete_in_the_queue),
	    T(test_worker_recover_kill_of_one_that_is_gone),
	    T(test_worker_recover_kill_before_delete),
	    T(test_worker_recover_lost_store),
	    T(test_worker_recover_damaged_store),
	    T(test_worker_recover_damage_at_delete),
	    T(test_worker_recover_half_a_replacement),
	    T(test_worker_recover_lost_exit),
	    T(test_worker_recover_cgroup_of_a_stranger),
	    T(test_worker_recover_strangers),
	    T(test_worker_recover_stdio_of_a_condemned_start),
	    T(test_worker_recover_stdio_of_a_start_nobody_waits_for),
	    T(test_worker_recover_stdio_of_a_start_that_is_late),
	    T(test_worker_recover_stdio_of_a_start_in_the_queue),
	    T(test_worker_recover_shows_that_it_goes_on),
#undef T
	};

	log_init("test", "", "/dev/null");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
