#!/bin/sh
# podshimctl exec, kill, pause, resume, wait, close-stdin: straight through the shim;
# containerd sees it as if it had come of itself. With the worker alive, dead, stopped and
# in a crash loop, and with containerd dead.
. "$(dirname "$0")/../lib/containerd.sh"
[ -n "$PODSHIM" ] || skip_all "podshim's own tool"
ctd_up
events_start
ctl() { podshimctl -n "$NS" "$@"; }
# exits WANT DESCRIPTION ARGS...: the exit code; output in $T/out and $T/err
exits() {
	ex_want=$1 ex_what=$2
	shift 2
	ctl "$@" >"$T/out" 2>"$T/err" </dev/null
	is $? "$ex_want" "$ex_what" || diag "$(cat "$T/err")"
}
run_opts=$(group_opts pod)
run_d c0 sh -c 'trap "exit 17" USR1; while :; do sleep 0.1; done'
run_d c1 sleep 1000
run_opts=

exits 7 "exec: the exit status" exec c1 sh -c 'echo out; echo err >&2; exit 7'
is "$(cat "$T/out") $(cat "$T/err")" "out err" "and both outputs"
is "$(head -c 3000000 /dev/zero | ctl exec -i c1 wc -c)" 3000000 "all of stdin arrives, and its end"
is "$(ctl exec -e A=b -w /tmp -u 7:8 c1 sh -c 'echo "$A $(pwd) $(id -u):$(id -g)"')" "b /tmp 7:8" "variables, directory, user"
exits 127 "a program that is not there" exec c1 no-such-program
exits 126 "one that cannot be executed" exec c1 /bin
exits 4 "an unknown container" exec nobody true
exits 2 "a user by name" exec -u root c1 true
podshimctl -n "$NS" exec c1 sh -c 'trap "exit 5" TERM; touch /ready; while :; do sleep 0.1; done' &
x=$!
root=$(bundle c1)/rootfs
wait_for 20 test -e "$root/ready"
kill -TERM $x
wait $x
is $? 5 "a signal is passed on"
check "containerd is told of execs" wait_for 30 sh -c "grep -q '/tasks/exec-started.*podshimctl-' '$T/events'"
is "$(ctl tasks -o json pod | jq -r '.[] | select(.exec) | .exec')" "" "no exec is left"
is "$(find "${PODSHIM_STATE_ROOT:-/run/podshim}/$NS" -name 'exec-*')" "" "nor a directory of its FIFOs"

e=$(ctl exec -d c1 sh -c 'while ! [ -e /go ]; do sleep 0.05; done; exit 6')
like "$e" "podshimctl-*" "exec -d says its id"
exits 5 "wait has a time-out" wait -t 1 c1 "$e"
: >"$root/go"
exits 6 "wait returns the exit status" wait c1 "$e"
is "$(cat "$T/out")" 6 "and prints it"
exits 4 "then the exec is forgotten" wait c1 "$e"

exits 0 "pause" pause c1
check "containerd sees it" task_is c1 PAUSED
exits 125 "no exec in a paused container" exec c1 true
exits 0 "resume" resume c1
check "containerd sees it" task_is c1 RUNNING
exits 1 "no terminal, no size" resize c1 80x24
exits 2 "no size" resize c1 80
exits 0 "close-stdin" close-stdin c1
exits 2 "no such signal" kill -s NOPE c1

wait_for 60 catches_usr1 "$(task_pid c0)"
exits 0 "kill" kill -s USR1 c0
exits 17 "its status" wait c0
check "containerd sees the end" wait_for 30 task_is c0 STOPPED
check "by an event" wait_for 30 events_has c0 /tasks/exit
like "$(ctr task rm c0 2>&1)" "*exit code 17*" "with its status"

# a dead worker comes back, a stopped one is a time-out and nothing of it happens later
field() { pod_field pod "$1"; }
w=$(field worker_pid)
[ "${w:-0}" -gt 1 ] || bail "no worker"
kill -KILL "$w"
is "$(ctl exec c1 echo alive)" alive "exec with the worker just dead"
w=$(field worker_pid)
[ "${w:-0}" -gt 1 ] || bail "no worker"
kill -STOP "$w"
wait_for 20 grep -q '^State:.*T' "/proc/$w/status"
podshimctl -n "$NS" exec c1 touch /late >/dev/null 2>"$T/err.exec" &
x=$!
exits 5 "kill: no answer from a stopped worker" kill -s TERM c1
like "$(cat "$T/err")" "*stopped*" "and it says why"
wait $x
is $? 5 "exec: likewise"
kill -CONT "$w"
is "$(ctl exec c1 sh -c 'ls /late 2>&1; echo alive' | tail -n 1)" alive "it goes on"
check "what was given up did not happen" test ! -e "$root/late"

# in a crash loop each verb waits for the next worker
kill_worker() {
	w=$(field worker_pid)
	[ "${w:-0}" -gt 1 ] && kill -KILL "$w" 2>/dev/null
}
in_loop() {
	[ "$(field state)" = crash-loop ] && return
	kill_worker
	false
}
check "a crash loop" wait_for 20 in_loop
exits 3 "exec in it" exec c1 sh -c 'exit 3'
exits 0 "pause" pause c1
wait_for 30 kill_worker
exits 0 "resume, with none there" resume c1
ctl -o json exec -d c1 sh -c 'exit 8' >"$T/json"
check "exec -d as doc/schema says" as_schema exec "$T/json"
e=$(jq -r .exec "$T/json")
wait_for 30 kill_worker
exits 8 "wait, likewise" -o json wait c1 "$e"
check "as doc/schema says" as_schema wait "$T/out"
is "$(field state)" crash-loop "it is one still"

ctd_kill
is "$(ctl exec c1 echo alive)" alive "exec without containerd"
exits 0 "kill without it" kill -s KILL --all c1
exits 137 "its status" wait c1
ctd_start
check "containerd learns of it when it is back" wait_for 30 task_is c1 STOPPED
finish 60
