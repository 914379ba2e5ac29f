/*
 * What the terminal behind a stream can do. Anything else (a pipe, a file, a
 * buffer of a test) has no width and no colours.
 */
#ifndef PODSHIM_CLIENT_TERM_H
#define PODSHIM_CLIENT_TERM_H

#include <stdbool.h>
#include <stdio.h>

bool term_is_tty(FILE *f);
/* Columns and lines; 0: no terminal, or it does not say. */
unsigned term_width(FILE *f);
unsigned term_height(FILE *f);
/* A terminal with colours, and NO_COLOR is not set. */
bool term_has_colours(FILE *f);

/* How something looks: for what needs attention, not for decoration. */
enum look { LOOK_PLAIN = 0, LOOK_BAD, LOOK_WARN, LOOK_FAINT, LOOK_HEAD };

/* The sequence that begins a look, and the one that ends each. "" for LOOK_PLAIN. */
const char *term_look(enum look look);
#define TERM_LOOK_END "\x1b[0m"

/* What a pod's or container's state looks like: "crash-loop" and so on. */
enum look term_look_of_state(const char *state);

#endif
