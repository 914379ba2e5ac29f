/*
 * Text from outside, made safe to print: ids, paths and messages come from
 * containers' owners and may hold anything.
 */
#ifndef PODSHIM_CLIENT_TEXT_H
#define PODSHIM_CLIENT_TEXT_H

#include <stddef.h>
#include <stdint.h>

/*
 * For a terminal, malloc'ed: control characters, bytes that are not UTF-8, and
 * characters that turn the direction of writing become \xNN or \uNNNN.
 */
char *text_safe(const char *s);
/* For JSON, malloc'ed: what is not UTF-8 becomes U+FFFD. */
char *text_utf8(const char *s);
/* Columns that text_safe()'s result takes. */
size_t text_width(const char *s);
/* "2024-01-31T12:00:00.123456789Z" of nanoseconds since 1970, malloc'ed; NULL for 0. */
char *text_time(int64_t ns);
/*
 * For people, malloc'ed: how long something is ago or lasts, of nanoseconds
 * ("3 min ago", "2 h 5 min", "250 ms"), and bytes ("1.5 MiB"). What is less
 * than a second ago, or still to come, is "now".
 */
char *text_ago(int64_t ns);
char *text_span(int64_t ns);
char *text_bytes(uint64_t n);
/* text_safe()'s result in at most so many columns (1 or more), malloc'ed; "…" stands
 * for what was cut off. */
char *text_cut(const char *s, size_t columns);

#endif
