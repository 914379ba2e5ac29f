# podshimctl run without a containerd: sourced behind containerd.sh.
# shellcheck shell=sh

"$LIBDIR/mkimage" "$T/image.tar" "$IMAGE" "$T/rootfs" || bail "mkimage"
chmod 711 "$T"

podshimctl() { PODSHIM_TEST_ID=$TEST_ID command podshimctl -n "$NS" "$@"; }
# pr ARGS...: podshimctl run in our namespace and root file system
pr() { podshimctl run --rootfs "$T/rootfs" "$@"; }
# rm_run ID...: delete, whatever they are doing
rm_run() { podshimctl delete --force "$@" >/dev/null; }
# task_of ID KEY: what `tasks` says of a container
task_of() { podshimctl -o json tasks 2>/dev/null | jq -r --arg id "$1" ".[] | select(.container == \$id) | .$2"; }
task_has() { [ "$(task_of "$1" "$2")" = "$3" ]; }
has() { grep -qs -e "$2" "$1"; }
gone() { ! [ -e "$1" ]; }
# nothing that only podshimctl run makes
no_run_dirs() { gone "$STATE_ROOT-run/$NS" && gone "/var/log/podshim/$NS"; }
