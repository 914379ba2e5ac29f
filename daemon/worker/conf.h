/*
 * /etc/podshim/podshim.conf (PODSHIM_CONFIG names another): INI, read at each
 * worker start. A key we do not know, or a bad value, is logged and ignored.
 */
#ifndef PODSHIM_WORKER_CONF_H
#define PODSHIM_WORKER_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/halt.h"

enum conf_transport { TRANSPORT_AUTO, TRANSPORT_PUBLISH_BINARY, TRANSPORT_TTRPC };

struct conf {
	enum conf_transport events_transport; /* [events] transport */
	bool stdio_direct;		      /* [stdio] direct = never|always */
	uint64_t runtime_timeout_us; /* [runtime] timeout, seconds: default 120 */
	uint64_t drain_timeout_us;   /* [stdio] drain, seconds: default 10 */
	uint64_t end_delay_us;	     /* [pod] end_delay, seconds: default 30 */
	bool debug;		     /* [log] level = debug */
	enum halt_point wait;	     /* [debug] wait */
};

void conf_load(struct conf *conf);

#endif
