/*
 * The fault walk: the first call of a kind fails, then the second, and so on,
 * until a script never comes to the n-th one. What must hold each time: the
 * keeper lives, each request is answered once, containers and connections that
 * did nothing wrong live on, no descriptor stays, no exit is lost, and the pod
 * ends when it is told to. An error is fine for the one who was hit.
 */
#include "base/mem.h"
#include "tests/fault/script.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *const kinds[INJECT_KINDS] = {
    [INJECT_MEM] = "mem",
    [INJECT_FD] = "fd",
    [INJECT_RECV] = "recv",
    [INJECT_FORK] = "fork",
    [INJECT_EXEC] = "exec",
    [INJECT_EPOLL] = "epoll",
    [INJECT_SEND] = "send",
    [INJECT_SPACE] = "space",
};

static const char usage[] =
    "usage: fault --prefix DIR --helpers DIR --script life|rude|whole --kind KIND\n"
    "             [--burst N] [--from N] [--to N] [--stride N]\n";

static struct world w;
static enum inject_kind kind;
static const char *script;
static unsigned long burst = 1, from = 1, to = 100000, stride = 1;

static unsigned n_pods, n_walked, n_failed;

static void
report(unsigned long at, unsigned before)
{
	n_walked++;
	if (complaints == before)
		return;
	n_failed++;
	(void)printf("not ok - %s, %s: call %lu\n", script, kinds[kind], at);
	inject_say(&w);
	(void)fflush(stdout);
}

/* One pod that lives on from one failure to the next. False: it never came to be. */
static bool
walk_in_one_pod(void (*run)(struct anchor *a))
{
	unsigned before = complaints;
	struct account base;
	struct anchor a;
	unsigned long at;
	bool up = false;

	for (at = from; at <= to; at += stride) {
		if (!up) {
			inject_arm(&w, kind, 0, 0);
			up = anchor_start(&a, &w, ++n_pods);
			if (!up)
				return false;
			run(&a); /* warm: what stays from the first time */
			up = anchor_rest(&a, &base);
			if (!up || complaints != before)
				return false;
		}
		inject_arm(&w, kind, (uint32_t)at, (uint32_t)burst);
		run(&a);
		w.inject->kind = INJECT_OFF;
		if (inject_hits(&w) == 0)
			break;
		(void)anchor_check(&a, &base);
		report(at, before);
		if (complaints != before) {
			before = complaints;
			anchor_drop(&a);
			pod_fini(&a.pod);
			up = false;
		}
	}
	if (up) {
		inject_arm(&w, kind, 0, 0);
		if (!anchor_end(&a))
			anchor_drop(&a);
		pod_fini(&a.pod);
	}
	return complaints == before;
}

/* A pod from its start to its end for each failure. */
static bool
walk_pods(void)
{
	unsigned long at;

	for (at = from; at <= to; at += stride) {
		unsigned before = complaints;
		struct anchor a;
		bool hit;

		inject_arm(&w, kind, (uint32_t)at, (uint32_t)burst);
		if (!anchor_start(&a, &w, ++n_pods) || !anchor_end(&a))
			anchor_drop(&a);
		hit = inject_hits(&w) > 0;
		w.inject->kind = INJECT_OFF;
		bundle_remove(&w, a.pod.group);
		pod_fini(&a.pod);
		if (!hit && complaints == before)
			break;
		report(at, before);
	}
	return true;
}

static bool
parse(int argc, char **argv)
{
	static const struct option options[] = {{"prefix", 1, NULL, 'p'},
	    {"helpers", 1, NULL, 'h'}, {"script", 1, NULL, 's'}, {"kind", 1, NULL, 'k'},
	    {"burst", 1, NULL, 'b'}, {"from", 1, NULL, 'f'}, {"to", 1, NULL, 't'},
	    {"stride", 1, NULL, 'n'}, {NULL, 0, NULL, 0}};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'p': w.prefix = optarg; break;
		case 'h': w.helpers = optarg; break;
		case 's': script = optarg; break;
		case 'k':
			for (kind = INJECT_MEM; kind < INJECT_KINDS; kind++)
				if (strcmp(kinds[kind], optarg) == 0)
					break;
			break;
		case 'b': burst = strtoul(optarg, NULL, 10); break;
		case 'f': from = strtoul(optarg, NULL, 10); break;
		case 't': to = strtoul(optarg, NULL, 10); break;
		case 'n': stride = strtoul(optarg, NULL, 10); break;
		default: return false;
		}
	}
	return w.prefix != NULL && w.helpers != NULL && script != NULL &&
	    kind > INJECT_OFF && kind < INJECT_KINDS && from > 0 && stride > 0 &&
	    burst > 0;
}

int
main(int argc, char **argv)
{
	bool came;

	if (!parse(argc, argv)) {
		(void)fputs(usage, stderr);
		return 2;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	world_make(&w);
	if (strcmp(script, "life") == 0)
		came = walk_in_one_pod(script_life);
	else if (strcmp(script, "rude") == 0)
		came = walk_in_one_pod(script_rude);
	else
		came = walk_pods();
	if (!came || complaints > 0)
		(void)printf("# left for a look: %s\n", w.dir);
	else
		world_remove(&w);
	(void)printf("%s - %s, %s: %u failures one by one, %u of them not survived\n",
	    came && n_failed == 0 ? "ok" : "not ok", script, kinds[kind], n_walked,
	    n_failed);
	return came && complaints == 0 ? 0 : 1;
}
