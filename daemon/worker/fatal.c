/*
 * Fatal signals, and SIGUSR1. The handler runs on a stack of its own (the fault may be an
 * overflow), writes return addresses into memory that the keeper shares, and
 * lets the signal kill us after all: the keeper judges by how we died. SIGUSR1's
 * tells the keeper, by a packet that owes nothing to the loop, and returns.
 */
#include "worker/fatal.h"

#include <errno.h>
#include <execinfo.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "ipc/blackbox.h"
#include "ipc/msg.h"

#define FATAL_STACK (64u * 1024u)

static struct blackbox *fatal_bb;
static int fatal_channel = -1;
static char fatal_stack[FATAL_STACK];
extern const char __executable_start;

static void
fatal_on_signal(int signo, siginfo_t *si, void *uc)
{
	static volatile sig_atomic_t again;
	/* our own doing, or sent from outside? The keeper blames only the first. */
	bool own = si->si_code > 0 || (signo == SIGABRT && si->si_pid == getpid());
	void *frames[BLACKBOX_FRAMES];
	int n, i;

	(void)uc;
	if (!again && fatal_bb != NULL) {
		again = 1;
		fatal_bb->fatal_signal = own ? signo : -signo;
		fatal_bb->fatal_addr = (uint64_t)(uintptr_t)si->si_addr;
		n = backtrace(frames, (int)ARRAY_LEN(frames));
		for (i = 0; i < n; i++)
			fatal_bb->frames[i] = (uint64_t)(uintptr_t)frames[i];
		fatal_bb->n_frames = (uint32_t)n;
	}
	/* SA_RESETHAND: the next one kills. One that we were sent does not come back by itself. */
	if (si->si_code <= 0)
		(void)raise(signo);
}

void
fatal_note_frames(void)
{
	void *frames[BLACKBOX_FRAMES];
	int n, i;

	if (fatal_bb == NULL)
		return;
	n = backtrace(frames, (int)ARRAY_LEN(frames));
	for (i = 0; i < n; i++)
		fatal_bb->ask_frames[i] = (uint64_t)(uintptr_t)frames[i];
	fatal_bb->n_ask_frames = (uint32_t)n;
}

static void
fatal_on_ask(int signo, siginfo_t *si, void *uc)
{
	bool keeper = si->si_code == SI_QUEUE && si->si_pid == getppid();
	const struct msg_head head = {
	    .type = MSG_FRAMES, .a = keeper ? (uint64_t)si->si_value.sival_int : 0};
	int saved = errno;

	(void)signo;
	(void)uc;
	fatal_note_frames();
	(void)send(fatal_channel, &head, sizeof head, MSG_DONTWAIT | MSG_NOSIGNAL);
	errno = saved;
}

void
fatal_init(struct blackbox *bb, int channel_fd)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS};
	const stack_t stack = {.ss_sp = fatal_stack, .ss_size = sizeof fatal_stack};
	struct sigaction sa;
	void *warm[4];
	size_t i;

	fatal_bb = bb;
	fatal_channel = channel_fd;
	bb->load_base = (uint64_t)(uintptr_t)&__executable_start;
	/* the first call may allocate: not in a handler */
	(void)backtrace(warm, (int)ARRAY_LEN(warm));
	(void)sigaltstack(&stack, NULL);
	memset(&sa, 0, sizeof sa);
	sa.sa_sigaction = fatal_on_signal;
	sa.sa_flags = (int)(SA_SIGINFO | SA_ONSTACK | SA_RESETHAND);
	(void)sigemptyset(&sa.sa_mask);
	for (i = 0; i < ARRAY_LEN(signals); i++)
		(void)sigaction(signals[i], &sa, NULL);
	sa.sa_sigaction = fatal_on_ask;
	sa.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
	(void)sigaction(SIGUSR1, &sa, NULL);
	bb->ask_ready = 1;
}
