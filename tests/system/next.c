/*
 * The next release's store: a migration more, after which no older build can read
 * it, if the program's file is called *schema*. Under other names the store is
 * today's, so that one can go back.
 */
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "state/store.h"
#include "state/store_private.h"

int __real_store_open(const char *dir, const struct store_identity *id, bool safe,
    struct store **out, char **why, struct err *err);
int __wrap_store_open(const char *dir, const struct store_identity *id, bool safe,
    struct store **out, char **why, struct err *err);
int __wrap_store_open_readonly(const char *dir, struct store **out, struct err *err);
int __real_store_open_readonly(const char *dir, struct store **out, struct err *err);

static bool
is_schema(void)
{
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	const char *base;

	if (n < 0)
		return false;
	exe[n] = '\0';
	base = strrchr(exe, '/');
	return base != NULL && strstr(base, "schema") != NULL;
}

int
__wrap_store_open(const char *dir, const struct store_identity *id, bool safe,
    struct store **out, char **why, struct err *err)
{
	static struct migration next[STORE_SCHEMA_VERSION + 1];

	if (!is_schema())
		return __real_store_open(dir, id, safe, out, why, err);
	memcpy(next, store_migrations, STORE_SCHEMA_VERSION * sizeof next[0]);
	next[STORE_SCHEMA_VERSION] = (struct migration){
	    .sql = "CREATE TABLE of_the_next_release(a INTEGER PRIMARY KEY);"
		   "UPDATE meta SET value = '2' WHERE key = 'min_reader';"};
	return store_open_with(dir, id, safe, next, ARRAY_LEN(next), out, why, err);
}

/* Only `--check` asks, and looks no further than this. */
int
__wrap_store_open_readonly(const char *dir, struct store **out, struct err *err)
{
	return is_schema() ? -ENOENT : __real_store_open_readonly(dir, out, err);
}
