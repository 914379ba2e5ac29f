/*
 * Finding pods and asking their keepers. Directories are taken for pods by
 * their names alone, <group>.<8 hex digits>, and never followed through links.
 */
#include "client/pods.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/dir.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/podpath.h"
#include "client/run_shim.h"
#include "ipc/admin.h"
#include "ipc/channel.h"
#include "ipc/msg.h"

#define ASK_AT_ONCE 256 /* descriptors */

/* --- finding -------------------------------------------------------------- */

/* Where the dot before the hash stands; 0: not a pod's name. */
static size_t
pod_name_split(const char *name)
{
	size_t len = strlen(name), i;

	if (len < POD_HASH8_LEN + 2 || name[len - POD_HASH8_LEN - 1] != '.')
		return 0;
	for (i = len - POD_HASH8_LEN; i < len; i++)
		if (!isdigit((unsigned char)name[i]) && (name[i] < 'a' || name[i] > 'f'))
			return 0;
	return len - POD_HASH8_LEN - 1;
}

static void
pods_add(struct pods *pods, const char *root, const char *ns, const char *name)
{
	struct pod *pod;

	pods->v = mem_realloc(pods->v, (pods->n + 1) * sizeof *pods->v);
	pod = &pods->v[pods->n++];
	*pod = (struct pod){
	    .ns = mem_strdup(ns),
	    .group = mem_printf("%.*s", (int)pod_name_split(name), name),
	    .name = mem_strdup(name),
	    .path = mem_printf("%s/%s/%s", root, ns, name),
	};
}

typedef void (*dir_cb)(int dirfd, const char *name, void *arg);

/* Calls cb for each subdirectory; closes dir. -errno where it could not be opened. */
static int
dir_each(DIR *opened, dir_cb cb, void *arg)
{
	AUTO_CLOSEDIR DIR *dir = opened;
	struct dirent *de;
	struct stat sb;

	if (dir == NULL)
		return -errno;
	while ((de = dir_next(dir)) != NULL) {
		if (de->d_name[0] == '.' ||
		    fstatat(dirfd(dir), de->d_name, &sb, AT_SYMLINK_NOFOLLOW) == -1 ||
		    !S_ISDIR(sb.st_mode))
			continue;
		cb(dirfd(dir), de->d_name, arg);
	}
	return 0;
}

struct finding {
	struct pods *pods;
	const char *root;
	const char *want_ns;
	const char *ns;
	bool denied;
};

static void
on_pod_dir(int dirfd, const char *name, void *arg)
{
	struct finding *f = arg;

	(void)dirfd;
	if (pod_name_split(name) > 0)
		pods_add(f->pods, f->root, f->ns, name);
}

static void
on_ns_dir(int parent, const char *name, void *arg)
{
	struct finding *f = arg;

	if (f->want_ns != NULL && strcmp(f->want_ns, name) != 0)
		return;
	f->ns = name;
	/* gone meanwhile: no matter */
	if (dir_each(dir_open(parent, name), on_pod_dir, f) == -EACCES)
		f->denied = true;
}

static int
pod_compare(const void *a, const void *b)
{
	const struct pod *x = a, *y = b;
	int d = strcmp(x->ns, y->ns);

	return d != 0 ? d : strcmp(x->name, y->name);
}

int
pods_find(const char *root, const char *ns, struct pods *out, struct err *err)
{
	struct pods pods = {0};
	struct finding f = {.pods = &pods, .root = root, .want_ns = ns};
	int rc = dir_each(opendir(root), on_ns_dir, &f);

	if (rc < 0 && rc != -ENOENT)
		return err_set(err, -rc, "read '%s'", root);
	if (f.denied && pods.n == 0)
		return err_set(err, EACCES, "read below '%s'", root);
	if (pods.n > 1)
		qsort(pods.v, pods.n, sizeof *pods.v, pod_compare);
	*out = pods;
	return 0;
}

/* --- asking --------------------------------------------------------------- */

#define ASK_BUSY_US (2 * US_PER_S)   /* more, for those that wait for a CPU */
#define ASK_LOOK_US (20 * US_PER_MS) /* how often it is looked whether they do */

struct ask {
	struct pod *pod;
	int dirfd;
	int fd;	      /* -1: not connected yet */
	bool pending; /* no answer, no failure so far */
};

/* Connect and send, if that can be done at once. */
static void
ask_begin(struct ask *ask)
{
	const struct msg_head head = {.type = MSG_STATUS};

	ask->fd = unix_connect_at(ask->dirfd, ADMIN_SOCKET, SOCK_SEQPACKET, 0, NULL);
	if (ask->fd == -ETIMEDOUT) {
		ask->fd = -1; /* its queue is full: once more, a little later */
		return;
	}
	if (ask->fd < 0) {
		if (ask->fd == -ECONNREFUSED || ask->fd == -ENOENT)
			ask->pod->keeper = KEEPER_DEAD;
		else if (ask->fd == -EACCES || ask->fd == -EPERM)
			ask->pod->keeper = KEEPER_DENIED;
		ask->fd = -1;
		ask->pending = false;
	} else if (packet_send(ask->fd, &head, NULL, NULL, 0) < 0) {
		ask->pending = false;
	}
}

/* Its socket is readable. */
static void
ask_read(struct ask *ask)
{
	static _Alignas(8) char buf[MSG_PACKET_MAX];
	AUTO_FREE char *worker_state = NULL;
	int fds[MSG_FDS_MAX], rc;
	struct msg_head head;
	size_t i, n_fds = 0;
	const char *text;

	ask->pending = false;
	rc = packet_recv(ask->fd, 0, &head, buf, sizeof buf, fds, &n_fds);
	if (rc < 0) {
		/* it closed: on its way out */
		if (rc == -EPIPE)
			ask->pod->keeper = KEEPER_DEAD;
		else if (rc == -EBADMSG || rc == -EMSGSIZE || rc == -EMFILE)
			ask->pod->keeper = KEEPER_BROKEN;
		return;
	}
	for (i = 0; i < n_fds; i++)
		fd_close(&fds[i]);
	text = msg_get_str(&head, buf, MF_TEXT);
	ask->pod->keeper = KEEPER_BROKEN;
	if (head.type != MSG_REPLY || head.a != 0 || text == NULL)
		return;
	worker_state = admin_status_get(text, "worker_state");
	if (worker_state == NULL)
		return;
	ask->pod->status = mem_strdup(text);
	ask->pod->keeper = KEEPER_ANSWERED;
}

/* Is this keeper on a CPU, or waiting for one? Then the machine is busy, and it not stuck. */
static bool
ask_is_runnable(const struct ask *ask)
{
	struct ucred cred;
	socklen_t len = sizeof cred;
	AUTO_FREE char *path = NULL, *text = NULL;
	const char *end;
	size_t n;

	if (!ask->pending || ask->fd == -1 ||
	    getsockopt(ask->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == -1)
		return false;
	path = mem_printf("/proc/%ld/stat", (long)cred.pid);
	if (file_read(AT_FDCWD, path, 4096, &text, &n, NULL) < 0)
		return false;
	end = strrchr(text, ')'); /* of its name, which may hold anything; proc(5) */
	return end != NULL && strncmp(end, ") R", 3) == 0;
}

/*
 * Wait for one round of answers, at most until `end`; what is there already is read in any
 * case. How many are still pending.
 */
static size_t
ask_round(struct ask *asks, size_t n, boot_us_t end)
{
	struct pollfd polls[ASK_AT_ONCE];
	boot_us_t now = clock_boot_us();
	bool retry = false;
	size_t i, pending = 0;
	int ms;

	for (i = 0; i < n; i++) {
		if (asks[i].pending && asks[i].fd == -1)
			ask_begin(&asks[i]);
		retry = retry || (asks[i].pending && asks[i].fd == -1);
		polls[i] = (struct pollfd){
		    .fd = asks[i].pending ? asks[i].fd : -1, .events = POLLIN};
		pending += asks[i].pending;
	}
	if (pending == 0)
		return 0;
	ms = now >= end ? 0 : (int)((end - now + US_PER_MS - 1) / US_PER_MS);
	if (poll(polls, n, retry && ms > 10 ? 10 : ms) <= 0)
		return pending;
	for (i = 0; i < n; i++)
		if (polls[i].revents != 0)
			ask_read(&asks[i]);
	return pending;
}

/* The time is up: for whom is it worth to wait longer? */
static bool
ask_goes_on(const struct ask *asks, size_t n, boot_us_t *end, boot_us_t last)
{
	size_t i;

	*end += ASK_LOOK_US;
	for (i = 0; i < n && *end < last; i++)
		if (ask_is_runnable(&asks[i]))
			return true;
	return false;
}

static void
ask_some(struct pod *pods, size_t n, int timeout_ms)
{
	struct ask asks[ASK_AT_ONCE];
	boot_us_t end = clock_boot_us() + (boot_us_t)timeout_ms * US_PER_MS;
	boot_us_t last = end + ASK_BUSY_US;
	size_t i;

	for (i = 0; i < n; i++) {
		pods[i].keeper = KEEPER_UNRESPONSIVE;
		asks[i] = (struct ask){.pod = &pods[i], .fd = -1, .pending = true};
		asks[i].dirfd =
		    open(pods[i].path, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (asks[i].dirfd == -1) {
			asks[i].pending = false;
			if (errno == ENOENT)
				pods[i].keeper = KEEPER_DEAD;
			if (errno == EACCES)
				pods[i].keeper = KEEPER_DENIED;
		}
	}
	while (ask_round(asks, n, end) > 0 &&
	    (clock_boot_us() < end || ask_goes_on(asks, n, &end, last)))
		;
	(void)ask_round(asks, n, 0); /* who answered while we looked */
	for (i = 0; i < n; i++) {
		fd_close(&asks[i].fd);
		fd_close(&asks[i].dirfd);
	}
}

void
pods_ask(struct pods *pods, int timeout_ms)
{
	size_t i;

	for (i = 0; i < pods->n; i += ASK_AT_ONCE)
		ask_some(pods->v + i,
		    pods->n - i < ASK_AT_ONCE ? pods->n - i : ASK_AT_ONCE, timeout_ms);
}

/* Deaths without a quiet minute between them, from which on it is a loop. */
#define CRASH_LOOP_DEATHS 4
#define CRASH_LOOP_BOOTS  2

char *
pod_state(const struct pod *pod)
{
	char *state;

	switch (pod->keeper) {
	case KEEPER_DEAD: return mem_strdup("dead");
	case KEEPER_UNRESPONSIVE: return mem_strdup("unresponsive");
	case KEEPER_BROKEN: return mem_strdup("broken");
	case KEEPER_DENIED: return mem_strdup("denied");
	case KEEPER_ANSWERED: break;
	}
	/* those that sit in the kernel have not crashed */
	if (pod_status_num(pod, "left_behind") <= 0 &&
	    (pod_status_num(pod, "deaths") >= CRASH_LOOP_DEATHS ||
		pod_status_num(pod, "failed_boots") >= CRASH_LOOP_BOOTS))
		return mem_strdup("crash-loop");
	state = admin_status_get(pod->status, "worker_state");
	if (state == NULL || *state == '\0' || strcmp(state, "ready") == 0) {
		free(state);
		return mem_strdup("running");
	}
	return state;
}

/* A pod bears a hash of whom it was made for. */
bool
pod_is_run(const struct pod *pod)
{
	char hash[POD_HASH_LEN + 1];
	AUTO_FREE char *name = NULL;

	pod_hash(RUN_ADDRESS, pod->ns, pod->group, hash);
	name = pod_name(pod->group, hash);
	return strcmp(name, pod->name) == 0;
}

int64_t
pod_status_num(const struct pod *pod, const char *key)
{
	AUTO_FREE char *s =
	    pod->status == NULL ? NULL : admin_status_get(pod->status, key);
	long long n;
	char *end;

	if (s == NULL || *s == '\0')
		return -1;
	errno = 0;
	n = strtoll(s, &end, 10);
	return errno != 0 || *end != '\0' || n < 0 ? -1 : n;
}
