# A private containerd for one test: sourced, never run.
#
# Everything it makes carries one random name: the directory $T, the
# containerd namespace $NS (so cgroups /$NS/... and podshim's state are ours
# alone) and PODSHIM_TEST_ID in the environment of all that containerd starts.
# By these marks leftovers are found at the end, and removed by a trap that
# runs however the test ends. Tests in parallel do not see each other.
#
# PODSHIM_PREFIX	installed tree: bin/, libexec/podshim/
# PODSHIM_TEST_RUNTIME	default io.containerd.podshim.v1; the tests that are not
#			about podshim's own tools also pass with io.containerd.runc.v2
# PODSHIM_DRIVERS	build directory of the C drivers (make system-drivers)
# PODSHIM_TEST_KEEP	not empty: keep $T after a failure, to look at the logs
# shellcheck shell=sh

set -u
LIBDIR=${LIBDIR:-$(cd "$(dirname "$0")/../lib" && pwd)}
# shellcheck source=tests/lib/tap.sh
. "$LIBDIR/tap.sh"

RUNTIME=${PODSHIM_TEST_RUNTIME:-io.containerd.podshim.v1}
BIN=${PODSHIM_DRIVERS:-$LIBDIR/../..}/tests/system
IMAGE=docker.io/library/busybox:test

[ "$(id -u)" = 0 ] || skip_all "needs root"
for ctd_tool in containerd ctr runc; do
	command -v $ctd_tool >/dev/null || skip_all "no $ctd_tool"
done
if [ "$RUNTIME" = io.containerd.podshim.v1 ]; then
	[ -n "${PODSHIM_PREFIX:-}" ] || bail "PODSHIM_PREFIX is not set"
	[ -x "$PODSHIM_PREFIX/bin/containerd-shim-podshim-v1" ] ||
		bail "no shim in $PODSHIM_PREFIX/bin"
	PODSHIM=yes
else
	PODSHIM=
fi
[ -n "${PODSHIM_PREFIX:-}" ] && PATH=$PODSHIM_PREFIX/bin:$PATH

T=$(mktemp -d "${TMPDIR:-/tmp}/podshim.XXXXXX")
# shellcheck source=tests/lib/marks.sh
. "$LIBDIR/marks.sh"
ctd_prefix= # e.g. "unshare -m sh -c '...'" for tests that need another mount namespace
ctd_debug=  # yes: containerd logs each event that it takes (1.6 at debug, 1.7 at trace)
tap_out=$T/tap.out
mkdir "$T/fifo"
: >"$T/ids"

ctr() { command ctr -a "$SOCK" -n "$CTD_NS" "$@"; }

# --- containerd's life -----------------------------------------------------

ctd_config() {
	cat >"$T/config.toml" <<END
version = 2
root = "$T/root"
state = "$T/state"
disabled_plugins = [
  "io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt",
  "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = "$SOCK"
END
	[ -z "$ctd_debug" ] || printf '[debug]\n  level = "trace"\n' >>"$T/config.toml"
}

ctd_launch() {
	# shellcheck disable=SC2086 # the prefix is a list of words
	PODSHIM_TEST_ID=$TEST_ID setsid $ctd_prefix containerd -c "$T/config.toml" \
		>>"$T/containerd.log" 2>&1 </dev/null 7<&- 8<&- 9<&- &
	ctd_pid=$!
}
ctd_start() {
	ctd_launch
	wait_for 20 ctd_answers || { tail -20 "$T/containerd.log" | sed 's/^/# /'; bail "containerd did not start"; }
}
ctd_answers() { [ -S "$SOCK" ] && ctr version >/dev/null 2>&1; }

# ctd_end SIGNAL: end containerd and wait until it is gone
ctd_end() {
	[ -n "$ctd_pid" ] || return 0
	kill "-$1" "$ctd_pid" 2>/dev/null
	wait "$ctd_pid" 2>/dev/null
	ctd_pid=
}
ctd_stop() { ctd_end TERM; }
ctd_kill() { ctd_end KILL; }

# Start containerd and import the image; unpacked copy of it in $T/rootfs.
ctd_up() {
	ctd_config
	ctd_start
	"$LIBDIR/mkimage" "$T/image.tar" "$IMAGE" "$T/rootfs" || bail "mkimage"
	ctr image import "$T/image.tar" >"$T/import.log" 2>&1 || {
		diag "$(cat "$T/import.log")"
		bail "image import"
	}
}

# --- events ----------------------------------------------------------------

# Events by ttrpc: for tests about something else, before the first shim. The publish binary is
# a Go program at low priority, which a busy machine keeps waiting, and a pod's end with it.
quick_events() {
	printf '[events]\ntransport = ttrpc\n' >"$T/podshim.conf"
	export PODSHIM_CONFIG="$T/podshim.conf"
}

events_start() {
	rm -f "$T/events" # of the one before, whose probe is in it; the new one empties it too late
	command ctr -a "$SOCK" -n "$CTD_NS" events >"$T/events" 2>"$T/events.err" </dev/null &
	events_pid=$!
	not_ours="$not_ours $events_pid"
	# It is listening once a change that we make shows up.
	wait_for 10 events_probe || bail "ctr events shows nothing"
}
events_probe() {
	ctr namespaces label "$CTD_NS" "probe=$(date +%N)" >/dev/null 2>&1
	grep -qs /namespaces/update "$T/events"
}
# events_of ID: topics (and exec ids) of one container, one line each
events_of() {
	sed -n 's/^.* \(\/tasks\/[a-z-]*\) \({.*\)$/\1 \2/p' "$T/events" | jq -rR --arg id "$1" '
		(index(" ") as $i | {topic: .[0:$i], body: (.[$i+1:] | fromjson)})
		| select(.body.container_id == $id)
		| .topic + (if .topic == "/tasks/exit" and .body.id != $id then " " + .body.id
			elif .body.exec_id then " " + .body.exec_id else "" end)'
}
# event_body ID TOPIC: the JSON of these events
event_body() {
	sed -n "s|^.* $2 \({.*\)\$|\1|p" "$T/events" | jq -c --arg id "$1" 'select(.container_id == $id)'
}
events_has() { events_of "$1" | grep -qx "$2"; }
events_count() { [ "$(grep -c " $1 " "$T/events")" -ge "$2" ]; }

# --- containers ------------------------------------------------------------

note_id() { grep -qx "$1" "$T/ids" || echo "$1" >>"$T/ids"; }

# run ID ARGS...: ctr run --rm of the image; options before, in $run_opts
run_opts=
run() {
	run_id=$1
	shift
	note_id "$run_id"
	# shellcheck disable=SC2086
	ctr run --rm --runtime "$RUNTIME" --fifo-dir "$T/fifo" $run_opts "$IMAGE" "$run_id" "$@" </dev/null
}
# run_d ID ARGS...: detached, no stdio
run_d() {
	run_id=$1
	shift
	note_id "$run_id"
	# shellcheck disable=SC2086
	ctr run -d --null-io --runtime "$RUNTIME" $run_opts "$IMAGE" "$run_id" "$@" </dev/null
}
# x ID EXECID ARGS...: ctr task exec
x() {
	x_id=$1 x_exec=$2
	shift 2
	ctr task exec --fifo-dir "$T/fifo" --exec-id "$x_exec" "$x_id" "$@"
}

# Output that must be seen. ctr closes its ends of the FIFOs soon after an exit, also one
# that it has not got to open yet, and so loses what a process wrote last, with any shim
# (doc/OUTPUT.md). So these processes stay until their output has been seen:
#
# staying NAME SCRIPT: a script that runs SCRIPT, waits for let_go, and ends with SCRIPT's status
# let_go ID NAME: it may end
# wrote FILE...: each has a whole line
staying() { printf %s "($2); rc=\$?; until [ -e /seen-$1 ]; do sleep 0.02; done; exit \$rc"; }
let_go() { touch "$(bundle "$1")/rootfs/seen-$2"; }
wrote() {
	for wr_f in "$@"; do
		[ -s "$wr_f" ] && [ -z "$(tail -c 1 "$wr_f")" ] || return 1
	done
}
ended_or_wrote() { # PID FILE...
	eo_pid=$1
	shift
	wrote "$@" || pid_gone "$eo_pid"
}
# x_out ID EXECID SCRIPT, run_out ID SCRIPT: what an exec, or a container, writes to stdout; its
# status is the process's. "out_err=yes": it writes to stderr too, which is left in $T/NAME.err.
out_err=
x_out() {
	rm -f "$T/$2.out" "$T/$2.err" # of a namesake; the one in the background empties it too late
	x "$1" "$2" sh -c "$(staying "$2" "$3")" </dev/null >"$T/$2.out" 2>"$T/$2.err" &
	out_wait $! "$1" "$2"
}
run_out() {
	rm -f "$T/$1.out" "$T/$1.err"
	run "$1" sh -c "$(staying "$1" "$2")" >"$T/$1.out" 2>"$T/$1.err" &
	out_wait $! "$1" "$1"
}
out_wait() { # PID ID NAME
	wait_for 60 ended_or_wrote "$1" "$T/$3.out" ${out_err:+"$T/$3.err"}
	# With a container its pod ends, which does not wait for ever for events that have not
	# left. The pod has its name: none of a group is run by run_out.
	[ -z "$PODSHIM" ] || [ "$2" != "$3" ] || wait_for 60 gone_or_told "$1" "$2"
	let_go "$2" "$3" 2>/dev/null
	wait "$1"
	ow_rc=$?
	cat "$T/$3.out"
	return $ow_rc
}
gone_or_told() { pid_gone "$1" || none_pending "$2"; }
# x_seen ID EXECID STATUS: an exec that says its id and "err" and ends with STATUS; says
# what was wrong.
x_seen() {
	xs_out=$(out_err=yes; x_out "$1" "$2" "echo $2; echo err >&2; exit $3")
	xs_rc=$?
	[ $xs_rc -eq "$3" ] && [ "$xs_out" = "$2" ] && [ "$(cat "$T/$2.err")" = err ] ||
		echo "exec $2 in $1: status $xs_rc instead of $3, '$xs_out', '$(cat "$T/$2.err")'"
	rm -f "$T/$2.out" "$T/$2.err"
}
# alive ID: execs work. By the status, which ctr never loses.
alive_n=0
alive() {
	alive_n=$((alive_n + 1))
	x "$1" "alive-$$-$alive_n-$(date +%N)" sh -c 'exit 42' </dev/null >"$T/alive.out" 2>&1
	[ $? -eq 42 ] || { cat "$T/alive.out"; return 1; }
}
task_field() { ctr task ls | awk -v id="$1" -v f="$2" '$1 == id { print $f }'; }
# containerd gives a task 2 s to say what it is. One that needs longer, because the machine is busy,
# is listed as UNKNOWN and with pid 0, which kill takes for the test itself.
task_pid() {
	wait_for 60 tp_asked "$1"
	echo "$tp_pid"
}
tp_asked() {
	tp_pid=$(task_field "$1" 2)
	case $tp_pid in 0 | '') tp_pid= && return 1 ;; esac
}
# tasks_run N [PREFIX], tasks_are LIST [PREFIX]: so many run; the list is this one. Left in $tasks,
# for it is not to be asked for again. To be waited for, as UNKNOWN may stand in it.
tasks_of() { tasks=$(ctr task ls | grep "^${1:-.}" | sort); }
tasks_run() { tasks_of "${2:-}" && [ "$(echo "$tasks" | grep -c RUNNING)" = "$1" ]; }
tasks_are() { tasks_of "${2:-}" && [ "$tasks" = "$1" ]; }
task_status() { task_field "$1" 3; }
task_is() { [ "$(task_status "$1")" = "$2" ]; }
# rm_c ID: task (killed if need be) and container
rm_c() {
	ctr task rm -f "$1" >/dev/null 2>&1
	ctr c rm "$1" >/dev/null 2>&1
}

bundle() { echo "$T/state/io.containerd.runtime.v2.task/$CTD_NS/$1"; }
# group_opts GROUP: for $run_opts
group_opts() {
	note_id "$1"
	echo "--label io.containerd.runc.v2.group=$1"
}
rpc() { "$BIN/rpc" "$@"; }
# cgroup_of ID CONTROLLER: where that controller has this container, on v1 and v2
cgroup_of() {
	if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
		echo "/sys/fs/cgroup/$NS/$1"
	else
		echo "/sys/fs/cgroup/$2/$NS/$1"
	fi
}

# --- processes -------------------------------------------------------------

# pids whose program file is NAME and which containerd of this test started
pids_of() {
	for po_p in $(our_pids); do
		po_exe=$(readlink "/proc/$po_p/exe" 2>/dev/null) || continue
		po_exe=${po_exe% (deleted)}
		[ "${po_exe##*/}" = "$1" ] && echo "$po_p"
	done
	return 0
}
# the shim processes: keeper(s) of podshim, or the Go shim
shim_pids() {
	if [ -n "$PODSHIM" ]; then
		# but no child that is about to become another program
		for sp_p in $(pids_of podshim-keeper); do
			sp_parent=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$sp_p/status" 2>/dev/null)
			case $(readlink "/proc/${sp_parent:-0}/exe" 2>/dev/null) in
			*/podshim-keeper*) ;;
			*) [ -n "$sp_parent" ] && echo "$sp_p" ;;
			esac
		done
	else
		pids_of containerd-shim-runc-v2
	fi
}
# the workers, without the helpers that are the same program
worker_pids() {
	for wp_p in $(pids_of podshim-worker); do
		tr '\0' ' ' <"/proc/$wp_p/cmdline" 2>/dev/null | grep -q '^podshim-worker -namespace ' && echo "$wp_p"
	done
	return 0
}
# as_schema NAME FILE: is that JSON as doc/schema has it? Says what is wrong on stderr.
as_schema() {
	as_wrong=$(jq -r --slurpfile s "$LIBDIR/../../doc/schema/$1.json" -f "$LIBDIR/schema.jq" "$2" 2>&1)
	[ -s "$2" ] && [ -z "$as_wrong" ] && return 0
	printf '%s\n' "$as_wrong" | head -20 | sed 's/^/# /' >&2
	return 1
}
# shims_are N, workers_are N: to wait for; a shim outlives its last container by its last events
shims_are() { [ "$(shim_pids | wc -l)" -eq "$1" ]; }
workers_are() { [ "$(worker_pids | wc -l)" -eq "$1" ]; }
# pod_field POD KEY: of podshimctl list. A keeper that did not get to answer in its 200 ms is
# asked again.
pod_field() {
	wait_for 60 pf_asked "$1" "$2"
	printf '%s\n' "$pf_value"
}
pf_asked() {
	pf_value=$(podshimctl -o json -n "$NS" list 2>/dev/null | jq -r --arg pod "$1" '
		.[] | select(.pod == $pod) | if .state == "unresponsive" then error else '".$2"' end' 2>/dev/null)
}
# exec_pid POD EXEC: of podshimctl tasks; asked again, for a database in use is not waited for
exec_pid() {
	wait_for 60 ep_asked "$1" "$2"
	printf '%s\n' "$ep_value"
}
ep_asked() {
	ep_value=$(podshimctl -o json -n "$NS" tasks "$1" 2>/dev/null | jq --arg exec "$2" '.[] | select(.exec == $exec) | .pid')
	[ "${ep_value:-0}" -gt 1 ] 2>/dev/null
}
# keeper_field POD KEY: what the keeper says of itself
keeper_field() {
	wait_for 60 kf_asked "$1" "$2"
	echo "$kf_value"
}
kf_asked() {
	kf_value=$(podshimctl -o json -n "$NS" inspect "$1" 2>/dev/null | jq -r ".keeper.$2")
	[ -n "$kf_value" ] && [ "$kf_value" != null ]
}
# line_from: the next line of a FIFO that the test itself holds open, on stdin; it does not
# wait for ever. sh reads a byte at a time, so nothing behind the line is lost.
line_from() { timeout $((60 * SLOW)) sh -c 'IFS= read -r line && printf "%s\n" "$line"'; }
# db_write FILE SQL: behind the worker's back, between two of its transactions
db_write() { sqlite3 -cmd '.timeout 20000' "$1" "BEGIN IMMEDIATE; $2; COMMIT"; }
none_pending() { [ "$(pod_field "$1" events_pending)" = 0 ]; }
# usr1 PID...: SIGUSR1 once it is caught: a shell that has just started does not yet, and
# what runc was before it catches everything
usr1() {
	for us_p in "$@"; do
		wait_for 60 catches_usr1 "$us_p"
		kill -USR1 "$us_p"
	done
}
catches_usr1() { ! grep -q '^Name:.*runc' "/proc/$1/status" && grep -q '^SigCgt:.*[2367abef]..$' "/proc/$1/status"; }
cmdline_is() { [ "$(tr '\0' ' ' <"/proc/$1/cmdline")" = "$2 " ]; }

# --- the end ---------------------------------------------------------------

nothing_left() { [ -z "$(leftovers)" ]; }

# finish: the last line of a test: nothing of it may remain, then the plan
finish() {
	if [ -n "$ctd_pid" ]; then
		for fi_c in $(ctr c ls -q); do
			rm_c "$fi_c"
		done
	fi
	if wait_for "${1:-10}" nothing_left; then
		ok "nothing is left behind"
	else
		not_ok "nothing is left behind"
		diag "$(leftovers)"
	fi
	tap_end
	exit $?
}

ctd_cleanup() {
	cl_rc=$?
	trap - EXIT
	trap '' INT TERM HUP
	if [ "$tap_failed" -ne 0 ] || [ "$cl_rc" -ne 0 ]; then
		diag "the last lines of containerd's log:"
		[ -f "$T/containerd.log" ] && grep -v -e 'loading plugin' -e 'skip loading' "$T/containerd.log" |
			tail -n "${PODSHIM_TEST_LOG_LINES:-25}" | cut -c1-400 | sed 's/^/#   /'
		[ -s "$T/shim.log" ] && diag "the shim's log:" && tail -n 25 "$T/shim.log" | cut -c1-400 | sed 's/^/#   /'
	fi
	for cl_p in $not_ours; do
		kill -KILL "$cl_p" 2>/dev/null
	done
	# waited for here, or the shell says "Killed" in the middle of the sweep
	ctd_kill
	sweep
	wait 2>/dev/null
	if [ -n "${PODSHIM_TEST_KEEP:-}" ] && [ "$cl_rc" -ne 0 ]; then
		diag "kept: $T"
	else
		rm -rf "$T"
	fi
	exit $cl_rc
}
trap ctd_cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
