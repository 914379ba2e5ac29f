/*
 * Running the launcher, and the fake keeper; see launcher_help.h.
 */
#include "launcher_help.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/podpath.h"
#include "ipc/channel.h"
#include "ipc/msg.h"
#include "proto/admin.pb-c.h"
#include "proto/bootstrap.pb-c.h"
#include "proto/frame.h"
#include "proto/options.pb-c.h"
#include "proto/status.h"
#include "proto/ttrpc.pb-c.h"
#include "proto/wire.h"

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
		if (d->d_name[0] != '.' && strtol(d->d_name, NULL, 10) != dirfd(dir) &&
		    strtol(d->d_name, NULL, 10) != fileno(f))
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

/*
 * The end of a real one: sockets, directory and lock go under the lock. false: with
 * LOCK_NB, somebody has it.
 */
static bool
keeper_end(char *argv[], const char *pid_path, int nonblock)
{
	AUTO_CLOSE int lock = open(keeper_arg(argv, "-lock"), O_RDWR | O_CLOEXEC);
	AUTO_FREE char *admin = mem_printf("%s/admin", keeper_arg(argv, "-dir"));

	if (lock >= 0 && flock(lock, LOCK_EX | nonblock) == -1)
		return false;
	(void)unlink(pid_path);
	(void)unlink(keeper_arg(argv, "-socket"));
	(void)unlink(admin);
	(void)rmdir(keeper_arg(argv, "-dir"));
	(void)unlink(keeper_arg(argv, "-lock"));
	return true;
}

/* One request on one connection, answered as FAKE_PURGE says. */
static void
keeper_answer_purge(int listen_fd)
{
	AUTO_CLOSE int c = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
	const char *how = getenv("FAKE_PURGE");
	Podshim__V1__PurgeResponse purge = PODSHIM__V1__PURGE_RESPONSE__INIT;
	Ttrpc__Response response = TTRPC__RESPONSE__INIT;
	Google__Protobuf__Timestamp ts;
	AUTO_FREE void *payload = NULL;
	AUTO_FREE void *body = NULL;
	uint8_t raw[2 * STATUS_RESPONSE_MAX];
	struct frame_head head;
	size_t len;

	if (c < 0 || how == NULL || strcmp(how, "close") == 0)
		return;
	if (recv(c, raw, sizeof raw, 0) < (ssize_t)FRAME_HEAD_LEN)
		return;
	frame_head_decode(&head, raw);
	if (strcmp(how, "silent") == 0) {
		(void)recv(c, raw, sizeof raw, 0); /* until the peer gives up */
		return;
	}
	if (strcmp(how, "error") == 0) {
		len = status_encode_response(
		    raw, sizeof raw, STATUS_UNIMPLEMENTED, "method Purge");
		payload = mem_dup(raw, len);
		head.len = (uint32_t)len;
	} else {
		purge.known = strcmp(how, "known") == 0;
		if (strcmp(how, "unknown") != 0) {
			purge.pid = 42;
			purge.exit_status = 7;
			wire_timestamp(&ts, 5 * NS_PER_S);
			purge.exited_at = &ts;
		}
		wire_pack(&purge.base, &body, &len);
		response.payload.data = body;
		response.payload.len = len;
		wire_pack(&response.base, &payload, &len);
		head.len = (uint32_t)len;
	}
	head.type = FRAME_RESPONSE;
	/* a frame for somebody else first, and this one in two pieces */
	frame_head_encode(
	    raw, &(struct frame_head){.len = 1, .stream = 77, .type = FRAME_RESPONSE});
	raw[FRAME_HEAD_LEN] = 0;
	(void)!write(c, raw, FRAME_HEAD_LEN + 1);
	frame_head_encode(raw, &head);
	(void)!write(c, raw, 5);
	(void)poll(NULL, 0, 5);
	(void)!write(c, raw + 5, FRAME_HEAD_LEN - 5);
	(void)!write(c, payload, head.len);
	(void)recv(c, raw, sizeof raw, 0);
}

static volatile sig_atomic_t keeper_told_to_end;

static void
keeper_on_term(int signo)
{
	(void)signo;
	keeper_told_to_end = 1;
}

bool
keeper_is_asked(const char *argv0)
{
	const char *name = strrchr(argv0, '/');

	return strcmp(name == NULL ? argv0 : name + 1, "podshim-keeper") == 0;
}

int
keeper_main(char *argv[])
{
	const char *how = getenv("FAKE_KEEPER");
	AUTO_FREE char *pid_path = mem_printf("%s.pid", keeper_arg(argv, "-dir"));
	AUTO_FREE char *pid_text = mem_printf("%d", getpid());
	struct sigaction sa = {.sa_handler = keeper_on_term};
	struct pollfd pfd[] = {{.fd = 4, .events = POLLIN}, {.fd = 3, .events = POLLIN}};
	const struct timespec limit = {.tv_sec = 60}, turn = {.tv_nsec = 2000000};
	sigset_t term, old;
	int n, refused = 0;
	bool ending;

	if (how == NULL)
		how = "";
	if (strcmp(how, "fail") == 0)
		return 3;
	ending = strcmp(how, "ending") == 0;
	(void)signal(SIGPIPE, SIG_IGN); /* who has read enough of an answer may be gone */
	/* but while it waits, or one that comes just before would be slept over */
	(void)sigemptyset(&term);
	(void)sigaddset(&term, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &term, &old);
	(void)sigaction(SIGTERM, &sa, NULL);
	keeper_confess(argv);
	(void)file_write(AT_FDCWD, pid_path, pid_text, strlen(pid_text), 0600, NULL);
	if (strcmp(how, "slow") == 0)
		(void)poll(NULL, 0, 300);
	(void)!write(5, "K", 1);
	(void)close(5);
	while (!keeper_told_to_end) {
		/*
		 * "ending": refuses twice, and then whoever has the lock before it:
		 * it must not wait for one who waits for its answer
		 */
		if (refused >= 2 && keeper_end(argv, pid_path, LOCK_NB))
			return 0;
		n = ppoll(pfd, 2, refused >= 2 ? &turn : &limit, &old);
		if (n < 0 || (n == 0 && refused < 2))
			break;
		if (pfd[1].revents != 0)
			keeper_answer_purge(3);
		if (pfd[0].revents == 0)
			continue;
		keeper_answer_pin(4, ending);
		refused += ending;
	}
	(void)keeper_end(argv, pid_path, 0);
	return 0;
}

/* --- running the launcher --------------------------------------------------- */

char top[] = "/tmp/podshim-launcher-XXXXXX";
char *root, *libexec, *bundle, *socket_dir, *grpc;
static char *launcher;

void
result_fini(struct result *r)
{
	free(r->out);
	free(r->err);
}

/* Output into memfds, so that nobody has to read while it runs. */
pid_t
launch(
    const char *const *words, const void *in, size_t in_len, const char *cwd, int out[2])
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

struct result
collect(pid_t pid, int out[2])
{
	struct result r = {0};
	boot_us_t begin = clock_boot_us();
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	r.took_us = clock_boot_us() - begin;
	r.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	r.out = memfd_text(out[0], &r.out_len);
	r.err = memfd_text(out[1], &r.err_len);
	return r;
}

struct result
run(const char *const *words, const void *in, size_t in_len, const char *cwd)
{
	int out[2];
	pid_t pid = launch(words, in, in_len, cwd, out);

	return collect(pid, out);
}

/* `start` of container id, by containerd 2.3, so that the socket directory is ours. */
static void
params(const char *id, const char *cgroup, void **out, size_t *len)
{
	Containerd__Runtime__Bootstrap__V1__BootstrapParams p =
	    CONTAINERD__RUNTIME__BOOTSTRAP__V1__BOOTSTRAP_PARAMS__INIT;
	Containerd__Runtime__Bootstrap__V1__Extension extension =
	    CONTAINERD__RUNTIME__BOOTSTRAP__V1__EXTENSION__INIT;
	Containerd__Runtime__Bootstrap__V1__Extension *extensions[] = {&extension};
	Containerd__Runc__V1__Options options = CONTAINERD__RUNC__V1__OPTIONS__INIT;
	Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
	AUTO_FREE char *own = mem_strdup(id);
	AUTO_FREE char *own_cgroup = mem_strdup(cgroup);
	AUTO_FREE void *value = NULL;
	char ns[] = "test", ttrpc[] = "/from/params",
	     type[] = "containerd.runc.v1.Options";

	p.instance_id = own;
	p.namespace_ = ns;
	p.containerd_ttrpc_address = ttrpc;
	p.socket_dir = socket_dir;
	if (cgroup != NULL) {
		options.shim_cgroup = own_cgroup;
		wire_pack(&options.base, &value, &any.value.len);
		any.value.data = value;
		any.type_url = type;
		extension.value = &any;
		p.extensions = extensions;
		p.n_extensions = 1;
	}
	wire_pack(&p.base, out, len);
}

static pid_t
params_launch(const char *id, const char *cgroup, const char *cwd, int out[2])
{
	AUTO_FREE void *in = NULL;
	size_t len;

	params(id, cgroup, &in, &len);
	return launch(WORDS("-namespace", "test", "-address", grpc, "-publish-binary",
			  "/bin/true", "-id", id, "start"),
	    in, len, cwd, out);
}

pid_t
start_launch(const char *id, const char *cwd, int out[2])
{
	return params_launch(id, NULL, cwd, out);
}

struct result
start(const char *id, const char *cwd)
{
	return start_in_cgroup(id, cwd, NULL);
}

struct result
start_in_cgroup(const char *id, const char *cwd, const char *cgroup)
{
	int out[2];
	pid_t pid = params_launch(id, cgroup, cwd, out);

	return collect(pid, out);
}

/* The address in a BootstrapResult on stdout, malloc'ed. */
char *
answer_address(const struct result *r)
{
	Containerd__Runtime__Bootstrap__V1__BootstrapResult *b;
	char *address;

	if (r->status != 0)
		(void)fprintf(stderr, "launcher: %s\n", r->err);
	assert_int_equal(r->status, 0);
	assert_int_equal(r->err_len, 0);
	b = containerd__runtime__bootstrap__v1__bootstrap_result__unpack(
	    NULL, r->out_len, (const uint8_t *)r->out);
	assert_non_null(b);
	assert_int_equal(b->version, 2);
	assert_string_equal(b->protocol, "ttrpc");
	address = mem_strdup(b->address);
	containerd__runtime__bootstrap__v1__bootstrap_result__free_unpacked(b, NULL);
	return address;
}

/* --- looking around ---------------------------------------------------------- */

uint64_t
start_time_of(pid_t pid)
{
	AUTO_FREE char *path = mem_printf("/proc/%d/stat", pid);
	AUTO_FREE char *text = NULL;
	char *p, *save = NULL;
	size_t len;
	int i;

	assert_int_equal(file_read(AT_FDCWD, path, 4096, &text, &len, NULL), 0);
	p = strtok_r(strrchr(text, ')') + 1, " ", &save);
	for (i = 3; i < 22; i++)
		p = strtok_r(NULL, " ", &save);
	return strtoull(p, NULL, 10);
}

size_t
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

bool
is_there(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

/* Of the pod of group id: what the names are. */
char *
pod_file(const char *id, const char *suffix)
{
	char hash[POD_HASH_LEN + 1];
	AUTO_FREE char *dir = NULL;

	pod_hash(grpc, "test", id, hash);
	dir = pod_dir("test", id, hash);
	return mem_printf("%s%s", dir, suffix);
}

pid_t
keeper_pid(const char *id)
{
	AUTO_FREE char *path = pod_file(id, ".pid");
	AUTO_FREE char *text = NULL;
	size_t len;

	if (file_read(AT_FDCWD, path, 64, &text, &len, NULL) < 0)
		return -1;
	return (pid_t)strtol(text, NULL, 10);
}

static void
wait_gone(const char *path)
{
	boot_us_t end = clock_boot_us() + 60 * US_PER_S;

	while (is_there(path)) {
		assert_true(clock_boot_us() < end);
		(void)poll(NULL, 0, 5);
	}
}

void
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

void
keeper_kill(pid_t pid)
{
	AUTO_FREE char *path = mem_printf("/proc/%d/stat", pid);
	bool dead = false;

	assert_int_equal(kill(pid, SIGKILL), 0);
	/* not until it is reaped: some machines' init takes seconds for that */
	while (!dead) {
		AUTO_FREE char *text = NULL;
		const char *state = NULL;
		size_t len;

		if (file_read(AT_FDCWD, path, 4096, &text, &len, NULL) == 0)
			state = strrchr(text, ')');
		dead = state == NULL || state[2] == 'Z' || state[2] == 'X';
		if (!dead)
			(void)poll(NULL, 0, 2);
	}
}

/* No keeper, no socket, no directory, no lock. */
void
expect_nothing_left(void)
{
	AUTO_FREE char *ns_dir = mem_printf("%s/test", root);

	assert_int_equal(count_entries(ns_dir), 0);
	assert_int_equal(count_entries(socket_dir), 0);
}

void
write_in(const char *dir, const char *name, const char *text)
{
	AUTO_FREE char *path = mem_printf("%s/%s", dir, name);

	assert_int_equal(file_write(AT_FDCWD, path, text, strlen(text), 0600, NULL), 0);
}

void
remove_in(const char *dir, const char *name)
{
	AUTO_FREE char *path = mem_printf("%s/%s", dir, name);

	(void)unlink(path);
}

char *
read_in(const char *dir, const char *name)
{
	AUTO_FREE char *path = mem_printf("%s/%s", dir, name);
	char *text = NULL;
	size_t len;

	assert_int_equal(file_read(AT_FDCWD, path, 65536, &text, &len, NULL), 0);
	return text;
}

int
launcher_setup(void **state)
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
	/* this is <build>/tests/unit/test_launcher_... */
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
	(void)unsetenv("FAKE_PURGE");
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

int
launcher_teardown(void **state)
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
