import assert from "node:assert/strict";
import { check, rejectsWith, type ConformanceCheck } from "#provider/conformance/subject.ts";
import type { MachineFacts, MachineSpec, VolumeSpec } from "#provider/contract.ts";

/** Facts must say what was asked for, wherever the specification decides it. */
export function assertRealises(facts: MachineFacts | null, spec: MachineSpec): asserts facts is MachineFacts {
  assert.ok(facts !== null, "the machine is missing");
  assert.equal(facts.name, spec.name);
  assert.deepEqual(facts.owner, spec.owner);
  assert.equal(facts.kind, spec.kind);
  assert.equal(facts.vcpus, spec.vcpus);
  assert.equal(facts.memoryMiB, spec.memoryMiB);
  assert.deepEqual(
    facts.nics,
    spec.nics.map((nic) => ({ mac: nic.mac, attachment: nic.attachment })),
  );
  assert.deepEqual(byName(facts.volumes), byName(spec.volumes));
  assert.notEqual(facts.externalId, "");
}

const byName = (volumes: readonly VolumeSpec[]) => volumes.map(({ name, sizeMiB }) => `${name}: ${sizeMiB} MiB`).toSorted();

const existence: readonly ConformanceCheck[] = [
  check("machineEnsure makes a stopped machine; its facts equal machineObserve", async (bench) => {
    const spec = await bench.spec();
    const facts = await bench.provider.machineEnsure(bench.ctx, spec);
    assertRealises(facts, spec);
    assert.equal(facts.power, "stopped");
    assert.deepEqual(await bench.provider.machineObserve(bench.ctx, spec), facts);
  }),

  check("machineEnsure twice leaves one machine", async (bench) => {
    const spec = await bench.spec();
    const first = await bench.provider.machineEnsure(bench.ctx, spec);
    const before = (await bench.provider.machineList(bench.ctx)).length;
    const second = await bench.provider.machineEnsure(bench.ctx, spec);
    assert.deepEqual(second, first);
    assert.equal(await bench.count(spec.name), 1);
    assert.equal((await bench.provider.machineList(bench.ctx)).length, before, "the second ensure made another object");
  }),

  check("two concurrent machineEnsure leave one machine", async (bench) => {
    const spec = await bench.spec();
    const other = await bench.another();
    const [first, second] = await Promise.all([bench.provider.machineEnsure(bench.ctx, spec), other.machineEnsure(bench.ctx, spec)]);
    assert.equal(first.externalId, second.externalId);
    assert.equal(await bench.count(spec.name), 1);
    const ours = (await bench.provider.machineList(bench.ctx)).filter((facts) => facts.owner?.object === spec.owner.object);
    assert.equal(ours.length, 1, "more than one object carries the mark");
    assertRealises(await bench.provider.machineObserve(bench.ctx, spec), spec);
  }),

  check("machineEnsure after machineRemove makes it again", async (bench) => {
    const spec = await bench.made();
    await bench.provider.machineRemove(bench.ctx, spec);
    assertRealises(await bench.provider.machineEnsure(bench.ctx, spec), spec);
    assert.equal(await bench.count(spec.name), 1);
  }),

  check("machineObserve of a missing machine is null", async (bench) => {
    const spec = await bench.spec();
    assert.equal(await bench.provider.machineObserve(bench.ctx, spec), null);
  }),

  check("machineRemove leaves nothing and may be repeated, also concurrently", async (bench) => {
    const spec = await bench.made();
    await bench.provider.machineStart(bench.ctx, spec);
    const other = await bench.another();
    await Promise.all([bench.provider.machineRemove(bench.ctx, spec), other.machineRemove(bench.ctx, spec)]);
    assert.equal(await bench.provider.machineObserve(bench.ctx, spec), null);
    assert.equal(await bench.count(spec.name), 0);
    await bench.provider.machineRemove(bench.ctx, spec);
  }),

  check("machineEnsure syncs a changed memory of a stopped machine", async (bench) => {
    const spec = await bench.made();
    const wanted = { ...spec, memoryMiB: spec.memoryMiB + 32 };
    assertRealises(await bench.provider.machineEnsure(bench.ctx, wanted), wanted);
    assertRealises(await bench.provider.machineObserve(bench.ctx, wanted), wanted);
    assert.equal(await bench.count(spec.name), 1);
  }),

  check(
    "machineEnsure syncs a changed memory of a running machine without stopping it",
    async (bench) => {
      const spec = await bench.ready();
      const wanted = { ...spec, memoryMiB: spec.memoryMiB + 32 };
      const facts = await bench.provider.machineEnsure(bench.ctx, wanted);
      assertRealises(facts, wanted);
      assert.equal(facts.power, "running");
    },
    "liveResize",
  ),
];

const power: readonly ConformanceCheck[] = [
  check("machineStart runs it and may be repeated; machineEnsure keeps it running", async (bench) => {
    const spec = await bench.made();
    assert.equal((await bench.provider.machineStart(bench.ctx, spec)).power, "running");
    assert.equal((await bench.provider.machineStart(bench.ctx, spec)).power, "running");
    assert.equal((await bench.provider.machineEnsure(bench.ctx, spec)).power, "running");
    assert.equal((await bench.provider.machineObserve(bench.ctx, spec))?.power, "running");
  }),

  check("machineStart of a missing machine is not_found", async (bench) => {
    const spec = await bench.spec();
    await rejectsWith("not_found", () => bench.provider.machineStart(bench.ctx, spec));
  }),

  check("machineStop by force stops it and may be repeated", async (bench) => {
    const spec = await bench.made();
    await bench.provider.machineStart(bench.ctx, spec);
    await bench.provider.machineStop(bench.ctx, spec, { graceMs: 0 });
    assert.equal((await bench.provider.machineObserve(bench.ctx, spec))?.power, "stopped");
    await bench.provider.machineStop(bench.ctx, spec, { graceMs: 0 });
    assert.equal((await bench.provider.machineEnsure(bench.ctx, spec)).power, "stopped");
  }),

  check("machineStop with grace ends with a stopped machine", async (bench) => {
    const spec = await bench.made();
    await bench.provider.machineStart(bench.ctx, spec);
    await bench.provider.machineStop(bench.ctx, spec, { graceMs: 2_000 });
    assert.equal((await bench.provider.machineObserve(bench.ctx, spec))?.power, "stopped");
  }),

  check("machineStop of a missing machine succeeds", async (bench) => {
    await bench.provider.machineStop(bench.ctx, await bench.spec(), { graceMs: 0 });
  }),

  check("machineStart brings a killed machine back", async (bench) => {
    const spec = await bench.made();
    await bench.provider.machineStart(bench.ctx, spec);
    assert.equal((await bench.provider.machineObserve(bench.ctx, spec))?.power, "running");
    await bench.subject.kill(spec.name);
    const seen = await bench.provider.machineObserve(bench.ctx, spec);
    assert.ok(seen?.power === "stopped" || seen?.power === "crashed", `power is ${seen?.power}`);
    assert.equal((await bench.provider.machineStart(bench.ctx, spec)).power, "running");
    assert.equal((await bench.provider.machineObserve(bench.ctx, spec))?.power, "running");
  }),
];

export const machineChecks: readonly ConformanceCheck[] = [...existence, ...power];
