/** What a self-made site needs on the host. All that is missing is said at once, with the Debian package that brings it. */
import { access } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { AppError } from "#domain/error.ts";
import type { Refusal } from "#domain/error.ts";

interface Prerequisite {
  readonly package: string;
  /** A program on the PATH, or absolute paths of which one must exist. */
  readonly program?: string;
  readonly files?: readonly string[];
}

const libvirtFolders = [
  "/usr/lib/x86_64-linux-gnu/libvirt",
  "/usr/lib/aarch64-linux-gnu/libvirt",
  "/usr/lib64/libvirt",
  "/usr/lib/libvirt",
];

export const prerequisites: readonly Prerequisite[] = [
  { package: "iproute2", program: "ip" },
  { package: "nftables", program: "nft" },
  { package: "util-linux", program: "nsenter" },
  { package: "libvirt-daemon", program: "libvirtd" },
  { package: "libvirt-daemon-driver-qemu", files: libvirtFolders.map((folder) => `${folder}/connection-driver/libvirt_driver_qemu.so`) },
  {
    package: process.arch === "arm64" ? "qemu-system-arm" : "qemu-system-x86",
    program: process.arch === "arm64" ? "qemu-system-aarch64" : "qemu-system-x86_64",
  },
  { package: "qemu-utils", program: "qemu-img" },
  { package: "lxd", program: "lxd" },
  { package: "uidmap", program: "newuidmap" },
  { package: "btrfs-progs", program: "mkfs.btrfs" },
];

export interface Host {
  readonly root: boolean;
  has(path: string): Promise<boolean>;
  readonly searchPath: readonly string[];
}

/** Root's programs are in sbin, which the PATH of the caller may lack. */
export const thisHost: Host = {
  root: process.getuid?.() === 0,
  has: async (path) =>
    await access(path).then(
      () => true,
      () => false,
    ),
  searchPath: [...new Set([...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/sbin", "/usr/bin", "/bin"])],
};

/** Throws `capability_missing` with one refusal for each thing that is missing. */
export async function prerequisitesCheck(host: Host = thisHost): Promise<void> {
  const missing: Prerequisite[] = [];
  for (const needed of prerequisites) {
    const paths = needed.files ?? host.searchPath.map((folder) => join(folder, needed.program ?? ""));
    const found = await Promise.all(paths.map((path) => host.has(path)));
    if (!found.includes(true)) missing.push(needed);
  }
  const detail: Refusal[] = missing.map((needed) => ({
    constraint: `${needed.program ?? needed.files?.[0]} is needed`,
    source: `Debian package ${needed.package}`,
    nearest: `apt-get install -y --no-install-recommends ${missing.map((m) => m.package).join(" ")}`,
  }));
  if (!host.root) {
    detail.unshift({
      constraint: "the agent makes namespaces and bridges",
      source: "Linux capabilities",
      nearest: "run the agent as root",
    });
  }
  if (detail.length === 0) return;
  const what = [...(host.root ? [] : ["root rights"]), ...missing.map((m) => `package ${m.package}`)];
  throw new AppError("capability_missing", `This host cannot carry a site yet. Missing: ${what.join(", ")}`, { detail });
}
