/*
 * flood SOCKET ID: a client that asks and asks and never reads. It must be held
 * back (its socket fills up), while another connection is answered as ever.
 * Prints TAP without a plan.
 */
#include "tests/lib/task.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define BURST_MAX (64u * 1024 * 1024)
#define QUIET_MS  1500

/* Send the same bytes again and again until the peer takes no more for a while. */
static size_t
push(int fd, const struct pb *frame)
{
	struct pollfd pfd = {.fd = fd, .events = POLLOUT};
	size_t sent = 0, at = 0;

	while (sent < BURST_MAX) {
		ssize_t n = send(
		    fd, frame->data + at, frame->len - at, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0) {
			sent += (size_t)n;
			at = (at + (size_t)n) % frame->len;
			continue;
		}
		if (errno != EAGAIN || poll(&pfd, 1, QUIET_MS) <= 0)
			break;
	}
	return sent;
}

/* 64 State requests with rising ids; the second round's are refused, which is an answer too. */
static void
make_frames(struct pb *out, const char *id)
{
	for (uint32_t i = 0; i < 64; i++) {
		struct pb m = PB_INIT, req = PB_INIT;
		uint8_t head[10] = {0};

		pb_str(&m, 1, id);
		ttrpc_encode_request(&req, TASK_V2, "State", m.data, m.len, 0);
		head[3] = (uint8_t)req.len;
		head[7] = (uint8_t)(2 * i + 1);
		head[8] = 1;
		pb_raw(out, head, sizeof head);
		pb_raw(out, req.data, req.len);
		pb_fini(&m);
		pb_fini(&req);
	}
}

int
main(int argc, char **argv)
{
	struct err err = ERR_INIT;
	struct ttrpc *rude, *polite;
	struct pb frames = PB_INIT;
	struct task_state st;
	boot_us_t worst = 0;
	size_t sent;
	int rc = 0, bad = 0;

	if (argc != 3)
		return 2;
	rude = ttrpc_connect(argv[1], &err);
	polite = ttrpc_connect(argv[1], &err);
	if (!rude || !polite) {
		printf("Bail out! %s\n", err.text);
		return 1;
	}
	make_frames(&frames, argv[2]);
	sent = push(ttrpc_fd(rude), &frames);
	bad |= sent >= BURST_MAX;
	printf("%sok 1 - a client that never reads is not read for ever (%zu KiB)\n",
	    sent >= BURST_MAX ? "not " : "", sent / 1024);
	for (int i = 0; i < 100 && rc == 0; i++) {
		boot_us_t t0 = clock_boot_us(), t;

		rc = task_state(polite, argv[2], NULL, &st);
		t = clock_boot_us() - t0;
		worst = t > worst ? t : worst;
	}
	bad |= rc != 0 || worst > 10 * US_PER_S;
	printf("%sok 2 - others are answered meanwhile (at worst after %llu us)\n",
	    rc != 0 || worst > 10 * US_PER_S ? "not " : "", (unsigned long long)worst);
	ttrpc_free(rude);
	rc = task_state(polite, argv[2], NULL, &st);
	bad |= rc != 0;
	printf("%sok 3 - and after it has gone\n", rc != 0 ? "not " : "");
	ttrpc_free(polite);
	pb_fini(&frames);
	return bad;
}
