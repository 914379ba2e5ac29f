#!/bin/sh
# What the shim takes from its environment and from start's options, and what it hands on.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
[ -n "$PODSHIM" ] || skip_all "podshim's own promises"
quick_events
ctd_up
raw_wrap "env | sort >'$T/env'" # runc, and the environment it got
# options on stdin of start: containerd.runc.v1.Options with shim_cgroup
cg=/$NS/shim
{ field 1 containerd.runc.v1.Options; field 2 "$(field 3 "$cg")"; } >"$T/any"
# each hierarchy, or the one of cgroup v2
cg_dirs=$(awk '$3 == "cgroup" { print $2 } $3 == "cgroup2" { v2 = $2 } END { if (NR && v2) print v2 }' /proc/self/mounts)
cg_made=
for d in $cg_dirs; do
	mkdir -p "$d$cg" 2>/dev/null && cg_made="$d$cg $cg_made"
done
# a cpuset without processors takes nobody
for f in cpuset.cpus cpuset.mems; do
	for d in $cg_made; do
		[ ! -e "$d/$f" ] || [ ! -e "${d%/*/*}/$f" ] || {
			cat "${d%/*/*}/$f" >"${d%/*}/$f"
			cat "${d%/*/*}/$f" >"$d/$f"
		} 2>/dev/null
	done
done

raw_bundle a sleep 1000
raw_addr=$(export NOTIFY_SOCKET="$T/notify" KEPT=yes && raw_shim a start -debug <"$T/any" 2>&1)
is "$raw_addr" "unix://$(sock_path a)" "start with a ShimCgroup, NOTIFY_SOCKET and -debug"
like "$(raw_create a options.binary_name="$T/wrap")" "pid=*" "Create"
is "$(grep -c '^NOTIFY_SOCKET=' "$T/env")" 0 "the runtime does not get NOTIFY_SOCKET"
is "$(grep -c '^KEPT=yes$' "$T/env")" 1 "but what else there is"
keeper=$(shim_pids)
worker=$(worker_pids)
init=$(call Start a | value pid)
for p in $keeper $worker; do
	is "$(grep -c ":$cg\$" "/proc/$p/cgroup")" "$(echo "$cg_made" | wc -w)" "$(cat "/proc/$p/comm") is in the ShimCgroup of every hierarchy"
done
is "$(grep -c ":$cg\$" "/proc/$init/cgroup")" 0 "the container is not"
kill -KILL "$worker"
call State a >/dev/null
is "$(grep -c ":$cg\$" "/proc/$(worker_pids)/cgroup")" "$(echo "$cg_made" | wc -w)" "the next worker is"
# huge pages, which podshim does without, are the container's to use
pages() { sed -n 's/^THP_enabled:[^0-9]*//p' "/proc/$1/status"; }
call Exec a exec_id=e "spec=$(raw_spec sleep 1000)" >"$tap_out"
exec=$(call Start a exec_id=e | value pid)
is "$(pages "$init") $(pages "$exec")" "$(pages $$) $(pages $$)" "huge pages: the container and an exec have what others have"
adj() { cat "/proc/$1/oom_score_adj"; }
is "$(adj "$keeper")" "$(($(adj $$) + 1))" "the keeper's OOM score is that of who started it, and one"
is "$(adj "$(worker_pids)")" "$(adj "$keeper")" "the worker's is the same"
rss() { cut -d' ' -f2 "/proc/$1/statm"; }
check "and it is larger, so the first to go" test "$(rss "$(worker_pids)")" -gt "$(rss "$keeper")"
check "-debug: the log has more" wait_for 5 grep -q 'level=debug.*pod=a' "$T/shim.log"
raw_end a
wait_for 60 pid_gone "$keeper" || not_ok "the keeper stays"
for d in $cg_made; do
	# of a process that was just reaped
	wait_for 10 rmdir "$d" 2>/dev/null || not_ok "$d stays"
	rmdir "${d%/*}" 2>/dev/null
done

# a cgroup that is not there fails start, in words
raw_bundle b true
out=$(raw_shim b start <"$T/any" 2>&1)
is "$?" 1 "a ShimCgroup that does not exist"
like "$out" "*$cg*" "is named: $out"
# as CRI says it for a runtime type it does not know
{ field 1 runtimeoptions.v1.Options; field 2 "$(field 3 "ShimCgroup = \"$cg\"")"; } >"$T/toml"
out=$(raw_shim b start <"$T/toml" 2>&1)
like "$? $out" "1 *$cg*" "one that CRI's options name is missed, too: $out"
raw_unbundle b
# core scheduling: the kernel has it, or start says so
raw_bundle c sleep 1000
out=$(export SCHED_CORE=1 && raw_shim c start </dev/null 2>&1)
if [ $? -eq 0 ]; then
	is "$out" "unix://$(sock_path c)" "SCHED_CORE: start"
	raw_addr=$out
	raw_create c >/dev/null
	is "$(raw_state c)" "$CREATED" "it serves"
	raw_end c
else
	like "$out" "*core scheduling*" "SCHED_CORE: start fails where the kernel has none, and says so"
	raw_delete c >/dev/null
	raw_unbundle c
fi
finish 30
