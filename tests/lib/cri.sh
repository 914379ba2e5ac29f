# A node for pods: sourced instead of containerd.sh. A private containerd with its CRI
# plugin, and a client of it. The test runs in a mount and a network namespace of its
# own with an empty /run, so the namespace k8s.io, /run/podshim, the pods' network
# namespaces and the bridge are of this test alone, and end with it.
# It needs Debian's python3-grpcio and containernetworking-plugins.
# shellcheck shell=sh

LIBDIR=${LIBDIR:-$(cd "$(dirname "$0")/../lib" && pwd)}
if [ "$(id -u)" = 0 ] && [ -z "${CRI_NODE:-}" ]; then
	CRI_NODE=1 exec unshare --mount --net "$0" "$@"
fi
# shellcheck source=tests/lib/containerd.sh
. "$LIBDIR/containerd.sh"
cri_python=/usr/bin/python3 # Debian's: that is where its modules are
CNI_BIN=${CNI_BIN:-/usr/lib/cni}
"$cri_python" -c 'import grpc, google.protobuf' 2>/dev/null || skip_all "no python3-grpcio"
[ -x "$CNI_BIN/bridge" ] || skip_all "no containernetworking-plugins in $CNI_BIN"
mount -t tmpfs -o mode=755 podshim-test /run || bail "a private /run"
ip link set lo up
CTD_NS=k8s.io

# ctd_config_cri: the CRI plugin as README configures it, with handlers "default"; "runc", which is
# podshim by the Go shim's name; and "go", the Go shim by its path. containerd 1.6 finds "runc"
# first in its PATH, a later one by runtime_path.
ctd_config_cri() {
	ctd_version=$(containerd --version | sed -n 's/.* v\{0,1\}\([0-9]*\.[0-9]*\)\..*/\1/p')
	go=$(command -v containerd-shim-runc-v2)
	case $ctd_version in
	'') bail "containerd does not tell its version" ;;
	1.*)
		version=2
		runtime='"io.containerd.grpc.v1.cri"'
		pause="sandbox_image = \"$IMAGE\""
		pause_table=
		;;
	*)
		version=3
		runtime="'io.containerd.cri.v1.runtime'"
		pause="sandbox = \"$IMAGE\""
		pause_table="[plugins.'io.containerd.cri.v1.images'.pinned_images]"
		;;
	esac
	case $ctd_version in
	1.6) as_runc='' as_go="runtime_type = \"$go\"" ;;
	*)
		as_runc="runtime_path = \"$PODSHIM_PREFIX/bin/containerd-shim-podshim-v1\""
		as_go="runtime_type = \"io.containerd.runc.v2\"
  runtime_path = \"$go\""
		;;
	esac
	cat >"$T/config.toml" <<END
version = $version
root = "$T/root"
state = "$T/state"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.internal.v1.opt", "io.containerd.internal.v1.tracing",
  "io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = "$SOCK"
[plugins.$runtime]
  disable_apparmor = true
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
$pause_table
  $pause
[plugins.$runtime.cni]
  bin_dir = "$CNI_BIN"
  conf_dir = "$T/cni"
[plugins.$runtime.containerd]
  default_runtime_name = "default"
[plugins.$runtime.containerd.runtimes.default]
  runtime_type = "$RUNTIME"
END
	[ -z "$PODSHIM" ] || {
		cat >>"$T/config.toml" <<-END
			[plugins.$runtime.containerd.runtimes.runc]
			  runtime_type = "io.containerd.runc.v2"
			  $as_runc
			[plugins.$runtime.containerd.runtimes.runc.options]
			  Root = "$T/runc"
			[plugins.$runtime.containerd.runtimes.go]
			  $as_go
		END
		[ "$ctd_version" != 1.6 ] || {
			mkdir "$T/bin"
			ln -s "$PODSHIM_PREFIX/bin/containerd-shim-podshim-v1" "$T/bin/containerd-shim-runc-v2"
			ctd_prefix="env PATH=$T/bin:$PATH"
		}
	}
	# a bridge without an address or a route: nothing of the host is changed
	mkdir -p "$T/cni"
	cat >"$T/cni/10-test.conf" <<END
{"cniVersion": "0.4.0", "name": "podshim-test", "type": "bridge", "bridge": "podshim0",
 "ipam": {"type": "host-local", "dataDir": "$T/ipam", "ranges": [[{"subnet": "10.88.0.0/24"}]]}}
END
}

# cri_up: containerd with the CRI plugin, the image, the client
cri_up() {
	ctd_config_cri
	ctd_start
	"$LIBDIR/mkimage" "$T/image.tar" "$IMAGE" '' '["sleep","1000000"]' || bail "mkimage"
	ctr image import "$T/image.tar" >"$T/import.log" 2>&1 || bail "image import: $(cat "$T/import.log")"
	mkfifo "$T/cri.in" "$T/cri.out"
	"$cri_python" "$LIBDIR/cri.py" "$SOCK" "$BIN/../lib/cri.desc" "$T" "$IMAGE" "/$NS" <"$T/cri.in" >"$T/cri.out" 2>"$T/cri.err" &
	not_ours="$not_ours $!"
	exec 7>"$T/cri.in" 8<"$T/cri.out"
	wait_for 20 cri_image || bail "the CRI plugin does not see the image: $(cri call Status | tail -n 1)"
}
cri_image() { cri call ImageStatus "{\"image\": {\"image\": \"$IMAGE\"}}" | grep -q sha256; }

# cri COMMAND...: to the client (cri.py says which there are); its answer, status 1 for an error
cri_sep=$(printf '\037')
cri() {
	cr_ifs=$IFS
	IFS=$cri_sep
	printf '%s\n' "$*" >&7
	IFS=$cr_ifs
	read -r cr_word cr_n <&8 || {
		echo "the client is gone: $(tail -n 1 "$T/cri.err")"
		return 2
	}
	while [ "$cr_n" -gt 0 ]; do
		IFS= read -r cr_line <&8
		printf '%s\n' "$cr_line"
		cr_n=$((cr_n - 1))
	done
	[ "$cr_word" = ok ]
}
# cri_back: containerd once more; until its CRI plugin answers
cri_back() {
	ctd_start
	wait_for 20 cri_answers || bail "the CRI plugin does not answer"
}
cri_answers() { cri call ListPodSandbox >/dev/null; }
id() { cri id "$1"; }
# log_of POD NAME: the container's log without times, 'stdout F text'
log_of() { cut -d' ' -f2- "$T/log/$1/$2.log"; }
