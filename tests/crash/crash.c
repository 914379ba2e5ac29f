/*
 * The crash harness's main(): options, the temporary world, pods until there
 * were enough kills, and the table. It is started by `run`.
 */
#include "crash.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <getopt.h>
#include <glob.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "co.h"
#include "events.h"
#include "life.h"
#include "points.h"

struct options opt = {.rounds = 300, .pods = 6, .lives = 3, .runc_percent = 10};
volatile sig_atomic_t interrupted;
struct tally tally;
struct event_base *base;
char *tmp_dir;
char *namespace;

static unsigned long kills_given;
static unsigned walk_failed;

static void
pods_one_after_the_other(void *arg)
{
	(void)arg;
	while (kills_given < opt.rounds && !interrupted &&
	    !(opt.stop && faults_total() > 0)) {
		unsigned *kills = mem_zalloc(sizeof *kills);

		*kills = chance(90) ? 1 + rnd(7) : 1 + rnd(15);
		if (*kills > opt.rounds - kills_given)
			*kills = (unsigned)(opt.rounds - kills_given);
		if (kills_given / 1000 != (kills_given + *kills) / 1000)
			say("%lu kills", kills_given + *kills);
		kills_given += *kills;
		if (opt.no_kill)
			*kills = 0;
		pod_life(kills);
	}
}

static void
whole_run(void *arg)
{
	struct co_group pods = {0};
	unsigned i;

	(void)arg;
	if (opt.only_point != NULL) {
		walk_failed = points_walk();
	} else {
		for (i = 0; i < opt.pods; i++)
			co_group_spawn(&pods, pods_one_after_the_other, NULL);
		co_group_wait(&pods);
	}
	(void)event_base_loopbreak(base);
}

static void
copy_program(const char *from, const char *to, mode_t mode)
{
	AUTO_FREE char *path = mem_printf("%s/%s", tmp_dir, to);
	AUTO_FREE char *bytes = NULL;
	struct err err = ERR_INIT;
	size_t len;

	if (file_read(AT_FDCWD, from, 64u << 20, &bytes, &len, &err) < 0 ||
	    file_write(AT_FDCWD, path, bytes, len, mode, &err) < 0) {
		say("%s", err.text);
		exit(2);
	}
}

static void
make_world(void)
{
	static const char *const dirs[] = {"", "/bundles", "/state", "/rootfs",
	    "/rootfs/proc", "/rootfs/dev", "/rootfs/dev/pts"};
	char template[] = "/tmp/podshim-crash.XXXXXX";
	AUTO_FREE char *helper = mem_printf("%s/fakeruntime", opt.helpers);
	size_t i;

	if (mkdtemp(template) == NULL) {
		say("mkdtemp: %s", strerror(errno));
		exit(2);
	}
	tmp_dir = mem_strdup(template);
	namespace = mem_printf("crash-%s", template + strlen("/tmp/podshim-crash."));
	(void)chmod(tmp_dir, 0711);
	for (i = 1; i < ARRAY_LEN(dirs); i++) {
		AUTO_FREE char *path = mem_printf("%s%s", tmp_dir, dirs[i]);

		(void)mkdir(path, 0755);
	}
	copy_program(helper, "fakeruntime", 0755);
	copy_program(helper, "crash-publish", 0755);
	copy_program(helper, "rootfs/prog", 0755);
}

/* The parent of the containers' cgroups; another harness may still be using it. */
static void
remove_cgroups(void)
{
	glob_t all;
	size_t i;

	(void)rmdir("/sys/fs/cgroup/podshim-crash");
	if (glob("/sys/fs/cgroup/*/podshim-crash", 0, NULL, &all) == 0)
		for (i = 0; i < all.gl_pathc; i++)
			(void)rmdir(all.gl_pathv[i]);
	globfree(&all);
}

static void
unmake_world(void)
{
	pid_t pid;

	if (faults_total() > 0) {
		say("left for a look: %s", tmp_dir);
		return;
	}
	remove_cgroups();
	pid = fork();
	if (pid == 0) {
		(void)execl("/bin/rm", "rm", "-rf", tmp_dir, (char *)NULL);
		_exit(127);
	}
	(void)waitpid(pid, NULL, 0);
}

static void
usage(void)
{
	(void)fprintf(stderr,
	    "usage: crash --prefix DIR --helpers DIR [--rounds N] [--seed S] [--pods N]\n"
	    "  [--lives N] [--runc PERCENT] [--points FILE [--point NAME|all]]\n"
	    "  [--stop] [--verbose] [--no-kill]\n");
	exit(2);
}

static void
parse(int argc, char **argv)
{
	static const struct option longs[] = {{"prefix", 1, NULL, 'p'},
	    {"helpers", 1, NULL, 'h'}, {"rounds", 1, NULL, 'r'}, {"seed", 1, NULL, 's'},
	    {"pods", 1, NULL, 'n'}, {"lives", 1, NULL, 'l'}, {"runc", 1, NULL, 'c'},
	    {"points", 1, NULL, 'P'}, {"point", 1, NULL, 'o'}, {"stop", 0, NULL, 'S'},
	    {"verbose", 0, NULL, 'v'}, {"no-kill", 0, NULL, 'N'}, {"shim", 1, NULL, 'x'},
	    {"basic", 0, NULL, 'b'}, {NULL, 0, NULL, 0}};
	const char *slow = getenv("PODSHIM_TEST_SLOW");
	int c;

	opt.seed = (unsigned long)time(NULL);
	opt.slow = slow != NULL ? (unsigned)strtoul(slow, NULL, 10) : 1;
	if (opt.slow == 0)
		opt.slow = 1;
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'p': opt.prefix = optarg; break;
		case 'h': opt.helpers = optarg; break;
		case 'r': opt.rounds = strtoul(optarg, NULL, 10); break;
		case 's': opt.seed = strtoul(optarg, NULL, 10); break;
		case 'n': opt.pods = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'l': opt.lives = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'c': opt.runc_percent = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'P': opt.points = optarg; break;
		case 'o': opt.only_point = optarg; break;
		case 'S': opt.stop = true; break;
		case 'v': opt.verbose = true; break;
		case 'x':
			opt.shim = optarg;
			opt.foreign = true;
			opt.no_kill = true;
			break;
		case 'b': opt.basic = true; break;
		case 'N': opt.no_kill = true; break;
		default: usage();
		}
	}
	if (opt.prefix == NULL || opt.helpers == NULL || optind != argc)
		usage();
	if (opt.shim == NULL)
		opt.shim = mem_printf("%s/bin/containerd-shim-podshim-v1", opt.prefix);
}

static void
on_interrupt(int signo)
{
	(void)signo;
	interrupted = 1;
}

int
main(int argc, char **argv)
{
	const struct sigaction sa = {
	    .sa_handler = on_interrupt, .sa_flags = (int)(SA_RESTART | SA_RESETHAND)};
	struct rlimit rl;
	uint64_t start;

	parse(argc, argv);
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)sigaction(SIGINT, &sa, NULL);
	(void)sigaction(SIGTERM, &sa, NULL);
	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &rl);
	}
	make_world();
	points_load();
	base = event_base_new();
	if (base == NULL)
		return 2;
	co_init(base);
	events_open();
	say("seed %lu, %s, %zu crash points", opt.seed, tmp_dir, points_count());
	start = now_us();
	co_spawn(whole_run, NULL);
	(void)event_base_dispatch(base);
	tally_print((double)(now_us() - start) / 1e6);
	unmake_world();
	return interrupted ? 130 : faults_total() > 0 || walk_failed > 0;
}
