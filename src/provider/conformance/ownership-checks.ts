/** Invariant I7: what does not carry our mark is neither changed nor removed, whatever is called on its name. */
import assert from "node:assert/strict";
import { check, freshOwner, rejectsWith, type Bench, type ConformanceCheck } from "#provider/conformance/subject.ts";
import type { MachineSpec } from "#provider/contract.ts";

/** Every call that could change the object, and the one that could claim it. */
async function assertAllRefused(bench: Bench, spec: MachineSpec): Promise<void> {
  const { provider, ctx } = bench;
  await rejectsWith("not_ours", () => provider.machineObserve(ctx, spec));
  await rejectsWith("not_ours", () => provider.machineEnsure(ctx, spec));
  await rejectsWith("not_ours", () => provider.machineStart(ctx, spec));
  await rejectsWith("not_ours", () => provider.machineStop(ctx, spec, { graceMs: 0 }));
  await rejectsWith("not_ours", () => provider.machineRemove(ctx, spec));
  if (!provider.capabilities.channel) return;
  await rejectsWith("not_ours", () => provider.channelRun(ctx, spec, { argv: ["/bin/echo", "hi"] }));
}

function otherMark(part: "installation" | "vapp" | "object"): ConformanceCheck {
  return check(`a machine of another ${part} is left alone`, async (bench) => {
    const spec = await bench.made();
    await bench.provider.machineStart(bench.ctx, spec);
    const before = await bench.provider.machineObserve(bench.ctx, spec);
    const owner = { ...spec.owner, [part]: freshOwner()[part] };
    await assertAllRefused(bench, { ...spec, owner, memoryMiB: spec.memoryMiB + 32 });
    assert.deepEqual(await bench.provider.machineObserve(bench.ctx, spec), before);
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
