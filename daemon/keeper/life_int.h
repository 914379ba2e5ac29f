/*
 * What life.c (the worker's states), life_boot.c (its start) and life_left.c (those that do not
 * die) share. Nobody else includes this.
 */
#ifndef PODSHIM_KEEPER_LIFE_INT_H
#define PODSHIM_KEEPER_LIFE_INT_H

#include "base/clock.h"
#include "base/loop.h"
#include "ipc/channel.h"
#include "keeper/blame.h"
#include "keeper/hold.h"
#include "keeper/life.h"
#include "keeper/limits.h"
#include "keeper/pod.h"
#include "keeper/reaper.h"

enum life_state {
	LIFE_DOWN,
	LIFE_STARTING,
	LIFE_LOADING,
	LIFE_RUNNING,
	LIFE_LEAVING,
	LIFE_DYING,
	LIFE_ENDED,
};

/* Boots that failed since the last worker that came up. */
struct boots {
	uint32_t failed;
	uint32_t refused; /* those of them where the worker said no */
	uint32_t loads;	  /* those of them that may have died of the store */
	boot_us_t since;  /* the first */
	bool hopeless;	  /* enough of them, over some time */
};

struct life {
	struct pod *pod;
	enum life_state state;
	int exe_fd;	  /* of the build that is current; -1: to be opened */
	int candidate_fd; /* the one that shall become it; -1: none */
	bool trying;	  /* the worker runs the candidate */
	pid_t pid;
	struct reap_node reap;
	struct reap_node left[LIMIT_LEFT]; /* earlier ones */
	uint32_t stuck; /* the last one is among them, and they are so many */
	int fail_fd;
	struct channel *ch;
	bool open; /* it has had its snapshot: news may be sent */
	char build[96];
	enum kill_why why;
	char why_text[160];
	bool last_words; /* dying of SIGABRT; SIGKILL comes next */
	/* counts */
	uint32_t gen;
	struct boots boots;
	uint32_t attempts; /* deaths in a row, for the back-off */
	uint64_t suspect;  /* what the last one had in hand if it killed itself */
	bool robbed;	   /* the last one was ready, and was killed from outside */
	bool ran;	   /* ever */
	int spawn_error;   /* errno of what kept the last one from its exec, or 0 */
	boot_us_t t_go;
	boot_us_t t_start;   /* of one that is not ready */
	uint64_t boot_loops; /* its loops when we last looked */
	uint32_t boot_still; /* looks since they moved */
	/* time */
	struct loop_timer timer; /* what it means depends on the state */
	boot_us_t t_timer;	 /* when it fires */
	struct loop_timer hang;
	uint64_t hang_loops;
	boot_us_t hang_since;
	bool hang_late;
	struct hold hold;
	/* who asked for a new one */
	life_done_cb done;
	void *done_arg;
	/* who waits for the end */
	bool ending;
	void (*end_cb)(void *arg);
	void *end_arg;
};

/* life.c: what a worker that was started calls. */
extern const struct channel_ops life_channel_ops;
void life_timer(struct life *life, uint64_t us);
void life_on_death(const struct death *death, void *arg);
/* life.c: an earlier worker has died after all, so the next one may fare better. */
void life_let_go(struct life *life);

/* A worker: the candidate, if there is one. 0, or -errno with nothing left over. */
int life_try_start(struct life *life);
/* -errno of what is not the build's fault, and over some time: no reason to give it up. */
bool life_is_shortage(int rc);
/* From its start until READY: look at it, now and then. */
void life_boot_watch(struct life *life);
/* The time for such a look: true if it may go on; false if it has had its time. */
bool life_boot_goes_on(struct life *life);
/* What keeps the worker from coming up is the machine: it is in the kernel. */
bool life_boot_is_stuck(const struct life *life);

/* A worker that was not ready ended so: does that count against it, and the store? */
struct boot_end {
	int status; /* as of wait4; -1: it could not be started */
	bool own;   /* by its own doing */
	bool loads; /* it may have opened the store */
};
void life_boot_failed(struct life *life, const struct boot_end *end);

/* Go on without the worker, which does not die. Returns how many such there are now. */
uint32_t life_leave_behind(struct life *life);
uint32_t life_left(const struct life *life);
void life_left_fini(struct life *life);

#endif
