#!/bin/sh
# A grandchild holds the output: exits are told at once, Delete is bounded. What is at once
# is seen from the order of things, while a Delete that would take 600 s is under way.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
ctd_up
events_start
seconds() { date +%s; }
printf '[stdio]\ndrain = 600\n' >"$T/patient.conf"
export PODSHIM_CONFIG="$T/patient.conf"
init=$(raw_run main sleep 1000)
unset PODSHIM_CONFIG
raw_fifos e
exec 6<>"$RAW/e.err" 7<>"$RAW/e.out"
call Exec main exec_id=e "stdout=$RAW/e.out" "stderr=$RAW/e.err" \
	"spec=$(raw_spec sh -c 'sleep 1000 & echo first; exit 3')"
call Start main exec_id=e >/dev/null
is "$(call Wait main exec_id=e | value exit_status)" 3 "Wait returns although a grandchild holds stdout"
check "the exit event too" wait_for 3 events_has main "/tasks/exit e"
line=$(line_from <&7)
is "$line" first "what was written is there"
# a sibling is not delayed by that Delete
raw_timeout=600 call Delete main exec_id=e >"$T/delete" &
deleter=$!
is "$(raw_exec main g sh -c 'exit 0' | value pid | grep -c .)" 1 "another exec starts meanwhile"
is "$(call Wait main exec_id=g | value exit_status)" 0 "and ends"
is "$(raw_state main)" "$RUNNING" "State answers meanwhile"
check "without waiting for the Delete" kill -0 $deleter
grandchild() { call Pids main | value process | grep -vx "$init"; }
only_one() { [ "$(grandchild | wc -l)" = 1 ]; }
wait_for 60 only_one
kill -KILL "$(grandchild)"
wait $deleter
is "$(value exit_status <"$T/delete")" 3 "with the output's end Delete comes back"
exec 6<&- 7<&-

# the bound, 10 s by default; and the client of the FIFO sees the end after Delete, though the grandchild lives
raw_run bounded sleep 1000 >/dev/null
raw_fifos h
cat "$RAW/h.out" >"$T/h.out" &
reader=$!
exec 6<>"$RAW/h.err"
call Exec bounded exec_id=h "stdout=$RAW/h.out" "stderr=$RAW/h.err" "spec=$(raw_spec sh -c 'sleep 1000 & echo bye')"
call Start bounded exec_id=h >/dev/null
is "$(call Wait bounded exec_id=h | value exit_status)" 0 "another one's exit"
t0=$(seconds)
is "$(call Delete bounded exec_id=h | value exit_status)" 0 "Delete comes back though the grandchild lives"
check "once the drain time is over" test $(($(seconds) - t0)) -ge 9
check "the reader gets its end of file" wait_for 3 pid_gone $reader
is "$(cat "$T/h.out")" bye "and the output"
exec 6<&-

# the same at the end of a task: nobody reads the output at all
raw_new full sh -c 'head -c 300000 /dev/zero & sleep 0.2; exit 4'
raw_fifos full
exec 6<>"$RAW/full.err" 7<>"$RAW/full.out"
raw_create full "stdout=$RAW/full.out" "stderr=$RAW/full.err" >/dev/null
call Start full >/dev/null
is "$(call Wait full | value exit_status)" 4 "a full FIFO does not hold the exit"
is "$(call Delete full | value exit_status)" 4 "nor Delete for ever"
exec 6<&- 7<&-
raw_end full bounded main
finish
