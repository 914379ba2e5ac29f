#!/bin/sh
# Containers in a user namespace: their stdio is theirs, to open by name as well.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
unshare -U true 2>/dev/null || skip_all "no user namespaces here"
quick_events
ctd_up
userns='.linux.namespaces += [{type: "user"}] | .linux.uidMappings = [{containerID: 0, hostID: 70000, size: 65536}]
	| .linux.gidMappings = .linux.uidMappings'
# the Go shim has to be told what podshim sees in the spec
owner=
[ -n "$PODSHIM" ] || owner="options.io_uid=70000 options.io_gid=70000"
raw_jq=$userns
# shellcheck disable=SC2016 # for the shell inside
prog='read -r line; echo "got $line" >/dev/stdout; echo err >/dev/stderr;'
raw_new u sh -c "$prog stat -L -c %u:%g /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2; sleep 1000"
raw_jq=.
raw_fifos u
exec 6<>"$RAW/u.err" 7<>"$RAW/u.out" 8<>"$RAW/u.in"
# shellcheck disable=SC2086
out=$(raw_create u $owner "stdin=$RAW/u.in" "stdout=$RAW/u.out" "stderr=$RAW/u.err")
like "$out" "pid=*" "Create in a user namespace"
pid=$(call Start u | value pid)
is "$(awk '/^Uid/ { print $2 }' "/proc/$pid/status")" 70000 "its root is another one outside"
echo hello >&8
is "$(line_from <&7)" "got hello" "/dev/stdout can be opened"
is "$(line_from <&6)" err "/dev/stderr too"
is "$(line_from <&7) $(line_from <&7) $(line_from <&7)" "0:0 0:0 0:0" "all three are root's, inside"
exec 6<&- 7<&- 8<&-
raw_fifos e # of its own: whoever reads init's might take what is meant for it
exec 6<>"$RAW/e.err" 7<>"$RAW/e.out" 8<>"$RAW/e.in"
call Exec u exec_id=e "stdin=$RAW/e.in" "stdout=$RAW/e.out" "stderr=$RAW/e.err" \
	"spec=$(raw_spec sh -c 'read -r line; echo "exec $line" >/dev/stdout')"
call Start u exec_id=e >/dev/null
echo again >&8
is "$(line_from <&7)" "exec again" "an exec's too"
is "$(call Wait u exec_id=e | value exit_status)" 0 "it ends well"
exec 6<&- 7<&- 8<&-
# a terminal
raw_fifos t
exec 7<>"$RAW/t.out" 8<>"$RAW/t.in"
call Exec u exec_id=t terminal=1 "stdin=$RAW/t.in" "stdout=$RAW/t.out" \
	"spec=$(raw_spec sh -c 'echo on it >"$(tty)"; stat -c %u "$(tty)"')"
call Start u exec_id=t >/dev/null
is "$(echo "$(line_from <&7) $(line_from <&7)" | tr -d '\r')" "on it 0" "a terminal can be opened by its name"
exec 7<&- 8<&-
is "$(call Kill u signal=9)" "" "Kill"
is "$(call Wait u | value exit_status)" 137 "137"
is "$(call Delete u | value exit_status)" 137 "Delete"
raw_end u
finish 30
