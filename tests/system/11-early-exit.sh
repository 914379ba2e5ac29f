#!/bin/sh
# Processes that are dead before their Start is answered: 1000 execs of `true`,
# and 40 containers of it. Every answer and every event, once and in order.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
quick_events
ctd_up
events_start
count=${PODSHIM_TEST_STORM:-1000}

raw_run main sleep 1000 >/dev/null
check "$count execs of true, four at a time" timeout $(((100 + count * 2 / 5) * SLOW)) "$BIN/storm" "$raw_addr" main "$count" 4
check "all their events arrive" wait_for 20 events_count /tasks/exit "$count"
events_of main >"$T/topics"
for t in exec-added exec-started exit; do
	is "$(grep -c "^/tasks/$t s" "$T/topics")" "$count" "$t: once for each"
done
# per exec: added, started, exit
is "$(awk '/ s/ { seen[$2] = seen[$2] substr($1, 8) " " }
	END { for (e in seen) if (seen[e] != "exec-added exec-started exit ") print e, seen[e] }' "$T/topics")" "" \
	"in order for each"
is "$(raw_state main)" "$RUNNING" "the task runs on"

# containers
i=0
bad=
while [ $i -lt 40 ]; do
	raw_jq='.annotations["io.containerd.runc.v2.group"] = "main"'
	raw_new "t$i" true
	raw_jq=.
	pid=$(raw_create "t$i" | value pid)
	started=$(call Start "t$i" | value pid)
	[ -n "$pid" ] && [ "$pid" = "$started" ] || bad="$bad start:$i:$pid:$started"
	[ "$(call Wait "t$i" | value exit_status)" = 0 ] || bad="$bad wait:$i"
	[ "$(call Delete "t$i" | value pid)" = "$pid" ] || bad="$bad delete:$i"
	raw_delete "t$i" >/dev/null || bad="$bad deletecall:$i"
	i=$((i + 1))
done
is "$bad" "" "40 containers of true"
check "their events arrive" wait_for 10 events_count /tasks/delete 40
i=0
while [ $i -lt 40 ]; do
	seq=$(events_of "t$i" | tr '\n' ' ')
	[ "$seq" = "/tasks/create /tasks/start /tasks/exit /tasks/delete " ] || bad="$bad t$i:$seq"
	i=$((i + 1))
done
is "$bad" "" "in order for each"
raw_end main
finish
