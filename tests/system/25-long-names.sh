#!/bin/sh
# A namespace of 76 characters and an id of 64: paths beyond a socket's 107.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
NS=$(printf '%s-%076d' "$NS" 0 | head -c 76)
CTD_NS=$NS
echo "$NS" >"$T/ns"
ctd_up
id=$(printf 'c%063d' 7)
run_d "$id" sleep 1000
check "by ctr" wait_for 60 task_is "$id" RUNNING
is "$(x_out "$id" "$(printf 'e%063d' 7)" "echo fine")" fine "exec with a long id"
check "its socket" test -S "$(sock_path "$id")"
if [ -n "$PODSHIM" ]; then
	is "$(podshimctl -n "$NS" -o json list | jq --arg id "$id" '[.[] | select(.pod == $id)] | length')" 1 "podshimctl finds it"
fi
rm_c "$id"
wait_for 10 nothing_left
raw_run "$id" sleep 1000 >/dev/null
is "$(raw_state "$id")" "$RUNNING" "by hand"
raw_end "$id"
check "the namespace is as long as one can be" test "$(printf %s "$CTD_NS" | wc -c)" -eq 76
# deep paths: the bundle's directory is longer than 107 bytes as well
check "the bundle's path is long" test "$(printf %s "$(bundle "$id")" | wc -c)" -gt 107
finish
