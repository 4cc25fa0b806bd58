#!/bin/bash
# The packages of the list $DEBS go into the tree $ROOT, as apt would put them there; part of layer.sh.
set -euo pipefail
. "$BASE/chroot.sh"
# Files that must be there before the packages are: what not to install, how to configure.
if [ -d "$RECIPE/prepare" ]; then cp -a --no-preserve=ownership "$RECIPE/prepare/." "$ROOT/"; fi
chroot_enter "$ROOT"
# In one go: dpkg would refuse a package whose pre-dependency is unpacked but not configured. The second call leaves nothing out.
in_root_all < "$DEBS" | xargs -d '\n' chroot "$ROOT" dpkg --force-unsafe-io --force-confold --force-depends --unpack
chroot_run "$ROOT" dpkg --force-unsafe-io --force-confold --configure --pending
chroot_leave "$ROOT"
