#!/bin/bash
# Makes a Debian tree in $OUT/rootfs out of the packages in the list $DEBS (a path a line): unpack them over an empty folder so that
# maintainer scripts find a shell, then let the tree's own dpkg install all of them properly. Runs in private mount and process
# namespaces: mounts and processes end with it. mmdebstrap gives the same tree, but its apt inside needs twice the time.
set -euo pipefail
umask 022
root=$OUT/rootfs
started=$(mktemp -p .)
mkdir -p "$root/usr"
for folder in bin sbin lib lib64; do mkdir "$root/usr/$folder"; ln -s "usr/$folder" "$root/$folder"; done
xargs -P 2 -n 8 sh -ec 'root=$1; shift; for deb; do dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$root" --keep-directory-symlink --exclude=./usr/share/doc --exclude=./usr/share/man --exclude=./usr/share/locale; done' sh "$root" < "$DEBS"

# Documentation and translations are not needed in a guest; the licences of what is in it are.
mkdir -p "$root/etc/dpkg/dpkg.cfg.d"
cat > "$root/etc/dpkg/dpkg.cfg.d/small-image" <<'CFG'
path-exclude=/usr/share/doc/*
path-include=/usr/share/doc/*/copyright
path-exclude=/usr/share/man/*
path-exclude=/usr/share/locale/*
path-exclude=/usr/share/info/*
path-exclude=/usr/share/lintian/*
CFG
mkdir -p "$root"/var/lib/dpkg/{info,updates,triggers}
: > "$root/var/lib/dpkg/status"
: > "$root/var/lib/dpkg/available"

. "$BASE/chroot.sh"
chroot_enter "$root"
dpkg_run() { chroot_run "$root" dpkg --force-depends --force-unsafe-io "$@"; }
# Everything else expects the users and groups of base-passwd to be there.
dpkg_run --install "$(in_root "$(grep '/base-passwd_' "$DEBS")")"
in_root_all < "$DEBS" | xargs -d '\n' env -- chroot "$root" dpkg --force-depends --force-unsafe-io --unpack
dpkg_run --configure --pending
chroot_leave "$root"
# What the installation wrote gets one fixed time stamp; files of packages keep theirs. Folders have that of whichever package came last.
find "$root" \( -type d -o -newer "$started" \) -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
