# Sourced by the build.sh of images on the Debian base. Needs ROOT, RECIPE, COMMON, IMAGES, PACKAGES, WORK, OUT.
shared=$IMAGES/common-debian

# tree_finish vm|container: busybox as init, the guest scripts of all images, the recipe's own files, and no trace of the build.
tree_finish() {
  local kind=$1 applet name
  # busybox fills up what Debian's own packages do not bring; theirs stay.
  for applet in $("$ROOT/usr/bin/busybox" --list-full); do
    name=${applet##*/}
    [ -e "$ROOT/usr/bin/$name" ] || [ -e "$ROOT/usr/sbin/$name" ] || ln -s /usr/bin/busybox "$ROOT/usr/${applet#usr/}"
  done
  ln -sf /usr/bin/busybox "$ROOT/usr/sbin/init"
  install -d "$ROOT/usr/lib/stratiform" "$ROOT/etc/dropbear"
  # What Debian's preparation put there (users, groups) is Debian's: of the tiny images only the scripts are taken.
  cp -a --no-preserve=ownership,timestamps --remove-destination "$COMMON/rootfs/usr/lib/stratiform/." "$ROOT/usr/lib/stratiform/"
  cp -a --no-preserve=ownership,timestamps --remove-destination "$shared/rootfs/." "$shared/$kind/." "$ROOT/"
  cp -a --no-preserve=ownership,timestamps --remove-destination "$RECIPE/rootfs/." "$ROOT/"
  chmod -R u=rwX,go=rX "$ROOT/usr/lib/stratiform"
  # Keys that let somebody in for a while are never on a disk: a restart takes them away.
  ln -sfn /run/stratiform-ssh "$ROOT/root/.ssh"
  : > "$ROOT/etc/fstab"
  rm -f "$ROOT/etc/hostname" "$ROOT/etc/hosts" "$ROOT/etc/resolv.conf" "$ROOT/etc/resolv.conf.dpkg-new"
  : > "$ROOT/etc/hosts"
}

# times_settle DIR: what the build wrote gets one fixed time stamp; files of packages keep theirs, which compiled Python relies on.
times_settle() { find "$1" -newer "$WORK/started" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} + && touch -d "@$SOURCE_DATE_EPOCH" "$1"; }

# container_pack: a unified LXD image. gzip, because every LXD can read it, and fast, because it is unpacked once and seldom moved.
container_pack() {
  local name=$1
  mkdir -p "$ROOT/etc/stratiform"
  sed "s/@NAME@/$name/" "$shared/metadata.yaml" > "$WORK/metadata.yaml"
  cp -a "$shared/templates" "$WORK/templates"
  chmod -R u=rwX,go=rX "$WORK/metadata.yaml" "$WORK/templates"
  chown -R 0:0 "$WORK/metadata.yaml" "$WORK/templates"
  touch -d "@$SOURCE_DATE_EPOCH" "$WORK/metadata.yaml" "$WORK/templates" "$WORK"/templates/*
  times_settle "$ROOT"
  # $ROOT is $WORK/rootfs, which is what LXD calls it.
  tar -C "$WORK" --sort=name --format=gnu --numeric-owner -cf - metadata.yaml templates rootfs | gzip -n1 > "$OUT/$name.tar.gz"
}

# module_add NAME FILE: appends the module, after what it needs, to the list FILE.
module_add() {
  local dep=$PACKAGES/lib/modules/$kernel/modules.dep line need
  line=$(grep -E "^[^:]*/$1\.ko:" "$dep") || { echo "the kernel has no module $1" >&2; return 1; }
  for need in ${line#*:}; do module_add "$(basename "$need" .ko)" "$2"; done
  grep -qx "${line%%:*}" "$2" || echo "${line%%:*}" >> "$2"
}

# initramfs_make FILE: just enough to mount the disk. Uncompressed: unpacking costs an emulated guest more than reading.
initramfs_make() {
  local tree=$WORK/initramfs applet module
  mkdir -p "$tree"/{bin,dev,proc,sys,root,modules}
  cp "$ROOT/usr/bin/busybox" "$tree/bin/busybox"
  for applet in sh mount insmod switch_root sleep; do ln -s busybox "$tree/bin/$applet"; done
  install -m 755 "$shared/initramfs-init" "$tree/init"
  : > "$WORK/modules-early"
  for module in virtio_pci virtio_blk; do module_add "$module" "$WORK/modules-early"; done
  while read -r module; do
    cp "$PACKAGES/lib/modules/$kernel/$module" "$tree/modules/"
    basename "$module" >> "$tree/modules/load"
  done < "$WORK/modules-early"
  find "$tree" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
  (cd "$tree" && find . -mindepth 1 | LC_ALL=C sort | cpio -o -H newc --quiet --reproducible -R 0:0) > "$1"
}

# disk_pack NAME SIZE_MIB: an ordinary disk that a BIOS boots: an MBR, a FAT partition with kernel and SYSLINUX, and the root file system
# in the second one. Made without loop devices and mounts.
disk_pack() {
  local name=$1 size=$2 disk=$WORK/disk.img boot=$WORK/boot.img boot_mib=32 module
  kernel=$(basename "$PACKAGES"/lib/modules/*)
  "$ROOT/usr/bin/busybox" depmod -b "$PACKAGES" "$kernel"
  : > "$WORK/modules"
  for module in virtio_pci virtio_blk virtio_net virtio_console isofs virtio-rng virtio_balloon button evdev; do module_add "$module" "$WORK/modules"; done
  while read -r module; do install -D -m 644 "$PACKAGES/lib/modules/$kernel/$module" "$ROOT/usr/lib/modules/$kernel/$module"; done < "$WORK/modules"
  cp "$PACKAGES/lib/modules/$kernel"/modules.{builtin,order} "$ROOT/usr/lib/modules/$kernel/"
  "$ROOT/usr/bin/busybox" depmod -b "$ROOT" "$kernel"
  initramfs_make "$WORK/initrd.img"

  cat > "$WORK/syslinux.cfg" <<CFG
DEFAULT linux
PROMPT 0
TIMEOUT 0
LABEL linux
  LINUX /vmlinuz
  INITRD /initrd.img
  APPEND $(grep -v '^#' "$shared/vm-kernel-arguments" | tr '\n' ' ')
CFG
  cp "$PACKAGES/boot/vmlinuz-$kernel" "$WORK/vmlinuz"
  touch -d "@$SOURCE_DATE_EPOCH" "$WORK"/{vmlinuz,initrd.img,syslinux.cfg}
  truncate -s "${boot_mib}M" "$boot"
  export MTOOLS_SKIP_CHECK=1 MTOOLSRC=/dev/null
  # 63 sectors and 255 heads: the geometry SeaBIOS reports. The partition begins at 1 MiB.
  mformat -i "$boot" -v BOOT -N 53545254 -T $((boot_mib * 2048)) -h 255 -s 63 -H 2048 -m 0xf8 ::
  mcopy -m -i "$boot" "$WORK/vmlinuz" "$WORK/initrd.img" "$WORK/syslinux.cfg" ::
  syslinux --install "$boot"

  times_settle "$ROOT"
  truncate -s "${size}M" "$disk"
  # Empty parts are not written: a sparse file has zeros already.
  dd if="$(find "$TOOLS" -path '*/mbr/mbr.bin')" of="$disk" bs=440 count=1 conv=notrunc status=none
  partition_write "$disk" 0 128 12 2048 $((boot_mib * 2048))
  partition_write "$disk" 1 0 131 $(((boot_mib + 1) * 2048)) $(((size - boot_mib - 1) * 2048))
  printf '\125\252' | dd of="$disk" bs=1 seek=510 conv=notrunc status=none
  dd if="$boot" of="$disk" bs=1M seek=1 conv=notrunc,sparse status=none
  mke2fs -q -F -t ext4 -L root -U 5d7a0e52-3f5c-4d6f-9a51-6e8b0f7f1c01 -E "offset=$(((boot_mib + 1) * 1048576)),lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0" \
    -m 1 -d "$ROOT" "$disk" "$((size - boot_mib - 1))M"
  qemu-img convert -q -f raw -O qcow2 "$disk" "$OUT/$name.qcow2"
}

# partition_write DISK INDEX FLAG TYPE FIRST_SECTOR SECTORS: one entry of the table in the MBR. The old geometry fields say "see the numbers".
partition_write() {
  local value bytes
  bytes="$(printf '\\%03o' "$3")\376\377\377$(printf '\\%03o' "$4")\376\377\377"
  for value in "$5" "$6"; do
    bytes+=$(printf '\\%03o\\%03o\\%03o\\%03o' $((value & 255)) $((value >> 8 & 255)) $((value >> 16 & 255)) $((value >> 24 & 255)))
  done
  printf "$bytes" | dd of="$1" bs=1 seek=$((446 + 16 * $2)) conv=notrunc status=none
}
