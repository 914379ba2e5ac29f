/*
 * What outbox.c (which event goes when, and by which way) and outbox_end.c (the pod's end) share.
 * Nobody else includes this but their tests.
 */
#ifndef PODSHIM_WORKER_OUTBOX_INT_H
#define PODSHIM_WORKER_OUTBOX_INT_H

#include <event2/util.h>
#include <uthash.h>

#include "base/clock.h"
#include "base/loop.h"
#include "worker/conf.h"
#include "worker/outbox.h"

enum way { WAY_PUBLISH, WAY_TTRPC, WAY_COUNT };

/* A transport's health. */
struct route {
	struct transport *tr; /* NULL: containerd gave no means for it */
	unsigned in_flight;
	unsigned failures; /* in a row; 0: healthy */
	boot_us_t rest_until;
};

struct lane {
	UT_hash_handle hh;
	uint64_t head;	   /* oldest pending event */
	bool more;	   /* there may be others behind it */
	bool exec;	   /* the oldest tells of an exec */
	unsigned tried;	   /* ways, as bits, on which it was refused in this round */
	unsigned refusals; /* in a row */
	boot_us_t rest_until;
	struct flight *flight;
	char container[];
};

struct flight {
	struct flight *next;
	struct outbox *ob;
	struct lane *lane; /* stays until it hears how this ended */
	enum way way;
	uint64_t seq;
	boot_us_t began;
};

struct outbox {
	struct loop *loop;
	struct store *st;
	enum conf_transport preferred;
	struct route routes[WAY_COUNT];
	struct lane *lanes;
	struct flight *flights;
	uint64_t looked; /* rows up to here have been seen */
	bool dirty;	 /* there may be rows behind it */
	bool at_end;
	struct event *pump_ev, *timer;
	bool (*drain_still_cb)(void *arg);
	void (*drain_cb)(void *arg); /* NULL: no drain */
	void *drain_arg;
	struct event *drain_ev;
	bool drain_over; /* its time is up: the end waits for flights alone */
	struct grave grave;
};

void outbox_arm(struct event *ev, uint64_t us);
void outbox_lane_free(struct outbox *ob, struct lane *lane);
/* Nothing left, or nothing to wait for: the drain's callback follows from the loop. */
void outbox_check_drained(struct outbox *ob);
/* of drain_ev */
void outbox_on_drain_time(evutil_socket_t fd, short what, void *arg);

#endif
