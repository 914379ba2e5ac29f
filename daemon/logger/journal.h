/*
 * journald's own protocol: one datagram per line. Nothing but a socket is
 * needed for it (systemd, "Native Journal Protocol").
 */
#ifndef PODSHIM_LOGGER_JOURNAL_H
#define PODSHIM_LOGGER_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/un.h>

struct err;
struct line;

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

struct journal {
	int fd;
	struct sockaddr_un sa; /* journald's, for when it comes back */
	bool stuck;	   /* it has not taken anything since we waited for it in vain */
	char fields[1024]; /* those that are the same for every line */
	size_t fields_len;
	uint64_t lost_lines, lost_bytes;
	int lost_errno;
};

/* -errno if nobody listens there. tag: SYSLOG_IDENTIFIER. */
int journal_open(struct journal *j, const char *socket_path, const char *ns,
    const char *id, const char *tag, struct err *err);
/*
 * Waits while journald is busy, 5 s at most; then this line and those after it are lost,
 * and counted, until it takes one again. Finds a journald that has a new socket.
 */
void journal_line(struct journal *j, bool is_stderr, const struct line *line);
/* Say how many lines were lost since that was last said, if any; false: not now either. */
bool journal_tell(struct journal *j);
void journal_close(struct journal *j);

#endif
