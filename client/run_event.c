/*
 * The pod's worker hands over each event here, as it would to containerd: in
 * order, and again until it was taken. So nobody has to wait beside a container
 * for its end: when it comes, this writes the exit file and, if that was asked for, removes
 * the container, also when the podshimctl that made it is long gone.
 *
 * An event may come twice, or so late that another container has the name by
 * then: everything is checked against the directory, and done again it changes nothing.
 */
#include "client/run_event.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/podpath.h"
#include "client/run_dir.h"
#include "client/run_remove.h"
#include "proto/any.pb-c.h"
#include "proto/events.pb-c.h"

#define EVENT_MAX (4u * 1024u * 1024u)

enum { ARG_ADDRESS = 1, ARG_VERB = 3, ARG_TOPIC = 5, ARG_NS = 7, ARG_COUNT };

bool
run_event_is(int argc, char **argv)
{
	return argc == ARG_COUNT && strcmp(argv[ARG_ADDRESS], "--address") == 0 &&
	    strcmp(argv[ARG_VERB], "publish") == 0;
}

/* Is what has ended the container that this directory is of? */
static bool
event_is_of(int dir_fd, uint32_t pid)
{
	AUTO_FREE char *text = NULL;
	size_t len;

	return file_read(dir_fd, "init.pid", 32, &text, &len, NULL) == 0 &&
	    strtoul(text, NULL, 10) == pid;
}

/* Does it help to try again? */
static bool
error_may_pass(int rc)
{
	return rc == -ENOSPC || rc == -EDQUOT || rc == -EIO || rc == -ENOMEM ||
	    rc == -EMFILE || rc == -ENFILE;
}

static int
event_ended(const char *ns, const Containerd__Events__TaskExit *ev)
{
	AUTO_FREE char *path = run_dir_path(pod_state_root(), ns, ev->container_id);
	AUTO_CLOSE int dir_fd =
	    open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	int64_t at = ev->exited_at == NULL
	    ? 0
	    : ev->exited_at->seconds * NS_PER_S + ev->exited_at->nanos;
	struct run_info info = {0};
	struct err err = ERR_INIT;
	int rc = 0;

	if (dir_fd == -1 || !event_is_of(dir_fd, ev->pid) ||
	    run_info_read(dir_fd, &info, NULL) < 0)
		return 0;
	if (info.exit_file != NULL)
		rc = run_write_exit(info.exit_file, ev->exit_status, at, &err);
	if (!error_may_pass(rc))
		rc = 0;
	if (rc == 0 && info.remove) {
		/* whoever runs it in the foreground wants its output first */
		if (flock(dir_fd, LOCK_EX | LOCK_NB) == -1)
			rc = err_setx(&err, EBUSY, "'%s' is in use", path);
		else
			rc = run_remove(pod_state_root(), ns, ev->container_id, &err);
	}
	run_info_fini(&info);
	if (rc == 0)
		return 0;
	(void)fprintf(stderr, "podshimctl: %s\n", err.text);
	return 1;
}

static int
event_exit(const char *ns, const char *bytes, size_t len)
{
	const uint8_t *p = (const uint8_t *)bytes;
	Google__Protobuf__Any *any = google__protobuf__any__unpack(NULL, len, p);
	Containerd__Events__TaskExit *ev = any == NULL
	    ? NULL
	    : containerd__events__task_exit__unpack(
		  NULL, any->value.len, any->value.data);
	int rc = 0;

	/* an exec's end has no consequences */
	if (ev != NULL && strcmp(ev->id, ev->container_id) == 0 &&
	    pod_id_valid(ev->container_id))
		rc = event_ended(ns, ev);
	if (ev != NULL)
		containerd__events__task_exit__free_unpacked(ev, NULL);
	if (any != NULL)
		google__protobuf__any__free_unpacked(any, NULL);
	return rc;
}

int
run_event_main(char **argv)
{
	AUTO_FREE char *bytes = NULL;
	struct err err = ERR_INIT;
	size_t len;

	if (strcmp(argv[ARG_TOPIC], "/tasks/exit") != 0 || !pod_id_valid(argv[ARG_NS]))
		return 0;
	if (fd_read_all(STDIN_FILENO, EVENT_MAX, &bytes, &len, &err) < 0) {
		(void)fprintf(stderr, "podshimctl: event: %s\n", err.text);
		return 1;
	}
	return event_exit(argv[ARG_NS], bytes, len);
}
