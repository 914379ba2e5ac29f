#include "client/term.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/mem.h"

bool
term_is_tty(FILE *f)
{
	int fd = fileno(f);

	return fd >= 0 && isatty(fd) == 1;
}

/* Is it a terminal that says its size? */
static bool
term_size(FILE *f, struct winsize *size)
{
	*size = (struct winsize){0};
	return term_is_tty(f) && ioctl(fileno(f), TIOCGWINSZ, size) == 0;
}

unsigned
term_width(FILE *f)
{
	struct winsize size;

	return term_size(f, &size) ? size.ws_col : 0;
}

unsigned
term_height(FILE *f)
{
	struct winsize size;

	return term_size(f, &size) ? size.ws_row : 0;
}

bool
term_has_colours(FILE *f)
{
	const char *no = getenv("NO_COLOR"), *kind = getenv("TERM");

	return (no == NULL || *no == '\0') && kind != NULL && *kind != '\0' &&
	    strcmp(kind, "dumb") != 0 && term_is_tty(f);
}

const char *
term_look(enum look look)
{
	switch (look) {
	case LOOK_BAD: return "\x1b[31m";
	case LOOK_WARN: return "\x1b[33m";
	case LOOK_FAINT: return "\x1b[2m";
	case LOOK_HEAD: return "\x1b[1m";
	case LOOK_PLAIN: break;
	}
	return "";
}

enum look
term_look_of_state(const char *state)
{
	static const char *const bad[] = {
	    "dead", "unresponsive", "crash-loop", "broken", "down", "hung"};
	static const char *const quiet[] = {"running", "ready", "created"};
	size_t i;

	if (state == NULL)
		return LOOK_PLAIN;
	for (i = 0; i < ARRAY_LEN(bad); i++)
		if (strcmp(state, bad[i]) == 0)
			return LOOK_BAD;
	for (i = 0; i < ARRAY_LEN(quiet); i++)
		if (strcmp(state, quiet[i]) == 0)
			return LOOK_PLAIN;
	return strcmp(state, "stopped") == 0 ? LOOK_FAINT : LOOK_WARN;
}
