#!/bin/sh
# A request that kills every worker which touches it: condemned at the second death
# and answered Internal; nobody else pays for it. A build with crash points.
. "$(dirname "$0")/../lib/containerd.sh"
ctd_up
run_opts=$(group_opts pod)
run_d a sh -c 'trap "exit 7" USR1; while :; do sleep 0.1; done'
run_d b sleep 1000
run_opts=
sock=unix://$(sock_path pod)
dir=$(echo "$STATE_ROOT/$NS"/pod.????????)
pid=$(task_pid a)
rpc -t 600 "$sock" Wait id=a >"$T/wait" 2>&1 &
wait_pid=$!
not_ours="$not_ours $wait_pid"
# each worker that comes to this step aborts
printf 'exec.io:always:abrt' >"$dir/crashpoint"
jq -n '{args: ["true"], cwd: "/", env: ["PATH=/bin"], user: {uid: 0, gid: 0}}' >"$T/spec"
mkfifo "$T/bad.out"
cat "$T/bad.out" >/dev/null &
reader=$!
wait_for 60 cmdline_is $reader "cat $T/bad.out"
is "$(rpc "$sock" Exec id=b exec_id=bad "stdout=$T/bad.out" "spec=$T/spec")" "" "an exec is added"
out=$(rpc "$sock" Start id=b exec_id=bad 2>&1)
rm -f "$dir/crashpoint"
like "$out" "*error=13 *crash*" "its Start is answered Internal, and the text says why"
diag "$out"
check "who reads its output sees the end" wait_for 30 pid_gone $reader
is "$(podshimctl -o json -n "$NS" crashes pod | jq length)" 2 "two workers died of it, no more"
is "$(rpc "$sock" State id=b | sed -n 's/^status=//p')" 2 "its container runs"
is "$(task_status a)" RUNNING "its sibling, too"
out=$(ctr task exec --fifo-dir "$T/fifo" --exec-id good b true 2>&1)
is "$?" 0 "the next exec works"
diag "$out"
usr1 "$pid"
wait $wait_pid
like "$(cat "$T/wait")" "*exit_status=7*" "a Wait that was outstanding all the time is true"
for id in a b; do rm_c $id; done
finish
