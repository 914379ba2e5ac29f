/*
 * See leftover.h. A death is counted against an undo only if the keeper says that
 * the worker killed itself with that undo in its hand (WELCOME's suspect): a worker
 * killed from outside, or by something else meanwhile, costs it nothing. The count
 * is committed before the next try begins.
 *
 * One that is given up loses its row, so that neither the pod's end nor a later
 * Create of that id meets it. What it left (a cgroup, mounts, the runtime's state) is
 * cleaned by containerd's `delete` of that id, which is another process: it finds us
 * knowing nothing and does the work itself.
 */
#include "worker/leftover.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "worker/container.h"
#include "worker/link.h"
#include "worker/op.h"
#include "worker/pod.h"
#include "worker/tag.h"
#include "worker/tasks.h"

#define LEFTOVER_LEAKED "leaked" /* ids, a blank between them */

/* --- the ids that are leaked --------------------------------------------------------- */

void
leftover_load(struct pod *pod)
{
	free(pod->leaked);
	pod->leaked = store_get_meta(pod->store, LEFTOVER_LEAKED);
}

/* The list without that id; *found: it was there. */
static char *
leaked_without(const char *list, const char *id, bool *found)
{
	AUTO_FREE char *copy = mem_strdup(list);
	char *out = mem_strdup(""), *save = NULL, *word, *more;

	*found = false;
	for (word = strtok_r(copy, " ", &save); word != NULL;
	     word = strtok_r(NULL, " ", &save)) {
		if (strcmp(word, id) == 0) {
			*found = true;
			continue;
		}
		more = mem_printf("%s%s%s", out, out[0] != '\0' ? " " : "", word);
		free(out);
		out = more;
	}
	return out;
}

static void
leaked_set(struct pod *pod, char *list)
{
	free(pod->leaked);
	pod->leaked = list;
	store_set_meta(pod->store, LEFTOVER_LEAKED, list[0] != '\0' ? list : NULL);
}

void
leftover_taken(struct pod *pod, const char *id)
{
	AUTO_FREE char *rest = NULL;
	bool found;

	if (pod->leaked == NULL)
		return;
	rest = leaked_without(pod->leaked, id, &found);
	if (found)
		leaked_set(pod, steal_ptr(&rest));
}

/* --- tries ---------------------------------------------------------------------------- */

static char *
leftover_key(const struct container *c)
{
	return mem_printf("undo.%s", c->id);
}

/* How many workers this undo has killed. */
static unsigned
leftover_deaths(struct container *c)
{
	struct pod *pod = c->pod;
	AUTO_FREE char *key = leftover_key(c), *text = store_get_meta(pod->store, key);
	unsigned deaths = text == NULL ? 0 : (unsigned)strtoul(text, NULL, 10);
	char now[16];

	if (pod->suspect != op_hand_of(c->id))
		return deaths;
	(void)snprintf(now, sizeof now, "%u", ++deaths);
	pod_begin(pod);
	store_set_meta(pod->store, key, now);
	(void)pod_commit(pod, STORE_KEEP, NULL);
	return deaths;
}

void
leftover_undone(struct container *c)
{
	AUTO_FREE char *key = leftover_key(c);

	store_set_meta(c->pod->store, key, NULL);
}

static void
leftover_give_up(struct container *c, unsigned deaths)
{
	struct pod *pod = c->pod;
	const char *list = pod->leaked == NULL ? "" : pod->leaked;
	AUTO_FREE char *why = mem_printf("undoing its Create killed %u workers", deaths);
	AUTO_FREE char *rest = NULL;
	bool found;

	log_errx("container '%s': %s; what that Create left behind stays until "
		 "containerd deletes it: bundle '%s', runtime root '%s'",
	    c->id, why, c->bundle, c->runtime_root);
	rest = leaked_without(list, c->id, &found);
	pod_begin(pod);
	store_delete_container(pod->store, c->id);
	leftover_undone(c);
	leaked_set(pod, mem_printf("%s%s%s", rest, rest[0] != '\0' ? " " : "", c->id));
	store_audit(pod->store, c->id, "", "leaked", why);
	(void)pod_commit(pod, STORE_KEEP, NULL);
	c->from_row = false;
	container_release(c);
}

/* --- all of them ------------------------------------------------------------------------ */

struct leftover_keys {
	const char *container;
	uint64_t create, mount;
};

static void
leftover_on_step(const struct msg_step *step, void *arg)
{
	struct leftover_keys *keys = arg;
	struct tag tag;
	AUTO_FREE char *copy = NULL;

	if (key_is_internal(step->key) || !tag_read(&step->tag, &tag, &copy) ||
	    strcmp(keys->container, tag.container) != 0)
		return;
	if (tag.kind == TAG_CREATE)
		keys->create = step->key;
	if (tag.kind == TAG_MOUNT)
		keys->mount = step->key;
}

/*
 * A Create is about to go on with the row. If there are steps, but none of its own, it is
 * another one, which waited behind the row's: that begins anew, after the undo.
 */
static bool
leftover_is_claimed(const struct container *c, const struct leftover_keys *keys)
{
	bool begun = keys->create != 0 || keys->mount != 0;
	struct op *op;

	for (op = c->pod->ops; op != NULL; op = op->hh.next)
		if (op->method->makes && strcmp(op->id, c->id) == 0 &&
		    (!begun || op_has_steps(op)))
			return true;
	return c->ops != NULL;
}

void
leftover_undo_all(struct pod *pod)
{
	struct container *c, *next;

	HASH_ITER (hh, pod->containers, c, next) {
		struct leftover_keys keys = {.container = c->id};
		unsigned deaths;

		if (!c->from_row)
			continue;
		link_each_step(pod->link, leftover_on_step, &keys);
		if (leftover_is_claimed(c, &keys))
			continue;
		deaths = leftover_deaths(c);
		if (deaths >= LEFTOVER_TRIES) {
			leftover_give_up(c, deaths);
			continue;
		}
		log_warnx("container '%s': its Create is gone, undoing it", c->id);
		create_undo_leftover(c, keys.mount, keys.create);
	}
}
