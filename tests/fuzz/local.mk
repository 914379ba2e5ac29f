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
tests_fuzz_fuzz_oci_LDADD = $(fuzz_main) libworker.a libbase.a $(JANSSON_LIBS)

$(addsuffix .$(OBJEXT),$(fuzz_targets)): | $(proto_headers)
