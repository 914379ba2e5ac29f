# The fault walk (`./dev fault`, run): made by `make fault-harness`. The keeper is
# the installed one's objects, linked with calls that can be told to fail.
fault_programs = %D%/fault %D%/podshim-keeper
EXTRA_PROGRAMS += $(fault_programs)
CLEANFILES += $(fault_programs)

tests_fault_fault_SOURCES = %D%/fault.c %D%/inject.h %D%/script.c %D%/script.h %D%/world.c %D%/world.h
tests_fault_fault_LDADD = libtests.a libipc.a libbase.a $(EVENT_LIBS)

fault_calls = malloc calloc realloc open openat socket socketpair accept4 pipe2 memfd_create \
	fcntl recvmsg fork execve syscall epoll_ctl sendmsg mmap fallocate ftruncate write
tests_fault_podshim_keeper_SOURCES = daemon/keeper/main.c %D%/inject.c %D%/inject.h
tests_fault_podshim_keeper_LDFLAGS = $(AM_LDFLAGS) $(PODSHIM_PROG_LDFLAGS) \
	$(patsubst %,-Wl$(comma)--wrap=%,$(fault_calls))
comma = ,
tests_fault_podshim_keeper_LDADD = $(podshim_keeper_LDADD)

fault-harness: $(fault_programs) tests/crash/fakeruntime
.PHONY: fault-harness
EXTRA_DIST += %D%/run
