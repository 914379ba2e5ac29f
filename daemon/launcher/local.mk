bin_PROGRAMS += containerd-shim-podshim-v1
noinst_LIBRARIES += liblauncher.a
# all of the launcher but its main(), so that tests can link it
liblauncher_a_SOURCES = \
	%D%/args.c %D%/args.h \
	%D%/bootstrap.c %D%/bootstrap.h \
	%D%/group.c %D%/group.h
containerd_shim_podshim_v1_SOURCES = %D%/main.c
containerd_shim_podshim_v1_LDFLAGS = $(AM_LDFLAGS) $(PODSHIM_PROG_LDFLAGS)
containerd_shim_podshim_v1_LDADD = liblauncher.a libipc.a libstate.a libproto.a \
	libframe.a libbase.a $(EVENT_LIBS) $(PROTOBUF_C_LIBS) $(SQLITE_LIBS) \
	$(JANSSON_LIBS) $(LIBMD_LIBS)
