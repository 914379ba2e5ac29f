#include "client/note.h"

#include "base/err.h"
#include "client/rpc.h"
#include "proto/admin.pb-c.h"

#define NOTE_MS 1000

void
note(struct ctl *ctl, const struct pod *pod, const char *container, const char *what,
    const char *detail)
{
	Podshim__V1__NoteRequest req = PODSHIM__V1__NOTE_REQUEST__INIT;
	struct err err = ERR_INIT;

	req.id = (char *)(uintptr_t)container;
	req.what = (char *)(uintptr_t)what;
	req.detail = (char *)(uintptr_t)detail;
	if (rpc_admin(pod, "Note", &req.base, NOTE_MS, NULL, NULL, &err) < 0)
		(void)ctl_fail(ctl, "warning: not in the history: %s", err.text);
}
