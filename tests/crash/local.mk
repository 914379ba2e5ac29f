# The crash harness (`./dev crash`, run): made by `make crash-harness`, for
# it is of use only with an installed tree that has crash points.
crash_programs = %D%/crash %D%/fakeruntime
EXTRA_PROGRAMS = $(crash_programs)
CLEANFILES += $(crash_programs)

tests_crash_crash_SOURCES = \
	%D%/co.c %D%/co.h \
	%D%/crash.c %D%/crash.h \
	%D%/events.c %D%/events.h \
	%D%/io.c \
	%D%/life.c %D%/life.h \
	%D%/pod.c %D%/pod.h \
	%D%/points.c %D%/points.h \
	%D%/proc.c \
	%D%/rare.c \
	%D%/rpc.c %D%/rpc.h \
	%D%/stream.h \
	%D%/tally.c \
	%D%/walk.c
tests_crash_crash_LDADD = libtests.a libipc.a libframe.a libbase.a $(EVENT_LIBS) $(LIBMD_LIBS)

# static: it also runs as the only program in a container
tests_crash_fakeruntime_SOURCES = %D%/fakeruntime.c %D%/program.c %D%/program.h %D%/stream.h
tests_crash_fakeruntime_LDFLAGS = $(AM_LDFLAGS) $(PODSHIM_PROG_LDFLAGS)

crash-harness: $(crash_programs)
.PHONY: crash-harness
EXTRA_DIST += %D%/run $(srcdir)/%D%/10-hang.sh $(srcdir)/%D%/11-poison.sh \
	$(srcdir)/%D%/12-poison-undo.sh
