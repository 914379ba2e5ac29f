#!/bin/sh
# The binary's own input: what it must refuse, and what it must not mind.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
ctd_up
bin=$(shim_binary)
raw_bundle a sleep 1000
cd "$RAW/a" || bail "no bundle"

# refuses DESCRIPTION ARGS...: exit status not 0, words on stderr, no server
refuses() {
	r_desc=$1
	shift
	TTRPC_ADDRESS=$SOCK.ttrpc PODSHIM_TEST_ID=$TEST_ID timeout $((60 * SLOW)) "$bin" "$@" >"$T/out" 2>"$T/err" </dev/null
	r_rc=$?
	if [ $r_rc -ne 0 ] && [ $r_rc -lt 124 ] && [ -s "$T/err" ]; then
		ok "refused: $r_desc ($(head -c 100 "$T/err" | head -n 1))"
	else
		not_ok "refused: $r_desc"
		diag "status $r_rc, stdout '$(cat "$T/out")', stderr '$(cat "$T/err")'"
	fi
}
refuses "no namespace" -address "$SOCK" -id a start
refuses "an empty namespace" -namespace "" -address "$SOCK" -id a start
if [ -n "$PODSHIM" ]; then
	refuses "no id" -namespace "$NS" -address "$SOCK" start
	refuses "no action" -namespace "$NS" -address "$SOCK" -id a
	refuses "an unknown action" -namespace "$NS" -address "$SOCK" -id a dance
	refuses "an id with a slash" -namespace "$NS" -address "$SOCK" -id ../../etc start
	refuses "an id of dots" -namespace "$NS" -address "$SOCK" -id .. start
	refuses "a namespace with a slash" -namespace "a/b" -address "$SOCK" -id a start
	refuses "an id of 300 bytes" -namespace "$NS" -address "$SOCK" -id "$(printf %0300d 0)" start
	refuses "a flag without its value" -namespace "$NS" -address "$SOCK" -id
	refuses "an unknown flag" -namespace "$NS" -address "$SOCK" -id a -no-such-flag start
fi
is "$(shim_pids)" "" "no server came of it"

if [ -n "$PODSHIM" ]; then
	out=$("$bin" -v 2>&1)
	is $? 0 "-v ($(echo "$out" | head -n 1))"
	out=$("$bin" -version 2>&1)
	is $? 0 "-version"
	"$bin" -info </dev/null >"$T/info" 2>"$T/err"
	is $? 0 "-info without options"
	check "it prints a message" grep -q io.containerd.podshim.v1 "$T/info"
	check "with the runtime's features" grep -q ociVersionMax "$T/info"
	printf '\n\003foo\022\003bar' | "$bin" -info >"$T/info" 2>"$T/err"
	is $? 0 "-info with options of an unknown type"
	# Go flag syntax
	out=$(TTRPC_ADDRESS=$SOCK.ttrpc PODSHIM_TEST_ID=$TEST_ID "$bin" --namespace="$NS" --address "$SOCK" \
		-publish-binary=/bin/false --id=a -debug start </dev/null 2>&1 9<&-)
	is "$out" "unix://$(sock_path a)" "two dashes and '='"
	raw_addr=$out
	raw_create a >/dev/null
	is "$(raw_state a)" "$CREATED" "it serves"
	raw_end a

	# broken config.json, no config.json
	raw_bundle b true
	echo '{"annotations": {' >"$RAW/b/config.json"
	raw_start b >/dev/null
	is $? 1 "a broken config.json is refused"
	rm -f "$RAW/b/config.json"
	check "none at all: the group is the id" raw_start b
	is "$raw_addr" "unix://$(sock_path b)" "its address"
	call Shutdown b >/dev/null
	raw_delete b >/dev/null
	raw_unbundle b
	# annotations of another type than string, and a group that is hostile
	raw_jq='.annotations = {"io.containerd.runc.v2.group": 7}'
	raw_bundle c true
	raw_start c >/dev/null
	is $? 1 "a group that is a number is refused"
	raw_jq='.annotations = {"io.containerd.runc.v2.group": "../../../evil"}'
	raw_bundle c true
	raw_start c >/dev/null && {
		diag "accepted as $raw_addr"
		call Shutdown c >/dev/null
	}
	check "no file of that name" sh -c '! ls -d /run/evil* /run/podshim/evil* /evil* 2>/dev/null'
	raw_jq=.
	raw_delete c >/dev/null
	rm -f "$SOCKET_DIR/$(printf %s "$(dirname "$(dirname "$SOCK")")/evil" | sha256sum | cut -d' ' -f1)"
	raw_unbundle c
	# a group that would be a line of the keeper's answer, and of the log
	raw_jq='.annotations = {"io.containerd.runc.v2.group": "x\nsocket=evil\nlevel=error \"y\" \u001b[1m"}'
	raw_bundle e sleep 1000
	raw_jq=.
	raw_start e
	is $? 0 "a group with newlines, quotes and control bytes"
	raw_create e >/dev/null
	call Start e >/dev/null
	is "$(raw_state e)" "$RUNNING" "it serves"
	socket_is() {
		[ "$(podshimctl -o json -n "$NS" inspect "$(printf 'x\nsocket=evil\nlevel=error "y" \033[1m')" |
			jq -r '.. | objects | select(has("keeper_pid")) | .socket' | sort -u)" = "$1" ]
	}
	check "inspect shows the socket that is there" wait_for 60 socket_is "${raw_addr#unix://}"
	check "kill finds it" podshimctl -n "$NS" kill -s KILL --yes e
	check "its end" wait_for 60 raw_state_is e "$STOPPED"
	raw_end e
	check "the log tells of it" wait_for 60 grep -q 'pod="x\\nsocket=evil\\n' "$T/shim.log"
	is "$(grep -vc '^time="' "$T/shim.log")" 0 "every line of the log is one of ours" ||
		diag "$(grep -v '^time="' "$T/shim.log" | head -n 5)"
	# much on stdin
	raw_bundle d true
	head -c 20971520 /dev/zero | (cd "$RAW/d" && PODSHIM_TEST_ID=$TEST_ID timeout $((60 * SLOW)) "$bin" -namespace "$NS" \
		-address "$SOCK" -id d start >"$T/out" 2>&1 9<&-)
	is $? 1 "20 MiB on stdin are refused"
	head -c 3000 /dev/urandom | (cd "$RAW/d" && PODSHIM_TEST_ID=$TEST_ID timeout $((60 * SLOW)) "$bin" -namespace "$NS" \
		-address "$SOCK" -id d start >"$T/out" 2>&1 9<&-)
	rc=$?
	check "random bytes on stdin: an answer or an error, in time" test $rc -lt 124
	raw_addr=unix://$(sock_path d)
	[ $rc -ne 0 ] || call Shutdown d >/dev/null
	raw_delete d >/dev/null
	raw_unbundle d
fi

# delete of what never was
mkdir "$RAW/never"
note_id never
if [ -n "$PODSHIM" ]; then
	out=$(raw_delete never)
	is $? 0 "delete of a container that never was"
	like "$out" "*exit_status=*" "with an answer: $(echo "$out" | tr '\n' ' ')"
	out=$(raw_delete never)
	is $? 0 "and again"
fi
rmdir "$RAW/never"
cd /
raw_unbundle a
finish
