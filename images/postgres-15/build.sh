#!/bin/bash
# Environment: see image-build.ts.
set -euo pipefail
. "$IMAGES/common-debian/image.sh"
tree_finish vm
# The template of every cluster: initialised and cleanly stopped. Primary and standby begin as copies of it, so no base backup is needed.
install -d -o 0 -g 0 "$ROOT/usr/share/stratiform"
install -d -m 700 "$ROOT/usr/share/stratiform/cluster"
chroot "$ROOT" chown postgres:postgres /usr/share/stratiform/cluster
mount -t proc proc "$ROOT/proc"
mount -t tmpfs dev "$ROOT/dev"
mkdir "$ROOT/dev/shm"
for device in null zero urandom; do : > "$ROOT/dev/$device"; mount --bind "/dev/$device" "$ROOT/dev/$device"; done
chroot "$ROOT" setpriv --reuid=postgres --regid=postgres --clear-groups env LC_ALL=C.UTF-8 \
  /usr/lib/postgresql/15/bin/initdb --no-sync --data-checksums --encoding=UTF8 --locale=C.UTF-8 --auth=reject \
  -D /usr/share/stratiform/cluster > "$WORK/initdb.log" 2>&1 || { cat "$WORK/initdb.log" >&2; exit 1; }
umount -l "$ROOT/dev" "$ROOT/proc"
disk_pack postgres-15 2048
