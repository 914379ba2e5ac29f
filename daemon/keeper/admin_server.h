/*
 * The answering side of the admin socket (ipc/admin.h): pins and questions,
 * answered by the keeper alone.
 */
#ifndef PODSHIM_KEEPER_ADMIN_SERVER_H
#define PODSHIM_KEEPER_ADMIN_SERVER_H

#include <stddef.h>

struct admin_server;
struct pod;

/* What STATUS says, into buf; what does not fit is cut. */
void admin_status_text(struct pod *pod, char *buf, size_t cap);

/* Takes listen_fd, also on failure. */
struct admin_server *admin_server_new(struct pod *pod, int listen_fd);
/* No more connections. */
void admin_server_close(struct admin_server *as);
void admin_server_free(struct admin_server *as);

#endif
