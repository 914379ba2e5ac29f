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

/* One pod of one container that runs `true`; total wall time, *cpu to the pod's very end. */
static double
life_once(enum peer p, const char *runtime, const char *key, double *cpu)
{
	char name[64];
	struct con c;
	double cpu0, t0, t1, start;
	uint32_t wait;

	con_make(&c, p, NULL, 0, true_argv);
	c.runtime = runtime;
	cpu0 = cg_cpu_us(p);
	t0 = now_us();
	start = con_start(&c);
	con_create(&c, NULL);
	must(task_wait_send(c.t, c.id, NULL, &wait), "Wait", &c);
	must(task_start(c.t, c.id, NULL, NULL), "Start", &c);
	must(task_wait_recv(c.t, wait, 10000, NULL), "Wait", &c);
	must(task_delete(c.t, c.id, NULL, NULL), "Delete", &c);
	t1 = now_us();
	snprintf(name, sizeof name, "life.%s.delete_action", key);
	sample(name, p, con_finish(&c) / 1e3);
	cg_wait_empty(p);
	*cpu = cg_cpu_us(p) - cpu0;
	snprintf(name, sizeof name, "life.%s.start", key);
	sample(name, p, start / 1e3);
	return t1 - t0;
}

static double
bare_once(const char *runtime, double *cpu)
{
	struct con c;
	double cpu0, t0, t1;
	pid_t pid;

	con_make(&c, BARE, NULL, 0, true_argv);
	c.runtime = runtime;
	cpu0 = cg_cpu_us(BARE);
	t0 = now_us();
	bare_create(&c);
	pid = bare_pid(&c);
	bare_start(&c);
	(void)wait_pid(pid);
	bare_delete(&c);
	t1 = now_us();
	*cpu = cg_cpu_us(BARE) - cpu0;
	return t1 - t0;
}

static void
life_round(int round, const char *runtime, const char *key)
{
	char wall_key[64], cpu_key[64], own_wall[64], own_cpu[64];
	double bare, bare_cpu, wall, cpu;

	snprintf(wall_key, sizeof wall_key, "life.%s.wall", key);
	snprintf(cpu_key, sizeof cpu_key, "life.%s.cpu", key);
	snprintf(own_wall, sizeof own_wall, "life.%s.own_wall", key);
	snprintf(own_cpu, sizeof own_cpu, "life.%s.own_cpu", key);
	bare = bare_once(runtime, &bare_cpu);
	sample(wall_key, BARE, bare / 1e3);
	sample(cpu_key, BARE, bare_cpu / 1e3);
	for (int i = 0; i < SHIMS; i++) {
		enum peer p = turn(round, i);

		wall = life_once(p, runtime, key, &cpu);
		sample(wall_key, p, wall / 1e3);
		sample(cpu_key, p, cpu / 1e3);
		sample(own_wall, p, (wall - bare) / 1e3);
		sample(own_cpu, p, (cpu - bare_cpu) / 1e3);
	}
}

void
fig_life(void)
{
	int n = rounds(40, 3);

	for (int r = 0; r < n; r++) {
		life_round(r, "runc", "runc");
		life_round(r, "crun", "crun");
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
	must(task_wait_recv(c.t, wait, 10000, NULL), "Wait", &c);
	sample("kill.rpc", p, t1 - t0);
	sample("kill.wait", p, now_us() - t0);
	must(task_delete(c.t, c.id, NULL, NULL), "Delete", &c);
	sample("join.delete_action", p, con_finish(&c) / 1e3);
}

void
fig_join(void)
{
	struct con pod[SHIMS];
	int n = rounds(40, 3);

	for (int p = 0; p < SHIMS; p++)
		con_sleeper(&pod[p], (enum peer)p, NULL);
	for (int r = 0; r < n; r++)
		for (int i = 0; i < SHIMS; i++)
			join_once(turn(r, i), pod[turn(r, i)].group);
	for (int p = 0; p < SHIMS; p++) {
		con_end(&pod[p]);
		cg_wait_empty((enum peer)p);
	}
}

static double
exec_once(struct con *c, int n)
{
	char id[32];
	uint32_t wait;
	double t0 = now_us();

	snprintf(id, sizeof id, "x%d", n);
	must(task_exec(c->t, c->id, id, NULL, true_argv), "Exec", c);
	must(task_wait_send(c->t, c->id, id, &wait), "Wait", c);
	must(task_start(c->t, c->id, id, NULL), "Start", c);
	must(task_wait_recv(c->t, wait, 10000, NULL), "Wait", c);
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
	for (int p = 0; p < SHIMS; p++)
		con_sleeper(&c[p], (enum peer)p, NULL);
	for (int r = 0; r < n; r++) {
		for (int i = 0; i < SHIMS; i++)
			wall[turn(r, i)] = exec_once(&c[turn(r, i)], r);
		t0 = now_us();
		bare_exec(&bare, path);
		base = now_us() - t0;
		sample("exec.wall", BARE, base / 1e3);
		for (int p = 0; p < SHIMS; p++) {
			sample("exec.wall", (enum peer)p, wall[p] / 1e3);
			sample("exec.own", (enum peer)p, (wall[p] - base) / 1e3);
		}
	}
	for (int p = 0; p < SHIMS; p++) {
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
		for (int i = 0; i < SHIMS; i++)
			sample("ctr.run", turn(r, i), ctr_once(turn(r, i), r) / 1e3);
}
