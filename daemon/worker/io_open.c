/*
 * Making a new process's stdio: which kind each path asks for (contract.md
 * 8.1), its FIFOs (8.2), the container's pipes. Nothing here waits.
 *
 * We only point at a FIFO; the keeper opens its ends. Were we to open one and
 * die before the keeper has it, the client at the other end would see the end
 * of its output, or a broken pipe, and leave.
 *
 * What surprises: equal paths for stdout and stderr make one pipe, whose end
 * the container gets twice; only so does the order of its output survive.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "worker/io.h"
#include "worker/io_int.h"
#include "oci/io_uri.h"
#include "worker/link.h"

/* The container's pipe: four times the default halve the wake-ups per byte. */
#define PIPE_BYTES (256 * 1024)
#define IO_OPEN	   (O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

/* --- FIFOs and files ------------------------------------------------------------ */

/* A bigger pipe lets a burst through while its reader is busy; 64 KiB do as well. */
static void
pipe_enlarge(int fd, int bytes)
{
	if (fcntl(fd, F_SETPIPE_SZ, bytes) == -1)
		log_debug("a pipe stays small");
}

static int
path_open(const char *path, int flags, bool fifo, int *out_fd, struct err *err)
{
	AUTO_CLOSE int fd = open(path, flags | IO_OPEN);
	struct stat st;

	if (fd == -1)
		return err_set(err, errno, "open '%s'", path);
	if (fstat(fd, &st) == -1)
		return err_set(err, errno, "stat '%s'", path);
	if (S_ISFIFO(st.st_mode) != fifo)
		return err_setx(
		    err, EINVAL, "'%s' was replaced while we opened it", path);
	*out_fd = steal_fd(&fd);
	return 0;
}

static int
path_is_fifo(const char *path, bool *is_fifo, struct err *err)
{
	struct stat st;

	if (stat(path, &st) == -1)
		return err_set(err, errno, "stdio path '%s'", path);
	if (S_ISDIR(st.st_mode) || S_ISSOCK(st.st_mode))
		return err_setx(
		    err, EINVAL, "stdio path '%s' is no FIFO and no file", path);
	*is_fifo = S_ISFIFO(st.st_mode);
	return 0;
}

/* Where output goes. own: we need the FIFO's ends ourselves, and at once. */
static int
sink_open(const char *path, struct stream *s, bool own, struct err *err)
{
	bool fifo;
	int rc;

	rc = path_is_fifo(path, &fifo, err);
	if (rc < 0)
		return rc;
	if (!fifo)
		return path_open(path, O_WRONLY | O_APPEND, false, &s->fd[IO_DST], err);
	if (!own)
		return path_open(path, O_PATH, true, &s->fifo, err);
	/* the read end first: then the write end opens without waiting */
	rc = path_open(path, O_RDONLY, true, &s->fd[IO_KEEP], err);
	if (rc == 0)
		rc = path_open(path, O_WRONLY, true, &s->fd[IO_DST], err);
	if (rc == 0)
		pipe_enlarge(s->fd[IO_DST], FIFO_BYTES);
	return rc;
}

/* --- streams ------------------------------------------------------------------------ */

/*
 * A pipe between us and the container: theirs is the end with this index (0
 * reads), for which alone the flags of a blocking descriptor are right.
 */
static int
pipe_make(const struct io_spec *spec, int theirs, int *child, int *ours, struct err *err)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) == -1)
		return err_set(err, errno, "make a pipe");
	*child = fds[theirs];
	*ours = fds[1 - theirs];
	if (fd_set_nonblock(*ours, true) < 0)
		return err_set(err, EIO, "prepare a pipe");
	if ((spec->uid != 0 || spec->gid != 0) &&
	    fchown(*child, spec->uid, spec->gid) == -1)
		return err_set(err, errno, "give a pipe to %u:%u", spec->uid, spec->gid);
	return 0;
}

static int
open_in(struct io *io, const struct io_spec *spec, int *child, struct err *err)
{
	struct stream *s = &io->s[IO_IN];
	struct io_uri uri = {0};
	AUTO_FREE char *path = NULL;
	enum uri_kind kind;
	bool fifo;
	int rc;

	rc = io_uri_parse(spec->stdin_path, &uri, err);
	if (rc < 0)
		return rc;
	kind = uri.kind;
	path = steal_ptr(&uri.path);
	io_uri_fini(&uri);
	if (kind == URI_NONE)
		return 0;
	if (kind != URI_PATH)
		return err_setx(
		    err, EINVAL, "'%s' is nothing to read from", spec->stdin_path);
	rc = path_is_fifo(path, &fifo, err);
	if (rc < 0)
		return rc;
	if (!fifo) {
		/* no client writes there: the container may read it by itself */
		if (io->terminal)
			return err_setx(err, EINVAL, "stdin '%s' is not a FIFO", path);
		rc = path_open(path, O_RDONLY, false, child, err);
		return rc < 0 ? rc : fd_set_nonblock(*child, false);
	}
	rc = path_open(path, O_PATH, true, &s->fifo, err);
	if (rc == 0 && !io->terminal)
		rc = pipe_make(spec, 0, child, &s->fd[IO_DST], err);
	s->state = STREAM_WAITING;
	return rc;
}

/* The container writes into the FIFO by itself (design.md 4, stdio.direct). */
static int
open_direct(struct stream *s, const struct io_spec *spec, int *child, struct err *err)
{
	int fd;

	if (fd_set_nonblock(s->fd[IO_DST], false) < 0)
		return err_set(err, EIO, "prepare a FIFO");
	fd = s->fd[IO_DST];
	if ((spec->uid != 0 || spec->gid != 0) && fchown(fd, spec->uid, spec->gid) == -1)
		return err_set(err, errno, "give a FIFO to %u:%u", spec->uid, spec->gid);
	*child = steal_fd(&s->fd[IO_DST]);
	return 0;
}

/* What the container writes goes into a pipe that a log program reads. */
static int
open_logged(struct io *io, const struct io_spec *spec, enum io_which which, int *child,
    struct err *err)
{
	struct stream *s = &io->s[which];
	int rc;

	if (io->terminal) {
		/* both ends are ours: the terminal is spliced into it */
		s->state = STREAM_WAITING;
		return pipe_make(spec, 0, &s->fd[IO_KEEP], &s->fd[IO_DST], err);
	}
	s->state = STREAM_LOGGED;
	rc = pipe_make(spec, 1, child, &s->fd[IO_SRC], err);
	if (rc == 0)
		/* log programs expect to wait in read(2) */
		rc = fd_set_nonblock(s->fd[IO_SRC], false);
	if (rc == 0)
		pipe_enlarge(*child, PIPE_BYTES);
	return rc;
}

static int
open_out(struct io *io, const struct io_spec *spec, enum io_which which,
    const struct io_uri *uri, int *child, struct err *err)
{
	bool direct = spec->direct && !io->terminal && spec->exec_id[0] == '\0';
	struct stream *s = &io->s[which];
	int rc;

	if (io_log_wanted(uri))
		return open_logged(io, spec, which, child, err);
	if (uri->kind == URI_NONE) {
		/* a terminal must be read, or its processes would block */
		s->to_null = io->terminal;
		s->state = io->terminal ? STREAM_WAITING : STREAM_NONE;
		return 0;
	}
	rc = sink_open(uri->path, s, direct, err);
	if (rc < 0)
		return rc;
	if (direct && s->fd[IO_KEEP] != -1)
		return open_direct(s, spec, child, err);
	s->state = STREAM_WAITING;
	if (io->terminal)
		return 0;
	rc = pipe_make(spec, 1, child, &s->fd[IO_SRC], err);
	if (rc == 0)
		pipe_enlarge(*child, PIPE_BYTES);
	return rc;
}

/* Equal paths make one pipe; a file is one for both. */
static bool
outs_are_one(const struct io_spec *spec, const struct io_uri *out)
{
	return out->kind == URI_FILE ||
	    (out->kind == URI_PATH && strcmp(spec->stdout_path, spec->stderr_path) == 0);
}

static int
open_outs(struct io *io, const struct io_spec *spec, const struct io_uri *out,
    const struct io_uri *errs, int child[3], struct err *err)
{
	int rc;

	rc = open_out(io, spec, IO_OUT, out, &child[1], err);
	if (rc < 0)
		return err_wrap(err, rc, "stdout");
	if (io->terminal)
		return 0;
	if (outs_are_one(spec, out)) {
		child[2] = fd_dup(child[1]);
		return child[2] < 0 ? err_set(err, -child[2], "stderr") : 0;
	}
	/* a log program gets both, whatever stderr says (contract.md 8.1) */
	if (out->kind != URI_BINARY && errs->kind != URI_NONE && errs->kind != URI_PATH)
		return err_setx(err, EINVAL, "stderr: '%s' without the same for stdout",
		    spec->stderr_path);
	rc = open_out(
	    io, spec, IO_ERR, out->kind == URI_BINARY ? out : errs, &child[2], err);
	return rc < 0 ? err_wrap(err, rc, "stderr") : 0;
}

static int
open_all(struct io *io, const struct io_spec *spec, int child[3], struct err *err)
{
	struct io_uri out = {0}, errs = {0};
	int rc;

	rc = open_in(io, spec, &child[0], err);
	if (rc < 0)
		return err_wrap(err, rc, "stdin");
	rc = io_uri_parse(spec->stdout_path, &out, err);
	if (rc < 0)
		return err_wrap(err, rc, "stdout");
	rc = io_uri_parse(spec->stderr_path, &errs, err);
	if (rc < 0)
		rc = err_wrap(err, rc, "stderr");
	else
		rc = open_outs(io, spec, &out, &errs, child, err);
	io_uri_fini(&out);
	io_uri_fini(&errs);
	return rc;
}

static bool
needs_log(const struct io *io)
{
	const struct stream *out = &io->s[IO_OUT], *errs = &io->s[IO_ERR];

	if (io->terminal) /* a pipe of ours, not a FIFO that the keeper opens */
		return out->fd[IO_KEEP] != -1;
	return out->state == STREAM_LOGGED || errs->state == STREAM_LOGGED;
}

int
io_open(struct loop *loop, struct link *lk, const struct io_spec *spec, struct io **out,
    int child_fds[3], struct err *err)
{
	struct io *io = io_new(loop, lk, spec);
	int child[3] = {-1, -1, -1};
	int rc, i;

	rc = open_all(io, spec, child, err);
	if (rc == 0) {
		io_store(io);
		/* its pipes must be in the store before it runs */
		if (needs_log(io))
			rc = io_log_open(io, spec, err);
	}
	if (rc < 0) {
		/* also what a worker before us had put there for the same process */
		link_fd_drop(lk, io->prefix, true);
		for (i = 0; i < 3; i++)
			fd_close(&child[i]);
		io_abandon(io);
		return rc;
	}
	memcpy(child_fds, child, sizeof child);
	*out = io;
	return 0;
}

/* --- what was made --------------------------------------------------------------- */

static bool
out_is_known(
    const struct io *io, const struct io_spec *spec, int which, const struct io_uri *uri)
{
	const struct stream *s = &io->s[which];

	if (uri->kind == URI_NONE)
		return true;
	if (io->terminal)
		return stream_known(s, IO_DST);
	if (io->log != NULL && stream_is_logged(s))
		return true;
	if (spec->direct && spec->exec_id[0] == '\0' && stream_known(s, IO_KEEP))
		return true;
	return stream_known(s, IO_SRC) && stream_known(s, IO_DST);
}

bool
io_outputs_known(const struct io *io, const struct io_spec *spec)
{
	struct io_uri out = {0}, errs = {0};
	bool known = true;

	if (io_uri_parse(spec->stdout_path, &out, NULL) == 0)
		known = out_is_known(io, spec, IO_OUT, &out);
	if (!io->terminal && !outs_are_one(spec, &out) &&
	    io_uri_parse(spec->stderr_path, &errs, NULL) == 0)
		known &=
		    out_is_known(io, spec, IO_ERR, out.kind == URI_BINARY ? &out : &errs);
	io_uri_fini(&out);
	io_uri_fini(&errs);
	return known;
}
