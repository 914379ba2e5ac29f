/*
 * A container of this pod, from the moment its Create arrived until its Delete
 * is committed. Memory is the truth; rows follow it (state/store.h).
 */
#ifndef PODSHIM_WORKER_CONTAINER_H
#define PODSHIM_WORKER_CONTAINER_H

#include <stdbool.h>
#include <stdint.h>

#include <uthash.h>

#include "base/loop.h"
#include "state/store.h"
#include "oci/options.h"

struct cgroup_dirs;
struct err;
struct event;
struct oom_watch;
struct op;
struct pod;
struct process;

struct container {
	struct pod *pod;
	char *id;
	char *bundle;
	struct options opts;
	bool has_opts;
	char *runtime_root;
	char *cgroup;	       /* "" unknown */
	enum task_state state; /* CREATING, then as init's, PAUSED, … */
	bool own_pidns;
	bool rootfs_mounted;
	bool create_sent;
	bool from_row; /* a CREATING row that no Create has claimed yet */
	bool foreign;  /* the runtime had one of that name before us */
	bool deleted;  /* somebody was told so; only what is left of it has to go */
	bool purging;  /* containerd has given it up: no events */
	bool unswept;  /* for want of processes its Purge could not clean up after it */
	bool rebuilt;  /* from tags: what was told of its past, nobody knows */
	uint64_t oom_seen;
	struct cgroup_dirs *dirs; /* NULL: not looked up yet, or none */
	struct oom_watch *oom;	  /* oom.c */
	int64_t created_at;
	struct process *init;  /* NULL until Create has begun */
	struct process *execs; /* by exec_id */
	struct op *ops;	       /* by n; container queue (op.h) */
	bool pumping;	       /* somebody is going through it: op_pump() */
	/* init has exited; its TaskExit waits for the execs' (exits.c) */
	bool settling;
	struct event *settle_ev;
	bool settle_late;	  /* waited long enough */
	struct op *settle_waiter; /* a Delete or Purge that waits for that */
	void (*settle_cb)(struct op *op);
	bool gone; /* not in the table any more */
	bool buried;
	struct grave grave;
	UT_hash_handle hh;
};

/* In the table, whatever its state; NULL. */
struct container *container_get(struct pod *pod, const char *id);
/* One that a client may see: created, not gone. NULL. */
struct container *container_visible(struct pod *pod, const char *id);
struct container *container_new(struct pod *pod, const char *id);
/* Out of the table; freed once its last operation has ended. */
void container_forget(struct container *c);
/* Free if nothing holds it. */
void container_release(struct container *c);

/* Inside a transaction. */
void container_put(struct container *c);

/* How many execs run or are being started. */
unsigned container_busy_execs(const struct container *c);
/* Init has exited, told or not. */
bool container_stopped(const struct container *c);
size_t container_count(const struct pod *pod);

#endif
