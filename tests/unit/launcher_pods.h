/*
 * For tests of `delete`: containers that are processes of ours, with rows that
 * the real store writes, and a runtime that is a script of ours.
 */
#ifndef PODSHIM_TESTS_LAUNCHER_PODS_H
#define PODSHIM_TESTS_LAUNCHER_PODS_H

#include "launcher_help.h"
#include "state/store.h"

/* What containerd waits at most. */
#define PATIENCE_US (30 * US_PER_S)

extern char *runtime, *runtime_root, *runtime_log;

struct container {
	const char *id;
	char *bundle;
	pid_t pid;
	uint64_t start_time;
	int64_t made; /* clock_real_ns() */
};

/* A process to kill, a bundle, and a state directory as the runtime would have. */
struct container container_new(const char *id);
bool container_is_alive(const struct container *c);
void container_end(struct container *c);

/* A pod whose keeper is killed. */
void dead_pod(struct container *c);
/* What the fake keeper left for the test. */
void forget_keeper(const char *id);

/* Rows as the worker of pod `pod` would have written them. */
struct store *store_of(const char *pod);
void store_put(
    struct store *st, const struct container *c, enum task_state state, uint32_t status);
/* Both, for one container. */
void record(
    const char *pod, const struct container *c, enum task_state state, uint32_t status);

struct told {
	uint32_t pid, status;
	int64_t exited_at;
	char *err;
};

pid_t delete_launch(const char *id, const char *cwd, int out[2]);
/* Until it has that file open, or is gone. */
void delete_wait_open(pid_t pid, const char *path);
struct told delete_collect(pid_t pid, int out[2]);
/* It says this status, at a likely time, and nothing on stderr. */
void expect_delete(const struct container *c, uint32_t status);

#define RUNTIME_WORKS "for a; do :; done; rmdir \"$2/$a\""

void runtime_is(const char *script);
void expect_runtime_ran(const struct container *c, bool ran);

int pods_setup(void **state);
int pods_teardown(void **state);
int pods_each_setup(void **state);

#endif
