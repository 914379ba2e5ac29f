/*
 * What podshim-logger is told: the query of its URI, which the shim hands over as
 * words, key and value in turn, in any order; and the container's names, in the environment.
 */
#ifndef PODSHIM_LOGGER_CONF_H
#define PODSHIM_LOGGER_CONF_H

#include <stdint.h>
#include <sys/types.h>

struct err;

enum log_format { LOG_CRI, LOG_PLAIN, LOG_JOURNALD, LOG_NONE };

struct logger_conf {
	enum log_format format;
	char *path; /* NULL: none, which only LOG_JOURNALD and LOG_NONE allow */
	uint64_t max_size;
	unsigned max_files;
	mode_t mode;
	const char *id, *ns, *tag;
	const char *journal; /* journald's socket */
	const char *attach;  /* socket to listen on; NULL: none */
};

/* words: NULL-terminated. id and ns: of the environment, may be NULL. */
int logger_conf_parse(char *const *words, const char *id, const char *ns,
    struct logger_conf *out, struct err *err);
void logger_conf_fini(struct logger_conf *conf);

#endif
