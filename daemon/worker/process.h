/*
 * A process of a container: init (exec_id "") or an exec.
 *
 * CREATED ──▶ RUNNING ──▶ STOPPED        init may also go CREATED ──▶ STOPPED
 * An exec whose Start failed stays CREATED and has no spec any more.
 */
#ifndef PODSHIM_WORKER_PROCESS_H
#define PODSHIM_WORKER_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uthash.h>

#include "base/loop.h"
#include "state/store.h"

struct container;
struct io;
struct op;
struct pod;

struct process {
	struct container *c;
	char *exec_id; /* "" for init */
	uint64_t key;  /* 0 until it exists */
	char *stdin_path, *stdout_path, *stderr_path;
	bool terminal;
	/* until started, by process_set_spec(): process.json; init: a checkpoint's path */
	char *spec;
	size_t spec_len;
	int pid;
	uint64_t start_time;
	enum task_state state;
	uint32_t exit_status;
	int64_t started_at;
	int64_t exited_at;
	bool exit_sent;
	bool starting;	 /* its Start is under way, or was when the last worker died */
	bool awaited;	 /* its readers, before the exit is told */
	int wait_status; /* meanwhile */
	int64_t ended_at;
	bool drained; /* io_drain() has been used up */
	struct io *io;
	struct op *waiters; /* Waits, oldest first */
	struct grave grave;
	UT_hash_handle hh;     /* in c->execs */
	UT_hash_handle hh_key; /* in pod->processes */
};

struct process *process_new(struct container *c, const char *exec_id);
/* exec_id "": init. NULL if there is none. */
struct process *process_find(struct container *c, const char *exec_id);
/* Out of all tables; frees it and its io. Waiters must be gone. */
void process_free(struct process *p);
/* Takes spec, in the place of the one it has; NULL and 0: none any more. */
void process_set_spec(struct process *p, char *spec, size_t len);

static inline bool
process_is_init(const struct process *p)
{
	return p->exec_id[0] == '\0';
}

/* Take the runtime's process: from now on its exit finds us. */
void process_bind(struct process *p, uint64_t key, int pid, uint64_t start_time);
struct process *process_by_key(struct pod *pod, uint64_t key);

/* Checks the table above, logs. */
void process_move(struct process *p, enum task_state next);
/* Its row, inside a transaction. */
void process_put(const struct process *p);
/* An exec whose Start has failed: never ran, never will. */
bool process_failed_start(const struct process *p);
/* Fill in an io spec for io_open()/io_resume(). */
struct io_spec;
void process_io_spec(const struct process *p, struct io_spec *spec);
/* The stored pty master's name, malloc'ed; NULL without a terminal. */
char *process_tty_name(const struct process *p, uint64_t key);
/*
 * Nobody needs the pty master that the keeper may have stored for the process that step
 * key has made, or was to make. 0: none. The keeper does not tell us of such names.
 */
void process_drop_tty(struct pod *pod, uint64_t key);
/*
 * The cgroup it lives in, malloc'ed; "" if that cannot be told. Of one that has ended,
 * too: its pid may be another's by now, and so would be the cgroup.
 */
char *process_cgroup(const struct process *p);
/* wait status → what containerd is told. */
uint32_t process_status_of(int wait_status);

#endif
