import assert from "node:assert/strict";
import { check, rejectsWith, type Bench, type ConformanceCheck } from "#provider/conformance/subject.ts";
import { assertRealises } from "#provider/conformance/machine-checks.ts";
import type { MachineSpec } from "#provider/contract.ts";

const volumes = [{ name: "data", sizeMiB: 16 }];

async function names(bench: Bench, spec: MachineSpec): Promise<string[]> {
  return (await bench.provider.snapshotList(bench.ctx, spec)).map(({ name }) => name);
}

/** Takes a snapshot in each power state, with another mark on the disks each time; leaves the machine stopped. */
async function takeInEveryState(bench: Bench, spec: MachineSpec): Promise<string[]> {
  const { provider, ctx } = bench;
  const power = async () => (await provider.machineObserve(ctx, spec))?.power;
  await bench.mark(spec, "one");
  await provider.snapshotEnsure(ctx, spec, "one");
  assert.equal(await power(), "running");
  await bench.mark(spec, "two");
  if (provider.capabilities.pause) await provider.machinePause(ctx, spec);
  await provider.snapshotEnsure(ctx, spec, "two");
  assert.equal(await power(), provider.capabilities.pause ? "paused" : "running");
  await provider.machineStart(ctx, spec);
  await bench.mark(spec, "three");
  await provider.machineStop(ctx, spec, { graceMs: 0 });
  await provider.snapshotEnsure(ctx, spec, "three");
  assert.equal(await power(), "stopped");
  return ["one", "two", "three"];
}

const existence: readonly ConformanceCheck[] = [
  check(
    "snapshotEnsure twice, also at once, leaves one snapshot",
    async (bench) => {
      const spec = await bench.made({ volumes: bench.provider.capabilities.volumes ? volumes : [] });
      const other = await bench.another();
      const [first, second] = await Promise.all([
        bench.provider.snapshotEnsure(bench.ctx, spec, "one"),
        other.snapshotEnsure(bench.ctx, spec, "one"),
      ]);
      assert.equal(first.name, "one");
      assert.ok(!Number.isNaN(Date.parse(first.createdAt)), `created at ${first.createdAt}`);
      assert.deepEqual(second, first);
      assert.deepEqual(await bench.provider.snapshotEnsure(bench.ctx, spec, "one"), first);
      assert.deepEqual(await bench.provider.snapshotList(bench.ctx, spec), [first]);
    },
    "snapshots",
  ),

  check(
    "snapshotRemove removes one, keeps the others, and succeeds when it is missing",
    async (bench) => {
      const spec = await bench.made();
      for (const name of ["one", "two", "three"]) await bench.provider.snapshotEnsure(bench.ctx, spec, name);
      await bench.provider.snapshotRemove(bench.ctx, spec, "two");
      assert.deepEqual(await names(bench, spec), ["one", "three"]);
      await bench.provider.snapshotRemove(bench.ctx, spec, "two");
      assert.deepEqual(await names(bench, spec), ["one", "three"]);
      await bench.provider.machineRemove(bench.ctx, spec);
      await bench.provider.snapshotRemove(bench.ctx, spec, "one");
    },
    "snapshots",
  ),

  check(
    "machineRemove takes the snapshots with it",
    async (bench) => {
      const spec = await bench.made({ volumes: bench.provider.capabilities.volumes ? volumes : [] });
      await bench.provider.snapshotEnsure(bench.ctx, spec, "one");
      await bench.provider.snapshotEnsure(bench.ctx, spec, "two");
      await bench.provider.machineRemove(bench.ctx, spec);
      assert.deepEqual(await bench.subject.leftovers(spec.name), []);
      await bench.provider.machineEnsure(bench.ctx, spec);
      assert.deepEqual(await names(bench, spec), []);
    },
    "snapshots",
  ),
];

const content: readonly ConformanceCheck[] = [
  check(
    "snapshotRevert brings back the disks as they were when it ran, was paused, was stopped; later snapshots stay",
    async (bench) => {
      const spec = await bench.ready({ volumes: bench.provider.capabilities.volumes ? volumes : [] });
      const taken = await takeInEveryState(bench, spec);
      for (const name of ["one", "three", "two"]) {
        await bench.provider.snapshotRevert(bench.ctx, spec, name);
        assert.equal((await bench.provider.machineObserve(bench.ctx, spec))?.power, "stopped");
        assert.deepEqual(await names(bench, spec), taken, `after the revert to ${name}`);
        await bench.started(spec);
        await bench.assertMarked(spec, name);
        await bench.mark(spec, `after ${name}`);
        await bench.provider.machineStop(bench.ctx, spec, { graceMs: 0 });
      }
    },
    ["snapshots", "channel"],
  ),

  check(
    "snapshotRevert is a conflict while the machine runs, not_found when there is no such snapshot",
    async (bench) => {
      const spec = await bench.ready();
      const { provider, ctx } = bench;
      await bench.mark(spec, "before");
      await provider.snapshotEnsure(ctx, spec, "one");
      await bench.mark(spec, "now");
      await rejectsWith("conflict", () => provider.snapshotRevert(ctx, spec, "one"));
      await bench.assertMarked(spec, "now");
      await provider.machineStop(ctx, spec, { graceMs: 0 });
      await rejectsWith("not_found", () => provider.snapshotRevert(ctx, spec, "other"));
      assert.deepEqual(await names(bench, spec), ["one"]);
    },
    ["snapshots", "channel"],
  ),

  check(
    "snapshotRemove of a running machine keeps its present state, also over a restart",
    async (bench) => {
      const spec = await bench.ready({ volumes: bench.provider.capabilities.volumes ? volumes : [] });
      const { provider, ctx } = bench;
      await bench.mark(spec, "before");
      await provider.snapshotEnsure(ctx, spec, "one");
      await bench.mark(spec, "now");
      await provider.snapshotRemove(ctx, spec, "one");
      assert.deepEqual(await names(bench, spec), []);
      assert.equal((await provider.machineObserve(ctx, spec))?.power, "running");
      await bench.assertMarked(spec, "now");
      await provider.machineStop(ctx, spec, { graceMs: 0 });
      await bench.started(spec);
      await bench.assertMarked(spec, "now");
    },
    ["snapshots", "channel"],
  ),

  check(
    "a volume grows although there are snapshots, and again after a revert",
    async (bench) => {
      const { provider, ctx } = bench;
      const spec = await bench.made({ volumes });
      await provider.snapshotEnsure(ctx, spec, "one");
      const wanted = { ...spec, volumes: [{ name: "data", sizeMiB: 32 }] };
      assertRealises(await provider.machineEnsure(ctx, wanted), wanted);
      await provider.snapshotRevert(ctx, spec, "one");
      assertRealises(await provider.machineEnsure(ctx, wanted), wanted);
      assert.deepEqual(await names(bench, spec), ["one"]);
    },
    ["snapshots", "volumes"],
  ),
];

export const snapshotChecks: readonly ConformanceCheck[] = [...existence, ...content];
