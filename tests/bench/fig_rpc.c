/*
 * Calls that only ask: State one at a time and pipelined, Stats. What they
 * cost beyond the client is the way through the shim's processes.
 */
#include "tests/bench/bench.h"

#include "base/mem.h"

#include <stdio.h>

#define IN_FLIGHT 64

/* One at a time: latency in µs, p50 and p99 of these. */
static void
latencies(struct con *c, const char *method, int n, const char *key)
{
	AUTO_FREE double *us = mem_zalloc((size_t)n * sizeof *us);
	double cpu0 = cg_cpu_us(c->peer), keeper0 = own_cpu_us(c->peer, "podshim-keeper");
	char name[64];

	for (int i = 0; i < n; i++) {
		struct ttrpc_reply r = {0};
		struct pb m = PB_INIT;
		double t0;

		pb_str(&m, 1, c->id);
		t0 = now_us();
		must(ttrpc_call(c->t, TASK_V2, method, &m, 60000, &r), method, c);
		us[i] = now_us() - t0;
		must(r.code, method, c);
		ttrpc_reply_fini(&r);
		pb_fini(&m);
	}
	if (c->peer == PODSHIM) {
		snprintf(name, sizeof name, "%s.keeper", key);
		sample(
		    name, PODSHIM, (own_cpu_us(PODSHIM, "podshim-keeper") - keeper0) / n);
	}
	snprintf(name, sizeof name, "%s.cpu", key);
	sample(name, c->peer, (cg_cpu_us(c->peer) - cpu0) / n);
	snprintf(name, sizeof name, "%s.p50", key);
	sample(name, c->peer, percentile_of(us, (size_t)n, 0.5));
	snprintf(name, sizeof name, "%s.p99", key);
	sample(name, c->peer, percentile_of(us, (size_t)n, 0.99));
}

static void
pipelined(struct con *c, int n)
{
	double cpu0 = cg_cpu_us(c->peer), t0 = now_us();
	struct pb m = PB_INIT;
	int sent = 0, got = 0;

	pb_str(&m, 1, c->id);
	while (got < n) {
		struct ttrpc_reply r = {0};
		uint32_t stream;

		for (; sent < n && sent - got < IN_FLIGHT; sent++)
			must(ttrpc_send(c->t, TASK_V2, "State", &m, 0, &stream), "State",
			    c);
		must(ttrpc_recv(c->t, 0, 60000, &r), "State", c);
		must(r.code, "State", c);
		ttrpc_reply_fini(&r);
		got++;
	}
	pb_fini(&m);
	sample("state.pipe.wall", c->peer, (now_us() - t0) / n);
	sample("state.pipe.cpu", c->peer, (cg_cpu_us(c->peer) - cpu0) / n);
}

static void
asking(int n, void (*ask)(struct con *c))
{
	struct con c[SHIMS];

	for (int p = 0; p < bench.shims; p++) {
		con_sleeper(&c[p], (enum peer)p, NULL);
		cg_settle((enum peer)p);
	}
	for (int r = 0; r < n; r++)
		for (int i = 0; i < bench.shims; i++)
			ask(&c[turn(r, i)]);
	for (int p = 0; p < bench.shims; p++) {
		con_end(&c[p]);
		cg_wait_empty((enum peer)p);
	}
}

static void
ask_state(struct con *c)
{
	latencies(c, "State", bench.quick ? 200 : 2000, "state");
	pipelined(c, bench.quick ? 500 : 10000);
}

static void
ask_stats(struct con *c)
{
	latencies(c, "Stats", bench.quick ? 20 : 300, "stats");
}

void
fig_state(void)
{
	asking(rounds(10, 2), ask_state);
}

void
fig_stats(void)
{
	asking(rounds(10, 2), ask_stats);
}
