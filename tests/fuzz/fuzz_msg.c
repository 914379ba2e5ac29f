/*
 * Every decoder of the keeper-worker channel. The first byte chooses the
 * message, the next 24 are the header's numbers, the rest is the payload.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "ipc/msg.h"

static void
read_fields(const struct msg_head *head, const void *payload)
{
	size_t n;
	int f;

	for (f = 0; f <= 15; f++) {
		const uint8_t *p = msg_get(head, payload, (enum msg_field)f, &n);
		const char *s = msg_get_str(head, payload, (enum msg_field)f);

		if (p != NULL && n > 0)
			(void)(*(const volatile uint8_t *)p +
			    *(const volatile uint8_t *)(p + n - 1));
		if (s != NULL)
			(void)strlen(s);
	}
}

static void
decode(const struct msg_head *head, const void *payload, unsigned which)
{
	struct err err = ERR_INIT;
	struct msg_hello hello;
	struct msg_welcome welcome;
	struct msg_spawn spawn;
	struct msg_step step;
	struct msg_exit ex;
	struct msg_request request;

	switch (which % 7) {
	case 0: (void)msg_decode_hello(head, payload, &hello, &err); break;
	case 1: (void)msg_decode_welcome(head, payload, &welcome, &err); break;
	case 2:
		memset(&spawn, 0, sizeof spawn);
		if (msg_decode_spawn(head, payload, &spawn, &err) == 0) {
			size_t i;

			for (i = 0; spawn.argv[i] != NULL; i++)
				(void)strlen(spawn.argv[i]);
			for (i = 0; spawn.envp != NULL && spawn.envp[i] != NULL; i++)
				(void)strlen(spawn.envp[i]);
			free((void *)(uintptr_t)spawn.argv);
			free((void *)(uintptr_t)spawn.envp);
		}
		break;
	case 3:
		if (msg_decode_step(head, payload, &step, &err) == 0)
			(void)strlen(step.text);
		break;
	case 4: (void)msg_decode_exit(head, payload, &ex, &err); break;
	case 5: (void)msg_decode_request(head, payload, &request, &err); break;
	case 6: read_fields(head, payload); break;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint16_t types[7] = {MSG_HELLO, MSG_WELCOME, MSG_SPAWN, MSG_STEP,
	    MSG_EXIT, MSG_REQUEST, MSG_FD_PUT};
	AUTO_FREE char *payload = NULL;
	struct msg_head head;
	unsigned which;

	if (size < 25)
		return 0;
	memset(&head, 0, sizeof head);
	which = data[0];
	head.type = types[which % 7];
	memcpy(&head.key, data + 1, 8);
	memcpy(&head.a, data + 9, 8);
	memcpy(&head.b, data + 17, 8);
	head.len = (uint32_t)(size - 25);
	payload = mem_zalloc(size - 25 + 1); /* the NUL that the channel puts there */
	memcpy(payload, data + 25, size - 25);
	decode(&head, payload, which);
	return 0;
}
