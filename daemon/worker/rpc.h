/*
 * From a ttrpc request to an operation.
 */
#ifndef PODSHIM_WORKER_RPC_H
#define PODSHIM_WORKER_RPC_H

#include "ipc/msg.h"

struct pod;

/*
 * Decode, find the method, make the operation and submit it; or answer at once:
 * from the stored answer if the request was finished by an earlier worker,
 * Unimplemented, InvalidArgument.
 */
void rpc_request(struct pod *pod, const struct msg_request *req);

#endif
