#!/bin/sh
# Memory and idleness that do not depend on the machine's speed: what a pod
# may take, what each container and exec may add to it, and that idling costs nothing.
. "$(dirname "$0")/../lib/containerd.sh"
[ -n "$PODSHIM" ] || skip_all "these are podshim's own limits"
[ -z "${PODSHIM_SANITIZED:-}" ] || skip_all "sanitizers have a footprint of their own"
[ -d /sys/fs/cgroup/cpuacct ] || skip_all "no cpuacct cgroup"
command -v crun >/dev/null || skip_all "no crun"
BENCH=${PODSHIM_DRIVERS:-$LIBDIR/../..}/tests/bench/bench
[ -x "$BENCH" ] || bail "no $BENCH (make system-drivers)"
# podshimctl about all pods of the machine, in another test, wakes their keepers: not these
STATE_ROOT=$T/pods
mkdir "$STATE_ROOT"
mount -t tmpfs -o mode=700 podshim-test "$STATE_ROOT" || skip_all "no tmpfs"
export PODSHIM_STATE_ROOT="$STATE_ROOT"
ctd_up
chmod 711 "$T"
mkdir "$T/raw"
mkfifo "$T/log.fifo"
exec 9<>"$T/log.fifo"
cat <&9 >>"$T/shim.log" &
not_ours="$not_ours $!"
# pages of a program that was just installed count as dirty until they are on the disk
sync "$PODSHIM_PREFIX"/libexec/podshim/*

measure() {
	PODSHIM_TEST_ID=$TEST_ID "$BENCH" measure --alone --quick --dir "$T" --ns "$NS" \
		--address "$SOCK" --publish "$(command -v containerd)" --prefix "$PODSHIM_PREFIX" "$@" 9<&-
}
figure() { awk -v key="$1" '$1 == key { print $3 }' "$T/samples"; }
at_most() {
	awk -v v="$(figure "$1")" -v max="$2" 'BEGIN { exit !(v != "" && v + 0 <= max) }'
}

check "memory is measured" measure memory
check "a pod of 1: $(figure memory.1) KB private dirty, at most 600" at_most memory.1 600
check "a pod of 10: $(figure memory.10) KB, at most 700" at_most memory.10 700
check "growth is measured" measure growth
check "$(figure growth.count) execs added $(figure growth.execs) KB, at most 64" \
	at_most growth.execs 64
idle() { measure idle 2>"$T/woken" || { cat "$T/woken"; return 1; }; }
none_woken() { at_most idle.switches 0 || { cat "$T/woken"; return 1; }; }
check "idling is measured" idle
check "idle for 5 s: $(figure idle.switches) wake-ups, none allowed" none_woken
find /sys/fs/cgroup/cpuacct/"$NS" -depth -name 'bench-*' -exec rmdir {} + 2>/dev/null
no_pods() { [ -z "$(find "$STATE_ROOT/$NS" -mindepth 1 2>/dev/null)" ]; }
check "no state is left" wait_for 60 no_pods
wait_for 60 umount "$STATE_ROOT" 2>/dev/null || not_ok "somebody still uses the state"
finish
