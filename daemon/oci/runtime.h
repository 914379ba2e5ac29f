/*
 * The OCI runtime's command line: argument vectors and what its log says.
 * Nothing is run here; task files hand the vector to link_spawn().
 */
#ifndef PODSHIM_OCI_RUNTIME_H
#define PODSHIM_OCI_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

struct err;
struct options;

#define RUNTIME_DEFAULT_ROOT "/run/containerd/runc"

/* What every command of one container needs. Borrowed. */
struct runtime_target {
	const struct options *opts;
	const char *ns; /* containerd namespace: part of --root */
	const char *id;
	const char *bundle;
	const char *log_path; /* --log: one file per command, in the pod's directory */
};

/* <root or default>/<namespace>; malloc'ed. */
char *runtime_root(const struct options *opts, const char *ns);

/* Each appends a whole argv. pid_path: file the runtime writes. */
void runtime_create(struct strv *argv, const struct runtime_target *t,
    const char *pid_path, bool console);
void runtime_start(struct strv *argv, const struct runtime_target *t);
void runtime_exec(struct strv *argv, const struct runtime_target *t,
    const char *process_path, const char *pid_path, bool console);
void runtime_kill(struct strv *argv, const struct runtime_target *t, int signo, bool all);
void runtime_delete(struct strv *argv, const struct runtime_target *t, bool force);
void runtime_pause(struct strv *argv, const struct runtime_target *t);
void runtime_resume(struct strv *argv, const struct runtime_target *t);
/* The resources, as JSON, come on its stdin. */
void runtime_update(struct strv *argv, const struct runtime_target *t);

/* As containerd.runc.v1.CheckpointOptions; NULL and "" are the same. Borrowed. */
struct runtime_checkpoint_opts {
	const char *image_path;
	const char *work_path;
	const char *parent_path;
	const char *cgroups_mode;
	const char *const *empty_namespaces;
	size_t n_empty_namespaces;
	bool exit; /* else the container runs on */
	bool open_tcp;
	bool external_unix_sockets;
	bool terminal;
	bool file_locks;
};
void runtime_checkpoint(struct strv *argv, const struct runtime_target *t,
    const struct runtime_checkpoint_opts *opts);
/* A Create from a checkpoint: takes the place of create and start in one. */
void runtime_restore(struct strv *argv, const struct runtime_target *t,
    const char *pid_path, bool console, const struct runtime_checkpoint_opts *opts);

/*
 * Why a command failed: the last error line of its JSON log, else the last
 * non-empty line of what it printed, else its wait status in words. what:
 * "OCI runtime create failed". *out is malloc'ed, valid UTF-8, <= 4 KiB.
 */
char *runtime_error(const char *what, const char *log_path, const char *printed,
    size_t printed_len, int wait_status);
/* Does that text mean the container does not exist / is not running? */
bool runtime_error_is_gone(const char *text);

#endif
