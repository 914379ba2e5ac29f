/*
 * From samples to the table: medians, ratios, targets. What each figure is
 * called and must reach stands in one table here.
 */
#include "tests/bench/bench.h"

#include "base/mem.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum goal {
	INFO,	   /* no target */
	RATIO_MAX, /* ours / runc-v2's at most */
	RATIO_MIN, /* ours / runc-v2's at least */
	OURS_MAX   /* ours, in its unit, at most */
};

#define FULL_ONLY 1 /* not in the short form */
#define ALONE	  2 /* podshim alone has it */

struct figure {
	const char *key, *title, *unit;
	enum goal goal;
	double target;
	int flags;
	const char *why; /* if it is missed: the floor */
};

/* clang-format off */
static const struct figure figures[] = {
	{"life.runc.start", "start action, new pod", "ms", RATIO_MAX, 0.35, 0, NULL},
	{"join.start", "start action, joining a pod", "ms", RATIO_MAX, 0.35, 0, NULL},
	{"life.runc.wall", "start .. Delete of true, runc", "ms", RATIO_MAX, 0.85, 0, NULL},
	{"life.crun.wall", "start .. Delete of true, crun", "ms", RATIO_MAX, 0.82, 0, NULL},
	{"life.runc.own_wall", " the shim's own part, runc", "ms", RATIO_MAX, 0.25, 0,
	    "floor: Create waits for the new worker (3 ms CPU), then one fork more per command"},
	{"life.crun.own_wall", " the shim's own part, crun", "ms", RATIO_MAX, 0.25, 0,
	    "floor: Create waits for the new worker (3 ms CPU), then one fork more per command"},
	{"life.runc.own_cpu", " the shim's own CPU, runc", "ms", RATIO_MAX, 0.25, 0,
	    "floor: each event by the publish binary is a Go program of 14 to 18 ms CPU"},
	{"life.crun.own_cpu", " the shim's own CPU, crun", "ms", RATIO_MAX, 0.25, 0,
	    "floor: each event by the publish binary is a Go program of 14 to 18 ms CPU"},
	{"life.runc_ttrpc.wall", "with all events by ttrpc: wall, runc", "ms", RATIO_MAX, 0.85, 0, NULL},
	{"life.crun_ttrpc.wall", "  wall, crun", "ms", RATIO_MAX, 0.82, 0, NULL},
	{"life.runc_ttrpc.own_wall", "  own part, runc", "ms", RATIO_MAX, 0.25, 0,
	    "floor: Create waits for the new worker (3 ms CPU), then one fork more per command"},
	{"life.crun_ttrpc.own_wall", "  own part, crun", "ms", RATIO_MAX, 0.25, 0,
	    "floor: Create waits for the new worker (3 ms CPU), then one fork more per command"},
	{"life.runc_ttrpc.own_cpu", "  own CPU, runc", "ms", RATIO_MAX, 0.25, 0,
	    "floor: start and delete 1 ms each, keeper 2, worker 5.5 of which 2.6 to be ready"},
	{"life.crun_ttrpc.own_cpu", "  own CPU, crun", "ms", RATIO_MAX, 0.25, 0,
	    "floor: start and delete 1 ms each, keeper 2, worker 5.5 of which 2.6 to be ready"},
	{"life.runc.Create", "Create, runc", "ms", INFO, 0, 0, NULL},
	{"life.runc.Start", "Start, runc", "ms", INFO, 0, 0, NULL},
	{"life.runc.exit", "Start's answer to Wait's, runc", "ms", INFO, 0, 0, NULL},
	{"life.runc.Delete", "Delete, runc", "ms", INFO, 0, 0, NULL},
	{"life.runc.delete_action", "delete action after a clean end", "ms", RATIO_MAX, 0.20, 0,
	    "floor: 1 ms for the process, then keeper and worker must be given a CPU"},
	{"join.delete_action", "delete action, the pod lives on", "ms", RATIO_MAX, 0.20, 0,
	    "floor: 1 ms for the process, then keeper and worker must be given a CPU"},
	{"shutdown", "Shutdown", "ms", INFO, 0, 0, NULL},
	{"ctr.run", "ctr run --rm of true", "ms", RATIO_MAX, 0.80, 0,
	    "floor: ctr and containerd themselves take most of it"},
	{"ctr.run_ttrpc", "  with all events by ttrpc", "ms", RATIO_MAX, 0.80, 0,
	    "floor: ctr and containerd themselves take most of it"},
	{"exec.wall", "Exec .. Delete of true", "ms", INFO, 0, 0, NULL},
	{"exec.own", " the shim's own part", "ms", OURS_MAX, 1.0, 0,
	    "floor: four requests, each with two wake-ups more"},
	{"kill.rpc", "Kill", "us", RATIO_MAX, 0.10, 0, NULL},
	{"kill.wait", "Kill to the answer of Wait", "us", RATIO_MAX, 0.25, 0, NULL},
	{"state.p50", "State, p50", "us", RATIO_MAX, 1.0, 0,
	    "floor: two processes instead of one; two wake-ups of 5 to 25 us more"},
	{"state.p99", "State, p99", "us", RATIO_MAX, 1.0, 0,
	    "floor: two processes instead of one; two wake-ups of 5 to 25 us more"},
	{"state.cpu", "State, CPU per call", "us", INFO, 0, 0, NULL},
	{"state.keeper", "  of it the keeper (the split)", "us", INFO, 0, ALONE, NULL},
	{"state.pipe.wall", "State pipelined, per call", "us", INFO, 0, 0, NULL},
	{"state.pipe.cpu", "State pipelined, CPU per call", "us", RATIO_MAX, 1.5, 0, NULL},
	{"stats.p50", "Stats, p50", "us", RATIO_MAX, 0.35, 0, NULL},
	{"stats.cpu", "Stats, CPU per call", "us", INFO, 0, 0, NULL},
	{"io.dd.rate", "dd by FIFO, 1 MiB blocks", "MiB/s", RATIO_MIN, 3, 0, NULL},
	{"io.dd.cpu", " CPU per GiB", "ms", RATIO_MAX, 0.2, 0, NULL},
	{"io.direct.rate", "dd, stdio.direct", "MiB/s", RATIO_MIN, 3, 0,
	    "floor: one pipe, which is written or read, never both at once (bare)"},
	{"io.direct.cpu", " CPU per GiB", "ms", RATIO_MAX, 0.01, 0, NULL},
	{"io.lines.rate", "lines of 100 bytes by FIFO", "MiB/s", RATIO_MIN, 1, 0, NULL},
	{"io.lines.cpu", " CPU per GiB", "ms", RATIO_MAX, 0.8, 0, NULL},
	{"io.tty.rate", "terminal", "MiB/s", RATIO_MIN, 1, 0, NULL},
	{"io.tty.cpu", " CPU per GiB", "ms", RATIO_MAX, 0.9, 0, NULL},
	{"memory.1", "private dirty, pod of 1", "KB", RATIO_MAX, 0.30, 0, NULL},
	{"memory.10", "private dirty, pod of 10", "KB", RATIO_MAX, 0.20, 0, NULL},
	{"memory.50", "private dirty, pod of 50", "KB", RATIO_MAX, 0.20, FULL_ONLY, NULL},
	{"memory.each", " each more container", "KB", OURS_MAX, 12, FULL_ONLY, NULL},
	{"pods.pss", "20 pods of 2: PSS per pod", "KB", RATIO_MAX, 0.20, 0, NULL},
	{"pods.all", " and files, kernel stacks, page tables", "KB", RATIO_MAX, 0.25, 0, NULL},
	{"pods.files", " of it files on the tmpfs", "KB", INFO, 0, 0, NULL},
	{"pods.kernel", " of it kernel stacks, page tables", "KB", INFO, 0, 0, NULL},
	{"growth.execs", "growth over the execs below", "KB", OURS_MAX, 64, 0, NULL},
	{"growth.count", " execs", "", INFO, 0, 0, NULL},
	{"idle.switches", "idle: wake-ups of all threads", "", OURS_MAX, 0, 0, NULL},
	{"idle.cpu", "idle: CPU", "us", OURS_MAX, 0, 0, NULL},
	{"restart.answer", "containerd restart: ctr task ls", "ms", RATIO_MAX, 0.8, 0, NULL},
	{"events.publish.latency", "exit to event, publish binary", "ms", INFO, 0, 0, NULL},
	{"events.publish.cpu", " CPU per event", "ms", INFO, 0, ALONE, NULL},
	{"events.ttrpc.latency", "exit to event, ttrpc", "ms", INFO, 0, 0, NULL},
	{"events.ttrpc.cpu", " CPU per event", "ms", OURS_MAX, 0.3, ALONE,
	    "an upper bound: a third of keeper's and worker's CPU of a whole exec"},
};
/* clang-format on */

struct values {
	double *v;
	size_t n;
};

static struct values table[ARRAY_LEN(figures)][PEERS];

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

double
percentile_of(double *v, size_t n, double p)
{
	size_t i = (size_t)(p * (double)n);

	qsort(v, n, sizeof *v, compare);
	return v[i < n ? i : n - 1];
}

double
median_of(double *v, size_t n)
{
	qsort(v, n, sizeof *v, compare);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static void
read_samples(const char *path)
{
	char key[64], peer[16];
	double value;
	FILE *f = fopen(path, "re");

	if (!f)
		die("open '%s': %s", path, strerror(errno));
	while (fscanf(f, "%63s %15s %lf", key, peer, &value) == 3) {
		for (size_t i = 0; i < ARRAY_LEN(figures); i++) {
			for (int p = 0; p < PEERS; p++) {
				struct values *s = &table[i][p];

				if (strcmp(figures[i].key, key) != 0 ||
				    strcmp(peer_name((enum peer)p), peer) != 0)
					continue;
				s->v = mem_realloc(s->v, (s->n + 1) * sizeof *s->v);
				s->v[s->n++] = value;
			}
		}
	}
	(void)fclose(f);
}

/* NAN: not measured */
static double
value_of(size_t i, enum peer p)
{
	struct values *s = &table[i][p];

	return s->n > 0 ? median_of(s->v, s->n) : NAN;
}

static bool
met(const struct figure *f, double ours, double ratio)
{
	switch (f->goal) {
	case INFO: return true;
	case RATIO_MAX: return ratio <= f->target;
	case RATIO_MIN: return ratio >= f->target;
	case OURS_MAX: return ours <= f->target;
	}
	return false;
}

static void
print_value(double v, int width)
{
	if (isnan(v))
		printf(" %*s", width, "-");
	else
		printf(" %*.*f", width, fabs(v) < 10 ? 2 : fabs(v) < 100 ? 1 : 0, v);
}

static void
print_row(size_t i)
{
	static const char *const marks[] = {"", "<=", ">=", "<="};
	const struct figure *f = &figures[i];
	double ours = value_of(i, PODSHIM), theirs = value_of(i, RUNC_V2);

	printf("%-40s %-5s", f->title, f->unit);
	print_value(ours, 9);
	print_value(theirs, 9);
	print_value(value_of(i, CONMON), 8);
	print_value(value_of(i, BARE), 8);
	if (f->goal == OURS_MAX || isnan(ours) || isnan(theirs) || theirs == 0)
		printf(" %7s", "");
	else
		printf(" %7.3f", ours / theirs);
	if (f->goal == INFO || (f->goal != OURS_MAX && (isnan(ours) || isnan(theirs)))) {
		printf("\n");
		return;
	}
	printf("  %s %-6g%s\n", marks[f->goal], f->target,
	    isnan(ours)			      ? "not measured"
		: met(f, ours, ours / theirs) ? "ok"
					      : "MISSED");
	if (f->why && !met(f, ours, ours / theirs))
		printf("    %s\n", f->why);
}

static bool
was_measured(const struct figure *f, double ours, double theirs)
{
	return !isnan(ours) && (f->goal == OURS_MAX || (!isnan(theirs) && theirs != 0));
}

static void
print_json(void)
{
	printf("[\n");
	for (size_t i = 0; i < ARRAY_LEN(figures); i++) {
		const struct figure *f = &figures[i];
		double ours = value_of(i, PODSHIM), theirs = value_of(i, RUNC_V2);

		printf("%s {\"key\":\"%s\",\"unit\":\"%s\"", i > 0 ? ",\n" : "", f->key,
		    f->unit);
		for (int p = 0; p < PEERS; p++) {
			const struct values *s = &table[i][p];
			double v = value_of(i, (enum peer)p); /* sorts */

			if (s->n > 0)
				printf(",\"%s\":{\"median\":%.6g,\"min\":%.6g,\"max\":%."
				       "6g,\"n\":%zu}",
				    peer_name((enum peer)p), v, s->v[0], s->v[s->n - 1],
				    s->n);
		}
		if (!isnan(ours) && !isnan(theirs) && theirs != 0)
			printf(",\"ratio\":%.4g", ours / theirs);
		if (f->goal != INFO)
			printf(",\"target\":%g,\"of\":\"%s\",\"met\":%s", f->target,
			    f->goal == OURS_MAX ? "value" : "ratio",
			    !was_measured(f, ours, theirs)    ? "null"
				: met(f, ours, ours / theirs) ? "true"
							      : "false");
		printf("}");
	}
	printf("\n]\n");
}

/* Was everything measured that should be? Prints what was not. */
static int
check_all(bool quick)
{
	int missing = 0;

	for (size_t i = 0; i < ARRAY_LEN(figures); i++) {
		const struct figure *f = &figures[i];

		if (quick && (f->flags & FULL_ONLY))
			continue;
		for (int p = 0; p < SHIMS; p++) {
			if (table[i][p].n > 0 || (p != PODSHIM && (f->flags & ALONE)))
				continue;
			printf(
			    "not measured: %s of %s\n", f->key, peer_name((enum peer)p));
			missing++;
		}
	}
	return missing > 0;
}

int
report_main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	read_samples(argv[1]);
	if (argc > 2 && strcmp(argv[2], "--json") == 0) {
		print_json();
		return 0;
	}
	if (argc > 2)
		return check_all(strcmp(argv[2], "--check-quick") == 0);
	printf("%-40s %-5s %9s %9s %8s %8s %7s  %s\n", "", "", "podshim", "runc-v2",
	    "conmon", "bare", "ratio", "target");
	for (size_t i = 0; i < ARRAY_LEN(figures); i++)
		if (table[i][PODSHIM].n > 0 || table[i][RUNC_V2].n > 0)
			print_row(i);
	return 0;
}
