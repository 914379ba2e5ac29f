/*
 * A program run as one step of an operation: the OCI runtime, or our own mount
 * helper. What it prints is kept (64 KiB at most) where a next worker finds it.
 */
#ifndef PODSHIM_WORKER_COMMAND_H
#define PODSHIM_WORKER_COMMAND_H

#include <stdbool.h>

#include "base/clock.h"
#include "base/mem.h"
#include "ipc/msg.h"
#include "oci/runtime.h"
#include "proto/status.h"
#include "worker/tag.h"

struct command;
struct op;

struct command_result {
	bool ok;		     /* exit status 0; with ADOPT: and a process */
	const struct msg_step *step; /* NULL never */
	const char *error; /* what went wrong, for the caller's caller; or NULL */
	/* which code goes with it: DeadlineExceeded if it did not end in time, else Unknown */
	enum status_code code;
};
typedef void (*command_cb)(struct op *op, const struct command_result *res);

struct command {
	struct op *op;
	unsigned step;
	uint64_t key;
	const char *what; /* "OCI runtime create failed" */
	enum tag_kind kind;
	struct strv argv; /* the caller's to fill */
	struct runtime_target
	    target;	/* ready for runtime_*(&cmd->argv, &cmd->target, …) */
	unsigned flags; /* enum spawn_flags */
	char *pid_name, *pid_path; /* with ADOPT */
	int fds[MSG_FDS_MAX];	   /* the caller's: borrowed for command_run() */
	uint32_t fd_nums[MSG_FDS_MAX];
	size_t n_fds;
	bool own_output;   /* fds 1 and 2 are the caller's: nothing is captured */
	boot_us_t began;   /* by this worker's clock; command.c's */
	uint64_t grace_us; /* at least so long, however late the request is */
	/* command.c's */
	char *log_path;
	int out_fd;
	char *out_name;
	struct msg_step saved;
	char *saved_text;
	command_cb cb;
};

/* For op->c, step of op. Never fails. */
struct command *command_new(
    struct op *op, unsigned step, enum tag_kind kind, const char *what);
/* Did an earlier worker ask for it? Then argv and fds will not be used. */
bool command_known(const struct command *cmd);
void command_add_fd(struct command *cmd, int fd, uint32_t num);
/* Takes cmd. cb runs from the loop, once. */
void command_run(struct command *cmd, command_cb cb);
/* One that is not going to be run. */
void command_free(struct command *cmd);

/* The mount helper: orders (mount_orders(); taken), -errno is reported to cb too. */
void command_run_mounts(
    struct op *op, unsigned step, enum tag_kind kind, int orders, command_cb cb);

#endif
