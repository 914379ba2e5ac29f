#!/bin/sh
# containerd goes away and comes back: pods run on, and nothing is forgotten.
. "$(dirname "$0")/../lib/containerd.sh"
ctd_up
run_opts=$(group_opts pod)
for i in 0 1 2; do
	run_d "c$i" sleep 1000
done
run_opts=
run_d single sh -c 'n=0; while :; do n=$((n+1)); echo $n >/tmp/n; sleep 0.1; done'
wait_for 60 tasks_run 4
before=$tasks
shims=$(shim_pids | sort)

for how in TERM KILL; do
	ctd_end $how
	is "$(shim_pids | sort)" "$shims" "$how: the shims stay"
	ctd_start
	check "$how: the same tasks, pids and states" wait_for 60 tasks_are "$before"
	check "$how: exec works" alive c1
	is "$(shim_pids | sort)" "$shims" "$how: still the same shims"
done

# A task ends while nobody listens.
pid=$(task_pid c2)
x c1 stay sleep 1000 </dev/null >/dev/null 2>&1 &
wait_for 5 sh -c "ctr -a '$SOCK' -n '$NS' task ps c1 | grep -q stay"
ctd_kill
wait 2>/dev/null
kill -KILL "$pid"
check "it is gone" wait_for 5 pid_gone "$pid"
ctd_start
check "containerd learns of it" wait_for 5 task_is c2 STOPPED
like "$(ctr task rm c2 2>&1)" "*exit code 137*" "with the true status"
check "the exec runs on" sh -c "ctr -a '$SOCK' -n '$NS' task ps c1 | grep -q stay"
both_run() { task_is "$1" RUNNING && task_is "$2" RUNNING; }
check "its siblings run on" wait_for 60 both_run c0 c1
ctr task kill -s KILL single
check "kill works" wait_for 5 task_is single STOPPED

# Five quick restarts.
for i in 1 2 3 4 5; do
	ctd_kill
	ctd_start
done
check "after five quick restarts the pod runs" wait_for 60 tasks_run 2
is "$(shim_pids | wc -l)" 2 "no shim was added"
rm -rf "$T"/fifo/* # of the ctr that lost its containerd
finish
