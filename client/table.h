/*
 * Columns for people: collect cells row by row, print them aligned. No blanks
 * at the end of a line; an empty cell is "-"; every cell is made safe to print.
 * On a terminal the widest columns are cut until a line fits, and there are
 * colours; a pipe or file gets all of it and nothing else.
 */
#ifndef PODSHIM_CLIENT_TABLE_H
#define PODSHIM_CLIENT_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "client/term.h"

struct table;

/* heads: NULL-terminated; how many there are is the number of columns. */
struct table *table_new(const char *const *heads);
void table_free(struct table *t);
/* The next cell, left to right, row by row. NULL and "": "-". Copied. */
void table_add(struct table *t, const char *text);
void table_add_look(struct table *t, const char *text, enum look look);
void table_add_num(struct table *t, int64_t n);
/* For the width of the terminal behind out, if there is one. */
void table_print(struct table *t, FILE *out);
/* Print the rows since the last time, no narrower than those; the head once. */
void table_flush(struct table *t, FILE *out);
/* columns: of a terminal, 0 for as many as are needed. */
void table_print_at(struct table *t, FILE *out, unsigned columns, bool colours);

#endif
