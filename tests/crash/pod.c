/*
 * The shim from outside: running its executable, finding keeper and worker,
 * counting what they hold, and killing the worker.
 */
#include "pod.h"

#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "crash.h"
#include "ipc/admin.h"
#include "points.h"
#include "rpc.h"

int
pidfd_open_(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

int
pidfd_kill(int pidfd, int sig)
{
	return (int)syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0);
}

unsigned
fd_count(pid_t pid)
{
	AUTO_FREE char *path = mem_printf("/proc/%d/fd", (int)pid);
	DIR *d = opendir(path);
	struct dirent *de;
	unsigned n = 0;

	if (d == NULL)
		return 0;
	while ((de = readdir(d)) != NULL)
		n += de->d_name[0] != '.';
	(void)closedir(d);
	return n;
}

void
fd_list(pid_t pid, const char *who)
{
	AUTO_FREE char *path = mem_printf("/proc/%d/fd", (int)pid);
	DIR *d = opendir(path);
	struct dirent *de;

	while (d != NULL && (de = readdir(d)) != NULL) {
		AUTO_FREE char *link = mem_printf("%s/%s", path, de->d_name);
		char to[256];
		ssize_t n = readlink(link, to, sizeof to - 1);

		if (n > 0)
			say("%s: descriptor %s of %d: %.*s", who, de->d_name, (int)pid,
			    (int)n, to);
	}
	if (d != NULL)
		(void)closedir(d);
}

unsigned
children_of(pid_t pid, pid_t *pids, unsigned cap)
{
	AUTO_FREE char *path =
	    mem_printf("/proc/%d/task/%d/children", (int)pid, (int)pid);
	AUTO_FREE char *text = NULL;
	size_t len;
	char *p, *end;
	unsigned n = 0;

	if (file_read(AT_FDCWD, path, 1 << 20, &text, &len, NULL) < 0)
		return 0;
	for (p = text; n < cap; p = end, n++) {
		pid_t child = (pid_t)strtol(p, &end, 10);

		if (end == p)
			break;
		pids[n] = child;
	}
	return n;
}

/* --- programs --------------------------------------------------------------------- */

void
run_fini(struct run *r)
{
	free(r->out);
	free(r->err);
}

static void
collect(int fd, char **out, size_t *len)
{
	size_t cap = 0;
	ssize_t n;

	*out = NULL;
	*len = 0;
	for (;;) {
		if (cap - *len < 1024)
			*out = mem_realloc(*out, cap = cap * 2 + 2048);
		n = read(fd, *out + *len, cap - *len - 1);
		if (n == -1 && errno == EAGAIN && co_wait_fd(fd, EV_READ, 30000))
			continue;
		if (n <= 0)
			break;
		*len += (size_t)n;
	}
	(*out)[*len] = '\0';
}

void
program_start(char *const *argv, char *const *envp, const char *cwd, struct run *out)
{
	int o[2], e[2], pidfd, rc, wstatus = -1;
	posix_spawn_file_actions_t fa;
	size_t err_len;
	pid_t pid;

	memset(out, 0, sizeof *out);
	if (pipe2(o, O_CLOEXEC) == -1 || pipe2(e, O_CLOEXEC) == -1)
		abort();
	(void)posix_spawn_file_actions_init(&fa);
	(void)posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	(void)posix_spawn_file_actions_adddup2(&fa, o[1], 1);
	(void)posix_spawn_file_actions_adddup2(&fa, e[1], 2);
	(void)posix_spawn_file_actions_addchdir_np(&fa, cwd);
	rc = posix_spawn(&pid, argv[0], &fa, NULL, argv, envp);
	(void)posix_spawn_file_actions_destroy(&fa);
	fd_close(&o[1]);
	fd_close(&e[1]);
	if (rc != 0) {
		say("cannot run '%s': %s", argv[0], strerror(rc));
		exit(2);
	}
	pidfd = pidfd_open_(pid);
	(void)fd_set_nonblock(o[0], true);
	(void)fd_set_nonblock(e[0], true);
	collect(o[0], &out->out, &out->out_len);
	collect(e[0], &out->err, &err_len);
	fd_close(&o[0]);
	fd_close(&e[0]);
	while (waitpid(pid, &wstatus, WNOHANG) == 0)
		if (!co_wait_fd(pidfd, EV_READ, 30000)) {
			fault(FAULT_OTHER, "%s does not end", argv[0]);
			(void)pidfd_kill(pidfd, SIGKILL);
		}
	fd_close(&pidfd);
	out->status = wstatus;
}

void
shim_run(struct pod *pod, const char *id, const char *bundle, const char *action,
    struct run *out)
{
	AUTO_STRV struct strv argv = {0};
	AUTO_STRV struct strv env = {0};

	strv_addf(&argv, "%s", opt.shim);
	strv_add(&argv, "-namespace");
	strv_add(&argv, namespace);
	strv_add(&argv, "-address");
	strv_addf(&argv, "%s/c.sock", tmp_dir);
	strv_add(&argv, "-publish-binary");
	strv_addf(&argv, "%s/crash-publish", tmp_dir);
	strv_add(&argv, "-id");
	strv_add(&argv, id);
	if (strcmp(action, "delete") == 0) {
		strv_add(&argv, "-bundle");
		strv_add(&argv, bundle);
	}
	strv_add(&argv, action);
	strv_addf(&env, "TTRPC_ADDRESS=%s/c.sock.ttrpc", tmp_dir);
	strv_addf(&env, "PODSHIM_CONFIG=%s", pod->conf);
	strv_addf(&env, "PODSHIM_STATE_ROOT=%s/state", tmp_dir);
	strv_add(
	    &env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	strv_add(&env, "GOMAXPROCS=2");
	program_start(argv.v, env.v, bundle, out);
}

/* --- a pod ------------------------------------------------------------------------- */

static void
write_conf(struct pod *pod)
{
	static const char *const transports[] = {
	    "auto", "auto", "ttrpc", "publish-binary"};
	AUTO_FREE char *text = mem_printf(
	    "[events]\ntransport = %s\n[log]\nlevel = debug\n", transports[rnd(4)]);

	(void)file_write(AT_FDCWD, pod->conf, text, strlen(text), 0600, NULL);
}

struct pod *
pod_new(void)
{
	static unsigned seq;
	struct pod *pod = mem_zalloc(sizeof *pod);
	int fd;

	pod->group = mem_printf("p%u", ++seq);
	pod->conf = mem_printf("%s/%s.conf", tmp_dir, pod->group);
	pod->log = mem_printf("%s/%s.log", tmp_dir, pod->group);
	pod->rt_root = mem_printf("%s/rt-%s", tmp_dir, pod->group);
	pod->runc = chance(opt.runc_percent);
	pod->faults_before = faults_total();
	pod->dirfd = -1;
	pod->keeper_pidfd = -1;
	fd = open(pod->log, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	fd_close(&fd);
	write_conf(pod);
	tally.pods++;
	return pod;
}

void
pod_free(struct pod *pod)
{
	conn_close(pod->probe);
	fd_close(&pod->dirfd);
	fd_close(&pod->keeper_pidfd);
	(void)unlink(pod->conf);
	if (faults_total() == pod->faults_before)
		(void)unlink(pod->log);
	free(pod->group);
	free(pod->addr);
	free(pod->dir);
	free(pod->conf);
	free(pod->log);
	free(pod->rt_root);
	free(pod);
}

bool
pod_chance(const struct pod *pod, unsigned percent)
{
	return chance(percent) || pod->thorough;
}

static char *
find_dir(const char *group)
{
	AUTO_FREE char *parent = mem_printf("%s/state/%s", tmp_dir, namespace);
	AUTO_FREE char *prefix = mem_printf("%s.", group);
	DIR *d = opendir(parent);
	char *found = NULL;
	struct dirent *de;

	if (d == NULL)
		return NULL;
	while (found == NULL && (de = readdir(d)) != NULL)
		if (strncmp(de->d_name, prefix, strlen(prefix)) == 0 &&
		    strstr(de->d_name, ".lock") == NULL)
			found = mem_printf("%s/%s", parent, de->d_name);
	(void)closedir(d);
	return found;
}

char *
pod_status(struct pod *pod, const char *key)
{
	AUTO_FREE char *text = NULL;
	struct err err = ERR_INIT;

	if (admin_status(pod->dirfd, 5000, &text, &err) < 0) {
		fault(FAULT_OTHER, "%s: STATUS: %s", pod->group, err.text);
		return NULL;
	}
	return admin_status_get(text, key);
}

pid_t
pod_worker_pid(struct pod *pod)
{
	AUTO_FREE char *text = pod_status(pod, "worker_pid");

	return text != NULL ? (pid_t)strtol(text, NULL, 10) : 0;
}

bool
pod_attach(struct pod *pod)
{
	AUTO_FREE char *text = NULL;

	pod->dir = find_dir(pod->group);
	if (pod->dir == NULL) {
		fault(FAULT_OTHER, "%s: no directory", pod->group);
		return false;
	}
	pod->dirfd = open(pod->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	text = pod_status(pod, "keeper_pid");
	if (text == NULL)
		return false;
	pod->keeper = (pid_t)strtol(text, NULL, 10);
	pod->keeper_pidfd = pidfd_open_(pod->keeper);
	pod->probe = conn_open(pod->addr, pod->group);
	return pod->keeper_pidfd != -1 && pod->probe != NULL;
}

void
pod_expect_gone(struct pod *pod)
{
	AUTO_FREE char *left = NULL;
	struct stat st;

	if (!co_wait_fd(pod->keeper_pidfd, EV_READ, 60000)) {
		fault(FAULT_LEAK, "%s: keeper %d does not end", pod->group,
		    (int)pod->keeper);
		(void)pidfd_kill(pod->keeper_pidfd, SIGKILL);
		return;
	}
	left = find_dir(pod->group);
	if (left != NULL)
		fault(FAULT_LEAK, "%s: directory '%s' is left", pod->group, left);
	if (stat(pod->addr + strlen("unix://"), &st) == 0)
		fault(FAULT_LEAK, "%s: socket '%s' is left", pod->group, pod->addr);
}

/* --- the killer --------------------------------------------------------------------- */

static int
some_signal(void)
{
	static const int signals[] = {
	    SIGKILL, SIGKILL, SIGKILL, SIGSEGV, SIGABRT, SIGBUS};

	return signals[rnd(6)];
}

#define SLOW_US UINT64_C(2000000) /* as the table says */

/* Wait for an answer to a request sent now; how long that took. */
static bool
probe(struct pod *pod, uint64_t *us)
{
	struct pb msg = PB_INIT;
	uint64_t t = now_us();
	struct call *call;
	int code;

	pb_str(&msg, 1, pod->group);
	call = call_begin(pod->probe, "Connect", &msg);
	code = call_wait(call);
	call_free(call);
	*us = now_us() - t;
	if (code > 0)
		fault(
		    FAULT_ANSWER, "%s: Connect after a kill: code %d", pod->group, code);
	return code == 0;
}

/* Kill the worker that runs now; false: there was none. */
static bool
kill_worker(struct pod *pod, int sig)
{
	pid_t pid = pod_worker_pid(pod);
	AUTO_CLOSE int fd = pid > 0 && pid != pod->killed ? pidfd_open_(pid) : -1;

	if (fd == -1 || pidfd_kill(fd, sig) == -1)
		return false;
	pod->killed = pid;
	trace("%s: killed worker %d with %d", pod->group, (int)pid, sig);
	return true;
}

/* Let the worker die at a point of its own; if it does not come by, kill it. */
static bool
kill_at_point(struct pod *pod)
{
	pid_t pid = pod_worker_pid(pod);
	AUTO_CLOSE int fd = pid > 0 && pid != pod->killed ? pidfd_open_(pid) : -1;
	AUTO_CLOSE int point = -1;

	if (fd == -1)
		return false;
	pod->killed = pid;
	point =
	    points_arm(pod->dirfd, points_random(), chance(80) ? 1 : 1 + rnd(4), false);
	if (co_wait_fd(fd, EV_READ, 150)) {
		tally.kills_point++;
		return true;
	}
	/* if it died in this very moment, it died at the point */
	if (!points_disarm(pod->dirfd) || pidfd_kill(fd, SIGKILL) == -1) {
		(void)co_wait_fd(fd, EV_READ, 1000);
		tally.kills_point++;
	}
	return true;
}

/* Records of workers that ended by their own fault. */
static void
show_crashes(struct pod *pod)
{
	unsigned i;

	for (i = 1; i <= pod->kills + 1; i++) {
		AUTO_FREE char *name = mem_printf("crash-%u.txt", i);
		AUTO_FREE char *text = NULL;
		char *save = NULL, *line;
		size_t len;

		if (file_read(pod->dirfd, name, 1 << 20, &text, &len, NULL) < 0 ||
		    strstr(text, "killed from outside") != NULL)
			continue;
		for (line = strtok_r(text, "\n", &save); line != NULL;
		     line = strtok_r(NULL, "\n", &save))
			say("%s: %s: %s", pod->group, name, line);
	}
}

/* The keeper counts the same deaths as we do, or a worker died by itself. */
void
pod_check_deaths(struct pod *pod)
{
	AUTO_FREE char *text = pod_status(pod, "worker_restarts");
	unsigned long n = text != NULL ? strtoul(text, NULL, 10) : 0;

	if (text == NULL || n == pod->kills)
		return;
	show_crashes(pod);
	fault(
	    FAULT_OTHER, "%s: %lu workers died, we killed %u", pod->group, n, pod->kills);
}

void
pod_killer(void *arg)
{
	struct pod *pod = arg;
	uint64_t us;

	while (pod->kills < pod->kills_wanted) {
		bool done, again = false;
		unsigned in_boot = 0;

		co_pause_us(rnd(chance(70) ? 60000 : 250000));
		do {
			done = points_random() != NULL && chance(40)
			    ? kill_at_point(pod)
			    : kill_worker(pod, some_signal());
			if (!done)
				break;
			pod->kills++;
			tally.kills++;
			tally.kills_boot += again;
			/* once more while it starts, but not for ever */
			again = in_boot++ < 1 && chance(15);
			if (again)
				co_pause_us(rnd(12000));
		} while (again && pod->kills < pod->kills_wanted);
		if (!done) {
			co_pause_us(2000);
			continue;
		}
		if (!probe(pod, &us))
			break;
		note_recovery(us);
		if (us > SLOW_US * opt.slow)
			fault(FAULT_SLOW, "%s: %.2f s without an answer after kill %u",
			    pod->group, (double)us / 1e6, pod->kills);
	}
	points_disarm(pod->dirfd);
	pod->ending = true;
	co_wake(&pod->changed);
}
