/*
 * Reading crash records. They were written by a keeper that copied them from
 * memory of a process gone mad: any line may be missing or odd, and is then
 * skipped or shown as it is.
 *
 * Names come from addr2line, run on the file that the record names, if that is
 * still the very file: another build's names would be lies.
 */
#include "client/crash.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/err.h"
#include "base/fd.h"

#define CRASH_FILE_MAX (256u << 10)
#define FRAMES_MAX     64u

/* --- reading -------------------------------------------------------------- */

/* "0x1234 (base + 0x34)" */
static void
crash_add_frame(struct crash *c, const char *value)
{
	const char *plus = strstr(value, "(base + ");
	struct crash_frame *f;

	if (c->n_frames == FRAMES_MAX)
		return;
	c->frames = mem_realloc(c->frames, (c->n_frames + 1) * sizeof *c->frames);
	f = &c->frames[c->n_frames++];
	*f = (struct crash_frame){
	    .address = mem_printf("%.*s", (int)strcspn(value, " "), value)};
	if (plus != NULL) {
		plus += strlen("(base + ");
		f->offset = mem_printf("%.*s", (int)strcspn(plus, ")"), plus);
	}
}

static void
crash_add_line(struct crash *c, char *line)
{
	char *colon = strstr(line, ": ");
	const char *value;

	if (colon == NULL)
		return; /* an empty value, or nothing of ours */
	*colon = '\0';
	value = colon + 2;
	if (strcmp(line, "trace") == 0) {
		strv_add(&c->traces, value);
	} else if (strcmp(line, "frame") == 0) {
		crash_add_frame(c, value);
	} else {
		c->fields = mem_realloc(c->fields, (c->n_fields + 1) * sizeof *c->fields);
		c->fields[c->n_fields++] = (struct crash_field){
		    .key = mem_strdup(line), .value = mem_strdup(value)};
	}
}

static int
crash_read(int dirfd, const char *name, struct crash *c, struct err *err)
{
	AUTO_FREE char *text = NULL;
	char *line, *save = NULL;
	size_t len;
	int rc;

	rc = file_read(dirfd, name, CRASH_FILE_MAX, &text, &len, err);
	if (rc < 0)
		return rc;
	for (line = strtok_r(text, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save))
		crash_add_line(c, line);
	return 0;
}

static int
crash_compare(const void *a, const void *b)
{
	const struct crash *x = a, *y = b;

	return x->generation < y->generation ? -1 : x->generation > y->generation;
}

/* Of "crash-<generation>.txt"; 0 for other names. */
static unsigned long
crash_generation(const char *name)
{
	const char *digits = name + strlen("crash-");
	unsigned long n;
	char *end;

	if (strncmp(name, "crash-", strlen("crash-")) != 0 || *digits < '1' ||
	    *digits > '9')
		return 0;
	n = strtoul(digits, &end, 10);
	return strcmp(end, ".txt") == 0 ? n : 0;
}

int
crashes_load(const char *pod_dir, struct crashes *out, struct err *err)
{
	AUTO_CLOSEDIR DIR *dir = dir_open(AT_FDCWD, pod_dir);
	struct crashes all = {0};
	struct dirent *de;
	int rc = 0;

	if (dir == NULL)
		return err_set(err, errno, "open '%s'", pod_dir);
	while (rc == 0 && (de = dir_next(dir)) != NULL) {
		struct crash c = {.generation = crash_generation(de->d_name)};

		if (c.generation == 0)
			continue;
		rc = crash_read(dirfd(dir), de->d_name, &c, err);
		if (rc == -ENOENT) { /* a newer one took its place */
			rc = 0;
			continue;
		}
		all.v = mem_realloc(all.v, (all.n + 1) * sizeof *all.v);
		all.v[all.n++] = c;
	}
	if (rc < 0) {
		crashes_fini(&all);
		return rc;
	}
	if (all.n > 1)
		qsort(all.v, all.n, sizeof *all.v, crash_compare);
	*out = all;
	return 0;
}

void
crashes_fini(struct crashes *crashes)
{
	size_t i, j;

	for (i = 0; i < crashes->n; i++) {
		struct crash *c = &crashes->v[i];

		for (j = 0; j < c->n_fields; j++) {
			free(c->fields[j].key);
			free(c->fields[j].value);
		}
		for (j = 0; j < c->n_frames; j++) {
			free(c->frames[j].address);
			free(c->frames[j].offset);
			free(c->frames[j].resolved);
		}
		free(c->fields);
		free(c->frames);
		strv_fini(&c->traces);
	}
	free(crashes->v);
	*crashes = (struct crashes){0};
}

const char *
crash_field(const struct crash *c, const char *key)
{
	size_t i;

	for (i = 0; i < c->n_fields; i++)
		if (strcmp(c->fields[i].key, key) == 0)
			return c->fields[i].value;
	return "";
}

/* --- names ---------------------------------------------------------------- */

static bool
exe_is_there(const struct crash *c)
{
	const char *path = crash_field(c, "exe");
	AUTO_FREE char *id = NULL;
	struct stat sb;

	if (path[0] != '/' || stat(path, &sb) == -1)
		return false;
	id = mem_printf("%ju:%ju", (uintmax_t)sb.st_dev, (uintmax_t)sb.st_ino);
	return strcmp(id, crash_field(c, "exe_id")) == 0;
}

/* Run it and read what it says; NULL if that cannot be done. */
static char *
run_addr2line(char *const *argv)
{
	char *out = NULL;
	int fds[2], status = 0;
	size_t len = 0;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) == -1)
		return NULL;
	pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		if (null == -1 || dup2(null, 0) == -1 || dup2(null, 2) == -1 ||
		    dup2(fds[1], 1) == -1)
			_exit(127);
		(void)alarm(20);
		(void)execvp(argv[0], argv);
		_exit(127);
	}
	(void)close(fds[1]);
	if (pid != -1 && fd_read_all(fds[0], CRASH_FILE_MAX, &out, &len, NULL) < 0)
		out = NULL;
	(void)close(fds[0]);
	while (pid != -1 && waitpid(pid, &status, 0) == -1 && errno == EINTR)
		;
	if (out != NULL && (!WIFEXITED(status) || WEXITSTATUS(status) != 0)) {
		free(out);
		return NULL;
	}
	return out;
}

void
crash_resolve(struct crash *c)
{
	AUTO_STRV struct strv argv = {0};
	AUTO_FREE char *out = NULL;
	char *line, *next;
	uint64_t offset;
	size_t i;

	if (c->n_frames == 0 || !exe_is_there(c))
		return;
	strv_add(&argv, "addr2line");
	strv_add(&argv, "-fpse");
	strv_add(&argv, crash_field(c, "exe"));
	for (i = 0; i < c->n_frames; i++) {
		/* return addresses: the call stands before them */
		offset = c->frames[i].offset == NULL
		    ? 0
		    : strtoull(c->frames[i].offset, NULL, 16);
		strv_addf(&argv, "%#jx", (uintmax_t)(offset > 0 ? offset - 1 : 0));
	}
	out = run_addr2line(argv.v);
	for (i = 0, line = out; i < c->n_frames && line != NULL && *line != '\0'; i++) {
		next = line + strcspn(line, "\n");
		if (*next == '\n')
			*next++ = '\0';
		if (strncmp(line, "??", 2) != 0)
			c->frames[i].resolved = mem_strdup(line);
		line = next;
	}
}
