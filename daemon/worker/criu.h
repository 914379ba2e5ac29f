/*
 * What checkpoints and restores share: criu's work directory, in the pod's under
 * the step's key, and what its log says when it fails.
 */
#ifndef PODSHIM_WORKER_CRIU_H
#define PODSHIM_WORKER_CRIU_H

#include <stdint.h>

struct container;
struct pod;

#define CRIU_DIR_KIND "criu" /* criu.<key in hex> */

/* Its path, malloc'ed; made if it is not there (a failure is criu's to tell). */
char *criu_work_dir(struct pod *pod, uint64_t key);
/*
 * error, and the end of the log ("dump.log", "restore.log") in work_dir;
 * malloc'ed. The log's last part is copied into the bundle as criu-<log>, whose
 * path is told.
 */
char *criu_error(
    const struct container *c, const char *work_dir, const char *log, const char *error);
/* Take the directory away. */
void criu_end(struct pod *pod, uint64_t key);

#endif
