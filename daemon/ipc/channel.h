/*
 * One end of the keeper–worker channel: a SOCK_SEQPACKET socket on the event
 * loop, with an unbounded but counted queue for what the socket does not take.
 *
 * What send() took is delivered, even if the sender dies at once: the other
 * side reads to the end (recovery.md 1.1). Hence channel_drain().
 */
#ifndef PODSHIM_IPC_CHANNEL_H
#define PODSHIM_IPC_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>

#include "ipc/msg.h"

struct channel;
struct err;
struct loop;

/*
 * A whole message. payload has head->len bytes plus a NUL, wherever it
 * travelled. fds are closed after the callback unless it sets an entry to -1.
 * fds_lost: some could not be received (EMFILE); treat as -EMFILE.
 */
struct packet {
	struct msg_head head;
	const void *payload;
	int *fds;
	size_t n_fds;
	bool fds_lost;
};

struct channel_ops {
	void (*on_packet)(struct packet *packet, void *arg);
	/* End of the channel: rc 0, or -errno for a broken packet. Once. */
	void (*on_end)(int rc, void *arg);
};

/* A connected pair, non-blocking and close-on-exec. Returns 0 or -errno. */
int channel_pair(int fds[2]);

/*
 * Takes fd. NULL: no memory (then fd is still the caller's). With -1 it is closed
 * as yet, and channel_open(), which cannot fail, takes the descriptor: for one who
 * must know that there is room before there is a peer.
 */
struct channel *channel_new(
    struct loop *loop, int fd, const struct channel_ops *ops, void *arg);
void channel_open(struct channel *ch, int fd);
/* May be called from its own callbacks. NULL is allowed. */
void channel_free(struct channel *ch);

/* More payload than this is refused by both ends: garbage, or a bug. */
#define CHANNEL_PAYLOAD_MAX (32u << 20)

/*
 * Send head->len bytes of payload, or queue what the socket does not take now
 * (fds are duplicated then). fds stay the caller's. A payload too large for a
 * packet goes as a sealed memfd; one that is in a memfd already is passed as
 * the last of fds, with MSG_F_MEMFD set and payload NULL. Returns 0, -EPIPE
 * when the other side is gone, -ENOMEM, -EMFILE, -EMSGSIZE.
 */
int channel_send(struct channel *ch, const struct msg_head *head, const void *payload,
    const int *fds, size_t n_fds);
/* Bytes the peer has not taken from us yet: our queue and the socket's. */
size_t channel_unread(struct channel *ch);
/* Bytes waiting in our own queue. */
size_t channel_queued(struct channel *ch);

/*
 * Receive until end of file, through ECONNRESET, calling on_packet for each
 * whole message; on_end is not called. For a peer that is dead.
 */
void channel_drain(struct channel *ch);

/*
 * One packet on a plain fd, waiting as long as it takes, or timeout_ms (-1: no
 * limit) for packet_recv(). For admin.h, and for the wait for WELCOME.
 *
 * packet_recv: buf is 8-byte aligned and has cap bytes, MSG_PACKET_MAX at best;
 * the payload gets a NUL behind it. fds: room for MSG_FDS_MAX, the caller's
 * then. 0, or -errno: -ETIMEDOUT, -EPIPE at end of file, -EBADMSG.
 */
int packet_send(int fd, const struct msg_head *head, const void *payload, const int *fds,
    size_t n_fds);
int packet_recv(int fd, int timeout_ms, struct msg_head *head, void *buf, size_t cap,
    int *fds, size_t *n_fds);

#endif
