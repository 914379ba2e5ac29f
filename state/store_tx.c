/*
 * The write log: transactions and the backlog.
 *
 * A write is encoded when it is made and run when it is committed. The log of
 * a transaction is one growing buffer; a failed STORE_KEEP transaction is
 * appended to the backlog as it is. The next commit, whichever kind, runs the
 * backlog before its own writes, in the same SQLite transaction, so the order
 * of all writes stays. What can surprise: a reader of the same store does not
 * see a write before its commit has reached the file, but for answers, meta
 * and delivered events, which look into the log (oplog_find_*).
 *
 * Encoding: struct op_head, then per parameter a type byte ('i', 't', 'b', '0'),
 * for t and b a 32-bit length, and the bytes; text with its NUL.
 */
#include "state/store_private.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"

struct op_head {
	uint32_t len; /* with this head */
	uint32_t stmt;
};

/* --- encoding ------------------------------------------------------------- */

static void
oplog_append(struct oplog *log, const void *p, size_t len)
{
	size_t cap = log->cap == 0 ? 512 : log->cap;

	while (cap < log->len + len)
		cap *= 2;
	if (cap != log->cap) {
		log->p = mem_realloc(log->p, cap);
		log->cap = cap;
	}
	if (len > 0)
		memcpy(log->p + log->len, p, len);
	log->len += len;
}

void
oplog_fini(struct oplog *log)
{
	free(log->p);
	*log = (struct oplog){0};
}

/* Empty it; a buffer that one large transaction made is not kept. */
static void
oplog_clear(struct oplog *log)
{
	if (log->cap > 4096) {
		oplog_fini(log);
		return;
	}
	log->len = 0;
	log->n = 0;
}

void
write_begin(struct store *st, enum stmt s)
{
	struct op_head head = {.stmt = (uint32_t)s};

	assert(!st->readonly);
	st->op_at = st->tx.len;
	oplog_append(&st->tx, &head, sizeof head);
}

void
write_int(struct store *st, int64_t v)
{
	oplog_append(&st->tx, "i", 1);
	oplog_append(&st->tx, &v, sizeof v);
}

static void
op_bytes(struct store *st, const char *type, const void *p, size_t len)
{
	uint32_t n = (uint32_t)len;

	assert(len <= INT_MAX);
	oplog_append(&st->tx, type, 1);
	oplog_append(&st->tx, &n, sizeof n);
	oplog_append(&st->tx, p, len);
}

void
write_text(struct store *st, const char *s)
{
	if (s == NULL)
		s = "";
	op_bytes(st, "t", s, strlen(s) + 1);
}

void
write_blob(struct store *st, const void *p, size_t len)
{
	if (p == NULL)
		oplog_append(&st->tx, "0", 1);
	else
		op_bytes(st, "b", p, len);
}

void
write_end(struct store *st)
{
	uint32_t len = (uint32_t)(st->tx.len - st->op_at);

	memcpy(st->tx.p + st->op_at, &len, sizeof len);
	st->tx.n++;
	if (!st->in_tx) { /* a write on its own */
		st->in_tx = true;
		(void)store_commit(st, STORE_KEEP, NULL);
	}
}

/* --- reading it back ------------------------------------------------------ */

struct param {
	char type;
	int64_t i;
	const void *p;
	size_t len; /* text: without the NUL */
};

static struct op_head
op_head_at(const struct oplog *log, size_t at)
{
	struct op_head head;

	memcpy(&head, log->p + at, sizeof head);
	return head;
}

/* The parameter at *p, which moves behind it. */
static struct param
op_param(const uint8_t **p)
{
	struct param out = {.type = (char)*(*p)++};
	uint32_t len;

	switch (out.type) {
	case 'i':
		memcpy(&out.i, *p, sizeof out.i);
		*p += sizeof out.i;
		break;
	case 't':
	case 'b':
		memcpy(&len, *p, sizeof len);
		*p += sizeof len;
		out.p = *p;
		out.len = out.type == 't' ? len - 1 : len;
		*p += len;
		break;
	default: /* '0' */ break;
	}
	return out;
}

static int
oplog_find(const struct store *st, enum stmt a, enum stmt b, int64_t num,
    const char *text, const void **data, size_t *len)
{
	const struct oplog *logs[] = {&st->backlog, &st->tx};
	struct op_head head;
	struct param key, value;
	const uint8_t *p;
	size_t i, at;
	int found = 0;

	for (i = 0; i < ARRAY_LEN(logs); i++) {
		for (at = 0; at < logs[i]->len; at += head.len) {
			head = op_head_at(logs[i], at);
			if (head.stmt != (uint32_t)a && head.stmt != (uint32_t)b)
				continue;
			p = logs[i]->p + at + sizeof head;
			key = op_param(&p);
			if (text == NULL ? key.i != num : strcmp(key.p, text) != 0)
				continue;
			found = head.stmt == (uint32_t)a ? 1 : 2;
			if (found == 1 && data != NULL) {
				value = op_param(&p);
				*data = value.p;
				*len = value.len;
			}
		}
	}
	return found;
}

int
oplog_find_int(const struct store *st, enum stmt a, enum stmt b, int64_t key,
    const void **data, size_t *len)
{
	return oplog_find(st, a, b, key, NULL, data, len);
}

int
oplog_find_text(const struct store *st, enum stmt a, enum stmt b, const char *key,
    const void **data, size_t *len)
{
	return oplog_find(st, a, b, 0, key, data, len);
}

/* --- the backlog ---------------------------------------------------------- */

/* Where the key parameters of the write at `at` begin, and how long they are. */
static size_t
op_key(const struct oplog *log, size_t at, const uint8_t **key)
{
	struct op_head head = op_head_at(log, at);
	const uint8_t *p = log->p + at + sizeof head;
	unsigned i;

	*key = p;
	for (i = 0; i < stmt_info((enum stmt)head.stmt)->n_keys; i++)
		(void)op_param(&p);
	return (size_t)(p - *key);
}

static bool
op_is_put(uint32_t s)
{
	return s == S_PUT_CONTAINER || s == S_PUT_PROCESS || s == S_PUT_ANSWER ||
	    s == S_SET_META;
}

/* Does a later write make the one at `at` pointless? */
static bool
op_superseded(const struct oplog *log, size_t at)
{
	struct op_head head = op_head_at(log, at), later;
	const uint8_t *key, *later_key;
	size_t len = op_key(log, at, &key), i;

	if (!op_is_put(head.stmt))
		return false;
	for (i = at + head.len; i < log->len; i += later.len) {
		later = op_head_at(log, i);
		if (later.stmt == S_SAVE_EXIT)
			return false; /* reads the row */
		if (stmt_info((enum stmt)later.stmt)->table !=
		    stmt_info((enum stmt)head.stmt)->table)
			continue;
		if (op_key(log, i, &later_key) == len && memcmp(key, later_key, len) == 0)
			return true;
	}
	return false;
}

/*
 * While the disk is full for long, the same rows are written again and again:
 * keep the last of each, so that the backlog grows with the number of live
 * objects and not with time.
 */
static void
backlog_compact(struct store *st)
{
	struct oplog *log = &st->backlog, kept = {0};
	struct op_head head;
	size_t at;

	for (at = 0; at < log->len; at += head.len) {
		head = op_head_at(log, at);
		if (op_superseded(log, at))
			continue;
		oplog_append(&kept, log->p + at, head.len);
		kept.n++;
	}
	oplog_fini(log);
	*log = kept;
	st->compact_at =
	    log->len * 2 < STORE_BACKLOG_COMPACT ? STORE_BACKLOG_COMPACT : log->len * 2;
}

/* Move the transaction behind the backlog. */
static void
backlog_add(struct store *st)
{
	struct op_head head;
	size_t at;

	for (at = 0; at < st->tx.len; at += head.len) {
		head = op_head_at(&st->tx, at);
		if (stmt_info((enum stmt)head.stmt)->droppable)
			continue;
		oplog_append(&st->backlog, st->tx.p + at, head.len);
		st->backlog.n++;
	}
	oplog_clear(&st->tx);
	if (st->backlog.len > st->compact_at)
		backlog_compact(st);
}

size_t
store_backlog(const struct store *st)
{
	return st->backlog.n;
}

void
store_on_kept(struct store *st, void (*cb)(const char *why, void *arg), void *arg)
{
	st->kept_cb = cb;
	st->kept_arg = arg;
}

/* --- a new file ------------------------------------------------------------- */

void
store_on_replaced(struct store *st, void (*cb)(void *arg), void *arg)
{
	st->refill = cb;
	st->refill_arg = arg;
}

/* What the caller knows goes before the backlog; the transaction at hand stays apart. */
static void
backlog_refill(struct store *st)
{
	struct oplog tx = st->tx, backlog = st->backlog;
	bool in_tx = st->in_tx;

	if (!st->replaced)
		return;
	st->replaced = false;
	if (st->refill == NULL)
		return;
	st->tx = st->backlog = (struct oplog){0};
	st->in_tx = true;
	st->refill(st->refill_arg);
	backlog_add(st);
	oplog_fini(&st->tx);
	oplog_append(&st->backlog, backlog.p, backlog.len);
	st->backlog.n += backlog.n;
	oplog_fini(&backlog);
	st->tx = tx;
	st->in_tx = in_tx;
}

/* --- running it ----------------------------------------------------------- */

static int
op_run(struct store *st, const struct oplog *log, size_t at, struct err *err)
{
	struct op_head head = op_head_at(log, at);
	const uint8_t *p = log->p + at + sizeof head, *end = log->p + at + head.len;
	enum stmt s = (enum stmt)head.stmt;
	sqlite3_stmt *q;
	struct param v;
	size_t size = 0;
	int i, rc;

	rc = stmt_take(st, s, &q, err);
	if (rc < 0)
		return rc;
	for (i = 1; p < end; i++) {
		v = op_param(&p);
		size += v.len;
		if (v.type == 'i')
			(void)sqlite3_bind_int64(q, i, v.i);
		else if (v.type == 't')
			(void)sqlite3_bind_text(q, i, v.p, (int)v.len, SQLITE_STATIC);
		else if (v.type == 'b')
			(void)sqlite3_bind_blob(
			    q, i, v.len == 0 ? "" : v.p, (int)v.len, SQLITE_STATIC);
	}
	rc = stmt_run(st, s, q, err);
	if (rc == 0 && s == S_ADD_EVENT)
		rc = event_rows_added(st, size, err);
	return rc;
}

static int
oplog_run(struct store *st, const struct oplog *log, struct err *err)
{
	size_t at;
	int rc;

	for (at = 0; at < log->len; at += op_head_at(log, at).len) {
		rc = op_run(st, log, at, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int
run_plain(struct store *st, enum stmt s, struct err *err)
{
	sqlite3_stmt *q;
	int rc = stmt_take(st, s, &q, err);

	return rc < 0 ? rc : stmt_run(st, s, q, err);
}

/* Backlog and transaction, all or nothing. */
static int
write_once(struct store *st, struct err *err)
{
	int rc;

	if (st->damaged)
		return err_setx(err, EUCLEAN, "the database is damaged");
	backlog_refill(st);
	rc = run_plain(st, S_BEGIN, err);
	if (rc < 0)
		return rc;
	rc = oplog_run(st, &st->backlog, err);
	if (rc == 0)
		rc = oplog_run(st, &st->tx, err);
	if (rc == 0)
		rc = event_rows_trim(st, err);
	if (rc == 0)
		rc = run_plain(st, S_COMMIT, err);
	if (rc < 0 && sqlite3_get_autocommit(st->db) == 0)
		(void)sqlite3_exec(st->db, "ROLLBACK", NULL, NULL, NULL);
	return rc;
}

/*
 * A full disk gives up its ballast once; a damaged file is replaced once. A
 * busy one was waited for already: not again while there is a backlog.
 */
static int
write_out(struct store *st, struct err *err)
{
	int rc;

	if (st->migrating)
		return err_setx(err, EBUSY, "a migration of the database is under way");
	if (st->db == NULL && (rc = db_reconnect(st, err)) < 0)
		return rc;
	(void)sqlite3_busy_timeout(st->db, st->backlog.n > 0 ? 0 : STORE_BUSY_MS);
	rc = write_once(st, err);
	if (rc == -ENOSPC && ballast_free(st))
		rc = write_once(st, err);
	if (rc == -EUCLEAN && st->reading == 0 && db_replace(st, err) == 0)
		rc = write_once(st, err);
	if (rc < 0)
		return rc;
	oplog_clear(&st->backlog);
	oplog_clear(&st->tx);
	if (!st->ballast)
		ballast_make(st);
	wal_check(st);
	space_check(st);
	return 0;
}

void
store_begin(struct store *st)
{
	assert(!st->in_tx && st->tx.len == 0);
	st->in_tx = true;
}

void
store_rollback(struct store *st)
{
	assert(st->in_tx);
	oplog_clear(&st->tx);
	st->in_tx = false;
}

int
store_commit(struct store *st, enum store_commit_mode mode, struct err *err)
{
	struct err own = ERR_INIT;
	int rc = 0;

	assert(st->in_tx);
	if (st->tx.len > 0)
		rc = write_out(st, &own);
	st->in_tx = false;
	if (rc == 0)
		return 0;
	if (err != NULL)
		*err = own;
	if (mode == STORE_MUST) {
		oplog_clear(&st->tx);
		return err_wrap(err, rc, "commit");
	}
	log_debug("store: kept %zu writes in memory: %s", st->tx.n, own.text);
	backlog_add(st);
	if (st->kept_cb != NULL && st->backlog.n > 0)
		st->kept_cb(own.text, st->kept_arg);
	return 1;
}

int
store_flush(struct store *st, struct err *err)
{
	struct err own = ERR_INIT;
	int rc;

	assert(!st->in_tx);
	if (st->backlog.n == 0)
		return 0;
	rc = write_out(st, &own);
	if (rc < 0 && err != NULL)
		*err = own;
	return rc;
}
