# The benchmark driver (`./dev bench`, run) and the writer that runs in its containers.
bench_programs = %D%/bench %D%/burst
EXTRA_PROGRAMS += $(bench_programs)
CLEANFILES += $(bench_programs)

tests_bench_bench_SOURCES = \
	%D%/bench.c %D%/bench.h \
	%D%/fig_conmon.c \
	%D%/fig_events.c \
	%D%/fig_io.c \
	%D%/fig_life.c \
	%D%/fig_memory.c \
	%D%/fig_rpc.c \
	%D%/proc.c \
	%D%/report.c \
	%D%/shim.c
tests_bench_bench_LDADD = $(libtests_ldadd) -lm

# static: it is the only program of its container
tests_bench_burst_SOURCES = %D%/burst.c
tests_bench_burst_LDFLAGS = $(AM_LDFLAGS) $(PODSHIM_PROG_LDFLAGS)

bench-drivers: $(bench_programs)
# 39-footprint runs the driver, too
system-drivers: $(bench_programs)
.PHONY: bench-drivers
EXTRA_DIST += %D%/run
