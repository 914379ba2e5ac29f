/*
 * Why a pod or a container is not finished: the facts of look.h, as findings.
 */
#ifndef PODSHIM_CLIENT_WHY_H
#define PODSHIM_CLIENT_WHY_H

#include "client/finding.h"
#include "client/look.h"

/* Keeper, worker, requests in hand, runtime commands, events. */
void why_pod(const struct look *l, struct findings *out);
/* Its processes, its stdio, its root file system. */
void why_container(
    const struct look *l, const struct container_info *c, struct findings *out);

#endif
