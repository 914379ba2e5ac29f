/*
 * What the worker asks for: one function per message (ipc/msg.h says what
 * each carries). Also among the last words of a dead one.
 */
#ifndef PODSHIM_KEEPER_HANDLE_H
#define PODSHIM_KEEPER_HANDLE_H

struct msg_exit;
struct msg_step;
struct packet;
struct pod;

void handle_packet(struct pod *pod, struct packet *packet);
/* All that a new worker must know, ending in SYNC. */
void handle_snapshot(struct pod *pod);
/* News for the worker, from step.c. */
void handle_tell_step(struct pod *pod, const struct msg_step *step);
void handle_tell_exit(struct pod *pod, const struct msg_exit *exit);

#endif
