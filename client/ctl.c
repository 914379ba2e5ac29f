/*
 * The command line: options may stand before or behind the verb, the table of
 * verbs says the rest. getopt's own messages are replaced, so that all output
 * goes where the caller wants it (tests capture it).
 */
#include "client/ctl.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/podpath.h"
#include "client/text.h"

const struct ctl_verb ctl_verbs[] = {
    {"list", "", "the pods and how they are", 0, 0, 0, cmd_list},
    {"tasks", "[POD]", "the processes in all pods or in one", 0, 1, 0, cmd_tasks},
    {"inspect", "POD|CONTAINER", "all that is known of a pod or of a container", 1, 1, 0,
	cmd_inspect},
    {"upgrade", "POD|--all", "give pods the installed worker, or another", 0, 1,
	TAKES_ALL | TAKES_WORKER, cmd_upgrade},
    {"restart", "POD|--all", "restart workers, each with the build it has", 0, 1,
	TAKES_ALL, cmd_restart},
    {"crashes", "POD", "how the pod's workers died", 1, 1, 0, cmd_crashes},
    {"dump", "POD", "have the keeper write down its state", 1, 1, 0, cmd_dump},
    {"version", "", "the version of podshimctl", 0, 0, 0, cmd_version},
    {"help", "", "this text", 0, 0, 0, cmd_help},
    {0},
};

enum { OPT_STATE_ROOT = 256, OPT_ALL, OPT_JOBS, OPT_WORKER };

#define JOBS_DEFAULT 4u
#define JOBS_MAX     64u

static const struct option options[] = {
    {"output", required_argument, NULL, 'o'},
    {"namespace", required_argument, NULL, 'n'},
    {"state-root", required_argument, NULL, OPT_STATE_ROOT},
    {"all", no_argument, NULL, OPT_ALL},
    {"jobs", required_argument, NULL, OPT_JOBS},
    {"worker", required_argument, NULL, OPT_WORKER},
    {"version", no_argument, NULL, 'v'},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static void __attribute__((format(printf, 2, 0)))
ctl_say(FILE *err, const char *fmt, va_list ap)
{
	AUTO_FREE char *text = NULL;
	AUTO_FREE char *safe = NULL;

	if (vasprintf(&text, fmt, ap) < 0) {
		text = NULL;
		return;
	}
	safe = text_safe(text);
	(void)fprintf(err, "podshimctl: %s\n", safe);
}

int
ctl_fail(struct ctl *ctl, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	ctl_say(ctl->err, fmt, ap);
	va_end(ap);
	return CTL_FAILED;
}

/* Bad usage: what is wrong, and where to read on. */
static int __attribute__((format(printf, 2, 3)))
ctl_misuse(struct ctl *ctl, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	ctl_say(ctl->err, fmt, ap);
	va_end(ap);
	(void)fprintf(ctl->err, "Try 'podshimctl help'.\n");
	return CTL_USAGE;
}

static const struct ctl_verb *
verb_find(const char *name)
{
	const struct ctl_verb *v;

	for (v = ctl_verbs; v->name != NULL; v++)
		if (strcmp(v->name, name) == 0)
			return v;
	return NULL;
}

static int
format_parse(struct ctl *ctl, const char *s)
{
	if (strcmp(s, "table") == 0)
		ctl->format = FORMAT_TABLE;
	else if (strcmp(s, "json") == 0)
		ctl->format = FORMAT_JSON;
	else
		return ctl_misuse(ctl, "unknown output format '%s' (table, json)", s);
	return 0;
}

static int
jobs_parse(struct ctl *ctl, const char *s)
{
	char *end;
	unsigned long n = strtoul(s, &end, 10);

	if (*s < '0' || *s > '9' || *end != '\0' || n < 1 || n > JOBS_MAX)
		return ctl_misuse(
		    ctl, "'%s' is no number of jobs (1 to %u)", s, JOBS_MAX);
	ctl->jobs = (unsigned)n;
	return 0;
}

/* Does what was given fit the verb? */
static int
ctl_check(struct ctl *ctl, const struct ctl_verb *v)
{
	bool one_or_all = (v->takes & TAKES_ALL) != 0;

	if ((ctl->all || ctl->jobs != 0) && !one_or_all)
		return ctl_misuse(
		    ctl, "'%s' does not take '--all' and '--jobs'", v->name);
	if (ctl->worker != NULL && (v->takes & TAKES_WORKER) == 0)
		return ctl_misuse(ctl, "'%s' does not take '--worker'", v->name);
	if (ctl->argc < v->min_args || (one_or_all && ctl->argc == 0 && !ctl->all))
		return ctl_misuse(ctl, "'%s' wants %s", v->name, v->args);
	if (ctl->argc > v->max_args)
		return ctl_misuse(ctl, "'%s': one argument too many: '%s'", v->name,
		    ctl->argv[v->max_args]);
	if (ctl->all && ctl->argc > 0)
		return ctl_misuse(ctl, "'%s': either a pod or '--all'", v->name);
	if (ctl->jobs == 0)
		ctl->jobs = JOBS_DEFAULT;
	return 0;
}

/* Options and verb; *verb is set when there is something to run. */
static int
ctl_parse(struct ctl *ctl, int argc, char **argv, const struct ctl_verb **verb)
{
	int c, rc;

	optind = 0; /* begin anew, also in a process that parsed before */
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":o:n:vh", options, NULL)) != -1) {
		switch (c) {
		case 'o':
			rc = format_parse(ctl, optarg);
			if (rc != 0)
				return rc;
			break;
		case 'n': ctl->ns = optarg; break;
		case OPT_STATE_ROOT: ctl->root = optarg; break;
		case OPT_ALL: ctl->all = true; break;
		case OPT_JOBS:
			rc = jobs_parse(ctl, optarg);
			if (rc != 0)
				return rc;
			break;
		case OPT_WORKER: ctl->worker = optarg; break;
		case 'v': *verb = verb_find("version"); return 0;
		case 'h': *verb = verb_find("help"); return 0;
		case ':':
			return ctl_misuse(
			    ctl, "option '%s' wants a value", argv[optind - 1]);
		default:
			if (optopt > 0 && optopt < 256)
				return ctl_misuse(ctl, "unknown option '-%c'", optopt);
			return ctl_misuse(ctl, "unknown option '%s'", argv[optind - 1]);
		}
	}
	if (optind >= argc)
		return ctl_misuse(ctl, "no command given");
	*verb = verb_find(argv[optind]);
	if (*verb == NULL)
		return ctl_misuse(ctl, "unknown command '%s'", argv[optind]);
	ctl->argc = argc - optind - 1;
	ctl->argv = argv + optind + 1;
	return ctl_check(ctl, *verb);
}

int
ctl_run(int argc, char **argv, FILE *out, FILE *err)
{
	struct ctl ctl = {.out = out, .err = err, .root = pod_state_root()};
	const struct ctl_verb *verb = NULL;
	int rc;

	rc = ctl_parse(&ctl, argc, argv, &verb);
	if (rc != 0)
		return rc;
	rc = verb->run(&ctl);
	if ((fflush(out) != 0 || ferror(out)) && rc == CTL_OK)
		return ctl_fail(&ctl, "write: %s", strerror(errno));
	return rc;
}
