/** What the connection owes its caller: events, aborts, and an honest answer when nobody answers. */
import assert from "node:assert/strict";
import { callContext, check, rejectsWith, wallClock, within, type Bench, type ConformanceCheck } from "#provider/conformance/subject.ts";
import type { MachineEvent } from "#provider/contract.ts";

/** Events come within a second of the end of the call that caused them. */
const eventLimitMs = 1_000;
/** An aborted call must come back soon; the caller has lost interest. */
const abortLimitMs = 2_000;

export interface Watched {
  /** Fails unless an event of `name` with one of these powers comes in time; then forgets all that came so far. */
  expect(name: string, powers: readonly MachineEvent["power"][]): Promise<void>;
  /** Lets late events of what was done so far pass. */
  settled(): Promise<void>;
  /** Fails unless any event of `name` comes in time. */
  expectAny(name: string): Promise<void>;
  /** Aborts, and asserts that `watch` resolves. */
  stop(): Promise<void>;
}

export async function watchStart(bench: Bench): Promise<Watched> {
  const provider = await bench.another();
  const abort = new AbortController();
  const events: MachineEvent[] = [];
  const ready = Promise.withResolvers<void>();
  const ended = provider.watch(callContext(abort.signal), (event) => events.push(event), ready.resolve);
  ended.then(() => ready.reject(new Error("watch ended before it was ready")), ready.reject);
  await ready.promise;
  return {
    async expect(name, powers) {
      const seen = () => events.some((event) => event.name === name && powers.includes(event.power));
      await within(eventLimitMs, `event ${powers.join(" or ")} of ${name}`, seen);
      events.length = 0;
    },
    async settled() {
      await wallClock.sleep(eventLimitMs);
      events.length = 0;
    },
    async expectAny(name) {
      await within(eventLimitMs, `any event of ${name}`, () => events.some((event) => event.name === name));
      events.length = 0;
    },
    async stop() {
      abort.abort(new Error("the check is over"));
      await Promise.race([ended, wallClock.sleep(abortLimitMs).then(() => assert.fail("watch did not resolve after the abort"))]);
    },
  };
}

export const connectionChecks: readonly ConformanceCheck[] = [
  check("describe tells product, host, architecture and size", async (bench) => {
    const description = await bench.provider.describe(bench.ctx);
    for (const field of ["product", "host", "architecture"] as const) assert.notEqual(description[field], "");
    assert.ok(["kvm", "tcg", "none"].includes(description.accelerator));
    assert.ok(description.vcpus >= 1 && description.memoryMiB >= 1);
    assert.deepEqual(bench.provider.capabilities, bench.subject.capabilities);
  }),

  check(
    "watch delivers running, stopped, killed and removed within a second",
    async (bench) => {
      const spec = await bench.made();
      const watched = await watchStart(bench);
      await bench.provider.machineStart(bench.ctx, spec);
      await watched.expect(spec.name, ["running"]);
      await bench.provider.machineStop(bench.ctx, spec, { graceMs: 0 });
      await watched.expect(spec.name, ["stopped"]);
      await bench.provider.machineStart(bench.ctx, spec);
      await watched.expect(spec.name, ["running"]);
      await bench.subject.kill(spec.name);
      await watched.expect(spec.name, ["stopped", "crashed"]);
      await bench.provider.machineRemove(bench.ctx, spec);
      await watched.expect(spec.name, ["removed"]);
      await watched.stop();
    },
    "events",
  ),

  check("an aborted signal ends every call before it does anything", async (bench) => {
    const spec = await bench.spec();
    const aborted = callContext(AbortSignal.abort(new Error("nobody waits")));
    const { provider } = bench;
    await assert.rejects(provider.machineEnsure(aborted, spec));
    await assert.rejects(provider.machineList(aborted));
    assert.equal(await bench.count(spec.name), 0);
  }),

  check(
    "an abort ends a running call soon and leaves the connection usable",
    async (bench) => {
      const spec = await bench.ready();
      const abort = new AbortController();
      const command = { argv: ["/bin/sleep", "30"], timeoutMs: 40_000 };
      const call = bench.provider.channelRun(callContext(abort.signal), spec, command);
      const outcome = call.then(
        () => "succeeded",
        () => "rejected",
      );
      await wallClock.sleep(200);
      abort.abort(new Error("nobody waits"));
      const late = wallClock.sleep(abortLimitMs).then(() => "still running");
      assert.equal(await Promise.race([outcome, late]), "rejected");
      assert.equal((await bench.provider.machineObserve(bench.ctx, spec))?.power, "running");
    },
    "channel",
  ),

  check("an endpoint that does not answer is endpoint_unreachable", async (bench) => {
    const spec = await bench.spec();
    const provider = await bench.subject.openUnreachable();
    try {
      await rejectsWith("endpoint_unreachable", () => provider.describe(bench.ctx));
      await rejectsWith("endpoint_unreachable", () => provider.machineObserve(bench.ctx, spec));
      await rejectsWith("endpoint_unreachable", () => provider.machineEnsure(bench.ctx, spec));
      await rejectsWith("endpoint_unreachable", () => provider.machineRemove(bench.ctx, spec));
    } finally {
      await provider.close();
    }
  }),
];
