# Drivers of the system tests; the tests themselves are run by tests/system/run
# against an installed tree, not by `make check`.
system_drivers = %D%/dstate %D%/odd %D%/rpc %D%/storm %D%/badinput %D%/flood %D%/badworker %D%/heldexec %D%/next-worker \
	%D%/next-keeper
check_PROGRAMS += $(system_drivers)
# it runs in containers that have no libraries: static, and so without sanitizers
tests_system_dstate_SOURCES = %D%/dstate.c
tests_system_dstate_CFLAGS = -std=gnu11
tests_system_dstate_LDFLAGS = -static
tests_system_odd_SOURCES = %D%/odd.c
tests_system_rpc_SOURCES = %D%/rpc.c
tests_system_rpc_LDADD = $(libtests_ldadd)
tests_system_storm_SOURCES = %D%/storm.c
tests_system_storm_LDADD = $(libtests_ldadd)
tests_system_badinput_SOURCES = %D%/badinput.c
tests_system_badinput_LDADD = $(libtests_ldadd)
tests_system_flood_SOURCES = %D%/flood.c
tests_system_flood_LDADD = $(libtests_ldadd)
tests_system_heldexec_SOURCES = %D%/heldexec.c
tests_system_badworker_SOURCES = %D%/badworker.c
tests_system_badworker_LDFLAGS = $(AM_LDFLAGS) $(PODSHIM_PROG_LDFLAGS)
tests_system_badworker_LDADD = libipc.a libbase.a $(EVENT_LIBS)
# worker and keeper of a release that does not exist yet: what holds the numbers
# is compiled once more, the rest is today's
next_cppflags = $(AM_CPPFLAGS) -include $(srcdir)/%D%/next.h
tests_system_next_worker_SOURCES = %D%/next.c %D%/next.h daemon/worker/main.c daemon/worker/link.c
tests_system_next_worker_CPPFLAGS = $(next_cppflags)
tests_system_next_worker_LDFLAGS = $(AM_LDFLAGS) $(PODSHIM_PROG_LDFLAGS) \
	-Wl,--wrap=store_open,--wrap=store_open_readonly
tests_system_next_worker_LDADD = $(podshim_worker_LDADD)
tests_system_next_keeper_SOURCES = %D%/next.h daemon/keeper/main.c daemon/keeper/life.c \
	daemon/keeper/upgrade.c daemon/keeper/admin_server.c
tests_system_next_keeper_CPPFLAGS = $(next_cppflags)
tests_system_next_keeper_LDFLAGS = $(AM_LDFLAGS) $(PODSHIM_PROG_LDFLAGS)
tests_system_next_keeper_LDADD = $(podshim_keeper_LDADD)
system-drivers: $(system_drivers) tests/lib/cri.desc
.PHONY: system-drivers
EXTRA_DIST += %D%/run $(srcdir)/%D%/*.sh
