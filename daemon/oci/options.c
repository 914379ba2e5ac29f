/*
 * The runtime options of a Create, whatever message they come in.
 *
 * Callers choose the message by the runtime's name, not by what the shim
 * understands, so four are met: runc's own, the one CRI uses for runtimes it
 * does not know (which carries a TOML text, or the path of one), containerd
 * 1.6's predecessor of the first, and none. A wrong type is the caller's
 * mistake and gets -EINVAL; Go's shim dies of it.
 */
#include "oci/options.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "proto/options.pb-c.h"
#include "proto/runctypes.pb-c.h"
#include "proto/runtimeoptions.pb-c.h"
#include "oci/options_toml.h"

#define OPTIONS_CONFIG_MAX (64u * 1024u)

/* X(member, snake_case name without underscores in lower case, kind) */
#define OPTIONS_TABLE(X)                                                                 \
	X(no_pivot_root, "nopivotroot", BOOL)                                            \
	X(no_new_keyring, "nonewkeyring", BOOL)                                          \
	X(shim_cgroup, "shimcgroup", STRING)                                             \
	X(io_uid, "iouid", INT)                                                          \
	X(io_gid, "iogid", INT)                                                          \
	X(binary_name, "binaryname", STRING)                                             \
	X(root, "root", STRING)                                                          \
	X(systemd_cgroup, "systemdcgroup", BOOL)                                         \
	X(criu_image_path, "criuimagepath", STRING)                                      \
	X(criu_work_path, "criuworkpath", STRING)

static const struct options_field {
	const char *name;   /* as JSON has it */
	const char *folded; /* for comparison with what people write */
	enum toml_kind kind;
	size_t offset;
} options_fields[] = {
#define X(member, folded, kind)                                                          \
	{#member, folded, TOML_##kind, offsetof(struct options, member)},
    OPTIONS_TABLE(X)
#undef X
};

static bool *
options_bool(struct options *o, const struct options_field *f)
{
	return (bool *)((char *)o + f->offset);
}

static uint32_t *
options_int(struct options *o, const struct options_field *f)
{
	return (uint32_t *)(void *)((char *)o + f->offset);
}

static char **
options_string(struct options *o, const struct options_field *f)
{
	return (char **)(void *)((char *)o + f->offset);
}

/* "" and NULL mean "not given". */
static void
options_set_string(char **slot, const char *s)
{
	free(*slot);
	*slot = s == NULL || s[0] == '\0' ? NULL : mem_strdup(s);
}

/* --- runc.v1 and its predecessor ------------------------------------------- */

static int
options_from_runc(const void *value, size_t len, struct options *o, struct err *err)
{
	Containerd__Runc__V1__Options *m =
	    containerd__runc__v1__options__unpack(NULL, len, value);

	if (m == NULL)
		return err_setx(err, EINVAL, "the bytes do not decode");
	o->no_pivot_root = m->no_pivot_root;
	o->no_new_keyring = m->no_new_keyring;
	o->systemd_cgroup = m->systemd_cgroup;
	o->io_uid = m->io_uid;
	o->io_gid = m->io_gid;
	options_set_string(&o->binary_name, m->binary_name);
	options_set_string(&o->root, m->root);
	options_set_string(&o->shim_cgroup, m->shim_cgroup);
	options_set_string(&o->criu_image_path, m->criu_image_path);
	options_set_string(&o->criu_work_path, m->criu_work_path);
	containerd__runc__v1__options__free_unpacked(m, NULL);
	return 0;
}

static int
options_from_runctypes(const void *value, size_t len, struct options *o, struct err *err)
{
	Containerd__Linux__Runc__CreateOptions *m =
	    containerd__linux__runc__create_options__unpack(NULL, len, value);

	if (m == NULL)
		return err_setx(err, EINVAL, "the bytes do not decode");
	o->no_pivot_root = m->no_pivot_root;
	o->no_new_keyring = m->no_new_keyring;
	o->io_uid = m->io_uid;
	o->io_gid = m->io_gid;
	options_set_string(&o->shim_cgroup, m->shim_cgroup);
	options_set_string(&o->criu_image_path, m->criu_image_path);
	options_set_string(&o->criu_work_path, m->criu_work_path);
	containerd__linux__runc__create_options__free_unpacked(m, NULL);
	return 0;
}

/* --- the text form ---------------------------------------------------------- */

/* BinaryName, binary_name and binaryName are one. */
static const struct options_field *
options_find(const char *key)
{
	char folded[32];
	size_t n = 0, i;

	for (; *key != '\0'; key++) {
		if (*key == '_')
			continue;
		if (n + 1 >= sizeof folded)
			return NULL;
		folded[n++] =
		    *key >= 'A' && *key <= 'Z' ? (char)(*key - 'A' + 'a') : *key;
	}
	folded[n] = '\0';
	for (i = 0; i < ARRAY_LEN(options_fields); i++) {
		if (strcmp(options_fields[i].folded, folded) == 0)
			return &options_fields[i];
	}
	return NULL;
}

static int
options_on_toml(const char *key, const struct toml_value *v, void *arg, struct err *err)
{
	const struct options_field *f = options_find(key);
	struct options *o = arg;

	if (f == NULL) {
		log_debug("runtime options: unknown key '%s', ignoring", key);
		return 0;
	}
	if (v->kind != f->kind)
		return err_setx(err, EINVAL, "'%s' has a value of the wrong type", key);
	switch (f->kind) {
	case TOML_BOOL: *options_bool(o, f) = v->boolean; break;
	case TOML_INT:
		if (v->integer < 0 || v->integer > (int64_t)UINT32_MAX)
			return err_setx(err, EINVAL, "'%s' is not an id", key);
		*options_int(o, f) = (uint32_t)v->integer;
		break;
	case TOML_STRING: options_set_string(options_string(o, f), v->string); break;
	case TOML_OTHER: break;
	}
	return 0;
}

/*
 * The file names what root will execute, so only root may have written it. A
 * FIFO or device must not stop the worker.
 */
static int
options_read_config(const char *path, struct options *o, struct err *err)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	AUTO_FREE char *text = NULL;
	struct stat st;
	size_t len;
	int rc;

	if (fd == -1)
		return err_set(err, errno, "open '%s'", path);
	if (fstat(fd, &st) == -1)
		return err_set(err, errno, "stat '%s'", path);
	if (!S_ISREG(st.st_mode))
		return err_setx(err, EINVAL, "'%s' is not a regular file", path);
	if ((st.st_uid != 0 && st.st_uid != geteuid()) ||
	    (st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		return err_setx(
		    err, EINVAL, "'%s' can be written by others than root", path);
	rc = fd_read_all(fd, OPTIONS_CONFIG_MAX, &text, &len, err);
	if (rc == 0)
		rc = toml_read(text, len, options_on_toml, o, err);
	return rc < 0 ? err_wrap(err, rc, "'%s'", path) : 0;
}

static int
options_from_generic(const void *value, size_t len, struct options *o, struct err *err)
{
	Runtimeoptions__V1__Options *m =
	    runtimeoptions__v1__options__unpack(NULL, len, value);
	int rc = 0;

	if (m == NULL)
		return err_setx(err, EINVAL, "the bytes do not decode");
	if (m->config_path != NULL && m->config_path[0] != '\0')
		rc = options_read_config(m->config_path, o, err);
	if (rc == 0 && m->config_body.len > 0) {
		rc = toml_read((const char *)m->config_body.data, m->config_body.len,
		    options_on_toml, o, err);
		if (rc < 0)
			rc = err_wrap(err, rc, "config_body");
	}
	runtimeoptions__v1__options__free_unpacked(m, NULL);
	return rc;
}

/* --- all of them ------------------------------------------------------------ */

int
options_decode(const char *type_url, const void *value, size_t len, struct options *out,
    struct err *err)
{
	static const struct {
		const char *name;
		int (*decode)(const void *, size_t, struct options *, struct err *);
	} types[] = {
	    {"containerd.runc.v1.Options", options_from_runc},
	    {"runtimeoptions.v1.Options", options_from_generic},
	    {"containerd.linux.runc.CreateOptions", options_from_runctypes},
	};
	const char *slash = type_url == NULL ? NULL : strrchr(type_url, '/');
	const char *name = slash != NULL ? slash + 1 : type_url;
	struct options o = {0};
	size_t i;
	int rc = 0;

	if (name != NULL && name[0] != '\0') {
		for (i = 0; i < ARRAY_LEN(types); i++) {
			if (strcmp(types[i].name, name) == 0)
				break;
		}
		if (i == ARRAY_LEN(types))
			return err_setx(err, EINVAL,
			    "runtime options of type '%.200s' are not known", type_url);
		if (len > 0)
			rc = types[i].decode(value, len, &o, err);
	} else if (len > 0) {
		return err_setx(err, EINVAL, "runtime options without a type");
	}
	if (rc < 0) {
		options_fini(&o);
		(void)err_wrap(err, rc, "runtime options '%s'", name);
		if (err != NULL)
			err->code = EINVAL;
		return -EINVAL;
	}
	if (o.binary_name == NULL)
		o.binary_name = mem_strdup("runc");
	*out = o;
	return 0;
}

/* --- JSON ------------------------------------------------------------------- */

char *
options_to_json(const struct options *opts)
{
	json_t *root = json_object();
	struct options o = *opts; /* for the accessors; nothing is changed */
	size_t i;
	char *text;

	if (root == NULL)
		abort();
	for (i = 0; i < ARRAY_LEN(options_fields); i++) {
		const struct options_field *f = &options_fields[i];
		json_t *v = NULL;
		const char *s;

		switch (f->kind) {
		case TOML_BOOL: v = *options_bool(&o, f) ? json_true() : NULL; break;
		case TOML_INT:
			v = *options_int(&o, f) != 0 ? json_integer(*options_int(&o, f))
						     : NULL;
			break;
		case TOML_STRING:
			s = *options_string(&o, f);
			/* the default is what its absence means */
			if (s == NULL || (s == o.binary_name && strcmp(s, "runc") == 0))
				break;
			v = json_string(s);
			if (v == NULL)
				log_warnx(
				    "runtime option %s is not UTF-8, ignoring", f->name);
			break;
		case TOML_OTHER: break;
		}
		if (v != NULL && json_object_set_new(root, f->name, v) != 0)
			abort();
	}
	text = json_dumps(root, JSON_COMPACT);
	json_decref(root);
	if (text == NULL)
		abort();
	return text;
}

static int
options_field_from_json(
    const struct options_field *f, json_t *v, struct options *o, struct err *err)
{
	bool right = false;

	switch (f->kind) {
	case TOML_BOOL:
		right = json_is_boolean(v);
		*options_bool(o, f) = json_is_true(v);
		break;
	case TOML_INT:
		right = json_is_integer(v) && json_integer_value(v) >= 0 &&
		    json_integer_value(v) <= (json_int_t)UINT32_MAX;
		*options_int(o, f) = right ? (uint32_t)json_integer_value(v) : 0;
		break;
	case TOML_STRING:
		right = json_is_string(v);
		options_set_string(options_string(o, f), json_string_value(v));
		break;
	case TOML_OTHER: break;
	}
	return right
	    ? 0
	    : err_setx(err, EINVAL, "runtime option %s has a wrong value", f->name);
}

int
options_from_json(const char *json, struct options *out, struct err *err)
{
	struct options o = {0};
	json_error_t why;
	json_t *root;
	size_t i;
	int rc = 0;

	root = json_loads(json == NULL || json[0] == '\0' ? "{}" : json, 0, &why);
	if (!json_is_object(root)) {
		json_decref(root);
		return err_setx(err, EINVAL, "runtime options are not a JSON object");
	}
	for (i = 0; i < ARRAY_LEN(options_fields) && rc == 0; i++) {
		json_t *v = json_object_get(root, options_fields[i].name);

		if (v != NULL)
			rc = options_field_from_json(&options_fields[i], v, &o, err);
	}
	json_decref(root);
	if (rc < 0) {
		options_fini(&o);
		return rc;
	}
	if (o.binary_name == NULL)
		o.binary_name = mem_strdup("runc");
	*out = o;
	return 0;
}

void
options_fini(struct options *opts)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(options_fields); i++) {
		if (options_fields[i].kind == TOML_STRING)
			free(*options_string(opts, &options_fields[i]));
	}
	*opts = (struct options){0};
}
