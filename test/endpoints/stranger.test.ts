/**
 * A stranger's libvirtd with five machines, added only to be looked at: the inventory is right, and after a day of virtual time, with every
 * loop that looks at endpoints as often as in production, the endpoint is byte-identical. What "byte-identical" covers is `fingerprint`.
 */
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { AppContext } from "#app/context.ts";
import { checkEndpoint } from "#app/endpoint-check.ts";
import { listEndpoints, putEndpoint } from "#app/endpoint.ts";
import { putImage } from "#app/image.ts";
import { listInventory } from "#app/inventory.ts";
import { placeOrder } from "#app/order.ts";
import { removeOrphans } from "#app/reconcilers/orphan.ts";
import { sampleInventories } from "#app/samplers/inventory.ts";
import { describeEndpoints, MachineWatches, sampleEndpoints } from "#app/samplers/machine.ts";
import { putSite } from "#app/site.ts";
import { parseId } from "#domain/id.ts";
import { exec } from "#lib/exec.ts";
import { systemClock } from "#lib/clock.ts";
import { silentLog } from "#lib/log.ts";
import { loops } from "#main.ts";
import { migrations } from "#store/migrations/all.ts";
import { adminContext, openPlatform } from "../support/installation.ts";
import { libvirtSiteStart, type LibvirtSite } from "../support/libvirt-site.ts";
import { startTestPostgres, type TestPostgres } from "../support/postgres.ts";

const dayMs = 24 * 60 * 60 * 1_000;
const hourMs = 60 * 60 * 1_000;
/** Made long ago, as the file of its disk says. */
const oldDiskAt = new Date("2021-03-04T05:06:07Z");

let site: LibvirtSite;
let postgres: TestPostgres;
let home: string;
let ctx: AppContext;

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), "stratiform-stranger-"));
  [site, postgres] = await Promise.all([libvirtSiteStart(), startTestPostgres(migrations)]);
  await strangersMachines();
  const platform = await openPlatform(postgres.open(await postgres.createDatabase()), home);
  ctx = await adminContext(platform);
  await putSite(ctx, { name: "friends", kind: "partner", location: "next door", fabric: { kind: "none", config: {} } });
  for (const [name, format] of [
    ["tiny-node", "qcow2"],
    ["tiny-edge", "lxd"],
  ] as const) {
    const variants = [{ format, digest: format.padEnd(64, "0"), sizeBytes: 1_048_576, path: null }];
    await putImage(ctx, { name, recipeHash: "test", variants });
  }
});
afterAll(async () => {
  await ctx?.platform.endpoints.close();
  await postgres?.close();
  await site?.stop();
  rmSync(home, { recursive: true, force: true });
});

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
async function strangersMachines(): Promise<void> {
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
    writeFileSync(file, domainXml(one, index, disk));
    await site.virsh("define", file);
    if (one.state !== "stopped") await site.virsh("start", one.name, ...(one.state === "paused" ? ["--paused"] : []));
  }
  await site.virsh("autostart", "old");
  await site.virsh("snapshot-create-as", "build", "before-upgrade");
  await site.virsh("pool-refresh", "theirs");
}

function domainXml({ name, vcpus, memoryMiB, words = "", metadata = "" }: Stranger, index: number, disk: string): string {
  return `<domain type='qemu'><name>${name}</name>${words}${metadata}<memory unit='MiB'>${memoryMiB}</memory><vcpu>${vcpus}</vcpu>
    <os><type arch='x86_64' machine='q35'>hvm</type></os><devices>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${disk}'/><target dev='vda' bus='virtio'/></disk>
    <interface type='bridge'><mac address='52:54:00:00:00:0${index}'/><source bridge='${site.bridge}'/><model type='virtio'/></interface>
    <memballoon model='none'/></devices></domain>`;
}

/**
 * Everything at the endpoint: what libvirt says of every machine (also what only root sees), their snapshots, pools, networks and how many
 * processes run; and every file of its folders with content, times, size and rights: configuration, state of running machines, logs of
 * machines, disks, caches. Left out is only libvirtd's own log, which notes that clients came and went.
 */
async function fingerprint(): Promise<Record<string, string>> {
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
  for (const what of ["list", "pool-list", "net-list", "secret-list", "nwfilter-list"]) {
    prints[what] = await site.virsh(what, ...(what === "list" || what.endsWith("-list") ? listAll(what) : []));
  }
  prints["processes"] = await site.run("sh", "-c", "ls -d /proc/[0-9]*/exe | xargs -n1 readlink | grep -c qemu-system");
  for (const path of filesBelow(site.dir)) {
    const { size, mtimeMs, ctimeMs, mode, uid, gid, ino } = statSync(path);
    const content = createHash("sha256").update(readFileSync(path)).digest("hex");
    prints[relative(site.dir, path)] = [size, mtimeMs, ctimeMs, mode, uid, gid, ino, content].join(" ");
  }
  return prints;
}

function listAll(what: string): string[] {
  return what === "secret-list" || what === "nwfilter-list" ? [] : ["--all"];
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name !== "libvirtd.log")
    .map((entry) => join(entry.parentPath, entry.name));
}

function add(name: string, config: object) {
  return putEndpoint(ctx, { name, site: "friends", provider: "libvirt", mode: "observe", config: config as never });
}

/** Runs every loop that looks at endpoints as often as a day has room for, by a clock of its own. */
async function aDayPasses(): Promise<Record<"looks" | "descriptions" | "inventories" | "orphans", number>> {
  const { platform } = ctx;
  const startedAt = Date.now();
  let now = startedAt;
  const clock = { now: () => now, sleep: systemClock.sleep };
  const loop = { log: silentLog, clock, signal: ctx.signal };
  const watches = new MachineWatches(platform);
  const counts = { looks: 0, descriptions: 0, inventories: 0, orphans: 0 };
  const due = (everyMs: number) => (now - startedAt) % everyMs === 0;
  for (; now < startedAt + dayMs; now += loops.sample) {
    await sampleEndpoints(platform, loop);
    counts.looks += 1;
    if (due(loops.describe)) {
      await watches.tick(loop);
      await describeEndpoints(platform, loop);
      counts.descriptions += 1;
    }
    if (due(loops.inventory)) {
      await sampleInventories(platform, loop);
      counts.inventories += 1;
    }
    if (due(loops.orphans)) {
      await removeOrphans(platform, loop);
      counts.orphans += 1;
    }
    // A control plane that is restarted every hour opens everything anew.
    if (due(hourMs)) for (const { id } of await listEndpoints(ctx, undefined)) await platform.endpoints.forget(parseId("endpoint", id));
  }
  watches.close();
  return counts;
}

test("a day of looking leaves no trace, and the inventory is right", async () => {
  // The machines' firmware has said its last word; libvirt has probed QEMU.
  await systemClock.sleep(5_000);
  await site.virsh("domcapabilities");
  const before = await fingerprint();
  expect(Object.keys(before).length).toBeGreaterThan(20);
  expect(await fingerprint(), "looking with the endpoint's own tools").toEqual(before);

  expect(await add("theirs", { socket: `${site.socket}-ro` })).toMatchObject({ state: "ready", mode: "observe", machines: 0 });
  const check = await checkEndpoint(ctx, "theirs");
  expect(check.lines.filter(({ outcome }) => outcome === "refused")).toEqual([]);
  const counts = await aDayPasses();
  expect(counts).toEqual({ looks: 17_280, descriptions: 2_880, inventories: 1_440, orphans: 2_880 });

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
    expect(Date.parse(lastSeen) - Date.parse(firstSeen)).toBe(dayMs - loops.inventory);
  }

  const order = placeOrder(ctx, { action: "deploy", input: { offering: "tiny", name: "intruder", site: "friends" } });
  await expect(order).rejects.toMatchObject({
    code: "no_capacity",
    detail: [{ nearest: expect.stringContaining("name another site") }, { constraint: expect.stringContaining("only observed") }],
  });
  expect(await fingerprint()).toEqual(before);
});

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : 1;
}
