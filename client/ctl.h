/*
 * podshimctl: what every verb gets, and the table of verbs. A verb is one
 * function in cmd_<verb>.c and one row in ctl.c; it writes to ctl->out, says
 * what went wrong on ctl->err and returns the exit code.
 */
#ifndef PODSHIM_CLIENT_CTL_H
#define PODSHIM_CLIENT_CTL_H

#include <stdbool.h>
#include <stdio.h>

enum ctl_exit {
	CTL_OK = 0,
	CTL_FAILED = 1, /* no such pod, something could not be read or written */
	CTL_USAGE = 2,
};

enum ctl_format { FORMAT_TABLE, FORMAT_JSON };

struct ctl {
	FILE *out;
	FILE *err;
	enum ctl_format format;
	const char *ns;	  /* NULL: all */
	const char *root; /* state root */
	bool all;
	const char *worker; /* executable; NULL: the installed one */
	unsigned jobs;
	int argc; /* what stands behind the verb, options taken out */
	char **argv;
};

enum { TAKES_ALL = 1, TAKES_WORKER = 2 };

struct ctl_verb {
	const char *name;
	const char *args; /* for people: "[POD]" */
	const char *summary;
	int min_args;
	int max_args;
	unsigned takes; /* TAKES_*: options that are not for every verb */
	int (*run)(struct ctl *ctl);
};

extern const struct ctl_verb ctl_verbs[]; /* ends with a NULL name */

/* The whole program but its process. Returns an exit code. */
int ctl_run(int argc, char **argv, FILE *out, FILE *err);
/* "podshimctl: ..." and a newline, on ctl->err; returns CTL_FAILED. */
int ctl_fail(struct ctl *ctl, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

int cmd_crashes(struct ctl *ctl);
int cmd_dump(struct ctl *ctl);
int cmd_help(struct ctl *ctl);
int cmd_inspect(struct ctl *ctl);
int cmd_list(struct ctl *ctl);
int cmd_restart(struct ctl *ctl);
int cmd_tasks(struct ctl *ctl);
int cmd_upgrade(struct ctl *ctl);
int cmd_version(struct ctl *ctl);

#endif
