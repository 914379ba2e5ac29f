# Driving a shim as containerd does, but by hand: sourced behind containerd.sh.
#
# raw_new makes a bundle and runs `start`; call sends one request. Events go
# to the test's private containerd (events_of works on them), while its task
# service knows nothing of these containers. raw_end deletes and shuts down.
# shellcheck shell=sh

RAW=$T/raw
mkdir -p "$RAW"
mkfifo "$T/log.fifo"
exec 9<>"$T/log.fifo"
cat <&9 >>"$T/shim.log" &
raw_log_pid=$!
not_ours="$not_ours $raw_log_pid"
raw_addr=

shim_binary() {
	case $RUNTIME in
	/*) echo "$RUNTIME" ;;
	*) echo "$RUNTIME" | awk -F. '{ print "containerd-shim-" $(NF - 1) "-" $NF }' ;;
	esac
}

# raw_bundle ID ARGS...: bundle with config.json; the rootfs is shared and read-only.
# $raw_jq: a jq program that changes the config, e.g. '.process.terminal = true'
raw_jq=.
raw_bundle() {
	rb_id=$1
	shift
	note_id "$rb_id"
	mkdir -p "$RAW/$rb_id"
	chmod 711 "$T"
	[ -e "$RAW/$rb_id/log" ] || ln "$T/log.fifo" "$RAW/$rb_id/log"
	jq -n --arg root "$T/rootfs" --arg cg "/$NS/$rb_id" '
	["CAP_KILL", "CAP_CHOWN", "CAP_SETUID", "CAP_SETGID", "CAP_DAC_OVERRIDE"] as $caps |
	{ociVersion: "1.0.2",
	 process: {args: $ARGS.positional, cwd: "/", env: ["PATH=/bin", "TERM=xterm"], user: {uid: 0, gid: 0},
	  noNewPrivileges: true, capabilities: {bounding: $caps, effective: $caps, permitted: $caps}},
	 root: {path: $root, readonly: true}, hostname: "t",
	 mounts: [{destination: "/proc", type: "proc", source: "proc"},
	  {destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755", "size=64k"]},
	  {destination: "/dev/pts", type: "devpts", source: "devpts", options: ["newinstance", "ptmxmode=0666", "mode=0620"]},
	  {destination: "/tmp", type: "tmpfs", source: "tmpfs"}],
	 linux: {cgroupsPath: $cg, resources: {devices: [{allow: false, access: "rwm"}]},
	  namespaces: [{type: "pid"}, {type: "mount"}, {type: "ipc"}, {type: "uts"}]}} | '"($raw_jq)" \
		--args -- "$@" >"$RAW/$rb_id/config.json"
}

# raw_shim ID ACTION [FLAGS]: run the shim's binary as containerd 1.6 does
raw_shim() {
	rs_id=$1 rs_action=$2
	shift 2
	(cd "$RAW/$rs_id" && PODSHIM_TEST_ID=$TEST_ID GOMAXPROCS=2 TTRPC_ADDRESS=$SOCK.ttrpc \
		exec "$(shim_binary)" -namespace "$NS" -address "$SOCK" \
		-publish-binary "$(command -v containerd)" -id "$rs_id" "$@" ${PODSHIM_TEST_DEBUG:+-debug} \
		"$rs_action" 9<&-)
}

# raw_start ID: answer of `start` to $raw_addr
raw_start() {
	raw_addr=$(raw_shim "$1" start </dev/null 2>&1) || {
		diag "start of $1: $raw_addr"
		return 1
	}
}
raw_new() {
	raw_bundle "$@" && raw_start "$1"
}
# raw_delete ID: the `delete` call, its answer as field=value lines
raw_delete() {
	raw_shim "$1" delete -bundle "$RAW/$1" </dev/null 2>"$T/delete.err" >"$T/delete.out" || return $?
	"$BIN/rpc" - Delete <"$T/delete.out"
}

# call METHOD ID [field=value]...: to the shim of that bundle, else the last one started
call() {
	ca_m=$1 ca_id=$2 ca_addr=$raw_addr
	shift 2
	[ -n "$ca_id" ] && [ -s "$RAW/$ca_id/address" ] && ca_addr=$(cat "$RAW/$ca_id/address")
	"$BIN/rpc" ${raw_v3:+-3} -t "${raw_timeout:-$((60 * SLOW))}" "$ca_addr" "$ca_m" "id=$ca_id" "$@"
}
raw_create() {
	rc_id=$1
	shift
	call Create "$rc_id" "bundle=$RAW/$rc_id" "$@"
}
# raw_fifos NAME: three FIFOs, $raw_stdio for Create or Exec; hold them open yourself
raw_fifos() {
	mkfifo "$RAW/$1.in" "$RAW/$1.out" "$RAW/$1.err"
	raw_stdio="stdin=$RAW/$1.in stdout=$RAW/$1.out stderr=$RAW/$1.err"
}
# value FIELD: of lines on stdin
value() { sed -n "s/^$1=//p"; }
raw_state() { call State "$@" | value status; }
raw_state_is() { [ "$(raw_state "$1")" = "$2" ]; }
raw_exec_state_is() { [ "$(raw_state "$1" "exec_id=$2")" = "$3" ]; }
CREATED=1 RUNNING=2 STOPPED=3 PAUSED=4

# raw_spec ARGS...: file with a process for Exec; a new one, also in a $(...), which cannot count
raw_spec() {
	rp_file=$(mktemp "$RAW/spec.XXXXXX")
	jq -n '{args: $ARGS.positional, cwd: "/", env: ["PATH=/bin", "TERM=xterm"],
		user: {uid: 0, gid: 0}}' --args -- "$@" >"$rp_file"
	echo "$rp_file"
}
# raw_exec ID EXECID ARGS...: Exec and Start without stdio
raw_exec() {
	re_id=$1 re_exec=$2
	shift 2
	call Exec "$re_id" "exec_id=$re_exec" "spec=$(raw_spec "$@")" || return $?
	call Start "$re_id" "exec_id=$re_exec"
}

# field N STRING: a length-delimited field of a message, shorter than 128 bytes
field() {
	printf '%b' "\\0$(printf %o $(($1 << 3 | 2)))\\0$(printf %o ${#2})"
	printf %s "$2"
}
# raw_wrap LINE: $T/wrap, a runc that first runs this line
raw_wrap() {
	printf '#!/bin/sh\n%s\nexec runc "$@"\n' "$1" >"$T/wrap"
	chmod 755 "$T/wrap"
}

# raw_run ID ARGS...: a bundle, start, Create and Start without stdio; prints the pid
raw_run() {
	raw_new "$@" && raw_create "$1" >/dev/null && call Start "$1" | value pid
}

# raw_rm ID: kill and delete the task, whatever its state
raw_rm() {
	call Kill "$1" signal=9 all=1 >/dev/null 2>&1
	call Wait "$1" >/dev/null 2>&1
	call Delete "$1" >/dev/null 2>&1
}
# raw_end ID...: delete, Shutdown, the delete call, and the bundle: as containerd ends a task
raw_end() {
	for rn_id in "$@"; do
		raw_rm "$rn_id"
		call Shutdown "$rn_id" >/dev/null 2>&1
		raw_delete "$rn_id" >/dev/null 2>&1
		raw_unbundle "$rn_id"
	done
}
raw_unbundle() { rm -rf "${RAW:?}/$1"; }
