/*
 * See world.h. There is no containerd: the publish binary is /bin/true.
 */
#include "tests/fault/world.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "ipc/admin.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 30000

static _Noreturn void
give_up(const char *what)
{
	(void)fprintf(stderr, "fault: %s: %s\n", what, strerror(errno));
	exit(2);
}

/* --- injecting ------------------------------------------------------------------ */

void
inject_arm(struct world *w, enum inject_kind kind, uint32_t at, uint32_t burst)
{
	struct inject *in = w->inject;

	in->kind = INJECT_OFF;
	in->calls = in->hits = w->claimed = 0;
	in->where = 0;
	in->at = at;
	in->burst = burst;
	if (at > 0)
		in->kind = (uint32_t)kind;
}

uint32_t
inject_hits(const struct world *w)
{
	return w->inject->hits;
}

/* Who called what failed, for people: a line of the source. */
void
inject_say(const struct world *w)
{
	AUTO_FREE char *keeper = mem_printf("%s/libexec/podshim-keeper", w->helpers);
	char where[32];
	pid_t pid;

	(void)snprintf(
	    where, sizeof where, "%#llx", (unsigned long long)w->inject->where);
	(void)printf("#   %u failed at %s ", w->inject->hits, where);
	(void)fflush(stdout);
	pid = fork();
	if (pid == 0) {
		(void)execlp("addr2line", "addr2line", "-psfe", keeper, where, NULL);
		_exit(127);
	}
	(void)waitpid(pid, NULL, 0);
}

/* --- the world ------------------------------------------------------------------- */

static void
write_text(const char *path, const char *text)
{
	struct err err = ERR_INIT;

	if (file_write(AT_FDCWD, path, text, strlen(text), 0600, &err) < 0)
		give_up(path);
}

static void
map_inject(struct world *w)
{
	AUTO_CLOSE int fd = -1;
	void *p;

	(void)snprintf(w->inject_path, sizeof w->inject_path, "%s/inject", w->dir);
	fd = open(w->inject_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd == -1 || ftruncate(fd, sizeof *w->inject) == -1)
		give_up(w->inject_path);
	p = mmap(NULL, sizeof *w->inject, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		give_up(w->inject_path);
	w->inject = p;
}

void
world_make(struct world *w)
{
	static const char *const dirs[] = {"bundles", "state", "rt"};
	char path[256];
	size_t i;

	(void)snprintf(w->dir, sizeof w->dir, "/tmp/podshim-fault.XXXXXX");
	if (mkdtemp(w->dir) == NULL)
		give_up(w->dir);
	(void)chmod(w->dir, 0711);
	(void)snprintf(w->tag, sizeof w->tag, "%s", strrchr(w->dir, '.') + 1);
	(void)snprintf(w->ns, sizeof w->ns, "fault-%s", w->tag);
	(void)snprintf(
	    w->runtime, sizeof w->runtime, "%s/../crash/fakeruntime", w->helpers);
	(void)snprintf(w->rt_root, sizeof w->rt_root, "%s/rt", w->dir);
	for (i = 0; i < ARRAY_LEN(dirs); i++) {
		(void)snprintf(path, sizeof path, "%s/%s", w->dir, dirs[i]);
		if (mkdir(path, 0711) == -1)
			give_up(path);
	}
	(void)snprintf(path, sizeof path, "%s/conf", w->dir);
	write_text(path, "[events]\ntransport = publish-binary\n[log]\nlevel = debug\n");
	(void)snprintf(path, sizeof path, "%s/log", w->dir);
	write_text(path, "");
	map_inject(w);
}

static void
remove_tree(const char *path)
{
	pid_t pid = fork();

	if (pid == 0) {
		(void)execlp("rm", "rm", "-rf", path, (char *)NULL);
		_exit(127);
	}
	(void)waitpid(pid, NULL, 0);
}

void
world_remove(struct world *w)
{
	remove_tree(w->dir);
}

/* --- bundles --------------------------------------------------------------------- */

char *
bundle_make(struct world *w, const char *group, const char *id, const char *prog)
{
	char *bundle = mem_printf("%s/bundles/%s", w->dir, id);
	AUTO_FREE char *config = mem_printf("%s/config.json", bundle);
	AUTO_FREE char *log = mem_printf("%s/log", bundle);
	AUTO_FREE char *all = mem_printf("%s/log", w->dir);
	AUTO_FREE char *text = mem_printf(
	    "{\"ociVersion\":\"1.0.2\",\"process\":{\"args\":[\"/prog\",\"PROG=%s\"],"
	    "\"cwd\":\"/\",\"user\":{\"uid\":0,\"gid\":0}},\"root\":{\"path\":\"/\"},"
	    "\"annotations\":{\"io.containerd.runc.v2.group\":\"%s\"},"
	    "\"linux\":{\"cgroupsPath\":\"/podshim-crash/%s\"}}\n",
	    prog, group, id);

	if (mkdir(bundle, 0711) == -1 || link(all, log) == -1)
		give_up(bundle);
	write_text(config, text);
	return bundle;
}

void
bundle_remove(struct world *w, const char *id)
{
	AUTO_FREE char *bundle = mem_printf("%s/bundles/%s", w->dir, id);

	remove_tree(bundle);
}

/* --- the shim's executable ---------------------------------------------------------- */

static size_t
read_out(int fd, char *out, size_t cap)
{
	size_t len = 0;
	ssize_t n;

	while (len + 1 < cap && (n = read(fd, out + len, cap - 1 - len)) > 0)
		len += (size_t)n;
	out[len] = '\0';
	return len;
}

int
shim_run(struct world *w, const char *id, const char *action, char *out, size_t cap)
{
	AUTO_STRV struct strv argv = {0};
	AUTO_STRV struct strv env = {0};
	AUTO_FREE char *bundle = mem_printf("%s/bundles/%s", w->dir, id);
	posix_spawn_file_actions_t fa;
	int fds[2], status = -1;
	pid_t pid;

	strv_addf(&argv, "%s/bin/containerd-shim-podshim-v1", w->prefix);
	strv_add(&argv, "-namespace");
	strv_add(&argv, w->ns);
	strv_add(&argv, "-address");
	strv_addf(&argv, "%s/c.sock", w->dir);
	strv_add(&argv, "-publish-binary");
	strv_add(&argv, "/bin/true");
	strv_add(&argv, "-id");
	strv_add(&argv, id);
	strv_add(&argv, action);
	strv_addf(&env, "PODSHIM_LIBEXECDIR=%s/libexec", w->helpers);
	strv_addf(&env, "PODSHIM_CONFIG=%s/conf", w->dir);
	strv_addf(&env, "PODSHIM_STATE_ROOT=%s/state", w->dir);
	strv_addf(&env, "%s=%s", INJECT_ENV, w->inject_path);
	strv_add(
	    &env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	if (pipe2(fds, O_CLOEXEC) == -1)
		give_up("pipe");
	(void)posix_spawn_file_actions_init(&fa);
	(void)posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	(void)posix_spawn_file_actions_adddup2(&fa, fds[1], 1);
	(void)posix_spawn_file_actions_adddup2(&fa, fds[1], 2);
	(void)posix_spawn_file_actions_addchdir_np(&fa, bundle);
	errno = posix_spawn(&pid, argv.v[0], &fa, NULL, argv.v, env.v);
	if (errno != 0)
		give_up(argv.v[0]);
	(void)posix_spawn_file_actions_destroy(&fa);
	fd_close(&fds[1]);
	(void)read_out(fds[0], out, cap);
	fd_close(&fds[0]);
	(void)waitpid(pid, &status, 0);
	return status;
}

/* --- the pod ------------------------------------------------------------------------- */

static char *
find_dir(const struct pod *p)
{
	AUTO_FREE char *parent = mem_printf("%s/state/%s", p->w->dir, p->w->ns);
	AUTO_FREE char *prefix = mem_printf("%s.", p->group);
	DIR *d = opendir(parent);
	char *found = NULL;
	struct dirent *de;

	while (d != NULL && found == NULL && (de = readdir(d)) != NULL)
		if (strncmp(de->d_name, prefix, strlen(prefix)) == 0 &&
		    strstr(de->d_name, ".lock") == NULL)
			found = mem_printf("%s/%s", parent, de->d_name);
	if (d != NULL)
		(void)closedir(d);
	return found;
}

long
pod_number(const struct pod *p, const char *key)
{
	AUTO_FREE char *text = NULL, *value = NULL;
	struct err err = ERR_INIT;

	if (admin_status(p->dir_fd, PATIENCE_MS, &text, &err) < 0)
		return -1;
	value = admin_status_get(text, key);
	return value == NULL ? -1 : strtol(value, NULL, 10);
}

bool
pod_attach(struct pod *p)
{
	p->dir = find_dir(p);
	p->dir_fd =
	    p->dir == NULL ? -1 : open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->dir_fd == -1)
		return false;
	p->keeper = (pid_t)pod_number(p, "keeper_pid");
	if (p->keeper <= 0)
		return false;
	p->keeper_pidfd = (int)syscall(SYS_pidfd_open, p->keeper, 0);
	return p->keeper_pidfd != -1;
}

static bool
ended_within(int pidfd, int ms)
{
	struct pollfd pfd = {.fd = pidfd, .events = POLLIN};

	return pidfd == -1 || poll(&pfd, 1, ms) == 1;
}

bool
pod_alive(const struct pod *p)
{
	return p->keeper_pidfd != -1 && !ended_within(p->keeper_pidfd, 0);
}

bool
pod_gone(const struct pod *p)
{
	AUTO_FREE char *left = NULL;

	if (!ended_within(p->keeper_pidfd, PATIENCE_MS)) {
		(void)printf("#   the keeper does not end\n");
		return false;
	}
	left = find_dir(p);
	if (left != NULL)
		(void)printf("#   left: '%s'\n", left);
	if (p->addr != NULL && access(p->addr + strlen("unix://"), F_OK) == 0) {
		(void)printf("#   left: '%s'\n", p->addr);
		return false;
	}
	return left == NULL;
}

void
pod_kill(struct pod *p)
{
	AUTO_FREE char *left = NULL;
	char out[512];
	unsigned i;

	if (p->keeper_pidfd != -1)
		(void)syscall(SYS_pidfd_send_signal, p->keeper_pidfd, SIGKILL, NULL, 0);
	(void)ended_within(p->keeper_pidfd, PATIENCE_MS);
	/* as containerd does; it ends the processes, too */
	for (i = 0; i <= p->next; i++) {
		char id[64];

		(void)snprintf(id, sizeof id, i == 0 ? "%s" : "%sc%u", p->group, i);
		AUTO_FREE char *bundle = mem_printf("%s/bundles/%s", p->w->dir, id);

		if (access(bundle, F_OK) == 0)
			(void)shim_run(p->w, id, "delete", out, sizeof out);
	}
	left = find_dir(p);
	if (left != NULL)
		remove_tree(left);
}

void
pod_fini(struct pod *p)
{
	free(p->addr);
	free(p->dir);
	fd_close(&p->dir_fd);
	fd_close(&p->keeper_pidfd);
}

static long
count_fds(pid_t pid)
{
	AUTO_FREE char *path = mem_printf("/proc/%ld/fd", (long)pid);
	DIR *d = opendir(path);
	struct dirent *de;
	long n = 0;

	while (d != NULL && (de = readdir(d)) != NULL)
		n += de->d_name[0] != '.';
	if (d != NULL)
		(void)closedir(d);
	return n;
}

static long
account_of(const char *text, const char *key)
{
	AUTO_FREE char *value = admin_status_get(text, key);

	return value == NULL ? -1 : strtol(value, NULL, 10);
}

bool
pod_account(const struct pod *p, struct account *out)
{
	AUTO_FREE char *text = NULL;
	struct err err = ERR_INIT;

	if (admin_status(p->dir_fd, PATIENCE_MS, &text, &err) < 0)
		return false;
	*out = (struct account){.requests = account_of(text, "requests"),
	    .children = account_of(text, "children"),
	    .steps = account_of(text, "steps"),
	    .connections = account_of(text, "connections"),
	    .fds = account_of(text, "fds"),
	    .pins = account_of(text, "pins"),
	    .open_fds = count_fds(p->keeper)};
	return true;
}
