/*
 * The built launcher, run as containerd runs it, in a private state root: what
 * it prints, what it leaves behind, how it joins and races.
 *
 * This program is its own fake keeper: linked as `podshim-keeper` into a
 * directory that PODSHIM_LIBEXECDIR names, it serves PIN and ends when told to.
 * What it does wrong is told by the variable FAKE_KEEPER.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/podpath.h"
#include "ipc/channel.h"
#include "ipc/msg.h"
#include "proto/bootstrap.pb-c.h"

/* --- the fake keeper ---------------------------------------------------------- */

/* Its standing: files in the directory it was linked in. */
static const char *
keeper_arg(char *argv[], const char *flag)
{
	for (; *argv != NULL; argv++)
		if (strcmp(*argv, flag) == 0)
			return argv[1];
	return "";
}

/* argv, environment of interest and open descriptors, for the test to read. */
static void
keeper_confess(char *argv[])
{
	AUTO_FREE char *path = mem_printf("%s.confession", keeper_arg(argv, "-dir"));
	FILE *f = fopen(path, "we");
	DIR *dir = opendir("/proc/self/fd");
	AUTO_FREE char *cwd = getcwd(NULL, 0);
	AUTO_FREE char *oom = NULL;
	struct dirent *d;
	size_t len;
	int i;

	for (i = 1; argv[i] != NULL; i++)
		(void)fprintf(f, "%s ", argv[i]);
	(void)fprintf(f, "\ncwd=%s sid=%d fds=", cwd, getsid(0) == getpid());
	while ((d = readdir(dir)) != NULL)
		if (d->d_name[0] != '.' && atol(d->d_name) != dirfd(dir) &&
		    atol(d->d_name) != fileno(f))
			(void)fprintf(f, "%s,", d->d_name);
	(void)file_read(AT_FDCWD, "/proc/self/oom_score_adj", 64, &oom, &len, NULL);
	(void)fprintf(f, " ttrpc=%s oom=%s", getenv("TTRPC_ADDRESS"), oom);
	(void)closedir(dir);
	(void)fclose(f);
}

static void
keeper_answer_pin(int admin_fd, bool ending)
{
	_Alignas(8) char buf[1024];
	struct msg_head head, reply = {.type = MSG_REPLY, .a = ending ? EAGAIN : 0};
	AUTO_CLOSE int c = accept4(admin_fd, NULL, NULL, SOCK_CLOEXEC);
	size_t n_fds = 0;
	int fds[MSG_FDS_MAX];

	if (c >= 0 && packet_recv(c, 1000, &head, buf, sizeof buf, fds, &n_fds) == 0)
		(void)packet_send(c, &reply, NULL, NULL, 0);
}

/* The end of a real one: sockets, directory and lock go under the lock. */
static void
keeper_end(char *argv[])
{
	AUTO_CLOSE int lock = open(keeper_arg(argv, "-lock"), O_RDWR | O_CLOEXEC);
	AUTO_FREE char *admin = mem_printf("%s/admin", keeper_arg(argv, "-dir"));

	if (lock >= 0)
		(void)flock(lock, LOCK_EX);
	(void)unlink(keeper_arg(argv, "-socket"));
	(void)unlink(admin);
	(void)rmdir(keeper_arg(argv, "-dir"));
	(void)unlink(keeper_arg(argv, "-lock"));
}

static volatile sig_atomic_t keeper_told_to_end;

static void
keeper_on_term(int signo)
{
	(void)signo;
	keeper_told_to_end = 1;
}

static int
keeper_main(char *argv[])
{
	const char *how = getenv("FAKE_KEEPER");
	AUTO_FREE char *pid_path = mem_printf("%s.pid", keeper_arg(argv, "-dir"));
	AUTO_FREE char *pid_text = mem_printf("%d", getpid());
	struct sigaction sa = {.sa_handler = keeper_on_term};
	struct pollfd pfd = {.fd = 4, .events = POLLIN};
	int refused = 0;

	if (how == NULL)
		how = "";
	if (strcmp(how, "fail") == 0)
		return 3;
	(void)sigaction(SIGTERM, &sa, NULL);
	keeper_confess(argv);
	(void)file_write(AT_FDCWD, pid_path, pid_text, strlen(pid_text), 0600, NULL);
	if (strcmp(how, "slow") == 0)
		(void)poll(NULL, 0, 300);
	(void)!write(5, "K", 1);
	(void)close(5);
	while (!keeper_told_to_end) {
		if (poll(&pfd, 1, 10000) != 1)
			break;
		/* "ending": refuses twice, then it is gone */
		keeper_answer_pin(4, strcmp(how, "ending") == 0);
		if (strcmp(how, "ending") == 0 && ++refused == 2)
			break;
	}
	(void)unlink(pid_path);
	keeper_end(argv);
	return 0;
}

/* --- running the launcher --------------------------------------------------- */

static char top[] = "/tmp/podshim-start-XXXXXX";
static char *launcher, *root, *libexec, *bundle, *socket_dir, *grpc;

struct result {
	int status; /* exit status, or 128 + signal */
	char *out, *err;
	size_t out_len, err_len;
};

static void
result_fini(struct result *r)
{
	free(r->out);
	free(r->err);
}

/* Output into memfds, so that nobody has to read while it runs. */
static pid_t
launch(const char *const *words, const void *in, size_t in_len, const char *cwd, int out[2])
{
	AUTO_STRV struct strv argv = {0};
	AUTO_CLOSE int in_fd = memfd_sealed("stdin", in, in_len);
	pid_t pid;

	assert_true(in_fd >= 0);
	out[0] = memfd_bounded("stdout", 65536);
	out[1] = memfd_bounded("stderr", 65536);
	assert_true(out[0] >= 0 && out[1] >= 0);
	strv_add(&argv, launcher);
	for (; *words != NULL; words++)
		strv_add(&argv, *words);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (chdir(cwd) == -1 || dup2(in_fd, 0) == -1 || dup2(out[0], 1) == -1 ||
		    dup2(out[1], 2) == -1)
			_exit(126);
		(void)execv(launcher, argv.v);
		_exit(127);
	}
	return pid;
}

static char *
memfd_text(int fd, size_t *len)
{
	off_t end = lseek(fd, 0, SEEK_CUR);
	char *text = mem_zalloc((size_t)end + 1);

	assert_int_equal(pread(fd, text, (size_t)end, 0), end);
	*len = (size_t)end;
	(void)close(fd);
	return text;
}

static struct result
collect(pid_t pid, int out[2])
{
	struct result r = {0};
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	r.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	r.out = memfd_text(out[0], &r.out_len);
	r.err = memfd_text(out[1], &r.err_len);
	return r;
}

static struct result
run(const char *const *words, const void *in, size_t in_len, const char *cwd)
{
	int out[2];
	pid_t pid = launch(words, in, in_len, cwd, out);

	return collect(pid, out);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* `start` of container id, by containerd 2.3, so that the socket directory is ours. */
static void
params(const char *id, void **out, size_t *len)
{
	Containerd__Runtime__Bootstrap__V1__BootstrapParams p =
	    CONTAINERD__RUNTIME__BOOTSTRAP__V1__BOOTSTRAP_PARAMS__INIT;
	AUTO_FREE char *own = mem_strdup(id);
	char ns[] = "test", ttrpc[] = "/from/params";

	p.instance_id = own;
	p.namespace_ = ns;
	p.containerd_ttrpc_address = ttrpc;
	p.socket_dir = socket_dir;
	*len = protobuf_c_message_get_packed_size(&p.base);
	*out = mem_zalloc(*len);
	(void)protobuf_c_message_pack(&p.base, *out);
}

static pid_t
start_launch(const char *id, const char *cwd, int out[2])
{
	AUTO_FREE void *in = NULL;
	size_t len;

	params(id, &in, &len);
	return launch(WORDS("-namespace", "test", "-address", grpc, "-publish-binary", "/bin/true",
			  "-id", id, "start"), in, len, cwd, out);
}

static struct result
start(const char *id, const char *cwd)
{
	int out[2];
	pid_t pid = start_launch(id, cwd, out);

	return collect(pid, out);
}

/* The address in a BootstrapResult on stdout, malloc'ed. */
static char *
answer_address(const struct result *r)
{
	Containerd__Runtime__Bootstrap__V1__BootstrapResult *b;
	char *address;

	if (r->status != 0)
		(void)fprintf(stderr, "launcher: %s\n", r->err);
	assert_int_equal(r->status, 0);
	assert_int_equal(r->err_len, 0);
	b = containerd__runtime__bootstrap__v1__bootstrap_result__unpack(NULL, r->out_len,
	    (const uint8_t *)r->out);
	assert_non_null(b);
	assert_int_equal(b->version, 2);
	assert_string_equal(b->protocol, "ttrpc");
	address = mem_strdup(b->address);
	containerd__runtime__bootstrap__v1__bootstrap_result__free_unpacked(b, NULL);
	return address;
}

/* --- looking around ---------------------------------------------------------- */

static size_t
count_entries(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *d;
	size_t n = 0;

	if (dir == NULL)
		return 0;
	while ((d = readdir(dir)) != NULL)
		n += d->d_name[0] != '.';
	(void)closedir(dir);
	return n;
}

static bool
is_there(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

/* Of the pod of group id: what the names are. */
static char *
pod_file(const char *id, const char *suffix)
{
	char hash[POD_HASH_LEN + 1];
	AUTO_FREE char *dir = NULL;

	pod_hash(grpc, "test", id, hash);
	dir = pod_dir("test", id, hash);
	return mem_printf("%s%s", dir, suffix);
}

static pid_t
keeper_pid(const char *id)
{
	AUTO_FREE char *path = pod_file(id, ".pid");
	AUTO_FREE char *text = NULL;
	size_t len;

	if (file_read(AT_FDCWD, path, 64, &text, &len, NULL) < 0)
		return -1;
	return (pid_t)atol(text);
}

static void
wait_gone(const char *path)
{
	boot_us_t end = clock_boot_us() + 10 * US_PER_S;

	while (is_there(path)) {
		assert_true(clock_boot_us() < end);
		(void)poll(NULL, 0, 5);
	}
}

static void
keeper_stop(const char *id)
{
	AUTO_FREE char *lock = pod_file(id, ".lock");
	AUTO_FREE char *confession = pod_file(id, ".confession");
	pid_t pid = keeper_pid(id);

	if (pid > 0) {
		(void)kill(pid, SIGTERM);
		wait_gone(lock);
	}
	(void)unlink(confession);
}

/* No keeper, no socket, no directory, no lock. */
static void
expect_nothing_left(void)
{
	AUTO_FREE char *ns_dir = mem_printf("%s/test", root);

	assert_int_equal(count_entries(ns_dir), 0);
	assert_int_equal(count_entries(socket_dir), 0);
}

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

static void
write_in(const char *dir, const char *name, const char *text)
{
	AUTO_FREE char *path = mem_printf("%s/%s", dir, name);

	assert_int_equal(file_write(AT_FDCWD, path, text, strlen(text), 0600, NULL), 0);
}

static void
remove_in(const char *dir, const char *name)
{
	AUTO_FREE char *path = mem_printf("%s/%s", dir, name);

	(void)unlink(path);
}

static char *
read_in(const char *dir, const char *name)
{
	AUTO_FREE char *path = mem_printf("%s/%s", dir, name);
	char *text = NULL;
	size_t len;

	assert_int_equal(file_read(AT_FDCWD, path, 65536, &text, &len, NULL), 0);
	return text;
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
		{"not a valid identifier", WORDS("-namespace", "test", "-id", "../x", "start"), "", NULL},
		{"not a valid identifier", WORDS("-namespace", "a\nb", "-id", "x", "start"), "", NULL},
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
	want = mem_printf("-namespace test -id one -address %s -publish-binary /bin/true -socket %s "
			  "-dir %s -lock %s -log %s/log -pin one ",
	    grpc, address + 7, dir, lock, bundle);
	assert_string_equal(confession, want);
	assert_non_null(strstr(second, "cwd=/ sid=1 fds=0,1,2,3,4,5, ttrpc=/from/params "));
	keeper_stop("one");
	expect_nothing_left();
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
	(void)kill(pid, SIGKILL);
	while (kill(pid, 0) == 0)
		(void)poll(NULL, 0, 2);
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
	assert_true(clock_boot_us() - begin < 3 * US_PER_S);
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
	r = run(WORDS("-namespace", "test", "-id", "old", "-address", grpc, "start"), "", 0, bundle);
	(void)setenv("PODSHIM_LIBEXECDIR", libexec, 1);
	expect_refusal(&r, "No such file");
	result_fini(&r);
}

/* ------------------------------------------------------------------------------ */

static int
setup(void **state)
{
	AUTO_FREE char *self = NULL;
	AUTO_FREE char *link_path = NULL;

	(void)state;
	if (mkdtemp(top) == NULL)
		return -1;
	root = mem_printf("%s/state", top);
	libexec = mem_printf("%s/libexec", top);
	bundle = mem_printf("%s/b1", top);
	socket_dir = mem_printf("%s/s", top);
	grpc = mem_printf("%s/containerd.sock", top);
	link_path = mem_printf("%s/podshim-keeper", libexec);
	self = realpath("/proc/self/exe", NULL);
	if (self == NULL)
		return -1;
	/* this is <build>/tests/unit/test_launcher_start */
	launcher = mem_printf("%.*s/../../containerd-shim-podshim-v1",
	    (int)(strrchr(self, '/') - self), self);
	if (mkdir(libexec, 0700) == -1 || mkdir(bundle, 0700) == -1 ||
	    symlink(self, link_path) == -1)
		return -1;
	(void)setenv("PODSHIM_STATE_ROOT", root, 1);
	(void)setenv("PODSHIM_LIBEXECDIR", libexec, 1);
	(void)unsetenv("TTRPC_ADDRESS");
	(void)unsetenv("MAX_SHIM_VERSION");
	(void)unsetenv("FAKE_KEEPER");
	return 0;
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int
teardown(void **state)
{
	(void)state;
	free(launcher);
	free(root);
	free(libexec);
	free(bundle);
	free(socket_dir);
	free(grpc);
	return nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int
main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_start_refuses_bad_input),
		cmocka_unit_test(test_start_version),
		cmocka_unit_test(test_start_makes_a_keeper),
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
	const char *name = strrchr(argv[0], '/');

	if (strcmp(name == NULL ? argv[0] : name + 1, "podshim-keeper") == 0)
		return keeper_main(argv);
	(void)argc;
	return cmocka_run_group_tests(tests, setup, teardown);
}
