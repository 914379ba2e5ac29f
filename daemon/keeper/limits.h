/*
 * Everything that somebody else can make the keeper hold has its cap here.
 * Where a cap is reached, the one who asked is told so; nothing is closed.
 */
#ifndef PODSHIM_KEEPER_LIMITS_H
#define PODSHIM_KEEPER_LIMITS_H

#include "base/clock.h"

/*
 * Connections; more wait in the listener's backlog. Twice as many as a worker
 * takes containers (worker/pod.h): containerd has one for each, and there must
 * be room for the one that creates, deletes or asks.
 */
#define LIMIT_CONNS	     2048u
/* Bytes of requests not yet answered, and as many of answers not yet written. */
#define LIMIT_POD_BYTES	     (16u << 20)
#define LIMIT_CONN_BYTES     (8u << 20)
/* Of unwritten answers each connection may have that, whatever others have. */
#define LIMIT_CONN_SHARE     (32u << 10)
/* What one request or answer costs besides its bytes. */
#define LIMIT_OVERHEAD	     256u
/* A connection with more than this unwritten is not read. */
#define LIMIT_CONN_UNWRITTEN (1u << 20)
/* A frame longer than this is kept in a memfd. */
#define LIMIT_FRAME_INLINE   (32u << 10)
/* Read from one connection per pass of the loop. */
#define LIMIT_CONN_PASS	     (64u << 10)

/* Steps remembered, running or not; and descriptors stored. */
#define LIMIT_STEPS	    16384u
#define LIMIT_FDS	    8192u
/* Descriptors that the store leaves for connections, pipes and files. */
#define LIMIT_FDS_RESERVE   128u
/* Exits of unknown children, while an ADOPT is in flight. */
#define LIMIT_UNKNOWN_EXITS 4096u
/* Connections to the admin socket. */
#define LIMIT_ADMIN_CONNS   16u
#define LIMIT_PINS	    256u
#define LIMIT_MARK	    (16u << 10)
#define LIMIT_PATH	    4096u
/* Crash records and dumps kept. */
#define LIMIT_RECORDS	    8u
/* Hashes of condemned frames. */
#define LIMIT_CONDEMNED	    8u
/* Messages queued for a worker that does not read, in bytes. */
#define LIMIT_WORKER_QUEUE  (64u << 20)

/*
 * Killed workers that do not die: counted up to that; from so many on, the next
 * one is put off, whoever waits.
 */
#define LIMIT_LEFT     8u
#define LIMIT_LEFT_FEW 3u

/* Time. */
#define LIMIT_PIN_US		(30 * US_PER_S)
#define LIMIT_HANG_US		(5 * US_PER_S)
/*
 * until READY: as long as its loops stand still, for so many looks; and in all,
 * for a pod of a thousand containers on a slow machine
 */
#define LIMIT_BOOT_US		(10 * US_PER_S)
#define LIMIT_BOOT_LOOKS	5u
#define LIMIT_BOOT_ALL_US	(120 * US_PER_S)
/* a new build has this long before the old one comes back */
#define LIMIT_UPGRADE_US	(5 * US_PER_S)
#define LIMIT_LEAVE_US		(2 * US_PER_S)
/* for a hung worker to say where it is */
#define LIMIT_ABORT_US		(200 * US_PER_MS)
#define LIMIT_KILL_US		(2 * US_PER_S)
/* for a worker to add its part to a dump; for the helper that looks at it */
#define LIMIT_DUMP_US		(1 * US_PER_S)
#define LIMIT_LOOK_US		(2 * US_PER_S)
#define LIMIT_BACKOFF_FIRST_US	(50 * US_PER_MS)
#define LIMIT_BACKOFF_MAX_US	(30 * US_PER_S)
#define LIMIT_BACKOFF_BUSY_US	(1 * US_PER_S)
/* after a kill from outside: the worker is not at fault, and it came up */
#define LIMIT_BACKOFF_KILLED_US (100 * US_PER_MS)
#define LIMIT_QUIET_US		(60 * US_PER_S)
/* containerd's patience with a request that has no deadline */
#define LIMIT_YOUNG_US		(5 * US_PER_S)
#define LIMIT_FLUSH_US		(5 * US_PER_S)

/* Boots in a row that fail: after WELCOME, then in safe mode; at all, then requests are refused. */
#define LIMIT_BOOTS_SAFE    3u
#define LIMIT_BOOTS_REFUSE  6u
/*
 * The latter only if they have failed for so long: six go by in a second, and a
 * machine that is short of memory or waits for its disk is often well again
 * after some more. A minute is longer than any such thing that passes by
 * itself, and than containerd waits for anything but a Wait.
 */
#define LIMIT_BOOTS_LAST_US (60 * US_PER_S)

#endif
