/*
 * See run_dir.h. Nothing here is in a hurry, and everything may meet what a
 * killed podshimctl has left: a directory without run.json, files without a container.
 */
#include "client/run_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/dir.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#define INFO_FILE "run.json"
#define INFO_MAX  (64u * 1024u)
/* rotated logs beside <log>: podshim-logger's most */
#define LOGS_MAX  1000

char *
run_root(const char *state_root)
{
	return mem_printf("%s-run", state_root);
}

char *
run_dir_path(const char *state_root, const char *ns, const char *id)
{
	return mem_printf("%s-run/%s/%s", state_root, ns, id);
}

char *
run_default_log(const char *ns, const char *id)
{
	return mem_printf(RUN_LOG_DIR "/%s/%s.log", ns, id);
}

bool
run_dir_is(const char *state_root, const char *bundle)
{
	AUTO_FREE char *root = run_root(state_root);
	size_t len = strlen(root);

	return bundle != NULL && strncmp(bundle, root, len) == 0 && bundle[len] == '/';
}

int
run_dir_make(const char *path, int *fd, struct err *err)
{
	AUTO_FREE char *parent = mem_strdup(path);
	AUTO_CLOSE int dir = -1;
	int rc;

	*strrchr(parent, '/') = '\0';
	rc = dir_make(parent, 0700, err);
	if (rc < 0)
		return rc;
	if (mkdir(path, 0700) == -1)
		return err_set(err, errno, "make directory '%s'", path);
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dir == -1 || flock(dir, LOCK_SH | LOCK_NB) == -1)
		return err_set(err, errno, "open '%s'", path);
	*fd = steal_fd(&dir);
	return 0;
}

/* --- run.json --------------------------------------------------------------------- */

int
run_info_write(int dir_fd, const struct run_info *info, struct err *err)
{
	json_t *json = json_pack("{s:i, s:s, s:s, s:s, s:s?, s:b, s:s?, s:s?, s:b}",
	    "version", 1, "id", info->id, "namespace", info->ns, "pod", info->pod, "log",
	    info->log, "own_log", info->own_log, "pid_file", info->pid_file, "exit_file",
	    info->exit_file, "remove", info->remove);
	AUTO_FREE char *text =
	    json == NULL ? NULL : json_dumps(json, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
	json_decref(json);
	if (text == NULL)
		return err_setx(err, EILSEQ, "a path or name is not UTF-8");
	return file_write(dir_fd, INFO_FILE, text, strlen(text), 0600, err);
}

static char *
info_text(const json_t *json, const char *key)
{
	return mem_strdup(json_string_value(json_object_get(json, key)));
}

int
run_info_read(int dir_fd, struct run_info *out, struct err *err)
{
	AUTO_FREE char *text = NULL;
	struct run_info info = {0};
	json_t *json;
	size_t len;
	int rc = file_read(dir_fd, INFO_FILE, INFO_MAX, &text, &len, err);

	if (rc < 0)
		return rc;
	json = json_loadb(text, len, 0, NULL);
	info.id = info_text(json, "id");
	info.ns = info_text(json, "namespace");
	info.pod = info_text(json, "pod");
	info.log = info_text(json, "log");
	info.own_log = json_is_true(json_object_get(json, "own_log"));
	info.pid_file = info_text(json, "pid_file");
	info.exit_file = info_text(json, "exit_file");
	info.remove = json_is_true(json_object_get(json, "remove"));
	json_decref(json);
	if (info.id == NULL || info.ns == NULL || info.pod == NULL) {
		run_info_fini(&info);
		return err_setx(err, EBADMSG, "'" INFO_FILE "' makes no sense");
	}
	*out = info;
	return 0;
}

void
run_info_fini(struct run_info *info)
{
	free(info->id);
	free(info->ns);
	free(info->pod);
	free(info->log);
	free(info->pid_file);
	free(info->exit_file);
	*info = (struct run_info){0};
}

int
run_write_exit(const char *path, uint32_t status, int64_t exited_at, struct err *err)
{
	const struct timespec t = {
	    .tv_sec = (time_t)(exited_at / NS_PER_S), .tv_nsec = exited_at % NS_PER_S};
	const struct timespec times[2] = {t, t};
	char text[16];
	int n = snprintf(text, sizeof text, "%u", status), rc;

	rc = file_write(AT_FDCWD, path, text, (size_t)n, 0644, err);
	if (rc == 0 && exited_at != 0)
		(void)utimensat(AT_FDCWD, path, times, 0);
	return rc;
}

/* --- the end ------------------------------------------------------------------------ */

static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	(void)remove(path);
	return 0;
}

/* <log>, <log>.1 and so on. */
static void
remove_logs(const char *log)
{
	int i;

	(void)unlink(log);
	for (i = 1; i < LOGS_MAX; i++) {
		AUTO_FREE char *path = mem_printf("%s.%d", log, i);

		if (unlink(path) == -1)
			break;
	}
}

/* Its directory, and the one above, if nothing else is in them. */
static void
remove_parents(const char *path)
{
	AUTO_FREE char *up = mem_strdup(path);
	int level;

	for (level = 0; level < 2; level++) {
		char *slash = strrchr(up, '/');

		if (slash == NULL || slash == up)
			return;
		*slash = '\0';
		if (rmdir(up) == -1)
			return;
	}
}

void
run_dir_remove(const char *path, const struct run_info *info)
{
	if (info->own_log && info->log != NULL) {
		remove_logs(info->log);
		remove_parents(info->log);
	}
	if (info->pid_file != NULL)
		(void)unlink(info->pid_file);
	(void)nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	remove_parents(path);
}
