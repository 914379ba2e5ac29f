/*
 * start: one answer on stdout, or one error and nothing left behind.
 *
 * All of it happens under the pod's lock, which the keeper takes too before it
 * ends. So there are three cases and no fourth: a keeper that promises to stay
 * (join), a keeper on its way out (give the lock away and try again), and none
 * (bind, spawn). Both sockets are bound here, not in the keeper: when we
 * answer, they are listening.
 *
 * containerd may kill us at any moment. A keeper that is up by then ends by
 * itself once nobody creates a container in it; sockets without a keeper are
 * stale, which the next start finds out by connecting.
 */
#include "launcher/start.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/dir.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/poddir.h"
#include "base/podlock.h"
#include "base/podpath.h"
#include "ipc/admin.h"
#include "launcher/args.h"
#include "launcher/bootstrap.h"
#include "launcher/group.h"
#include "launcher/spawn.h"

#define JOIN_LIMIT_US  (2 * US_PER_S)
#define JOIN_RETRY_MS  5
#define UNDO_LIMIT_US  US_PER_S
#define LISTEN_BACKLOG 128
#define ADDRESS_FILE   "address"

struct start {
	const struct args *args;
	struct bootstrap boot;
	char *bundle; /* absolute */
	char *group;
	char *socket_dir;
	char *socket_path;
	char *address; /* the same with its scheme */
	char *dir;
	char *lock_path;
	boot_us_t end; /* of joining */
	int lock_fd;
	/* what failing has to undo */
	bool made_socket;
	bool made_dir;
	bool made_address;
};

static void
start_fini(struct start *s)
{
	bootstrap_fini(&s->boot);
	free(s->bundle);
	free(s->group);
	free(s->socket_dir);
	free(s->socket_path);
	free(s->address);
	free(s->dir);
	free(s->lock_path);
	fd_close(&s->lock_fd);
}

/* Everything that can be known without touching anything. */
static int
start_prepare(struct start *s, struct err *err)
{
	const char *address = s->args->address;
	AUTO_FREE char *in = NULL;
	char hash[POD_HASH_LEN + 1];
	size_t len;
	int rc;

	rc = fd_read_all(STDIN_FILENO, BOOTSTRAP_STDIN_MAX, &in, &len, err);
	if (rc < 0)
		return err_wrap(err, rc, "standard input");
	rc = bootstrap_parse(in, len, s->args->id, s->args->ns,
	    getenv("MAX_SHIM_VERSION") != NULL, &s->boot, err);
	if (rc < 0)
		return rc;
	s->bundle = getcwd(NULL, 0);
	if (s->bundle == NULL)
		return err_set(err, errno, "current directory");
	rc = group_of_bundle(AT_FDCWD, s->args->id, &s->group, err);
	if (rc < 0)
		return rc;
	if (address[0] == '\0' && s->boot.grpc_address != NULL)
		address = s->boot.grpc_address;
	pod_hash(address, s->args->ns, s->group, hash);
	s->socket_dir =
	    mem_strdup(s->boot.socket_dir != NULL ? s->boot.socket_dir : POD_SOCKET_DIR);
	s->socket_path = mem_printf("%s/%s", s->socket_dir, hash);
	if (s->socket_dir[0] != '/')
		return err_setx(
		    err, EINVAL, "socket directory '%s' is not absolute", s->socket_dir);
	if (strlen(s->socket_path) > POD_SOCKET_PATH_MAX)
		return err_setx(err, ENAMETOOLONG,
		    "socket path '%s' is longer than %u bytes", s->socket_path,
		    POD_SOCKET_PATH_MAX);
	s->address = mem_printf(POD_SCHEME "%s", s->socket_path);
	s->dir = pod_dir(s->args->ns, s->group, hash);
	s->lock_path = pod_lock_path(s->args->ns, s->group, hash);
	return 0;
}

/* 0: a keeper holds the pod open for us; -ENOENT: there is none; -EAGAIN: it is ending. */
static int
start_pin(const struct start *s, struct err *err)
{
	AUTO_CLOSE int dirfd =
	    open(s->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	boot_us_t now = clock_boot_us();
	int rc;

	if (dirfd == -1)
		return errno == ENOENT ? -ENOENT
				       : err_set(err, errno, "open '%s'", s->dir);
	rc = admin_pin(dirfd, s->args->id,
	    now < s->end ? (int)((s->end - now) / US_PER_MS) + 1 : 1, err);
	switch (rc) {
	case -ECONNREFUSED: return -ENOENT;
	case -ECONNRESET:
	case -EPIPE: return -EAGAIN;
	case 0:
	case -ENOENT:
	case -EAGAIN: return rc;
	default: return err_wrap(err, rc, "the keeper of pod '%s'", s->group);
	}
}

static int
start_listen(const char *path, struct err *err)
{
	AUTO_CLOSE int fd =
	    socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int rc;

	if (fd == -1)
		return err_set(err, errno, "socket");
	memcpy(sa.sun_path, path, strlen(path) + 1); /* checked in start_prepare() */
	/* the mode that the socket file gets, whatever the umask */
	if (fchmod(fd, 0600) == -1)
		return err_set(err, errno, "chmod socket");
	if (bind(fd, (struct sockaddr *)&sa, sizeof sa) == -1) {
		if (errno != EADDRINUSE)
			return err_set(err, errno, "bind '%s'", path);
		rc = stale_socket_remove(path);
		if (rc < 0)
			return err_set(err, -rc, "'%s'", path);
		if (bind(fd, (struct sockaddr *)&sa, sizeof sa) == -1)
			return err_set(err, errno, "bind '%s'", path);
	}
	if (listen(fd, LISTEN_BACKLOG) == -1) {
		rc = err_set(err, errno, "listen at '%s'", path);
		(void)unlink(path);
		return rc;
	}
	return steal_fd(&fd);
}

/* The pod's directory with the admin socket in it; what a dead keeper left there goes. */
static int
start_make_dir(struct start *s, int *admin_fd, struct err *err)
{
	AUTO_CLOSE int dirfd = -1;
	struct stat st;
	int rc;

	if (mkdir(s->dir, 0700) == 0)
		s->made_dir = true;
	else if (errno != EEXIST)
		return err_set(err, errno, "make directory '%s'", s->dir);
	dirfd = open(s->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dirfd == -1)
		return err_set(err, errno, "open '%s'", s->dir);
	if (!s->made_dir) {
		/* nobody listens there: start_pin() tried */
		if (fstatat(dirfd, ADMIN_SOCKET, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISSOCK(st.st_mode))
			(void)unlinkat(dirfd, ADMIN_SOCKET, 0);
		/* marks are about containers of the former life */
		(void)tree_remove(dirfd, POD_PURGED_DIR);
	}
	rc = unix_listen_at(dirfd, ADMIN_SOCKET, SOCK_SEQPACKET, err);
	if (rc < 0)
		return err_wrap(err, rc, "in '%s'", s->dir);
	*admin_fd = rc;
	return 0;
}

static int
start_write_address(struct start *s, struct err *err)
{
	int rc =
	    file_write(AT_FDCWD, ADDRESS_FILE, s->address, strlen(s->address), 0644, err);

	if (rc == 0)
		s->made_address = true;
	return rc;
}

static int
start_spawn(const struct start *s, int listen_fd, int admin_fd, struct err *err)
{
	const char *libexec = getenv("PODSHIM_LIBEXECDIR");
	const char *sched_core = getenv("SCHED_CORE");
	const struct args *a = s->args;
	AUTO_FREE char *path = NULL;
	AUTO_STRV struct strv argv = {0};
	struct keeper_spawn spec = {
	    .listen_fd = listen_fd,
	    .admin_fd = admin_fd,
	    .cgroup = s->boot.shim_cgroup,
	    .sched_core = sched_core != NULL && sched_core[0] != '\0',
	};

	if (libexec == NULL || libexec[0] == '\0')
		libexec = PKGLIBEXECDIR;
	path = mem_printf("%s/podshim-keeper", libexec);
	strv_add(&argv, "podshim-keeper");
	strv_add(&argv, "-namespace");
	strv_add(&argv, a->ns);
	strv_add(&argv, "-id");
	strv_add(&argv, s->group);
	strv_add(&argv, "-address");
	strv_add(&argv,
	    a->address[0] != '\0' || s->boot.grpc_address == NULL ? a->address
								  : s->boot.grpc_address);
	strv_add(&argv, "-publish-binary");
	strv_add(&argv,
	    a->publish_binary[0] != '\0' || s->boot.binary == NULL ? a->publish_binary
								   : s->boot.binary);
	strv_add(&argv, "-socket");
	strv_add(&argv, s->socket_path);
	strv_add(&argv, "-dir");
	strv_add(&argv, s->dir);
	strv_add(&argv, "-lock");
	strv_add(&argv, s->lock_path);
	strv_add(&argv, "-log");
	strv_addf(&argv, "%s/log", s->bundle);
	strv_add(&argv, "-pin");
	strv_add(&argv, a->id);
	if (a->debug || s->boot.debug)
		strv_add(&argv, "-debug");
	/* containerd 2.3 says it on stdin too; what the environment says counts more */
	if (s->boot.ttrpc_address != NULL)
		(void)setenv("TTRPC_ADDRESS", s->boot.ttrpc_address, 0);
	spec.path = path;
	spec.argv = argv.v;
	return keeper_spawn(&spec, NULL, err);
}

static void
start_undo(struct start *s)
{
	if (s->made_address)
		(void)unlink(ADDRESS_FILE);
	if (s->made_socket)
		(void)unlink(s->socket_path);
	if (s->made_dir)
		(void)poddir_remove(s->dir, clock_boot_us() + UNDO_LIMIT_US);
	/* a directory that was there keeps its lock: there is something to guard */
	if (access(s->dir, F_OK) == -1 && errno == ENOENT)
		podlock_remove(s->lock_path);
}

/* There is no keeper, and the lock says that nobody else is making one. */
static int
start_new(struct start *s, struct err *err)
{
	AUTO_CLOSE int listen_fd = -1;
	AUTO_CLOSE int admin_fd = -1;
	int rc;

	rc = dir_make(s->socket_dir, 0700, err);
	if (rc < 0)
		return rc;
	listen_fd = start_listen(s->socket_path, err);
	if (listen_fd < 0)
		return listen_fd;
	s->made_socket = true;
	rc = start_make_dir(s, &admin_fd, err);
	if (rc == 0)
		rc = start_write_address(s, err);
	if (rc == 0)
		rc = start_spawn(s, listen_fd, admin_fd, err);
	return rc;
}

static int
start_join_or_new(struct start *s, struct err *err)
{
	int rc;

	for (;;) {
		s->lock_fd = podlock_take(s->lock_path, s->end, err);
		if (s->lock_fd < 0)
			return s->lock_fd;
		rc = start_pin(s, err);
		if (rc == 0)
			return start_write_address(s, err);
		if (rc == -ENOENT)
			return start_new(s, err);
		if (rc != -EAGAIN)
			return rc;
		/* it cannot end while we hold the lock */
		fd_close(&s->lock_fd);
		if (!pause_until(JOIN_RETRY_MS, s->end))
			return err_setx(err, ETIMEDOUT,
			    "the keeper of pod '%s' does not end", s->group);
	}
}

int
start_run(const struct args *args, struct err *err)
{
	struct start s = {.args = args, .lock_fd = -1};
	AUTO_FREE void *answer = NULL;
	size_t len;
	int rc;

	rc = start_prepare(&s, err);
	if (rc == 0) {
		s.end = clock_boot_us() + JOIN_LIMIT_US;
		rc = start_join_or_new(&s, err);
		if (rc < 0 && s.lock_fd >= 0)
			start_undo(&s);
	}
	if (rc == 0) {
		bootstrap_answer(s.boot.dialect, s.address, &answer, &len);
		rc = fd_write_all(STDOUT_FILENO, answer, len);
		if (rc < 0)
			(void)err_set(err, -rc, "write the answer");
	}
	start_fini(&s);
	return rc;
}
