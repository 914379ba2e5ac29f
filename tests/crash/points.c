/*
 * Arming crash points; see points.h. The walk itself is walk.c.
 */
#include "points.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "crash.h"

#define CRASHPOINT_FILE "crashpoint"

static struct strv names;

void
points_load(void)
{
	struct err err = ERR_INIT;
	char *text = NULL, *save = NULL, *word;
	size_t len;

	if (opt.points == NULL)
		return;
	if (file_read(AT_FDCWD, opt.points, 1 << 20, &text, &len, &err) < 0) {
		say("%s", err.text);
		exit(2);
	}
	for (word = strtok_r(text, "\n", &save); word != NULL;
	     word = strtok_r(NULL, "\n", &save))
		strv_add(&names, word);
	free(text);
}

size_t
points_count(void)
{
	return names.n;
}

const char *
points_name(size_t i)
{
	return names.v[i];
}

const char *
points_random(void)
{
	return names.n > 0 ? names.v[rnd((uint32_t)names.n)] : NULL;
}

void
points_arm(int dirfd, const char *name, unsigned count, bool abrt)
{
	AUTO_FREE char *text = mem_printf("%s:%u%s", name, count, abrt ? ":abrt" : "");
	struct err err = ERR_INIT;

	if (file_write(dirfd, CRASHPOINT_FILE, text, strlen(text), 0600, &err) < 0)
		fault(FAULT_OTHER, "arm '%s': %s", name, err.text);
}

bool
points_disarm(int dirfd)
{
	return unlinkat(dirfd, CRASHPOINT_FILE, 0) == 0;
}
