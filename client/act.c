/*
 * See act.h. A container is found in its pod's database, which its worker may
 * be late with by a moment; so an exec that is not found there is left for the
 * shim to judge.
 */
#include "client/act.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/mem.h"

/* The exec meant; malloc'ed. NULL after a line on ctl->err: two begin so. */
static char *
target_exec(struct ctl *ctl, const struct container_info *c, const char *name, bool whole)
{
	const struct process_info *p, *one = NULL;
	size_t i;

	if (name == NULL || *name == '\0')
		return mem_strdup("");
	for (i = 0; i < c->n_processes; i++)
		if (strcmp(c->processes[i].exec_id, name) == 0)
			return mem_strdup(name);
	for (i = 0; !whole && i < c->n_processes; i++) {
		p = &c->processes[i];
		if (strncmp(p->exec_id, name, strlen(name)) != 0)
			continue;
		if (one != NULL) {
			(void)ctl_fail(ctl, "'%s' is ambiguous: %s, %s", name,
			    one->exec_id, p->exec_id);
			return NULL;
		}
		one = p;
	}
	return mem_strdup(one != NULL ? one->exec_id : name);
}

static int
target_open_as(struct ctl *ctl, const char *name, const char *exec_id, bool whole,
    struct target *out)
{
	struct err err = ERR_INIT;
	struct found found;
	int rc;

	*out = (struct target){0};
	/* what cannot be read of other pods was said, and does not matter here */
	if (!find_all(ctl, &out->pods, &rc))
		return rc;
	rc = whole ? find_whole_name(ctl, &out->pods, name, &found)
		   : find_container(ctl, &out->pods, name, &found);
	if (rc != CTL_OK)
		return rc;
	out->pod = found.pod;
	out->container = found.container;
	out->exec_id = target_exec(ctl, found.container, exec_id, whole);
	if (out->exec_id == NULL)
		return CTL_FAILED;
	rc = rpc_open(found.pod, &out->rpc, &err);
	return rc < 0 ? ctl_fail_as(ctl, ctl_exit_of(rc), "%s", err.text) : CTL_OK;
}

int
target_open(struct ctl *ctl, const char *name, const char *exec_id, struct target *out)
{
	return target_open_as(ctl, name, exec_id, false, out);
}

int
target_open_whole(
    struct ctl *ctl, const char *name, const char *exec_id, struct target *out)
{
	return target_open_as(ctl, name, exec_id, true, out);
}

void
target_close(struct target *t)
{
	rpc_close(t->rpc);
	free(t->exec_id);
	pods_fini(&t->pods);
	*t = (struct target){0};
}

int
target_fail(struct ctl *ctl, const struct target *t, int rc, const struct err *err)
{
	/* the container is in the database: what is not found is a process or an exec */
	enum ctl_exit code = rc == -ENOENT ? CTL_NOT_FOUND : ctl_exit_of(rc);

	return ctl_fail_as(ctl, code, "container '%s'%s%s: %s", t->container->id,
	    *t->exec_id == '\0' ? "" : " exec ", t->exec_id, err->text);
}

int
target_call(struct ctl *ctl, struct target *t, const char *method,
    const ProtobufCMessage *msg, int timeout_ms)
{
	struct err err = ERR_INIT;
	int rc = rpc_call(t->rpc, method, msg, timeout_ms, NULL, NULL, &err);

	return rc < 0 ? target_fail(ctl, t, rc, &err) : CTL_OK;
}

/* --- signals ---------------------------------------------------------------------- */

/* "MIN+3", "MAX-2", "MIN" */
static int
signal_of_realtime(const char *s)
{
	int base = strncasecmp(s, "MIN", 3) == 0 ? SIGRTMIN
	    : strncasecmp(s, "MAX", 3) == 0	 ? SIGRTMAX
						 : -1;
	char *end;
	long off;

	if (base == -1)
		return -1;
	if (s[3] == '\0')
		return base;
	off = strtol(s + 3, &end, 10);
	if ((s[3] != '+' && s[3] != '-') || end == s + 3 || *end != '\0' || off < -64 ||
	    off > 64 || base + off < SIGRTMIN || base + off > SIGRTMAX)
		return -1;
	return base + (int)off;
}

int
signal_of_name(const char *s)
{
	const char *abbrev;
	char *end;
	long n;
	int i;

	if (*s >= '0' && *s <= '9') {
		n = strtol(s, &end, 10);
		return *end == '\0' && n >= 1 && n <= 64 ? (int)n : -1;
	}
	if (strncasecmp(s, "SIG", 3) == 0)
		s += 3;
	if (strncasecmp(s, "RT", 2) == 0)
		return signal_of_realtime(s + 2);
	if (strcasecmp(s, "IOT") == 0)
		return SIGABRT;
	if (strcasecmp(s, "CLD") == 0)
		return SIGCHLD;
	for (i = 1; i < 32; i++) {
		abbrev = sigabbrev_np(i);
		if (abbrev != NULL && strcasecmp(abbrev, s) == 0)
			return i;
	}
	return -1;
}

const char *
signal_text(int signo)
{
	static char text[32];
	const char *abbrev = sigabbrev_np(signo);

	if (abbrev != NULL)
		(void)snprintf(text, sizeof text, "SIG%s", abbrev);
	else
		(void)snprintf(text, sizeof text, "signal %d", signo);
	return text;
}
