/*
 * podshimctl top: what containers use, again and again. On a terminal it has
 * the screen for itself and listens to keys; elsewhere it prints one table after
 * the other. The terminal gets back what it had, also after a signal.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "client/stats.h"
#include "client/text.h"
#include "client/verbs.h"

/* another screen, no cursor, no lines that go on in the next one */
#define SCREEN_BEGIN "\x1b[?1049h\x1b[?25l\x1b[?7l"
#define SCREEN_END   "\x1b[?7h\x1b[?25h\x1b[?1049l"

enum order { BY_CPU, BY_MEMORY, BY_NAME };

struct top {
	struct ctl *ctl;
	int64_t interval_ms;
	int64_t rounds; /* 0: until somebody ends it */
	bool screen;
	bool keys;
	bool raw; /* the terminal is not as it was */
	bool quit;
	enum order order;
	struct termios was;
	struct stats before;
	char *complaints; /* what went wrong in this round */
};

static volatile sig_atomic_t ended_by, stopped;

static void
on_signal(int sig)
{
	ended_by = sig;
}

static void
on_stop(int sig)
{
	(void)sig;
	stopped = 1;
}

static void
on_resize(int sig)
{
	(void)sig; /* poll() has been woken: that is all */
}

/* --- rows ------------------------------------------------------------------ */

/* Larger first; names break ties, so that rows do not dance. */
static int
row_compare(const void *a, const void *b, void *arg)
{
	const struct stats_row *x = a, *y = b;
	const struct top *t = arg;
	double d = 0;

	if (t->order == BY_CPU)
		d = y->cpu_percent - x->cpu_percent;
	else if (t->order == BY_MEMORY)
		d = (double)(y->usage.memory - x->usage.memory);
	return d > 0			  ? 1
	    : d < 0			  ? -1
	    : strcmp(x->pod, y->pod) != 0 ? strcmp(x->pod, y->pod)
					  : strcmp(x->container, y->container);
}

/* The pods as they are now; false: they cannot be read, or the one is gone. */
static int
read_round(struct top *t, struct pods *pods, struct stats *now)
{
	struct ctl quiet = *t->ctl;
	struct found one;
	size_t len;
	int rc;

	free(t->complaints);
	t->complaints = NULL;
	quiet.err = open_memstream(&t->complaints, &len);
	if (quiet.err == NULL)
		return ctl_fail(t->ctl, "%s", strerror(errno));
	if (!find_all(&quiet, pods, &rc)) {
		(void)fclose(quiet.err);
		return rc;
	}
	rc = t->ctl->argc == 0 ? CTL_OK : find_any(&quiet, pods, t->ctl->argv[0], &one);
	if (rc == CTL_OK)
		stats_read(pods, t->ctl->argc == 0 ? NULL : &one, now);
	(void)fclose(quiet.err);
	if (rc != CTL_OK)
		pods_fini(pods);
	return rc;
}

/* --- showing ---------------------------------------------------------------- */

static void
head_print(const struct top *t, const struct pods *pods, const struct stats *now, FILE *f)
{
	AUTO_FREE char *time = text_time(clock_real_ns());
	double cpu = 0;
	int64_t memory = 0;
	size_t i, bad = 0;

	for (i = 0; i < now->n; i++) {
		cpu += now->v[i].cpu_percent > 0 ? now->v[i].cpu_percent : 0;
		memory += now->v[i].usage.memory > 0 ? now->v[i].usage.memory : 0;
	}
	for (i = 0; i < pods->n; i++) {
		AUTO_FREE char *state = pod_state(&pods->v[i]);

		bad += strcmp(state, "running") != 0;
	}
	AUTO_FREE char *bytes = text_bytes((uint64_t)memory);

	(void)fprintf(f, "%.19sZ  %zu pods", time, pods->n);
	if (bad > 0)
		(void)fprintf(f, ", %zu not running", bad);
	(void)fprintf(f, "  %zu containers  CPU %.1f%%  %s\n", now->n, cpu, bytes);
	if (t->screen)
		(void)fprintf(f, "%s\n",
		    t->keys ? "c: by CPU  m: by memory  n: by name  q: quit" : "");
	(void)fputc('\n', f);
}

/* Print as many lines as the screen has, each over what was there. What is erased is
 * erased before: behind a line as wide as the screen the cursor is still on its end. */
static void
screen_print(const struct top *t, const char *text)
{
	unsigned height = term_height(t->ctl->out), line = 0;
	const char *end;

	(void)fputs("\x1b[H", t->ctl->out);
	while (*text != '\0' && (height == 0 || line < height)) {
		end = text + strcspn(text, "\n");
		(void)fprintf(t->ctl->out, "%s\x1b[K%.*s", line == 0 ? "" : "\n",
		    (int)(end - text), text);
		text = *end == '\n' ? end + 1 : end;
		line++;
	}
	if (height == 0 || line < height)
		(void)fputs("\n\x1b[J", t->ctl->out);
}

static void
show(struct top *t, const struct pods *pods, struct stats *now)
{
	struct sheet *sheet = sheet_new(t->ctl, stats_columns);
	char *text = NULL;
	size_t len, i;
	FILE *f = t->screen ? open_memstream(&text, &len) : t->ctl->out;

	if (f == NULL) {
		sheet_free(sheet);
		return;
	}
	qsort_r(now->v, now->n, sizeof *now->v, row_compare, t);
	if (!ctl_is_json(t->ctl))
		head_print(t, pods, now, f);
	for (i = 0; i < now->n; i++)
		stats_add(sheet, &now->v[i]);
	sheet_print_at(sheet, f, term_width(t->ctl->out), term_has_colours(t->ctl->out));
	sheet_free(sheet);
	if (t->screen) {
		(void)fputs(t->complaints, f);
		(void)fclose(f);
		screen_print(t, text);
		free(text);
	} else {
		(void)fputs(t->complaints, t->ctl->err);
	}
	(void)fflush(t->ctl->out);
}

/* --- waiting and keys ------------------------------------------------------- */

static void
key(struct top *t)
{
	char c;

	if (read(STDIN_FILENO, &c, 1) != 1)
		t->keys = false;
	else if (c == 'q' || c == '\x03' || c == '\x04')
		t->quit = true;
	else if (c == 'c' || c == 'm' || c == 'n')
		t->order = c == 'c' ? BY_CPU : c == 'm' ? BY_MEMORY : BY_NAME;
}

static void
screen_begin(struct top *t)
{
	struct sigaction end = {.sa_handler = on_signal}, stop = {.sa_handler = on_stop},
			 size = {.sa_handler = on_resize};
	struct termios raw;

	(void)sigaction(SIGINT, &end, NULL);
	(void)sigaction(SIGQUIT, &end, NULL);
	(void)sigaction(SIGTERM, &end, NULL);
	(void)sigaction(SIGHUP, &end, NULL);
	(void)sigaction(SIGTSTP, &stop, NULL);
	(void)sigaction(SIGWINCH, &size, NULL);
	t->keys = isatty(STDIN_FILENO) == 1 && tcgetattr(STDIN_FILENO, &t->was) == 0;
	if (t->keys) {
		raw = t->was;
		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	}
	t->raw = t->keys;
	(void)fputs(SCREEN_BEGIN, t->ctl->out);
}

static void
screen_end(struct top *t)
{
	(void)fputs(SCREEN_END, t->ctl->out);
	(void)fflush(t->ctl->out);
	if (t->raw)
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &t->was);
	t->raw = false;
}

/* The shell gets its terminal as it was; we take it again when we go on. */
static void
screen_stop(struct top *t)
{
	stopped = 0;
	screen_end(t);
	(void)signal(SIGTSTP, SIG_DFL);
	(void)raise(SIGTSTP);
	screen_begin(t);
}

/* Until the next round, or until a key or the window's size asks for another look. */
static void
wait_round(struct top *t)
{
	struct pollfd p = {.fd = t->keys ? STDIN_FILENO : -1, .events = POLLIN};

	if (ended_by == 0 && stopped == 0 && poll(&p, 1, (int)t->interval_ms) > 0 &&
	    t->keys)
		key(t);
	if (stopped != 0)
		screen_stop(t);
}

static int
rounds(struct top *t)
{
	int rc = CTL_OK;
	int64_t i;

	for (i = 0; !t->quit && ended_by == 0; i++) {
		struct pods pods = {0};
		struct stats now = {0};

		rc = read_round(t, &pods, &now);
		if (rc != CTL_OK)
			break;
		stats_compare(&now, &t->before);
		show(t, &pods, &now);
		pods_fini(&pods);
		stats_fini(&t->before);
		t->before = now;
		if (t->rounds > 0 && i + 1 == t->rounds)
			break;
		wait_round(t);
	}
	return rc;
}

static int
cmd_top(struct ctl *ctl)
{
	struct top t = {.ctl = ctl, .interval_ms = 2000};
	int64_t seconds = 2;
	int rc = ctl_option_num(ctl, "delay", 1, 3600, &seconds);

	if (rc == CTL_OK)
		rc = ctl_option_num(ctl, "rounds", 1, INT32_MAX, &t.rounds);
	if (rc != CTL_OK)
		return rc;
	if (ctl->format == FORMAT_JSON)
		ctl->format = FORMAT_JSONL; /* it goes on: there is no one value */
	t.interval_ms = seconds * 1000;
	t.screen = !ctl_is_json(ctl) && term_is_tty(ctl->out);
	if (t.screen)
		screen_begin(&t);
	rc = rounds(&t);
	if (t.screen)
		screen_end(&t);
	if (rc != CTL_OK && t.complaints != NULL)
		(void)fputs(t.complaints, ctl->err);
	stats_fini(&t.before);
	free(t.complaints);
	return ended_by != 0 ? 128 + ended_by : rc;
}

static const struct ctl_option options[] = {
    {"delay", 'd', "SECONDS", "between two looks; 2 by default"},
    {"rounds", 'r', "N", "end after so many"},
    {0},
};

const struct ctl_verb verb_top = {
    .name = "top",
    .group = GROUP_SEE,
    .args = "[POD|CONTAINER]",
    .summary = "what containers use, again and again",
    .text =
	"As stats, the most busy first. Keys: c, m and n sort by CPU, memory or name,\n"
	"q ends it. Where it does not write to a terminal, one table follows the other;\n"
	"-o json is as jsonl.",
    .options = options,
    .examples = "  podshimctl top\n"
		"  podshimctl top web -d 10 -r 6 -o jsonl >web.jsonl",
    .max_args = 1,
    .run = cmd_top,
};
