#!/bin/sh
# The pod's database is deleted, cut off, overwritten, made unreadable, while the
# pod runs; then the worker is killed. Containers run on, exits are true, what was
# bad is kept aside, and the log says what was lost.
. "$(dirname "$0")/../lib/containerd.sh"
[ -n "$PODSHIM" ] || skip_all "podshim's own promise"
quick_events
ctd_up
events_start
other_worker() {
	ow_now=$(pod_field "$1" worker_pid)
	[ "${ow_now:-0}" -gt 0 ] && [ "$ow_now" != "$2" ]
}
kill_worker() {
	kw=$(pod_field "$1" worker_pid)
	kill -KILL "$kw"
	wait_for 10 other_worker "$1" "$kw"
}

for how in deleted truncated garbage header unreadable; do
	run_opts=$(group_opts "$how")
	run_d "${how}1" sh -c 'trap "exit 11" USR1; while :; do sleep 0.1; done'
	run_d "${how}2" sh -c 'trap "exit 12" USR1; while :; do sleep 0.1; done'
	run_opts=
	dir=$(ls -d "$STATE_ROOT/$NS/$how".????????)
	keeper=$(pod_field $how keeper_pid)
	wait_for 60 tasks_run 2 $how || not_ok "$how: not both containers run"
	before=$tasks
	x ${how}1 stay sh -c 'trap "exit 13" USR1; while :; do sleep 0.1; done' </dev/null >/dev/null 2>&1 &
	stay=$!
	wait_for 5 events_has ${how}1 "/tasks/exec-started stay"
	check "$how: an outstanding Wait" sh -c "kill -0 $stay"
	# what is would be lost with the database
	check "$how: nothing pending" wait_for 60 none_pending $how
	case $how in
	deleted) rm -f "$dir"/state.db* ;;
	truncated) : >"$dir/state.db" ;;
	garbage)
		dd if=/dev/urandom of="$dir/state.db" bs=4096 count=8 conv=notrunc 2>/dev/null
		dd if=/dev/urandom of="$dir/state.db-wal" bs=4096 count=8 conv=notrunc 2>/dev/null
		;;
	header) printf 'this is no database at all' | dd of="$dir/state.db" conv=notrunc 2>/dev/null ;;
	unreadable) # not even root can read a directory as a file
		rm -f "$dir"/state.db*
		mkdir "$dir/state.db"
		;;
	esac
	check "$how: the worker is killed, another comes" kill_worker $how
	check "$how: exec works" alive ${how}1
	wait_for 60 tasks_are "$before" $how
	is "$tasks" "$before" "$how: the same tasks, pids and states"
	is "$(pod_field $how keeper_pid)" "$keeper" "$how: the same keeper"
	case $how in
	deleted | truncated | header) ;;
	*) check "$how: the bad file is kept aside" sh -c "ls -d '$dir'/state.db.bad-*" ;;
	esac
	check "$how: and a good one made" sh -c "sqlite3 'file:$dir/state.db?mode=ro' 'select count(*) from container' | grep -qx 2"
	# the log still has the first page: that one heals by itself
	[ $how = header ] || check "$how: the log says what is lost" wait_for 60 grep -q "pod=$how.*unsent events and execs not started yet are lost" "$T/containerd.log"
	# exits: of the exec with its old Wait, of init with a worker and without one
	stay_pid=$(exec_pid $how stay)
	[ "${stay_pid:-0}" -gt 1 ] || bail "$how: no pid of the exec"
	usr1 "$stay_pid"
	wait $stay
	is $? 13 "$how: the old exec's status is true"
	usr1 "$(task_pid ${how}1)"
	check "$how: an exit" wait_for 5 task_is ${how}1 STOPPED
	like "$(ctr task rm ${how}1 2>&1)" "*exit code 11*" "$how: its status is true"
	w=$(pod_field $how worker_pid)
	p=$(task_pid ${how}2) # a State would wait for the worker
	kill -STOP "$w"
	usr1 "$p"
	wait_for 5 pid_gone "$p"
	rm -rf "$dir"/state.db "$dir"/state.db-*
	kill -KILL "$w"
	check "$how: an exit while state and worker are gone" wait_for 10 task_is ${how}2 STOPPED
	like "$(ctr task rm ${how}2 2>&1)" "*exit code 12*" "$how: its status is true, too"
	check "$how: events of the end" wait_for 10 events_has ${how}2 /tasks/delete
	ctr c rm ${how}1 ${how}2
done

finish
