/*
 * Opening and closing the pod's database: whose it is, whether it is whole,
 * and the settings that keep it small (measured: a cache of 32 KiB, no
 * lookaside, a log of 64 KiB; on a tmpfs every byte of it is memory).
 *
 * synchronous=OFF is right: what write(2) took survives our death, and nobody
 * survives the machine's. Locking is never exclusive, for people read the
 * file with sqlite3 while it is in use. The -wal and -shm files stay when the
 * last one closes: without them a full disk makes even reading fail.
 */
#include "state/store_private.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"

/* Stored numbers never change their meaning. */
_Static_assert(TASK_CREATING == 1 && TASK_CREATED == 2 && TASK_RUNNING == 3 &&
	TASK_STOPPED == 4 && TASK_PAUSED == 5 && TASK_PAUSING == 6 && TASK_DELETING == 7,
    "stored task states");
_Static_assert(EVENT_KEEP == 1 && EVENT_EXEC == 2, "stored event classes");

const char *
task_state_name(enum task_state s)
{
	switch (s) {
	case TASK_CREATING: return "creating";
	case TASK_CREATED: return "created";
	case TASK_RUNNING: return "running";
	case TASK_STOPPED: return "stopped";
	case TASK_PAUSED: return "paused";
	case TASK_PAUSING: return "pausing";
	case TASK_DELETING: return "deleting";
	}
	return "unknown";
}

/* Once per process. A library that somebody else has begun to use stays as it is. */
static void
sqlite_configure(void)
{
	static bool done;

	if (done)
		return;
	done = true;
	(void)sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	(void)sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0);
	(void)sqlite3_config(SQLITE_CONFIG_STMTJRNL_SPILL, -1);
	(void)sqlite3_initialize();
}

char *
db_path(const struct store *st, const char *name)
{
	return mem_printf("%s/%s", st->dir, name);
}

int
db_exec(struct store *st, const char *sql, struct err *err)
{
	int rc = sqlite3_exec(st->db, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : db_error(st, rc, err, "run SQL");
}

int
db_int(struct store *st, const char *sql, int64_t *out, struct err *err)
{
	sqlite3_stmt *q;
	int rc;

	rc = sqlite3_prepare_v2(st->db, sql, -1, &q, NULL);
	if (rc != SQLITE_OK)
		return db_error(st, rc, err, "read the database");
	rc = sqlite3_step(q);
	if (rc == SQLITE_ROW)
		*out = sqlite3_column_int64(q, 0);
	if (rc == SQLITE_DONE)
		rc = SQLITE_CORRUPT; /* a row that must be there is not */
	rc = rc == SQLITE_ROW ? 0 : db_error(st, rc, err, "read the database");
	(void)sqlite3_finalize(q);
	return rc;
}

/* --- connection ----------------------------------------------------------- */

int
db_connect(struct store *st, struct err *err)
{
	static const char settings[] = "PRAGMA cache_size = -32;"
				       "PRAGMA mmap_size = 0;"
				       "PRAGMA temp_store = 2;"
				       "PRAGMA cell_size_check = 1;"
				       "PRAGMA trusted_schema = 0;";
	static const char write_settings[] = "PRAGMA page_size = 1024;"
					     "PRAGMA journal_mode = WAL;"
					     "PRAGMA synchronous = 0;"
					     "PRAGMA secure_delete = FAST;"
					     "PRAGMA journal_size_limit = 65536;";
	AUTO_FREE char *path = db_path(st, STORE_FILE);
	int rc, on = 1;

	rc = sqlite3_open_v2(path, &st->db,
	    (st->readonly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE) |
		SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
	    NULL);
	if (rc != SQLITE_OK) {
		rc = db_error(st, rc, err, "open the database");
		db_disconnect(st);
		return rc;
	}
	(void)sqlite3_db_config(st->db, SQLITE_DBCONFIG_LOOKASIDE, NULL, 0, 0);
	(void)sqlite3_db_config(st->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	(void)sqlite3_file_control(st->db, "main", SQLITE_FCNTL_PERSIST_WAL, &on);
	(void)sqlite3_busy_timeout(
	    st->db, st->readonly ? STORE_READ_BUSY_MS : STORE_BUSY_MS);
	rc = db_exec(st, settings, err);
	if (rc == 0 && !st->readonly)
		rc = db_exec(st, write_settings, err);
	if (rc == 0 && !st->readonly) {
		wal_watch(st);
		wal_grow(st);
	}
	if (rc < 0)
		db_disconnect(st);
	return rc;
}

int
db_reconnect(struct store *st, struct err *err)
{
	AUTO_FREE char *path = db_path(st, STORE_FILE);
	int rc;

	rc = files_finish_switch(st->dir, err);
	if (rc < 0 || access(path, F_OK) == 0 || st->readonly)
		return rc < 0 ? rc : db_connect(st, err);
	st->replaced = true; /* a replacement that did not get as far as its file */
	return db_create(st, err);
}

void
db_disconnect(struct store *st)
{
	stmt_forget_all(st);
	(void)sqlite3_close(st->db);
	st->db = NULL;
	st->migrating = false; /* undone with its connection */
}

/* --- identity ------------------------------------------------------------- */

static void
inst_text(const struct store_identity *id, char out[33])
{
	size_t i;

	for (i = 0; i < sizeof id->inst; i++)
		(void)snprintf(out + 2 * i, 3, "%02x", id->inst[i]);
}

static int
meta_write(struct store *st, const char *key, const char *value, struct err *err)
{
	sqlite3_stmt *q;
	int rc = stmt_take(st, S_SET_META, &q, err);

	if (rc < 0)
		return rc;
	stmt_text(q, 1, key);
	stmt_text(q, 2, value);
	return stmt_run(st, S_SET_META, q, err);
}

static int
identity_write(struct store *st, struct err *err)
{
	char inst[33], number[24], reader[24];
	const char *pairs[][2] = {
	    {"inst", inst},
	    {"boot_id", st->id.boot_id},
	    {"ns", st->id.ns},
	    {"group", st->id.group},
	    {"build", st->id.build},
	    {"created_at", number},
	    {"min_reader", reader},
	};
	size_t i;
	int rc;

	inst_text(&st->id, inst);
	(void)snprintf(number, sizeof number, "%lld", (long long)clock_real_ns());
	(void)snprintf(reader, sizeof reader, "%u", STORE_SCHEMA_MIN_READER);
	for (i = 0; i < ARRAY_LEN(pairs); i++) {
		rc = meta_write(st, pairs[i][0], pairs[i][1], err);
		if (rc < 0)
			return rc;
	}
	return st->id.first ? 0 : meta_write(st, STORE_PARTIAL, "1", err);
}

int
db_create(struct store *st, struct err *err)
{
	AUTO_FREE char *path = db_path(st, STORE_FILE);
	int rc;

	rc = db_file_create(path, err);
	if (rc < 0)
		return rc;
	rc = db_connect(st, err);
	if (rc == 0)
		rc = db_exec(st, "BEGIN IMMEDIATE", err);
	if (rc == 0)
		rc = migrations_run(st, 0, err);
	if (rc == 0)
		rc = identity_write(st, err);
	if (rc == 0)
		rc = db_exec(st, "COMMIT", err);
	if (rc < 0) {
		db_disconnect(st);
		files_remove(st->dir); /* half made: the next try begins anew */
		return err_wrap(err, rc, "create '%s'", path);
	}
	return 0;
}

/* -ESTALE: of another keeper or another boot; *why says which. */
static int
identity_check(struct store *st, char **why, struct err *err)
{
	AUTO_FREE char *inst = NULL;
	AUTO_FREE char *boot = NULL;
	char own[33];
	int rc;

	inst_text(&st->id, own);
	rc = meta_read(st, "inst", &inst, err);
	if (rc == 0)
		rc = meta_read(st, "boot_id", &boot, err);
	if (rc < 0)
		return rc;
	if (inst == NULL || boot == NULL)
		return err_setx(err, EUCLEAN, "the database does not say whose it is");
	if (strcmp(boot, st->id.boot_id) != 0) {
		*why = mem_printf("of another boot (%s)", boot);
		return -ESTALE;
	}
	if (strcmp(inst, own) != 0) {
		*why = mem_printf("of another keeper (%s)", inst);
		return -ESTALE;
	}
	return 0;
}

/* -ENODATA: its making was cut short. */
static int
version_read(struct store *st, unsigned *version, struct err *err)
{
	int64_t have, tables;
	int rc;

	rc = db_int(st, "PRAGMA user_version", &have, err);
	if (rc < 0)
		return rc;
	if (have == 0 &&
	    db_int(st, "SELECT count(*) FROM sqlite_schema", &tables, NULL) == 0 &&
	    tables == 0)
		return err_setx(err, ENODATA, "the database is empty");
	if (have <= 0 || have > 1000000)
		return err_setx(
		    err, EUCLEAN, "version %lld is none of ours", (long long)have);
	*version = (unsigned)have;
	return 0;
}

/* -EPROTO: only a newer podshim may read this. */
static int
reader_check(struct store *st, unsigned version, struct err *err)
{
	AUTO_FREE char *min = NULL;
	int rc;

	if (version <= st->n_migrations)
		return 0;
	rc = meta_read(st, "min_reader", &min, err);
	if (rc < 0)
		return rc;
	if (min == NULL)
		return err_setx(err, EUCLEAN, "no min_reader");
	if (strtoul(min, NULL, 10) > st->n_migrations)
		return err_setx(err, EPROTO,
		    "the database has version %u and wants a reader of %s; this is %u",
		    version, min, st->n_migrations);
	return 0;
}

/* --- opening -------------------------------------------------------------- */

static int
integrity_check_once(struct store *st, struct err *err)
{
	sqlite3_stmt *q;
	int rc;

	rc = sqlite3_prepare_v2(st->db, "PRAGMA quick_check(1)", -1, &q, NULL);
	if (rc != SQLITE_OK)
		return db_error(st, rc, err, "check the database");
	rc = sqlite3_step(q);
	if (rc == SQLITE_ROW && strcmp(col_text(q, 0), "ok") == 0)
		rc = 0;
	else if (rc == SQLITE_ROW)
		rc = err_setx(err, EUCLEAN, "%s", col_text(q, 0));
	else
		rc = db_error(st, rc, err, "check the database");
	(void)sqlite3_finalize(q);
	return rc;
}

/*
 * Every page is read: a few hundred µs for a pod's usual 60 KiB. To the check
 * a read that failed is damage too, so it is asked twice.
 */
static int
integrity_check(struct store *st, struct err *err)
{
	int rc = integrity_check_once(st, err);

	return rc == -EUCLEAN ? integrity_check_once(st, err) : rc;
}

/* Connect, and see whether the file is this keeper's and not too new for us. */
static int
open_own(struct store *st, unsigned *version, char **why, struct err *err)
{
	int rc = db_connect(st, err);

	if (rc == 0)
		rc = version_read(st, version, err);
	if (rc == 0) /* first: a stranger's file is set aside, however new */
		rc = identity_check(st, why, err);
	if (rc == 0)
		rc = reader_check(st, *version, err);
	return rc;
}

/* To begin anew is a cure for what we cannot digest, not for what is too new for us. */
static int
open_may_set_aside(struct store *st, struct err *err)
{
	AUTO_FREE char *why = NULL;
	unsigned version;
	int rc = open_own(st, &version, &why, err);

	db_disconnect(st);
	st->damaged = false;
	return rc == -EPROTO ? rc : 0;
}

/* Open until store_commit_migration(). */
static int
migration_begin(struct store *st, unsigned version, struct err *err)
{
	int rc = db_exec(st, "BEGIN IMMEDIATE", err);

	return rc < 0 ? rc : migrations_run(st, version, err);
}

/* A file that exists. -ESTALE and -EUCLEAN: set it aside, *why says why. */
static int
open_existing(struct store *st, char **why, struct err *err)
{
	unsigned version;
	int rc = open_own(st, &version, why, err);

	if (rc == 0)
		rc = integrity_check(st, err);
	if (rc == 0 && version < st->n_migrations) {
		rc = migration_begin(st, version, err);
		st->migrating = rc == 0;
	}
	if (rc == 0)
		rc = event_rows_load(st, err);
	if (rc == 0)
		rc = rings_load(st, err);
	if (rc == -EUCLEAN || st->damaged) {
		rc = -EUCLEAN;
		if (*why == NULL)
			*why = mem_printf("damaged: %s", err->text);
	}
	if (rc < 0)
		db_disconnect(st);
	st->damaged = false;
	return rc;
}

static int
open_new(struct store *st, struct err *err)
{
	int rc = db_create(st, err);

	if (rc == 0)
		rc = event_rows_load(st, err);
	if (rc == 0)
		rc = rings_load(st, err);
	return rc;
}

static int
set_aside(struct store *st, char **why, struct err *err)
{
	AUTO_FREE char *name = NULL;
	AUTO_FREE char *reason = *why;
	int rc;

	rc = files_set_aside(st->dir, &name, err);
	*why = rc < 0 ? NULL : mem_printf("%s; kept as %s", reason, name);
	return rc;
}

static int
open_for_writing(struct store *st, bool safe, char **why, struct err *err)
{
	AUTO_FREE char *path = db_path(st, STORE_FILE);
	struct stat sb;
	int rc;

	rc = files_finish_switch(st->dir, err);
	if (rc < 0)
		return rc;
	if (lstat(path, &sb) == -1) {
		if (errno != ENOENT)
			return err_set(err, errno, "stat '%s'", path);
		files_remove(st->dir); /* a log without its database */
		rc = open_new(st, err);
		return rc < 0 ? rc : STORE_CREATED;
	}
	if (!S_ISREG(sb.st_mode)) {
		*why = mem_strdup("not a regular file");
	} else if (safe) {
		rc = open_may_set_aside(st, err);
		if (rc < 0)
			return rc;
		*why = mem_strdup("asked to begin anew");
	} else {
		rc = open_existing(st, why, err);
		if (rc == 0)
			return STORE_OPENED;
		if (rc == -ENODATA) {
			files_remove(st->dir);
			rc = open_new(st, err);
			return rc < 0 ? rc : STORE_CREATED;
		}
		if (rc != -ESTALE && rc != -EUCLEAN)
			return rc;
	}
	rc = set_aside(st, why, err);
	if (rc == 0)
		rc = open_new(st, err);
	/* numbers that the lost file cannot have reached */
	if (rc == 0 && st->next_seq < clock_boot_us() / 1000)
		st->next_seq = clock_boot_us() / 1000;
	return rc < 0 ? rc : STORE_SET_ASIDE;
}

static struct store *
store_new(const char *dir)
{
	struct store *st = mem_zalloc(sizeof *st);

	st->dir = mem_strdup(dir);
	st->migrations = store_migrations;
	st->n_migrations = STORE_SCHEMA_VERSION;
	st->compact_at = STORE_BACKLOG_COMPACT;
	sqlite_configure();
	return st;
}

int
store_open_with(const char *dir, const struct store_identity *id, bool safe,
    const struct migration *migrations, unsigned n_migrations, struct store **out,
    char **why, struct err *err)
{
	struct store *st = store_new(dir);
	struct err own = ERR_INIT;
	AUTO_FREE char *reason = NULL;
	AUTO_FREE char *build = NULL;
	int rc;

	st->migrations = migrations;
	st->n_migrations = n_migrations;
	st->id = *id;
	st->id.ns = mem_strdup(id->ns == NULL ? "" : id->ns);
	st->id.group = mem_strdup(id->group == NULL ? "" : id->group);
	st->id.build = mem_strdup(id->build == NULL ? "" : id->build);
	rc = open_for_writing(st, safe, &reason, &own);
	if (rc < 0) {
		if (err != NULL)
			*err = own;
		store_close(st);
		return rc;
	}
	st->id.first = false; /* a file that replaces this one lacks what this one has */
	ballast_make(st);
	if (meta_read(st, "build", &build, NULL) == 0 &&
	    (build == NULL || strcmp(build, st->id.build) != 0))
		store_set_meta(st, "build", st->id.build);
	if (why != NULL)
		*why = steal_ptr(&reason);
	*out = st;
	return rc;
}

int
store_open(const char *dir, const struct store_identity *id, bool safe,
    struct store **out, char **why, struct err *err)
{
	return store_open_with(
	    dir, id, safe, store_migrations, STORE_SCHEMA_VERSION, out, why, err);
}

static void
migration_rollback(struct store *st)
{
	stmt_forget_all(st);
	if (sqlite3_get_autocommit(st->db) == 0)
		(void)sqlite3_exec(st->db, "ROLLBACK", NULL, NULL, NULL);
}

/* Once more, where SQLite has undone it when its COMMIT failed. */
static int
migration_again(struct store *st, struct err *err)
{
	unsigned version;
	int rc = version_read(st, &version, err);

	if (rc == 0)
		rc = migration_begin(st, version, err);
	if (rc < 0)
		migration_rollback(st);
	return rc;
}

int
store_commit_migration(struct store *st, struct err *err)
{
	int rc = 0;

	if (!st->migrating)
		return 0;
	assert(!st->in_tx);
	if (sqlite3_get_autocommit(st->db) != 0)
		rc = migration_again(st, err);
	if (rc == 0)
		rc = db_exec(st, "COMMIT", err);
	if (rc == -ENOSPC && ballast_free(st))
		rc = db_exec(st, "COMMIT", err);
	if (rc < 0)
		return err_wrap(err, rc, "commit the migration");
	st->migrating = false;
	(void)store_flush(st, NULL); /* what does not fit stays and is tried again */
	return 0;
}

static int
open_readonly_once(const char *dir, struct store **out, struct err *err)
{
	struct store *st = store_new(dir);
	unsigned version;
	int rc;

	st->readonly = true;
	rc = db_connect(st, err);
	if (rc == 0)
		rc = version_read(st, &version, err);
	if (rc == 0)
		rc = reader_check(st, version, err);
	if (rc < 0)
		store_close(st);
	else
		*out = st;
	return rc;
}

int
store_open_readonly(const char *dir, struct store **out, struct err *err)
{
	struct err own = ERR_INIT;
	int i, rc = 0;

	/* a writer that begins a new file is between two names for an instant */
	for (i = 0; i < 3; i++) {
		rc = open_readonly_once(dir, out, &own);
		if (rc == 0 || rc == -ENOENT || rc == -EPROTO || rc == -EACCES)
			break;
		(void)poll(NULL, 0, 5);
	}
	if (rc < 0 && err != NULL)
		*err = own;
	return rc < 0 ? err_wrap(err, rc, "'%s/" STORE_FILE "'", dir) : 0;
}

void
store_close(struct store *st)
{
	if (st == NULL)
		return;
	if (st->migrating)
		migration_rollback(st);
	if (st->backlog.n > 0)
		log_warnx("store: %zu writes that did not fit are lost", st->backlog.n);
	db_disconnect(st);
	oplog_fini(&st->tx);
	oplog_fini(&st->backlog);
	free((char *)(uintptr_t)st->id.ns);
	free((char *)(uintptr_t)st->id.group);
	free((char *)(uintptr_t)st->id.build);
	free(st->dir);
	free(st);
}
