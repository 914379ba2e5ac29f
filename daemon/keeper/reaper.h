/*
 * Reaping: everything that ends below us, at once, always, worker or not; an
 * unreaped exec would keep its container's init from ending. Whoever started a
 * child registers its pid; the exits of strangers are remembered only while
 * somebody may still learn that one of them was his.
 */
#ifndef PODSHIM_KEEPER_REAPER_H
#define PODSHIM_KEEPER_REAPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/clock.h"
#include "keeper/idmap.h"

struct loop;
struct reaper;

/* One end of a process, as waitid told it. */
struct death {
	pid_t pid;
	uint64_t start;	  /* ticks; known for strangers only, else 0 */
	int status;	  /* as of wait4 */
	boot_us_t t_boot; /* when we saw it */
	int64_t t_real_ns;
};

/* Embed one per child. */
struct reap_node {
	struct idnode by_pid;
	void (*cb)(const struct death *death, void *arg);
	void *arg;
	bool on;
};

/*
 * Blocks SIGCHLD, SIGTERM, SIGINT and SIGUSR1 for this process and reads them
 * from a descriptor. on_signal is told of all but the first.
 */
struct reaper *reaper_new(
    struct loop *loop, void (*on_signal)(int signo, void *arg), void *arg);
void reaper_free(struct reaper *rp);

/* cb runs once, from reaper_run(), after the child was reaped. Cannot fail. */
void reaper_watch(struct reaper *rp, struct reap_node *node, pid_t pid,
    void (*cb)(const struct death *death, void *arg), void *arg);
void reaper_forget(struct reaper *rp, struct reap_node *node);
/* Reap all that have ended. The loop does so by itself on SIGCHLD. */
void reaper_run(struct reaper *rp);

/* From begin to end (they nest) strangers' exits are kept. 0 or -ENOMEM. */
int reaper_remember_begin(struct reaper *rp);
void reaper_remember_end(struct reaper *rp);
/* The latest remembered exit of pid that started at or after start. */
bool reaper_recall(const struct reaper *rp, pid_t pid, uint64_t start, struct death *out);

/* What /proc/PID/stat says. */
struct proc_stat {
	char state;
	pid_t ppid;
	uint64_t start; /* field 22, ticks since boot */
};

/*
 * The beginning of a small file, with a NUL behind it: no memory, and a
 * descriptor even when there is none (spare.h). 0 or -errno.
 */
int small_read(int dir_fd, const char *path, char *buf, size_t cap);
/* The beginning of /proc/PID/<file>, with a NUL. 0 or -errno. */
int proc_read(pid_t pid, const char *file, char *buf, size_t cap);
/* 0 or -errno. Works on zombies, too. */
int proc_stat_read(pid_t pid, struct proc_stat *out);

#endif
