# Sourced by the recipes' build.sh: the parts every busybox image shares. Needs RECIPE, COMMON, PACKAGES.

# rootfs_make DIR: file system tree with busybox and all its applets, the shared guest scripts and the recipe's own files.
rootfs_make() {
  local root=$1 applet
  mkdir -p "$root"/{dev,proc,sys,run,tmp,root,etc,srv,var/log,usr/bin,usr/sbin,usr/lib,usr/lib64}
  for applet in bin sbin lib lib64; do ln -s "usr/$applet" "$root/$applet"; done
  ln -s /run "$root/var/run"
  install -m 755 "$PACKAGES/bin/busybox" "$root/usr/bin/busybox"
  for applet in $("$PACKAGES/bin/busybox" --list-full); do
    applet=/usr/${applet#usr/}
    [ "$applet" = /usr/bin/busybox ] || ln -s /usr/bin/busybox "$root$applet"
  done
  # A recipe's file replaces an applet's link of the same name; writing through the link would overwrite busybox itself.
  cp -a --remove-destination "$COMMON/rootfs/." "$root/"
  cp -a --remove-destination "$RECIPE/rootfs/." "$root/"
}

# tree_normalise DIR: owner, permissions and time stamps that do not depend on who builds, when, and with which umask.
tree_normalise() {
  chown -hR 0:0 "$1"
  chmod -R u=rwX,go=rX "$1"
  find "$1" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
}
