/*
 * rpc [-3] [-s SERVICE] [-t SECONDS] [-n TIMES] SOCKET METHOD [field=value]...
 *
 * One ttrpc call for shell tests: the request is built from the table below,
 * the answer is printed as field=value lines. Exit status 0: OK; 1: the peer
 * answered an error, printed as "error=CODE TEXT"; 2: no answer.
 *
 * With SOCKET "-" nothing is sent: standard input is printed as METHOD's answer.
 *
 * Special fields: mount=TYPE:SOURCE:OPT,OPT (repeatable), options.FIELD=value
 * (containerd.runc.v1.Options), spec=FILE and resources=FILE (JSON of an OCI
 * process / resources), any.URL=FILE (options of any other type).
 */
#include "tests/lib/ttrpc.h"

#include "base/err.h"
#include "base/fd.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum kind { K_END, K_STR, K_U32, K_BOOL, K_TIME, K_MOUNT, K_ANY, K_PROCESS, K_EXIT };

struct field {
	const char *name;
	unsigned number;
	enum kind kind;
};

struct method {
	const char *name;
	struct field in[12], out[12];
};

#define ID                                                                               \
	{                                                                                \
		"id", 1, K_STR                                                           \
	}
#define EXEC                                                                             \
	{                                                                                \
		"exec_id", 2, K_STR                                                      \
	}

static const struct method methods[] = {
    {"State", {ID, EXEC},
	{{"id", 1, K_STR}, {"bundle", 2, K_STR}, {"pid", 3, K_U32}, {"status", 4, K_U32},
	    {"stdin", 5, K_STR}, {"stdout", 6, K_STR}, {"stderr", 7, K_STR},
	    {"terminal", 8, K_BOOL}, {"exit_status", 9, K_U32}, {"exited_at", 10, K_TIME},
	    {"exec_id", 11, K_STR}}},
    {"Create",
	{ID, {"bundle", 2, K_STR}, {"mount", 3, K_MOUNT}, {"terminal", 4, K_BOOL},
	    {"stdin", 5, K_STR}, {"stdout", 6, K_STR}, {"stderr", 7, K_STR},
	    {"checkpoint", 8, K_STR}, {"options", 10, K_ANY}},
	{{"pid", 1, K_U32}}},
    {"Start", {ID, EXEC}, {{"pid", 1, K_U32}}},
    {"Delete", {ID, EXEC},
	{{"pid", 1, K_U32}, {"exit_status", 2, K_U32}, {"exited_at", 3, K_TIME}}},
    {"Pids", {ID}, {{"process", 1, K_PROCESS}}},
    {"Pause", {ID}, {{0}}},
    {"Resume", {ID}, {{0}}},
    {"Checkpoint", {ID, {"path", 2, K_STR}, {"exit", 3, K_EXIT}}, {{0}}},
    {"Kill", {ID, EXEC, {"signal", 3, K_U32}, {"all", 4, K_BOOL}}, {{0}}},
    {"Exec",
	{ID, EXEC, {"terminal", 3, K_BOOL}, {"stdin", 4, K_STR}, {"stdout", 5, K_STR},
	    {"stderr", 6, K_STR}, {"spec", 7, K_ANY}},
	{{0}}},
    {"ResizePty", {ID, EXEC, {"width", 3, K_U32}, {"height", 4, K_U32}}, {{0}}},
    {"CloseIO", {ID, EXEC, {"stdin", 3, K_BOOL}}, {{0}}},
    {"Update", {ID, {"resources", 2, K_ANY}}, {{0}}},
    {"Wait", {ID, EXEC}, {{"exit_status", 1, K_U32}, {"exited_at", 2, K_TIME}}},
    {"Stats", {ID}, {{"stats", 1, K_ANY}}},
    {"Connect", {ID},
	{{"shim_pid", 1, K_U32}, {"task_pid", 2, K_U32}, {"version", 3, K_STR}}},
    {"Shutdown", {ID, {"now", 2, K_BOOL}}, {{0}}},
    /* no methods, but messages to print with "-" */
    {"BootstrapResult", {{0}},
	{{"version", 1, K_U32}, {"address", 2, K_STR}, {"protocol", 3, K_STR}}},
    {"RuntimeInfo", {{0}},
	{{"name", 1, K_STR}, {"options", 3, K_ANY}, {"features", 4, K_ANY}}},
};

static const struct field runc_options[] = {
    {"no_pivot_root", 1, K_BOOL},
    {"no_new_keyring", 2, K_BOOL},
    {"shim_cgroup", 3, K_STR},
    {"io_uid", 4, K_U32},
    {"io_gid", 5, K_U32},
    {"binary_name", 6, K_STR},
    {"root", 7, K_STR},
    {"systemd_cgroup", 9, K_BOOL},
    {"criu_image_path", 10, K_STR},
    {"criu_work_path", 11, K_STR},
    {NULL, 0, K_END},
};

static void
die(const char *what, const char *which)
{
	fprintf(stderr, "rpc: %s '%s'\n", what, which);
	exit(2);
}

static const struct field *
field_find(const struct field *f, const char *name, size_t len)
{
	for (; f->name; f++)
		if (strlen(f->name) == len && strncmp(f->name, name, len) == 0)
			return f;
	return NULL;
}

static void
put_simple(struct pb *m, const struct field *f, const char *value)
{
	if (f->kind == K_STR)
		pb_str(m, f->number, value);
	else
		pb_u64(m, f->number, strtoull(value, NULL, 0));
}

/* TYPE:SOURCE:OPT,OPT */
static void
put_mount(struct pb *m, const struct field *f, char *value)
{
	struct pb mount = PB_INIT;
	char *save = NULL;
	char *type = strsep(&value, ":");
	char *source = strsep(&value, ":");

	pb_str(&mount, 1, type);
	pb_str(&mount, 2, source);
	for (char *o = value ? strtok_r(value, ",", &save) : NULL; o;
	     o = strtok_r(NULL, ",", &save))
		pb_str(&mount, 4, o);
	pb_msg(m, f->number, &mount);
	pb_fini(&mount);
}

static void
put_file(struct pb *m, const struct field *f, const char *url, const char *path)
{
	struct err err = ERR_INIT;
	char *data;
	size_t len;

	if (file_read(AT_FDCWD, path, 4u << 20, &data, &len, &err) < 0)
		die("spec", err.text);
	pb_any(m, f->number, url, data, len);
	free(data);
}

static void
put_arg(const struct method *me, struct pb *m, struct pb *options, char *arg)
{
	char *value = strchr(arg, '=');
	const struct field *f;

	if (!value)
		die("not field=value:", arg);
	*value++ = '\0';
	if (strncmp(arg, "options.", 8) == 0) {
		f = field_find(runc_options, arg + 8, strlen(arg + 8));
		if (!f)
			die("no such option", arg);
		put_simple(options, f, value);
		return;
	}
	if (strncmp(arg, "any.", 4) == 0) {
		f = field_find(me->in, "options", 7);
		if (!f)
			die("no options in", me->name);
		put_file(m, f, arg + 4, value);
		return;
	}
	f = field_find(me->in, arg, strlen(arg));
	if (!f)
		die("no such field", arg);
	switch (f->kind) {
	case K_STR:
	case K_U32:
	case K_BOOL: put_simple(m, f, value); break;
	case K_MOUNT: put_mount(m, f, value); break;
	case K_ANY:
		put_file(m, f,
		    strcmp(f->name, "spec") == 0
			? "types.containerd.io/opencontainers/runtime-spec/1/Process"
			: "types.containerd.io/opencontainers/runtime-spec/1/"
			  "LinuxResources",
		    value);
		break;
	case K_EXIT: {
		struct pb body = PB_INIT;

		pb_bool(&body, 1, strcmp(value, "0") != 0);
		pb_any(m, f->number, "containerd.runc.v1.CheckpointOptions", body.data,
		    body.len);
		pb_fini(&body);
		break;
	}
	case K_TIME:
	case K_PROCESS:
	case K_END: die("cannot be sent:", arg);
	}
}

/*
 * The numbers and texts of a message nobody described to us, by the path of
 * field numbers: "stats.4.33.2=4096". Bytes that read as a message are taken for one.
 */
static bool
is_message(struct pb_view v)
{
	struct pb_field f;
	int rc;

	if (v.len == 0 ||
	    (v.data[0] >= 0x20 && v.data[0] < 0x7f && v.len > 1 &&
		memchr(v.data, '/', v.len) != NULL))
		return false;
	while ((rc = pb_next(&v, &f)) == 1) {
		if (f.number == 0 || f.number > 100)
			return false;
	}
	return rc == 0;
}

static void
print_numbers(const char *path, struct pb_view v)
{
	struct pb_field f;
	char sub[128];

	while (pb_next(&v, &f) == 1) {
		snprintf(sub, sizeof sub, "%s.%u", path, f.number);
		if (f.wire == 0)
			printf("%s=%" PRIu64 "\n", sub, f.u);
		else if (f.wire == 2 && is_message(f.bytes))
			print_numbers(sub, f.bytes);
		else if (f.wire == 2)
			printf("%s=%.*s\n", sub, (int)f.bytes.len,
			    (const char *)f.bytes.data);
	}
}

static void
print_any(const char *name, struct pb_view any)
{
	char *url = pb_get_str(any, 1);
	struct pb_view value = {NULL, 0};

	(void)pb_get_bytes(any, 2, 0, &value);
	printf("%s.type=%s\n%s.bytes=%zu\n", name, url, name, value.len);
	if (strcmp(name, "stats") == 0)
		print_numbers(name, value);
	free(url);
}

static void
print_process(struct pb_view p)
{
	struct pb_view info = {NULL, 0}, details = {NULL, 0};
	char *exec;

	(void)pb_get_bytes(p, 2, 0, &info);
	(void)pb_get_bytes(info, 2, 0, &details);
	exec = pb_get_str(details, 1);
	printf("process=%" PRIu64 "%s%s\n", pb_get_u64(p, 1), *exec ? " " : "", exec);
	free(exec);
}

static void
print_field(const struct field *f, struct pb_view v)
{
	struct pb_view sub;
	char *s;
	int64_t ns;

	switch (f->kind) {
	case K_STR:
		s = pb_get_str(v, f->number);
		printf("%s=%s\n", f->name, s);
		free(s);
		break;
	case K_U32:
	case K_BOOL: printf("%s=%" PRIu64 "\n", f->name, pb_get_u64(v, f->number)); break;
	case K_TIME:
		if (!pb_get_time(v, f->number, &ns))
			printf("%s=absent\n", f->name);
		else if (ns == INT64_MIN)
			printf("%s=zero\n", f->name);
		else
			printf("%s=%" PRId64 ".%09" PRId64 "\n", f->name, ns / 1000000000,
			    ns % 1000000000);
		break;
	case K_ANY:
		if (pb_get_bytes(v, f->number, 0, &sub))
			print_any(f->name, sub);
		break;
	case K_PROCESS:
		for (unsigned i = 0; pb_get_bytes(v, f->number, i, &sub); i++)
			print_process(sub);
		break;
	case K_MOUNT:
	case K_EXIT:
	case K_END: break;
	}
}

static const struct method *
method_find(const char *name)
{
	for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
		if (strcmp(methods[i].name, name) == 0)
			return &methods[i];
	die("no such method", name);
	return NULL;
}

static int
print_reply(const struct method *me, const struct ttrpc_reply *r)
{
	if (r->code != 0) {
		printf("error=%d %s\n", r->code, r->text);
		return 1;
	}
	for (const struct field *f = me->out; f->name; f++)
		print_field(f, r->payload);
	return 0;
}

static int
print_stdin(const struct method *me)
{
	struct ttrpc_reply r = {0};
	struct err err = ERR_INIT;
	char *data;
	size_t len;
	int rc;

	if (fd_read_all(STDIN_FILENO, 4u << 20, &data, &len, &err) < 0)
		die("stdin", err.text);
	r.payload = (struct pb_view){(const uint8_t *)data, len};
	if (!pb_valid(r.payload))
		die("not a message:", "stdin");
	rc = print_reply(me, &r);
	free(data);
	return rc;
}

int
main(int argc, char **argv)
{
	struct pb m = PB_INIT, options = PB_INIT;
	const char *service = TASK_V2;
	const struct method *me;
	struct ttrpc_reply r = {0};
	struct err err = ERR_INIT;
	struct ttrpc *t;
	const char *slow = getenv("PODSHIM_TEST_SLOW"); /* see tests/lib/tap.sh */
	int timeout_ms = 60000, times = 1, opt, rc;

	while ((opt = getopt(argc, argv, "3s:t:n:")) != -1) {
		switch (opt) {
		case '3': service = TASK_V3; break;
		case 's': service = optarg; break;
		case 't': timeout_ms = (int)(strtod(optarg, NULL) * 1000); break;
		case 'n': times = (int)strtol(optarg, NULL, 10); break;
		default: return 2;
		}
	}
	if (slow && *slow)
		timeout_ms *= (int)strtol(slow, NULL, 10);
	if (argc - optind < 2)
		die("usage: rpc [-3] [-s SERVICE] [-t SECONDS] [-n TIMES] SOCKET METHOD",
		    "...");
	me = method_find(argv[optind + 1]);
	if (strcmp(argv[optind], "-") == 0)
		return print_stdin(me);
	for (int i = optind + 2; i < argc; i++)
		put_arg(me, &m, &options, argv[i]);
	if (options.len > 0)
		pb_any(&m, 10, "containerd.runc.v1.Options", options.data, options.len);
	t = ttrpc_connect(argv[optind], &err);
	if (!t)
		die("no connection:", err.text);
	do {
		ttrpc_reply_fini(&r);
		rc = ttrpc_call(t, service, me->name, &m, timeout_ms, &r);
		if (rc < 0)
			die("no answer:", strerror(-rc));
	} while (--times > 0);
	rc = print_reply(me, &r);
	ttrpc_reply_fini(&r);
	ttrpc_free(t);
	pb_fini(&m);
	pb_fini(&options);
	return rc;
}
