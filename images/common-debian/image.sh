# Sourced by the build.sh of images on the Debian base. Needs ROOT, RECIPE, COMMON, IMAGES, PACKAGES, WORK, OUT.
shared=$IMAGES/common-debian

# tree_finish: busybox as init, the guest scripts of all images, the recipe's own files, and no trace of the build.
tree_finish() {
  local applet name
  # busybox fills up what Debian's own packages do not bring; theirs stay.
  for applet in $("$ROOT/usr/bin/busybox" --list-full); do
    name=${applet##*/}
    [ -e "$ROOT/usr/bin/$name" ] || [ -e "$ROOT/usr/sbin/$name" ] || ln -s /usr/bin/busybox "$ROOT/usr/${applet#usr/}"
  done
  ln -sf /usr/bin/busybox "$ROOT/usr/sbin/init"
  install -d "$ROOT/usr/lib/stratiform" "$ROOT/etc/dropbear"
  # What Debian's preparation put there (users, groups) is Debian's: of the tiny images only the scripts are taken.
  cp -a --no-preserve=ownership,timestamps --remove-destination "$COMMON/rootfs/usr/lib/stratiform/." "$ROOT/usr/lib/stratiform/"
  cp -a --no-preserve=ownership,timestamps --remove-destination "$shared/rootfs/." "$ROOT/"
  cp -a --no-preserve=ownership,timestamps --remove-destination "$RECIPE/rootfs/." "$ROOT/"
  chmod -R u=rwX,go=rX "$ROOT/usr/lib/stratiform"
  # Keys that let somebody in for a while are never on a disk: a restart takes them away.
  ln -sfn /run/stratiform-ssh "$ROOT/root/.ssh"
  : > "$ROOT/etc/fstab"
  rm -f "$ROOT/etc/hostname" "$ROOT/etc/hosts" "$ROOT/etc/resolv.conf" "$ROOT/etc/resolv.conf.dpkg-new"
  : > "$ROOT/etc/hosts"
}

# times_settle DIR: what the build wrote gets one fixed time stamp; files of packages keep theirs, which compiled Python relies on.
times_settle() { find "$1" -newer "$WORK/started" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +; }

# container_pack: a unified LXD image. gzip, because every LXD can read it, and fast, because it is unpacked once and seldom moved.
container_pack() {
  local name=$1
  mkdir -p "$ROOT/etc/stratiform"
  ln -sf boot-container "$ROOT/usr/lib/stratiform/boot"
  sed "s/@NAME@/$name/" "$shared/metadata.yaml" > "$WORK/metadata.yaml"
  cp -a "$shared/templates" "$WORK/templates"
  chmod -R u=rwX,go=rX "$WORK/metadata.yaml" "$WORK/templates"
  chown -R 0:0 "$WORK/metadata.yaml" "$WORK/templates"
  touch -d "@$SOURCE_DATE_EPOCH" "$WORK/metadata.yaml" "$WORK/templates" "$WORK"/templates/*
  times_settle "$ROOT"
  # $ROOT is $WORK/rootfs, which is what LXD calls it.
  tar -C "$WORK" --sort=name --format=gnu --numeric-owner -cf - metadata.yaml templates rootfs | gzip -n1 > "$OUT/$name.tar.gz"
}
