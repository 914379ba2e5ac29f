/*
 * A temporary directory per test, for tests that keep no database.
 */
#ifndef PODSHIM_TESTS_TMPDIR_H
#define PODSHIM_TESTS_TMPDIR_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char dir[] = "/tmp/podshim-unit.XXXXXX";

static int
tmpdir_remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static int
setup(void **state)
{
	(void)state;
	memcpy(dir + strlen(dir) - 6, "XXXXXX", 6);
	return mkdtemp(dir) == NULL;
}

static int
teardown(void **state)
{
	(void)state;
	return nftw(dir, tmpdir_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

#endif
