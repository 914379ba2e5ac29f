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
	char *spec; /* until started: process.json; init: a checkpoint's path */
	size_t spec_len;
	int pid;
	uint64_t start_time;
	enum task_state state;
	uint32_t exit_status;
	int64_t started_at;
	int64_t exited_at;
	bool exit_sent;
	bool starting;	 /* its Start is under way */
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
/* wait status → what containerd is told. */
uint32_t process_status_of(int wait_status);

#endif
