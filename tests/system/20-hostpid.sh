#!/bin/sh
# Without a pid namespace of its own the end of init does not end the rest by itself.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
ctd_up
events_start
host='del(.linux.namespaces[] | select(.type == "pid"))'
raw_jq=$host
init=$(raw_run h sh -c 'sleep 1001 & sleep 1002 & wait')
raw_jq=.
pids() { call Pids h | value process; }
three() { [ "$(pids | wc -l)" = 3 ]; }
check "init and two children" wait_for 5 three
children=$(pids | grep -vx "$init")
is "$(raw_exec h e sleep 1003 | value pid | grep -c .)" 1 "an exec"
call Wait h exec_id=e >"$T/wait-e" &
w=$!
call Kill h signal=9
is "$(call Wait h | value exit_status)" 137 "init's exit"
wait $w
is "$(value exit_status <"$T/wait-e")" 137 "the exec dies with it"
for p in $children; do
	check "child $p is killed" wait_for 3 pid_gone "$p"
done
check "all exits are told" wait_for 5 events_has h /tasks/exit
# The Go shim of containerd 1.6 does not yet keep this order.
[ -z "$PODSHIM" ] ||
	is "$(events_of h | tail -2 | tr '\n' ' ')" "/tasks/exit e /tasks/exit " "the exec first, init last"
raw_end h

# kill all
raw_jq=$host
init=$(raw_run h sh -c 'trap "" TERM; sleep 1004 & sleep 1005 & while :; do wait; done')
raw_jq=.
check "three again" wait_for 5 three
children=$(pids | grep -vx "$init")
is "$(call Kill h signal=9 all=1)" "" "kill all"
is "$(call Wait h | value exit_status)" 137 "init"
for p in $children; do
	check "child $p is killed" wait_for 3 pid_gone "$p"
done
raw_end h

# orphans of such a container fall to the shim: none may stay a zombie
raw_jq=$host
init=$(raw_run h sh -c 'i=0; while [ $i -lt 50 ]; do sh -c "true & true & exit 0"; i=$((i+1)); done; exec sleep 1006')
raw_jq=.
no_zombies() {
	for z in $(shim_pids); do
		[ -z "$(ps -o stat= --ppid "$z" | grep Z)" ] || return 1
	done
}
only_init() { [ "$(pids | wc -l)" = 1 ]; }
check "all have been made" wait_for 60 cmdline_is "$init" "sleep 1006"
check "the orphans end" wait_for 10 only_init
check "and are reaped" wait_for 5 no_zombies
raw_end h
finish
