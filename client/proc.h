/*
 * Processes as the kernel tells of them, whoever else is dead: /proc.
 */
#ifndef PODSHIM_CLIENT_PROC_H
#define PODSHIM_CLIENT_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct pod;
struct process_info;

struct proc {
	pid_t pid;
	pid_t ppid;
	char state; /* R, S, D, Z, T, t, I, X */
	char comm[64];
	unsigned threads;
	uint64_t start_ticks; /* since boot */
	int64_t cpu_ns;	      /* spent, user and system, without children */
	int64_t rss;	      /* bytes */
};

struct procs {
	struct proc *v; /* by pid */
	size_t n;
};

/* One process. false: it is gone, or cannot be read. */
bool proc_read(pid_t pid, struct proc *out);
/* Its memory in bytes, what it shares counted in proportion; -1: nobody may know. */
int64_t proc_pss(pid_t pid);
/* All of this machine. */
void procs_read(struct procs *out);
void procs_fini(struct procs *procs);
const struct proc *procs_find(const struct procs *procs, pid_t pid);
/* Is it what was recorded, and not another one that has its pid by now? */
bool proc_is_recorded(const struct proc *p, const struct process_info *info);
/* The process that was recorded; NULL: it is gone. */
const struct proc *procs_find_recorded(
    const struct procs *procs, const struct process_info *info);

/* Both are in the same namespace of that kind ("pid", "user"), as far as one may know. */
bool proc_shares_ns(pid_t a, pid_t b, const char *kind);
/*
 * Root's, among our own pids. Whoever else may bear any name and arguments; and reading
 * these may take for ever, for they lie in memory of its own.
 */
bool proc_is_roots(pid_t pid);
/*
 * The pod's keeper: who it says it is, or if it does not answer, by its command line.
 * NULL: none.
 */
const struct proc *procs_find_keeper(const struct procs *procs, const struct pod *pod);

/* Where it sleeps in the kernel, malloc'ed; NULL if it runs or nobody may know. */
char *proc_wchan(pid_t pid);
/*
 * Look at other processes where that may take for ever, in a child of ours: look writes
 * what it finds to out, as it finds it. Returns the length of all that, which may be 0; or of
 * what there was before nothing came for ms milliseconds; -ETIMEDOUT: there was nothing
 * before; -EBUSY: two others have hung beyond SIGKILL, and it was not tried.
 */
typedef void (*proc_look)(int out, const void *arg);
ssize_t proc_in_child(proc_look look, const void *arg, int ms, char *buf, size_t cap);

/* Its arguments with blanks between, malloc'ed; NULL: none, as of a zombie, or it hangs. */
char *proc_cmdline(pid_t pid);
/* The argument behind `flag`, malloc'ed; NULL: there is none. Of proc_is_roots() alone. */
char *proc_argument(pid_t pid, const char *flag);
/* A line "Key:\tvalue" of its status, malloc'ed; NULL. */
char *proc_status(pid_t pid, const char *key);
/* How long it lives, in nanoseconds. */
int64_t proc_age(const struct proc *p);

#endif
