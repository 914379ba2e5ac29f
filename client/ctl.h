/*
 * podshimctl: what every verb gets, and how a verb describes itself. A verb is
 * one cmd_<verb>.c that defines a `const struct ctl_verb`, and one row in
 * verbs.h; help, completion and the parsing of the command line follow from
 * its description. It writes to ctl->out, says what went wrong on ctl->err and
 * returns an exit code.
 */
#ifndef PODSHIM_CLIENT_CTL_H
#define PODSHIM_CLIENT_CTL_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/*
 * Exit codes are an interface (podshimctl(1), EXIT STATUS): none changes its
 * meaning. A verb that runs a process returns that one's code instead.
 */
enum ctl_exit {
	CTL_OK = 0,
	CTL_FAILED = 1, /* something could not be read, written or done */
	CTL_USAGE = 2,
	CTL_DENIED = 3,	   /* no permission */
	CTL_NOT_FOUND = 4, /* no such pod or container */
	CTL_TIMEOUT = 5,   /* a pod or its shim did not answer in time */
	CTL_DECLINED = 6,  /* a question was answered with no */

	CTL_NOT_RUN = 125, /* verbs that run a process: it did not come so far, */
	CTL_NO_EXEC = 126, /* the program cannot be executed, */
	CTL_NO_FILE = 127, /* or is not there */
};

enum ctl_format { FORMAT_TABLE, FORMAT_WIDE, FORMAT_JSON, FORMAT_JSONL };

struct ctl {
	FILE *out;
	FILE *err;
	const struct ctl_verb *verb;
	const struct ctl_verb
	    *help_for; /* of help: NULL, or what "--help" stood behind */
	char *path;    /* the verb with those above it: "debug shell" */
	enum ctl_format format;
	bool exact;	  /* times to the nanosecond instead of people's */
	const char *ns;	  /* NULL: all */
	const char *root; /* state root */
	int argc;	  /* what stands behind the verb, options taken out */
	char **argv;
	struct ctl_given *given; /* the verb's own options, see ctl_option() */
	size_t n_given;
};

/* An option of one verb. Those of all verbs stand in args.c. */
struct ctl_option {
	const char *name;  /* without the dashes */
	char letter;	   /* 0: there is none */
	const char *value; /* what is to be given, for people; NULL: nothing. FILE and
			    * DIR are completed as such, WORDs with bars between them
			    * too ("a|b") */
	const char *text;  /* one line */
};
/* For verbs that ask before they act: confirm.h. */
#define CTL_OPTION_YES                                                                   \
	{                                                                                \
		"yes", 'y', NULL, "do not ask"                                           \
	}

/* Where the verb's options may stand. */
enum ctl_order {
	ORDER_ANY = 0, /* anywhere behind the verb, until "--" */
	ORDER_FIRST,   /* before the first argument: what follows is a command line */
	ORDER_NONE,    /* it has none, all that follows are arguments */
};

enum ctl_group {
	GROUP_SEE,
	GROUP_EXPLAIN,
	GROUP_ACT,
	GROUP_RUN,
	GROUP_DEBUG,
	GROUP_SELF
};

#define CTL_ANY_NUMBER INT_MAX

struct ctl_verb {
	const char *name;
	enum ctl_group group;
	const char *args;    /* for people: "[POD]". POD and CONTAINER are completed */
	const char *summary; /* one line, no full stop */
	const char *text;    /* for its --help: sentences, lines of at most 78; NULL */
	const struct ctl_option *options; /* ends with a NULL name; NULL: none */
	const char *examples;		  /* lines, each one a call; NULL */
	enum ctl_order order;
	int min_args;
	int max_args;
	const struct ctl_verb *const *subs; /* verbs below this one, NULL-terminated */
	int (*run)(struct ctl *ctl);	    /* NULL if there are subs */
	enum ctl_exit misuse;		    /* of bad usage; 0: CTL_USAGE */
};

/* The whole program but its process. Returns an exit code. */
int ctl_run(int argc, char **argv, FILE *out, FILE *err);

static inline bool
ctl_is_json(const struct ctl *ctl)
{
	return ctl->format == FORMAT_JSON || ctl->format == FORMAT_JSONL;
}

/*
 * The verb's options as they were given; names that it does not declare are a
 * mistake of ours. ctl_option() is the last one's value ("" if it takes none),
 * NULL if it was not given; ctl_option_nth() is for those that may be repeated.
 */
const char *ctl_option(const struct ctl *ctl, const char *name);
const char *ctl_option_nth(const struct ctl *ctl, const char *name, size_t i);
/* A whole number between min and max; *n is left alone if it was not given. */
int ctl_option_num(
    struct ctl *ctl, const char *name, int64_t min, int64_t max, int64_t *n);
/* For verbs with arguments [POD|--all]: CTL_USAGE unless just one of the two is there. */
int ctl_one_or_all(struct ctl *ctl);

/* "podshimctl: ..." and a newline, on ctl->err; returns CTL_FAILED, or code. */
int ctl_fail(struct ctl *ctl, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int ctl_fail_as(struct ctl *ctl, enum ctl_exit code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Bad usage: what is wrong, and where to read on. Returns CTL_USAGE, or
 * what the verb has in its place. */
int ctl_misuse(struct ctl *ctl, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* The exit code for a -errno: CTL_DENIED, CTL_TIMEOUT or CTL_FAILED. */
enum ctl_exit ctl_exit_of(int rc);

#endif
