/*
 * Memory, and what idling costs. All of it is read from /proc of the
 * processes that are in the peer's cgroup; nothing here depends on how fast
 * the machine is, so the gates of tests/system use the same figures.
 */
#include "tests/bench/bench.h"

#include "base/mem.h"

#include <stdio.h>

#define CON_MAX	     64
/* timers that run once after the last activity, such as the one that looks for a hang */
#define AFTERMATH_MS 6000
#define LOOK_MS	     250

/* One pod: its memory with 1, 10 and 50 containers. */
static void
pod_memory(enum peer p, int most)
{
	static struct con c[CON_MAX];
	struct footprint f;
	double at_10 = 0;
	char key[64];

	for (int i = 0; i < most; i++) {
		con_sleeper(&c[i], p, i > 0 ? c[0].group : NULL);
		if (i + 1 != 1 && i + 1 != 10 && i + 1 != 50)
			continue;
		cg_settle(p);
		footprint(p, &f);
		snprintf(key, sizeof key, "memory.%d", i + 1);
		sample(key, p, f.private_dirty_kb);
		if (i + 1 == 10)
			at_10 = f.private_dirty_kb;
		if (i + 1 == 50)
			sample("memory.each", p, (f.private_dirty_kb - at_10) / 40);
	}
	while (most > 0)
		con_end(&c[--most]);
	cg_wait_empty(p);
}

void
fig_memory(void)
{
	int n = rounds(3, 1);

	for (int r = 0; r < n; r++)
		for (int i = 0; i < bench.shims; i++)
			pod_memory(turn(r, i), bench.quick ? 10 : 50);
}

/* Many pods of two containers. */
static void
pods_memory(enum peer p, int pods)
{
	static struct con c[CON_MAX];
	struct footprint f;

	for (int i = 0; i < pods * 2; i++)
		con_sleeper(&c[i], p, i % 2 == 1 ? c[i - 1].group : NULL);
	cg_settle(p);
	footprint(p, &f);
	sample("pods.pss", p, f.pss_kb / pods);
	sample("pods.all", p, (f.pss_kb + f.files_kb + f.kernel_kb) / pods);
	sample("pods.files", p, f.files_kb / pods);
	sample("pods.kernel", p, f.kernel_kb / pods);
	for (int i = pods * 2 - 1; i >= 0; i--)
		con_end(&c[i]);
	cg_wait_empty(p);
}

void
fig_pods(void)
{
	int n = rounds(3, 1);

	for (int r = 0; r < n; r++)
		for (int i = 0; i < bench.shims; i++)
			pods_memory(turn(r, i), bench.quick ? 3 : 20);
}

static void
execs(struct con *c, int from, int to)
{
	for (int i = from; i < to; i++) {
		char id[32];
		uint32_t wait;

		snprintf(id, sizeof id, "g%d", i);
		must(
		    task_exec(c->t, c->id, id, NULL, (const char *const[]){"true", NULL}),
		    "Exec", c);
		must(task_wait_send(c->t, c->id, id, &wait), "Wait", c);
		must(task_start(c->t, c->id, id, NULL), "Start", c);
		must(task_wait_recv(c->t, wait, 60000, NULL), "Wait", c);
		must(task_delete(c->t, c->id, id, NULL), "Delete", c);
	}
}

/* Private dirty once nothing is under way, the state's files with it. */
static double
rest_kb(enum peer p)
{
	struct footprint f;

	cg_settle(p);
	footprint(p, &f);
	return f.private_dirty_kb + f.files_kb;
}

static void
growth_of(enum peer p, int warm, int most)
{
	double at_warm, at_end;
	struct con c;

	con_make(&c, p, NULL, 0, (const char *const[]){"sleep", "100000", NULL});
	c.runtime = "crun"; /* the quicker of the two: it is the shim that is looked at */
	con_run(&c, NULL);
	execs(&c, 0, warm);
	at_warm = rest_kb(p);
	execs(&c, warm, most);
	at_end = rest_kb(p);
	sample("growth.rest", p, at_end);
	sample("growth.execs", p, at_end - at_warm);
	sample("growth.count", p, most - warm);
	con_end(&c);
	cg_wait_empty(p);
}

void
fig_growth(void)
{
	for (int p = 0; p < bench.shims; p++)
		growth_of((enum peer)p, bench.quick ? 60 : 1000,
		    bench.quick	       ? 120
			: p == PODSHIM ? rounds(10000, 1)
				       : rounds(3000, 1));
}

/* Wait until none of the peer's was given a CPU for as long as such a timer takes. */
static void
wait_for_rest(enum peer p)
{
	double end = now_us() + 60e6, since = now_us();
	struct footprint last = {0}, now;

	while (now_us() < end && now_us() - since < AFTERMATH_MS * 1e3) {
		footprint(p, &now);
		if (now.switches != last.switches)
			since = now_us();
		last = now;
		pause_ms(LOOK_MS);
	}
}

/*
 * A process that was never given a CPU made no system call, so one counter
 * tells both. The peers wait at the same time.
 */
void
fig_idle(void)
{
	struct con c[SHIMS][10];
	struct footprint before[SHIMS], after[SHIMS];
	double cpu[SHIMS];
	int n = bench.quick ? 3 : 10, secs = bench.quick ? 5 : 60;

	for (int p = 0; p < bench.shims; p++)
		for (int i = 0; i < n; i++)
			con_sleeper(&c[p][i], (enum peer)p, i > 0 ? c[p][0].group : NULL);
	for (int p = 0; p < bench.shims; p++)
		cg_settle((enum peer)p);
	wait_for_rest(PODSHIM);
	for (int p = 0; p < bench.shims; p++) {
		footprint((enum peer)p, &before[p]);
		cpu[p] = cg_cpu_us((enum peer)p);
	}
	pause_ms(secs * 1000);
	for (int p = 0; p < bench.shims; p++) {
		cpu[p] = cg_cpu_us((enum peer)p) - cpu[p];
		footprint((enum peer)p, &after[p]);
		sample("idle.switches", (enum peer)p,
		    after[p].switches - before[p].switches);
		if (p == PODSHIM)
			footprint_tell_woken(&before[p], &after[p]);
		sample("idle.cpu", (enum peer)p, cpu[p]);
	}
	for (int p = 0; p < bench.shims; p++) {
		for (int i = n - 1; i >= 0; i--)
			con_end(&c[p][i]);
		cg_wait_empty((enum peer)p);
	}
}
