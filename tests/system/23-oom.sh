#!/bin/sh
# The kernel kills for memory: TaskOOM comes, and before the exit.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
ctd_up
events_start
raw_jq='.linux.resources.memory = {limit: 16777216}'
raw_new a sh -c 'dd if=/dev/zero of=/dev/null bs=200M count=1; exit 5'
raw_new b dd if=/dev/zero of=/dev/null bs=200M count=1
raw_new quiet sleep 1000
raw_jq=.
for c in a b quiet; do
	raw_create $c >/dev/null
	call Start $c >/dev/null
done
is "$(raw_timeout=20 call Wait a | value exit_status)" 5 "init lives on after its child was killed"
is "$(raw_timeout=20 call Wait b | value exit_status)" 137 "init killed: 137"
check "TaskOOM of a" wait_for 5 events_has a /tasks/oom
check "TaskOOM of b" wait_for 5 events_has b /tasks/oom
wait_for 5 events_has a /tasks/exit
wait_for 5 events_has b /tasks/exit
is "$(events_of a | tr '\n' ' ')" "/tasks/create /tasks/start /tasks/oom /tasks/exit " "a: once, before the exit"
raw_end a b quiet
check "the end of quiet" wait_for 5 events_has quiet /tasks/delete
is "$(events_of quiet | grep -c oom)" 0 "the end of a cgroup is no OOM"
is "$(events_of b | grep -c oom)" 1 "b: once"
finish
