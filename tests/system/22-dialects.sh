#!/bin/sh
# How `start` is asked by containerd 1.6, 1.7-2.2 and 2.3, and what it answers.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
[ -n "$PODSHIM" ] || skip_all "the Go shim of containerd 1.6 knows one dialect"
ctd_up

# start ID: like raw_shim, with stdin and environment of the caller's choice; to $T/answer
start() {
	(cd "$RAW/$1" && env PODSHIM_TEST_ID="$TEST_ID" TTRPC_ADDRESS="$SOCK.ttrpc" ${dialect_env:-} "$(shim_binary)" \
		-namespace "$NS" -address "$SOCK" -publish-binary "$(command -v containerd)" -id "$1" start \
		9<&-) >"$T/answer" 2>"$T/answer.err"
}
serves() {
	raw_addr=unix://$(sock_path "$1")
	is "$(call Connect "$1" | value task_pid)" 0 "$2: it serves"
	raw_create "$1" >/dev/null
	is "$(raw_state "$1")" "$CREATED" "$2: a task"
	is "$(cat "$RAW/$1/address")" "$raw_addr" "$2: the address file"
	raw_end "$1"
}

# 1.6: no MAX_SHIM_VERSION, options or nothing on stdin
raw_bundle a sleep 1000
start a </dev/null
is $? 0 "1.6: start"
is "$(cat "$T/answer")" "unix://$(sock_path a)" "1.6: a bare address"
is "$(cat "$T/answer.err")" "" "1.6: nothing on stderr"
serves a 1.6

raw_bundle b sleep 1000
{ field 1 containerd.runc.v1.Options; field 2 "$(field 6 runc)"; } >"$T/any"
start b <"$T/any"
is "$(cat "$T/answer")" "unix://$(sock_path b)" "1.6 with options on stdin"
serves b "1.6 with options"

# 1.7 to 2.2: JSON
raw_bundle c sleep 1000
dialect_env="MAX_SHIM_VERSION=2 GRPC_ADDRESS=$SOCK NAMESPACE=$NS"
start c <"$T/any"
is $? 0 "1.7: start"
is "$(jq -r .address <"$T/answer")" "unix://$(sock_path c)" "1.7: JSON with the address"
is "$(jq -r '"\(.version) \(.protocol)"' <"$T/answer")" "2 ttrpc" "1.7: version 2, ttrpc"
serves c 1.7

# 2.3: BootstrapParams
raw_bundle d sleep 1000
{
	field 1 d
	field 2 "$NS"
	field 4 2.3.4
	field 5 "$SOCK.ttrpc"
	field 6 "$SOCK"
	field 8 "$(field 1 "$(cat "$T/any")")"
} >"$T/params"
start d <"$T/params"
is $? 0 "2.3: start"
out=$("$BIN/rpc" - BootstrapResult <"$T/answer")
is "$(echo "$out" | value address)" "unix://$(sock_path d)" "2.3: protobuf with the address"
is "$(echo "$out" | value protocol)" ttrpc "2.3: ttrpc"
like "$(echo "$out" | value version)" "[23]" "2.3: version"
is "$(cat "$T/answer.err")" "" "2.3: nothing on stderr"
serves d 2.3
# its own directory for sockets
short=$(mktemp -d /tmp/s.XXXXXX) # containerd allows 42 characters
raw_bundle f sleep 1000
{ field 1 f; field 2 "$NS"; field 9 "$short"; } >"$T/params"
start f <"$T/params"
out=$("$BIN/rpc" - BootstrapResult <"$T/answer" | value address)
is "$out" "unix://$short/$(basename "$(sock_path f)")" "2.3: socket_dir is honoured"
raw_addr=$out
is "$(call Connect f | value task_pid)" 0 "2.3: it serves there"
raw_create f >/dev/null
raw_end f
check "2.3: socket_dir is empty afterwards" wait_for 5 rmdir "$short"
# one that is too long for a socket
raw_bundle h sleep 1000
mkdir -p "$T/$(printf %080d 0)"
{ field 1 h; field 2 "$NS"; field 9 "$T/$(printf %080d 0)"; } >"$T/params"
start h <"$T/params"
is $? 1 "2.3: a socket_dir that is too long is refused"
check "with words" test -s "$T/answer.err"
raw_unbundle h
# params of somebody else are no params
raw_bundle g sleep 1000
{ field 1 other; field 2 "$NS"; } >"$T/params"
start g <"$T/params"
diag "start with another's params: status $?, $(tr -d '\000-\037' <"$T/answer")"
raw_addr=unix://$(sock_path g)
[ ! -S "$(sock_path g)" ] || call Shutdown g >/dev/null
raw_delete g >/dev/null
raw_unbundle g

"$(shim_binary)" -info <"$T/any" >"$T/info"
out=$("$BIN/rpc" - RuntimeInfo <"$T/info")
is "$(echo "$out" | value name)" io.containerd.podshim.v1 "-info: name"
is "$(echo "$out" | value features.type)" \
	types.containerd.io/opencontainers/runtime-spec/1/features/Features "-info: features"
is "$(echo "$out" | value options.type)" containerd.runc.v1.Options "-info: the options come back"

# the service names
raw_new v sleep 1000
raw_v3=1 raw_create v >/dev/null
is "$(raw_v3=1 call Start v | value pid)" "$(call State v | value pid)" "v2 and v3 see the same task"
raw_v3=1 raw_end v
finish 15
