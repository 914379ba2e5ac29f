/*
 * What a container of the crash tests does: a list of steps in one argument,
 *
 *	PROG=#tag;@20;!create;mark;out 5000 7;exit 3
 *
 * separated by semicolons. #tag, @ and ! are read by the fake runtime; the
 * rest by the program:
 *
 *	mark		write "!"
 *	out N SEED	write N bytes of the stream SEED (stream.h) to stdout
 *	err N SEED	the same to stderr
 *	raw		make the terminal on stdin raw
 *	cat		copy stdin to stdout until end of file
 *	catn N		copy N bytes
 *	ms N		wait
 *	sig		for each SIGUSR1 write "U", for each SIGRTMIN+1 "R"; SIGTERM
 *			ends with 3
 *	hang		wait for ever
 *	usr1		write "!" and wait for SIGUSR1
 *	eat		a child takes memory until it is killed for it
 *	fork		leave a child that waits for ever, with closed stdio
 *	exit N
 */
#ifndef PODSHIM_CRASH_PROGRAM_H
#define PODSHIM_CRASH_PROGRAM_H

/* Does not return. */
void program_run(const char *prog) __attribute__((noreturn));

#endif
