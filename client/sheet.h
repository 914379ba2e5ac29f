/*
 * What a verb shows, row by row, said once for all formats: as a table for
 * people or as JSON for programs. The columns are declared, then each row gives
 * its cells from left to right, each by the function of its kind.
 *
 * Unknown is "-" in a table and null in JSON.
 */
#ifndef PODSHIM_CLIENT_SHEET_H
#define PODSHIM_CLIENT_SHEET_H

#include <stdbool.h>
#include <stdint.h>

#include "client/ctl.h"
#include "client/term.h"

struct column {
	const char *head;			  /* NULL: in JSON only */
	const char *key;			  /* of JSON; NULL: in tables only */
	enum { SHOW_ALWAYS = 0, SHOW_WIDE } show; /* tables: only with -o wide */
};

struct sheet;

/* columns end with one that has neither head nor key. */
struct sheet *sheet_new(struct ctl *ctl, const struct column *columns);
/* Text; NULL and "" are unknown. */
void sheet_text(struct sheet *s, const char *text);
/* The same, with a look of its own on terminals. */
void sheet_state(struct sheet *s, const char *text, enum look look);
/* Text that differs: shown in tables, and in JSON. */
void sheet_text_as(struct sheet *s, const char *shown, const char *value);
/* Negative is unknown. */
void sheet_num(struct sheet *s, int64_t n);
/* A number with so many digits behind the point; negative is unknown. */
void sheet_real(struct sheet *s, double n, int digits);
void sheet_bytes(struct sheet *s, int64_t n);
/* Nanoseconds since 1970; 0 is unknown. "3 min ago", or RFC 3339. */
void sheet_time(struct sheet *s, int64_t ns);
/* Nanoseconds; negative is unknown. "2 h", or seconds. */
void sheet_span(struct sheet *s, int64_t ns);
void sheet_bool(struct sheet *s, bool b);
/*
 * Print, and empty it. With jsonl each row has been printed already, when it was
 * complete; then there is nothing left to do. A sheet without rows is its head, or [].
 */
void sheet_print(struct sheet *s);
/* The same, to a stream of one's own as if a terminal of so many columns were there. */
void sheet_print_at(struct sheet *s, FILE *out, unsigned columns, bool colours);
/* For output that goes on: print what has been added since, the head once. */
void sheet_flush(struct sheet *s);
void sheet_free(struct sheet *s);

#endif
