/*
 * The bodies of the events we publish (contract.md 6.2), into the outbox and
 * so into the transaction that is open. Nothing is sent here.
 */
#ifndef PODSHIM_WORKER_EVENTS_H
#define PODSHIM_WORKER_EVENTS_H

struct container;
struct process;
/* its generated header is large */
struct Containerd__Task__V2__CreateTaskRequest;

void events_create(
    struct container *c, const struct Containerd__Task__V2__CreateTaskRequest *req);
/* TaskStart for init, TaskExecStarted for an exec. */
void events_start(struct process *p);
void events_exec_added(struct process *p);
void events_exit(struct process *p);
/* Init only. */
void events_delete(struct process *init);
void events_paused(struct container *c);
void events_resumed(struct container *c);
void events_checkpointed(struct container *c, const char *path);
void events_oom(struct container *c);

#endif
