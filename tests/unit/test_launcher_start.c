/*
 * The built launcher's `start`, run as containerd runs it: what it prints, what
 * it leaves behind, how it joins and races.
 */
#include "launcher_help.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/podpath.h"
#include "proto/options.pb-c.h"
#include "proto/types.pb-c.h"
#include "proto/wire.h"

static void
expect_refusal(const struct result *r, const char *text)
{
	assert_int_equal(r->status, 1);
	assert_int_equal(r->out_len, 0);
	assert_true(r->err_len > 0);
	/* one line */
	assert_ptr_equal(strchr(r->err, '\n'), r->err + r->err_len - 1);
	if (strstr(r->err, text) == NULL)
		(void)fprintf(stderr, "got: %s", r->err);
	assert_non_null(strstr(r->err, text));
	expect_nothing_left();
}

/* --- tests -------------------------------------------------------------------- */

static void
test_start_refuses_bad_input(void **state)
{
	const struct {
		const char *text;
		const char *const *words;
		const char *in;
		const char *config;
	} rows[] = {
	    {"unknown flag '-bogus'", WORDS("-bogus", "start"), "", NULL},
	    {"'-namespace' is missing", WORDS("-id", "x", "start"), "", NULL},
	    {"'-id' is missing", WORDS("-namespace", "test", "start"), "", NULL},
	    {"not a valid identifier",
		WORDS("-namespace", "test", "-id", "../x", "start"), "", NULL},
	    {"not a valid identifier", WORDS("-namespace", "a\nb", "-id", "x", "start"),
		"", NULL},
	    {"no action given", WORDS("-namespace", "test", "-id", "x"), "", NULL},
	    {"neither bootstrap parameters nor options",
		WORDS("-namespace", "test", "-id", "x", "start"), "hello", NULL},
	    {"not valid JSON", WORDS("-namespace", "test", "-id", "x", "start"), "", "{"},
	    {"is not a string", WORDS("-namespace", "test", "-id", "x", "start"), "",
		"{\"annotations\":{\"io.containerd.runc.v2.group\":7}}"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct result r;

		if (rows[i].config != NULL)
			write_in(bundle, "config.json", rows[i].config);
		r = run(rows[i].words, rows[i].in, strlen(rows[i].in), bundle);
		remove_in(bundle, "config.json");
		expect_refusal(&r, rows[i].text);
		assert_int_equal(count_entries(bundle), 0);
		result_fini(&r);
	}
}

static void
test_start_version(void **state)
{
	struct result r = run(WORDS("-v"), "", 0, bundle);

	(void)state;
	assert_int_equal(r.status, 0);
	assert_non_null(strstr(r.out, "containerd-shim-podshim-v1"));
	assert_non_null(strstr(r.out, PACKAGE_VERSION));
	result_fini(&r);
}

/* RuntimeInfo for runc's options with this binary. */
static Containerd__Types__RuntimeInfo *
info_of(const char *binary)
{
	Containerd__Runc__V1__Options options = CONTAINERD__RUNC__V1__OPTIONS__INIT;
	Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
	char type[] = "containerd.runc.v1.Options";
	Containerd__Types__RuntimeInfo *info;
	AUTO_FREE char *own = mem_strdup(binary);
	AUTO_FREE void *value = NULL;
	AUTO_FREE void *in = NULL;
	struct result r;
	size_t len;

	options.binary_name = own;
	wire_pack(&options.base, &value, &len);
	any.type_url = type;
	any.value.data = value;
	any.value.len = len;
	wire_pack(&any.base, &in, &len);
	r = run(WORDS("-info"), in, len, bundle);
	assert_int_equal(r.status, 0);
	assert_string_equal(r.err, "");
	info = containerd__types__runtime_info__unpack(NULL, r.out_len, (uint8_t *)r.out);
	assert_non_null(info);
	assert_string_equal(info->name, "io.containerd.podshim.v1");
	assert_string_equal(info->version->version, PACKAGE_VERSION);
	assert_string_equal(info->options->type_url, type);
	assert_int_equal(info->options->value.len, any.value.len);
	result_fini(&r);
	return info;
}

static void
test_start_info(void **state)
{
	static const struct {
		const char *script, *features;
	} rows[] = {
	    {"[ $1 = features ] && echo '{\"a\":1}'; echo noise >&2", "{\"a\":1}\n"},
	    {"echo '{\"a\":1}'; exit 1", NULL},
	    {"echo 'unknown command'", NULL},
	    {"", NULL},
	};
	AUTO_FREE char *runtime = mem_printf("%s/runtime", top);
	Containerd__Types__RuntimeInfo *info;
	struct result r;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_FREE char *text = mem_printf("#!/bin/sh\n%s\n", rows[i].script);

		assert_int_equal(
		    file_write(AT_FDCWD, runtime, text, strlen(text), 0700, NULL), 0);
		info = info_of(runtime);
		assert_int_equal(info->features != NULL, rows[i].features != NULL);
		if (rows[i].features != NULL) {
			assert_string_equal(info->features->type_url,
			    "types.containerd.io/opencontainers/runtime-spec/1/features/"
			    "Features");
			assert_int_equal(
			    info->features->value.len, strlen(rows[i].features));
			assert_memory_equal(info->features->value.data, rows[i].features,
			    strlen(rows[i].features));
		}
		containerd__types__runtime_info__free_unpacked(info, NULL);
	}
	info = info_of("/nonexistent/runtime");
	assert_null(info->features);
	containerd__types__runtime_info__free_unpacked(info, NULL);
	/* no options, and options of a type that is not known */
	r = run(WORDS("-info"), "", 0, bundle);
	assert_int_equal(r.status, 0);
	assert_true(r.out_len > 0);
	result_fini(&r);
	r = run(WORDS("-info"), "\x0a\x01T", 3, bundle);
	assert_int_equal(r.status, 0);
	result_fini(&r);
	r = run(WORDS("-info"), "\xff", 1, bundle);
	expect_refusal(&r, "1 bytes on stdin are no options");
	result_fini(&r);
}

static long
oom_adj(void)
{
	AUTO_FREE char *text = read_in("/proc/self", "oom_score_adj");

	return strtol(text, NULL, 10);
}

static void
test_start_makes_a_keeper(void **state)
{
	AUTO_FREE char *confession_path = pod_file("one", ".confession");
	AUTO_FREE char *dir = pod_file("one", "");
	AUTO_FREE char *lock = pod_file("one", ".lock");
	struct result r = start("one", bundle);
	AUTO_FREE char *address = answer_address(&r);
	AUTO_FREE char *file = read_in(bundle, "address");
	AUTO_FREE char *confession = read_in("", confession_path);
	AUTO_FREE char *want = NULL;
	struct stat st;
	char *second;
	long oom;

	(void)state;
	assert_string_equal(address, file);
	assert_int_equal(lstat(address + 7, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(lstat(dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);

	second = strchr(confession, '\n');
	assert_non_null(second);
	*second++ = '\0';
	want = mem_printf(
	    "-namespace test -id one -address %s -publish-binary /bin/true -socket %s "
	    "-dir %s -lock %s -log %s/log -pin one ",
	    grpc, address + 7, dir, lock, bundle);
	assert_string_equal(confession, want);
	/* 1000 is the most there is */
	oom = oom_adj() < 1000 ? oom_adj() + 1 : 1000;
	assert_int_equal(strtol(strstr(second, " oom=") + 5, NULL, 10), oom);
	assert_non_null(
	    strstr(second, "cwd=/ sid=1 fds=0,1,2,3,4,5, ttrpc=/from/params "));
	keeper_stop("one");
	expect_nothing_left();
	result_fini(&r);
}

/* ShimCgroup of the options, which come as an extension of the parameters. */
static void
test_start_enters_the_shim_cgroup(void **state)
{
	AUTO_FREE char *name = mem_printf("podshim-test-%d", getpid());
	AUTO_FREE char *v1 = mem_printf("/sys/fs/cgroup/pids/%s", name);
	AUTO_FREE char *v2 = mem_printf("/sys/fs/cgroup/%s", name);
	AUTO_FREE char *want = mem_printf("/%s\n", name);
	AUTO_FREE char *proc = NULL;
	AUTO_FREE char *membership = NULL;
	const char *dir = mkdir(v1, 0755) == 0 ? v1 : v2;
	struct result r;

	(void)state;
	if (dir == v2 && mkdir(v2, 0755) == -1)
		skip();
	r = start_in_cgroup("cg", bundle, name);
	assert_int_equal(r.status, 0);
	proc = mem_printf("/proc/%d/cgroup", keeper_pid("cg"));
	membership = read_in("", proc);
	keeper_stop("cg");
	while (rmdir(dir) == -1 && errno == EBUSY)
		(void)poll(NULL, 0, 5);
	assert_non_null(strstr(membership, want));
	result_fini(&r);
	r = start_in_cgroup("cg", bundle, name);
	expect_refusal(&r, "shim cgroup 'podshim-test-");
	result_fini(&r);
	r = start_in_cgroup("cg", bundle, "../..");
	expect_refusal(&r, "leads out of the hierarchy");
	result_fini(&r);
}

static void
test_start_joins(void **state)
{
	struct result r = start("pod", bundle), r2;
	AUTO_FREE char *address = answer_address(&r);
	AUTO_FREE char *other = mem_printf("%s/b2", top);
	AUTO_FREE char *address2 = NULL, *file = NULL;
	pid_t pid = keeper_pid("pod");

	(void)state;
	assert_int_equal(mkdir(other, 0700), 0);
	write_in(other, "config.json",
	    "{\"annotations\":{\"io.kubernetes.cri.sandbox-id\":\"pod\"}}");
	r2 = start("member", other);
	address2 = answer_address(&r2);
	assert_string_equal(address, address2);
	file = read_in(other, "address");
	assert_string_equal(file, address);
	assert_int_equal(keeper_pid("pod"), pid);
	keeper_stop("pod");
	expect_nothing_left();
	result_fini(&r);
	result_fini(&r2);
}

static void
test_start_waits_for_an_ending_keeper(void **state)
{
	struct result r, r2;
	AUTO_FREE char *address = NULL;
	pid_t first;

	(void)state;
	(void)setenv("FAKE_KEEPER", "ending", 1);
	r = start("e", bundle);
	assert_int_equal(r.status, 0);
	first = keeper_pid("e");
	(void)unsetenv("FAKE_KEEPER");
	r2 = start("e", bundle);
	address = answer_address(&r2);
	assert_true(is_there(address + 7));
	assert_int_not_equal(keeper_pid("e"), first);
	keeper_stop("e");
	expect_nothing_left();
	result_fini(&r);
	result_fini(&r2);
}

static void
test_start_replaces_a_dead_keeper(void **state)
{
	struct result r = start("d", bundle), r2;
	AUTO_FREE char *dir = pod_file("d", "");
	AUTO_FREE char *purged = mem_printf("%s/purged", dir);
	AUTO_FREE char *address = answer_address(&r);
	AUTO_FREE char *address2 = NULL;
	pid_t pid = keeper_pid("d");

	(void)state;
	assert_true(pid > 0);
	keeper_kill(pid);
	assert_true(is_there(address + 7));
	assert_int_equal(mkdir(purged, 0700), 0);
	write_in(purged, "d", "killed 1");
	r2 = start("d", bundle);
	address2 = answer_address(&r2);
	assert_string_equal(address, address2);
	assert_int_not_equal(keeper_pid("d"), pid);
	/* marks of the former life would end containers of this one */
	assert_false(is_there(purged));
	keeper_stop("d");
	expect_nothing_left();
	result_fini(&r);
	result_fini(&r2);
}

static void
test_start_undoes_a_failed_keeper(void **state)
{
	struct result r;

	(void)state;
	(void)setenv("FAKE_KEEPER", "fail", 1);
	r = start("f", bundle);
	(void)unsetenv("FAKE_KEEPER");
	expect_refusal(&r, "ended at once with status 3");
	result_fini(&r);
	(void)setenv("PODSHIM_LIBEXECDIR", "/nonexistent", 1);
	r = start("f", bundle);
	(void)setenv("PODSHIM_LIBEXECDIR", libexec, 1);
	expect_refusal(&r, "execute '/nonexistent/podshim-keeper': No such file");
	assert_int_equal(count_entries(bundle), 0);
	result_fini(&r);
}

static void
test_start_leaves_strangers_alone(void **state)
{
	AUTO_FREE char *path = NULL;
	char hash[POD_HASH_LEN + 1];
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct result r;
	int fd;

	(void)state;
	pod_hash(grpc, "test", "s", hash);
	path = mem_printf("%s/%s", socket_dir, hash);
	(void)mkdir(socket_dir, 0700);
	/* a file that is no socket */
	write_in(socket_dir, hash, "precious");
	r = start("s", bundle);
	assert_int_equal(r.status, 1);
	assert_non_null(strstr(r.err, "Socket operation on non-socket"));
	assert_true(is_there(path));
	result_fini(&r);
	(void)unlink(path);
	/* somebody else's living socket */
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	memcpy(sa.sun_path, path, strlen(path) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof sa), 0);
	assert_int_equal(listen(fd, 1), 0);
	r = start("s", bundle);
	assert_int_equal(r.status, 1);
	assert_non_null(strstr(r.err, "Address already in use"));
	assert_true(is_there(path));
	result_fini(&r);
	(void)close(fd);
	/* and a stale one, which is ours to take */
	r = start("s", bundle);
	assert_int_equal(r.status, 0);
	result_fini(&r);
	keeper_stop("s");
	expect_nothing_left();
}

static void
test_start_hung_keeper_is_an_error(void **state)
{
	struct result r = start("h", bundle), r2;
	boot_us_t begin;
	pid_t pid = keeper_pid("h");

	(void)state;
	assert_int_equal(r.status, 0);
	assert_int_equal(kill(pid, SIGSTOP), 0);
	begin = clock_boot_us();
	r2 = start("h", bundle);
	assert_true(clock_boot_us() - begin < 30 * US_PER_S);
	(void)kill(pid, SIGCONT);
	assert_int_equal(r2.status, 1);
	assert_int_equal(r2.out_len, 0);
	assert_non_null(strstr(r2.err, "keeper of pod 'h'"));
	keeper_stop("h");
	expect_nothing_left();
	result_fini(&r);
	result_fini(&r2);
}

/* Both must get the same address, and there must be one keeper. */
static void
test_start_two_at_once(void **state)
{
	int round, out[2][2], i;
	pid_t pid[2];

	(void)state;
	for (round = 0; round < 50; round++) {
		struct result r[2];
		char *address[2];

		for (i = 0; i < 2; i++)
			pid[i] = start_launch("race", bundle, out[i]);
		for (i = 0; i < 2; i++) {
			r[i] = collect(pid[i], out[i]);
			address[i] = answer_address(&r[i]);
		}
		assert_string_equal(address[0], address[1]);
		keeper_stop("race");
		expect_nothing_left();
		for (i = 0; i < 2; i++) {
			free(address[i]);
			result_fini(&r[i]);
		}
	}
}

/* Killed at any moment, the next start works, and then nothing is left. */
static void
test_start_killed(void **state)
{
	int round, out[2];

	(void)state;
	for (round = 0; round < 60; round++) {
		struct result r;
		char *address;
		pid_t pid = start_launch("k", bundle, out);
		boot_us_t until = clock_boot_us() + (boot_us_t)round * 50;

		while (clock_boot_us() < until)
			;
		(void)kill(pid, SIGKILL);
		r = collect(pid, out);
		result_fini(&r);
		r = start("k", bundle);
		address = answer_address(&r);
		free(address);
		result_fini(&r);
		keeper_stop("k");
		expect_nothing_left();
	}
}

static void
test_start_legacy_dialects(void **state)
{
	/* these use the fixed socket directory: refused before it is touched */
	struct result r;

	(void)state;
	(void)setenv("PODSHIM_LIBEXECDIR", "/nonexistent", 1);
	r = run(WORDS("-namespace", "test", "-id", "old", "-address", grpc, "start"), "",
	    0, bundle);
	(void)setenv("PODSHIM_LIBEXECDIR", libexec, 1);
	expect_refusal(&r, "No such file");
	result_fini(&r);
}

int
main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_start_refuses_bad_input),
	    cmocka_unit_test(test_start_version),
	    cmocka_unit_test(test_start_info),
	    cmocka_unit_test(test_start_makes_a_keeper),
	    cmocka_unit_test(test_start_enters_the_shim_cgroup),
	    cmocka_unit_test(test_start_joins),
	    cmocka_unit_test(test_start_waits_for_an_ending_keeper),
	    cmocka_unit_test(test_start_replaces_a_dead_keeper),
	    cmocka_unit_test(test_start_undoes_a_failed_keeper),
	    cmocka_unit_test(test_start_leaves_strangers_alone),
	    cmocka_unit_test(test_start_hung_keeper_is_an_error),
	    cmocka_unit_test(test_start_two_at_once),
	    cmocka_unit_test(test_start_killed),
	    cmocka_unit_test(test_start_legacy_dialects),
	};

	(void)argc;
	if (keeper_is_asked(argv[0]))
		return keeper_main(argv);
	return cmocka_run_group_tests(tests, launcher_setup, launcher_teardown);
}
