#!/bin/sh
# A virus scanner (fanotify) holds the exec of one container's runtime: everybody
# else is served meanwhile, and it goes on when it is let go.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
[ -n "$PODSHIM" ] || skip_all "what the Go shim does here is not promised"
ctd_up
raw_run a sleep 1000 >/dev/null
cp "$(command -v runc)" "$T/runc-held"
"$BIN/heldexec" "$T/runc-held" "$T/release" >"$T/held.out" 2>&1 &
held=$!
says() { grep -q "$1" "$T/held.out"; }
ready() { says ready || ! kill -0 $held 2>/dev/null; }
wait_for 30 ready
says ready || {
	raw_end a
	skip_all "fanotify permission events are not to be had here"
}
raw_jq='.annotations["io.containerd.runc.v2.group"] = "a"'
raw_new b sleep 1000
raw_jq=.
raw_create b "options.binary_name=$T/runc-held" >"$T/create.out" 2>&1 &
create=$!
check "the runtime's exec is held" wait_for 30 says held
is "$(raw_timeout=5 call State a | value status)" "$RUNNING" "State of another container"
check "a whole exec in another container" raw_exec a e1 true
is "$(pod_field a pod)" a "the keeper answers people"
check "and nothing of it waits for Create" kill -0 $create
: >"$T/release"
wait $create
is $? 0 "let go, it succeeds"
wait $held
check "Start" call Start b
raw_end b a
finish
