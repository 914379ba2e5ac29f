#!/bin/sh
# podshimctl run -it and attach in a real terminal.
. "$(dirname "$0")/../lib/containerd.sh"
[ -n "$PODSHIM" ] || skip_all "podshim's own tool"
. "$LIBDIR/run.sh"
. "$LIBDIR/terminal.sh"

term podshimctl -n "$NS" run -it --rootfs "$T/rootfs" s sh
check "a prompt" wait_for 60 seen '#'
type_in 'stty size; echo $((40 + 2))'
check "a terminal as large as ours, from the beginning" wait_for 60 seen '^30 100'
check "what is typed is run" wait_for 60 seen '^42'
tm resize-window -t t -x 90 -y 20
type_in 'clear; until [ "$(stty size)" = "20 90" ]; do sleep 0.05; done; echo re"sized"'
check "a new size is passed on" wait_for 60 seen '^resized'
press C-p C-q
check "ctrl-p ctrl-q" wait_for 60 ended
is "$(cat "$T/rc"),$(task_of s status)" "0,running" "detaches"
check "and leaves the terminal as it was" as_it_was
check "and says so" wait_for 60 seen "detached: 'podshimctl attach s'"

term podshimctl -n "$NS" attach s
type_in 'echo a"gain"'
check "attach" wait_for 60 seen '^again'
# a second one, without a terminal, that only watches
podshimctl attach --no-stdin s >"$T/watch" 2>&1 </dev/null &
w=$!
type_in 'until [ -e /tmp/both ]; do echo for "both"; sleep 0.1; done; clear; tty'
check "a second one sees it, too" wait_for 60 has "$T/watch" 'for both'
: >"$T/rootfs/tmp/both"
check "inside it is a terminal" wait_for 60 seen '^/dev/pts/'
press C-p x
type_in ''
check "ctrl-p alone is passed on" wait_for 60 seen 'x'
press C-c
type_in 'exit 4'
check "the shell ends" wait_for 60 ended
wait $w
is "$(cat "$T/rc"),$?" "4,4" "both have its exit status"
check "the terminal is as it was" as_it_was
is "$(podshimctl attach s 2>&1; echo $?)" "podshimctl: container 's' is not running ('podshimctl logs s' shows what it wrote)
125" "attach to one that has ended"
check "the log has it all" sh -c "podshimctl -n $NS logs s | grep -q 'for both'"

# delete asks
pr -d q sleep 1000 >/dev/null
term podshimctl -n "$NS" delete q
check "delete asks about a running one" wait_for 60 seen 'is running. Kill and delete it\? \[y/N\]'
type_in n
wait_for 60 ended
is "$(cat "$T/rc"),$(task_of q status)" "6,running" "no is no"
term "podshimctl -n '$NS' delete q 2>$T/log"
wait_for 60 ended
is "$(cat "$T/rc"),$(task_of q status)" "1,running" "a question that nobody would see is not asked"
like "$(cat "$T/log")" "*'q' is running; --force*" "and it says why"
terminals_end
rm_run q s
check "gone" no_run_dirs
finish 60
