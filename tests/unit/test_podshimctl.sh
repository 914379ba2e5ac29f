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
ok "an unknown pod is 1" exits 1 inspect nothing
full() { ! "$ctl" help >/dev/full; }
ok "a full disk behind stdout is a failure" full

# words of a kind, one per line, sorted
help_verbs=$("$ctl" help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\).*/\1/p' | sort)
help_options=$("$ctl" help | sed -n '/^Options:/,/^$/p' | grep -oE '(^|[ ,])--?[a-z][a-z-]*' | tr -d ' ,' | sort -u)
comp_verbs=$(sed -n "s/.*local verbs='\(.*\)'/\1/p" "$top/client/podshimctl.bash" | tr ' ' '\n' | sort)
comp_options=$(sed -n "s/.*local options='\(.*\)'/\1/p" "$top/client/podshimctl.bash" | tr ' ' '\n' | sort -u)
same "completion knows the verbs" "$help_verbs" "$comp_verbs"
same "completion knows the options" "$help_options" "$comp_options"
man_page=$(sed 's/\\-/-/g' "$top/client/podshimctl.1")
in_man() { # MACRO WORD...
	local w
	for w in "${@:2}"; do
		grep -qE "^\.($1)(.*[ \"])$w( |\"|,|$)" <<<"$man_page" || return 1
	done
}
# shellcheck disable=SC2086
ok "the man page describes the verbs" in_man 'B|BR' $help_verbs
# shellcheck disable=SC2086
ok "the man page describes the options" in_man 'B|BR' $help_options

# the completion itself
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
same "completes a format" "$(complete_line podshimctl list -o j)" json
echo "1..$n"
