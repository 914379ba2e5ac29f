bin_PROGRAMS += podshimctl
podshimctl_SOURCES = %D%/main.c
podshimctl_LDFLAGS = $(AM_LDFLAGS) $(PODSHIM_PROG_LDFLAGS)
podshimctl_LDADD = libipc.a libstate.a libproto.a libframe.a libbase.a \
	$(EVENT_LIBS) $(PROTOBUF_C_LIBS) $(SQLITE_LIBS) $(JANSSON_LIBS)
