/*
 * The worker's life: who is blamed for a death, hangs, upgrades, and what people
 * are told.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
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
#include "ipc/admin.h"
#include "keeper_rig.h"
#include "proto/status.h"

/* admin_upgrade() blocks: it runs in a child, whose exit status is its errno. */
static pid_t
ask_for_upgrade(struct rig *rig, int exe_fd)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		char *text = NULL;
		int rc = exe_fd >= 0
		    ? admin_upgrade(rig->pod_dir_fd, exe_fd, RIG_WAIT_MS, &text, NULL)
		    : admin_restart(rig->pod_dir_fd, RIG_WAIT_MS, &text, NULL);

		_exit(-rc);
	}
	return pid;
}

static int
status_of(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* --- blame ------------------------------------------------------------------ */

static void
test_keeper_condemns_only_the_one_in_hand(void **state)
{
	struct rig *rig = *state;
	int i, c = rig_connect(rig);
	struct rig_packet p;

	rig_boot(rig);
	for (i = 0; i < 4; i++)
		client_request(c, (uint32_t)(2 * i + 1), i == 2 ? "poison" : "wait");
	for (i = 1; i <= 4; i++)
		rig_expect_request(rig, (uint64_t)i, 0);
	rig->box->in_hand = 3;
	rig_end_worker(rig, "s");
	rig_take_worker(rig);
	rig_hello(rig);
	for (i = 1; i <= 4; i++)
		rig_expect_request(rig, (uint64_t)i, REQ_REDELIVERED);
	rig_ready(rig);
	client_expect_nothing(c, 50);
	rig->box->in_hand = 3;
	rig_end_worker(rig, "a");
	client_expect_status(c, 5, STATUS_INTERNAL); /* the second time is enough */
	rig_take_worker(rig);
	rig_hello(rig);
	for (i = 1; i <= 4; i++)
		rig_expect_request(
		    rig, (uint64_t)i, REQ_REDELIVERED | (i == 3 ? REQ_CONDEMNED : 0u));
	rig_ready(rig);
	rig_answer(rig, 3, NULL); /* undone */
	/* the same bytes again: one death condemns, and then they are refused at once */
	client_request(c, 9, "poison");
	rig_expect_request(rig, 5, 0);
	rig->box->in_hand = 5;
	rig_end_worker(rig, "x\1");
	client_expect_status(c, 9, STATUS_INTERNAL);
	rig_boot(rig);
	client_request(c, 11, "poison");
	client_expect_status(c, 11, STATUS_INTERNAL);
	rig_answer(rig, 5, NULL);
	for (i = 1; i <= 4; i++)
		if (i != 3)
			rig_answer(rig, (uint64_t)i, "fine");
	client_expect_text(c, 1, "fine");
	client_expect_text(c, 3, "fine");
	client_expect_text(c, 7, "fine");
	rig_recv_nothing(rig, 30);
	(void)p;
	(void)close(c);
}

/* Dying in the undo, too: it is dropped. */
static void
test_keeper_gives_up_an_undo_that_kills(void **state)
{
	struct rig *rig = *state;
	int i, c = rig_connect(rig);
	struct rig_packet p;

	client_request(c, 1, "poison");
	for (i = 0; i < 3; i++) {
		rig_boot(rig);
		rig_wait_status(rig, "requests", 1);
		rig->box->in_hand = 1;
		rig_end_worker(rig, "s");
	}
	client_expect_status(c, 1, STATUS_INTERNAL);
	rig_take_worker(rig);
	rig_hello(rig);
	rig_recv(rig, &p);
	assert_int_equal(p.head.type, MSG_SYNC);
	assert_int_equal(rig_status(rig, "requests"), 0);
	(void)close(c);
}

static void
test_keeper_blames_nobody_for_signals_from_outside(void **state)
{
	struct rig *rig = *state;
	int i, c = rig_connect(rig);

	client_request(c, 1, "innocent");
	for (i = 0; i < 6; i++) {
		rig_boot(rig);
		rig->box->in_hand = 1;
		if (i % 2 == 0) {
			rig_kill_worker(rig);
		} else {
			/* as the worker's handler notes a SIGSEGV that somebody sent */
			rig->box->fatal_signal = -SIGSEGV;
			assert_int_equal(kill(rig->worker, SIGSEGV), 0);
		}
	}
	rig_take_worker(rig);
	rig_hello(rig);
	rig_expect_request(rig, 1, REQ_REDELIVERED);
	rig_ready(rig);
	rig_answer(rig, 1, "ok");
	client_expect_text(c, 1, "ok");
	(void)close(c);
}

static void
test_keeper_writes_crash_records(void **state)
{
	struct rig *rig = *state;
	char *text = NULL, name[32];
	size_t len;
	int i, fd;

	rig_boot(rig);
	rig->box->in_hand = 42;
	rig->box->n_frames = 3000; /* a lie */
	rig->box->frames[0] = 0x1234;
	rig->box->n_traces = 300;
	memset(rig->box->trace, 'z', sizeof rig->box->trace);
	memcpy((char *)rig->box->what, "Start", 6);
	rig_end_worker(rig, "s");
	rig_take_worker(rig);
	assert_int_equal(
	    file_read(rig->pod_dir_fd, "crash-1.txt", 1 << 20, &text, &len, NULL), 0);
	assert_non_null(strstr(text, "in_hand: 42\n"));
	assert_non_null(strstr(text, "what: Start\n"));
	assert_non_null(strstr(text, "ended: signal 11\n"));
	assert_non_null(strstr(text, "verdict: it crashed\n"));
	assert_non_null(strstr(text, "frame: 0x1234"));
	assert_non_null(strstr(text, " zzz"));
	free(text);
	for (i = 0; i < 20;
	     i++) { /* only the newest are kept: by number, not by time or letter */
		const struct timespec same[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};

		(void)snprintf(name, sizeof name, "crash-%d.txt", 90 + i);
		fd = openat(rig->pod_dir_fd, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
		assert_int_equal(futimens(fd, same), 0);
		(void)close(fd);
	}
	fd = openat(rig->pod_dir_fd, "crash-x.txt", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	(void)close(fd);
	rig_end_worker(rig, "x\1");
	rig_take_worker(rig);
	for (i = 1; i < 110; i++) {
		(void)snprintf(name, sizeof name, "crash-%d.txt", i);
		assert_int_equal(
		    faccessat(rig->pod_dir_fd, name, F_OK, 0), i < 102 ? -1 : 0);
	}
	assert_int_equal(faccessat(rig->pod_dir_fd, "crash-x.txt", F_OK, 0), 0);
}

static void
test_keeper_kills_one_that_hangs(void **state)
{
	struct rig *rig = *state;
	int c = rig_connect(rig);
	char *text = NULL;
	size_t len;

	rig_boot(rig);
	client_request(c, 1, "hang");
	rig_expect_request(rig, 1, 0);
	rig->box->in_hand = 1;
	/* its loop stands still, and we do nothing: that takes 5 s */
	rig_take_worker(rig);
	assert_int_equal(
	    file_read(rig->pod_dir_fd, "crash-1.txt", 1 << 20, &text, &len, NULL), 0);
	assert_non_null(strstr(text, "verdict: it hung\n"));
	free(text);
	rig_hello(rig);
	rig_expect_request(rig, 1, REQ_REDELIVERED);
	(void)close(c);
}

static void
test_keeper_kills_one_that_talks_garbage(void **state)
{
	struct rig *rig = *state;
	struct msg_head head = {.type = MSG_SPAWN, .key = KEY_INTERNAL | 1};
	int c = rig_connect(rig);
	struct rig_packet p;

	rig_boot(rig);
	client_request(c, 1, "r");
	rig_expect_request(rig, 1, 0);
	/* unknown types are skipped, or refused if they must not be */
	head.type = 4711;
	rig_send(rig, &head, NULL, NULL, 0);
	head.flags = MSG_F_MUST;
	rig_send(rig, &head, NULL, NULL, 0);
	rig_recv(rig, &p);
	assert_true(p.head.type == MSG_REFUSED && p.head.a == 4711);
	head.type = MSG_SPAWN;
	rig_send(rig, &head, NULL, NULL, 0);
	rig_boot(rig);
	rig_answer(rig, 1, "ok");
	client_expect_text(c, 1, "ok");
	(void)close(c);
}

static void
test_keeper_refuses_while_no_worker_starts(void **state)
{
	struct rig *rig = *state;
	int i, c = rig_connect(rig);
	pid_t asker;

	/* else it would end: nothing can be here */
	assert_int_equal(admin_pin(rig->pod_dir_fd, "c1", RIG_WAIT_MS, NULL), 0);

	client_request(c, 1, "r");
	for (i = 0; i < 6; i++) {
		rig_take_worker(rig);
		rig_hello(rig);
		assert_int_equal(rig->welcome.failed_boots, i);
		assert_int_equal(rig->welcome.mode, i < 3 ? BOOT_NORMAL : BOOT_SAFE);
		client_expect_nothing(c, 0);
		rig->box->ask_ready = 1;
		rig_end_worker(rig, "x\1");
	}
	client_expect_status(c, 1, STATUS_UNAVAILABLE);
	client_request(c, 3, "r");
	client_expect_status(c, 3, STATUS_UNAVAILABLE);
	assert_int_equal(rig_status(rig, "failed_boots"), 6);
	/* a restart by hand does not wait for the 30 s */
	asker = ask_for_upgrade(rig, -1);
	rig_boot(rig);
	assert_int_equal(status_of(asker), 0);
	client_request(c, 5, "r");
	rig_expect_request(rig, 2, 0); /* what was refused at once has no number */
	(void)close(c);
}

/* A worker that dies before it may look at the store is no reason to throw that away. */
static void
test_keeper_does_not_blame_the_store(void **state)
{
	struct rig *rig = *state;
	int i, c = rig_connect(rig);

	rig_boot(rig);
	client_request(c, 1, "r");
	rig_expect_request(rig, 1, 0);
	rig_kill_worker(rig);
	for (i = 0; i < 4; i++) {
		rig_take_worker(rig);
		if (i == 1)
			rig_hello(rig); /* WELCOME, but without its handler yet */
		rig_end_worker(rig, "s\1");
	}
	rig_take_worker(rig);
	assert_int_equal(rig_status(rig, "failed_boots"), 4);
	rig_hello(rig);
	assert_int_equal(rig->welcome.failed_boots, 0);
	assert_int_equal(rig->welcome.mode, BOOT_NORMAL);
	rig_expect_request(rig, 1, REQ_REDELIVERED);
	rig_ready(rig);
	rig_answer(rig, 1, "ok");
	client_expect_text(c, 1, "ok");
	(void)close(c);
}

/* --- replacing -------------------------------------------------------------- */

static void
test_keeper_replaces_the_worker(void **state)
{
	struct rig *rig = *state;
	struct msg_head broken = {.type = MSG_HELLO};
	struct rig_packet p;
	int c = rig_connect(rig), exe;
	char path[128];
	pid_t asker;

	(void)snprintf(path, sizeof path, "%s/podshim-worker", rig->libexec);
	exe = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(exe >= 0);
	rig_boot(rig);
	client_request(c, 1, "r");
	rig_expect_request(rig, 1, 0);
	asker = ask_for_upgrade(rig, -1);
	rig_expect_quiesce(rig, QUIESCE_RESTART);
	rig_take_worker(rig);
	rig_hello(rig);
	rig_expect_request(rig, 1, REQ_REDELIVERED);
	rig_ready(rig);
	assert_int_equal(status_of(asker), 0);

	/* a new build, which is READY */
	asker = ask_for_upgrade(rig, exe);
	rig_expect_quiesce(rig, QUIESCE_UPGRADE);
	rig_take_worker(rig);
	rig_hello(rig);
	assert_int_equal(rig->welcome.mode, BOOT_UPGRADE);
	rig_ready(rig);
	assert_int_equal(status_of(asker), 0);

	/* the old one is killed instead of leaving: it is tried all the same, and that is told */
	asker = ask_for_upgrade(rig, exe);
	rig_recv_type(rig, MSG_QUIESCE, &p);
	rig_send(rig, &broken, NULL, NULL, 0);
	rig_take_worker(rig);
	rig_hello(rig);
	assert_int_equal(rig->welcome.mode, BOOT_UPGRADE);
	rig_ready(rig);
	assert_int_equal(status_of(asker), 0);

	/* one that never is: the old one comes back */
	asker = ask_for_upgrade(rig, exe);
	rig_expect_quiesce(rig, QUIESCE_UPGRADE);
	rig_take_worker(rig);
	rig_hello(rig);
	rig_end_worker(rig, "x\116");
	rig_take_worker(rig);
	rig_hello(rig);
	assert_int_equal(rig->welcome.mode, BOOT_NORMAL);
	assert_int_equal(rig->welcome.failed_boots, 0);
	rig_ready(rig);
	assert_int_equal(status_of(asker), ENOEXEC);

	/* something that is no worker: nothing happens to the one that works */
	(void)close(exe);
	exe = open("/bin/false", O_RDONLY | O_CLOEXEC);
	asker = ask_for_upgrade(rig, exe);
	assert_int_equal(status_of(asker), ENOEXEC);
	rig_answer(rig, 1, "ok");
	client_expect_text(c, 1, "ok");
	(void)close(exe);
	(void)close(c);
}

/* --- people --------------------------------------------------------------- */

static void
test_keeper_answers_people(void **state)
{
	struct rig *rig = *state;
	struct err err = ERR_INIT;
	_Alignas(8) char buf[256];
	struct msg_head head = {.type = MSG_MARK};
	struct rig_packet p;
	struct msg_request req;
	boot_us_t end;
	size_t len = 0;
	char *text = NULL, *mark;
	int client;

	/* without a worker, too */
	assert_int_equal(rig_status(rig, "keeper_pid"), rig->keeper);
	rig_boot(rig);
	assert_int_equal(
	    msg_put_str(buf, sizeof buf, &len, MF_TEXT, "a running\nb stopped"), 0);
	head.len = (uint32_t)len;
	rig_send(rig, &head, buf, NULL, 0);
	assert_int_equal(rig_status(rig, "worker_pid"), rig->worker);
	assert_int_equal(admin_status(rig->pod_dir_fd, RIG_WAIT_MS, &text, &err), 0);
	mark = admin_status_get(text, "mark");
	assert_string_equal(mark, "a running;b stopped");
	free(mark);
	free(text);
	assert_int_equal(admin_dump(rig->pod_dir_fd, RIG_WAIT_MS, &text, &err), 0);
	assert_int_equal(access(text, R_OK), 0);
	free(text);
	text = NULL;
	/* what is in hand: a request that nobody has answered, a command that runs */
	client = rig_connect(rig);
	client_request(client, 1, "hello");
	rig_recv_type(rig, MSG_REQUEST, &p);
	assert_int_equal(msg_decode_request(&p.head, p.payload, &req, &err), 0);
	rig_spawn_sh(rig, key_of_step(req.n, 1), 0, NULL, "exec sleep 60");
	end = clock_boot_us() + RIG_WAIT_MS * US_PER_MS;
	do { /* the spawn is on its way */
		free(text);
		assert_int_equal(
		    admin_detail(rig->pod_dir_fd, RIG_WAIT_MS, &text, &err), 0);
		assert_true(clock_boot_us() < end);
	} while (strstr(text, " spawn running ") == NULL);
	assert_non_null(strstr(text, "request n=1 "));
	assert_non_null(strstr(text, " frame=68656c6c6f\n"));
	free(text);
	fd_close(&client);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
	    T(test_keeper_condemns_only_the_one_in_hand),
	    T(test_keeper_gives_up_an_undo_that_kills),
	    T(test_keeper_blames_nobody_for_signals_from_outside),
	    T(test_keeper_writes_crash_records),
	    T(test_keeper_kills_one_that_hangs),
	    T(test_keeper_kills_one_that_talks_garbage),
	    T(test_keeper_refuses_while_no_worker_starts),
	    T(test_keeper_does_not_blame_the_store),
	    T(test_keeper_replaces_the_worker),
	    T(test_keeper_answers_people),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
