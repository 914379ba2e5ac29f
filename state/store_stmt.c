/*
 * The SQL, and the life of prepared statements. One costs about 3.4 KB for
 * as long as it lives, so only those of every exec stay prepared; the others
 * are made for one use. What SQLite's codes mean to us stands here too.
 */
#include "state/store_private.h"

#include <errno.h>
#include <string.h>

#include "base/err.h"

#define STR_(x) #x
#define STR(x)	STR_(x)

/* clang-format off */
/* What pending events count for. */
#define EVENT_BYTES "sum(length(body) + length(container) + length(exec_id)" \
	" + length(topic) + length(type) + 32)"
/* Execs in the order of their oldest event, as long as those before are less than ?1. */
#define OLDEST_EXECS "SELECT container, exec_id FROM (SELECT container, exec_id," \
	" sum(bytes) OVER (ORDER BY first) - bytes AS before FROM (SELECT container," \
	" exec_id, min(seq) AS first, " EVENT_BYTES " AS bytes FROM event WHERE class = 2" \
	" GROUP BY container, exec_id)) WHERE before < ?1"

/* "Frequent": runs several times in the life of each exec. */
static const struct stmt_info infos[STMT_COUNT] = {
	[S_BEGIN] = {.sql = "BEGIN IMMEDIATE", .frequent = true},
	[S_COMMIT] = {.sql = "COMMIT", .frequent = true},
	[S_PUT_CONTAINER] = {.sql = "INSERT OR REPLACE INTO container(id, bundle, runtime,"
	    " runtime_root, cgroup, options, state, own_pidns, rootfs_mounted, create_sent,"
	    " oom_seen, created_at) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12)",
	    .table = 'c', .n_keys = 1},
	[S_DELETE_CONTAINER] = {.sql = "DELETE FROM container WHERE id = ?1",
	    .table = 'c', .n_keys = 1},
	[S_PUT_PROCESS] = {.sql = "INSERT INTO process(container, exec_id, key, stdin_path,"
	    " stdout_path, stderr_path, terminal, spec, pid, start_time, state, exit_status,"
	    " started_at, exited_at, exit_sent)"
	    " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15)"
	    " ON CONFLICT(container, exec_id) DO UPDATE SET key=?3, stdin_path=?4,"
	    " stdout_path=?5, stderr_path=?6, terminal=?7, spec=?8, pid=?9, start_time=?10,"
	    " state=?11, exit_status=?12, started_at=?13, exited_at=?14, exit_sent=?15",
	    .frequent = true, .table = 'p', .n_keys = 2},
	[S_DELETE_PROCESS] = {.sql =
	    "DELETE FROM process WHERE container = ?1 AND exec_id = ?2",
	    .frequent = true, .table = 'p', .n_keys = 2},
	[S_DELETE_PROCESSES] = {.sql = "DELETE FROM process WHERE container = ?1"},
	[S_SAVE_EXIT] = {.sql = "INSERT OR REPLACE INTO last_exit(slot, n, container, pid,"
	    " exit_status, exited_at) SELECT ?2 % " STR(STORE_LAST_EXITS) ", ?2, container,"
	    " pid, exit_status, exited_at FROM process WHERE container = ?1 AND exec_id = ''"
	    " AND state = 4"},
	[S_FORGET_EXIT] = {.sql = "DELETE FROM last_exit WHERE container = ?1"},
	[S_PUT_ANSWER] = {.sql = "INSERT OR REPLACE INTO op(n, answer) VALUES(?1, ?2)",
	    .frequent = true, .table = 'o', .n_keys = 1},
	[S_DELETE_ANSWER] = {.sql = "DELETE FROM op WHERE n = ?1",
	    .frequent = true, .table = 'o', .n_keys = 1},
	[S_PRUNE_ANSWERS] = {.sql =
	    "DELETE FROM op WHERE n NOT IN (SELECT value FROM json_each(?1))"},
	[S_ADD_EVENT] = {.sql = "INSERT OR REPLACE INTO event(seq, container, exec_id, topic,"
	    " type, body, class, t) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8 WHERE ?7 <> 2"
	    " OR NOT EXISTS(SELECT 1 FROM process WHERE container = ?2 AND exec_id = ?3"
	    " AND events_lost)",
	    .frequent = true},
	[S_EVENT_ATTEMPTED] = {.sql = "UPDATE event SET attempts = attempts + 1 WHERE seq = ?1",
	    .frequent = true, .droppable = true},
	[S_EVENT_SENT] = {.sql = "INSERT OR REPLACE INTO sent(slot, n, seq, container, exec_id,"
	    " topic, t, attempts, transport, sent_at) SELECT ?2 % " STR(STORE_SENT_ROWS)
	    ", ?2, seq, container, exec_id, topic, t, attempts, ?3, ?4 FROM event"
	    " WHERE seq = ?1",
	    .frequent = true},
	[S_DELETE_EVENT] = {.sql = "DELETE FROM event WHERE seq = ?1", .frequent = true},
	[S_SET_META] = {.sql = "INSERT OR REPLACE INTO meta(key, value) VALUES(?1, ?2)",
	    .table = 'm', .n_keys = 1},
	[S_DELETE_META] = {.sql = "DELETE FROM meta WHERE key = ?1", .table = 'm', .n_keys = 1},
	[S_AUDIT] = {.sql = "INSERT OR REPLACE INTO audit(slot, n, t, container, exec_id, what,"
	    " detail) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
	    .frequent = true, .droppable = true},

	[S_GET_ANSWER] = {.sql = "SELECT answer FROM op WHERE n = ?1"},
	[S_GET_META] = {.sql = "SELECT value FROM meta WHERE key = ?1"},
#define CONTAINER_COLUMNS "SELECT id, bundle, runtime, runtime_root, cgroup, options," \
	" state, own_pidns, rootfs_mounted, create_sent, oom_seen, created_at" \
	" FROM container "
	[S_EACH_CONTAINER] = {.sql = CONTAINER_COLUMNS "ORDER BY id"},
	[S_ONE_CONTAINER] = {.sql = CONTAINER_COLUMNS "WHERE id = ?1"},
#define PROCESS_COLUMNS "SELECT container, exec_id, key, stdin_path, stdout_path," \
	" stderr_path, terminal, spec, pid, start_time, state, exit_status, started_at," \
	" exited_at, exit_sent FROM process "
	[S_EACH_PROCESS] = {.sql = PROCESS_COLUMNS "ORDER BY container, exec_id"},
	[S_EACH_PROCESS_OF] = {.sql =
	    PROCESS_COLUMNS "WHERE container = ?1 ORDER BY container, exec_id"},
	[S_EACH_EVENT] = {.sql = "SELECT seq, container, exec_id, topic, type, body, class, t,"
	    " attempts FROM event WHERE seq > ?1 ORDER BY seq",
	    .frequent = true},
	[S_EACH_AUDIT] = {.sql = "SELECT n, t, container, exec_id, what, detail FROM audit"
	    " WHERE n > ?1 ORDER BY n"},
	[S_EACH_SENT] = {.sql = "SELECT n, seq, container, exec_id, topic, t, attempts, transport,"
	    " sent_at FROM sent WHERE n > ?1 ORDER BY n"},
	[S_FREE_PAGES] = {.sql = "PRAGMA freelist_count", .frequent = true},
	[S_COUNT] = {.sql = "SELECT (SELECT count(*) FROM container),"
	    " (SELECT count(*) FROM process WHERE exec_id = '' AND state IN (3, 5, 6)),"
	    " (SELECT count(*) FROM event),"
	    " (SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'events_dropped')"},
	[S_LAST_EXIT_ROW] = {.sql = "SELECT p.state, p.pid, p.exit_status, p.exited_at"
	    " FROM container AS c LEFT JOIN process AS p ON p.container = c.id"
	    " AND p.exec_id = '' WHERE c.id = ?1"},
	[S_LAST_EXIT_RING] = {.sql = "SELECT pid, exit_status, exited_at FROM last_exit"
	    " WHERE container = ?1 ORDER BY n DESC LIMIT 1"},
	[S_EVENT_BYTES] = {.sql = "SELECT coalesce(" EVENT_BYTES ", 0) FROM event"},
	[S_MARK_LOST] = {.sql = "UPDATE process SET events_lost = 1"
	    " WHERE (container, exec_id) IN (" OLDEST_EXECS ")"},
	[S_DROP_EXECS] = {.sql = "DELETE FROM event WHERE class = 2"
	    " AND (container, exec_id) IN (" OLDEST_EXECS ")"},
	[S_COUNT_DROPPED] = {.sql = "INSERT INTO meta(key, value) VALUES('events_dropped', ?1)"
	    " ON CONFLICT(key) DO UPDATE SET value = CAST(value AS INTEGER) + ?1"},
};
/* clang-format on */

const struct stmt_info *
stmt_info(enum stmt s)
{
	return &infos[s];
}

int
db_error(struct store *st, int rc, struct err *err, const char *what)
{
	int os = st->db == NULL ? 0 : sqlite3_system_errno(st->db), code;

	switch (rc & 0xff) {
	case SQLITE_FULL: code = ENOSPC; break;
	case SQLITE_IOERR: code = os == ENOSPC || os == EDQUOT ? ENOSPC : EIO; break;
	case SQLITE_CANTOPEN: code = os != 0 ? os : EIO; break;
	case SQLITE_READONLY:
	case SQLITE_PERM: code = EROFS; break;
	case SQLITE_BUSY:
	case SQLITE_LOCKED: code = EBUSY; break;
	case SQLITE_NOMEM: code = ENOMEM; break;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_ERROR: /* the SQL is ours and good: the tables are not ours */
		code = EUCLEAN;
		st->damaged = true;
		break;
	default: code = EIO; break;
	}
	return err_setx(err, code, "%s: %s (SQLite %d, %s)", what,
	    st->db == NULL ? sqlite3_errstr(rc) : sqlite3_errmsg(st->db), rc,
	    strerror(code));
}

int
stmt_take(struct store *st, enum stmt s, sqlite3_stmt **out, struct err *err)
{
	int rc;

	if (st->db == NULL && (rc = db_reconnect(st, err)) < 0)
		return rc;
	if (st->cached[s] != NULL) {
		*out = st->cached[s];
		st->cached[s] = NULL; /* a nested use makes one of its own */
		return 0;
	}
	rc = sqlite3_prepare_v3(st->db, infos[s].sql, -1,
	    infos[s].frequent ? SQLITE_PREPARE_PERSISTENT : 0, out, NULL);
	if (rc != SQLITE_OK)
		return db_error(st, rc, err, "prepare a statement");
	return 0;
}

void
stmt_give(struct store *st, enum stmt s, sqlite3_stmt *q)
{
	if (q == NULL)
		return;
	if (!infos[s].frequent || st->readonly || st->cached[s] != NULL) {
		(void)sqlite3_finalize(q);
		return;
	}
	(void)sqlite3_reset(q);
	(void)sqlite3_clear_bindings(q);
	st->cached[s] = q;
}

int
stmt_run(struct store *st, enum stmt s, sqlite3_stmt *q, struct err *err)
{
	int rc;

	do
		rc = sqlite3_step(q);
	while (rc == SQLITE_ROW);
	rc = rc == SQLITE_DONE ? 0 : db_error(st, rc, err, "write to the database");
	stmt_give(st, s, q);
	return rc;
}

void
stmt_forget_all(struct store *st)
{
	int i;

	for (i = 0; i < STMT_COUNT; i++) {
		(void)sqlite3_finalize(st->cached[i]);
		st->cached[i] = NULL;
	}
}

/* NULL and "" are the same to us, and '' to the database. */
void
stmt_text(sqlite3_stmt *q, int i, const char *s)
{
	(void)sqlite3_bind_text(q, i, s == NULL ? "" : s, -1, SQLITE_STATIC);
}

const char *
col_text(sqlite3_stmt *q, int i)
{
	const unsigned char *s = sqlite3_column_text(q, i);

	return s == NULL ? "" : (const char *)s;
}
