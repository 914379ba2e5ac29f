/*
 * Task requests by name, for drivers and harnesses in C. Each call gives the
 * gRPC code (0: OK), or -errno when no answer came. The answer's error text is
 * in task_error(), valid until the thread's next call.
 */
#ifndef PODSHIM_TESTS_TASK_H
#define PODSHIM_TESTS_TASK_H

#include "tests/lib/ttrpc.h"

#include <stdbool.h>
#include <stdint.h>

enum task_status {
	TASK_CREATED = 1,
	TASK_RUNNING,
	TASK_STOPPED,
	TASK_PAUSED,
	TASK_PAUSING
};

struct task_stdio {
	const char *in, *out, *err; /* NULL: none */
	bool terminal;
};

struct task_create_args {
	const char *bundle;
	struct task_stdio io;
	/* of containerd.runc.v1.Options; NULL: not given */
	const char *binary_name, *root;
	/* one bind mount of this directory to the rootfs; NULL: none */
	const char *bind_rootfs;
};

struct task_exit {
	uint32_t pid, status;
	int64_t at_ns; /* INT64_MIN: year 1; 0: absent */
};

struct task_state {
	uint32_t pid, status, exit_status;
	int64_t exited_at_ns;
};

const char *task_error(void);
/* How long calls wait; a minute at first, times PODSHIM_TEST_SLOW. For this thread. */
int task_timeout_ms(void);
void task_set_timeout_ms(int ms);

int task_create(
    struct ttrpc *t, const char *id, const struct task_create_args *args, uint32_t *pid);
int task_start(struct ttrpc *t, const char *id, const char *exec_id, uint32_t *pid);
int task_delete(
    struct ttrpc *t, const char *id, const char *exec_id, struct task_exit *out);
int task_exec(struct ttrpc *t, const char *id, const char *exec_id,
    const struct task_stdio *io, const char *const *argv);
int task_kill(struct ttrpc *t, const char *id, const char *exec_id, int signo, bool all);
int task_wait(
    struct ttrpc *t, const char *id, const char *exec_id, struct task_exit *out);
int task_state(
    struct ttrpc *t, const char *id, const char *exec_id, struct task_state *out);
/* Up to max pids; *n is how many there are. */
int task_pids(struct ttrpc *t, const char *id, uint32_t *pids, size_t max, size_t *n);
int task_connect(struct ttrpc *t, const char *id, uint32_t *shim_pid, uint32_t *task_pid);
int task_shutdown(struct ttrpc *t, const char *id);
/* The methods that take an id (and exec id) and answer nothing: Pause, Resume, CloseIO. */
int task_simple(struct ttrpc *t, const char *method, const char *id, const char *exec_id);
int task_resize(struct ttrpc *t, const char *id, const char *exec_id, unsigned width,
    unsigned height);

/* Wait in two steps, so that other calls can go between: the stream, then the answer. */
int task_wait_send(
    struct ttrpc *t, const char *id, const char *exec_id, uint32_t *stream);
int task_wait_recv(
    struct ttrpc *t, uint32_t stream, int timeout_ms, struct task_exit *out);

/* JSON of an OCI process with these arguments; malloc'ed. */
char *task_process_json(const char *const *argv, bool terminal);
/* A JSON string literal of s; malloc'ed. */
char *json_quote(const char *s);

#endif
