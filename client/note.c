#include "client/note.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "client/pods.h"
#include "client/rpc.h"
#include "proto/admin.pb-c.h"
#include "proto/caller.h"

#define NOTE_US (1 * US_PER_S)

static int
note_send(const struct pod *pod, const Podshim__V1__NoteRequest *req, struct err *err)
{
	boot_us_t end = clock_boot_us() + NOTE_US;
	AUTO_FREE char *path = pod->keeper == KEEPER_DEAD ? NULL : rpc_socket_of(pod);
	struct caller_reply reply = {0};
	struct caller *caller = NULL;
	uint32_t stream;
	int rc;

	if (path == NULL)
		return err_setx(err, ECONNREFUSED, "it has no keeper");
	rc = caller_connect(path, end, &caller, err);
	if (rc == 0)
		rc = caller_send(caller, "podshim.v1.Admin", "Note", &req->base, end, end,
		    &stream, err);
	if (rc == 0)
		rc = caller_recv(caller, stream, end, &reply, err);
	if (rc == 0 && reply.status != 0)
		rc = err_setx(err, EREMOTEIO, "%s", reply.text);
	caller_reply_fini(&reply);
	caller_free(caller);
	return rc;
}

void
note(struct ctl *ctl, const struct pod *pod, const char *container, const char *what,
    const char *detail)
{
	Podshim__V1__NoteRequest req = PODSHIM__V1__NOTE_REQUEST__INIT;
	struct err err = ERR_INIT;

	req.id = (char *)(uintptr_t)container;
	req.what = (char *)(uintptr_t)what;
	req.detail = (char *)(uintptr_t)detail;
	if (note_send(pod, &req, &err) < 0)
		(void)ctl_fail(ctl, "warning: not in the history of pod '%s': %s",
		    pod->group, err.text);
}
