/*
 * state/: a full disk, a writer killed at any moment, a reader who holds on,
 * another writer in the way.
 */
#include "store_helper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/clock.h"
#include "base/dir.h"
#include "base/fd.h"

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

	assert_int_equal(store_each_container(st, on_container, &n, NULL), 0);
	return n;
}

static void
put(struct store *st, int i, size_t pad)
{
	static char padding[4096];
	struct row_container row = {.state = TASK_RUNNING};
	char id[16];

	(void)snprintf(id, sizeof id, "c%d", i);
	memset(padding, 'p', sizeof padding);
	padding[pad < sizeof padding ? pad : sizeof padding - 1] = '\0';
	row.id = id;
	row.options = padding;
	store_put_container(st, &row);
}

/* --- the backlog, without a full disk -------------------------------------- */

/* SQLite says SQLITE_FULL beyond so many pages. */
static void
limit_pages(struct store *st, int more)
{
	AUTO_FREE char *sql = NULL;
	int64_t n;

	ballast_free(st);
	assert_int_equal(db_int(st, "PRAGMA page_count", &n, NULL), 0);
	sql =
	    mem_printf("PRAGMA max_page_count = %d", more < 0 ? 1000000 : (int)n + more);
	assert_int_equal(db_exec(st, sql, NULL), 0);
}

static void
test_disk_backlog_keeps_order(void **state)
{
	struct store *st = open_expect(*state, STORE_CREATED);
	struct err err = ERR_INIT;
	uint64_t seq;
	char *v;
	int i;

	limit_pages(st, 0);
	store_begin(st);
	for (i = 0; i < 20; i++)
		put(st, i, 1000);
	assert_int_equal(store_commit(st, STORE_MUST, &err), -ENOSPC);
	assert_int_equal(store_backlog(st), 0);
	assert_int_equal(containers(st), 0);

	store_begin(st);
	for (i = 0; i < 20; i++)
		put(st, i, 1000);
	store_set_meta(st, "k", "first");
	assert_int_equal(store_commit(st, STORE_KEEP, &err), 1);
	store_begin(st);
	store_delete_container(st, "c3");
	store_set_meta(st, "k", "second");
	seq = store_add_event(
	    st, &(struct row_event){.container = "c3", .class = EVENT_KEEP});
	assert_int_equal(store_commit(st, STORE_KEEP, &err), 1);
	assert_true(store_backlog(st) > 20);
	v = store_get_meta(st, "k"); /* what counts is what was said last */
	assert_string_equal(v, "second");
	free(v);
	store_begin(st); /* small, but order is order */
	store_set_meta(st, "small", "1");
	assert_int_equal(store_commit(st, STORE_MUST, &err), -ENOSPC);
	assert_int_equal(store_flush(st, &err), -ENOSPC);
	store_event_done(st, seq, "ttrpc"); /* never seen by the file, gone with it */

	limit_pages(st, -1);
	store_begin(st);
	put(st, 3, 10);
	assert_int_equal(
	    store_commit(st, STORE_MUST, &err), 0); /* takes the backlog along */
	assert_int_equal(store_backlog(st), 0);
	assert_int_equal(containers(st), 20);
	v = store_get_meta(st, "k");
	assert_string_equal(v, "second");
	free(v);
	assert_null(store_get_meta(st, "small"));
	store_close(st);
	st = open_expect(*state, STORE_OPENED);
	assert_int_equal(containers(st), 20);
	assert_int_equal(
	    store_add_event(st, &(struct row_event){.class = EVENT_KEEP}), seq + 1);
	store_close(st);
}

/* The same objects again and again: the backlog grows with them, not with time. */
static void
test_disk_backlog_stays_small(void **state)
{
	struct store *st = open_expect(*state, STORE_CREATED);
	struct row_process row = {.container = "c1",
	    .exec_id = "",
	    .state = TASK_STOPPED,
	    .pid = 77,
	    .exit_status = 4};
	uint32_t status;
	int64_t at;
	int i, pid;

	limit_pages(st, 0);
	store_begin(st);
	for (i = 0; i < 20; i++)
		put(st, i, 1000);
	assert_int_equal(store_commit(st, STORE_KEEP, NULL), 1);
	store_put_process(st, &row);
	store_delete_container(st, "c1"); /* its exit must survive compaction */
	row.exit_status = 9;
	row.state = TASK_RUNNING;
	for (i = 0; i < 20000; i++) {
		store_begin(st);
		put(st, i % 20, 100);
		store_put_process(st, &row);
		store_set_meta(st, "k", "v");
		store_audit(st, "c1", "", "what", "detail");
		store_event_attempted(st, 1);
		assert_int_equal(store_commit(st, STORE_KEEP, NULL), 1);
	}
	assert_true(st->backlog.len < 256 * 1024);
	limit_pages(st, -1);
	assert_int_equal(store_flush(st, NULL), 0);
	assert_int_equal(containers(st), 20);
	store_delete_process(st, "c1", "");
	store_delete_container(st, "c1");
	assert_int_equal(store_last_exit(st, "c1", &pid, &status, &at), 0);
	assert_int_equal(status, 4);
	store_close(st);
}

static void
test_disk_busy_is_kept_and_not_waited_for_again(void **state)
{
	AUTO_FREE char *path = path_in(*state, STORE_FILE);
	struct store *st = open_expect(*state, STORE_CREATED);
	struct err err = ERR_INIT;
	sqlite3 *other = NULL;
	boot_us_t t0, best = US_PER_S;
	int i;

	assert_int_equal(sqlite3_open(path, &other), SQLITE_OK);
	assert_int_equal(
	    sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	t0 = clock_boot_us();
	store_begin(st);
	put(st, 1, 1);
	assert_int_equal(store_commit(st, STORE_KEEP, &err), 1);
	assert_true(clock_boot_us() - t0 < 30 * US_PER_S);
	for (i = 0; i < 10; i++) { /* one of them will not have been disturbed */
		t0 = clock_boot_us();
		assert_int_equal(store_flush(st, &err), -EBUSY);
		best = clock_boot_us() - t0 < best ? clock_boot_us() - t0 : best;
	}
	assert_true(best < 100 * US_PER_MS);
	assert_int_equal(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(store_flush(st, &err), 0);
	assert_int_equal(containers(st), 1);
	(void)sqlite3_close(other);
	store_close(st);
}

/* --- a full disk ---------------------------------------------------------- */

/* Take all that is left. Returns the file's descriptor. */
static int
fill_disk(const char *dir)
{
	static const char block[4096];
	AUTO_FREE char *path = path_in(dir, "filler");
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_APPEND, 0600);

	assert_true(fd >= 0);
	while (write(fd, block, sizeof block) > 0)
		;
	assert_int_equal(errno, ENOSPC);
	return fd;
}

static void
full_disk(const char *dir)
{
	struct store *st = open_expect(dir, STORE_CREATED), *ro = NULL;
	struct err err = ERR_INIT;
	int fd, i, kept = -1, rc;

	fd = fill_disk(dir);
	for (i = 0; i < 400 && kept == -1; i++) { /* log and ballast go first */
		store_begin(st);
		put(st, i, 1000);
		rc = store_commit(st, STORE_KEEP, &err);
		assert_in_range(rc, 0, 1);
		if (rc == 1)
			kept = i;
	}
	assert_true(kept > 40);
	assert_false(st->ballast);
	for (; i < 600; i++) {
		store_begin(st);
		put(st, i, 1000);
		assert_int_equal(store_commit(st, STORE_KEEP, &err), 1);
	}
	store_begin(st);
	put(st, 9999, 1000);
	assert_int_equal(store_commit(st, STORE_MUST, &err), -ENOSPC);
	assert_int_equal(store_open_readonly(dir, &ro, &err), 0); /* still readable */
	assert_int_equal(containers(ro), kept);
	store_close(ro);
	assert_int_equal(ftruncate(fd, 0), 0);
	(void)close(fd);
	assert_int_equal(store_flush(st, &err), 0);
	assert_int_equal(containers(st), 600);
	assert_true(st->ballast);
	store_close(st);

	st = open_expect(dir, STORE_OPENED);
	assert_int_equal(containers(st), 600);
	store_close(st);
	fd = fill_disk(dir); /* full at the start of a worker */
	assert_int_equal(store_open_readonly(dir, &ro, &err), 0);
	assert_int_equal(containers(ro), 600);
	store_close(ro);
	st = open_expect(dir, STORE_OPENED);
	assert_int_equal(containers(st), 600);
	store_close(st);
	(void)close(fd);
}

static void
test_disk_full(void **state)
{
	if (geteuid() != 0 ||
	    mount("none", *state, "tmpfs", 0, "size=2m,mode=700") == -1) {
		print_message("no tmpfs to fill here: %s\n", strerror(errno));
		skip();
	}
	full_disk(*state);
	assert_int_equal(umount2(*state, MNT_DETACH), 0);
}

/* --- killed at any moment ------------------------------------------------- */

/* Commit pairs for ever, telling of each commit when it is done. */
static void
writer(const char *dir, int out, uint64_t from)
{
	struct store_identity id = identity(1);
	struct store *st = NULL;
	struct err err = ERR_INIT;
	char text[32];
	uint64_t n;

	if (store_open(dir, &id, false, &st, NULL, &err) < 0)
		_exit(3);
	for (n = from;; n++) {
		(void)snprintf(text, sizeof text, "%llu", (unsigned long long)n);
		store_begin(st);
		store_set_meta(st, "a", text);
		put(st, (int)(n % 50), n * 37 % 3000);
		store_put_answer(st, n, text, strlen(text));
		if (n > 20)
			store_delete_answer(st, n - 20);
		store_set_meta(st, "b", text);
		if (store_commit(st, STORE_MUST, &err) != 0)
			_exit(4);
		if (write(out, &n, sizeof n) != (ssize_t)sizeof n)
			_exit(5);
	}
}

static uint64_t
meta_number(struct store *st, const char *key)
{
	AUTO_FREE char *v = store_get_meta(st, key);

	return v == NULL ? 0 : strtoull(v, NULL, 10);
}

static void
test_disk_killed_writer_loses_nothing(void **state)
{
	const struct timespec most = {.tv_nsec = 3000000};
	uint64_t told = 0, n;
	struct store *st;
	int i, status, fds[2];
	pid_t pid;
	void *p;
	size_t len;

	store_close(open_expect(*state, STORE_CREATED));
	srandom(44);
	for (i = 0; i < 100; i++) {
		struct timespec ts = {.tv_nsec = random() % most.tv_nsec};

		assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			writer(*state, fds[1], told + 1);
		(void)close(fds[1]);
		if (read(fds[0], &n, sizeof n) != (ssize_t)sizeof n) /* it works */
			fail_msg("the writer does not write");
		told = n;
		(void)nanosleep(&ts, NULL); /* a random moment is the point here */
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		while (read(fds[0], &n, sizeof n) == (ssize_t)sizeof n)
			told = n;
		(void)close(fds[0]);

		st = open_expect(*state, STORE_OPENED);
		n = meta_number(st, "a");
		assert_true(n >= told && n <= told + 1);
		assert_true(meta_number(st, "b") == n); /* not torn */
		assert_int_equal(store_get_answer(st, n, &p, &len), 0);
		free(p);
		told = n;
		store_close(st);
	}
	print_message("%llu commits\n", (unsigned long long)told);
}

/* --- a reader who holds on ------------------------------------------------ */

static void
test_disk_reader_does_not_grow_the_log(void **state)
{
	AUTO_FREE char *path = path_in(*state, STORE_FILE);
	AUTO_FREE char *wal = path_in(*state, STORE_FILE "-wal");
	struct store *st = open_expect(*state, STORE_CREATED);
	sqlite3 *human = NULL;
	sqlite3_stmt *q = NULL;
	struct stat sb;
	off_t max = 0;
	int i;

	put(st, 0, 10);
	assert_int_equal(sqlite3_open(path, &human), SQLITE_OK);
	assert_int_equal(sqlite3_exec(human, "BEGIN", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(
	    sqlite3_prepare_v2(human, "SELECT count(*) FROM container", -1, &q, NULL),
	    SQLITE_OK);
	assert_int_equal(sqlite3_step(q), SQLITE_ROW);
	for (i = 0; i < 20000; i++) {
		store_begin(st);
		put(st, i % 30, 500);
		store_put_answer(st, (uint64_t)i + 1, "answer", 6);
		store_delete_answer(st, (uint64_t)i);
		commit_ok(st);
		if (i % 100 == 0 && stat(wal, &sb) == 0 && sb.st_size > max)
			max = sb.st_size;
	}
	assert_true(max < 4 * 1024 * 1024);
	assert_true(max > 1024 * 1024); /* else the reader held nothing */
	assert_int_equal(sqlite3_reset(q), SQLITE_OK);
	assert_int_equal(sqlite3_step(q), SQLITE_ROW); /* he still sees his own time */
	assert_int_equal(sqlite3_column_int(q, 0), 1);
	assert_int_equal(containers(st), 30);
	assert_int_equal(meta_number(st, "min_reader"), 1);
	(void)sqlite3_finalize(q);
	(void)sqlite3_close(human);
	for (i = 0; i < 200; i++)
		put(st, i % 30, 500);
	assert_int_equal(stat(wal, &sb), 0);
	assert_true(sb.st_size < 256 * 1024); /* small again */
	assert_int_equal(stat(path, &sb), 0);
	assert_int_equal(sb.st_mode & 0777, 0600);
	store_close(st);
	st = open_expect(*state, STORE_OPENED);
	assert_int_equal(containers(st), 30);
	store_close(st);
}

static void
copy_file(const char *dir, const char *from, const char *to)
{
	AUTO_FREE char *a = path_in(dir, from);
	AUTO_FREE char *b = path_in(dir, to);
	AUTO_FREE char *data = NULL;
	size_t len;

	assert_int_equal(file_read(AT_FDCWD, a, 1 << 22, &data, &len, NULL), 0);
	assert_int_equal(file_write(AT_FDCWD, b, data, len, 0600, NULL), 0);
}

/* Death between the copy's completion and its new name. */
static void
test_disk_switch_cut_short(void **state)
{
	struct store *st = open_expect(*state, STORE_CREATED);
	AUTO_FREE char *tmp = path_in(*state, STORE_FILE_TMP);

	put(st, 1, 10);
	store_close(st);
	copy_file(*state, STORE_FILE, STORE_FILE_NEXT); /* complete */
	copy_file(*state, STORE_FILE, STORE_FILE_TMP);
	assert_int_equal(truncate(tmp, 700), 0); /* half of one: is not looked at */
	st = open_expect(*state, STORE_OPENED);
	assert_int_equal(containers(st), 1);
	assert_int_equal(access(tmp, F_OK), -1);
	store_close(st);
}

/* --- what was deleted ------------------------------------------------------------------- */

#define SPEC_BYTES (4u * 1024u * 1024u)

static off_t
db_bytes(const char *dir)
{
	AUTO_FREE char *path = path_in(dir, STORE_FILE);
	AUTO_FREE char *log = path_in(dir, STORE_FILE "-wal");
	struct stat db, wal;

	assert_int_equal(stat(path, &db), 0);
	assert_int_equal(stat(log, &wal), 0);
	return db.st_size + wal.st_size;
}

static void
put_spec(struct store *st, int i, char *spec)
{
	char id[16];
	const struct row_process row = {.container = "c1",
	    .exec_id = id,
	    .spec = spec,
	    .spec_len = spec == NULL ? 0 : SPEC_BYTES,
	    .state = TASK_CREATED};

	(void)snprintf(id, sizeof id, "e%d", i);
	store_put_process(st, &row);
}

static void
on_process(const struct row_process *row, void *arg)
{
	*(size_t *)arg += row->spec_len;
}

/* 20 MB for a moment are not 20 MB for the pod's life. */
static void
test_disk_gives_back_what_was_deleted(void **state)
{
	struct store *st = open_expect(*state, STORE_CREATED), *reader = NULL;
	AUTO_FREE char *spec = mem_zalloc(SPEC_BYTES);
	size_t len = 0;
	int i;

	for (i = 0; i < 20; i++)
		put(st, i, 1000);
	for (i = 0; i < 5; i++)
		put_spec(st, i, spec);
	assert_true(db_bytes(*state) > 5 * (off_t)SPEC_BYTES);
	assert_int_equal(store_open_readonly(*state, &reader, NULL), 0);
	/* less than half of it: not worth a copy */
	put_spec(st, 0, NULL);
	put_spec(st, 1, NULL);
	assert_true(db_bytes(*state) > 5 * (off_t)SPEC_BYTES);
	put_spec(st, 2, NULL);
	assert_true(db_bytes(*state) < 3 * (off_t)SPEC_BYTES);
	put_spec(st, 3, NULL);
	put_spec(st, 4, NULL);
	assert_true(db_bytes(*state) < 1024 * 1024);
	/* all else is there, for us, for who reads meanwhile, and for the next */
	assert_int_equal(containers(st), 20);
	assert_int_equal(containers(reader), 20);
	store_close(reader);
	put(st, 20, 10);
	store_close(st);
	st = open_expect(*state, STORE_OPENED);
	assert_int_equal(containers(st), 21);
	assert_int_equal(store_each_process(st, NULL, on_process, &len, NULL), 0);
	assert_int_equal(len, 0);
	store_close(st);
}

/* For a moment the old file has no log any more, and the new one is not there yet. */
static void
test_disk_old_file_is_whole_without_its_log(void **state)
{
	struct store *st = open_expect(*state, STORE_CREATED), *old = NULL;
	AUTO_FREE char *spec = mem_zalloc(SPEC_BYTES), *bytes = NULL;
	AUTO_FREE char *path = path_in(*state, STORE_FILE);
	AUTO_FREE char *old_dir = path_in(*state, "old");
	AUTO_FREE char *old_path = path_in(old_dir, STORE_FILE);
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st_old, st_now;
	size_t len;
	int n;

	put_spec(st, 0, spec);
	assert_int_equal(fstat(fd, &st_old), 0);
	assert_int_equal(stat(path, &st_now), 0);
	assert_int_equal(
	    st_old.st_ino, st_now.st_ino); /* a long transaction is no reader */
	/* some rows are in the log alone, and the last transaction is no long one */
	for (n = 0; n < 20 || st->wal_frames == 0 || st->wal_frames > 8; n++)
		put(st, n, 10);
	put_spec(st, 0, NULL);
	assert_true(db_bytes(*state) < 1024 * 1024); /* it is another file now */
	assert_int_equal(fd_read_all(fd, 16 << 20, &bytes, &len, NULL), 0);
	assert_true(len > SPEC_BYTES);
	assert_int_equal(dir_make(old_dir, 0700, NULL), 0);
	assert_int_equal(file_write(AT_FDCWD, old_path, bytes, len, 0600, NULL), 0);
	assert_int_equal(store_open_readonly(old_dir, &old, NULL), 0);
	assert_int_equal(containers(old), n);
	store_close(old);
	store_close(st);
	assert_int_equal(tree_remove(AT_FDCWD, old_dir), 0);
}

/* No room for the copy: the file stays as it is, and is not copied at each commit. */
static void
test_disk_keeps_what_it_cannot_copy(void **state)
{
	struct store *st = open_expect(*state, STORE_CREATED);
	AUTO_FREE char *spec = mem_zalloc(SPEC_BYTES);
	AUTO_FREE char *tmp = path_in(*state, STORE_FILE_TMP);
	int i;

	put_spec(st, 0, spec);
	/* a directory stands in its way */
	assert_int_equal(dir_make(tmp, 0700, NULL), 0);
	put_spec(st, 0, NULL);
	assert_true(db_bytes(*state) > (off_t)SPEC_BYTES);
	assert_true(st->free_retry > (int64_t)SPEC_BYTES / 1024);
	assert_int_equal(rmdir(tmp), 0);
	for (i = 0; i < 100; i++)
		put(st, i, 1000);
	assert_true(db_bytes(*state) > (off_t)SPEC_BYTES);
	store_close(st);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST_IN_DIR(test_disk_backlog_keeps_order),
	    TEST_IN_DIR(test_disk_backlog_stays_small),
	    TEST_IN_DIR(test_disk_busy_is_kept_and_not_waited_for_again),
	    TEST_IN_DIR(test_disk_full),
	    TEST_IN_DIR(test_disk_killed_writer_loses_nothing),
	    TEST_IN_DIR(test_disk_reader_does_not_grow_the_log),
	    TEST_IN_DIR(test_disk_switch_cut_short),
	    TEST_IN_DIR(test_disk_gives_back_what_was_deleted),
	    TEST_IN_DIR(test_disk_old_file_is_whole_without_its_log),
	    TEST_IN_DIR(test_disk_keeps_what_it_cannot_copy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
