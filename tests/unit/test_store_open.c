/*
 * state/: whose file it is, what happens to a damaged one, migrations, readers.
 */
#include "store_helper.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/fd.h"

static int
open_as(const char *dir, const struct store_identity *id, bool safe, char **why)
{
	struct err err = ERR_INIT;
	struct store *st = NULL;
	int rc = store_open(dir, id, safe, &st, why, &err);

	store_close(st);
	return rc;
}

static bool
exists(const char *dir, const char *name)
{
	AUTO_FREE char *path = path_in(dir, name);

	return access(path, F_OK) == 0;
}

static void
on_container(const struct row_container *row, void *arg)
{
	(void)row;
	++*(int *)arg;
}

static int
containers(struct store *st)
{
	int n = 0;
	int rc = store_each_container(st, on_container, &n, NULL);

	return rc < 0 ? rc : n;
}

/* Memory knows two containers. */
static int n_refills;

static void
refill(void *arg)
{
	struct row_container row = {.id = "known1", .state = TASK_RUNNING};

	n_refills++;
	store_put_container(arg, &row);
	row.id = "known2";
	store_put_container(arg, &row);
}

static void
refill_when_replaced(struct store *st)
{
	n_refills = 0;
	store_on_replaced(st, refill, st);
}

static void
fill(struct store *st, int n)
{
	struct row_container row = {.state = TASK_RUNNING};
	struct row_process proc = {.exec_id = "", .state = TASK_RUNNING};
	struct row_event ev = {
	    .topic = "/t", .type = "T", .body = "b", .body_len = 1, .class = EVENT_KEEP};
	char id[16];
	int i;

	store_begin(st);
	for (i = 0; i < n; i++) {
		(void)snprintf(id, sizeof id, "c%d", i);
		row.id = proc.container = ev.container = id;
		store_put_container(st, &row);
		store_put_process(st, &proc);
		(void)store_add_event(st, &ev);
		store_put_answer(st, (uint64_t)i + 1, id, strlen(id));
		store_audit(st, id, "", "create", id);
	}
	commit_ok(st);
}

/* --- identity ------------------------------------------------------------- */

static void
test_open_makes_private_files(void **state)
{
	AUTO_FREE char *path = path_in(*state, STORE_FILE);
	AUTO_FREE char *wal = path_in(*state, STORE_FILE "-wal");
	struct store *st = open_expect(*state, STORE_CREATED);
	struct stat sb;

	assert_int_equal(stat(path, &sb), 0);
	assert_int_equal(sb.st_mode & 0777, 0600);
	assert_int_equal(stat(wal, &sb), 0);
	assert_int_equal(sb.st_mode & 0777, 0600);
	assert_true(sb.st_size >= STORE_WAL_BYTES);
	store_close(st);
	assert_true(exists(*state, STORE_FILE "-wal")); /* they stay */
	assert_true(exists(*state, STORE_FILE "-shm"));
}

static void
test_open_sets_a_stranger_aside(void **state)
{
	struct store_identity id = identity(1);
	struct store *st = open_expect(*state, STORE_CREATED);
	char *why = NULL;

	fill(st, 1);
	store_close(st);
	id.inst[15] ^= 1;
	assert_int_equal(open_as(*state, &id, false, &why), STORE_SET_ASIDE);
	assert_non_null(strstr(why, "another keeper"));
	assert_non_null(strstr(why, "state.db.bad-1"));
	free(why);
	assert_true(exists(*state, "state.db.bad-1"));
	why = NULL;
	assert_int_equal(open_as(*state, &id, false, &why), STORE_OPENED);
	assert_null(why);

	(void)snprintf(id.boot_id, sizeof id.boot_id, "boot-1");
	assert_int_equal(open_as(*state, &id, false, &why), STORE_SET_ASIDE);
	assert_non_null(strstr(why, "another boot"));
	free(why);
	assert_int_equal(open_as(*state, &id, true, NULL), STORE_SET_ASIDE);
	assert_false(exists(*state, "state.db.bad-1")); /* only the last two are kept */
	assert_true(exists(*state, "state.db.bad-2"));
	assert_true(exists(*state, "state.db.bad-3"));
	st = open_expect(*state, STORE_SET_ASIDE);
	assert_int_equal(containers(st), 0);
	store_close(st);
}

static void
test_open_copes_with_odd_files(void **state)
{
	AUTO_FREE char *path = path_in(*state, STORE_FILE);
	AUTO_FREE char *wal = path_in(*state, STORE_FILE "-wal");
	struct store_identity id = identity(1);
	int fd;

	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(open_as(*state, &id, false, NULL), STORE_SET_ASIDE);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_int_equal(open_as(*state, &id, false, NULL), STORE_SET_ASIDE);
	assert_int_equal(unlink(path), 0); /* the log is without its database now */
	assert_int_equal(open_as(*state, &id, false, NULL), STORE_CREATED);
	assert_int_equal(unlink(path), 0);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600); /* a making cut short */
	assert_true(fd >= 0);
	(void)close(fd);
	(void)unlink(wal);
	assert_int_equal(open_as(*state, &id, false, NULL), STORE_CREATED);
	assert_int_equal(open_as("/nonexistent/dir", &id, false, NULL), -ENOENT);
}

/* --- damage --------------------------------------------------------------- */

/* Whatever is in the file: it opens, and then it works. */
static void
expect_survival(const char *dir)
{
	struct store_identity id = identity(1);
	struct row_container row = {.id = "new", .state = TASK_CREATED};
	struct err err = ERR_INIT;
	struct store *st = NULL;
	int rc, again;

	rc = store_open(dir, &id, false, &st, NULL, &err);
	if (rc < 0)
		print_message("%s\n", err.text);
	assert_true(rc >= 0);
	(void)containers(st); /* -EUCLEAN is allowed, a crash is not */
	store_begin(st);
	store_put_container(st, &row);
	again = store_commit(st, STORE_MUST, &err);
	if (again != 0)
		print_message("%s\n", err.text);
	assert_int_equal(again, 0);
	assert_true(containers(st) >= 1);
	store_close(st);
}

static void
write_at(const char *path, off_t at, const void *p, size_t len)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, p, len, at), (ssize_t)len);
	(void)close(fd);
}

/* A database in one file, everything checkpointed; its bytes. */
static char *
make_image(const char *dir, size_t *len)
{
	AUTO_FREE char *path = path_in(dir, STORE_FILE);
	struct store *st = open_expect(dir, STORE_CREATED);
	char *image = NULL;

	fill(st, 40);
	store_close(st);
	assert_int_equal(file_read(AT_FDCWD, path, 1 << 20, &image, len, NULL), 0);
	return image;
}

static void
reset_to(const char *dir, const char *image, size_t len)
{
	AUTO_FREE char *path = path_in(dir, STORE_FILE);

	files_remove(dir);
	assert_int_equal(file_write(AT_FDCWD, path, image, len, 0600, NULL), 0);
}

static void
test_open_truncated_anywhere(void **state)
{
	AUTO_FREE char *path = path_in(*state, STORE_FILE);
	size_t len, at;
	AUTO_FREE char *image = make_image(*state, &len);

	for (at = 1; at < len; at += 509) {
		reset_to(*state, image, len);
		assert_int_equal(truncate(path, (off_t)at), 0);
		expect_survival(*state);
	}
	reset_to(*state, image, len); /* found when opened, not when it hurts */
	assert_int_equal(truncate(path, (off_t)len - 2048), 0);
	store_close(open_expect(*state, STORE_SET_ASIDE));
	for (at = 4096; at + 1024 <= len; at += 1024) {
		reset_to(*state, image, len);
		write_at(path, (off_t)at, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
		store_close(open_expect(*state, STORE_SET_ASIDE));
	}
}

static void
test_open_garbage_anywhere(void **state)
{
	AUTO_FREE char *path = path_in(*state, STORE_FILE);
	size_t len;
	AUTO_FREE char *image = make_image(*state, &len);
	unsigned char junk[64];
	unsigned i, j;

	srandom(42);
	for (i = 0; i < 300; i++) {
		for (j = 0; j < sizeof junk; j++)
			junk[j] = (unsigned char)random();
		reset_to(*state, image, len);
		write_at(path, (off_t)((size_t)random() % (len - sizeof junk)), junk,
		    1 + (size_t)random() % sizeof junk);
		expect_survival(*state);
	}
	for (i = 0; i < 20; i++) { /* nothing but garbage, of any length */
		size_t n = 1 + (size_t)random() % 8192;
		AUTO_FREE char *all = mem_zalloc(n);

		for (j = 0; j < n; j++)
			all[j] = (char)random();
		reset_to(*state, all, n);
		expect_survival(*state);
	}
}

static void
test_open_garbled_log_and_index(void **state)
{
	AUTO_FREE char *wal = path_in(*state, STORE_FILE "-wal");
	AUTO_FREE char *shm = path_in(*state, STORE_FILE "-shm");
	unsigned char junk[512];
	unsigned i, j;

	srandom(43);
	store_close(open_expect(*state, STORE_CREATED));
	for (i = 0; i < 100; i++) {
		for (j = 0; j < sizeof junk; j++)
			junk[j] = (unsigned char)random();
		expect_survival(*state);
		(void)truncate(wal, STORE_WAL_BYTES);
		write_at(wal, random() % (STORE_WAL_BYTES - 512), junk, sizeof junk);
		write_at(shm, random() % 4096, junk, sizeof junk);
	}
}

/* Damage found by a commit, in the middle of work. */
static void
test_open_damage_while_open(void **state)
{
	AUTO_FREE char *path = path_in(*state, STORE_FILE);
	struct store *st = open_expect(*state, STORE_CREATED);
	struct row_container row = {.id = "late", .state = TASK_CREATED};
	unsigned char junk[1024];
	struct err err = ERR_INIT;
	struct stat sb;
	uint64_t seq;
	off_t at;
	char *v;

	refill_when_replaced(st);
	fill(st, 40);
	seq = st->next_seq;
	assert_int_equal(sqlite3_wal_checkpoint_v2(
			     st->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL),
	    SQLITE_OK);
	(void)sqlite3_db_release_memory(st->db);
	assert_int_equal(stat(path, &sb), 0);
	memset(junk, 0x55, sizeof junk);
	for (at = 1024; at + 1024 <= sb.st_size;
	     at += 1024) /* all but the schema's first */
		write_at(path, at, junk, sizeof junk);
	store_begin(st);
	store_put_container(st, &row);
	assert_int_equal(store_commit(st, STORE_MUST, &err), 0);
	assert_int_equal(n_refills, 1);
	assert_true(containers(st) >= 1);
	assert_true(exists(*state, "state.db.bad-1"));
	v = store_get_meta(st, "inst");
	assert_int_equal(strlen(v), 32);
	free(v);
	fill(st, 1);
	assert_true(st->next_seq == seq + 1); /* numbers go on */
	store_close(st);
	store_close(open_expect(*state, STORE_OPENED));
}

static void
test_open_replacement_takes_over_what_it_can(void **state)
{
	struct store *st = open_expect(*state, STORE_CREATED);
	struct store_counts n;
	struct err err = ERR_INIT;
	uint64_t seq;
	void *p;
	size_t len;

	refill_when_replaced(st);
	fill(st, 40);
	st->damaged = true;
	store_set_meta(st, "ending", "1");
	assert_int_equal(n_refills, 1);
	assert_int_equal(store_count(st, &n, &err), 0);
	assert_int_equal(n.containers, 42);
	assert_int_equal(n.running, 40);
	assert_int_equal(n.events_pending, 40);
	assert_int_equal(store_get_answer(st, 40, &p, &len), 0);
	free(p);
	assert_int_equal(store_backlog(st), 0);
	for (seq = 1; seq <= 40; seq++)
		store_event_done(st, seq, "ttrpc");
	st->damaged = true; /* and again, when no event is left to tell the number */
	store_set_meta(st, "ending", "2");
	assert_int_equal(n_refills, 2);
	store_close(st);
	st = open_expect(*state, STORE_OPENED);
	assert_int_equal(st->next_seq, 41);
	store_close(st);
}

static int
keep_nothing(void *arg)
{
	return *(int *)arg;
}

/* What is being deleted just then, or was and could not be written, stays deleted. */
static void
test_open_replacement_brings_nothing_back(void **state)
{
	struct store *st = open_expect(*state, STORE_CREATED);
	struct err err = ERR_INIT;
	int full = 1;

	refill_when_replaced(st);
	store_begin(st);
	refill(st);
	assert_int_equal(store_commit(st, STORE_MUST, &err), 0);
	(void)sqlite3_commit_hook(st->db, keep_nothing, &full);
	store_delete_container(st, "known2");
	assert_int_equal(containers(st), 2);
	assert_true(store_backlog(st) > 0);
	n_refills = 0;
	st->damaged = true;
	store_begin(st);
	store_delete_container(st, "known1");
	assert_int_equal(store_commit(st, STORE_MUST, &err), 0);
	assert_int_equal(n_refills, 1);
	assert_int_equal(containers(st), 0);
	assert_int_equal(store_backlog(st), 0);
	store_close(st);
}

/* A value that SQLite takes for whole and we do not. */
static void
test_open_impossible_values(void **state)
{
	struct store *st = open_expect(*state, STORE_CREATED);
	struct err err = ERR_INIT;

	fill(st, 2);
	assert_int_equal(
	    db_exec(st, "UPDATE container SET state = 99 WHERE id = 'c1'", &err), 0);
	assert_int_equal(containers(st), -EUCLEAN);
	store_close(st);
}

/* --- versions ------------------------------------------------------------- */

static void
test_open_newer_file_is_left_alone(void **state)
{
	AUTO_FREE char *path = path_in(*state, STORE_FILE);
	struct store *st = open_expect(*state, STORE_CREATED);
	struct store_identity id = identity(1);
	struct err err = ERR_INIT;
	char *before = NULL, *after = NULL;
	size_t len, len2;

	fill(st, 3);
	assert_int_equal(db_exec(st, "PRAGMA user_version = 2", &err), 0);
	store_close(st);
	/* newer, but made so that we can work with it */
	st = open_expect(*state, STORE_OPENED);
	assert_int_equal(containers(st), 3);
	store_set_meta(st, "min_reader", "2");
	store_close(st);
	assert_int_equal(file_read(AT_FDCWD, path, 1 << 20, &before, &len, NULL), 0);
	assert_int_equal(store_open(*state, &id, false, &st, NULL, &err), -EPROTO);
	/* not even to begin anew: there is nothing wrong with it */
	assert_int_equal(store_open(*state, &id, true, &st, NULL, &err), -EPROTO);
	assert_int_equal(store_open_readonly(*state, &st, &err), -EPROTO);
	assert_int_equal(file_read(AT_FDCWD, path, 1 << 20, &after, &len2, NULL), 0);
	assert_int_equal(len, len2);
	assert_memory_equal(before, after, len);
	assert_false(exists(*state, "state.db.bad-1"));
	free(before);
	free(after);
	id.inst[0] ^= 1; /* a stranger's, however new, must not be in the way */
	assert_int_equal(open_as(*state, &id, false, NULL), STORE_SET_ASIDE);
}

static const struct migration two[] = {
    {.sql = NULL}, /* never run: the file has version 1 */
    {.sql = "ALTER TABLE container ADD COLUMN added INTEGER NOT NULL DEFAULT 5;"},
};

static struct store *
open_two(const char *dir, const struct store_identity *id)
{
	struct err err = ERR_INIT;
	struct store *st = NULL;
	int rc = store_open_with(dir, id, false, two, 2, &st, NULL, &err);

	if (rc < 0)
		print_message("%s\n", err.text);
	assert_int_equal(rc, STORE_OPENED);
	return st;
}

static void
test_open_migration_waits_for_the_word(void **state)
{
	struct store_identity id = identity(1);
	struct store *st = open_expect(*state, STORE_CREATED);
	struct row_container row = {.id = "while-migrating", .state = TASK_CREATED};
	struct err err = ERR_INIT;
	int64_t v;

	fill(st, 2);
	store_close(st);

	st = open_two(*state, &id); /* dies before the keeper's GO */
	assert_int_equal(containers(st), 2);
	store_begin(st);
	store_put_container(st, &row);
	assert_int_equal(store_commit(st, STORE_KEEP, &err), 1);
	store_begin(st);
	store_put_container(st, &row);
	assert_int_equal(store_commit(st, STORE_MUST, &err), -EBUSY);
	assert_int_equal(store_flush(st, &err), -EBUSY);
	store_close(st);
	st = open_expect(*state, STORE_OPENED); /* the old build goes on */
	assert_int_equal(db_int(st, "PRAGMA user_version", &v, &err), 0);
	assert_int_equal(v, 1);
	assert_int_equal(containers(st), 2);
	store_close(st);

	st = open_two(*state, &id); /* and now with it */
	store_begin(st);
	store_put_container(st, &row);
	assert_int_equal(store_commit(st, STORE_KEEP, &err), 1);
	assert_int_equal(store_commit_migration(st, &err), 0);
	assert_int_equal(store_backlog(st), 0);
	assert_int_equal(containers(st), 3);
	assert_int_equal(db_int(st, "SELECT sum(added) FROM container", &v, &err), 0);
	assert_int_equal(v, 15);
	store_close(st);
	st = open_two(*state, &id);
	assert_int_equal(db_int(st, "PRAGMA user_version", &v, &err), 0);
	assert_int_equal(v, 2);
	assert_int_equal(store_commit_migration(st, &err), 0); /* nothing to do */
	store_close(st);
}

/* SQLite may answer a COMMIT that does not fit by undoing all of it. */
static void
test_open_migration_undone_by_sqlite(void **state)
{
	struct store_identity id = identity(1);
	struct store *st = open_expect(*state, STORE_CREATED);
	struct row_container row = {.id = "later", .state = TASK_CREATED};
	struct err err = ERR_INIT;
	int64_t v;

	fill(st, 2);
	store_close(st);
	st = open_two(*state, &id);
	store_begin(st);
	store_put_container(st, &row);
	assert_int_equal(store_commit(st, STORE_KEEP, &err), 1);
	assert_int_equal(db_exec(st, "ROLLBACK", &err), 0);
	assert_int_equal(store_commit_migration(st, &err), 0);
	assert_int_equal(store_backlog(st), 0);
	assert_int_equal(db_int(st, "SELECT sum(added) FROM container", &v, &err), 0);
	assert_int_equal(v, 15);
	store_close(st);
	st = open_two(*state, &id);
	assert_int_equal(db_int(st, "PRAGMA user_version", &v, &err), 0);
	assert_int_equal(v, 2);
	store_close(st);
}

/* What is read next fails (as a bad disk does): the file stays as it was. */
static void
test_open_migration_not_readable(void **state)
{
	static const struct migration unreadable[] = {
	    {.sql = NULL},
	    {.sql = "DROP TABLE event;"
		    "CREATE VIEW event AS SELECT '' AS container, '' AS exec_id,"
		    " '' AS topic, '' AS type, zeroblob(2147483647) AS body"},
	};
	struct store_identity id = identity(1);
	struct store *st = open_expect(*state, STORE_CREATED);
	struct err err = ERR_INIT;

	fill(st, 2);
	store_close(st);
	assert_int_equal(
	    store_open_with(*state, &id, false, unreadable, 2, &st, NULL, &err), -EIO);
	st = open_expect(*state, STORE_OPENED);
	assert_int_equal(containers(st), 2);
	store_close(st);
}

/* --- readers -------------------------------------------------------------- */

static void
test_open_reader_sees_the_writer_at_work(void **state)
{
	struct store *st = open_expect(*state, STORE_CREATED), *ro = NULL;
	struct err err = ERR_INIT;
	int i;

	for (i = 1; i <= 50; i++) {
		fill(st, i);
		if (ro == NULL)
			assert_int_equal(store_open_readonly(*state, &ro, &err), 0);
		assert_int_equal(containers(ro), i);
	}
	assert_int_equal(db_exec(st, "BEGIN IMMEDIATE", &err), 0); /* in mid-write */
	assert_int_equal(containers(ro), 50);
	assert_int_equal(db_exec(st, "ROLLBACK", &err), 0);
	store_close(st);
	assert_int_equal(containers(ro), 50); /* and without it */
	store_close(ro);
	assert_int_equal(store_open_readonly(*state, &ro, &err), 0);
	assert_int_equal(containers(ro), 50);
	store_close(ro);
	assert_int_equal(store_open_readonly("/nonexistent", &ro, &err), -ENOENT);
	store_close(open_expect(*state, STORE_OPENED));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST_IN_DIR(test_open_makes_private_files),
	    TEST_IN_DIR(test_open_sets_a_stranger_aside),
	    TEST_IN_DIR(test_open_copes_with_odd_files),
	    TEST_IN_DIR(test_open_truncated_anywhere),
	    TEST_IN_DIR(test_open_garbage_anywhere),
	    TEST_IN_DIR(test_open_garbled_log_and_index),
	    TEST_IN_DIR(test_open_damage_while_open),
	    TEST_IN_DIR(test_open_replacement_takes_over_what_it_can),
	    TEST_IN_DIR(test_open_replacement_brings_nothing_back),
	    TEST_IN_DIR(test_open_impossible_values),
	    TEST_IN_DIR(test_open_newer_file_is_left_alone),
	    TEST_IN_DIR(test_open_migration_waits_for_the_word),
	    TEST_IN_DIR(test_open_migration_undone_by_sqlite),
	    TEST_IN_DIR(test_open_migration_not_readable),
	    TEST_IN_DIR(test_open_reader_sees_the_writer_at_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
