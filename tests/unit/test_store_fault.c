/*
 * state/: the Nth system call of SQLite's fails, for every N. Whatever fails,
 * nothing is set aside for it, no order is lost, and once the fault is over
 * everything that was kept is in the file.
 */
#include "store_helper.h"

#include <errno.h>

/* --- a layer between SQLite and the file system ---------------------------- */

static struct {
	sqlite3_vfs vfs, *real;
	/* files with locks (the database) and without (the log) have their own */
	sqlite3_io_methods methods[2];
	const sqlite3_io_methods *orig[2];
	long countdown; /* calls until the fault; < 0: none */
	bool lasts;	/* all later ones fail as well */
	int rc;
	bool hit;
} fault;

static int
fault_due(void)
{
	if (fault.countdown < 0)
		return SQLITE_OK;
	if (fault.countdown > 0) {
		fault.countdown--;
		return SQLITE_OK;
	}
	fault.hit = true;
	if (!fault.lasts)
		fault.countdown = -1;
	return fault.rc;
}

static const sqlite3_io_methods *
orig_of(const sqlite3_file *f)
{
	return fault.orig[f->pMethods - fault.methods];
}

static int
on_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	int rc = fault_due();

	return rc != SQLITE_OK ? rc : orig_of(f)->xWrite(f, p, n, at);
}

static int
on_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	int rc = fault_due();

	return rc != SQLITE_OK ? SQLITE_IOERR_TRUNCATE : orig_of(f)->xTruncate(f, size);
}

static int
on_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
	int rc = fault.rc == SQLITE_FULL ? SQLITE_OK : fault_due();

	return rc != SQLITE_OK ? SQLITE_IOERR_READ : orig_of(f)->xRead(f, p, n, at);
}

static int
on_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **p)
{
	int rc = fault_due();

	return rc != SQLITE_OK ? SQLITE_IOERR_SHMSIZE
			       : orig_of(f)->xShmMap(f, page, size, extend, p);
}

static int
on_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *f, int flags, int *out)
{
	int i, rc = fault_due();

	(void)vfs;
	if (rc != SQLITE_OK) {
		f->pMethods = NULL;
		return SQLITE_CANTOPEN;
	}
	rc = fault.real->xOpen(fault.real, name, f, flags, out);
	if (rc != SQLITE_OK || f->pMethods == NULL)
		return rc;
	i = (flags & SQLITE_OPEN_MAIN_DB) != 0 ? 0 : 1;
	fault.orig[i] = f->pMethods;
	fault.methods[i] = *f->pMethods;
	fault.methods[i].xWrite = on_write;
	fault.methods[i].xTruncate = on_truncate;
	fault.methods[i].xRead = on_read;
	fault.methods[i].xShmMap = i == 0 ? on_shm_map : NULL;
	f->pMethods = &fault.methods[i];
	return rc;
}

static void
fault_install(void)
{
	if (fault.real != NULL)
		return;
	fault.real = sqlite3_vfs_find(NULL);
	fault.vfs = *fault.real;
	fault.vfs.zName = "fault";
	fault.vfs.xOpen = on_open;
	fault.countdown = -1;
	assert_int_equal(sqlite3_vfs_register(&fault.vfs, 1), SQLITE_OK);
}

static void
fault_set(long n, bool lasts, int rc)
{
	fault.countdown = n;
	fault.lasts = lasts;
	fault.rc = rc;
	fault.hit = false;
}

/* --- the work ------------------------------------------------------------- */

#define ROUNDS 12

static void
put_round(struct store *st, int i)
{
	struct row_container row = {.state = TASK_RUNNING};
	struct row_event ev = {.container = "c",
	    .topic = "/t",
	    .body = "body",
	    .body_len = 4,
	    .class = EVENT_KEEP};
	static char text[2000];
	char id[16];

	memset(text, 'x', sizeof text - 1);
	(void)snprintf(id, sizeof id, "c%d", i);
	row.id = id;
	row.options = text;
	store_put_container(st, &row);
	(void)store_add_event(st, &ev);
	store_put_answer(st, (uint64_t)i + 1, id, strlen(id));
	if (i >= 2) { /* deletes matter as much as puts */
		(void)snprintf(id, sizeof id, "c%d", i - 2);
		store_delete_container(st, id);
		store_event_done(st, (uint64_t)i - 1, "ttrpc");
		store_delete_answer(st, (uint64_t)i - 1);
	}
	(void)snprintf(id, sizeof id, "%d", i);
	store_set_meta(st, "round", id);
}

static void
assert_rounds(struct store *st, int n)
{
	AUTO_FREE char *round = store_get_meta(st, "round");
	struct store_counts counts;
	void *p;
	size_t len;

	assert_non_null(round);
	assert_int_equal(strtol(round, NULL, 10), n - 1);
	assert_int_equal(store_count(st, &counts, NULL), 0);
	assert_int_equal(counts.containers, 2);
	assert_int_equal(counts.events_pending, 2);
	assert_int_equal(store_get_answer(st, (uint64_t)n - 2, &p, &len), -ENOENT);
	assert_int_equal(store_get_answer(st, (uint64_t)n, &p, &len), 0);
	free(p);
}

/* Work through a fault that comes at call n. Was there one? */
static bool
work(const char *dir, long n, bool lasts, int rc)
{
	struct store *st = open_expect(dir, STORE_CREATED);
	struct err err = ERR_INIT;
	bool hit;
	int i, got;

	fault_set(n, lasts, rc);
	for (i = 0; i < ROUNDS; i++) {
		store_begin(st);
		put_round(st, i);
		got = store_commit(st, STORE_KEEP, &err);
		assert_in_range(got, 0, 1);
	}
	hit = fault.hit;
	fault_set(-1, false, 0);
	got = store_flush(st, &err);
	if (got != 0)
		print_message("%ld: %s\n", n, err.text);
	assert_int_equal(got, 0);
	assert_int_equal(store_backlog(st), 0);
	assert_false(st->replaced);
	assert_rounds(st, ROUNDS);
	store_close(st);
	st = open_expect(dir, STORE_OPENED);
	assert_rounds(st, ROUNDS);
	store_close(st);
	return hit;
}

static void
work_through(const char *dir, bool lasts, int rc)
{
	long n;

	for (n = 0;; n += lasts ? 5 : 2) {
		if (!work(dir, n, lasts, rc))
			break;
		files_remove(dir);
		assert_true(n < 5000);
	}
	print_message("%ld calls\n", n);
	assert_true(n > 50);
}

static void
test_fault_once(void **state)
{
	fault_install();
	work_through(*state, false, SQLITE_FULL);
	files_remove(*state);
	work_through(*state, false, SQLITE_IOERR);
}

static void
test_fault_that_lasts(void **state)
{
	fault_install();
	work_through(*state, true, SQLITE_FULL);
	files_remove(*state);
	work_through(*state, true, SQLITE_IOERR);
}

/* Opening and creating: an error, or a working store; never a file set aside. */
static void
open_through(const char *dir, int expected, bool lasts, int fault_rc)
{
	struct store_identity id = identity(1);
	struct err err = ERR_INIT;
	struct store *st;
	char *why = NULL;
	bool hit = true;
	long n;
	int rc;

	for (n = 0; hit; n++) {
		fault_set(n, lasts, fault_rc);
		st = NULL;
		rc = store_open(dir, &id, false, &st, &why, &err);
		hit = fault.hit;
		fault_set(-1, false, 0);
		if (why != NULL)
			print_message("call %ld: %s\n", n, why);
		assert_null(why);
		if (rc < 0) {
			assert_true(rc != -EUCLEAN && rc != -EPROTO);
			rc = store_open(dir, &id, false, &st, NULL, &err);
			/* it may have been made before the fault */
			assert_true(rc == expected || rc == STORE_OPENED);
		}
		assert_true(rc == expected || rc == STORE_OPENED);
		if (expected == STORE_OPENED)
			assert_rounds(st, ROUNDS);
		store_close(st);
		if (expected == STORE_CREATED)
			files_remove(dir);
		assert_true(n < 5000);
	}
	assert_true(n > 1);
}

static void
test_fault_while_opening(void **state)
{
	fault_install();
	open_through(*state, STORE_CREATED, false, SQLITE_IOERR);
	open_through(*state, STORE_CREATED, true, SQLITE_IOERR);
	open_through(*state, STORE_CREATED, true, SQLITE_FULL);
	assert_false(work(*state, -1, false, 0));
	open_through(*state, STORE_OPENED, false, SQLITE_IOERR);
	/* reads that fail for good are damage: that is for test_store_open */
	open_through(*state, STORE_OPENED, true, SQLITE_FULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST_IN_DIR(test_fault_once),
	    TEST_IN_DIR(test_fault_that_lasts),
	    TEST_IN_DIR(test_fault_while_opening),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
