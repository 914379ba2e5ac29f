/*
 * See exec_spec.h. What surprises: limits are written by Go as unsigned 64-bit
 * numbers, which jansson holds as doubles only; so every number of the document
 * is made whole again, and one that is too large becomes the largest that fits.
 */
#include "client/exec_spec.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#define CONFIG_MAX (16u << 20)
#define PLAIN_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* The same with whole numbers, a new reference. */
static json_t *
whole_numbers(const json_t *in)
{
	const char *key;
	json_t *out, *v;
	size_t i;
	double d;

	switch (json_typeof(in)) {
	case JSON_OBJECT:
		out = json_object();
		json_object_foreach((json_t *)(uintptr_t)in, key, v)(void)
		    json_object_set_new(out, key, whole_numbers(v));
		return out;
	case JSON_ARRAY:
		out = json_array();
		json_array_foreach(in, i, v)(void)
		    json_array_append_new(out, whole_numbers(v));
		return out;
	case JSON_REAL:
		d = json_real_value(in);
		return json_integer(d >= 9223372036854775807.0 ? INT64_MAX
			: d <= -9223372036854775808.0	       ? INT64_MIN
							       : (int64_t)d);
	case JSON_STRING:
	case JSON_INTEGER:
	case JSON_TRUE:
	case JSON_FALSE:
	case JSON_NULL: break;
	}
	return json_deep_copy(in);
}

/* config.json's process, a new reference. 0: there is no such file (any more). */
static int
process_of_bundle(const char *bundle, json_t **out, struct err *err)
{
	AUTO_FREE char *path = mem_printf("%s/config.json", bundle);
	AUTO_FREE char *text = NULL;
	json_error_t why;
	json_t *doc, *process;
	size_t len;
	int rc = file_read(AT_FDCWD, path, CONFIG_MAX, &text, &len, err);

	if (rc == -ENOENT)
		return 0;
	if (rc < 0)
		return rc;
	doc = json_loadb(text, len, JSON_DECODE_INT_AS_REAL, &why);
	if (doc == NULL)
		return err_setx(
		    err, EINVAL, "'%s': line %d: %s", path, why.line, why.text);
	process = json_object_get(doc, "process");
	if (json_is_object(process))
		*out = whole_numbers(process);
	json_decref(doc);
	return json_is_object(*out) ? 1
				    : err_setx(err, EINVAL, "'%s' has no process", path);
}

/* "1000" or "1000:100" */
static int
user_set(json_t *process, const char *s, struct err *err)
{
	unsigned long uid, gid = 0;
	char *end;
	bool good = *s >= '0' && *s <= '9';

	uid = strtoul(s, &end, 10);
	if (good && *end == ':') {
		good = end[1] >= '0' && end[1] <= '9';
		gid = strtoul(end + 1, &end, 10);
	}
	if (!good || *end != '\0' || uid >= UINT32_MAX || gid >= UINT32_MAX)
		return err_setx(err, EINVAL,
		    "'%s' is no user (numbers: UID or UID:GID; names are known in the "
		    "container only)",
		    s);
	return json_object_set_new(process, "user",
	    json_pack("{s:I, s:I}", "uid", (json_int_t)uid, "gid", (json_int_t)gid));
}

/* Does s set the variable that kv sets? */
static bool
same_variable(const char *s, const char *kv)
{
	size_t len = strcspn(kv, "=");

	return strncmp(s, kv, len) == 0 && s[len] == '=';
}

static void
env_set(json_t *env, const char *kv)
{
	size_t i;

	for (i = 0; i < json_array_size(env); i++) {
		const char *have = json_string_value(json_array_get(env, i));

		if (have != NULL && same_variable(have, kv)) {
			(void)json_array_set_new(env, i, json_string_nocheck(kv));
			return;
		}
	}
	(void)json_array_append_new(env, json_string_nocheck(kv));
}

static void
env_apply(json_t *process, const struct exec_spec *spec)
{
	json_t *env = json_object_get(process, "env");
	const char *term = getenv("TERM");
	size_t i;

	if (!json_is_array(env)) {
		env = json_array();
		(void)json_object_set_new(process, "env", env);
	}
	if (spec->terminal) {
		AUTO_FREE char *kv =
		    mem_printf("TERM=%s", term != NULL && *term != '\0' ? term : "xterm");

		env_set(env, kv);
	}
	for (i = 0; spec->env != NULL && spec->env[i] != NULL; i++)
		env_set(env, spec->env[i]);
}

static int
args_set(json_t *process, char *const *args, struct err *err)
{
	json_t *list = json_array();
	size_t i;

	(void)json_object_set_new(process, "args", list);
	for (i = 0; args[i] != NULL; i++)
		if (json_array_append_new(list, json_string(args[i])) == -1)
			return err_setx(err, EILSEQ,
			    "argument '%s' is not UTF-8, which an OCI runtime wants",
			    args[i]);
	return 0;
}

int
exec_spec_make(const char *bundle, const struct exec_spec *spec, char **out, bool *plain,
    struct err *err)
{
	json_t *process = NULL;
	int rc = process_of_bundle(bundle, &process, err);

	if (rc < 0)
		return rc;
	*plain = rc == 0;
	if (rc == 0)
		process = json_pack("{s:s, s:[s], s:{s:i, s:i}, s:b}", "cwd", "/", "env",
		    PLAIN_PATH, "user", "uid", 0, "gid", 0, "noNewPrivileges", 1);
	rc = args_set(process, spec->args, err);
	if (rc == 0 && spec->user != NULL)
		rc = user_set(process, spec->user, err);
	if (rc == 0) {
		(void)json_object_set_new(
		    process, "terminal", json_boolean(spec->terminal));
		(void)json_object_del(process, "consoleSize");
		if (spec->cwd != NULL)
			(void)json_object_set_new(
			    process, "cwd", json_string_nocheck(spec->cwd));
		env_apply(process, spec);
		*out = json_dumps(process, JSON_COMPACT);
		if (*out == NULL)
			rc = err_setx(err, EILSEQ, "the process is not UTF-8");
	}
	json_decref(process);
	return rc;
}
