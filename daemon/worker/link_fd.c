/*
 * The keeper's fd store, seen from here: which names it has, and the
 * descriptors we asked for and wait for.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "worker/link_int.h"

static struct link_name *
link_name_find(struct link *lk, const char *name)
{
	struct link_name *e;

	HASH_FIND_STR(lk->names, name, e);
	return e;
}

static void
link_name_add(struct link *lk, const char *name)
{
	size_t len = strlen(name);
	struct link_name *e;

	if (link_name_find(lk, name) != NULL)
		return;
	e = mem_zalloc(sizeof *e + len + 1);
	memcpy(e->name, name, len + 1);
	HASH_ADD_STR(lk->names, name, e);
}

static void
link_name_del(struct link *lk, struct link_name *e)
{
	HASH_DEL(lk->names, e);
	free(e);
}

void
link_on_fdname(struct link *lk, const struct packet *p)
{
	const char *name = msg_get_str(&p->head, p->payload, MF_NAME);

	if (name != NULL)
		link_name_add(lk, name);
}

static void
link_put(struct link *lk, const char *name, int fd, enum fd_put_how how)
{
	struct msg_head head = {.type = MSG_FD_PUT, .a = how};
	uint64_t buf[(MSG_NAME_MAX + 64) / 8];
	size_t len = 0;
	int rc;

	if (msg_put_str(buf, sizeof buf, &len, MF_NAME, name) < 0) {
		log_errx("descriptor name '%s' is too long, ignoring", name);
		return;
	}
	head.len = (uint32_t)len;
	rc = link_send(lk, &head, buf, &fd, 1);
	if (rc == 0)
		link_name_add(lk, name);
}

void
link_fd_put(struct link *lk, const char *name, int fd)
{
	link_put(lk, name, fd, FD_PUT_AS_IS);
}

void
link_fd_put_fifo(struct link *lk, const char *name, int path_fd, bool writes)
{
	link_put(lk, name, path_fd, writes ? FD_PUT_OPEN_WRITE : FD_PUT_OPEN_READ);
}

void
link_fd_get(struct link *lk, const char *name, link_fd_cb cb, void *arg)
{
	struct msg_head head = {.type = MSG_FD_GET};
	struct link_get *g = mem_zalloc(sizeof *g);
	struct link_get **at;

	g->id = ++lk->n_gets;
	g->cb = cb;
	g->arg = arg;
	for (at = &lk->gets; *at != NULL; at = &(*at)->next)
		;
	*at = g;
	head.a = g->id;
	link_send_text(lk, &head, MF_NAME, name);
}

void
link_fd_forget(struct link *lk, const void *arg)
{
	struct link_get *g;

	for (g = lk->gets; g != NULL; g = g->next) {
		if (g->arg == arg)
			g->cb = NULL;
	}
}

void
link_on_fd(struct link *lk, struct packet *p)
{
	const char *name = msg_get_str(&p->head, p->payload, MF_NAME);
	struct link_get **at, *g;
	int fd = -EIO;

	if (p->head.key == 1) {
		struct link_name *e = name == NULL ? NULL : link_name_find(lk, name);

		log_errx("the keeper cannot store '%s': %s", name == NULL ? "?" : name,
		    strerror((int)p->head.b));
		if (e != NULL)
			link_name_del(lk, e);
		return;
	}
	if (p->fds_lost)
		fd = -EMFILE;
	else if (p->head.b != 0)
		fd = -(int)p->head.b;
	else if (p->n_fds == 1)
		fd = steal_fd(&p->fds[0]);
	for (at = &lk->gets; (g = *at) != NULL && g->id != p->head.a; at = &g->next)
		;
	if (g != NULL)
		*at = g->next;
	if (g == NULL || g->cb == NULL)
		fd_close(&fd);
	else
		g->cb(fd, g->arg);
	free(g);
}

void
link_fd_drop(struct link *lk, const char *name, bool prefix)
{
	struct msg_head head = {.type = MSG_FD_DROP, .b = prefix ? 1 : 0};
	struct link_name *e, *next;
	size_t len = strlen(name), n = 0;

	if (prefix) {
		HASH_ITER (hh, lk->names, e, next) {
			if (strncmp(e->name, name, len) == 0) {
				link_name_del(lk, e);
				n++;
			}
		}
	} else {
		e = link_name_find(lk, name);
		/*
		 * Send first, name may be e's own; and also for a name we do not
		 * know: tty/<key> is the keeper's own doing.
		 */
		link_send_text(lk, &head, MF_NAME, name);
		if (e != NULL)
			link_name_del(lk, e);
		return;
	}
	if (n > 0)
		link_send_text(lk, &head, MF_NAME, name);
}

bool
link_fd_known(struct link *lk, const char *name)
{
	return link_name_find(lk, name) != NULL;
}

void
link_each_fd(struct link *lk, void (*cb)(const char *name, void *arg), void *arg)
{
	struct link_name *e, *next;

	HASH_ITER (hh, lk->names, e, next)
		cb(e->name, arg);
}

void
link_fds_fini(struct link *lk)
{
	struct link_name *e, *next;
	struct link_get *g;

	HASH_ITER (hh, lk->names, e, next)
		link_name_del(lk, e);
	while ((g = lk->gets) != NULL) {
		lk->gets = g->next;
		free(g);
	}
}
