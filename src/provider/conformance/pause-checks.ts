import assert from "node:assert/strict";
import { check, rejectsWith, type ConformanceCheck } from "#provider/conformance/subject.ts";

export const pauseChecks: readonly ConformanceCheck[] = [
  check(
    "machinePause halts it until machineStart, and may be repeated",
    async (bench) => {
      const spec = await bench.ready();
      const { provider, ctx } = bench;
      assert.equal((await provider.machinePause(ctx, spec)).power, "paused");
      assert.equal((await provider.machinePause(ctx, spec)).power, "paused");
      assert.equal((await provider.machineEnsure(ctx, spec)).power, "paused");
      assert.equal((await provider.machineObserve(ctx, spec))?.power, "paused");
      await rejectsWith("endpoint_busy", () => provider.channelRun(ctx, spec, { argv: ["/bin/echo"] }));
      assert.equal((await provider.machineStart(ctx, spec)).power, "running");
      // It goes on where it was: a guest that boots would be busy.
      assert.equal((await provider.channelRun(ctx, spec, { argv: ["/bin/echo", "back"] })).stdout, "back\n");
    },
    ["pause", "channel"],
  ),

  check(
    "a paused machine can be stopped and removed",
    async (bench) => {
      const spec = await bench.made();
      const { provider, ctx } = bench;
      await provider.machineStart(ctx, spec);
      await provider.machinePause(ctx, spec);
      await provider.machineStop(ctx, spec, { graceMs: 0 });
      assert.equal((await provider.machineObserve(ctx, spec))?.power, "stopped");
      await provider.machineStart(ctx, spec);
      await provider.machinePause(ctx, spec);
      await provider.machineRemove(ctx, spec);
      assert.equal(await bench.count(spec.name), 0);
    },
    "pause",
  ),

  check(
    "machinePause of a stopped machine is a conflict, of a missing one not_found",
    async (bench) => {
      const spec = await bench.made();
      await rejectsWith("conflict", () => bench.provider.machinePause(bench.ctx, spec));
      assert.equal((await bench.provider.machineObserve(bench.ctx, spec))?.power, "stopped");
      await bench.provider.machineRemove(bench.ctx, spec);
      await rejectsWith("not_found", () => bench.provider.machinePause(bench.ctx, spec));
    },
    "pause",
  ),
];
