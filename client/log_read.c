/*
 * The reader stands in one file and knows it by its inode. At that one's end it
 * looks which name the file has by now: <path> means that there may be more
 * to come, <path>.3 that <path>.2 is next. So any number of rotations can
 * happen while nobody looks.
 *
 * A line may be as long as the disk is large: it is handed out in pieces of PIECE_MAX.
 */
#include "client/log_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#define ROTATED_MAX 1000
#define PIECE_MAX   (64u << 10)

struct log_reader {
	char *path;
	bool plain;
	FILE *f; /* NULL: before the first, or none can be opened now */
	dev_t dev;
	ino_t ino;
	bool midline;	 /* what was handed out last did not end its line */
	bool is_stderr;	 /* that line */
	bool is_partial; /* also at its end */
	size_t begun;	 /* bytes of a line whose end is not written yet */
	char line[PIECE_MAX];
};

/* --- one line ----------------------------------------------------------------------- */

/* A word that ends at a blank; NULL if it does not. */
static const char *
word_end(const char *p, const char *end)
{
	return memchr(p, ' ', (size_t)(end - p));
}

void
log_line_parse(const char *p, size_t len, bool plain, struct log_line *out)
{
	const char *end = p + len, *time_end, *stream_end, *tag_end;
	size_t stream_len;

	*out = (struct log_line){.time = "", .text = p, .len = len};
	if (plain || (time_end = word_end(p, end)) == NULL ||
	    (stream_end = word_end(time_end + 1, end)) == NULL ||
	    (tag_end = word_end(stream_end + 1, end)) == NULL)
		return;
	stream_len = (size_t)(stream_end - time_end - 1);
	if (stream_len != 6 ||
	    (memcmp(time_end + 1, "stdout", 6) != 0 &&
		memcmp(time_end + 1, "stderr", 6) != 0) ||
	    (stream_end[1] != 'F' && stream_end[1] != 'P'))
		return;
	out->time = p;
	out->time_len = (size_t)(time_end - p);
	out->is_stderr = memcmp(time_end + 1, "stderr", 6) == 0;
	out->partial = stream_end[1] == 'P';
	out->text = tag_end + 1;
	out->len = (size_t)(end - out->text);
}

/* --- files ------------------------------------------------------------------------------ */

static char *
file_name(const struct log_reader *r, int i)
{
	return i == 0 ? mem_strdup(r->path) : mem_printf("%s.%d", r->path, i);
}

/* The highest number there is, without gaps; 0: none was rotated; -1: not even it. */
static int
file_oldest(const struct log_reader *r)
{
	int i;

	for (i = 0; i <= ROTATED_MAX; i++) {
		AUTO_FREE char *name = file_name(r, i);

		if (access(name, F_OK) == -1)
			break;
	}
	return i - 1;
}

/* Under which number our file is found; -1: it was removed. */
static int
file_number(const struct log_reader *r)
{
	struct stat st;
	int i;

	for (i = 0; i <= ROTATED_MAX; i++) {
		AUTO_FREE char *name = file_name(r, i);

		if (stat(name, &st) == -1) {
			if (i > 0) /* in the middle of a rotation there is no 0 */
				return -1;
			continue;
		}
		if (st.st_dev == r->dev && st.st_ino == r->ino)
			return i;
	}
	return -1;
}

static int
file_open(struct log_reader *r, int i)
{
	AUTO_FREE char *name = file_name(r, i);
	AUTO_CLOSE int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	FILE *f;

	if (fd == -1 || fstat(fd, &st) == -1)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	f = fdopen(fd, "r");
	if (f == NULL)
		return -errno;
	(void)steal_fd(&fd);
	if (r->f != NULL)
		(void)fclose(r->f);
	r->f = f;
	r->midline = false;
	r->dev = st.st_dev;
	r->ino = st.st_ino;
	return 0;
}

/* Ours was removed: the oldest that was written to later; -1: there is none. */
static int
file_after(const struct log_reader *r)
{
	struct stat ours, st;
	int i;

	if (r->f == NULL || fstat(fileno(r->f), &ours) == -1)
		return file_oldest(r);
	for (i = file_oldest(r); i >= 0; i--) {
		AUTO_FREE char *name = file_name(r, i);

		if (stat(name, &st) == 0 &&
		    (st.st_mtim.tv_sec > ours.st_mtim.tv_sec ||
			(st.st_mtim.tv_sec == ours.st_mtim.tv_sec &&
			    st.st_mtim.tv_nsec > ours.st_mtim.tv_nsec)))
			break;
	}
	return i;
}

/* The file that was begun when ours was full; false: ours is still the one. */
static bool
file_next(struct log_reader *r)
{
	int at = r->f == NULL ? -1 : file_number(r);

	if (at == 0)
		return false;
	if (at == -1)
		at = file_after(r) + 1;
	return at > 0 && file_open(r, at - 1) == 0;
}

int
log_open(const char *path, bool plain, struct log_reader **out, struct err *err)
{
	struct log_reader *r = mem_zalloc(sizeof *r);
	int oldest, rc;

	r->path = mem_strdup(path);
	r->plain = plain;
	oldest = file_oldest(r);
	rc = file_open(r, oldest > 0 ? oldest : 0);
	if (rc < 0) {
		log_close(r);
		return err_set(err, -rc, "open log '%s'", path);
	}
	*out = r;
	return 0;
}

void
log_close(struct log_reader *r)
{
	if (r == NULL)
		return;
	if (r->f != NULL)
		(void)fclose(r->f);
	free(r->path);
	free(r);
}

/* --- reading ------------------------------------------------------------------------------ */

/* Nothing will follow, or nothing for now: what there is of a line. */
static size_t
take_begun(struct log_reader *r)
{
	size_t n = r->begun;

	r->begun = 0;
	return n;
}

/*
 * Read a line with its newline, or as much of it as there is room for. Its length; 0: the
 * file ends here, for now, and what there is of a line is kept for later.
 */
static size_t
read_line(struct log_reader *r)
{
	int c = EOF;

	if (r->f == NULL)
		return 0;
	clearerr(r->f); /* the end of a file is not for ever */
	while (r->begun < PIECE_MAX && (c = getc_unlocked(r->f)) != EOF) {
		r->line[r->begun++] = (char)c;
		if (c == '\n')
			break;
	}
	return c == EOF ? 0 : take_begun(r);
}

/* A piece behind the first has no words before its text, and is what the first was. */
static void
parse_piece(struct log_reader *r, size_t n, struct log_line *out)
{
	bool ends = r->line[n - 1] == '\n';

	log_line_parse(r->line, ends ? n - 1 : n, r->plain || r->midline, out);
	if (r->midline) {
		out->is_stderr = r->is_stderr;
		out->partial = r->is_partial;
	}
	r->midline = !ends;
	r->is_stderr = out->is_stderr;
	r->is_partial = out->partial;
	out->partial = out->partial || !ends;
}

bool
log_next(struct log_reader *r, struct log_line *out)
{
	size_t n;

	while ((n = read_line(r)) == 0) {
		/* the file may have been written to, and then rotated, since */
		bool moved = r->f == NULL || file_number(r) != 0;

		n = moved ? read_line(r) : 0;
		if (n > 0)
			break;
		n = moved ? take_begun(r) : 0; /* a line, too (plain logs) */
		if (n > 0)
			break;
		if (!moved || !file_next(r))
			return false;
	}
	parse_piece(r, n, out);
	return true;
}

bool
log_last(struct log_reader *r, struct log_line *out)
{
	size_t n = take_begun(r);

	if (n == 0)
		return false;
	parse_piece(r, n, out);
	return true;
}

void
log_seek_tail(struct log_reader *r, uint64_t n)
{
	struct log_line line;
	uint64_t lines = 0, skip;
	int oldest = file_oldest(r);
	bool open_end = false;

	if (file_open(r, oldest > 0 ? oldest : 0) < 0)
		return;
	r->begun = 0;
	while (log_next(r, &line)) {
		lines += !line.partial;
		open_end = line.partial;
	}
	/* one without its newline is the last line, too */
	lines += open_end || r->begun > 0;
	if (file_open(r, oldest > 0 ? oldest : 0) < 0)
		return;
	r->begun = 0;
	skip = lines > n ? lines - n : 0;
	while (skip > 0 && log_next(r, &line))
		skip -= !line.partial;
}
