#!/bin/sh
# kill -9 of the shim itself: containerd's own delete leaves nothing behind.
. "$(dirname "$0")/../lib/containerd.sh"
ctd_up
events_start
run_opts=$(group_opts pod)
for i in 0 1 2; do
	run_d "c$i" sh -c 'sleep 1000 & sleep 1001 & wait'
done
run_opts=
run_d single sleep 1000
x c0 e sleep 1000 </dev/null >/dev/null 2>&1 &
exec_ctr=$!
wait_for 5 events_has c0 "/tasks/exec-started e"
pod_shim=$(rpc "unix://$(sock_path pod)" Connect id= | sed -n 's/^shim_pid=//p')
pids=$(for i in 0 1 2; do task_pid c$i; done)
kill -KILL "$pod_shim"
check "containerd forgets the tasks" wait_for 10 sh -c "! ctr -a '$SOCK' -n '$NS' task ls | grep -q '^c[012]'"
wait $exec_ctr 2>/dev/null
for p in $pids; do
	check "process $p is gone" wait_for 5 pid_gone "$p"
done
no_mounts() { ! grep -q "$(bundle c)" /proc/self/mounts; }
no_cgroups() { [ -z "$(cgroups_of "$1")" ]; }
check "no mount is left" wait_for 5 no_mounts
for i in 0 1 2; do
	check "c$i: no cgroup is left" wait_for 5 no_cgroups "c$i"
	check "c$i: events of its end" wait_for 5 events_has "c$i" /tasks/delete
	is "$(event_body "c$i" /tasks/exit | jq -r 'select(.id == .container_id) | .exit_status' | sort -u)" 137 "c$i: exit 137"
done
check "another pod runs on" wait_for 60 task_is single RUNNING
if [ -n "$PODSHIM" ]; then
	check "one worker is left: the other pod's" wait_for 60 workers_are 1
	check "the pod's directory goes" wait_for 5 sh -c "! ls -d '$STATE_ROOT/$NS/pod.'* 2>/dev/null"
fi

# The same ids and the same group work again.
for i in 0 1 2; do
	ctr c rm "c$i" >/dev/null
done
run_opts=$(group_opts pod)
run_d c0 sleep 1000
run_d c1 sleep 1000
run_opts=
both_run() { task_is "$1" RUNNING && task_is "$2" RUNNING; }
check "the same group starts again" wait_for 60 both_run c0 c1
check "and works" alive c0

# SIGTERM while containers run: podshim's keeper stays
if [ -n "$PODSHIM" ]; then
	k=$(rpc "unix://$(sock_path pod)" Connect id= | sed -n 's/^shim_pid=//p')
	kill -TERM "$k"
	kill -INT "$k"
	check "SIGTERM and SIGINT do not end a keeper with containers" alive c0
fi

# shim and containerd at once; containerd cleans up when it comes back
ctd_kill
# shellcheck disable=SC2046
kill -KILL $(shim_pids)
ctd_start
check "containerd is rid of the dead" wait_for 10 sh -c "[ \$(ctr -a '$SOCK' -n '$NS' task ls | wc -l) = 1 ]"
rm -rf "$T"/fifo/* # of the ctr whose exec died with the shim
# The Go shim leaves its sockets when it is killed; podshim's delete may not.
[ -n "$PODSHIM" ] || rm -f "$(sock_path pod)" "$(sock_path single)"
finish
