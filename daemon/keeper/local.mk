pkglibexec_PROGRAMS += podshim-keeper
noinst_LIBRARIES += libkeeper.a
# all of the keeper but its main(), so that tests can link it
libkeeper_a_SOURCES = \
	%D%/admin_server.c %D%/admin_server.h \
	%D%/adopt.c %D%/adopt.h \
	%D%/backoff.c %D%/backoff.h \
	%D%/blame.c %D%/blame.h \
	%D%/blob.c %D%/blob.h \
	%D%/conn.c %D%/conn.h %D%/conn_int.h %D%/conn_out.c \
	%D%/console.c %D%/console.h \
	%D%/dump.c %D%/dump.h \
	%D%/end.c %D%/end.h \
	%D%/fdstore.c %D%/fdstore.h \
	%D%/handle.c %D%/handle.h \
	%D%/hold.c %D%/hold.h \
	%D%/idmap.h \
	%D%/life.c %D%/life.h %D%/life_boot.c %D%/life_int.h \
	%D%/life_left.c \
	%D%/limits.h \
	%D%/pod.c %D%/pod.h \
	%D%/reaper.c %D%/reaper.h \
	%D%/request.c %D%/request.h \
	%D%/spare.c %D%/spare.h \
	%D%/spawn.c %D%/spawn.h \
	%D%/step.c %D%/step.h \
	%D%/upgrade.c %D%/upgrade.h
podshim_keeper_SOURCES = %D%/main.c
podshim_keeper_LDFLAGS = $(AM_LDFLAGS) $(PODSHIM_PROG_LDFLAGS)
podshim_keeper_LDADD = libkeeper.a libipc.a libframe.a libbase.a $(EVENT_LIBS)
