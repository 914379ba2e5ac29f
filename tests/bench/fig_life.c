/*
 * Lives of containers: start action, Create to Delete, kill, exec, and whole
 * `ctr run`s, beside the bare runtime's own commands in the same round.
 */
#include "tests/bench/bench.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static const char *const true_argv[] = {"true", NULL};

/* sample() of "life.WHAT.STEP", in ms. */
static void
step(const char *what, const char *name, enum peer p, double us)
{
	char key[64];

	snprintf(key, sizeof key, "life.%s.%s", what, name);
	sample(key, p, us / 1e3);
}

struct cost {
	double wall, cpu; /* us; cpu until the pod's very end */
};

/* One pod of one container that runs `true`. */
static struct cost
life_once(enum peer p, const char *runtime, const char *what)
{
	double cpu0, t0, t[6];
	struct cost cost;
	struct con c;
	uint32_t wait;

	con_make(&c, p, NULL, 0, true_argv);
	c.runtime = runtime;
	cpu0 = cg_cpu_us(p);
	t0 = now_us();
	step(what, "start", p, con_start(&c));
	t[0] = now_us();
	con_create(&c, NULL);
	t[1] = now_us();
	must(task_wait_send(c.t, c.id, NULL, &wait), "Wait", &c);
	must(task_start(c.t, c.id, NULL, NULL), "Start", &c);
	t[2] = now_us();
	must(task_wait_recv(c.t, wait, 60000, NULL), "Wait", &c);
	t[3] = now_us();
	must(task_delete(c.t, c.id, NULL, NULL), "Delete", &c);
	t[4] = now_us();
	step(what, "Create", p, t[1] - t[0]);
	step(what, "Start", p, t[2] - t[1]);
	step(what, "exit", p, t[3] - t[2]);
	step(what, "Delete", p, t[4] - t[3]);
	step(what, "delete_action", p, con_finish(&c));
	cg_wait_empty(p);
	cost.cpu = cg_cpu_us(p) - cpu0;
	cost.wall = t[4] - t0;
	return cost;
}

static struct cost
bare_once(const char *runtime, const char *what)
{
	double cpu0 = cg_cpu_us(BARE), t[5];
	struct cost cost;
	struct con c;
	pid_t pid;

	con_make(&c, BARE, NULL, 0, true_argv);
	c.runtime = runtime;
	t[0] = now_us();
	bare_create(&c);
	t[1] = now_us();
	pid = bare_pid(&c);
	bare_start(&c);
	t[2] = now_us();
	(void)wait_pid(pid);
	t[3] = now_us();
	bare_delete(&c);
	t[4] = now_us();
	step(what, "Create", BARE, t[1] - t[0]);
	step(what, "Start", BARE, t[2] - t[1]);
	step(what, "exit", BARE, t[3] - t[2]);
	step(what, "Delete", BARE, t[4] - t[3]);
	cost.cpu = cg_cpu_us(BARE) - cpu0;
	cost.wall = t[4] - t[0];
	return cost;
}

static void
life_cost(const char *what, enum peer p, const struct cost *cost, const struct cost *bare)
{
	step(what, "wall", p, cost->wall);
	step(what, "cpu", p, cost->cpu);
	step(what, "own_wall", p, cost->wall - bare->wall);
	step(what, "own_cpu", p, cost->cpu - bare->cpu);
}

static void
life_round(int round, const char *runtime)
{
	struct cost bare = bare_once(runtime, runtime), cost;
	char other[32];

	step(runtime, "wall", BARE, bare.wall);
	step(runtime, "cpu", BARE, bare.cpu);
	for (int i = 0; i < bench.shims; i++) {
		enum peer p = turn(round, i);

		cost = life_once(p, runtime, runtime);
		life_cost(runtime, p, &cost, &bare);
		if (p == RUNC_V2) {
			snprintf(other, sizeof other, "%s_ttrpc", runtime);
			life_cost(other, p, &cost, &bare);
		}
	}
	/* what the events that go through the publish binary cost */
	use_config("[events]\ntransport = ttrpc\n");
	snprintf(other, sizeof other, "%s_ttrpc", runtime);
	cost = life_once(PODSHIM, runtime, other);
	life_cost(other, PODSHIM, &cost, &bare);
	use_config(NULL);
}

void
fig_life(void)
{
	int n = rounds(40, 3);

	for (int r = 0; r < n; r++) {
		life_round(r, "runc");
		life_round(r, "crun");
	}
}

/* A container that joins a pod, is killed and deleted. */
static void
join_once(enum peer p, const char *group)
{
	struct con c;
	double t0, t1;
	uint32_t wait;

	con_make(&c, p, group, 0, (const char *const[]){"sleep", "100000", NULL});
	sample("join.start", p, con_start(&c) / 1e3);
	con_create(&c, NULL);
	must(task_start(c.t, c.id, NULL, NULL), "Start", &c);
	must(task_wait_send(c.t, c.id, NULL, &wait), "Wait", &c);
	t0 = now_us();
	must(task_kill(c.t, c.id, NULL, 9, false), "Kill", &c);
	t1 = now_us();
	must(task_wait_recv(c.t, wait, 60000, NULL), "Wait", &c);
	sample("kill.rpc", p, t1 - t0);
	sample("kill.wait", p, now_us() - t0);
	must(task_delete(c.t, c.id, NULL, NULL), "Delete", &c);
	sample("join.delete_action", p, con_finish(&c) / 1e3);
	cg_settle(p); /* its events are not to disturb the other peer */
}

void
fig_join(void)
{
	struct con pod[SHIMS];
	int n = rounds(40, 3);

	for (int p = 0; p < bench.shims; p++)
		con_sleeper(&pod[p], (enum peer)p, NULL);
	for (int r = 0; r < n; r++)
		for (int i = 0; i < bench.shims; i++)
			join_once(turn(r, i), pod[turn(r, i)].group);
	for (int p = 0; p < bench.shims; p++) {
		con_end(&pod[p]);
		cg_wait_empty((enum peer)p);
	}
}

double
exec_once(struct con *c, int n)
{
	char id[32];
	uint32_t wait;
	double t0 = now_us();

	snprintf(id, sizeof id, "x%d", n);
	must(task_exec(c->t, c->id, id, NULL, true_argv), "Exec", c);
	must(task_wait_send(c->t, c->id, id, &wait), "Wait", c);
	must(task_start(c->t, c->id, id, NULL), "Start", c);
	must(task_wait_recv(c->t, wait, 60000, NULL), "Wait", c);
	must(task_delete(c->t, c->id, id, NULL), "Delete", c);
	return now_us() - t0;
}

void
fig_exec(void)
{
	AUTO_FREE char *spec = task_process_json(true_argv, false);
	AUTO_FREE char *path = mem_printf("%s/process.json", bench.dir);
	struct err err = ERR_INIT;
	struct con c[SHIMS], bare;
	double wall[SHIMS], t0, base;
	int n = rounds(100, 5);

	if (file_write(AT_FDCWD, path, spec, strlen(spec), 0644, &err) < 0)
		die("%s", err.text);
	con_make(&bare, BARE, NULL, 0, (const char *const[]){"sleep", "100000", NULL});
	bare_create(&bare);
	bare_start(&bare);
	for (int p = 0; p < bench.shims; p++)
		con_sleeper(&c[p], (enum peer)p, NULL);
	for (int r = 0; r < n; r++) {
		for (int i = 0; i < bench.shims; i++)
			wall[turn(r, i)] = exec_once(&c[turn(r, i)], r);
		t0 = now_us();
		bare_exec(&bare, path);
		base = now_us() - t0;
		sample("exec.wall", BARE, base / 1e3);
		for (int p = 0; p < bench.shims; p++) {
			sample("exec.wall", (enum peer)p, wall[p] / 1e3);
			sample("exec.own", (enum peer)p, (wall[p] - base) / 1e3);
		}
	}
	for (int p = 0; p < bench.shims; p++) {
		con_end(&c[p]);
		cg_wait_empty((enum peer)p);
	}
	(void)kill(bare_pid(&bare), 9);
	(void)wait_pid(bare_pid(&bare));
	bare_delete(&bare);
}

static double
ctr_once(enum peer p, int n)
{
	AUTO_FREE char *id = mem_printf("ctr-%s-%d", peer_name(p), n);
	AUTO_FREE char *fifos = mem_printf("%s/fifo", bench.dir);
	const char *runtime =
	    p == PODSHIM ? "io.containerd.podshim.v1" : "io.containerd.runc.v2";
	const char *const argv[] = {"ctr", "-a", bench.address, "-n", bench.ns, "run",
	    "--rm", "--runtime", runtime, "--fifo-dir", fifos, bench.image, id, "true",
	    NULL};
	double t0;

	t0 = now_us();
	/* containerd is not in our cgroups: whatever it starts is neither */
	run_in(PEERS, NULL, argv);
	return now_us() - t0;
}

void
fig_ctr(void)
{
	int n = rounds(30, 2);

	for (int r = 0; r < n; r++)
		for (int i = 0; i < bench.shims; i++)
			sample("ctr.run", turn(r, i), ctr_once(turn(r, i), r) / 1e3);
	use_config("[events]\ntransport = ttrpc\n");
	for (int r = n; r < 2 * n; r++)
		for (int i = 0; i < bench.shims; i++)
			sample(
			    "ctr.run_ttrpc", turn(r, i), ctr_once(turn(r, i), r) / 1e3);
	use_config(NULL);
}
