/*
 * delete: runs after every container, also the cleanly deleted ones, so the
 * usual way through is short: ask the keeper, print, done. Without a keeper it
 * does the work itself, reading the database but never writing it: its one
 * writer may be alive yet.
 *
 * containerd gives 5 s and takes nothing for an answer, so a watchdog prints
 * the best account so far at 4.8 s. Nothing here is an error: a container that
 * was never heard of is a container that is gone.
 */
#include "launcher/delete.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/podpath.h"
#include "ipc/admin.h"
#include "launcher/account.h"
#include "launcher/args.h"
#include "launcher/group.h"
#include "launcher/marks.h"
#include "base/poddir.h"
#include "base/podlock.h"
#include "launcher/purge.h"
#include "launcher/sweep.h"
#include "proto/task.pb-c.h"
#include "proto/wire.h"
#include "state/store.h"

#define ASK_LIMIT_US   (2500 * US_PER_MS)
#define FLUSH_LIMIT_US US_PER_S
#define WORK_LIMIT_US  (4500 * US_PER_MS)
#define LOCK_LIMIT_US  (100 * US_PER_MS)
#define WATCHDOG_MS    4800
#define END_LIMIT_US   (300 * US_PER_MS)
#define END_ASK_MS     200
#define STATUS_KILLED  137u
#define STATUS_UNKNOWN 255u
#define STORE_NAME     "state.db"
#define TIME_IS_OVER   "containerd-shim-podshim-v1: delete: its time is over\n"

struct deletion {
	const struct args *args;
	boot_us_t begin;
	boot_us_t end; /* of our own work */
	char *bundle;  /* absolute; NULL if it is gone and was not named */
	int bundle_fd;
	bool has_hash;
	char hash[POD_HASH_LEN + 1];
	char *socket_path;
	bool is_told; /* by the keeper how the container ended: the answer stands */
	bool keeper_is_dead;
	bool use_pod; /* read its database, leave marks in it */
	/* the pod's directory, if there is one */
	char *pod_dir;
	int pod_fd;
	bool is_owner;	 /* the pod is named after this container */
	bool is_left;	 /* not all of our container is gone */
	int worker_lock; /* held shared: nobody writes the database */
	struct store *store;
};

/* --- the answer ---------------------------------------------------------------- */

/* What the watchdog writes: always a whole message. */
static struct {
	uint8_t bytes[64];
	volatile size_t len;
	bool whole; /* nothing less will do */
} answer;

static void
answer_set(uint32_t pid, uint32_t status, int64_t exited_at)
{
	Containerd__Task__V2__DeleteResponse r =
	    CONTAINERD__TASK__V2__DELETE_RESPONSE__INIT;
	Google__Protobuf__Timestamp ts;

	wire_timestamp(&ts, exited_at != 0 ? exited_at : clock_real_ns());
	r.pid = pid;
	r.exit_status = status;
	r.exited_at = &ts;
	answer.len = 0; /* an empty answer is a legal one */
	if (protobuf_c_message_get_packed_size(&r.base) <= sizeof answer.bytes)
		answer.len = protobuf_c_message_pack(&r.base, answer.bytes);
}

static void
on_watchdog(int signo)
{
	(void)signo;
	(void)!write(STDOUT_FILENO, answer.bytes, answer.len);
	if (answer.whole)
		(void)!write(STDERR_FILENO, TIME_IS_OVER, sizeof TIME_IS_OVER - 1);
	_exit(answer.whole);
}

static void
watchdog_set(long ms)
{
	struct sigaction sa = {.sa_handler = on_watchdog};
	struct itimerval it = {
	    .it_value = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000}};

	(void)sigaction(SIGALRM, &sa, NULL);
	(void)setitimer(ITIMER_REAL, &it, NULL);
}

/* --- finding the pod -------------------------------------------------------------- */

static void
delete_find_bundle(struct deletion *d)
{
	const char *given = d->args->bundle;

	if (given[0] == '/') {
		d->bundle_fd = open(given, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		/* as mountinfo spells it */
		d->bundle = realpath(given, NULL);
		if (d->bundle == NULL)
			d->bundle = mem_strdup(given);
	} else {
		d->bundle_fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		d->bundle = getcwd(NULL, 0);
	}
}

/* The file `address` says it; without one, config.json and -address do. */
static void
delete_find_socket(struct deletion *d)
{
	AUTO_FREE char *text = NULL;
	AUTO_FREE char *group = NULL;
	size_t len;

	if (d->bundle_fd >= 0 &&
	    file_read(d->bundle_fd, "address", 4096, &text, &len, NULL) == 0 &&
	    pod_hash_of_address(text, d->hash, &d->socket_path)) {
		d->has_hash = true;
		return;
	}
	if (d->args->address[0] == '\0')
		return;
	if (d->bundle_fd < 0 ||
	    group_of_bundle(d->bundle_fd, d->args->id, &group, NULL) < 0)
		group = mem_strdup(d->args->id);
	pod_hash(d->args->address, d->args->ns, group, d->hash);
	d->socket_path = mem_printf("%s/%s", POD_SOCKET_DIR, d->hash);
	d->has_hash = true;
}

/* A directory <state root>/<namespace>/<any group>.<hash8>. */
static void
delete_find_pod(struct deletion *d)
{
	AUTO_FREE char *ns_dir = mem_printf("%s/%s", pod_state_root(), d->args->ns);
	AUTO_FREE char *own = NULL;
	char suffix[POD_HASH8_LEN + 2];
	struct dirent *e;
	size_t len;
	DIR *dir;

	if (!d->has_hash || (dir = opendir(ns_dir)) == NULL)
		return;
	(void)snprintf(suffix, sizeof suffix, ".%.*s", (int)POD_HASH8_LEN, d->hash);
	own = pod_name(d->args->id, d->hash);
	while ((e = readdir(dir)) != NULL) {
		len = strlen(e->d_name);
		if (len < sizeof suffix ||
		    strcmp(e->d_name + len - strlen(suffix), suffix) != 0)
			continue;
		d->pod_fd = openat(dirfd(dir), e->d_name,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (d->pod_fd < 0)
			continue;
		d->pod_dir = mem_printf("%s/%s", ns_dir, e->d_name);
		d->is_owner = strcmp(e->d_name, own) == 0;
		break;
	}
	(void)closedir(dir);
}

/*
 * The recorded truth. A dying worker is given time to write its last. The lock is
 * kept while we read rows and marks, so that no other `delete` removes them.
 */
static void
delete_open_store(struct deletion *d)
{
	boot_us_t limit = clock_boot_us() + FLUSH_LIMIT_US;

	if (d->pod_fd < 0)
		return;
	if (d->keeper_is_dead) {
		d->worker_lock = openat(d->pod_fd, "worker.lock",
		    O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
		if (d->worker_lock >= 0)
			(void)flock_until(d->worker_lock, LOCK_SH, limit);
	}
	(void)store_open_readonly(d->pod_dir, &d->store, NULL);
}

static void
delete_close_store(struct deletion *d)
{
	store_close(d->store);
	d->store = NULL;
	fd_close(&d->worker_lock);
}

/* --- without a keeper --------------------------------------------------------------- */

static void
warn_about(const struct err *err)
{
	if (err->code != 0)
		(void)fprintf(stderr, "%s\n", err->text);
}

static void
delete_mark(const struct deletion *d, const char *id, const struct mark *mark)
{
	struct err err = ERR_INIT;

	/* ENOENT: another `delete` was the last, and has removed all of it */
	if (mark_write(d->pod_fd, id, mark, &err) < 0 && err.code != ENOENT)
		warn_about(&err);
}

/*
 * Kill and clean one container. own: it is ours to delete, not a member of our
 * pod that we sweep. *mark becomes what is known of its end. A container that
 * the pod has no account of gets no mark: the keeper may be removing the
 * directory this moment.
 */
static void
delete_sweep(struct deletion *d, const struct account *acc, bool own, struct mark *mark)
{
	struct err err = ERR_INIT;
	int64_t now = clock_real_ns();

	*mark = (struct mark){0};
	if (d->pod_fd >= 0)
		(void)mark_read(d->pod_fd, acc->id, mark);
	if (mark->killed_at == 0 && !acc->exited) {
		/* before the deed: whoever sees it dead shall know why */
		if (sweep_init_is_alive(acc)) {
			mark->killed_at = now;
			if (d->pod_fd >= 0)
				delete_mark(d, acc->id, mark);
		} else if (d->pod_fd >= 0) {
			/* the mark of another `delete` that has killed it since we looked */
			(void)mark_read(d->pod_fd, acc->id, mark);
		}
	}
	if (sweep_is_needed(acc)) {
		sweep_kill(acc, d->end);
		sweep_clean(acc, d->end, &err);
		warn_about(&err);
		d->is_left |= own && sweep_is_needed(acc);
	}
	mark->deleted |= own;
	if (d->pod_fd >= 0 && (acc->in_db || mark->killed_at != 0))
		delete_mark(d, acc->id, mark);
}

static void
delete_answer_for(
    const struct deletion *d, const struct account *acc, const struct mark *mark)
{
	if (d->is_told)
		return;
	if (acc->exited)
		answer_set((uint32_t)acc->pid, acc->exit_status, acc->exited_at);
	else if (mark->killed_at != 0)
		answer_set((uint32_t)acc->pid, STATUS_KILLED, mark->killed_at);
	else if (acc->in_db)
		answer_set((uint32_t)acc->pid, STATUS_UNKNOWN, 0);
	else
		/* never heard of it: what the Go shim says */
		answer_set((uint32_t)acc->pid, STATUS_KILLED, 0);
}

struct id_list {
	char **v;
	char **bundles;
	size_t n;
};

static void
list_on_container(const struct row_container *row, void *arg)
{
	struct id_list *list = arg;

	list->v = mem_realloc(list->v, (list->n + 1) * sizeof *list->v);
	list->bundles = mem_realloc(list->bundles, (list->n + 1) * sizeof *list->bundles);
	list->v[list->n] = mem_strdup(row->id);
	list->bundles[list->n++] = mem_strdup(row->bundle);
}

static void
list_fini(struct id_list *list)
{
	while (list->n-- > 0) {
		free(list->v[list->n]);
		free(list->bundles[list->n]);
	}
	free(list->v);
	free(list->bundles);
}

/*
 * The pod's owner takes the others with it: under some containerds nobody would
 * run `delete` for them (contract.md 3.4). First all are killed, then cleaned: what is
 * quick for each comes before what is not for any, as time may run out.
 */
static void
delete_sweep_members(struct deletion *d, const struct id_list *list)
{
	struct account *accs = mem_zalloc((list->n + 1) * sizeof *accs);
	bool *hit = mem_zalloc(list->n + 1);
	AUTO_FREE char *mounts = NULL;
	struct mark mark;
	size_t i;

	for (i = 0; i < list->n; i++) {
		account_load(&accs[i], d->store, -1, NULL, d->args->ns, list->v[i]);
		if (strcmp(list->v[i], d->args->id) == 0 || accs[i].exited ||
		    !sweep_init_is_alive(&accs[i]))
			continue;
		mark = (struct mark){.killed_at = clock_real_ns()};
		delete_mark(d, list->v[i], &mark);
		sweep_signal(&accs[i]);
		hit[i] = true;
	}
	for (i = 0; i < list->n && clock_boot_us() < d->end; i++) {
		if (hit[i])
			sweep_kill_cgroup(&accs[i], &mounts);
	}
	for (i = 0; i < list->n; i++) {
		if (strcmp(list->v[i], d->args->id) != 0 && clock_boot_us() < d->end)
			delete_sweep(d, &accs[i], false, &mark);
		account_fini(&accs[i]);
	}
	free(accs);
	free(hit);
}

/* Is there another container whose own `delete` has still to come and ask how it ended? */
static bool
delete_is_awaited(const struct deletion *d, const struct id_list *list)
{
	struct mark mark;
	size_t i;

	for (i = 0; i < list->n; i++) {
		if (strcmp(list->v[i], d->args->id) == 0 ||
		    (mark_read(d->pod_fd, list->v[i], &mark) && mark.deleted))
			continue;
		/* containerd has removed the bundle: it will not come */
		if (list->bundles[i] != NULL && access(list->bundles[i], F_OK) == -1 &&
		    errno == ENOENT)
			continue;
		return true;
	}
	return false;
}

/* The last one of a dead pod removes it. The lock keeps a new keeper away meanwhile. */
static void
delete_remove_pod(struct deletion *d)
{
	AUTO_FREE char *lock_path = mem_printf("%s.lock", d->pod_dir);
	AUTO_CLOSE int lock =
	    podlock_take(lock_path, clock_boot_us() + LOCK_LIMIT_US, NULL);
	boot_us_t end;

	if (lock < 0)
		return;
	/* -EADDRINUSE: somebody has started a keeper since */
	if (stale_socket_remove(d->socket_path) == -EADDRINUSE)
		return;
	/* another `delete` that still reads holds worker.lock: then it is the last */
	end = clock_boot_us() + FLUSH_LIMIT_US;
	if (poddir_remove(d->pod_dir, end < d->end ? end : d->end) == 0)
		podlock_remove(lock_path);
}

/*
 * A socket whose pod has no directory: a start or a keeper was killed at the
 * wrong moment. Its lock is found only if config.json still tells the group.
 */
static void
delete_remove_socket(struct deletion *d)
{
	AUTO_FREE char *group = NULL;
	AUTO_FREE char *lock_path = NULL;
	AUTO_CLOSE int lock = -1;
	char hash[POD_HASH_LEN + 1];
	struct stat st;

	if (!d->has_hash || lstat(d->socket_path, &st) == -1 || d->bundle_fd < 0 ||
	    group_of_bundle(d->bundle_fd, d->args->id, &group, NULL) < 0)
		return;
	pod_hash(d->args->address, d->args->ns, group, hash);
	if (strcmp(hash, d->hash) != 0)
		return;
	lock_path = pod_lock_path(d->args->ns, group, hash);
	lock = podlock_take(lock_path, clock_boot_us() + LOCK_LIMIT_US, NULL);
	if (lock < 0)
		return;
	if (stale_socket_remove(d->socket_path) == 0)
		podlock_remove(lock_path);
}

/* After our own container: is that all of a pod that nobody else sees to? */
static bool
delete_is_last(struct deletion *d)
{
	struct id_list list = {0};
	struct stat st;
	bool is_last;

	if (d->store != NULL &&
	    store_each_container(d->store, list_on_container, &list, NULL) >= 0) {
		/* asked again: a new keeper may have come, and these be its containers */
		if (d->is_owner && d->keeper_is_dead &&
		    socket_probe(d->socket_path) != -EADDRINUSE)
			delete_sweep_members(d, &list);
		is_last = !delete_is_awaited(d, &list);
	} else {
		/* of a database that nobody can read the owner is the judge */
		is_last = d->is_owner ||
		    fstatat(d->pod_fd, STORE_NAME, &st, AT_SYMLINK_NOFOLLOW) == -1;
	}
	delete_close_store(d);
	list_fini(&list);
	return is_last;
}

/*
 * A keeper whose workers all refuse has nobody to read our marks, and nothing left to
 * keep. It refuses while it has not seen the last death, or if a worker may come up; but
 * it remembers.
 */
static void
delete_end_keeper(const struct deletion *d)
{
	boot_us_t end = clock_boot_us() + END_LIMIT_US;

	while (admin_end(d->pod_fd, END_ASK_MS, NULL) == -EBUSY &&
	    clock_boot_us() < end && clock_boot_us() < d->end)
		(void)poll(NULL, 0, 20);
}

static void
delete_alone(struct deletion *d)
{
	struct mark mark = {0};
	struct account acc;

	if (d->use_pod) {
		delete_find_pod(d);
		delete_open_store(d);
	}
	account_load(&acc, d->store, d->bundle_fd, d->bundle, d->args->ns, d->args->id);
	delete_answer_for(d, &acc, &mark);
	delete_sweep(d, &acc, true, &mark);
	delete_answer_for(d, &acc, &mark);
	account_fini(&acc);
	if (d->pod_fd >= 0 && delete_is_last(d)) {
		if (d->keeper_is_dead)
			delete_remove_pod(d);
		else
			delete_end_keeper(d);
	} else if (d->pod_fd < 0 && d->keeper_is_dead) {
		delete_remove_socket(d);
	}
	delete_close_store(d);
}

/* ----------------------------------------------------------------------------------- */

static void
delete_fini(struct deletion *d)
{
	free(d->bundle);
	free(d->socket_path);
	free(d->pod_dir);
	fd_close(&d->bundle_fd);
	fd_close(&d->pod_fd);
}

int
delete_run(const struct args *args, struct err *err)
{
	struct deletion d = {
	    .args = args, .bundle_fd = -1, .pod_fd = -1, .worker_lock = -1};
	enum purge_result asked = PURGE_NO_KEEPER;
	struct purge_answer told = {0};
	struct err why = ERR_INIT;
	int rc;

	d.begin = clock_boot_us();
	d.end = d.begin + WORK_LIMIT_US;
	answer.whole = args->whole;
	answer_set(0, STATUS_KILLED, 0);
	watchdog_set(WATCHDOG_MS);
	delete_find_bundle(&d);
	delete_find_socket(&d);
	if (d.has_hash)
		asked = purge_ask(
		    d.socket_path, args->id, d.begin + ASK_LIMIT_US, &told, &why);
	switch (asked) {
	case PURGE_DONE: answer_set(told.pid, told.exit_status, told.exited_at); break;
	case PURGE_UNKNOWN:
		/* there was no room to run a command: it saw the end all the same */
		d.is_told = told.exited_at != 0;
		if (d.is_told)
			answer_set(told.pid, told.exit_status, told.exited_at);
		/* a mark in a healthy pod would hit the next container of that name */
		delete_alone(&d);
		break;
	case PURGE_SILENT:
		warn_about(&why);
		d.use_pod = true;
		delete_alone(&d);
		break;
	case PURGE_NO_KEEPER:
		d.use_pod = true;
		d.keeper_is_dead = true;
		delete_alone(&d);
		break;
	}
	watchdog_set(0);
	delete_fini(&d);
	rc = fd_write_all(STDOUT_FILENO, answer.bytes, answer.len);
	if (rc < 0)
		return err_set(err, -rc, "write the answer");
	return d.args->whole && d.is_left
	    ? err_setx(err, EBUSY, "container '%s': not all of it is gone", args->id)
	    : 0;
}
