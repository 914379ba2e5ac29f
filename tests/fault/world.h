/*
 * The world of the fault walk: a directory, bundles, one pod whose keeper is
 * the one that can be told to fail, and what is to be known of it from outside.
 */
#ifndef PODSHIM_TESTS_FAULT_WORLD_H
#define PODSHIM_TESTS_FAULT_WORLD_H

#include "tests/fault/inject.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct world {
	const char *prefix; /* installed tree under test */
	const char
	    *helpers; /* where libexec/ (with our keeper) and the fake runtime are */
	char dir[64];
	char tag[16]; /* of this walk alone */
	char ns[64];
	char runtime[512];
	char rt_root[128];
	struct inject *inject;
	uint32_t claimed; /* of its hits: those that explain an error that was seen */
	char inject_path[128];
};

/* What a pod holds while nothing is asked of it. */
struct account {
	long requests, children, steps, connections, fds, pins;
	long open_fds; /* of the keeper's process */
};

struct pod {
	struct world *w;
	char group[32];
	char *addr; /* "unix://..." */
	char *dir;  /* in the state root */
	int dir_fd;
	pid_t keeper;
	int keeper_pidfd;
	unsigned next; /* number of the next container */
};

void world_make(struct world *w);
void world_remove(struct world *w);

/* Let call `at` of a kind fail, and burst - 1 after it; at 0: none. */
void inject_arm(struct world *w, enum inject_kind kind, uint32_t at, uint32_t burst);
uint32_t inject_hits(const struct world *w);
void inject_say(const struct world *w);

/* A bundle's directory with its config.json; the caller frees its path. */
char *bundle_make(struct world *w, const char *group, const char *id, const char *prog);
void bundle_remove(struct world *w, const char *id);

/*
 * `start` or `delete` of a bundle, as containerd runs it. The exit status; what
 * it printed to out (cut).
 */
int shim_run(struct world *w, const char *id, const char *action, char *out, size_t cap);

/* After its first start: where it is. False: it is not there. */
bool pod_attach(struct pod *p);
/* End what is left of it, by force. */
void pod_kill(struct pod *p);
void pod_fini(struct pod *p);
bool pod_alive(const struct pod *p);
/* Is there nothing of it left? Says what is. */
bool pod_gone(const struct pod *p);
/* One value of STATUS, as a number; -1: no answer. */
long pod_number(const struct pod *p, const char *key);
bool pod_account(const struct pod *p, struct account *out);

#endif
