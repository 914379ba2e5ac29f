/*
 * The command line: options of all verbs may stand before or behind the verb,
 * a verb's own behind it. getopt's own messages are replaced, so that all output
 * goes where the caller wants it (tests capture it).
 */
#include "client/args.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "client/nearest.h"
#include "client/verbs.h"

const struct ctl_option ctl_global_options[] = {
    {"output", 'o', "table|wide|json|jsonl", "how to print; table is the default"},
    {"namespace", 'n', "NAME", "only pods of this containerd namespace"},
    {"exact", 0, NULL, "times in full, sizes in bytes"},
    {"state-root", 0, "DIR", "where the pods' directories are"},
    {"help", 'h', NULL, "what the command does"},
    {"version", 'v', NULL, "the version of podshimctl"},
    {0},
};

struct ctl_given {
	const struct ctl_option *option;
	const char *value;
};

/* --- the verb's options, as getopt wants them ------------------------------ */

#define OPTIONS_MAX   32
#define OPTION_OFFSET 256 /* getopt's value of the option with index 0 */

/* The global options, then the verb's. */
struct spec {
	const struct ctl_option *of[OPTIONS_MAX];
	struct option longs[OPTIONS_MAX + 1];
	char shorts[2 * OPTIONS_MAX + 3];
	size_t n;
};

static void
spec_add(struct spec *s, const struct ctl_option *options)
{
	const struct ctl_option *o;
	size_t len = strlen(s->shorts);

	for (o = options; o != NULL && o->name != NULL; o++) {
		assert(s->n < OPTIONS_MAX);
		s->of[s->n] = o;
		s->longs[s->n] = (struct option){.name = o->name,
		    .has_arg = o->value != NULL ? required_argument : no_argument,
		    .val = OPTION_OFFSET + (int)s->n};
		s->n++;
		if (o->letter == 0)
			continue;
		s->shorts[len++] = o->letter;
		if (o->value != NULL)
			s->shorts[len++] = ':';
	}
	s->shorts[len] = '\0';
}

/* The option that getopt found. */
static const struct ctl_option *
spec_find(const struct spec *s, int c)
{
	size_t i;

	if (c >= OPTION_OFFSET)
		return s->of[c - OPTION_OFFSET];
	for (i = 0; i < s->n; i++)
		if (s->of[i]->letter == c)
			return s->of[i];
	return NULL;
}

/* --- options -------------------------------------------------------------- */

static int
format_parse(struct ctl *ctl, const char *s)
{
	static const char *const names[] = {[FORMAT_TABLE] = "table",
	    [FORMAT_WIDE] = "wide",
	    [FORMAT_JSON] = "json",
	    [FORMAT_JSONL] = "jsonl"};
	size_t i;

	for (i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(s, names[i]) == 0) {
			ctl->format = (enum ctl_format)i;
			return CTL_OK;
		}
	}
	return ctl_misuse(
	    ctl, "unknown output format '%s' (table, wide, json, jsonl)", s);
}

static int
option_take(struct ctl *ctl, const struct ctl_option *o, const char *value, bool *help)
{
	const struct ctl_option *g = ctl_global_options;

	while (g->name != NULL && g != o)
		g++;
	if (g->name == NULL) {
		ctl->given =
		    mem_realloc(ctl->given, (ctl->n_given + 1) * sizeof *ctl->given);
		ctl->given[ctl->n_given++] =
		    (struct ctl_given){.option = o, .value = value};
		return CTL_OK;
	}
	if (strcmp(o->name, "output") == 0)
		return format_parse(ctl, value);
	if (strcmp(o->name, "namespace") == 0)
		ctl->ns = value;
	else if (strcmp(o->name, "exact") == 0)
		ctl->exact = true;
	else if (strcmp(o->name, "state-root") == 0)
		ctl->root = value;
	else if (strcmp(o->name, "version") == 0)
		ctl->verb = &verb_version;
	else
		*help = true;
	return CTL_OK;
}

/*
 * Options of argv[*at..]; *at then stands at the first argument. first: do not
 * look behind it.
 */
static int
options_parse(struct ctl *ctl, const struct ctl_option *own, bool first, int argc,
    char **argv, int *at, bool *help)
{
	const struct ctl_option *o;
	struct spec s = {.shorts = ":"};
	int c, rc;

	if (first)
		(void)memcpy(s.shorts, "+:", 3);
	spec_add(&s, ctl_global_options);
	spec_add(&s, own);
	/* getopt begins at 1; what stands before is for it the program's name */
	argv += *at - 1;
	argc -= *at - 1;
	optind = 0; /* begin anew, also in a process that parsed before */
	opterr = 0;
	while ((c = getopt_long(argc, argv, s.shorts, s.longs, NULL)) != -1) {
		if (c == ':')
			return ctl_misuse(
			    ctl, "option '%s' wants a value", argv[optind - 1]);
		o = c == '?' ? NULL : spec_find(&s, c);
		if (o == NULL && optopt > 0 && optopt < OPTION_OFFSET)
			return ctl_misuse(ctl, "unknown option '-%c'", optopt);
		if (o == NULL && optopt >= OPTION_OFFSET)
			return ctl_misuse(ctl, "option '--%s' takes no value",
			    spec_find(&s, optopt)->name);
		if (o == NULL)
			return ctl_misuse(ctl, "unknown option '%s'", argv[optind - 1]);
		rc = option_take(ctl, o, optarg, help);
		if (rc != CTL_OK)
			return rc;
	}
	*at += optind - 1;
	return CTL_OK;
}

static bool
option_is(const struct ctl_given *g, const char *name)
{
	return strcmp(g->option->name, name) == 0;
}

static void
option_must_exist(const struct ctl *ctl, const char *name)
{
	const struct ctl_option *o = ctl->verb->options;

	while (o != NULL && o->name != NULL && strcmp(o->name, name) != 0)
		o++;
	assert(o != NULL && o->name != NULL);
	(void)o;
}

const char *
ctl_option_nth(const struct ctl *ctl, const char *name, size_t i)
{
	size_t k;

	option_must_exist(ctl, name);
	for (k = 0; k < ctl->n_given; k++)
		if (option_is(&ctl->given[k], name) && i-- == 0)
			return ctl->given[k].value == NULL ? "" : ctl->given[k].value;
	return NULL;
}

const char *
ctl_option(const struct ctl *ctl, const char *name)
{
	const char *value = NULL, *next;
	size_t i;

	for (i = 0; (next = ctl_option_nth(ctl, name, i)) != NULL; i++)
		value = next;
	return value;
}

int
ctl_option_num(struct ctl *ctl, const char *name, int64_t min, int64_t max, int64_t *n)
{
	const char *s = ctl_option(ctl, name);
	long long value;
	char *end;

	if (s == NULL)
		return CTL_OK;
	errno = 0;
	value = strtoll(s, &end, 10);
	if (errno != 0 || end == s || *end != '\0' || value < min || value > max)
		return ctl_misuse(ctl, "'--%s %s': not a number from %lld to %lld", name,
		    s, (long long)min, (long long)max);
	*n = value;
	return CTL_OK;
}

int
ctl_one_or_all(struct ctl *ctl)
{
	bool all = ctl_option(ctl, "all") != NULL;

	if (all && ctl->argc > 0)
		return ctl_misuse(ctl, "'%s': either a pod or '--all'", ctl->path);
	if (!all && ctl->argc == 0)
		return ctl_misuse(ctl, "'%s' wants a pod or '--all'", ctl->path);
	return CTL_OK;
}

/* --- the whole line --------------------------------------------------------- */

static const struct ctl_verb *
verb_find(const struct ctl_verb *const *verbs, const char *name)
{
	for (; *verbs != NULL; verbs++)
		if (strcmp((*verbs)->name, name) == 0)
			return *verbs;
	return NULL;
}

static int
verb_unknown(struct ctl *ctl, const struct ctl_verb *const *verbs, const char *name)
{
	struct nearest nearest = {.want = name};
	AUTO_FREE char *near = NULL;

	for (; *verbs != NULL; verbs++)
		nearest_offer(&nearest, (*verbs)->name);
	near = nearest_text(&nearest);
	return ctl_misuse(ctl, "unknown command '%s%s%s'%s",
	    ctl->path == NULL ? "" : ctl->path, ctl->path == NULL ? "" : " ", name, near);
}

static void
path_add(struct ctl *ctl, const char *name)
{
	char *path =
	    ctl->path == NULL ? mem_strdup(name) : mem_printf("%s %s", ctl->path, name);

	free(ctl->path);
	ctl->path = path;
}

/* Options of all verbs, and verbs, down to one that has none below it. */
static int
verbs_parse(struct ctl *ctl, int argc, char **argv, int *at, bool *help)
{
	const struct ctl_verb *const *verbs = ctl_verbs;
	int rc;

	for (;;) {
		rc = options_parse(ctl, NULL, true, argc, argv, at, help);
		if (rc != CTL_OK || *help || ctl->verb == &verb_version)
			return rc;
		if (*at >= argc)
			return ctl->path == NULL
			    ? ctl_misuse(ctl, "no command given")
			    : ctl_misuse(ctl, "'%s': which of its commands?", ctl->path);
		ctl->verb = verb_find(verbs, argv[*at]);
		if (ctl->verb == NULL)
			return verb_unknown(ctl, verbs, argv[*at]);
		path_add(ctl, ctl->verb->name);
		(*at)++;
		verbs = ctl->verb->subs;
		if (verbs == NULL)
			return CTL_OK;
	}
}

/* "--help": the verb becomes help's argument. */
static int
help_instead(struct ctl *ctl, const struct ctl_verb *of)
{
	ctl->verb = &verb_help;
	ctl->help_for = of;
	return CTL_OK;
}

int
args_parse(struct ctl *ctl, int argc, char **argv)
{
	const struct ctl_verb *v;
	bool help = false;
	int at = 1, rc;

	rc = verbs_parse(ctl, argc, argv, &at, &help);
	if (rc != CTL_OK)
		return rc;
	if (help)
		return help_instead(ctl, ctl->verb);
	v = ctl->verb;
	if (ctl->path == NULL) /* --version */
		return CTL_OK;
	if (v->order != ORDER_NONE) {
		rc = options_parse(
		    ctl, v->options, v->order == ORDER_FIRST, argc, argv, &at, &help);
		if (rc != CTL_OK)
			return rc;
		if (help)
			return help_instead(ctl, v);
		if (ctl->verb == &verb_version && v != &verb_version)
			return CTL_OK;
	}
	ctl->argc = argc - at;
	ctl->argv = argv + at;
	if (ctl->argc < v->min_args)
		return ctl_misuse(ctl, "'%s' wants %s", ctl->path, v->args);
	if (ctl->argc > v->max_args)
		return ctl_misuse(ctl, "'%s': one argument too many: '%s'", ctl->path,
		    ctl->argv[v->max_args]);
	return CTL_OK;
}

void
args_fini(struct ctl *ctl)
{
	free(ctl->path);
	free(ctl->given);
}
