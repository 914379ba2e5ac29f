# A real terminal for commands, by tmux: sourced behind containerd.sh.
# shellcheck shell=sh

command -v tmux >/dev/null || skip_all "no tmux"
tm() { command tmux -L "$TEST_ID" -f /dev/null "$@"; }
# An idle session keeps the server: one that leaves with its last session still takes the next
# command's connection, and that command fails ("server exited unexpectedly").
tm new-session -d -s idle "exec sleep 100000" || bail "tmux does not start"

# term COMMAND...: in a new terminal of 100x30, the last one is gone; then its exit code is in $T/rc,
# and $T/stty has a line for each state that the terminal was in before and after it
term() {
	tm kill-session -t t 2>/dev/null
	rm -f "$T/rc"
	tm new-session -d -s t -x 100 -y 30 "stty -g >$T/stty; PODSHIM_TEST_ID=$TEST_ID $*; echo \$? >$T/rc.new
		stty -g >>$T/stty; mv $T/rc.new $T/rc; exec sleep 1000" || bail "no terminal for '$*'"
}
ended() { [ -e "$T/rc" ]; }
# ^C reaches the shell around it, too
ended_or_gone() { ended || ! tm has-session -t t 2>/dev/null; }
as_it_was() { [ "$(wc -l <"$T/stty")" = 2 ] && [ "$(uniq "$T/stty" | wc -l)" = 1 ]; }
seen() { tm capture-pane -p -t t 2>/dev/null | grep -qE -e "$1"; }
type_in() { tm send-keys -t t "$1" Enter; }
press() { tm send-keys -t t "$@"; }
terminals_end() { tm kill-server; }
