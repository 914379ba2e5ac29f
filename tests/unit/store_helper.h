/*
 * For the tests of state/: a temporary directory per test, and shorthands.
 */
#ifndef PODSHIM_TESTS_STORE_HELPER_H
#define PODSHIM_TESTS_STORE_HELPER_H

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "state/store_private.h"

static inline int
rm_one(const char *path, const struct stat *sb, int type, struct FTW *ftw)
{
	(void)sb;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline int
dir_setup(void **state)
{
	char *dir = mem_strdup("/tmp/test-store.XXXXXX");

	if (mkdtemp(dir) == NULL)
		return -1;
	*state = dir;
	return 0;
}

static inline int
dir_teardown(void **state)
{
	(void)umount2(*state, MNT_DETACH); /* of a test that failed with one */
	(void)nftw(*state, rm_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	free(*state);
	return 0;
}

static inline struct store_identity
identity(uint8_t seed)
{
	struct store_identity id = {.ns = "k8s.io", .group = "pod1", .build = "build-1"};

	memset(id.inst, seed, sizeof id.inst);
	(void)snprintf(id.boot_id, sizeof id.boot_id, "boot-0");
	return id;
}

static inline struct store *
open_expect(const char *dir, int result)
{
	struct store_identity id = identity(1);
	struct err err = ERR_INIT;
	struct store *st = NULL;
	char *why = NULL;
	int rc = store_open(dir, &id, false, &st, &why, &err);

	if (rc != result)
		print_message(
		    "store_open: %d %s %s\n", rc, err.text, why == NULL ? "" : why);
	free(why);
	assert_int_equal(rc, result);
	return st;
}

static inline char *
path_in(const char *dir, const char *name)
{
	return mem_printf("%s/%s", dir, name);
}

static inline void
commit_ok(struct store *st)
{
	struct err err = ERR_INIT;
	int rc = store_commit(st, STORE_MUST, &err);

	if (rc != 0)
		print_message("store_commit: %s\n", err.text);
	assert_int_equal(rc, 0);
}

#define TEST_IN_DIR(f) cmocka_unit_test_setup_teardown(f, dir_setup, dir_teardown)

#endif
