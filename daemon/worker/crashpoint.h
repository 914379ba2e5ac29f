/*
 * Named points at which a test may make the worker die (recovery.md part 3).
 * Compiled in with --enable-crash-points only.
 *
 * Armed by a file `crashpoint` in the pod's directory, looked up at each point:
 * "name", "name:3" (the third time), "name:1:abrt" (abort instead of
 * SIGKILL), "name:1:hang" (its loop stands still). It is taken away before the worker
 * dies, so it works once; "name:always:abrt" stays, and kills each worker that comes by.
 */
#ifndef PODSHIM_WORKER_CRASHPOINT_H
#define PODSHIM_WORKER_CRASHPOINT_H

#ifdef ENABLE_CRASH_POINTS
void crashpoint_init(int dirfd);
void crashpoint_hit(const char *name);
#define CRASH_POINT(name) crashpoint_hit(name)
#else
#define CRASH_POINT(name) ((void)0)
#endif

#endif
