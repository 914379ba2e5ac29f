/*
 * Workers that are no good, for upgrades that must fail. What it does is the
 * name of its file: refuse-check, hang-check, exit, hang, or proto (it says
 * HELLO in protocols that no keeper knows).
 */
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ipc/channel.h"
#include "ipc/msg.h"

static void
hello(void)
{
	const struct msg_hello m = {.proto_min = 900, .proto_max = 901, .build = "odd"};
	_Alignas(8) char buf[512];
	struct msg_head head;

	(void)msg_encode_hello(&head, buf, sizeof buf, &m);
	(void)packet_send(3, &head, buf, NULL, 0);
}

int
main(int argc, char **argv)
{
	bool check = argc > 1 && strcmp(argv[1], "--check") == 0;
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	const char *name;

	if (n < 0)
		return 9;
	exe[n] = '\0';
	name = strrchr(exe, '/') + 1;
	if (check && strcmp(name, "refuse-check") == 0) {
		(void)fprintf(stderr, "this pod is not to my taste\nand more\n");
		return 1;
	}
	if (check && strcmp(name, "hang-check") != 0)
		return 0;
	if (strcmp(name, "exit") == 0)
		return 3;
	if (strcmp(name, "proto") == 0)
		hello();
	for (;;)
		(void)pause();
}
