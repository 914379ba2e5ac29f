/*
 * What is kept about the past, each in a ring of rows: audit lines, delivered
 * events, exits of deleted containers. A ring overwrites its oldest row in
 * place, so the file does not grow with the age of the pod.
 */
#include "state/store_private.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

#define AUDIT_CONTAINER_ROWS (STORE_AUDIT_ROWS - STORE_AUDIT_EXEC_ROWS)
#define STR_(x)		     #x
#define STR(x)		     STR_(x)
/* Where the youngest row of a share stands, counted from the share's beginning. */
#define AUDIT_LAST_SLOT(which)                                                           \
	"SELECT coalesce((SELECT slot % " STR(                                           \
	    AUDIT_CONTAINER_ROWS) " FROM audit WHERE " which                             \
	STR(AUDIT_CONTAINER_ROWS) " ORDER BY n DESC LIMIT 1), -1)"

static int
load_counter(struct store *st, const char *sql, uint64_t *next, struct err *err)
{
	int64_t n;
	int rc = db_int(st, sql, &n, err);

	if (rc == 0 && *next < (uint64_t)n + 1)
		*next = (uint64_t)n + 1;
	return rc;
}

int
rings_load(struct store *st, struct err *err)
{
	int rc;

	rc =
	    load_counter(st, "SELECT coalesce(max(n), 0) FROM sent", &st->next_sent, err);
	if (rc == 0)
		rc = load_counter(
		    st, "SELECT coalesce(max(n), 0) FROM last_exit", &st->next_exit, err);
	if (rc == 0)
		rc = load_counter(
		    st, "SELECT coalesce(max(n), 0) FROM audit", &st->next_audit, err);
	if (rc == 0)
		rc = load_counter(
		    st, AUDIT_LAST_SLOT("slot < "), &st->next_audit_slot[0], err);
	if (rc == 0)
		rc = load_counter(
		    st, AUDIT_LAST_SLOT("slot >= "), &st->next_audit_slot[1], err);
	return rc;
}

/*
 * Execs come by the thousand, with every probe of a kubelet: they have a share
 * of the ring to themselves, and do not push out what happened to containers.
 */
static uint64_t
audit_slot(struct store *st, const char *exec_id)
{
	bool exec = exec_id != NULL && *exec_id != '\0';
	uint64_t slot = st->next_audit_slot[exec]++;

	return exec ? AUDIT_CONTAINER_ROWS + slot % STORE_AUDIT_EXEC_ROWS
		    : slot % AUDIT_CONTAINER_ROWS;
}

void
store_audit(struct store *st, const char *container, const char *exec_id,
    const char *what, const char *detail)
{
	AUTO_FREE char *text =
	    mem_printf("%.*s", STORE_AUDIT_DETAIL, detail == NULL ? "" : detail);

	write_begin(st, S_AUDIT);
	write_int(st, (int64_t)audit_slot(st, exec_id));
	write_int(st, (int64_t)st->next_audit++);
	write_int(st, clock_real_ns());
	write_text(st, container);
	write_text(st, exec_id);
	write_text(st, what);
	write_text(st, text);
	write_end(st);
}

int
store_each_audit(
    struct store *st, uint64_t after, store_audit_cb cb, void *arg, struct err *err)
{
	struct row_audit row;
	sqlite3_stmt *q;
	int rc;

	rc = stmt_take(st, S_EACH_AUDIT, &q, err);
	if (rc < 0)
		return rc;
	(void)sqlite3_bind_int64(q, 1, (int64_t)after);
	st->reading++;
	while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
		row = (struct row_audit){
		    .n = (uint64_t)sqlite3_column_int64(q, 0),
		    .t = sqlite3_column_int64(q, 1),
		    .container = col_text(q, 2),
		    .exec_id = col_text(q, 3),
		    .what = col_text(q, 4),
		    .detail = col_text(q, 5),
		};
		cb(&row, arg);
	}
	rc = rc == SQLITE_DONE ? 0 : db_error(st, rc, err, "read the audit lines");
	st->reading--;
	stmt_give(st, S_EACH_AUDIT, q);
	return rc;
}

int
store_each_sent(
    struct store *st, uint64_t after, store_sent_cb cb, void *arg, struct err *err)
{
	struct row_sent row;
	sqlite3_stmt *q;
	int rc;

	rc = stmt_take(st, S_EACH_SENT, &q, err);
	if (rc < 0)
		return rc;
	(void)sqlite3_bind_int64(q, 1, (int64_t)after);
	st->reading++;
	while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
		row = (struct row_sent){
		    .n = (uint64_t)sqlite3_column_int64(q, 0),
		    .seq = (uint64_t)sqlite3_column_int64(q, 1),
		    .container = col_text(q, 2),
		    .exec_id = col_text(q, 3),
		    .topic = col_text(q, 4),
		    .t = sqlite3_column_int64(q, 5),
		    .attempts = (unsigned)sqlite3_column_int(q, 6),
		    .transport = col_text(q, 7),
		    .sent_at = sqlite3_column_int64(q, 8),
		};
		cb(&row, arg);
	}
	rc = rc == SQLITE_DONE ? 0 : db_error(st, rc, err, "read delivered events");
	st->reading--;
	stmt_give(st, S_EACH_SENT, q);
	return rc;
}

/* Step a query for one exit: pid, status, time from column `from` on. */
static int
read_exit(struct store *st, sqlite3_stmt *q, int from, int *pid, uint32_t *exit_status,
    int64_t *exited_at)
{
	int rc = sqlite3_step(q);

	if (rc == SQLITE_DONE)
		return -ENOENT;
	if (rc != SQLITE_ROW)
		return db_error(st, rc, NULL, "read an exit");
	if (from == 1 && sqlite3_column_int(q, 0) != TASK_STOPPED)
		return -ENODATA;
	*pid = sqlite3_column_int(q, from);
	*exit_status = (uint32_t)sqlite3_column_int64(q, from + 1);
	*exited_at = sqlite3_column_int64(q, from + 2);
	return 0;
}

int
store_last_exit(struct store *st, const char *container, int *pid, uint32_t *exit_status,
    int64_t *exited_at)
{
	const enum stmt where[] = {S_LAST_EXIT_ROW, S_LAST_EXIT_RING};
	sqlite3_stmt *q;
	int i, rc = -ENOENT;

	for (i = 0; i < 2 && rc == -ENOENT; i++) {
		rc = stmt_take(st, where[i], &q, NULL);
		if (rc < 0)
			return rc;
		stmt_text(q, 1, container);
		rc = read_exit(st, q, i == 0 ? 1 : 0, pid, exit_status, exited_at);
		stmt_give(st, where[i], q);
	}
	/* it is there and has not ended: an older one of its name says nothing */
	return rc == -ENODATA ? -ENOENT : rc;
}
