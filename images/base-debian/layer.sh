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
  bash "$BASE/install.sh" > "$WORK/install.log" 2>&1 || { tail -n 40 "$WORK/install.log" >&2; exit 1; }
fi
bash "$RECIPE/build.sh"
