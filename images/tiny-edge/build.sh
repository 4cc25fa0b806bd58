#!/bin/bash
# Builds a unified LXD image: metadata.yaml, templates/ and rootfs/ in one tar.gz. Environment: see image-build.ts.
set -euo pipefail
. "$COMMON/rootfs.sh"
tree=$WORK/tree
mkdir -p "$tree"
rootfs_make "$tree/rootfs"
mkdir -p "$tree/rootfs/etc/stratiform"
cp -a "$RECIPE/metadata.yaml" "$RECIPE/templates" "$tree/"
tree_normalise "$tree"
tar -C "$tree" --sort=name --format=gnu --numeric-owner -cf - metadata.yaml rootfs templates | gzip -n9 > "$OUT/tiny-edge.tar.gz"
