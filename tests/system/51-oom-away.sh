#!/bin/sh
# containerd is away while containers are killed for want of memory, and while they write:
# afterwards each TaskOOM has arrived, once and before the exit, and not a byte is lost.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
[ -n "$PODSHIM" ] || skip_all "podshim's own promise"
ctd_up
LINES_=500000 # more than all the pipes on the way take: the writer waits for a reader
seq 1 $LINES_ >"$T/expected"
size=$(wc -c <"$T/expected")
eat='dd if=/dev/zero of=/dev/null bs=200M count=1'
group='.annotations["io.containerd.runc.v2.group"] = "pod"'
raw_jq="$group | .linux.resources.memory = {limit: 16777216}"
started() { # ID SCRIPT [field=value]...: does SCRIPT when it gets SIGUSR1; its pid in $T/ID.pid
	st_id=$1 st_script=$2
	shift 2
	raw_new "$st_id" sh -c "trap '$st_script' USR1; while :; do sleep 0.1; done"
	raw_create "$st_id" "$@" >/dev/null && call Start "$st_id" | value pid >"$T/$st_id.pid" || not_ok "$st_id"
}
started child "$eat; exit 5"    # a child is killed, init lives on and ends with 5
started init "exec $eat"        # init is killed
started down "exec $eat"        # the same while there is no worker either
started exec true               # an exec is killed
raw_jq=$group
# two that write: to a FIFO that a client reads, to a file
raw_fifos w
started w "seq 1 $LINES_; exit 6" "stdout=$RAW/w.out"
started f "seq 1 $LINES_; exit 7" "stdout=file://$T/f.log"
raw_jq=.
pid() { cat "$T/$1.pid"; }
db=$(ls "$STATE_ROOT/$NS"/pod.????????/state.db)
sql() { sqlite3 -separator ' ' "file:$db?mode=ro" "$1"; }
sent_of() { sql "SELECT topic, exec_id FROM sent WHERE container = '$1' ORDER BY n" | sed 's/ $//' | tr '\n' ','; }
waiting() { sql "SELECT count(*) FROM event WHERE container = '$1' AND topic = '$2'"; }
waits() { [ "$(waiting "$1" "$2")" -ge 1 ]; }
check "nothing pending" wait_for 180 none_pending pod
keeper=$(shim_pids)

# --- away
# the reader leaves in the middle, as containerd does
head -c 10000 "$RAW/w.out" >"$T/w.1" &
reader=$!
ctd_kill
usr1 "$(pid child)" "$(pid init)" "$(pid w)" "$(pid f)"
is "$(call Wait child | value exit_status)" 5 "init lives on after its child was killed"
is "$(call Wait init | value exit_status)" 137 "init is killed"
raw_exec exec x dd if=/dev/zero of=/dev/null bs=200M count=1 >/dev/null
is "$(call Wait exec exec_id=x | value exit_status)" 137 "an exec is killed"
wait $reader
is "$(wc -c <"$T/w.1")" 10000 "the reader has read a part"
for i in child init exec; do check "$i: its TaskOOM waits" wait_for 60 waits $i /tasks/oom; done
w=$(pod_field pod worker_pid)
usr1_late() { wait_for 60 catches_usr1 "$(pid down)"; }
usr1_late
kill -STOP "$w"
kill -USR1 "$(pid down)"
check "one is killed while the worker stands still" wait_for 60 pid_gone "$(pid down)"
kill -KILL "$w"
is "$(call Wait down | value exit_status)" 137 "its status is known to the next worker"
check "down: its TaskOOM waits" wait_for 60 waits down /tasks/oom
is "$(call Wait f | value exit_status)" 7 "one that writes to a file does not notice"
is "$(raw_state w)" "$RUNNING" "one whose reader is gone waits for the next"
for i in child init exec down; do
	is "$(waiting $i /tasks/oom)" 1 "$i: TaskOOM once"
done

# --- back
ctd_start
is "$(shim_pids)" "$keeper" "the same keeper"
head -c $((size - 10000)) "$RAW/w.out" >"$T/w.2" &
reader=$!
check "all is delivered" wait_for 180 none_pending pod
for i in child init down; do
	is "$(sent_of $i)" "/tasks/create,/tasks/start,/tasks/oom,/tasks/exit," "$i: OOM once, before the exit"
done
# it may want for memory before the runtime has said that it runs
is "$(sent_of exec | sed 's|/tasks/oom,/tasks/exec-started x,|/tasks/exec-started x,/tasks/oom,|')" \
	"/tasks/create,/tasks/start,/tasks/exec-added x,/tasks/exec-started x,/tasks/oom,/tasks/exit x," \
	"exec: OOM once, before the exec's exit"
check "the next reader gets the rest" wait_for 60 pid_gone $reader
wait $reader
cat "$T/w.1" "$T/w.2" >"$T/w"
check "not a byte to the FIFO is lost, doubled or out of order" cmp "$T/w" "$T/expected"
check "nor one to the file" wait_for 60 cmp "$T/f.log" "$T/expected"
is "$(call Wait w | value exit_status)" 6 "then it ends as it meant to"
raw_end child init down exec w f
finish
