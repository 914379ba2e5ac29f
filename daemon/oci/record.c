#include "oci/record.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/mem.h"

#define RECORD_MAX (4u << 20)
#define STAT_MAX   4096u

/* As runc and crun call it. */
static const char *const record_files[] = {"state.json", "status"};

/* The bundle itself may be gone: then as much of it as is there. */
static char *
real_path(const char *path)
{
	AUTO_FREE char *parent = mem_strdup(path), *real = realpath(path, NULL);
	char *name = strrchr(parent, '/');

	if (real != NULL || name == NULL || name == parent)
		return steal_ptr(&real);
	*name++ = '\0';
	real = realpath(parent, NULL);
	return real == NULL ? NULL : mem_printf("%s/%s", real, name);
}

static bool
is_same_path(const char *a, const char *b)
{
	AUTO_FREE char *real_a = NULL, *real_b = NULL;

	if (strcmp(a, b) == 0)
		return true;
	real_a = real_path(a);
	real_b = real_path(b);
	return real_a != NULL && real_b != NULL && strcmp(real_a, real_b) == 0;
}

/* runc has "bundle=/path" among its labels, crun "bundle": "/path". */
static enum record_owner
record_read(const char *text, const char *bundle)
{
	enum record_owner owner = RECORD_NONE;
	const char *at = text;

	while ((at = strstr(at, "\"bundle")) != NULL) {
		AUTO_FREE char *path = NULL;

		at += strlen("\"bundle");
		at += strspn(at, "\": =");
		if (*at != '/')
			continue;
		path = mem_printf("%.*s", (int)strcspn(at, "\""), at);
		if (bundle != NULL && is_same_path(path, bundle))
			return RECORD_OURS;
		owner = RECORD_ANOTHERS;
	}
	return owner;
}

enum record_owner
record_owner(const char *dir, const char *bundle)
{
	enum record_owner owner = RECORD_NONE;
	size_t i, len;

	for (i = 0; i < ARRAY_LEN(record_files) && owner == RECORD_NONE; i++) {
		AUTO_FREE char *path = mem_printf("%s/%s", dir, record_files[i]);
		AUTO_FREE char *text = NULL;

		if (file_read(AT_FDCWD, path, RECORD_MAX, &text, &len, NULL) == 0)
			owner = record_read(text, bundle);
	}
	return owner;
}

uint64_t
record_start_ticks(pid_t pid)
{
	AUTO_FREE char *text = NULL;
	char path[64], *p, *save = NULL;
	size_t len;
	int field;

	(void)snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
	if (file_read(AT_FDCWD, path, STAT_MAX, &text, &len, NULL) < 0)
		return 0;
	p = strrchr(text, ')'); /* the name may hold anything */
	if (p == NULL)
		return 0;
	p = strtok_r(p + 1, " ", &save); /* field 3: state */
	if (p == NULL || p[0] == 'Z' || p[0] == 'X')
		return 0;
	for (field = 3; field < 22 && p != NULL; field++)
		p = strtok_r(NULL, " ", &save);
	return p == NULL ? 0 : strtoull(p, NULL, 10);
}
