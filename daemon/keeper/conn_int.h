/*
 * What conn.c (who is there, and what it asks) and conn_out.c (answers) share. Nobody else includes this.
 */
#ifndef PODSHIM_KEEPER_CONN_INT_H
#define PODSHIM_KEEPER_CONN_INT_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/loop.h"
#include "keeper/conn.h"
#include "proto/frame.h"

struct out {
	struct out *next;
	size_t len, off;
	uint8_t data[];
};

/* What becomes of the payload that is being read. */
enum fate {
	FATE_KEEP,   /* a request */
	FATE_IGNORE, /* unknown type, or data that we have no use for */
	FATE_REFUSE, /* answer with refuse_code at its end */
};

struct conn {
	struct conns *cs;
	TAILQ_ENTRY(conn) link;
	uint32_t id;
	int fd;
	struct event ev_read;
	struct event ev_write;
	uint32_t last_stream;
	bool closed;
	bool broken; /* writing failed */
	bool paused; /* not read: it does not read us */
	bool deaf;   /* answers were refused, and the log says so */
	/* the frame in hand */
	uint8_t head_buf[FRAME_HEAD_LEN];
	size_t head_len;
	struct frame_head head;
	size_t left; /* of its payload */
	size_t paid; /* charged for it, without the overhead */
	enum fate fate;
	enum status_code refuse_code;
	const char *refuse_text;
	struct blob blob;
	/* answers */
	struct out *out, **out_tail;
	size_t unwritten;
	size_t charged;
	struct request_list requests;
	struct grave grave;
};

struct conns {
	struct loop *loop;
	const struct conns_ops *ops;
	void *arg;
	int listen_fd;
	struct event *ev_accept;  /* NULL: nobody may come any more */
	struct loop_timer resume; /* accept again after a pause */
	struct loop_timer retry;  /* look for connections that are not watched */
	TAILQ_HEAD(, conn) all;
	size_t n;
	size_t charged;	  /* for requests, of all */
	size_t unwritten; /* of all */
	uint32_t last_id;
};

/* Tried again later if there is no memory for it. */
void conn_watch(struct conn *c, struct event *ev);
void conn_close(struct conn *c);
void conn_on_write(evutil_socket_t fd, short what, void *arg);

#endif
