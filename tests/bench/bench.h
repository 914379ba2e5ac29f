/*
 * The benchmark driver: one program that drives any shim binary through raw
 * ttrpc, alternating between the peers, and writes samples.
 *
 * A failure of a peer ends the driver: a figure that was not measured must
 * not look like one that was. So most functions here return nothing and die().
 */
#ifndef PODSHIM_TESTS_BENCH_H
#define PODSHIM_TESTS_BENCH_H

#include "tests/lib/task.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum peer {
	PODSHIM,
	RUNC_V2, /* Debian's containerd-shim-runc-v2 */
	CONMON,
	BARE, /* the runtime's own commands, with no shim */
	PEERS
};

/* The two that are compared in everything. */
#define SHIMS 2

struct bench {
	const char *dir;     /* the test's directory, see tests/lib/marks.sh */
	const char *ns;	     /* containerd namespace, and the parent of all cgroups */
	const char *address; /* containerd's socket */
	const char *publish; /* containerd's executable */
	const char *prefix;  /* podshim's installed tree */
	const char *image;
	bool quick;
	int shims;    /* how many are measured: SHIMS, or podshim alone */
	double scale; /* of the number of rounds */
};

extern struct bench bench;

void die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* full, or in the short form quick; at least 1 */
int rounds(int full, int quick);
/* Which peer goes first changes from round to round. */
enum peer turn(int round, int i);

const char *peer_name(enum peer p);

/* --- samples (report.c reads them) ----------------------------------------- */

void sample(const char *key, enum peer p, double value);
double median_of(double *v, size_t n);
double percentile_of(double *v, size_t n, double p);
int report_main(int argc, char **argv);

/* --- time, processes, cgroups (proc.c) ------------------------------------- */

/* Microseconds since some start; the clock stands still in spawn_in() until exec. */
double now_us(void);
void pause_ms(int ms);
/*
 * Run argv in the peer's cgroup (PEERS: in none), in dir (NULL: here), with out as its standard
 * output and error (-1: /dev/null). Returns the pid.
 */
pid_t spawn_in(enum peer p, const char *dir, const char *const *argv, int out);
int wait_pid(pid_t pid);
/* Spawn and wait; dies unless it exits with 0. */
void run_in(enum peer p, const char *dir, const char *const *argv);
/* Reap the shims that ended; they fall to this process. */
void reap_any(void);

void cg_make(enum peer p);
/* CPU time in µs of all that ever ran in the peer's cgroup. */
double cg_cpu_us(enum peer p);
size_t cg_pids(enum peer p, pid_t *pids, size_t max);
/* Wait until no process of the peer is left. */
void cg_wait_empty(enum peer p);
/*
 * Wait until the peer's children have ended (60 s at most) and it does nothing (3 s from
 * then on: a garbage collector never rests).
 */
void cg_settle(enum peer p);

/* CPU time in us of its living processes alone; name: of those of that name. */
double own_cpu_us(enum peer p, const char *name);

#define FOOTPRINT_SEEN 64

struct footprint {
	double private_dirty_kb, pss_kb;
	double kernel_kb; /* kernel stacks and page tables */
	double files_kb;  /* the peer's files on a tmpfs */
	double switches;  /* times that a thread was given a CPU and left it */
	int processes;
	struct seen {
		pid_t pid;
		double switches;
		char comm[16];
	} seen[FOOTPRINT_SEEN]; /* so many of them, at most */
};

void footprint(enum peer p, struct footprint *f);
/* A line on standard error for each process that was given a CPU in between. */
void footprint_tell_woken(const struct footprint *before, const struct footprint *after);

/* --- shims (shim.c) -------------------------------------------------------- */

struct con {
	enum peer peer;
	const char *runtime; /* "runc", "crun"; NULL: the shim's default */
	char id[64], group[64];
	char *bundle, *address;
	struct ttrpc *t;
};

/* extra for bundles: process.terminal */
#define BUNDLE_TTY 1

/* A fresh id and its bundle. group NULL: a pod of its own. */
void con_make(
    struct con *c, enum peer p, const char *group, int flags, const char *const *argv);
/* The shim's `start`, then a connection. Returns its wall time. */
double con_start(struct con *c);
/* The `delete` action; returns its wall time. */
double con_delete_action(struct con *c);
/* Create; io may be NULL. */
void con_create(struct con *c, const struct task_stdio *io);
void con_run(struct con *c, const struct task_stdio *io);
/* Kill (if it runs), Delete, Shutdown, delete action, the bundle. */
void con_end(struct con *c);
/* After a clean Delete: Shutdown, connection, delete action (its time). */
double con_finish(struct con *c);
/* Make, start, create, start: a container that sleeps. */
void con_sleeper(struct con *c, enum peer p, const char *group);
/* 0, or the end of the driver with what the peer said. */
void must(int code, const char *what, const struct con *c);

/*
 * podshim's configuration for pods started from now on: the lines of its file; NULL:
 * its defaults, whatever /etc says.
 */
void use_config(const char *text);

/* --- bare runtime ----------------------------------------------------------- */

void bare_create(struct con *c);
void bare_start(struct con *c);
void bare_delete(struct con *c);
pid_t bare_pid(const struct con *c);
/* `exec` of the process in file: until it has ended. */
void bare_exec(struct con *c, const char *process_file);

/* One Exec .. Delete of `true`, number n; its wall time. */
double exec_once(struct con *c, int n);

/* --- the figures ------------------------------------------------------------ */

void fig_life(void);
void fig_join(void);
void fig_exec(void);
void fig_ctr(void);
void fig_state(void);
void fig_stats(void);
void fig_io(void);
void fig_memory(void);
void fig_pods(void);
void fig_growth(void);
void fig_idle(void);
void fig_events(void);
void fig_conmon(void);

#endif
