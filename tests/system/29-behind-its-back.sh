#!/bin/sh
# The runtime is used behind the shim's back; the shim relies on its own eyes.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
ctd_up
events_start
raw_run a sleep 1000 >/dev/null
call Wait a >"$T/wait" &
w=$!
runc --root "/run/containerd/runc/$NS" delete --force a
check "Wait returns" wait_for 2 pid_gone $w
is "$(value exit_status <"$T/wait")" 137 "with the true status"
like "$(call Kill a signal=9)" "error=5 *" "Kill: NotFound"
is "$(raw_state a)" "$STOPPED" "State"
is "$(call Delete a | value exit_status)" 137 "Delete"
raw_end a

pid=$(raw_run b sleep 1000)
kill -KILL "$pid"
is "$(call Wait b | value exit_status)" 137 "killed from outside: 137"
raw_end b

# killed between Create and Start
raw_new c sleep 1000
pid=$(raw_create c | value pid)
kill -KILL "$pid"
check "it is noticed" wait_for 5 raw_state_is c $STOPPED
like "$(call Start c)" "error=*" "Start fails"
is "$(call Wait c | value exit_status)" 137 "Wait returns"
call Delete c >/dev/null
is $? 0 "Delete works"
raw_end c

# paused behind its back
raw_run d sleep 1000 >/dev/null
runc --root "/run/containerd/runc/$NS" pause d
is "$(call Kill d signal=9)" "" "Kill of a frozen task"
is "$(call Wait d | value exit_status)" 137 "it ends"
raw_end d
finish
