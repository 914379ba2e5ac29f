/*
 * The crash harness: what its parts share. It plays containerd to many pods
 * at once, kills their workers, and checks every answer, status, time, event
 * and byte. See run for how it is built and started.
 */
#ifndef PODSHIM_CRASH_H
#define PODSHIM_CRASH_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;

/* What can go wrong, in the order of the table. */
enum fault {
	FAULT_DEATH,	  /* a container died that nobody killed */
	FAULT_CLOSED,	  /* a connection was closed under us */
	FAULT_SILENT,	  /* a request was never answered */
	FAULT_DOUBLE,	  /* answered twice, or something nobody asked */
	FAULT_ANSWER,	  /* wrong answer */
	FAULT_STATUS,	  /* wrong exit status or time */
	FAULT_EVENT_LOST, /* events missing, or wrong in content */
	FAULT_EVENT_ORDER,
	FAULT_BYTES,  /* output lost, doubled or torn */
	FAULT_EFFECT, /* a runtime command or a signal done twice, or not at all */
	FAULT_LEAK,   /* descriptor, process, directory, mount left */
	FAULT_SLOW,   /* more than the promised time without an answer */
	FAULT_OTHER,
	FAULT_N
};

struct options {
	const char *prefix;  /* installed tree under test */
	const char *helpers; /* where fakeruntime and crash-publish are */
	const char *shim;    /* shim's executable, if not of prefix */
	const char *points;  /* file with the names of the crash points */
	const char *only_point;
	unsigned long rounds;
	unsigned long seed;
	unsigned pods;	       /* at a time */
	unsigned lives;	       /* containers at a time per pod */
	unsigned runc_percent; /* of the pods that run the real thing */
	unsigned slow; /* PODSHIM_TEST_SLOW: a factor for what is measured in time; 1 */
	bool stop;     /* at the first fault, leave all as it is */
	bool verbose;
	bool no_kill; /* the load alone */
	bool basic;   /* without Stats, Pause, Resume, Update */
	bool foreign; /* another shim, to try the harness itself */
};

struct tally {
	unsigned long kills, kills_boot, kills_point;
	unsigned long pods, containers, execs, requests, events, repeated_events;
	uint64_t bytes;
	unsigned long faults[FAULT_N];
	uint32_t *recovery_us; /* from kill to the next answer */
	size_t n_recovery, cap_recovery;
};

extern struct options opt;
/* Ctrl-C: begin no more pods. A second one ends the harness as it stands, and leaves all that it made. */
extern volatile sig_atomic_t interrupted;
extern struct tally tally;
extern struct event_base *base;
extern char *tmp_dir; /* everything of ours is below */
extern char *namespace;

uint64_t now_us(void);
/* Reproducible as far as scheduling allows. Below n. */
uint32_t rnd(uint32_t n);
bool chance(unsigned percent);

/* Count it and say it. With --stop it does not return. */
void fault(enum fault f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void note_recovery(uint64_t us);
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void trace(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
unsigned long faults_total(void);
void tally_print(double seconds);
const char *fault_name(enum fault f);

#endif
