/**
 * A stranger's libvirtd with five machines, as tests that only look at it need it: the machines, everything there that may not change, and a
 * stretch of virtual time with every loop that looks at endpoints.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { expect } from "vitest";
import type { AppContext } from "#app/context.ts";
import { listEndpoints } from "#app/endpoint.ts";
import { listInventory } from "#app/inventory.ts";
import { removeOrphans } from "#app/reconcilers/orphan.ts";
import { sampleInventories } from "#app/samplers/inventory.ts";
import { describeEndpoints, MachineWatches, sampleEndpoints } from "#app/samplers/machine.ts";
import type { CallContext } from "#domain/context.ts";
import { parseId } from "#domain/id.ts";
import { systemClock } from "#lib/clock.ts";
import { exec } from "#lib/exec.ts";
import { silentLog } from "#lib/log.ts";
import { loops } from "#main.ts";
import type { LibvirtSite } from "./libvirt-site.ts";

export const hourMs = 60 * 60 * 1_000;
/** Made long ago, as the file of its disk says. */
const oldDiskAt = new Date("2021-03-04T05:06:07Z");

interface Stranger {
  readonly name: string;
  readonly vcpus: number;
  readonly memoryMiB: number;
  readonly state: "running" | "paused" | "stopped";
  readonly words?: string;
  readonly metadata?: string;
}

const nova = `<metadata><nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/1.1"><nova:owner><nova:user uuid="u1">ann</nova:user><nova:project uuid="p1">web</nova:project></nova:owner></nova:instance></metadata>`;
const strangers: readonly Stranger[] = [
  { name: "build", vcpus: 2, memoryMiB: 96, state: "stopped", words: "<title>build machine</title>" },
  { name: "db", vcpus: 1, memoryMiB: 64, state: "running", words: "<description>the database of accounting</description>" },
  { name: "frozen", vcpus: 1, memoryMiB: 48, state: "paused" },
  { name: "old", vcpus: 1, memoryMiB: 32, state: "stopped" },
  { name: "web", vcpus: 1, memoryMiB: 64, state: "running", words: "<title>web</title>", metadata: nova },
];

/** Five machines with disks in a pool, a network, a snapshot and an autostart: what strangers have. */
export async function strangersMachines(site: LibvirtSite): Promise<void> {
  const disks = join(site.dir, "pool");
  mkdirSync(disks, { recursive: true });
  await site.virsh("pool-define-as", "theirs", "dir", "--target", disks);
  await site.virsh("pool-start", "theirs");
  for (const [index, one] of strangers.entries()) {
    const disk = join(disks, `${one.name}.qcow2`);
    await exec("qemu-img", ["create", "-q", "-f", "qcow2", disk, "16M"]);
    await exec("qemu-io", ["-c", `write -q -P ${index + 1} 0 4M`, disk]);
    if (one.name === "old") utimesSync(disk, oldDiskAt, oldDiskAt);
    const file = join(site.dir, `${one.name}.xml`);
    writeFileSync(file, domainXml(site, one, index, disk));
    await site.virsh("define", file);
    if (one.state !== "stopped") await site.virsh("start", one.name, ...(one.state === "paused" ? ["--paused"] : []));
  }
  await site.virsh("autostart", "old");
  await site.virsh("snapshot-create-as", "build", "before-upgrade");
  await site.virsh("pool-refresh", "theirs");
}

function domainXml(
  { bridge }: LibvirtSite,
  { name, vcpus, memoryMiB, words = "", metadata = "" }: Stranger,
  index: number,
  disk: string,
): string {
  return `<domain type='qemu'><name>${name}</name>${words}${metadata}<memory unit='MiB'>${memoryMiB}</memory><vcpu>${vcpus}</vcpu>
    <os><type arch='x86_64' machine='q35'>hvm</type></os><devices>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${disk}'/><target dev='vda' bus='virtio'/></disk>
    <interface type='bridge'><mac address='52:54:00:00:00:0${index}'/><source bridge='${bridge}'/><model type='virtio'/></interface>
    <memballoon model='none'/></devices></domain>`;
}

/** Taken when the machines' firmware has said its last word and libvirt has probed QEMU; looking with the endpoint's own tools changes nothing. */
export async function settledFingerprint(site: LibvirtSite): Promise<Record<string, string>> {
  await systemClock.sleep(5_000);
  await site.virsh("domcapabilities");
  const settled = await fingerprint(site);
  expect(Object.keys(settled).length).toBeGreaterThan(20);
  expect(await fingerprint(site), "looking with the endpoint's own tools").toEqual(settled);
  return settled;
}

/**
 * Everything at the endpoint: what libvirt says of every machine (also what only root sees), their snapshots, pools, networks and how many
 * processes run; and every file of its folders with content, times, size and rights: configuration, state of running machines, logs of
 * machines, disks, caches. Left out is only libvirtd's own log, which notes that clients came and went.
 */
export async function fingerprint(site: LibvirtSite): Promise<Record<string, string>> {
  const prints: Record<string, string> = {};
  for (const { name } of strangers) {
    prints[`machine ${name}`] = [
      await site.virsh("dumpxml", "--security-info", name),
      await site.virsh("dumpxml", "--inactive", "--security-info", name),
      await site.virsh("domstate", "--reason", name),
      await site.virsh("dominfo", name).then((text) => text.replace(/CPU time:.*/, "")),
      await site.virsh("snapshot-list", name),
    ].join("\n");
  }
  for (const what of ["list", "pool-list", "net-list"]) prints[what] = await site.virsh(what, "--all");
  for (const what of ["secret-list", "nwfilter-list"]) prints[what] = await site.virsh(what);
  prints["processes"] = await site.run("sh", "-c", "ls -d /proc/[0-9]*/exe | xargs -n1 readlink | grep -c qemu-system");
  for (const path of filesBelow(site.dir)) {
    const { size, mtimeMs, ctimeMs, mode, uid, gid, ino } = statSync(path);
    const content = createHash("sha256").update(readFileSync(path)).digest("hex");
    prints[relative(site.dir, path)] = [size, mtimeMs, ctimeMs, mode, uid, gid, ino, content].join(" ");
  }
  return prints;
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name !== "libvirtd.log")
    .map((entry) => join(entry.parentPath, entry.name));
}

export interface Looks {
  readonly looks: number;
  readonly descriptions: number;
  readonly inventories: number;
  readonly orphans: number;
}

/** Runs every loop that looks at endpoints as often as these hours have room for: side by side, as in production, each by a clock of its own. */
export async function hoursPass(ctx: AppContext, hours: number): Promise<Looks> {
  const { platform } = ctx;
  const startedAt = Date.now();
  const watches = new MachineWatches(platform);
  const counts = { looks: 0, descriptions: 0, inventories: 0, orphans: 0 };
  const kinds = [
    [loops.sample, "looks", (loop: CallContext) => sampleEndpoints(platform, loop)],
    [loops.describe, "descriptions", (loop: CallContext) => watches.tick(loop).then(() => describeEndpoints(platform, loop))],
    [loops.inventory, "inventories", (loop: CallContext) => sampleInventories(platform, loop)],
    [loops.orphans, "orphans", (loop: CallContext) => removeOrphans(platform, loop)],
  ] as const;
  for (let from = startedAt; from < startedAt + hours * hourMs; from += hourMs) {
    await Promise.all(
      kinds.map(async ([everyMs, name, round]) => {
        for (let at = from; at < from + hourMs; at += everyMs) {
          await round({ log: silentLog, clock: { now: () => at, sleep: systemClock.sleep }, signal: ctx.signal });
          counts[name] += 1;
        }
      }),
    );
    // A control plane that is restarted every hour opens everything anew.
    for (const { id } of await listEndpoints(ctx, undefined)) await platform.endpoints.forget(parseId("endpoint", id));
  }
  watches.close();
  return counts;
}

/** The inventory after as many hours, seen without a gap from the first minute to the last. */
export async function assertInventory(ctx: AppContext, site: LibvirtSite, hours: number): Promise<void> {
  const seen = await listInventory(ctx, { gone: true, limit: 100 });
  expect(seen.map(({ name, power, vcpus, memoryMiB, goneAt }) => ({ name, power, vcpus, memoryMiB, goneAt })).toSorted(byName)).toEqual(
    strangers.map(({ name, state, vcpus, memoryMiB }) => ({ name, power: state, vcpus, memoryMiB, goneAt: null })),
  );
  const one = (name: string) => seen.find((machine) => machine.name === name)!;
  expect(one("web")).toMatchObject({ kind: "vm", nics: [{ mac: "52:54:00:00:00:04", attachment: site.bridge }] });
  expect(one("web").owner).toMatchObject({ who: expect.stringContaining("ann"), source: expect.stringContaining("nova") });
  expect(one("db").description).toContain("the database of accounting");
  expect(one("build").description).toContain("build machine");
  expect(one("frozen")).toMatchObject({ owner: null, description: null });
  for (const { firstSeen, lastSeen } of seen) {
    expect(Date.parse(lastSeen) - Date.parse(firstSeen)).toBe(hours * hourMs - loops.inventory);
  }
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : 1;
}
