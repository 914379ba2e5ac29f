/*
 * The messages between keeper and worker, declared once (recovery.md 2.1 is
 * where each comes from). This file is bytes and structs: no event loop, no
 * allocation that outlives a call. Sending and receiving is channel.h.
 *
 * A packet is a 32-byte header and a payload of fields: {u16 field, u16 0,
 * u32 len, bytes, padding to 8}. Unknown fields are skipped, unknown types
 * too unless flagged MUST, so a keeper can talk to the next release's worker.
 * Numbers are in host order: both ends are on this machine.
 *
 * Request numbers `n` count up from 1 in a keeper's life. A step's key is
 * n<<8|step (step 1..255); work that belongs to no request has
 * 1<<63|gen<<32|counter. The key of a container process is the key of the
 * step that created it.
 */
#ifndef PODSHIM_IPC_MSG_H
#define PODSHIM_IPC_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"

struct err;

#define IPC_PROTO_MIN 1u
#define IPC_PROTO_MAX 1u

#define MSG_PACKET_MAX (60u * 1024u) /* header and payload; more rides in a memfd */
#define MSG_FDS_MAX    8u
#define MSG_TAG_MAX    512u
#define MSG_NAME_MAX   192u /* of a stored descriptor */

/* X(number, NAME, name, direction: who sends it) */
#define MSG_TABLE(X)                                                                     \
	X(1, HELLO, hello, WORKER)	/* proto range, build, schema range */           \
	X(2, WELCOME, welcome, KEEPER)	/* fd: black box */                              \
	X(3, STEP, step, KEEPER)	/* a step's state */                             \
	X(4, EXIT, exit, KEEPER)	/* an adopted process died */                    \
	X(5, FDNAME, fdname, KEEPER)	/* snapshot: a stored descriptor */              \
	X(6, PINNED, pinned, KEEPER)	/* a launcher expects a Create */                \
	X(7, REQUEST, request, KEEPER)	/* a ttrpc request */                            \
	X(8, SYNC, sync, KEEPER)	/* end of snapshot */                            \
	X(9, READY, ready, WORKER)	/* recovered; migration still open */            \
	X(10, GO, go, KEEPER)		/* commit it; new requests follow */             \
	X(11, ANSWER, answer, WORKER)	/* Response bytes for n */                       \
	X(12, CANCEL, cancel, KEEPER)	/* n's connection is gone */                     \
	X(13, SPAWN, spawn, WORKER)	/* fds: the child's */                           \
	X(14, SIGNAL, signal, WORKER)	/* once per key */                               \
	X(15, ACK, ack, WORKER)		/* exit or internal step committed */            \
	X(16, FD_PUT, fd_put, WORKER)	/* fd: store it under a name */                  \
	X(17, FD_GET, fd_get, WORKER)	/* wants a duplicate */                          \
	X(18, FD, fd, KEEPER)		/* fd: that duplicate, or errno */               \
	X(19, FD_DROP, fd_drop, WORKER) /* a name, or a prefix */                        \
	X(20, UNPIN, unpin, WORKER)	/* Create of id was answered */                  \
	X(21, IDLE, idle, WORKER)	/* nothing left; may end */                      \
	X(22, QUIESCE, quiesce, KEEPER) /* leave with 0 */                               \
	X(23, MARK, mark, WORKER)	/* text for STATUS */                            \
	X(24, REFUSED, refused, KEEPER) /* an unknown MUST message */                    \
	X(25, TELL, tell, KEEPER)	/* fd: write down what you know */               \
	X(26, TOLD, told, WORKER)	/* done */                                       \
	X(27, FRAMES, frames, WORKER)	/* by SIGUSR1: see the black box */              \
	X(28, LOG, log, WORKER)		/* the log is elsewhere now */                   \
	/* the admin socket: one question, one answer (admin.h) */                       \
	X(64, PIN, pin, ADMIN)                                                           \
	X(65, STATUS, status, ADMIN)                                                     \
	X(66, UPGRADE, upgrade, ADMIN) /* fd: the new worker's executable */             \
	X(67, RESTART, restart, ADMIN)                                                   \
	X(68, DUMP, dump, ADMIN)                                                         \
	X(69, REPLY, reply, KEEPER)                                                      \
	X(70, DETAIL, detail, ADMIN)                                                     \
	X(71, END, end, ADMIN)

enum msg_type {
#define X(num, NAME, name, from) MSG_##NAME = num,
	MSG_TABLE(X)
#undef X
};

/*
 * What each message carries. key, a, b are those of the header; what is not
 * named is 0. "codec": use msg_encode_x() and msg_decode_x() below.
 *
 * HELLO    codec
 * WELCOME  codec; 1 fd, the black box: BLACKBOX_SIZE bytes, may be mapped shared.
 *          a = what the last worker had in hand if its death was its own doing
 * STEP     codec. The keeper keeps a step until its request is answered; an
 *          internal one until ACK; one that is RUNNING when its request is
 *          answered turns internal; one that adopted a process until the
 *          process's EXIT is acknowledged. All kept steps are in the snapshot.
 * EXIT     codec. Sent when seen, and in each snapshot until ACK.
 * FDNAME   MF_NAME. Snapshot only.
 * PINNED   MF_NAME the container's id; a = until (boot_us_t)
 * REQUEST  codec; the payload is the frame's payload alone
 * SYNC     MF_NUM u64[5]: how many STEP, EXIT, FDNAME, PINNED, REQUEST preceded
 * READY    nothing      GO  nothing
 * ANSWER   a = n, b = enum answer_kind; the payload is the Response message
 *          alone. The keeper then forgets n and its ended steps. No n: ignored.
 * CANCEL   a = n: its connection is gone. n still wants its ANSWER (any).
 * SPAWN    codec; n_fds fds in the order of MF_FDS. STEP comes when the step has
 *          ended (at once if the key is known), not for its beginning: a
 *          RUNNING one is sent in a snapshot, if SPAWN repeats its key, and of
 *          one with SURVIVE once its exec has succeeded.
 *          With ADOPT and status 0 the STEP is DONE with child_pid and
 *          child_start, or FAILED if no process could be bound. The keeper
 *          removes pid_file beforehand and once it has read it.
 *          With CONSOLE and status 0, DONE means that tty/<key> is stored
 *          (key as %llx, lower case, no leading zeros).
 * SIGNAL   key; a = target's key, b = signo; MF_TAG optional. STEP comes at once:
 *          DONE, or FAILED with ESRCH: no such process, or it has exited. With an
 *          internal key, a = 0 and a tag it is a memo for the next worker (link_memo()).
 * ACK      key; a = enum ack_what. ACK_STEP: an ended internal step. ACK_EXIT: an
 *          EXIT that the worker was sent, and the step of that key.
 * FD_PUT   MF_NAME; 1 fd; a = enum fd_put_how. Replaces. Only a failure is answered
 *          (FD with key 1). An end of a FIFO is opened by the keeper: a worker
 *          that opened one and died before it could put it would have shown
 *          end of file, or a broken pipe, to the client at the other end.
 * FD_GET   MF_NAME; a = anything, comes back in FD
 * FD       MF_NAME; a = that of FD_GET; b = 0 with 1 fd, or a positive errno
 *          (ENOENT: no such name) without; key = 1: it is about an FD_PUT
 * FD_DROP  MF_NAME; b = 1: every name that begins so
 * UNPIN    MF_NAME the container's id
 * IDLE     a = highest n seen by this worker, 0: none. Ignored if anything is left or
 *          on its way; the worker says it again when it is idle anew.
 * QUIESCE  a = enum quiesce_why
 * MARK     MF_TEXT
 * REFUSED  a = the type that the keeper does not know, key = that message's
 * TELL     1 fd, a file in append mode: the worker writes lines for people.
 * TOLD     nothing
 * LOG      MF_TEXT its path: the bundle that it was in goes, the pod stays
 * FRAMES   a = what came with the signal if the keeper sent it, else 0. The
 *          addresses of where the worker was are in the black box by then. Sent by
 *          a signal handler, so it may come at any time, also before READY.
 *
 * On the admin socket:
 * PIN      MF_NAME the container's id
 * STATUS, RESTART, DUMP, DETAIL, END  nothing
 * UPGRADE  0 or 1 fds: the new worker's executable
 * REPLY    a = 0 or a positive errno; MF_TEXT
 */

/* "SPAWN" for MSG_SPAWN; "?" for a number we do not know. */
const char *msg_name(unsigned type);

#define MSG_F_MUST  0x0001u /* do not skip if unknown */
#define MSG_F_MEMFD 0x0002u /* the payload is in the (last) fd that rides along */

struct msg_head {
	uint16_t type;
	uint16_t flags;
	uint32_t len; /* of the payload */
	uint64_t key;
	uint64_t a;
	uint64_t b;
};

/* Payload fields. Numbers are never reused. */
enum msg_field {
	MF_TAG = 1,
	MF_ARG = 2, /* repeated */
	MF_ENV = 3, /* repeated; none: the keeper's own environment */
	MF_CWD = 4,
	MF_PIDFILE = 5,
	MF_FDS = 6, /* u32[]: target number of each descriptor, in order */
	MF_NAME = 7,
	MF_TEXT = 8,
	MF_BODY = 9,
	MF_INST = 10,
	MF_NUM = 11, /* u64[]: meaning by message */
	MF_BUILD = 12,
};

/* --- keys ----------------------------------------------------------------- */

#define KEY_INTERNAL (UINT64_C(1) << 63)

static inline uint64_t
key_of_step(uint64_t n, unsigned step)
{
	return n << 8 | step;
}

static inline bool
key_is_internal(uint64_t key)
{
	return (key & KEY_INTERNAL) != 0;
}

/* The request a step key belongs to. */
static inline uint64_t
key_request(uint64_t key)
{
	return key >> 8;
}

/* --- the larger messages as structs --------------------------------------- */

/* Borrowed bytes inside a received packet: valid during its callback. */
struct msg_bytes {
	const void *p;
	size_t len;
};

struct msg_hello {
	uint32_t proto_min, proto_max;
	uint32_t schema_min, schema_max; /* user_version this build can read / writes */
	const char *build;		 /* version and build id, for people */
};

enum boot_mode { BOOT_NORMAL = 0, BOOT_SAFE = 1, BOOT_UPGRADE = 2 };

struct msg_welcome {
	uint32_t proto;
	uint32_t gen; /* of this worker: 1 for the first in a keeper's life */
	/* in a row that ended before READY by their own doing, and may have read the store */
	uint32_t failed_boots;
	enum boot_mode mode;
	uint64_t suspect;      /* in hand when the last one killed itself; 0 none */
	uint8_t inst[16];      /* random, of this keeper */
	const char *dir_alias; /* short path of the pod's directory: /proc/K/fd/N */
};

enum spawn_flags {
	SPAWN_ADOPT = 1,   /* pid file names the process to adopt */
	SPAWN_CONSOLE = 2, /* argv element "@console@" becomes a socket whose
	                         pty master is stored as tty/<key> */
	SPAWN_NICE = 4,	   /* at low priority */
	SPAWN_SURVIVE = 8, /* no PDEATHSIG: log programs */
};

#define SPAWN_CONSOLE_ARG "@console@"

struct msg_spawn {
	uint64_t key;
	unsigned flags;		 /* enum spawn_flags */
	char *const *argv;	 /* NULL-terminated; argv[0] is searched in PATH */
	char *const *envp;	 /* NULL: the keeper's own, scrubbed */
	const char *cwd;	 /* NULL: "/" */
	const char *pid_file;	 /* file name in the pod's directory; with ADOPT */
	boot_us_t deadline;	 /* SIGKILL then; 0 none */
	const uint32_t *fd_nums; /* target number of each passed descriptor */
	const int *fds;		 /* borrowed; 0, 1, 2 are /dev/null unless named */
	size_t n_fds;
	struct msg_bytes tag; /* opaque, comes back with STEP and EXIT */
};

enum step_kind { STEP_SPAWN = 1, STEP_SIGNAL = 2 };
enum step_state { STEP_RUNNING = 1, STEP_DONE = 2, STEP_FAILED = 3 };

struct msg_step {
	uint64_t key;
	enum step_kind kind;
	enum step_state state;
	int error;	      /* positive errno of a FAILED step */
	int wait_status;      /* as of waitid/wait4, of a DONE spawn */
	bool timed_out;	      /* the keeper killed it at its deadline */
	bool snapshot;	      /* part of the snapshot, not news */
	boot_us_t t;	      /* when it ended */
	int child_pid;	      /* adopted process (DONE), or the command (RUNNING) */
	uint64_t child_start; /* its start time in ticks; 0 if there is none */
	struct msg_bytes tag;
	const char *text; /* what failed, for a FAILED step; may be "" */
};

struct msg_exit {
	uint64_t key; /* of the process */
	uint64_t seq; /* 1, 2, 3 … in the order the keeper saw them */
	int pid;
	uint64_t start;
	int wait_status;   /* as wait4 gives it */
	int64_t t_real_ns; /* when the keeper saw it */
	boot_us_t t_boot;
	struct msg_bytes tag;
};

enum request_flags {
	REQ_REDELIVERED = 1, /* an earlier worker has seen it */
	REQ_ORPHAN = 2,	     /* its connection is gone */
	REQ_CONDEMNED = 4,   /* answered by the keeper: undo, then empty ANSWER */
};

struct msg_request {
	uint64_t n;
	uint32_t conn;
	unsigned flags;		/* enum request_flags */
	boot_us_t t_recv;	/* of its last byte */
	struct msg_bytes frame; /* payload of the ttrpc request frame */
};

enum answer_kind {
	ANSWER_MESSAGE =
	    0,		 /* the payload, even if it is empty: an empty Response is OK */
	ANSWER_NONE = 1, /* nobody waits for n: just forget it */
};

enum fd_put_how {
	FD_PUT_AS_IS = 0,
	FD_PUT_OPEN_READ = 1, /* the fd is an O_PATH one of a FIFO: open it so */
	FD_PUT_OPEN_WRITE = 2,
};

enum ack_what { ACK_STEP = 1, ACK_EXIT = 2 };

enum quiesce_why { QUIESCE_END = 1, QUIESCE_UPGRADE = 2, QUIESCE_RESTART = 3 };

/*
 * Encoders. They fill buf from its start (MSG_PACKET_MAX bytes are enough for
 * all but SPAWN) and return the payload's length, or -EMSGSIZE if it is more
 * than cap. All of *head is set, len too. An empty envp arrives as NULL.
 */
int msg_encode_hello(
    struct msg_head *head, void *buf, size_t cap, const struct msg_hello *m);
int msg_encode_welcome(
    struct msg_head *head, void *buf, size_t cap, const struct msg_welcome *m);
int msg_encode_spawn(
    struct msg_head *head, void *buf, size_t cap, const struct msg_spawn *m);
int msg_encode_step(
    struct msg_head *head, void *buf, size_t cap, const struct msg_step *m);
int msg_encode_exit(
    struct msg_head *head, void *buf, size_t cap, const struct msg_exit *m);
/* REQUEST and ANSWER carry their bytes alone as payload, with no fields. */
void msg_head_request(struct msg_head *head, const struct msg_request *m);

/*
 * Decoders check everything and borrow from the packet, whose payload must be
 * 8-byte aligned (channel.h sees to it). -EBADMSG with a sentence on anything
 * malformed. msg_decode_spawn() allocates the two vectors (their strings
 * borrow from the packet): free both with free(); fds stays NULL, n_fds is
 * what the packet must have brought.
 */
int msg_decode_hello(
    const struct msg_head *head, const void *buf, struct msg_hello *m, struct err *err);
int msg_decode_welcome(
    const struct msg_head *head, const void *buf, struct msg_welcome *m, struct err *err);
int msg_decode_spawn(
    const struct msg_head *head, const void *buf, struct msg_spawn *m, struct err *err);
int msg_decode_step(
    const struct msg_head *head, const void *buf, struct msg_step *m, struct err *err);
int msg_decode_exit(
    const struct msg_head *head, const void *buf, struct msg_exit *m, struct err *err);
int msg_decode_request(
    const struct msg_head *head, const void *buf, struct msg_request *m, struct err *err);

/*
 * Field access for the small messages (names, texts). msg_put() appends at
 * *len and moves it; a string travels with its NUL, a NULL string not at all.
 * Returns 0 or -EMSGSIZE.
 */
int msg_put(
    void *buf, size_t cap, size_t *len, enum msg_field field, const void *p, size_t n);
int msg_put_str(void *buf, size_t cap, size_t *len, enum msg_field field, const char *s);
/* First field of that number; NULL if there is none or the payload is broken. */
const void *msg_get(
    const struct msg_head *head, const void *buf, enum msg_field field, size_t *n);
/* The same as a string: one NUL, at its end, is checked. */
const char *msg_get_str(
    const struct msg_head *head, const void *buf, enum msg_field field);

#endif
