# Fuzz targets, one per parser: fuzz_<what>.c and a corpus of the same name.
# Configured with --enable-fuzzing (clang) they are libFuzzer programs, made by
# `make fuzz-targets`; otherwise `make check` replays their corpus (replay.c).
fuzz_targets =

if FUZZING
fuzz_main =
noinst_PROGRAMS += $(fuzz_targets)
else
fuzz_main = libfuzzreplay.a
check_LIBRARIES += libfuzzreplay.a
libfuzzreplay_a_SOURCES = %D%/fuzz.h %D%/replay.c
check_PROGRAMS += $(fuzz_targets)
TESTS += $(fuzz_targets)
endif
fuzz_ldflags = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
fuzz_worker = libworker.a liboci.a libipc.a libstate.a libproto.a libframe.a libbase.a \
	$(EVENT_LIBS) $(PROTOBUF_C_LIBS) $(SQLITE_LIBS) $(JANSSON_LIBS) $(INIH_LIBS)
fuzz-targets: $(fuzz_targets)
.PHONY: fuzz-targets
EXTRA_DIST += %D%/corpus

fuzz_targets += %D%/fuzz_frame
tests_fuzz_fuzz_frame_SOURCES = %D%/fuzz_frame.c
tests_fuzz_fuzz_frame_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_frame_LDADD = $(fuzz_main) libproto.a libframe.a libbase.a $(PROTOBUF_C_LIBS)

fuzz_targets += %D%/fuzz_request
tests_fuzz_fuzz_request_SOURCES = %D%/fuzz_request.c
tests_fuzz_fuzz_request_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_request_LDADD = $(fuzz_main) libproto.a libbase.a $(PROTOBUF_C_LIBS)

fuzz_targets += %D%/fuzz_oci
tests_fuzz_fuzz_oci_SOURCES = %D%/fuzz_oci.c
tests_fuzz_fuzz_oci_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_oci_LDADD = $(fuzz_main) $(fuzz_worker)

fuzz_targets += %D%/fuzz_msg
tests_fuzz_fuzz_msg_SOURCES = %D%/fuzz_msg.c
tests_fuzz_fuzz_msg_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_msg_LDADD = $(fuzz_main) libipc.a libbase.a

fuzz_targets += %D%/fuzz_options
tests_fuzz_fuzz_options_SOURCES = %D%/fuzz_options.c
tests_fuzz_fuzz_options_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_options_LDADD = $(fuzz_main) $(fuzz_worker)

fuzz_targets += %D%/fuzz_mount
tests_fuzz_fuzz_mount_SOURCES = %D%/fuzz_mount.c
tests_fuzz_fuzz_mount_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_mount_LDADD = $(fuzz_main) $(fuzz_worker)

fuzz_targets += %D%/fuzz_conf
tests_fuzz_fuzz_conf_SOURCES = %D%/fuzz_conf.c
tests_fuzz_fuzz_conf_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_conf_LDADD = $(fuzz_main) $(fuzz_worker)

fuzz_targets += %D%/fuzz_runtime_log
tests_fuzz_fuzz_runtime_log_SOURCES = %D%/fuzz_runtime_log.c
tests_fuzz_fuzz_runtime_log_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_runtime_log_LDADD = $(fuzz_main) $(fuzz_worker)

fuzz_targets += %D%/fuzz_conn
tests_fuzz_fuzz_conn_SOURCES = %D%/fuzz_conn.c
tests_fuzz_fuzz_conn_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_conn_LDADD = $(fuzz_main) libkeeper.a libipc.a libframe.a libbase.a $(EVENT_LIBS)

fuzz_targets += %D%/fuzz_bootstrap
tests_fuzz_fuzz_bootstrap_SOURCES = %D%/fuzz_bootstrap.c
tests_fuzz_fuzz_bootstrap_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_bootstrap_LDADD = $(fuzz_main) liblauncher.a liboci.a libipc.a libstate.a libproto.a libframe.a libbase.a \
	$(EVENT_LIBS) $(PROTOBUF_C_LIBS) $(SQLITE_LIBS) $(JANSSON_LIBS) $(LIBMD_LIBS)

fuzz_targets += %D%/fuzz_lines
tests_fuzz_fuzz_lines_SOURCES = %D%/fuzz_lines.c
tests_fuzz_fuzz_lines_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_lines_LDADD = $(fuzz_main) liblogger.a libbase.a

$(addsuffix .$(OBJEXT),$(fuzz_targets)): | $(proto_headers)
