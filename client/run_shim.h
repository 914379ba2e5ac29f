/*
 * The shim's launcher, called as containerd calls it, but by podshimctl.
 *
 * containerd's part in what follows is played by podshimctl, too: the shim is
 * given it as its "publish binary", so every event of these containers goes to
 * `podshimctl --address ... publish ...` (run_event.c), with all that the outbox
 * promises: in order, kept, tried again.
 */
#ifndef PODSHIM_CLIENT_RUN_SHIM_H
#define PODSHIM_CLIENT_RUN_SHIM_H

struct err;

#define RUN_ADDRESS "podshimctl" /* in place of containerd's socket */

/* A program that was installed beside this one; malloc'ed. -ENOENT. */
int run_sibling(const char *name, char **out, struct err *err);

/*
 * Run one, in that directory, without stdin. *text: what it printed, malloc'ed. If it
 * fails, the first line of its complaint is the error.
 */
int run_program(const char *name, const char *dir, char *const *argv, char *const *env,
    char **text, struct err *err);

/* `start` in that bundle. *address: as the shim answers it, malloc'ed. */
int run_shim_start(const char *state_root, const char *ns, const char *id,
    const char *bundle, char **address, struct err *err);
/*
 * `delete`: what is left of the container goes, whatever state the pod is in. -ECHILD: not
 * all of it did.
 */
int run_shim_delete(const char *state_root, const char *ns, const char *id,
    const char *bundle, struct err *err);

#endif
