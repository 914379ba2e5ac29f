/*
 * Terminals: the pty master comes from the fd store once the runtime has sent
 * it to the keeper. Both directions pump through a duplicate of it, for libevent
 * does not mix edge and level triggers on one descriptor number.
 *
 * The master stays in the store until the process is deleted, also when the
 * process has exited: taking it away would hang up on background jobs.
 */
#include <errno.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "worker/io.h"
#include "worker/io_int.h"
#include "worker/link.h"
#include "worker/pump.h"

static int
console_fd(const struct io *io)
{
	const struct stream *out = &io->s[IO_OUT];

	return out->pump != NULL ? pump_src(out->pump) : out->fd[IO_SRC];
}

static void
console_on_master(struct io *io, int slot, int fd)
{
	struct stream *in = &io->s[IO_IN], *out = &io->s[IO_OUT];
	int copy;

	(void)slot;
	if (fd >= 0 && !isatty(fd)) {
		fd_close(&fd);
		fd = -ENOTTY;
	}
	if (fd < 0) {
		errno = -fd;
		log_warn("no terminal '%s'", io->tty_name);
		if (in->state == STREAM_WAITING)
			stream_over(in);
		if (out->state == STREAM_WAITING)
			stream_over(out);
		return;
	}
	(void)fd_set_nonblock(fd, true);
	if (io->want_size && ioctl(fd, TIOCSWINSZ, &io->size) == -1)
		log_warn("resize terminal '%s'", io->tty_name);
	io->want_size = false;
	if (in->state == STREAM_WAITING) {
		copy = fd_dup(fd);
		if (copy < 0) {
			errno = -copy;
			log_warn("no input for terminal '%s'", io->tty_name);
			stream_over(in);
		} else {
			in->fd[IO_DST] = copy;
		}
	}
	if (out->state == STREAM_WAITING)
		out->fd[IO_SRC] = fd;
	else
		fd_close(&fd);
	stream_begin(in);
	stream_begin(out);
}

void
console_fetch(struct io *io)
{
	io_fetch(io, io->tty_name, console_on_master, 0);
}

int
io_resize(struct io *io, uint16_t width, uint16_t height, struct err *err)
{
	if (!io->terminal || io->exited)
		return 0;
	io->size = (struct winsize){.ws_col = width, .ws_row = height};
	if (console_fd(io) == -1) {
		io->want_size = true;
		return 0;
	}
	if (ioctl(console_fd(io), TIOCSWINSZ, &io->size) == -1)
		return err_set(err, errno, "resize the terminal of '%s'", io->prefix);
	return 0;
}
