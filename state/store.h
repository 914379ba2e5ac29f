/*
 * What survives a worker: one SQLite file per pod, one writer (design.md 5,
 * recovery.md 2.2). SCHEMA.md describes the rows for people.
 *
 * The worker keeps the truth in memory and writes whole rows through here.
 * Everything between store_begin() and store_commit() is one transaction. If
 * a commit fails (full disk), the writes of a STORE_KEEP transaction are kept
 * in memory, in order, and tried again by store_flush(); those of a STORE_MUST
 * one are dropped, and the caller refuses the request.
 *
 * No event loop in here. Nothing blocks but the file system; a lock held by
 * another process is waited for at most 1 s.
 */
#ifndef PODSHIM_STATE_STORE_H
#define PODSHIM_STATE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct store;

/* Stored numbers: asserted in store_sqlite.c, never reused. */
enum task_state {
	TASK_CREATING = 1, /* container only: create is under way */
	TASK_CREATED = 2,
	TASK_RUNNING = 3,
	TASK_STOPPED = 4,
	TASK_PAUSED = 5,   /* container only */
	TASK_PAUSING = 6,  /* container only */
	TASK_DELETING = 7, /* container only: its rows are about to go */
};
/* "created" and so on, for people. */
const char *task_state_name(enum task_state s);

#define STORE_SCHEMA_VERSION	1u
#define STORE_SCHEMA_MIN_READER 1u

/* What decides whether a file belongs to this keeper. */
struct store_identity {
	uint8_t inst[16]; /* random, of the keeper */
	char boot_id[40]; /* /proc/sys/kernel/random/boot_id, no newline */
	const char *ns;
	const char *group;
	const char *build; /* of the worker that writes */
	bool first;	   /* worker of its keeper: a new file lacks nothing then */
};

/*
 * A fact (store_get_meta()) that stands in a new file from its first commit on, unless
 * the worker is its keeper's first: rows of what lives may be missing. Whoever has written
 * all that is known deletes it in the same transaction.
 */
#define STORE_PARTIAL "partial"

enum store_open_result {
	STORE_OPENED = 0,  /* an existing file of this keeper */
	STORE_CREATED = 1, /* there was none */
	/* another keeper's or damaged: kept as state.db.bad-N, a new one made */
	STORE_SET_ASIDE = 2,
};

/*
 * Open `state.db` in dir for writing. safe: set whatever is there aside, unless
 * it is ours and too new. A
 * migration, if one is needed, is begun but committed only by
 * store_commit_migration() (recovery.md 1.14). Result: enum store_open_result
 * (>= 0), *why (if not NULL; caller frees; NULL if nothing was) says what was set
 * aside. -EPROTO: written by a newer podshim, the file is left alone.
 */
int store_open(const char *dir, const struct store_identity *id, bool safe,
    struct store **out, char **why, struct err *err);
int store_commit_migration(struct store *st, struct err *err);
/* Open for reading only, for podshimctl and the launcher; never waits for the writer. */
int store_open_readonly(const char *dir, struct store **out, struct err *err);
void store_close(struct store *st);

enum store_commit_mode { STORE_MUST, STORE_KEEP };

/*
 * Writes of a transaction reach the file in its commit, all or none. A write
 * outside of one is a STORE_KEEP transaction of its own. The functions that
 * read see what is in the file; only answers, meta and delivered events are
 * looked up in unwritten transactions too.
 */
void store_begin(struct store *st);
/*
 * Returns 0; -errno after a STORE_MUST failure; 1 if kept in memory (STORE_KEEP,
 * with err filled). Until store_commit_migration() every write is kept (1), and
 * STORE_MUST gives -EBUSY: an exit is not to be acknowledged before.
 * Audit lines and counts of attempts are not kept.
 */
int store_commit(struct store *st, enum store_commit_mode mode, struct err *err);
void store_rollback(struct store *st);
/* Writes kept in memory by failed commits; 0 usually. */
size_t store_backlog(const struct store *st);
/* Try to write the backlog. 0 when it is empty afterwards. Every commit tries it too. */
int store_flush(struct store *st, struct err *err);
/*
 * cb runs whenever a commit kept its writes in memory: somebody must call store_flush()
 * some time. One per store; it may not read, begin or commit.
 */
void store_on_kept(struct store *st, void (*cb)(const char *why, void *arg), void *arg);
/*
 * cb runs from a commit or flush that found the file damaged, once that is set aside and
 * a new one is begun with what could be read of it: it puts all rows it knows, which
 * are written before whatever waits and before the transaction at hand, so that what is
 * deleted there stays so. One per store; it may not read, begin or commit.
 */
void store_on_replaced(struct store *st, void (*cb)(void *arg), void *arg);

/* --- rows ------------------------------------------------------------------
 * Strings are borrowed: by the store for the call, by a row callback until it
 * returns. NULL and "" are the same. Times: nanoseconds since 1970, 0 none.
 */
struct row_container {
	const char *id;
	const char *bundle;
	const char *runtime;	  /* OCI runtime executable, as given or "runc" */
	const char *runtime_root; /* its --root, namespace included */
	const char *cgroup;	  /* init's cgroup path(s), worker's own format; "" */
	const char *options;	  /* the request's options, as JSON */
	enum task_state state;
	bool own_pidns;	     /* init is pid 1 of a namespace of its own */
	bool rootfs_mounted; /* we mounted it, we unmount it */
	bool create_sent;    /* TaskCreate is in the outbox or delivered */
	uint64_t oom_seen;   /* last oom_kill count an event was made for */
	int64_t created_at;
};

struct row_process {
	const char *container;
	const char *exec_id; /* "" for init */
	uint64_t key;	     /* of the step that created it; 0 until then */
	const char *stdin_path;
	const char *stdout_path;
	const char *stderr_path;
	bool terminal;
	const void
	    *spec; /* what Start needs: process.json, a checkpoint's path; then NULL */
	size_t spec_len;
	int pid;
	uint64_t start_time; /* ticks since boot */
	enum task_state state;
	uint32_t exit_status; /* as reported: code, or 128 + signal */
	int64_t started_at;
	int64_t exited_at;
	bool exit_sent; /* its TaskExit is in the outbox or delivered */
};

/* Insert or replace as a whole. */
void store_put_container(struct store *st, const struct row_container *row);
/* Its processes go too; its events stay until delivered. */
void store_delete_container(struct store *st, const char *id);
void store_put_process(struct store *st, const struct row_process *row);
void store_delete_process(struct store *st, const char *container, const char *exec_id);

/* Answers of requests whose effect is committed (P2); n is the request number. */
void store_put_answer(struct store *st, uint64_t n, const void *response, size_t len);
void store_delete_answer(struct store *st, uint64_t n);
/* malloc'ed copy; -ENOENT. */
int store_get_answer(struct store *st, uint64_t n, void **response, size_t *len);
/* All answers but those of the n in keep[]: W5 of recovery.md 2.4. */
void store_prune_answers(struct store *st, const uint64_t *keep, size_t n_keep);

/* The outbox. Events are numbered in the order of store_add_event(). */
enum event_class {
	EVENT_KEEP = 1, /* create, start, init exit, delete, OOM, …: never dropped */
	EVENT_EXEC = 2, /* of an exec: dropped at the cap, whole execs, oldest first */
};
struct row_event {
	uint64_t seq;
	const char *container;
	const char *exec_id; /* of the exec it tells of, or "" */
	const char *topic;   /* /tasks/exit */
	const char *type;    /* containerd.events.TaskExit */
	const void *body;    /* that message, encoded */
	size_t body_len;
	enum event_class class;
	int64_t t; /* when it happened */
	unsigned attempts;
};
#define STORE_EVENTS_MAX_BYTES (1024u * 1024u)
/*
 * Returns the seq. row->seq is ignored. At the cap (bodies, names and 32 bytes
 * per event) a commit drops whole execs; an event may be gone while it is being
 * sent, and store_event_done() of it is harmless. Numbers never repeat within a
 * keeper's life, but have gaps.
 */
uint64_t store_add_event(struct store *st, const struct row_event *row);
/* Events in order of seq, from the first behind `after`; stops when cb returns false. */
typedef bool (*store_event_cb)(const struct row_event *row, void *arg);
int store_each_event(
    struct store *st, uint64_t after, store_event_cb cb, void *arg, struct err *err);
void store_event_attempted(struct store *st, uint64_t seq);
/* Delivered, or given up for good. transport: "publish-binary", "ttrpc", "dropped". */
void store_event_done(struct store *st, uint64_t seq, const char *transport);

struct store_counts {
	uint64_t containers;
	uint64_t running; /* containers whose init runs */
	uint64_t events_pending;
	uint64_t events_dropped; /* in this pod's life */
};
int store_count(struct store *st, struct store_counts *out, struct err *err);

typedef void (*store_container_cb)(const struct row_container *row, void *arg);
typedef void (*store_process_cb)(const struct row_process *row, void *arg);
int store_each_container(
    struct store *st, store_container_cb cb, void *arg, struct err *err);
/* That one's row, if it has one. */
int store_find_container(
    struct store *st, const char *id, store_container_cb cb, void *arg, struct err *err);
/* Init first, then execs, per container. container NULL: of all. */
int store_each_process(struct store *st, const char *container, store_process_cb cb,
    void *arg, struct err *err);

/* Small facts about the pod: "shutdown_seen", "leaked", … NULL value deletes. */
void store_set_meta(struct store *st, const char *key, const char *value);
/* malloc'ed, NULL if there is none. */
char *store_get_meta(struct store *st, const char *key);

/*
 * A line of history: a ring of 768 rows for containers and one of 256 for execs, oldest
 * overwritten. Long details are cut.
 */
struct row_audit {
	uint64_t n; /* rises by one */
	int64_t t;
	const char *container;
	const char *exec_id;
	const char *what;
	const char *detail;
};
void store_audit(struct store *st, const char *container, const char *exec_id,
    const char *what, const char *detail);
typedef void (*store_audit_cb)(const struct row_audit *row, void *arg);
/* In order of n, from the first behind `after`. */
int store_each_audit(
    struct store *st, uint64_t after, store_audit_cb cb, void *arg, struct err *err);

/* Delivered events, without their bodies: ring of 64 rows. */
struct row_sent {
	uint64_t n; /* rises by one, in order of delivery */
	uint64_t seq;
	const char *container;
	const char *exec_id;
	const char *topic;
	int64_t t;
	unsigned attempts; /* before the one that did it */
	const char *transport;
	int64_t sent_at;
};
typedef void (*store_sent_cb)(const struct row_sent *row, void *arg);
int store_each_sent(
    struct store *st, uint64_t after, store_sent_cb cb, void *arg, struct err *err);

/*
 * The last known truth about a container's exit, for `delete`: from its row,
 * or if it is deleted from a ring of 64. -ENOENT: nothing known, or it is
 * there and has not ended. Works on a read-only store.
 */
int store_last_exit(struct store *st, const char *container, int *pid,
    uint32_t *exit_status, int64_t *exited_at);
/* The id is used again: what is known of those who bore it before says nothing any more. */
void store_forget_exits(struct store *st, const char *container);

#endif
