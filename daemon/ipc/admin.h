/*
 * Asking a keeper: the admin socket `admin` in the pod's directory. One packet
 * each way, answered by the keeper alone, so it works while the worker is
 * down or hung. All calls block, at most until their time-out.
 */
#ifndef PODSHIM_IPC_ADMIN_H
#define PODSHIM_IPC_ADMIN_H

#include <stddef.h>

struct err;

#define ADMIN_SOCKET "admin"

/*
 * Bind/connect a unix socket by directory and name: the path may be longer
 * than sun_path, so it goes through /proc/self/fd. type: SOCK_SEQPACKET or
 * SOCK_STREAM. Returns the descriptor or -errno.
 */
int unix_listen_at(int dirfd, const char *name, int type, struct err *err);
int unix_connect_at(
    int dirfd, const char *name, int type, int timeout_ms, struct err *err);

/*
 * Hold the pod open for the Create of container `id` (expires after 30 s,
 * released by that Create). -EAGAIN: the keeper is ending, start over.
 */
int admin_pin(int dirfd, const char *id, int timeout_ms, struct err *err);

/*
 * Ask for the keeper's own account of itself: lines of key=value. Keys:
 * keeper_pid worker_pid worker_restarts worker_state left_behind version build since_us
 * namespace group socket requests children connections fds pins in_hand mark. *text is the caller's.
 */
int admin_status(int dirfd, int timeout_ms, char **text, struct err *err);
/*
 * What is in hand: a line of "step key=..." for each step that is kept, one of
 * "request n=..." for each unanswered request, with the beginning of its frame in
 * hex, and one of "stored NAME = FD" for each descriptor in the store. *text is the caller's. -ENOSYS: an older keeper.
 */
int admin_detail(int dirfd, int timeout_ms, char **text, struct err *err);
/*
 * For those who answer: what others chose, the name of a pod above all, must not pass for
 * a line of its own. Control bytes become '?'.
 */
void admin_clean(char *text);
/* One value of that text, malloc'ed; NULL if there is none. */
char *admin_status_get(const char *text, const char *key);

/* Replace the worker; exe_fd -1: by the same build. Blocks till done. */
int admin_upgrade(int dirfd, int exe_fd, int timeout_ms, char **text, struct err *err);
int admin_restart(int dirfd, int timeout_ms, char **text, struct err *err);
/*
 * Containerd has given up all that the pod has: it ends, if no worker comes up any more
 * to see to that, and nothing runs. -EBUSY: not so. -ENOSYS: an older keeper.
 */
int admin_end(int dirfd, int timeout_ms, struct err *err);
/* Write the dump file; *text is its path. */
int admin_dump(int dirfd, int timeout_ms, char **text, struct err *err);

#endif
