/*
 * storm SOCKET ID COUNT PARALLEL: COUNT execs of `true` in task ID, PARALLEL
 * at a time, each on a connection of its own: Exec, Start, Wait, State, Delete.
 * Every process is dead before or about when Start is answered: each answer
 * must be there and true all the same. TAP is left to the caller: prints one
 * line per mistake and exits 1 if there was one.
 */
#include "tests/lib/task.h"

#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const true_argv[] = {"true", NULL};

#define CHECK(cond, what)                                                                \
	do {                                                                             \
		if (!(cond)) {                                                           \
			printf("%s: %s: rc %d '%s'\n", exec_id, what, rc, task_error()); \
			return 1;                                                        \
		}                                                                        \
	} while (0)

static int
one(struct ttrpc *t, const char *id, const char *exec_id)
{
	struct task_exit waited = {0}, deleted = {0};
	struct task_state st;
	uint32_t pid = 0, stream;
	int rc;

	rc = task_exec(t, id, exec_id, NULL, true_argv);
	CHECK(rc == 0, "Exec");
	/* asked before Start: it must be answered all the same */
	rc = task_wait_send(t, id, exec_id, &stream);
	CHECK(rc == 0, "send Wait");
	rc = task_start(t, id, exec_id, &pid);
	CHECK(rc == 0 && pid > 1, "Start");
	rc = task_wait_recv(t, stream, task_timeout_ms(), &waited);
	CHECK(rc == 0 && waited.status == 0 && waited.at_ns > 0, "Wait");
	rc = task_state(t, id, exec_id, &st);
	CHECK(rc == 0 && st.status == TASK_STOPPED && st.pid == pid, "State");
	CHECK(st.exited_at_ns == waited.at_ns, "State and Wait tell two times");
	rc = task_delete(t, id, exec_id, &deleted);
	CHECK(rc == 0 && deleted.status == 0 && deleted.pid == pid, "Delete");
	CHECK(deleted.at_ns == waited.at_ns, "Delete and Wait tell two times");
	rc = task_state(t, id, exec_id, &st);
	CHECK(rc == 5, "State after Delete is not NotFound");
	return 0;
}

static int
lane(const char *sock, const char *id, int from, int step, int count)
{
	struct err err = ERR_INIT;
	struct ttrpc *t = ttrpc_connect(sock, &err);
	char exec_id[32];
	int bad = 0;

	if (!t) {
		printf("%s\n", err.text);
		return 1;
	}
	for (int i = from; i < count; i += step) {
		snprintf(exec_id, sizeof exec_id, "s%d", i);
		bad |= one(t, id, exec_id);
	}
	ttrpc_free(t);
	return bad;
}

int
main(int argc, char **argv)
{
	int bad = 0, status, count, parallel;

	if (argc != 5) {
		fprintf(stderr, "usage: storm SOCKET ID COUNT PARALLEL\n");
		return 2;
	}
	count = (int)strtol(argv[3], NULL, 10);
	parallel = (int)strtol(argv[4], NULL, 10);
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 0; i < parallel; i++) {
		pid_t pid = fork();

		if (pid == 0)
			exit(lane(argv[1], argv[2], i, parallel, count));
		bad |= pid == -1;
	}
	while (wait(&status) > 0)
		bad |= status != 0;
	return bad ? 1 : 0;
}
