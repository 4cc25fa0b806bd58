/** Invariant I7: what does not carry our mark is neither changed nor removed, whatever is called on its name. */
import assert from "node:assert/strict";
import { check, freshOwner, rejectsWith, type Bench, type ConformanceCheck } from "#provider/conformance/subject.ts";
import type { MachineSpec } from "#provider/contract.ts";

/** An endpoint's clock may be a little ahead of ours. */
const clockSkewMs = 60_000;

/** Every call that could change the object, and the one that could claim it. */
async function assertAllRefused(bench: Bench, spec: MachineSpec): Promise<void> {
  const { provider, ctx } = bench;
  await rejectsWith("not_ours", () => provider.machineObserve(ctx, spec));
  await rejectsWith("not_ours", () => provider.machineEnsure(ctx, spec));
  await rejectsWith("not_ours", () => provider.machineStart(ctx, spec));
  await rejectsWith("not_ours", () => provider.machineStop(ctx, spec, { graceMs: 0 }));
  await rejectsWith("not_ours", () => provider.machineRemove(ctx, spec));
  if (provider.capabilities.pause) await rejectsWith("not_ours", () => provider.machinePause(ctx, spec));
  if (provider.capabilities.snapshots) {
    await rejectsWith("not_ours", () => provider.snapshotEnsure(ctx, spec, "theirs"));
    await rejectsWith("not_ours", () => provider.snapshotRevert(ctx, spec, "theirs"));
    await rejectsWith("not_ours", () => provider.snapshotRemove(ctx, spec, "theirs"));
    await rejectsWith("not_ours", () => provider.snapshotList(ctx, spec));
  }
  if (!provider.capabilities.channel) return;
  await rejectsWith("not_ours", () => provider.channelRun(ctx, spec, { argv: ["/bin/echo", "hi"] }));
}

function otherMark(part: "installation" | "vapp" | "object"): ConformanceCheck {
  return check(`a machine of another ${part} is left alone`, async (bench) => {
    const spec = await bench.made();
    await bench.provider.machineStart(bench.ctx, spec);
    const before = await bench.provider.machineObserve(bench.ctx, spec);
    const owner = { ...spec.owner, [part]: freshOwner()[part] };
    const volumes = bench.provider.capabilities.volumes ? [{ name: "theirs", sizeMiB: 16 }] : [];
    await assertAllRefused(bench, { ...spec, owner, volumes, memoryMiB: spec.memoryMiB + 32 });
    assert.deepEqual(await bench.provider.machineObserve(bench.ctx, spec), before);
    if (bench.provider.capabilities.snapshots) assert.deepEqual(await bench.provider.snapshotList(bench.ctx, spec), []);
  });
}

export const ownershipChecks: readonly ConformanceCheck[] = [
  check("a foreign object with our name is neither changed nor removed", async (bench) => {
    const { foreign, machine } = bench.subject;
    // Not `bench.spec`: the clean-up must not ask for the removal of somebody else's object.
    const made = await bench.spec();
    const spec = machine.call(bench.subject, { ...made, name: `${made.name}x`, owner: freshOwner() });
    await foreign.create(spec.name);
    try {
      const before = await foreign.fingerprint(spec.name);
      assert.notEqual(before, "", "foreign.create made nothing");
      await assertAllRefused(bench, spec);
      assert.equal(await foreign.fingerprint(spec.name), before);
    } finally {
      await foreign.remove(spec.name);
    }
  }),

  otherMark("installation"),
  otherMark("vapp"),
  otherMark("object"),

  check("inventory lists everybody's machines, with what is known of their origin, and changes nothing", async (bench) => {
    const spec = await bench.made();
    const { foreign } = bench.subject;
    const name = `${spec.name}x`;
    await foreign.create(name);
    try {
      const before = await foreign.fingerprint(name);
      const list = await bench.provider.machineList(bench.ctx);
      const items = await bench.provider.inventory(bench.ctx);
      for (const machine of [spec.name, name]) {
        const found = items.filter((item) => item.name === machine);
        assert.equal(found.length, 1, `${machine} is in the inventory ${found.length} times`);
        const { description, created, ownerGuess, ...facts } = found[0]!;
        assert.deepEqual(
          facts,
          list.find((listed) => listed.name === machine),
        );
        assert.notEqual(description, "", "no description is null");
        if (created !== null)
          assert.ok(created.source !== "" && Date.parse(created.at) <= Date.now() + clockSkewMs, JSON.stringify(created));
        if (ownerGuess !== null) assert.ok(ownerGuess.source !== "" && ownerGuess.who !== "", "a guess names who and where from");
      }
      assert.equal(items.find((item) => item.name === name)?.owner, null);
      assert.equal(await foreign.fingerprint(name), before, "looking changed the stranger's machine");
    } finally {
      await foreign.remove(name);
    }
  }),

  check("machineList shows our mark, and unmanaged objects with none", async (bench) => {
    const spec = await bench.made();
    const { foreign } = bench.subject;
    const name = `${spec.name}x`;
    await foreign.create(name);
    try {
      const list = await bench.provider.machineList(bench.ctx);
      assert.deepEqual(
        list.find((facts) => facts.name === spec.name),
        await bench.provider.machineObserve(bench.ctx, spec),
      );
      const unmanaged = list.find((facts) => facts.name === name);
      assert.ok(unmanaged !== undefined, "the unmanaged object is not listed");
      assert.equal(unmanaged.owner, null);
    } finally {
      await foreign.remove(name);
    }
  }),
];
