/*
 * Names of a pod's files; see podpath.h. The hash must be the Go shim's byte by
 * byte, cleaning included, for `ctr shim` and tests of containerd compute it
 * themselves.
 */
#include "base/podpath.h"

#include <sha256.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* Of the group in a directory's name: NAME_MAX leaves room for hash and suffix. */
#define POD_NAME_GROUP_MAX 128

const char *
pod_state_root(void)
{
	const char *root = getenv("PODSHIM_STATE_ROOT");

	return root != NULL && root[0] == '/' ? root : POD_STATE_ROOT;
}

/* isalnum() follows the locale. */
static bool
is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool
pod_id_valid(const char *id)
{
	size_t i, len = strlen(id);

	if (len == 0 || len > POD_ID_MAX || !is_alnum(id[0]) || !is_alnum(id[len - 1]))
		return false;
	for (i = 1; i < len; i++) {
		if (is_alnum(id[i]))
			continue;
		if (strchr("-._", id[i]) == NULL || !is_alnum(id[i - 1]))
			return false;
	}
	return true;
}

char *
pod_path_join(const char *a, const char *b, const char *c)
{
	const char *const parts[] = {a, b, c};
	size_t i, len = 0, floor;
	AUTO_FREE char *in = mem_printf("%s/%s/%s", a, b, c);
	char *out = mem_zalloc(strlen(in) + 2), *part, *save = NULL;

	/* rooted is what the first part that is not empty says */
	for (i = 0; i < ARRAY_LEN(parts) && parts[i][0] == '\0'; i++)
		;
	if (i == ARRAY_LEN(parts))
		return out;
	if (parts[i][0] == '/')
		out[len++] = '/';
	floor = len; /* ".." stops here */
	for (part = strtok_r(in, "/", &save); part != NULL;
	     part = strtok_r(NULL, "/", &save)) {
		size_t n = strlen(part);

		if (strcmp(part, ".") == 0)
			continue;
		if (strcmp(part, "..") == 0 && len > floor) {
			while (len > floor && out[len - 1] != '/')
				len--;
			if (len > floor)
				len--; /* the slash too */
			continue;
		}
		if (strcmp(part, "..") == 0 && out[0] == '/')
			continue; /* above the root there is only the root */
		if (len > 0 && out[len - 1] != '/')
			out[len++] = '/';
		memcpy(out + len, part, n);
		len += n;
		if (strcmp(part, "..") == 0)
			floor = len; /* a relative path keeps its leading ".." */
	}
	if (len == 0)
		out[len++] = '.';
	out[len] = '\0';
	return out;
}

void
pod_hash(
    const char *address, const char *ns, const char *group, char hash[POD_HASH_LEN + 1])
{
	AUTO_FREE char *path = pod_path_join(address, ns, group);

	(void)SHA256Data((const uint8_t *)path, strlen(path), hash);
}

bool
pod_hash_of_address(const char *address, char hash[POD_HASH_LEN + 1], char **socket_path)
{
	const char *path, *name;

	if (strncmp(address, POD_SCHEME "/", sizeof POD_SCHEME) != 0)
		return false;
	path = address + sizeof POD_SCHEME - 1;
	name = strrchr(path, '/') + 1;
	if (strlen(name) != POD_HASH_LEN ||
	    strspn(name, "0123456789abcdef") != POD_HASH_LEN)
		return false;
	memcpy(hash, name, POD_HASH_LEN + 1);
	if (socket_path != NULL)
		*socket_path = mem_strdup(path);
	return true;
}

char *
pod_name(const char *group, const char *hash)
{
	char safe[POD_NAME_GROUP_MAX + 1];
	size_t i;

	for (i = 0; i < POD_NAME_GROUP_MAX && group[i] != '\0'; i++)
		safe[i] = is_alnum(group[i]) || strchr("-_", group[i]) != NULL ||
			(group[i] == '.' && i > 0)
		    ? group[i]
		    : '_';
	safe[i] = '\0';
	return mem_printf("%s.%.*s", i > 0 ? safe : "_", (int)POD_HASH8_LEN, hash);
}

char *
pod_dir(const char *ns, const char *group, const char *hash)
{
	AUTO_FREE char *name = pod_name(group, hash);

	return mem_printf("%s/%s/%s", pod_state_root(), ns, name);
}

char *
pod_lock_path(const char *ns, const char *group, const char *hash)
{
	AUTO_FREE char *dir = pod_dir(ns, group, hash);

	return mem_printf("%s.lock", dir);
}
