/*
 * One call of the keeper's own service.
 */
#include "launcher/purge.h"

#include <errno.h>

#include "base/err.h"
#include "base/mem.h"
#include "proto/admin.pb-c.h"
#include "proto/caller.h"
#include "proto/status.h"
#include "proto/wire.h"

#define PURGE_SERVICE "podshim.v1.Admin"

static enum purge_result
purge_decode(const struct caller_reply *r, struct purge_answer *out, struct err *err)
{
	Podshim__V1__PurgeResponse *p;
	enum purge_result result;

	if (r->status != STATUS_OK) {
		(void)err_setx(err, EPROTO, "%s: %s", status_name(r->status), r->text);
		return PURGE_SILENT;
	}
	p = podshim__v1__purge_response__unpack(NULL, r->len, r->payload);
	if (p == NULL) {
		(void)err_setx(err, EBADMSG, "the answer makes no sense");
		return PURGE_SILENT;
	}
	result = p->known ? PURGE_DONE : PURGE_UNKNOWN;
	out->pid = p->pid;
	out->exit_status = p->exit_status;
	out->exited_at = wire_timestamp_ns(p->exited_at);
	if (out->exited_at < 0)
		out->exited_at = 0;
	podshim__v1__purge_response__free_unpacked(p, NULL);
	return result;
}

enum purge_result
purge_ask(const char *socket_path, const char *id, boot_us_t end,
    struct purge_answer *out, struct err *err)
{
	Podshim__V1__PurgeRequest purge = PODSHIM__V1__PURGE_REQUEST__INIT;
	AUTO_FREE char *own_id = mem_strdup(id);
	struct caller_reply reply = {0};
	struct caller *c = NULL;
	enum purge_result result;
	uint32_t stream;
	int rc;

	rc = caller_connect(socket_path, end, &c, err);
	if (rc == -ENOENT || rc == -ECONNREFUSED || rc == -ENAMETOOLONG || rc == -ENOTDIR)
		return PURGE_NO_KEEPER;
	purge.id = own_id;
	if (rc >= 0)
		rc = caller_send(
		    c, PURGE_SERVICE, "Purge", &purge.base, end, end, &stream, err);
	if (rc >= 0)
		rc = caller_recv(c, stream, end, &reply, err);
	caller_free(c);
	if (rc < 0) {
		(void)err_wrap(err, rc, "ask the keeper at '%s'", socket_path);
		/* it closed: it has ended since we connected */
		return rc == -EPIPE || rc == -ECONNRESET ? PURGE_NO_KEEPER : PURGE_SILENT;
	}
	result = purge_decode(&reply, out, err);
	caller_reply_fini(&reply);
	return result;
}
