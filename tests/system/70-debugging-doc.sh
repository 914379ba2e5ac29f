#!/bin/bash
# doc/DEBUGGING.md, step by step: its marked blocks, in one shell; and the shell that it
# promises, on a real terminal.
. "$(dirname "$0")/../lib/containerd.sh"
[ -n "$PODSHIM" ] || skip_all "podshim's own manual"
export PODSHIM_CONFIG="$T/podshim.conf"
: >"$PODSHIM_CONFIG"
ctd_up
doc=$(cd "$LIBDIR/../.." && pwd)/doc/DEBUGGING.md
export CONTAINERD_ADDRESS="$SOCK" CONTAINERD_NAMESPACE="$NS" IMAGE=$IMAGE
export POD=doc$RANDOM$RANDOM
note_id "$POD"
note_id "$POD-2"

# blocks behind "<!-- run -->", or "<!-- run: TOOL -->" if there is that tool; one file each
awk -v dir="$T" '/^<!-- run/ { tool = $0; sub(/^<!-- run:? ?/, "", tool); sub(/ ?-->$/, "", tool); next_ = 1 }
	/^```$/ && in_ { in_ = 0; close(file) }
	in_ { print > file }
	/^```sh$/ && next_ { n++; file = sprintf("%s/block-%02d%s", dir, n, tool == "" ? "" : "-" tool); in_ = 1; next_ = 0 }
' "$doc"
# other pods of this machine are not ours to wait for, nor are their names
podshimctl() { command podshimctl -n "$NS" "$@"; }
ctr() { command ctr "$@"; }
command -v less >/dev/null || less() { cat "$@"; }
blocks=0
for block in "$T"/block-*; do
	name=${block##*/block-}
	tool=${name#??}
	if [ -n "$tool" ] && ! command -v "${tool#-}" >/dev/null; then
		skip "block $name: no ${tool#-}"
		continue
	fi
	sed -i "s/ try0 / pdd$$ /" "$block"
	# shellcheck disable=SC1090
	{
		set -e
		. "$block"
		set +e
	} >"$T/out" 2>&1 </dev/null
	rc=$?
	is $rc 0 "block $name: $(head -n 1 "$block" | cut -c1-60)"
	[ $rc -eq 0 ] || diag "$(tail -n 15 "$T/out")"
	case $(cat "$block") in
	*'-ex detach'*) like "$(cat "$T/out")" "*#0 *" "with a backtrace" ;;
	esac
	blocks=$((blocks + 1))
done
check "there were blocks" test $blocks -ge 6

# the launch configuration is JSON
awk '/^```$/ { in_ = 0 } in_ { print } /^```json$/ { in_ = 1 }' "$doc" >"$T/launch.json"
is "$(jq '.configurations | length' "$T/launch.json")" 4 "the launch configurations are JSON"

if command -v tmux >/dev/null; then
	tm() { tmux -S "$T/tmux" -f /dev/null "$@"; }
	tm new-session -d -x 100 -y 30 "PS1='outer# ' exec sh"
	seen() { tm capture-pane -p | grep -q "$1"; }
	tm send-keys "podshimctl -n $NS debug shell $POD" Enter
	tm send-keys 'echo up-$((40+2))' Enter # read once the shell is up
	check "debug shell: on a terminal" wait_for 20 seen up-42
	tm send-keys 'clear; tty; readlink /proc/$$/ns/pid; cat' Enter
	pid=$(podshimctl -o json tasks "$POD" | jq ".[] | select(.container == \"$POD\").pid" | head -n 1)
	check "it is in the container's pids" wait_for 10 seen "$(readlink "/proc/$pid/ns/pid" | tr -d '[]')\\|pid:.$(readlink "/proc/$pid/ns/pid" | tr -dc 0-9)"
	check "and knows its terminal" wait_for 10 seen /dev/pts/
	tm send-keys C-c
	tm send-keys 'echo status-$?' Enter
	check "Ctrl-C ends the command, not the shell" wait_for 10 seen status-130
	tm send-keys 'exit 7' Enter
	left() { ! pgrep -f "^podshimctl -n $NS debug" >/dev/null; }
	check "it ends" wait_for 20 left
	tm send-keys 'echo outer-$?' Enter
	check "its status comes out" wait_for 20 seen outer-7
	tm kill-server
else
	skip "no tmux"
fi
finish
