/** Calls that are cut off after each of their requests: the next call completes what was begun, and no file stays without an owner. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { exec } from "#lib/exec.ts";
import { callContext } from "#provider/conformance/subject.ts";
import type { ImageSource, MachineSpec, Provider } from "#provider/contract.ts";
import { libvirtCutStart, type LibvirtCut } from "../support/libvirt-cut.ts";
import { libvirtSiteStart, type LibvirtSite } from "../support/libvirt-site.ts";
import { libvirtOpen, tinyNodeImage, tinySpec } from "../support/libvirt-subject.ts";

/** No call needs as many. */
const requestsMax = 80;

let site: LibvirtSite;
let image: ImageSource;
let provider: Provider;
let cut: LibvirtCut;

beforeAll(async () => {
  [site, image] = await Promise.all([libvirtSiteStart(), tinyNodeImage()]);
  provider = libvirtOpen(site);
  await provider.imageEnsure(callContext(), image);
  await provider.describe(callContext());
  cut = await libvirtCutStart(join(site.dir, "cut"), site.socket);
}, 300_000);
afterAll(async () => {
  await provider?.close();
  await cut?.close();
  await site?.stop();
});

const volumes = [{ name: "data", sizeMiB: 16 }];

async function made(): Promise<MachineSpec> {
  const spec = tinySpec(site, image, { volumes });
  await provider.machineEnsure(callContext(), spec);
  return spec;
}

/** Carries `work` out with a connection that breaks after one request, after two, and so on; `check` after each. Until it is not broken any more. */
async function afterEachRequest(work: (broken: Provider) => Promise<unknown>, check: (requests: number) => Promise<void>): Promise<number> {
  for (let requests = 1; requests <= requestsMax; requests++) {
    cut.allow(requests);
    const broken = libvirtOpen(site, cut.socket);
    const ended = await work(broken).then(
      () => "completed",
      () => "broken",
    );
    await broken.close();
    await check(requests);
    if (ended === "completed" && cut.requests < requests) return requests;
  }
  throw new Error(`not completed within ${requestsMax} requests`);
}

/** Snapshots inside a disk of a machine that is off, by QEMU's own tool. */
async function insideOf(spec: MachineSpec, disk: string): Promise<string[]> {
  const path = join(site.poolPath, `${spec.name}.${spec.owner.object}.${disk}`);
  const { snapshots = [] } = JSON.parse((await exec("qemu-img", ["info", "--output=json", path])).stdout) as {
    snapshots?: { name: string }[];
  };
  return snapshots.map(({ name }) => name.split(".")[0]!).sort();
}

/** Of a machine that runs, whose disks are QEMU's alone. */
async function insideRunning(spec: MachineSpec): Promise<string[]> {
  const said = await site.virsh("qemu-monitor-command", spec.name, "--hmp", "info snapshots");
  return said.match(/one\.\d{13}\.[0-9a-f]{8}/g) ?? [];
}

const bothDisks = async (spec: MachineSpec) => [await insideOf(spec, "disk"), await insideOf(spec, "volume-data")];

async function assertWhole(spec: MachineSpec): Promise<void> {
  const xml = await site.virsh("dumpxml", "--inactive", spec.name);
  expect(xml).toContain(".seed-");
  expect(xml).toContain("<serial>data</serial>");
  expect(xml).not.toContain("aside");
}

const filesOf = async (spec: MachineSpec) => (await site.run("find", site.poolPath, "-name", `${spec.name}.*`)).split("\n").filter(Boolean);

describe("cut off after each request", { timeout: 300_000 }, () => {
  test("machineEnsure of a machine with a volume", async () => {
    let spec = tinySpec(site, image, { volumes });
    await afterEachRequest(
      (broken) => broken.machineEnsure(callContext(), spec),
      async () => {
        const facts = await provider.machineEnsure(callContext(), spec);
        expect(facts).toMatchObject({ power: "stopped", volumes });
        await assertWhole(spec);
        expect((await filesOf(spec)).length).toBe(3);
        await provider.machineRemove(callContext(), spec);
        expect(await filesOf(spec)).toEqual([]);
        spec = tinySpec(site, image, { volumes });
      },
    );
  });

  test("snapshotEnsure, snapshotRevert and snapshotRemove of a machine that is off", async () => {
    const spec = await made();
    await provider.snapshotEnsure(callContext(), spec, "other");
    await afterEachRequest(
      (broken) => broken.snapshotEnsure(callContext(), spec, "one"),
      async () => {
        await provider.snapshotEnsure(callContext(), spec, "one");
        await assertWhole(spec);
        expect((await provider.snapshotList(callContext(), spec)).map(({ name }) => name)).toEqual(["other", "one"]);
        expect(await bothDisks(spec)).toEqual([
          ["one", "other"],
          ["one", "other"],
        ]);
        await provider.snapshotRemove(callContext(), spec, "one");
        expect(await bothDisks(spec)).toEqual([["other"], ["other"]]);
      },
    );
    await afterEachRequest(
      (broken) => broken.snapshotRevert(callContext(), spec, "other"),
      async () => {
        await provider.snapshotRevert(callContext(), spec, "other");
        await assertWhole(spec);
        expect(await provider.machineObserve(callContext(), spec)).toMatchObject({ power: "stopped", volumes });
      },
    );
    await afterEachRequest(
      (broken) => broken.snapshotRemove(callContext(), spec, "other"),
      async () => {
        await provider.snapshotRemove(callContext(), spec, "other");
        await assertWhole(spec);
        expect(await bothDisks(spec)).toEqual([[], []]);
        await provider.snapshotEnsure(callContext(), spec, "other");
      },
    );
    await provider.machineRemove(callContext(), spec);
    expect(await filesOf(spec)).toEqual([]);
  });

  // Either the same call completes it, or its removal finds what was begun.
  test.each(["repeated", "removed"])(
    "snapshotEnsure of a machine that runs, then %s, leaves no snapshot that nobody knows",
    async (then) => {
      const spec = await made();
      await provider.machineStart(callContext(), spec);
      await afterEachRequest(
        (broken) => broken.snapshotEnsure(callContext(), spec, "one"),
        async () => {
          if (then === "repeated") await provider.snapshotEnsure(callContext(), spec, "one");
          if (then === "repeated") expect(await insideRunning(spec)).toHaveLength(1);
          await provider.snapshotRemove(callContext(), spec, "one");
          expect(await insideRunning(spec)).toEqual([]);
          expect(await provider.snapshotList(callContext(), spec)).toEqual([]);
        },
      );
      await provider.machineStop(callContext(), spec, { graceMs: 0 });
      expect(await bothDisks(spec)).toEqual([[], []]);
      await provider.machineRemove(callContext(), spec);
    },
  );

  test("a machine that was left without its seed has it when it starts", async () => {
    const spec = await made();
    await provider.snapshotEnsure(callContext(), spec, "one");
    let reduced = 0;
    await afterEachRequest(
      (broken) => broken.snapshotRevert(callContext(), spec, "one"),
      async () => {
        if ((await site.virsh("dumpxml", spec.name)).includes("aside")) {
          reduced += 1;
          await provider.machineStart(callContext(), spec);
          expect(await site.virsh("dumpxml", spec.name)).toContain(".seed-");
          await provider.machineStop(callContext(), spec, { graceMs: 0 });
        }
        await assertWhole(spec);
      },
    );
    expect(reduced).toBeGreaterThan(0);
    await provider.machineRemove(callContext(), spec);
  });
});

test("a machine that is removed while it is kept stays removed", { timeout: 120_000 }, async () => {
  const other = libvirtOpen(site);
  for (let round = 0; round < 10; round++) {
    const spec = await made();
    const keeping = other.snapshotEnsure(callContext(), spec, "one").catch((error: unknown) => error);
    await new Promise((resolve) => setTimeout(resolve, round * 6));
    await provider.machineRemove(callContext(), spec);
    await keeping;
    expect(await provider.machineObserve(callContext(), spec)).toBeNull();
    expect(await filesOf(spec)).toEqual([]);
  }
  await other.close();
});
