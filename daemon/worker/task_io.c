/*
 * CloseIO and ResizePty: at once, and twice is as good as once.
 */
#include "base/err.h"
#include "proto/task.pb-c.h"
#include "worker/container.h"
#include "worker/crashpoint.h"
#include "worker/io.h"
#include "worker/op.h"
#include "worker/pod.h"
#include "worker/process.h"
#include "worker/tasks.h"

void
task_close_io(struct op *op)
{
	const Containerd__Task__V2__CloseIORequest *req =
	    (const Containerd__Task__V2__CloseIORequest *)op->req;

	if (!op_find_process(op))
		return;
	CRASH_POINT("closeio.before");
	if (req->stdin && op->p->io != NULL)
		io_close_stdin(op->p->io);
	CRASH_POINT("closeio.after");
	op_ok(op, NULL);
}

void
task_resize_pty(struct op *op)
{
	const Containerd__Task__V2__ResizePtyRequest *req =
	    (const Containerd__Task__V2__ResizePtyRequest *)op->req;
	struct err err = ERR_INIT;

	if (!op_find_process(op))
		return;
	if (req->width > UINT16_MAX || req->height > UINT16_MAX) {
		op_fail(op, STATUS_INVALID_ARGUMENT, "terminal size %ux%u", req->width,
		    req->height);
		return;
	}
	if (op->p->state == TASK_STOPPED) {
		op_fail(op, STATUS_UNKNOWN, "cannot resize a stopped process");
		return;
	}
	if (op->p->io != NULL &&
	    io_resize(op->p->io, (uint16_t)req->width, (uint16_t)req->height, &err) < 0) {
		op_fail(op, STATUS_UNKNOWN, "%s", err.text);
		return;
	}
	op_ok(op, NULL);
}
