/*
 * The worker's life, as a small state machine:
 *
 *            +--------------------------- back-off <-------------------------+
 *            v                                                               |
 *   DOWN -> STARTING -HELLO-> LOADING -READY-> RUNNING -QUIESCE-> LEAVING -> death
 *            |                  |                 |                  |        ^
 *            +------------------+---- killed -----+----------> DYING +--------+
 *
 * Death is what the reaper says, or 2 s after a SIGKILL: then it sits in the
 * kernel, can run no more code of its own, and the next one may start.
 *
 * How one is started: life_boot.c. Those that go on sitting there: life_left.c.
 */
#include "keeper/life.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/loop.h"
#include "keeper/backoff.h"
#include "keeper/handle.h"
#include "keeper/life_int.h"
#include "keeper/limits.h"
#include "keeper/pod.h"
#include "keeper/request.h"
#include "keeper/spawn.h"

static const char *const state_names[] = {
    [LIFE_DOWN] = "down",
    [LIFE_STARTING] = "starting",
    [LIFE_LOADING] = "loading",
    [LIFE_RUNNING] = "running",
    [LIFE_LEAVING] = "leaving",
    [LIFE_DYING] = "dying",
    [LIFE_ENDED] = "ended",
};

static void life_start(struct life *life);
static void life_next(struct life *life, bool crashed);

/* --- small things ---------------------------------------------------------- */

void
life_timer(struct life *life, uint64_t us)
{
	life->t_timer = clock_boot_us() + us;
	loop_timer_set(life->pod->loop, &life->timer, us);
}

bool
life_is_running(const struct life *life)
{
	return life->state == LIFE_RUNNING;
}

bool
life_is_hopeless(const struct life *life)
{
	return life->boots.hopeless;
}

bool
life_never_ran(const struct life *life)
{
	return !life->ran;
}

/* Tell the one who asked for a new worker, if any. */
static void
life_tell_asker(struct life *life, int rc, const char *text)
{
	life_done_cb done = life->done;

	life->done = NULL;
	if (done != NULL)
		done(rc, text, life->done_arg);
}

void
life_forget_asker(struct life *life, void *arg)
{
	if (life->done != NULL && life->done_arg == arg)
		life->done = NULL;
}

/* --- killing --------------------------------------------------------------- */

static void
life_kill(struct life *life, enum kill_why why, const char *text)
{
	/* down with a pid: it has been waited for, and its last words are being heard */
	if (life->pid == 0 || life->state == LIFE_DYING || life->state == LIFE_DOWN)
		return;
	if (life->why == KILL_NONE)
		life->why = why;
	(void)snprintf(life->why_text, sizeof life->why_text, "%s", text);
	life->state = LIFE_DYING;
	/* one that hangs may still tell where: its handler notes that, then it dies */
	life->last_words = why == KILL_HANG;
	(void)kill(life->pid, life->last_words ? SIGABRT : SIGKILL);
	life_timer(life, life->last_words ? LIMIT_ABORT_US : LIMIT_KILL_US);
}

void
life_on_garbage(struct life *life, const char *what)
{
	/* among last words there is nobody left to kill */
	if (!life->open && life->state == LIFE_DOWN)
		return;
	log_errx("worker %ld: %s; killing it", (long)life->pid, what);
	life_kill(life, KILL_GARBAGE, what);
}

/* --- hang detection -------------------------------------------------------- */

/* loops: as they were before it got what it has. */
static void
life_watch(struct life *life, uint64_t loops)
{
	if (life->state != LIFE_RUNNING || life->hang.on)
		return;
	life->hang_loops = loops;
	life->hang_since = clock_boot_us();
	loop_timer_set(life->pod->loop, &life->hang, LIMIT_HANG_US);
}

static void
life_on_hang(void *arg)
{
	struct life *life = arg;
	bool late = clock_boot_us() - life->hang_since > LIMIT_HANG_US + US_PER_S;
	bool was_late = life->hang_late;
	uint64_t loops = blame_loops(life->pod->blame); /* before its work is looked at */

	life->hang_late = false;
	if (life->state != LIFE_RUNNING)
		return;
	if (channel_unread(life->ch) == 0 && blame_in_hand(life->pod->blame) == 0)
		return; /* idle: no timer */
	if (loops == life->hang_loops &&
	    !hold_was(&life->hold, life->pod->blame, life->pid)) {
		/* woken late: the machine slept, and the worker with us */
		if (!late || was_late) {
			log_errx("worker %ld hangs, killing it", (long)life->pid);
			life_kill(life, KILL_HANG, "its loop stood still for 5 s");
			return;
		}
		life->hang_late = true;
	}
	life_watch(life, loops);
}

/* --- talking --------------------------------------------------------------- */

void
life_send(struct life *life, const struct msg_head *head, const void *payload,
    const int *fds, size_t n_fds)
{
	uint64_t loops = blame_loops(life->pod->blame);
	int rc;

	if (!life->open || life->state == LIFE_DYING)
		return;
	rc = channel_send(life->ch, head, payload, fds, n_fds);
	if (rc == 0 && channel_queued(life->ch) > LIMIT_WORKER_QUEUE)
		rc = -ENOBUFS;
	if (rc < 0 && rc != -EPIPE) { /* -EPIPE: its death is on the way to us */
		log_errx("message %s for the worker: %s; killing it",
		    msg_name(head->type), strerror(-rc));
		life_kill(life, KILL_MEMORY, "no room to tell it something");
	}
	life_watch(life, loops);
}

static void
life_on_packet(struct packet *packet, void *arg)
{
	struct life *life = arg;

	handle_packet(life->pod, packet);
}

static void
life_on_end(int rc, void *arg)
{
	struct life *life = arg;

	if (rc == -ENOMEM || rc == -EMFILE) /* ours, not its fault: it does it again */
		life_kill(life, KILL_MEMORY, "no room for what it said");
	else if (rc < 0)
		life_on_garbage(life, "sent a broken packet");
	else if (life->state != LIFE_LEAVING)
		life_kill(life, KILL_NONE, "");
}

const struct channel_ops life_channel_ops = {life_on_packet, life_on_end};

void
life_on_hello(struct life *life, const struct msg_hello *hello)
{
	_Alignas(8) char buf[512];
	struct msg_welcome welcome = {
	    .gen = life->gen, .failed_boots = life->boots.loads};
	struct msg_head head;
	int box;

	if (life->state != LIFE_STARTING) {
		life_on_garbage(life, "says HELLO twice");
		return;
	}
	(void)snprintf(life->build, sizeof life->build, "%s", hello->build);
	if (hello->proto_min > IPC_PROTO_MAX || hello->proto_max < IPC_PROTO_MIN) {
		log_errx("worker build '%s' speaks protocol %u to %u, we %u to %u",
		    life->build, hello->proto_min, hello->proto_max, IPC_PROTO_MIN,
		    IPC_PROTO_MAX);
		life_kill(life, KILL_BOOT, "it speaks another protocol");
		return;
	}
	fd_close(&life->fail_fd);
	welcome.proto =
	    hello->proto_max < IPC_PROTO_MAX ? hello->proto_max : IPC_PROTO_MAX;
	welcome.mode = life->trying		    ? BOOT_UPGRADE
	    : life->boots.loads >= LIMIT_BOOTS_SAFE ? BOOT_SAFE
						    : BOOT_NORMAL;
	welcome.suspect = life->suspect;
	memcpy(welcome.inst, life->pod->inst, sizeof welcome.inst);
	welcome.dir_alias = life->pod->dir_alias;
	(void)msg_encode_welcome(&head, buf, sizeof buf, &welcome);
	box = blame_box_fd(life->pod->blame);
	life->state = LIFE_LOADING;
	life->open = true;
	life_send(life, &head, buf, &box, 1);
	handle_snapshot(life->pod);
}

void
life_on_ready(struct life *life)
{
	struct msg_head head = {.type = MSG_GO};
	char text[160];

	if (life->state != LIFE_LOADING)
		return;
	loop_timer_stop(life->pod->loop, &life->timer);
	life->state = LIFE_RUNNING;
	life->ran = true;
	life->t_go = clock_boot_us();
	life->boots = (struct boots){0};
	if (life->trying) {
		fd_close(&life->exe_fd);
		life->exe_fd = steal_fd(&life->candidate_fd);
		life->trying = false;
	}
	log_info("worker %ld, build '%s', generation %u, is ready", (long)life->pid,
	    life->build, life->gen);
	life_send(life, &head, NULL, NULL, 0);
	requests_deliver(life->pod->requests);
	(void)snprintf(
	    text, sizeof text, "worker %ld, build %s", (long)life->pid, life->build);
	life_tell_asker(life, 0, text);
	pod_changed(life->pod);
}

/* --- death ----------------------------------------------------------------- */

/*
 * What is left of a worker goes; its last words are heard first. Returns
 * whether it died by its own doing.
 */
static bool
life_bury(struct life *life, int status)
{
	struct worker_death death = {.gen = life->gen,
	    .pid = life->pid,
	    .status = status,
	    .why = life->why,
	    .expected = life->state == LIFE_LEAVING && status == 0,
	    .build = life->build,
	    .exe_fd = life->trying ? life->candidate_fd : life->exe_fd};
	struct spawn_failure failure;
	struct channel *ch = life->ch;

	loop_timer_stop(life->pod->loop, &life->timer);
	loop_timer_stop(life->pod->loop, &life->hang);
	life->open = false;
	life->state = LIFE_DOWN;
	life->spawn_error = 0;
	if (spawn_failed(life->fail_fd, &failure)) {
		life->spawn_error = failure.error;
		(void)snprintf(life->why_text, sizeof life->why_text,
		    "%s of the worker: %s", failure.what, strerror(failure.error));
	}
	fd_close(&life->fail_fd);
	channel_drain(ch);
	channel_free(ch);
	life->ch = NULL;
	life->pid = 0;
	death.text = life->why_text;
	return blame_death(life->pod->blame, &death);
}

static void
life_gone(struct life *life, int status)
{
	bool left = life->state == LIFE_LEAVING ||
	    (life->state == LIFE_DYING && life->why == KILL_LEAVE);
	bool was_ready = life->t_go != 0;
	bool had_handler = blame_answers(life->pod->blame);
	bool own = life_bury(life, status);

	life->suspect = own ? blame_in_hand(life->pod->blame) : 0;
	life->robbed = was_ready && !own;
	if (life->ending) {
		life->state = LIFE_ENDED;
		life->end_cb(life->end_arg);
		return;
	}
	if (left && !life->trying) {
		life_start(life);
		return;
	}
	if (!was_ready && life->trying) {
		log_errx(
		    "the new build '%s' did not come up (%s), the old one comes back",
		    life->build, life->why_text);
		fd_close(&life->candidate_fd);
		life->trying = false;
		life_tell_asker(life, -ENOEXEC,
		    life->why_text[0] != '\0' ? life->why_text
					      : "the new build died before it was ready");
		life_start(life);
		return;
	}
	/* it opens the store after its handler is in place; who killed it is not known before */
	if (!was_ready)
		life_boot_failed(life,
		    &(struct boot_end){
			.status = status, .own = own, .loads = had_handler});
	if (was_ready && clock_boot_us() - life->t_go > LIMIT_QUIET_US)
		life->attempts = 0;
	life_next(life, true);
}

void
life_on_death(const struct death *death, void *arg)
{
	life_gone(arg, death->status);
}

/* --- starting -------------------------------------------------------------- */

static void
life_start(struct life *life)
{
	int rc;

	life->gen++;
	life->why = KILL_NONE;
	life->why_text[0] = '\0';
	life->build[0] = '\0';
	life->t_go = 0;
	life->hold = (struct hold){0};
	life->stuck = 0;
	rc = life_try_start(life);
	if (rc < 0) {
		log_errx("cannot start the worker: %s %s", strerror(-rc), life->why_text);
		if (!life_is_shortage(rc))
			life_boot_failed(life, &(struct boot_end){.status = -1});
		if (life->trying)
			fd_close(&life->candidate_fd);
		life->trying = false;
		life_tell_asker(life, rc, strerror(-rc));
		life_next(life, true);
		return;
	}
	life->state = LIFE_STARTING;
	life_boot_watch(life);
}

static void
life_next(struct life *life, bool crashed)
{
	struct backoff backoff = {.stuck = life->stuck,
	    .killed = life->robbed,
	    .hopeless = life_is_hopeless(life),
	    .urgent = requests_urgent(life->pod->requests)};
	uint64_t us;

	if (crashed)
		life->attempts++;
	life->state = LIFE_DOWN;
	if (backoff.hopeless)
		requests_refuse_all(life->pod->requests, STATUS_UNAVAILABLE,
		    "the shim's worker does not start");
	if (life->candidate_fd == -1) /* else it is tried now, and that decides */
		life_tell_asker(life, -EIO, "the worker died before it was ready");
	backoff.deaths = life->attempts;
	us = backoff_us(&backoff);
	if (us > 0)
		log_warnx("next worker in %llu ms", (unsigned long long)(us / US_PER_MS));
	life_timer(life, us);
	pod_changed(life->pod);
}

void
life_hurry(struct life *life)
{
	if (life->state == LIFE_DOWN && !life_is_hopeless(life) &&
	    life->stuck < LIMIT_LEFT_FEW &&
	    life->t_timer > clock_boot_us() + LIMIT_BACKOFF_BUSY_US)
		life_timer(life, LIMIT_BACKOFF_BUSY_US);
}

void
life_let_go(struct life *life)
{
	if (life->state != LIFE_DOWN || life->stuck < LIMIT_LEFT_FEW)
		return;
	life->stuck = 0;
	life_timer(life, LIMIT_BACKOFF_FIRST_US);
}

static void
life_on_timer(void *arg)
{
	struct life *life = arg;

	switch (life->state) {
	case LIFE_DOWN: life_start(life); break;
	case LIFE_STARTING:
	case LIFE_LOADING:
		if (life_boot_goes_on(life))
			break;
		log_errx("worker %ld does not come up, killing it", (long)life->pid);
		life_kill(life, life_boot_is_stuck(life) ? KILL_STUCK : KILL_BOOT,
		    "not ready in time");
		break;
	case LIFE_LEAVING:
		log_warnx("worker %ld does not leave, killing it", (long)life->pid);
		life_kill(life, KILL_LEAVE, "asked to leave, it did not");
		break;
	case LIFE_DYING:
		if (life->last_words) {
			life->last_words = false;
			(void)kill(life->pid, SIGKILL);
			life_timer(life, LIMIT_KILL_US);
			break;
		}
		log_errx("worker %ld does not die; going on without it", (long)life->pid);
		if (life->why == KILL_BOOT) /* then it was in the kernel before, too */
			life->why = KILL_STUCK;
		life->stuck = life_leave_behind(life);
		life_gone(life, SIGKILL);
		break;
	case LIFE_RUNNING:
	case LIFE_ENDED: break;
	}
}

/* --- from outside ---------------------------------------------------------- */

static void
life_quiesce(struct life *life, enum quiesce_why why)
{
	struct msg_head head = {.type = MSG_QUIESCE, .a = (uint64_t)why};

	if (life->pid == 0 || life->state == LIFE_DYING || life->state == LIFE_LEAVING)
		return;
	if (!life->open) { /* it is not yet listening */
		life_kill(life, KILL_LEAVE, "replaced while it started");
		return;
	}
	life_send(life, &head, NULL, NULL, 0);
	if (life->state != LIFE_DYING) {
		life->state = LIFE_LEAVING;
		life_timer(life, LIMIT_LEAVE_US);
	}
}

int
life_replace(struct life *life, int exe_fd, life_done_cb done, void *arg, struct err *err)
{
	if (life->done != NULL || life->trying || life->ending ||
	    life->state == LIFE_DYING)
		return err_setx(err, EBUSY, "the worker is being replaced already");
	life->done = done;
	life->done_arg = arg;
	if (exe_fd != -1) {
		fd_close(&life->candidate_fd);
		life->candidate_fd = exe_fd;
	}
	life->attempts = 0;
	life->boots = (struct boots){0};
	if (life->pid == 0)
		life_timer(life, 0);
	else
		life_quiesce(life, exe_fd != -1 ? QUIESCE_UPGRADE : QUIESCE_RESTART);
	return 0;
}

void
life_end(struct life *life, void (*cb)(void *arg), void *arg)
{
	life->ending = true;
	life->end_cb = cb;
	life->end_arg = arg;
	if (life->pid == 0) {
		loop_timer_stop(life->pod->loop, &life->timer);
		life->state = LIFE_ENDED;
		cb(arg);
		return;
	}
	life_quiesce(life, QUIESCE_END);
}

void
life_status(struct life *life, struct life_status *out)
{
	bool quiet = life->t_go != 0 && clock_boot_us() - life->t_go > LIMIT_QUIET_US;

	*out = (struct life_status){.state = state_names[life->state],
	    .pid = life->state == LIFE_DOWN ? 0 : life->pid,
	    .gen = life->gen,
	    .restarts = life->gen > 0 ? life->gen - 1 : 0,
	    .failed_boots = life->boots.failed,
	    .deaths = quiet ? 0 : life->attempts,
	    .left_behind = life_left(life),
	    .build = life->build,
	    .unread = life->ch != NULL ? channel_unread(life->ch) : 0};
	hold_text(life->pod->blame, life->pid, out->held, sizeof out->held);
}

void
life_begin(struct life *life)
{
	life_start(life);
}

struct life *
life_new(struct pod *pod)
{
	struct life *life = calloc(1, sizeof *life);

	if (life == NULL)
		return NULL;
	life->pod = pod;
	life->exe_fd = life->candidate_fd = life->fail_fd = -1;
	loop_timer_init(&life->timer, life_on_timer, life);
	loop_timer_init(&life->hang, life_on_hang, life);
	return life;
}

void
life_free(struct life *life)
{
	if (life == NULL)
		return;
	reaper_forget(life->pod->reaper, &life->reap);
	life_left_fini(life);
	channel_free(life->ch);
	loop_timer_stop(life->pod->loop, &life->timer);
	loop_timer_stop(life->pod->loop, &life->hang);
	fd_close(&life->exe_fd);
	fd_close(&life->candidate_fd);
	fd_close(&life->fail_fd);
	free(life);
}
