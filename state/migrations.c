/*
 * The tables, as a list of steps that only ever grows at its end: step i
 * brings a file from user_version i to i + 1. A step that has been in a
 * release is never changed. SCHEMA.md describes the rows for people.
 *
 * Small tables without rowid save a page of index each: the file counts as
 * memory, it lies on a tmpfs. Rings have `slot`, which is overwritten, and
 * `n`, which tells the order.
 */
#include "state/store_private.h"

#include "base/err.h"
#include "base/mem.h"

/* clang-format off */
const struct migration store_migrations[STORE_SCHEMA_VERSION] = {
	{.sql =
	    "CREATE TABLE meta("
	    " key TEXT NOT NULL PRIMARY KEY,"
	    " value TEXT NOT NULL) WITHOUT ROWID;"

	    "CREATE TABLE container("
	    " id TEXT NOT NULL PRIMARY KEY,"
	    " bundle TEXT NOT NULL,"
	    " runtime TEXT NOT NULL,"
	    " runtime_root TEXT NOT NULL,"
	    " cgroup TEXT NOT NULL,"
	    " options TEXT NOT NULL,"
	    " state INTEGER NOT NULL,"
	    " own_pidns INTEGER NOT NULL,"
	    " rootfs_mounted INTEGER NOT NULL,"
	    " create_sent INTEGER NOT NULL,"
	    " oom_seen INTEGER NOT NULL,"
	    " created_at INTEGER NOT NULL) WITHOUT ROWID;"

	    "CREATE TABLE process("
	    " container TEXT NOT NULL,"
	    " exec_id TEXT NOT NULL,"
	    " key INTEGER NOT NULL,"
	    " stdin_path TEXT NOT NULL,"
	    " stdout_path TEXT NOT NULL,"
	    " stderr_path TEXT NOT NULL,"
	    " terminal INTEGER NOT NULL,"
	    " spec BLOB,"
	    " pid INTEGER NOT NULL,"
	    " start_time INTEGER NOT NULL,"
	    " state INTEGER NOT NULL,"
	    " exit_status INTEGER NOT NULL,"
	    " started_at INTEGER NOT NULL,"
	    " exited_at INTEGER NOT NULL,"
	    " exit_sent INTEGER NOT NULL,"
	    " events_lost INTEGER NOT NULL DEFAULT 0,"
	    " PRIMARY KEY(container, exec_id)) WITHOUT ROWID;"

	    "CREATE TABLE op("
	    " n INTEGER PRIMARY KEY,"
	    " answer BLOB NOT NULL);"

	    /* AUTOINCREMENT: numbers go on where they were when the table is empty */
	    "CREATE TABLE event("
	    " seq INTEGER PRIMARY KEY AUTOINCREMENT,"
	    " container TEXT NOT NULL,"
	    " exec_id TEXT NOT NULL,"
	    " topic TEXT NOT NULL,"
	    " type TEXT NOT NULL,"
	    " body BLOB NOT NULL,"
	    " class INTEGER NOT NULL,"
	    " t INTEGER NOT NULL,"
	    " attempts INTEGER NOT NULL DEFAULT 0);"

	    "CREATE TABLE sent("
	    " slot INTEGER PRIMARY KEY,"
	    " n INTEGER NOT NULL,"
	    " seq INTEGER NOT NULL,"
	    " container TEXT NOT NULL,"
	    " exec_id TEXT NOT NULL,"
	    " topic TEXT NOT NULL,"
	    " t INTEGER NOT NULL,"
	    " attempts INTEGER NOT NULL,"
	    " transport TEXT NOT NULL,"
	    " sent_at INTEGER NOT NULL);"

	    "CREATE TABLE last_exit("
	    " slot INTEGER PRIMARY KEY,"
	    " n INTEGER NOT NULL,"
	    " container TEXT NOT NULL,"
	    " pid INTEGER NOT NULL,"
	    " exit_status INTEGER NOT NULL,"
	    " exited_at INTEGER NOT NULL);"

	    "CREATE TABLE audit("
	    " slot INTEGER PRIMARY KEY,"
	    " n INTEGER NOT NULL,"
	    " t INTEGER NOT NULL,"
	    " container TEXT NOT NULL,"
	    " exec_id TEXT NOT NULL,"
	    " what TEXT NOT NULL,"
	    " detail TEXT NOT NULL);"},
};
/* clang-format on */

int
migrations_run(struct store *st, unsigned have, struct err *err)
{
	char set_version[64];
	unsigned i;
	int rc;

	for (i = have; i < st->n_migrations; i++) {
		rc = db_exec(st, st->migrations[i].sql, err);
		if (rc < 0)
			return err_wrap(
			    err, rc, "migrate the database to version %u", i + 1);
	}
	(void)sqlite3_snprintf((int)sizeof set_version, set_version,
	    "PRAGMA user_version = %u", st->n_migrations);
	return db_exec(st, set_version, err);
}
