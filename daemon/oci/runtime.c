/*
 * Argument vectors for runc and crun, and what their failures mean.
 *
 * Both take the same words; where one needs others, it is noted here. Of a
 * failure the log knows most: one JSON object per line if all is well, but a
 * runtime that dies early prints plain text on stderr and never opens its log,
 * and some wrappers write plain text into it. The text goes to containerd as
 * an error message, so it must be short and valid UTF-8.
 */
#include "oci/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "ipc/msg.h"
#include "proto/status.h"
#include "oci/options.h"

#define RUNTIME_ERROR_MAX 4096u
/* An error stands at the end of a log; what was before may be long (--debug). */
#define RUNTIME_LOG_TAIL  (64u * 1024u)

char *
runtime_root(const struct options *opts, const char *ns)
{
	return mem_printf(
	    "%s/%s", opts->root != NULL ? opts->root : RUNTIME_DEFAULT_ROOT, ns);
}

static void
runtime_begin(struct strv *argv, const struct runtime_target *t, const char *verb)
{
	AUTO_FREE char *root = runtime_root(t->opts, t->ns);

	strv_add(argv, t->opts->binary_name);
	strv_add(argv, "--root");
	strv_add(argv, root);
	strv_add(argv, "--log");
	strv_add(argv, t->log_path);
	strv_add(argv, "--log-format");
	strv_add(argv, "json");
	if (t->opts->systemd_cgroup)
		strv_add(argv, "--systemd-cgroup");
	strv_add(argv, verb);
}

static void
runtime_pair(struct strv *argv, const char *flag, const char *value)
{
	if (value == NULL || value[0] == '\0')
		return;
	strv_add(argv, flag);
	strv_add(argv, value);
}

static void
runtime_flag(struct strv *argv, const char *flag, bool on)
{
	if (on)
		strv_add(argv, flag);
}

void
runtime_create(
    struct strv *argv, const struct runtime_target *t, const char *pid_path, bool console)
{
	runtime_begin(argv, t, "create");
	runtime_pair(argv, "--bundle", t->bundle);
	runtime_pair(argv, "--pid-file", pid_path);
	runtime_pair(argv, "--console-socket", console ? SPAWN_CONSOLE_ARG : NULL);
	runtime_flag(argv, "--no-pivot", t->opts->no_pivot_root);
	runtime_flag(argv, "--no-new-keyring", t->opts->no_new_keyring);
	strv_add(argv, t->id);
}

void
runtime_start(struct strv *argv, const struct runtime_target *t)
{
	runtime_begin(argv, t, "start");
	strv_add(argv, t->id);
}

void
runtime_exec(struct strv *argv, const struct runtime_target *t, const char *process_path,
    const char *pid_path, bool console)
{
	runtime_begin(argv, t, "exec");
	runtime_pair(argv, "--process", process_path);
	runtime_pair(argv, "--console-socket", console ? SPAWN_CONSOLE_ARG : NULL);
	strv_add(argv, "--detach");
	runtime_pair(argv, "--pid-file", pid_path);
	strv_add(argv, t->id);
}

void
runtime_kill(struct strv *argv, const struct runtime_target *t, int signo, bool all)
{
	runtime_begin(argv, t, "kill");
	runtime_flag(argv, "--all", all);
	strv_add(argv, t->id);
	strv_addf(argv, "%d", signo);
}

void
runtime_delete(struct strv *argv, const struct runtime_target *t, bool force)
{
	runtime_begin(argv, t, "delete");
	runtime_flag(argv, "--force", force);
	strv_add(argv, t->id);
}

void
runtime_pause(struct strv *argv, const struct runtime_target *t)
{
	runtime_begin(argv, t, "pause");
	strv_add(argv, t->id);
}

void
runtime_resume(struct strv *argv, const struct runtime_target *t)
{
	runtime_begin(argv, t, "resume");
	strv_add(argv, t->id);
}

void
runtime_update(struct strv *argv, const struct runtime_target *t)
{
	runtime_begin(argv, t, "update");
	strv_add(argv, "--resources=-");
	strv_add(argv, t->id);
}

static void
runtime_checkpoint_flags(struct strv *argv, const struct runtime_checkpoint_opts *o)
{
	size_t i;

	runtime_pair(argv, "--image-path", o->image_path);
	runtime_pair(argv, "--work-path", o->work_path);
	runtime_pair(argv, "--parent-path", o->parent_path);
	runtime_flag(argv, "--tcp-established", o->open_tcp);
	runtime_flag(argv, "--ext-unix-sk", o->external_unix_sockets);
	runtime_flag(argv, "--shell-job", o->terminal);
	runtime_flag(argv, "--file-locks", o->file_locks);
	runtime_pair(argv, "--manage-cgroups-mode", o->cgroups_mode);
	for (i = 0; i < o->n_empty_namespaces; i++)
		runtime_pair(argv, "--empty-ns", o->empty_namespaces[i]);
}

void
runtime_checkpoint(struct strv *argv, const struct runtime_target *t,
    const struct runtime_checkpoint_opts *opts)
{
	runtime_begin(argv, t, "checkpoint");
	runtime_checkpoint_flags(argv, opts);
	runtime_flag(argv, "--leave-running", !opts->exit);
	strv_add(argv, t->id);
}

void
runtime_restore(struct strv *argv, const struct runtime_target *t, const char *pid_path,
    bool console, const struct runtime_checkpoint_opts *opts)
{
	runtime_begin(argv, t, "restore");
	runtime_checkpoint_flags(argv, opts);
	strv_add(argv, "--detach");
	/* else runc makes itself a subreaper, and the process would not come to us */
	strv_add(argv, "--no-subreaper");
	runtime_pair(argv, "--bundle", t->bundle);
	runtime_pair(argv, "--pid-file", pid_path);
	runtime_pair(argv, "--console-socket", console ? SPAWN_CONSOLE_ARG : NULL);
	runtime_flag(argv, "--no-pivot", t->opts->no_pivot_root);
	strv_add(argv, t->id);
}

/* --- what went wrong -------------------------------------------------------- */

/* The last bytes of the log, valid UTF-8; NULL if there are none. */
static char *
runtime_read_log(const char *path)
{
	AUTO_CLOSE int fd = -1;
	struct stat st;
	size_t len = 0;
	char *text;
	ssize_t n;

	if (path == NULL)
		return NULL;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
	if (fd == -1 || fstat(fd, &st) == -1 || !S_ISREG(st.st_mode) || st.st_size <= 0)
		return NULL;
	text = mem_zalloc(RUNTIME_LOG_TAIL + 1);
	if (st.st_size > (off_t)RUNTIME_LOG_TAIL)
		(void)lseek(fd, st.st_size - (off_t)RUNTIME_LOG_TAIL, SEEK_SET);
	while (len < RUNTIME_LOG_TAIL &&
	    (n = read(fd, text + len, RUNTIME_LOG_TAIL - len)) > 0)
		len += (size_t)n;
	while (len > 0 && text[len - 1] == '\0') /* a file that was grown, not written */
		len--;
	text[len] = '\0';
	utf8_sanitize(text);
	return text;
}

/* The message of a JSON log line of an error's level; NULL for any other line. */
static char *
runtime_line_error(const char *line, bool *is_json)
{
	json_t *obj = json_loads(line, 0, NULL);
	const char *level = json_string_value(json_object_get(obj, "level"));
	const char *msg = json_string_value(json_object_get(obj, "msg"));
	char *out = NULL;

	*is_json = json_is_object(obj);
	if (level != NULL && msg != NULL && msg[0] != '\0' &&
	    (strcmp(level, "error") == 0 || strcmp(level, "fatal") == 0 ||
		strcmp(level, "panic") == 0))
		out = mem_strdup(msg);
	json_decref(obj);
	return out;
}

/*
 * Cut the last line that says something off text: NULL when none is left. Go
 * prints messages of several lines, but only into JSON.
 */
static char *
runtime_last_line(char *text, size_t *len)
{
	size_t end = *len, begin;

	while (end > 0 && strchr(" \t\r\n", text[end - 1]) != NULL)
		end--;
	for (begin = end; begin > 0 && text[begin - 1] != '\n'; begin--)
		;
	*len = begin;
	text[end] = '\0';
	while (begin < end && (text[begin] == ' ' || text[begin] == '\t'))
		begin++;
	return begin == end ? NULL : text + begin;
}

/* The same, but an object over several lines, as crun writes them since 1.28, is one. */
static char *
runtime_last_entry(char *text, size_t *len)
{
	char *line = runtime_last_line(text, len);
	size_t end = *len, begin;

	if (line == NULL || strcmp(line, "}") != 0)
		return line;
	for (; end > 0; end = begin) {
		for (begin = end - 1; begin > 0 && text[begin - 1] != '\n'; begin--)
			;
		if (text[begin] == '{' && text[begin + 1] == '\n') {
			*len = begin;
			return text + begin;
		}
	}
	return line;
}

static char *
runtime_error_from_log(const char *log_path)
{
	AUTO_FREE char *text = runtime_read_log(log_path);
	AUTO_FREE char *plain = NULL;
	size_t len = text == NULL ? 0 : strlen(text);
	char *line, *found;
	bool is_json;

	while (len > 0 && (line = runtime_last_entry(text, &len)) != NULL) {
		found = runtime_line_error(line, &is_json);
		if (found != NULL)
			return found;
		if (!is_json && plain == NULL)
			plain = mem_strdup(line);
	}
	return steal_ptr(&plain);
}

static char *
runtime_error_from_status(int status)
{
	if (WIFSIGNALED(status)) {
		const char *name = sigdescr_np(WTERMSIG(status));

		return mem_printf("killed by signal %d (%s)", WTERMSIG(status),
		    name == NULL ? "?" : name);
	}
	return mem_printf("exit status %d", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

/* Shorten to max bytes, not inside a character. */
static void
runtime_cut(char *s, size_t max)
{
	size_t len = strlen(s);

	if (len <= max)
		return;
	while (max > 0 && ((unsigned char)s[max] & 0xc0) == 0x80)
		max--;
	s[max] = '\0';
}

char *
runtime_error(const char *what, const char *log_path, const char *printed,
    size_t printed_len, int wait_status)
{
	AUTO_FREE char *why = runtime_error_from_log(log_path);
	char *text;

	if (why == NULL && printed_len > 0) {
		size_t len = strnlen(printed, printed_len);
		AUTO_FREE char *copy = mem_zalloc(len + 1);
		char *line;

		memcpy(copy, printed, len);
		line = runtime_last_line(copy, &len);
		why = mem_strdup(line);
	}
	if (why == NULL)
		why = runtime_error_from_status(wait_status);
	text = mem_printf("%s: %s", what, why);
	utf8_sanitize(text);
	runtime_cut(text, RUNTIME_ERROR_MAX);
	return text;
}

bool
runtime_error_is_gone(const char *text)
{
	/* runc's words, then crun's; Go's for a process that was reaped meanwhile */
	static const char *const words[] = {
	    "container does not exist",
	    "container not running",
	    "container is not running",
	    "no such process",
	    "process already finished",
	    "` is not running",
	    "/status`: no such file or directory",
	};
	const char *open_dir;
	size_t i;

	for (i = 0; i < ARRAY_LEN(words); i++) {
		if (strcasestr(text, words[i]) != NULL)
			return true;
	}
	open_dir = strcasestr(text, "cannot open directory '");
	return open_dir != NULL &&
	    strcasestr(open_dir, "': no such file or directory") != NULL;
}
