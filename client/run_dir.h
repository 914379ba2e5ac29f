/*
 * The directory of a container that podshimctl runs itself (no containerd):
 * <state root>-run/<namespace>/<id>/, which is its OCI bundle, too.
 *
 *	config.json	made by run_spec.c; address, runtime, ... the shim's
 *	run.json	what was asked for (struct run_info): read by the other verbs
 *	in		FIFO, the container's stdin, if it has one
 *	attach		the log program's socket (ipc/attach.h)
 *	log		the shim's own log
 *
 * Whoever runs the container in the foreground holds a shared lock on the
 * directory; who removes it takes it exclusively.
 */
#ifndef PODSHIM_CLIENT_RUN_DIR_H
#define PODSHIM_CLIENT_RUN_DIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

#define RUN_NAMESPACE "podshim" /* unless -n names another */
#define RUN_LOG_DIR   "/var/log/podshim"
#define RUN_STDIN     "in"
#define RUN_ATTACH    "attach"

struct run_info {
	char *id, *ns, *pod;
	char *log;	 /* path; NULL: none, or the journal */
	bool own_log;	 /* ours to remove: nobody named it */
	char *pid_file;	 /* NULL: none */
	char *exit_file; /* NULL: none */
	bool remove;	 /* when it has ended */
};

/* All malloc'ed. */
char *run_root(const char *state_root);
char *run_dir_path(const char *state_root, const char *ns, const char *id);
char *run_default_log(const char *ns, const char *id);

/* Make it and take the shared lock. -EEXIST: there is one. *fd is the lock. */
int run_dir_make(const char *path, int *fd, struct err *err);
/* Is this bundle one of ours? */
bool run_dir_is(const char *state_root, const char *bundle);

int run_info_write(int dir_fd, const struct run_info *info, struct err *err);
/* -ENOENT: there is none. */
int run_info_read(int dir_fd, struct run_info *out, struct err *err);
void run_info_fini(struct run_info *info);

/*
 * The exit status, as conmon's users know it: decimal digits and nothing else; the
 * file appears as a whole, and its time is that of the exit.
 */
int run_write_exit(const char *path, uint32_t status, int64_t exited_at, struct err *err);

/* Take away the directory, what it made elsewhere, and parents that are empty. */
void run_dir_remove(const char *path, const struct run_info *info);

#endif
