/*
 * What `why` and `doctor` find: a sentence, how bad it is, and what to do.
 */
#ifndef PODSHIM_CLIENT_FINDING_H
#define PODSHIM_CLIENT_FINDING_H

#include <stddef.h>

#include "client/ctl.h"

enum severity {
	FINDING_NOTE,	 /* nothing is wrong, but it explains something */
	FINDING_WARNING, /* something waits, or is not as it should be */
	FINDING_BAD,	 /* it will not mend by itself */
};

struct finding {
	enum severity severity;
	const char *code; /* stable, for programs: "worker-stopped" */
	char
	    *subject; /* "namespace/pod", "namespace/pod/container", a path; never NULL */
	char *text;   /* one sentence or two */
	char *advice; /* NULL: none */
};

struct findings {
	struct finding *v;
	size_t n;
};

/* code is a literal. */
void finding_add(struct findings *f, enum severity severity, const char *code,
    const char *subject, const char *advice, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));
void findings_fini(struct findings *f);
/* How many are at least so bad. */
size_t findings_count(const struct findings *f, enum severity least);
/* In the format that was asked for; healthy: what people are told if there is none. */
void findings_print(struct ctl *ctl, const struct findings *f, const char *healthy);

#endif
