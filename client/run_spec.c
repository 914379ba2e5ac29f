/*
 * The default is what people know from other tools: its own pid, mount, ipc, uts
 * and network namespaces, the usual capabilities and mounts, nothing of
 * the host's kernel in /proc and /sys. The network namespace is empty: making
 * networks is not our trade.
 */
#include "client/run_spec.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#define SPEC_MAX   (16u * 1024u * 1024u)
#define GROUP_NOTE "io.containerd.runc.v2.group"
#define PATH_ENV   "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* Parsed at each run; a mistake in it fails every test. */
static const char default_spec[] =
    "{'ociVersion': '1.0.2',"
    "'process': {'terminal': false, 'user': {'uid': 0, 'gid': 0}, 'args': [],"
    " 'env': ['" PATH_ENV "'], 'cwd': '/', 'noNewPrivileges': true,"
    " 'capabilities': {}},"
    "'root': {},"
    "'mounts': ["
    " {'destination': '/proc', 'type': 'proc', 'source': 'proc',"
    "  'options': ['nosuid', 'noexec', 'nodev']},"
    " {'destination': '/dev', 'type': 'tmpfs', 'source': 'tmpfs',"
    "  'options': ['nosuid', 'strictatime', 'mode=755', 'size=65536k']},"
    " {'destination': '/dev/pts', 'type': 'devpts', 'source': 'devpts',"
    "  'options': ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620']},"
    " {'destination': '/dev/shm', 'type': 'tmpfs', 'source': 'shm',"
    "  'options': ['nosuid', 'noexec', 'nodev', 'mode=1777', 'size=65536k']},"
    " {'destination': '/dev/mqueue', 'type': 'mqueue', 'source': 'mqueue',"
    "  'options': ['nosuid', 'noexec', 'nodev']}],"
    "'linux': {"
    " 'resources': {'devices': [{'allow': false, 'access': 'rwm'}]},"
    " 'namespaces': [{'type': 'pid'}, {'type': 'mount'}, {'type': 'ipc'},"
    "  {'type': 'uts'}],"
    " 'maskedPaths': ['/proc/acpi', '/proc/asound', '/proc/kcore', '/proc/keys',"
    "  '/proc/latency_stats', '/proc/timer_list', '/proc/timer_stats',"
    "  '/proc/sched_debug', '/proc/scsi', '/sys/firmware'],"
    " 'readonlyPaths': ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys',"
    "  '/proc/sysrq-trigger']}}";

static const char *const capabilities[] = {"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID",
    "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP",
    "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL",
    "CAP_AUDIT_WRITE"};

/* The object below key, made if need be. Borrowed. */
static json_t *
object_at(json_t *in, const char *key)
{
	json_t *at = json_object_get(in, key);

	if (json_is_object(at))
		return at;
	(void)json_object_set_new(in, key, json_object());
	return json_object_get(in, key);
}

static int
not_utf8(struct err *err, const char *what, const char *text)
{
	return err_setx(
	    err, EILSEQ, "%s '%s' is not UTF-8, which an OCI runtime wants", what, text);
}

/* what: of one of them, for the message. */
static int
text_append(json_t *array, char *const *v, const char *what, struct err *err)
{
	for (; *v != NULL; v++)
		if (json_array_append_new(array, json_string(*v)) == -1)
			return not_utf8(err, what, *v);
	return 0;
}

/* --- a default ----------------------------------------------------------------------- */

static void
default_capabilities(json_t *process)
{
	static const char *const sets[] = {"bounding", "effective", "permitted"};
	json_t *caps = object_at(process, "capabilities");
	size_t i, k;

	for (i = 0; i < ARRAY_LEN(sets); i++) {
		json_t *set = json_array();

		for (k = 0; k < ARRAY_LEN(capabilities); k++)
			(void)json_array_append_new(set, json_string(capabilities[k]));
		(void)json_object_set_new(caps, sets[i], set);
	}
}

/* /sys can only be mounted by who owns the network namespace. */
static void
default_network(json_t *config, bool host)
{
	json_t *mounts = json_object_get(config, "mounts");
	json_t *spaces = json_object_get(object_at(config, "linux"), "namespaces");

	if (host)
		return;
	(void)json_array_append_new(spaces, json_pack("{s:s}", "type", "network"));
	(void)json_array_append_new(mounts,
	    json_pack("{s:s, s:s, s:s, s:[s, s, s, s]}", "destination", "/sys", "type",
		"sysfs", "source", "sysfs", "options", "nosuid", "noexec", "nodev",
		"ro"));
}

static int
spec_default(const struct run_spec *spec, json_t **out, struct err *err)
{
	AUTO_FREE char *text = mem_strdup(default_spec);
	AUTO_FREE char *root = realpath(spec->rootfs, NULL);
	struct stat st;
	json_t *config;
	char *p;

	if (root == NULL || stat(root, &st) == -1)
		return err_set(err, errno, "root file system '%s'", spec->rootfs);
	if (!S_ISDIR(st.st_mode))
		return err_setx(
		    err, ENOTDIR, "root file system '%s' is not a directory", root);
	if (spec->args[0] == NULL)
		return err_setx(err, EINVAL, "with --rootfs, a command to run is needed");
	for (p = text; *p != '\0'; p++) {
		if (*p == '\'')
			*p = '"';
	}
	config = json_loads(text, 0, NULL);
	if (config == NULL)
		abort();
	if (json_object_set_new(object_at(config, "root"), "path", json_string(root)) ==
	    -1) {
		json_decref(config);
		return not_utf8(err, "root file system", root);
	}
	default_capabilities(object_at(config, "process"));
	default_network(config, spec->host_net);
	(void)json_object_set_new(config, "hostname", json_string(spec->id));
	*out = config;
	return 0;
}

/* --- a bundle's ------------------------------------------------------------------------ */

/* key of object, made absolute below dir if it is a relative path. */
static int
make_absolute(json_t *object, const char *key, const char *dir, struct err *err)
{
	const char *path = json_string_value(json_object_get(object, key));
	AUTO_FREE char *whole = NULL;
	AUTO_FREE char *real = NULL;

	if (path == NULL || path[0] == '/')
		return 0;
	whole = mem_printf("%s/%s", dir, path);
	/* runc 1.1.15 cannot have ".." in its root's path */
	real = realpath(whole, NULL);
	path = real != NULL ? real : whole;
	if (json_object_set_new(object, key, json_string(path)) == -1)
		return not_utf8(err, "path", path);
	return 0;
}

static bool
is_bind(const json_t *mount)
{
	const char *type = json_string_value(json_object_get(mount, "type"));
	json_t *options = json_object_get(mount, "options"), *one;
	size_t i;

	if (type != NULL && strcmp(type, "bind") == 0)
		return true;
	json_array_foreach(options, i, one)
	{
		const char *text = json_string_value(one);

		if (text != NULL &&
		    (strcmp(text, "bind") == 0 || strcmp(text, "rbind") == 0))
			return true;
	}
	return false;
}

static int
spec_of_bundle(const struct run_spec *spec, json_t **out, struct err *err)
{
	AUTO_FREE char *dir = realpath(spec->bundle, NULL);
	AUTO_FREE char *path = NULL;
	AUTO_FREE char *text = NULL;
	json_error_t bad;
	json_t *config, *mount;
	size_t len, i;
	int rc;

	if (dir == NULL)
		return err_set(err, errno, "bundle '%s'", spec->bundle);
	path = mem_printf("%s/config.json", dir);
	rc = file_read(AT_FDCWD, path, SPEC_MAX, &text, &len, err);
	if (rc < 0)
		return rc;
	config = json_loadb(text, len, 0, &bad);
	if (!json_is_object(config)) {
		json_decref(config);
		return config == NULL
		    ? err_setx(err, EINVAL, "'%s', line %d: %s", path, bad.line, bad.text)
		    : err_setx(err, EINVAL, "'%s' is not a JSON object", path);
	}
	if (!json_is_object(json_object_get(config, "root")))
		(void)json_object_set_new(
		    config, "root", json_pack("{s:s}", "path", "rootfs"));
	rc = make_absolute(json_object_get(config, "root"), "path", dir, err);
	json_array_foreach(json_object_get(config, "mounts"), i, mount)
	{
		if (rc == 0 && is_bind(mount))
			rc = make_absolute(mount, "source", dir, err);
	}
	if (rc == 0)
		*out = json_incref(config);
	json_decref(config);
	return rc;
}

/* --- what the command line says ---------------------------------------------------------- */

static int
spec_process(const struct run_spec *spec, json_t *config, struct err *err)
{
	json_t *process = object_at(config, "process"), *env;
	int rc = 0;

	(void)json_object_set_new(process, "terminal", json_boolean(spec->terminal));
	if (spec->args[0] != NULL) {
		(void)json_object_set_new(process, "args", json_array());
		rc = text_append(
		    json_object_get(process, "args"), spec->args, "argument", err);
	}
	if (rc == 0 && spec->cwd != NULL &&
	    json_object_set_new(process, "cwd", json_string(spec->cwd)) == -1)
		rc = not_utf8(err, "directory", spec->cwd);
	env = json_object_get(process, "env");
	if (!json_is_array(env)) {
		(void)json_object_set_new(process, "env", json_array());
		env = json_object_get(process, "env");
	}
	if (spec->terminal)
		(void)json_array_append_new(env, json_string("TERM=xterm"));
	/* the last one of a name counts */
	if (rc == 0 && spec->env != NULL)
		rc = text_append(env, spec->env, "variable", err);
	return rc;
}

static void
spec_place(const struct run_spec *spec, json_t *config)
{
	AUTO_FREE char *cgroup = mem_printf("/%s/%s", spec->ns, spec->id);
	json_t *os = object_at(config, "linux");

	(void)json_object_set_new(
	    object_at(config, "annotations"), GROUP_NOTE, json_string(spec->pod));
	if (json_object_get(os, "cgroupsPath") == NULL)
		(void)json_object_set_new(os, "cgroupsPath", json_string(cgroup));
	if (spec->read_only)
		(void)json_object_set_new(
		    object_at(config, "root"), "readonly", json_true());
}

int
run_spec_make(const struct run_spec *spec, char **out, struct err *err)
{
	json_t *config = NULL;
	int rc = spec->rootfs != NULL ? spec_default(spec, &config, err)
				      : spec_of_bundle(spec, &config, err);

	if (rc < 0)
		return rc;
	rc = spec_process(spec, config, err);
	if (rc == 0) {
		spec_place(spec, config);
		*out = json_dumps(config, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
		if (*out == NULL)
			rc = err_setx(err, EILSEQ, "config.json is not UTF-8");
	}
	json_decref(config);
	return rc;
}
