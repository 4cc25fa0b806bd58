/** Everything a site can leave on a host, found by its names and by the PID namespace of its processes. */
import { readdir, readFile, readlink, stat } from "node:fs/promises";
import { join } from "node:path";
import { exec } from "#lib/exec.ts";
import { processIdentify } from "#lib/process-identity.ts";
import type { TestSite } from "./site.ts";

export type SiteTraces = Readonly<
  Record<"links" | "namespaces" | "mounts" | "processes" | "controlGroups" | "loops" | "files", readonly string[]>
>;

export interface SiteIdentity {
  readonly home: string;
  readonly namespace: string;
  readonly uplink: string;
  /** `pid:[4026532…]` of the holder. */
  readonly pidNamespace: string;
  /** The file behind the storage pool: what a loop device shows of it, whatever path the site knows it by. */
  readonly poolInode: number;
}

export async function siteIdentify(site: TestSite): Promise<SiteIdentity> {
  const links = (await exec("ip", ["-4", "-o", "addr", "show"])).stdout.split("\n");
  const uplink = links.find((line) => line.includes(` ${site.hostAddress}/`))?.split(/\s+/)[1] ?? "";
  const pidNamespace = await readlink(`/proc/${site.holderPid()}/ns/pid`);
  const pool = await stat(join(site.home, "site/lxd/disks/stratiform.img"));
  return { home: site.home, namespace: site.namespace, uplink, pidNamespace, poolInode: pool.ino };
}

export async function siteTraces(id: SiteIdentity): Promise<SiteTraces> {
  const mine = (line: string) => line.includes(id.home) || line.includes(id.namespace);
  const lines = async (file: string, ...args: string[]) => (await exec(file, args)).stdout.split("\n");
  return {
    links: (await lines("ip", "-br", "link")).filter((line) => line.startsWith(id.uplink)),
    namespaces: (await lines("ip", "netns")).filter(mine),
    mounts: (await readFile("/proc/mounts", "utf8")).split("\n").filter(mine),
    processes: await siteProcesses(id),
    controlGroups: (await lines("find", "/sys/fs/cgroup", "-type", "d", "-name", id.namespace)).filter(Boolean),
    loops: (await lines("losetup", "-a")).filter((line) => line.includes(`]:${id.poolInode} `)),
    files: await readdir(id.home).catch(() => []),
  };
}

/** Living processes in the site's PID namespace, or started for it outside (agent, relay, the holder's wrapper). */
async function siteProcesses(id: SiteIdentity): Promise<string[]> {
  const found: string[] = [];
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    const namespace = await readlink(`/proc/${pid}/ns/pid`).catch(() => "");
    const command = (await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")).replaceAll("\0", " ");
    const isOurs = (namespace !== "" && namespace === id.pidNamespace) || command.includes(id.home) || command.includes(id.namespace);
    if (isOurs && (await processIdentify(Number(pid))) !== null) found.push(`${pid} ${command}`);
  }
  return found;
}

/** What the host says about itself that a site must never change. Of packet rules only ours: other programs may change theirs meanwhile. */
export async function hostSettings(): Promise<string[]> {
  const files = ["/etc/passwd", "/etc/group", "/etc/subuid", "/etc/subgid", "/etc/hosts"];
  const tables = (await exec("nft", ["list", "tables"])).stdout.split("\n");
  const texts = await Promise.all(files.map(async (file) => `${file}\n${await readFile(file, "utf8").catch(() => "")}`));
  return [...texts, tables.filter((line) => line === "table inet stratiform").join(), (await exec("hostname", [])).stdout];
}
