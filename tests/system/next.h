/*
 * Included in front of everything, behind config.h, in the programs next-worker
 * and next-keeper: this release with its version and protocol raised on purpose.
 */
#ifndef PODSHIM_TESTS_NEXT_H
#define PODSHIM_TESTS_NEXT_H

#include "ipc/msg.h"

#undef PACKAGE_VERSION
#define PACKAGE_VERSION "99.1.0"
#undef IPC_PROTO_MAX
#define IPC_PROTO_MAX 2u

#endif
