#!/bin/sh
# A worker that hangs: found, recorded with where it was, replaced; the request
# that was in its hand is answered all the same. A build with crash points.
. "$(dirname "$0")/../lib/containerd.sh"
ctd_up
run_opts=$(group_opts pod)
run_d a sleep 1000
run_d b sleep 1000
run_opts=
wait_for 60 tasks_run 2 || not_ok "not both containers run"
before=$tasks
sock=unix://$(sock_path pod)
keeper=$(shim_pids)
worker=$(worker_pids)
dir=$(echo "$STATE_ROOT/$NS"/pod.????????)
printf 'kill.before:1:hang' >"$dir/crashpoint"
start=$(date +%s)
rpc "$sock" Kill id=a signal=0 >"$T/kill" &
kill=$!
check "the Kill is in hand" wait_for 5 sh -c "! [ -e '$dir/crashpoint' ]"
dump=$(podshimctl -n "$NS" dump pod)
check "a dump says where its loop spins" grep -q '^frame: ' "$dump"
check "and that it does not turn" grep -q "loop does not turn" "$dump"
wait $kill
is "$(cat "$T/kill")" "" "a Kill whose worker hangs is answered"
took=$(($(date +%s) - start))
diag "after $took s"
check "within the keeper's patience and a restart" test $took -le $((20 * SLOW))
check "it is another worker" test "$(worker_pids)" != "$worker"
is "$(shim_pids)" "$keeper" "of the same keeper"
# perhaps not at once: containerd has UNKNOWN where it waited for 2 s
check "no container noticed" wait_for 60 tasks_are "$before"
like "$(podshimctl -o json -n "$NS" crashes pod | jq -r '.[-1].verdict')" "*h[au]ng*" "the record says that it hung"
check "and where" sh -c "podshimctl -n '$NS' crashes pod | grep -q crashpoint_hit"
is "$(rpc "$sock" Kill id=b signal=0)" "" "the next Kill is a matter of course"
for id in a b; do rm_c $id; done
finish
