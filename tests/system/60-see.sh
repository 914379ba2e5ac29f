#!/bin/sh
# What podshimctl shows of a pod, with the worker alive, stopped, dead in a loop, with the
# keeper stopped, and with containerd dead and the bundle gone: always within its time, and
# as doc/schema says.
. "$(dirname "$0")/../lib/containerd.sh"
[ -n "$PODSHIM" ] || skip_all "podshim's own tool"
ctd_up
ctl() { timeout $((30 * SLOW)) podshimctl -n "$NS" "$@"; }
# json SCHEMA VERB...: what it prints, checked; the output is left in $T/json
json() {
	js_schema=$1
	shift
	ctl "$@" -o json >"$T/json" 2>"$T/err"
	js_rc=$?
	[ "$js_rc" = 0 ] && as_schema "$js_schema" "$T/json" && return 0
	sed 's/^/# /' "$T/err" | head -20 >&2
	return 1
}
sees() { # SITUATION: all that shows the pod
	for se_verb in list:list tasks:tasks "inspect:inspect pod" "ps:ps pod" "stats:stats pod" "stats:stats c0" \
		"events:events pod" "history:history pod/c0" "crashes:crashes pod"; do
		# shellcheck disable=SC2086 # a list of words
		check "$1: ${se_verb#*:}" json "${se_verb%%:*}" ${se_verb#*:}
	done
	ctl ps pod/c0 -o json >"$T/json"
	is "$(jq -r '.[] | select(.command == "sleep 1001") | .exec' "$T/json")" null "$1: ps has the process"
	like "$(ctl metrics pod | tail -n 1)" "# EOF" "$1: metrics"
}
value() { pod_field pod "$1"; }
# is_like PATTERN: what list says of it
is_like() {
	# shellcheck disable=SC2254 # it is meant as a pattern
	case $(ctl list -o json | jq -r ".[0].state") in $1) ;; *) false ;; esac
}
scraped() { ctl metrics --all >"$T/metrics" && grep -q '^podshim_worker_answers.* 1$' "$T/metrics"; }

run_opts=$(group_opts pod)
run_d c0 sh -c 'sleep 1001 & wait'
run_d c1 sleep 1002
run_opts=
x c0 e1 sh -c 'exit 3; #hidden' </dev/null >/dev/null 2>&1
check "events are delivered" wait_for 10 sh -c "podshimctl -n '$NS' events -o jsonl | grep -q '\"exec\":\"e1\",\"topic\":\"/tasks/exit\",\"state\":\"delivered\"'"

sees "alive"
check "version" json version version
wait_for 20 scraped
like "$(grep '^podshim_request_duration_seconds_count{.*method="Create"}' "$T/metrics")" "*pod=\"pod\"*} 2" \
	"metrics: two Creates were counted"
like "$(grep '^podshim_command_duration_seconds_count{.*command="exec"}' "$T/metrics")" "*} 1" "and an exec's command"
like "$(grep '^podshim_event_delivery_seconds_count' "$T/metrics" | head -n 1)" "*transport=*" "and deliveries"
check "keeper and worker take memory" sh -c "grep -c '^podshim_memory_bytes{.*} [1-9]' '$T/metrics' | grep -q 2"
is "$(grep -c '^podshim_worker_answers.* 1$' "$T/metrics")" 1 "the worker answers"
# a family's samples stand together, behind its TYPE, which comes once
check "metrics are in order" awk '/^# EOF/ { end = NR; next } /^#/ { if ($2 == "TYPE" && seen[$3]++) exit 1; f = $3; next }
	index($1, f) != 1 { exit 1 } END { exit end != NR }' "$T/metrics"

history=$(ctl history pod)
like "$history" "*exec*sh ...*" "history: the exec, without its arguments"
check "which may be secret" sh -c "! printf %s \"\$1\" | grep -q hidden" sh "$history"
like "$(ctl history pod/c0 --args)" "*sh -c 'exit 3; #hidden'*" "unless asked for"
like "$history" "*e1*exit*exit status 3*" "history: how it ended"
like "$(ctl ps pod)" "*(shim)*podshim-keeper*podshim-worker*" "ps: the shim's own processes"

# what goes on is a line for each row, whichever JSON was asked for
ctl top -r 2 -d 1 -o json pod >"$T/json"
is "$(jq -r .container "$T/json" | tr '\n' ' '; wc -l <"$T/json")" "c0 c1 c0 c1 4" "top -o json: as jsonl"

# bad input
ctl ps pdo >"$T/out" 2>"$T/err"
is "$?" 4 "an unknown pod"
is "$(cat "$T/err")" "podshimctl: no pod or container 'pdo', did you mean 'pod'?" "has its nearest name told"
if command -v setpriv >/dev/null; then
	setpriv --reuid 65534 --clear-groups "$(command -v podshimctl)" list >"$T/out" 2>"$T/err"
	is "$?" 3 "without permission"
	is "$(wc -l <"$T/err")" 1 "in one sentence"
fi

# the worker is stopped
w=$(value worker_pid)
[ "${w:-0}" -gt 1 ] || bail "no pid"
kill -STOP "$w"
check "worker stopped: list says so" wait_for 20 is_like '*stopped*'
sees "worker stopped"
silent() { [ "$(ctl metrics | grep -c '^podshim_worker_answers.* 0$')" = 1 ]; }
check "worker stopped: metrics say so" wait_for 20 silent
kill -CONT "$w"

# the keeper is stopped
k=$(value keeper_pid)
[ "${k:-0}" -gt 1 ] || bail "no pid"
kill -STOP "$k"
check "keeper stopped: unresponsive" wait_for 20 is_like unresponsive
sees "keeper stopped"
like "$(ctl ps pod)" "*(shim)*T*podshim-keeper*" "keeper stopped: ps shows it"
kill -CONT "$k"

# the worker dies and dies, containerd is dead, the bundle is gone
ctd_end KILL
mv "$(bundle c0)" "$T/bundle"
in_loop() {
	is_like crash-loop && return
	w=$(value worker_pid)
	[ "${w:-0}" -gt 1 ] && kill -KILL "$w" 2>/dev/null
	false
}
check "crash loop: list says so" wait_for 20 in_loop || ctl list | sed 's/^/# /'
sees "crash loop"
mv "$T/bundle" "$(bundle c0)"
ctd_start

# a container that has been deleted is still found, one that never was is not
ctr task kill -s KILL c1
wait_for 10 task_is c1 STOPPED
ctr task rm c1 >/dev/null 2>&1
like "$(ctl history c1)" "*kill*signal 9 (Killed)*exit*by a signal*delete*" "history of a deleted container"
ctl history c2 >/dev/null 2>&1
is "$?" 4 "of one that nobody knows"

# what follows is seen as it comes, also in a file
podshimctl -n "$NS" events -f -o jsonl pod >"$T/follow" &
f=$!
not_ours="$not_ours $f"
x c0 e2 true </dev/null >/dev/null 2>&1
check "events -f" wait_for 15 grep -q '"exec":"e2","topic":"/tasks/exit"' "$T/follow"
kill $f
wait $f 2>/dev/null
rm -rf "$T"/fifo/*
finish
