/*
 * Shutdown: always a success. While containers remain it is remembered, for
 * containerd may never send another (contract.md 3.5, the leak trap).
 */
#include "base/log.h"
#include "worker/container.h"
#include "worker/crashpoint.h"
#include "worker/op.h"
#include "worker/pod.h"
#include "worker/tasks.h"

void
task_shutdown(struct op *op)
{
	struct pod *pod = op->pod;
	bool empty = pod->containers == NULL;

	op_set_empty(op);
	if (!pod->shutdown_seen) {
		pod->shutdown_seen = true;
		pod_begin(pod);
		store_set_meta(pod->store, "shutdown_seen", "1");
		op_store_answer(op);
		CRASH_POINT("shutdown.final");
		(void)pod_commit(pod, STORE_KEEP, NULL);
	}
	CRASH_POINT("shutdown.committed");
	/* of a container that containerd gave up before its Create, or after its Delete */
	if (op->id != NULL && op->id[0] != '\0' && container_get(pod, op->id) == NULL)
		link_unpin(pod->link, op->id);
	log_debug("shutdown: %s",
	    empty ? "nothing left, ending" : "containers remain, ignoring");
	op_end(op);
	if (empty)
		pod_end_now(pod);
}
