/*
 * Identity is (pid, start time). A pid alone may already belong to another
 * process: the one we look for can have ended, been reaped and its number used
 * again before its runtime command left. So a living process counts only if it
 * is our child and not older than the command; else one of the remembered exits
 * of strangers, of which reaper.c keeps a ring while a command is in flight.
 */
#include "keeper/adopt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"

static int
pid_file_read(int dir_fd, const char *name, pid_t *out, struct err *err)
{
	char text[66], *end;
	long pid;
	int rc = small_read(dir_fd, name, text, sizeof text);

	(void)unlinkat(dir_fd, name, 0);
	if (rc < 0)
		return err_set(err, -rc, "open '%s'", name);
	if (strlen(text) == sizeof text - 1)
		return err_setx(err, EFBIG, "'%s' is too long for a pid", name);
	errno = 0;
	pid = strtol(text, &end, 10);
	end += strspn(end, " \n");
	if (errno != 0 || end == text || *end != '\0' || pid <= 1 || pid != (pid_t)pid)
		return err_setx(err, EINVAL, "'%s' does not hold a pid", name);
	*out = (pid_t)pid;
	return 0;
}

int
adopt_find(struct reaper *rp, int dir_fd, const char *pid_file, uint64_t since,
    struct adopted *out, struct err *err)
{
	struct adopted a = {0};
	struct proc_stat st;
	int rc = pid_file_read(dir_fd, pid_file, &a.pid, err);

	if (rc < 0)
		return rc;
	/*
	 * Our child: its pid cannot be used again before we reap it, so it needs
	 * no pidfd (and no descriptor for every process of the pod).
	 */
	if (proc_stat_read(a.pid, &st) == 0 && st.ppid == getpid() && st.start >= since) {
		a.start = st.start;
	} else if (reaper_recall(rp, a.pid, since, &a.death)) {
		a.start = a.death.start;
		a.ended = true;
	} else {
		return err_setx(
		    err, ESRCH, "process %ld of '%s' is not ours", (long)a.pid, pid_file);
	}
	*out = a;
	return 0;
}
