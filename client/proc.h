/*
 * Processes as the kernel tells of them, whoever else is dead: /proc.
 */
#ifndef PODSHIM_CLIENT_PROC_H
#define PODSHIM_CLIENT_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

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

/* The pod's keeper, by its command line: also one that does not answer. NULL: none. */
const struct proc *procs_find_keeper(const struct procs *procs, const char *pod_dir);

/* Where it sleeps in the kernel, malloc'ed; NULL if it runs or nobody may know. */
char *proc_wchan(pid_t pid);
/* Its arguments with blanks between, malloc'ed; NULL: none, as of a zombie. */
char *proc_cmdline(pid_t pid);
/* The argument behind `flag`, malloc'ed; NULL: there is none. */
char *proc_argument(pid_t pid, const char *flag);
/* A line "Key:\tvalue" of its status, malloc'ed; NULL. */
char *proc_status(pid_t pid, const char *key);
/* How long it lives, in nanoseconds. */
int64_t proc_age(const struct proc *p);

#endif
