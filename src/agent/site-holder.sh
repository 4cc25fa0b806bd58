#!/bin/sh
# Makes the namespaces of a site and stays as their holder. Arguments: FOLDER NETNS HOSTNAME
#
# Net, mount, UTS, control group and PID namespace. The PID namespace is what makes a site safe to stop: when the holder dies the
# kernel ends every process of the site and drops every mount. The holder ignores SIGCHLD, so the kernel reaps orphans at once;
# without that libvirtd waits 40 s for each of its QEMU probes to stop being a zombie. Nothing is mounted or made on the host.
set -eu
folder=$1 netns=$2 name=$3

if [ "${4-}" != inside ]; then
  while read -r group; do echo $$ >"$group/cgroup.procs"; done <"$folder/cgroup-folders"
  exec nsenter --net="/run/netns/$netns" unshare -m -u -p -C -f --propagation private sh "$0" "$folder" "$netns" "$name" inside
fi

# /proc is still the host's here, so this is the pid as the host sees it. It is a builtin: a child would read its own.
read -r pid rest </proc/self/stat

# A fresh sysfs shows the site's interfaces; fresh control group mounts show the site's own subtree as the root.
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
while read -r type options point; do
  mkdir -p "$point"
  mount -t "$type" -o "$options" "$type" "$point"
done <"$folder/cgroup-mounts"
mount -t proc proc /proc
hostname "$name"

# The daemons' run-time files stay in a /run of their own.
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/libvirt /run/lock /run/site
mount --bind "$folder" /run/site
# libvirtd's compiled-in folders are bound over. Where the host lacks one, its parent gets a writable layer that only the site sees.
for part in etc lib log cache; do
  case $part in etc) at=/etc/libvirt ;; lib) at=/var/lib/libvirt ;; log) at=/var/log/libvirt ;; cache) at=/var/cache/libvirt ;; esac
  if [ ! -d "$at" ]; then
    parent=${at%/libvirt} layer=/run/layer-$part
    mkdir -p "$layer/upper" "$layer/work"
    mount -t overlay -o "lowerdir=$parent,upperdir=$layer/upper,workdir=$layer/work" overlay "$parent"
    mkdir "$at"
    case "$folder" in "$parent"/*) mount --bind /run/site "$folder" ;; esac
  fi
  mount --bind "$folder/libvirt/$part" "$at"
done
# libvirtd looks users up that its package would have made on the host, and the host's own name, which must not wait for a name server
# that nobody reaches from here (10 s a call); LXD needs a range of ids for root.
for file in passwd group subuid subgid hosts; do
  [ -e "/etc/$file" ] || : >"/etc/$file"
  mount --bind "$folder/etc/$file" "/etc/$file"
done
# A /dev/kvm that guests hang on must not be seen by libvirtd; /dev/null in its place does not help, a read-only empty file does.
# It is uncovered when a probe has shown that it works.
if [ -e /dev/kvm ]; then
  mount --bind "$folder/empty" /dev/kvm
  mount -o remount,bind,ro /dev/kvm
fi

echo 1 >/proc/sys/net/ipv4/ip_forward
for which in default all; do
  [ ! -e "/proc/sys/net/ipv6/conf/$which/disable_ipv6" ] || echo 1 >"/proc/sys/net/ipv6/conf/$which/disable_ipv6"
done

echo "$pid" >"$folder/holder.pid.new"
mv "$folder/holder.pid.new" "$folder/holder.pid"
exec env --ignore-signal=CHLD sleep infinity
