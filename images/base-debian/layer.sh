#!/bin/bash
# One image on top of the base tree $BASE_ROOT: the recipe's packages (list $DEBS, in the order apt would install them) go into a layer over
# the base, then the recipe's build.sh makes its files from the merged tree $ROOT. Runs in private mount and process namespaces. Where the
# kernel has no overlay file system (or refuses it on this disk), a copy of the base is as good and only slower.
set -euo pipefail
umask 022
export ROOT=$WORK/rootfs
mkdir -p "$ROOT" "$WORK/layer" "$WORK/overlay"
if ! mount -t overlay overlay -o "lowerdir=$BASE_ROOT,upperdir=$WORK/layer,workdir=$WORK/overlay" "$ROOT" 2> "$WORK/overlay.log"; then
  cp -a --reflink=auto "$BASE_ROOT/." "$ROOT/"
fi
touch "$WORK/started"
if [ -s "$DEBS" ]; then
  (
    . "$BASE/chroot.sh"
    # Files that must be there before the packages are: what not to install, how to configure.
    if [ -d "$RECIPE/prepare" ]; then cp -a --no-preserve=ownership "$RECIPE/prepare/." "$ROOT/"; fi
    chroot_enter "$ROOT"
    in_root_all < "$DEBS" | xargs -d '\n' chroot "$ROOT" dpkg --force-unsafe-io --force-confold --unpack
    chroot_run "$ROOT" dpkg --force-unsafe-io --force-confold --configure --pending
    chroot_leave "$ROOT"
  ) > "$WORK/install.log" 2>&1 || { tail -n 40 "$WORK/install.log" >&2; exit 1; }
fi
bash "$RECIPE/build.sh"
