/*
 * Mount options: words to flags, the rest to the file system.
 *
 * mount(2) takes one page of data. An image of many layers gives overlayfs a
 * list of lower directories that is longer; what they have in common is then
 * cut off and becomes the working directory of the mount call. If that is not enough,
 * they get mounts of their own with short names (mount_stage.c).
 */
#include "oci/mount.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "oci/mount_int.h"

/* Room that containerd leaves, too, before it makes lower directories relative. */
#define MOUNT_DATA_MARGIN 512u

static const struct mount_word {
	const char *word;
	unsigned long set, clear;
} mount_words[] = {
    {"defaults", 0, 0},
    {"ro", MS_RDONLY, 0},
    {"rw", 0, MS_RDONLY},
    {"nosuid", MS_NOSUID, 0},
    {"suid", 0, MS_NOSUID},
    {"nodev", MS_NODEV, 0},
    {"dev", 0, MS_NODEV},
    {"noexec", MS_NOEXEC, 0},
    {"exec", 0, MS_NOEXEC},
    {"sync", MS_SYNCHRONOUS, 0},
    {"async", 0, MS_SYNCHRONOUS},
    {"dirsync", MS_DIRSYNC, 0},
    {"mand", MS_MANDLOCK, 0},
    {"nomand", 0, MS_MANDLOCK},
    {"noatime", MS_NOATIME, 0},
    {"atime", 0, MS_NOATIME},
    {"nodiratime", MS_NODIRATIME, 0},
    {"diratime", 0, MS_NODIRATIME},
    {"relatime", MS_RELATIME, 0},
    {"norelatime", 0, MS_RELATIME},
    {"strictatime", MS_STRICTATIME, 0},
    {"nostrictatime", 0, MS_STRICTATIME},
    {"bind", MS_BIND, 0},
    {"rbind", MS_BIND | MS_REC, 0},
    {"remount", MS_REMOUNT, 0},
};

/* No file system knows these as data: they mean a mount call of their own. */
static const struct mount_word mount_propagations[] = {
    {"shared", MS_SHARED, 0},
    {"rshared", MS_SHARED | MS_REC, 0},
    {"private", MS_PRIVATE, 0},
    {"rprivate", MS_PRIVATE | MS_REC, 0},
    {"slave", MS_SLAVE, 0},
    {"rslave", MS_SLAVE | MS_REC, 0},
    {"unbindable", MS_UNBINDABLE, 0},
    {"runbindable", MS_UNBINDABLE | MS_REC, 0},
};

static const struct mount_word *
mount_find_word(const struct mount_word *list, size_t n, const char *word)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (strcmp(list[i].word, word) == 0)
			return &list[i];
	}
	return NULL;
}

/* Options that would be misunderstood by the kernel, or silently do nothing. */
static int
mount_refuse_word(const char *word, struct err *err)
{
	if (strncmp(word, "X-containerd.", 13) == 0)
		return err_setx(err, EINVAL,
		    "option '%.200s' is containerd's own and should "
		    "not have come here",
		    word);
	if (strncmp(word, "loop=", 5) == 0)
		return err_setx(
		    err, EINVAL, "option '%.200s': a loop device cannot be chosen", word);
	return 0;
}

/* Options for the helper itself. Is it one? */
static bool
mount_take_word(const char *word, struct mount_flags *f)
{
	if (strcmp(word, "loop") == 0)
		f->loop = true;
	else if (strcmp(word, "direct-io") == 0)
		f->direct_io = true; /* no file system has an option of that name */
	else if (strncmp(word, "uidmap=", 7) == 0)
		f->uidmap = word + 7;
	else if (strncmp(word, "gidmap=", 7) == 0)
		f->gidmap = word + 7;
	else
		return false;
	return true;
}

/* Empty, with room for all options. */
static char *
mount_new_data(const struct mount_spec *m)
{
	size_t room = 1, i;

	for (i = 0; i < m->n_options; i++)
		room += strlen(m->options[i]) + 1;
	return mem_zalloc(room);
}

/* Append to data, which ends at end. Returns its new end. */
static char *
mount_add_data(const char *data, char *end, const char *word)
{
	if (end != data)
		*end++ = ',';
	return stpcpy(end, word);
}

/* --- overlay ------------------------------------------------------------------ */

const char *
mount_lower_end(const char *p)
{
	for (; *p != '\0' && *p != ':'; p++) {
		if (*p == '\\' && p[1] != '\0')
			p++;
	}
	return p;
}

/*
 * Length of what all directories of a list have in common, up to and with a
 * slash, and less than each of them: 0 if there is nothing to gain.
 */
static size_t
mount_lower_common(const char *list)
{
	const char *p = list, *end;
	size_t common = 0, i;
	bool first = true;

	for (;; p = end + 1) {
		end = mount_lower_end(p);
		if (p == end || *p != '/')
			return 0; /* relative already, or of the data-only kind */
		if (first)
			common = (size_t)(end - p);
		for (i = 0; i < common && p + i < end && p[i] == list[i]; i++)
			;
		common = i;
		if (p + common == end && common > 0)
			common--; /* something must be left of this one */
		while (common > 0 && list[common - 1] != '/')
			common--;
		first = false;
		if (*end == '\0')
			return common > 1 ? common : 0;
	}
}

/* "lowerdir=…" with each directory relative to *cwd. NULL if that cannot be. */
static char *
mount_shorten_lower(const char *word, char **cwd)
{
	const char *list = word + strlen("lowerdir="), *p, *end;
	size_t common = mount_lower_common(list);
	char *out, *w;

	/* an escape in the common part would need another spelling for chdir(2) */
	if (common == 0 || memchr(list, '\\', common) != NULL)
		return NULL;
	out = w = mem_zalloc(strlen(word) + 1);
	w = stpcpy(w, "lowerdir=");
	for (p = list;; p = end + 1) {
		end = mount_lower_end(p);
		memcpy(w, p + common, (size_t)(end - p) - common);
		w += (size_t)(end - p) - common;
		if (*end == '\0')
			break;
		*w++ = ':';
	}
	*cwd = mem_zalloc(common + 1);
	memcpy(*cwd, list, common);
	return out;
}

/* data again, with the lower directories made relative, or put aside into f->lower. */
static void
mount_shorten_overlay(const struct mount_spec *m, struct mount_flags *f, bool aside)
{
	AUTO_FREE char *data = mount_new_data(m);
	struct mount_flags ignored = {0};
	char *end = data;
	size_t i;

	for (i = 0; i < m->n_options; i++) {
		const char *word = m->options[i];
		AUTO_FREE char *shorter = NULL;

		if (word[0] == '\0' || mount_take_word(word, &ignored) ||
		    mount_find_word(mount_words, ARRAY_LEN(mount_words), word) != NULL ||
		    mount_find_word(
			mount_propagations, ARRAY_LEN(mount_propagations), word) != NULL)
			continue;
		if (strncmp(word, "lowerdir=", 9) == 0) {
			if (aside && f->lower == NULL) {
				f->lower = mem_strdup(word + 9);
				continue;
			}
			if (!aside && f->cwd == NULL)
				shorter = mount_shorten_lower(word, &f->cwd);
		}
		end = mount_add_data(data, end, shorter != NULL ? shorter : word);
	}
	free(f->data);
	f->data = steal_ptr(&data);
	if (aside) {
		free(f->cwd);
		f->cwd = NULL;
	}
}

/* --- all of them --------------------------------------------------------------- */

static int
mount_sort_words(const struct mount_spec *m, struct mount_flags *f, struct err *err)
{
	char *end = f->data;
	size_t i;

	for (i = 0; i < m->n_options; i++) {
		const char *word = m->options[i];
		const struct mount_word *w;

		if (mount_refuse_word(word, err) < 0)
			return -EINVAL;
		if ((w = mount_find_word(mount_words, ARRAY_LEN(mount_words), word)) !=
		    NULL)
			f->flags = (f->flags | w->set) & ~w->clear;
		else if ((w = mount_find_word(mount_propagations,
			      ARRAY_LEN(mount_propagations), word)) != NULL)
			f->propagation = w->set;
		else if (word[0] != '\0' && !mount_take_word(word, f))
			end = mount_add_data(f->data, end, word);
	}
	if ((f->uidmap == NULL) != (f->gidmap == NULL))
		return err_setx(err, EINVAL,
		    "%s= without %s=", f->uidmap != NULL ? "uidmap" : "gidmap",
		    f->uidmap != NULL ? "gidmap" : "uidmap");
	if (f->uidmap != NULL && strncmp(m->type, "fuse", 4) == 0 &&
	    strchr(m->type, '.') != NULL)
		return err_setx(
		    err, EINVAL, "id maps for a mount of type '%.64s'", m->type);
	return 0;
}

static int
mount_fit_page(const struct mount_spec *m, struct mount_flags *f, struct err *err)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	bool overlay = strcmp(m->type, "overlay") == 0;

	if (overlay && f->uidmap != NULL) {
		mount_shorten_overlay(m, f, true);
		if (f->lower == NULL)
			return err_setx(
			    err, EINVAL, "id maps for an overlay without lowerdir=");
	} else if (overlay && strlen(f->data) >= page - MOUNT_DATA_MARGIN) {
		mount_shorten_overlay(m, f, false);
		if (strlen(f->data) >= page)
			mount_shorten_overlay(m, f, true);
	}
	if (strlen(f->data) >= page)
		return err_setx(err, E2BIG,
		    "mount options of %zu bytes, the kernel takes %zu", strlen(f->data),
		    page - 1);
	return 0;
}

int
mount_parse_options(const struct mount_spec *m, struct mount_flags *out, struct err *err)
{
	struct mount_flags f = {0};
	int rc;

	if (m->n_options > MOUNT_COUNT_MAX)
		return err_setx(err, EINVAL, "%zu options, more than %u", m->n_options,
		    MOUNT_COUNT_MAX);
	f.data = mount_new_data(m);
	if (strcmp(m->type, "bind") == 0)
		f.flags = MS_BIND;
	else if (strcmp(m->type, "rbind") == 0)
		f.flags = MS_BIND | MS_REC;
	rc = mount_sort_words(m, &f, err);
	if (rc == 0)
		rc = mount_fit_page(m, &f, err);
	if (rc < 0) {
		mount_flags_fini(&f);
		return rc;
	}
	*out = f;
	return 0;
}

void
mount_flags_fini(struct mount_flags *f)
{
	free(f->data);
	free(f->cwd);
	free(f->lower);
	*f = (struct mount_flags){0};
}
