#!/bin/bash
# The built podshimctl as a user meets it: exit codes, and help, completion and
# man page that name the same verbs and options. TAP.
set -u
top=$(cd "$(dirname "$0")/../.." && pwd)
ctl=$PWD/podshimctl
n=0
ok() { # DESCRIPTION COMMAND...
	local what=$1
	shift
	n=$((n + 1))
	if "$@" >/dev/null 2>&1; then echo "ok $n - $what"; else echo "not ok $n - $what"; fi
}
same() { # DESCRIPTION A B
	n=$((n + 1))
	if [ "$2" = "$3" ] && [ -n "$2" ]; then echo "ok $n - $1"; else
		echo "not ok $n - $1"
		printf '# %s\n' "$2" "$3"
	fi
}
exits() { # CODE ARGUMENT...
	local want=$1 rc=0
	shift
	"$ctl" "$@" >/dev/null 2>&1 || rc=$?
	[ "$rc" = "$want" ]
}
if [ ! -x "$ctl" ]; then
	echo "1..0 # SKIP podshimctl is not built"
	exit 0
fi
PODSHIM_STATE_ROOT=$(mktemp -d)
export PODSHIM_STATE_ROOT
trap 'rm -rf "$PODSHIM_STATE_ROOT"' EXIT

ok "an empty root is an empty list" exits 0 list
ok "bad usage is 2" exits 2
ok "an unknown verb is 2" exits 2 lst
ok "an unknown pod is 4" exits 4 inspect nothing
full() { ! "$ctl" help >/dev/full; }
ok "a full disk behind stdout is a failure" full

# words of a kind, one per line
known() { "$ctl" complete "$@" | sed 1d; }
verbs=$(known "")
options=$(for v in "" $verbs; do known ${v:+"$v"} -; done | grep '^--' | sort -u)
man_page=$(sed 's/\\-/-/g; s/\\f[BIR]/ /g' "$top/client/podshimctl.1")
in_man() { # MACRO WORD...
	local w
	for w in "${@:2}"; do
		grep -qE "^\.($1)(.*[ \"])$w( |\"|,|$)" <<<"$man_page" || return 1
	done
}
# shellcheck disable=SC2086
ok "the man page describes the verbs" in_man 'B|BR' $verbs
# shellcheck disable=SC2086
ok "the man page describes the options, at least the long ones" in_man 'B|BR' $options

# the completion itself, which asks the program
PATH=$PWD:$PATH
# shellcheck source=/dev/null
. "$top/client/podshimctl.bash"
complete_line() { # WORD...: what would follow, one per line
	COMP_WORDS=("$@")
	COMP_CWORD=$(($# - 1))
	_podshimctl
	printf '%s\n' "${COMPREPLY[@]}"
}
same "completes a verb" "$(complete_line podshimctl ta)" tasks
same "completes a verb behind options" "$(complete_line podshimctl -o json -n default insp)" inspect
same "completes a format" "$(complete_line podshimctl list --output = t)" table
same "completes a file" "$(cd "$PODSHIM_STATE_ROOT" && touch worker && complete_line podshimctl upgrade --worker wor)" worker
echo "1..$n"
