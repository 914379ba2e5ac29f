/*
 * A worker's start. It is executed from a descriptor that is held open, so that
 * a package update does not change the build by way of a crash. Only `upgrade`
 * does, and only once the new build was READY; before that the old one comes
 * back.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "keeper/life_int.h"
#include "keeper/limits.h"
#include "keeper/spawn.h"

static int
life_open_exe(struct life *life)
{
	const char *dir = getenv("PODSHIM_LIBEXECDIR");
	char path[4096];

	if (life->exe_fd != -1)
		return 0;
	(void)snprintf(path, sizeof path, "%s/podshim-worker",
	    dir != NULL && *dir != '\0' ? dir : PKGLIBEXECDIR);
	life->exe_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (life->exe_fd == -1) {
		(void)snprintf(life->why_text, sizeof life->why_text, "%.100s: %s", path,
		    strerror(errno));
		return -errno;
	}
	return 0;
}

static int
life_fork(struct life *life, int channel_fd)
{
	const struct pod_args *a = life->pod->args;
	static const uint32_t three = 3;
	const char *argv[] = {"podshim-worker", "-namespace", a->ns, "-id", a->id,
	    "-address", a->address, "-publish-binary", a->publish_binary, "-dir", a->dir,
	    "-log", a->log_path, a->debug ? "-debug" : NULL, NULL};
	struct spawn sp = {.exe_fd = life->trying ? life->candidate_fd : life->exe_fd,
	    .argv = (char *const *)(uintptr_t)argv,
	    .fds = &channel_fd,
	    .fd_nums = &three,
	    .n_fds = 1};

	return spawn_fork(&sp, &life->fail_fd);
}

int
life_try_start(struct life *life)
{
	int fds[2], rc;
	pid_t pid;

	life->trying = life->candidate_fd != -1;
	rc = life->trying ? 0 : life_open_exe(life);
	if (rc < 0)
		return rc;
	rc = blame_open(life->pod->blame);
	if (rc < 0)
		return rc;
	rc = channel_pair(fds);
	if (rc < 0)
		return rc;
	life->ch = channel_new(life->pod->loop, fds[0], &life_channel_ops, life);
	if (life->ch == NULL) {
		fd_close(&fds[0]);
		fd_close(&fds[1]);
		return -ENOMEM;
	}
	pid = life_fork(life, fds[1]);
	fd_close(&fds[1]);
	if (pid < 0) {
		channel_free(life->ch);
		life->ch = NULL;
		return pid;
	}
	life->pid = pid;
	reaper_watch(life->pod->reaper, &life->reap, pid, life_on_death, life);
	return 0;
}

bool
life_is_shortage(int rc)
{
	return rc == -EAGAIN || rc == -ENOMEM || rc == -EMFILE || rc == -ENFILE ||
	    rc == -ENOBUFS || rc == -ENOSPC;
}

/* --- until READY ----------------------------------------------------------- */

static void
boot_next_look(struct life *life)
{
	life_timer(
	    life, (life->trying ? LIMIT_UPGRADE_US : LIMIT_BOOT_US) / LIMIT_BOOT_LOOKS);
}

void
life_boot_watch(struct life *life)
{
	life->t_start = clock_boot_us();
	life->boot_loops = 0;
	life->boot_still = 0;
	boot_next_look(life);
}

/* Is it held, does its recovery go on, or did the machine sleep, and it with us? */
static bool
boot_is_excused(struct life *life)
{
	const struct blame *bl = life->pod->blame;
	boot_us_t now = clock_boot_us();
	bool late = now > life->t_timer + US_PER_S;
	bool moves = blame_loops(bl) != life->boot_loops;

	life->boot_loops = blame_loops(bl);
	/* a new build that is held must be waiting as it was told: there is the old one */
	if (hold_was(&life->hold, bl, life->pid) &&
	    (!life->trying || hold_waits(&life->hold, bl))) {
		life->t_start = now;
		return true;
	}
	return (late || moves) && now - life->t_start < LIMIT_BOOT_ALL_US;
}

bool
life_boot_goes_on(struct life *life)
{
	life->boot_still = boot_is_excused(life) ? 0 : life->boot_still + 1;
	if (life->boot_still >= LIMIT_BOOT_LOOKS)
		return false;
	boot_next_look(life);
	return true;
}

/* --- one that did not come up ---------------------------------------------- */

bool
life_boot_is_stuck(const struct life *life)
{
	struct proc_stat st;

	return proc_stat_read(life->pid, &st) == 0 && st.state == 'D';
}

/* One that leaves by itself will not come up the next time either. */
static bool
boot_counts(const struct life *life, const struct boot_end *end)
{
	if (end->status == -1)
		return true;
	return (end->own || WIFEXITED(end->status)) &&
	    !life_is_shortage(-life->spawn_error);
}

/*
 * Where nothing has ever run nobody has waited for long, and the one who waits
 * now is better told at once. Nor does time change what a worker refuses.
 */
static bool
boots_are_hopeless(const struct life *life)
{
	const struct boots *boots = &life->boots;

	if (boots->failed < LIMIT_BOOTS_REFUSE)
		return false;
	return !life->ran || boots->refused >= LIMIT_BOOTS_REFUSE ||
	    clock_boot_us() - boots->since >= LIMIT_BOOTS_LAST_US;
}

void
life_boot_failed(struct life *life, const struct boot_end *end)
{
	struct boots *boots = &life->boots;

	if (!boot_counts(life, end))
		return;
	if (boots->failed++ == 0)
		boots->since = clock_boot_us();
	if (end->status != -1 && WIFEXITED(end->status) &&
	    WEXITSTATUS(end->status) == EXIT_REFUSED)
		boots->refused++;
	/* a want of memory is not written in the store */
	if (end->loads && !blame_is_oom(life->pod->blame))
		boots->loads++;
	boots->hopeless = boots_are_hopeless(life);
}
