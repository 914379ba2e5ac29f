#include "client/foreground.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "base/mem.h"

static const int signals[] = {
    SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGWINCH};

static struct termios cooked;
static bool is_raw;

static sigset_t
signal_set(void)
{
	sigset_t set;
	size_t i;

	(void)sigemptyset(&set);
	for (i = 0; i < ARRAY_LEN(signals); i++)
		(void)sigaddset(&set, signals[i]);
	return set;
}

void
foreground_hold_signals(void)
{
	sigset_t set = signal_set();

	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
}

int
foreground_signal_fd(void)
{
	sigset_t set = signal_set();

	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

void
foreground_restore(void)
{
	if (is_raw)
		(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &cooked);
	is_raw = false;
}

bool
foreground_raw(void)
{
	static bool registered;
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &cooked) == -1)
		return false;
	if (!registered)
		registered = atexit(foreground_restore) == 0;
	raw = cooked;
	cfmakeraw(&raw);
	is_raw = tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0;
	return is_raw;
}
