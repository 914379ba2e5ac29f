/*
 * Crash records: what a keeper wrote down about a worker that died
 * (keeper/blame.c), the newest few, as files crash-<generation>.txt in the
 * pod's directory.
 */
#ifndef PODSHIM_CLIENT_CRASH_H
#define PODSHIM_CLIENT_CRASH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/mem.h"

struct err;

struct crash_field {
	char *key;
	char *value;
};

struct crash_frame {
	char *address;	/* as recorded */
	char *offset;	/* in the executable */
	char *resolved; /* "function at file:line"; NULL: not known */
};

struct crash {
	unsigned long generation;
	struct crash_field *fields; /* but frames and traces, in their order */
	size_t n_fields;
	struct crash_frame *frames; /* innermost first */
	size_t n_frames;
	struct strv traces; /* oldest first */
};

struct crashes {
	struct crash *v; /* by generation */
	size_t n;
};

int crashes_load(const char *pod_dir, struct crashes *out, struct err *err);
void crashes_fini(struct crashes *crashes);
/* "" if there is none. */
const char *crash_field(const struct crash *c, const char *key);
/*
 * Give frames their names: by addr2line, if there is one, and if the executable
 * that died is still there.
 */
void crash_resolve(struct crash *c);

#endif
