#!/bin/bash
# Environment: see image-build.ts.
set -euo pipefail
. "$IMAGES/common-debian/image.sh"
tree_finish container
rm -f "$ROOT/etc/haproxy/haproxy.cfg"
container_pack haproxy
