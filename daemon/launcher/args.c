/*
 * Flags by Go's rules, which differ from getopt's: flags end at the first
 * word that is none, a switch takes a value only after '=', and there are no
 * clusters.
 */
#include "launcher/args.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/podpath.h"

struct flag {
	const char *name;
	const char **text; /* one of these two */
	bool *on;
};

/* Go's strconv.ParseBool. */
static int
bool_parse(const char *s, bool *on)
{
	static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};
	static const char *const no[] = {"0", "f", "F", "false", "FALSE", "False"};
	size_t i;

	for (i = 0; i < ARRAY_LEN(yes); i++) {
		if (strcmp(s, yes[i]) == 0 || strcmp(s, no[i]) == 0) {
			*on = strcmp(s, yes[i]) == 0;
			return 0;
		}
	}
	return -EINVAL;
}

/* One flag at argv[*i]; moves *i onto its value if that is a word of its own. */
static int
flag_parse(const struct flag *flags, size_t n_flags, int argc, char *argv[], int *i,
    struct err *err)
{
	const char *word = argv[*i], *name = word + (word[1] == '-' ? 2 : 1);
	size_t len = strcspn(name, "="), k;
	const char *value = name[len] == '=' ? name + len + 1 : NULL;

	if (len == 0 || name[0] == '-')
		return err_setx(err, EINVAL, "bad flag syntax: '%s'", word);
	for (k = 0; k < n_flags; k++)
		if (strlen(flags[k].name) == len &&
		    strncmp(flags[k].name, name, len) == 0)
			break;
	if (k == n_flags)
		return err_setx(err, EINVAL, "unknown flag '%s'", word);
	if (flags[k].on != NULL) {
		if (value == NULL)
			*flags[k].on = true;
		else if (bool_parse(value, flags[k].on) < 0)
			return err_setx(err, EINVAL,
			    "flag '-%s' takes true or false, not '%s'", flags[k].name,
			    value);
		return 0;
	}
	if (value == NULL) {
		if (*i + 1 >= argc)
			return err_setx(
			    err, EINVAL, "flag '-%s' needs a value", flags[k].name);
		value = argv[++*i];
	}
	*flags[k].text = value;
	return 0;
}

int
args_parse(int argc, char *argv[], struct args *out, struct err *err)
{
	const char *unused;
	struct args args = {
	    .ns = "", .id = "", .address = "", .publish_binary = "", .bundle = ""};
	const struct flag flags[] = {
	    {.name = "namespace", .text = &args.ns},
	    {.name = "id", .text = &args.id},
	    {.name = "address", .text = &args.address},
	    {.name = "publish-binary", .text = &args.publish_binary},
	    {.name = "bundle", .text = &args.bundle},
	    {.name = "debug", .on = &args.debug},
	    {.name = "v", .on = &args.version},
	    {.name = "version", .on = &args.version},
	    {.name = "info", .on = &args.info},
	    /* podshimctl's: containerd takes no answer from a shim that fails */
	    {.name = "whole", .on = &args.whole},
	    /* the Go shim's, for runs by hand; containerd never gives them */
	    {.name = "socket", .text = &unused},
	    {.name = "debug-socket", .text = &unused},
	};
	int i, rc;

	for (i = 1; i < argc && argv[i][0] == '-' && argv[i][1] != '\0'; i++) {
		if (strcmp(argv[i], "--") == 0) {
			i++;
			break;
		}
		rc = flag_parse(flags, ARRAY_LEN(flags), argc, argv, &i, err);
		if (rc < 0)
			return rc;
	}
	if (i < argc) {
		if (strcmp(argv[i], "start") == 0)
			args.action = ACTION_START;
		else if (strcmp(argv[i], "delete") == 0)
			args.action = ACTION_DELETE;
		else
			return err_setx(err, EINVAL, "unknown action '%s'", argv[i]);
		if (i + 1 < argc)
			return err_setx(err, EINVAL, "unexpected word '%s' behind '%s'",
			    argv[i + 1], argv[i]);
	}
	*out = args;
	return 0;
}

int
args_check_names(const struct args *args, struct err *err)
{
	if (args->ns[0] == '\0')
		return err_setx(err, EINVAL, "flag '-namespace' is missing or empty");
	if (!pod_id_valid(args->ns))
		return err_setx(
		    err, EINVAL, "namespace '%s' is not a valid identifier", args->ns);
	if (args->id[0] == '\0')
		return err_setx(err, EINVAL, "flag '-id' is missing or empty");
	if (!pod_id_valid(args->id))
		return err_setx(
		    err, EINVAL, "id '%s' is not a valid identifier", args->id);
	return 0;
}
