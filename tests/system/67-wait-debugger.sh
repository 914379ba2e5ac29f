#!/bin/sh
# PODSHIM_WAIT_DEBUGGER and [debug] wait: the worker halts right before the work that is
# named, says so, and goes on when it is told; meanwhile the keeper answers, what ends is
# not lost, and no deadline takes the worker for hung. (That a stopped one is not: 42.)
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
[ -n "$PODSHIM" ] || skip_all "podshim's own promise"
ctd_up
state() { pod_field "$pod" "$1"; }
waits() { case $(state state) in *"waits for a debugger at $1"*) ;; *) false ;; esac; }
is_running() { [ "$(state state)" = running ]; }
go() { kill -CONT "$(state worker_pid)"; }

# each start of a worker: also of the next one, after one was killed while it waited
pod=a
export PODSHIM_WAIT_DEBUGGER=boot
raw_new a sh -c 'trap "exit 17" USR1; while :; do sleep 0.1; done' || bail "start"
check "boot: start answers, the worker halts" wait_for 10 waits boot
w=$(state worker_pid)
check "its log names pid and point" \
	wait_for 5 grep -q "Halting until signalled: pid $w, point boot" "$T/shim.log"
raw_create a >"$T/create" &
create=$!
kill -KILL "$w"
check "killed there, it is replaced" wait_for 10 sh -c "! [ -e /proc/$w ]"
check "and the next one halts, too" wait_for 10 waits boot
go
wait $create
check "the request was kept, and is answered" grep -q '^pid=' "$T/create"
check "the pod is up" wait_for 5 is_running
pid=$(call Start a | value pid)
kill -KILL "$(state worker_pid)"
check "a crash later: it halts anew" wait_for 10 waits boot
usr1 "$pid"
check "an exit meanwhile is reaped" wait_for 5 sh -c "! [ -e /proc/$pid ]"
go
is "$(call Wait a | value exit_status)" 17 "and its status is true"
raw_end a

# the configuration; a bad word in the environment is no word
pod=b
PODSHIM_WAIT_DEBUGGER=never
export PODSHIM_CONFIG="$T/podshim.conf"
printf '[debug]\nwait = create\n' >"$PODSHIM_CONFIG"
raw_wrap ": >'$T/begun'"
raw_new b sleep 1000 || bail "start"
raw_create b "options.binary_name=$T/wrap" >"$T/create" &
create=$!
check "create: halts" wait_for 10 waits create
check "no runtime was begun" test ! -e "$T/begun"
check "a bad word is noted" wait_for 10 grep -q "PODSHIM_WAIT_DEBUGGER: 'never' is none of" "$T/shim.log"
w=$(state worker_pid)
go
wait $create
check "and goes on: Create is answered" grep -q '^pid=' "$T/create"
check "now it was" test -e "$T/begun"
is "$(state worker_pid)" "$w" "by the same worker"

printf '[debug]\nwait = start\n' >"$PODSHIM_CONFIG"
podshimctl -n "$NS" restart b >"$T/out" 2>&1 || diag "$(cat "$T/out")"
call Start b >"$T/start" &
start=$!
check "start: halts" wait_for 10 waits start
go
wait $start
check "and starts" grep -q '^pid=' "$T/start"
printf '[debug]\nwait = exec\n' >"$PODSHIM_CONFIG"
podshimctl -n "$NS" restart b >"$T/out" 2>&1
raw_exec b e1 true >"$T/exec" &
exec=$!
check "exec: halts" wait_for 10 waits exec
check "its log names them" wait_for 10 grep -q 'point exec, container b, exec e1' "$T/shim.log"
go
wait $exec
is "$(call Wait b exec_id=e1 | value exit_status)" 0 "and runs it"
is "$(podshimctl -n "$NS" crashes b)" "no worker of this pod has crashed" "nobody was taken for hung"
raw_end b
finish
