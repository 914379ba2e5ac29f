#!/bin/sh
# Another OCI runtime, chosen by the options of Create: crun.
# crun 1.8 wants no cgroup2 beside cgroup1: on such hosts all of this runs in a
# mount namespace of its own without it.
if grep -q ' /sys/fs/cgroup/unified cgroup2 ' /proc/self/mounts && [ -z "${PODSHIM_TEST_UNSHARED:-}" ] &&
	[ "$(id -u)" = 0 ]; then
	PODSHIM_TEST_UNSHARED=1 exec unshare -m "$0" "$@"
fi
[ -z "${PODSHIM_TEST_UNSHARED:-}" ] || umount /sys/fs/cgroup/unified
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
command -v crun >/dev/null || skip_all "no crun"
ctd_up
events_start
crun=options.binary_name=crun
raw_new a sleep 1000
pid=$(raw_create a $crun | value pid)
check "Create by crun" test -d "/proc/$pid"
check "it is crun's" test -d "/run/containerd/runc/$NS/a"
check "crun knows it" sh -c "crun --root '/run/containerd/runc/$NS' state a | grep -q created"
is "$(call Start a | value pid)" "$pid" "Start"
is "$(raw_exec a e sh -c 'exit 42' | value pid | grep -c .)" 1 "exec"
is "$(call Wait a exec_id=e | value exit_status)" 42 "exit status of an exec"
is "$(raw_exec a k sleep 1000 | value pid | grep -c .)" 1 "an exec that stays"
is "$(call Pids a | wc -l)" 2 "Pids"
like "$(call Pids a)" "*process=* k*" "with its exec id"
call Kill a exec_id=k signal=15
is "$(call Wait a exec_id=k | value exit_status)" 143 "143"
is "$(call Pause a)$(raw_state a)" "$PAUSED" "Pause"
is "$(call Resume a)$(raw_state a)" "$RUNNING" "Resume"
raw_fifos t
exec 7<>"$RAW/t.out" 8<>"$RAW/t.in"
call Exec a exec_id=t terminal=1 "stdin=$RAW/t.in" "stdout=$RAW/t.out" "spec=$(raw_spec sh -c 'read -r x; stty size')"
call Start a exec_id=t >/dev/null
call ResizePty a exec_id=t width=90 height=30
echo >&8
line=$(line_from <&7)
line=$(line_from <&7)
is "$(printf %s "$line" | tr -d '\r')" "30 90" "a terminal"
exec 7<&- 8<&-
call Kill a signal=9
is "$(call Wait a | value exit_status)" 137 "137"
is "$(call Delete a | value exit_status)" 137 "Delete"
check "crun forgot it" test ! -e "/run/containerd/runc/$NS/a"
check "events" wait_for 5 events_has a /tasks/delete
is "$(events_of a | grep -v ' ' | grep -v exec | tr '\n' ' ')" \
	"/tasks/create /tasks/start /tasks/paused /tasks/resumed /tasks/exit /tasks/delete " "in order"
raw_end a

# a failing one
raw_new bad /no/such/program
out=$(raw_create bad $crun)
like "$out" "error=*/no/such/program*" "crun's own message: $out"
is "$(cgroups_of "bad")" "" "no cgroup is left"
raw_end bad

# both runtimes in one pod
if [ -n "$PODSHIM" ]; then
	raw_run r sleep 1000 >/dev/null
	raw_jq='.annotations["io.containerd.runc.v2.group"] = "r"'
	raw_new c sleep 1000
	raw_jq=.
	like "$(raw_create c $crun)" "pid=*" "a crun container beside one of runc"
	call Start c >/dev/null
	is "$(raw_state r)$(raw_state c)" "$RUNNING$RUNNING" "both run"
	is "$(raw_exec c e true | value pid | grep -c .)" 1 "exec in crun's"
	is "$(raw_exec r e true | value pid | grep -c .)" 1 "exec in runc's"
	# the delete call kills what the dead keeper left, with the right runtime
	keeper=$(call Connect r | value shim_pid)
	kill -KILL "$keeper"
	check "the keeper's death" wait_for 60 pid_gone "$keeper"
	is "$(raw_delete c | value exit_status)" 137 "delete after the keeper's death: crun's"
	is "$(raw_delete r | value exit_status)" 137 "runc's"
	raw_unbundle c
	raw_unbundle r
fi
finish
