/*
 * One log program (contract.md 8.4): a child of the keeper that reads a
 * process's output on fds 3 and 4 and outlives workers. Its step's key is
 * internal; the tag begins with LOGGER_TAG, which no other spawn's does.
 */
#ifndef PODSHIM_WORKER_LOGGER_H
#define PODSHIM_WORKER_LOGGER_H

#include <stdbool.h>
#include <stdint.h>

struct err;
struct link;
struct logger;
struct loop;

#define LOGGER_TAG	 'L'
#define LOGGER_READY_NUM 5 /* where it writes that it is ready, ours also notes */
#define LOGGER_NOTE_MAX	 512
#define LOGGER_EXE_NUM	 6 /* own_exe: argv[0] is "/proc/self/fd/6" */

struct logger_ops {
	/*
	 * It is ready (error NULL), or will not be. At most once, not after
	 * on_end, never for one that was attached.
	 */
	void (*on_ready)(const char *error, void *arg);
	/* It has ended, whatever of. Once, from the loop. */
	void (*on_end)(void *arg);
};

enum logger_ready {
	LOGGER_READY_BYTE_OR_END, /* binary: */
	LOGGER_READY_BYTE,	  /* binary-v2: */
	LOGGER_READY_TEXT,	  /* ours: one byte 0, then notes; or why not */
};

struct logger_spec {
	char *const *argv;
	char *const *envp;
	const char *what; /* container and exec, for the tag and the log */
	int fds[2];	  /* become 3 and 4; -1: /dev/null. Borrowed. */
	bool own_exe;	  /* pass our executable */
	enum logger_ready ready;
};

/*
 * Spawn one. name_prefix: the descriptor on which it waits to hear of readiness is
 * put into the store as <name_prefix><key in hex>; that is how a next worker finds it.
 * What ours has to say once it is ready is logged, to its end, also after logger_stop().
 */
int logger_start(struct loop *loop, struct link *lk, const struct logger_spec *spec,
    const char *name_prefix, const struct logger_ops *ops, void *arg, struct logger **out,
    struct err *err);
/*
 * One that an earlier worker spawned; NULL if the keeper does not know it. name: of
 * that descriptor, to hear what it says from now on; NULL: not wanted.
 */
struct logger *logger_attach(struct loop *loop, struct link *lk, uint64_t key,
    const char *what, const char *name, const struct logger_ops *ops, void *arg);

uint64_t logger_key(const struct logger *lg);

/*
 * The owner goes: SIGTERM, SIGKILL 12 s later; it frees itself once the program
 * has ended. One that has ended is forgotten at once. NULL is allowed.
 */
void logger_stop(struct logger *lg);
/* This worker goes; the program stays. */
void logger_abandon(struct logger *lg);
/* Stop those that belong to nobody, after all have been attached. */
void logger_sweep(struct loop *loop, struct link *lk);

/*
 * The log program for file: URIs, `podshim-worker --log-file OUT [ERR]`: fd 3
 * goes to OUT, fd 4 to ERR ("-": not there), which are made if missing; with
 * --log-append they must exist. Its main().
 */
int log_file_main(int argc, char **argv);

#endif
