/*
 * Containers from bundle to bundle's end, and the pods they live in.
 */
#include "life.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "crash.h"
#include "events.h"
#include "pod.h"
#include "proto/status.h"

/* --- bundles ----------------------------------------------------------------------- */

struct ctr *
ctr_new(struct pod *pod, const char *id)
{
	struct ctr *ctr = mem_zalloc(sizeof *ctr);
	AUTO_FREE char *log = NULL;

	ctr->pod = pod;
	ctr->id = id != NULL ? mem_strdup(id)
			     : mem_printf("%sc%u", pod->group, ++pod->next_ctr);
	ctr->bundle = mem_printf("%s/bundles/%s", tmp_dir, ctr->id);
	if (mkdir(ctr->bundle, 0711) == -1)
		fault(FAULT_OTHER, "mkdir '%s': %s", ctr->bundle, strerror(errno));
	log = mem_printf("%s/log", ctr->bundle);
	(void)link(pod->log, log);
	ctr->events = evlog_new(ctr->id);
	tally.containers++;
	return ctr;
}

void
ctr_free(struct ctr *ctr)
{
	AUTO_STRV struct strv argv = {0};
	struct run r;

	conn_close(ctr->conn);
	evlog_free(ctr->events);
	strv_add(&argv, "/bin/rm");
	strv_add(&argv, "-rf");
	strv_add(&argv, ctr->bundle);
	program_start(argv.v, environ, "/", &r);
	run_fini(&r);
	free(ctr->id);
	free(ctr->bundle);
	free(ctr);
}

void
ctr_write_config(struct ctr *ctr, const struct proc *init)
{
	static const char format[] =
	    "{\"ociVersion\":\"1.0.2\",\"process\":{\"terminal\":%s,\"args\":[\"/"
	    "%s\",\"PROG=%s\"],"
	    "\"cwd\":\"/\",\"env\":[\"A=b\"],\"user\":{\"uid\":0,\"gid\":0}},"
	    "\"root\":{\"path\":\"%s\",\"readonly\":true},"
	    "\"annotations\":{\"io.containerd.runc.v2.group\":\"%s\"},"
	    "\"mounts\":[{\"destination\":\"/"
	    "proc\",\"type\":\"proc\",\"source\":\"proc\"},"
	    "{\"destination\":\"/dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\"},"
	    "{\"destination\":\"/dev/pts\",\"type\":\"devpts\",\"source\":\"devpts\","
	    "\"options\":[\"newinstance\",\"ptmxmode=0666\",\"mode=0620\"]}],"
	    "\"linux\":{\"cgroupsPath\":\"/podshim-crash/%s\",\"resources\":{%s},"
	    "\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"mount\"},{\"type\":\"ipc\"},"
	    "{\"type\":\"uts\"}]}}\n";
	AUTO_FREE char *shared = mem_printf("%s/rootfs", tmp_dir);
	AUTO_FREE char *path = mem_printf("%s/config.json", ctr->bundle);
	AUTO_FREE char *text = NULL;
	struct err err = ERR_INIT;

	text = mem_printf(format, init->terminal ? "true" : "false",
	    init->kind == KIND_FAIL ? "nothing" : "prog", init->prog,
	    ctr->mounted ? "rootfs" : shared, ctr->pod->group, ctr->id,
	    init->kind == KIND_OOM ? "\"memory\":{\"limit\":33554432}" : "");
	if (file_write(AT_FDCWD, path, text, strlen(text), 0600, &err) < 0)
		fault(FAULT_OTHER, "%s", err.text);
}

/* --- requests of a container ---------------------------------------------------------- */

bool
ctr_start_shim(struct ctr *ctr)
{
	struct pod *pod = ctr->pod;
	struct run r;
	bool ok;

	shim_run(pod, ctr->id, ctr->bundle, "start", &r);
	ok = r.status == 0 && strncmp(r.out, "unix://", 7) == 0;
	if (ok && pod->addr != NULL && strcmp(pod->addr, r.out) != 0) {
		fault(FAULT_ANSWER, "%s: start answers '%s', not '%s'", ctr->id, r.out,
		    pod->addr);
		ok = false;
	} else if (!ok) {
		fault(FAULT_ANSWER, "%s: start: status 0x%x, '%s' '%s'", ctr->id,
		    (unsigned)r.status, r.out, r.err);
	}
	if (ok && pod->addr == NULL)
		pod->addr = mem_strdup(r.out);
	run_fini(&r);
	return ok;
}

static void
put_options(struct ctr *ctr, struct pb *msg)
{
	struct pb o = PB_INIT;
	AUTO_FREE char *fake = mem_printf("%s/fakeruntime", tmp_dir);

	if (!ctr->pod->runc)
		pb_str(&o, 6, fake);
	pb_str(&o, 7, ctr->pod->rt_root);
	pb_any(msg, 10, "containerd.runc.v1.Options", o.data, o.len);
	pb_fini(&o);
}

static void
put_mount(struct pb *msg)
{
	struct pb m = PB_INIT;
	AUTO_FREE char *source = mem_printf("%s/rootfs", tmp_dir);

	pb_str(&m, 1, "bind");
	pb_str(&m, 2, source);
	pb_str(&m, 4, "rbind");
	pb_str(&m, 4, "ro");
	pb_msg(msg, 3, &m);
	pb_fini(&m);
}

bool
ctr_create(struct ctr *ctr, struct proc *init)
{
	struct pb msg = PB_INIT;
	struct call *call;
	bool ok;

	pb_str(&msg, 1, ctr->id);
	pb_str(&msg, 2, ctr->bundle);
	if (ctr->mounted)
		put_mount(&msg);
	pb_bool(&msg, 4, init->terminal);
	pb_str(&msg, 5, init->in != NULL ? init->in : "");
	pb_str(&msg, 6, init->out != NULL ? init->out : "");
	pb_str(&msg, 7, init->err != NULL ? init->err : "");
	if (ctr->image != NULL)
		pb_str(&msg, 8, ctr->image);
	put_options(ctr, &msg);
	init->started_ns = clock_real_ns();
	call = call_begin(ctr->conn, "Create", &msg);
	if (init->kind == KIND_FAIL) {
		ok = expect_keep(call, STATUS_UNKNOWN, ctr->id);
		if (ok && strstr(call->text, "OCI runtime create failed") == NULL)
			fault(FAULT_ANSWER, "%s: Create failed with \"%s\"", ctr->id,
			    call->text);
		call_free(call);
		return false;
	}
	ok = expect_keep(call, 0, ctr->id);
	if (ok)
		init->pid = (uint32_t)pb_get_u64(call->payload, 1);
	call_free(call);
	if (ok && init->pid == 0 && ctr->image == NULL) {
		fault(FAULT_ANSWER, "%s: Create says pid 0", ctr->id);
		return false;
	}
	return ok;
}

/* Reads and small things that may happen to a running container at any time. */
static void
do_odd_things(struct ctr *ctr, struct proc *init)
{
	struct pb msg = PB_INIT;
	struct call *call;

	if (pod_chance(ctr->pod, 30)) {
		call = proc_begin(init, "Pids");
		if (expect_keep(call, 0, ctr->id)) {
			struct pb_view v;
			unsigned i = 0;

			while (pb_get_bytes(call->payload, 1, i, &v) &&
			    pb_get_u64(v, 1) != init->pid)
				i++;
			if (!pb_get_bytes(call->payload, 1, i, &v))
				fault(FAULT_ANSWER, "%s: Pids without init", ctr->id);
		}
		call_free(call);
	}
	if (opt.basic)
		return;
	if (pod_chance(ctr->pod, 30))
		(void)expect(proc_begin(init, "Stats"), 0, ctr->id);
	if (pod_chance(ctr->pod, 20)) {
		pb_str(&msg, 1, ctr->id);
		pb_any(&msg, 2,
		    "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources",
		    "{}", 2);
		if (expect(call_begin(ctr->conn, "Update", &msg), 0, ctr->id))
			ctr->n_updated++;
	}
}

static void
pause_and_resume(struct ctr *ctr, struct proc *init)
{
	struct call *call = proc_begin(init, "Pause");
	struct call *other = proc_begin(init, "State");

	if (expect(call, 0, ctr->id))
		ctr->n_paused++;
	(void)expect(other, 0, ctr->id);
	if (pod_chance(ctr->pod, 50))
		proc_check_paused(init);
	(void)expect(proc_begin(init, "Resume"), 0, ctr->id);
}

/* What the fake runtime was asked to do, against what we asked for. */
void
ctr_check_calls(struct ctr *ctr, bool started)
{
	AUTO_FREE char *path = mem_printf("%s/calls", ctr->bundle);
	AUTO_FREE char *text = NULL;
	unsigned create = 0, start = 0, del = 0, paused = 0, resumed = 0, updated = 0,
		 all = 0, checkpoint = 0, restore = 0;
	bool restored = ctr->image != NULL;
	char *save = NULL, *line, *seen[512];
	size_t len, i, n = 0;

	if (ctr->pod->runc || file_read(AT_FDCWD, path, 1 << 20, &text, &len, NULL) < 0)
		return;
	for (line = strtok_r(text, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save)) {
		create += strncmp(line, "create", 6) == 0;
		start += strncmp(line, "start", 5) == 0;
		del += strncmp(line, "delete", 6) == 0;
		paused += strncmp(line, "pause", 5) == 0;
		resumed += strncmp(line, "resume", 6) == 0;
		updated += strncmp(line, "update", 6) == 0;
		checkpoint += strncmp(line, "checkpoint", 10) == 0;
		restore += strncmp(line, "restore", 7) == 0;
		all += strncmp(line, "kill --all", 10) == 0;
		if (strncmp(line, "exec", 4) != 0)
			continue;
		for (i = 0; i < n; i++)
			if (strcmp(seen[i], line) == 0)
				fault(FAULT_EFFECT, "%s: '%s' was run twice", ctr->id,
				    line);
		if (n < 512)
			seen[n++] = line;
	}
	if (create != !restored || restore != restored ||
	    start != (started && !restored) || del != 1 ||
	    checkpoint != ctr->n_checkpoints)
		fault(FAULT_EFFECT,
		    "%s: run: create %u, restore %u, start %u, checkpoint %u, delete %u "
		    "times",
		    ctr->id, create, restore, start, checkpoint, del);
	if (paused != ctr->n_paused || resumed != ctr->n_paused ||
	    updated != ctr->n_updated)
		fault(FAULT_EFFECT,
		    "%s: run: pause %u, resume %u (wanted %u), update %u (%u)", ctr->id,
		    paused, resumed, ctr->n_paused, updated, ctr->n_updated);
	if (all != ctr->n_kill_all)
		fault(FAULT_EFFECT, "%s: run: kill --all %u times, wanted %u", ctr->id,
		    all, ctr->n_kill_all);
}

static void
check_mounts(struct ctr *ctr)
{
	/* p1's name begins p10's */
	AUTO_FREE char *text = NULL, *below = mem_printf("%s/", ctr->bundle);
	size_t len;

	if (file_read(AT_FDCWD, "/proc/self/mountinfo", 4 << 20, &text, &len, NULL) ==
		0 &&
	    strstr(text, below) != NULL)
		fault(FAULT_LEAK, "%s: a mount is left in the bundle", ctr->id);
}

/* Shutdown, hang up, the delete call: as containerd does behind each container. */
void
ctr_end(struct ctr *ctr, struct proc *init)
{
	struct pb_view v;
	struct run r;
	int64_t t = 0;

	if (conn_is_open(ctr->conn) && chance(80))
		(void)expect(proc_begin(init, "Shutdown"), 0, ctr->id);
	conn_close(ctr->conn);
	ctr->conn = NULL;
	check_mounts(ctr);
	if (!pod_chance(ctr->pod, 30))
		return;
	shim_run(ctr->pod, ctr->id, ctr->bundle, "delete", &r);
	v = (struct pb_view){(const uint8_t *)r.out, r.out_len};
	if (r.status != 0 || !pb_valid(v)) {
		fault(FAULT_ANSWER, "%s: delete: status 0x%x '%s'", ctr->id,
		    (unsigned)r.status, r.err);
	} else if (init->ended && !ctr->pod->gone) {
		(void)pb_get_time(v, 3, &t);
		if (pb_get_u64(v, 2) != init->status || t != init->exited_at)
			fault(FAULT_STATUS,
			    "%s: delete reports %llu at %lld, it was %u at %lld", ctr->id,
			    (unsigned long long)pb_get_u64(v, 2), (long long)t,
			    init->status, (long long)init->exited_at);
	}
	run_fini(&r);
}

static void
live(struct ctr *ctr, struct proc *init)
{
	struct co_group execs = {0};
	bool stays = init->kind == KIND_HANG || init->kind == KIND_SIG;
	unsigned n = stays ? rnd(6) : 0;

	if (stays && ctr->pod->thorough)
		n = KIND_N;

	for (; n > 0; n--) {
		co_group_spawn(&execs, exec_life, ctr);
		if (chance(50))
			co_pause_us(rnd(20000));
	}
	if (stays)
		do_odd_things(ctr, init);
	co_group_wait(&execs);
	if (stays && !opt.basic && pod_chance(ctr->pod, 20))
		pause_and_resume(ctr, init);
	proc_finish(init);
}

void
ctr_life(void *arg)
{
	static const enum kind kinds[] = {KIND_EXIT, KIND_EXIT, KIND_HANG, KIND_HANG,
	    KIND_HANG, KIND_SIG, KIND_SIG, KIND_CAT, KIND_TTY, KIND_FAIL, KIND_UNSTARTED};
	struct pod *pod = arg;
	struct ctr *ctr = ctr_new(pod, NULL);
	struct proc *init = mem_zalloc(sizeof *init);

	proc_plan(init, ctr, "",
	    pod->thorough ? (enum kind)(pod->next_ctr % KIND_N)
			  : kinds[rnd(ARRAY_LEN(kinds))]);
	ctr->mounted = pod_chance(pod, 25);
	ctr_write_config(ctr, init);
	if (chance(30) && !ctr_start_shim(ctr))
		goto out;
	ctr->conn = conn_open(pod->addr, ctr->id);
	if (ctr->conn == NULL)
		goto out;
	if (!ctr_create(ctr, init)) {
		if (init->kind == KIND_FAIL)
			(void)expect(
			    proc_begin(init, "Delete"), STATUS_NOT_FOUND, ctr->id);
		if (init->kind == KIND_FAIL && ctr->events->n > 0)
			fault(FAULT_EVENT_ORDER, "%s: events of a Create that failed",
			    ctr->id);
		ctr_end(ctr, init);
		goto out;
	}
	if (init->kind != KIND_UNSTARTED && !proc_start(init))
		goto out;
	if (init->started)
		live(ctr, init);
	proc_delete(init);
	(void)evlog_expect(ctr->events, EV_DELETE, "");
	ctr_check_calls(ctr, init->started);
	ctr_end(ctr, init);
out:
	proc_fini(init);
	free(init);
	ctr_free(ctr);
}

/* --- a pod's life -------------------------------------------------------------------- */

static void
one_life_after_the_other(void *arg)
{
	struct pod *pod = arg;

	do {
		if (!opt.basic && chance(4))
			rare_lives(pod);
		else
			ctr_life(pod);
	} while (!pod->ending);
}

/* With nothing left but the anchor, the keeper holds what it held at first. */
static void
check_leaks(struct pod *pod)
{
	uint64_t limit = now_us() + 60000000;
	pid_t pids[64];
	unsigned fds = 0, n = 0;

	while (now_us() < limit) {
		fds = fd_count(pod->keeper);
		n = children_of(pod->keeper, pids, 64);
		if (fds <= pod->base_fds && n <= 2)
			return;
		co_pause_us(20000);
	}
	fd_list(pod->keeper, pod->group);
	fault(FAULT_LEAK,
	    "%s: keeper %d holds %u descriptors (%u at first) and %u children",
	    pod->group, (int)pod->keeper, fds, pod->base_fds, n);
}

static void
count_base(struct pod *pod)
{
	unsigned same = 0, last = 0;
	uint64_t limit = now_us() + 5000000;

	/* until the first worker is up and quiet */
	while (same < 5 && now_us() < limit) {
		unsigned n = fd_count(pod->keeper);

		same = n == last ? same + 1 : 0;
		last = n;
		co_pause_us(5000);
	}
	pod->base_fds = last;
}

void
pod_life(void *arg)
{
	struct pod *pod = pod_new();
	struct ctr *anchor = ctr_new(pod, pod->group);
	struct proc *init = mem_zalloc(sizeof *init);
	struct co_group lives = {0};
	unsigned i;

	pod->kills_wanted = *(unsigned *)arg;
	free(arg);
	proc_plan(init, anchor, "", KIND_SIG);
	ctr_write_config(anchor, init);
	if (!ctr_start_shim(anchor) || (!opt.foreign && !pod_attach(pod)))
		goto out;
	anchor->conn = conn_open(pod->addr, anchor->id);
	if (anchor->conn == NULL || !ctr_create(anchor, init) || !proc_start(init))
		goto out;
	if (!opt.foreign)
		count_base(pod);
	if (opt.no_kill)
		pod->ending = true;
	else
		co_group_spawn(&lives, pod_killer, pod);
	for (i = 0; i < opt.lives; i++)
		co_group_spawn(&lives, one_life_after_the_other, pod);
	co_group_wait(&lives);
	if (!opt.foreign) {
		check_leaks(pod);
		pod_check_deaths(pod);
	}
	proc_finish(init);
	proc_delete(init);
	(void)evlog_expect(anchor->events, EV_DELETE, "");
	ctr_check_calls(anchor, true);
	conn_may_end(anchor->conn);
	conn_may_end(pod->probe);
	(void)expect(proc_begin(init, "Shutdown"), 0, anchor->id);
	pod->gone = true; /* and with it what it remembered */
	conn_close(anchor->conn);
	anchor->conn = NULL;
	conn_close(pod->probe);
	pod->probe = NULL;
	if (!opt.foreign)
		pod_expect_gone(pod);
	ctr_end(anchor, init);
out:
	proc_fini(init);
	free(init);
	ctr_free(anchor);
	pod_free(pod);
}
