/*
 * Asking a living keeper to end what is left of a container: one ttrpc
 * request, podshim.v1.Admin/Purge, on the pod's ordinary socket.
 */
#ifndef PODSHIM_LAUNCHER_PURGE_H
#define PODSHIM_LAUNCHER_PURGE_H

#include <stdint.h>

#include "base/clock.h"

struct err;

enum purge_result {
	PURGE_DONE,	 /* ended, and this is how */
	PURGE_UNKNOWN,	 /* never heard of it, or no room to clean: all that is ours */
	PURGE_SILENT,	 /* somebody is there, but gives no answer we can use */
	PURGE_NO_KEEPER, /* nobody is there */
};

struct purge_answer {
	uint32_t pid;
	uint32_t exit_status;
	int64_t exited_at; /* ns since 1970; 0 none: the rest says nothing */
};

/* Blocks until end at most. *err says why for the last two. */
enum purge_result purge_ask(const char *socket_path, const char *id, boot_us_t end,
    struct purge_answer *out, struct err *err);

#endif
