# Sourced by bootstrap.sh and layer.sh: a tree as a place where packages are installed. The caller's mount namespace is private, so what
# is mounted here is seen by nobody else and ends with the last process, however that ends.
export DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true UCF_FORCE_CONFFOLD=1 LC_ALL=C.UTF-8 LANG=C.UTF-8
# The same programs for scripts on this host and in the tree.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
unset TMPDIR
pool=$(dirname "$(head -n 1 "$DEBS")")

# chroot_enter DIR: devices, processes and packages appear in the tree; no service starts while packages are installed.
chroot_enter() {
  mkdir -p "$1"/{proc,sys,dev,run/packages}
  mount -t tmpfs -o mode=755 dev "$1/dev"
  local device
  for device in null zero full random urandom tty; do : > "$1/dev/$device"; mount --bind "/dev/$device" "$1/dev/$device"; done
  mkdir "$1/dev/shm"
  ln -s /proc/self/fd "$1/dev/fd"
  mount -t proc proc "$1/proc"
  mount --bind "$pool" "$1/run/packages"
  printf '#!/bin/sh\nexit 101\n' > "$1/usr/sbin/policy-rc.d"
  chmod 755 "$1/usr/sbin/policy-rc.d"
}

chroot_run() { local root=$1; shift; chroot "$root" "$@"; }

# Where a package of the host's pool is inside the tree.
in_root() { echo "/run/packages/${1##*/}"; }
in_root_all() { sed 's|.*/|/run/packages/|'; }

# chroot_leave DIR: what only the installation needed goes.
chroot_leave() {
  umount "$1/run/packages" "$1/proc"
  umount -l "$1/dev"
  rmdir "$1/run/packages"
  rm -rf "$1/usr/sbin/policy-rc.d" "$1"/var/cache/{apt,debconf,ldconfig}/* "$1"/var/lib/dpkg/*-old "$1/etc/machine-id"
  find "$1/var/log" "$1/tmp" "$1/run" -xdev -type f -delete
}
