/*
 * Reading rows: at a worker's start, by podshimctl and by the launcher.
 *
 * A number that the file should not hold (damage that SQLite cannot see)
 * ends the reading with -EUCLEAN, it is never handed on. What has not reached
 * the file is not seen here, but for answers and meta.
 */
#include "state/store_private.h"

#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

static int
bad_row(struct store *st, struct err *err, const char *what)
{
	st->damaged = !st->readonly;
	return err_setx(err, EUCLEAN, "the database has %s that cannot be", what);
}

static bool
state_ok(int64_t v)
{
	return v >= TASK_CREATING && v <= TASK_DELETING;
}

static int
read_container(
    struct store *st, sqlite3_stmt *q, struct row_container *row, struct err *err)
{
	if (!state_ok(sqlite3_column_int64(q, 6)))
		return bad_row(st, err, "a container state");
	*row = (struct row_container){
	    .id = col_text(q, 0),
	    .bundle = col_text(q, 1),
	    .runtime = col_text(q, 2),
	    .runtime_root = col_text(q, 3),
	    .cgroup = col_text(q, 4),
	    .options = col_text(q, 5),
	    .state = (enum task_state)sqlite3_column_int(q, 6),
	    .own_pidns = sqlite3_column_int(q, 7) != 0,
	    .rootfs_mounted = sqlite3_column_int(q, 8) != 0,
	    .create_sent = sqlite3_column_int(q, 9) != 0,
	    .oom_seen = (uint64_t)sqlite3_column_int64(q, 10),
	    .created_at = sqlite3_column_int64(q, 11),
	};
	if (*row->id == '\0')
		return bad_row(st, err, "a container without a name");
	return 0;
}

static int
read_containers(struct store *st, enum stmt s, const char *id, store_container_cb cb,
    void *arg, struct err *err)
{
	struct row_container row;
	sqlite3_stmt *q;
	int rc;

	rc = stmt_take(st, s, &q, err);
	if (rc < 0)
		return rc;
	if (id != NULL)
		stmt_text(q, 1, id);
	st->reading++;
	while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
		rc = read_container(st, q, &row, err);
		if (rc < 0)
			break;
		cb(&row, arg);
	}
	if (rc == SQLITE_DONE)
		rc = 0;
	else if (rc >= 0)
		rc = db_error(st, rc, err, "read containers");
	st->reading--;
	stmt_give(st, s, q);
	return rc;
}

int
store_each_container(struct store *st, store_container_cb cb, void *arg, struct err *err)
{
	return read_containers(st, S_EACH_CONTAINER, NULL, cb, arg, err);
}

int
store_find_container(
    struct store *st, const char *id, store_container_cb cb, void *arg, struct err *err)
{
	return read_containers(st, S_ONE_CONTAINER, id, cb, arg, err);
}

static int
read_process(struct store *st, sqlite3_stmt *q, struct row_process *row, struct err *err)
{
	int64_t pid = sqlite3_column_int64(q, 8);

	if (!state_ok(sqlite3_column_int64(q, 10)))
		return bad_row(st, err, "a process state");
	if (pid < 0 || pid > INT32_MAX)
		return bad_row(st, err, "a pid");
	*row = (struct row_process){
	    .container = col_text(q, 0),
	    .exec_id = col_text(q, 1),
	    .key = (uint64_t)sqlite3_column_int64(q, 2),
	    .stdin_path = col_text(q, 3),
	    .stdout_path = col_text(q, 4),
	    .stderr_path = col_text(q, 5),
	    .terminal = sqlite3_column_int(q, 6) != 0,
	    .spec = sqlite3_column_blob(q, 7),
	    .spec_len = (size_t)sqlite3_column_bytes(q, 7),
	    .pid = (int)pid,
	    .start_time = (uint64_t)sqlite3_column_int64(q, 9),
	    .state = (enum task_state)sqlite3_column_int(q, 10),
	    .exit_status = (uint32_t)sqlite3_column_int64(q, 11),
	    .started_at = sqlite3_column_int64(q, 12),
	    .exited_at = sqlite3_column_int64(q, 13),
	    .exit_sent = sqlite3_column_int(q, 14) != 0,
	};
	return 0;
}

int
store_each_process(struct store *st, const char *container, store_process_cb cb,
    void *arg, struct err *err)
{
	enum stmt s = container == NULL ? S_EACH_PROCESS : S_EACH_PROCESS_OF;
	struct row_process row;
	sqlite3_stmt *q;
	int rc;

	rc = stmt_take(st, s, &q, err);
	if (rc < 0)
		return rc;
	if (container != NULL)
		stmt_text(q, 1, container);
	st->reading++;
	while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
		rc = read_process(st, q, &row, err);
		if (rc < 0)
			break;
		cb(&row, arg);
	}
	if (rc == SQLITE_DONE)
		rc = 0;
	else if (rc >= 0)
		rc = db_error(st, rc, err, "read processes");
	st->reading--;
	stmt_give(st, s, q);
	return rc;
}

int
store_get_answer(struct store *st, uint64_t n, void **response, size_t *len)
{
	const void *data = NULL;
	size_t size = 0;
	sqlite3_stmt *q;
	int rc;

	switch (
	    oplog_find_int(st, S_PUT_ANSWER, S_DELETE_ANSWER, (int64_t)n, &data, &size)) {
	case 1:
		*response = mem_dup(data, size);
		*len = size;
		return 0;
	case 2: return -ENOENT;
	default: break;
	}
	rc = stmt_take(st, S_GET_ANSWER, &q, NULL);
	if (rc < 0)
		return rc;
	(void)sqlite3_bind_int64(q, 1, (int64_t)n);
	rc = sqlite3_step(q);
	if (rc == SQLITE_ROW) {
		data = sqlite3_column_blob(q, 0);
		*len = (size_t)sqlite3_column_bytes(q, 0);
		*response = mem_dup(data == NULL ? "" : data, *len);
		rc = 0;
	} else {
		rc = rc == SQLITE_DONE ? -ENOENT
				       : db_error(st, rc, NULL, "read an answer");
	}
	stmt_give(st, S_GET_ANSWER, q);
	return rc;
}

int
meta_read(struct store *st, const char *key, char **value, struct err *err)
{
	const void *data = NULL;
	sqlite3_stmt *q;
	size_t size;
	int found, rc;

	*value = NULL;
	found = oplog_find_text(st, S_SET_META, S_DELETE_META, key, &data, &size);
	if (found == 1)
		*value = mem_strdup(data);
	if (found > 0)
		return 0;
	rc = stmt_take(st, S_GET_META, &q, err);
	if (rc < 0)
		return rc;
	stmt_text(q, 1, key);
	rc = sqlite3_step(q);
	if (rc == SQLITE_ROW)
		*value = mem_strdup(col_text(q, 0));
	rc = rc == SQLITE_ROW || rc == SQLITE_DONE ? 0
						   : db_error(st, rc, err, "read meta");
	stmt_give(st, S_GET_META, q);
	return rc;
}

char *
store_get_meta(struct store *st, const char *key)
{
	char *value;

	(void)meta_read(
	    st, key, &value, NULL); /* cannot be read: as if it were not there */
	return value;
}

int
store_count(struct store *st, struct store_counts *out, struct err *err)
{
	sqlite3_stmt *q;
	int rc;

	rc = stmt_take(st, S_COUNT, &q, err);
	if (rc < 0)
		return rc;
	rc = sqlite3_step(q);
	if (rc == SQLITE_ROW) {
		out->containers = (uint64_t)sqlite3_column_int64(q, 0);
		out->running = (uint64_t)sqlite3_column_int64(q, 1);
		out->events_pending = (uint64_t)sqlite3_column_int64(q, 2);
		out->events_dropped = (uint64_t)sqlite3_column_int64(q, 3);
		rc = 0;
	} else {
		rc = db_error(st, rc, err, "count");
	}
	stmt_give(st, S_COUNT, q);
	return rc;
}
