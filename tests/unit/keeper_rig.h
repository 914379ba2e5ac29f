/*
 * A real keeper in a temporary directory, a client, and a worker whose part
 * the test plays. All waits have a deadline; a failure fails the test.
 */
#ifndef PODSHIM_TESTS_KEEPER_RIG_H
#define PODSHIM_TESTS_KEEPER_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "ipc/blackbox.h"
#include "ipc/msg.h"

#define RIG_WAIT_MS 60000

struct rig {
	char dir[64]; /* everything below */
	char pod_dir[96];
	char socket_path[96];
	char lock_path[96];
	char control_path[96];
	char libexec[96];
	int pod_dir_fd;
	int control_fd;
	pid_t keeper;
	/* the worker that lives */
	pid_t worker;
	int ctl; /* to tell it how to die */
	int ch;	 /* its end of the channel */
	struct blackbox *box;
	struct msg_welcome welcome;
};

/* One packet from the keeper; static buffer, valid until the next. */
struct rig_packet {
	struct msg_head head;
	const void *payload;
	int fds[MSG_FDS_MAX];
	size_t n_fds;
};

struct rig *rig_new(const char *pin);
/* Kills what is left, removes everything. */
void rig_free(struct rig *rig);
/* cmocka fixtures: one without a pin. */
int rig_setup(void **state);
/* The same with keeper_hasty.h's short times, from then on for all; or a worker's, too. */
int rig_setup_hasty(void **state);
int rig_setup_hasty_boot(void **state);
int rig_teardown(void **state);
/* One whose log can be read; how often it says that. */
int rig_setup_logged(void **state);
int rig_teardown_logged(void **state);
unsigned rig_log_says(const char *what);
void rig_wait_keeper_gone(struct rig *rig);

/* Wait for the next worker to start, and take its place. */
void rig_take_worker(struct rig *rig);
/* HELLO, WELCOME; the snapshot then waits in the channel. */
void rig_hello(struct rig *rig);
/* READY, GO. */
void rig_ready(struct rig *rig);
/* All of these, skipping the snapshot. */
void rig_boot(struct rig *rig);
/* SIGKILL, or as keeper_worker.c says for a command; closes our ends. */
void rig_kill_worker(struct rig *rig);
void rig_end_worker(struct rig *rig, const char *command);

void rig_send(struct rig *rig, const struct msg_head *head, const void *payload,
    const int *fds, size_t n_fds);
void rig_send_name(
    struct rig *rig, enum msg_type type, const char *name, uint64_t b, int fd);
/* The next packet. */
void rig_recv(struct rig *rig, struct rig_packet *p);
/* The next of that type; others are skipped. */
void rig_recv_type(struct rig *rig, enum msg_type type, struct rig_packet *p);
/* Nothing comes for that long. */
void rig_recv_nothing(struct rig *rig, int ms);

void rig_answer(struct rig *rig, uint64_t n, const char *text);
/* sh -c script, in the pod's directory. */
void rig_spawn_sh(struct rig *rig, uint64_t key, unsigned flags, const char *pid_file,
    const char *script);
void rig_recv_step(struct rig *rig, struct msg_step *step);
void rig_recv_exit(struct rig *rig, struct msg_exit *ex);
void rig_expect_request(struct rig *rig, uint64_t n, unsigned flags);
/* QUIESCE, upon which the worker leaves. */
void rig_expect_quiesce(struct rig *rig, enum quiesce_why why);
void rig_ack(struct rig *rig, uint64_t key, enum ack_what what);
/* How many lines a file in the pod's directory has; 0 if it is not there. */
unsigned rig_lines(struct rig *rig, const char *file);
/* Until it has so many. */
void rig_wait_lines(struct rig *rig, const char *file, unsigned n);

/* The client's side. */
int rig_connect(struct rig *rig);
void client_frame(int fd, uint32_t stream, uint8_t type, const void *p, size_t len);
void client_request(int fd, uint32_t stream, const char *text);
/* The next response, NUL behind it; static buffer. Returns its length. */
size_t client_response(int fd, uint32_t *stream, const char **text);
/* The next response is this status. */
void client_expect_status(int fd, uint32_t stream, int code);
void client_expect_text(int fd, uint32_t stream, const char *text);
void client_expect_nothing(int fd, int ms);
void client_expect_closed(int fd);

/* One value of STATUS, as a number. */
long rig_status(struct rig *rig, const char *key);
/* Until it is n; or at least n. */
void rig_wait_status(struct rig *rig, const char *key, long n);
void rig_wait_status_from(struct rig *rig, const char *key, long n);

#endif
