/*
 * Directories: listing one by descriptor, making a path, emptying a tree.
 * Nothing here follows a symbolic link or leaves the file system.
 */
#ifndef PODSHIM_BASE_DIR_H
#define PODSHIM_BASE_DIR_H

#include <dirent.h>
#include <stddef.h>
#include <sys/types.h>

struct err;

static inline void
auto_closedir_(DIR **d)
{
	if (*d != NULL)
		(void)closedir(*d);
}

#define AUTO_CLOSEDIR __attribute__((cleanup(auto_closedir_)))

/*
 * A directory's entries, read from the start; name "." is dirfd itself, whose
 * offset stays. The caller's, for closedir(); NULL and errno on failure.
 */
DIR *dir_open(int dirfd, const char *name);
/* The next entry but "." and ".."; NULL at the end, or when d is NULL. */
struct dirent *dir_next(DIR *d);

/* mkdir -p; directories that exist keep their mode. */
int dir_make(const char *path, mode_t mode, struct err *err);

/*
 * rm -r of what is in a directory, as far as it goes: a mount stays, and so does
 * what is deeper than sixteen levels.
 */
void tree_empty(int dirfd);
/* rm -r; one that is not there is removed already. 0 or -errno. */
int tree_remove(int dirfd, const char *name);

#endif
