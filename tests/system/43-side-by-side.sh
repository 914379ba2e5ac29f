#!/bin/sh
# The same accident side by side: kill -9 of the process that does the work for a pod
# of 20 containers, under containerd-shim-runc-v2 and under podshim. Prints a table.
. "$(dirname "$0")/../lib/containerd.sh"
[ -n "$PODSHIM" ] || skip_all "compares both"
command -v containerd-shim-runc-v2 >/dev/null || skip_all "no containerd-shim-runc-v2"
ctd_up
N=20
run20() { # POD
	run_opts=$(group_opts "$1")
	i=0
	while [ $i -lt $N ]; do
		run_d "$1$i" sleep 1000 || not_ok "container $1$i"
		i=$((i + 1))
	done
	run_opts=
}
# pids_are POD: all run; their pids to $pids. containerd lists a task that does not answer in
# 2 s as UNKNOWN, with pid 0.
pids_are() {
	pids=$(ctr task ls | awk -v p="^$1[0-9]" '$1 ~ p && $3 == "RUNNING" { print $2 }')
	[ "$(echo "$pids" | wc -w)" = $N ]
}
living() { # PIDS: how many of them are
	li_n=0
	for li_p in $1; do pid_gone "$li_p" || li_n=$((li_n + 1)); done
	echo $li_n
}
running() { ctr task ls | awk -v p="^$1[0-9]" '$1 ~ p && $3 == "RUNNING"' | wc -l; }
disconnects() { grep -c 'msg="shim disconnected".*id='"$1"'[0-9]' "$T/containerd.log"; }
ms_since() { echo $((($(date +%s%N) - $1) / 1000000)); }

RUNTIME=io.containerd.podshim.v1
run20 pod
wait_for 60 pids_are pod || not_ok "not all of pod's run"
pod_pids=$pids
# A time limit, on a machine that may have others to run: the best of three kills.
pod_exec=yes
for _ in 1 2 3; do
	start=$(date +%s%N)
	alive pod0
	usual_ms=$(ms_since "$start")
	limit_ms=$((2000 * SLOW + 3 * usual_ms))
	start=$(date +%s%N)
	kill -KILL "$(worker_pids)"
	alive pod0 || pod_exec=no
	pod_ms=$(ms_since "$start")
	[ "$pod_ms" -gt $limit_ms ] || break
done
pod_runs() { pod_running=$(running pod) && [ "$pod_running" = $N ]; }
wait_for 60 pod_runs
pod_alive=$(living "$pod_pids") pod_disc=$(disconnects pod)

RUNTIME=io.containerd.runc.v2
run20 go
wait_for 60 pids_are go || not_ok "not all of go's run"
go_pids=$pids
victim=$(pids_of containerd-shim-runc-v2)
is "$(echo "$victim" | wc -w)" 1 "one containerd-shim-runc-v2"
kill -KILL "$victim"
go_forgotten() { [ "$(running go)" = 0 ] && [ "$(living "$go_pids")" = 0 ]; }
wait_for 60 go_forgotten # containerd deletes them, one after the other
go_alive=$(living "$go_pids") go_running=$(running go) go_disc=$(disconnects go)
alive go0 && go_exec=yes || go_exec=no

diag "after kill -9, pod of $N containers    containerd-shim-runc-v2    podshim's worker"
diag "$(printf '%-36s %23s %19s\n' 'containers alive' "$go_alive" "$pod_alive" \
	'tasks that containerd calls running' "$go_running" "$pod_running" \
	'connections lost' "$go_disc" "$pod_disc" \
	'next exec works' "$go_exec" "$pod_exec (after $pod_ms ms)")"
is "$pod_alive" $N "podshim: all containers live"
is "$pod_running" $N "podshim: containerd knows that they run"
is "$pod_disc" 0 "podshim: no connection was lost"
is "$pod_exec" yes "podshim: the next exec works"
check "podshim: $pod_ms ms later; one takes $usual_ms ms, and at most 2 s more are due to the death" \
	test "$pod_ms" -le $limit_ms

# What the Go shim's death leaves: its socket, and on a busy machine containers too, for
# containerd gives each of its deletes 5 s
rm -f "$(sock_path go)"
for id in $(sed -n '/^go[0-9]/p' "$T/ids"); do
	runc --root "/run/containerd/runc/$CTD_NS" delete --force "$id" 2>/dev/null
	go_bundle=$(bundle "$id")
	[ ! -d "$go_bundle" ] || { umount "$go_bundle/rootfs"; rm -rf "$go_bundle"; } 2>/dev/null
done
finish 20
