#!/bin/bash
# Environment: see image-build.ts.
set -euo pipefail
. "$IMAGES/common-debian/image.sh"
tree_finish container
# Compiled here, because the server may not write beside its sources: a container then starts without compiling.
chroot "$ROOT" python3 -m compileall -q --invalidation-mode unchecked-hash /usr/lib/shop-web
container_pack shop-web
