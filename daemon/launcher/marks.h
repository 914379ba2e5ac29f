/*
 * Marks: what `delete` did to containers without their keeper, for the worker
 * (which must not wake them again), for other `delete`s that run at the same
 * time, and for the last one, which removes the dead pod. One small file per
 * container in the pod's directory: purged/<id>.
 */
#ifndef PODSHIM_LAUNCHER_MARKS_H
#define PODSHIM_LAUNCHER_MARKS_H

#include <stdbool.h>
#include <stdint.h>

struct err;

struct mark {
	int64_t killed_at; /* ns since 1970; 0: found dead */
	bool deleted;	   /* its own `delete` has been here */
};

/* pod_fd: of the pod's directory. False if there is none. */
bool mark_read(int pod_fd, const char *id, struct mark *out);
/*
 * Adds to what is there, whoever writes it at the same time: neither a time nor
 * `deleted` is taken back. 0 or -errno.
 */
int mark_write(int pod_fd, const char *id, const struct mark *mark, struct err *err);

#endif
