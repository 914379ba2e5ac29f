/*
 * One process of a container, init or exec: the requests of its life in the
 * order and overlap a client would send them, and the checks that all who
 * speak of its end (Waits, State, Delete, the exit event, our own pidfd)
 * agree with each other and with what was planned.
 */
#include "life.h"

#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "crash.h"
#include "events.h"
#include "pod.h"
#include "proto/status.h"

/* The keeper sees an exit at once; this machine may be busy, and we hold up ourselves. */
#define TIME_SLACK_NS (1500 * INT64_C(1000000))

static const char *const status_names[] = {
    "unknown", "created", "running", "stopped", "paused", "pausing"};
enum { CREATED = 1, RUNNING, STOPPED, PAUSED };

/* --- requests -------------------------------------------------------------------- */

struct call *
proc_begin(struct proc *p, const char *method)
{
	struct pb msg = PB_INIT;

	pb_str(&msg, 1, p->ctr->id);
	pb_str(&msg, 2, p->exec_id);
	return call_begin(p->ctr->conn, method, &msg);
}

struct call *
proc_begin_kill(struct proc *p, int sig, bool all)
{
	struct pb msg = PB_INIT;

	pb_str(&msg, 1, p->ctr->id);
	pb_str(&msg, 2, p->exec_id);
	pb_u64(&msg, 3, (uint64_t)sig);
	pb_bool(&msg, 4, all);
	return call_begin(p->ctr->conn, "Kill", &msg);
}

bool
expect_keep(struct call *call, int code, const char *who)
{
	int got = call_wait(call);

	trace("%s: %s: %d %s (stream %u, sent %.3f s ago)", who, call->method, got,
	    call->text ? call->text : "", call->stream,
	    (double)(now_us() - call->sent_us) / 1e6);
	if (got == code)
		return true;
	if (got >= 0)
		fault(FAULT_ANSWER, "%s: %s: %s \"%s\", wanted %s", who, call->method,
		    status_name(got), call->text != NULL ? call->text : "",
		    code == 0 ? "OK" : status_name(code));
	return false;
}

bool
expect(struct call *call, int code, const char *who)
{
	bool ok = expect_keep(call, code, who);

	call_free(call);
	return ok;
}

/* --- planning -------------------------------------------------------------------- */

static char *
make_fifo(struct proc *p, const char *what)
{
	char *path = mem_printf("%s/fifo-%s%s", p->ctr->bundle, p->exec_id, what);

	if (mkfifo(path, 0600) == -1)
		fault(FAULT_OTHER, "%s: mkfifo '%s': %s", p->who, path, strerror(errno));
	return path;
}

__attribute__((format(printf, 2, 3))) static void
add(struct proc *p, const char *fmt, ...)
{
	size_t len = strlen(p->prog);
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(p->prog + len, sizeof p->prog - len, fmt, ap);
	va_end(ap);
}

static uint64_t
some_length(void)
{
	if (chance(20))
		return 0;
	return chance(90) ? rnd(3000) : rnd(400000);
}

static void
plan_out(struct proc *p)
{
	if (chance(15))
		return; /* no stdout at all */
	p->sink_out.len = some_length();
	p->sink_out.seed = rnd(1u << 30);
	p->out = make_fifo(p, "out");
	add(p, "out %llu %u;", (unsigned long long)p->sink_out.len, p->sink_out.seed);
	if (p->kind != KIND_TTY && chance(50)) {
		p->sink_err.len = some_length();
		p->sink_err.seed = rnd(1u << 30);
		p->err = make_fifo(p, "err");
		add(p, "err %llu %u;", (unsigned long long)p->sink_err.len,
		    p->sink_err.seed);
	}
}

static void
plan_echo(struct proc *p)
{
	p->in_len = p->terminal ? 1 + rnd(6000) : some_length();
	p->in_seed = rnd(1u << 30);
	p->sink_out.len = p->in_len;
	p->sink_out.seed = p->in_seed;
	p->in = make_fifo(p, "in");
	p->out = make_fifo(p, "out");
	if (p->terminal)
		add(p, "raw;mark;catn %llu;exit %u", (unsigned long long)p->in_len,
		    p->code);
	else
		add(p, "mark;cat;exit %u", p->code);
	p->sink_out.lead = 1;
}

void
proc_plan(struct proc *p, struct ctr *ctr, const char *exec_id, enum kind kind)
{
	memset(p, 0, sizeof *p);
	p->ctr = ctr;
	p->kind = kind;
	p->pidfd = -1;
	p->sink_out.fd = p->sink_err.fd = -1;
	(void)snprintf(p->exec_id, sizeof p->exec_id, "%s", exec_id);
	(void)snprintf(
	    p->who, sizeof p->who, "%s%s%s", ctr->id, exec_id[0] ? "/" : "", exec_id);
	p->code = rnd(120);
	add(p, "#%s;", exec_id[0] ? exec_id : "init");
	if (chance(30))
		add(p, "@%u;", rnd(20));
	switch (kind) {
	case KIND_EXIT:
		plan_out(p);
		if (chance(40))
			add(p, "ms %u;", rnd(60));
		add(p, "exit %u", p->code);
		break;
	case KIND_HANG:
	case KIND_UNSTARTED:
		plan_out(p);
		add(p, "hang");
		p->code = 128 + SIGKILL;
		break;
	case KIND_SIG:
		p->out = make_fifo(p, "out");
		p->sink_out.lead = 1;
		p->sink_out.letters = true;
		add(p, "sig");
		p->code = 3;
		break;
	case KIND_TTY:
		p->terminal = true;
		plan_echo(p);
		break;
	case KIND_CAT: plan_echo(p); break;
	case KIND_FAIL:
		add(p, exec_id[0] ? "!exec;" : "!create;");
		p->out = make_fifo(p, "out");
		break;
	case KIND_OOM:
		p->out = make_fifo(p, "out");
		p->sink_out.lead = 1;
		add(p, "usr1;eat;hang");
		p->code = 128 + SIGKILL;
		break;
	case KIND_N: break;
	}
	if (opt.foreign && (p->in != NULL || p->out != NULL || p->err != NULL)) {
		/* containerd-shim-runc-v2 wants all or none */
		if (p->out == NULL)
			p->out = make_fifo(p, "out");
		if (p->err == NULL && !p->terminal)
			p->err = make_fifo(p, "err");
	}
	if (p->out != NULL)
		sink_open(&p->sink_out, p->who, p->out);
	if (p->err != NULL)
		sink_open(&p->sink_err, p->who, p->err);
}

void
proc_fini(struct proc *p)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(p->waits); i++)
		call_free(p->waits[i]);
	if (p->died_ev != NULL)
		event_free(p->died_ev);
	fd_close(&p->pidfd);
	sink_close(&p->sink_out);
	sink_close(&p->sink_err);
	if (p->in != NULL)
		(void)unlink(p->in);
	if (p->out != NULL)
		(void)unlink(p->out);
	if (p->err != NULL)
		(void)unlink(p->err);
	free(p->in);
	free(p->out);
	free(p->err);
}

/* --- its end ---------------------------------------------------------------------- */

static void
on_died(evutil_socket_t fd, short what, void *arg)
{
	struct proc *p = arg;

	(void)fd;
	(void)what;
	p->died_ns = clock_real_ns();
}

static void
watch_process(struct proc *p)
{
	p->pidfd = pidfd_open_((pid_t)p->pid);
	if (p->pidfd == -1)
		return; /* it is gone already */
	p->died_ev = event_new(base, p->pidfd, EV_READ, on_died, p);
	(void)event_add(p->died_ev, NULL);
}

static bool
is_alive(const struct proc *p)
{
	struct pollfd pfd = {.fd = p->pidfd, .events = POLLIN};

	return p->pidfd != -1 && poll(&pfd, 1, 0) == 0;
}

static void
check_time(struct proc *p, const char *says, int64_t t)
{
	int64_t now = clock_real_ns();
	int64_t from = p->killed_ns != 0 ? p->killed_ns : p->started_ns;

	if (t < from || t > now)
		fault(FAULT_STATUS, "%s: %s says it exited %.3f s %s", p->who, says,
		    (double)(t < from ? from - t : t - now) / 1e9,
		    t < from ? "before it was asked to" : "in the future");
	else if (p->died_ns != 0 &&
	    llabs(t - p->died_ns) > TIME_SLACK_NS * (int64_t)opt.slow)
		fault(FAULT_STATUS, "%s: %s is %.3f s off its exit", p->who, says,
		    (double)(t - p->died_ns) / 1e9);
}

/* status and time as somebody tells them: the first one is held against the plan */
void
proc_check_end(struct proc *p, const char *says, uint32_t status, int64_t t)
{
	if (!p->ended) {
		p->ended = true;
		p->status = status;
		p->exited_at = t;
		if (!p->nocode && status != p->code)
			fault(FAULT_STATUS, "%s: %s says status %u, wanted %u", p->who,
			    says, status, p->code);
		check_time(p, says, t);
		return;
	}
	if (status != p->status || t != p->exited_at)
		fault(FAULT_STATUS, "%s: %s says %u at %lld, before it was %u at %lld",
		    p->who, says, status, (long long)t, p->status,
		    (long long)p->exited_at);
}

static void
check_wait(struct proc *p, struct call *call)
{
	int64_t t = 0;

	if (!expect_keep(call, 0, p->who))
		return;
	if (!pb_get_time(call->payload, 2, &t))
		fault(FAULT_STATUS, "%s: Wait without a time", p->who);
	proc_check_end(p, "Wait", (uint32_t)pb_get_u64(call->payload, 1), t);
}

void
proc_check_waits(struct proc *p)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(p->waits); i++)
		if (p->waits[i] != NULL)
			check_wait(p, p->waits[i]);
}

static void
check_state(struct proc *p, unsigned want, unsigned or_want)
{
	struct call *call = proc_begin(p, "State");
	unsigned status;
	int64_t t = 0;

	if (expect_keep(call, 0, p->who)) {
		status = (unsigned)pb_get_u64(call->payload, 4);
		if (status != want && status != or_want)
			fault(FAULT_ANSWER, "%s: State is %s, wanted %s", p->who,
			    status < 6 ? status_names[status] : "?", status_names[want]);
		if (p->pid != 0 && pb_get_u64(call->payload, 3) != p->pid)
			fault(FAULT_ANSWER, "%s: State has pid %llu, wanted %u", p->who,
			    (unsigned long long)pb_get_u64(call->payload, 3), p->pid);
		if (status == STOPPED && pb_get_time(call->payload, 10, &t) && p->ended)
			proc_check_end(
			    p, "State", (uint32_t)pb_get_u64(call->payload, 9), t);
	}
	call_free(call);
}

void
proc_check_paused(struct proc *p)
{
	check_state(p, PAUSED, PAUSED);
}

/* --- what it does while it lives ---------------------------------------------------- */

static void
count_signals(struct proc *p)
{
	unsigned u = rnd(4), r = rnd(4), i;
	struct call *calls[4];
	bool sent = true;

	if (!sink_expect(&p->sink_out, 1))
		return;
	for (i = 0; i < u && sent; i++) {
		/* one that is pending swallows the next: wait for each */
		sent = expect(proc_begin_kill(p, SIGUSR1, false), 0, p->who) &&
		    sink_expect(
			&p->sink_out, p->sink_out.got + (p->sink_out.count_u <= i));
	}
	for (i = 0; i < r; i++)
		calls[i] = proc_begin_kill(p, SIGRTMIN + 1, false);
	for (i = 0; i < r; i++)
		sent = expect(calls[i], 0, p->who) && sent;
	if (sent)
		(void)sink_expect(&p->sink_out, 1 + u + r);
	if (sent && chance(30))
		co_pause_us(rnd(40000));
	if (sent && (p->sink_out.count_u != u || p->sink_out.count_r != r))
		fault(FAULT_EFFECT,
		    "%s: %u of %u SIGUSR1, %u of %u real-time signals arrived", p->who,
		    p->sink_out.count_u, u, p->sink_out.count_r, r);
}

static void
feed_stdin(struct proc *p)
{
	struct call *call;
	struct pb msg = PB_INIT;

	if (!sink_expect(&p->sink_out, 1)) /* it is raw, if it has a terminal */
		return;
	if (p->terminal) {
		pb_str(&msg, 1, p->ctr->id);
		pb_str(&msg, 2, p->exec_id);
		pb_u64(&msg, 3, 80);
		pb_u64(&msg, 4, 25);
		call = call_begin(p->ctr->conn, "ResizePty", &msg);
		(void)expect(call, 0, p->who);
		source_write(p->who, p->in, p->in_seed, p->in_len);
		return;
	}
	source_write(p->who, p->in, p->in_seed, p->in_len);
	pb_str(&msg, 1, p->ctr->id);
	pb_str(&msg, 2, p->exec_id);
	pb_bool(&msg, 3, true);
	call = call_begin(p->ctr->conn, "CloseIO", &msg);
	(void)expect(call, 0, p->who);
}

/* It must live until we end it. */
static bool
check_alive(struct proc *p)
{
	unsigned i;

	for (i = 0; i < ARRAY_LEN(p->waits); i++)
		if (p->waits[i] != NULL && call_done(p->waits[i]) &&
		    p->waits[i]->code >= 0) {
			fault(FAULT_DEATH, "%s: died by itself: status %llu", p->who,
			    (unsigned long long)pb_get_u64(p->waits[i]->payload, 1));
			return false;
		}
	if (!is_alive(p)) {
		fault(FAULT_DEATH, "%s: pid %u died by itself", p->who, p->pid);
		return false;
	}
	return true;
}

static void
end_it(struct proc *p)
{
	bool all = p->exec_id[0] == '\0' && chance(30);

	switch (p->kind) {
	case KIND_HANG:
	case KIND_OOM:
		if (p->out != NULL && chance(50))
			(void)sink_expect(&p->sink_out, p->sink_out.len);
		p->sink_out.partial = p->sink_out.got < p->sink_out.len;
		p->sink_err.partial = p->sink_err.got < p->sink_err.len;
		co_pause_us(rnd(60000));
		if (!check_alive(p))
			return;
		p->killed_ns = clock_real_ns();
		(void)expect(proc_begin_kill(p, SIGKILL, all), 0, p->who);
		break;
	case KIND_SIG:
		count_signals(p);
		if (!check_alive(p))
			return;
		p->killed_ns = clock_real_ns();
		if (all)
			p->ctr->n_kill_all++;
		(void)expect(proc_begin_kill(p, SIGTERM, all), 0, p->who);
		break;
	case KIND_CAT:
	case KIND_TTY: feed_stdin(p); break;
	case KIND_EXIT:
	case KIND_FAIL:
	case KIND_UNSTARTED:
	case KIND_N: break;
	}
}

static bool
start_it(struct proc *p)
{
	struct call *call;
	uint32_t pid;

	p->started_ns = clock_real_ns();
	call = proc_begin(p, "Start");
	if (p->kind == KIND_FAIL) {
		if (expect_keep(call, STATUS_UNKNOWN, p->who) && !p->ctr->pod->runc &&
		    strstr(call->text, "was told to fail") == NULL)
			fault(FAULT_ANSWER, "%s: Start failed with \"%s\"", p->who,
			    call->text);
		call_free(call);
		return false;
	}
	if (!expect_keep(call, 0, p->who)) {
		say("%s: its program: %s", p->who, p->prog);
		call_free(call);
		return false;
	}
	pid = (uint32_t)pb_get_u64(call->payload, 1);
	call_free(call);
	if (pid == 0 || (p->pid != 0 && pid != p->pid))
		fault(FAULT_ANSWER, "%s: Start says pid %u, Create said %u", p->who, pid,
		    p->pid);
	if (p->pid == 0) {
		p->pid = pid;
		watch_process(p);
	}
	p->started = true;
	return true;
}

/* A Start that failed must not leave its Waits waiting. */
static void
check_failed(struct proc *p)
{
	unsigned i;

	for (i = 0; i < ARRAY_LEN(p->waits); i++) {
		if (p->waits[i] == NULL)
			continue;
		if (expect_keep(p->waits[i], 0, p->who) &&
		    pb_get_u64(p->waits[i]->payload, 1) != 0 && p->exec_id[0] != '\0')
			fault(FAULT_STATUS,
			    "%s: never started, but Wait says status %llu", p->who,
			    (unsigned long long)pb_get_u64(p->waits[i]->payload, 1));
	}
}

bool
proc_start(struct proc *p)
{
	unsigned i, before = rnd(3);

	if (p->pid != 0)
		watch_process(p); /* init: Create told its pid */
	for (i = 0; i < before; i++)
		p->waits[i] = proc_begin(p, "Wait");
	if (!start_it(p)) {
		check_failed(p);
		return false;
	}
	check_state(p, RUNNING, STOPPED);
	for (; i < ARRAY_LEN(p->waits); i++)
		p->waits[i] = proc_begin(p, "Wait");
	return true;
}

void
proc_finish(struct proc *p)
{
	end_it(p);
	check_wait(p, p->waits[rnd(ARRAY_LEN(p->waits))]);
	if (chance(40))
		check_state(p, STOPPED, STOPPED);
	if (chance(20))
		(void)expect(
		    proc_begin_kill(p, SIGTERM, false), STATUS_NOT_FOUND, p->who);
}

static void
check_delete(struct proc *p, struct call *call)
{
	int64_t t = 0;

	if (!expect_keep(call, 0, p->who))
		return;
	if (pb_get_u64(call->payload, 1) != p->pid)
		fault(FAULT_ANSWER, "%s: Delete says pid %llu, wanted %u", p->who,
		    (unsigned long long)pb_get_u64(call->payload, 1), p->pid);
	if (!p->started)
		return;
	if (!pb_get_time(call->payload, 3, &t))
		fault(FAULT_STATUS, "%s: Delete without a time", p->who);
	proc_check_end(p, "Delete", (uint32_t)pb_get_u64(call->payload, 2), t);
}

static void
check_events(struct proc *p)
{
	const struct ev *ev;

	if (p->exec_id[0] != '\0') {
		(void)evlog_expect(p->ctr->events, EV_EXEC_ADDED, p->exec_id);
		if (p->started &&
		    (ev = evlog_expect(p->ctr->events, EV_EXEC_STARTED, p->exec_id)) !=
			NULL &&
		    ev->pid != p->pid)
			fault(FAULT_EVENT_LOST, "%s: exec-started has pid %u, wanted %u",
			    p->who, ev->pid, p->pid);
	} else if (p->started) {
		ev = evlog_expect(p->ctr->events, EV_START, "");
		if (ev != NULL && ev->pid != p->pid)
			fault(FAULT_EVENT_LOST, "%s: start has pid %u, wanted %u", p->who,
			    ev->pid, p->pid);
	}
	if (!p->started)
		return;
	ev = evlog_expect(p->ctr->events, EV_EXIT, p->exec_id);
	if (ev == NULL)
		return;
	proc_check_end(p, "the exit event", ev->status, ev->exited_at);
	if (ev->pid != p->pid)
		fault(FAULT_EVENT_LOST, "%s: exit has pid %u, wanted %u", p->who, ev->pid,
		    p->pid);
}

void
proc_delete(struct proc *p)
{
	struct call *call = proc_begin(p, "Delete");

	/* Waits that the Delete may have overtaken */
	check_delete(p, call);
	call_free(call);
	if (p->started)
		proc_check_waits(p);
	if (p->out != NULL && p->started)
		(void)sink_expect_eof(&p->sink_out);
	if (p->err != NULL && p->started)
		(void)sink_expect_eof(&p->sink_err);
	if (chance(20))
		(void)expect(proc_begin(p, "State"), STATUS_NOT_FOUND, p->who);
	check_events(p);
}

/* --- execs ------------------------------------------------------------------------ */

static struct call *
begin_exec(struct proc *p)
{
	AUTO_FREE char *json =
	    mem_printf("{\"args\":[\"/%s\",\"PROG=%s\"],\"cwd\":\"/\","
		       "\"env\":[\"A=b\"],\"user\":{\"uid\":0,\"gid\":0}}",
		p->kind == KIND_FAIL ? "nothing" : "prog", p->prog);
	struct pb msg = PB_INIT;

	pb_str(&msg, 1, p->ctr->id);
	pb_str(&msg, 2, p->exec_id);
	pb_bool(&msg, 3, p->terminal);
	pb_str(&msg, 4, p->in != NULL ? p->in : "");
	pb_str(&msg, 5, p->out != NULL ? p->out : "");
	pb_str(&msg, 6, p->err != NULL ? p->err : "");
	pb_any(&msg, 7, "types.containerd.io/opencontainers/runtime-spec/1/Process", json,
	    strlen(json));
	return call_begin(p->ctr->conn, "Exec", &msg);
}

void
exec_life(void *arg)
{
	static const enum kind kinds[] = {KIND_EXIT, KIND_EXIT, KIND_EXIT, KIND_HANG,
	    KIND_SIG, KIND_CAT, KIND_CAT, KIND_TTY, KIND_FAIL, KIND_UNSTARTED};
	struct ctr *ctr = arg;
	struct proc *p = mem_zalloc(sizeof *p);
	char id[48];

	(void)snprintf(id, sizeof id, "e%u", ctr->next_exec++);
	proc_plan(p, ctr, id,
	    ctr->pod->thorough ? (enum kind)(ctr->next_exec % KIND_N)
			       : kinds[rnd(ARRAY_LEN(kinds))]);
	tally.execs++;
	if (!expect(begin_exec(p), 0, p->who))
		goto out;
	if (chance(10))
		(void)expect(begin_exec(p), STATUS_ALREADY_EXISTS, p->who);
	check_state(p, CREATED, CREATED);
	if (p->kind != KIND_UNSTARTED && proc_start(p))
		proc_finish(p);
	proc_delete(p);
out:
	proc_fini(p);
	free(p);
}
