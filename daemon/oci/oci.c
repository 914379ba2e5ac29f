/*
 * The few facts podshim needs from a bundle's config.json, and the
 * process.json of an exec.
 *
 * A spec comes from whoever may talk to containerd, so every type is checked
 * before use. What surprises: Go writes 64-bit unsigned numbers (an unlimited
 * rlimit is 18446744073709551615), which jansson can hold only as a double. So
 * a document is never written back from its tree: the tree is for looking, and
 * an exec's `terminal` is forced in the text itself, byte for byte otherwise.
 */
#include "oci/oci.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#define OCI_CONFIG_MAX (16u * 1024u * 1024u)

static inline void
auto_json_(json_t **j)
{
	json_decref(*j);
}
#define AUTO_JSON __attribute__((cleanup(auto_json_)))

/* Parse one whole document that must be an object. */
static json_t *
oci_parse(const char *text, size_t len, struct err *err)
{
	json_error_t why;
	json_t *root = json_loadb(text, len, JSON_DECODE_INT_AS_REAL, &why);

	if (root == NULL) {
		(void)err_setx(err, EINVAL, "not valid JSON: line %d column %d: %s",
		    why.line, why.column, why.text);
		return NULL;
	}
	if (!json_is_object(root)) {
		(void)err_setx(err, EINVAL, "not a JSON object");
		json_decref(root);
		return NULL;
	}
	return root;
}

/*
 * The member `key` of obj if it is there, not null and of the right type:
 * 1 and *out; 0 if absent; -EINVAL for another type. obj NULL: absent.
 */
static int
oci_member(json_t *obj, const char *key, json_type type, const char *where, json_t **out,
    struct err *err)
{
	static const char *const names[] = {
	    [JSON_OBJECT] = "an object",
	    [JSON_ARRAY] = "an array",
	    [JSON_STRING] = "a string",
	    [JSON_INTEGER] = "an integer",
	    [JSON_REAL] = "a number",
	    [JSON_TRUE] = "a boolean",
	    [JSON_FALSE] = "a boolean",
	    [JSON_NULL] = "null",
	};
	json_t *v = obj == NULL ? NULL : json_object_get(obj, key);
	bool right;

	if (v == NULL || json_is_null(v))
		return 0;
	right = type == JSON_TRUE ? json_is_boolean(v) : json_typeof(v) == type;
	if (!right)
		return err_setx(err, EINVAL, "%s%s is %s, not %s", where, key,
		    names[json_typeof(v)], names[type]);
	*out = v;
	return 1;
}

/* An id: an integer from 0 to 2^32-1, as decoded with INT_AS_REAL. */
static int
oci_id(json_t *obj, const char *key, const char *where, uint32_t *out, struct err *err)
{
	json_t *v = json_object_get(obj, key);
	double d;

	if (v == NULL || json_is_null(v)) {
		*out = 0;
		return 0;
	}
	d = json_number_value(v);
	if (!json_is_number(v) || !(d >= 0 && d <= (double)UINT32_MAX) ||
	    d != (double)(uint32_t)d)
		return err_setx(
		    err, EINVAL, "%s%s is not a number from 0 to 4294967295", where, key);
	*out = (uint32_t)d;
	return 0;
}

/* A string without use for an empty one: "" counts as absent. */
static int
oci_string(json_t *obj, const char *key, const char *where, char **out, struct err *err)
{
	json_t *v = NULL;
	int rc = oci_member(obj, key, JSON_STRING, where, &v, err);

	if (rc > 0 && json_string_length(v) > 0)
		*out = mem_strdup(json_string_value(v));
	return rc < 0 ? rc : 0;
}

/*
 * The host id of a container's id. An id without a mapping belongs to nobody
 * outside: 0, which leaves owners alone.
 */
static int
oci_map_id(
    json_t *linux_obj, const char *key, uint32_t id, unsigned *host, struct err *err)
{
	json_t *maps = NULL, *m;
	uint32_t inside, outside, size;
	size_t i;
	int rc;

	*host = 0;
	rc = oci_member(linux_obj, key, JSON_ARRAY, "linux.", &maps, err);
	if (rc <= 0)
		return rc;
	json_array_foreach(maps, i, m)
	{
		if (!json_is_object(m))
			return err_setx(
			    err, EINVAL, "linux.%s[%zu] is not an object", key, i);
		if (oci_id(m, "containerID", "mapping: ", &inside, err) < 0 ||
		    oci_id(m, "hostID", "mapping: ", &outside, err) < 0 ||
		    oci_id(m, "size", "mapping: ", &size, err) < 0)
			return err_wrap(err, -EINVAL, "linux.%s[%zu]", key, i);
		if (id >= inside && id - inside < size &&
		    id - inside <= UINT32_MAX - outside) {
			*host = outside + (id - inside);
			return 0;
		}
	}
	return 0;
}

static int
oci_load_namespaces(json_t *linux_obj, struct oci_spec *spec, struct err *err)
{
	json_t *list = NULL, *ns, *type, *path;
	bool pid_own = false, pid_joined = false;
	size_t i;
	int rc;

	rc = oci_member(linux_obj, "namespaces", JSON_ARRAY, "linux.", &list, err);
	if (rc <= 0)
		return rc;
	json_array_foreach(list, i, ns)
	{
		bool joined;

		type = path = NULL;
		if (!json_is_object(ns))
			return err_setx(
			    err, EINVAL, "linux.namespaces[%zu] is not an object", i);
		if (oci_member(ns, "type", JSON_STRING, "", &type, err) < 0 ||
		    oci_member(ns, "path", JSON_STRING, "", &path, err) < 0)
			return err_wrap(err, -EINVAL, "linux.namespaces[%zu]", i);
		if (type == NULL)
			continue;
		joined = path != NULL && json_string_length(path) > 0;
		if (strcmp(json_string_value(type), "user") == 0)
			spec->has_userns = true;
		if (strcmp(json_string_value(type), "pid") == 0) {
			pid_joined |= joined;
			pid_own |= !joined;
		}
	}
	spec->own_pidns = pid_own && !pid_joined;
	return 0;
}

static int
oci_load_user(json_t *process, json_t *linux_obj, struct oci_spec *spec, struct err *err)
{
	json_t *user = NULL;
	uint32_t uid, gid;
	int rc;

	rc = oci_member(process, "user", JSON_OBJECT, "process.", &user, err);
	if (rc < 0)
		return rc;
	uid = gid = 0;
	if (user != NULL &&
	    (oci_id(user, "uid", "process.user.", &uid, err) < 0 ||
		oci_id(user, "gid", "process.user.", &gid, err) < 0))
		return -EINVAL;
	if (!spec->has_userns) {
		spec->host_uid = uid;
		spec->host_gid = gid;
		return 0;
	}
	rc = oci_map_id(linux_obj, "uidMappings", uid, &spec->host_uid, err);
	if (rc == 0)
		rc = oci_map_id(linux_obj, "gidMappings", gid, &spec->host_gid, err);
	return rc;
}

static int
oci_load_root(json_t *doc, struct oci_spec *spec, struct err *err)
{
	json_t *process = NULL, *root = NULL, *linux_obj = NULL, *tty = NULL;
	int rc;

	if ((rc = oci_member(doc, "process", JSON_OBJECT, "", &process, err)) < 0 ||
	    (rc = oci_member(doc, "root", JSON_OBJECT, "", &root, err)) < 0 ||
	    (rc = oci_member(doc, "linux", JSON_OBJECT, "", &linux_obj, err)) < 0 ||
	    (rc = oci_member(process, "terminal", JSON_TRUE, "process.", &tty, err)) <
		0 ||
	    (rc = oci_string(root, "path", "root.", &spec->root_path, err)) < 0 ||
	    (rc = oci_string(
		 linux_obj, "cgroupsPath", "linux.", &spec->cgroups_path, err)) < 0 ||
	    (rc = oci_load_namespaces(linux_obj, spec, err)) < 0 ||
	    (rc = oci_load_user(process, linux_obj, spec, err)) < 0)
		return rc;
	spec->terminal = tty != NULL && json_is_true(tty);
	return 0;
}

int
oci_spec_load(const char *bundle, struct oci_spec *out, struct err *err)
{
	AUTO_FREE char *path = mem_printf("%s/config.json", bundle);
	AUTO_FREE char *text = NULL;
	AUTO_JSON json_t *doc = NULL;
	struct oci_spec spec = {0};
	size_t len;
	int rc;

	rc = file_read(AT_FDCWD, path, OCI_CONFIG_MAX, &text, &len, err);
	if (rc < 0)
		return rc;
	doc = oci_parse(text, len, err);
	rc = doc == NULL ? -EINVAL : oci_load_root(doc, &spec, err);
	if (rc < 0) {
		oci_spec_fini(&spec);
		return err_wrap(err, rc, "'%s'", path);
	}
	*out = spec;
	return 0;
}

void
oci_spec_fini(struct oci_spec *spec)
{
	free(spec->cgroups_path);
	free(spec->root_path);
	*spec = (struct oci_spec){0};
}

/* --- process.json --------------------------------------------------------- */

static int
oci_check_strings(json_t *process, const char *key, struct err *err)
{
	json_t *list = NULL, *s;
	size_t i;
	int rc = oci_member(process, key, JSON_ARRAY, "", &list, err);

	if (rc <= 0)
		return rc;
	json_array_foreach(list, i, s)
	{
		if (!json_is_string(s))
			return err_setx(err, EINVAL, "%s[%zu] is not a string", key, i);
	}
	return 0;
}

static int
oci_check_process(json_t *process, struct err *err)
{
	json_t *v = NULL;
	int rc;

	if ((rc = oci_check_strings(process, "args", err)) < 0 ||
	    (rc = oci_check_strings(process, "env", err)) < 0 ||
	    (rc = oci_member(process, "cwd", JSON_STRING, "", &v, err)) < 0 ||
	    (rc = oci_member(process, "user", JSON_OBJECT, "", &v, err)) < 0 ||
	    (rc = oci_member(process, "terminal", JSON_TRUE, "", &v, err)) < 0)
		return rc;
	return 0;
}

/*
 * Where a JSON value that begins at p ends. The text is known to be valid, so
 * counting brackets outside strings is enough.
 */
static const char *
oci_skip_value(const char *p, const char *end)
{
	int depth = 0;

	for (; p < end; p++) {
		if (*p == '"') {
			for (p++; p < end && *p != '"'; p++) {
				if (*p == '\\')
					p++;
			}
		} else if (*p == '{' || *p == '[') {
			depth++;
		} else if (*p == '}' || *p == ']') {
			if (depth == 0)
				return p;
			depth--;
		} else if (depth == 0 && (*p == ',' || *p == ':')) {
			return p;
		}
	}
	return end;
}

/*
 * Does this quoted key, escapes and all, mean "terminal"? Go does not care
 * for case, so neither may we.
 */
static bool
oci_key_is_terminal(const char *key, size_t len)
{
	AUTO_JSON json_t *s = json_loadb(key, len, JSON_DECODE_ANY, NULL);

	return s != NULL && json_is_string(s) &&
	    strcasecmp(json_string_value(s), "terminal") == 0;
}

/* White space between tokens, and the commas and colons it surrounds. */
static const char *
oci_skip_space(const char *p, const char *end)
{
	while (p < end && strchr(" \t\r\n,:", *p) != NULL && *p != '\0')
		p++;
	return p;
}

/*
 * Copy the members of a valid object, but for `terminal`, behind what *used
 * bytes of buf hold already. The copy is never longer than the original.
 */
static void
oci_copy_members(const char *p, const char *end, char *buf, size_t *used)
{
	p = oci_skip_space(p, end) + 1; /* past the brace */
	for (;;) {
		const char *key, *stop, *value;

		p = oci_skip_space(p, end);
		if (p >= end || *p == '}')
			return;
		key = p;
		stop = oci_skip_value(key, end);
		value = oci_skip_space(stop, end);
		p = oci_skip_value(value, end);
		if (oci_key_is_terminal(key, (size_t)(stop - key)))
			continue;
		buf[(*used)++] = ',';
		memcpy(buf + *used, key, (size_t)(p - key));
		*used += (size_t)(p - key);
	}
}

/* One word of a command line as a shell would have to be given it. */
static char *
oci_quote(const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789_@%+=:,./-";
	const char *p;
	char *out, *o;

	if (*word != '\0' && word[strspn(word, plain)] == '\0')
		return mem_strdup(word);
	out = o = mem_zalloc(strlen(word) * 4 + 3);
	*o++ = '\'';
	for (p = word; *p != '\0'; p++) {
		if (*p == '\'') {
			memcpy(o, "'\\''", 4);
			o += 4;
		} else {
			*o++ = *p;
		}
	}
	*o = '\'';
	return out;
}

/* args of a checked process; "" if there are none. */
static char *
oci_command(const json_t *process)
{
	const json_t *args = json_object_get(process, "args"), *arg;
	char *line = mem_strdup("");
	size_t i;

	json_array_foreach(args, i, arg)
	{
		AUTO_FREE char *quoted = oci_quote(json_string_value(arg));
		char *longer = mem_printf("%s%s%s", line, i == 0 ? "" : " ", quoted);

		free(line);
		line = longer;
		if (strlen(line) >= OCI_COMMAND_MAX)
			break;
	}
	return line;
}

int
oci_exec_process(const void *json, size_t len, bool terminal, char **out, size_t *out_len,
    char **command, struct err *err)
{
	static const char yes[] = "{\"terminal\":true", no[] = "{\"terminal\":false";
	const char *text = len == 0 ? "" : json;
	AUTO_JSON json_t *doc = oci_parse(text, len, err);
	size_t used;
	char *buf;
	int rc;

	rc = doc == NULL ? -EINVAL : oci_check_process(doc, err);
	if (rc < 0)
		return err_wrap(err, rc, "process spec");
	used = terminal ? sizeof yes - 1 : sizeof no - 1;
	buf = mem_zalloc(used + len + 3); /* a comma, the brace, a NUL */
	memcpy(buf, terminal ? yes : no, used);
	oci_copy_members(text, text + len, buf, &used);
	buf[used++] = '}';
	*out = buf;
	*out_len = used;
	if (command != NULL)
		*command = oci_command(doc);
	return 0;
}
