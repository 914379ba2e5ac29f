#!/bin/sh
# podshimctl upgrade: 50 times under load, to a newer build and back; workers that
# are no good; a newer keeper with this worker.
. "$(dirname "$0")/../lib/containerd.sh"
[ -n "$PODSHIM" ] || skip_all "podshim's own promise"
[ -x "$BIN/next-worker" ] || skip_all "no next-worker: make system-drivers"
UPGRADES=${PODSHIM_TEST_UPGRADES:-50}
ctl() { podshimctl -n "$NS" "$@"; }
W=$T/workers
mkdir "$W"
cp "$BIN/next-worker" "$W/next"
cp "$BIN/next-worker" "$W/next-schema"
for i in refuse-check hang-check exit hang proto; do
	cp "$BIN/badworker" "$W/$i"
done
installed=$PODSHIM_PREFIX/libexec/podshim/podshim-worker
version=$("$installed" -v | cut -d' ' -f2)
ctd_up
events_start
run_opts=$(group_opts pod)
i=0
while [ $i -lt 20 ]; do
	run_d "c$i" sh -c "trap 'exit $((i + 100))' USR1; sleep 100000 & wait" || not_ok "container $i"
	i=$((i + 1))
done
run_opts=
wait_for 60 tasks_run 20 || not_ok "not all containers run"
before=$tasks
keeper=$(shim_pids)
connections=$(keeper_field pod connections)
is "$(pod_field pod version)" "$version" "list shows the worker's version"
is "$(pod_field pod outdated)" false "which is the installed one"

# --- 50 upgrades while execs run
execs() {
	n=0
	while ! [ -e "$T/upgraded" ]; do
		rc=$((n % 200))
		x_seen "c$((n % 20))" "e$n" $rc >>"$T/bad"
		n=$((n + 1))
	done
	echo $n >"$T/n"
}
: >"$T/bad"
execs &
e=$!
n=0
start=$(date +%s)
while [ $n -lt "$UPGRADES" ] && [ $(($(date +%s) - start)) -lt $((400 * SLOW)) ]; do
	if [ $((n % 2)) = 0 ]; then
		to=$W/next want=99.1.0
	else
		to=$installed want=$version
	fi
	out=$(ctl upgrade --worker "$to" pod 2>&1) || echo "upgrade $n: $out" >>"$T/bad"
	case $out in *"build $want"*) ;; *) echo "upgrade $n says: $out" >>"$T/bad" ;; esac
	n=$((n + 1))
	got=$(pod_field pod version)
	[ "$got" = "$want" ] || echo "upgrade $n: $got runs" >>"$T/bad"
done
: >"$T/upgraded"
wait $e
is $n "$UPGRADES" "$UPGRADES upgrades, to 99.1.0 and back"
is "$(cat "$T/bad")" "" "all succeed; all $(cat "$T/n") execs meanwhile, too"
wait_for 60 tasks_are "$before"
is "$tasks" "$before" "the same tasks, pids and states"
is "$(shim_pids)" "$keeper" "one keeper, the same"
is "$(keeper_field pod connections)" "$connections" "no connection was closed"
is "$(ctl crashes pod)" "no worker of this pod has crashed" "an upgrade is no crash"
if [ $((UPGRADES % 2)) = 1 ]; then ctl upgrade --worker "$installed" pod >/dev/null; fi

# --- restart
old=$(worker_pids)
check "restart" ctl restart pod
check "another process" test "$(worker_pids)" != "$old"
is "$(pod_field pod version)" "$version" "of the same build"

# --- workers that are no good
refused() { # NAME PATTERN: refused before the old one was asked to leave
	old=$(worker_pids)
	out=$(ctl upgrade --worker "$W/$1" pod 2>&1)
	is $? 1 "$1: refused"
	like "$out" "$2" "$1: says why"
	is "$(worker_pids)" "$old" "$1: the old worker was not even asked to leave"
	check "$1: the pod works" alive c3
}
fallback() { # NAME PATTERN
	out=$(ctl upgrade --worker "$W/$1" pod 2>&1)
	is $? 1 "$1: fails"
	like "$out" "$2" "$1: says why"
	check "$1: the pod works" alive c3
	is "$(pod_field pod version)" "$version" "$1: with the old build"
}
refused refuse-check "*this pod is not to my taste*"
refused hang-check "*its check ended with signal 9*"
fallback exit "*died before it was ready*"
fallback proto "*protocol*"
fallback hang "*not ready in time*"
printf '#!/bin/sh\nexit 0\n' >"$W/script"
: >"$W/empty"
chmod +x "$W/script" "$W/empty"
out=$(ctl upgrade --worker "$W/empty" pod 2>&1)
is $? 1 "an empty file is refused"
like "$out" "*exec of the new worker*" "with words"
ctl upgrade --worker "$W/script" pod >/dev/null 2>&1
is $? 1 "so is a script"
ctl upgrade --worker "$W/none" pod >/dev/null 2>&1
is $? 1 "and what is not there"
check "the pod works" alive c3
# two at once: the pod takes one, or both after each other
ctl restart pod >"$T/r1" 2>&1 &
r=$!
ctl restart pod >"$T/r2" 2>&1
wait $r
check "two restarts at once leave one worker" wait_for 60 workers_are 1
check "that works" alive c3

# --- a schema that this build does not know: forward, not back
check "to a build with another schema" ctl upgrade --worker "$W/next-schema" pod
db=$(ls "$STATE_ROOT/$NS"/pod.*/state.db)
# with GO, which the worker is sent while the upgrade is told
is_migrated() { [ "$(sqlite3 "file:$db?mode=ro" 'PRAGMA user_version')" = 2 ]; }
check "the migration is committed" wait_for 10 is_migrated
check "the pod works" alive c3
kill -KILL "$(pod_field pod worker_pid)"
check "the pod works after a crash" alive c3
check "its crash is not answered with the old build" test "$(pod_field pod version)" = 99.1.0
out=$(ctl upgrade --worker "$installed" pod 2>&1)
is $? 1 "the old build is refused"
like "$out" "*wants a reader of 2*" "for it cannot read the database"
is "$(pod_field pod version)" 99.1.0 "and the new one stays"
check "the pod works" alive c3
like "$(ctl list 2>&1 >/dev/null)" "*wants a reader of 2*" "list says that it cannot read all of it"

# --- all at once; what is installed is older than what runs, or newer
run_d other sleep 1000
out=$(ctl upgrade --all --worker "$W/next-schema" --jobs 2 2>&1)
is $? 0 "upgrade --all"
like "$out" "*2 pods: 1 upgraded, 1 left alone, 0 failed" "one of two runs it already"
is "$(pod_field other version)" 99.1.0 "the other one now, too"

# --- a newer keeper starts this worker, and its pod is marked as old once it is
rm_c other
check "its shim goes" wait_for 60 shims_are 1
ctd_stop
L=$T/libexec
mkdir "$L"
cp "$BIN/next-keeper" "$L/podshim-keeper"
cp "$installed" "$L/podshim-worker"
ctd_prefix="env PODSHIM_LIBEXECDIR=$L"
ctd_start
run_d fresh sleep 1000
is "$(pod_field fresh keeper_version)" 99.1.0 "a newer keeper"
is "$(pod_field fresh version)" "$version" "runs this worker"
check "and all is well" alive fresh
listed() { (export PODSHIM_LIBEXECDIR="$L" && "$@"); } # podshimctl with what is there as the installed
in_table() { listed ctl list | grep fresh | grep -qF "$1"; }
cp "$installed" "$L/new" && mv "$L/new" "$L/podshim-worker"
is "$(listed pod_field fresh outdated)" true "a build replaced on disk: the pod is marked"
check "in the table, too" wait_for 60 in_table "$version*"
kill -KILL "$(pod_field fresh worker_pid)"
check "the pod works after a crash" alive fresh
check "which does not change the build" wait_for 60 in_table "$version*"
listed ctl upgrade fresh >"$T/out" 2>"$T/err"
is "$(tail -n 1 "$T/out" | cut -d, -f2)" " build $version (was $version)" "upgrade to the installed one"
is "$(listed pod_field fresh outdated)" false "and the mark is gone"
check "to a newer worker" ctl upgrade --worker "$W/next" fresh
check "works" alive fresh

# --- exits are true at the end
i=0
while [ $i -lt 20 ]; do
	usr1 "$(task_pid "c$i")"
	i=$((i + 1))
done
all_stopped() { [ "$(ctr task ls | grep -c STOPPED)" = 20 ]; }
check "all end when told to" wait_for 15 all_stopped
bad=
i=0
while [ $i -lt 20 ]; do
	out=$(ctr task rm "c$i" 2>&1)
	case $out in *"exit code $((i + 100))"*) ;; *) bad="$bad c$i: $out;" ;; esac
	i=$((i + 1))
done
is "$bad" "" "each with its own exit status"
finish
