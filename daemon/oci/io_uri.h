/*
 * What a stdio path or URI asks for (contract.md 8.1).
 */
#ifndef PODSHIM_OCI_IO_URI_H
#define PODSHIM_OCI_IO_URI_H

#include <stdbool.h>

#include "base/mem.h"

struct err;

enum uri_kind {
	URI_NONE,   /* empty: /dev/null */
	URI_PATH,   /* no scheme, or fifo: */
	URI_FILE,   /* file: append there, made if missing */
	URI_BINARY, /* binary: a log program */
};

struct io_uri {
	enum uri_kind kind;
	char *path;	  /* decoded */
	struct strv args; /* of the program: each query key, then its first value */
	bool must_ready;  /* binary-v2: a ready byte, not just the end of the pipe */
};

/* Room for a path of POD_PATH_MAX bytes, all of them encoded, and a query. */
#define IO_URI_MAX (16u * 1024u)

/* -EINVAL for a scheme we do not know, an URI that is none, or one longer than that. */
int io_uri_parse(const char *text, struct io_uri *out, struct err *err);
void io_uri_fini(struct io_uri *uri);

#endif
