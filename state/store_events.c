/*
 * The outbox's rows. Numbers are given in memory, in the order of
 * store_add_event(), and go on behind the highest that was ever stored; one
 * whose transaction failed is a gap. A delivered event leaves its table and
 * is remembered, without its body, in the ring `sent`.
 *
 * At the cap whole execs are dropped, oldest first: every pending event of an
 * exec, and by the mark events_lost in its process row those that are still
 * to come, so that nobody is told of the end of what never began.
 */
#include "state/store_private.h"

#include "base/clock.h"
#include "base/err.h"

int
event_rows_load(struct store *st, struct err *err)
{
	int64_t seq, bytes;
	sqlite3_stmt *q;
	int rc;

	rc = db_int(st,
	    "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'event'",
	    &seq, err);
	if (rc == 0)
		rc = stmt_take(st, S_EVENT_BYTES, &q, err);
	if (rc < 0)
		return rc;
	rc = sqlite3_step(q);
	bytes = rc == SQLITE_ROW ? sqlite3_column_int64(q, 0) : 0;
	rc = rc == SQLITE_ROW ? 0 : db_error(st, rc, err, "read events");
	stmt_give(st, S_EVENT_BYTES, q);
	if (rc == 0) {
		if (st->next_seq < (uint64_t)seq + 1)
			st->next_seq = (uint64_t)seq + 1;
		st->events_bytes = (size_t)bytes;
		st->events_check_at = STORE_EVENTS_MAX_BYTES;
	}
	return rc;
}

static int
run_with_int(struct store *st, enum stmt s, int64_t v, struct err *err)
{
	sqlite3_stmt *q;
	int rc = stmt_take(st, s, &q, err);

	if (rc < 0)
		return rc;
	(void)sqlite3_bind_int64(q, 1, v);
	return stmt_run(st, s, q, err);
}

/* Add to the count of dropped events. */
static int
count_dropped(struct store *st, int n, struct err *err)
{
	return run_with_int(st, S_COUNT_DROPPED, n, err);
}

int
event_rows_added(struct store *st, size_t bytes, struct err *err)
{
	if (sqlite3_changes(st->db) == 0)
		return count_dropped(st, 1, err); /* of an exec that lost others */
	st->events_bytes += bytes + 32;
	return 0;
}

/* The true sum; events_bytes never went down when events were delivered. */
static int
events_sum(struct store *st, struct err *err)
{
	sqlite3_stmt *q;
	int rc = stmt_take(st, S_EVENT_BYTES, &q, err);

	if (rc < 0)
		return rc;
	rc = sqlite3_step(q);
	if (rc == SQLITE_ROW)
		st->events_bytes = (size_t)sqlite3_column_int64(q, 0);
	rc = rc == SQLITE_ROW ? 0 : db_error(st, rc, err, "read events");
	stmt_give(st, S_EVENT_BYTES, q);
	return rc;
}

/* Whole execs, the one with the oldest event first, until so many bytes are free. */
static int
drop_oldest(struct store *st, size_t bytes, struct err *err)
{
	int rc = run_with_int(st, S_MARK_LOST, (int64_t)bytes, err);

	if (rc == 0)
		rc = run_with_int(st, S_DROP_EXECS, (int64_t)bytes, err);
	if (rc == 0)
		rc = count_dropped(st, sqlite3_changes(st->db), err);
	return rc;
}

int
event_rows_trim(struct store *st, struct err *err)
{
	int rc;

	if (st->events_bytes <= st->events_check_at)
		return 0;
	rc = events_sum(st, err);
	st->events_check_at = STORE_EVENTS_MAX_BYTES;
	if (rc < 0 || st->events_bytes <= STORE_EVENTS_MAX_BYTES)
		return rc;
	/* some more than needed, so that the next event does not come here again */
	rc = drop_oldest(st, st->events_bytes - STORE_EVENTS_MAX_BYTES / 8 * 7, err);
	if (rc == 0)
		rc = events_sum(st, err);
	if (rc == 0 && st->events_bytes > STORE_EVENTS_MAX_BYTES / 8 * 7) /* all kept */
		st->events_check_at = st->events_bytes + STORE_EVENTS_MAX_BYTES / 8;
	return rc;
}

uint64_t
store_add_event(struct store *st, const struct row_event *row)
{
	uint64_t seq = st->next_seq++;

	write_begin(st, S_ADD_EVENT);
	write_int(st, (int64_t)seq);
	write_text(st, row->container);
	write_text(st, row->exec_id);
	write_text(st, row->topic);
	write_text(st, row->type);
	write_blob(st, row->body == NULL ? "" : row->body, row->body_len);
	write_int(st, (int64_t)row->class);
	write_int(st, row->t);
	write_end(st);
	return seq;
}

int
store_each_event(
    struct store *st, uint64_t after, store_event_cb cb, void *arg, struct err *err)
{
	struct row_event row;
	sqlite3_stmt *q;
	bool go_on = true;
	int rc;

	rc = stmt_take(st, S_EACH_EVENT, &q, err);
	if (rc < 0)
		return rc;
	(void)sqlite3_bind_int64(q, 1, (int64_t)after);
	st->reading++;
	while (go_on && (rc = sqlite3_step(q)) == SQLITE_ROW) {
		row = (struct row_event){
		    .seq = (uint64_t)sqlite3_column_int64(q, 0),
		    .container = col_text(q, 1),
		    .exec_id = col_text(q, 2),
		    .topic = col_text(q, 3),
		    .type = col_text(q, 4),
		    .body = sqlite3_column_blob(q, 5),
		    .body_len = (size_t)sqlite3_column_bytes(q, 5),
		    .class =
			sqlite3_column_int(q, 6) == EVENT_EXEC ? EVENT_EXEC : EVENT_KEEP,
		    .t = sqlite3_column_int64(q, 7),
		    .attempts = (unsigned)sqlite3_column_int(q, 8),
		};
		/* delivered, but the file does not know yet */
		if (oplog_find_int(st, S_DELETE_EVENT, S_DELETE_EVENT, (int64_t)row.seq,
			NULL, NULL) > 0)
			continue;
		go_on = cb(&row, arg);
	}
	rc = !go_on || rc == SQLITE_DONE ? 0 : db_error(st, rc, err, "read events");
	st->reading--;
	stmt_give(st, S_EACH_EVENT, q);
	return rc;
}

void
store_event_attempted(struct store *st, uint64_t seq)
{
	write_begin(st, S_EVENT_ATTEMPTED);
	write_int(st, (int64_t)seq);
	write_end(st);
}

void
store_event_done(struct store *st, uint64_t seq, const char *transport)
{
	bool own = !st->in_tx;

	if (own)
		store_begin(st);
	write_begin(st, S_EVENT_SENT);
	write_int(st, (int64_t)seq);
	write_int(st, (int64_t)st->next_sent++);
	write_text(st, transport);
	write_int(st, clock_real_ns());
	write_end(st);
	write_begin(st, S_DELETE_EVENT);
	write_int(st, (int64_t)seq);
	write_end(st);
	if (own)
		(void)store_commit(st, STORE_KEEP, NULL);
}
