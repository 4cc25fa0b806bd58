#!/bin/bash
# Builds one FAT disk that boots by itself (SYSLINUX, no partition table): kernel and an initramfs that is the whole system.
# Without loop devices and mounts: mtools and `syslinux --install` write into the image file. Environment: see image-build.ts.
set -euo pipefail
. "$COMMON/rootfs.sh"
root=$WORK/root
rootfs_make "$root"

# The guest agent with exactly the libraries its loader asks for.
install -m 755 "$PACKAGES/usr/sbin/qemu-ga" "$root/usr/sbin/qemu-ga"
lib=lib/x86_64-linux-gnu
"$PACKAGES/$lib/ld-linux-x86-64.so.2" --inhibit-cache --library-path "$PACKAGES/$lib:$PACKAGES/usr/$lib" --list "$PACKAGES/usr/sbin/qemu-ga" > "$WORK/libraries"
if grep "not found" "$WORK/libraries" >&2; then echo "a package with a library of qemu-ga is missing in recipe.yaml" >&2; exit 1; fi
mkdir -p "$root/usr/$lib"
awk '$2 == "=>" { print $1, $3 }' "$WORK/libraries" | while read -r name file; do
  case $name in
    */ld-linux-*) install -m 755 "$file" "$root/usr/lib64/${name##*/}" ;;
    *) install -m 644 "$file" "$root/usr/$lib/$name" ;;
  esac
done

# Modules, each after what it depends on, in the order the boot script loads them.
kernel=$(basename "$PACKAGES"/lib/modules/*)
"$PACKAGES/bin/busybox" depmod -b "$PACKAGES" "$kernel"
dep=$PACKAGES/lib/modules/$kernel/modules.dep
mkdir -p "$root/lib/modules"
: > "$root/lib/modules/load"
module_add() {
  local line need
  line=$(grep -E "^[^:]*/$1\.ko:" "$dep") || { echo "kernel has no module $1" >&2; return 1; }
  for need in ${line#*:}; do module_add "$(basename "$need" .ko)"; done
  local file=${line%%:*}
  grep -qx "${file##*/}" "$root/lib/modules/load" && return
  install -m 644 "$PACKAGES/lib/modules/$kernel/$file" "$root/lib/modules/${file##*/}"
  echo "${file##*/}" >> "$root/lib/modules/load"
}
for module in virtio_pci virtio_blk virtio_net virtio_console isofs virtio-rng virtio_balloon button evdev; do module_add "$module"; done

tree_normalise "$root"
# Uncompressed on purpose: unpacking costs more CPU in an emulated guest than reading more sectors.
(cd "$root" && find . -mindepth 1 | LC_ALL=C sort | cpio -o -H newc --quiet --reproducible) > "$WORK/initrd.img"

cat > "$WORK/syslinux.cfg" <<CFG
DEFAULT linux
PROMPT 0
TIMEOUT 0
LABEL linux
  LINUX /vmlinuz
  INITRD /initrd.img
  APPEND $(grep -v '^#' "$RECIPE/kernel-arguments" | tr '\n' ' ')
CFG
disk=$WORK/disk.img
truncate -s 40M "$disk"
export MTOOLS_SKIP_CHECK=1 MTOOLSRC=/dev/null
# 63 sectors and 255 heads: the geometry SeaBIOS reports, which SYSLINUX relies on where the BIOS lacks EDD.
mformat -i "$disk" -v STRATIFORM -N 53545254 -T $((40 * 2048)) -h 255 -s 63 -H 0 -m 0xf8 ::
cp "$PACKAGES/boot/vmlinuz-$kernel" "$WORK/vmlinuz"
touch -d "@$SOURCE_DATE_EPOCH" "$WORK"/{vmlinuz,initrd.img,syslinux.cfg}
mcopy -m -i "$disk" "$WORK/vmlinuz" "$WORK/initrd.img" "$WORK/syslinux.cfg" ::
syslinux --install "$disk"
qemu-img convert -q -f raw -O qcow2 "$disk" "$OUT/tiny-node.qcow2"
