/*
 * What `why`, `doctor`, `kill`, `exec` and `stats` know without a pod: signals' names,
 * the beginning of a request, units of systemd, an exec's process, how findings
 * are printed, what keepers and workers may be in, and files of cgroup v2.
 */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <jansson.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/podpath.h"
#include "client/act.h"
#include "client/exec_spec.h"
#include "client/finding.h"
#include "client/look.h"
#include "client/node.h"
#include "client/unit.h"
#include "client/usage.h"
#include "client/why.h"
#include "oci/cgroup_dirs.h"
#include "oci/mountinfo.h"
#include "store_helper.h"

static void
put(const char *dir, const char *name, const char *text)
{
	AUTO_FREE char *path = mem_printf("%s/%s", dir, name);
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void
test_why_signals(void **state)
{
	(void)state;
	assert_int_equal(signal_of_name("9"), 9);
	assert_int_equal(signal_of_name("TERM"), SIGTERM);
	assert_int_equal(signal_of_name("sigterm"), SIGTERM);
	assert_int_equal(signal_of_name("RTMIN"), SIGRTMIN);
	assert_int_equal(signal_of_name("SIGRTMIN+3"), SIGRTMIN + 3);
	assert_int_equal(signal_of_name("RTMAX-1"), SIGRTMAX - 1);
	assert_int_equal(signal_of_name("64"), 64);
	assert_int_equal(signal_of_name("65"), -1);
	assert_int_equal(signal_of_name("0"), -1);
	assert_int_equal(signal_of_name("9x"), -1);
	assert_int_equal(signal_of_name("RTMIN+99"), -1);
	assert_int_equal(signal_of_name("NOPE"), -1);
	assert_int_equal(signal_of_name(""), -1);
	assert_string_equal(signal_text(SIGHUP), "SIGHUP");
}

static void
frame_is(const char *hex, const char *method, const char *id, const char *exec_id)
{
	struct look_request r;

	look_parse_frame(hex, &r);
	assert_string_equal(r.method, method);
	assert_string_equal(r.id, id);
	assert_string_equal(r.exec_id, exec_id);
	free(r.method);
	free(r.id);
	free(r.exec_id);
}

static void
test_why_frames(void **state)
{
	(void)state;
	/* service "s", method "Kill", payload {id "c1", exec id "e"} */
	frame_is("0a0173"
		 "12044b696c6c"
		 "1a07"
		 "0a026331"
		 "120165",
	    "Kill", "c1", "e");
	/* Create's second field is no exec */
	frame_is("0a0173"
		 "1206437265617465"
		 "1a08"
		 "0a026331"
		 "12022f62",
	    "Create", "c1", "");
	/* cut anywhere, or nonsense: as far as it goes */
	frame_is("0a0173"
		 "12044b69",
	    "Ki", "", "");
	frame_is("0a0173"
		 "12044b696c6c"
		 "1aff01"
		 "0a0263",
	    "Kill", "c", "");
	frame_is("", "", "", "");
	frame_is("ffffffffffffffffffffffff", "", "", "");
	frame_is("xyz", "", "", "");
}

static void
mode_is(const char *const *dirs, const char *want)
{
	AUTO_FREE char *mode = unit_kill_mode("c.service", dirs);

	if (want == NULL)
		assert_null(mode);
	else
		assert_string_equal(mode, want);
}

static void
test_why_units(void **state)
{
	AUTO_FREE char *etc = path_in(*state, "etc");
	AUTO_FREE char *lib = path_in(*state, "lib");
	AUTO_FREE char *drop = path_in(*state, "lib/c.service.d");
	const char *const dirs[] = {etc, lib, NULL};

	assert_int_equal(mkdir(etc, 0700), 0);
	assert_int_equal(mkdir(lib, 0700), 0);
	mode_is(dirs, NULL);
	put(lib, "c.service", "[Service]\nExecStart=/bin/c\n");
	mode_is(dirs, "control-group");
	put(lib, "c.service", "[Service]\n#KillMode=mixed\n KillMode = process \n");
	mode_is(dirs, "process");
	assert_int_equal(mkdir(drop, 0700), 0);
	put(drop, "9.conf", "[Service]\nKillMode=mixed\n");
	put(drop, "1.conf", "[Service]\nKillMode=none\n");
	put(drop, "readme", "KillMode=process\n");
	mode_is(dirs, "mixed");
	put(drop, "9.conf", "[Service]\nKillMode=\n");
	mode_is(dirs, "control-group");
}

static json_t *
spec_of(const char *bundle, const struct exec_spec *spec, bool want_plain)
{
	AUTO_FREE char *text = NULL;
	struct err err = ERR_INIT;
	bool plain;
	json_t *doc;

	assert_int_equal(exec_spec_make(bundle, spec, &text, &plain, &err), 0);
	assert_true(plain == want_plain);
	doc = json_loads(text, 0, NULL);
	assert_non_null(doc);
	return doc;
}

static void
test_why_exec_spec(void **state)
{
	char a[] = "a", bc[] = "b c", b2[] = "B=2", c3[] = "C=3", odd[] = "\xff";
	char *args[] = {a, bc, NULL};
	char *env[] = {b2, c3, NULL};
	struct exec_spec spec = {.args = args, .env = env, .cwd = "/w", .user = "7:8"};
	struct err err = ERR_INIT;
	AUTO_FREE char *text = NULL;
	json_t *doc, *limit;
	bool plain;

	doc = spec_of(*state, &spec, true);
	json_decref(doc);
	put(*state, "config.json",
	    "{\"process\": {\"args\": [\"x\"], \"env\": [\"A=1\", \"B=1\"], \"cwd\": "
	    "\"/\","
	    " \"rlimits\": [{\"type\": \"R\", \"hard\": 18446744073709551615, \"soft\": "
	    "1024}]}}");
	doc = spec_of(*state, &spec, false);
	assert_int_equal(json_array_size(json_object_get(doc, "env")), 3);
	assert_string_equal(
	    json_string_value(json_array_get(json_object_get(doc, "env"), 1)), "B=2");
	assert_string_equal(
	    json_string_value(json_array_get(json_object_get(doc, "args"), 1)), "b c");
	assert_string_equal(json_string_value(json_object_get(doc, "cwd")), "/w");
	assert_int_equal(
	    json_integer_value(json_object_get(json_object_get(doc, "user"), "gid")), 8);
	limit = json_array_get(json_object_get(doc, "rlimits"), 0);
	assert_true(json_integer_value(json_object_get(limit, "hard")) == INT64_MAX);
	assert_int_equal(json_integer_value(json_object_get(limit, "soft")), 1024);
	json_decref(doc);
	spec.user = "root";
	assert_int_equal(exec_spec_make(*state, &spec, &text, &plain, &err), -EINVAL);
	spec.user = NULL;
	args[0] = odd;
	assert_int_equal(exec_spec_make(*state, &spec, &text, &plain, &err), -EILSEQ);
}

static char *
printed(const struct findings *f, enum ctl_format format)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	struct ctl ctl = {.out = out, .err = out, .format = format};

	findings_print(&ctl, f, "All is well.");
	assert_int_equal(fclose(out), 0);
	return text;
}

static void
test_why_findings(void **state)
{
	struct findings f = {0};
	AUTO_FREE char *none = printed(&f, FORMAT_TABLE);
	AUTO_FREE char *people = NULL;
	AUTO_FREE char *json = NULL;
	json_t *doc;

	(void)state;
	assert_string_equal(none, "All is well.\n");
	finding_add(&f, FINDING_NOTE, "n", "ns/a", NULL, "A note %d.", 1);
	finding_add(&f, FINDING_BAD, "b", "ns/b", "mend it", "It is \x1b bad.");
	people = printed(&f, FORMAT_TABLE);
	assert_string_equal(people,
	    "bad  ns/b\n  It is \\x1b bad.\n  -> mend it\n"
	    "note  ns/a\n  A note 1.\n");
	assert_int_equal(findings_count(&f, FINDING_WARNING), 1);
	json = printed(&f, FORMAT_JSON);
	doc = json_loads(json, 0, NULL);
	assert_int_equal(json_array_size(doc), 2);
	assert_string_equal(
	    json_string_value(json_object_get(json_array_get(doc, 1), "code")), "b");
	json_decref(doc);
	findings_fini(&f);
}

/* --- of a pod, what no shell can make for real ------------------------------------ */

struct scene {
	struct pod pod;
	struct proc proc;
	struct procs procs;
	struct look look;
	struct event_info event;
	struct findings out;
};

static char running[] = "worker_state=running\n";
static char ns_text[] = "ns", group_text[] = "web", path_text[] = "/nonexistent";
static char name_text[] = "web.01234567";

static void
scene_make(struct scene *s, enum keeper_state keeper)
{
	*s = (struct scene){.pod = {.ns = ns_text,
				.group = group_text,
				.name = name_text,
				.path = path_text,
				.keeper = keeper,
				.known = true,
				.status = running},
	    .proc = {.pid = 2000000000, .comm = "podshim-worker"}};
	s->procs = (struct procs){.v = &s->proc, .n = 1};
	s->look = (struct look){.pod = &s->pod,
	    .procs = &s->procs,
	    .keeper = 1999999999,
	    .young_us = 1000000};
}

/* The only finding, and its text. */
static void
scene_says(struct scene *s, const char *code, enum severity severity, const char *text)
{
	why_pod(&s->look, &s->out);
	assert_int_equal(s->out.n, 1);
	assert_string_equal(s->out.v[0].code, code);
	assert_int_equal(s->out.v[0].severity, severity);
	if (strstr(s->out.v[0].text, text) == NULL)
		fail_msg("'%s' is not in '%s'", text, s->out.v[0].text);
	findings_fini(&s->out);
}

static void
test_why_pod_worker(void **state)
{
	char status[] = "worker_state=down\ndeaths=2\n";
	char stuck[] = "worker_state=ready\ndeaths=9\nfailed_boots=3\nleft_behind=2\n";
	char looping[] = "worker_state=ready\ndeaths=9\nleft_behind=0\n";
	struct scene s;

	(void)state;
	scene_make(&s, KEEPER_ANSWERED);
	s.pod.status = status;
	scene_says(&s, "worker-none", FINDING_WARNING, "no worker at this moment (down)");
	s.look.worker = s.proc.pid;
	s.proc.state = 'D';
	scene_says(&s, "worker-in-D", FINDING_WARNING,
	    "The worker is pid 2000000000 (podshim-worker,");
	s.proc.state = 'T';
	scene_says(&s, "worker-stopped", FINDING_BAD, "stopped by a signal");
	s.proc.state = 'S';
	why_pod(&s.look, &s.out);
	assert_int_equal(s.out.n, 0);
	s.pod.status = stuck;
	scene_says(
	    &s, "worker-left-behind", FINDING_WARNING, "2 earlier workers do not die.");
	s.pod.status = looping;
	scene_says(&s, "worker-crash-loop", FINDING_BAD, "9 deaths in a row");
	s.pod.status = status;
	s.pod.known = false;
	scene_says(&s, "no-database", FINDING_WARNING, "cannot be read");
}

static void
test_why_pod_keeper(void **state)
{
	struct scene s;

	(void)state;
	scene_make(&s, KEEPER_BROKEN);
	scene_says(&s, "keeper-broken", FINDING_BAD, "is no keeper of podshim's");
	scene_make(&s, KEEPER_UNRESPONSIVE);
	scene_says(&s, "keeper-silent", FINDING_BAD, "Somebody listens");
	s.look.keeper = s.proc.pid;
	s.proc.state = 'D';
	scene_says(&s, "keeper-silent", FINDING_BAD, "it is pid 2000000000 (podshim-");
	scene_make(&s, KEEPER_DENIED);
	why_pod(&s.look, &s.out);
	assert_int_equal(s.out.n, 0);
}

static void
test_why_pod_events(void **state)
{
	char topic[] = "/tasks/exit", id[] = "c", gone[] = "/nonexistent/containerd";
	char listening[] = "/dev/null";
	struct scene s;

	(void)state;
	scene_make(&s, KEEPER_ANSWERED);
	s.look.worker = s.proc.pid;
	s.proc.state = 'S';
	s.event = (struct event_info){
	    .topic = topic, .container = id, .t = clock_real_ns() - 90 * NS_PER_S};
	s.pod.events = &s.event;
	s.pod.n_events = 1;
	scene_says(&s, "events-pending", FINDING_NOTE, "since 1 min after 0 attempts");
	s.look.publisher = gone;
	scene_says(&s, "events-pending", FINDING_BAD, "publish binary is not there");
	s.look.address = listening;
	scene_says(&s, "events-pending", FINDING_WARNING, "does not listen");
	/* what has just happened is on its way */
	s.event.t = clock_real_ns();
	why_pod(&s.look, &s.out);
	assert_int_equal(s.out.n, 0);
}

static void
test_why_pod_requests(void **state)
{
	char wait[] = "Wait", kill_text[] = "Kill", a[] = "a", none[] = "";
	struct look_request requests[] = {
	    {.method = wait, .id = a, .exec_id = none, .age_us = 9000000},
	    {.method = kill_text, .id = a, .exec_id = none, .age_us = 9000000},
	};
	struct scene s;

	(void)state;
	scene_make(&s, KEEPER_ANSWERED);
	s.look.worker = s.proc.pid;
	s.proc.state = 'S';
	s.look.requests = requests;
	s.look.n_requests = 2;
	/* a Wait waits by its nature, and nobody waits behind one */
	scene_says(&s, "request-waits", FINDING_WARNING,
	    "Kill of container 'a' waits for 9 s, no worker has taken it yet.");
	requests[1].delivered = requests[1].orphan = true;
	scene_says(
	    &s, "request-waits", FINDING_WARNING, "waits for 9 s; whoever asked is gone");
	requests[1].age_us = 10;
	why_pod(&s.look, &s.out);
	assert_int_equal(s.out.n, 0);
}

/* --- of a container ----------------------------------------------------------------- */

static char bundle_text[] = "/nonexistent/b", rootfs_text[] = "/nonexistent/b/rootfs";
static pid_t tester; /* 0: stat() is what it is */
static bool has_hung;

int __real_stat(const char *path, struct stat *st);
int __wrap_stat(const char *path, struct stat *st);
int __wrap_mountinfo_each(mountinfo_cb cb, void *arg, struct err *err);

/* A root file system whose server never answers. */
int
__wrap_stat(const char *path, struct stat *st)
{
	if (tester == 0 || strcmp(path, rootfs_text) != 0)
		return __real_stat(path, st);
	if (getpid() != tester)
		for (;;)
			(void)pause();
	has_hung = true;
	errno = EIO;
	return -1;
}

int
__wrap_mountinfo_each(mountinfo_cb cb, void *arg, struct err *err)
{
	(void)err;
	cb(&(struct mountinfo){.target = rootfs_text}, arg);
	return 0;
}

/* Is there a finding of that kind, with this in its text? */
static void
findings_have(const struct findings *f, const char *code, const char *text)
{
	size_t i;

	for (i = 0; i < f->n; i++)
		if (strcmp(f->v[i].code, code) == 0 && strstr(f->v[i].text, text) != NULL)
			return;
	fail_msg("nothing of '%s' says '%s'", code, text);
}

/* The advice of the finding of that kind; "": none. */
static const char *
advice_of(const struct findings *f, const char *code)
{
	size_t i;

	for (i = 0; i < f->n; i++)
		if (strcmp(f->v[i].code, code) == 0)
			return f->v[i].advice == NULL ? "" : f->v[i].advice;
	fail_msg("no '%s'", code);
	return NULL;
}

/* No containerd has to do with what `podshimctl run` made. */
static void
test_why_pod_of_run(void **state)
{
	char id[] = "c", none[] = "", word[] = "podshimctl", hash[POD_HASH_LEN + 1];
	struct process_info init = {.exec_id = none, .pid = 2000000000};
	struct container_info c = {.id = id,
	    .bundle = *state,
	    .cgroup = none,
	    .processes = &init,
	    .n_processes = 1};
	AUTO_FREE char *name = NULL;
	AUTO_FREE char *why = NULL;
	struct scene s;

	pod_hash(word, ns_text, group_text, hash);
	name = pod_name(group_text, hash);
	scene_make(&s, KEEPER_ANSWERED);
	s.pod.name = name;
	s.look.worker = s.proc.pid;
	s.look.address = word;
	s.event = (struct event_info){
	    .topic = id, .container = id, .t = clock_real_ns() - 90 * NS_PER_S};
	s.pod.events = &s.event;
	s.pod.n_events = 1;
	scene_says(&s, "events-pending", FINDING_NOTE, "podshimctl takes them");
	s.pod.n_events = 0;
	c.state = init.state = TASK_CREATED;
	why_container(&s.look, &c, &s.out);
	assert_string_equal(
	    advice_of(&s.out, "not-started"), "'podshimctl delete c' takes it away");
	findings_have(&s.out, "not-started", "waits for 'podshimctl run' to start it");
	c.state = init.state = TASK_STOPPED;
	why_container(&s.look, &c, &s.out);
	assert_string_equal(
	    advice_of(&s.out, "ended"), "'podshimctl delete c' takes it away");
	findings_fini(&s.out);

	s.pod.keeper = KEEPER_DEAD;
	s.look.keeper = s.look.worker = 0;
	s.pod.containers = &c;
	s.pod.n_containers = 1;
	assert_int_equal(node_pod_is_orphan(&s.look, &why), -EBUSY);
	assert_string_equal(why,
	    "container 'c' still has its bundle: 'podshimctl delete c' takes them away");
	init.state = TASK_RUNNING;
	why_pod(&s.look, &s.out);
	node_check_pod(&s.look, &s.out);
	assert_string_equal(advice_of(&s.out, "keeper-dead"),
	    "'podshimctl delete --force' takes its containers away");
	assert_string_equal(advice_of(&s.out, "container-without-keeper"),
	    "'podshimctl delete --force c' takes it away");
	findings_fini(&s.out);
}

/* Another process has the pid of an init that is gone. */
static void
test_why_pid_reused(void **state)
{
	char id[] = "c", none[] = "";
	struct process_info init = {
	    .exec_id = none, .pid = 2000000000, .start_time = 77, .state = TASK_RUNNING};
	struct container_info c = {.id = id,
	    .bundle = *state,
	    .cgroup = none,
	    .state = TASK_RUNNING,
	    .processes = &init,
	    .n_processes = 1};
	struct scene s;

	scene_make(&s, KEEPER_ANSWERED);
	s.proc.state = 'Z';
	s.proc.start_ticks = 78;
	why_container(&s.look, &c, &s.out);
	findings_have(&s.out, "init-gone", "does not exist");
	findings_fini(&s.out);
	s.proc.start_ticks = 77;
	why_container(&s.look, &c, &s.out);
	findings_have(&s.out, "init-zombie", "has ended");
	findings_fini(&s.out);
}

/* The groups of a process that only has init's pid are not the container's. */
static void
test_why_usage_of_reused_pid(void **state)
{
	AUTO_FREE char *cgroup =
	    mem_printf("/sys/fs/cgroup/pids/podshim-test-why-%ld", (long)getpid());
	AUTO_FREE char *other = mem_printf("%s-other", cgroup);
	struct process_info init = {.start_time = 1, .state = TASK_RUNNING};
	struct container_info c = {
	    .cgroup = cgroup, .processes = &init, .n_processes = 1};
	struct usage u;

	(void)state;
	if (mkdir(cgroup, 0755) == -1)
		skip();
	assert_int_equal(mkdir(other, 0755), 0);
	init.pid = fork();
	if (init.pid == 0)
		for (;;)
			(void)pause();
	AUTO_FREE char *pid = mem_printf("%d", init.pid);

	put(other, "cgroup.procs", pid);
	assert_true(usage_read(&c, &u));
	assert_int_equal(kill(init.pid, SIGKILL), 0);
	assert_int_equal(waitpid(init.pid, NULL, 0), init.pid);
	assert_int_equal(rmdir(cgroup) | rmdir(other), 0);
	assert_int_equal(u.pids, 0);
}

static void
test_why_rootfs_hangs(void **state)
{
	char id[] = "c", none[] = "";
	struct process_info init = {.exec_id = none, .state = TASK_STOPPED};
	struct container_info c = {.id = id,
	    .bundle = bundle_text,
	    .cgroup = none,
	    .state = TASK_STOPPED,
	    .rootfs_mounted = true,
	    .processes = &init,
	    .n_processes = 1};
	struct scene s;

	(void)state;
	scene_make(&s, KEEPER_ANSWERED);
	tester = getpid();
	why_container(&s.look, &c, &s.out);
	tester = 0;
	assert_false(has_hung);
	findings_have(&s.out, "rootfs-hangs", "'/nonexistent/b/rootfs' does not answer");
	findings_fini(&s.out);
}

/* --- a container's use ------------------------------------------------------------ */

static void
test_why_usage_v2(void **state)
{
	struct cgroup_dirs dirs = {.v2 = true, .path = {*state}};
	struct cgroup_dirs none = {.v2 = true, .path = {path_text}};
	struct usage u;

	assert_false(usage_read_dirs(&none, &u));
	/* controllers that are not there are not known, and never 0 */
	assert_true(usage_read_dirs(&dirs, &u));
	assert_true(u.cpu_ns == -1 && u.memory == -1 && u.memory_limit == -1);
	assert_true(u.pids == -1 && u.pids_limit == -1 && u.oom_kills == -1);
	assert_true(u.read_bytes == -1 && u.written_bytes == -1);
	put(*state, "cpu.stat", "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\n");
	put(*state, "memory.current", "1000000\n");
	put(*state, "memory.stat", "anon 5\nactive_file 7\ninactive_file 400000\n");
	put(*state, "memory.max", "max\n");
	put(*state, "memory.events", "low 0\noom 9\noom_kill 3\noom_group_kill 1\n");
	put(*state, "pids.current", "4\n");
	put(*state, "pids.max", "100\n");
	put(*state, "io.stat", "");
	assert_true(usage_read_dirs(&dirs, &u));
	assert_int_equal(u.cpu_ns, 1500000);
	assert_int_equal(u.memory, 600000);
	assert_int_equal(u.memory_limit, -1);
	assert_int_equal(u.pids, 4);
	assert_int_equal(u.pids_limit, 100);
	assert_int_equal(u.oom_kills, 3);
	assert_int_equal(u.read_bytes, 0);
	put(*state, "io.stat",
	    "8:0 rbytes=10 wbytes=1 rios=1 wios=1 dbytes=9 dios=1\n"
	    "8:16 rbytes=20 wbytes=2 rios=1 wios=1 dbytes=9 dios=1\n");
	put(*state, "memory.max", "2000000\n");
	/* file pages may be counted a moment later than all of them */
	put(*state, "memory.current", "300000\n");
	assert_true(usage_read_dirs(&dirs, &u));
	assert_int_equal(u.read_bytes, 30);
	assert_int_equal(u.written_bytes, 3);
	assert_int_equal(u.memory_limit, 2000000);
	assert_int_equal(u.memory, 0);
}

#define SCENE(f) cmocka_unit_test_setup_teardown(f, dir_setup, dir_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    SCENE(test_why_signals),
	    SCENE(test_why_frames),
	    SCENE(test_why_units),
	    SCENE(test_why_exec_spec),
	    SCENE(test_why_findings),
	    SCENE(test_why_pod_worker),
	    SCENE(test_why_pod_keeper),
	    SCENE(test_why_pod_events),
	    SCENE(test_why_pod_requests),
	    SCENE(test_why_pod_of_run),
	    SCENE(test_why_pid_reused),
	    SCENE(test_why_usage_of_reused_pid),
	    SCENE(test_why_rootfs_hangs),
	    SCENE(test_why_usage_v2),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
