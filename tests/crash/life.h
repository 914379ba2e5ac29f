/*
 * Containers and their processes: what containerd and its clients would do
 * with them, and what must be true afterwards.
 */
#ifndef PODSHIM_CRASH_LIFE_H
#define PODSHIM_CRASH_LIFE_H

#include <stdbool.h>
#include <stdint.h>

#include "co.h"
#include "rpc.h"
#include "tests/lib/pb.h"

struct event;
struct evlog;
struct pod;

/* What a process does (program.h), and how it ends. */
enum kind {
	KIND_EXIT,	/* writes, exits by itself */
	KIND_HANG,	/* writes, is killed */
	KIND_SIG,	/* counts signals, is terminated */
	KIND_CAT,	/* copies stdin until CloseIO */
	KIND_TTY,	/* copies its terminal */
	KIND_FAIL,	/* the runtime refuses it */
	KIND_UNSTARTED, /* is deleted before it was started */
	KIND_N,
	KIND_OOM /* loses a child for want of memory, is killed; only where asked for */
};

/* The reading end of a FIFO, comparing what comes with what must come. */
struct sink {
	const char *who;
	int fd;
	struct event *ev;
	unsigned lead; /* that many '!' first */
	bool letters;  /* then U and R, counted; else the stream */
	uint32_t seed;
	uint64_t len;
	uint64_t got;
	unsigned count_u, count_r;
	bool partial; /* its writer is killed: the stream may end early */
	bool eof, bad;
	struct co_cond changed;
};

struct ctr {
	struct pod *pod;
	char *id, *bundle;
	struct conn *conn;
	struct evlog *events;
	unsigned next_exec;
	unsigned n_paused, n_updated, n_kill_all; /* commands that must have run */
	unsigned n_checkpoints;
	const char *image; /* the checkpoint that it is made from; NULL */
	bool mounted;
};

struct proc {
	struct ctr *ctr;
	char who[96];
	char exec_id[48]; /* "" for init */
	enum kind kind;
	char prog[256];
	bool terminal;
	char *in, *out, *err; /* FIFO paths; NULL: none */
	struct sink sink_out, sink_err;
	uint64_t in_len;
	uint32_t in_seed;
	unsigned code; /* planned exit status */
	bool nocode;   /* no status can be known: purged */
	uint32_t pid;
	struct call *waits[3];
	int pidfd;
	struct event *died_ev;
	int64_t started_ns, killed_ns, died_ns; /* real time; 0 unknown */
	uint32_t status;			/* as the first Wait told */
	int64_t exited_at;
	bool started, ended;
};

/* io.c */
void sink_open(struct sink *s, const char *who, const char *path);
void sink_close(struct sink *s);
/* Wait until at least n bytes came, or letters U+R (n of them); false: they did not. */
bool sink_expect(struct sink *s, uint64_t n);
bool sink_expect_eof(struct sink *s);
/* Write len bytes of the stream to a FIFO and close it. */
void source_write(const char *who, const char *path, uint32_t seed, uint64_t len);

/* proc.c: one process from its registration to its Delete. */
void proc_plan(struct proc *p, struct ctr *ctr, const char *exec_id, enum kind kind);
void proc_fini(struct proc *p);
/* Start it, with Waits from before and after; false: it was to fail, or did. */
bool proc_start(struct proc *p);
void proc_check_paused(struct proc *p);
/* Use it and see it end. */
void proc_finish(struct proc *p);
/* Delete it, and compare everything that ever spoke of its end. */
void proc_delete(struct proc *p);
/* Somebody tells how it ended: as its Waits, which are answered by now, and as planned? */
void proc_check_end(struct proc *p, const char *says, uint32_t status, int64_t t);
void proc_check_waits(struct proc *p);
/* The whole life of an exec; arg is its container. */
void exec_life(void *arg);
/* An RPC about p: id and exec_id are set. */
struct call *proc_begin(struct proc *p, const char *method);
struct call *proc_begin_kill(struct proc *p, int sig, bool all);
/* Wait for it; a fault unless it ended with code. The call is freed. */
bool expect(struct call *call, int code, const char *who);
/* The same, and the answer's payload is handed to the caller: call_free() it. */
bool expect_keep(struct call *call, int code, const char *who);

/* life.c: one container from bundle to bundle's end; arg is its pod. */
void ctr_life(void *arg);
/* rare.c: lives that few containers lead; arg is the pod. */
void rare_lives(void *arg);
/* A pod from its first start to its end. */
void pod_life(void *arg);
struct ctr *ctr_new(struct pod *pod, const char *id);
void ctr_free(struct ctr *ctr);
void ctr_write_config(struct ctr *ctr, const struct proc *init);
bool ctr_start_shim(struct ctr *ctr);
bool ctr_create(struct ctr *ctr, struct proc *init);
void ctr_end(struct ctr *ctr, struct proc *init);
void ctr_check_calls(struct ctr *ctr, bool started);

#endif
