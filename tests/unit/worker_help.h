/*
 * For tests of the worker's core: a keeper, stdio and an outbox that are plain
 * functions in this process, and a worker that can be made to die at any of the
 * moments at which it tells the keeper something or commits. What a
 * real keeper would remember, this one does; everything else of the dead
 * worker is forgotten.
 */
#ifndef PODSHIM_TESTS_WORKER_HELP_H
#define PODSHIM_TESTS_WORKER_HELP_H

#include <protobuf-c/protobuf-c.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/msg.h"
#include "worker/pod.h"

#define FK_MAX		256
#define FK_REQUESTS_MAX 8448

struct fk_step {
	struct msg_step s;
	char tag[MSG_TAG_MAX];
	char verb[16]; /* "create", "mount", "unmount", "signal", … */
	bool acked;
	bool alive; /* its adopted process */
	bool bound; /* it adopted one */
	int signo;
};

struct fk_request {
	uint64_t n;
	uint8_t *frame;
	size_t len;
	unsigned flags; /* as it will be delivered next */
	boot_us_t t_recv;
	bool delivered, answered, nobody;
	int n_answers;
	int code;
	char text[256];
	uint8_t *payload;
	size_t payload_len;
};

struct fk_exit {
	uint64_t key;
	int wait_status;
	bool delivered, acked;
	int n_acks;
};

/* The keeper; one per test. */
struct fk {
	char dir[64];
	char bundle[96];
	uint8_t inst[16];
	unsigned gen;
	struct fk_step steps[FK_MAX];
	size_t n_steps;
	struct fk_request requests[FK_REQUESTS_MAX];
	size_t n_requests;
	struct fk_exit exits[FK_MAX];
	size_t n_exits;
	struct fk_name {
		char text[MSG_NAME_MAX];
		bool untold; /* of the keeper's own accord, in this worker's life */
	} names[FK_MAX];
	size_t n_names;
	int next_pid;
	uint64_t child_start;
	const char *cgroup; /* of whatever pid; NULL: there is no such process */
	uint64_t idle_n;    /* of the last IDLE; UINT64_MAX none */
	unsigned n_unpins, n_passes;
	/* what runtime commands do */
	const char *hold;  /* commands with this verb do not end by themselves */
	const char *fail;  /* commands with this verb fail */
	unsigned no_room;  /* so many commands cannot be forked */
	bool dies_at_once; /* processes that are made exit with 9 at once */
	bool survives;	   /* SIGKILL takes its time: fk_exit() or fk_end() ends it */
	bool frozen;	   /* containers, by their cgroup */
	bool terminal;	   /* Create and Exec ask for one */
	bool unready;	   /* log programs take their time: fk_logger_ready() */
	bool unkept;	   /* the keeper cannot take a process's stdio */
	bool full;	   /* the disk takes no commit */
	bool hold_answers; /* the channel is full: answers die with the worker */
	/* dying */
	const char *poison; /* so many workers die of asking for this, or "commit" … */
	unsigned n_poison;
	bool poison_outside;   /* … killed by somebody else in that moment */
	uint64_t cancel_early; /* its connection closes while the next worker comes up */
	uint64_t in_hand, suspect;
	long ticks;		   /* moments so far in this test */
	long die_at, die_again_at; /* 0 never */
	jmp_buf env;
	bool in_run;
	unsigned deaths;
	/* the worker */
	struct pod pod;
	bool up;
};
extern struct fk fk;

/* cmocka fixtures */
int fk_setup(void **state);
int fk_teardown(void **state);

/* In this test init shares its pid namespace. */
void fk_shared_pidns(void);

/* Start a worker on what the keeper knows, up to GO; no-op if one is up. */
void fk_up(void);
/* It is gone, without a word. */
void fk_die(void);
/* One that has opened the store, and gets no further. */
void fk_open_and_die(void);
/* There is none, and it is nobody's doing. */
void fk_lose_store(void);
/* Let things happen until nothing does any more; a worker that dies is replaced. */
void fk_run(void);

/* Send a request; its number. method "Create", or "podshim.v1.Admin/Purge". */
uint64_t fk_send(const char *method, const ProtobufCMessage *msg);
uint64_t fk_send_late(const char *method, const ProtobufCMessage *msg, int64_t timeout_ns,
    boot_us_t t_recv);
/*
 * One whose caller is told DeadlineExceeded while its command `held` is under way;
 * repeated with twice the time for as long as it comes too late to be begun, too.
 */
uint64_t fk_send_told(const char *method, const ProtobufCMessage *msg, const char *held,
    int64_t timeout_ns);
struct fk_request *fk_request(uint64_t n);
/* Answered by the keeper in the worker's stead; to be undone. */
void fk_condemn(uint64_t n);
/* Its connection closes. */
void fk_cancel(uint64_t n);
/* fk_run(), then: was it answered with this code? */
void fk_expect(uint64_t n, int code);

/* Shortcuts: send the request of that method for container id (and exec). */
uint64_t fk_create(const char *id, bool mounts);
uint64_t fk_simple(const char *method, const char *id, const char *exec_id);
uint64_t fk_kill(const char *id, const char *exec_id, uint32_t signo, bool all);
uint64_t fk_exec(const char *id, const char *exec_id);

/* The n-th (from 0) command with that verb; NULL. */
struct fk_step *fk_command(const char *verb, unsigned nth);
unsigned fk_count(const char *verb);
/* How many descriptors in the keeper's store have a name that begins so. */
unsigned fk_kept(const char *prefix);
/* The delete action has acted alone, and says so. */
void fk_mark(const char *id);
bool fk_has_mark(const char *id);
/* A held command ends. */
void fk_end(struct fk_step *st, int wait_status);
/* Of the worker's store; value NULL: there is no such key. */
bool fk_meta_is(const char *key, const char *value);
/* The process that this step made exits. */
void fk_exit(struct fk_step *st, int wait_status);
/* Clients are still reading when a process exits; fk_have_read() ends that. */
extern bool fk_reading;
void fk_have_read(void);
/* "/tasks/create c1|/tasks/start c1|/tasks/exit c1/e1|…" of all events ever. */
const char *fk_events(void);
/* The log program that is waited for is ready. */
void fk_logger_ready(void);
/* Fails the test unless nothing is left: rows, steps, exits, names, files. */
void fk_expect_clean(void);

#endif
