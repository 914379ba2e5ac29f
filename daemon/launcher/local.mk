bin_PROGRAMS += containerd-shim-podshim-v1
noinst_LIBRARIES += liblauncher.a
# all of the launcher but its main(), so that tests can link it
liblauncher_a_SOURCES = \
	%D%/account.c %D%/account.h \
	%D%/args.c %D%/args.h \
	%D%/bootstrap.c %D%/bootstrap.h \
	%D%/cgjoin.c %D%/cgjoin.h \
	%D%/child.c %D%/child.h \
	%D%/delete.c %D%/delete.h \
	%D%/group.c %D%/group.h \
	%D%/info.c %D%/info.h \
	%D%/marks.c %D%/marks.h \
	%D%/purge.c %D%/purge.h \
	%D%/spawn.c %D%/spawn.h \
	%D%/start.c %D%/start.h \
	%D%/sweep.c %D%/sweep.h
containerd_shim_podshim_v1_SOURCES = %D%/main.c
containerd_shim_podshim_v1_LDFLAGS = $(AM_LDFLAGS) $(PODSHIM_PROG_LDFLAGS)
# of the worker: cgroups, mounts, options and the runtime's command lines
containerd_shim_podshim_v1_LDADD = liblauncher.a liboci.a libipc.a libstate.a libproto.a \
	libframe.a libbase.a $(EVENT_LIBS) $(PROTOBUF_C_LIBS) $(SQLITE_LIBS) \
	$(JANSSON_LIBS) $(LIBMD_LIBS)
dist_man_MANS += %D%/containerd-shim-podshim-v1.8
