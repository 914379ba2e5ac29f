#!/bin/sh
# A worker that somebody has stopped (a debugger, a person) is left alone, and says so
# in `list`; meanwhile execs and containers end, and their statuses are true afterwards.
. "$(dirname "$0")/../lib/containerd.sh"
[ -n "$PODSHIM" ] || skip_all "podshim's own promise"
ctd_up
events_start
run_opts=$(group_opts pod)
run_d c0 sh -c 'trap "exit 17" USR1; while :; do sleep 0.1; done'
run_d c1 sleep 1000
run_opts=
state() { pod_field pod "$1"; }
w=$(state worker_pid)
pid=$(task_pid c0)
# an exec that ends when we say so: its zombie must not hold up its container's end
x c0 e1 sh -c 'echo $$ >/tmp/e1; while ! [ -e /tmp/go ]; do sleep 0.05; done; exit 6' </dev/null >/dev/null 2>&1 &
e1=$!
wait_for 5 events_has c0 "/tasks/exec-started e1"
epid=$(exec_pid pod e1)
[ "${w:-0}" -gt 1 ] && [ "${pid:-0}" -gt 1 ] && [ "${epid:-0}" -gt 1 ] || bail "no pids"
kill -STOP "$w"
says_stopped() { case $(state state) in *stopped*) ;; *) return 1 ;; esac; }
check "list says that it is stopped" wait_for 60 says_stopped
: >"/proc/$pid/root/tmp/go"
check "the exec is reaped without a worker" wait_for 2 sh -c "! [ -e /proc/$epid ]"
usr1 "$pid"
check "so is init" wait_for 2 sh -c "! [ -e /proc/$pid ]"
# requests wait; 12 s is more than the 10 s within which a hung worker is killed: its loop is
# looked at every 5 s, and went on in the first of them
timeout -k 5 12 ctr -a "$SOCK" -n "$CTD_NS" task exec --fifo-dir "$T/fifo" --exec-id late c1 echo late </dev/null >"$T/late" 2>&1
is $? 124 "a request waits ($(tail -n 1 "$T/late"))"
is "$(state worker_pid)" "$w" "a stopped worker is not taken for a hung one"
like "$(state state)" "*stopped*" "and list still says so"
kill -CONT "$w"
wait $e1
is $? 6 "the exec's status is true"
check "containerd learns of init" wait_for 5 task_is c0 STOPPED
like "$(ctr task rm c0 2>&1)" "*exit code 17*" "its status is true"
check "the pod works" alive c1
is "$(state worker_pid)" "$w" "with the same worker"
is "$(podshimctl -n "$NS" crashes pod)" "no worker of this pod has crashed" "no death is recorded"
# a traced one is left alone as well, and upgrade does not wait for ever for it
kill -STOP "$w"
podshimctl -n "$NS" restart pod >"$T/restart" 2>&1
is $? 0 "restart replaces even a stopped one"
check "by another" test "$(state worker_pid)" != "$w"
check "that works" alive c1
rm -rf "$T"/fifo/*
finish
