/*
 * Finding, thawing and removing a container's cgroup, v1 or v2, and delegating
 * controllers to it.
 *
 * On v1 a container has one directory per hierarchy, by the same path in each;
 * the one of "pids" stands for all. What surprises: a spec may ask for no
 * cgroup of its own, and then a container's processes sit where ours do;
 * killing "the container's cgroup" would kill the keeper, or the host. So a
 * cgroup that we are in is never taken for a container's, and a kill that
 * would hit us is refused (cgroup_members.c).
 */
#include "oci/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "oci/cgroup_int.h"
#include "oci/mountinfo.h"

#define CGROUP_TEXT_MAX	   (16u * 1024u * 1024u)
#define CGROUP_CONTROL_MAX 4096u

/* --- where hierarchies are mounted ------------------------------------------ */

struct hierarchy {
	char *mount;   /* "/sys/fs/cgroup/pids" */
	char *root;    /* what of the hierarchy is mounted there: "/" */
	char *options; /* of the superblock: names the controllers on v1 */
	bool v2;
};

struct hierarchies {
	struct hierarchy *v;
	size_t n;
};

static void
hierarchies_fini(struct hierarchies *hs)
{
	size_t i;

	for (i = 0; i < hs->n; i++) {
		free(hs->v[i].mount);
		free(hs->v[i].root);
		free(hs->v[i].options);
	}
	free(hs->v);
	*hs = (struct hierarchies){0};
}
#define AUTO_HIERARCHIES __attribute__((cleanup(hierarchies_fini)))

static void
hierarchies_add(const struct mountinfo *m, void *arg)
{
	struct hierarchies *hs = arg;
	struct hierarchy *h;

	if (strcmp(m->type, "cgroup") != 0 && strcmp(m->type, "cgroup2") != 0)
		return;
	hs->v = mem_realloc(hs->v, (hs->n + 1) * sizeof *hs->v);
	h = &hs->v[hs->n++];
	h->root = mem_strdup(m->root);
	h->mount = mem_strdup(m->target);
	h->options = mem_strdup(m->options);
	h->v2 = strcmp(m->type, "cgroup2") == 0;
}

/* Is name one of the words in a comma list of len bytes? */
static bool
cgroup_in_list(const char *list, size_t len, const char *name)
{
	size_t n = strlen(name);

	while (len > 0) {
		const char *comma = memchr(list, ',', len);
		size_t word = comma == NULL ? len : (size_t)(comma - list);

		if (word == n && memcmp(list, name, n) == 0)
			return true;
		if (comma == NULL)
			return false;
		list += word + 1;
		len -= word + 1;
	}
	return false;
}

/* path equals dir, or lies below it. */
static bool
cgroup_is_below(const char *path, size_t path_len, const char *dir, size_t dir_len)
{
	if (dir_len == 1 && dir[0] == '/')
		return true;
	return path_len >= dir_len && memcmp(path, dir, dir_len) == 0 &&
	    (path_len == dir_len || path[dir_len] == '/');
}

/* --- from a process to its cgroup ------------------------------------------- */

/* One line of /proc/PID/cgroup: "8:pids:/a/b", "1:name=systemd:/a", "0::/a". */
struct membership {
	const char *controllers, *path;
	size_t controllers_len, path_len;
};

static bool
membership_next(const char **text, struct membership *m)
{
	while (**text != '\0') {
		const char *line = *text, *end = strchrnul(line, '\n');
		const char *c1 = memchr(line, ':', (size_t)(end - line));
		const char *c2 =
		    c1 == NULL ? NULL : memchr(c1 + 1, ':', (size_t)(end - c1 - 1));

		*text = *end == '\0' ? end : end + 1;
		if (c2 == NULL || c2[1] != '/')
			continue;
		m->controllers = c1 + 1;
		m->controllers_len = (size_t)(c2 - c1 - 1);
		m->path = c2 + 1;
		m->path_len = (size_t)(end - c2 - 1);
		return true;
	}
	return false;
}

static bool
membership_is_v2(const struct membership *m)
{
	return m->controllers_len == 0;
}

/* Do we sit in that cgroup or below it? Then it is not the container's own. */
static bool
membership_is_shared(const struct membership *m, const char *self_cgroup)
{
	struct membership mine;

	while (membership_next(&self_cgroup, &mine)) {
		if (mine.controllers_len == m->controllers_len &&
		    memcmp(mine.controllers, m->controllers, m->controllers_len) == 0)
			return cgroup_is_below(
			    mine.path, mine.path_len, m->path, m->path_len);
	}
	return false;
}

/* The directory of a membership; NULL if its hierarchy is not mounted for us. */
static char *
membership_dir(const struct membership *m, const struct hierarchies *hs)
{
	size_t i;

	for (i = 0; i < hs->n; i++) {
		const struct hierarchy *h = &hs->v[i];
		AUTO_FREE char *first = mem_dup(m->controllers, m->controllers_len + 1);
		size_t root_len = strlen(h->root), skip;

		first[strcspn(first, ",:")] = '\0';
		if (h->v2 != membership_is_v2(m))
			continue;
		if (!h->v2 && !cgroup_in_list(h->options, strlen(h->options), first))
			continue;
		/* of a part that is mounted, only what is below it can be reached */
		if (!cgroup_is_below(m->path, m->path_len, h->root, root_len))
			continue;
		skip = root_len == 1 ? 0 : root_len;
		return mem_printf(
		    "%s%.*s", h->mount, (int)(m->path_len - skip), m->path + skip);
	}
	return NULL;
}

/*
 * How well a hierarchy stands for the container: pids has the truth about its
 * members, devices exists for every container, any controller is better than a
 * name, and on a hybrid host v1 has the controllers.
 */
static int
membership_rank(const struct membership *m)
{
	if (membership_is_v2(m))
		return 1;
	if (cgroup_in_list(m->controllers, m->controllers_len, "pids"))
		return 5;
	if (cgroup_in_list(m->controllers, m->controllers_len, "devices"))
		return 4;
	return memchr(m->controllers, '=', m->controllers_len) == NULL ? 3 : 2;
}

int
cgroup_resolve(const char *proc_cgroup, const char *self_cgroup, const char *mountinfo,
    const char *controller, char **path, struct err *err)
{
	AUTO_HIERARCHIES struct hierarchies hs = {0};
	AUTO_FREE char *best = NULL;
	struct membership m;
	int best_rank = 0;

	mountinfo_parse(mountinfo, hierarchies_add, &hs);
	while (membership_next(&proc_cgroup, &m)) {
		int rank = membership_rank(&m);
		char *dir;

		if (controller != NULL && !membership_is_v2(&m) &&
		    !cgroup_in_list(m.controllers, m.controllers_len, controller))
			continue;
		if (rank <= best_rank || m.path_len == 1 ||
		    (m.path_len >= 3 && memcmp(m.path, "/..", 3) == 0) ||
		    membership_is_shared(&m, self_cgroup))
			continue;
		dir = membership_dir(&m, &hs);
		if (dir == NULL)
			continue;
		free(best);
		best = dir;
		best_rank = rank;
	}
	if (best == NULL)
		return err_setx(err, ENOENT, "the process has no cgroup of its own");
	*path = steal_ptr(&best);
	return 0;
}

int
cgroup_of_pid_controller(pid_t pid, const char *controller, char **path, struct err *err)
{
	AUTO_FREE char *theirs = NULL, *ours = NULL, *mountinfo = NULL;
	char name[40];
	size_t len;
	int rc;

	(void)snprintf(name, sizeof name, "/proc/%ld/cgroup", (long)pid);
	rc = file_read(AT_FDCWD, name, CGROUP_TEXT_MAX, &theirs, &len, err);
	if (rc == -ENOENT || rc == -ESRCH)
		return err_setx(err, ESRCH, "process %ld is gone", (long)pid);
	if (rc < 0 ||
	    (rc = file_read(
		 AT_FDCWD, "/proc/self/cgroup", CGROUP_TEXT_MAX, &ours, &len, err)) < 0 ||
	    (rc = file_read(AT_FDCWD, "/proc/self/mountinfo", CGROUP_TEXT_MAX, &mountinfo,
		 &len, err)) < 0)
		return rc;
	rc = cgroup_resolve(theirs, ours, mountinfo, controller, path, err);
	return rc < 0 ? err_wrap(err, rc, "process %ld", (long)pid) : 0;
}

int
cgroup_of_pid(pid_t pid, char **path, struct err *err)
{
	return cgroup_of_pid_controller(pid, NULL, path, err);
}

/* --- one cgroup ---------------------------------------------------------------- */

int
cgroup_open(const char *path, struct err *err)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	struct statfs fs;

	if (fd == -1)
		return err_set(err, errno, "open '%s'", path);
	if (fstatfs(fd, &fs) == -1)
		return err_set(err, errno, "statfs '%s'", path);
	if (fs.f_type != CGROUP_SUPER_MAGIC && fs.f_type != CGROUP2_SUPER_MAGIC)
		return err_setx(err, EINVAL, "'%s' is not a cgroup", path);
	return steal_fd(&fd);
}

/* Is dir the cgroup that fd is, or below it? -errno: that cannot be told. */
static int
cgroup_leads_up_to(const char *dir, int fd)
{
	AUTO_CLOSE int at = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat want, st;
	int up;

	if (at == -1 || fstat(fd, &want) == -1 || fstat(at, &st) == -1)
		return -errno;
	/* to the top of the hierarchy, above which there is another file system */
	while (st.st_dev == want.st_dev && st.st_ino != want.st_ino) {
		up = openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		fd_close(&at);
		at = up;
		if (at == -1 || fstat(at, &st) == -1)
			return -errno;
	}
	return st.st_dev == want.st_dev;
}

int
cgroup_v2_has(int fd, pid_t pid)
{
	AUTO_HIERARCHIES struct hierarchies hs = {0};
	AUTO_FREE char *text = NULL, *dir = NULL, *mounts = NULL;
	const char *rest;
	struct membership m;
	char name[40];
	size_t len;
	int rc;

	(void)snprintf(name, sizeof name, "/proc/%ld/cgroup", (long)pid);
	rc = file_read(AT_FDCWD, name, CGROUP_TEXT_MAX, &text, &len, NULL);
	if (rc == 0)
		rc = mountinfo_read_cgroups(&mounts, NULL);
	if (rc < 0)
		return rc;
	mountinfo_parse(mounts, hierarchies_add, &hs);
	for (rest = text; dir == NULL && membership_next(&rest, &m);) {
		if (membership_is_v2(&m))
			dir = membership_dir(&m, &hs);
	}
	return dir == NULL ? -ENOENT : cgroup_leads_up_to(dir, fd);
}

/* --- the same path elsewhere --------------------------------------------------- */

/* Call cb with the directory of path's cgroup in each hierarchy of *mounts, read if NULL. */
static void
cgroup_each_of(
    const char *path, char **mounts, void (*cb)(const char *dir, void *arg), void *arg)
{
	AUTO_HIERARCHIES struct hierarchies hs = {0};
	const struct hierarchy *home = NULL;
	size_t i;

	if (*mounts == NULL && mountinfo_read_cgroups(mounts, NULL) < 0)
		return;
	mountinfo_parse(*mounts, hierarchies_add, &hs);
	for (i = 0; i < hs.n; i++) {
		const char *mount = hs.v[i].mount;

		if (cgroup_is_below(path, strlen(path), mount, strlen(mount)) &&
		    (home == NULL || strlen(mount) > strlen(home->mount)))
			home = &hs.v[i];
	}
	/* never a hierarchy's root */
	if (home == NULL || path[strlen(home->mount)] != '/' ||
	    path[strlen(home->mount) + 1] == '\0')
		return;
	for (i = 0; i < hs.n; i++) {
		AUTO_FREE char *dir =
		    mem_printf("%s%s", hs.v[i].mount, path + strlen(home->mount));

		if (strcmp(hs.v[i].root, home->root) == 0)
			cb(dir, arg);
	}
}

static void
cgroup_each_hierarchy(const char *path, void (*cb)(const char *dir, void *arg), void *arg)
{
	AUTO_FREE char *mounts = NULL;

	cgroup_each_of(path, &mounts, cb, arg);
}

static void
cgroup_rmdir(int dirfd, const char *name, int fd, void *arg)
{
	(void)fd;
	(void)arg;
	if (strcmp(name, ".") != 0)
		(void)unlinkat(dirfd, name, AT_REMOVEDIR);
}

static void
cgroup_remove_dir(const char *dir, void *arg)
{
	AUTO_CLOSE int fd = cgroup_open(dir, NULL);
	bool *gone = arg;

	if (fd < 0)
		return;
	(void)cgroup_walk(fd, cgroup_rmdir, NULL);
	if (rmdir(dir) == -1 && errno != ENOENT)
		*gone = false;
}

bool
cgroup_remove(const char *path)
{
	bool gone = true;

	cgroup_each_hierarchy(path, cgroup_remove_dir, &gone);
	return gone;
}

static void
cgroup_write(int fd, const char *name, const char *text)
{
	AUTO_CLOSE int file = openat(fd, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);

	if (file >= 0)
		(void)!write(file, text, strlen(text));
}

static void
cgroup_thaw_one(int dirfd, const char *name, int fd, void *arg)
{
	(void)dirfd;
	(void)name;
	(void)arg;
	cgroup_write(fd, "freezer.state", "THAWED");
}

/*
 * On v1 only the freezer has anything to thaw, in each cgroup by itself. On v2 one
 * thaws those below, but for what the container has frozen itself; that dies all the same.
 */
static void
cgroup_thaw_dir(const char *dir, void *arg)
{
	AUTO_CLOSE int fd = cgroup_open(dir, NULL);

	(void)arg;
	if (fd < 0)
		return;
	cgroup_write(fd, "cgroup.freeze", "0");
	if (faccessat(fd, "freezer.state", F_OK, 0) == 0 &&
	    !cgroup_walk(fd, cgroup_thaw_one, NULL))
		log_warnx("thaw: '%s' has too many cgroups below it, ignoring some", dir);
}

void
cgroup_thaw_next(const char *path, char **mounts)
{
	cgroup_each_of(path, mounts, cgroup_thaw_dir, NULL);
}

void
cgroup_thaw(const char *path)
{
	AUTO_FREE char *mounts = NULL;

	cgroup_thaw_next(path, &mounts);
}

static void
cgroup_look_frozen(const char *dir, void *arg)
{
	AUTO_CLOSE int fd = cgroup_open(dir, NULL);
	AUTO_FREE char *state = NULL, *freeze = NULL;
	bool *frozen = arg;
	size_t len;

	if (fd < 0)
		return;
	/* FREEZING and FROZEN */
	if (file_read(fd, "freezer.state", CGROUP_CONTROL_MAX, &state, &len, NULL) == 0)
		*frozen |= state[0] == 'F';
	if (file_read(fd, "cgroup.freeze", CGROUP_CONTROL_MAX, &freeze, &len, NULL) == 0)
		*frozen |= freeze[0] == '1';
}

bool
cgroup_is_frozen(const char *path)
{
	bool frozen = false;

	cgroup_each_hierarchy(path, cgroup_look_frozen, &frozen);
	return frozen;
}

/* --- delegation ------------------------------------------------------------------ */

static bool
cgroup_has_word(const char *text, const char *word, size_t len)
{
	const char *p = text;

	while ((p = strstr(p, word)) != NULL) {
		if ((p == text || p[-1] == ' ') && (p[len] == ' ' || p[len] == '\0'))
			return true;
		p += len;
	}
	return false;
}

/* What dir has and does not pass on yet, one by one: each may be refused alone. */
static void
cgroup_pass_on(const char *dir)
{
	AUTO_FREE char *has_path = mem_printf("%s/cgroup.controllers", dir),
		       *passes_path = mem_printf("%s/cgroup.subtree_control", dir),
		       *has = NULL, *passes = NULL;
	char *word, *save = NULL;
	size_t len;

	if (file_read(AT_FDCWD, has_path, CGROUP_CONTROL_MAX, &has, &len, NULL) < 0 ||
	    file_read(AT_FDCWD, passes_path, CGROUP_CONTROL_MAX, &passes, &len, NULL) < 0)
		return;
	passes[strcspn(passes, "\n")] = '\0';
	for (word = strtok_r(has, " \n", &save); word != NULL;
	     word = strtok_r(NULL, " \n", &save)) {
		AUTO_FREE char *plus = mem_printf("+%s", word);
		AUTO_CLOSE int fd = -1;

		if (cgroup_has_word(passes, word, strlen(word)))
			continue;
		fd = open(passes_path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
		if (fd >= 0)
			(void)!write(fd, plus, strlen(plus));
	}
}

void
cgroup_delegate(const char *path)
{
	const char *slash;

	for (slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		AUTO_FREE char *dir = mem_printf("%.*s", (int)(slash - path), path);

		cgroup_pass_on(dir);
	}
}
