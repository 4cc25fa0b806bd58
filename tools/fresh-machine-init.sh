#!/bin/sh
# The three stages inside tools/fresh-machine.ts. `outer` joins the control groups and makes the namespaces; `inner` (first process of the
# new process namespace) builds the root and moves into it; `run` runs the phases. Each stage replaces the one before it.
set -eu
stage=$1
shift

case $stage in
outer)
  printf '%s\n' "$FRESH_CGROUPS" | while read -r folder _ _; do
    [ -z "$folder" ] || echo $$ > "$folder/cgroup.procs"
  done
  exec unshare "$@" sh "$0" inner
  ;;

inner)
  root=$FRESH_ROOT
  hostname fresh 2>/dev/null || true
  mount --bind "$root" "$root"
  mount -t proc proc "$root/proc"
  mount -t sysfs sysfs "$root/sys"
  mount -t tmpfs -o mode=755 tmpfs "$root/run"
  mkdir -m 1777 "$root/run/lock"
  mount -t tmpfs -o mode=755 tmpfs "$root/sys/fs/cgroup"
  printf '%s\n' "$FRESH_CGROUPS" | while read -r folder place type; do
    [ -n "$folder" ] || continue
    mkdir -p "$root/sys/fs/cgroup$place"
    mount --bind "$folder" "$root/sys/fs/cgroup$place"
    # In version 2 a group with processes cannot have children with limits: the first process moves into a leaf.
    if [ "$type" = cgroup2 ]; then
      mkdir "$root/sys/fs/cgroup$place/init"
      echo $$ > "$root/sys/fs/cgroup$place/init/cgroup.procs"
    fi
  done
  mount -t tmpfs -o mode=755 tmpfs "$root/dev"
  mkdir "$root/dev/net" "$root/dev/pts" "$root/dev/shm"
  for device in null zero full random urandom tty net/tun kvm fuse; do
    [ -e "/dev/$device" ] || continue
    : > "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
  done
  mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts "$root/dev/pts"
  ln -s pts/ptmx "$root/dev/ptmx"
  ln -s /proc/self/fd "$root/dev/fd"
  ln -s /proc/self/fd/0 "$root/dev/stdin"
  ln -s /proc/self/fd/1 "$root/dev/stdout"
  ln -s /proc/self/fd/2 "$root/dev/stderr"
  mount -t tmpfs tmpfs "$root/dev/shm"
  mkdir -p "$root/usr/local/bin" "$root/usr/local/lib/node_modules/npm"
  : > "$root/usr/local/bin/node"
  mount --bind -o ro "$FRESH_NODE" "$root/usr/local/bin/node"
  mount --bind -o ro "$FRESH_NPM" "$root/usr/local/lib/node_modules/npm"
  ln -sf ../lib/node_modules/npm/bin/npm-cli.js "$root/usr/local/bin/npm"
  ln -sf ../lib/node_modules/npm/bin/npx-cli.js "$root/usr/local/bin/npx"
  cp "$0" "$root/fresh/init.sh"
  # Not chroot: in a chroot nobody may make a user namespace, and containers need one.
  cd "$root"
  pivot_root . fresh/old
  exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/fresh/home LANG=C.UTF-8 TERM=dumb sh /fresh/init.sh run
  ;;

run)
  cd /
  umount -l /fresh/old
  rmdir /fresh/old
  # The network comes from outside.
  while [ ! -s /fresh/network ]; do sleep 0.05; done
  . /fresh/environment
  failed=0
  # This shell is the first process here: its `wait` also reaps what daemons leave behind.
  phase() {
    echo "fresh machine: $1: $2"
    from=$(date +%s)
    (cd /fresh/stratiform && exec sh -c "$2") &
    code=0
    wait $! || code=$?
    printf '%s\t%s\t%s\n' "$(($(date +%s) - from))" "$code" "$1" >> /fresh/results
    [ "$code" = 0 ] || failed=1
  }
  . /fresh/phases
  exit $failed
  ;;
esac
