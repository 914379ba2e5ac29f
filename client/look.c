/*
 * See look.h. A keeper that does not answer is found by what it was started with,
 * which names the pod's directory.
 */
#include "client/look.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/fd.h"
#include "ipc/admin.h"

#define DETAIL_TIMEOUT_MS 500

/* --- processes -------------------------------------------------------------------- */

static pid_t
look_find_worker(const struct pod *pod, const struct procs *procs, pid_t keeper)
{
	int64_t pid = pod_status_num(pod, "worker_pid");
	pid_t found = 0;
	size_t i;

	if (pid > 0 && procs_find(procs, (pid_t)pid) != NULL)
		return (pid_t)pid;
	/* containers' processes are the keeper's children, too */
	for (i = 0; i < procs->n; i++)
		if (procs->v[i].ppid == keeper &&
		    strcmp(procs->v[i].comm, "podshim-worker") == 0 &&
		    proc_is_roots(procs->v[i].pid))
			found = procs->v[i].pid;
	return found;
}

static void
look_find_processes(struct look *l)
{
	const struct proc *keeper = procs_find_keeper(l->procs, l->pod);

	if (keeper == NULL)
		return;
	l->keeper = keeper->pid;
	l->address = proc_argument(keeper->pid, "-address");
	l->publisher = proc_argument(keeper->pid, "-publish-binary");
	l->worker = look_find_worker(l->pod, l->procs, keeper->pid);
}

/* --- what the keeper has in hand -------------------------------------------------- */

/* "key=value" in a line of words; *out until the blank. */
static bool
word_value(const char *line, const char *key, char *out, size_t cap)
{
	AUTO_FREE char *want = mem_printf(" %s=", key);
	const char *at = strstr(line, want);

	if (at == NULL)
		return false;
	at += strlen(want);
	(void)snprintf(out, cap, "%.*s", (int)strcspn(at, " \n"), at);
	return true;
}

static int64_t
word_num(const char *line, const char *key)
{
	char text[32];

	return word_value(line, key, text, sizeof text) ? strtoll(text, NULL, 10) : 0;
}

static void
look_add_step(struct look *l, const char *line)
{
	int64_t deadline = word_num(line, "deadline_us");
	struct look_step *s;

	if (strstr(line, " spawn running ") == NULL)
		return;
	l->steps = mem_realloc(l->steps, (l->n_steps + 1) * sizeof *l->steps);
	s = &l->steps[l->n_steps++];
	s->pid = (pid_t)word_num(line, "pid");
	s->left_us = deadline == 0 ? -1 : deadline - (int64_t)clock_boot_us();
}

/* One protobuf field of length-delimited kind: its number, bytes; false at the end. */
struct bytes {
	const uint8_t *p;
	size_t len;
};

static bool
read_varint(struct bytes *b, uint64_t *out)
{
	unsigned shift;

	*out = 0;
	for (shift = 0; shift < 64 && b->len > 0; shift += 7) {
		*out |= (uint64_t)(*b->p & 0x7f) << shift;
		b->len--;
		if ((*b->p++ & 0x80) == 0)
			return true;
	}
	return false;
}

/* What is cut is given as far as it goes. */
static bool
read_field(struct bytes *b, uint64_t *number, struct bytes *out)
{
	uint64_t tag, len;

	if (!read_varint(b, &tag) || (tag & 7) != 2 || !read_varint(b, &len))
		return false;
	*number = tag >> 3;
	*out = (struct bytes){b->p, len < b->len ? len : b->len};
	b->p += out->len;
	b->len -= out->len;
	return true;
}

static char *
bytes_text(struct bytes b)
{
	return mem_printf("%.*s", (int)b.len, (const char *)b.p);
}

static int
hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void
look_parse_frame(const char *hex, struct look_request *out)
{
	uint8_t raw[256];
	struct bytes all = {raw, 0}, field, inner = {NULL, 0};
	uint64_t number;

	for (; all.len < sizeof raw && hex_digit(hex[0]) >= 0 && hex_digit(hex[1]) >= 0;
	     hex += 2)
		raw[all.len++] = (uint8_t)(hex_digit(hex[0]) << 4 | hex_digit(hex[1]));
	out->method = out->id = out->exec_id = NULL;
	while (read_field(&all, &number, &field)) {
		if (number == 2 && out->method == NULL)
			out->method = bytes_text(field);
		else if (number == 3)
			inner = field;
	}
	/* in all of the Task service's requests 1 is the container; 2 is not always the exec */
	while (read_field(&inner, &number, &field)) {
		if (number == 1 && out->id == NULL)
			out->id = bytes_text(field);
		else if (number == 2 && out->exec_id == NULL && field.len < 77 &&
		    (out->method == NULL || strcmp(out->method, "Create") != 0))
			out->exec_id = bytes_text(field);
	}
	if (out->method == NULL)
		out->method = mem_strdup("");
	if (out->id == NULL)
		out->id = mem_strdup("");
	if (out->exec_id == NULL)
		out->exec_id = mem_strdup("");
}

static void
look_add_request(struct look *l, const char *line)
{
	const char *hex = strstr(line, " frame=");
	struct look_request *r;

	if (strstr(line, " answered") != NULL)
		return;
	l->requests = mem_realloc(l->requests, (l->n_requests + 1) * sizeof *l->requests);
	r = &l->requests[l->n_requests++];
	*r = (struct look_request){.n = (uint64_t)word_num(line, "n"),
	    .age_us = (int64_t)clock_boot_us() - word_num(line, "recv_us"),
	    .delivered = strstr(line, " delivered") != NULL,
	    .orphan = strstr(line, "(gone)") != NULL};
	look_parse_frame(hex == NULL ? "" : hex + strlen(" frame="), r);
}

static void
look_add_fd(struct look *l, const char *line)
{
	const char *eq = strstr(line, " = ");

	if (eq == NULL)
		return;
	l->fds = mem_realloc(l->fds, (l->n_fds + 1) * sizeof *l->fds);
	l->fds[l->n_fds++] = (struct look_fd){
	    .name = mem_printf("%.*s", (int)(eq - line), line),
	    .fd = (int)strtol(eq + 3, NULL, 10),
	};
}

static void
look_read_detail(struct look *l)
{
	AUTO_CLOSE int dirfd =
	    open(l->pod->path, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	AUTO_FREE char *text = NULL;
	char *line, *save = NULL;

	if (l->pod->keeper != KEEPER_ANSWERED || dirfd == -1 ||
	    admin_detail(dirfd, DETAIL_TIMEOUT_MS, &text, NULL) < 0)
		return;
	l->detailed = true;
	for (line = strtok_r(text, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save)) {
		if (strncmp(line, "step ", 5) == 0)
			look_add_step(l, line + 4);
		else if (strncmp(line, "request ", 8) == 0)
			look_add_request(l, line + 7);
		else if (strncmp(line, "stored ", 7) == 0)
			look_add_fd(l, line + 7);
	}
}

void
look_at(const struct pod *pod, const struct procs *procs, struct look *out)
{
	*out = (struct look){.pod = pod, .procs = procs, .young_us = US_PER_S};
	look_find_processes(out);
	look_read_detail(out);
}

void
look_fini(struct look *l)
{
	size_t i;

	for (i = 0; i < l->n_requests; i++) {
		free(l->requests[i].method);
		free(l->requests[i].id);
		free(l->requests[i].exec_id);
	}
	for (i = 0; i < l->n_fds; i++)
		free(l->fds[i].name);
	free(l->requests);
	free(l->steps);
	free(l->fds);
	free(l->address);
	free(l->publisher);
	*l = (struct look){0};
}

/* --- small things ----------------------------------------------------------------- */

bool
look_somebody_listens(const char *path)
{
	AUTO_CLOSE int fd =
	    socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	if (fd == -1 || strlen(path) >= sizeof sa.sun_path)
		return false;
	memcpy(sa.sun_path, path, strlen(path) + 1);
	/* EAGAIN: its queue is full */
	return connect(fd, (struct sockaddr *)&sa, sizeof sa) == 0 || errno == EAGAIN;
}

const char *
look_span(int64_t us)
{
	static char text[48];
	long long s = us / (long long)US_PER_S;

	if (s < 60)
		(void)snprintf(text, sizeof text, "%lld s", s < 0 ? 0 : s);
	else if (s < 3600)
		(void)snprintf(text, sizeof text, "%lld min", s / 60);
	else
		(void)snprintf(
		    text, sizeof text, "%lld h %lld min", s / 3600, s % 3600 / 60);
	return text;
}

static const char *
state_words(char state)
{
	switch (state) {
	case 'D': return "in uninterruptible sleep (D)";
	case 'T': return "stopped";
	case 't': return "stopped by a debugger";
	case 'Z': return "a zombie";
	case 'R': return "running";
	default: return "sleeping";
	}
}

char *
look_describe(const struct proc *p)
{
	AUTO_FREE char *wchan = p->state == 'D' ? proc_wchan(p->pid) : NULL;

	return mem_printf("pid %d (%s, %s old) %s%s%s", (int)p->pid, p->comm,
	    look_span(proc_age(p) / 1000), state_words(p->state),
	    wchan != NULL ? " at " : "", wchan != NULL ? wchan : "");
}
