# TAP for shell tests: sourced, never run.
# Each check prints one line; tap_end prints the plan. A condition is waited
# for with wait_for, never with a fixed sleep.
#
# PODSHIM_TEST_SLOW	a factor for every deadline, for machines that are slow by
#			nature (an emulated one); default 1
# shellcheck shell=sh

SLOW=${PODSHIM_TEST_SLOW:-1}
tap_n=0
tap_failed=0

diag() { printf "%s\n" "$*" | head -n 25 | cut -c1-500 | sed "s/^/# /"; }

ok() { tap_n=$((tap_n + 1)); echo "ok $tap_n - $1"; }
not_ok() {
	tap_n=$((tap_n + 1))
	tap_failed=$((tap_failed + 1))
	echo "not ok $tap_n - $1"
}
skip() { tap_n=$((tap_n + 1)); echo "ok $tap_n - # SKIP $1"; }
skip_all() { echo "1..0 # SKIP $1"; exit 0; }
bail() { echo "Bail out! $*"; exit 99; }

# check DESCRIPTION COMMAND...: ok if the command succeeds. It runs in this very
# shell, so it may set variables; its output goes to the file $tap_out.
tap_out=/dev/null
check() {
	tap_desc=$1
	shift
	if "$@" >"$tap_out" 2>&1; then
		ok "$tap_desc"
	else
		not_ok "$tap_desc"
		diag "command: $*"
		diag "$(cat "$tap_out")"
	fi
}

# is GOT WANT DESCRIPTION
is() {
	if [ "$1" = "$2" ]; then
		ok "$3"
	else
		not_ok "$3"
		diag "got:  $1"
		diag "want: $2"
	fi
}

# like GOT PATTERN DESCRIPTION: a shell pattern
like() {
	# shellcheck disable=SC2254 # it is meant as a pattern
	case $1 in
	$2) ok "$3" ;;
	*)
		not_ok "$3"
		diag "got:  $1"
		diag "want: $2"
		;;
	esac
}

# wait_for SECONDS COMMAND...: until the command succeeds; its status is the last try's.
# The deadline ends a test that hangs and measures nothing: what takes 50 ms here takes
# seconds on a busy machine, so nobody gets less than a minute.
wait_for() {
	wf_end=$(($(date +%s) + ($1 > 60 ? $1 : 60) * SLOW))
	shift
	while ! "$@"; do
		[ "$(date +%s)" -lt "$wf_end" ] || return 1
		sleep 0.05
	done
}

tap_end() {
	echo "1..$tap_n"
	[ "$tap_failed" -eq 0 ]
}
