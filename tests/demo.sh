#!/bin/bash
# The demo: one pod of three containers on podshim, under a containerd of its
# own; its worker is killed, and nothing of the pod notices.
# Started by `./dev demo`, which builds first and sets PODSHIM_PREFIX.
LIBDIR=$(cd "$(dirname "$0")/lib" && pwd)
# shellcheck source=tests/lib/containerd.sh
. "$LIBDIR/containerd.sh"

if [ -t 1 ]; then
	bold=$'\033[1m' dim=$'\033[2m' off=$'\033[0m'
else
	bold='' dim='' off=''
fi
step() { printf '\n%s%s%s\n' "$bold" "$*" "$off"; }
show() {
	printf '%s$ %s%s\n' "$dim" "$*" "$off"
	"$@"
}
fail() {
	printf 'demo: %s\n' "$*" >&2
	exit 1
}
podshimctl() { command podshimctl -n "$NS" "$@"; }

step "A containerd of our own, and a pod of three containers"
ctd_up
# shellcheck disable=SC2034 # read by run_d
run_opts=$(group_opts web)
for id in web app sidecar; do
	case $id in
	web) run_d $id sleep 1000 || fail "web does not run" ;;
	app) run_d $id sh -c 'trap "exit 42" TERM; while :; do sleep 0.1; done' || fail "app does not run" ;;
	sidecar) run_d $id sh -c 'while [ ! -e /tmp/go ]; do sleep 0.1; done; exit 7' || fail "sidecar does not run" ;;
	esac
done
show podshimctl list
show podshimctl tasks

step "kill -9 of the worker; the containers' processes, before and after:"
keeper=$(pod_field web keeper_pid)
worker=$(pod_field web worker_pid)
[ "${keeper:-0}" -gt 1 ] && [ "${worker:-0}" -gt 1 ] || fail "no pids"
before=$(podshimctl tasks -o json | jq -r '.[] | "\(.container) \(.pid) \(.status)"')
show kill -9 "$worker"
restarted() {
	[ "$(podshimctl list -o json | jq -r '.[0] | "\(.worker_restarts) \(.state)"')" = "1 running" ]
}
wait_for 10 restarted || fail "the worker was not restarted"
after=$(podshimctl tasks -o json | jq -r '.[] | "\(.container) \(.pid) \(.status)"')
[ "$before" = "$after" ] || fail "the pod changed: was
$before
is
$after"
[ "$(pod_field web keeper_pid)" = "$keeper" ] || fail "another keeper"
show podshimctl list
show podshimctl tasks

step "Exit codes are still true: app leaves with 42 on SIGTERM, sidecar with 7"
show ctr task kill -s SIGTERM app
show ctr task exec --exec-id go sidecar touch /tmp/go
stopped() { [ "$(podshimctl tasks -o json | jq '[.[] | select(.status == "stopped")] | length')" = 2 ]; }
wait_for 15 stopped || fail "app and sidecar did not stop"
show podshimctl tasks
codes=$(podshimctl tasks -o json | jq -r '[.[] | select(.status == "stopped") | "\(.container)=\(.exit_status)"] | sort | join(" ")')
[ "$codes" = "app=42 sidecar=7" ] || fail "wrong exit codes: $codes"

step "Everything goes"
for id in app sidecar web; do
	rm_c $id
done
wait_for 15 nothing_left || fail "left behind: $(leftovers)"
show podshimctl list
echo "demo: no process, socket, mount or directory is left"
