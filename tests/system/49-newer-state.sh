#!/bin/sh
# A database that only a newer podshim can read is refused, in words, and never touched:
# containers run on, requests are answered Unavailable, and once a worker comes that can
# read it, by `podshimctl upgrade`, nothing is lost.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
[ -n "$PODSHIM" ] || skip_all "podshim's own promise"
[ -x "$BIN/next-worker" ] || skip_all "no next-worker: make system-drivers"
cp "$BIN/next-worker" "$T/next-schema"
ctd_up
events_start
raw_jq='.annotations["io.containerd.runc.v2.group"] = "pod"'
for i in 1 2; do
	raw_run "c$i" sh -c "trap 'exit $((40 + i))' USR1; while :; do sleep 0.1; done" >"$T/pid$i"
done
raw_jq=.
check "nothing pending" wait_for 30 none_pending pod
dir=$(ls -d "$STATE_ROOT/$NS"/pod.????????)
keeper=$(shim_pids)
# as the next release would leave it; and an exec that waits for its Start
call Exec c1 exec_id=later "spec=$(raw_spec sh -c 'exit 6')"
check "the database is the next release's" db_write "$dir/state.db" "CREATE TABLE of_the_next_release(a INTEGER PRIMARY KEY);
	PRAGMA user_version = 2; UPDATE meta SET value = '2' WHERE key = 'min_reader'"
like "$(podshimctl -n "$NS" list 2>&1 >/dev/null)" "*wants a reader of 2*" "podshimctl says that it cannot read it"
kill -KILL "$(pod_field pod worker_pid)"
refusals() { podshimctl -o json -n "$NS" crashes pod | jq '[.[] | select(.verdict == "it refused to work")] | length'; }
six() { [ "$(refusals)" -ge 6 ]; }
check "the workers refuse, also past the point of safe mode" wait_for 120 six
check "the log says why" wait_for 60 grep -q "wants a reader of 2; this is 1; refusing to work" "$T/shim.log"
# the newest may still be written: its verdict, by which it is counted, comes before its trace
recorded() { grep -qs "^trace:.*wants a reader of 2" "$(ls -t "$dir"/crash-*.txt | head -n 1)"; }
check "so does the crash record" wait_for 60 recorded
is "$(find "$dir" -name 'state.db.bad-*')" "" "the file is not set aside"
is "$(sqlite3 "file:$dir/state.db?mode=ro" "SELECT count(*) FROM process WHERE exec_id = 'later'")" 1 "nor changed"
like "$(call State c1 2>&1)" "*error=14 *" "a request is answered Unavailable"
check "containers live on" kill -0 "$(cat "$T/pid1")" "$(cat "$T/pid2")"
usr1 "$(cat "$T/pid2")" # an exit while nobody can write it
check "one ends" wait_for 60 pid_gone "$(cat "$T/pid2")"
# the way out
out=$(podshimctl -n "$NS" upgrade --worker "$T/next-schema" pod 2>&1)
is $? 0 "a worker that can read it takes over"
diag "$out"
is "$(raw_state c1)" "$RUNNING" "the container runs"
is "$(call State c1 | value pid)" "$(cat "$T/pid1")" "as the same process"
is "$(call Wait c2 | value exit_status)" 42 "the exit is true"
check "and told" wait_for 30 events_has c2 /tasks/exit
call Start c1 exec_id=later >/dev/null
is "$(call Wait c1 exec_id=later | value exit_status)" 6 "the exec that waited for its Start is there"
is "$(shim_pids)" "$keeper" "one keeper all the time"
raw_end c1 c2

# Nobody takes over, and containerd gives all of it up: then the keeper goes, too.
raw_run own sleep 1000 >"$T/own"
raw_jq='.annotations["io.containerd.runc.v2.group"] = "own"'
raw_run member sleep 1000 >"$T/member"
raw_jq=.
dir=$(ls -d "$STATE_ROOT/$NS"/own.????????)
keeper=$(pod_field own keeper_pid)
check "nothing of it pending" wait_for 60 none_pending own
check "its database, too" db_write "$dir/state.db" "PRAGMA user_version = 2; UPDATE meta SET value = '2' WHERE key = 'min_reader'"
kill -KILL "$(pod_field own worker_pid)"
hopeless() { call State own 2>&1 | grep -q "error=14 "; }
check "no worker comes up" wait_for 120 hopeless
check "delete of the member" raw_delete member
check "it is gone" wait_for 10 pid_gone "$(cat "$T/member")"
check "the keeper stays for the other" kill -0 "$keeper"
check "delete of the other" raw_delete own
check "and that is the end of the keeper" wait_for 20 pid_gone "$keeper"
check "and of the pod's directory" wait_for 10 test ! -e "$dir"
raw_unbundle own
raw_unbundle member
kill $events_pid
finish
