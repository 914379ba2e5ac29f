/*
 * Coroutines over ucontext: a stack each, switched to from libevent's
 * callbacks and back from co_wait(). Stacks are mapped with a guard page and
 * kept for reuse; a coroutine that has ended is put back by the loop, never
 * by itself.
 */
#include "co.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "base/mem.h"

#define STACK_SIZE (192u * 1024u)

struct co {
	ucontext_t ctx;
	void *stack;
	struct event *ev;
	void (*fn)(void *arg);
	void *arg;
	struct co_group *group;
	struct co_cond *cond; /* waits there */
	struct co *next;      /* in cond's list, or in the pool */
	bool woken, ended;
};

static struct event_base *base;
static ucontext_t loop_ctx;
static struct co *current;
static struct co *pool;
static unsigned n_running;

void
co_init(struct event_base *b)
{
	base = b;
}

unsigned
co_count(void)
{
	return n_running;
}

static void
co_main(void)
{
	struct co *co = current;

	co->fn(co->arg);
	co->ended = true;
	swapcontext(&co->ctx, &loop_ctx);
	abort();
}

static void
leave_cond(struct co *co)
{
	struct co **p;

	if (co->cond == NULL)
		return;
	for (p = &co->cond->waiters; *p != NULL; p = &(*p)->next)
		if (*p == co) {
			*p = co->next;
			break;
		}
	co->cond = NULL;
	co->next = NULL;
}

static void
co_on_event(evutil_socket_t fd, short what, void *arg)
{
	struct co *co = arg;

	(void)fd;
	leave_cond(co);
	if ((what & (EV_READ | EV_WRITE)) != 0)
		co->woken = true;
	current = co;
	swapcontext(&loop_ctx, &co->ctx);
	current = NULL;
	if (!co->ended)
		return;
	event_free(co->ev);
	co->ev = NULL;
	n_running--;
	if (co->group != NULL && --co->group->running == 0)
		co_wake(&co->group->done);
	co->next = pool;
	pool = co;
}

static struct co *
co_get(void)
{
	struct co *co = pool;
	void *stack;

	if (co != NULL) {
		pool = co->next;
		stack = co->stack;
	} else {
		co = malloc(sizeof *co);
		stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
		if (co == NULL || stack == MAP_FAILED ||
		    mprotect(stack, 4096, PROT_NONE) == -1)
			abort();
	}
	memset(co, 0, sizeof *co);
	co->stack = stack;
	return co;
}

static void
arm(struct co *co, int fd, short what, long timeout_us)
{
	struct timeval tv = {timeout_us / 1000000, timeout_us % 1000000};

	if (co->ev != NULL)
		event_free(co->ev);
	co->ev = event_new(base, fd, what, co_on_event, co);
	if (co->ev == NULL || event_add(co->ev, timeout_us >= 0 ? &tv : NULL) == -1)
		abort();
}

void
co_group_spawn(struct co_group *group, void (*fn)(void *arg), void *arg)
{
	struct co *co = co_get();

	co->fn = fn;
	co->arg = arg;
	co->group = group;
	if (group != NULL)
		group->running++;
	n_running++;
	getcontext(&co->ctx);
	co->ctx.uc_stack.ss_sp = co->stack;
	co->ctx.uc_stack.ss_size = STACK_SIZE;
	co->ctx.uc_link = NULL;
	makecontext(&co->ctx, co_main, 0);
	arm(co, -1, 0, 0);
}

void
co_spawn(void (*fn)(void *arg), void *arg)
{
	co_group_spawn(NULL, fn, arg);
}

void
co_group_wait(struct co_group *group)
{
	while (group->running > 0)
		(void)co_wait(&group->done, -1);
}

static bool
yield(struct co *co)
{
	co->woken = false;
	swapcontext(&co->ctx, &loop_ctx);
	return co->woken;
}

bool
co_wait(struct co_cond *cond, long timeout_ms)
{
	struct co *co = current;

	co->cond = cond;
	co->next = cond->waiters;
	cond->waiters = co;
	arm(co, -1, 0, timeout_ms < 0 ? -1 : timeout_ms * 1000);
	return yield(co);
}

void
co_wake(struct co_cond *cond)
{
	struct co *co;

	while ((co = cond->waiters) != NULL) {
		cond->waiters = co->next;
		co->cond = NULL;
		co->next = NULL;
		event_active(co->ev, EV_READ, 1);
	}
}

bool
co_wait_fd(int fd, short what, long timeout_ms)
{
	arm(current, fd, what, timeout_ms < 0 ? -1 : timeout_ms * 1000);
	return yield(current);
}

void
co_pause_us(long us)
{
	arm(current, -1, 0, us);
	(void)yield(current);
}
