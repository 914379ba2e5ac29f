/*
 * Shorthands for JSON output. All return new references and never NULL.
 */
#ifndef PODSHIM_CLIENT_JSON_H
#define PODSHIM_CLIENT_JSON_H

#include <stdint.h>

#include <jansson.h>

#include "client/ctl.h"

/* NULL: null. What is not UTF-8 becomes U+FFFD. */
json_t *js_text(const char *s);
/* "" too: null. */
json_t *js_name(const char *s);
/* Negative: null. */
json_t *js_num(int64_t n);
/* Nanoseconds since 1970 as RFC 3339; 0: null. */
json_t *js_time(int64_t ns);
/*
 * Print on ctl->out in ASCII, as ctl->format wants it; takes the reference. With jsonl an
 * array is one line for each of its elements.
 */
void js_print(const struct ctl *ctl, json_t *value);

#endif
