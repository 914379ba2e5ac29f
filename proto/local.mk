# frame.c and status.c need no protobuf-c: the keeper links only them.
noinst_LIBRARIES += libframe.a libproto.a
libframe_a_SOURCES = \
	%D%/frame.c %D%/frame.h \
	%D%/status.c %D%/status.h

proto_files = \
	%D%/admin.proto \
	%D%/any.proto \
	%D%/bootstrap.proto \
	%D%/events.proto \
	%D%/events_service.proto \
	%D%/metrics_v1.proto \
	%D%/metrics_v2.proto \
	%D%/options.proto \
	%D%/runctypes.proto \
	%D%/runtimeoptions.proto \
	%D%/sandbox.proto \
	%D%/task.proto \
	%D%/ttrpc.proto \
	%D%/types.proto
proto_sources = $(proto_files:.proto=.pb-c.c)
proto_headers = $(proto_files:.proto=.pb-c.h)
# they use base: libproto.a goes in front of libbase.a
libproto_a_SOURCES = \
	%D%/caller.c %D%/caller.h \
	%D%/wire.c %D%/wire.h
nodist_libproto_a_SOURCES = $(proto_sources) $(proto_headers)
# protoc-c's own output is not ours to mend: no warnings from it
libproto_a_CFLAGS = $(PODSHIM_CFLAGS) -w
BUILT_SOURCES += $(proto_headers)
CLEANFILES += $(proto_sources) $(proto_headers)
EXTRA_DIST += $(proto_files) %D%/PROTOCOL.md

# One run of protoc-c makes both files; a second one for the header would
# write them under the nose of a parallel compiler. As a system header it may
# cast away const in its *__INIT macros; clang wants that cast made plainer.
SUFFIXES = .proto .pb-c.c
.proto.pb-c.c:
	@$(MKDIR_P) $(@D)
	$(AM_V_GEN)$(PROTOC_C) --proto_path=$(srcdir) --c_out=. $(<:$(srcdir)/%=%) && \
	h=$(@:.c=.h) && $(SED) -e '1i#pragma GCC system_header' \
		-e 's/(char \*)protobuf_c_empty_string/(char *)(uintptr_t)protobuf_c_empty_string/g' \
		$$h >$$h.tmp && mv $$h.tmp $$h
$(proto_headers): %.pb-c.h: %.pb-c.c
	@test -f $@ || { rm -f $<; $(MAKE) $(AM_MAKEFLAGS) $<; }
	@touch $@

# BUILT_SOURCES count for `make all` and `make check` only; this lets one make
# a single program or test from scratch.
$(libproto_a_OBJECTS) $(liblauncher_a_OBJECTS) $(libworker_a_OBJECTS) $(liboci_a_OBJECTS) \
    $(podshim_worker_OBJECTS) $(containerd_shim_podshim_v1_OBJECTS) \
    $(addsuffix .$(OBJEXT),$(unit_tests)): | $(proto_headers)
