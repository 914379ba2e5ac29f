/*
 * What is known of a container without its keeper: from the pod's database, or,
 * if that knows nothing, from the files in its bundle.
 */
#ifndef PODSHIM_LAUNCHER_ACCOUNT_H
#define PODSHIM_LAUNCHER_ACCOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "state/store.h"
#include "oci/options.h"

struct err;

/* Enough of a process to hit it and no other. */
struct victim {
	int pid;
	uint64_t start_time; /* ticks since boot; 0 unknown */
};

struct account {
	char *id;
	const char *ns; /* borrowed */
	char *bundle;
	char *cgroup;	    /* of its init; NULL if unknown */
	char *runtime_root; /* --root, namespace included */
	struct options options;
	bool in_db;	/* a row tells of it; else only files may */
	bool own_pidns; /* by the row: all of it dies with its init */
	bool last_exit; /* no row any more, but its exit was noted */
	bool exited;	/* exit_status and exited_at are true */
	int pid;	/* of init; 0 unknown */
	uint32_t exit_status;
	int64_t exited_at;
	struct victim *victims; /* init first, if it may be alive; execs */
	size_t n_victims;
};

/*
 * The account of container id. st may be NULL: the bundle alone then.
 * bundle_fd: of its bundle, or -1 to go by the row's.
 */
void account_load(struct account *acc, struct store *st, int bundle_fd,
    const char *bundle, const char *ns, const char *id);
void account_fini(struct account *acc);

/*
 * Cut a cgroup's path behind the part that is named after the container, as runc and
 * crun name it. False: no part is, and the cgroup is somebody else's.
 */
bool account_cut_cgroup(char *path, const char *id);

/* Is that process alive, and the same one? */
bool victim_is_alive(const struct victim *v);

#endif
