/*
 * The client's ends of the stdio FIFOs.
 */
#include "life.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "crash.h"
#include "stream.h"

#define IO_PATIENCE_MS 60000

static void
take(struct sink *s, const uint8_t *buf, size_t n)
{
	size_t i;

	tally.bytes += n;
	for (i = 0; i < n; i++, s->got++) {
		uint8_t want;

		if (s->got < s->lead)
			want = '!';
		else if (s->letters && buf[i] == 'U')
			want = 'U', s->count_u++;
		else if (s->letters && buf[i] == 'R')
			want = 'R', s->count_r++;
		else
			want = s->letters ? 0 : stream_byte(s->seed, s->got - s->lead);
		if (!s->letters && s->got >= s->lead + s->len && !s->bad) {
			fault(FAULT_BYTES, "%s: more than %llu bytes of output", s->who,
			    (unsigned long long)(s->lead + s->len));
			s->bad = true;
		}
		if (buf[i] != want && !s->bad) {
			fault(FAULT_BYTES,
			    "%s: byte %llu of output is 0x%02x, wanted 0x%02x", s->who,
			    (unsigned long long)s->got, buf[i], want);
			s->bad = true;
		}
	}
}

static void
sink_on_read(evutil_socket_t fd, short what, void *arg)
{
	static uint8_t buf[65536];
	struct sink *s = arg;
	ssize_t n;

	(void)what;
	/* any amount, so that the writer meets full pipes too */
	n = read(fd, buf, chance(20) ? 1 + rnd(500) : sizeof buf);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		take(s, buf, (size_t)n);
	} else {
		(void)event_del(s->ev);
		s->eof = true;
	}
	co_wake(&s->changed);
}

void
sink_open(struct sink *s, const char *who, const char *path)
{
	s->who = who;
	s->fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (s->fd == -1) {
		fault(FAULT_OTHER, "%s: open '%s': %s", who, path, strerror(errno));
		return;
	}
	s->ev = event_new(base, s->fd, EV_READ | EV_PERSIST, sink_on_read, s);
	(void)event_add(s->ev, NULL);
}

void
sink_close(struct sink *s)
{
	if (s->ev == NULL)
		return;
	event_free(s->ev);
	s->ev = NULL;
	fd_close(&s->fd);
}

bool
sink_expect(struct sink *s, uint64_t n)
{
	uint64_t limit = now_us() + IO_PATIENCE_MS * 1000ull;

	while (s->got < n) {
		if (s->eof || now_us() >= limit) {
			fault(FAULT_BYTES, "%s: %llu of %llu bytes of output came%s",
			    s->who, (unsigned long long)s->got, (unsigned long long)n,
			    s->eof ? ", then end of file" : "");
			return false;
		}
		(void)co_wait(&s->changed, 1000);
	}
	return true;
}

bool
sink_expect_eof(struct sink *s)
{
	uint64_t limit = now_us() + IO_PATIENCE_MS * 1000ull;

	while (!s->eof) {
		if (now_us() >= limit) {
			fault(FAULT_BYTES, "%s: no end of file (%llu bytes came)", s->who,
			    (unsigned long long)s->got);
			return false;
		}
		(void)co_wait(&s->changed, 1000);
	}
	if (!s->letters && !s->partial && s->got != s->lead + s->len)
		fault(FAULT_BYTES, "%s: end of file after %llu of %llu bytes", s->who,
		    (unsigned long long)s->got, (unsigned long long)(s->lead + s->len));
	return true;
}

void
source_write(const char *who, const char *path, uint32_t seed, uint64_t len)
{
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	uint8_t buf[4096];
	uint64_t at = 0;

	if (fd == -1) {
		fault(FAULT_BYTES, "%s: nobody reads stdin: open '%s': %s", who, path,
		    strerror(errno));
		return;
	}
	while (at < len) {
		size_t n = 1 + rnd(sizeof buf);
		ssize_t done;

		if (n > len - at)
			n = (size_t)(len - at);
		stream_fill(seed, at, buf, n);
		done = write(fd, buf, n);
		if (done > 0) {
			at += (uint64_t)done;
			tally.bytes += (uint64_t)done;
		} else if (errno != EAGAIN) {
			fault(FAULT_BYTES, "%s: write stdin: %s", who, strerror(errno));
			return;
		} else if (!co_wait_fd(fd, EV_WRITE, IO_PATIENCE_MS)) {
			fault(FAULT_BYTES, "%s: stdin not read: %llu of %llu bytes", who,
			    (unsigned long long)at, (unsigned long long)len);
			return;
		}
	}
}
