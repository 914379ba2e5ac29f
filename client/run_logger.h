/*
 * podshim-logger's URIs: made for `run`, and read again by those who look for a
 * container's log or want to watch its output.
 */
#ifndef PODSHIM_CLIENT_RUN_LOGGER_H
#define PODSHIM_CLIENT_RUN_LOGGER_H

#include <stdbool.h>

struct err;

/* words: "key=value", NULL-terminated; a later one wins. *uri is malloc'ed. */
int run_logger_uri(char *const *words, char **uri, struct err *err);
/* Would the log program be able to begin? Only it knows: it is asked. Makes the file. */
int run_logger_check(char *const *words, struct err *err);

/* Where a process's output goes, as its stdout URI says. */
struct logged {
	char *path;   /* of a log file; NULL: none */
	char *attach; /* socket to watch it on; NULL: none */
	bool plain;   /* not in the CRI format */
};

/* id, ns: for names in the path. False: it goes elsewhere. */
bool logged_of_uri(const char *uri, const char *id, const char *ns, struct logged *out);
void logged_fini(struct logged *l);

#endif
