/*
 * Note: the history is ours to write, also about what others do.
 */
#include <string.h>

#include "proto/admin.pb-c.h"
#include "worker/op.h"
#include "worker/pod.h"
#include "worker/tasks.h"

#define NOTE_WHAT_MAX 32u

void
note_begin(struct op *op)
{
	const Podshim__V1__NoteRequest *req = (const Podshim__V1__NoteRequest *)op->req;
	size_t len = strlen(req->what);

	if (len == 0 || len > NOTE_WHAT_MAX ||
	    strspn(req->what, "abcdefghijklmnopqrstuvwxyz-") != len) {
		op_fail(op, STATUS_INVALID_ARGUMENT, "'%.64s' is no word for the history",
		    req->what);
		return;
	}
	if (req->id[0] != '\0' && !op_find_container(op))
		return;
	pod_begin(op->pod);
	store_audit(op->pod->store, req->id, "", req->what, req->detail);
	(void)pod_commit(op->pod, STORE_KEEP, NULL);
	op_ok(op, NULL);
}
