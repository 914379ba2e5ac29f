/*
 * podshimctl help, written from the table of verbs: a new verb is in it at once.
 */
#include <ctype.h>
#include <string.h>

#include "base/mem.h"
#include "base/podpath.h"
#include "client/args.h"
#include "client/verbs.h"

static void
options_print(const struct ctl_option *o, FILE *out)
{
	for (; o->name != NULL; o++) {
		bool values = o->value != NULL;
		AUTO_FREE char *names =
		    mem_printf("%s%c%s--%s%s%s", o->letter != 0 ? "-" : " ",
			o->letter != 0 ? o->letter : ' ', o->letter != 0 ? ", " : "  ",
			o->name, values ? " " : "", values ? o->value : "");

		if (strlen(names) > 26)
			(void)fprintf(out, "  %s\n  %26s  %s\n", names, "", o->text);
		else
			(void)fprintf(out, "  %-26s  %s\n", names, o->text);
	}
}

static void
verbs_print(const struct ctl_verb *const *verbs, enum ctl_group group, FILE *out)
{
	for (; *verbs != NULL; verbs++) {
		AUTO_FREE char *call =
		    mem_printf("%s %s", (*verbs)->name, (*verbs)->args);

		if ((*verbs)->group != group)
			continue;
		if (strlen(call) > 26)
			(void)fprintf(
			    out, "  %s\n  %26s  %s\n", call, "", (*verbs)->summary);
		else
			(void)fprintf(out, "  %-26s  %s\n", call, (*verbs)->summary);
	}
}

/* What is not a failure of one verb alone. */
static const char exit_codes[] =
    "  0 done                      4 no such pod or container\n"
    "  1 failed                    5 no answer in time\n"
    "  2 bad usage                 6 a question was answered with no\n"
    "  3 no permission\n"
    "  Commands that run a process return its exit code, or 125 if it did not come\n"
    "  so far, 126 if the program cannot be executed, 127 if it is not there.\n";

static void
help_of_all(FILE *out)
{
	static const char *const groups[] = {[GROUP_SEE] = "See",
	    [GROUP_EXPLAIN] = "Explain",
	    [GROUP_ACT] = "Act",
	    [GROUP_RUN] = "Run without containerd",
	    [GROUP_DEBUG] = "Debug",
	    [GROUP_SELF] = "Other"};
	const struct ctl_verb *const *v;
	size_t g;

	(void)fprintf(out,
	    "usage: podshimctl [OPTION]... COMMAND [ARGUMENT]...\n"
	    "Look at the pods that podshim runs, and act on them.\n");
	for (g = 0; g < ARRAY_LEN(groups); g++) {
		for (v = ctl_verbs; *v != NULL && (size_t)(*v)->group != g; v++)
			;
		if (*v == NULL)
			continue;
		(void)fprintf(out, "\n%s:\n", groups[g]);
		verbs_print(ctl_verbs, (enum ctl_group)g, out);
	}
	(void)fprintf(out, "\nOptions, before or behind the command:\n");
	options_print(ctl_global_options, out);
	(void)fprintf(out,
	    "\nPods' directories are in $PODSHIM_STATE_ROOT, else %s.\n"
	    "'podshimctl COMMAND --help' tells more.\n"
	    "\nExit codes:\n%s",
	    POD_STATE_ROOT, exit_codes);
}

static void
help_of_verb(const struct ctl_verb *v, const char *path, FILE *out)
{
	const struct ctl_verb *const *sub;
	const struct ctl_option *o;

	(void)fprintf(out, "usage: podshimctl %s%s%s%s%s\n\n%c%s.\n", path,
	    v->options != NULL ? " [OPTION]..." : "", v->subs != NULL ? " COMMAND" : "",
	    *v->args != '\0' ? " " : "", v->args, toupper((unsigned char)*v->summary),
	    v->summary + 1);
	if (v->text != NULL)
		(void)fprintf(out, "\n%s\n", v->text);
	if (v->subs != NULL) {
		(void)fprintf(out, "\nCommands:\n");
		for (sub = v->subs; *sub != NULL; sub++)
			verbs_print((const struct ctl_verb *const[]){*sub, NULL},
			    (*sub)->group, out);
	}
	if (v->options != NULL) {
		(void)fprintf(out, "\nOptions:\n");
		options_print(v->options, out);
	}
	(void)fprintf(out, "\nOptions of all commands:\n");
	for (o = ctl_global_options; o->name != NULL; o++)
		(void)fprintf(
		    out, " %s --%s", o == ctl_global_options ? " " : "", o->name);
	(void)fprintf(out, "  (see 'podshimctl --help')\n");
	if (v->examples != NULL)
		(void)fprintf(out, "\nExamples:\n%s\n", v->examples);
	(void)fprintf(out, "\nExit codes:\n%s", exit_codes);
}

/* "help VERB [VERB]": the same as "VERB [VERB] --help". */
static int
help_named(struct ctl *ctl)
{
	const struct ctl_verb *const *verbs = ctl_verbs, *v = NULL;
	AUTO_FREE char *path = mem_strdup("");
	char *longer;
	int i;

	for (i = 0; i < ctl->argc; i++) {
		for (; verbs != NULL && *verbs != NULL; verbs++)
			if (strcmp((*verbs)->name, ctl->argv[i]) == 0)
				break;
		if (verbs == NULL || *verbs == NULL)
			return ctl_misuse(ctl, "unknown command '%s'", ctl->argv[i]);
		v = *verbs;
		verbs = v->subs;
		longer = mem_printf("%s%s%s", path, *path == '\0' ? "" : " ", v->name);
		free(path);
		path = longer;
	}
	help_of_verb(v, path, ctl->out);
	return CTL_OK;
}

static int
cmd_help(struct ctl *ctl)
{
	if (ctl->argc > 0)
		return help_named(ctl);
	if (ctl->help_for != NULL)
		help_of_verb(ctl->help_for, ctl->path, ctl->out);
	else
		help_of_all(ctl->out);
	return CTL_OK;
}

const struct ctl_verb verb_help = {
    .name = "help",
    .group = GROUP_SELF,
    .args = "[COMMAND]",
    .summary = "this text, or that of a command",
    .max_args = 2,
    .run = cmd_help,
};
