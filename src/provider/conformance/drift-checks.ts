/** What somebody changed by hand comes back with the next `machineEnsure`, and so does a size that could not change at once. */
import assert from "node:assert/strict";
import { watchStart } from "#provider/conformance/connection-checks.ts";
import { check, type ConformanceCheck } from "#provider/conformance/subject.ts";
import { assertRealises } from "#provider/conformance/machine-checks.ts";

export const driftChecks: readonly ConformanceCheck[] = [
  check(
    "watch tells within a second that a NIC or the memory was changed by hand",
    async (bench) => {
      const spec = await bench.ready();
      const { provider, ctx, subject } = bench;
      const watched = await watchStart(bench);
      await subject.byHand.nicRemove(spec.name, spec.nics[0]!);
      await watched.expectAny(spec.name);
      if (!provider.capabilities.liveResize) await provider.machineStop(ctx, spec, { graceMs: 0 });
      await watched.settled();
      await subject.byHand.memorySet(spec.name, spec.memoryMiB + 32);
      await watched.expectAny(spec.name);
      await watched.stop();
    },
    ["events", "channel"],
  ),

  check(
    "a NIC lost by hand shows in the facts and comes back while the machine runs",
    async (bench) => {
      const spec = await bench.ready();
      await bench.subject.byHand.nicRemove(spec.name, spec.nics[0]!);
      const seen = await bench.provider.machineObserve(bench.ctx, spec);
      assert.deepEqual({ nics: seen?.nics, power: seen?.power }, { nics: [], power: "running" });
      const facts = await bench.provider.machineEnsure(bench.ctx, spec);
      assertRealises(facts, spec);
      assert.equal(facts.power, "running");
      assert.deepEqual(await bench.provider.machineObserve(bench.ctx, spec), facts);
      // Not by a restart: a guest that boots would be busy.
      assert.equal((await bench.provider.channelRun(bench.ctx, spec, { argv: ["/bin/echo", "still up"] })).stdout, "still up\n");
    },
    "channel",
  ),

  check("a memory changed by hand shows in the facts and is brought back", async (bench) => {
    const spec = await bench.made();
    const { provider, ctx } = bench;
    const power = provider.capabilities.liveResize ? "running" : "stopped";
    if (power === "running") await provider.machineStart(ctx, spec);
    await bench.subject.byHand.memorySet(spec.name, spec.memoryMiB + 32);
    assert.equal((await provider.machineObserve(ctx, spec))?.memoryMiB, spec.memoryMiB + 32);
    const facts = await provider.machineEnsure(ctx, spec);
    assertRealises(facts, spec);
    assert.equal(facts.power, power);
    assert.deepEqual(await provider.machineObserve(ctx, spec), facts);
  }),

  check("a size asked for while the machine ran is there after a stop at the latest", async (bench) => {
    const spec = await bench.made();
    const { provider, ctx } = bench;
    await provider.machineStart(ctx, spec);
    const wanted = { ...spec, vcpus: spec.vcpus + 1, memoryMiB: spec.memoryMiB + 32 };
    assert.equal((await provider.machineEnsure(ctx, wanted)).power, "running");
    await provider.machineStop(ctx, spec, { graceMs: 0 });
    assertRealises(await provider.machineEnsure(ctx, wanted), wanted);
    const started = await provider.machineStart(ctx, spec);
    assertRealises(started, wanted);
    assert.equal(started.power, "running");
  }),
];
