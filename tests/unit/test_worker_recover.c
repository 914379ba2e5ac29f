/*
 * What a worker finds that nobody asks for any more: leftovers of requests that
 * are gone, condemned ones, a lost store, marks of the delete action,
 * strangers among the keeper's things.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "proto/status.h"
#include "proto/task.pb-c.h"
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

/* A Create whose caller was told DeadlineExceeded, then the worker dies. */
static void
leave_create(const char *held)
{
	Containerd__Types__Mount mount = CONTAINERD__TYPES__MOUNT__INIT,
				 *list[] = {&mount};
	Containerd__Task__V2__CreateTaskRequest m =
	    CONTAINERD__TASK__V2__CREATE_TASK_REQUEST__INIT;
	char id[] = "c1";
	uint64_t n;

	fk.hold = held;
	m.id = id;
	m.bundle = fk.bundle;
	m.n_rootfs = 1;
	m.rootfs = list;
	/* long enough to get to the held step, also where all is slow */
	n = fk_send_late("Create", &m.base, NS_PER_S, clock_boot_us());
	while (!fk_request(n)->answered)
		fk_run();
	assert_int_equal(fk_request(n)->code, STATUS_DEADLINE_EXCEEDED);
	fk.hold = NULL;
	fk_die();
}

static void
test_worker_recover_leftover_create(void **state)
{
	(void)state;
	leave_create("create");
	fk_expect_clean();
	assert_int_equal(fk_command("create", 0)->s.wait_status, SIGKILL);
	assert_int_equal(fk_count("delete"), 1);
	assert_int_equal(fk_count("unmount"), 1);
	assert_string_equal(fk_events(), "");
}

static void
test_worker_recover_leftover_mount(void **state)
{
	(void)state;
	leave_create("mount");
	fk_expect_clean();
	/* ended before its effect is undone */
	assert_int_equal(fk_command("mount", 0)->s.wait_status, SIGKILL);
	assert_int_equal(fk_count("create"), 0);
	assert_int_equal(fk_count("delete"), 0);
	assert_int_equal(fk_count("unmount"), 1);
}

static bool
meta_is(const char *key, const char *value)
{
	AUTO_FREE char *is = store_get_meta(fk.pod.store, key);

	return is == NULL ? value == NULL : value != NULL && strcmp(is, value) == 0;
}

/* An undo that kills each worker is given up; nobody else is kept waiting by it. */
static void
test_worker_recover_undo_that_kills(void **state)
{
	uint64_t del;

	(void)state;
	fk_expect(fk_create("other", false), STATUS_OK);
	leave_create("create");
	fk.poison = "unmount";
	fk.n_poison = 100;
	fk_run();
	assert_int_equal(fk.n_poison, 98);
	assert_null(container_get(&fk.pod, "c1"));
	assert_true(meta_is("leaked", "c1"));
	assert_true(meta_is("undo.c1", NULL));
	/* a worker that comes later lets it be */
	fk_die();
	fk_run();
	assert_int_equal(fk.n_poison, 98);
	assert_true(meta_is("leaked", "c1"));
	fk_expect(fk_simple("Start", "other", ""), STATUS_OK);
	/* containerd's delete: it cleans by itself, for we know nothing */
	fk_expect(fk_simple("podshim.v1.Admin/Purge", "other", ""), STATUS_OK);
	assert_true(meta_is("leaked", "c1"));
	del = fk_simple("podshim.v1.Admin/Purge", "c1", "");
	fk_expect(del, STATUS_OK);
	assert_int_equal(fk_request(del)->payload_len, 0);
	assert_true(meta_is("leaked", NULL));
	fk_expect_clean();
}

/* The same id again: its Create takes the name over. */
static void
test_worker_recover_create_after_a_leak(void **state)
{
	(void)state;
	leave_create("mount");
	fk.poison = "unmount";
	fk.n_poison = 2;
	fk_run();
	assert_true(meta_is("leaked", "c1"));
	fk_expect(fk_create("c1", false), STATUS_OK);
	assert_true(meta_is("leaked", NULL));
	fk_expect(fk_simple("Delete", "c1", ""), STATUS_OK);
	fk_expect_clean();
}

/* Workers that somebody kills in the middle of an undo do not count. */
static void
test_worker_recover_undo_killed_from_outside(void **state)
{
	(void)state;
	leave_create("create");
	fk.poison = "unmount";
	fk.poison_outside = true;
	fk.n_poison = 7;
	fk_expect_clean();
	assert_int_equal(fk.n_poison, 0);
	assert_true(meta_is("leaked", NULL));
	assert_true(meta_is("undo.c1", NULL));
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
	fk_run();
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
}

static void
test_worker_recover_lost_store(void **state)
{
	uint64_t wait, wait_e;
	struct container *c;
	char path[256];

	(void)state;
	fk_expect(fk_create("c1", true), STATUS_OK);
	fk_expect(fk_simple("Start", "c1", ""), STATUS_OK);
	fk_expect(fk_exec("c1", "e"), STATUS_OK);
	fk_expect(fk_simple("Start", "c1", "e"), STATUS_OK);
	fk_expect(fk_create("c2", false), STATUS_OK);
	fk_exit(fk_command("create", 1), 8 << 8);
	fk_die();
	(void)snprintf(path, sizeof path, "%s/state.db", fk.dir);
	assert_int_equal(unlink(path), 0);
	(void)snprintf(path, sizeof path, "%s/state.db-wal", fk.dir);
	(void)unlink(path);
	(void)snprintf(path, sizeof path, "%s/state.db-shm", fk.dir);
	(void)unlink(path);
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

static void
test_worker_recover_marks(void **state)
{
	char path[256];

	(void)state;
	(void)snprintf(path, sizeof path, "%s/purged", fk.dir);
	assert_int_equal(mkdir(path, 0700), 0);
	fk_expect(fk_create("c1", false), STATUS_OK);
	fk_expect(fk_create("c2", false), STATUS_OK);
	write_file("purged/c1");
	write_file("purged/nobody");
	/* it lives: the delete action's kill is on its way */
	fk_expect(fk_simple("State", "c1", ""), STATUS_OK);
	assert_true(has_file("purged/c1"));
	fk_exit(fk_command("create", 0), SIGKILL);
	fk_run();
	assert_false(has_file("purged/c1"));
	fk_expect(fk_simple("State", "c1", ""), STATUS_NOT_FOUND);
	assert_null(strstr(fk_events(), "exit c1"));
	fk_expect(fk_create("c1", false), STATUS_OK);
	/* at READY */
	fk_exit(fk_command("create", 1), SIGKILL);
	fk_run();
	write_file("purged/c2");
	fk_die();
	fk_run();
	assert_false(has_file("purged/c2"));
	assert_false(has_file("purged/nobody"));
	fk_expect(fk_simple("State", "c2", ""), STATUS_NOT_FOUND);
	assert_int_equal(fk_count("delete"), 0);
	(void)rmdir(path);
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, fk_setup, fk_teardown)
	    T(test_worker_recover_leftover_create),
	    T(test_worker_recover_leftover_mount),
	    T(test_worker_recover_undo_that_kills),
	    T(test_worker_recover_create_after_a_leak),
	    T(test_worker_recover_undo_killed_from_outside),
	    T(test_worker_recover_condemned_create),
	    T(test_worker_recover_condemned_exec_start),
	    T(test_worker_recover_finished_but_condemned),
	    T(test_worker_recover_waits_and_delete_in_the_queue),
	    T(test_worker_recover_kill_of_one_that_is_gone),
	    T(test_worker_recover_kill_before_delete),
	    T(test_worker_recover_lost_store),
	    T(test_worker_recover_damaged_store),
	    T(test_worker_recover_lost_exit),
	    T(test_worker_recover_marks),
	    T(test_worker_recover_strangers),
#undef T
	};

	log_init("test", "", "/dev/null");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
