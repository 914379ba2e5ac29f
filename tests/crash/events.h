/*
 * The receiving end of events, both transports: what containerd would have
 * seen of each container, checked for order as it comes.
 */
#ifndef PODSHIM_CRASH_EVENTS_H
#define PODSHIM_CRASH_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uthash.h>

#include "co.h"

enum ev_kind {
	EV_CREATE,
	EV_START,
	EV_EXEC_ADDED,
	EV_EXEC_STARTED,
	EV_EXIT,
	EV_DELETE,
	EV_PAUSED,
	EV_RESUMED,
	EV_CHECKPOINTED,
	EV_OOM,
	EV_UNKNOWN
};

struct ev {
	enum ev_kind kind;
	char exec_id[48]; /* "" for init */
	uint32_t pid, status;
	int64_t exited_at; /* ns */
	unsigned repeats;
	uint64_t peer; /* the connection it came by: they are numbered; 0: publish */
};

struct evlog {
	char id[80];
	struct ev *evs;
	size_t n, cap;
	bool given_up; /* containerd tells of its exit and delete itself */
	struct co_cond changed;
	UT_hash_handle hh;
};

/* Listen at <tmp_dir>/c.sock.ttrpc and c.sock.pub. */
void events_open(void);
/* containerd goes away: nothing is taken until it comes back. */
void events_set_away(bool away);
const char *ev_kind_name(enum ev_kind kind);

struct evlog *evlog_new(const char *id);
void evlog_free(struct evlog *log);
const struct ev *evlog_find(
    const struct evlog *log, enum ev_kind kind, const char *exec_id);
/* Wait for it; NULL and a fault if it does not come. */
const struct ev *evlog_expect(struct evlog *log, enum ev_kind kind, const char *exec_id);

#define EVENT_PATIENCE_MS 30000

#endif
