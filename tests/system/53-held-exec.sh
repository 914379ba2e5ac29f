#!/bin/sh
# A virus scanner (fanotify) holds the exec of one container's runtime: everybody
# else is served meanwhile, and it goes on when it is let go.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
[ -n "$PODSHIM" ] || skip_all "what the Go shim does here is not promised"
ctd_up
raw_run a sleep 1000 >/dev/null
group='.annotations["io.containerd.runc.v2.group"] = "a"'
raw_jq=$group
raw_new out sleep 1000
raw_new in cat
raw_jq=.
raw_fifos out
cat "$RAW/out.out" >/dev/null &
reader=$!
raw_create out "stdout=$RAW/out.out" >/dev/null && call Start out >/dev/null
raw_fifos in
raw_create in "stdin=$RAW/in.in" >/dev/null && call Start in >/dev/null
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
raw_jq=$group
raw_new b sleep 1000
raw_jq=.
raw_create b "options.binary_name=$T/runc-held" >"$T/create.out" 2>&1 &
create=$!
check "the runtime's exec is held" wait_for 30 says held
is "$(call State a | value status)" "$RUNNING" "State of another container"
check "a whole exec in another container" raw_exec a e1 true
is "$(pod_field a pod)" a "the keeper answers people"
call Kill out signal=9
check "who reads another container's output sees its end" wait_for 30 pid_gone $reader
call CloseIO in stdin=1
is "$(call Wait in | value exit_status)" 0 "CloseIO ends another container's stdin"
check "and nothing of it waits for Create" kill -0 $create
: >"$T/release"
wait $create
is $? 0 "let go, it succeeds"
wait $held
check "Start" call Start b
raw_end b out in a
finish
