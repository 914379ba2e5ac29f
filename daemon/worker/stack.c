/*
 * A look at another process that does not touch it: no ptrace, so whoever has
 * stopped it keeps it as it is. The kernel tells its own stack, and the stack
 * pointer of a process that does not run; the words above that which
 * stand behind a call instruction are return addresses. Some may be left over
 * from calls that have returned: this is a trail, not a backtrace.
 */
#include "worker/stack.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#define STACK_WORDS  4096u
#define STACK_FRAMES 64u
#define PROC_MAX     (1u << 20)

struct range {
	uint64_t start, end;
};

struct target {
	pid_t pid;
	struct range text, stack;
	uint64_t base; /* where its executable begins */
	uint64_t sp, pc;
};

/* --- /proc ---------------------------------------------------------------------- */

static char *
stack_file(pid_t pid, const char *name)
{
	AUTO_FREE char *path = mem_printf("/proc/%ld/%s", (long)pid, name);
	struct err err = ERR_INIT;
	char *text = NULL;
	size_t len;

	if (file_read(AT_FDCWD, path, PROC_MAX, &text, &len, &err) < 0) {
		(void)printf("%s: %s\n", name, err.text);
		return NULL;
	}
	return text;
}

/* Each line of it, with a word in front. */
static void
stack_say(pid_t pid, const char *name, const char *word, const char *only)
{
	AUTO_FREE char *text = stack_file(pid, name);
	char *line, *save = NULL;

	for (line = text == NULL ? NULL : strtok_r(text, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save)) {
		if (only == NULL || strncmp(line, only, strlen(only)) == 0)
			(void)printf("%s: %s\n", word, line);
	}
}

/* Where its executable, that code, and its stack are mapped. */
static bool
stack_maps(struct target *t)
{
	AUTO_FREE char *text = stack_file(t->pid, "maps");
	AUTO_FREE char *link = mem_printf("/proc/%ld/exe", (long)t->pid);
	char *line, *save = NULL, exe[4096], perms[8];
	ssize_t n = readlink(link, exe, sizeof exe - 1);
	uint64_t start, end, offset;
	int name;

	if (text == NULL || n <= 0)
		return false;
	exe[n] = '\0';
	for (line = strtok_r(text, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save)) {
		name = 0;
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %" SCNx64 " %*s %*s %n",
			&start, &end, perms, &offset, &name) < 4 ||
		    name == 0)
			continue;
		if (strcmp(line + name, "[stack]") == 0)
			t->stack = (struct range){start, end};
		if (strcmp(line + name, exe) != 0)
			continue;
		if (offset == 0)
			t->base = start;
		if (perms[2] == 'x')
			t->text = (struct range){start, end};
	}
	return t->text.end != 0 && t->stack.end != 0;
}

/* "-1 SP PC" of one that is stopped, "NUMBER ARGUMENTS SP PC" in a call, "running". */
static bool
stack_registers(struct target *t)
{
	AUTO_FREE char *text = stack_file(t->pid, "syscall");
	char *pc = text == NULL ? NULL : strrchr(text, ' '), *sp;

	if (pc == NULL)
		return false;
	*pc = '\0';
	sp = strrchr(text, ' ');
	if (sp == NULL)
		return false;
	t->pc = strtoull(pc + 1, NULL, 16);
	t->sp = strtoull(sp + 1, NULL, 16);
	return t->sp != 0;
}

/* --- the trail -------------------------------------------------------------------- */

static ssize_t
stack_peek(const struct target *t, uint64_t address, void *buf, size_t len)
{
	struct iovec mine = {.iov_base = buf, .iov_len = len};
	struct iovec its = {.iov_base = (void *)(uintptr_t)address, .iov_len = len};

	return process_vm_readv(t->pid, &mine, 1, &its, 1, 0);
}

/* Does a call instruction end at that address? */
static bool
stack_behind_call(const struct target *t, uint64_t address)
{
	unsigned char b[8];

	if (address < t->text.start + sizeof b || address >= t->text.end ||
	    stack_peek(t, address - sizeof b, b, sizeof b) != (ssize_t)sizeof b)
		return false;
#if defined(__x86_64__) || defined(__i386__)
	/* call rel32; call through a register or memory */
	return b[3] == 0xe8 || (b[6] == 0xff && (b[7] & 0x38) == 0x10) ||
	    (b[5] == 0xff && (b[6] & 0x38) == 0x10) ||
	    (b[2] == 0xff && (b[3] & 0x38) == 0x10);
#elif defined(__aarch64__)
	{
		uint32_t insn;

		memcpy(&insn, b + 4, sizeof insn);
		return (insn & 0xfc000000u) == 0x94000000u || /* bl */
		    (insn & 0xfffffc1fu) == 0xd63f0000u;      /* blr */
	}
#else
	return true;
#endif
}

static void
stack_frame(const struct target *t, uint64_t address)
{
	(void)printf(
	    "frame: %#" PRIx64 " (base + %#" PRIx64 ")\n", address, address - t->base);
}

static void
stack_trail(const struct target *t)
{
	AUTO_FREE uintptr_t *words = mem_zalloc(STACK_WORDS * sizeof *words);
	size_t len = STACK_WORDS * sizeof *words, i;
	unsigned found = 0;
	ssize_t n;

	if (t->pc >= t->text.start && t->pc < t->text.end)
		stack_frame(t, t->pc);
	if (t->sp < t->stack.start || t->sp >= t->stack.end) {
		(void)printf("its stack pointer is not in its stack\n");
		return;
	}
	if (len > t->stack.end - t->sp)
		len = t->stack.end - t->sp;
	n = stack_peek(t, t->sp, words, len);
	for (i = 0; n > 0 && i < (size_t)n / sizeof *words && found < STACK_FRAMES; i++) {
		if (stack_behind_call(t, words[i])) {
			stack_frame(t, words[i]);
			found++;
		}
	}
}

int
stack_main(const char *pid)
{
	struct target t = {.pid = (pid_t)strtol(pid, NULL, 10)};

	if (t.pid <= 0)
		return 2;
	(void)setvbuf(stdout, NULL, _IOLBF, 0); /* we may be killed for being slow */
	stack_say(t.pid, "status", "process", "State:");
	stack_say(t.pid, "status", "process", "TracerPid:");
	stack_say(t.pid, "wchan", "wchan", NULL);
	stack_say(t.pid, "stack", "kernel", NULL);
	if (!stack_maps(&t) || !stack_registers(&t)) {
		(void)printf("it runs: no trail\n");
		return 0;
	}
	(void)printf(
	    "# return addresses on its stack; some may be of calls that are over\n");
	stack_trail(&t);
	return 0;
}
