#!/bin/sh
# podshimctl in a real terminal: exec -t, window sizes, the question before SIGKILL.
. "$(dirname "$0")/../lib/containerd.sh"
[ -n "$PODSHIM" ] || skip_all "podshim's own tool"
command -v tmux >/dev/null || skip_all "no tmux"
ctd_up
run_d c1 sleep 1000
ctl() { podshimctl -n "$NS" "$@"; }
tm() { tmux -L "$TEST_ID" -f /dev/null "$@"; }
seen() { tm capture-pane -p -t t 2>/dev/null | grep -qE "$1"; }
type_in() { tm send-keys -t t "$1" Enter; }
# term COMMAND...: in a terminal of 100x30; its exit code to $T/rc
term() {
	rm -f "$T/rc"
	tm new-session -d -s t -x 100 -y 30 "$*; echo \$? >$T/rc.new; mv $T/rc.new $T/rc"
}
ended() { [ -e "$T/rc" ]; }

term podshimctl -n "$NS" exec -it c1 sh
wait_for 20 seen '#'
type_in 'stty size; echo $((40 + 2))'
check "a terminal as large as ours" wait_for 20 seen '^30 100'
check "what is typed is run" wait_for 20 seen '^42'
tm resize-window -t t -x 90 -y 20
type_in 'clear; stty size'
check "a new size is passed on" wait_for 20 seen '^20 90'
ctl resize c1 podshimctl- 50x10
is $? 0 "resize from outside"
type_in 'clear; stty size'
check "is seen inside" wait_for 20 seen '^10 50'
type_in 'clear; sleep 1000'
wait_for 20 seen 'sleep|^$'
tm send-keys -t t C-c
type_in 'echo still-$((1 + 1)); exit 3'
check "it ends" wait_for 20 ended
is "$(cat "$T/rc")" 3 "with the exit status; ^C was for the process inside"

term podshimctl -n "$NS" kill -s KILL c1
check "SIGKILL is asked about" wait_for 20 seen 'Kill container .c1. .*\[y/N\]'
type_in n
wait_for 20 ended
is "$(cat "$T/rc")" 6 "no is exit code 6"
check "and nothing happened" task_is c1 RUNNING
term podshimctl -n "$NS" kill -s KILL c1
wait_for 20 seen '\[y/N\]'
type_in y
wait_for 20 ended
is "$(cat "$T/rc")" 0 "yes is done"
check "it is dead" wait_for 10 task_is c1 STOPPED
tm kill-server 2>/dev/null
finish 60
