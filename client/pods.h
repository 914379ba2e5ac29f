/*
 * The pods of this machine: their directories, what their keepers say of
 * themselves, and what their databases know. A keeper that hangs costs 200 ms
 * in all, for all are asked at the same time; one that only waits for a CPU is given
 * 2 s. The databases are read without it, so a pod can be looked at with its worker
 * dead or its keeper stuck.
 */
#ifndef PODSHIM_CLIENT_PODS_H
#define PODSHIM_CLIENT_PODS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "state/store.h"

struct err;

#define PODS_TIMEOUT_MS 200

enum keeper_state {
	KEEPER_DEAD = 0,     /* nobody listens */
	KEEPER_UNRESPONSIVE, /* somebody does, but does not answer */
	KEEPER_BROKEN,	     /* what answers is no keeper */
	KEEPER_DENIED,	     /* not for us to ask */
	KEEPER_ANSWERED,
};

struct process_info {
	char *exec_id; /* "" init */
	int pid;
	uint64_t start_time; /* ticks since boot; 0 unknown */
	bool terminal;
	enum task_state state;
	uint32_t exit_status;
	int64_t started_at;
	int64_t exited_at;
	char *stdin_path;
	char *stdout_path;
	char *stderr_path;
};

struct container_info {
	char *id;
	char *bundle;
	char *runtime;
	char *runtime_root;
	char *cgroup;
	char *options;
	enum task_state state;
	bool own_pidns;
	bool rootfs_mounted;
	uint64_t oom_seen;
	int64_t created_at;
	struct process_info *processes; /* init first */
	size_t n_processes;
};

struct event_info {
	uint64_t seq;
	char *container;
	char *exec_id;
	char *topic;
	int64_t t;
	unsigned attempts;
};

struct pod {
	char *ns;
	char *group; /* as the database knows it, else from the directory's name */
	char *name;  /* of the directory: <group>.<hash8> */
	char *path;
	enum keeper_state keeper;
	char *status; /* the keeper's words, NULL unless it answered */
	bool known;   /* the database could be read: what follows is true */
	char *build;
	char *leaked; /* containers whose undo was given up, by blanks; or NULL */
	int64_t created_at;
	struct store_counts counts;
	struct container_info *containers;
	size_t n_containers;
	struct event_info *events;
	size_t n_events;
};

struct pods {
	struct pod *v; /* by namespace, then group */
	size_t n;
};

/* ns NULL: all. A state root that is not there has no pods. -EACCES: not for us. */
int pods_find(const char *root, const char *ns, struct pods *out, struct err *err);
void pods_fini(struct pods *pods);
/* Ask all keepers; fills keeper and status. Blocks for timeout_ms, on a busy machine 2 s more. */
void pods_ask(struct pods *pods, int timeout_ms);
/* Read the pod's database. -ENOENT: there is none (yet). */
int pod_load(struct pod *pod, struct err *err);

/* "running", "crash-loop", another state of the worker's, "unresponsive", "broken",
 * "denied", "dead". */
char *pod_state(const struct pod *pod);
/* `podshimctl run` made its containers: no containerd knows of it. */
bool pod_is_run(const struct pod *pod);
/* A number the keeper said; -1 unless it did. */
int64_t pod_status_num(const struct pod *pod, const char *key);

#endif
