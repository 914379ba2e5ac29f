pkglibexec_PROGRAMS += podshim-keeper
noinst_LIBRARIES += libkeeper.a
# all of the keeper but its main(), so that tests can link it
libkeeper_a_SOURCES =
podshim_keeper_SOURCES = %D%/main.c
podshim_keeper_LDFLAGS = $(AM_LDFLAGS) $(PODSHIM_PROG_LDFLAGS)
podshim_keeper_LDADD = libkeeper.a libipc.a libframe.a libbase.a $(EVENT_LIBS)
