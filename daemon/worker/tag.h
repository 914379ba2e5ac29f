/*
 * The tag that rides along with each spawn and comes back with its step and
 * exit: enough to rebuild a row if the store is lost (recovery.md 1.19).
 * Text: kind, then "\nx=value" fields, cut where 512 bytes are full.
 */
#ifndef PODSHIM_WORKER_TAG_H
#define PODSHIM_WORKER_TAG_H

#include <stdbool.h>
#include <stddef.h>

#include "ipc/msg.h"

enum tag_kind {
	TAG_UNKNOWN = 0,
	TAG_CREATE = 'c',
	TAG_START = 's',
	TAG_EXEC = 'x',
	TAG_DELETE = 'd',
	TAG_KILL = 'k',
	TAG_MOUNT = 'm',
	TAG_UMOUNT = 'u',
	TAG_OTHER = 'o',
	/* of memos, not of commands: a Delete, a Purge was answered, its row is not gone yet */
	TAG_DELETED = 'D',
	TAG_PURGED = 'P',
};

struct tag {
	enum tag_kind kind;
	bool terminal;
	bool mounted; /* we mounted the rootfs */
	const char *container;
	const char *exec_id;
	const char *bundle;
	const char *stdin_path;
	const char *stdout_path;
	const char *stderr_path;
};

/* Returns the length. What does not fit is left out from the end. */
size_t tag_write(char out[MSG_TAG_MAX], const struct tag *tag);
/* Fields point into *copy, which the caller frees. False: not one of ours. */
bool tag_read(const struct msg_bytes *bytes, struct tag *out, char **copy);

#endif
