import assert from "node:assert/strict";
import { check, type ConformanceCheck } from "#provider/conformance/subject.ts";
import { assertRealises } from "#provider/conformance/machine-checks.ts";

const small = [{ name: "data", sizeMiB: 16 }];
const grown = [{ name: "data", sizeMiB: 32 }];
const both = [...grown, { name: "logs", sizeMiB: 16 }];

export const volumeChecks: readonly ConformanceCheck[] = [
  check(
    "machineEnsure makes volumes, adds and grows them, and never shrinks one",
    async (bench) => {
      const spec = await bench.spec({ volumes: small });
      const { provider, ctx } = bench;
      const first = await provider.machineEnsure(ctx, spec);
      assertRealises(first, spec);
      assert.deepEqual(await provider.machineEnsure(ctx, spec), first, "a second ensure changed something");
      assertRealises(await provider.machineEnsure(ctx, { ...spec, volumes: both }), { ...spec, volumes: both });
      const shrunk = [small[0]!, both[1]!];
      assertRealises(await provider.machineEnsure(ctx, { ...spec, volumes: shrunk }), { ...spec, volumes: both });
      assertRealises(await provider.machineObserve(ctx, spec), { ...spec, volumes: both });
    },
    "volumes",
  ),

  check(
    "two concurrent machineEnsure make one volume",
    async (bench) => {
      const spec = await bench.spec({ volumes: small });
      const other = await bench.another();
      await Promise.all([bench.provider.machineEnsure(bench.ctx, spec), other.machineEnsure(bench.ctx, spec)]);
      assertRealises(await bench.provider.machineObserve(bench.ctx, spec), spec);
    },
    "volumes",
  ),

  check(
    "volumes appear and grow while the machine runs, and keep what is on them",
    async (bench) => {
      const spec = await bench.ready({ volumes: small });
      await bench.mark(spec, "before it grew");
      const wanted = { ...spec, volumes: both };
      const facts = await bench.provider.machineEnsure(bench.ctx, wanted);
      assertRealises(facts, wanted);
      assert.equal(facts.power, "running");
      await bench.assertMarked(spec, "before it grew");
      await bench.mark(wanted, "after it grew");
      await bench.assertMarked(wanted, "after it grew");
      await bench.provider.machineStop(bench.ctx, spec, { graceMs: 0 });
      await bench.started(spec);
      await bench.assertMarked(wanted, "after it grew");
      assertRealises(await bench.provider.machineObserve(bench.ctx, spec), wanted);
    },
    ["volumes", "channel"],
  ),

  check(
    "machineRemove takes the volumes with it",
    async (bench) => {
      const spec = await bench.made({ volumes: both });
      await bench.provider.machineRemove(bench.ctx, spec);
      assert.deepEqual(await bench.subject.leftovers(spec.name), []);
      // A volume that was left behind would be found again, and not be shrunk.
      const again = { ...spec, volumes: small };
      assertRealises(await bench.provider.machineEnsure(bench.ctx, again), again);
    },
    "volumes",
  ),
];
