/*
 * state/: every row comes back as it went in, transactions are all or
 * nothing, rings stay rings.
 */
#include "store_helper.h"

#include <errno.h>

#include "base/clock.h"

/* --- rows ----------------------------------------------------------------- */

static const struct row_container full_container = {
    .id = "c1",
    .bundle = "/run/bundle/c1",
    .runtime = "runc",
    .runtime_root = "/run/runc/k8s.io",
    .cgroup = "/kubepods/pod1/c1",
    .options = "{\"SystemdCgroup\":true}",
    .state = TASK_PAUSED,
    .own_pidns = true,
    .rootfs_mounted = true,
    .create_sent = true,
    .oom_seen = UINT64_MAX - 1,
    .created_at = 1700000000123456789,
};

struct seen {
	unsigned n;
	char ids[64][32];
	const struct row_container *container;
	const struct row_process *process;
};

static void
on_container(const struct row_container *row, void *arg)
{
	struct seen *seen = arg;
	const struct row_container *want = seen->container;

	(void)snprintf(seen->ids[seen->n++], 32, "%s", row->id);
	if (want == NULL)
		return;
	assert_string_equal(row->id, want->id);
	assert_string_equal(row->bundle, want->bundle);
	assert_string_equal(row->runtime, want->runtime);
	assert_string_equal(row->runtime_root, want->runtime_root);
	assert_string_equal(row->cgroup, want->cgroup);
	assert_string_equal(row->options, want->options);
	assert_int_equal(row->state, want->state);
	assert_int_equal(row->own_pidns, want->own_pidns);
	assert_int_equal(row->rootfs_mounted, want->rootfs_mounted);
	assert_int_equal(row->create_sent, want->create_sent);
	assert_true(row->oom_seen == want->oom_seen);
	assert_true(row->created_at == want->created_at);
}

static void
on_process(const struct row_process *row, void *arg)
{
	struct seen *seen = arg;
	const struct row_process *want = seen->process;

	(void)snprintf(seen->ids[seen->n++], 32, "%s/%s", row->container, row->exec_id);
	if (want == NULL)
		return;
	assert_string_equal(row->container, want->container);
	assert_string_equal(row->exec_id, want->exec_id);
	assert_true(row->key == want->key);
	assert_string_equal(row->stdin_path, want->stdin_path);
	assert_string_equal(row->stdout_path, want->stdout_path);
	assert_string_equal(row->stderr_path, want->stderr_path);
	assert_int_equal(row->terminal, want->terminal);
	assert_int_equal(row->spec_len, want->spec_len);
	if (want->spec == NULL)
		assert_null(row->spec);
	else
		assert_memory_equal(row->spec, want->spec, want->spec_len);
	assert_int_equal(row->pid, want->pid);
	assert_true(row->start_time == want->start_time);
	assert_int_equal(row->state, want->state);
	assert_true(row->exit_status == want->exit_status);
	assert_true(row->started_at == want->started_at);
	assert_true(row->exited_at == want->exited_at);
	assert_int_equal(row->exit_sent, want->exit_sent);
}

static void
test_store_container_round_trip(void **state)
{
	struct store *st = open_expect(*state, STORE_CREATED);
	struct seen seen = {.container = &full_container};
	struct row_container changed = full_container;

	store_begin(st);
	store_put_container(st, &full_container);
	commit_ok(st);
	assert_int_equal(store_each_container(st, on_container, &seen, NULL), 0);
	assert_int_equal(seen.n, 1);

	changed.state = TASK_RUNNING;
	changed.own_pidns = changed.rootfs_mounted = changed.create_sent = false;
	changed.options = changed.cgroup = "";
	store_begin(st);
	store_put_container(st, &changed);
	commit_ok(st);
	store_close(st);

	st = open_expect(*state, STORE_OPENED);
	seen = (struct seen){.container = &changed};
	assert_int_equal(store_each_container(st, on_container, &seen, NULL), 0);
	assert_int_equal(seen.n, 1);
	store_close(st);
}

static void
test_store_process_round_trip(void **state)
{
	struct store *st = open_expect(*state, STORE_CREATED);
	struct row_process row = {
	    .container = "c1",
	    .exec_id = "exec-1",
	    .key = (UINT64_C(1) << 63) | 77,
	    .stdin_path = "/in",
	    .stdout_path = "/out",
	    .stderr_path = "/err",
	    .terminal = true,
	    .spec = "{\0}",
	    .spec_len = 3,
	    .pid = 4194304,
	    .start_time = 123456789,
	    .state = TASK_RUNNING,
	    .exit_status = UINT32_MAX,
	    .started_at = 1,
	    .exited_at = INT64_MAX,
	    .exit_sent = true,
	};
	struct seen seen = {.process = &row};

	store_begin(st);
	store_put_process(st, &row);
	commit_ok(st);
	assert_int_equal(store_each_process(st, NULL, on_process, &seen, NULL), 0);
	assert_int_equal(seen.n, 1);

	row.spec = NULL; /* gone once it is started */
	row.spec_len = 0;
	row.terminal = row.exit_sent = false;
	store_begin(st);
	store_put_process(st, &row);
	commit_ok(st);
	seen.n = 0;
	assert_int_equal(store_each_process(st, "c1", on_process, &seen, NULL), 0);
	assert_int_equal(seen.n, 1);
	seen.n = 0;
	assert_int_equal(store_each_process(st, "c2", on_process, &seen, NULL), 0);
	assert_int_equal(seen.n, 0);
	store_close(st);
}

static void
put_process(
    struct store *st, const char *container, const char *exec_id, enum task_state s)
{
	struct row_process row = {.container = container,
	    .exec_id = exec_id,
	    .state = s,
	    .pid = 100,
	    .exit_status = 3,
	    .exited_at = 5};

	store_put_process(st, &row);
}

static void
test_store_init_comes_before_execs(void **state)
{
	struct store *st = open_expect(*state, STORE_CREATED);
	struct seen seen = {0};

	store_begin(st);
	put_process(st, "b", "x", TASK_RUNNING);
	put_process(st, "b", "", TASK_RUNNING);
	put_process(st, "a", "y", TASK_RUNNING);
	put_process(st, "a", NULL, TASK_RUNNING);
	commit_ok(st);
	assert_int_equal(store_each_process(st, NULL, on_process, &seen, NULL), 0);
	assert_int_equal(seen.n, 4);
	assert_string_equal(seen.ids[0], "a/");
	assert_string_equal(seen.ids[1], "a/y");
	assert_string_equal(seen.ids[2], "b/");
	assert_string_equal(seen.ids[3], "b/x");
	store_delete_process(st, "b", "x");
	store_delete_container(st, "a");
	seen = (struct seen){0};
	assert_int_equal(store_each_process(st, NULL, on_process, &seen, NULL), 0);
	assert_int_equal(seen.n, 1);
	assert_string_equal(seen.ids[0], "b/");
	store_close(st);
}

static void
test_store_hostile_strings_are_only_strings(void **state)
{
	struct store *st = open_expect(*state, STORE_CREATED);
	struct row_container row = full_container;
	struct seen seen = {.container = &row};

	row.id = "x'; DROP TABLE container; --";
	row.options = "\xff\xfe \x1b[2J \"'%s%n";
	store_begin(st);
	store_put_container(st, &row);
	commit_ok(st);
	assert_int_equal(store_each_container(st, on_container, &seen, NULL), 0);
	assert_int_equal(seen.n, 1);
	store_close(st);
}

/* --- transactions --------------------------------------------------------- */

static void
test_store_rollback_leaves_nothing(void **state)
{
	struct store *st = open_expect(*state, STORE_CREATED);
	struct seen seen = {0};

	store_begin(st);
	store_put_container(st, &full_container);
	store_put_answer(st, 1, "a", 1);
	store_rollback(st);
	store_begin(st);
	store_set_meta(st, "k", "v");
	commit_ok(st);
	assert_int_equal(store_each_container(st, on_container, &seen, NULL), 0);
	assert_int_equal(seen.n, 0);
	store_close(st);
}

static void
test_store_write_outside_a_transaction_is_one(void **state)
{
	struct store *st = open_expect(*state, STORE_CREATED);
	char *v;

	store_set_meta(st, "ending", "1");
	store_close(st);
	st = open_expect(*state, STORE_OPENED);
	v = store_get_meta(st, "ending");
	assert_string_equal(v, "1");
	free(v);
	store_set_meta(st, "ending", NULL);
	assert_null(store_get_meta(st, "ending"));
	store_close(st);
}

static void
assert_answer(struct store *st, uint64_t n, const void *want, size_t want_len)
{
	void *p = NULL;
	size_t len = 0;

	assert_int_equal(store_get_answer(st, n, &p, &len), 0);
	assert_int_equal(len, want_len);
	if (want_len > 0)
		assert_memory_equal(p, want, want_len);
	free(p);
}

static void
test_store_answers(void **state)
{
	struct store *st = open_expect(*state, STORE_CREATED);
	const uint64_t keep[] = {2, UINT64_C(1) << 40};
	void *p;
	size_t len;

	store_begin(st);
	store_put_answer(st, 1, "one\0more", 8);
	assert_answer(st, 1, "one\0more", 8); /* seen before the commit */
	store_put_answer(st, 2, NULL, 0);
	store_put_answer(st, UINT64_C(1) << 40, "big", 3);
	store_put_answer(st, 4, "four", 4);
	commit_ok(st);
	assert_answer(st, 1, "one\0more", 8);
	assert_answer(st, 2, "", 0);
	store_begin(st);
	store_delete_answer(st, 1);
	assert_int_equal(store_get_answer(st, 1, &p, &len), -ENOENT);
	store_rollback(st);
	assert_answer(st, 1, "one\0more", 8);

	store_begin(st);
	store_prune_answers(st, keep, ARRAY_LEN(keep));
	commit_ok(st);
	assert_int_equal(store_get_answer(st, 1, &p, &len), -ENOENT);
	assert_int_equal(store_get_answer(st, 4, &p, &len), -ENOENT);
	assert_answer(st, 2, "", 0);
	assert_answer(st, UINT64_C(1) << 40, "big", 3);
	store_prune_answers(st, NULL, 0);
	assert_int_equal(store_get_answer(st, 2, &p, &len), -ENOENT);
	store_close(st);
}

static void
test_store_counts(void **state)
{
	struct store *st = open_expect(*state, STORE_CREATED);
	struct row_container row = full_container;
	struct store_counts n;

	assert_int_equal(store_count(st, &n, NULL), 0);
	assert_true(n.containers == 0 && n.running == 0 && n.events_pending == 0 &&
	    n.events_dropped == 0);
	store_begin(st);
	store_put_container(st, &row);
	put_process(st, row.id, "", TASK_RUNNING);
	put_process(st, row.id, "e", TASK_RUNNING);
	row.id = "c2";
	store_put_container(st, &row);
	put_process(st, row.id, "", TASK_STOPPED);
	commit_ok(st);
	assert_int_equal(store_count(st, &n, NULL), 0);
	assert_int_equal(n.containers, 2);
	assert_int_equal(n.running, 1);
	store_close(st);
}

/* --- the past ------------------------------------------------------------- */

static void
test_store_last_exit(void **state)
{
	struct store *st = open_expect(*state, STORE_CREATED);
	struct row_container row = full_container;
	char id[16];
	uint32_t status;
	int64_t at;
	int i, pid;

	assert_int_equal(store_last_exit(st, "c1", &pid, &status, &at), -ENOENT);
	store_begin(st);
	store_put_container(st, &row);
	put_process(st, "c1", "", TASK_RUNNING);
	commit_ok(st);
	assert_int_equal(store_last_exit(st, "c1", &pid, &status, &at), -ENOENT);
	put_process(st, "c1", "", TASK_STOPPED);
	assert_int_equal(store_last_exit(st, "c1", &pid, &status, &at), 0);
	store_delete_container(st, "c1");
	assert_int_equal(store_last_exit(st, "c1", &pid, &status, &at), 0);
	assert_int_equal(pid, 100);
	assert_int_equal(status, 3);
	assert_int_equal(at, 5);

	store_put_container(st, &row); /* again, and it lives */
	put_process(st, "c1", "", TASK_RUNNING);
	assert_int_equal(store_last_exit(st, "c1", &pid, &status, &at), -ENOENT);
	store_delete_container(st, "c1");

	for (i = 0; i < STORE_LAST_EXITS; i++) { /* a ring: 64 more push c1 out */
		(void)snprintf(id, sizeof id, "n%d", i);
		put_process(st, id, "", TASK_STOPPED);
		store_delete_container(st, id);
	}
	assert_int_equal(store_last_exit(st, "c1", &pid, &status, &at), -ENOENT);
	assert_int_equal(store_last_exit(st, "n1", &pid, &status, &at), 0);
	store_forget_exits(st, "n1");
	assert_int_equal(store_last_exit(st, "n1", &pid, &status, &at), -ENOENT);
	assert_int_equal(store_last_exit(st, "n2", &pid, &status, &at), 0);
	store_close(st);
}

struct audit_seen {
	unsigned n;
	uint64_t first, last;
	char detail[512];
};

static void
on_audit(const struct row_audit *row, void *arg)
{
	struct audit_seen *seen = arg;

	if (seen->n++ == 0)
		seen->first = row->n;
	else
		assert_int_equal(row->n, seen->last + 1);
	seen->last = row->n;
	(void)snprintf(seen->detail, sizeof seen->detail, "%s", row->detail);
	assert_string_equal(row->what, "exec");
	assert_true(row->t > 0);
}

static void
on_first_audit(const struct row_audit *row, void *arg)
{
	struct audit_seen *seen = arg;

	if (seen->n++ == 0)
		(void)snprintf(seen->detail, sizeof seen->detail, "%s", row->detail);
}

/* Execs have 256 of the rows; what is read comes in order, from both shares. */
static void
test_store_audit_is_two_rings(void **state)
{
	struct store *st = open_expect(*state, STORE_CREATED);
	struct audit_seen seen = {0};
	char longer[STORE_AUDIT_DETAIL * 2];
	int i;

	memset(longer, 'x', sizeof longer);
	longer[sizeof longer - 1] = '\0';
	store_begin(st);
	store_audit(st, "c1", "", "exec", "first");
	for (i = 0; i < STORE_AUDIT_ROWS + 10; i++)
		store_audit(st, "c1", "e", "exec", "detail");
	commit_ok(st);
	store_close(st);
	st = open_expect(*state, STORE_OPENED);
	store_audit(st, "c1", "e", "exec", "detail");
	store_audit(st, "c1", NULL, "exec", longer);
	assert_int_equal(store_each_audit(st, 1, on_audit, &seen, NULL), 0);
	assert_int_equal(seen.n, STORE_AUDIT_EXEC_ROWS + 1);
	assert_int_equal(seen.first, STORE_AUDIT_ROWS + 13 - STORE_AUDIT_EXEC_ROWS);
	assert_int_equal(seen.last, STORE_AUDIT_ROWS + 13);
	assert_int_equal(strlen(seen.detail), STORE_AUDIT_DETAIL);
	seen = (struct audit_seen){0};
	assert_int_equal(store_each_audit(st, 0, on_first_audit, &seen, NULL), 0);
	assert_string_equal(seen.detail, "first"); /* no exec has pushed it out */

	store_begin(st);
	for (i = 0; i < STORE_AUDIT_ROWS; i++)
		store_audit(st, "c1", "", "exec", "detail");
	commit_ok(st);
	seen = (struct audit_seen){0};
	assert_int_equal(
	    store_each_audit(st, STORE_AUDIT_ROWS + 13, on_audit, &seen, NULL), 0);
	assert_int_equal(seen.n, STORE_AUDIT_ROWS - STORE_AUDIT_EXEC_ROWS);
	assert_int_equal(seen.last, 2 * STORE_AUDIT_ROWS + 13);
	store_close(st);
}

static void
test_store_state_names(void **state)
{
	(void)state;
	assert_string_equal(task_state_name(TASK_CREATING), "creating");
	assert_string_equal(task_state_name(TASK_DELETING), "deleting");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST_IN_DIR(test_store_container_round_trip),
	    TEST_IN_DIR(test_store_process_round_trip),
	    TEST_IN_DIR(test_store_init_comes_before_execs),
	    TEST_IN_DIR(test_store_hostile_strings_are_only_strings),
	    TEST_IN_DIR(test_store_rollback_leaves_nothing),
	    TEST_IN_DIR(test_store_write_outside_a_transaction_is_one),
	    TEST_IN_DIR(test_store_answers),
	    TEST_IN_DIR(test_store_counts),
	    TEST_IN_DIR(test_store_last_exit),
	    TEST_IN_DIR(test_store_audit_is_two_rings),
	    cmocka_unit_test(test_store_state_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
