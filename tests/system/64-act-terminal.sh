#!/bin/sh
# podshimctl in a real terminal: exec -t, window sizes, the question before SIGKILL.
. "$(dirname "$0")/../lib/containerd.sh"
[ -n "$PODSHIM" ] || skip_all "podshim's own tool"
. "$LIBDIR/terminal.sh"
ctd_up
run_d c1 sleep 1000
ctl() { podshimctl -n "$NS" "$@"; }

term podshimctl -n "$NS" exec -it c1 sh
wait_for 20 seen '#'
# the size comes another way than what is typed
type_in 'until [ "$(stty size)" = "30 100" ]; do sleep 0.05; done; echo as-"large"; echo $((40 + 2))'
check "a terminal as large as ours" wait_for 20 seen '^as-large'
check "what is typed is run" wait_for 20 seen '^42'
tm resize-window -t t -x 90 -y 20
type_in 'clear; until [ "$(stty size)" = "20 90" ]; do sleep 0.05; done; echo re"sized"'
check "a new size is passed on" wait_for 20 seen '^resized'
ctl resize c1 podshimctl- 50x10
is $? 0 "resize from outside"
type_in 'clear; stty size'
check "is seen inside" wait_for 20 seen '^10 50'
type_in 'clear; echo as"leep"; sleep 1000'
wait_for 20 seen '^asleep'
press C-c
type_in 'echo still-$((1 + 1)); exit 3'
check "it ends" wait_for 20 ended
is "$(cat "$T/rc")" 3 "with the exit status; ^C was for the process inside"
check "the terminal is as it was" as_it_was

term podshimctl -n "$NS" kill -s KILL c1
check "SIGKILL is asked about" wait_for 20 seen 'Kill container .c1. .*\[y/N\]'
type_in n
wait_for 20 ended
is "$(cat "$T/rc")" 6 "no is exit code 6"
check "and nothing happened" task_is c1 RUNNING
# ^C ends podshimctl; ^D and an empty line are no yes, and leave the prompt on a line of its own
term podshimctl -n "$NS" kill -s KILL c1
wait_for 20 seen '\[y/N\]'
press C-c
wait_for 20 ended_or_gone
rm -f "$T/rc"
check "^C: nothing happened" task_is c1 RUNNING
for key in C-d Enter; do
	rm -f "$T/key"
	term "podshimctl -n '$NS' kill -s KILL c1; rc=\$?; echo \$rc >$T/key.new; mv $T/key.new $T/key; until [ -e $T/seen ]; do sleep 0.1; done; (exit \$rc)"
	wait_for 20 seen '\[y/N\]'
	press "$key"
	check "$key: 'nothing done' begins a line" wait_for 20 seen '^podshimctl: nothing done'
	wait_for 20 test -e "$T/key"
	is "$(cat "$T/key")" 6 "$key is no"
	: >"$T/seen"
	wait_for 20 ended
	rm "$T/seen"
done
check "nothing happened" task_is c1 RUNNING
term podshimctl -n "$NS" kill -s KILL c
check "the beginning of a name: the question has all of it" wait_for 20 seen 'Kill container .c1. .*\[y/N\]'
type_in y
wait_for 20 ended
is "$(cat "$T/rc")" 0 "yes is done"
check "it is dead" wait_for 10 task_is c1 STOPPED

# top follows the window's size, and fills it to the last column
term podshimctl -n "$NS" top
check "top" wait_for 20 seen '^NAMESPACE .*READ  WRITTEN'
width=$(tm capture-pane -p -t t | grep '^NAMESPACE' | head -n 1 | wc -L)
tm resize-window -t t -x 40 -y 5
# podshim-... is what it was before, and would be if it were only cut off
check "small: a row is there yet" wait_for 20 seen '^podsh[^i]'
# what was drawn before cannot be taken for this: it was cut off
tm resize-window -t t -x "$width" -y 20
check "as wide as its table: nothing is cut" wait_for 20 seen '^NAMESPACE .*READ  WRITTEN$'
press q
check "q ends it" wait_for 20 ended
is "$(cat "$T/rc")" 0 "with 0"
# and gives the terminal back however it goes
term sh -i
wait_for 20 seen '[#$]'
on_main_screen() { [ "$(tm display -p -t t '#{alternate_on}')" = 0 ]; }
# sane WORD: the shell has the terminal, and can do its work
sane() {
	wait_for 60 on_main_screen || return 1
	type_in "clear; stty -a | grep -q -e -icanon -e ' -echo ' || echo is-\"$1\""
	wait_for 60 seen "^is-$1"
}
type_in "podshimctl -n '$NS' top -d 1"
check "top in a shell" wait_for 20 seen '^NAMESPACE'
press C-z
check "^Z" sane stopped
type_in fg
check "fg: its screen is back" wait_for 20 seen '^NAMESPACE'
check "on a screen of its own" eval '! on_main_screen'
press 'C-\'
check "^\\" sane quit
# a tool that the container's end kills has no time to do so
run_d c2 sleep 1000
type_in "clear; podshimctl -n '$NS' debug shell --yes c2 -- sh -c 'stty -echo -icanon; echo r\"aw\"; exec sleep 1000'"
check "debug shell: a tool with a raw terminal" wait_for 20 seen '^raw'
ctl kill -y -s KILL c2
check "which ends with the container" sane mended
type_in 'exit 0'
check "the shell ends" wait_for 20 ended
term "podshimctl -n '$NS' list; NO_COLOR=1 podshimctl -n '$NS' tasks; until [ -e $T/seen ]; do sleep 0.1; done"
wait_for 20 seen 'stopped'
coloured() { tm capture-pane -p -e -t t | grep "$1" | grep -q "$(printf '\033')"; }
check "list has colours" coloured RESTARTS
check "NO_COLOR: none" sh -c "! $(command -v tmux) -L '$TEST_ID' capture-pane -p -e -t t | grep EXITED | grep -q \"\$(printf '\\033')\""
: >"$T/seen"
wait_for 20 ended
terminals_end
finish 60
