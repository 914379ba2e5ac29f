#!/bin/sh
# A command that does not exist: the runtime's own words, and no trace of it.
. "$(dirname "$0")/../lib/containerd.sh"
ctd_up
events_start

out=$(run nobin /no/such/program 2>&1)
is "$?" 1 "ctr run fails"
like "$out" "*/no/such/program*" "the message names the program"
like "$out" "*no such file or directory*" "and tells why"
is "$(events_of nobin)" "" "no event of a task that never was"
check "no cgroup is left" test -z "$(cgroups_of nobin)"
check "no mount is left" sh -c "! grep ' $T.*/nobin' /proc/self/mounts"
check "no process is left" wait_for 5 sh -c "! [ -e '$(bundle nobin)' ]"

# The same id can be used at once.
is "$(run_out nobin "echo again")" again "the id is free again"
wait_for 5 events_has nobin /tasks/delete
is "$(events_of nobin | wc -l)" 4 "and has the events of one task"

# As exec: the task lives on.
run_d main sleep 1000
out=$(x main e1 /no/such/program </dev/null 2>&1)
is "$?" 1 "exec of a missing program fails"
like "$out" "*/no/such/program*" "exec: the message names the program"
check "the task runs on" wait_for 60 task_is main RUNNING
is "$(x_out main e1 "echo fine")" fine "the exec id is free again"
check "its events" wait_for 60 events_has main "/tasks/exit e1"
is "$(events_of main | grep -c exec-started)" 1 "no exec-started for the failed one"
finish
