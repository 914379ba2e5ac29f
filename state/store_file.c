/*
 * The files around the database: setting one aside, the write-ahead log's
 * size, the ballast for a full disk, and beginning a new file while open.
 *
 * A reader who holds a transaction (somebody's sqlite3 at a prompt) keeps the
 * log from being reused: without a limit it grew by 77 MB in a second. Beyond
 * STORE_WAL_MAX_FRAMES the database is copied away from him: VACUUM INTO a new
 * file, which takes the name. He keeps his old one until he lets go. The copy
 * is complete before it gets the name state.db.next, and from then on it is
 * the database, so a crash anywhere in between loses nothing.
 */
#include "state/store_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/dir.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"

#define BAD_PREFIX STORE_FILE ".bad-"
#define BAD_KEPT   2

static const char *const suffixes[] = {"", "-wal", "-shm"};

/* --- setting aside -------------------------------------------------------- */

/* N of "state.db.bad-N" and its -wal and -shm; 0 for other names. */
static unsigned long
bad_number(const char *name)
{
	const char *digits = name + strlen(BAD_PREFIX);
	unsigned long n;
	char *end;

	if (strncmp(name, BAD_PREFIX, strlen(BAD_PREFIX)) != 0)
		return 0;
	if (*digits < '1' || *digits > '9')
		return 0;
	n = strtoul(digits, &end, 10);
	if (*end != '\0' && strcmp(end, "-wal") != 0 && strcmp(end, "-shm") != 0)
		return 0;
	return n;
}

/* Calls for each old file; removes those numbered below `from`. */
static unsigned long
bad_scan(int dirfd, unsigned long from)
{
	unsigned long max = 0, n;
	AUTO_CLOSEDIR DIR *dir = dir_open(dirfd, ".");
	struct dirent *de;

	while ((de = dir_next(dir)) != NULL) {
		n = bad_number(de->d_name);
		if (n > max)
			max = n;
		if (n > 0 && n < from && unlinkat(dirfd, de->d_name, 0) == -1)
			(void)unlinkat(dirfd, de->d_name, AT_REMOVEDIR);
	}
	return max;
}

int
files_set_aside(const char *dir, char **name, struct err *err)
{
	AUTO_CLOSE int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	unsigned long n;
	size_t i;

	if (dirfd == -1)
		return err_set(err, errno, "open '%s'", dir);
	n = bad_scan(dirfd, 0) + 1;
	for (i = 0; i < ARRAY_LEN(suffixes); i++) {
		AUTO_FREE char *from = mem_printf(STORE_FILE "%s", suffixes[i]);
		AUTO_FREE char *to = mem_printf(BAD_PREFIX "%lu%s", n, suffixes[i]);

		if (renameat(dirfd, from, dirfd, to) == -1 && errno != ENOENT)
			return err_set(
			    err, errno, "rename '%s/%s' to '%s'", dir, from, to);
	}
	if (n > BAD_KEPT)
		(void)bad_scan(dirfd, n - BAD_KEPT + 1);
	*name = mem_printf(BAD_PREFIX "%lu", n);
	return 0;
}

static void
file_remove(const char *dir, const char *name, const char *suffix)
{
	AUTO_FREE char *path = mem_printf("%s/%s%s", dir, name, suffix);

	(void)unlink(path);
}

void
files_remove(const char *dir)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(suffixes); i++)
		file_remove(dir, STORE_FILE, suffixes[i]);
}

int
db_file_create(const char *path, struct err *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd == -1)
		return err_set(err, errno, "create '%s'", path);
	(void)close(fd); /* nobody has it open yet: no lock is dropped by this */
	return 0;
}

/* --- room ----------------------------------------------------------------- */

/* Make the file at least that large, without holes. */
static bool
file_reserve(const char *path, off_t size)
{
	AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct stat sb;

	if (fd == -1 || fstat(fd, &sb) == -1)
		return false;
	if (sb.st_size >= size && (off_t)sb.st_blocks * 512 >= size)
		return true;
	return posix_fallocate(fd, 0, size) == 0;
}

void
ballast_make(struct store *st)
{
	AUTO_FREE char *path = db_path(st, STORE_FILE_BALLAST);

	st->ballast = file_reserve(path, STORE_BALLAST_BYTES);
	if (!st->ballast)
		(void)unlink(path); /* half a ballast would only take room */
}

bool
ballast_free(struct store *st)
{
	AUTO_FREE char *path = db_path(st, STORE_FILE_BALLAST);

	if (!st->ballast)
		return false;
	st->ballast = false;
	return unlink(path) == 0;
}

/* Bytes behind the last frame are zero or old: neither is taken for a frame. */
void
wal_grow(struct store *st)
{
	AUTO_FREE char *path = db_path(st, STORE_FILE "-wal");

	(void)file_reserve(path, STORE_WAL_BYTES);
}

/* --- the log -------------------------------------------------------------- */

static int
wal_on_commit(void *arg, sqlite3 *db, const char *name, int frames)
{
	struct store *st = arg;
	int copied;

	st->wal_frames = frames;
	if (frames < STORE_WAL_FRAMES)
		return SQLITE_OK;
	/* one long transaction is no reader: the next begins the log anew */
	if (sqlite3_wal_checkpoint_v2(
		db, name, SQLITE_CHECKPOINT_PASSIVE, &frames, &copied) == SQLITE_OK &&
	    copied == frames)
		st->wal_frames = 0;
	return SQLITE_OK;
}

void
wal_watch(struct store *st)
{
	st->wal_frames = 0;
	(void)sqlite3_wal_hook(st->db, wal_on_commit, st);
}

static int
copy_to(struct store *st, const char *path, struct err *err)
{
	sqlite3_stmt *q;
	int rc;

	(void)unlink(path);
	rc = db_file_create(path, err);
	if (rc < 0)
		return rc;
	rc = sqlite3_prepare_v2(st->db, "VACUUM INTO ?1", -1, &q, NULL);
	if (rc != SQLITE_OK)
		return db_error(st, rc, err, "copy the database");
	stmt_text(q, 1, path);
	rc = sqlite3_step(q);
	rc = rc == SQLITE_DONE ? 0 : db_error(st, rc, err, "copy the database");
	(void)sqlite3_finalize(q);
	return rc;
}

int
files_finish_switch(const char *dir, struct err *err)
{
	AUTO_FREE char *next = mem_printf("%s/" STORE_FILE_NEXT, dir);
	AUTO_FREE char *path = mem_printf("%s/" STORE_FILE, dir);

	file_remove(dir, STORE_FILE_TMP, "");
	if (access(next, F_OK) == -1)
		return 0;
	/* the old log must not be taken for the new file's */
	file_remove(dir, STORE_FILE, "-wal");
	file_remove(dir, STORE_FILE, "-shm");
	if (rename(next, path) == -1)
		return err_set(err, errno, "rename '%s'", next);
	return 0;
}

static int
db_switch(struct store *st, struct err *err)
{
	AUTO_FREE char *tmp = db_path(st, STORE_FILE_TMP);
	AUTO_FREE char *next = db_path(st, STORE_FILE_NEXT);
	int rc;

	/* who opens it when its log is gone and the new file not there yet sees it whole */
	(void)sqlite3_wal_checkpoint_v2(
	    st->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	rc = copy_to(st, tmp, err);
	if (rc == 0 && rename(tmp, next) == -1)
		rc = err_set(err, errno, "rename '%s'", tmp);
	if (rc < 0) {
		(void)unlink(tmp);
		return rc;
	}
	(void)sqlite3_db_config(st->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	db_disconnect(st);
	rc = files_finish_switch(st->dir, err);
	return rc < 0 ? rc : db_connect(st, err);
}

void
wal_check(struct store *st)
{
	struct err err = ERR_INIT;
	int frames = st->wal_frames;

	if (frames < STORE_WAL_MAX_FRAMES || frames < st->wal_retry || st->reading > 0)
		return;
	if (db_switch(st, &err) < 0) {
		log_warnx(
		    "store: a reader keeps the log at %d frames: %s", frames, err.text);
		st->wal_retry = frames * 2;
		return;
	}
	st->wal_retry = 0;
	log_warnx(
	    "store: a reader held the log at %d frames, went on in a new file", frames);
}

static int64_t
space_free_pages(struct store *st)
{
	sqlite3_stmt *q;
	int64_t n = 0;

	if (stmt_take(st, S_FREE_PAGES, &q, NULL) < 0)
		return 0;
	if (sqlite3_step(q) == SQLITE_ROW)
		n = sqlite3_column_int64(q, 0);
	stmt_give(st, S_FREE_PAGES, q);
	return n;
}

/*
 * Pages of rows that were deleted are used again, but the file keeps them, and on a
 * tmpfs that is memory. They are given back when they are many and most of the file: what
 * is copied then is less than what is won, and it takes as much writing again until the next
 * time. The look costs some µs: the number is in the page that each commit writes.
 */
void
space_check(struct store *st)
{
	struct err err = ERR_INIT;
	int64_t n_free, n;

	if (st->db == NULL || st->reading > 0)
		return;
	n_free = space_free_pages(st);
	if (n_free < STORE_FREE_PAGES || n_free < st->free_retry ||
	    db_int(st, "PRAGMA page_count", &n, NULL) < 0 || n_free <= n / 2)
		return;
	if (db_switch(st, &err) < 0) {
		log_warnx("store: %lld free KiB stay in the file: %s", (long long)n_free,
		    err.text);
		st->free_retry = n_free * 2;
		return;
	}
	st->free_retry = 0;
	log_debug("store: gave %lld free KiB back", (long long)n_free);
}

/* --- a damaged file, while open ------------------------------------------- */

/* All rows of a table that can be read. */
static void
salvage_table(struct store *st, sqlite3 *old, const char *table)
{
	AUTO_FREE char *select = mem_printf("SELECT * FROM %s", table);
	AUTO_FREE char *insert = NULL;
	sqlite3_stmt *from = NULL, *to = NULL;
	struct strv marks = {0};
	int i, n;

	if (sqlite3_prepare_v2(old, select, -1, &from, NULL) != SQLITE_OK)
		return;
	n = sqlite3_column_count(from);
	insert = mem_printf("INSERT OR IGNORE INTO %s VALUES(?1", table);
	for (i = 1; i < n; i++) {
		char *longer = mem_printf("%s,?%d", insert, i + 1);

		free(insert);
		insert = longer;
	}
	strv_addf(&marks, "%s)", insert);
	if (sqlite3_prepare_v2(st->db, marks.v[0], -1, &to, NULL) == SQLITE_OK) {
		while (sqlite3_step(from) == SQLITE_ROW) {
			for (i = 0; i < n; i++)
				(void)sqlite3_bind_value(
				    to, i + 1, sqlite3_column_value(from, i));
			(void)sqlite3_step(to);
			(void)sqlite3_reset(to);
		}
	}
	(void)sqlite3_finalize(from);
	(void)sqlite3_finalize(to);
	strv_fini(&marks);
}

/* Event numbers go on: a spawn of the keeper's may still bear an old one. */
static void
salvage_sequence(struct store *st)
{
	AUTO_FREE char *sql =
	    mem_printf("DELETE FROM sqlite_sequence;"
		       "INSERT INTO sqlite_sequence(name, seq) VALUES('event', %llu)",
		(unsigned long long)st->next_seq - 1);

	(void)db_exec(st, sql, NULL);
}

int
db_replace(struct store *st, struct err *err)
{
	static const char *const tables[] = {
	    "container", "process", "op", "event", "sent", "last_exit", "audit", "meta"};
	AUTO_FREE char *name = NULL;
	sqlite3 *old = st->db;
	size_t i;
	int rc;

	rc = files_set_aside(st->dir, &name, err);
	if (rc < 0)
		return rc;
	log_errx(
	    "store: the database is damaged, kept as %s, going on in a new one", name);
	stmt_forget_all(st);
	st->db = NULL;
	rc = db_create(st, err);
	if (rc == 0 && db_exec(st, "BEGIN", NULL) == 0) {
		for (i = 0; i < ARRAY_LEN(tables); i++)
			salvage_table(st, old, tables[i]);
		salvage_sequence(st);
		rc = db_exec(st, "COMMIT", err);
	}
	/* neither its log nor its shared memory have these names any more */
	(void)sqlite3_db_config(old, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	(void)sqlite3_close(old);
	st->damaged = false;
	st->replaced = true;
	if (rc == 0)
		rc = event_rows_load(st, err);
	if (rc == 0)
		rc = rings_load(st, err);
	return rc;
}
