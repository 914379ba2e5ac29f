#!/bin/sh
# containerd is away, killed or stopped, while containers end and write: afterwards all
# events arrive, once and in order. A pod that containerd has forgotten ends by itself.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
[ -n "$PODSHIM" ] || skip_all "podshim's own promise"
printf '[pod]\nend_delay = 3\n' >"$T/podshim.conf"
ctd_prefix="env PODSHIM_CONFIG=$T/podshim.conf"
ctd_up
db_of() { ls "$STATE_ROOT/$NS/$1".????????/state.db; }
pending_at_least() { [ "$(pod_field pod events_pending)" -ge "$1" ]; }
log_complete() { [ "$(wc -l <"$1")" = 2000 ]; }
sent_of() { # ID: what was delivered, in order of delivery
	sqlite3 -separator ' ' "file:$(db_of pod)?mode=ro" \
		"SELECT topic, exec_id FROM sent WHERE container = '$1' ORDER BY n" | sed 's/ $//'
}

for how in KILL TERM; do
	run_opts=$(group_opts pod)
	for i in 1 2 3 4; do
		note_id "$how$i"
		run_d "$how$i" sh -c "trap 'exit $((20 + i))' USR1; while :; do sleep 0.1; done"
	done
	run_opts=
	keeper=$(shim_pids)
	# output that nobody reads for a while, to a file by a log program
	note_id "${how}log"
	# shellcheck disable=SC2046
	ctr run -d --log-uri "file://$T/$how.log" --runtime "$RUNTIME" $(group_opts pod) "$IMAGE" "${how}log" \
		sh -c 'i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; trap "exit 3" USR1; while :; do sleep 0.1; done'
	for i in 1 2 3 4 log; do eval "p$i=$(task_pid "$how$i")"; done
	check "$how: nothing pending" wait_for 180 none_pending pod
	sock=unix://$(sock_path pod)
	ctd_end $how
	# shellcheck disable=SC2154
	usr1 "$p1" "$p2" "$plog"
	for p in "$p1" "$p2" "$plog"; do wait_for 5 pid_gone "$p" || not_ok "$how: $p runs on"; done
	# execs while it is away, by hand: through the socket
	cat >"$T/spec" <<-END
		{"args": ["sh", "-c", "exit 5"], "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}}
	END
	for e in a b c; do
		rpc "$sock" Exec "id=${how}3" exec_id=$e "spec=$T/spec" >/dev/null &&
			rpc "$sock" Start "id=${how}3" exec_id=$e >/dev/null || not_ok "$how: exec $e"
		is "$(rpc "$sock" Wait "id=${how}3" exec_id=$e | value exit_status)" 5 "$how: exec $e, away"
	done
	check "$how: events wait" wait_for 60 pending_at_least 12
	# the worker dies, too: they wait on
	kill -KILL "$(pod_field pod worker_pid)"
	rpc "$sock" State "id=${how}3" >/dev/null
	# shellcheck disable=SC2154 # set by eval above
	usr1 "$p4"
	wait_for 5 pid_gone "$p4"
	check "$how: with a worker's death as well" wait_for 60 pending_at_least 13
	check "$how: the log file is complete" wait_for 60 log_complete "$T/$how.log"
	seqs=$(sqlite3 "file:$(db_of pod)?mode=ro" 'SELECT max(seq) FROM sent')
	ctd_start
	is "$(shim_pids)" "$keeper" "$how: the same keeper"
	events_start
	for i in 1 2 4 log; do
		check "$how: containerd learns of $how$i" wait_for 10 task_is "$how$i" STOPPED
	done
	check "$how: one runs on" wait_for 60 task_is "${how}3" RUNNING
	check "$how: all is delivered" wait_for 180 none_pending pod
	for i in 1 2 4 log; do
		is "$(sent_of "$how$i" | grep -c /tasks/exit)" 1 "$how$i: its exit was delivered once"
	done
	is "$(sent_of "${how}3" | grep ' ' | tr '\n' ',')" \
		"$(for e in a b c; do printf '/tasks/exec-added %s,/tasks/exec-started %s,/tasks/exit %s,' $e $e $e; done)" \
		"$how: execs' events in order"
	is "$(sqlite3 "file:$(db_of pod)?mode=ro" "SELECT count(*) FROM (SELECT seq, container, lag(seq) OVER (PARTITION BY container ORDER BY n) AS before FROM sent) WHERE before > seq")" \
		0 "$how: nothing overtook anything of its container"
	diag "$how: events up to $seqs were sent before"
	kill $events_pid
	for i in 1 2 4; do
		like "$(ctr task rm "$how$i" 2>&1)" "*exit code $((20 + i))*" "$how$i: its status is true"
	done
	like "$(ctr task rm "${how}log" 2>&1)" "*exit code 3*" "${how}log: its status is true"
	rm_c "${how}3"
	for i in 1 2 4 log; do ctr c rm "$how$i"; done
	wait_for 10 pid_gone "$keeper" || not_ok "$how: the keeper stays"
done

# By ttrpc from here on: a pod stays until its events have left, by the publish binary on a busy
# machine for longer than the pin of another, which must still be there.
printf '[pod]\nend_delay = 3\n[events]\ntransport = ttrpc\n' >"$T/podshim.conf"

# A shim was started, and containerd died before its Create: the pin expires, the pod ends.
# (30 s; so this one is only waited for at the end.)
raw_conf() { PODSHIM_CONFIG=$T/podshim.conf raw_start "$1"; }
raw_bundle never true
raw_conf never || not_ok "start of never"
never=$(shim_pids)

# The same without any delay: until the pin expires nobody asks again and again. It is
# started late, for it must still be there when "lone" has ended.
printf '[pod]\nend_delay = 0\n' >"$T/zero.conf"
# to $loops; a worker that does not get to answer in the dump's 1 s is asked again
zero_told() {
	loops=$(sed -n 's/^worker .*loops=\([0-9]*\) .*/\1/p' "$(podshimctl -n "$NS" dump zero)")
	[ -n "$loops" ]
}
raw_bundle zero true
zero=
zero_start() {
	PODSHIM_CONFIG=$T/zero.conf raw_start zero || not_ok "start of zero"
	zero=$(shim_pids | grep -vx -e "$never" -e "$keeper")
}

# A pod without any task, and nobody connected: ends after end_delay. So it does with a
# worker that came when all had been answered, for which it has more time.
printf '[pod]\nend_delay = 20\n[events]\ntransport = ttrpc\n' >"$T/late.conf"
for id in lone late; do
	raw_bundle $id sleep 1000
	conf=$T/late.conf
	[ $id = late ] || conf=$T/podshim.conf
	PODSHIM_CONFIG=$conf raw_start $id || not_ok "start of $id"
	raw_create $id >/dev/null && call Start $id >/dev/null
	keeper=$(shim_pids | grep -vx -e "$never" -e "${zero:-0}")
	call Kill $id signal=9 all=1 >/dev/null
	call Wait $id >/dev/null
	call Delete $id >/dev/null # and no Shutdown, no delete: containerd is gone
	case $id in
	lone) zero_start ;;
	late) check "late: another worker" podshimctl -n "$NS" restart late ;;
	esac
	check "$id: no task, nobody there: it ends after end_delay" wait_for 90 pid_gone "$keeper"
	[ $id = late ] || wait_for 60 zero_told
	raw_delete $id >/dev/null
	raw_unbundle $id
done
check "zero: its worker sleeps ($loops passes)" test "$loops" -lt 200

# A container that runs keeps its pod, whoever has forgotten it; once it ends, `delete`
# is what frees it.
raw_bundle kept sleep 1000
raw_conf kept
raw_create kept >/dev/null && pid=$(call Start kept | value pid)
kept=$(shim_pids | grep -vx -e "$never" -e "$zero")
kill -KILL "$pid"
call Wait kept >/dev/null
is "$(raw_state kept)" "$STOPPED" "kept: it has ended, its status waits to be asked for"
raw_delete kept >"$T/kept"
is "$(value exit_status <"$T/kept")" 137 "kept: delete tells it"
check "kept: then the pod ends" wait_for 12 pid_gone "$kept"
raw_unbundle kept
check "never: no Create came: it ends when its pin has expired" wait_for 40 pid_gone "$never"
check "zero: the same" wait_for 40 pid_gone "$zero"
raw_delete never >/dev/null
raw_unbundle never
raw_delete zero >/dev/null
raw_unbundle zero
finish
