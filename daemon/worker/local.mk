pkglibexec_PROGRAMS += podshim-worker
noinst_LIBRARIES += libworker.a
# all of the worker but its main(), so that tests can link it
libworker_a_SOURCES =
podshim_worker_SOURCES = %D%/main.c
podshim_worker_LDFLAGS = $(AM_LDFLAGS) $(PODSHIM_PROG_LDFLAGS)
podshim_worker_LDADD = libworker.a libipc.a libstate.a libproto.a libframe.a \
	libbase.a $(EVENT_LIBS) $(PROTOBUF_C_LIBS) $(SQLITE_LIBS) \
	$(JANSSON_LIBS) $(INIH_LIBS)

# what the worker knows of runtimes, bundles and containerd
libworker_a_SOURCES += \
	%D%/cgroup.c %D%/cgroup.h \
	%D%/conf.c %D%/conf.h \
	%D%/mount.c %D%/mount.h %D%/mount_options.c \
	%D%/mountinfo.c %D%/mountinfo.h \
	%D%/oci.c %D%/oci.h \
	%D%/options.c %D%/options.h \
	%D%/options_toml.c %D%/options_toml.h \
	%D%/runtime.c %D%/runtime.h
dist_man_MANS += %D%/podshim.conf.5
exampledir = $(docdir)/examples
dist_example_DATA = %D%/podshim.conf

# stdio
libworker_a_SOURCES += \
	%D%/console.c \
	%D%/io.c %D%/io.h %D%/io_int.h \
	%D%/io_open.c \
	%D%/pump.c %D%/pump.h
