/*
 * worker/outbox with a real containerd of this test's own: both transports
 * deliver, in order per container; containerd is killed and started again, and
 * nothing is lost. `ctr events` is the witness.
 *
 * What `ctr events` had not printed when containerd was killed, it never will.
 * So containerd is stopped before the last events are sent to it, and none are
 * sent to its successor before the witness listens.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/loop.h"
#include "fake_link.h"
#include "proto/events.pb-c.h"
#include "proto/wire.h"
#include "store_helper.h"
#include "worker/conf.h"
#include "worker/outbox.h"

#define NS	   "podshim-test"
#define CONTAINERS 3u
#define EVENTS_MAX 200u

static const char *dir;
static char *sock, *ttrpc_sock, *events_file;
static pid_t containerd, witness;
static struct loop *loop;
static struct link *lk;
static struct store *st;
static struct outbox *ob;
static unsigned added[CONTAINERS];

/* --- programs ------------------------------------------------------------------------- */

static pid_t
run(const char *out, char *const argv[])
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		int fd = open(out, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

		(void)dup2(fd, 1);
		(void)dup2(fd, 2);
		(void)execvp(argv[0], argv);
		_exit(127);
	}
	return pid;
}

static void
stop(pid_t *pid, int signo)
{
	if (*pid > 0) {
		(void)kill(*pid, signo);
		(void)waitpid(*pid, NULL, 0);
	}
	*pid = 0;
}

static bool
installed(const char *name)
{
	AUTO_FREE char *sh = mem_printf("command -v %s", name);
	char *argv[] = {(char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", sh, NULL};
	int status;
	pid_t pid = run("/dev/null", argv);

	return waitpid(pid, &status, 0) == pid && status == 0;
}

/* Run a command to its end; its status. */
static int
command(const char *text)
{
	AUTO_FREE char *log = path_in(dir, "commands.log"), *copy = mem_strdup(text);
	char *argv[] = {(char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", copy, NULL};
	int status = 0;
	pid_t pid = run(log, argv);

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static char *
read_events(void)
{
	char *text;
	size_t len;

	if (file_read(AT_FDCWD, events_file, 8u << 20, &text, &len, NULL) < 0)
		return mem_strdup("");
	return text;
}

static void
containerd_start(void)
{
	AUTO_FREE char *config = path_in(dir, "config.toml"),
		       *log = path_in(dir, "containerd.log");
	AUTO_FREE char *version = mem_printf("ctr -a %s version", sock);
	char *argv[] = {
	    (char *)(uintptr_t) "containerd", (char *)(uintptr_t) "-c", config, NULL};
	boot_us_t end = clock_boot_us() + 30 * US_PER_S;

	containerd = run(log, argv);
	while (command(version) != 0) {
		assert_true(clock_boot_us() < end);
		(void)poll(NULL, 0, 20);
	}
}

/* Start `ctr events`, and wait until it sees what we do. */
static void
witness_start(void)
{
	AUTO_FREE char *name = mem_printf("%s-%ld", NS, (long)clock_boot_us());
	char *argv[] = {(char *)(uintptr_t) "ctr", (char *)(uintptr_t) "-a", sock,
	    (char *)(uintptr_t) "events", NULL};
	AUTO_FREE char *probe = mem_printf("ctr -a %s namespaces create %s; "
					   "ctr -a %s namespaces remove %s",
	    sock, name, sock, name);
	boot_us_t end = clock_boot_us() + 30 * US_PER_S;

	witness = run(events_file, argv);
	for (;;) {
		AUTO_FREE char *seen = NULL;

		(void)command(probe);
		seen = read_events();
		if (strstr(seen, name) != NULL)
			return;
		assert_true(clock_boot_us() < end);
	}
}

static int
group_setup(void **state)
{
	static const char config[] =
	    "version = 2\nroot = \"%s/root\"\nstate = \"%s/state\"\n"
	    "disabled_plugins = [\"io.containerd.grpc.v1.cri\", "
	    "\"io.containerd.snapshotter.v1.aufs\", "
	    "\"io.containerd.snapshotter.v1.btrfs\", "
	    "\"io.containerd.snapshotter.v1.devmapper\", "
	    "\"io.containerd.snapshotter.v1.zfs\", "
	    "\"io.containerd.internal.v1.opt\", \"io.containerd.internal.v1.tracing\", "
	    "\"io.containerd.tracing.processor.v1.otlp\"]\n[grpc]\n  address = \"%s\"\n";
	AUTO_FREE char *text = NULL, *path = NULL;

	if (dir_setup(state) != 0)
		return -1;
	dir = *state;
	sock = path_in(dir, "s");
	ttrpc_sock = path_in(dir, "s.ttrpc");
	events_file = path_in(dir, "events");
	path = path_in(dir, "config.toml");
	if (asprintf(&text, config, dir, dir, sock) < 0)
		return -1;
	return file_write(AT_FDCWD, path, text, strlen(text), 0600, NULL);
}

static int
group_teardown(void **state)
{
	stop(&witness, SIGKILL);
	stop(&containerd, SIGTERM);
	free(sock);
	free(ttrpc_sock);
	free(events_file);
	return dir_teardown(state);
}

static void
need_containerd(void)
{
	if (geteuid() == 0 && installed("containerd") && installed("ctr"))
		return;
	print_message("no containerd and ctr here, or not root: skipping\n");
	skip();
}

/* --- events ------------------------------------------------------------------------------ */

static void
open_outbox(enum conf_transport how, bool publish, bool ttrpc)
{
	const struct conf conf = {.events_transport = how};
	const struct outbox_target target = {.ns = NS,
	    .grpc_address = sock,
	    .ttrpc_address = ttrpc ? ttrpc_sock : "",
	    .publish_binary = publish ? "containerd" : ""};

	ob = outbox_new(loop, lk, st, &conf, &target);
	outbox_resume(ob);
}

static void
begin(enum conf_transport how, bool publish, bool ttrpc)
{
	loop = loop_new();
	lk = fake_link_new();
	st = open_expect(dir, STORE_CREATED);
	memset(added, 0, sizeof added);
	(void)unlink(events_file);
	if (containerd == 0)
		containerd_start();
	witness_start();
	open_outbox(how, publish, ttrpc);
}

static void
finish(void)
{
	AUTO_FREE char *db = mem_printf("rm -f %s/state.db*", dir);

	outbox_free(ob);
	loop_once(loop, 1);
	store_close(st);
	assert_int_equal(fake_link_steps(lk) + fake_link_fds(lk), 0);
	fake_link_free(lk);
	loop_free(loop);
	assert_int_equal(command(db), 0);
	stop(&witness, SIGKILL);
}

/* The next event of container c: TaskExecAdded, numbered in exec_id. */
static void
add(unsigned c, bool exec)
{
	Containerd__Events__TaskExecAdded ev = CONTAINERD__EVENTS__TASK_EXEC_ADDED__INIT;
	AUTO_FREE char *container = mem_printf("c%u", c);
	AUTO_FREE char *number = mem_printf("n%u.", added[c]++);
	AUTO_FREE void *body = NULL;
	size_t len;

	ev.container_id = container;
	ev.exec_id = number;
	wire_pack(&ev.base, &body, &len);
	store_begin(st);
	outbox_add(ob, container, exec ? number : "", "/tasks/exec-added",
	    "containerd.events.TaskExecAdded", body, len);
	commit_ok(st);
	outbox_kick(ob);
}

static void
turn(void)
{
	loop_once(loop, 1);
	fake_link_poll(lk);
	(void)poll(NULL, 0, 1);
}

static void
turn_until_empty(void)
{
	boot_us_t end = clock_boot_us() + 60 * US_PER_S;

	while (!outbox_empty(ob)) {
		assert_true(clock_boot_us() < end);
		turn();
	}
}

/* Each event of each container was seen, for the first time in order. */
static void
all_seen(void)
{
	boot_us_t end = clock_boot_us() + 20 * US_PER_S;
	unsigned c, n;

	for (c = 0; c < CONTAINERS; c++) {
		for (n = 0; n < added[c]; n++) {
			AUTO_FREE char *want =
			    mem_printf("%s /tasks/exec-added "
				       "{\"container_id\":\"c%u\",\"exec_id\":\"n%u.\"}",
				NS, c, n);
			AUTO_FREE char *before = n == 0
			    ? NULL
			    : mem_printf(
				  "{\"container_id\":\"c%u\",\"exec_id\":\"n%u.\"}", c,
				  n - 1);

			for (;;) {
				AUTO_FREE char *seen = read_events();
				const char *at = strstr(seen, want);

				if (at != NULL) {
					assert_true(
					    before == NULL || strstr(seen, before) < at);
					break;
				}
				if (clock_boot_us() > end)
					fail_msg("not seen: %s", want);
				(void)poll(NULL, 0, 20);
			}
		}
	}
}

/* --- tests ------------------------------------------------------------------------------ */

static void
on_sent(const struct row_sent *row, void *arg)
{
	*(bool *)arg |= row->attempts > 0;
}

/* least and most: the children it takes where each event is taken at once. */
static void
deliver_some(
    enum conf_transport how, bool publish, bool ttrpc, unsigned least, unsigned most)
{
	bool again = false;
	unsigned i;

	begin(how, publish, ttrpc);
	for (i = 0; i < 8 * CONTAINERS; i++)
		add(i % CONTAINERS, i % 2 == 0);
	turn_until_empty();
	all_seen();
	/* a busy containerd may miss a deadline: another child, or one in place of ttrpc */
	assert_int_equal(store_each_sent(st, 0, on_sent, &again, NULL), 0);
	assert_in_range(
	    fake_link_spawned(lk), least, again && most > 0 ? UINT_MAX : most);
	assert_true(fake_link_most(lk) <= 1);
	finish();
}

static void
test_containerd_takes_events_both_ways(void **state)
{
	(void)state;
	need_containerd();
	deliver_some(TRANSPORT_PUBLISH_BINARY, true, true, 24, 24);
	deliver_some(TRANSPORT_TTRPC, true, true, 0, 0);
	deliver_some(TRANSPORT_AUTO, true, true, 12, 12);
	deliver_some(TRANSPORT_AUTO, true, false, 24, 24);
	deliver_some(TRANSPORT_AUTO, false, true, 0, 0);
}

static void
kill_in_the_middle(enum conf_transport how)
{
	unsigned i;

	begin(how, true, true);
	for (i = 0; i < 4 * CONTAINERS; i++)
		add(i % CONTAINERS, i % 2 == 0);
	turn_until_empty();
	all_seen();
	/* on their way, but never answered: told once all of its threads have stopped */
	assert_int_equal(kill(containerd, SIGSTOP), 0);
	assert_int_equal(waitpid(containerd, NULL, WUNTRACED), containerd);
	for (i = 0; i < 2 * CONTAINERS; i++)
		add(i % CONTAINERS, i % 2 == 1);
	for (i = 0; i < 50; i++)
		turn();
	assert_false(outbox_empty(ob));
	stop(&containerd, SIGKILL);
	stop(&witness, SIGKILL);
	/* while it is away */
	for (i = 0; i < 4 * CONTAINERS; i++)
		add(i % CONTAINERS, i % 2 == 0);
	for (i = 0; i < 300; i++)
		turn();
	assert_false(outbox_empty(ob));
	/* and the worker, too */
	outbox_free(ob);
	loop_once(loop, 1);
	fake_link_worker_dies(lk);
	containerd_start();
	witness_start();
	open_outbox(how, true, true);
	turn_until_empty();
	all_seen();
	finish();
}

static void
test_containerd_killed_and_back(void **state)
{
	(void)state;
	need_containerd();
	kill_in_the_middle(TRANSPORT_AUTO);
	kill_in_the_middle(TRANSPORT_TTRPC);
	kill_in_the_middle(TRANSPORT_PUBLISH_BINARY);
}

/* Without a restart of ours: the delays alone bring it back. */
static void
test_containerd_comes_back_by_itself(void **state)
{
	unsigned i;

	(void)state;
	need_containerd();
	begin(TRANSPORT_AUTO, true, true);
	add(0, false);
	turn_until_empty();
	all_seen();
	stop(&witness, SIGKILL);
	stop(&containerd, SIGKILL);
	for (i = 0; i < 2 * CONTAINERS; i++)
		add(i % CONTAINERS, i % 2 == 0);
	for (i = 0; i < 100; i++)
		turn();
	assert_false(outbox_empty(ob));
	containerd_start();
	witness_start();
	turn_until_empty();
	all_seen();
	finish();
}

/* What containerd rejects is dropped, and does not block what follows. */
static void
test_containerd_rejects(void **state)
{
	static const enum conf_transport ways[] = {
	    TRANSPORT_TTRPC, TRANSPORT_PUBLISH_BINARY};
	struct store_counts counts;
	size_t i;

	(void)state;
	need_containerd();
	for (i = 0; i < ARRAY_LEN(ways); i++) {
		begin(ways[i], true, true);
		store_begin(st);
		outbox_add(
		    ob, "c0", "", "no/slash", "containerd.events.TaskOOM", "\n\2c0", 4);
		commit_ok(st);
		outbox_kick(ob);
		add(0, false);
		turn_until_empty();
		all_seen();
		assert_int_equal(store_count(st, &counts, NULL), 0);
		assert_int_equal(counts.events_pending, 0);
		finish();
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_containerd_takes_events_both_ways),
	    cmocka_unit_test(test_containerd_rejects),
	    cmocka_unit_test(test_containerd_comes_back_by_itself),
	    cmocka_unit_test(test_containerd_killed_and_back),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
