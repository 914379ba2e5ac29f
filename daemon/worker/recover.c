/*
 * Recovery. Requests need little of it: they are simply run again (op.h). What
 * is done here is what no request asks for: rows to memory, stdio taken up
 * again, exits nobody was there to see, and an owner or an end for
 * everything the keeper still holds. Rebuilding from tags is in rebuild.c.
 */
#include "worker/recover.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "oci/cgroup_dirs.h"
#include "worker/container.h"
#include "worker/crashpoint.h"
#include "worker/criu.h"
#include "worker/exits.h"
#include "worker/io.h"
#include "worker/leftover.h"
#include "worker/link.h"
#include "worker/oom.h"
#include "worker/op.h"
#include "worker/outbox.h"
#include "worker/pod.h"
#include "worker/process.h"
#include "worker/purge.h"
#include "worker/rebuild.h"
#include "worker/tag.h"
#include "worker/tasks.h"

static struct {
	uint64_t *n;
	size_t count;
} condemned;

/* --- rows -------------------------------------------------------------------------- */

static void
recover_container(const struct row_container *row, void *arg)
{
	struct pod *pod = arg;
	struct container *c = container_new(pod, row->id);
	struct err err = ERR_INIT;

	free(c->bundle);
	free(c->runtime_root);
	free(c->cgroup);
	c->bundle = mem_strdup(row->bundle != NULL ? row->bundle : "");
	c->runtime_root = mem_strdup(row->runtime_root != NULL ? row->runtime_root : "");
	c->cgroup = mem_strdup(row->cgroup != NULL ? row->cgroup : "");
	/* its command, if it was ever run, is taken up again and says how it ends */
	c->state = row->state == TASK_PAUSING ? TASK_RUNNING : row->state;
	c->from_row = row->state == TASK_CREATING;
	c->own_pidns = row->own_pidns;
	c->rootfs_mounted = row->rootfs_mounted;
	c->create_sent = row->create_sent;
	c->oom_seen = row->oom_seen;
	c->created_at = row->created_at;
	c->has_opts = row->options != NULL && row->options[0] != '\0' &&
	    options_from_json(row->options, &c->opts, &err) == 0;
	if (!c->has_opts)
		c->has_opts = options_decode(NULL, NULL, 0, &c->opts, &err) == 0;
}

static void
recover_process(const struct row_process *row, void *arg)
{
	struct pod *pod = arg;
	struct container *c = container_get(pod, row->container);
	const char *exec_id = row->exec_id != NULL ? row->exec_id : "";
	struct process *p;

	if (c == NULL || process_find(c, exec_id) != NULL)
		return;
	p = process_new(c, exec_id);
	free(p->stdin_path);
	free(p->stdout_path);
	free(p->stderr_path);
	p->stdin_path = mem_strdup(row->stdin_path != NULL ? row->stdin_path : "");
	p->stdout_path = mem_strdup(row->stdout_path != NULL ? row->stdout_path : "");
	p->stderr_path = mem_strdup(row->stderr_path != NULL ? row->stderr_path : "");
	p->terminal = row->terminal;
	if (row->spec != NULL && row->spec_len > 0)
		process_set_spec(p, mem_dup(row->spec, row->spec_len), row->spec_len);
	p->pid = row->pid;
	p->start_time = row->start_time;
	p->state = row->state;
	p->exit_status = row->exit_status;
	p->started_at = row->started_at;
	p->exited_at = row->exited_at;
	p->exit_sent = row->exit_sent;
	if (row->key != 0)
		process_bind(p, row->key, row->pid, row->start_time);
}

int
recover_load(struct pod *pod, struct err *err)
{
	AUTO_FREE char *seen = store_get_meta(pod->store, "shutdown_seen");
	struct container *c, *next;
	int rc = store_each_container(pod->store, recover_container, pod, err);

	if (rc == 0)
		rc = store_each_process(pod->store, NULL, recover_process, pod, err);
	if (rc < 0)
		return rc;
	pod->shutdown_seen = seen != NULL;
	leftover_load(pod);
	HASH_ITER (hh, pod->containers, c, next) {
		if (c->init != NULL || c->from_row)
			continue;
		log_errx("container '%s' has a row but no init, ignoring", c->id);
		container_forget(c);
	}
	return 0;
}

/* --- SYNC -------------------------------------------------------------------------- */

void
recover_condemned(struct pod *pod, uint64_t n)
{
	(void)pod;
	condemned.n =
	    mem_realloc(condemned.n, (condemned.count + 1) * sizeof *condemned.n);
	condemned.n[condemned.count++] = n;
}

/*
 * What an earlier worker began to start is being started, though its Start comes to
 * its turn at GO only: exits and kills that are taken up before are told behind it.
 */
static void
recover_starts(struct pod *pod)
{
	struct op *op, *next;

	HASH_ITER (hh, pod->ops, op, next) {
		struct container *c = container_visible(pod, op->id);
		struct process *p = c == NULL ? NULL : process_find(c, op->exec_id);

		if (p != NULL && op->method->begin == task_start && op_has_steps(op))
			p->starting = true;
	}
}

/*
 * Kills that nobody was there to tell of, and those to come. Before any exit that waits
 * is told: TaskOOM comes first, or never.
 */
static void
recover_oom(struct pod *pod)
{
	AUTO_FREE char *mounts = NULL;
	struct container *c, *next;

	HASH_ITER (hh, pod->containers, c, next) {
		bool ended;

		link_loop_pass(pod->link); /* many are long; it goes on all the same */
		if (c->state == TASK_CREATING || exits_settled(c))
			continue;
		ended = container_stopped(c) || exits_holds(pod, c->init->key);
		c->dirs =
		    cgroup_dirs_find_next(ended ? 0 : c->init->pid, c->cgroup, &mounts);
		oom_watch(c, c->rebuilt);
		if (!c->rebuilt)
			continue;
		pod_begin(pod); /* the count from which on it is told */
		container_put(c);
		(void)pod_commit(pod, STORE_KEEP, NULL);
	}
}

void
recover_sync(struct pod *pod, bool rebuild)
{
	if (rebuild)
		rebuild_from_tags(pod);
	purge_expect_all(pod);
	recover_starts(pod);
	recover_oom(pod);
	exits_apply_held(pod);
	exits_find_lost(pod);
}

/* --- what the keeper holds ------------------------------------------------------------ */

/*
 * A Start that nobody waits for: told DeadlineExceeded, or condemned. What it has let run
 * is not to run, if it was not too late for that and is still what it was about.
 */
static void
recover_started(const struct container *c, const struct msg_step *step)
{
	const struct process *init = c->init;

	if (init->state != TASK_CREATED || init->key == 0 || init->key > step->key ||
	    !start_may_have_run(step))
		return;
	log_warnx("container '%s': its Start was given up, killing it", c->id);
	link_kill(c->pod->link, init->key);
}

/* It may have frozen its container, or thawed it, or let it run. */
static void
recover_effect(struct pod *pod, const struct msg_step *step)
{
	AUTO_FREE char *copy = NULL;
	struct container *c;
	struct tag tag;

	if (!tag_read(&step->tag, &tag, &copy) ||
	    (c = container_visible(pod, tag.container)) == NULL)
		return;
	if (tag.kind == TAG_OTHER)
		pause_settle(c);
	else if (tag.kind == TAG_START)
		recover_started(c, step);
}

static void recover_end_step(struct pod *pod, const struct msg_step *step, bool kill);

/* It may have ended well, just before it was killed: then its process is still there. */
static void
recover_on_straggler(const struct msg_step *step, void *arg)
{
	op_drop_output(arg, step->key);
	recover_end_step(arg, step, false);
}

/* A step that nothing will ask for: it ends, its process too, and is forgotten. */
static void
recover_end_step(struct pod *pod, const struct msg_step *step, bool kill)
{
	struct link *lk = pod->link;
	uint64_t key = step->key;

	if (step->state == STEP_RUNNING) {
		if (kill)
			link_kill(lk, key);
		link_step_watch(lk, key, recover_on_straggler, pod);
		return;
	}
	recover_effect(pod, step);
	if (step->state == STEP_DONE && step->child_pid > 0 &&
	    process_by_key(pod, key) == NULL) {
		log_warnx("key %" PRIx64 ": pid %d belongs to nobody, killing it", key,
		    step->child_pid);
		link_kill(lk, key);
		return; /* the step goes with the acknowledged exit */
	}
	if (process_by_key(pod, key) == NULL)
		link_ack(lk, key);
}

/* By an undo that was begun just now: it will ask how the step ended, and ends it. */
static bool
recover_is_undone(struct pod *pod, const char *id, uint64_t key)
{
	const struct container *c = container_get(pod, id);
	const struct op *op;
	size_t i;

	for (op = c == NULL ? NULL : c->ops; op != NULL; op = op->q_next)
		for (i = 0; i < OP_STEPS; i++)
			if (op->keys[i] == key)
				return true;
	return false;
}

static void
recover_step(const struct msg_step *step, void *arg)
{
	struct pod *pod = arg;
	struct tag tag;
	AUTO_FREE char *copy = NULL;
	bool ours = tag_read(&step->tag, &tag, &copy);

	if (tag.kind == TAG_DELETED || tag.kind == TAG_PURGED)
		return; /* a memo: whoever deletes acknowledges it */
	if (key_is_internal(step->key)) {
		/* signals, and deletes and unmounts of ours: they may end as they like */
		if (step->kind == STEP_SIGNAL || ours)
			recover_end_step(pod, step, false);
		return; /* else the outbox's or a log program: theirs to know */
	}
	if (op_find(pod, key_request(step->key)) == NULL &&
	    !(ours && recover_is_undone(pod, tag.container, step->key)))
		recover_end_step(pod, step, true);
}

/* The key behind the last slash or dot of a name. */
static bool
recover_key_of(const char *name, char before, uint64_t *key)
{
	const char *p = strrchr(name, before);
	char *end;

	if (p == NULL || p[1] == '\0')
		return false;
	*key = strtoull(p + 1, &end, 16);
	return *end == '\0';
}

/* Is the step still to be looked at by somebody? */
static bool
recover_step_needed(struct pod *pod, uint64_t key)
{
	if (key_is_internal(key))
		return link_step_known(pod->link, key) != NULL;
	return op_find(pod, key_request(key)) != NULL;
}

/* Will a Create or Start that has its turn yet to come take up what is there? */
static bool
recover_is_to_be_born(const struct process *p)
{
	const struct op *op;

	for (op = p->c->ops; op != NULL; op = op->q_next)
		if (op->method->births && strcmp(op->exec_id, p->exec_id) == 0)
			return true;
	return false;
}

/* io/<container>/<exec or "-">/<what> */
static bool
recover_io_needed(struct pod *pod, const char *name)
{
	AUTO_FREE char *copy = mem_strdup(name);
	char *save = NULL, *id, *exec_id;
	struct container *c;
	struct process *p;

	(void)strtok_r(copy, "/", &save);
	id = strtok_r(NULL, "/", &save);
	exec_id = strtok_r(NULL, "/", &save);
	if (id == NULL || exec_id == NULL)
		return false;
	c = container_get(pod, id);
	if (c == NULL)
		return false;
	p = process_find(c, strcmp(exec_id, "-") == 0 ? "" : exec_id);
	/* one that failed to start has none, and its client waits for the end */
	return p != NULL && (p->io != NULL || recover_is_to_be_born(p));
}

static void
recover_fd(const char *name, void *arg)
{
	struct pod *pod = arg;
	uint64_t key;
	bool needed;

	if (strncmp(name, "io/", 3) == 0)
		needed = recover_io_needed(pod, name);
	else if (strncmp(name, "out/", 4) == 0)
		needed = recover_key_of(name, '/', &key) && recover_step_needed(pod, key);
	else if (strncmp(name, "tty/", 4) == 0)
		needed = recover_key_of(name, '/', &key) &&
		    (process_by_key(pod, key) != NULL || recover_step_needed(pod, key));
	else
		return; /* the outbox's, or of a newer worker */
	if (!needed) {
		log_debug("stored descriptor '%s' belongs to nobody", name);
		link_fd_drop(pod->link, name, false);
	}
}

static void
recover_remove(struct pod *pod, const char *name)
{
	if (unlinkat(pod->dirfd, name, 0) == -1 && errno == EISDIR)
		(void)tree_remove(pod->dirfd, name);
}

/* log.<key>, pid.<key>, process.<key> of steps that nobody knows. */
static void
recover_files(struct pod *pod)
{
	static const char *const kinds[] = {
	    "log.", "pid.", "process.", CRIU_DIR_KIND "."};
	AUTO_CLOSEDIR DIR *d = dir_open(pod->dirfd, ".");
	struct dirent *de;
	size_t i;

	while ((de = dir_next(d)) != NULL) {
		uint64_t key;

		for (i = 0; i < ARRAY_LEN(kinds); i++) {
			if (strncmp(de->d_name, kinds[i], strlen(kinds[i])) == 0)
				break;
		}
		if (i == ARRAY_LEN(kinds) || !recover_key_of(de->d_name, '.', &key))
			continue;
		if (!recover_step_needed(pod, key))
			recover_remove(pod, de->d_name);
	}
}

/* --- GO --------------------------------------------------------------------------------- */

static void
recover_io(struct process *p)
{
	AUTO_FREE char *tty = NULL;
	struct io_spec spec;

	if (p == NULL || p->key == 0 || p->io != NULL)
		return;
	tty = process_tty_name(p, p->key);
	process_io_spec(p, &spec);
	p->io = io_resume(p->c->pod->loop, p->c->pod->link, &spec, tty);
	if (p->state == TASK_STOPPED)
		io_process_exited(p->io);
}

static void
recover_all_io(struct pod *pod)
{
	struct container *c, *next_c;
	struct process *p, *next_p;

	HASH_ITER (hh, pod->containers, c, next_c) {
		link_loop_pass(pod->link);
		recover_io(c->init);
		HASH_ITER (hh, c->execs, p, next_p)
			recover_io(p);
	}
}

/* Which Create is request n? What else it has done to its container is undone. */
struct recover_find {
	struct pod *pod;
	uint64_t n;
	bool begun;  /* it has steps that need undoing */
	char *found; /* the container's id */
};

static void
recover_match(const struct msg_step *step, void *arg)
{
	struct recover_find *f = arg;
	struct tag tag;
	AUTO_FREE char *copy = NULL;

	if (key_is_internal(step->key) || key_request(step->key) != f->n ||
	    !tag_read(&step->tag, &tag, &copy))
		return;
	if (step->state != STEP_RUNNING)
		recover_effect(f->pod, step); /* it goes with the answer */
	f->begun |= tag.kind == TAG_CREATE || tag.kind == TAG_MOUNT;
	if (f->found == NULL)
		f->found = mem_strdup(tag.container);
}

/* Nobody may see its answer any more; what it began must go, or run to its end. */
static void
recover_one_condemned(struct pod *pod, uint64_t n)
{
	struct recover_find f = {.pod = pod, .n = n};
	AUTO_FREE void *answer = NULL;
	struct container *c;
	size_t len;

	if (store_get_answer(pod->store, n, &answer, &len) == 0) {
		pod_spent(pod, n); /* it was finished: containerd's own Delete follows */
		link_answer(pod->link, n, NULL, 0);
		return;
	}
	link_each_step(pod->link, recover_match, &f);
	c = f.found == NULL ? NULL : container_get(pod, f.found);
	free(f.found);
	log_warnx("request %" PRIu64 " is condemned, undoing it", n);
	if (c != NULL && c->state == TASK_CREATING && f.begun)
		create_undo_condemned(c, n);
	else /* its steps, if any, have no request then, and end as such */
		link_answer(pod->link, n, NULL, 0);
}

static void
recover_settle(struct pod *pod)
{
	struct container *c, *next;

	HASH_ITER (hh, pod->containers, c, next) {
		if (c->state != TASK_CREATING && container_stopped(c) &&
		    !exits_settled(c))
			exits_settle(c);
	}
}

static void
recover_prune_answers(struct pod *pod)
{
	size_t n = 0, count = HASH_COUNT(pod->ops) + pod->n_spent, i;
	AUTO_FREE uint64_t *keep = mem_zalloc(count * sizeof *keep);
	struct op *op, *next;

	HASH_ITER (hh, pod->ops, op, next)
		keep[n++] = op->n;
	for (i = 0; i < pod->n_spent; i++)
		keep[n++] = pod->spent[i];
	store_prune_answers(pod->store, keep, n);
}

void
recover_go(struct pod *pod)
{
	size_t i;

	recover_all_io(pod);
	outbox_resume(pod->outbox);
	CRASH_POINT("go.begin");
	for (i = 0; i < condemned.count; i++)
		recover_one_condemned(pod, condemned.n[i]);
	free(condemned.n);
	condemned.n = NULL;
	condemned.count = 0;
	recover_prune_answers(pod); /* the condemned have looked for theirs */
	leftover_undo_all(pod);
	delete_noted(pod);
	op_go(pod);
	io_sweep(pod->loop, pod->link);
	link_each_step(pod->link, recover_step, pod);
	link_each_fd(pod->link, recover_fd, pod);
	recover_files(pod);
	purge_honour_all(pod);
	recover_settle(pod);
	exits_release(pod, 0);
	pod_kick_events(pod);
	pod_mark(pod);
	pod_check_idle(pod);
}
