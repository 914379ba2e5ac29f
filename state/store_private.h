/*
 * Inside of the store: shared by the files of state/ and their tests only.
 *
 * Writes are not run when they are made. They are encoded into st->tx, and
 * store_commit() runs all of them in one SQLite transaction. So a lock is held
 * for microseconds, a rollback is free, and what a full disk refuses can be
 * kept, in order, in st->backlog: the same encoding.
 */
#ifndef PODSHIM_STATE_STORE_PRIVATE_H
#define PODSHIM_STATE_STORE_PRIVATE_H

#include "state/store.h"

#include <sqlite3.h>

#define STORE_FILE	   "state.db"
#define STORE_FILE_NEXT	   "state.db.next" /* complete, to be renamed to STORE_FILE */
#define STORE_FILE_TMP	   "state.db.tmp"
#define STORE_FILE_BALLAST "state.ballast"

#define STORE_WAL_FRAMES      32	  /* of 1 KiB; checkpoint from here on */
#define STORE_WAL_BYTES	      (64 * 1024) /* size that the file keeps */
#define STORE_WAL_MAX_FRAMES  2048	  /* 2 MiB: a reader stops the reset, copy away */
#define STORE_BALLAST_BYTES   (64 * 1024)
#define STORE_FREE_PAGES      1024 /* 1 MiB: give them back, if they are most */
#define STORE_BUSY_MS	      500
#define STORE_READ_BUSY_MS    50   /* another's recovery of the log, nothing else */
#define STORE_AUDIT_ROWS      1024 /* those of execs are the last of them */
#define STORE_AUDIT_EXEC_ROWS 256
#define STORE_AUDIT_DETAIL    256 /* bytes; the rest is cut */
#define STORE_LAST_EXITS      64
#define STORE_SENT_ROWS	      64
#define STORE_BACKLOG_COMPACT (32 * 1024)

/* Every statement there is; the SQL stands in store_stmt.c. */
enum stmt {
	S_BEGIN,
	S_COMMIT,
	S_PUT_CONTAINER,
	S_DELETE_CONTAINER,
	S_PUT_PROCESS,
	S_DELETE_PROCESS,
	S_DELETE_PROCESSES,
	S_SAVE_EXIT,
	S_FORGET_EXIT,
	S_PUT_ANSWER,
	S_DELETE_ANSWER,
	S_PRUNE_ANSWERS,
	S_ADD_EVENT,
	S_EVENT_ATTEMPTED,
	S_EVENT_SENT,
	S_DELETE_EVENT,
	S_SET_META,
	S_DELETE_META,
	S_AUDIT,
	/* not for the write log from here on */
	S_GET_ANSWER,
	S_GET_META,
	S_EACH_CONTAINER,
	S_ONE_CONTAINER,
	S_EACH_PROCESS,
	S_EACH_PROCESS_OF,
	S_EACH_EVENT,
	S_EACH_AUDIT,
	S_EACH_SENT,
	S_COUNT,
	S_FREE_PAGES,
	S_LAST_EXIT_ROW,
	S_LAST_EXIT_RING,
	S_EVENT_BYTES,
	S_MARK_LOST,
	S_DROP_EXECS,
	S_COUNT_DROPPED,
	STMT_COUNT
};

/* Encoded writes: write_* in store_tx.c. */
struct oplog {
	uint8_t *p;
	size_t len;
	size_t cap;
	size_t n; /* writes */
};

struct migration {
	const char *sql;
};

struct store {
	sqlite3 *db;
	char *dir;
	struct store_identity id; /* strings owned; readers have none */
	const struct migration *migrations;
	unsigned n_migrations;
	bool readonly;
	bool in_tx;
	bool migrating; /* a migration's transaction is open */
	bool ballast;
	bool damaged;  /* SQLite said so */
	bool replaced; /* and we began a new file, which is to be refilled */
	void (*kept_cb)(const char *why, void *arg);
	void *kept_arg;
	void (*refill)(void *arg);
	void *refill_arg;
	unsigned reading; /* row callbacks that are running */
	int wal_frames;
	int wal_retry;	    /* frames at which to try a switch again */
	int64_t free_retry; /* free pages at which to try to give them back again */
	struct oplog tx;
	struct oplog backlog;
	size_t compact_at; /* bytes of backlog */
	size_t op_at;	   /* of the write that is being encoded */
	uint64_t next_seq;
	uint64_t next_sent;
	uint64_t next_exit;
	uint64_t next_audit;
	uint64_t next_audit_slot[2]; /* of containers, of execs; within their share */
	size_t events_bytes;	     /* of pending rows; an upper bound */
	size_t events_check_at;	     /* look at the true sum beyond this */
	sqlite3_stmt *cached[STMT_COUNT];
};

/* --- store_sqlite.c */
/* store_open() with a list of migrations of the caller's. */
int store_open_with(const char *dir, const struct store_identity *id, bool safe,
    const struct migration *migrations, unsigned n_migrations, struct store **out,
    char **why, struct err *err);
/* Open st->dir's file, which must not exist yet, and fill in schema and identity. */
int db_create(struct store *st, struct err *err);
/* The same for a file that is there: connection and settings, nothing else. */
int db_connect(struct store *st, struct err *err);
void db_disconnect(struct store *st);
/* After a failed switch or replacement: try again. */
int db_reconnect(struct store *st, struct err *err);
int db_exec(struct store *st, const char *sql, struct err *err);
/* One integer; the SQL must give one row. */
int db_int(struct store *st, const char *sql, int64_t *out, struct err *err);
char *db_path(const struct store *st, const char *name);

/* --- store_stmt.c */
struct stmt_info {
	const char *sql;
	bool frequent;	/* stays prepared */
	bool droppable; /* not kept in the backlog */
	char table;	/* 0, or which table: same table, same key: the last one counts */
	unsigned n_keys;
};
const struct stmt_info *stmt_info(enum stmt s);
/* A prepared statement, ready to bind. Give it back. */
int stmt_take(struct store *st, enum stmt s, sqlite3_stmt **out, struct err *err);
void stmt_give(struct store *st, enum stmt s, sqlite3_stmt *q);
/* Step to the end, give back. 0 or -errno. */
int stmt_run(struct store *st, enum stmt s, sqlite3_stmt *q, struct err *err);
void stmt_forget_all(struct store *st);
/* What SQLite's last error means, as -errno; notes damage. */
int db_error(struct store *st, int rc, struct err *err, const char *what);
void stmt_text(sqlite3_stmt *q, int i, const char *s);
const char *col_text(sqlite3_stmt *q, int i);

/* --- store_tx.c */
void write_begin(struct store *st, enum stmt s);
void write_int(struct store *st, int64_t v);
void write_text(struct store *st, const char *s);
void write_blob(struct store *st, const void *p, size_t len); /* NULL: NULL */
void write_end(struct store *st);
void oplog_fini(struct oplog *log);
/* Newest write of one of two kinds whose first parameter is this; 1: it is of kind a,
 * 2: of kind b, 0: none. *data: the second parameter of a. */
int oplog_find_int(const struct store *st, enum stmt a, enum stmt b, int64_t key,
    const void **data, size_t *len);
int oplog_find_text(const struct store *st, enum stmt a, enum stmt b, const char *key,
    const void **data, size_t *len);

/* --- store_read.c */
/* *value: malloc'ed, NULL if there is none. */
int meta_read(struct store *st, const char *key, char **value, struct err *err);

/* --- store_events.c */
int event_rows_load(struct store *st, struct err *err);
/* Called right behind each S_ADD_EVENT: bytes of its strings and body. */
int event_rows_added(struct store *st, size_t bytes, struct err *err);
/* Before COMMIT: keep to the cap. */
int event_rows_trim(struct store *st, struct err *err);

/* --- store_history.c */
int rings_load(struct store *st, struct err *err);

/* --- store_file.c: the files around the database */
/* Rename the database and its -wal and -shm; keeps the last two. */
int files_set_aside(const char *dir, char **name, struct err *err);
/* Remove what a database that is gone has left: -wal, -shm, half a database. */
void files_remove(const char *dir);
/* An empty file of mode 0600. */
int db_file_create(const char *path, struct err *err);
void ballast_make(struct store *st);
bool ballast_free(struct store *st);
/* Let the log have its usual size before the disk is full. */
void wal_grow(struct store *st);
void wal_watch(struct store *st);
/* After a commit: has the log outgrown its limit? */
void wal_check(struct store *st);
/* After a commit: is most of the file free? */
void space_check(struct store *st);
/* A switch to a copy that was cut short. */
int files_finish_switch(const char *dir, struct err *err);
/* Begin a new file in place of a damaged one, take over what can be read. */
int db_replace(struct store *st, struct err *err);

/* --- migrations.c */
extern const struct migration store_migrations[];
/* Run migrations from `have` on inside the caller's transaction. */
int migrations_run(struct store *st, unsigned have, struct err *err);

#endif
