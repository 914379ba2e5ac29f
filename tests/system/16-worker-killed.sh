#!/bin/sh
# kill -9 of the worker under a running pod costs the pod nothing.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
[ -n "$PODSHIM" ] || skip_all "podshim's own promise"
ctd_up
events_start
run_opts=$(group_opts pod)
for i in 0 1 2; do
	run_d "c$i" sh -c 'trap "exit 7" USR1; while :; do sleep 0.1; done'
done
run_opts=
wait_for 60 tasks_run 3
before=$tasks
keeper=$(shim_pids)
disconnects() { grep -c 'msg="shim disconnected"' "$T/containerd.log"; }
n_disc=$(disconnects)
sock=unix://$(sock_path pod)

# kill_worker: kill it, wait for the next one
has_worker() { kw_now=$(pod_field pod worker_pid) && [ "${kw_now:-0}" -gt 1 ]; }
kill_worker() {
	wait_for 60 has_worker
	kw_old=$kw_now
	kill -KILL "$kw_old" 2>/dev/null
	wait_for 60 kw_ready
}
# one that answers: at the latest 1 s after its death, since a request waits
kw_ready() { rpc "$sock" Connect id= >/dev/null && has_worker && [ "$kw_now" != "$kw_old" ]; }
check "another worker comes" kill_worker
check "same tasks, pids, states" wait_for 60 tasks_are "$before"
is "$(shim_pids)" "$keeper" "same keeper"
is "$(x_out c0 e 'echo hi; exit 3'; echo $?)" "hi
3" "exec works"

# an outstanding Wait, an exec that stays, and a request in flight
x c1 stay sleep 1000 </dev/null >"$T/stay.out" 2>&1 &
stay=$!
wait_for 5 events_has c1 "/tasks/exec-started stay"
rpc -t 600 "$sock" Wait id=c1 exec_id=stay >"$T/wait" &
w=$!
rpc -t 600 "$sock" Wait id=c0 >"$T/wait0" &
w0=$!
i=0
while [ $i -lt 5 ]; do
	kill_worker || not_ok "restart $i"
	i=$((i + 1))
done
check "five more deaths: the outstanding Wait stays" sh -c "kill -0 $w"
ctr task kill -s TERM --exec-id stay c1
wait $stay
is $? 143 "ctr gets the exec's status"
wait $w
is "$(value exit_status <"$T/wait")" 143 "so does the old Wait"

# an exit while there is no worker
pid=$(task_pid c0)
old=$(pod_field pod worker_pid)
kill -STOP "$old"
usr1 "$pid"
check "init exits while the worker hangs" wait_for 5 pid_gone "$pid"
kill -KILL "$old"
wait $w0
is "$(value exit_status <"$T/wait0")" 7 "its status is true"
check "containerd knows" wait_for 5 task_is c0 STOPPED
like "$(ctr task rm c0 2>&1)" "*exit code 7*" "and tells it"
check "the event arrives" wait_for 10 events_has c0 /tasks/delete
is "$(events_of c0 | grep -v ' ' | tr '\n' ' ')" "/tasks/create /tasks/start /tasks/exit /tasks/delete " \
	"each event once, in order"

# output is not lost: 64 MiB while the worker dies again and again. The exec stays until they
# were seen: ctr closes its ends at Delete, whatever they still hold (see x_seen).
# shellcheck disable=SC2016
prog='yes 0123456789abcdefghijklmnopqrstuvwxyz | head -c 67108864'
sum=$(sh -c "$prog" | sha256sum)
x c1 big sh -c "$prog; until [ -e /seen-big ]; do sleep 0.05; done" </dev/null >"$T/big" 2>"$T/big.err" &
big=$!
kills=0
big_seen() { [ "$(stat -c %s "$T/big")" -ge 67108864 ]; }
while ! big_seen && [ $kills -lt 6 ]; do
	kill_worker && kills=$((kills + 1))
	# a request waits, so the back-off stays small
	rpc "$sock" State id=c1 exec_id=big >/dev/null
done
wait_for 60 big_seen
: >"$(bundle c1)/rootfs/seen-big"
wait $big
is $? 0 "the exec ends well ($kills deaths meanwhile)"
is "$(sha256sum <"$T/big")" "$sum" "64 MiB arrive byte for byte"

# creates, execs and deletes while it dies
bad=
i=0
while [ $i -lt 5 ]; do
	run_opts=$(group_opts pod)
	run_d "n$i" sleep 1000 >"$T/run$i" 2>&1 &
	r=$!
	sleep "0.0$i"
	kill_worker
	wait $r || bad="$bad run:$i:$(cat "$T/run$i")"
	alive "n$i" >"$T/exec" 2>&1 || bad="$bad exec:$i:$(cat "$T/exec")"
	i=$((i + 1))
done
run_opts=
is "$bad" "" "5 containers made while the worker died"
i=0
while [ $i -lt 5 ]; do
	ctr task rm -f "n$i" >"$T/rm$i" 2>&1 &
	r=$!
	sleep "0.0$i"
	kill_worker
	wait $r || bad="$bad rm:$i:$(cat "$T/rm$i")"
	ctr c rm "n$i"
	i=$((i + 1))
done
is "$bad" "" "and removed while it died"
for i in 0 1 2 3 4; do
	check "the last event of n$i" wait_for 60 events_has "n$i" /tasks/delete
done
i=0
while [ $i -lt 5 ]; do
	seq=$(events_of "n$i" | grep -v ' ' | grep -v exec | uniq | tr '\n' ' ')
	[ "$seq" = "/tasks/create /tasks/start /tasks/exit /tasks/delete " ] || bad="$bad n$i:$seq"
	i=$((i + 1))
done
is "$bad" "" "with their events in order"
[ "$(disconnects)" -le $((n_disc + 6)) ] && ok "no connection closed but those of removed tasks" ||
	not_ok "connections closed: $(disconnects)"
is "$(shim_pids)" "$keeper" "one keeper all the time"
both_run() { task_is "$1" RUNNING && task_is "$2" RUNNING; }
check "the pod runs" wait_for 60 both_run c1 c2
finish
