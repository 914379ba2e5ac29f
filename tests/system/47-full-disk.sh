#!/bin/sh
# The file system with the pods' state is full: Kill, Delete and exits go on, Create and
# Exec say why they cannot, and all of it is written once there is room again.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
[ -n "$PODSHIM" ] || skip_all "podshim's own promise"
R=$T/root-full
mkdir "$R"
mount -t tmpfs -o size=2m,mode=700 podshim-test "$R" || skip_all "no tmpfs"
# mount points are leftovers unless the trap finds them empty-handed
full_cleanup() {
	fc_rc=$?
	umount -l "$R" 2>/dev/null
	(exit $fc_rc)
	ctd_cleanup
}
trap full_cleanup EXIT
STATE_ROOT=$R
export PODSHIM_STATE_ROOT="$R"
quick_events
ctd_up
events_start
raw_jq='.annotations["io.containerd.runc.v2.group"] = "full"'
for i in 1 2 3 4; do
	raw_new "c$i" sh -c "trap 'exit $((30 + i))' USR1; while :; do sleep 0.1; done"
	raw_create "c$i" >/dev/null && call Start "c$i" >/dev/null || not_ok "container $i"
done
raw_new twice sh -c "trap 'exit 35' USR1; while :; do sleep 0.1; done"
raw_create twice >/dev/null && call Start twice >/dev/null || not_ok "container twice"
raw_new new sleep 1000
raw_jq=.
p1=$(raw_call_pid() { call State "$1" | value pid; }; raw_call_pid c1)
p2=$(call State c2 | value pid)
raw_exec c4 early sh -c 'exit 4' >/dev/null
is "$(call Wait c4 exec_id=early | value exit_status)" 4 "an exec has ended"
check "nothing pending" wait_for 10 none_pending full
fill() { dd if=/dev/zero of="$R/ballast.$1" bs=4096 >/dev/null 2>&1; }
fills=0
is_full() {
	fills=$((fills + 1))
	fill $fills
	[ "$(df --output=avail "$R" | tail -n 1 | tr -d ' ')" = 0 ]
}
check "the disk is full" wait_for 60 is_full

# it has a reserve: use it up, then every commit fails
n=0
refused=
while [ $n -lt 400 ] && [ -z "$refused" ]; do
	fill $((n + 1000))
	out=$(call Exec c4 exec_id=e$n "spec=$(raw_spec true)" 2>&1) || refused=$out
	n=$((n + 1))
done
like "$refused" "*" "Exec is refused after $n"
diag "$refused"
like "$refused" "*error=8 *" "with ResourceExhausted"
out=$(raw_create new 2>&1)
is $? 1 "so is Create"
like "$out" "*error=8 *" "with ResourceExhausted"
usr1 "$p1"
is "$(call Wait c1 | value exit_status)" 31 "an exit is seen, and true"
wait_for 60 catches_usr1 "$p2"
check "Kill works" call Kill c2 signal=10
is "$(call Wait c2 | value exit_status)" 32 "and its exit, too"
is "$(call Delete c1 | value exit_status)" 31 "Delete works"
is "$(call Delete c4 exec_id=early | value exit_status)" 4 "of an exec, too"
is "$(raw_state c3)" "$RUNNING" "the others run"
# the worker dies with all of that unwritten
kill -KILL "$(pod_field full worker_pid)"
is "$(call State c2 | value exit_status)" 32 "after a crash the unwritten exit is still known"
like "$(call State c1 2>&1)" "*error=5 *" "what was told as deleted is not brought back"
like "$(call State c4 exec_id=early 2>&1)" "*error=5 *" "nor is the exec"
is "$(raw_state c3)" "$RUNNING" "and the others run"
kill -KILL "$(pod_field full worker_pid)"
like "$(call State c1 2>&1)" "*error=5 *" "nor by the next worker"
usr1 "$(call State twice | value pid)"
is "$(call Wait twice | value exit_status)" 35 "another exit is seen"
check "and deleted" call Delete twice
fill last
usr1 "$(call State c3 | value pid)"
is "$(call Wait c3 | value exit_status)" 33 "and exits are seen"
rm -f "$R"/ballast.*
check "with room again, one of a deleted name can be created" raw_create twice
kill -KILL "$(pod_field full worker_pid)"
is "$(raw_state twice)" "$CREATED" "which the next worker does not take for the deleted one"
rows() { sqlite3 "file:$(ls "$R/$NS"/full.????????/state.db)?mode=ro" "SELECT exit_status FROM process WHERE container = '$1' AND exec_id = '' AND state = 4" 2>&1; }
row_is() { [ "$(rows "$1")" = "$2" ]; }
check "c2's exit is written" wait_for 10 row_is c2 32
check "and c3's" wait_for 10 row_is c3 33
check "c1 is deleted there, too" wait_for 10 row_is c1 ""
check "and its exec" sh -c '[ -z "$(sqlite3 "$1" "SELECT exec_id FROM process WHERE exec_id = '"'early'"'")" ]' - "file:$(ls "$R/$NS"/full.????????/state.db)?mode=ro"
raw_delete c1 >"$T/delete1"
is "$(value exit_status <"$T/delete1")" 31 "delete still knows c1's status"
check "Create works" raw_create new
check "Exec, too" raw_exec c4 again true
check "the events went out" wait_for 20 events_has c3 /tasks/exit
check "c1's last event, too" wait_for 20 events_has c1 /tasks/delete
# A worker was killed, perhaps after containerd had taken one and before it could write that down:
# that one is sent again (at least once), but none overtakes another.
is "$(events_of c1 | uniq | tr '\n' ' ')" "/tasks/create /tasks/start /tasks/exit /tasks/delete " "all of them, in order"
for i in 1 2 3; do
	is "$(event_body "c$i" /tasks/exit | jq -r .exit_status | sort -u)" $((30 + i)) "c$i: its event is true"
done
raw_end c1 c2 c3 c4 new twice
kill $events_pid
wait_for 10 sh -c "! ls -d '$R/$NS'/full.???????? 2>/dev/null"
# the keeper may end a moment later
wait_for 60 umount "$R" 2>/dev/null || not_ok "somebody still uses the full disk"
finish
