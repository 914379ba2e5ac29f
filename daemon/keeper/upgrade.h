/*
 * A new build of the worker is asked first whether it can do the work
 * (`podshim-worker --check <pod's directory>`, read-only); only then does the
 * old one have to leave.
 */
#ifndef PODSHIM_KEEPER_UPGRADE_H
#define PODSHIM_KEEPER_UPGRADE_H

#include "keeper/life.h"

struct err;
struct pod;
struct upgrade;

struct upgrade *upgrade_new(struct pod *pod);
void upgrade_free(struct upgrade *up);

/* As life_replace(). Takes exe_fd on success. */
int upgrade_begin(
    struct pod *pod, int exe_fd, life_done_cb done, void *arg, struct err *err);
void upgrade_forget_asker(struct pod *pod, void *arg);

#endif
