/*
 * bench measure --dir D --ns N --address A --prefix P [--quick] [--alone] [FIGURE]...
 *	measure the groups of figures named (all), append samples to D/samples;
 *	--alone: of podshim only
 * bench report SAMPLES [--json]
 *	the table, or the figures as JSON
 *
 * Called by tests/bench/run, which provides the containerd. Measuring happens
 * in a mount namespace of its own without the cgroup2 of a hybrid host, which
 * crun cannot use; the same for every peer.
 */
#include "tests/bench/bench.h"

#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <unistd.h>

struct bench bench;

static const struct group {
	const char *name;
	void (*run)(void);
} groups[] = {
    {"life", fig_life},
    {"join", fig_join},
    {"exec", fig_exec},
    {"ctr", fig_ctr},
    {"state", fig_state},
    {"stats", fig_stats},
    {"io", fig_io},
    {"memory", fig_memory},
    {"pods", fig_pods},
    {"growth", fig_growth},
    {"idle", fig_idle},
    {"events", fig_events},
    {"conmon", fig_conmon},
    {NULL, NULL},
};

void
die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("bench: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(1);
}

void
note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("# ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
}

int
rounds(int full, int quick)
{
	double n = bench.quick ? quick : full * bench.scale;

	return n < 1 ? 1 : (int)n;
}

enum peer
turn(int round, int i)
{
	return bench.shims == 1 || (round + i) % SHIMS == 0 ? PODSHIM : RUNC_V2;
}

const char *
peer_name(enum peer p)
{
	static const char *const names[] = {"podshim", "runc-v2", "conmon", "bare"};

	return names[p];
}

void
sample(const char *key, enum peer p, double value)
{
	static FILE *f;
	char path[512];

	if (!f) {
		snprintf(path, sizeof path, "%s/samples", bench.dir);
		f = fopen(path, "ae");
		if (!f)
			die("open '%s': %s", path, strerror(errno));
	}
	fprintf(f, "%s %s %.6g\n", key, peer_name(p), value);
	(void)fflush(f);
}

static void
own_namespace(void)
{
	if (unshare(CLONE_NEWNS) == -1 ||
	    mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) == -1)
		die("a mount namespace: %s", strerror(errno));
	(void)umount2("/sys/fs/cgroup/unified", MNT_DETACH);
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == -1)
		die("subreaper: %s", strerror(errno));
	(void)signal(SIGPIPE, SIG_IGN);
}

static void
run_group(const struct group *g)
{
	double t0 = now_us();

	g->run();
	note("%s: %.1f s", g->name, (now_us() - t0) / 1e6);
}

static int
measure_main(int argc, char **argv)
{
	static const struct option options[] = {{"dir", required_argument, NULL, 'd'},
	    {"ns", required_argument, NULL, 'n'},
	    {"address", required_argument, NULL, 'a'},
	    {"publish", required_argument, NULL, 'P'},
	    {"prefix", required_argument, NULL, 'p'},
	    {"image", required_argument, NULL, 'i'}, {"alone", no_argument, NULL, 'A'},
	    {"quick", no_argument, NULL, 'q'}, {"scale", required_argument, NULL, 's'},
	    {0}};
	char ttrpc[256];
	int c;

	bench.scale = 1;
	bench.shims = SHIMS;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'd': bench.dir = optarg; break;
		case 'n': bench.ns = optarg; break;
		case 'a': bench.address = optarg; break;
		case 'P': bench.publish = optarg; break;
		case 'p': bench.prefix = optarg; break;
		case 'i': bench.image = optarg; break;
		case 'q': bench.quick = true; break;
		case 'A': bench.shims = 1; break;
		case 's': bench.scale = strtod(optarg, NULL); break;
		default: return 2;
		}
	}
	if (!bench.dir || !bench.ns || !bench.address || !bench.publish || !bench.prefix)
		die("--dir, --ns, --address, --publish and --prefix are needed");
	own_namespace();
	snprintf(ttrpc, sizeof ttrpc, "%s.ttrpc", bench.address);
	(void)setenv("TTRPC_ADDRESS", ttrpc, 1);
	(void)setenv("GOMAXPROCS", "2", 1); /* as containerd does */
	use_config(NULL);
	for (int p = 0; p < PEERS; p++)
		cg_make((enum peer)p);
	for (const struct group *g = groups; g->name && optind == argc; g++)
		run_group(g);
	for (; optind < argc; optind++) {
		const struct group *g = groups;

		while (g->name && strcmp(g->name, argv[optind]) != 0)
			g++;
		if (!g->name)
			die("no figures '%s'", argv[optind]);
		run_group(g);
	}
	return 0;
}

int
main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "measure") == 0)
		return measure_main(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "report") == 0)
		return report_main(argc - 1, argv + 1);
	fprintf(stderr, "usage: bench measure|report ...\n");
	return 2;
}
