/*
 * What pods' databases keep of the past: events, delivered or not, and the
 * lines of history. Read from where a reader stood last, so that following
 * costs little: a database that has not been written since is not opened.
 */
#ifndef PODSHIM_CLIENT_PAST_H
#define PODSHIM_CLIENT_PAST_H

#include <stddef.h>
#include <stdint.h>

#include "client/ctl.h"

struct past_event {
	char *ns;
	char *pod;
	uint64_t seq;
	char *container;
	char *exec_id;
	char *topic;
	int64_t t;
	unsigned attempts;
	char *transport; /* NULL: still to be delivered */
	int64_t sent_at;
};

struct past_line {
	char *ns;
	char *pod;
	uint64_t n;
	int64_t t;
	char *container;
	char *exec_id;
	char *what;
	char *detail;
};

struct past {
	struct past_event *events; /* by time */
	size_t n_events;
	struct past_line *lines; /* by time */
	size_t n_lines;
};

enum past_what { PAST_EVENTS, PAST_LINES };
typedef void (*past_show)(const struct past *past, void *arg);

/*
 * Show what is known, once, and then with `follow` what is new, until the output
 * is closed. The verb's argument, if there is one, names a pod or a container; one
 * that has been deleted since is found in what is known of it. A database that
 * cannot be read is said on ctl->err and makes the exit code, the others are shown
 * all the same.
 */
int past_run(
    struct ctl *ctl, enum past_what what, bool follow, past_show show, void *arg);

#endif
