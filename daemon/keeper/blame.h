/*
 * The black box of the worker that runs, and the inquest on one that died: was
 * it its own doing, which request was in hand, what is left for people to read.
 */
#ifndef PODSHIM_KEEPER_BLAME_H
#define PODSHIM_KEEPER_BLAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The worker's exit status: it cannot work with this keeper or file. */
#define EXIT_REFUSED 78

struct blame;
struct pod;

/* Why we killed it; KILL_NONE: we did not. */
enum kill_why {
	KILL_NONE,
	KILL_HANG,
	KILL_GARBAGE,
	KILL_BOOT,
	KILL_STUCK, /* not ready in time, as KILL_BOOT, but the machine was to blame */
	KILL_MEMORY,
	KILL_LEAVE
};

struct worker_death {
	uint32_t gen;
	pid_t pid;
	int status; /* as of wait4 */
	enum kill_why why;
	bool expected; /* we had asked it to leave, and it left with 0 */
	const char *build;
	int exe_fd;	  /* of that build; -1: none */
	const char *text; /* more about it, or "" */
};

struct blame *blame_new(struct pod *pod);
void blame_free(struct blame *bl);

/* A new, empty black box for the next worker. 0 or -errno. */
int blame_open(struct blame *bl);
/* To pass to it; borrowed. */
int blame_box_fd(const struct blame *bl);
uint64_t blame_loops(const struct blame *bl);
uint64_t blame_in_hand(const struct blame *bl);
/* Has the kernel, since the worker was started, killed somebody of our cgroup for want of memory? */
bool blame_is_oom(const struct blame *bl);
/* Where it waits for a debugger; "" while it does not. How often it has done so. */
void blame_halt(const struct blame *bl, char *out, size_t cap);
uint32_t blame_halts(const struct blame *bl);
/*
 * After its death, and after its last words were heard: blame and record.
 * Returns whether it was the worker's own doing.
 */
bool blame_death(struct blame *bl, const struct worker_death *death);
/* The newest trace entries, oldest first. */
void blame_each_trace(
    const struct blame *bl, void (*cb)(const char *line, void *arg), void *arg);

/* Does the worker answer SIGUSR1 with the addresses of where it is? */
bool blame_answers(const struct blame *bl);
/* Those of its last answer, or of where it waits for a debugger: lines "frame: ...". */
void blame_write_frames(const struct blame *bl, int fd);

/*
 * Into a record: which file a process runs, by a link in /proc, for addr2line;
 * what has its name later may be another: "<key>: path" and "<key>_id: dev:inode".
 */
void record_exe(int fd, const char *key, const char *link);
/* In the pod's directory, keep the newest LIMIT_RECORDS of the files "<prefix>N.txt": the
 * largest N, for two may have one time. */
void records_prune(int dir_fd, const char *prefix);

#endif
