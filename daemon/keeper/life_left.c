/*
 * Workers that were killed and do not die: they sit in the kernel, in a disk or
 * a mount that hangs, and it is likely that the next one comes to sit beside
 * them. They are remembered until the reaper sees them, and the more there are,
 * the longer the next one is put off.
 */
#include "base/log.h"
#include "keeper/life_int.h"

static void
life_on_left_death(const struct death *death, void *arg)
{
	struct life *life = arg;

	log_warnx("worker %ld, which did not die, is dead now", (long)death->pid);
	life_let_go(life);
}

uint32_t
life_left(const struct life *life)
{
	uint32_t n = 0;
	size_t i;

	for (i = 0; i < LIMIT_LEFT; i++)
		n += life->left[i].on;
	return n;
}

uint32_t
life_leave_behind(struct life *life)
{
	size_t i;

	reaper_forget(life->pod->reaper, &life->reap);
	for (i = 0; i < LIMIT_LEFT && life->left[i].on; i++)
		;
	if (i < LIMIT_LEFT) /* else there are more than count */
		reaper_watch(life->pod->reaper, &life->left[i], life->pid,
		    life_on_left_death, life);
	return life_left(life);
}

void
life_left_fini(struct life *life)
{
	size_t i;

	for (i = 0; i < LIMIT_LEFT; i++)
		reaper_forget(life->pod->reaper, &life->left[i]);
}
