/*
 * A ttrpc Request as the worker reads it: the envelope, then the payload as
 * the request message of each Task method, and the Anys inside.
 */
#include "fuzz.h"

#include <protobuf-c/protobuf-c.h>
#include <stdlib.h>

#include "proto/any.pb-c.h"
#include "proto/task.pb-c.h"
#include "proto/ttrpc.pb-c.h"
#include "proto/wire.h"

static const ProtobufCMessageDescriptor *const requests[] = {
    &containerd__task__v2__state_request__descriptor,
    &containerd__task__v2__create_task_request__descriptor,
    &containerd__task__v2__start_request__descriptor,
    &containerd__task__v2__delete_request__descriptor,
    &containerd__task__v2__pids_request__descriptor,
    &containerd__task__v2__checkpoint_task_request__descriptor,
    &containerd__task__v2__kill_request__descriptor,
    &containerd__task__v2__exec_process_request__descriptor,
    &containerd__task__v2__resize_pty_request__descriptor,
    &containerd__task__v2__close_iorequest__descriptor,
    &containerd__task__v2__update_task_request__descriptor,
    &containerd__task__v2__wait_request__descriptor,
    &containerd__task__v2__wait_response__descriptor,
    &containerd__task__v2__shutdown_request__descriptor,
};

static void
try_each(const uint8_t *bytes, size_t len)
{
	ProtobufCMessage *msg;
	size_t i, again_len;
	void *again;

	for (i = 0; i < sizeof requests / sizeof requests[0]; i++) {
		msg = protobuf_c_message_unpack(requests[i], NULL, len, bytes);
		if (msg == NULL)
			continue;
		wire_pack(msg, &again, &again_len);
		free(again);
		if (requests[i] == &containerd__task__v2__wait_response__descriptor)
			(void)wire_timestamp_ns(
			    ((Containerd__Task__V2__WaitResponse *)(void *)msg)
				->exited_at);
		protobuf_c_message_free_unpacked(msg, NULL);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Google__Protobuf__Any *any;
	Ttrpc__Request *req;

	req = ttrpc__request__unpack(NULL, size, data);
	if (req != NULL) {
		try_each(req->payload.data, req->payload.len);
		ttrpc__request__free_unpacked(req, NULL);
	}
	try_each(data, size);
	any = google__protobuf__any__unpack(NULL, size, data);
	if (any != NULL) {
		(void)wire_type_name(any->type_url);
		google__protobuf__any__free_unpacked(any, NULL);
	}
	return 0;
}
