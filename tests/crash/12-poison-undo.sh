#!/bin/sh
# A Create that fails, and whose undo kills every worker: the request is condemned, its
# undo is given up after a few tries, the pod goes on. Workers killed from outside in that
# very place do not count. containerd's `delete` cleans what was left. A build with crash
# points.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
ctd_up
raw_jq='.annotations["io.containerd.runc.v2.group"] = "pod"'
raw_new a sh -c 'trap "exit 7" USR1; while :; do sleep 0.1; done'
raw_create a >/dev/null && pid=$(call Start a | value pid)
usr1_ready() { catches_usr1 "$pid"; }
check "a sibling runs" wait_for 60 usr1_ready
dir=$(echo "$STATE_ROOT/$NS"/pod.????????)
keeper=$(shim_pids)
raw_timeout=3600 call Wait a >"$T/wait" 2>&1 &
wait_pid=$!
not_ours="$not_ours $wait_pid"
raw_jq='.annotations["io.containerd.runc.v2.group"] = "pod" | .process.args = ["/nowhere"]'
for i in bad killed; do raw_new $i x; done
raw_jq=.
crashes() { podshimctl -o json -n "$NS" crashes pod | jq length; }
sql() { sqlite3 "file:$dir/state.db?mode=ro" "$1"; }
leaked() { sql "SELECT value FROM meta WHERE key = 'leaked'"; }
row_of() { sql "SELECT state FROM container WHERE id = '$1'"; }

# arm ACTION: each worker that comes to an undo's last part dies in that way
arm() {
	printf 'undo.rest:always%s' "$1" >"$dir/crashpoint.new"
	mv "$dir/crashpoint.new" "$dir/crashpoint"
}
disarm() { rm -f "$dir/crashpoint"; }

# --- it kills each worker by its own fault
arm :abrt
out=$(raw_create bad 2>&1)
like "$out" "*error=13 *crash*" "the Create is answered Internal, and the text says why"
is_leaked() { [ "$(leaked)" = bad ]; }
check "its undo is given up" wait_for 120 is_leaked
n=$(crashes)
is "$n" 5 "two workers for the Create, three for its undo"
is "$(raw_state a)" "$RUNNING" "the sibling runs"
raw_exec a fine true >/dev/null
is "$(call Wait a exec_id=fine | value exit_status)" 0 "and can be worked with"
is "$(call State bad 2>&1 | grep -c error=5)" 1 "bad is not known any more"
is "$(row_of bad)" "" "nor has it a row"
check "the log names it" grep -q "container 'bad': undoing its Create killed 2 workers" "$T/shim.log"
# the next workers have nothing to do with it
w=$(pod_field pod worker_pid)
kill -KILL "$w"
is "$(raw_state a)" "$RUNNING" "the next worker"
is "$(crashes)" $((n + 1)) "lives"
disarm
check "it stays known" is_leaked
like "$(podshimctl -n "$NS" doctor)" "*left of: bad.*" "and doctor tells"
raw_delete bad >/dev/null
is "$(leaked)" "" "containerd's delete takes it away"
is "$(find /sys/fs/cgroup -type d -path "*/$NS/bad" 2>/dev/null)" "" "and with it what it left"

# --- somebody kills six workers in the same place: that is no fault of the undo
arm ""
raw_create killed >"$T/killed" 2>&1 &
create=$!
not_ours="$not_ours $create"
newest() { podshimctl -o json -n "$NS" crashes pod | jq '[.[].generation] | max'; }
six_more() { [ "$(newest)" -ge $((last + 6)) ]; }
last=$(newest)
check "six workers are killed from outside in an undo" wait_for 120 six_more
disarm
wait $create
like "$(cat "$T/killed")" "*error=2 *" "then the Create fails for its own reason"
diag "$(cat "$T/killed")"
is "$(leaked)" "" "its undo was not given up"
is "$(row_of killed)" "" "but done"
is "$(shim_pids)" "$keeper" "one keeper all the time"
kill -USR1 "$pid"
wait $wait_pid
like "$(cat "$T/wait")" "*exit_status=7*" "a Wait that was outstanding all the time is true"
raw_delete killed >/dev/null
raw_end a
raw_unbundle bad
raw_unbundle killed
check "the pod ends" wait_for 30 pid_gone "$keeper"
finish
