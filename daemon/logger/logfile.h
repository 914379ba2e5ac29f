/*
 * The file that lines go to: opened for appending, rotated by size, and never in
 * the way of the container for longer than a write(2) takes. It may be shared with
 * the log programs of other processes (an exec's), and moved or removed by others.
 */
#ifndef PODSHIM_LOGGER_LOGFILE_H
#define PODSHIM_LOGGER_LOGFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct logfile {
	const char *path;
	uint64_t max_size;  /* bytes; 0: no rotation */
	unsigned max_files; /* how many are kept, this one included; at least 1 */
	mode_t mode;
	int dir_fd; /* where it is, whatever becomes of the path */
	char *dir;  /* that, without symbolic links */
	size_t at;  /* where in path its name begins */
	int fd;
	uint64_t size;
	/* what the disk would not take, since it was last told */
	uint64_t lost_lines, lost_bytes;
	int lost_errno;
	/* it could not be rotated, and grows; told: by whoever writes the log */
	bool stuck, stuck_told;
	struct err stuck_why;
};

/*
 * path to mode are set by the caller. Makes missing parents, 0755. The path is looked
 * up this once: what is made, renamed and removed later is so in the same directory,
 * or in one that was made in the place of that. After a failure, too, it is closed.
 */
int logfile_open(struct logfile *f, struct err *err);
/*
 * Append whole lines; a line is never torn, neither by rotation nor by a full
 * disk. What cannot be written is counted in lost_*. Returns 0, or the -errno.
 */
int logfile_write(struct logfile *f, const char *buf, size_t len);
/* Count lines as lost without a try. */
void logfile_lose(struct logfile *f, const char *buf, size_t len);
/* Somebody has moved it away: go on in a new one, if that can be opened. */
void logfile_reopen(struct logfile *f);
void logfile_close(struct logfile *f);

#endif
