# frame.c and status.c need no protobuf-c: the keeper links only them.
noinst_LIBRARIES += libframe.a libproto.a
libframe_a_SOURCES = \
	%D%/frame.c %D%/frame.h \
	%D%/status.c %D%/status.h

proto_files = \
	%D%/any.proto \
	%D%/ttrpc.proto
proto_sources = $(proto_files:.proto=.pb-c.c)
proto_headers = $(proto_files:.proto=.pb-c.h)
libproto_a_SOURCES =
nodist_libproto_a_SOURCES = $(proto_sources) $(proto_headers)
BUILT_SOURCES += $(proto_headers)
CLEANFILES += $(proto_sources) $(proto_headers)
EXTRA_DIST += $(proto_files)

# protoc-c's own output is not ours to mend: no warnings from it.
SUFFIXES = .proto .pb-c.c .pb-c.h
.proto.pb-c.c:
	@$(MKDIR_P) $(@D)
	$(AM_V_GEN)$(PROTOC_C) --proto_path=$(srcdir) --c_out=. $(<:$(srcdir)/%=%)
.proto.pb-c.h:
	@$(MKDIR_P) $(@D)
	$(AM_V_GEN)$(PROTOC_C) --proto_path=$(srcdir) --c_out=. $(<:$(srcdir)/%=%)
