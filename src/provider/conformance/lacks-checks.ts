/** What an endpoint cannot do is shown by name in the test output, and must be refused as such instead of half working. */
import assert from "node:assert/strict";
import { isAppError } from "#domain/error.ts";
import { check, rejectsWith, type ConformanceCheck } from "#provider/conformance/subject.ts";
import type { MachineKind, ProviderCapabilities } from "#provider/contract.ts";

const lacksChannel = check("lacks: channel", async (bench) => {
  const spec = await bench.made();
  await rejectsWith("capability_missing", () => bench.provider.channelRun(bench.ctx, spec, { argv: ["/bin/echo"] }));
});

const lacksConsole = check("lacks: console", async (bench) => {
  const spec = await bench.made();
  await rejectsWith("capability_missing", () => bench.provider.consoleOpen(bench.ctx, spec));
});

const lacksEvents = check("lacks: events", async (bench) => {
  await rejectsWith("capability_missing", () =>
    bench.provider.watch(
      bench.ctx,
      () => {},
      () => {},
    ),
  );
});

/** Refusing is fine, and so is doing it at the next start; stopping the machine or claiming the new size is not. */
const lacksLiveResize = check("lacks: liveResize", async (bench) => {
  const spec = await bench.made();
  await bench.provider.machineStart(bench.ctx, spec);
  const wanted = { ...spec, memoryMiB: spec.memoryMiB + 32 };
  try {
    const facts = await bench.provider.machineEnsure(bench.ctx, wanted);
    assert.equal(facts.memoryMiB, spec.memoryMiB, "claims a size that the running machine cannot have");
  } catch (error) {
    if (!isAppError(error, "capability_missing")) throw error;
  }
  const seen = await bench.provider.machineObserve(bench.ctx, spec);
  assert.equal(seen?.memoryMiB, spec.memoryMiB);
  assert.equal(seen?.power, "running");
});

const lacksPause = check("lacks: pause", async (bench) => {
  const spec = await bench.made();
  await bench.provider.machineStart(bench.ctx, spec);
  await rejectsWith("capability_missing", () => bench.provider.machinePause(bench.ctx, spec));
  assert.equal((await bench.provider.machineObserve(bench.ctx, spec))?.power, "running");
});

const lacksSnapshots = check("lacks: snapshots", async (bench) => {
  const spec = await bench.made();
  const { provider, ctx } = bench;
  await rejectsWith("capability_missing", () => provider.snapshotEnsure(ctx, spec, "any"));
  await rejectsWith("capability_missing", () => provider.snapshotRevert(ctx, spec, "any"));
  await rejectsWith("capability_missing", () => provider.snapshotRemove(ctx, spec, "any"));
  await rejectsWith("capability_missing", () => provider.snapshotList(ctx, spec));
});

const lacksVolumes = check("lacks: volumes", async (bench) => {
  const spec = await bench.spec({ volumes: [{ name: "data", sizeMiB: 16 }] });
  await rejectsWith("capability_missing", () => bench.provider.machineEnsure(bench.ctx, spec));
  assert.equal(await bench.count(spec.name), 0);
});

function lacksKind(kind: MachineKind): ConformanceCheck {
  return check(`lacks: ${kind}`, async (bench) => {
    const spec = await bench.spec({ kind });
    await rejectsWith("capability_missing", () => bench.provider.machineEnsure(bench.ctx, spec));
    assert.equal(await bench.count(spec.name), 0);
  });
}

/** One check for each capability that is missing. */
export function lacksChecks(capabilities: ProviderCapabilities): readonly ConformanceCheck[] {
  const kinds: readonly MachineKind[] = ["vm", "container"];
  return [
    ...(capabilities.channel ? [] : [lacksChannel]),
    ...(capabilities.console ? [] : [lacksConsole]),
    ...(capabilities.events ? [] : [lacksEvents]),
    ...(capabilities.liveResize ? [] : [lacksLiveResize]),
    ...(capabilities.pause ? [] : [lacksPause]),
    ...(capabilities.snapshots ? [] : [lacksSnapshots]),
    ...(capabilities.volumes ? [] : [lacksVolumes]),
    ...kinds.filter((kind) => !capabilities.machineKinds.includes(kind)).map(lacksKind),
  ];
}
