/*
 * The keeper's one object, and what its files say to each other. Each file
 * owns one member and nobody else looks inside it; what they share is here.
 *
 *   conn.c, request.c      containerd's side: frames, unanswered requests
 *   reaper.c, spawn.c,     children: fork and exec, reaping, steps by key,
 *   step.c, adopt.c,       the processes they left to us, their exits and
 *   console.c              terminals
 *   fdstore.c              descriptors by name
 *   life.c, blame.c,       the worker: start, death, who did it, upgrade,
 *   upgrade.c, handle.c    what it asks for
 *   end.c, admin_server.c  pins and the keeper's own end; questions from people
 *   dump.c, hold.c         what people debug with
 */
#ifndef PODSHIM_KEEPER_POD_H
#define PODSHIM_KEEPER_POD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "base/clock.h"
#include "keeper/step.h"

struct admin_server;
struct blame;
struct conns;
struct dump;
struct end;
struct err;
struct fdstore;
struct life;
struct loop;
struct reaper;
struct requests;
struct upgrade;

/* The command line (main.c); borrowed for good. */
struct pod_args {
	const char *ns;
	const char *id; /* of the group */
	const char *address;
	const char *publish_binary;
	const char *socket_path;
	const char *dir;
	const char *lock_path;
	const char *log_path;
	const char *pin; /* NULL: none */
	bool debug;
	int listen_fd;
	int admin_fd;
};

struct pod {
	const struct pod_args *args;
	struct loop *loop;
	int dir_fd;
	char dir_alias[64]; /* /proc/<us>/fd/<dir_fd> */
	uint8_t inst[16];
	boot_us_t born;
	struct rlimit old_nofile; /* what children get */
	struct conns *conns;
	struct requests *requests;
	struct reaper *reaper;
	struct steps_env steps_env;
	struct steps *steps;
	struct fdstore *fds;
	struct blame *blame;
	struct life *life;
	struct upgrade *upgrade;
	struct dump *dump;
	struct end *end;
	struct admin_server *admin;
	char *mark; /* NULL until the worker says something */
};

/* Build all of it. Takes the two listening descriptors. 0 or -errno. */
int pod_init(struct pod *pod, struct loop *loop, const struct pod_args *args,
    const struct rlimit *old_nofile, struct err *err);
void pod_fini(struct pod *pod);
/* Something ended: perhaps the keeper may, too. Cheap. */
void pod_changed(struct pod *pod);

#endif
