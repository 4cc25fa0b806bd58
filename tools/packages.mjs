/**
 * The Debian packages this product uses, and why: the only list. `tools/bootstrap.mjs` installs what is missing of the groups a
 * command needs; `npm run packages` prints the table.
 *
 * `probe` is a file whose presence proves the package (the first one found counts; `*` stands for one folder). Probing files, not
 * dpkg, is fast, and right also where somebody installed the same programs another way. Types are in packages.d.mts.
 */

export const debianPackages = [
  { name: "qemu-system-x86", group: "site", arch: "x64", why: "runs virtual machines", probe: ["/usr/bin/qemu-system-x86_64"] },
  { name: "qemu-system-arm", group: "site", arch: "arm64", why: "runs virtual machines", probe: ["/usr/bin/qemu-system-aarch64"] },
  { name: "qemu-utils", group: "site", why: "qemu-img: makes and converts disks", probe: ["/usr/bin/qemu-img"] },
  {
    name: "libvirt-daemon",
    group: "site",
    why: "manages virtual machines (a daemon of our own, in the site's namespace)",
    probe: ["/usr/sbin/libvirtd"],
  },
  {
    name: "libvirt-daemon-driver-qemu",
    group: "site",
    why: "libvirt's driver for QEMU",
    probe: ["/usr/lib/*/libvirt/connection-driver/libvirt_driver_qemu.so"],
  },
  {
    name: "lxd",
    group: "site",
    why: "manages containers (a daemon of our own, in the site's namespace)",
    probe: ["/usr/bin/lxd", "/usr/sbin/lxd", "/snap/bin/lxd"],
  },
  { name: "uidmap", group: "site", why: "newuidmap: unprivileged containers", probe: ["/usr/bin/newuidmap"] },
  {
    name: "btrfs-progs",
    group: "site",
    why: "mkfs.btrfs: container storage that clones at once",
    probe: ["/usr/sbin/mkfs.btrfs", "/sbin/mkfs.btrfs", "/bin/mkfs.btrfs"],
  },
  {
    name: "iproute2",
    group: "site",
    why: "ip: namespaces, bridges and links of the site",
    probe: ["/usr/sbin/ip", "/sbin/ip", "/bin/ip", "/usr/bin/ip"],
  },
  {
    name: "nftables",
    group: "site",
    why: "nft: isolation and exposure inside the site's namespace",
    probe: ["/usr/sbin/nft", "/sbin/nft"],
  },
  { name: "busybox-static", group: "images", why: "user land of the tiny images", probe: ["/bin/busybox", "/usr/bin/busybox"] },
  {
    name: "e2fsprogs",
    group: "images",
    why: "mke2fs: fills the disk of an image without mounting it",
    probe: ["/usr/sbin/mke2fs", "/sbin/mke2fs"],
  },
  { name: "libvirt-clients", group: "tests", why: "virsh: a second pair of eyes in endpoint tests", probe: ["/usr/bin/virsh"] },
  { name: "lxd-client", group: "tests", why: "lxc: a second pair of eyes in endpoint tests", probe: ["/usr/bin/lxc"] },
  { name: "libarchive-tools", group: "tests", why: "bsdtar: reads our ISO images with somebody else's code", probe: ["/usr/bin/bsdtar"] },
  { name: "chromium", group: "tests", why: "the browser the console is tested in", probe: ["/usr/bin/chromium"] },
  { name: "mmdebstrap", group: "fresh", why: "makes the bare Debian of the fresh-machine test", probe: ["/usr/bin/mmdebstrap"] },
];
