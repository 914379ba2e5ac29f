/*
 * Watching a container's output beside its log: podshim-logger listens on a
 * SOCK_SEQPACKET socket, podshimctl connects (run, attach).
 *
 * The client's first packet is one byte of enum attach_hello; the answer is
 * ATTACH_READY. From then on each packet is one byte of enum attach_kind and
 * data. The socket's end is the output's end.
 */
#ifndef PODSHIM_IPC_ATTACH_H
#define PODSHIM_IPC_ATTACH_H

enum attach_hello {
	/* what I cannot take at once I miss, and am told how much */
	ATTACH_WATCH = 'w',
	/* wait for me: a container run in the foreground is as fast as its reader */
	ATTACH_HOLD = 'h',
};

enum attach_kind {
	ATTACH_READY = 0,
	ATTACH_STDOUT = 1, /* data: bytes as they came; of a terminal all are here */
	ATTACH_STDERR = 2,
	ATTACH_MISSED = 3, /* data: how many bytes, in decimal */
};

#define ATTACH_PACKET_MAX (1 + 64 * 1024)

#endif
