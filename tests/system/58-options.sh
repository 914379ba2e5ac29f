#!/bin/sh
# Runtime options in every message that carries them, and what each does.
. "$(dirname "$0")/../lib/containerd.sh"
. "$LIBDIR/raw.sh"
[ -n "$PODSHIM" ] || skip_all "the Go shim knows one message, and dies of another"
quick_events
ctd_up
raw_wrap "echo \"\$*\" >>'$T/argv'" # runc, and what it was called with
# used: the command line of the last create
used() { grep -e ' create ' "$T/argv" | tail -n 1; }
raw_run a sleep 1000 >/dev/null
group='.annotations["io.containerd.runc.v2.group"] = "a"'
# made NAME CREATE-ARGS...: Create and Delete of a container of that pod
made() {
	raw_jq="$group" && raw_new "$1" sleep 1000 && raw_jq=.
	: >"$T/argv"
	raw_create "$@"
	ma_rc=$?
	cp "$RAW/$1/options.json" "$T/options.json" 2>/dev/null
	call Delete "$1" >/dev/null
	raw_delete "$1" >/dev/null
	raw_unbundle "$1"
	return $ma_rc
}

like "$(made runc options.binary_name="$T/wrap" options.root="$T/roots" options.no_pivot_root=1 options.no_new_keyring=1)" "pid=*" \
	"runc.v1.Options: BinaryName, Root, NoPivotRoot, NoNewKeyring"
like "$(used)" "--root $T/roots/$NS --log * --log-format json create * --no-pivot --no-new-keyring runc" "they reach the runtime"
is "$(jq -r .root "$T/options.json")" "$T/roots" "options.json, for other tools"
check "Root is used up" sh -c "! ls '$T/roots/$NS' 2>/dev/null | grep ."
made systemd options.binary_name="$T/wrap" options.systemd_cgroup=1 >"$T/out" # without systemd it fails
like "$(used)" "* --systemd-cgroup create *" "SystemdCgroup ($(cut -c1-60 "$T/out"))"

# the owners of pipes, of a container and of its execs
raw_jq=$group
raw_new io sh -c 'stat -L -c %u:%g /proc/self/fd/1; sleep 1000'
raw_jq=.
raw_fifos io
exec 7<>"$RAW/io.out"
raw_create io options.io_uid=1234 options.io_gid=4321 "stdout=$RAW/io.out" >/dev/null && call Start io >/dev/null
line=$(line_from <&7)
like "$line" "*:4321" "IoUid, IoGid: the container's pipe ($line; runc gives the uid to its user)"
call Exec io exec_id=e "stdout=$RAW/io.out" "spec=$(raw_spec stat -L -c %u:%g /proc/self/fd/1)"
call Start io exec_id=e >/dev/null
line=$(line_from <&7)
like "$line" "*:4321" "and an exec's"
exec 7<&-
raw_end io

# containerd 1.6's own client, for shims whose name it does not know
{ printf '\010\001'; printf '\040\001'; } >"$T/msg" # no_pivot_root and, as in runc.v1, io_uid
like "$(made old any.containerd.linux.runc.CreateOptions="$T/msg")" "pid=*" "containerd.linux.runc.CreateOptions"

# CRI, for runtimes that it does not know: TOML, as text or in a file
printf 'BinaryName = "%s"\nNoPivotRoot = true\nOther = [1, 2]\n' "$T/wrap" >"$T/body"
field 3 "$(cat "$T/body")" >"$T/msg"
like "$(made body any.runtimeoptions.v1.Options="$T/msg")" "pid=*" "runtimeoptions.v1.Options: config_body"
like "$(used)" "* --no-pivot *" "its keys reach the runtime"
mv "$T/body" "$T/conf.toml"
field 2 "$T/conf.toml" >"$T/msg"
like "$(made path any.runtimeoptions.v1.Options="$T/msg")" "pid=*" "runtimeoptions.v1.Options: config_path"
like "$(used)" "* --no-pivot *" "its keys reach the runtime"
chmod 666 "$T/conf.toml"
like "$(made open any.runtimeoptions.v1.Options="$T/msg")" "error=3 *others than root*" "a file that anybody may write is refused"
field 2 /no/such/file >"$T/msg"
like "$(made none any.runtimeoptions.v1.Options="$T/msg")" "error=3 */no/such/file*" "one that is not there too"

# what is none
: >"$T/msg"
like "$(made empty any.containerd.runc.v1.Options="$T/msg")" "pid=*" "an empty message is none"
like "$(made windows any.containerd.runhcs.v1.Options="$T/msg")" "error=3 *containerd.runhcs.v1.Options*" \
	"an unknown type: InvalidArgument, by its name"
printf '\377\377\377' >"$T/msg"
like "$(made broken any.containerd.runc.v1.Options="$T/msg")" "error=3 *do not decode*" "bytes that are none: InvalidArgument"
is "$(raw_state a)" "$RUNNING" "the pod does not mind"
raw_end a
finish 30
