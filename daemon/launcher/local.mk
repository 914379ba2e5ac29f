bin_PROGRAMS += containerd-shim-podshim-v1
noinst_LIBRARIES += liblauncher.a
liblauncher_a_SOURCES =
containerd_shim_podshim_v1_SOURCES = %D%/main.c
containerd_shim_podshim_v1_LDFLAGS = $(AM_LDFLAGS) $(PODSHIM_PROG_LDFLAGS)
containerd_shim_podshim_v1_LDADD = liblauncher.a libipc.a libstate.a libproto.a \
	libframe.a libbase.a $(EVENT_LIBS) $(PROTOBUF_C_LIBS) $(SQLITE_LIBS) \
	$(JANSSON_LIBS) $(LIBMD_LIBS)
