#!/bin/sh
# Terminals: of a container and of an exec, their size, hang-up, ctr's own.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
ctd_up

# stty_of WHERE: what a shell loop in the container printed last, without the CR
raw_jq='.process.terminal = true'
raw_new tty sh -c 'stty size; tty; while read -r x; do echo "got $x"; stty size; done; echo end'
raw_jq=.
raw_fifos tty
exec 7<>"$RAW/tty.out" 8<>"$RAW/tty.in"
next() { tty_line=$(line_from <&7 | tr -d '\r'); }
like "$(raw_create tty terminal=1 "stdin=$RAW/tty.in" "stdout=$RAW/tty.out")" "pid=*" "Create with a terminal"
is "$(call ResizePty tty width=101 height=33)" "" "ResizePty before Start"
call Start tty >/dev/null
next
is "$tty_line" "33 101" "the size set before Start"
next
like "$tty_line" "/dev/pts/*" "it is a terminal"
is "$(call State tty | value terminal)" 1 "State says so"
echo hello >&8
next
is "$tty_line" hello "it echoes"
next
is "$tty_line" "got hello" "input arrives"
next
is "$tty_line" "33 101" "size unchanged"
is "$(call ResizePty tty width=80 height=24)" "" "ResizePty of a running task"
echo again >&8
next
next
next
is "$tty_line" "24 80" "the new size"
# ^D ends the input of a terminal
printf '\004' >&8
next
is "$tty_line" end "^D is the end of input"
check "it ends" wait_for 5 raw_state_is tty $STOPPED
is "$(call Wait tty | value exit_status)" 0 "status 0"
exec 7<&- 8<&-

# exec with a terminal, in a container without
raw_run main sleep 1000 >/dev/null
raw_fifos e
exec 7<>"$RAW/e.out" 8<>"$RAW/e.in"
call Exec main exec_id=e terminal=1 "stdin=$RAW/e.in" "stdout=$RAW/e.out" \
	"spec=$(raw_spec sh -c 'stty size; read -r x; stty size; sleep 1000')"
is "$(call ResizePty main exec_id=e width=99 height=22)" "" "ResizePty of an exec before Start"
call Start main exec_id=e >/dev/null
next
like "$tty_line" "* *" "an exec on a terminal ($tty_line)"
is "$(call ResizePty main exec_id=e width=132 height=43)" "" "ResizePty of a running exec"
echo >&8
next # the echo
next
is "$tty_line" "43 132" "the exec's new size"
# ^C reaches the foreground
printf '\003' >&8
check "^C ends it" wait_for 5 raw_exec_state_is main e $STOPPED
is "$(call Wait main exec_id=e | value exit_status)" 130 "status 130"
is "$(call Delete main exec_id=e | value exit_status)" 130 "Delete"
like "$(call ResizePty main exec_id=e width=80 height=24)" "error=*" "ResizePty of a deleted exec"
exec 7<&- 8<&-

# much output through a terminal, the last byte too
raw_fifos big
cat "$RAW/big.out" >"$T/big" &
reader=$!
call Exec main exec_id=big terminal=1 "stdin=$RAW/big.in" "stdout=$RAW/big.out" \
	"spec=$(raw_spec sh -c 'stty raw; i=0; while [ $i -lt 20000 ]; do echo "line $i"; i=$((i+1)); done')"
exec 8<>"$RAW/big.in"
call Start main exec_id=big >/dev/null
is "$(call Wait main exec_id=big | value exit_status)" 0 "20000 lines"
call Delete main exec_id=big >/dev/null
check "the reader sees the end" wait_for 5 pid_gone $reader
is "$(wc -l <"$T/big")" 20000 "all lines arrived"
is "$(tail -n 1 "$T/big")" "line 19999" "the last one too"
exec 8<&-

# a background job that holds the terminal does not hold the task's end
raw_fifos bg
exec 7<>"$RAW/bg.out"
call Exec main exec_id=bg terminal=1 "stdout=$RAW/bg.out" \
	"spec=$(raw_spec sh -c 'trap "" HUP; sleep 1000 & echo started')"
call Start main exec_id=bg >/dev/null
is "$(call Wait main exec_id=bg | value exit_status)" 0 "its exit is seen at once"
is "$(call Delete main exec_id=bg | value exit_status)" 0 "and Delete comes back"
exec 7<&-
raw_end tty main

# ctr's own terminal, under script(1)
if command -v script >/dev/null; then
	run_d c sleep 1000
	# a whole line, wherever the echo of the end of script's input comes to stand
	ended_or_told() { grep -q "/dev/.*$(printf '\r')" "$2" || pid_gone "$1"; }
	on_terminal() { # ID NAME STATUS CTR-ARGS: its output in $T/NAME.out
		ot_id=$1 ot_name=$2 ot_script=$(staying "$2" "tty; exit $3")
		shift 3
		rm -f "$T/$ot_name.out"
		script -qec "ctr -a '$SOCK' -n '$NS' $* sh -c '$ot_script'" /dev/null \
			>"$T/$ot_name.out" 2>&1 </dev/null &
		wait_for 60 ended_or_told $! "$T/$ot_name.out"
		let_go "$ot_id" "$ot_name"
		wait $!
	}
	on_terminal c t 7 task exec -t --fifo-dir "$T/fifo" --exec-id t c
	is $? 7 "ctr exec -t: exit status"
	like "$(cat "$T/t.out")" "*/dev/pts/*" "ctr exec -t: a terminal"
	note_id ct
	on_terminal ct ct 9 run -t --rm --runtime "$RUNTIME" --fifo-dir "$T/fifo" "$IMAGE" ct
	is $? 9 "ctr run -t: exit status"
	like "$(cat "$T/ct.out")" "*/dev/*" "ctr run -t: a terminal"
else
	skip "no script(1)"
fi
finish
